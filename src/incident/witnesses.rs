//! Which cell to ask next, so that the explanations part.
//!
//! Every explanation that involves the failing cell is a conjunction of its levels (`matrix`). The
//! best next cell splits the weight of those that still fit most evenly, whichever way it answers:
//! one that differs from the failing cell in one factor, as a rule.

use super::confirm::Group;
use super::matrix::{Matrix, Seen, Spot};
use crate::board::Standing;
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::shared;
use crate::domain::verdict::Kind;

/// Weight that an answer must be able to shift before it is worth a request.
const WORTH: f64 = 0.02;

/// How likely a conjunction is before anything is known: everything, one level, two, more.
fn weight(mask: u8, kind: Kind) -> f64 {
    let network = Group::of(kind) == Group::Network;
    let denied = kind == Kind::OriginDenied;
    match mask {
        0b0000 => 0.30,
        0b0001 if network => 0.06,
        0b0001 => 0.24,
        0b0010 => 0.21,
        0b0100 if denied => 0.40,
        0b0100 => 0.08,
        0b1000 => 0.14,
        mask if mask.count_ones() == 2 => 0.03,
        _ => 0.002,
    }
}

/// What is worth asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// This cell of the host.
    Cell(CellKey),
    /// A control from the egress of the failing cell: is it our network?
    Control,
}

/// The best next question about what makes `trigger` fail; `may_ask` refuses cells for politeness.
#[must_use]
pub fn next(
    matrix: &Matrix,
    trigger: &CellKey,
    may_ask: impl Fn(&CellKey) -> bool,
) -> Option<Question> {
    let fits = matrix.explanations(trigger);
    let weights: Vec<(u8, f64)> = (0u8..16)
        .filter(|mask| fits[usize::from(*mask)])
        .map(|mask| (mask, weight(mask, matrix.kind)))
        .collect();
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    if total <= 0.0 {
        return None;
    }
    let best = matrix
        .spots
        .iter()
        .filter(|spot| spot.state == Seen::Unknown && may_ask(&spot.cell))
        .map(|spot| (value(spot, trigger, &weights, total), spot))
        .filter(|(shift, _)| *shift >= WORTH)
        .reduce(|best, next| if next.0 > best.0 { next } else { best });
    let unseen = matrix.standing.get(&trigger.egress) == Some(&Standing::Unseen);
    if unseen {
        let ours: f64 = weights
            .iter()
            .filter(|(mask, _)| mask & !0b0010 == 0)
            .map(|(_, weight)| weight / total)
            .sum();
        let signed = !matches!(matrix.group(), Group::Network | Group::Tls);
        let ours = if signed { 0.4 * ours } else { ours };
        if ours >= 0.05 && best.is_none_or(|(shift, _)| ours > shift) {
            return Some(Question::Control);
        }
    }
    best.map(|(_, spot)| Question::Cell(spot.cell.clone()))
}

/// How much weight an answer of the cell shifts at least, and how well a person can check it.
///
/// A cell that differs in one factor makes the pair that a person believes at once; each further
/// factor in which it differs leaves a way out. A control is expected to pass whatever happens.
fn value(spot: &Spot, trigger: &CellKey, weights: &[(u8, f64)], total: f64) -> f64 {
    let common = shared(&spot.cell, trigger);
    let failing: f64 = weights
        .iter()
        .filter(|(mask, _)| common & mask == *mask)
        .map(|(_, weight)| weight)
        .sum();
    let share = failing / total;
    let differs = 4 - common.count_ones();
    let plain = 0.5f64.powi(differs.saturating_sub(1).cast_signed());
    let shift = share.min(1.0 - share) * plain * if spot.control { 1.1 } else { 1.0 };
    // Rounded, so that the order of the file decides between equals and not the last bit.
    (shift * 1e9).round() / 1e9
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::cell::CredentialName;

    fn cell(name: &str) -> CellKey {
        let (egress, client) = name.split_once(' ').unwrap();
        CellKey {
            probe: "p".into(),
            egress: egress.into(),
            client: client.into(),
            credential: CredentialName::anonymous(),
        }
    }

    /// `seen` lists cells as `e1 c1 bad, e1 c2 good`; the rest of two egresses by three clients is unknown.
    fn check(name: &str, kind: Kind, seen: &str, expected: &str) {
        let state = |cell: &str| {
            let said = seen.split(", ").find_map(|line| line.strip_prefix(cell));
            match said.map(str::trim) {
                Some("bad") => Seen::Failing { kind, mixed: false },
                Some(_) => Seen::Passing { passes: 1 },
                None => Seen::Unknown,
            }
        };
        let names = ["e1 c1", "e1 c2", "e1 plain", "e2 c1", "e2 c2", "e2 plain"];
        let matrix = Matrix {
            spots: names
                .iter()
                .map(|name| Spot {
                    cell: cell(name),
                    control: name.ends_with("plain"),
                    state: state(name),
                })
                .collect(),
            standing: BTreeMap::from([("e1".into(), Standing::Unseen)]),
            kind,
        };
        let asked = match next(&matrix, &cell("e1 c1"), |_| true) {
            Some(Question::Cell(cell)) => format!("{} {}", cell.egress, cell.client),
            Some(Question::Control) => "control".to_owned(),
            None => "nothing".to_owned(),
        };
        assert_eq!(asked, expected, "{name}");
    }

    #[test]
    fn asks_what_parts_the_explanations() {
        let block = Kind::EdgeBlock;
        check("another client first", block, "e1 c1 bad", "e1 plain");
        check(
            "then whether it is that client everywhere",
            block,
            "e1 c1 bad, e1 plain good",
            "e2 c1",
        );
        check(
            "then nothing is open",
            block,
            "e1 c1 bad, e1 plain good, e2 c1 bad",
            "nothing",
        );
        check(
            "every client of one address: the other address",
            block,
            "e1 c1 bad, e1 plain bad",
            "e2 c1",
        );
        check(
            "a timeout: our network first",
            Kind::Timeout,
            "e1 c1 bad",
            "control",
        );
    }
}
