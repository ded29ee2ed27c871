//! What became of a request, in the order of time: how it was decided, what that made, what was
//! sent, and what came later about the same conversion.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde::Serialize;

use super::{AttemptView, DeliveryView, RequestView, TransactionView};
use crate::{
    ids::RequestId,
    message::MessageState,
    reason::Reason,
    time::{Period, Timestamp},
};

/// What became of a request, the earliest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// Whether all later requests about the conversion are in it.
    pub complete: bool,
    /// What happened.
    pub items: Vec<Moment>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// When; of what is still to come, when it is due.
    pub at: Timestamp,
    /// What.
    pub what: MomentKind,
    /// The id of what it is about: a request, a transaction or a message.
    pub id: String,
    /// In words.
    pub message: String,
}

/// What can happen, in the order in which it happens at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MomentKind {
    /// The request came in.
    Received,
    /// It was asked to prove who sends it.
    Authenticated,
    /// It was decided.
    Decided,
    /// A transaction was made or changed.
    Transaction,
    /// A message was made.
    Message,
    /// A message was tried.
    Attempt,
    /// A message arrived.
    Delivered,
    /// A message ended undelivered.
    Dead,
    /// A message waits.
    Due,
    /// Another request was about the same conversion.
    Later,
}

impl MomentKind {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Authenticated => "authenticated",
            Self::Decided => "decided",
            Self::Transaction => "transaction",
            Self::Message => "message",
            Self::Attempt => "attempt",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Due => "due",
            Self::Later => "later",
        }
    }
}

/// What a store holds of a request.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The log row.
    pub request: &'a RequestView,
    /// What its definition asked for as proof, by the keys of the rules.
    pub proof: &'a [&'static str],
    /// The transactions of the conversion.
    pub transactions: &'a [TransactionView],
    /// The messages that the request made.
    pub deliveries: &'a [DeliveryView],
    /// Later requests about the same conversion.
    pub later: &'a [RequestView],
    /// Whether these are all of them.
    pub is_all: bool,
}

impl Timeline {
    /// The timeline of what is held.
    pub fn of(held: &Held<'_>) -> Self {
        let mut items = decided(held);
        let own = held.transactions.iter().filter(|t| held.request.transaction_ids.contains(&t.id));
        items.extend(own.map(|t| transaction(held.request, t)));
        items.extend(held.deliveries.iter().flat_map(|delivery| sent(held.request, delivery)));
        items.extend(held.later.iter().map(later));
        items.sort_by_key(|moment| (moment.at, moment.what));
        Self { complete: held.is_all, items }
    }
}

fn decided(held: &Held<'_>) -> Vec<Moment> {
    let request = held.request;
    let moment = |what, message: String| Moment {
        at: request.received_at,
        what,
        id: request.id.to_string(),
        message,
    };
    let from = request.remote_addr.as_deref();
    let from = from.map(|address| format!(" from {address}")).unwrap_or_default();
    let mut moments =
        alloc::vec![moment(MomentKind::Received, format!("by {}{from}", request.method.name()))];
    let proof = held.proof.join(", ");
    if request.reason == Some(Reason::Unauthorized) {
        let why = request.message.as_deref().unwrap_or_default();
        moments.push(moment(MomentKind::Authenticated, format!("failed: {why}")));
    } else if !proof.is_empty() {
        moments.push(moment(MomentKind::Authenticated, format!("passed: {proof}")));
    }
    moments.push(moment(MomentKind::Decided, outcome(request)));
    moments
}

/// The outcome, with what it is about or why.
fn outcome(request: &RequestView) -> String {
    let mut text = request.outcome.to_string();
    if let Some(reason) = request.reason {
        let why = request.message.as_deref().unwrap_or_default();
        text.push_str(&format!(", {reason}: {why}"));
    }
    if let Some(conversion) = request.conversion_id {
        text.push_str(&format!(", conversion {conversion}"));
    }
    for note in &request.notes {
        text.push_str(&format!(", {note}"));
    }
    text
}

/// What is stored is the state of now; the trace of the request says what it was.
fn transaction(request: &RequestView, transaction: &TransactionView) -> Moment {
    let TransactionView { commission_id, result, revenue, payout, currency, .. } = transaction;
    let made = is_made_by(request.id, transaction.id.as_bytes());
    let verb = if made { "made" } else { "changed" };
    Moment {
        at: request.received_at,
        what: MomentKind::Transaction,
        id: transaction.id.to_string(),
        message: format!(
            "{verb} by `{commission_id}`; it is {} now, revenue {revenue} {currency}, payout \
             {payout} {currency}",
            result.name()
        ),
    }
}

/// Whether an id was derived from a request's.
fn is_made_by(request: RequestId, id: &[u8; 16]) -> bool {
    request.as_bytes().iter().zip(id).take(14).all(|(one, other)| one == other)
}

fn sent(request: &RequestView, delivery: &DeliveryView) -> Vec<Moment> {
    let moment = |at, what, message| Moment { at, what, id: delivery.id.to_string(), message };
    let of = of(delivery);
    let event = delivery.event.map(|event| format!(" on {event}")).unwrap_or_default();
    let mut moments =
        alloc::vec![moment(request.received_at, MomentKind::Message, format!("{of}{event}"))];
    for attempt in &delivery.attempts {
        let text = format!("{of}, attempt {}: {}", attempt.number, ended(attempt));
        moments.push(moment(attempt.started_at, MomentKind::Attempt, text));
    }
    let last = delivery.attempts.last();
    let end = last
        .map_or(delivery.due_at, |last| last.started_at.plus(Period::from_ms(last.duration_ms)));
    moments.push(match delivery.state {
        MessageState::Delivered => moment(end, MomentKind::Delivered, of),
        MessageState::Dead => {
            let why = delivery.reason.map(|why| format!(": {}", why.code())).unwrap_or_default();
            moment(end, MomentKind::Dead, format!("{of}{why}"))
        }
        state => moment(delivery.due_at, MomentKind::Due, format!("{of}: {}", state.name())),
    });
    moments
}

/// What makes a message.
fn of(delivery: &DeliveryView) -> String {
    match (&delivery.tracking_api_id, &delivery.postback_id, delivery.step) {
        (Some(id), ..) => format!("`{id}`"),
        (None, Some(postback), Some(step)) => format!("step {step} of `{postback}`"),
        _ => String::new(),
    }
}

fn ended(attempt: &AttemptView) -> String {
    let took = attempt.duration_ms;
    match (attempt.status, &attempt.error) {
        (Some(status), _) => format!("{status} after {took} ms"),
        (None, Some(error)) => format!("{error}, after {took} ms"),
        (None, None) => format!("{} after {took} ms", attempt.outcome),
    }
}

fn later(request: &RequestView) -> Moment {
    let method = request.method.name();
    Moment {
        at: request.received_at,
        what: MomentKind::Later,
        id: request.id.to_string(),
        message: format!("by {method}: {}", outcome(request)),
    }
}
