//! The operator's own words for messages, sound and unsound.

use edgewatch::config;
use edgewatch::domain::notification::{Channel, Notification, Reason, Templates};
use edgewatch::domain::probe::Words;
use edgewatch::domain::secret::Secret;
use edgewatch::lang::template::{Audience, Template};
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
    assert_eq!(blocks[5]["elements"][0]["text"], "INC-42 of GMC");
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
        "**London time**, 02:14 to 04:03"
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

/// What `edgewatch templates` prints is read as a part of the file, and says what we say, in every state.
#[tokio::test]
async fn ours_can_be_begun_with() {
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_edgewatch"));
    let printed = program.arg("templates").output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let rest = printed.strip_prefix("notify:\n").unwrap();
    let text = format!(
        "version: 1\nservice: GMC\nclients: {{ c: x/1 }}\nprobes: {{ p: {{ url: https://a.example/, every: 5m }} }}\nnotify:\n  receivers:\n    engineers: {{ slack: {{ token: {{ env: T }}, channel: C0123456789 }} }}\n    support: {{ teams: {{ webhook: {{ env: T }} }} }}\n{rest}"
    );
    let checked = config::read(&text, "probes.yaml", &Nothing).unwrap_or_else(|e| panic!("{e}"));
    let mut own = (Templates::default(), Templates::default());
    for receiver in checked.plan.receivers {
        match receiver.channel {
            Channel::Slack { templates, .. } => own.0 = templates,
            Channel::Teams { templates, .. } => own.1 = templates,
            other => panic!("{other:?}"),
        }
    }
    for templates in [&own.0, &own.1] {
        let all = [&templates.headline, &templates.body, &templates.footer];
        assert!(all.iter().all(|part| part.is_some()), "{printed}");
    }
    let ours = Templates::default();
    for reason in REASONS {
        for (our_side, cause_known) in [(false, true), (false, false), (true, false)] {
            let mut due = notification(reason, 0, "engineers");
            (due.briefing.our_side, due.briefing.cause_known) = (our_side, cause_known);
            if !cause_known {
                (due.briefing.words, due.briefing.because) = (Words::default(), Vec::new());
                (due.briefing.ruled_out, due.briefing.next_step) = (Vec::new(), None);
            }
            let theirs = shown(&due, &own.0).await;
            assert_eq!(theirs, shown(&due, &ours).await, "{reason:?}");
            for whole in [false, true] {
                let message = Message {
                    whole,
                    late: whole,
                    note: whole.then_some("Could not reach engineers"),
                    ..message(&due)
                };
                assert_eq!(
                    payload_as(&message, &own.1),
                    payload(&message),
                    "{reason:?}"
                );
            }
        }
    }
}

struct Nothing;

impl config::Inputs for Nothing {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &std::path::Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
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
