//! What one run saw: facts only, no judgement.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cell::{CellKey, TlsVersion};
use super::form::{base64, nanos, nanos_option};
use super::sent::Sent;
use super::spelling::spelled;

/// What one run of one cell saw.
///
/// At least one of `answer` and `failure` is there; both when a body broke off after the headers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    pub cell: CellKey,
    pub purpose: Purpose,
    /// When the schedule wanted it, UTC.
    pub due_at: Timestamp,
    /// When the run began, UTC; later than `due_at` by our own lateness, never the partner's.
    pub started_at: Timestamp,
    /// From start to last byte or failure.
    #[serde(rename = "took_ns", with = "nanos")]
    pub took: Duration,
    pub phases: Phases,
    pub route: Route,
    pub tls: Option<TlsFacts>,
    /// How the last hop's request looked to an edge; `None`: nothing was sent, or by a version that did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Sent>,
    /// Redirects that were followed, in order; the last answer is in `answer`.
    pub hops: Vec<Hop>,
    pub answer: Option<Answer>,
    pub failure: Option<Failure>,
}

spelled!(
    /// Why a run was made.
    Purpose {
        Schedule = "schedule",
        /// The same cell again, to tell weather from fault.
        Confirm = "confirm",
        /// Another cell early, to tell which factor it is.
        Counter = "counter",
        /// A person asked (`edgewatch once`).
        Asked = "asked",
    }
);

/// Time spent in each phase of the last hop; `None`: the phase was not reached or does not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Phases {
    #[serde(
        rename = "dns_ns",
        default,
        with = "nanos_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub dns: Option<Duration>,
    /// TCP handshake, and the proxy's when there is one.
    #[serde(
        rename = "connect_ns",
        default,
        with = "nanos_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub connect: Option<Duration>,
    #[serde(
        rename = "tls_ns",
        default,
        with = "nanos_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub tls: Option<Duration>,
    /// From the request written to the first byte of the answer.
    #[serde(
        rename = "first_byte_ns",
        default,
        with = "nanos_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub first_byte: Option<Duration>,
    /// From the first byte to the last.
    #[serde(
        rename = "transfer_ns",
        default,
        with = "nanos_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub transfer: Option<Duration>,
}

spelled!(
    Phase {
        Dns = "dns",
        Connect = "connect",
        Tls = "tls",
        FirstByte = "first_byte",
        Transfer = "transfer",
    }
);

/// Which addresses were involved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Route {
    /// What the name resolved to, in the order tried.
    pub resolved: Vec<IpAddr>,
    /// How long the resolver may keep that; `None` from the system resolver or for a literal address.
    #[serde(
        rename = "ttl_ns",
        default,
        with = "nanos_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub ttl: Option<Duration>,
    pub local: Option<SocketAddr>,
    /// The peer of the TCP connection: the proxy's address when there is one.
    pub remote: Option<SocketAddr>,
    /// `host:port` of the proxy in between.
    pub proxy: Option<String>,
    /// Connection attempts that failed before one succeeded, with the reason.
    pub failed: Vec<(SocketAddr, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFacts {
    pub version: Option<TlsVersion>,
    /// What ALPN agreed on: `h2`, `http/1.1`, or nothing.
    pub alpn: Option<String>,
    pub cipher: Option<String>,
    /// The leaf certificate; kept also when verification refused it.
    pub certificate: Option<Certificate>,
    /// Ways from there to roots that the client trusts, the one that ends first in front; at most 8 are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<ChainPath>,
}

/// A way from a leaf certificate to a root, over what the server sent; its signatures hold, whatever the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainPath {
    /// Common name of the root.
    pub root: String,
    /// Common name of the certificate by which it ends: the root itself, or an intermediate one.
    pub by: String,
    /// When that ends. The leaf's own end is none of the path.
    pub ends_at: Timestamp,
}

impl ChainPath {
    /// Whether none of these paths holds at a time; true of none.
    #[must_use]
    pub fn all_ended(paths: &[Self], now: Timestamp) -> bool {
        paths.iter().all(|path| path.ends_at <= now)
    }

    /// "`Old Root` ended at 2020-05-30 10:48 UTC": `now` decides the tense.
    #[must_use]
    pub fn end(&self, now: Timestamp) -> String {
        let verb = if self.ends_at <= now { "ended" } else { "ends" };
        let by = if self.by == self.root {
            String::new()
        } else {
            format!(" (with the intermediate certificate `{}`)", self.by)
        };
        let at = self.ends_at.strftime("%Y-%m-%d %H:%M UTC");
        format!("`{}` {verb} at {at}{by}", self.root)
    }
}

/// A summary of the leaf certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    /// DNS names and addresses it is valid for; at most 50 are kept.
    pub names: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// SHA-256 of the DER, lower-case hex.
    pub sha256: String,
}

/// A redirect that was followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// Where the request went, without query.
    pub url: String,
    pub status: u16,
    /// The `Location` it was sent to, as it stood.
    pub location: String,
    #[serde(rename = "took_ns", with = "nanos")]
    pub took: Duration,
}

spelled!(
    HttpVersion {
        H1_0 = "1.0",
        H1_1 = "1.1",
        H2 = "2",
    }
);

/// An HTTP answer, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub http: HttpVersion,
    pub status: u16,
    /// Names in lower case, values as they came (bytes outside UTF-8 replaced), in their order.
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

impl Answer {
    /// The first value of a header; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// All values of a header; `name` in lower case.
    pub fn header_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
}

/// A body: decoded, bounded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Body {
    /// Decoded bytes, at most the probe's `body_bytes_max`.
    #[serde(rename = "base64", with = "base64")]
    pub bytes: Bytes,
    /// Bytes read from the wire before decoding.
    pub wire_bytes: u64,
    /// There was more than `bytes` holds.
    pub truncated: bool,
    /// SHA-256 of `bytes`, lower-case hex; empty for no body.
    pub sha256: String,
    /// Why the content coding could not be undone; `bytes` are then as they came.
    pub decode_error: Option<String>,
}

/// How a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub phase: Phase,
    pub kind: FailureKind,
    /// A plain sentence with peer and limit ("192.0.2.7:443 did not finish the TLS handshake within 20 s").
    pub message: String,
}

spelled!(
    /// In which way a run failed, decided by codes and never by text.
    FailureKind {
        /// The name does not exist or has no address of the wanted family.
        NameNotFound = "name_not_found",
        /// The name servers failed or did not answer for this name.
        NameServer = "name_server",
        /// The name servers fail for every name that was tried.
        Resolver = "resolver",
        Refused = "refused",
        Reset = "reset",
        /// Somebody on the way says that there is no route.
        Unreachable = "unreachable",
        /// This host itself has no route.
        NoRoute = "no_route",
        CertificateExpired = "certificate_expired",
        CertificateName = "certificate_name",
        CertificateIssuer = "certificate_issuer",
        /// The certificate is good, and every path to a root that the client trusts has ended.
        CertificatePath = "certificate_path",
        /// The certificate was refused for another reason.
        Certificate = "certificate",
        /// A certificate that our TLS library can't check and others can.
        CertificateUnread = "certificate_unread",
        /// The server wants a certificate of the client.
        ClientCertificate = "client_certificate",
        /// No TLS version in common.
        TlsVersion = "tls_version",
        /// No cipher, group or signature in common, as far as the other side says.
        TlsCipher = "tls_cipher",
        /// The HTTP version that the client insists on was not agreed on.
        HttpVersion = "http_version",
        /// What answered the handshake was no TLS.
        NotTls = "not_tls",
        /// The handshake failed for another reason.
        Handshake = "handshake",
        /// What came after the handshake was no TLS, or an alert.
        TlsBroken = "tls_broken",
        /// The whole run's time was over in `phase`.
        Timeout = "timeout",
        /// The peer closed before the answer was complete.
        Closed = "closed",
        /// The answer was not HTTP.
        Protocol = "protocol",
        /// The answer was beyond a bound of ours: headers, framing.
        Limit = "limit",
        /// More redirects than allowed.
        Redirects = "redirects",
        /// This host does not have the egress address or interface.
        EgressMissing = "egress_missing",
        /// The proxy could not be reached, refused or did not answer.
        Proxy = "proxy",
        /// A client's program could not be run, or did not do what it says.
        Program = "program",
        /// Anything else that is proven to be on our side: no file descriptors, permission.
        Local = "local",
        /// An error that nobody can place.
        Unplaced = "unplaced",
    }
);
