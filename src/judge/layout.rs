//! One partner's cells as the diagnosis counts them: names to numbers, and back.
//!
//! Two clients that differ in nothing but the HTTP version they offer are one client with two versions,
//! so that a refused version can be told from a refused client. Control probes are laid out too: what
//! passes there shows that our own network works.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::domain::cell::{
    CellKey, Client, ClientName, CredentialName, Egress, EgressName, HttpOffer, IpFamily, Way,
};
use crate::domain::index::Index;
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;
use crate::domain::verdict::Tell;
use crate::judge::rules::RuleBook;
use crate::judge::universe::{BadUniverse, Cell, Endpoint, EndpointNames, Names, Universe};

/// Where requests land: `(host, egress)` and a `PoP`, with how often it was seen.
pub(crate) type Landings = BTreeMap<(String, EgressName), BTreeMap<String, u32>>;

/// The TLS fingerprint that each client was seen to send.
pub(crate) type Stacks = BTreeMap<ClientName, String>;

/// What runs have shown that no plan says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) landings: &'a Landings,
    pub(crate) stacks: &'a Stacks,
}

/// The universe of one partner, with the names of its cells.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) universe: Arc<Universe>,
    pub(crate) book: Arc<RuleBook>,
    /// By number.
    keys: Vec<CellKey>,
    index: Index<CellKey, usize>,
    /// Of each client level and version, the configured client.
    clients: BTreeMap<(u16, u16), ClientName>,
    /// Of each endpoint, whether a control probe asks it.
    controls: Vec<bool>,
    names: Names,
}

/// The levels of one factor, in the order of their first use.
struct Levels<T>(Vec<T>);

impl<T: PartialEq> Levels<T> {
    fn of(&mut self, level: T) -> u16 {
        let known = self.0.iter().position(|other| *other == level);
        known.unwrap_or_else(|| {
            self.0.push(level);
            self.0.len() - 1
        }) as u16
    }
}

/// The version of a client, as people write it.
///
/// A program that was not told one has the version of those that it is compared with, so that it is not taken for the
/// version of its own choice.
fn version(plan: &Plan, client: &Client) -> &'static str {
    let untold = client.program.as_ref().is_some_and(|p| p.http.is_none());
    let own = |other: &&Client| other.program.is_none();
    let twin = || plan.clients.iter().find(|other| other.is_twin_of(client));
    let like = Some(client).filter(|_| untold);
    let like = like.and_then(|_| twin().or_else(|| plan.clients.iter().find(own)));
    match like.unwrap_or(client).http {
        HttpOffer::Http1 => "1.1",
        HttpOffer::Http2 => "2",
        HttpOffer::Either => "2 or 1.1",
    }
}

fn same_but_version(one: &Client, other: &Client) -> bool {
    one.user_agent == other.user_agent
        && one.tls == other.tls
        && one.headers == other.headers
        && one.program == other.program
        && one.control == other.control
}

/// The family of a client; a program that has a user agent of its own is of the family of who stands in for it.
fn family<'a>(plan: &'a Plan, client: &'a Client) -> &'a str {
    let twin = || plan.clients.iter().find(|other| other.is_twin_of(client));
    let unknown = client.program.is_some() && client.user_agent.is_empty();
    let like = unknown.then(twin).flatten();
    like.unwrap_or(client).family()
}

/// Which clients make the same requests over different stacks.
fn twins(clients: &[(&Client, u16)]) -> Vec<(usize, usize)> {
    let mut twins = Vec::new();
    for (place, (one, _)) in clients.iter().enumerate() {
        let others = clients.iter().enumerate().skip(place + 1);
        let like = others.filter(|(_, (other, _))| one.is_twin_of(other));
        twins.extend(like.map(|(other, _)| (place, other)));
    }
    twins
}

/// The fingerprint of each client and version, where a program among them makes it matter.
fn fingerprints(
    plan: &Plan,
    clients: &BTreeMap<(u16, u16), ClientName>,
    stacks: &Stacks,
) -> Vec<(usize, usize, String)> {
    let of_program = |name: &ClientName| plan.client(name).is_some_and(|c| c.program.is_some());
    if !clients.values().any(of_program) {
        return Vec::new();
    }
    // Of edgewatch's own clients those that offer the same have the same.
    let like = |name: &ClientName| {
        let own = plan.client(name).filter(|c| c.program.is_none())?;
        let same = |other: &&Client| {
            other.program.is_none() && (other.http, other.tls) == (own.http, own.tls)
        };
        let mut others = plan.clients.iter().filter(same);
        others.find_map(|other| stacks.get(&other.name))
    };
    let known = clients.iter().filter_map(|((client, version), name)| {
        let stack = stacks.get(name).or_else(|| like(name))?.clone();
        Some((usize::from(*client), usize::from(*version), stack))
    });
    known.collect()
}

/// Over which IP family each egress asks, where two of one place differ in that.
///
/// What a proxy connects with is not ours to see.
fn ip_families(plan: &Plan, egresses: &[EgressName]) -> Vec<(usize, String)> {
    let family = |egress: &Egress| match (egress.family, &egress.way) {
        (_, Way::Proxy(_)) => None,
        (IpFamily::Any, Way::Address(address)) if address.is_ipv4() => Some(IpFamily::V4),
        (IpFamily::Any, Way::Address(_)) => Some(IpFamily::V6),
        (family, _) => Some(family).filter(|family| *family != IpFamily::Any),
    };
    let place = |egress: &Egress| {
        let interface = match &egress.way {
            Way::Interface(name) => Some(name.clone()),
            _ => None,
        };
        (egress.site.clone(), egress.region.clone(), interface)
    };
    let known: Vec<(usize, IpFamily, _)> = egresses
        .iter()
        .enumerate()
        .filter_map(|(at, name)| {
            let egress = plan.egress(name)?;
            Some((at, family(egress)?, place(egress)))
        })
        .collect();
    let has_twin = |(_, family, place): &(usize, IpFamily, _)| {
        let mut others = known.iter();
        others.any(|(_, other, there)| other != family && there == place)
    };
    if !known.iter().any(has_twin) {
        return Vec::new();
    }
    let named = known.iter().map(|(at, family, _)| {
        let name = if *family == IpFamily::V6 {
            "IPv6"
        } else {
            "IPv4"
        };
        (*at, name.to_owned())
    });
    named.collect()
}

/// The first path segment of a probe's URL, with its slash.
fn prefix(probe: &Probe) -> String {
    let mut segments = probe.url.path_segments().into_iter().flatten();
    format!("/{}", segments.next().unwrap_or_default())
}

impl Layout {
    /// Lays out the cells of one partner and those of the controls.
    ///
    /// # Errors
    /// When there are more cells than can be diagnosed together.
    pub(crate) fn new(
        plan: &Plan,
        cells: &[&CellKey],
        controls: &[&CellKey],
        shown: Shown<'_>,
    ) -> Result<Self, BadUniverse> {
        let mut probes = Levels(Vec::new());
        let mut egresses = Levels(Vec::new());
        let mut credentials = Levels(Vec::new());
        let mut versions = Levels(Vec::new());
        let mut clients: Vec<(&Client, u16)> = Vec::new();
        let mut taken: BTreeMap<(u16, u16), ClientName> = BTreeMap::new();
        let mut places: Vec<(Cell, &CellKey)> = Vec::with_capacity(cells.len() + controls.len());
        let auth: HashSet<_> = cells
            .iter()
            .filter(|key| !key.credential.is_anonymous())
            .map(|key| key.probe.clone())
            .collect();
        for key in cells.iter().chain(controls) {
            let Some(client) = plan.client(&key.client) else {
                continue;
            };
            let version = versions.of(version(plan, client));
            let same = clients.iter().find(|(known, level)| {
                same_but_version(known, client)
                    && taken
                        .get(&(*level, version))
                        .is_none_or(|name| *name == key.client)
            });
            let level = if let Some((_, level)) = same {
                *level
            } else {
                let level = clients.len() as u16;
                clients.push((client, level));
                level
            };
            taken.insert((level, version), key.client.clone());
            let cell = Cell {
                endpoint: probes.of(key.probe.clone()),
                egress: egresses.of(key.egress.clone()),
                client: level,
                credential: if auth.contains(&key.probe) {
                    credentials.of(key.credential.clone())
                } else {
                    0
                },
                version,
            };
            places.push((cell, key));
        }
        if credentials.0.is_empty() {
            credentials.of(CredentialName::anonymous());
        }
        let endpoints = probes.0.iter().filter_map(|name| plan.probe(name));
        let asked_by_controls = endpoints.clone().map(|probe| probe.control).collect();
        let names = Names {
            endpoints: endpoints
                .map(|probe| EndpointNames {
                    name: probe.name.to_string(),
                    host: probe.host(),
                    provider: if probe.control {
                        format!("control {}", probe.name)
                    } else {
                        probe.partner.clone()
                    },
                    prefix: prefix(probe),
                    method: probe.method.to_string(),
                    auth: auth.contains(&probe.name),
                    quick: probe.tell == Tell::Quick,
                })
                .collect(),
            egresses: egresses
                .0
                .iter()
                .map(|name| {
                    let region = plan.egress(name).and_then(|egress| egress.region.clone());
                    (
                        name.to_string(),
                        region.unwrap_or_else(|| format!("egress {name}")),
                    )
                })
                .collect(),
            clients: clients
                .iter()
                .map(|(client, _)| (client.name.to_string(), family(plan, client).to_owned()))
                .collect(),
            control: clients.iter().position(|(client, _)| client.control),
            credentials: credentials.0.iter().map(ToString::to_string).collect(),
            versions: versions.0.iter().map(ToString::to_string).collect(),
            ip_families: ip_families(plan, &egresses.0),
            stacks: fingerprints(plan, &taken, shown.stacks),
            twins: twins(&clients),
            pops: shares(shown.landings, &egresses.0),
        };
        let allowed: HashSet<Cell> = places.iter().map(|(cell, _)| *cell).collect();
        let universe = Universe::build(&names, |cell| allowed.contains(cell))?;
        let mut index = Index::default();
        let mut keys: Vec<Option<CellKey>> = vec![None; universe.cells.len()];
        for (cell, key) in places {
            if let Some(number) = universe.find(&cell) {
                index.insert(key.clone(), number);
                keys[number].get_or_insert_with(|| key.clone());
            }
        }
        Ok(Self {
            book: Arc::new(RuleBook::new(&universe)),
            universe: Arc::new(universe),
            // Every cell that is allowed came from a key.
            keys: keys.into_iter().flatten().collect(),
            index,
            clients: taken,
            controls: asked_by_controls,
            names,
        })
    }

    /// The partner's own endpoints.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        let all = self.universe.endpoints.iter().zip(&self.controls);
        all.filter(|(_, control)| !**control)
            .map(|(endpoint, _)| endpoint)
    }

    /// Whether a cell is the partner's, and no control's.
    pub(crate) fn is_theirs(&self, cell: usize) -> bool {
        !self.controls[usize::from(self.universe.cells[cell].endpoint)]
    }

    /// The number of a cell.
    #[must_use]
    pub(crate) fn find(&self, key: &CellKey) -> Option<usize> {
        self.index.get(key).copied()
    }

    #[must_use]
    pub(crate) fn key(&self, cell: usize) -> &CellKey {
        &self.keys[cell]
    }

    /// Every cell, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &CellKey> {
        self.keys.iter()
    }

    /// The number of a point of presence.
    #[must_use]
    pub(crate) fn pop(&self, name: &str) -> Option<u16> {
        let place = self.universe.pops.iter().position(|pop| pop == name);
        place.map(|place| place as u16)
    }

    /// The configured clients of a client level, of a version, or of both.
    #[must_use]
    pub(crate) fn clients(&self, level: Option<u16>, version: Option<u16>) -> Vec<ClientName> {
        let fits = |wanted: Option<u16>, is: u16| wanted.is_none_or(|wanted| wanted == is);
        self.clients
            .iter()
            .filter(|((l, v), _)| fits(level, *l) && fits(version, *v))
            .map(|(_, name)| name.clone())
            .collect()
    }

    /// The configured clients with a TLS fingerprint.
    #[must_use]
    pub(crate) fn clients_with(&self, stack: u16) -> Vec<ClientName> {
        let of = |place: &(u16, u16)| self.universe.stack_of.get(place) == Some(&stack);
        let clients = self.clients.iter().filter(|(place, _)| of(place));
        clients.map(|(_, name)| name.clone()).collect()
    }

    /// The TLS fingerprint of a configured client, where it was seen and matters.
    #[must_use]
    pub(crate) fn stack_of(&self, client: &ClientName) -> Option<&str> {
        let (place, _) = self.clients.iter().find(|(_, name)| *name == client)?;
        let stack = self.universe.stack_of.get(place)?;
        Some(&self.universe.stacks[usize::from(*stack)])
    }

    /// Whether another layout has the same cells under the same numbers.
    #[must_use]
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.keys == other.keys && self.universe == other.universe
    }

    /// The same cells with other points of presence and TLS fingerprints.
    ///
    /// # Errors
    /// Never with what a layout was built from.
    pub(crate) fn with_seen(&self, plan: &Plan, shown: Shown<'_>) -> Result<Self, BadUniverse> {
        let egresses: Vec<EgressName> = self
            .names
            .egresses
            .iter()
            .map(|(name, _)| EgressName::new(name))
            .collect();
        let mut names = self.names.clone();
        names.pops = shares(shown.landings, &egresses);
        names.stacks = fingerprints(plan, &self.clients, shown.stacks);
        let universe = Universe::build(&names, |cell| self.universe.find(cell).is_some())?;
        Ok(Self {
            book: Arc::new(RuleBook::new(&universe)),
            universe: Arc::new(universe),
            names,
            ..self.clone()
        })
    }
}

/// How often requests from each egress land in each `PoP`, of those that are known.
fn shares(landings: &Landings, egresses: &[EgressName]) -> Vec<(String, String, String, f64)> {
    let mut shares = Vec::new();
    for ((host, egress), pops) in landings {
        if !egresses.contains(egress) {
            continue;
        }
        let all: u32 = pops.values().sum();
        for (pop, count) in pops {
            let share = f64::from(*count) / f64::from(all.max(1));
            shares.push((host.clone(), egress.to_string(), pop.clone(), share));
        }
    }
    shares
}
