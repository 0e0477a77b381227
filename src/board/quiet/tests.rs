//! What is quiet when, written out: coverage of cells, windows over nights when clocks change.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::*;
use crate::domain::diagnosis::{Cause, Diagnosis};
use crate::domain::incident::Subject;
use crate::domain::verdict::Kind;
use crate::incident::case::{Case, Opening};
use crate::incident::notify::tests::{cell, plan};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An incident of these clients; `legacy!` passes again.
fn incident(clients: &[&str]) -> Incident {
    let now = at("2026-03-01T02:00:00Z");
    let cells = clients.iter().map(|client| IncidentCell {
        asked: None,
        cell: cell("api", client.trim_end_matches('!')),
        kind: Kind::EdgeBlock,
        failing: !client.ends_with('!'),
        since: now,
        last_at: now,
    });
    let opening = Opening {
        number: 7,
        subject: Subject::Host("h".to_owned()),
        onset_at: now,
        cells: cells.collect(),
        diagnosis: Diagnosis {
            cause: Cause::Everything,
            confidence: 0.9,
            fails: None,
            failing: Vec::new(),
            passing: Vec::new(),
            ruled_out: Vec::new(),
            would_tell: None,
            split: None,
        },
        failed_runs: 1,
        last_good_at: None,
        rhythm_since: None,
    };
    Case::open(opening, now).incident
}

fn silence(number: u64, client: &str, until: &str) -> Silence {
    Silence {
        number,
        matcher: Matcher {
            clients: vec![client.into()],
            ..Matcher::default()
        },
        from: at("2026-03-01T00:00:00Z"),
        until: at(until),
        by: "ann".to_owned(),
        why: None,
        ended: None,
    }
}

#[test]
fn every_failing_cell_must_be_covered() {
    let plan = plan("");
    let now = at("2026-03-01T03:00:00Z");
    let both = [
        silence(1, "legacy", "2026-03-01T05:00:00Z"),
        silence(2, "modern", "2026-03-01T04:00:00Z"),
    ];
    let check =
        |name: &str, silences: &[Silence], clients: &[&str], expected: Option<(&str, &[&str])>| {
            let muted = Quiet::at(&plan, silences, now).mutes(&incident(clients));
            let found = muted.map(|muted| (muted.until.to_string(), muted.by));
            let by = |by: &[&str]| by.iter().map(|name| (*name).to_owned()).collect();
            let expected = expected.map(|(until, names)| (until.to_owned(), by(names)));
            assert_eq!(found, expected, "{name}");
        };
    let (one, other) = ("silence 1 of ann", "silence 2 of ann");
    check("none", &[], &["legacy"], None);
    check(
        "one",
        &both[..1],
        &["legacy"],
        Some(("2026-03-01T05:00:00Z", &[one])),
    );
    check("a second client", &both[..1], &["legacy", "modern"], None);
    check(
        "two together, until the first of them ends",
        &both,
        &["legacy", "modern"],
        Some(("2026-03-01T04:00:00Z", &[one, other])),
    );
    check(
        "what passes again does not count",
        &both[..1],
        &["legacy", "modern!"],
        Some(("2026-03-01T05:00:00Z", &[one])),
    );
    check(
        "all pass again",
        &both[..1],
        &["legacy!"],
        Some(("2026-03-01T05:00:00Z", &[one])),
    );
    let mut over = both[..1].to_vec();
    over[0].until = now;
    check("its end is not in it", &over, &["legacy"], None);
    over[0].until = at("2026-03-01T05:00:00Z");
    over[0].ended = Some(crate::domain::mute::Ended {
        at: now,
        by: "bob".to_owned(),
    });
    check("ended by a person", &over, &["legacy"], None);
}

/// Begin and end of what is quiet, as `instant by` from one change to the next.
fn changes(yaml: &str, from: &str, count: usize) -> Vec<String> {
    let (plan, incident) = (plan(yaml), incident(&["legacy"]));
    let mut now = at(from);
    let mut found = Vec::new();
    for _ in 0..count {
        let quiet = Quiet::at(&plan, &[], now);
        assert!(quiet.holds(now) && !quiet.holds(quiet.until()));
        let muted = quiet.mutes(&incident).map(|muted| muted.by.join(", "));
        let during = quiet.remarks(&incident).join(", ");
        found.push(format!("{now} {}{during}", muted.unwrap_or_default()));
        now = quiet.until();
    }
    found
}

#[test]
fn windows_begin_by_the_wall_clock_and_last_their_time() {
    // London goes from GMT to BST on Sunday 29 March 2026 at 01:00Z.
    assert_eq!(
        changes(
            "maintenance: [{ name: weekend, cron: \"0 0 22 * * SAT\", for: 8h, effect: mute }]",
            "2026-03-21T21:59:59.5Z",
            5,
        ),
        [
            "2026-03-21T21:59:59.5Z ",
            "2026-03-21T22:00:00Z maintenance weekend",
            "2026-03-22T06:00:00Z ",
            "2026-03-28T22:00:00Z maintenance weekend",
            "2026-03-29T06:00:00Z ",
        ]
    );
    // The gap of that night swallows 01:30: it begins at the first instant after it.
    assert_eq!(
        changes(
            "maintenance: [{ name: short, cron: \"30 1 * * *\", for: 30m, effect: annotate }]",
            "2026-03-28T12:00:00Z",
            3,
        ),
        [
            "2026-03-28T12:00:00Z ",
            "2026-03-29T01:00:00Z short",
            "2026-03-29T01:30:00Z ",
        ]
    );
    // On 25 October 01:30 is shown twice, and is once.
    assert_eq!(
        changes(
            "maintenance: [{ name: short, cron: \"30 1 * * *\", for: 30m, effect: annotate }]",
            "2026-10-25T00:00:00Z",
            4,
        ),
        [
            "2026-10-25T00:00:00Z ",
            "2026-10-25T00:30:00Z short",
            "2026-10-25T01:00:00Z ",
            "2026-10-26T01:30:00Z short",
        ]
    );
    // Always: the nights when clocks change neither end it nor leave a hole of more than their hour.
    assert_eq!(
        changes(
            "maintenance: [{ name: always, cron: \"0 12 * * *\", for: 24h, effect: mute }]",
            "2026-03-28T13:00:00Z",
            3,
        ),
        [
            "2026-03-28T13:00:00Z maintenance always",
            "2026-03-29T11:00:00Z maintenance always",
            "2026-03-29T12:00:00Z maintenance always",
        ]
    );
}

#[test]
fn other_probes_are_not_concerned() {
    let yaml =
        "maintenance: [{ name: x, cron: \"0 2 * * *\", for: 2h, probes: [other], effect: mute }]";
    let quiet = Quiet::at(&plan(yaml), &[], at("2026-03-01T03:00:00Z"));
    assert_eq!(quiet.mutes(&incident(&["legacy"])), None);
}

#[test]
fn a_clock_that_was_set_back_asks_anew() {
    let now = at("2026-03-01T03:00:00Z");
    let quiet = Quiet::at(&plan(""), &[], now);
    assert!(quiet.holds(now) && quiet.holds(Timestamp::MAX - Duration::from_secs(1)));
    assert!(!quiet.holds(now - Duration::from_secs(1)));
    assert!(!Quiet::default().holds(now));
    assert_eq!(plan("").zone, TimeZone::get("Europe/London").unwrap());
}
