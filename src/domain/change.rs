//! What one step of the loop changed, as it is kept and told.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cell::CellKey;
use super::incident::{Incident, TimelineEntry};
use super::notification::Notification;
use super::verdict::Kind;

/// What one step changed of one incident; stored together or not at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// As it is after the change.
    pub incident: Incident,
    pub timeline: Vec<TimelineEntry>,
    pub notifications: Vec<Notification>,
}

/// A cell's verdict turned from one kind to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictChange {
    pub cell: CellKey,
    pub at: Timestamp,
    /// `None` for the first verdict ever.
    pub from: Option<Kind>,
    pub to: Kind,
}
