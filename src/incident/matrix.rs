//! The verdicts of one host's cells since an onset: all that confirmation, diagnosis and the choice of
//! the next question know of the world.
//!
//! A cell that did not run since the onset is unknown, never passing: its last pass was another world.

use crate::domain::diagnosis::{level, shared};
use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::confirm::Group;
use crate::board::Standing;
use crate::domain::cell::{CellKey, EgressName};
use crate::domain::diagnosis::Level;
use crate::domain::verdict::{Factor, Kind};

/// What the runs of a host's cells said since an onset.
#[derive(Debug, Clone)]
pub struct Sightings {
    pub since: Timestamp,
    cells: HashMap<CellKey, Sighting>,
}

/// What the runs of one cell said since the onset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    pub failures: u32,
    pub passes: u32,
    /// Kind of the last failure; the expected one when there was none.
    pub kind: Kind,
    /// First failing run; the first run when none failed.
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub failing: bool,
    /// Runs in a row that ended like the last one.
    pub streak: u32,
    /// It failed again after a pass: the fault comes and goes.
    pub mixed: bool,
}

impl Sightings {
    #[must_use]
    pub fn new(since: Timestamp) -> Self {
        Self {
            since,
            cells: HashMap::new(),
        }
    }

    /// Writes down a run; one from before the onset says nothing.
    pub fn note(&mut self, cell: &CellKey, kind: Kind, failed: bool, at: Timestamp) {
        if at < self.since {
            return;
        }
        let Some(seen) = self.cells.get_mut(cell) else {
            self.cells.insert(
                cell.clone(),
                Sighting {
                    failures: u32::from(failed),
                    passes: u32::from(!failed),
                    kind,
                    first_at: at,
                    last_at: at,
                    failing: failed,
                    streak: 1,
                    mixed: false,
                },
            );
            return;
        };
        let turned = seen.failing != failed;
        if failed {
            seen.mixed |= seen.passes > 0 && seen.failures > 0 && turned;
            if seen.failures == 0 {
                seen.first_at = at;
            }
            seen.failures += 1;
            seen.kind = kind;
        } else {
            seen.passes += 1;
        }
        seen.streak = if turned { 1 } else { seen.streak + 1 };
        seen.failing = failed;
        seen.last_at = at;
    }

    #[must_use]
    pub fn get(&self, cell: &CellKey) -> Option<&Sighting> {
        self.cells.get(cell)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&CellKey, &Sighting)> {
        self.cells.iter()
    }

    /// Forgets cells that are no longer configured.
    pub fn retain(&mut self, keep: impl Fn(&CellKey) -> bool) {
        self.cells.retain(|cell, _| keep(cell));
    }
}

/// Passes in a row beyond which one more says nothing new.
pub const ENOUGH_PASSES: u32 = 6;

/// One cell, as the diagnosis sees it.
#[derive(Debug, Clone)]
pub struct Spot {
    pub cell: CellKey,
    /// Its client is a control.
    pub control: bool,
    pub state: Seen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Unknown,
    Passing { passes: u32 },
    Failing { kind: Kind, mixed: bool },
}

impl Spot {
    #[must_use]
    pub fn failing(&self) -> bool {
        matches!(self.state, Seen::Failing { .. })
    }

    #[must_use]
    pub fn passing(&self) -> bool {
        matches!(self.state, Seen::Passing { .. })
    }
}

/// A host's cells, and how the rest of the world looks from their egresses.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// Every cell of the host, in the order of the file.
    pub spots: Vec<Spot>,
    /// For the egresses of failing cells.
    pub standing: BTreeMap<EgressName, Standing>,
    /// The kind that is asked about.
    pub kind: Kind,
}

impl Matrix {
    pub fn failing(&self) -> impl Iterator<Item = &Spot> {
        self.spots.iter().filter(|spot| spot.failing())
    }

    pub fn passing(&self) -> impl Iterator<Item = &Spot> {
        self.spots.iter().filter(|spot| spot.passing())
    }

    /// The explanations that involve `trigger` and contradict no run, as a set of masks.
    ///
    /// A mask is a conjunction of levels of the trigger: `0b0000` is "everything", `0b0001` "its
    /// client", `0b0011` "its client from its egress". It predicts that exactly the cells that share
    /// all of its factors fail; unknown cells can't contradict it.
    #[must_use]
    pub fn explanations(&self, trigger: &CellKey) -> [bool; 16] {
        let mut fits = [true; 16];
        for spot in &self.spots {
            let failing = match spot.state {
                Seen::Unknown => continue,
                Seen::Passing { .. } => false,
                Seen::Failing { .. } => true,
            };
            let common = shared(&spot.cell, trigger);
            for (mask, fit) in (0u8..).zip(fits.iter_mut()) {
                *fit &= (common & mask == mask) == failing;
            }
        }
        fits
    }

    /// Distinct levels of a factor over the cells that `which` picks, in the order of the file.
    pub fn levels(&self, factor: Factor, which: impl Fn(&Spot) -> bool) -> Vec<Level> {
        let mut known = HashSet::new();
        self.spots
            .iter()
            .filter(|spot| which(spot))
            .map(|spot| level(&spot.cell, factor))
            .filter(|level| known.insert(level.clone()))
            .collect()
    }

    /// Whether the fault comes and goes, so that one pass of a cell says little of it.
    #[must_use]
    pub fn intermittent(&self) -> bool {
        self.spots
            .iter()
            .any(|spot| matches!(spot.state, Seen::Failing { mixed: true, .. }))
    }

    /// What fails from an egress whose controls fail too says nothing of the host, if anything else does.
    pub fn doubt_where_controls_fail(&mut self) {
        let down = |spot: &Spot| {
            let standing = self.standing.get(&spot.cell.egress);
            spot.failing() && matches!(standing, Some(Standing::Down { .. }))
        };
        let doubtful: Vec<bool> = self.spots.iter().map(down).collect();
        if self.failing().count() == doubtful.iter().filter(|down| **down).count() {
            return;
        }
        for (spot, _) in self
            .spots
            .iter_mut()
            .zip(doubtful)
            .filter(|(_, down)| *down)
        {
            spot.state = Seen::Unknown;
        }
    }

    /// With a fault that comes and goes, cells that passed too seldom become unknown.
    pub fn doubt_few_passes(&mut self) {
        if !self.intermittent() {
            return;
        }
        for spot in &mut self.spots {
            if matches!(spot.state, Seen::Passing { passes } if passes < ENOUGH_PASSES) {
                spot.state = Seen::Unknown;
            }
        }
    }

    /// The group that most failing cells belong to decides what the matrix is about.
    #[must_use]
    pub fn group(&self) -> Group {
        Group::of(self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cell::CredentialName;

    fn cell(egress: &str, client: &str) -> CellKey {
        CellKey {
            probe: "p".into(),
            egress: egress.into(),
            client: client.into(),
            credential: CredentialName::anonymous(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn a_run_before_the_onset_says_nothing() {
        let mut seen = Sightings::new(at(10));
        seen.note(&cell("e1", "c1"), Kind::Pass, false, at(9));
        assert_eq!(seen.get(&cell("e1", "c1")), None);
    }

    #[test]
    fn failing_again_after_a_pass_is_mixed() {
        let mut seen = Sightings::new(at(0));
        for (second, kind) in [(0, Kind::Timeout), (1, Kind::Pass), (2, Kind::Timeout)] {
            seen.note(&cell("e1", "c1"), kind, kind != Kind::Pass, at(second));
        }
        let sighting = seen.get(&cell("e1", "c1")).unwrap();
        assert!(sighting.mixed && sighting.failing);
        assert_eq!((sighting.failures, sighting.passes), (2, 1));
    }

    #[test]
    fn explanations_are_those_that_no_run_contradicts() {
        let spot = |egress: &str, client: &str, state| Spot {
            cell: cell(egress, client),
            control: false,
            state,
        };
        let failing = Seen::Failing {
            kind: Kind::EdgeBlock,
            mixed: false,
        };
        let matrix = Matrix {
            spots: vec![
                spot("e1", "c1", failing),
                spot("e1", "c2", Seen::Passing { passes: 1 }),
                spot("e2", "c1", Seen::Unknown),
            ],
            standing: BTreeMap::new(),
            kind: Kind::EdgeBlock,
        };
        let fits = matrix.explanations(&cell("e1", "c1"));
        let masks: Vec<usize> = (0..16).filter(|mask| fits[*mask]).collect();
        assert_eq!(
            masks,
            [1, 3, 5, 7, 9, 11, 13, 15],
            "all that name the client"
        );
    }
}
