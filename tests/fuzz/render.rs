//! Every text that an incident becomes, made of a run or of any words: what comes out moves and hides nothing.

use edgewatch::domain::notification::{Briefing, Reason, Templates, named};
use edgewatch::domain::observation::Observation;
use edgewatch::domain::plan::Plan;
use edgewatch::domain::secret::Secrets;
use edgewatch::domain::shown::is_unsafe;
use edgewatch::domain::verdict::Verdict;
use edgewatch::notify::{Message, alertmanager, log, pagerduty, plain, teams, webhook};
use edgewatch::words::evidence::specimen;
use jiff::Timestamp;

fn briefing() -> Briefing {
    serde_json::from_str(include_str!("briefing.json")).expect("a briefing")
}

/// What is told of this run.
pub(super) fn run(plan: &Plan, seen: &Observation, verdict: &Verdict) {
    let mut told = briefing();
    told.because = verdict
        .evidence
        .iter()
        .map(|sign| sign.text.clone())
        .collect();
    told.reference_ids = verdict.reference_id.iter().cloned().collect();
    told.failing = specimen(plan, &Secrets::default(), seen, verdict);
    rendered(&told);
}

/// The words of a briefing in which strangers have a part, all of them these.
pub(super) fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let mut told = briefing();
    told.headline.push_str(&text);
    told.got.clone_from(&text);
    told.because = vec![text.clone()];
    told.ruled_out = vec![text.clone()];
    told.beside = vec![text.clone()];
    told.reference_ids = vec![text.clone()];
    told.next_step = Some(text);
    rendered(&told);
}

fn rendered(briefing: &Briefing) {
    for reason in [Reason::Opened, Reason::Changed, Reason::Resolved] {
        let now = Timestamp::UNIX_EPOCH;
        let message = Message {
            delivery: named(now, &[]),
            reason,
            briefing,
            happened_at: now,
            now,
            late: false,
            whole: false,
            plain: false,
            repeat: false,
            note: None,
        };
        let alert = alertmanager::standing(&message, &[], None).alert(now);
        for value in [
            teams::payload(&message),
            webhook::payload(&message),
            pagerduty::payload(&message),
            alert,
        ] {
            each(&value);
        }
        harmless(&plain::text(&message, &Templates::default()));
        harmless(&log::text_with_evidence(&message));
    }
}

fn each(value: &serde_json::Value) {
    match value {
        serde_json::Value::String(text) => harmless(text),
        serde_json::Value::Array(list) => list.iter().for_each(each),
        serde_json::Value::Object(members) => members.values().for_each(each),
        _ => {}
    }
}

fn harmless(text: &str) {
    let found = text.chars().find(|c| *c != '\n' && is_unsafe(*c));
    assert!(found.is_none(), "{found:?} in {text:?}");
}
