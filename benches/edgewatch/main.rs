//! Measures what the design sets numbers for, as ratios within one run.
//!
//! `cargo bench` runs it all in about two minutes. CPU time is user + system of this process; the server
//! is a child process, so that its work is not counted; rounds of the two clients are interleaved and
//! the ratio is taken round by round. Absolute times depend on the machine, ratios hardly.

mod bare;
mod server;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgewatch::config::{self, Inputs};
use edgewatch::domain::observation::{Observation, Phases, Purpose, Route};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::secret::{Secret, Secrets};
use edgewatch::domain::verdict::{Kind, Maker, Verdict};
use edgewatch::machine::{Effect, Event, Judged, Known, Machine, Start};
use edgewatch::probe::Prober;
use edgewatch::read::classify;
use edgewatch::read::saved;
use edgewatch::store::Store;
use jiff::Timestamp;

/// Runs of one client in one round; enough for a stable ratio, short enough for CI by hand.
const RUNS: u64 = 2_000;
const ROUNDS: usize = 5;
const AT_ONCE: u64 = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|a| a == "--serve") {
        return server::serve();
    }
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("one provider");
    let only = arguments
        .iter()
        .skip(1)
        .find(|a| !a.starts_with("--"))
        .cloned()
        .unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || name.contains(&only);
    if wanted("probe") {
        probing();
    }
    if wanted("classify") {
        classifying();
    }
    if wanted("mask") {
        masking();
    }
    if wanted("machine") {
        diagnosing();
    }
    if wanted("schedule") {
        scheduling();
    }
    if wanted("config") {
        checking();
    }
    if wanted("store") {
        storing();
    }
}

struct NoInputs;

impl Inputs for NoInputs {
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn file(&self, path: &std::path::Path) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }
}

fn plan(text: &str) -> Plan {
    match config::read(text, "bench.yaml", &NoInputs) {
        Ok(checked) => checked.plan,
        Err(findings) => panic!("{findings}"),
    }
}

/// User and system time of this process.
fn cpu() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage");
    let one =
        |t: nix::sys::time::TimeVal| Duration::new(t.tv_sec() as u64, t.tv_usec() as u32 * 1000);
    one(usage.user_time()) + one(usage.system_time())
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status
        .lines()
        .find(|l| l.starts_with("VmRSS"))
        .expect("VmRSS");
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// The whole way of a run (probe, classify, store) against a bare rustls or TCP client doing the same GET.
fn probing() {
    let server = server::Child::start();
    let directory = tempfile::tempdir().expect("a directory");
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, &server.ca_pem).expect("ca.pem");
    for (name, url) in [("HTTPS", &server.https), ("plain HTTP", &server.http)] {
        let text = format!(
            "version: 1\nservice: bench\nstore: {{ path: {0}/{1}.sqlite }}\ntrust: [{2}]\nclients: {{ bench: \"edgewatch-bench\" }}\n\
             probes:\n  page:\n    url: \"{url}/page\"\n    connect_to: 127.0.0.1\n    every: 1m\n\
             politeness: {{ per_host: {{ requests_per_minute: 6000, gap: 0ms }} }}\n",
            directory.path().display(),
            name.replace(' ', "-"),
            ca.display(),
        );
        let plan = Arc::new(plan(&text));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let (mut ratios, mut ours, mut floors) = (Vec::new(), Vec::new(), Vec::new());
        runtime.block_on(async {
            let prober = Arc::new(Prober::new(&plan).expect("a prober"));
            let opened = Store::open(&plan.store.path, &plan.store).expect("a store");
            let store = opened.store;
            let floor = Arc::new(bare::Bare::new(url, &server.ca_pem));
            for round in 0..=ROUNDS {
                let before = cpu();
                in_parallel(|| {
                    let (plan, prober, store) = (plan.clone(), prober.clone(), store.clone());
                    async move {
                        let (probe, cell) = plan.cells().next().expect("a cell");
                        let now = edgewatch::clock::now();
                        let observation = prober.run(&cell, Purpose::Schedule, now, now).await;
                        let verdict = classify::classify(probe, &plan.signatures, &observation);
                        assert!(verdict.passed(), "{verdict:?} {observation:?}");
                        store.record(&observation, &verdict);
                    }
                })
                .await;
                let own = cpu().saturating_sub(before);
                let before = cpu();
                in_parallel(|| {
                    let floor = floor.clone();
                    async move { floor.get().await }
                })
                .await;
                let bare = cpu().saturating_sub(before);
                if round > 0 {
                    ratios.push(own.as_secs_f64() / bare.as_secs_f64());
                    ours.push(own.as_secs_f64() * 1e6 / RUNS as f64);
                    floors.push(bare.as_secs_f64() * 1e6 / RUNS as f64);
                }
            }
            store.close().await;
        });
        println!(
            "{name}: whole pipeline {:.2} x the bare client ({:.0} us against {:.0} us of CPU a run; rounds {:?})",
            median(ratios.clone()),
            median(ours),
            median(floors),
            ratios
                .iter()
                .map(|r| (r * 100.0).round() / 100.0)
                .collect::<Vec<_>>(),
        );
    }
}

async fn in_parallel<F, T>(make: F)
where
    F: Fn() -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let mut set = tokio::task::JoinSet::new();
    for nth in 0..RUNS {
        if nth >= AT_ONCE {
            set.join_next()
                .await
                .expect("one in flight")
                .expect("no panic");
        }
        set.spawn(make());
    }
    while let Some(result) = set.join_next().await {
        result.expect("no panic");
    }
}

/// Reading one answer into a verdict, and what it may cost.
fn classifying() {
    let head = |status: u16, more: &str| {
        format!("HTTP/1.1 {status} X\r\nDate: Sun, 28 Feb 2021 02:14:09 GMT\r\n{more}\r\n")
            .into_bytes()
    };
    let with = |head: Vec<u8>, body: &[u8]| [head, body.to_vec()].concat();
    let cloudflare =
        "Server: cloudflare\r\nCF-RAY: 5da5cc3358641e89-LHR\r\ncf-cache-status: DYNAMIC\r\n";
    let html = "Server: nginx\r\nContent-Type: text/html; charset=utf-8\r\n";
    let json = "Server: nginx\r\nContent-Type: application/json\r\nX-Request-Id: 7f3c\r\n";
    let soap = b"<Envelope><Body><Response><ReturnCode>0</ReturnCode><GMCRequestID>1</GMCRequestID></Response></Body></Envelope>";
    let page = |length: usize| {
        let mut page =
            b"<html><head><title>Doctors</title><style>p { color: red }</style></head><body>"
                .to_vec();
        while page.len() < length {
            page.extend_from_slice(b"<p class=\"row\">An ordinary paragraph about registration, access and requests.</p>\n");
        }
        page
    };
    let items = format!(
        "{{\"items\":[{}]}}",
        vec!["{\"id\":1,\"state\":\"up\"}"; 40].join(",")
    );
    let plain = format!("{cloudflare}Content-Type: text/plain\r\n");
    let xml = format!("{cloudflare}Content-Type: text/xml\r\n");
    let (small, large) = (page(30 * 1024), page(256 * 1024));
    let mut over = Vec::new();
    for (name, bytes, times, most) in [
        (
            "a Cloudflare block",
            with(head(403, &plain), b"error code: 1010"),
            20_000u32,
            20.0,
        ),
        ("a SOAP answer", with(head(200, &xml), soap), 20_000, 20.0),
        (
            "a JSON answer of 1 KiB",
            with(head(200, json), items.as_bytes()),
            20_000,
            20.0,
        ),
        (
            "a JSON refusal",
            with(head(403, json), b"{\"message\":\"Forbidden\"}"),
            20_000,
            20.0,
        ),
        (
            "a bare 404",
            with(head(404, html), b"<html><h1>404 Not Found</h1></html>"),
            20_000,
            20.0,
        ),
        (
            "30 KiB, status 200",
            with(head(200, html), &small),
            3_000,
            100.0,
        ),
        (
            "30 KiB, status 403",
            with(head(403, html), &small),
            3_000,
            100.0,
        ),
        (
            "30 KiB, status 500",
            with(head(500, html), &small),
            3_000,
            100.0,
        ),
        (
            "256 KiB, status 200",
            with(head(200, html), &large),
            500,
            200.0,
        ),
        (
            "256 KiB, status 403",
            with(head(403, html), &large),
            500,
            200.0,
        ),
    ] {
        let answer = saved::parse(&bytes).expect("an answer");
        // The best of some rounds: others use this machine too.
        let each = |_| {
            let begin = Instant::now();
            for _ in 0..times / 5 {
                std::hint::black_box(classify::classify_answer(std::hint::black_box(&answer)));
            }
            begin.elapsed().as_secs_f64() * 1e6 / f64::from(times / 5)
        };
        let cost = (0..5).map(each).fold(f64::INFINITY, f64::min);
        println!("classify {name}: {cost:.1} us of at most {most:.0}");
        if cost > most {
            over.push(name);
        }
    }
    assert!(over.is_empty(), "these cost too much: {over:?}");
}

/// Looking for a secret in answers that are made to be dear to decode.
fn masking() {
    const MOST_MS: f64 = 250.0;
    let secrets = Secrets::of([
        Secret::new("s3cr3t-and-l0ng"),
        Secret::new("another/one+two"),
    ]);
    let fill = |piece: &str| piece.repeat(256 * 1024 / piece.len());
    for (name, text) in [
        ("percent signs", fill("%2525252525")),
        ("entities", fill("&amp;amp;amp;")),
        ("backslashes", fill("\\\\\\\\u005cu005c")),
        ("base64", fill("QUFBQUFBQUFBQUFBQUFB")),
        (
            "all of them",
            fill("%26&amp;\\u0025%5cQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB "),
        ),
        ("one word", fill("A")),
        ("half of a secret", fill("s3cr3t-and-l0n")),
    ] {
        let bytes = bytes::Bytes::from(text);
        let before = resident_kib();
        let each = |_| {
            let begin = Instant::now();
            std::hint::black_box(secrets.mask_bytes(bytes.clone()));
            begin.elapsed().as_secs_f64() * 1e3
        };
        let cost = (0..5).map(each).fold(f64::INFINITY, f64::min);
        let grown = resident_kib().saturating_sub(before) / 1024;
        println!(
            "mask 256 KiB of {name}: {cost:.1} ms of at most {MOST_MS:.0}, {grown} MiB more than before"
        );
        assert!(cost <= MOST_MS, "{name}");
    }
}

/// 100,000 cells at 60 s: memory a cell, and how late starts are.
fn scheduling() {
    let mut text = String::from("version: 1\nservice: bench\n");
    text.push_str("runs_in_flight: 4000\npoliteness: { per_host: { requests_per_minute: 6000, gap: 0ms } }\negresses:\n");
    for n in 0..10 {
        let _ = writeln!(text, "  e{n}: 127.0.0.{}", n + 2);
    }
    text.push_str("clients:\n");
    for n in 0..10 {
        let _ = writeln!(text, "  c{n}: \"bench/{n}\"");
    }
    text.push_str("probes:\n");
    for n in 0..1000 {
        let _ = writeln!(
            text,
            "  p{n}: {{ url: \"http://host{n}.example/\", every: 1m }}"
        );
    }
    let plan = plan(&text);
    let cells = plan.cells().count();
    let before = resident_kib();
    let now = edgewatch::clock::now();
    let mut machine = Machine::new(Arc::new(plan), Known::default(), now);
    let kib = resident_kib().saturating_sub(before);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let seconds = 12;
    let (mut late, spent) = runtime.block_on(async move {
        let mut late = Vec::new();
        let mut spent = Duration::ZERO;
        let (done, mut ended) = tokio::sync::mpsc::unbounded_channel();
        let stop = Instant::now() + Duration::from_secs(seconds);
        let mut wake = now;
        while Instant::now() < stop {
            let now = edgewatch::clock::now();
            let event = match ended.try_recv() {
                Ok((run, judged)) => Event::Ended { run, judged },
                Err(_) if wake <= now => Event::Tick,
                Err(_) => {
                    let nap = Duration::try_from(wake.duration_since(now)).unwrap_or_default();
                    tokio::time::sleep(nap.min(Duration::from_millis(50))).await;
                    continue;
                }
            };
            let began = Instant::now();
            let effects = machine.step(event, now);
            spent += began.elapsed();
            for effect in effects {
                match effect {
                    Effect::Start(start) => {
                        late.push(now.duration_since(start.due_at).as_secs_f64() * 1e3);
                        let done = done.clone();
                        tokio::spawn(async move {
                            let judged = judged(&start, now, false);
                            done.send((start.run, judged))
                        });
                    }
                    Effect::WakeAt(at) => wake = at,
                    _ => {}
                }
            }
        }
        (late, spent)
    });
    late.sort_by(f64::total_cmp);
    println!(
        "schedule {cells} cells at 60 s: {:.0} bytes a cell with all its rules; {} starts in {seconds} s, late p50 {:.1} ms, p99 {:.1} ms; {:.1} us of the machine a run",
        kib as f64 * 1024.0 / cells as f64,
        late.len(),
        percentile(&late, 0.5),
        percentile(&late, 0.99),
        spent.as_secs_f64() * 1e6 / late.len() as f64,
    );
}

/// A run as a prober and the classifier would tell it: it passes, or an edge refuses it.
fn judged(start: &Start, at: Timestamp, refused: bool) -> Arc<Judged> {
    let mut verdict = if refused {
        Verdict::new(Kind::EdgeBlock, Maker::Edge)
    } else {
        Verdict::new(Kind::Pass, Maker::Origin)
    };
    if refused {
        verdict.vendor = "cloudflare".into();
    }
    Arc::new(Judged {
        observation: Observation {
            cell: start.cell.clone(),
            purpose: start.purpose,
            due_at: start.due_at,
            started_at: at,
            took: Duration::from_millis(80),
            phases: Phases::default(),
            route: Route::default(),
            tls: None,
            sent: None,
            hops: Vec::new(),
            answer: None,
            failure: None,
        },
        verdict,
    })
}

/// `check` of a file whose matrix has 10,000 cells.
fn checking() {
    let mut text = String::from(
        "version: 1\nservice: bench\nclients: { a: \"a/1\", b: \"b/1\" }\negresses: { de1: 127.0.0.2, us1: 127.0.0.3 }\nprobes:\n",
    );
    for n in 0..2500 {
        let _ = write!(
            text,
            "  probe-{n}:\n    url: \"https://host{n}.example/path\"\n    every: 5m\n    expect: {{ status: 200, body: \"ok\" }}\n"
        );
    }
    let times: Vec<f64> = (0..7)
        .map(|_| {
            let begin = Instant::now();
            let plan = plan(&text);
            assert_eq!(plan.cells().count(), 10_000);
            begin.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    println!(
        "config 10,000 cells ({} KiB): {:.0} ms",
        text.len() / 1024,
        median(times)
    );
}

/// Observations to disk.
fn storing() {
    let directory = tempfile::tempdir().expect("a directory");
    let plan = plan(&format!(
        "version: 1\nservice: bench\nstore: {{ path: {}/bench.sqlite }}\nclients: {{ a: \"a/1\" }}\nprobes: {{ p: {{ url: \"http://h.example/\", every: 1m }} }}\n",
        directory.path().display()
    ));
    let opened = Store::open(&plan.store.path, &plan.store).expect("a store");
    let (_, cell) = plan.cells().next().expect("a cell");
    let now = edgewatch::clock::now();
    let observation = Observation {
        cell,
        purpose: Purpose::Schedule,
        due_at: now,
        started_at: now,
        took: Duration::from_millis(31),
        phases: edgewatch::domain::observation::Phases::default(),
        route: edgewatch::domain::observation::Route::default(),
        tls: None,
        sent: None,
        hops: Vec::new(),
        answer: None,
        failure: None,
    };
    let verdict = Verdict::new(
        edgewatch::domain::verdict::Kind::Pass,
        edgewatch::domain::verdict::Maker::Origin,
    );
    // As the daemon does it: never waiting, with the queue emptied as it fills.
    let (rows, batch) = (200_000u32, 1_000);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (begin, before) = (Instant::now(), cpu());
    runtime.block_on(async {
        for row in 1..=rows {
            opened.store.record(&observation, &verdict);
            if row % batch == 0 {
                opened.store.flush().await.expect("a flush");
            }
        }
        opened.store.close().await;
    });
    println!(
        "store {:.0} observations/s, {:.1} us of CPU each",
        f64::from(rows) / begin.elapsed().as_secs_f64(),
        cpu().saturating_sub(before).as_secs_f64() * 1e6 / f64::from(rows),
    );
}

/// A partner with this many endpoints, egresses and clients; every cell once a minute.
fn partner(endpoints: usize, egresses: usize, clients: usize) -> Plan {
    let mut text = "version: 1\nservice: Bench\negresses:\n".to_owned();
    for n in 1..=egresses {
        let _ = writeln!(text, "  e{n}: 127.0.0.{n}");
    }
    text.push_str("clients:\n");
    for n in 1..=clients {
        let _ = writeln!(text, "  c{n}: \"product-{n}/1.0\"");
    }
    text.push_str("probes:\n");
    for n in 1..=endpoints {
        let _ = writeln!(
            text,
            "  p{n}: {{ url: \"https://api.partner.example/v{}/{n}\", every: 1m }}",
            n % 3
        );
    }
    text.push_str("politeness: { per_host: { requests_per_minute: 6000, gap: 0ms } }\n");
    plan(&text)
}

/// What the machine takes for a run, its start and its end: while all is well, and with one client refused.
fn diagnosing() {
    for (endpoints, egresses, clients) in [(5, 4, 5), (10, 6, 10), (20, 8, 10)] {
        let plan = Arc::new(partner(endpoints, egresses, clients));
        let begin = Timestamp::from_second(1_700_000_000).expect("a time");
        let mut machine = Machine::new(Arc::clone(&plan), Known::default(), begin);
        let mut spent = [Duration::ZERO; 2];
        let mut runs = [0_u32; 2];
        let half = begin + Duration::from_secs(15 * 60);
        let end = begin + Duration::from_secs(30 * 60);
        let (mut now, mut alarm) = (begin, begin);
        let mut waiting = std::collections::VecDeque::new();
        while now < end {
            let refused = now >= half;
            let event = waiting.pop_front().unwrap_or(Event::Tick);
            let began = Instant::now();
            let effects = machine.step(event, now);
            spent[usize::from(refused)] += began.elapsed();
            let mut wake = None;
            for effect in effects {
                match effect {
                    Effect::Start(start) => {
                        runs[usize::from(refused)] += 1;
                        let bad = refused && start.cell.client.as_str() == "c1";
                        let judged = judged(&start, now, bad);
                        let run = start.run;
                        waiting.push_back(Event::Ended { run, judged });
                    }
                    Effect::WakeAt(at) => wake = Some(at),
                    _ => {}
                }
            }
            alarm = wake.unwrap_or(alarm);
            if waiting.is_empty() {
                now = now.max(alarm);
            }
        }
        let per = |n: usize| spent[n].as_secs_f64() * 1e6 / f64::from(runs[n]);
        println!(
            "machine: {} cells of one partner: {:.1} us a run while all is well, {:.1} us with one client refused ({} open)",
            plan.cells().count(),
            per(0),
            per(1),
            machine.incidents().count()
        );
    }
}
