//! What a request looked like from outside: what an edge can judge besides the address and the user agent.

use serde::{Deserialize, Serialize};

use super::hello::short_hash;

/// What was sent, in the few marks by which edges tell programs apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sent {
    pub stack: Stack,
    /// Fingerprint of the `ClientHello`; `None` without TLS.
    pub ja4: Option<String>,
    /// Names of the headers in their order and case, in twelve hex digits (see [`header_order`]); `None`: none were sent.
    pub header_order: Option<String>,
    /// First flight of HTTP/2: `SETTINGS|WINDOW_UPDATE|PRIORITY|pseudo-headers`; `None` in HTTP/1.
    pub h2: Option<String>,
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
