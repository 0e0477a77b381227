//! What a run knows so far: kept outside its future, so that a timeout loses none of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::body::Gathered;
use super::failure::{Break, failure, limit};
use super::frames::Frames;
use crate::domain::observation::{
    Failure, FailureKind, Hop, HttpVersion, Phase, Phases, Route, TlsFacts,
};
use crate::domain::sent::{Sent, Stack};

/// Bytes that are no content: heads, interim answers, control frames, chunk sizes.
pub(super) const OVERHEAD_MAX: u64 = 512 * 1024;
/// Bytes kept of what came first, to quote it.
const START_MAX: usize = 1024;

/// The state of one run.
#[derive(Debug)]
pub(super) struct Progress {
    /// When the whole run must be over.
    pub(super) deadline: Instant,
    pub(super) phases: Phases,
    pub(super) route: Route,
    pub(super) tls: Option<TlsFacts>,
    pub(super) sent: Option<Sent>,
    pub(super) hops: Vec<Hop>,
    /// The answer of the last hop, as far as it was read.
    pub(super) reading: Option<Reading>,
    /// Whom we are waiting for, as messages name it.
    pub(super) peer: String,
    /// The proxy that we wait for, and what for; `None` when it is the target.
    pub(super) proxy: Option<Waiting>,
    pub(super) meter: Meter,
    phase: Phase,
    /// When the phase began; `None` between phases.
    since: Option<Instant>,
}

/// How far we are with a proxy.
#[derive(Debug)]
pub(super) struct Waiting {
    /// `host:port`.
    pub(super) proxy: String,
    /// The tunnel that it was asked for; `None`: we are not connected to it yet.
    pub(super) asked: Option<String>,
}

/// An answer whose head is read, and whose body is being read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) http: HttpVersion,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Gathered,
}

impl Progress {
    pub(super) fn new(deadline: Instant) -> Self {
        Self {
            deadline,
            phases: Phases::default(),
            route: Route::default(),
            tls: None,
            sent: None,
            hops: Vec::new(),
            reading: None,
            peer: String::new(),
            proxy: None,
            meter: Meter::default(),
            phase: Phase::Dns,
            since: None,
        }
    }

    /// Forgets what belongs to the hop before.
    pub(super) fn start_hop(&mut self) {
        self.phases = Phases::default();
        self.route = Route::default();
        self.tls = None;
        self.sent = None;
        self.reading = None;
        self.proxy = None;
        self.meter = Meter::default();
        self.phase = Phase::Dns;
        self.since = None;
    }

    /// What was sent so far, to be filled in.
    pub(super) fn sent(&mut self) -> &mut Sent {
        self.sent.get_or_insert(Sent {
            stack: Stack::Native,
            ja4: None,
            ja4_fresh: None,
            greeting: None,
            header_order: None,
            h2: None,
        })
    }

    /// Ends the phase that is running, and begins another.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.enter_at(phase, Instant::now());
    }

    pub(super) fn enter_at(&mut self, phase: Phase, at: Instant) {
        self.leave_at(at);
        self.phase = phase;
        self.since = Some(at);
    }

    pub(super) fn leave(&mut self) {
        self.leave_at(Instant::now());
    }

    fn leave_at(&mut self, at: Instant) {
        let Some(since) = self.since.take() else {
            return;
        };
        let spent = match self.phase {
            Phase::Dns => &mut self.phases.dns,
            Phase::Connect => &mut self.phases.connect,
            Phase::Tls => &mut self.phases.tls,
            Phase::FirstByte => &mut self.phases.first_byte,
            Phase::Transfer => &mut self.phases.transfer,
        };
        // Two lookups (a proxy's and the target's) add up.
        *spent = Some(spent.unwrap_or_default() + at.saturating_duration_since(since));
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// What to say when the time of the whole run is over.
    pub(super) fn timed_out(&self, timeout: Duration) -> Failure {
        let (peer, within) = (&self.peer, limit(timeout));
        if let Some(Waiting { proxy, asked }) = &self.proxy {
            let message = match asked {
                Some(goal) => format!(
                    "proxy {proxy} accepted the connection and did not open the tunnel to {goal} within {within}"
                ),
                None if self.phase == Phase::Dns => {
                    format!("the name servers did not answer for proxy {proxy} within {within}")
                }
                None => format!("proxy {proxy} did not accept the connection within {within}"),
            };
            return failure(self.phase, FailureKind::Proxy, message);
        }
        let message = match self.phase {
            Phase::Dns => format!("the name servers did not answer for {peer} within {within}"),
            Phase::Connect => {
                let others = match self.route.failed.len() {
                    0 => String::new(),
                    1 => ", after another address had failed".to_owned(),
                    n => format!(", after {n} other addresses had failed"),
                };
                format!("{peer} did not accept the connection within {within}{others}")
            }
            Phase::Tls => format!("{peer} did not finish the TLS handshake within {within}"),
            Phase::FirstByte => match self.meter.lock().read {
                0 => format!("{peer} accepted the connection but sent nothing within {within}"),
                n => format!("{peer} sent {n} bytes but no complete answer within {within}"),
            },
            Phase::Transfer => {
                let n = self.reading.as_ref().map_or(0, |r| r.body.wire_bytes());
                format!("{peer} sent {n} bytes of the body and did not finish it within {within}")
            }
        };
        failure(self.phase, FailureKind::Timeout, message)
    }
}

/// What went over one connection, seen above TLS; shared with the connection's future.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter(Arc<Mutex<Readings>>);

#[derive(Debug, Default)]
pub(super) struct Readings {
    pub(super) first_byte: Option<Instant>,
    /// Bytes read.
    pub(super) read: u64,
    /// The peer has ended its side.
    pub(super) ended: bool,
    /// How reading broke.
    pub(super) broke: Option<Break>,
    /// In the handshake the server asked for a certificate of the client, and got none.
    pub(super) asked_for_certificate: bool,
    /// Bytes of the body that were taken so far, before decoding.
    pub(super) body: u64,
    /// The first bytes over HTTP/1.1, to be quoted.
    pub(super) start: Vec<u8>,
    /// Lines of the longest head over HTTP/1.1.
    pub(super) head_lines: usize,
    lines: usize,
    line_is_empty: bool,
    /// Over HTTP/2: what its frames hold.
    pub(super) frames: Option<Frames>,
}

impl Readings {
    /// Notes bytes that were read.
    pub(super) fn note(&mut self, bytes: &[u8]) {
        self.first_byte.get_or_insert_with(Instant::now);
        self.read += bytes.len() as u64;
        if let Some(frames) = &mut self.frames {
            frames.feed(bytes);
        } else {
            let room = START_MAX.saturating_sub(self.start.len());
            self.start
                .extend_from_slice(&bytes[..bytes.len().min(room)]);
            if self.body == 0 {
                self.count_lines(bytes);
            }
        }
    }

    /// A head ends with an empty line, and then another may begin: what comes before the answer proper has one too.
    fn count_lines(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' if self.line_is_empty => self.lines = 0,
                b'\n' => {
                    self.lines += 1;
                    self.head_lines = self.head_lines.max(self.lines);
                    self.line_is_empty = true;
                }
                b'\r' => {}
                _ => self.line_is_empty = false,
            }
        }
    }

    /// Bytes that are no content.
    pub(super) fn overhead(&self) -> u64 {
        match &self.frames {
            Some(frames) => frames.overhead,
            None => self.read.saturating_sub(self.body),
        }
    }

    /// Whether there is more around the content than anybody needs; small pieces need twice their size.
    pub(super) fn is_over(&self) -> bool {
        self.overhead() > OVERHEAD_MAX + 2 * self.body
    }
}

impl Meter {
    pub(super) fn lock(&self) -> MutexGuard<'_, Readings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
