//! Everything that needs real sockets, files or processes, in one binary.

#![allow(
    clippy::unwrap_used,
    reason = "a fixture that fails should fail the test"
)]

/// A plan in code, for tests that do not read `probes.yaml`.
mod plan;
/// One run against servers that behave, misbehave, refuse and lie.
mod probe;
/// Servers on loopback that note what they saw.
mod server;
