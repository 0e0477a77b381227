//! Drives a machine: events in when they are due, effects out to whoever carries them out.
//!
//! Real probing, a simulated world and a script differ in their [`Hands`] alone. The daemon waits for its tasks and
//! its clock and calls [`Driver::step`]; where time is simulated too, a [`Simulation`] sets the clock from one due
//! moment to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Effect, Event, Judged, Machine, RunId, Start};

/// Carries out what the machine wants.
pub trait Hands {
    /// Makes a run; its end is told by [`Event::Ended`] or [`Event::Lost`].
    fn start(&mut self, start: Start, now: Timestamp);

    /// Ends a run that nobody waits for any more.
    fn cancel(&mut self, run: RunId);

    /// Stores and tells: all effects but starts, cancellations and the alarm.
    fn keep(&mut self, effect: Effect, now: Timestamp);

    /// Writes down what was heard and answered, before anything is done about it.
    fn note(&mut self, event: &Event, now: Timestamp, effects: &[Effect], machine: &Machine) {
        let _ = (event, now, effects, machine);
    }
}

/// A machine with its alarm clock.
#[derive(Debug)]
pub struct Driver {
    machine: Machine,
    wake: Option<Timestamp>,
}

impl Driver {
    #[must_use]
    pub fn new(machine: Machine) -> Self {
        Self {
            machine,
            wake: None,
        }
    }

    /// Applies an event and hands over what follows.
    pub fn step(&mut self, event: Event, now: Timestamp, hands: &mut impl Hands) {
        let heard = event.clone();
        let effects = self.machine.step(event, now);
        hands.note(&heard, now, &effects, &self.machine);
        for effect in effects {
            match effect {
                Effect::Start(start) => hands.start(start, now),
                Effect::Cancel { run } => hands.cancel(run),
                Effect::WakeAt(at) => self.wake = Some(at),
                effect => hands.keep(effect, now),
            }
        }
    }

    /// When [`Event::Tick`] is due; `None`: at once, nothing has happened yet.
    #[must_use]
    pub fn wake(&self) -> Option<Timestamp> {
        self.wake
    }

    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }
}

/// A world that answers runs and takes what is told.
pub trait World {
    /// What a run of this cell sees that starts now, and when it ends; `None`: nobody hears of it again.
    fn run(&mut self, start: &Start, now: Timestamp) -> Option<(Judged, Timestamp)>;

    /// What is stored and told.
    fn keep(&mut self, effect: Effect, now: Timestamp);
}

/// Steps that may follow each other without time passing.
const STEPS_MAX: u32 = 100_000;

/// A machine in a world, in simulated time.
#[derive(Debug)]
pub struct Simulation<W> {
    driver: Driver,
    pub now: Timestamp,
    pub scene: Scene<W>,
    /// Steps since time passed last.
    steps: u32,
}

/// A world, and the runs that go on in it.
#[derive(Debug)]
pub struct Scene<W> {
    pub world: W,
    /// By when they end, then by number.
    under_way: BTreeMap<(Timestamp, RunId), Arc<Judged>>,
}

impl<W: World> Hands for Scene<W> {
    fn start(&mut self, start: Start, now: Timestamp) {
        if let Some((judged, ends_at)) = self.world.run(&start, now) {
            let key = (ends_at.max(now), start.run);
            self.under_way.insert(key, Arc::new(judged));
        }
    }

    fn cancel(&mut self, run: RunId) {
        self.under_way.retain(|(_, known), _| *known != run);
    }

    fn keep(&mut self, effect: Effect, now: Timestamp) {
        self.world.keep(effect, now);
    }
}

impl<W: World> Simulation<W> {
    #[must_use]
    pub fn new(machine: Machine, world: W, now: Timestamp) -> Self {
        Self {
            driver: Driver::new(machine),
            now,
            scene: Scene {
                world,
                under_way: BTreeMap::new(),
            },
            steps: 0,
        }
    }

    #[must_use]
    pub fn machine(&self) -> &Machine {
        self.driver.machine()
    }

    /// Applies an event from outside, now.
    pub fn step(&mut self, event: Event) {
        self.driver.step(event, self.now, &mut self.scene);
    }

    /// All that is due until `end`.
    pub fn until(&mut self, end: Timestamp) {
        while self.turn(end) {}
        self.now = self.now.max(end);
    }

    /// The next thing that is due until `end`; whether there was one.
    ///
    /// # Panics
    /// When the machine wants to be woken at one moment again and again.
    pub fn turn(&mut self, end: Timestamp) -> bool {
        let ended = self.scene.under_way.first_key_value().map(|(key, _)| *key);
        let wake = self.driver.wake().unwrap_or(self.now).max(self.now);
        let next = ended.map_or(wake, |(at, _)| at.min(wake));
        if next > end {
            return false;
        }
        self.steps = if next > self.now { 0 } else { self.steps + 1 };
        assert!(self.steps < STEPS_MAX, "time stands still at {next}");
        self.now = next;
        let event = match ended {
            Some(key) if key.0 <= next => match self.scene.under_way.remove(&key) {
                Some(judged) => Event::Ended { run: key.1, judged },
                None => Event::Tick,
            },
            _ => Event::Tick,
        };
        self.step(event);
        true
    }
}
