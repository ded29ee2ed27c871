//! Reasons and notes: the closed lists of codes that answers, logs, traces and metrics share.
//! They are public contract.

use alloc::{borrow::Cow, boxed::Box, format, string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::trace::Step;

/// Why a request was refused, or is a repeat. Declared in the order of the ladder (semantics 5):
/// where several hold, the first is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The request cannot be decoded, or exceeds a limit on its parameters (R3, R8).
    Malformed,
    /// One parameter has two values (R5).
    ConflictingParameters,
    /// No active definition answers to this (R13).
    UnknownPostback,
    /// The request does not prove what the definition asks for (R49). Only an adapter decides this.
    Unauthorized,
    /// An identifier still looks like a macro (R6).
    UnresolvedMacro,
    /// An identifier does not have its form (R1).
    InvalidIdentifier,
    /// An amount does not follow the grammar of R7.
    InvalidAmount,
    /// An unknown word as result (R2).
    InvalidResult,
    /// An unknown word as action (R11).
    InvalidAction,
    /// A parameter does not have the form that its dialect asks for.
    InvalidParameter,
    /// Nothing to pair with was given (R14).
    MissingIdentifier,
    /// An external id was given without its advertiser (R14).
    AdvertiserIdRequired,
    /// A create without a type (R11).
    TypeRequired,
    /// The type is neither built in nor registered (R9).
    UnknownType,
    /// Postbacks do not create this type (R9).
    TypeNotTrackable,
    /// The definition does not allow this to be claimed (R50).
    NotAllowed,
    /// A root names an offer that the rules do not have (R51).
    UnknownOffer,
    /// A root names an affiliate that the rules do not have (R51).
    UnknownAffiliate,
    /// The type cannot be a root (R51).
    TypeNotRoot,
    /// No stored conversion to pair with (R15, R16).
    PairingFailed,
    /// The advertiser named is not the root's (R17).
    AdvertiserMismatch,
    /// A condition of the definition does not hold (R19).
    ConditionsNotMet,
    /// The repeat key is taken (R20).
    Duplicate,
    /// The pcid and the external id lead to different roots (R18).
    PairingConflict,
    /// The click is too old (R52).
    ClickExpired,
    /// No commission has this id (R25).
    UnknownCommission,
    /// The commission named is no candidate (R25), or has no transaction here (R23).
    CommissionMismatch,
    /// No conversion to update (R21).
    ConversionNotFound,
    /// Another conversion holds the external id (R22).
    ExternalIdTaken,
    /// The currency is none of ISO 4217 (R34).
    CurrencyUnknown,
    /// The rules have no rate for the currency (R34).
    NoExchangeRate,
    /// An amount leaves the range (R33).
    AmountOutOfRange,
}

impl Reason {
    /// All of them, in the order of the ladder.
    pub const ALL: [Self; 32] = [
        Self::Malformed,
        Self::ConflictingParameters,
        Self::UnknownPostback,
        Self::Unauthorized,
        Self::UnresolvedMacro,
        Self::InvalidIdentifier,
        Self::InvalidAmount,
        Self::InvalidResult,
        Self::InvalidAction,
        Self::InvalidParameter,
        Self::MissingIdentifier,
        Self::AdvertiserIdRequired,
        Self::TypeRequired,
        Self::UnknownType,
        Self::TypeNotTrackable,
        Self::NotAllowed,
        Self::UnknownOffer,
        Self::UnknownAffiliate,
        Self::TypeNotRoot,
        Self::PairingFailed,
        Self::AdvertiserMismatch,
        Self::ConditionsNotMet,
        Self::Duplicate,
        Self::PairingConflict,
        Self::ClickExpired,
        Self::UnknownCommission,
        Self::CommissionMismatch,
        Self::ConversionNotFound,
        Self::ExternalIdTaken,
        Self::CurrencyUnknown,
        Self::NoExchangeRate,
        Self::AmountOutOfRange,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::ConflictingParameters => "conflicting_parameters",
            Self::UnknownPostback => "unknown_postback",
            Self::Unauthorized => "unauthorized",
            Self::UnresolvedMacro => "unresolved_macro",
            Self::InvalidIdentifier => "invalid_identifier",
            Self::InvalidAmount => "invalid_amount",
            Self::InvalidResult => "invalid_result",
            Self::InvalidAction => "invalid_action",
            Self::InvalidParameter => "invalid_parameter",
            Self::MissingIdentifier => "missing_identifier",
            Self::AdvertiserIdRequired => "advertiser_id_required",
            Self::TypeRequired => "type_required",
            Self::UnknownType => "unknown_type",
            Self::TypeNotTrackable => "type_not_trackable",
            Self::NotAllowed => "not_allowed",
            Self::UnknownOffer => "unknown_offer",
            Self::UnknownAffiliate => "unknown_affiliate",
            Self::TypeNotRoot => "type_not_root",
            Self::PairingFailed => "pairing_failed",
            Self::AdvertiserMismatch => "advertiser_mismatch",
            Self::ConditionsNotMet => "conditions_not_met",
            Self::Duplicate => "duplicate",
            Self::PairingConflict => "pairing_conflict",
            Self::ClickExpired => "click_expired",
            Self::UnknownCommission => "unknown_commission",
            Self::CommissionMismatch => "commission_mismatch",
            Self::ConversionNotFound => "conversion_not_found",
            Self::ExternalIdTaken => "external_id_taken",
            Self::CurrencyUnknown => "currency_unknown",
            Self::NoExchangeRate => "no_exchange_rate",
            Self::AmountOutOfRange => "amount_out_of_range",
        }
    }

    /// The reason of this code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Something worth knowing that changes no outcome. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// A direct amount went to the oldest transaction only (R23).
    DirectAmountFirstOnly,
    /// The commission does not accept direct amounts (R30).
    DirectAmountIgnored,
    /// A chain of causes was cut (R45).
    LoopStopped,
    /// A percentage had no value to be taken of (R32).
    MissingValue,
    /// No commission matches; no transaction (R26).
    NoMatchingCommission,
    /// There is no transaction that could take the result (R23).
    NoTransaction,
    /// A parameter's value was personal; only its hash is kept, or nothing.
    PersonalValue,
    /// The commission made its most transactions under this root (R27).
    RecurrenceLimitReached,
    /// An unknown parameter came more than once; the first value counts (R5).
    RepeatedParameter,
    /// The request's result was not taken over (R29).
    ResultNotInherited,
    /// An unknown name is close to a reserved one.
    SimilarParameter,
    /// The definition has steps, and the request did not name it (R46).
    StepsSkippedNoId,
    /// The dialect does not know this status word (R47).
    UnmappedStatus,
}

impl Note {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::DirectAmountFirstOnly,
        Self::DirectAmountIgnored,
        Self::LoopStopped,
        Self::MissingValue,
        Self::NoMatchingCommission,
        Self::NoTransaction,
        Self::PersonalValue,
        Self::RecurrenceLimitReached,
        Self::RepeatedParameter,
        Self::ResultNotInherited,
        Self::SimilarParameter,
        Self::StepsSkippedNoId,
        Self::UnmappedStatus,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::DirectAmountFirstOnly => "direct_amount_first_only",
            Self::DirectAmountIgnored => "direct_amount_ignored",
            Self::LoopStopped => "loop_stopped",
            Self::MissingValue => "missing_value",
            Self::NoMatchingCommission => "no_matching_commission",
            Self::NoTransaction => "no_transaction",
            Self::PersonalValue => "personal_value",
            Self::RecurrenceLimitReached => "recurrence_limit_reached",
            Self::RepeatedParameter => "repeated_parameter",
            Self::ResultNotInherited => "result_not_inherited",
            Self::SimilarParameter => "similar_parameter",
            Self::StepsSkippedNoId => "steps_skipped_no_id",
            Self::UnmappedStatus => "unmapped_status",
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A refusal: the reason, the parameter that it is about, and what was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The stable code.
    pub reason: Reason,
    /// The parameter that is at fault, where one is.
    pub parameter: Option<Box<str>>,
    /// What was wrong, in a sentence without a full stop, input in backticks.
    pub message: Cow<'static, str>,
    /// What to try.
    pub hint: Option<Cow<'static, str>>,
    /// How far the reading of the request had come (rungs 2 to 5); what a decision refuses has its
    /// steps in the decision's own trace.
    #[serde(skip)]
    pub steps: Vec<Step>,
}

/// The most bytes of a client's input that a message repeats.
const SHOWN_LEN_MAX: usize = 80;

impl Refusal {
    /// A refusal without a parameter.
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { reason, parameter: None, message, hint: None, steps: Vec::new() }
    }

    /// Of a repeat (R20). Nothing else refuses as [`Reason::Duplicate`], so a log need not keep
    /// these words.
    pub fn of_repeat() -> Self {
        Self::new(Reason::Duplicate, "the same claim made the conversion before")
            .hint("to change it, send `action=update`")
    }

    /// The parameter that it is about.
    #[must_use]
    pub fn about(mut self, parameter: &str) -> Self {
        self.parameter = Some(parameter.into());
        self
    }

    /// What to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Input as a message shows it: cut to 80 bytes, control characters escaped.
pub(crate) fn shown(input: &str) -> String {
    let mut end = input.len().min(SHOWN_LEN_MAX);
    while !input.is_char_boundary(end) {
        end -= 1;
    }
    let cut = input.get(..end).unwrap_or_default();
    let more = if end < input.len() { "…" } else { "" };
    let clean: String = cut.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    format!("{clean}{more}")
}
