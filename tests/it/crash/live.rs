//! A whole incident with real probes and a real edge, killed at six calls on its way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use edgewatch::store::Store;
use serde_json::Value;

use super::gate::{Gate, Kill, SLACK, Stop, Tally};
use crate::daemon::{Daemon, within};
use crate::fakes::{CHANNEL, Fake, SlackMessage, TOKEN};
use crate::secrets::TEAMS_SIGNATURE;
use crate::world::{PASSWORD, RULE, World, run};

/// A partner, its receivers behind gates, and the daemon's lives.
struct Stage {
    world: World,
    slack: Fake,
    teams: Fake,
    at_slack: Arc<Tally>,
    at_teams: Arc<Tally>,
    lives: usize,
}

/// A daemon and the gates before its receivers.
type Life = (Daemon, [Gate; 2]);

impl Stage {
    async fn new() -> Self {
        let world = World::start().await;
        let store = world.directory.path().join("edgewatch.sqlite");
        let at_slack = [
            Kill::at("chat.postMessage (parent)", Stop::Unanswered),
            Kill::at("chat.postMessage (reply)", Stop::Unmarked),
            Kill::at("chat.update", Stop::HalfAnswered),
            Kill::at("chat.postMessage (broadcast)", Stop::Unanswered),
        ];
        let at_teams = [
            Kill::at("Teams (PROBLEM", Stop::Unanswered),
            Kill::at("Teams (FIXED", Stop::Unmarked),
        ];
        Self {
            world,
            slack: Fake::slack().await,
            teams: Fake::teams().await,
            at_slack: Tally::new(store.clone(), &at_slack),
            at_teams: Tally::new(store, &at_teams),
            lives: 0,
        }
    }

    async fn start(&mut self) -> Life {
        self.lives += 1;
        self.at_slack.begin_life();
        self.at_teams.begin_life();
        let slack = Gate::before(SLACK, self.slack.address(), &self.at_slack).await;
        let teams = Gate::before("Teams", self.teams.address(), &self.at_teams).await;
        self.write(slack.address);
        let daemon = Daemon::start_with(&self.world, &self.teams.webhook_at(teams.address));
        (daemon, [slack, teams])
    }

    fn write(&self, slack: SocketAddr) {
        let notify = format!(
            r#"notify:
  receivers:
    engineers: {{ slack: {{ token: {{ env: SLACK_BOT_TOKEN }}, channel: {CHANNEL}, api: "http://{slack}/api" }} }}
    support: {{ teams: {{ webhook: {{ env: TEAMS_WEBHOOK_URL }} }} }}
  routes:
    - {{ to: engineers }}
    - {{ to: support }}
"#
        );
        self.world
            .write("de1: 127.0.0.2, us1: 127.0.0.3", "2s", &notify);
    }

    /// Lives on, killed at calls, until so many kills struck and everything is told.
    async fn live(&mut self, what: &str, first: Life, kills: (usize, usize)) -> Life {
        let mut life = first;
        loop {
            let mut killed = false;
            within(what, async {
                tokio::select! {
                    biased;
                    () = self.at_slack.shut() => killed = true,
                    () = self.at_teams.shut() => killed = true,
                    () = self.settled(kills) => {}
                }
            })
            .await;
            if !killed {
                return life;
            }
            life.0.kill();
            life = self.start().await;
        }
    }

    async fn settled(&self, kills: (usize, usize)) {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        let path = self.world.directory.path().join("edgewatch.sqlite");
        loop {
            looks.tick().await;
            let reached = (self.at_slack.reached(), self.at_teams.reached());
            if reached.0 < kills.0 || reached.1 < kills.1 {
                continue;
            }
            let reader = Store::read_only(&path).unwrap();
            if reader.undelivered().unwrap().is_empty() {
                return;
            }
        }
    }

    /// Cards that begin with this word.
    fn cards(&self, word: &str) -> usize {
        let cards = self.teams.cards();
        let summaries = cards.iter().filter_map(|card| card["summary"].as_str());
        summaries.filter(|text| text.starts_with(word)).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_goes_on_with_its_incident() {
    let mut stage = Stage::new().await;
    let life = stage.start().await;
    within("a first round", async {
        drop(stage.world.partner.seen(4).await);
    })
    .await;
    stage.world.partner.switch(RULE, true);
    let life = stage.live("the opening", life, (2, 1)).await;
    let before = stage.world.partner.count();
    within("three more rounds", async {
        drop(stage.world.partner.seen(before + 12).await);
    })
    .await;
    assert_eq!(stage.slack.parents().len(), 1, "one incident, one parent");

    stage.world.partner.switch(RULE, false);
    let life = stage.live("the end", life, (4, 2)).await;
    assert_eq!(life.0.stop().await, 0);
    assert!(stage.lives >= 5, "{} lives", stage.lives);

    let (world, slack, teams) = (&stage.world, &stage.slack, &stage.teams);
    let parents = slack.parents();
    assert_eq!(parents.len(), 1, "the restarts repeat nothing: {parents:?}");
    assert!(parents[0].edits > 0, "the parent shows the present state");
    let replies = slack.replies();
    let evidence = |m: &&SlackMessage| m.body.to_string().contains("Evidence for INC-1");
    assert_eq!(replies.iter().filter(evidence).count(), 1, "{replies:?}");
    assert_eq!(
        replies.iter().filter(|r| r.broadcast).count(),
        1,
        "fixed is told once"
    );
    // Teams tells nobody what arrived: what it took when the process died comes again, and says so. Each of the
    // lives that ended can have added one.
    let marked = teams
        .cards()
        .iter()
        .filter(|card| card.to_string().contains("may be a second copy"))
        .count();
    let (problems, ends) = (stage.cards("PROBLEM"), stage.cards("FIXED"));
    assert!(problems >= 2 && ends >= 2, "both cards were killed at");
    let repeats = problems + ends - 2;
    assert!(repeats <= marked, "{repeats} repeats, {marked} say so");
    assert!(repeats < stage.lives, "one for each kill at most");

    let (code, out, err) =
        run(world.command(&["incidents", "show", "1", "--format", "json"])).await;
    assert_eq!(code, 0, "resolved: {err}");
    let incident: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(incident["state"], "resolved");
    assert!(
        incident["headline"]
            .as_str()
            .unwrap()
            .contains("client `legacy`"),
        "{incident}"
    );
    let (_, out, _) = run(world.command(&["incidents", "list", "--format", "json"])).await;
    assert_eq!(
        serde_json::from_str::<Value>(&out)
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        1,
        "one incident"
    );

    // No way out for a secret: the log, the store, the messages, what the command prints.
    let mut everything = out.into_bytes();
    for entry in std::fs::read_dir(world.directory.path()).unwrap() {
        everything.extend(std::fs::read(entry.unwrap().path()).unwrap_or_default());
    }
    for message in slack.messages() {
        everything.extend(message.body.to_string().into_bytes());
    }
    everything.extend(
        teams
            .cards()
            .iter()
            .flat_map(|card| card.to_string().into_bytes()),
    );
    for secret in [PASSWORD, TOKEN, TEAMS_SIGNATURE] {
        let found = everything
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "a secret leaked");
    }
}
