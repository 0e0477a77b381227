//! Clients, addresses, accounts and endpoints as the partner can find them.

use super::host;
use crate::domain::cell::{ClientName, EgressName, ProbeName, http_name};
use crate::domain::diagnosis::Level;
use crate::domain::head::{Part, closest};
use crate::domain::verdict::{Factor, vendor_name};
use crate::report::dossier::Dossier;
use crate::report::prose::list;

/// `the user agent "Java/1.8.0_275" (our client "legacy")`.
///
/// Where a blamed client differs in more from what passes, that is said too: no part is blamed alone.
pub(super) fn agent(dossier: &Dossier<'_>, name: &ClientName) -> String {
    if let Some(parts) = by_its_parts(dossier, name) {
        return parts;
    }
    match dossier.plan.client(name).map(|c| c.user_agent.as_str()) {
        None => format!("our client \"{name}\""),
        Some("") => format!("no User-Agent header (our client \"{name}\")"),
        Some(agent) => format!("the user agent \"{agent}\" (our client \"{name}\")"),
    }
}

fn by_its_parts(dossier: &Dossier<'_>, name: &ClientName) -> Option<String> {
    let (plan, diagnosis) = (dossier.plan, &dossier.incident.diagnosis);
    if diagnosis.cause.levels() != [Level::Client(name.clone())] {
        return None;
    }
    let pair = closest(plan, diagnosis, std::slice::from_ref(name))?;
    let client = plan.client(name)?;
    let others = pair.parts.iter().filter(|part| **part != Part::UserAgent);
    let others: Vec<String> = others.map(Part::name).collect();
    if others.is_empty() {
        return None;
    }
    let others = list(&others, "and");
    Some(match client.user_agent.as_str() {
        "" => format!("our client \"{name}\", which differs from what passes in {others}"),
        agent if pair.parts.contains(&Part::UserAgent) => format!(
            "the user agent \"{agent}\" (our client \"{name}\", which also differs from what passes in {others})"
        ),
        agent => format!(
            "our client \"{name}\" (user agent \"{agent}\"), which differs from what passes in {others} alone"
        ),
    })
}

/// `our address 203.0.113.15 (egress "de1")`.
pub(super) fn address(dossier: &Dossier<'_>, name: &EgressName) -> String {
    match dossier.origin(name).public {
        Some(public) => format!("our address {public} (\"{name}\")"),
        None => format!("our address {}", to_fill_in(name)),
    }
}

/// What only the sender of the letter knows: a partner can do nothing with our name for it.
fn to_fill_in(name: &EgressName) -> String {
    format!("[fill in: the public address of \"{name}\"]")
}

/// `our addresses 203.0.113.1 and 203.0.113.2`.
pub(super) fn addresses(dossier: &Dossier<'_>, egresses: &[EgressName]) -> String {
    let each: Vec<String> = egresses
        .iter()
        .map(|name| {
            dossier
                .origin(name)
                .public
                .unwrap_or_else(|| to_fill_in(name))
        })
        .collect();
    match egresses {
        [one] => address(dossier, one),
        _ => format!("our addresses {}", list(&each, "and")),
    }
}

/// An endpoint as the partner knows it: method and address, without the query.
pub(super) fn endpoint(dossier: &Dossier<'_>, name: &ProbeName) -> String {
    dossier.plan.probe(name).map_or_else(
        || format!("\"{name}\""),
        |probe| {
            let (scheme, host) = (probe.url.scheme(), probe.host());
            format!("{} {scheme}://{host}{}", probe.method, probe.url.path())
        },
    )
}

fn quoted<T: std::fmt::Display>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    list(&names, "and")
}

/// A level as it follows "our requests".
fn having(dossier: &Dossier<'_>, level: &Level) -> String {
    match level {
        Level::Client(name) => format!("with {}", agent(dossier, name)),
        Level::Family { name, clients } => format!(
            "with user agents that begin with \"{name}\" (ours: {})",
            quoted(clients)
        ),
        Level::Egress(name) => format!("from {}", address(dossier, name)),
        Level::Region { egresses, .. } => format!("from {}", addresses(dossier, egresses)),
        Level::IpFamily { name, egresses } => {
            format!("over {name} from {}", addresses(dossier, egresses))
        }
        Level::Credential(name) => format!("with our account \"{name}\""),
        Level::Http { version: name, .. } => format!("over {}", http_name(name)),
        Level::Stack { .. } => format!("with {}", named(dossier, level)),
        Level::Method { name, .. } => format!("with method {name}"),
        Level::Probe(name) => format!("\"{}\"", endpoint(dossier, name)),
        Level::Path { name, .. } => format!("below {name}"),
        Level::Host { name, .. } => format!("to {name}"),
        Level::AllBut { factor, others, .. } => match factor {
            Factor::Egress => {
                let others: Vec<EgressName> =
                    others.iter().map(|name| EgressName::new(name)).collect();
                format!("from {}", addresses(dossier, &others))
            }
            Factor::Credential => format!("with our accounts {}", quoted(others)),
            _ => format!("with any user agent but that of {}", spared(dossier, level)),
        },
    }
}

/// What is let through where everything else of its factor is not.
fn spared(dossier: &Dossier<'_>, level: &Level) -> String {
    match level {
        Level::AllBut {
            factor: Factor::Client,
            name,
            ..
        } => agent(dossier, &ClientName::new(name)),
        Level::AllBut { name, .. } => format!("\"{name}\""),
        _ => String::new(),
    }
}

/// What has all of these levels: `POST requests to <host> with <user agent> from <address>`.
///
/// Where a level says itself where the requests go, the host is not said again.
pub(super) fn requests_with(dossier: &Dossier<'_>, levels: &[Level]) -> String {
    let goes = |level: &Level| {
        matches!(
            level,
            Level::Probe(_) | Level::Path { .. } | Level::Host { .. }
        )
    };
    let mut method = String::new();
    let mut parts = Vec::new();
    if !levels.iter().any(goes) {
        parts.push(format!("to {}", host(dossier)));
    }
    // Where they go comes first.
    for level in levels
        .iter()
        .filter(|l| goes(l))
        .chain(levels.iter().filter(|l| !goes(l)))
    {
        match level {
            Level::Method { name, .. } => method = format!("{name} "),
            Level::Probe(name) => {
                let known = dossier.plan.probe(name);
                method = known.map_or_else(String::new, |probe| format!("{} ", probe.method));
                let place = endpoint(dossier, name);
                parts.push(format!("to {}", place.trim_start_matches(&*method)));
            }
            level => parts.push(having(dossier, level)),
        }
    }
    format!("{method}requests {}", parts.join(" "))
}

pub(super) fn named(dossier: &Dossier<'_>, level: &Level) -> String {
    match level {
        Level::Client(name) => agent(dossier, name),
        Level::Egress(name) => address(dossier, name),
        Level::Region { egresses, .. } => addresses(dossier, egresses),
        Level::Credential(name) => format!("our account \"{name}\""),
        Level::Probe(name) => format!("the endpoint \"{}\"", endpoint(dossier, name)),
        Level::Family { name, .. } => format!("user agents that begin with \"{name}\""),
        Level::Http { version: name, .. } => http_name(name),
        Level::Stack { ja4, clients } => format!(
            "the TLS fingerprint (JA4) {ja4} (ours: {})",
            quoted(clients)
        ),
        Level::Method { name, .. } => format!("{name} requests"),
        Level::AllBut { factor, others, .. } => match factor {
            Factor::Egress => {
                let others: Vec<EgressName> =
                    others.iter().map(|name| EgressName::new(name)).collect();
                addresses(dossier, &others)
            }
            Factor::Credential => format!("our accounts {}", quoted(others)),
            _ => format!(
                "our other user agents, as you allow {}",
                spared(dossier, level)
            ),
        },
        Level::IpFamily { .. } | Level::Path { .. } | Level::Host { .. } => {
            format!("requests {}", having(dossier, level))
        }
    }
}

/// The place of the edge that answered, with whose it is.
pub(super) fn pop(dossier: &Dossier<'_>, name: &str) -> String {
    let front = dossier.vendor.name.clone().or_else(|| {
        let run = dossier.incident.failing.as_ref()?;
        vendor_name(&run.verdict.fronted_by)
    });
    match front {
        Some(front) => format!("{front}'s point of presence {name}"),
        None => format!("the CDN's point of presence {name}"),
    }
}
