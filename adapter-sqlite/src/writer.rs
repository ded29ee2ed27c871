//! The writer: one thread that owns the one connection that writes.
//!
//! It takes what is waiting, decides all of it inside one `BEGIN IMMEDIATE`, commits once, and only
//! then answers. While a commit waits for the disk the next batch gathers by itself, so a lone
//! request waits for nothing.
//!
//! When a batch fails and the machine is not at fault, its requests are decided one by one, so that
//! one defect does not hit the others. When the disk is full or fails, everyone is told so, the
//! connection is given up (a failed sync may have lost pages that a second sync would not write),
//! and recovery means: open again, copy the whole write-ahead log into the database, and write
//! something.

use std::{
    collections::VecDeque,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant},
};

use counterfoil_core::{
    Decision, Facts, Issue, Receipt, Request, RequestId, Root, Ruleset, Timestamp,
};
use rusqlite::{Connection, TransactionBehavior};

use crate::{
    again,
    effects::{self, Place},
    facts,
    fault::Fault,
    ids::Ids,
    open::{self, Lock, OpenError, Options},
    rules::{self, InstallError, Installed, Rules, RulesFormat},
    store::{Decided, Shared, Submission, SubmitError, Waiting},
    under_root::Merge,
};

/// How often a store that cannot write tries again while nobody asks, and how long it refuses
/// without trying while many ask.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// What a recovering store must be able to write: more than the odd page that is free.
const PROBE_LEN: i64 = 256 * 1024;

/// What the writer is asked to do.
pub(crate) enum Job {
    /// Decide about requests.
    Decide(Vec<Waiting>),
    /// Make rules the ones that decide.
    Install(Box<NewRules>, SyncSender<Result<Installed, InstallError>>),
}

impl Job {
    /// The requests in it.
    pub(crate) fn into_waiting(self) -> Vec<Waiting> {
        match self {
            Self::Decide(batch) => batch,
            Self::Install(..) => Vec::new(),
        }
    }
}

/// Checked rules on their way to the writer.
pub(crate) struct NewRules {
    pub(crate) ruleset: Arc<Ruleset>,
    pub(crate) warnings: Vec<Issue>,
    pub(crate) text: String,
    pub(crate) format: RulesFormat,
    pub(crate) at: Timestamp,
}

pub(crate) struct Writer {
    path: PathBuf,
    options: Options,
    /// Absent after the disk has failed, until it is opened again.
    db: Option<Connection>,
    failed_at: Option<Instant>,
    ids: Ids,
    merge: Merge,
    shared: Arc<Shared>,
    _lock: Lock,
}

impl Writer {
    pub(crate) fn new(
        path: &Path,
        options: Options,
        db: Connection,
        lock: Lock,
        shared: Arc<Shared>,
    ) -> Result<Self, OpenError> {
        let newest = match effects::newest_id(&db) {
            Ok(newest) => newest.map(RequestId::from_bytes),
            Err(Fault::Sqlite(error)) => return Err(OpenError::sqlite(path)(error)),
            Err(_) => {
                return Err(OpenError::NotADatabase { path: path.to_owned() });
            }
        };
        let merge = Merge::new(options.unmoved_max);
        Ok(Self {
            path: path.to_owned(),
            options,
            db: Some(db),
            failed_at: None,
            ids: Ids::above(newest),
            merge,
            shared,
            _lock: lock,
        })
    }

    /// Works until nobody can send any more, and everyone is answered.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        let mut next = VecDeque::new();
        loop {
            match next.pop_front().map_or_else(|| self.wait(jobs), Ok) {
                Err(RecvTimeoutError::Disconnected) => return self.close(),
                Err(RecvTimeoutError::Timeout) => self.probe(),
                Ok(Job::Install(rules, reply)) => {
                    // Nobody waits any more where this fails.
                    let _ = reply.send(self.install(*rules));
                }
                Ok(Job::Decide(mut batch)) => {
                    while batch.len() < self.options.batch_max {
                        match jobs.try_recv() {
                            Ok(Job::Decide(more)) => batch.extend(more),
                            Ok(job) => {
                                next.push_back(job);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.shared.taken(batch.len() as u64);
                    self.decide(batch);
                }
            }
        }
    }

    /// Leaves everything in the one file: readers, which close later, could not.
    fn close(self) {
        let Some(db) = self.db else { return };
        let is_busy = db.query_row("PRAGMA wal_checkpoint(truncate)", [], |row| row.get(0));
        if !matches!(is_busy, Ok(false)) {
            tracing::debug!("the write-ahead log stays beside the database; nothing is lost");
        }
    }

    fn wait(&self, jobs: &Receiver<Job>) -> Result<Job, RecvTimeoutError> {
        match self.failed_at {
            None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => jobs.recv_timeout(RETRY_AFTER),
        }
    }

    /// Decides a batch and answers it.
    fn decide(&mut self, mut batch: Vec<Waiting>) {
        let just_failed = self.failed_at.is_some_and(|at| at.elapsed() < RETRY_AFTER);
        if just_failed {
            return answer_all(batch, SubmitError::Unavailable);
        }
        let fault = match self.commit(&batch) {
            Ok(decided) => {
                for (waiting, decided) in batch.into_iter().zip(decided) {
                    (waiting.reply)(Ok(decided));
                }
                return;
            }
            Err(fault) => fault,
        };
        if fault.is_of_the_machine() {
            self.give_up(&fault);
            return answer_all(batch, SubmitError::Unavailable);
        }
        if let [waiting] = &*batch {
            // Not the query: it is the sender's, and it is not known here what stands in it.
            let Submission { ruleset, arrival, .. } = &waiting.submission;
            let (tenant, method) = (ruleset.tenant(), arrival.method.name());
            let request_id = self.ids.newest();
            tracing::error!(
                error = %fault, %request_id, %tenant, method,
                "a request could not be stored: a defect"
            );
            return answer_all(batch, SubmitError::Internal);
        }
        for waiting in batch.drain(..) {
            self.decide(vec![waiting]);
        }
    }

    /// Decides a batch in one transaction.
    fn commit(&mut self, batch: &[Waiting]) -> Result<Vec<Decided>, Fault> {
        let shared = Arc::clone(&self.shared);
        let (db, ids, merge) = self.connection()?;
        // A panic drops the transaction, which rolls it back.
        panic::catch_unwind(AssertUnwindSafe(|| {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let decide = |waiting: &Waiting| {
                let submission = &waiting.submission;
                let id = ids.next(submission.received_at.as_ms()).map_err(Fault::Random)?;
                decide_one(&transaction, &shared, submission, id)
            };
            let decided = batch.iter().map(decide).collect::<Result<Vec<_>, _>>()?;
            merge.step(&transaction, batch.len())?;
            let began = Instant::now();
            transaction.commit()?;
            shared.committed(batch.len() as u64, began.elapsed());
            Ok(decided)
        }))
        .unwrap_or(Err(Fault::Panic))
        .inspect(|_| self.is_well())
        .inspect_err(|_| self.merge.rolled_back())
    }

    fn install(&mut self, new: NewRules) -> Result<Installed, InstallError> {
        let NewRules { ruleset, warnings, text, format, at } = new;
        let stored = self.store_rules(&rules::Text { ruleset: &ruleset, text: &text, format, at });
        let stored = match stored {
            Ok(Ok(stored)) => stored,
            Ok(Err(from)) => {
                let tenant = ruleset.tenant().clone();
                return Err(InstallError::CurrencyChange { tenant, from, to: ruleset.currency() });
            }
            Err(fault) if fault.is_of_the_machine() => {
                self.give_up(&fault);
                return Err(InstallError::Store(SubmitError::Unavailable));
            }
            Err(fault) => {
                tracing::error!(error = %fault, "rules could not be stored: a defect");
                return Err(InstallError::Store(SubmitError::Internal));
            }
        };
        let rules = Rules { tenant: stored.tenant, version: stored.version, ruleset };
        self.shared.set_rules(rules.clone());
        let replaced = stored.before.filter(|before| *before != stored.version);
        Ok(Installed { rules, replaced, is_new: stored.is_new, warnings })
    }

    fn store_rules(
        &mut self,
        new: &rules::Text<'_>,
    ) -> Result<Result<rules::Stored, counterfoil_core::Currency>, Fault> {
        let (db, ..) = self.connection()?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let stored = rules::store(&transaction, new)?;
        if stored.is_ok() {
            transaction.commit()?;
        } else {
            transaction.rollback()?;
        }
        self.is_well();
        Ok(stored)
    }

    /// The connection, opened again where the disk has failed.
    fn connection(&mut self) -> Result<(&mut Connection, &mut Ids, &mut Merge), Fault> {
        let db = match self.db.take() {
            Some(db) => db,
            None => reopen(&self.path, &self.options)?,
        };
        Ok((self.db.insert(db), &mut self.ids, &mut self.merge))
    }

    fn give_up(&mut self, fault: &Fault) {
        tracing::error!(error = %fault, "the database cannot be written");
        self.db = None;
        self.failed_at = Some(Instant::now());
        self.shared.set_not_ready(Some(format!("the database cannot be written: {fault}")));
    }

    fn is_well(&mut self) {
        if self.failed_at.take().is_some() {
            tracing::info!("the database can be written again");
            self.shared.set_not_ready(None);
        }
    }

    /// Tries to recover while nobody asks for anything.
    fn probe(&mut self) {
        let probed = self.connection().and_then(|(db, ..)| {
            db.execute("INSERT INTO probe (filler) VALUES (zeroblob(?1))", [PROBE_LEN])?;
            db.execute("DELETE FROM probe", [])?;
            Ok(())
        });
        match probed {
            Ok(()) => self.is_well(),
            Err(fault) => self.give_up(&fault),
        }
    }
}

fn answer_all(batch: Vec<Waiting>, error: SubmitError) {
    for waiting in batch {
        (waiting.reply)(Err(error));
    }
}

/// Opens the database after its disk has failed. What the write-ahead log holds is written anew:
/// the system may believe pages of it to be on the disk that are not.
fn reopen(path: &Path, options: &Options) -> Result<Connection, Fault> {
    let db = open::for_writing(path, options).map_err(|error| match error {
        OpenError::Sqlite { source, .. } => Fault::Sqlite(source),
        other => Fault::Open(other),
    })?;
    let is_busy: bool = db.query_row("PRAGMA wal_checkpoint(truncate)", [], |row| row.get(0))?;
    if is_busy {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(code, None).into());
    }
    Ok(db)
}

/// Decides about one request inside the transaction: facts, decision, effects, log row.
fn decide_one(
    db: &Connection,
    shared: &Shared,
    submission: &Submission,
    id: RequestId,
) -> Result<Decided, Fault> {
    let Submission { ruleset, arrival, received_at } = submission;
    let tenant = ruleset.tenant();
    let rules = shared
        .rules(tenant.as_str())
        .ok_or_else(|| Fault::Row(format!("no rules are installed for the tenant `{tenant}`")))?;
    let receipt = Receipt { id, at: *received_at };
    if Arc::ptr_eq(ruleset, &rules.ruleset) {
        let (decision, facts) = consider(db, &rules, &arrival.request, receipt)?;
        return finish(db, rules, arrival, receipt, decision, facts);
    }
    let mut arrival = arrival.clone();
    arrival.request = again::reread(&rules.ruleset, &arrival);
    let (decision, facts) = consider(db, &rules, &arrival.request, receipt)?;
    finish(db, rules, &arrival, receipt, decision, facts)
}

/// Facts and decision; nothing is written.
pub(crate) fn consider(
    db: &Connection,
    rules: &Rules,
    request: &Request,
    receipt: Receipt,
) -> Result<(Decision, Facts), Fault> {
    let query = request.query(&rules.ruleset);
    let facts = facts::fetch(db, rules.tenant, &query)?;
    Ok((request.decide(&rules.ruleset, &facts, receipt), facts))
}

/// Writes what was decided.
pub(crate) fn finish(
    db: &Connection,
    rules: Rules,
    arrival: &counterfoil_core::Arrival,
    receipt: Receipt,
    decision: Decision,
    facts: Facts,
) -> Result<Decided, Fault> {
    let place = Place { tenant: rules.tenant, ruleset: rules.version };
    effects::apply(db, place, arrival, receipt, &decision)?;
    let root = root_of(&decision, facts.root);
    Ok(Decided { receipt, decision, rules, root })
}

/// The root of the conversion that a decision is about.
pub(crate) fn root_of(decision: &Decision, found: Option<Root>) -> Option<Root> {
    let own = decision.conversion.as_deref().and_then(|conversion| conversion.as_root());
    own.or(found)
}
