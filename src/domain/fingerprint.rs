//! The stable traits of an endpoint's front: who stands there, as far as answers show it.

use std::collections::BTreeSet;
use std::fmt;

/// What successful answers of a host have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint {
    /// The `Server` header without its version.
    pub server: Option<String>,
    /// Headers that only one CDN or WAF sends (`cf-ray`).
    pub markers: BTreeSet<String>,
    /// Organisation that issued the certificate.
    pub issuer: Option<String>,
    /// Number of the network that announces the address.
    pub asn: Option<u32>,
    /// Negotiated HTTP version.
    pub http: Option<String>,
    /// The registered domain that the name is an alias for.
    pub cname: Option<String>,
    /// Where the host redirects to, when it does.
    pub redirect: Option<String>,
    /// Header names in lower case.
    pub headers: BTreeSet<String>,
}

/// Which trait changed; when several did, the first of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DriftKind {
    EdgeAppeared,
    EdgeRemoved,
    EdgeChanged,
    NetworkChanged,
    IssuerChanged,
    ProtocolChanged,
    RedirectChanged,
    HeadersChanged,
}

impl DriftKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdgeAppeared => "edge_appeared",
            Self::EdgeRemoved => "edge_removed",
            Self::EdgeChanged => "edge_changed",
            Self::NetworkChanged => "network_changed",
            Self::IssuerChanged => "certificate_issuer_changed",
            Self::ProtocolChanged => "protocol_changed",
            Self::RedirectChanged => "redirect_changed",
            Self::HeadersChanged => "headers_changed",
        }
    }

    /// What differs between two fingerprints.
    #[must_use]
    pub fn between(old: &Fingerprint, new: &Fingerprint) -> Self {
        match (old.markers.is_empty(), new.markers.is_empty()) {
            (true, false) => Self::EdgeAppeared,
            (false, true) => Self::EdgeRemoved,
            (false, false) if old.markers != new.markers => Self::EdgeChanged,
            _ if old.asn != new.asn || old.cname != new.cname => Self::NetworkChanged,
            _ if old.issuer != new.issuer => Self::IssuerChanged,
            _ if old.http != new.http => Self::ProtocolChanged,
            _ if old.redirect != new.redirect => Self::RedirectChanged,
            _ => Self::HeadersChanged,
        }
    }
}

impl fmt::Display for DriftKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
