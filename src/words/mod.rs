//! What people read: facts and judgements in words, bounded and without secrets.

// What a message about an incident says.
pub mod briefing;
// One run as evidence: bounded, without secrets.
pub mod evidence;
// What failing cells have in common.
pub mod pattern;
// Names and codes of vendors and verdicts.
pub mod terms;
