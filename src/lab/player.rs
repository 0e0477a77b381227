//! Plays a scenario through the machine: simulated time, no sockets.
//!
//! The machine is the daemon's own, set upon the world of the scenario with the plan that an operator would have
//! written ([`crate::lab::plan`]), a control from every egress included. What it tells people is what is scored: an
//! incident counts from the first message on, a cause as long as the last message named it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::blame::{self, Blame};
use super::plan::{CONTROL, Planned, plan, stack};
use super::scenario::{OWN_STACK, Scenario};
use super::world::{World, scheduled};
use crate::domain::cell::{CellKey, ProbeName};
use crate::domain::change::Change;
use crate::domain::incident::{Incident, State};
use crate::domain::mute;
use crate::domain::notification::{Notification, Reason};
use crate::domain::observation::{
    Answer, Body, HttpVersion, Observation, Phases, Purpose, Route as Path,
};
use crate::domain::sent::{Sent, Stack};
use crate::domain::verdict::{Kind, Maker, Rule, Verdict, WhoActs};
use crate::judge::cells::CellSet;
use crate::judge::rules::{Nature, RuleBook};
use crate::judge::universe::Universe;
use crate::lang::cron::Cron;
use crate::machine::driver::{self, Simulation};
use crate::machine::{Effect, Judged, Machine, Start};
use crate::surroundings::fingerprint::{Relation, Watch};

/// A claim, from its telling to its withdrawal.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) blame: Blame,
    pub(super) intermittent: bool,
    /// Share of matching requests that fail.
    pub(super) fails: f64,
    pub(super) confidence: f64,
    pub(super) claimed_at: f64,
    pub(super) withdrawn_at: Option<f64>,
    /// Extra requests since the onset when it was made.
    pub(super) extra: u32,
}

/// An incident as people know it, from its opening, or its return, to its end.
#[derive(Debug, Clone)]
pub(super) struct Played {
    number: u64,
    pub(super) onset: f64,
    pub(super) opened_at: f64,
    pub(super) recovered_at: Option<f64>,
    pub(super) claims: Vec<Claim>,
    pub(super) among: Vec<Nature>,
    pub(super) missing: Option<String>,
    pub(super) drift: Option<Relation>,
    pub(super) extra: u32,
}

impl Played {
    pub(super) fn standing(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().filter(|c| c.withdrawn_at.is_none())
    }
}

/// A message as it goes out.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Seconds from the start of the run.
    pub(super) at: f64,
    pub(super) reason: Reason,
    pub(super) incident: u64,
    pub(super) text: String,
    /// What it says fails, or passes again, in the keys of scenario files.
    pub(super) cells: Vec<Map<String, Value>>,
    /// The same as a set.
    pub(super) failing: CellSet,
}

/// One run of a scenario.
#[derive(Debug)]
pub(super) struct Playback {
    pub(super) seed: u64,
    /// Seconds from the start of the run; all other times are too.
    pub(super) onset: f64,
    pub(super) incidents: Vec<Played>,
    pub(super) messages: Vec<Message>,
    pub(super) scheduled: u64,
    pub(super) extra: u64,
    /// Incidents that were opened and told to nobody.
    pub(super) suppressed: u64,
    pub(super) story: Vec<(f64, String)>,
    /// Requests, failures and rounds: what simpler rules would have alerted on.
    pub(super) simple: SimpleAlerts,
}

/// Alerts of two simple rules on the same scheduled requests, for comparison.
#[derive(Debug, Clone, Default)]
pub(super) struct SimpleAlerts {
    pub(super) first_failure: u64,
    pub(super) three_in_a_row: u64,
}

/// What the runs of a scenario share: its plan, and the rules by which it is scored.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    book: Arc<RuleBook>,
    planned: Arc<Planned>,
    numbers: Arc<BTreeMap<CellKey, usize>>,
    scheduled: Arc<BTreeSet<CellKey>>,
}

impl Stage {
    /// # Errors
    /// A sentence when no plan can hold the scenario.
    pub(super) fn new(scenario: &Scenario) -> Result<Self, String> {
        let planned = plan(scenario, None)?;
        let numbers = planned.cells.iter().cloned().zip(0..).collect();
        let cells = scheduled(&scenario.universe, scenario.schedule.design);
        let partner = cells.into_iter().map(|cell| planned.cells[cell].clone());
        let controls = planned.plan.cells().filter(|(probe, _)| probe.control);
        Ok(Self {
            book: Arc::new(RuleBook::new(&scenario.universe)),
            scheduled: Arc::new(partner.chain(controls.map(|(_, key)| key)).collect()),
            numbers: Arc::new(numbers),
            planned: Arc::new(planned),
        })
    }

    pub(super) fn book(&self) -> &RuleBook {
        &self.book
    }
}

/// When a run of a scenario begins; any moment serves.
const BEGIN_S: f64 = 1_614_556_800.0;

fn timestamp(second: f64) -> Timestamp {
    Timestamp::from_microsecond(((BEGIN_S + second) * 1e6) as i64).unwrap_or_default()
}

fn second(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6 - BEGIN_S
}

/// The world and its people.
struct Player<'a> {
    scenario: &'a Scenario,
    stage: &'a Stage,
    world: World<'a>,
    /// A cell of the scenario that asks as the control of each egress does.
    like_control: BTreeMap<CellKey, usize>,
    incidents: Vec<Played>,
    messages: Vec<Message>,
    /// Ends that people hear of only when it stays away.
    held: Vec<Message>,
    /// Numbers of incidents that were kept from people when they were saved last.
    hidden: BTreeSet<u64>,
    suppressed: u64,
    tell: bool,
    story: Vec<(f64, String)>,
    /// When each extra request to the partner went out.
    extras: Vec<f64>,
    extra: u64,
    scheduled: u64,
    /// Failures in a row by cell.
    streaks: Vec<u32>,
    simple: SimpleAlerts,
}

/// Plays one run; `tell` also writes the story for people.
pub(super) fn play(scenario: &Scenario, stage: &Stage, seed: u64, tell: bool) -> Playback {
    let world = World::new(scenario, seed);
    let (begin, end) = (timestamp(0.0), timestamp(world.end));
    let mut plan = stage.planned.plan.clone();
    plan.maintenance = maintenance(scenario, world.onset);
    let machine = Machine::sparse(Arc::new(plan), &stage.scheduled, begin);
    let player = Player {
        like_control: like_control(&stage.planned),
        streaks: vec![0; scenario.universe.cells.len()],
        scenario,
        stage,
        world,
        incidents: Vec::new(),
        messages: Vec::new(),
        held: Vec::new(),
        hidden: BTreeSet::new(),
        suppressed: 0,
        tell,
        story: Vec::new(),
        extras: Vec::new(),
        extra: 0,
        scheduled: 0,
        simple: SimpleAlerts::default(),
    };
    let mut simulation = Simulation::new(machine, player, begin);
    simulation.until(end);
    let mut player = simulation.scene.world;
    player.release(f64::INFINITY);
    player.look_at_fronts(seed);
    Playback {
        seed,
        onset: player.world.onset,
        incidents: player.incidents,
        messages: player.messages,
        scheduled: player.scheduled,
        extra: player.extra,
        suppressed: player.suppressed,
        story: player.story,
        simple: player.simple,
    }
}

/// Windows of the scenario as the file of an operator has them.
fn maintenance(scenario: &Scenario, onset: f64) -> Vec<mute::Maintenance> {
    let universe = &scenario.universe;
    let windows = scenario.maintenance.iter().filter_map(|window| {
        let from = timestamp(onset + window.from_min * 60.0).to_zoned(TimeZone::UTC);
        let text = from.strftime("%-S %-M %-H %-d %-m *").to_string();
        let here = universe.endpoints.iter().filter(|endpoint| {
            let host = &universe.hosts[usize::from(endpoint.host)];
            window.hosts.contains(host)
        });
        Some(mute::Maintenance {
            name: "planned work".to_owned(),
            begins: mute::Begins::Cron(Cron::new(&text, TimeZone::UTC).ok()?),
            lasting: Duration::try_from_secs_f64((window.to_min - window.from_min) * 60.0).ok()?,
            probes: here.map(|e| ProbeName::new(&e.name)).collect(),
            effect: mute::Effect::Mute,
        })
    });
    windows.collect()
}

/// What the controls meet is what is done to our own side: to a cell with the same egress and client.
fn like_control(planned: &Planned) -> BTreeMap<CellKey, usize> {
    let controls = planned.plan.cells().filter(|(probe, _)| probe.control);
    controls
        .filter_map(|(_, control)| {
            let same =
                |key: &CellKey| (&key.egress, &key.client) == (&control.egress, &control.client);
            let like = planned.cells.iter().position(same)?;
            Some((control, like))
        })
        .collect()
}

impl driver::World for Player<'_> {
    fn run(&mut self, start: &Start, now: Timestamp) -> Option<(Judged, Timestamp)> {
        let at = second(now);
        let cell = &start.cell;
        let Some(number) = self.stage.numbers.get(cell).copied() else {
            debug_assert_eq!(cell.probe.as_str(), CONTROL);
            let like = self.like_control.get(cell).copied();
            let kind = like.map_or(Kind::Pass, |like| self.world.send_elsewhere(at, like));
            return Some((judged(start, kind, None, now), now));
        };
        let met = self.world.send(at, number);
        let failed = met.kind != Kind::Pass;
        if start.purpose == Purpose::Schedule {
            self.scheduled += 1;
            let streak = &mut self.streaks[number];
            *streak = if failed { *streak + 1 } else { 0 };
            self.simple.first_failure += u64::from(*streak == 1);
            self.simple.three_in_a_row += u64::from(*streak == 3);
        } else {
            self.extra += 1;
            self.extras.push(at);
        }
        if self.tell {
            let name = || self.scenario.universe.describe(number);
            if start.purpose != Purpose::Schedule {
                let text = format!("extra request: {} ({})", name(), start.why);
                self.story.push((at, text));
            }
            if failed {
                self.story.push((at, format!("{}: {}", name(), met.kind)));
            }
        }
        let pop = met
            .pop
            .map(|pop| self.scenario.universe.pops[usize::from(pop)].as_str());
        let mut judged = judged(start, met.kind, pop, now);
        judged.observation.sent = sent(&self.scenario.universe, number);
        Some((judged, now))
    }

    fn keep(&mut self, effect: Effect, now: Timestamp) {
        if let Effect::Save(change) = effect {
            self.saved(&change, second(now));
        }
    }
}

impl Player<'_> {
    fn saved(&mut self, change: &Change, at: f64) {
        self.release(at);
        let incident = &change.incident;
        if self.tell {
            for entry in &change.timeline {
                let text = format!(
                    "INC-{} {}: {}",
                    incident.number,
                    entry.what.as_str(),
                    entry.text
                );
                self.story.push((at, text));
            }
        }
        if change.notifications.is_empty() {
            // Nobody knows of it, as long as nobody was told that it opened.
            let unknown = incident.told_receivers.is_empty() && incident.state == State::Open;
            self.suppressed += u64::from(unknown && self.hidden.insert(incident.number));
            return;
        }
        self.hidden.remove(&incident.number);
        for note in &change.notifications {
            self.told(note, incident, at);
        }
        let known = self.standing(incident.number).is_some();
        if incident.state == State::Open && !known {
            self.incidents.push(Played {
                number: incident.number,
                onset: second(incident.onset_at),
                opened_at: at,
                recovered_at: None,
                claims: Vec::new(),
                among: Vec::new(),
                missing: None,
                drift: None,
                extra: 0,
            });
        }
        let extra = self.extra_since(second(incident.onset_at));
        let blames = blame::of(&self.scenario.universe, &self.stage.planned, incident);
        if let Some(played) = self.standing(incident.number) {
            played.extra = extra;
            if incident.state == State::Open {
                restate(played, blames, incident, at, extra);
            } else {
                let told = change
                    .notifications
                    .iter()
                    .map(|note| second(note.not_before));
                played.recovered_at = Some(told.fold(at, f64::max));
            }
        }
    }

    /// The incident that people know under a number, if it is not over for them.
    fn standing(&mut self, number: u64) -> Option<&mut Played> {
        let mut played = self.incidents.iter_mut().rev();
        played.find(|it| it.number == number && it.recovered_at.is_none())
    }

    fn extra_since(&self, onset: f64) -> u32 {
        self.extras
            .iter()
            .rev()
            .take_while(|at| **at >= onset)
            .count() as u32
    }

    /// Writes a message down, or keeps it until its time.
    fn told(&mut self, note: &Notification, incident: &Incident, at: f64) {
        // That it is muted now is shown where it stands, and notifies nobody.
        if note.reason == Reason::Muted {
            return;
        }
        let back = note.reason == Reason::Reopened;
        if back
            && self
                .held
                .extract_if(.., |m| m.incident == incident.number)
                .count()
                > 0
        {
            // Nobody heard that it was over.
            let mut played = self.incidents.iter_mut().rev();
            if let Some(played) = played.find(|it| it.number == incident.number) {
                played.recovered_at = None;
            }
            return;
        }
        let (cells, failing) = self.named(incident);
        let message = Message {
            at: second(note.not_before).max(at),
            reason: note.reason,
            incident: note.incident,
            text: note.briefing.headline.clone(),
            cells,
            failing,
        };
        if message.at > at {
            self.held.push(message);
        } else {
            self.say(message);
        }
    }

    /// What a message says fails: what is blamed, and the cells themselves where it can't tell.
    fn named(&self, incident: &Incident) -> (Vec<Map<String, Value>>, CellSet) {
        let (universe, planned) = (&self.scenario.universe, &self.stage.planned);
        let mut blames = blame::of(universe, planned, incident);
        if blames.is_empty() {
            blames.push(Blame {
                cells: blame::failing(planned, incident),
                pop: None,
                rate: None,
                natures: Vec::new(),
            });
        }
        let mut failing = CellSet::none(universe.cells.len());
        for blame in &blames {
            failing.add_all(&blame.cells);
        }
        let whens = |blame: &Blame| blame::whens(universe, &self.stage.book, blame);
        (blames.iter().flat_map(whens).collect(), failing)
    }

    /// Says what was held back until now.
    fn release(&mut self, now: f64) {
        let end = self.world.end;
        let due = self.held.extract_if(.., |m| m.at <= now.min(end));
        let due: Vec<Message> = due.collect();
        for message in due {
            self.say(message);
        }
    }

    fn say(&mut self, message: Message) {
        if self.tell {
            let text = format!(
                "message: INC-{} {}: {}",
                message.incident,
                message.reason.as_str(),
                message.text
            );
            self.story.push((message.at, text));
        }
        self.messages.push(message);
    }

    /// Watches the fronts of the hosts over their own history and puts changes beside the onsets.
    fn look_at_fronts(&mut self, seed: u64) {
        let mut random = World::side_random(seed);
        let universe = &self.scenario.universe;
        let interval = self.scenario.schedule.interval_s;
        for (host, front) in &self.scenario.fronts {
            let cells: Vec<usize> = scheduled(universe, self.scenario.schedule.design)
                .into_iter()
                .filter(|c| universe.hosts[usize::from(universe.host_of(*c))] == *host)
                .collect();
            if cells.is_empty() {
                continue;
            }
            let history = front.history_days * 86_400.0;
            let warmup = f64::from(self.scenario.warmup_rounds) * interval;
            let mut at = self.world.onset - history.max(warmup);
            let step = interval / cells.len() as f64 * if history > 0.0 { 20.0 } else { 1.0 };
            let mut watch = Watch::new(universe.egresses.len());
            let mut i = 0;
            while at < self.world.onset + 1800.0 {
                let mut print = &front.base;
                if let Some((alternate, share)) = &front.alternate
                    && random.f64() < *share
                {
                    print = alternate;
                }
                for (at_min, to) in &front.changes {
                    if at >= self.world.onset + at_min * 60.0 {
                        print = to;
                    }
                }
                if random.f64() > self.scenario.noise.independent {
                    let egress = universe.cells[cells[i % cells.len()]].egress;
                    watch.observe(at, egress, print);
                }
                i += 1;
                at += step;
            }
            for incident in &mut self.incidents {
                let related = watch
                    .relate(incident.onset, true)
                    .into_iter()
                    .filter(|r| r.related)
                    .min_by(|a, b| a.chance.total_cmp(&b.chance));
                if let Some(relation) = related {
                    incident.drift.get_or_insert(relation);
                }
            }
        }
    }
}

/// Takes what an incident says now in place of what it said before.
fn restate(played: &mut Played, blames: Vec<Blame>, incident: &Incident, at: f64, extra: u32) {
    let diagnosis = &incident.diagnosis;
    for claim in &mut played.claims {
        if claim.withdrawn_at.is_none() && !blames.contains(&claim.blame) {
            claim.withdrawn_at = Some(at);
        }
    }
    for blame in blames {
        let mut standing = played.claims.iter_mut();
        let known = standing.find(|c| c.withdrawn_at.is_none() && c.blame == blame);
        if let Some(claim) = known {
            claim.intermittent = diagnosis.fails.is_some();
            claim.fails = diagnosis.fails.unwrap_or(1.0);
            continue;
        }
        played.claims.push(Claim {
            blame,
            intermittent: diagnosis.fails.is_some(),
            fails: diagnosis.fails.unwrap_or(1.0),
            confidence: diagnosis.confidence,
            claimed_at: at,
            withdrawn_at: None,
            extra,
        });
    }
    played.among = blame::among(incident);
    played.missing.clone_from(&diagnosis.would_tell);
}

/// What a request of a cell looks like, where the scenario tells stacks apart.
fn sent(universe: &Universe, cell: usize) -> Option<Sent> {
    let cell = &universe.cells[cell];
    let stack = stack(universe, cell.client, cell.version)?;
    Some(Sent {
        stack: match stack {
            OWN_STACK => Stack::Native,
            name => Stack::Program {
                name: name.to_owned(),
                version: String::new(),
            },
        },
        ja4: Some(stack.to_owned()),
        ja4_fresh: None,
        greeting: None,
        header_order: None,
        h2: None,
    })
}

/// A run with this outcome, as a prober and a classifier would tell it.
fn judged(start: &Start, kind: Kind, pop: Option<&str>, now: Timestamp) -> Judged {
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
            cell: start.cell.clone(),
            purpose: start.purpose,
            due_at: start.due_at,
            started_at: now,
            took: Duration::from_millis(80),
            phases: Phases::default(),
            route: Path::default(),
            tls: None,
            sent: None,
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
