//! Wiring: what joins the pure rules to files, sockets and clocks.

// What a person asks with an account, counted.
pub mod accounts;
/// The agent of a site.
pub mod agent;
// What may be in an agent's way.
pub mod agent_check;
// Wishes of people from outside: commands and buttons.
pub mod asks;
/// Buttons in Slack, to actions.
pub mod clicks;
// The daemon: starts in one straight line, runs one loop, stops in reverse.
pub mod daemon;
// From the outbox to the receivers: one worker each.
pub mod deliver;
// Whether buttons are heard.
mod ears;
// Commits what the loop decided, in order and off its path.
pub mod keeper;
/// A hub that leads.
pub mod lead;
// `probes.yaml` from the disk.
pub mod load;
// Whether the file is still the one that was read.
pub mod on_disk;
// The daemon's pages.
mod pages;
// The log of `run --record`.
pub mod record;
// A file that is not taken is told once.
mod refusal;
// One round now, without the daemon.
pub mod round;
// The daemon as its own patient: counts, looks after itself, tells others.
mod self_watch;
// A plan that the hub handed out, read where it is to run.
pub mod site_plan;
// The hub's end of all sites.
pub mod sites;
/// One of several hubs.
pub mod standby;
// What a person wants to know of the daemon, from its store and from itself.
pub mod status;
// A client that somebody tries in the pages.
mod trials;
// What is said while nothing can be kept.
mod unwritten;
// When an edited file is taken by itself.
mod watch;
