//! Whether work could move to an address that is not in the file yet: one round, read for that address alone.
//!
//! Partners list addresses. One that has never been seen there may be refused for everybody, or for clients that pass
//! from the old ones; both are better known before work moves.

use std::collections::BTreeSet;

use super::trial::{Outcome, Place, place, reasons};
use crate::board::events::Judged;
use crate::domain::cell::{ClientName, EgressName};
use crate::words::terms;

/// What one round says about an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub outcome: Outcome,
    pub passes_as: Vec<ClientName>,
    pub fails_as: Vec<ClientName>,
    /// Would it pass, and as whom.
    pub sentence: String,
}

/// Reads the round for requests from `egress`; `dark` is what nothing came through, controls' places are left out.
#[must_use]
pub fn read(
    round: &[Judged],
    dark: &BTreeSet<EgressName>,
    egress: &EgressName,
    probe: &str,
) -> Move {
    let own = |judged: &&Judged| judged.observation.cell.probe.as_str() == probe;
    let here = round.iter().filter(own);
    let here = here.filter(|judged| judged.observation.cell.egress == *egress);
    let met: Vec<(&ClientName, Place)> = here
        .map(|judged| (&judged.observation.cell.client, place(round, dark, judged)))
        .collect();
    let of = |outcome: Outcome| -> Vec<&(&ClientName, Place)> {
        met.iter()
            .filter(|(_, place)| place.outcome == outcome)
            .collect()
    };
    let (good, bad, unknown) = (
        of(Outcome::Passes),
        of(Outcome::Fails),
        of(Outcome::Unknown),
    );
    let mut text = match (good.as_slice(), bad.as_slice()) {
        ([], []) => format!("Can't tell whether requests from {egress} would pass."),
        (_, []) => format!("Requests from {egress} would pass, as {}.", names(&good)),
        ([], _) => format!(
            "Requests from {egress} would not pass: {}, as {}.",
            reasons(bad.iter().map(|(_, place)| place)),
            names(&bad)
        ),
        _ => format!(
            "Requests from {egress} would pass as {}, but not as {}: {}.",
            names(&good),
            names(&bad),
            reasons(bad.iter().map(|(_, place)| place))
        ),
    };
    if !bad.is_empty() {
        let passes_elsewhere = |client: &ClientName| {
            round.iter().filter(own).any(|judged| {
                let cell = &judged.observation.cell;
                cell.client == *client && cell.egress != *egress && judged.verdict.passed()
            })
        };
        let all = bad.iter().all(|(client, _)| passes_elsewhere(client));
        let none = !bad.iter().any(|(client, _)| passes_elsewhere(client));
        text.push_str(if all {
            " From the addresses of the file the same passes, so it is the new one that is refused: ask for it before work moves there."
        } else if none {
            " From the addresses of the file the same fails too, so it is not the new one alone."
        } else {
            ""
        });
    }
    if !unknown.is_empty() {
        text.push_str(" Our own side fails in part, so that says nothing about the rest.");
    }
    let clients = |those: &[&(&ClientName, Place)]| {
        let mut names: Vec<ClientName> = those.iter().map(|(name, _)| (*name).clone()).collect();
        names.dedup();
        names
    };
    Move {
        outcome: if !bad.is_empty() {
            Outcome::Fails
        } else if met.is_empty() || !unknown.is_empty() {
            Outcome::Unknown
        } else {
            Outcome::Passes
        },
        passes_as: clients(&good),
        fails_as: clients(&bad),
        sentence: text,
    }
}

fn names(those: &[&(&ClientName, Place)]) -> String {
    let mut names: Vec<String> = those.iter().map(|(name, _)| format!("`{name}`")).collect();
    names.dedup();
    terms::list(&names, "and")
}
