//! Messages as rows, and as what would be sent.

use alloc::{borrow::ToOwned, boxed::Box, string::String, vec::Vec};

use serde::Serialize;

use crate::{
    answer::Unmapped,
    delivery::DeadReason,
    ids::{ConversionId, MessageId, TransactionId},
    message::{Message, MessageOf, MessageState},
    outbox::Attempted,
    pieces::shown_parts,
    ruleset::Ruleset,
    time::{Period, Timestamp},
    token::{PostbackId, TrackingApiId},
    tracking_api::{HttpMethod, Owner, TrackingApi},
};

/// A message with its attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryView {
    /// Its id, the same for all attempts.
    pub id: MessageId,
    /// What it tells; absent for a step.
    pub tracking_api_id: Option<TrackingApiId>,
    /// The definition whose step it is; absent for what a tracking API tells.
    pub postback_id: Option<PostbackId>,
    /// Which step of it, from one.
    pub step: Option<u32>,
    /// The event that it tells of.
    pub event: Option<&'static str>,
    /// The conversion that it is about.
    pub conversion_id: ConversionId,
    /// The transaction that it is about, where the event is one of a transaction.
    pub transaction_id: Option<TransactionId>,
    /// Its number among the messages of one tracking API about one conversion (R44).
    pub sequence: Option<u32>,
    /// Where it stands.
    pub state: MessageState,
    /// Why it ended undelivered.
    pub reason: Option<DeadReason>,
    /// When it is attempted next.
    pub due_at: Timestamp,
    /// What went wrong in the last attempt, in words; absent where nothing did, and once the
    /// message is delivered.
    pub last_error: Option<Box<str>>,
    /// The request, secrets by name; absent until it is rendered.
    pub request: Option<RequestShown>,
    /// What was tried, oldest first.
    pub attempts: Vec<AttemptView>,
}

/// An outbound request as people may see it: secrets stand there by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestShown {
    /// The HTTP method.
    pub method: HttpMethod,
    /// The URL.
    pub url: String,
    /// Headers of the rules.
    pub headers: Vec<(Box<str>, String)>,
    /// The body.
    pub body: Option<String>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptView {
    /// Its number, from one.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What happened: `answered`, `unanswered`, `forbidden`, or `our_fault`: nothing was sent,
    /// and of faults that follow each other the last one stands for all.
    pub outcome: &'static str,
    /// The status of the answer; absent where none came.
    pub status: Option<u16>,
    /// What went wrong, in words.
    pub error: Option<Box<str>>,
    /// The beginning of the answer's body.
    pub response: Option<Box<str>>,
    /// Parameters that the answer should have set and did not (`unmapped_value`, R45).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmapped_values: Vec<Unmapped>,
}

/// A tracking API as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackingApiView {
    /// Its id.
    pub id: TrackingApiId,
    /// `admin`, or the affiliate's id.
    pub owner: Box<str>,
    /// The country of the offer that it is for; blank where it is for none or several.
    pub country: Box<str>,
    /// Which events it fires on (R37).
    pub trigger: &'static str,
    /// Whether it fires at all.
    pub active: bool,
    /// The HTTP method.
    pub method: HttpMethod,
    /// Scheme, host and port of what it calls.
    pub destination: Box<str>,
}

impl DeliveryView {
    /// A message in its state, with why it is dead and what was tried.
    pub fn of(message: &Message, reason: Option<DeadReason>, attempts: Vec<AttemptView>) -> Self {
        let (tracking_api_id, postback_id, step) = match &message.of {
            MessageOf::TrackingApi(id) => (Some(id.clone()), None, None),
            MessageOf::Step { postback, number } => {
                (None, Some(postback.clone()), Some(u32::from(*number) + 1))
            }
        };
        Self {
            id: message.id,
            tracking_api_id,
            postback_id,
            step,
            event: message.event.map(crate::decision::Event::name),
            conversion_id: message.conversion_id,
            transaction_id: message.transaction_id(),
            sequence: message.sequence,
            state: message.state,
            reason,
            due_at: message.due_at,
            last_error: attempts
                .last()
                .filter(|_| message.state != MessageState::Delivered)
                .and_then(|last| last.error.clone()),
            request: message.request.as_ref().map(|request| RequestShown {
                method: request.method,
                url: shown_parts(&request.url),
                headers: request
                    .headers
                    .iter()
                    .map(|(name, parts)| (name.clone(), shown_parts(parts)))
                    .collect(),
                body: request.body.as_ref().map(|(_, parts)| shown_parts(parts)),
            }),
            attempts,
        }
    }
}

impl DeliveryView {
    /// Whether what it told is gone, erased or pruned: it cannot be sent again.
    pub fn is_forgotten(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.url.is_empty())
    }
}

impl AttemptView {
    /// The attempt of this number.
    pub fn of(number: u32, attempted: &Attempted) -> Self {
        let took: Period = attempted.took;
        Self {
            number,
            started_at: attempted.started_at,
            duration_ms: took.as_ms(),
            outcome: attempted.outcome.name(),
            status: attempted.outcome.status(),
            error: attempted.error.clone(),
            response: attempted.response.clone(),
            unmapped_values: attempted
                .answer
                .as_ref()
                .map(|answer| answer.unmapped.clone())
                .unwrap_or_default(),
        }
    }
}

impl TrackingApiView {
    /// A tracking API of these rules.
    pub fn of(api: &TrackingApi, ruleset: &Ruleset) -> Self {
        let only = match &api.conditions.offers {
            Some(offers) if offers.len() == 1 => offers.first(),
            _ => None,
        };
        let owner = match &api.owner {
            Owner::Admin => "admin",
            Owner::Affiliate(id) => id.as_str(),
        };
        Self {
            id: api.id.clone(),
            owner: owner.into(),
            country: only
                .and_then(|offer| ruleset.offer(offer.as_str()))
                .and_then(|offer| offer.country.as_deref())
                .unwrap_or_default()
                .into(),
            trigger: api.trigger.name(),
            active: api.active,
            method: api.call.request.method,
            destination: api.call.request.destination.to_owned(),
        }
    }
}
