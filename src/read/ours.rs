//! What edgewatch's own limits and choices leave open, with the key that lifts them.
//!
//! A body of which only the start was kept, a redirect that is not followed and a coding that can't be undone
//! look like a wrong answer of the partner, so each says whose choice it is and what would tell more.

use url::Url;

use super::expect::Facts;
use crate::domain::condition::Condition;
use crate::domain::observation::{Answer, FailureKind, Observation};
use crate::domain::probe::{Probe, Redirects};
use crate::domain::verdict::{Evidence, Maker, Strength, Verdict, WhoActs};

/// Characters of an address that is quoted.
const ADDRESS_CHARS_MAX: usize = 120;

/// Adds to an answer that is not as asked what of it may be our own doing.
pub(super) fn say(
    verdict: &mut Verdict,
    probe: &Probe,
    facts: &Facts<'_>,
    observation: &Observation,
    answer: &Answer,
) {
    let conditions = &probe.expect.conditions.0;
    let (content, others): (Vec<&Condition>, Vec<&Condition>) = conditions
        .iter()
        .partition(|condition| is_content(condition));
    if let Some(said) = cut(answer).filter(|_| !content.is_empty()) {
        verdict.evidence.push(Evidence::new(Strength::Proof, said));
        // Whether the rest is as asked nobody has seen.
        let good = (200..300).contains(&answer.status)
            || conditions.iter().any(|c| matches!(c, Condition::Status(_)));
        if good && others.iter().all(|other| facts.failure(other).is_none()) {
            verdict.maker = Maker::OurSide;
            verdict.who_acts = WhoActs::Visitor;
            verdict.code = Some(FailureKind::Limit.as_str().to_owned());
        }
    }
    if let Some(said) = coded(answer).filter(|_| !content.is_empty()) {
        verdict.maker = Maker::Unknown;
        verdict.evidence.push(Evidence::new(Strength::Strong, said));
    }
    if facts.is_over() {
        // What takes too much to read may be anything, and nobody's doing.
        verdict.maker = Maker::Unknown;
        verdict.code = Some(FailureKind::Limit.as_str().to_owned());
    }
    if let Some(said) = unfollowed(probe, observation, answer) {
        verdict.maker = Maker::Unknown;
        verdict.evidence.push(Evidence::new(Strength::Proof, said));
    }
}

/// Whether a condition is about the content.
pub(super) fn is_content(condition: &Condition) -> bool {
    matches!(
        condition,
        Condition::Body(_) | Condition::Json { .. } | Condition::Xml(_)
    )
}

/// That only the start of the body was kept, when it was: what was not found may stand behind it.
fn cut(answer: &Answer) -> Option<String> {
    answer.body.truncated.then(|| {
        format!(
            "our limit: only the first {} of the body were kept, and what was looked for may stand behind them; a \
             higher `body_limit:` of the probe would tell",
            size(answer.body.bytes.len())
        )
    })
}

/// That the content coding could not be undone.
fn coded(answer: &Answer) -> Option<String> {
    let error = answer.body.decode_error.as_deref()?;
    Some(format!(
        "the body could not be decoded ({error}), so it was looked at as it came; without an `Accept-Encoding` \
         header of ours it may come plain"
    ))
}

/// Why a redirect was not followed, and whereto it leads; queries are left out, as they hold session ids.
fn unfollowed(probe: &Probe, observation: &Observation, answer: &Answer) -> Option<String> {
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.header("location")?;
    let too_many = observation
        .failure
        .as_ref()
        .is_some_and(|failure| failure.kind == FailureKind::Redirects);
    if too_many {
        let cookies: Vec<&str> = answer
            .header_all("set-cookie")
            .filter_map(|cookie| Some(cookie.split_once('=')?.0.trim()))
            .collect();
        return (!cookies.is_empty()).then(|| {
            format!(
                "our choice: edgewatch keeps no cookies between redirects, and this one sets {}; a client that \
                 sends it back may get through, as one under `command:` or a `Cookie` header would tell",
                cookies.join(", ")
            )
        });
    }
    let from = observation
        .hops
        .last()
        .and_then(|hop| probe.url.join(&hop.url).ok()?.join(&hop.location).ok())
        .unwrap_or_else(|| probe.url.clone());
    let Ok(to) = from.join(location) else {
        return Some(format!(
            "the redirect is not followed: {:?} is no address",
            shown(location)
        ));
    };
    let whereto = address(&to);
    Some(match probe.redirects {
        Redirects::No => {
            format!(
                "our choice: redirects are not followed (`redirects: no`); this one leads to {whereto}"
            )
        }
        _ if from.scheme() == "https" && to.scheme() == "http" => format!(
            "our choice: a redirect from https to http is never followed; this one leads to {whereto}"
        ),
        Redirects::SameHost(_)
            if from.host() != to.host()
                || from.port_or_known_default() != to.port_or_known_default() =>
        {
            format!(
                "our choice: this redirect leads to another host, {whereto}, and is not followed (`redirects: \
             same_host`); `redirects: any` would tell what is there"
            )
        }
        _ => format!("the redirect to {whereto} is not followed"),
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
    text.chars().take(ADDRESS_CHARS_MAX).collect()
}

fn size(bytes: usize) -> String {
    if bytes >= 1024 {
        format!("{} KiB", bytes / 1024)
    } else {
        format!("{bytes} bytes")
    }
}
