//! The order and the timing of deliveries, as tables.

use super::order::{self, Rules, Step};
use super::storm::{self, Place};
use super::timing::{self, Timing, after_failure, backoff};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::cell::ReceiverName;
use crate::domain::notification::{Briefing, Notification, Plain, Reason};
use crate::domain::probe::Words;
use crate::domain::spells::Spells;
use crate::domain::verdict::Kind;
use crate::notify::{Class, SendError};
use crate::store::{Delivery, Progress, Storm};

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_second(1_614_478_440 + minute * 60).unwrap()
}

fn briefing() -> Briefing {
    Briefing {
        service: "GMC".into(),
        incident: 1,
        state: crate::domain::incident::State::Open,
        our_side: false,
        subject: String::new(),
        probes: vec![],
        kind: Kind::EdgeBlock,
        headline: String::new(),
        because: vec![],
        ruled_out: vec![],
        next_step: None,
        confidence: 0.9,
        cause_known: true,
        onset_at: minute(0),
        opened_at: minute(0),
        resolved_at: None,
        spells: Spells::default(),
        before: None,
        reopened: 0,
        returns: 0,
        watched_again: false,
        engineers: crate::domain::notification::Engineers::Told,
        back_since: None,
        failed_runs: 3,
        cells: vec![],
        expected: String::new(),
        got: String::new(),
        last_good_at: None,
        failing: None,
        passing: None,
        reference_ids: vec![],
        words: Words::default(),
        beside: vec![],
        acknowledged: None,
        plain: Plain::default(),
        during: Vec::new(),
        muted: None,
        held_back: Vec::new(),
        zone: "UTC".into(),
        next_update_at: None,
    }
}

/// Rows as words: `1 opened@0`: incident 1, created at minute 0; then `after=5` (`not_before`), `next=7`
/// (`next_at`), `unclear`, `tried`.
fn rows(table: &str) -> Vec<Delivery> {
    table
        .split(", ")
        .enumerate()
        .map(|(sequence, row)| {
            let mut words = row.split(' ');
            let incident = words.next().unwrap().parse().unwrap();
            let (reason, created) = words.next().unwrap().split_once('@').unwrap();
            let created_at = minute(created.parse().unwrap());
            let mut briefing = briefing();
            briefing.incident = incident;
            // Tells which row's facts a message has.
            briefing.failed_runs = sequence as u32;
            let mut delivery = Delivery {
                notification: Notification {
                    delivery: Uuid::from_u128(sequence as u128),
                    incident,
                    sequence: sequence as u32,
                    reason: Reason::from_word(reason).unwrap(),
                    receiver: ReceiverName::new("engineers"),
                    created_at,
                    not_before: created_at,
                    briefing,
                },
                lane: String::new(),
                note: None,
                progress: Progress::Pending,
                attempts: 0,
                first_attempt_at: None,
                last_attempt_at: None,
                next_at: None,
                uncertain: false,
                unclear_tries: 0,
                plain: false,
                diverted: false,
                reference: None,
                error_class: None,
                error: None,
            };
            for word in words {
                match word.split_once('=').unwrap_or((word, "0")) {
                    ("after", at) => {
                        delivery.notification.not_before = minute(at.parse().unwrap());
                    }
                    ("next", at) => delivery.next_at = Some(minute(at.parse().unwrap())),
                    ("last", at) => {
                        delivery.last_attempt_at = Some(minute(at.parse().unwrap()));
                    }
                    ("tried", _) => delivery.attempts = 1,
                    ("unclear", _) => {
                        delivery.uncertain = true;
                        delivery.unclear_tries = 1;
                        delivery.attempts = 1;
                    }
                    ("sending", _) => {
                        delivery.progress = Progress::Sending;
                        delivery.attempts = 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
            delivery
        })
        .collect()
}

fn shown(step: &Step<'_>) -> String {
    let places = |rows: &[&Delivery]| {
        let places: Vec<String> = rows
            .iter()
            .map(|d| d.notification.sequence.to_string())
            .collect();
        places.join(" ")
    };
    match step {
        Step::Wait(None) => "nothing".into(),
        Step::Wait(Some(at)) => format!("wait {}", at.duration_since(minute(0)).as_mins()),
        Step::Overtake { deliveries, why } => format!("drop {}: {why}", places(deliveries)),
        Step::Send(send) => {
            let notification = &send.delivery.notification;
            let reason = notification.reason.as_str();
            let mut text = vec![format!("send {} {reason}", notification.sequence)];
            if send.briefing.failed_runs != send.delivery.notification.sequence {
                text.push(format!("as of {}", send.briefing.failed_runs));
            }
            if !send.merged.is_empty() {
                let merged: Vec<String> = send
                    .merged
                    .iter()
                    .map(|m| m.notification.delivery.as_u128().to_string())
                    .collect();
                text.push(format!("with {}", merged.join(" ")));
            }
            if send.whole {
                text.push("whole".to_owned());
            }
            text.join(" ")
        }
    }
}

fn check(name: &str, table: &str, now: i64, looks: bool, expected: &str) {
    let rows = if table.is_empty() {
        vec![]
    } else {
        rows(table)
    };
    let rules = Rules {
        now: minute(now),
        looks,
        wait_max: Duration::from_secs(15 * 60),
    };
    assert_eq!(shown(&order::next(&rows, rules)), expected, "{name}");
}

#[test]
fn a_notice_waits_for_no_other() {
    let waits = "0 notice@0 after=400, 0 notice@1";
    check("one for the morning", waits, 2, true, "send 1 notice");
    check(
        "nor tried again",
        "0 notice@0 next=9, 0 notice@1",
        2,
        true,
        "send 1 notice",
    );
    check(
        "the older first",
        "0 notice@0, 0 notice@1",
        2,
        true,
        "send 0 notice",
    );
}

#[test]
fn an_acknowledgement_is_a_message_of_its_own() {
    check(
        "after the opening, which does not swallow it",
        "1 opened@0, 1 changed@1, 1 acknowledged@2",
        3,
        true,
        "send 0 opened as of 1 with 1",
    );
    check(
        "then it",
        "1 acknowledged@2, 1 reminder@3",
        4,
        true,
        "send 0 acknowledged",
    );
    check(
        "not when it is over",
        "1 acknowledged@2, 1 resolved@3",
        4,
        true,
        "drop 0: overtaken",
    );
    check(
        "nor when all of it is told at once",
        "1 opened@0, 1 acknowledged@2, 1 resolved@3",
        4,
        true,
        "send 2 resolved with 0 1 whole",
    );
}

#[test]
fn order_within_and_between_incidents() {
    check("nothing to do", "", 0, true, "nothing");
    check("an opening", "1 opened@0", 0, true, "send 0 opened");
    check(
        "the older incident first",
        "1 opened@5, 2 opened@3",
        6,
        true,
        "send 1 opened",
    );
    check(
        "one that waits does not hold up another",
        "1 opened@0 tried next=9, 2 opened@3",
        5,
        true,
        "send 1 opened",
    );
    check(
        "the end waits for the opening's turn",
        "1 opened@0 unclear next=9, 1 resolved@4",
        5,
        true,
        "wait 9",
    );
    check(
        "a later retry",
        "1 opened@0 tried next=9, 2 opened@3 tried next=7",
        5,
        true,
        "wait 7",
    );
    check(
        "a long pause is one when it began before now",
        "1 opened@0 unclear last=0 next=120",
        5,
        false,
        "wait 120",
    );
    check(
        "the clock was set back during a long pause",
        "1 opened@600 unclear last=600 next=720",
        5,
        false,
        "send 0 opened",
    );
    check(
        "the clock was set back after the opening",
        "1 opened@600 after=600",
        5,
        true,
        "send 0 opened",
    );
    check(
        "the clock was set back after an opening that is to wait",
        "1 opened@600 after=610",
        5,
        true,
        "wait 15",
    );
    check(
        "the clock was set back: no retry is hours away",
        "1 opened@0 tried next=600",
        5,
        true,
        "send 0 opened",
    );
}

#[test]
fn what_waited_too_long_is_told_as_it_is_now() {
    check(
        "opening and end are one message",
        "1 opened@0 tried, 1 changed@2, 1 resolved@5",
        6,
        true,
        "send 2 resolved with 0 1 whole",
    );
    check(
        "an end that was tried before",
        "1 opened@0 tried, 1 resolved@5 unclear next=7",
        6,
        true,
        "wait 7",
    );
    check(
        "a return and its end are one message, but not the whole",
        "1 reopened@0 tried, 1 resolved@5",
        6,
        true,
        "send 1 resolved with 0",
    );
    check(
        "an unclear opening is looked up first",
        "1 opened@0 unclear, 1 resolved@5",
        6,
        true,
        "send 0 opened",
    );
    check(
        "where nothing can be looked up, the end tells it",
        "1 opened@0 sending, 1 resolved@5",
        6,
        false,
        "send 1 resolved with 0 whole",
    );
    check(
        "nor does the end wait for a repeat of the opening",
        "1 opened@0 unclear next=90 last=0, 1 resolved@5",
        6,
        false,
        "send 1 resolved with 0 whole",
    );
    check(
        "the opening has the newest facts",
        "1 opened@0 tried, 1 changed@2, 1 reminder@4",
        6,
        true,
        "send 0 opened as of 2 with 1 2",
    );
    check(
        "a change that is not due yet is not told early",
        "1 opened@0, 1 changed@2 after=9",
        6,
        true,
        "send 0 opened",
    );
    check(
        "several changes are one",
        "1 changed@2, 1 changed@4",
        6,
        true,
        "send 0 changed as of 1 with 1",
    );
    check(
        "a reminder that something follows",
        "1 reminder@2, 1 resolved@4",
        6,
        true,
        "drop 0: overtaken",
    );
    check(
        "a change that the end follows",
        "1 changed@2, 1 resolved@4",
        6,
        true,
        "drop 0: overtaken",
    );
    check(
        "a reminder alone",
        "1 reminder@2",
        6,
        true,
        "send 0 reminder",
    );
    check(
        "an end and a return are both told, in order",
        "1 resolved@2, 1 reopened@4",
        6,
        true,
        "send 0 resolved",
    );
}

#[test]
fn a_route_that_waits() {
    check(
        "not before its time",
        "1 opened@0 after=10",
        5,
        true,
        "wait 10",
    );
    check(
        "over before it was due",
        "1 opened@0 after=10, 1 changed@3, 1 resolved@9",
        9,
        true,
        "drop 0 1 2: over before it was due",
    );
    check(
        "not over when it was due",
        "1 opened@0 after=10, 1 resolved@10",
        11,
        true,
        "send 1 resolved with 0 whole",
    );
}

#[test]
fn an_end_that_waits_to_see_whether_it_lasts() {
    let case = |name: &str, table: &str, now: i64, expected: &str| {
        check(name, table, now, true, expected);
    };
    case(
        "it may come back yet",
        "1 resolved@10 after=40",
        12,
        "wait 40",
    );
    case(
        "it stayed away",
        "1 resolved@10 after=40",
        40,
        "send 0 resolved",
    );
    case(
        "it came back",
        "1 resolved@10 after=40, 1 reopened@20",
        20,
        "drop 0 1: came back before its end was told",
    );
    case(
        "and its end waits again",
        "1 resolved@10 after=40, 1 reopened@20, 1 resolved@30 after=60",
        40,
        "drop 0 1: came back before its end was told",
    );
    case(
        "its return waits for nothing",
        "1 reopened@5, 1 resolved@10 after=40",
        12,
        "send 0 reopened",
    );
    case(
        "its return was not told either",
        "1 reopened@5 next=15, 1 resolved@10 after=40, 1 reopened@20",
        20,
        "drop 1 2: came back before its end was told",
    );
    case(
        "it came back after its end was due, and nothing could be told",
        "1 resolved@10 after=40, 1 reopened@45",
        46,
        "send 0 resolved",
    );
    case(
        "its end may have been told",
        "1 resolved@10 after=40 unclear, 1 reopened@20",
        46,
        "send 0 resolved",
    );
}

#[test]
fn backoff_doubles_to_its_bound() {
    let (min, max) = (Duration::from_secs(1), Duration::from_secs(300));
    for (tries, random, seconds) in [
        (1, 1.0, 1.0),
        (2, 1.0, 2.0),
        (3, 0.5, 2.0),
        (9, 1.0, 256.0),
        (10, 1.0, 300.0),
        (u32::MAX, 1.0, 300.0),
        (5, 0.0, 0.0),
    ] {
        let waited = backoff(min, max, tries, random);
        assert!(
            (waited.as_secs_f64() - seconds).abs() < 1e-9,
            "{tries} {random}: {waited:?}"
        );
    }
}

/// What a failure asks for, as words; `random` is 1.
fn judged(row: &str, error: &SendError, now: i64) -> String {
    let delivery = rows(row).remove(0);
    let timing = Timing::default();
    let (verdict, divert) = after_failure(&timing, &delivery, error, minute(now), 1.0);
    let mut text = match verdict {
        timing::Verdict::Dead => vec!["dead".to_owned()],
        timing::Verdict::Again {
            wait,
            pause,
            uncertain,
            plain,
        } => {
            let words = [(pause, "pause"), (uncertain, "unclear"), (plain, "plain")];
            let words = words
                .iter()
                .filter(|(is, _)| *is)
                .map(|(_, word)| (*word).to_owned());
            let wait = format!("again in {} s", wait.as_secs());
            std::iter::once(wait).chain(words).collect()
        }
    };
    if divert {
        text.push("divert".to_owned());
    }
    text.join(", ")
}

#[test]
fn each_class_asks_for_something_else() {
    let error = |class| SendError {
        class,
        text: String::new(),
        blind: false,
        retry_after: None,
    };
    let blind = SendError {
        blind: true,
        ..error(Class::Ambiguous)
    };
    let asked = |seconds| Class::SlowDown(Some(Duration::from_secs(seconds)));
    let first = "1 opened@0";
    for (name, row, failure, expected) in [
        (
            "asked to wait",
            first,
            error(asked(7)),
            "again in 7 s, pause",
        ),
        (
            "asked for too long",
            first,
            error(asked(9_999)),
            "again in 900 s, pause",
        ),
        (
            "not said how long",
            first,
            error(Class::SlowDown(None)),
            "again in 30 s, pause",
        ),
        (
            "first transient",
            first,
            error(Class::Transient),
            "again in 1 s",
        ),
        (
            "second transient",
            "1 opened@0 tried",
            error(Class::Transient),
            "again in 2 s",
        ),
        (
            "unclear, can look",
            first,
            error(Class::Ambiguous),
            "again in 5 s, unclear",
        ),
        (
            "unclear, can't look",
            first,
            blind.clone(),
            "again in 60 s, unclear",
        ),
        (
            "a second time",
            "1 opened@0 unclear",
            blind.clone(),
            "again in 600 s, unclear",
        ),
        (
            "the first unclear one, after others were refused",
            "1 opened@0 tried",
            blind,
            "again in 60 s, unclear",
        ),
        (
            "layout",
            first,
            error(Class::Payload),
            "again in 0 s, plain",
        ),
        (
            "set-up",
            first,
            error(Class::Setup),
            "again in 600 s, pause, divert",
        ),
        (
            "set-up, of a reminder",
            "1 reminder@0",
            error(Class::Setup),
            "again in 600 s, pause",
        ),
        ("gone", first, error(Class::Gone), "again in 1 s"),
        (
            "wants nothing more",
            first,
            error(Class::Closed),
            "dead, divert",
        ),
        (
            "wants nothing more, of a reminder",
            "1 reminder@0",
            error(Class::Closed),
            "dead",
        ),
        (
            "a 503 that says when",
            first,
            SendError {
                retry_after: Some(Duration::from_secs(20)),
                ..error(Class::Transient)
            },
            "again in 20 s",
        ),
    ] {
        assert_eq!(judged(row, &failure, 0), expected, "{name}");
    }
}

#[test]
fn trouble_that_lasts_is_diverted_and_then_given_up() {
    let delivery = |attempts| Delivery {
        attempts,
        first_attempt_at: Some(minute(0)),
        ..rows("1 opened@0").remove(0)
    };
    let timing = Timing::default();
    let error = SendError {
        class: Class::Transient,
        text: String::new(),
        blind: false,
        retry_after: None,
    };
    let judge =
        |delivery: &Delivery, now| after_failure(&timing, delivery, &error, minute(now), 1.0);
    assert!(!judge(&delivery(2), 2).1, "not yet");
    assert!(judge(&delivery(5), 3).1, "after three minutes");
    let told = Delivery {
        diverted: true,
        ..delivery(9)
    };
    assert!(!judge(&told, 10).1, "once is enough");
    assert_ne!(judge(&delivery(99), 24 * 60 - 1).0, timing::Verdict::Dead);
    assert_eq!(judge(&delivery(99), 24 * 60).0, timing::Verdict::Dead);
    // A layout that is refused as plain text too.
    let plain = Delivery {
        plain: true,
        ..delivery(1)
    };
    let payload = SendError {
        class: Class::Payload,
        ..error.clone()
    };
    assert_eq!(
        after_failure(&timing, &plain, &payload, minute(0), 1.0),
        (timing::Verdict::Dead, true)
    );
    assert_ne!(
        judge(&delivery(1), 3 * 24 * 60).0,
        timing::Verdict::Dead,
        "one bad minute after days of sleep is not a day of tries"
    );
}

/// Nobody can look up whether a try arrived: it is tried for a day like all others, but ever more rarely.
#[test]
fn what_nobody_can_look_up_is_tried_for_a_day_but_not_often() {
    let timing = Timing::default();
    let blind = SendError {
        class: Class::Ambiguous,
        blind: true,
        text: String::new(),
        retry_after: None,
    };
    let (mut at, mut waits) = (minute(0), Vec::new());
    loop {
        let delivery = Delivery {
            attempts: u32::try_from(waits.len()).unwrap(),
            unclear_tries: u32::try_from(waits.len()).unwrap(),
            first_attempt_at: (!waits.is_empty()).then(|| minute(0)),
            ..rows("1 opened@0").remove(0)
        };
        match after_failure(&timing, &delivery, &blind, at, 0.5).0 {
            timing::Verdict::Again { wait, .. } => {
                waits.push(wait.as_secs() / 60);
                at += wait;
            }
            timing::Verdict::Dead => break,
        }
    }
    assert_eq!(waits[..7], [1, 10, 11, 22, 44, 88, 120]);
    assert!(at >= minute(24 * 60), "{waits:?}");
    assert!(waits.len() <= 20, "{waits:?}");
}

#[test]
fn nobody_is_asked_for_ever_at_the_pace_he_asks_for() {
    let timing = Timing::default();
    let error = |class, after| SendError {
        class,
        text: String::new(),
        blind: false,
        retry_after: after,
    };
    let now = Some(Duration::ZERO);
    for (name, failure, first, many) in [
        (
            "told to come back at once",
            error(Class::SlowDown(now), None),
            0,
            300,
        ),
        (
            "a 503 that says at once",
            error(Class::Transient, now),
            0,
            300,
        ),
        (
            "an unclear 503 that says at once",
            error(Class::Ambiguous, now),
            5,
            300,
        ),
        ("gone, again and again", error(Class::Gone, None), 1, 300),
    ] {
        for (attempts, expected) in [(0, first), (20, many)] {
            let delivery = Delivery {
                attempts,
                ..rows("1 opened@0").remove(0)
            };
            let (verdict, _) = after_failure(&timing, &delivery, &failure, minute(0), 1.0);
            let timing::Verdict::Again { wait, .. } = verdict else {
                panic!("{name}: {verdict:?}");
            };
            assert_eq!(wait.as_secs(), expected, "{name} after {attempts}");
        }
    }
}

#[test]
fn a_storm_begins_beyond_the_bound_and_stays_open_for_a_while() {
    let timing = Timing::default();
    let storm = |last: i64| Storm {
        id: 7,
        delivery: Uuid::nil(),
        began_at: minute(0),
        last_at: minute(last),
        tried_at: None,
        thread: None,
        members: vec![],
    };
    for (name, told, due, newest, expected) in [
        ("a single one", 0, 1, None, Place::Own),
        ("the last with a message of its own", 4, 1, None, Place::Own),
        ("one too many", 5, 1, None, Place::Begin),
        ("many at once", 0, 6, None, Place::Begin),
        ("a storm is on", 0, 1, Some(storm(15)), Place::Join(7)),
        ("it was long ago", 0, 1, Some(storm(14)), Place::Own),
        ("another one", 5, 1, Some(storm(0)), Place::Begin),
        ("the clock was set back", 0, 1, Some(storm(21)), Place::Own),
    ] {
        let placed = storm::place(&timing, told, due, newest.as_ref(), minute(20));
        assert_eq!(placed, expected, "{name}");
    }
}

#[test]
fn who_joins_a_storm() {
    let table = "1 opened@0, 2 opened@0 unclear, 3 opened@0 after=9, 4 opened@0, 4 resolved@3, 5 reminder@0, 6 opened@2 tried";
    let members = storm::firsts(&rows(table), "", minute(4));
    let incidents: Vec<u64> = members.iter().map(|m| m.incident).collect();
    assert_eq!(incidents, [1, 4, 6]);
}
