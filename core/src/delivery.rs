//! What follows an attempt to deliver a message (R41, R42): the whole retry, polling and
//! `Retry-After` arithmetic, as pure functions of what happened, the time, and a draw.
//!
//! There are two reasons to try again, each with its own schedule. *Delivery*: the message did not
//! arrive. *Polling*: it arrived, and the answer says that the result is still pending. Together
//! they are at most [`RETRIES_MAX`].

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::time::{Period, Timestamp};

/// The most retries of a message, in addition to its first attempt (R41).
pub const RETRIES_MAX: u8 = 30;
/// How long an attempt may take where the rules say nothing (R41).
pub const TIMEOUT_DEFAULT: Period = Period::from_ms(40_000);
/// The longest that a `Retry-After` is honoured.
pub const RETRY_AFTER_MAX: Period = Period::from_ms(24 * HOUR_MS);

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// The waits of the default schedule, each counted from the end of the attempt before.
const DEFAULT_WAITS_MS: [u64; 9] = [
    5 * SECOND_MS,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    5 * HOUR_MS,
    10 * HOUR_MS,
    14 * HOUR_MS,
    20 * HOUR_MS,
    24 * HOUR_MS,
];
/// In the default schedule an answer that time alone does not mend is not tried again sooner.
const SLOW_WAIT_MS: u64 = 30 * MINUTE_MS;
/// The most jitter that the default schedule adds, as a part of the wait: one fifth.
const JITTER_DIVISOR: u64 = 5;

/// When a message is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryPolicy {
    /// After it did not arrive.
    pub delivery: Schedule,
    /// After it arrived and the answer says "still pending". Absent: answers are not polled.
    pub polling: Option<Polling>,
}

/// The waits between attempts to deliver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, with jitter added.
    #[default]
    Default,
    /// The same wait so many times, as written.
    Every {
        /// How many retries.
        max: u8,
        /// The wait.
        every: Period,
    },
    /// These waits, as written.
    Waits(Vec<Period>),
}

/// How often a pending answer is asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polling {
    /// How many times.
    pub max: u8,
    /// The wait.
    pub every: Period,
}

impl RetryPolicy {
    /// How many retries the policy can come to. More than [`RETRIES_MAX`] is a mistake in the
    /// rules (R42).
    pub fn retries(&self) -> usize {
        let polls = self.polling.map_or(0, |polling| usize::from(polling.max));
        self.delivery.len() + polls
    }
}

impl Schedule {
    fn len(&self) -> usize {
        match self {
            Self::Default => DEFAULT_WAITS_MS.len(),
            Self::Every { max, .. } => usize::from(*max),
            Self::Waits(waits) => waits.len(),
        }
    }

    /// The wait before the retry of this number, counted from zero; none: it was the last.
    fn wait(&self, retry: u8) -> Option<Period> {
        match self {
            Self::Default => {
                DEFAULT_WAITS_MS.get(usize::from(retry)).map(|ms| Period::from_ms(*ms))
            }
            Self::Every { max, every } => (retry < *max).then_some(*every),
            Self::Waits(waits) => waits.get(usize::from(retry)).copied(),
        }
    }
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended.
    pub ended_at: Timestamp,
    /// What happened.
    pub outcome: AttemptOutcome,
    /// Retries because the message did not arrive, before this attempt.
    pub delivery_retries: u8,
    /// Retries because the answer was pending, before this attempt.
    pub polls: u8,
}

/// What happened in an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptOutcome {
    /// A whole answer came.
    Answered {
        /// Its status.
        status: u16,
        /// Whether its body says that the result is still pending.
        pending: bool,
        /// What its `Retry-After` says.
        retry_after: Option<RetryAfter>,
    },
    /// No answer: refused, reset, timed out, not resolved.
    Unanswered,
    /// The destination is one that must not be reached, or is not who it says it is: trying again
    /// is of no use.
    Forbidden,
    /// The message could not be made or sent through a fault of ours.
    OurFault,
}

impl AttemptOutcome {
    /// The word for it in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered { .. } => "answered",
            Self::Unanswered => "unanswered",
            Self::Forbidden => "forbidden",
            Self::OurFault => "our_fault",
        }
    }

    /// The status of the answer, where one came.
    pub const fn status(self) -> Option<u16> {
        match self {
            Self::Answered { status, .. } => Some(status),
            Self::Unanswered | Self::Forbidden | Self::OurFault => None,
        }
    }
}

/// A `Retry-After` header (RFC 9110).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetryAfter {
    /// So long after the answer.
    Wait(Period),
    /// Not before this moment.
    At(Timestamp),
}

/// A random number of the caller's: how much jitter is added. Zero adds none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw(pub u16);

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The message is delivered.
    Delivered,
    /// The message is tried again at this moment; it uses up a retry of this kind.
    Retry {
        /// When.
        at: Timestamp,
        /// Why.
        kind: RetryKind,
    },
    /// The message ends undelivered.
    Dead(DeadReason),
}

/// Why a message is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryKind {
    /// It did not arrive.
    Delivery,
    /// The answer is still pending.
    Polling,
    /// The fault was ours: no retry is used up.
    Ours,
}

/// Why a message ended undelivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// All retries are used up.
    RetriesExhausted,
    /// The answer was still pending after the last poll (R42).
    StillPending,
    /// The destination answered 410: it wants no more.
    Gone,
    /// The destination must not be reached.
    Forbidden,
    /// An earlier step of the sequence died (R46).
    PreviousStepFailed,
    /// It was delayed, and its conditions held no more when it was due (R43).
    ConditionsNotMet,
    /// What was rendered is no request, as where its url is too long: no attempt can mend it.
    Unsendable,
}

impl DeadReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::RetriesExhausted,
        Self::StillPending,
        Self::Gone,
        Self::Forbidden,
        Self::PreviousStepFailed,
        Self::ConditionsNotMet,
        Self::Unsendable,
    ];

    /// The code in answers and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::RetriesExhausted => "retries_exhausted",
            Self::StillPending => "still_pending",
            Self::Gone => "gone",
            Self::Forbidden => "forbidden",
            Self::PreviousStepFailed => "previous_step_failed",
            Self::ConditionsNotMet => "conditions_not_met",
            Self::Unsendable => "unsendable",
        }
    }
}

/// What follows an attempt (R42).
pub fn after_attempt(policy: &RetryPolicy, attempt: &Attempt, draw: Draw) -> Next {
    let AttemptOutcome::Answered { status, pending, retry_after } = attempt.outcome else {
        return match attempt.outcome {
            AttemptOutcome::Forbidden => Next::Dead(DeadReason::Forbidden),
            AttemptOutcome::OurFault => {
                let at = attempt.ended_at.plus(Period::from_ms(MINUTE_MS));
                Next::Retry { at, kind: RetryKind::Ours }
            }
            _ => deliver_again(policy, attempt, None, Haste::Normal, draw),
        };
    };
    match status {
        200..=299 if pending => poll_again(policy, attempt, retry_after),
        200..=299 => Next::Delivered,
        410 => Next::Dead(DeadReason::Gone),
        408 | 425 | 429 | 500..=599 => {
            deliver_again(policy, attempt, retry_after, Haste::Normal, draw)
        }
        _ => deliver_again(policy, attempt, retry_after, Haste::Slow, draw),
    }
}

/// Whether an answer may mend soon.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Haste {
    Normal,
    Slow,
}

fn used_up(attempt: &Attempt) -> bool {
    attempt.delivery_retries.saturating_add(attempt.polls) >= RETRIES_MAX
}

fn deliver_again(
    policy: &RetryPolicy,
    attempt: &Attempt,
    retry_after: Option<RetryAfter>,
    haste: Haste,
    draw: Draw,
) -> Next {
    let wait = policy.delivery.wait(attempt.delivery_retries).filter(|_| !used_up(attempt));
    let Some(wait) = wait else {
        return Next::Dead(DeadReason::RetriesExhausted);
    };
    let wait = match (&policy.delivery, haste) {
        (Schedule::Default, Haste::Slow) => {
            jittered(Period::from_ms(wait.as_ms().max(SLOW_WAIT_MS)), draw)
        }
        (Schedule::Default, Haste::Normal) => jittered(wait, draw),
        _ => wait,
    };
    Next::Retry { at: not_before(attempt, wait, retry_after), kind: RetryKind::Delivery }
}

fn poll_again(policy: &RetryPolicy, attempt: &Attempt, retry_after: Option<RetryAfter>) -> Next {
    let polling = policy.polling.filter(|polling| attempt.polls < polling.max && !used_up(attempt));
    match polling {
        None => Next::Dead(DeadReason::StillPending),
        Some(polling) => Next::Retry {
            at: not_before(attempt, polling.every, retry_after),
            kind: RetryKind::Polling,
        },
    }
}

/// Jitter is only ever added: up to a fifth of the wait.
fn jittered(wait: Period, draw: Draw) -> Period {
    let most = wait.as_ms() / JITTER_DIVISOR;
    let added = most.saturating_mul(u64::from(draw.0)) / u64::from(u16::MAX);
    Period::from_ms(wait.as_ms().saturating_add(added))
}

/// A `Retry-After` only ever lengthens the wait, and by no more than a day.
fn not_before(attempt: &Attempt, wait: Period, retry_after: Option<RetryAfter>) -> Timestamp {
    let ended = attempt.ended_at;
    let asked = match retry_after {
        None => return ended.plus(wait),
        Some(RetryAfter::Wait(asked)) => asked,
        Some(RetryAfter::At(at)) => at.since(ended),
    };
    ended.plus(wait.max(asked.min(RETRY_AFTER_MAX)))
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000_000_000);

    fn answered(status: u16) -> AttemptOutcome {
        AttemptOutcome::Answered { status, pending: false, retry_after: None }
    }

    fn attempt(outcome: AttemptOutcome, delivery_retries: u8, polls: u8) -> Attempt {
        Attempt { ended_at: NOW, outcome, delivery_retries, polls }
    }

    fn shown(policy: &RetryPolicy, attempt: Attempt, draw: u16) -> String {
        match after_attempt(policy, &attempt, Draw(draw)) {
            Next::Delivered => "delivered".into(),
            Next::Retry { at, kind } => format!("{kind:?} {}", at.since(attempt.ended_at)),
            Next::Dead(reason) => format!("{reason:?}"),
        }
    }

    #[test]
    fn every_status_has_its_place() {
        let policy = RetryPolicy::default();
        for status in 100..=999 {
            let want = match status {
                200..=299 => "delivered",
                410 => "Gone",
                408 | 425 | 429 | 500..=599 => "Delivery 5s",
                _ => "Delivery 30m",
            };
            assert_eq!(shown(&policy, attempt(answered(status), 0, 0), 0), want, "{status}");
        }
        assert_eq!(shown(&policy, attempt(AttemptOutcome::Unanswered, 0, 0), 0), "Delivery 5s");
        assert_eq!(shown(&policy, attempt(AttemptOutcome::Forbidden, 0, 0), 0), "Forbidden");
        assert_eq!(shown(&policy, attempt(AttemptOutcome::OurFault, 9, 0), 0), "Ours 1m");
    }

    #[test]
    fn the_default_schedule_is_golden() {
        let policy = RetryPolicy::default();
        let want = ["5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "1d"];
        for (retry, wait) in (0..).zip(want) {
            let attempt = attempt(answered(503), retry, 0);
            assert_eq!(shown(&policy, attempt, 0), format!("Delivery {wait}"));
        }
        assert_eq!(shown(&policy, attempt(answered(503), 9, 0), 0), "RetriesExhausted");
        assert_eq!(shown(&policy, attempt(answered(503), 0, 0), u16::MAX), "Delivery 6s");
        assert_eq!(shown(&policy, attempt(answered(404), 1, 0), u16::MAX), "Delivery 36m");
    }

    #[test]
    fn an_explicit_schedule_is_used_as_written() {
        let every = RetryPolicy {
            delivery: Schedule::Every { max: 2, every: Period::from_ms(1_000) },
            polling: None,
        };
        assert_eq!(shown(&every, attempt(answered(404), 0, 0), u16::MAX), "Delivery 1s");
        assert_eq!(shown(&every, attempt(answered(404), 2, 0), 0), "RetriesExhausted");
        let waits = RetryPolicy {
            delivery: Schedule::Waits(alloc::vec![Period::from_ms(7), Period::from_ms(9)]),
            polling: None,
        };
        assert_eq!(shown(&waits, attempt(AttemptOutcome::Unanswered, 1, 0), 77), "Delivery 9ms");
        assert_eq!(shown(&waits, attempt(AttemptOutcome::Unanswered, 2, 0), 0), "RetriesExhausted");
    }

    #[test]
    fn polling_has_its_own_schedule_and_shares_the_limit() {
        let pending = AttemptOutcome::Answered { status: 200, pending: true, retry_after: None };
        let polling = Some(Polling { max: 20, every: Period::from_ms(600_000) });
        let policy = RetryPolicy { delivery: Schedule::Default, polling };
        assert_eq!(shown(&policy, attempt(pending, 0, 0), 9), "Polling 10m");
        assert_eq!(shown(&policy, attempt(pending, 9, 19), 9), "Polling 10m");
        assert_eq!(shown(&policy, attempt(pending, 0, 20), 9), "StillPending");
        assert_eq!(shown(&policy, attempt(pending, 15, 15), 9), "StillPending");
        assert_eq!(shown(&policy, attempt(answered(500), 5, 25), 0), "RetriesExhausted");
        assert_eq!(policy.retries(), 29);
    }

    #[test]
    fn a_reason_is_stored_by_its_code() {
        for reason in DeadReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.code());
        }
    }

    #[test]
    fn retry_after_only_lengthens_and_is_bounded() {
        let at = |ms: i64| RetryAfter::At(Timestamp::from_ms(NOW.as_ms() + ms));
        let wait = |ms: u64| RetryAfter::Wait(Period::from_ms(ms));
        let table = [
            (wait(0), "5s"),
            (wait(4_000), "5s"),
            (wait(90_000), "90s"),
            (wait(u64::MAX), "1d"),
            (at(-1_000_000), "5s"),
            (at(7_000), "7s"),
            (at(i64::MAX / 4), "1d"),
        ];
        for (retry_after, want) in table {
            let retry_after = Some(retry_after);
            let outcome = AttemptOutcome::Answered { status: 429, pending: false, retry_after };
            let got = shown(&RetryPolicy::default(), attempt(outcome, 0, 0), 0);
            assert_eq!(got, format!("Delivery {want}"));
        }
    }
}
