//! What `PagerDuty` is sent, held against its documentation, and what its answers mean.

use std::collections::BTreeSet;
use std::time::Duration;

use edgewatch::domain::notification::{Channel, Reason, Receiver};
use edgewatch::domain::secret::Secret;
use edgewatch::notify::pagerduty::{PagerDuty, payload};
use edgewatch::notify::{Class, Message};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::endpoint::Endpoint;
use super::{PATIENCE, SHOWN, class, message, patience, receiver, without_cause};
use crate::fakes::Fault;
use crate::samples::{any_notification, cases, notification};
use crate::server::{Reply, Seen};

pub(crate) use crate::secrets::ROUTING_KEY as KEY;

/// Every reason why `PagerDuty` would refuse an event
/// (<https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>, 2026-11-22).
fn problems(event: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let action = event["event_action"].as_str().unwrap_or_default();
    if !["trigger", "acknowledge", "resolve"].contains(&action) {
        found.push("'event_action' is missing or wrong".to_owned());
    }
    let key = event["dedup_key"].as_str().unwrap_or_default();
    if key.is_empty() || key.chars().count() > 255 {
        found.push("'dedup_key' is missing or too long".to_owned());
    }
    let known = [
        "routing_key",
        "event_action",
        "dedup_key",
        "client",
        "client_url",
        "payload",
        "links",
        "images",
    ];
    let strange = event
        .as_object()
        .unwrap()
        .keys()
        .find(|k| !known.contains(&k.as_str()));
    found.extend(strange.map(|k| format!("{k:?} is not known")));
    if action == "trigger" {
        let payload = &event["payload"];
        let summary = payload["summary"].as_str().unwrap_or_default();
        if summary.is_empty() || summary.chars().count() > 1024 {
            found.push("'payload.summary' is missing or too long".to_owned());
        }
        if payload["source"].as_str().unwrap_or_default().is_empty() {
            found.push("'payload.source' is missing or blank".to_owned());
        }
        let severity = payload["severity"].as_str().unwrap_or_default();
        if !["critical", "error", "warning", "info"].contains(&severity) {
            found.push("'payload.severity' is missing or wrong".to_owned());
        }
        let at = payload["timestamp"].as_str().unwrap_or_default();
        if at.parse::<jiff::Timestamp>().is_err() {
            found.push("'payload.timestamp' is no time".to_owned());
        }
    }
    for link in event["links"].as_array().into_iter().flatten() {
        let href = link["href"].as_str().unwrap_or_default();
        if url::Url::parse(href).is_err() {
            found.push(format!("'links' has {href:?}"));
        }
    }
    if event.to_string().len() > 512 << 10 {
        found.push("over 512 KB".to_owned());
    }
    found
}

/// `PagerDuty` as its documentation has it.
pub(crate) fn rule(seen: &Seen) -> Reply {
    let Ok(event) = serde_json::from_slice::<Value>(&seen.body) else {
        return Reply::new(400);
    };
    let refuse = |errors: Value| {
        let body = json!({ "status": "invalid event", "message": "Event object is invalid", "errors": errors });
        Reply::new(400).body(body.to_string())
    };
    if seen.target != "/v2/enqueue" || seen.method != "POST" {
        return Reply::new(404);
    }
    if event["routing_key"] != KEY {
        return refuse(json!(["Invalid routing key"]));
    }
    let problems = problems(&event);
    if !problems.is_empty() {
        return refuse(json!(problems));
    }
    let body = json!({ "status": "success", "message": "Event processed", "dedup_key": event["dedup_key"] });
    Reply::new(202).body(body.to_string())
}

/// Keys of the alerts that stand open after these events.
pub(crate) fn open(events: &[Value]) -> BTreeSet<String> {
    let mut open = BTreeSet::new();
    for event in events {
        let key = event["dedup_key"].as_str().unwrap().to_owned();
        match event["event_action"].as_str().unwrap() {
            "trigger" => open.insert(key),
            _ => open.remove(&key),
        };
    }
    open
}

pub(super) fn to(endpoint: &Endpoint, fallback: Option<&str>) -> Receiver {
    let channel = Channel::PagerDuty {
        routing_key: Ok(Secret::new(KEY)),
        api: endpoint.url(""),
    };
    receiver("oncall", channel, fallback)
}

fn pagerduty(endpoint: &Endpoint, timeout: Duration) -> PagerDuty {
    PagerDuty::new(&endpoint.url(""), Secret::new(KEY), timeout).unwrap()
}

#[tokio::test]
async fn events_by_reason() {
    let endpoint = Endpoint::start(rule).await;
    let pagerduty = pagerduty(&endpoint, PATIENCE);
    for reason in SHOWN {
        let mut due = notification(reason, 0, "oncall");
        let workaround = "Use the web site: https://www.gmc.example/connect.";
        due.briefing.words.workaround = Some(workaround.into());
        pagerduty.tell(&message(&due)).await.unwrap();
        let event = payload(&message(&due));
        assert!(event.get("routing_key").is_none());
        insta::assert_json_snapshot!(format!("pagerduty_{}", reason.as_str()), event);
        let standing = open(&endpoint.bodies()).len();
        assert_eq!(
            standing,
            usize::from(reason != Reason::Resolved),
            "{reason:?}"
        );
    }
    let sent = endpoint.bodies();
    let keys: BTreeSet<&str> = sent
        .iter()
        .map(|e| e["dedup_key"].as_str().unwrap())
        .collect();
    assert_eq!(keys.len(), 1, "one alert: {keys:?}");
}

/// Who acknowledges here does so there; what is told of an acknowledged incident pages nobody on.
#[tokio::test]
async fn an_acknowledgement_is_passed_on() {
    let endpoint = Endpoint::start(rule).await;
    let pagerduty = pagerduty(&endpoint, PATIENCE);
    let acknowledged = notification(Reason::Acknowledged, 1, "oncall");
    pagerduty.tell(&message(&acknowledged)).await.unwrap();
    let mut opened = acknowledged.clone();
    opened.reason = Reason::Opened;
    pagerduty.tell(&message(&opened)).await.unwrap();
    let sent = endpoint.bodies();
    let actions: Vec<&str> = sent
        .iter()
        .map(|event| event["event_action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["acknowledge", "trigger", "acknowledge"]);
    assert!(sent[0].get("payload").is_none(), "{}", sent[0]);
    assert_eq!(sent[0]["dedup_key"], sent[1]["dedup_key"]);
}

/// Over before anything could be told: on record, and nothing stays open.
#[tokio::test]
async fn what_is_over_is_put_on_record_and_resolved() {
    let endpoint = Endpoint::start(rule).await;
    let due = notification(Reason::Resolved, 0, "oncall");
    let whole = Message {
        whole: true,
        ..message(&due)
    };
    pagerduty(&endpoint, PATIENCE).tell(&whole).await.unwrap();
    let sent = endpoint.bodies();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0]["payload"]["severity"], "info");
    let summary = sent[0]["payload"]["summary"].as_str().unwrap();
    assert!(summary.contains("was down from"), "{summary}");
    assert!(open(&sent).is_empty());
}

#[tokio::test]
async fn a_cause_that_is_not_sure_enough_is_not_named() {
    let due = without_cause(Reason::Opened);
    let event = payload(&message(&due)).to_string();
    assert!(
        !event.contains("confidence") && !event.contains("because"),
        "{event}"
    );
}

#[tokio::test]
async fn answers_have_their_class() {
    for (fault, expected, taken) in [
        (Fault::None, Ok(()), 1),
        (
            Fault::SlowDown(Some("1.5")),
            Err((Class::SlowDown(Some(Duration::from_millis(1500))), false)),
            0,
        ),
        (
            Fault::SlowDown(None),
            Err((Class::SlowDown(None), false)),
            0,
        ),
        (Fault::TakenThen500, Err((Class::Transient, false)), 1),
        (Fault::TakenThenDropped, Err((Class::Transient, false)), 1),
        (Fault::TakenThenCut, Ok(()), 1),
        (Fault::TakenThenHang, Err((Class::Transient, false)), 1),
        (Fault::Hang, Err((Class::Transient, false)), 0),
        (Fault::Redirect, Err((Class::Setup, false)), 0),
        (Fault::Page, Err((Class::Setup, false)), 0),
        (Fault::Status(400), Err((Class::Payload, false)), 0),
        (Fault::Status(410), Err((Class::Payload, false)), 0),
    ] {
        let endpoint = Endpoint::start(rule).await;
        endpoint.fault(fault);
        let pagerduty = pagerduty(&endpoint, patience(fault));
        let due = notification(Reason::Opened, 0, "oncall");
        let told = pagerduty.tell(&message(&due)).await;
        if let Err(error) = &told {
            let shown = format!("{error} {error:?} {pagerduty:?}");
            assert!(!shown.contains("hunter22"), "{shown}");
        }
        assert_eq!(class(told), expected, "{fault:?}");
        assert_eq!(endpoint.taken().len(), taken, "{fault:?}");
    }
    let endpoint = Endpoint::start(rule).await;
    let other = PagerDuty::new(&endpoint.url(""), Secret::new("another"), PATIENCE).unwrap();
    let due = notification(Reason::Opened, 0, "oncall");
    let error = other.tell(&message(&due)).await.unwrap_err();
    assert_eq!(error.class, Class::Setup, "{error}");
}

proptest! {
    #![proptest_config(cases(60))]

    /// Whatever was found makes an event that `PagerDuty` takes.
    #[test]
    fn any_incident_makes_an_event(due in any_notification(3), plain: bool, whole: bool) {
        let mut due = due;
        // The product always has one.
        due.briefing.subject = format!("host {}", due.briefing.subject);
        let event = payload(&Message { plain, whole, ..message(&due) });
        prop_assert_eq!(problems(&event), Vec::<String>::new());
    }
}

/// Over long before anything could be told, as on a disk that was full: nobody is paged for it.
#[tokio::test]
async fn what_was_over_long_ago_pages_nobody() {
    let endpoint = Endpoint::start(rule).await;
    let due = notification(Reason::Resolved, 0, "oncall");
    let whole = Message {
        whole: true,
        late: true,
        ..message(&due)
    };
    pagerduty(&endpoint, PATIENCE).tell(&whole).await.unwrap();
    let sent = endpoint.bodies();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["event_action"], "resolve");
}
