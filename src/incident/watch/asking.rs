//! Which extra requests a watch makes, within what politeness allows.

use std::time::Duration;

use super::{Watch, World};
use crate::board::events::Effect;
use crate::board::{Cell, Standing};
use crate::domain::cell::CellKey;
use crate::domain::moment::later;
use crate::domain::observation::Purpose;
use crate::domain::verdict::Kind;
use crate::incident::case::Case;
use crate::incident::confirm::Group;
use crate::incident::extra::Use;
use crate::incident::matrix::Matrix;
use crate::incident::witnesses::{self, Question};

impl Watch {
    /// Books the extra requests that are worth their while and allowed.
    pub(super) fn ask(&mut self, world: &mut World<'_>) {
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

    pub(super) fn recovers(&self) -> bool {
        self.suspicion.is_none() && self.case.as_ref().is_some_and(Case::recovering)
    }

    /// The cells that have not passed yet; then any, until enough passes stand behind each other.
    pub(super) fn ask_recovering(&mut self, world: &mut World<'_>) {
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

    pub(super) fn ask_trigger(&mut self, world: &mut World<'_>) {
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

    pub(super) fn ask_witnesses(&mut self, world: &mut World<'_>) {
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

    pub(super) fn question(
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
    pub(super) fn allowed(&self, world: &World<'_>, cell: &CellKey, purpose: Use) -> bool {
        let Some(known) = world.board.get(cell) else {
            return false;
        };
        let limited = known
            .last
            .is_some_and(|l| l.kind == Kind::RateLimited && l.failed);
        let refused = self.refused.contains(&cell.credential);
        let politeness = &world.board.plan.politeness;
        !limited
            && !world.hours[known.host].full(world.now)
            && self.extra.allows(politeness, cell, refused, purpose)
    }

    pub(super) fn run(
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
        world.hours[known.host].note(at);
        world.effects.push(Effect::Run {
            cell: cell.clone(),
            at,
            purpose,
            why: why.to_owned(),
            incident: self.incident().map(|incident| incident.number),
        });
    }
}
