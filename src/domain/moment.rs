//! Reckoning with moments.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// `at` plus `wait`; the end of time instead of an overflow.
#[must_use]
pub fn later(at: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait)
        .ok()
        .and_then(|wait| at.checked_add(wait).ok())
        .unwrap_or(Timestamp::MAX)
}
