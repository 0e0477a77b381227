//! The open question: look at the evidence, name what is certain, ask for what is missing.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::CellSet;
use super::class::Class;
use super::engine::{Ask, Effect, Engine, Reason};
use super::episode::{Ambiguity, Cause, Episode, Question, Wanted};
use super::evidence::Record;
use super::explain;
use super::posterior::{Posterior, host_of};
use super::question;
use super::rules::{Condition, Nature, RateKey, Rule, Special};
use super::witnesses::{Bench, Lack};
use crate::domain::observation::Purpose;

/// Probability at which a cause is named.
pub(super) const CERTAIN: f64 = 0.95;
/// Share of one nature among the aliases of a group at which they agree; and when a factor of the rule
/// has a single level, so that only the class of failure speaks for it.
const AGREED: f64 = 0.98;
const AGREED_LONE: f64 = 0.999;
/// Noise is the answer above this.
const NOISE_WINS: f64 = 0.9;
/// A question without an answer and without new failures is given up after this, seconds.
const STALE_S: f64 = 1800.0;
const STALE_RATE: f64 = 0.06;
/// Bits below which no extra request is worth making.
const WORTH_ASKING: f64 = 0.03;
/// A counterfactual request is given up after this, seconds.
const LOST_AFTER_S: f64 = 180.0;
/// Seconds between an observation and the request it leads to; longer where we were told to slow down.
const ASK_AFTER_S: f64 = 1.0;
const ASK_AFTER_CHALLENGE_S: f64 = 3.0;
const ASK_AFTER_LIMIT_S: f64 = 15.0;
/// Where our own rate may be the cause, an answer only tells something once a minute has passed quietly.
const PERHAPS_OUR_RATE: f64 = 0.1;
const QUIET_AFTER_S: f64 = 65.0;
/// How long the history before the onset matters for our own rate, seconds.
pub(super) const RATE_HISTORY_S: f64 = 1800.0;

/// The best rule of each nature among the aliases of a group, with its share.
type Among = Vec<(usize, Nature, f64)>;

/// What one look at the evidence found.
struct Look {
    best: f64,
    /// The groups of the best explanation.
    groups: Vec<usize>,
    named: Vec<Cause>,
    wanted: Vec<Wanted>,
    blocked: bool,
    ambiguous: Vec<Ambiguity>,
}

impl Engine {
    /// Advances the open question and the life of the causes.
    pub(super) fn step(&mut self, now: f64) {
        self.close_recovered();
        let Some(mut episode) = self.episode.take() else {
            return;
        };
        let fresh = episode
            .question
            .as_ref()
            .is_some_and(|q| q.looked_at < q.evidence.seen);
        let keep = !fresh || self.investigate(now, &mut episode);
        if keep {
            self.episode = Some(episode);
        } else {
            self.calm();
        }
    }

    /// Looks at the evidence; returns whether the episode goes on.
    fn investigate(&mut self, now: f64, episode: &mut Episode) -> bool {
        let Some(mut question) = episode.question.take() else {
            return true;
        };
        question.looked_at = question.evidence.seen;
        question.posterior = self.search.run(&self.book, &question.evidence);
        self.join_what_looks_alike(episode, &mut question.posterior);
        let look = self.look(now, episode, &question);
        self.withdraw_doubtful(episode, &mut question, (&look.named, look.best));
        for cause in look.named {
            match episode.causes.iter_mut().find(|c| c.group == cause.group) {
                // That all passes at present tells nothing of what it is.
                None if episode.pauses.are_running() => {}
                None => self.claim(episode, &mut question, cause),
                Some(same) if same.reviewed && same.rule != cause.rule => {
                    same.rule = cause.rule;
                    same.special = cause.special;
                    self.effects.push(Effect::Revised(Box::new(same.clone())));
                }
                Some(same) => same.learn(&cause.shown),
            }
        }
        question.best = look.best;
        question.wanted = look.wanted;
        self.tell_what_is_missing(&mut question, look.ambiguous);
        let open_causes = episode.causes.iter().any(|c| !c.fixed && !c.reviewed);
        let noise = question.posterior.noise > NOISE_WINS;
        if !open_causes && (noise || self.is_stale(now, &question)) {
            // One that a cause still carries is over when that is, and not by an answer to this question.
            let carried = |incident| episode.causes.iter().any(|c| c.incident == incident);
            if let Some(incident) = question.incident.filter(|incident| !carried(*incident)) {
                self.effects.push(Effect::Closed { incident });
            }
            for cause in &mut episode.causes {
                cause.fixed = true;
                cause.reviewed = false;
            }
            return !episode.causes.is_empty();
        }
        let all_named = !look.groups.is_empty()
            && look
                .groups
                .iter()
                .all(|g| episode.causes.iter().any(|c| c.group == *g));
        let settled = look.best >= CERTAIN
            && question.wanted.is_empty()
            && question.ambiguous.is_empty()
            && !look.blocked
            && all_named;
        if settled {
            self.merge(now, episode);
            for cause in &mut episode.causes {
                cause.fixed = true;
                cause.reviewed = false;
            }
            episode.since_closed = 0;
            return true;
        }
        self.ask_more(now, episode, &mut question);
        episode.question = Some(question);
        true
    }

    /// Behind a cause that blocks some cells, explanations that differ only in those look alike.
    ///
    /// Nothing can tell them apart while it lasts, so the narrowest speaks for all: it claims no cell
    /// that could not be seen.
    fn join_what_looks_alike(&self, episode: &Episode, posterior: &mut Posterior) {
        let mut hidden = CellSet::none(self.universe.cells.len());
        let hides = |c: &&Cause| c.blocks_its_cells() && !c.reviewed;
        for cause in episode.causes.iter().filter(hides) {
            hidden.add_all(&self.book.pattern(cause.rule).cells);
        }
        if hidden.is_empty() {
            return;
        }
        let named: Vec<usize> = episode.causes.iter().map(|c| c.group).collect();
        let mut narrowest: Vec<(usize, CellSet)> = Vec::new();
        let mut order: Vec<usize> = posterior
            .explanations
            .iter()
            .flat_map(|e| e.rules().to_vec())
            .filter(|r| {
                let rule = &self.book.rules[*r];
                rule.special.is_none() && !named.contains(&rule.group)
            })
            .collect();
        order.sort_by_key(|r| (self.book.pattern(*r).size, *r));
        order.dedup();
        let mut replace: BTreeMap<usize, usize> = BTreeMap::new();
        for rule in order {
            if let Some(all) = self.all_of(rule, &hidden) {
                replace.insert(rule, all);
                continue;
            }
            let seen = self.book.pattern(rule).cells.minus(&hidden);
            let natures = self.book.rules[rule].natures;
            let same = narrowest
                .iter()
                .find(|(r, cells)| *cells == seen && self.book.rules[*r].natures == natures);
            match same {
                Some((other, _)) => {
                    replace.insert(rule, *other);
                }
                None if !seen.is_empty() => narrowest.push((rule, seen)),
                None => {}
            }
        }
        posterior.replace(&replace);
    }

    /// "All but one" is "all", where the one can't be seen.
    fn all_of(&self, rule: usize, hidden: &CellSet) -> Option<usize> {
        let named = &self.book.rules[rule];
        let [Condition::AllBut(..)] = named.conditions[..] else {
            return None;
        };
        // The rules of a scope stand together, the one without a condition first.
        let all = self.book.rules[..rule]
            .iter()
            .rposition(|r| r.scope == named.scope && r.conditions.is_empty())?;
        let spared = self
            .book
            .pattern(all)
            .cells
            .minus(&self.book.pattern(rule).cells);
        spared.minus(hidden).is_empty().then_some(all)
    }

    /// Judges each group of the best explanation.
    fn look(&self, now: f64, episode: &Episode, question: &Question) -> Look {
        let sets = question.posterior.sets(&self.book);
        let (groups, best) = sets.into_iter().next().unwrap_or_default();
        let mut look = Look {
            best,
            groups,
            named: Vec::new(),
            wanted: Vec::new(),
            blocked: false,
            ambiguous: Vec::new(),
        };
        let from = question.onset - RATE_HISTORY_S;
        let history: Vec<&Record> = self.history.iter().filter(|r| r.at >= from).collect();
        let masked = self.masked(episode);
        let named: Vec<&CellSet> = episode
            .causes
            .iter()
            .filter(|c| c.special.is_none())
            .map(|c| &self.book.pattern(c.rule).cells)
            .collect();
        let spent_cells = CellSet::filter(self.universe.cells.len(), |c| {
            episode.is_spent(&self.universe, c)
        });
        let limits = episode.causes.iter().filter(|c| c.is_rate());
        let limiting: BTreeSet<u16> = limits
            .filter_map(|c| host_of(self.book.rules[c.rule].scope))
            .collect();
        for group in look.groups.clone() {
            let inclusion = question.posterior.inclusion(&self.book, group);
            if inclusion < CERTAIN {
                continue;
            }
            let aliases = question.posterior.aliases(&self.book, group);
            let (rule, share) = match self.agreed_rule(&aliases) {
                Ok(agreed) => agreed,
                Err(among) => {
                    look.ambiguous.push(Ambiguity {
                        group,
                        probability: inclusion,
                        among,
                    });
                    continue;
                }
            };
            let tally = &question.evidence.tallies[self.book.rules[aliases[0].0].pattern];
            let (fit, rate) = (self.search.fit(tally), self.search.rate(tally));
            if !episode.causes.iter().any(|c| c.group == group) {
                let bench = Bench {
                    universe: &self.universe,
                    book: &self.book,
                    evidence: &question.evidence,
                    history: &history,
                    onset: question.onset,
                    masked: &masked,
                    spent: &spent_cells,
                    asks: &question.asks,
                    named: &named,
                    limiting: &limiting,
                    rate,
                    always: fit.always,
                };
                match bench.lack(rule) {
                    Lack::Nothing => {}
                    Lack::AskQuietly(cell) => {
                        let quietly = true;
                        look.wanted.push(Wanted {
                            cell,
                            rule,
                            quietly,
                        });
                        look.blocked = true;
                        continue;
                    }
                    Lack::Ask(cell) | Lack::Wait(cell) => {
                        let quietly = false;
                        look.wanted.push(Wanted {
                            cell,
                            rule,
                            quietly,
                        });
                        look.blocked = true;
                        continue;
                    }
                    Lack::Blocked => {
                        look.blocked = true;
                        continue;
                    }
                }
            }
            let rule = self.at_the_rate_that_failed(rule, question.onset, &history);
            let (onset, tail) = self.change_point(question.onset, rule, &history);
            look.named.push(Cause {
                incident: 0,
                group,
                rule,
                probability: inclusion,
                share,
                always: fit.always.max(tail),
                rate: rate.max(tail),
                onset,
                claimed_at: now,
                last_failed: now,
                passes: 0,
                last_passed: now,
                in_a_row: 0,
                row_began: now,
                turns: 0,
                passed: 0,
                failed: 0,
                lets_its_own_through: false,
                fixed: false,
                reviewed: false,
                special: self.book.rules[rule].special,
                shown: tally.counts,
            });
        }
        look
    }

    /// The rule that names a group, if its aliases agree on the nature; else the best of each nature.
    fn agreed_rule(&self, aliases: &[(usize, f64)]) -> Result<(usize, f64), Among> {
        let mut families: Vec<(super::rules::Natures, f64, usize)> = Vec::new();
        for (rule, share) in aliases {
            let natures = self.book.rules[*rule].natures;
            match families.iter_mut().find(|f| f.0 == natures) {
                Some(family) => family.1 += share,
                None => families.push((natures, *share, *rule)),
            }
        }
        families.sort_by(|a, b| b.1.total_cmp(&a.1));
        let Some((_, share, rule)) = families.first().copied() else {
            return Err(Vec::new());
        };
        let lone = self.book.rules[rule]
            .conditions
            .iter()
            .any(|c| self.universe.levels(c.axis()) < 2);
        if share >= if lone { AGREED_LONE } else { AGREED } {
            return Ok((rule, share));
        }
        let mut among: Vec<(usize, Nature, f64)> = Vec::new();
        for (natures, share, rule) in families.into_iter().filter(|f| f.1 > 0.01) {
            for nature in natures.iter() {
                match among.iter_mut().find(|a| a.1 == nature) {
                    Some(entry) => entry.2 += share,
                    None => among.push((rule, nature, share)),
                }
            }
        }
        Err(among)
    }

    /// The same limit on our rate, at the highest threshold that all its failures reach.
    ///
    /// Below the lowest rate that failed nothing is known. Were the threshold put there, passes at such
    /// rates would look like the end of it, each time our rate falls.
    fn at_the_rate_that_failed(&self, rule: usize, onset: f64, history: &[&Record]) -> usize {
        let named = &self.book.rules[rule];
        let Some(Special::Rate { key, step }) = named.special else {
            return rule;
        };
        let pattern = self.book.pattern(rule);
        let failures = || {
            let since = history.iter().filter(|r| r.at >= onset && r.class.failed());
            since.filter(|r| pattern.matches(&r.traits))
        };
        let mut classes: BTreeMap<Class, u32> = BTreeMap::new();
        for record in failures() {
            *classes.entry(record.class).or_default() += 1;
        }
        let most = classes.into_iter().max_by_key(|(_, count)| *count);
        let lowest = failures()
            .filter(|r| most.is_some_and(|(class, _)| class == r.class))
            .map(|r| match key {
                RateKey::Egress => r.traits.egress_rate,
                RateKey::Host => r.traits.host_rate,
            })
            .min();
        // As many thresholds are reached as that says; they are counted from 0.
        let Some(highest) = lowest.and_then(|reached| reached.checked_sub(1)) else {
            return rule;
        };
        let special = Some(Special::Rate {
            key,
            step: highest.max(step),
        });
        let same = |r: &Rule| (r.group, r.scope, r.special) == (named.group, named.scope, special);
        self.book.rules.iter().position(same).unwrap_or(rule)
    }

    /// When the matching observations turned from passes to failures, and 0.95 if nearly all fail since.
    fn change_point(&self, onset: f64, rule: usize, history: &[&Record]) -> (f64, f64) {
        const PASS_BEFORE: f64 = -0.01;
        const FAILURE_BEFORE: f64 = -4.0;
        const PASS_AFTER: f64 = -3.5;
        const FAILURE_AFTER: f64 = -0.03;
        let pattern = self.book.pattern(rule);
        let matching: Vec<(f64, bool)> = history
            .iter()
            .filter(|r| r.at >= onset && pattern.matches(&r.traits))
            .map(|r| (r.at, r.class.failed()))
            .collect();
        let failed = matching.iter().filter(|m| m.1).count();
        let (mut passes_after, mut failures_after) = (matching.len() - failed, failed);
        let mut best = (f64::NEG_INFINITY, onset, 0.0);
        let (mut passes_before, mut failures_before) = (0, 0);
        for (at, failed) in matching {
            let score = f64::from(passes_before) * PASS_BEFORE
                + f64::from(failures_before) * FAILURE_BEFORE
                + failures_after as f64 * FAILURE_AFTER
                + passes_after as f64 * PASS_AFTER;
            if score > best.0 {
                let steady = failures_after >= 3
                    && passes_after as f64 <= 0.05 * (passes_after + failures_after) as f64;
                best = (score, at, if steady { 0.95 } else { 0.0 });
            }
            if failed {
                failures_before += 1;
                failures_after -= 1;
            } else {
                passes_before += 1;
                passes_after -= 1;
            }
        }
        (best.1, best.2)
    }

    /// Cells that tell nothing new: a known cause makes them fail.
    pub(super) fn masked(&self, episode: &Episode) -> CellSet {
        let mut masked = CellSet::none(self.universe.cells.len());
        for cause in &episode.causes {
            if cause.fixed && cause.blocks_its_cells() {
                masked.add_all(&self.book.pattern(cause.rule).cells);
            }
        }
        masked
    }

    fn tell_what_is_missing(&mut self, question: &mut Question, ambiguous: Vec<Ambiguity>) {
        let natures = |list: &[Ambiguity]| -> BTreeSet<Nature> {
            list.iter()
                .flat_map(|a| a.among.iter().map(|x| x.1))
                .collect()
        };
        let (before, after) = (natures(&question.ambiguous), natures(&ambiguous));
        question.ambiguous = ambiguous;
        if after.is_empty() || before == after {
            return;
        }
        let incident = question
            .incident
            .unwrap_or_else(|| self.new_incident(question.onset));
        question.incident = Some(incident);
        let missing = question
            .ambiguous
            .iter()
            .find_map(|a| explain::missing(&self.universe, &self.book, a));
        self.effects.push(Effect::CannotTell {
            incident,
            among: after.into_iter().collect(),
            missing,
        });
    }

    /// Nothing fails any more, or so seldom that nothing can be said.
    fn is_stale(&self, now: f64, question: &Question) -> bool {
        if now - question.opened_at <= STALE_S {
            return false;
        }
        let rate = question
            .posterior
            .explanations
            .first()
            .into_iter()
            .flat_map(super::posterior::Explanation::rules)
            .map(|r| {
                let tally = &question.evidence.tallies[self.book.rules[*r].pattern];
                self.search.rate(tally)
            })
            .fold(0.0, f64::max);
        rate < STALE_RATE || now - question.last_failed > STALE_S
    }

    /// Asks for the missing witness, or for what tells most.
    fn ask_more(&mut self, now: f64, episode: &mut Episode, question: &mut Question) {
        let undecided = question.best < CERTAIN || !question.wanted.is_empty();
        let lost = question.pending.is_some_and(|p| now - p > LOST_AFTER_S);
        if !self.options.may_ask
            || !undecided
            || episode.used >= episode.budget
            || (question.pending.is_some() && !lost)
        {
            return;
        }
        let wanted = question
            .wanted
            .iter()
            .copied()
            .find(|w| !episode.is_spent(&self.universe, w.cell));
        let quietly = wanted.is_some_and(|w| w.quietly);
        let chosen = match wanted {
            Some(Wanted { cell, rule, .. }) if question.best >= CERTAIN => {
                Some((cell, Reason::Witness { rule }))
            }
            _ => self.tells_most(episode, question, None),
        };
        let Some((cell, reason)) = chosen else {
            return;
        };
        episode.used += 1;
        question.pending = Some(now);
        *question.asks.entry(cell).or_default() += 1;
        self.effects.push(Effect::Ask(Ask {
            cell,
            at: now
                + if quietly {
                    QUIET_AFTER_S
                } else {
                    self.patience(cell, question)
                },
            purpose: Purpose::Counter,
            reason,
            incident: question.incident,
        }));
    }

    /// Seconds to wait before asking a cell: longer where we were told to slow down.
    fn patience(&self, cell: usize, question: &Question) -> f64 {
        let host = self.universe.host_of(cell);
        let onset = question.onset;
        let our_rate: f64 = question
            .posterior
            .explanations
            .iter()
            .filter(|e| {
                e.rules().iter().any(|r| {
                    let rule = &self.book.rules[*r];
                    rule.natures.has(Nature::Rate) && host_of(rule.scope) == Some(host)
                })
            })
            .map(|e| e.probability)
            .sum();
        if our_rate > PERHAPS_OUR_RATE {
            return QUIET_AFTER_S;
        }
        let last = self
            .history
            .iter()
            .rev()
            .take_while(|r| r.at >= onset)
            .find(|r| r.class.failed() && self.universe.host_of(r.cell()) == host);
        match last.map(|r| r.class) {
            Some(Class::RateLimited) => ASK_AFTER_LIMIT_S,
            Some(Class::EdgeChallenge) => ASK_AFTER_CHALLENGE_S,
            _ => ASK_AFTER_S,
        }
    }

    /// The cell whose answer the open question waits for most, if one is worth asking at all.
    #[must_use]
    pub fn would_tell(&self) -> Option<usize> {
        let episode = self.episode.as_ref()?;
        let question = episode.question.as_ref()?;
        if let Some(wanted) = question.wanted.first() {
            return Some(wanted.cell);
        }
        self.tells_most(episode, question, None)
            .map(|(cell, _)| cell)
    }

    /// The cell that tells most, of one endpoint or of all.
    pub(super) fn tells_most(
        &self,
        episode: &Episode,
        question: &Question,
        endpoint: Option<u16>,
    ) -> Option<(usize, Reason)> {
        let masked = self.masked(episode);
        let cells: Vec<usize> = (0..self.universe.cells.len())
            .filter(|c| {
                !masked.contains(*c)
                    && !episode.is_spent(&self.universe, *c)
                    && endpoint.is_none_or(|e| self.universe.cells[*c].endpoint == e)
            })
            .collect();
        // Whether it is who asks or what it asks over, the twin of a failing cell alone can show.
        let known = &question.evidence.cells;
        let fails = |c: usize| known.get(&c).is_some_and(|o| o.failed > 0);
        let unheard = |c: &usize| {
            let new = !known.contains_key(c) && !question.asks.contains_key(c);
            new && self.universe.twins(*c).any(fails)
        };
        let twins: Vec<usize> = cells.iter().copied().filter(unheard).collect();
        let least = match endpoint {
            None => WORTH_ASKING,
            Some(_) => WORTH_ASKING / 20.0,
        };
        let best = |cells: Vec<usize>| {
            question::best(
                (&self.universe, &self.book),
                (&self.search, &question.evidence, &question.posterior),
                cells.into_iter(),
                |c| question.asks.get(&c).copied().unwrap_or(0),
                least,
            )
        };
        best(twins)
            .or_else(|| best(cells))
            .map(|(cell, bits)| (cell, Reason::TellsMost(bits)))
    }
}
