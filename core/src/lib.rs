//! Counterfoil's core: what a postback means, as pure functions.
//!
//! A postback is an HTTP call that says "click X became sale Y worth Z". This crate reads it, pairs
//! it with its click, finds out whether it is a repeat, selects the commission, computes what is
//! owed, and says why, step by step. It does nothing else: no I/O, no clock, no randomness.
//!
//! ```
//! use counterfoil_core::{Facts, Incoming, Method, Outcome, Reason, Receipt, Ruleset, RulesetSpec};
//!
//! let rules = RulesetSpec::from_toml("tenant = \"acme\"\ncurrency = \"EUR\"").unwrap();
//! let (ruleset, _warnings) = Ruleset::check(rules).unwrap();
//! let query = "pcid=01930000-0000-7000-8000-000000000000&type=sale&value=100";
//! let incoming = Incoming { method: Method::S2s, dialect: None, query, body: None };
//! let (request, _logged) = counterfoil_core::read(&ruleset, &incoming);
//!
//! let asked = request.query(&ruleset);       // which rows matter, as data
//! assert!(asked.pcid.is_some());
//! let facts = Facts::default();              // a store would answer; here nothing is stored
//! let receipt = Receipt {
//!     id: "01930000-0000-7000-8000-000000000001".parse().unwrap(),
//!     at: "2026-01-31T12:00:00Z".parse().unwrap(),
//! };
//! let decision = request.decide(&ruleset, &facts, receipt);
//! assert_eq!(decision.outcome, Outcome::Refused);
//! assert_eq!(decision.refusal.unwrap().reason, Reason::PairingFailed);
//! ```
//!
//! The guides of this crate: [what a postback means](guide::semantics) and
//! [how Counterfoil is built](guide::architecture).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod amount;
mod announce;
mod answer;
mod authentication;
mod breaker;
mod commission;
mod conversion;
mod create;
mod currency;
mod decide;
mod decision;
mod decode;
mod dedup;
mod delivery;
mod diagnose;
mod dialects;
mod draft;
mod due;
mod edit;
mod facts;
mod ids;
mod limits;
mod link;
mod logged_text;
mod macros;
mod message;
mod money;
mod nearest;
mod outbox;
mod parameter;
mod pieces;
mod postback;
mod privacy;
mod read;
mod reason;
mod request;
mod root;
mod rules;
mod ruleset;
mod select;
mod signature;
mod template;
mod time;
mod token;
mod trace;
mod tracking_api;
mod transaction;
mod update;
pub mod view;
mod words;

pub use answer::{POINTER_SEGMENTS_MAX, ReadAnswer, Unmapped, UnmappedReason, read_answer};
pub use authentication::{AuthFailure, Authentication, Proof, Signed, WebhookHeaders, sign_query};
pub use breaker::{Breaker, BreakerState};
pub use conversion::{
    Conversion, ConversionType, ExternalId, ExternalIdError, Method, Origin, Params,
    RAW_RESULT_PARAM, Received, Root, Source,
};
pub use create::{create_root, query_root};
pub use currency::{Currency, CurrencyError};
pub use decide::{decide, query, refuse};
pub use decision::{Decision, Effect, Event, Outcome, Receipt, Stored};
pub use decode::{Body, Incoming, NAME_LEN_MAX, PARAMS_MAX, Pairs, VALUE_LEN_MAX, decode};
pub use dedup::{DedupKey, PairKey};
pub use delivery::{
    Attempt, AttemptOutcome, DeadReason, Draw, Next, Polling, RETRIES_MAX, RETRY_AFTER_MAX,
    RetryAfter, RetryKind, RetryPolicy, Schedule, TIMEOUT_DEFAULT, after_attempt,
};
pub use diagnose::{Called, Diagnosis, Finding, Known, Likeness, NameFault, Sought};
pub use dialects::{
    DIALECTS, Dialect, Fixed, Meaning, Replies, Reply, Row, Source as FactSource,
    Text as DialectText, Word,
};
pub use due::{Due, due};
pub use edit::{Edit, auto_set, auto_set_text, edit, query_transaction};
pub use facts::{Delayed, FactQuery, Facts, Found, KeyQuery, PairQuery, TargetQuery, Told};
pub use ids::{ConversionId, IdError, MessageId, RequestId, TransactionId};
pub use logged_text::{logged_text, masked_text};
pub use macros::{MACROS, Macro, PARAM_MACRO, SECRET_MACRO};
pub use message::{Message, MessageOf, MessageState, Rendered};
pub use money::{Amount, AmountError, OutOfRange, Percent, PercentError, Rate, RateError};
pub use nearest::nearest;
pub use outbox::{Attempted, Claim, Report, Wanted};
pub use parameter::Parameter;
pub use pieces::{Part, Piece, Pieces, Place, complete, shown_parts};
pub use postback::{Action, Postback};
pub use privacy::{Masked, Privacy, Sent, Treatment};
pub use read::{parse, read, refused_by};
pub use reason::{Note, Reason, Refusal};
pub use request::{Arrival, Request};
pub use root::{RootRequest, root_pairs};
pub use rules::{Issue, RulesetSpec, Severity};
pub use ruleset::*;
pub use select::select;
pub use signature::{SignatureError, SignedMessage, SigningKey, SigningKeyError, signatures};
pub use template::{Template, TemplateError};
pub use time::{Period, PeriodError, Timestamp, TimestampError};
pub use token::*;
pub use trace::*;
pub use tracking_api::*;
pub use transaction::{
    AutoSet, DueResult, PayoutTerm, RevenueTerm, Terms, Transaction, TransactionResult,
};

/// Guides for users.
pub mod guide {
    #[doc = include_str!("../docs/semantics.md")]
    pub mod semantics {}
    #[doc = include_str!("../docs/architecture.md")]
    pub mod architecture {}
}
