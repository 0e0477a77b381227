//! Where a redirect leads, and what may go along.
//!
//! Credentials, own headers and the body stay with the host that they were written for. A redirect
//! that can't be followed under that rule, and one from `https` to `http`, is the final answer.

use http::Method;
use url::Url;

use super::request::{Carry, Request, Step};
use crate::domain::probe::Redirects;

/// What to do after the head of an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// Read the body: this is the answer.
    Final,
    /// Read the body: this is the answer, and it asks for one redirect more than is allowed.
    TooMany {
        max: u8,
        to: Url,
    },
    Follow(Step),
}

/// Decides on an answer of `status` to `request`, after `followed` redirects.
pub(super) fn next(
    policy: Redirects,
    followed: usize,
    request: &Request,
    carry: Carry,
    status: u16,
    location: Option<&str>,
) -> Next {
    let max = match policy {
        Redirects::No => return Next::Final,
        Redirects::SameHost(max) | Redirects::Any(max) => max,
    };
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Next::Final;
    }
    let Some(url) = location.and_then(|l| target(&request.url, l)) else {
        return Next::Final;
    };
    let same_host = is_same_host(&request.url, &url);
    if !same_host && matches!(policy, Redirects::SameHost(_)) {
        return Next::Final;
    }
    let keeps_method = matches!(status, 307 | 308) || request.method == Method::HEAD;
    let body = keeps_method && carry.body;
    if body && !same_host {
        return Next::Final;
    }
    if followed >= usize::from(max) {
        return Next::TooMany { max, to: url };
    }
    Next::Follow(Step {
        url,
        method: if keeps_method {
            request.method.clone()
        } else {
            Method::GET
        },
        carry: Carry {
            own_headers: carry.own_headers && same_host,
            body,
        },
    })
}

/// What a `Location` points at; `None` for what is not followed.
fn target(from: &Url, location: &str) -> Option<Url> {
    let mut url = from.join(location).ok()?;
    let downgrade = from.scheme() == "https" && url.scheme() == "http";
    if downgrade || !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return None;
    }
    url.set_fragment(None);
    // Both can fail only for URLs without a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(url)
}

/// Same host and port; the step from `http` to `https` on their own ports counts as the same host.
pub(super) fn is_same_host(one: &Url, other: &Url) -> bool {
    one.host() == other.host()
        && (one.port_or_known_default() == other.port_or_known_default()
            || (one.port().is_none() && other.port().is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let check = |from: &str, location: &str, expected: Option<&str>| {
            let to = target(&Url::parse(from).unwrap(), location);
            assert_eq!(to.as_ref().map(Url::as_str), expected, "{from} {location}");
        };
        check("https://a/x/y?q", "z", Some("https://a/x/z"));
        check("https://a/x", "//b/", Some("https://b/"));
        check("https://a/x", "http://a/x", None);
        check("http://a/x", "https://a/x#top", Some("https://a/x"));
        check("http://a/x", "https://u:p@b/", Some("https://b/"));
        check("http://a/x", "mailto:a@b", None);
        check("http://a/x", "http://", None);
    }

    #[test]
    fn hosts() {
        let check = |one: &str, other: &str, expected: bool| {
            let [one, other] = [one, other].map(|u| Url::parse(u).unwrap());
            assert_eq!(is_same_host(&one, &other), expected, "{one} {other}");
        };
        check("http://a/", "https://a/", true);
        check("https://a/", "https://a:443/x", true);
        check("https://a/", "https://a:8443/", false);
        check("http://a:8080/", "https://a/", false);
        check("https://a/", "https://www.a/", false);
    }
}
