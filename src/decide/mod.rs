//! Pure rules over the nouns and a `now` that is passed in.
//!
//! [`classify`] reads one answer. [`monitor`] is the loop in which the others meet; [`matrix`] is what it shows
//! to [`confirm`], [`diagnose`] and [`witnesses`], and all that these know of the world.

// The engine that names the refused factor: confirm, attribute, ask; `replay` plays it.
pub mod attribute;
// What is known of every cell of the plan, and the ways to find it.
pub mod board;
// What a message about an incident says, in words.
pub mod briefing;
// Observation in, verdict out: what happened, who made the answer, by which evidence.
pub mod classify;
// Whether it is safe to start a job.
pub mod clearance;
// What a single round says, without waiting for a confirmation.
pub mod conclude;
// Tells weather from fault: the sequential test of one suspicion.
pub mod confirm;
// From the verdicts of a host's cells to what they hang on.
pub mod diagnose;
// What goes into the loop, and what comes out.
pub mod events;
// One run as evidence: bounded, without secrets.
pub mod evidence;
// Holds an observation against `expect`, `origin`, `meanings` and own signatures.
pub mod expect;
// Requests beyond the schedule, and how many of them are allowed.
pub mod extra;
// Drift: when the front of an endpoint changes.
pub mod fingerprint;
// The traits of a front, read from an answer.
pub mod front;
// The life of an incident: members, recovery, resolution, return.
pub mod incidents;
// The verdicts since an onset, as the diagnosis sees them.
pub mod matrix;
// The loop: events in, effects out.
pub mod monitor;
// A change that is no incident, told in one message.
pub mod notice;
// Which receivers are due a message now.
pub mod notify;
// Our own public addresses, and edits of the configuration.
pub mod own_side;
// One partner under watch: its diagnosis and its incidents.
pub mod partner;
// What is muted, mentioned or out of hours at a moment.
pub mod quiet;
// When one host may be asked again.
pub(crate) mod politeness;
// Which point of presence of a CDN answered.
pub mod pop;
// Reads a saved HTTP answer, as `curl -i` writes it.
pub mod saved;
// When each cell is due.
pub mod schedule;
// Fronts and our own side over time, and what becomes of a change.
pub mod surroundings;
// Whether a client that is not in the file yet would pass.
pub mod trial;
// A control host or our own network under watch: suspicion, extra runs, incident.
pub mod watch;
// Which cell to ask next, so that the explanations part.
pub mod witnesses;
// Names and codes of vendors and verdicts in words.
pub mod words;

// Login, consent and denial pages in place of the content.
mod gate;
// What each vendor's refusals, challenges and errors show.
mod signatures;
// SOAP faults: the application speaking, whatever the status.
mod soap;
