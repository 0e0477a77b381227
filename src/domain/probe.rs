//! A probe: a request, what a good answer looks like, a schedule, and the matrix it runs over.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use url::Url;

use super::cell::{ClientName, CredentialName, EgressName, ProbeName};
use super::condition::Conditions;
use super::forbid::Forbidden;
use super::verdict::{Factor, Kind, Severity, Tell};
use crate::lang::cron::Cron;

/// A configured check.
#[derive(Debug, Clone)]
pub struct Probe {
    pub name: ProbeName,
    /// `http` or `https`, with a host; without user name, password or fragment.
    pub url: Url,
    /// Whose it is: hosts of one partner are diagnosed together. The registrable domain unless the file says otherwise.
    pub partner: String,
    pub method: Method,
    /// In the order of the file; values may hold `{{ credential.<key> }}`.
    pub headers: Vec<(String, Template)>,
    pub body: Option<Template>,
    /// Never empty; each name is in the plan.
    pub from: Vec<EgressName>,
    pub as_clients: Vec<ClientName>,
    pub with: Vec<CredentialName>,
    pub schedule: Schedule,
    /// For the whole run, name resolution to last byte.
    pub timeout: Duration,
    pub expect: Expect,
    /// Proof that the partner's application made the answer.
    pub origin: Conditions,
    pub meanings: Vec<Meaning>,
    pub words: Words,
    pub redirects: Redirects,
    /// What becomes of cookies that a redirect sets.
    pub cookies: Cookies,
    /// Decoded body bytes kept for classification; more are counted, up to a bound, and dropped.
    pub body_bytes_max: usize,
    pub resolver: Resolver,
    /// Connect here whatever the name resolves to; SNI and `Host` stay those of the URL.
    pub connect_to: Option<IpAddr>,
    pub tags: Vec<String>,
    /// How much it matters when it fails; for routes.
    pub severity: Severity,
    /// How soon the first word is told when it is refused.
    pub tell: Tell,
    /// Should always pass, and so tells "they block us" from "we are offline".
    pub control: bool,
    /// A door of our own, asked as those ask who call us: who turns anybody away there is us.
    pub ours: bool,
    /// Requests that may not be made with anything of it: the file's rules and its own.
    pub forbid: [Arc<Forbidden>; 2],
}

/// When a probe's cells run.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// Each cell once an interval, spread over it by a hash.
    Every(Duration),
    /// Each cell once an occurrence, spread over the seconds after it.
    Cron(Cron),
}

impl Schedule {
    /// Requests that a cell makes in a day; by cron those of one Monday.
    #[must_use]
    pub fn a_day(&self) -> f64 {
        const DAY: i64 = 86_400;
        match self {
            Self::Every(every) => DAY as f64 / every.as_secs_f64(),
            Self::Cron(cron) => {
                let monday = jiff::Timestamp::from_second(1_767_571_200).unwrap_or_default();
                let end = monday.as_second() + DAY;
                let mut at = cron.next_after(monday);
                let mut count = 0.0;
                while let Some(this) = at.filter(|this| this.as_second() < end) {
                    count += 1.0;
                    at = cron.next_after(this);
                }
                count
            }
        }
    }

    /// Requests that a cell makes in a minute; none counted of those by cron, which are few.
    #[must_use]
    pub fn a_minute(&self) -> f64 {
        match self {
            Self::Every(every) => 60.0 / every.as_secs_f64(),
            Self::Cron(_) => 0.0,
        }
    }
}

/// A text with `{{ credential.<key> }}` placeholders, split when the file was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    /// A field of the cell's credential, in a spelling; empty for `anonymous`.
    Credential(String, Spelling),
}

/// How a field is written into a text, so that no character of it is read as the text's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spelling {
    #[default]
    Plain,
    /// `| xml`: `<`, `>`, `&` and quotes as entities.
    Xml,
    /// `| json`: escaped as within quotes, which stand in the text itself.
    Json,
    /// `| url`: percent-encoded, as in a query or a form.
    Url,
}

impl Spelling {
    pub const NAMED: [(&'static str, Self); 3] =
        [("xml", Self::Xml), ("json", Self::Json), ("url", Self::Url)];

    /// The name of the filter; empty for none.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = Self::NAMED.iter().find(|(_, spelling)| *spelling == self);
        named.map_or("", |(name, _)| name)
    }

    fn of(self, plain: &str) -> String {
        match self {
            Self::Plain => plain.to_owned(),
            Self::Xml => plain
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&apos;"),
            Self::Json => {
                let quoted = serde_json::Value::from(plain).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
            Self::Url => plain
                .bytes()
                .map(|byte| match byte {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        char::from(byte).to_string()
                    }
                    byte => format!("%{byte:02X}"),
                })
                .collect(),
        }
    }
}

impl Template {
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            parts: vec![Part::Text(text.into())],
        }
    }

    /// The text with placeholders filled; a field that the credential lacks becomes empty.
    #[must_use]
    pub fn fill(&self, field: impl Fn(&str) -> Option<String>) -> String {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Credential(key, spelling) => {
                    filled.push_str(&spelling.of(&field(key).unwrap_or_default()));
                }
            }
        }
        filled
    }

    /// The text with placeholders as they stand in the file, for people.
    #[must_use]
    pub fn masked(&self) -> String {
        let mut masked = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => masked.push_str(text),
                Part::Credential(key, spelling) => {
                    masked.push_str("{{ credential.");
                    masked.push_str(key);
                    if *spelling != Spelling::Plain {
                        masked.push_str(" | ");
                        masked.push_str(spelling.name());
                    }
                    masked.push_str(" }}");
                }
            }
        }
        masked
    }
}

/// What a good answer looks like.
#[derive(Debug, Clone, Default)]
pub struct Expect {
    /// All must hold; when no status is asked for, 200 to 299 is.
    pub conditions: Conditions,
    /// The verdict that is normal here: a block that is watched rather than regretted.
    pub verdict: Option<Kind>,
    /// One body for one `ETag`, whoever sends it.
    pub same_body: bool,
}

/// The partner's own code: when the conditions hold, the answer means this.
#[derive(Debug, Clone)]
pub struct Meaning {
    pub when: Conditions,
    pub verdict: Kind,
    /// Factors that may be behind it, as the partner documents them.
    pub factors: Vec<Factor>,
    pub note: Option<String>,
}

/// Plain words for support staff.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// What does not work, as its users call it ("Submitting recommendations to the GMC").
    pub what: Option<String>,
    /// Who is affected.
    pub affects: Option<String>,
    /// What works meanwhile.
    pub workaround: Option<String>,
    /// What users may be told.
    pub tell: Option<String>,
    /// Whom to ring, and where to read on.
    #[serde(default, skip_serializing_if = "Contact::is_empty")]
    pub contact: Contact,
}

/// Where people turn to when it fails.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// A name and a number.
    pub ring: Option<String>,
    /// What engineers do about it; a link.
    pub runbook: Option<String>,
    /// Where everybody reads on; a link.
    pub link: Option<String>,
}

impl Contact {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How far redirects are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    No,
    /// To the same host and port, at most this many.
    SameHost(u8),
    /// To any host, at most this many; credentials and own headers go only to the first host.
    Any(u8),
}

/// What becomes of cookies that a redirect sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cookies {
    /// Sent along on the hops after it, and forgotten with the run; most HTTP libraries do so.
    #[default]
    Run,
    /// Not sent, as by Java's `HttpURLConnection`.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resolver {
    /// hickory over the name servers of `/etc/resolv.conf`, with TTLs.
    #[default]
    Own,
    /// `getaddrinfo`: `/etc/hosts`, nsswitch and all.
    System,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_written_so_that_nothing_of_it_is_the_texts_own() {
        for (spelling, expected) in [
            (Spelling::Plain, "a<b>&\"c'\\ é"),
            (Spelling::Xml, "a&lt;b&gt;&amp;&quot;c&apos;\\ é"),
            (Spelling::Json, "a<b>&\\\"c'\\\\ é"),
            (Spelling::Url, "a%3Cb%3E%26%22c%27%5C%20%C3%A9"),
        ] {
            let template = Template {
                parts: vec![
                    Part::Text("[".to_owned()),
                    Part::Credential("password".to_owned(), spelling),
                    Part::Text("]".to_owned()),
                ],
            };
            let filled = template.fill(|_| Some("a<b>&\"c'\\ é".to_owned()));
            assert_eq!(filled, format!("[{expected}]"), "{spelling:?}");
        }
    }
}
