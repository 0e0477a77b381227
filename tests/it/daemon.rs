//! The daemon as a real process, and its file read again.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::fakes::{Fake, TOKEN};
use crate::world::{World, program, run};

/// Confirming and recovering take their spaced repeats, tens of seconds each, in real time.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Daemon(Child);

impl Drop for Daemon {
    /// A test that fails leaves none behind.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    pub(crate) fn start(world: &World, teams: &Fake) -> Self {
        Self::start_with(world, &teams.webhook())
    }

    pub(crate) fn start_with(world: &World, webhook: &str) -> Self {
        let mut command: Command = world.command(&["run", "--log", "debug"]);
        command
            .env("SLACK_BOT_TOKEN", TOKEN)
            .env("TEAMS_WEBHOOK_URL", webhook);
        Self::spawn(command, world.directory.path())
    }

    /// Starts the program; what it says goes to `daemon.log` in the folder.
    pub(crate) fn spawn(mut command: Command, folder: &Path) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join("daemon.log"))
            .unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self(command.spawn().unwrap())
    }

    /// SIGHUP: read the file again.
    pub(crate) fn reload(&self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    }

    /// SIGKILL: no goodbye.
    pub(crate) fn kill(mut self) {
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
async fn a_faulty_file_is_refused_at_reload_and_the_old_one_stays() {
    let world = World::start().await;
    let teams = Fake::teams().await;
    world.write("de1: 127.0.0.2", "1s", "");
    let daemon = Daemon::start(&world, &teams);
    within("a first round", async { drop(world.partner.seen(2).await) }).await;

    let good = std::fs::read_to_string(world.config()).unwrap();
    let bad = "version: 1\nprobs: {}\n".to_owned();
    // However often it goes to and fro, it is one piece of news.
    for text in [&bad, &bad, &good, &bad, &good] {
        std::fs::write(world.config(), text).unwrap();
        daemon.reload();
        let before = world.partner.count();
        within("two more rounds", async {
            drop(world.partner.seen(before + 4).await);
        })
        .await;
    }
    let log = || std::fs::read_to_string(world.directory.path().join("daemon.log")).unwrap();
    within("that a right file stands", async {
        while !log().contains("is in force again, after one") {
            let before = world.partner.count();
            drop(world.partner.seen(before + 1).await);
        }
    })
    .await;
    assert_eq!(daemon.stop().await, 0);
    let log = log();
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
    daemon.reload();
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

#[tokio::test(flavor = "multi_thread")]
async fn at_a_start_a_file_that_is_refused_gives_way_to_the_last_good_one() {
    let world = World::start().await;
    let teams = Fake::teams().await;
    world.write("de1: 127.0.0.2", "1s", "");
    let good = std::fs::read_to_string(world.config()).unwrap();
    let daemon = Daemon::start(&world, &teams);
    within("a first round", async { drop(world.partner.seen(2).await) }).await;
    assert_eq!(daemon.stop().await, 0);

    let directory = world.directory.path();
    let store = format!(
        "store: {{ path: {}/edgewatch.sqlite }}",
        directory.display()
    );
    for (bad, why) in [
        (good.replace("every: 1s", "every: 1"), "has no unit"),
        (format!("service: \"GMC\n{store}\n"), "not YAML"),
    ] {
        std::fs::write(world.config(), bad).unwrap();
        let before = world.partner.count();
        let daemon = Daemon::start(&world, &teams);
        within("a round by the last good file", async {
            drop(world.partner.seen(before + 2).await);
        })
        .await;
        assert_eq!(daemon.stop().await, 0);
        let log = std::fs::read_to_string(directory.join("daemon.log")).unwrap();
        for said in [
            why,
            "it starts with the one that was in force since",
            "was not taken, the one before stays in force",
        ] {
            assert!(log.contains(said), "{said}: {log}");
        }
    }

    // What was in force of another file is not taken for this one's.
    let other = directory.join("other.yaml");
    std::fs::write(&other, format!("{store}\nversion: 1\nprobs: {{}}\n")).unwrap();
    let mut command = program(&["run", "--config"]);
    command.arg(&other);
    assert_eq!(command.output().unwrap().status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_secret_value_stops_nothing_else_at_a_start() {
    let world = World::start().await;
    world.write("de1: 127.0.0.2", "1s", "");
    let text = std::fs::read_to_string(world.config()).unwrap();
    let header = "X-User: \"{{ credential.username }}\"";
    std::fs::write(
        world.config(),
        text.replace("Content-Type: text/xml", header),
    )
    .unwrap();
    let mut command = world.command(&["run", "--log", "debug"]);
    command.env("GMC_USERNAME", "hunter\nhunter");
    let daemon = Daemon::spawn(command, world.directory.path());
    within("rounds of the control", async {
        drop(world.control.seen(3).await);
    })
    .await;
    assert_eq!(daemon.stop().await, 0);
    assert_eq!(world.partner.count(), 0);
    let log = std::fs::read_to_string(world.directory.path().join("daemon.log")).unwrap();
    let said = "holds a character that can't stand in a header; cells with it do not run until it is mended";
    assert!(log.contains(said), "{log}");
    assert!(!log.contains("hunter"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_edit_would_do_is_told_before_it_is_taken() {
    let world = World::start().await;
    let teams = Fake::teams().await;
    world.write("de1: 127.0.0.2", "1s", "");
    let good = std::fs::read_to_string(world.config()).unwrap();
    let former = world.directory.path().join("former.yaml");
    std::fs::write(&former, &good).unwrap();
    let nobody = run(world.command(&["plan", "--format", "json"])).await;
    assert_eq!(nobody.0, 2, "{nobody:?}");
    let daemon = Daemon::start(&world, &teams);
    within("a first round", async { drop(world.partner.seen(2).await) }).await;
    assert_eq!(daemon.stop().await, 0);

    let (code, out, _) = run(world.command(&["plan"])).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("Nothing changes."), "{out}");

    // A shell without the daemon's secrets sees no other plan.
    let mut bare = world.command(&["plan"]);
    bare.env_remove("GMC_USERNAME").env_remove("GMC_PASSWORD");
    let (code, out, _) = run(bare).await;
    assert_eq!(code, 0, "{out}");

    let edited = good
        .replace("Java/11.0.10", "Java/21.0.2")
        .replacen("every: 1s", "every: 2s", 1)
        .replace("de1: 127.0.0.2", "de1: 127.0.0.2, us1: 127.0.0.3");
    std::fs::write(world.config(), &edited).unwrap();
    let former = former.to_str().unwrap();
    for against in [&["plan"][..], &["plan", "--against", former]] {
        let (code, out, err) = run(world.command(against)).await;
        assert_eq!((code, err.as_str()), (1, ""), "{out}");
        for said in [
            "cells 3 → 6: 3 added, 3 changed",
            "  ~ connect  from: de1 → de1, us1; every: 1s → 2s",
            "  ~ modern  user_agent: \"Java/11.0.10\" → \"Java/21.0.2\"",
            "egresses\n  + us1",
            ": 60.0 → 120.0",
        ] {
            assert!(out.contains(said), "{said} is missing:\n{out}");
        }
    }
    let (code, out, _) = run(world.command(&["plan", "--format", "json"])).await;
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &said["cells"]["before"]), (1, &3.into()), "{out}");

    std::fs::write(world.config(), "version: 1\nprobs: {}\n").unwrap();
    let (code, _, err) = run(world.command(&["plan"])).await;
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("did you mean \"probes\""), "{err}");
}
