//! What a single round says: every partner's cells once, without waiting for a confirmation.
//!
//! The same engine names the cause as in the daemon ([`crate::judge::look`]), in the same words; the daemon waits for
//! spaced repeats before it claims anything, a person who asked for a round is told that it is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::board::Board;
use crate::board::events::Judged;
use crate::domain::cell::{CellKey, EgressName, ProbeName};
use crate::domain::incident::{Incident, IncidentCell, Subject};
use crate::domain::notification::Briefing;
use crate::domain::plan::Plan;
use crate::domain::verdict::Kind;
use crate::incident::case::{Case, Opening, clarity};
use crate::incident::ours::{self, is_silence};
use crate::incident::partner::{self, Partner};
use crate::incident::vendor;
use crate::incident::world::Run;
use crate::judge::class::Class;
use crate::judge::ways::{Trace, Ways};
use crate::words::briefing::{self, View};
use crate::words::{evidence, terms};

/// What a round comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    AllPass,
    /// A partner refuses or fails.
    Problem,
    /// Everything that fails, fails on our side.
    OurSide,
    /// What ran passes; the rest could not run, so nobody knows.
    NotKnown,
}

/// Cells that could not run, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    pub cells: usize,
    /// Their probes, in the order of the file.
    pub probes: Vec<ProbeName>,
    /// "`ACME_TOKEN` is not set".
    pub why: String,
}

/// What of these cells can't run, by reason.
#[must_use]
pub fn idle(plan: &Plan, cells: &[CellKey]) -> Vec<Idle> {
    let mut all: Vec<Idle> = Vec::new();
    for cell in cells {
        let away = plan.site_of(&cell.egress);
        let away = away.map(|site| format!("only the agent at {site} can send from there"));
        let Some(why) = away.or_else(|| plan.missing(cell).map(ToOwned::to_owned)) else {
            continue;
        };
        let place = all.iter().position(|idle: &Idle| idle.why == why);
        let place = place.unwrap_or_else(|| {
            all.push(Idle {
                cells: 0,
                probes: Vec::new(),
                why,
            });
            all.len() - 1
        });
        all[place].cells += 1;
        if !all[place].probes.contains(&cell.probe) {
            all[place].probes.push(cell.probe.clone());
        }
    }
    all
}

/// The conclusion of a round: one briefing for each problem, our own side's first.
#[derive(Debug, Clone, PartialEq)]
pub struct Conclusion {
    pub outcome: Outcome,
    pub briefings: Vec<Briefing>,
    /// Controls that fail for reasons of their own.
    pub remarks: Vec<String>,
    /// What was asked for and could not run.
    pub idle: Vec<Idle>,
}

impl Conclusion {
    /// The same, where some cells could not run: what is not known is not well.
    #[must_use]
    pub fn without(mut self, idle: Vec<Idle>) -> Self {
        if self.outcome == Outcome::AllPass && !idle.is_empty() {
            self.outcome = Outcome::NotKnown;
        }
        self.idle = idle;
        self
    }
}

/// A round, as the rules see it.
struct Round<'a> {
    board: Board,
    ways: Ways,
    judged: &'a [Judged],
    since: Timestamp,
    now: Timestamp,
}

/// Draws the conclusion of one round; `now` is its end.
#[must_use]
pub fn conclude(plan: &Arc<Plan>, judged: &[Judged], now: Timestamp) -> Conclusion {
    let round = Round::new(plan, judged, now);
    let mut incidents: Vec<Incident> = round.our_side().into_iter().collect();
    let (vendors, explained) = round.vendors();
    incidents.extend(vendors);
    for (name, cells) in partner::parts(plan, &round.board.cells) {
        incidents.extend(round.partner(name, cells, &explained));
    }
    let view = View {
        min_confidence: 0.0,
        next_update_at: None,
    };
    let briefings: Vec<Briefing> = incidents
        .iter()
        .map(|incident| briefing::write(plan, incident, view))
        .collect();
    let remarks = round.remarks();
    let outcome = match briefings.as_slice() {
        [] if remarks.is_empty() => Outcome::AllPass,
        some if some.iter().all(|briefing| briefing.our_side) => Outcome::OurSide,
        _ => Outcome::Problem,
    };
    Conclusion {
        outcome,
        briefings,
        remarks,
        idle: Vec::new(),
    }
}

/// Egresses from which nothing came through in a round, as others than one party show.
#[must_use]
pub fn dark(plan: &Arc<Plan>, judged: &[Judged], now: Timestamp) -> BTreeSet<EgressName> {
    let round = Round::new(plan, judged, now);
    let dark = round
        .ways
        .egresses()
        .filter(|egress| round.ways.is_dark(egress));
    dark.cloned().collect()
}

impl<'a> Round<'a> {
    fn new(plan: &Arc<Plan>, judged: &'a [Judged], now: Timestamp) -> Self {
        let mut board = Board::new(plan.clone(), None);
        let mut ways = Ways::new(board.asked());
        // A round is one moment: what passed in it, passes while the rest fails.
        let failed_first = |judged: &&Judged| judged.verdict.passed();
        let mut in_order: Vec<&Judged> = judged.iter().collect();
        in_order.sort_by_key(failed_first);
        for judged in in_order {
            let Some(id) = board.id(&judged.observation.cell) else {
                continue;
            };
            // A cell that ran twice counts as it was last.
            let (at, kind) = (judged.observation.started_at, judged.kind());
            let _ = board.note(id, at, kind, now);
            let (party, class) = (board.cells[id].party, Class::of(kind));
            let at = if is_silence(kind) { at } else { now };
            ways.note(
                &judged.observation.cell.egress,
                &Trace {
                    at,
                    party,
                    cell: id,
                    class,
                    hidden: judged.verdict.is_own_limit(),
                },
            );
        }
        let started = judged.iter().map(|judged| judged.observation.started_at);
        Self {
            since: started.min().unwrap_or(now),
            board,
            ways,
            judged,
            now,
        }
    }

    /// Whether a cell fails on our own side: it could not be sent at all, or its egress is dark.
    fn is_ours(&self, id: usize) -> bool {
        let cell = &self.board.cells[id];
        cell.last.is_some_and(|last| {
            last.failed
                && (last.kind == Kind::LocalError
                    || is_silence(last.kind) && self.ways.is_dark(&cell.key.egress))
        })
    }

    /// Our own side, if something fails there.
    fn our_side(&self) -> Option<Incident> {
        let failing = (0..self.board.cells.len()).filter(|id| self.is_ours(*id));
        let cells: Vec<IncidentCell> = failing
            .filter_map(|id| {
                let cell = &self.board.cells[id];
                let last = cell.last?;
                Some(IncidentCell {
                    asked: None,
                    cell: cell.key.clone(),
                    kind: last.kind,
                    failing: true,
                    since: last.at,
                    last_at: last.at,
                })
            })
            .collect();
        if cells.is_empty() {
            return None;
        }
        let opening = Opening {
            number: 0,
            subject: Subject::OurNetwork,
            onset_at: self.since,
            diagnosis: ours::diagnosis(&self.board, &cells, self.since),
            failed_runs: cells.len() as u32,
            cells,
            last_good_at: None,
            rhythm_since: None,
        };
        let mut incident = Case::open(opening, self.now).incident;
        let kind = incident.kind;
        let failing = &incident.diagnosis.failing;
        let shows =
            |judged: &&Judged| judged.kind() == kind && failing.contains(&judged.observation.cell);
        incident.failing = self.judged.iter().find(shows).and_then(|judged| {
            let (plan, secrets) = (&self.board.plan, &self.board.secrets);
            let mut verdict = judged.verdict.clone();
            verdict.kind = kind;
            evidence::specimen(plan, secrets, &judged.observation, &verdict)
        });
        Some(incident)
    }

    /// Vendors that fail by themselves in front of several partners, and the cells that this explains.
    fn vendors(&self) -> (Vec<Incident>, BTreeSet<usize>) {
        let mut signs: BTreeMap<&str, Vec<(usize, &Judged)>> = BTreeMap::new();
        for judged in self.judged {
            let id = self.board.id(&judged.observation.cell);
            let (Some(id), Some(name)) = (id, judged.verdict.own_fault()) else {
                continue;
            };
            let cell = &self.board.cells[id];
            if cell.fails(judged.kind()) && !cell.control_probe && !self.is_ours(id) {
                signs.entry(name).or_default().push((id, judged));
            }
        }
        let (mut incidents, mut explained) = (Vec::new(), BTreeSet::new());
        for (name, shown) in signs {
            let member = |(_, judged): &(usize, &Judged)| IncidentCell {
                asked: None,
                cell: judged.observation.cell.clone(),
                kind: judged.kind(),
                failing: true,
                since: judged.observation.started_at,
                last_at: judged.observation.started_at,
            };
            let cells = shown.iter().map(member).collect();
            let Some(opening) = vendor::of_round(&self.board, name, cells) else {
                continue;
            };
            let mut incident = Case::open(opening, self.now).incident;
            let clearest = shown
                .iter()
                .max_by_key(|(_, judged)| clarity(&judged.verdict));
            incident.failing = clearest.and_then(|(_, judged)| {
                let (plan, secrets) = (&self.board.plan, &self.board.secrets);
                evidence::specimen(plan, secrets, &judged.observation, &judged.verdict)
            });
            explained.extend(shown.iter().map(|(id, _)| *id));
            incidents.push(incident);
        }
        (incidents, explained)
    }

    /// What a partner's cells say, without what our own side or a vendor is to blame for.
    fn partner(
        &self,
        name: String,
        cells: Vec<usize>,
        explained: &BTreeSet<usize>,
    ) -> Vec<Incident> {
        let mut runs: Vec<Run<'_>> = self
            .judged
            .iter()
            .filter_map(|judged| {
                let id = self.board.id(&judged.observation.cell)?;
                let cell = &self.board.cells[id];
                let theirs = cell.control_probe || cells.contains(&id);
                (theirs && !self.is_ours(id) && !explained.contains(&id)).then(|| Run {
                    cell,
                    judged,
                    at: judged.observation.started_at,
                    failed: cell.fails(judged.kind()),
                })
            })
            .collect();
        if !runs.iter().any(|run| run.failed && !run.cell.control_probe) {
            return Vec::new();
        }
        runs.sort_by_key(|run| run.at);
        Partner::new(name, cells).round(&self.board, &self.ways, &runs, self.now)
    }

    /// Controls that fail although something comes through, each in a sentence.
    fn remarks(&self) -> Vec<String> {
        let failing = |id: &usize| {
            let cell = &self.board.cells[*id];
            cell.control_probe && cell.last.is_some_and(|last| last.failed) && !self.is_ours(*id)
        };
        let ids = (0..self.board.cells.len()).filter(failing);
        ids.map(|id| {
            let cell = &self.board.cells[id];
            let kind = cell.last.map_or(Kind::Unexpected, |last| last.kind);
            format!(
                "The control {} fails for reasons of its own ({}), so it tells nothing of our network.",
                cell.key,
                terms::kind(kind)
            )
        })
        .collect()
    }
}
