//! What is not known is said: cells that could not run, a daemon with another environment, a file that went wrong.

use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::world::{World, program, run};

const TWO: &str = "de1: 127.0.0.2, us1: 127.0.0.3";

/// As a person calls it whose shell has none of the secrets.
fn bare(world: &World, arguments: &[&str]) -> Command {
    let mut command = program(arguments);
    command.arg("--config").arg(world.config());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lacks_its_secret_is_not_taken_for_passing() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    let (code, out, err) = run(bare(&world, &["once"])).await;
    assert_eq!(code, 2, "{out}{err}");
    let idle = "4 cells of connect did not run: GMC_USERNAME is not set, GMC_PASSWORD is not set\n";
    assert!(out.contains(idle), "{out}");
    assert!(
        out.ends_with("All cells that ran pass; of the others nothing is known.\n"),
        "{out}"
    );
    let (code, out, _) = run(bare(&world, &["once", "--format", "json"])).await;
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 2);
    assert_eq!(json["conclusion"]["outcome"], "not_known");
    assert_eq!(json["not_run"][0]["cells"], 4);
    let (code, out, _) = run(world.command(&["once"])).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.ends_with("All cells pass.\n"), "{out}");
}

/// The daemon as a process; killed when dropped.
struct Daemon(Child);

impl Daemon {
    fn start(world: &World) -> Self {
        let mut command = world.command(&["run"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.stderr(Stdio::null()).spawn().unwrap())
    }

    async fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).unwrap();
        tokio::task::spawn_blocking(move || self.0.wait().unwrap())
            .await
            .unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// Whether a process holds SIGHUP back or hears it, which it does from the first line of its own on.
fn minds_hangups(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // Until it is a program of its own, all signals are held back.
    if !status.starts_with("Name:\tedgewatch\n") {
        return false;
    }
    let hex = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    // The first bit is that of signal 1.
    let held = |name: &str| hex(name).is_some_and(|mask| mask & 1 == 1);
    held("SigBlk:") || held("SigCgt:")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_is_asked_for_while_it_starts_is_done() {
    let world = World::start().await;
    world.write(TWO, "1s", "");
    let daemon = Daemon::start(&world);
    let pid = daemon.0.id();
    while !minds_hangups(pid) {
        tokio::task::yield_now().await;
    }
    let process = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::SIGHUP).unwrap();
    let json = status(&world, |json| {
        json["daemon"]["vitals"]["plan"]["generation"] == 2
    })
    .await;
    assert_eq!(json["daemon"]["vitals"]["pid"], pid);
    daemon.stop().await;
}

/// `status` of a shell without secrets, asked until it is so.
async fn status(world: &World, so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let asked = run(bare(world, &["status", "--format", "json"])).await;
        if let Ok(json) = serde_json::from_str(&asked.1)
            && so(&json)
        {
            return json;
        }
    }
    panic!("it did not come to that");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_of_what_the_daemon_runs_and_the_daemon_survives_a_bad_file() {
    let world = World::start().await;
    world.write(TWO, "1s", "");
    let daemon = Daemon::start(&world);
    let seen = |json: &Value| json["probes"][0]["results"]["pass"] == 4;
    let json = status(&world, seen).await;
    assert_eq!(json["plan"]["of"], "daemon");
    assert_eq!(json["probes"][0]["idle"], 0);
    let (_, out, _) = run(bare(&world, &["status"])).await;
    assert!(
        out.contains("probes of    the running daemon, which took "),
        "{out}"
    );
    // A job's shell has no secrets either, and what all is well with writes nothing for cron to mail.
    let (code, out, err) = run(bare(&world, &["gate", "connect"])).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    daemon.stop().await;

    let stopped = |json: &Value| json["daemon"]["state"] == "stopped";
    let json = status(&world, stopped).await;
    assert_eq!(json["plan"]["of"], "file");
    assert_eq!(json["probes"][0]["idle"], 4);
    let (_, out, _) = run(bare(&world, &["status"])).await;
    assert!(
        out.contains("4 can't run: GMC_USERNAME is not set, "),
        "{out}"
    );

    // A daemon without the secrets looks at nothing there, and says that somebody must see to it.
    let mut command = bare(&world, &["run"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let daemon = Daemon(command.stderr(Stdio::null()).spawn().unwrap());
    let json = status(&world, |json| json["daemon"]["state"] == "running").await;
    let troubles = json["troubles"].to_string();
    assert!(
        troubles.contains("probe connect is not watched: GMC_USERNAME is not set, "),
        "{troubles}"
    );
    assert_eq!(json["well"], false);
    daemon.stop().await;

    // A file that went wrong while nothing ran: the last good one is taken, and that is said.
    world.write(TWO, "1s", "surprise: 1");
    let daemon = Daemon::start(&world);
    let json = status(&world, |json| {
        json["daemon"]["state"] == "running" && json["daemon"]["vitals"]["reload"] != Value::Null
    })
    .await;
    let troubles = json["troubles"].to_string();
    assert!(troubles.contains("unknown key"), "{troubles}");
    assert_eq!(json["well"], false);
    assert_eq!(json["plan"]["of"], "daemon");
    daemon.stop().await;
}
