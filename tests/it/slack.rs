//! How incidents look in Slack, and what its answers mean to us.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use edgewatch::domain::incident::Muted;
use edgewatch::domain::notification::{Notification, Reason};
use edgewatch::domain::secret::Secret;
use edgewatch::notify::leave::{self, Guard};
use edgewatch::notify::slack::{Parent, Sent, Slack};
use edgewatch::notify::{Class, Message};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::fakes::{CHANNEL, Fake, Fault, MENTION, TOKEN};
use super::samples::{REASONS, any_notification, at, cases, notification};

fn slack(fake: &Fake) -> Slack {
    let token = Secret::new(TOKEN);
    Slack::with_timeout(
        &fake.api(),
        token,
        CHANNEL,
        Some(MENTION),
        Duration::from_secs(5),
    )
    .unwrap()
}

pub(crate) fn message(notification: &Notification) -> Message<'_> {
    Message {
        delivery: notification.delivery,
        reason: notification.reason,
        briefing: &notification.briefing,
        happened_at: notification.created_at,
        now: notification.created_at,
        late: false,
        whole: false,
        plain: false,
        repeat: false,
        note: None,
    }
}

/// Time stamps differ from run to run.
pub(crate) fn without_ts(body: &Value) -> Value {
    let mut body = body.clone();
    for key in ["ts", "thread_ts"] {
        if let Some(ts) = body.get_mut(key) {
            *ts = "[ts]".into();
        }
    }
    body
}

/// How much of it is to be read.
fn words(value: &Value) -> usize {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| match value.as_str() {
                Some(text) if key == "text" => text.encode_utf16().count(),
                _ => words(value),
            })
            .sum(),
        Value::Array(list) => list.iter().map(words).sum(),
        _ => 0,
    }
}

async fn tell(slack: &Slack, notification: &Notification, parent: Option<Parent>) -> Parent {
    let sent = slack.tell(&message(notification), parent, None).await;
    sent.result.unwrap();
    sent.parent.unwrap()
}

/// A hub that is frozen while it connects, or between two requests of one message, has lost its lead when it wakes up.
#[tokio::test]
async fn what_another_hub_tells_by_now_does_not_leave() {
    let fake = Fake::slack().await;
    let slack = slack(&fake);
    let opened = notification(Reason::Opened, 0, "engineers");
    let bodies = Arc::new(AtomicUsize::new(0));
    let (asked, until) = (Arc::clone(&bodies), Arc::new(AtomicUsize::new(0)));
    let lost_at = Arc::clone(&until);
    let guard = Guard {
        wait: Arc::new(|| Box::pin(std::future::ready(true))),
        still: Arc::new(move || asked.fetch_add(1, SeqCst) < lost_at.load(SeqCst)),
    };
    let mut seen = Vec::new();
    for let_through in 0..3 {
        bodies.store(0, SeqCst);
        until.store(let_through, SeqCst);
        let before = fake.messages().len();
        let message = message(&opened);
        let sent = leave::within(Some(guard.clone()), slack.tell(&message, None, None)).await;
        let error = sent.result.err();
        seen.push((
            fake.messages().len() - before,
            error.map(|error| (error.class, error.blind)),
        ));
    }
    let again = Some((Class::Transient, false));
    assert_eq!(seen, [(0, again), (1, again), (2, None)]);
}

/// A mute edits the one message, and says who did it, until when, and how it is undone; nobody is told.
#[tokio::test]
async fn a_silenced_incident_looks_so() {
    let fake = Fake::slack().await;
    let slack = slack(&fake).with_buttons(true);
    let mut muted = notification(Reason::Muted, 1, "engineers");
    muted.briefing.muted = Some(Muted {
        at: at("2021-02-28T02:20:00Z"),
        until: at("2021-02-28T03:20:00Z"),
        by: vec!["silence 3 of ann in Slack (U0ANN)".into()],
        silences: vec![3],
    });
    // Nothing stands there: nothing is posted to say so.
    let sent = slack.tell(&message(&muted), None, None).await;
    assert!(sent.result.is_ok() && sent.parent.is_none() && fake.messages().is_empty());
    let opened = notification(Reason::Opened, 0, "engineers");
    let parent = tell(&slack, &opened, None).await;
    let parent = tell(&slack, &muted, Some(parent)).await;
    assert_eq!(fake.messages().len(), 2, "the opening and its evidence");
    insta::assert_json_snapshot!("slack_parent_silenced", without_ts(&fake.parents()[0].body));
    let mut over = muted.clone();
    over.briefing.muted = None;
    tell(&slack, &over, Some(parent.clone())).await;
    let text = fake.parents()[0].body.to_string();
    assert!(
        text.contains("*STILL DOWN 6 min*") && text.contains("Silence 1 h"),
        "{text}"
    );
    // Somebody deleted it: it does not come back for this.
    fake.always("chat.update", Some(Fault::Refused("message_not_found")));
    tell(&slack, &muted, Some(parent)).await;
    assert_eq!(fake.messages().len(), 2);
}

#[tokio::test]
async fn one_message_for_an_incident_and_its_thread() {
    let fake = Fake::slack().await;
    let slack = slack(&fake);
    let mut parent = None;
    for (sequence, reason) in [
        Reason::Opened,
        Reason::Changed,
        Reason::Reminder,
        Reason::Resolved,
        Reason::Reopened,
    ]
    .into_iter()
    .enumerate()
    {
        let due = notification(reason, sequence as u32, "engineers");
        parent = Some(tell(&slack, &due, parent).await);
        let parents = fake.parents();
        assert_eq!(parents.len(), 1, "{reason:?}");
        insta::assert_json_snapshot!(
            format!("slack_parent_{}", reason.as_str()),
            without_ts(&parents[0].body)
        );
        let replies = fake.replies();
        assert_eq!(replies.len(), sequence + 1, "{reason:?}");
        let reply = &replies[sequence];
        assert_eq!(reply.thread_ts, Some(parents[0].ts.clone()));
        assert_eq!(
            reply.broadcast,
            matches!(reason, Reason::Resolved | Reason::Reopened),
            "{reason:?}"
        );
        insta::assert_json_snapshot!(
            format!("slack_reply_{}", reason.as_str()),
            without_ts(&reply.body)
        );
    }
    // The mention is written once, when the message is first posted.
    assert_eq!(fake.parents()[0].edits, 4);
    assert_eq!(
        fake.calls()
            .iter()
            .filter(|c| *c == "chat.postMessage")
            .count(),
        6
    );
    let metadata = &fake.parents()[0].metadata;
    assert_eq!(
        *metadata,
        json!({
            "event_type": "edgewatch_delivery",
            "event_payload": { "delivery_id": notification(Reason::Opened, 0, "").delivery.to_string(), "part": "parent", "incident": "INC-42" },
        })
    );
}

#[tokio::test]
async fn a_whole_incident_is_one_message() {
    let fake = Fake::slack().await;
    let due = notification(Reason::Resolved, 1, "engineers");
    let whole = Message {
        whole: true,
        late: true,
        ..message(&due)
    };
    slack(&fake).tell(&whole, None, None).await.result.unwrap();
    assert_eq!(fake.messages().len(), 1);
    assert_eq!(
        fake.parents()[0].body["text"],
        "*FIXED after 1 h 49 min* · GMC answers `legacy-reval` again. It was: GMC refuses `legacy-reval` (Java/1.8.0_275) at Cloudflare, from every egress · was down from 02:14 to 04:03 GMT"
    );
    let foot = fake.parents()[0].body["attachments"][0]["blocks"][1]["elements"][0]["text"].clone();
    assert_eq!(
        foot,
        "INC-42 · Delivered late, happened at 04:06 GMT · webcache.gmc-uk.org · the evidence: edgewatch report 42"
    );
}

#[tokio::test]
async fn posts_anew_when_the_message_is_gone() {
    let fake = Fake::slack().await;
    let slack = slack(&fake);
    let parent = tell(&slack, &notification(Reason::Opened, 0, "engineers"), None).await;
    fake.delete(&parent.ts);
    let new = tell(
        &slack,
        &notification(Reason::Resolved, 1, "engineers"),
        Some(parent.clone()),
    )
    .await;
    assert_ne!(new.ts, parent.ts);
    assert_eq!(fake.parents().len(), 1);
}

/// What each kind of trouble is taken for, and whether the message was taken all the same.
#[tokio::test]
async fn answers_have_their_class() {
    let wait = |seconds: f64| Class::SlowDown(Some(Duration::from_secs_f64(seconds)));
    for (fault, class, taken) in [
        (Fault::SlowDown(Some("2")), wait(2.0), 0),
        (Fault::SlowDown(Some("1.5")), wait(1.5), 0),
        (Fault::SlowDown(None), Class::SlowDown(None), 0),
        (
            Fault::SlowDown(Some("Wed, 21 Oct 2015 07:28:00 GMT")),
            wait(0.0),
            0,
        ),
        (
            Fault::SlowDown(Some("Wed, 01 Dec 9999 00:00:00 GMT")),
            wait(86_400.0),
            0,
        ),
        (Fault::SlowDown(Some("tomorrow")), Class::SlowDown(None), 0),
        (Fault::Status(204), Class::Ambiguous, 0),
        (Fault::Refused("ratelimited"), Class::SlowDown(None), 0),
        (Fault::TakenThen500, Class::Ambiguous, 1),
        (Fault::TakenThenDropped, Class::Ambiguous, 1),
        (Fault::TakenThenCut, Class::Ambiguous, 1),
        (Fault::Status(503), Class::Ambiguous, 0),
        (Fault::Status(404), Class::Setup, 0),
        (Fault::Redirect, Class::Setup, 0),
        (Fault::Page, Class::Ambiguous, 0),
        (Fault::Refused("is_archived"), Class::Setup, 0),
        (Fault::Refused("token_revoked"), Class::Setup, 0),
        (Fault::Refused("invalid_blocks"), Class::Payload, 0),
        (Fault::Refused("never_heard_of"), Class::Ambiguous, 0),
        (Fault::RefusedSilently, Class::Ambiguous, 0),
    ] {
        let fake = Fake::slack().await;
        fake.fault("chat.postMessage", fault);
        let due = notification(Reason::Opened, 0, "engineers");
        let Sent { parent, result } = slack(&fake).tell(&message(&due), None, None).await;
        let error = result.unwrap_err();
        assert_eq!(error.class, class, "{fault:?}: {error}");
        assert_eq!(parent, None, "{fault:?}");
        assert_eq!(fake.messages().len(), taken, "{fault:?}");
        assert!(!error.text.contains("xoxb"), "{error}");
    }
}

#[tokio::test]
async fn silence_and_no_connection_are_told_apart() {
    let fake = Fake::slack().await;
    fake.fault("chat.postMessage", Fault::Hang);
    let due = notification(Reason::Opened, 0, "engineers");
    let short = Duration::from_millis(100);
    let token = Secret::new(TOKEN);
    let slack = Slack::with_timeout(&fake.api(), token.clone(), CHANNEL, None, short).unwrap();
    let error = slack
        .tell(&message(&due), None, None)
        .await
        .result
        .unwrap_err();
    assert_eq!(
        (error.class, error.text.as_str()),
        (Class::Ambiguous, "Slack did not answer in time")
    );

    let api = fake.api();
    drop(fake);
    let slack = Slack::with_timeout(&api, token, CHANNEL, None, short).unwrap();
    let error = slack
        .tell(&message(&due), None, None)
        .await
        .result
        .unwrap_err();
    assert_eq!(
        (error.class, error.text.as_str()),
        (Class::Transient, "no connection to Slack: refused")
    );
}

#[tokio::test]
async fn a_strange_answer_does_not_make_a_sent_message_look_failed() {
    let fake = Fake::slack().await;
    fake.fault("chat.postMessage", Fault::TakenStrangely);
    tell(
        &slack(&fake),
        &notification(Reason::Opened, 0, "engineers"),
        None,
    )
    .await;
    assert_eq!(fake.parents().len(), 1);
}

/// After an unclear outcome the message is found, over pages and other people's odd metadata, and not sent again.
#[tokio::test]
async fn an_unclear_try_is_looked_for_before_it_is_repeated() {
    let unclear = [
        Fault::TakenThen500,
        Fault::TakenThenDropped,
        Fault::TakenThenCut,
    ];
    // The parent is the first post, the reply the second.
    for (fault, good_posts) in unclear.into_iter().flat_map(|f| [(f, 0), (f, 1)]) {
        let fake = Fake::slack().await;
        fake.small_pages(2);
        let slack = slack(&fake);
        let due = notification(Reason::Opened, 0, "engineers");
        let began = edgewatch::clock::now();
        let mut parent = None;
        if good_posts == 1 {
            fake.fault("chat.postMessage", Fault::None);
        }
        fake.fault("chat.postMessage", fault);
        for expected in [false, true] {
            for odd in [
                json!({ "event_type": "other", "event_payload": { "delivery_id": 7 } }),
                json!(null),
            ] {
                fake.chatter(odd);
            }
            let sent = slack.tell(&message(&due), parent, Some(began)).await;
            assert_eq!(
                sent.result.is_ok(),
                expected,
                "{fault:?} {good_posts}: {:?}",
                sent.result
            );
            parent = sent.parent;
        }
        assert_eq!(fake.parents().len(), 1, "{fault:?} {good_posts}");
        assert_eq!(fake.replies().len(), 1, "{fault:?} {good_posts}");
    }
}

/// Our clock may be ahead of Slack's by more than a minute.
#[tokio::test]
async fn an_unclear_try_is_found_although_the_clocks_differ() {
    for good_posts in [0, 1] {
        let fake = Fake::slack().await;
        let slack = slack(&fake);
        let due = notification(Reason::Opened, 0, "engineers");
        let began = edgewatch::clock::now() + Duration::from_secs(900);
        for _ in 0..good_posts {
            fake.fault("chat.postMessage", Fault::None);
        }
        fake.fault("chat.postMessage", Fault::TakenThen500);
        let sent = slack.tell(&message(&due), None, None).await;
        assert!(sent.result.is_err());
        let sent = slack.tell(&message(&due), sent.parent, Some(began)).await;
        sent.result.unwrap();
        assert_eq!(
            (fake.parents().len(), fake.replies().len()),
            (1, 1),
            "{good_posts}"
        );
    }
}

/// A look that can't come to an end, or fails for longer than anybody would wait, ends in a repeat that says so.
#[tokio::test]
async fn says_that_it_may_be_a_repeat_where_a_look_leads_nowhere() {
    for (chatter, broken, minutes, posted) in [
        (0, false, 0, 1),
        (30, false, 0, 2),
        (0, true, 14, 1),
        (0, true, 16, 2),
    ] {
        let fake = Fake::slack().await;
        fake.small_pages(1);
        let due = notification(Reason::Opened, 0, "engineers");
        fake.fault("chat.postMessage", Fault::TakenThen500);
        let slack = slack(&fake);
        let began = edgewatch::clock::now();
        for _ in 0..chatter / 2 {
            fake.chatter(json!(null));
        }
        let first = slack.tell(&message(&due), None, None).await;
        assert!(first.result.is_err());
        for _ in 0..chatter / 2 {
            fake.chatter(json!(null));
        }
        if broken {
            fake.always("conversations.history", Some(Fault::Status(500)));
            fake.always("conversations.replies", Some(Fault::Status(500)));
        }
        let later = Message {
            now: began + Duration::from_secs(minutes * 60),
            ..message(&due)
        };
        let sent = slack.tell(&later, None, Some(began)).await;
        let ours = |m: &&super::fakes::SlackMessage| !m.metadata.is_null();
        let parents = fake.parents();
        let parents: Vec<_> = parents.iter().filter(ours).collect();
        let told = format!("{chatter} {broken} {minutes}: {sent:?} {parents:?}");
        assert_eq!(parents.len(), posted, "{told}");
        let marked = parents[posted - 1]
            .body
            .to_string()
            .contains("May be a repeat");
        assert_eq!(marked, posted == 2, "{told}");
        assert_eq!(sent.result.is_ok(), !broken || posted == 2, "{told}");
    }
}

#[tokio::test]
async fn says_that_it_may_be_a_repeat_where_it_may_not_look() {
    let fake = Fake::slack().await;
    fake.always(
        "conversations.history",
        Some(Fault::Refused("missing_scope")),
    );
    fake.always(
        "conversations.replies",
        Some(Fault::Refused("missing_scope")),
    );
    let due = notification(Reason::Opened, 0, "engineers");
    fake.fault("chat.postMessage", Fault::TakenThen500);
    let slack = slack(&fake);
    let sent = slack.tell(&message(&due), None, Some(due.created_at)).await;
    assert!(sent.result.unwrap_err().blind);
    slack
        .tell(&message(&due), None, Some(due.created_at))
        .await
        .result
        .unwrap();
    assert_eq!(fake.parents().len(), 2);
    assert!(
        fake.parents()[1]
            .body
            .to_string()
            .contains("May be a repeat")
    );
}

/// Whatever is in the texts, Slack takes the message, and no markup but ours is in it.
#[test]
fn any_briefing_makes_a_message_that_slack_takes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = runtime.block_on(Fake::slack());
    let slack = slack(&fake);
    proptest!(cases(40), |(due in any_notification(7), plain: bool, late: bool, whole: bool)| {
        let before = fake.messages().len();
        let message = Message { plain, late, whole, note: Some("Could not reach <x> & y"), ..message(&due) };
        runtime.block_on(async {
            let sent = slack.tell(&message, None, None).await;
            prop_assert!(sent.result.is_ok(), "{:?}", sent.result);
            let again = slack.tell(&message, sent.parent, None).await;
            prop_assert!(again.result.is_ok(), "{:?}", again.result);
            Ok(())
        })?;
        for posted in &fake.messages()[before..] {
            let size: usize = posted.body.to_string().encode_utf16().count();
            prop_assert!(size < 13_200, "{}", size);
            let shown = words(&posted.body["attachments"]);
            prop_assert!(shown <= 2_500, "{}", shown);
        }
    });
}

#[test]
fn log_text_shows_all_of_it() {
    for reason in REASONS {
        let due = notification(reason, 0, "engineers");
        let text = edgewatch::notify::log::text_with_evidence(&message(&due));
        insta::assert_snapshot!(format!("log_{}", reason.as_str()), text);
    }
}

#[test]
fn times_carry_the_date_when_it_is_another_day() {
    let due = notification(Reason::Reminder, 0, "engineers");
    let message = Message {
        now: at("2021-03-01T02:15:10Z"),
        ..message(&due)
    };
    let text = edgewatch::notify::log::text(&message);
    assert!(text.contains("since Sun 28 Feb 02:14 GMT"), "{text}");
}
