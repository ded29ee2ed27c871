//! What is known of destinations while messages are sent to them: how many are under way, and
//! whether the breaker lets more through. Kept in memory: after a start every breaker is closed.

use std::collections::BTreeMap;

use counterfoil_core::{AttemptOutcome, Breaker, BreakerState, Timestamp};

/// All destinations of which there is something to remember.
pub(super) struct Destinations {
    most_of_one: usize,
    known: BTreeMap<Box<str>, Known>,
}

#[derive(Default)]
struct Known {
    under_way: usize,
    breaker: Breaker,
}

/// Breakers by state; those that are closed are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Breakers {
    /// Nothing is sent.
    pub(super) open: usize,
    /// One message may try.
    pub(super) half_open: usize,
}

impl Destinations {
    /// None known; of each at most so many messages are under way.
    pub(super) fn new(most_of_one: usize) -> Self {
        Self { most_of_one: most_of_one.max(1), known: BTreeMap::new() }
    }

    /// How many messages of one destination are claimed at once: half of what may be under way,
    /// so that a claim need not say for each destination how many fit.
    pub(super) fn slice(&self) -> usize {
        (self.most_of_one / 2).max(1)
    }

    /// Those for which a slice would be too much now.
    pub(super) fn busy(&self, now: Timestamp) -> Vec<Box<str>> {
        let is_busy = |known: &Known| match known.breaker.state(now) {
            BreakerState::Closed => known.under_way + self.slice() > self.most_of_one,
            BreakerState::HalfOpen => known.under_way > 0,
            BreakerState::Open(_) => true,
        };
        let busy = self.known.iter().filter(|(_, known)| is_busy(known));
        busy.map(|(destination, _)| destination.clone()).collect()
    }

    /// Counts one more message that is under way.
    ///
    /// # Errors
    /// When the message may be claimed again, where the breaker lets it not through.
    pub(super) fn begin(&mut self, destination: &str, now: Timestamp) -> Result<(), Timestamp> {
        let known = self.known.entry(destination.into()).or_default();
        match known.breaker.state(now) {
            BreakerState::Open(until) => return Err(until),
            BreakerState::HalfOpen if known.under_way > 0 => return Err(now),
            BreakerState::HalfOpen | BreakerState::Closed => known.under_way += 1,
        }
        Ok(())
    }

    /// Counts it back, with what happened.
    pub(super) fn end(&mut self, destination: &str, outcome: AttemptOutcome, now: Timestamp) {
        let Some(known) = self.known.get_mut(destination) else {
            return;
        };
        known.under_way = known.under_way.saturating_sub(1);
        let before = known.breaker.state(now);
        known.breaker = known.breaker.after(outcome, now);
        tell(destination, before, known.breaker.state(now));
        if known.under_way == 0 && known.breaker == Breaker::default() {
            self.known.remove(destination);
        }
    }

    /// When the next open breaker may be tried.
    pub(super) fn next_try(&self, now: Timestamp) -> Option<Timestamp> {
        let until = |known: &Known| match known.breaker.state(now) {
            BreakerState::Open(until) => Some(until),
            _ => None,
        };
        self.known.values().filter_map(until).min()
    }

    /// Breakers by state.
    pub(super) fn breakers(&self, now: Timestamp) -> Breakers {
        let mut breakers = Breakers::default();
        for known in self.known.values() {
            match known.breaker.state(now) {
                BreakerState::Closed => {}
                BreakerState::HalfOpen => breakers.half_open += 1,
                BreakerState::Open(_) => breakers.open += 1,
            }
        }
        breakers
    }
}

/// Who runs this wants to know of a destination that fails, once and not for each message.
fn tell(destination: &str, before: BreakerState, after: BreakerState) {
    match (before, after) {
        (BreakerState::Open(_), _) => {}
        (_, BreakerState::Open(until)) => {
            tracing::warn!(destination, %until, "a destination fails: nothing is sent for a while");
        }
        (BreakerState::HalfOpen, BreakerState::Closed) => {
            tracing::info!(destination, "a destination works again");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use counterfoil_core::Period;

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000_000_000);
    const FAILED: AttemptOutcome = AttemptOutcome::Unanswered;
    const ENDED: AttemptOutcome = AttemptOutcome::OurFault;

    #[test]
    fn no_more_are_under_way_than_may_be() {
        for most in 1..=17 {
            let mut destinations = Destinations::new(most);
            let mut under_way = 0;
            while destinations.busy(NOW).is_empty() {
                for _ in 0..destinations.slice() {
                    assert_eq!(destinations.begin("a", NOW), Ok(()));
                    under_way += 1;
                }
            }
            assert!(under_way <= most && under_way * 2 >= most, "{under_way} of {most}");
            destinations.end("a", ENDED, NOW);
            for _ in 1..under_way {
                destinations.end("a", ENDED, NOW);
            }
            assert!(destinations.known.is_empty(), "nothing is remembered");
        }
    }

    #[test]
    fn a_breaker_lets_one_through_once_it_is_half_open() {
        let mut destinations = Destinations::new(8);
        for _ in 0..Breaker::FAILURES_MAX {
            destinations.begin("a", NOW).unwrap();
            destinations.end("a", FAILED, NOW);
        }
        let until = destinations.next_try(NOW).unwrap();
        assert_eq!(destinations.begin("a", NOW), Err(until));
        assert_eq!(destinations.busy(NOW), ["a".into()]);
        assert_eq!(destinations.breakers(NOW), Breakers { open: 1, half_open: 0 });
        assert_eq!(destinations.begin("b", NOW), Ok(()), "others go on");
        destinations.end("b", ENDED, NOW);

        assert!(destinations.busy(until).is_empty());
        assert_eq!(destinations.breakers(until), Breakers { open: 0, half_open: 1 });
        assert_eq!(destinations.begin("a", until), Ok(()));
        assert_eq!(destinations.begin("a", until), Err(until), "one alone");
        assert_eq!(destinations.busy(until), ["a".into()]);
        destinations.end("a", FAILED, until);
        let again = destinations.next_try(until).unwrap();
        assert!(again > until.plus(Period::from_ms(30_000)));

        destinations.begin("a", again).unwrap();
        let answered = AttemptOutcome::Answered { status: 200, pending: false, retry_after: None };
        destinations.end("a", answered, again);
        assert!(destinations.known.is_empty());
    }
}
