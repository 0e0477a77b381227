//! How a node becomes a value: the trait, the collections, and the macro that declares the mirror.
//!
//! [`mirror!`] is the one definition of a mapping of `probes.yaml`. It makes the struct, the reader
//! that knows its keys, and, through the derived [`JsonSchema`], the description that editors use; so
//! a key can't be read and not described, or the other way round.

use std::borrow::Cow;
use std::collections::HashSet;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::desk::{At, Desk, Place, clean, nearest, quote, suggest, unseen};
use super::yaml::{Key, Node, Value};

/// Reads a node; `None` when an error was reported instead.
pub(super) trait Read: Sized {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self>;

    /// What `~`, or nothing behind the colon, stands for; `None`: it is refused.
    fn of_nothing() -> Option<Self> {
        None
    }

    /// The keys that it has, where it is a mapping with fixed ones.
    fn own_keys() -> &'static [(&'static str, bool)] {
        &[]
    }

    /// Called for whatever stands where this type is expected, before anything can be shown of it.
    fn hide(_node: &Node<'_>, _desk: &mut Desk<'_>) {}
}

/// Declares a mapping with fixed keys.
///
/// `required` before a key makes its absence an error. All fields are options even so: after an error
/// the rest is still checked. `(hide_text)` behind the name keeps out of sight what somebody wrote
/// there instead of the mapping: most likely the secret itself.
macro_rules! mirror {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident $(($secret:ident))? {
            $( $(#[doc = $key_doc:literal])* $($required:ident)? $key:literal $field:ident : $type:ty, )+
        }
    )+) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Default, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(super) struct $name {
            $( $(#[doc = $key_doc])* #[schemars(rename = $key $(, $required)?)]
            pub(super) $field: Option<$crate::config::desk::At<$type>>, )+
            /// What stands there, readable or not.
            #[schemars(skip)]
            #[allow(dead_code, reason = "few ask")]
            pub(super) present: $crate::config::read::Present,
        }

        impl $name {
            /// Its keys, and which of them it must have.
            #[allow(dead_code, reason = "few ask")]
            pub(super) const KEYS: &[(&'static str, bool)] =
                &[$(($key, !<[&str]>::is_empty(&[$(stringify!($required))?])),)+];

            /// Takes over what `from` says and this does not.
            #[allow(dead_code, reason = "few share")]
            pub(super) fn lacking(&mut self, from: &Self) {
                $( if !self.present.has($key) {
                    self.$field.clone_from(&from.$field);
                } )+
                self.present.add_all(&from.present);
            }
        }

        impl $crate::config::read::Read for $name {
            fn read<'t>(
                node: &$crate::config::yaml::Node<'t>,
                place: $crate::config::desk::Place,
                desk: &mut $crate::config::desk::Desk<'t>,
            ) -> Option<Self> {
                let (entries, present) = $crate::config::read::keys(node, place, desk, Self::KEYS)?;
                let mut read = Self {
                    present,
                    ..Self::default()
                };
                for (name, key, value) in entries {
                    match name {
                        $( $key => read.$field = $crate::config::read::field(key, value, place, desk), )+
                        _ => {}
                    }
                }
                Some(read)
            }

            fn own_keys() -> &'static [(&'static str, bool)] {
                Self::KEYS
            }

            $(
                fn hide(
                    node: &$crate::config::yaml::Node<'_>,
                    desk: &mut $crate::config::desk::Desk<'_>,
                ) {
                    $crate::config::read::$secret(node, desk);
                }
            )?
        }
    )+};
}
pub(super) use mirror;

/// Hides whatever may be the URL of a dead-man's switch: all of it is the secret.
pub(super) fn hide_heartbeat(node: &Node<'_>, desk: &mut Desk<'_>) {
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                if key.text != "every" && !matches!(value.value, Value::Map(_)) {
                    desk.hide(value);
                }
            }
        }
        _ => desk.hide(node),
    }
}

/// Hides a text that stands where a mapping with secrets belongs.
pub(super) fn hide_text(node: &Node<'_>, desk: &mut Desk<'_>) {
    if !matches!(node.value, Value::Map(_)) {
        desk.hide(node);
    }
}

/// Reads the value of `key`.
pub(super) fn field<'t, T: Read>(
    key: &Key<'t>,
    node: &Node<'t>,
    parent: Place,
    desk: &mut Desk<'t>,
) -> Option<At<T>> {
    let place = desk.under(parent, key, node);
    read_at(node, place, desk)
}

pub(super) fn read_at<'t, T: Read>(
    node: &Node<'t>,
    place: Place,
    desk: &mut Desk<'t>,
) -> Option<At<T>> {
    T::hide(node, desk);
    if is_null(node) {
        let value = T::of_nothing();
        if value.is_none() {
            desk.error(place, "has no value", "write one, or remove the key");
        }
        return value.map(|value| At { value, place });
    }
    T::read(node, place, desk).map(|value| At { value, place })
}

/// Which keys a mapping has, so that a key whose value could not be read is not called missing too.
#[derive(Debug, Clone, Default)]
pub(super) struct Present {
    keys: Vec<&'static str>,
    strange: bool,
}

impl Present {
    /// Whether the key stands there, or one that was most likely meant to be it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains(&key)
    }

    pub(super) fn add(&mut self, key: &'static str) {
        self.keys.push(key);
    }

    pub(super) fn add_all(&mut self, others: &Self) {
        self.keys.extend(&others.keys);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.strange
    }
}

/// An entry of a mapping with fixed keys: the key that is meant, as it is written, and what stands there.
pub(super) type Entry<'n, 't> = (&'static str, &'n Key<'t>, &'n Node<'t>);

/// The entries of a mapping whose keys are fixed; reports strange, repeated and missing ones.
///
/// A key that is misspelt is read as the one that it was most likely meant to be, so that nothing else is said to lack it.
pub(super) fn keys<'n, 't>(
    node: &'n Node<'t>,
    place: Place,
    desk: &mut Desk<'t>,
    known: &[(&'static str, bool)],
) -> Option<(Vec<Entry<'n, 't>>, Present)> {
    let all = entries(node, place, desk, |_, _| ())?;
    let mut present = Present::default();
    let names = known.iter().map(|(name, _)| *name);
    let right = |key: &Key<'_>| names.clone().find(|name| *name == key.text);
    present
        .keys
        .extend(all.iter().filter_map(|(key, _)| right(key)));
    let meant = |key: &Key<'_>| right(key).or_else(|| nearest(head_of(&key.text), names.clone()));
    let foreign = !desk.is_full() && all.iter().all(|(key, _)| meant(key).is_none());
    desk.misplaced |= foreign && all.len() > 1;
    let mut read = Vec::with_capacity(all.len());
    for (key, value) in all {
        if let Some(name) = right(key) {
            read.push((name, key, value));
            continue;
        }
        present.strange = true;
        hide_behind(key, value, desk);
        let at = desk.at_key(place, &without_value(key));
        let meant = strange(key, value, at, &names, desk);
        let Some(meant) = meant.filter(|meant| !present.has(meant)) else {
            continue;
        };
        present.keys.push(meant);
        // Of a few letters any other is a neighbour.
        if key.text.chars().count() > 2 && !is_glued(&key.text) {
            read.push((meant, key, value));
        }
    }
    // Where it has none of its keys something else was meant: that is the error.
    let something_else = present.strange && present.keys.is_empty();
    for (name, required) in known {
        if *required && !something_else && !present.has(name) {
            let hint = if *name == "version" {
                "write \"version: 1\""
            } else {
                ""
            };
            desk.error(place, format!("\"{name}\" is missing"), hint);
        }
    }
    Some((read, present))
}

/// A key and what belongs behind it, without the colon or the space between.
fn is_glued(key: &str) -> bool {
    key.contains([':', ' '])
}

/// The key alone of one with a value in it, which may be a secret.
pub(super) fn without_value<'t>(key: &Key<'t>) -> Key<'t> {
    let mut bare = key.clone();
    if let Some((head, _)) = key.text.split_once([':', ' ']) {
        bare.text = head.to_owned().into();
    }
    bare
}

fn head_of(key: &str) -> &str {
    key.split([':', ' ']).next().unwrap_or_default()
}

/// Reports a key that is not known here; returns the one that is meant.
pub(super) fn strange<'a>(
    key: &Key<'_>,
    value: &Node<'_>,
    at: Place,
    names: &(impl Iterator<Item = &'a str> + Clone),
    desk: &mut Desk<'_>,
) -> Option<&'a str> {
    let head = head_of(&key.text);
    if is_glued(&key.text)
        && let Some(meant) = names.clone().find(|name| *name == head)
    {
        // What follows may be a secret.
        let what = if key.text[head.len()..].starts_with(':') {
            format!("no space stands behind the colon of \"{head}\"")
        } else {
            format!("no colon stands behind \"{head}\"")
        };
        desk.hide_at(at);
        desk.error(at, what, format!("write \"{head}: …\""));
        return Some(meant);
    }
    let block = !matches!(value.value, Value::Scalar { .. });
    if desk.is_full() {
        desk.error(at, "", "");
        return None;
    }
    let meant = nearest(&key.text, names.clone());
    let mut hint = suggest(&key.text, names.clone(), "known here");
    if let Some(sign) = unseen(&key.text) {
        hint = format!("it holds {sign}; {hint}");
    }
    if meant.is_none() {
        desk.misplaced |= block;
        if desk.top.iter().any(|(top, _)| *top == key.text) {
            hint = format!("it stands at the top of the file, not indented; {hint}");
        } else if block && !names.clone().any(|name| name == "version") {
            hint = format!("{hint}; is it indented too far, or the line above it gone?");
        }
    }
    if is_glued(&key.text) {
        desk.hide_at(at);
    }
    desk.error(at, format!("unknown key {}", quote(head)), hint);
    meant
}

/// The entries of any mapping, without those whose key was there before; `hide` is asked about these.
pub(super) fn entries<'n, 't>(
    node: &'n Node<'t>,
    place: Place,
    desk: &mut Desk<'t>,
    hide: impl Fn(&Node<'t>, &mut Desk<'t>),
) -> Option<Vec<&'n (Key<'t>, Node<'t>)>> {
    let Value::Map(entries) = &node.value else {
        let list = matches!(node.value, Value::List(_));
        desk.misplaced |= list;
        let hint = if list {
            "is the line above it gone, or its indentation wrong?"
        } else {
            ""
        };
        wrong_type(node, place, "a mapping (\"key: value\")", hint, desk);
        return None;
    };
    let mut seen = HashSet::with_capacity(entries.len());
    let mut kept = Vec::with_capacity(entries.len());
    for entry in entries {
        if seen.insert(&entry.0.text) {
            kept.push(entry);
        } else {
            let at = desk.at_key(place, &entry.0);
            let first = entries.iter().find(|(key, _)| key.text == entry.0.text);
            let first = first.map_or(entry.0.mark, |(key, _)| key.mark);
            let first = desk.line_of(first, entry.0.mark);
            desk.misplaced |= !matches!(entry.1.value, Value::Scalar { .. });
            hide_behind(&entry.0, &entry.1, desk);
            hide(&entry.1, desk);
            desk.error(
                at,
                format!("the key {} stands here twice", quote(&entry.0.text)),
                format!("the first is {first}"),
            );
        }
    }
    Some(kept)
}

/// Keeps what stands behind a misspelt or repeated `password` out of sight, too.
fn hide_behind(key: &Key<'_>, value: &Node<'_>, desk: &mut Desk<'_>) {
    let secret = [
        "password",
        "username",
        "token",
        "webhook",
        "credentials",
        "heartbeat",
        "secret",
        "routing_key",
    ]
    .iter()
    .any(|word| strsim::jaro_winkler(word, &key.text.to_lowercase()) >= 0.75);
    if secret {
        desk.hide(value);
    }
}

pub(super) fn is_null(node: &Node<'_>) -> bool {
    matches!(&node.value, Value::Scalar { text, plain: true }
        if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
}

/// Reports that something else was expected than what stands there.
pub(super) fn wrong_type(
    node: &Node<'_>,
    place: Place,
    expected: &str,
    hint: &str,
    desk: &mut Desk<'_>,
) {
    let found = match &node.value {
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
        Value::Scalar { .. } if desk.hides(node) => "a text".to_owned(),
        Value::Scalar { text, .. } => quote(text),
    };
    desk.error(place, format!("must be {expected}, not {found}"), hint);
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A text that YAML readers see as something else when it is not quoted, and as what.
pub(super) fn trap(text: &str) -> Option<String> {
    let what = match text.to_ascii_lowercase().as_str() {
        "" | "~" | "null" => "nothing",
        "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n" => "a boolean",
        _ if is_numeric(text) => "a number",
        _ => return None,
    };
    Some(format!(
        "{} without quotes is {what} to other readers of YAML",
        quote(text)
    ))
}

/// Whether some YAML reader takes `text` for a number: decimal, float, `0x`, `0o`, `1_000`.
fn is_numeric(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    if let Some(rest) = digits.strip_prefix("0x") {
        return !rest.is_empty() && rest.chars().all(|c| c.is_ascii_hexdigit() || c == '_');
    }
    if let Some(rest) = digits
        .strip_prefix("0o")
        .or_else(|| digits.strip_prefix("0b"))
    {
        return !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit() || c == '_');
    }
    matches!(digits.to_ascii_lowercase().as_str(), ".inf" | ".nan")
        || digits.replace('_', "").parse::<f64>().is_ok()
}

/// The text of a scalar; reports anything else.
pub(super) fn scalar<'n>(
    node: &'n Node<'_>,
    place: Place,
    expected: &str,
    desk: &mut Desk<'_>,
) -> Option<(&'n str, bool)> {
    if let Value::Scalar { text, plain } = &node.value {
        Some((text, *plain))
    } else {
        wrong_type(node, place, expected, "", desk);
        None
    }
}

impl Read for String {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let (text, plain) = scalar(node, place, "a text", desk)?;
        if let Some(trap) = trap(text).filter(|_| plain) {
            // In quotes it would be none either.
            let hint = match desk.key_of(place) {
                "url" | "proxy" | "host" | "api" => "an address stands here".to_owned(),
                _ => format!("write \"{}\" in quotes", clean(text)),
            };
            desk.error(place, trap, hint);
            return None;
        }
        if plain {
            desk.doubt_comment(place, text);
        }
        if text.starts_with(['\u{201c}', '\u{201e}', '\u{2018}'])
            && text.ends_with(['\u{201d}', '\u{201c}', '\u{2019}'])
        {
            desk.doubt_at(
                place,
                "typographic quotes are part of the text",
                "write \" in their place",
            );
        }
        if plain {
            doubt_quote(text, place, desk);
        }
        Some(text.to_owned())
    }
}

/// Doubts an unquoted text that ends with a quote which nothing opened: the first one is lost.
fn doubt_quote(text: &str, place: Place, desk: &mut Desk<'_>) {
    let lost = ['"', '\'']
        .into_iter()
        .find(|sign| text.ends_with(*sign) && text.matches(*sign).count() % 2 == 1);
    if let Some(sign) = lost {
        desk.doubt_at(
            place,
            format!("ends with a {sign} that is part of the text"),
            format!("put a {sign} before it as well"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_other_readers_see() {
        for (text, numeric) in [
            ("1", true),
            ("1.10", true),
            ("010", true),
            ("0o17", true),
            ("0xff", true),
            ("1_000", true),
            ("1e3", true),
            ("-2", true),
            (".5", true),
            (".inf", true),
            ("1.2.3", false),
            ("10.20.1.15", false),
            ("30s", false),
            ("Java/1.8", false),
            ("inf", false),
            ("nan", false),
            ("-", false),
            ("0x", false),
        ] {
            assert_eq!(is_numeric(text), numeric, "{text}");
        }
    }
}
