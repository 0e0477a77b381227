//! From the verdicts of a host's cells to what they hang on.
//!
//! Simple, and true: a single level is named only when every run agrees with it, runs on both sides
//! were seen, and no other single level fits. Whatever the configuration can't tell apart is said to be
//! so, with what would tell. The partner is never blamed for what our own network may have done.

use std::collections::HashMap;

use super::confirm::Group;
use super::matrix::{Matrix, Spot};
use super::witnesses::{self, Question};
use crate::board::Standing;
use crate::domain::cell::{CellKey, EgressName};
use crate::domain::diagnosis::{Cause, Diagnosis, Level, RuledOut};
use crate::domain::diagnosis::{FACTORS, level, shared};
use crate::domain::verdict::{Factor, Kind};
use crate::words::terms;

/// How often a claim is right, by what carries it.
///
/// Between the lines lie what the evaluation of a far more careful method reached with all witnesses
/// (98.6 %), and what naming the common level of the red cells reached without (under 50 %).
mod confidence {
    /// One level; a passing twin, and failures at two levels of every other factor.
    pub(super) const WITNESSED: f64 = 0.99;
    /// The same of kinds that networks produce by chance.
    pub(super) const WITNESSED_WEAK: f64 = 0.97;
    /// One level, without a twin that differs in it alone.
    pub(super) const NO_TWIN: f64 = 0.85;
    /// One level, but only together with one level of another factor.
    pub(super) const NARROW: f64 = 0.8;
    /// One egress whose own network nothing vouches for.
    pub(super) const UNVOUCHED: f64 = 0.6;
    /// Everything; all levels failed, and something else passes.
    pub(super) const EVERYTHING: f64 = 0.97;
    /// Everything; not every level ran.
    pub(super) const MOST: f64 = 0.9;
    /// Everything; nothing vouches for our network, but an answer came.
    pub(super) const ANSWERED: f64 = 0.85;
    /// The fault comes and goes: a pass may be luck.
    pub(super) const INTERMITTENT: f64 = 0.9;
    pub(super) const OUR_NETWORK: f64 = 0.99;
    /// Our network, by one control alone.
    pub(super) const ONE_CONTROL: f64 = 0.9;
}

/// Explains the matrix; `trigger` is the cell whose failure raised the question.
#[must_use]
pub fn diagnose(matrix: &Matrix, trigger: &CellKey) -> Diagnosis {
    let trigger = matrix
        .failing()
        .map(|spot| &spot.cell)
        .find(|cell| *cell == trigger)
        .or_else(|| matrix.failing().map(|spot| &spot.cell).next())
        .unwrap_or(trigger);
    let fits = matrix.explanations(trigger);
    let singles: Vec<Level> = (0..4)
        .filter(|bit| fits[1 << bit])
        .map(|bit| level(trigger, FACTORS[bit]))
        .collect();
    let mut found = if matrix.failing().next().is_none() {
        Found::unknown(Vec::new(), None)
    } else if matrix.passing().next().is_none() {
        everything(matrix, trigger)
    } else if let [level] = singles.as_slice() {
        single(matrix, trigger, level)
    } else if singles.is_empty() {
        Found::unknown(Vec::new(), would_tell(matrix, trigger, &[]))
    } else {
        let tells = would_tell(matrix, trigger, &singles);
        Found::unknown(singles, tells)
    };
    if matrix.intermittent() {
        found.confidence = found.confidence.min(confidence::INTERMITTENT);
    }
    let ruled_out = ruled_out(matrix, &found.cause);
    Diagnosis {
        cause: found.cause,
        confidence: found.confidence,
        fails: None,
        failing: matrix.failing().map(|spot| spot.cell.clone()).collect(),
        passing: matrix.passing().map(|spot| spot.cell.clone()).collect(),
        ruled_out,
        would_tell: found.would_tell,
    }
}

/// The diagnosis when controls fail or requests can't even leave.
#[must_use]
pub fn our_network(
    egresses: Vec<EgressName>,
    failing: Vec<CellKey>,
    passing: Vec<CellKey>,
) -> Diagnosis {
    let mut probes: Vec<_> = failing.iter().map(|cell| &cell.probe).collect();
    probes.sort();
    probes.dedup();
    let confidence = if probes.len() > 1 || !passing.is_empty() {
        confidence::OUR_NETWORK
    } else {
        confidence::ONE_CONTROL
    };
    Diagnosis {
        cause: Cause::OurNetwork { egresses },
        confidence,
        fails: None,
        failing,
        passing,
        ruled_out: Vec::new(),
        would_tell: None,
    }
}

/// A cause, how sure, and what would make it surer.
struct Found {
    cause: Cause,
    confidence: f64,
    would_tell: Option<String>,
}

impl Found {
    fn unknown(among: Vec<Level>, would_tell: Option<String>) -> Self {
        Self {
            cause: Cause::Unknown { among },
            confidence: 0.0,
            would_tell,
        }
    }
}

/// Every cell that ran fails: is it everybody, or just all that we have?
fn everything(matrix: &Matrix, trigger: &CellKey) -> Found {
    if let Some(doubt) = our_side_doubt(matrix, trigger) {
        return Found::unknown(Vec::new(), Some(doubt));
    }
    let (mut among, mut complete, mut lacking) = (Vec::new(), true, Vec::new());
    for factor in FACTORS {
        let configured = matrix.levels(factor, |_| true);
        let failing = matrix.levels(factor, Spot::failing);
        complete &= failing.len() == configured.len();
        if failing.len() >= 2 {
            continue;
        }
        if configured.len() >= 2 {
            among.extend(failing);
        } else if may_hang_on(matrix.kind, &configured[0]) {
            among.extend(failing);
            lacking.push(factor);
        }
    }
    if !among.is_empty() {
        let tells = would_tell(matrix, trigger, &among).or_else(|| add_level(&lacking));
        return Found::unknown(among, tells);
    }
    let vouched = matrix.failing().any(|spot| vouched(matrix, &spot.cell));
    let confidence = match (vouched, complete) {
        (true, true) => confidence::EVERYTHING,
        (true, false) => confidence::MOST,
        (false, _) => confidence::ANSWERED,
    };
    Found {
        cause: Cause::Everything,
        confidence,
        would_tell: None,
    }
}

/// Whether a refusal of this kind could hang on a factor that has only this one level.
fn may_hang_on(kind: Kind, level: &Level) -> bool {
    match level {
        Level::Egress(_) => match Group::of(kind) {
            Group::Edge | Group::Denied | Group::Tls => true,
            Group::Network => kind != Kind::DnsError,
            Group::Origin | Group::Fine => false,
        },
        Level::Client(_) => {
            matches!(Group::of(kind), Group::Edge | Group::Denied | Group::Tls)
        }
        Level::Credential(name) => Group::of(kind) == Group::Denied && !name.is_anonymous(),
        _ => false,
    }
}

/// Why the partner may not be blamed yet, if so: nothing shows that our own network works.
fn our_side_doubt(matrix: &Matrix, trigger: &CellKey) -> Option<String> {
    let network = matches!(matrix.group(), Group::Network | Group::Tls);
    let mut doubt = None;
    for spot in matrix.failing() {
        match matrix.standing.get(&spot.cell.egress) {
            Some(Standing::Down { .. }) => {
                doubt = Some(
                    "a control that passes; now they fail too, so look at your own network first"
                        .to_owned(),
                );
            }
            Some(Standing::Contradicted) if network => {
                doubt = Some(
                    "a control that passes; now they fail too, while another host answers"
                        .to_owned(),
                );
            }
            Some(Standing::Unseen) if network => {
                doubt = Some(format!(
                    "a run of a control from egress `{}`",
                    spot.cell.egress
                ));
            }
            Some(Standing::Alone) | None if network => {
                doubt = Some(format!(
                    "a probe of another host under `controls:`; nothing else is probed from egress `{}`",
                    trigger.egress
                ));
            }
            _ => return None,
        }
    }
    doubt
}

/// Whether something shows that the network between this cell's egress and the world works.
fn vouched(matrix: &Matrix, cell: &CellKey) -> bool {
    let standing = matrix.standing.get(&cell.egress);
    matches!(standing, Some(Standing::Fine(_) | Standing::OthersPass))
        || matrix.passing().any(|spot| spot.cell.egress == cell.egress)
}

/// Exactly the cells with one level fail.
fn single(matrix: &Matrix, trigger: &CellKey, level: &Level) -> Found {
    let network = matches!(matrix.group(), Group::Network | Group::Tls);
    let twin = twin(matrix, level.factor());
    let narrow = FACTORS
        .into_iter()
        .filter(|factor| *factor != level.factor())
        .any(|factor| {
            let could = matrix.levels(factor, |spot| level.covers(&spot.cell));
            let failing = matrix.levels(factor, Spot::failing);
            could.len() > 1 && failing.len() < 2
        });
    let unvouched = network && !matrix.failing().any(|spot| vouched(matrix, &spot.cell));
    let confidence = if unvouched {
        confidence::UNVOUCHED
    } else if narrow {
        confidence::NARROW
    } else if twin.is_none() {
        confidence::NO_TWIN
    } else if network {
        confidence::WITNESSED_WEAK
    } else {
        confidence::WITNESSED
    };
    let would_tell = if unvouched {
        our_side_doubt(matrix, trigger)
    } else if narrow {
        would_tell(matrix, trigger, std::slice::from_ref(level))
    } else {
        None
    };
    Found {
        cause: Cause::Level(level.clone()),
        confidence,
        would_tell,
    }
}

/// A failing and a passing cell that differ in this factor alone.
#[must_use]
pub fn twin(matrix: &Matrix, factor: Factor) -> Option<(CellKey, CellKey)> {
    let without = |cell: &CellKey| {
        let rest = FACTORS.into_iter().filter(|f| *f != factor);
        rest.map(|f| level(cell, f)).collect::<Vec<Level>>()
    };
    let mut passing: HashMap<Vec<Level>, &CellKey> = HashMap::new();
    for spot in matrix.passing() {
        passing.entry(without(&spot.cell)).or_insert(&spot.cell);
    }
    matrix.failing().find_map(|bad| {
        let good = passing.get(&without(&bad.cell))?;
        Some((bad.cell.clone(), (*good).clone()))
    })
}

/// A failing and a passing cell with one level of this factor in common, alike in the rest if possible.
fn sharing(matrix: &Matrix, factor: Factor) -> Option<(CellKey, CellKey)> {
    let mut others = FACTORS.into_iter().filter(|f| *f != factor);
    let close = others.find_map(|other| twin(matrix, other));
    close.or_else(|| {
        let mut passing: HashMap<Level, &CellKey> = HashMap::new();
        for spot in matrix.passing() {
            let level = level(&spot.cell, factor);
            passing.entry(level).or_insert(&spot.cell);
        }
        matrix.failing().find_map(|bad| {
            let good = passing.get(&level(&bad.cell, factor))?;
            Some((bad.cell.clone(), (*good).clone()))
        })
    })
}

/// The request, or the lack of one in the configuration, that parts what still fits.
fn would_tell(matrix: &Matrix, trigger: &CellKey, among: &[Level]) -> Option<String> {
    let several = matrix.levels(Factor::Endpoint, |_| true).len() > 1;
    match witnesses::next(matrix, trigger, |_| true) {
        Some(Question::Cell(cell)) => Some(format!("a run of {}", terms::request(&cell, several))),
        Some(Question::Control) => Some(format!(
            "a run of a control from egress `{}`",
            trigger.egress
        )),
        None if among.len() > 1 => {
            let names: Vec<String> = among.iter().map(terms::level).collect();
            Some(format!(
                "a cell with only one of {}; none is configured",
                terms::list(&names, "and")
            ))
        }
        None => None,
    }
}

/// With one level of a factor, "this one" and "everybody" have the same cells.
fn add_level(lacking: &[Factor]) -> Option<String> {
    let names: Vec<String> = lacking
        .iter()
        .map(|factor| match factor {
            Factor::Client => "a second client".to_owned(),
            Factor::Credential => "a second credential".to_owned(),
            Factor::Endpoint => "a second probe of this host".to_owned(),
            _ => "a second egress".to_owned(),
        })
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} in the configuration; with only one, it and “everybody” have the same cells",
            terms::list(&names, "and")
        )
    })
}

/// What it is not, each with the runs that show it.
fn ruled_out(matrix: &Matrix, cause: &Cause) -> Vec<RuledOut> {
    let mut list = Vec::new();
    let named = match cause {
        Cause::Level(level) => Some(level.factor()),
        _ => None,
    };
    let best = named.and_then(|factor| twin(matrix, factor));
    for (bit, factor) in FACTORS.into_iter().enumerate() {
        if Some(factor) == named {
            continue;
        }
        let configured = matrix.levels(factor, |_| true);
        if factor == Factor::Endpoint && configured.len() == 1 {
            continue;
        }
        let failing = matrix.levels(factor, Spot::failing);
        let nameless = |level: &Level| matches!(level, Level::Credential(n) if n.is_anonymous());
        if failing.iter().all(nameless) {
            continue;
        }
        if *cause == Cause::Everything {
            if failing.len() > 1 {
                list.push(fails_alike(matrix, factor, &failing));
            }
            continue;
        }
        // A level with which nothing passes may still be the cause, unless another one is named.
        let passing = matrix.levels(factor, Spot::passing);
        if !failing.iter().all(|level| passing.contains(level)) && named.is_none() {
            continue;
        }
        let has = 1u8 << bit;
        let shown = best
            .clone()
            .filter(|(bad, good)| shared(bad, good) & has != 0)
            .or_else(|| sharing(matrix, factor));
        if let Some((bad, good)) = shown {
            list.push(passes_as_well(matrix, factor, bad, good));
        }
    }
    let control = matrix.failing().find_map(|spot| {
        let standing = matrix.standing.get(&spot.cell.egress);
        match standing {
            Some(Standing::Fine(control)) => Some((spot.cell.clone(), control.clone())),
            _ => None,
        }
    });
    if let Some((bad, good)) = control {
        list.push(RuledOut {
            factor: Factor::Egress,
            because: format!(
                "not your network: control `{}` passes from egress `{}`",
                good.probe, good.egress
            ),
            failing: Some(bad),
            passing: Some(good),
        });
    }
    list
}

fn fails_alike(matrix: &Matrix, factor: Factor, failing: &[Level]) -> RuledOut {
    let names: Vec<String> = failing.iter().map(terms::level).collect();
    RuledOut {
        factor,
        because: format!(
            "not {}: {} fail alike",
            terms::factor(factor),
            terms::list(&names, "and")
        ),
        failing: matrix.failing().next().map(|spot| spot.cell.clone()),
        passing: None,
    }
}

fn passes_as_well(matrix: &Matrix, factor: Factor, bad: CellKey, good: CellKey) -> RuledOut {
    let several = matrix.levels(Factor::Endpoint, |_| true).len() > 1;
    let shared_level = terms::level(&level(&good, factor));
    let other: Vec<String> = FACTORS
        .into_iter()
        .filter(|f| level(&bad, *f) != level(&good, *f))
        .filter(|f| several || *f != Factor::Endpoint)
        .map(|f| terms::level(&level(&good, f)))
        .collect();
    RuledOut {
        factor,
        because: format!(
            "not {}: {shared_level} passes with {}",
            terms::factor(factor),
            terms::list(&other, "and")
        ),
        failing: Some(bad),
        passing: Some(good),
    }
}

#[cfg(test)]
mod tests;
