//! Effects: applies a decision. What is stored is what the decision says; nothing is decided here.

use std::sync::LazyLock;

use counterfoil_core::{
    Arrival, ConversionId, Decision, Effect, Method, Outcome, Receipt, Ruleset, Stored,
};
use rusqlite::{Connection, params};

use crate::{
    audit,
    fault::{Fault, bad},
    messages,
    rows::{self, value},
    rules::Rules,
    store::Decided,
    together::Insert,
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

impl<'a> Place<'a> {
    /// Where what these rules decided belongs.
    pub(crate) fn of(rules: &'a Rules) -> Self {
        Self { tenant: rules.tenant, version: rules.version, ruleset: &rules.ruleset }
    }
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
        apply_one(db, place, receipt, decision, effect)?;
    }
    if arrival.method == Method::Admin && decision.outcome == Outcome::Updated {
        audit_edit(db, place, arrival, receipt)?;
    }
    Ok(())
}

/// Applies decisions that only add, in their order but for new conversions and transactions: the
/// rows of each are written together.
pub(crate) fn add(db: &Connection, decided: &[Decided]) -> Result<(), Fault> {
    let effects = || {
        decided.iter().flat_map(|decided| {
            let effects = decided.decision.effects.iter();
            effects.map(move |effect| (Place::of(&decided.rules), decided, effect))
        })
    };
    let conversions = effects().filter_map(|(place, _, effect)| match effect {
        Effect::InsertConversion(stored) => Some((place, stored)),
        _ => None,
    });
    insert_conversions(db, &conversions.collect::<Vec<_>>())?;
    let transactions = effects().filter_map(|(place, _, effect)| match effect {
        Effect::InsertTransaction(transaction) => Some((place, transaction)),
        _ => None,
    });
    rows::insert_transactions(db, &transactions.collect::<Vec<_>>())?;
    let is_written = |effect: &Effect| {
        matches!(effect, Effect::InsertConversion(_) | Effect::InsertTransaction(_))
    };
    effects().filter(|(_, _, effect)| !is_written(effect)).try_for_each(
        |(place, Decided { receipt, decision, .. }, effect)| {
            apply_one(db, place, *receipt, decision, effect)
        },
    )
}

fn apply_one(
    db: &Connection,
    place: Place<'_>,
    receipt: Receipt,
    decision: &Decision,
    effect: &Effect,
) -> Result<(), Fault> {
    match effect {
        Effect::InsertConversion(stored) => insert_conversions(db, &[(place, stored)]),
        Effect::UpdateConversion(stored) => update_conversion(db, place, stored),
        Effect::InsertTransaction(t) => rows::insert_transactions(db, &[(place, t)]),
        Effect::UpdateTransaction(t) => rows::update_transaction(db, place.tenant, t),
        Effect::Count(commission) => match &decision.conversion {
            Some(conversion) => count(db, place, &conversion.root_id, commission.as_str()),
            None => Ok(()),
        },
        Effect::InsertMessage(message) => {
            messages::insert(db, place.tenant, (place.version, place.ruleset), message)
        }
        Effect::WakeMessage(id) => messages::wake(db, id, receipt.at),
    }
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

fn insert_conversions(db: &Connection, new: &[(Place<'_>, &Stored)]) -> Result<(), Fault> {
    if new.is_empty() {
        return Ok(());
    }
    rows::insert_conversions(db, new)?;
    hold_keys(db, new)
}

fn update_conversion(db: &Connection, place: Place<'_>, stored: &Stored) -> Result<(), Fault> {
    if !stored.conversion.is_root() {
        under_root::retype(db, &stored.conversion)?;
    }
    rows::update_conversion(db, &stored.conversion, stored.pair.as_ref())?;
    hold_keys(db, &[(place, stored)])
}

static INSERT_KEY: LazyLock<Insert> = LazyLock::new(|| {
    let unless_it_holds_it = "ON CONFLICT DO UPDATE SET conversion = excluded.conversion \
         WHERE conversion = excluded.conversion";
    Insert::new("repeat_keys", "tenant, key, conversion", unless_it_holds_it)
});

/// The unique key is the second guard behind the decision: that another conversion holds it is a
/// defect.
fn hold_keys(db: &Connection, stored: &[(Place<'_>, &Stored)]) -> Result<(), Fault> {
    let with_key = |(place, stored): &(Place<'_>, &Stored)| {
        let key = *stored.key.as_ref()?.as_bytes();
        Some((place.tenant, key, stored.conversion.id))
    };
    let keys: Vec<_> = stored.iter().filter_map(with_key).collect();
    let held = INSERT_KEY.write(db, &keys, |(tenant, key, conversion), values| {
        values.row(&[tenant, key, conversion.as_bytes()])
    })?;
    match &*keys {
        _ if held == keys.len() => Ok(()),
        [(_, _, conversion)] => Err(bad("a repeat key that is held", conversion)),
        _ => Err(bad("repeat keys that are held", keys.len() - held)),
    }
}

fn count(
    db: &Connection,
    place: Place<'_>,
    root: &ConversionId,
    commission: &str,
) -> Result<(), Fault> {
    db.prepare_cached(
        "INSERT INTO counters (root, commission, made, tenant) VALUES (?1, ?2, 1, ?3) \
         ON CONFLICT (root, commission) DO UPDATE SET made = made + 1",
    )?
    .execute(params![root.as_bytes(), commission, place.tenant])?;
    Ok(())
}

/// The newest id of the database, made by a request or carried by what one made.
pub(crate) fn newest_id(db: &Connection) -> Result<Option<[u8; 16]>, Fault> {
    let request = value(db, "SELECT id FROM requests ORDER BY number DESC LIMIT 1", [])?;
    let conversion = value(db, "SELECT id FROM conversions ORDER BY number DESC LIMIT 1", [])?;
    Ok(request.max(conversion))
}
