//! The port to what keeps messages: the few calls that a [`Dispatcher`](crate::Dispatcher) makes.
//! The binary implements it over a store.
//!
//! Writing calls answer through a reply and never block, so that they may share a commit with
//! requests. A reply that is dropped without a call counts as [`SubmitError::Unavailable`].

use counterfoil_core::{Claim, Report, Timestamp, Wanted};

use crate::store::{ReadError, SubmitError};

/// Takes what was claimed, once it is on stable storage.
pub type ClaimReply = Box<dyn FnOnce(Result<Vec<Claim>, SubmitError>) + Send>;

/// Takes how many of the reports were of claims that had been lost, once the others are on stable
/// storage.
pub type ReportReply = Box<dyn FnOnce(Result<usize, SubmitError>) + Send>;

/// What a dispatcher needs of whoever keeps messages.
pub trait Outbox: Send + Sync + 'static {
    /// Claims due messages (P4): committed before the reply is called. Nothing wanted or nothing
    /// due: an empty answer. Never blocks.
    fn claim(&self, wanted: Wanted, reply: ClaimReply);

    /// Writes how claims ended, in one commit; a report of a claim that was lost changes nothing.
    /// Never blocks. Where it fails, nothing of it was written, and it is told again.
    fn report(&self, reports: Vec<Report>, reply: ReportReply);

    /// When there is next something to claim: that of the earliest message, or the end of the
    /// earliest lease. In the past where something is due already. May block.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn next_due(&self) -> Result<Option<Timestamp>, ReadError>;

    /// Has `wake` called after each commit that made a message due, at once or at a later moment.
    /// `wake` is quick and never blocks; after the dispatcher has ended it does nothing.
    fn on_due(&self, wake: Box<dyn Fn() + Send + Sync>);
}
