//! Sends scheduled requests where they tell something, while an incident is open.
//!
//! A request that a named cause is sure to fail tells nothing and hides a second cause behind the first.
//! One sentinel for each endpoint and round shows the recovery; the rest ask with a level that is not
//! blamed. While a question is open, every second request to an affected endpoint goes to the cell that
//! tells most. The number of requests stays what the schedule says.

use super::cells::CellSet;
use super::engine::{Engine, Reason};
use super::episode::Episode;

/// Extra requests, or seconds, before an open question may redirect the schedule.
const AFTER_EXTRA: u32 = 6;
const AFTER_S: f64 = 60.0;
/// Two runs so close show a pair, seconds.
const HEARD_S: f64 = 60.0;

/// Rounds after which a refused cell is asked itself: it may have come free while others have not.
const ITSELF_EVERY: u64 = 2;

impl Engine {
    /// The cell to run in place of a scheduled one, with the reason when it is another.
    ///
    /// `round` counts the intervals of the schedule; it only has to grow.
    pub fn aim(&mut self, now: f64, cell: usize, round: u64) -> (usize, Option<Reason>) {
        let Some(mut episode) = self.episode.take() else {
            return (cell, None);
        };
        let aimed = self
            .towards_the_question(now, cell, &mut episode)
            .or_else(|| self.past_the_block(now, cell, round, &mut episode));
        self.episode = Some(episode);
        match aimed {
            Some((other, reason)) if other != cell => (other, Some(reason)),
            _ => (cell, None),
        }
    }

    fn towards_the_question(
        &self,
        now: f64,
        cell: usize,
        episode: &mut Episode,
    ) -> Option<(usize, Reason)> {
        if !self.options.may_ask {
            return None;
        }
        let mut question = episode.question.take()?;
        let mut chosen = None;
        let late =
            episode.used >= episode.budget.min(AFTER_EXTRA) || now - question.opened_at > AFTER_S;
        if late && question.looked_at > 0 {
            question.turns += 1;
            let endpoint = self.universe.cells[cell].endpoint;
            let at = |c: usize| self.universe.cells[c].endpoint == endpoint;
            let affected = question
                .evidence
                .cells
                .iter()
                .any(|(c, o)| o.failed > 0 && at(*c));
            if question.turns.is_multiple_of(2) && affected {
                // A refused credential may be asked as often as the schedule does, not more.
                let credential = |c: usize| self.universe.cells[c].credential;
                let wanted = question.wanted.iter().copied().find(|w| {
                    at(w.cell)
                        && (credential(w.cell) == credential(cell)
                            || !episode.is_spent(&self.universe, w.cell))
                });
                chosen = match wanted {
                    Some(w) => Some((w.cell, Reason::Witness { rule: w.rule })),
                    None if question.best < 0.95 => {
                        self.tells_most(episode, &question, Some(endpoint))
                    }
                    None => None,
                };
            }
            if let Some((cell, _)) = chosen {
                *question.asks.entry(cell).or_default() += 1;
            }
        }
        episode.question = Some(question);
        chosen
    }

    /// Whether a cell ran at this time or later.
    fn was_heard(&self, cell: usize, since: f64) -> bool {
        let mut lately = self.history.iter().rev().take_while(|r| r.at >= since);
        lately.any(|r| r.cell() == cell)
    }

    fn past_the_block(
        &self,
        now: f64,
        cell: usize,
        round: u64,
        episode: &mut Episode,
    ) -> Option<(usize, Reason)> {
        let blocking: Vec<usize> = episode
            .causes
            .iter()
            // Once a sentinel passes, the schedule's own runs show whether it is over.
            .filter(|c| c.blocks_its_cells() && c.passes == 0)
            .filter(|c| !self.book.rules[c.rule].conditions.is_empty())
            .map(|c| c.rule)
            .collect();
        let cells_of = |rule: usize| -> &CellSet { &self.book.pattern(rule).cells };
        let hit: Vec<usize> = blocking
            .iter()
            .copied()
            .filter(|r| cells_of(*r).contains(cell))
            .collect();
        let first = *hit.first()?;
        let endpoint = self.universe.cells[cell].endpoint;
        let key = (endpoint, self.book.rules[first].group);
        let first_of_the_round = episode.sentinels.insert(key, round) != Some(round);
        let asked = episode.asked.entry(cell).or_insert(round);
        if first_of_the_round || round.saturating_sub(*asked) >= ITSELF_EVERY {
            *asked = round;
            return None;
        }
        // How soon one is taken: a twin that was not heard of lately, then whom the round comes to, then the control.
        let twin = |c: usize| {
            let mut twins = self.universe.twins(cell);
            twins.any(|twin| twin == c) && !self.was_heard(c, now - HEARD_S)
        };
        let mut best: Option<(u8, usize)> = None;
        for rule in &hit {
            for condition in &self.book.rules[*rule].conditions {
                let axis = condition.axis();
                let levels = self.universe.levels(axis);
                for step in 0..levels {
                    let level = ((u64::from(step) + round) % u64::from(levels)) as u16;
                    let other = self.universe.cells[cell].with(axis, level);
                    let Some(other) = self.universe.find(&other) else {
                        continue;
                    };
                    let blocked = blocking.iter().any(|r| cells_of(*r).contains(other));
                    let rank = match other {
                        other if twin(other) => 0,
                        other => 1 + u8::from(self.universe.is_control(other)),
                    };
                    if !blocked && best.is_none_or(|(least, _)| rank < least) {
                        best = Some((rank, other));
                    }
                }
            }
        }
        best.map(|(_, cell)| (cell, Reason::BlockedAnyway))
    }
}
