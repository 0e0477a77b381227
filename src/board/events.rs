//! What the monitor takes and what it gives: closed lists, plain values.

use std::collections::BTreeMap;
use std::sync::Arc;

pub use crate::domain::judged::Judged;
use jiff::Timestamp;

use crate::domain::cell::CellKey;
use crate::domain::change::{Change, VerdictChange};
use crate::domain::incident::Care;
use crate::domain::mute::Silence;
use crate::domain::observation::Purpose;
use crate::domain::plan::Plan;
use crate::domain::surroundings::Learned;
use crate::domain::verdict::Kind;

/// Whatever can cause work.
#[derive(Debug, Clone)]
pub enum Event {
    Observed(Arc<Judged>),
    /// Runs that were heard of late are complete: what they show of each cell.
    CaughtUp(Vec<Late>),
    /// Which sites are silent, and since when; all others are heard.
    Silent(BTreeMap<String, Timestamp>),
    /// Time went by; due when the monitor wants it, harmless at any other time.
    Tick,
    PlanReplaced(Arc<Plan>),
    /// Somebody looks after the incident with this number, or no longer.
    Care {
        incident: u64,
        care: Care,
    },
    /// These silences, which the store has, are in force in place of those before.
    Silenced(Vec<Silence>),
}

/// The runs of a cell that were heard of too late to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    pub cell: CellKey,
    /// By their start; at least one.
    pub runs: Vec<(Timestamp, Kind)>,
    /// The newest is young enough to say how the cell is now.
    pub telling: bool,
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Run a cell beyond its schedule, at `at` or as soon after it as politeness allows.
    Run {
        cell: CellKey,
        at: Timestamp,
        purpose: Purpose,
        /// For the log and the timeline.
        why: String,
        /// The incident it is for, once there is one.
        incident: Option<u64>,
    },
    /// Store an incident with its timeline and its notifications, together or not at all.
    Save(Box<Change>),
    VerdictChanged(VerdictChange),
    /// Store what was learned of fronts and of our own side, with the notices of it.
    Learned(Box<Learned>),
}
