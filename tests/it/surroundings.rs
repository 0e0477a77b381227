//! Fronts that change: from real answers through the rules to the store, and from there to the channels.

use std::sync::{Arc, Mutex};

use edgewatch::app::deliver::{Deliver, Print, Timing};
use edgewatch::clock;
use edgewatch::domain::incident::Happening;
use edgewatch::domain::notification::{Channel, Notification, Reason, Receiver, Templates};
use edgewatch::domain::secret::Secret;
use edgewatch::domain::surroundings::{Learned, Memory};
use edgewatch::notify::{Message, log, teams};
use edgewatch::simulate::Front;
use edgewatch::store::{Progress, Store};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::fakes::{CHANNEL, Fake, MENTION, TOKEN, card_problems};
use crate::night::Night;
use crate::samples::notification;
use crate::world::{RULE, World, run};

const TWO: &str = "de1: 127.0.0.2, us1: 127.0.0.3";

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_moves_behind_an_edge_and_the_edge_refuses_a_client() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    world.partner.set_front(Front::Direct);
    let mut night = Night::begin(&world, SignedDuration::from_hours(4));
    let direct = night.ask().await;
    world.partner.set_front(Front::cloudflare());
    let moved = night.ask().await;
    world.partner.switch(RULE, true);
    let refused = night.ask().await;
    let plan = night.plan.clone();

    for _ in 0..10 {
        night.minute(&direct).await;
    }
    for _ in 0..30 {
        night.minute(&moved).await;
    }
    night.until(&refused, Happening::Opened).await;
    night.end().await;

    let store = Store::open(&plan.store.path, &plan.store).unwrap().store;
    let incident = store.load_open().await.unwrap().incidents.remove(0);
    let [beside] = incident.beside.as_slice() else {
        panic!("{:#?}", incident.beside);
    };
    let host = &plan.probes[0].host();
    let appeared = format!("Cloudflare appeared in front of {host}");
    assert_eq!((&beside.text, beside.related), (&appeared, true));
    let lead = incident.onset_at.duration_since(beside.at).as_mins();
    assert!((29..=31).contains(&lead), "{lead} minutes before");

    let notices: Vec<_> = store.undelivered().await.unwrap();
    let notices: Vec<&Notification> = notices
        .iter()
        .map(|delivery| &delivery.notification)
        .filter(|notification| notification.reason == Reason::Notice)
        .collect();
    assert_eq!(notices.len(), 1, "{notices:#?}");
    assert_eq!(notices[0].briefing.headline, appeared);

    let (memory, unread) = store.remember().await.unwrap();
    assert_eq!((memory.fronts.len(), unread.len()), (1, 0));
    let known = &memory.fronts[0];
    assert_eq!(known.host, *host);
    assert!(known.drifts.iter().all(|drift| drift.told));
    let current = known.prints.iter().find(|print| print.current).unwrap();
    assert!(current.print.contains("marker cloudflare"), "{current:?}");
    store.close().await;

    let (_, out, _) = run(world.command(&["incidents", "show", "1"])).await;
    assert!(out.contains(&appeared), "in the timeline: {out}");
}

fn notice(receiver: &str, headline: &str) -> Notification {
    let mut notice = notification(Reason::Notice, 0, receiver);
    let now = clock::now();
    (notice.created_at, notice.not_before) = (now, now);
    notice.delivery = Uuid::now_v7();
    notice.incident = 0;
    let briefing = &mut notice.briefing;
    headline.clone_into(&mut briefing.headline);
    (briefing.incident, briefing.cause_known) = (0, false);
    briefing.because = vec!["Nothing is refused: all 6 combinations that ran since pass".into()];
    briefing.next_step = Some("Tell the owners of allow-lists".into());
    briefing.beside.clear();
    briefing.next_update_at = None;
    notice
}

#[tokio::test]
async fn every_notice_is_a_message_of_its_own_without_a_thread() {
    let (slack, teams) = (Fake::slack().await, Fake::teams().await);
    let world = World::start().await;
    world.write(TWO, "1m", "");
    let policy = edgewatch::domain::plan::StorePolicy {
        group: None,
        path: world.directory.path().join("edgewatch.sqlite"),
        keep: edgewatch::domain::plan::Keep::for_runs(std::time::Duration::from_secs(86_400)),
        bytes_max: 64 << 20,
    };
    let store = Store::open(&policy.path, &policy).unwrap().store;
    let receiver = |name: &str, channel| Receiver {
        name: name.into(),
        channel,
        fallback: None,
    };
    let engineers = Channel::Slack {
        buttons: None,
        templates: Templates::default(),
        token: Ok(Secret::new(TOKEN)),
        channel: CHANNEL.into(),
        mention: Some(MENTION.into()),
        api: slack.api(),
    };
    let support = Channel::Teams {
        all_is_well: None,
        templates: Templates::default(),
        webhook: Ok(Secret::new(teams.webhook())),
    };
    let printed: Arc<Mutex<Vec<String>>> = Arc::default();
    let printing = Arc::clone(&printed);
    let print: Print = Arc::new(move |text| printing.lock().unwrap().push(text.to_owned()));
    let receivers = [
        receiver("engineers", engineers),
        receiver("support", support),
        receiver("journal", Channel::Log),
    ];
    let timing = Timing {
        gap_slack: std::time::Duration::ZERO,
        gap_teams: std::time::Duration::ZERO,
        ..Timing::default()
    };
    let deliver = Deliver::start(store.clone(), &receivers, timing, print)
        .await
        .unwrap();
    let first = "Cloudflare appeared in front of webcache.gmc-uk.org";
    let second = "The public address of egress `de1` changed from 203.0.113.1 to 203.0.113.9";
    let learned = Learned {
        memory: Memory::default(),
        notifications: vec![
            notice("engineers", first),
            notice("engineers", second),
            notice("support", first),
            notice("journal", second),
        ],
    };
    store.learn(learned.clone()).await.unwrap();
    store.learn(learned).await.unwrap();
    let told = async {
        slack.eventually(|s| s.parents().len() == 2).await;
        teams.eventually(|t| t.cards().len() == 1).await;
    };
    let told = tokio::time::timeout(std::time::Duration::from_secs(10), told).await;
    assert!(told.is_ok(), "{:?}", slack.parents());
    deliver.stop(std::time::Duration::from_secs(5)).await;

    let parents = slack.parents();
    assert!(slack.replies().is_empty() && parents.iter().all(|p| p.edits == 0));
    let mut body = parents[0].body.clone();
    assert_eq!(crate::block_kit::problems(&body), Vec::<String>::new());
    assert!(!body.to_string().contains(MENTION), "nobody is woken");
    if let Some(body) = body.as_object_mut() {
        body.remove("metadata");
        body.remove("ts");
    }
    insta::assert_json_snapshot!("notice_in_slack", body);
    let card = &teams.cards()[0];
    assert_eq!(card_problems(card), Vec::<String>::new());
    assert!(
        card["summary"]
            .as_str()
            .unwrap()
            .starts_with("FOR YOUR INFORMATION: GMC: a technical change was noticed"),
        "{card}"
    );
    let printed = printed.lock().unwrap().join("\n");
    assert!(
        printed.contains(second) && !printed.contains("INC-"),
        "{printed}"
    );
    let undelivered = store.undelivered().await.unwrap();
    let open: Vec<_> = undelivered
        .iter()
        .filter(|delivery| delivery.progress != Progress::Accepted)
        .collect();
    assert!(open.is_empty(), "{open:#?}");
    store.close().await;
}

#[test]
fn a_notice_as_text() {
    let notice = notification(Reason::Notice, 0, "engineers");
    let mut briefing = notice.briefing.clone();
    (briefing.incident, briefing.cause_known) = (0, false);
    briefing.headline = "Cloudflare appeared in front of webcache.gmc-uk.org".into();
    briefing.because = vec!["Nothing is refused: all 6 combinations that ran since pass".into()];
    briefing.next_step = Some("Tell the owners of allow-lists".into());
    briefing.beside.clear();
    for text in [&mut briefing.expected, &mut briefing.got] {
        text.clear();
    }
    briefing.ruled_out.clear();
    briefing.reference_ids.clear();
    (briefing.last_good_at, briefing.next_update_at) = (None, None);
    let message = Message {
        delivery: notice.delivery,
        reason: Reason::Notice,
        briefing: &briefing,
        happened_at: notice.created_at,
        now: notice.created_at,
        late: false,
        whole: false,
        plain: false,
        repeat: false,
        note: None,
    };
    assert_eq!(
        log::text(&message),
        "NOTICE · GMC · Cloudflare appeared in front of webcache.gmc-uk.org · seen first at 02:14 GMT · no incident\n  \
         - Nothing is refused: all 6 combinations that ran since pass\n\
         What to do: Tell the owners of allow-lists\n\
         Runbook: https://wiki.example/runbooks/gmc?a=1&b=2\n\
         Ring: Ops desk, 020 7946 0000"
    );
    let card = teams::payload(&message).to_string();
    assert!(
        !card.contains("Cloudflare") && !card.contains("INC-"),
        "{card}"
    );
}
