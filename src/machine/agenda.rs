//! When each cell is due, and nothing else: the machine of a site, which decides nothing.
//!
//! It hears and says what [`super::Machine`] does, of runs alone. What a run means for people is the hub's to say, which
//! hears of it from here.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::flights::{Flights, Landing};
use super::schedule::{Asked, Due, Timetable};
use super::{Counts, Effect, Event, Judged, RunId, Start};
use crate::domain::cell::CellKey;
use crate::domain::observation::Purpose;
use crate::domain::plan::Plan;
use crate::domain::verdict::Kind;

/// The timetable of a plan, and the runs that are on their way.
#[derive(Debug)]
pub struct Agenda {
    plan: Arc<Plan>,
    timetable: Timetable,
    flights: Flights,
    due: Vec<Due>,
}

impl Agenda {
    #[must_use]
    pub fn new(plan: Arc<Plan>, now: Timestamp) -> Self {
        Self {
            timetable: Timetable::new(&plan, now),
            flights: Flights::default(),
            due: Vec::new(),
            plan,
        }
    }

    /// Applies one event; of those that concern people nothing follows. Effects are starts and cancellations.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some((run, flight)) = self.flights.overdue(now) {
            self.timetable.finished(&flight.due);
            effects.push(Effect::Cancel { run });
        }
        match event {
            Event::Ended { run, judged } => self.ended(run, &judged, now),
            Event::Lost { run } => self.landed(run),
            Event::PlanReplaced(plan) => {
                self.timetable.replace(&plan, now);
                self.plan = plan;
            }
            Event::ClockSet { .. } => {
                for (run, flight) in self.flights.recall() {
                    self.timetable.finished(&flight.due);
                    effects.push(Effect::Cancel { run });
                }
            }
            _ => {}
        }
        self.start_due(now, &mut effects);
        effects
    }

    /// Asks for a run beyond the schedule at `at`; `false`: there is no such cell here.
    pub fn ask(&mut self, cell: &CellKey, at: Timestamp, purpose: Purpose, why: &str) -> bool {
        self.timetable.ask(cell, at, purpose, why) != Asked::Unknown
    }

    fn landed(&mut self, run: RunId) {
        if let Landing::Home(flight) = self.flights.land(run) {
            self.timetable.finished(&flight.due);
        }
    }

    fn ended(&mut self, run: RunId, judged: &Judged, now: Timestamp) {
        self.landed(run);
        if let Some(wait) = judged.verdict.retry_after
            && judged.verdict.kind == Kind::RateLimited
        {
            let until = now.saturating_add(wait).unwrap_or(now);
            self.timetable.hold(&judged.observation.cell, until, now);
        }
    }

    fn start_due(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let room = self
            .plan
            .runs_in_flight_max
            .saturating_sub(self.flights.len());
        let mut starts = std::mem::take(&mut self.due);
        self.timetable.due(now, room, &mut starts);
        for due in starts.drain(..) {
            let patience = self.plan.probe(&due.cell.probe).map(|probe| probe.timeout);
            effects.push(Effect::Start(Start {
                run: self
                    .flights
                    .begin(due.cell.clone(), now, patience.unwrap_or_default()),
                cell: due.cell,
                purpose: due.purpose,
                due_at: due.at,
                why: due.why,
            }));
        }
        self.due = starts;
    }

    /// How long until something is due; `None`: not before something is heard.
    #[must_use]
    pub fn wait(&self, now: Timestamp) -> Option<SignedDuration> {
        let wakes = [self.timetable.next_wake(), self.flights.next_deadline()];
        let wake = wakes.into_iter().flatten().min()?;
        Some(wake.duration_since(now).max(SignedDuration::ZERO))
    }

    /// What is going on, and what has happened since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.timetable.counts()
    }
}
