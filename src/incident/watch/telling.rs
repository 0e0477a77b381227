//! What follows from a change of an incident: a new diagnosis, a line of the timeline, messages, the end.

use super::{SAVE_EVERY, Watch, World};
use crate::board::events::Effect;
use crate::domain::change::Change;
use crate::domain::incident::{Acknowledged, Happening, IncidentCell, TimelineEntry};
use crate::domain::moment::later;
use crate::domain::notification::Notification;
use crate::incident::case::{Case, entry};
use crate::incident::notify::{self, Face, Occasion};
use crate::words::briefing;

impl Watch {
    /// Diagnoses anew when the picture changed, and tells who reads something else now.
    pub(super) fn explain(&mut self, world: &mut World<'_>, before: Option<Face>) {
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
        let notes = std::mem::take(&mut self.notes);
        retell(world, case, before, None, notes);
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
        let quiet = &world.board.quiet;
        let due = notify::due(plan, quiet, &mut case.incident, occasion, world.now);
        save(world, &mut case, timeline, due.notifications);
        self.recent = (!removed).then_some(case.incident);
        if self.suspicion.is_none() {
            self.forget();
        }
    }

    /// Stores counters that moved, now and then.
    pub(super) fn save_counters(&mut self, world: &mut World<'_>) {
        if let Some(case) = &mut self.case
            && case.stale
            && later(case.saved_at, SAVE_EVERY) <= world.now
        {
            save(world, case, Vec::new(), Vec::new());
        }
    }
}

/// Tells whoever reads something else now than `before`, everybody that another `answer` comes, and whom the time makes it due to; keeps what is new.
pub fn retell(
    world: &mut World<'_>,
    case: &mut Case,
    before: Option<Face>,
    answer: Option<&str>,
    mut timeline: Vec<TimelineEntry>,
) {
    let (plan, quiet) = (&world.board.plan, &world.board.quiet);
    let changed = before.filter(|before| *before != Face::of(&case.incident));
    if let Some(before) = &changed
        && !before.same_cause(&case.incident)
    {
        let text = briefing::headline(plan, &case.incident);
        timeline.push(entry(world.now, Happening::Changed, text));
    }
    let occasion = match (answer, &changed) {
        (Some(change), _) => {
            timeline.push(entry(world.now, Happening::Changed, change));
            Occasion::Answered { change }
        }
        (None, Some(before)) => Occasion::Changed { before },
        (None, None) => Occasion::Time,
    };
    let timely = || notify::next_at(plan, quiet, &case.incident).is_some_and(|at| at <= world.now);
    let mut notifications = Vec::new();
    if changed.is_some() || answer.is_some() || timely() {
        let mut due = notify::due(plan, quiet, &mut case.incident, occasion, world.now);
        timeline.append(&mut due.timeline);
        notifications = due.notifications;
    } else if timeline.is_empty() {
        return;
    }
    save(world, case, timeline, notifications);
}

/// Notes that somebody looks after the incident, and tells who knows of it.
pub fn acknowledge(world: &mut World<'_>, case: &mut Case, by: &Acknowledged) {
    let known = case.incident.acknowledged.as_ref();
    if known.is_some_and(|known| known.by == by.by) {
        return;
    }
    case.incident.acknowledged = Some(by.clone());
    let text = format!("acknowledged by {}", by.by);
    let mut timeline = vec![entry(world.now, Happening::Acknowledged, text)];
    let (plan, quiet) = (&world.board.plan, &world.board.quiet);
    let occasion = Occasion::Acknowledged;
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
    world.effects.push(Effect::Save(Box::new(Change {
        incident: case.incident.clone(),
        timeline,
        notifications,
    })));
}
