//! `expect`, `origin`, `when`: the keys of one mapping into conditions that must all hold.

use super::headers::header_name;
use crate::config::collections::{Form, Many};
use crate::config::desk::{At, Desk, quote};
use crate::config::leaf::{HeaderText, Pattern, Status, Word};
use crate::config::measure::Whole;
use crate::config::raw;
use crate::domain::condition::{Compare, Condition, Conditions, TextMatch};
use crate::domain::verdict::Kind;
use crate::lang::jsonpath;
use crate::lang::xpath::XPath;

/// What both mirrors have in common, so that one function reads both.
macro_rules! common {
    ($raw:expr) => {{
        let raw = $raw;
        Common {
            status: raw.status,
            header: raw.header,
            headers: raw.headers.map(|h| h.value.0).unwrap_or_default(),
            body: raw.body,
            regex: raw.regex,
            jsonpath: raw.jsonpath,
            xpath: raw.xpath,
            namespaces: raw.namespaces.map(|n| n.value.0).unwrap_or_default(),
            latency: raw.latency.map(|l| At {
                value: l.value.0,
                place: l.place,
            }),
            fresh: raw.fresh.map(|f| f.value.0),
            certificate_days: raw.certificate_days,
            http: raw.http.map(|h| h.value),
            sha256: raw.sha256,
        }
    }};
}

type HeaderCondition = (At<String>, At<Form<HeaderText, raw::RegexText>>);

struct Common {
    status: Option<At<Many<Status>>>,
    header: Option<At<Many<String>>>,
    headers: Vec<HeaderCondition>,
    body: Option<At<Many<String>>>,
    regex: Option<At<Many<Pattern>>>,
    jsonpath: Option<At<Many<String>>>,
    xpath: Option<At<Many<String>>>,
    namespaces: Vec<(At<String>, At<String>)>,
    latency: Option<At<std::time::Duration>>,
    fresh: Option<std::time::Duration>,
    certificate_days: Option<At<Whole<1, 3650>>>,
    http: Option<Word<crate::domain::observation::HttpVersion>>,
    sha256: Option<At<String>>,
}

/// Conditions that must say something: an empty set holds of every answer.
pub(super) fn conditions(raw: At<raw::Conditions>, desk: &mut Desk<'_>) -> Conditions {
    let place = raw.place;
    let empty = raw.value.present.is_empty();
    let conditions = read(common!(raw.value), desk);
    if empty {
        desk.error(
            place,
            "names no condition, and so would hold of every answer",
            "name one, or remove the key",
        );
    }
    conditions
}

/// What in a plain text most likely means a regular expression.
fn sign_of_a_regex(text: &str) -> Option<&'static str> {
    let alternatives = text.split('|').collect::<Vec<_>>();
    let words =
        |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == ' ');
    if alternatives.len() > 1 && alternatives.iter().all(words) {
        return Some("\"|\"");
    }
    let signs = [
        (".*", "\".*\""),
        (".+", "\".+\""),
        ("\\d", "\"\\d\""),
        ("\\s", "\"\\s\""),
        ("\\w", "\"\\w\""),
    ];
    let found = signs.into_iter().find(|(sign, _)| text.contains(sign));
    found.map(|(_, shown)| shown)
}

pub(super) fn expected(raw: raw::Expect, desk: &mut Desk<'_>) -> Conditions {
    read(common!(raw), desk)
}

fn read(raw: Common, desk: &mut Desk<'_>) -> Conditions {
    let mut all = Vec::new();
    if let Some(status) = raw.status {
        let ranges: Vec<_> = status.value.0.iter().map(|s| s.value.0).collect();
        if ranges.is_empty() {
            desk.error(status.place, "an empty list can't be met", "name a status");
        }
        all.push(Condition::Status(ranges));
    }
    for name in many(raw.header, desk) {
        if header_name(&name.value, name.place, desk) {
            all.push(Condition::Header {
                name: name.value.to_ascii_lowercase(),
                value: None,
            });
        }
    }
    for (name, value) in raw.headers {
        if header_name(&name.value, name.place, desk) {
            let value = match value.value {
                Form::Short(text) => TextMatch::Contains(text.0),
                Form::Full(regex) => match regex.regex {
                    Some(regex) => TextMatch::Regex(regex.value.0),
                    None => continue,
                },
            };
            all.push(Condition::Header {
                name: name.value.to_ascii_lowercase(),
                value: Some(value),
            });
        }
    }
    for text in many(raw.body, desk) {
        if text.value.is_empty() {
            desk.error(text.place, "\"\" is in every body", "name a text");
        }
        if let Some(sign) = sign_of_a_regex(&text.value) {
            desk.warning(
                text.place,
                format!("{sign} is taken as it stands"),
                "for a regular expression write \"regex:\" in place of \"body:\"",
            );
        }
        all.push(Condition::Body(TextMatch::Contains(text.value)));
    }
    for pattern in many(raw.regex, desk) {
        all.push(Condition::Body(TextMatch::Regex(pattern.value.0)));
    }
    for query in many(raw.jsonpath, desk) {
        all.extend(json(&query, desk));
    }
    let namespaces: Vec<(String, String)> = raw
        .namespaces
        .into_iter()
        .map(|(prefix, uri)| (prefix.value, uri.value))
        .collect();
    for text in many(raw.xpath, desk) {
        match XPath::new(&text.value, &namespaces) {
            Ok(xpath) => all.push(Condition::Xml(xpath)),
            Err(error) => desk.error(
                text.place,
                format!("{} is no XPath that can be used here", quote(&text.value)),
                error,
            ),
        }
    }
    all.extend(raw.latency.map(|l| Condition::Latency(l.value)));
    all.extend(raw.fresh.map(Condition::Fresh));
    if let Some(digest) = raw.sha256 {
        let text = digest.value.trim().to_ascii_lowercase();
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            all.push(Condition::Sha256(text));
        } else {
            desk.error(
                digest.place,
                format!("{} is no SHA-256", quote(&digest.value)),
                "write its 64 hex digits, as \"sha256sum FILE\" shows them",
            );
        }
    }
    all.extend(
        raw.certificate_days
            .map(|d| Condition::CertificateDays(d.value.0 as u32)),
    );
    all.extend(raw.http.map(|h| Condition::Http(h.0)));
    Conditions(all)
}

fn many<T>(raw: Option<At<Many<T>>>, desk: &mut Desk<'_>) -> Vec<At<T>> {
    let Some(raw) = raw else {
        return Vec::new();
    };
    if raw.value.0.is_empty() {
        let hint = "name what is wanted, or remove the key";
        desk.error(raw.place, "an empty list asks for nothing", hint);
    }
    raw.value.0
}

/// Reads `$.a.b`, `$.a.b == 'x'` or `$.a.b != 3`.
fn json(query: &At<String>, desk: &mut Desk<'_>) -> Option<Condition> {
    let (path, comparison) = split(&query.value);
    let path = match jsonpath::query(path.trim()) {
        Ok(path) => path,
        Err(error) => {
            let one_sign = path.contains('=') && !path.contains("==");
            desk.error(
                query.place,
                format!("{} is no JSONPath", quote(path.trim())),
                if one_sign {
                    "compare with \"==\", or \"!=\"".to_owned()
                } else if path.trim_start().starts_with('$') {
                    error
                } else {
                    "it begins with \"$\", like \"$.status == 'ok'\"".to_owned()
                },
            );
            return None;
        }
    };
    let Some((equal, literal)) = comparison else {
        return Some(Condition::Json {
            path,
            compare: Compare::Exists,
        });
    };
    let Some(value) = literal_value(literal.trim()) else {
        desk.error(
            query.place,
            format!("{} is no JSON value", quote(literal.trim())),
            "texts are written 'like this'",
        );
        return None;
    };
    let compare = if equal {
        Compare::Equals(value)
    } else {
        Compare::NotEquals(value)
    };
    Some(Condition::Json { path, compare })
}

/// The path, and the comparison behind it. Those inside brackets or quotes belong to the path.
fn split(text: &str) -> (&str, Option<(bool, &str)>) {
    let mut depth = 0_u32;
    let mut quoted = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if let Some(quote) = quoted {
            escaped = c == '\\';
            quoted = (c != quote).then_some(quote);
        } else {
            match c {
                '\'' | '"' => quoted = Some(c),
                '[' | '(' => depth += 1,
                ']' | ')' => depth = depth.saturating_sub(1),
                '=' | '!' if depth == 0 && text[at + 1..].starts_with('=') => {
                    return (&text[..at], Some((c == '=', &text[at + 2..])));
                }
                _ => {}
            }
        }
    }
    (text, None)
}

fn literal_value(text: &str) -> Option<serde_json::Value> {
    if let Some(inner) = text
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
    {
        return Some(inner.replace("\\'", "'").into());
    }
    serde_json::from_str(text).ok()
}

/// Reports a verdict that no answer can have: those that say there was none.
pub(super) fn verdict_of_an_answer(verdict: &At<Word<Kind>>, desk: &mut Desk<'_>) -> Option<Kind> {
    let kind = verdict.value.0;
    if matches!(
        kind,
        Kind::DnsError | Kind::ConnectError | Kind::TlsError | Kind::Timeout
    ) {
        desk.error(
            verdict.place,
            format!("an answer can't mean \"{kind}\", which says that there was none"),
            "name a verdict like \"origin_denied\" or \"edge_block\"",
        );
        return None;
    }
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_a_comparison_off() {
        for (text, path, comparison) in [
            ("$.a", "$.a", None),
            ("$.a == 'x'", "$.a ", Some((true, " 'x'"))),
            ("$.a!=3", "$.a", Some((false, "3"))),
            ("$[?(@.a == 1)].b", "$[?(@.a == 1)].b", None),
            ("$[?@.a == 1].b == 2", "$[?@.a == 1].b ", Some((true, " 2"))),
            ("$['a==b']", "$['a==b']", None),
            ("$.a == \"b == c\"", "$.a ", Some((true, " \"b == c\""))),
        ] {
            assert_eq!(split(text), (path, comparison), "{text}");
        }
    }

    #[test]
    fn reads_literals() {
        use serde_json::json;
        for (text, value) in [
            ("'x'", Some(json!("x"))),
            ("\"x\"", Some(json!("x"))),
            ("3", Some(json!(3))),
            ("null", Some(json!(null))),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(literal_value(text), value, "{text}");
        }
    }
}
