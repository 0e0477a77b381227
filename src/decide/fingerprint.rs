//! Notices that an endpoint's front has changed, and whether that may have to do with an incident.
//!
//! Behind a load balancer two fronts may take turns, and one odd answer is no change. So a fingerprint
//! counts as new when it makes up most of the last few answers and was seen through two egresses; going
//! back to a known one is no event. Whether a change is put beside an incident depends on how likely a
//! change of this host is to fall that close before the onset by chance.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::domain::fingerprint::{DriftKind, Fingerprint};

/// Answers that define what is known at the start.
const LEARNING: u32 = 12;
/// A new fingerprint must make up so many of the last so many answers.
const OF_LAST: (usize, usize) = (4, 5);
/// It must have been seen through so many egresses, if there are.
const EGRESSES: usize = 2;
/// Fingerprints kept for one host; the oldest unknown one goes first.
const KEPT_MAX: usize = 64;
/// A change this long before the onset may still be related, seconds; and this long after it.
const LEAD_MAX_S: f64 = 72.0 * 3600.0;
const LAG_MAX_S: f64 = 300.0;
/// Observation time below which a host's rate of changes is not believed, seconds.
const OBSERVED_MIN_S: f64 = 14.0 * 86_400.0;
/// Chance of coincidence below which a change is called related.
const COINCIDENCE: f64 = 0.05;
/// Shortest lead that the chance is computed for, seconds.
const LEAD_MIN_S: f64 = 60.0;

/// A change of a host's front.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// First sighting, seconds.
    pub at: f64,
    /// When it was certain.
    pub noticed_at: f64,
    pub kind: DriftKind,
    pub old: Fingerprint,
    pub new: Fingerprint,
}

/// A change put beside an onset.
#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    pub drift: Drift,
    /// Seconds from the change to the onset; negative when it was seen after it.
    pub lead_s: f64,
    /// Probability that a change falls so close before an onset by chance.
    pub chance: f64,
    pub related: bool,
}

#[derive(Debug, Clone)]
struct Sighting {
    first: f64,
    egresses: BTreeSet<u16>,
    known: bool,
}

/// What is known of one host's front.
#[derive(Debug, Clone)]
pub struct Watch {
    sightings: BTreeMap<Fingerprint, Sighting>,
    last: VecDeque<Fingerprint>,
    current: Option<Fingerprint>,
    egresses_wanted: usize,
    seen: u32,
    began: Option<f64>,
    drifts: Vec<Drift>,
}

impl Watch {
    /// `egresses` is how many egresses reach the host.
    #[must_use]
    pub fn new(egresses: usize) -> Self {
        Self {
            sightings: BTreeMap::new(),
            last: VecDeque::new(),
            current: None,
            egresses_wanted: EGRESSES.min(egresses),
            seen: 0,
            began: None,
            drifts: Vec::new(),
        }
    }

    /// Takes in the fingerprint of a successful answer; returns a change when it has become certain.
    pub fn observe(&mut self, at: f64, egress: u16, print: &Fingerprint) -> Option<&Drift> {
        self.began.get_or_insert(at);
        self.seen = self.seen.saturating_add(1);
        self.last.push_back(print.clone());
        if self.last.len() > OF_LAST.1 {
            self.last.pop_front();
        }
        self.make_room();
        let sighting = self
            .sightings
            .entry(print.clone())
            .or_insert_with(|| Sighting {
                first: at,
                egresses: BTreeSet::new(),
                known: false,
            });
        sighting.egresses.insert(egress);
        if self.seen <= LEARNING || sighting.known {
            sighting.known = true;
            self.current = Some(print.clone());
            return None;
        }
        let recent = self.last.iter().filter(|p| *p == print).count();
        if recent < OF_LAST.0 || sighting.egresses.len() < self.egresses_wanted {
            return None;
        }
        sighting.known = true;
        let first = sighting.first;
        let old = self.current.replace(print.clone()).unwrap_or_default();
        self.drifts.push(Drift {
            at: first,
            noticed_at: at,
            kind: DriftKind::between(&old, print),
            old,
            new: print.clone(),
        });
        self.drifts.last()
    }

    fn make_room(&mut self) {
        if self.sightings.len() >= KEPT_MAX {
            let oldest = self
                .sightings
                .iter()
                .filter(|(_, s)| !s.known)
                .min_by(|a, b| a.1.first.total_cmp(&b.1.first))
                .map(|(p, _)| p.clone());
            if let Some(oldest) = oldest {
                self.sightings.remove(&oldest);
            }
        }
    }

    /// Changes so far, oldest first.
    #[must_use]
    pub fn drifts(&self) -> &[Drift] {
        &self.drifts
    }

    /// The changes that fall near an onset, with the chance of coincidence.
    ///
    /// `at_edge` says whether the failures come from the edge: only then may a mere change of headers
    /// have to do with them.
    #[must_use]
    pub fn relate(&self, onset: f64, at_edge: bool) -> Vec<Relation> {
        let observed = (onset - self.began.unwrap_or(onset)).max(OBSERVED_MIN_S);
        self.drifts
            .iter()
            .enumerate()
            .filter_map(|(earlier, drift)| {
                let lead_s = onset - drift.at;
                if !(-LAG_MAX_S..=LEAD_MAX_S).contains(&lead_s) {
                    return None;
                }
                let rate = (earlier as f64 + 0.5) / observed;
                let chance = 1.0 - (-rate * lead_s.max(LEAD_MIN_S)).exp();
                let fits = at_edge || drift.kind != DriftKind::HeadersChanged;
                Some(Relation {
                    drift: drift.clone(),
                    lead_s,
                    chance,
                    related: chance < COINCIDENCE && fits,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(server: &str, markers: &[&str]) -> Fingerprint {
        Fingerprint {
            server: Some(server.to_owned()),
            markers: markers.iter().map(|m| (*m).to_owned()).collect(),
            ..Fingerprint::default()
        }
    }

    fn watch(steps: &[(&Fingerprint, u16)]) -> Watch {
        let mut it = Watch::new(3);
        for i in 0..20 {
            it.observe(f64::from(i) * 60.0, (i % 3) as u16, &print("nginx", &[]));
        }
        for (i, (print, egress)) in steps.iter().enumerate() {
            it.observe(1200.0 + i as f64 * 60.0, *egress, print);
        }
        it
    }

    #[test]
    fn a_new_edge_is_noticed_with_the_time_of_its_first_sighting() {
        let new = print("cloudflare", &["cf-ray"]);
        let it = watch(&[(&new, 0), (&new, 1), (&new, 2), (&new, 0)]);
        assert_eq!(it.drifts().len(), 1);
        assert_eq!(it.drifts()[0].kind, DriftKind::EdgeAppeared);
        assert!((it.drifts()[0].at - 1200.0).abs() < 1e-9);
        let relations = it.relate(1200.0 + 3.0 * 3600.0, true);
        assert!(relations[0].related && relations[0].chance < 0.01);
        assert!(it.relate(1200.0 + 5.0 * 86_400.0, true).is_empty());
    }

    #[test]
    fn a_load_balancer_is_no_drift() {
        let (a, b) = (print("nginx", &[]), print("apache", &[]));
        assert!(
            watch(&[(&b, 0), (&a, 1), (&b, 2), (&a, 0), (&b, 1)])
                .drifts()
                .is_empty()
        );
    }

    #[test]
    fn one_egress_alone_proves_nothing() {
        let new = print("squid", &[]);
        assert!(
            watch(&[(&new, 0), (&new, 0), (&new, 0), (&new, 0)])
                .drifts()
                .is_empty()
        );
    }
}
