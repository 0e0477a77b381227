//! Requests ahead of the schedule for what stands beside the partners: our own side, and a vendor that fails by itself.

use std::time::Duration;

use jiff::Timestamp;

use super::case::{Case, entry};
use super::world::{Run, World};
use crate::board::Cell;
use crate::board::events::Effect;
use crate::domain::cell::CellKey;
use crate::domain::incident::{Happening, TimelineEntry};
use crate::domain::moment::later;
use crate::domain::observation::Purpose;

/// Requests to see whether it is over, beside those that are asked again.
const RECOVERY_RUNS_MAX: u32 = 6;
/// Before what failed is asked again.
pub(super) const SOON: Duration = Duration::from_secs(2);
/// Beyond its timeout, how long an answer may stay away before the request counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// Requests that are on their way, and how many of them were made to see whether it is over.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// Each with when it counts as lost.
    asked: Vec<(CellKey, Timestamp)>,
    recovery_runs: u32,
}

impl Extra {
    /// An incident opens: it has all its requests before it.
    pub(super) fn begin(&mut self) {
        self.recovery_runs = 0;
    }

    /// Whether the answer of a request to this cell is waited for.
    pub(super) fn waits_for(&self, cell: &CellKey) -> bool {
        self.asked.iter().any(|(asked, _)| asked == cell)
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Gives up what is lost.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.asked.retain(|(_, lost_at)| *lost_at > now);
    }

    /// When a tick would do something.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.asked.iter().map(|(_, lost_at)| *lost_at).min()
    }

    /// Lets go of what is no longer configured.
    pub(super) fn retain(&mut self, keep: impl Fn(&CellKey) -> bool) {
        self.asked.retain(|(cell, _)| keep(cell));
    }

    /// Counts a request that was answered, and says so.
    pub(super) fn answered(
        &mut self,
        case: Option<&mut Case>,
        run: &Run<'_>,
    ) -> Option<TimelineEntry> {
        let key = &run.cell.key;
        let place = self.asked.iter().position(|(asked, _)| asked == key)?;
        self.asked.swap_remove(place);
        let purpose = run.judged.observation.purpose;
        if !matches!(purpose, Purpose::Confirm | Purpose::Counter) {
            return None;
        }
        if let Some(case) = case {
            case.incident.extra_runs = case.incident.extra_runs.saturating_add(1);
            case.stale = true;
        }
        let kind = run.judged.kind().label();
        let text = format!("asked ahead of the schedule: {key}: {kind}");
        Some(entry(run.at, Happening::ExtraRun, text))
    }

    /// Asks a cell after a while, unless that is too much; whether it will be asked.
    pub(super) fn book(
        &mut self,
        world: &mut World<'_>,
        incident: Option<u64>,
        cell: &Cell,
        wait: Duration,
        why: &str,
    ) -> bool {
        let board = world.board;
        let may_ask = board.plan.politeness.extra_per_incident > 0;
        if !may_ask || self.waits_for(&cell.key) || world.hours[cell.host].full(world.now) {
            return false;
        }
        let at = later(world.now, wait);
        world.hours[cell.host].note(at);
        let timeout = board.probe(cell).timeout;
        self.asked
            .push((cell.key.clone(), later(at, timeout + LOST_AFTER)));
        world.effects.push(Effect::Run {
            cell: cell.key.clone(),
            at,
            purpose: Purpose::Confirm,
            why: why.to_owned(),
            incident,
        });
        true
    }

    /// Asks members that have not passed yet; then any, until enough passes stand together.
    pub(super) fn ask_recovering(&mut self, world: &mut World<'_>, case: &Case) {
        if !case.recovering() || !self.is_empty() || self.recovery_runs >= RECOVERY_RUNS_MAX {
            return;
        }
        let waiting = case.still_failing();
        let wait = if waiting.is_empty() {
            case.span() / 2
        } else {
            SOON
        };
        let board = world.board;
        let first = waiting.first().copied();
        let next = first.or_else(|| case.failing().map(|m| &m.cell).next());
        let number = Some(case.incident.number);
        if let Some(cell) = next.and_then(|cell| board.get(cell))
            && self.book(world, number, cell, wait, "to see whether it is over")
        {
            self.recovery_runs += 1;
        }
    }
}
