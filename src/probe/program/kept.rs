//! Programs that are kept between requests: a JVM that is warm asks in a fiftieth of the time that a cold one takes.
//!
//! One process a client, which answers one request after the other by the gate that it was started with. It says who it is
//! first, and ends with its input. Whatever it does wrong ends it, and the next run gets a new one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::child::{Around, Talker};
use super::contract;
use super::gate::Gate;
use crate::domain::cell::{ClientName, Keep, Program};
use crate::domain::plan::Plan;

/// For a program that starts to say who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(15);
/// Bytes of that.
const HELLO_MAX: usize = 16 * 1024;

type Place = Arc<Mutex<Option<Worker>>>;

/// The programs of a plan that are kept, started when they are needed first.
pub(super) struct Kept(HashMap<ClientName, Slot>);

struct Slot {
    keep: Keep,
    program: Program,
    place: Place,
}

/// A program that waits for its next request.
pub(in crate::probe) struct Worker {
    pub(super) talker: Talker,
    pub(super) gate: Gate,
    /// Its own, as it said.
    pub(super) version: String,
    runs: u32,
    used_at: Instant,
}

/// A worker that is one run's, or why there is none.
pub(in crate::probe) type Leased = Result<OwnedMutexGuard<Option<Worker>>, String>;

impl Kept {
    pub(super) fn new(plan: &Plan) -> Self {
        let kept = plan.clients.iter().filter_map(|client| {
            let program = client.program.as_ref()?;
            let slot = Slot {
                keep: program.keep?,
                program: program.clone(),
                place: Place::default(),
            };
            Some((client.name.clone(), slot))
        });
        Self(kept.collect())
    }

    /// Waits until the client's program is free, and starts it where it is not there; `None`: it is not kept.
    pub(super) async fn lease(&self, client: &ClientName, home: &Path) -> Option<Leased> {
        let slot = self.0.get(client)?;
        let mut place = Arc::clone(&slot.place).lock_owned().await;
        if let Some(worker) = &mut *place
            && (worker.runs >= slot.keep.runs || worker.talker.has_ended())
        {
            *place = None;
        }
        if place.is_none() {
            match Worker::start(&slot.program, home).await {
                Ok(worker) => *place = Some(worker),
                Err(why) => return Some(Err(why)),
            }
        }
        if let Some(worker) = &mut *place {
            worker.runs += 1;
            worker.used_at = Instant::now();
            worker.gate.forget().await;
        }
        end_when_idle(Arc::downgrade(&slot.place), slot.keep.idle);
        Some(Ok(place))
    }
}

impl Worker {
    /// Whether it served before, and is no more.
    pub(super) fn is_dead(&mut self) -> bool {
        self.runs > 1 && self.talker.has_ended()
    }

    /// Starts a program and hears its hello.
    ///
    /// # Errors
    /// A sentence on what it did in place of that.
    pub(super) async fn start(program: &Program, home: &Path) -> Result<Self, String> {
        let gate = Gate::open().await.map_err(|failed| failed.message)?;
        let around = Around {
            home,
            variables: &program.variables,
            gate: gate.port,
        };
        let mut talker = Talker::start(&program.command, around)?;
        let said = tokio::time::timeout(HELLO_WITHIN, talker.line(HELLO_MAX)).await;
        let within = HELLO_WITHIN.as_secs();
        let line = said.map_err(|_| format!("did not say hello within {within} s"))??;
        Ok(Self {
            version: contract::greeted(&line)?,
            talker,
            gate,
            runs: 0,
            used_at: Instant::now(),
        })
    }
}

/// Lets a program go that nobody used for so long.
fn end_when_idle(place: Weak<Mutex<Option<Worker>>>, idle: Duration) {
    tokio::spawn(async move {
        tokio::time::sleep(idle).await;
        let Some(place) = place.upgrade() else {
            return;
        };
        let mut worker = place.lock().await;
        if worker.as_ref().is_some_and(|w| w.used_at.elapsed() >= idle) {
            *worker = None;
        }
    });
}
