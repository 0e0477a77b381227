//! Watching the watcher: the daemon's own numbers, its health, its heartbeat, and what it tells the service manager.
//!
//! Daemons run in this process where a test must stop the loop at a known moment, and as a process where the
//! environment and signals matter. A loop is stopped where it logs that a run ended, which waits for the test: so the
//! numbers stand still and can be told to the last one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc as blocking};
use std::time::Duration;

use edgewatch::app::daemon::{self, Command, Options, Started};
use edgewatch::app::load;
use edgewatch::clock;
use edgewatch::domain::incident::Happening;
use edgewatch::domain::notification::{Channel, Templates};
use edgewatch::domain::observation::Purpose;
use edgewatch::domain::plan::{Heartbeat, Plan};
use edgewatch::domain::secret::Secret;
use edgewatch::store::{Follower, Kept, Store};
use edgewatch::telemetry::vitals::{PlanFacts, Runs};
use edgewatch::telemetry::{Live, Metrics};
use futures_util::FutureExt as _;
use jiff::SignedDuration;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixDatagram};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::instrument::WithSubscriber as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::fakes::{CHANNEL, Fake, Fault, TOKEN};
use crate::kept;
use crate::night::Night;
use crate::secrets::SWITCH_PATH;
use crate::server::{Reply, Server};
use crate::world::{PASSWORD, RULE, World, program, run};

/// For what comes in a second or two; generous, because machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event)
        .await
        .unwrap_or_else(|_| panic!("never came: {what}"))
}

/// A partner that refuses client `b`, and a directory for the file and the store.
struct Place {
    partner: Server,
    directory: TempDir,
}

impl Place {
    async fn new() -> Self {
        let partner = Server::http(|seen| match seen.header("user-agent") {
            Some("B/1") => Reply::new(403).body("no"),
            _ => Reply::new(200).body("yes"),
        })
        .await;
        Self {
            partner,
            directory: kept::folder(),
        }
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("probes.yaml")
    }

    fn write(&self, clients: &str, probes: &str, rest: &str) {
        let text = format!(
            r#"version: 1
service: TEST
clients: {{ {clients} }}
probes: {{ {probes} }}
politeness: {{ per_host: {{ requests_per_minute: 6000, gap: 0s }} }}
store: {{ path: "{}/edgewatch.sqlite" }}
{rest}
"#,
            self.directory.path().display()
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn probe(&self, name: &str) -> String {
        let address = self.partner.address;
        format!("{name}: {{ url: \"http://{address}/{name}\", every: 1s, timeout: 900ms }}")
    }

    /// Two clients, one probe, listening where the system likes.
    fn write_usual(&self) {
        self.write("a: A/1, b: B/1", &self.probe("page"), "listen: 127.0.0.1:0");
    }

    fn plan(&self) -> Plan {
        load::load(&self.config()).unwrap().plan
    }
}

/// What a daemon's runs were, as whoever follows it is told.
#[derive(Default)]
struct Tally {
    runs: BTreeMap<(String, String), u64>,
    clients: BTreeMap<String, u64>,
    scheduled: u64,
    all: u64,
}

/// Hears what a loop logs, and makes it stand at the next run that ended.
struct Stand {
    hold: Arc<AtomicBool>,
    holds: mpsc::UnboundedSender<()>,
    released: Mutex<blocking::Receiver<()>>,
}

impl<S: Subscriber> Layer<S> for Stand {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let of_run = event.metadata().fields().field("verdict").is_some();
        if of_run && self.hold.swap(false, Ordering::SeqCst) {
            self.holds.send(()).unwrap();
            let released = self.released.lock().unwrap();
            // The loop stands here; the other tasks of its thread go on elsewhere.
            tokio::task::block_in_place(|| released.recv().unwrap());
        }
    }
}

/// A daemon in this process, whose loop can be held.
struct Patient {
    address: Option<SocketAddr>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<Result<(), String>>,
    kept: Follower,
    /// Messages of receivers without a channel.
    said: Arc<Mutex<String>>,
    tally: Tally,
    /// Hold at the next run that ends.
    hold: Arc<AtomicBool>,
    held: mpsc::UnboundedReceiver<()>,
    release: blocking::Sender<()>,
}

impl Patient {
    async fn start(plan: Plan, config: Option<PathBuf>) -> Self {
        let (commands, wanted) = mpsc::channel(4);
        let (started, start) = oneshot::channel();
        let (holds, held) = mpsc::unbounded_channel();
        let (release, released) = blocking::channel();
        let hold = Arc::new(AtomicBool::new(false));
        let stand = Stand {
            hold: Arc::clone(&hold),
            holds,
            released: Mutex::new(released),
        };
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let read = config.as_ref().map(|config| load::load_with_source(config));
        let options = Options {
            sites: None,
            on_disk: read.and_then(|read| read.unwrap().on_disk),
            source: None,
            refused: None,
            lead: None,
            record: None,
            plan,
            config,
            started: Some(started),
            messages: Arc::new(move |text: &str| heard.lock().unwrap().push_str(text)),
            actions: None,
        };
        let daemon = daemon::run(options, wanted);
        let task = tokio::spawn(daemon.with_subscriber(tracing_subscriber::registry().with(stand)));
        let Ok(Started { address, kept, .. }) = within("the start", start).await else {
            panic!("it did not start: {:?}", task.await)
        };
        Self {
            address,
            commands,
            task,
            kept,
            said,
            tally: Tally::default(),
            hold,
            held,
            release,
        }
    }

    /// Counts the runs that were kept until now.
    fn count(&mut self) -> &Tally {
        while let Some(Some(kept)) = self.kept.next().now_or_never() {
            let Kept::Run(judged) = kept else { continue };
            let cell = &judged.observation.cell;
            let key = (cell.probe.to_string(), judged.verdict.kind.to_string());
            *self.tally.runs.entry(key).or_default() += 1;
            let clients = &mut self.tally.clients;
            *clients.entry(cell.client.to_string()).or_default() += 1;
            self.tally.scheduled += u64::from(judged.observation.purpose == Purpose::Schedule);
            self.tally.all += 1;
        }
        &self.tally
    }

    async fn hold(&mut self) {
        self.hold.store(true, Ordering::SeqCst);
        within("a run that ends", self.held.recv()).await.unwrap();
    }

    fn release(&self) {
        self.release.send(()).unwrap();
    }

    async fn get(&self, path: &str) -> (u16, String) {
        get(self.address.unwrap(), path, "").await
    }

    /// The loop takes commands before questions: whoever asks afterwards sees what came of it.
    async fn reload(&self) {
        self.commands.send(Command::Reload).await.unwrap();
    }

    async fn stop(self) {
        self.commands.send(Command::Stop).await.unwrap();
        within("the end", self.task).await.unwrap().unwrap();
    }
}

/// Status and whole answer, head included.
async fn get(address: SocketAddr, path: &str, more: &str) -> (u16, String) {
    let host = if more.contains("Host:") {
        String::new()
    } else {
        format!("Host: {address}\r\n")
    };
    say(
        address,
        &format!("GET {path} HTTP/1.1\r\n{host}{more}Connection: close\r\n\r\n"),
    )
    .await
}

async fn say(address: SocketAddr, request: &str) -> (u16, String) {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    let text = within("an answer", exchange).await;
    kept::keep("page", &text);
    (text[9..12].parse().unwrap(), text)
}

/// The value of one series; the labels as they are written.
fn value(text: &str, series: &str) -> Option<f64> {
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map(|value| value.parse().unwrap())
}

#[track_caller]
fn expect(text: &str, series: &str, expected: f64) {
    let found = value(text, series);
    assert!(
        found.is_some_and(|found| (found - expected).abs() < 1e-9),
        "{series} is {found:?}, not {expected}:\n{text}"
    );
}

async fn status(config: &Path, more: &[&str]) -> (i32, String, String) {
    let mut command = program(&["status"]);
    command.arg("--config").arg(config).args(more);
    run(command).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_numbers_are_right_and_a_loop_that_stands_still_is_found_out() {
    let place = Place::new().await;
    place.write_usual();
    let mut patient = Patient::start(place.plan(), None).await;
    let (code, text) = patient.get("/readyz").await;
    assert_eq!(code, 200, "{text}");
    for _ in 0..4 {
        patient.hold().await;
        patient.release();
    }
    patient.hold().await;

    let (code, text) = patient.get("/metrics").await;
    assert_eq!(code, 200);
    let head = text.split("\r\n\r\n").next().unwrap();
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    {
        let tally = patient.count();
        assert!(tally.all >= 5);
        assert!(
            tally
                .runs
                .contains_key(&("page".to_owned(), "pass".to_owned())),
            "{:?}",
            tally.runs
        );
        for kind in edgewatch::domain::verdict::Kind::ALL {
            let count = tally.runs.get(&("page".to_owned(), kind.to_string()));
            let series = format!("edgewatch_runs_total{{probe=\"page\",verdict=\"{kind}\"}}");
            expect(&text, &series, count.copied().unwrap_or(0) as f64);
        }
        for (level, count) in &tally.clients {
            let prefix =
                format!("edgewatch_runs_by_level_total{{factor=\"client\",level=\"{level}\",");
            let of_level: f64 = text
                .lines()
                .filter(|line| line.starts_with(&prefix))
                .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
                .sum();
            assert!(
                (of_level - *count as f64).abs() < 1e-9,
                "{level}: {of_level}, not {count}"
            );
        }
        for phase in ["connect", "first_byte", "transfer"] {
            let series = format!(
                "edgewatch_phase_duration_seconds_count{{probe=\"page\",phase=\"{phase}\"}}"
            );
            expect(&text, &series, tally.all as f64);
        }
        expect(
            &text,
            "edgewatch_phase_duration_seconds_count{probe=\"page\",phase=\"tls\"}",
            0.0,
        );
        expect(
            &text,
            "edgewatch_schedule_lateness_seconds_count",
            tally.scheduled as f64,
        );
    }
    for (series, expected) in [
        ("edgewatch_cells", 2.0),
        ("edgewatch_config_generation", 1.0),
        ("edgewatch_config_last_reload_successful", 1.0),
        ("edgewatch_config_reloads_total{result=\"refused\"}", 0.0),
        ("edgewatch_run_panics_total", 0.0),
        ("edgewatch_incidents_open{side=\"partner\"}", 0.0),
        ("edgewatch_incidents_open{side=\"ours\"}", 0.0),
        ("edgewatch_store_rows_dropped_total", 0.0),
        ("edgewatch_store_failing", 0.0),
        ("edgewatch_stalled", 0.0),
        ("edgewatch_heartbeats_total{result=\"sent\"}", 0.0),
        ("edgewatch_build_info{version=\"0.1.0\"}", 1.0),
    ] {
        expect(&text, series, expected);
    }
    let now = clock::now().as_second() as f64;
    for series in [
        "edgewatch_probe_last_success_timestamp_seconds{probe=\"page\",factor=\"credential\",level=\"anonymous\"}",
        "process_start_time_seconds",
        "edgewatch_config_last_reload_success_timestamp_seconds",
    ] {
        let at = value(&text, series).unwrap();
        assert!(at > now - 100.0 && at <= now + 1.0, "{series} {at}");
    }
    assert!(value(&text, "edgewatch_runs_skipped_total{reason=\"late\"}").is_some());
    assert!(value(&text, "edgewatch_runs_skipped_total{reason=\"in_flight\"}").is_some());

    let (code, text) = patient.get("/healthz").await;
    assert_eq!(code, 503, "{text}");
    assert!(
        text.ends_with("FAIL loop: no answer within 2 s\n"),
        "{text}"
    );
    patient.release();
    let (code, text) = patient.get("/healthz").await;
    assert_eq!(code, 200, "{text}");
    assert!(text.contains("ok   loop: answers\nok   runs: "), "{text}");

    let (code, out, _) = status(&place.config(), &[]).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.starts_with("edgewatch 0.1.0 runs since "), "{out}");
    assert!(out.contains("  page   2 cells: 1 pass, 1 "), "{out}");
    assert!(out.contains("Open incidents\n  none\n"), "{out}");
    patient.stop().await;
    let (code, out, _) = status(&place.config(), &[]).await;
    assert_eq!(code, 2, "{out}");
    assert!(
        out.starts_with("edgewatch 0.1.0 does not run: it stopped "),
        "{out}"
    );
    assert!(
        out.contains("needs care   the daemon does not run\n"),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reload_that_is_refused_shows_wherever_one_looks() {
    let place = Place::new().await;
    place.write_usual();
    let patient = Patient::start(place.plan(), Some(place.config())).await;
    let good = std::fs::read_to_string(place.config()).unwrap();
    assert_eq!(patient.get("/readyz").await.0, 200);

    std::fs::write(place.config(), good.replace("clients:", "cleints:")).unwrap();
    patient.reload().await;
    let (code, text) = patient.get("/readyz").await;
    assert_eq!(code, 503, "{text}");
    assert!(text.contains("FAIL configuration: not taken at "), "{text}");
    assert!(text.contains("did you mean \"clients\"?"), "{text}");
    assert_eq!(
        patient.get("/healthz").await.0,
        200,
        "a restart would not mend it"
    );
    let (_, text) = patient.get("/metrics").await;
    expect(&text, "edgewatch_config_last_reload_successful", 0.0);
    expect(&text, "edgewatch_config_generation", 1.0);
    expect(
        &text,
        "edgewatch_config_reloads_total{result=\"refused\"}",
        1.0,
    );

    // The file that `status` reads is the faulty one.
    let (code, out, err) = status(&place.config(), &[]).await;
    assert_eq!(code, 2, "{out}{err}");
    assert!(out.contains("last reload  REFUSED "), "{out}");
    assert!(out.contains("did you mean \"clients\"?"), "{out}");
    assert!(
        out.contains("2 cells"),
        "rounds are shown without a plan: {out}"
    );
    let (_, out, _) = status(&place.config(), &["--format", "json"]).await;
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["well"], false);
    assert_eq!(
        (&json["daemon"]["state"], &json["daemon"]["live"]),
        (&"running".into(), &true.into())
    );
    let error = json["daemon"]["vitals"]["reload"]["error"]
        .as_str()
        .unwrap();
    assert!(error.contains("did you mean \"clients\"?"), "{error}");

    // Another client, another probe: what left is no longer counted by name.
    place.write(
        "a: A/1, c: C/1",
        &format!("{}, {}", place.probe("page"), place.probe("more")),
        "listen: 127.0.0.1:0",
    );
    patient.reload().await;
    let (code, text) = patient.get("/readyz").await;
    assert_eq!(code, 200, "{text}");
    assert!(
        text.contains("ok   configuration: number 2, since "),
        "{text}"
    );
    let (_, text) = patient.get("/metrics").await;
    expect(&text, "edgewatch_config_last_reload_successful", 1.0);
    expect(&text, "edgewatch_config_generation", 2.0);
    expect(&text, "edgewatch_cells", 4.0);
    expect(
        &text,
        "edgewatch_config_reloads_total{result=\"taken\"}",
        1.0,
    );
    assert!(!text.contains("level=\"b\""), "{text}");
    assert!(
        text.contains("level=\"c\"") && text.contains("probe=\"more\""),
        "{text}"
    );
    let kept = value(
        &text,
        "edgewatch_runs_total{probe=\"page\",verdict=\"pass\"}",
    );
    assert!(kept.is_some(), "{text}");
    patient.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_edit_that_nobody_had_read_shows_wherever_one_looks() {
    let place = Place::new().await;
    let rest = "listen: 127.0.0.1:0\nwatch: false";
    place.write("a: A/1, b: B/1", &place.probe("page"), rest);
    let patient = Patient::start(place.plan(), Some(place.config())).await;
    let (_, text, _) = status(&place.config(), &[]).await;
    assert!(!text.contains("edited"), "{text}");

    let three = "a: A/1, b: B/1, c: C/1";
    place.write(three, &place.probe("page"), rest);
    let (code, text) = patient.get("/readyz").await;
    assert_eq!(code, 503, "{text}");
    assert!(text.contains("probes.yaml was edited (seen "), "{text}");
    assert_eq!(patient.get("/healthz").await.0, 200);
    let (_, text) = patient.get("/metrics").await;
    expect(&text, "edgewatch_config_edited", 1.0);
    let (code, text, _) = status(&place.config(), &[]).await;
    assert_eq!(code, 2, "{text}");
    let said = "needs care   configuration: probes.yaml was edited";
    assert!(text.contains(said), "{text}");

    patient.reload().await;
    within("the new client", async {
        while !patient.get("/status").await.1.contains("3 cells, 1 more") {}
    })
    .await;
    assert_eq!(patient.get("/readyz").await.0, 200);
    let (_, text) = patient.get("/metrics").await;
    expect(&text, "edgewatch_config_edited", 0.0);
    let (_, text, _) = status(&place.config(), &[]).await;
    let said = ": 3 cells, 1 more; probes: page changed; clients: c added";
    assert!(text.contains(said), "{text}");
    patient.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_edit_is_taken_by_itself_and_told_once() {
    let place = Place::new().await;
    place.write_usual();
    let patient = Patient::start(place.plan(), Some(place.config())).await;
    let until = async |said: &str| {
        within(said, async {
            while !patient.get("/status").await.1.contains(said) {}
        })
        .await;
    };
    let good = std::fs::read_to_string(place.config()).unwrap();

    place.write(
        "a: A/1, b: B/1, c: C/1",
        &place.probe("page"),
        "listen: 127.0.0.1:0",
    );
    until("3 cells, 1 more").await;
    assert_eq!(patient.get("/readyz").await.0, 200);
    // The service manager is told to reload what is in force already.
    patient.reload().await;
    until("nothing changed").await;
    let (_, text) = patient.get("/metrics").await;
    expect(&text, "edgewatch_config_generation", 3.0);

    std::fs::write(place.config(), good.replace("clients:", "cleints:")).unwrap();
    until("did you mean").await;
    let (_, text) = patient.get("/metrics").await;
    expect(
        &text,
        "edgewatch_config_reloads_total{result=\"refused\"}",
        1.0,
    );
    std::fs::write(place.config(), &good).unwrap();
    until("2 cells, 1 fewer").await;
    let (_, text) = patient.get("/metrics").await;
    expect(&text, "edgewatch_config_generation", 4.0);
    expect(
        &text,
        "edgewatch_config_reloads_total{result=\"refused\"}",
        1.0,
    );
    let told = |words: &str| patient.said.lock().unwrap().matches(words).count();
    let edits = "probes.yaml was edited and is in force: ";
    within("what is told of the edits", async {
        while told(edits) < 2 || told("was not taken, the one before stays") < 1 {
            patient.get("/status").await;
        }
    })
    .await;
    assert_eq!(told(edits), 2, "{}", patient.said.lock().unwrap());
    assert_eq!(told("was not taken, the one before stays"), 1);
    patient.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_address_moves_with_a_reload_or_the_reload_is_refused() {
    let place = Place::new().await;
    place.write_usual();
    let patient = Patient::start(place.plan(), Some(place.config())).await;
    let address = patient.address.unwrap();

    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken_at = taken.local_addr().unwrap();
    place.write(
        "a: A/1, b: B/1",
        &place.probe("page"),
        &format!("listen: {taken_at}"),
    );
    patient.reload().await;
    let (code, text) = get(address, "/readyz", "").await;
    assert_eq!(code, 503, "the old one still serves: {text}");
    assert!(
        text.contains(&format!("can't listen on {taken_at}: ")),
        "{text}"
    );
    drop(taken);

    // Free now: whoever asks the old address first is answered by it, or nobody; the new one serves.
    patient.reload().await;
    let connected = async {
        loop {
            if TcpStream::connect(taken_at).await.is_ok() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    within("the new address", connected).await;
    let (code, text) = get(taken_at, "/readyz", "").await;
    assert_eq!(code, 200, "{text}");

    place.write("a: A/1, b: B/1", &place.probe("page"), "");
    patient.reload().await;
    patient.stop().await;
    assert!(TcpStream::connect(taken_at).await.is_err());
    let (_, out, _) = status(&place.config(), &["--format", "json"]).await;
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["daemon"]["state"], "stopped", "{out}");
    assert_eq!(json["daemon"]["vitals"]["listen"], Value::Null, "{out}");
    assert_eq!(json["daemon"]["vitals"]["plan"]["generation"], 3, "{out}");

    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken_at = taken.local_addr().unwrap();
    place.write(
        "a: A/1",
        &place.probe("page"),
        &format!("listen: {taken_at}"),
    );
    let (code, _, err) = run(program(&[
        "run",
        "--config",
        place.config().to_str().unwrap(),
    ]))
    .await;
    assert_eq!(code, 2);
    assert!(
        err.contains(&format!("edgewatch: can't listen on {taken_at}: ")),
        "{err}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_listener_answers_who_asks_properly() {
    let place = Place::new().await;
    place.write_usual();
    let patient = Patient::start(place.plan(), None).await;
    let address = patient.address.unwrap();

    let (code, text) = get(
        address,
        "/metrics",
        "Accept: application/openmetrics-text; version=1.0.0\r\n",
    )
    .await;
    assert_eq!(code, 200);
    assert!(
        text.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{text}"
    );
    assert!(
        text.ends_with("# EOF\n") && text.contains("# TYPE edgewatch_runs counter\n"),
        "{text}"
    );
    let (_, text) = get(address, "/metrics", "").await;
    assert!(
        text.contains("# TYPE edgewatch_runs_total counter\n") && !text.contains("# EOF"),
        "{text}"
    );

    let (code, text) = get(address, "/status", "").await;
    let body = text.split("\r\n\r\n").nth(1).unwrap();
    let json: Value = serde_json::from_str(body).unwrap();
    assert_eq!((code, &json["plan"]["cells"]), (200, &2.into()));

    assert_eq!(get(address, "/", "").await.0, 200);
    assert_eq!(get(address, "/etc/passwd", "").await.0, 404);
    // A browser that was led here under another name.
    let (code, text) = get(address, "/metrics", "Host: rebound.example\r\n").await;
    assert_eq!(code, 403);
    assert!(!text.contains("edgewatch_runs"), "{text}");
    let two = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: rebound.example\r\nConnection: close\r\n\r\n";
    assert_eq!(say(address, two).await.0, 400);
    let (code, text) = say(address, "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    assert_eq!(code, 405);
    assert!(text.contains("allow: GET, HEAD"), "{text}");
    let (code, text) = say(
        address,
        "HEAD /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(code, 200);
    assert!(text.ends_with("\r\n\r\n"), "no body: {text}");
    let (code, _) = say(address, "nonsense\r\n\r\n").await;
    assert_eq!(code, 400);
    patient.stop().await;
}

/// Connections that say nothing, or a letter now and then, keep out nobody who asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_slow_connections_silence_nobody() {
    let place = Place::new().await;
    place.write_usual();
    let patient = Patient::start(place.plan(), None).await;
    let address = patient.address.unwrap();
    let mut slow = Vec::new();
    for n in 0..1_000 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Some were given up by the listener already.
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nX-").await;
        slow.push(stream);
        if n % 250 == 249 {
            let began = std::time::Instant::now();
            assert_eq!(get(address, "/healthz", "").await.0, 200);
            assert!(
                began.elapsed() < Duration::from_secs(1),
                "{:?}",
                began.elapsed()
            );
        }
    }
    drop(slow);
    patient.stop().await;
}

/// A dead-man's switch that tells of each heartbeat.
async fn switch(status: u16) -> (Server, mpsc::UnboundedReceiver<String>) {
    let (beats, heard) = mpsc::unbounded_channel();
    let server = Server::http(move |seen| {
        let _ = beats.send(format!("{} {}", seen.method, seen.target));
        Reply::new(status)
    })
    .await;
    (server, heard)
}

async fn beats(heard: &mut mpsc::UnboundedReceiver<String>, count: usize) {
    for _ in 0..count {
        let beat = within("a heartbeat", heard.recv()).await.unwrap();
        assert_eq!(beat, format!("GET {SWITCH_PATH}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_told_that_a_loop_that_stands_still_is_well() {
    let (first, second) = (Place::new().await, Place::new().await);
    let (switch_a, mut heard_a) = switch(200).await;
    let (switch_b, mut heard_b) = switch(204).await;
    let plan = |place: &Place, switch: &Server| {
        place.write_usual();
        let url = format!("http://{}{SWITCH_PATH}", switch.address);
        Plan {
            heartbeat: Some(Heartbeat {
                url: Ok(Secret::new(url)),
                every: Duration::from_millis(50),
            }),
            ..place.plan()
        }
    };
    let mut a = Patient::start(plan(&first, &switch_a), None).await;
    let b = Patient::start(plan(&second, &switch_b), None).await;
    beats(&mut heard_a, 2).await;

    a.hold().await;
    // What was said before may arrive late: one under way and one waiting. Meanwhile the neighbour beats on.
    while heard_a.try_recv().is_ok() {}
    while heard_b.try_recv().is_ok() {}
    beats(&mut heard_b, 12).await;
    let late = std::iter::from_fn(|| heard_a.try_recv().ok()).count();
    assert!(late <= 2, "{late} heartbeats without a heart");
    let (_, text) = b.get("/metrics").await;
    assert!(value(&text, "edgewatch_heartbeats_total{result=\"sent\"}").unwrap() >= 10.0);
    expect(&text, "edgewatch_heartbeats_total{result=\"failed\"}", 0.0);
    expect(
        &text,
        "edgewatch_heartbeats_total{result=\"withheld\"}",
        0.0,
    );

    a.release();
    while heard_a.try_recv().is_ok() {}
    beats(&mut heard_a, 2).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn before_the_first_run_there_is_no_heartbeat() {
    let place = Place::new().await;
    let (switch, mut heard) = switch(200).await;
    // Once a year, and most likely not now.
    let probe = format!(
        "page: {{ url: \"http://{}/\", cron: \"0 3 29 2 *\" }}",
        place.partner.address
    );
    place.write("a: A/1", &probe, "listen: 127.0.0.1:0");
    let plan = Plan {
        heartbeat: Some(Heartbeat {
            url: Ok(Secret::new(format!(
                "http://{}{SWITCH_PATH}",
                switch.address
            ))),
            every: Duration::from_millis(20),
        }),
        ..place.plan()
    };
    let patient = Patient::start(plan, None).await;
    // Each answer is one turn of the loop; so are its beats.
    for _ in 0..50 {
        assert_eq!(patient.get("/healthz").await.0, 200);
    }
    assert!(heard.try_recv().is_err());
    patient.stop().await;
}

/// The program as a process, its log in a file; killed when dropped.
struct Running(Child);

impl Running {
    fn start(place: &Place, environment: &[(&str, String)]) -> Self {
        let log = std::fs::File::create(place.directory.path().join("daemon.log")).unwrap();
        let mut command: Process = program(&["run", "--log", "trace"]);
        command
            .arg("--config")
            .arg(place.config())
            .env_remove("WATCHDOG_PID")
            .envs(
                environment
                    .iter()
                    .map(|(name, value)| (*name, value.as_str())),
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    async fn stop(mut self) -> i32 {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        tokio::task::spawn_blocking(move || self.0.wait().unwrap().code().unwrap_or(-1))
            .await
            .unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_of_the_switch_is_nowhere_to_be_read() {
    let place = Place::new().await;
    let (switch, mut heard) = switch(500).await;
    place.write(
        "a: A/1",
        &place.probe("page"),
        "listen: 127.0.0.1:0\nheartbeat: { url: { env: SWITCH_URL }, every: 1s }",
    );
    let url = format!("http://{}{SWITCH_PATH}", switch.address);
    let daemon = Running::start(&place, &[("SWITCH_URL", url)]);
    // The third is sent after the second has failed for good.
    beats(&mut heard, 3).await;

    let mut shown = Vec::new();
    for format in ["text", "json"] {
        let (code, out, err) = status(&place.config(), &["--format", format]).await;
        assert_eq!(code, 2, "{out}{err}");
        assert!(out.contains("heartbeat: it answers 500"), "{out}");
        shown.push(out);
        shown.push(err);
    }
    let json: Value = serde_json::from_str(&shown[2]).unwrap();
    let vitals = &json["daemon"]["vitals"];
    assert!(
        vitals["heartbeat"]["failed"].as_u64().unwrap() >= 2,
        "{vitals}"
    );
    let address: SocketAddr = vitals["listen"].as_str().unwrap().parse().unwrap();
    for path in ["/metrics", "/healthz", "/readyz", "/status"] {
        shown.push(get(address, path, "").await.1);
    }
    let failed = value(&shown[4], "edgewatch_heartbeats_total{result=\"failed\"}");
    assert!(failed.is_some_and(|failed| failed >= 2.0), "{failed:?}");

    // Whoever can't be reached is not named either.
    drop(switch);
    let refused = async {
        loop {
            let (_, text) = get(address, "/status", "").await;
            if text.contains("can't connect") {
                return text;
            }
        }
    };
    shown.push(within("a refused connection", refused).await);
    assert_eq!(daemon.stop().await, 0);

    for entry in std::fs::read_dir(place.directory.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        shown.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    for text in &shown {
        assert!(!text.contains("hunter22"), "the URL leaked:\n{text}");
    }
    let log = std::fs::read_to_string(place.directory.path().join("daemon.log")).unwrap();
    let told = log.matches("the dead-man's switch was not told").count();
    assert_eq!(told, 1, "once, however often it fails:\n{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_of_every_turn() {
    let place = Place::new().await;
    place.write("a: A/1", &place.probe("page"), "");
    // The system allows a path of 107 bytes.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let hear = async |wanted: &str| {
        let mut heard = Vec::new();
        let search = async {
            let mut bytes = [0; 1024];
            loop {
                let length = socket.recv(&mut bytes).await.unwrap();
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                let found = text.starts_with(wanted);
                heard.push(text);
                if found {
                    return;
                }
            }
        };
        within(wanted, search).await;
        heard
    };
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().unwrap().to_owned()),
        ("WATCHDOG_USEC", "400000".to_owned()),
    ];
    let daemon = Running::start(&place, &environment);
    let first = hear("READY=1").await;
    assert_eq!(first, ["READY=1\n"], "nothing before it is ready");
    for _ in 0..3 {
        hear("WATCHDOG=1").await;
    }

    let good = std::fs::read_to_string(place.config()).unwrap();
    std::fs::write(place.config(), "version: 1\n").unwrap();
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    hear("RELOADING=1").await;
    let next = hear("READY=1").await;
    assert_eq!(next, ["READY=1\n"], "ready with the old file, at once");
    let line = hear("STATUS=").await.pop().unwrap();
    assert!(
        line.starts_with("STATUS=1 cell, ")
            && line.ends_with("configuration 1; the last reload was refused\n"),
        "{line}"
    );
    std::fs::write(place.config(), good).unwrap();
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    hear("RELOADING=1").await;
    hear("READY=1").await;
    let line = hear("STATUS=").await.pop().unwrap();
    assert!(line.ends_with("configuration 2\n"), "{line}");

    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    hear("STOPPING=1").await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watchdog_meant_for_another_process_is_not_fed() {
    let place = Place::new().await;
    place.write("a: A/1", &place.probe("page"), "listen: 127.0.0.1:0");
    // The system allows a path of 107 bytes.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().unwrap().to_owned()),
        ("WATCHDOG_USEC", "20000".to_owned()),
        ("WATCHDOG_PID", "1".to_owned()),
    ];
    let daemon = Running::start(&place, &environment);
    let mut bytes = [0; 1024];
    loop {
        let length = within("the end", socket.recv(&mut bytes)).await.unwrap();
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        assert!(!text.starts_with("WATCHDOG"), "{text}");
        // Told at each look, after the watchdog.
        if text.starts_with("STATUS=1 cell") {
            daemon.signal(nix::sys::signal::Signal::SIGTERM);
        }
        if text == "STOPPING=1\n" {
            break;
        }
    }
    assert_eq!(daemon.stop().await, 0);
}

/// A daemon that takes up a night's incident and tells a Slack that fails in these ways first; its numbers
/// once nothing waits any more.
async fn delivered(faults: &[Fault]) -> String {
    let world = World::start().await;
    world.write("de1: 127.0.0.2", "1m", "listen: 127.0.0.1:0");
    let mut night = Box::new(Night::begin(&world, SignedDuration::from_mins(20)));
    let good = night.ask().await;
    night.minute(&good).await;
    world.partner.switch(RULE, true);
    let refused = night.ask().await;
    night.until(&refused, Happening::Opened).await;
    let mut plan = Plan::clone(&night.plan);
    night.end().await;

    let slack = Fake::slack().await;
    for fault in faults {
        slack.fault("chat.postMessage", *fault);
    }
    plan.receivers[0].channel = Channel::Slack {
        token: Ok(Secret::new(TOKEN)),
        channel: CHANNEL.to_owned(),
        mention: None,
        buttons: None,
        templates: Templates::default(),
        api: slack.api(),
    };
    let patient = Patient::start(plan, None).await;
    let settled = async {
        loop {
            let (_, text) = patient.get("/metrics").await;
            if value(&text, "edgewatch_outbox_messages{receiver=\"log\"}") == Some(0.0) {
                return text;
            }
        }
    };
    let text = within("an empty outbox", settled).await;
    patient.stop().await;
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deliveries_are_counted_as_the_store_has_them() {
    let slow = Fault::SlowDown(Some("0"));
    let layout = Fault::Refused("invalid_blocks");
    let outcome =
        |name: &str| format!("edgewatch_deliveries_total{{receiver=\"log\",outcome=\"{name}\"}}");
    let class = |name: &str| {
        format!("edgewatch_delivery_failures_total{{receiver=\"log\",class=\"{name}\"}}")
    };

    let text = Box::pin(delivered(&[slow, slow])).await;
    expect(&text, &outcome("sent"), 1.0);
    expect(&text, &outcome("retried"), 2.0);
    expect(&text, &class("slow_down"), 2.0);
    assert_eq!(value(&text, &outcome("dead")), None);
    expect(
        &text,
        "edgewatch_outbox_oldest_age_seconds{receiver=\"log\"}",
        0.0,
    );
    expect(&text, "edgewatch_incidents_open{side=\"partner\"}", 1.0);

    // Refused with its layout and then as plain text: given up.
    let text = Box::pin(delivered(&[slow, layout, layout])).await;
    expect(&text, &outcome("retried"), 2.0);
    expect(&text, &outcome("dead"), 1.0);
    expect(&text, &class("slow_down"), 1.0);
    expect(&text, &class("payload"), 2.0);
    assert_eq!(value(&text, &outcome("sent")), None);
}

#[tokio::test]
async fn a_store_of_the_format_before_learns_to_keep_notes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("edgewatch.sqlite");
    let policy = crate::plan::plan("http://127.0.0.1:1/").store;
    Store::open(&path, &policy).unwrap().store.close().await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "DROP TABLE storm_members; DROP TABLE storms; DROP TABLE marks; DROP TABLE notes; \
             DROP TABLE surroundings; DROP TABLE silences; DROP TABLE asks; PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(connection);

    let store = Store::open(&path, &policy).unwrap().store;
    assert_eq!(store.post(), edgewatch::domain::keeping::Post::default());
    store.keep_note("vitals", "first".to_owned());
    store.keep_note("vitals", "second".to_owned());
    store.close().await;
    let reader = Store::read_only(&path).unwrap();
    assert_eq!(reader.note("vitals").unwrap().as_deref(), Some("second"));
    assert_eq!(reader.note("other").unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_reads_a_store_of_the_past() {
    let world = World::start().await;
    world.write("de1: 127.0.0.2, us1: 127.0.0.3", "1m", "");
    let (code, _, err) = run(world.command(&["status"])).await;
    assert_eq!(code, 2);
    assert!(err.contains("no daemon has kept one there"), "{err}");

    let mut night = Box::new(Night::begin(&world, SignedDuration::from_mins(20)));
    let good = night.ask().await;
    night.minute(&good).await;
    world.partner.switch(RULE, true);
    let refused = night.ask().await;
    night.until(&refused, Happening::Opened).await;
    night.end().await;

    let (code, out, err) = run(world.command(&["status"])).await;
    assert_eq!(code, 2, "nobody watches: {out}{err}");
    assert!(
        out.contains("needs care   the daemon has said nothing of itself in this store"),
        "{out}"
    );
    assert!(
        out.contains("  connect    4 cells: 2 pass, 2 edge_block; "),
        "{out}"
    );
    assert!(
        out.contains("  internet   2 cells: 2 pass; ") && out.contains(" (control)\n"),
        "{out}"
    );
    assert!(
        out.contains("INC-1") && out.contains("GMC refuses client `legacy`"),
        "{out}"
    );
    assert!(out.contains("\n  log: 1 waiting, due for "), "{out}");
    assert!(
        out.contains("needs care   delivery: 1 waiting for log, due since "),
        "{out}"
    );

    let (_, out, _) = run(world.command(&["status", "--format", "json"])).await;
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["daemon"]["state"], "unknown");
    assert_eq!(
        json["probes"][0]["results"],
        serde_json::json!({ "pass": 2, "edge_block": 2 })
    );
    assert_eq!(json["probes"][1]["control"], true);
    assert_eq!(json["incidents"][0]["incident"], 1);
    assert_eq!(json["receivers"][0]["waiting"], 1);
    assert!(!out.contains(PASSWORD));

    // The store is named by hand where the file can't be read at all.
    std::fs::write(world.config(), "version: [").unwrap();
    let (code, _, err) = run(world.command(&["status"])).await;
    assert_eq!(code, 2);
    assert!(err.contains("name it with --store"), "{err}");
    let store = world.directory.path().join("edgewatch.sqlite");
    let (code, out, err) =
        run(world.command(&["status", "--store", store.to_str().unwrap()])).await;
    assert_eq!(code, 2, "{err}");
    assert!(
        out.contains("INC-1") && out.contains("client `legacy`"),
        "as the timeline has it: {out}"
    );
    assert!(out.contains("4 cells: 2 pass, 2 edge_block"), "{out}");
}

#[test]
fn a_hundred_thousand_cells_are_some_thousand_series() {
    let mut plan = crate::plan::plan("http://127.0.0.1:1/");
    let probe = plan.probes.remove(0);
    let names = |prefix: &str, count: usize| {
        (0..count)
            .map(|n| format!("{prefix}{n}"))
            .collect::<Vec<_>>()
    };
    plan.clients = names("c", 10)
        .iter()
        .map(|name| crate::plan::client(name, "x"))
        .collect();
    plan.egresses = names("e", 200)
        .iter()
        .map(|name| crate::plan::egress(name, edgewatch::domain::cell::Way::Routes))
        .collect();
    for name in names("p", 1000) {
        let mut probe = probe.clone();
        probe.name = name.as_str().into();
        probe.from = plan
            .egresses
            .iter()
            .take(10)
            .map(|e| e.name.clone())
            .collect();
        probe.as_clients = plan.clients.iter().map(|c| c.name.clone()).collect();
        plan.probes.push(probe);
    }
    assert_eq!(plan.cells().count(), 100_000);

    let asked = Arc::new(AtomicU64::new(0));
    let asks = Arc::clone(&asked);
    let metrics = Arc::new(Metrics::new(clock::now(), move || {
        asks.fetch_add(1, Ordering::Relaxed);
        Live::default()
    }));
    let meters = metrics.meters(&plan, None);
    meters.runs(&Runs {
        skipped_late: 3,
        ..Runs::default()
    });
    meters.plan(&PlanFacts {
        service: String::new(),
        probes: 1000,
        controls: 0,
        cells: 100_000,
        generation: 7,
        since: clock::now(),
    });
    meters.happened(Happening::Opened);
    let text = metrics.text();
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series < 25_000, "{series}");
    let histograms = text
        .lines()
        .filter(|l| l.starts_with("edgewatch_phase_duration_seconds_sum"));
    assert_eq!(
        histograms.count(),
        101 * 5,
        "a hundred by name, and the rest together"
    );
    assert!(text.contains("edgewatch_runs_total{probe=\"p499\",verdict=\"pass\"} 0\n"));
    assert!(!text.contains("\"p500\""));
    assert!(text.contains("edgewatch_runs_total{probe=\"_other\",verdict=\"pass\"} 0\n"));
    assert!(!text.contains("edgewatch_probe_last_success_timestamp_seconds{probe=\"_other\""));
    assert!(text.contains("level=\"e99\"") && !text.contains("level=\"e100\""));
    expect(&text, "edgewatch_runs_skipped_total{reason=\"late\"}", 3.0);
    expect(
        &text,
        "edgewatch_incident_changes_total{what=\"opened\"}",
        1.0,
    );
    expect(&text, "edgewatch_config_generation", 7.0);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "once a scrape");

    let small = crate::plan::plan("http://127.0.0.1:1/");
    let _meters = metrics.meters(&small, Some(&meters));
    let text = metrics.text();
    assert!(
        text.lines().count() < 300,
        "what left is gone: {}",
        text.lines().count()
    );
    assert!(!text.contains("_other"), "{text}");
}
