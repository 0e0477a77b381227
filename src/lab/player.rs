//! Plays a scenario through the diagnosis: simulated time, no sockets.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::observation::Purpose;
use crate::judge::engine::{Ask, Effect, Engine, Options, Reason, Seen};
use crate::judge::episode::Cause;
use crate::judge::explain;
use crate::judge::reasons::sentence;
use crate::judge::rules::{Nature, RuleBook};
use crate::lab::scenario::Scenario;
use crate::lab::world::World;
use crate::surroundings::fingerprint::{Relation, Watch};

/// How a line of the story begins that tells of a scheduled request sent as another cell.
pub(super) const REAIMED: &str = "scheduled request re-aimed";

/// A claim, from its making to its withdrawal.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) rule: usize,
    pub(super) group: usize,
    pub(super) intermittent: bool,
    /// Share of matching requests that fail.
    pub(super) fails: f64,
    pub(super) confidence: f64,
    pub(super) claimed_at: f64,
    pub(super) withdrawn_at: Option<f64>,
    /// Extra requests of the episode when it was made.
    pub(super) extra: u32,
}

/// An incident as the run left it.
#[derive(Debug, Clone)]
pub(super) struct Played {
    pub(super) id: u32,
    pub(super) onset: f64,
    pub(super) opened_at: f64,
    pub(super) recovered_at: Option<f64>,
    /// Not reproduced, or folded into another.
    pub(super) closed_at: Option<f64>,
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

/// One run of a scenario.
#[derive(Debug)]
pub(super) struct Playback {
    pub(super) seed: u64,
    /// Seconds from the start of the run; all other times are too.
    pub(super) onset: f64,
    pub(super) incidents: Vec<Played>,
    pub(super) scheduled: u64,
    pub(super) extra: u64,
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

/// A universe with its rules, shared by the runs of a scenario.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    book: Arc<RuleBook>,
    universe: Arc<crate::judge::universe::Universe>,
}

impl Stage {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            book: Arc::new(RuleBook::new(&scenario.universe)),
            universe: Arc::new(scenario.universe.clone()),
        }
    }

    pub(super) fn book(&self) -> &RuleBook {
        &self.book
    }
}

/// Seconds between two requests to a host, when the later one is extra.
const GAP_S: f64 = 1.0;

struct Player<'a> {
    scenario: &'a Scenario,
    world: World<'a>,
    engine: Engine,
    asks: Vec<(f64, u64, Ask)>,
    /// Order of asks made for the same moment.
    asked: u64,
    last_sent: Vec<f64>,
    incidents: Vec<Played>,
    tell: bool,
    story: Vec<(f64, String)>,
    /// Extra requests on suspicion that belong to no incident yet, by host.
    loose: BTreeMap<u16, u32>,
    extra: u64,
    scheduled: u64,
    /// Failures in a row by cell.
    streaks: Vec<u32>,
    simple: SimpleAlerts,
}

/// Plays one run; `tell` also writes the story for people.
pub(super) fn play(
    scenario: &Scenario,
    stage: &Stage,
    seed: u64,
    options: Options,
    tell: bool,
) -> Playback {
    let world = World::new(scenario, seed);
    let mut engine = Engine::new(stage.universe.clone(), stage.book.clone(), options);
    for window in &scenario.maintenance {
        for host in &window.hosts {
            if let Some(host) = scenario.universe.hosts.iter().position(|h| h == host) {
                engine.announce(
                    host as u16,
                    world.onset + window.from_min * 60.0,
                    world.onset + window.to_min * 60.0,
                );
            }
        }
    }
    let mut player = Player {
        last_sent: vec![f64::NEG_INFINITY; scenario.universe.hosts.len()],
        streaks: vec![0; scenario.universe.cells.len()],
        scenario,
        world,
        engine,
        asks: Vec::new(),
        asked: 0,
        incidents: Vec::new(),
        tell,
        story: Vec::new(),
        loose: BTreeMap::new(),
        extra: 0,
        scheduled: 0,
        simple: SimpleAlerts::default(),
    };
    player.run();
    if tell {
        player.tell_what_is_open();
    }
    player.look_at_fronts(seed);
    Playback {
        seed,
        onset: player.world.onset,
        incidents: player.incidents,
        scheduled: player.scheduled,
        extra: player.extra,
        suppressed: player.engine.suppressed,
        story: player.story,
        simple: player.simple,
    }
}

impl Player<'_> {
    fn run(&mut self) {
        let rounds = self.scenario.warmup_rounds + self.scenario.rounds + 1;
        for round in 0..rounds {
            for (at, cell) in self.world.round(round) {
                self.send_asks(at);
                if at > self.world.end {
                    return;
                }
                let (aimed, reason) = self.engine.aim(at, cell, u64::from(round));
                if let Some(reason) = reason
                    && self.tell
                {
                    let why = why(&self.engine, reason);
                    let text = format!(
                        "{REAIMED}: {} ({why})",
                        self.engine.universe().describe(aimed)
                    );
                    self.story.push((at, text));
                }
                self.scheduled += 1;
                self.send(
                    at,
                    aimed,
                    Purpose::Schedule,
                    (aimed == cell).then_some(cell),
                );
            }
        }
        self.send_asks(self.world.end);
    }

    fn tell_reasons(&mut self, at: f64, cause: &Cause) {
        let reasons = self.engine.reasons(cause);
        let universe = self.engine.universe();
        for pair in reasons.contrasts.iter().chain(&reasons.ruled_out) {
            let text = format!(
                "    {}: {}",
                universe.describe(pair.failing.cell),
                sentence(universe, pair)
            );
            self.story.push((at, text));
        }
        if let Some(run) = reasons.elsewhere {
            let text = format!("    elsewhere it passes: {}", universe.describe(run.cell));
            self.story.push((at, text));
        }
    }

    /// Says at the end what is still being asked.
    fn tell_what_is_open(&mut self) {
        let Some(question) = self.engine.episode().and_then(|e| e.question.as_ref()) else {
            return;
        };
        let rules = &self.engine.book().rules;
        let universe = self.engine.universe();
        let guesses: Vec<String> = question
            .posterior
            .explanations
            .iter()
            .take(5)
            .map(|e| {
                let names: Vec<String> = e
                    .rules()
                    .iter()
                    .map(|r| explain::rule(universe, &rules[*r]))
                    .collect();
                let names = if names.is_empty() {
                    "noise".to_owned()
                } else {
                    names.join(" and ")
                };
                format!("{names} ({:.1} %)", 100.0 * e.probability)
            })
            .collect();
        let wanted: Vec<String> = question
            .wanted
            .iter()
            .map(|w| universe.describe(w.cell))
            .collect();
        let mut text = format!("still open; most probable: {}", guesses.join("; "));
        if !wanted.is_empty() {
            text.push_str("; would tell: ");
            text.push_str(&wanted.join("; "));
        }
        self.story.push((self.world.end, text));
    }

    /// Sends the requests that were asked for until a moment.
    fn send_asks(&mut self, until: f64) {
        loop {
            let next = self
                .asks
                .iter()
                .enumerate()
                .min_by(|a, b| a.1.0.total_cmp(&b.1.0).then(a.1.1.cmp(&b.1.1)))
                .map(|(i, a)| (i, a.0));
            let Some((i, at)) = next.filter(|(_, at)| *at <= until) else {
                return;
            };
            let host = usize::from(self.engine.universe().host_of(self.asks[i].2.cell));
            let free = self.last_sent[host] + GAP_S;
            if at < free - 0.001 {
                self.asks[i].0 = free;
                continue;
            }
            let (_, _, ask) = self.asks.swap_remove(i);
            if !self.engine.still_wanted(&ask) {
                continue;
            }
            self.extra += 1;
            self.count_extra(&ask);
            if self.tell {
                let text = format!(
                    "extra request: {} ({})",
                    self.engine.universe().describe(ask.cell),
                    why(&self.engine, ask.reason)
                );
                self.story.push((at, text));
            }
            self.send(at, ask.cell, ask.purpose, None);
        }
    }

    fn count_extra(&mut self, ask: &Ask) {
        let open = self
            .incidents
            .iter_mut()
            .rev()
            .find(|i| i.recovered_at.is_none() && i.closed_at.is_none());
        if ask.purpose == Purpose::Counter
            && let Some(incident) = open
        {
            incident.extra += 1;
        } else {
            let host = self.engine.universe().host_of(ask.cell);
            *self.loose.entry(host).or_default() += 1;
        }
    }

    fn send(&mut self, at: f64, cell: usize, purpose: Purpose, planned: Option<usize>) {
        let host = self.engine.universe().host_of(cell);
        self.last_sent[usize::from(host)] = at;
        let met = self.world.send(at, cell);
        let failed = met.kind != crate::domain::verdict::Kind::Pass;
        if let Some(cell) = planned {
            let streak = &mut self.streaks[cell];
            *streak = if failed { *streak + 1 } else { 0 };
            self.simple.first_failure += u64::from(*streak == 1);
            self.simple.three_in_a_row += u64::from(*streak == 3);
        }
        if self.tell && failed {
            let text = format!("{}: {}", self.engine.universe().describe(cell), met.kind);
            self.story.push((at, text));
        }
        let effects = self.engine.observe(&Seen {
            at,
            cell,
            kind: met.kind,
            pop: met.pop,
            host_requests: met.host_requests,
            egress_requests: met.egress_requests,
            purpose,
            hint: None,
        });
        if !failed && purpose == Purpose::Confirm {
            self.loose.remove(&host);
        }
        for effect in effects {
            self.apply(at, host, effect);
        }
    }

    fn incident(&mut self, id: u32) -> Option<&mut Played> {
        self.incidents.iter_mut().find(|i| i.id == id)
    }

    fn apply(&mut self, at: f64, host: u16, effect: Effect) {
        if self.tell
            && let Some(text) = self.words(&effect)
        {
            self.story.push((at, text));
        }
        match effect {
            Effect::Ask(ask) => {
                self.asked += 1;
                self.asks.push((ask.at, self.asked, ask));
            }
            Effect::Opened { incident, onset } => {
                let extra = self.loose.remove(&host).unwrap_or(0);
                self.incidents.push(Played {
                    id: incident,
                    onset,
                    opened_at: at,
                    recovered_at: None,
                    closed_at: None,
                    claims: Vec::new(),
                    among: Vec::new(),
                    missing: None,
                    drift: None,
                    extra,
                });
            }
            Effect::Claimed(cause) => {
                if self.tell {
                    self.tell_reasons(at, &cause);
                }
                let extra = self.engine.extra_requests();
                let claim = Claim {
                    rule: cause.rule,
                    group: cause.group,
                    intermittent: !cause.always_strikes() && cause.special.is_none(),
                    fails: if cause.always_strikes() {
                        1.0
                    } else {
                        cause.rate
                    },
                    confidence: cause.confidence(),
                    claimed_at: at,
                    withdrawn_at: None,
                    extra,
                };
                if let Some(incident) = self.incident(cause.incident) {
                    incident.claims.push(claim);
                    incident.among.clear();
                    incident.missing = None;
                }
            }
            Effect::Revised(cause) => {
                if let Some(incident) = self.incident(cause.incident) {
                    for claim in &mut incident.claims {
                        if claim.group == cause.group && claim.withdrawn_at.is_none() {
                            claim.intermittent = !cause.always_strikes() && cause.special.is_none();
                            claim.fails = cause.rate;
                            claim.rule = cause.rule;
                        }
                    }
                }
            }
            Effect::Withdrawn { incident, group } => {
                if let Some(incident) = self.incident(incident) {
                    for claim in &mut incident.claims {
                        if claim.group == group && claim.withdrawn_at.is_none() {
                            claim.withdrawn_at = Some(at);
                        }
                    }
                }
            }
            Effect::CannotTell {
                incident,
                among,
                missing,
            } => {
                if let Some(incident) = self.incident(incident) {
                    incident.among = among;
                    incident.missing = missing;
                }
            }
            Effect::Recovered { incident } => {
                if let Some(incident) = self.incident(incident) {
                    incident.recovered_at = Some(at);
                }
            }
            Effect::Closed { incident } => {
                if let Some(incident) = self.incident(incident) {
                    incident.closed_at = Some(at);
                }
            }
        }
    }

    fn words(&self, effect: &Effect) -> Option<String> {
        let rule =
            |rule: usize| explain::rule(self.engine.universe(), &self.engine.book().rules[rule]);
        match effect {
            Effect::Ask(_) => None,
            Effect::Opened { incident, .. } => Some(format!(
                "INC-{incident} opened: the cause is being looked for"
            )),
            Effect::Claimed(cause) => Some(format!(
                "INC-{}: refused or broken: {}{} (confidence {:.1} %)",
                cause.incident,
                rule(cause.rule),
                if cause.always_strikes() || cause.special.is_some() {
                    String::new()
                } else {
                    format!(", about {:.0} % of the time", cause.rate * 100.0)
                },
                cause.confidence() * 100.0
            )),
            Effect::Revised(cause) if cause.special.is_some() || cause.always_strikes() => Some(
                format!("INC-{}: rather {}", cause.incident, rule(cause.rule)),
            ),
            Effect::Revised(cause) => Some(format!(
                "INC-{}: {} strikes at times only, about {:.0} % of the requests",
                cause.incident,
                rule(cause.rule),
                cause.rate * 100.0
            )),
            Effect::Withdrawn { incident, .. } => Some(format!(
                "INC-{incident}: an earlier conclusion was withdrawn"
            )),
            Effect::CannotTell {
                incident,
                among,
                missing,
            } => {
                let among: Vec<&str> = among.iter().map(|n| n.as_str()).collect();
                Some(format!(
                    "INC-{incident}: can't tell yet: {}{}",
                    among.join(" or "),
                    missing
                        .as_ref()
                        .map(|m| format!("; {m} would tell"))
                        .unwrap_or_default()
                ))
            }
            Effect::Recovered { incident } => Some(format!("INC-{incident}: recovered")),
            Effect::Closed { incident } => Some(format!("INC-{incident}: closed, not reproduced")),
        }
    }

    /// Watches the fronts of the hosts over their own history and puts changes beside the onsets.
    fn look_at_fronts(&mut self, seed: u64) {
        let mut random = World::side_random(seed);
        let universe = &self.scenario.universe;
        let interval = self.scenario.schedule.interval_s;
        for (host, front) in &self.scenario.fronts {
            let cells: Vec<usize> = self
                .world
                .scheduled
                .iter()
                .copied()
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

fn why(engine: &Engine, reason: Reason) -> String {
    match reason {
        Reason::FailedOnce => "it failed; does it fail again?".to_owned(),
        Reason::Witness { rule } => format!(
            "completes the comparison for: {}",
            explain::rule(engine.universe(), &engine.book().rules[rule])
        ),
        Reason::TellsMost(bits) => format!("tells most, {bits:.2} bit"),
        Reason::BlockedAnyway => "the scheduled cell is known to be blocked".to_owned(),
    }
}
