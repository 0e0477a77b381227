//! Judges a run by what its claims cover, not by what they are called.

use std::collections::BTreeSet;

use super::blame::Blame;
use super::player::{Claim, Playback, Played};
use crate::judge::cells::CellSet;
use crate::judge::rules::RuleBook;
use crate::judge::universe::Universe;
use crate::lab::scenario::{ExpectedVerdict, Scenario};

/// What should have been named.
#[derive(Debug, Clone)]
enum Truth {
    Cells(CellSet),
    Pop {
        pops: Vec<u16>,
        cells: CellSet,
    },
    /// Of one host, if it is named.
    Rate {
        host: Option<u16>,
    },
}

/// The marks of one run.
#[allow(
    clippy::struct_excessive_bools,
    reason = "columns of a table, not states"
)]
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    pub(super) passed: bool,
    pub(super) failures: Vec<String>,
    /// Seconds from the onset.
    pub(super) confirmed_s: Option<f64>,
    /// When the last of the true causes was named.
    pub(super) complete_s: Option<f64>,
    pub(super) in_time: bool,
    /// Something healthy was blamed at some time.
    pub(super) blamed_healthy: bool,
    pub(super) claimed: bool,
    /// Extra requests up to the complete answer.
    pub(super) extra: Option<u32>,
    pub(super) too_many_extra: bool,
    pub(super) first_right: Option<bool>,
    /// `(confidence, right)` of every claim.
    pub(super) claims: Vec<(f64, bool)>,
    pub(super) what: Vec<String>,
}

fn truths(scenario: &Scenario) -> Vec<Truth> {
    let universe = &scenario.universe;
    let set = |cells: &[bool]| CellSet::filter(cells.len(), |c| cells[c]);
    scenario
        .expect
        .causes
        .iter()
        .map(|cause| {
            if let Some(rate) = &cause.rate {
                let host = rate
                    .host
                    .as_ref()
                    .and_then(|h| universe.hosts.iter().position(|x| x == h))
                    .map(|h| h as u16);
                return Truth::Rate { host };
            }
            let when = cause.when.clone().unwrap_or_default();
            let cells = set(&when.cells(universe));
            let Some(pops) = when.pops(universe) else {
                return Truth::Cells(cells);
            };
            let reaches = |c: usize, wanted: bool| {
                let (host, egress) = (universe.host_of(c), universe.cells[c].egress);
                universe.pop_shares.iter().any(|s| {
                    (s.host, s.egress) == (host, egress)
                        && s.share > 0.0
                        && pops.contains(&s.pop) == wanted
                })
            };
            let reached = CellSet::filter(universe.cells.len(), |c| {
                cells.contains(c) && reaches(c, true)
            });
            if reached.iter().any(|c| reaches(c, false)) {
                Truth::Pop {
                    pops,
                    cells: reached,
                }
            } else {
                Truth::Cells(reached)
            }
        })
        .collect()
}

fn matches(truth: &Truth, universe: &Universe, blame: &Blame) -> bool {
    match truth {
        Truth::Cells(cells) => blame.rate.is_none() && blame.cells == *cells,
        Truth::Pop { pops, .. } => blame.pop.is_some_and(|pop| pops.contains(&pop)),
        Truth::Rate { host } => {
            let first = blame.cells.iter().next();
            blame.rate.is_some()
                && host.is_none_or(|host| first.is_some_and(|c| universe.host_of(c) == host))
        }
    }
}

/// Whether a claim covers cells that no true cause touches.
fn blames_healthy(truths: &[Truth], blame: &Blame) -> bool {
    if blame.rate.is_some() {
        return !truths.iter().any(|t| matches!(t, Truth::Rate { .. }));
    }
    let mut touched = blame.cells.minus(&blame.cells);
    for truth in truths {
        match truth {
            Truth::Cells(cells) => touched.add_all(cells),
            Truth::Pop { cells, .. } if blame.pop.is_some() => touched.add_all(cells),
            _ => {}
        }
    }
    !blame.cells.minus(&touched).is_empty()
}

/// Whether the aliases of the truth are of another nature, so that nothing could tell them apart.
pub(super) fn unanswerable(scenario: &Scenario, book: &RuleBook) -> bool {
    truths(scenario).iter().any(|truth| {
        let Truth::Cells(cells) = truth else {
            return false;
        };
        let natures: BTreeSet<_> = book
            .rules
            .iter()
            .filter(|r| {
                r.special.is_none()
                    && r.conditions.len() < 2
                    && book.patterns[r.pattern].cells == *cells
            })
            .map(|r| r.natures)
            .collect();
        natures.len() > 1
    })
}

/// All claims of a run with their incident, in order of time, made after the onset.
fn claims(playback: &Playback) -> Vec<(&Played, &Claim)> {
    let mut all: Vec<(&Played, &Claim)> = playback
        .incidents
        .iter()
        .flat_map(|i| i.claims.iter().map(move |c| (i, c)))
        .filter(|(_, c)| c.claimed_at >= playback.onset)
        .collect();
    all.sort_by(|a, b| a.1.claimed_at.total_cmp(&b.1.claimed_at));
    all
}

/// Judges one run.
pub(super) fn judge(scenario: &Scenario, book: &RuleBook, playback: &Playback) -> Marks {
    let mut marks = Marks::default();
    let universe = &scenario.universe;
    let truths = truths(scenario);
    let claims = claims(playback);
    let onset = playback.onset;
    marks.confirmed_s = playback
        .incidents
        .iter()
        .map(|i| i.opened_at - onset)
        .filter(|s| *s >= 0.0)
        .reduce(f64::min);
    marks.claimed = !claims.is_empty();
    for (_, claim) in &claims {
        let blame = &claim.blame;
        let right = truths.iter().any(|t| matches(t, universe, blame));
        let healthy = blames_healthy(&truths, blame);
        marks.blamed_healthy |= healthy && !right;
        marks.first_right.get_or_insert(right);
        marks.claims.push((claim.confidence, right || !healthy));
        if healthy && !right {
            marks.what.push(super::blame::label(universe, book, blame));
        }
    }
    complete(&mut marks, &truths, universe, &claims, onset);
    let expect = &scenario.expect;
    let mut failures = Vec::new();
    match expect.verdict {
        ExpectedVerdict::None | ExpectedVerdict::Suppressed => {
            if !playback.incidents.is_empty() {
                failures.push("an incident was opened".to_owned());
            }
            if expect.verdict == ExpectedVerdict::Suppressed && playback.suppressed == 0 {
                failures.push("nothing was suppressed".to_owned());
            }
            marks.in_time = failures.is_empty();
        }
        ExpectedVerdict::CannotTell => {
            cannot_tell(scenario, playback, &marks, &mut failures);
            marks.in_time = within(marks.confirmed_s, expect.confirm_within_s);
        }
        ExpectedVerdict::Attributed => {
            attributed(scenario, playback, &marks, &claims, &mut failures);
            marks.in_time = within(marks.confirmed_s, expect.confirm_within_s)
                && within(marks.complete_s, expect.attribute_within_s);
        }
    }
    let allowed = expect.max_extra.unwrap_or(u32::MAX);
    let allowed = allowed.saturating_add(allowed / 2 * (truths.len().max(1) as u32 - 1));
    marks.too_many_extra = marks.extra.is_some_and(|e| e > allowed);
    drift(scenario, playback, &mut failures);
    marks.passed = failures.is_empty();
    marks.in_time &= marks.passed;
    marks.failures = failures;
    marks
}

fn within(value: Option<f64>, limit: Option<f64>) -> bool {
    limit.is_none_or(|limit| value.is_some_and(|v| v <= limit))
}

/// When all true causes were named, singly or as a union.
fn complete(
    marks: &mut Marks,
    truths: &[Truth],
    universe: &Universe,
    claims: &[(&Played, &Claim)],
    onset: f64,
) {
    if truths.is_empty() {
        return;
    }
    let standing: Vec<&Claim> = claims
        .iter()
        .map(|(_, c)| *c)
        .filter(|c| c.withdrawn_at.is_none())
        .collect();
    let mut last: Option<(f64, u32)> = None;
    let mut missing = false;
    for truth in truths {
        match standing.iter().find(|c| matches(truth, universe, &c.blame)) {
            Some(claim) => {
                let extra = claim.extra.max(last.map_or(0, |l| l.1));
                let at = last.map_or(claim.claimed_at, |l| l.0.max(claim.claimed_at));
                last = Some((at, extra));
            }
            None => missing = true,
        }
    }
    if missing {
        last = None;
        let only_cells = truths.iter().all(|t| matches!(t, Truth::Cells(_)));
        if only_cells && let Some(first) = standing.first() {
            let mut named = first.blame.cells.clone();
            for claim in &standing {
                if claim.blame.pop.is_none() && claim.blame.rate.is_none() {
                    named.add_all(&claim.blame.cells);
                }
            }
            let mut wanted = named.minus(&named);
            for truth in truths {
                if let Truth::Cells(cells) = truth {
                    wanted.add_all(cells);
                }
            }
            if named == wanted {
                last = standing.last().map(|c| (c.claimed_at, c.extra));
            }
        }
    }
    marks.complete_s = last.map(|l| l.0 - onset);
    marks.extra = last.map(|l| l.1);
}

fn cannot_tell(
    scenario: &Scenario,
    playback: &Playback,
    marks: &Marks,
    failures: &mut Vec<String>,
) {
    if marks.confirmed_s.is_none() {
        failures.push("no incident was opened".to_owned());
    }
    if marks.claimed {
        failures.push("a cause was named although nothing could tell".to_owned());
    }
    let among: BTreeSet<&str> = playback
        .incidents
        .iter()
        .flat_map(|i| i.among.iter().map(|n| n.as_str()))
        .collect();
    for nature in &scenario.expect.among {
        if !among.contains(nature.as_str()) {
            failures.push(format!("{nature} is not among the alternatives"));
        }
    }
    let missing = playback.incidents.iter().any(|i| i.missing.is_some());
    if scenario.expect.missing.is_some() && !missing {
        failures.push("does not say what is missing".to_owned());
    }
}

fn attributed(
    scenario: &Scenario,
    playback: &Playback,
    marks: &Marks,
    claims: &[(&Played, &Claim)],
    failures: &mut Vec<String>,
) {
    let expect = &scenario.expect;
    if marks.confirmed_s.is_none() {
        failures.push("no incident was opened".to_owned());
    } else if marks.complete_s.is_none() && expect.stands.is_empty() {
        failures.push("not every cause was named".to_owned());
    }
    if marks.blamed_healthy {
        failures.push(format!(
            "something healthy was blamed: {}",
            marks.what.join("; ")
        ));
    }
    for (_, claim) in claims {
        let natures = &claim.blame.natures;
        let forbidden = natures
            .iter()
            .find(|n| expect.forbidden.iter().any(|f| f == n.as_str()));
        if let Some(nature) = forbidden {
            failures.push(format!("{} was blamed", nature.as_str()));
        }
    }
    if expect.intermittent && !claims.iter().any(|(_, c)| c.intermittent) {
        failures.push("not called intermittent".to_owned());
    }
    if !expect.lifecycle.is_empty() {
        let mut steps: Vec<(f64, &str)> = Vec::new();
        for incident in playback
            .incidents
            .iter()
            .filter(|i| i.opened_at >= playback.onset)
        {
            steps.push((incident.opened_at, "opened"));
            steps.extend(incident.recovered_at.map(|at| (at, "recovered")));
        }
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let steps: Vec<&str> = steps.into_iter().map(|s| s.1).collect();
        if steps != expect.lifecycle {
            failures.push(format!("the life was {}", steps.join(", ")));
        }
    }
}

fn drift(scenario: &Scenario, playback: &Playback, failures: &mut Vec<String>) {
    let Some(expected) = &scenario.drift else {
        return;
    };
    let found = playback
        .incidents
        .iter()
        .filter(|i| i.opened_at >= playback.onset)
        .find_map(|i| i.drift.as_ref());
    match (expected.related, found) {
        (false, Some(_)) => failures.push("a change was called related".to_owned()),
        (true, None) => failures.push("no related change was found".to_owned()),
        (true, Some(relation)) => {
            let lead = relation.lead_s / 60.0;
            if expected.lead_min.is_some_and(|m| (m - lead).abs() > 15.0) {
                failures.push(format!("the lead was {lead:.0} min"));
            }
            let kind = relation.drift.kind.as_str();
            if expected.kind.as_deref().is_some_and(|k| k != kind) {
                failures.push(format!("the change was {kind}"));
            }
        }
        (false, None) => {}
    }
}
