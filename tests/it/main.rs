//! Integration tests, one binary: real sockets on loopback, port 0, nothing outside this host.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that can't go on fails its test"
)]

/// The simulated partner and its edge, through a real client and raw sockets.
mod simulate;
//! Tests from outside: real files, real sockets on loopback, one binary.

/// Reading `probes.yaml`: the file in the root, its schema, and a table of files that are refused.
mod config;
