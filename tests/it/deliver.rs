//! From the outbox to receivers that misbehave: order, exactly once, fallback, recovery.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgewatch::app::deliver::{Deliver, Print, Timing};
use edgewatch::domain::cell::ReceiverName;
use edgewatch::domain::incident::State;
use edgewatch::domain::notification::{Channel, Notification, Reason, Receiver, Templates};
use edgewatch::domain::plan::StorePolicy;
use edgewatch::domain::secret::Secret;
use edgewatch::store::{Progress, Store};
use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::fakes::{CHANNEL, Fake, Fault, MENTION, TOKEN};
use super::kept;
use super::samples::{change, fresh};
use super::secrets::TEAMS_SIGNATURE;

/// As in production, only a hundred times faster.
pub(crate) fn timing() -> Timing {
    let ms = Duration::from_millis;
    Timing {
        backoff_min: ms(5),
        backoff_max: ms(20),
        slow_down: ms(10),
        setup: ms(40),
        check: None,
        look: ms(5),
        blind_first: ms(10),
        blind: ms(10),
        blind_max: ms(40),
        gap_slack: ms(0),
        gap_teams: ms(0),
        storm_gap: ms(20),
        gap_email: ms(0),
        gap_pagerduty: ms(0),
        store: ms(10),
        request: Duration::from_secs(10),
        ..Timing::default()
    }
}

/// For receivers that hang.
pub(crate) fn hasty() -> Timing {
    Timing {
        request: Duration::from_millis(300),
        ..timing()
    }
}

/// A store in a folder of its own, and what was printed.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
    printed: Arc<Mutex<Vec<String>>>,
    printing: Arc<Notify>,
}

fn open(folder: &Path) -> Store {
    let path = folder.join("edgewatch.sqlite");
    let policy = StorePolicy {
        group: None,
        path: path.clone(),
        keep: edgewatch::domain::plan::Keep::for_runs(Duration::from_secs(86_400)),
        bytes_max: 64 << 20,
    };
    kept::store(&path, &policy)
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = kept::folder();
        let store = open(folder.path());
        Self {
            folder,
            store,
            printed: Arc::default(),
            printing: Arc::default(),
        }
    }

    pub(crate) async fn deliver(&self, receivers: &[Receiver], timing: Timing) -> Deliver {
        let (printed, printing) = (Arc::clone(&self.printed), Arc::clone(&self.printing));
        let print: Print = Arc::new(move |text| {
            printed.lock().unwrap().push(text.to_owned());
            printing.notify_waiters();
        });
        Deliver::start(self.store.clone(), receivers, timing, print)
            .await
            .unwrap()
    }

    pub(crate) fn printed(&self) -> Vec<String> {
        self.printed.lock().unwrap().clone()
    }

    pub(crate) async fn until_printed(&self, count: usize) {
        let waiting = async {
            loop {
                let printing = self.printing.notified();
                tokio::pin!(printing);
                printing.as_mut().enable();
                if self.printed().len() >= count {
                    return;
                }
                printing.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        assert!(waited.is_ok(), "printed: {:?}", self.printed());
    }

    /// Puts notifications of one incident into the outbox.
    pub(crate) async fn due(&self, notifications: &[Notification]) {
        let number = notifications[0].incident;
        self.store
            .commit(change(number, notifications.to_vec()))
            .await
            .unwrap();
    }

    /// As [`World::due`], of an incident that is over.
    pub(crate) async fn resolve(&self, number: u64, notifications: &[Notification]) {
        let mut change = change(number, notifications.to_vec());
        change.incident.state = State::Resolved;
        change.incident.resolved_at = Some(edgewatch::clock::now());
        self.store.commit(change).await.unwrap();
    }

    /// Waits until everything was delivered or given up.
    pub(crate) async fn until_done(&self) {
        let waiting = async {
            while self
                .store
                .undelivered()
                .await
                .unwrap()
                .iter()
                .any(|d| d.progress != Progress::Dead)
            {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        assert!(waited.is_ok(), "{:?}", self.store.undelivered().await);
    }

    /// What a new process finds.
    pub(crate) async fn reopen(&mut self) {
        self.store.close().await;
        self.store = open(self.folder.path());
    }

    pub(crate) async fn progress(&self, number: u64) -> Vec<(Reason, Progress)> {
        let shown = self.store.show(number).await.unwrap().unwrap();
        shown
            .deliveries
            .iter()
            .map(|d| (d.notification.reason, d.progress))
            .collect()
    }
}

pub(crate) fn engineers(fake: &Fake) -> Receiver {
    Receiver {
        name: ReceiverName::new("engineers"),
        channel: Channel::Slack {
            token: Ok(Secret::new(TOKEN)),
            channel: CHANNEL.into(),
            mention: Some(MENTION.into()),
            buttons: None,
            templates: Templates::default(),
            api: fake.api(),
        },
        fallback: Some(ReceiverName::new("support")),
    }
}

pub(crate) fn support(fake: &Fake) -> Receiver {
    Receiver {
        name: ReceiverName::new("support"),
        channel: Channel::Teams {
            webhook: Ok(Secret::new(fake.webhook())),
            all_is_well: None,
            templates: Templates::default(),
        },
        fallback: None,
    }
}

pub(crate) fn hangs(fault: Fault) -> bool {
    matches!(fault, Fault::Hang | Fault::TakenThenHang)
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_incident_from_opening_to_end() {
    let (world, slack, teams) = (World::new(), Fake::slack().await, Fake::teams().await);
    let deliver = world
        .deliver(&[engineers(&slack), support(&teams)], timing())
        .await;
    for (sequence, reason) in [
        Reason::Opened,
        Reason::Changed,
        Reason::Reminder,
        Reason::Resolved,
    ]
    .into_iter()
    .enumerate()
    {
        let sequence = sequence as u32 * 2;
        world
            .due(&[
                fresh(1, reason, sequence, "engineers"),
                fresh(1, reason, sequence + 1, "support"),
            ])
            .await;
        slack
            .until("the reply", |s| {
                s.replies().len() == sequence as usize / 2 + 1
            })
            .await;
        // The change says nothing new to support staff.
        let cards = if sequence == 0 {
            1
        } else {
            sequence as usize / 2
        };
        teams.until("the card", |t| t.cards().len() == cards).await;
    }
    deliver.stop(PATIENCE).await;
    assert_eq!(slack.parents().len(), 1);
    assert_eq!(teams.cards().len(), 3);
    assert!(world.store.undelivered().await.unwrap().is_empty());
    assert_eq!(
        world.progress(1).await,
        [
            (Reason::Opened, Progress::Accepted),
            (Reason::Opened, Progress::Accepted),
            (Reason::Changed, Progress::Accepted),
            (Reason::Changed, Progress::Overtaken),
            (Reason::Reminder, Progress::Accepted),
            (Reason::Reminder, Progress::Accepted),
            (Reason::Resolved, Progress::Accepted),
            (Reason::Resolved, Progress::Accepted),
        ]
    );
}

/// Each fault once, on the first and on the second post: in the end Slack shows each thing exactly once.
#[tokio::test]
async fn slack_exactly_once_whatever_goes_wrong() {
    let faults = [
        Fault::SlowDown(Some("0.01")),
        Fault::SlowDown(None),
        Fault::TakenThen500,
        Fault::TakenThenDropped,
        Fault::TakenThenCut,
        Fault::TakenThenHang,
        Fault::TakenStrangely,
        Fault::Hang,
        Fault::Status(503),
        Fault::Redirect,
        Fault::Page,
        Fault::Refused("is_archived"),
        Fault::Refused("fatal_error"),
        Fault::RefusedSilently,
    ];
    let cases = faults.into_iter().flat_map(|f| [(f, 0), (f, 1)]);
    join_all(cases.map(|(fault, good_posts)| exactly_once(fault, good_posts))).await;
}

async fn exactly_once(fault: Fault, good_posts: usize) {
    let (world, slack) = (World::new(), Fake::slack().await);
    for _ in 0..good_posts {
        slack.fault("chat.postMessage", Fault::None);
    }
    slack.fault("chat.postMessage", fault);
    let mut receiver = engineers(&slack);
    receiver.fallback = None;
    let patience = if hangs(fault) { hasty() } else { timing() };
    let deliver = world.deliver(&[receiver], patience).await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    slack
        .until("both posts", |s| {
            s.parents().len() == 1 && s.replies().len() == 1
        })
        .await;
    world
        .due(&[fresh(1, Reason::Resolved, 1, "engineers")])
        .await;
    slack.until("the end", |s| s.replies().len() == 2).await;
    deliver.stop(PATIENCE).await;
    assert_eq!(
        (slack.parents().len(), slack.replies().len()),
        (1, 2),
        "{fault:?} after {good_posts}: {:?}",
        slack.calls()
    );
    let end = slack.replies()[1].body["text"].as_str().unwrap().to_owned();
    assert!(end.starts_with("FIXED"), "{fault:?}: {end}");
    let undelivered = world.store.undelivered().await.unwrap();
    assert!(undelivered.is_empty(), "{fault:?}");
}

/// Killed at each point of an opening: the next process ends it, and nothing is there twice.
#[tokio::test]
async fn slack_exactly_once_over_a_crash() {
    for fault in [Fault::Hang, Fault::TakenThenHang] {
        for good_posts in 0..2 {
            let (mut world, slack) = (World::new(), Fake::slack().await);
            for _ in 0..good_posts {
                slack.fault("chat.postMessage", Fault::None);
            }
            slack.fault("chat.postMessage", fault);
            let slow = Timing {
                request: Duration::from_secs(60),
                ..timing()
            };
            let deliver = world.deliver(&[engineers(&slack)], slow).await;
            world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
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
            assert_eq!(
                world.progress(1).await,
                [(Reason::Opened, Progress::Sending)]
            );

            let deliver = world.deliver(&[engineers(&slack)], timing()).await;
            // A second incident comes after the first is done with.
            world.due(&[fresh(2, Reason::Opened, 0, "engineers")]).await;
            slack
                .until("both incidents", |s| s.replies().len() == 2)
                .await;
            deliver.stop(PATIENCE).await;
            let told = (slack.parents().len(), slack.replies().len());
            assert_eq!(told, (2, 2), "{fault:?} {good_posts}");
            let accepted = [(Reason::Opened, Progress::Accepted)];
            assert_eq!(world.progress(1).await, accepted);
        }
    }
}

#[tokio::test]
async fn what_was_committed_before_a_crash_is_told_after_it() {
    let (mut world, slack) = (World::new(), Fake::slack().await);
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    world.reopen().await;
    let deliver = world.deliver(&[engineers(&slack)], timing()).await;
    slack.until("the opening", |s| s.replies().len() == 1).await;
    deliver.stop(PATIENCE).await;
    // And not again by the next one.
    let deliver = world.deliver(&[engineers(&slack)], timing()).await;
    world.due(&[fresh(2, Reason::Opened, 0, "engineers")]).await;
    slack
        .until("the other opening", |s| s.replies().len() == 2)
        .await;
    deliver.stop(PATIENCE).await;
    assert_eq!(slack.parents().len(), 2);
}

#[tokio::test]
async fn teams_gets_it_at_least_once_and_an_unclear_one_twice_at_most() {
    for (fault, most) in [
        (Fault::SlowDown(Some("0.01")), 1),
        (Fault::Status(503), 1),
        (Fault::Hang, 1),
        (Fault::Redirect, 1),
        (Fault::TakenThenDropped, 2),
        (Fault::TakenThenHang, 2),
        (Fault::TakenThen500, 2),
    ] {
        let (world, teams) = (World::new(), Fake::teams().await);
        teams.fault("webhook", fault);
        let patience = if hangs(fault) { hasty() } else { timing() };
        let deliver = world.deliver(&[support(&teams)], patience).await;
        world.due(&[fresh(1, Reason::Opened, 0, "support")]).await;
        teams.until("the card", |t| t.calls().len() == 2).await;
        deliver.stop(PATIENCE).await;
        assert_eq!(teams.cards().len(), most, "{fault:?}");
        assert_eq!(
            world.progress(1).await,
            [(Reason::Opened, Progress::Accepted)],
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn teams_is_told_again_after_a_crash_in_the_middle() {
    let (mut world, teams) = (World::new(), Fake::teams().await);
    teams.fault("webhook", Fault::TakenThenHang);
    let slow = Timing {
        request: Duration::from_secs(60),
        ..timing()
    };
    let deliver = world.deliver(&[support(&teams)], slow).await;
    world.due(&[fresh(1, Reason::Opened, 0, "support")]).await;
    teams
        .until("the hanging call", |t| t.cards().len() == 1)
        .await;
    deliver.stop(Duration::ZERO).await;
    world.reopen().await;
    let deliver = world.deliver(&[support(&teams)], timing()).await;
    teams.until("the repeat", |t| t.cards().len() == 2).await;
    deliver.stop(PATIENCE).await;
    assert_eq!(
        world.progress(1).await,
        [(Reason::Opened, Progress::Accepted)]
    );
}

/// The channel was down all the time: one message tells the whole, and the two are never silence.
#[tokio::test]
async fn an_opening_and_its_end_that_both_wait_become_one() {
    let (world, slack) = (World::new(), Fake::slack().await);
    slack.always("chat.postMessage", Some(Fault::SlowDown(Some("0.01"))));
    let mut receiver = engineers(&slack);
    receiver.fallback = None;
    let deliver = world.deliver(&[receiver], timing()).await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    slack.until("a try", |s| !s.calls().is_empty()).await;
    world
        .due(&[
            fresh(1, Reason::Changed, 1, "engineers"),
            fresh(1, Reason::Reminder, 2, "engineers"),
            fresh(1, Reason::Resolved, 3, "engineers"),
        ])
        .await;
    slack.always("chat.postMessage", None);
    slack.until("the message", |s| s.parents().len() == 1).await;
    deliver.stop(PATIENCE).await;
    assert_eq!(slack.messages().len(), 1);
    let text = slack.parents()[0].body["text"].as_str().unwrap().to_owned();
    assert!(
        text.contains("FIXED") && text.contains("was down from"),
        "{text}"
    );
    assert!(world.store.undelivered().await.unwrap().is_empty());
}

#[tokio::test]
async fn another_incident_does_not_wait_for_one_in_trouble() {
    let (world, slack) = (World::new(), Fake::slack().await);
    slack.fault("chat.postMessage", Fault::Status(500));
    let slow = Timing {
        look: Duration::from_secs(3600),
        slow_down_max: Duration::from_secs(7200),
        ..timing()
    };
    let deliver = world.deliver(&[engineers(&slack)], slow).await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    slack
        .until("the failed try", |s| s.calls().len() == 1)
        .await;
    world.due(&[fresh(2, Reason::Opened, 0, "engineers")]).await;
    slack
        .until("the other incident", |s| s.replies().len() == 1)
        .await;
    deliver.stop(PATIENCE).await;
    assert!(slack.parents()[0].body.to_string().contains("INC-2"));
}

#[tokio::test]
async fn not_before_its_time() {
    let (world, slack) = (World::new(), Fake::slack().await);
    let deliver = world.deliver(&[engineers(&slack)], timing()).await;
    // A route with `after`, and an incident that was over before that.
    let mut opened = fresh(1, Reason::Opened, 0, "engineers");
    opened.not_before = opened.created_at + Duration::from_secs(600);
    world.due(&[opened]).await;
    world
        .due(&[fresh(1, Reason::Resolved, 1, "engineers")])
        .await;
    world.due(&[fresh(2, Reason::Opened, 0, "engineers")]).await;
    slack
        .until("the second incident", |s| s.replies().len() == 1)
        .await;
    deliver.stop(PATIENCE).await;
    assert_eq!(slack.parents().len(), 1);
    assert!(slack.parents()[0].body.to_string().contains("INC-2"));
    assert_eq!(
        world.progress(1).await,
        [
            (Reason::Opened, Progress::Overtaken),
            (Reason::Resolved, Progress::Overtaken)
        ]
    );
}

#[tokio::test]
async fn a_broken_set_up_goes_to_the_fallback_and_is_tried_again() {
    let (world, slack, teams) = (World::new(), Fake::slack().await, Fake::teams().await);
    slack.always("chat.postMessage", Some(Fault::Refused("not_in_channel")));
    let deliver = world
        .deliver(&[engineers(&slack), support(&teams)], timing())
        .await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    teams.until("the fallback", |t| t.cards().len() == 1).await;
    let card = teams.cards()[0].to_string();
    assert!(
        card.contains("their own channel could not be reached"),
        "{card}"
    );
    assert!(!card.contains("not_in_channel"), "{card}");
    // While it is broken, what comes is told to the fallback at once, each thing one time.
    world.due(&[fresh(2, Reason::Opened, 0, "engineers")]).await;
    teams
        .until("the second one", |t| t.cards().len() == 2)
        .await;
    // Somebody invites the bot.
    slack.always("chat.postMessage", None);
    slack
        .until("both, at last", |s| s.replies().len() == 2)
        .await;
    // Those who were told instead hear that it is over.
    teams.until("the end of it", |t| t.cards().len() == 3).await;
    deliver.stop(PATIENCE).await;
    let card = teams.cards()[2].to_string();
    assert!(card.contains("can be delivered again"), "{card}");
    assert!(world.store.undelivered().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_fallback_that_has_a_route_of_its_own_hears_each_thing_once() {
    let (world, slack, teams) = (World::new(), Fake::slack().await, Fake::teams().await);
    slack.always("chat.postMessage", Some(Fault::Refused("token_revoked")));
    let deliver = world
        .deliver(&[engineers(&slack), support(&teams)], timing())
        .await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    teams
        .until("in their place", |t| t.cards().len() == 1)
        .await;
    // Ten minutes later the route's own, and later both ends, each in its turn.
    world.due(&[fresh(1, Reason::Opened, 1, "support")]).await;
    let ends = [
        fresh(1, Reason::Resolved, 2, "engineers"),
        fresh(1, Reason::Resolved, 3, "support"),
    ];
    world.resolve(1, &ends).await;
    teams.until("the end", |t| t.cards().len() == 2).await;
    // It comes back while all is well with Slack.
    slack.always("chat.postMessage", None);
    slack.until("it was told", |s| s.parents().len() == 1).await;
    world.due(&[fresh(1, Reason::Reopened, 4, "support")]).await;
    let cards = |t: &Fake| {
        let cards = t.cards();
        cards
            .iter()
            .filter(|card| card.to_string().contains("INC-1"))
            .count()
    };
    teams.until("its return", |t| cards(t) == 3).await;
    let end = [fresh(1, Reason::Resolved, 5, "support")];
    world.resolve(1, &end).await;
    world.until_done().await;
    deliver.stop(PATIENCE).await;
    let words: Vec<String> = teams
        .cards()
        .iter()
        .map(|card| card["summary"].as_str().unwrap().to_owned())
        .filter(|summary| summary.contains("INC-1"))
        .map(|summary| summary.split(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(words, ["PROBLEM", "FIXED", "PROBLEM", "FIXED"]);
}

#[tokio::test]
async fn a_fallback_with_a_route_of_its_own_hears_each_thing_once_in_a_storm() {
    let (world, slack, teams) = (World::new(), Fake::slack().await, Fake::teams().await);
    slack.always("chat.postMessage", Some(Fault::Refused("token_revoked")));
    let storm = Timing {
        storm_most: 1,
        ..timing()
    };
    let deliver = world
        .deliver(&[engineers(&slack), support(&teams)], storm)
        .await;
    for number in 1..=3 {
        world
            .due(&[fresh(number, Reason::Opened, 0, "engineers")])
            .await;
    }
    let named = |t: &Fake, number: u64| {
        let name = format!("INC-{number}");
        let cards = t.cards();
        cards
            .iter()
            .filter(|c| c["attachments"].to_string().contains(&name))
            .count()
    };
    teams
        .until("in their place", |t| (1..=3).all(|n| named(t, n) == 1))
        .await;
    for number in 1..=3 {
        world
            .due(&[fresh(number, Reason::Opened, 1, "support")])
            .await;
    }
    slack.always("chat.postMessage", None);
    world.until_done().await;
    deliver.stop(PATIENCE).await;
    for number in 1..=3 {
        assert_eq!(named(&teams, number), 1, "{:?}", teams.cards());
    }
}

#[tokio::test]
async fn without_a_fallback_the_log_has_it() {
    let (world, teams) = (World::new(), Fake::teams().await);
    teams.always("webhook", Some(Fault::Status(404)));
    let deliver = world.deliver(&[support(&teams)], timing()).await;
    world.due(&[fresh(1, Reason::Opened, 0, "support")]).await;
    world.until_printed(1).await;
    teams.until("another try", |t| t.calls().len() > 2).await;
    deliver.stop(PATIENCE).await;
    // Once, however often it is tried.
    assert_eq!(world.printed().len(), 1);
    let text = &world.printed()[0];
    assert!(
        text.contains("Could not reach support: Teams answered HTTP 404"),
        "{text}"
    );
    assert!(text.contains("DOWN"), "{text}");
    let undelivered = world.store.undelivered().await.unwrap();
    assert_eq!(undelivered.len(), 1);
    assert_eq!(undelivered[0].error_class.as_deref(), Some("setup"));
}

#[tokio::test]
async fn without_a_token_the_log_is_the_channel() {
    let world = World::new();
    let receiver = Receiver {
        name: ReceiverName::new("engineers"),
        channel: Channel::Slack {
            token: Err("SLACK_BOT_TOKEN is not set".into()),
            channel: CHANNEL.into(),
            mention: None,
            buttons: None,
            templates: Templates::default(),
            api: "https://slack.com/api".into(),
        },
        fallback: None,
    };
    let deliver = world.deliver(&[receiver], timing()).await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    world.until_printed(1).await;
    deliver.stop(PATIENCE).await;
    let shown = world.store.show(1).await.unwrap().unwrap();
    assert_eq!(shown.deliveries[0].progress, Progress::Accepted);
    assert_eq!(shown.deliveries[0].reference.as_deref(), Some("log"));
}

#[tokio::test]
async fn without_a_token_the_fallback_is_told_at_once() {
    let (world, teams) = (World::new(), Fake::teams().await);
    let receiver = Receiver {
        name: ReceiverName::new("engineers"),
        channel: Channel::Slack {
            token: Err("SLACK_BOT_TOKEN is not set".into()),
            channel: CHANNEL.into(),
            mention: None,
            buttons: None,
            templates: Templates::default(),
            api: "https://slack.com/api".into(),
        },
        fallback: Some(ReceiverName::new("support")),
    };
    let deliver = world.deliver(&[receiver, support(&teams)], timing()).await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    teams.until("a card", |t| t.cards().len() == 1).await;
    deliver.stop(PATIENCE).await;
    let shown = world.store.show(1).await.unwrap().unwrap();
    let own = shown.deliveries.iter().find(|d| d.lane.is_empty()).unwrap();
    assert_eq!((own.progress, own.diverted), (Progress::Pending, true));
    assert_eq!(own.error.as_deref(), Some("SLACK_BOT_TOKEN is not set"));
}

#[tokio::test]
async fn a_refused_layout_is_sent_as_plain_text() {
    let (world, slack, teams) = (World::new(), Fake::slack().await, Fake::teams().await);
    slack.fault("chat.postMessage", Fault::Refused("invalid_blocks"));
    teams.fault("webhook", Fault::Status(413));
    let deliver = world
        .deliver(&[engineers(&slack), support(&teams)], timing())
        .await;
    world
        .due(&[
            fresh(1, Reason::Opened, 0, "engineers"),
            fresh(1, Reason::Opened, 1, "support"),
        ])
        .await;
    slack.until("plain text", |s| s.replies().len() == 1).await;
    teams.until("a plain card", |t| t.cards().len() == 1).await;
    deliver.stop(PATIENCE).await;
    let parent = &slack.parents()[0].body;
    assert!(parent.get("attachments").is_none(), "{parent}");
    assert!(
        parent["text"].as_str().unwrap().contains("What to do"),
        "{parent}"
    );
    let body = &teams.cards()[0]["attachments"][0]["content"]["body"];
    assert_eq!(body.as_array().unwrap().len(), 1);
}

/// Only tries that may have arrived are numbered: what was refused for hours is not given up at the first doubt.
#[tokio::test]
async fn many_refusals_and_then_a_doubt_are_no_reason_to_give_up() {
    let (world, teams) = (World::new(), Fake::teams().await);
    for _ in 0..3 {
        teams.fault("webhook", Fault::SlowDown(Some("0.01")));
        teams.fault("webhook", Fault::Status(503));
    }
    // Not taken, and nobody can know.
    teams.fault("webhook", Fault::Hang);
    let deliver = world.deliver(&[support(&teams)], hasty()).await;
    world.due(&[fresh(1, Reason::Opened, 0, "support")]).await;
    teams.until("the card", |t| t.cards().len() == 1).await;
    deliver.stop(PATIENCE).await;
    assert_eq!(
        world.progress(1).await,
        [(Reason::Opened, Progress::Accepted)]
    );
}

/// The message came through as plain text and its evidence did not: what follows goes on with that message.
#[tokio::test]
async fn what_is_given_up_in_the_middle_leaves_its_message_to_the_next() {
    let (world, slack) = (World::new(), Fake::slack().await);
    for fault in [
        Fault::Refused("invalid_blocks"),
        Fault::None,
        Fault::Refused("invalid_blocks"),
    ] {
        slack.fault("chat.postMessage", fault);
    }
    let mut receiver = engineers(&slack);
    receiver.fallback = None;
    let deliver = world.deliver(&[receiver], timing()).await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    world.until_done().await;
    assert_eq!(world.progress(1).await, [(Reason::Opened, Progress::Dead)]);
    world
        .due(&[fresh(1, Reason::Resolved, 1, "engineers")])
        .await;
    slack.until("the end", |s| s.replies().len() == 1).await;
    deliver.stop(PATIENCE).await;
    let parents = slack.parents();
    assert_eq!(parents.len(), 1, "{parents:?}");
    let text = parents[0].body["text"].as_str().unwrap();
    assert!(text.contains("FIXED"), "{text}");
}

/// Once the end was given up nobody is told that it began, neither here nor instead.
#[tokio::test]
async fn an_end_that_is_given_up_takes_its_beginning_with_it() {
    let (world, slack, teams) = (World::new(), Fake::slack().await, Fake::teams().await);
    for _ in 0..2 {
        slack.fault("chat.postMessage", Fault::Refused("invalid_blocks"));
    }
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    world
        .due(&[
            fresh(1, Reason::Changed, 1, "engineers"),
            fresh(1, Reason::Resolved, 2, "engineers"),
        ])
        .await;
    let deliver = world
        .deliver(&[engineers(&slack), support(&teams)], timing())
        .await;
    world.until_done().await;
    deliver.stop(PATIENCE).await;
    assert!(slack.messages().is_empty(), "{:?}", slack.messages());
    // Each row, and after it the fallback's.
    assert_eq!(
        world.progress(1).await,
        [
            (Reason::Opened, Progress::Dead),
            (Reason::Opened, Progress::Accepted),
            (Reason::Changed, Progress::Dead),
            (Reason::Resolved, Progress::Dead),
            (Reason::Resolved, Progress::Accepted),
        ]
    );
    let summaries: Vec<String> = teams
        .cards()
        .iter()
        .map(|card| card["summary"].as_str().unwrap().chars().take(6).collect())
        .collect();
    assert_eq!(summaries, ["FIXED:"]);
}

/// The same while it is only tried again: the fallback hears the whole, in this order.
#[tokio::test]
async fn a_whole_incident_that_goes_to_the_fallback_is_one_message_there() {
    let (world, slack, teams) = (World::new(), Fake::slack().await, Fake::teams().await);
    slack.fault("chat.postMessage", Fault::Refused("is_archived"));
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    world
        .due(&[fresh(1, Reason::Resolved, 1, "engineers")])
        .await;
    let deliver = world
        .deliver(&[engineers(&slack), support(&teams)], timing())
        .await;
    world.until_done().await;
    deliver.stop(PATIENCE).await;
    let told: Vec<String> = teams
        .cards()
        .iter()
        .filter_map(|card| card["summary"].as_str())
        .filter(|summary| summary.contains("INC-1"))
        .map(|summary| summary.chars().take(6).collect())
        .collect();
    assert_eq!(told, ["FIXED:"]);
    assert_eq!(slack.parents().len(), 1);
}

/// A look-up that fails for a while puts the repeat off; only one that may not be made, or never ends, lets it go out marked.
#[tokio::test]
async fn a_look_that_fails_is_no_reason_to_post_twice() {
    for fault in [
        Fault::SlowDown(Some("0")),
        Fault::Status(500),
        Fault::Status(302),
        Fault::Redirect,
        Fault::Page,
        Fault::Refused("internal_error"),
        Fault::Refused("token_revoked"),
        Fault::Refused("ratelimited"),
        Fault::RefusedSilently,
    ] {
        let (world, slack) = (World::new(), Fake::slack().await);
        slack.fault("chat.postMessage", Fault::TakenThenDropped);
        slack.fault("conversations.history", fault);
        slack.fault("conversations.history", fault);
        let mut receiver = engineers(&slack);
        receiver.fallback = None;
        let deliver = world.deliver(&[receiver], timing()).await;
        world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
        slack
            .until("the evidence", |s| s.replies().len() == 1)
            .await;
        deliver.stop(PATIENCE).await;
        assert_eq!(slack.parents().len(), 1, "{fault:?}: {:?}", slack.calls());
        let told = slack.parents()[0].body.to_string();
        assert!(!told.contains("repeat"), "{fault:?}: {told}");
    }
}

/// A pause that nobody can mean does not silence a channel, and one that is meant is kept.
#[tokio::test]
async fn a_date_in_retry_after_is_kept() {
    for (asked, told) in [
        ("Wed, 21 Oct 2015 07:28:00 GMT", true),
        ("Wed, 01 Dec 9999 00:00:00 GMT", false),
    ] {
        let (world, slack) = (World::new(), Fake::slack().await);
        slack.fault("chat.postMessage", Fault::SlowDown(Some(asked)));
        let slow = Timing {
            slow_down: Duration::from_secs(3_600),
            slow_down_max: Duration::from_secs(1_800),
            ..timing()
        };
        let deliver = world.deliver(&[engineers(&slack)], slow).await;
        world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
        if told {
            slack.until("the opening", |s| s.replies().len() == 1).await;
        } else {
            slack.until("the try", |s| s.calls().len() == 1).await;
        }
        deliver.stop(PATIENCE).await;
        let waiting = world.store.undelivered().await.unwrap();
        let wait = waiting.first().map(|d| {
            let at = d.next_at.unwrap();
            at.duration_since(d.last_attempt_at.unwrap()).as_secs()
        });
        match wait {
            None => assert!(told, "{asked}"),
            Some(wait) => assert!(!told && (1_800..1_830).contains(&wait), "{asked}: {wait}"),
        }
    }
}

/// What broke off in front of a flow may have run, and the next card says so; any good status is an end.
#[tokio::test]
async fn teams_says_of_a_card_after_a_broken_answer_that_it_may_be_the_second() {
    for (fault, cards, marked) in [
        (Fault::TakenThen500, 2, true),
        (Fault::Status(502), 1, true),
        (Fault::Status(503), 1, false),
        (Fault::SlowDown(Some("0")), 1, false),
    ] {
        let (world, teams) = (World::new(), Fake::teams().await);
        teams.fault("webhook", fault);
        let deliver = world.deliver(&[support(&teams)], timing()).await;
        world.due(&[fresh(1, Reason::Opened, 0, "support")]).await;
        teams.until("both calls", |t| t.calls().len() == 2).await;
        deliver.stop(PATIENCE).await;
        assert_eq!(teams.cards().len(), cards, "{fault:?}");
        let last = teams.cards().last().unwrap().to_string();
        assert_eq!(last.contains("second copy"), marked, "{fault:?}: {last}");
    }
}

/// No try fails for hours, so long is the pause: the fallback hears of it in time all the same, and of the end at once.
#[tokio::test]
async fn the_fallback_does_not_wait_for_a_try_to_fail() {
    for (fault, uncertain) in [(Fault::Status(408), false), (Fault::TakenThen500, true)] {
        let (world, slack, teams) = (World::new(), Fake::slack().await, Fake::teams().await);
        slack.fault("chat.postMessage", fault);
        let patient = Timing {
            backoff_min: Duration::from_secs(36_000),
            backoff_max: Duration::from_secs(36_000),
            look: Duration::from_secs(36_000),
            divert: Duration::from_millis(50),
            ..timing()
        };
        let receivers = [engineers(&slack), support(&teams)];
        let deliver = world.deliver(&receivers, patient).await;
        world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
        teams.until("the opening", |t| t.cards().len() == 1).await;
        world
            .resolve(1, &[fresh(1, Reason::Resolved, 1, "engineers")])
            .await;
        teams.until("the end", |t| t.cards().len() == 2).await;
        deliver.stop(PATIENCE).await;
        assert_eq!(slack.calls().len(), 1, "{fault:?}: {:?}", slack.calls());
        let cards: Vec<String> = teams.cards().iter().map(ToString::to_string).collect();
        assert!(cards[0].contains("their own channel"), "{}", cards[0]);
        assert!(cards[1].contains("FIXED"), "{}", cards[1]);
        // Nothing was given up: both wait for the channel itself.
        let waiting = world.store.undelivered().await.unwrap();
        let waiting: Vec<_> = waiting
            .iter()
            .map(|d| (d.notification.reason, d.progress, d.diverted, d.uncertain))
            .collect();
        assert_eq!(
            waiting,
            [
                (Reason::Opened, Progress::Pending, true, uncertain),
                (Reason::Resolved, Progress::Pending, true, false)
            ]
        );
    }
}

#[tokio::test]
async fn given_up_in_the_end_and_listed() {
    let (world, slack) = (World::new(), Fake::slack().await);
    slack.always("chat.postMessage", Some(Fault::Status(500)));
    let mut receiver = engineers(&slack);
    receiver.fallback = None;
    let short = Timing {
        give_up: Duration::ZERO,
        give_up_tries: 0,
        ..timing()
    };
    let deliver = world.deliver(&[receiver], short).await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    world.until_printed(1).await;
    deliver.stop(PATIENCE).await;
    let dead = world.store.undelivered().await.unwrap();
    assert_eq!(dead[0].progress, Progress::Dead);
    assert_eq!(dead[0].error.as_deref(), Some("Slack answered HTTP 500"));
}

#[tokio::test]
async fn what_is_due_to_a_removed_receiver_is_not_forgotten_silently() {
    let world = World::new();
    world.due(&[fresh(1, Reason::Opened, 0, "former")]).await;
    let deliver = world.deliver(&[], timing()).await;
    deliver.stop(PATIENCE).await;
    assert_eq!(world.printed().len(), 1);
    assert_eq!(world.progress(1).await, [(Reason::Opened, Progress::Dead)]);
}

#[tokio::test]
async fn a_late_message_says_so() {
    let (world, slack) = (World::new(), Fake::slack().await);
    let mut opened = fresh(1, Reason::Opened, 0, "engineers");
    opened.created_at -= Duration::from_secs(180);
    opened.not_before = opened.created_at;
    let deliver = world.deliver(&[engineers(&slack)], timing()).await;
    world.due(&[opened]).await;
    slack.until("the opening", |s| s.replies().len() == 1).await;
    deliver.stop(PATIENCE).await;
    let parent = slack.parents()[0].body.to_string();
    assert!(parent.contains("Delivered late, happened at"), "{parent}");
}

/// Neither token nor webhook is in any error, log line or file, whatever goes wrong.
#[tokio::test]
async fn secrets_stay_where_they_belong() {
    let log = Captured::default();
    let _listening = log.listen();
    let (world, slack, teams) = (World::new(), Fake::slack().await, Fake::teams().await);
    for fault in [
        Fault::Redirect,
        Fault::Page,
        Fault::TakenThenCut,
        Fault::TakenThenDropped,
        Fault::Status(404),
        Fault::Hang,
    ] {
        slack.fault("chat.postMessage", fault);
        teams.fault("webhook", fault);
    }
    let deliver = world
        .deliver(&[engineers(&slack), support(&teams)], hasty())
        .await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    // Another incident: of the same one, support would hear nothing after it was told in the engineers' place.
    world.due(&[fresh(2, Reason::Opened, 0, "support")]).await;
    slack.until("the opening", |s| s.replies().len() == 1).await;
    teams.until("the card", |t| t.calls().len() >= 7).await;
    deliver.stop(PATIENCE).await;
    let mut kept = log.0.lock().unwrap().clone();
    assert!(
        String::from_utf8_lossy(&kept).contains("not told yet"),
        "the log was captured"
    );
    kept.extend(format!("{:?}", world.printed()).bytes());
    kept.extend(format!("{:?}", world.store.show(1).await.unwrap()).bytes());
    world.store.close().await;
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        kept.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let kept = String::from_utf8_lossy(&kept);
    for secret in [TOKEN, TEAMS_SIGNATURE] {
        let found = kept.find(secret);
        assert_eq!(
            found,
            None,
            "{:?}",
            found.map(|at| &kept[at.saturating_sub(200)..at])
        );
    }
}

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Captured(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// Captures what this thread logs, for as long as the result lives.
    ///
    /// The second listener hears nothing that matters: while there is only one, a line of code that another
    /// thread reaches first is taken for one that nobody listens to, here as well.
    pub(crate) fn listen(&self) -> (tracing::subscriber::DefaultGuard, tracing::Dispatch) {
        let second = tracing::Dispatch::new(tracing_subscriber::registry());
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(self.clone())
            .finish();
        (tracing::subscriber::set_default(subscriber), second)
    }
}

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
