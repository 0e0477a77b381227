//! Headers that a client or a probe sends: their names, and what must not be set by hand.

use std::collections::HashSet;

use crate::config::collections::Pairs;
use crate::config::desk::{At, Desk, Place, quote, unseen};
use crate::config::leaf::{HeaderText, MaybeText};

/// Whether `name` is a token (RFC 9110 section 5.6.2); reports why not.
pub(super) fn header_name(name: &str, place: Place, desk: &mut Desk<'_>) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let valid = !name.is_empty() && name.len() <= 256 && name.chars().all(token);
    if !valid {
        let mend = "use letters, digits and \"-\"";
        let hint = match unseen(name) {
            Some(sign) => format!("it holds {sign}; {mend}"),
            None => mend.to_owned(),
        };
        desk.error(place, format!("{} is no header name", quote(name)), hint);
    }
    valid
}

/// Whose headers they are: a client's say how it presents itself, a probe's what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Client,
    Probe,
}

/// The headers of a probe that can be sent, with their places; reports the others.
pub(super) fn of_probe(
    raw: Option<At<Pairs<HeaderText>>>,
    desk: &mut Desk<'_>,
) -> Vec<(String, At<String>)> {
    let pairs = raw.map(|pairs| pairs.value.0).unwrap_or_default();
    let pairs = pairs.into_iter().map(|(name, value)| {
        let text = Some(value.value.0);
        (name, value.place, text)
    });
    let sendable = sendable(pairs, Whose::Probe, desk).into_iter();
    sendable
        .filter_map(|(name, place, text)| {
            Some((
                name,
                At {
                    value: text?,
                    place,
                },
            ))
        })
        .collect()
}

/// The same of a client, where some stand for a place alone.
pub(super) fn of_client(
    raw: Option<At<Pairs<MaybeText>>>,
    desk: &mut Desk<'_>,
) -> Vec<(String, Place, Option<String>)> {
    let pairs = raw.map(|pairs| pairs.value.0).unwrap_or_default();
    let pairs = pairs.into_iter();
    let pairs = pairs.map(|(name, value)| (name, value.place, value.value.0));
    sendable(pairs, Whose::Client, desk)
}

fn sendable(
    pairs: impl Iterator<Item = (At<String>, Place, Option<String>)>,
    whose: Whose,
    desk: &mut Desk<'_>,
) -> Vec<(String, Place, Option<String>)> {
    let mut seen = HashSet::new();
    let mut headers = Vec::new();
    for (name, place, text) in pairs {
        if !header_name(&name.value, name.place, desk) {
            continue;
        }
        let lower = name.value.to_ascii_lowercase();
        if let Some(reason) = follows(&lower, text.as_deref(), whose) {
            desk.error(
                name.place,
                format!("{} can't be set here", quote(&name.value)),
                reason,
            );
            continue;
        }
        if !seen.insert(lower.clone()) {
            desk.error(
                name.place,
                format!("the header {} stands here twice", quote(&name.value)),
                "upper and lower case make no difference",
            );
            continue;
        }
        if text.is_none() && !PLACED.contains(&lower.as_str()) && lower != "accept" {
            desk.error(
                place,
                "has no value",
                "write one, or remove the key; only Host, User-Agent and Content-Length may stand for their place alone, and Accept for none",
            );
            continue;
        }
        let carries_secret = matches!(
            lower.as_str(),
            "authorization"
                | "proxy-authorization"
                | "cookie"
                | "x-api-key"
                | "api-key"
                | "apikey"
                | "x-auth-token"
                | "x-access-token"
                | "x-functions-key"
                | "ocp-apim-subscription-key"
        );
        let value = text.as_deref().unwrap_or_default();
        if carries_secret && !value.contains("{{") {
            desk.hide_at(place);
            desk.error(
                place,
                "a secret can't stand in this file",
                "put it under \"credentials\" and write \"{{ credential.<field> }}\" in a probe's headers",
            );
            continue;
        }
        if value.trim_matches([' ', '\t']) != value {
            desk.warning(
                place,
                format!("the header {} has a blank at an end", quote(&name.value)),
                "servers read it without; remove it",
            );
        }
        doubt(&name, &lower, value, place, desk);
        headers.push((name.value, place, text));
    }
    headers
}

/// Headers that are sent every day; one that is a letter off is a slip.
const USUAL: [&str; 30] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-language",
    "content-type",
    "cookie",
    "forwarded",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "idempotency-key",
    "ocp-apim-subscription-key",
    "origin",
    "pragma",
    "range",
    "referer",
    "soapaction",
    "traceparent",
    "via",
    "x-api-key",
    "x-auth-token",
    "x-correlation-id",
    "x-forwarded-for",
    "x-request-id",
    "x-requested-with",
];

/// Says that a header looks misspelt, or holds what can't be meant.
fn doubt(name: &At<String>, lower: &str, value: &str, place: Place, desk: &mut Desk<'_>) {
    let slip = |usual: &&&str| strsim::osa_distance(lower, usual) == 1;
    if lower.len() > 3
        && !USUAL.contains(&lower)
        && let Some(usual) = USUAL.iter().find(slip)
    {
        desk.doubt_at(
            name.place,
            format!("{} is no usual header", quote(&name.value)),
            format!("is \"{usual}\" meant?"),
        );
    }
    if lower == "content-type" && !value.contains('/') && !value.contains("{{") {
        desk.doubt_at(
            place,
            format!("{} is no type of content", quote(value)),
            "write it like \"application/json\" or \"text/xml; charset=utf-8\"",
        );
    }
}

/// Whose value is that of the request; a client may say where they stand.
const PLACED: [&str; 3] = ["host", "user-agent", "content-length"];
/// What programs say of the connection; what else it could say would change the request.
pub(in crate::config) const CONNECTION: [&str; 5] =
    ["keep-alive", "close", "te", "te, close", "close, te"];

/// Why a header can't be set: it follows from something else.
fn follows(lower: &str, value: Option<&str>, whose: Whose) -> Option<&'static str> {
    match (lower, whose) {
        (name, Whose::Client) if PLACED.contains(&name) && value.is_none() => None,
        ("user-agent", Whose::Client) => Some(
            "write it as \"user_agent\"; \"User-Agent: ~\" here says where among the headers it stands",
        ),
        ("host", Whose::Client) => {
            Some("it comes from \"url\"; \"Host: ~\" says where among the headers it stands")
        }
        ("content-length", Whose::Client) => Some(
            "it is that of the body; \"Content-Length: ~\" says where among the headers it stands",
        ),
        ("connection", Whose::Client) => {
            let known = value
                .is_some_and(|value| CONNECTION.contains(&value.to_ascii_lowercase().as_str()));
            (!known).then_some("write keep-alive, close, TE or \"TE, close\", as the program does")
        }
        ("user-agent", Whose::Probe) => {
            Some("the user agent belongs to a client: \"clients.<name>.user_agent\"")
        }
        ("host", Whose::Probe) => {
            Some("it comes from \"url\"; to reach another address use \"connect_to\"")
        }
        ("connection", Whose::Probe) => Some("it belongs to a client: \"clients.<name>.headers\""),
        ("content-length" | "transfer-encoding" | "expect" | "upgrade", _) => {
            Some("it follows from the request")
        }
        _ => None,
    }
}
