//! The request of a probe: where to, how, and with which body.

use std::path::Path;

use url::Url;

use super::secrets::unreadable;
use super::template;
use crate::config::Inputs;
use crate::config::collections::Form;
use crate::config::desk::{At, Desk, Place, quote};
use crate::config::leaf::Word;
use crate::config::raw;
use crate::config::special::Method;
use crate::domain::probe::Template;

/// A request body larger than this is no health check.
const BODY_BYTES_MAX: usize = 1024 * 1024;

pub(super) fn url(text: &At<String>, desk: &mut Desk<'_>) -> Option<Url> {
    let place = text.place;
    let text = &text.value;
    if text.contains("{{") {
        desk.error(
            place,
            "placeholders are filled in headers and the body only",
            "a secret in a URL would stand in every log on the way",
        );
        return None;
    }
    let parsed = match Url::parse(text) {
        Ok(url) => url,
        Err(_) if text.contains('@') => {
            desk.hide_at(place);
            desk.error(
                place,
                "is no URL",
                "write it like \"https://partner.example/path\"",
            );
            return None;
        }
        Err(_) if bare_ipv6(text).is_some() => {
            let mend = bare_ipv6(text).unwrap_or_default();
            let message = format!("{} is no URL", quote(text));
            desk.error(
                place,
                message,
                format!("brackets go around an IPv6 address: \"{mend}\""),
            );
            return None;
        }
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            let message = format!("{} is no URL", quote(text));
            desk.error(place, message, "begin it with \"https://\"");
            return None;
        }
        Err(error) => {
            let mend = match error {
                url::ParseError::InvalidPort => "a port is a number up to 65535".to_owned(),
                other => other.to_string(),
            };
            desk.error(place, format!("{} is no URL", quote(text)), mend);
            return None;
        }
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        desk.hide_at(place);
        desk.error(
            place,
            "a user name and password can't stand in a URL",
            "put them under \"credentials\" and send a header: \"Authorization: Basic {{ credential.basic }}\"",
        );
        return None;
    }
    if text.contains(char::is_whitespace) {
        desk.warning(
            place,
            "the blank in it is sent as %20",
            "remove it, or write \"%20\" if it is meant",
        );
    }
    if !matches!(parsed.scheme(), "http" | "https") {
        desk.error(
            place,
            format!("{} can't be probed", quote(parsed.scheme())),
            "use http or https",
        );
        return None;
    }
    if parsed.port() == Some(0) {
        desk.error(
            place,
            "nothing can be reached at port 0",
            "remove it, or name the port",
        );
        return None;
    }
    if parsed.fragment().is_some() {
        desk.error(
            place,
            "what follows \"#\" is never sent",
            "remove it, or write \"%23\" if it belongs to the path",
        );
        return None;
    }
    Some(parsed)
}

/// The same URL with brackets, where its host is an IPv6 address without them.
fn bare_ipv6(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    host.parse::<std::net::Ipv6Addr>().ok()?;
    Some(format!("{scheme}://[{host}]{path}"))
}

pub(super) fn template(
    text: &str,
    place: Place,
    inside: &str,
    desk: &mut Desk<'_>,
) -> Option<Template> {
    template::parse(text)
        .map_err(|(message, hint)| desk.error(place, format!("{inside}{message}"), hint))
        .ok()
}

pub(super) fn body(
    raw: At<Form<String, raw::BodyFile>>,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Template> {
    let file = match raw.value {
        Form::Short(text) => {
            return template(&text, raw.place, "", desk);
        }
        Form::Full(full) => full.file?,
    };
    let path: &Path = &file.value.0;
    let shown = path.display().to_string();
    let text = match inputs.file(path) {
        Ok(text) => text,
        Err(error) => {
            desk.error(
                file.place,
                unreadable(&shown, &error),
                "paths start at the directory of this file",
            );
            return None;
        }
    };
    if text.len() > BODY_BYTES_MAX {
        desk.error(
            file.place,
            format!("{shown} holds more than 1 MiB"),
            "send less",
        );
        return None;
    }
    template(&text, file.place, &format!("in {shown}: "), desk)
}

pub(super) fn method(
    raw: Option<&At<Word<Method>>>,
    body: Option<Place>,
    desk: &mut Desk<'_>,
) -> Method {
    match (raw, body) {
        (None, Some(place)) => {
            desk.error(place, "a body needs a method", "add \"method: POST\"");
            Method::Post
        }
        (Some(method), Some(place)) if matches!(method.value.0, Method::Get | Method::Head) => {
            desk.warning(
                place,
                "a GET or HEAD with a body is refused by many servers and edges",
                "did you mean \"method: POST\"?",
            );
            method.value.0
        }
        (method, _) => method.map_or(Method::Get, |m| m.value.0),
    }
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Head => Self::HEAD,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
            Method::Options => Self::OPTIONS,
        }
    }
}
