//! The operator's own words for messages, sound and unsound.

use edgewatch::domain::notification::{Notification, Reason, Templates};
use edgewatch::domain::secret::Secret;
use edgewatch::domain::template::{Audience, Template};
use edgewatch::notify::Message;
use edgewatch::notify::slack::Slack;
use edgewatch::notify::teams::{payload, payload_as};
use proptest::prelude::*;

use super::fakes::{CHANNEL, Fake, TOKEN, card_problems};
use super::samples::{REASONS, any_notification, cases, notification};
use super::slack::message;

fn slack(fake: &Fake, templates: &Templates) -> Slack {
    Slack::new(&fake.api(), Secret::new(TOKEN), CHANNEL, None)
        .unwrap()
        .with_templates(templates)
}

fn template(text: &str, audience: Audience) -> Template {
    Template::new(text, audience).unwrap()
}

fn for_engineers() -> Templates {
    let of = |text| Some(template(text, Audience::Engineers));
    Templates {
        headline: of(
            "*{{ state }}*: {{ got }} ({{ failed_runs }} runs, {{ probes | join(\", \") }})",
        ),
        body: of(
            "Last: {{ next_step or \"nothing to do\" }}{% for id in reference_ids %} `{{ id }}`{% endfor %}",
        ),
        footer: of("{{ reference }} of {{ service }}"),
    }
}

fn for_support() -> Templates {
    let of = |text| Some(template(text, Audience::Support));
    Templates {
        headline: of("{{ word | lower }}: {{ what or service }}"),
        body: of("**{{ place }}**, {{ since }}{% if until %} to {{ until }}{% endif %}"),
        footer: of("{{ reference }}, see [our page](https://status.example/)"),
    }
}

async fn shown(due: &Notification, templates: &Templates) -> serde_json::Value {
    let fake = Fake::slack().await;
    let sent = slack(&fake, templates)
        .tell(&message(due), None, None)
        .await;
    sent.result.unwrap();
    fake.parents()[0].body.clone()
}

#[tokio::test]
async fn slack_in_other_words() {
    let body = shown(
        &notification(Reason::Opened, 0, "engineers"),
        &for_engineers(),
    )
    .await;
    let blocks = &body["attachments"][0]["blocks"];
    assert_eq!(
        body["text"],
        "*DOWN*: HTTP 403 from Cloudflare, error 1010 (7 runs, gmc-connect)"
    );
    assert_eq!(
        blocks[3]["text"]["text"],
        "Last: Ask the GMC to allow this user agent &amp; quote the Ray ID `84f1c2d3e4f5a6b7` `84f1c2d3e4f5a6c8`"
    );
    assert_eq!(blocks[4]["elements"][0]["text"], "INC-42 of GMC");
}

#[test]
fn teams_in_other_words() {
    let due = notification(Reason::Resolved, 0, "support");
    let card = payload_as(&message(&due), &for_support());
    assert_eq!(card_problems(&card), Vec::<String>::new());
    let body = &card["attachments"][0]["content"]["body"];
    assert_eq!(
        body[0]["items"][1]["text"],
        "fixed: Submitting recommendations to the GMC"
    );
    assert_eq!(
        body[0]["items"][2]["text"],
        "**London time**, 02:14 to 04:06"
    );
    assert_eq!(
        body[2]["text"],
        "INC-42, see [our page](https://status.example/)"
    );
}

/// A mistake that shows only with some facts: our own words, and no message is lost.
#[tokio::test]
async fn a_template_that_fails_falls_back_to_our_words() {
    let unsound = Templates {
        headline: Some(template(
            "{% if got == \"HTTP 403\" %}as in the example{% else %}{{ probes[9].x }}{% endif %}",
            Audience::Engineers,
        )),
        ..Templates::default()
    };
    let due = notification(Reason::Opened, 0, "engineers");
    assert_eq!(
        shown(&due, &unsound).await,
        shown(&due, &Templates::default()).await
    );
}

#[tokio::test]
async fn an_empty_headline_is_ours() {
    let empty = Templates {
        headline: Some(template(
            "{% if resolved %}over{% endif %}",
            Audience::Engineers,
        )),
        ..Templates::default()
    };
    let due = notification(Reason::Opened, 0, "engineers");
    assert_eq!(
        shown(&due, &empty).await,
        shown(&due, &Templates::default()).await
    );
    let empty = Templates {
        headline: Some(template(" ", Audience::Support)),
        ..Templates::default()
    };
    assert_eq!(payload_as(&message(&due), &empty), payload(&message(&due)));
}

/// Every fact is there in every state, so that no template that was checked fails for want of one.
#[test]
fn every_fact_is_told() {
    for audience in [Audience::Engineers, Audience::Support] {
        let all: Vec<String> = audience
            .facts()
            .map(|name| format!("{{{{ {name} }}}}"))
            .collect();
        let own = Template::new(&all.join("|"), audience).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        for reason in REASONS {
            let due = notification(reason, 0, "engineers");
            let templates = Templates {
                footer: Some(own.clone()),
                ..Templates::default()
            };
            let (custom, ours) = match audience {
                Audience::Support => (
                    payload_as(&message(&due), &templates),
                    payload(&message(&due)),
                ),
                Audience::Engineers => runtime.block_on(async {
                    (
                        shown(&due, &templates).await,
                        shown(&due, &Templates::default()).await,
                    )
                }),
            };
            assert_ne!(custom, ours, "{audience:?} {reason:?}: a fact is missing");
        }
    }
}

/// Whatever the facts, the operator's words make messages that Slack and Teams take.
#[test]
fn any_facts_in_other_words() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = runtime.block_on(Fake::slack());
    let slack = slack(&fake, &for_engineers());
    let support = for_support();
    proptest!(cases(30), |(due in any_notification(7), plain: bool, whole: bool)| {
        let message = Message { plain, whole, note: Some("<x> & *y*"), ..message(&due) };
        let sent = runtime.block_on(slack.tell(&message, None, None));
        prop_assert!(sent.result.is_ok(), "{:?}", sent.result);
        let card = payload_as(&message, &support);
        prop_assert_eq!(card_problems(&card), Vec::<String>::new());
    });
}
