//! The owner of a database: takes requests in and answers them after their commit.

use std::{path::Path, sync::Arc};

use counterfoil_core::{
    Arrival, ConversionId, Decision, Receipt, Request, Root, TenantName, Timestamp,
};

use crate::{
    open::{OpenError, Options},
    reader::Reader,
    rules::{InstallError, Installed, Rules, RulesFormat},
};

/// A database that this process owns. Share it by reference or `Arc`; dropping it answers what is
/// still waiting, then closes the database.
#[derive(Debug)]
pub struct Store {
    reader: Reader,
}

/// A request on its way to the writer.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The rules that the request was read with, from [`Store::rules`]. Where others were
    /// installed meanwhile, the request is read again with those from its text.
    pub rules: Arc<Rules>,
    /// The request.
    pub arrival: Arrival,
    /// When it arrived: [`Receipt::at`], and the time that its ids carry.
    pub received_at: Timestamp,
    /// What the caller has looked up already, from [`Reader::known`].
    pub known: Option<Known>,
}

/// What can never change about a request's pcid: looked up beside the writer, so that it need not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub(crate) pcid: ConversionId,
    pub(crate) root: Root,
}

/// What became of a submission. What it reports is on stable storage.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The id that the request got, and its time.
    pub receipt: Receipt,
    /// The decision.
    pub decision: Decision,
    /// The rules that decided.
    pub rules: Arc<Rules>,
    /// The root of the conversion that the decision is about.
    pub root: Option<Root>,
}

/// Takes the answer; called on the writer's thread after the commit, so it must not block.
pub type Reply = Box<dyn FnOnce(Result<Decided, SubmitError>) + Send>;

/// Why a submission was not decided. It may be sent again: nothing of it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too many requests are waiting.
    #[error("the store is busy; try again in a moment")]
    Busy,
    /// The disk is full or fails, or the store is closing.
    #[error("the store cannot write at the moment; try again later")]
    Unavailable,
    /// A defect of Counterfoil; the log has the details.
    #[error("the store failed to take this request; see its log")]
    Internal,
}

/// Whether the store can acknowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Ready,
    /// It cannot, and tries again by itself; the reason in words.
    NotReady(String),
}

impl Store {
    /// Opens a database, makes it where there is none, and upgrades an older one in one
    /// transaction (P12).
    ///
    /// # Errors
    /// Where another process owns it, a newer version made it, it is something else, or the disk
    /// fails.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let _ = options;
        Ok(Self {
            reader: Reader::open(path)?,
        })
    }

    /// Reads beside the writer.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Checks rules and makes them the ones that decide, in order with the decisions. The same
    /// text is the same version.
    ///
    /// `tenant` is the tenant that they must be for, where that is known beforehand.
    ///
    /// # Errors
    /// See [`InstallError`]; nothing has changed then.
    pub fn install_rules(
        &self,
        tenant: Option<&TenantName>,
        text: &str,
        format: RulesFormat,
        at: Timestamp,
    ) -> Result<Installed, InstallError> {
        let _ = (tenant, text, format, at);
        Err(InstallError::Store(SubmitError::Unavailable))
    }

    /// Makes the stored rules of every tenant decide that has none installed in this process:
    /// `serve --rules-from-db`, and tools without rules of their own.
    ///
    /// # Errors
    /// Where stored rules are invalid in this version.
    pub fn use_stored_rules(&self) -> Result<Vec<Arc<Rules>>, InstallError> {
        Err(InstallError::Store(SubmitError::Unavailable))
    }

    /// The rules that decide about a tenant; absent: there is no such tenant.
    pub fn rules(&self, tenant: &str) -> Option<Arc<Rules>> {
        let _ = tenant;
        None
    }

    /// The tenants that have rules in this process, by name.
    pub fn tenants(&self) -> Vec<Arc<Rules>> {
        Vec::new()
    }

    /// Hands a request to the writer and returns at once. `reply` is called exactly once: after
    /// the commit, or with the error; [`SubmitError::Busy`] is answered before this returns.
    pub fn submit(&self, submission: Submission, reply: Reply) {
        let _ = submission;
        reply(Err(SubmitError::Unavailable));
    }

    /// Hands a request to the writer and waits for the answer.
    ///
    /// # Errors
    /// As [`Store::submit`].
    pub fn submit_wait(&self, submission: Submission) -> Result<Decided, SubmitError> {
        let _ = submission;
        Err(SubmitError::Unavailable)
    }

    /// Whether the store can acknowledge.
    pub fn health(&self) -> Health {
        Health::Ready
    }
}

impl Known {
    /// The id that a request pairs by, where it names one.
    pub(crate) fn pcid_of(request: &Request) -> Option<ConversionId> {
        match request {
            Request::Postback(postback) => postback.pcid,
            _ => None,
        }
    }
}
