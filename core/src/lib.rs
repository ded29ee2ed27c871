//! Counterfoil's core: what a postback means, as pure functions.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod amount;
mod commission;
mod conversion;
mod create;
mod currency;
mod decide;
mod decision;
mod decode;
mod dedup;
mod draft;
mod edit;
mod facts;
mod ids;
mod limits;
mod money;
mod nearest;
mod parameter;
mod postback;
mod read;
mod reason;
mod request;
mod root;
mod rules;
mod ruleset;
mod time;
mod token;
mod trace;
mod transaction;
mod update;
pub mod view;

pub use conversion::{
    Conversion, ConversionType, ExternalId, ExternalIdError, Method, Origin, Params,
    RAW_RESULT_PARAM, Received, Root, Source,
};
pub use create::{create_root, query_root};
pub use currency::{Currency, CurrencyError};
pub use decide::{decide, query, refuse};
pub use decision::{Decision, Effect, Event, Outcome, Receipt, Stored};
pub use decode::{
    Body, Incoming, NAME_LEN_MAX, PARAMS_MAX, Pairs, VALUE_LEN_MAX, decode, masked_text,
};
pub use dedup::{DedupKey, PairKey};
pub use edit::{Edit, auto_set, auto_set_text, edit, query_transaction};
pub use facts::{FactQuery, Facts, Found, KeyQuery, PairQuery, TargetQuery};
pub use ids::{ConversionId, IdError, RequestId, TransactionId};
pub use money::{Amount, AmountError, OutOfRange, Percent, PercentError, Rate, RateError};
pub use postback::{Action, Postback};
pub use read::{logged_text, parse, read, select};
pub use reason::{Note, Reason, Refusal};
pub use request::{Arrival, Request};
pub use root::{RootRequest, root_pairs};
pub use rules::{Issue, RulesetSpec, Severity};
pub use ruleset::*;
pub use time::{Period, PeriodError, Timestamp, TimestampError};
pub use token::*;
pub use trace::*;
pub use transaction::{
    AutoSet, DueResult, PayoutTerm, RevenueTerm, Terms, Transaction, TransactionResult,
};
