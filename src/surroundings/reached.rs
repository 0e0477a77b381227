//! By which addresses each egress got through to each host: what a filter of our own may have listed.
//!
//! A filter that lists addresses goes on to let the former ones through when a name leads elsewhere, and nothing in the
//! failure tells it from a partner that is down. What this egress reached before does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use crate::domain::cell::EgressName;
use crate::domain::observation::Observation;
use crate::domain::ways::{KnownWay, ReachedAddress};

/// An address that was not reached for so long is no longer one of the former ones.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Addresses of one host, the latest; a large CDN turns through more.
const ADDRESSES_MAX: usize = 32;
/// That one is reached still is kept once in so long.
const KEEP_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// What every egress reached.
#[derive(Debug, Default)]
pub(super) struct Reached {
    ways: BTreeMap<EgressName, BTreeMap<String, Way>>,
    unkept: BTreeSet<(EgressName, String)>,
}

#[derive(Debug, Default)]
struct Way {
    addresses: Vec<ReachedAddress>,
    kept_at: Timestamp,
}

impl Reached {
    pub(super) fn resume(known: Vec<KnownWay>) -> Self {
        let mut resumed = Self::default();
        for way in known {
            let hosts = resumed.ways.entry(way.egress).or_default();
            let last = way.addresses.iter().map(|seen| seen.last_at).max();
            let resumed = Way {
                addresses: way.addresses,
                kept_at: last.unwrap_or_default(),
            };
            hosts.insert(way.host, resumed);
        }
        resumed
    }

    /// Takes in a run that passed; whether there is something to keep.
    pub(super) fn passed(&mut self, run: &Observation, host: &str, at: Timestamp) -> bool {
        let Some(address) = reached(run) else {
            return false;
        };
        let egress = &run.cell.egress;
        let known = self
            .ways
            .get_mut(egress)
            .and_then(|ways| ways.get_mut(host));
        if let Some(way) = known
            && let Some(seen) = way
                .addresses
                .iter_mut()
                .find(|seen| seen.address == address)
        {
            seen.last_at = seen.last_at.max(at);
            if at.duration_since(way.kept_at) < KEEP_EVERY {
                return false;
            }
            way.kept_at = at;
        } else {
            let ways = self.ways.entry(egress.clone()).or_default();
            let way = ways.entry(host.to_owned()).or_default();
            let addresses = &mut way.addresses;
            addresses.retain(|seen| at.duration_since(seen.last_at) < KEPT_FOR);
            addresses.sort_by_key(|seen| seen.last_at);
            let surplus = (addresses.len() + 1).saturating_sub(ADDRESSES_MAX);
            addresses.drain(..surplus);
            addresses.push(ReachedAddress {
                address,
                first_at: at,
                last_at: at,
            });
            way.kept_at = at;
        }
        self.unkept.insert((egress.clone(), host.to_owned()));
        true
    }

    /// What an egress reached of a host; `None`: that is not known.
    pub(super) fn way(&self, egress: &EgressName, host: &str) -> Option<KnownWay> {
        let way = self.ways.get(egress)?.get(host)?;
        Some(KnownWay {
            egress: egress.clone(),
            host: host.to_owned(),
            addresses: way.addresses.clone(),
        })
    }

    /// What is to be kept since this was asked last.
    pub(super) fn take_unkept(&mut self) -> Vec<KnownWay> {
        let unkept = std::mem::take(&mut self.unkept);
        let ways = unkept
            .iter()
            .filter_map(|(egress, host)| self.way(egress, host));
        ways.collect()
    }
}

/// The host's address that a run got through to: the peer, or behind a proxy the first that did not fail.
fn reached(run: &Observation) -> Option<IpAddr> {
    let route = &run.route;
    if route.proxy.is_none() {
        return route.remote.map(|remote| remote.ip());
    }
    let failed = |ip: &&IpAddr| route.failed.iter().any(|(address, _)| address.ip() == **ip);
    route.resolved.iter().find(|ip| !failed(ip)).copied()
}
