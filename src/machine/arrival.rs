//! Sorts runs by when they are heard of: at once, kept somewhere on their way, or so late that they are history.
//!
//! A run that was kept on its way saw what may be over, so it neither opens an incident nor ends one. Such runs are
//! gathered as a backlog, each at its own time, whatever the order in which they come and however often; once no more
//! come, the backlog says of each cell what the newest showed ([`Late`]). What follows from that is the monitor's.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::board::events::{Judged, Late};
use crate::domain::cell::CellKey;
use crate::domain::moment::later;
use crate::domain::plan::Plan;
use crate::domain::probe::Schedule;
use crate::domain::verdict::Kind;

/// A run that is heard of so long after its end, or later, was kept somewhere on its way.
///
/// Runs of this process are heard of at once, however long they take, unless it was stopped meanwhile.
const KEPT: Duration = Duration::from_secs(10);

/// The newest of a cell still says how it is when it is not older than this, or one and a half intervals.
const TELLING: Duration = Duration::from_secs(120);

/// When no more has come for so long, all has come.
const DRAINED: Duration = Duration::from_secs(5);

/// Runs of one cell that a backlog holds, the newest.
const RUNS_MAX: usize = 256;

/// Whether a run was kept on its way, being heard of only now.
pub(super) fn was_kept(judged: &Judged, now: Timestamp) -> bool {
    let seen = &judged.observation;
    later(later(seen.started_at, seen.took), KEPT) < now
}

/// Runs that were kept on their way, by their own time.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    cells: BTreeMap<CellKey, BTreeMap<Timestamp, Kind>>,
    /// When it counts as complete; `None` while there is none.
    pub(super) complete_at: Option<Timestamp>,
}

impl Backlog {
    /// Puts a run in its place.
    pub(super) fn add(&mut self, judged: &Judged, now: Timestamp) {
        let seen = &judged.observation;
        let runs = match self.cells.get_mut(&seen.cell) {
            Some(runs) => runs,
            None => self.cells.entry(seen.cell.clone()).or_default(),
        };
        runs.insert(seen.started_at, judged.kind());
        if runs.len() > RUNS_MAX {
            runs.pop_first();
        }
        self.complete_at = Some(later(now, DRAINED));
    }

    /// What it shows of each cell, once it is complete; it is empty then.
    pub(super) fn settle(&mut self, plan: &Plan, now: Timestamp) -> Vec<Late> {
        if self.complete_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.complete_at = None;
        let cells = std::mem::take(&mut self.cells);
        let late = cells.into_iter().filter_map(|(cell, runs)| {
            let every = match plan.probe(&cell.probe)?.schedule {
                Schedule::Every(every) => every,
                Schedule::Cron(_) => Duration::ZERO,
            };
            let (newest, _) = runs.last_key_value()?;
            let telling = later(*newest, TELLING.max(every + every / 2)) > now;
            Some(Late {
                cell,
                runs: runs.into_iter().collect(),
                telling,
            })
        });
        late.collect()
    }
}
