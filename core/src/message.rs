//! Messages: what is told to another system about one event, until it is delivered or dead
//! (R40, R43, R44, R46).
//!
//! The life of a message, as whoever stores and sends it keeps it:
//!
//! 1. [`Effect::InsertMessage`](crate::Effect::InsertMessage) makes it, in the commit of its
//!    decision, together with the version of the rules that decided: they are the rules of its
//!    event for as long as it lives.
//! 2. Where it has no request when it is due, [`due`](crate::due()) says, with the state of then
//!    and in one commit with its answer, whether it is rendered, held or dropped.
//!    [`Effect::WakeMessage`](crate::Effect::WakeMessage) makes a held one due again.
//! 3. It is attempted when the message of the number before it has ended (R44), and the
//!    [`Breaker`](crate::Breaker) of its destination allows it. Secrets are put in by
//!    [`complete`](crate::complete) for each attempt.
//! 4. Of a good answer, [`read_answer`](crate::read_answer) says whether it is pending and what it
//!    sets; [`Message::update_text`] is the request that applies it, by the method `tracking_api`
//!    or `step`.
//! 5. [`after_attempt`](crate::after_attempt) says what follows.
//! 6. When a step is delivered and its answer applied, the next step is due; when it is dead, so
//!    are the steps behind it (R46).

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    decision::Event,
    ids::{ConversionId, MessageId, TransactionId},
    pieces::Part,
    time::Timestamp,
    token::{PostbackId, TrackingApiId},
    tracking_api::{Cause, HttpMethod},
};

/// A message, as it is made by a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id, the same for all attempts.
    pub id: MessageId,
    /// What makes it.
    pub of: MessageOf,
    /// The event that it tells of; a step tells of none.
    pub event: Option<Event>,
    /// The conversion that it is about.
    pub conversion_id: ConversionId,
    /// Its number among the messages of one tracking API about one conversion (R44); none until it
    /// is rendered, and none for steps.
    pub sequence: Option<u32>,
    /// Where it stands.
    pub state: MessageState,
    /// When it is attempted next, or looked at again.
    pub due_at: Timestamp,
    /// The request, filled but for its secrets; none until a delayed message or a later step is
    /// due.
    pub request: Option<Rendered>,
    /// How many answers came before it in the chain of causes (R45).
    pub depth: u8,
}

impl Message {
    /// The transaction that it is about, where its event is one of a transaction.
    pub fn transaction_id(&self) -> Option<TransactionId> {
        self.event.and_then(Event::transaction)
    }
}

/// What makes a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageOf {
    /// A tracking API.
    TrackingApi(TrackingApiId),
    /// A step of a postback definition (R46), counted from zero.
    Step {
        /// The definition.
        postback: PostbackId,
        /// Which step.
        number: u16,
    },
}

/// The id of the tracking API, or of the definition with the number of the step, from one.
impl fmt::Display for MessageOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrackingApi(id) => write!(f, "{id}"),
            Self::Step { postback, number } => {
                write!(f, "{postback} step {}", u32::from(*number) + 1)
            }
        }
    }
}

impl MessageOf {
    /// The cause that an update by this message's answer has.
    pub fn cause(&self, depth: u8) -> Cause {
        let tracking_api = match self {
            Self::TrackingApi(id) => Some(id.clone()),
            Self::Step { .. } => None,
        };
        Cause { tracking_api, depth: depth.saturating_add(1) }
    }
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// It waits for its time.
    Due,
    /// It waits for something to happen: a result (R43), or the end of the step before (R46).
    Held,
    /// An attempt is under way.
    Sending,
    /// It arrived.
    Delivered,
    /// It arrived, and the answer is asked for again (R42).
    Polling,
    /// It ended undelivered.
    Dead,
}

impl MessageState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Due, Self::Held, Self::Sending, Self::Delivered, Self::Polling, Self::Dead];

    /// The name in answers and filters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Held => "held",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Polling => "polling",
            Self::Dead => "dead",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A request that is final but for its secrets (R40).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// The HTTP method.
    pub method: HttpMethod,
    /// The URL.
    pub url: Vec<Part>,
    /// Headers, names in lower case.
    pub headers: Vec<(Box<str>, Vec<Part>)>,
    /// The body, with its content type.
    pub body: Option<(Box<str>, Vec<Part>)>,
}

impl Rendered {
    /// What stands in place of a request whose content is gone: it was erased, or pruned.
    pub const fn forgotten() -> Self {
        Self { method: HttpMethod::Get, url: Vec::new(), headers: Vec::new(), body: None }
    }

    /// Whether the content is gone: nothing can be sent any more.
    pub const fn is_forgotten(&self) -> bool {
        self.url.is_empty()
    }
}
