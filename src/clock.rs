//! The wall clock: the only file that reads it.
//!
//! Rules take `now` as an argument, so that a test or a replay can say what time it is. Phases of a
//! run are timed with the monotonic clock in `probe/`, which is no reading of the wall clock.

use jiff::Timestamp;

/// The present instant, UTC.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::now()
}
