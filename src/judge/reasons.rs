//! Why a cause was named: the pairs of runs that speak for it, and those that rule others out.
//!
//! A person believes a pair of requests that differ in one thing, not a probability. Contrasts show
//! that the blamed level makes the difference; failing pairs that differ in another factor show that
//! this one makes none.

use super::engine::Engine;
use super::episode::Cause;
use super::evidence::Record;
use crate::judge::universe::{Axis, Universe};

/// A run: which cell, and when (seconds).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    pub cell: usize,
    pub at: f64,
}

/// Two runs that differ in one factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    pub axis: Axis,
    pub failing: Run,
    pub other: Run,
    /// Whether the other run passed; else it failed as well.
    pub passed: bool,
}

/// What speaks for a cause, and what is ruled out by it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reasons {
    /// For each blamed factor: the same request with another level passed.
    pub contrasts: Vec<Pair>,
    /// For each other factor: the request failed with two of its levels.
    pub ruled_out: Vec<Pair>,
    /// The blamed level passes outside the scope.
    pub elsewhere: Option<Run>,
}

/// Passes this long before the onset still count as a contrast, seconds.
const BEFORE_S: f64 = 600.0;
/// Runs of each side that are compared, from the onset on; a long incident has thousands that say the same.
const RUNS_MAX: usize = 400;

impl Engine {
    /// The runs that carry a cause.
    #[must_use]
    pub fn reasons(&self, cause: &Cause) -> Reasons {
        let rule = &self.book.rules[cause.rule];
        let pattern = self.book.pattern(cause.rule);
        let recent: Vec<&Record> = self
            .history
            .iter()
            .filter(|r| r.at >= cause.onset - BEFORE_S)
            .collect();
        let matching = |r: &Record| pattern.matches(&r.traits);
        let failing: Vec<&Record> = recent
            .iter()
            .copied()
            .filter(|r| r.class.failed() && r.at >= cause.onset && matching(r))
            .take(RUNS_MAX)
            .collect();
        let passing: Vec<&Record> = recent
            .iter()
            .copied()
            .filter(|r| !r.class.failed() && !matching(r))
            .take(RUNS_MAX)
            .collect();
        let blamed: Vec<Axis> = rule.conditions.iter().map(|c| c.axis()).collect();
        let mut out = Reasons::default();
        for axis in Axis::ALL {
            if blamed.contains(&axis) {
                out.contrasts
                    .extend(closest(&self.universe, axis, &failing, &passing, true));
            } else if axis != Axis::Endpoint {
                out.ruled_out
                    .extend(closest(&self.universe, axis, &failing, &failing, false));
            }
        }
        out.elsewhere = passing
            .iter()
            .rev()
            .find(|r| {
                r.at >= cause.onset
                    && !rule.scope.matches(&self.universe, r.cell())
                    && rule
                        .conditions
                        .iter()
                        .all(|c| c.matches(&self.universe, r.cell()))
            })
            .map(|r| run(r));
        out
    }
}

fn run(record: &Record) -> Run {
    Run {
        cell: record.cell(),
        at: record.at,
    }
}

/// The two runs closest in time whose cells differ in one factor only.
fn closest(
    universe: &Universe,
    axis: Axis,
    failing: &[&Record],
    others: &[&Record],
    passed: bool,
) -> Option<Pair> {
    let differ_only = |a: usize, b: usize| {
        let (a, b) = (&universe.cells[a], &universe.cells[b]);
        Axis::ALL
            .iter()
            .all(|x| (a.level(*x) == b.level(*x)) == (*x != axis))
    };
    failing
        .iter()
        .flat_map(|f| others.iter().map(move |o| (*f, *o)))
        .filter(|(f, o)| differ_only(f.cell(), o.cell()))
        .min_by(|a, b| (a.0.at - a.1.at).abs().total_cmp(&(b.0.at - b.1.at).abs()))
        .map(|(f, o)| Pair {
            axis,
            failing: run(f),
            other: run(o),
            passed,
        })
}

/// A pair in words: "the same request as `okhttp` passed 4 s later".
#[must_use]
pub fn sentence(universe: &Universe, pair: &Pair) -> String {
    let cell = &universe.cells[pair.other.cell];
    let name = universe.name(pair.axis, cell.level(pair.axis));
    let how = match pair.axis {
        Axis::Client => format!("as `{name}`"),
        Axis::Egress => format!("from `{name}`"),
        Axis::Credential => format!("with `{name}`"),
        Axis::Version => {
            let number = name.starts_with(|c: char| c.is_ascii_digit());
            format!("over {}{name}", if number { "HTTP/" } else { "" })
        }
        Axis::Endpoint => format!("to `{name}`"),
    };
    let result = if pair.passed { "passed" } else { "failed too" };
    let gap = pair.other.at - pair.failing.at;
    let when = if gap < 0.0 { "before" } else { "later" };
    format!(
        "the same request {how} {result} {:.0} s {when}",
        gap.abs().max(1.0)
    )
}
