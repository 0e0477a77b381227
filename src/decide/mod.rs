//! Pure rules over the nouns and a `now` that is passed in.
//!
//! [`monitor`] is the loop in which the others meet; [`matrix`] is what it shows to [`confirm`],
//! [`diagnose`] and [`witnesses`], and all that these know of the world.

/// What is known of every cell of the plan, and the ways to find it.
pub mod board;
/// What a message about an incident says, in words.
pub mod briefing;
/// Tells weather from fault: the sequential test of one suspicion.
pub mod confirm;
/// From the verdicts of a host's cells to what they hang on.
pub mod diagnose;
/// What the loop takes, and what it gives.
pub mod events;
/// One run as evidence: bounded, without secrets.
pub mod evidence;
/// Requests beyond the schedule, and how many of them are allowed.
pub mod extra;
/// The life of an incident: members, recovery, resolution, return.
pub mod incidents;
/// The verdicts since an onset, as the diagnosis sees them.
pub mod matrix;
/// The loop: events in, effects out.
pub mod monitor;
/// Which receivers are due a message now.
pub mod notify;
/// One host (or our own network) under watch: suspicion, extra runs, incident.
pub mod watch;
/// Which cell to ask next, so that the explanations part.
pub mod witnesses;
/// Names and codes of vendors and verdicts in words.
pub mod words;
