//! What is told beside incidents: all is well, a channel in trouble, its end.

use std::sync::Arc;
use std::time::Duration;

use edgewatch::app::deliver::{Deliver, Reach, Timing};
use edgewatch::domain::cell::ReceiverName;
use edgewatch::domain::diagnosis::Cause;
use edgewatch::domain::incident::IncidentCell;
use edgewatch::domain::notification::{AllIsWell, Channel, Notification, Reason, Receiver, Route};
use edgewatch::domain::probe::Schedule;
use edgewatch::lang::cron::Cron;
use edgewatch::machine::driver::{self, Simulation};
use edgewatch::machine::{Effect, Judged, Known, Machine, Start};
use edgewatch::notify::Notice;
use edgewatch::notify::teams::payload;
use edgewatch::store::Mark;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::deliver::{PATIENCE, World, engineers, support, timing};
use super::fakes::{Fake, Fault, card_problems};
use super::samples::{at, change, fresh, incident};
use super::slack::message;
use super::teams::banned;

/// As in production, a channel is looked at after the start.
fn looking() -> Timing {
    Timing {
        check: Some(Duration::from_millis(20)),
        ..timing()
    }
}

fn reach(deliver: &Deliver, name: &str) -> Reach {
    deliver.reach()[&ReceiverName::new(name)].clone()
}

fn text(message: &Value) -> String {
    message["text"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_channel_is_looked_at_after_the_start() {
    let (world, slack) = (World::new(), Fake::slack().await);
    let deliver = world.deliver(&[engineers(&slack)], looking()).await;
    slack
        .until("both questions", |s| {
            s.calls() == ["auth.test", "conversations.history"]
        })
        .await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    slack.until("the opening", |s| s.replies().len() == 1).await;
    assert_eq!(
        reach(&deliver, "engineers"),
        Reach::Good(Some("TIS as edgewatch".into()))
    );
    deliver.stop(PATIENCE).await;
    // Once: what works is not asked again.
    let asked = slack.calls().iter().filter(|c| *c == "auth.test").count();
    assert_eq!(asked, 1);
    assert_eq!(slack.messages().len(), 2, "nothing was posted by looking");
}

#[tokio::test]
async fn what_one_can_do_without_is_said() {
    let (world, slack) = (World::new(), Fake::slack().await);
    slack.always(
        "conversations.history",
        Some(Fault::Refused("missing_scope")),
    );
    let deliver = world.deliver(&[engineers(&slack)], looking()).await;
    slack
        .until("both questions", |s| s.calls().len() == 2)
        .await;
    world.due(&[fresh(1, Reason::Opened, 0, "engineers")]).await;
    slack.until("the opening", |s| s.replies().len() == 1).await;
    let Reach::Good(Some(found)) = reach(&deliver, "engineers") else {
        panic!("{:?}", deliver.reach())
    };
    assert!(
        found.contains("without the scope channels:history"),
        "{found}"
    );
    deliver.stop(PATIENCE).await;
}

/// A token that was revoked while nothing is wrong: known before the first incident, told once, and its end.
#[tokio::test]
async fn trouble_of_one_channel_is_told_on_the_other_once() {
    let (mut world, slack, teams) = (World::new(), Fake::slack().await, Fake::teams().await);
    slack.always("auth.test", Some(Fault::Refused("token_revoked")));
    let receivers = [engineers(&slack), support(&teams)];
    let deliver = world.deliver(&receivers, looking()).await;
    teams.until("the notice", |t| t.cards().len() == 1).await;
    slack.until("more looks", |s| s.calls().len() >= 4).await;
    let card = teams.cards()[0].to_string();
    assert!(
        card.contains("Those to “engineers” can’t be delivered"),
        "{card}"
    );
    assert!(!card.contains("token_revoked"), "{card}");
    assert!(
        matches!(reach(&deliver, "engineers"), Reach::Broken { why, .. } if why.ends_with("token_revoked"))
    );
    deliver.stop(PATIENCE).await;
    // A restart knows that it was told.
    world.reopen().await;
    let deliver = world.deliver(&receivers, looking()).await;
    let looks = slack.calls().len();
    slack
        .until("more looks", |s| s.calls().len() >= looks + 3)
        .await;
    assert_eq!(teams.cards().len(), 1);
    // Somebody mends it.
    slack.always("auth.test", None);
    teams.until("the end", |t| t.cards().len() == 2).await;
    deliver.stop(PATIENCE).await;
    let card = teams.cards()[1].to_string();
    assert!(card.contains("can be delivered again"), "{card}");
    let engineers = "engineers".into_name();
    let mark = world.store.mark(&engineers, Mark::Trouble).await;
    assert_eq!(mark.unwrap(), None);
}

#[tokio::test]
async fn trouble_of_teams_is_told_in_slack() {
    let (world, slack, teams) = (World::new(), Fake::slack().await, Fake::teams().await);
    teams.always("webhook", Some(Fault::Status(404)));
    let mut of_teams = quiet(&teams, Duration::from_secs(3600));
    of_teams.fallback = Some("engineers".into_name());
    let mut of_slack = engineers(&slack);
    of_slack.fallback = None;
    long_ago(&world).await;
    let deliver = world.deliver(&[of_slack, of_teams], timing()).await;
    slack.until("the notice", |s| s.messages().len() == 1).await;
    deliver.stop(PATIENCE).await;
    assert_eq!(
        text(&slack.messages()[0].body),
        "CHANNEL TROUBLE · messages to support do not arrive: Teams answered HTTP 404: the workflow is gone, switched off or has another trigger"
    );
}

trait Named {
    fn into_name(self) -> ReceiverName;
}

impl Named for &str {
    fn into_name(self) -> ReceiverName {
        ReceiverName::new(self)
    }
}

fn quiet(fake: &Fake, every: Duration) -> Receiver {
    let mut receiver = support(fake);
    if let Channel::Teams { all_is_well, .. } = &mut receiver.channel {
        *all_is_well = Some(AllIsWell {
            schedule: Schedule::Every(every),
            service: "GMC".into(),
            zone: "Europe/London".into(),
        });
    }
    receiver
}

/// The last "all is well" was two hours ago.
async fn long_ago(world: &World) {
    let then = edgewatch::clock::now() - Duration::from_secs(7_200);
    let mark = Some((then, "GMC".to_owned()));
    let support = "support".into_name();
    let set = world.store.set_mark(&support, Mark::AllIsWell, mark);
    set.await.unwrap();
}

#[tokio::test]
async fn all_is_well_on_a_schedule() {
    let (mut world, teams) = (World::new(), Fake::teams().await);
    let receivers = [quiet(&teams, Duration::from_secs(3_600))];
    // A new store does not begin with one.
    let deliver = world.deliver(&receivers, timing()).await;
    world.due(&[fresh(1, Reason::Opened, 0, "support")]).await;
    teams.until("a card", |t| t.cards().len() == 1).await;
    deliver.stop(PATIENCE).await;
    // It is due, but something is open.
    long_ago(&world).await;
    let deliver = world.deliver(&receivers, timing()).await;
    world.due(&[fresh(1, Reason::Reminder, 1, "support")]).await;
    teams.until("the reminder", |t| t.cards().len() == 2).await;
    // Nothing is open any more.
    let mut over = change(1, vec![fresh(1, Reason::Resolved, 2, "support")]);
    over.incident.state = edgewatch::domain::incident::State::Resolved;
    over.incident.resolved_at = Some(edgewatch::clock::now());
    world.store.commit(over).await.unwrap();
    teams
        .until("the end and all is well", |t| t.cards().len() == 4)
        .await;
    deliver.stop(PATIENCE).await;
    let card = &teams.cards()[3];
    assert!(
        card.to_string().contains("GMC: no problem is known"),
        "{card}"
    );
    // A restart does not say it again.
    world.reopen().await;
    let deliver = world.deliver(&receivers, timing()).await;
    world.due(&[fresh(2, Reason::Opened, 0, "support")]).await;
    teams
        .until("the next incident", |t| t.cards().len() == 5)
        .await;
    deliver.stop(PATIENCE).await;
    assert!(teams.cards()[4].to_string().contains("INC-2"));
}

#[tokio::test]
async fn all_is_well_is_tried_until_it_arrives() {
    let (world, teams) = (World::new(), Fake::teams().await);
    for fault in [
        Fault::Status(500),
        Fault::SlowDown(None),
        Fault::Status(404),
    ] {
        teams.fault("webhook", fault);
    }
    long_ago(&world).await;
    let receivers = [quiet(&teams, Duration::from_secs(3_600))];
    let deliver = world.deliver(&receivers, timing()).await;
    teams.until("the card", |t| t.cards().len() == 1).await;
    deliver.stop(PATIENCE).await;
    assert_eq!(teams.calls().len(), 4);
}

/// What a card promises as its next update comes at that time, though nothing changed; and the next, and the next.
#[test]
fn the_promised_update_comes() {
    let mut plan = super::plan::plan("https://webcache.gmc-uk.org/");
    plan.probes[0].name = "gmc-connect".into();
    plan.receivers = vec![Receiver {
        name: "support".into(),
        channel: Channel::Log,
        fallback: None,
    }];
    plan.routes = vec![Route {
        after: Duration::from_secs(600),
        min_confidence: 0.9,
        ..Route::new("support".into())
    }];
    let mut known = incident(1);
    known.told_receivers.clear();
    known.acknowledged = None;
    let (_, cell) = plan.cells().next().unwrap();
    known.cells = vec![IncidentCell {
        asked: None,
        cell: cell.clone(),
        kind: known.kind,
        failing: true,
        since: known.onset_at,
        last_at: known.opened_at,
    }];
    known.diagnosis.cause = Cause::Everything;
    known.diagnosis.failing = vec![cell];
    known.diagnosis.passing = Vec::new();
    let begin = known.opened_at;
    let known = Known {
        incidents: vec![known.clone()],
        next_number: 2,
        ..Known::default()
    };
    let machine = Machine::new(Arc::new(plan), known, begin);
    let mut it = Simulation::new(machine, Silence::default(), begin);
    // Told ten minutes after the opening, as the route says; from then on, whatever the last card promised.
    let mut due = begin + Duration::from_secs(600);
    for turn in 0..6 {
        it.until(due - Duration::from_secs(1));
        assert_eq!(it.scene.world.0, [], "turn {turn}: before its time");
        it.until(due);
        let told = std::mem::take(&mut it.scene.world.0);
        let [one] = told.as_slice() else {
            panic!("turn {turn}: {} messages", told.len())
        };
        let reason = if turn == 0 {
            Reason::Opened
        } else {
            Reason::Reminder
        };
        assert_eq!(one.reason, reason, "turn {turn}");
        let promised = one.briefing.next_update_at.unwrap();
        let card = payload(&message(one)).to_string();
        let clock = promised.strftime("%H:%M").to_string();
        assert!(
            card.contains("Next update") && card.contains(&clock),
            "turn {turn}: {clock} in {card}"
        );
        due = promised;
    }
}

/// A world in which no run ever ends; what is told in it.
#[derive(Debug, Default)]
struct Silence(Vec<Notification>);

impl driver::World for Silence {
    fn run(&mut self, _: &Start, _: Timestamp) -> Option<(Judged, Timestamp)> {
        None
    }

    fn keep(&mut self, effect: Effect, _: Timestamp) {
        if let Effect::Save(change) = effect {
            self.0.extend(change.notifications);
        }
    }
}

#[test]
fn notices_in_plain_words() {
    let setting = AllIsWell {
        schedule: Schedule::Cron(
            Cron::new("0 10 1 * *", TimeZone::get("Europe/London").unwrap()).unwrap(),
        ),
        service: "GMC".into(),
        zone: "Europe/London".into(),
    };
    for (name, notice) in [
        (
            "all_is_well",
            Notice::AllIsWell {
                setting: &setting,
                now: at("2021-03-01T10:00:00Z"),
            },
        ),
        (
            "unreachable",
            Notice::Unreachable {
                receiver: "engineers",
                why: "Slack refused: HTTP 403 <x>",
            },
        ),
        (
            "reachable_again",
            Notice::ReachableAgain {
                receiver: "engineers",
            },
        ),
    ] {
        let card = notice.card();
        assert_eq!(card_problems(&card), Vec::<String>::new(), "{name}");
        assert_eq!(banned(&card), Vec::<&str>::new(), "{name}");
        insta::assert_json_snapshot!(format!("notice_{name}"), card);
        insta::assert_snapshot!(format!("notice_{name}_text"), notice.text());
    }
}
