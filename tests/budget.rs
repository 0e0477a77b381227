//! The dearest answers cost no more memory than they may, and leave no work behind once the verdict is given.
//!
//! In a program of its own, so that nothing else of the suite counts.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that can't go on fails its test"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use edgewatch::app::round;
use edgewatch::domain::condition::{Compare, Condition, Conditions, TextMatch};
use edgewatch::domain::observation::Purpose;
use edgewatch::lang::xpath::XPath;
use edgewatch::probe::Prober;
use nix::sys::resource::{UsageWho, getrusage};
use serde_json_path::JsonPath;

#[path = "it/plan.rs"]
#[allow(dead_code)]
mod plan;

/// What reading one answer may take, beside what the program has anyway.
const MEMORY_KIB_MAX: i64 = 32 * 1024;
/// A second later the program rests, but for what a runtime does to rest.
const RESTING: Duration = Duration::from_millis(100);

/// Memory of this program in KiB: `VmRSS` at present, `VmHWM` at most since it was set back.
fn memory(what: &str) -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(what))
        .unwrap();
    let number = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    number.parse().unwrap()
}

/// Forgets how much memory it was at most (proc(5), `clear_refs`).
fn set_back() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let of = |time: nix::sys::time::TimeVal| {
        Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()).unsigned_abs())
    };
    of(usage.user_time()) + of(usage.system_time())
}

/// Threads that are at work, this one left out.
fn working() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let states = tasks.flatten().filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        stat.rsplit(')').next()?.trim_start().chars().next()
    });
    states
        .filter(|state| *state == 'R')
        .count()
        .saturating_sub(1)
}

/// A server that says one thing to everybody.
fn serve(head: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _: Option<()> = stream.ok().and_then(|stream| answer(stream, head, &body));
        }
    });
    url
}

fn answer(mut stream: TcpStream, head: &str, body: &[u8]) -> Option<()> {
    let mut asked = Vec::new();
    let mut some = [0; 1024];
    while !asked.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut some).ok().filter(|read| *read > 0)?;
        asked.extend_from_slice(&some[..read]);
    }
    let length = body.len();
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()
}

fn read(url: &str, expected: Condition) {
    let mut plan = plan::plan(url);
    plan.probes[0].expect.conditions = Conditions(vec![expected]);
    let plan = Arc::new(plan);
    let prober = Prober::new(&plan).unwrap();
    let cell = plan.cells().next().unwrap().1;
    let due = "2021-02-28T02:14:00Z".parse().unwrap();
    let usuals = round::Usuals::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let run = round::run(&plan, &prober, &usuals, &cell, Purpose::Schedule, due);
    let judged = runtime.block_on(run);
    runtime.shutdown_background();
    assert!(judged.observation.answer.is_some(), "{judged:?}");
}

fn xpath(text: &str) -> Condition {
    Condition::Xml(XPath::new(text, &[]).unwrap())
}

fn jsonpath(text: &str) -> Condition {
    Condition::Json {
        path: JsonPath::parse(text).unwrap(),
        compare: Compare::Exists,
    }
}

fn holds(text: &str) -> Condition {
    Condition::Body(TextMatch::Contains(text.to_owned()))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

const KEPT: usize = 256 * 1024;

fn filled(part: &str) -> Vec<u8> {
    part.repeat(KEPT / part.len()).into_bytes()
}

fn around(open: &str, part: &str, close: &str) -> Vec<u8> {
    let parts = part.repeat((KEPT - 256) / part.len());
    format!("{open}{parts}{close}").into_bytes()
}

#[test]
fn the_dearest_answers_stay_within_memory_and_leave_nothing_running() {
    const XML: &str = "200 OK\r\nContent-Type: text/xml";
    const JSON: &str = "200 OK\r\nContent-Type: application/json";
    const PAGE: &str = "403 Forbidden\r\nContent-Type: text/html";
    const PACKED: &str = "200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip";
    const WIDE: &str = "403 Forbidden\r\nContent-Type: text/html; charset=utf-16le";
    let deep =
        |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels)).into_bytes();
    let cases: Vec<(&str, &'static str, Vec<u8>, Condition)> = vec![
        (
            "elements",
            XML,
            around("<a>", "<b/>", "</a>"),
            xpath("//b[. = //b]"),
        ),
        (
            "attributes",
            XML,
            around("<a", " b='' ", "/>"),
            xpath("//@*"),
        ),
        ("entities", XML, around("<a>", "&lt;", "</a>"), xpath("//a")),
        ("numbers", JSON, around("[0", ",0", "]"), jsonpath("$..*")),
        (
            "members",
            JSON,
            around("[{}", ",{\"a\":{}}", "]"),
            jsonpath("$..[?count(@..*) > 1]"),
        ),
        ("depth", JSON, deep(120), jsonpath("$..*..*..*..*")),
        (
            "tags",
            PAGE,
            filled("<p>request blocked by firewall"),
            holds("y"),
        ),
        ("titles", PAGE, filled("<title>"), holds("y")),
        ("ids", PAGE, filled("incident id: 1234567 "), holds("y")),
        ("two bytes a letter", WIDE, filled("<\0p\0>\0"), holds("y")),
        (
            "packed a thousandfold",
            PACKED,
            gzip(&vec![b' '; 64 << 20]),
            holds("y"),
        ),
        (
            "packed twice",
            PACKED,
            gzip(&gzip(&vec![b'<'; 16 << 20])),
            holds("y"),
        ),
    ];
    // What is made once is not an answer's: patterns, tables, the runtime.
    for (head, body) in [
        (PAGE, "<html>refused by a firewall"),
        (JSON, "{}"),
        (XML, "<a/>"),
    ] {
        for condition in [holds("y"), xpath("//a"), jsonpath("$..a")] {
            read(&serve(head, body.as_bytes().to_vec()), condition);
        }
    }
    for (name, head, body, condition) in cases {
        let url = serve(head, body);
        set_back();
        let before = memory("VmRSS");
        read(&url, condition);
        let more = memory("VmHWM") - before;
        println!("{name}: {more} KiB more");
        assert!(more <= MEMORY_KIB_MAX, "{name}: {more} KiB");
    }
    // Nothing sends: this waits for a second.
    let (_open, silent) = mpsc::channel::<()>();
    let before = cpu();
    assert!(silent.recv_timeout(Duration::from_secs(1)).is_err());
    let worked = cpu().saturating_sub(before);
    assert!(worked < RESTING, "{worked:?} of work");
    assert_eq!(working(), 0, "threads at work");
}
