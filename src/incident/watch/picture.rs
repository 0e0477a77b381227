//! The picture that the diagnosis is given, and the runs that are kept as evidence.

use std::collections::BTreeMap;

use super::{NOTES_MAX, Watch, World};
use crate::board::events::Judged;
use crate::domain::cell::{CellKey, EgressName};
use crate::domain::diagnosis::Diagnosis;
use crate::domain::diagnosis::shared;
use crate::domain::incident::{IncidentCell, Subject};
use crate::domain::secret::mask;
use crate::domain::verdict::Kind;
use crate::incident::case::{clarity, majority};
use crate::incident::confirm::{Group, Suspicion};
use crate::incident::diagnose;
use crate::incident::matrix::{ENOUGH_PASSES, Matrix, Seen, Spot};
use crate::words::evidence;

impl Watch {
    /// What the subject's failing cells hang on.
    pub(super) fn diagnosis(
        &self,
        world: &World<'_>,
        first: &CellKey,
        cells: &[IncidentCell],
    ) -> Diagnosis {
        if self.subject == Subject::OurNetwork {
            let mut egresses: Vec<EgressName> = cells
                .iter()
                .map(|member| member.cell.egress.clone())
                .collect();
            egresses.sort();
            egresses.dedup();
            let failing = cells.iter().map(|member| member.cell.clone()).collect();
            let since = self.sightings.as_ref().map(|seen| seen.since);
            let passing = world
                .board
                .controlled()
                .filter(|egress| !egresses.contains(egress))
                .flat_map(|egress| world.board.controls(egress))
                .filter(|cell| cell.last.is_some_and(|l| !l.failed && Some(l.at) >= since))
                .map(|cell| cell.key.clone())
                .collect();
            return diagnose::our_network(egresses, failing, passing);
        }
        let kind = majority(cells).unwrap_or(Kind::Unexpected);
        let matrix = self.matrix(world, kind).unwrap_or_else(|| Matrix {
            spots: Vec::new(),
            standing: BTreeMap::new(),
            kind,
        });
        diagnose::diagnose(&matrix, first)
    }

    /// The host's cells since the onset; `None` for our own network, or without trouble.
    pub(super) fn matrix(&self, world: &World<'_>, kind: Kind) -> Option<Matrix> {
        let host = self.host?;
        let sightings = self.sightings.as_ref()?;
        let board = world.board;
        let mut spots = Vec::with_capacity(board.hosts[host].cells.len());
        let mut standing = BTreeMap::new();
        for id in &board.hosts[host].cells {
            let cell = &board.cells[*id];
            let state = if world.down.contains(&cell.key.egress) {
                Seen::Unknown
            } else {
                self.seen(&cell.key, kind)
            };
            if matches!(state, Seen::Failing { .. }) && !standing.contains_key(&cell.key.egress) {
                let view = board.standing(&cell.key.egress, host, sightings.since);
                standing.insert(cell.key.egress.clone(), view);
            }
            spots.push(Spot {
                cell: cell.key.clone(),
                control: cell.control_client,
                state,
            });
        }
        let mut matrix = Matrix {
            spots,
            standing,
            kind,
        };
        matrix.doubt_where_controls_fail();
        matrix.doubt_few_passes();
        Some(matrix)
    }

    /// How a cell counts at present, as far as the diagnosis can tell it.
    pub(super) fn looks(&self, cell: &CellKey, kind: Kind) -> Seen {
        let incident = self.incident().map(|incident| incident.kind);
        let suspected = self.suspicion.as_ref().map(Suspicion::kind);
        match self.seen(cell, incident.or(suspected).unwrap_or(kind)) {
            Seen::Passing { passes } => Seen::Passing {
                passes: passes.min(ENOUGH_PASSES),
            },
            other => other,
        }
    }

    /// How a cell counts: members fail until they have recovered, others until they are confirmed.
    ///
    /// This is what keeps a cause from flapping: a single pass of a failing cell, and a single failure
    /// of a passing one, make it unknown, not the opposite.
    pub(super) fn seen(&self, cell: &CellKey, kind: Kind) -> Seen {
        let Some(seen) = self.sightings.as_ref().and_then(|seen| seen.get(cell)) else {
            return match self.case.as_ref().and_then(|case| case.member(cell)) {
                Some(member) if member.failing => Seen::Failing {
                    kind: member.kind,
                    mixed: false,
                },
                _ => Seen::Unknown,
            };
        };
        let passing = Seen::Passing {
            passes: seen.passes,
        };
        let failing = Seen::Failing {
            kind: seen.kind,
            mixed: seen.mixed,
        };
        let alike = Group::of(seen.kind) == Group::of(kind);
        match &self.case {
            Some(case) => match case.member(cell) {
                Some(member) if member.failing => failing,
                _ if seen.failing => {
                    let suspected = self.held_since.is_some() && (alike || seen.streak > 1);
                    if suspected { failing } else { Seen::Unknown }
                }
                _ if seen.failures == 0 || seen.streak > 1 => passing,
                _ => Seen::Unknown,
            },
            None if seen.failures == 0 => passing,
            None if seen.failing && (alike || seen.streak > 1) => failing,
            None if seen.mixed && alike => failing,
            None => Seen::Unknown,
        }
    }

    /// Keeps the clearest failing run, and the passing run most like it.
    pub(super) fn keep_specimen(&mut self, world: &World<'_>, judged: &Judged, failed: bool) {
        let verdict = &judged.verdict;
        let board = world.board;
        let make = || evidence::specimen(&board.plan, &board.secrets, &judged.observation, verdict);
        let cell = &judged.observation.cell;
        if failed {
            let clearer = self
                .failing
                .as_ref()
                .is_none_or(|kept| clarity(verdict) > clarity(&kept.verdict));
            if clearer && let Some(specimen) = make() {
                self.failing = Some(specimen);
                if let Some(case) = &mut self.case
                    && case.incident.kind == verdict.kind
                {
                    case.incident.failing.clone_from(&self.failing);
                }
            }
            if let Some(id) = &verdict.reference_id {
                let id = evidence::cut(&evidence::plain(&mask(id, &board.secrets)), 200);
                if self.references.len() < NOTES_MAX && !self.references.contains(&id) {
                    self.references.push(id);
                }
            }
            return;
        }
        let Some(failing) = &self.failing else {
            return;
        };
        let failed_too = self
            .sightings
            .as_ref()
            .and_then(|seen| seen.get(cell))
            .is_some_and(|seen| seen.failures > 0);
        let likeness = |other: &CellKey| shared(other, &failing.cell).count_ones();
        let closer = self
            .passing
            .as_ref()
            .is_none_or(|kept| likeness(cell) > likeness(&kept.cell));
        if closer
            && !failed_too
            && let Some(specimen) = make()
        {
            self.passing = Some(specimen);
            if let Some(case) = &mut self.case {
                case.incident.passing.clone_from(&self.passing);
            }
        }
    }
}
