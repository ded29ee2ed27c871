//! Faults of ours, as the log tells of them: they are met again every minute by each message that
//! they keep back, until somebody mends them.

use std::time::Duration;

use counterfoil_core::{AttemptOutcome, Attempted};
use tokio::time::Instant;

/// One line in this time, however many messages are kept back.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// What was told of, and what was not.
#[derive(Default)]
pub(super) struct Faults {
    told: Option<Instant>,
    untold: u64,
}

impl Faults {
    /// Looks at an attempt that has ended.
    pub(super) fn note(&mut self, attempted: &Attempted, now: Instant) {
        if attempted.outcome != AttemptOutcome::OurFault {
            return;
        }
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < TOLD_EVERY) {
            self.untold += 1;
            return;
        }
        let error = attempted.error.as_deref().unwrap_or_default();
        let (message, others) = (attempted.message, std::mem::take(&mut self.untold));
        tracing::warn!(%message, error, others, "a message cannot be sent: the fault is ours");
        self.told = Some(now);
    }
}
