//! Names and codes of vendors, verdicts and levels in words that a person can act on.
//!
//! A vendor's number is the vendor's: people looked for a CDN's `1020` in the partner's own list of
//! return codes, so each explanation says whose it is.

use crate::domain::cell::{CellKey, http_name};
use crate::domain::diagnosis::Level;
use crate::domain::verdict::{Factor, Kind, Maker, Verdict, vendor_name};

/// A level as the thing that is blamed or asked about (client `x`, the `Java` clients, POST requests).
#[must_use]
pub fn level(level: &Level) -> String {
    match level {
        Level::Egress(name) => format!("egress `{name}`"),
        Level::Client(name) => format!("client `{name}`"),
        Level::Credential(name) => format!("credential `{name}`"),
        Level::Probe(name) => format!("probe `{name}`"),
        Level::Region { name, .. } => format!("region `{name}`"),
        Level::IpFamily { name, .. } => name.clone(),
        Level::Family { name, .. } => format!("the `{name}` clients"),
        Level::Http { version, .. } => http_name(version),
        Level::Stack { ja4, .. } => format!("the TLS fingerprint `{ja4}`"),
        Level::AllBut { factor, name, .. } => format!("every {factor} but `{name}`"),
        Level::Method { .. } | Level::Path { .. } | Level::Host { .. } => requests(level),
    }
}

/// The level's own name, where its factor is clear.
#[must_use]
pub fn name(level: &Level) -> String {
    match level {
        Level::Egress(name) => format!("`{name}`"),
        Level::Client(name) => format!("`{name}`"),
        Level::Credential(name) => format!("`{name}`"),
        Level::Probe(name) => format!("`{name}`"),
        Level::Region { name, .. } | Level::Family { name, .. } => format!("`{name}`"),
        Level::AllBut { name, .. } => format!("all but `{name}`"),
        Level::Http { version, .. } => http_name(version),
        Level::Stack { ja4, .. } => format!("`{ja4}`"),
        Level::IpFamily { name, .. }
        | Level::Method { name, .. }
        | Level::Path { name, .. }
        | Level::Host { name, .. } => name.clone(),
    }
}

/// The requests that have a level, as a plural.
#[must_use]
pub fn requests(level: &Level) -> String {
    match level {
        Level::Method { name, .. } => format!("{name} requests"),
        _ => format!("requests {}", having(level)),
    }
}

/// A level as it follows "requests": of a client, from an egress, over HTTP/2.
#[must_use]
pub fn having(level: &Level) -> String {
    match level {
        Level::Egress(name) => format!("from egress `{name}`"),
        Level::Client(name) => format!("of client `{name}`"),
        Level::Credential(name) => format!("with credential `{name}`"),
        Level::Probe(name) => format!("of probe `{name}`"),
        Level::Region { name, .. } => format!("from region `{name}`"),
        Level::IpFamily { name, .. } => format!("over {name}"),
        Level::Family { name, .. } => format!("of `{name}` clients"),
        Level::Http { version, .. } => format!("over {}", http_name(version)),
        Level::Stack { .. } => format!("with {}", self::level(level)),
        Level::Method { name, .. } => format!("with method {name}"),
        Level::Path { name, .. } => format!("below {name}"),
        Level::Host { name, .. } => format!("to {name}"),
        Level::AllBut { factor, name, .. } => {
            let of = match factor {
                Factor::Egress => "from",
                Factor::Credential => "with",
                _ => "of",
            };
            format!("{of} every {factor} but `{name}`")
        }
    }
}

/// A level as it follows "every cell".
#[must_use]
pub fn of_cells(level: &Level) -> String {
    match level {
        Level::Egress(_)
        | Level::Client(_)
        | Level::Credential(_)
        | Level::Probe(_)
        | Level::Stack { .. } => format!("with {}", self::level(level)),
        Level::Region { name, .. } => format!("with an egress in region `{name}`"),
        Level::Family { name, .. } => format!("with a `{name}` client"),
        Level::Host { name, .. } => format!("at {name}"),
        Level::AllBut { factor, name, .. } => format!("with any {factor} but `{name}`"),
        Level::IpFamily { .. } | Level::Http { .. } | Level::Method { .. } | Level::Path { .. } => {
            having(level)
        }
    }
}

/// "passes" or "pass", as it follows [`level`].
#[must_use]
pub fn passes(level: &Level) -> &'static str {
    match level {
        Level::Family { .. } | Level::Method { .. } | Level::Path { .. } | Level::Host { .. } => {
            "pass"
        }
        _ => "passes",
    }
}

/// A cell as a request that was or could be made; the probe only where it tells something.
#[must_use]
pub fn request(cell: &CellKey, probe: bool) -> String {
    let mut text = format!("client `{}` from egress `{}`", cell.client, cell.egress);
    if !cell.credential.is_anonymous() {
        text = format!("{text} with credential `{}`", cell.credential);
    }
    if probe {
        text = format!("{text} at probe `{}`", cell.probe);
    }
    text
}

/// `a`, `a and b`, `a, b and c`; of more than six the rest is counted.
#[must_use]
pub fn list(items: &[String], joint: &str) -> String {
    const SHOWN: usize = 6;
    if items.len() > SHOWN {
        let rest = items.len() - SHOWN;
        return format!("{} {joint} {rest} more", items[..SHOWN].join(", "));
    }
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} {joint} {last}", init.join(", ")),
    }
}

/// The factor in the plural, as people talk about it.
#[must_use]
pub fn factor(factor: Factor) -> &'static str {
    match factor {
        Factor::Egress => "your IPs",
        Factor::Client => "the client",
        Factor::Credential => "the credentials",
        Factor::Endpoint => "the endpoint",
        Factor::Host => "the host",
        Factor::Rate => "your request rate",
        Factor::Http => "the HTTP version",
        Factor::Method => "the method",
        Factor::Stack => "the TLS fingerprint",
    }
}

/// The IP family that is not this one.
#[must_use]
pub fn other_ip_family(name: &str) -> &'static str {
    if name == "IPv6" { "IPv4" } else { "IPv6" }
}

/// A vendor's name as it writes it; `None` for `none` and `unknown`.
#[must_use]
pub fn vendor(name: &str) -> Option<String> {
    vendor_name(name)
}

/// Who made the answer, when it was an edge with a name.
#[must_use]
pub fn edge(verdict: &Verdict) -> Option<String> {
    if verdict.maker != Maker::Edge {
        return None;
    }
    vendor(&verdict.vendor).or_else(|| vendor(&verdict.fronted_by))
}

/// What answered in front of the application without being an edge: a proxy, a cache or an API gateway by its name.
#[must_use]
pub fn gateway(verdict: &Verdict) -> Option<String> {
    match (verdict.maker, verdict.kind) {
        (Maker::Unknown, Kind::OriginDenied | Kind::OriginError | Kind::RateLimited) => {
            vendor(&verdict.vendor)
        }
        _ => None,
    }
}

/// What an answer is and who made it, in the middle of a sentence; nobody is named without evidence.
#[must_use]
pub fn answer(verdict: &Verdict) -> String {
    let by = |what: &str, open: &str| match (gateway(verdict), verdict.maker) {
        (Some(name), _) => format!("{what} by {name}"),
        (None, Maker::Origin) => format!("{what} by the application"),
        // Whoever says this names the edge beside it.
        (None, Maker::Edge) => what.to_owned(),
        (None, Maker::OurSide) => format!("{what} on our own side"),
        (None, Maker::Unknown) => open.to_owned(),
    };
    match verdict.kind {
        Kind::OriginDenied => by("refused", "refused, we can't tell by whom"),
        Kind::OriginError => by(
            "answered with an error",
            "answered with an error, we can't tell by whom",
        ),
        Kind::RateLimited => by("rate limited", "rate limited, we can't tell by whom"),
        other => kind(other).to_owned(),
    }
}

/// What a vendor's code means, in words.
///
/// Cloudflare's from <https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/>
/// (read 2026-08).
#[must_use]
pub fn code(vendor: &str, code: &str) -> Option<&'static str> {
    if vendor != "cloudflare" {
        return None;
    }
    Some(match code {
        "1005" => "the network (ASN) of the address is banned",
        "1006" | "1007" | "1008" | "1106" => "the IP address is banned",
        "1009" => "the country or region of the address is banned",
        "1010" => "the browser signature (user agent and the like) is banned",
        "1011" => "hotlink protection",
        "1012" => "the address is banned for malicious activity from its network",
        "1015" => "too many requests from the address: a rate limit",
        "1020" => "a firewall rule of the site's owner",
        "1016" => "the origin's name does not resolve",
        "1033" => "the tunnel to the origin is not connected",
        "520" => "the origin gave an empty or unknown answer",
        "521" => "the origin refused the connection",
        "522" => "the connection to the origin timed out",
        "523" => "the origin can't be reached",
        "524" => "the origin did not answer in time",
        "525" | "526" => "TLS between the edge and the origin failed",
        _ => return None,
    })
}

/// Where the owner of the site usually finds what refuses, by the vendor's code.
///
/// Cloudflare's from the same pages as its codes (read 2026-08).
#[must_use]
pub fn setting(vendor: &str, code: &str) -> Option<&'static str> {
    if vendor != "cloudflare" {
        return None;
    }
    Some(match code {
        "1005" | "1006" | "1007" | "1008" | "1009" | "1106" => "an IP access rule",
        "1010" => "the Browser Integrity Check",
        "1015" => "a rate limiting rule",
        "1020" => "a custom rule of the web application firewall",
        _ => return None,
    })
}

/// What the edge calls the number that finds the request in its logs.
#[must_use]
pub fn reference(vendor: &str) -> &'static str {
    match vendor {
        "cloudflare" => "Ray ID",
        "akamai" => "Akamai reference",
        "imperva" => "incident ID",
        "cloudfront" | "aws_waf" => "request ID",
        _ => "reference",
    }
}

/// What a kind is, in the middle of a sentence.
#[must_use]
pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Pass => "an ordinary answer",
        Kind::EdgeBlock => "refused at the edge",
        Kind::EdgeChallenge => "asked for a bot check",
        Kind::RateLimited => "rate limited",
        Kind::EdgeError => "the edge can't reach the application",
        Kind::OriginDenied => "refused",
        Kind::OriginError => "answered with an error",
        Kind::SoftBlock => "another page in place of the content",
        Kind::Unexpected => "not the expected answer",
        Kind::Warning => "right, with a warning",
        Kind::DnsError => "the name does not resolve",
        Kind::ConnectError => "no connection",
        Kind::TlsError => "the TLS handshake fails",
        Kind::Timeout => "no answer in time",
        Kind::LocalError => "can't be sent from here",
    }
}

/// What came, in a few words: the answer, the edge with its code, the status.
#[must_use]
pub fn got(verdict: &Verdict, status: Option<u16>) -> String {
    let mut text = answer(verdict);
    if let Some(edge) = edge(verdict) {
        text = match &verdict.code {
            Some(code) => format!("{text}, {edge} {code}"),
            None => format!("{text}, {edge}"),
        };
    }
    match status {
        Some(status) => format!("{text}, HTTP {status}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_like_sentences() {
        let items = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        let check = |n, expected: &str| assert_eq!(list(&items(n), "and"), expected);
        check(0, "");
        check(1, "0");
        check(2, "0 and 1");
        check(3, "0, 1 and 2");
        check(8, "0, 1, 2, 3, 4, 5 and 2 more");
    }

    #[test]
    fn vendors_have_names() {
        assert_eq!(vendor("cloudflare").as_deref(), Some("Cloudflare"));
        assert_eq!(vendor("big_ip-asm").as_deref(), Some("Big ip asm"));
        assert_eq!(vendor("none"), None);
    }
}
