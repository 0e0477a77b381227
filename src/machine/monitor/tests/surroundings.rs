//! Stories of fronts that change and of changes on our own side: beside an incident, alone, or not at all.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::*;
use crate::domain::hours::Hours;
use crate::domain::incident::Beside;
use crate::domain::mute::{Begins, Effect, Maintenance, Matcher};
use crate::domain::notification::{Channel, Notification, Route};
use crate::domain::observation::Answer;
use crate::lang::cron::Cron;
use crate::read::saved;

const HOUR: i64 = 3600;
const NGINX: &str = "Server: nginx/1.18.0\r\nX-Powered-By: ASP.NET";
const EDGE: &str = "Server: cloudflare\r\nCF-RAY: 5da5cc3358641e89-LHR\r\nX-Powered-By: ASP.NET";

fn answer(head: &str, body: &str) -> Answer {
    let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
    saved::parse(text.as_bytes()).unwrap()
}

/// A world in which `java-8` is refused from `blocked` on, and the front is as `front` says.
fn world(
    blocked: i64,
    front: impl Fn(&CellKey, i64) -> &'static str,
) -> impl Fn(&CellKey, i64) -> (Kind, Option<Answer>) {
    move |cell, t| {
        let refused = t >= blocked && client(cell, "java-8");
        let kind = kind_at(refused, Kind::EdgeBlock, cell);
        (kind, Some(answer(front(cell, t), "fine")))
    }
}

fn moves_at(second: i64) -> impl Fn(&CellKey, i64) -> &'static str {
    move |_, t| if t >= second { EDGE } else { NGINX }
}

const NEVER: i64 = i64::MAX;

fn headlines(notices: &[Notification]) -> Vec<&str> {
    let notices = notices.iter();
    notices.map(|n| n.briefing.headline.as_str()).collect()
}

fn beside_of(play: &Play) -> &[Beside] {
    &play.stored[&1].beside
}

#[test]
fn cloudflare_appears_three_hours_before_one_client_is_refused() {
    let mut play = Play::new(gmc());
    play.run_with(5 * HOUR, world(4 * HOUR, moves_at(HOUR)));
    let [beside] = beside_of(&play) else {
        panic!("{:#?}", beside_of(&play));
    };
    assert_eq!(
        beside.text,
        "Cloudflare appeared in front of webcache.gmc-uk.org"
    );
    assert!(beside.related && beside.chance < 0.02, "{beside:?}");
    let lead = play.stored[&1].onset_at.duration_since(beside.at);
    assert_eq!(lead.as_hours(), 3, "its first sighting counts");
    let entries = play.changes[0].timeline.iter();
    let drifts: Vec<_> = entries.filter(|e| e.what == Happening::Drift).collect();
    assert_eq!((drifts.len(), drifts[0].at), (1, beside.at));
    // Nobody could know then that a refusal would follow.
    assert_eq!(
        headlines(&play.notices),
        ["Cloudflare appeared in front of webcache.gmc-uk.org"]
    );
    play.hold();
}

#[test]
fn what_becomes_certain_while_the_incident_is_open_is_told_with_it() {
    let mut play = Play::new(gmc());
    play.run_with(2 * HOUR, world(HOUR, moves_at(HOUR)));
    let beside = beside_of(&play);
    assert!(beside.len() == 1 && beside[0].related, "{beside:#?}");
    assert!(play.notices.is_empty(), "{:?}", headlines(&play.notices));
    let last = play.changes.last().unwrap();
    assert!(last.incident.beside == beside);
    let mut entries = play.changes.iter().flat_map(|change| &change.timeline);
    assert!(entries.any(|e| e.what == Happening::Drift));
    // Told when it is learned: with the opening, or as a change of it.
    let told = play.reasons("engineers");
    let late = play.changes[0].incident.beside.is_empty();
    assert_eq!(told.contains("changed"), late, "{told}");
    play.hold();
}

#[test]
fn a_change_long_after_the_onset_is_a_fact_and_a_notice() {
    let mut play = Play::new(gmc());
    play.run_with(4 * HOUR, world(HOUR, moves_at(3 * HOUR)));
    assert!(beside_of(&play).is_empty());
    let entries = play.changes.iter().flat_map(|change| &change.timeline);
    let drifts = entries.filter(|e| e.what == Happening::Drift).count();
    assert_eq!((drifts, play.notices.len()), (1, 1));
}

#[test]
fn a_change_alone_is_one_notice_to_those_who_want_it() {
    let mut play = Play::new(gmc().with(|plan| {
        let quiet = Route {
            notices: false,
            ..route("support", 0, 0.0)
        };
        plan.routes.push(quiet);
    }));
    play.run_with(6 * HOUR, world(NEVER, moves_at(HOUR)));
    let [notice] = play.notices.as_slice() else {
        panic!("{:?}", headlines(&play.notices));
    };
    assert_eq!(notice.reason, Reason::Notice);
    assert_eq!(
        (notice.incident, notice.receiver.as_str()),
        (0, "engineers")
    );
    let briefing = &notice.briefing;
    assert_eq!(
        briefing.because,
        ["Nothing is refused: all 6 combinations that ran since pass"]
    );
    assert!(
        briefing
            .next_step
            .as_ref()
            .unwrap()
            .starts_with("Tell the owners of allow-lists")
    );
    assert!(play.stored.is_empty());
    // The control shows the same headers, and is nobody's partner.
    assert_eq!(play.memory.fronts.len(), 1);
}

/// Second 0 of a story is Sunday 02:00 UTC; its maintenance is from second 1800 on.
fn planned(probes: &[&str], effect: Effect) -> impl Fn(&mut Plan) {
    move |plan| {
        plan.maintenance.push(Maintenance {
            name: "move to a CDN".to_owned(),
            begins: Begins::Cron(Cron::new("30 2 * * SUN", TimeZone::UTC).unwrap()),
            lasting: Duration::from_secs(7200),
            probes: probes.iter().map(|name| (*name).into()).collect(),
            effect,
        });
    }
}

#[test]
fn a_change_in_maintenance_is_told_to_nobody_or_with_its_name() {
    let check = |name: &str, probes: &[&str], effect, at: i64, told: &[&[&str]]| {
        let mut play = Play::new(gmc().with(planned(probes, effect)));
        play.run_with(6 * HOUR, world(NEVER, moves_at(at)));
        let during: Vec<_> = play.notices.iter().map(|n| &n.briefing.during).collect();
        let seen: Vec<_> = play.notices.iter().map(|n| n.briefing.onset_at).collect();
        assert_eq!(during, told, "{name}: {seen:?}");
        // An hour later a refusal follows: known all the same.
        play.run_with(8 * HOUR, world(7 * HOUR, moves_at(at)));
        assert_eq!(beside_of(&play).len(), 1, "{name}");
    };
    let (mute, annotate) = (Effect::Mute, Effect::Annotate);
    check("of this probe", &["gmc-connect"], mute, HOUR, &[]);
    check("of every probe", &[], mute, HOUR, &[]);
    check("seen in its last minutes", &[], mute, 8700, &[]);
    check("of another probe", &["internet"], mute, HOUR, &[&[]]);
    check("hours after it", &["gmc-connect"], mute, 4 * HOUR, &[&[]]);
    let name: &[&str] = &["move to a CDN"];
    check("mentioned", &["gmc-connect"], annotate, HOUR, &[name]);
    check("mentioned at its end", &[], annotate, 8700, &[name]);
    check("not mentioned", &["internet"], annotate, HOUR, &[&[]]);
}

#[test]
fn a_silence_hides_a_change_only_if_it_covers_all_of_it() {
    let of = |clients: &[&str], kinds: &[Kind], incidents: &[u64]| Matcher {
        clients: clients.iter().map(|name| (*name).into()).collect(),
        kinds: kinds.to_vec(),
        incidents: incidents.to_vec(),
        ..Matcher::default()
    };
    let probe = Matcher {
        probes: vec!["gmc-connect".into()],
        ..Matcher::default()
    };
    let check = |name: &str, silences: &[Matcher], lasting: i64, told: usize| {
        for restart in [false, true] {
            let mut play = Play::new(gmc());
            play.run_with(1800, world(NEVER, moves_at(HOUR)));
            for silence in silences {
                play.silence(silence.clone(), lasting);
            }
            if restart {
                play.restart();
            }
            play.run_with(6 * HOUR, world(NEVER, moves_at(HOUR)));
            assert_eq!(play.notices.len(), told, "{name}, restart: {restart}");
        }
    };
    let probe = [probe];
    check("the probe", &probe, 2 * HOUR, 0);
    check("the probe, until just after it", &probe, 1810, 0);
    check(
        "one client of several",
        &[of(&["java-8"], &[], &[])],
        2 * HOUR,
        1,
    );
    let each = ["java-8", "java-11", "plain"].map(|name| of(&[name], &[], &[]));
    check("every client, by several", &each, 2 * HOUR, 0);
    check(
        "a verdict",
        &[of(&[], &[Kind::EdgeBlock], &[])],
        2 * HOUR,
        1,
    );
    check("an incident", &[of(&[], &[], &[1])], 2 * HOUR, 1);
}

#[test]
fn a_change_at_night_waits_for_the_hours_of_a_route() {
    let working = Hours::new([true; 7], 9 * 60, 17 * 60);
    let closed = |plan: &mut Plan| {
        plan.routes[0].during = working;
        plan.routes.push(Route {
            notices: true,
            ..route("support", 0, 0.0)
        });
    };
    let mut play = Play::new(gmc().with(closed));
    play.run_with(3 * HOUR, world(NEVER, moves_at(HOUR)));
    let due = |notice: &Notification| {
        let wait = notice.not_before.duration_since(notice.created_at);
        (notice.receiver.to_string(), wait.is_positive())
    };
    let told: Vec<_> = play.notices.iter().map(due).collect();
    assert_eq!(
        told,
        [("engineers".into(), true), ("support".into(), false)]
    );
    assert_eq!(play.notices[0].not_before, play::at(7 * HOUR), "09:00 UTC");
    // A second route to the same receiver is open.
    let mut play = Play::new(gmc().with(|plan| {
        closed(plan);
        plan.routes[1].to = "engineers".into();
    }));
    play.run_with(3 * HOUR, world(NEVER, moves_at(HOUR)));
    let told: Vec<_> = play.notices.iter().map(due).collect();
    assert_eq!(told, [("engineers".into(), false)]);
}

#[test]
fn fronts_that_take_turns_and_headers_of_a_release_are_no_news() {
    let mut play = Play::new(gmc());
    play.run_with(
        8 * HOUR,
        world(NEVER, |_, t| match t {
            // Two web servers behind a balancer, one of them behind a CDN.
            _ if t % 3 == 0 => EDGE,
            _ if t % 7 == 1 => "Server: apache\r\nX-Odd: 1",
            _ => NGINX,
        }),
    );
    assert!(play.notices.is_empty(), "{:?}", headlines(&play.notices));
    let release = "Server: nginx/1.20\r\nX-Powered-By: ASP.NET\r\nX-Release: 7";
    play.run_with(12 * HOUR, world(11 * HOUR, move |_, _| release));
    assert!(play.notices.is_empty(), "{:?}", headlines(&play.notices));
    assert_eq!(
        beside_of(&play)[0].text,
        "webcache.gmc-uk.org now sends x-release"
    );
}

#[test]
fn one_egress_behind_a_proxy_of_its_own_proves_nothing() {
    let mut play = Play::new(gmc());
    let proxied = |cell: &CellKey, t: i64| {
        let behind = t >= HOUR && cell.egress.as_str() == "new-reval";
        if behind { EDGE } else { NGINX }
    };
    play.run_with(6 * HOUR, world(NEVER, proxied));
    assert!(play.notices.is_empty(), "{:?}", headlines(&play.notices));
}

#[test]
fn a_restart_keeps_what_is_known() {
    let mut play = Play::new(gmc());
    play.run_with(HOUR, world(NEVER, moves_at(NEVER)));
    play.restart();
    // It moved while nobody looked.
    play.run_with(3 * HOUR, world(NEVER, |_, _| EDGE));
    assert_eq!(play.notices.len(), 1);
    play.restart();
    play.run_with(6 * HOUR, world(5 * HOUR, |_, _| EDGE));
    assert_eq!(play.notices.len(), 1, "told once");
    let beside = beside_of(&play);
    assert!(beside.len() == 1 && beside[0].related, "{beside:#?}");
}

#[test]
fn a_restart_before_it_was_told_tells_it_once() {
    let mut play = Play::new(gmc());
    let mut stop = HOUR;
    // As soon as the change is kept, and before the wait for an incident is over.
    while play.memory.fronts.iter().all(|f| f.drifts.is_empty()) {
        stop += 1;
        play.run_with(stop, world(NEVER, moves_at(HOUR)));
    }
    assert!(play.notices.is_empty());
    play.restart();
    play.run_with(3 * HOUR, world(NEVER, moves_at(HOUR)));
    assert_eq!(play.notices.len(), 1, "{:?}", headlines(&play.notices));
}

/// The control echoes the address that `egress` has at a second; all else passes.
fn echo(
    address: impl Fn(&str, i64) -> &'static str,
) -> impl Fn(&CellKey, i64) -> (Kind, Option<Answer>) {
    move |cell, t| {
        let body = format!("fl=1\nh=x\nip={}\nts=1\n", address(cell.egress.as_str(), t));
        let control = cell.probe.as_str() == "internet";
        (Kind::Pass, control.then(|| answer(NGINX, &body)))
    }
}

fn own_address(egress: &str) -> &'static str {
    match egress {
        "legacy-prod" => "203.0.113.1",
        _ => "203.0.113.2",
    }
}

#[test]
fn an_egress_with_another_public_address_is_told_and_stands_beside_its_refusal() {
    let mut play = Play::new(gmc());
    let moved = |egress: &str, t: i64| match egress {
        "new-reval" if t >= HOUR => "198.51.100.9",
        // One odd answer is none.
        "legacy-prod" if (1801..1861).contains(&t) => "198.51.100.1",
        other => own_address(other),
    };
    play.run_with(2 * HOUR, echo(moved));
    let [notice] = play.notices.as_slice() else {
        panic!("{:?}", headlines(&play.notices));
    };
    let briefing = &notice.briefing;
    assert!(briefing.our_side);
    assert_eq!(
        briefing.headline,
        "The public address of egress `new-reval` changed from 203.0.113.2 to 198.51.100.9"
    );
    assert!(
        briefing
            .because
            .contains(&"the configuration says `public: 203.0.113.2`".to_owned()),
        "{:?}",
        briefing.because
    );
    play.restart();
    play.run_with(4 * HOUR, |cell, t| {
        let from = cell.egress.as_str() == "new-reval";
        let (_, answer) = echo(moved)(cell, t);
        (
            kind_at(t >= 3 * HOUR && from, Kind::EdgeBlock, cell),
            answer,
        )
    });
    assert_eq!(play.notices.len(), 1, "told once");
    let beside = beside_of(&play);
    assert!(beside.len() == 1 && beside[0].related, "{beside:#?}");
    assert!(
        beside[0]
            .text
            .starts_with("the public address of egress `new-reval`")
    );
}

#[test]
fn another_address_of_a_silenced_egress_is_told_to_nobody() {
    let moved = |egress: &str, t: i64| match egress {
        "new-reval" if t >= HOUR => "198.51.100.9",
        other => own_address(other),
    };
    let of = |egress: &str| Matcher {
        egresses: vec![egress.into()],
        ..Matcher::default()
    };
    for (egress, told) in [("new-reval", 0), ("legacy-prod", 1)] {
        let mut play = Play::new(gmc());
        play.silence(of(egress), 2 * HOUR);
        play.run_with(4 * HOUR, echo(moved));
        assert_eq!(play.notices.len(), told, "{egress}");
    }
    // Maintenance of what partners are asked covers it, though the control that found out is not named.
    for (effect, told) in [(Effect::Mute, 0), (Effect::Annotate, 1)] {
        let mut play = Play::new(gmc().with(planned(&["gmc-connect"], effect)));
        play.run_with(4 * HOUR, echo(moved));
        assert_eq!(play.notices.len(), told, "{effect:?}");
        for notice in &play.notices {
            assert_eq!(notice.briefing.during, ["move to a CDN"]);
        }
    }
}

#[test]
fn an_address_other_than_the_configured_one_is_told_once() {
    let mut play = Play::new(gmc());
    let other = |egress: &str, _: i64| match egress {
        "new-reval" => "203.0.113.77",
        other => own_address(other),
    };
    play.run_with(HOUR, echo(other));
    play.restart();
    play.run_with(3 * HOUR, echo(other));
    assert_eq!(
        headlines(&play.notices),
        ["Egress `new-reval` is seen as 203.0.113.77, while the configuration says 203.0.113.2"]
    );
    // The other family is not compared, and an edit is.
    let v6 = |_: &str, _: i64| "2001:db8::7";
    play.run_with(4 * HOUR, echo(v6));
    let mut plan = (*play.plan).clone();
    plan.egresses[0].public = Some("203.0.113.88".parse().unwrap());
    play.replace(plan);
    play.run_with(5 * HOUR, echo(other));
    assert_eq!(
        headlines(&play.notices)[1..],
        ["Egress `legacy-prod` is seen as 203.0.113.1, while the configuration says 203.0.113.88"]
    );
}

#[test]
fn a_pool_of_addresses_is_told_as_it_is_learned() {
    let mut play = Play::new(gmc().with(|plan| plan.egresses[1].public = None));
    let pool = |egress: &str, t: i64| match egress {
        "new-reval" if (t / 900) % 2 == 1 => "198.51.100.9",
        other => own_address(other),
    };
    play.run_with(6 * HOUR, echo(pool));
    assert_eq!(play.notices.len(), 1, "{:?}", headlines(&play.notices));
}

#[test]
fn an_edited_user_agent_stands_beside_its_refusal_after_a_restart() {
    let edit = |plan: &mut Plan| {
        let java = plan
            .clients
            .iter_mut()
            .find(|c| c.name.as_str() == "java-8");
        java.unwrap().user_agent = "Java/21.0.2".to_owned();
    };
    for restarts in [false, true] {
        let mut play = Play::new(gmc());
        // A first start with a store, as the daemon makes it.
        play.restart();
        play.run_with(HOUR, world(NEVER, moves_at(NEVER)));
        let mut plan = (*play.plan).clone();
        edit(&mut plan);
        if restarts {
            play.plan = Arc::new(plan);
            play.restart();
        } else {
            play.replace(plan);
        }
        play.run_with(2 * HOUR, world(NEVER, moves_at(NEVER)));
        play.restart();
        play.run_with(4 * HOUR, world(3 * HOUR, moves_at(NEVER)));
        let beside = beside_of(&play);
        assert!(beside.len() == 1 && beside[0].related, "{beside:#?}");
        assert_eq!(
            beside[0].text,
            "the user agent of client `java-8` was edited from `java-8/1.0` to `Java/21.0.2`"
        );
        assert!(play.notices.is_empty(), "the operator knows");
    }
}

#[test]
fn an_edit_elsewhere_is_not_beside() {
    let mut play = Play::new(gmc());
    play.restart();
    play.run_with(HOUR, world(NEVER, moves_at(NEVER)));
    let mut plan = (*play.plan).clone();
    plan.clients[1].user_agent = "Java/21.0.2".to_owned();
    plan.receivers.push(crate::domain::notification::Receiver {
        name: "more".into(),
        channel: Channel::Log,
        fallback: None,
    });
    play.replace(plan);
    play.run_with(4 * HOUR, world(3 * HOUR, moves_at(NEVER)));
    assert!(beside_of(&play).is_empty(), "{:#?}", beside_of(&play));
}
