//! What works, and not as well as it should: one incident a host, told to engineers as a warning.
//!
//! A certificate that runs out soon or an answer that is right and late turns nobody away. Whoever judges refusals
//! must not take it for one, nor lose the answers that a refused client is compared with: to the partner's judge such a
//! run is a pass, and here it is counted. Nothing is asked ahead of the schedule for it: a warning has time.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::case::{Case, Opening, Turn, entry};
use super::notify::{self, Statement};
use super::world::{self, Run, World};
use crate::board::Board;
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::{Cause, Diagnosis};
use crate::domain::incident::{
    Care, Happening, Incident, IncidentCell, Specimen, State, Subject, TimelineEntry,
};
use crate::domain::moment::later;
use crate::domain::renames::Renames;
use crate::domain::verdict::Kind;
use crate::words::evidence;

/// So many runs of a host, with no good one of their cells between, over so long; or two over an hour.
const RUNS_MIN: u32 = 3;
const SPAN: Duration = Duration::from_secs(100);
const FEW_MIN: u32 = 2;
const FEW_SPAN: Duration = Duration::from_secs(3600);
/// How sure it is: it stands in the answers themselves.
const SURE: f64 = 0.99;
/// Cells of one host that are counted.
const ROWS_MAX: usize = 1000;
/// Incidents that are over, kept for their return.
const RECENT_MAX: usize = 50;

/// What is remembered of every host, by its name.
#[derive(Debug, Default)]
pub struct Mild {
    hosts: BTreeMap<String, Host>,
    recent: Vec<Incident>,
}

#[derive(Debug, Default)]
struct Host {
    rows: BTreeMap<CellKey, Row>,
    specimen: Option<Specimen>,
    case: Option<Case>,
    /// How the incident looked when it was told last.
    statement: Option<Statement>,
    notes: Vec<TimelineEntry>,
    /// Members changed since the last diagnosis.
    dirty: bool,
}

/// Runs of a cell in a row that were warned of.
#[derive(Debug, Clone, Copy)]
struct Row {
    runs: u32,
    since: Timestamp,
    last_at: Timestamp,
}

impl Host {
    fn is_idle(&self) -> bool {
        self.case.is_none() && self.rows.is_empty()
    }

    fn since(&self) -> Option<Timestamp> {
        self.rows.values().map(|row| row.since).min()
    }

    fn is_certain(&self) -> bool {
        let runs: u32 = self.rows.values().map(|row| row.runs).sum();
        let last = self.rows.values().map(|row| row.last_at).max();
        let (Some(since), Some(last)) = (self.since(), last) else {
            return false;
        };
        let over = |span: Duration| later(since, span) <= last;
        runs >= RUNS_MIN && over(SPAN) || runs >= FEW_MIN && over(FEW_SPAN)
    }

    fn members(&self) -> Vec<IncidentCell> {
        let rows = self.rows.iter();
        rows.map(|(cell, row)| IncidentCell {
            asked: None,
            cell: cell.clone(),
            kind: Kind::Warning,
            failing: true,
            since: row.since,
            last_at: row.last_at,
        })
        .collect()
    }

    fn diagnosis(&self, board: &Board, host: usize) -> Diagnosis {
        let cells = board.hosts[host].cells.iter().map(|id| &board.cells[*id]);
        let well = cells.filter(|cell| {
            let passed = cell.last.is_some_and(|last| last.kind == Kind::Pass);
            passed && !cell.control_probe
        });
        let passing: Vec<CellKey> = well.map(|cell| cell.key.clone()).collect();
        Diagnosis {
            // A certificate is the host's, its paths are each client's; why answers come late nobody has asked.
            cause: match &self.specimen {
                Some(Specimen { verdict, .. })
                    if verdict.warns_of_certificate() && !verdict.warns_of_path() =>
                {
                    Cause::Everything
                }
                _ => Cause::Unknown { among: Vec::new() },
            },
            confidence: SURE,
            fails: None,
            failing: self.rows.keys().cloned().collect(),
            passing,
            ruled_out: Vec::new(),
            would_tell: None,
            split: None,
        }
    }
}

impl Mild {
    /// Takes up an incident of a former life; a resolved one is kept for its return.
    pub fn resume(&mut self, incident: Incident) {
        let Subject::Host(name) = &incident.subject else {
            return;
        };
        if incident.state != State::Open {
            self.keep_recent(incident);
            return;
        }
        let host = self.hosts.entry(name.clone()).or_default();
        let saved_at = incident.last_told_at.unwrap_or(incident.opened_at);
        let failing = incident.cells.iter().filter(|member| member.failing);
        host.rows.extend(failing.map(|member| {
            let row = Row {
                runs: 1,
                since: member.since,
                last_at: member.last_at,
            };
            (member.cell.clone(), row)
        }));
        host.specimen.clone_from(&incident.failing);
        host.statement = Some(Statement::new(&incident));
        host.case = Some(Case::resume(incident, saved_at));
    }

    fn keep_recent(&mut self, incident: Incident) {
        self.recent.push(incident);
        let surplus = self.recent.len().saturating_sub(RECENT_MAX);
        self.recent.drain(..surplus);
    }

    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        let cases = self.hosts.values().filter_map(|host| host.case.as_ref());
        cases.map(|case| &case.incident)
    }

    /// Whether a run of this host concerns it.
    #[must_use]
    pub fn wants(&self, board: &Board, run_of: usize, kind: Kind) -> bool {
        kind == Kind::Warning
            || kind == Kind::Pass && self.hosts.contains_key(&board.hosts[run_of].name)
    }

    /// Applies a run that was warned of, or that passed; what fails says nothing of either.
    pub fn observe(&mut self, world: &mut World<'_>, run: &Run<'_>) {
        let (key, kind, at) = (&run.cell.key, run.judged.kind(), run.at);
        if run.cell.control_probe {
            return;
        }
        let warned = kind == Kind::Warning;
        let name = world.board.hosts[run.cell.host].name.clone();
        let host = self.hosts.entry(name).or_default();
        if warned {
            if host.rows.len() < ROWS_MAX || host.rows.contains_key(key) {
                let row = host.rows.entry(key.clone()).or_insert(Row {
                    runs: 0,
                    since: at,
                    last_at: at,
                });
                (row.runs, row.last_at) = (row.runs.saturating_add(1), at);
            }
            let (board, judged) = (world.board, run.judged);
            let of = &judged.observation;
            let specimen = evidence::specimen(&board.plan, &board.secrets, of, &judged.verdict);
            host.specimen = specimen.or(host.specimen.take());
        } else {
            host.rows.remove(key);
        }
        if let Some(case) = &mut host.case {
            match case.observe(key, kind, warned, at) {
                Turn::Fails => host.dirty = true,
                Turn::Left => {
                    host.dirty = true;
                    let text = format!("{key} is well again while others are not");
                    host.notes.push(entry(at, Happening::Cells, text));
                }
                Turn::Comes | Turn::None => {}
            }
            if warned && !case.holds(key) {
                host.dirty |= case.join(IncidentCell {
                    asked: None,
                    cell: key.clone(),
                    kind,
                    failing: true,
                    since: at,
                    last_at: at,
                });
            }
        }
        if host.case.is_none() && host.is_certain() {
            self.open(world, run.cell.host);
        }
        self.settle(world, run.cell.host);
    }

    fn open(&mut self, world: &mut World<'_>, place: usize) {
        let name = &world.board.hosts[place].name;
        let Some(host) = self.hosts.get_mut(name) else {
            return;
        };
        let Some(onset_at) = host.since() else {
            return;
        };
        let cells = host.members();
        let back = self
            .recent
            .iter()
            .position(|recent| world.is_back(recent, onset_at, &cells));
        let back = back.map(|place| self.recent.remove(place));
        let opening = Opening {
            number: 0,
            subject: Subject::Host(name.clone()),
            onset_at,
            last_good_at: world.last_good_before(onset_at, &cells),
            diagnosis: host.diagnosis(world.board, place),
            rhythm_since: None,
            failed_runs: host.rows.values().map(|row| row.runs).sum(),
            cells,
        };
        let mut case = world.begin(back, opening);
        case.incident.failing.clone_from(&host.specimen);
        world.announce(&mut case, onset_at, std::mem::take(&mut host.notes));
        host.statement = Some(Statement::new(&case.incident));
        (host.case, host.dirty) = (Some(case), false);
    }

    /// Everything that follows from the present state of a host.
    fn settle(&mut self, world: &mut World<'_>, place: usize) {
        let name = &world.board.hosts[place].name;
        let Some(host) = self.hosts.get_mut(name) else {
            return;
        };
        let Some(mut case) = host.case.take() else {
            if host.is_idle() {
                self.hosts.remove(name);
            }
            return;
        };
        if std::mem::take(&mut host.dirty) {
            let found = host.diagnosis(world.board, place);
            case.stale |= case.incident.diagnosis != found;
            case.incident.diagnosis = found;
            case.incident.failing.clone_from(&host.specimen);
        }
        let notes = std::mem::take(&mut host.notes);
        let statement = host
            .statement
            .get_or_insert_with(|| Statement::new(&case.incident));
        world::retell(world, &mut case, statement, None, notes);
        if case.over(world.now) {
            let text = "what was warned of is well again";
            let over = world::close(world, case, Vec::new(), text);
            self.keep_recent(over);
            self.hosts.remove(name);
            return;
        }
        world::save_counters(world, &mut case);
        host.case = Some(case);
    }

    /// Nothing came, but time went by.
    pub fn tick(&mut self, world: &mut World<'_>) {
        let names: Vec<String> = self.hosts.keys().cloned().collect();
        for name in names {
            if let Some(place) = world.board.host(&name) {
                self.settle(world, place);
            }
        }
    }

    /// When a tick would do something.
    #[must_use]
    pub fn next_wake(&self, board: &Board) -> Option<Timestamp> {
        let hosts = self.hosts.values();
        hosts
            .filter_map(|host| {
                let incident = &host.case.as_ref()?.incident;
                let told = notify::next_at(&board.plan, &board.quiet, incident);
                let news = host.statement.as_ref().and_then(|s| s.due_at(incident));
                told.into_iter().chain(news).min()
            })
            .min()
    }

    /// Somebody looks after the incident with this number, which may be another's, or no longer.
    pub fn care(&mut self, world: &mut World<'_>, number: u64, care: &Care) {
        let cases = self
            .hosts
            .values_mut()
            .filter_map(|host| host.case.as_mut());
        for case in cases.filter(|case| case.incident.number == number) {
            world::care(world, case, care);
        }
    }

    /// Calls what it holds as it is called now.
    pub fn rename(&mut self, renames: &Renames) {
        for host in self.hosts.values_mut() {
            host.rows.clear();
            if let Some(mut case) = host.case.take() {
                renames.apply(&mut case.incident);
                host.case = Some(Case::resume(case.incident, case.saved_at));
            }
        }
        for recent in &mut self.recent {
            renames.apply(recent);
        }
    }

    /// Lets go of what is no longer configured; closes an incident that has no member left.
    pub fn fit(&mut self, world: &mut World<'_>) {
        let board = world.board;
        for (name, mut host) in std::mem::take(&mut self.hosts) {
            host.rows.retain(|cell, _| board.id(cell).is_some());
            if let Some(mut case) = host.case.take() {
                let fitted = case.fit(|cell| board.id(cell).and_then(|_| board.plan.mark(cell)));
                if case.failing().next().is_none() {
                    world::remove(world, case, std::mem::take(&mut host.notes));
                    continue;
                }
                if let Some(text) = fitted.said() {
                    host.dirty = true;
                    host.notes.push(entry(world.now, Happening::Cells, text));
                }
                host.case = Some(case);
            }
            self.hosts.insert(name, host);
        }
        self.tick(world);
    }
}
