//! The daemon's machine over real sockets in a time of its own: a quiet minute passes at once.
//!
//! Machine, prober and classifier are the daemon's, and every run goes out over a socket when
//! it is due; only the clock is set from one due moment to the next, for edges and observations alike.

use std::sync::Arc;
use std::time::Duration;

use edgewatch::domain::change::Change;
use edgewatch::domain::incident::Incident;
use edgewatch::domain::notification::Notification;
use edgewatch::domain::observation::Purpose;
use edgewatch::domain::plan::Plan;
use edgewatch::machine::driver::{self, Hands};
use edgewatch::machine::{Effect, Event, Judged, Known, Machine, RunId, Start};
use edgewatch::probe::Prober;
use edgewatch::read::classify;
use futures_util::future::join_all;
use jiff::Timestamp;

use super::stage::Hand;

/// Ticks that may follow each other without time passing.
const TICKS_MAX: u32 = 20;

pub(crate) struct Driver {
    plan: Arc<Plan>,
    inner: driver::Driver,
    prober: Prober,
    hand: Hand,
    pub(crate) now: Timestamp,
    pub(crate) seen: Seen,
    pub(crate) runs: usize,
}

/// What the machine wanted.
#[derive(Default)]
pub(crate) struct Seen {
    /// Every change of an incident, in order.
    pub(crate) changes: Vec<(Timestamp, Change)>,
    /// What was told without being an incident.
    pub(crate) notices: Vec<Notification>,
    /// Runs beyond the schedule.
    pub(crate) extra: Vec<String>,
    starts: Vec<Start>,
}

impl Hands for Seen {
    fn start(&mut self, start: Start, now: Timestamp) {
        if start.purpose != Purpose::Schedule {
            self.extra
                .push(format!("{now} {}: {}", start.cell, start.why));
        }
        self.starts.push(start);
    }

    fn cancel(&mut self, run: RunId) {
        panic!("{run} was waited for");
    }

    fn keep(&mut self, effect: Effect, now: Timestamp) {
        match effect {
            Effect::Save(change) => self.changes.push((now, *change)),
            Effect::Learned(learned) => self.notices.extend(learned.notifications),
            _ => {}
        }
    }
}

impl Driver {
    pub(crate) fn new(plan: Plan, hand: Hand, now: Timestamp) -> Self {
        let plan = Arc::new(plan);
        let machine = Machine::new(plan.clone(), Known::default(), now);
        Self {
            inner: driver::Driver::new(machine),
            prober: Prober::new(&plan).unwrap(),
            plan,
            hand,
            now,
            seen: Seen::default(),
            runs: 0,
        }
    }

    pub(crate) fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.inner.machine().incidents()
    }

    /// Everything that is due until `end`.
    pub(crate) async fn until(&mut self, end: Timestamp) {
        let mut ticks = 0;
        loop {
            let next = self.inner.wake().unwrap_or(self.now);
            if next > end {
                break;
            }
            ticks = if next > self.now { 0 } else { ticks + 1 };
            assert!(
                ticks < TICKS_MAX,
                "the machine wakes at {} again and again",
                self.now
            );
            self.now = self.now.max(next);
            self.hand.set(self.now);
            self.inner.step(Event::Tick, self.now, &mut self.seen);
            while !self.seen.starts.is_empty() {
                self.run().await;
                ticks = 0;
            }
        }
        self.now = self.now.max(end);
        self.hand.set(self.now);
    }

    /// Makes the runs that start now, side by side as in the daemon.
    async fn run(&mut self) {
        let runs = std::mem::take(&mut self.seen.starts).into_iter();
        let runs = runs.map(|start| {
            let (prober, plan, now) = (&self.prober, &self.plan, self.now);
            async move {
                let cell = &start.cell;
                let seen = prober.run(cell, start.purpose, start.due_at, now).await;
                let probe = plan.probe(&cell.probe).unwrap();
                let verdict = classify::classify(probe, &plan.signatures, &seen);
                let judged = Arc::new(Judged {
                    observation: seen,
                    verdict,
                });
                (start.run, judged)
            }
        });
        for (run, judged) in join_all(runs).await {
            self.runs += 1;
            let event = Event::Ended { run, judged };
            self.inner.step(event, self.now, &mut self.seen);
        }
    }
}

/// `at` plus seconds.
pub(crate) fn after(at: Timestamp, seconds: f64) -> Timestamp {
    at.saturating_add(Duration::from_secs_f64(seconds)).unwrap()
}
