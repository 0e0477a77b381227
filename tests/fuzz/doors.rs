//! Where bytes of strangers come in: one door each, for `cargo fuzz` and for the tests alike.
//!
//! A door takes any bytes and must come back in time: no panic, no more work than its bound, and what comes out is
//! bounded and fit to be shown. Those that read from a socket are asked over loopback, through the same run as in the
//! daemon.

use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use edgewatch::config::{self, Inputs};
use edgewatch::domain::observation::{Answer, Body, HttpVersion, Purpose};
use edgewatch::domain::plan::Plan;
use edgewatch::lang::cron::Cron;
use edgewatch::lang::xpath::XPath;
use edgewatch::lang::{jsonpath, retry_after};
use edgewatch::probe::Prober;
use edgewatch::read::classify::{classify, classify_answer};
use edgewatch::read::saved;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::time::ClockId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;

/// A name and what takes the bytes.
type Door = (&'static str, fn(&[u8]));

/// Every door by its name, which is that of its folder of seeds and of its target.
pub(crate) const DOORS: &[Door] = &[
    ("certificate", peer::certificate),
    ("charset", charset),
    ("classify", classification),
    ("cron", cron),
    ("decompression", decompression),
    ("dns", dns),
    ("http1", peer::http1),
    ("http2", peer::http2),
    ("jsonpath", json_path),
    ("proxy", proxy),
    ("render", render::words),
    ("response", response),
    ("retry_after", wait),
    ("saved", saved_answer),
    ("socket_mode", peer::socket_mode),
    ("xpath", x_path),
    ("yaml", yaml),
];

/// What one input may cost of a core, as the program is shipped; for a partner's run that is the promise of 250 ms.
const WORK: Duration = Duration::from_millis(250);
/// How much slower a build is that is made to find faults: counted by coverage, or not optimised at all.
const SLOWER: u32 = if cfg!(fuzzing) {
    4
} else if cfg!(debug_assertions) {
    20
} else {
    1
};
/// What one input may take, waiting included: the timeout of a run is a second, and this machine may be busy.
const WAIT: Duration = Duration::from_secs(30);

/// Lets the bytes in by the door of this name.
///
/// Panics when they cost more than they may; what was only slow by chance (a first time, a busy machine) is not, when
/// it comes again.
pub(crate) fn enter(name: &str, data: &[u8]) {
    let door = DOORS.iter().find(|(known, _)| *known == name);
    let (_, door) = door.expect("a door of this name");
    let cost = || {
        let (work, began) = (worked(), Instant::now());
        door(data);
        (worked().saturating_sub(work), began.elapsed())
    };
    let bound = WORK * SLOWER;
    let is_over = |(work, took): (Duration, Duration)| work > bound || took > WAIT;
    if is_over(cost()) {
        let (work, took) = cost();
        assert!(
            !is_over((work, took)),
            "{name} worked {work:?} of at most {bound:?}, and took {took:?}"
        );
    }
}

/// How long this thread has been at work.
fn worked() -> Duration {
    let time = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    time.expect("a clock of this thread").into()
}

/// Lines and characters that a verdict may have, whatever was answered.
const LINES_MAX: usize = 8;
const CHARS_MAX: usize = 241;
/// A query of more steps than this is refused by the program, so it isn't run here.
const STEPS_MAX: u64 = 100_000;

fn fit_to_be_shown(verdict: &edgewatch::domain::verdict::Verdict) {
    assert!(verdict.evidence.len() <= LINES_MAX);
    for sign in &verdict.evidence {
        assert!(sign.text.chars().count() <= CHARS_MAX, "{}", sign.text);
        assert!(
            !sign.text.contains(['\n', '\r', '\u{1b}']),
            "{:?}",
            sign.text
        );
    }
    let ids = verdict.code.iter().chain(&verdict.reference_id);
    assert!(ids.flat_map(|id| id.chars()).all(|c| !c.is_control()));
}

#[path = "peer.rs"]
mod peer;
#[path = "render.rs"]
mod render;

/// The part before the first line end, and the rest.
fn split(data: &[u8]) -> (String, &[u8]) {
    let end = data
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(data.len());
    let (line, rest) = data.split_at(end);
    (
        String::from_utf8_lossy(line).into_owned(),
        rest.get(1..).unwrap_or_default(),
    )
}

fn answer(status: u16, headers: Vec<(String, String)>, bytes: &[u8]) -> Answer {
    Answer {
        http: HttpVersion::H1_1,
        status,
        headers,
        body: Body {
            bytes: bytes.to_vec().into(),
            wire_bytes: bytes.len() as u64,
            truncated: false,
            sha256: String::new(),
            decode_error: None,
        },
    }
}

fn saved_answer(data: &[u8]) {
    if let Ok(answer) = saved::parse(data) {
        fit_to_be_shown(&classify_answer(&answer));
    }
}

/// Two bytes of the status, a header line, and the body.
fn classification(data: &[u8]) {
    let Some((status, rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let status = 100 + u16::from_le_bytes(*status) % 900;
    let (line, body) = split(rest);
    let header = line
        .split_once(':')
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    let mut headers = vec![("content-type".to_owned(), "text/html".to_owned())];
    headers.extend(header);
    fit_to_be_shown(&classify_answer(&answer(status, headers, body)));
}

/// A declared type, and bytes that may be anything.
fn charset(data: &[u8]) {
    let (declared, body) = split(data);
    let headers = vec![("content-type".to_owned(), declared)];
    fit_to_be_shown(&classify_answer(&answer(403, headers, body)));
}

fn cron(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let zone = TimeZone::get("Europe/London").unwrap_or(TimeZone::UTC);
    let Ok(cron) = Cron::new(&text, zone) else {
        return;
    };
    let mut at = Timestamp::UNIX_EPOCH;
    for _ in 0..4 {
        let Some(next) = cron.next_after(at) else {
            return;
        };
        assert!(next > at, "{text:?} goes back at {at}");
        at = next;
    }
}

fn x_path(data: &[u8]) {
    let (expression, xml) = split(data);
    let Ok(path) = XPath::new(&expression, &[]) else {
        return;
    };
    let Ok(xml) = std::str::from_utf8(xml) else {
        return;
    };
    let _ = path.holds(xml);
    if let Ok(document) = edgewatch::lang::xpath::parse(xml) {
        let work = Cell::new(10_000);
        let _ = path.holds_of(&document, &work);
        let _ = path.hint(&document);
    }
}

/// `Retry-After`, and the answer's `Date` in a second line.
fn wait(data: &[u8]) {
    let (value, sent) = split(data);
    let sent = String::from_utf8_lossy(sent);
    let now = Some(Timestamp::UNIX_EPOCH);
    for sent in [None, Some(&*sent)] {
        let _ = retry_after::read(&value, sent, now);
        let _ = retry_after::read(&value, sent, None);
    }
}

fn json_path(data: &[u8]) {
    let (expression, json) = split(data);
    let (Ok(path), Ok(json)) = (
        jsonpath::query(&expression),
        jsonpath::parse(&String::from_utf8_lossy(json)),
    ) else {
        return;
    };
    if jsonpath::cost(&path, &json) <= STEPS_MAX {
        let _ = path.query(&json).len();
    }
}

struct Nothing;

impl Inputs for Nothing {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn yaml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = config::store_path(&text);
    let _ = config::read(&text, "probes.yaml", &Nothing);
}

/// One way of asking, with what it takes.
struct Asked {
    plan: Plan,
    prober: Prober,
}

impl Asked {
    fn new(url: &str, egress: &str, more: &str) -> Self {
        Self::as_client(url, egress, more, "{ plain: \"plain/1\" }")
    }

    fn as_client(url: &str, egress: &str, more: &str, clients: &str) -> Self {
        let text = format!(
            "version: 1\nservice: Example\nclients: {clients}\negresses: {{ out: {egress} }}\n{more}\
             probes:\n  page: {{ url: \"{url}\", every: 5m, timeout: 1s }}\n"
        );
        let plan = match config::read(&text, "probes.yaml", &Nothing) {
            Ok(checked) => checked.plan,
            Err(findings) => panic!("the plan of a door: {findings}\n{text}"),
        };
        let prober = Prober::new(&plan).expect("a prober");
        Self { plan, prober }
    }

    /// Runs the one cell, and reads what came of it.
    async fn run(&self) {
        let (probe, cell) = self.plan.cells().next().expect("a cell");
        let now = Timestamp::UNIX_EPOCH;
        let seen = self.prober.run(&cell, Purpose::Schedule, now, now).await;
        let verdict = classify(probe, &[], &seen);
        fit_to_be_shown(&verdict);
        render::run(&self.plan, &seen, &verdict);
        if let Some(failure) = &seen.failure {
            assert!(failure.message.len() <= 2000, "{}", failure.message);
        }
    }
}

/// A server and a name server on loopback that say what they are told to, and all ways of asking them.
struct Stage {
    runtime: Runtime,
    said: Arc<Mutex<Vec<u8>>>,
    direct: Asked,
    by_http: Asked,
    by_socks: Asked,
    named: Asked,
}

thread_local! {
    static STAGE: Stage = Stage::new();
}

impl Stage {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let said = Arc::new(Mutex::new(Vec::new()));
        let (server, names) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
            let bound = (listener.local_addr(), socket.local_addr());
            tokio::spawn(speak(listener, Arc::clone(&said)));
            tokio::spawn(name(socket, Arc::clone(&said)));
            (bound.0.expect("it is bound"), bound.1.expect("it is bound"))
        });
        let here = "{ address: 127.0.0.1 }";
        let proxy = |scheme: &str| {
            let egress = format!("{{ proxy: \"{scheme}://{server}\" }}");
            Asked::new("http://127.0.0.1:9/", &egress, "")
        };
        let servers = format!("name_servers: [\"{names}\"]\n");
        Self {
            direct: Asked::new(&format!("http://{server}/"), here, ""),
            by_http: proxy("http"),
            by_socks: proxy("socks5"),
            named: Asked::new("http://a.example:9/", here, &servers),
            runtime,
            said,
        }
    }

    fn say(&self, said: &[u8], to: &Asked) {
        said.clone_into(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
        self.runtime.block_on(to.run());
    }
}

fn told(said: &Mutex<Vec<u8>>) -> Vec<u8> {
    said.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Says it to whoever connects and sends something.
async fn speak(listener: TcpListener, said: Arc<Mutex<Vec<u8>>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut heard = [0; 4096];
        let _ = stream.read(&mut heard).await;
        let _ = stream.write_all(&told(&said)).await;
        let _ = stream.shutdown().await;
    }
}

/// Says it after the number of each question.
async fn name(socket: UdpSocket, said: Arc<Mutex<Vec<u8>>>) {
    let mut asked = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut asked).await {
        let number = asked.get(..2.min(length)).unwrap_or_default();
        let _ = socket.send_to(&[number, &told(&said)].concat(), from).await;
    }
}

/// All that a server sends.
fn response(data: &[u8]) {
    STAGE.with(|stage| stage.say(data, &stage.direct));
}

/// The first byte chooses how the rest is said to be packed.
fn decompression(data: &[u8]) {
    let Some((first, body)) = data.split_first() else {
        return;
    };
    let encodings = [
        "gzip",
        "deflate",
        "br",
        "zstd",
        "gzip, br",
        "br, gzip, zstd",
    ];
    let encoding = encodings[usize::from(*first) % encodings.len()];
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    response(&[head.as_bytes(), body].concat());
}

/// What a proxy answers: of HTTP when the first byte is even, else of SOCKS.
fn proxy(data: &[u8]) {
    let Some((first, said)) = data.split_first() else {
        return;
    };
    STAGE.with(|stage| {
        let http = first % 2 == 0;
        let asked = if http {
            &stage.by_http
        } else {
            &stage.by_socks
        };
        stage.say(said, asked);
    });
}

/// What a name server answers, after the number of the question.
fn dns(data: &[u8]) {
    STAGE.with(|stage| stage.say(data, &stage.named));
}
