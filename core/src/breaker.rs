//! The circuit breaker of a destination: a pure function of what happened and the time.

use crate::{
    delivery::AttemptOutcome,
    time::{Period, Timestamp},
};

/// The circuit breaker of one destination: after a row of failures nothing is sent for a while,
/// then a single message tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row.
    failures: u32,
    /// Until when it is open, once it was opened.
    open_until: Option<Timestamp>,
    /// How many times in a row it was opened.
    openings: u32,
}

/// What a breaker says to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Send.
    Closed,
    /// Send this one alone, and see.
    HalfOpen,
    /// Wait until then; no retry is used up.
    Open(Timestamp),
}

impl Breaker {
    /// Failures in a row that open it.
    pub const FAILURES_MAX: u32 = 10;
    /// How long it stays open the first time; it doubles with each opening in a row.
    const OPEN_MS: u64 = 30_000;
    /// The longest that it stays open.
    const OPEN_LONGEST: Period = Period::from_ms(600_000);

    /// What it says now.
    pub fn state(&self, now: Timestamp) -> BreakerState {
        match self.open_until {
            None => BreakerState::Closed,
            // Further ahead than it is ever opened: the clock was set back since.
            Some(until) if now < until && until.since(now) <= Self::OPEN_LONGEST => {
                BreakerState::Open(until)
            }
            Some(_) => BreakerState::HalfOpen,
        }
    }

    /// The breaker after an attempt. Faults of ours say nothing about the destination.
    #[must_use]
    pub fn after(self, outcome: AttemptOutcome, now: Timestamp) -> Self {
        let failed = match outcome {
            AttemptOutcome::OurFault | AttemptOutcome::Forbidden => return self,
            AttemptOutcome::Unanswered => true,
            AttemptOutcome::Answered { status, .. } => status >= 500 || status == 429,
        };
        if !failed {
            return Self::default();
        }
        let failures = self.failures.saturating_add(1);
        let tried_half_open = self.state(now) == BreakerState::HalfOpen;
        if failures < Self::FAILURES_MAX && !tried_half_open {
            return Self { failures, ..self };
        }
        if self.open_until.is_some() && !tried_half_open {
            // What was under way when it opened changes nothing.
            return Self { failures, ..self };
        }
        let doubled = Self::OPEN_MS.saturating_mul(1 << self.openings.min(8));
        let open = Period::from_ms(doubled).min(Self::OPEN_LONGEST);
        let openings = self.openings.saturating_add(1);
        Self { failures, open_until: Some(now.plus(open)), openings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000_000_000);

    fn answered(status: u16) -> AttemptOutcome {
        AttemptOutcome::Answered { status, pending: false, retry_after: None }
    }

    #[test]
    fn a_breaker_opens_tries_once_and_closes() {
        let later = |ms: u64| NOW.plus(Period::from_ms(ms));
        let mut breaker = Breaker::default();
        for _ in 1..Breaker::FAILURES_MAX {
            breaker = breaker.after(answered(500), NOW);
            assert_eq!(breaker.state(NOW), BreakerState::Closed);
        }
        breaker = breaker.after(AttemptOutcome::Unanswered, NOW);
        assert_eq!(breaker.state(NOW), BreakerState::Open(later(30_000)));
        assert_eq!(breaker.after(answered(500), NOW).state(NOW), breaker.state(NOW));
        assert_eq!(breaker.state(later(30_000)), BreakerState::HalfOpen);
        let again = breaker.after(answered(500), later(30_000));
        assert_eq!(again.state(later(30_000)), BreakerState::Open(later(90_000)));
        let closed = breaker.after(answered(404), later(30_000));
        assert_eq!(closed, Breaker::default());
        assert_eq!(breaker.after(AttemptOutcome::OurFault, NOW), breaker);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_no_breaker_open() {
        let mut breaker = Breaker::default();
        for _ in 0..Breaker::FAILURES_MAX {
            breaker = breaker.after(answered(500), NOW);
        }
        let back = Timestamp::from_ms(NOW.as_ms() - 3_600_000);
        assert_eq!(breaker.state(back), BreakerState::HalfOpen);
        let again = breaker.after(answered(500), back);
        let until = back.plus(Period::from_ms(60_000));
        assert_eq!(again.state(back), BreakerState::Open(until));
        assert_eq!(breaker.after(answered(200), back), Breaker::default());
    }
}
