//! Claims: messages that are due, by destination in turn, rendered where they are not yet.
//!
//! The index of what can be claimed is walked by seeks: one to the next destination, one to the
//! oldest messages of it. However long the queue of a destination is, a claim touches only what it
//! takes.

use std::{
    collections::HashSet,
    panic::{self, AssertUnwindSafe},
};

use counterfoil_core::{
    Claim, DeadReason, Due, Found, MessageId, MessageState, Rendered, Timestamp, Wanted, due,
};
use rusqlite::{Connection, params};

use crate::{
    ReadError, Reader, blobs,
    codes::Coded,
    facts,
    fault::{Fault, bad},
    messages::{self, MessageRow, Standing},
    outbox::{Desk, REST},
    rows::one,
    rules::Rules,
};

/// For each message that is wanted, how many may be looked at: those that are held, dropped or
/// kept back by their order give no claim.
const LOOKED_AT_PER_WANTED: usize = 4;

/// Where the next claim begins: behind the destination that was served last, so that none waits
/// for ever behind the others.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    after: String,
}

impl Reader {
    /// When there is next something to claim: when a message is due, or a lease ends. A time that
    /// has passed means now. Costs a seek for each destination that has something waiting.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn next_due(&self) -> Result<Option<Timestamp>, ReadError> {
        self.with(|db| {
            let mut earliest = None;
            let mut after = String::new();
            while let Some((destination, at)) = next_destination(db, &after)? {
                earliest = Some(earliest.map_or(at, |known: Timestamp| known.min(at)));
                after = destination;
            }
            Ok(earliest)
        })
    }
}

/// Claims what is wanted.
pub(crate) fn claim(desk: &mut Desk<'_>, wanted: &Wanted) -> Result<Vec<Claim>, Fault> {
    let first = desk.turn.after.clone();
    let mut after = first.clone();
    let mut has_wrapped = false;
    let mut claims = Vec::new();
    // As long as there are destinations that fail: it is looked at once for each of them.
    let except: HashSet<&str> = wanted.except.iter().map(|busy| &**busy).collect();
    while claims.len() < wanted.most {
        match next_destination(desk.db, &after)? {
            Some((destination, _)) if has_wrapped && destination > first => break,
            Some((destination, at)) => {
                if at <= wanted.now && !except.contains(&*destination) {
                    claim_of_one(desk, wanted, &destination, &mut claims)?;
                    desk.turn.after.clone_from(&destination);
                }
                after = destination;
            }
            None if has_wrapped => break,
            None => {
                has_wrapped = true;
                after.clear();
            }
        }
    }
    Ok(claims)
}

/// The query of [`next_destination`].
pub(crate) const NEXT_DESTINATION: &str = "SELECT destination, ifnull(lease_until, due_at) \
     FROM messages WHERE (standing = 0 OR standing = 3) AND destination > ?1 \
     ORDER BY destination, ifnull(lease_until, due_at) LIMIT 1";

/// The next destination in the order of their names, with the time when something of it can be
/// claimed.
fn next_destination(db: &Connection, after: &str) -> Result<Option<(String, Timestamp)>, Fault> {
    one(db, NEXT_DESTINATION, params![after], |row| {
        Ok((row.get(0)?, Timestamp::from_ms(row.get(1)?)))
    })
}

/// Claims of one destination, the oldest first.
fn claim_of_one(
    desk: &mut Desk<'_>,
    wanted: &Wanted,
    destination: &str,
    claims: &mut Vec<Claim>,
) -> Result<(), Fault> {
    let room = wanted.most_of_one.min(wanted.most - claims.len());
    let enough = claims.len() + room;
    let mut looked_at = 0;
    // What gives no claim leaves the index, so that the next look finds others.
    while claims.len() < enough && looked_at < room * LOOKED_AT_PER_WANTED {
        let oldest = oldest(desk.db, destination, wanted.now, enough - claims.len())?;
        if oldest.is_empty() {
            break;
        }
        for id in oldest {
            looked_at += 1;
            match take(desk, wanted, &id) {
                Ok(taken) => claims.extend(taken),
                Err(fault) if fault.is_of_the_machine() => return Err(fault),
                Err(fault) => {
                    tracing::error!(error = %fault, message = %id, "a message rests: a defect");
                    rest(desk.db, &id, wanted.now)?;
                }
            }
        }
    }
    Ok(())
}

/// The query of [`oldest`].
pub(crate) const OLDEST: &str = "SELECT id FROM messages \
     WHERE (standing = 0 OR standing = 3) AND destination = ?1 \
     AND ifnull(lease_until, due_at) <= ?2 ORDER BY ifnull(lease_until, due_at), id LIMIT ?3";

fn oldest(
    db: &Connection,
    destination: &str,
    now: Timestamp,
    most: usize,
) -> Result<Vec<MessageId>, Fault> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut statement = db.prepare_cached(OLDEST)?;
    let ids = statement.query_map(params![destination, now.as_ms(), most], |row| {
        row.get(0).map(MessageId::from_bytes)
    })?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Claims one message, unless rendering keeps it back.
fn take(desk: &Desk<'_>, wanted: &Wanted, id: &MessageId) -> Result<Option<Claim>, Fault> {
    let mut row = messages::get(desk.db, id)?.ok_or_else(|| bad("message", id))?;
    let unreadable = || bad("version of the rules", row.ruleset);
    let rules = desk.versions.get(desk.db, row.tenant, row.ruleset)?.ok_or_else(unreadable)?;
    if row.message.request.is_none() && !render(desk, wanted.now, &rules, &mut row)? {
        return Ok(None);
    }
    let unknown = || bad("a message that its rules do not know", id);
    let timeout = rules.ruleset.call(&row.message.of).ok_or_else(unknown)?.timeout;
    let lease_until = wanted.now.plus(timeout).plus(wanted.slack);
    desk.db
        .prepare_cached("UPDATE messages SET fence = fence + 1, lease_until = ?2 WHERE id = ?1")?
        .execute(params![id.as_bytes(), lease_until.as_ms()])?;
    row.message.state = MessageState::Sending;
    Ok(Some(Claim {
        message: row.message,
        ruleset: rules.ruleset,
        fence: row.fence + 1,
        attempt: row.attempts.saturating_add(1),
        delivery_retries: row.delivery_retries,
        polls: row.polls,
    }))
}

/// Renders a message with the state of now (R43, R46); tells whether it can be attempted.
fn render(
    desk: &Desk<'_>,
    now: Timestamp,
    rules: &Rules,
    row: &mut MessageRow,
) -> Result<bool, Fault> {
    let id = row.message.id;
    let found = facts::found(desk.db, row.tenant, &row.message.conversion_id)?;
    match decide(rules, row, &found)? {
        Due::Send { request, sequence } => {
            row.message.sequence = sequence;
            let waits = messages::waits(desk.db, &rules.ruleset, &row.message)?;
            store_rendered(desk, row, &request, waits)?;
            row.message.request = Some(request);
            Ok(!waits)
        }
        // What was dropped and is retried by hand is not held: nothing would wake it.
        Due::Hold if !row.is_settled => {
            messages::stand(desk.db, &id, Standing::Held, now)?;
            Ok(false)
        }
        Due::Hold | Due::Drop(_) => {
            let reason = DeadReason::ConditionsNotMet;
            messages::end_dead(desk.db, &id, reason)?;
            settle(desk, &id)?;
            messages::tell_dead(&rules.ruleset, &id, &row.message.of, reason);
            Ok(false)
        }
        Due::Unknown => Err(bad("a message that its rules do not know", id)),
    }
}

/// The decision of the core. Should it panic, this message rests and no other.
fn decide(rules: &Rules, row: &MessageRow, found: &Found) -> Result<Due, Fault> {
    let decide = || due(&rules.ruleset, &row.message, found);
    panic::catch_unwind(AssertUnwindSafe(decide)).map_err(|_| Fault::Panic)
}

fn store_rendered(
    desk: &Desk<'_>,
    row: &MessageRow,
    request: &Rendered,
    waits: bool,
) -> Result<(), Fault> {
    let id = row.message.id;
    let standing = if waits { Standing::Waits } else { row.standing };
    desk.db
        .prepare_cached(
            "UPDATE messages SET request = ?2, sequence = ?3, standing = ?4 WHERE id = ?1",
        )?
        .execute(params![
            id.as_bytes(),
            blobs::encode_rendered(request)?,
            row.message.sequence,
            standing.stored()
        ])?;
    settle(desk, &id)
}

/// Keeps when in the history of decisions a delayed message was rendered or dropped.
fn settle(desk: &Desk<'_>, id: &MessageId) -> Result<(), Fault> {
    let newest = desk.ids.newest();
    desk.db
        .prepare_cached(
            "UPDATE messages SET settled_after = ?2 \
             WHERE id = ?1 AND is_delayed = 1 AND settled_after IS NULL",
        )?
        .execute(params![id.as_bytes(), newest.as_bytes()])?;
    Ok(())
}

fn rest(db: &Connection, id: &MessageId, now: Timestamp) -> Result<(), Fault> {
    let sql = "UPDATE messages SET due_at = ?2, lease_until = NULL WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![id.as_bytes(), now.plus(REST).as_ms()])?;
    Ok(())
}
