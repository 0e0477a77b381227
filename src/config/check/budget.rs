//! What the schedule asks of each host, held against what politeness allows.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::desk::{Desk, Place};
use crate::domain::plan::{Plan, Politeness};
use crate::domain::probe::Schedule;

/// Cells that one plan may hold; more would not fit the memory that edgewatch promises to need.
const CELLS_MAX: u64 = 200_000;

/// Requests a minute by host, and where the schedule stands that asks for most of them.
#[derive(Debug, Default)]
pub(super) struct Budget {
    hosts: HashMap<String, Demand>,
    cells: u64,
}

#[derive(Debug)]
struct Demand {
    per_minute: f64,
    cells: u64,
    largest: f64,
    place: Place,
}

impl Budget {
    /// Counts a probe in; `false` when the plan has become too large to go on.
    pub(super) fn add(
        &mut self,
        host: String,
        cells: u64,
        schedule: &Schedule,
        place: Place,
        desk: &mut Desk<'_>,
    ) -> bool {
        let fitted = self.cells <= CELLS_MAX;
        self.cells = self.cells.saturating_add(cells);
        if self.cells > CELLS_MAX {
            if fitted {
                desk.error(
                    place,
                    format!("with this probe the file asks for {} cells", self.cells),
                    format!("at most {CELLS_MAX}; name fewer under \"from\", \"as\" or \"with\""),
                );
            }
            return false;
        }
        let interval = match schedule {
            Schedule::Every(interval) => interval.as_secs_f64(),
            Schedule::Cron(cron) => shortest(cron),
        };
        let per_minute = cells as f64 * 60.0 / interval;
        let demand = self.hosts.entry(host).or_insert(Demand {
            per_minute: 0.0,
            cells: 0,
            largest: 0.0,
            place,
        });
        demand.per_minute += per_minute;
        demand.cells = demand.cells.saturating_add(cells);
        if per_minute > demand.largest {
            demand.largest = per_minute;
            demand.place = place;
        }
        true
    }

    pub(super) fn warn(self, politeness: &Politeness, desk: &mut Desk<'_>) {
        let by_gap = if politeness.gap.is_zero() {
            f64::INFINITY
        } else {
            60.0 / politeness.gap.as_secs_f64()
        };
        let by_count = f64::from(politeness.requests_per_minute);
        let allowed = by_gap.min(by_count);
        let key = if by_gap < by_count {
            "politeness.per_host.gap"
        } else {
            "politeness.per_host.requests_per_minute"
        };
        let mut hosts: Vec<_> = self.hosts.into_iter().collect();
        hosts.sort_by(|a, b| a.0.cmp(&b.0));
        for (host, demand) in hosts {
            // A little over is rounding, not a plan.
            if demand.per_minute <= allowed * 1.001 {
                continue;
            }
            desk.warning(
                demand.place,
                format!(
                    "{} cells ask {host} for {} requests a minute, and {key} allows {}",
                    demand.cells,
                    round(demand.per_minute),
                    round(allowed)
                ),
                "runs will be skipped; ask less often, name fewer cells, or allow more",
            );
        }
    }
}

/// What the schedule takes of each account's day, where it takes more than there is, or leaves nothing to find out with.
pub(super) fn accounts(plan: &Plan, place: Place, desk: &mut Desk<'_>) {
    let Some(most) = plan.credential_a_day.map(f64::from) else {
        return;
    };
    for credential in &plan.credentials {
        let (name, asks) = (&credential.name, plan.a_day(&credential.name));
        if asks > most {
            let hours = 24.0 * most / asks;
            desk.warning(
                place,
                format!(
                    "the schedule asks {} times a day with \"{name}\", and {} are allowed: used up after {} h",
                    round(asks),
                    round(most),
                    round(hours)
                ),
                "the rest of the day is not watched with it; ask less often, name fewer cells, or allow more",
            );
        }
        let cells = plan
            .every_cell()
            .filter(|(_, cell)| cell.credential == *name);
        if cells
            .into_iter()
            .any(|(_, cell)| plan.site_of(&cell.egress).is_some())
        {
            desk.warning(
                place,
                format!("\"{name}\" is used at other sites, too"),
                "what an agent asks counts here, and is not held back there",
            );
        }
    }
}

fn round(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// The shortest time between neighbouring occurrences, in seconds, seen from a Monday at midnight;
/// never under a second. A sample: it is for a warning, not for the schedule.
fn shortest(cron: &crate::lang::cron::Cron) -> f64 {
    const SAMPLE: usize = 20;
    let monday = Timestamp::from_second(1_767_571_200).unwrap_or_default();
    let mut shortest = Duration::from_secs(86_400);
    let mut at = cron.next_after(monday);
    for _ in 0..SAMPLE {
        let Some(this) = at else { break };
        at = cron.next_after(this);
        let Some(next) = at else { break };
        if let Ok(gap) = Duration::try_from(next.duration_since(this)) {
            shortest = shortest.min(gap);
        }
    }
    shortest.as_secs_f64().max(1.0)
}
