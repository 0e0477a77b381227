//! Many incidents at once: one message that names them, details and ends for each.

use std::time::Duration;

use edgewatch::app::deliver::Timing;
use edgewatch::domain::notification::{Engineers, Notification, Reason};
use edgewatch::notify::Message;
use edgewatch::notify::teams::payload_together;
use edgewatch::store::Progress;
use futures_util::future::join_all;
use serde_json::Value;

use super::deliver::{PATIENCE, World, engineers, hangs, hasty, support, timing};
use super::fakes::{Fake, Fault, card_problems};
use super::samples::{fresh, notification};
use super::slack::{message, without_ts};
use super::teams::banned;

/// An incident with words of its own.
fn of(incident: u64, reason: Reason, sequence: u32, receiver: &str) -> Notification {
    let mut due = fresh(incident, reason, sequence, receiver);
    due.briefing.headline = format!("Partner {incident} refuses `legacy` at its edge");
    due.briefing.service = format!("Partner {incident}");
    due.briefing.words.what = Some(format!("Sending forms to partner {incident}"));
    due
}

fn summaries(fake: &Fake) -> Vec<Value> {
    let parents = fake.parents();
    let of_many = parents
        .iter()
        .filter(|m| m.metadata["event_payload"]["part"] == "summary");
    of_many.map(|m| m.body.clone()).collect()
}

/// Something is to be told of each of the first incidents.
async fn due(world: &World, incidents: u64, reason: Reason, sequence: u32) {
    for incident in 1..=incidents {
        world
            .due(&[of(incident, reason, sequence, "engineers")])
            .await;
    }
}

fn named(text: &Value, incidents: std::ops::RangeInclusive<u64>) {
    let text = text.to_string();
    for incident in incidents {
        let name = format!("INC-{incident} ");
        assert!(text.contains(&name), "{name}: {text}");
    }
}

#[tokio::test]
async fn ten_at_once_share_one_message() {
    let (world, slack) = (World::new(), Fake::slack().await);
    due(&world, 10, Reason::Opened, 0).await;
    let deliver = world.deliver(&[engineers(&slack)], timing()).await;
    slack
        .until("the details of all", |s| s.replies().len() == 10)
        .await;
    let parents = slack.parents();
    assert_eq!((parents.len(), summaries(&slack).len()), (1, 1));
    let body = &summaries(&slack)[0];
    named(body, 1..=10);
    assert!(
        body["text"]
            .as_str()
            .unwrap()
            .contains("*10 INCIDENTS* · 10 partners · all open"),
        "{body}"
    );
    // Each reply has what a message of its own would have shown.
    assert!(
        slack
            .replies()
            .iter()
            .all(|r| r.thread_ts.as_ref() == Some(&parents[0].ts))
    );
    assert!(
        slack
            .replies()
            .iter()
            .all(|r| r.body.to_string().contains("A failing request"))
    );
    // One changes, one is reminded of, all end: each told in the thread, the message edited.
    world.due(&[of(3, Reason::Changed, 1, "engineers")]).await;
    world.due(&[of(4, Reason::Reminder, 1, "engineers")]).await;
    slack.until("both", |s| s.replies().len() == 12).await;
    for incident in 1..=10 {
        world
            .due(&[of(incident, Reason::Resolved, 2, "engineers")])
            .await;
        let told = 12 + incident as usize;
        slack.until("the end", |s| s.replies().len() == told).await;
        let text = summaries(&slack)[0]["text"].to_string();
        let state = match incident {
            10 => "all fixed".to_owned(),
            n => format!("{} open, {n} fixed", 10 - n),
        };
        assert!(text.contains(&state), "{text}");
        if incident == 4 {
            insta::assert_json_snapshot!("slack_summary", without_ts(&summaries(&slack)[0]));
        }
    }
    // It comes back: where it was.
    world.due(&[of(7, Reason::Reopened, 3, "engineers")]).await;
    slack.until("the return", |s| s.replies().len() == 23).await;
    deliver.stop(PATIENCE).await;
    assert_eq!(slack.parents().len(), 1);
    let broadcast: Vec<String> = slack
        .replies()
        .iter()
        .filter(|r| r.broadcast)
        .map(|r| r.body["text"].as_str().unwrap().chars().take(10).collect())
        .collect();
    assert_eq!(broadcast, ["FIXED afte", "DOWN AGAIN"]);
    assert!(world.store.undelivered().await.unwrap().is_empty());
    for incident in 1..=10 {
        let progress = world.progress(incident).await;
        assert!(
            progress.iter().all(|(_, p)| *p == Progress::Accepted),
            "{progress:?}"
        );
    }
}

/// Slack takes about fifty edits a minute: what is due at once is one edit.
#[tokio::test]
async fn sixty_at_once_are_one_edit_each_time() {
    let (world, slack) = (World::new(), Fake::slack().await);
    due(&world, 60, Reason::Opened, 0).await;
    let deliver = world.deliver(&[engineers(&slack)], timing()).await;
    slack
        .until("the details of all", |s| s.replies().len() == 60)
        .await;
    let edits = |s: &Fake| s.calls().iter().filter(|c| *c == "chat.update").count();
    assert_eq!((slack.parents().len(), edits(&slack)), (1, 0));
    deliver.stop(PATIENCE).await;
    due(&world, 60, Reason::Resolved, 1).await;
    let deliver = world.deliver(&[engineers(&slack)], timing()).await;
    slack
        .until("the end of all", |s| s.replies().len() == 120)
        .await;
    deliver.stop(PATIENCE).await;
    assert_eq!(edits(&slack), 1);
    assert!(
        summaries(&slack)[0]["text"]
            .as_str()
            .unwrap()
            .contains("all fixed")
    );
    // The channel hears of the end once, when all of it was told.
    let broadcast: Vec<bool> = slack.replies().iter().map(|r| r.broadcast).collect();
    assert_eq!(broadcast.iter().filter(|b| **b).count(), 1);
    assert_eq!(broadcast.last(), Some(&true));
}

#[tokio::test]
async fn a_few_have_messages_of_their_own_and_the_rest_share_one() {
    let (world, slack) = (World::new(), Fake::slack().await);
    let deliver = world.deliver(&[engineers(&slack)], timing()).await;
    for incident in 1..=8 {
        world
            .due(&[of(incident, Reason::Opened, 0, "engineers")])
            .await;
        slack
            .until("the details", |s| s.replies().len() == incident as usize)
            .await;
    }
    assert_eq!((slack.parents().len(), summaries(&slack).len()), (6, 1));
    named(&summaries(&slack)[0], 6..=8);
    // One with a message of its own ends there.
    world.due(&[of(2, Reason::Resolved, 1, "engineers")]).await;
    slack.until("the end", |s| s.replies().len() == 9).await;
    let end = slack.replies()[8].clone();
    assert_eq!(end.thread_ts.as_ref(), Some(&slack.parents()[1].ts));
    assert!(end.broadcast);
    deliver.stop(PATIENCE).await;
}

#[tokio::test]
async fn when_it_is_over_a_new_one_has_its_own_message_again() {
    let (world, slack) = (World::new(), Fake::slack().await);
    let short = Timing {
        storm_window: Duration::ZERO,
        ..timing()
    };
    due(&world, 7, Reason::Opened, 0).await;
    let deliver = world.deliver(&[engineers(&slack)], short).await;
    slack.until("the details", |s| s.replies().len() == 7).await;
    world.due(&[of(8, Reason::Opened, 0, "engineers")]).await;
    slack.until("the new one", |s| s.replies().len() == 8).await;
    deliver.stop(PATIENCE).await;
    assert_eq!((slack.parents().len(), summaries(&slack).len()), (2, 1));
}

/// Each fault on each of the first posts of a storm: one summary, each detail once.
#[tokio::test]
async fn exactly_once_whatever_goes_wrong() {
    let faults = [
        Fault::SlowDown(None),
        Fault::TakenThen500,
        Fault::TakenThenDropped,
        Fault::TakenThenHang,
        Fault::Hang,
        Fault::Refused("is_archived"),
    ];
    let cases = faults.into_iter().flat_map(|f| [(f, 0), (f, 1), (f, 2)]);
    join_all(cases.map(|(fault, good_posts)| async move {
        let (world, slack) = (World::new(), Fake::slack().await);
        for _ in 0..good_posts {
            slack.fault("chat.postMessage", Fault::None);
        }
        slack.fault("chat.postMessage", fault);
        let mut receiver = engineers(&slack);
        receiver.fallback = None;
        due(&world, 6, Reason::Opened, 0).await;
        let patience = if hangs(fault) { hasty() } else { timing() };
        let deliver = world.deliver(&[receiver], patience).await;
        slack.until("the details", |s| s.replies().len() == 6).await;
        world.due(&[of(6, Reason::Resolved, 1, "engineers")]).await;
        slack.until("the end", |s| s.replies().len() == 7).await;
        deliver.stop(PATIENCE).await;
        let told = (slack.parents().len(), slack.replies().len());
        assert_eq!(
            told,
            (1, 7),
            "{fault:?} after {good_posts}: {:?}",
            slack.calls()
        );
        named(&summaries(&slack)[0], 1..=6);
    }))
    .await;
}

#[tokio::test]
async fn a_storm_goes_on_after_a_crash() {
    for fault in [Fault::Hang, Fault::TakenThenHang] {
        for good_posts in 0..3 {
            let (mut world, slack) = (World::new(), Fake::slack().await);
            for _ in 0..good_posts {
                slack.fault("chat.postMessage", Fault::None);
            }
            slack.fault("chat.postMessage", fault);
            due(&world, 6, Reason::Opened, 0).await;
            let slow = Timing {
                request: Duration::from_secs(60),
                ..timing()
            };
            let deliver = world.deliver(&[engineers(&slack)], slow).await;
            let posts = |s: &Fake| {
                s.calls()
                    .iter()
                    .filter(|c| *c == "chat.postMessage")
                    .count()
            };
            slack
                .until("the hanging call", |s| posts(s) == good_posts + 1)
                .await;
            deliver.stop(Duration::ZERO).await;
            world.reopen().await;
            // One more came while nobody was there.
            world.due(&[of(7, Reason::Opened, 0, "engineers")]).await;
            let deliver = world.deliver(&[engineers(&slack)], timing()).await;
            slack.until("the details", |s| s.replies().len() == 7).await;
            deliver.stop(PATIENCE).await;
            let told = (slack.parents().len(), slack.replies().len());
            assert_eq!(told, (1, 7), "{fault:?} {good_posts}");
            named(&summaries(&slack)[0], 1..=7);
        }
    }
}

#[tokio::test]
async fn what_came_and_went_while_the_channel_was_down_is_one_message() {
    let (world, slack) = (World::new(), Fake::slack().await);
    for incident in 1..=7 {
        world
            .due(&[of(incident, Reason::Opened, 0, "engineers")])
            .await;
        world
            .due(&[of(incident, Reason::Resolved, 1, "engineers")])
            .await;
    }
    let deliver = world.deliver(&[engineers(&slack)], timing()).await;
    slack.until("all of it", |s| s.replies().len() == 7).await;
    deliver.stop(PATIENCE).await;
    assert_eq!(slack.parents().len(), 1);
    let text = summaries(&slack)[0]["text"].to_string();
    assert!(
        text.contains("7 INCIDENTS* · 7 partners · all fixed"),
        "{text}"
    );
    assert!(world.store.undelivered().await.unwrap().is_empty());
}

#[tokio::test]
async fn hundreds_stay_a_message_that_slack_takes() {
    let (world, slack) = (World::new(), Fake::slack().await);
    for incident in 1..=120 {
        let mut due = of(incident, Reason::Opened, 0, "engineers");
        due.briefing.headline = "<&>".repeat(200);
        world.due(&[due]).await;
    }
    let deliver = world.deliver(&[engineers(&slack)], timing()).await;
    slack
        .until("the message and a detail", |s| !s.replies().is_empty())
        .await;
    deliver.stop(PATIENCE).await;
    assert_eq!(slack.parents().len(), 1);
    let body = summaries(&slack)[0].to_string();
    assert!(body.contains("\\nand INC-13, INC-14"), "{body}");
    assert!(body.contains(", and 34 more"), "{body}");
    assert!(!body.contains("characters more"), "{body}");
}

#[tokio::test]
async fn teams_gets_one_card_for_many() {
    let faults = [
        Fault::None,
        Fault::SlowDown(Some("0.01")),
        Fault::Status(500),
        Fault::TakenThenDropped,
    ];
    for fault in faults {
        let (world, teams) = (World::new(), Fake::teams().await);
        for incident in 1..=12 {
            world
                .due(&[of(incident, Reason::Opened, 0, "support")])
                .await;
        }
        teams.fault("webhook", fault);
        let deliver = world.deliver(&[support(&teams)], timing()).await;
        let twice = usize::from(matches!(fault, Fault::TakenThenDropped));
        let doubtful = matches!(fault, Fault::TakenThenDropped | Fault::Status(500));
        teams
            .until("the card", |t| t.cards().len() == 1 + twice)
            .await;
        let card = teams.cards().pop().unwrap();
        for incident in 1..=12 {
            assert!(
                card.to_string().contains(&format!("INC-{incident}")),
                "{incident}: {card}"
            );
        }
        assert_eq!(
            card.to_string().contains("second copy"),
            doubtful,
            "{fault:?}"
        );
        deliver.stop(PATIENCE).await;
        for incident in 1..=12 {
            world
                .due(&[of(incident, Reason::Resolved, 1, "support")])
                .await;
        }
        let deliver = world.deliver(&[support(&teams)], timing()).await;
        teams
            .until("the end", |t| t.cards().len() == 2 + twice)
            .await;
        deliver.stop(PATIENCE).await;
        let card = teams.cards().pop().unwrap().to_string();
        assert!(card.contains("12 problems are fixed"), "{card}");
        assert!(world.store.undelivered().await.unwrap().is_empty());
    }
}

/// A card has room for so many lines: the rest stands in the next one, and none is left out.
#[tokio::test]
async fn what_one_card_cannot_name_stands_in_a_second() {
    let (world, teams) = (World::new(), Fake::teams().await);
    for incident in 1..=90 {
        let mut due = of(incident, Reason::Opened, 0, "support");
        due.briefing.words.what = Some(format!("{incident} {}", "Formulare ".repeat(25)));
        world.due(&[due]).await;
    }
    let deliver = world.deliver(&[support(&teams)], timing()).await;
    let named = |t: &Fake| -> Vec<usize> {
        let text: Vec<String> = t.cards().iter().map(Value::to_string).collect();
        let times = |incident: u64| {
            let name = format!("INC-{incident}");
            let rest = |text: &str| text.strip_prefix(&*name).map(|rest| rest.chars().next());
            let found = |card: &String| {
                card.match_indices("INC-").any(|(at, _)| {
                    matches!(rest(&card[at..]), Some(next) if !next.is_some_and(|c| c.is_ascii_digit()))
                })
            };
            text.iter().filter(|card| found(card)).count()
        };
        (1..=90).map(times).collect()
    };
    teams
        .until("all of them", |t| named(t).iter().all(|times| *times > 0))
        .await;
    deliver.stop(PATIENCE).await;
    assert!(named(&teams).iter().all(|times| *times == 1));
    assert!(
        (2..=6).contains(&teams.cards().len()),
        "{}",
        teams.cards().len()
    );
    for card in teams.cards() {
        let problems = card_problems(&card);
        assert!(problems.is_empty(), "{problems:?}");
    }
    assert!(world.store.undelivered().await.unwrap().is_empty());
}

#[tokio::test]
async fn cards_that_come_one_by_one_are_gathered_beyond_the_bound() {
    let (world, teams) = (World::new(), Fake::teams().await);
    let slow = Timing {
        storm_gap: Duration::from_secs(600),
        ..timing()
    };
    let deliver = world.deliver(&[support(&teams)], slow).await;
    for incident in 1..=6 {
        world
            .due(&[of(incident, Reason::Opened, 0, "support")])
            .await;
        teams
            .until("its card", |t| t.cards().len() == incident as usize)
            .await;
    }
    // From the sixth on they wait for each other; a restart forgets only the wait.
    for incident in 7..=9 {
        world
            .due(&[of(incident, Reason::Opened, 0, "support")])
            .await;
    }
    deliver.stop(PATIENCE).await;
    assert_eq!(teams.cards().len(), 6);
    let deliver = world.deliver(&[support(&teams)], timing()).await;
    teams.until("the rest", |t| t.cards().len() == 7).await;
    deliver.stop(PATIENCE).await;
    assert!(
        teams.cards()[6]
            .to_string()
            .contains("3 problems at the same time")
    );
}

#[test]
fn cards_of_many_say_it_in_plain_words() {
    let mut due: Vec<Notification> = Vec::new();
    for (index, reason) in [
        Reason::Opened,
        Reason::Opened,
        Reason::Resolved,
        Reason::Reopened,
    ]
    .into_iter()
    .enumerate()
    {
        let mut one = notification(reason, 0, "support");
        one.briefing.incident = 42 + index as u64;
        one.briefing.words.what = Some(format!("Sending forms to partner {index}"));
        one.briefing.engineers = Engineers::Untold;
        due.push(one);
    }
    due[1].briefing.words = edgewatch::domain::probe::Words::default();
    let messages: Vec<Message<'_>> = due
        .iter()
        .map(|d| Message {
            note: Some("Could not reach engineers: Slack refused: not_in_channel"),
            ..message(d)
        })
        .collect();
    let card = payload_together(&messages).unwrap();
    assert_eq!(card_problems(&card), Vec::<String>::new());
    assert_eq!(banned(&card), Vec::<&str>::new());
    insta::assert_json_snapshot!("teams_together", card);
    // Too many for lines of their own.
    let long: Vec<Notification> = (0..60)
        .map(|n| {
            let mut one = notification(Reason::Opened, 0, "support");
            one.briefing.incident = n;
            one.briefing.words.what = Some("😀".repeat(400));
            one.briefing.words.affects = Some("😀".repeat(400));
            one
        })
        .collect();
    let messages: Vec<Message<'_>> = long.iter().map(message).collect();
    assert_eq!(
        card_problems(&payload_together(&messages).unwrap()),
        Vec::<String>::new()
    );
}
