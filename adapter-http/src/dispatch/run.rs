//! The loop: what is due is claimed in slices as there is room, attempts run beside each other,
//! and those that ended are reported together, right before the next slice is claimed, so that a
//! store can put both into one commit.
//!
//! Nothing is asked for again and again. The loop wakes when the outbox says that something is due,
//! when the next message is, and when an attempt ends. There is one exception: while a destination
//! is busy or its breaker is open, its messages are due already, and hide when the next one of
//! another destination is; then it looks every [`HIDDEN_LOOK`]. Such messages are left where they
//! are rather than claimed and given back: each of that would cost a commit.

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use counterfoil_core::{
    Attempt, AttemptOutcome, Attempted, Claim, DeadReason, Draw, Next, Period, Report, RetryPolicy,
    Timestamp, Wanted, after_attempt,
};
use tokio::{
    sync::{Notify, oneshot},
    task::{self, JoinError, JoinHandle, JoinSet, spawn_blocking},
    time::{Instant, sleep, sleep_until},
};

use super::{
    attempt::Sender, config::DispatchConfig, destinations::Destinations, faults::Faults,
    metrics::DispatchMetrics,
};
use crate::{
    outbox::Outbox,
    store::{ReadError, SubmitError},
};

/// How soon it looks again where what is due already hides what is due next.
const HIDDEN_LOOK: Period = Period::from_ms(1_000);
/// The longest sleep: a machine may have slept meanwhile, or its clock been set.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// How long the outbox is left alone after it failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the last reports may take once all else has ended.
const REPORT_WITHIN: Duration = Duration::from_secs(5);

type Reply<T> = Option<oneshot::Receiver<Result<T, SubmitError>>>;
type NextDue = Result<Option<Timestamp>, ReadError>;

/// A dispatcher that runs.
pub(super) struct Run {
    config: DispatchConfig,
    sender: Arc<Sender>,
    outbox: Arc<dyn Outbox>,
    metrics: DispatchMetrics,
    due: Arc<Notify>,
    destinations: Destinations,
    faults: Faults,
    attempts: JoinSet<Attempted>,
    taken: HashMap<task::Id, Taken>,
    /// What is to be reported, what is being reported, and who says that it is.
    ended: Vec<Report>,
    reporting: Vec<Report>,
    reported: Reply<usize>,
    claimed: Reply<Vec<Claim>>,
    next_due: Option<JoinHandle<NextDue>>,
    /// Whether there may be something to claim.
    look: bool,
    /// Whether something was due when nothing more could be claimed.
    hidden: bool,
    /// When there may be something to claim.
    look_at: Option<Timestamp>,
    /// The outbox failed, and is left alone until then.
    paused: Option<Instant>,
    stage: Stage,
}

/// A claim whose attempt runs.
struct Taken {
    claim: Arc<Claim>,
    destination: Box<str>,
}

/// How far a stop has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Sending,
    /// Nothing more is claimed; attempts may run until then.
    Stopping(Instant),
    /// No attempt runs; reports may take until then.
    Cut(Instant),
}

/// What the loop wakes for.
enum Event {
    Stop,
    Deadline,
    Due,
    Time,
    Ended(Result<(task::Id, Attempted), JoinError>),
    Claimed(Result<Vec<Claim>, SubmitError>),
    Reported(Result<usize, SubmitError>),
    NextDue(NextDue),
}

impl Run {
    pub(super) fn new(
        config: DispatchConfig,
        sender: Sender,
        outbox: Arc<dyn Outbox>,
        metrics: DispatchMetrics,
    ) -> Self {
        Self {
            destinations: Destinations::new(config.most_of_one),
            config,
            sender: Arc::new(sender),
            outbox,
            metrics,
            due: Arc::default(),
            faults: Faults::default(),
            attempts: JoinSet::new(),
            taken: HashMap::new(),
            ended: Vec::new(),
            reporting: Vec::new(),
            reported: None,
            claimed: None,
            next_due: None,
            look: true,
            hidden: false,
            look_at: None,
            paused: None,
            stage: Stage::Sending,
        }
    }

    pub(super) async fn until(mut self, stop: impl Future<Output = ()>) {
        let due = self.due.clone();
        self.outbox.on_due(Box::new(move || due.notify_one()));
        let mut stop = pin!(stop);
        while !self.is_over() {
            self.report();
            self.claim();
            self.metrics.set(self.taken.len(), self.destinations.breakers(self.now()));
            let wait = self.idle();
            let event = tokio::select! {
                biased;
                () = stop.as_mut(), if self.stage == Stage::Sending => Event::Stop,
                () = deadline(self.stage) => Event::Deadline,
                Some(ended) = self.attempts.join_next_with_id() => Event::Ended(ended),
                reported = answered(&mut self.reported) => Event::Reported(reported),
                claimed = answered(&mut self.claimed) => Event::Claimed(claimed),
                next = looked_up(&mut self.next_due) => Event::NextDue(next),
                () = self.due.notified() => Event::Due,
                () = idle(wait) => Event::Time,
            };
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Stop => {
                tracing::info!("stopping: no more messages are sent");
                self.stage = Stage::Stopping(Instant::now() + self.config.stop);
            }
            Event::Deadline => self.cut(),
            Event::Due => self.look = true,
            Event::Time => self.time(),
            Event::Ended(ended) => {
                self.end(ended);
                self.end_others();
            }
            Event::Claimed(claimed) => self.begin(claimed),
            Event::Reported(reported) => self.was_reported(reported),
            Event::NextDue(next) => self.plan(next),
        }
    }

    fn now(&self) -> Timestamp {
        (self.config.clock)()
    }

    /// Reports what has ended, where no report is under way.
    fn report(&mut self) {
        if self.reported.is_some() || self.ended.is_empty() || self.paused.is_some() {
            return;
        }
        self.reporting = std::mem::take(&mut self.ended);
        let (told, reported) = oneshot::channel();
        let reply = Box::new(move |outcome| {
            // Where nobody waits any more, it is over.
            let _ = told.send(outcome);
        });
        self.outbox.report(self.reporting.clone(), reply);
        self.reported = Some(reported);
    }

    /// Claims a slice, where there is room and something may be due.
    fn claim(&mut self) {
        let room = self.config.most.saturating_sub(self.taken.len());
        let is_free = self.claimed.is_none() && self.paused.is_none();
        if !self.look || !is_free || room == 0 || self.stage != Stage::Sending {
            return;
        }
        self.look = false;
        let now = self.now();
        let wanted = Wanted {
            now,
            slack: self.config.slack,
            most: room,
            most_of_one: self.destinations.slice().min(room),
            except: self.destinations.busy(now),
        };
        let (told, claimed) = oneshot::channel();
        self.outbox.claim(wanted, Box::new(move |outcome| drop(told.send(outcome))));
        self.claimed = Some(claimed);
    }

    fn begin(&mut self, claimed: Result<Vec<Claim>, SubmitError>) {
        let claims = match claimed {
            Ok(claims) => claims,
            Err(error) => return self.pause(error),
        };
        if claims.is_empty() {
            let outbox = self.outbox.clone();
            self.next_due = Some(spawn_blocking(move || outbox.next_due()));
            return;
        }
        // There may be more, beyond this slice.
        self.look = true;
        let now = self.now();
        for claim in claims {
            let call = claim.call();
            let destination = call.map(|call| call.request.destination.clone()).unwrap_or_default();
            if self.stage != Stage::Sending {
                self.ended.push(released(&claim, now));
            } else if let Err(until) = self.destinations.begin(&destination, now) {
                self.ended.push(released(&claim, until));
            } else {
                self.attempt(claim, destination);
            }
        }
    }

    fn attempt(&mut self, claim: Claim, destination: Box<str>) {
        let (claim, sender) = (Arc::new(claim), self.sender.clone());
        let attempted = claim.clone();
        let task = self.attempts.spawn(async move { sender.attempt(attempted).await });
        self.taken.insert(task.id(), Taken { claim, destination });
    }

    fn end(&mut self, ended: Result<(task::Id, Attempted), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(Taken { claim, destination }) = self.taken.remove(&id) else {
            return;
        };
        let now = self.now();
        let attempted = match ended {
            Ok((_, attempted)) => attempted,
            Err(_) => broken(&claim, now),
        };
        self.destinations.end(&destination, attempted.outcome, now);
        self.metrics.attempted(attempted.outcome);
        self.faults.note(&attempted, Instant::now());
        let message = attempted.message;
        tracing::debug!(delivery = %message, outcome = ?attempted.outcome, "an attempt ended");
        if let Next::Dead(reason) = attempted.next {
            tell_dead(&claim, reason, &destination);
        }
        self.ended.push(Report::Attempted(attempted));
        self.look |= self.hidden;
    }

    /// What has ended at the same time is reported together.
    fn end_others(&mut self) {
        while let Some(ended) = self.attempts.try_join_next_with_id() {
            self.end(ended);
        }
    }

    fn was_reported(&mut self, reported: Result<usize, SubmitError>) {
        let reports = std::mem::take(&mut self.reporting);
        let stale = match reported {
            Ok(stale) => stale,
            Err(error) => {
                self.ended.splice(0..0, reports);
                return self.pause(error);
            }
        };
        if stale > 0 {
            tracing::warn!(stale, "attempts took longer than their leases");
        }
        // When what was reported is due again, or what it held up, is known from now on.
        self.look = true;
    }

    /// The outbox cannot write now. What is to be told to it is kept; meanwhile nothing is claimed.
    fn pause(&mut self, error: SubmitError) {
        tracing::warn!(%error, "the outbox failed; it is asked again");
        self.look = true;
        self.paused = Some(Instant::now() + PAUSE);
    }

    /// Plans when to look next, after nothing was left to claim.
    fn plan(&mut self, next: NextDue) {
        let now = self.now();
        self.hidden = false;
        match next {
            Ok(None) => self.look_at = None,
            Ok(Some(at)) if at > now => self.look_at = Some(at),
            Ok(Some(_)) => {
                self.hidden = true;
                let at = now.plus(HIDDEN_LOOK);
                let next_try = self.destinations.next_try(now);
                self.look_at = Some(next_try.map_or(at, |next_try| next_try.min(at)));
            }
            Err(error) => {
                tracing::warn!(%error, "failed to ask when the next message is due");
                self.look_at = Some(now.plus(HIDDEN_LOOK));
            }
        }
    }

    /// How long until [`Run::time`] may have something to do.
    fn idle(&self) -> Option<Duration> {
        if let Some(paused) = self.paused {
            return Some(paused.saturating_duration_since(Instant::now()));
        }
        let wait = self.look_at?.since(self.now());
        Some(Duration::from_millis(wait.as_ms()).min(SLEEP_MAX))
    }

    fn time(&mut self) {
        if self.paused.is_some_and(|paused| paused <= Instant::now()) {
            self.paused = None;
        }
        let now = self.now();
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            self.look = true;
        }
    }

    /// Gives up what still runs: it is given back, and attempted after the next start.
    fn cut(&mut self) {
        if let Stage::Stopping(_) = self.stage {
            self.stage = Stage::Cut(Instant::now() + REPORT_WITHIN);
            self.end_others();
            let cut = self.taken.len();
            if cut > 0 {
                tracing::warn!(cut, "attempts were cut: they did not end in time");
            }
            self.attempts.abort_all();
            let now = self.now();
            let given_up = self.taken.drain().map(|(_, taken)| released(&taken.claim, now));
            self.ended.extend(given_up);
            return;
        }
        let lost = self.ended.len() + self.reporting.len();
        tracing::error!(lost, "reports were lost: their messages are sent again after a start");
        self.ended.clear();
        self.reported = None;
        self.claimed = None;
    }

    fn is_over(&self) -> bool {
        let is_settled = self.taken.is_empty() && self.ended.is_empty();
        let is_quiet = self.reported.is_none() && self.claimed.is_none();
        self.stage != Stage::Sending && is_settled && is_quiet
    }
}

/// A claim that is given back without an attempt.
fn released(claim: &Claim, until: Timestamp) -> Report {
    Report::Released { message: claim.message.id, fence: claim.fence, until }
}

/// Somebody may have to look: a message that died. Neither path nor query is told, both may hold
/// what is nobody's business.
fn tell_dead(claim: &Claim, reason: DeadReason, destination: &str) {
    let from = &claim.message.of;
    let (id, tenant, reason) = (claim.message.id, claim.ruleset.tenant(), reason.code());
    tracing::warn!(delivery = %id, %tenant, %from, reason, destination, "a message died");
}

/// An attempt that broke: a defect. It is made again, later.
fn broken(claim: &Claim, now: Timestamp) -> Attempted {
    tracing::error!(delivery = %claim.message.id, "an attempt broke");
    let attempt = Attempt {
        ended_at: now,
        outcome: AttemptOutcome::OurFault,
        delivery_retries: claim.delivery_retries,
        polls: claim.polls,
    };
    Attempted {
        message: claim.message.id,
        fence: claim.fence,
        started_at: now,
        took: Period::from_ms(0),
        outcome: attempt.outcome,
        error: Some("the attempt broke: a defect, see the log".into()),
        response: None,
        answer: None,
        next: after_attempt(&RetryPolicy::default(), &attempt, Draw(0)),
    }
}

/// The answer to what was asked of the outbox; never, where nothing was asked.
async fn answered<T>(reply: &mut Reply<T>) -> Result<T, SubmitError> {
    let Some(waiting) = reply else {
        return std::future::pending().await;
    };
    let outcome = waiting.await.unwrap_or(Err(SubmitError::Unavailable));
    *reply = None;
    outcome
}

async fn looked_up(asked: &mut Option<JoinHandle<NextDue>>) -> NextDue {
    let Some(waiting) = asked else {
        return std::future::pending().await;
    };
    let outcome = waiting.await;
    *asked = None;
    outcome.unwrap_or_else(|error| Err(ReadError::Unavailable(error.to_string())))
}

async fn deadline(stage: Stage) {
    match stage {
        Stage::Sending => std::future::pending().await,
        Stage::Stopping(at) | Stage::Cut(at) => sleep_until(at).await,
    }
}

async fn idle(wait: Option<Duration>) {
    match wait {
        None => std::future::pending().await,
        Some(wait) => sleep(wait).await,
    }
}
