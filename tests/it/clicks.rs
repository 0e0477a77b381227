//! Buttons in Slack over a WebSocket: each click once, refused ones answered, never deaf for good.

use std::time::Duration;

use edgewatch::app::asks::Wish;
use edgewatch::app::clicks::Clicks;
use edgewatch::domain::action::Action;
use edgewatch::domain::cell::ReceiverName;
use edgewatch::domain::incident::Muted;
use edgewatch::domain::notification::{Buttons, Channel, Reason, Receiver, Templates};
use edgewatch::domain::secret::Secret;
use edgewatch::notify::slack::Slack;
use edgewatch::notify::slack_socket::{Hearing, Patience};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::deliver::Captured;
use super::fakes::{APP_TOKEN, CHANNEL, Fake, Fault, Manner, TOKEN, press};
use super::samples::notification;
use super::slack::message;

/// As in production, only faster.
fn patience() -> Patience {
    let ms = Duration::from_millis;
    Patience {
        step: ms(200),
        acknowledge: ms(200),
        ping: ms(30),
        age_max: Duration::from_secs(3_600),
        settled: Duration::from_secs(60),
        backoff_min: ms(5),
        backoff_max: ms(20),
        setup: ms(40),
    }
}

/// For tests in which nothing is to time out.
fn calm() -> Patience {
    Patience {
        step: Duration::from_secs(10),
        ping: Duration::from_secs(10),
        ..patience()
    }
}

fn receiver(fake: &Fake, users: &[&str], groups: &[&str]) -> Receiver {
    let own = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    Receiver {
        name: ReceiverName::new("engineers"),
        channel: Channel::Slack {
            token: Ok(Secret::new(TOKEN)),
            channel: CHANNEL.into(),
            mention: None,
            buttons: Some(Buttons {
                app_token: Ok(Secret::new(APP_TOKEN)),
                users: own(users),
                user_groups: own(groups),
            }),
            templates: Templates::default(),
            api: fake.api(),
        },
        fallback: None,
    }
}

/// The buttons of an open incident, as they stand in the message that Slack took.
async fn buttons(fake: &Fake) -> Vec<Value> {
    drawn(fake, None).await
}

/// The same of one that something mutes.
async fn drawn(fake: &Fake, muted: Option<Muted>) -> Vec<Value> {
    let slack = Slack::new(&fake.api(), Secret::new(TOKEN), CHANNEL, None)
        .unwrap()
        .with_buttons(true);
    let mut due = notification(Reason::Opened, 0, "engineers");
    due.briefing.muted = muted;
    slack.tell(&message(&due), None, None).await.result.unwrap();
    let attachment = &fake.parents()[0].body["attachments"][0];
    let last = attachment["blocks"].as_array().unwrap().last().unwrap();
    last["elements"].as_array().unwrap().clone()
}

async fn next_wish(actions: &mut mpsc::Receiver<Wish>) -> Wish {
    let next = tokio::time::timeout(Duration::from_secs(10), actions.recv()).await;
    next.expect("an action in time").unwrap()
}

/// The next wish, which is granted.
async fn next(actions: &mut mpsc::Receiver<Wish>) -> Action {
    granted(next_wish(actions).await)
}

fn granted(wish: Wish) -> Action {
    wish.answer.send(Ok(())).unwrap();
    wish.action
}

async fn listening(fake: &Fake, count: usize) {
    fake.until("a connection", |f| f.sockets() >= count).await;
}

#[tokio::test]
async fn a_click_becomes_an_action_exactly_once() {
    let fake = Fake::slack().await;
    let (sender, mut actions) = mpsc::channel(8);
    let clicks = Clicks::start(&[receiver(&fake, &[], &[])], &calm(), &sender);
    let buttons = buttons(&fake).await;
    insta::assert_json_snapshot!("slack_parent_with_buttons", fake.parents()[0].body);
    listening(&fake, 1).await;
    let (acknowledge, silence) = (&buttons[0], &buttons[1]);
    // All of what it says is held elsewhere: `incident/notify` and `board/quiet`.
    assert_eq!(
        silence["confirm"]["text"]["text"],
        "INC-42 as a whole, for 1 hour from now; the message then shows until when. No change, reminder or escalation of it is told in any channel. All is kept and shown. Open after that: told what changed. Its end is told in any case. To undo: End silence, here or by command"
    );
    // The same envelope again, the same press in a new envelope, and a double click.
    for (envelope, button, pressed) in [
        ("e1", acknowledge, "1.0"),
        ("e1", acknowledge, "1.0"),
        ("e2", acknowledge, "1.0"),
        ("e3", acknowledge, "1.5"),
        ("e4", silence, "2.0"),
    ] {
        fake.push(press(envelope, button, "U0ANN", pressed));
    }
    let first = next(&mut actions).await;
    let Action::Acknowledge { incident, who, at } = &first else {
        panic!("{first:?}")
    };
    assert_eq!((*incident, who.as_str()), (42, "u0ann in Slack (U0ANN)"));
    assert!(edgewatch::clock::now().duration_since(*at).as_secs() < 10);
    let second = next(&mut actions).await;
    let Action::Silence {
        incident, lasting, ..
    } = &second
    else {
        panic!("{second:?}")
    };
    assert_eq!((*incident, lasting.as_secs()), (42, 3_600));
    fake.until("all acknowledged", |f| {
        f.acknowledged() == ["e1", "e1", "e2", "e3", "e4"]
    })
    .await;
    // Somebody else does the same: told so, not done again.
    fake.push(press("e5", acknowledge, "U0BOB", "3.0"));
    fake.until("the answer", |f| f.whispers().len() == 1).await;
    assert_eq!(
        fake.whispers()[0],
        json!({ "channel": CHANNEL, "user": "U0BOB", "text": "u0ann has just done this for INC-42." })
    );
    assert!(actions.try_recv().is_err());
    clicks.stop().await;
}

#[tokio::test]
async fn only_those_who_may_and_the_others_are_told_why() {
    let fake = Fake::slack().await;
    fake.user_group("S0ONCALL", &["U0BOB"]);
    let (sender, mut actions) = mpsc::channel(8);
    let receiver = receiver(&fake, &["U0ANN"], &["S0ONCALL"]);
    let clicks = Clicks::start(&[receiver], &calm(), &sender);
    let buttons = buttons(&fake).await;
    listening(&fake, 1).await;
    let other = |incident: u32| {
        let mut button = buttons[0].clone();
        button["value"] = format!("{incident}.0").into();
        button
    };
    let mut silence = buttons[1].clone();
    silence["value"] = "1.0".into();
    fake.push(press("e0", &silence, "U0EVE", "0"));
    fake.push(press("e1", &other(1), "U0EVE", "1"));
    fake.push(press("e2", &other(2), "U0ANN", "2"));
    fake.push(press("e3", &other(3), "U0BOB", "3"));
    let done = [next(&mut actions).await, next(&mut actions).await];
    assert_eq!(done.map(|a| a.incident()), [2, 3]);
    let told = fake.whispers();
    assert_eq!((told.len(), &told[0]["user"]), (2, &json!("U0EVE")));
    assert_eq!(told[0], told[1], "whichever button");
    assert_eq!(
        told[0]["text"],
        "You are not among those who may acknowledge or silence incidents here, so nothing was done about INC-1. Who may is written in probes.yaml, under the receiver engineers: allow."
    );
    // A click that came from some other channel is nobody's.
    let mut elsewhere = press("e4", &other(4), "U0ANN", "4");
    elsewhere["payload"]["channel"]["id"] = "C0OTHER".into();
    fake.push(elsewhere);
    fake.push(press("e5", &other(5), "U0ANN", "5"));
    assert_eq!(next(&mut actions).await.incident(), 5);
    // The group is asked about once, not at every click.
    let asked = |f: &Fake| {
        f.calls()
            .iter()
            .filter(|c| c.starts_with("usergroups"))
            .count()
    };
    assert_eq!(asked(&fake), 1);
    clicks.stop().await;
}

/// What others wanted quiet is no more for everybody to undo than to silence.
#[tokio::test]
async fn a_silence_is_ended_by_those_who_may_press_alone() {
    let fake = Fake::slack().await;
    fake.user_group("S0ONCALL", &["U0BOB"]);
    let (sender, mut actions) = mpsc::channel(8);
    let receiver = receiver(&fake, &["U0ANN"], &["S0ONCALL"]);
    let clicks = Clicks::start(&[receiver], &calm(), &sender);
    let now = edgewatch::clock::now();
    let muted = Muted {
        at: now,
        until: now.checked_add(Duration::from_secs(3_600)).unwrap(),
        by: vec!["silence 3 of ann".to_owned()],
        silences: vec![3],
    };
    let end = drawn(&fake, Some(muted)).await.pop().unwrap();
    assert_eq!(end["text"]["text"], "End silence");
    listening(&fake, 1).await;
    fake.push(press("e1", &end, "U0EVE", "1"));
    fake.until("the answer", |f| f.whispers().len() == 1).await;
    let told = fake.whispers()[0].clone();
    assert_eq!(told["user"], "U0EVE");
    assert_eq!(
        told["text"],
        "You are not among those who may acknowledge or silence incidents here, so nothing was done about INC-42. Who may is written in probes.yaml, under the receiver engineers: allow."
    );
    assert!(actions.try_recv().is_err());
    for (envelope, user) in [("e2", "U0ANN"), ("e3", "U0BOB")] {
        // Each after the other was answered: the second is told that it was done just now.
        fake.push(press(envelope, &end, user, envelope));
        if user == "U0ANN" {
            let done = next(&mut actions).await;
            assert!(
                matches!(&done, Action::EndSilence { incident: 42, who, .. } if who == "u0ann in Slack (U0ANN)"),
                "{done:?}"
            );
        }
    }
    fake.until("the second answer", |f| f.whispers().len() == 2)
        .await;
    assert_eq!(
        fake.whispers()[1]["text"],
        "u0ann has just done this for INC-42."
    );
    clicks.stop().await;
}

#[tokio::test]
async fn nobody_is_let_in_when_the_group_is_not_known() {
    let fake = Fake::slack().await;
    fake.always(
        "usergroups.users.list",
        Some(Fault::Refused("missing_scope")),
    );
    let (sender, mut actions) = mpsc::channel(8);
    let clicks = Clicks::start(&[receiver(&fake, &[], &["S0ONCALL"])], &calm(), &sender);
    let buttons = buttons(&fake).await;
    listening(&fake, 1).await;
    fake.push(press("e1", &buttons[0], "U0BOB", "1"));
    fake.until("the answer", |f| f.whispers().len() == 1).await;
    let text = fake.whispers()[0]["text"].to_string();
    assert!(text.contains("missing_scope"), "{text}");
    assert!(actions.try_recv().is_err());
    clicks.stop().await;
}

#[tokio::test]
async fn a_click_is_acknowledged_once_it_is_kept_and_answered_where_nothing_is_done() {
    let fake = Fake::slack().await;
    let (sender, mut actions) = mpsc::channel(8);
    let clicks = Clicks::start(&[receiver(&fake, &[], &[])], &calm(), &sender);
    let buttons = buttons(&fake).await;
    listening(&fake, 1).await;
    fake.push(press("e1", &buttons[0], "U0ANN", "1"));
    let Wish { answer, .. } = next_wish(&mut actions).await;
    assert_eq!(
        fake.acknowledged(),
        Vec::<String>::new(),
        "nothing is kept yet"
    );
    answer.send(Ok(())).unwrap();
    fake.until("the acknowledgement", |f| f.acknowledged() == ["e1"])
        .await;
    // Refused: no failure in Slack, and an answer.
    fake.push(press("e2", &buttons[1], "U0BOB", "2"));
    let Wish { answer, .. } = next_wish(&mut actions).await;
    answer.send(Err("INC-42 is fixed.".to_owned())).unwrap();
    fake.until("the answer", |f| f.whispers().len() == 1).await;
    assert_eq!(fake.whispers()[0]["text"], "INC-42 is fixed.");
    fake.until("the acknowledgement", |f| f.acknowledged() == ["e1", "e2"])
        .await;
    // It was not done, so it may be pressed again; never kept, as when the process is killed: Slack shows a failure.
    fake.push(press("e3", &buttons[1], "U0BOB", "3"));
    let wish = next_wish(&mut actions).await;
    assert_eq!(wish.action.incident(), 42);
    clicks.stop().await;
    drop(wish);
    assert_eq!(fake.acknowledged(), ["e1", "e2"]);
}

#[tokio::test]
async fn a_wish_that_nobody_can_take_now_is_answered() {
    let fake = Fake::slack().await;
    let (sender, _actions) = mpsc::channel(1);
    let full = Action::Acknowledge {
        incident: 1,
        who: String::new(),
        at: edgewatch::clock::now(),
    };
    let (answer, _) = tokio::sync::oneshot::channel();
    let full = Wish {
        action: full,
        answer,
    };
    sender.try_send(full).unwrap();
    let clicks = Clicks::start(&[receiver(&fake, &[], &[])], &calm(), &sender);
    let buttons = buttons(&fake).await;
    listening(&fake, 1).await;
    fake.push(press("e1", &buttons[0], "U0ANN", "1"));
    fake.until("the answer", |f| f.whispers().len() == 1).await;
    let text = fake.whispers()[0]["text"].to_string();
    assert!(text.contains("Please press again"), "{text}");
    clicks.stop().await;
}

/// Whatever hangs, falls silent or is refused at first: in the end a click is heard.
#[tokio::test]
async fn never_deaf_for_good() {
    enum Trouble {
        Fault(&'static str, Fault),
        Manner(Manner),
        Disconnect(&'static str),
        Closed,
    }
    use Trouble as T;
    for (name, trouble) in [
        (
            "the question hangs",
            T::Fault("apps.connections.open", Fault::Hang),
        ),
        (
            "slow down",
            T::Fault("apps.connections.open", Fault::SlowDown(Some("0"))),
        ),
        (
            "a broken server",
            T::Fault("apps.connections.open", Fault::Status(500)),
        ),
        (
            "a portal in between",
            T::Fault("apps.connections.open", Fault::Page),
        ),
        (
            "a token that is mended later",
            T::Fault("apps.connections.open", Fault::Refused("invalid_auth")),
        ),
        ("the handshake hangs", T::Fault("socket", Fault::Hang)),
        (
            "the handshake is refused",
            T::Fault("socket", Fault::Status(403)),
        ),
        (
            "the handshake breaks off",
            T::Fault("socket", Fault::TakenThenDropped),
        ),
        ("no hello", T::Manner(Manner::NoHello)),
        ("no answer to pings", T::Manner(Manner::Silent)),
        ("renewed by Slack", T::Disconnect("refresh_requested")),
        ("switched off for a while", T::Disconnect("link_disabled")),
        ("closed", T::Closed),
    ] {
        let fake = Fake::slack().await;
        let (sender, mut actions) = mpsc::channel(8);
        let connections = match &trouble {
            T::Fault(method, fault) => {
                fake.fault(method, *fault);
                1
            }
            T::Manner(manner) => {
                fake.manner(*manner);
                2
            }
            _ => 2,
        };
        let clicks = Clicks::start(&[receiver(&fake, &[], &[])], &patience(), &sender);
        let buttons = buttons(&fake).await;
        if connections == 2 {
            listening(&fake, 1).await;
            fake.manner(Manner::Good);
        }
        match trouble {
            T::Disconnect(why) => fake.push(json!({ "type": "disconnect", "reason": why })),
            T::Closed => fake.close_socket(),
            _ => {}
        }
        // Patience is so short here that a busy machine may renew once more.
        let heard = async {
            let mut pressed = 0;
            loop {
                listening(&fake, connections).await;
                pressed += 1;
                fake.push(press(&format!("e{pressed}"), &buttons[0], "U0ANN", "1"));
                let next = tokio::time::timeout(Duration::from_millis(500), actions.recv()).await;
                if let Ok(action) = next {
                    return granted(action.unwrap());
                }
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(10), heard).await;
        assert_eq!(heard.expect(name).incident(), 42, "{name}");
        let hearing = clicks.hearing();
        assert_eq!(hearing[0].1, Hearing::Listening, "{name}");
        clicks.stop().await;
    }
}

#[tokio::test]
async fn receivers_of_one_app_share_a_connection() {
    let fake = Fake::slack().await;
    let (sender, _actions) = mpsc::channel(8);
    let (one, mut two) = (receiver(&fake, &[], &[]), receiver(&fake, &[], &[]));
    two.name = ReceiverName::new("managers");
    if let Channel::Slack { channel, .. } = &mut two.channel {
        *channel = "C9999999999".into();
    }
    let clicks = Clicks::start(&[one, two], &calm(), &sender);
    listening(&fake, 1).await;
    assert_eq!(clicks.hearing().len(), 2);
    clicks.stop().await;
    assert_eq!(fake.sockets(), 1);
}

/// Neither the app's token nor the ticket of the connection is in any log line.
#[tokio::test]
async fn secrets_of_the_socket_stay_out_of_the_log() {
    let log = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // While there is only one, tests beside this one decide which lines it is asked about.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let fake = Fake::slack().await;
    fake.fault("socket", Fault::Status(403));
    fake.fault("socket", Fault::TakenThenDropped);
    fake.fault("apps.connections.open", Fault::Page);
    let (sender, mut actions) = mpsc::channel(8);
    let clicks = Clicks::start(&[receiver(&fake, &[], &[])], &patience(), &sender);
    let buttons = buttons(&fake).await;
    listening(&fake, 1).await;
    fake.push(press("e1", &buttons[0], "U0ANN", "1"));
    next(&mut actions).await;
    clicks.stop().await;
    let kept = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(kept.contains("buttons are heard"), "the log was captured");
    for secret in [APP_TOKEN, crate::secrets::SLACK_TICKET, TOKEN] {
        let found = kept.find(secret);
        assert_eq!(
            found,
            None,
            "{:?}",
            found.map(|at| &kept[at.saturating_sub(300)..at])
        );
    }
}

/// A token that is wrong is said once, and neither token nor ticket is ever shown.
#[tokio::test]
async fn a_wrong_token_shows_as_deafness() {
    let fake = Fake::slack().await;
    fake.always(
        "apps.connections.open",
        Some(Fault::Refused("not_allowed_token_type")),
    );
    let (sender, _actions) = mpsc::channel(8);
    let clicks = Clicks::start(&[receiver(&fake, &[], &[])], &patience(), &sender);
    fake.until("three tries", |f| f.calls().len() >= 3).await;
    let hearing = clicks.hearing();
    assert_eq!(
        hearing[0].1,
        Hearing::Deaf("the app token: Slack refused: not_allowed_token_type".into())
    );
    assert!(!format!("{clicks:?}").contains("xapp"));
    clicks.stop().await;
}
