//! The rules: pure functions and state machines over domain values and a `now` that is passed in.

/// When one host may be asked again.
pub(crate) mod politeness;
/// When each cell is due.
pub mod schedule;
