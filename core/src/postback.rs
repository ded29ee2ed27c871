//! A postback after reading: every value has its type, and what can be refused without looking at
//! what is stored has been refused (rungs 1 to 5 of the ladder).

use alloc::{boxed::Box, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    conversion::{ConversionType, ExternalId, Method, Params},
    ids::ConversionId,
    money::Amount,
    reason::Note,
    token::{AdvertiserId, CommissionId},
    trace::Step,
    tracking_api::Cause,
    transaction::TransactionResult,
};

/// What a request does (R11, R12): never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// Make a conversion.
    Create,
    /// Change one.
    Update,
}

/// A postback, read and typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postback {
    /// How it came in.
    pub method: Method,
    /// Where the deciding definition stands in [`crate::Ruleset::postbacks`]; absent: the built-in
    /// one.
    pub definition: Option<usize>,
    /// Whether the request named the definition by `id` (R46).
    pub names_definition: bool,
    /// The answer that made it (R45).
    pub cause: Option<Cause>,
    /// The one conversion that it may change, by id (R45).
    pub target: Option<ConversionId>,
    /// What it does.
    pub action: Action,
    /// The conversion to pair with.
    pub pcid: Option<ConversionId>,
    /// The advertiser.
    pub advertiser: Option<AdvertiserId>,
    /// The advertiser's id.
    pub external_id: Option<ExternalId>,
    /// The commission to apply.
    pub commission_id: Option<CommissionId>,
    /// The type.
    pub conversion_type: Option<ConversionType>,
    /// Whether that is the definition's default: it says what to create, and changes no type.
    pub has_default_type: bool,
    /// The order value, as it came.
    pub value: Option<Amount>,
    /// The direct revenue amount, as it came.
    pub commission: Option<Amount>,
    /// The price, as it came.
    pub price: Option<Amount>,
    /// The status.
    pub result: Option<TransactionResult>,
    /// The code of the currency, as it came: whether it is one is decided on a later rung.
    pub currency: Option<Box<str>>,
    /// Everything else.
    pub params: Params,
    /// Notes of reading.
    pub notes: Vec<Note>,
    /// The trace of reading.
    pub steps: Vec<Step>,
}
