//! The stable traits of an endpoint's front: who stands there, as far as answers show it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::form::fraction;
use super::spelling::spelled;

/// What successful answers of a host have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct Fingerprint {
    /// The `Server` header without its version.
    pub server: Option<String>,
    /// CDNs and WAFs that show themselves: their name (`cloudflare`), or a header that only one of them sends.
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

spelled!(
    /// Which part of a [`Fingerprint`] a value belongs to.
    Trait {
        Server = "server",
        Marker = "marker",
        Issuer = "issuer",
        Asn = "asn",
        Http = "http",
        Cname = "cname",
        Redirect = "redirect",
        Header = "header",
    }
);

impl Trait {
    /// Whether it is the same for everything that is asked of a host: path, client and method don't matter.
    #[must_use]
    pub fn is_core(self) -> bool {
        matches!(self, Self::Marker | Self::Issuer | Self::Asn | Self::Cname)
    }
}

impl Fingerprint {
    /// Takes in one value; a number that is none is left out.
    pub fn add(&mut self, part: Trait, value: &str) {
        let value = value.to_owned();
        match part {
            Trait::Server => self.server = Some(value),
            Trait::Issuer => self.issuer = Some(value),
            Trait::Asn => self.asn = value.parse().ok(),
            Trait::Http => self.http = Some(value),
            Trait::Cname => self.cname = Some(value),
            Trait::Redirect => self.redirect = Some(value),
            Trait::Marker => drop(self.markers.insert(value)),
            Trait::Header => drop(self.headers.insert(value)),
        }
    }

    /// Hands out every value, each once.
    pub fn each(&self, mut take: impl FnMut(Trait, &str)) {
        let single = [
            (Trait::Server, &self.server),
            (Trait::Issuer, &self.issuer),
            (Trait::Http, &self.http),
            (Trait::Cname, &self.cname),
            (Trait::Redirect, &self.redirect),
        ];
        for (part, value) in single {
            if let Some(value) = value {
                take(part, value);
            }
        }
        if let Some(asn) = self.asn {
            take(Trait::Asn, &asn.to_string());
        }
        for marker in &self.markers {
            take(Trait::Marker, marker);
        }
        for header in &self.headers {
            take(Trait::Header, header);
        }
    }

    /// The fingerprint as a text of `part value` lines; it takes a tenth of the memory.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.each(|part, value| {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(part.as_str());
            text.push(' ');
            text.extend(
                value
                    .chars()
                    .map(|c| if super::shown::is_unsafe(c) { ' ' } else { c }),
            );
        });
        text
    }

    /// Reads what [`Fingerprint::to_text`] wrote; lines that say nothing known are left out.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let mut print = Self::default();
        for line in text.lines() {
            let Some((word, value)) = line.split_once(' ') else {
                continue;
            };
            if let Some(part) = Trait::from_word(word) {
                print.add(part, value);
            }
        }
        print
    }
}

impl From<Fingerprint> for String {
    fn from(print: Fingerprint) -> Self {
        print.to_text()
    }
}

impl From<String> for Fingerprint {
    fn from(text: String) -> Self {
        Self::from_text(&text)
    }
}

/// A change of a host's front.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// First sighting, seconds.
    #[serde(with = "fraction")]
    pub at: f64,
    /// When it was certain.
    #[serde(with = "fraction")]
    pub noticed_at: f64,
    pub kind: DriftKind,
    pub old: Fingerprint,
    pub new: Fingerprint,
    /// Put beside an incident, told alone, or not worth telling: nothing is left to do about it.
    pub told: bool,
}

spelled!(
    /// Which trait changed; when several did, the first of this list.
    DriftKind {
        EdgeAppeared = "edge_appeared",
        EdgeRemoved = "edge_removed",
        EdgeChanged = "edge_changed",
        NetworkChanged = "network_changed",
        IssuerChanged = "certificate_issuer_changed",
        ProtocolChanged = "protocol_changed",
        RedirectChanged = "redirect_changed",
        HeadersChanged = "headers_changed",
    }
);

impl DriftKind {
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
