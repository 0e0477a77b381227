//! Which request would tell most?
//!
//! The expected information of asking a cell is how uncertain its outcome is now, less how uncertain it
//! would still be if one knew the cause. A cell on which the explanations agree is worth nothing.

use super::evidence::Evidence;
use super::posterior::{Posterior, Search};
use super::rules::{RuleBook, Special};
use crate::judge::universe::Universe;

/// Failure rate of a request that no cause hits.
const HEALTHY: f64 = 0.004;
/// We ask slowly, so a cause that hangs on our rate seldom strikes.
const WHILE_QUIET: f64 = 0.05;
/// An explanation below this probability changes no decision.
const NEGLIGIBLE: f64 = 1e-4;
/// Each time a cell has been asked, it is worth this much less.
const STALE: f64 = 0.5;
/// The control client is only asked when it really tells more.
const CONTROL_COSTS: f64 = 1e-4;

/// Bits of uncertainty of a yes-or-no outcome.
fn entropy(p: f64) -> f64 {
    let p = p.clamp(1e-9, 1.0 - 1e-9);
    -(p * p.log2() + (1.0 - p) * (1.0 - p).log2())
}

/// The cell worth most bits, if any is worth `least`.
pub fn best(
    (universe, book): (&Universe, &RuleBook),
    (search, evidence, posterior): (&Search, &Evidence, &Posterior),
    cells: impl Iterator<Item = usize>,
    asked: impl Fn(usize) -> u32,
    least: f64,
) -> Option<(usize, f64)> {
    let total: f64 = posterior.explanations.iter().map(|e| e.probability).sum();
    let heard: Vec<(f64, Vec<(usize, f64)>)> = posterior
        .explanations
        .iter()
        .filter(|e| e.probability > NEGLIGIBLE)
        .map(|e| {
            let rates = e
                .rules()
                .iter()
                .map(|r| (*r, search.rate(&evidence.tallies[book.rules[*r].pattern])))
                .collect();
            (e.probability / total, rates)
        })
        .collect();
    let mut best: Option<(usize, f64)> = None;
    for cell in cells {
        let (mut fails, mut known) = (0.0, 0.0);
        let (mut last, mut last_entropy) = (HEALTHY, entropy(HEALTHY));
        for (probability, rates) in &heard {
            let mut fail = HEALTHY;
            for (rule, rate) in rates {
                let pattern = book.pattern(*rule);
                if pattern.cells.contains(cell) {
                    let share = match pattern.special {
                        None => 1.0,
                        Some(Special::Rate { .. }) => WHILE_QUIET,
                        Some(Special::Pop(pop)) => universe.pop_share(
                            universe.host_of(cell),
                            universe.cells[cell].egress,
                            pop,
                        ),
                    };
                    fail = f64::max(fail, rate * share);
                }
            }
            if (fail - last).abs() > 1e-12 {
                (last, last_entropy) = (fail, entropy(fail));
            }
            fails += probability * fail;
            known += probability * last_entropy;
        }
        let mut bits = (entropy(fails) - known) * STALE.powi(asked(cell) as i32);
        if universe.is_control(cell) {
            bits -= CONTROL_COSTS;
        }
        if bits >= least && best.is_none_or(|(_, b)| bits > b) {
            best = Some((cell, bits));
        }
    }
    best
}
