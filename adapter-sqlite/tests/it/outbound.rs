//! Messages on their way out (R40 to R46): what a store gives to whoever sends, and what becomes
//! of what it is told back.

mod answers;
mod claims;
mod costs;
mod defects;
mod delayed;
mod histories;
mod order;
mod retries;
mod views;

use std::sync::mpsc;

use counterfoil_core::{
    AttemptOutcome, Attempted, Claim, ConversionId, DeadReason, MessageId, MessageState, Next,
    Period, ReadAnswer, Report, RetryKind, Timestamp, Wanted,
    view::{DeliveryView, Filter},
};
use counterfoil_sqlite::{RulesFormat, SubmitError};

use crate::common::{Db, RULES, acme, at};

/// A database with a click, of which nothing was told, then [`RULES`] and more.
fn begin(rules: &str) -> (Db, ConversionId) {
    let db = Db::new();
    let click = db.click(at(0));
    install(&db, rules, 0);
    (db, click)
}

fn install(db: &Db, rules: &str, ms: i64) {
    let rules = format!("{RULES}\n{rules}");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(ms)).unwrap();
}

/// A tracking API that tells everything about conversions to a destination.
fn tells(id: &str, host: &str, more: &str) -> String {
    format!(
        "[[tracking_api]]\nid = '{id}'\ntrigger = 'conversion'\n\
         request.url = 'https://{host}/?v={{value}}&n={{sequence}}'\n{more}\n"
    )
}

/// So many messages at this moment, without limits by destination.
pub(crate) fn wanted(ms: i64, most: usize) -> Wanted {
    let slack = Period::from_ms(5_000);
    Wanted { now: at(ms), slack, most, most_of_one: most, except: Vec::new() }
}

fn try_claim(db: &Db, wanted: Wanted) -> Result<Vec<Claim>, SubmitError> {
    let (reply, answer) = mpsc::channel();
    db.store().claim(wanted, Box::new(move |claims| reply.send(claims).unwrap()));
    answer.recv().unwrap()
}

fn claim(db: &Db, ms: i64) -> Vec<Claim> {
    try_claim(db, wanted(ms, 100)).unwrap()
}

/// The one message that is due.
fn claim_one(db: &Db, ms: i64) -> Claim {
    let mut claims = claim(db, ms);
    assert_eq!(claims.len(), 1);
    claims.remove(0)
}

/// The number of stale reports.
fn report(db: &Db, reports: Vec<Report>) -> usize {
    let (reply, answer) = mpsc::channel();
    db.store().report(reports, Box::new(move |reported| reply.send(reported).unwrap()));
    answer.recv().unwrap().unwrap().stale
}

fn attempted(claim: &Claim, ms: i64, next: Next) -> Attempted {
    let status = match next {
        Next::Delivered => 200,
        Next::Retry { kind: RetryKind::Polling, .. } => 202,
        _ => 503,
    };
    Attempted {
        message: claim.message.id,
        fence: claim.fence,
        started_at: at(ms),
        took: Period::from_ms(20),
        outcome: AttemptOutcome::Answered { status, pending: false, retry_after: None },
        error: None,
        response: Some("answer".into()),
        answer: None,
        next,
    }
}

fn ended(db: &Db, claim: &Claim, ms: i64, next: Next) {
    assert_eq!(report(db, vec![Report::Attempted(attempted(claim, ms, next))]), 0);
}

fn delivered(db: &Db, claim: &Claim, ms: i64) {
    ended(db, claim, ms, Next::Delivered);
}

/// Delivered, with an answer that sets something.
fn answered(claim: &Claim, ms: i64, set: &[(&str, &str)]) -> Report {
    let set = set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let answer = ReadAnswer { set, ..ReadAnswer::default() };
    Report::Attempted(Attempted { answer: Some(answer), ..attempted(claim, ms, Next::Delivered) })
}

const DEAD: Next = Next::Dead(DeadReason::RetriesExhausted);

fn again(ms: i64, kind: RetryKind) -> Next {
    Next::Retry { at: at(ms), kind }
}

fn delivery(db: &Db, id: MessageId) -> DeliveryView {
    db.reader().delivery(&acme(), id).unwrap().unwrap()
}

fn state(db: &Db, id: MessageId) -> MessageState {
    delivery(db, id).state
}

/// All messages, oldest first.
fn all(db: &Db) -> Vec<DeliveryView> {
    let filter = Filter { limit: Some(1000), ..Filter::default() };
    let mut page = db.reader().deliveries(&acme(), &filter).unwrap();
    assert_eq!(page.next_cursor, None);
    page.items.reverse();
    page.items
}

/// States of all messages, oldest first.
fn states(db: &Db) -> String {
    let states: Vec<_> = all(db).iter().map(|message| message.state.name()).collect();
    states.join(" ")
}

fn next_due(db: &Db) -> Option<Timestamp> {
    db.reader().next_due().unwrap()
}

fn replays(db: &Db) {
    assert_eq!(db.reader().replay().unwrap().differences, []);
}
