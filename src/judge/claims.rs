//! What becomes of causes: claimed, grown out of others, withdrawn, merged, over.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::CellSet;
use super::class::Mechanism;
use super::engine::{Effect, Engine};
use super::episode::{Cause, Episode, Question};
use super::investigate::CERTAIN;
use super::posterior::host_of;

/// Causes that are over and remembered.
const LATELY_MAX: usize = 8;
/// A claim is withdrawn below this.
const DOUBTFUL: f64 = 0.2;

impl Engine {
    pub(super) fn claim(
        &mut self,
        episode: &mut Episode,
        question: &mut Question,
        mut cause: Cause,
    ) {
        let (grown, others): (Vec<Cause>, Vec<Cause>) = std::mem::take(&mut episode.causes)
            .into_iter()
            .partition(|known| self.has_grown(known, &cause, question.onset));
        episode.causes = others;
        cause.incident = match grown.first() {
            Some(first) => first.incident,
            None => self.incident_for(episode, question, &cause),
        };
        episode.causes.push(cause.clone());
        let mut left: BTreeSet<u32> = BTreeSet::new();
        for known in &grown {
            self.effects.push(Effect::Withdrawn {
                incident: known.incident,
                group: known.group,
            });
            left.insert(known.incident);
        }
        if !grown.is_empty() {
            left.extend(question.incident.replace(cause.incident));
        }
        for incident in left {
            if !episode.causes.iter().any(|c| c.incident == incident) {
                self.effects.push(Effect::Closed { incident });
            }
        }
        self.effects.push(Effect::Claimed(Box::new(cause)));
    }

    /// Whether what was named has become this wider cause: it hits more cells by the same mechanism.
    ///
    /// One client that is blocked and then all of them is one story. A host that breaks down while it
    /// refuses a client is two.
    fn has_grown(&self, known: &Cause, wider: &Cause, since: f64) -> bool {
        if known.special.is_some() || wider.special.is_some() {
            return false;
        }
        let (narrow, wide) = (
            &self.book.pattern(known.rule).cells,
            &self.book.pattern(wider.rule).cells,
        );
        // The world changed under it: what stands now is what became of it.
        if known.reviewed && known.onset < since && narrow != wide && !narrow.and(wide).is_empty() {
            return true;
        }
        if narrow == wide || !narrow.minus(wide).is_empty() {
            return false;
        }
        let mechanism = |since: f64, inside: bool| {
            let mut counts: BTreeMap<Mechanism, u32> = BTreeMap::new();
            let recent = self.history.iter().rev().take_while(|r| r.at >= since);
            for record in recent.filter(|r| r.class.failed() && wide.contains(r.cell())) {
                if narrow.contains(record.cell()) == inside {
                    *counts.entry(record.class.mechanism()).or_default() += 1;
                }
            }
            let most = counts.into_iter().max_by_key(|(_, count)| *count);
            most.map(|(mechanism, _)| mechanism)
        };
        // What is known to be refused is asked seldom, so all that it showed counts.
        let before = mechanism(known.onset, true);
        before.is_some() && before == mechanism(since, false)
    }

    /// Causes that differ only in the level of one factor are one incident; others have their own.
    fn incident_for(&mut self, episode: &Episode, question: &mut Question, cause: &Cause) -> u32 {
        let rule = &self.book.rules[cause.rule];
        let sibling = episode.causes.iter().find(|c| {
            let other = &self.book.rules[c.rule];
            !c.fixed
                && other.natures == rule.natures
                && (other.scope == rule.scope || other.conditions == rule.conditions)
        });
        if let Some(sibling) = sibling {
            return sibling.incident;
        }
        match question.incident {
            Some(incident) if !episode.causes.iter().any(|c| c.incident == incident) => incident,
            _ => {
                let incident = self.new_incident(cause.onset);
                question.incident.get_or_insert(incident);
                incident
            }
        }
    }

    /// Takes back what is no longer probable; its incident goes on as that of the open question.
    ///
    /// `best` is the probability of the best explanation.
    pub(super) fn withdraw_doubtful(
        &mut self,
        episode: &mut Episode,
        question: &mut Question,
        (named, best): (&[Cause], f64),
    ) {
        let book = &self.book;
        let effects = &mut self.effects;
        let certain = best >= CERTAIN;
        let mut left: BTreeSet<u32> = BTreeSet::new();
        episode.causes.retain(|c| {
            let replaced = || {
                let host = host_of(book.rules[c.rule].scope);
                named.iter().any(|n| {
                    let cells = &book.pattern(n.rule).cells;
                    let grown = book.pattern(c.rule).cells.minus(cells).is_empty();
                    let instead = c.is_rate() && host == host_of(book.rules[n.rule].scope);
                    let shrunk = certain && !cells.and(&book.pattern(c.rule).cells).is_empty();
                    grown || instead || shrunk
                })
            };
            let stands = c.fixed
                || named.iter().any(|n| n.group == c.group)
                || question.posterior.inclusion(book, c.group) >= DOUBTFUL
                || (c.reviewed && !replaced());
            if !stands {
                effects.push(Effect::Withdrawn {
                    incident: c.incident,
                    group: c.group,
                });
                left.insert(c.incident);
            }
            stands
        });
        for incident in left {
            let kept = episode.causes.iter().any(|c| c.incident == incident);
            if !kept && *question.incident.get_or_insert(incident) != incident {
                effects.push(Effect::Closed { incident });
            }
        }
    }

    /// Several causes whose union is one simple rule are that rule.
    pub(super) fn merge(&mut self, now: f64, episode: &mut Episode) {
        let causes = || episode.causes.iter();
        // What the edge refuses here and the application gets wrong there is two stories.
        let two = causes().any(|c| c.is_mostly(Mechanism::Edge))
            && causes().any(|c| c.is_mostly(Mechanism::Origin));
        let mergeable = causes().len() > 1 && !two && causes().all(|c| c.special.is_none());
        if !mergeable {
            return;
        }
        let mut union = CellSet::none(self.universe.cells.len());
        for cause in &episode.causes {
            union.add_all(&self.book.pattern(cause.rule).cells);
        }
        let Some(rule) = self.book.simple_rule(&union) else {
            return;
        };
        let group = self.book.rules[rule].group;
        if episode.causes.iter().any(|c| c.group == group) {
            return;
        }
        let first = episode.causes.remove(0);
        self.effects.push(Effect::Withdrawn {
            incident: first.incident,
            group: first.group,
        });
        let mut closed = BTreeSet::new();
        for cause in episode.causes.drain(..) {
            self.effects.push(Effect::Withdrawn {
                incident: cause.incident,
                group: cause.group,
            });
            if cause.incident != first.incident && closed.insert(cause.incident) {
                self.effects.push(Effect::Closed {
                    incident: cause.incident,
                });
            }
        }
        let merged = Cause {
            rule,
            group,
            claimed_at: now,
            ..first
        };
        episode.causes.push(merged.clone());
        self.effects.push(Effect::Claimed(Box::new(merged)));
    }

    /// Ends the causes that have recovered, and the episode when none is left.
    pub(super) fn close_recovered(&mut self) {
        let Some(episode) = &mut self.episode else {
            return;
        };
        let incidents: BTreeSet<u32> = episode.causes.iter().map(|c| c.incident).collect();
        let over: BTreeSet<u32> = incidents
            .into_iter()
            .filter(|i| {
                let mut causes = episode.causes.iter().filter(|c| c.incident == *i);
                causes.all(Cause::recovered)
            })
            .collect();
        if over.is_empty() {
            return;
        }
        let ended = episode
            .causes
            .extract_if(.., |c| over.contains(&c.incident));
        self.lately.extend(ended.filter(|c| !c.is_rate()));
        let surplus = self.lately.len().saturating_sub(LATELY_MAX);
        self.lately.drain(..surplus);
        let asking = episode.question.as_ref().and_then(|q| q.incident);
        if asking.is_some_and(|i| over.contains(&i)) {
            episode.question = None;
        }
        let ended = episode.causes.is_empty()
            && episode
                .question
                .as_ref()
                .is_none_or(|q| q.incident.is_none());
        self.effects.extend(
            over.into_iter()
                .map(|incident| Effect::Recovered { incident }),
        );
        if ended {
            self.episode = None;
            self.calm();
        }
    }
}
