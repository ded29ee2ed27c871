//! Transactions: the money (semantics 1, R10, R28 to R35). One per conversion and commission.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    conversion::{ConversionType, Received},
    currency::Currency,
    ids::{ConversionId, TransactionId},
    money::{Amount, Percent},
    time::{Period, Timestamp},
    token::CommissionId,
};

/// The status of a transaction, shared by both legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransactionResult {
    /// Not settled yet.
    Pending,
    /// Owed.
    Approved,
    /// Not owed.
    Rejected,
}

impl TransactionResult {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Approved, Self::Rejected];

    /// The name in rules and requests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }

    /// The result of this name, in any case (R2).
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for TransactionResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How revenue is computed where no direct amount is given (R30).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RevenueTerm {
    /// The same amount each time.
    Fixed(Amount),
    /// Percent of the value.
    PercentOfValue(Percent),
}

/// How payout is computed (R31).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayoutTerm {
    /// Nothing is paid out.
    Nothing,
    /// The same amount each time.
    Fixed(Amount),
    /// Percent of the rounded revenue.
    PercentOfRevenue(Percent),
    /// Percent of the value.
    PercentOfValue(Percent),
}

/// A result that is set after a period, counted from the arrival of the request (R35).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoSet {
    /// What is set.
    pub result: TransactionResult,
    /// How long after.
    pub after: Period,
}

/// The terms of a commission, frozen on each transaction that it makes (R28).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What the advertiser owes.
    pub revenue: RevenueTerm,
    /// What the affiliate gets.
    pub payout: PayoutTerm,
    /// Whether a request's `commission` replaces the computed revenue (R30).
    pub accept_direct_amount: bool,
}

/// The moment and the result of a pending auto-set (R35).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueResult {
    /// When it is due.
    pub at: Timestamp,
    /// What is set then.
    pub result: TransactionResult,
}

/// The money of one conversion by one commission: two legs, one result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Its id.
    pub id: TransactionId,
    /// The conversion that it pays.
    pub conversion_id: ConversionId,
    /// The commission that made it.
    pub commission_id: CommissionId,
    /// Its own type: `sale` unless the commission names another (R10).
    pub transaction_type: ConversionType,
    /// Its status.
    pub result: TransactionResult,
    /// What the advertiser owes the tenant, rounded to the currency's minor unit.
    pub revenue: Amount,
    /// What the tenant owes the affiliate, rounded to the currency's minor unit.
    pub payout: Amount,
    /// The tenant's currency.
    pub currency: Currency,
    /// The terms it was made with (R28).
    pub terms: Terms,
    /// The explicit `commission` that stands (R28), and how it came (R34).
    pub direct_amount: Option<Received>,
    /// An administrator set the revenue: it stands until the next edit.
    pub revenue_is_edited: bool,
    /// An administrator set the payout: it stands until the next edit.
    pub payout_is_edited: bool,
    /// The result that is set at a later moment, if the result is pending then (R35).
    pub auto_set: Option<DueResult>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// How many times it changed; 1 when it is made.
    pub revision: u32,
}
