//! Stories played through the monitor with simulated time: what the world does, and what is told.

mod edits;
mod mild;
mod muting;
mod ours;
mod play;
mod spans;
mod surroundings;
mod vendor;

use proptest::prelude::*;

use super::*;
use crate::domain::cell::{CellKey, Credential};
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::incident::Happening;
use crate::domain::notification::Reason;
use crate::domain::observation::{Answer, Purpose};
use crate::domain::verdict::Factor;
use play::{Play, Setup, kind_at, route};

/// Two addresses, three clients, one partner, one control; the network of 2021.
fn gmc() -> Setup {
    Setup::new(
        &["legacy-prod", "new-reval"],
        &["java-8", "java-11", "plain"],
    )
    .probe("gmc-connect", "webcache.gmc-uk.org")
    .control("internet", "www.gov.uk", 60)
}

fn incident_of(play: &Play) -> &Incident {
    play.monitor.incidents().next().expect("an open incident")
}

#[test]
fn march_2021_one_client_is_refused_at_the_edge() {
    let mut play = Play::new(gmc());
    play.run(600, |cell, t| {
        kind_at(t >= 400 && client(cell, "java-8"), Kind::EdgeBlock, cell)
    });
    let incident = incident_of(&play);
    assert_eq!(
        incident.diagnosis.cause,
        Cause::Level(Level::Client("java-8".into()))
    );
    assert!(incident.diagnosis.confidence >= 0.99);
    assert_eq!(incident.number, 1);
    let took = incident
        .opened_at
        .duration_since(incident.onset_at)
        .as_secs();
    assert!(took <= 60, "opened after {took} s");
    // Four to be sure, two others that pass, and the honest client.
    assert!(
        incident.extra_runs <= 7,
        "{} extra runs",
        incident.extra_runs
    );
    let told = play.told("engineers");
    assert_eq!(told.len(), 1, "{:#?}", play.lines);
    let briefing = &told[0].briefing;
    assert_eq!(
        briefing.headline,
        "GMC refuses client `java-8` (java-8/1.0) at Cloudflare (error 1010), from every egress"
    );
    assert!(briefing.cause_known && !briefing.our_side);
    let ruled_out = &incident_of(&play).diagnosis.ruled_out;
    let factors: Vec<Factor> = ruled_out.iter().map(|not| not.factor).collect();
    assert_eq!(factors, [Factor::Egress, Factor::Credential, Factor::Host]);
    assert_eq!(
        ruled_out[0].because,
        "the same request as `java-11` passed 1 s later"
    );
    let not = briefing.ruled_out.join("; ");
    assert!(
        not.contains("the same request as `java-11` passed"),
        "{not}"
    );
    assert_eq!(
        briefing.next_step.as_deref(),
        Some(
            "Ask GMC to allow the user agent `java-8/1.0` at Cloudflare; give them Ray ID `ray-1` and the time"
        )
    );
}

#[test]
fn july_2021_one_address_is_refused() {
    let mut play = Play::new(gmc());
    play.run(900, |cell, t| {
        kind_at(
            t >= 400 && cell.egress.as_str() == "legacy-prod",
            Kind::EdgeBlock,
            cell,
        )
    });
    let told = play.told("engineers");
    assert_eq!(
        told.last().unwrap().briefing.headline,
        "GMC refuses requests from egress `legacy-prod` (203.0.113.1) at Cloudflare (error 1010), as `java-11` and `java-8`"
    );
    assert_eq!(
        told.last().unwrap().briefing.next_step.as_deref(),
        Some(
            "Ask GMC to allow 203.0.113.1 (egress `legacy-prod`) at Cloudflare; give them Ray ID `ray-1` and the time"
        )
    );
}

#[test]
fn everybody_is_refused() {
    let mut play = Play::new(gmc());
    play.run(900, |cell, t| kind_at(t >= 400, Kind::EdgeBlock, cell));
    assert_eq!(incident_of(&play).diagnosis.cause, Cause::Everything);
    assert_eq!(
        play.told("engineers").last().unwrap().briefing.headline,
        "GMC refuses every request at Cloudflare (error 1010), from every egress, whatever the client"
    );
}

#[test]
fn one_client_from_one_address_is_no_single_cause_but_said_so() {
    let mut play = Play::new(gmc());
    play.run(900, |cell, t| {
        let pair = client(cell, "java-8") && cell.egress.as_str() == "new-reval";
        kind_at(t >= 400 && pair, Kind::OriginDenied, cell)
    });
    assert_eq!(
        play.notifications.last().unwrap().briefing.headline,
        "The application of GMC refuses client `java-8` (java-8/1.0) together with egress `new-reval` (203.0.113.2)"
    );
}

#[test]
fn what_can_not_be_told_yet_says_which_request_would_tell() {
    let mut play = Play::new(gmc());
    play.run(480, |cell, t| {
        kind_at(
            t >= 400 && cell.egress.as_str() == "new-reval",
            Kind::OriginDenied,
            cell,
        )
    });
    let first = &play.notifications[0].briefing;
    assert_eq!(
        first.headline,
        "The application of GMC refuses both cells that ran; \
         can't tell yet whether it is credential `gmc` or every request to webcache.gmc-uk.org"
    );
    assert_eq!(
        first.next_step.as_deref(),
        Some(
            "Would tell: a run of client `plain` from egress `legacy-prod` with credential `gmc` at probe `gmc-connect`"
        )
    );
    play.run(900, |cell, t| {
        kind_at(
            t >= 400 && cell.egress.as_str() == "new-reval",
            Kind::OriginDenied,
            cell,
        )
    });
    assert_eq!(
        play.reasons("engineers"),
        "opened changed",
        "{:#?}",
        play.lines
    );
}

#[test]
fn the_host_does_not_answer() {
    let mut play = Play::new(gmc());
    play.run(1200, |cell, t| kind_at(t >= 400, Kind::Timeout, cell));
    let last = play.told("engineers").pop().unwrap();
    assert_eq!(
        last.briefing.headline,
        "webcache.gmc-uk.org does not answer (timeout), from every egress, whatever the client"
    );
    assert_eq!(incident_of(&play).diagnosis.cause, Cause::Everything);
}

/// Plays a story and compares what everybody was told, as `second receiver reason: cause`.
fn check(
    name: &str,
    setup: Setup,
    until: i64,
    world: impl Fn(&CellKey, i64) -> Kind,
    expected: &[&str],
) {
    let mut play = Play::new(setup);
    play.run(until, world);
    assert_eq!(play.lines, expected, "{name}");
}

fn client(cell: &CellKey, name: &str) -> bool {
    cell.client.as_str() == name
}

#[test]
fn weather_wakes_nobody() {
    let block = Kind::EdgeBlock;
    let blocked =
        |from, to, kind| move |cell: &CellKey, t: i64| kind_at(t >= from && t < to, kind, cell);
    check(
        "one timeout",
        gmc(),
        2000,
        blocked(301, 302, Kind::Timeout),
        &[],
    );
    check(
        "45 s of timeouts",
        gmc(),
        2000,
        blocked(301, 346, Kind::Timeout),
        &[],
    );
    check(
        "one signed block",
        gmc(),
        2000,
        blocked(301, 302, block),
        &[],
    );
    check(
        "one of everything",
        gmc(),
        2000,
        |cell, t| match t {
            301 => Kind::DnsError,
            650 => Kind::OriginError,
            1250 => kind_at(true, Kind::TlsError, cell),
            _ => Kind::Pass,
        },
        &[],
    );
}

#[test]
fn a_block_that_lifts_is_resolved_and_its_return_keeps_the_number() {
    let mut play = Play::new(gmc());
    play.run(4000, |cell, t| {
        let on = (400..1500).contains(&t) || (1900..2500).contains(&t);
        kind_at(on && client(cell, "java-8"), Kind::EdgeBlock, cell)
    });
    assert_eq!(
        play.reasons("engineers"),
        "opened resolved reopened resolved",
        "{:#?}",
        play.lines
    );
    assert!(play.notifications.iter().all(|n| n.incident == 1));
    assert_eq!(play.stored[&1].reopened, 1);
    let sequences: Vec<u32> = play.notifications.iter().map(|n| n.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    let resolved = &play.notifications[1].briefing;
    assert!(resolved.is_fixed());
    assert_eq!(
        resolved.headline,
        "Both cells of webcache.gmc-uk.org that failed pass again. It was: GMC refuses client `java-8` \
         (java-8/1.0) at Cloudflare (error 1010), from every egress"
    );
}

#[test]
fn a_return_after_a_quarter_of_an_hour_is_another_incident() {
    let mut play = Play::new(gmc());
    play.run(6000, |cell, t| {
        let on = (400..1500).contains(&t) || (3400..4500).contains(&t);
        kind_at(on && client(cell, "java-8"), Kind::EdgeBlock, cell)
    });
    let numbers: Vec<u64> = play.notifications.iter().map(|n| n.incident).collect();
    assert_eq!(numbers, [1, 1, 2, 2], "{:#?}", play.lines);
}

#[test]
fn a_restart_repeats_nothing_and_ends_as_it_should() {
    let world = |cell: &CellKey, t: i64| {
        kind_at(
            (400..1500).contains(&t) && client(cell, "java-8"),
            Kind::EdgeBlock,
            cell,
        )
    };
    for stop in [460, 700, 1000, 1499] {
        let mut play = Play::new(gmc());
        play.run(stop, world);
        play.restart();
        play.run(3000, world);
        assert_eq!(
            play.reasons("engineers"),
            "opened resolved",
            "stopped at {stop}: {:#?}",
            play.lines
        );
        assert!(play.monitor.incidents().next().is_none());
    }
}

#[test]
fn a_clock_set_back_does_not_blind_the_monitor() {
    let mut play = Play::new(gmc());
    play.run(20_000, |cell, _| kind_at(false, Kind::EdgeBlock, cell));
    play.set_back(18_000);
    play.run(3000, |cell, t| {
        kind_at(t >= 2400 && client(cell, "java-8"), Kind::EdgeBlock, cell)
    });
    assert_eq!(play.reasons("engineers"), "opened", "{:#?}", play.lines);
    assert_eq!(
        incident_of(&play).diagnosis.cause,
        Cause::Level(Level::Client("java-8".into()))
    );
}

#[test]
fn a_return_after_a_restart_keeps_the_number() {
    let world = |cell: &CellKey, t: i64| {
        let on = (400..1500).contains(&t) || (1900..2500).contains(&t);
        kind_at(on && client(cell, "java-8"), Kind::EdgeBlock, cell)
    };
    let mut play = Play::new(gmc());
    play.run(1800, world);
    assert_eq!(play.reasons("engineers"), "opened resolved");
    play.restart();
    play.run(4000, world);
    assert_eq!(
        play.reasons("engineers"),
        "opened resolved reopened resolved",
        "{:#?}",
        play.lines
    );
}

#[test]
fn when_we_are_offline_no_partner_is_blamed() {
    let mut play = Play::new(gmc().probe("other", "api.other.example"));
    play.run(4000, |_, t| {
        if (400..2000).contains(&t) {
            Kind::Timeout
        } else {
            Kind::Pass
        }
    });
    let subjects: Vec<&Subject> = play.stored.values().map(|i| &i.subject).collect();
    assert_eq!(subjects, [&Subject::OurNetwork], "{:#?}", play.lines);
    let told = play.told("engineers");
    assert_eq!(
        told.last().map(|n| n.reason),
        Some(Reason::Resolved),
        "{:#?}",
        play.lines
    );
    assert!(told.iter().all(|n| n.briefing.our_side));
    let before = &told[told.len() - 2].briefing;
    assert_eq!(
        before.headline,
        "Our own network: the controls fail from every egress, and nothing is seen to answer"
    );
    assert!(
        before
            .next_step
            .as_ref()
            .unwrap()
            .starts_with("Check our own side")
    );
}

#[test]
fn one_egress_without_a_network_is_ours() {
    let mut play = Play::new(gmc().probe("other", "api.other.example"));
    play.run(2000, |cell, t| {
        if t >= 400 && cell.egress.as_str() == "new-reval" {
            Kind::ConnectError
        } else {
            Kind::Pass
        }
    });
    let open: Vec<&Incident> = play.monitor.incidents().collect();
    assert_eq!(open.len(), 1, "{:#?}", play.lines);
    let ours = Cause::OurNetwork {
        egresses: vec!["new-reval".into()],
    };
    assert_eq!(open[0].diagnosis.cause, ours);
    assert_eq!(
        play.notifications.last().unwrap().briefing.headline,
        "Our own network: the controls fail from egress `new-reval`, and nothing is seen to answer there"
    );
}

#[test]
fn a_request_that_cannot_leave_is_ours() {
    let mut play = Play::new(gmc());
    play.run(2000, |cell, t| {
        if t >= 400 && cell.egress.as_str() == "new-reval" {
            Kind::LocalError
        } else {
            Kind::Pass
        }
    });
    assert_eq!(play.stored.len(), 1, "{:#?}", play.lines);
    let told = play.told("engineers");
    assert!(told.iter().all(|n| n.briefing.our_side));
    assert_eq!(
        told[0].briefing.headline,
        "Our own side: requests from egress `new-reval` can't be sent"
    );
}

#[test]
fn a_control_that_fails_alone_wakes_nobody() {
    let mut play = Play::new(gmc().probe("other", "api.other.example"));
    play.run(3000, |cell, t| {
        if t >= 400 && cell.probe.as_str() == "internet" {
            Kind::Timeout
        } else {
            Kind::Pass
        }
    });
    assert!(play.monitor.incidents().next().is_none());
    assert!(play.notifications.is_empty(), "{:#?}", play.lines);
}

#[test]
fn a_plan_without_the_cells_closes_the_incident_and_says_so() {
    let mut play = Play::new(gmc());
    let world =
        |cell: &CellKey, t: i64| kind_at(t >= 400 && client(cell, "java-8"), Kind::EdgeBlock, cell);
    play.run(1000, world);
    let mut plan = (*play.plan).clone();
    plan.probes[0]
        .as_clients
        .retain(|name| name.as_str() != "java-8");
    play.replace(plan);
    assert_eq!(play.reasons("engineers"), "opened unwatched");
    let last = play.changes.last().unwrap();
    assert_eq!(last.timeline.last().unwrap().what, Happening::Removed);
    let headline = &play.notifications.last().unwrap().briefing.headline;
    assert!(
        headline.starts_with("Last seen: GMC refuses client `java-8`"),
        "{headline}"
    );
    play.run(2000, world);
    assert!(play.monitor.incidents().next().is_none());
}

#[test]
fn a_plan_without_the_host_closes_the_incident_even_over_a_restart() {
    let world = |cell: &CellKey, t: i64| kind_at(t >= 400, Kind::EdgeBlock, cell);
    let other = || Setup::new(&["legacy-prod"], &["plain"]).probe("other", "api.other.example");
    let mut play = Play::new(gmc());
    play.run(1000, world);
    play.replace(other().plan);
    assert_eq!(play.reasons("engineers"), "opened unwatched");
    let mut play = Play::new(gmc());
    play.run(1000, world);
    play.plan = Arc::new(other().plan);
    play.restart();
    play.run(1001, |_, _| Kind::Pass);
    assert_eq!(play.reasons("engineers"), "opened unwatched");
}

#[test]
fn a_plan_that_keeps_the_cells_keeps_the_incident() {
    let world = |cell: &CellKey, t: i64| {
        kind_at(
            (400..2000).contains(&t)
                && client(cell, "java-8")
                && cell.probe.as_str() == "gmc-connect",
            Kind::EdgeBlock,
            cell,
        )
    };
    let mut play = Play::new(gmc());
    play.run(1000, world);
    let plan = gmc().probe("second", "api.other.example").plan;
    play.replace(plan);
    play.run(3000, world);
    assert_eq!(
        play.reasons("engineers"),
        "opened resolved",
        "{:#?}",
        play.lines
    );
}

#[test]
fn a_refused_credential_is_not_asked_to_death() {
    let setup = gmc().with(|plan| {
        plan.credentials.push(Credential {
            name: "spare".into(),
            fields: std::collections::BTreeMap::new(),
            missing: None,
            unfit: std::collections::BTreeMap::new(),
            open: std::collections::BTreeSet::new(),
        });
        plan.probes[0].with.push("spare".into());
    });
    let mut play = Play::new(setup);
    play.run(900, |cell, t| {
        kind_at(
            t >= 400 && cell.credential.as_str() == "gmc",
            Kind::OriginDenied,
            cell,
        )
    });
    let incident = incident_of(&play);
    assert_eq!(
        incident.diagnosis.cause,
        Cause::Level(Level::Credential("gmc".into())),
        "{:#?}",
        play.lines
    );
    let with = play
        .extra
        .iter()
        .filter(|(_, cell, _)| cell.credential.as_str() == "gmc");
    assert!(with.count() <= 3, "{:#?}", play.extra);
    let last = &play.notifications.last().unwrap().briefing;
    assert_eq!(
        last.headline.split(", ").next(),
        Some("The application of GMC refuses requests with credential `gmc`")
    );
    assert!(
        last.next_step
            .as_ref()
            .unwrap()
            .starts_with("Check the account behind credential `gmc`")
    );
}

#[test]
fn a_rate_limit_is_answered_with_patience() {
    let mut play = Play::new(gmc());
    play.run(2000, |cell, t| kind_at(t >= 400, Kind::RateLimited, cell));
    let partner = play
        .extra
        .iter()
        .filter(|(_, cell, _)| cell.probe.as_str() == "gmc-connect");
    let asked: Vec<i64> = partner.map(|(second, ..)| *second).collect();
    assert!(asked.len() <= 4, "{:#?}", play.extra);
    assert!(asked.iter().all(|second| *second >= 415), "{asked:?}");
    assert!(
        asked.windows(2).all(|pair| pair[1] - pair[0] >= 15),
        "{asked:?}"
    );
    assert_eq!(incident_of(&play).kind, Kind::RateLimited);
}

#[test]
fn a_watched_block_tells_when_it_goes_and_when_it_is_back() {
    let watched = || gmc().with(|plan| plan.probes[0].expect.verdict = Some(Kind::EdgeBlock));
    // The classifier calls what is watched a pass, and its absence unexpected; its plain word is taken too.
    for normal in [Kind::Pass, Kind::EdgeBlock] {
        let mut play = Play::new(watched());
        play.run(3000, |cell, t| {
            let gone = (400..1500).contains(&t);
            let kind = if gone { Kind::Unexpected } else { normal };
            kind_at(true, kind, cell)
        });
        assert_eq!(
            play.reasons("engineers"),
            "opened resolved",
            "{:#?}",
            play.lines
        );
        let told = play.told("engineers");
        assert_eq!(
            told[0].briefing.headline,
            "GMC no longer answers every request with the watched edge_block, from every egress, whatever the client"
        );
        assert_eq!(told[0].briefing.expected, "verdict edge_block");
        assert!(
            told[1].briefing.headline.starts_with(
                "All 6 cells of webcache.gmc-uk.org that failed are answered as expected again."
            ),
            "{}",
            told[1].briefing.headline
        );
    }
}

#[test]
fn one_egress_can_not_tell_our_address_from_everybody() {
    let setup = Setup::new(&["only"], &["java-8", "java-11", "plain"])
        .probe("gmc-connect", "webcache.gmc-uk.org")
        .control("internet", "www.gov.uk", 60);
    let mut play = Play::new(setup.clone());
    play.run(900, |cell, t| kind_at(t >= 400, Kind::EdgeBlock, cell));
    let among = vec![
        Level::Egress("only".into()),
        Level::Host {
            name: "webcache.gmc-uk.org".to_owned(),
            probes: vec!["gmc-connect".into()],
        },
    ];
    assert_eq!(incident_of(&play).diagnosis.cause, Cause::Unknown { among });
    let briefing = &play.notifications.last().unwrap().briefing;
    assert!(!briefing.cause_known);
    assert!(
        briefing.headline.contains(
            "can't tell yet whether it is egress `only`, every request to webcache.gmc-uk.org"
        ),
        "{}",
        briefing.headline
    );
    assert!(
        briefing
            .next_step
            .as_ref()
            .unwrap()
            .contains("a second egress")
    );
    let mut play = Play::new(setup);
    play.run(900, |cell, t| kind_at(t >= 400, Kind::OriginError, cell));
    assert_eq!(incident_of(&play).diagnosis.cause, Cause::Everything);
}

#[test]
fn support_hears_later_and_only_of_what_lasts() {
    let setup = || gmc().with(|plan| plan.routes.push(route("support", 600, 0.9)));
    let blocked_for = |seconds: i64| {
        let mut play = Play::new(setup());
        play.run(400 + seconds + 1500, |cell, t| {
            kind_at(
                (400..400 + seconds).contains(&t) && client(cell, "java-8"),
                Kind::EdgeBlock,
                cell,
            )
        });
        play
    };
    let short = blocked_for(300);
    assert_eq!(short.reasons("engineers"), "opened resolved");
    assert_eq!(short.reasons("support"), "", "over before their delay was");
    let long = blocked_for(1500);
    assert_eq!(
        long.reasons("support"),
        "opened resolved",
        "{:#?}",
        long.lines
    );
    let opened = long.told("support")[0].clone();
    let after = opened
        .created_at
        .duration_since(opened.briefing.opened_at)
        .as_secs();
    assert_eq!(after, 600);
    assert!(opened.briefing.cause_known);
}

#[test]
fn a_receiver_that_wants_to_be_sure_is_told_no_guess() {
    let setup = gmc().with(|plan| plan.routes.push(route("support", 0, 0.999)));
    let mut play = Play::new(setup);
    play.run(900, |cell, t| {
        kind_at(t >= 400 && client(cell, "java-8"), Kind::EdgeBlock, cell)
    });
    let briefing = &play.told("support")[0].briefing;
    assert!(!briefing.cause_known && briefing.ruled_out.is_empty());
    let all = format!("{} {:?}", briefing.headline, briefing.because);
    assert!(!all.contains("java-8"), "{all}");
    assert!(
        briefing.headline.ends_with("the cause is not certain yet"),
        "{}",
        briefing.headline
    );
    assert_eq!(
        play.reasons("support"),
        "opened",
        "what it can't see has not changed"
    );
}

#[test]
fn reminders_come_at_their_times() {
    let mut play = Play::new(gmc());
    play.run(60 * 3600, |cell, t| {
        kind_at(t >= 400 && client(cell, "java-8"), Kind::EdgeBlock, cell)
    });
    let told = play.told("engineers");
    let opened_at = told[0].created_at;
    let hours: Vec<i64> = told
        .iter()
        .filter(|n| n.reason == Reason::Reminder)
        .map(|n| n.created_at.duration_since(opened_at).as_secs() / 3600)
        .collect();
    assert_eq!(hours, [1, 4, 24, 48]);
    let promised = told[0].briefing.next_update_at.unwrap();
    assert_eq!(promised, told[1].created_at, "the promised time is kept");
}

#[test]
fn after_a_long_stop_one_reminder_stands_for_all_that_were_missed() {
    let world =
        |cell: &CellKey, t: i64| kind_at(t >= 400 && client(cell, "java-8"), Kind::EdgeBlock, cell);
    let mut play = Play::new(gmc());
    play.run(1000, world);
    play.second = 30 * 3600;
    play.restart();
    play.run(40 * 3600, world);
    assert_eq!(
        play.reasons("engineers"),
        "opened reminder",
        "{:#?}",
        play.lines
    );
}

#[test]
fn late_double_and_foreign_runs_are_ignored() {
    let mut play = Play::new(gmc());
    let cell = play.plan.cells().next().unwrap().1;
    play.second = 100;
    play.observe(&cell, Kind::Pass, Purpose::Schedule);
    for kind in [Kind::EdgeBlock, Kind::EdgeBlock] {
        play.observe(&cell, kind, Purpose::Schedule);
    }
    play.second = 99;
    play.observe(&cell, Kind::EdgeBlock, Purpose::Schedule);
    let stranger = CellKey {
        client: "nobody".into(),
        ..cell
    };
    play.second = 101;
    play.observe(&stranger, Kind::EdgeBlock, Purpose::Schedule);
    assert!(play.extra.is_empty());
}

#[test]
fn a_second_cause_on_the_host_is_an_incident_of_its_own() {
    let mut play = Play::new(gmc());
    play.run(2500, |cell, t| {
        let java = t >= 400 && client(cell, "java-8");
        let address = t >= 1300 && cell.egress.as_str() == "new-reval";
        kind_at(java || address, Kind::EdgeBlock, cell)
    });
    assert_eq!(
        play.reasons("engineers"),
        "opened opened",
        "{:#?}",
        play.lines
    );
    let causes: Vec<&Cause> = play.stored.values().map(|i| &i.diagnosis.cause).collect();
    assert_eq!(
        causes,
        [
            &Cause::Level(Level::Client("java-8".into())),
            &Cause::Level(Level::Egress("new-reval".into()))
        ]
    );
}

#[test]
fn one_more_timeout_does_not_shake_a_cause() {
    let mut play = Play::new(gmc());
    play.run(2500, |cell, t| match t {
        1321 | 1621 | 1721 => kind_at(true, Kind::Timeout, cell),
        _ => kind_at(t >= 400 && client(cell, "java-8"), Kind::EdgeBlock, cell),
    });
    assert_eq!(play.reasons("engineers"), "opened", "{:#?}", play.lines);
}

#[test]
fn an_extra_run_that_is_lost_holds_nothing_up() {
    let mut play = Play::new(gmc());
    let cell = play.plan.cells().next().unwrap().1;
    play.second = 10;
    play.observe(&cell, Kind::EdgeBlock, Purpose::Schedule);
    assert_eq!(play.extra.len(), 1);
    // The scheduler drops it: nothing of the queue is played.
    let lost_at = play
        .monitor
        .next_wake()
        .expect("a wake-up for the lost run");
    let effects = play.monitor.step(Event::Tick, lost_at);
    assert!(
        matches!(effects.as_slice(), [Effect::Run { .. }]),
        "{effects:?}"
    );
}

/// Every kind, hanging on a client or an address, ends in the right cause and in no wrong one before.
#[test]
fn each_kind_is_put_down_to_what_it_hangs_on() {
    let kinds = Kind::ALL.iter().copied();
    for kind in kinds.filter(|kind| !kind.works() && *kind != Kind::LocalError) {
        let levels = [
            Level::Client("java-8".into()),
            Level::Egress("new-reval".into()),
        ];
        for level in levels {
            let mut play = Play::new(gmc());
            play.run(3000, |cell, t| {
                kind_at(t >= 400 && level.covers(cell), kind, cell)
            });
            let cause = &incident_of(&play).diagnosis.cause;
            assert_eq!(
                *cause,
                Cause::Level(level.clone()),
                "{kind}: {:#?}",
                play.lines
            );
            for change in &play.changes {
                let claimed = &change.incident.diagnosis.cause;
                let right = *claimed == Cause::Level(level.clone())
                    || matches!(claimed, Cause::Unknown { .. });
                assert!(right, "{kind} on {level}: {claimed:?}");
            }
            let most = play.plan.politeness.extra_per_incident as usize;
            assert!(
                play.extra.len() <= most,
                "{kind}: {} extra runs",
                play.extra.len()
            );
        }
    }
}

/// Two days of independent losses, 1 in 100, from every cell: nobody is woken.
#[test]
fn noise_of_two_days_opens_nothing() {
    let noisy = |cell: &CellKey, t: i64| {
        // A hash instead of dice, so that every run of the test is the same.
        let mut seed = fastrand::Rng::with_seed(t as u64 ^ (cell.to_string().len() as u64 * 7919));
        match seed.u32(0..10_000) {
            0..60 => Kind::Timeout,
            60..90 => Kind::ConnectError,
            90..99 => Kind::OriginError,
            99 => Kind::EdgeChallenge,
            _ => Kind::Pass,
        }
    };
    let mut play = Play::new(gmc().probe("other", "api.other.example"));
    play.run(2 * 86_400, noisy);
    assert!(play.lines.is_empty(), "{:#?}", play.lines);
    assert!(!play.extra.is_empty(), "there was noise");
    assert!(play.extra.len() < 500, "{} extra runs", play.extra.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever the world does: one open incident a subject, sequences rise, and who was told of an
    /// opening is told of its end.
    #[test]
    fn what_always_holds(
        faults in proptest::collection::vec(
            (0i64..6000, 1i64..2500, 0u8..4, 0u8..4, 1usize..Kind::ALL.len(), 1i64..4),
            1..5,
        ),
        restart in proptest::option::of(100i64..8000),
        delay in 0u64..1200,
    ) {
        let setup = gmc().probe("other", "api.other.example")
            .with(|plan| plan.routes.push(route("support", delay, 0.9)));
        let world = |cell: &CellKey, t: i64| {
            let hit = faults.iter().find(|(from, lasts, client, egress, _, every)| {
                let at_client = ["java-8", "java-11", "plain"].get(usize::from(*client));
                let at_egress = ["legacy-prod", "new-reval"].get(usize::from(*egress));
                t >= *from && t < from + lasts && t % every == 0
                    && at_client.is_none_or(|name| cell.client.as_str() == *name)
                    && at_egress.is_none_or(|name| cell.egress.as_str() == *name)
            });
            hit.map_or(Kind::Pass, |fault| Kind::ALL[fault.4])
        };
        let mut play = Play::new(setup);
        if let Some(second) = restart {
            play.run(second, world);
            play.restart();
        }
        play.run(30_000, world);
        play.hold();
        prop_assert_eq!(play.monitor.incidents().count(), 0, "all is well again: {:#?}", play.lines);
    }
}

/// A block that becomes a bot check is the same incident, and the same cause: told once it is sure, not at once,
/// and at most every ten minutes; what goes back and forth is not told.
#[test]
fn another_answer_is_told_once_it_is_sure() {
    let at = |kinds: &'static [(i64, Kind)]| {
        move |cell: &CellKey, t: i64| {
            let kind = kinds.iter().rev().find(|(from, _)| t >= *from);
            let fault = client(cell, "java-8");
            kind.map_or(Kind::Pass, |(_, kind)| kind_at(fault, *kind, cell))
        }
    };
    let (block, check) = (Kind::EdgeBlock, Kind::EdgeChallenge);
    let mut play = Play::new(gmc());
    play.run(
        3500,
        at(&[(400, Kind::EdgeBlock), (1500, Kind::EdgeChallenge)]),
    );
    assert_eq!(
        play.reasons("engineers"),
        "opened changed",
        "{:#?}",
        play.lines
    );
    let told = play.told("engineers");
    let changed = &told[1];
    assert!(changed.created_at >= play::at(1500 + 60), "sure first");
    assert!(changed.created_at <= play::at(1500 + 660));
    assert_eq!(
        changed.briefing.because[0],
        "the answer changed: asked for a bot check (Cloudflare 1010); before: refused at the edge (Cloudflare 1010)"
    );
    assert_eq!(changed.briefing.kind, check);
    let failing = changed.briefing.failing.as_ref().unwrap();
    assert_eq!(failing.verdict.kind, check, "the evidence is of today");
    assert_eq!(told[0].briefing.kind, block);
    // A restart does not tell it again.
    play.restart();
    play.run(4000, at(&[(400, Kind::EdgeChallenge)]));
    assert!(
        !play.reasons("engineers").ends_with("changed changed"),
        "{:#?}",
        play.lines
    );

    // Twice within ten minutes: the second waits, and the last one is told.
    let mut play = Play::new(gmc());
    let twice = [
        (400, Kind::EdgeBlock),
        (1500, Kind::EdgeChallenge),
        (2200, Kind::RateLimited),
    ];
    play.run(3900, move |cell, t| {
        let kind = twice.iter().rev().find(|(from, _)| t >= *from);
        let fault = client(cell, "java-8");
        kind.map_or(Kind::Pass, |(_, kind)| kind_at(fault, *kind, cell))
    });
    let told = play.told("engineers");
    let changes: Vec<_> = told
        .iter()
        .filter(|n| n.reason == Reason::Changed)
        .collect();
    assert_eq!(changes.len(), 2, "{:#?}", play.lines);
    let apart = changes[1].created_at.duration_since(changes[0].created_at);
    assert!(apart.as_secs() >= 600, "{apart:?}");
    assert_eq!(changes[1].briefing.kind, Kind::RateLimited);

    // Back and forth, each run another.
    let mut play = Play::new(gmc());
    play.run(3900, move |cell, t| {
        let kind = if (t / 300) % 2 == 0 { block } else { check };
        kind_at(t >= 400 && client(cell, "java-8"), kind, cell)
    });
    assert_eq!(play.reasons("engineers"), "opened", "{:#?}", play.lines);
}

/// An answer of a cache, which has kept it since `second`.
fn copy_of(second: i64, now: i64) -> Answer {
    let age = (now - second).to_string();
    Answer {
        http: crate::domain::observation::HttpVersion::H1_1,
        status: 200,
        headers: vec![("age".to_owned(), age)],
        body: crate::domain::observation::Body::default(),
    }
}

#[test]
fn a_copy_from_before_the_last_run_neither_confirms_nor_ends() {
    let partner = |cell: &CellKey| cell.probe.as_str() != "internet";
    let mut play = Play::new(gmc());
    play.run(400, |_, _| Kind::Pass);
    // The copy of a fault that was over long ago.
    play.run_with(2000, |cell, t| {
        if partner(cell) {
            (Kind::OriginError, Some(copy_of(100, t)))
        } else {
            (Kind::Pass, None)
        }
    });
    assert_eq!(play.reasons("engineers"), "", "{:#?}", play.lines);
    // A fault now, and then the copy of a good answer from before it.
    play.run(3000, |cell, _| kind_at(true, Kind::OriginError, cell));
    assert_eq!(play.reasons("engineers"), "opened", "{:#?}", play.lines);
    play.run_with(5000, |cell, t| {
        (Kind::Pass, partner(cell).then(|| copy_of(100, t)))
    });
    assert_eq!(play.reasons("engineers"), "opened", "{:#?}", play.lines);
    play.run(6000, |_, _| Kind::Pass);
    assert_eq!(
        play.reasons("engineers"),
        "opened resolved",
        "{:#?}",
        play.lines
    );
}

#[test]
fn a_copy_shows_that_the_edge_lets_through() {
    let partner = |cell: &CellKey| cell.probe.as_str() != "internet";
    let mut play = Play::new(gmc());
    play.run(400, |_, _| Kind::Pass);
    play.run(1000, |cell, _| kind_at(true, Kind::EdgeBlock, cell));
    play.run_with(3000, |cell, t| {
        (Kind::Pass, partner(cell).then(|| copy_of(100, t)))
    });
    assert_eq!(
        play.reasons("engineers"),
        "opened resolved",
        "{:#?}",
        play.lines
    );
}
