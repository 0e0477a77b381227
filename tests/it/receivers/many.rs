//! Many incidents at once, to mail and to `PagerDuty`: one mail that names them, one alert that pages once.

use std::collections::BTreeSet;

use edgewatch::domain::notification::{Notification, Reason};

use super::endpoint::Endpoint;
use super::mail_server::{Kind, MailServer};
use super::{email, pagerduty};
use crate::deliver::{PATIENCE, World, timing};
use crate::samples::fresh;

fn of(incident: u64, reason: Reason, sequence: u32, receiver: &str) -> Notification {
    let mut due = fresh(incident, reason, sequence, receiver);
    due.briefing.headline = format!("Partner {incident} refuses `legacy` at its edge");
    due.briefing.words.what = Some(format!("Sending forms to partner {incident}"));
    due
}

#[tokio::test]
async fn twelve_mails_are_one_and_their_ends_another() {
    let (world, server) = (World::new(), MailServer::start(Kind::StartTls).await);
    for incident in 1..=12 {
        world.due(&[of(incident, Reason::Opened, 0, "mail")]).await;
    }
    let deliver = world.deliver(&[email::to(&server, None)], timing()).await;
    server.until("the mail", |s| s.taken().len() == 1).await;
    deliver.stop(PATIENCE).await;
    for incident in 1..=12 {
        world
            .due(&[of(incident, Reason::Resolved, 1, "mail")])
            .await;
    }
    let deliver = world.deliver(&[email::to(&server, None)], timing()).await;
    server.until("the ends", |s| s.taken().len() == 2).await;
    deliver.stop(PATIENCE).await;
    let first = email::readable(server.taken()[0].text.as_bytes());
    for incident in 1..=12 {
        assert!(first.contains(&format!("(INC-{incident})")), "{first}");
        assert!(
            first.contains(&format!("Partner {incident} refuses")),
            "{first}"
        );
    }
    assert!(first.contains("12 problems at the same time"), "{first}");
    let ends = email::readable(server.taken()[1].text.as_bytes());
    assert!(ends.contains("12 problems are fixed"), "{ends}");
    assert_eq!(server.taken().len(), 2);
    assert!(world.store.undelivered().await.unwrap().is_empty());
}

#[tokio::test]
async fn twelve_pages_are_one_alert_until_all_of_it_is_over() {
    let (world, endpoint) = (World::new(), Endpoint::start(pagerduty::rule).await);
    for incident in 1..=12 {
        world
            .due(&[of(incident, Reason::Opened, 0, "oncall")])
            .await;
    }
    let deliver = world
        .deliver(&[pagerduty::to(&endpoint, None)], timing())
        .await;
    endpoint
        .until("all of them", |e| e.bodies().len() == 12)
        .await;
    for incident in 1..=11 {
        world
            .due(&[of(incident, Reason::Resolved, 1, "oncall")])
            .await;
    }
    endpoint
        .until("nearly all ends", |e| e.bodies().len() == 23)
        .await;
    assert_eq!(pagerduty::open(&endpoint.bodies()).len(), 1);
    let newest = endpoint.bodies().pop().unwrap();
    assert!(
        newest["payload"]["summary"]
            .as_str()
            .unwrap()
            .starts_with("12 incidents at once, 1 open"),
        "{newest}"
    );
    world.due(&[of(12, Reason::Resolved, 1, "oncall")]).await;
    endpoint.until("the end", |e| e.bodies().len() == 24).await;
    deliver.stop(PATIENCE).await;
    let events = endpoint.bodies();
    let keys: BTreeSet<String> = events.iter().map(|e| e["dedup_key"].to_string()).collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert!(pagerduty::open(&events).is_empty());
    let list = events[11]["payload"]["custom_details"]["open"].to_string();
    assert!(list.contains("INC-12: Partner 12 refuses"), "{list}");
}
