//! What a run knows so far: kept outside its future, so that a timeout loses none of it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::body::Gathered;
use super::failure::{failure, limit};
use crate::domain::observation::{
    Failure, FailureKind, Hop, HttpVersion, Phase, Phases, Route, TlsFacts,
};

/// Bytes read before the head of an answer is complete.
const BEFORE_BODY_MAX: u64 = 512 * 1024;

/// The state of one run.
#[derive(Debug)]
pub(super) struct Progress {
    /// When the whole run must be over.
    pub(super) deadline: Instant,
    pub(super) phases: Phases,
    pub(super) route: Route,
    pub(super) tls: Option<TlsFacts>,
    pub(super) hops: Vec<Hop>,
    /// The answer of the last hop, as far as it was read.
    pub(super) reading: Option<Reading>,
    /// Whom we are waiting for, as messages name it.
    pub(super) peer: String,
    pub(super) meter: Meter,
    phase: Phase,
    /// When the phase began; `None` between phases.
    since: Option<Instant>,
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
            hops: Vec::new(),
            reading: None,
            peer: String::new(),
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
        self.reading = None;
        self.meter = Meter::default();
        self.phase = Phase::Dns;
        self.since = None;
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
    pub(super) broke: Option<io::ErrorKind>,
    /// From here on the body's own bound holds.
    pub(super) head_is_read: bool,
}

impl Readings {
    /// Whether the head is too long, interim answers included, of which there may be any number.
    pub(super) fn is_over(&self) -> bool {
        !self.head_is_read && self.read > BEFORE_BODY_MAX
    }
}

impl Meter {
    pub(super) fn lock(&self) -> MutexGuard<'_, Readings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
