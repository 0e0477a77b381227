//! The loop that decides: events in, effects out, and when each cell is due.

// The loop: events in, effects out.
pub mod monitor;
// When one host may be asked again.
pub(crate) mod politeness;
// When each cell is due.
pub mod schedule;
