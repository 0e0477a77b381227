//! What is no plain mapping of the file: sources of secrets, paths, proxies; and its words.

use std::borrow::Cow;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::desk::{At, Desk, Place, quote};
use super::leaf::{Flag, Words};
use super::read::{Read, keys, read_at, strange, without_value, wrong_type};
use super::yaml::{Node, Value};
use crate::domain::cell::{Group, HeaderCase, HttpOffer, IpFamily, TlsVersion};
use crate::domain::mute::Effect;
use crate::domain::notification::Encryption;
use crate::domain::observation::HttpVersion;
use crate::domain::probe::{Cookies, Resolver};
use crate::domain::verdict::{Factor, Kind, Maker, Rule, Severity, Tell};

/// Where a secret comes from; never the secret itself.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Env(At<String>),
    File(At<PathBuf>),
}

impl Read for Source {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        const MEND: &str = "write { env: NAME } or { file: PATH }";
        let entries = match &node.value {
            Value::Map(entries) => entries,
            Value::Scalar { .. } => {
                desk.error(place, "a secret can't stand in this file", MEND);
                return None;
            }
            Value::List(_) => {
                wrong_type(node, place, "a mapping", MEND, desk);
                return None;
            }
        };
        let [(key, value)] = entries.as_slice() else {
            desk.error(place, "needs exactly one of \"env\" and \"file\"", MEND);
            return None;
        };
        let at = desk.under(place, key, value);
        match &*key.text {
            "env" => {
                let name = match &value.value {
                    // Quotes would make no name of a number.
                    Value::Scalar { text, .. }
                        if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') =>
                    {
                        At {
                            value: text.to_string(),
                            place: at,
                        }
                    }
                    _ => read_at::<String>(value, at, desk)?,
                };
                let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
                let valid = name.value.starts_with(begins)
                    && name
                        .value
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || c == '_');
                if !valid {
                    // Perhaps the secret itself: not for showing.
                    desk.hide(value);
                    desk.error(
                        at,
                        "this is no name of an environment variable",
                        "use letters, digits and \"_\"; the secret itself can't stand in this file",
                    );
                    return None;
                }
                Some(Self::Env(name))
            }
            "file" => {
                let path = read_at::<PathText>(value, at, desk)?;
                Some(Self::File(At {
                    value: path.value.0,
                    place: path.place,
                }))
            }
            _ => {
                let at = desk.at_key(place, &without_value(key));
                strange(key, value, at, &["env", "file"].into_iter(), desk);
                None
            }
        }
    }

    fn hide(node: &Node<'_>, desk: &mut Desk<'_>) {
        match &node.value {
            Value::Map(entries) => {
                for (key, value) in entries {
                    if key.text != "env" && key.text != "file" {
                        desk.hide(value);
                    }
                }
            }
            _ => desk.hide(node),
        }
    }
}

/// A field of a credential.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) source: Source,
    /// `false`: it may be shown.
    pub(super) secret: bool,
}

impl Read for Field {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let mut source = node.clone();
        let mut secret = true;
        if let Value::Map(entries) = &mut source.value
            && let Some(at) = entries.iter().position(|(key, _)| key.text == "secret")
        {
            let (key, value) = entries.remove(at);
            let under = desk.under(place, &key, &value);
            secret = read_at::<Flag>(&value, under, desk)?.value.0;
        }
        Some(Self {
            source: Source::read(&source, place, desk)?,
            secret,
        })
    }

    fn hide(node: &Node<'_>, desk: &mut Desk<'_>) {
        Source::hide(node, desk);
    }

    fn own_keys() -> &'static [(&'static str, bool)] {
        &[("env", false), ("file", false), ("secret", false)]
    }
}

impl JsonSchema for Field {
    fn schema_name() -> Cow<'static, str> {
        "Field".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Source::json_schema(generator);
        let secret = json_schema!({
            "description": "false: it may be shown, as a user name that everybody knows. Default: true.",
            "type": "boolean",
        });
        schema.insert("maxProperties".to_owned(), 2.into());
        schema.insert(
            "oneOf".to_owned(),
            serde_json::json!([{ "required": ["env"] }, { "required": ["file"] }]),
        );
        if let Some(properties) = schema.get_mut("properties").and_then(|p| p.as_object_mut()) {
            properties.insert("secret".to_owned(), secret.to_value());
        }
        schema
    }
}

impl JsonSchema for Source {
    fn schema_name() -> Cow<'static, str> {
        "Source".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where a secret comes from; the secret itself can't stand in this file.",
            "type": "object",
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
            "properties": {
                "env": {
                    "description": "Environment variable that holds it.",
                    "type": "string",
                    "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"
                },
                "file": {
                    "description": "File that holds it, from the directory of this file; a line break at its end is dropped.",
                    "type": "string"
                }
            }
        })
    }
}

/// A path, relative to the directory of the file.
#[derive(Debug, Clone)]
pub(super) struct PathText(pub(super) PathBuf);

impl Read for PathText {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let text = String::read(node, place, desk)?;
        if text.is_empty() || text.contains('\0') {
            desk.error(place, format!("{} is no path", quote(&text)), "");
            return None;
        }
        Some(Self(PathBuf::from(text)))
    }
}

impl JsonSchema for PathText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Path".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

/// The URL of a proxy; its own type because people write passwords into it.
#[derive(Debug, Clone)]
pub(super) struct ProxyUrl(pub(super) String);

impl Read for ProxyUrl {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        String::read(node, place, desk).map(Self)
    }

    fn hide(node: &Node<'_>, desk: &mut Desk<'_>) {
        if let Value::Scalar { text, .. } = &node.value
            && text.contains('@')
        {
            desk.hide(node);
        }
    }
}

impl JsonSchema for ProxyUrl {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "ProxyUrl".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(http|socks5h?)://[^@/]+:[0-9]+/?$" })
    }
}

/// The log; takes no keys.
#[derive(Debug, Clone)]
pub(super) struct Log;

impl Read for Log {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        keys(node, place, desk, &[]).map(|_| Self)
    }
}

impl JsonSchema for Log {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Log".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "maxProperties": 0 })
    }
}

/// The methods that a probe may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

/// Whereto redirects are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follow {
    No,
    SameHost,
    Any,
}

/// Programs that edgewatch knows how to speak to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BuiltIn {
    Curl,
}

/// For what can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Never {
    Never,
}

/// For what is there unless it is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Off {
    Off,
}

/// For whom mail is worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    Engineers,
    Plain,
}

macro_rules! words {
    ($($type:ty, $name:literal, [$($word:literal = $value:expr),+ $(,)?];)+) => {$(
        impl Words for $type {
            const NAME: &'static str = $name;
            fn all() -> &'static [(&'static str, Self)] {
                &[$(($word, $value)),+]
            }
        }
    )+};
}

words! {
    Method, "a method", [
        "GET" = Method::Get, "HEAD" = Method::Head, "POST" = Method::Post, "PUT" = Method::Put,
        "PATCH" = Method::Patch, "DELETE" = Method::Delete, "OPTIONS" = Method::Options,
    ];
    Follow, "a rule for redirects", ["no" = Follow::No, "same_host" = Follow::SameHost, "any" = Follow::Any];
    Cookies, "a rule for cookies", ["run" = Cookies::Run, "none" = Cookies::None];
    BuiltIn, "a program that is built in, or a list", ["curl" = BuiltIn::Curl];
    Never, "a schedule or \"never\"", ["never" = Never::Never];
    Off, "\"none\" or a mapping", ["none" = Off::Off];
    IpFamily, "an IP version", ["any" = IpFamily::Any, "v4" = IpFamily::V4, "v6" = IpFamily::V6];
    HttpOffer, "an HTTP version to offer", ["1.1" = HttpOffer::Http1, "2" = HttpOffer::Http2, "either" = HttpOffer::Either];
    HttpVersion, "an HTTP version", ["1.0" = HttpVersion::H1_0, "1.1" = HttpVersion::H1_1, "2" = HttpVersion::H2];
    Group, "a group of TLS", ["x25519mlkem768" = Group::X25519MlKem768, "x25519" = Group::X25519, "secp256r1" = Group::P256, "secp384r1" = Group::P384];
    TlsVersion, "a TLS version", ["1.2" = TlsVersion::V1_2, "1.3" = TlsVersion::V1_3];
    HeaderCase, "a way to write header names", ["as_written" = HeaderCase::AsWritten, "title" = HeaderCase::Title, "lower" = HeaderCase::Lower];
    Encryption, "a way to encrypt", ["starttls" = Encryption::StartTls, "implicit" = Encryption::Implicit, "none" = Encryption::None];
    Readers, "a choice of words", ["engineers" = Readers::Engineers, "plain" = Readers::Plain];
    Effect, "an effect", ["mute" = Effect::Mute, "annotate" = Effect::Annotate];
    Resolver, "a resolver", ["own" = Resolver::Own, "system" = Resolver::System];
}

/// Words whose one spelling the domain knows.
macro_rules! domain_words {
    ($($type:ty, $name:literal;)+) => {$(
        impl Words for $type {
            const NAME: &'static str = $name;
            fn all() -> &'static [(&'static str, Self)] {
                static ALL: std::sync::LazyLock<Vec<(&'static str, $type)>> =
                    std::sync::LazyLock::new(|| <$type>::ALL.iter().map(|v| (v.as_str(), *v)).collect());
                &ALL
            }
        }
    )+};
}

domain_words! {
    Kind, "a verdict";
    Maker, "a maker";
    Rule, "a rule";
    Factor, "a factor";
    Severity, "a severity";
    Tell, "a way to tell";
}
