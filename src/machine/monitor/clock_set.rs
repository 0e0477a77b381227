//! What becomes of everything when the clock of the host is set.
//!
//! All that is remembered is measured by the former clock. What people were told of, open incidents, goes on with its
//! times moved, so that durations stay what they were; what was seen of cells is forgotten and seen again within a
//! round, as after a restart.

use jiff::{SignedDuration, Timestamp};

use super::Monitor;
use crate::domain::change::Change;
use crate::domain::incident::Happening;
use crate::domain::moment::{moved, set_by};
use crate::domain::mute::Silence;
use crate::incident::case::entry;

impl Monitor {
    /// Goes on by the clock as it is; returns the open incidents, to be kept with their times moved.
    pub(in crate::machine) fn clock_was_set(
        &mut self,
        by: SignedDuration,
        now: Timestamp,
    ) -> Vec<Change> {
        let known = self.incidents().chain(&self.orphans).chain(&self.unwatched);
        let known = known.map(|incident| moved(incident, by).unwrap_or_else(|| incident.clone()));
        let known = known.collect();
        let silences = self.ground.board.silences().iter();
        let silences = silences.map(|silence| by_the_new(silence, by, now));
        let past = moved(&self.ground.past, by).unwrap_or_default();
        let plan = self.ground.board.plan.clone();
        let mut anew = Self::new(plan, known, self.ground.next_number)
            .with_past(past)
            .with_silences(silences.collect());
        std::mem::swap(&mut anew.ground.surroundings, &mut self.ground.surroundings);
        *self = anew;
        let text = said(by);
        self.incidents()
            .map(|incident| Change {
                incident: incident.clone(),
                timeline: vec![entry(now, Happening::Changed, text.clone())],
                notifications: Vec::new(),
            })
            .collect()
    }
}

/// A silence that was asked for by the former clock lasts as long as was asked.
fn by_the_new(silence: &Silence, by: SignedDuration, now: Timestamp) -> Silence {
    if silence.from <= now {
        return silence.clone();
    }
    moved(silence, by).unwrap_or_else(|| silence.clone())
}

fn said(by: SignedDuration) -> String {
    format!(
        "the clock of edgewatch's host was set {}; times before are given by the clock as it is now",
        set_by(by)
    )
}
