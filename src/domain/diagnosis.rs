//! An explanation of the verdicts of a matrix: the cause, how sure, and by which cells.

use serde::{Deserialize, Serialize};
use std::fmt;

use super::cell::{CellKey, ClientName, CredentialName, EgressName, ProbeName};
use super::form::{fraction, fraction_option};
use super::verdict::Factor;

/// One level of one factor, or several that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Egress(EgressName),
    Client(ClientName),
    Credential(CredentialName),
    Probe(ProbeName),
    /// Every egress of a region.
    Region {
        name: String,
        egresses: Vec<EgressName>,
    },
    /// Every egress that asks over this IP family (`IPv6`).
    IpFamily {
        name: String,
        egresses: Vec<EgressName>,
    },
    /// Every client of a family: the product that the user agent names first (`Java`).
    Family {
        name: String,
        clients: Vec<ClientName>,
    },
    /// Every client whose TLS hello has this fingerprint.
    Stack {
        ja4: String,
        clients: Vec<ClientName>,
    },
    /// Every client that offers this HTTP version.
    Http {
        #[serde(alias = "name")]
        version: String,
        clients: Vec<ClientName>,
    },
    /// Every request with this method.
    Method {
        name: String,
        probes: Vec<ProbeName>,
    },
    /// Every request below this path (`api.partner.example/v1`).
    Path {
        name: String,
        probes: Vec<ProbeName>,
    },
    /// Every request to this host.
    Host {
        name: String,
        probes: Vec<ProbeName>,
    },
    /// Every client, egress or credential (`others`) but the one with this name.
    AllBut {
        factor: Factor,
        name: String,
        others: Vec<String>,
    },
}

impl Level {
    #[must_use]
    pub fn factor(&self) -> Factor {
        match self {
            Self::Egress(_) | Self::Region { .. } | Self::IpFamily { .. } => Factor::Egress,
            Self::Client(_) | Self::Family { .. } => Factor::Client,
            Self::Credential(_) => Factor::Credential,
            Self::Probe(_) | Self::Path { .. } => Factor::Endpoint,
            Self::Http { .. } => Factor::Http,
            Self::Stack { .. } => Factor::Stack,
            Self::Method { .. } => Factor::Method,
            Self::Host { .. } => Factor::Host,
            Self::AllBut { factor, .. } => *factor,
        }
    }

    #[must_use]
    pub fn covers(&self, cell: &CellKey) -> bool {
        match self {
            Self::Egress(name) => cell.egress == *name,
            Self::Client(name) => cell.client == *name,
            Self::Credential(name) => cell.credential == *name,
            Self::Probe(name) => cell.probe == *name,
            Self::Region { egresses, .. } | Self::IpFamily { egresses, .. } => {
                egresses.contains(&cell.egress)
            }
            Self::Family { clients, .. }
            | Self::Http { clients, .. }
            | Self::Stack { clients, .. } => clients.contains(&cell.client),
            Self::Method { probes, .. } | Self::Path { probes, .. } | Self::Host { probes, .. } => {
                probes.contains(&cell.probe)
            }
            Self::AllBut { factor, others, .. } => {
                let level = match factor {
                    Factor::Egress => cell.egress.as_str(),
                    Factor::Credential => cell.credential.as_str(),
                    _ => cell.client.as_str(),
                };
                others.iter().any(|other| other == level)
            }
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Egress(name) => write!(f, "egress {name}"),
            Self::Client(name) => write!(f, "client {name}"),
            Self::Credential(name) => write!(f, "credential {name}"),
            Self::Probe(name) => write!(f, "probe {name}"),
            Self::Region { name, .. } => write!(f, "region {name}"),
            Self::IpFamily { name, .. } => write!(f, "{name}"),
            Self::Family { name, .. } => write!(f, "client family {name}"),
            Self::Http { version, .. } => write!(f, "HTTP version {version}"),
            Self::Stack { ja4, .. } => write!(f, "TLS fingerprint {ja4}"),
            Self::Method { name, .. } => write!(f, "method {name}"),
            Self::Path { name, .. } => write!(f, "path {name}"),
            Self::Host { name, .. } => write!(f, "host {name}"),
            Self::AllBut { factor, name, .. } => write!(f, "every {factor} but {name}"),
        }
    }
}

/// What the verdicts of a host's cells hang on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Exactly the cells with this level fail.
    Level(Level),
    /// Exactly the cells with all of these levels fail; at least two.
    Together(Vec<Level>),
    /// Cells with any of these causes fail: several levels of one factor.
    AnyOf(Vec<Cause>),
    /// Every cell of the subject fails while controls pass.
    Everything,
    /// What this point of presence of the CDN answers fails; which request lands there is not ours to choose.
    Pop(String),
    /// We ask too often.
    OwnRate {
        /// Requests a minute at which it begins.
        per_minute: u32,
        /// Whether the requests of each egress are counted by themselves.
        by_egress: bool,
    },
    /// Controls fail too: our network, not the partner.
    OurNetwork {
        /// The egresses whose controls fail; all of them when we are offline.
        egresses: Vec<EgressName>,
    },
    /// The requests of these clients can't be made by us, while others leave from the same egresses.
    OurClients { clients: Vec<ClientName> },
    /// More than one explanation fits, or none of a single level; the cells speak for themselves.
    Unknown {
        /// The levels that fit equally well; empty when no single level fits.
        among: Vec<Level>,
    },
}

impl Cause {
    /// The levels that a cell must have to be hit; none when that is not a matter of levels.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        match self {
            Self::Level(level) => std::slice::from_ref(level),
            Self::Together(levels) => levels,
            _ => &[],
        }
    }

    /// The fault is on our own side.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::OurNetwork { .. } | Self::OurClients { .. })
    }

    /// Whether it hits a cell; `None` when levels don't decide that.
    #[must_use]
    pub fn covers(&self, cell: &CellKey) -> Option<bool> {
        match self {
            Self::Level(level) => Some(level.covers(cell)),
            Self::Together(levels) => Some(levels.iter().all(|level| level.covers(cell))),
            Self::AnyOf(causes) => Some(causes.iter().any(|c| c.covers(cell) == Some(true))),
            Self::OurNetwork { egresses } => Some(egresses.contains(&cell.egress)),
            Self::OurClients { clients } => Some(clients.contains(&cell.client)),
            Self::Everything | Self::Pop(_) | Self::OwnRate { .. } | Self::Unknown { .. } => None,
        }
    }
}

/// A diagnosis, with the cells that carry it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    pub cause: Cause,
    /// Between 0 and 1; how often a claim of this strength is right.
    #[serde(with = "fraction")]
    pub confidence: f64,
    /// Share of the cause's requests that fail, between 0 and 1; `None`: all of them do.
    #[serde(default, with = "fraction_option")]
    pub fails: Option<f64>,
    /// What sets those of them that fail apart from those that pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    pub failing: Vec<CellKey>,
    pub passing: Vec<CellKey>,
    /// What it is not, each with the pair of runs that shows it.
    pub ruled_out: Vec<RuledOut>,
    /// Which request or which configuration would tell more.
    pub would_tell: Option<String>,
}

/// Something that failing answers have in common and passing ones lack, though no cell decides it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    pub by: SplitBy,
    /// `cache-lhr7320-LHR`, `IPv6`, `192.0.2.7`.
    pub name: String,
    /// Requests that had it: how many failed, and of how many.
    pub failed: u32,
    pub of: u32,
    /// The others.
    pub others_failed: u32,
    pub others: u32,
}

/// What answers are told apart by, the widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitBy {
    /// The IP family that a name with both led to.
    IpFamily,
    /// The HTTP version that was agreed on.
    Http,
    /// The point of presence of an edge.
    Place,
    /// The machine of an edge.
    Machine,
    /// The address that a name led to.
    Address,
}

impl SplitBy {
    pub const ALL: [Self; 5] = [
        Self::IpFamily,
        Self::Http,
        Self::Place,
        Self::Machine,
        Self::Address,
    ];
}

/// A factor that was ruled out, and by which pair: they differ in that factor alone or as `because` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuledOut {
    pub factor: Factor,
    /// A sentence ("not your IPs: `java-17` passes from `de1` as well").
    pub because: String,
    pub failing: Option<CellKey>,
    pub passing: Option<CellKey>,
}

/// The factors of a cell that a single level can be named of, in the order of `mask`.
pub const FACTORS: [Factor; 4] = [
    Factor::Client,
    Factor::Egress,
    Factor::Credential,
    Factor::Endpoint,
];

/// The level that a cell has of a factor of [`FACTORS`].
#[must_use]
pub fn level(cell: &CellKey, factor: Factor) -> Level {
    match factor {
        Factor::Client => Level::Client(cell.client.clone()),
        Factor::Credential => Level::Credential(cell.credential.clone()),
        Factor::Endpoint => Level::Probe(cell.probe.clone()),
        _ => Level::Egress(cell.egress.clone()),
    }
}

/// Which factors two cells have in common: bit `n` for `FACTORS[n]`.
#[must_use]
pub fn shared(one: &CellKey, other: &CellKey) -> u8 {
    u8::from(one.client == other.client)
        | u8::from(one.egress == other.egress) << 1
        | u8::from(one.credential == other.credential) << 2
        | u8::from(one.probe == other.probe) << 3
}
