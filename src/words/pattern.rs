//! What failing cells have in common when no single level explains them.

use super::terms;
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::{FACTORS, Level, level, shared};

/// What failing cells have in common when no single level explains them, if anything.
#[must_use]
pub fn pattern(failing: &[CellKey], passing: &[CellKey]) -> Option<String> {
    let first = failing.first()?;
    if passing.is_empty() {
        return None;
    }
    let fits = |mask: u8| {
        let covers = |cell: &CellKey| shared(cell, first) & mask == mask;
        failing.iter().all(covers) && !passing.iter().any(covers)
    };
    let mut together = (0u8..16).filter(|mask| mask.count_ones() == 2 && fits(*mask));
    if let (Some(mask), None) = (together.next(), together.next()) {
        let names: Vec<String> = (0..4)
            .filter(|bit| mask & (1 << bit) != 0)
            .map(|bit| terms::level(&level(first, FACTORS[bit])))
            .collect();
        return Some(format!("only {} together fail", terms::list(&names, "and")));
    }
    for factor in FACTORS {
        let mut levels: Vec<Level> = failing.iter().map(|cell| level(cell, factor)).collect();
        levels.sort();
        levels.dedup();
        let passes = |level: &Level| passing.iter().any(|cell| level.covers(cell));
        if levels.len() > 1 && !levels.iter().any(passes) {
            let names: Vec<String> = levels.iter().map(terms::level).collect();
            return Some(format!(
                "all that ran with {} fails, and nothing else does",
                terms::list(&names, "or")
            ));
        }
    }
    None
}
