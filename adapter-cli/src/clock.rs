//! The one place that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use counterfoil_core::Timestamp;

/// The moment.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
