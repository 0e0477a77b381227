//! Headers that a client or a probe sends: their names, and what must not be set by hand.

use std::collections::HashSet;

use crate::config::collections::Pairs;
use crate::config::desk::{At, Desk, Place, quote};
use crate::config::leaf::HeaderText;

/// Whether `name` is a token (RFC 9110 section 5.6.2); reports why not.
pub(super) fn header_name(name: &str, place: Place, desk: &mut Desk<'_>) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let valid = !name.is_empty() && name.len() <= 256 && name.chars().all(token);
    if !valid {
        desk.error(
            place,
            format!("{} is no header name", quote(name)),
            "use letters, digits and \"-\"",
        );
    }
    valid
}

/// The headers that can be sent, with their places; reports the others.
pub(super) fn sendable(
    raw: Option<At<Pairs<HeaderText>>>,
    desk: &mut Desk<'_>,
) -> Vec<(String, At<String>)> {
    let mut seen = HashSet::new();
    let mut headers = Vec::new();
    for (name, value) in raw.map(|pairs| pairs.value.0).unwrap_or_default() {
        if !header_name(&name.value, name.place, desk) {
            continue;
        }
        let lower = name.value.to_ascii_lowercase();
        let reason = match lower.as_str() {
            "user-agent" => {
                Some("the user agent belongs to a client: \"clients.<name>.user_agent\"")
            }
            "host" => Some("it comes from \"url\"; to reach another address use \"connect_to\""),
            "content-length" | "transfer-encoding" | "connection" | "expect" | "upgrade" => {
                Some("it follows from the request")
            }
            _ => None,
        };
        if let Some(reason) = reason {
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
        let text = value.value.0;
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
        if carries_secret && !text.contains("{{") {
            desk.hide_at(value.place);
            desk.error(
                value.place,
                "a secret can't stand in this file",
                "put it under \"credentials\" and write \"{{ credential.<field> }}\" in a probe's headers",
            );
            continue;
        }
        headers.push((
            name.value,
            At {
                value: text,
                place: value.place,
            },
        ));
    }
    headers
}
