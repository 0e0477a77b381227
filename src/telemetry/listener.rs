//! Serves `/metrics`, `/healthz`, `/readyz` and `/status` over plain HTTP.
//!
//! Metrics are read where they lie. Health is asked of the loop itself: an answer is the proof that it
//! turns, and no answer within [`PATIENCE`] is the finding. There is no password, so it listens on
//! loopback unless the operator says otherwise; and because a browser on this host can be made to ask
//! loopback addresses under a foreign name, a request must then name this host.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::exposition;
use super::health::{self, Check};
use super::metrics::Metrics;
use super::vitals::Vitals;
use crate::clock;
use crate::domain::plan::Listen;

/// The loop answers within this, or it does not turn.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// For the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// For a connection, whatever comes over it.
const CONNECTION_MAX: Duration = Duration::from_secs(300);
/// Connections at once; scrapers are few, and one more takes the place of the one that says nothing for longest.
const CONNECTIONS_MAX: usize = 64;
/// After a connection could not be accepted: most likely there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(200);

const INDEX: &str = "\
/metrics   numbers, for Prometheus
/healthz   200 while runs are made: a restart may mend what is not
/readyz    200 while besides the configuration is in force, the store written and messages delivered
/status    all of it as JSON, as `edgewatch status` reads it
";

/// A question to the loop: how are you?
pub type Question = oneshot::Sender<Vitals>;

/// An address that is taken, and not served yet.
#[derive(Debug)]
pub struct Bound {
    socket: TcpListener,
    address: SocketAddr,
    exposed: Arc<AtomicBool>,
}

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    exposed: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

/// Takes the address.
///
/// # Errors
/// A sentence with the address.
pub async fn bind(listen: &Listen) -> Result<Bound, String> {
    let failed = |e: std::io::Error| format!("can't listen on {}: {e}", listen.address);
    let socket = TcpListener::bind(listen.address).await.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok(Bound {
        socket,
        address,
        exposed: Arc::new(AtomicBool::new(listen.exposed)),
    })
}

impl Bound {
    /// Begins to serve.
    #[must_use]
    pub fn serve(self, metrics: Arc<Metrics>, questions: mpsc::Sender<Question>) -> Listener {
        let address = self.address;
        tracing::info!("http://{address} has /metrics, /healthz, /readyz and /status");
        let server = Arc::new(Server {
            metrics,
            questions,
            exposed: Arc::clone(&self.exposed),
        });
        Listener {
            address,
            exposed: self.exposed,
            task: tokio::spawn(accept(self.socket, server)),
        }
    }
}

impl Listener {
    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves no more, and has given the address back when this returns.
    pub async fn stop(mut self) {
        self.task.abort();
        // Cancelled at its next await, which is where it stands.
        let _ = (&mut self.task).await;
    }

    /// Whether other names than this host's are answered from now on.
    pub fn set_exposed(&self, exposed: bool) {
        self.exposed.store(exposed, Ordering::Relaxed);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Server {
    metrics: Arc<Metrics>,
    questions: mpsc::Sender<Question>,
    exposed: Arc<AtomicBool>,
}

async fn accept(socket: TcpListener, server: Arc<Server>) {
    // Dropped with this task, and so are the connections.
    let mut connections = JoinSet::new();
    let mut open: VecDeque<Open> = VecDeque::new();
    loop {
        let stream = match socket.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("a connection for metrics was not accepted: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        open.retain(|open| !open.stop.is_finished());
        if open.len() >= CONNECTIONS_MAX {
            // Whoever says nothing for longest gives way: many slow ones must not keep out one that asks.
            let idle = open
                .iter()
                .position(|open| !open.asks.load(Ordering::Relaxed));
            let Some(oldest) = open.remove(idle.unwrap_or_default()) else {
                continue;
            };
            oldest.stop.abort();
        }
        let asks = Arc::new(AtomicBool::new(false));
        let connection = connection(stream, Arc::clone(&server), Arc::clone(&asks));
        let stop = connections.spawn(async move {
            let _ = tokio::time::timeout(CONNECTION_MAX, connection).await;
        });
        open.push_back(Open { asks, stop });
    }
}

/// A connection.
struct Open {
    /// A question came over it that is being answered.
    asks: Arc<AtomicBool>,
    stop: AbortHandle,
}

async fn connection(stream: TcpStream, server: Arc<Server>, asks: Arc<AtomicBool>) {
    let service = service_fn(move |request| {
        let (server, asks) = (Arc::clone(&server), Arc::clone(&asks));
        async move {
            asks.store(true, Ordering::Relaxed);
            let answer = server.answer(&request).await;
            asks.store(false, Ordering::Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    // A client that breaks off is its own affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

type Answer = Response<Full<Bytes>>;

impl Server {
    async fn answer(&self, request: &Request<Incoming>) -> Answer {
        let header = |name| {
            request
                .headers()
                .get(name)
                .and_then(|v: &HeaderValue| v.to_str().ok())
        };
        // Two names: whoever stands between us and the browser may have looked at the other (RFC 9112 section 3.2).
        if request.headers().get_all(HOST).iter().count() > 1 {
            let text = "one Host header is enough\n";
            return plain(StatusCode::BAD_REQUEST, text.to_owned());
        }
        let exposed = self.exposed.load(Ordering::Relaxed);
        if !exposed && !header(HOST).is_some_and(names_this_host) {
            let text = "ask for localhost or a loopback address; other names are refused\n";
            return plain(StatusCode::FORBIDDEN, text.to_owned());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET and HEAD\n".to_owned(),
            );
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match request.uri().path() {
            "/metrics" => {
                let text = self.metrics.text();
                if exposition::wants_open_metrics(header(ACCEPT)) {
                    whole(StatusCode::OK, exposition::OPEN_METRICS, text)
                } else {
                    whole(StatusCode::OK, exposition::PLAIN, exposition::plain(&text))
                }
            }
            "/healthz" => self.health(health::alive).await,
            "/readyz" => {
                self.health(|vitals| health::ready(vitals, clock::now()))
                    .await
            }
            "/status" => match self.ask().await {
                Some(vitals) => whole(
                    StatusCode::OK,
                    "application/json",
                    format!("{:#}\n", vitals.to_json()),
                ),
                None => plain(StatusCode::SERVICE_UNAVAILABLE, checks(&[no_answer()])),
            },
            "/" => plain(StatusCode::OK, INDEX.to_owned()),
            _ => plain(StatusCode::NOT_FOUND, format!("there is only\n{INDEX}")),
        }
    }

    async fn health(&self, rule: impl Fn(&Vitals) -> Vec<Check>) -> Answer {
        let found = match self.ask().await {
            Some(vitals) => {
                let mut found = vec![Check {
                    name: "loop",
                    ok: true,
                    text: "answers".to_owned(),
                }];
                found.extend(rule(&vitals));
                found
            }
            None => vec![no_answer()],
        };
        let status = if found.iter().all(|check| check.ok) {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        plain(status, checks(&found))
    }

    /// How the loop is, from the loop; `None`: it does not turn.
    async fn ask(&self) -> Option<Vitals> {
        let (reply, answer) = oneshot::channel();
        // Full: those who asked before are still waiting, and so would we.
        self.questions.try_send(reply).ok()?;
        tokio::time::timeout(PATIENCE, answer).await.ok()?.ok()
    }
}

fn no_answer() -> Check {
    Check {
        name: "loop",
        ok: false,
        text: format!("no answer within {} s", PATIENCE.as_secs()),
    }
}

/// A line each: `ok   store: 12 rows written`.
fn checks(found: &[Check]) -> String {
    let mut text = String::new();
    for check in found {
        let word = if check.ok { "ok  " } else { "FAIL" };
        // Writing to a string can't fail.
        let _ = writeln!(text, "{word} {}: {}", check.name, check.text);
    }
    text
}

/// Whether a `Host` header is a loopback address or `localhost`, with or without a port.
fn names_this_host(host: &str) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    let name = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn plain(status: StatusCode, text: String) -> Answer {
    whole(status, "text/plain; charset=utf-8", text)
}

fn whole(status: StatusCode, kind: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_host_are_answered() {
        for (host, expected) in [
            ("127.0.0.1:9464", true),
            ("127.0.0.7", true),
            ("[::1]:9464", true),
            ("localhost:9464", true),
            ("LOCALHOST", true),
            ("localhost.evil.example", false),
            ("rebound.example:9464", false),
            ("10.0.0.1:9464", false),
            ("", false),
        ] {
            assert_eq!(names_this_host(host), expected, "{host:?}");
        }
    }
}
