//! What an incident is about.

use serde::{Deserialize, Serialize};

/// What an incident is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Cells of this host (`host:port` when the port is not the scheme's own).
    Host(String),
    /// Cells of several hosts of this partner.
    Partner(String),
    /// An edge that fails in front of several partners; its name as in [`super::verdict::Verdict::vendor`].
    Vendor(String),
    /// Our own network: controls fail.
    OurNetwork,
    /// The agent of this site is silent, or where that is [`NATS`], all of them at once: we can't reach the server.
    Site(String),
}

/// In place of a site's name: the server where sites and hub meet.
pub const NATS: &str = "nats";
