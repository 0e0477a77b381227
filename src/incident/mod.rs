//! What becomes of a judgement: incidents, their members, messages that are due, and who hears nothing.

// The life of an incident: members, recovery, resolution, return.
pub mod case;
// What works, and not as well as it should.
pub mod mild;
// Requests ahead of the schedule for what stands beside the partners.
mod extra;
// Which receivers are due a message now.
pub mod notify;
// Our own side under watch: one incident for all of it.
pub mod ours;
// One partner under watch: its diagnosis and its incidents.
pub mod partner;
// Sites whose agent is silent.
pub mod sites;
// A vendor that fails by itself in front of several partners: one incident for all of them.
pub mod vendor;
// What a step of an incident may use of the rest of the world, and what it leaves there.
pub mod world;
