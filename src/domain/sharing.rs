//! Politeness to one host, divided over the places that ask it.
//!
//! Places that can't hear each other must not count on each other: each has a fixed part, and the parts add up to no
//! more than the whole, whoever is cut off from whom.

use std::collections::BTreeMap;

use super::plan::{Plan, Politeness};

/// What each place may ask of each host that is asked from several; of others the file's own numbers hold.
///
/// `site` is the place, `None` the hub itself.
#[must_use]
pub fn shares(plan: &Plan, site: Option<&str>) -> BTreeMap<String, Politeness> {
    let mut hosts: BTreeMap<String, BTreeMap<Option<&str>, f64>> = BTreeMap::new();
    for probe in &plan.probes {
        let cells = probe.as_clients.len() * probe.with.len();
        let asks = (probe.schedule.a_minute() * cells as f64).max(f64::MIN_POSITIVE);
        let places = hosts.entry(probe.host()).or_default();
        for egress in &probe.from {
            *places.entry(plan.site_of(egress)).or_default() += asks;
        }
    }
    let mine = hosts.into_iter().filter_map(|(host, places)| {
        let place = places.keys().position(|known| *known == site)?;
        (places.len() > 1).then(|| {
            let asks: Vec<f64> = places.into_values().collect();
            let parts = divide(plan.politeness.requests_per_minute, &asks);
            let share = Politeness {
                requests_per_minute: parts[place],
                gap: plan.politeness.gap.saturating_mul(asks.len() as u32),
                ..plan.politeness
            };
            (host, share)
        })
    });
    mine.collect()
}

/// Hosts that are asked from more places than they may be asked a minute, and from how many.
#[must_use]
pub fn crowded(plan: &Plan) -> Vec<(String, usize)> {
    let mut hosts: BTreeMap<String, std::collections::BTreeSet<Option<&str>>> = BTreeMap::new();
    for probe in &plan.probes {
        let places = probe.from.iter().map(|egress| plan.site_of(egress));
        hosts.entry(probe.host()).or_default().extend(places);
    }
    let most = plan.politeness.requests_per_minute as usize;
    let counted = hosts.into_iter().map(|(host, places)| (host, places.len()));
    counted.filter(|(_, places)| *places > most).collect()
}

/// Divides a budget by how much each asks: at least one each, and together no more than the whole.
///
/// Where there are more to divide it to than it holds, each still has one: [`crowded`] says so beforehand.
fn divide(budget: u32, asks: &[f64]) -> Vec<u32> {
    let spare = budget.saturating_sub(asks.len() as u32);
    let all: f64 = asks.iter().sum();
    asks.iter()
        .map(|asks| 1 + (f64::from(spare) * asks / all).floor() as u32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_divided_by_need() {
        for (budget, asks, expected) in [
            (60, &[1.0, 1.0][..], &[30, 30][..]),
            (60, &[58.0, 0.0], &[59, 1]),
            (4, &[1.0, 1.0, 1.0], &[1, 1, 1]),
            (10, &[3.0, 1.0], &[7, 3]),
            (1, &[1.0], &[1]),
        ] {
            assert_eq!(divide(budget, asks), expected, "{budget} over {asks:?}");
        }
    }

    proptest::proptest! {
        /// However the places are cut off from each other: all of them together keep the budget, and nobody starves.
        #[test]
        fn parts_never_exceed_the_whole(
            asks in proptest::collection::vec(0.0_f64..1e6, 1..64),
            beyond in 0_u32..6_000,
        ) {
            let asks: Vec<f64> = asks.iter().map(|asks| asks.max(f64::MIN_POSITIVE)).collect();
            let budget = asks.len() as u32 + beyond;
            let parts = divide(budget, &asks);
            assert!(parts.iter().sum::<u32>() <= budget, "{parts:?}");
            assert!(parts.iter().all(|part| *part >= 1), "{parts:?}");
        }
    }
}
