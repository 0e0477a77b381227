//! How keeping and telling go: what the store says of itself and of its outbox, for people and for machines.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How writing goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Rows written since the start.
    pub written_rows: u64,
    /// Rows waiting to be written.
    pub queued_rows: u64,
    /// Rows dropped since the start, because the queue was full.
    pub dropped_rows: u64,
    /// Bodies left out since the start, because too many bytes waited.
    pub dropped_bodies: u64,
    /// Changes of incidents that wait to be committed; whoever hands them over counts them.
    pub waiting_changes: u64,
    /// Since when writing fails; `None`: it works.
    pub failing_since: Option<Timestamp>,
    /// Why it fails.
    pub last_error: Option<String>,
}

/// What one receiver must still be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    pub receiver: String,
    pub messages: u64,
    /// When the first of them may be, or might have been, sent; may lie ahead.
    pub due_since: Timestamp,
}

/// How often tries to one receiver ended in one way, since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    pub receiver: String,
    /// `sent`, `merged` (told with another), `overtaken` (said by a later one), `retried`, `dead`.
    pub outcome: &'static str,
    /// The class of the failure, for `retried` and `dead`.
    pub class: Option<&'static str>,
    pub count: u64,
}

/// What waits in the outbox, and what became of the rest since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Post {
    /// By receiver; those for whom nothing waits are left out.
    pub due: Vec<Due>,
    /// By receiver, outcome and class; bounded.
    pub settled: Vec<Settled>,
}
