//! Messages on their way out, as whoever sends them sees the store: claims, reports and manual
//! retries go through the writer and share its commits with requests; everyone is answered after
//! the commit.
//!
//! ```text
//! claim  -> Claiming  \
//! report -> Reporting  > one transaction with the requests that wait -> commit -> replies, wake-up
//! retry  -> Retrying  /
//! ```

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, mpsc},
};

use counterfoil_core::{
    Claim, MessageId, MessageState, Next, Period, Report, RetryKind, TenantName, Timestamp, Wanted,
    view::Filter,
};
use rusqlite::Connection;

use crate::{
    Store, claim,
    claim::Turn,
    fault::Fault,
    ids::Ids,
    recent::Recent,
    report, retry,
    rules::Versions,
    store::{Shared, SubmitError},
    writer::Job,
};

/// Messages that one commit retries at most, so that requests do not wait for long.
const RETRIED_AT_ONCE: usize = 256;

/// How long a message rests after a defect.
pub(crate) const REST: Period = Period::from_ms(10 * 60_000);

/// Takes the claims; called on the writer's thread after the commit, so it must not block.
pub type ClaimReply = Box<dyn FnOnce(Result<Vec<Claim>, SubmitError>) + Send>;

/// Takes what became of reports; called as [`ClaimReply`] is.
pub type ReportReply = Box<dyn FnOnce(Result<Reported, SubmitError>) + Send>;

/// What became of reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Reports of claims that were not theirs any more: nothing of them is stored.
    pub stale: usize,
}

/// What became of a manual retry (R42).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// The message is due.
    Due,
    /// The tenant has no such message; where nothing asks for it any more, none that was erased or
    /// pruned.
    NotFound,
    /// Its content is gone, erased or pruned: there is nothing to send.
    Forgotten,
    /// It is being sent, or held for something: nothing has changed.
    InHand,
}

impl Store {
    /// Claims messages that are due: at most so many of each destination, the oldest first, the
    /// destinations in turn from one call to the next. What is not rendered yet is rendered in the
    /// same commit (R43, R46). Returns at once; what is claimed is committed before the reply is
    /// called.
    ///
    /// Fewer than wanted may come although more is due: a call looks at a bounded number of
    /// messages. [`Reader::next_due`](crate::Reader::next_due) tells.
    pub fn claim(&self, wanted: Wanted, reply: ClaimReply) {
        self.hand_over(Outbound::Claim(Claiming { wanted, claims: Vec::new(), reply }));
    }

    /// Takes what became of claims: attempts, what follows them, what their answers set (R45).
    /// Returns at once; the reply is called after the commit. On [`SubmitError::Busy`] and
    /// [`SubmitError::Unavailable`] nothing is stored, and the same reports may be handed in
    /// again; on [`SubmitError::Internal`] those without a defect are stored. A report whose answer
    /// cannot be applied through a defect counts as an attempt that failed through our fault.
    pub fn report(&self, reports: Vec<Report>, reply: ReportReply) {
        self.hand_over(Outbound::reporting(reports, reply));
    }

    /// Makes a message due by hand, whether it is dead, delivered, or waits for its time. It keeps
    /// its id and its counters: a manual retry does not count (R42). A held or a sending one is
    /// left alone. Of a step that is dead, the steps behind it wait for it again.
    ///
    /// # Errors
    /// As [`Store::submit`].
    pub fn retry(
        &self,
        tenant: &TenantName,
        id: MessageId,
        at: Timestamp,
    ) -> Result<Retried, SubmitError> {
        let retried = self.retry_these(tenant, vec![id], at)?;
        Ok(retried.first().copied().unwrap_or(Retried::NotFound))
    }

    /// Retries by hand what a filter names, all pages of it, and tells how many messages became
    /// due. Without a state in the filter these are the dead ones only.
    ///
    /// # Errors
    /// As [`Store::submit`]; some may have become due before.
    pub fn retry_all(
        &self,
        tenant: &TenantName,
        filter: &Filter,
        at: Timestamp,
    ) -> Result<u64, SubmitError> {
        let mut filter = Filter { limit: Some(Filter::LIMIT_MAX), ..filter.clone() };
        filter.state.get_or_insert(MessageState::Dead);
        let mut due = 0;
        loop {
            let page = self.reader().message_ids(tenant, &filter).map_err(|error| {
                tracing::error!(%error, "messages to retry cannot be read");
                SubmitError::Unavailable
            })?;
            for ids in page.items.chunks(RETRIED_AT_ONCE) {
                let retried = self.retry_these(tenant, ids.to_vec(), at)?;
                due += retried.iter().filter(|became| **became == Retried::Due).count() as u64;
            }
            match page.next_cursor {
                Some(cursor) => filter.cursor = Some(cursor),
                None => return Ok(due),
            }
        }
    }

    /// Has `wake` called after each commit that made something due, at once or later. It is called
    /// on the writer's thread, so it must not block. A second call replaces the first.
    pub fn on_due(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.shared().due.set(wake.into());
    }

    fn retry_these(
        &self,
        tenant: &TenantName,
        ids: Vec<MessageId>,
        at: Timestamp,
    ) -> Result<Vec<Retried>, SubmitError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let reply = Box::new(move |retried| {
            // Nobody waits any more where this fails.
            let _ = reply.send(retried);
        });
        let tenant = tenant.clone();
        self.hand_over(Outbound::Retry(Retrying { tenant, ids, at, retried: Vec::new(), reply }));
        answer.recv().unwrap_or(Err(SubmitError::Unavailable))
    }

    fn hand_over(&self, outbound: Outbound) {
        if let Err((job, error)) = self.send(Job::Outbound(outbound))
            && let Job::Outbound(outbound) = job
        {
            outbound.answer(Err(error));
        }
    }
}

/// Something about messages that the writer is asked to do, with what came of it until the commit
/// allows to answer.
pub(crate) enum Outbound {
    Claim(Claiming),
    Report(Reporting),
    Retry(Retrying),
}

pub(crate) struct Claiming {
    pub(crate) wanted: Wanted,
    claims: Vec<Claim>,
    reply: ClaimReply,
}

pub(crate) struct Reporting {
    pub(crate) reports: Vec<Report>,
    pub(crate) reported: Reported,
    reply: ReportReply,
}

pub(crate) struct Retrying {
    tenant: TenantName,
    ids: Vec<MessageId>,
    at: Timestamp,
    retried: Vec<Retried>,
    reply: Box<dyn FnOnce(Result<Vec<Retried>, SubmitError>) + Send>,
}

/// What work on messages has at hand inside a transaction.
pub(crate) struct Desk<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) shared: &'a Shared,
    pub(crate) ids: &'a mut Ids,
    pub(crate) versions: &'a Versions,
    pub(crate) recent: &'a mut Recent,
    pub(crate) turn: &'a mut Turn,
    /// Whether something became due.
    pub(crate) made_due: bool,
}

impl Outbound {
    /// Messages that it changes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Claim(claiming) => claiming.claims.len(),
            Self::Report(reporting) => reporting.reports.len(),
            Self::Retry(_) => 1,
        }
    }

    pub(crate) fn reporting(reports: Vec<Report>, reply: ReportReply) -> Self {
        Self::Report(Reporting { reports, reported: Reported::default(), reply })
    }

    /// Does it within the transaction. What came of an earlier try is forgotten.
    pub(crate) fn work(&mut self, desk: &mut Desk<'_>) -> Result<(), Fault> {
        match self {
            Self::Claim(claiming) => claiming.claims = claim::claim(desk, &claiming.wanted)?,
            Self::Report(reporting) => {
                reporting.reported = report::report(desk, &reporting.reports)?;
            }
            Self::Retry(Retrying { tenant, ids, at, retried, .. }) => {
                *retried = retry::retry(desk, tenant, ids, *at)?;
            }
        }
        Ok(())
    }

    /// Makes of a report whose answer cannot be applied, through a defect, one of an attempt that
    /// failed through a fault of ours: it is seen, nothing is lost, and the destination is not
    /// asked again at once. Whether there was such a report.
    pub(crate) fn leave_out_answer(&mut self) -> bool {
        let Self::Report(Reporting { reports, .. }) = self else {
            return false;
        };
        let [Report::Attempted(attempted)] = &mut **reports else {
            return false;
        };
        if attempted.answer.take().is_none_or(|answer| answer.set.is_empty()) {
            return false;
        }
        let at = attempted.started_at.plus(attempted.took).plus(REST);
        attempted.next = Next::Retry { at, kind: RetryKind::Ours };
        attempted.error = Some("the answer could not be applied; see the log".into());
        true
    }

    /// Answers whoever waits.
    pub(crate) fn answer(self, committed: Result<(), SubmitError>) {
        match self {
            Self::Claim(Claiming { claims, reply, .. }) => reply(committed.map(|()| claims)),
            Self::Report(Reporting { reported, reply, .. }) => reply(committed.map(|()| reported)),
            Self::Retry(Retrying { retried, reply, .. }) => reply(committed.map(|()| retried)),
        }
    }
}

/// Who is told that something became due.
#[derive(Default)]
pub(crate) struct DueBell(RwLock<Option<Arc<dyn Fn() + Send + Sync>>>);

impl DueBell {
    fn set(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(wake);
    }

    pub(crate) fn ring(&self) {
        let wake = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(wake) = wake {
            wake();
        }
    }
}

impl fmt::Debug for DueBell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DueBell")
    }
}
