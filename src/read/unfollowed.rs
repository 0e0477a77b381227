//! Says of a redirect that was not followed where it leads and whose rule kept it back: ours.
//!
//! It looks like a wrong answer of the partner and may be none, so it says what would tell more. Queries are
//! left out, as they hold session ids.

use url::Url;

use crate::domain::observation::{Answer, FailureKind, Observation};
use crate::domain::probe::{Cookies, Probe, Redirects};

/// Characters of an address that are shown.
const SHOWN_CHARS_MAX: usize = 120;

/// The sentence about the redirect that ended the run; `None` when it ended with something else.
pub(super) fn told(probe: &Probe, observation: &Observation, answer: &Answer) -> Option<String> {
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let Some(location) = answer.header("location") else {
        return Some("a redirect without a Location, which leads nowhere".to_owned());
    };
    let too_many = observation
        .failure
        .as_ref()
        .is_some_and(|failure| failure.kind == FailureKind::Redirects);
    if too_many {
        return with_cookies(probe, answer);
    }
    let from = observation
        .hops
        .last()
        .and_then(|hop| probe.url.join(&hop.url).ok()?.join(&hop.location).ok())
        .unwrap_or_else(|| probe.url.clone());
    let Ok(to) = from.join(location.trim()) else {
        return Some(format!(
            "the redirect is not followed: {:?} is no address",
            shown(location)
        ));
    };
    let whereto = address(&to);
    let elsewhere =
        from.host() != to.host() || from.port_or_known_default() != to.port_or_known_default();
    Some(match probe.redirects {
        Redirects::No => format!(
            "our choice: redirects are not followed (`redirects: no`); this one leads to {whereto}"
        ),
        _ if from.scheme() == "https" && to.scheme() == "http" => format!(
            "our choice: a redirect from https to http is never followed; this one leads to {whereto}"
        ),
        _ if !matches!(to.scheme(), "http" | "https") => {
            format!(
                "the redirect to {whereto} is not followed: {} is not HTTP",
                to.scheme()
            )
        }
        Redirects::SameHost(_) if elsewhere => format!(
            "our choice: this redirect leads to another host, {whereto}, and is not followed (`redirects: \
             same_host`); `redirects: any` would tell what is there"
        ),
        _ if probe.body.is_some() => format!(
            "our choice: a body goes to no other address, so the redirect to {whereto} is not followed"
        ),
        _ => format!("the redirect to {whereto} is not followed"),
    })
}

/// A redirect that sets a cookie may wait for it, which it gets unless that is switched off.
fn with_cookies(probe: &Probe, answer: &Answer) -> Option<String> {
    if probe.cookies == Cookies::Run {
        return None;
    }
    let cookies: Vec<&str> = answer
        .header_all("set-cookie")
        .filter_map(|cookie| Some(cookie.split_once('=')?.0.trim()))
        .collect();
    (!cookies.is_empty()).then(|| {
        format!(
            "our choice: no cookies are kept between redirects (`cookies: none`), and this one sets {}; a client \
             that sends it back may get through, as `cookies: run` would tell",
            cookies.join(", ")
        )
    })
}

/// An address without query, name and password.
fn address(url: &Url) -> String {
    let mut plain = url.clone();
    plain.set_query(None);
    plain.set_fragment(None);
    // Both can fail only for URLs without a host.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    shown(plain.as_str())
}

fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    text.chars().take(SHOWN_CHARS_MAX).collect()
}
