//! One request and its answer over a connection that is already there.
//!
//! hyper reads the answer; its connection is driven in the run's own task, so that dropping the run
//! drops everything.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::Version;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::Gathered;
use super::failure::{Break, failure, one_line};
use super::frames::Frames;
use super::progress::{OVERHEAD_MAX, Progress, Reading};
use super::redirect::Next;
use super::request::Request;
use super::wire::Wire;
use crate::domain::cell::HttpOffer;
use crate::domain::observation::{Failure, FailureKind, HttpVersion, Phase};

/// Headers of an answer; more are refused.
const HEADERS_MAX: usize = 200;
/// Bytes of an answer's headers; more are refused.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// How hyper opens a connection over HTTP/2, as Akamai writes it; a test reads it off the wire.
const H2_FORM: &str = "2:0;4:2097152;5:16384;6:65536|5177345|0|m,s,a,p";

/// Which HTTP the two sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreed {
    Http1,
    Http2,
}

/// Sends the request, reads the head, and then the body unless the answer is a redirect to follow.
///
/// What was read is in `now.reading`, also when this fails or is dropped.
pub(super) async fn exchange<S>(
    stream: S,
    agreed: Agreed,
    request: &Request,
    body_bytes_max: usize,
    decide: impl FnOnce(u16, &[(String, String)]) -> Next,
    now: &mut Progress,
) -> Result<Next, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    now.enter(Phase::FirstByte);
    let (http2, sent) = (agreed == Agreed::Http2, now.sent());
    sent.header_order = Some(request.header_order(http2));
    sent.h2 = http2.then(|| H2_FORM.to_owned());
    match agreed {
        Agreed::Http1 => {
            let wire = Wire::new(stream, Some(request.http1()), now.meter.clone());
            let (mut sender, connection) = http1::Builder::new()
                .max_headers(HEADERS_MAX)
                .max_buf_size(HEADER_BYTES_MAX)
                .allow_obsolete_multiline_headers_in_responses(true)
                .allow_spaces_after_header_name_in_responses(true)
                .ignore_invalid_headers_in_responses(true)
                .handshake(TokioIo::new(wire))
                .await
                .map_err(|e| explain(&e, now))?;
            let mut tasks = Tasks::default();
            tasks.add(async move {
                // Its errors arrive with the answer.
                let _ = connection.await;
            });
            // Only the method matters here: it says whether a body follows.
            let mut shape = http::Request::new(Empty::<Bytes>::new());
            *shape.method_mut() = request.method.clone();
            let answer = tasks.run(sender.send_request(shape)).await;
            let answer = answer.map_err(|e| explain(&e, now))?;
            read(answer, tasks, sender, body_bytes_max, decide, now).await
        }
        Agreed::Http2 => {
            let outgoing = request.http2()?;
            let mut tasks = Tasks::default();
            now.meter.lock().frames = Some(Frames::default());
            let wire = Wire::new(stream, None, now.meter.clone());
            let (mut sender, connection) = http2::Builder::new(tasks.spawner())
                .max_header_list_size(HEADER_BYTES_MAX as u32)
                .handshake(TokioIo::new(wire))
                .await
                .map_err(|e| explain(&e, now))?;
            tasks.add(async move {
                let _ = connection.await;
            });
            let answer = tasks.run(sender.send_request(outgoing)).await;
            let answer = answer.map_err(|e| explain(&e, now))?;
            read(answer, tasks, sender, body_bytes_max, decide, now).await
        }
    }
}

async fn read<Sender>(
    answer: http::Response<Incoming>,
    mut tasks: Tasks,
    sender: Sender,
    body_bytes_max: usize,
    decide: impl FnOnce(u16, &[(String, String)]) -> Next,
    now: &mut Progress,
) -> Result<Next, Failure> {
    let (head, mut body) = answer.into_parts();
    // Over HTTP/2 the first bytes are the connection's own.
    let first_byte = match head.version {
        Version::HTTP_2 => None,
        _ => now.meter.lock().first_byte,
    };
    now.enter_at(Phase::Transfer, first_byte.unwrap_or_else(Instant::now));
    if head.headers.len() > HEADERS_MAX {
        return Err(too_many_headers(now));
    }
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    let all = |wanted: &'static str| {
        let wanted = move |(name, _): &&(String, String)| name == wanted;
        headers
            .iter()
            .filter(wanted)
            .map(|(_, value)| value.as_str())
    };
    let status = head.status.as_u16();
    let next = decide(status, &headers);
    if matches!(next, Next::Follow(_)) {
        now.leave();
        return Ok(next);
    }
    let gathered = Gathered::new(body_bytes_max, all("content-encoding"));
    let reading = now.reading.insert(Reading {
        http: match head.version {
            Version::HTTP_2 => HttpVersion::H2,
            Version::HTTP_10 => HttpVersion::H1_0,
            _ => HttpVersion::H1_1,
        },
        status,
        headers,
        body: gathered,
    });
    loop {
        match tasks.run(body.frame()).await {
            None => reading.body.end(),
            Some(Ok(frame)) => {
                let more = match frame.data_ref() {
                    Some(data) => {
                        now.meter.lock().body += data.len() as u64;
                        reading.body.push(data)
                    }
                    None => true,
                };
                if more {
                    continue;
                }
                if body.is_end_stream() {
                    reading.body.end();
                }
            }
            Some(Err(error)) => return Err(explain(&error, now)),
        }
        break;
    }
    now.leave();
    // Lets the connection say goodbye (close_notify, GOAWAY), and waits for nothing.
    drop((sender, body));
    tasks.nudge().await;
    Ok(next)
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
type Queue = Arc<Mutex<Vec<Task>>>;

/// The futures that a connection lives by, polled by the run that owns it.
#[derive(Default)]
struct Tasks {
    running: Vec<Task>,
    queue: Queue,
}

impl Tasks {
    fn add(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.push(Box::pin(task));
    }

    fn spawner(&self) -> Spawner {
        Spawner(self.queue.clone())
    }

    /// Runs `work` to its end, and the tasks along with it.
    async fn run<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|cx| {
            // Before the tasks, so that they find what it asks of them; after them, so that it finds
            // what they have done.
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            self.poll(cx);
            work.as_mut().poll(cx)
        })
        .await
    }

    async fn nudge(&mut self) {
        std::future::poll_fn(|cx| {
            self.poll(cx);
            Poll::Ready(())
        })
        .await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        loop {
            self.running
                .retain_mut(|task| task.as_mut().poll(cx).is_pending());
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.is_empty() {
                return;
            }
            self.running.append(&mut queue);
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        // Tasks hold the queue, so those that are still in it would keep each other alive.
        let queued =
            std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner));
        drop(queued);
    }
}

/// Takes what hyper wants to spawn.
#[derive(Clone)]
struct Spawner(Queue);

impl<F> Executor<F> for Spawner
where
    F: Future + Send + 'static,
{
    fn execute(&self, task: F) {
        let task = Box::pin(async move {
            task.await;
        });
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push(task);
    }
}

/// Why an exchange broke, from the meter first: it saw the connection itself.
fn explain(error: &hyper::Error, now: &Progress) -> Failure {
    let (phase, peer) = (now.phase(), now.peer.as_str());
    let fail = |kind, message: String| failure(phase, kind, format!("{peer} {message}"));
    let meter = now.meter.lock();
    if meter.is_over() {
        let around = meter.overhead();
        return fail(
            FailureKind::Limit,
            format!(
                "sent {around} bytes around {} bytes of content (heads, interim answers, control frames, \
                 chunk sizes): edgewatch's limit is {} KiB",
                meter.body,
                OVERHEAD_MAX / 1024
            ),
        );
    }
    if error.is_parse_too_large() {
        // The first line is none.
        let many = meter.head_lines > HEADERS_MAX;
        drop(meter);
        return if many {
            too_many_headers(now)
        } else {
            too_long_a_head(now)
        };
    }
    let when = match (&now.reading, meter.read, &meter.frames) {
        (Some(reading), ..) => broken_body(reading),
        // What comes first over HTTP/2 is the connection's own chatter, so its size says nothing.
        (None, 0, _) | (None, _, Some(_)) => "without an answer".to_owned(),
        (None, n, None) => format!("after {n} bytes, before the answer's headers were complete"),
    };
    // The server's own reason survives whatever becomes of the connection.
    if let Some(reason) = meter.frames.as_ref().and_then(Frames::goaway) {
        let message = format!("ended the HTTP/2 connection {when} ({reason})");
        return fail(FailureKind::Closed, message);
    }
    if let Some(broke) = &meter.broke {
        return broke.told(phase, peer, &when);
    }
    let malformed = source::<io::Error>(error)
        .is_some_and(|e| !matches!(e.kind(), io::ErrorKind::UnexpectedEof));
    let ended = meter.ended;
    let quoted = unreadable(&meter.start);
    drop(meter);
    if let Some(h2) = source::<h2::Error>(error) {
        return explain_h2(h2, ended, &when, now);
    }
    if ended && !error.is_parse() && !malformed {
        return fail(FailureKind::Closed, format!("closed the connection {when}"));
    }
    if phase == Phase::Transfer {
        let why = error
            .source()
            .map_or_else(|| error.to_string(), ToString::to_string);
        let why = one_line(&why, 120);
        return fail(
            FailureKind::Protocol,
            format!("sent a body that breaks the rules of HTTP/1.1: {why}"),
        );
    }
    fail(
        FailureKind::Protocol,
        format!("answered with something that is not HTTP/1.1{quoted}"),
    )
}

/// The line of a head that could not be read, to be quoted.
fn unreadable(start: &[u8]) -> String {
    let text = String::from_utf8_lossy(start);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let is_header = |line: &&str| {
        line.split_once(':').is_some_and(|(name, value)| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_graphic())
                && !value.chars().any(|c| c.is_control() && c != '\t')
        })
    };
    let line = if first.starts_with("HTTP/") {
        let mut headers = lines.take_while(|line| !line.is_empty());
        headers.find(|line| !is_header(line)).unwrap_or(first)
    } else {
        first
    };
    match one_line(line, 80).trim() {
        "" => String::new(),
        line => format!(": {line:?}"),
    }
}

fn broken_body(reading: &Reading) -> String {
    let n = reading.body.wire_bytes();
    format!("after {n} bytes of the body, before its end")
}

fn explain_h2(error: &h2::Error, ended: bool, when: &str, now: &Progress) -> Failure {
    let (phase, peer) = (now.phase(), now.peer.as_str());
    let fail = |kind, message: String| failure(phase, kind, format!("{peer} {message}"));
    let reason = error
        .reason()
        .map_or_else(|| "no reason given".to_owned(), |r| format!("{r:?}"));
    if let Some(io) = error.get_io() {
        if io.kind() == io::ErrorKind::UnexpectedEof || ended {
            return fail(FailureKind::Closed, format!("closed the connection {when}"));
        }
        return Break::of(io, false).told(phase, peer, when);
    }
    if error.is_remote() && error.is_reset() {
        return fail(
            FailureKind::Reset,
            format!("reset the HTTP/2 stream {when} ({reason})"),
        );
    }
    if error.is_remote() {
        return fail(
            FailureKind::Closed,
            format!("ended the HTTP/2 connection {when} ({reason})"),
        );
    }
    let message = match phase {
        Phase::Transfer => format!("sent a body that breaks the rules of HTTP/2 ({reason})"),
        _ => format!(
            "did not answer with HTTP/2 as it should be, or with more than \
             {HEADER_BYTES_MAX} bytes of headers ({reason})"
        ),
    };
    fail(FailureKind::Protocol, message)
}

fn too_many_headers(now: &Progress) -> Failure {
    our_limit(now, &format!("more than {HEADERS_MAX} headers"))
}

fn too_long_a_head(now: &Progress) -> Failure {
    let bytes = format!("more than {HEADER_BYTES_MAX} bytes before the end of its headers");
    our_limit(now, &bytes)
}

fn our_limit(now: &Progress, what: &str) -> Failure {
    let message = format!(
        "{} answered with {what}, which is edgewatch's limit",
        now.peer
    );
    failure(Phase::FirstByte, FailureKind::Limit, message)
}

/// The first error of a type in the chain of sources.
fn source<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What ALPN agreed on, or the failure when it is not what the client insists on.
pub(super) fn agree(offer: HttpOffer, alpn: Option<&str>, peer: &str) -> Result<Agreed, Failure> {
    match (offer, alpn) {
        (_, Some("h2")) => Ok(Agreed::Http2),
        (HttpOffer::Http2, other) => {
            let message = format!(
                "{peer} did not agree on HTTP/2 but on {}, and this client offers HTTP/2 only",
                other.unwrap_or("nothing")
            );
            Err(failure(Phase::Tls, FailureKind::HttpVersion, message))
        }
        _ => Ok(Agreed::Http1),
    }
}
