//! Tests over real sockets and files; one module an area.

// A failed step of a test ends it, also in the functions that tests share.
#![allow(clippy::unwrap_used)]

/// What Slack accepts as blocks, from its documentation and not from our sender.
mod block_kit;
/// From the outbox to receivers that misbehave: order, exactly once, fallback, recovery.
mod deliver;
/// A Slack and a Teams on loopback that are strict, and fail on demand.
mod fakes;
/// Values of the domain, made by hand and by chance.
mod samples;
/// How incidents look in Slack, and what its answers mean to us.
mod slack;
/// What is kept: round trips, retention, damage, two processes, write failures.
mod store;
/// How incidents look in Teams, and that support staff read plain words only.
mod teams;
