//! The daemon as a real process, killed in the middle of an incident: nothing is lost, nothing told twice.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::fakes::{CHANNEL, Fake, TOKEN};
use crate::world::{PASSWORD, RULE, World, run};

/// Confirming and recovering take their spaced repeats, tens of seconds each, in real time.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn start(world: &World, teams: &Fake) -> Self {
        let log = world.directory.path().join("daemon.log");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let mut command: Command = world.command(&["run", "--log", "debug"]);
        command
            .env("SLACK_BOT_TOKEN", TOKEN)
            .env("TEAMS_WEBHOOK_URL", teams.webhook())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self(command.spawn().unwrap())
    }

    /// SIGKILL: no goodbye.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM, and the exit code.
    pub(crate) async fn stop(mut self) -> i32 {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        tokio::task::spawn_blocking(move || self.0.wait().unwrap().code().unwrap_or(-1))
            .await
            .unwrap()
    }
}

pub(crate) async fn within(what: &str, event: impl Future<Output = ()>) {
    assert!(
        tokio::time::timeout(PATIENCE, event).await.is_ok(),
        "never came: {what}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_goes_on_with_its_incident() {
    let world = World::start().await;
    let (slack, teams) = (Fake::slack().await, Fake::teams().await);
    let notify = format!(
        r#"notify:
  receivers:
    engineers: {{ slack: {{ token: {{ env: SLACK_BOT_TOKEN }}, channel: {CHANNEL}, api: "{}" }} }}
    support: {{ teams: {{ webhook: {{ env: TEAMS_WEBHOOK_URL }} }} }}
  routes:
    - {{ to: engineers }}
    - {{ to: support }}
"#,
        slack.api()
    );
    world.write("de1: 127.0.0.2, us1: 127.0.0.3", "2s", &notify);

    let daemon = Daemon::start(&world, &teams);
    within("a first round", async { drop(world.partner.seen(4).await) }).await;
    world.partner.switch(RULE, true);
    within(
        "the parent message",
        slack.eventually(|s| s.parents().len() == 1),
    )
    .await;
    daemon.kill();

    let daemon = Daemon::start(&world, &teams);
    let before = world.partner.count();
    within("three more rounds", async {
        drop(world.partner.seen(before + 12).await);
    })
    .await;
    within("the card", teams.eventually(|t| !t.cards().is_empty())).await;
    assert_eq!(slack.parents().len(), 1, "one incident, one parent");

    world.partner.switch(RULE, false);
    within(
        "the fix in the thread",
        slack.eventually(|s| s.replies().iter().any(|r| r.broadcast)),
    )
    .await;
    within(
        "the second card",
        teams.eventually(|t| t.cards().len() >= 2),
    )
    .await;
    assert_eq!(daemon.stop().await, 0);

    let parents = slack.parents();
    assert_eq!(parents.len(), 1, "the restart repeats nothing: {parents:?}");
    assert!(parents[0].edits > 0, "the parent shows the present state");
    assert_eq!(
        slack.replies().iter().filter(|r| r.broadcast).count(),
        1,
        "fixed is told once"
    );
    // Teams tells nobody what arrived: a card that was on its way when the process died may come twice, and says so.
    let told = |word: &str| {
        teams
            .cards()
            .iter()
            .filter(|card| card["summary"].as_str().unwrap().starts_with(word))
            .count()
    };
    assert_eq!(told("FIXED"), 1);
    let problems = told("PROBLEM");
    let marked = teams
        .cards()
        .iter()
        .filter(|card| card.to_string().contains("may be a second copy"))
        .count();
    assert!(
        problems == 1 || problems == 2 && marked == 1,
        "{problems} problems, {marked} marked"
    );

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
    for secret in [PASSWORD, TOKEN, "SECRET-SIGNATURE"] {
        let found = everything
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "a secret leaked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_file_is_refused_at_reload_and_the_old_one_stays() {
    let world = World::start().await;
    let teams = Fake::teams().await;
    world.write("de1: 127.0.0.2", "1s", "");
    let daemon = Daemon::start(&world, &teams);
    within("a first round", async { drop(world.partner.seen(2).await) }).await;

    let good = std::fs::read_to_string(world.config()).unwrap();
    let bad = "version: 1\nprobs: {}\n".to_owned();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.0.id()).unwrap());
    for text in [&bad, &bad, &good] {
        std::fs::write(world.config(), text).unwrap();
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
        let before = world.partner.count();
        within("two more rounds", async {
            drop(world.partner.seen(before + 4).await);
        })
        .await;
    }
    assert_eq!(daemon.stop().await, 0);
    let log = std::fs::read_to_string(world.directory.path().join("daemon.log")).unwrap();
    assert!(log.contains("the old one stays in force"), "{log}");
    assert!(log.contains("did you mean \"probes\""), "{log}");
    let told = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!(
        told("was not taken, the one before stays in force"),
        1,
        "{log}"
    );
    assert_eq!(told("is in force again, after one"), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_says_what_it_did_not_take_and_what_is_odd() {
    let world = World::start().await;
    let teams = Fake::teams().await;
    world.write("de1: 127.0.0.2", "1s", "");
    let daemon = Daemon::start(&world, &teams);
    within("a first round", async { drop(world.partner.seen(2).await) }).await;

    let text = std::fs::read_to_string(world.config()).unwrap();
    let text = text
        .replace("edgewatch.sqlite", "another.sqlite")
        .replace("env: GMC_PASSWORD", "env: GMC_PASSWORD_THAT_NOBODY_SET");
    std::fs::write(world.config(), text).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.0.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    let before = world.control.count();
    within("three more rounds of the control", async {
        drop(world.control.seen(before + 3).await);
    })
    .await;
    assert_eq!(daemon.stop().await, 0);
    let log = std::fs::read_to_string(world.directory.path().join("daemon.log")).unwrap();
    assert!(log.contains("GMC_PASSWORD_THAT_NOBODY_SET"), "{log}");
    assert!(log.contains("is taken at the next start"), "{log}");
    assert!(!world.directory.path().join("another.sqlite").exists());
}
