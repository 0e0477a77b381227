//! How often requests fail without any fault, learned for each egress and host.
//!
//! A link that always loses one request in 25 must not raise an incident a day. Observations count late
//! (so that a fault can't teach the detector to expect it), never while something is suspected, and the
//! believed rate may only grow slowly after the start.

use std::collections::VecDeque;

/// No link is believed to be worse than this.
const RATE_MAX: f64 = 0.10;
/// Counts are halved beyond this, so that old times fade.
const COUNT_MAX: f64 = 4000.0;
/// Seconds until an observation counts.
const LAG_S: f64 = 7200.0;
/// An observation is remembered this long at most without counting; bounds the queue.
const WAITING_MAX: usize = 200_000;

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    failed: f64,
    all: f64,
}

/// Learned failure rates for one tier of classes.
#[derive(Debug, Clone)]
pub struct Baseline {
    /// Expected rate before anything is known, and its weight in observations.
    prior: f64,
    weight: f64,
    hosts: usize,
    /// By egress and host.
    seen: Vec<Seen>,
    by_egress: Vec<Seen>,
    by_host: Vec<Seen>,
    waiting: VecDeque<(f64, u16, u16, bool)>,
    started: Option<f64>,
    now: f64,
}

impl Baseline {
    #[must_use]
    pub fn new(egresses: usize, hosts: usize, prior: f64, weight: f64) -> Self {
        Self {
            prior,
            weight,
            hosts,
            seen: vec![Seen::default(); egresses * hosts],
            by_egress: vec![Seen::default(); egresses],
            by_host: vec![Seen::default(); hosts],
            waiting: VecDeque::new(),
            started: None,
            now: 0.0,
        }
    }

    /// The rate to expect of this egress and host.
    ///
    /// Shrunk towards the larger of the egress-wide rate and half the host-wide one.
    #[must_use]
    pub fn rate(&self, egress: u16, host: u16) -> f64 {
        let shrunk = |seen: &Seen, towards: f64| {
            (seen.failed + towards * self.weight) / (seen.all + self.weight)
        };
        let (g, h) = (usize::from(egress), usize::from(host));
        let wide = (self.prior / 3.0)
            .max(shrunk(&self.by_egress[g], self.prior))
            .max(0.5 * shrunk(&self.by_host[h], self.prior));
        let hours = (self.now - self.started.unwrap_or(self.now)) / 3600.0;
        let cap = RATE_MAX.min(self.prior * (1.0 + 2.0 * hours));
        shrunk(&self.seen[g * self.hosts + h], wide).min(cap)
    }

    /// How much worse than expected this link is; at least 1.
    #[must_use]
    pub fn excess(&self, egress: u16, host: u16) -> f64 {
        (self.rate(egress, host) / self.prior).max(1.0)
    }

    pub fn learn(&mut self, at: f64, egress: u16, host: u16, failed: bool) {
        let started = *self.started.get_or_insert(at);
        self.now = at;
        self.waiting.push_back((at, egress, host, failed));
        let lag = LAG_S.min(600.0 + 0.25 * (at - started));
        while self
            .waiting
            .front()
            .is_some_and(|w| w.0 < at - lag || self.waiting.len() > WAITING_MAX)
        {
            if let Some((_, egress, host, failed)) = self.waiting.pop_front() {
                self.count(egress, host, failed);
            }
        }
    }

    fn count(&mut self, egress: u16, host: u16, failed: bool) {
        let (g, h) = (usize::from(egress), usize::from(host));
        let failed = f64::from(u8::from(failed));
        let cell = g * self.hosts + h;
        for seen in [
            &mut self.seen[cell],
            &mut self.by_egress[g],
            &mut self.by_host[h],
        ] {
            seen.failed += failed;
            seen.all += 1.0;
        }
        if self.seen[cell].all > COUNT_MAX {
            let half = Seen {
                failed: self.seen[cell].failed / 2.0,
                all: self.seen[cell].all / 2.0,
            };
            self.seen[cell] = half;
            for wide in [&mut self.by_egress[g], &mut self.by_host[h]] {
                wide.failed -= half.failed;
                wide.all -= half.all;
            }
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
        let mut it = Baseline::new(2, 1, 0.003, 150.0);
        for i in 0..4000 {
            it.learn(f64::from(i) * 10.0, 0, 0, i % 25 == 0);
            if i == 50 {
                assert!(it.rate(0, 0) < 0.007);
            }
        }
        assert!((it.rate(0, 0) - 0.04).abs() < 0.005);
        assert!(it.rate(1, 0) < 0.03, "half of what the host shows");
    }
}
