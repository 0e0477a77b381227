//! Everything that can be asked, as small integers: the factors, their levels, and the cells.
//!
//! The diagnosis compares thousands of explanations over sets of cells, so it works on indices and bit
//! sets and never on names. Names stay in the tables of a [`Universe`] for the words at the end. The
//! daemon builds one from its plan, the scenario player one from a file.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::verdict::Factor;

/// A request target with the traits that a refusal may hang on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub name: String,
    pub host: u16,
    /// The partner; several hosts may belong to one.
    pub provider: u16,
    /// First path segment (`/v1`).
    pub prefix: u16,
    pub method: u16,
    /// Whether requests carry the cell's credential.
    pub auth: bool,
    /// Whether its second signed refusal is told, though it may be a burst.
    pub quick: bool,
}

/// A level that belongs to a wider one: an egress to its region, a client to its family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub group: u16,
}

/// How often requests from an egress to a host land in a `PoP` of the host's CDN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PopShare {
    pub host: u16,
    pub egress: u16,
    pub pop: u16,
    /// Between 0 and 1.
    pub share: f64,
}

impl Axis {
    /// The factor that it is in what people read.
    #[must_use]
    pub fn factor(self) -> Factor {
        match self {
            Self::Endpoint => Factor::Endpoint,
            Self::Egress => Factor::Egress,
            Self::Client => Factor::Client,
            Self::Credential => Factor::Credential,
            Self::Version => Factor::Http,
        }
    }
}

/// One way to send a request, as indices into the tables of its [`Universe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    pub endpoint: u16,
    pub egress: u16,
    pub client: u16,
    pub credential: u16,
    pub version: u16,
}

impl Cell {
    /// The level of one factor.
    #[must_use]
    pub fn level(&self, axis: Axis) -> u16 {
        match axis {
            Axis::Endpoint => self.endpoint,
            Axis::Egress => self.egress,
            Axis::Client => self.client,
            Axis::Credential => self.credential,
            Axis::Version => self.version,
        }
    }

    /// The same cell with another level of one factor.
    #[must_use]
    pub fn with(mut self, axis: Axis, level: u16) -> Self {
        *(match axis {
            Axis::Endpoint => &mut self.endpoint,
            Axis::Egress => &mut self.egress,
            Axis::Client => &mut self.client,
            Axis::Credential => &mut self.credential,
            Axis::Version => &mut self.version,
        }) = level;
        self
    }
}

/// A dimension of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Axis {
    Endpoint,
    Egress,
    Client,
    Credential,
    Version,
}

impl Axis {
    pub const ALL: [Self; 5] = [
        Self::Endpoint,
        Self::Egress,
        Self::Client,
        Self::Credential,
        Self::Version,
    ];
}

/// The configured factors and every cell that may be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Universe {
    pub endpoints: Vec<Endpoint>,
    pub hosts: Vec<String>,
    pub providers: Vec<String>,
    pub prefixes: Vec<String>,
    pub methods: Vec<String>,
    pub egresses: Vec<Member>,
    pub regions: Vec<String>,
    pub clients: Vec<Member>,
    pub families: Vec<String>,
    /// The honest client that should pass everywhere; only asked on suspicion.
    pub control: Option<u16>,
    pub credentials: Vec<String>,
    /// HTTP versions.
    pub versions: Vec<String>,
    /// TLS fingerprints, where the clients have several that were seen.
    pub stacks: Vec<String>,
    /// IP families, where egresses of one place differ in nothing else.
    pub ip_families: Vec<String>,
    /// The one of each egress.
    pub ip_family_of: BTreeMap<u16, u16>,
    /// The one of each client level and version.
    pub stack_of: BTreeMap<(u16, u16), u16>,
    /// Clients that make the same requests over different stacks.
    twins: Vec<(u16, u16)>,
    pub pops: Vec<String>,
    pub pop_shares: Vec<PopShare>,
    pub cells: Vec<Cell>,
    host_of: Vec<u16>,
    index: BTreeMap<Cell, u32>,
}

/// The names that a [`Universe`] is built from; order is kept, the first level of a factor is its base.
#[derive(Debug, Clone, Default)]
pub struct Names {
    pub endpoints: Vec<EndpointNames>,
    /// `(egress, region)`
    pub egresses: Vec<(String, String)>,
    /// `(client, family)`
    pub clients: Vec<(String, String)>,
    /// Index into `clients` of the control client.
    pub control: Option<usize>,
    pub credentials: Vec<String>,
    pub versions: Vec<String>,
    /// Places of egresses and their IP family.
    pub ip_families: Vec<(usize, String)>,
    /// Places of a client and of a version, and the TLS fingerprint that they have together.
    pub stacks: Vec<(usize, usize, String)>,
    /// Places of clients that make the same requests over different stacks.
    pub twins: Vec<(usize, usize)>,
    /// `(host, egress, PoP, share)`
    pub pops: Vec<(String, String, String, f64)>,
}

/// An endpoint by names.
#[derive(Debug, Clone, Default)]
pub struct EndpointNames {
    pub name: String,
    pub host: String,
    pub provider: String,
    pub prefix: String,
    pub method: String,
    pub auth: bool,
    pub quick: bool,
}

/// A universe that can't be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadUniverse(String);

impl fmt::Display for BadUniverse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadUniverse {}

/// More cells than this can't be diagnosed in bounded time and memory.
pub const CELLS_MAX: usize = 20_000;

/// The position of a name in a table, added at the end when it is new.
fn intern(table: &mut Vec<String>, name: &str) -> u16 {
    let at = table.iter().position(|n| n == name).unwrap_or_else(|| {
        table.push(name.to_owned());
        table.len() - 1
    });
    at as u16
}

impl Universe {
    /// Builds the tables and every cell that `allowed` lets pass.
    ///
    /// Endpoints without authentication have cells for the first credential only.
    ///
    /// # Errors
    /// When a factor has no level, a name is unknown, or there would be more than [`CELLS_MAX`] cells.
    pub fn build(names: &Names, allowed: impl Fn(&Cell) -> bool) -> Result<Self, BadUniverse> {
        let empty = |what: &str| Err(BadUniverse(format!("a universe needs at least one {what}")));
        if names.endpoints.is_empty() {
            return empty("endpoint");
        }
        if names.egresses.is_empty() {
            return empty("egress");
        }
        if names.clients.is_empty() {
            return empty("client");
        }
        if names.credentials.is_empty() {
            return empty("credential");
        }
        if names.versions.is_empty() {
            return empty("HTTP version");
        }
        let product = [
            names.endpoints.len(),
            names.egresses.len(),
            names.clients.len(),
            names.credentials.len(),
            names.versions.len(),
        ]
        .iter()
        .try_fold(1_usize, |all, n| all.checked_mul(*n));
        if product.is_none_or(|n| n > 100 * CELLS_MAX) {
            return Err(BadUniverse(format!(
                "the factors have more combinations than {}",
                100 * CELLS_MAX
            )));
        }
        let mut it = Self {
            endpoints: Vec::new(),
            hosts: Vec::new(),
            providers: Vec::new(),
            prefixes: Vec::new(),
            methods: Vec::new(),
            egresses: Vec::new(),
            regions: Vec::new(),
            clients: Vec::new(),
            families: Vec::new(),
            control: names.control.map(|i| i as u16),
            credentials: names.credentials.clone(),
            versions: names.versions.clone(),
            ip_families: Vec::new(),
            ip_family_of: BTreeMap::new(),
            stacks: Vec::new(),
            stack_of: BTreeMap::new(),
            twins: names
                .twins
                .iter()
                .map(|(a, b)| (*a as u16, *b as u16))
                .collect(),
            pops: Vec::new(),
            pop_shares: Vec::new(),
            cells: Vec::new(),
            host_of: Vec::new(),
            index: BTreeMap::new(),
        };
        for e in &names.endpoints {
            let endpoint = Endpoint {
                name: e.name.clone(),
                host: intern(&mut it.hosts, &e.host),
                provider: intern(&mut it.providers, &e.provider),
                prefix: intern(&mut it.prefixes, &e.prefix),
                method: intern(&mut it.methods, &e.method),
                auth: e.auth,
                quick: e.quick,
            };
            it.endpoints.push(endpoint);
        }
        for (name, region) in &names.egresses {
            let group = intern(&mut it.regions, region);
            it.egresses.push(Member {
                name: name.clone(),
                group,
            });
        }
        for (name, family) in &names.clients {
            let group = intern(&mut it.families, family);
            it.clients.push(Member {
                name: name.clone(),
                group,
            });
        }
        for (egress, family) in &names.ip_families {
            let family = intern(&mut it.ip_families, family);
            it.ip_family_of.insert(*egress as u16, family);
        }
        for (client, version, stack) in &names.stacks {
            let stack = intern(&mut it.stacks, stack);
            it.stack_of.insert((*client as u16, *version as u16), stack);
        }
        for (host, egress, pop, share) in &names.pops {
            let Some(host) = it.hosts.iter().position(|h| h == host) else {
                return Err(BadUniverse(format!(
                    "pops: no endpoint has the host {host:?}"
                )));
            };
            let Some(egress) = it.egresses.iter().position(|e| e.name == *egress) else {
                return Err(BadUniverse(format!("pops: there is no egress {egress:?}")));
            };
            let pop = intern(&mut it.pops, pop);
            it.pop_shares.push(PopShare {
                host: host as u16,
                egress: egress as u16,
                pop,
                share: *share,
            });
        }
        it.enumerate(allowed)?;
        Ok(it)
    }

    fn enumerate(&mut self, allowed: impl Fn(&Cell) -> bool) -> Result<(), BadUniverse> {
        for endpoint in 0..self.endpoints.len() as u16 {
            let target = &self.endpoints[usize::from(endpoint)];
            let credentials = if target.auth {
                self.credentials.len() as u16
            } else {
                1
            };
            for egress in 0..self.egresses.len() as u16 {
                for client in 0..self.clients.len() as u16 {
                    for credential in 0..credentials {
                        for version in 0..self.versions.len() as u16 {
                            let cell = Cell {
                                endpoint,
                                egress,
                                client,
                                credential,
                                version,
                            };
                            if allowed(&cell) {
                                self.index.insert(cell, self.cells.len() as u32);
                                self.cells.push(cell);
                                self.host_of.push(target.host);
                            }
                        }
                    }
                }
            }
            if self.cells.len() > CELLS_MAX {
                return Err(BadUniverse(format!("more than {CELLS_MAX} cells")));
            }
        }
        if self.cells.is_empty() {
            return Err(BadUniverse("no cell is allowed".to_owned()));
        }
        Ok(())
    }

    /// The index of a cell, if it may be asked.
    #[must_use]
    pub fn find(&self, cell: &Cell) -> Option<usize> {
        self.index.get(cell).map(|i| *i as usize)
    }

    #[must_use]
    pub fn host_of(&self, cell: usize) -> u16 {
        self.host_of[cell]
    }

    #[must_use]
    pub fn is_control(&self, cell: usize) -> bool {
        Some(self.cells[cell].client) == self.control
    }

    /// The TLS fingerprint of a cell's requests; `None`: not seen.
    #[must_use]
    pub fn stack(&self, cell: usize) -> Option<u16> {
        let cell = &self.cells[cell];
        self.stack_of.get(&(cell.client, cell.version)).copied()
    }

    /// The egresses of an IP family.
    pub fn of_ip_family(&self, family: u16) -> impl Iterator<Item = u16> + '_ {
        let all = self.ip_family_of.iter();
        all.filter(move |(_, of)| **of == family)
            .map(|(egress, _)| *egress)
    }

    /// Another client that makes the same requests over another stack.
    #[must_use]
    pub fn stands_in_for(&self, client: u16) -> Option<u16> {
        self.twins_of(client).next()
    }

    fn twins_of(&self, client: u16) -> impl Iterator<Item = u16> + '_ {
        self.twins.iter().filter_map(move |(a, b)| match client {
            client if client == *a => Some(*b),
            client if client == *b => Some(*a),
            _ => None,
        })
    }

    /// The cells that differ from one in the stack alone.
    pub fn twins(&self, cell: usize) -> impl Iterator<Item = usize> + '_ {
        let cell = self.cells[cell];
        let twins = self.twins_of(cell.client);
        twins.filter_map(move |client| self.find(&cell.with(Axis::Client, client)))
    }

    /// The name of a level.
    #[must_use]
    pub fn name(&self, axis: Axis, level: u16) -> &str {
        let level = usize::from(level);
        match axis {
            Axis::Endpoint => &self.endpoints[level].name,
            Axis::Egress => &self.egresses[level].name,
            Axis::Client => &self.clients[level].name,
            Axis::Credential => &self.credentials[level],
            Axis::Version => &self.versions[level],
        }
    }

    /// How many levels a factor has.
    #[must_use]
    pub fn levels(&self, axis: Axis) -> u16 {
        (match axis {
            Axis::Endpoint => self.endpoints.len(),
            Axis::Egress => self.egresses.len(),
            Axis::Client => self.clients.len(),
            Axis::Credential => self.credentials.len(),
            Axis::Version => self.versions.len(),
        }) as u16
    }

    /// The share of requests from an egress to a host that land in a `PoP`.
    #[must_use]
    pub fn pop_share(&self, host: u16, egress: u16, pop: u16) -> f64 {
        self.pop_shares
            .iter()
            .find(|s| s.host == host && s.egress == egress && s.pop == pop)
            .map_or(0.0, |s| s.share)
    }

    /// A cell in words: `orders from de1 as okhttp with key-a`.
    #[must_use]
    pub fn describe(&self, cell: usize) -> String {
        let c = &self.cells[cell];
        let mut text = format!(
            "{} from {} as {}",
            self.endpoints[usize::from(c.endpoint)].name,
            self.egresses[usize::from(c.egress)].name,
            self.clients[usize::from(c.client)].name
        );
        if self.credentials.len() > 1 && self.endpoints[usize::from(c.endpoint)].auth {
            text.push_str(" with ");
            text.push_str(&self.credentials[usize::from(c.credential)]);
        }
        if self.versions.len() > 1 {
            text.push_str(" over ");
            text.push_str(&self.versions[usize::from(c.version)]);
        }
        text
    }
}
