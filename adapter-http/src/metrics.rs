//! What is counted. Labels are closed lists: never an id, a parameter or a secret.

mod placed;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use counterfoil_core::{Decision, Method, Outcome, Reason, Timestamp};
use hyper::StatusCode;
use prometheus_client::{
    encoding::{
        EncodeLabelSet, EncodeMetric, LabelSetEncoder, MetricEncoder, NoLabelSet, text::encode,
    },
    metrics::{MetricType, counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use self::placed::Placed;
use crate::{
    dispatch::DispatchMetrics,
    store::{Backlog, Distribution, Health},
    table::Listener,
};

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Statuses of answers are below.
const STATUSES: usize = 600;

/// Upper bounds of the histogram of decisions, in seconds.
const SECONDS: [f64; 12] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0];

/// Upper bounds of the histogram of signatures, in seconds, around the tolerance of the rules.
const SKEW_SECONDS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];

/// All metrics of a server.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Placed<Decided>,
    unlogged: Family<Labels<1>, Counter>,
    skew: Family<Labels<2>, Histogram, fn() -> Histogram>,
    answers: Placed<[(&'static str, u64); 1]>,
    decisions: Histogram,
    connections: Family<Labels<1>, Gauge>,
    connections_refused: Family<Labels<1>, Counter>,
    ready: Gauge<i64, AtomicI64>,
    queue_depth: Gauge<i64, AtomicI64>,
    batches: Counter<u64, AtomicU64>,
    batched_requests: Counter<u64, AtomicU64>,
    batch_len_max: Gauge<i64, AtomicI64>,
    commits: Told,
    batch_requests: Told,
    deliveries: Deliveries,
    /// The dispatcher's own, where one runs.
    dispatch: Option<DispatchMetrics>,
}

/// What waits to be sent, as the store told last.
#[derive(Default)]
struct Deliveries {
    due: Gauge<i64, AtomicI64>,
    due_age: Gauge<i64, AtomicI64>,
    held: Gauge<i64, AtomicI64>,
    dead: Gauge<i64, AtomicI64>,
}

impl Metrics {
    pub(crate) fn new(dispatch: Option<DispatchMetrics>) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("counterfoil"),
            requests: Placed::new(Decided::PLACES),
            unlogged: Family::default(),
            skew: Family::new_with_constructor(|| Histogram::new(SKEW_SECONDS)),
            answers: Placed::new(STATUSES),
            decisions: Histogram::new(SECONDS),
            connections: Family::default(),
            connections_refused: Family::default(),
            ready: Gauge::default(),
            queue_depth: Gauge::default(),
            batches: Counter::default(),
            batched_requests: Counter::default(),
            batch_len_max: Gauge::default(),
            commits: Told::default(),
            batch_requests: Told::default(),
            deliveries: Deliveries::default(),
            dispatch,
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let all = "Decided requests by method, outcome and reason, with a log row or without";
        registry.register("requests", all, self.requests.family());
        let unlogged = "Those of the requests that left no log row, by reason";
        registry.register("requests_unlogged", unlogged, self.unlogged.clone());
        let skew = "How far a signature was made before its arrival, or after it";
        registry.register_with_unit("sender_skew", skew, Unit::Seconds, self.skew.clone());
        registry.register("answers", "Answers by status", self.answers.family());
        let seconds = "From arrival to the commit of its decision";
        registry.register_with_unit("decision", seconds, Unit::Seconds, self.decisions.clone());
        let open = "Open connections";
        registry.register("connections", open, self.connections.clone());
        let refused = "Connections closed at once for a limit";
        registry.register("connections_refused", refused, self.connections_refused.clone());
        let ready = "1 where requests can be acknowledged";
        registry.register("ready", ready, self.ready.clone());
        let depth = "Requests that wait for the writer";
        registry.register("queue_depth", depth, self.queue_depth.clone());
        registry.register("batches", "Commits of the writer", self.batches.clone());
        let batched = "Requests in the writer's commits";
        registry.register("batched_requests", batched, self.batched_requests.clone());
        let largest = "Requests in the largest commit so far";
        registry.register("batch_len_max", largest, self.batch_len_max.clone());
        let commit = "How long the writer's commits took until they were on stable storage";
        registry.register_with_unit("commit", commit, Unit::Seconds, self.commits.clone());
        let shared = "Requests that shared a commit";
        registry.register("batch_requests", shared, self.batch_requests.clone());
        self.deliveries.register(registry);
    }

    /// One decision, and how long it took from arrival to commit.
    pub(crate) fn decided(&self, method: Method, decision: &Decision, took: Duration) {
        self.count(method, decision);
        self.decisions.observe(took.as_secs_f64());
    }

    fn count(&self, method: Method, decision: &Decision) {
        let reason = decision.refusal.as_ref().map(|refusal| refusal.reason);
        let decided = Decided { method, outcome: decision.outcome, reason };
        self.requests.count(decided.place(), &decided);
    }

    /// A refusal that leaves no row: one of all requests, which no commit has kept waiting.
    pub(crate) fn unlogged(&self, method: Method, decision: &Decision, reason: Reason) {
        self.count(method, decision);
        self.unlogged.get_or_create(&[("reason", reason.code())]).inc();
    }

    /// A signature, made at a moment and arrived at another.
    pub(crate) fn skew(&self, signed_at: Timestamp, now: Timestamp, is_accepted: bool) {
        let accepted = if is_accepted { "true" } else { "false" };
        let (clock, skew) = match signed_at > now {
            true => ("ahead", signed_at.since(now)),
            false => ("behind", now.since(signed_at)),
        };
        let labels = [("accepted", accepted), ("clock", clock)];
        let skew = Duration::from_millis(skew.as_ms());
        self.skew.get_or_create(&labels).observe(skew.as_secs_f64());
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        let status = status.as_u16();
        self.answers.count(usize::from(status), &[("status", u64::from(status))]);
    }

    /// One more open connection, for as long as the value lives.
    pub(crate) fn connection_opened(&self, listener: Listener) -> OpenConnection {
        let connections = self.connections.get_or_create_owned(&of(listener));
        connections.inc();
        OpenConnection(connections)
    }

    pub(crate) fn connection_refused(&self, listener: Listener) {
        self.connections_refused.get_or_create(&of(listener)).inc();
    }

    /// The text of all metrics, with the store's as they are now.
    pub(crate) fn text(&self, health: &Health, backlog: Option<Backlog>, now: Timestamp) -> String {
        if let Some(backlog) = backlog {
            self.deliveries.set(backlog, now);
        }
        self.ready.set(i64::from(health.not_ready.is_none()));
        self.queue_depth.set(gauge(health.queue_depth));
        self.batch_len_max.set(gauge(health.batch_len_max));
        self.batches.inner().store(health.batches, Ordering::Relaxed);
        self.batched_requests.inner().store(health.batched_requests, Ordering::Relaxed);
        self.commits.set(&health.commit_seconds);
        self.batch_requests.set(&health.batch_requests);
        let mut text = self.dispatch.as_ref().map(DispatchMetrics::text).unwrap_or_default();
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("failed to write the metrics");
        }
        text
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Decided {
    method: Method,
    outcome: Outcome,
    reason: Option<Reason>,
}

impl Decided {
    const REASONS: usize = Reason::ALL.len() + 1;
    const OUTCOMES: usize = Outcome::ALL.len();
    const PLACES: usize = Method::ALL.len() * Self::OUTCOMES * Self::REASONS;

    fn place(self) -> usize {
        let reason = self.reason.map_or(0, |reason| reason as usize + 1);
        let outcome = self.method as usize * Self::OUTCOMES + self.outcome as usize;
        outcome * Self::REASONS + reason
    }
}

impl EncodeLabelSet for Decided {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        let labels = [
            ("method", self.method.name()),
            ("outcome", self.outcome.name()),
            ("reason", self.reason.map_or("", |reason| reason.code())),
        ];
        labels.encode(encoder)
    }
}

impl Deliveries {
    fn register(&self, registry: &mut Registry) {
        let due = "Messages that wait for their time or their turn";
        registry.register("deliveries_due", due, self.due.clone());
        let age = "How long the message has been due that is due the longest";
        let seconds = Unit::Seconds;
        registry.register_with_unit("deliveries_due_age", age, seconds, self.due_age.clone());
        let held = "Messages that wait for something to happen";
        registry.register("deliveries_held", held, self.held.clone());
        let dead = "Messages that ended undelivered, erased or pruned ones too";
        registry.register("deliveries_dead", dead, self.dead.clone());
    }

    fn set(&self, backlog: Backlog, now: Timestamp) {
        let age = backlog.oldest_due_at.map_or(0, |since| now.since(since).as_ms() / 1000);
        self.due.set(gauge(backlog.due));
        self.due_age.set(gauge(age));
        self.held.set(gauge(backlog.held));
        self.dead.set(gauge(backlog.dead));
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A histogram that the store keeps: what it told last.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<Distribution>>);

impl Told {
    fn set(&self, distribution: &Distribution) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = distribution.clone();
    }
}

impl EncodeMetric for Told {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let Distribution { buckets, sum } =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// Counts an open connection back when it is dropped, however it ended.
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn of(listener: Listener) -> Labels<1> {
    [("listener", listener.name())]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_outcome_has_a_place_of_its_own() {
        let reasons = || Reason::ALL.into_iter().map(Some).chain([None]);
        let outcomes = || Outcome::ALL.into_iter();
        let mut places = BTreeSet::new();
        for method in Method::ALL {
            for (outcome, reason) in outcomes().flat_map(|o| reasons().map(move |r| (o, r))) {
                assert!(places.insert(Decided { method, outcome, reason }.place()));
            }
        }
        assert_eq!(
            (places.len(), places.last().copied()),
            (Decided::PLACES, Some(Decided::PLACES - 1))
        );
    }
}
