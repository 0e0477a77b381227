//! The sentences about an incident as the partner must read them: "we" are its users, "you" its owners.
//!
//! The briefing speaks to our own engineers ("not your IPs"), so its words can't be sent on. Each sentence
//! here says only what was seen, and a code is said to be the vendor's.

use super::dossier::{Dossier, differ};
use super::prose::{between, list, sentence};
use crate::domain::cell::{CellKey, ClientName, EgressName};
use crate::domain::diagnosis::{Cause, Level, RuledOut};
use crate::domain::incident::{Specimen, Subject};
use crate::domain::verdict::{Factor, Kind, Maker};

/// Whom a letter is for: the partner, or the operator of a control site.
#[must_use]
pub(super) fn recipient(dossier: &Dossier<'_>) -> String {
    if dossier.control() {
        host(dossier)
    } else {
        dossier.plan.service.clone()
    }
}

#[must_use]
pub(super) fn host(dossier: &Dossier<'_>) -> String {
    match &dossier.incident.subject {
        Subject::Host(name) | Subject::Partner(name) => name.clone(),
        Subject::OurNetwork => "our own network".to_owned(),
    }
}

/// The clearest failing run, when it shows what the incident is about.
fn failing<'a>(dossier: &'a Dossier<'_>) -> Option<&'a Specimen> {
    let run = dossier.incident.failing.as_ref()?;
    (run.verdict.kind == dossier.incident.kind).then_some(run)
}

/// `the user agent "Java/1.8.0_275" (our client "legacy")`.
fn agent(dossier: &Dossier<'_>, name: &ClientName) -> String {
    match dossier.plan.client(name).map(|c| c.user_agent.as_str()) {
        None => format!("our client \"{name}\""),
        Some("") => format!("no User-Agent header (our client \"{name}\")"),
        Some(agent) => format!("the user agent \"{agent}\" (our client \"{name}\")"),
    }
}

/// `our address 203.0.113.15 (egress "de1")`.
fn address(dossier: &Dossier<'_>, name: &EgressName) -> String {
    match dossier.origin(name).public {
        Some(public) => format!("our address {public} (\"{name}\")"),
        None => format!("our egress \"{name}\""),
    }
}

fn named(dossier: &Dossier<'_>, level: &Level) -> String {
    match level {
        Level::Client(name) => agent(dossier, name),
        Level::Egress(name) => address(dossier, name),
        Level::Credential(name) => format!("our account \"{name}\""),
        Level::Probe(name) => format!("the endpoint of \"{name}\""),
        Level::Region { name, .. } => format!("our addresses in {name}"),
        Level::Family { name, .. } => format!("clients whose user agent begins with \"{name}\""),
        Level::Http { version, .. } => format!("HTTP version {version}"),
        Level::Method { name, .. } => format!("{name} requests"),
        Level::Path { name, .. } | Level::Host { name, .. } => format!("requests to {name}"),
    }
}

/// Which of our requests are hit.
fn requests(dossier: &Dossier<'_>) -> String {
    let host = host(dossier);
    match &dossier.incident.diagnosis.cause {
        Cause::Level(Level::Client(name)) => {
            format!("our requests to {host} with {}", agent(dossier, name))
        }
        Cause::Level(Level::Egress(name)) => {
            format!("our requests to {host} from {}", address(dossier, name))
        }
        Cause::Level(Level::Credential(name)) => {
            format!("our requests to {host} with our account \"{name}\"")
        }
        Cause::Level(Level::Probe(name)) => match dossier.plan.probe(name) {
            Some(probe) => format!("our requests \"{} {}\"", probe.method, probe.url),
            None => format!("our requests of \"{name}\" to {host}"),
        },
        Cause::Everything => format!("all our requests to {host}"),
        _ => format!("some of our requests to {host}"),
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
    let edge = dossier
        .vendor
        .name
        .clone()
        .unwrap_or_else(|| "the CDN or firewall".to_owned());
    let by_edge = run.is_none_or(|run| run.verdict.maker != Maker::Origin);
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
        Kind::RateLimited => format!("{are} turned away as too many by your application"),
        Kind::EdgeError => format!(
            "{fail}: {edge}, in front of your application, {} it",
            verb("can't reach", "could not reach")
        ),
        Kind::OriginDenied => format!("{are} refused by your application"),
        Kind::OriginError => format!("{fail} in your application"),
        Kind::SoftBlock => {
            format!("{get} another page (login, consent or denial) in place of the content")
        }
        Kind::Unexpected => format!("{are} answered, but not as we expect"),
        Kind::DnsError => format!("{fail} before they are sent: the name {host} does not resolve"),
        Kind::ConnectError => format!("{fail}: {host} accepts no connection"),
        Kind::TlsError => format!("{fail}: no TLS session with {host} can be made"),
        Kind::Timeout => format!("{get} no answer in time"),
        Kind::LocalError => format!("{fail} on our own side, before they reach you"),
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
    format!("{} {did}{detail}.{kept}", sentence(&requests(dossier)))
}

/// `: HTTP 403, Cloudflare error 1010`, or how it broke off.
fn detail(dossier: &Dossier<'_>, run: &Specimen) -> String {
    let mut parts = Vec::new();
    if let Some(status) = run.status {
        parts.push(format!("HTTP {status}"));
    }
    if let Some(code) = &run.verdict.code {
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

/// The pair that shows the cause: "the same request … passes with …"; `None` without such a pair.
#[must_use]
pub(super) fn the_pair(dossier: &Dossier<'_>) -> Option<String> {
    let (bad, good) = dossier.twin()?;
    let verb = if dossier.resolved() {
        "passed"
    } else {
        "passes"
    };
    let account = |text: &str| {
        if bad.credential.is_anonymous() {
            String::new()
        } else {
            format!(" {text}")
        }
    };
    Some(match &dossier.incident.diagnosis.cause {
        Cause::Level(Level::Client(_)) => format!(
            "The same request from the same address{} {verb} with {}.{}",
            account("with the same account"),
            agent(dossier, &good.client),
            client_differences(dossier, bad, good)
        ),
        Cause::Level(Level::Egress(_)) => format!(
            "The same request{} {verb} from {}.",
            account("with the same account"),
            address(dossier, &good.egress)
        ),
        Cause::Level(Level::Credential(_)) if good.credential.is_anonymous() => {
            format!("The same request from the same address {verb} without an account.")
        }
        Cause::Level(Level::Credential(_)) => format!(
            "The same request from the same address {verb} with our account \"{}\".",
            good.credential
        ),
        _ => format!(
            "Our other requests (\"{}\") from the same address {verb}.",
            good.probe
        ),
    })
}

/// Whether it is the user agent at all: clients may differ in more.
fn client_differences(dossier: &Dossier<'_>, bad: &CellKey, good: &CellKey) -> String {
    let plan = dossier.plan;
    let (Some(bad), Some(good)) = (plan.client(&bad.client), plan.client(&good.client)) else {
        return String::new();
    };
    let more: Vec<String> = [
        (bad.http != good.http, "HTTP version"),
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
    match (bad.user_agent == good.user_agent, more.is_empty()) {
        (false, true) => " The two requests differ in nothing but the user agent.".to_owned(),
        (false, false) => format!(
            " The two also differ in {}, which may matter.",
            list(&more, "and")
        ),
        (true, false) => format!(
            " The user agent is the same; they differ in {}.",
            list(&more, "and")
        ),
        (true, true) => String::new(),
    }
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

/// What the partner is asked to do, first things first; empty when nothing is.
#[must_use]
pub(super) fn asked(dossier: &Dossier<'_>) -> Vec<String> {
    if dossier.ours() {
        return Vec::new();
    }
    let mut asked = Vec::new();
    if dossier.resolved() {
        asked.push(
            "Nothing has to be done now: it is over. Please tell us what was changed, and when, so that it does not come back."
                .to_owned(),
        );
        return asked;
    }
    asked.push(first_wish(dossier));
    if dossier.incident.kind.is_refusal() {
        let ids = if dossier.references.is_empty() {
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

fn first_wish(dossier: &Dossier<'_>) -> String {
    let host = host(dossier);
    let kind = dossier.incident.kind;
    let at = match (&dossier.vendor.name, dossier.vendor.setting) {
        (Some(name), Some(setting)) => {
            format!(
                " at {name} (such a refusal usually comes from {setting}, a setting of the owner of the site)"
            )
        }
        (Some(name), None) => format!(" at {name}"),
        _ => String::new(),
    };
    match (&dossier.incident.diagnosis.cause, kind) {
        (_, Kind::Pass) => "Please confirm that the refusal was lifted on purpose.".to_owned(),
        (_, Kind::RateLimited) => format!(
            "Please tell us the limit for {host}, and whether it can be raised for {}; we will stay below it.",
            list(&public(dossier), "and")
        ),
        (Cause::Level(Level::Client(name)), kind) if kind.is_refusal() => format!(
            "Please allow requests with {} to {host}{at}.",
            agent(dossier, name)
        ),
        (Cause::Level(Level::Egress(name)), kind) if kind.is_refusal() => {
            format!("Please allow {} for {host}{at}.", address(dossier, name))
        }
        (Cause::Level(Level::Client(name)), kind)
            if kind.is_network() || kind == Kind::TlsError =>
        {
            format!(
                "Please check whether something in front of your application drops requests with {}; our others get an answer.",
                agent(dossier, name)
            )
        }
        (Cause::Level(Level::Egress(name)), _) => format!(
            "Please check whether a firewall of yours drops connections from {}.",
            address(dossier, name)
        ),
        (Cause::Level(Level::Credential(name)), _) => format!(
            "Please check our account \"{name}\": is it active, not locked, and allowed to make this request?"
        ),
        (_, kind) if kind.is_edge_refusal() => {
            format!("Please look up these requests and let them through{at}.")
        }
        (_, Kind::OriginDenied | Kind::SoftBlock) => {
            "Please check why your application turns these requests away.".to_owned()
        }
        (_, Kind::EdgeError) => {
            "Please check whether your application is up and can be reached by the edge.".to_owned()
        }
        (_, Kind::DnsError) => format!("Please check the DNS records of {host}."),
        (_, Kind::TlsError) => {
            format!("Please check the certificate and the TLS settings of {host}.")
        }
        (_, Kind::ConnectError | Kind::Timeout) => {
            format!(
                "Please check whether {host} is up, and whether a firewall drops our connections."
            )
        }
        _ => "Please check whether your application works as it should.".to_owned(),
    }
}

/// Addresses that the partner sees, as far as they are known.
fn public(dossier: &Dossier<'_>) -> Vec<String> {
    let names = dossier.egresses();
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

/// What it is not, each with the pair of runs that shows it.
#[must_use]
pub(super) fn ruled_out(dossier: &Dossier<'_>) -> Vec<String> {
    dossier
        .incident
        .diagnosis
        .ruled_out
        .iter()
        .map(|pair| one_ruled_out(dossier, pair))
        .collect()
}

fn one_ruled_out(dossier: &Dossier<'_>, pair: &RuledOut) -> String {
    let noun = match pair.factor {
        Factor::Egress => "our addresses",
        Factor::Client => "one of our clients",
        Factor::Credential => "our account",
        Factor::Endpoint => "the endpoint",
        Factor::Host => "the host",
        Factor::Rate => "our request rate",
        Factor::Http => "the HTTP version",
        Factor::Method => "the method",
    };
    let (Some(bad), Some(good)) = (&pair.failing, &pair.passing) else {
        return match pair.factor {
            Factor::Egress => {
                "not one of our addresses: the requests fail from every one alike".to_owned()
            }
            Factor::Client => {
                "not one of our clients: the requests of every one fail alike".to_owned()
            }
            Factor::Credential => "not one of our accounts: all fail alike".to_owned(),
            Factor::Endpoint => "not one endpoint: all that we ask fail alike".to_owned(),
            _ => format!("not {noun}"),
        };
    };
    let verb = if dossier.resolved() {
        "passed"
    } else {
        "passes"
    };
    if dossier
        .plan
        .probe(&good.probe)
        .is_some_and(|probe| probe.control)
        && bad.probe != good.probe
    {
        return format!(
            "not our network: a request to another site (\"{}\") {verb} from {}",
            good.probe,
            address(dossier, &good.egress)
        );
    }
    let same = match pair.factor {
        Factor::Egress => format!("from {}", address(dossier, &good.egress)),
        Factor::Client => format!("as our client \"{}\"", good.client),
        Factor::Credential if good.credential.is_anonymous() => "without an account".to_owned(),
        Factor::Credential => format!("with the same account (\"{}\")", good.credential),
        _ => format!("to the same endpoint (\"{}\")", good.probe),
    };
    let other: Vec<String> = differ(bad, good)
        .into_iter()
        .map(|factor| match factor {
            Factor::Client => format!("as our client \"{}\"", good.client),
            Factor::Egress => format!("from {}", address(dossier, &good.egress)),
            Factor::Credential if good.credential.is_anonymous() => "without an account".to_owned(),
            Factor::Credential => format!("with our account \"{}\"", good.credential),
            _ => format!("at \"{}\"", good.probe),
        })
        .collect();
    let when = match (
        dossier.line(bad).and_then(|line| line.at),
        dossier.line(good).and_then(|line| line.at),
    ) {
        (Some(bad), Some(good)) => format!(
            ", {} {} than the failing one",
            between(bad, good),
            if good < bad { "earlier" } else { "later" }
        ),
        _ => String::new(),
    };
    format!(
        "not {noun}: {same}, a request {verb} {}{when}",
        other.join(", ")
    )
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
