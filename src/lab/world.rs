//! The world of a scenario: what each request meets.
//!
//! Everything random comes from one seeded generator, so a run can be repeated exactly.

use std::collections::VecDeque;

use super::scenario::{Design, RateKey, Scenario};
use crate::domain::verdict::Kind;
use crate::judge::universe::{Axis, Universe};

/// Classes of the failures that come by themselves.
const BACKGROUND: [(Kind, f64); 9] = [
    (Kind::Timeout, 0.45),
    (Kind::ConnectError, 0.17),
    (Kind::OriginError, 0.22),
    (Kind::DnsError, 0.06),
    (Kind::TlsError, 0.03),
    (Kind::RateLimited, 0.03),
    (Kind::EdgeChallenge, 0.03),
    (Kind::OriginDenied, 0.006),
    (Kind::EdgeBlock, 0.004),
];
/// Those at a place that is always flaky.
const FLAKY: [(Kind, f64); 3] = [
    (Kind::Timeout, 0.60),
    (Kind::ConnectError, 0.25),
    (Kind::OriginError, 0.15),
];
/// Those of a short correlated outage.
const BURST: [(Kind, f64); 2] = [(Kind::Timeout, 0.60), (Kind::ConnectError, 0.40)];

/// What a request met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met {
    pub kind: Kind,
    pub pop: Option<u16>,
    /// Requests to the host in the 60 s before, and those of them from this egress.
    pub host_requests: u32,
    pub egress_requests: u32,
}

#[derive(Debug)]
struct ActiveFault {
    cells: Vec<bool>,
    /// About some hosts or endpoints, not about the way there.
    of_target: bool,
    pops: Option<Vec<u16>>,
    classes: Vec<(Kind, f64)>,
    probability: f64,
    rate: Option<(RateKey, u32)>,
    /// Seconds.
    active: Vec<(f64, f64)>,
}

/// Short outages of one host or egress, in order; those that are over are skipped.
#[derive(Debug, Default)]
struct Bursts {
    spans: Vec<(f64, f64)>,
    next: usize,
}

impl Bursts {
    fn hit(&mut self, at: f64) -> bool {
        while self.spans.get(self.next).is_some_and(|s| s.1 <= at) {
            self.next += 1;
        }
        self.spans[self.next..]
            .iter()
            .take_while(|s| s.0 <= at)
            .any(|s| at < s.1)
    }
}

/// A scenario in motion.
#[derive(Debug)]
pub struct World<'a> {
    scenario: &'a Scenario,
    universe: &'a Universe,
    random: fastrand::Rng,
    /// When the first fault begins, seconds from the start.
    pub onset: f64,
    /// When the run ends.
    pub end: f64,
    faults: Vec<ActiveFault>,
    bursts_of_host: Vec<Bursts>,
    bursts_of_egress: Vec<Bursts>,
    flaky: Vec<f64>,
    sent: Vec<VecDeque<(f64, u16)>>,
}

/// Draws from weighted choices.
fn draw<T: Copy>(random: &mut fastrand::Rng, choices: &[(T, f64)]) -> Option<T> {
    let total: f64 = choices.iter().map(|(_, w)| w).sum();
    let mut at = random.f64() * total;
    for (value, weight) in choices {
        at -= weight;
        if at < 0.0 {
            return Some(*value);
        }
    }
    choices.last().map(|(value, _)| *value)
}

/// An exponentially distributed time.
fn exponential(random: &mut fastrand::Rng, mean: f64) -> f64 {
    -(1.0 - random.f64()).ln() * mean
}

impl<'a> World<'a> {
    #[must_use]
    pub fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let universe = &scenario.universe;
        let mut random =
            fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5EED);
        let interval = scenario.schedule.interval_s;
        let onset = f64::from(scenario.warmup_rounds) * interval + random.f64() * interval;
        let end = f64::from(scenario.warmup_rounds + scenario.rounds + 1) * interval;
        let faults = scenario
            .faults
            .iter()
            .map(|f| ActiveFault {
                cells: f.when.cells(universe),
                of_target: f.when.is_about_target(),
                pops: f.when.pops(universe),
                classes: f.classes.clone(),
                probability: f.probability,
                rate: f.rate.as_ref().map(|r| (r.key, r.limit)),
                active: f
                    .active_min
                    .iter()
                    .map(|(from, to)| {
                        let to = to.map_or(f64::INFINITY, |t| onset + t * 60.0);
                        (onset + from * 60.0, to)
                    })
                    .collect(),
            })
            .collect();
        let noise = &scenario.noise;
        let mut bursts = |count: usize| -> Vec<Bursts> {
            (0..count)
                .map(|_| {
                    let mut spans = Vec::new();
                    if noise.bursts_per_day > 0.0 {
                        let mut at = 0.0;
                        loop {
                            at += exponential(&mut random, 86_400.0 / noise.bursts_per_day);
                            if at > end {
                                break;
                            }
                            spans.push((at, at + exponential(&mut random, noise.burst_mean_s)));
                        }
                    }
                    Bursts { spans, next: 0 }
                })
                .collect()
        };
        let bursts_of_host = bursts(universe.hosts.len());
        let bursts_of_egress = bursts(universe.egresses.len());
        let flaky = (0..universe.cells.len())
            .map(|cell| {
                let egress = usize::from(universe.cells[cell].egress);
                let host = usize::from(universe.host_of(cell));
                let egress = noise.flaky_egress.get(&universe.egresses[egress].name);
                let host = noise.flaky_host.get(&universe.hosts[host]);
                egress
                    .copied()
                    .unwrap_or(0.0)
                    .max(host.copied().unwrap_or(0.0))
            })
            .collect();
        Self {
            scenario,
            universe,
            random,
            onset,
            end,
            faults,
            bursts_of_host,
            bursts_of_egress,
            flaky,
            sent: vec![VecDeque::new(); universe.hosts.len()],
        }
    }

    /// Sends a request; times must not decrease.
    pub fn send(&mut self, at: f64, cell: usize) -> Met {
        let host = self.universe.host_of(cell);
        let egress = self.universe.cells[cell].egress;
        let sent = &mut self.sent[usize::from(host)];
        while sent.front().is_some_and(|s| s.0 < at - 60.0) {
            sent.pop_front();
        }
        let host_requests = sent.len() as u32;
        let egress_requests = sent.iter().filter(|s| s.1 == egress).count() as u32;
        sent.push_back((at, egress));
        let pop = self.pop(host, egress);
        Met {
            kind: self
                .strike(at, cell, pop, (host_requests, egress_requests), false)
                .unwrap_or_else(|| self.noise(at, cell)),
            pop,
            host_requests,
            egress_requests,
        }
    }

    fn pop(&mut self, host: u16, egress: u16) -> Option<u16> {
        if self.universe.pop_shares.is_empty() {
            return None;
        }
        let shares: Vec<(u16, f64)> = self
            .universe
            .pop_shares
            .iter()
            .filter(|s| s.host == host && s.egress == egress)
            .map(|s| (s.pop, s.share))
            .collect();
        draw(&mut self.random, &shares)
    }

    /// Sends a request to a host that is no part of the scenario, otherwise like this cell.
    pub fn send_elsewhere(&mut self, at: f64, cell: usize) -> Kind {
        self.strike(at, cell, None, (0, 0), true)
            .unwrap_or(Kind::Pass)
    }

    /// What the first fault that hits a request does to it; `elsewhere` leaves out those of targets.
    fn strike(
        &mut self,
        at: f64,
        cell: usize,
        pop: Option<u16>,
        (host_requests, egress_requests): (u32, u32),
        elsewhere: bool,
    ) -> Option<Kind> {
        for fault in &self.faults {
            if !fault.cells[cell] || !fault.active.iter().any(|(a, b)| (*a..*b).contains(&at)) {
                continue;
            }
            if elsewhere && fault.of_target {
                continue;
            }
            if fault
                .pops
                .as_ref()
                .is_some_and(|list| !pop.is_some_and(|p| list.contains(&p)))
            {
                continue;
            }
            let below = fault.rate.is_some_and(|(key, limit)| match key {
                RateKey::Host => host_requests < limit,
                RateKey::Egress => egress_requests < limit,
            });
            if below || (fault.probability < 1.0 && self.random.f64() >= fault.probability) {
                continue;
            }
            return Some(draw(&mut self.random, &fault.classes).unwrap_or(Kind::Timeout));
        }
        None
    }

    fn noise(&mut self, at: f64, cell: usize) -> Kind {
        let noise = &self.scenario.noise;
        let host = usize::from(self.universe.host_of(cell));
        let egress = usize::from(self.universe.cells[cell].egress);
        let flaky = self.flaky[cell];
        if flaky > 0.0 && self.random.f64() < flaky {
            return draw(&mut self.random, &FLAKY).unwrap_or(Kind::Timeout);
        }
        for bursts in [
            &mut self.bursts_of_host[host],
            &mut self.bursts_of_egress[egress],
        ] {
            if bursts.hit(at) && self.random.f64() < noise.burst_intensity {
                return draw(&mut self.random, &BURST).unwrap_or(Kind::Timeout);
            }
        }
        if self.random.f64() < noise.independent {
            return draw(&mut self.random, &BACKGROUND).unwrap_or(Kind::Timeout);
        }
        Kind::Pass
    }

    /// A generator for things beside the requests, so that they don't disturb them.
    #[must_use]
    pub fn side_random(seed: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ 0x51DE)
    }
}

/// The cells that a design asks each round; never the control client.
#[must_use]
pub fn scheduled(universe: &Universe, design: Design) -> Vec<usize> {
    let mut out = Vec::new();
    for endpoint in 0..universe.endpoints.len() as u16 {
        let cells: Vec<usize> = (0..universe.cells.len())
            .filter(|c| universe.cells[*c].endpoint == endpoint && !universe.is_control(*c))
            .collect();
        let Some(base) = cells.first().copied() else {
            continue;
        };
        let factors = &Axis::ALL[1..];
        let differing = |cell: usize| {
            factors
                .iter()
                .filter(|a| universe.cells[cell].level(**a) != universe.cells[base].level(**a))
                .count()
        };
        match design {
            Design::Full => out.extend(cells),
            Design::Single => out.push(base),
            Design::Star => out.extend(cells.into_iter().filter(|c| differing(*c) < 2)),
            Design::Pairwise => out.extend(pairwise(universe, &cells)),
        }
    }
    out
}

/// Greedily picks cells until every pair of levels of two factors is covered.
fn pairwise(universe: &Universe, cells: &[usize]) -> Vec<usize> {
    let pairs_of = |cell: usize| {
        let c = universe.cells[cell];
        let mut pairs = Vec::new();
        for (i, a) in Axis::ALL[1..].iter().enumerate() {
            for b in &Axis::ALL[i + 2..] {
                pairs.push((*a, c.level(*a), *b, c.level(*b)));
            }
        }
        pairs
    };
    let mut needed: std::collections::BTreeSet<_> =
        cells.iter().flat_map(|c| pairs_of(*c)).collect();
    let mut out = Vec::new();
    while !needed.is_empty() {
        let gain = |cell: &usize| {
            pairs_of(*cell)
                .iter()
                .filter(|p| needed.contains(p))
                .count()
        };
        let Some(best) = cells
            .iter()
            .copied()
            .max_by_key(|c| (gain(c), std::cmp::Reverse(*c)))
        else {
            break;
        };
        for pair in pairs_of(best) {
            needed.remove(&pair);
        }
        out.push(best);
    }
    out
}
