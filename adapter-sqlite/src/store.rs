//! The owner of a database: takes requests in and answers them after their commit.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use counterfoil_core::{Arrival, Decision, Issue, Receipt, Ruleset, TenantName, Timestamp};

use crate::{
    imports::ImportRow,
    measured::{Distribution, Measured},
    open::{self, Lock, OpenError, Options},
    outbox::DueBell,
    reader::Reader,
    rules::{self, InstallError, Installed, Rules, RulesFormat},
    writer::{Job, NewRules, Writer},
};

/// A database that this process owns. Share it by reference or `Arc`; dropping it answers what is
/// still waiting, then closes the database.
#[derive(Debug)]
pub struct Store {
    reader: Reader,
    shared: Arc<Shared>,
    /// Requests that may wait.
    queue_len: u64,
    /// Absent only while the store is dropped.
    jobs: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// What the writer tells everyone else.
#[derive(Debug)]
pub(crate) struct Shared {
    rules: RwLock<BTreeMap<TenantName, Rules>>,
    not_ready: Mutex<Option<String>>,
    queue_depth: AtomicU64,
    batches: AtomicU64,
    batched_requests: AtomicU64,
    batch_len_max: AtomicU64,
    commit_us: Measured,
    batch_requests: Measured,
    /// Rings when something became due.
    pub(crate) due: DueBell,
}

/// Places in the writer's queue beside those of requests: what is sent and reported finds room
/// however many requests wait.
const OUTBOUND_QUEUE_LEN: usize = 64;
/// Upper bounds of the time that a commit takes, in microseconds.
const COMMIT_US: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000];
/// Upper bounds of the requests that share a commit.
const BATCH_REQUESTS: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// A request on its way to the writer.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The rules that the request was read with, from [`Store::rules`]. Where others were
    /// installed meanwhile, the request is read again with those from its text.
    pub ruleset: Arc<Ruleset>,
    /// The request.
    pub arrival: Arrival,
    /// When it arrived: [`Receipt::at`], and the time that its ids carry unless later ids are
    /// stored already.
    pub received_at: Timestamp,
}

/// A request and who waits for its answer.
pub struct Waiting {
    /// The request.
    pub submission: Submission,
    /// Which row of a file it is, where it is one of an import.
    pub row: Option<ImportRow>,
    /// Takes the answer.
    pub reply: Reply,
}

/// What became of a submission. What it reports is on stable storage.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The id that the request got, and its time.
    pub receipt: Receipt,
    /// The decision.
    pub decision: Decision,
    /// The rules that decided.
    pub rules: Rules,
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

/// How the store is. The numbers only rise while it is open, but for the depth of the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why nothing can be acknowledged now, without paths; absent: ready. The store tries again by
    /// itself.
    pub not_ready: Option<String>,
    /// Requests that wait for the writer.
    pub queue_depth: u64,
    /// Commits.
    pub batches: u64,
    /// Requests in these commits.
    pub batched_requests: u64,
    /// Requests in the largest commit.
    pub batch_len_max: u64,
    /// How long commits took until they were on stable storage, in microseconds.
    pub commit_us: Distribution,
    /// How many requests shared a commit.
    pub batch_requests: Distribution,
}

impl Store {
    /// Opens a database, makes it where there is none, and upgrades an older one in one
    /// transaction (P12).
    ///
    /// # Errors
    /// Where another process owns it, a newer version made it, it is something else, or the disk
    /// fails.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        open::check_library()?;
        open::refuse_foreign(path)?;
        let lock = Lock::take(path, &options.role)?;
        let db = open::for_writing(path, &options)?;
        let shared = Arc::<Shared>::default();
        let (jobs, waiting) = mpsc::sync_channel(options.queue_len + OUTBOUND_QUEUE_LEN);
        let queue_len = options.queue_len as u64;
        let writer = Writer::new(path, options, db, lock, Arc::clone(&shared))?;
        let failed = |source| OpenError::Io { path: path.to_owned(), source };
        let thread = thread::Builder::new()
            .name("counterfoil-writer".to_owned())
            .spawn(move || writer.run(&waiting))
            .map_err(failed)?;
        let reader = Reader::open(path)?;
        Ok(Self { reader, shared, queue_len, jobs: Some(jobs), writer: Some(thread) })
    }

    /// Reads beside the writer.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Checks rules and makes them the ones that decide, in order with the decisions. The same
    /// text is the same version. Waits until it is done.
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
        let (ruleset, warnings) = rules::parse(text, format).map_err(InstallError::Invalid)?;
        if let Some(expected) = tenant.filter(|expected| *expected != ruleset.tenant()) {
            return Err(InstallError::OtherTenant {
                found: ruleset.tenant().clone(),
                expected: expected.clone(),
            });
        }
        self.install(ruleset, warnings, text, format, at)
    }

    fn install(
        &self,
        ruleset: Ruleset,
        warnings: Vec<Issue>,
        text: &str,
        format: RulesFormat,
        at: Timestamp,
    ) -> Result<Installed, InstallError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let text = text.to_owned();
        let rules = NewRules { ruleset: Arc::new(ruleset), warnings, text, format, at };
        let gone = || InstallError::Store(SubmitError::Unavailable);
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Job::Install(Box::new(rules), reply)).map_err(|_| gone())?;
        answer.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Makes the stored rules of every tenant decide that has none installed in this process:
    /// `serve --rules-from-db`, and tools without rules of their own.
    ///
    /// # Errors
    /// Where stored rules are invalid in this version, or cannot be read.
    pub fn use_stored_rules(&self) -> Result<Vec<Rules>, InstallError> {
        let unreadable = |error| {
            tracing::error!(%error, "stored rules cannot be read");
            InstallError::Store(SubmitError::Internal)
        };
        for tenant in self.reader.tenants().map_err(unreadable)? {
            if self.rules(tenant.as_str()).is_some() {
                continue;
            }
            if let Some(stored) = self.reader.rules_text(&tenant, None).map_err(unreadable)? {
                let at = stored.installed_at;
                self.install_rules(Some(&tenant), &stored.text, stored.format, at)?;
            }
        }
        Ok(self.all_rules())
    }

    /// The rules that decide about a tenant; absent: there is no such tenant.
    pub fn rules(&self, tenant: &str) -> Option<Rules> {
        self.shared.rules(tenant)
    }

    /// The rules that decide, of all tenants, by name.
    pub fn all_rules(&self) -> Vec<Rules> {
        let rules = self.shared.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.values().cloned().collect()
    }

    /// Hands requests to the writer and returns at once. Each reply is called exactly once: after
    /// the commit, or with the error; [`SubmitError::Busy`] is answered before this returns.
    pub fn submit(&self, mut batch: Vec<Waiting>) {
        let requests = batch.len() as u64;
        let before = self.shared.queue_depth.fetch_add(requests, Ordering::Relaxed);
        let room = self.queue_len.saturating_sub(before).min(requests);
        let refused = batch.split_off(usize::try_from(room).unwrap_or(usize::MAX));
        self.refuse(refused, SubmitError::Busy);
        if batch.is_empty() {
            return;
        }
        if let Err((job, error)) = self.send(Job::Decide(batch)) {
            self.refuse(job.into_waiting(), error);
        }
    }

    /// Hands a job to the writer, or gives it back.
    pub(crate) fn send(&self, job: Job) -> Result<(), (Job, SubmitError)> {
        let sent = match &self.jobs {
            Some(jobs) => jobs.try_send(job),
            None => Err(TrySendError::Disconnected(job)),
        };
        sent.map_err(|error| match error {
            TrySendError::Full(job) => (job, SubmitError::Busy),
            TrySendError::Disconnected(job) => (job, SubmitError::Unavailable),
        })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn refuse(&self, refused: Vec<Waiting>, error: SubmitError) {
        self.shared.taken(refused.len() as u64);
        for waiting in refused {
            (waiting.reply)(Err(error));
        }
    }

    /// Hands a request to the writer and waits for the answer.
    ///
    /// # Errors
    /// As [`Store::submit`].
    pub fn submit_wait(&self, submission: Submission) -> Result<Decided, SubmitError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let reply = move |decided| {
            // Nobody waits any more where this fails.
            let _ = reply.send(decided);
        };
        self.submit(vec![Waiting { submission, row: None, reply: Box::new(reply) }]);
        answer.recv().unwrap_or(Err(SubmitError::Unavailable))
    }

    /// How the store is.
    pub fn health(&self) -> Health {
        let shared = &self.shared;
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let writer_is_gone = self.writer.as_ref().is_none_or(JoinHandle::is_finished);
        let not_ready = shared.not_ready.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Health {
            not_ready: not_ready
                .or_else(|| writer_is_gone.then(|| "the writer has ended".to_owned())),
            queue_depth: of(&shared.queue_depth),
            batches: of(&shared.batches),
            batched_requests: of(&shared.batched_requests),
            batch_len_max: of(&shared.batch_len_max),
            commit_us: shared.commit_us.read(),
            batch_requests: shared.batch_requests.read(),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The writer answers what is waiting, and ends when nobody can send any more.
        self.jobs = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer has panicked");
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            rules: RwLock::default(),
            not_ready: Mutex::default(),
            queue_depth: AtomicU64::default(),
            batches: AtomicU64::default(),
            batched_requests: AtomicU64::default(),
            batch_len_max: AtomicU64::default(),
            commit_us: Measured::new(&COMMIT_US),
            batch_requests: Measured::new(&BATCH_REQUESTS),
            due: DueBell::default(),
        }
    }
}

impl Shared {
    pub(crate) fn rules(&self, tenant: &str) -> Option<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).get(tenant).cloned()
    }

    /// The rules that decide about the tenant of an id.
    pub(crate) fn rules_of(&self, tenant: i64) -> Option<Rules> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.values().find(|rules| rules.tenant == tenant).cloned()
    }

    pub(crate) fn set_rules(&self, rules: Rules) {
        let name = rules.ruleset.tenant().clone();
        self.rules.write().unwrap_or_else(PoisonError::into_inner).insert(name, rules);
    }

    pub(crate) fn set_not_ready(&self, why: Option<String>) {
        *self.not_ready.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Requests in the queue.
    pub(crate) fn waiting(&self) -> u64 {
        self.queue_depth.load(Ordering::Relaxed)
    }

    /// So many requests left the queue.
    pub(crate) fn taken(&self, requests: u64) {
        self.queue_depth.fetch_sub(requests, Ordering::Relaxed);
    }

    /// So many requests were committed, and the commit took so long.
    pub(crate) fn committed(&self, requests: u64, took: Duration) {
        self.commit_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if requests > 0 {
            self.batch_requests.add(requests);
        }
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.batched_requests.fetch_add(requests, Ordering::Relaxed);
        self.batch_len_max.fetch_max(requests, Ordering::Relaxed);
    }
}
