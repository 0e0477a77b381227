//! Stories with silences, maintenance and acknowledgements.

use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::play::{Play, Setup, kind_at, route};
use super::{client, gmc};
use crate::domain::incident::{Care, Happening};
use crate::domain::mute::{Begins, Effect, Maintenance, Matcher};
use crate::domain::notification::Escalation;
use crate::domain::verdict::Kind;
use crate::lang::cron::Cron;

fn of_client(name: &str) -> Matcher {
    Matcher {
        clients: vec![name.into()],
        ..Matcher::default()
    }
}

fn of_incident(number: u64) -> Matcher {
    Matcher {
        incidents: vec![number],
        ..Matcher::default()
    }
}

/// What stands in the timeline of an incident about being quiet.
fn noted(play: &Play) -> Vec<String> {
    let entries = play.changes.iter().flat_map(|change| &change.timeline);
    entries
        .filter(|entry| matches!(entry.what, Happening::Muted | Happening::Maintenance))
        .map(|entry| entry.text.clone())
        .collect()
}

#[test]
fn a_silenced_client_opens_an_incident_that_nobody_is_told_of() {
    let mut play = Play::new(gmc());
    let blocked = |cell: &_, t| {
        kind_at(
            (400..3000).contains(&t) && client(cell, "java-8"),
            Kind::EdgeBlock,
            cell,
        )
    };
    play.silence(of_client("java-8"), 3600);
    play.run(1000, blocked);
    let incident = play.monitor.incidents().next().expect("an open incident");
    assert!(incident.telling.muted.is_some() && incident.told_receivers.is_empty());
    play.restart();
    play.run(5000, blocked);
    assert_eq!(play.lines, [""; 0], "over before the silence was");
    assert!(play.stored[&1].resolved_at.is_some());
    assert_eq!(
        noted(&play),
        ["nobody is told until Sun 1 Mar 03:00 UTC: silence 1 of ann"]
    );
}

#[test]
fn what_a_silence_does_not_cover_is_told() {
    let mut play = Play::new(gmc());
    play.silence(of_client("java-8"), 7200);
    play.run(7000, |cell, t| {
        let hit = client(cell, "java-8") || t >= 2000 && client(cell, "java-11");
        kind_at(t >= 400 && hit, Kind::EdgeBlock, cell)
    });
    let told = play.told("engineers");
    assert!(!told.is_empty(), "{:#?}", play.lines);
    assert!(
        told[0].created_at >= super::play::at(2000),
        "{:#?}",
        play.lines
    );
}

#[test]
fn the_end_of_a_silence_is_a_wake_up_even_over_a_restart() {
    let world = |cell: &_, t| kind_at(t >= 400 && client(cell, "java-8"), Kind::EdgeBlock, cell);
    for restart in [false, true] {
        let mut play = Play::new(gmc());
        play.silence(of_client("java-8"), 1200);
        play.run(1000, world);
        if restart {
            play.restart();
        }
        play.run(1300, world);
        assert_eq!(play.lines, ["1200 INC-1 engineers opened: client java-8"]);
        let briefing = &play.notifications[0].briefing;
        assert_eq!(briefing.held_back, ["silence 1 of ann"]);
        play.run(4500, world);
        play.hold();
    }
    let mut play = Play::new(gmc());
    play.silence(of_client("java-8"), 1200);
    play.run(1000, world);
    play.end_silences();
    assert_eq!(play.lines, ["1000 INC-1 engineers opened: client java-8"]);
}

#[test]
fn maintenance_that_begins_in_an_incident_mutes_what_follows() {
    let window = |effect| Maintenance {
        name: "weekend work".to_owned(),
        begins: Begins::Cron(Cron::new("0 3 * * SUN", TimeZone::UTC).unwrap()),
        lasting: Duration::from_secs(7200),
        probes: vec!["gmc-connect".into()],
        effect,
    };
    // The story begins at 02:00; the window is from second 3600 to 10800.
    let world = |cell: &_, t| {
        kind_at(
            (400..9000).contains(&t) && client(cell, "java-8"),
            Kind::EdgeBlock,
            cell,
        )
    };
    let mut play = Play::new(gmc().with(|plan| plan.maintenance.push(window(Effect::Mute))));
    play.run(12_000, world);
    assert_eq!(
        play.reasons("engineers"),
        "opened resolved",
        "no reminder: {:#?}",
        play.lines
    );
    assert_eq!(
        noted(&play),
        ["nobody is told until Sun 1 Mar 05:00 UTC: maintenance weekend work"]
    );
    play.hold();
    let mut play = Play::new(gmc().with(|plan| plan.maintenance.push(window(Effect::Annotate))));
    play.run(12_000, world);
    assert_eq!(play.reasons("engineers"), "opened reminder resolved");
    assert_eq!(play.told("engineers")[1].briefing.during, ["weekend work"]);
    assert_eq!(noted(&play), ["during maintenance weekend work"]);
}

#[test]
fn a_new_file_with_maintenance_is_heeded_at_once() {
    let world = |cell: &_, t| kind_at(t >= 400 && client(cell, "java-8"), Kind::EdgeBlock, cell);
    let mut play = Play::new(gmc());
    play.run(1000, world);
    let with = gmc().with(|plan| {
        plan.maintenance.push(Maintenance {
            name: "now".to_owned(),
            begins: Begins::Cron(Cron::new("0 2 * * *", TimeZone::UTC).unwrap()),
            lasting: Duration::from_secs(4 * 3600),
            probes: Vec::new(),
            effect: Effect::Mute,
        });
    });
    play.replace(with.plan);
    play.run(3 * 3600, world);
    assert_eq!(play.reasons("engineers"), "opened", "{:#?}", play.lines);
    play.replace(gmc().plan);
    assert_eq!(
        play.reasons("engineers"),
        "opened reminder",
        "{:#?}",
        play.lines
    );
}

fn escalating() -> Setup {
    gmc().with(|plan| {
        plan.routes[0].escalate = Some(Escalation {
            to: "support".into(),
            after: Duration::from_secs(1800),
            min_confidence: 0.0,
        });
    })
}

#[test]
fn who_acknowledges_is_left_alone_and_nobody_is_called() {
    let world = |cell: &_, t| {
        kind_at(
            (400..9000).contains(&t) && client(cell, "java-8"),
            Kind::EdgeBlock,
            cell,
        )
    };
    let mut play = Play::new(escalating());
    play.run(1000, world);
    play.acknowledge(1, "ann");
    play.acknowledge(1, "ann");
    play.acknowledge(9, "ann");
    play.restart();
    play.run(12_000, world);
    assert_eq!(play.reasons("engineers"), "opened acknowledged resolved");
    assert_eq!(play.reasons("support"), "");
    play.hold();
    let mut play = Play::new(escalating());
    play.run(12_000, world);
    assert_eq!(play.reasons("engineers"), "opened reminder resolved");
    assert_eq!(play.reasons("support"), "opened reminder resolved");
    play.hold();
}

/// Who looks after it no longer does: engineers hear so, and are reminded as if nobody ever had.
#[test]
fn when_nobody_looks_after_it_any_more_reminders_go_on() {
    let world = |cell: &_, t| {
        kind_at(
            (400..11_000).contains(&t) && client(cell, "java-8"),
            Kind::EdgeBlock,
            cell,
        )
    };
    let mut play = Play::new(escalating());
    play.run(1000, world);
    play.care(1, "ann", Care::Released);
    play.acknowledge(1, "ann");
    play.acknowledge(1, "bob");
    play.care(1, "bob", Care::Released);
    play.care(1, "bob", Care::Released);
    play.care(9, "bob", Care::Released);
    play.restart();
    play.run(12_000, world);
    assert_eq!(
        play.reasons("engineers"),
        "opened acknowledged acknowledged acknowledged reminder resolved"
    );
    assert_eq!(play.reasons("support"), "opened reminder resolved");
    let entries = play.changes.iter().flat_map(|change| &change.timeline);
    let texts: Vec<&str> = entries.map(|entry| entry.text.as_str()).collect();
    for text in [
        "acknowledged by bob, in place of ann",
        "bob no longer looks after it",
    ] {
        let times = texts.iter().filter(|known| **known == text).count();
        assert_eq!(times, 1, "{text} in {texts:#?}");
    }
    play.hold();
}

/// A reminder became due while no daemon ran; at the start it is heard first what people want.
#[test]
fn what_is_asked_for_at_the_start_comes_before_what_is_due_then() {
    let world = |cell: &_, t| kind_at(t >= 400 && client(cell, "java-8"), Kind::EdgeBlock, cell);
    for (acknowledged, expected) in [(true, "opened acknowledged"), (false, "opened")] {
        let mut play = Play::new(gmc());
        play.run(1000, world);
        play.second = 5000;
        play.restart();
        if acknowledged {
            play.acknowledge(1, "ann");
        } else {
            play.silence(of_client("java-8"), 9000);
        }
        play.run(9000, world);
        assert_eq!(play.reasons("engineers"), expected, "{:#?}", play.lines);
    }
}

fn setup(delay: u64) -> Setup {
    gmc().probe("other", "api.other.example").with(|plan| {
        plan.routes[0].escalate = Some(Escalation {
            to: "support".into(),
            after: Duration::from_secs(1800),
            min_confidence: 0.9,
        });
        plan.routes.push(route("support", delay, 0.9));
        plan.maintenance.push(Maintenance {
            name: "nightly".to_owned(),
            begins: Begins::Cron(Cron::new("20 * * * *", TimeZone::UTC).unwrap()),
            lasting: Duration::from_secs(600),
            probes: vec!["other".into()],
            effect: Effect::Annotate,
        });
    })
}

/// A restart amid faults that overlap: each incident ends all the same.
#[test]
fn overlapping_faults_end_after_a_restart() {
    let faults = [
        (3199, 3613, Some("plain"), Some("new-reval"), Kind::ALL[1]),
        (2252, 3385, None, Some("new-reval"), Kind::ALL[2]),
        (3637, 2086, Some("java-8"), None, Kind::ALL[1]),
    ];
    let world = |cell: &crate::domain::cell::CellKey, t: i64| {
        let hit = faults.iter().find(|(from, lasts, client, egress, _)| {
            t >= *from
                && t < from + lasts
                && client.is_none_or(|name| cell.client.as_str() == name)
                && egress.is_none_or(|name| cell.egress.as_str() == name)
        });
        hit.map_or(Kind::Pass, |fault| fault.4)
    };
    let mut play = Play::new(setup(21));
    play.run(5765, world);
    play.restart();
    play.run(30_000, world);
    play.hold();
    let open: Vec<_> = play.monitor.incidents().collect();
    assert!(open.is_empty(), "{:#?} {:#?}", play.lines, open);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever the world and people do: nothing but ends is told in a mute (see `Play::apply`), nothing
    /// twice, every opening that was told has its end, and what outlives a mute is told when it ends.
    #[test]
    fn what_always_holds_of_mutes(
        faults in proptest::collection::vec(
            (0i64..6000, 1i64..4000, 0u8..4, 0u8..3, 1usize..Kind::ALL.len()),
            1..4,
        ),
        wishes in proptest::collection::vec((0i64..9000, 0u8..7, 1i64..4000), 0..7),
        delay in 0u64..1200,
    ) {
        let world = |cell: &_, t: i64| {
            let cell: &crate::domain::cell::CellKey = cell;
            let hit = faults.iter().find(|(from, lasts, client, egress, _)| {
                let at_client = ["java-8", "java-11", "plain"].get(usize::from(*client));
                let at_egress = ["legacy-prod", "new-reval"].get(usize::from(*egress));
                t >= *from && t < from + lasts
                    && at_client.is_none_or(|name| cell.client.as_str() == *name)
                    && at_egress.is_none_or(|name| cell.egress.as_str() == *name)
            });
            hit.map_or(Kind::Pass, |fault| Kind::ALL[fault.4])
        };
        let mut wishes = wishes;
        wishes.sort_unstable();
        let mut play = Play::new(setup(delay));
        for (second, wish, lasting) in wishes {
            play.run(second, world);
            match wish {
                0 => play.silence(of_client("java-8"), lasting),
                1 => play.silence(of_incident(1), lasting),
                2 => play.silence(Matcher::default(), lasting),
                3 => play.end_silences(),
                4 => play.acknowledge(1, "ann"),
                5 => play.care(1, "bob", Care::Released),
                _ => play.restart(),
            }
            play.hold();
        }
        // All silences are over by then; who should know of what is open knows.
        play.run(13_100, world);
        for incident in play.monitor.incidents() {
            let knows = incident.told_receivers.contains(&"engineers".into());
            prop_assert!(knows, "{:#?}", play.lines);
            prop_assert!(incident.telling.muted.is_none());
            let owed = incident.telling.receivers.iter().any(|s| s.owed.is_some());
            prop_assert!(!owed, "{:#?}", incident.telling);
        }
        play.run(30_000, world);
        play.hold();
        prop_assert_eq!(play.monitor.incidents().count(), 0, "all is well again: {:#?}", play.lines);
    }
}
