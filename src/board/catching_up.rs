//! What runs that were heard of late say of a cell.
//!
//! They are put where they belong in time: before or after what is known, never over it.

use jiff::Timestamp;

use super::{Board, Last};
use crate::board::events::Late;
use crate::domain::cell::CellKey;
use crate::domain::change::VerdictChange;
use crate::domain::verdict::Kind;

/// So many failures on end are no accident, and worth a word when they are over.
const FAILURES_TOLD: usize = 3;

/// What late runs say of a cell.
#[derive(Debug)]
pub struct Caught {
    /// Place of the cell on the board.
    pub cell: usize,
    /// The verdict that they show is another than the one known.
    pub change: Option<VerdictChange>,
    /// The newest of all is one of them, and failed.
    pub doubted: bool,
    pub gone: Option<Gone>,
}

/// What came and went while nothing was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    pub cell: CellKey,
    pub kind: Kind,
    /// Start of the first of these runs, and of the last.
    pub from: Timestamp,
    pub to: Timestamp,
    pub runs: usize,
}

impl Board {
    /// Puts the late runs of a cell in their place; `None`: the plan has no such cell.
    pub fn catch_up(&mut self, late: &Late, now: Timestamp) -> Option<Caught> {
        let id = self.id(&late.cell)?;
        let cell = &self.cells[id];
        let failed = |run: &(Timestamp, Kind)| cell.fails(run.1);
        let (at, kind) = *late.runs.last()?;
        let known = cell.last;
        let newest = known.is_none_or(|last| last.at < at);
        let passes = match known {
            Some(last) if !newest => !last.failed,
            _ => !failed(&(at, kind)),
        };
        // The row of failures at the end reaches back to here.
        let row = late.runs.iter().rev().take_while(|run| failed(run)).last();
        let gone = (passes).then(|| gone(late, failed)).flatten();
        let last_good = late.runs.iter().rev().find(|run| !failed(run));
        let last_good_at = last_good.map(|(at, _)| *at).max(cell.last_good_at);
        // Before a row that was seen live, the late one is its beginning.
        let unbroken = |row: &Timestamp| cell.last_good_at.is_none_or(|good| good < *row);
        let since = row
            .map(|(at, _)| *at)
            .filter(|row| !passes && unbroken(row));
        let doubted = newest && !passes;
        let mut change = None;
        if newest && passes && late.telling {
            let before = self.note(id, at, kind, now).flatten();
            change = (before.is_none_or(|last: Last| last.kind != kind)).then(|| VerdictChange {
                cell: late.cell.clone(),
                at,
                from: before.map(|last| last.kind),
                to: kind,
            });
        }
        self.cells[id].last_good_at = last_good_at;
        if let Some(since) = since {
            self.failing_since.insert(late.cell.clone(), since);
        }
        Some(Caught {
            cell: id,
            change,
            doubted: doubted && late.telling,
            gone,
        })
    }
}

/// The longest row of failures, when it is long enough.
fn gone(late: &Late, failed: impl Fn(&(Timestamp, Kind)) -> bool) -> Option<Gone> {
    let rows = late
        .runs
        .chunk_by(|one, other| failed(one) == failed(other));
    let failures = rows.filter(|row| failed(&row[0]));
    let row = failures.max_by_key(|row| row.len())?;
    (row.len() >= FAILURES_TOLD).then(|| Gone {
        cell: late.cell.clone(),
        kind: row[0].1,
        from: row[0].0,
        to: row[row.len() - 1].0,
        runs: row.len(),
    })
}
