//! Messages as rows: what a decision makes, what was told of a conversion before, and how rows
//! stand to each other.
//!
//! A row has a standing; that it is being sent is told by its lease alone, so that a lease can end
//! without a trace. In the order of one tracking API's messages about one conversion (R44) a row
//! that may not be attempted yet stands as [`Standing::Waits`], which people see as due.

use std::collections::BTreeMap;

use counterfoil_core::{
    ConversionId, DeadReason, Delayed, Event, Message, MessageId, MessageOf, MessageState, Owner,
    PostbackId, Ruleset, Timestamp, Told, TrackingApiId, TransactionId,
};
use rusqlite::{Connection, Row, params};

use crate::{
    blobs,
    codes::Coded,
    fault::{Fault, bad},
    rows::{self, coded, one, text, time},
};

/// The columns of a message, in the order in which [`read`] takes them.
pub(crate) const MESSAGE: &str = "id, tenant, ruleset, tracking_api, postback, step, owner, event, \
     conversion, transaction_id, sequence, standing, reason, due_at, request, depth, \
     settled_after IS NOT NULL, fence, lease_until, attempts, delivery_retries, polls";

/// The condition of what can be claimed, as the index has it.
pub(crate) const IS_CLAIMABLE: &str = "(standing = 0 OR standing = 3)";

/// The condition of what is claimed, but could be once its lease has ended.
pub(crate) const IS_CLAIMABLE_LATER: &str =
    "lease_until IS NOT NULL AND (standing = 0 OR standing = 3)";

/// Where a row stands, but for being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Due,
    /// For a result (R43), or the step before (R46).
    Held,
    Delivered,
    Polling,
    Dead,
    /// Due, and the message of the number before it has not ended (R44).
    Waits,
}

impl Standing {
    /// The state that people see while nobody sends it.
    pub(crate) fn state(self) -> MessageState {
        match self {
            Self::Due | Self::Waits => MessageState::Due,
            Self::Held => MessageState::Held,
            Self::Delivered => MessageState::Delivered,
            Self::Polling => MessageState::Polling,
            Self::Dead => MessageState::Dead,
        }
    }

    /// Whether nothing follows by itself any more.
    pub(crate) fn has_ended(self) -> bool {
        matches!(self, Self::Delivered | Self::Dead)
    }
}

/// A message with what is kept beside it.
#[derive(Clone, Debug)]
pub(crate) struct MessageRow {
    /// Its state tells of a lease too.
    pub(crate) message: Message,
    pub(crate) tenant: i64,
    pub(crate) ruleset: u32,
    pub(crate) owner: Option<Box<str>>,
    pub(crate) standing: Standing,
    pub(crate) reason: Option<DeadReason>,
    /// Whether it is a delayed one that was rendered or dropped before.
    pub(crate) is_settled: bool,
    pub(crate) fence: u64,
    pub(crate) lease_until: Option<Timestamp>,
    pub(crate) attempts: u32,
    pub(crate) delivery_retries: u8,
    pub(crate) polls: u8,
}

/// Stores a new message. Its rules say whose it is, where it goes, and whether it keeps an order.
pub(crate) fn insert(
    db: &Connection,
    tenant: i64,
    (version, ruleset): (u32, &Ruleset),
    message: &Message,
) -> Result<(), Fault> {
    let unknown = || bad("a message that its rules do not know", message.id);
    let destination = &ruleset.call(&message.of).ok_or_else(unknown)?.request.destination;
    let (tracking_api, postback, step) = match &message.of {
        MessageOf::TrackingApi(id) => (Some(id.as_str()), None, None),
        MessageOf::Step { postback, number } => (None, Some(postback.as_str()), Some(number)),
    };
    let owner = tracking_api.and_then(|id| ruleset.tracking_api(id)).map(|api| &api.owner);
    let owner = owner.and_then(|owner| match owner {
        Owner::Admin => None,
        Owner::Affiliate(id) => Some(id.as_str()),
    });
    let is_delayed = tracking_api.is_some() && message.request.is_none();
    db.prepare_cached(
        "INSERT INTO messages (id, tenant, ruleset, tracking_api, postback, step, owner, event, \
         conversion, transaction_id, sequence, standing, due_at, destination, request, depth, \
         is_delayed, fence, attempts, delivery_retries, polls) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
         0, 0, 0, 0)",
    )?
    .execute(params![
        message.id.as_bytes(),
        tenant,
        version,
        tracking_api,
        postback,
        step,
        owner,
        message.event.map(event_code),
        message.conversion_id.as_bytes(),
        message.transaction_id().as_ref().map(TransactionId::as_bytes),
        message.sequence,
        standing_of_new(db, ruleset, message)?.stored(),
        message.due_at.as_ms(),
        destination,
        message.request.as_ref().map(blobs::encode_rendered).transpose()?,
        message.depth,
        is_delayed,
    ])?;
    Ok(())
}

fn standing_of_new(
    db: &Connection,
    ruleset: &Ruleset,
    message: &Message,
) -> Result<Standing, Fault> {
    match message.state {
        MessageState::Due if waits(db, ruleset, message)? => Ok(Standing::Waits),
        MessageState::Due => Ok(Standing::Due),
        MessageState::Held => Ok(Standing::Held),
        _ => Err(bad("the state of a new message", message.state.name())),
    }
}

/// Whether the order of its tracking API keeps a message back: the one of the number before has
/// not ended (R44).
pub(crate) fn waits(db: &Connection, ruleset: &Ruleset, message: &Message) -> Result<bool, Fault> {
    let MessageOf::TrackingApi(id) = &message.of else {
        return Ok(false);
    };
    let is_ordered = ruleset.tracking_api(id.as_str()).is_some_and(|api| api.ordered);
    let before = message.sequence.filter(|_| is_ordered).and_then(|number| number.checked_sub(1));
    let Some(before) = before.filter(|number| *number > 0) else {
        return Ok(false);
    };
    let before = numbered(db, &message.conversion_id, id, before)?;
    Ok(before.is_some_and(|(_, standing)| !standing.has_ended()))
}

/// The message of a number (R44), and where it stands.
pub(crate) fn numbered(
    db: &Connection,
    conversion: &ConversionId,
    tracking_api: &TrackingApiId,
    number: u32,
) -> Result<Option<(MessageId, Standing)>, Fault> {
    let given = params![conversion.as_bytes(), tracking_api.as_str(), number];
    one(db, NUMBERED, given, |row| {
        Ok((MessageId::from_bytes(row.get(0)?), coded(row, 1, "standing")?))
    })
}

/// The query of [`numbered`].
const NUMBERED: &str = "SELECT id, standing FROM messages \
     WHERE conversion = ?1 AND tracking_api = ?2 AND sequence = ?3";

/// A message by its id.
pub(crate) fn get(db: &Connection, id: &MessageId) -> Result<Option<MessageRow>, Fault> {
    let sql = format!("SELECT {MESSAGE} FROM messages WHERE id = ?1");
    one(db, &sql, params![id.as_bytes()], read)
}

/// Gives a message a standing, and the time when it is looked at next.
pub(crate) fn stand(
    db: &Connection,
    id: &MessageId,
    standing: Standing,
    due_at: Timestamp,
) -> Result<(), Fault> {
    let sql = "UPDATE messages SET standing = ?2, due_at = ?3, lease_until = NULL, \
               reason = NULL WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![id.as_bytes(), standing.stored(), due_at.as_ms()])?;
    Ok(())
}

/// Ends a message undelivered.
pub(crate) fn end_dead(db: &Connection, id: &MessageId, reason: DeadReason) -> Result<(), Fault> {
    let sql = "UPDATE messages SET standing = ?2, reason = ?3, lease_until = NULL WHERE id = ?1";
    let given = params![id.as_bytes(), Standing::Dead.stored(), reason.stored()];
    db.prepare_cached(sql)?.execute(given)?;
    Ok(())
}

/// Somebody may have to look: a message that died without an attempt. Those that die by one are
/// told of by whoever attempts them.
pub(crate) fn tell_dead(ruleset: &Ruleset, id: &MessageId, of: &MessageOf, reason: DeadReason) {
    let (tenant, reason) = (ruleset.tenant(), reason.code());
    tracing::warn!(delivery = %id, %tenant, from = %of, reason, "a message died");
}

/// Makes a delayed message due that was held for its result (R43).
pub(crate) fn wake(db: &Connection, id: &MessageId, at: Timestamp) -> Result<(), Fault> {
    let sql = "UPDATE messages SET standing = ?2, due_at = ?3 WHERE id = ?1 AND standing = ?4";
    let (due, held) = (Standing::Due.stored(), Standing::Held.stored());
    let given = params![id.as_bytes(), due, at.as_ms(), held];
    match db.prepare_cached(sql)?.execute(given)? {
        1 => Ok(()),
        _ => Err(bad("a message that is to wake", id)),
    }
}

/// What was told of a conversion before (R43, R44): a seek for each tracking API that told
/// something, and one for each transaction that a delayed one told of. Where the rules that decide
/// tell nothing (`tells`), only what may have to wake is looked for.
pub(crate) fn told(db: &Connection, conversion: &ConversionId, tells: bool) -> Result<Told, Fault> {
    let sequences = if tells { sequences(db, conversion)? } else { BTreeMap::new() };
    Ok(Told { sequences, delayed: delayed(db, conversion)? })
}

/// Above every token: these are ASCII.
const ABOVE_TOKENS: &str = "\u{7f}";

/// The query of [`sequences`]: the last tracking API below one, with its last number.
const LAST_NUMBER: &str = "SELECT tracking_api, sequence FROM messages \
     WHERE conversion = ?1 AND tracking_api < ?2 \
     ORDER BY tracking_api DESC, sequence DESC LIMIT 1";

fn sequences(
    db: &Connection,
    conversion: &ConversionId,
) -> Result<BTreeMap<TrackingApiId, u32>, Fault> {
    let mut sequences = BTreeMap::new();
    let mut bound = ABOVE_TOKENS.to_owned();
    while let Some((id, sequence)) =
        one(db, LAST_NUMBER, params![conversion.as_bytes(), bound], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<u32>>(1)?))
        })?
    {
        if let Some(sequence) = sequence {
            sequences.insert(tracking_api(&id)?, sequence);
        }
        bound = id;
    }
    Ok(sequences)
}

/// The query of [`delayed`]: the last tracking API and transaction below some, with the newest
/// message.
const NEWEST_DELAYED: &str = "SELECT tracking_api, transaction_id, id, standing, \
     settled_after IS NOT NULL FROM messages WHERE is_delayed = 1 AND conversion = ?1 \
     AND (tracking_api, transaction_id) < (?2, ?3) \
     ORDER BY tracking_api DESC, transaction_id DESC, id DESC LIMIT 1";

fn delayed(
    db: &Connection,
    conversion: &ConversionId,
) -> Result<BTreeMap<(TrackingApiId, TransactionId), Delayed>, Fault> {
    let mut delayed = BTreeMap::new();
    let mut bound = (ABOVE_TOKENS.to_owned(), [0; 16]);
    while let Some((next, found)) =
        one(db, NEWEST_DELAYED, params![conversion.as_bytes(), bound.0, bound.1], |row| {
            let id = MessageId::from_bytes(row.get(2)?);
            // What was settled once has ended, whatever becomes of it by hand.
            let found = match (row.get(4)?, coded(row, 3, "standing")?) {
                (false, Standing::Due) => Delayed::Scheduled(id),
                (false, Standing::Held) => Delayed::Held(id),
                _ => Delayed::Ended,
            };
            Ok(((row.get::<_, String>(0)?, row.get::<_, [u8; 16]>(1)?), found))
        })?
    {
        delayed.insert((tracking_api(&next.0)?, TransactionId::from_bytes(next.1)), found);
        bound = next;
    }
    Ok(delayed)
}

fn tracking_api(id: &str) -> Result<TrackingApiId, Fault> {
    TrackingApiId::new(id).map_err(|_| bad("tracking_api", id))
}

/// A message from the columns of [`MESSAGE`].
pub(crate) fn read(row: &Row<'_>) -> Result<MessageRow, Fault> {
    let standing: Standing = coded(row, 11, "standing")?;
    let lease_until: Option<i64> = row.get(18)?;
    let state = if lease_until.is_some() { MessageState::Sending } else { standing.state() };
    let request: Option<Vec<u8>> = row.get(14)?;
    let reason: Option<i64> = row.get(12)?;
    let message = Message {
        id: MessageId::from_bytes(row.get(0)?),
        of: read_of(row)?,
        event: read_event(row)?,
        conversion_id: ConversionId::from_bytes(row.get(8)?),
        sequence: row.get(10)?,
        state,
        due_at: time(row, 13)?,
        request: request.as_deref().map(blobs::decode_rendered).transpose()?,
        depth: row.get(15)?,
    };
    Ok(MessageRow {
        message,
        tenant: row.get(1)?,
        ruleset: row.get(2)?,
        owner: row.get(6)?,
        standing,
        reason: reason.map(|_| coded(row, 12, "reason")).transpose()?,
        is_settled: row.get(16)?,
        fence: row.get::<_, i64>(17)?.unsigned_abs(),
        lease_until: lease_until.map(Timestamp::from_ms),
        attempts: row.get(19)?,
        delivery_retries: row.get(20)?,
        polls: row.get(21)?,
    })
}

fn read_of(row: &Row<'_>) -> Result<MessageOf, Fault> {
    if let Some(id) = text(row, 3, "tracking_api", |t| TrackingApiId::new(t).ok())? {
        return Ok(MessageOf::TrackingApi(id));
    }
    let postback = text(row, 4, "postback", |t| PostbackId::new(t).ok())?;
    let postback = postback.ok_or_else(|| bad("postback", "NULL"))?;
    Ok(MessageOf::Step { postback, number: row.get(5)? })
}

/// The codes of events: a stored form.
fn event_code(event: Event) -> i64 {
    match event {
        Event::ConversionCreated => 0,
        Event::ConversionUpdated => 1,
        Event::TransactionCreated(_) => 2,
        Event::TransactionUpdated(_) => 3,
    }
}

fn read_event(row: &Row<'_>) -> Result<Option<Event>, Fault> {
    let Some(code): Option<i64> = row.get(7)? else {
        return Ok(None);
    };
    let transaction: Option<[u8; 16]> = row.get(9)?;
    match (code, transaction.map(TransactionId::from_bytes)) {
        (0, None) => Ok(Some(Event::ConversionCreated)),
        (1, None) => Ok(Some(Event::ConversionUpdated)),
        (2, Some(id)) => Ok(Some(Event::TransactionCreated(id))),
        (3, Some(id)) => Ok(Some(Event::TransactionUpdated(id))),
        _ => Err(bad("event", code)),
    }
}

/// The rules version with which a tenant last decided.
pub(crate) fn last_version(db: &Connection, tenant: i64) -> Result<u32, Fault> {
    let version = rows::value(db, "SELECT ruleset FROM tenants WHERE id = ?1", params![tenant])?;
    version.ok_or_else(|| bad("tenant", tenant))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How SQLite goes about a query.
    fn plan(sql: &str) -> String {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("schema/v1.sql")).unwrap();
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut rows = statement.raw_query();
        let mut lines = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            lines.push(row.get::<_, String>(3).unwrap());
        }
        lines.join("; ")
    }

    /// However much was told before, these are seeks.
    #[test]
    fn nothing_that_the_writer_asks_looks_at_history() {
        let of_conversion = "SEARCH messages USING COVERING INDEX messages_of_conversion";
        let table = [
            (
                crate::claim::NEXT_DESTINATION,
                "SEARCH messages USING COVERING INDEX messages_due (destination>?)".to_owned(),
            ),
            (
                crate::claim::OLDEST,
                "SEARCH messages USING COVERING INDEX messages_due (destination=? AND <expr><?)"
                    .to_owned(),
            ),
            (LAST_NUMBER, format!("{of_conversion} (conversion=? AND tracking_api<?)")),
            (
                NEWEST_DELAYED,
                "SEARCH messages USING INDEX messages_delayed (conversion=? AND \
                 (tracking_api,transaction_id)<(?,?))"
                    .to_owned(),
            ),
            (
                NUMBERED,
                "SEARCH messages USING INDEX messages_of_conversion (conversion=? AND \
                 tracking_api=? AND sequence=?)"
                    .to_owned(),
            ),
        ];
        for (sql, expected) in table {
            assert_eq!(plan(sql), expected, "{sql}");
        }
        // What is counted is counted in indexes that hold nothing else.
        for (condition, index) in [
            (IS_CLAIMABLE, "SCAN messages USING COVERING INDEX messages_due"),
            (IS_CLAIMABLE_LATER, "SCAN messages USING INDEX messages_leased"),
            ("standing = 4", "SEARCH messages USING COVERING INDEX messages_standing (standing=?)"),
        ] {
            assert_eq!(plan(&format!("SELECT count(*) FROM messages WHERE {condition}")), index);
        }
    }
}
