//! The port to what stores and decides: the few calls that this adapter makes, and nothing about
//! how they are answered. The binary implements it over a store.
//!
//! Writing calls answer through a [`Reply`] and never block. Reading calls may block: the adapter
//! makes them on threads of their own.

use std::sync::Arc;

use counterfoil_core::{
    Arrival, ConversionId, Decision, Issue, MessageId, RequestId, Ruleset, Timestamp,
    TransactionId,
    view::{
        ConversionView, DeliveryView, Erased, Explanation, Filter, Page, RequestView, Subject,
        Timeline, TransactionView,
    },
};

/// The rules of one tenant as they run now.
#[derive(Clone, Debug)]
pub struct RunningRules {
    /// The rules.
    pub ruleset: Arc<Ruleset>,
    /// Which of the stored versions they are; a log row names it.
    pub version: i64,
}

/// One arrival on its way to the writer.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The rules that the arrival was read with. It must be decided with these: places in it
    /// ([`counterfoil_core::Postback::definition`]) count within them.
    pub rules: RunningRules,
    /// What came in.
    pub arrival: Arrival,
    /// When it came in.
    pub received_at: Timestamp,
}

/// What was decided, stored, and is on stable storage (P1).
#[derive(Clone, Debug)]
pub struct Decided {
    /// The id that the writer gave to the request.
    pub request_id: RequestId,
    /// The decision.
    pub decision: Decision,
}

/// Takes the result of one submission. Dropped without a call it counts as
/// [`SubmitError::Unavailable`].
pub type Reply = Box<dyn FnOnce(Result<Decided, SubmitError>) + Send>;

/// Why a submission was not stored. Nothing of it has happened, or nobody knows (then a repeat
/// answers `duplicate`): the sender is asked to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// As many requests as may wait for the writer do.
    #[error("too many requests wait for the writer")]
    Busy,
    /// The store cannot write: the disk is full or fails, or the store is closing.
    #[error("the store cannot write")]
    Unavailable,
}

/// Why nothing was erased.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EraseError {
    /// Conversions of these advertisers carry the external id, and none of them was named (R14).
    #[error("the external id is known of several advertisers")]
    SeveralAdvertisers(Vec<Box<str>>),
    /// The store cannot write.
    #[error(transparent)]
    Store(#[from] SubmitError),
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The cursor is none that the store gave for this list and these filters.
    #[error("`{0}` is no cursor of this list")]
    Cursor(String),
    /// The store cannot read. The text is for the log, never for a client.
    #[error("the store cannot read: {0}")]
    Unavailable(String),
}

/// How a rules file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulesFormat {
    /// TOML.
    Toml,
    /// JSON of the same shape.
    Json,
}

/// A version of a tenant's rules as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesText {
    /// The version.
    pub version: i64,
    /// The text as it was handed in.
    pub text: String,
    /// How it is written.
    pub format: RulesFormat,
}

/// Rules that were accepted and run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesAccepted {
    /// Their version; the one before where nothing changed.
    pub version: i64,
    /// What is legal but suspicious.
    pub warnings: Vec<Issue>,
}

/// Why rules were not replaced. The ones before still run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutRulesError {
    /// The rules have mistakes: all errors and warnings. That they are for another tenant than
    /// the path says is one too (path `tenant`), and so is another currency once there are rows
    /// (path `currency`).
    #[error("the rules have mistakes")]
    Invalid(Vec<Issue>),
    /// The store cannot write. The text is for the log, never for a client.
    #[error("the store cannot write: {0}")]
    Unavailable(String),
}

/// What became of a message that is to be sent again by hand (R42).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It is due now, under its old id.
    Due,
    /// There is no such message.
    NotFound,
    /// What it told is gone, erased or pruned: there is nothing to send.
    Forgotten,
    /// An attempt is under way, or it waits for a result or for the step before: it goes its way
    /// by itself.
    InHand,
}

/// How much waits to be sent, or ended unsent, of all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that wait for their time or their turn.
    pub due: u64,
    /// When the first of them became due, or becomes it.
    pub oldest_due_at: Option<Timestamp>,
    /// Messages that wait for something to happen.
    pub held: u64,
    /// Messages that ended undelivered.
    pub dead: u64,
}

/// How the store is. Counters only rise while the process lives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Why nothing can be acknowledged now; absent: ready. Shown to whoever may ask the admin
    /// listener: no secret, no path.
    pub not_ready: Option<String>,
    /// Requests that wait for the writer.
    pub queue_depth: u64,
    /// Commits of the writer.
    pub batches: u64,
    /// Requests in these commits: over `batches` it is the mean size of a group commit.
    pub batched_requests: u64,
    /// Requests in the largest commit.
    pub batch_len_max: u64,
    /// How long commits took until they were on stable storage, in seconds.
    pub commit_seconds: Distribution,
    /// How many requests shared a commit.
    pub batch_requests: Distribution,
}

/// Values by size, since the store was opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Upper bounds, rising, and how many values were above the bound before and up to this one.
    /// The last bound is [`f64::INFINITY`].
    pub buckets: Vec<(f64, u64)>,
    /// The sum of all values.
    pub sum: f64,
}

/// What this adapter needs of a store. Tenants are named as in the path.
pub trait Store: Send + Sync + 'static {
    /// The running rules of a tenant; none: there is no such tenant. Called for each request: it
    /// must be cheap and must not block.
    fn rules(&self, tenant: &str) -> Option<RunningRules>;

    /// The running rules of all tenants. Must be cheap and must not block.
    fn all_rules(&self) -> Vec<RunningRules>;

    /// Decides and stores arrivals in their order, and calls each reply once the commit is on
    /// stable storage. Never blocks: where too many wait, a reply is called at once with
    /// [`SubmitError::Busy`].
    fn submit(&self, batch: Vec<(Submission, Reply)>);

    /// Decides one arrival as if it came at `at`, and writes nothing. May block.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn explain(
        &self,
        rules: &RunningRules,
        arrival: Arrival,
        at: Timestamp,
    ) -> Result<Explanation, ReadError>;

    /// Conversions, newest first. May block.
    ///
    /// # Errors
    /// A foreign cursor, or the store cannot read.
    fn conversions(&self, tenant: &str, filter: &Filter)
    -> Result<Page<ConversionView>, ReadError>;

    /// One conversion. May block.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn conversion(
        &self,
        tenant: &str,
        id: ConversionId,
    ) -> Result<Option<ConversionView>, ReadError>;

    /// Transactions, newest first. May block.
    ///
    /// # Errors
    /// A foreign cursor, or the store cannot read.
    fn transactions(
        &self,
        tenant: &str,
        filter: &Filter,
    ) -> Result<Page<TransactionView>, ReadError>;

    /// One transaction. May block.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn transaction(
        &self,
        tenant: &str,
        id: TransactionId,
    ) -> Result<Option<TransactionView>, ReadError>;

    /// Log rows, newest first. May block.
    ///
    /// # Errors
    /// A foreign cursor, or the store cannot read.
    fn requests(&self, tenant: &str, filter: &Filter) -> Result<Page<RequestView>, ReadError>;

    /// One log row. May block.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn request(&self, tenant: &str, id: RequestId) -> Result<Option<RequestView>, ReadError>;

    /// What became of a request, in the order of time. May block.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn timeline(&self, tenant: &str, id: RequestId) -> Result<Option<Timeline>, ReadError>;

    /// Messages, newest first. May block.
    ///
    /// # Errors
    /// A foreign cursor, or the store cannot read.
    fn deliveries(&self, tenant: &str, filter: &Filter) -> Result<Page<DeliveryView>, ReadError>;

    /// One message. May block.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn delivery(&self, tenant: &str, id: MessageId) -> Result<Option<DeliveryView>, ReadError>;

    /// Makes a message due now, whatever became of it before; that uses up no retry (R42). May
    /// block.
    ///
    /// # Errors
    /// Where the store cannot write.
    fn retry_delivery(&self, tenant: &str, id: MessageId) -> Result<Retried, SubmitError>;

    /// Makes all messages due now that match and are not in hand; says how many. May block.
    ///
    /// # Errors
    /// Where the store cannot write.
    fn retry_deliveries(&self, tenant: &str, filter: &Filter) -> Result<u64, SubmitError>;

    /// Erases what is personal about one visitor. May block.
    ///
    /// # Errors
    /// See [`EraseError`].
    fn erase(&self, tenant: &str, subject: &Subject) -> Result<Erased, EraseError>;

    /// How much waits to be sent. May block.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn backlog(&self) -> Result<Backlog, ReadError>;

    /// The running rules as they were handed in. May block.
    ///
    /// # Errors
    /// Where the store cannot read.
    fn rules_text(&self, tenant: &str) -> Result<Option<RulesText>, ReadError>;

    /// Checks rules, keeps them as a new version and runs them. May block.
    ///
    /// # Errors
    /// See [`PutRulesError`].
    fn put_rules(
        &self,
        tenant: &str,
        text: &str,
        format: RulesFormat,
    ) -> Result<RulesAccepted, PutRulesError>;

    /// How the store is. Must not block.
    fn health(&self) -> Health;
}
