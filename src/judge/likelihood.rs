//! How well one cause explains the observations that it matches.
//!
//! The number of failures has a beta-binomial law, a mixture of a cause that always strikes and one that
//! strikes at times; the classes of the failures have a Dirichlet law around the mix of the rule's kind.
//! Both need only counts. All gammas have the form Γ(a + n) / Γ(a) with few a and small n, so they are
//! kept in tables that grow as needed.

use super::class::{CLASSES, Class};
use super::rules::{MIXES, Mix};

/// Beta prior of the failure rate of a cause that always strikes, and of one that strikes at times.
const ALWAYS: (f64, f64) = (60.0, 1.2);
const SOMETIMES: (f64, f64) = (1.3, 1.6);
/// Prior weight of the first.
const WEIGHT_ALWAYS: f64 = 0.8;
/// Weight of the expected class mix, in observations.
const MIX_WEIGHT: f64 = 2.0;
/// Failures beyond which more of them say nothing new of the mix.
const CLASSES_SEEN: u32 = 12;

/// Table of ln(Γ(a + n) / Γ(a)) for n = 0, 1, …
#[derive(Debug, Clone)]
struct Rising {
    a: f64,
    table: Vec<f64>,
}

impl Rising {
    fn new(a: f64) -> Self {
        Self {
            a,
            table: vec![0.0],
        }
    }

    fn grow(&mut self, n: usize) {
        while self.table.len() <= n {
            let last = self.table.len() - 1;
            let next = self.table[last] + (self.a + last as f64).ln();
            self.table.push(next);
        }
    }

    fn at(&self, n: u32) -> f64 {
        self.table[n as usize]
    }
}

/// Counts by class of the observations in a set; index 0 counts passes.
pub type Counts = [u32; CLASSES];

/// Failures in a set.
#[must_use]
pub fn failures(counts: &Counts) -> u32 {
    counts[1..].iter().sum()
}

/// A class that makes up less of a cause's failures than this is not its own.
const SHOWS: f64 = 0.05;

/// Whether failures of this class are among those that were counted, as more than a stray.
#[must_use]
pub fn has_shown(counts: &Counts, class: Class) -> bool {
    let all = failures(counts);
    let alike: u32 = Class::FAILURES
        .into_iter()
        .filter(|other| class.is_like(*other))
        .map(|other| counts[other.index()])
        .sum();
    all == 0 || f64::from(alike) >= SHOWS * f64::from(all)
}

/// The tables of the likelihood; they grow with the largest count seen.
#[derive(Debug, Clone)]
pub struct Likelihood {
    grown: usize,
    /// Numerators and denominator of [`ALWAYS`], then of [`SOMETIMES`].
    beta: [Rising; 6],
    /// By mix and class.
    classes: Vec<[Rising; CLASSES]>,
    total: Rising,
}

impl Default for Likelihood {
    fn default() -> Self {
        let beta = [
            Rising::new(ALWAYS.0),
            Rising::new(ALWAYS.1),
            Rising::new(ALWAYS.0 + ALWAYS.1),
            Rising::new(SOMETIMES.0),
            Rising::new(SOMETIMES.1),
            Rising::new(SOMETIMES.0 + SOMETIMES.1),
        ];
        let classes = Mix::ALL
            .iter()
            .map(|mix| {
                let shares = mix.shares();
                std::array::from_fn(|c| Rising::new((shares[c] * MIX_WEIGHT).max(1e-6)))
            })
            .collect();
        let mut it = Self {
            grown: 0,
            beta,
            classes,
            total: Rising::new(MIX_WEIGHT),
        };
        it.reserve(256);
        it
    }
}

/// The part of the likelihood that does not depend on the classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Log likelihood of failures and passes.
    pub log: f64,
    /// Probability that the cause always strikes.
    pub always: f64,
}

impl Likelihood {
    /// Makes room for sets of up to `n` observations.
    pub fn reserve(&mut self, n: usize) {
        if n < self.grown {
            return;
        }
        self.grown = (n + 1).next_power_of_two();
        for table in self.beta.iter_mut().chain([&mut self.total]) {
            table.grow(self.grown);
        }
        for table in self.classes.iter_mut().flatten() {
            table.grow(self.grown);
        }
    }

    /// How well "strikes always, or at times" fits the failures and passes.
    #[must_use]
    pub fn fit(&self, failed: u32, passed: u32) -> Fit {
        let [af, ap, at, sf, sp, st] = &self.beta;
        let n = failed + passed;
        let always = WEIGHT_ALWAYS.ln() + af.at(failed) + ap.at(passed) - at.at(n);
        let sometimes = (1.0 - WEIGHT_ALWAYS).ln() + sf.at(failed) + sp.at(passed) - st.at(n);
        let high = always.max(sometimes);
        let log = high + ((always - high).exp() + (sometimes - high).exp()).ln();
        Fit {
            log,
            always: (always - log).exp(),
        }
    }

    /// Log likelihood of the classes of the failures under a mix.
    #[must_use]
    pub fn classes(&self, mix: Mix, counts: &Counts) -> f64 {
        let tables = &self.classes[mix as usize];
        // The thousandth failure of a kind says no more of what a cause is than the first few did.
        let all = failures(counts).max(CLASSES_SEEN);
        let seen = |class: usize| (counts[class] * CLASSES_SEEN).div_ceil(all);
        let mut log = -self.total.at((1..CLASSES).map(seen).sum());
        for (class, table) in tables.iter().enumerate().skip(1) {
            if counts[class] > 0 {
                log += table.at(seen(class));
            }
        }
        log
    }
}

/// The failure rate to expect of a cause with these counts.
#[must_use]
pub fn expected_rate(always: f64, failed: u32, passed: u32) -> f64 {
    let a = ALWAYS.0 * always + SOMETIMES.0 * (1.0 - always);
    let ab = (ALWAYS.0 + ALWAYS.1) * always + (SOMETIMES.0 + SOMETIMES.1) * (1.0 - always);
    (a + f64::from(failed)) / (ab + f64::from(failed + passed))
}

const _: () = assert!(MIXES == Mix::ALL.len());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::class::Class;

    #[test]
    fn the_beta_binomial_of_one_observation_is_its_mean() {
        let it = Likelihood::default();
        let expected = 0.8 * 60.0 / 61.2 + 0.2 * 1.3 / 2.9;
        assert!((it.fit(1, 0).log - f64::ln(expected)).abs() < 1e-12);
    }

    #[test]
    fn failures_and_passes_make_a_cause_intermittent() {
        let it = Likelihood::default();
        assert!(it.fit(10, 0).always > 0.95);
        assert!(it.fit(5, 5).always < 0.01);
    }

    #[test]
    fn classes_tell_a_credential_from_a_client() {
        let it = Likelihood::default();
        let mut denied = Counts::default();
        denied[Class::OriginDenied.index()] = 4;
        assert!(it.classes(Mix::Credential, &denied) > it.classes(Mix::Client, &denied) + 1.0);
    }
}
