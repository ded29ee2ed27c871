//! Retention: what is older than a moment goes, in slices that share the writer with requests.
//!
//! ```text
//! requests   log rows with their traces
//! messages   what has ended, with its attempts. The last of each order and the last delayed one
//!            are asked for by later decisions (R43, R44) and stay as rows, without their content
//! clicks     those that nothing refers to, once the click window of their offer has ended (R52)
//! ```
//!
//! Conversions, transactions, repeat keys and the audit log stay, so a resend answers as before
//! (P2, P3). Age is that of the id: the moment of arrival, of an imported row that of the import.
//! `pruned` keeps how far the history may be gone; a replay begins behind it.

use std::{collections::BTreeMap, sync::Arc};

use counterfoil_core::{ConversionId, Method, Offer, Period, Rendered, RequestId, Timestamp};
use rusqlite::{Connection, ToSql, params};

use crate::{
    ReadError, Reader, Store, SubmitError, audit, blobs,
    codes::Coded,
    effects,
    fault::Fault,
    ids,
    numbers::{self, Table},
    rows::{self, value},
    rules, under_root,
};

/// Rows that a slice looks at.
const SLICE: u32 = 1000;

/// How many rows went, or would go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Log rows.
    pub requests: u64,
    /// Messages, with their attempts.
    pub messages: u64,
    /// Clicks.
    pub clicks: u64,
}

impl Pruned {
    /// Whether nothing went.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// How far a walk came.
#[derive(Clone, Copy, Default)]
struct Walk {
    stage: Stage,
    after: [u8; 16],
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Stage {
    #[default]
    Requests,
    Messages,
    Clicks,
    Done,
}

/// What is old enough.
#[derive(Clone)]
struct Age {
    before: Timestamp,
    now: Timestamp,
    windows: Arc<Windows>,
}

/// What one slice found.
struct Slice {
    stage: Stage,
    ids: Vec<[u8; 16]>,
    next: Walk,
}

impl Reader {
    /// What [`Store::prune`] would delete.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn prunable(&self, before: Timestamp, now: Timestamp) -> Result<Pruned, ReadError> {
        self.with(|db| {
            let snapshot = db.unchecked_transaction()?;
            let (mut pruned, mut walk) = (Pruned::default(), Walk::default());
            let Some(upto) = horizon(&snapshot, before)? else {
                return Ok(pruned);
            };
            let age = Age { before, now, windows: windows(&snapshot)?.into() };
            while walk.stage != Stage::Done {
                let slice = slice(&snapshot, walk, &upto, &age)?;
                pruned.count(&slice);
                walk = slice.next;
            }
            Ok(pruned)
        })
    }

    /// The moment before which the history may be gone; none: all of it is there.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn pruned_before(&self) -> Result<Option<Timestamp>, ReadError> {
        self.with(|db| Ok(pruned_upto(db)?.map(time_of)))
    }
}

impl Store {
    /// Deletes requests, messages that have ended and clicks that nothing refers to, where they
    /// came before a moment, of all tenants. Requests are served meanwhile.
    ///
    /// # Errors
    /// As [`Store::submit`]; what went before is gone.
    pub fn prune(&self, before: Timestamp, now: Timestamp) -> Result<Pruned, SubmitError> {
        let windows = self.alone(windows)?.into();
        let age = Age { before, now, windows };
        let (mut pruned, mut walk) = (Pruned::default(), Walk::default());
        while walk.stage != Stage::Done {
            let is_first = pruned.is_nothing();
            let age = age.clone();
            let slice = self.alone(move |db| prune_slice(db, walk, &age, is_first))?;
            pruned.count(&slice);
            walk = slice.next;
        }
        Ok(pruned)
    }
}

impl Pruned {
    fn count(&mut self, slice: &Slice) {
        let count = match slice.stage {
            Stage::Requests => &mut self.requests,
            Stage::Messages => &mut self.messages,
            Stage::Clicks | Stage::Done => &mut self.clicks,
        };
        *count += slice.ids.len() as u64;
    }
}

/// The greatest id that may go. The newest of all stays, for ids rise above it.
fn horizon(db: &Connection, before: Timestamp) -> Result<Option<[u8; 16]>, Fault> {
    let Some(newest) = effects::newest_id(db)? else {
        return Ok(None);
    };
    let newest = u128::from_be_bytes(newest).saturating_sub(1).to_be_bytes();
    Ok(Some(ids::last_before(before).min(newest)))
}

/// The moment that an id carries.
pub(crate) fn time_of(id: [u8; 16]) -> Timestamp {
    ids::time_of(&RequestId::from_bytes(id))
}

/// The greatest id up to which rows may be gone.
pub(crate) fn pruned_upto(db: &Connection) -> Result<Option<[u8; 16]>, Fault> {
    let upto: Option<Vec<u8>> = value(db, "SELECT upto FROM pruned", [])?;
    Ok(upto.and_then(|upto| upto.try_into().ok()))
}

/// Deletes one slice. The first that deletes anything says so in the audit log.
fn prune_slice(db: &Connection, walk: Walk, age: &Age, is_first: bool) -> Result<Slice, Fault> {
    let Some(upto) = horizon(db, age.before)? else {
        let next = Walk { stage: Stage::Done, ..walk };
        return Ok(Slice { stage: walk.stage, ids: Vec::new(), next });
    };
    let slice = slice(db, walk, &upto, age)?;
    if slice.ids.is_empty() {
        return Ok(slice);
    }
    if is_first {
        db.execute("UPDATE pruned SET upto = max(upto, ?1)", [upto])?;
        let subject = format!("before {}", age.before);
        let (at, action, tenant, detail) = (age.now, "prune", "", "");
        audit::append(db, &audit::Change { at, tenant, action, subject: &subject, detail })?;
    }
    match (slice.stage, &*slice.ids) {
        (Stage::Requests, ids) => delete_requests(db, ids)?,
        (Stage::Messages, ids) => ids.iter().try_for_each(|id| forget_message(db, id))?,
        (Stage::Clicks | Stage::Done, ids) => {
            ids.iter().try_for_each(|id| numbers::delete_conversion(db, id))?;
        }
    }
    Ok(slice)
}

/// Requests that follow one another.
fn delete_requests(db: &Connection, ids: &[[u8; 16]]) -> Result<(), Fault> {
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
        return Ok(());
    };
    let from = numbers::first_from(db, Table::Requests, first)?;
    let behind = numbers::first_behind(db, Table::Requests, last)?;
    db.prepare_cached("DELETE FROM requests WHERE number >= ?1 AND number < ?2")?
        .execute([from, behind])?;
    Ok(())
}

fn delete(db: &Connection, sql: &str, id: &[u8; 16]) -> Result<(), Fault> {
    db.prepare_cached(sql)?.execute([id])?;
    Ok(())
}

/// The next rows that may go.
fn slice(db: &Connection, walk: Walk, upto: &[u8; 16], age: &Age) -> Result<Slice, Fault> {
    let seen = next_ids(db, walk, upto)?;
    let next = match (seen.last(), walk.stage) {
        (Some(last), stage) => Walk { stage, after: *last },
        (None, Stage::Requests) => Walk { stage: Stage::Messages, ..Walk::default() },
        (None, Stage::Messages) => Walk { stage: Stage::Clicks, ..Walk::default() },
        (None, Stage::Clicks | Stage::Done) => Walk { stage: Stage::Done, ..Walk::default() },
    };
    let mut ids = Vec::new();
    for id in seen {
        let may_go = match walk.stage {
            Stage::Requests => true,
            Stage::Messages => has_ended(db, &id)?,
            Stage::Clicks | Stage::Done => is_idle_click(db, &ConversionId::from_bytes(id), age)?,
        };
        ids.extend(may_go.then_some(id));
    }
    Ok(Slice { stage: walk.stage, ids, next })
}

/// The next ids of a stage.
fn next_ids(db: &Connection, walk: Walk, upto: &[u8; 16]) -> Result<Vec<[u8; 16]>, Fault> {
    let ids = |sql: &str, given: &[&dyn ToSql]| {
        let mut statement = db.prepare_cached(sql)?;
        let found = statement.query_map(given, |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    };
    let numbered = |table, sql| {
        let from = numbers::first_behind(db, table, &walk.after)?;
        let behind = numbers::first_behind(db, table, upto)?;
        ids(sql, params![from, behind, SLICE])
    };
    match walk.stage {
        Stage::Requests => numbered(
            Table::Requests,
            "SELECT id FROM requests WHERE number >= ?1 AND number < ?2 ORDER BY number LIMIT ?3",
        ),
        Stage::Messages => ids(
            "SELECT id FROM messages WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3",
            params![walk.after, upto, SLICE],
        ),
        Stage::Clicks | Stage::Done => numbered(
            Table::Conversions,
            "SELECT id FROM conversions WHERE number >= ?1 AND number < ?2 ORDER BY number \
             LIMIT ?3",
        ),
    }
}

/// Whether a message has ended, and all others about its conversion: none waits for it, and it is
/// no row that was emptied before.
fn has_ended(db: &Connection, id: &[u8; 16]) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM messages m WHERE id = ?1 AND request IS NOT ?2 AND NOT EXISTS \
               (SELECT 1 FROM messages o WHERE o.conversion = m.conversion \
                AND (o.standing NOT IN (2, 4) OR o.lease_until IS NOT NULL))";
    let found: Option<i64> = value(db, sql, params![id, forgotten()?])?;
    Ok(found.is_some())
}

/// Deletes a message, or empties it where later decisions ask for its number or its end.
pub(crate) fn forget_message(db: &Connection, id: &[u8; 16]) -> Result<(), Fault> {
    delete(db, "DELETE FROM attempts WHERE message = ?1", id)?;
    let is_asked_for = "SELECT 1 FROM messages m WHERE id = ?1 AND tracking_api IS NOT NULL AND (\
         NOT EXISTS (SELECT 1 FROM messages o WHERE o.conversion = m.conversion \
           AND o.tracking_api = m.tracking_api AND o.sequence > m.sequence) \
         OR is_delayed = 1 AND NOT EXISTS (SELECT 1 FROM messages o \
           WHERE o.conversion = m.conversion AND o.tracking_api = m.tracking_api \
           AND o.transaction_id = m.transaction_id AND o.is_delayed = 1 AND o.id > m.id))";
    let is_asked_for: Option<i64> = value(db, is_asked_for, [id])?;
    if is_asked_for.is_none() {
        return delete(db, "DELETE FROM messages WHERE id = ?1", id);
    }
    let sql = "UPDATE messages SET request = ?2 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![id, forgotten()?])?;
    Ok(())
}

/// What stands for the request of a message whose content is gone.
pub(crate) fn forgotten() -> Result<Vec<u8>, Fault> {
    Ok(blobs::encode_rendered(&Rendered::forgotten())?)
}

/// The click windows of offers, by tenant and offer, as the rules in force have them (R52).
type Windows = BTreeMap<(i64, String), Period>;

fn windows(db: &Connection) -> Result<Windows, Fault> {
    let mut statement = db.prepare("SELECT id, ruleset FROM tenants WHERE ruleset > 0")?;
    let tenants = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut windows = Windows::new();
    for tenant in tenants {
        let (tenant, version): (i64, u32) = tenant?;
        // Of rules that this build cannot read no window is known: their clicks stay.
        let Ok(ruleset) = rules::load(db, tenant, version)? else {
            continue;
        };
        let of = |offer: &Offer| Some(((tenant, offer.id.to_string()), offer.click_window?));
        windows.extend(ruleset.offers().filter_map(of));
    }
    Ok(windows)
}

/// Whether a conversion is a click that led to nothing and cannot any more.
fn is_idle_click(db: &Connection, id: &ConversionId, age: &Age) -> Result<bool, Fault> {
    let sql = "SELECT tenant, offer, created_at FROM conversions c \
               WHERE number = ?1 AND method = ?2 AND revision = 1 \
               AND NOT EXISTS (SELECT 1 FROM transactions WHERE conversion = c.id) \
               AND NOT EXISTS (SELECT 1 FROM messages WHERE conversion = c.id)";
    let number = numbers::find(db, Table::Conversions, id.as_bytes())?;
    let click = rows::one(db, sql, params![number, Method::Link.stored()], |row| {
        Ok(((row.get(0)?, row.get(1)?), rows::time(row, 2)?))
    })?;
    let Some((offer, made_at)) = click else {
        return Ok(false);
    };
    let window = age.windows.get(&offer).map(|window| window.as_ms());
    let has_ended = window
        .is_some_and(|window| made_at.as_ms().saturating_add_unsigned(window) < age.now.as_ms());
    Ok(has_ended && under_root::newest(db, id, None)?.is_none())
}
