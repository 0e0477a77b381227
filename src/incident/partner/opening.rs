//! How something that is certainly wrong becomes an incident of the partner.
//!
//! The order of blame is never "them" while nothing comes through from an egress for anybody: what fails there
//! waits until that is told as our own side's, or something passes; then it is asked again first.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::board::Board;
use crate::domain::cell::CellKey;
use crate::domain::incident::IncidentCell;
use crate::domain::moment::later;
use crate::domain::verdict::{Kind, Tell};
use crate::incident::case::{Case, Opening, majority};
use crate::incident::notify::Statement;
use crate::incident::ours::is_silence;
use crate::incident::partner::Partner;
use crate::incident::partner::Running;
use crate::incident::partner::Trouble;
use crate::incident::partner::World;
use crate::incident::partner::ahead;
use crate::incident::partner::monitor_alone::Alone;
use crate::judge::ways::Standing;

/// How long it waits for its cause, so that the first message names it, while an answer is on its way.
const HOLD_CAUSE: Duration = Duration::from_secs(20);
/// How long a certain fault waits for the controls of its egress to answer.
const HOLD_UNSEEN: Duration = Duration::from_secs(60);

/// When to look again whether an incident must still be held back.
pub(super) fn look_at(trouble: &Trouble) -> Option<Timestamp> {
    if trouble.case.is_some() || trouble.ended_at.is_some() {
        return None;
    }
    let looked = trouble.looked_at.unwrap_or(trouble.sure_at);
    [HOLD_CAUSE, HOLD_UNSEEN]
        .map(|limit| later(trouble.sure_at, limit))
        .into_iter()
        .find(|at| looked < *at)
}

impl Partner {
    /// Opens what is certain, unless it may be our own side's.
    pub(super) fn try_open(&mut self, world: &mut World<'_>) {
        let count = self.running.as_ref().map_or(0, |r| r.troubles.len());
        for place in 0..count {
            let Some(running) = &mut self.running else {
                return;
            };
            let trouble = &mut running.troubles[place];
            if trouble.case.is_some() || trouble.ended_at.is_some() {
                continue;
            }
            trouble.looked_at = Some(world.now);
            let cells = running.members(world.board, place);
            if cells.is_empty() || running.is_about_to_tell(world, place, &cells) {
                continue;
            }
            match running.alone(world, place, &cells) {
                Alone::No => {}
                Alone::Ask(twins) => {
                    running.ask_twins(world, place, &twins);
                    continue;
                }
                Alone::Yes => {
                    self.tell_alone(world, place, cells);
                    continue;
                }
            }
            match running.blame(world, place, &cells) {
                Blame::Theirs => self.open(world, place, cells),
                Blame::AskControl => running.ask_control(world, place),
                Blame::AskAgain(cells) => running.ask_again(world, &cells),
            }
        }
    }

    fn open(&mut self, world: &mut World<'_>, place: usize, cells: Vec<IncidentCell>) {
        let Some(running) = self.running.as_mut() else {
            return;
        };
        if running.inherit(place, &cells) {
            return;
        }
        let onset_at = running.troubles[place].onset_at;
        let mut recent = self.recent.iter();
        let back = recent.position(|recent| world.is_back(recent, onset_at, &cells));
        let back = back.map(|place| self.recent.remove(place));
        let mut recent = self.recent.iter().rev();
        let like = recent.find(|recent| world.came_before(recent, onset_at, &cells));
        let rhythm_since = like.map(|recent| recent.opened_at);
        let failed_runs = running
            .failures
            .iter()
            .filter(|(at, cell, _)| *at >= onset_at && cells.iter().any(|m| m.cell == *cell))
            .count() as u32;
        let subject = running.subject(world.board, place, &cells, &self.name);
        let diagnosis = running.diagnosis(world.board, world.ways, place, &cells);
        let opening = Opening {
            number: 0,
            subject,
            onset_at,
            last_good_at: world.last_good_before(onset_at, &cells),
            cells,
            diagnosis,
            failed_runs,
            rhythm_since,
        };
        let mut case = world.begin(back, opening);
        case.incident.extra_runs = case
            .incident
            .extra_runs
            .saturating_add(std::mem::take(&mut running.loose));
        for id in running.references.drain(..) {
            case.refer(&id);
        }
        running.choose_specimens(&mut case);
        let trouble = &mut running.troubles[place];
        world.announce(&mut case, onset_at, std::mem::take(&mut trouble.notes));
        trouble.statement = Some(Statement::new(&case.incident));
        trouble.case = Some(case);
        trouble.dirty = false;
    }
}

/// Whose fault it is, as far as is known.
enum Blame {
    Theirs,
    /// Others must answer first.
    AskControl,
    /// What these cells showed was seen while our own side was in the way.
    AskAgain(Vec<CellKey>),
}

impl Running {
    /// The failing cells of an incident: those that its causes hit, or that no other cause explains.
    pub(super) fn members(&self, board: &Board, place: usize) -> Vec<IncidentCell> {
        let trouble = &self.troubles[place];
        let claimed = self.causes(trouble.id).next().is_some();
        let fits = |key: &CellKey| {
            if claimed {
                self.causes(trouble.id).any(|cause| self.hits(cause, key))
            } else {
                !self.named().any(|cause| self.hits(cause, key))
            }
        };
        let mut cells: BTreeMap<&CellKey, IncidentCell> = BTreeMap::new();
        for (at, key, kind) in &self.failures {
            let known = board.get(key);
            let ours = known.is_none_or(|cell| cell.control_probe);
            if *at < trouble.onset_at || ours || !fits(key) {
                continue;
            }
            cells
                .entry(key)
                .and_modify(|member| (member.kind, member.last_at) = (*kind, *at))
                .or_insert_with(|| IncidentCell {
                    asked: None,
                    cell: key.clone(),
                    kind: *kind,
                    failing: true,
                    since: *at,
                    last_at: *at,
                });
        }
        let still = |member: &&IncidentCell| {
            let last = board.get(&member.cell).and_then(|cell| cell.last);
            last.is_some_and(|last| last.failed)
        };
        // A fault that comes and goes has members that passed last.
        if cells.values().any(|member| still(&member)) && !self.comes_and_goes(trouble.id) {
            cells.retain(|_, member| still(&&*member));
        }
        cells.into_values().collect()
    }

    pub(super) fn comes_and_goes(&self, id: u32) -> bool {
        self.causes(id)
            .any(|cause| !cause.always_strikes() || cause.special.is_some())
    }

    /// Whether the engine waits for an answer that may name the cause, and has not waited long.
    fn is_about_to_tell(&self, world: &World<'_>, place: usize, cells: &[IncidentCell]) -> bool {
        let trouble = &self.troubles[place];
        let asks = self
            .asked
            .iter()
            .any(|asked| asked.ask.is_some() && asked.at <= later(world.now, HOLD_CAUSE));
        asks && self.engine.asking() == Some(trouble.id)
            && self.causes(trouble.id).next().is_none()
            && ahead(trouble.sure_at, HOLD_CAUSE, world.now).is_some()
            && !is_quick(world, cells)
    }

    /// Whether the partner may be blamed for these cells.
    fn blame(&self, world: &World<'_>, place: usize, cells: &[IncidentCell]) -> Blame {
        let trouble = &self.troubles[place];
        let silence = is_silence(majority(cells).unwrap_or(Kind::Unexpected));
        let waited = ahead(trouble.sure_at, HOLD_UNSEEN, world.now).is_none();
        let (mut theirs, mut wait, mut again) = (false, false, Vec::new());
        for member in cells {
            let (egress, ways) = (&member.cell.egress, world.ways);
            let Some(cell) = world.board.get(&member.cell) else {
                continue;
            };
            if is_silence(member.kind) && ways.lit_at(egress) >= Some(member.last_at) {
                again.push(member.cell.clone());
                continue;
            }
            match ways.standing(egress, cell.party, trouble.onset_at) {
                Standing::Down => wait = true,
                Standing::Unseen if silence && !waited => wait = true,
                _ => theirs = true,
            }
        }
        match (theirs, wait) {
            (_, true) if silence || !theirs => Blame::AskControl,
            (false, false) if !again.is_empty() => Blame::AskAgain(again),
            _ => Blame::Theirs,
        }
    }

    /// Takes over the open incident that the engine was done with, when the same cells fail again.
    fn inherit(&mut self, place: usize, cells: &[IncidentCell]) -> bool {
        let shares = |case: &Case| cells.iter().any(|cell| case.holds(&cell.cell));
        let old = self.troubles.iter().position(|trouble| {
            trouble.ended_at.is_some() && trouble.case.as_ref().is_some_and(shares)
        });
        let Some(old) = old else {
            return false;
        };
        let ended = &mut self.troubles[old];
        let (case, statement, named_at) =
            (ended.case.take(), ended.statement.take(), ended.named_at);
        let trouble = &mut self.troubles[place];
        (trouble.case, trouble.statement, trouble.dirty) = (case, statement, true);
        trouble.named_at = named_at;
        for cell in cells {
            if let Some(case) = &mut trouble.case {
                case.join(cell.clone());
            }
        }
        true
    }
}

/// Whether the first word is wanted before the cause.
fn is_quick(world: &World<'_>, cells: &[IncidentCell]) -> bool {
    let mut probes = cells
        .iter()
        .filter_map(|c| world.board.plan.probe(&c.cell.probe));
    probes.any(|probe| probe.tell == Tell::Quick)
}
