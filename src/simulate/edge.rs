//! The edge: a server on loopback that meets every request before the partner does.

use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::certificate::{Authority, Certificate};
use super::front::Front;
use super::ids::Ids;
use super::pages::Scene;
use super::partner::Partner;
use super::request::{BODY_BYTES_MAX, Reply, Request};
use super::rules::{Action, Rule, Rules};
use super::wire::{Breakable, End, Heard, Sent, Tap, header_lines};
use crate::domain::hello;
use crate::domain::observation::HttpVersion;

/// Requests that are remembered; older ones are forgotten first.
const SEEN_MAX: usize = 1000;
/// Body bytes remembered of each.
const SEEN_BODY_BYTES_MAX: usize = 4096;
/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// For TLS handshakes and first bytes.
const GREETING_WITHIN: Duration = Duration::from_secs(10);

/// What time it is, for pages, rule times and rates.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// How an edge begins.
#[derive(Debug, Clone)]
pub struct Script {
    pub clock: Clock,
    /// Where to listen; the port is chosen by the kernel.
    pub listen: IpAddr,
    /// `None`: plain HTTP.
    pub tls: Option<Certificate>,
    /// HTTP/2 by ALPN, or without TLS by prior knowledge; HTTP/1.1 always.
    pub http2: bool,
    pub front: Front,
    pub rules: Vec<Rule>,
    /// For probabilities and ids.
    pub seed: u64,
}

impl Script {
    /// Plain HTTP on 127.0.0.1, nothing in front, no rules.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
            tls: None,
            http2: true,
            front: Front::Direct,
            rules: Vec::new(),
            seed: 1,
        }
    }
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub at: Timestamp,
    pub peer: SocketAddr,
    pub tls: bool,
    pub http: HttpVersion,
    pub method: String,
    /// Path and query.
    pub target: String,
    /// In their order; over HTTP/1.1 also in their case.
    pub headers: Vec<(String, String)>,
    /// The first 4 KiB.
    pub body: Bytes,
    pub body_bytes: usize,
    /// The rule that fired.
    pub rule: Option<String>,
    /// What the answer was called by the vendor in front.
    pub reference_id: Option<String>,
}

impl Seen {
    /// The first value of a header, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// A running edge with a partner behind it; dropping it stops it.
pub struct Edge {
    address: SocketAddr,
    state: Arc<State>,
    authority: Option<Authority>,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

struct State {
    partner: Partner,
    clock: Clock,
    started_at: Timestamp,
    ids: Ids,
    http2: bool,
    rules: Mutex<Rules>,
    front: Mutex<Front>,
    tls: Mutex<Option<Arc<ServerConfig>>>,
    seen: Mutex<VecDeque<Seen>>,
    /// All requests so far, forgotten ones too.
    count: watch::Sender<usize>,
}

impl Edge {
    /// Listens and serves until it is stopped or dropped.
    ///
    /// # Errors
    /// The address can't be listened on, a rule contradicts itself, or a certificate can't be made.
    pub async fn start(partner: Partner, script: Script) -> Result<Self, String> {
        let listener = TcpListener::bind((script.listen, 0))
            .await
            .map_err(|e| format!("can't listen on {}: {e}", script.listen))?;
        let address = listener
            .local_addr()
            .map_err(|e| format!("the listening address is not known: {e}"))?;
        let started_at = script.clock.now();
        let authority = match &script.tls {
            Some(_) => Some(Authority::new(script.http2)?),
            None => None,
        };
        let tls = match (&authority, &script.tls) {
            (Some(authority), Some(wanted)) => Some(authority.issue(wanted, started_at)?),
            _ => None,
        };
        let state = Arc::new(State {
            partner,
            started_at,
            clock: script.clock,
            ids: Ids::new(script.seed),
            http2: script.http2,
            rules: Mutex::new(Rules::new(script.rules, script.seed)?),
            front: Mutex::new(script.front),
            tls: Mutex::new(tls),
            seen: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(accept(listener, Arc::clone(&state), stopped));
        Ok(Self {
            address,
            state,
            authority,
            stop,
            task: Some(task),
        })
    }

    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The address of a path (beginning with `/`), by number.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.authority.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}{path}", self.address)
    }

    /// The root to trust, when there is TLS.
    #[must_use]
    pub fn root_pem(&self) -> Option<String> {
        self.authority.as_ref().map(Authority::pem)
    }

    /// Adds a rule after the others, or replaces the one of the same name in its place.
    ///
    /// # Errors
    /// The rule contradicts itself.
    pub fn add(&self, rule: Rule) -> Result<(), String> {
        lock(&self.state.rules).add(rule)
    }

    /// Whether there was such a rule.
    pub fn remove(&self, name: &str) -> bool {
        lock(&self.state.rules).remove(name)
    }

    /// Switches a rule on or off; whether there is such a rule.
    pub fn switch(&self, name: &str, on: bool) -> bool {
        lock(&self.state.rules).switch(name, on)
    }

    /// Moves the partner behind something else.
    pub fn set_front(&self, front: Front) {
        *lock(&self.state.front) = front;
    }

    /// Shows another certificate to the connections that come from now on, under the same root.
    ///
    /// # Errors
    /// The edge has no TLS, or a name can't stand in a certificate.
    pub fn set_certificate(&self, wanted: &Certificate) -> Result<(), String> {
        let authority = self
            .authority
            .as_ref()
            .ok_or("the edge was started without TLS")?;
        let config = authority.issue(wanted, self.state.clock.now())?;
        *lock(&self.state.tls) = Some(config);
        Ok(())
    }

    /// The last requests, at most 1,000, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.state.seen).iter().cloned().collect()
    }

    /// How many requests have come since the start.
    #[must_use]
    pub fn count(&self) -> usize {
        *self.state.count.borrow()
    }

    /// Waits until `count` requests have come since the start, and answers the last ones.
    pub async fn seen(&self, count: usize) -> Vec<Seen> {
        let mut counted = self.state.count.subscribe();
        // The sender is in `self`, so it is not gone.
        let _ = counted.wait_for(|&so_far| so_far >= count).await;
        self.requests()
    }

    /// Stops listening, breaks off what goes on, and waits for its end.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            // It ends with a panic of ours at worst, and that is printed.
            let _ = task.await;
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// State is only ever replaced whole under these locks, so a panic elsewhere leaves it usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<State>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stopped.changed() => break,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(connection(stream, peer, Arc::clone(&state)));
            }
            // The peer left again, or there are no descriptors: these come back as connections end.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, peer: SocketAddr, state: Arc<State>) {
    let _ = stream.set_nodelay(true);
    let action = lock(&state.rules).judge_connection(peer.ip(), state.since_start());
    match action {
        Some((_, Action::SilentConnection)) => return stay_silent(stream).await,
        Some((_, Action::TlsFailure)) => return refuse_tls(stream, &state).await,
        _ => {}
    }
    let (stream, broken) = Breakable::new(stream);
    let tls = lock(&state.tls).clone();
    let Some(config) = tls else {
        let http2 = state.http2 && begins_http2(&stream).await;
        return serve(stream, peer, state, broken, None, http2).await;
    };
    if lock(&state.rules).of_tls() {
        let (stream, heard) = Tap::new(stream);
        let handshake = TlsAcceptor::from(config).accept(stream);
        let Ok(Ok(stream)) = tokio::time::timeout(GREETING_WITHIN, handshake).await else {
            return;
        };
        let ja4 = match hello::read(&lock(&heard)) {
            hello::Read::Hello(hello) => Some(hello.ja4()),
            hello::Read::More | hello::Read::Not => None,
        };
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        return serve(stream, peer, state, broken, Some(Hail { ja4 }), http2).await;
    }
    let handshake = TlsAcceptor::from(config).accept(stream);
    // A client that refuses the certificate ends up here; it has its own error to show.
    let Ok(Ok(stream)) = tokio::time::timeout(GREETING_WITHIN, handshake).await else {
        return;
    };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    serve(stream, peer, state, broken, Some(Hail::default()), http2).await;
}

/// Reads and answers nothing until the peer gives up.
async fn stay_silent(mut stream: TcpStream) {
    let mut dropped = [0; 4096];
    while stream.read(&mut dropped).await.is_ok_and(|read| read > 0) {}
}

/// Answers the client's hello with a fatal `handshake_failure` (RFC 8446 section 6).
async fn refuse_tls(mut stream: TcpStream, state: &State) {
    if lock(&state.tls).is_none() {
        return;
    }
    let mut hello = [0; 4096];
    let greeted = tokio::time::timeout(GREETING_WITHIN, stream.read(&mut hello)).await;
    if matches!(greeted, Ok(Ok(read)) if read > 0) {
        let alert = [21, 3, 3, 0, 2, 2, 40];
        let _ = stream.write_all(&alert).await;
        let _ = stream.shutdown().await;
    }
}

/// Whether the first bytes are those of an HTTP/2 client that knows (RFC 9113 section 3.4).
async fn begins_http2(stream: &Breakable) -> bool {
    let mut first = [0; 3];
    let peeked = async {
        loop {
            match stream.peek(&mut first).await {
                Ok(read @ 1..=2) if first.starts_with(&b"PRI"[..read]) => {
                    // No readiness tells of one more byte, and a split of three bytes is rare.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok(3..) => return first == *b"PRI",
                _ => return false,
            }
        }
    };
    tokio::time::timeout(GREETING_WITHIN, peeked)
        .await
        .unwrap_or(false)
}

/// What is known of a TLS handshake.
#[derive(Debug, Clone, Default)]
struct Hail {
    /// Fingerprint of the hello, where a rule asks for it.
    ja4: Option<String>,
}

/// `tls` is `None` without it.
async fn serve<S>(
    stream: S,
    peer: SocketAddr,
    state: Arc<State>,
    broken: Arc<AtomicBool>,
    tls: Option<Hail>,
    http2: bool,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, heard) = Tap::new(stream);
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        let (heard, broken) = (Arc::clone(&heard), Arc::clone(&broken));
        let tls = tls.clone();
        async move { state.meet(request, peer, tls, &heard, &broken).await }
    });
    let stream = TokioIo::new(stream);
    // What breaks a connection is the client's leaving or our own doing.
    if http2 {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .serve_connection(stream, service)
            .await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .title_case_headers(true)
            .serve_connection(stream, service)
            .await;
    }
}

impl State {
    fn since_start(&self) -> Duration {
        let passed = self.clock.now().duration_since(self.started_at);
        Duration::try_from(passed).unwrap_or_default()
    }

    /// Reads a request, finds the rule it meets, and does what that says.
    async fn meet(
        &self,
        request: hyper::Request<Incoming>,
        peer: SocketAddr,
        tls: Option<Hail>,
        heard: &Heard,
        broken: &AtomicBool,
    ) -> io::Result<hyper::Response<Sent>> {
        let Some(request) = read(request, peer, tls, heard).await else {
            let reply = Reply::new(413, "text/plain", "the body is larger than 1 MiB");
            return Ok(response(reply, End::Whole));
        };
        let met = lock(&self.rules).judge(&request, self.since_start());
        let (rule, action) =
            met.map_or((None, Action::Relay), |(name, action)| (Some(name), action));
        let reply = self.reply(&request, &action);
        self.remember(&request, rule, reply.reference_id.clone());
        match action {
            Action::Silence => pending().await,
            Action::Reset => {
                broken.store(true, Ordering::Relaxed);
                Err(io::Error::from(io::ErrorKind::ConnectionReset))
            }
            Action::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(response(reply, End::Whole))
            }
            Action::Truncate => Ok(response(reply, End::Cut)),
            Action::Stall => Ok(response(reply, End::Stall)),
            _ => Ok(response(reply, End::Whole)),
        }
    }

    fn reply(&self, request: &Request, action: &Action) -> Reply {
        let (id, now) = (self.ids.next(), self.clock.now());
        let front = lock(&self.front).clone();
        let scene = Scene {
            request,
            id,
            now,
            colo: front.colo(),
        };
        let origin = match action {
            _ if request.path() == "/cdn-cgi/trace"
                && matches!(front, Front::Cloudflare { .. }) =>
            {
                return trace(&scene);
            }
            Action::Page(page) => return page.render(&scene),
            Action::Answer {
                status,
                headers,
                body,
            } => {
                let mut reply = Reply::new(*status, "", body.clone());
                reply.headers.clone_from(headers);
                return reply;
            }
            Action::OriginFails(status) => self.partner.fail(*status),
            Action::OriginDenies => self.partner.deny(request),
            _ => self.partner.answer(request),
        };
        front.dress(origin, id, now)
    }

    fn remember(&self, request: &Request, rule: Option<String>, reference_id: Option<String>) {
        let seen = Seen {
            at: self.clock.now(),
            peer: request.peer,
            tls: request.tls,
            http: request.http,
            method: request.method.clone(),
            target: request.target.clone(),
            headers: request.headers.clone(),
            body: request
                .body
                .slice(..request.body.len().min(SEEN_BODY_BYTES_MAX)),
            body_bytes: request.body.len(),
            rule,
            reference_id,
        };
        let mut all = lock(&self.seen);
        if all.len() >= SEEN_MAX {
            all.pop_front();
        }
        all.push_back(seen);
        drop(all);
        self.count.send_modify(|count| *count += 1);
    }
}

/// `None`: the body is too large, or did not come.
async fn read(
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    tls: Option<Hail>,
    heard: &Heard,
) -> Option<Request> {
    let (head, body) = request.into_parts();
    let lines = header_lines(&lock(heard));
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    // The next request on this connection begins after this body.
    lock(heard).clear();
    let parsed = || {
        head.headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes());
                (name.to_string(), value.into_owned())
            })
            .collect()
    };
    let http = match head.version {
        hyper::Version::HTTP_2 => HttpVersion::H2,
        hyper::Version::HTTP_10 => HttpVersion::H1_0,
        _ => HttpVersion::H1_1,
    };
    let headers = lines
        .filter(|_| http != HttpVersion::H2)
        .unwrap_or_else(parsed);
    let host = head.headers.get("host").and_then(|host| host.to_str().ok());
    let host = host
        .or_else(|| {
            head.uri
                .authority()
                .map(hyper::http::uri::Authority::as_str)
        })
        .unwrap_or_default();
    Some(Request {
        peer,
        tls: tls.is_some(),
        ja4: tls.and_then(|tls| tls.ja4),
        http,
        method: head.method.to_string(),
        target: head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned(),
        host: host.to_owned(),
        headers,
        body: body.ok()?.to_bytes(),
    })
}

/// What the edge says of a caller, on every site behind it.
fn trace(scene: &Scene<'_>) -> Reply {
    let request = scene.request;
    let body = format!(
        "fl=1f1\nh={}\nip={}\nts={}.000\nvisit_scheme={}\nuag={}\ncolo={}\nhttp=http/{}\nloc=GB\n",
        request.host,
        request.peer.ip(),
        scene.now.as_second(),
        if request.tls { "https" } else { "http" },
        request.header("user-agent").unwrap_or_default(),
        scene.colo,
        request.http.as_str(),
    );
    let ray = scene.id.hex16();
    let mut reply = Reply::new(200, "text/plain", body)
        .with(&[("server", "cloudflare"), ("cache-control", "no-cache")]);
    reply.set("cf-ray", format!("{ray}-{}", scene.colo));
    reply.reference_id = Some(ray);
    reply
}

fn response(reply: Reply, end: End) -> hyper::Response<Sent> {
    let mut builder = hyper::Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    let sent = match end {
        End::Whole => reply.body,
        End::Cut | End::Stall => {
            builder = builder.header("content-length", reply.body.len().max(2));
            reply.body.slice(..reply.body.len() / 2)
        }
    };
    builder.body(Sent::new(sent, end)).unwrap_or_else(|_| {
        // A header of an own answer that HTTP can't carry: say so where it is seen at once.
        let why =
            Bytes::from_static(b"the rule's answer has a status or header that HTTP can't carry");
        let mut broken = hyper::Response::new(Sent::new(why, End::Whole));
        *broken.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        broken
    })
}
