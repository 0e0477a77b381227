//! A night that was: a store with history and incidents, made by the real rules from real answers, at times of the past.
//!
//! Each cell is asked once over real sockets for every state of the world; the night then repeats these
//! answers at its own times, so that hours pass in a moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use edgewatch::app::round;
use edgewatch::clock;
use edgewatch::config::{self, Inputs};
use edgewatch::decide::monitor::{Effect, Event, Judged, Monitor};
use edgewatch::domain::cell::CellKey;
use edgewatch::domain::incident::Happening;
use edgewatch::domain::observation::Purpose;
use edgewatch::domain::plan::Plan;
use edgewatch::store::Store;
use jiff::{SignedDuration, Timestamp};

use crate::world::{PASSWORD, World};

/// What each cell answers.
pub(crate) type Answers = BTreeMap<CellKey, Judged>;

pub(crate) struct Night {
    pub(crate) plan: Arc<Plan>,
    monitor: Monitor,
    store: Store,
    /// Runs due: time, cell, purpose.
    due: Vec<(Timestamp, CellKey, Purpose)>,
    pub(crate) now: Timestamp,
}

struct Account;

impl Inputs for Account {
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "GMC_USERNAME" => Some("tis".to_owned()),
            "GMC_PASSWORD" => Some(PASSWORD.to_owned()),
            _ => None,
        }
    }

    fn file(&self, _: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

impl Night {
    /// Begins `ago` before now, with the plan of the world's file and its store.
    pub(crate) fn begin(world: &World, ago: SignedDuration) -> Self {
        let text = std::fs::read_to_string(world.config()).unwrap();
        let plan = Arc::new(config::read(&text, "probes.yaml", &Account).unwrap().plan);
        let store = Store::open(&plan.store.path, &plan.store).unwrap().store;
        store.mask(plan.secrets());
        let now = clock::now() - ago;
        let due = (0..)
            .zip(plan.cells())
            .map(|(n, (_, cell))| (now + SignedDuration::from_secs(n), cell, Purpose::Schedule))
            .collect();
        Self {
            monitor: Monitor::new(plan.clone(), Vec::new(), 1),
            plan,
            store,
            due,
            now,
        }
    }

    /// Asks every cell once, as the world is now.
    pub(crate) async fn ask(&self) -> Answers {
        let cells = self.plan.cells().map(|(_, cell)| cell).collect();
        let judged = round::round(self.plan.clone(), cells, |_| {})
            .await
            .unwrap();
        judged
            .into_iter()
            .map(|judged| (judged.observation.cell.clone(), judged))
            .collect()
    }

    /// Every cell once a minute and whatever the rules ask for, until `what` happens; an hour at most.
    pub(crate) async fn until(&mut self, answers: &Answers, what: Happening) {
        let end = self.now + SignedDuration::from_hours(1);
        while self.now < end {
            if self.step(answers).await.contains(&what) {
                return;
            }
        }
        panic!("{what:?} did not happen within an hour");
    }

    /// The same for a minute.
    pub(crate) async fn minute(&mut self, answers: &Answers) {
        let end = self.now + SignedDuration::from_mins(1);
        while self.now < end {
            self.step(answers).await;
        }
    }

    /// The next run or tick; what happened to incidents by it.
    async fn step(&mut self, answers: &Answers) -> Vec<Happening> {
        let first = (0..self.due.len()).min_by_key(|n| self.due[*n].0).unwrap();
        let (at, cell, purpose) = self.due[first].clone();
        let wake = self.monitor.next_wake().filter(|wake| *wake < at);
        let effects = if let Some(wake) = wake {
            self.now = wake.max(self.now);
            self.monitor.step(Event::Tick, self.now)
        } else {
            self.now = at;
            self.due.remove(first);
            if purpose == Purpose::Schedule {
                let next = at + SignedDuration::from_mins(1);
                self.due.push((next, cell.clone(), purpose));
            }
            if !self.monitor.wants(&cell, purpose) {
                return Vec::new();
            }
            let cell = match purpose {
                Purpose::Schedule => self.monitor.aim(&cell, at).unwrap_or(cell),
                _ => cell,
            };
            let mut judged = answers[&cell].clone();
            judged.observation.started_at = at;
            judged.observation.due_at = at;
            judged.observation.purpose = purpose;
            self.store.record(&judged.observation, &judged.verdict);
            self.monitor.step(Event::Observed(Box::new(judged)), at)
        };
        let mut happened = Vec::new();
        for effect in effects {
            match effect {
                Effect::Run {
                    cell, at, purpose, ..
                } => self.due.push((at.max(self.now), cell, purpose)),
                Effect::Save(change) => {
                    happened.extend(change.timeline.iter().map(|entry| entry.what));
                    self.store.commit(*change).await.unwrap();
                }
                Effect::VerdictChanged(change) => self.store.note_verdict(&change),
                Effect::Learned(learned) => self.store.learn(*learned).await.unwrap(),
            }
        }
        happened
    }

    /// Waits until the history is written.
    pub(crate) async fn flush(&self) {
        self.store.flush().await.unwrap();
    }

    /// Leaves the store to others.
    pub(crate) async fn end(self) {
        self.flush().await;
        self.store.close().await;
    }
}
