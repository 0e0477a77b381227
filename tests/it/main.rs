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
//! Everything that needs real sockets, files or processes, in one binary.

/// A plan in code, for tests that do not read `probes.yaml`.
mod plan;
/// One run against servers that behave, misbehave, refuse and lie.
mod probe;
/// Servers on loopback that note what they saw.
mod server;
