//! The matrix: egresses, clients, credentials, and a cell, one combination of them under a probe.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::hello::short_hash;
use super::secret::Secret;
use super::spelling::spelled;
use super::verdict::Factor;

/// A name that the operator gave in `probes.yaml`; cheap to clone, compared as text.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            #[must_use]
            pub fn new(name: &str) -> Self {
                Self(Arc::from(name))
            }
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl From<&str> for $type {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(|name| Self::new(&name))
            }
        }
    };
}

name!(
    /// Name of a probe.
    ProbeName
);
name!(
    /// Name of an egress.
    EgressName
);
name!(
    /// Name of a client.
    ClientName
);
name!(
    /// Name of a credential; `anonymous` means none.
    CredentialName
);
name!(
    /// Name of a receiver of notifications.
    ReceiverName
);

impl CredentialName {
    /// The credential that every probe may use: no secrets at all.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new("anonymous")
    }

    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.as_str() == "anonymous"
    }
}

/// A named way out to the internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    pub name: EgressName,
    pub way: Way,
    /// The site whose agent sends from it; `None`: this host does.
    pub site: Option<String>,
    /// The address that the partner sees and has allow-listed, as the operator says; never used to connect.
    pub public: Option<IpAddr>,
    /// Where it leaves our network; egresses of one region are often refused together.
    pub region: Option<String>,
    /// Which IP versions of the target may be used.
    pub family: IpFamily,
}

/// How packets of an egress leave this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Whatever the operating system's routes choose.
    Routes,
    /// Bound to this local source address; a run fails when this host does not have it.
    Address(IpAddr),
    /// Bound to this network interface (`SO_BINDTODEVICE`).
    Interface(String),
    Proxy(Proxy),
}

/// A forward proxy that the operator runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    pub kind: ProxyKind,
    pub host: String,
    pub port: u16,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Why it is unusable (`PROXY_PASSWORD is not set`); its cells are not run until a reload finds it.
    pub missing: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP `CONNECT`, RFC 9110 section 9.3.6.
    HttpConnect,
    /// SOCKS version 5, RFC 1928; names are resolved by this host, not by the proxy.
    Socks5,
    /// SOCKS version 5 where the proxy resolves the name (`socks5h://`).
    Socks5Hostname,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IpFamily {
    #[default]
    Any,
    V4,
    V6,
}

/// A named way for a request to present itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub name: ClientName,
    /// Sent as it stands; empty means that no `User-Agent` header is sent.
    pub user_agent: String,
    pub http: HttpOffer,
    pub tls: TlsRange,
    /// Sent in this order, before the probe's own headers; a probe's header of the same name replaces the value in place.
    /// Without a value the place alone is said: of `Host`, `User-Agent` and `Content-Length`, whose values are the
    /// request's; and `Accept` is then not sent.
    pub headers: Vec<(String, Option<String>)>,
    pub header_case: HeaderCase,
    /// Who makes its requests in our place; `None`: edgewatch itself.
    pub program: Option<Program>,
    /// The client of a program whose requests this one makes over edgewatch's own TLS, to tell a refused fingerprint from
    /// a refused user agent; `None`: those of one with the same user agent.
    pub stands_in_for: Option<ClientName>,
    /// Its roots as PEM, in place of those of this host; `None`: it trusts as this host does.
    pub trust: Option<Arc<str>>,
    /// Honest and expected to pass everywhere: tells "they block our client" from "they block us".
    pub control: bool,
}

/// A program of the operator's that makes the requests of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments; never a line for a shell.
    pub command: Vec<String>,
    pub speaks: Speaks,
    /// Variables that it gets beside those that every program has.
    pub variables: Vec<(String, String)>,
    /// The HTTP version to ask it for; `None`: its own choice.
    pub http: Option<HttpOffer>,
    /// It is kept between requests; `None`: one process a request.
    pub keep: Option<Keep>,
}

/// How long a program is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// It ends when nobody used it for so long.
    pub idle: std::time::Duration,
    /// A new one takes its place after so many requests.
    pub runs: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            idle: std::time::Duration::from_secs(15 * 60),
            runs: 1000,
        }
    }
}

/// How a program is told what to ask, and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// curl's own configuration in, an answer as it stood on the wire out.
    Curl,
    /// One JSON object a line, each way.
    Lines,
}

impl Speaks {
    /// What curl is started with: nothing of the user's, and all that it is told on standard input.
    pub const CURL: [&str; 3] = ["-q", "-K", "-"];
}

impl Client {
    /// The headers and their spelling, for marks that are kept: what versions before could say too is written as by them.
    #[must_use]
    pub fn headers_mark(&self) -> (String, &'static str) {
        let each = self.headers.iter().map(|(name, value)| match value {
            Some(value) => format!("({name:?}, {value:?})"),
            None => format!("({name:?})"),
        });
        let case = match self.header_case {
            HeaderCase::AsWritten => "Title",
            HeaderCase::Title => "Raised",
            HeaderCase::Lower => "Lower",
        };
        (format!("[{}]", each.collect::<Vec<_>>().join(", ")), case)
    }

    /// The same of its program and its roots; empty without them. Whether a program is kept changes no request.
    #[must_use]
    pub fn program_mark(&self) -> String {
        let program = self.program.as_ref();
        let program = program.map_or_else(String::new, |program| {
            let (command, speaks) = (&program.command, program.speaks);
            let http = program.http;
            format!(" by Program {{ command: {command:?}, speaks: {speaks:?}, http: {http:?} }}")
        });
        let trust = self.trust.as_ref();
        let trust = trust.map_or_else(String::new, |pem| format!(" trusts {}", short_hash(pem)));
        program + &trust
    }

    /// Whether two make the same requests over different stacks: one by a program, the other in its place by edgewatch.
    #[must_use]
    pub fn is_twin_of(&self, other: &Self) -> bool {
        let (program, own) = match (&self.program, &other.program) {
            (Some(_), None) => (self, other),
            (None, Some(_)) => (other, self),
            _ => return false,
        };
        match &own.stands_in_for {
            Some(name) => *name == program.name,
            None => !own.user_agent.is_empty() && own.user_agent == program.user_agent,
        }
    }

    /// The product that the user agent names first (`Java` of `Java/1.8.0_275`); clients of one product are
    /// often refused together. The client's own name when there is none.
    #[must_use]
    pub fn family(&self) -> &str {
        let product = self.user_agent.split(['/', ' ']).next().unwrap_or_default();
        if product.is_empty() {
            self.name.as_str()
        } else {
            product
        }
    }
}

/// Which HTTP versions a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpOffer {
    #[default]
    Http1,
    Http2,
    /// Both by ALPN, HTTP/2 first.
    Either,
}

/// An HTTP version as people write it; it may come as `2`, `h2` or by a name of its own.
#[must_use]
pub fn http_name(version: &str) -> String {
    let digits = version.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '/');
    match digits {
        "1" => "HTTP/1.1".to_owned(),
        "1.0" | "1.1" | "2" | "3" => format!("HTTP/{digits}"),
        _ => format!("HTTP version {version}"),
    }
}

/// Which TLS versions a client offers, both ends inclusive, and by which groups it would agree on a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TlsRange {
    pub min: TlsVersion,
    pub max: TlsVersion,
    /// In its order; none: those of rustls. For the first it sends a share, which makes the greeting as long as it is.
    pub groups: [Option<Group>; 4],
}

impl fmt::Debug for TlsRange {
    /// Marks that are kept hold it: what was there before is written as before.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("TlsRange");
        all.field("min", &self.min).field("max", &self.max);
        if self.groups[0].is_some() {
            all.field("groups", &self.groups);
        }
        all.finish()
    }
}

spelled!(
    /// By what two sides agree on a key.
    Group {
        /// Post-quantum, with a share of 1,216 bytes: a greeting with it takes two packets.
        X25519MlKem768 = "x25519mlkem768",
        X25519 = "x25519",
        P256 = "secp256r1",
        P384 = "secp384r1",
    }
);

impl Default for TlsRange {
    fn default() -> Self {
        Self {
            min: TlsVersion::V1_2,
            max: TlsVersion::V1_3,
            groups: [None; 4],
        }
    }
}

spelled!(
    TlsVersion {
        V1_2 = "1.2",
        V1_3 = "1.3",
    }
);

/// How HTTP/1.1 header names are written on the wire; HTTP/2 is always lower case (RFC 9113 section 8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeaderCase {
    /// As they stand in the file; those that edgewatch adds in title case.
    #[default]
    AsWritten,
    /// The first letter of each word is raised.
    Title,
    Lower,
}

impl HeaderCase {
    /// A header name as it goes on an HTTP/1.1 wire.
    ///
    /// Title case raises the first letter of each word and leaves the others as the operator wrote them,
    /// so that `SOAPAction` stays what it is. What edgewatch adds itself is written in title case.
    #[must_use]
    pub fn spell(self, name: &str) -> String {
        match self {
            Self::AsWritten => name.to_owned(),
            Self::Lower => name.to_ascii_lowercase(),
            Self::Title => {
                let mut start = true;
                name.chars()
                    .map(|c| {
                        let letter = if start { c.to_ascii_uppercase() } else { c };
                        start = c == '-';
                        letter
                    })
                    .collect()
            }
        }
    }
}

/// A named set of secrets, or the reason why it can't be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub name: CredentialName,
    /// What `{{ credential.<key> }}` stands for.
    pub fields: BTreeMap<String, Secret>,
    /// Why it is unusable (`GMC_USERNAME is not set`); its cells are not run until a reload finds it.
    pub missing: Option<String>,
    /// Probes that can't send what it holds, and why; their cells with it are not run until that is mended.
    pub unfit: BTreeMap<ProbeName, String>,
    /// Fields that may be shown (`secret: false`), such as a user name that everybody knows.
    pub open: BTreeSet<String>,
}

impl Credential {
    /// What must never be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let fields = self.fields.iter();
        let hidden = fields.filter(|(name, _)| !self.open.contains(*name));
        hidden.map(|(_, secret)| secret)
    }
}

/// Names one cell. The order (probe, egress, client, credential) is the order of tables.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CellKey {
    pub probe: ProbeName,
    pub egress: EgressName,
    pub client: ClientName,
    pub credential: CredentialName,
}

impl CellKey {
    /// In which parts of their names two cells differ.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Vec<Factor> {
        [
            (Factor::Client, self.client != other.client),
            (Factor::Egress, self.egress != other.egress),
            (Factor::Credential, self.credential != other.credential),
            (Factor::Endpoint, self.probe != other.probe),
        ]
        .into_iter()
        .filter_map(|(factor, differs)| differs.then_some(factor))
        .collect()
    }
}

impl fmt::Display for CellKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} as {}", self.probe, self.egress, self.client)?;
        if !self.credential.is_anonymous() {
            write!(f, " with {}", self.credential)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_headers_stay_what_they_were() {
        let mut client = Client {
            name: "c".into(),
            user_agent: String::new(),
            http: HttpOffer::Http1,
            tls: TlsRange::default(),
            headers: Vec::new(),
            header_case: HeaderCase::default(),
            program: None,
            stands_in_for: None,
            trust: None,
            control: false,
        };
        assert_eq!(client.headers_mark(), ("[]".to_owned(), "Title"));
        let pairs = vec![("A", "b"), ("C", "\"")];
        let texts = pairs
            .iter()
            .map(|(n, v)| (n.to_string(), Some(v.to_string())));
        client.headers = texts.collect();
        assert_eq!(client.headers_mark().0, format!("{pairs:?}"));
        client.headers.push(("Host".to_owned(), None));
        client.header_case = HeaderCase::Title;
        let (headers, case) = client.headers_mark();
        assert_eq!(headers, r#"[("A", "b"), ("C", "\""), ("Host")]"#);
        assert_ne!(case, "Title");
    }

    #[test]
    fn twins_differ_in_the_stack_alone() {
        let program = Program {
            command: vec!["/usr/bin/java".to_owned()],
            speaks: Speaks::Lines,
            variables: Vec::new(),
            http: None,
            keep: None,
        };
        let client =
            |name: &str, agent: &str, program: Option<&Program>, of: Option<&str>| Client {
                name: name.into(),
                user_agent: agent.to_owned(),
                http: HttpOffer::Http1,
                tls: TlsRange::default(),
                headers: Vec::new(),
                header_case: HeaderCase::default(),
                program: program.cloned(),
                stands_in_for: of.map(ClientName::new),
                trust: None,
                control: false,
            };
        let jvm = client("jvm", "Java/17", Some(&program), None);
        let check = |name: &str, other: &Client, expected: bool| {
            let twins = (jvm.is_twin_of(other), other.is_twin_of(&jvm));
            assert_eq!(twins, (expected, expected), "{name}");
        };
        check(
            "the same user agent",
            &client("batch", "Java/17", None, None),
            true,
        );
        check(
            "another one",
            &client("batch", "Java/21", None, None),
            false,
        );
        check(
            "as the file says",
            &client("batch", "x", None, Some("jvm")),
            true,
        );
        check(
            "another's",
            &client("batch", "Java/17", None, Some("old")),
            false,
        );
        check(
            "two programs",
            &client("old", "Java/17", Some(&program), None),
            false,
        );
        let bare = client("curl", "", Some(&program), None);
        assert!(
            !bare.is_twin_of(&client("mute", "", None, None)),
            "none is not the same"
        );
    }

    #[test]
    fn http_versions_are_written_alike() {
        for (version, expected) in [
            ("2", "HTTP/2"),
            ("h2", "HTTP/2"),
            ("HTTP/1.1", "HTTP/1.1"),
            ("h1", "HTTP/1.1"),
            ("1.0", "HTTP/1.0"),
            ("either", "HTTP version either"),
        ] {
            assert_eq!(http_name(version), expected, "{version}");
        }
    }
}
