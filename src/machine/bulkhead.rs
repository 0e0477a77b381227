//! How much of the runs in flight one partner may hold, so that none can starve another.
//!
//! A partner that answers nobody holds each run until its timeout. Without a bound it soon holds all of them, and
//! everybody else's runs come late or never. So a partner has a quarter of the room before others that wait, and never
//! more than its part of the plan's cells, at most half: what is left is enough for those who answer.

use std::collections::HashMap;

use crate::domain::plan::Plan;
use crate::domain::probe::Probe;

/// Whom a probe asks, by the name under which its runs are counted.
pub(super) fn name(probe: &Probe) -> String {
    if probe.control {
        // The control of everybody is no part of a partner that may be slow.
        format!("control {}", probe.host())
    } else {
        probe.partner.clone()
    }
}

/// The runs of one partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    pub name: String,
    pub in_flight: usize,
    /// So many before others that wait.
    pub first: usize,
    /// So many at most.
    pub most: usize,
}

impl Share {
    /// Of a partner with `cells` of all cells.
    fn new(name: String, cells: usize, all: usize, room: usize) -> Self {
        let first = room.div_ceil(4);
        let planned = room.saturating_mul(cells).div_ceil(all.max(1));
        let most = if cells == all {
            room
        } else {
            first.max(planned.min(room.div_ceil(2)))
        };
        Self {
            name,
            in_flight: 0,
            first,
            most,
        }
    }
}

/// The shares of a plan's partners, in the order of the file.
#[must_use]
pub fn shares(plan: &Plan) -> Vec<Share> {
    let mut counted: Vec<(String, usize)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for probe in &plan.probes {
        let cells = probe.from.len() * probe.as_clients.len() * probe.with.len();
        let place = *places.entry(name(probe)).or_insert_with_key(|name| {
            counted.push((name.clone(), 0));
            counted.len() - 1
        });
        counted[place].1 += cells;
    }
    let all = counted.iter().map(|known| known.1).sum();
    let room = plan.runs_in_flight_max;
    let counted = counted.into_iter();
    counted
        .map(|(name, cells)| Share::new(name, cells, all, room))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partner_never_gets_all_while_there_are_others() {
        let check = |cells: usize, all: usize, room: usize, expected: (usize, usize)| {
            let share = Share::new("a".to_owned(), cells, all, room);
            assert_eq!(
                (share.first, share.most),
                expected,
                "{cells} of {all} in {room}"
            );
        };
        check(300, 310, 50, (13, 25));
        check(10, 310, 50, (13, 13));
        check(100, 310, 50, (13, 17));
        check(310, 310, 50, (13, 50));
        check(1, 2, 1, (1, 1));
        check(1, 2, 2, (1, 1));
    }
}
