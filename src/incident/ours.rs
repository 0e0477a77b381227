//! Our own side under watch: one incident for all of it, told when [`crate::judge::ways`] is sure.
//!
//! Its members are the cells that show it: what our own side answered in a partner's place, and the controls of
//! an egress that is dark. What fails there meanwhile is no partner's fault, and is asked again before
//! anything is told of it: its last run says nothing. A member that fails while others come through has reasons of its
//! own; for our side that is a pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::case::{Case, Opening, Turn, clarity, entry};
use super::extra::{Extra, SOON};
use super::notify::{self, Statement};
use super::world::{self, Run, World};
use crate::board::{Board, Cell};
use crate::domain::cell::{CellKey, ClientName, EgressName};
use crate::domain::diagnosis::{Cause, Diagnosis};
use crate::domain::incident::{
    Care, Happening, Incident, IncidentCell, Specimen, State, Subject, TimelineEntry,
};
use crate::domain::renames::Renames;
use crate::domain::verdict::{Kind, Verdict};
use crate::judge::class::{Class, Mechanism};
use crate::judge::ways::Ways;
use crate::words::evidence;

/// How sure it is: with a control or our own answer, and by two partners that fail alike.
const SURE: f64 = 0.99;
const WITHOUT_CONTROL: f64 = 0.95;
/// Facts kept for the timeline, and failing runs kept as evidence, while nothing is open.
const NOTES_MAX: usize = 40;
const SPECIMENS_MAX: usize = 12;
/// A failing run that was kept so long makes room for a new one.
const FRESH: SignedDuration = SignedDuration::from_secs(20);
/// Between two requests to what failed.
const APART: Duration = Duration::from_secs(1);
/// Cells that are asked again at once; the others wait for their turn.
const AGAIN_MAX: usize = 60;
/// Between two requests to a control whether anything answers.
const CURIOUS: SignedDuration = SignedDuration::from_secs(60);
/// So long what is certain of one egress waits for the control of another that may be down too.
const OTHERS_S: SignedDuration = SignedDuration::from_secs(15);

/// Our own side, and all that is remembered of its present trouble.
#[derive(Debug, Default)]
pub struct Ours {
    case: Option<Case>,
    /// How the incident looked when it was told last.
    statement: Option<Statement>,
    /// Resolved so lately that a return would be the same incident.
    recent: Option<Incident>,
    notes: Vec<TimelineEntry>,
    /// The clearest failing run of a cell.
    failing: BTreeMap<CellKey, Specimen>,
    extra: Extra,
    /// When a control was asked last, by egress.
    curious: BTreeMap<EgressName, Timestamp>,
    /// An egress that is down for certain while others are asked whether they are too, and since when.
    held: Option<(EgressName, Timestamp)>,
    /// Members changed since the last diagnosis.
    dirty: bool,
}

/// Whether a verdict may come from a way that is dark.
#[must_use]
pub fn is_silence(kind: Kind) -> bool {
    matches!(
        Class::of(kind).mechanism(),
        Mechanism::Network | Mechanism::Tls
    )
}

/// What is known when these cells fail by our own side.
#[must_use]
pub fn diagnosis(board: &Board, cells: &[IncidentCell], since: Timestamp) -> Diagnosis {
    let failing: Vec<CellKey> = cells.iter().map(|member| member.cell.clone()).collect();
    let egresses: BTreeSet<&EgressName> = failing.iter().map(|cell| &cell.egress).collect();
    let passing = board
        .controlled()
        .filter(|egress| !egresses.contains(egress))
        .flat_map(|egress| board.controls(egress))
        .filter(|cell| cell.last.is_some_and(|l| !l.failed && l.at >= since))
        .map(|cell| cell.key.clone())
        .collect();
    let alone = unable_alone(board, cells, since);
    let proved = cells.iter().any(|member| {
        member.kind == Kind::LocalError
            || board.get(&member.cell).is_some_and(|cell| cell.independent)
    });
    let cause = match &alone {
        Some((clients, _)) => Cause::OurClients {
            clients: clients.clone(),
        },
        None => Cause::OurNetwork {
            egresses: egresses.into_iter().cloned().collect(),
        },
    };
    let passing = alone.map_or(passing, |(_, others)| others);
    Diagnosis {
        cause,
        confidence: if proved { SURE } else { WITHOUT_CONTROL },
        fails: None,
        failing,
        passing,
        ruled_out: Vec::new(),
        would_tell: None,
        split: None,
    }
}

/// The clients whose requests alone can't be made, none of them anywhere, and cells of others that have passed since from
/// each of the same egresses.
fn unable_alone(
    board: &Board,
    cells: &[IncidentCell],
    since: Timestamp,
) -> Option<(Vec<ClientName>, Vec<CellKey>)> {
    if cells.iter().any(|member| member.kind != Kind::LocalError) {
        return None;
    }
    let clients: BTreeSet<&ClientName> = cells.iter().map(|it| &it.cell.client).collect();
    let egresses: BTreeSet<&EgressName> = cells.iter().map(|it| &it.cell.egress).collect();
    let passed = || {
        let passes = |cell: &&Cell| cell.last.is_some_and(|it| !it.failed && it.at >= since);
        board.cells.iter().filter(passes).map(|cell| &cell.key)
    };
    if passed().any(|cell| clients.contains(&cell.client)) {
        return None;
    }
    let mut others = Vec::new();
    for egress in egresses {
        others.push(passed().find(|cell| cell.egress == *egress)?.clone());
    }
    Some((clients.into_iter().cloned().collect(), others))
}

/// The cells that show that our own side is at fault at an egress, since when it is.
fn members(board: &Board, ways: &Ways, egress: &EgressName, since: Timestamp) -> Vec<IncidentCell> {
    let silent = |cell: &&Cell| {
        let last = cell
            .last
            .filter(|last| last.failed && is_silence(last.kind));
        last.is_some_and(|last| ways.explains(egress, cell.party, last.at))
    };
    let mut cells: Vec<&Cell> = ways.stopped(egress).map(|id| &board.cells[id]).collect();
    if ways.is_dark(egress) {
        let controls: Vec<&Cell> = board.controls(egress).filter(silent).collect();
        if controls.is_empty() && cells.is_empty() {
            let here = board.cells.iter().filter(|cell| cell.key.egress == *egress);
            cells.extend(here.filter(silent));
        }
        cells.extend(controls);
    }
    let mut members: Vec<IncidentCell> = cells
        .into_iter()
        .filter_map(|cell| {
            let last = cell.last?;
            Some(IncidentCell {
                asked: None,
                cell: cell.key.clone(),
                kind: last.kind,
                failing: true,
                since: cell.last_good_at.map_or(since, |good| since.max(good)),
                last_at: last.at,
            })
        })
        .collect();
    members.sort_by(|one, other| one.cell.cmp(&other.cell));
    members.dedup_by(|one, other| one.cell == other.cell);
    members
}

impl Ours {
    /// Takes up an incident of a former life; a resolved one is kept for its return.
    ///
    /// Returns what can't be taken up, because there is one already.
    pub fn resume(&mut self, incident: Incident) -> Option<Incident> {
        if incident.state != State::Open {
            let known = self.recent.as_ref();
            if known.is_none_or(|known| known.resolved_at < incident.resolved_at) {
                self.recent = Some(incident);
            }
            return None;
        }
        if self.case.is_some() {
            return Some(incident);
        }
        let saved_at = incident.last_told_at.unwrap_or(incident.opened_at);
        self.statement = Some(Statement::new(&incident));
        self.case = Some(Case::resume(incident, saved_at));
        None
    }

    #[must_use]
    pub fn incident(&self) -> Option<&Incident> {
        self.case.as_ref().map(|case| &case.incident)
    }

    /// Whether it waits for the answer of an extra request to this cell.
    #[must_use]
    pub fn waits_for(&self, cell: &CellKey) -> bool {
        self.extra.waits_for(cell)
    }

    /// Whether runs that pass concern it too.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.case.is_some() || !self.extra.is_empty()
    }

    /// Egresses that are down, as far as is known: what fails from there says nothing of a partner.
    #[must_use]
    pub fn down(&self, ways: &Ways) -> BTreeSet<EgressName> {
        let members = self.case.iter().flat_map(Case::failing);
        members
            .map(|member| &member.cell.egress)
            .filter(|egress| !ways.is_lit(egress))
            .cloned()
            .collect()
    }

    fn remember(&mut self, note: TimelineEntry) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        }
    }

    /// Applies a run, after the ways have seen it.
    pub fn observe(&mut self, world: &mut World<'_>, run: &Run<'_>) {
        let (key, kind, at) = (&run.cell.key, run.judged.kind(), run.at);
        let failed = run.failed
            && (kind == Kind::LocalError
                || is_silence(kind) && world.ways.explains(&key.egress, run.cell.party, at));
        if let Some(note) = self.extra.answered(self.case.as_mut(), run) {
            self.remember(note);
        }
        if failed {
            self.keep(world, run);
        }
        if let Some(case) = &mut self.case {
            let again = match case.observe(key, kind, failed, at) {
                Turn::Comes => true,
                Turn::Fails | Turn::Left => {
                    self.dirty = true;
                    false
                }
                Turn::None => !failed && world.ways.lit_at(&key.egress) == Some(at),
            };
            if again {
                self.ask_again(world, run);
            }
        }
        if failed {
            self.look(world, &key.egress);
            self.ask_control(world, &key.egress);
        }
        self.settle(world);
    }

    /// Opens what is certain; while an incident is open, what fails in the same way belongs to it.
    fn look(&mut self, world: &mut World<'_>, egress: &EgressName) {
        let (board, ways) = (world.board, world.ways);
        let certain = |egress: &EgressName| {
            let since = [ways.dark_since(egress), ways.stopped_since(egress)];
            since.into_iter().flatten().min()
        };
        let Some(case) = &mut self.case else {
            let Some(since) = certain(egress) else {
                return;
            };
            if self.waits_for_others(world, egress, since) {
                return;
            }
            // What fails so elsewhere at the same time is the same fault.
            let also = ways
                .egresses()
                .filter(|other| *other != egress && ways.is_failing(other));
            let cells = std::iter::once(egress)
                .chain(also)
                .flat_map(|egress| members(board, ways, egress, since))
                .collect();
            return self.open(world, since, cells);
        };
        let held = case.failing().any(|member| member.cell.egress == *egress);
        if !held && !ways.is_dark(egress) && certain(egress).is_none() {
            return;
        }
        let since = case.incident.onset_at;
        for member in members(board, ways, egress, since) {
            if case.holds(&member.cell) {
                continue;
            }
            let text = format!("{} fails too: {}", member.cell, member.kind.label());
            let note = entry(member.last_at, Happening::Cells, text);
            if case.join(member) {
                self.dirty = true;
                if self.notes.len() < NOTES_MAX {
                    self.notes.push(note);
                }
            }
        }
    }

    /// Whether nobody has heard of other egresses since: a control of each is asked first whether it is down too.
    fn waits_for_others(
        &mut self,
        world: &mut World<'_>,
        egress: &EgressName,
        onset_at: Timestamp,
    ) -> bool {
        let held = (egress.clone(), world.now);
        let since = self.held.get_or_insert(held).1;
        if world.now.duration_since(since) >= OTHERS_S {
            return false;
        }
        let (board, ways) = (world.board, world.ways);
        let unseen = |other: &&EgressName| *other != egress && ways.is_unseen(other, onset_at);
        let mut waits = false;
        for control in ways
            .egresses()
            .filter(unseen)
            .filter_map(|e| board.controls(e).next())
        {
            waits |= self.book(world, control, SOON, "is this egress down too?")
                || self.waits_for(&control.key);
        }
        waits
    }

    fn open(&mut self, world: &mut World<'_>, onset_at: Timestamp, cells: Vec<IncidentCell>) {
        if cells.is_empty() {
            return;
        }
        let recent = self.recent.take();
        let back = recent.filter(|recent| world.is_back(recent, onset_at, &cells));
        let opening = Opening {
            number: 0,
            subject: Subject::OurNetwork,
            onset_at,
            last_good_at: world.last_good_before(onset_at, &cells),
            rhythm_since: None,
            diagnosis: diagnosis(world.board, &cells, onset_at),
            failed_runs: cells.len() as u32,
            cells,
        };
        let mut case = world.begin(back, opening);
        self.choose_specimen(&mut case);
        world.announce(&mut case, onset_at, std::mem::take(&mut self.notes));
        self.statement = Some(Statement::new(&case.incident));
        (self.case, self.dirty, self.held) = (Some(case), false, None);
        self.extra.begin();
    }

    /// Keeps the clearest failing run of a cell.
    fn keep(&mut self, world: &World<'_>, run: &Run<'_>) {
        let key = &run.cell.key;
        // A page that our own side put in the way is called by whose it is, whatever it looks like.
        let mut verdict = run.judged.verdict.clone();
        verdict.kind = run.judged.kind();
        let known = self.failing.get(key);
        let rank = |verdict: &Verdict| (verdict.kind == Kind::LocalError, clarity(verdict));
        // Of what says as much, the newer: a proxy that starts again refuses connections first.
        let newer = |known: &Specimen| run.at.duration_since(known.at) >= FRESH;
        let clearer = known.is_none_or(|known| {
            let (new, old) = (rank(&verdict), rank(&known.verdict));
            new > old || (new == old && newer(known))
        });
        if clearer && (known.is_some() || self.failing.len() < SPECIMENS_MAX) {
            let board = world.board;
            let observation = &run.judged.observation;
            let specimen = evidence::specimen(&board.plan, &board.secrets, observation, &verdict);
            self.failing
                .extend(specimen.map(|specimen| (key.clone(), specimen)));
        }
    }

    fn choose_specimen(&self, case: &mut Case) {
        let kept = case.incident.failing.as_ref();
        let kind = case.incident.kind;
        if kept.is_some_and(|kept| kept.verdict.kind == kind && case.holds(&kept.cell)) {
            return;
        }
        let of_members = || case.failing().filter_map(|m| self.failing.get(&m.cell));
        let best = of_members().max_by_key(|s| (s.verdict.kind == kind, clarity(&s.verdict), s.at));
        if let Some(best) = best.cloned() {
            case.incident.failing = Some(best);
        }
    }

    /// Nothing came, but time went by.
    pub fn tick(&mut self, world: &mut World<'_>) {
        self.extra.tick(world.now);
        let due = |held: &&(_, Timestamp)| world.now.duration_since(held.1) >= OTHERS_S;
        if let Some((egress, _)) = self.held.as_ref().filter(due).cloned() {
            self.look(world, &egress);
            self.held = None;
        }
        self.settle(world);
    }

    /// When a tick would do something.
    #[must_use]
    pub fn next_wake(&self, board: &Board) -> Option<Timestamp> {
        let incident = self.incident();
        let told = incident.and_then(|i| notify::next_at(&board.plan, &board.quiet, i));
        let news = incident.and_then(|i| self.statement.as_ref()?.due_at(i));
        let lost = self.extra.next_wake();
        let held = self.held.as_ref().map(|(_, since)| *since + OTHERS_S);
        told.into_iter().chain(news).chain(lost).chain(held).min()
    }

    /// Everything that follows from the present state.
    fn settle(&mut self, world: &mut World<'_>) {
        let Some(mut case) = self.case.take() else {
            return;
        };
        if std::mem::take(&mut self.dirty) {
            let cells: Vec<IncidentCell> = case.failing().cloned().collect();
            let found = diagnosis(world.board, &cells, case.incident.onset_at);
            case.stale |= case.incident.diagnosis != found;
            case.incident.diagnosis = found;
            self.choose_specimen(&mut case);
        }
        let notes = std::mem::take(&mut self.notes);
        let statement = self
            .statement
            .get_or_insert_with(|| Statement::new(&case.incident));
        world::retell(world, &mut case, statement, None, notes);
        if case.over(world.now) {
            let text = format!("all of its {} cells pass again", case.incident.cells.len());
            self.recent = Some(world::close(world, case, Vec::new(), &text));
            self.failing.clear();
            return;
        }
        world::save_counters(world, &mut case);
        self.extra.ask_recovering(world, &case);
        self.case = Some(case);
    }

    /// Somebody looks after the incident with this number, which may be another's, or no longer.
    pub fn care(&mut self, world: &mut World<'_>, number: u64, care: &Care) {
        if let Some(case) = self.case.as_mut().filter(|c| c.incident.number == number) {
            world::care(world, case, care);
        }
    }

    /// Calls what it holds as it is called now.
    pub fn rename(&mut self, renames: &Renames) {
        if let Some(mut case) = self.case.take() {
            renames.apply(&mut case.incident);
            self.case = Some(Case::resume(case.incident, case.saved_at));
        }
        if let Some(recent) = &mut self.recent {
            renames.apply(recent);
        }
    }

    /// Lets go of what is no longer configured; closes an incident that has no failing cell left.
    pub fn fit(&mut self, world: &mut World<'_>) {
        let board = world.board;
        let keep = |cell: &CellKey| board.id(cell).is_some();
        self.extra.retain(keep);
        self.failing.retain(|cell, _| keep(cell));
        if let Some(mut case) = self.case.take() {
            let fitted = case.fit(|cell| board.id(cell).and_then(|_| board.plan.mark(cell)));
            if case.failing().next().is_none() {
                return world::remove(world, case, std::mem::take(&mut self.notes));
            }
            self.case = Some(case);
            if let Some(text) = fitted.said() {
                self.dirty = true;
                self.remember(entry(world.now, Happening::Cells, text));
            }
        }
        self.settle(world);
    }

    fn book(&mut self, world: &mut World<'_>, cell: &Cell, wait: Duration, why: &str) -> bool {
        let number = self.incident().map(|incident| incident.number);
        self.extra.book(world, number, cell, wait, why)
    }

    /// Something comes through again: what failed on this way may pass by now.
    fn ask_again(&mut self, world: &mut World<'_>, run: &Run<'_>) {
        let board = world.board;
        let egress = &run.cell.key.egress;
        let failed = |cell: &&Cell| {
            cell.key.egress == *egress
                && cell
                    .last
                    .is_some_and(|last| last.failed && last.at < run.at && is_silence(last.kind))
        };
        let mut wait = SOON;
        for cell in board.cells.iter().filter(failed).take(AGAIN_MAX) {
            if self.book(world, cell, wait, "our own side was in its way") {
                wait += APART;
            }
        }
    }

    /// Asks a control that could tell our own side from theirs.
    fn ask_control(&mut self, world: &mut World<'_>, egress: &EgressName) {
        let (board, now) = (world.board, world.now);
        let asked = self.curious.get(egress);
        if asked.is_some_and(|at| now.duration_since(*at) < CURIOUS) {
            return;
        }
        let tells = |cell: &&Cell| world.ways.wants_control(egress, cell.party);
        let Some(control) = board.controls(egress).find(tells) else {
            return;
        };
        self.curious.insert(egress.clone(), now);
        self.book(
            world,
            control,
            APART,
            "does anything answer from this egress?",
        );
    }
}
