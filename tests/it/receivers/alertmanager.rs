//! What Alertmanager is sent, held against its documentation, to how many peers, and what answers mean.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgewatch::domain::notification::{Channel, Login, Reason, Receiver};
use edgewatch::domain::secret::Secret;
use edgewatch::notify::alertmanager::{Alertmanager, STANDS_FOR, Standing, standing};
use edgewatch::notify::{Class, Message};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

use super::endpoint::Endpoint;
use super::{PATIENCE, SHOWN, class, message, patience, receiver, without_cause};
use crate::fakes::Fault;
use crate::samples::{any_notification, at, cases, notification};
use crate::server::{Reply, Seen};

pub(super) use crate::secrets::{ALERTMANAGER_PASSWORD, ALERTMANAGER_TOKEN as TOKEN};

/// Every reason why Alertmanager would refuse the alerts (`api/v2/openapi.yaml` and `alert.Validate` of
/// <https://github.com/prometheus/alertmanager>, 2026-11-22).
fn problems(alerts: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let Some(alerts) = alerts.as_array() else {
        return vec!["not a list".to_owned()];
    };
    for alert in alerts {
        let time = |key: &str| {
            alert[key]
                .as_str()
                .and_then(|t| t.parse::<Timestamp>().ok())
        };
        match (time("startsAt"), time("endsAt")) {
            (Some(starts), Some(ends)) if starts <= ends => {}
            other => found.push(format!("times: {other:?}")),
        }
        if alert["labels"]["alertname"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
        {
            found.push("no alertname".to_owned());
        }
        for part in ["labels", "annotations"] {
            for (name, value) in alert[part].as_object().unwrap() {
                let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if !first || !rest || !value.is_string() {
                    found.push(format!("{part}: {name:?} = {value}"));
                }
            }
        }
    }
    found
}

/// Alertmanager behind a proxy that wants a login.
pub(super) fn rule(seen: &Seen) -> Reply {
    let basic = format!(
        "Basic {}",
        STANDARD.encode(format!("monitor:{ALERTMANAGER_PASSWORD}"))
    );
    let token = format!("Bearer {TOKEN}");
    let authorization = seen.header("authorization");
    if authorization != Some(&token) && authorization != Some(&basic) {
        return Reply::new(401);
    }
    if seen.target != "/prefix/api/v2/alerts" || seen.method != "POST" {
        return Reply::new(404);
    }
    if seen.header("content-type") != Some("application/json") {
        return Reply::new(415);
    }
    match serde_json::from_slice::<Value>(&seen.body) {
        Ok(alerts) if problems(&alerts).is_empty() => Reply::new(200),
        Ok(alerts) => Reply::new(400).body(problems(&alerts).join("\n")),
        Err(error) => Reply::new(400).body(error.to_string()),
    }
}

pub(super) fn to(endpoints: &[&Endpoint], fallback: Option<&str>) -> Receiver {
    let channel = Channel::Alertmanager {
        peers: endpoints.iter().map(|e| e.url("/prefix")).collect(),
        login: Some(Ok(Login::Token(Secret::new(TOKEN)))),
        labels: vec![("team".into(), "revalidation".into())],
        roots: vec![],
    };
    receiver("alerts", channel, fallback)
}

fn alertmanager(endpoints: &[&Endpoint], timeout: Duration) -> Alertmanager {
    let peers: Vec<String> = endpoints.iter().map(|e| e.url("/prefix")).collect();
    let login = Some(Login::Token(Secret::new(TOKEN)));
    Alertmanager::new(
        &peers,
        login,
        &[("team".into(), "revalidation".into())],
        &[],
        timeout,
    )
    .unwrap()
}

#[tokio::test]
async fn alerts_by_reason() {
    let endpoint = Endpoint::start(rule).await;
    let alertmanager = alertmanager(&[&endpoint], PATIENCE);
    let mut before: Option<Standing> = None;
    for reason in SHOWN {
        let mut due = notification(reason, 0, "alerts");
        // More fails meanwhile: the name of the alert stays what it was.
        if reason != Reason::Opened {
            due.briefing.probes.push("gmc-check-status".into());
            due.briefing.cells.retain(|cell| cell.failing);
        }
        let standing = alertmanager
            .tell(&message(&due), before.as_ref())
            .await
            .unwrap();
        assert_eq!(Standing::read(&standing.text()), Some(standing.clone()));
        assert_eq!(standing.is_open(), !reason.is_end());
        let alerts = endpoint.bodies().pop().unwrap();
        let ends: Timestamp = alerts[0]["endsAt"].as_str().unwrap().parse().unwrap();
        let expected = match reason {
            // The first run that passed, not when that was certain.
            Reason::Resolved => at("2021-02-28T04:03:00Z"),
            _ => due.created_at + STANDS_FOR,
        };
        assert_eq!(ends, expected, "{reason:?}");
        insta::assert_json_snapshot!(format!("alertmanager_{}", reason.as_str()), alerts);
        before = Some(standing);
    }
    let sent = endpoint.bodies();
    assert!(
        sent.iter()
            .all(|alerts| alerts[0]["labels"] == sent[0][0]["labels"])
    );
}

#[tokio::test]
async fn what_stands_is_sent_again_as_it_was() {
    let endpoint = Endpoint::start(rule).await;
    let alertmanager = alertmanager(&[&endpoint], PATIENCE);
    let due = notification(Reason::Opened, 0, "alerts");
    let standing = alertmanager.tell(&message(&due), None).await.unwrap();
    let later = at("2021-02-28T05:00:00Z");
    alertmanager
        .refresh(&[standing.clone(), standing], later)
        .await
        .unwrap();
    let sent = endpoint.bodies();
    assert_eq!(sent[1].as_array().unwrap().len(), 2);
    let mut again = sent[1][0].clone();
    assert_eq!(again["endsAt"], "2021-03-01T05:00:00Z");
    again["endsAt"] = sent[0][0]["endsAt"].clone();
    assert_eq!(again, sent[0][0]);
}

#[tokio::test]
async fn every_peer_is_told_and_one_that_takes_it_is_enough() {
    let (one, two) = (Endpoint::start(rule).await, Endpoint::start(rule).await);
    let alertmanager = alertmanager(&[&one, &two], PATIENCE);
    let due = notification(Reason::Opened, 0, "alerts");
    let tell = || async { alertmanager.tell(&message(&due), None).await.map(drop) };
    tell().await.unwrap();
    assert_eq!((one.taken().len(), two.taken().len()), (1, 1));
    one.fault(Fault::Status(500));
    tell().await.unwrap();
    assert_eq!((one.taken().len(), two.taken().len()), (1, 2));
    // Of two troubles the one that waiting may mend.
    one.fault(Fault::Status(401));
    two.fault(Fault::Status(502));
    let error = tell().await.unwrap_err();
    assert_eq!(error.class, Class::Transient, "{error}");
}

#[tokio::test]
async fn logs_in_by_password_too() {
    let endpoint = Endpoint::start(rule).await;
    let login = Login::Password {
        username: Secret::new("monitor"),
        password: Secret::new(ALERTMANAGER_PASSWORD),
    };
    let peers = [endpoint.url("/prefix")];
    let alertmanager = Alertmanager::new(&peers, Some(login), &[], &[], PATIENCE).unwrap();
    let due = notification(Reason::Opened, 0, "alerts");
    alertmanager.tell(&message(&due), None).await.unwrap();
    let without = Alertmanager::new(&peers, None, &[], &[], PATIENCE).unwrap();
    let error = without.tell(&message(&due), None).await.unwrap_err();
    assert_eq!(error.class, Class::Setup);
    assert!(!format!("{alertmanager:?}").contains("hunter22"));
}

#[test]
fn a_cause_that_is_not_sure_enough_is_not_named() {
    let due = without_cause(Reason::Opened);
    let text = standing(&message(&due), &[], None).text().to_lowercase();
    assert!(
        !text.contains("confidence") && !text.contains("user agent"),
        "{text}"
    );
}

#[tokio::test]
async fn answers_have_their_class() {
    for (fault, expected, taken) in [
        (Fault::None, Ok(()), 1),
        (
            Fault::SlowDown(Some("0.5")),
            Err((Class::SlowDown(Some(Duration::from_millis(500))), false)),
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
        (Fault::Status(403), Err((Class::Setup, false)), 0),
    ] {
        let endpoint = Endpoint::start(rule).await;
        endpoint.fault(fault);
        let alertmanager = alertmanager(&[&endpoint], patience(fault));
        let due = notification(Reason::Opened, 0, "alerts");
        let told = alertmanager.tell(&message(&due), None).await.map(drop);
        if let Err(error) = &told {
            let shown = format!("{error} {error:?} {alertmanager:?}");
            assert!(!shown.contains("hunter22"), "{shown}");
        }
        assert_eq!(class(told), expected, "{fault:?}");
        assert_eq!(endpoint.taken().len(), taken, "{fault:?}");
    }
}

proptest! {
    #![proptest_config(cases(60))]

    /// Whatever was found makes an alert that Alertmanager takes.
    #[test]
    fn any_incident_makes_an_alert(due in any_notification(3), plain: bool) {
        let mut due = due;
        // An end before the beginning is nobody's incident.
        due.briefing.onset_at = due.briefing.onset_at.min(due.created_at);
        due.briefing.resolved_at = due.briefing.resolved_at.map(|at| at.max(due.briefing.onset_at));
        let standing = standing(&Message { plain, ..message(&due) }, &[], None);
        let alerts = Value::from(vec![standing.alert(due.created_at)]);
        prop_assert_eq!(problems(&alerts), Vec::<String>::new());
    }
}
