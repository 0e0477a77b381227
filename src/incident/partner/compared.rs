//! What the failing answers say when they are laid side by side: that keys aren't read, and that a sibling gets through.
//!
//! A refusal that reads the same with a key, with another and with none was not made by whoever reads keys: new
//! keys change nothing. And an error that the application itself made for another path shows that the edge
//! lets us through there, although it is no pass.

use std::collections::BTreeMap;

use crate::domain::cell::{CellKey, CredentialName};
use crate::domain::diagnosis::RuledOut;
use crate::domain::incident::Specimen;
use crate::domain::verdict::{Factor, Maker};
use crate::words::terms;

/// Different keys whose refusals are alike, so that it can't be that one of them is wrong.
const KEYS_MIN: usize = 2;

/// What the kept failing answers rule out of an incident with these cells.
pub(super) fn ruled_out(
    kept: &BTreeMap<CellKey, Specimen>,
    failing: &[CellKey],
    passing: &[CellKey],
) -> Vec<RuledOut> {
    let of_incident = || failing.iter().filter_map(|key| kept.get(key));
    let keys = unread_keys(of_incident(), passing);
    let through = gets_through(of_incident(), kept, failing);
    keys.into_iter().chain(through).collect()
}

/// Keys that make no difference: the same refusal with several, or with one that passes elsewhere, and with none.
fn unread_keys<'a>(
    answers: impl Iterator<Item = &'a Specimen>,
    passing: &[CellKey],
) -> Option<RuledOut> {
    let mut groups: BTreeMap<_, Vec<&Specimen>> = BTreeMap::new();
    for answer in answers.filter(|answer| answer.verdict.kind.is_refusal()) {
        let cell = &answer.cell;
        let asked = (&cell.probe, &cell.egress, &cell.client);
        groups.entry(asked).or_default().push(answer);
    }
    let works = |name: &CredentialName| passing.iter().any(|cell| cell.credential == *name);
    let mut keys: Vec<String> = groups.into_values().find_map(|group| {
        let none = *group.iter().find(|a| a.cell.credential.is_anonymous())?;
        let keys: Vec<&CredentialName> = group
            .iter()
            .filter(|answer| !answer.cell.credential.is_anonymous())
            .map(|answer| &answer.cell.credential)
            .collect();
        let alike = group.iter().all(|answer| is_alike(answer, none));
        let enough = keys.len() >= KEYS_MIN || keys.iter().any(|key| works(key));
        let named = keys.iter().map(|key| format!("with `{key}`"));
        (alike && enough).then(|| named.collect())
    })?;
    keys.push("with none".to_owned());
    Some(RuledOut {
        factor: Factor::Credential,
        because: format!(
            "the same answer {}: keys aren't read where it is refused, so don't rotate them",
            terms::list(&keys, "and")
        ),
        failing: None,
        passing: None,
    })
}

/// Whether two refusals are the same but for what differs with every request.
fn is_alike(one: &Specimen, other: &Specimen) -> bool {
    let facts = |answer: &Specimen| {
        let verdict = &answer.verdict;
        let words: String = answer
            .excerpt
            .iter()
            .flat_map(|text| text.split_whitespace())
            .filter(|word| !word.contains(|c: char| c.is_ascii_digit()))
            .collect();
        let (vendor, code) = (verdict.vendor.to_string(), verdict.code.clone());
        (
            answer.status,
            verdict.kind,
            verdict.maker,
            vendor,
            code,
            words,
        )
    };
    one.status.is_some() && facts(one) == facts(other)
}

/// Another path of the host where the application itself answers, if an edge refuses these.
fn gets_through<'a>(
    mut answers: impl Iterator<Item = &'a Specimen>,
    kept: &BTreeMap<CellKey, Specimen>,
    failing: &[CellKey],
) -> Option<RuledOut> {
    let refused =
        answers.find(|a| a.verdict.kind.is_edge_refusal() && a.verdict.maker == Maker::Edge)?;
    let host = |answer: &Specimen| answer.url.split('/').nth(2).map(str::to_owned);
    let by_application = |answer: &&Specimen| {
        answer.verdict.is_applications_own_error()
            && answer.cell.probe != refused.cell.probe
            && host(answer) == host(refused)
            && !failing.contains(&answer.cell)
    };
    let sibling = kept.values().find(by_application)?;
    let status = sibling
        .status
        .map_or_else(String::new, |status| format!(" ({status})"));
    Some(RuledOut {
        factor: Factor::Host,
        because: format!(
            "`{}` gets an error of the application's own{status}, so it gets through there",
            sibling.cell.probe
        ),
        failing: None,
        passing: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::verdict::{Evidence, Kind, Strength, Verdict};

    fn cell(probe: &str, credential: &str) -> CellKey {
        CellKey {
            probe: probe.into(),
            egress: "e1".into(),
            client: "java".into(),
            credential: credential.into(),
        }
    }

    fn answer(cell: CellKey, status: u16, kind: Kind, maker: Maker, words: &str) -> Specimen {
        let mut verdict = Verdict::new(kind, maker);
        verdict.evidence = vec![Evidence::new(Strength::Strong, "its own mark")];
        Specimen {
            url: format!("https://api.example.org/{}", cell.probe),
            cell,
            at: jiff::Timestamp::UNIX_EPOCH,
            method: "GET".to_owned(),
            request_headers: Vec::new(),
            request_body: None,
            local: None,
            public: None,
            remote: None,
            resolved: Vec::new(),
            status: Some(status),
            http: None,
            response_headers: Vec::new(),
            excerpt: Some(words.to_owned()),
            body_sha256: None,
            failure: None,
            took: std::time::Duration::ZERO,
            phases: Vec::new(),
            certificate: None,
            paths: Vec::new(),
            sent: None,
            verdict,
        }
    }

    fn found(answers: &[Specimen], failing: &[CellKey], passing: &[CellKey]) -> Vec<String> {
        let kept = answers
            .iter()
            .map(|a| (a.cell.clone(), a.clone()))
            .collect();
        let found = ruled_out(&kept, failing, passing).into_iter();
        found.map(|pair| pair.because).collect()
    }

    #[test]
    fn keys_that_make_no_difference_are_not_read() {
        let none = CredentialName::anonymous().to_string();
        let refused = |key: &str, status, words: &str| {
            answer(
                cell("a", key),
                status,
                Kind::OriginDenied,
                Maker::Unknown,
                words,
            )
        };
        let check =
            |name: &str, answers: &[Specimen], passing: &[CellKey], expected: Option<&str>| {
                let failing: Vec<CellKey> = answers.iter().map(|a| a.cell.clone()).collect();
                let said = found(answers, &failing, passing);
                assert_eq!(said.first().map(String::as_str), expected, "{name}");
            };
        let no = "Forbidden, request 17-a";
        check(
            "right, wrong and none",
            &[
                refused("right", 403, "Forbidden, request 18-b"),
                refused("wrong", 403, no),
                refused(&none, 403, no),
            ],
            &[],
            Some(
                "the same answer with `right`, with `wrong` and with none: keys aren't read where it is refused, so don't rotate them",
            ),
        );
        check(
            "one that works elsewhere",
            &[refused("right", 403, no), refused(&none, 403, no)],
            &[cell("b", "right")],
            Some(
                "the same answer with `right` and with none: keys aren't read where it is refused, so don't rotate them",
            ),
        );
        check(
            "one that may be expired",
            &[refused("right", 403, no), refused(&none, 403, no)],
            &[],
            None,
        );
        check(
            "another status without a key",
            &[
                refused("right", 403, no),
                refused("wrong", 403, no),
                refused(&none, 401, no),
            ],
            &[],
            None,
        );
        check(
            "other words for a wrong key",
            &[
                refused("right", 403, no),
                refused("wrong", 403, "invalid key"),
                refused(&none, 403, no),
            ],
            &[],
            None,
        );
        check(
            "no run without a key",
            &[refused("right", 403, no), refused("wrong", 403, no)],
            &[],
            None,
        );
    }

    #[test]
    fn a_siblings_own_error_gets_through() {
        let edge = answer(
            cell("a", "key"),
            403,
            Kind::EdgeBlock,
            Maker::Edge,
            "blocked",
        );
        let own = |maker| {
            answer(
                cell("b", "key"),
                404,
                Kind::OriginError,
                maker,
                "no such order",
            )
        };
        let failing = [cell("a", "key")];
        let said = found(&[edge.clone(), own(Maker::Origin)], &failing, &[]);
        assert_eq!(
            said,
            ["`b` gets an error of the application's own (404), so it gets through there"]
        );
        // Nobody knows whose error it is, or it is part of the same trouble.
        assert!(found(&[edge.clone(), own(Maker::Unknown)], &failing, &[]).is_empty());
        let both = [cell("a", "key"), cell("b", "key")];
        assert!(found(&[edge, own(Maker::Origin)], &both, &[]).is_empty());
    }
}
