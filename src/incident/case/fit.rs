//! Fits an incident to another file: what is no longer asked as it was can't be seen to be over.
//!
//! A failing cell that the file lacks now, or asks otherwise, is *left*: that it passes from now on says nothing
//! of what failed. It counts again once the file asks as before, or once it fails in its new form too.

use std::collections::{HashMap, HashSet};

use super::{Case, places};
use crate::board::Board;
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::shared;
use crate::domain::incident::{Incident, IncidentCell};
use crate::domain::renames::Renames;

/// What became of the members.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Fitted {
    /// Failing ones that are not asked any more.
    pub gone: usize,
    /// Failing ones that are asked otherwise.
    pub edited: usize,
    /// Those that are asked again as they were.
    pub back: usize,
}

impl Fitted {
    /// In a sentence; `None` when nothing became of any.
    #[must_use]
    pub fn said(self) -> Option<String> {
        let some =
            |count: usize, what: &str| (count > 0).then(|| format!("{count} of its cells {what}"));
        let parts: Vec<String> = [
            some(self.gone, "left the configuration"),
            some(self.edited, "ask otherwise than when they failed"),
            some(self.back, "ask again as when they failed"),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl Case {
    /// Fits the members; `mark` says what a cell asks now, `None` that it is not asked.
    pub fn fit(&mut self, mark: impl Fn(&CellKey) -> Option<String>) -> Fitted {
        let mut fitted = Fitted::default();
        let left = std::mem::take(&mut self.incident.left);
        let (back, left): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|cell| cell.asked.is_some() && mark(&cell.cell) == cell.asked);
        self.incident.left = left;
        fitted.back = back.len();
        let kept = self.incident.cells.len();
        for mut member in std::mem::take(&mut self.incident.cells) {
            // It comes back below, as it was when it left.
            if back.iter().any(|cell| cell.cell == member.cell) {
                continue;
            }
            let Some(asks) = mark(&member.cell) else {
                if member.failing {
                    fitted.gone += 1;
                    self.leave(member);
                }
                continue;
            };
            let otherwise = member.asked.as_ref().is_some_and(|asked| *asked != asks);
            let came_back = self.members.get(&member.cell).is_some_and(|m| m.passes > 0);
            if member.failing && otherwise && !came_back {
                fitted.edited += 1;
                self.leave(member.clone());
            }
            if otherwise {
                member.asked = Some(asks);
            }
            self.incident.cells.push(member);
        }
        let changed = self.incident.cells.len() < kept || !back.is_empty();
        self.members.retain(|cell, _| mark(cell).is_some());
        self.incident.cells.extend(back);
        self.places = places(&self.incident);
        let diagnosis = &mut self.incident.diagnosis;
        diagnosis.failing.retain(|cell| mark(cell).is_some());
        diagnosis.passing.retain(|cell| mark(cell).is_some());
        if changed {
            self.retell();
        }
        self.stale |= fitted != Fitted::default();
        fitted
    }

    /// Whether a cell was last seen failing as it is not asked any more.
    #[must_use]
    pub fn has_left(&self, cell: &CellKey) -> bool {
        self.incident.left.iter().any(|left| left.cell == *cell)
    }

    /// Whether what fails is known only as it was asked before.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        self.failing().all(|member| self.has_left(&member.cell))
    }

    /// Nobody will see that this one passes.
    pub fn leave(&mut self, member: IncidentCell) {
        let left = &mut self.incident.left;
        if !left.iter().any(|known| known.cell == member.cell) {
            left.push(IncidentCell {
                failing: true,
                ..member
            });
        }
    }

    /// Notes what failing cells ask, where that is not noted yet.
    pub fn note_asked(&mut self, board: &Board) {
        for member in &mut self.incident.cells {
            if member.failing && member.asked.is_none() {
                member.asked = board.plan.mark(&member.cell);
            }
        }
    }
}

/// What names of an incident's cells are otherwise in this plan, as far as the file or equal requests tell.
///
/// `old`: the board before; what it knows already is nothing's new name.
#[must_use]
pub fn renamed(incident: &Incident, board: &Board, old: Option<&Board>) -> Renames {
    let mut renames = Renames::default();
    let lost: Vec<&IncidentCell> = incident
        .cells
        .iter()
        .chain(&incident.left)
        .filter(|member| board.id(&member.cell).is_none())
        .collect();
    if lost.is_empty() {
        return renames;
    }
    let known: HashSet<&CellKey> = incident.cells.iter().map(|member| &member.cell).collect();
    let wanted: HashSet<&String> = lost.iter().filter_map(|m| m.asked.as_ref()).collect();
    let mut same: HashMap<String, Vec<&CellKey>> = HashMap::new();
    for cell in &board.cells {
        let fresh = old.is_none_or(|old| old.id(&cell.key).is_none());
        if fresh && !known.contains(&cell.key) && !wanted.is_empty() {
            let mark = board.plan.mark(&cell.key).filter(|m| wanted.contains(m));
            if let Some(mark) = mark {
                same.entry(mark).or_default().push(&cell.key);
            }
        }
    }
    for member in lost {
        let now = board.plan.former.cell(&member.cell);
        if board.id(&now).is_some() {
            renames.note(&member.cell, &now);
            continue;
        }
        let alike = member.asked.as_ref().and_then(|mark| same.get(mark));
        let nearest = alike
            .into_iter()
            .flatten()
            .filter(|cell| !board.plan.has_name_of(&member.cell, cell))
            .max_by_key(|cell| shared(cell, &member.cell).count_ones());
        if let Some(now) = nearest {
            renames.note(&member.cell, now);
        }
    }
    renames
}
