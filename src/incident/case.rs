//! The life of an incident: opening, members, recovery, resolution, return.
//!
//! One incident holds all failing cells of its subject. It is over only when every failing cell has
//! passed again and enough passes, spaced in time, stand behind each other: the same care as at the
//! opening. A fault that comes and goes needs more passes, so that it does not open every few minutes.

pub mod fit;

use crate::domain::moment::later;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::cell::{CellKey, ProbeName};
use crate::domain::diagnosis::Diagnosis;
use crate::domain::incident::{
    Happening, Incident, IncidentCell, State, Subject, Telling, TimelineEntry,
};
use crate::domain::spells::Spells;
use crate::domain::verdict::{Kind, Verdict};
use crate::judge::class::{Class, Tier};

/// Passes in a row that end a fault which never let anything through.
const PASSES_MIN: u32 = 3;
/// Passes in a row that end any fault, however seldom it shows.
const PASSES_MAX: u32 = 60;
/// Chance that a fault that is still there hides behind that many passes.
const HIDES: f64 = 0.001;
/// One in so many members is few.
const FEW: usize = 5;
/// How long the others must have passed meanwhile.
const SILENT_FOR: Duration = Duration::from_secs(120);
/// A reference id is kept for people; older ones make room.
const REFERENCE_IDS_MAX: usize = 10;
/// Members of one incident; what is beyond is counted with them but not listed.
const MEMBERS_MAX: usize = 1000;

/// An incident that is open, with what only the rules need to know of it.
#[derive(Debug)]
pub struct Case {
    pub incident: Incident,
    /// Passes of members since their last failure.
    members: BTreeMap<CellKey, Comeback>,
    /// Place of each member in `incident.cells`.
    places: BTreeMap<CellKey, usize>,
    /// Passes of any members in a row.
    passes: u32,
    passing_since: Option<Timestamp>,
    last_failed_at: Timestamp,
    /// Failures of members since the opening, and passes of a cell between two failures of its own.
    failures: u32,
    passes_between: u32,
    /// Counters moved since the incident was handed out last.
    pub stale: bool,
    pub saved_at: Timestamp,
}

/// How far a member has come back.
#[derive(Debug, Default, Clone, Copy)]
struct Comeback {
    passes: u32,
    since: Option<Timestamp>,
}

/// What a run of a member did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing that changes the picture.
    None,
    /// The cell passed for the first time since its last failure.
    Comes,
    /// The cell fails again, or with another kind.
    Fails,
    /// The cell has recovered while others have not.
    Left,
}

/// What an opening is made of.
#[derive(Debug)]
pub struct Opening {
    pub number: u64,
    pub subject: Subject,
    pub onset_at: Timestamp,
    pub cells: Vec<IncidentCell>,
    pub diagnosis: Diagnosis,
    pub failed_runs: u32,
    pub last_good_at: Option<Timestamp>,
    /// When the like incident before it opened; see [`Incident::rhythm_since`].
    pub rhythm_since: Option<Timestamp>,
}

impl Case {
    /// Opens an incident.
    #[must_use]
    pub fn open(opening: Opening, now: Timestamp) -> Self {
        let mut incident = Incident {
            number: opening.number,
            state: State::Open,
            subject: opening.subject,
            onset_at: opening.onset_at,
            opened_at: now,
            resolved_at: None,
            spells: Spells::default(),
            earlier: Vec::new(),
            ways: Vec::new(),
            reopened: 0,
            reopened_at: None,
            rhythm_since: opening.rhythm_since,
            last_good_at: opening.last_good_at,
            probes: Vec::new(),
            kind: Kind::Unexpected,
            diagnosis: opening.diagnosis,
            cells: opening.cells,
            failing: None,
            passing: None,
            beside: Vec::new(),
            acknowledged: None,
            reference_ids: Vec::new(),
            failed_runs: opening.failed_runs,
            extra_runs: 0,
            told: 0,
            reminded: 0,
            last_told_at: None,
            left: Vec::new(),
            told_receivers: Vec::new(),
            telling: Telling::default(),
        };
        incident.spells.last_bad_at = incident.cells.iter().map(|cell| cell.last_at).max();
        incident.cells.truncate(MEMBERS_MAX);
        incident.kind = majority(&incident.cells).unwrap_or(Kind::Unexpected);
        incident.probes = probes(&incident.cells);
        Self::resume(incident, now)
    }

    /// Takes up an incident from before a restart, or one that came back.
    #[must_use]
    pub fn resume(incident: Incident, now: Timestamp) -> Self {
        let places = places(&incident);
        let last_failed_at = incident
            .cells
            .iter()
            .filter(|cell| cell.failing)
            .map(|cell| cell.last_at)
            .max()
            .unwrap_or(incident.opened_at);
        Self {
            members: BTreeMap::new(),
            places,
            passes: 0,
            passing_since: None,
            last_failed_at,
            failures: 1,
            passes_between: 0,
            stale: false,
            saved_at: now,
            incident,
        }
    }

    /// Opens a resolved incident again under its number.
    #[must_use]
    pub fn reopen(incident: Incident, opening: Opening, now: Timestamp) -> Self {
        let mut case = Self::resume(incident, now);
        let incident = &mut case.incident;
        incident.state = State::Open;
        let ended = incident.resolved_at.take().unwrap_or(now);
        let onset = incident.onset_at;
        incident.spells.came_back(onset, ended, opening.onset_at);
        // Of what comes and goes nobody is told single returns: who looks after it still does.
        if !incident.comes_and_goes() {
            incident.acknowledged = None;
        }
        incident.reopened += 1;
        incident.reopened_at = Some(now);
        incident.reminded = 0;
        incident.telling.answer = None;
        for standing in &mut incident.telling.receivers {
            standing.reminded = 0;
        }
        let mut diagnosis = opening.diagnosis;
        if incident.comes_and_goes() {
            incident.keep_known(&mut diagnosis);
        }
        incident.diagnosis = diagnosis;
        incident.failed_runs += opening.failed_runs;
        for cell in &mut incident.cells {
            cell.failing = false;
        }
        for cell in opening.cells {
            case.last_failed_at = case.last_failed_at.max(cell.last_at);
            case.join(cell);
        }
        case
    }

    #[must_use]
    pub fn member(&self, cell: &CellKey) -> Option<&IncidentCell> {
        self.places
            .get(cell)
            .map(|place| &self.incident.cells[*place])
    }

    /// Whether the cell is a member that has not recovered.
    #[must_use]
    pub fn holds(&self, cell: &CellKey) -> bool {
        self.member(cell).is_some_and(|member| member.failing)
    }

    /// Failing members, those that passed since included.
    pub fn failing(&self) -> impl Iterator<Item = &IncidentCell> {
        self.incident.cells.iter().filter(|cell| cell.failing)
    }

    /// A failing member that has not passed since its last failure.
    #[must_use]
    pub fn still_failing(&self) -> Vec<&CellKey> {
        self.failing()
            .map(|member| &member.cell)
            .filter(|cell| self.members.get(cell).is_none_or(|m| m.passes == 0))
            .collect()
    }

    /// Whether members pass at present, with none failing in between.
    #[must_use]
    pub fn recovering(&self) -> bool {
        self.passes > 0
    }

    /// Takes a failing cell in; whether it is new or had recovered.
    pub fn join(&mut self, cell: IncidentCell) -> bool {
        self.members.remove(&cell.cell);
        if cell.failing {
            self.incident.spells.failed(cell.last_at);
        }
        if let Some(place) = self.places.get(&cell.cell) {
            let member = &mut self.incident.cells[*place];
            let back = !member.failing;
            let since = if back { cell.since } else { member.since };
            *member = IncidentCell { since, ..cell };
            self.retell();
            return back;
        }
        if self.incident.cells.len() >= MEMBERS_MAX {
            return false;
        }
        self.places
            .insert(cell.cell.clone(), self.incident.cells.len());
        self.incident.cells.push(cell);
        self.retell();
        true
    }

    /// Applies a run of a member; runs of other cells are none of its business.
    pub fn observe(&mut self, cell: &CellKey, kind: Kind, failed: bool, at: Timestamp) -> Turn {
        let Some(place) = self.places.get(cell).copied() else {
            return Turn::None;
        };
        let needed = self.needed();
        let member = &mut self.incident.cells[place];
        member.last_at = member.last_at.max(at);
        if failed {
            self.stale = true;
            // It fails as it is asked now, whatever was edited.
            self.incident.left.retain(|left| left.cell != *cell);
            self.incident.failed_runs = self.incident.failed_runs.saturating_add(1);
            self.last_failed_at = self.last_failed_at.max(at);
            self.failures = self.failures.saturating_add(1);
            (self.passes, self.passing_since) = (0, None);
            self.incident.spells.failed(at);
            let comeback = self.members.remove(cell).unwrap_or_default();
            self.passes_between = self.passes_between.saturating_add(comeback.passes);
            let turned = !member.failing || member.kind != kind;
            member.kind = kind;
            if !member.failing {
                (member.failing, member.since) = (true, at);
            }
            if turned {
                self.retell();
            }
            return if turned { Turn::Fails } else { Turn::None };
        }
        if !member.failing {
            return Turn::None;
        }
        self.stale = true;
        self.passes = self.passes.saturating_add(1);
        self.passing_since.get_or_insert(at);
        self.incident.spells.passed(at);
        let span = Class::of(member.kind).tier().recovery_span();
        let comeback = self.members.entry(cell.clone()).or_default();
        comeback.passes += 1;
        let since = *comeback.since.get_or_insert(at);
        let others_fail = self.last_failed_at > since;
        if comeback.passes >= needed && later(since, span) <= at && others_fail {
            (member.failing, member.since) = (false, since);
            self.members.remove(cell);
            self.retell();
            return Turn::Left;
        }
        if comeback.passes == 1 {
            Turn::Comes
        } else {
            Turn::None
        }
    }

    /// Passes in a row that end this fault: three, or so many that it hardly hides behind them.
    fn needed(&self) -> u32 {
        let (failures, passes) = (f64::from(self.failures), f64::from(self.passes_between));
        let fails = failures / (failures + passes);
        let hidden = if fails > 0.9 {
            0.0
        } else {
            (HIDES.ln() / (1.0 - fails).ln()).ceil()
        };
        let returned = PASSES_MIN * (1 + self.incident.reopened.min(4));
        (hidden as u32).clamp(PASSES_MIN, PASSES_MAX).max(returned)
    }

    /// Whether every failing member passed, often and long enough.
    #[must_use]
    pub fn over(&self, now: Timestamp) -> bool {
        let Some(since) = self.passing_since else {
            return false;
        };
        self.passes >= self.needed()
            && later(since, self.span()) <= now
            && (self.still_failing().is_empty() || self.only_few_are_silent(now))
    }

    /// Whether all but a few members pass for a while, and those few did not run meanwhile: what is asked once a day,
    /// or can't be asked for the hour's politeness, keeps nobody waiting for the end of what the others show.
    #[must_use]
    pub fn only_few_are_silent(&self, now: Timestamp) -> bool {
        let Some(since) = self.passing_since else {
            return false;
        };
        if later(since, SILENT_FOR) > now {
            return false;
        }
        let silent = self.still_failing();
        let ran = |cell: &&CellKey| self.member(cell).is_some_and(|m| m.last_at > since);
        silent.len() * FEW <= self.failing().count() && !silent.iter().any(ran)
    }

    /// How long members must have passed.
    #[must_use]
    pub fn span(&self) -> Duration {
        Class::of(self.incident.kind).tier().recovery_span()
    }

    /// Ends it: as over, unless some of what failed was last seen failing and is not asked so any more.
    pub fn end(&mut self, now: Timestamp) {
        self.incident.resolved_at = Some(now);
        let silent: Vec<CellKey> = if self.only_few_are_silent(now) {
            self.still_failing().into_iter().cloned().collect()
        } else {
            Vec::new()
        };
        for cell in &mut self.incident.cells {
            if cell.failing && !silent.contains(&cell.cell) {
                cell.failing = false;
                cell.since = self.passing_since.unwrap_or(now);
            }
        }
        if self.incident.left.is_empty() {
            self.incident.state = State::Resolved;
            return;
        }
        self.incident.state = State::Unwatched;
        for left in self.incident.left.clone() {
            self.incident
                .cells
                .retain(|member| member.cell != left.cell);
            self.incident.cells.push(left);
        }
        self.places = places(&self.incident);
        self.retell();
    }

    /// Lets cells go that are another incident's.
    pub fn retain(&mut self, keep: impl Fn(&CellKey) -> bool) {
        self.incident.cells.retain(|member| keep(&member.cell));
        self.members.retain(|cell, _| keep(cell));
        self.incident.diagnosis.failing.retain(&keep);
        self.incident.diagnosis.passing.retain(&keep);
        self.places = places(&self.incident);
        self.retell();
    }

    /// Takes up one that ended as no longer watched, where a cell is asked again as it was; else gives it back.
    ///
    /// # Errors
    /// The incident, where none is.
    pub fn watch_again(
        incident: Incident,
        mark: impl Fn(&CellKey) -> Option<String>,
        now: Timestamp,
    ) -> Result<Self, Box<Incident>> {
        let again = |left: &IncidentCell| left.asked.is_some() && mark(&left.cell) == left.asked;
        if !incident.left.iter().any(again) {
            return Err(Box::new(incident));
        }
        let mut case = Self::resume(incident, now);
        let incident = &mut case.incident;
        (incident.state, incident.resolved_at) = (State::Open, None);
        incident.spells.first_good_at = None;
        let left = incident.left.clone();
        incident
            .cells
            .retain(|member| left.iter().all(|left| left.cell != member.cell));
        case.fit(mark);
        Ok(case)
    }

    /// Keeps a reference id for people.
    pub fn refer(&mut self, id: &str) {
        let ids = &mut self.incident.reference_ids;
        if ids.iter().any(|known| known == id) {
            return;
        }
        if ids.len() >= REFERENCE_IDS_MAX {
            ids.remove(0);
        }
        ids.push(id.to_owned());
    }

    /// Kind and probes follow the members.
    ///
    /// The kind stays until another is twice as frequent: a host that fails now one way, now another would
    /// else be told anew by the minute.
    fn retell(&mut self) {
        let failing = || self.incident.cells.iter().filter(|cell| cell.failing);
        let count = |kind| failing().filter(|cell| cell.kind == kind).count();
        if let Some(kind) = majority(&self.incident.cells) {
            if kind != self.incident.kind && count(kind) >= 2 * count(self.incident.kind) {
                self.incident.kind = kind;
            }
            self.incident.probes = probes(&self.incident.cells);
        }
    }
}

fn places(incident: &Incident) -> BTreeMap<CellKey, usize> {
    let cells = incident.cells.iter().enumerate();
    cells.map(|(place, m)| (m.cell.clone(), place)).collect()
}

/// The most frequent kind of failing cells; of equals, the one that says most.
#[must_use]
pub fn majority(cells: &[IncidentCell]) -> Option<Kind> {
    let mut counts: BTreeMap<Kind, usize> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| cell.failing) {
        *counts.entry(cell.kind).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(kind, count)| (*count, Class::of(*kind).tier(), std::cmp::Reverse(*kind)))
        .map(|(kind, _)| kind)
}

/// Probes of failing cells, in the order of their first cell.
fn probes(cells: &[IncidentCell]) -> Vec<ProbeName> {
    let mut probes: Vec<ProbeName> = Vec::new();
    for cell in cells.iter().filter(|cell| cell.failing) {
        if !probes.contains(&cell.cell.probe) {
            probes.push(cell.cell.probe.clone());
        }
    }
    probes
}

/// A line of the timeline.
#[must_use]
pub fn entry(at: Timestamp, what: Happening, text: impl Into<String>) -> TimelineEntry {
    TimelineEntry {
        at,
        what,
        text: text.into(),
    }
}

/// How much a verdict shows to a person: signed and numbered beats silent.
#[must_use]
pub fn clarity(verdict: &Verdict) -> u8 {
    let tier = match Class::of(verdict.kind).tier() {
        Tier::Strong => 2,
        Tier::Medium => 1,
        Tier::Weak => 0,
    };
    tier * 4 + u8::from(verdict.code.is_some()) * 2 + u8::from(verdict.reference_id.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cell::CredentialName;
    use crate::domain::diagnosis::{Cause, Level};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn cell(client: &str) -> CellKey {
        CellKey {
            probe: "p".into(),
            egress: "e1".into(),
            client: client.into(),
            credential: CredentialName::anonymous(),
        }
    }

    fn case(clients: &[&str]) -> Case {
        let cells = clients.iter().map(|client| IncidentCell {
            asked: None,
            cell: cell(client),
            kind: Kind::EdgeBlock,
            failing: true,
            since: at(0),
            last_at: at(0),
        });
        let opening = Opening {
            number: 1,
            subject: Subject::Host("h".to_owned()),
            onset_at: at(0),
            cells: cells.collect(),
            diagnosis: Diagnosis {
                cause: Cause::Everything,
                confidence: 0.9,
                fails: None,
                failing: Vec::new(),
                passing: Vec::new(),
                ruled_out: Vec::new(),
                would_tell: None,
                split: None,
            },
            failed_runs: 1,
            last_good_at: None,
            rhythm_since: None,
        };
        Case::open(opening, at(0))
    }

    /// Plays `client answer` pairs, ten seconds apart; after which of them the fault is over.
    fn over_after(clients: &[&str], runs: &str) -> Option<usize> {
        let mut case = case(clients);
        let words: Vec<&str> = runs.split_whitespace().collect();
        words.chunks(2).enumerate().find_map(|(step, run)| {
            let now = at(10 * (step as i64 + 1));
            let failed = run[1] == "bad";
            let kind = if failed { Kind::EdgeBlock } else { Kind::Pass };
            case.observe(&cell(run[0]), kind, failed, now);
            case.over(now).then_some(step + 1)
        })
    }

    #[test]
    fn ends_with_the_care_it_began_with() {
        let check = |name: &str, clients: &[&str], runs: &str, expected| {
            assert_eq!(over_after(clients, runs), expected, "{name}");
        };
        check(
            "three passes over 20 s",
            &["a"],
            "a good a good a good",
            Some(3),
        );
        check("two are not enough", &["a"], "a good a good", None);
        check(
            "a failure begins anew",
            &["a"],
            "a good a good a bad a good a good",
            None,
        );
        check(
            "every cell must pass",
            &["a", "b"],
            "a good a good a good a good",
            None,
        );
        check(
            "and once is enough for each",
            &["a", "b"],
            "a good b good a good",
            Some(3),
        );
    }

    #[test]
    fn a_fault_that_comes_and_goes_needs_more() {
        let mut runs = "a bad a good ".repeat(6);
        runs.push_str(&"a good ".repeat(20));
        let steps = over_after(&["a"], &runs).unwrap();
        assert!((19..=26).contains(&steps), "{steps}");
    }

    #[test]
    fn few_that_do_not_run_keep_nobody_waiting() {
        let clients = ["a", "b", "c", "d", "e"];
        let mut case = case(&clients);
        let pass = |case: &mut Case, clients: &[&str], second| {
            for client in clients {
                case.observe(&cell(client), Kind::Pass, false, at(second));
            }
        };
        pass(&mut case, &clients[..3], 10);
        assert!(!case.over(at(400)), "two of five are not few");
        pass(&mut case, &clients[3..4], 20);
        assert!(!case.over(at(129)), "it may run yet");
        assert!(case.over(at(130)));
        case.end(at(130));
        assert_eq!(case.incident.state, State::Resolved);
        let silent: Vec<_> = case.failing().map(|member| &member.cell).collect();
        assert_eq!(silent, [&cell("e")], "of it nobody says that it passes");
    }

    #[test]
    fn what_is_known_stands_while_it_explains_what_fails() {
        let unknown = |failing: &[&str]| Diagnosis {
            cause: Cause::Unknown { among: Vec::new() },
            confidence: 0.0,
            failing: failing.iter().map(|client| cell(client)).collect(),
            ..case(&["a"]).incident.diagnosis
        };
        let mut known = case(&["a"]).incident;
        let level = Cause::Level(Level::Client("a".into()));
        (known.diagnosis.cause, known.diagnosis.confidence) = (level.clone(), 0.97);
        let mut now = unknown(&["a"]);
        known.keep_known(&mut now);
        assert_eq!((&now.cause, now.confidence), (&level, 0.97));
        let mut wider = unknown(&["a", "b"]);
        known.keep_known(&mut wider);
        assert_eq!(wider, unknown(&["a", "b"]), "it does not explain `b`");
        let mut other = unknown(&["b"]);
        other.cause = Cause::Level(Level::Client("b".into()));
        let named = other.clone();
        known.keep_known(&mut other);
        assert_eq!(other, named, "what is named anew stands");
    }

    #[test]
    fn a_rhythm_has_a_period() {
        let minutes = |n: u64| Some(Duration::from_secs(60 * n));
        let mut incident = case(&["a"]).incident;
        assert_eq!(incident.period(), None);
        assert_eq!(incident.told_as_over_after(), Duration::ZERO);
        (incident.reopened, incident.reopened_at) = (1, Some(at(600)));
        assert_eq!(incident.period(), minutes(10));
        assert_eq!(incident.told_as_over_after(), Duration::from_secs(20));
        assert_eq!(
            incident.returns_within(Duration::from_secs(900)),
            Duration::from_secs(1800)
        );
        (incident.reopened, incident.reopened_at) = (2, Some(at(1200)));
        assert!(incident.comes_and_goes());
        assert_eq!(Some(incident.told_as_over_after()), minutes(30));

        // Every half an hour: an incident of its own the second time, the same one from the third on.
        let mut incident = case(&["a"]).incident;
        incident.rhythm_since = Some(at(-1800));
        assert!(!incident.comes_and_goes());
        assert_eq!(
            Some(incident.returns_within(Duration::from_secs(900))),
            minutes(90)
        );
        (incident.reopened, incident.reopened_at) = (1, Some(at(1800)));
        assert!(incident.comes_and_goes());
        assert_eq!(incident.period(), minutes(30));
    }

    #[test]
    fn a_cell_leaves_when_it_passes_while_others_fail() {
        let mut case = case(&["a", "b"]);
        let turns: Vec<Turn> = (1..=4)
            .map(|step| {
                let turn = case.observe(&cell("a"), Kind::Pass, false, at(20 * step));
                case.observe(&cell("b"), Kind::EdgeBlock, true, at(20 * step + 5));
                turn
            })
            .collect();
        assert_eq!(turns, [Turn::Comes, Turn::None, Turn::Left, Turn::None]);
        assert!(case.holds(&cell("b")));
    }
}
