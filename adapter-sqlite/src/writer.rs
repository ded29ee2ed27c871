//! The writer: one thread that owns the one connection that writes.
//!
//! It takes what is waiting, decides it inside one `BEGIN IMMEDIATE`, commits once, and only then
//! answers. While a commit waits for the disk the next batch gathers by itself, so a lone request
//! waits for nothing.
//!
//! Of many requests a batch takes half. Those that were answered last are being sent anew by the
//! same senders, and a batch of all that waits would leave the writer without anything to do until
//! they come, and then everyone else without anything to do: large and small batches would take
//! turns. Half of what waits and of what was answered last keeps both sides busy.
//!
//! Claims, reports and retries of messages (outbox.rs) share the transaction of the requests that
//! wait with them, whether these are few or half of many.
//!
//! When a batch fails and the machine is not at fault, all that is in it is done one by one, so
//! that one defect does not hit the others. When the disk is full or fails, everyone is told so,
//! the connection is given up (a failed sync may have lost pages that a second sync would not
//! write), and recovery means: open again, copy the whole write-ahead log into the database, and
//! write something.

mod alone;
mod copying;
mod install;

use std::{
    collections::VecDeque,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant},
};

use counterfoil_core::{Issue, RequestId, Ruleset, Timestamp};
use rusqlite::{Connection, TransactionBehavior};

use self::{alone::Alone, copying::Copying};
use crate::{
    claim::Turn,
    decide::{self, Round},
    effects,
    fault::Fault,
    ids::Ids,
    imports, log,
    open::{self, Lock, OpenError, Options},
    outbox::{Desk, Outbound, Reporting},
    recent::Recent,
    rules::{InstallError, Installed, RulesFormat, Versions},
    store::{Decided, Shared, Submission, SubmitError, Waiting},
    under_root::{self, Merge},
};

/// How often a store that cannot write tries again while nobody asks, and how long it refuses
/// without trying while many ask.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Requests that share a commit however many were answered last: to divide so few costs more than
/// it gains.
const FEW: u64 = 16;
/// What a recovering store must be able to write: more than the odd page that is free.
const PROBE_LEN: i64 = 256 * 1024;

/// What the writer is asked to do.
pub(crate) enum Job {
    /// Decide about requests.
    Decide(Vec<Waiting>),
    /// Claim messages, or take what became of some.
    Outbound(Outbound),
    /// Make rules the ones that decide.
    Install(Box<NewRules>, SyncSender<Result<Installed, InstallError>>),
    /// Do work in a transaction of its own.
    Alone(Alone),
}

impl Job {
    /// The requests in it.
    pub(crate) fn into_waiting(self) -> Vec<Waiting> {
        match self {
            Self::Decide(batch) => batch,
            Self::Outbound(_) | Self::Install(..) | Self::Alone(_) => Vec::new(),
        }
    }
}

/// What shares a transaction.
#[derive(Default)]
struct Batch {
    requests: Vec<Waiting>,
    outbound: Vec<Outbound>,
}

impl Batch {
    /// Takes a job in; gives back what cannot share a transaction with the others, and requests
    /// where it has this share of them already.
    fn add(&mut self, job: Job, share: usize) -> Result<(), Job> {
        match job {
            Job::Decide(first) if self.requests.is_empty() => self.requests = first,
            Job::Decide(more) if self.requests.len() < share => self.requests.extend(more),
            job @ Job::Decide(_) => return Err(job),
            Job::Outbound(outbound) => self.outbound.push(outbound),
            job @ (Job::Install(..) | Job::Alone(_)) => return Err(job),
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.requests.len() + self.outbound.len()
    }

    fn messages(&self) -> usize {
        self.outbound.iter().map(Outbound::len).sum()
    }

    /// Batches of one.
    fn split(self) -> impl Iterator<Item = Self> {
        let request = |one| Self { requests: vec![one], outbound: Vec::new() };
        let outbound = |one| Self { requests: Vec::new(), outbound: vec![one] };
        self.requests.into_iter().map(request).chain(self.outbound.into_iter().map(outbound))
    }

    fn answer_all(self, error: SubmitError) {
        for waiting in self.requests {
            (waiting.reply)(Err(error));
        }
        for outbound in self.outbound {
            outbound.answer(Err(error));
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
    recent: Recent,
    versions: Versions,
    turn: Turn,
    copying: Copying,
    /// How many requests the last batch had that had any.
    answered: u64,
    shared: Arc<Shared>,
    _lock: Lock,
}

impl Writer {
    pub(crate) fn new(
        path: &Path,
        options: Options,
        mut db: Connection,
        lock: Lock,
        shared: Arc<Shared>,
    ) -> Result<Self, OpenError> {
        let failed = |fault| match fault {
            Fault::Sqlite(error) => OpenError::sqlite(path)(error),
            _ => OpenError::NotADatabase { path: path.to_owned() },
        };
        let newest = effects::newest_id(&db).map_err(failed)?.map(RequestId::from_bytes);
        under_root::move_left(&mut db, options.unmoved_max).map_err(failed)?;
        // Whoever was sending is gone: what was being sent is due again.
        db.execute("UPDATE messages SET lease_until = NULL WHERE lease_until IS NOT NULL", [])
            .map_err(OpenError::sqlite(path))?;
        let merge = Merge::new(options.unmoved_max);
        Ok(Self {
            path: path.to_owned(),
            options,
            db: Some(db),
            failed_at: None,
            ids: Ids::above(newest),
            merge,
            recent: Recent::new(),
            versions: Versions::default(),
            turn: Turn::default(),
            copying: Copying::default(),
            answered: 0,
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
                Ok(Job::Alone(alone)) => self.work_alone(alone),
                Ok(job) => {
                    let (batch, rest) = self.gather(job, jobs);
                    next.extend(rest);
                    self.work(batch);
                }
            }
        }
    }

    /// What is to share a transaction, and what came after it and cannot.
    fn gather(&mut self, first: Job, jobs: &Receiver<Job>) -> (Batch, Option<Job>) {
        let under_way = self.shared.waiting() + self.answered;
        let share = usize::try_from(under_way.div_ceil(2).max(FEW)).unwrap_or(usize::MAX);
        let mut batch = Batch::default();
        let mut rest = batch.add(first, share).err();
        while rest.is_none() && batch.len() < self.options.batch_max {
            match jobs.try_recv() {
                Ok(job) => rest = batch.add(job, share).err(),
                Err(_) => break,
            }
        }
        let requests = batch.requests.len() as u64;
        if requests > 0 {
            self.answered = requests;
        }
        self.shared.taken(requests);
        (batch, rest)
    }

    /// Leaves everything in the one file: readers, which close later, could not.
    fn close(self) {
        let Some(db) = self.db else { return };
        let is_busy = db.query_row("PRAGMA wal_checkpoint(truncate)", [], |row| row.get(0));
        if !matches!(is_busy, Ok(false)) {
            tracing::debug!("the write-ahead log stays beside the database; nothing is lost");
        }
    }

    fn wait(&mut self, jobs: &Receiver<Job>) -> Result<Job, RecvTimeoutError> {
        match self.failed_at {
            None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => jobs.recv_timeout(RETRY_AFTER),
        }
    }

    /// Does what a batch asks for, and answers it.
    fn work(&mut self, mut batch: Batch) {
        let just_failed = self.failed_at.is_some_and(|at| at.elapsed() < RETRY_AFTER);
        if just_failed {
            return batch.answer_all(SubmitError::Unavailable);
        }
        let fault = match self.commit(&mut batch) {
            Ok((decided, made_due)) => {
                let count = batch.requests.len() + batch.messages();
                if made_due {
                    self.shared.due.ring();
                }
                for (waiting, decided) in batch.requests.into_iter().zip(decided) {
                    (waiting.reply)(Ok(decided));
                }
                for outbound in batch.outbound {
                    outbound.answer(Ok(()));
                }
                if let Some(db) = &self.db {
                    let waiting = usize::try_from(self.shared.waiting()).unwrap_or(usize::MAX);
                    self.copying.answered(count.saturating_add(waiting), db);
                }
                return;
            }
            Err(fault) => fault,
        };
        if fault.is_of_the_machine() {
            self.give_up(&fault);
            return batch.answer_all(SubmitError::Unavailable);
        }
        match (&*batch.requests, &mut *batch.outbound) {
            ([waiting], []) => {
                self.tell_defect(&fault, waiting);
                batch.answer_all(SubmitError::Internal);
            }
            ([], [Outbound::Report(reporting)]) if reporting.reports.len() > 1 => {
                let result = self.report_one_by_one(reporting);
                batch.outbound.into_iter().for_each(|outbound| outbound.answer(result));
            }
            ([], [outbound]) => {
                tracing::error!(error = %fault, "messages could not be stored: a defect");
                if outbound.leave_out_answer() {
                    return self.work(batch);
                }
                batch.answer_all(SubmitError::Internal);
            }
            _ => batch.split().for_each(|one| self.work(one)),
        }
    }

    /// Takes reports of which one has a defect: the others are stored.
    fn report_one_by_one(&mut self, reporting: &mut Reporting) -> Result<(), SubmitError> {
        let mut result = Ok(());
        let mut stale = 0;
        for report in std::mem::take(&mut reporting.reports) {
            let (id, _) = report.claim();
            let (reply, answer) = mpsc::sync_channel(1);
            let reply = Box::new(move |reported| {
                // It is waited for below.
                let _ = reply.send(reported);
            });
            self.work(Batch {
                requests: Vec::new(),
                outbound: vec![Outbound::reporting(vec![report], reply)],
            });
            match answer.recv().unwrap_or(Err(SubmitError::Internal)) {
                Ok(reported) => stale += reported.stale,
                Err(error) => {
                    tracing::error!(message = %id, "a report could not be stored");
                    result = Err(error);
                }
            }
        }
        reporting.reported.stale = stale;
        result
    }

    /// Not the query: it is the sender's, and it is not known here what stands in it.
    fn tell_defect(&self, fault: &Fault, waiting: &Waiting) {
        let Submission { ruleset, arrival, .. } = &waiting.submission;
        let (tenant, method) = (ruleset.tenant(), arrival.method.name());
        let request_id = self.ids.newest();
        tracing::error!(
            error = %fault, %request_id, %tenant, method,
            "a request could not be stored: a defect"
        );
    }

    /// Does a batch in one transaction; tells whether it made something due.
    fn commit(&mut self, batch: &mut Batch) -> Result<(Vec<Decided>, bool), Fault> {
        let shared = Arc::clone(&self.shared);
        let Self { path, options, db, ids, merge, recent, versions, turn, .. } = self;
        let db = connected(db, path, options)?;
        // A panic drops the transaction, which rolls it back.
        panic::catch_unwind(AssertUnwindSafe(|| {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut round = Round::new(&transaction, &shared, recent, batch.requests.len());
            for Waiting { submission, .. } in &batch.requests {
                let id = ids.next(submission.received_at.as_ms()).map_err(Fault::Random)?;
                round.decide(submission, id)?;
            }
            let decided = round.end()?;
            let arrivals = batch.requests.iter().map(|waiting| &waiting.submission.arrival);
            log::write(&transaction, arrivals.zip(&decided))?;
            imports::advance(&transaction, batch.requests.iter().zip(&decided))?;
            let made_due = decided.iter().any(|decided| decide::makes_due(&decided.decision));
            let (db, shared) = (&*transaction, &*shared);
            let mut desk = Desk { db, shared, ids, versions, recent, turn, made_due };
            for outbound in &mut batch.outbound {
                outbound.work(&mut desk)?;
            }
            let made_due = desk.made_due;
            merge.step(&transaction, batch.len())?;
            let began = Instant::now();
            transaction.commit()?;
            shared.committed(batch.requests.len() as u64, began.elapsed());
            Ok((decided, made_due))
        }))
        .unwrap_or(Err(Fault::Panic))
        .inspect(|_| self.is_well())
        .inspect_err(|_| {
            self.merge.rolled_back();
            self.recent.clear();
        })
    }

    /// The connection, opened again where the disk has failed.
    fn connection(&mut self) -> Result<&mut Connection, Fault> {
        connected(&mut self.db, &self.path, &self.options)
    }

    fn give_up(&mut self, fault: &Fault) {
        tracing::error!(error = %fault, "the database cannot be written");
        self.db = None;
        self.merge.rolled_back();
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
        let probed = self.connection().and_then(|db| {
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

fn connected<'a>(
    db: &'a mut Option<Connection>,
    path: &Path,
    options: &Options,
) -> Result<&'a mut Connection, Fault> {
    let connection = match db.take() {
        Some(connection) => connection,
        None => reopen(path, options)?,
    };
    Ok(db.insert(connection))
}

/// Opens the database after its disk has failed. What the write-ahead log holds is written anew:
/// the system may believe pages of it to be on the disk that are not.
fn reopen(path: &Path, options: &Options) -> Result<Connection, Fault> {
    let db = open::for_writing(path, options).map_err(|error| match error {
        OpenError::Sqlite { source, .. } | OpenError::Held { source, .. } => Fault::Sqlite(source),
        other => Fault::Open(other),
    })?;
    let is_busy: bool = db.query_row("PRAGMA wal_checkpoint(truncate)", [], |row| row.get(0))?;
    if is_busy {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(code, None).into());
    }
    Ok(db)
}
