//! Fresh random incidents of twenty kinds, to measure the judgement on cases nobody has seen.
//!
//! Sizes, schedules and noise are drawn anew for each: one to three hosts, two to six endpoints, two to
//! four egresses, three to six clients beside the control, one or two credentials, at times two HTTP
//! versions or several `PoP`s.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::scenario::{
    Design, Expect, ExpectedCause, ExpectedRate, ExpectedVerdict, Fault, Noise, OneOrMany, RateKey,
    RateLimit, Scenario, Schedule, When, prefix_of,
};
use super::world::scheduled;
use crate::domain::verdict::Kind;
use crate::judge::universe::{EndpointNames, Names, Universe};

/// The kinds, with the words of the table.
pub const KINDS: [(&str, &str); 20] = [
    ("ua", "user agent"),
    ("ua_family", "user agent family"),
    ("ip", "address (block page or network symptom)"),
    ("region", "region"),
    ("pair", "user agent x address"),
    ("path", "path prefix"),
    ("method", "method"),
    ("cred", "credential"),
    ("host_down", "host down"),
    ("tls_host", "TLS of a host"),
    ("endpoint_err", "endpoint error"),
    ("egress_net", "own network at one egress"),
    ("dns_egress", "DNS at one egress"),
    ("offline", "we are offline"),
    ("challenge", "challenge with p .1 to .9 (2 h)"),
    ("pop", "one PoP"),
    ("rate", "own rate limit"),
    ("http", "http version"),
    ("two", "two causes (half of them staggered)"),
    ("returns", "block lifts and returns"),
];

const CLIENTS: [(&str, &str); 7] = [
    ("java16", "java"),
    ("java17", "java"),
    ("okhttp4", "okhttp"),
    ("pyreq", "python"),
    ("curl8", "curl"),
    ("browser", "browser"),
    ("go1", "go"),
];
const EGRESSES: [(&str, &str); 4] = [("de1", "eu"), ("de2", "eu"), ("us1", "us"), ("sg1", "ap")];
const ENDPOINTS: [(&str, &str, &str); 6] = [
    ("orders", "/v1/orders", "POST"),
    ("stock", "/v1/stock", "GET"),
    ("rates", "/v2/rates", "GET"),
    ("book", "/v2/book", "POST"),
    ("search", "/v1/search", "GET"),
    ("status", "/status", "GET"),
];
/// Requests a round from which a host's own rate can matter.
const BUSY: usize = 40;
const TRIES: u32 = 400;

/// Draws names for a universe.
pub(super) fn names(random: &mut Rng) -> Names {
    let hosts = random.usize(1..4);
    let endpoints = random.usize(2..7).max(hosts);
    let mut it = Names {
        endpoints: (0..endpoints)
            .map(|i| {
                let (name, path, method) = ENDPOINTS[i % ENDPOINTS.len()];
                let host = format!("api{}.example", i % hosts);
                EndpointNames {
                    name: name.to_owned(),
                    provider: host.clone(),
                    host,
                    prefix: prefix_of(path),
                    method: method.to_owned(),
                    auth: name != "status",
                    quick: false,
                }
            })
            .collect(),
        ..Names::default()
    };
    let mut order: Vec<usize> = (0..EGRESSES.len()).collect();
    random.shuffle(&mut order);
    order.truncate(random.usize(2..5));
    order.sort_unstable();
    let owned = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
    it.egresses = order.into_iter().map(|i| owned(EGRESSES[i])).collect();
    let mut others: Vec<usize> = (2..CLIENTS.len()).collect();
    random.shuffle(&mut others);
    others.truncate(random.usize(3..7) - 2);
    it.clients = [0, 1]
        .into_iter()
        .chain(others)
        .map(|i| owned(CLIENTS[i]))
        .collect();
    it.clients.push(owned(("control", "control")));
    it.control = Some(it.clients.len() - 1);
    it.credentials = (0..random.usize(1..3)).map(|i| format!("key{i}")).collect();
    it.versions = if random.f64() < 0.25 {
        vec!["h1".to_owned(), "h2".to_owned()]
    } else {
        vec!["h1".to_owned()]
    };
    if random.f64() < 0.4 {
        for (egress, region) in &it.egresses {
            let pops: &[(&str, f64)] = match region.as_str() {
                "eu" => &[("FRA", 0.93), ("AMS", 0.07)],
                "us" => &[("IAD", 1.0)],
                _ => &[("SIN", 1.0)],
            };
            for (pop, share) in pops {
                it.pops.push((
                    "api0.example".to_owned(),
                    egress.clone(),
                    (*pop).to_owned(),
                    *share,
                ));
            }
        }
    }
    it
}

pub(super) fn pick<'a, T>(random: &mut Rng, list: &'a [T]) -> &'a T {
    &list[random.usize(0..list.len())]
}

const NETWORK: [(Kind, f64); 2] = [(Kind::Timeout, 0.6), (Kind::ConnectError, 0.4)];

/// A drawn incident.
struct Draft {
    faults: Vec<Fault>,
    rounds: u32,
    schedule: Option<Schedule>,
}

/// Draws a fault of a kind; none when the universe has no room for it.
fn draft(kind: &str, random: &mut Rng, universe: &Universe, names: &Names) -> Option<Draft> {
    let hosts = &universe.hosts;
    let several = hosts.len() > 1;
    let host = pick(random, hosts).as_str();
    let here: Vec<&EndpointNames> = names.endpoints.iter().filter(|e| e.host == host).collect();
    let client = pick(random, &names.clients[..names.clients.len() - 1])
        .0
        .as_str();
    let egress = pick(random, &names.egresses).0.as_str();
    let edge = *pick(
        random,
        &[
            Kind::EdgeBlock,
            Kind::EdgeBlock,
            Kind::EdgeChallenge,
            Kind::OriginDenied,
        ],
    );
    let one = |when: &[(&str, &str)], kind: Kind| Fault::new(When::of(when), &[(kind, 1.0)]);
    let mut it = Draft {
        faults: Vec::new(),
        rounds: 10,
        schedule: None,
    };
    let fault = match kind {
        "ua" if random.f64() < 0.7 => one(&[("ua", client), ("host", host)], edge),
        "ua" => {
            let endpoint = pick(random, &here).name.as_str();
            one(&[("ua", client), ("endpoint", endpoint)], edge)
        }
        "ua_family" => one(&[("ua_family", "java"), ("host", host)], edge),
        "ip" if several => {
            let class = *pick(
                random,
                &[
                    Kind::EdgeBlock,
                    Kind::EdgeBlock,
                    Kind::Timeout,
                    Kind::ConnectError,
                ],
            );
            one(&[("egress", egress), ("host", host)], class)
        }
        "region" if several => {
            let european = names.egresses.iter().filter(|e| e.1 == "eu").count();
            if european < 2 || european == names.egresses.len() {
                return None;
            }
            one(&[("region", "eu"), ("host", host)], Kind::EdgeBlock)
        }
        "pair" => one(&[("egress", egress), ("ua", client), ("host", host)], edge),
        "path" => {
            let mut prefixes: Vec<&str> = here.iter().map(|e| e.prefix.as_str()).collect();
            prefixes.sort_unstable();
            prefixes.dedup();
            if prefixes.len() < 2 {
                return None;
            }
            let prefix = *pick(random, &prefixes);
            let class = *pick(
                random,
                &[Kind::OriginError, Kind::EdgeBlock, Kind::OriginDenied],
            );
            one(&[("prefix", prefix), ("host", host)], class)
        }
        "method" => {
            let posts = here.iter().filter(|e| e.method == "POST").count();
            if posts == 0 || posts == here.len() {
                return None;
            }
            let class = *pick(random, &[Kind::EdgeBlock, Kind::OriginDenied]);
            one(&[("method", "POST"), ("host", host)], class)
        }
        "cred" if names.credentials.len() > 1 => {
            let credential = pick(random, &names.credentials).as_str();
            if random.f64() < 0.7 || !several {
                one(&[("cred", credential), ("host", host)], Kind::OriginDenied)
            } else {
                one(&[("cred", credential)], Kind::OriginDenied)
            }
        }
        "host_down" if several && random.f64() < 0.6 => {
            Fault::new(When::of(&[("host", host)]), &NETWORK)
        }
        "host_down" if several => one(&[("host", host)], Kind::OriginError),
        "tls_host" if several => one(&[("host", host)], Kind::TlsError),
        "endpoint_err" => {
            let endpoint = pick(random, &names.endpoints).name.as_str();
            let class = *pick(random, &[Kind::OriginError, Kind::Timeout]);
            one(&[("endpoint", endpoint)], class)
        }
        "egress_net" if several => Fault::new(When::of(&[("egress", egress)]), &NETWORK),
        "dns_egress" if several => one(&[("egress", egress)], Kind::DnsError),
        "offline" if several => Fault::new(
            When::default(),
            &[
                (Kind::Timeout, 0.5),
                (Kind::ConnectError, 0.3),
                (Kind::DnsError, 0.2),
            ],
        ),
        "challenge" => {
            it.rounds = 24;
            Fault {
                probability: *pick(random, &[0.1, 0.3, 0.5, 0.7, 0.9]),
                ..one(&[("ua", client), ("host", host)], Kind::EdgeChallenge)
            }
        }
        "pop" if several && universe.pops.iter().any(|p| p == "FRA") => {
            let class = *pick(random, &[Kind::OriginError, Kind::EdgeBlock]);
            one(&[("pop", "FRA"), ("host", "api0.example")], class)
        }
        "rate" => {
            let busy = scheduled(universe, Design::Full)
                .iter()
                .filter(|c| hosts[usize::from(universe.host_of(**c))] == host)
                .count();
            if busy < BUSY {
                return None;
            }
            it.schedule = Some(Schedule {
                interval_s: 300.0,
                design: Design::Full,
                burst: true,
            });
            Fault {
                rate: Some(RateLimit {
                    key: RateKey::Host,
                    limit: 25,
                }),
                ..one(&[("host", host)], Kind::RateLimited)
            }
        }
        "http" if names.versions.len() > 1 => {
            let class = *pick(random, &[Kind::EdgeBlock, Kind::ConnectError]);
            one(&[("http", "h2"), ("host", host)], class)
        }
        "two" if several && names.credentials.len() > 1 => {
            it.faults
                .push(one(&[("ua", client), ("host", host)], Kind::EdgeBlock));
            let other = hosts.iter().find(|h| *h != host)?.as_str();
            let mut second = match random.usize(0..3) {
                0 => one(&[("cred", "key1"), ("host", other)], Kind::OriginDenied),
                1 => one(&[("egress", egress), ("host", other)], Kind::EdgeBlock),
                _ => {
                    let endpoint = names.endpoints.iter().find(|e| e.host == other)?;
                    one(&[("endpoint", &endpoint.name)], Kind::OriginError)
                }
            };
            if random.bool() {
                second.active_min = vec![(*pick(random, &[5.0, 12.0]), None)];
            }
            second
        }
        "returns" => {
            it.rounds = 18;
            Fault {
                active_min: vec![(0.0, Some(25.0)), (50.0, None)],
                ..one(&[("ua", client), ("host", host)], Kind::EdgeBlock)
            }
        }
        _ => return None,
    };
    it.faults.push(fault);
    Some(it)
}

/// Draws an incident of a kind; the same seed gives the same one.
#[must_use]
pub fn incident(kind: &str, seed: u64) -> Option<Scenario> {
    let mut random = Rng::with_seed(seed.wrapping_mul(0xA24B_AED4_963E_E407) ^ 0xF00D);
    for _ in 0..TRIES {
        let names = names(&mut random);
        let universe = Universe::build(&names, |_| true).ok()?;
        let share = random.f64();
        let design = if share < 0.5 {
            Design::Star
        } else if share < 0.8 {
            Design::Pairwise
        } else {
            Design::Full
        };
        let independent = *pick(&mut random, &[0.001, 0.003, 0.01]);
        let Some(draft) = draft(kind, &mut random, &universe, &names) else {
            continue;
        };
        let schedule = draft.schedule.unwrap_or(Schedule {
            interval_s: 300.0,
            design,
            burst: false,
        });
        // Every fault must touch something that is asked anyway, or nobody could notice.
        let asked = scheduled(&universe, schedule.design);
        let noticeable = draft.faults.iter().all(|f| {
            let cells = f.when.cells(&universe);
            asked.iter().any(|c| cells[*c])
        });
        if !noticeable {
            continue;
        }
        return Some(Scenario {
            id: format!("{kind}-{seed}"),
            title: String::new(),
            expect: expect(&draft.faults),
            universe,
            schedule,
            noise: Noise {
                independent,
                ..Noise::default()
            },
            warmup_rounds: 4,
            rounds: draft.rounds,
            seeds: 1,
            faults: draft.faults,
            maintenance: Vec::new(),
            fronts: BTreeMap::new(),
            drift: None,
        });
    }
    None
}

fn expect(faults: &[Fault]) -> Expect {
    Expect {
        incident: true,
        verdict: ExpectedVerdict::Attributed,
        causes: faults
            .iter()
            .map(|f| match &f.rate {
                None => ExpectedCause {
                    when: Some(f.when.clone()),
                    rate: None,
                },
                Some(rate) => ExpectedCause {
                    when: None,
                    rate: Some(ExpectedRate {
                        host: match f.when.0.get("host") {
                            Some(OneOrMany::One(host)) => Some(host.clone()),
                            _ => None,
                        },
                        key: Some(rate.key),
                        limit: Some(rate.limit),
                    }),
                },
            })
            .collect(),
        ..Expect::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_can_be_drawn_and_drawn_again() {
        for (kind, _) in KINDS {
            let (a, b) = (incident(kind, 7), incident(kind, 7));
            let a = a.unwrap_or_else(|| panic!("no incident of kind {kind}"));
            assert_eq!(Some(a.universe), b.map(|b| b.universe), "{kind}");
        }
    }
}
