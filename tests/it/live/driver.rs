//! The daemon's loop over real sockets in a time of its own: a quiet minute passes at once.
//!
//! Timetable, prober, classifier and monitor are the daemon's, and every run goes out over a socket when
//! it is due; only the clock is set from one due moment to the next, for edges and observations alike.

use std::sync::Arc;
use std::time::Duration;

use edgewatch::domain::change::Change;
use edgewatch::domain::incident::Incident;
use edgewatch::domain::observation::Purpose;
use edgewatch::domain::plan::Plan;
use edgewatch::domain::verdict::Kind;
use edgewatch::machine::monitor::{Effect, Event, Judged, Monitor};
use edgewatch::machine::schedule::{Due, Timetable};
use edgewatch::probe::Prober;
use edgewatch::read::classify;
use futures_util::future::join_all;
use jiff::Timestamp;

use super::stage::Hand;

/// Ticks that may follow each other without time passing.
const TICKS_MAX: u32 = 20;

pub(crate) struct Driver {
    plan: Arc<Plan>,
    monitor: Monitor,
    timetable: Timetable,
    prober: Prober,
    hand: Hand,
    pub(crate) now: Timestamp,
    /// Every change of an incident, in order.
    pub(crate) changes: Vec<(Timestamp, Change)>,
    /// Runs beyond the schedule.
    pub(crate) extra: Vec<String>,
    pub(crate) runs: usize,
    starts: Vec<Due>,
}

impl Driver {
    pub(crate) fn new(plan: Plan, hand: Hand, now: Timestamp) -> Self {
        let plan = Arc::new(plan);
        Self {
            monitor: Monitor::new(plan.clone(), Vec::new(), 1),
            timetable: Timetable::new(&plan, now),
            prober: Prober::new(&plan).unwrap(),
            plan,
            hand,
            now,
            changes: Vec::new(),
            extra: Vec::new(),
            runs: 0,
            starts: Vec::new(),
        }
    }

    pub(crate) fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.monitor.incidents()
    }

    /// Everything that is due until `end`.
    pub(crate) async fn until(&mut self, end: Timestamp) {
        let mut ticks = 0;
        loop {
            let wakes = [self.timetable.next_wake(), self.monitor.next_wake()];
            let Some(next) = wakes
                .into_iter()
                .flatten()
                .min()
                .filter(|next| *next <= end)
            else {
                break;
            };
            ticks = if next > self.now { 0 } else { ticks + 1 };
            assert!(
                ticks < TICKS_MAX,
                "the loop wakes at {} again and again",
                self.now
            );
            self.now = self.now.max(next);
            self.hand.set(self.now);
            let started = self.start_due().await;
            if !started {
                self.step(Event::Tick);
            }
        }
        self.now = self.now.max(end);
        self.hand.set(self.now);
    }

    /// What may start now, side by side as in the daemon; whether anything did.
    async fn start_due(&mut self) -> bool {
        self.timetable.due(self.now, 64, &mut self.starts);
        let mut runs = Vec::new();
        for start in std::mem::take(&mut self.starts) {
            if !self.monitor.wants(&start.cell, start.purpose) {
                self.timetable.finished(&start.cell);
                continue;
            }
            let aimed = match start.purpose {
                Purpose::Schedule => self.monitor.aim(&start.cell, start.due_at),
                _ => None,
            };
            if start.purpose != Purpose::Schedule {
                self.extra
                    .push(format!("{} {}: {}", self.now, start.cell, start.why));
            }
            runs.push((aimed.unwrap_or_else(|| start.cell.clone()), start));
        }
        let runs = runs.into_iter().map(|(cell, start)| {
            let (prober, plan, now) = (&self.prober, &self.plan, self.now);
            async move {
                let seen = prober.run(&cell, start.purpose, start.due_at, now).await;
                let probe = plan.probe(&cell.probe).unwrap();
                let verdict = classify::classify(probe, &plan.signatures, &seen);
                let judged = Judged {
                    observation: seen,
                    verdict,
                };
                (start.cell, judged)
            }
        });
        let ended = join_all(runs).await;
        let any = !ended.is_empty();
        for (cell, judged) in ended {
            self.runs += 1;
            self.timetable.finished(&cell);
            if let Some(wait) = judged.verdict.retry_after
                && judged.verdict.kind == Kind::RateLimited
            {
                let until = self.now.saturating_add(wait).unwrap();
                self.timetable.hold(&cell, until, self.now);
            }
            self.step(Event::Observed(std::sync::Arc::new(judged)));
        }
        any
    }

    fn step(&mut self, event: Event) {
        for effect in self.monitor.step(event, self.now) {
            match effect {
                Effect::Run {
                    cell,
                    at,
                    purpose,
                    why,
                    ..
                } => {
                    let _ = self.timetable.ask(&cell, at, purpose, &why);
                }
                Effect::Save(change) => self.changes.push((self.now, *change)),
                Effect::VerdictChanged(_) | Effect::Learned(_) => {}
            }
        }
    }
}

/// `at` plus seconds.
pub(crate) fn after(at: Timestamp, seconds: f64) -> Timestamp {
    at.saturating_add(Duration::from_secs_f64(seconds)).unwrap()
}
