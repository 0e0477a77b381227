//! What came and went while runs were not heard of, in words.

use jiff::Timestamp;

use super::notice::Notice;
use crate::board::catching_up::Gone;
use crate::domain::cell::CellKey;
use crate::domain::plan::Plan;

/// Cells that the notice names; more are counted.
const NAMED_MAX: usize = 5;

/// The notice; `from` is when the first run that was heard of late began.
pub(super) fn notice(plan: &Plan, from: Timestamp, gone: &[Gone], during: Vec<String>) -> Notice {
    let clock = |at: Timestamp| at.to_zoned(plan.zone.clone()).strftime("%H:%M").to_string();
    let mut because: Vec<String> = gone
        .iter()
        .take(NAMED_MAX)
        .map(|gone| {
            let (from, to) = (clock(gone.from), clock(gone.to));
            let kind = gone.kind.label().to_lowercase();
            format!(
                "{}: {kind} from {from} to {to}, in {} runs on end",
                gone.cell, gone.runs
            )
        })
        .collect();
    if gone.len() > NAMED_MAX {
        because.push(format!("and {} more", gone.len() - NAMED_MAX));
    }
    let mut cells: Vec<&CellKey> = gone.iter().map(|gone| &gone.cell).collect();
    cells.dedup_by_key(|cell| &cell.probe);
    let to = gone.iter().map(|gone| gone.to).max().unwrap_or(from);
    Notice {
        at: from,
        subject: "edgewatch".to_owned(),
        our_side: true,
        probes: cells.into_iter().map(|cell| cell.probe.clone()).collect(),
        headline: format!(
            "Runs of {} to {} were heard of late; what failed then is over",
            clock(from),
            clock(to)
        ),
        because,
        next_step: None,
        during,
    }
}
