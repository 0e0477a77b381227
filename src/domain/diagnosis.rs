//! An explanation of the verdicts of a matrix: the cause, how sure, and by which cells.

use std::fmt;

use super::cell::{CellKey, ClientName, CredentialName, EgressName, ProbeName};
use super::verdict::Factor;

/// One level of one factor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    Egress(EgressName),
    Client(ClientName),
    Credential(CredentialName),
    Probe(ProbeName),
}

impl Level {
    #[must_use]
    pub fn factor(&self) -> Factor {
        match self {
            Self::Egress(_) => Factor::Egress,
            Self::Client(_) => Factor::Client,
            Self::Credential(_) => Factor::Credential,
            Self::Probe(_) => Factor::Endpoint,
        }
    }

    #[must_use]
    pub fn covers(&self, cell: &CellKey) -> bool {
        match self {
            Self::Egress(name) => cell.egress == *name,
            Self::Client(name) => cell.client == *name,
            Self::Credential(name) => cell.credential == *name,
            Self::Probe(name) => cell.probe == *name,
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
        }
    }
}

/// What the verdicts of a host's cells hang on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Exactly the cells with this level fail.
    Level(Level),
    /// Every cell of the host fails while controls pass.
    Everything,
    /// Controls fail too: our network, not the partner.
    OurNetwork {
        /// The egresses whose controls fail; all of them when we are offline.
        egresses: Vec<EgressName>,
    },
    /// More than one explanation fits, or none of a single level; the cells speak for themselves.
    Unknown {
        /// The levels that fit equally well; empty when no single level fits.
        among: Vec<Level>,
    },
}

/// A diagnosis, with the cells that carry it.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    pub cause: Cause,
    /// Between 0 and 1; how often a claim of this strength is right.
    pub confidence: f64,
    pub failing: Vec<CellKey>,
    pub passing: Vec<CellKey>,
    /// What it is not, each with the pair of runs that shows it.
    pub ruled_out: Vec<RuledOut>,
    /// Which request or which configuration would tell more.
    pub would_tell: Option<String>,
}

/// A factor that was ruled out, and by which pair: they differ in that factor alone or as `because` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuledOut {
    pub factor: Factor,
    /// A sentence ("not your IPs: `java-17` passes from `de1` as well").
    pub because: String,
    pub failing: Option<CellKey>,
    pub passing: Option<CellKey>,
}
