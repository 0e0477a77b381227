//! What a message about an incident says, in words.
//!
//! Every sentence must be true of what was seen: "from every egress" only when a failure from each was
//! seen, a cause only when the receiver's own bound of confidence allows one, and a vendor's code as the
//! vendor's. The layout is the receiver's business.

mod advice;
mod before;
mod beside;
mod door;
mod filter;
mod greeting;
mod headline;
mod parts;
mod paths;
mod plain;
mod range;
mod reasons;
mod ruled_out;
mod split;
mod stack;
mod story;

use jiff::Timestamp;

use super::evidence::cut;
use crate::domain::cell::CellKey;
use crate::domain::condition::{Compare, Condition, status_words};
use crate::domain::incident::{Incident, State, Subject};
use crate::domain::notification::{Briefing, CellLine, Engineers, IT_WAS};
use crate::domain::plan::Plan;
use crate::domain::probe::{Contact, Words};
use crate::domain::verdict::Kind;
use crate::words::terms;
pub use plain::IN_DOUBT;
use story::Story;

const CELL_LINES_MAX: usize = 40;
const SENTENCE_CHARS_MAX: usize = 400;

/// Who asks for less than even odds is also told what it may be; who asks for more, only what it is.
pub const GUESSES_BELOW: f64 = 0.5;

/// For whom, and when, an incident is put in words.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// No cause is named below this confidence; between 0 and 1.
    pub min_confidence: f64,
    /// When the next message is promised, if one is.
    pub next_update_at: Option<Timestamp>,
}

/// Puts an incident in words.
#[must_use]
pub fn write(plan: &Plan, incident: &Incident, view: View) -> Briefing {
    let story = Story::new(plan, incident, view);
    let open = incident.state == State::Open;
    let bound = |text: String| cut(&text, SENTENCE_CHARS_MAX);
    // Where only our own checks are turned away, no user is known to be.
    let words = if story.own_rate() {
        let contact = contact(plan, incident);
        Words {
            contact,
            ..Words::default()
        }
    } else {
        words_of(plan, incident)
    };
    Briefing {
        service: story.service().to_owned(),
        incident: incident.number,
        state: incident.state,
        our_side: story.our_side(),
        subject: match &incident.subject {
            Subject::Host(name) | Subject::Partner(name) | Subject::Site(name) => name.clone(),
            Subject::Vendor(name) => terms::vendor(name).unwrap_or_default(),
            Subject::OurNetwork => "our network".to_owned(),
        },
        probes: incident.probes.iter().map(ToString::to_string).collect(),
        kind: incident.kind,
        headline: bound(match incident.state {
            State::Open => story.headline(),
            State::Resolved => format!("{}{IT_WAS}{}", story.over(), story.statement()),
            State::Unwatched => story.unwatched(),
        }),
        because: story.because().into_iter().map(bound).collect(),
        ruled_out: story.ruled_out().into_iter().map(bound).collect(),
        next_step: open.then(|| story.next_step()).flatten().map(bound),
        confidence: if story.named() {
            incident.diagnosis.confidence
        } else {
            0.0
        },
        cause_known: story.named(),
        onset_at: incident.onset_at,
        opened_at: incident.opened_at,
        resolved_at: incident.resolved_at,
        spells: incident.spells.clone(),
        before: story.before().filter(|_| open),
        reopened: incident.reopened,
        returns: incident.returns(),
        watched_again: false,
        engineers: Engineers::Told,
        back_since: back_since(incident),
        failed_runs: incident.failed_runs,
        cells: cells(incident),
        expected: expected(plan, incident),
        got: story.got(),
        last_good_at: incident.last_good_at,
        failing: incident.failing.clone(),
        passing: incident.passing.clone(),
        reference_ids: incident.reference_ids.clone(),
        words,
        beside: story.beside().into_iter().map(bound).collect(),
        acknowledged: incident.acknowledged.clone(),
        plain: story.plain(),
        during: incident.telling.during.clone(),
        muted: incident.telling.muted.clone().filter(|_| open),
        held_back: Vec::new(),
        zone: plan.zone.iana_name().unwrap_or("UTC").to_owned(),
        next_update_at: view.next_update_at,
    }
}

/// The headline alone, as the timeline has it: the cause is named however sure.
#[must_use]
pub fn headline(plan: &Plan, incident: &Incident) -> String {
    let view = View {
        min_confidence: 0.0,
        next_update_at: None,
    };
    cut(
        &Story::new(plan, incident, view).headline(),
        SENTENCE_CHARS_MAX,
    )
}

/// The matrix for people, failing cells first.
fn cells(incident: &Incident) -> Vec<CellLine> {
    let line = |cell: &CellKey, kind, failing| CellLine {
        cell: cell_name(incident, cell),
        kind,
        failing,
    };
    let (failing, back): (Vec<_>, Vec<_>) = incident.cells.iter().partition(|cell| cell.failing);
    let member = |cell: &CellKey| incident.cells.iter().any(|m| m.cell == *cell);
    let failing = failing.iter().map(|m| line(&m.cell, m.kind, true));
    let back = back.iter().map(|m| line(&m.cell, Kind::Pass, false));
    let passing = incident
        .diagnosis
        .passing
        .iter()
        .take(CELL_LINES_MAX)
        .filter(|cell| !member(cell))
        .map(|cell| line(cell, Kind::Pass, false));
    failing
        .chain(back)
        .chain(passing)
        .take(CELL_LINES_MAX)
        .collect()
}

/// A cell in short: the probe only where there are several.
fn cell_name(incident: &Incident, cell: &CellKey) -> String {
    let mut name = format!("{} from {}", cell.client, cell.egress);
    if !cell.credential.is_anonymous() {
        name = format!("{name} with {}", cell.credential);
    }
    let probes = || {
        incident
            .cells
            .iter()
            .map(|m| &m.cell)
            .chain(&incident.diagnosis.passing)
    };
    if probes().any(|other| other.probe != cell.probe) {
        name = format!("{}: {name}", cell.probe);
    }
    name
}

/// What the probe asks of an answer, in short.
fn expected(plan: &Plan, incident: &Incident) -> String {
    let probe = incident
        .failing
        .as_ref()
        .map(|specimen| &specimen.cell.probe)
        .or_else(|| incident.probes.first())
        .and_then(|name| plan.probe(name));
    let Some(probe) = probe else {
        return "HTTP 200 to 299".to_owned();
    };
    if let Some(kind) = probe.expect.verdict
        && kind != Kind::Pass
    {
        return format!("verdict {kind}");
    }
    let conditions = &probe.expect.conditions.0;
    let mut parts: Vec<String> = conditions.iter().map(condition).collect();
    if !conditions.iter().any(|c| matches!(c, Condition::Status(_))) {
        parts.insert(0, "HTTP 200 to 299".to_owned());
    }
    cut(&parts.join(", "), SENTENCE_CHARS_MAX)
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Status(ranges) => {
            format!("HTTP {}", terms::list(&status_words(ranges), "or"))
        }
        Condition::Header { name, value: None } => format!("header {name}"),
        Condition::Header {
            name,
            value: Some(value),
        } => format!("header {name} {value}"),
        Condition::Body(text) => format!("body {text}"),
        Condition::Json { path, compare } => match compare {
            Compare::Exists => format!("JSON {path} exists"),
            Compare::Equals(value) => format!("JSON {path} is {value}"),
            Compare::NotEquals(value) => format!("JSON {path} is not {value}"),
        },
        Condition::Xml(xpath) => format!("XML {}", xpath.text()),
        Condition::Latency(most) => format!("within {} ms", most.as_millis()),
        Condition::Fresh(most) => format!("no copy older than {} s", most.as_secs()),
        Condition::Sha256(digest) => format!("body with SHA-256 {digest}"),
        Condition::CertificateDays(days) => format!("certificate valid for {days} days"),
        Condition::Http(version) => format!("HTTP/{}", version.as_str()),
    }
}

/// What users of all the probes are told: each thing once, in the order of the file.
fn words_of(plan: &Plan, incident: &Incident) -> Words {
    let probes = incident.probes.iter().filter_map(|name| plan.probe(name));
    let all: Vec<&Words> = probes.map(|probe| &probe.words).collect();
    let each = |of: fn(&Words) -> Option<&String>| {
        let mut texts: Vec<String> = Vec::new();
        for text in all.iter().filter_map(|words| of(words)) {
            if !texts.contains(text) {
                texts.push(text.clone());
            }
        }
        texts
    };
    let list = |texts: &[String]| (!texts.is_empty()).then(|| terms::list(texts, "and"));
    let in_turn = |texts: &[String]| (!texts.is_empty()).then(|| texts.join(". "));
    Words {
        what: list(&each(|words| words.what.as_ref())),
        affects: list(&somebody(each(|words| words.affects.as_ref()))),
        workaround: in_turn(&each(|words| words.workaround.as_ref())),
        tell: in_turn(&each(|words| words.tell.as_ref())),
        contact: contact(plan, incident),
    }
}

/// Whom it affects: nobody, only where it is nobody by every probe.
fn somebody(affected: Vec<String>) -> Vec<String> {
    let nobody = |text: &String| {
        let first = text.split(|c: char| !c.is_alphanumeric()).next();
        first.is_some_and(|word| {
            ["nobody", "none"]
                .iter()
                .any(|no| word.eq_ignore_ascii_case(no))
        })
    };
    let others: Vec<String> = affected.iter().filter(|t| !nobody(t)).cloned().collect();
    if others.is_empty() { affected } else { others }
}

/// Of the first probe that has one; of several, messages name one.
fn contact(plan: &Plan, incident: &Incident) -> Contact {
    let probes = incident.probes.iter().filter_map(|name| plan.probe(name));
    let mut contacts = probes.map(|probe| &probe.words.contact);
    let found = contacts.find(|contact| !contact.is_empty());
    found.cloned().unwrap_or_default()
}

/// When what came back began to fail this time.
fn back_since(incident: &Incident) -> Option<Timestamp> {
    if incident.reopened == 0 || incident.state != State::Open {
        return None;
    }
    let failing = incident.cells.iter().filter(|member| member.failing);
    failing.map(|member| member.since).min()
}

#[cfg(test)]
mod tests {
    use super::somebody;

    #[test]
    fn nobody_is_affected_only_where_nobody_is() {
        let check = |given: &[&str], expected: &[&str]| {
            let given = given.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(somebody(given), expected);
        };
        check(
            &["Nobody", "Finance", "Customers at the till"],
            &["Finance", "Customers at the till"],
        );
        check(&["nobody, for now", "Finance"], &["Finance"]);
        check(&["Nobody"], &["Nobody"]);
        check(&["Nonesuch Ltd", "Finance"], &["Nonesuch Ltd", "Finance"]);
    }
}
