//! Effects: applies a decision. What is stored is what the decision says; nothing is decided here.

use counterfoil_core::{
    Arrival, ConversionId, Decision, Effect, Method, Outcome, Receipt, Ruleset, Stored,
};
use rusqlite::{Connection, params};

use crate::{
    audit,
    fault::{Fault, bad},
    messages,
    rows::{self, value},
    under_root,
};

/// Where the rows of a decision belong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) tenant: i64,
    /// The rules that decided.
    pub(crate) version: u32,
    pub(crate) ruleset: &'a Ruleset,
}

/// Applies a decision.
pub(crate) fn apply(
    db: &Connection,
    place: Place<'_>,
    arrival: &Arrival,
    receipt: Receipt,
    decision: &Decision,
) -> Result<(), Fault> {
    for effect in &decision.effects {
        match effect {
            Effect::InsertConversion(stored) => insert_conversion(db, place, stored)?,
            Effect::UpdateConversion(stored) => update_conversion(db, place, stored)?,
            Effect::InsertTransaction(t) => rows::put_transaction(db, place.tenant, t, true)?,
            Effect::UpdateTransaction(t) => rows::put_transaction(db, place.tenant, t, false)?,
            Effect::Count(commission) => {
                if let Some(conversion) = &decision.conversion {
                    count(db, place.tenant, &conversion.root_id, commission.as_str())?;
                }
            }
            Effect::InsertMessage(message) => {
                messages::insert(db, place.tenant, (place.version, place.ruleset), message)?;
            }
            Effect::WakeMessage(id) => messages::wake(db, id, receipt.at)?,
        }
    }
    if arrival.method == Method::Admin && decision.outcome == Outcome::Updated {
        audit_edit(db, place, arrival, receipt)?;
    }
    Ok(())
}

fn audit_edit(
    db: &Connection,
    place: Place<'_>,
    arrival: &Arrival,
    receipt: Receipt,
) -> Result<(), Fault> {
    let change = audit::Change {
        at: receipt.at,
        tenant: place.ruleset.tenant().as_str(),
        action: "edit",
        subject: &receipt.id.to_string(),
        detail: &arrival.query,
    };
    audit::append(db, &change)
}

fn insert_conversion(db: &Connection, place: Place<'_>, stored: &Stored) -> Result<(), Fault> {
    let Place { tenant, version, .. } = place;
    rows::insert_conversion(db, tenant, version, &stored.conversion, stored.pair.as_ref())?;
    hold_key(db, place, stored)
}

fn update_conversion(db: &Connection, place: Place<'_>, stored: &Stored) -> Result<(), Fault> {
    if !stored.conversion.is_root() {
        under_root::retype(db, &stored.conversion)?;
    }
    rows::update_conversion(db, &stored.conversion, stored.pair.as_ref())?;
    hold_key(db, place, stored)
}

/// The unique key is the second guard behind the decision: that another conversion holds it is a
/// defect.
fn hold_key(db: &Connection, place: Place<'_>, stored: &Stored) -> Result<(), Fault> {
    let Some(key) = &stored.key else {
        return Ok(());
    };
    let rows = db
        .prepare_cached(
            "INSERT INTO repeat_keys (tenant, key, conversion) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET conversion = excluded.conversion \
             WHERE conversion = excluded.conversion",
        )?
        .execute(params![place.tenant, key.as_bytes(), stored.conversion.id.as_bytes()])?;
    if rows == 1 { Ok(()) } else { Err(bad("a repeat key that is held", stored.conversion.id)) }
}

fn count(db: &Connection, tenant: i64, root: &ConversionId, commission: &str) -> Result<(), Fault> {
    db.prepare_cached(
        "INSERT INTO counters (root, commission, made, tenant) VALUES (?1, ?2, 1, ?3) \
         ON CONFLICT (root, commission) DO UPDATE SET made = made + 1",
    )?
    .execute(params![root.as_bytes(), commission, tenant])?;
    Ok(())
}

/// The newest id of the database, made by a request or carried by what one made.
pub(crate) fn newest_id(db: &Connection) -> Result<Option<[u8; 16]>, Fault> {
    let request = value(db, "SELECT id FROM requests ORDER BY id DESC LIMIT 1", [])?;
    let conversion = value(db, "SELECT id FROM conversions ORDER BY id DESC LIMIT 1", [])?;
    Ok(request.max(conversion))
}
