//! Holds what an observation saw against what was asked of it.
//!
//! Each condition that fails becomes one sentence with what was asked and what was got, for the verdict's
//! evidence. Body, JSON and XML are read once for all conditions of a run.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::content;
use super::moment;
use super::pop;
use crate::domain::condition::{Compare, Condition, Conditions, status_words};
use crate::domain::observation::{Answer, ChainPath, HttpVersion, Observation};
use crate::domain::verdict::{OF_CERTIFICATE, OF_PATH};
use crate::lang::{jsonpath, xpath};

/// How the errors of our readers begin that are about a bound and not about the answer.
const OUR_LIMIT: &str = "our limit";
/// Characters of a value that a sentence quotes.
const QUOTED_CHARS_MAX: usize = 80;

/// The body as text, for [`Facts`]; empty without an answer.
#[must_use]
pub fn text(observation: &Observation) -> Cow<'_, str> {
    observation
        .answer
        .as_ref()
        .map_or(Cow::Borrowed(""), content::text)
}

/// An observation with its body read at most once as JSON and once as XML.
pub struct Facts<'a> {
    observation: &'a Observation,
    text: &'a str,
    json: OnceCell<Result<Value, String>>,
    xml: OnceCell<Result<roxmltree::Document<'a>, String>>,
    /// Steps that queries may still take on this answer, whatever it holds.
    work: Cell<u64>,
    /// Something was not read because of a limit of ours.
    over: Cell<bool>,
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts").finish_non_exhaustive()
    }
}

impl<'a> Facts<'a> {
    /// `text` is [`text`] of the same observation.
    #[must_use]
    pub fn new(observation: &'a Observation, text: &'a str) -> Self {
        Self {
            observation,
            text,
            json: OnceCell::new(),
            xml: OnceCell::new(),
            work: Cell::new(xpath::WORK_MAX),
            over: Cell::new(false),
        }
    }

    /// Whether anything was answered.
    #[must_use]
    pub fn has_answer(&self) -> bool {
        self.observation.answer.is_some()
    }

    /// Whether all conditions hold; true of none.
    #[must_use]
    pub fn hold(&self, conditions: &Conditions) -> bool {
        conditions.0.iter().all(|c| self.failure(c).is_none())
    }

    /// A sentence for each condition that does not hold, in their order.
    #[must_use]
    pub fn failures(&self, conditions: &Conditions) -> Vec<String> {
        conditions
            .0
            .iter()
            .filter_map(|c| self.failure(c))
            .collect()
    }

    /// Why a condition does not hold; `None`: it holds.
    ///
    /// Of a body that was not read whole, or not decoded, it says that this is ours.
    #[must_use]
    pub fn failure(&self, condition: &Condition) -> Option<String> {
        let mut failure = self.unmet(condition)?;
        let of_content = matches!(
            condition,
            Condition::Body(_) | Condition::Json { .. } | Condition::Xml(_) | Condition::Sha256(_)
        );
        if of_content && let Some(body) = self.observation.answer.as_ref().map(|a| &a.body) {
            if body.truncated {
                failure = format!(
                    "{failure}; only the first {} of the body were read, which is our own limit: raise `body_limit:` of the probe to look further",
                    bytes(body.bytes.len())
                );
            }
            if let Some(error) = &body.decode_error {
                failure = format!(
                    "{failure}; the content coding could not be undone here ({error}), so the bytes are as they came"
                );
            }
        }
        Some(failure)
    }

    fn unmet(&self, condition: &Condition) -> Option<String> {
        match condition {
            Condition::Latency(most) => latency(self.observation.took, *most),
            Condition::CertificateDays(least) => self.certificate(*least),
            _ => {
                let Some(answer) = &self.observation.answer else {
                    return Some("no answer arrived".to_owned());
                };
                match condition {
                    Condition::Status(ranges) => status(answer.status, ranges),
                    Condition::Header { name, value } => {
                        let name = name.to_ascii_lowercase();
                        let Some(first) = answer.header(&name) else {
                            return Some(format!("header {name} is missing"));
                        };
                        let wanted = value.as_ref()?;
                        let held = answer.header_all(&name).any(|v| wanted.is_match(v));
                        (!held).then(|| {
                            format!(
                                "header {name} is {}, expected one that {wanted}",
                                quoted(first)
                            )
                        })
                    }
                    Condition::Body(wanted) => (!wanted.is_match(self.text))
                        .then(|| format!("expected a body that {wanted}; this one does not")),
                    Condition::Json { path, compare } => self.json(path, compare),
                    Condition::Xml(expression) => self.xml(expression),
                    Condition::Http(wanted) => http(answer.http, *wanted),
                    Condition::Fresh(most) => moment::too_old(answer, *most),
                    Condition::Sha256(wanted) => other_body(answer, wanted),
                    Condition::Latency(_) | Condition::CertificateDays(_) => None,
                }
            }
        }
    }

    fn json(&self, path: &serde_json_path::JsonPath, compare: &Compare) -> Option<String> {
        let read = self.json.get_or_init(|| jsonpath::parse(self.text));
        let json = match read {
            Ok(json) => json,
            Err(error) => {
                self.note_limit(error);
                return Some(format!("JSONPath {path}: {error}"));
            }
        };
        let left = self.work.get().checked_sub(jsonpath::cost(path, json));
        self.work.set(left.unwrap_or_default());
        if left.is_none() {
            self.over.set(true);
            return Some(format!(
                "JSONPath {path}: our limit: the answer could take more than {} steps to read",
                xpath::WORK_MAX
            ));
        }
        let nodes = path.query(json).all();
        let Some(first) = nodes.first() else {
            return Some(format!("JSONPath {path} selects nothing"));
        };
        match compare {
            Compare::Exists => None,
            Compare::Equals(wanted) => {
                let other = nodes.iter().find(|node| !same(node, wanted))?;
                Some(format!(
                    "JSONPath {path} is {}, expected {}",
                    excerpt(other),
                    excerpt(wanted)
                ))
            }
            Compare::NotEquals(unwanted) => {
                nodes.iter().any(|node| same(node, unwanted)).then(|| {
                    format!(
                        "JSONPath {path} is {}, expected another value",
                        excerpt(first)
                    )
                })
            }
        }
    }

    fn xml(&self, expression: &xpath::XPath) -> Option<String> {
        let name = expression.text();
        let document = match self.xml.get_or_init(|| xpath::parse(self.text)) {
            Ok(document) => document,
            Err(error) => {
                self.note_limit(error);
                return Some(format!("XPath {name}: {error}"));
            }
        };
        match expression.holds_of(document, &self.work) {
            Ok(true) => None,
            Ok(false) => Some(match expression.hint(document) {
                Some(hint) => format!("XPath {name} does not hold ({hint})"),
                None => format!("XPath {name} does not hold"),
            }),
            Err(error) => {
                self.note_limit(&error);
                Some(format!("XPath {name}: {error}"))
            }
        }
    }

    fn note_limit(&self, error: &str) {
        if error.starts_with(OUR_LIMIT) {
            self.over.set(true);
        }
    }

    /// Whether something asked for so far was not read because of a limit of ours.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.get()
    }

    fn certificate(&self, least: u32) -> Option<String> {
        let certificate = self
            .observation
            .tls
            .as_ref()
            .and_then(|tls| tls.certificate.as_ref());
        let Some(certificate) = certificate else {
            return Some(format!(
                "no certificate was seen, wanted one that is valid for {least} more days"
            ));
        };
        let days = days_until(certificate.not_after, self.observation.started_at);
        if days >= i64::from(least) && certificate.not_after > self.observation.started_at {
            let paths = &self.observation.tls.as_ref()?.paths;
            return self.path(paths, least);
        }
        Some(match days {
            0.. if certificate.not_after > self.observation.started_at => format!(
                "{OF_CERTIFICATE} valid for {days} more {}, wanted {least}",
                plural(days)
            ),
            _ => format!(
                "{OF_CERTIFICATE} expired {} {} ago, wanted {least} more days",
                -days,
                plural(-days)
            ),
        })
    }
}

impl Facts<'_> {
    /// That a path of the certificate ends soon; one that has ended is not missed while another holds.
    fn path(&self, paths: &[ChainPath], least: u32) -> Option<String> {
        let now = self.observation.started_at;
        let soon = |path: &ChainPath| days_until(path.ends_at, now) < i64::from(least);
        let last = paths.iter().max_by_key(|path| path.ends_at)?;
        let client = &self.observation.cell.client;
        if last.ends_at <= now {
            return Some(format!(
                "{OF_PATH} to {}; `{client}` goes on, programs that look at a root's own end don't",
                last.end(now)
            ));
        }
        let told = |path: &ChainPath| {
            let days = days_until(path.ends_at, now);
            format!(
                "{OF_PATH} to {}, in {days} {}, wanted {least}",
                path.end(now),
                plural(days)
            )
        };
        if soon(last) {
            return Some(format!(
                "{}; client `{client}` trusts no root of a longer one",
                told(last)
            ));
        }
        let first = paths.iter().find(|path| path.ends_at > now && soon(path))?;
        Some(format!(
            "{}; `{client}` has another, to `{}`; clients with an old list of roots will fail then, others not",
            told(first),
            last.root
        ))
    }
}

/// A size as the file writes it.
fn bytes(count: usize) -> String {
    const KIB: usize = 1024;
    if count >= KIB && count.is_multiple_of(KIB) {
        format!("{} KiB", count / KIB)
    } else {
        format!("{count} bytes")
    }
}

/// Whole days, rounded towards the present.
fn days_until(then: Timestamp, now: Timestamp) -> i64 {
    (then.as_second() - now.as_second()) / (24 * 3600)
}

fn plural(days: i64) -> &'static str {
    if days == 1 { "day" } else { "days" }
}

/// That the body is another than asked for, and by which machine of an edge it came.
fn other_body(answer: &Answer, wanted: &str) -> Option<String> {
    let got = &answer.body.sha256;
    (got != wanted).then(|| {
        format!(
            "expected a body with SHA-256 {}…, this one of {} has {}{}",
            cut_hash(wanted),
            bytes(answer.body.bytes.len()),
            if got.is_empty() {
                "none"
            } else {
                cut_hash(got)
            },
            pop::from(answer)
        )
    })
}

/// As much of a digest as tells two apart.
pub(super) fn cut_hash(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

fn status(got: u16, ranges: &[(u16, u16)]) -> Option<String> {
    if ranges.iter().any(|(from, to)| (*from..=*to).contains(&got)) {
        return None;
    }
    Some(format!(
        "expected status {}, got {got}",
        status_words(ranges).join(" or ")
    ))
}

fn latency(took: Duration, most: Duration) -> Option<String> {
    (took > most).then(|| format!("took {}, allowed {}", span(took, most), span(most, most)))
}

/// A duration as a person says it; precise enough to differ from `limit`.
fn span(duration: Duration, limit: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if duration < Duration::from_secs(1) && limit < Duration::from_secs(1) {
        return format!("{} ms", duration.as_micros().div_ceil(1000));
    }
    let close = duration > limit && seconds - limit.as_secs_f64() < 0.05;
    let text = if close {
        format!("{seconds:.3}")
    } else {
        format!("{seconds:.1}")
    };
    format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
}

fn http(got: HttpVersion, wanted: HttpVersion) -> Option<String> {
    (got != wanted).then(|| {
        format!(
            "answered over HTTP/{}, expected HTTP/{}",
            got.as_str(),
            wanted.as_str()
        )
    })
}

/// Equal as JSON values; numbers by value, so that `5` equals `5.0`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn excerpt(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => cut(&other.to_string()),
    }
}

fn quoted(text: &str) -> String {
    format!("{:?}", cut(text))
}

fn cut(text: &str) -> String {
    let mut cut: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
