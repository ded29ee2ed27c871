//! What is counted of messages that are sent. Labels are closed lists.

use counterfoil_core::AttemptOutcome;
use prometheus_client::{
    encoding::text::encode_registry,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::destinations::Breakers;

type Labels = [(&'static str, &'static str); 1];

/// The metrics of a dispatcher. Clones count the same.
#[derive(Clone, Debug, Default)]
pub struct DispatchMetrics {
    attempts: Family<Labels, Counter>,
    in_flight: Gauge,
    breakers: Family<Labels, Gauge>,
}

impl DispatchMetrics {
    /// The text of all of them, in the format of Prometheus, without the `# EOF` that ends a whole
    /// answer.
    pub fn text(&self) -> String {
        let mut registry = Registry::with_prefix("counterfoil");
        let attempts = "Attempts to deliver messages by what happened";
        registry.register("attempts", attempts, self.attempts.clone());
        let in_flight = "Messages that are under way";
        registry.register("messages_in_flight", in_flight, self.in_flight.clone());
        let breakers = "Destinations to which nothing is sent, or one message as a try";
        registry.register("breakers", breakers, self.breakers.clone());
        let mut text = String::new();
        if encode_registry(&mut text, &registry).is_err() {
            tracing::error!("failed to write the metrics of messages");
        }
        text
    }

    pub(super) fn attempted(&self, outcome: AttemptOutcome) {
        self.attempts.get_or_create(&[("outcome", class(outcome))]).inc();
    }

    pub(super) fn set(&self, in_flight: usize, breakers: Breakers) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.in_flight.set(gauge(in_flight));
        let Breakers { open, half_open } = breakers;
        for (state, count) in [("open", open), ("half_open", half_open)] {
            self.breakers.get_or_create(&[("state", state)]).set(gauge(count));
        }
    }
}

fn class(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Answered { status, .. } => match status {
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            500..=599 => "5xx",
            _ => "other",
        },
        AttemptOutcome::Unanswered => "unanswered",
        AttemptOutcome::Forbidden => "forbidden",
        AttemptOutcome::OurFault => "our_fault",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_counted() {
        let metrics = DispatchMetrics::default();
        let answered = AttemptOutcome::Answered { status: 204, pending: false, retry_after: None };
        for outcome in [answered, answered, AttemptOutcome::Forbidden] {
            metrics.attempted(outcome);
        }
        metrics.set(3, Breakers { open: 1, half_open: 0 });
        let text = metrics.text();
        for line in [
            "counterfoil_attempts_total{outcome=\"2xx\"} 2",
            "counterfoil_attempts_total{outcome=\"forbidden\"} 1",
            "counterfoil_messages_in_flight 3",
            "counterfoil_breakers{state=\"open\"} 1",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert!(!text.contains("EOF"));
    }
}
