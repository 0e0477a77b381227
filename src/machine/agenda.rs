//! When each cell is due, and what is on its way: all of the machine that decides nothing.
//!
//! By itself it is the machine of a site, which hears and says what [`super::Machine`] does, of runs alone. What a run means
//! for people is the hub's to say, which hears of it from here.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::accounts::Accounts;
use super::flights::{Flights, Landing};
use super::politeness::Leave;
use super::schedule::{Asked, Due, Timetable};
use super::{Counts, Effect, Event, Judged, RunId, Start};
use crate::domain::cell::{CellKey, ProbeName};
use crate::domain::index::Index;
use crate::domain::observation::Purpose;
use crate::domain::plan::Plan;
use crate::domain::upcoming::Upcoming;
use crate::domain::verdict::{Kind, Maker};

/// A limit that lasts so long, and no edge set, is the account's alone.
const ACCOUNT_ALONE: Duration = Duration::from_secs(15 * 60);

/// The timetable of a plan, and the runs that are on their way.
#[derive(Debug)]
pub struct Agenda {
    pub(super) plan: Arc<Plan>,
    pub(super) timetable: Timetable,
    flights: Flights,
    pub(super) accounts: Accounts,
    /// Runs that were not made because their account rests.
    resting: u64,
    /// How long a run of each probe may take.
    timeouts: Index<ProbeName, Duration>,
    /// Kept between steps so that starting cells allocates nothing.
    due: Vec<Due>,
}

/// How long a run of each probe may take: a plan of thousands is not searched through for each start.
fn timeouts(plan: &Plan) -> Index<ProbeName, Duration> {
    let probes = plan.probes.iter();
    probes
        .map(|probe| (probe.name.clone(), probe.timeout))
        .collect()
}

impl Agenda {
    #[must_use]
    pub fn new(plan: Arc<Plan>, now: Timestamp) -> Self {
        let timetable = Timetable::new(&plan, now);
        Self::with(plan, timetable)
    }

    pub(super) fn with(plan: Arc<Plan>, timetable: Timetable) -> Self {
        Self {
            timetable,
            flights: Flights::default(),
            accounts: Accounts::default(),
            resting: 0,
            timeouts: timeouts(&plan),
            due: Vec::new(),
            plan,
        }
    }

    /// Applies one event; of those that concern people nothing follows. Effects are starts and cancellations.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.give_up(now, &mut effects);
        match event {
            Event::Ended { run, judged } if self.land(run) => self.hold(&judged, now),
            Event::Lost { run } => {
                self.land(run);
            }
            Event::PlanReplaced(plan) => self.replace(plan, now),
            Event::ClockSet { .. } => self.recall(&mut effects),
            _ => {}
        }
        self.start_due(now, &mut effects, |due| Some(due.cell.clone()));
        effects
    }

    /// Asks for a run beyond the schedule at `at`; `false`: there is no such cell here.
    pub fn ask(&mut self, cell: &CellKey, at: Timestamp, purpose: Purpose, why: &str) -> bool {
        self.timetable.ask(cell, at, purpose, why) != Asked::Unknown
    }

    /// Whether somebody beside the timetable may ask a host now.
    pub(super) fn leave(&mut self, host: &str, now: Timestamp) -> Leave {
        self.timetable.leave(host, now)
    }

    pub(super) fn replace(&mut self, plan: Arc<Plan>, now: Timestamp) {
        self.timetable.replace(&plan, now);
        self.timeouts = timeouts(&plan);
        self.plan = plan;
    }

    /// Takes in that a run is over; `false`: it was heard of before.
    pub(super) fn land(&mut self, run: RunId) -> bool {
        match self.flights.land(run) {
            Landing::Home(flight) => self.timetable.finished(&flight.due),
            Landing::Late => {}
            Landing::Twice => return false,
        }
        true
    }

    /// Leaves a host alone that asks for it, and an account until the end that it names.
    pub(super) fn hold(&mut self, judged: &Judged, now: Timestamp) {
        if let Some(wait) = judged.verdict.retry_after
            && judged.verdict.kind == Kind::RateLimited
        {
            let until = now.saturating_add(wait).unwrap_or(now);
            let cell = &judged.observation.cell;
            self.accounts.lock(&cell.credential, wait, now);
            // What only an application can know of an account is no wish of the whole host.
            let of_account = !cell.credential.is_anonymous() && judged.verdict.maker != Maker::Edge;
            if !of_account || wait < ACCOUNT_ALONE {
                self.timetable.hold(cell, until, now);
            }
        }
    }

    /// Gives back the cells of runs that ought to have ended long ago.
    pub(super) fn give_up(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some((run, flight)) = self.flights.overdue(now) {
            self.timetable.finished(&flight.due);
            effects.push(Effect::Cancel { run });
        }
    }

    /// Gives back all cells: what was seen by the former clock is asked anew.
    pub(super) fn recall(&mut self, effects: &mut Vec<Effect>) {
        for (run, flight) in self.flights.recall() {
            self.timetable.finished(&flight.due);
            effects.push(Effect::Cancel { run });
        }
    }

    /// Starts what is due, each for the cell that `aim` says, if any.
    pub(super) fn start_due(
        &mut self,
        now: Timestamp,
        effects: &mut Vec<Effect>,
        mut aim: impl FnMut(&Due) -> Option<CellKey>,
    ) {
        let room = self
            .plan
            .runs_in_flight_max
            .saturating_sub(self.flights.len());
        let mut starts = std::mem::take(&mut self.due);
        self.timetable.due(now, room, &mut starts);
        for due in starts.drain(..) {
            let Some(cell) = aim(&due) else {
                self.timetable.finished(&due.cell);
                continue;
            };
            let most = self.plan.credential_a_day;
            if !self.accounts.take(&cell.credential, most, now) {
                self.timetable.finished(&due.cell);
                self.resting += 1;
                continue;
            }
            let patience = self.timeouts.get(&cell.probe).copied();
            effects.push(Effect::Start(Start {
                run: self
                    .flights
                    .begin(due.cell, now, patience.unwrap_or_default()),
                cell,
                purpose: due.purpose,
                due_at: due.at,
                why: due.why,
            }));
        }
        self.due = starts;
    }

    /// When something is due, or given up; `None`: not before something is heard.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        let wakes = [self.timetable.next_wake(), self.flights.next_deadline()];
        wakes.into_iter().flatten().min()
    }

    /// How long until something is due; `None`: not before something is heard.
    #[must_use]
    pub fn wait(&self, now: Timestamp) -> Option<SignedDuration> {
        let wake = self.next_wake()?;
        Some(wake.duration_since(now).max(SignedDuration::ZERO))
    }

    /// What is going on, and what has happened since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            skipped_resting: self.resting,
            ..self.timetable.counts()
        }
    }

    /// What runs next, and how each host and each account stands.
    pub(super) fn upcoming(&self, now: Timestamp) -> Upcoming {
        Upcoming {
            accounts: self.accounts.told(&self.plan, now),
            skipped_resting: self.resting,
            ..self.timetable.upcoming(now)
        }
    }
}
