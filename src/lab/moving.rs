//! Fresh random worlds that move: what is refused changes while people are being told of it.
//!
//! Each draws two or three causes on one host of a random universe and lets them follow, overlap, contain, widen,
//! narrow, come and go, or strike a growing share of the requests.

use fastrand::Rng;

use super::random::{self, pick};
use super::scenario::{
    Design, Expect, ExpectedVerdict, Fault, Noise, OneOrMany, Scenario, Schedule, When,
};
use super::world::scheduled;
use crate::domain::verdict::Kind;
use crate::judge::universe::{Names, Universe};

/// The ways in which a world moves, with the words of the table.
pub const MOVES: [(&str, &str); 12] = [
    ("then", "one cause, then another"),
    ("gap", "two causes with a quiet time between"),
    ("overlap", "two causes, the first ends first"),
    ("inside", "an outage inside a block"),
    ("widens", "one client, everybody, one client"),
    ("narrows", "several levels, one by one freed"),
    ("joins", "levels one after another"),
    ("but_one", "everything but one client"),
    ("rollout", "a share that grows: 0.1, 0.5, 1"),
    ("returns", "lifts and returns"),
    ("dresses", "one cause in changing answers"),
    ("flaps", "comes and goes beside a steady cause"),
];

/// Seconds between two runs of a cell.
const ROUNDS_S: [f64; 4] = [30.0, 60.0, 120.0, 300.0];
/// Minutes that a phase may last.
const PHASES_MIN: [f64; 4] = [20.0, 30.0, 45.0, 60.0];
/// Minutes that are played after the last change.
const AFTER_MIN: f64 = 45.0;
const TRIES: u32 = 400;

/// What a cause of a phase is about.
const CAUSES: [&str; 6] = ["client", "address", "endpoint", "path", "account", "host"];

/// Where causes are drawn: one host of a universe.
struct Place<'a> {
    names: &'a Names,
    universe: &'a Universe,
    host: &'a str,
}

impl Place<'_> {
    fn when(&self, levels: &[(&str, &str)]) -> When {
        let mut when = When::of(levels);
        when.0
            .insert("host".to_owned(), OneOrMany::One(self.host.to_owned()));
        when
    }

    fn set(&self, factor: &str, levels: Vec<String>) -> When {
        let mut when = self.when(&[]);
        when.0.insert(factor.to_owned(), OneOrMany::Many(levels));
        when
    }

    /// A level of the factor that a kind of cause is about, and the answers that it gives.
    fn cause(&self, kind: &str, random: &mut Rng) -> Option<(When, Kind)> {
        let edge = *pick(
            random,
            &[Kind::EdgeBlock, Kind::EdgeBlock, Kind::EdgeChallenge],
        );
        Some(match kind {
            "client" => (self.when(&[("ua", self.client(random))]), edge),
            "address" if self.names.egresses.len() > 2 => {
                let egress = pick(random, &self.names.egresses);
                (self.when(&[("egress", &egress.0)]), Kind::EdgeBlock)
            }
            "endpoint" => {
                let here: Vec<_> = self.names.endpoints.iter().collect();
                let endpoint = here.iter().find(|e| e.host == self.host)?;
                let class = *pick(random, &[Kind::OriginError, Kind::Timeout]);
                (When::of(&[("endpoint", &endpoint.name)]), class)
            }
            "path" => {
                let mut prefixes: Vec<&str> = self
                    .names
                    .endpoints
                    .iter()
                    .filter(|e| e.host == self.host)
                    .map(|e| e.prefix.as_str())
                    .collect();
                prefixes.sort_unstable();
                prefixes.dedup();
                if prefixes.len() < 2 {
                    return None;
                }
                (
                    self.when(&[("prefix", *pick(random, &prefixes))]),
                    Kind::EdgeBlock,
                )
            }
            "account" if self.names.credentials.len() > 1 => {
                let account = pick(random, &self.names.credentials);
                (self.when(&[("cred", account)]), Kind::OriginDenied)
            }
            "host" if self.universe.hosts.len() > 1 => (
                self.when(&[]),
                *pick(random, &[Kind::OriginError, Kind::Timeout, Kind::EdgeBlock]),
            ),
            _ => return None,
        })
    }

    /// A client that is no control.
    fn client(&self, random: &mut Rng) -> &str {
        &pick(random, self.clients()).0
    }

    fn clients(&self) -> &[(String, String)] {
        &self.names.clients[..self.names.clients.len() - 1]
    }
}

fn fault(when: &When, class: Kind, spans: &[(f64, f64)]) -> Fault {
    Fault {
        active_min: spans.iter().map(|s| (s.0, Some(s.1))).collect(),
        ..Fault::new(when.clone(), &[(class, 1.0)])
    }
}

/// Draws the faults of a move; none when the universe has no room for it.
fn faults(kind: &str, place: &Place<'_>, random: &mut Rng) -> Option<Vec<Fault>> {
    let any = |random: &mut Rng| {
        let kind = *pick(random, &CAUSES);
        place.cause(kind, random)
    };
    let client = |random: &mut Rng| place.cause("client", random);
    let phase = |random: &mut Rng| *pick(random, &PHASES_MIN);
    let (a, b) = (phase(random), phase(random));
    Some(match kind {
        "then" | "gap" | "overlap" => {
            let ((first, class), (second, other)) = (any(random)?, any(random)?);
            if first == second {
                return None;
            }
            let begin = match kind {
                "then" => a,
                "gap" => a + *pick(random, &[8.0, 15.0, 25.0]),
                _ => a / 2.0,
            };
            vec![
                fault(&first, class, &[(0.0, a)]),
                fault(&second, other, &[(begin, begin + b + a / 2.0)]),
            ]
        }
        "inside" | "widens" => {
            let (narrow, class) = client(random)?;
            let wide = if kind == "inside" {
                *pick(random, &[Kind::OriginError, Kind::Timeout])
            } else {
                class
            };
            vec![
                fault(&narrow, class, &[(0.0, a + b + 30.0)]),
                fault(&place.when(&[]), wide, &[(a, a + b / 2.0)]),
            ]
        }
        "narrows" | "joins" => {
            let (factor, levels): (&str, Vec<String>) = if random.bool() {
                ("ua", place.clients().iter().map(|c| c.0.clone()).collect())
            } else {
                let egresses = place.names.egresses.iter();
                ("egress", egresses.map(|e| e.0.clone()).collect())
            };
            if levels.len() < 4 {
                return None;
            }
            let of = |i: usize| place.when(&[(factor, &levels[i])]);
            let span = |i: f64| {
                if kind == "narrows" {
                    (0.0, a * (i + 1.0))
                } else {
                    (a * i, a * 2.0 + b)
                }
            };
            (0..2)
                .map(|i| fault(&of(i), Kind::EdgeBlock, &[span(i as f64)]))
                .collect()
        }
        "but_one" => {
            let spared = random.usize(0..place.clients().len());
            let mut others: Vec<String> = place.names.clients.iter().map(|c| c.0.clone()).collect();
            if others.len() < 4 {
                return None;
            }
            others.remove(spared);
            let class = *pick(random, &[Kind::EdgeBlock, Kind::EdgeChallenge]);
            vec![fault(&place.set("ua", others), class, &[(0.0, a + b)])]
        }
        "rollout" => {
            let (when, class) = client(random)?;
            let ten = |probability: f64, from: f64, to: f64| Fault {
                probability,
                ..fault(&when, class, &[(from, to)])
            };
            vec![
                ten(0.1, 0.0, 7.0),
                ten(0.5, 7.0, 20.0),
                ten(1.0, 20.0, 20.0 + a + b),
            ]
        }
        "returns" => {
            let (when, class) = any(random)?;
            let back = a + *pick(random, &[5.0, 12.0, 20.0, 40.0]);
            vec![fault(&when, class, &[(0.0, a), (back, back + b)])]
        }
        "dresses" => {
            let (when, _) = client(random)?;
            vec![
                fault(&when, Kind::EdgeChallenge, &[(0.0, a)]),
                fault(&when, Kind::EdgeBlock, &[(a, a + b)]),
                fault(&when, Kind::Timeout, &[(a + b, a + b + 30.0)]),
            ]
        }
        "flaps" => {
            let (steady, class) = client(random)?;
            let endpoint = place.cause("endpoint", random)?;
            let (period, on) = *pick(random, &[(3.0, 1.0), (6.0, 2.0), (10.0, 4.0)]);
            let times = (0..(120.0 / period) as u32).map(|i| f64::from(i) * period);
            let spans: Vec<(f64, f64)> = times.map(|t| (t, t + on)).collect();
            vec![
                fault(&steady, class, &[(0.0, 120.0)]),
                fault(&endpoint.0, endpoint.1, &spans),
            ]
        }
        _ => return None,
    })
}

/// Draws a world that moves in a way; the same seed gives the same one.
#[must_use]
pub fn world(kind: &str, seed: u64) -> Option<Scenario> {
    let mut random = Rng::with_seed(seed.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ 0xBEEF);
    for _ in 0..TRIES {
        let names = random::names(&mut random);
        let universe = Universe::build(&names, |_| true).ok()?;
        let design = *pick(
            &mut random,
            &[Design::Star, Design::Star, Design::Pairwise, Design::Full],
        );
        let interval_s = *pick(&mut random, &ROUNDS_S);
        let asked = scheduled(&universe, design);
        let host = pick(&mut random, &universe.hosts).as_str();
        let place = Place {
            names: &names,
            universe: &universe,
            host,
        };
        let Some(faults) = faults(kind, &place, &mut random) else {
            continue;
        };
        // Every fault must touch something that is asked anyway, or nobody could notice.
        let noticeable = faults.iter().all(|f| {
            let cells = f.when.cells(&universe);
            asked.iter().any(|c| cells[*c])
        });
        if !noticeable {
            continue;
        }
        let spans = faults.iter().flat_map(|f| &f.active_min);
        let last = spans.filter_map(|s| s.1).fold(0.0, f64::max);
        return Some(Scenario {
            id: format!("{kind}-{seed}"),
            title: String::new(),
            expect: Expect {
                incident: true,
                verdict: ExpectedVerdict::Attributed,
                ..Expect::default()
            },
            universe,
            schedule: Schedule {
                interval_s,
                design,
                burst: false,
            },
            noise: Noise {
                independent: *pick(&mut random, &[0.001, 0.003, 0.01]),
                ..Noise::default()
            },
            warmup_rounds: 6,
            rounds: ((last + AFTER_MIN) * 60.0 / interval_s) as u32,
            seeds: 1,
            faults,
            maintenance: Vec::new(),
            fronts: std::collections::BTreeMap::new(),
            drift: None,
        });
    }
    None
}
