//! The sentences about an incident as the partner must read them: "we" are its users, "you" its owners.
//!
//! The briefing speaks to our own engineers ("not your IPs"), so its words can't be sent on. Each sentence
//! here says only what was seen, and a code is said to be the vendor's.

mod names;
mod ruled_out;
mod wishes;

use super::dossier::Dossier;
use super::prose::{list, sentence};
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::{Cause, Level, SplitBy};
use crate::domain::failing;
use crate::domain::incident::{Specimen, Subject};
use crate::domain::share;
use crate::domain::verdict::{Factor, Kind, Maker, Verdict, vendor_name};

use names::{address, agent, endpoint, named, pop, requests_with};
pub(super) use ruled_out::ruled_out;
pub(super) use wishes::asked;

/// Whom a letter is for: the partner, or the operator of a control site.
#[must_use]
pub(super) fn recipient(dossier: &Dossier<'_>) -> String {
    if dossier.control() {
        host(dossier)
    } else {
        dossier.called().to_owned()
    }
}

/// The host that is asked; of a partner with several, those that are hit.
#[must_use]
pub(super) fn host(dossier: &Dossier<'_>) -> String {
    match &dossier.incident.subject {
        Subject::Host(name) | Subject::Site(name) => name.clone(),
        Subject::Partner(name) | Subject::Vendor(name) => {
            let probes = dossier.incident.probes.iter();
            let mut hosts: Vec<String> = probes
                .filter_map(|name| dossier.plan.probe(name))
                .map(crate::domain::probe::Probe::host)
                .collect();
            hosts.sort();
            hosts.dedup();
            match hosts.len() {
                1..=3 => list(&hosts, "and"),
                _ => name.clone(),
            }
        }
        Subject::OurNetwork => "our own network".to_owned(),
    }
}

/// Whether [`host`] names more than one.
fn several(dossier: &Dossier<'_>) -> bool {
    matches!(
        dossier.incident.subject,
        Subject::Partner(_) | Subject::Vendor(_)
    ) && host(dossier).contains(" and ")
}

/// The clearest failing run, when it shows what the incident is about.
fn failing<'a>(dossier: &'a Dossier<'_>) -> Option<&'a Specimen> {
    let run = dossier.incident.failing.as_ref()?;
    (run.verdict.blamed() == dossier.incident.kind).then_some(run)
}

/// Which of our requests are hit.
fn requests(dossier: &Dossier<'_>) -> String {
    let host = host(dossier);
    if dossier.incident.kind == Kind::Warning {
        return format!("our requests to {host}");
    }
    let which = match &dossier.incident.diagnosis.cause {
        cause @ (Cause::Level(_) | Cause::Together(_)) => {
            format!("our {}", requests_with(dossier, cause.levels()))
        }
        Cause::AnyOf(causes) => {
            let each: Vec<String> = causes
                .iter()
                .map(|cause| format!("our {}", requests_with(dossier, cause.levels())))
                .collect();
            list(&each, "and")
        }
        Cause::Pop(name) => format!("our requests to {host} that {} answers", pop(dossier, name)),
        Cause::OwnRate {
            per_minute,
            by_egress,
        } => {
            let counted = if *by_egress { " from one address" } else { "" };
            return format!("our requests to {host} beyond about {per_minute} a minute{counted}");
        }
        Cause::Everything => match dossier.incident.diagnosis.fails {
            Some(_) => format!("our requests to {host}"),
            None => format!("all our requests to {host}"),
        },
        Cause::OurNetwork { .. } | Cause::OurClients { .. } | Cause::Unknown { .. } => {
            return format!("some of our requests to {host}");
        }
    };
    match dossier.incident.diagnosis.fails {
        Some(fails) => format!("{} of {which}", share::part(fails)),
        None => which,
    }
}

/// What becomes of the requests that are hit; in the past when it is over.
#[must_use]
pub(super) fn what_happens(dossier: &Dossier<'_>) -> String {
    let past = dossier.resolved();
    let verb = |now: &'static str, then: &'static str| if past { then } else { now };
    let (are, get, fail) = (
        verb("are", "were"),
        verb("get", "got"),
        verb("fail", "failed"),
    );
    let run = failing(dossier);
    let edge = dossier.vendor.name.clone().unwrap_or_else(|| {
        match run.map(|run| run.verdict.maker) {
            Some(Maker::Unknown) => "a security layer that gives no name",
            _ => "the CDN or firewall",
        }
        .to_owned()
    });
    let maker = run.map_or(Maker::Edge, |run| run.verdict.maker);
    let by_edge = maker == Maker::Edge;
    let gateway = run.and_then(|run| gateway(&run.verdict));
    let host = host(dossier);
    let did = match dossier.incident.kind {
        Kind::EdgeBlock => format!("{are} refused by {edge}, in front of your application"),
        Kind::EdgeChallenge => {
            format!(
                "{get} a bot check from {edge}, in front of your application, in place of the answer"
            )
        }
        Kind::RateLimited if by_edge => {
            format!("{are} turned away as too many by {edge}, in front of your application")
        }
        Kind::RateLimited => match (&gateway, maker) {
            (Some(name), _) => {
                format!("{are} turned away as too many by {name}, in front of your application")
            }
            (None, Maker::Origin) => format!("{are} turned away as too many by your application"),
            _ => format!("{are} turned away as too many, we can't tell by whom"),
        },
        Kind::EdgeError => format!(
            "{fail}: {edge}, in front of your application, {} it",
            verb("can't reach", "could not reach")
        ),
        Kind::OriginDenied => match (&gateway, maker) {
            (Some(name), _) => format!("{are} refused by {name}, in front of your application"),
            (None, Maker::Origin) => format!("{are} refused by your application"),
            _ => format!("{are} refused, we can't tell by whom"),
        },
        Kind::OriginError => match (&gateway, maker) {
            (Some(name), _) => format!("{fail} at {name}, in front of your application"),
            (None, Maker::Origin) => format!("{fail} in your application"),
            _ => format!("{get} an error, and nothing in it tells what made it"),
        },
        Kind::SoftBlock => {
            format!("{get} another page (login, consent or denial) in place of the content")
        }
        Kind::Unexpected => format!("{are} answered, but not as we expect"),
        kind @ (Kind::DnsError | Kind::ConnectError | Kind::TlsError) => {
            let verdict = run.map(|run| &run.verdict);
            let happens = failing::happens(kind, verdict, &host, several(dossier));
            let before = if kind == Kind::DnsError {
                " before they are sent"
            } else {
                ""
            };
            format!("{fail}{before}: {}", happens.unwrap_or_default())
        }
        Kind::Timeout => format!("{get} no answer in time"),
        Kind::LocalError => format!("{fail} on our own side, before they reach you"),
        Kind::Warning => {
            let said = run.and_then(|run| run.verdict.warning());
            format!(
                "{are} answered as they should be, but not as well: {}",
                said.unwrap_or("the evidence is below")
            )
        }
        Kind::Pass => format!("{} now, where we expect a refusal", verb("pass", "passed")),
    };
    let detail = run.map_or_else(String::new, |run| detail(dossier, run));
    let kept = if dossier.incident.kind == Kind::EdgeBlock && by_edge {
        format!(
            " The answer {} the edge's own: they {} to reach your application.",
            verb("is", "was"),
            verb("don't seem", "did not seem")
        )
    } else {
        String::new()
    };
    let rest = match &dossier.incident.diagnosis.cause {
        Cause::OwnRate { .. } => format!(" Below that rate they {}.", verb("pass", "passed")),
        Cause::Pop(_) => " Which place answers a request is not ours to choose.".to_owned(),
        _ => String::new(),
    };
    format!(
        "{} {did}{detail}.{kept}{rest}{}{}",
        sentence(&requests(dossier)),
        those(dossier),
        other_ways(dossier)
    )
}

/// Which of the requests it is, where what answers tells.
fn those(dossier: &Dossier<'_>) -> String {
    let Some(split) = &dossier.incident.diagnosis.split else {
        return String::new();
    };
    let name = &split.name;
    let which = match split.by {
        SplitBy::IpFamily => format!("over {name}"),
        SplitBy::Http => format!("over HTTP/{name}"),
        SplitBy::Place => format!("that {} answered", pop(dossier, name)),
        SplitBy::Machine => format!("that the machine \"{name}\" of the CDN answered"),
        SplitBy::Address => format!("that were led to {name}"),
    };
    format!(
        " Of those {which}, {} of {} failed; of the others {} of {}.",
        split.failed, split.of, split.others_failed, split.others
    )
}

/// The proxy or gateway before the application that made the answer, by its name.
fn gateway(verdict: &Verdict) -> Option<String> {
    (verdict.maker == Maker::Unknown)
        .then(|| vendor_name(&verdict.vendor))
        .flatten()
}

/// That some fail in another way than the sentence says.
fn other_ways(dossier: &Dossier<'_>) -> String {
    let fails = dossier.lines.iter().filter(|line| line.failing);
    let other = fails
        .clone()
        .filter(|line| line.kind != dossier.incident.kind)
        .count();
    if other == 0 {
        return String::new();
    }
    let all = fails.count();
    let verb = match (other, dossier.resolved()) {
        (_, true) => "failed",
        (1, false) => "fails",
        _ => "fail",
    };
    format!(" {other} of the {all} that are listed below {verb} in another way.")
}

/// `: HTTP 403, Cloudflare error 1010`, or how it broke off.
fn detail(dossier: &Dossier<'_>, run: &Specimen) -> String {
    let mut parts = Vec::new();
    // Some codes of an edge are its status.
    let same = |status: u16| run.verdict.code.as_deref() == Some(&*status.to_string());
    if let Some(status) = run.status.filter(|status| !same(*status)) {
        parts.push(format!("HTTP {status}"));
    }
    // Without an answer the code is our own name for how it broke off.
    if let Some(code) = run.verdict.code.as_ref().filter(|_| run.status.is_some()) {
        parts.push(match (&dossier.vendor.name, run.verdict.maker) {
            (Some(name), Maker::Edge) => format!("{name} error {code}"),
            (None, Maker::Edge) => format!("the edge's code {code}"),
            _ => format!("code {code}"),
        });
    }
    parts.extend(run.failure.clone());
    if dossier.incident.kind == Kind::Unexpected {
        parts.push(format!("where we expect {}", dossier.briefing.expected));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join(", "))
    }
}

/// The pairs that show the cause: "the same request … passes with …"; empty without such a pair.
#[must_use]
pub(super) fn the_pairs(dossier: &Dossier<'_>) -> Vec<String> {
    let twins = dossier.twins();
    twins
        .into_iter()
        .map(|(level, bad, good)| the_pair(dossier, level, bad, good))
        .collect()
}

fn the_pair(dossier: &Dossier<'_>, level: &Level, bad: &CellKey, good: &CellKey) -> String {
    let verb = |now: &'static str| if dossier.resolved() { "passed" } else { now };
    let passes = verb("passes");
    let account = if bad.credential.is_anonymous() {
        ""
    } else {
        " with the same account"
    };
    match (level.factor().dimension(), level) {
        (_, Level::Http { .. }) => format!(
            "The same request from the same address{account} {passes} over another HTTP version (our client \"{}\").{}",
            good.client,
            client_differences(dossier, bad, good, true)
        ),
        (_, Level::Stack { .. }) => format!(
            "The same request with the same user agent from the same address{account} {passes} over another TLS (our client \"{}\"), so it is the handshake that is judged.",
            good.client
        ),
        (Factor::Client, _) => format!(
            "The same request from the same address{account} {passes} with {}.{}",
            agent(dossier, &good.client),
            client_differences(dossier, bad, good, false)
        ),
        (Factor::Egress, _) => format!(
            "The same request{account} {passes} from {}.",
            address(dossier, &good.egress)
        ),
        (Factor::Credential, _) if good.credential.is_anonymous() => {
            format!("The same request from the same address {passes} without an account.")
        }
        (Factor::Credential, _) => format!(
            "The same request from the same address {passes} with our account \"{}\".",
            good.credential
        ),
        _ => format!(
            "Our other requests (\"{}\") from the same address {}.",
            endpoint(dossier, &good.probe),
            verb("pass")
        ),
    }
}

/// Whether it is the user agent at all, or the HTTP version: clients may differ in more.
fn client_differences(
    dossier: &Dossier<'_>,
    bad: &CellKey,
    good: &CellKey,
    by_version: bool,
) -> String {
    let plan = dossier.plan;
    let (Some(bad), Some(good)) = (plan.client(&bad.client), plan.client(&good.client)) else {
        return String::new();
    };
    let agents = (bad.user_agent != good.user_agent, "user agent");
    let versions = (bad.http != good.http, "HTTP version");
    let (shown, other) = if by_version {
        (versions, agents)
    } else {
        (agents, versions)
    };
    let more: Vec<String> = [
        other,
        (bad.tls != good.tls, "TLS versions"),
        (
            bad.headers != good.headers || bad.header_case != good.header_case,
            "headers",
        ),
    ]
    .into_iter()
    .filter(|(differs, _)| *differs)
    .map(|(_, what)| what.to_owned())
    .collect();
    match (shown.0, more.is_empty()) {
        (true, true) => format!(" The two requests differ in nothing but the {}.", shown.1),
        (true, false) => format!(
            " The two also differ in {}, which may matter.",
            list(&more, "and")
        ),
        (false, false) => format!(
            " The {} is the same; they differ in {}.",
            shown.1,
            list(&more, "and")
        ),
        (false, true) => String::new(),
    }
}

/// A change near the beginning that is likely to have to do with it; what else was seen is only for us.
#[must_use]
pub(super) fn change(dossier: &Dossier<'_>) -> Option<String> {
    let incident = &dossier.incident;
    let change = incident.beside.iter().find(|change| change.related)?;
    let apart = super::prose::between(change.at, incident.onset_at);
    let when = if change.at <= incident.onset_at {
        "before"
    } else {
        "after"
    };
    Some(format!(
        "We saw a change {apart} {when} the first failure, at {}: {}.",
        super::prose::utc(change.at),
        change.text.trim_end_matches('.')
    ))
}

/// What a code means and whose it is; `None` without a code of an edge.
#[must_use]
pub(super) fn whose_code(dossier: &Dossier<'_>) -> Option<String> {
    let run = failing(dossier)?;
    let code = run.verdict.code.as_ref()?;
    if run.verdict.maker != Maker::Edge {
        return None;
    }
    let name = dossier
        .vendor
        .name
        .clone()
        .unwrap_or_else(|| "the CDN or firewall".to_owned());
    let meaning = dossier
        .vendor
        .meaning
        .map_or_else(String::new, |meaning| format!(" It means: {meaning}."));
    Some(format!(
        "{code} is a code of {name}, the edge in front of the service. It is not one of {}'s own return codes.{meaning}",
        recipient(dossier)
    ))
}

/// How sure the cause is, or that none can be named.
#[must_use]
pub(super) fn how_sure(dossier: &Dossier<'_>) -> String {
    if dossier.briefing.cause_known {
        format!(
            "Confidence in this cause: {:.0} %.",
            (dossier.briefing.confidence * 100.0).floor()
        )
    } else {
        let among: Vec<String> = match &dossier.incident.diagnosis.cause {
            Cause::Unknown { among } => among.iter().map(|level| named(dossier, level)).collect(),
            _ => Vec::new(),
        };
        let among = if among.is_empty() {
            String::new()
        } else {
            format!(" It may be {}.", list(&among, "or"))
        };
        format!("Which trait of these requests matters can't be told from our side yet.{among}")
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::report::fixture;

    /// Every kind and every cause once, so that each sentence is read by somebody before it is sent.
    #[test]
    fn every_sentence() {
        let causes = [
            Cause::Level(Level::Client("legacy-reval".into())),
            Cause::Level(Level::Egress("legacy-prod".into())),
            Cause::Level(Level::Credential("gmc".into())),
            Cause::Level(Level::Probe("gmc-connect".into())),
            Cause::Everything,
            Cause::Unknown { among: Vec::new() },
        ];
        let mut text = String::new();
        let mut say = |night: &fixture::Night| {
            let dossier = night.dossier();
            let wish = asked(&dossier).first().cloned().unwrap_or_default();
            let _ = writeln!(
                text,
                "{}, {:?}\n  {}\n  {wish}\n",
                dossier.incident.kind,
                dossier.incident.diagnosis.cause,
                what_happens(&dossier)
            );
        };
        for cause in causes {
            for kind in [Kind::EdgeBlock, Kind::Timeout] {
                let mut night = fixture::march();
                night.incident.diagnosis.cause = cause.clone();
                night.fails_with(kind);
                say(&night);
            }
        }
        for kind in Kind::ALL {
            let mut night = fixture::march();
            night.incident.diagnosis.cause = Cause::Everything;
            night.fails_with(*kind);
            say(&night);
        }
        insta::assert_snapshot!(text);
    }
}
