//! One subject under watch: a host, or our own network. From the first odd run to the incident's end.
//!
//! A failing run that nothing explains opens a suspicion; while it is tested, the cells that tell most
//! are asked early; once confirmed, everything that fails becomes one incident, which is explained
//! anew whenever the picture changes, and ends with the care it began with. A host's incident does not
//! open while the controls of its egress fail: that is our network's (see `try_open`).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use super::board::{Board, Cell, Standing};
use super::briefing;
use super::confirm::{Background, Group, Progress, Suspicion};
use super::diagnose;
use super::events::{Effect, Judged};
use super::evidence;
use super::extra::{Extra, Use};
use super::incidents::{self, Case, Opening, Turn, clarity, entry, later};
use super::matrix::{Matrix, Seen, Sightings, Spot, shared};
use super::notify::{self, Face, Occasion};
use super::witnesses::{self, Question};
use crate::domain::cell::{CellKey, CredentialName, EgressName};
use crate::domain::diagnosis::Diagnosis;
use crate::domain::incident::{
    Change, Happening, Incident, IncidentCell, Specimen, State, Subject, TimelineEntry,
};
use crate::domain::notification::Notification;
use crate::domain::observation::Purpose;
use crate::domain::secret::mask;
use crate::domain::verdict::Kind;

/// How long a confirmed fault waits for the controls of its egress to answer.
const HOLD_UNSEEN: Duration = Duration::from_secs(60);
/// How long it waits for failing controls to be confirmed or to pass.
const HOLD_DOWN: Duration = Duration::from_secs(300);
/// How long a host that asks us to slow down gets no extra request, at least.
const BACK_OFF: Duration = Duration::from_secs(600);
/// Counters of an open incident are stored this often when nothing else changes.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// Facts kept for the timeline of an incident that is not open yet.
const NOTES_MAX: usize = 40;

/// What a step may use of the rest of the world.
pub struct World<'a> {
    pub board: &'a Board,
    /// Egresses whose own network is at fault; what fails from there says nothing of a host.
    pub down: &'a BTreeSet<EgressName>,
    pub background: Background,
    pub now: Timestamp,
    pub next_number: &'a mut u64,
    pub effects: &'a mut Vec<Effect>,
}

/// A subject, and all that is remembered of its present trouble.
#[derive(Debug)]
pub struct Watch {
    pub subject: Subject,
    /// Place of the host on the board; `None` for our own network.
    host: Option<usize>,
    case: Option<Case>,
    /// Resolved so lately that a return would be the same incident.
    recent: Option<Incident>,
    suspicion: Option<Suspicion>,
    /// Since when the suspicion is confirmed but held back.
    held_since: Option<Timestamp>,
    /// When to look again whether it must still be held back.
    look_at: Option<Timestamp>,
    /// Runs since the onset; only while there is trouble.
    sightings: Option<Sightings>,
    extra: Extra,
    /// The picture changed since the last diagnosis.
    dirty: bool,
    /// There may be something worth asking.
    curious: bool,
    /// No extra requests before; the host asked us to slow down.
    slow_until: Option<Timestamp>,
    /// Credentials that are being refused.
    refused: HashSet<CredentialName>,
    failing: Option<Specimen>,
    passing: Option<Specimen>,
    references: Vec<String>,
    notes: Vec<TimelineEntry>,
}

/// Failing cells that turn out to be our own network's.
#[derive(Debug)]
pub struct OurSide {
    pub cells: Vec<IncidentCell>,
    pub onset_at: Timestamp,
    pub failed_runs: u32,
    pub failing: Option<Specimen>,
    pub notes: Vec<TimelineEntry>,
}

impl Watch {
    #[must_use]
    pub fn new(subject: Subject, host: Option<usize>) -> Self {
        Self {
            subject,
            host,
            case: None,
            recent: None,
            suspicion: None,
            held_since: None,
            look_at: None,
            sightings: None,
            extra: Extra::default(),
            dirty: false,
            curious: false,
            slow_until: None,
            refused: HashSet::new(),
            failing: None,
            passing: None,
            references: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Takes up an incident of a former life; a resolved one is kept for its return.
    pub fn resume(&mut self, incident: Incident) {
        if incident.state == State::Resolved {
            let newer = self
                .recent
                .as_ref()
                .is_none_or(|known| known.resolved_at < incident.resolved_at);
            if newer {
                self.recent = Some(incident);
            }
            return;
        }
        let mut sightings = Sightings::new(incident.onset_at);
        for member in incident.cells.iter().filter(|member| member.failing) {
            let at = member.last_at.max(incident.onset_at);
            sightings.note(&member.cell, member.kind, true, at);
        }
        for cell in &incident.diagnosis.passing {
            sightings.note(cell, Kind::Pass, false, incident.opened_at);
        }
        self.extra.resume(incident.extra_runs);
        self.sightings = Some(sightings);
        self.failing.clone_from(&incident.failing);
        self.passing.clone_from(&incident.passing);
        let saved_at = incident.last_told_at.unwrap_or(incident.opened_at);
        self.case = Some(Case::resume(incident, saved_at));
    }

    #[must_use]
    pub fn incident(&self) -> Option<&Incident> {
        self.case.as_ref().map(|case| &case.incident)
    }

    /// Whether there is any trouble to remember.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.case.is_some() || self.suspicion.is_some()
    }

    /// Whether an answer came that this watch has not drawn its conclusions from.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.curious
    }

    /// Whether a confirmed suspicion waits for the controls.
    #[must_use]
    pub fn held(&self) -> bool {
        self.held_since.is_some()
    }

    /// Whether runs of this cell are part of the trouble.
    #[must_use]
    pub fn knows(&self, cell: &CellKey) -> bool {
        self.case
            .as_ref()
            .is_some_and(|case| case.member(cell).is_some())
            || self
                .sightings
                .as_ref()
                .is_some_and(|seen| seen.get(cell).is_some())
    }

    /// Failing members of the open incident.
    pub fn failing_members(&self) -> impl Iterator<Item = &IncidentCell> {
        self.case.iter().flat_map(Case::failing)
    }

    /// An extra request may have been answered; the answer itself may belong to another watch.
    pub fn answered(&mut self, judged: &Judged) {
        let observation = &judged.observation;
        if !self
            .extra
            .answered(&observation.cell, observation.started_at)
        {
            return;
        }
        self.curious = true;
        if matches!(observation.purpose, Purpose::Confirm | Purpose::Counter) {
            self.remember(entry(
                observation.started_at,
                Happening::ExtraRun,
                format!(
                    "asked ahead of the schedule: {}: {}",
                    observation.cell,
                    judged.verdict.kind.label()
                ),
            ));
        }
    }

    fn remember(&mut self, note: TimelineEntry) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        }
    }

    /// Applies a run of one of the subject's cells; `failed` as the subject sees it.
    ///
    /// Returns the cells that turned out to be our own network's, if any.
    pub fn observe(
        &mut self,
        world: &mut World<'_>,
        cell: &Cell,
        judged: &Judged,
        failed: bool,
    ) -> Option<OurSide> {
        if !failed && !self.alive() {
            return None;
        }
        let kind = judged.verdict.kind;
        let at = judged.observation.started_at;
        let key = &cell.key;
        let before = self.incident().map(Face::of);
        if failed && kind == Kind::RateLimited {
            let wait = judged.verdict.retry_after.unwrap_or_default().max(BACK_OFF);
            self.slow_until = Some(later(world.now, wait));
        }
        if failed && kind == Kind::OriginDenied {
            self.refused.insert(key.credential.clone());
        }
        let passed_before = self
            .sightings
            .as_ref()
            .and_then(|seen| seen.get(key))
            .is_some_and(|seen| seen.passes > 0);
        let sightings = self.sightings.get_or_insert_with(|| Sightings::new(at));
        if sightings.note(key, kind, failed, at) {
            (self.dirty, self.curious) = (true, true);
        }
        self.keep_specimen(world, judged, failed);
        let mut member = false;
        if let Some(case) = &mut self.case {
            member = case.holds(key);
            match case.observe(key, kind, failed, at) {
                Turn::Fails | Turn::Comes => self.dirty = true,
                Turn::Left => {
                    self.dirty = true;
                    let text = format!("{key} passes again while others fail");
                    self.remember(entry(at, Happening::Cells, text));
                }
                Turn::None => {}
            }
        }
        match &mut self.suspicion {
            Some(suspicion) if member => {
                if suspicion.trigger() == key {
                    self.dismiss();
                }
            }
            Some(suspicion) => match suspicion.observe(key, kind, failed, at) {
                Progress::Undecided => {}
                Progress::Confirmed => {
                    self.held_since.get_or_insert(world.now);
                }
                Progress::Dismissed => self.dismiss(),
            },
            None if failed && !member => {
                let explained = self
                    .case
                    .as_ref()
                    .is_some_and(|case| case.explains(key, kind, passed_before));
                if explained {
                    self.join(key, kind, at);
                } else {
                    let suspicion = Suspicion::new(key.clone(), kind, at, world.background);
                    self.suspicion = Some(suspicion);
                    self.curious = true;
                }
            }
            None => {}
        }
        self.settle(world, before)
    }

    /// Nothing came, but time went by.
    pub fn tick(&mut self, world: &mut World<'_>) -> Option<OurSide> {
        if self.extra.give_up(world.now) {
            self.curious = true;
        }
        let before = self.incident().map(Face::of);
        self.settle(world, before)
    }

    /// When a tick would do something.
    #[must_use]
    pub fn next_wake(&self, board: &Board) -> Option<Timestamp> {
        let told = self
            .incident()
            .and_then(|i| notify::next_at(&board.plan, i));
        let lost = self.extra.next_lost_at();
        [told, self.look_at, lost].into_iter().flatten().min()
    }

    /// The failing cells of egresses that are down are no longer this host's trouble.
    pub fn yield_to(&mut self, down: &BTreeSet<EgressName>) {
        let trigger = self.suspicion.as_ref().map(Suspicion::trigger);
        if trigger.is_some_and(|trigger| down.contains(&trigger.egress)) {
            self.dismiss();
        }
        self.dirty = true;
    }

    /// Lets go of what is no longer configured; closes an incident that has no failing cell left.
    pub fn replan(&mut self, world: &mut World<'_>, host: Option<usize>) -> Option<OurSide> {
        self.host = host;
        let board = world.board;
        let keep = |cell: &CellKey| board.id(cell).is_some();
        if let Some(sightings) = &mut self.sightings {
            sightings.retain(keep);
        }
        if self.suspicion.as_ref().is_some_and(|s| !keep(s.trigger())) {
            self.dismiss();
        }
        let before = self.incident().map(Face::of);
        if let Some(case) = &mut self.case {
            let gone = case.retain(keep);
            if case.failing().next().is_none() {
                self.close(world, Occasion::Removed);
                return None;
            }
            if gone > 0 {
                let text = format!("{gone} of its cells left the configuration");
                self.remember(entry(world.now, Happening::Cells, text));
            }
        }
        (self.dirty, self.curious) = (true, true);
        self.settle(world, before)
    }

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

    /// Everything that follows from the present state.
    pub fn settle(&mut self, world: &mut World<'_>, before: Option<Face>) -> Option<OurSide> {
        let ours = if self.held_since.is_some() {
            self.try_open(world)
        } else {
            None
        };
        self.explain(world, before);
        if self.case.as_ref().is_some_and(|case| case.over(world.now)) {
            self.close(world, Occasion::Resolved);
        }
        self.ask(world);
        self.save_counters(world);
        ours
    }

    /// Opens an incident for a confirmed suspicion, unless it may be our own network's.
    fn try_open(&mut self, world: &mut World<'_>) -> Option<OurSide> {
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
    fn open_or_join(
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

    fn end_suspicion(&mut self) {
        (self.suspicion, self.held_since, self.look_at) = (None, None, None);
    }

    fn failing_sightings(&self) -> Vec<IncidentCell> {
        let sightings = self.sightings.iter().flat_map(Sightings::iter);
        let mut failing: Vec<IncidentCell> = sightings
            .filter(|(_, seen)| seen.failing)
            .filter_map(|(cell, _)| self.member(cell))
            .collect();
        failing.sort_by(|one, other| one.cell.cmp(&other.cell));
        failing
    }

    /// A failing cell as the incident will hold it.
    fn member(&self, cell: &CellKey) -> Option<IncidentCell> {
        let seen = self.sightings.as_ref()?.get(cell)?;
        Some(IncidentCell {
            cell: cell.clone(),
            kind: seen.kind,
            failing: true,
            since: seen.first_at,
            last_at: seen.last_at,
        })
    }

    fn failed_runs(&self) -> u32 {
        let sightings = self.sightings.iter().flat_map(Sightings::iter);
        sightings.map(|(_, seen)| seen.failures).sum()
    }

    /// Opens, or opens again what was resolved lately.
    fn open(
        &mut self,
        world: &mut World<'_>,
        onset_at: Timestamp,
        cells: Vec<IncidentCell>,
        failed_runs: u32,
    ) {
        let Some(first) = cells.first().map(|cell| cell.cell.clone()) else {
            return;
        };
        let within = world.board.plan.incidents.reopen_within;
        let back = self.recent.take().filter(|recent| {
            recent
                .resolved_at
                .is_some_and(|at| later(at, within) >= onset_at)
                && cells
                    .iter()
                    .any(|cell| recent.cells.iter().any(|known| known.cell == cell.cell))
        });
        let last_good_at = cells
            .iter()
            .filter_map(|member| world.board.get(&member.cell)?.last_good_at)
            .filter(|at| *at < onset_at)
            .max();
        let diagnosis = self.diagnosis(world, &first, &cells);
        let mut opening = Opening {
            number: 0,
            subject: self.subject.clone(),
            onset_at,
            cells,
            diagnosis,
            failed_runs,
            last_good_at,
        };
        let returned = back.is_some();
        let mut case = if let Some(recent) = back {
            self.extra.resume(recent.extra_runs);
            Case::reopen(recent, opening, world.now)
        } else {
            opening.number = *world.next_number;
            *world.next_number += 1;
            Case::open(opening, world.now)
        };
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
        let plan = &world.board.plan;
        let first_run = entry(
            onset_at,
            Happening::Cells,
            format!("first failing run: {first}: {}", kind.label()),
        );
        let mut timeline = vec![first_run];
        timeline.append(&mut self.notes);
        timeline.sort_by_key(|note| note.at);
        let (what, occasion) = if returned {
            (Happening::Reopened, Occasion::Reopened)
        } else {
            (Happening::Opened, Occasion::Opened)
        };
        timeline.push(entry(
            world.now,
            what,
            briefing::headline(plan, &case.incident),
        ));
        case.incident.extra_runs = self.extra.issued();
        let notifications = notify::due(plan, &mut case.incident, occasion, world.now);
        save(world, &mut case, timeline, notifications);
        self.case = Some(case);
        (self.dirty, self.curious) = (false, true);
    }

    /// A cell that fails as the incident leads to expect becomes part of it.
    fn join(&mut self, cell: &CellKey, kind: Kind, at: Timestamp) {
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

    /// Diagnoses anew when the picture changed, and tells who reads something else now.
    fn explain(&mut self, world: &mut World<'_>, before: Option<Face>) {
        if self.dirty && self.case.is_some() {
            self.dirty = false;
            let cells: Vec<IncidentCell> = self.failing_members().cloned().collect();
            if let Some(first) = cells.first() {
                let diagnosis = self.diagnosis(world, &first.cell, &cells);
                if let Some(case) = &mut self.case {
                    case.stale |= case.incident.diagnosis != diagnosis;
                    case.incident.diagnosis = diagnosis;
                }
            }
        }
        let Some(case) = &mut self.case else {
            return;
        };
        case.incident.extra_runs = case.incident.extra_runs.max(self.extra.issued());
        for id in self.references.drain(..) {
            case.refer(&id);
        }
        let plan = &world.board.plan;
        let mut timeline = std::mem::take(&mut self.notes);
        let changed = before.filter(|before| *before != Face::of(&case.incident));
        let occasion = match &changed {
            Some(before) => {
                if !before.same_cause(&case.incident) {
                    let text = briefing::headline(plan, &case.incident);
                    timeline.push(entry(world.now, Happening::Changed, text));
                }
                Occasion::Changed { before }
            }
            None => Occasion::Time,
        };
        let due = changed.is_some()
            || notify::next_at(plan, &case.incident).is_some_and(|at| at <= world.now);
        let notifications = if due {
            notify::due(plan, &mut case.incident, occasion, world.now)
        } else {
            Vec::new()
        };
        if !timeline.is_empty() || !notifications.is_empty() || changed.is_some() {
            save(world, case, timeline, notifications);
        }
    }

    /// Ends the incident: resolved, or removed from the configuration.
    pub fn close(&mut self, world: &mut World<'_>, occasion: Occasion<'_>) {
        let Some(mut case) = self.case.take() else {
            return;
        };
        let removed = matches!(occasion, Occasion::Removed);
        case.resolve(world.now);
        case.incident.extra_runs = case.incident.extra_runs.max(self.extra.issued());
        let (what, text) = if removed {
            let text = "closed: the configuration has none of its failing cells any more";
            (Happening::Removed, text.to_owned())
        } else {
            let passes = format!("all of its {} cells pass again", case.incident.cells.len());
            (Happening::Resolved, passes)
        };
        let mut timeline = std::mem::take(&mut self.notes);
        timeline.push(entry(world.now, what, text));
        let plan = &world.board.plan;
        let notifications = notify::due(plan, &mut case.incident, occasion, world.now);
        save(world, &mut case, timeline, notifications);
        self.recent = (!removed).then_some(case.incident);
        if self.suspicion.is_none() {
            self.forget();
        }
    }

    /// The suspicion was weather, or somebody else's.
    fn dismiss(&mut self) {
        self.end_suspicion();
        if self.case.is_none() {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.sightings = None;
        self.extra.start_over();
        self.refused.clear();
        self.references.clear();
        self.notes.clear();
        (self.failing, self.passing) = (None, None);
        (self.dirty, self.curious) = (false, false);
    }

    /// What the subject's failing cells hang on.
    fn diagnosis(&self, world: &World<'_>, first: &CellKey, cells: &[IncidentCell]) -> Diagnosis {
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
        let kind = incidents::majority(cells).unwrap_or(Kind::Unexpected);
        let matrix = self.matrix(world, kind).unwrap_or_else(|| Matrix {
            spots: Vec::new(),
            standing: BTreeMap::new(),
            kind,
        });
        diagnose::diagnose(&matrix, first)
    }

    /// The host's cells since the onset; `None` for our own network, or without trouble.
    fn matrix(&self, world: &World<'_>, kind: Kind) -> Option<Matrix> {
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
        matrix.doubt_few_passes();
        Some(matrix)
    }

    /// How a cell counts: members fail until they have recovered, others until they are confirmed.
    ///
    /// This is what keeps a cause from flapping: a single pass of a failing cell, and a single failure
    /// of a passing one, make it unknown, not the opposite.
    fn seen(&self, cell: &CellKey, kind: Kind) -> Seen {
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

    /// Books the extra requests that are worth their while and allowed.
    fn ask(&mut self, world: &mut World<'_>) {
        if !std::mem::take(&mut self.curious) && !self.recovers() {
            return;
        }
        if self.slow_until.is_some_and(|until| until > world.now) {
            return;
        }
        if self.recovers() {
            self.ask_recovering(world);
            return;
        }
        self.ask_trigger(world);
        self.ask_witnesses(world);
    }

    fn recovers(&self) -> bool {
        self.suspicion.is_none() && self.case.as_ref().is_some_and(Case::recovering)
    }

    /// The cells that have not passed yet; then any, until enough passes stand behind each other.
    fn ask_recovering(&mut self, world: &mut World<'_>) {
        let Some(case) = &self.case else {
            return;
        };
        if self.extra.outstanding(Purpose::Confirm) > 0 {
            return;
        }
        let waiting = case.still_failing();
        let wait = if waiting.is_empty() {
            case.span() / 2
        } else {
            Duration::from_secs(2)
        };
        let others = case.failing().map(|member| &member.cell);
        let cell = waiting
            .into_iter()
            .chain(others)
            .find(|cell| self.allowed(world, cell, Use::Recovery))
            .cloned();
        if let Some(cell) = cell {
            self.run(
                world,
                &cell,
                wait,
                Purpose::Confirm,
                "to see whether it is over",
            );
        }
    }

    fn ask_trigger(&mut self, world: &mut World<'_>) {
        let Some(suspicion) = &self.suspicion else {
            return;
        };
        let waits = self.extra.outstanding(Purpose::Confirm) > 0 || self.held_since.is_some();
        if waits || !suspicion.asks() {
            return;
        }
        let (trigger, gap) = (suspicion.trigger().clone(), suspicion.gap());
        if self.allowed(world, &trigger, Use::Fault) {
            let why = "the same again, to tell a fault from weather";
            self.run(world, &trigger, gap, Purpose::Confirm, why);
        }
    }

    fn ask_witnesses(&mut self, world: &mut World<'_>) {
        let (trigger, kind) = match (&self.suspicion, &self.case) {
            (Some(suspicion), _) if suspicion.wants_witnesses() => {
                (suspicion.trigger().clone(), suspicion.kind())
            }
            (Some(_), _) | (None, None) => return,
            (None, Some(case)) => match case.failing().next() {
                Some(member) => (member.cell.clone(), case.incident.kind),
                None => return,
            },
        };
        let Some(matrix) = self.matrix(world, kind) else {
            return;
        };
        // Silent answers take as long as the timeout; two of them may be awaited at once.
        let at_once = if matrix.group() == Group::Network {
            2
        } else {
            1
        };
        while self.extra.outstanding(Purpose::Counter) < at_once {
            let question = self.question(world, &matrix, &trigger);
            let Some((cell, why)) = question else {
                return;
            };
            self.run(world, &cell, Duration::from_secs(1), Purpose::Counter, why);
        }
    }

    fn question(
        &self,
        world: &World<'_>,
        matrix: &Matrix,
        trigger: &CellKey,
    ) -> Option<(CellKey, &'static str)> {
        let allowed = |cell: &CellKey| self.allowed(world, cell, Use::Fault);
        let host = self.host?;
        let standing = matrix.standing.get(&trigger.egress);
        let since = self.sightings.as_ref()?.since;
        let unseen = |cell: &&Cell| cell.last.is_none_or(|last| last.at < since);
        let controls = || world.board.controls(&trigger.egress).filter(unseen);
        if standing == Some(&Standing::Down { certain: false }) {
            let elsewhere = world.board.elsewhere(&trigger.egress, host).filter(unseen);
            let cell = controls()
                .chain(elsewhere)
                .find(|cell| allowed(&cell.key))?;
            return Some((cell.key.clone(), "does anything answer from this egress?"));
        }
        let asks = |cell: &CellKey| !world.down.contains(&cell.egress) && allowed(cell);
        match witnesses::next(matrix, trigger, asks)? {
            Question::Cell(cell) => Some((cell, "to tell which factor it is")),
            Question::Control => {
                let control = controls().find(|cell| allowed(&cell.key))?;
                Some((
                    control.key.clone(),
                    "a control, to tell our network from theirs",
                ))
            }
        }
    }

    /// Politeness: budget, lock-out, and no extra request to what asks us to slow down.
    fn allowed(&self, world: &World<'_>, cell: &CellKey, purpose: Use) -> bool {
        let Some(known) = world.board.get(cell) else {
            return false;
        };
        let limited = known
            .last
            .is_some_and(|l| l.kind == Kind::RateLimited && l.failed);
        let refused = self.refused.contains(&cell.credential);
        let politeness = &world.board.plan.politeness;
        !limited
            && self
                .extra
                .allows(politeness, cell, refused, purpose, world.now)
    }

    fn run(
        &mut self,
        world: &mut World<'_>,
        cell: &CellKey,
        wait: Duration,
        purpose: Purpose,
        why: &str,
    ) {
        let Some(known) = world.board.get(cell) else {
            return;
        };
        let timeout = world.board.probe(known).timeout;
        let wanted = later(world.now, wait);
        let politeness = &world.board.plan.politeness;
        let at = self.extra.book(politeness, cell, wanted, timeout, purpose);
        world.effects.push(Effect::Run {
            cell: cell.clone(),
            at,
            purpose,
            why: why.to_owned(),
            incident: self.incident().map(|incident| incident.number),
        });
    }

    /// Keeps the clearest failing run, and the passing run most like it.
    fn keep_specimen(&mut self, world: &World<'_>, judged: &Judged, failed: bool) {
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

    /// Stores counters that moved, now and then.
    fn save_counters(&mut self, world: &mut World<'_>) {
        if let Some(case) = &mut self.case
            && case.stale
            && later(case.saved_at, SAVE_EVERY) <= world.now
        {
            save(world, case, Vec::new(), Vec::new());
        }
    }
}

fn save(
    world: &mut World<'_>,
    case: &mut Case,
    timeline: Vec<TimelineEntry>,
    notifications: Vec<Notification>,
) {
    case.stale = false;
    case.saved_at = world.now;
    world.effects.push(Effect::Save(Box::new(Change {
        incident: case.incident.clone(),
        timeline,
        notifications,
    })));
}
