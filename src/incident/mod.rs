//! What becomes of a judgement: incidents, their members, messages that are due, and who hears nothing.

// The life of an incident: members, recovery, resolution, return.
pub mod case;
// Tells weather from fault: the sequential test of one suspicion, for controls.
pub mod confirm;
// From the verdicts of a host's cells to what they hang on, for controls and single rounds.
pub mod diagnose;
// Requests beyond the schedule, and how many of them are allowed.
pub mod extra;
// The verdicts since an onset, as the diagnosis of controls sees them.
pub mod matrix;
// Which receivers are due a message now.
pub mod notify;
// One partner under watch: its diagnosis and its incidents.
pub mod partner;
// A control host or our own network under watch.
pub mod watch;
// Which cell to ask next, so that the explanations part, for controls.
pub mod witnesses;
