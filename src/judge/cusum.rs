//! Notices faults that strike only at times, by adding up evidence for each level.
//!
//! One pass in between dismisses a suspicion, so a challenge that hits every third request would never
//! be confirmed there. Page's cumulative sum keeps a score for each host, endpoint, egress and level at a
//! host; a failure raises it, passes lower it slowly. As each step is a proper likelihood ratio, the
//! mean time between false alarms of one key is at least e^`ALARM` observations.

use super::class::{Class, Tier};
use crate::judge::universe::Universe;

/// Failure rate of the fault that is looked for.
const FAULT_RATE: f64 = 0.2;
/// At noisy links the fault must stand out by this factor.
const STANDS_OUT: f64 = 6.0;
/// Score of an alarm.
const ALARM: f64 = 16.0;
/// No single observation adds more.
const STEP_MAX: f64 = 6.5;
/// How the fault's failures spread over the tiers, and over the classes of a tier.
const SHARE_WEAK: f64 = 0.5;
const SHARE_MEDIUM: f64 = 0.25 / 3.0;
const SHARE_STRONG: f64 = 0.25 / 2.0;

/// The score of one key since it was last zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Excursion {
    score: f64,
    since: f64,
}

/// What the background does where an observation was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Background {
    /// Learned rate of weak failures.
    pub weak: f64,
    /// Rate of this very class.
    pub class: f64,
    /// Seconds since the last weak failure at this host or egress.
    pub weak_gap: f64,
}

/// The scores of all keys of a universe.
#[derive(Debug, Clone)]
pub struct Cusum {
    scores: Vec<Excursion>,
    /// Where each kind of key begins: host, host and client, egress, credential; endpoint, egress.
    starts: [usize; 6],
    sizes: [usize; 3],
    /// Keys with a score; while it is 0 a pass changes nothing.
    active: usize,
}

/// The keys that an observation counts for.
pub type Keys = [usize; 6];

impl Cusum {
    #[must_use]
    pub fn new(universe: &Universe) -> Self {
        let hosts = universe.hosts.len();
        let sizes = [
            universe.clients.len(),
            universe.egresses.len(),
            universe.credentials.len(),
        ];
        let lengths = [
            hosts,
            hosts * sizes[0],
            hosts * sizes[1],
            hosts * sizes[2],
            universe.endpoints.len(),
            universe.egresses.len(),
        ];
        let mut starts = [0; 6];
        let mut total = 0;
        for (start, length) in starts.iter_mut().zip(lengths) {
            *start = total;
            total += length;
        }
        Self {
            scores: vec![Excursion::default(); total],
            starts,
            sizes,
            active: 0,
        }
    }

    #[must_use]
    pub fn keys(&self, universe: &Universe, cell: usize) -> Keys {
        let c = &universe.cells[cell];
        let host = usize::from(universe.host_of(cell));
        let [clients, egresses, credentials] = self.sizes;
        [
            self.starts[0] + host,
            self.starts[1] + host * clients + usize::from(c.client),
            self.starts[2] + host * egresses + usize::from(c.egress),
            self.starts[3] + host * credentials + usize::from(c.credential),
            self.starts[4] + usize::from(c.endpoint),
            self.starts[5] + usize::from(c.egress),
        ]
    }

    /// Takes in one observation; the alarms that it raises as `(key, start of the excursion)`.
    pub fn observe(
        &mut self,
        at: f64,
        keys: &Keys,
        class: Class,
        background: &Background,
    ) -> Vec<(usize, f64)> {
        let failed = class.failed();
        if !failed && self.active == 0 {
            return Vec::new();
        }
        let step = step(class, background);
        let mut alarms = Vec::new();
        for key in keys {
            let it = &mut self.scores[*key];
            if it.score <= 0.0 {
                if !failed {
                    continue;
                }
                it.since = at;
                self.active += 1;
            }
            it.score = (it.score + step).max(0.0);
            if it.score <= 0.0 {
                self.active -= 1;
            } else if failed && it.score >= ALARM && at - it.since >= class.tier().span_s() {
                alarms.push((*key, it.since));
            }
        }
        alarms
    }

    /// Forgets everything, when an incident takes over.
    pub fn clear(&mut self) {
        self.scores.fill(Excursion::default());
        self.active = 0;
    }
}

/// Log likelihood ratio of one observation.
fn step(class: Class, background: &Background) -> f64 {
    let rate = FAULT_RATE.max(STANDS_OUT * background.weak);
    let step = match (class.failed(), class.tier()) {
        (false, _) => ((1.0 - rate) / (1.0 - background.weak)).ln(),
        (true, Tier::Weak) => {
            let noise = class.noise();
            let burst = noise.persistence * (-background.weak_gap / noise.fades_s).exp();
            let by_noise = (background.weak.max(noise.rate) + burst).min(0.9);
            (SHARE_WEAK * rate / by_noise).ln().max(0.0)
        }
        (true, Tier::Medium) => (FAULT_RATE * SHARE_MEDIUM / background.class).ln(),
        (true, Tier::Strong) => (FAULT_RATE * SHARE_STRONG / background.class).ln(),
    };
    step.min(STEP_MAX)
}
