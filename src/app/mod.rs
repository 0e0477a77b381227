//! Wiring: the plan from the disk, the daemon's start, its loop, delivery, and its stop in reverse.

pub mod daemon;
pub mod deliver;
pub mod keeper;
pub mod load;
pub mod round;
//! Wiring: what joins the pure rules to files, sockets and clocks.

pub mod deliver;
