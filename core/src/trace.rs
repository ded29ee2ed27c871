//! The trace of a decision: each rung as data. It is stored in a compact binary form and turned
//! into words only when someone reads it.

use alloc::{boxed::Box, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    conversion::{ConversionType, Method},
    currency::Currency,
    decision::Event,
    ids::{ConversionId, MessageId, TransactionId},
    money::{Amount, Percent, Rate},
    postback::Action,
    privacy::Masked,
    reason::Reason,
    ruleset::{KeyKind, OnRepeat},
    time::Timestamp,
    token::CommissionId,
    transaction::TransactionResult,
};

/// How a decision came about, step by step, in the order of the ladder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One step of a trace. The order of the variants is a stored form: add at the end only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The definition that decides (R13), by its place in the rules; none: the built-in one.
    Definition(Option<u32>),
    /// An unknown name is close to a reserved one.
    Similar {
        /// The name that came.
        name: Box<str>,
        /// The name that was perhaps meant.
        reserved: Box<str>,
    },
    /// An unknown name came more than once (R5).
    Repeated(Box<str>),
    /// A foreign status word was translated (R48).
    StatusWord {
        /// The word that came.
        word: Box<str>,
        /// What it means for the result.
        result: Option<TransactionResult>,
        /// What it means for the type.
        conversion_type: Option<ConversionType>,
    },
    /// The type was missing and the definition's default was taken.
    DefaultType(ConversionType),
    /// The effective action and why (R11).
    Action {
        /// The action.
        action: Action,
        /// Whether the request named it.
        named: bool,
    },
    /// A root is made (R51).
    MakesRoot(Method),
    /// Paired with a root (R15, R16).
    Paired {
        /// The root.
        root: ConversionId,
        /// What led there.
        by: PairedBy,
    },
    /// All conditions of the definition hold (R19).
    ConditionsHold,
    /// A condition of the definition does not hold (R19).
    ConditionFailed(Condition),
    /// The repeat key was looked up (R20, R47).
    Key {
        /// Its kind.
        kind: KeyKind,
        /// Who holds it.
        first: Option<ConversionId>,
    },
    /// The request has no repeat key.
    NoKey(KeyKind),
    /// The key is taken and the definition says what follows (R47).
    Repeat(OnRepeat),
    /// The key is taken, and the commission named has no transaction there yet (R20).
    AddsTransaction(CommissionId),
    /// The target of an update (R21).
    Target {
        /// The conversion.
        conversion: ConversionId,
        /// By which part of R21.
        by: TargetBy,
    },
    /// Commissions were looked at (R24 to R26).
    Candidates {
        /// The conversion type that was matched.
        conversion_type: ConversionType,
        /// Why each lost, as runs in the order of the rules; they add up to all commissions.
        verdicts: Vec<VerdictRun>,
        /// The one that was taken, by its place in the rules.
        chosen: Option<u32>,
        /// Whether the request named it (R25).
        named: bool,
    },
    /// Transactions of a commission were counted under the root (R27).
    Counted {
        /// The commission's place in the rules.
        commission: u32,
        /// How many it has made.
        made: u32,
        /// The most that it makes.
        most: u32,
    },
    /// An amount was converted (R34).
    Converted {
        /// Which parameter.
        parameter: AmountParameter,
        /// The amount as it came.
        original: Amount,
        /// Its currency.
        currency: Currency,
        /// The rate.
        rate: Rate,
        /// Whether the rate was frozen by an earlier request.
        frozen: bool,
        /// The amount in the tenant's currency.
        amount: Amount,
    },
    /// A repeat's amount was added to what was there (R47).
    Added {
        /// Which parameter.
        parameter: AmountParameter,
        /// What was there.
        before: Amount,
        /// The sum.
        sum: Amount,
    },
    /// A leg of a transaction was computed (R30, R31).
    Leg {
        /// Which transaction.
        transaction: TransactionId,
        /// Which leg.
        leg: Leg,
        /// How.
        formula: Formula,
        /// The result, rounded to the minor unit half away from zero.
        amount: Amount,
    },
    /// A result at birth (R29).
    Born {
        /// Which transaction.
        transaction: TransactionId,
        /// The result.
        result: TransactionResult,
        /// Why.
        because: BornBecause,
    },
    /// A result will be set later (R35).
    WillSet {
        /// Which transaction.
        transaction: TransactionId,
        /// What.
        result: TransactionResult,
        /// When.
        at: Timestamp,
    },
    /// A field of the conversion changed (R22).
    Changed(Field),
    /// A transaction's result was set (R23).
    ResultSet {
        /// Which transaction.
        transaction: TransactionId,
        /// What it was.
        from: TransactionResult,
        /// What it is.
        to: TransactionResult,
    },
    /// An auto-set found nothing to do (R35): the result was not pending any more, or the same.
    AutoSetIdle(TransactionResult),
    /// Here the ladder ended (semantics 5).
    Refused(Reason),
    /// A tracking API tells of an event (R37).
    Tells {
        /// The tracking API's place in the rules.
        tracking_api: u32,
        /// The event.
        event: Event,
        /// The message.
        message: MessageId,
        /// When it is due.
        at: Timestamp,
    },
    /// A tracking API's trigger fired, and it tells nothing (R38).
    Silent {
        /// The tracking API's place in the rules.
        tracking_api: u32,
        /// The event.
        event: Event,
        /// Why.
        because: Silence,
    },
    /// A sequence step will run (R46).
    RunsStep {
        /// Which, counted from zero.
        number: u16,
        /// Its message.
        message: MessageId,
    },
    /// A word for what happened, beside the status, was translated (R47).
    EventWord {
        /// The name that it came under.
        name: Box<str>,
        /// The word that came.
        word: Box<str>,
        /// What it means for the result.
        result: Option<TransactionResult>,
        /// What it means for the type.
        conversion_type: Option<ConversionType>,
    },
    /// A parameter's value was personal.
    Masked {
        /// Its name.
        name: Box<str>,
        /// What became of the value.
        masked: Masked,
    },
    /// A param that an update brings finds no room on the conversion (R22).
    LeftOut(Box<str>),
}

/// Why a tracking API tells nothing of an event that fires it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Silence {
    /// It is switched off.
    Inactive,
    /// Its own answer caused the event (R45).
    OwnCause,
    /// The chain of causes is too long (R45).
    LoopStopped,
    /// The source of the root.
    Source,
    /// The conversion type.
    Type,
    /// The commission.
    Commission,
    /// The affiliate.
    Affiliate,
    /// The advertiser.
    Advertiser,
    /// The integration.
    Integration,
    /// The channel.
    Channel,
    /// The offer is excluded.
    ExcludedOffer,
    /// The offer.
    Offer,
    /// The result.
    Result,
    /// A message about this transaction waits already (R43).
    Coalesced,
    /// Neither result nor payout changed since the last delayed message (R43).
    NoNews,
    /// This decision tells as much already as one decision can.
    TooMany,
}

/// What led to a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PairedBy {
    /// The pcid names the root itself.
    Pcid,
    /// The pcid names a conversion under the root.
    PcidUnderRoot,
    /// Advertiser and external id (R16).
    Pair,
    /// The transaction that is edited or set.
    Transaction,
}

/// A condition of a postback definition (R19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// The source of the root.
    Source,
    /// The conversion type.
    Type,
    /// The affiliate.
    Affiliate,
    /// The advertiser.
    Advertiser,
    /// The offer.
    Offer,
}

impl Condition {
    /// The name in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "sources",
            Self::Type => "types",
            Self::Affiliate => "affiliates",
            Self::Advertiser => "advertisers",
            Self::Offer => "offers",
        }
    }
}

/// By which part of R21 a target was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetBy {
    /// (a) by the pair.
    Pair,
    /// (b) the conversion that the pcid names.
    Named,
    /// (c) the newest of the type under the root.
    NewestOfType,
    /// (d) the newest under the root.
    Newest,
    /// The first with the same repeat key (R47).
    Repeat,
}

/// Why a commission was no candidate, or that it was one (R24).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// All its conditions hold.
    Candidate,
    /// It is switched off.
    Inactive,
    /// It pays another conversion type.
    Type,
    /// Another offer.
    Offer,
    /// Another advertiser.
    Advertiser,
    /// Another affiliate.
    Affiliate,
    /// Another group of affiliates.
    Group,
    /// Another source.
    Source,
    /// Another channel.
    Channel,
    /// The conversion was made before its validity.
    NotYetValid,
    /// The conversion was made after its validity.
    NoLongerValid,
}

impl Verdict {
    /// The verdict in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Candidate => "all its conditions hold",
            Self::Inactive => "it is not active",
            Self::Type => "it pays another conversion type",
            Self::Offer => "it does not pay this offer",
            Self::Advertiser => "it does not pay this advertiser",
            Self::Affiliate => "it does not pay this affiliate",
            Self::Group => "it does not pay this affiliate's group",
            Self::Source => "it does not pay this source",
            Self::Channel => "it does not pay this channel",
            Self::NotYetValid => "the conversion was made before it is valid",
            Self::NoLongerValid => "the conversion was made when it was valid no more",
        }
    }
}

/// So many commissions in a row with the same verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictRun {
    /// The verdict.
    pub verdict: Verdict,
    /// How many commissions.
    pub count: u32,
}

/// A parameter that is an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AmountParameter {
    /// `value`
    Value,
    /// `commission`
    Commission,
    /// `price`
    Price,
}

/// A leg of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leg {
    /// The advertiser owes the tenant.
    Revenue,
    /// The tenant owes the affiliate.
    Payout,
}

/// How a leg came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Formula {
    /// The request's `commission` (R30).
    Direct(Amount),
    /// A fixed amount.
    Fixed(Amount),
    /// Percent of the value.
    PercentOfValue(Percent, Amount),
    /// Percent of a value that is missing (R32).
    PercentOfMissingValue(Percent),
    /// Percent of the rounded revenue.
    PercentOfRevenue(Percent, Amount),
    /// Nothing is paid out (R31).
    Nothing,
    /// An administrator set it.
    Edited,
}

/// Why a transaction was born with its result (R29).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BornBecause {
    /// An import's own result is trusted.
    Import,
    /// The commission approves at once.
    AutoApprove,
    /// The commission inherits this result.
    Inherited,
    /// Nothing says otherwise.
    Default,
    /// The update that made it says so (R23).
    Update,
}

/// A field of a conversion that may change (R22, R47).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Field {
    /// The value.
    Value,
    /// The price.
    Price,
    /// A direct amount that no transaction took.
    Commission,
    /// The external id.
    ExternalId,
    /// The type, by a repeat (R47).
    Type(ConversionType),
    /// A param.
    Param(Box<str>),
}

impl Silence {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Inactive,
        Self::OwnCause,
        Self::LoopStopped,
        Self::Source,
        Self::Type,
        Self::Commission,
        Self::Affiliate,
        Self::Advertiser,
        Self::Integration,
        Self::Channel,
        Self::ExcludedOffer,
        Self::Offer,
        Self::Result,
        Self::Coalesced,
        Self::NoNews,
        Self::TooMany,
    ];

    /// Why nothing is told, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Inactive => "it is not active",
            Self::OwnCause => "its own answer caused this (R45)",
            Self::LoopStopped => "the chain of causes is too long (R45)",
            Self::Source => "it is not for this source (R38)",
            Self::Type => "it is not for this conversion type (R38)",
            Self::Commission => "it is not for this commission (R38)",
            Self::Affiliate => "it is not for this affiliate (R38)",
            Self::Advertiser => "it is not for this advertiser (R38)",
            Self::Integration => "it is not for this integration (R38)",
            Self::Channel => "it is not for this channel (R38)",
            Self::ExcludedOffer => "it leaves this offer out (R38)",
            Self::Offer => "it is not for this offer (R38)",
            Self::Result => "it is not for this result (R38)",
            Self::Coalesced => "a message about this transaction waits already (R43)",
            Self::NoNews => "neither result nor payout changed since the last one (R43)",
            Self::TooMany => "one decision makes at most 4000 messages",
        }
    }
}
