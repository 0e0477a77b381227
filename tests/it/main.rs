//! Integration tests, one binary: real files, processes and sockets on loopback, port 0, nothing outside this host.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that can't go on fails its test"
)]

/// A store with history and incidents of the past.
mod night;
/// A plan in code, for tests that do not read `probes.yaml`.
mod plan;
/// Servers on loopback that note what they saw.
mod server;
/// A partner, a control site, and a file over them.
mod world;

/// `try`, `gate`, `report` and `postmortem`, as a person or a job meets them.
mod asking;
/// The daemon as a real process, killed in the middle of an incident.
//mod daemon;
/// Scores the classifier against saved answers.
mod classify;
/// The commands as a person or a script meets them.
mod cli;
/// Reading `probes.yaml`: the file in the root, its schema, and a table of files that are refused.
mod config;
/// One run against servers that behave, misbehave, refuse and lie.
mod probe;
/// The simulated partner and its edge, through a real client and raw sockets.
mod simulate;
