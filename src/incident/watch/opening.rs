//! How a confirmed fault becomes an incident: a host's, or our own network's.
//!
//! The order of blame is never "them" while a control fails: what fails from an egress whose controls
//! fail too waits until these are confirmed (then it was our network) or pass (then it was not).

use jiff::Timestamp;

use super::{HOLD_DOWN, HOLD_UNSEEN, OurSide, Watch, World};
use crate::board::Standing;
use crate::domain::cell::CellKey;
use crate::domain::incident::{Happening, IncidentCell, Specimen, Subject};
use crate::domain::moment::later;
use crate::domain::verdict::Kind;
use crate::incident::case::{Opening, entry};
use crate::incident::confirm::Group;
use crate::incident::matrix::Sightings;
use crate::incident::notify::Face;

impl Watch {
    /// Takes in failing cells that are our own network's; only for the watch over our own network.
    pub fn adopt(&mut self, world: &mut World<'_>, ours: OurSide) {
        let before = self.incident().map(Face::of);
        if self.failing.is_none() {
            self.failing = ours.failing;
        }
        let sightings = self
            .sightings
            .get_or_insert_with(|| Sightings::new(ours.onset_at));
        for cell in &ours.cells {
            sightings.note(&cell.cell, cell.kind, true, cell.last_at);
        }
        if self.case.is_some() {
            for cell in ours.cells {
                self.join(&cell.cell, cell.kind, cell.last_at);
            }
            self.settle(world, before);
            return;
        }
        for note in ours.notes {
            self.remember(note);
        }
        self.open(world, ours.onset_at, ours.cells, ours.failed_runs);
        self.settle(world, None);
    }

    /// Opens an incident for a confirmed suspicion, unless it may be our own network's.
    pub(super) fn try_open(&mut self, world: &mut World<'_>) -> Option<OurSide> {
        let held_since = self.held_since?;
        let suspicion = self.suspicion.as_ref()?;
        let onset_at = suspicion.first_failed_at();
        self.look_at = [HOLD_UNSEEN, HOLD_DOWN]
            .map(|limit| later(held_since, limit))
            .into_iter()
            .find(|at| *at > world.now);
        if self.subject == Subject::OurNetwork {
            self.open_or_join(world, onset_at, self.failing_sightings());
            return None;
        }
        let matrix = self.matrix(world, suspicion.kind())?;
        let control_host = self
            .host
            .is_some_and(|host| world.board.hosts[host].control);
        let waited = |limit| later(held_since, limit) <= world.now;
        let network = matches!(Group::of(suspicion.kind()), Group::Network | Group::Tls);
        let (mut theirs, mut ours, mut wait) = (Vec::new(), Vec::new(), false);
        for spot in matrix.failing() {
            let is_control = world.board.get(&spot.cell).is_some_and(|c| c.control_probe);
            match matrix.standing.get(&spot.cell.egress) {
                Some(Standing::Down { certain }) if control_host && is_control => {
                    if *certain || waited(HOLD_UNSEEN) {
                        ours.push(&spot.cell);
                    } else {
                        wait = true;
                    }
                }
                Some(Standing::Down { .. }) if !waited(HOLD_DOWN) => wait = true,
                Some(Standing::Unseen) if network && !waited(HOLD_UNSEEN) => wait = true,
                _ => theirs.push(&spot.cell),
            }
        }
        if !ours.is_empty() {
            let cells: Vec<IncidentCell> =
                ours.iter().filter_map(|cell| self.member(cell)).collect();
            let ours = OurSide {
                failed_runs: self.failed_runs(),
                cells,
                onset_at,
                failing: self.failing.take(),
                notes: std::mem::take(&mut self.notes),
            };
            self.dismiss();
            return Some(ours);
        }
        if theirs.is_empty() || (wait && self.case.is_none() && network) {
            if !wait {
                self.dismiss();
            }
            return None;
        }
        let cells: Vec<IncidentCell> = theirs.iter().filter_map(|cell| self.member(cell)).collect();
        self.open_or_join(world, onset_at, cells);
        None
    }

    /// What is confirmed becomes an incident, or part of the one that is open.
    pub(super) fn open_or_join(
        &mut self,
        world: &mut World<'_>,
        onset_at: Timestamp,
        cells: Vec<IncidentCell>,
    ) {
        if self.case.is_some() {
            for cell in cells {
                self.join(&cell.cell, cell.kind, cell.last_at);
            }
        } else {
            let failed_runs = self.failed_runs();
            self.open(world, onset_at, cells, failed_runs);
        }
        self.end_suspicion();
    }

    pub(super) fn failing_sightings(&self) -> Vec<IncidentCell> {
        let sightings = self.sightings.iter().flat_map(Sightings::iter);
        let mut failing: Vec<IncidentCell> = sightings
            .filter(|(_, seen)| seen.failing)
            .filter_map(|(cell, _)| self.member(cell))
            .collect();
        failing.sort_by(|one, other| one.cell.cmp(&other.cell));
        failing
    }

    /// A failing cell as the incident will hold it.
    pub(super) fn member(&self, cell: &CellKey) -> Option<IncidentCell> {
        let seen = self.sightings.as_ref()?.get(cell)?;
        Some(IncidentCell {
            cell: cell.clone(),
            kind: seen.kind,
            failing: true,
            since: seen.first_at,
            last_at: seen.last_at,
        })
    }

    pub(super) fn failed_runs(&self) -> u32 {
        let sightings = self.sightings.iter().flat_map(Sightings::iter);
        sightings.map(|(_, seen)| seen.failures).sum()
    }

    /// Opens, or opens again what was resolved lately.
    pub(super) fn open(
        &mut self,
        world: &mut World<'_>,
        onset_at: Timestamp,
        cells: Vec<IncidentCell>,
        failed_runs: u32,
    ) {
        let Some(first) = cells.first().map(|cell| cell.cell.clone()) else {
            return;
        };
        let back = self
            .recent
            .take()
            .filter(|recent| world.is_back(recent, onset_at, &cells));
        if let Some(recent) = &back {
            self.extra.resume(recent.extra_runs);
        }
        let diagnosis = self.diagnosis(world, &first, &cells);
        let opening = Opening {
            number: 0,
            subject: self.subject.clone(),
            onset_at,
            last_good_at: world.last_good_before(onset_at, &cells),
            cells,
            diagnosis,
            failed_runs,
        };
        let mut case = world.begin(back, opening);
        let kind = case.incident.kind;
        let shows =
            |specimen: &Option<Specimen>| specimen.as_ref().is_some_and(|s| s.verdict.kind == kind);
        if shows(&self.failing) || case.incident.failing.is_none() {
            case.incident.failing.clone_from(&self.failing);
        }
        if self.passing.is_some() {
            case.incident.passing.clone_from(&self.passing);
        }
        for id in self.references.drain(..) {
            case.refer(&id);
        }
        case.incident.extra_runs = self.extra.issued();
        world.announce(&mut case, onset_at, std::mem::take(&mut self.notes));
        self.case = Some(case);
        (self.dirty, self.curious) = (false, true);
    }

    /// A cell that fails as the incident leads to expect becomes part of it.
    pub(super) fn join(&mut self, cell: &CellKey, kind: Kind, at: Timestamp) {
        let Some(case) = &mut self.case else {
            return;
        };
        let seen = self.sightings.as_ref().and_then(|seen| seen.get(cell));
        let new = case.join(IncidentCell {
            cell: cell.clone(),
            kind,
            failing: true,
            since: seen.map_or(at, |seen| seen.first_at),
            last_at: at,
        });
        self.dirty = true;
        if new {
            let text = format!("{cell} fails too: {}", kind.label());
            self.remember(entry(at, Happening::Cells, text));
        }
    }
}
