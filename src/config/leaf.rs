//! The single values of the file that are texts: names, words, addresses, patterns, statuses.
//!
//! Each knows how it is written, what it refuses, and how an editor may describe it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use regex::{Regex, RegexBuilder};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use super::desk::{Desk, Place, clean, quote, suggest, unseen};
use super::read::{Read, scalar, trap, wrong_type};
use super::yaml::{Node, Value};
use crate::domain::shown::is_unsafe;

/// Gives a leaf type its place in the schema: written out where it stands. `@MIN` names a bound that
/// is a parameter of the type.
macro_rules! inline_schema {
    ($(@$bound:ident)* $type:ty, $name:literal, $schema:expr) => {
        impl<$(const $bound: u64),*> JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}
pub(super) use inline_schema;

/// A name that the operator gives or mentions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(pub(super) String);

impl Name {
    pub(super) const PATTERN: &'static str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

    /// Whether it can be a name; reports why not.
    pub(super) fn check(text: &str, plain: bool, place: Place, desk: &mut Desk<'_>) -> bool {
        if let Some(trap) = trap(text).filter(|_| plain) {
            desk.error(place, trap, format!("write \"{}\" in quotes", clean(text)));
            return false;
        }
        let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let rest = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if !starts || !rest || text.len() > 64 {
            let odd = unseen(text).map_or_else(String::new, |sign| format!("it holds {sign}; "));
            desk.error(
                place,
                format!("{} can't be a name", quote(text)),
                format!("{odd}use letters, digits, \".\", \"_\" and \"-\", at most 64, a letter or digit first"),
            );
            return false;
        }
        true
    }
}

impl Read for Name {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let (text, plain) = scalar(node, place, "a name", desk)?;
        let words: Vec<&str> = text
            .split([',', ' '])
            .filter(|word| !word.is_empty())
            .collect();
        let fits = |word: &&str| {
            word.chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        if words.len() > 1 && words.iter().all(fits) {
            let list = words.join(", ");
            desk.error(
                place,
                format!("{} can't be a name", quote(text)),
                format!(
                    "several names are a list: [{}]; one name has no blanks",
                    clean(&list)
                ),
            );
            return None;
        }
        if let Some(list) = half_a_list(text) {
            // What it should have named is missed wherever it is mentioned.
            desk.misplaced = true;
            desk.error(
                place,
                format!("{} can't be a name", quote(text)),
                format!("one bracket of a list is lost; write {list}"),
            );
            return None;
        }
        Self::check(text, plain, place, desk).then(|| Self(text.to_owned()))
    }
}

/// What a text with one bracket alone was to be: `shop]` is `[shop]`.
fn half_a_list(text: &str) -> Option<String> {
    let sides = (text.strip_prefix('['), text.strip_suffix(']'));
    let ((Some(inner), None) | (None, Some(inner))) = sides else {
        return None;
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-, ".contains(c);
    inner
        .chars()
        .all(fits)
        .then(|| format!("[{}]", clean(inner)))
}

inline_schema!(
    Name,
    "Name",
    json_schema!({ "type": "string", "pattern": Name::PATTERN })
);

/// What people call a partner: as a name, and with blanks and other letters too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartnerName(pub(super) String);

impl PartnerName {
    const CHARS_MAX: usize = 64;
}

impl Read for PartnerName {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let text = String::read(node, place, desk)?;
        let text = text.trim();
        if text.is_empty() || text.chars().count() > Self::CHARS_MAX || text.contains(is_unsafe) {
            desk.error(
                place,
                format!("{} can't be the name of a partner", quote(text)),
                format!(
                    "one line of at most {} characters, as people call it",
                    Self::CHARS_MAX
                ),
            );
            return None;
        }
        Some(Self(text.to_owned()))
    }
}

inline_schema!(
    PartnerName,
    "PartnerName",
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 64 })
);

/// The value of a header: a text, or a plain whole number, which nobody can misread.
#[derive(Debug, Clone)]
pub(super) struct HeaderText(pub(super) String);

impl Read for HeaderText {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let (text, plain) = scalar(node, place, "a text", desk)?;
        let whole = text.parse::<u64>().is_ok_and(|n| n.to_string() == text);
        if let Some(trap) = trap(text).filter(|_| plain && !whole) {
            desk.error(place, trap, format!("write \"{}\" in quotes", clean(text)));
            return None;
        }
        if plain {
            desk.doubt_comment(place, text);
        }
        header_value(text, place, desk).then(|| Self(text.to_owned()))
    }
}

inline_schema!(
    HeaderText,
    "HeaderText",
    json_schema!({ "type": ["string", "integer"], "pattern": "^[\\t -~]*$" })
);

/// The value of a header, or none: then only its place is said.
#[derive(Debug, Clone)]
pub(super) struct MaybeText(pub(super) Option<String>);

impl Read for MaybeText {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        HeaderText::read(node, place, desk).map(|text| Self(Some(text.0)))
    }

    fn of_nothing() -> Option<Self> {
        Some(Self(None))
    }
}

inline_schema!(
    MaybeText,
    "MaybeText",
    json_schema!({ "type": ["string", "integer"], "pattern": "^[\\t -~]*$" })
);

/// Whether `text` can stand in a header (RFC 9110 section 5.5); reports why not.
pub(super) fn header_value(text: &str, place: Place, desk: &mut Desk<'_>) -> bool {
    let bad = text.chars().find(|c| !matches!(c, '\t' | ' '..='~'));
    if let Some(bad) = bad {
        let what = if bad == '\n' || bad == '\r' {
            "a line break".to_owned()
        } else {
            unseen(text).unwrap_or_else(|| format!("\"{}\"", bad.escape_default()))
        };
        desk.error(
            place,
            format!("{what} can't stand in a header"),
            "use printable ASCII on one line",
        );
        return false;
    }
    if text.len() > 8192 {
        desk.error(
            place,
            "a header value of more than 8192 bytes",
            "shorten it",
        );
        return false;
    }
    true
}

/// The user agent: printable, on one line; empty only when that is written (`""`).
#[derive(Debug, Clone)]
pub(super) struct UserAgent(pub(super) String);

impl Read for UserAgent {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let text = String::read(node, place, desk)?;
        if text.contains("{{") {
            desk.error(
                place,
                "placeholders are not filled in a user agent",
                "it would be sent as it stands; write the text that is sent",
            );
            return None;
        }
        header_value(&text, place, desk).then_some(Self(text))
    }
}

inline_schema!(
    UserAgent,
    "UserAgent",
    json_schema!({ "type": "string", "pattern": "^[\\t -~]*$" })
);

/// `true` or `false`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag(pub(super) bool);

impl Read for Flag {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let (text, plain) = scalar(node, place, "\"true\" or \"false\"", desk)?;
        match (text, plain) {
            ("true", true) => Some(Self(true)),
            ("false", true) => Some(Self(false)),
            _ => {
                let hint = match text.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "on" | "y" | "1" => "write true, without quotes",
                    "false" | "no" | "off" | "n" | "0" => "write false, without quotes",
                    _ => "",
                };
                wrong_type(node, place, "true or false", hint, desk);
                None
            }
        }
    }
}

inline_schema!(Flag, "Flag", json_schema!({ "type": "boolean" }));

/// An IP address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address(pub(super) IpAddr);

impl Read for Address {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let (text, _) = scalar(node, place, "an IP address", desk)?;
        if let Ok(address) = text.parse() {
            return Some(Self(address));
        }
        if text.contains("://") {
            // Perhaps with a password in it.
            desk.hide(node);
            desk.error(
                place,
                "a URL is no IP address",
                "a proxy is written \"{ proxy: … }\"",
            );
            return None;
        }
        let hint = if text.contains('/') {
            "one address, not a network"
        } else if text.contains(':') && text.contains('.') {
            "without a port"
        } else {
            "like \"10.20.1.15\" or \"2001:db8::1\""
        };
        desk.error(place, format!("{} is no IP address", quote(text)), hint);
        None
    }
}

inline_schema!(
    Address,
    "Address",
    json_schema!({ "type": "string", "anyOf": [
        { "format": "ipv4", "pattern": "^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])$" },
        { "format": "ipv6", "pattern": "^[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*$" }
    ] })
);

/// An IP address with a port.
#[derive(Debug, Clone, Copy)]
pub(super) struct SocketText(pub(super) SocketAddr);

impl Read for SocketText {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let (text, _) = scalar(node, place, "an address with its port", desk)?;
        let found = text.parse();
        if found.is_err() {
            let hint = if text.parse::<u16>().is_ok() {
                format!("write \"127.0.0.1:{text}\"")
            } else {
                "like \"127.0.0.1:9464\" or \"[::1]:9464\"".to_owned()
            };
            desk.error(
                place,
                format!("{} is no address with a port", quote(text)),
                hint,
            );
        }
        found.ok().map(Self)
    }
}

inline_schema!(
    SocketText,
    "SocketText",
    json_schema!({ "type": "string", "pattern": ":[0-9]{1,5}$", "examples": ["127.0.0.1:9464"] })
);

/// A regular expression, bounded in size.
#[derive(Debug, Clone)]
pub(super) struct Pattern(pub(super) Regex);

impl Read for Pattern {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let text = String::read(node, place, desk)?;
        let error = match RegexBuilder::new(&text).size_limit(1 << 20).build() {
            Ok(regex) => return Some(Self(regex)),
            Err(regex::Error::CompiledTooBig(_)) => "it is too large".to_owned(),
            // The last line says what; the ones before draw the expression.
            Err(error) => error
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned(),
        };
        desk.error(
            place,
            format!("{} is no regular expression", quote(&text)),
            error,
        );
        None
    }
}

inline_schema!(
    Pattern,
    "Pattern",
    json_schema!({ "type": "string", "format": "regex" })
);

/// Statuses as inclusive ranges: `200`, `2xx`, `200-299`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Status(pub(super) (u16, u16));

impl Read for Status {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let (text, _) = scalar(node, place, "a status", desk)?;
        let one = |text: &str| text.parse().ok().filter(|s| (100..=599).contains(s));
        let range = if let Some(class) = text.strip_suffix("xx") {
            class
                .parse::<u16>()
                .ok()
                .filter(|c| (1..=5).contains(c))
                .map(|c| (c * 100, c * 100 + 99))
        } else if let Some((low, high)) = text.split_once('-') {
            one(low.trim())
                .zip(one(high.trim()))
                .filter(|(l, h)| l <= h)
        } else {
            one(text).map(|s| (s, s))
        };
        if range.is_none() {
            desk.error(
                place,
                format!("{} is no status", quote(text)),
                "write 200, \"2xx\", \"200-299\", or a list of these",
            );
        }
        range.map(Self)
    }
}

inline_schema!(
    Status,
    "Status",
    json_schema!({ "anyOf": [
    { "type": "integer", "minimum": 100, "maximum": 599 },
    { "type": "string", "pattern": "^([1-5]xx|[1-5][0-9][0-9]( ?- ?[1-5][0-9][0-9])?)$" },
] })
);

/// A closed list of words.
pub(super) trait Words: Copy + 'static {
    const NAME: &'static str;
    fn all() -> &'static [(&'static str, Self)];
}

/// One word of a closed list; quotes make no difference, so that `http: 1.1` is as good as `"1.1"`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<T>(pub(super) T);

impl<T: Words> Read for Word<T> {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let Value::Scalar { text, .. } = &node.value else {
            wrong_type(node, place, T::NAME, "", desk);
            return None;
        };
        let found = T::all().iter().find(|(word, _)| word == text);
        if found.is_none() {
            let words = T::all().iter().map(|(word, _)| *word);
            let several: Vec<&str> = text.split([' ', ',']).filter(|w| !w.is_empty()).collect();
            let list = several.len() > 1 && several.iter().all(|w| words.clone().any(|k| k == *w));
            let hint = if list {
                format!("several are a list: [{}]", several.join(", "))
            } else {
                suggest(text, words, "one of")
            };
            desk.error(place, format!("{} is not {}", quote(text), T::NAME), hint);
        }
        found.map(|(_, value)| Self(*value))
    }
}

impl<T: Words> JsonSchema for Word<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut values = Vec::new();
        for (word, _) in T::all() {
            values.push(json!(word));
            // What an editor sees when the word is not quoted.
            if *word == "no" {
                values.push(json!(false));
            } else if let Ok(whole) = word.parse::<u64>() {
                values.push(json!(whole));
            } else if let Ok(float) = word.parse::<f64>() {
                values.push(json!(float));
            }
        }
        json_schema!({ "enum": values })
    }
}
