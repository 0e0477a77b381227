//! Wiring: what joins the pure rules to files, sockets and clocks.

pub mod deliver;
