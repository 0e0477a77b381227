//! Reads an observation into a verdict: what happened, who made the answer, and by which evidence.
//!
//! In the order of what outweighs what: the operator's own signatures; what the edge itself says
//! (`signatures`); the partner's own codes (`meanings`); SOAP faults; gates in place of the
//! content; the status; and last whether the answer is as `expect` asks. An answer whose content is
//! what was asked for passes, whatever its markup looks like. A run that broke off is judged by its
//! failure, unless what arrived is clearly a refusal.

use std::borrow::Cow;

use jiff::Timestamp;

use super::expect::{self, Facts};
use super::failure::{broken_off, without_answer};
use super::ours::{self, is_content};
use super::patience::retry_after;
use super::signatures::page::Page;
use super::signatures::{self, Found, Place, Tier, gateway, generic, origin};
use crate::domain::condition::{Condition, Conditions};
use crate::domain::observation::{Answer, FailureKind, Observation};
use crate::domain::plan::OwnSignature;
use crate::domain::probe::{Meaning, Probe};
use crate::domain::shown;
use crate::domain::verdict::{Evidence, Factor, Kind, Maker, Rule, Strength, Verdict, WhoActs};
use crate::read::moment;
use crate::read::soap;
use crate::read::soft_block;
use crate::read::status;
use crate::read::unfollowed;
use crate::words::terms;

/// Evidence lines of a verdict.
const EVIDENCE_MAX: usize = 8;
/// Characters of an evidence line.
const EVIDENCE_CHARS_MAX: usize = 240;

/// Bytes of a body whose reading is a matter of microseconds.
const LIGHT: usize = 16 * 1024;
/// The same, where queries are run on it.
const LIGHT_QUERIED: usize = 1024;

/// Whether reading a run may take long enough to hold up whatever else its thread does.
///
/// Everything that reads a body is bounded in steps, to some 100 ms for the most hostile answers.
#[must_use]
pub fn is_heavy(probe: &Probe, own: &[OwnSignature], observation: &Observation) -> bool {
    let bytes = match &observation.answer {
        Some(answer) => answer.body.bytes.len(),
        None => 0,
    };
    bytes > LIGHT || (bytes > LIGHT_QUERIED && asks_for_text(probe, own))
}

/// Judges one run of a probe.
#[must_use]
pub fn classify(probe: &Probe, own: &[OwnSignature], observation: &Observation) -> Verdict {
    let verdict = match &observation.answer {
        Some(answer) => with_answer(probe, own, observation, answer),
        None => without_answer(observation.failure.as_ref()),
    };
    tidy(as_watched(verdict, probe.expect.verdict))
}

/// Judges a saved answer, of which only the status can be expected.
#[must_use]
pub fn classify_answer(answer: &Answer) -> Verdict {
    let page = Page::new(answer);
    let verdict = match by_signs(&page) {
        Some(found) => of_edge(&page, found),
        None => behind_the_edge(&page),
    };
    tidy(fronted(&page, verdict, None))
}

/// Whoever refuses by signs of its own: by name, or by what its page says of itself.
fn by_signs(page: &Page<'_>) -> Option<Found> {
    signatures::recognise(page).or_else(|| generic::read(page))
}

fn with_answer(
    probe: &Probe,
    own: &[OwnSignature],
    observation: &Observation,
    answer: &Answer,
) -> Verdict {
    let text = if asks_for_text(probe, own) {
        expect::text(observation)
    } else {
        Cow::Borrowed("")
    };
    let facts = Facts::new(observation, &text);
    let page = Page::new(answer);
    // When the answer was there, by our clock.
    let now = observation.started_at.checked_add(observation.took).ok();
    if let Some(signature) = own
        .iter()
        .find(|own| !own.when.0.is_empty() && facts.hold(&own.when))
    {
        return fronted(&page, of_own(signature, &page, &text), now);
    }
    let failures = failures(probe, &facts);
    let found = by_signs(&page);
    let by_edge = found.filter(|found| {
        // The content that was asked for, or the application's own mark, outweighs all but a header of the edge.
        found.tier == Tier::Header
            || !(shows_origin(probe, &facts) || (failures.is_empty() && content_holds(probe)))
    });
    // A weak sign gives way to the partner's own codes, and to an expectation that holds.
    let clear = |found: &Found| found.strength <= Strength::Strong;
    let meaning = meaning(probe, &facts);
    let by_edge =
        by_edge.filter(|found| clear(found) || (meaning.is_none() && !failures.is_empty()));
    let verdict = by_edge.map(|found| of_edge(&page, found));
    // What arrived before a run broke off is worth a verdict only when it is clear.
    if verdict.is_none()
        && let Some(failure) = &observation.failure
        && failure.kind != FailureKind::Redirects
    {
        return fronted(&page, broken_off(failure, answer), now);
    }
    let mut verdict = verdict.unwrap_or_else(|| match meaning {
        Some(meaning) => of_meaning(meaning, &page),
        None => judged(probe, &facts, &page, observation, failures),
    });
    moment::doubt(&mut verdict, &page, observation);
    verdict.kept = moment::copy(&page).filter(|_| !asks_for_age(probe));
    fronted(&page, verdict, now)
}

/// The first of the partner's own codes that the answer carries.
fn meaning<'p>(probe: &'p Probe, facts: &Facts<'_>) -> Option<&'p Meaning> {
    probe
        .meanings
        .iter()
        .find(|meaning| !meaning.when.0.is_empty() && facts.hold(&meaning.when))
}

/// The verdict of an answer that neither the table nor the partner's codes explain.
fn judged(
    probe: &Probe,
    facts: &Facts<'_>,
    page: &Page<'_>,
    observation: &Observation,
    failures: Vec<(String, bool)>,
) -> Verdict {
    let mut verdict = behind_the_edge(page);
    // A gate, or a limit or refusal that the answer's own data speaks of.
    let in_data = matches!(verdict.kind, Kind::RateLimited | Kind::OriginDenied);
    let is_refusal = verdict.kind == Kind::SoftBlock || in_data && page.status() < 400;
    if shows_origin(probe, facts) {
        verdict.maker = Maker::Origin;
        verdict.evidence.push(Evidence::new(
            Strength::Proof,
            "the mark of the partner's application is there",
        ));
    } else if !probe.origin.0.is_empty() && verdict.kind != Kind::Pass {
        missing_origin(&mut verdict);
    }
    // Who watches for a verdict and asks for nothing else wants to know what else came.
    let watches = probe.expect.verdict.is_some() && probe.expect.conditions.0.is_empty();
    if failures.is_empty() && !watches {
        // A gate with a good status fulfils a bare expectation of the status, and is a gate all the same.
        if is_refusal && !content_holds(probe) {
            return verdict;
        }
        let maker = if content_holds(probe) {
            Maker::Origin
        } else {
            verdict.maker
        };
        let mut pass = Verdict::new(Kind::Pass, maker);
        let said = if probe.expect.conditions.0.is_empty() {
            format!("status {}, as expected", page.status())
        } else {
            "the answer is as expected".to_owned()
        };
        pass.evidence.push(Evidence::new(Strength::Strong, said));
        return pass;
    }
    let mild = failures.iter().all(|(_, mild)| *mild);
    let failures = failures.into_iter().map(|(failure, _)| failure);
    if verdict.kind == Kind::Pass && failures.len() > 0 && mild {
        let maker = if content_holds(probe) {
            Maker::Origin
        } else {
            verdict.maker
        };
        verdict = Verdict::new(Kind::Warning, maker);
    } else if verdict.kind == Kind::Pass && failures.len() > 0 {
        verdict = unexpected(page, observation, verdict.maker);
        if verdict.kind == Kind::Unexpected {
            ours::say(&mut verdict, probe, facts, page.answer);
        }
    }
    for failure in failures {
        verdict
            .evidence
            .push(Evidence::new(Strength::Strong, failure));
    }
    if let Some(told) = unfollowed::told(probe, observation, page.answer) {
        let strength = if verdict.kind == Kind::Unexpected {
            // What is there nobody has seen.
            verdict.maker = Maker::Unknown;
            Strength::Proof
        } else {
            Strength::Strong
        };
        verdict.evidence.push(Evidence::new(strength, told));
    }
    if let Some(failure) = &observation.failure {
        verdict
            .evidence
            .push(Evidence::new(Strength::Strong, failure.message.as_str()));
    }
    verdict
}

/// The operator said how an answer of the application is known, and this one has no such mark.
fn missing_origin(verdict: &mut Verdict) {
    let proven = verdict
        .evidence
        .iter()
        .any(|sign| sign.strength == Strength::Proof);
    if verdict.maker == Maker::Origin && !proven {
        verdict.maker = Maker::Unknown;
    }
    verdict.evidence.push(Evidence::new(
        Strength::Strong,
        "the mark that `origin:` asks for is missing: what answered may stand in front of what sets it",
    ));
}

/// Answered, but not as asked; a page that wants a password in place of what was asked is a gate.
fn unexpected(page: &Page<'_>, observation: &Observation, maker: Maker) -> Verdict {
    let sent_to_login = observation
        .hops
        .last()
        .filter(|hop| soft_block::is_login(&hop.location));
    let sign = match sent_to_login {
        Some(hop) => {
            let to = hop.location.split(['?', '#']).next().unwrap_or_default();
            Some(format!("redirected to a login page, {to}"))
        }
        None if soft_block::asks_for_password(page) => {
            Some("the page asks for a password in place of what was expected".to_owned())
        }
        None => None,
    };
    match sign {
        Some(sign) => soft_block(Rule::Login, sign, maker),
        None => Verdict::new(Kind::Unexpected, maker),
    }
}

fn soft_block(rule: Rule, sign: String, maker: Maker) -> Verdict {
    let mut verdict = Verdict::new(Kind::SoftBlock, maker);
    verdict.rule = rule;
    verdict.who_acts = match rule {
        // What it asks for only its visitor has.
        Rule::Login | Rule::Consent => WhoActs::Visitor,
        _ => WhoActs::VisitorOrSiteOwner,
    };
    verdict.evidence.push(Evidence::new(Strength::Strong, sign));
    verdict
}

/// The failed conditions, and which of them leave an answer right; without one on the status, 200 to 299 is asked for.
fn failures(probe: &Probe, facts: &Facts<'_>) -> Vec<(String, bool)> {
    let expect = &probe.expect;
    let asks_status = expect
        .conditions
        .0
        .iter()
        .any(|c| matches!(c, Condition::Status(_)));
    let mut failures = Vec::new();
    if !asks_status && expect.verdict.is_none() {
        let status = facts.failure(&Condition::Status(vec![(200, 299)]));
        failures.extend(status.map(|failure| (failure, false)));
    }
    let each = expect.conditions.0.iter();
    failures.extend(each.filter_map(|condition| {
        let mild = matches!(
            condition,
            Condition::Latency(_) | Condition::CertificateDays(_)
        );
        Some((facts.failure(condition)?, mild && facts.has_answer()))
    }));
    failures
}

/// Whether what `expect` asks for includes content, so that holding means the content is right.
fn content_holds(probe: &Probe) -> bool {
    probe.expect.conditions.0.iter().any(is_content)
}

/// Whether the operator says how old a copy may be, so that an older one is a fault of its own.
fn asks_for_age(probe: &Probe) -> bool {
    let asks = |condition: &Condition| matches!(condition, Condition::Fresh(_));
    probe.expect.conditions.0.iter().any(asks)
}

/// Whether the partner's application shows its mark.
fn shows_origin(probe: &Probe, facts: &Facts<'_>) -> bool {
    !probe.origin.0.is_empty() && facts.hold(&probe.origin)
}

fn asks_for_text(probe: &Probe, own: &[OwnSignature]) -> bool {
    let asks = |conditions: &Conditions| conditions.0.iter().any(is_content);
    asks(&probe.expect.conditions)
        || asks(&probe.origin)
        || probe.meanings.iter().any(|meaning| asks(&meaning.when))
        || own
            .iter()
            .any(|own| asks(&own.when) || own.reference_id.is_some())
}

fn of_own(signature: &OwnSignature, page: &Page<'_>, text: &str) -> Verdict {
    let mut verdict = Verdict::new(signature.verdict, signature.maker);
    verdict.vendor = Cow::Owned(signature.vendor.clone());
    verdict.rule = signature.rule;
    verdict.who_acts = match signature.maker {
        Maker::Edge => WhoActs::SiteOwner,
        Maker::OurSide => WhoActs::Visitor,
        Maker::Origin | Maker::Unknown => WhoActs::None,
    };
    verdict.reference_id = signature.reference_id.as_ref().and_then(|pattern| {
        let first = |text: &str| {
            let found = pattern.captures(text)?;
            Some(found.get(1).or_else(|| found.get(0))?.as_str().to_owned())
        };
        first(text).or_else(|| {
            page.answer
                .headers
                .iter()
                .find_map(|(_, value)| first(value))
        })
    });
    verdict.evidence.push(Evidence::new(
        Strength::Proof,
        format!("own signature {}", signature.name),
    ));
    verdict.hints = hints(signature.rule);
    verdict
}

fn of_edge(page: &Page<'_>, found: Found) -> Verdict {
    let maker = match found.place {
        Place::Edge => Maker::Edge,
        Place::OurSide => Maker::OurSide,
        Place::InOrigin => Maker::Origin,
        Place::Unnamed => Maker::Unknown,
    };
    let mut verdict = Verdict::new(found.kind, maker);
    verdict.vendor = Cow::Borrowed(found.vendor);
    verdict.fronted_by = Cow::Borrowed(match found.place {
        Place::OurSide => "client_network",
        Place::InOrigin | Place::Unnamed => "none",
        Place::Edge => found.vendor,
    });
    verdict.rule = found.rule;
    verdict.code = found.code;
    verdict.reference_id = found.reference_id;
    verdict.who_acts = found.who;
    verdict.evidence = found.evidence;
    verdict.hints = hints(found.rule);
    if page.status() < 400 {
        verdict.evidence.push(Evidence::new(
            Strength::Presence,
            format!("the status {} says nothing of it", page.status()),
        ));
    }
    verdict
}

fn of_meaning(meaning: &Meaning, page: &Page<'_>) -> Verdict {
    let mut verdict = Verdict::new(meaning.verdict, Maker::Origin);
    verdict.rule = if meaning.verdict == Kind::OriginDenied {
        Rule::Unknown
    } else {
        Rule::None
    };
    let said = match &meaning.note {
        Some(note) => format!("the partner's own code: {note}"),
        None => format!(
            "the partner's own code for {} is in the answer",
            meaning.verdict
        ),
    };
    verdict.evidence.push(Evidence::new(Strength::Proof, said));
    verdict.evidence.push(Evidence::new(
        Strength::Presence,
        format!("status {}", page.status()),
    ));
    verdict.hints.clone_from(&meaning.factors);
    verdict
}

/// The verdict of an answer that no edge made: by SOAP fault, gate, limit and status.
///
/// What happened and who made it are two facts. The maker is the application only by a sign of its own;
/// a gateway or proxy before it is named; else nobody knows, and nobody is.
fn behind_the_edge(page: &Page<'_>) -> Verdict {
    let application = origin::application(page);
    let maker = if application.is_some() {
        Maker::Origin
    } else {
        Maker::Unknown
    };
    let mut verdict = if let Some(fault) = soap::fault(page) {
        of_fault(&fault)
    } else if let Some((rule, sign)) = soft_block::gate(page) {
        soft_block(rule, sign, maker)
    } else {
        status::verdict(page, maker)
    };
    if origin::relays_cloudflare(page) && verdict.kind != Kind::Pass {
        verdict.evidence.push(Evidence::new(
            Strength::Strong,
            "a Cloudflare page that came from behind the front: the origin has a Cloudflare of its own, or imitates it",
        ));
    }
    let faulted = verdict
        .evidence
        .iter()
        .any(|e| e.strength == Strength::Proof);
    // A fault is the application speaking, unless a gateway says in it that it is its own.
    let speaks = |gateway: &gateway::Gateway| {
        verdict.maker != Maker::OurSide && (!faulted || gateway.faults)
    };
    match gateway::named(page).filter(speaks) {
        Some(gateway) => {
            if gateway.vendor != "none" {
                verdict.maker = Maker::Unknown;
                verdict.vendor = Cow::Borrowed(gateway.vendor);
                verdict.reference_id = gateway
                    .id_header
                    .and_then(|name| page.header(name))
                    .map(|id| id.trim().to_owned());
            }
            verdict
                .evidence
                .push(Evidence::new(gateway.strength, gateway.says));
            verdict.evidence.extend(application);
        }
        None => match application.or_else(|| origin::answered(page)) {
            Some(sign) => verdict.evidence.push(sign),
            None if verdict.kind != Kind::Pass && verdict.maker == Maker::Unknown => {
                verdict.evidence.push(Evidence::new(
                    Strength::Weak,
                    "nothing in the answer tells who made it: neither an edge, nor a gateway, nor the application",
                ));
            }
            None => {}
        },
    }
    if verdict.hints.is_empty() {
        verdict.hints = hints(verdict.rule);
    }
    verdict
}

fn of_fault(fault: &soap::Fault) -> Verdict {
    let kind = if fault.denied {
        Kind::OriginDenied
    } else {
        Kind::OriginError
    };
    let mut verdict = Verdict::new(kind, Maker::Origin);
    verdict.rule = fault.rule;
    verdict.who_acts = match fault.rule {
        Rule::Auth => WhoActs::VisitorOrSiteOwner,
        _ => WhoActs::SiteOwner,
    };
    verdict.code = (!fault.code.is_empty()).then(|| fault.code.clone());
    verdict.evidence.push(Evidence::new(
        Strength::Proof,
        format!("SOAP fault {}: {}", fault.code, fault.text),
    ));
    verdict
}

/// Factors that a rule is about.
fn hints(rule: Rule) -> Vec<Factor> {
    match rule {
        Rule::Ip | Rule::Asn | Rule::Geo | Rule::ClientSideProxy => vec![Factor::Egress],
        Rule::UserAgent | Rule::BotChallenge => vec![Factor::Client],
        Rule::RateLimit => vec![Factor::Rate],
        Rule::Auth | Rule::Login | Rule::EdgeAuth | Rule::AccessPolicy => vec![Factor::Credential],
        Rule::HostMisconfig | Rule::OriginDns | Rule::OriginDown | Rule::OriginTls => {
            vec![Factor::Host]
        }
        _ => Vec::new(),
    }
}

/// Adds what every answer of a fronted site shows: the front, its id, its place, and how long to wait.
fn fronted(page: &Page<'_>, mut verdict: Verdict, now: Option<Timestamp>) -> Verdict {
    verdict.pop = origin::place(page);
    verdict.retry_after = retry_after(page, now).or(verdict.retry_after);
    verdict.evidence.extend(moment::told_copy(page));
    if verdict.maker == Maker::OurSide {
        return verdict;
    }
    if verdict.reference_id.is_none() {
        verdict.reference_id = origin::request_id(page);
    }
    if let Some((front, header)) = origin::front(page) {
        // Google's load balancer names itself in `via`, its firewall in the page: one front.
        let one = front == "google_frontend" && verdict.vendor == "google_cloud_armor";
        if !one {
            verdict.fronted_by = Cow::Borrowed(front);
        }
        if verdict.kind != Kind::Pass && verdict.vendor != front {
            verdict.evidence.push(Evidence::new(
                Strength::Presence,
                format!(
                    "{} is in front, by {header}; it is on every answer of this site",
                    terms::vendor(front).unwrap_or_default()
                ),
            ));
        }
    }
    verdict
}

/// Turns a verdict that is watched for into a pass, and a pass in its place into what nobody expected.
fn as_watched(mut verdict: Verdict, wanted: Option<Kind>) -> Verdict {
    let Some(wanted) = wanted else {
        return verdict;
    };
    if wanted == Kind::Pass {
        return verdict;
    }
    let said = if verdict.kind == wanted {
        verdict.kind = Kind::Pass;
        format!("{wanted}, which is normal here")
    } else if verdict.kind == Kind::Pass {
        verdict.kind = Kind::Unexpected;
        format!("expected {wanted}, got a pass")
    } else {
        format!("expected {wanted}, got {}", verdict.kind)
    };
    verdict
        .evidence
        .insert(0, Evidence::new(Strength::Proof, said));
    verdict
}

/// Bounds and cleans what came from outside, and puts the strongest evidence first.
fn tidy(mut verdict: Verdict) -> Verdict {
    verdict.evidence.sort_by_key(|evidence| evidence.strength);
    for evidence in &mut verdict.evidence {
        evidence.text = clean(&evidence.text, EVIDENCE_CHARS_MAX);
    }
    // Two signatures may read the same sign; it is one piece of evidence.
    let mut kept: Vec<Evidence> = Vec::new();
    for evidence in verdict.evidence {
        if !kept.iter().any(|k| repeats(&k.text, &evidence.text)) {
            kept.push(evidence);
        }
    }
    kept.truncate(EVIDENCE_MAX);
    verdict.evidence = kept;
    verdict.code = verdict.code.and_then(|code| shown::id(&code));
    verdict.reference_id = verdict.reference_id.and_then(|id| shown::id(&id));
    verdict
}

/// Whether `said` tells all that `text` does: the same words, perhaps with further signs after a comma.
fn repeats(said: &str, text: &str) -> bool {
    said.strip_prefix(text)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(", "))
}

/// Without control characters, in one line, of bounded length.
pub(super) fn clean(text: &str, chars_max: usize) -> String {
    let mut clean: String = text
        .chars()
        .map(|c| if shown::is_unsafe(c) { ' ' } else { c })
        .take(chars_max)
        .collect();
    if text.chars().nth(chars_max).is_some() {
        clean.push('…');
    }
    clean.trim().to_owned()
}

#[cfg(test)]
pub(crate) mod tests;
