//! Runs kept as evidence while there is trouble, bounded.

use std::time::Duration;

use super::Running;
use crate::board::Board;
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::shared;
use crate::domain::secret::mask;
use crate::domain::verdict::{Kind, Verdict};
use crate::incident::case::clarity;
use crate::incident::world::Run;
use crate::words::evidence;

/// Failing runs remembered, and for how long.
const FAILURES_MAX: usize = 4000;
const FAILURES_FOR: Duration = Duration::from_secs(6 * 3600);
/// Runs kept as evidence, of each kind.
const SPECIMENS_MAX: usize = 12;
/// Reference ids kept until an incident takes them.
const REFERENCES_MAX: usize = 20;

impl Running {
    /// Keeps a run as evidence: the clearest failing one of a cell, the latest passing one.
    pub(super) fn keep(&mut self, board: &Board, run: &Run<'_>, kind: Kind) {
        let key = &run.cell.key;
        let (verdict, observation) = (&run.judged.verdict, &run.judged.observation);
        let make = || evidence::specimen(&board.plan, &board.secrets, observation, verdict);
        if run.failed {
            self.failures.push_back((run.at, key.clone(), kind));
            let oldest = run.at.checked_sub(FAILURES_FOR).unwrap_or(run.at);
            while self.failures.len() > FAILURES_MAX
                || self.failures.front().is_some_and(|(at, ..)| *at < oldest)
            {
                self.failures.pop_front();
            }
            if let Some(id) = reference(board, verdict)
                && !self.references.contains(&id)
                && self.references.len() < REFERENCES_MAX
            {
                self.references.push(id);
            }
            self.answers.failed(key, run.at, (kind, verdict), make);
            let clearer = self
                .failing
                .get(key)
                .is_none_or(|kept| clarity(verdict) > clarity(&kept.verdict));
            if clearer
                && (self.failing.len() < SPECIMENS_MAX || self.failing.contains_key(key))
                && let Some(specimen) = make()
            {
                self.failing.insert(key.clone(), specimen);
            }
            return;
        }
        self.answers.passed(key);
        if !self.engine.is_quiet()
            && !run.cell.control_probe
            && !self.passing.contains_key(key)
            && let Some(specimen) = make()
        {
            if self.passing.len() >= SPECIMENS_MAX {
                let failing: Vec<&CellKey> = self.failing.keys().collect();
                let likeness = |cell: &CellKey| {
                    let shares = failing.iter().map(|bad| shared(bad, cell).count_ones());
                    shares.max()
                };
                let least = self.passing.keys().min_by_key(|cell| likeness(cell));
                let least = least.cloned();
                if let Some(least) = least {
                    self.passing.remove(&least);
                }
            }
            self.passing.insert(key.clone(), specimen);
        }
    }

    /// Forgets what belongs to no trouble.
    pub(super) fn tidy(&mut self) {
        if !self.troubles.is_empty() || !self.engine.is_quiet() {
            return;
        }
        self.asked.clear();
        self.loose = 0;
        self.notes.clear();
        self.failing.clear();
        self.answers.clear();
        self.passing.clear();
        self.references.clear();
    }
}

/// The reference id of an answer, as people may see it.
pub(super) fn reference(board: &Board, verdict: &Verdict) -> Option<String> {
    let id = mask(verdict.reference_id.as_ref()?, &board.secrets);
    Some(evidence::cut(&evidence::plain(&id), 200))
}
