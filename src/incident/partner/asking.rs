//! Requests beyond the schedule: those that the engine wants, and those that see whether it is over.
//!
//! The engine keeps its own budget and never asks a refused credential more than three times. Here
//! every request is booked against the host's hour, told with its reason, and counted when it was made.

use std::time::Duration;

use jiff::Timestamp;

use crate::board::Board;
use crate::board::events::Effect;
use crate::domain::cell::CellKey;
use crate::domain::incident::{Happening, IncidentCell};
use crate::domain::moment::later;
use crate::domain::observation::Purpose;
use crate::domain::verdict::Kind;
use crate::incident::case::{Case, entry};
use crate::incident::partner::Running;
use crate::incident::partner::Trouble;
use crate::incident::partner::World;
use crate::incident::world::Run;
use crate::judge::engine::{Ask, Reason};
use crate::judge::explain;

/// Requests to see whether an incident is over, within their window.
const RECOVERY_RUNS_MAX: usize = 6;
const RECOVERY_WINDOW: Duration = Duration::from_secs(900);
/// The same, of what the schedule does not come to.
const SILENT_RUNS_MAX: usize = 2;
/// A member that did not run for so long, and for a quarter of the incident's age, is asked by itself.
const SILENT_FOR: Duration = Duration::from_secs(600);
/// Between the first pass and the next request that may confirm it.
const SOON: Duration = Duration::from_secs(2);
/// Beyond its timeout, how long an answer may stay away before the request counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// An extra request on its way.
#[derive(Debug)]
pub(super) struct Asked {
    cell: CellKey,
    purpose: Purpose,
    pub(super) at: Timestamp,
    why: String,
    /// The engine's, if it wanted it; else it is about recovery.
    pub(super) ask: Option<Ask>,
    incident: Option<u32>,
    /// Asked once more because the first was lost.
    again: bool,
}

impl Asked {
    fn lost_at(&self, board: &Board) -> Timestamp {
        later(self.answers_by(board), LOST_AFTER)
    }

    /// When its answer should have come: then another may be asked beside it.
    fn answers_by(&self, board: &Board) -> Timestamp {
        let probe = board.plan.probe(&self.cell.probe);
        let timeout = probe.map(|probe| probe.timeout).unwrap_or_default();
        later(self.at, timeout + SOON)
    }
}

impl Running {
    /// When the next request counts as lost.
    pub(super) fn next_lost_at(&self, board: &Board) -> Option<Timestamp> {
        self.asked.iter().map(|asked| asked.lost_at(board)).min()
    }

    /// Forgets requests whose answer is overdue; what the engine still wants is asked once more.
    pub(super) fn give_up_lost(&mut self, world: &mut World<'_>) {
        let (now, board) = (world.now, world.board);
        let (lost, waiting): (Vec<Asked>, Vec<Asked>) = std::mem::take(&mut self.asked)
            .into_iter()
            .partition(|asked| asked.lost_at(board) <= now);
        self.asked = waiting;
        for mut asked in lost {
            let wanted = |ask: &Ask| self.engine.still_wanted(ask);
            if !asked.again && asked.ask.as_ref().is_some_and(wanted) {
                (asked.again, asked.at) = (true, now);
                self.book(world, asked);
            }
        }
    }

    /// Books what the engine asks for, unless the host was asked often enough this hour.
    pub(super) fn ask(&mut self, world: &mut World<'_>, ask: Ask) {
        let why = match ask.reason {
            Reason::FailedOnce => "the same again, to tell a fault from weather".to_owned(),
            Reason::FailsAtTimes => "to see how large a share fails".to_owned(),
            Reason::Witness { rule } => {
                let rule = &self.layout.book.rules[rule];
                format!(
                    "a witness for: {}",
                    explain::rule(&self.layout.universe, rule)
                )
            }
            Reason::TellsMost(_) => "of all requests this one tells most".to_owned(),
            Reason::BlockedAnyway => "in place of one that is refused anyway".to_owned(),
        };
        let cell = self.layout.key(ask.cell).clone();
        let wait = Duration::try_from_secs_f64(ask.at - self.clock).unwrap_or_default();
        let at = later(world.now, wait);
        self.book(
            world,
            Asked {
                cell,
                purpose: ask.purpose,
                at,
                why,
                incident: ask.incident,
                ask: Some(ask),
                again: false,
            },
        );
    }

    fn book(&mut self, world: &mut World<'_>, asked: Asked) {
        let Some(known) = world.board.get(&asked.cell) else {
            return;
        };
        let hour = &world.hours[known.host];
        let surveys = |ask: &Ask| ask.reason == Reason::FailsAtTimes;
        let full = if asked.ask.as_ref().is_some_and(surveys) {
            hour.full_for_surveys(world.now)
        } else {
            hour.full(world.now)
        };
        if full || world.down.contains(&asked.cell.egress) {
            return;
        }
        world.hours[known.host].note(asked.at);
        let number = asked.incident.and_then(|id| self.number(id));
        world.effects.push(Effect::Run {
            cell: asked.cell.clone(),
            at: asked.at,
            purpose: asked.purpose,
            why: asked.why.clone(),
            incident: number,
        });
        self.asked.push(asked);
    }

    fn number(&self, id: u32) -> Option<u64> {
        let trouble = self.troubles.iter().find(|trouble| trouble.id == id)?;
        Some(trouble.case.as_ref()?.incident.number)
    }

    /// Counts and notes an extra request that was answered.
    pub(super) fn answered(&mut self, run: &Run<'_>, kind: Kind) {
        let purpose = run.judged.observation.purpose;
        if !matches!(purpose, Purpose::Confirm | Purpose::Counter) {
            return;
        }
        let key = &run.cell.key;
        let Some(place) = self
            .asked
            .iter()
            .position(|asked| asked.cell == *key && asked.purpose == purpose)
        else {
            return;
        };
        let asked = self.asked.swap_remove(place);
        let text = format!(
            "asked ahead of the schedule: {key}: {} ({})",
            kind.label(),
            asked.why
        );
        let note = entry(run.at, Happening::ExtraRun, text);
        let trouble = asked
            .incident
            .and_then(|id| self.troubles.iter_mut().find(|trouble| trouble.id == id));
        let Some(trouble) = trouble else {
            self.loose = self.loose.saturating_add(1);
            if self.notes.len() < super::NOTES_MAX {
                self.notes.push(note);
            }
            return;
        };
        trouble.remember(note);
        if let Some(case) = &mut trouble.case {
            case.incident.extra_runs = case.incident.extra_runs.saturating_add(1);
            case.stale = true;
        } else {
            self.loose = self.loose.saturating_add(1);
        }
    }

    /// Whether an extra request that is due is still worth making; one that is not is forgotten.
    pub(super) fn wants(&mut self, cell: &CellKey, purpose: Purpose) -> bool {
        let Some(place) = self
            .asked
            .iter()
            .position(|asked| asked.cell == *cell && asked.purpose == purpose)
        else {
            return false;
        };
        let asked = &self.asked[place];
        let wanted = match (&asked.ask, asked.incident) {
            (Some(ask), _) => self.engine.still_wanted(ask),
            (None, Some(id)) => self.troubles.iter().any(|trouble| {
                let case = trouble.case.as_ref().filter(|_| trouble.id == id);
                let silent = |case: &Case| case.member(cell).is_some_and(|m| m.last_at < asked.at);
                case.is_some_and(|case| case.recovering() || silent(case))
            }),
            // Whether a control answers is always worth knowing while something is held back.
            (None, None) => !self.troubles.is_empty(),
        };
        if !wanted {
            self.asked.swap_remove(place);
        }
        wanted
    }

    /// Asks members that have not passed yet, once one has; then any, until enough passes stand together.
    pub(super) fn ask_recovering(&mut self, world: &mut World<'_>) {
        let now = world.now;
        let mut wanted: Vec<Asked> = Vec::new();
        for trouble in &mut self.troubles {
            let waits = self.asked.iter().any(|asked| {
                let for_it = asked.incident == Some(trouble.id) && asked.ask.is_none();
                for_it && asked.answers_by(world.board) > now
            });
            let lately = |at: &Timestamp| later(*at, RECOVERY_WINDOW) > now;
            trouble.recovery_runs.retain(lately);
            trouble.silent_runs.retain(lately);
            if waits {
                continue;
            }
            let member = if trouble.recovery_runs.len() < RECOVERY_RUNS_MAX {
                next_member(trouble, world)
            } else {
                None
            };
            let (cell, wait) = if let Some(member) = member {
                trouble.recovery_runs.push(now);
                member
            } else if trouble.silent_runs.len() < SILENT_RUNS_MAX
                && let Some(cell) = silent_member(trouble, world)
            {
                trouble.silent_runs.push(now);
                (cell, Duration::ZERO)
            } else {
                continue;
            };
            wanted.push(Asked {
                cell,
                purpose: Purpose::Confirm,
                at: later(now, wait),
                why: "to see whether it is over".to_owned(),
                ask: None,
                incident: Some(trouble.id),
                again: false,
            });
        }
        for asked in wanted {
            self.book(world, asked);
        }
    }

    /// Asks again what was seen while our own side was in the way.
    pub(super) fn ask_again(&mut self, world: &mut World<'_>, cells: &[CellKey]) {
        for cell in cells.iter().take(RECOVERY_RUNS_MAX) {
            if self.asked.iter().any(|asked| asked.cell == *cell) {
                continue;
            }
            self.book(
                world,
                Asked {
                    cell: cell.clone(),
                    purpose: Purpose::Confirm,
                    at: later(world.now, SOON),
                    why: "our own side was in its way".to_owned(),
                    ask: None,
                    incident: None,
                    again: false,
                },
            );
        }
    }

    /// Asks the programs that failing cells stand in for, one after the other.
    pub(super) fn ask_twins(&mut self, world: &mut World<'_>, place: usize, twins: &[CellKey]) {
        let on_their_way = |cell: &CellKey| self.asked.iter().any(|asked| asked.cell == *cell);
        if twins.iter().any(on_their_way) {
            return;
        }
        if let Some(cell) = twins.first() {
            self.troubles[place].asked_twins += 1;
            self.book(
                world,
                Asked {
                    cell: cell.clone(),
                    purpose: Purpose::Counter,
                    at: later(world.now, Duration::from_secs(1)),
                    why: "does the program pass that this one stands in for?".to_owned(),
                    ask: None,
                    incident: None,
                    again: false,
                },
            );
        }
    }

    /// Asks a control that has not answered since the onset, to tell our network from theirs.
    pub(super) fn ask_control(&mut self, world: &mut World<'_>, trouble: usize) {
        let since = self.troubles[trouble].onset_at;
        let egresses: Vec<_> = self
            .failures
            .iter()
            .filter(|(at, ..)| *at >= since)
            .map(|(_, cell, _)| cell.egress.clone())
            .collect();
        let board = world.board;
        let control = egresses
            .iter()
            .flat_map(|egress| board.controls(egress))
            .find(|cell| cell.last.is_none_or(|last| last.at < since))
            .map(|cell| cell.key.clone());
        let Some(cell) = control else {
            return;
        };
        if self.asked.iter().any(|asked| asked.cell == cell) {
            return;
        }
        self.book(
            world,
            Asked {
                cell,
                purpose: Purpose::Counter,
                at: later(world.now, Duration::from_secs(1)),
                why: "does anything answer from this egress?".to_owned(),
                ask: None,
                incident: None,
                again: false,
            },
        );
    }
}

/// The case, where its recovery may be asked for: a limit on our rate is not tested by asking more.
fn askable<'a>(trouble: &'a Trouble, world: &World<'_>) -> Option<&'a Case> {
    let may_ask = world.board.plan.politeness.extra_per_incident > 0;
    let case = trouble.case.as_ref().filter(|_| may_ask)?;
    (case.incident.kind != Kind::RateLimited).then_some(case)
}

/// A member that did not run for long: the schedule may never come to it.
///
/// A refused account is left alone: asking might lock it.
fn silent_member(trouble: &Trouble, world: &World<'_>) -> Option<CellKey> {
    let case = askable(trouble, world)?;
    let age = world
        .now
        .duration_since(case.incident.onset_at)
        .unsigned_abs();
    let silent = world.now.checked_sub(SILENT_FOR.max(age / 4)).ok()?;
    let account =
        |m: &IncidentCell| m.kind == Kind::OriginDenied && !m.cell.credential.is_anonymous();
    let members = case
        .failing()
        .filter(|m| m.last_at <= silent && !account(m));
    let oldest = members.min_by_key(|member| member.last_at)?;
    Some(oldest.cell.clone())
}

/// The member to ask next, once one passed, and how long to wait.
fn next_member(trouble: &Trouble, world: &World<'_>) -> Option<(CellKey, Duration)> {
    let case = askable(trouble, world).filter(|case| case.recovering())?;
    // The one that was asked longest ago: the schedule may never come to it.
    let last_at = |cell: &&&CellKey| case.member(cell).map(|member| member.last_at);
    let waiting = case.still_failing();
    if let Some(cell) = waiting.iter().min_by_key(last_at) {
        return Some(((*cell).clone(), SOON));
    }
    let member = case.failing().next()?;
    Some((member.cell.clone(), case.span() / 2))
}
