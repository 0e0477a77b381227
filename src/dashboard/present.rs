//! What is now: the last run of every cell, and the open incidents, as the loop has them.
//!
//! The loop writes it in passing, and pages read it from here and not from the store: a page of now costs no query
//! and stays right while the store is locked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::domain::cell::CellKey;
use crate::domain::incident::{Incident, State};
use crate::domain::judged::Judged;
use crate::domain::past::PastRun;
use crate::domain::plan::Plan;
use crate::domain::verdict::Kind;

/// The last run of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// When it began, UTC.
    pub at: Timestamp,
    pub kind: Kind,
    /// Since when it works, or fails; `None`: since before what is known.
    pub since: Option<Timestamp>,
    /// `None`: not kept.
    pub took: Option<Duration>,
    pub status: Option<u16>,
    /// The vendor's own number or word.
    pub code: Option<String>,
    pub reference_id: Option<String>,
}

impl From<&PastRun> for Cell {
    fn from(run: &PastRun) -> Self {
        Self {
            at: run.at,
            kind: run.kind,
            since: None,
            took: None,
            status: run.status,
            code: run.code.clone(),
            reference_id: run.reference_id.clone(),
        }
    }
}

/// How often what pages show has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seq {
    /// Runs ended, or the plan changed.
    pub board: u64,
    /// Incidents changed, or the plan did.
    pub incidents: u64,
}

/// Everything at one moment.
#[derive(Debug, Clone)]
pub struct Look {
    pub plan: Arc<Plan>,
    index: Arc<HashMap<CellKey, usize>>,
    cells: Vec<Option<Arc<Cell>>>,
    /// Open ones, oldest first.
    pub incidents: Vec<Arc<Incident>>,
    pub seq: Seq,
}

impl Look {
    /// Of a plan of which nothing is known yet.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let keys = plan.every_cell().map(|(_, cell)| cell);
        let index: HashMap<CellKey, usize> = keys.zip(0..).collect();
        Self {
            cells: vec![None; index.len()],
            index: Arc::new(index),
            plan,
            incidents: Vec::new(),
            seq: Seq::default(),
        }
    }

    /// As a store knows it.
    #[must_use]
    pub fn of(plan: Arc<Plan>, runs: &[PastRun], incidents: Vec<Incident>) -> Self {
        let mut look = Self::new(plan);
        for run in runs {
            look.put(&run.cell, Cell::from(run));
        }
        for incident in incidents {
            look.incident(incident);
        }
        look
    }

    /// The last run of a cell; `None`: none is known.
    #[must_use]
    pub fn cell(&self, cell: &CellKey) -> Option<&Cell> {
        self.cells.get(*self.index.get(cell)?)?.as_deref()
    }

    fn put(&mut self, key: &CellKey, cell: Cell) {
        if let Some(place) = self.index.get(key) {
            self.cells[*place] = Some(Arc::new(cell));
        }
    }

    fn incident(&mut self, incident: Incident) {
        self.incidents
            .retain(|known| known.number != incident.number);
        if incident.state == State::Open {
            self.incidents.push(Arc::new(incident));
            self.incidents.sort_by_key(|known| known.number);
        }
    }
}

/// Shared by the loop, which writes, and by pages, which look.
#[derive(Debug)]
pub struct Present {
    look: Mutex<Look>,
    changed: watch::Sender<Seq>,
}

impl Present {
    #[must_use]
    pub fn new(look: Look) -> Self {
        Self {
            changed: watch::Sender::new(look.seq),
            look: Mutex::new(look),
        }
    }

    /// What is now; copies pointers only.
    #[must_use]
    pub fn look(&self) -> Look {
        self.lock().clone()
    }

    /// Hears of every change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Seq> {
        self.changed.subscribe()
    }

    /// A run ended.
    pub fn ended(&self, judged: &Judged) {
        let (seen, verdict) = (&judged.observation, &judged.verdict);
        let mut look = self.lock();
        let before = look.cell(&seen.cell);
        // Runs end in another order than they begin.
        if before.is_some_and(|before| before.at > seen.started_at) {
            return;
        }
        let since = match before {
            Some(before) if before.kind.works() == verdict.kind.works() => before.since,
            _ => Some(seen.started_at),
        };
        let cell = Cell {
            at: seen.started_at,
            kind: verdict.kind,
            since,
            took: Some(seen.took),
            status: seen.answer.as_ref().map(|answer| answer.status),
            code: verdict.code.clone(),
            reference_id: verdict.reference_id.clone(),
        };
        look.put(&seen.cell, cell);
        look.seq.board += 1;
        self.tell(look);
    }

    /// What ran before the loop began; what it knows itself is newer.
    pub fn remember(&self, before: &Look) {
        let mut look = self.lock();
        for (key, place) in before.index.iter() {
            if let Some(cell) = &before.cells[*place]
                && look.cell(key).is_none()
            {
                look.put(key, Cell::clone(cell));
            }
        }
        look.seq.board += 1;
        self.tell(look);
    }

    /// An incident changed.
    pub fn incident(&self, incident: &Incident) {
        let mut look = self.lock();
        look.incident(incident.clone());
        look.seq.incidents += 1;
        self.tell(look);
    }

    /// Another plan is in force; what is known of cells that it still has stays known.
    pub fn replaced(&self, plan: Arc<Plan>) {
        let mut look = self.lock();
        let mut next = Look::new(plan);
        for (key, place) in look.index.iter() {
            if let (Some(cell), Some(new)) = (&look.cells[*place], next.index.get(key)) {
                next.cells[*new] = Some(Arc::clone(cell));
            }
        }
        next.incidents = std::mem::take(&mut look.incidents);
        next.seq = Seq {
            board: look.seq.board + 1,
            incidents: look.seq.incidents + 1,
        };
        *look = next;
        self.tell(look);
    }

    fn tell(&self, look: MutexGuard<'_, Look>) {
        let seq = look.seq;
        drop(look);
        self.changed.send_replace(seq);
    }

    fn lock(&self) -> MutexGuard<'_, Look> {
        self.look.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
