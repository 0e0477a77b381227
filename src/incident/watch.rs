//! A control host or our own network under watch (partners are under `partner`). From the first odd run to the incident's end.
//!
//! A failing run that nothing explains opens a suspicion; while it is tested, the cells that tell most
//! are asked early; once confirmed, everything that fails becomes one incident, which is explained
//! anew whenever the picture changes, and ends with the care it began with. A host's incident does not
//! open while the controls of its egress fail: that is our network's (see `opening`).
//!
//! Confirmation, diagnosis and the choice of the next question see nothing but a `Suspicion` and a
//! `Matrix`; other methods can take their place without a change here.

mod asking;
mod opening;
mod picture;
mod telling;

pub use telling::{acknowledge, retell, save};

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use super::confirm::{Background, Progress, Suspicion};
use super::extra::{Extra, Hour};
use super::matrix::Sightings;
use super::notify::{self, Face, Occasion};
use crate::board::events::{Effect, Judged};
use crate::board::{Board, Cell};
use crate::domain::cell::{CellKey, CredentialName, EgressName};
use crate::domain::incident::{
    Acknowledged, Beside, Happening, Incident, IncidentCell, Specimen, State, Subject,
    TimelineEntry,
};
use crate::domain::moment::later;
use crate::domain::observation::Purpose;
use crate::domain::verdict::Kind;
use crate::incident::case::{Case, Opening, Turn, entry};
use crate::surroundings::Surroundings;
use crate::words::briefing;

/// How long a confirmed fault waits for the controls of its egress to answer.
const HOLD_UNSEEN: Duration = Duration::from_secs(60);
/// How long it waits for failing controls to be confirmed or to pass.
const HOLD_DOWN: Duration = Duration::from_secs(300);
/// How long a host that asks us to slow down gets no extra request, at least.
const BACK_OFF: Duration = Duration::from_secs(600);
/// However long it asks us to wait.
const BACK_OFF_MAX: Duration = Duration::from_secs(6 * 3600);
/// Counters of an open incident are stored this often when nothing else changes.
pub const SAVE_EVERY: Duration = Duration::from_secs(60);
/// Facts kept for the timeline of an incident that is not open yet.
const NOTES_MAX: usize = 40;

/// What a step may use of the rest of the world.
#[derive(Debug)]
pub struct World<'a> {
    pub board: &'a Board,
    /// Egresses whose own network is at fault; what fails from there says nothing of a host.
    pub down: &'a BTreeSet<EgressName>,
    pub background: Background,
    pub now: Timestamp,
    /// Extra requests of the last hour, by host.
    pub hours: &'a mut [Hour],
    pub next_number: &'a mut u64,
    pub surroundings: &'a mut Surroundings,
    pub effects: &'a mut Vec<Effect>,
}

impl World<'_> {
    /// Whether an incident that is over came back with these cells.
    pub fn is_back(&self, recent: &Incident, onset_at: Timestamp, cells: &[IncidentCell]) -> bool {
        let within = recent.returns_within(self.board.plan.incidents.reopen_within);
        let known = |cell: &CellKey| recent.cells.iter().any(|known| known.cell == *cell);
        recent
            .resolved_at
            .is_some_and(|at| later(at, within) >= onset_at)
            && cells.iter().any(|member| known(&member.cell))
    }

    /// When one of these cells passed last before the onset.
    pub fn last_good_before(
        &self,
        onset_at: Timestamp,
        cells: &[IncidentCell],
    ) -> Option<Timestamp> {
        cells
            .iter()
            .filter_map(|member| self.board.get(&member.cell)?.last_good_at)
            .filter(|at| *at < onset_at)
            .max()
    }

    /// Opens an incident under a number of its own, or opens again the one that came back.
    pub fn begin(&mut self, back: Option<Incident>, mut opening: Opening) -> Case {
        if let Some(recent) = back {
            return Case::reopen(recent, opening, self.now);
        }
        opening.number = *self.next_number;
        *self.next_number += 1;
        Case::open(opening, self.now)
    }

    /// Tells of an incident that was just opened, or opened again, and saves it; `notes` are of the time since its onset.
    pub fn announce(&mut self, case: &mut Case, onset_at: Timestamp, notes: Vec<TimelineEntry>) {
        let mut timeline = notes;
        if let Some(first) = case.failing().min_by_key(|member| member.since) {
            let text = format!("first failing run: {}: {}", first.cell, first.kind.label());
            timeline.insert(0, entry(first.since, Happening::Cells, text));
        }
        timeline.append(&mut self.put_beside(case, onset_at));
        timeline.sort_by_key(|note| note.at);
        let (what, occasion) = if case.incident.reopened_at == Some(self.now) {
            (Happening::Reopened, Occasion::Reopened)
        } else {
            (Happening::Opened, Occasion::Opened)
        };
        let (plan, quiet) = (&self.board.plan, &self.board.quiet);
        let headline = briefing::headline(plan, &case.incident);
        timeline.push(entry(self.now, what, headline));
        let mut due = notify::due(plan, quiet, &mut case.incident, occasion, self.now);
        timeline.append(&mut due.timeline);
        save(self, case, timeline, due.notifications);
    }

    /// Puts the changes near an onset beside an incident; returns what is new, for its timeline.
    pub fn put_beside(&mut self, case: &mut Case, onset: Timestamp) -> Vec<TimelineEntry> {
        let cells: Vec<&CellKey> = case.failing().map(|member| &member.cell).collect();
        let kind = case.incident.kind;
        let near = self.surroundings.beside(self.board, &cells, onset, kind);
        let mut timeline = Vec::new();
        for beside in near {
            let same = |known: &Beside| known.at == beside.at && known.text == beside.text;
            if !case.incident.beside.iter().any(same) {
                timeline.push(entry(beside.at, Happening::Drift, beside.text.clone()));
                case.incident.beside.push(beside);
            }
        }
        timeline
    }
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

/// One run of a cell, as a subject sees it.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    pub cell: &'a Cell,
    pub judged: &'a Judged,
    /// Start of the run, never after now.
    pub at: Timestamp,
    /// Whether it failed as far as the subject is concerned.
    pub failed: bool,
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

    /// Whether it waits for the answer of an extra request to this cell.
    #[must_use]
    pub fn waits_for(&self, cell: &CellKey) -> bool {
        self.extra.waits_for(cell)
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
                    judged.kind().label()
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
    pub fn observe(&mut self, world: &mut World<'_>, run: &Run<'_>) -> Option<OurSide> {
        if !run.failed && !self.alive() {
            return None;
        }
        let Run {
            judged, at, failed, ..
        } = *run;
        let kind = judged.kind();
        let key = &run.cell.key;
        let before = self.incident().map(Face::of);
        if failed && kind == Kind::RateLimited {
            let wait = judged.verdict.retry_after.unwrap_or_default();
            self.slow_until = Some(later(world.now, wait.clamp(BACK_OFF, BACK_OFF_MAX)));
        }
        if failed && kind == Kind::OriginDenied {
            self.refused.insert(key.credential.clone());
        }
        let looked = self.looks(key, kind);
        let passed_before = self
            .sightings
            .as_ref()
            .and_then(|seen| seen.get(key))
            .is_some_and(|seen| seen.passes > 0);
        let sightings = self.sightings.get_or_insert_with(|| Sightings::new(at));
        sightings.note(key, kind, failed, at);
        self.keep_specimen(world, judged, failed);
        let mut member = false;
        if let Some(case) = &mut self.case {
            member = case.holds(key);
            match case.observe(key, kind, failed, at) {
                Turn::Fails => self.dirty = true,
                Turn::Comes => self.curious = true,
                Turn::Left => {
                    self.dirty = true;
                    let text = format!("{key} passes again while others fail");
                    self.remember(entry(at, Happening::Cells, text));
                }
                Turn::None => {}
            }
        }
        match &mut self.suspicion {
            Some(suspicion) if member && suspicion.trigger() == key => self.dismiss(),
            Some(_) if member => {}
            Some(suspicion) => match suspicion.observe(key, kind, failed, at) {
                Progress::Undecided => (self.held_since, self.look_at) = (None, None),
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
        if self.looks(key, kind) != looked {
            (self.dirty, self.curious) = (true, true);
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
            .and_then(|i| notify::next_at(&board.plan, &board.quiet, i));
        let lost = self.extra.next_lost_at();
        [told, self.look_at, lost].into_iter().flatten().min()
    }

    /// Somebody looks after the incident with this number, which may be another's.
    pub fn acknowledge(&mut self, world: &mut World<'_>, number: u64, by: &Acknowledged) {
        if let Some(case) = self.case.as_mut().filter(|c| c.incident.number == number) {
            telling::acknowledge(world, case, by);
        }
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

    fn end_suspicion(&mut self) {
        (self.suspicion, self.held_since, self.look_at) = (None, None, None);
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
}
