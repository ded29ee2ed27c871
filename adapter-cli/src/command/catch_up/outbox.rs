//! The outbox of one pass: only what was chosen is given to the dispatcher, and it is told when
//! nothing is left that may be sent now.
//!
//! What was not chosen is claimed as well, kept until the end, and then given back as it is due. It
//! is not attempted, but claiming has dealt with what is delayed and is due (R43), chosen or not:
//! its request is rendered and stays so, and a message whose result has to come first is held, one
//! whose conditions no longer hold is dropped.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
};

use counterfoil_core::{
    Claim, MessageId, MessageOf, Period, Report, TenantName, Timestamp, Wanted,
};
use counterfoil_http::{ClaimReply, Outbox, ReadError, ReportReply, SubmitError};
use tokio::sync::Notify;

use crate::store::EmbeddedStore;

/// Which messages are sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    pub(super) tracking_api: Option<String>,
    pub(super) postback: Option<String>,
    /// Counted from one.
    pub(super) step: Option<u32>,
}

impl Chosen {
    /// Whether nothing narrows it.
    pub(super) fn is_all(&self) -> bool {
        self.tracking_api.is_none() && self.postback.is_none() && self.step.is_none()
    }

    fn has(&self, of: &MessageOf) -> bool {
        let is =
            |wanted: &Option<String>, id: Option<&str>| wanted.is_none() || wanted.as_deref() == id;
        let (api, postback, step) = match of {
            MessageOf::TrackingApi(id) => (Some(id.as_str()), None, None),
            MessageOf::Step { postback, number } => {
                (None, Some(postback.as_str()), u32::from(*number).checked_add(1))
            }
        };
        let is_step = self.step.is_none() || self.step == step;
        is(&self.tracking_api, api) && is(&self.postback, postback) && is_step
    }
}

/// The outbox of one pass.
#[derive(Clone)]
pub(super) struct OnePass(Arc<Pass>);

struct Pass {
    store: Arc<EmbeddedStore>,
    chosen: Chosen,
    /// Whether time stands still: attempts take none.
    is_still: bool,
    seen: Mutex<Seen>,
    ended: Notify,
}

/// What has been seen so far.
#[derive(Default)]
struct Seen {
    /// Chosen claims that were not reported yet.
    under_way: usize,
    /// Rises with every report: what it made due is seen by claims that begin after it.
    reports: usize,
    /// Chosen claims, in their order.
    claimed: Vec<(TenantName, MessageId)>,
    attempted: HashSet<MessageId>,
    /// Reports of the claims that were not chosen.
    kept: Vec<Report>,
    failed: Option<SubmitError>,
}

impl OnePass {
    pub(super) fn new(store: Arc<EmbeddedStore>, chosen: Chosen, is_still: bool) -> Self {
        let (seen, ended) = (Mutex::default(), Notify::new());
        Self(Arc::new(Pass { store, chosen, is_still, seen, ended }))
    }

    /// Waits until nothing is left that may be sent now, or the store fails.
    pub(super) async fn ended(&self) {
        self.0.ended.notified().await;
    }

    /// Gives back what was not chosen, and tells which messages were attempted, in the order in
    /// which they were claimed.
    ///
    /// # Errors
    /// Where the store failed.
    pub(super) fn finish(self) -> Result<Vec<(TenantName, MessageId)>, SubmitError> {
        let Seen { claimed, attempted, kept, failed, .. } = std::mem::take(&mut *self.0.seen());
        if let Some(error) = failed {
            return Err(error);
        }
        if !kept.is_empty() {
            let (reply, reported) = mpsc::channel();
            let reply = Box::new(move |outcome| {
                // The receiver is there until it has received.
                let _ = reply.send(outcome);
            });
            self.0.store.report(kept, reply);
            reported.recv().unwrap_or(Err(SubmitError::Unavailable))?;
        }
        let mut told = HashSet::new();
        let is_new = |(_, id): &(TenantName, MessageId)| attempted.contains(id) && told.insert(*id);
        Ok(claimed.into_iter().filter(is_new).collect())
    }
}

impl Outbox for OnePass {
    fn claim(&self, wanted: Wanted, reply: ClaimReply) {
        Arc::clone(&self.0).claim(wanted, reply);
    }

    fn report(&self, mut reports: Vec<Report>, reply: ReportReply) {
        for report in reports.iter_mut().filter(|_| self.0.is_still) {
            if let Report::Attempted(attempted) = report {
                attempted.took = Period::from_ms(0);
            }
        }
        let pass = Arc::clone(&self.0);
        let told = reports.clone();
        let reported = move |outcome: Result<usize, SubmitError>| {
            match &outcome {
                Ok(_) => pass.was_reported(&told),
                Err(error) => pass.fail(*error),
            }
            reply(outcome);
        };
        self.0.store.report(reports, Box::new(reported));
    }

    /// Nothing is waited for.
    fn next_due(&self) -> Result<Option<Timestamp>, ReadError> {
        Ok(None)
    }

    /// Nobody else has the store: what becomes due is seen after each report.
    fn on_due(&self, _: Box<dyn Fn() + Send + Sync>) {}
}

impl Pass {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims until something that was chosen is among it, or nothing is left. Then it has ended,
    /// unless an attempt is under way or was reported meanwhile: another claim follows it.
    fn claim(self: Arc<Self>, wanted: Wanted, reply: ClaimReply) {
        let (pass, again) = (Arc::clone(&self), wanted.clone());
        let reports = self.seen().reports;
        let claimed = move |claimed: Result<Vec<Claim>, SubmitError>| match claimed {
            Err(error) => {
                pass.fail(error);
                reply(Err(error));
            }
            Ok(claims) if claims.is_empty() => {
                let seen = pass.seen();
                if seen.under_way == 0 && seen.reports == reports {
                    pass.ended.notify_one();
                }
                drop(seen);
                reply(Ok(claims));
            }
            Ok(claims) => match pass.choose(claims) {
                chosen if chosen.is_empty() => pass.claim(again, reply),
                chosen => reply(Ok(chosen)),
            },
        };
        self.store.claim(wanted, Box::new(claimed));
    }

    fn choose(&self, claims: Vec<Claim>) -> Vec<Claim> {
        let (chosen, others): (Vec<_>, Vec<_>) =
            claims.into_iter().partition(|claim| self.chosen.has(&claim.message.of));
        let mut seen = self.seen();
        seen.kept.extend(others.into_iter().map(|claim| Report::Released {
            message: claim.message.id,
            fence: claim.fence,
            until: claim.message.due_at,
        }));
        seen.under_way += chosen.len();
        let claimed = chosen.iter().map(|one| (one.ruleset.tenant().clone(), one.message.id));
        seen.claimed.extend(claimed);
        chosen
    }

    fn was_reported(&self, reports: &[Report]) {
        let mut seen = self.seen();
        seen.reports += 1;
        seen.under_way = seen.under_way.saturating_sub(reports.len());
        let attempted = reports.iter().filter_map(|report| match report {
            Report::Attempted(attempted) => Some(attempted.message),
            Report::Released { .. } => None,
        });
        seen.attempted.extend(attempted);
    }

    fn fail(&self, error: SubmitError) {
        self.seen().failed = Some(error);
        self.ended.notify_one();
    }
}
