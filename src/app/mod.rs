//! Wiring: the plan from the disk, the daemon's start, its loop, delivery, and its stop in reverse.

pub mod daemon;
pub mod deliver;
pub mod keeper;
pub mod load;
pub mod round;
