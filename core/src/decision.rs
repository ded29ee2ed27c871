//! What a decision is: an outcome, effects that leave no choice, and a trace.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    conversion::{Conversion, Root},
    dedup::{DedupKey, PairKey},
    ids::{MessageId, RequestId, TransactionId},
    message::Message,
    reason::{Note, Refusal},
    time::Timestamp,
    token::CommissionId,
    trace::Trace,
    transaction::Transaction,
};

/// What a decision is given beside request, rules and facts: its identity and its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The id of the request; every id that the decision makes is derived from it.
    pub id: RequestId,
    /// When the request arrived (import: the row's `date`).
    pub at: Timestamp,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A conversion was made.
    Created,
    /// A conversion or its transactions changed.
    Updated,
    /// Accepted, and nothing changed.
    Unchanged,
    /// A repeat: nothing changed, and the first is named.
    Duplicate,
    /// Nothing changed, and the reason is named.
    Refused,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Created, Self::Updated, Self::Unchanged, Self::Duplicate, Self::Refused];

    /// The name in answers and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
        }
    }

    /// The outcome of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Decision {
    /// The messages that it makes, in their order.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::InsertMessage(message) => Some(&**message),
            _ => None,
        })
    }
}

/// One change to what is stored. Everything in it is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Store a new conversion.
    InsertConversion(Stored),
    /// Replace a conversion by its new state.
    UpdateConversion(Stored),
    /// Store a new transaction.
    InsertTransaction(Transaction),
    /// Replace a transaction by its new state.
    UpdateTransaction(Transaction),
    /// One more transaction of this commission was made under the conversion's root (R27).
    Count(CommissionId),
    /// Store a new message.
    InsertMessage(Box<Message>),
    /// A delayed message that was held for its result is due now (R43).
    WakeMessage(MessageId),
}

/// A conversion and what it is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The conversion in its new state.
    pub conversion: Arc<Conversion>,
    /// A repeat key that it holds from now on, beside those that it holds already. Unique within
    /// the tenant.
    pub key: Option<DedupKey>,
    /// A pair that it carries from now on and that `key` does not tell: keys of kind `external`
    /// begin with their pair. Not unique.
    pub pair: Option<PairKey>,
}

/// What is told to the world of one step (R36).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// `conversion.created`
    ConversionCreated,
    /// `conversion.updated`
    ConversionUpdated,
    /// `transaction.created`
    TransactionCreated(TransactionId),
    /// `transaction.updated`
    TransactionUpdated(TransactionId),
}

impl Event {
    /// The transaction that it is about, where it is one of a transaction.
    pub const fn transaction(self) -> Option<TransactionId> {
        match self {
            Self::ConversionCreated | Self::ConversionUpdated => None,
            Self::TransactionCreated(id) | Self::TransactionUpdated(id) => Some(id),
        }
    }

    /// The name in answers and rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConversionCreated => "conversion.created",
            Self::ConversionUpdated => "conversion.updated",
            Self::TransactionCreated(_) => "transaction.created",
            Self::TransactionUpdated(_) => "transaction.updated",
        }
    }
}

/// The whole of what was decided about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused or is a duplicate.
    pub refusal: Option<Refusal>,
    /// What to store, in this order.
    pub effects: Vec<Effect>,
    /// What to tell, in this order (R36).
    pub events: Vec<Event>,
    /// What is worth knowing, each code once, in the order of the codes.
    pub notes: Vec<Note>,
    /// The conversion that it is about, in its state at the end; absent where it was refused.
    pub conversion: Option<Arc<Conversion>>,
    /// The root of that conversion.
    pub root: Option<Arc<Root>>,
    /// All transactions of that conversion in their state at the end, oldest first.
    pub transactions: Vec<Transaction>,
    /// How it came about.
    pub trace: Trace,
}
