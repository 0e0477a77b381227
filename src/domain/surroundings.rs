//! What is remembered from one start to the next of what surrounds the probes: partners' fronts, and our own side.
//!
//! None of it is an incident; it is what was normal, so that a change can be told from the ordinary, and
//! the changes themselves for as long as an incident may have to do with them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cell::{ClientName, EgressName};
use super::fingerprint::Drift;
use super::form::{fraction, text};
use super::notification::Notification;
use super::ways::KnownWay;

/// What one step learned; stored together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// What is new of the memory; the rest stays as it was.
    pub memory: Memory,
    /// Changes that are told without being incidents.
    pub notifications: Vec<Notification>,
}

/// All that is remembered, or the part of it that changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    pub fronts: Vec<KnownFront>,
    pub ours: Option<OurSide>,
    /// Addresses by which hosts were reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ways: Vec<KnownWay>,
}

/// The front of one host as it was known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownFront {
    /// `host`, or `host:port` when the port is not the scheme's own.
    #[serde(default)]
    pub host: String,
    /// Which version of the rules made the fingerprints; those of another can't be compared.
    pub rules: u32,
    pub saved_at: Timestamp,
    /// First answer, seconds.
    #[serde(with = "fraction")]
    pub began: f64,
    pub prints: Vec<KnownPrint>,
    /// Who asked: a number each for probe and client.
    pub askers: Vec<u32>,
    /// The latest changes, oldest first.
    pub drifts: Vec<Drift>,
    /// Changes before those.
    pub earlier: u32,
}

/// A fingerprint that is normal for its host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownPrint {
    /// As `Fingerprint::to_text` writes it.
    pub print: String,
    /// When it was seen last, seconds.
    #[serde(with = "fraction")]
    pub last: f64,
    /// The latest answer had it.
    pub current: bool,
}

/// Our own side: what the world sees of us, and what the configuration said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OurSide {
    /// First look at it.
    pub began: Option<Timestamp>,
    /// Public addresses of each egress; both families may be there.
    pub addresses: BTreeMap<EgressName, Vec<SeenAddress>>,
    /// Differences from the configured `public:` that were told: `(configured, seen)`.
    pub told: BTreeMap<EgressName, Vec<(IpAddr, IpAddr)>>,
    pub clients: BTreeMap<ClientName, ClientFace>,
    /// Whose TLS each client was seen to have.
    #[serde(default)]
    pub stacks: BTreeMap<ClientName, SeenStack>,
    /// When it was told last that clients of ours are refused and the systems are not.
    #[serde(default)]
    pub refused: BTreeMap<ClientName, Timestamp>,
    /// How each egress leaves this host, without passwords.
    pub ways: BTreeMap<EgressName, String>,
    /// The latest changes, oldest first.
    pub changes: Vec<OwnChange>,
}

/// A public address that an egress has or had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenAddress {
    pub address: IpAddr,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// The present one of its family.
    pub current: bool,
}

/// How a client presented itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFace {
    pub user_agent: String,
    /// A digest of all the rest: headers, HTTP and TLS.
    #[serde(with = "text")]
    pub rest: u64,
}

/// The TLS of a client as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenStack {
    /// Fingerprint of a fresh connection.
    pub ja4: String,
    /// The program's own version, as it says; empty for edgewatch and for programs that say nothing.
    pub version: String,
}

/// Something of ours that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OwnChange {
    pub at: Timestamp,
    #[serde(flatten)]
    pub what: Own,
    /// A phrase that can follow a name.
    pub text: String,
}

/// Whose change it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Own {
    Client(ClientName),
    Egress(EgressName),
}
