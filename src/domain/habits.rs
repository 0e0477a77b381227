//! What was wrong before in the same place, so that a person hears "the third time since Tuesday".

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::earlier::Earlier;
use super::incident::Incident;
use super::moment::later;
use super::subject::Subject;

/// What is older is no habit any more.
const WITHIN: Duration = Duration::from_secs(90 * 24 * 3600);
/// Of all subjects together; the oldest make room.
const KEPT_MAX: usize = 500;
/// Of one subject, the newest.
const ALIKE_MAX: usize = 20;

/// Those of the last three months, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Past(VecDeque<Earlier>);

impl Past {
    /// Of incidents in any order.
    #[must_use]
    pub fn of<'a>(incidents: impl IntoIterator<Item = &'a Incident>) -> Self {
        let mut over: Vec<Earlier> = incidents
            .into_iter()
            .filter_map(Incident::to_earlier)
            .collect();
        over.sort_by_key(|earlier| earlier.number);
        let surplus = over.len().saturating_sub(KEPT_MAX);
        Self(over.into_iter().skip(surplus).collect())
    }

    /// Keeps one that ended; one that came back in place of what was kept of it.
    pub fn keep(&mut self, incident: &Incident) {
        self.add(Self(incident.to_earlier().into_iter().collect()));
    }

    /// Takes in others; what is known of one twice is known by them.
    pub fn add(&mut self, others: Self) {
        for over in others.0 {
            self.0.retain(|earlier| earlier.number != over.number);
            self.0.push_back(over);
        }
        let surplus = self.0.len().saturating_sub(KEPT_MAX);
        self.0.drain(..surplus);
    }

    /// What was wrong with the same subject lately.
    #[must_use]
    pub fn with(&self, subject: &Subject, now: Timestamp) -> Vec<Earlier> {
        let lately = |earlier: &&Earlier| {
            earlier.subject == *subject && later(earlier.onset_at, WITHIN) > now
        };
        let mut found: Vec<Earlier> = self.0.iter().filter(lately).cloned().collect();
        let surplus = found.len().saturating_sub(ALIKE_MAX);
        found.drain(..surplus);
        found
    }
}
