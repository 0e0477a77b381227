//! What a single round says: every host's cells once, without waiting for a confirmation.
//!
//! The daemon waits for spaced repeats before it claims anything; a person who asked for a round wants
//! the conclusion of this round, and is told that it is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::board::events::Judged;
use crate::board::{Board, Standing};
use crate::domain::cell::EgressName;
use crate::domain::incident::{IncidentCell, Subject};
use crate::domain::notification::Briefing;
use crate::domain::plan::Plan;
use crate::domain::verdict::Kind;
use crate::incident::case::{self, Case, Opening};
use crate::incident::diagnose;
use crate::incident::matrix::{Matrix, Seen, Spot};
use crate::words::briefing::{self, View};
use crate::words::evidence;

/// What a round comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    AllPass,
    /// A partner refuses or fails.
    Problem,
    /// Everything that fails, fails on our side.
    OurSide,
}

/// The conclusion of a round: one briefing for each host with failing cells, our own network's first.
#[derive(Debug, Clone, PartialEq)]
pub struct Conclusion {
    pub outcome: Outcome,
    pub briefings: Vec<Briefing>,
}

/// Draws the conclusion of one round; `now` is its end.
#[must_use]
pub fn conclude(plan: &Arc<Plan>, round: &[Judged], now: Timestamp) -> Conclusion {
    let mut board = Board::new(plan.clone(), None);
    for judged in round {
        if let Some(id) = board.id(&judged.observation.cell) {
            // A cell that ran twice counts as it was last.
            let _ = board.note(id, judged.observation.started_at, judged.kind(), now);
        }
    }
    let since = round
        .iter()
        .map(|judged| judged.observation.started_at)
        .min()
        .unwrap_or(now);
    let down = down(&board);
    let mut briefings = Vec::new();
    briefings.extend(our_network(&board, &down, round, since, now));
    for host in 0..board.hosts.len() {
        briefings.extend(one_host(&board, host, &down, round, since, now));
    }
    let outcome = match briefings.as_slice() {
        [] => Outcome::AllPass,
        some if some.iter().all(|briefing| briefing.our_side) => Outcome::OurSide,
        _ => Outcome::Problem,
    };
    Conclusion { outcome, briefings }
}

/// Egresses from which controls fail and nothing passes.
fn down(board: &Board) -> BTreeSet<EgressName> {
    board
        .controlled()
        .filter(|egress| {
            let mut controls = board.controls(egress).filter_map(|cell| cell.last);
            let failing = controls.next().is_some_and(|first| first.failed)
                && controls.all(|last| last.failed);
            let passing = |cell: &crate::board::Cell| {
                cell.key.egress == **egress && cell.last.is_some_and(|last| !last.failed)
            };
            failing && !board.cells.iter().any(passing)
        })
        .cloned()
        .collect()
}

fn our_network(
    board: &Board,
    down: &BTreeSet<EgressName>,
    round: &[Judged],
    since: Timestamp,
    now: Timestamp,
) -> Option<Briefing> {
    let failing: Vec<usize> = (0..board.cells.len())
        .filter(|id| ours(&board.cells[*id], down))
        .collect();
    if failing.is_empty() {
        return None;
    }
    let egresses: BTreeSet<EgressName> = failing
        .iter()
        .map(|id| board.cells[*id].key.egress.clone())
        .collect();
    let keys = |ids: &[usize]| {
        ids.iter()
            .map(|id| board.cells[*id].key.clone())
            .collect::<Vec<_>>()
    };
    let passing = board
        .cells
        .iter()
        .filter(|cell| cell.last.is_some_and(|last| !last.failed));
    let passing = passing.map(|cell| cell.key.clone()).collect();
    let diagnosis = diagnose::our_network(egresses.into_iter().collect(), keys(&failing), passing);
    Some(brief(
        board,
        Subject::OurNetwork,
        diagnosis,
        &failing,
        round,
        since,
        now,
    ))
}

/// Whether a cell fails on our own side: it could not be sent at all, or its egress is down.
fn ours(cell: &crate::board::Cell, down: &BTreeSet<EgressName>) -> bool {
    cell.last.is_some_and(|last| {
        last.failed && (last.kind == Kind::LocalError || down.contains(&cell.key.egress))
    })
}

/// The briefing about one host, if a cell of it fails that our own network does not explain.
fn one_host(
    board: &Board,
    host: usize,
    down: &BTreeSet<EgressName>,
    round: &[Judged],
    since: Timestamp,
    now: Timestamp,
) -> Option<Briefing> {
    let mut spots = Vec::new();
    let mut standing: BTreeMap<EgressName, Standing> = BTreeMap::new();
    let mut failing = Vec::new();
    for id in &board.hosts[host].cells {
        let cell = &board.cells[*id];
        let state = match cell.last {
            Some(last) if last.failed && !ours(cell, down) => {
                failing.push(*id);
                let view = || board.standing(&cell.key.egress, host, since);
                standing.entry(cell.key.egress.clone()).or_insert_with(view);
                Seen::Failing {
                    kind: last.kind,
                    mixed: false,
                }
            }
            Some(last) if !last.failed => Seen::Passing { passes: 1 },
            _ => Seen::Unknown,
        };
        spots.push(Spot {
            cell: cell.key.clone(),
            control: cell.control_client,
            state,
        });
    }
    let first = board.cells[*failing.first()?].key.clone();
    let kind = case::majority(&members(board, &failing)).unwrap_or(Kind::Unexpected);
    let diagnosis = diagnose::diagnose(
        &Matrix {
            spots,
            standing,
            kind,
        },
        &first,
    );
    let subject = Subject::Host(board.hosts[host].name.clone());
    Some(brief(
        board, subject, diagnosis, &failing, round, since, now,
    ))
}

fn members(board: &Board, failing: &[usize]) -> Vec<IncidentCell> {
    let member = |id: &usize| {
        let cell = &board.cells[*id];
        let last = cell.last?;
        Some(IncidentCell {
            cell: cell.key.clone(),
            kind: last.kind,
            failing: true,
            since: last.at,
            last_at: last.at,
        })
    };
    failing.iter().filter_map(member).collect()
}

/// Puts it in the words of an incident that was opened by this round.
fn brief(
    board: &Board,
    subject: Subject,
    diagnosis: crate::domain::diagnosis::Diagnosis,
    failing: &[usize],
    round: &[Judged],
    since: Timestamp,
    now: Timestamp,
) -> Briefing {
    let cells = members(board, failing);
    let failed_runs = cells.len() as u32;
    let opening = Opening {
        number: 0,
        subject,
        onset_at: since,
        cells,
        diagnosis,
        failed_runs,
        last_good_at: None,
    };
    let mut incident = Case::open(opening, now).incident;
    let specimen = |judged: &Judged| {
        evidence::specimen(
            &board.plan,
            &board.secrets,
            &judged.observation,
            &judged.verdict,
        )
    };
    let of = |wanted: &[crate::domain::cell::CellKey]| {
        round
            .iter()
            .find(|judged| wanted.contains(&judged.observation.cell))
            .and_then(specimen)
    };
    incident.failing = of(&incident.diagnosis.failing);
    incident.passing = of(&incident.diagnosis.passing);
    let ids = round.iter().filter(|judged| {
        incident
            .diagnosis
            .failing
            .contains(&judged.observation.cell)
    });
    let ids = ids.filter_map(|judged| judged.verdict.reference_id.clone());
    for id in ids.take(10) {
        if !incident.reference_ids.contains(&id) {
            incident.reference_ids.push(id);
        }
    }
    briefing::write(
        &board.plan,
        &incident,
        View {
            min_confidence: 0.0,
            removed: false,
            next_update_at: None,
        },
    )
}
