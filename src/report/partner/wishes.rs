//! What the partner is asked to do, as fits the cause: to allow, to look, or to tell us their limit.

use super::names::{address, addresses, agent, named, pop, requests_with};
use super::{failing, host, several};
use crate::domain::cell::{EgressName, http_name};
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::observation::FailureKind;
use crate::domain::plan::names_of;
use crate::domain::verdict::{Kind, Maker, Verdict};
use crate::report::dossier::Dossier;
use crate::report::prose::list;

/// First things first; empty when nothing is asked.
#[must_use]
pub(in crate::report) fn asked(dossier: &Dossier<'_>) -> Vec<String> {
    if dossier.ours() {
        return Vec::new();
    }
    if dossier.own_rate() {
        return our_rate(dossier);
    }
    let mut asked = Vec::new();
    if dossier.resolved() {
        asked.push(
            "Nothing has to be done now: it is over. Please tell us what was changed, and when, so that it does not come back."
                .to_owned(),
        );
        return asked;
    }
    asked.push(of_path(dossier).unwrap_or_else(|| first_wish(dossier)));
    if dossier.incident.kind.is_refusal() {
        // What came back in another way has references of the time before.
        let run = dossier.incident.failing.as_ref();
        let none = run.is_some_and(|run| run.verdict.reference_id.is_none());
        let ids = if dossier.references.is_empty() || none {
            "the times and addresses".to_owned()
        } else {
            format!("the {}s", dossier.vendor.reference)
        };
        asked.push(format!(
            "Please tell us which rule turns these requests away; {ids} below identify them in the logs{}.",
            dossier
                .vendor
                .name
                .as_ref()
                .map_or_else(String::new, |name| format!(" of {name}"))
        ));
    }
    asked.push("Please tell us when something was changed, so that we can confirm it.".to_owned());
    asked
}

/// We ask too often: there is nothing to mend for them, and only they know the limit.
fn our_rate(dossier: &Dossier<'_>) -> Vec<String> {
    let host = host(dossier);
    let Cause::OwnRate { per_minute, .. } = dossier.incident.diagnosis.cause else {
        return Vec::new();
    };
    vec![
        format!(
            "Please tell us your limit for {host}: how many requests, within which time, and whether they are counted for each address or all together. We will stay below it."
        ),
        format!(
            "If about {per_minute} requests a minute are fewer than you mean to allow, please raise the limit for {}.",
            list(&public(dossier), "and")
        ),
    ]
}

fn first_wish(dossier: &Dossier<'_>) -> String {
    let host = host(dossier);
    let kind = dossier.incident.kind;
    let cause = &dossier.incident.diagnosis.cause;
    match (cause, kind) {
        (_, Kind::Warning) => in_time(dossier),
        (_, Kind::Pass) => "Please confirm that the refusal was lifted on purpose.".to_owned(),
        (Cause::Pop(name), _) => format!(
            "Please find out, with the provider of the CDN, why {} does not answer requests to {host} as the others do.",
            pop(dossier, name)
        ),
        (Cause::Level(_) | Cause::Together(_), _) => {
            by_levels(dossier, cause.levels()).unwrap_or_else(|| by_kind(dossier))
        }
        _ => by_kind(dossier),
    }
}

/// What is asked when the certificate is good, and some of ours know no root of a path that holds.
fn of_path(dossier: &Dossier<'_>) -> Option<String> {
    let run = failing(dossier).filter(|_| how(dossier) == Some(FailureKind::CertificatePath))?;
    let host = host(dossier);
    let ends: Vec<String> = run.paths.iter().map(|path| path.end(run.at)).collect();
    let ended = match ends.as_slice() {
        [] => "an intermediate certificate that is sent with it has ended".to_owned(),
        ends => format!("its path to {}", ends.join(", that to ")).replace('`', "\""),
    };
    Some(format!(
        "Please tell us whether {host} can send a chain to another root. The certificate itself is good, but {ended}, and one kind of our clients trusts no root of another path. We look after their trust store as well."
    ))
}

/// What is asked while everything still works.
fn in_time(dossier: &Dossier<'_>) -> String {
    let host = host(dossier);
    let verdict = failing(dossier).map(|run| &run.verdict);
    if verdict.is_some_and(Verdict::warns_of_path) {
        return format!(
            "Please tell us whether {host} will send a chain to another root before this path ends; nothing fails yet."
        );
    }
    if verdict.is_some_and(Verdict::warns_of_certificate) {
        format!("Please renew the certificate of {host} before it runs out; nothing fails yet.")
    } else {
        format!("Please look at why {host} answers so late; nothing fails yet.")
    }
}

/// What is asked when it hangs on traits of the request.
fn by_levels(dossier: &Dossier<'_>, levels: &[Level]) -> Option<String> {
    let host = host(dossier);
    let kind = dossier.incident.kind;
    let at = at_vendor(dossier);
    Some(match levels {
        [Level::Credential(name)] => format!(
            "Please check our account \"{name}\": is it active, not locked, and allowed to make this request?"
        ),
        [Level::Http { version: name, .. }] => format!(
            "Please tell us whether {} is meant to work for {host}; over other versions the same requests get through.",
            http_name(name)
        ),
        [Level::IpFamily { name, egresses }] => format!(
            "Please check {host} over {name}{at}: our requests over it, from {}, don't get through; those over the other IP version do.",
            addresses(dossier, egresses)
        ),
        levels if kind == Kind::RateLimited => format!(
            "Please tell us which limit applies to {}; our others are not limited.",
            requests_with(dossier, levels)
        ),
        [Level::Egress(_) | Level::Region { .. }] if kind.is_refusal() => {
            format!("Please allow {} for {host}{at}.", ours(dossier, &levels[0]))
        }
        levels if kind.is_refusal() => {
            format!("Please allow {}{at}.", requests_with(dossier, levels))
        }
        [Level::Egress(_) | Level::Region { .. }] if kind == Kind::DnsError => format!(
            "Please check whether your name servers answer everybody alike; from {} the name does not resolve.",
            ours(dossier, &levels[0])
        ),
        [Level::Egress(_) | Level::Region { .. }] => format!(
            "Please check whether a firewall of yours drops connections from {}.",
            ours(dossier, &levels[0])
        ),
        [Level::Client(_) | Level::Family { .. }]
            if kind == Kind::TlsError && how(dossier) == Some(FailureKind::HttpVersion) =>
        {
            format!(
                "Please tell us which HTTP versions {host} is meant to speak: one kind of our clients insists on one that the TLS handshake does not agree on."
            )
        }
        [Level::Client(_) | Level::Family { .. }] if kind == Kind::TlsError => format!(
            "Please tell us which TLS versions and ciphers {host} accepts: the handshake fails for one kind of our clients, before any request is sent, and succeeds for our others."
        ),
        [Level::Client(_) | Level::Family { .. }] if kind.is_network() => format!(
            "Please check whether something in front of your application drops requests with {}; our others get an answer.",
            ours(dossier, &levels[0])
        ),
        [_, _, ..] => format!(
            "Please check what becomes of {}; our others get an answer.",
            requests_with(dossier, levels)
        ),
        _ => return None,
    })
}

/// Whom of us, as they can find it.
fn ours(dossier: &Dossier<'_>, level: &Level) -> String {
    match level {
        Level::Client(name) => agent(dossier, name),
        Level::Egress(name) => address(dossier, name),
        Level::Region { egresses, .. } | Level::IpFamily { egresses, .. } => {
            addresses(dossier, egresses)
        }
        other => named(dossier, other),
    }
}

/// What is asked when only the way of failing is known.
fn by_kind(dossier: &Dossier<'_>) -> String {
    let host = host(dossier);
    match dossier.incident.kind {
        Kind::RateLimited => format!(
            "Please tell us the limit for {host}, and whether it can be raised for {}; we will stay below it.",
            list(&public(dossier), "and")
        ),
        kind if kind.is_edge_refusal() => {
            format!(
                "Please look up these requests and let them through{}.",
                at_vendor(dossier)
            )
        }
        Kind::OriginDenied | Kind::SoftBlock => {
            if by_the_application(dossier) {
                "Please check why your application turns these requests away.".to_owned()
            } else {
                "Please check what turns these requests away: your application, or something in front of it.".to_owned()
            }
        }
        Kind::EdgeError => {
            "Please check whether your application is up and can be reached by the edge.".to_owned()
        }
        Kind::DnsError => format!("Please check the DNS records of {}.", names_of(&host)),
        Kind::TlsError => {
            format!("Please check the certificate and the TLS settings of {host}.")
        }
        Kind::ConnectError if closed(dossier) => format!(
            "Please look up which rule closes these connections: they are accepted, and closed or reset in place of an answer by {host} or something in front of it."
        ),
        Kind::ConnectError | Kind::Timeout => format!(
            "Please check whether {host} {} up, and whether a firewall drops our connections.",
            if several(dossier) { "are" } else { "is" }
        ),
        _ if by_the_application(dossier) => {
            "Please check whether your application works as it should.".to_owned()
        }
        _ => "Please check whether your application works as it should, and what stands in front of it.".to_owned(),
    }
}

/// Whether the answer shows that the application made it.
fn by_the_application(dossier: &Dossier<'_>) -> bool {
    failing(dossier).is_some_and(|run| run.verdict.maker == Maker::Origin)
}

/// In which way the run failed that shows it.
fn how(dossier: &Dossier<'_>) -> Option<FailureKind> {
    FailureKind::from_word(super::failing(dossier)?.verdict.code.as_deref()?)
}

/// Whether connections are made, and break before a whole answer.
fn closed(dossier: &Dossier<'_>) -> bool {
    matches!(how(dossier), Some(FailureKind::Closed | FailureKind::Reset))
}

/// Where the rule is likely to stand.
fn at_vendor(dossier: &Dossier<'_>) -> String {
    match (&dossier.vendor.name, dossier.vendor.setting) {
        (Some(name), Some(setting)) => {
            format!(
                " at {name} (such a refusal usually comes from {setting}, a setting of the owner of the site)"
            )
        }
        (Some(name), None) => format!(" at {name}"),
        _ => String::new(),
    }
}

/// Addresses that the partner sees, as far as they are known.
fn public(dossier: &Dossier<'_>) -> Vec<String> {
    let names: Vec<EgressName> = dossier.egresses();
    let known: Vec<String> = names
        .iter()
        .filter_map(|name| dossier.origin(name).public)
        .collect();
    if known.is_empty() {
        vec!["our addresses".to_owned()]
    } else {
        known
    }
}
