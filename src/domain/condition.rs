//! What can be asked of an answer: the vocabulary of `expect`, `origin`, `meanings` and own signatures.

use std::fmt;
use std::time::Duration;

use regex::Regex;
use serde_json_path::JsonPath;

use super::observation::HttpVersion;
use crate::lang::xpath::XPath;

/// One thing that an answer must show.
#[derive(Debug, Clone)]
pub enum Condition {
    /// The status is in one of these inclusive ranges.
    Status(Vec<(u16, u16)>),
    /// A header of this name (any case) has a value that matches; `None`: it is there at all.
    Header {
        name: String,
        value: Option<TextMatch>,
    },
    /// The body, as text, matches.
    Body(TextMatch),
    /// The body is JSON and the query selects a node that compares as asked.
    Json { path: JsonPath, compare: Compare },
    /// The body is XML and the expression holds.
    Xml(XPath),
    /// The whole run took no longer.
    Latency(Duration),
    /// The answer is no older than this: no copy that a cache has kept for longer.
    Fresh(Duration),
    /// The whole body has this SHA-256, lower-case hex.
    Sha256(String),
    /// The leaf certificate stays valid for at least this many days.
    CertificateDays(u32),
    /// The answer came over this HTTP version.
    Http(HttpVersion),
}

/// How a text is compared.
#[derive(Debug, Clone)]
pub enum TextMatch {
    Contains(String),
    Regex(Regex),
}

impl TextMatch {
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Contains(part) => text.contains(part.as_str()),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

impl fmt::Display for TextMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(part) => write!(f, "contains {part:?}"),
            Self::Regex(regex) => write!(f, "matches /{regex}/"),
        }
    }
}

/// What is asked of the nodes that a `JSONPath` selects.
#[derive(Debug, Clone, PartialEq)]
pub enum Compare {
    /// At least one node is selected.
    Exists,
    /// Every selected node equals this value, and there is at least one.
    Equals(serde_json::Value),
    NotEquals(serde_json::Value),
}

/// All of these must hold.
#[derive(Debug, Clone, Default)]
pub struct Conditions(pub Vec<Condition>);

/// Inclusive status ranges in words: `200`, `300 to 399`.
#[must_use]
pub fn status_words(ranges: &[(u16, u16)]) -> Vec<String> {
    let one = |(from, to): &(u16, u16)| {
        if from == to {
            from.to_string()
        } else {
            format!("{from} to {to}")
        }
    };
    ranges.iter().map(one).collect()
}
