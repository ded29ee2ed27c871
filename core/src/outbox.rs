//! Messages in the hands of whoever sends them: what a store gives out, and what it is told back.
//!
//! ```text
//! store: due messages -> Claim (committed, with a lease) -> sender: attempt -> Report -> store
//! ```
//!
//! A claim is the right to make one attempt until its lease ends. Its fence is a number that rises
//! with every claim of the message: a report of a claim whose lease has ended, and whose message
//! was claimed again since, changes nothing.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use crate::{
    answer::ReadAnswer,
    delivery::{AttemptOutcome, Next},
    ids::MessageId,
    message::{Message, MessageOf},
    ruleset::Ruleset,
    time::{Period, Timestamp},
    tracking_api::Call,
};

/// The right to attempt a message once. Its request is rendered, and the message of the number
/// before it has ended (R44).
#[derive(Clone, Debug)]
pub struct Claim {
    /// The message; its request is there.
    pub message: Message,
    /// The rules of its event.
    pub ruleset: Arc<Ruleset>,
    /// Rises with every claim of the message.
    pub fence: u64,
    /// The number of the attempt, from one.
    pub attempt: u32,
    /// Retries because the message did not arrive, before this attempt.
    pub delivery_retries: u8,
    /// Retries because the answer was pending, before this attempt.
    pub polls: u8,
}

impl Claim {
    /// The request's policy and what is read of its answer; none: the rules of its event do not
    /// know it, a defect.
    pub fn call(&self) -> Option<&Call> {
        self.ruleset.call(&self.message.of)
    }
}

/// How a claim ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// An attempt was made.
    Attempted(Attempted),
    /// None was made: the message waits, without an attempt, until this moment. Uses up no retry.
    Released {
        /// The message.
        message: MessageId,
        /// The claim's.
        fence: u64,
        /// When it is due again.
        until: Timestamp,
    },
}

/// An attempt as it is remembered, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// The message.
    pub message: MessageId,
    /// The claim's.
    pub fence: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub took: Period,
    /// What happened.
    pub outcome: AttemptOutcome,
    /// What went wrong, in words, without secrets.
    pub error: Option<Box<str>>,
    /// The beginning of the answer's body.
    pub response: Option<Box<str>>,
    /// What a good answer says; what it sets is applied to the conversion in the commit of this
    /// report (R45).
    pub answer: Option<ReadAnswer>,
    /// What follows, of [`after_attempt`](crate::after_attempt).
    pub next: Next,
}

impl Report {
    /// The message, and the fence of its claim.
    pub fn claim(&self) -> (MessageId, u64) {
        match self {
            Self::Attempted(attempted) => (attempted.message, attempted.fence),
            Self::Released { message, fence, .. } => (*message, *fence),
        }
    }
}

/// Which due messages are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What is due at this moment.
    pub now: Timestamp,
    /// How long the lease of a claim is, beyond the timeout of its call.
    pub slack: Period,
    /// The most in all.
    pub most: usize,
    /// The most of one destination.
    pub most_of_one: usize,
    /// Destinations of which none is wanted now: those that are busy.
    pub except: Vec<Box<str>>,
}

impl Ruleset {
    /// The call that makes messages of a kind.
    pub fn call(&self, of: &MessageOf) -> Option<&Call> {
        match of {
            MessageOf::TrackingApi(id) => self.tracking_api(id.as_str()).map(|api| &api.call),
            MessageOf::Step { postback, number } => {
                let definition = self.postbacks().iter().find(|known| known.id == *postback);
                definition.and_then(|known| known.steps.get(usize::from(*number)))
            }
        }
    }
}
