//! What a webhook is sent, that others can verify it, and what its answers mean.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgewatch::domain::notification::{Channel, Reason, Receiver};
use edgewatch::domain::secret::Secret;
use edgewatch::notify::webhook::{Webhook, payload};
use edgewatch::notify::{Class, Message};
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::endpoint::Endpoint;
use super::{PATIENCE, SHOWN, class, message, patience, receiver, without_cause};
use crate::fakes::Fault;
use crate::samples::{any_notification, cases, notification};
use crate::server::certificates::Authority;
use crate::server::{Reply, Seen};

pub(crate) use crate::secrets::{WEBHOOK_KEY as KEY, WEBHOOK_PATH as PATH};

/// HMAC by its definition (RFC 2104), so that our sender is not measured by its own library.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64, "a longer key would be hashed first");
    let pad = |with: u8| {
        let mut pad = [with; 64];
        pad.iter_mut().zip(key).for_each(|(p, k)| *p ^= k);
        pad
    };
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(message)
        .finalize();
    let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner);
    outer.finalize().to_vec()
}

/// Whether the signature is right, as the convention's libraries verify it.
fn verifies(seen: &Seen, key: &str) -> bool {
    let key = STANDARD
        .decode(key.strip_prefix("whsec_").unwrap())
        .unwrap();
    let (Some(id), Some(timestamp), Some(signatures)) = (
        seen.header("webhook-id"),
        seen.header("webhook-timestamp"),
        seen.header("webhook-signature"),
    ) else {
        return false;
    };
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend(&seen.body);
    let expected = format!("v1,{}", STANDARD.encode(hmac(&key, &signed)));
    signatures.split(' ').any(|s| s == expected)
}

static SCHEMA: LazyLock<(Value, jsonschema::Validator)> = LazyLock::new(|| {
    let schema: Value =
        serde_json::from_str(include_str!("../../../deploy/webhook-event.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    (schema, validator)
});

/// Every way in which an event is not as documented; fields that are not described among them.
fn problems(event: &Value) -> Vec<String> {
    let (schema, validator) = &*SCHEMA;
    let mut found: Vec<String> = validator
        .iter_errors(event)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    undescribed(event, schema, &mut found);
    found
}

fn undescribed(value: &Value, schema: &Value, found: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let property = &schema["properties"][key];
        if property["description"].is_null() && key != "data" {
            found.push(format!("{key} is not described"));
        }
        undescribed(value, property, found);
        for item in value.as_array().into_iter().flatten() {
            undescribed(item, &property["items"], found);
        }
    }
}

/// A receiver that takes what is signed and as documented, and nothing else.
pub(crate) fn rule(seen: &Seen) -> Reply {
    let json = seen.header("content-type") == Some("application/json");
    let body: Result<Value, _> = serde_json::from_slice(&seen.body);
    match body {
        _ if seen.target != PATH => Reply::new(404),
        _ if !verifies(seen, KEY) => Reply::new(401),
        Ok(body) if json && seen.method == "POST" => match problems(&body) {
            found if found.is_empty() => Reply::new(204),
            found => Reply::new(422).body(found.join("\n")),
        },
        _ => Reply::new(400),
    }
}

pub(super) fn to(endpoint: &Endpoint, fallback: Option<&str>) -> Receiver {
    let channel = Channel::Webhook {
        url: Ok(Secret::new(endpoint.url(PATH))),
        key: Ok(Secret::new(KEY)),
        roots: vec![],
    };
    receiver("hook", channel, fallback)
}

fn webhook(endpoint: &Endpoint, timeout: Duration) -> Webhook {
    let url = Secret::new(endpoint.url(PATH));
    Webhook::new(url, &Secret::new(KEY), &[], timeout).unwrap()
}

#[tokio::test]
async fn events_by_reason() {
    let endpoint = Endpoint::start(rule).await;
    let webhook = webhook(&endpoint, PATIENCE);
    for reason in SHOWN {
        let due = notification(reason, 0, "hook");
        webhook.tell(&message(&due)).await.unwrap();
        let event = endpoint.bodies().pop().unwrap();
        insta::assert_json_snapshot!(format!("webhook_{}", reason.as_str()), event);
    }
    let due = without_cause(Reason::Opened);
    let reduced = Message {
        plain: true,
        late: true,
        note: Some("Could not reach engineers: Slack refused: not_in_channel"),
        ..message(&due)
    };
    webhook.tell(&reduced).await.unwrap();
    insta::assert_json_snapshot!("webhook_reduced", endpoint.bodies().pop().unwrap());
}

#[tokio::test]
async fn a_cause_that_is_not_sure_enough_is_not_named() {
    let endpoint = Endpoint::start(rule).await;
    let due = without_cause(Reason::Opened);
    let webhook = webhook(&endpoint, PATIENCE);
    webhook.tell(&message(&due)).await.unwrap();
    let data = &endpoint.bodies()[0]["data"];
    assert_eq!(data["cause_known"], false);
    assert_eq!(data["confidence"], Value::Null);
    assert!(!data.to_string().contains("user agent"), "{data}");
}

#[test]
fn the_schema_refuses_what_is_not_documented() {
    let due = notification(Reason::Opened, 0, "hook");
    let event = |change: fn(&mut Value)| {
        let mut event = payload(&message(&due));
        change(&mut event);
        problems(&event).len()
    };
    assert_eq!(event(|_| ()), 0);
    assert_eq!(event(|e| e["data"]["state"] = "closed".into()), 1);
    assert_eq!(event(|e| e["data"]["onset_at"] = "14:05".into()), 1);
    assert_eq!(event(|e| e["data"]["new"] = 1.into()), 1);
    assert_eq!(
        event(|e| drop(e["data"].as_object_mut().unwrap().remove("words"))),
        1
    );
    assert_eq!(event(|e| e["version"] = 2.into()), 1);
}

/// A change that is no incident has a type of its own, and no severity.
#[tokio::test]
async fn a_notice_is_no_incident() {
    let endpoint = Endpoint::start(rule).await;
    let mut due = notification(Reason::Notice, 0, "hook");
    due.briefing.incident = 0;
    due.briefing.during = vec!["move to a CDN".into()];
    for plain in [false, true] {
        let message = Message {
            plain,
            ..message(&due)
        };
        webhook(&endpoint, PATIENCE).tell(&message).await.unwrap();
    }
    let events = endpoint.bodies();
    let data = &events[0]["data"];
    assert_eq!(events[0]["type"], "notice");
    assert_eq!(data["maintenance"], serde_json::json!(["move to a CDN"]));
    assert_eq!(data["seen_at"], due.briefing.onset_at.to_string());
    for key in ["incident", "reference", "severity", "verdict", "state"] {
        assert!(data[key].is_null(), "{key}");
    }
    assert_eq!(events[1]["data"]["because"], Value::Null, "reduced");
}

#[tokio::test]
async fn others_can_verify_it() {
    let endpoint = Endpoint::start(rule).await;
    let due = notification(Reason::Opened, 7, "hook");
    let webhook = webhook(&endpoint, PATIENCE);
    webhook.tell(&message(&due)).await.unwrap();
    let mut seen = endpoint.taken().remove(0);
    assert_eq!(seen.header("webhook-id"), Some(&*due.delivery.to_string()));
    let at = due.created_at.as_second().to_string();
    assert_eq!(seen.header("webhook-timestamp"), Some(&*at));
    let other = format!("whsec_{}", STANDARD.encode([7; 32]));
    assert!(verifies(&seen, KEY) && !verifies(&seen, &other));
    seen.body[10] ^= 1;
    assert!(!verifies(&seen, KEY), "what was changed on the way");
}

#[tokio::test]
async fn answers_have_their_class() {
    let half = Duration::from_millis(500);
    for (fault, expected, taken) in [
        (Fault::None, Ok(()), 1),
        (
            Fault::SlowDown(Some("2")),
            Err((Class::SlowDown(Some(4 * half)), false)),
            0,
        ),
        (
            Fault::SlowDown(Some("0.5")),
            Err((Class::SlowDown(Some(half)), false)),
            0,
        ),
        (
            Fault::SlowDown(None),
            Err((Class::SlowDown(None), false)),
            0,
        ),
        (Fault::Status(503), Err((Class::SlowDown(None), false)), 0),
        (Fault::TakenThen500, Err((Class::Ambiguous, false)), 1),
        (Fault::TakenThenDropped, Err((Class::Ambiguous, false)), 1),
        // The status said it all.
        (Fault::TakenThenCut, Ok(()), 1),
        (Fault::TakenThenHang, Err((Class::Ambiguous, false)), 1),
        (Fault::Hang, Err((Class::Ambiguous, false)), 0),
        (Fault::Redirect, Err((Class::Setup, false)), 0),
        (Fault::Page, Err((Class::Setup, false)), 0),
        (Fault::Status(401), Err((Class::Setup, false)), 0),
        (Fault::Status(404), Err((Class::Setup, false)), 0),
        (Fault::Status(410), Err((Class::Closed, false)), 0),
        (Fault::Status(422), Err((Class::Payload, false)), 0),
    ] {
        let endpoint = Endpoint::start(rule).await;
        endpoint.fault(fault);
        let webhook = webhook(&endpoint, patience(fault));
        let due = notification(Reason::Opened, 0, "hook");
        let told = webhook.tell(&message(&due)).await;
        if let Err(error) = &told {
            let shown = format!("{error} {error:?} {webhook:?}");
            assert!(
                !shown.contains("hunter22") && !shown.contains("127.0.0.1"),
                "{shown}"
            );
        }
        assert_eq!(class(told), expected, "{fault:?}");
        assert_eq!(endpoint.taken().len(), taken, "{fault:?}");
        assert_eq!(endpoint.calls(), 1, "no redirect is followed, {fault:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_surely_not_told() {
    let address = {
        let endpoint = Endpoint::start(rule).await;
        endpoint.url(PATH)
    };
    let webhook = Webhook::new(Secret::new(address), &Secret::new(KEY), &[], PATIENCE).unwrap();
    let due = notification(Reason::Opened, 0, "hook");
    let error = webhook.tell(&message(&due)).await.unwrap_err();
    assert_eq!((error.class, error.blind), (Class::Transient, false));
}

#[tokio::test]
async fn a_root_of_the_operators_own_is_trusted_and_no_other() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let tls = identity.tls_with(rustls::ALL_VERSIONS, &["http/1.1"]);
    let endpoint = Endpoint::start_tls(tls, rule).await;
    let url = format!("https://localhost:{}{PATH}", endpoint.port());
    let due = notification(Reason::Opened, 0, "hook");
    for (roots, taken) in [(vec![], 0), (vec![authority.pem()], 1)] {
        let key = Secret::new(KEY);
        let webhook = Webhook::new(Secret::new(&*url), &key, &roots, PATIENCE).unwrap();
        let told = webhook.tell(&message(&due)).await;
        assert_eq!(told.is_ok(), taken == 1, "{told:?}");
        assert_eq!(endpoint.taken().len(), taken);
    }
}

proptest! {
    #![proptest_config(cases(60))]

    /// Whatever was found makes an event as documented, of bounded size, without hidden characters.
    #[test]
    fn any_incident_makes_an_event(due in any_notification(3), plain: bool) {
        let event = payload(&Message { plain, ..message(&due) });
        prop_assert_eq!(problems(&event), Vec::<String>::new());
        let text = event.to_string();
        prop_assert!(text.len() < 1 << 20, "{}", text.len());
        prop_assert!(!text.contains('\u{202e}') && !text.contains("\\u0000"), "{}", text);
    }
}
