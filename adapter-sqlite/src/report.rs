//! Reports: the attempt is kept, what follows it is applied, what the answer sets becomes a request
//! of its own (R45), and what waited for the message goes on (R44, R46).

use std::iter;

use counterfoil_core::{
    Arrival, AttemptOutcome, Attempted, DeadReason, Incoming, MessageId, MessageOf, Method, Next,
    Receipt, Report, RetryKind, Timestamp,
};
use rusqlite::{Connection, params};

use crate::{
    blobs,
    codes::{self, Coded},
    decide,
    fault::{Fault, bad},
    ids, log,
    messages::{self, MessageRow, Standing},
    outbox::{Desk, Reported},
    rows,
    rules::Rules,
};

/// Takes reports. A claim that is not its reporter's any more changes nothing.
pub(crate) fn report(desk: &mut Desk<'_>, reports: &[Report]) -> Result<Reported, Fault> {
    let mut reported = Reported::default();
    for report in reports {
        let (id, fence) = report.claim();
        let row = messages::get(desk.db, &id)?;
        match row.filter(|row| row.fence == fence && row.lease_until.is_some()) {
            Some(row) => take(desk, &row, report)?,
            None => reported.stale += 1,
        }
    }
    Ok(reported)
}

fn take(desk: &mut Desk<'_>, row: &MessageRow, report: &Report) -> Result<(), Fault> {
    let attempted = match report {
        Report::Attempted(attempted) => attempted,
        Report::Released { message, until, .. } => {
            desk.made_due = true;
            return messages::stand(desk.db, message, row.standing, *until);
        }
    };
    let number = match is_same_fault(desk.db, row, attempted)? {
        true => row.attempts,
        false => row.attempts.saturating_add(1),
    };
    store_attempt(desk.db, number, attempted)?;
    let ended_at = attempted.started_at.plus(attempted.took);
    match attempted.next {
        Next::Retry { at, kind } => {
            again(desk.db, row, number, (at, kind))?;
            desk.made_due = true;
        }
        Next::Delivered => {
            count_attempt(desk.db, &row.message.id, number)?;
            messages::stand(desk.db, &row.message.id, Standing::Delivered, row.message.due_at)?;
            apply_answer(desk, row, attempted, ended_at)?;
            go_on(desk, row, ended_at)?;
        }
        Next::Dead(reason) => {
            count_attempt(desk.db, &row.message.id, number)?;
            messages::end_dead(desk.db, &row.message.id, reason)?;
            go_on_after_dead(desk, row)?;
        }
    }
    Ok(())
}

/// Whether an attempt only meets the fault of ours again that the one before met. It takes the
/// place of that one: until somebody mends it there is one every minute.
fn is_same_fault(db: &Connection, row: &MessageRow, attempted: &Attempted) -> Result<bool, Fault> {
    if !matches!(attempted.next, Next::Retry { kind: RetryKind::Ours, .. }) {
        return Ok(false);
    }
    let sql = "SELECT outcome, error FROM attempts WHERE message = ?1 AND number = ?2";
    let given = params![row.message.id.as_bytes(), row.attempts];
    let before = rows::one(db, sql, given, |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<Box<str>>>(1)?))
    })?;
    let now = (codes::attempt_code(&attempted.outcome), attempted.error.clone());
    let is_told = attempted.error.is_some() || attempted.outcome == AttemptOutcome::OurFault;
    Ok(is_told && before == Some(now))
}

/// Keeps an attempt, in the place of one of its number.
fn store_attempt(db: &Connection, number: u32, attempted: &Attempted) -> Result<(), Fault> {
    let unmapped = attempted.answer.as_ref().map_or(&[][..], |answer| &answer.unmapped);
    db.prepare_cached(
        "INSERT OR REPLACE INTO attempts \
         (message, number, started_at, took, outcome, status, error, response, unmapped) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        attempted.message.as_bytes(),
        number,
        attempted.started_at.as_ms(),
        i64::try_from(attempted.took.as_ms()).unwrap_or(i64::MAX),
        codes::attempt_code(&attempted.outcome),
        attempted.outcome.status(),
        attempted.error,
        attempted.response,
        blobs::encode_unmapped(unmapped)?,
    ])?;
    Ok(())
}

fn count_attempt(db: &Connection, id: &MessageId, number: u32) -> Result<(), Fault> {
    let sql = "UPDATE messages SET attempts = ?2 WHERE id = ?1";
    db.prepare_cached(sql)?.execute(params![id.as_bytes(), number])?;
    Ok(())
}

/// Another attempt follows; each kind of retry has its counter, and a fault of ours uses up none.
fn again(
    db: &Connection,
    row: &MessageRow,
    number: u32,
    (at, kind): (Timestamp, RetryKind),
) -> Result<(), Fault> {
    let (standing, delivery_retries, polls) = match kind {
        RetryKind::Delivery => (Standing::Due, 1, 0),
        RetryKind::Polling => (Standing::Polling, 0, 1),
        RetryKind::Ours => (row.standing, 0, 0),
    };
    // While it was sent, the one before it was retried by hand: that one goes first (R44).
    let standing = if row.standing == Standing::Waits { Standing::Waits } else { standing };
    db.prepare_cached(
        "UPDATE messages SET standing = ?2, due_at = ?3, lease_until = NULL, attempts = ?4, \
         delivery_retries = ?5, polls = ?6 WHERE id = ?1",
    )?
    .execute(params![
        row.message.id.as_bytes(),
        standing.stored(),
        at.as_ms(),
        number,
        row.delivery_retries.saturating_add(delivery_retries),
        row.polls.saturating_add(polls),
    ])?;
    Ok(())
}

/// R45: what the answer sets, as an update by the rules that run now, with its own log row.
fn apply_answer(
    desk: &mut Desk<'_>,
    row: &MessageRow,
    attempted: &Attempted,
    at: Timestamp,
) -> Result<(), Fault> {
    let Some(answer) = attempted.answer.as_ref().filter(|answer| !answer.set.is_empty()) else {
        return Ok(());
    };
    let message = &row.message;
    let id = &message.conversion_id;
    let conversion = rows::conversion(desk.db, row.tenant, id)?;
    let conversion = conversion.ok_or_else(|| bad("conversion", id))?;
    let text = message.update_text(answer, &conversion, &rows::transactions(desk.db, id)?);
    let method = match message.of {
        MessageOf::TrackingApi(_) => Method::TrackingApi,
        MessageOf::Step { .. } => Method::Step,
    };
    let rules = rules_of_now(desk, row)?;
    let incoming = Incoming { method, dialect: None, query: &text, body: None };
    let arrival = Arrival::read(&rules.ruleset, &incoming);
    let id = desk.ids.next(at.as_ms()).map_err(Fault::Random)?;
    let receipt = Receipt { id, at };
    let decision = decide::consider(desk.db, &rules, &arrival.request, receipt)?;
    desk.recent.changed(&decision);
    desk.made_due |= decide::makes_due(&decision);
    let decided = decide::finish(desk.db, rules, &arrival, receipt, decision)?;
    log::write(desk.db, iter::once((&arrival, &decided)))
}

/// The rules that decide about the tenant, or decided last where none were installed in this
/// process.
fn rules_of_now(desk: &Desk<'_>, row: &MessageRow) -> Result<Rules, Fault> {
    let unreadable = || bad("version of the rules of tenant", row.tenant);
    if let Some(running) = desk.shared.rules_of(row.tenant) {
        return Ok(running);
    }
    let last = messages::last_version(desk.db, row.tenant)?;
    desk.versions.get(desk.db, row.tenant, last)?.ok_or_else(unreadable)
}

/// What waited for a message that is delivered: the next number (R44), the next step (R46).
fn go_on(desk: &mut Desk<'_>, row: &MessageRow, at: Timestamp) -> Result<(), Fault> {
    release_next_number(desk, row)?;
    if !matches!(row.message.of, MessageOf::Step { .. }) {
        return Ok(());
    }
    let sql = "UPDATE messages SET standing = ?3, due_at = ?4 WHERE id = \
               (SELECT id FROM messages WHERE id > ?1 AND id <= ?2 AND step IS NOT NULL \
               ORDER BY id LIMIT 1) AND standing = ?5";
    let id = row.message.id;
    let (due, held) = (Standing::Due.stored(), Standing::Held.stored());
    let last = ids::last_sibling(&id);
    let given = params![id.as_bytes(), last.as_bytes(), due, at.as_ms(), held];
    desk.made_due |= desk.db.prepare_cached(sql)?.execute(given)? > 0;
    Ok(())
}

/// What waited for a message that is dead: the next number goes on all the same (R44), the steps
/// behind it are dead too (R46).
fn go_on_after_dead(desk: &mut Desk<'_>, row: &MessageRow) -> Result<(), Fault> {
    release_next_number(desk, row)?;
    let MessageOf::Step { postback, .. } = &row.message.of else {
        return Ok(());
    };
    let sql = "UPDATE messages SET standing = ?3, reason = ?4 \
               WHERE id > ?1 AND id <= ?2 AND step IS NOT NULL AND standing = ?5 \
               RETURNING id, step";
    let id = row.message.id;
    let (dead, held) = (Standing::Dead.stored(), Standing::Held.stored());
    let reason = DeadReason::PreviousStepFailed;
    let last = ids::last_sibling(&id);
    let given = params![id.as_bytes(), last.as_bytes(), dead, reason.stored(), held];
    let rules = desk.versions.get(desk.db, row.tenant, row.ruleset)?;
    let mut statement = desk.db.prepare_cached(sql)?;
    let mut died = statement.query(given)?;
    while let Some(died) = died.next()? {
        let (id, number) = (MessageId::from_bytes(died.get(0)?), died.get(1)?);
        let of = MessageOf::Step { postback: postback.clone(), number };
        if let Some(rules) = &rules {
            messages::tell_dead(&rules.ruleset, &id, &of, reason);
        }
    }
    Ok(())
}

fn release_next_number(desk: &mut Desk<'_>, row: &MessageRow) -> Result<(), Fault> {
    let (MessageOf::TrackingApi(api), Some(number)) = (&row.message.of, row.message.sequence)
    else {
        return Ok(());
    };
    let next = number.saturating_add(1);
    let next = messages::numbered(desk.db, &row.message.conversion_id, api, next)?;
    let Some((id, Standing::Waits)) = next else {
        return Ok(());
    };
    let sql = "UPDATE messages SET standing = ?2 WHERE id = ?1";
    desk.db.prepare_cached(sql)?.execute(params![id.as_bytes(), Standing::Due.stored()])?;
    desk.made_due = true;
    Ok(())
}
