//! How likely it is that a burst of weak failures is going on, at a host and at an egress.
//!
//! For half a minute a link may lose nearly all, and no fault is to blame. A failure may begin such a burst or go on
//! with it, and by itself it fades. A pass speaks against one: where one request in twenty fails for a quarter of an
//! hour, each failure is alone, and bursts explain none of them.
//!
//! Runs come a little out of order, since they count by when they began; one that is older than what was seen says as
//! much as if it had come just then.

use super::class::Class;

/// Seconds after which a burst that goes on is weather no longer; pause that ends it.
const BURST_MAX_S: f64 = 100.0;
const PAUSE_S: f64 = 75.0;
/// Chance that a failure out of calm begins a burst.
const BEGINS: f64 = 0.5;

/// What a host or an egress has met of late.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spell {
    began: f64,
    last_failed: f64,
    /// Chance that a burst was going on when something was `seen` last.
    burst: f64,
    seen: f64,
}

impl Spell {
    /// Chance that a burst is going on.
    fn burst(&self, at: f64) -> f64 {
        let since = (at - self.seen).max(0.0);
        self.burst * (-since / Class::Timeout.noise().fades_s).exp()
    }
}

/// Bursts of a universe.
#[derive(Debug, Clone)]
pub(super) struct Weather {
    by_host: Vec<Option<Spell>>,
    by_egress: Vec<Option<Spell>>,
}

impl Weather {
    pub(super) fn new(hosts: usize, egresses: usize) -> Self {
        Self {
            by_host: vec![None; hosts],
            by_egress: vec![None; egresses],
        }
    }

    /// Chance that a request fails because of a burst.
    pub(super) fn fails(&self, at: f64, host: u16, egress: u16) -> f64 {
        [
            self.by_host[usize::from(host)],
            self.by_egress[usize::from(egress)],
        ]
        .into_iter()
        .flatten()
        .filter(|spell| at - spell.began <= BURST_MAX_S)
        .map(|spell| spell.burst(at) * Class::Timeout.noise().persistence)
        .fold(0.0, f64::max)
    }

    /// Takes in a pass or a weak failure; `rate` is how often one fails by itself.
    pub(super) fn see(&mut self, at: f64, (host, egress): (u16, u16), failed: bool, rate: f64) {
        let in_burst = Class::Timeout.noise().persistence;
        for spell in [
            &mut self.by_host[usize::from(host)],
            &mut self.by_egress[usize::from(egress)],
        ] {
            let known = spell.filter(|spell| at - spell.last_failed < PAUSE_S);
            let before = known.map_or(0.0, |spell| spell.burst(at));
            *spell = if failed {
                let (goes_on, by_itself) = (before * in_burst, (1.0 - before) * rate);
                Some(Spell {
                    began: known.map_or(at, |spell| spell.began),
                    last_failed: known.map_or(at, |spell| spell.last_failed.max(at)),
                    burst: (goes_on / (goes_on + by_itself)).max(BEGINS),
                    seen: known.map_or(at, |spell| spell.seen.max(at)),
                })
            } else {
                let (goes_on, calm) = (before * (1.0 - in_burst), (1.0 - before) * (1.0 - rate));
                known.map(|spell| Spell {
                    burst: goes_on / (goes_on + calm),
                    seen: spell.seen.max(at),
                    ..spell
                })
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 0.004;

    fn after(runs: impl IntoIterator<Item = (f64, bool)>) -> Weather {
        let mut it = Weather::new(1, 1);
        for (at, failed) in runs {
            it.see(at, (0, 0), failed, RATE);
        }
        it
    }

    #[test]
    fn what_fails_twice_at_once_is_a_burst_and_it_fades() {
        let it = after([(0.0, true), (2.0, true)]);
        assert!(it.fails(3.0, 0, 0) > 0.6, "{it:?}");
        assert!(it.fails(63.0, 0, 0) < 0.05, "{it:?}");
    }

    #[test]
    fn passes_end_a_burst() {
        let it = after([(0.0, true), (1.0, false), (2.0, false), (3.0, false)]);
        assert!(it.fails(4.0, 0, 0) < 0.02, "{it:?}");
    }

    #[test]
    fn what_goes_on_for_long_is_no_weather() {
        let it = after((0..30).map(|i| (f64::from(i) * 5.0, true)));
        assert!(it.fails(146.0, 0, 0) == 0.0, "{it:?}");
    }

    #[test]
    fn what_comes_out_of_order_leaves_a_chance_a_chance() {
        let mut random = fastrand::Rng::with_seed(11);
        for share in [0.05, 0.5, 0.98] {
            let mut it = Weather::new(1, 1);
            for i in 0..4000 {
                let at = f64::from(i) * 0.3 - 10.0 * random.f64();
                it.see(at, (0, 0), random.f64() < share, RATE);
                let fails = it.fails(at - 10.0 * random.f64(), 0, 0);
                assert!((0.0..=0.75).contains(&fails), "{fails}: {it:?}");
            }
        }
    }

    #[test]
    fn failures_among_many_passes_are_explained_no_better_than_by_chance() {
        let it = after((0..600).map(|i| (f64::from(i) * 0.5, i % 20 == 0)));
        let next = it.fails(300.0, 0, 0);
        assert!(next < RATE, "{next}: {it:?}");
    }
}
