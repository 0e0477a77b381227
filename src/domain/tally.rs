//! Runs of a stretch of time, counted: what is kept of them when the runs themselves are gone.
//!
//! Two stretches add up to what both together would have been counted as, to the run. Times are those of runs that
//! worked: a timeout says nothing about how long an answer takes. They are counted in steps of an eighth of their
//! power of two, so that a percentile of any stretch is right within seven percent.

use std::collections::BTreeMap;
use std::time::Duration;

use super::observation::Phases;
use super::verdict::Kind;

/// Names of the phases of a run, in their order.
pub const PHASES: [&str; 5] = ["dns", "connect", "tls", "first_byte", "transfer"];

/// Bits of a time, below its first, that tell steps apart.
const STEP_BITS: u32 = 3;
const STEPS: u16 = 1 << STEP_BITS;

/// What is counted of some runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    pub runs: u64,
    /// Worked, with or without a warning.
    pub passed: u64,
    /// Neither worked nor failed on our own side.
    pub failed: u64,
    /// Failed on our own side.
    pub ours: u64,
    /// Of all that are no plain pass.
    pub kinds: BTreeMap<Kind, u64>,
    /// How long those took that worked.
    pub took: Steps,
    /// The longest of those.
    pub max: Duration,
    /// Sums over those that worked, in microseconds, in the order of [`PHASES`].
    pub phases_us: [u64; 5],
}

impl Tally {
    /// Counts one run.
    pub fn count(&mut self, kind: Kind, took: Duration, phases: &Phases) {
        self.runs += 1;
        if kind != Kind::Pass {
            *self.kinds.entry(kind).or_default() += 1;
        }
        match kind {
            _ if kind.works() => {
                self.passed += 1;
                self.took.count(took);
                self.max = self.max.max(took);
                let phases = [
                    phases.dns,
                    phases.connect,
                    phases.tls,
                    phases.first_byte,
                    phases.transfer,
                ];
                for (sum, phase) in self.phases_us.iter_mut().zip(phases) {
                    *sum += phase.map_or(0, micros);
                }
            }
            Kind::LocalError => self.ours += 1,
            _ => self.failed += 1,
        }
    }

    /// Counts in what another stretch, or another cell, has.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.passed += other.passed;
        self.failed += other.failed;
        self.ours += other.ours;
        for (kind, count) in &other.kinds {
            *self.kinds.entry(*kind).or_default() += count;
        }
        self.took.add(&other.took);
        self.max = self.max.max(other.max);
        for (sum, more) in self.phases_us.iter_mut().zip(other.phases_us) {
            *sum += more;
        }
    }

    /// How long a phase took on average; `None`: nothing worked.
    #[must_use]
    pub fn phase(&self, place: usize) -> Option<Duration> {
        let sum = self.phases_us.get(place)?;
        Some(Duration::from_micros(sum.checked_div(self.passed)?))
    }

    /// Hundredths of a percent that passed, cut and not rounded: what failed once is not all. `None`: there was no run.
    #[must_use]
    pub fn passed_share(&self) -> Option<u64> {
        (self.passed * 10_000).checked_div(self.runs)
    }

    /// How many of some kinds.
    #[must_use]
    pub fn of(&self, kinds: impl Fn(Kind) -> bool) -> u64 {
        let counts = self.kinds.iter().filter(|(kind, _)| kinds(**kind));
        counts.map(|(_, count)| count).sum()
    }

    /// The kinds as a text: `edge_block 3,timeout 1`.
    #[must_use]
    pub fn kinds_text(&self) -> String {
        let kinds = self.kinds.iter();
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        kinds.join(",")
    }

    /// Reads [`Tally::kinds_text`]; words of a later program are left out.
    #[must_use]
    pub fn kinds_of(text: &str) -> BTreeMap<Kind, u64> {
        let parts = text.split(',').filter_map(|part| {
            let (kind, count) = part.split_once(' ')?;
            Some((Kind::from_word(kind)?, count.parse().ok()?))
        });
        parts.collect()
    }
}

/// Times by their size, in steps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steps(BTreeMap<u16, u64>);

impl Steps {
    fn count(&mut self, took: Duration) {
        *self.0.entry(step(micros(took))).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        for (step, count) in &other.0 {
            *self.0.entry(*step).or_default() += count;
        }
    }

    /// The time that `percent` of the runs don't exceed, within seven percent; `None`: there is none.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let all: u128 = self.0.values().copied().map(u128::from).sum();
        let wanted = (all * u128::from(percent)).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.0.iter().find(|(_, count)| {
            seen += u128::from(**count);
            seen >= wanted
        });
        found.map(|(step, _)| Duration::from_micros(middle(*step)))
    }

    /// In few bytes: the way to the next step and how many are in it, each in groups of seven bits.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let mut packed = Vec::with_capacity(self.0.len() * 2);
        let mut last = 0;
        for (step, count) in &self.0 {
            put(&mut packed, u64::from(*step - last));
            put(&mut packed, *count);
            last = *step;
        }
        packed
    }

    /// Reads [`Steps::pack`]; what is cut short ends there.
    #[must_use]
    pub fn unpack(mut packed: &[u8]) -> Self {
        let mut steps = BTreeMap::new();
        let mut last = 0_u16;
        while let (Some(way), Some(count)) = (take(&mut packed), take(&mut packed)) {
            last = last.saturating_add(u16::try_from(way).unwrap_or(u16::MAX));
            steps.insert(last, count);
        }
        Self(steps)
    }
}

/// Numbers in groups of seven bits.
#[must_use]
pub fn pack_all(numbers: &[u64]) -> Vec<u8> {
    let mut packed = Vec::new();
    for number in numbers {
        put(&mut packed, *number);
    }
    packed
}

/// Reads [`pack_all`]; what is missing is 0.
#[must_use]
pub fn unpack_all<const N: usize>(mut packed: &[u8]) -> [u64; N] {
    std::array::from_fn(|_| take(&mut packed).unwrap_or_default())
}

fn put(packed: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        packed.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    packed.push(number as u8);
}

fn take(packed: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = packed.split_first()?;
        *packed = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The power of two, and the eighth of it; below eight each microsecond has a step of its own.
fn step(us: u64) -> u16 {
    let Some(power) = us.checked_ilog2().filter(|power| *power >= STEP_BITS) else {
        return us as u16;
    };
    let above = power - STEP_BITS;
    let within = (us >> above) as u16 & (STEPS - 1);
    (above as u16 + 1) * STEPS + within
}

fn middle(step: u16) -> u64 {
    if step < STEPS {
        return u64::from(step);
    }
    let (above, within) = (step / STEPS - 1, step % STEPS);
    let from = u128::from(within + STEPS) << above.min(64);
    let width = 1_u128 << above.min(64);
    u64::try_from(from + width / 2).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phases() -> Phases {
        Phases {
            tls: Some(Duration::from_millis(2)),
            ..Phases::default()
        }
    }

    #[test]
    fn what_worked_is_timed_and_the_rest_is_counted() {
        let mut tally = Tally::default();
        for (kind, ms) in [
            (Kind::Pass, 10),
            (Kind::Pass, 12),
            (Kind::Warning, 400),
            (Kind::EdgeBlock, 1),
            (Kind::Timeout, 20_000),
            (Kind::LocalError, 0),
        ] {
            tally.count(kind, Duration::from_millis(ms), &phases());
        }
        let counted = (tally.runs, tally.passed, tally.failed, tally.ours);
        assert_eq!(counted, (6, 3, 2, 1));
        assert_eq!(
            tally.kinds_text(),
            "edge_block 1,warning 1,timeout 1,local_error 1"
        );
        assert_eq!(Tally::kinds_of(&tally.kinds_text()), tally.kinds);
        assert_eq!(tally.max, Duration::from_millis(400));
        assert_eq!(tally.phase(2), Some(Duration::from_millis(2)));
        assert_eq!(tally.passed_share(), Some(5_000));
        assert_eq!(tally.of(Kind::is_refusal), 1);
        assert_eq!(Tally::default().passed_share(), None);
        assert_eq!(Tally::default().phase(0), None);
        assert_eq!(Tally::default().took.percentile(95), None);
    }

    proptest! {
        #[test]
        fn percentiles_are_near_and_survive_packing(times in prop::collection::vec(0_u64..1 << 40, 1..200), percent in 1_u64..=100) {
            let mut steps = Steps::default();
            let mut sorted = times.clone();
            sorted.sort_unstable();
            for us in &times {
                steps.count(Duration::from_micros(*us));
            }
            let place = (sorted.len() as u64 * percent).div_ceil(100).max(1) - 1;
            let exact = sorted[place as usize];
            let found = steps.percentile(percent).unwrap().as_micros() as u64;
            prop_assert!(found.abs_diff(exact) * 100 <= exact * 7, "{found} for {exact}");
            prop_assert_eq!(Steps::unpack(&steps.pack()), steps);
        }

        #[test]
        fn numbers_survive_packing(numbers in prop::array::uniform5(any::<u64>())) {
            prop_assert_eq!(unpack_all::<5>(&pack_all(&numbers)), numbers);
        }

        #[test]
        fn junk_is_read_without_a_fall(junk in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Steps::unpack(&junk).percentile(50);
            let _ = unpack_all::<5>(&junk);
        }
    }
}
