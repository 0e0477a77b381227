//! By which addresses hosts were reached.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cell::EgressName;

/// By which addresses an egress got through to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownWay {
    pub egress: EgressName,
    /// `host`, or `host:port` when the port is not the scheme's own.
    pub host: String,
    pub addresses: Vec<ReachedAddress>,
}

/// An address of a host, and when it was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachedAddress {
    pub address: IpAddr,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}
