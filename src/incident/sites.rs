//! Sites whose agent is silent: one incident each, or one for all of them when we can't reach the server ourselves.
//!
//! That nothing is heard says nothing of any partner: cells of a silent site neither fail nor pass, and what is open
//! there stays open. So its members are the cells that nobody hears of, and it is over when the agent is heard again,
//! whatever that tells.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::case::{Case, Opening};
use super::notify::{self, Statement};
use super::world::{self, World};
use crate::board::Board;
use crate::domain::cell::{CellKey, EgressName};
use crate::domain::diagnosis::{Cause, Diagnosis};
use crate::domain::incident::{Care, Incident, IncidentCell, State, Subject};
use crate::domain::renames::Renames;
use crate::domain::subject::NATS;
use crate::domain::verdict::Kind;

/// Nobody guesses here: it was not heard.
const SURE: f64 = 0.99;
/// Incidents that are over, kept for their return.
const RECENT_MAX: usize = 50;

/// Every silent site, by its name.
#[derive(Debug, Default)]
pub struct Sites {
    cases: BTreeMap<String, (Case, Statement)>,
    recent: Vec<Incident>,
    /// As it was said last.
    silent: BTreeMap<String, Timestamp>,
}

impl Sites {
    /// Takes up an incident of a former life; a resolved one is kept for its return.
    ///
    /// Returns what is not about a site.
    pub fn resume(&mut self, incident: Incident) -> Option<Incident> {
        let Subject::Site(name) = &incident.subject else {
            return Some(incident);
        };
        if incident.state != State::Open {
            self.keep_recent(incident);
            return None;
        }
        let saved_at = incident.last_told_at.unwrap_or(incident.opened_at);
        self.silent.insert(name.clone(), incident.onset_at);
        let statement = Statement::new(&incident);
        self.cases
            .insert(name.clone(), (Case::resume(incident, saved_at), statement));
        None
    }

    fn keep_recent(&mut self, incident: Incident) {
        self.recent.push(incident);
        let surplus = self.recent.len().saturating_sub(RECENT_MAX);
        self.recent.drain(..surplus);
    }

    /// Open incidents.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.cases.values().map(|(case, _)| &case.incident)
    }

    /// Whether nobody hears of a cell at present.
    #[must_use]
    pub fn is_unheard(&self, board: &Board, egress: &EgressName) -> bool {
        let site = board.plan.site_of(egress);
        site.is_some_and(|site| self.silent.contains_key(site) || self.silent.contains_key(NATS))
    }

    /// Takes in which sites are silent, and since when; the others are heard.
    pub fn hear(&mut self, world: &mut World<'_>, silent: &BTreeMap<String, Timestamp>) {
        self.silent.clone_from(silent);
        let heard: Vec<String> = self
            .cases
            .keys()
            .filter(|name| !silent.contains_key(*name))
            .cloned()
            .collect();
        for name in heard {
            if let Some((case, _)) = self.cases.remove(&name) {
                let over = world::close(world, case, Vec::new(), "heard again");
                self.keep_recent(over);
            }
        }
        for (name, since) in silent {
            if !self.cases.contains_key(name) {
                self.open(world, name, *since);
            }
        }
    }

    fn open(&mut self, world: &mut World<'_>, name: &str, since: Timestamp) {
        let cells = members(world.board, name, since);
        if cells.is_empty() {
            return;
        }
        let back = self.recent.iter().position(|recent| {
            recent.subject == Subject::Site(name.to_owned()) && world.is_back(recent, since, &cells)
        });
        let back = back.map(|place| self.recent.remove(place));
        let opening = Opening {
            number: 0,
            subject: Subject::Site(name.to_owned()),
            onset_at: since,
            last_good_at: None,
            rhythm_since: None,
            diagnosis: diagnosis(&cells),
            failed_runs: 0,
            cells,
        };
        let mut case = world.begin(back, opening);
        world.announce(&mut case, since, Vec::new());
        let statement = Statement::new(&case.incident);
        self.cases.insert(name.to_owned(), (case, statement));
    }

    /// Nothing came, but time went by.
    pub fn tick(&mut self, world: &mut World<'_>) {
        for (case, statement) in self.cases.values_mut() {
            world::retell(world, case, statement, None, Vec::new());
            world::save_counters(world, case);
        }
    }

    /// When a tick would do something.
    #[must_use]
    pub fn next_wake(&self, board: &Board) -> Option<Timestamp> {
        let due = self.cases.values().flat_map(|(case, statement)| {
            let incident = &case.incident;
            let told = notify::next_at(&board.plan, &board.quiet, incident);
            told.into_iter().chain(statement.due_at(incident))
        });
        due.min()
    }

    /// Somebody looks after the incident with this number, which may be another's, or no longer.
    pub fn care(&mut self, world: &mut World<'_>, number: u64, care: &Care) {
        let cases = self.cases.values_mut().map(|(case, _)| case);
        for case in cases.filter(|case| case.incident.number == number) {
            world::care(world, case, care);
        }
    }

    /// Calls what it holds as it is called now.
    pub fn rename(&mut self, renames: &Renames) {
        for (case, _) in self.cases.values_mut() {
            renames.apply(&mut case.incident);
            let incident = case.incident.clone();
            *case = Case::resume(incident, case.saved_at);
        }
        for recent in &mut self.recent {
            renames.apply(recent);
        }
    }

    /// Lets go of what is no longer configured; closes what the file asks nothing of any more.
    pub fn fit(&mut self, world: &mut World<'_>) {
        let board = world.board;
        for (name, (mut case, statement)) in std::mem::take(&mut self.cases) {
            let there = |cell: &CellKey| {
                let site = board.plan.site_of(&cell.egress);
                site.is_some() && board.id(cell).is_some() && (name == NATS || site == Some(&name))
            };
            // How a cell is asked is no matter of who asks.
            case.incident.cells.retain(|member| there(&member.cell));
            if case.incident.cells.is_empty() {
                world::close(
                    world,
                    case,
                    Vec::new(),
                    "no longer watched: the file asks nothing there any more",
                );
                continue;
            }
            let since = case.incident.onset_at;
            for member in members(board, &name, since) {
                if !case.incident.cells.iter().any(|m| m.cell == member.cell) {
                    case.incident.cells.push(member);
                }
            }
            case.incident.diagnosis = diagnosis(&case.incident.cells);
            let fitted = Case::resume(case.incident, case.saved_at);
            self.cases.insert(name, (fitted, statement));
        }
        self.tick(world);
    }
}

/// The cells that nobody hears of.
fn members(board: &Board, name: &str, since: Timestamp) -> Vec<IncidentCell> {
    let mut cells: Vec<IncidentCell> = board
        .cells
        .iter()
        .filter(|cell| {
            let site = board.plan.site_of(&cell.key.egress);
            site.is_some_and(|site| name == NATS || site == name)
        })
        .map(|cell| IncidentCell {
            asked: None,
            cell: cell.key.clone(),
            kind: Kind::LocalError,
            failing: true,
            since,
            last_at: since,
        })
        .collect();
    cells.sort_by(|one, other| one.cell.cmp(&other.cell));
    cells
}

fn diagnosis(cells: &[IncidentCell]) -> Diagnosis {
    let mut egresses: Vec<EgressName> = cells.iter().map(|m| m.cell.egress.clone()).collect();
    egresses.sort();
    egresses.dedup();
    Diagnosis {
        cause: Cause::OurNetwork { egresses },
        confidence: SURE,
        fails: None,
        failing: cells.iter().map(|member| member.cell.clone()).collect(),
        passing: Vec::new(),
        ruled_out: Vec::new(),
        would_tell: None,
        split: None,
    }
}
