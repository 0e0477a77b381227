//! What a request looked like from outside: what an edge can judge besides the address and the user agent.

use serde::{Deserialize, Serialize};

use super::cell::Group;
use super::hello::{Hello, short_hash};

/// What was sent, in the few marks by which edges tell programs apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sent {
    pub stack: Stack,
    /// Fingerprint of the `ClientHello`; `None` without TLS.
    pub ja4: Option<String>,
    /// What that would be without the offer to take up an earlier session; `None`: there was no such offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ja4_fresh: Option<String>,
    /// How long the `ClientHello` was; `None`: not noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greeting: Option<Greeting>,
    /// Names of the headers in their order and case, in twelve hex digits (see [`header_order`]); `None`: none were sent.
    pub header_order: Option<String>,
    /// First flight of HTTP/2: `SETTINGS|WINDOW_UPDATE|PRIORITY|pseudo-headers`; `None` in HTTP/1.
    pub h2: Option<String>,
}

/// The size of a `ClientHello`, and what makes it as long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Greeting {
    /// On the wire.
    pub bytes: usize,
    /// Groups for which it has a share of a key, by their names where they have one here.
    pub shares: Vec<String>,
}

impl Greeting {
    /// Bytes of a packet over Ethernet, with the options that Linux sets.
    pub const PACKET: usize = 1448;

    #[must_use]
    pub fn of(hello: &Hello) -> Self {
        // https://www.iana.org/assignments/tls-parameters (read 2026-11-30).
        let name = |group: &u16| match group {
            0x11ec => Group::X25519MlKem768.as_str().to_owned(),
            0x001d => Group::X25519.as_str().to_owned(),
            0x0017 => Group::P256.as_str().to_owned(),
            0x0018 => Group::P384.as_str().to_owned(),
            other => format!("group {other}"),
        };
        Self {
            bytes: hello.bytes,
            shares: hello.shares.iter().map(name).collect(),
        }
    }

    /// Packets that it takes.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.bytes.div_ceil(Self::PACKET)
    }

    /// "1467 bytes, 2 packets, with shares for x25519mlkem768 and x25519".
    #[must_use]
    pub fn told(&self) -> String {
        let packets = self.packets();
        let plural = if packets == 1 { "" } else { "s" };
        let shares = match self.shares.as_slice() {
            [] => String::new(),
            shares => format!(", a key share for {}", shares.join(" and ")),
        };
        format!("{} bytes, {packets} packet{plural}{shares}", self.bytes)
    }
}

impl Sent {
    /// By which stacks are told apart: the fingerprint that is the same on every connection of a program.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        self.ja4_fresh.as_deref().or(self.ja4.as_deref())
    }
}

/// Whether two fingerprints are of one stack: that one asked for a name and the other for an address is the target's.
#[must_use]
pub fn is_same_stack(one: &str, other: &str) -> bool {
    // The fourth character of JA4 says which.
    let rest = |ja4: &str| {
        ja4.char_indices()
            .filter(|(at, _)| *at != 3)
            .map(|(_, c)| c)
            .collect::<String>()
    };
    one == other || rest(one) == rest(other)
}

/// Whose TLS and HTTP it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stack {
    /// edgewatch's own: rustls and hyper.
    Native,
    /// A program of the operator's.
    Program { name: String, version: String },
}

/// A mark of the header names as they were sent; `version` is that of HTTP, "1.1" or "2".
#[must_use]
pub fn header_order<'a>(version: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = version.to_owned();
    for name in names {
        text.push('\n');
        text.push_str(name);
    }
    short_hash(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_case_and_version_make_the_mark() {
        let mark = |version, names: [&str; 2]| header_order(version, names);
        let one = mark("1.1", ["Host", "User-Agent"]);
        assert_eq!(one.len(), 12);
        assert_eq!(one, mark("1.1", ["Host", "User-Agent"]));
        let others = [
            mark("1.1", ["User-Agent", "Host"]),
            mark("1.1", ["host", "user-agent"]),
            mark("2", ["Host", "User-Agent"]),
            mark("1.1", ["Host", "User-Agen\nt"]),
        ];
        assert!(!others.contains(&one), "{others:?}");
    }
}
