//! Changes of one transaction from inside: an administrator's edit, and an auto-set (R35).

use alloc::boxed::Box;

use crate::{ids::TransactionId, money::Amount, transaction::TransactionResult};

/// An administrator's edit of a transaction. Amounts stand until the next edit that names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The transaction.
    pub transaction_id: TransactionId,
    /// The new result.
    pub result: Option<TransactionResult>,
    /// The new revenue, in the tenant's currency.
    pub revenue: Option<Amount>,
    /// The new payout, in the tenant's currency.
    pub payout: Option<Amount>,
    /// Why, in the administrator's words.
    pub reason: Box<str>,
}
