//! Integration tests, one binary: real sockets on loopback, port 0, nothing outside this host.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that can't go on fails its test"
)]

/// The simulated partner and its edge, through a real client and raw sockets.
mod simulate;
