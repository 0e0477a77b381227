//! Whether a client that is not in the file yet would pass: one round, read for that client alone.
//!
//! A place (egress and credential) where our own network is down says nothing about the client. What
//! the configured clients met there is told beside it, because a partner that refuses everybody would
//! otherwise look like one that refuses the newcomer.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::board::events::Judged;
use crate::domain::cell::{CellKey, ClientName, CredentialName, EgressName};
use crate::domain::sent::Sent;
use crate::domain::verdict::Kind;
use crate::incident::ours::is_silence;
use crate::words::terms;

/// What a round saw.
pub type Round = Vec<Judged>;

/// What one round says about a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    pub outcome: Outcome,
    pub places: Vec<Place>,
    /// Would it pass, and from where.
    pub sentence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It passed wherever it was asked.
    Passes,
    /// It was turned away at least once, and not by our own side.
    Fails,
    /// Our own side was in the way, or nothing ran.
    Unknown,
}

impl Outcome {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passes => "passes",
            Self::Fails => "fails",
            Self::Unknown => "unknown",
        }
    }
}

/// One egress and credential, and what the client met there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub egress: EgressName,
    pub credential: CredentialName,
    pub outcome: Outcome,
    pub kind: Kind,
    /// What came, in a few words ("refused at the edge, Cloudflare 1010, HTTP 403").
    pub got: String,
    /// Configured clients that passed there in the same round.
    pub others_passed: Vec<ClientName>,
    /// Configured clients that did not.
    pub others_failed: Vec<ClientName>,
}

/// Reads the round for `client`; `shown` is how a person knows it, `dark` what nothing came through.
#[must_use]
pub fn trial(
    round: &[Judged],
    dark: &BTreeSet<EgressName>,
    client: &ClientName,
    shown: &str,
) -> Trial {
    let places: Vec<Place> = round
        .iter()
        .filter(|judged| judged.observation.cell.client == *client)
        .map(|judged| place(round, dark, judged))
        .collect();
    let any = |outcome| places.iter().any(|place| place.outcome == outcome);
    let outcome = if any(Outcome::Fails) {
        Outcome::Fails
    } else if places.is_empty() || any(Outcome::Unknown) {
        Outcome::Unknown
    } else {
        Outcome::Passes
    };
    Trial {
        outcome,
        sentence: sentence(&places, shown),
        places,
    }
}

/// The TLS fingerprints (JA4) that went out, each with the clients that sent it; that of `client` first.
#[must_use]
pub fn fingerprints(round: &[Judged], client: &ClientName) -> Vec<(String, Vec<ClientName>)> {
    let mut found: Vec<(String, Vec<ClientName>)> = Vec::new();
    for judged in round {
        let name = &judged.observation.cell.client;
        let sent = judged.observation.sent.as_ref();
        let Some(ja4) = sent.and_then(Sent::fingerprint) else {
            continue;
        };
        match found.iter_mut().find(|(other, _)| other == ja4) {
            Some((_, clients)) if clients.contains(name) => {}
            Some((_, clients)) => clients.push(name.clone()),
            None => found.push((ja4.to_owned(), vec![name.clone()])),
        }
    }
    found.sort_by_key(|(_, clients)| !clients.contains(client));
    found
}

/// The same in a sentence; nothing where the new client sent none.
#[must_use]
pub fn told(fingerprints: &[(String, Vec<ClientName>)], client: &ClientName) -> String {
    let Some(((own, alike), others)) = fingerprints.split_first() else {
        return String::new();
    };
    if !alike.contains(client) {
        return String::new();
    }
    let names = |clients: &[ClientName]| {
        let names = clients.iter().filter(|name| *name != client);
        let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        (!names.is_empty()).then(|| (terms::list(&names, "and"), names.len()))
    };
    let sends = |(names, many): &(String, usize)| {
        format!("{names} {}", if *many == 1 { "sends" } else { "send" })
    };
    let mut text = format!(" It sends the TLS fingerprint (JA4) `{own}`");
    if let Some((names, _)) = names(alike) {
        let _ = write!(text, ", as {names}");
    }
    for (ja4, clients) in others {
        let Some(names) = names(clients) else {
            continue;
        };
        let _ = write!(text, "; {} `{ja4}`", sends(&names));
    }
    text + "."
}

pub(super) fn place(round: &[Judged], dark: &BTreeSet<EgressName>, judged: &Judged) -> Place {
    let cell = &judged.observation.cell;
    let kind = judged.kind();
    let beside = |passed: bool| {
        round
            .iter()
            .filter(|other| {
                let key = &other.observation.cell;
                key.client != cell.client && beside(key, cell) && other.verdict.passed() == passed
            })
            .map(|other| other.observation.cell.client.clone())
            .collect()
    };
    let outcome = if judged.verdict.passed() {
        Outcome::Passes
    } else if kind == Kind::LocalError || (is_silence(kind) && dark.contains(&cell.egress)) {
        Outcome::Unknown
    } else {
        Outcome::Fails
    };
    Place {
        egress: cell.egress.clone(),
        credential: cell.credential.clone(),
        outcome,
        kind,
        got: terms::got(
            &judged.verdict,
            judged.observation.answer.as_ref().map(|a| a.status),
        ),
        others_passed: beside(true),
        others_failed: beside(false),
    }
}

/// Same request, same place, whatever the client.
fn beside(one: &CellKey, other: &CellKey) -> bool {
    one.probe == other.probe && one.egress == other.egress && one.credential == other.credential
}

fn sentence(places: &[Place], shown: &str) -> String {
    let several = places
        .iter()
        .any(|place| place.credential != places[0].credential);
    let of = |outcome| -> Vec<&Place> { places.iter().filter(|p| p.outcome == outcome).collect() };
    let names = |places: &[&Place]| {
        let mut names: Vec<String> = places.iter().map(|place| name(place, several)).collect();
        names.dedup();
        terms::list(&names, "and")
    };
    let (good, bad, unknown) = (
        of(Outcome::Passes),
        of(Outcome::Fails),
        of(Outcome::Unknown),
    );
    let mut text = match (good.as_slice(), bad.as_slice()) {
        ([], []) => format!("Can't tell whether {shown} would pass."),
        ([_], []) => format!("{shown} would pass from {}.", names(&good)),
        (_, []) => format!("{shown} would pass, from {}.", names(&good)),
        ([], _) => format!(
            "{shown} would not pass: {} from {}.",
            reasons(bad.iter().copied()),
            names(&bad)
        ),
        _ => format!(
            "{shown} would pass from {}, but not from {}: {}.",
            names(&good),
            names(&bad),
            reasons(bad.iter().copied())
        ),
    };
    if !bad.is_empty() {
        text.push_str(&compared(&bad));
    }
    if !unknown.is_empty() {
        let more = format!(
            " From {} our own side fails, so that says nothing about it.",
            names(&unknown)
        );
        text.push_str(&more);
    }
    text
}

/// What the configured clients met where the new one was turned away.
fn compared(bad: &[&Place]) -> String {
    let mut passed: Vec<String> = bad
        .iter()
        .flat_map(|place| place.others_passed.iter().map(|name| format!("`{name}`")))
        .collect();
    passed.sort();
    passed.dedup();
    let alone = bad.iter().all(|place| !place.others_passed.is_empty());
    let everybody = bad
        .iter()
        .all(|place| place.others_passed.is_empty() && !place.others_failed.is_empty());
    if alone {
        format!(
            " There {} {}, so it is the new client that is refused.",
            terms::list(&passed, "and"),
            if passed.len() == 1 { "passes" } else { "pass" }
        )
    } else if everybody {
        " The configured clients fail there too, so it is not the new client alone.".to_owned()
    } else {
        String::new()
    }
}

pub(super) fn reasons<'a>(bad: impl IntoIterator<Item = &'a Place>) -> String {
    let mut reasons: Vec<String> = bad.into_iter().map(|place| place.got.clone()).collect();
    reasons.sort();
    reasons.dedup();
    terms::list(&reasons, "or")
}

fn name(place: &Place, several: bool) -> String {
    if several {
        format!("{} with {}", place.egress, place.credential)
    } else {
        place.egress.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(egress: &str, outcome: Outcome, others: &[(&str, bool)]) -> Place {
        let of = |passed: bool| {
            let names = others.iter().filter(|(_, p)| *p == passed);
            names.map(|(name, _)| ClientName::new(name)).collect()
        };
        Place {
            egress: egress.into(),
            credential: CredentialName::anonymous(),
            outcome,
            kind: Kind::EdgeBlock,
            got: "refused at the edge, Cloudflare 1010, HTTP 403".to_owned(),
            others_passed: of(true),
            others_failed: of(false),
        }
    }

    #[test]
    fn says_whose_fingerprint_is_whose() {
        let found = |rows: &[(&str, &[&str])]| -> Vec<(String, Vec<ClientName>)> {
            let row = |(ja4, names): &(&str, &[&str])| {
                (
                    (*ja4).to_owned(),
                    names.iter().map(|name| ClientName::new(name)).collect(),
                )
            };
            rows.iter().map(row).collect()
        };
        let check = |rows: &[(&str, &[&str])], expected: &str| {
            assert_eq!(told(&found(rows), &ClientName::new("try")), expected);
        };
        check(&[], "");
        check(&[("a", &["web"])], "");
        check(
            &[("a", &["try"]), ("b", &["web"]), ("c", &["x", "y"])],
            " It sends the TLS fingerprint (JA4) `a`; `web` sends `b`; `x` and `y` send `c`.",
        );
        check(
            &[("a", &["jvm", "try"])],
            " It sends the TLS fingerprint (JA4) `a`, as `jvm`.",
        );
    }

    #[test]
    fn says_whether_and_from_where() {
        use Outcome::{Fails, Passes, Unknown};
        let check = |places: &[Place], expected: &str| {
            assert_eq!(sentence(places, "\"Java/21.0.2\""), expected);
        };
        check(&[], "Can't tell whether \"Java/21.0.2\" would pass.");
        check(
            &[met("de1", Passes, &[])],
            "\"Java/21.0.2\" would pass from de1.",
        );
        check(
            &[met("de1", Passes, &[]), met("us1", Passes, &[])],
            "\"Java/21.0.2\" would pass, from de1 and us1.",
        );
        check(
            &[met("de1", Fails, &[("modern", true), ("legacy", false)])],
            "\"Java/21.0.2\" would not pass: refused at the edge, Cloudflare 1010, HTTP 403 from de1. \
             There `modern` passes, so it is the new client that is refused.",
        );
        check(
            &[
                met("de1", Passes, &[]),
                met("us1", Fails, &[("modern", false)]),
            ],
            "\"Java/21.0.2\" would pass from de1, but not from us1: refused at the edge, Cloudflare 1010, HTTP 403. \
             The configured clients fail there too, so it is not the new client alone.",
        );
        check(
            &[met("de1", Passes, &[]), met("us1", Unknown, &[])],
            "\"Java/21.0.2\" would pass from de1. From us1 our own side fails, so that says nothing about it.",
        );
    }
}
