//! Notices that all that fails pauses at once: what passes meanwhile speaks for no level and against none.
//!
//! Requests to cells that failed are one row of failures and passes. Where a share of them failed by chance, so many
//! passes of so many cells would not follow each other; where they do and then fail again, it comes and goes.

use std::collections::BTreeMap;

use super::evidence::Record;
use super::likelihood::{Counts, has_shown};

/// Chance of so many passes in a row, were it a share that fails.
const BY_CHANCE: f64 = 1e-3;
/// Of the cells that failed, one in so many has to pass.
const OF_CELLS: u32 = 2;
/// Passes in a row for each failure of another kind among them, so that it is no more than a stray.
const FOR_A_STRAY: u32 = 20;

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    passed: u32,
    failed: bool,
    /// The row in which it passed last, from 1.
    row: u32,
}

/// Passes between two failures.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    /// When the first of them was, seconds.
    since: Option<f64>,
    /// Passes of cells that have failed, and how many cells that are.
    passes: u32,
    cells: u32,
    /// Failures of another kind among them.
    strays: u32,
}

/// The pauses of an episode.
#[derive(Debug, Clone, Default)]
pub struct Pauses {
    cells: BTreeMap<usize, Cell>,
    shown: Counts,
    /// Runs of cells that failed, and how many such cells there are.
    failed: u32,
    passed: u32,
    failing: u32,
    row: Row,
    rows: u32,
    /// From the first pass to the next failure, seconds, one after another.
    over: Vec<(f64, f64)>,
}

impl Pauses {
    /// Takes in a run; whether a pause was over with it.
    pub fn see(&mut self, record: &Record) -> bool {
        let cell = self.cells.entry(record.cell()).or_default();
        if !record.class.failed() {
            cell.passed += 1;
            self.row.since.get_or_insert(record.at);
            if cell.failed {
                self.passed += 1;
                self.row.passes += 1;
                self.row.cells += u32::from(cell.row <= self.rows);
                cell.row = self.rows + 1;
            }
            return false;
        }
        if !has_shown(&self.shown, record.class) {
            self.row.strays += 1;
            return false;
        }
        if !std::mem::replace(&mut cell.failed, true) {
            self.passed += cell.passed;
            self.failing += 1;
        }
        let is_pause = self.are_running();
        let row = std::mem::take(&mut self.row);
        self.rows += 1;
        self.shown[record.class.index()] += 1;
        self.failed += 1;
        let paused = row.since.filter(|_| is_pause);
        self.over.extend(paused.map(|since| (since, record.at)));
        paused.is_some()
    }

    /// Whether all that failed passes at present, and did so too often to be chance.
    #[must_use]
    pub fn are_running(&self) -> bool {
        let Row {
            passes,
            cells,
            strays,
            ..
        } = self.row;
        let fails = f64::from(self.failed) / f64::from((self.failed + self.passed).max(1));
        FOR_A_STRAY * strays <= passes
            && OF_CELLS * cells >= self.failing
            && (1.0 - fails).powf(f64::from(passes)) < BY_CHANCE
    }

    /// Whether something was seen in a pause that is over.
    #[must_use]
    pub fn contain(&self, at: f64) -> bool {
        let begun = self.over.partition_point(|(from, _)| *from <= at);
        self.over[..begun].last().is_some_and(|(_, to)| at < *to)
    }
}
