//! Says of a redirect that was not followed where it leads and whose rule kept it back: ours.

use url::Url;

use super::signatures::page::Page;
use crate::domain::observation::{FailureKind, Observation};
use crate::domain::probe::{Probe, Redirects};

/// Characters of an address that are shown.
const SHOWN_CHARS_MAX: usize = 120;

/// The sentence about the redirect that ended the run; `None` when it ended with something else.
pub(super) fn told(probe: &Probe, page: &Page<'_>, observation: &Observation) -> Option<String> {
    if !matches!(page.status(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let Some(location) = page.header("location") else {
        return Some("a redirect without a Location, which leads nowhere".to_owned());
    };
    let circles = observation
        .failure
        .as_ref()
        .is_some_and(|failure| failure.kind == FailureKind::Redirects);
    if circles {
        return page.header("set-cookie").map(|_| {
            "the redirect sets a cookie and leads on; edgewatch keeps no cookies between hops, so one that waits for its cookie never ends here".to_owned()
        });
    }
    let from = observation
        .hops
        .last()
        .and_then(|hop| Url::parse(&hop.url).ok()?.join(&hop.location).ok())
        .unwrap_or_else(|| probe.url.clone());
    let Ok(to) = from.join(location.trim()) else {
        return Some(format!(
            "redirected to {}, which is no address",
            cut(location)
        ));
    };
    let why = match probe.redirects {
        Redirects::No => "`redirects:` of the probe says so".to_owned(),
        _ if from.scheme() == "https" && to.scheme() == "http" => {
            "edgewatch never goes from https to http".to_owned()
        }
        _ if !matches!(to.scheme(), "http" | "https") => format!("{} is not HTTP", to.scheme()),
        Redirects::SameHost(_)
            if from.host() != to.host()
                || from.port_or_known_default() != to.port_or_known_default() =>
        {
            "it leads to another host or port, and `redirects:` of the probe allows only its own"
                .to_owned()
        }
        _ => "a body goes to no other host".to_owned(),
    };
    Some(format!("redirected to {}, not followed: {why}", shown(&to)))
}

/// An address without user, password, query and fragment.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    cut(&format!("{}://{host}{port}{}", url.scheme(), url.path()))
}

fn cut(text: &str) -> String {
    text.split(['?', '#'])
        .next()
        .unwrap_or_default()
        .chars()
        .take(SHOWN_CHARS_MAX)
        .collect()
}
