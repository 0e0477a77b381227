//! That a channel does not work is told on another one of each kind, once, and so is the end.

use std::time::Duration;

use edgewatch::app::deliver::Timing;
use edgewatch::domain::cell::ReceiverName;
use edgewatch::domain::notification::{Channel, Reason, Receiver};
use edgewatch::store::Mark;
use jiff::Timestamp;
use serde_json::Value;

use super::endpoint::Endpoint;
use super::mail_server::{Kind, MailServer};
use super::{alertmanager, email, pagerduty, webhook};
use crate::deliver::{PATIENCE, World, engineers, timing};
use crate::fakes::{Fake, Fault};
use crate::samples::fresh;

/// A channel is looked at as in production, and what stands open is never sent again.
fn looking() -> Timing {
    Timing {
        check: Some(Duration::from_millis(20)),
        ..timing()
    }
}

fn slack_with(slack: &Fake, fallback: &Receiver) -> Receiver {
    Receiver {
        fallback: Some(fallback.name.clone()),
        ..engineers(slack)
    }
}

/// A token that is revoked while nothing is wrong, a restart, and the token mended.
async fn revoked_and_mended(
    fallback: Receiver,
    timing: Timing,
    told: impl AsyncFn(usize),
    count: impl Fn() -> usize,
) {
    let (mut world, slack) = (World::new(), Fake::slack().await);
    slack.always("auth.test", Some(Fault::Refused("token_revoked")));
    let receivers = [slack_with(&slack, &fallback), fallback];
    let deliver = world.deliver(&receivers, timing.clone()).await;
    told(1).await;
    deliver.stop(PATIENCE).await;
    world.reopen().await;
    let deliver = world.deliver(&receivers, timing).await;
    let looks = slack.calls().len();
    slack
        .until("more looks", |s| s.calls().len() >= looks + 3)
        .await;
    assert_eq!(count(), 1, "a restart knows that it was told");
    slack.always("auth.test", None);
    told(2).await;
    deliver.stop(PATIENCE).await;
    assert_eq!(count(), 2);
    let engineers = ReceiverName::new("engineers");
    for mark in [Mark::Trouble, Mark::TroubleBegun] {
        assert_eq!(world.store.mark(&engineers, mark).await.unwrap(), None);
    }
}

#[tokio::test]
async fn on_a_webhook() {
    let hook = Endpoint::start(webhook::rule).await;
    let told = async |count| {
        hook.until("the event", |e| e.taken().len() == count).await;
    };
    // Taken, and the answer lost: it comes again under the same name.
    hook.fault(Fault::TakenThenDropped);
    let ids = || {
        let mut ids: Vec<String> = Vec::new();
        for seen in hook.taken() {
            let id = seen.header("webhook-id").unwrap().to_owned();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    };
    let (mut world, slack) = (World::new(), Fake::slack().await);
    slack.always("auth.test", Some(Fault::Refused("token_revoked")));
    let fallback = webhook::to(&hook, None);
    let receivers = [slack_with(&slack, &fallback), fallback];
    let deliver = world.deliver(&receivers, looking()).await;
    told(2).await;
    deliver.stop(PATIENCE).await;
    assert_eq!(ids().len(), 1);
    world.reopen().await;
    let deliver = world.deliver(&receivers, looking()).await;
    slack.always("auth.test", None);
    told(3).await;
    deliver.stop(PATIENCE).await;
    assert_eq!(ids().len(), 2);
    let events = hook.bodies();
    let data = &events[0]["data"];
    assert_eq!(events[0]["type"], "channel.unreachable");
    assert_eq!(data["receiver"], "engineers");
    assert_eq!(data["why"], "Slack refused: token_revoked");
    assert_eq!(
        data["summary"],
        "CHANNEL TROUBLE · messages to engineers do not arrive: Slack refused: token_revoked"
    );
    assert_eq!(events[0]["timestamp"], data["since"]);
    assert_eq!(events[2]["type"], "channel.reachable");
    assert_eq!(events[2]["data"]["since"], data["since"]);
}

#[tokio::test]
async fn at_pagerduty() {
    let pager = Endpoint::start(pagerduty::rule).await;
    let told = async |count| {
        pager.until("the event", |e| e.taken().len() == count).await;
    };
    let fallback = pagerduty::to(&pager, None);
    revoked_and_mended(fallback, looking(), told, || pager.taken().len()).await;
    let events = pager.bodies();
    assert_eq!(pagerduty::open(&events[..1]).len(), 1);
    assert!(pagerduty::open(&events).is_empty());
    let problem = &events[0]["payload"];
    assert_eq!(problem["severity"], "warning");
    assert_eq!(problem["component"], "engineers");
}

#[tokio::test]
async fn in_alertmanager() {
    let alerts = Endpoint::start(alertmanager::rule).await;
    let told = async |count| {
        alerts
            .until("the alert", |e| e.taken().len() == count)
            .await;
    };
    let fallback = alertmanager::to(&[&alerts], None);
    // Sent again only after a restart, once: whoever restarts may have forgotten.
    let timing = Timing {
        refresh: Duration::from_secs(3_600),
        ..looking()
    };
    let count = || alerts.taken().len();
    let (mut world, slack) = (World::new(), Fake::slack().await);
    slack.always("auth.test", Some(Fault::Refused("token_revoked")));
    let receivers = [slack_with(&slack, &fallback), fallback];
    let deliver = world.deliver(&receivers, timing.clone()).await;
    told(1).await;
    deliver.stop(PATIENCE).await;
    world.reopen().await;
    let deliver = world.deliver(&receivers, timing).await;
    told(2).await;
    slack.always("auth.test", None);
    told(3).await;
    deliver.stop(PATIENCE).await;
    assert_eq!(count(), 3);
    let sent: Vec<Value> = alerts.bodies().iter().map(|body| body[0].clone()).collect();
    assert_eq!(sent[0]["labels"]["alertname"], "EdgewatchChannelTrouble");
    assert_eq!(sent[0]["labels"]["receiver"], "engineers");
    assert_eq!(sent[0]["labels"]["team"], "revalidation");
    let now = edgewatch::clock::now();
    let ends = |alert: &Value| {
        alert["endsAt"]
            .as_str()
            .unwrap()
            .parse::<Timestamp>()
            .unwrap()
    };
    for alert in &sent[1..] {
        assert_eq!(alert["labels"], sent[0]["labels"]);
        assert_eq!(alert["startsAt"], sent[0]["startsAt"]);
    }
    assert!(ends(&sent[0]) > now && ends(&sent[1]) > now && ends(&sent[2]) <= now);
}

/// Alertmanager forgets: what stands is sent again, and never after its end.
#[tokio::test]
async fn in_alertmanager_it_stands() {
    let alerts = Endpoint::start(alertmanager::rule).await;
    let fallback = alertmanager::to(&[&alerts], None);
    let timing = Timing {
        refresh: Duration::from_millis(20),
        ..looking()
    };
    let (world, slack) = (World::new(), Fake::slack().await);
    slack.always("auth.test", Some(Fault::Refused("token_revoked")));
    let receivers = [slack_with(&slack, &fallback), fallback];
    let deliver = world.deliver(&receivers, timing).await;
    alerts.until("it again", |e| e.taken().len() >= 4).await;
    slack.always("auth.test", None);
    let now = edgewatch::clock::now();
    let over = |alert: &Value| {
        alert[0]["endsAt"]
            .as_str()
            .unwrap()
            .parse::<Timestamp>()
            .unwrap()
            < now + Duration::from_secs(60)
    };
    alerts
        .until("the end", |e| e.bodies().iter().any(over))
        .await;
    let looks = slack.calls().len();
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    slack
        .until("life goes on", |s| s.calls().len() > looks)
        .await;
    deliver.stop(PATIENCE).await;
    let ends: Vec<bool> = alerts.bodies().iter().map(over).collect();
    assert_eq!(ends.iter().filter(|over| **over).count(), 1);
    assert_eq!(ends.last(), Some(&true));
}

#[tokio::test]
async fn by_mail() {
    for plain in [false, true] {
        let mails = MailServer::start(Kind::StartTls).await;
        let told = async |count| {
            mails.until("the mail", |m| m.taken().len() == count).await;
        };
        let mut fallback = email::to(&mails, None);
        if let Channel::Email(mail) = &mut fallback.channel {
            mail.plain = plain;
        }
        revoked_and_mended(fallback, looking(), told, || mails.taken().len()).await;
        let taken = mails.taken();
        let text = |index: usize| email::readable(taken[index].text.as_bytes());
        assert_eq!(
            taken[1].header("In-Reply-To"),
            taken[0].header("Message-ID")
        );
        assert_eq!(
            taken[0].header("X-Edgewatch-Reason").as_deref(),
            Some("channel_unreachable")
        );
        if plain {
            assert!(text(0).contains("Some messages about problems do not arrive"));
            assert!(!text(0).contains("token_revoked"), "{}", text(0));
        } else {
            assert!(
                text(0)
                    .contains("messages to engineers do not arrive: Slack refused: token_revoked")
            );
            assert!(text(1).contains("messages to engineers arrive again"));
        }
    }
}

/// A message that came instead tells people; a program and a pager are told of the channel besides.
#[tokio::test]
async fn a_message_that_came_instead_is_not_all_a_pager_gets() {
    let (world, slack) = (World::new(), Fake::slack().await);
    let pager = Endpoint::start(pagerduty::rule).await;
    slack.always("chat.postMessage", Some(Fault::Refused("not_in_channel")));
    let fallback = pagerduty::to(&pager, None);
    let receivers = [slack_with(&slack, &fallback), fallback];
    let deliver = world.deliver(&receivers, timing()).await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    pager
        .until("both", |e| pagerduty::open(&e.bodies()).len() == 2)
        .await;
    world
        .resolve(1, &[fresh(1, Reason::Resolved, 1, "engineers")])
        .await;
    // The incident is over, and the channel is not.
    pager
        .until("its end", |e| pagerduty::open(&e.bodies()).len() == 1)
        .await;
    let left = pagerduty::open(&pager.bodies());
    assert!(
        left.iter().all(|key| key.contains("/channel/engineers/")),
        "{left:?}"
    );
    slack.always("chat.postMessage", None);
    pager
        .until("all over", |e| pagerduty::open(&e.bodies()).is_empty())
        .await;
    deliver.stop(PATIENCE).await;
    let of_channel = |event: &&Value| event["dedup_key"].as_str().unwrap().contains("/channel/");
    assert_eq!(pager.bodies().iter().filter(of_channel).count(), 2);
}

/// So it is while a channel is only down for longer than messages wait.
#[tokio::test]
async fn nor_when_the_channel_is_only_down_for_long() {
    let (world, slack) = (World::new(), Fake::slack().await);
    let hook = Endpoint::start(webhook::rule).await;
    slack.always("chat.postMessage", Some(Fault::Status(503)));
    let fallback = webhook::to(&hook, None);
    let receivers = [slack_with(&slack, &fallback), fallback];
    let timing = Timing {
        divert: Duration::from_millis(20),
        ..timing()
    };
    let deliver = world.deliver(&receivers, timing).await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    let types = |hook: &Endpoint| -> Vec<String> {
        let bodies = hook.bodies();
        let types = bodies
            .iter()
            .map(|event| event["type"].as_str().unwrap().to_owned());
        let mut types: Vec<String> = types.collect();
        types.sort();
        types
    };
    hook.until("both", |hook| {
        types(hook) == ["channel.unreachable", "incident.opened"]
    })
    .await;
    slack.always("chat.postMessage", None);
    hook.until("the end", |hook| {
        types(hook).contains(&"channel.reachable".to_owned())
    })
    .await;
    deliver.stop(PATIENCE).await;
    assert_eq!(types(&hook).len(), 3);
}
