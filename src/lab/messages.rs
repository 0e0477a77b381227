//! What people would be told: the daemon's own loop over the world of a scenario, in simulated time.
//!
//! The scored run drives the diagnosis alone. Here the whole monitor, with its controls, delays and
//! wording, meets the same world from the same seed, so that the story can show each message as it would
//! go out. Its requests are its own, so its times may differ from those of the scored run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::cell::CellKey;
use crate::domain::observation::{
    Answer, Body, HttpVersion, Observation, Phases, Purpose, Route as Path,
};
use crate::domain::plan::Plan;
use crate::domain::verdict::{Kind, Maker, Rule, Verdict, WhoActs};
use crate::lab::plan::{CONTROL, Planned, plan};
use crate::lab::scenario::Scenario;
use crate::lab::world::World;
use crate::machine::monitor::{Effect, Event, Judged, Monitor};

/// Between two rounds of the control, seconds.
const CONTROL_EVERY_S: f64 = 60.0;
/// Between two requests to a host, when the later one is extra, seconds.
const GAP_S: f64 = 1.0;
/// Ticks at one moment, and extra requests that wait, at most.
const TICKS_MAX: u32 = 100;
const WAITING_MAX: usize = 10_000;

/// A message as it would go out.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Seconds from the start of the run.
    pub(super) at: f64,
    pub(super) reason: &'static str,
    pub(super) incident: u64,
    pub(super) text: String,
}

/// A request that is due.
#[derive(Debug)]
struct Due {
    at: f64,
    cell: CellKey,
    purpose: Purpose,
}

struct Loop<'a> {
    scenario: &'a Scenario,
    world: World<'a>,
    plan: Arc<Plan>,
    cells: Vec<CellKey>,
    numbers: BTreeMap<CellKey, usize>,
    monitor: Monitor,
    waiting: Vec<Due>,
    last_sent: Vec<f64>,
    messages: Vec<Message>,
}

/// The messages of one run, in order.
///
/// # Errors
/// A sentence when no plan can hold the scenario.
pub(super) fn messages(scenario: &Scenario, seed: u64) -> Result<Vec<Message>, String> {
    let Planned { plan, cells } = plan(scenario, None)?;
    let plan = Arc::new(plan);
    let mut it = Loop {
        world: World::new(scenario, seed),
        monitor: Monitor::new(Arc::clone(&plan), Vec::new(), 1),
        numbers: cells.iter().cloned().zip(0..).collect(),
        cells,
        plan,
        waiting: Vec::new(),
        last_sent: vec![f64::NEG_INFINITY; scenario.universe.hosts.len()],
        messages: Vec::new(),
        scenario,
    };
    it.run();
    Ok(it.messages)
}

/// When a run of a scenario begins; any moment serves.
fn timestamp(second: f64) -> Timestamp {
    const BEGIN_S: f64 = 1_614_556_800.0;
    Timestamp::from_microsecond(((BEGIN_S + second) * 1e6) as i64).unwrap_or_default()
}

fn second(at: Timestamp) -> f64 {
    at.duration_since(timestamp(0.0)).as_secs_f64()
}

impl Loop<'_> {
    fn run(&mut self) {
        let rounds = self.scenario.warmup_rounds + self.scenario.rounds + 1;
        let controls: Vec<CellKey> = self
            .plan
            .cells()
            .filter(|(probe, _)| probe.control)
            .map(|(_, key)| key)
            .collect();
        let mut control_at = 0.0;
        for round in 0..rounds {
            for (at, cell) in self.world.round(round) {
                while control_at <= at {
                    self.until(control_at);
                    for cell in controls.clone() {
                        self.send(control_at, &cell, Purpose::Schedule);
                    }
                    control_at += CONTROL_EVERY_S;
                }
                self.until(at);
                if at > self.world.end {
                    return;
                }
                let cell = self.cells[cell].clone();
                let aimed = self.monitor.aim(&cell, timestamp(at)).unwrap_or(cell);
                self.send(at, &aimed, Purpose::Schedule);
            }
        }
        self.until(self.world.end);
    }

    /// Ticks and extra requests that are due before a moment.
    fn until(&mut self, end: f64) {
        let mut ticks = 0;
        loop {
            let next = (0..self.waiting.len())
                .min_by(|a, b| self.waiting[*a].at.total_cmp(&self.waiting[*b].at))
                .filter(|i| self.waiting[*i].at <= end);
            let at = next.map_or(end, |i| self.waiting[i].at);
            let wake = self.monitor.next_wake().map(second);
            if let Some(wake) = wake.filter(|wake| *wake <= at && ticks < TICKS_MAX) {
                ticks += 1;
                // A tick that is overdue comes now: requests went out since.
                let now = self.last_sent.iter().copied().fold(wake, f64::max);
                let effects = self.monitor.step(Event::Tick, timestamp(now.min(end)));
                self.apply(now.min(end), effects);
                continue;
            }
            let Some(i) = next else {
                return;
            };
            let free = self.free_at(&self.waiting[i].cell);
            if at < free - 0.001 {
                self.waiting[i].at = free;
                continue;
            }
            let due = self.waiting.swap_remove(i);
            if self.monitor.wants(&due.cell, due.purpose) {
                self.send(at, &due.cell, due.purpose);
            }
        }
    }

    fn host(&self, cell: &CellKey) -> Option<usize> {
        let number = self.numbers.get(cell)?;
        Some(usize::from(self.scenario.universe.host_of(*number)))
    }

    fn free_at(&self, cell: &CellKey) -> f64 {
        self.host(cell)
            .map_or(f64::NEG_INFINITY, |host| self.last_sent[host] + GAP_S)
    }

    fn send(&mut self, at: f64, cell: &CellKey, purpose: Purpose) {
        let (kind, pop) = if let Some(number) = self.numbers.get(cell) {
            let met = self.world.send(at, *number);
            (met.kind, met.pop)
        } else {
            (self.control(at, cell), None)
        };
        if let Some(host) = self.host(cell) {
            self.last_sent[host] = at;
        }
        let pop = pop.map(|pop| self.scenario.universe.pops[usize::from(pop)].as_str());
        let judged = Arc::new(judged(cell, kind, pop, at, purpose));
        let effects = self.monitor.step(Event::Observed(judged), timestamp(at));
        self.apply(at, effects);
    }

    /// What the control meets: faults of ours, and nothing of the partner's.
    fn control(&mut self, at: f64, cell: &CellKey) -> Kind {
        debug_assert_eq!(cell.probe.as_str(), CONTROL);
        let like = |key: &CellKey| (&key.egress, &key.client) == (&cell.egress, &cell.client);
        match self.cells.iter().position(like) {
            Some(number) => self.world.send_elsewhere(at, number),
            None => Kind::Pass,
        }
    }

    fn apply(&mut self, at: f64, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Run {
                    cell,
                    at: due,
                    purpose,
                    ..
                } if self.waiting.len() < WAITING_MAX => self.waiting.push(Due {
                    at: second(due).max(at),
                    cell,
                    purpose,
                }),
                Effect::Save(change) => {
                    self.messages
                        .extend(change.notifications.iter().map(|note| Message {
                            at,
                            reason: note.reason.as_str(),
                            incident: note.incident,
                            text: note.briefing.headline.clone(),
                        }));
                }
                Effect::Run { .. } | Effect::VerdictChanged(_) | Effect::Learned(_) => {}
            }
        }
    }
}

/// A run with this outcome, as a prober and a classifier would tell it.
fn judged(cell: &CellKey, kind: Kind, pop: Option<&str>, at: f64, purpose: Purpose) -> Judged {
    let at = timestamp(at);
    let status = match kind {
        Kind::Pass => Some(200),
        Kind::EdgeBlock | Kind::EdgeChallenge | Kind::OriginDenied | Kind::SoftBlock => Some(403),
        Kind::RateLimited => Some(429),
        Kind::EdgeError | Kind::OriginError | Kind::Unexpected => Some(503),
        _ => None,
    };
    let maker = match kind {
        Kind::EdgeBlock | Kind::EdgeChallenge | Kind::RateLimited | Kind::EdgeError => Maker::Edge,
        Kind::Pass | Kind::OriginDenied | Kind::OriginError => Maker::Origin,
        Kind::LocalError => Maker::OurSide,
        _ => Maker::Unknown,
    };
    // CF-Ray ends with the point of presence.
    let ray = pop.map(|pop| ("cf-ray".to_owned(), format!("0-{pop}")));
    Judged {
        observation: Observation {
            cell: cell.clone(),
            purpose,
            due_at: at,
            started_at: at,
            took: Duration::from_millis(80),
            phases: Phases::default(),
            route: Path::default(),
            tls: None,
            hops: Vec::new(),
            answer: status.map(|status| Answer {
                http: HttpVersion::H1_1,
                status,
                headers: ray.into_iter().collect(),
                body: Body::default(),
            }),
            failure: None,
        },
        verdict: Verdict {
            rule: match kind {
                Kind::Pass => Rule::None,
                _ => Rule::Unknown,
            },
            who_acts: match kind {
                Kind::EdgeBlock | Kind::OriginDenied => WhoActs::SiteOwner,
                _ => WhoActs::None,
            },
            ..Verdict::new(kind, maker)
        },
    }
}
