//! A night that was: a store with history and incidents, made by the real rules from real answers, at times of the past.
//!
//! Each cell is asked once over real sockets for every state of the world; the night then repeats these
//! answers at its own times, so that hours pass in a moment.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edgewatch::app::round;
use edgewatch::clock;
use edgewatch::config::{self, Inputs};
use edgewatch::domain::cell::CellKey;
use edgewatch::domain::change::Change;
use edgewatch::domain::incident::{Happening, Incident};
use edgewatch::domain::notification::Notification;
use edgewatch::domain::plan::Plan;
use edgewatch::domain::probe::Schedule;
use edgewatch::machine::driver::{Driver, Hands};
use edgewatch::machine::{Effect, Event, Judged, Known, Machine, RunId, Start};
use edgewatch::store::Store;
use jiff::{SignedDuration, Timestamp};

use crate::world::{PASSWORD, World};

/// What each cell answers.
pub(crate) type Answers = BTreeMap<CellKey, Judged>;

pub(crate) struct Night {
    pub(crate) plan: Arc<Plan>,
    driver: Driver,
    wanted: Wanted,
    store: Store,
    /// Messages that are not due yet, each with its incident as it was saved last: delivery runs on the real clock,
    /// for which all of the night is over.
    held: Vec<Notification>,
    saved: BTreeMap<u64, Incident>,
    pub(crate) now: Timestamp,
}

/// What the machine wanted last.
#[derive(Default)]
struct Wanted {
    starts: VecDeque<Start>,
    effects: Vec<Effect>,
}

impl Hands for Wanted {
    fn start(&mut self, start: Start, _: Timestamp) {
        self.starts.push_back(start);
    }

    fn cancel(&mut self, run: RunId) {
        panic!("{run} was waited for");
    }

    fn keep(&mut self, effect: Effect, _: Timestamp) {
        self.effects.push(effect);
    }
}

/// What came of a step.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) happened: Vec<Happening>,
    /// Changes of a cell's verdict.
    pub(crate) verdicts: usize,
    /// Messages were put into the outbox.
    pub(crate) told: bool,
}

pub(crate) struct Account;

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
        Self::over(plan, clock::now() - ago, Duration::from_secs(60))
    }

    /// Begins at `now`; each cell runs once within `every`.
    pub(crate) fn over(plan: Arc<Plan>, now: Timestamp, every: Duration) -> Self {
        let store = Store::open(&plan.store.path, &plan.store).unwrap().store;
        store.mask(plan.secrets());
        let mut often = Plan::clone(&plan);
        for probe in &mut often.probes {
            probe.schedule = Schedule::Every(every);
        }
        let machine = Machine::new(Arc::new(often), Known::default(), now);
        Self {
            driver: Driver::new(machine),
            wanted: Wanted::default(),
            plan,
            store,
            held: Vec::new(),
            saved: BTreeMap::new(),
            now,
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Asks every cell once, as the world is now.
    pub(crate) async fn ask(&self) -> Answers {
        let cells = self.plan.cells().map(|(_, cell)| cell).collect();
        let judged = round::round(self.plan.clone(), cells, round::Manners::Own, |_| {})
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
        self.step_with(|cell, _| answers[cell].clone())
            .await
            .happened
    }

    /// The next run or tick, where a cell answers so at this time.
    pub(crate) async fn step_with(
        &mut self,
        answer: impl FnOnce(&CellKey, Timestamp) -> Judged,
    ) -> Step {
        let Some(start) = self.wanted.starts.pop_front() else {
            self.now = self.driver.wake().unwrap_or(self.now).max(self.now);
            return Box::pin(self.apply(Event::Tick)).await;
        };
        let mut judged = answer(&start.cell, self.now);
        judged.observation.started_at = self.now;
        judged.observation.due_at = start.due_at;
        judged.observation.purpose = start.purpose;
        let (run, judged) = (start.run, Arc::new(judged));
        Box::pin(self.apply(Event::Ended { run, judged })).await
    }

    /// Applies an event now.
    pub(crate) async fn apply(&mut self, event: Event) -> Step {
        let mut step = self.release().await;
        self.driver.step(event, self.now, &mut self.wanted);
        for effect in std::mem::take(&mut self.wanted.effects) {
            match effect {
                Effect::Record(judged) => self.store.record(&judged.observation, &judged.verdict),
                Effect::Save(change) => {
                    let entries = change.timeline.iter();
                    step.happened.extend(entries.map(|entry| entry.what));
                    step.told |= self.commit(*change).await;
                }
                Effect::VerdictChanged(change) => {
                    step.verdicts += 1;
                    self.store.note_verdict(&change);
                }
                Effect::Learned(learned) => {
                    step.told |= !learned.notifications.is_empty();
                    self.store.learn(*learned).await.unwrap();
                }
                Effect::Start(_)
                | Effect::Cancel { .. }
                | Effect::WakeAt(_)
                | Effect::Ask(_)
                | Effect::Leave { .. } => {}
            }
        }
        step
    }

    /// Saves a change; messages that are not due yet are kept until they are, or until the next one of their incident.
    async fn commit(&mut self, mut change: Change) -> bool {
        let number = change.incident.number;
        let fresh = std::mem::take(&mut change.notifications);
        let (due, later): (Vec<_>, Vec<_>) =
            fresh.into_iter().partition(|n| n.not_before <= self.now);
        if !due.is_empty() {
            let waits = |n: &mut Notification| n.incident == number;
            change.notifications = self.held.extract_if(.., waits).collect();
        }
        change.notifications.extend(due);
        self.held.extend(later);
        self.saved.insert(number, change.incident.clone());
        let told = !change.notifications.is_empty();
        self.store.commit(change).await.unwrap();
        told
    }

    /// Hands over what became due.
    async fn release(&mut self) -> Step {
        let due: Vec<Notification> = self
            .held
            .extract_if(.., |n| n.not_before <= self.now)
            .collect();
        let told = !due.is_empty();
        for notification in due {
            self.store
                .commit(Change {
                    incident: self.saved[&notification.incident].clone(),
                    timeline: Vec::new(),
                    notifications: vec![notification],
                })
                .await
                .unwrap();
        }
        Step {
            told,
            ..Step::default()
        }
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
