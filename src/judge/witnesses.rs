//! What must have been seen before a cause may be named.
//!
//! A posterior of 95 % that rests on priors alone is wrong too often. So a claim needs witnesses: runs
//! that failed although everything that the claim calls irrelevant was changed, and runs that passed
//! although nothing but the blamed level was. They are also what a person is told as the reason.
//! A witness that this configuration can't supply is waived; one that was asked for and spoke against
//! the claim blocks it.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::CellSet;
use super::class::{Class, Mechanism};
use super::evidence::{Evidence, Outcomes, Record};
use super::rules::{Condition, RATES, RuleBook, Scope, Special};
use crate::judge::universe::{Axis, Universe};

/// What a claim lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    Nothing,
    /// A run of this cell would supply it.
    Ask(usize),
    /// It would after a minute in which we asked little.
    AskQuietly(usize),
    /// So would one of this cell, but only the schedule may still ask with its credential.
    Wait(usize),
    /// It was asked for and not supplied.
    Blocked,
}

/// What the check of one claim looks at.
#[derive(Debug)]
pub struct Bench<'a> {
    pub universe: &'a Universe,
    pub book: &'a RuleBook,
    pub evidence: &'a Evidence,
    /// Observations, oldest first, from half an hour before the onset.
    pub history: &'a [&'a Record],
    pub onset: f64,
    /// Cells that a known cause makes fail.
    pub masked: &'a CellSet,
    /// Cells whose credential was refused as often as may be asked beside the schedule.
    pub spent: &'a CellSet,
    pub asks: &'a BTreeMap<usize, u32>,
    /// The cells of each cause that was named so far.
    pub named: &'a [&'a CellSet],
    /// Hosts that are known to limit our own rate.
    pub limiting: &'a BTreeSet<u16>,
    /// Failure rate expected of the claimed cause, and the probability that it always strikes.
    pub rate: f64,
    pub always: f64,
}

/// The most levels of a factor that must have failed before it counts as irrelevant.
const LEVELS_WANTED: usize = 2;
const EGRESSES_WANTED: usize = 4;
/// And before everybody is meant: of few levels each was tried, since one of them may be spared.
const WIDE_WANTED: usize = 6;
/// So many passes without a failure show that a cell is not touched.
const SPARED: u32 = 2;
/// A kind of failure that is this much rarer than the main one counts for nothing when seen once.
const RARE: u32 = 2;
/// A cell counts as failing when at most this many runs passed for each that failed.
const PASSES_PER_FAILURE: f64 = 1.0 / 0.12;
/// Tries before a witness of a cause that always strikes counts as refused; and at most.
const TRIES: u32 = 2;
const TRIES_MAX: f64 = 12.0;
/// At this failure rate and above a cause is treated as one that always strikes.
const NEARLY_ALWAYS: f64 = 0.8;
/// A moment counts as quiet when our rate is among the lowest of the last half hour.
const QUIET_SHARE: f64 = 0.25;
/// Or when it is below every limit that is thought of, requests a minute.
const QUIET: u32 = RATES[0] - 1;
/// Chance at which it is not believed that all of some passes came by luck.
const BY_LUCK: f64 = 0.05;
/// Chance that the other `PoP`s were missed by luck, at which their absence is believed.
const MISSED_BY_LUCK: f64 = 0.05;

impl Bench<'_> {
    /// The first witness that a rule lacks.
    #[must_use]
    pub fn lack(&self, rule: usize) -> Lack {
        let (scope, conditions) = (
            self.book.rules[rule].scope,
            &self.book.rules[rule].conditions,
        );
        if self.book.rules[rule].special.is_some() {
            return Lack::Nothing;
        }
        let cells = &self.book.pattern(rule).cells;
        let failing = self.failing(cells);
        let passing: Vec<usize> = self
            .evidence
            .cells
            .iter()
            .filter(|(c, o)| o.passed > o.failed && !cells.contains(**c))
            .map(|(c, _)| *c)
            .collect();
        let hosts: BTreeSet<u16> = cells.iter().map(|c| self.universe.host_of(c)).collect();
        [
            self.every_host_fails(cells, &hosts, &failing, &passing, conditions),
            self.one_mechanism(cells, &hosts, conditions),
            self.no_cell_is_spared(cells),
            self.same_request_changes(cells, &failing),
            self.not_our_rate(cells, &hosts, conditions, &failing),
            self.others_do_not_matter(cells, &failing, conditions),
            self.sibling_passes(cells, scope, conditions, &hosts, &passing),
            self.control_was_asked(cells, conditions, &failing),
            self.twin_was_asked(cells, conditions, &failing),
            self.not_the_pop(rule, cells, conditions),
        ]
        .into_iter()
        .find(|lack| *lack != Lack::Nothing)
        .unwrap_or(Lack::Nothing)
    }

    /// The cells that fail by this cause: as most of its failures do, or more than once.
    ///
    /// A single failure of another kind is likelier weather than a witness.
    fn failing(&self, cells: &CellSet) -> Vec<usize> {
        let mut all: BTreeMap<Class, u32> = BTreeMap::new();
        let mut of_cell: BTreeMap<usize, BTreeMap<Class, u32>> = BTreeMap::new();
        for record in self.matched_failures(cells) {
            *all.entry(record.class).or_default() += 1;
            let of_cell = of_cell.entry(record.cell()).or_default();
            *of_cell.entry(record.class).or_default() += 1;
        }
        let alike = |class: Class, counts: &BTreeMap<Class, u32>| -> u32 {
            let like = counts.iter().filter(|(c, _)| class.is_like(**c));
            like.map(|(_, n)| n).sum()
        };
        let most = all.keys().map(|c| alike(*c, &all)).max().unwrap_or(0);
        let typical = |cell: usize| {
            of_cell.get(&cell).is_some_and(|counts| {
                counts
                    .keys()
                    .any(|class| alike(*class, counts) > 1 || RARE * alike(*class, &all) >= most)
            })
        };
        let fails = |o: &Outcomes| {
            o.failed > 0 && f64::from(o.passed) <= f64::from(o.failed) * PASSES_PER_FAILURE
        };
        self.evidence
            .cells
            .iter()
            .filter(|(c, o)| cells.contains(**c) && fails(o) && typical(**c))
            .map(|(c, _)| *c)
            .collect()
    }

    /// The cells, and those of them that fail, that no narrower named cause explains: its failures speak for no
    /// wider one.
    fn beyond_what_is_named(&self, cells: &CellSet, failing: &[usize]) -> (CellSet, Vec<usize>) {
        let narrower = |n: &&&CellSet| **n != cells && n.minus(cells).is_empty();
        let mut beyond = cells.clone();
        for named in self.named.iter().filter(narrower) {
            beyond = beyond.minus(named);
        }
        if failing.iter().any(|c| beyond.contains(*c)) {
            let failing = failing.iter().copied().filter(|c| beyond.contains(*c));
            let failing = failing.collect();
            (beyond, failing)
        } else {
            (cells.clone(), failing.to_vec())
        }
    }

    /// How often a cell may be asked before its silence counts.
    fn tries(&self) -> u32 {
        if self.rate > NEARLY_ALWAYS {
            TRIES
        } else {
            let misses = (1.0 - self.rate.max(0.1)).ln();
            (0.05_f64.ln() / misses).ceil().clamp(1.0, TRIES_MAX) as u32
        }
    }

    /// The cell to ask among those that would supply a witness; the ones asked least first.
    fn ask(&self, candidates: impl IntoIterator<Item = (usize, usize)>) -> Lack {
        let mut any = false;
        let best = candidates
            .into_iter()
            .filter(|(cell, _)| !self.masked.contains(*cell))
            .inspect(|_| any = true)
            .map(|(cell, worth)| (self.asked(cell), worth, cell))
            .filter(|(asked, ..)| *asked < self.tries())
            .min_by_key(|(asked, worth, cell)| {
                (
                    self.spent.contains(*cell),
                    *asked,
                    std::cmp::Reverse(*worth),
                    self.universe.is_control(*cell),
                    *cell,
                )
            });
        match best {
            Some((.., cell)) if self.spent.contains(cell) => Lack::Wait(cell),
            Some((.., cell)) => Lack::Ask(cell),
            None if any => Lack::Blocked,
            None => Lack::Nothing,
        }
    }

    fn asked(&self, cell: usize) -> u32 {
        self.asks.get(&cell).copied().unwrap_or(0)
    }

    /// Every host of the scope fails, and on each the blamed level alone makes the difference.
    fn every_host_fails(
        &self,
        cells: &CellSet,
        hosts: &BTreeSet<u16>,
        failing: &[usize],
        passing: &[usize],
        conditions: &[Condition],
    ) -> Lack {
        let universe = self.universe;
        for host in hosts {
            let here: Vec<usize> = failing
                .iter()
                .copied()
                .filter(|c| universe.host_of(*c) == *host)
                .collect();
            if here.is_empty() {
                let lack = self.ask(
                    cells
                        .iter()
                        .filter(|c| universe.host_of(*c) == *host)
                        .map(|c| (c, 0)),
                );
                if lack != Lack::Nothing {
                    return lack;
                }
                continue;
            }
            for condition in conditions {
                let axis = condition.axis();
                if here
                    .iter()
                    .any(|f| passing.iter().any(|p| self.differ_only(*f, *p, axis)))
                {
                    continue;
                }
                let contrasts = here.iter().flat_map(|f| {
                    (0..universe.levels(axis))
                        .filter_map(move |level| {
                            universe.find(&universe.cells[*f].with(axis, level))
                        })
                        .filter(|c| !cells.contains(*c))
                        // What the honest client gets is worth knowing by itself, what a twin gets even more.
                        .map(|c| {
                            let twin = 2 * usize::from(universe.twins(*f).any(|twin| twin == c));
                            let control =
                                usize::from(axis == Axis::Client && universe.is_control(c));
                            (c, twin.max(control))
                        })
                });
                let lack = self.ask(contrasts);
                if lack != Lack::Nothing {
                    return lack;
                }
            }
        }
        Lack::Nothing
    }

    fn differ_only(&self, a: usize, b: usize, axis: Axis) -> bool {
        let (a, b) = (&self.universe.cells[a], &self.universe.cells[b]);
        Axis::ALL
            .iter()
            .all(|x| (a.level(*x) == b.level(*x)) == (*x != axis))
    }

    fn matched_failures<'b>(&'b self, cells: &'b CellSet) -> impl Iterator<Item = &'b Record> + 'b {
        self.history
            .iter()
            .copied()
            .filter(|r| r.at >= self.onset - 1.0 && r.class.failed() && cells.contains(r.cell()))
    }

    /// One cause over several hosts shows the same kind of failure on each.
    fn one_mechanism(
        &self,
        cells: &CellSet,
        hosts: &BTreeSet<u16>,
        conditions: &[Condition],
    ) -> Lack {
        if hosts.len() < 2 || !conditions.is_empty() {
            return Lack::Nothing;
        }
        let mut of_host: BTreeMap<u16, BTreeMap<Mechanism, u32>> = BTreeMap::new();
        for record in self.matched_failures(cells) {
            let host = self.universe.host_of(record.cell());
            *of_host
                .entry(host)
                .or_default()
                .entry(record.class.mechanism())
                .or_default() += 1;
        }
        let dominant: BTreeSet<Mechanism> = of_host
            .values()
            .filter_map(|m| m.iter().max_by_key(|(_, n)| **n).map(|(m, _)| *m))
            .collect();
        if dominant.len() > 1 {
            Lack::Blocked
        } else {
            Lack::Nothing
        }
    }

    /// A cause that always strikes spares no cell; one that keeps passing shows that it is narrower.
    fn no_cell_is_spared(&self, cells: &CellSet) -> Lack {
        let spared =
            |c: usize, o: &Outcomes| cells.contains(c) && o.failed == 0 && o.passed >= SPARED;
        let always = self.rate >= NEARLY_ALWAYS || self.always >= 0.5;
        if always && self.evidence.cells.iter().any(|(c, o)| spared(*c, o)) {
            Lack::Blocked
        } else {
            Lack::Nothing
        }
    }

    /// "At times" means that one identical request failed and later passed; a stable pattern of failing
    /// and passing cells is a cause that was not found yet.
    fn same_request_changes(&self, cells: &CellSet, failing: &[usize]) -> Lack {
        if self.rate >= NEARLY_ALWAYS || self.always >= 0.5 || failing.is_empty() {
            return Lack::Nothing;
        }
        let mut failed = BTreeSet::new();
        for record in self.history.iter().filter(|r| r.at >= self.onset) {
            if cells.contains(record.cell()) {
                if record.class.failed() {
                    failed.insert(record.cell());
                } else if failed.contains(&record.cell()) {
                    return Lack::Nothing;
                }
            }
        }
        let asked_little = |c: &usize| {
            self.evidence
                .cells
                .get(c)
                .is_some_and(|o| o.passed + o.failed < 4)
        };
        if failing.iter().any(asked_little) {
            self.ask(failing.iter().filter(|c| asked_little(c)).map(|c| (*c, 0)))
        } else {
            self.ask(failing.iter().map(|c| (*c, 0)))
        }
    }

    /// A soft refusal blamed on a target or an address must have come at a quiet moment too: it may be
    /// our own rate that is refused.
    fn not_our_rate(
        &self,
        cells: &CellSet,
        hosts: &BTreeSet<u16>,
        conditions: &[Condition],
        failing: &[usize],
    ) -> Lack {
        // A share of the requests is what a limit refuses: beside one that is known, neither others that pass
        // nor a rate that is lower than mostly show that it is something else.
        let share_of_limited = self.rate < NEARLY_ALWAYS && !hosts.is_disjoint(self.limiting);
        let about_us = |c: &Condition| c.axis() != Axis::Egress && !share_of_limited;
        if conditions.iter().any(about_us) && self.others_pass_at_such_rates(cells, hosts) {
            return Lack::Nothing;
        }
        let (mut soft, mut all) = (0, 0);
        for record in self.matched_failures(cells) {
            all += 1;
            soft += u32::from(matches!(
                record.class,
                Class::RateLimited | Class::EdgeBlock | Class::EdgeChallenge
            ));
        }
        if 2 * soft <= all {
            return Lack::Nothing;
        }
        let near: Vec<&Record> = self
            .history
            .iter()
            .copied()
            .filter(|r| hosts.contains(&self.universe.host_of(r.cell())))
            .collect();
        let sorted = |of: fn(&Record) -> u32| -> Vec<u32> {
            let mut rates: Vec<u32> = near.iter().map(|r| of(r)).collect();
            rates.sort_unstable();
            rates
        };
        let below = |rates: &[u32], share: f64| {
            let at = (share * rates.len() as f64) as usize;
            rates.get(at.min(rates.len().saturating_sub(1))).copied()
        };
        let (by_host, by_egress) = (sorted(|r| r.host_requests), sorted(|r| r.egress_requests));
        let low = below(&by_host, 0.1).unwrap_or(0);
        let most = by_host.last().copied().unwrap_or(0);
        if f64::from(most) <= 1.7 * f64::from(low) + 4.0 {
            return Lack::Nothing;
        }
        let bound = |rates: &[u32]| match below(rates, QUIET_SHARE) {
            Some(rate) if !share_of_limited => rate.max(QUIET),
            _ => QUIET,
        };
        let (quiet_egress, quiet_host) = (bound(&by_egress), bound(&by_host));
        let quiet = |r: &Record| r.egress_requests <= quiet_egress && r.host_requests <= quiet_host;
        if self.matched_failures(cells).any(quiet) {
            Lack::Nothing
        } else {
            match self.ask(failing.iter().map(|c| (*c, 0))) {
                Lack::Ask(cell) => Lack::AskQuietly(cell),
                other => other,
            }
        }
    }

    /// Whether what the rule doesn't hit gets through although we ask as often.
    fn others_pass_at_such_rates(&self, cells: &CellSet, hosts: &BTreeSet<u16>) -> bool {
        let failures = || self.matched_failures(cells);
        let lowest = |of: fn(&Record) -> u32| failures().map(of).min().unwrap_or(0);
        let (host, egress) = (lowest(|r| r.host_requests), lowest(|r| r.egress_requests));
        let spared = |r: &&&Record| {
            r.at >= self.onset
                && !r.class.failed()
                && !cells.contains(r.cell())
                && hosts.contains(&self.universe.host_of(r.cell()))
                && r.host_requests >= host
                && r.egress_requests >= egress
        };
        // Where only a share fails, a few passes are luck.
        let by_luck = (BY_LUCK.ln() / (1.0 - self.rate.min(NEARLY_ALWAYS)).ln()).ceil();
        self.history.iter().filter(spared).count() >= (by_luck as usize).max(SPARED as usize)
    }

    /// A refusal blamed on a target or an address must not come from one `PoP` alone, where others exist.
    fn not_the_pop(&self, rule: usize, cells: &CellSet, conditions: &[Condition]) -> Lack {
        if conditions.iter().any(|c| c.axis() != Axis::Egress) {
            return Lack::Nothing;
        }
        let rivals: Vec<(&CellSet, u16)> = self
            .book
            .patterns
            .iter()
            .filter_map(|p| match p.special {
                Some(Special::Pop(pop)) => Some((&p.cells, pop)),
                _ => None,
            })
            .collect();
        if rivals.is_empty() {
            return Lack::Nothing;
        }
        let group = self.book.rules[rule].group;
        let mut reached: BTreeMap<u16, BTreeSet<u16>> = BTreeMap::new();
        let mut luck: BTreeMap<(u16, u16), f64> = BTreeMap::new();
        for record in self.history.iter().filter(|r| r.at >= self.onset) {
            let Some(pop) = record.traits.pop else {
                continue;
            };
            if !cells.contains(record.cell()) {
                continue;
            }
            let host = self.universe.host_of(record.cell());
            let egress = self.universe.cells[record.cell()].egress;
            if record.class.failed() {
                reached.entry(host).or_default().insert(pop);
            }
            *luck.entry((host, pop)).or_insert(1.0) *=
                self.universe.pop_share(host, egress, pop).max(1e-9);
        }
        for (host, pops) in &reached {
            let [pop] = pops.iter().copied().collect::<Vec<_>>()[..] else {
                continue;
            };
            let same = self.book.rules.iter().any(|r| {
                r.group == group && matches!(r.special, Some(Special::Pop(p)) if p == pop)
            });
            let elsewhere = |egress: u16| 1.0 - self.universe.pop_share(*host, egress, pop);
            let lucky = luck.get(&(*host, pop)).copied().unwrap_or(1.0);
            if same || lucky < MISSED_BY_LUCK * MISSED_BY_LUCK {
                continue;
            }
            let hopeful: Vec<usize> = cells
                .iter()
                .filter(|c| {
                    self.universe.host_of(*c) == *host
                        && elsewhere(self.universe.cells[*c].egress) > 1e-6
                })
                .collect();
            if hopeful.is_empty() {
                continue;
            }
            // Chance decides which PoP answers: ask the likeliest way as often as the budget lets.
            let best = hopeful
                .iter()
                .copied()
                .filter(|c| !self.masked.contains(*c))
                .min_by(|a, b| {
                    let share =
                        |c: &usize| (elsewhere(self.universe.cells[*c].egress) * 100.0) as i64;
                    (-share(a), self.asked(*a), *a).cmp(&(-share(b), self.asked(*b), *b))
                });
            return best.map_or(Lack::Nothing, Lack::Ask);
        }
        Lack::Nothing
    }

    /// "Whatever the other factors are": at least two levels of each have failed.
    fn others_do_not_matter(
        &self,
        cells: &CellSet,
        failing: &[usize],
        conditions: &[Condition],
    ) -> Lack {
        if failing.is_empty() {
            return Lack::Nothing;
        }
        let (cells, failing) = &self.beyond_what_is_named(cells, failing);
        let universe = self.universe;
        let mut lacking: Vec<(Axis, BTreeSet<u16>)> = Vec::new();
        for axis in [
            Axis::Endpoint,
            Axis::Client,
            Axis::Egress,
            Axis::Credential,
            Axis::Version,
        ] {
            let of = |c: usize| universe.cells[c].level(axis);
            let meant: BTreeSet<u16> = cells.iter().map(of).collect();
            let have: BTreeSet<u16> = failing.iter().map(|c| of(*c)).collect();
            let but_one = |c: &Condition| matches!(c, Condition::AllBut(a, _) if *a == axis);
            let wide = conditions.is_empty() || conditions.iter().any(but_one);
            let most = match axis {
                Axis::Version => LEVELS_WANTED,
                _ if wide => WIDE_WANTED,
                Axis::Egress => EGRESSES_WANTED,
                _ => LEVELS_WANTED,
            };
            // "Down for everybody" needs the honest client to fail too: it may be our clients they refuse.
            if axis == Axis::Client
                && wide
                && let Some(control) = universe.control
                && meant.contains(&control)
                && !have.contains(&control)
            {
                lacking.push((axis, BTreeSet::from([control])));
                continue;
            }
            if have.len() < most.min(meant.len()) {
                let mut new: BTreeSet<u16> = meant.difference(&have).copied().collect();
                if axis == Axis::Client
                    && meant.len() > 2
                    && let Some(control) = universe.control
                {
                    new.remove(&control);
                }
                lacking.push((axis, new));
            }
        }
        // One run may vary several factors at once: if it fails, none of them mattered.
        for (axis, new) in &lacking {
            let lack = self.ask(
                cells
                    .iter()
                    .filter(|c| new.contains(&universe.cells[*c].level(*axis)))
                    .map(|c| {
                        let worth = lacking
                            .iter()
                            .filter(|(a, new)| new.contains(&universe.cells[c].level(*a)))
                            .count();
                        (c, worth)
                    }),
            );
            let have: BTreeSet<u16> = failing
                .iter()
                .map(|c| universe.cells[*c].level(*axis))
                .collect();
            let enough = have.len() >= LEVELS_WANTED && matches!(lack, Lack::Wait(_));
            if lack != Lack::Nothing && !enough {
                return lack;
            }
        }
        Lack::Nothing
    }

    /// Where a client is blamed, it is known how the honest one fares.
    fn control_was_asked(
        &self,
        cells: &CellSet,
        conditions: &[Condition],
        failing: &[usize],
    ) -> Lack {
        let universe = self.universe;
        let Some(control) = universe.control else {
            return Lack::Nothing;
        };
        if !conditions.iter().any(|c| c.axis() == Axis::Client) {
            return Lack::Nothing;
        }
        let beside = |c: &usize| {
            universe
                .find(&universe.cells[*c].with(Axis::Client, control))
                .filter(|c| !cells.contains(*c))
        };
        let known = |c: usize| self.evidence.cells.contains_key(&c);
        let cells: Vec<usize> = failing.iter().filter_map(beside).collect();
        if cells.iter().any(|c| known(*c)) {
            return Lack::Nothing;
        }
        let lack = self.ask(cells.into_iter().map(|c| (c, 0)));
        // It adds to what is known: where it can't be had, nothing is held back.
        if matches!(lack, Lack::Ask(_)) {
            lack
        } else {
            Lack::Nothing
        }
    }

    /// Where a client is blamed that has a twin over another stack, it is known how that one fares; and where the stack
    /// is, that it passes.
    fn twin_was_asked(&self, cells: &CellSet, conditions: &[Condition], failing: &[usize]) -> Lack {
        let universe = self.universe;
        if !conditions.iter().any(|c| c.axis() == Axis::Client) {
            return Lack::Nothing;
        }
        let by_stack = conditions.iter().any(|c| matches!(c, Condition::Stack(_)));
        let beside = failing.iter().flat_map(|c| universe.twins(*c));
        let twins: Vec<usize> = beside.filter(|c| !cells.contains(*c)).collect();
        let known = |c: &usize| {
            let seen = self.evidence.cells.get(c);
            seen.is_some_and(|o| !by_stack || o.passed > o.failed)
        };
        if twins.iter().any(known) {
            return Lack::Nothing;
        }
        match self.ask(twins.into_iter().map(|c| (c, 0))) {
            Lack::Nothing | Lack::Wait(_) | Lack::Blocked if by_stack => Lack::Blocked,
            lack @ Lack::Ask(_) => lack,
            _ => Lack::Nothing,
        }
    }

    /// The same condition passes outside the scope, on the same host if it can be had there.
    fn sibling_passes(
        &self,
        cells: &CellSet,
        scope: Scope,
        conditions: &[Condition],
        hosts: &BTreeSet<u16>,
        passing: &[usize],
    ) -> Lack {
        if scope == Scope::Everything {
            return Lack::Nothing;
        }
        let universe = self.universe;
        let outside = CellSet::filter(universe.cells.len(), |c| {
            conditions.iter().all(|x| x.matches(universe, c))
        })
        .minus(cells);
        let near = CellSet::filter(universe.cells.len(), |c| {
            outside.contains(c) && hosts.contains(&universe.host_of(c))
        });
        let pool = if near.is_empty() { outside } else { near };
        if pool.is_empty() || passing.iter().any(|c| pool.contains(*c)) {
            Lack::Nothing
        } else {
            self.ask(pool.iter().map(|c| (c, 0)))
        }
    }
}
