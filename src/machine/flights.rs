//! Runs that have begun and not ended: whose they are, and until when they are waited for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::cell::CellKey;
use crate::domain::moment::later;

/// The number of a run; unique in the life of a machine.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "run {}", self.0)
    }
}

/// Beyond its own timeout, a run is waited for as long as this.
const MARGIN: Duration = Duration::from_secs(60);

/// So many runs that were given up are remembered, the latest.
const GIVEN_UP_MAX: usize = 1_000;

/// Smaller steps back of the clock are waited out.
const STEP_IGNORED: SignedDuration = SignedDuration::from_secs(1);

/// A run on its way.
#[derive(Debug)]
pub(super) struct Flight {
    /// The cell that was due; another may have been asked in its place.
    pub(super) due: CellKey,
    deadline: Timestamp,
}

/// What a run that comes home is.
#[derive(Debug)]
pub(super) enum Landing {
    /// Waited for.
    Home(Flight),
    /// It was given up, and is heard of now for the first time.
    Late,
    /// It was heard of before, or never started.
    Twice,
}

#[derive(Debug, Default)]
pub(super) struct Flights {
    last: u64,
    on_their_way: BTreeMap<RunId, Flight>,
    deadlines: BTreeSet<(Timestamp, RunId)>,
    given_up: VecDeque<RunId>,
    /// The latest time that was passed in.
    now: Timestamp,
}

impl Flights {
    pub(super) fn len(&self) -> usize {
        self.on_their_way.len()
    }

    /// Counts a run as on its way; `timeout` is its own.
    pub(super) fn begin(&mut self, due: CellKey, now: Timestamp, timeout: Duration) -> RunId {
        self.last += 1;
        let run = RunId(self.last);
        let deadline = later(now, timeout.saturating_add(MARGIN));
        self.deadlines.insert((deadline, run));
        self.on_their_way.insert(run, Flight { due, deadline });
        run
    }

    pub(super) fn land(&mut self, run: RunId) -> Landing {
        if let Some(flight) = self.on_their_way.remove(&run) {
            self.deadlines.remove(&(flight.deadline, run));
            return Landing::Home(flight);
        }
        match self.given_up.iter().position(|known| *known == run) {
            Some(place) => {
                self.given_up.remove(place);
                Landing::Late
            }
            None => Landing::Twice,
        }
    }

    /// The next run that ought to have ended before `now`; it is given up.
    pub(super) fn overdue(&mut self, now: Timestamp) -> Option<(RunId, Flight)> {
        self.read_clock(now);
        let (deadline, run) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.deadlines.remove(&(deadline, run));
        if self.given_up.len() >= GIVEN_UP_MAX {
            self.given_up.pop_front();
        }
        self.given_up.push_back(run);
        Some((run, self.on_their_way.remove(&run)?))
    }

    /// All that are on their way, given up: nothing of theirs is heard.
    pub(super) fn recall(&mut self) -> BTreeMap<RunId, Flight> {
        self.deadlines.clear();
        std::mem::take(&mut self.on_their_way)
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Moves the deadlines by a step back of the clock, so that nothing is waited for by so much longer.
    fn read_clock(&mut self, now: Timestamp) {
        let step = self.now.duration_since(now);
        if step > STEP_IGNORED && !self.on_their_way.is_empty() {
            for flight in self.on_their_way.values_mut() {
                flight.deadline = flight.deadline.saturating_sub(step).unwrap_or(now);
            }
            let flights = self.on_their_way.iter();
            self.deadlines = flights
                .map(|(run, flight)| (flight.deadline, *run))
                .collect();
        }
        if step > STEP_IGNORED || now > self.now {
            self.now = now;
        }
    }
}
