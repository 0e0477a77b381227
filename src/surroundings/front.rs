//! Reads an endpoint's front from an answer: who stands there, and the traits by which a change shows.
//!
//! Only what the application let through counts ([`speaks`]): a refusal's page has the refuser's headers
//! and says nothing of the rest. Headers that come and go by themselves are left out, and so are values
//! that differ with each answer; the point of presence is no trait, a request lands where it lands. Who
//! announces an address can't be known from the answer, so the network stays out as well.

use crate::domain::fingerprint::{DriftKind, Fingerprint, Trait};
use crate::domain::observation::{Answer, Observation};
use crate::domain::verdict::{Kind, Maker, Verdict};
use crate::surroundings::fingerprint::{Digest, Drift};
use crate::words::terms;

/// The version of what is below: fingerprints that other rules made can't be compared.
///
/// To be raised with every change of what [`read`] returns for the same answer.
pub const RULES: u32 = 1;

/// Header names looked at; a bound, no answer has so many.
const HEADERS_MAX: usize = 64;
/// Bytes kept of one value.
const VALUE_BYTES_MAX: usize = 120;

/// Headers that one vendor puts on every answer of a site, by name. What its `Server` says is in
/// `Verdict::fronted_by`, and whose cookies it sets.
///
/// The classifier's table has the same names with their sources; there it is enough to know one front,
/// here each of several counts.
const MARKERS: &[(&str, &str)] = &[
    ("cf-ray", "cloudflare"),
    ("x-amz-cf-id", "cloudfront"),
    ("x-amz-cf-pop", "cloudfront"),
    ("x-azure-ref", "azure_front_door"),
    ("x-msedge-ref", "azure_front_door"),
    ("x-iinfo", "imperva"),
    ("x-sucuri-id", "sucuri"),
    ("x-vercel-id", "vercel"),
    ("akamai-grn", "akamai"),
    ("x-fastly-request-id", "fastly"),
    ("x-datadome", "datadome"),
];

/// Headers whose presence depends on the moment: caches, conditions, connections, quotas, cookies.
const VOLATILE: &[&str] = &[
    "accept-ranges",
    "age",
    "alt-svc",
    "cache-control",
    "cf-cache-status",
    "connection",
    "date",
    "etag",
    "expires",
    "keep-alive",
    "last-modified",
    "location",
    "nel",
    "pragma",
    "priority",
    "report-to",
    "reporting-endpoints",
    "retry-after",
    "server-timing",
    "set-cookie",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "warning",
    "www-authenticate",
    "x-served-by",
    "x-timer",
];

/// The same for families of headers.
const VOLATILE_STARTS: &[&str] = &[
    "access-control-",
    "content-",
    "ratelimit",
    "x-cache",
    "x-rate-limit",
    "x-ratelimit",
];

/// Whether an answer shows the front as it is when all is well.
#[must_use]
pub fn speaks(observation: &Observation, verdict: &Verdict) -> bool {
    // A block that is watched for passes, and its page is the edge's all the same.
    let relayed = !matches!(verdict.maker, Maker::Edge | Maker::OurSide);
    verdict.kind == Kind::Pass
        && relayed
        && observation.answer.is_some()
        && observation.failure.is_none()
}

/// The digest of an answer's fingerprint, without making one; `host` is whom the probe asks.
#[must_use]
pub fn digest(observation: &Observation, verdict: &Verdict, host: &str) -> Digest {
    let mut digest = Digest::default();
    each(observation, verdict, host, |part, value| {
        digest.add(part, value);
    });
    digest
}

/// The fingerprint of an answer.
#[must_use]
pub fn read(observation: &Observation, verdict: &Verdict, host: &str) -> Fingerprint {
    let mut print = Fingerprint::default();
    each(observation, verdict, host, |part, value| {
        print.add(part, value);
    });
    print
}

/// Hands out every trait of an answer, each value once.
fn each(
    observation: &Observation,
    verdict: &Verdict,
    host: &str,
    mut take: impl FnMut(Trait, &str),
) {
    let Some(answer) = &observation.answer else {
        return;
    };
    let name = without_port(host);
    let mut hops = observation.hops.iter();
    if let Some(away) = hops.find_map(|hop| elsewhere(&hop.location, name)) {
        // All the rest is another host's.
        take(Trait::Redirect, cut(away));
        return;
    }
    if (300..400).contains(&answer.status)
        && let Some(location) = answer.header("location")
        && let Some(away) = elsewhere(location, name)
    {
        take(Trait::Redirect, cut(away));
    }
    take(Trait::Http, answer.http.as_str());
    if let Some(server) = answer.header("server").and_then(product) {
        take(Trait::Server, cut(server));
    }
    let issuer = observation.tls.as_ref().and_then(|tls| {
        let certificate = tls.certificate.as_ref()?;
        organisation(&certificate.issuer)
    });
    if let Some(issuer) = issuer {
        take(Trait::Issuer, cut(issuer));
    }
    markers(answer, verdict, &mut take);
    for (place, (header, _)) in answer.headers.iter().enumerate().take(HEADERS_MAX) {
        let again = || answer.headers[..place].iter().any(|(n, _)| n == header);
        if !is_volatile(header) && !again() {
            take(Trait::Header, cut(header));
        }
    }
}

/// Every vendor that shows itself, by the headers of [`MARKERS`] and by what the classifier saw.
fn markers(answer: &Answer, verdict: &Verdict, take: &mut impl FnMut(Trait, &str)) {
    let front = Some(&*verdict.fronted_by)
        .filter(|front| !matches!(*front, "none" | "unknown" | "" | "client_network"));
    if let Some(front) = front {
        take(Trait::Marker, front);
    }
    let shows = |name: &str| answer.headers.iter().any(|(header, _)| header == name);
    for (place, (name, vendor)) in MARKERS.iter().enumerate() {
        let told = MARKERS[..place]
            .iter()
            .any(|(other, known)| known == vendor && shows(other));
        if !told && front != Some(*vendor) && shows(name) {
            take(Trait::Marker, vendor);
        }
    }
}

fn is_volatile(header: &str) -> bool {
    VOLATILE.binary_search(&header).is_ok()
        || VOLATILE_STARTS
            .iter()
            .any(|start| header.starts_with(start))
}

/// The product that a `Server` header names first, without its version.
fn product(server: &str) -> Option<&str> {
    let end = server.find(['/', ' ', '(', ',']).unwrap_or(server.len());
    Some(server[..end].trim()).filter(|name| !name.is_empty())
}

/// The organisation of a name like `C=US, O=Let's Encrypt, CN=R11`; its common name where it has none.
fn organisation(name: &str) -> Option<&str> {
    attribute(name, "O").or_else(|| attribute(name, "CN"))
}

fn attribute<'a>(name: &'a str, wanted: &str) -> Option<&'a str> {
    // A comma inside a value is not escaped: a value ends where another attribute begins.
    let begins = |rest: &str| {
        let key = rest.split_once('=').map_or("", |(key, _)| key);
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
    };
    let mut start = Some(0);
    while let Some(from) = start {
        let rest = &name[from..];
        let ends = rest.match_indices(", ").map(|(at, _)| at);
        let end = ends.into_iter().find(|at| begins(&rest[at + 2..]));
        let part = &rest[..end.unwrap_or(rest.len())];
        if let Some((key, value)) = part.split_once('=')
            && key.trim().eq_ignore_ascii_case(wanted)
            && !value.trim().is_empty()
        {
            return Some(value.trim());
        }
        start = end.map(|end| from + end + 2);
    }
    None
}

/// The host that a `Location` leads to, with its port, when it is another than this.
fn elsewhere<'a>(location: &'a str, host: &str) -> Option<&'a str> {
    let (_, rest) = location.trim().split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A user name and password, if somebody put them there, are nobody's business.
    let target = rest[..end].rsplit('@').next().unwrap_or_default();
    (!target.is_empty() && !without_port(target).eq_ignore_ascii_case(host)).then_some(target)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    }
}

fn cut(value: &str) -> &str {
    let mut end = value.len().min(VALUE_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

/// A change as a phrase that can follow a name ("Cloudflare appeared in front of webcache.gmc-uk.org").
#[must_use]
pub fn text(host: &str, drift: &Drift) -> String {
    let (old, new) = (&drift.old, &drift.new);
    match drift.kind {
        DriftKind::EdgeAppeared | DriftKind::EdgeRemoved | DriftKind::EdgeChanged => {
            let came = vendors(new.markers.difference(&old.markers));
            let went = vendors(old.markers.difference(&new.markers));
            match (came.is_empty(), went.is_empty()) {
                (false, true) => format!("{} appeared in front of {host}", and(&came)),
                (true, false) => format!("{} went from the front of {host}", and(&went)),
                _ => format!(
                    "{} took the place of {} in front of {host}",
                    and(&came),
                    and(&went)
                ),
            }
        }
        DriftKind::NetworkChanged => format!("{host} moved to another network"),
        DriftKind::IssuerChanged => match (&new.issuer, &old.issuer) {
            (Some(now), Some(before)) => {
                format!("the certificate of {host} is now issued by {now}, before by {before}")
            }
            (Some(now), None) => format!("the certificate of {host} is now issued by {now}"),
            (None, _) => format!("{host} now answers without a certificate"),
        },
        DriftKind::ProtocolChanged => {
            let version = new.http.as_deref().unwrap_or("another version");
            format!("{host} now answers over HTTP/{version}")
        }
        DriftKind::RedirectChanged => match &new.redirect {
            Some(to) => format!("{host} now redirects to {to}"),
            None => format!("{host} no longer redirects"),
        },
        DriftKind::HeadersChanged => headers(host, old, new),
    }
}

fn headers(host: &str, old: &Fingerprint, new: &Fingerprint) -> String {
    const NAMED_MAX: usize = 4;
    if old.server != new.server {
        return match (&new.server, &old.server) {
            (Some(now), Some(before)) => {
                format!("{host} now says that its server is {now}, before {before}")
            }
            (Some(now), None) => format!("{host} now says that its server is {now}"),
            (None, _) => format!("{host} no longer says which server it has"),
        };
    }
    let names = |names: std::collections::btree_set::Difference<'_, String>| {
        names.take(NAMED_MAX).cloned().collect::<Vec<String>>()
    };
    let came = names(new.headers.difference(&old.headers));
    let went = names(old.headers.difference(&new.headers));
    match (came.is_empty(), went.is_empty()) {
        (false, true) => format!("{host} now sends {}", and(&came)),
        (true, false) => format!("{host} no longer sends {}", and(&went)),
        _ => format!(
            "{host} now sends {} and no longer {}",
            and(&came),
            and(&went)
        ),
    }
}

/// What follows from a change that nothing fails by.
#[must_use]
pub fn advice(drift: &Drift) -> Option<&'static str> {
    match drift.kind {
        DriftKind::EdgeAppeared | DriftKind::EdgeChanged => Some(
            "Tell the owners of allow-lists and of automatic clients: it may turn some of them away from now on",
        ),
        DriftKind::EdgeRemoved | DriftKind::NetworkChanged => Some(
            "Tell the owners of outgoing allow-lists: the addresses of the host are others now",
        ),
        DriftKind::IssuerChanged => {
            Some("Tell those whose clients pin the certificate or trust only some issuers")
        }
        DriftKind::RedirectChanged => Some("See that every client follows it as it should"),
        DriftKind::ProtocolChanged | DriftKind::HeadersChanged => None,
    }
}

fn vendors<'a>(markers: impl Iterator<Item = &'a String>) -> Vec<String> {
    markers
        .map(|marker| terms::vendor(marker).unwrap_or_else(|| marker.clone()))
        .collect()
}

fn and(names: &[String]) -> String {
    terms::list(names, "and")
}

#[cfg(test)]
mod tests;
