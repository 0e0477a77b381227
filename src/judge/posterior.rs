//! Which causes, or sets of up to three, explain the evidence, and with what probability.
//!
//! Every observation belongs to the first rule of an explanation that matches it, else to the
//! background noise. Single rules are all tried. A second rule is only tried when the best single one
//! leaves something unexplained or looks intermittent, a third when the best pair does: with tens of
//! observations everything else is far below the best and would only cost time.

use std::collections::BTreeMap;

use super::evidence::{Evidence, Tally};
use super::likelihood::{Fit, Likelihood, expected_rate};
use super::rules::{RuleBook, Scope, Special};

/// Prior probability that a confirmed suspicion was nothing but noise.
const NOISE_ONLY: f64 = 0.05;
/// Factor for each simultaneous cause beyond the first.
const ANOTHER_CAUSE: f64 = 0.02;
/// An explanation this probable is taken for what is so until there is a better one.
pub(super) const LIKELY: f64 = 0.5;
/// An explanation this much (log) below the best is dropped.
const WORTH_KEEPING: f64 = 14.0;
const WORTH_PAIRING: f64 = 12.0;
/// Failures left unexplained below this log probability call for another cause.
const UNEXPLAINED: f64 = -9.0;
/// Bounds of the search.
const SINGLES_MAX: usize = 300;
const FIRSTS_MAX: usize = 16;
const SECONDS_EACH: usize = 50;
const PAIRS_MAX: usize = 250;
const THIRDS_MAX: usize = 40;
const CHAINS_MAX: usize = 4;
/// A hint of the edge makes the factor that it names this much likelier; more than three add nothing.
const HINT: f64 = 5.0;
const HINTS_MAX: u32 = 3;
/// A limit lets through what is below it; each request that it did not makes it less likely, up to so many.
const NONE_THROUGH: f64 = 0.86;
const NONE_THROUGH_MAX: u32 = 20;

/// A set of up to three rules; the empty one says "noise".
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    rules: [usize; 3],
    len: usize,
    pub probability: f64,
}

impl Explanation {
    fn new(rules: &[usize], log: f64) -> Self {
        let mut kept = [0; 3];
        kept[..rules.len()].copy_from_slice(rules);
        Self {
            rules: kept,
            len: rules.len(),
            probability: log,
        }
    }

    #[must_use]
    pub fn rules(&self) -> &[usize] {
        &self.rules[..self.len]
    }
}

/// The explanations worth naming, most probable first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Posterior {
    pub explanations: Vec<Explanation>,
    /// Probability of "nothing but noise".
    pub noise: f64,
}

impl Posterior {
    /// Lets some rules speak for others.
    pub fn replace(&mut self, by: &BTreeMap<usize, usize>) {
        if by.is_empty() {
            return;
        }
        for e in &mut self.explanations {
            for rule in &mut e.rules[..e.len] {
                if let Some(other) = by.get(rule) {
                    *rule = *other;
                }
            }
        }
    }

    /// The explanations as sets of groups, most probable first.
    #[must_use]
    pub fn sets(&self, book: &RuleBook) -> Vec<(Vec<usize>, f64)> {
        let mut sets: Vec<(Vec<usize>, f64)> = Vec::new();
        for e in &self.explanations {
            let mut groups: Vec<usize> = e.rules().iter().map(|r| book.rules[*r].group).collect();
            groups.sort_unstable();
            groups.dedup();
            match sets.iter_mut().find(|(g, _)| *g == groups) {
                Some((_, p)) => *p += e.probability,
                None => sets.push((groups, e.probability)),
            }
        }
        sets.sort_by(|a, b| b.1.total_cmp(&a.1));
        sets
    }

    /// Probability that a group is among the causes.
    #[must_use]
    pub fn inclusion(&self, book: &RuleBook, group: usize) -> f64 {
        self.explanations
            .iter()
            .filter(|e| e.rules().iter().any(|r| book.rules[*r].group == group))
            .map(|e| e.probability)
            .sum()
    }

    /// The rules of a group with their shares of its probability, largest first.
    #[must_use]
    pub fn aliases(&self, book: &RuleBook, group: usize) -> Vec<(usize, f64)> {
        let mut shares: Vec<(usize, f64)> = Vec::new();
        for e in &self.explanations {
            for rule in e.rules() {
                if book.rules[*rule].group == group {
                    match shares.iter_mut().find(|(r, _)| r == rule) {
                        Some((_, p)) => *p += e.probability,
                        None => shares.push((*rule, e.probability)),
                    }
                }
            }
        }
        let total: f64 = shares.iter().map(|(_, p)| p).sum();
        for (_, p) in &mut shares {
            *p /= total.max(f64::MIN_POSITIVE);
        }
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        shares
    }
}

/// Another cause beside those given.
#[derive(Debug, Clone, Copy)]
struct Extension {
    /// Log probability of all together.
    log: f64,
    rule: usize,
    covers: f64,
}

/// How much a pattern explains perfectly: failures, less twice the passes among them.
fn covers(tally: &Tally) -> f64 {
    f64::from(tally.failed()) - 2.0 * f64::from(tally.passed())
}

/// The search, with its tables and working memory.
#[derive(Debug, Clone, Default)]
pub struct Search {
    likelihood: Likelihood,
    scratch: Vec<Tally>,
    touched: Vec<usize>,
}

impl Search {
    /// Whether a pattern's observations look like a cause that always strikes.
    #[must_use]
    pub fn fit(&self, tally: &Tally) -> Fit {
        self.likelihood.fit(tally.failed(), tally.passed())
    }

    /// The failure rate to expect of a pattern.
    #[must_use]
    pub fn rate(&self, tally: &Tally) -> f64 {
        expected_rate(self.fit(tally).always, tally.failed(), tally.passed())
    }

    /// Log probability gained by letting a rule explain what is in `tally`.
    fn gain(&self, book: &RuleBook, rule: usize, tally: &Tally, fit: &Fit) -> f64 {
        let rule = &book.rules[rule];
        let hints: u32 = rule.natures.iter().map(|n| tally.hints[n as usize]).sum();
        let lets_through = match rule.special {
            Some(Special::Rate { .. }) if tally.passed() == 0 => {
                f64::from(tally.failed().min(NONE_THROUGH_MAX)) * NONE_THROUGH.ln()
            }
            _ => 0.0,
        };
        lets_through + fit.log + self.likelihood.classes(rule.mix, &tally.counts) + rule.prior
            - tally.noise
            + f64::from(hints.min(HINTS_MAX)) * HINT.ln()
    }

    /// The probabilities of all explanations worth naming.
    pub fn run(&mut self, book: &RuleBook, evidence: &Evidence) -> Posterior {
        self.likelihood.reserve(evidence.seen + 1);
        let base = evidence.total.noise;
        let mut found = vec![Explanation::new(&[], base + NOISE_ONLY.ln())];
        let mut singles: Vec<(f64, usize)> = Vec::new();
        let mut fits: Vec<Option<Fit>> = vec![None; book.patterns.len()];
        for (p, tally) in evidence.tallies.iter().enumerate() {
            if tally.failed() > 0 {
                let fit = self.fit(tally);
                fits[p] = Some(fit);
                for rule in &book.of_pattern[p] {
                    singles.push((base + self.gain(book, *rule, tally, &fit), *rule));
                }
            }
        }
        singles.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        if let Some((best, rule)) = singles.first().copied() {
            found.extend(
                singles
                    .iter()
                    .take(SINGLES_MAX)
                    .take_while(|(log, _)| *log > best - WORTH_KEEPING)
                    .map(|(log, r)| Explanation::new(&[*r], *log)),
            );
            let pattern = book.rules[rule].pattern;
            let left = evidence.total.noise_failed - evidence.tallies[pattern].noise_failed;
            let intermittent = fits[pattern].is_some_and(|f| f.always < 0.5);
            if left < UNEXPLAINED || intermittent {
                self.pairs(book, evidence, &singles, &mut found);
            }
        }
        normalise(found)
    }

    /// The first members worth pairing: the best, and those that explain their part perfectly.
    fn firsts(book: &RuleBook, evidence: &Evidence, singles: &[(f64, usize)]) -> Vec<(f64, usize)> {
        let best = singles[0].0;
        let mut groups = Vec::new();
        let mut firsts = Vec::new();
        for (log, rule) in singles.iter().take(60) {
            if *log < best - WORTH_PAIRING || firsts.len() >= FIRSTS_MAX / 2 {
                break;
            }
            let group = book.rules[*rule].group;
            if !groups.contains(&group) {
                groups.push(group);
                firsts.push((*log, *rule));
            }
        }
        let mut covering: Vec<(f64, f64, usize)> = singles
            .iter()
            .filter_map(|(log, rule)| {
                let tally = &evidence.tallies[book.rules[*rule].pattern];
                let covers = covers(tally);
                (covers > 0.0).then(|| {
                    (
                        covers - 0.001 * book.pattern(*rule).size as f64,
                        *log,
                        *rule,
                    )
                })
            })
            .collect();
        covering.sort_by(|a, b| {
            b.0.total_cmp(&a.0)
                .then(b.1.total_cmp(&a.1))
                .then(a.2.cmp(&b.2))
        });
        for (_, log, rule) in covering.into_iter().take(200) {
            if firsts.len() >= FIRSTS_MAX {
                break;
            }
            let group = book.rules[rule].group;
            if !groups.contains(&group) {
                groups.push(group);
                firsts.push((log, rule));
            }
        }
        firsts
    }

    fn pairs(
        &mut self,
        book: &RuleBook,
        evidence: &Evidence,
        singles: &[(f64, usize)],
        found: &mut Vec<Explanation>,
    ) {
        let best = singles[0].0;
        let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
        let mut to_extend: Vec<(f64, usize, usize)> = Vec::new();
        for (log, first) in Self::firsts(book, evidence, singles) {
            let seconds = self.extensions(book, evidence, &[first], log);
            // Three causes that each explain their part perfectly may look bad until all are found.
            let perfect = seconds.iter().max_by(|a, b| a.covers.total_cmp(&b.covers));
            if let Some(second) = perfect.filter(|s| s.covers > 0.0)
                && to_extend.len() < CHAINS_MAX
                && covers(&evidence.tallies[book.rules[first].pattern]) > 0.0
            {
                to_extend.push((second.log, first, second.rule));
            }
            pairs.extend(
                seconds
                    .into_iter()
                    .take(SECONDS_EACH)
                    .map(|second| (second.log, first, second.rule)),
            );
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let Some((best_pair, first, second)) = pairs.first().copied() else {
            return;
        };
        let mut seen: Vec<(usize, usize)> = Vec::new();
        for (log, a, b) in &pairs {
            if *log < best_pair.max(best) - WORTH_PAIRING || seen.len() > PAIRS_MAX {
                break;
            }
            let key = (*a.min(b), *a.max(b));
            if !seen.contains(&key) {
                seen.push(key);
                found.push(Explanation::new(&[*a, *b], *log));
            }
        }
        if best_pair > best {
            to_extend.push((best_pair, first, second));
        }
        let mut triples: Vec<[usize; 3]> = Vec::new();
        for (log, first, second) in to_extend {
            let thirds = self.extensions(book, evidence, &[first, second], log);
            for third in thirds.into_iter().take(THIRDS_MAX) {
                let mut key = [first, second, third.rule];
                key.sort_unstable();
                if !triples.contains(&key) {
                    triples.push(key);
                    found.push(Explanation::new(&key, third.log));
                }
            }
        }
    }

    /// Every rule that explains failures left over by `given`, with the log probability of all together.
    ///
    /// For a third member the leftover must be worth it.
    fn extensions(
        &mut self,
        book: &RuleBook,
        evidence: &Evidence,
        given: &[usize],
        log: f64,
    ) -> Vec<Extension> {
        self.scratch.resize(book.patterns.len(), Tally::default());
        for p in self.touched.drain(..) {
            self.scratch[p] = Tally::default();
        }
        let mut left = 0.0;
        let rest: Vec<_> = evidence
            .columns
            .iter()
            .filter(|c| !given.iter().any(|r| book.pattern(*r).matches(&c.traits)))
            .collect();
        for column in rest.iter().filter(|c| c.class.failed()) {
            left += column.noise;
            for p in book.patterns_of(&column.traits) {
                if self.scratch[p].failed() == 0 {
                    self.touched.push(p);
                }
                self.scratch[p].add(column.class, column.hint, column.count, column.noise);
            }
        }
        if self.touched.is_empty() || (given.len() > 1 && left >= UNEXPLAINED) {
            return Vec::new();
        }
        for column in rest.iter().filter(|c| !c.class.failed()) {
            for p in book.patterns_of(&column.traits) {
                if self.scratch[p].failed() > 0 {
                    self.scratch[p].add(column.class, column.hint, column.count, column.noise);
                }
            }
        }
        let groups: Vec<usize> = given.iter().map(|r| book.rules[*r].group).collect();
        let mut out = Vec::new();
        for p in &self.touched {
            let tally = &self.scratch[*p];
            let fit = self.fit(tally);
            for rule in &book.of_pattern[*p] {
                if !groups.contains(&book.rules[*rule].group) {
                    let gain = self.gain(book, *rule, tally, &fit);
                    out.push(Extension {
                        log: log + gain + ANOTHER_CAUSE.ln(),
                        rule: *rule,
                        covers: covers(tally),
                    });
                }
            }
        }
        out.sort_by(|a, b| b.log.total_cmp(&a.log).then(a.rule.cmp(&b.rule)));
        out
    }
}

/// Turns log probabilities into probabilities and drops the tail.
fn normalise(mut found: Vec<Explanation>) -> Posterior {
    let best = found
        .iter()
        .map(|e| e.probability)
        .fold(f64::NEG_INFINITY, f64::max);
    let mut total = 0.0;
    for e in &mut found {
        e.probability = (e.probability - best).exp();
        total += e.probability;
    }
    for e in &mut found {
        e.probability /= total;
    }
    found.sort_by(|a, b| {
        b.probability
            .total_cmp(&a.probability)
            .then(a.rules().cmp(b.rules()))
    });
    let noise = found
        .iter()
        .find(|e| e.rules().is_empty())
        .map_or(0.0, |e| e.probability);
    let mut sum = 0.0;
    let mut kept = 0;
    for e in &found {
        sum += e.probability;
        kept += 1;
        if sum > 0.999 && kept > 5 {
            break;
        }
    }
    found.truncate(kept);
    Posterior {
        explanations: found,
        noise,
    }
}

/// The host that a scope lies within, when it is one host.
#[must_use]
pub fn host_of(scope: Scope) -> Option<u16> {
    match scope {
        Scope::Host(host) | Scope::Prefix { host, .. } | Scope::Method { host, .. } => Some(host),
        _ => None,
    }
}
