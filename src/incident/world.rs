//! What a step of an incident may use of the rest of the world, and what it leaves there: messages, runs, incidents to store.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::notify::{self, Face, News, Occasion, Statement};
use crate::board::events::{Effect, Judged};
use crate::board::{Board, Cell};
use crate::domain::cell::{CellKey, EgressName};
use crate::domain::change::Change;
use crate::domain::habits::Past;
use crate::domain::incident::{
    Beside, Care, Happening, Incident, IncidentCell, State, Subject, TimelineEntry,
};
use crate::domain::moment::later;
use crate::domain::notification::{Notification, Reason};
use crate::domain::probe::Probe;
use crate::domain::verdict::Kind;
use crate::incident::case::{Case, Opening, entry};
use crate::judge::class::Class;
use crate::judge::ways::Ways;
use crate::surroundings::Surroundings;
use crate::words::briefing;

/// Counters of an open incident are stored this often when nothing else changes.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// What fails again within this time of its end may have a rhythm; what comes back once a day is news each time.
const RHYTHM_WITHIN: Duration = Duration::from_secs(2 * 3600);
/// Of the extra requests that a host may get in an hour, those that see how large a share fails leave so many for
/// what names a cause: one in so many.
const SURVEYS_LEAVE: usize = 3;

/// What a step may use of the rest of the world.
#[derive(Debug)]
pub struct World<'a> {
    pub board: &'a Board,
    /// Egresses whose own network is at fault; what fails from there says nothing of a host.
    pub down: &'a BTreeSet<EgressName>,
    /// Whether our own side works.
    pub ways: &'a Ways,
    pub now: Timestamp,
    /// Extra requests of the last hour, by host.
    pub hours: &'a mut [Hour],
    pub next_number: &'a mut u64,
    /// What was wrong before.
    pub past: &'a Past,
    pub surroundings: &'a mut Surroundings,
    pub effects: &'a mut Vec<Effect>,
}

impl World<'_> {
    /// Whether an incident that is over came back with these cells.
    pub fn is_back(&self, recent: &Incident, onset_at: Timestamp, cells: &[IncidentCell]) -> bool {
        let within = recent.returns_within(self.board.plan.incidents.reopen_within);
        recent
            .resolved_at
            .is_some_and(|at| later(at, within) >= onset_at)
            && self.is_alike(recent, cells)
    }

    /// Whether what fails may be what failed in an incident that is over: some of its cells, or others of its host in
    /// the same way that its cause, as far as it was known, would hit too. A short spell shows only some of them.
    fn is_alike(&self, recent: &Incident, cells: &[IncidentCell]) -> bool {
        let known = |cell: &CellKey| recent.cells.iter().any(|known| known.cell == *cell);
        if cells.iter().any(|member| known(&member.cell)) {
            return true;
        }
        let host = |cell: &CellKey| self.board.plan.probe(&cell.probe).map(Probe::host);
        let hosts: BTreeSet<_> = recent.cells.iter().map(|known| host(&known.cell)).collect();
        let then = Class::of(recent.kind).mechanism();
        let may_be = |member: &IncidentCell| {
            let now = Class::of(member.kind);
            now.failed()
                && now.mechanism() == then
                && recent.diagnosis.cause.covers(&member.cell) != Some(false)
                && hosts.contains(&host(&member.cell))
        };
        !cells.is_empty() && cells.iter().all(may_be)
    }

    /// Whether an incident that is over may be an earlier beat of the rhythm in which these cells fail.
    pub fn came_before(
        &self,
        recent: &Incident,
        onset_at: Timestamp,
        cells: &[IncidentCell],
    ) -> bool {
        recent
            .resolved_at
            .is_some_and(|at| later(at, RHYTHM_WITHIN) >= onset_at)
            && self.is_alike(recent, cells)
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
    ///
    /// What runs that were heard of late show of its cells is in it: it began when the first of them failed.
    pub fn begin(&mut self, back: Option<Incident>, mut opening: Opening) -> Case {
        for member in opening.cells.iter_mut().filter(|member| member.failing) {
            if let Some(since) = self.board.failing_since(&member.cell) {
                member.since = member.since.min(since);
                opening.onset_at = opening.onset_at.min(since);
            }
        }
        if let Some(recent) = back {
            return Case::reopen(recent, opening, self.now);
        }
        opening.number = *self.next_number;
        *self.next_number += 1;
        let mut case = Case::open(opening, self.now);
        case.incident.earlier = self.past.with(&case.incident.subject, self.now);
        case
    }

    /// Tells of an incident that was just opened, or opened again, and saves it; `notes` are of the time since its onset.
    pub fn announce(&mut self, case: &mut Case, onset_at: Timestamp, notes: Vec<TimelineEntry>) {
        let mut timeline = notes;
        let unheard = matches!(case.incident.subject, Subject::Site(_));
        let first = case.failing().min_by_key(|member| member.since);
        if let Some(first) = first.filter(|_| !unheard) {
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
        if matches!(kind, Kind::ConnectError | Kind::Timeout) && case.incident.ways.is_empty() {
            let ways = self.surroundings.ways(self.board, &cells);
            case.incident.ways = ways;
        }
        let cells: Vec<&CellKey> = case.failing().map(|member| &member.cell).collect();
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

/// One run of a cell, as a subject sees it.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    pub cell: &'a Cell,
    pub judged: &'a Judged,
    /// Start of the run, never after now.
    pub at: Timestamp,
    /// Whether it failed.
    pub failed: bool,
}

/// The extra requests to one host in the last hour, whatever they were for.
#[derive(Debug, Default, Clone)]
pub struct Hour {
    /// When they were due, oldest first.
    due: VecDeque<Timestamp>,
    /// So many may be made in any hour, over all incidents.
    most: usize,
}

impl Hour {
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            due: VecDeque::new(),
            most,
        }
    }

    /// The same hour where more or fewer may be made.
    #[must_use]
    pub fn of_at_most(mut self, most: usize) -> Self {
        let beyond = self.due.len().saturating_sub(most);
        self.due.drain(..beyond);
        self.most = most;
        self
    }

    /// Whether no more may be made.
    #[must_use]
    pub fn full(&self, now: Timestamp) -> bool {
        self.made(now) >= self.most
    }

    /// Whether what is left is for naming a cause.
    #[must_use]
    pub fn full_for_surveys(&self, now: Timestamp) -> bool {
        self.made(now) >= self.most - self.most / SURVEYS_LEAVE
    }

    fn made(&self, now: Timestamp) -> usize {
        let hour = SignedDuration::from_hours(1);
        let ago = now.checked_sub(hour).unwrap_or(now);
        // Requests are booked minutes ahead at most; a later one is from before the clock was set back.
        let ahead = now.checked_add(hour).unwrap_or(now);
        let counts = |at: &&Timestamp| **at > ago && **at <= ahead;
        self.due.iter().filter(counts).count()
    }

    pub fn note(&mut self, at: Timestamp) {
        if self.due.len() >= self.most {
            self.due.pop_front();
        }
        // One that is booked for a quiet minute may come after one that is booked later.
        let place = self.due.partition_point(|known| *known <= at);
        self.due.insert(place, at);
    }
}

/// Tells whoever reads something else now that stands, everybody that another `answer` comes, and whom the time makes
/// it due to; keeps what is new.
pub fn retell(
    world: &mut World<'_>,
    case: &mut Case,
    statement: &mut Statement,
    answer: Option<&str>,
    mut timeline: Vec<TimelineEntry>,
) -> Option<Face> {
    let (plan, quiet) = (&world.board.plan, &world.board.quiet);
    let bounds = || notify::bounds(plan, &case.incident);
    let news = match answer {
        Some(_) => News::Told {
            before: statement.follow(&case.incident),
            since: world.now,
        },
        None => statement.turn(&case.incident, bounds, world.now),
    };
    if let News::Told { before, since } = &news
        && !before.same_cause(&case.incident)
    {
        let text = briefing::headline(plan, &case.incident);
        timeline.push(entry(*since, Happening::Changed, text));
    }
    let occasion = match (answer, &news) {
        (Some(change), _) => {
            timeline.push(entry(world.now, Happening::Changed, change));
            Occasion::Answered { change }
        }
        (None, News::Told { before, .. }) => Occasion::Changed { before },
        (None, _) => Occasion::Time,
    };
    let timely = || notify::next_at(plan, quiet, &case.incident).is_some_and(|at| at <= world.now);
    let mut notifications = Vec::new();
    if matches!(news, News::Told { .. }) || timely() {
        let mut due = notify::due(plan, quiet, &mut case.incident, occasion, world.now);
        timeline.append(&mut due.timeline);
        notifications = due.notifications;
    } else if timeline.is_empty() && news == News::None {
        return None;
    }
    if notifications.iter().any(|n| n.reason == Reason::Reminder) {
        statement.follow(&case.incident);
    }
    save(world, case, timeline, notifications);
    match news {
        News::Told { before, .. } => Some(before),
        _ => None,
    }
}

/// Notes that somebody looks after the incident, or nobody any more, and tells who knows of it.
pub fn care(world: &mut World<'_>, case: &mut Case, care: &Care) {
    let known = case.incident.acknowledged.as_ref();
    let (what, text) = match (care, known) {
        (Care::Taken(by), Some(known)) if known.by == by.by => return,
        (Care::Taken(by), Some(known)) => (
            Happening::Acknowledged,
            format!("acknowledged by {}, in place of {}", by.by, known.by),
        ),
        (Care::Taken(by), None) => (
            Happening::Acknowledged,
            format!("acknowledged by {}", by.by),
        ),
        (Care::Released(_), None) => return,
        (Care::Released(by), Some(known)) if known.by == by.by => (
            Happening::Released,
            format!("{} no longer looks after it", by.by),
        ),
        (Care::Released(by), Some(known)) => (
            Happening::Released,
            format!("{} no longer looks after it, says {}", known.by, by.by),
        ),
    };
    case.incident.acknowledged = match care {
        Care::Taken(by) => Some(by.clone()),
        Care::Released(_) => None,
    };
    let mut timeline = vec![entry(world.now, what, text)];
    let (plan, quiet) = (&world.board.plan, &world.board.quiet);
    let occasion = Occasion::Acknowledged;
    let mut due = notify::due(plan, quiet, &mut case.incident, occasion, world.now);
    timeline.append(&mut due.timeline);
    save(world, case, timeline, due.notifications);
}

/// Tells who heard that an incident is no longer watched that it is watched again, and saves it.
pub fn tell_watched_again(world: &mut World<'_>, case: &mut Case) {
    let text = "watched again: the file asks again as when it failed";
    let mut timeline = vec![entry(world.now, Happening::Reopened, text)];
    let (plan, quiet) = (&world.board.plan, &world.board.quiet);
    let occasion = Occasion::WatchedAgain;
    let mut due = notify::due(plan, quiet, &mut case.incident, occasion, world.now);
    timeline.append(&mut due.timeline);
    save(world, case, timeline, due.notifications);
}

/// Hands an incident out as it is now, with what is new of it.
pub fn save(
    world: &mut World<'_>,
    case: &mut Case,
    timeline: Vec<TimelineEntry>,
    notifications: Vec<Notification>,
) {
    case.stale = false;
    case.saved_at = world.now;
    case.note_asked(world.board);
    world.effects.push(Effect::Save(Box::new(Change {
        incident: case.incident.clone(),
        timeline,
        notifications,
    })));
}

/// Stores counters that moved, now and then.
pub fn save_counters(world: &mut World<'_>, case: &mut Case) {
    if case.stale && later(case.saved_at, SAVE_EVERY) <= world.now {
        save(world, case, Vec::new(), Vec::new());
    }
}

/// Ends an incident, and tells who knows of it; returns it as it was stored.
pub fn close(
    world: &mut World<'_>,
    mut case: Case,
    mut timeline: Vec<TimelineEntry>,
    text: &str,
) -> Incident {
    case.end(world.now);
    let (what, occasion) = match case.incident.state {
        State::Unwatched => (Happening::Removed, Occasion::Unwatched),
        _ => (Happening::Resolved, Occasion::Resolved),
    };
    timeline.push(entry(world.now, what, text));
    let (plan, quiet) = (&world.board.plan, &world.board.quiet);
    let due = notify::due(plan, quiet, &mut case.incident, occasion, world.now);
    save(world, &mut case, timeline, due.notifications);
    case.incident
}

/// Closes what the configuration has no failing cell of any more.
pub fn remove(world: &mut World<'_>, mut case: Case, timeline: Vec<TimelineEntry>) {
    case.fit(|_| None);
    let text = "no longer watched: the configuration asks none of what failed as it was any more";
    close(world, case, timeline, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn an_hour_forgets_the_earliest_not_the_first_booked() {
        let mut hour = Hour::new(30);
        hour.note(at(65));
        (0..29).for_each(|second| hour.note(at(second)));
        assert!(hour.full(at(30)));
        assert!(!hour.full(at(3600)), "one is an hour old");
        hour.note(at(3600));
        assert!(hour.full(at(3600)), "the one of 65 s still counts");
    }

    #[test]
    fn an_hour_has_a_bound() {
        let mut hour = Hour::new(30);
        let mut asked = Vec::new();
        for second in 0..7200 {
            if !hour.full(at(second)) {
                hour.note(at(second));
                asked.push(second);
            }
        }
        let expected: Vec<i64> = (0..30).chain(3600..3630).collect();
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_clock_set_back_by_a_day_leaves_an_hour_free() {
        let mut hour = Hour::new(30);
        for second in 0..30 {
            hour.note(at(86_400 + second));
        }
        assert!(hour.full(at(86_430)));
        assert!(!hour.full(at(30)));
    }
}
