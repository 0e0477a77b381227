//! A question is opened, or opened again: for what fails now, for what grew, and where the world has changed.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::CellSet;
use super::class::Mechanism;
use super::engine::{Effect, Engine};
use super::episode::{Cause, Episode, Question};
use super::evidence::{Evidence, Record};
use super::investigate::RATE_HISTORY_S;
use super::pauses::Pauses;
use super::posterior::{Explanation, LIKELY, host_of};

/// A contradicted claim at least this probable stands, as one that strikes at times.
const STANDS: f64 = 0.9;
/// Another explanation this probable takes the place of what was named.
const OVERTURNED: f64 = 0.8;
/// Runs of a cell from before a change that count after it.
const KEPT_OF_A_CELL: u32 = 2;

impl Engine {
    /// Begins to look for the cause of what has failed since `onset`.
    pub(super) fn open_question(&mut self, now: f64, onset: f64, incident: Option<u32>) {
        let Some(mut episode) = self.episode.take() else {
            return;
        };
        let onset = self.unfix_what_changed(&mut episode, onset);
        let evidence = self.gather(&episode, onset);
        if episode.refused.is_empty() {
            // The repeats that led here were extra requests as well.
            for record in self.history.iter().filter(|r| r.at >= onset) {
                episode.count_refusal(&self.universe, record);
            }
        }
        episode.question = Some(Question::new(incident, onset, now, evidence));
        self.episode = Some(episode);
    }

    /// Opens the question again where the world has changed under what was named; whether it did.
    ///
    /// What was seen before the change counts only of cells that no doubted cause hits.
    pub(super) fn look_anew(&mut self, now: f64) -> bool {
        let Some(mut episode) = self.episode.take() else {
            return false;
        };
        let changed_at = if let Some(question) = &episode.question {
            let changed_at = self.changed_under(question, &episode.pauses);
            changed_at.filter(|_| question.is_old(now))
        } else {
            let causes = episode.causes.iter();
            let since = causes.filter_map(|c| self.changed_since(c, &episode.pauses));
            since.min_by(f64::total_cmp)
        };
        if let Some(changed_at) = changed_at {
            self.ask_anew(&mut episode, changed_at, now);
        }
        self.episode = Some(episode);
        changed_at.is_some()
    }

    /// Since when something of a cause is no longer as it says; our own rate moves by itself.
    fn changed_since(&self, cause: &Cause, pauses: &Pauses) -> Option<f64> {
        let of = (cause.group, cause.last_failed);
        let since = self.changes.since(of, pauses, false);
        since.filter(|_| !cause.is_rate())
    }

    fn ask_anew(&mut self, episode: &mut Episode, changed_at: f64, now: f64) {
        episode.widen(self.options.budget);
        let mut incident = episode.question.as_ref().and_then(|q| q.incident);
        let mut doubted = CellSet::none(self.universe.cells.len());
        for cause in &mut episode.causes {
            if self.changed_since(cause, &episode.pauses).is_some() {
                (cause.fixed, cause.reviewed) = (false, true);
                incident.get_or_insert(cause.incident);
                doubted.add_all(&self.book.pattern(cause.rule).cells);
            }
        }
        let asked = episode.question.iter();
        let likeliest = asked.filter_map(|q| q.posterior.explanations.first());
        for rule in likeliest.flat_map(Explanation::rules) {
            doubted.add_all(&self.book.pattern(*rule).cells);
        }
        self.changes.clear();
        let mut evidence = self.gather(episode, changed_at);
        let mut of_cell: BTreeMap<usize, u32> = BTreeMap::new();
        let from = changed_at - RATE_HISTORY_S;
        let before = self.history.iter().rev().skip_while(|r| r.at >= changed_at);
        for record in before.take_while(|r| r.at >= from) {
            let count = of_cell.entry(record.cell()).or_default();
            if *count < KEPT_OF_A_CELL
                && !doubted.contains(record.cell())
                && !self.is_known(episode, record)
            {
                *count += 1;
                evidence.add(&self.book, record);
            }
        }
        episode.since = changed_at;
        episode.question = Some(Question::new(incident, changed_at, now, evidence));
    }

    /// Whether a cause that is fixed explains a run.
    fn is_known(&self, episode: &Episode, record: &Record) -> bool {
        let mut fixed = episode.causes.iter().filter(|c| c.fixed);
        fixed.any(|c| {
            let its = !record.class.failed() || c.may_fail_as(record.class);
            its && self.book.pattern(c.rule).matches(&record.traits)
        })
    }

    /// Since when the likeliest answer to an open question no longer holds for all that it explained.
    fn changed_under(&self, question: &Question, pauses: &Pauses) -> Option<f64> {
        let best = question.posterior.explanations.first()?;
        best.rules()
            .iter()
            .filter_map(|rule| {
                let group = self.book.rules[*rule].group;
                let of = (group, question.last_failed);
                self.changes.since(of, pauses, true)
            })
            .min_by(f64::total_cmp)
    }

    /// A cause that grew (one client, now all) is one cause: what was named is open again.
    ///
    /// So is a limit on our rate, when its host fails below what was taken for it. Returns the onset
    /// from which the evidence counts.
    fn unfix_what_changed(&mut self, episode: &mut Episode, mut onset: f64) -> f64 {
        if episode.causes.is_empty() {
            return onset;
        }
        let failing: BTreeSet<u16> = self
            .history
            .iter()
            .filter(|r| r.at >= onset && r.class.failed())
            .map(|r| self.universe.host_of(r.cell()))
            .collect();
        for cause in &mut episode.causes {
            let host = host_of(self.book.rules[cause.rule].scope);
            if cause.is_rate() && host.is_some_and(|h| failing.contains(&h)) {
                cause.fixed = false;
                cause.reviewed = true;
                onset = onset.min(cause.onset).min(episode.onset);
            }
        }
        let evidence = self.all_since(episode, onset);
        let posterior = self.search.run(&self.book, &evidence);
        let Some((groups, probability)) = posterior.sets(&self.book).into_iter().next() else {
            return onset;
        };
        if probability < LIKELY {
            return onset;
        }
        let wider: Vec<&CellSet> = groups
            .iter()
            .filter_map(|g| self.book.rules.iter().position(|r| r.group == *g))
            .map(|r| self.book.pattern(r))
            .filter(|p| p.special.is_none())
            .map(|p| &p.cells)
            .collect();
        for cause in &mut episode.causes {
            let cells = &self.book.pattern(cause.rule).cells;
            let grew = wider
                .iter()
                .any(|w| *w != cells && cells.minus(w).is_empty());
            if grew && cause.special.is_none() {
                cause.fixed = false;
                cause.reviewed = true;
            }
        }
        onset
    }

    /// Everything since `onset` but what was seen while all that fails paused.
    fn since<'a>(&'a self, episode: &'a Episode, onset: f64) -> impl Iterator<Item = &'a Record> {
        let since = self.history.iter().filter(move |r| r.at >= onset);
        since.filter(|r| !episode.pauses.contain(r.at))
    }

    /// Everything since `onset`, as it bears on what was named.
    fn all_since(&self, episode: &Episode, onset: f64) -> Evidence {
        let since = || self.since(episode, onset);
        let mut evidence = Evidence::about(&self.book, since());
        let mut causes = episode.causes.iter();
        // What is refused is asked seldom; an edge that refuses more makes no error of the application's.
        evidence.of_edge |=
            !episode.causes.is_empty() && causes.all(|c| c.is_mostly(Mechanism::Edge));
        for record in since() {
            evidence.add(&self.book, record);
        }
        evidence
    }

    /// Everything since `onset` that the fixed causes don't explain.
    fn gather(&self, episode: &Episode, onset: f64) -> Evidence {
        let since = || self.since(episode, onset);
        let unknown = |record: &&Record| !self.is_known(episode, record);
        let mut evidence = Evidence::about(&self.book, since().filter(unknown));
        for record in since() {
            // What fails by a cause that is known may show all the same that another one lets it through.
            let behind = record.class.failed() && evidence.is_pass(record);
            if behind || unknown(&record) {
                evidence.add(&self.book, record);
            }
        }
        evidence
    }

    /// Sees the evidence of an open question anew once it is about another thing than it was: what the edge refuses, and
    /// not what the application gets wrong, or the other way round.
    pub(super) fn turn_to_what_fails(&self, episode: &mut Episode, record: &Record) {
        let known = !record.class.failed() || self.is_known(episode, record);
        let Some(question) = episode.question.as_mut().filter(|_| !known) else {
            return;
        };
        question.evidence.sides.add(record);
        if question.evidence.sides.are_of_edge() == question.evidence.of_edge {
            return;
        }
        self.see_anew(episode);
    }

    /// Gathers the evidence of the open question again.
    pub(super) fn see_anew(&self, episode: &mut Episode) {
        let onset = episode.question.as_ref().map(|question| question.onset);
        let evidence = onset.map(|onset| self.gather(episode, onset));
        if let (Some(question), Some(evidence)) = (&mut episode.question, evidence) {
            question.evidence = evidence;
        }
    }

    /// What was named is not right: forget the causes and look at everything again.
    pub(super) fn start_over(&mut self, now: f64) {
        let Some(mut episode) = self.episode.take() else {
            return;
        };
        let incident = episode
            .causes
            .first()
            .map(|c| c.incident)
            .or_else(|| episode.question.as_ref().and_then(|q| q.incident));
        let mut closed = BTreeSet::new();
        for cause in episode.causes.drain(..) {
            self.effects.push(Effect::Withdrawn {
                incident: cause.incident,
                group: cause.group,
            });
            if Some(cause.incident) != incident && closed.insert(cause.incident) {
                self.effects.push(Effect::Closed {
                    incident: cause.incident,
                });
            }
        }
        episode.question = None;
        let since = episode.since;
        self.episode = Some(episode);
        self.open_question(now, since, incident);
    }

    /// Looks again at what was named, with everything seen since: it may strike at times only, or not be it.
    pub(super) fn recheck(&mut self, now: f64) {
        let Some(mut episode) = self.episode.take() else {
            return;
        };
        let evidence = self.all_since(&episode, episode.since);
        let posterior = self.search.run(&self.book, &evidence);
        let stands = |cause: &Cause| {
            cause.comes_and_goes() || posterior.inclusion(&self.book, cause.group) >= STANDS
        };
        let doubted = episode
            .causes
            .iter()
            .any(|c| c.is_contradicted() && !stands(c));
        let overturned = posterior.sets(&self.book).first().is_some_and(|(g, p)| {
            *p > OVERTURNED
                && !episode.causes.iter().any(Cause::comes_and_goes)
                && !g
                    .iter()
                    .any(|g| episode.causes.iter().any(|c| c.group == *g))
        });
        for cause in &mut episode.causes {
            if cause.is_contradicted() && !doubted {
                let tally = &evidence.tallies[self.book.rules[cause.rule].pattern];
                cause.always = self.search.fit(tally).always.min(0.49);
                cause.rate = self.search.rate(tally);
                self.effects.push(Effect::Revised(Box::new(cause.clone())));
            }
        }
        self.episode = Some(episode);
        if doubted || overturned {
            self.start_over(now);
        }
    }
}
