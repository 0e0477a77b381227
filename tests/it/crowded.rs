//! A partner that answers nobody beside one that does, with room for few runs at once.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, within};
use crate::kept;
use crate::server::{Reply, Server};
use crate::world::program;

/// What was not made is told when a minute of it is over.
const TOLD_WITHIN: Duration = Duration::from_secs(70);

/// 300 cells of which each waits for its timeout, and one that is asked every second.
fn text(good: &Server, tarpit: &Server, directory: &std::path::Path) -> String {
    let url = |server: &Server, name: &str| format!("http://{name}:{}/", server.address.port());
    let (good, tarpit) = (url(good, "good.example"), url(tarpit, "tarpit.test"));
    let mut text = format!(
        "version: 1\nservice: Example\nruns_in_flight: 50\nstore: {{ path: {}/edgewatch.sqlite }}\n\
         politeness: {{ per_host: {{ requests_per_minute: 6000, gap: 0ms }} }}\negresses:\n",
        directory.display()
    );
    for n in 2..12 {
        let _ = writeln!(text, "  e{n}: 127.0.0.{n}");
    }
    text.push_str("clients:\n");
    for n in 0..30 {
        let _ = writeln!(text, "  c{n}: \"client/{n}\"");
    }
    let _ = write!(
        text,
        "probes:\n  \
         tarpit: {{ url: \"{tarpit}\", connect_to: 127.0.0.1, every: 10s, timeout: 10s }}\n  \
         good: {{ url: \"{good}\", connect_to: 127.0.0.1, every: 1s, timeout: 900ms, from: [e2], as: [c0] }}\n\
         notify: {{ receivers: {{ all: {{ log: {{}} }} }}, routes: [{{ to: all, notices: true }}] }}\n"
    );
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_nobody_takes_no_room_from_others() {
    let tarpit = Server::raw(|mut connection| async move {
        connection.request().await;
        connection.hold().await;
    })
    .await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let good = Server::http(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Reply::new(200).body("ok")
    })
    .await;
    let directory = kept::folder();
    let file = directory.path().join("probes.yaml");
    std::fs::write(&file, text(&good, &tarpit, directory.path())).unwrap();

    // It is known beforehand.
    let checked = program(&["check", "--config"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert!(
        said.contains(
            "answers nobody, 300 of its runs wait for their timeouts, and 25 may be under way"
        ),
        "{said}"
    );

    let mut command = program(&["run", "--config"]);
    command.arg(&file);
    let daemon = Daemon::spawn(command, directory.path());
    let mut look = tokio::time::interval(Duration::from_millis(200));
    within("a first run", async {
        while runs.load(Ordering::Relaxed) == 0 {
            look.tick().await;
        }
    })
    .await;
    let began = Instant::now();
    let log = || std::fs::read_to_string(directory.path().join("daemon.log")).unwrap_or_default();
    let told = "runs were not made in the last minute: too few may be under way at once";
    while !log().contains(told) && began.elapsed() < TOLD_WITHIN {
        look.tick().await;
    }
    let (seconds, made) = (began.elapsed().as_secs_f64(), runs.load(Ordering::Relaxed));
    assert_eq!(daemon.stop().await, 0);
    let log = log();
    assert!(log.contains(told), "{log}");
    assert!(
        log.contains("holds") && log.contains("of the 50 runs that may be under way at once"),
        "{log}"
    );
    assert!(
        f64::from(made) > 0.9 * seconds,
        "{made} good runs in {seconds:.0} s"
    );
}
