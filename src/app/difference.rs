//! What a new plan changes, in a line for the log and for `edgewatch status`.
//!
//! Names, never values: what is behind a name may be a secret.

use std::fmt::Debug;

use crate::domain::plan::Plan;

/// Names that are told of one kind of change; more are counted.
const NAMES_TOLD: usize = 5;

/// Each part of the file that differs: `probes: ledger added, health removed`; first how many cells there are.
#[must_use]
pub(super) fn difference(before: &Plan, now: &Plan) -> Vec<String> {
    let (were, are) = (before.cells().count(), now.cells().count());
    let more = match are.cmp(&were) {
        std::cmp::Ordering::Greater => format!(", {} more", are - were),
        std::cmp::Ordering::Less => format!(", {} fewer", were - are),
        std::cmp::Ordering::Equal => String::new(),
    };
    let mut told = vec![format!(
        "{are} {}{more}",
        if are == 1 { "cell" } else { "cells" }
    )];
    let parts = [
        named(
            "probes",
            &before.probes,
            &now.probes,
            |p| p.name.as_str(),
            printed,
        ),
        named(
            "clients",
            &before.clients,
            &now.clients,
            |c| c.name.as_str(),
            printed,
        ),
        named(
            "egresses",
            &before.egresses,
            &now.egresses,
            |e| e.name.as_str(),
            PartialEq::ne,
        ),
        named(
            "credentials",
            &before.credentials,
            &now.credentials,
            |c| c.name.as_str(),
            PartialEq::ne,
        ),
        named(
            "receivers",
            &before.receivers,
            &now.receivers,
            |r| r.name.as_str(),
            PartialEq::ne,
        ),
        named(
            "maintenance",
            &before.maintenance,
            &now.maintenance,
            |m| m.name.as_str(),
            printed,
        ),
        named(
            "signatures",
            &before.signatures,
            &now.signatures,
            |s| s.name.as_str(),
            printed,
        ),
    ];
    told.extend(parts.into_iter().flatten());
    let rest = [
        ("service", before.service != now.service),
        ("timezone", before.zone != now.zone),
        ("politeness", before.politeness != now.politeness),
        ("incidents", before.incidents != now.incidents),
        ("notify.routes", before.routes != now.routes),
        ("trust", before.trust != now.trust),
        ("name_servers", before.name_servers != now.name_servers),
        (
            "runs_in_flight",
            before.runs_in_flight_max != now.runs_in_flight_max,
        ),
        ("listen", before.listen != now.listen),
        ("heartbeat", before.heartbeat != now.heartbeat),
    ];
    let rest = rest.iter().filter(|(_, differs)| *differs);
    told.extend(rest.map(|(what, _)| format!("{what} changed")));
    if told.len() == 1 && are == were {
        told.push("nothing changed".to_owned());
    }
    told
}

/// A secret that changed can't be seen in a printed form, which has a blank in its place: of what holds one, ask itself.
fn printed<T: Debug>(old: &T, new: &T) -> bool {
    format!("{old:?}") != format!("{new:?}")
}

/// `probes: q added, p changed`; `None`: they are the same.
fn named<T>(
    what: &str,
    before: &[T],
    now: &[T],
    name: impl Fn(&T) -> &str,
    differs: impl Fn(&T, &T) -> bool,
) -> Option<String> {
    let changed = now.iter().filter(|new| {
        let mut old = before.iter();
        old.any(|old| name(old) == name(new) && differs(old, new))
    });
    let changed: Vec<String> = changed.map(|new| name(new).to_owned()).collect();
    let lacks = |those: &[T], one: &str| !those.iter().any(|it| name(it) == one);
    let only = |these: &[T], those: &[T]| -> Vec<String> {
        let names = these.iter().map(&name);
        names
            .filter(|one| lacks(those, one))
            .map(str::to_owned)
            .collect()
    };
    let parts = [
        (only(now, before), "added"),
        (only(before, now), "removed"),
        (changed, "changed"),
    ];
    let parts = parts.into_iter().filter(|(names, _)| !names.is_empty());
    let parts: Vec<String> = parts
        .map(|(names, how)| format!("{} {how}", listed(&names)))
        .collect();
    (!parts.is_empty()).then(|| format!("{what}: {}", parts.join(", ")))
}

/// `a, b and 3 more`.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_TOLD).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_TOLD) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Remembered};
    use std::collections::BTreeMap;

    fn plan(token: &str, rest: &str) -> Plan {
        let text = format!(
            "version: 1\nservice: GMC\nclients: {{ a: x/1, b: y/1 }}\ncredentials: {{ k: {{ t: {{ env: T }} }} }}\n{rest}"
        );
        let env = BTreeMap::from([("T".to_owned(), token.to_owned())]);
        let inputs = Remembered {
            env: &env,
            files: &BTreeMap::new(),
        };
        config::read(&text, "probes.yaml", &inputs).unwrap().plan
    }

    #[test]
    fn each_part_that_differs_is_named() {
        let one = "probes:\n  p: { url: https://a.example/, every: 5m, with: k }\n";
        let check = |name: &str, now: &Plan, expected: &[&str]| {
            assert_eq!(difference(&plan("one", one), now), expected, "{name}");
        };
        check(
            "the same",
            &plan("one", one),
            &["2 cells", "nothing changed"],
        );
        check(
            "a secret of another value",
            &plan("two", one),
            &["2 cells", "credentials: k changed"],
        );
        check(
            "probes come, go and change",
            &plan(
                "one",
                "probes:\n  p: { url: https://a.example/, every: 1m, with: k }\n  q: { url: https://a.example/, every: 1m, as: a }\n",
            ),
            &["3 cells, 1 more", "probes: q added, p changed"],
        );
        check(
            "receivers and what has no names",
            &plan(
                "one",
                &format!(
                    "incidents: {{ remind: 2h }}\nnotify: {{ receivers: {{ r: {{ log: {{}} }} }} }}\n{one}"
                ),
            ),
            &[
                "2 cells",
                "receivers: r added, log removed",
                "incidents changed",
                "notify.routes changed",
            ],
        );
    }
}
