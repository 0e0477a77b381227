//! How often requests fail without any fault, learned for each egress, host and class of failure.
//!
//! A link that always loses one request in 25 must not raise an incident a day. Observations count late
//! (so that a fault can't teach the detector to expect it), never during an incident, and the believed
//! rate may only grow slowly after the start. It is learned per run and not per minute: a dense plan
//! learns sooner, and no other rate.

use std::collections::VecDeque;

use super::class::{CLASSES, Class};

/// No link is believed to be worse than this.
pub(super) const RATE_MAX: f64 = 0.10;
/// The believed rate may grow by so many times of what is expected an hour.
const GROWS: f64 = 3.0;
/// Counts are halved beyond this, so that old times fade.
const COUNT_MAX: f32 = 4000.0;
/// Seconds until an observation counts.
const LAG_S: f64 = 7200.0;
/// So many observations wait at most; bounds the queue.
const WAITING_MAX: usize = 200_000;
/// Weight of what is expected before anything is known, in observations: weak classes, and the others.
const WEIGHT_WEAK: f64 = 40.0;
const WEIGHT_SIGNED: f64 = 1500.0;
/// A rate is believed to be so many standard errors above what was counted: of the many levels that are watched, one
/// whose rate was counted too low by chance would raise an alarm.
const MARGIN: f64 = 1.5;

/// Failures by class, and passes at index 0.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    counts: [f32; CLASSES],
    all: f32,
}

impl Seen {
    fn shrunk(&self, class: usize, towards: f64, weight: f64) -> f64 {
        (f64::from(self.counts[class]) + towards * weight) / (f64::from(self.all) + weight)
    }

    /// The most that the rate of a class may well be.
    fn at_most(&self, class: usize, towards: f64, weight: f64) -> f64 {
        let margin = MARGIN * f64::from(self.counts[class]).max(0.0).sqrt();
        self.shrunk(class, towards, weight) + margin / (f64::from(self.all) + weight)
    }

    fn add(&mut self, class: Class) {
        self.counts[class.index()] += 1.0;
        self.all += 1.0;
    }

    fn less(&mut self, other: &Self) {
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a -= b;
        }
        self.all -= other.all;
    }

    fn half(&self) -> Self {
        Self {
            counts: self.counts.map(|n| n / 2.0),
            all: self.all / 2.0,
        }
    }
}

/// Learned failure rates.
#[derive(Debug, Clone)]
pub struct Baseline {
    hosts: usize,
    /// By egress and host.
    seen: Vec<Seen>,
    by_egress: Vec<Seen>,
    by_host: Vec<Seen>,
    waiting: VecDeque<(f64, u16, u16, Class)>,
    started: Option<f64>,
    now: f64,
}

impl Baseline {
    #[must_use]
    pub fn new(egresses: usize, hosts: usize) -> Self {
        Self {
            hosts,
            seen: vec![Seen::default(); egresses * hosts],
            by_egress: vec![Seen::default(); egresses],
            by_host: vec![Seen::default(); hosts],
            waiting: VecDeque::new(),
            started: None,
            now: 0.0,
        }
    }

    /// How often each class of failure is to be expected of this egress and host; never less than
    /// [`Class::noise`] says, and index 0 has the rate of all weak ones together.
    ///
    /// Shrunk towards the larger of the egress-wide rate and half the host-wide one, and rather too much than too little.
    #[must_use]
    pub fn rates(&self, egress: u16, host: u16) -> [f64; CLASSES] {
        let (g, h) = (usize::from(egress), usize::from(host));
        let hours = (self.now - self.started.unwrap_or(self.now)) / 3600.0;
        let mut rates = [0.0; CLASSES];
        for class in Class::FAILURES {
            let (i, prior) = (class.index(), class.noise().rate);
            let weight = if class.is_weak() {
                WEIGHT_WEAK
            } else {
                WEIGHT_SIGNED
            };
            let wide = (prior / 3.0)
                .max(self.by_egress[g].shrunk(i, prior, weight))
                .max(0.5 * self.by_host[h].shrunk(i, prior, weight));
            let cap = RATE_MAX.min(prior * (1.0 + GROWS * hours));
            rates[i] = self.seen[g * self.hosts + h]
                .at_most(i, wide, weight)
                .min(cap)
                .max(prior);
            if class.is_weak() {
                rates[0] += rates[i];
            }
        }
        rates
    }

    /// Takes in that an egress got so many passes of a host since a time, before anything failed.
    pub fn passed(&mut self, egress: u16, host: u16, runs: u32, since: f64) {
        self.started = Some(self.started.map_or(since, |started| started.min(since)));
        let (g, h) = (usize::from(egress), usize::from(host));
        let seen = &mut self.seen[g * self.hosts + h].all;
        let more = (*seen + runs as f32).min(COUNT_MAX) - *seen;
        *seen += more;
        self.by_egress[g].all += more;
        self.by_host[h].all += more;
    }

    pub fn learn(&mut self, at: f64, egress: u16, host: u16, class: Class) {
        let started = *self.started.get_or_insert(at);
        self.now = at;
        self.waiting.push_back((at, egress, host, class));
        let lag = LAG_S.min(600.0 + 0.25 * (at - started));
        while self
            .waiting
            .front()
            .is_some_and(|w| w.0 < at - lag || self.waiting.len() > WAITING_MAX)
        {
            if let Some((_, egress, host, class)) = self.waiting.pop_front() {
                self.count(egress, host, class);
            }
        }
    }

    fn count(&mut self, egress: u16, host: u16, class: Class) {
        let (g, h) = (usize::from(egress), usize::from(host));
        let cell = g * self.hosts + h;
        self.seen[cell].add(class);
        self.by_egress[g].add(class);
        self.by_host[h].add(class);
        if self.seen[cell].all > COUNT_MAX {
            let half = self.seen[cell].half();
            self.seen[cell] = half;
            self.by_egress[g].less(&half);
            self.by_host[h].less(&half);
        }
    }

    /// Drops what has not counted yet: it may belong to the fault that was just confirmed.
    pub fn forget_recent(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lossy_link_is_learned_late_and_slowly() {
        let mut it = Baseline::new(2, 1);
        let lost = Class::Timeout.index();
        for i in 0..4000 {
            let class = if i % 25 == 0 {
                Class::Timeout
            } else {
                Class::Pass
            };
            it.learn(f64::from(i) * 10.0, 0, 0, class);
            if i == 50 {
                assert!(it.rates(0, 0)[lost] < 0.004);
            }
        }
        assert!((it.rates(0, 0)[lost] - 0.04).abs() < 0.015);
        assert!(it.rates(1, 0)[lost] < 0.03, "half of what the host shows");
    }
}
