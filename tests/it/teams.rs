//! How incidents look in Teams, and that support staff read plain words only.

use std::time::Duration;

use edgewatch::domain::notification::Reason;
use edgewatch::domain::secret::Secret;
use edgewatch::notify::teams::{CARD_BYTES_MAX, Teams, digest, payload};
use edgewatch::notify::{Class, Message};
use proptest::prelude::*;

use super::fakes::{Fake, Fault, card_problems};
use super::samples::{REASONS, any_briefing, cases, notification, text};
use super::slack::message;

/// What support staff must never read (as words, whatever the case).
const BANNED: [&str; 33] = [
    "http",
    "https",
    "403",
    "404",
    "429",
    "500",
    "503",
    "timeout",
    "timed out",
    "dns",
    "tls",
    "ssl",
    "waf",
    "cloudflare",
    "akamai",
    "cdn",
    "edge",
    "ip",
    "ips",
    "address",
    "egress",
    "user agent",
    "user-agent",
    "header",
    "null",
    "exception",
    "origin",
    "proxy",
    "rule",
    "ray",
    "java",
    "gmc-uk.org",
    "endpoint",
];

/// All that a person reads of a message.
fn shown(message: &serde_json::Value, into: &mut String) {
    match message {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                if matches!(
                    key.as_str(),
                    "text" | "title" | "value" | "summary" | "fallbackText"
                ) {
                    into.push_str(value.as_str().unwrap_or_default());
                    into.push('\n');
                } else {
                    shown(value, into);
                }
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|v| shown(v, into)),
        _ => {}
    }
}

pub(crate) fn banned(message: &serde_json::Value) -> Vec<&'static str> {
    let mut text = String::new();
    shown(message, &mut text);
    let text = text.to_lowercase();
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric() && c != '-' && c != '.')
        .map(|w| w.trim_matches('.'))
        .collect();
    let spaced = format!(" {} ", words.join(" "));
    BANNED
        .into_iter()
        .filter(|word| spaced.contains(&format!(" {word} ")))
        .collect()
}

#[test]
fn the_word_list_finds_what_it_bans() {
    let found = banned(&serde_json::json!({ "text": "HTTP 403, from every IP. (TLS)" }));
    assert_eq!(found, ["http", "403", "tls", "ip"]);
    assert!(banned(&serde_json::json!({ "text": "Shipping of rulers is not working" })).is_empty());
}

#[test]
fn cards_by_reason() {
    for reason in REASONS {
        let due = notification(reason, 0, "support");
        let card = payload(&message(&due));
        assert_eq!(card_problems(&card), Vec::<String>::new(), "{reason:?}");
        assert_eq!(banned(&card), Vec::<&str>::new(), "{reason:?}");
        insta::assert_json_snapshot!(format!("teams_{}", reason.as_str()), card);
    }
}

#[test]
fn support_staff_read_whom_to_ring_and_where_to_read_on() {
    let shown = |reason| {
        let mut due = notification(reason, 0, "support");
        due.briefing.words.contact.link = Some("https://status.example/gmc".to_owned());
        due.briefing.before =
            Some("Third time since Wed 3 Feb; the others lasted 12 min each".into());
        payload(&message(&due)).to_string()
    };
    for reason in [Reason::Opened, Reason::Reminder, Reason::Reopened] {
        let card = shown(reason);
        for text in [
            "Whom to ring",
            "Ops desk",
            "https://status.example/gmc",
            "Third time since",
        ] {
            assert!(card.contains(text), "{reason:?}: {text}");
        }
        assert!(!card.contains("runbooks"), "{card}");
    }
    assert!(!shown(Reason::Resolved).contains("Third time"));
}

#[test]
fn cards_without_words_late_whole_and_plain() {
    let mut due = notification(Reason::Resolved, 0, "support");
    let whole = Message {
        whole: true,
        late: true,
        note: Some("Could not reach engineers: Slack refused: not_in_channel"),
        ..message(&due)
    };
    let card = payload(&whole);
    assert_eq!(banned(&card), Vec::<&str>::new());
    insta::assert_json_snapshot!("teams_whole", card);
    let plain = payload(&Message {
        plain: true,
        ..message(&due)
    });
    assert_eq!(card_problems(&plain), Vec::<String>::new());
    insta::assert_json_snapshot!("teams_plain", plain);

    due = notification(Reason::Opened, 0, "support");
    due.briefing.words = edgewatch::domain::probe::Words::default();
    let mut text = String::new();
    shown(&payload(&message(&due)), &mut text);
    assert!(
        text.contains("GMC: automatic requests are not getting through"),
        "{text}"
    );
}

#[test]
fn a_change_that_support_staff_would_not_see_has_the_same_digest() {
    let opened = notification(Reason::Opened, 0, "support");
    let mut changed = notification(Reason::Changed, 1, "support");
    changed.briefing.headline = "another cause".into();
    changed.briefing.kind = edgewatch::domain::verdict::Kind::Timeout;
    assert_eq!(digest(&message(&opened)), digest(&message(&changed)));
    changed.briefing.words.affects = Some("Everybody".into());
    assert_ne!(digest(&message(&opened)), digest(&message(&changed)));
}

proptest! {
    #![proptest_config(cases(40))]

    /// Nothing that a page, a header or an engineer's sentence says reaches a card.
    #[test]
    fn no_jargon_whatever_was_found(
        briefing in any_briefing("[A-Za-z][a-z]{2,8}s the forms of ward 7".boxed()),
        reason in prop::sample::select(REASONS.to_vec()),
        late: bool,
        whole: bool,
        plain: bool,
    ) {
        let mut due = notification(reason, 0, "support");
        due.briefing = briefing;
        due.briefing.headline = "GMC refuses Java at Cloudflare: HTTP 403, timeout, DNS, TLS, WAF, user agent, IP".into();
        due.briefing.got = due.briefing.headline.clone();
        due.briefing.because = vec![due.briefing.headline.clone()];
        due.briefing.subject = "webcache.gmc-uk.org".into();
        let card = payload(&Message { late, whole, plain, note: Some("HTTP 403 timeout DNS"), ..message(&due) });
        prop_assert_eq!(banned(&card), Vec::<&str>::new());
        prop_assert_eq!(card_problems(&card), Vec::<String>::new());
    }

    /// Whatever the configuration says, the card is valid, small, and makes no link.
    #[test]
    fn any_words_make_a_card_that_teams_shows(
        briefing in any_briefing(text().boxed()),
        reason in prop::sample::select(REASONS.to_vec()),
        plain: bool,
    ) {
        let mut due = notification(reason, 0, "support");
        due.briefing = briefing;
        let card = payload(&Message { plain, ..message(&due) });
        prop_assert_eq!(card_problems(&card), Vec::<String>::new());
        prop_assert!(card.to_string().len() <= CARD_BYTES_MAX);
        let body = card["attachments"][0]["content"]["body"].to_string();
        let unescaped = body.replace("\\\\[", "").replace("\\\\]", "").replace("\\\\<", "");
        prop_assert!(!unescaped.contains("](") && !unescaped.contains("<at>"), "{}", body);
    }
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
        (Fault::TakenThen500, Err((Class::Ambiguous, false)), 1),
        (Fault::Status(503), Err((Class::Transient, false)), 0),
        (Fault::Status(204), Ok(()), 0),
        (Fault::TakenThenDropped, Err((Class::Ambiguous, true)), 1),
        (Fault::Redirect, Err((Class::Setup, false)), 0),
        (Fault::Page, Err((Class::Setup, false)), 0),
        (Fault::Status(404), Err((Class::Setup, false)), 0),
        (Fault::Hang, Err((Class::Ambiguous, true)), 0),
    ] {
        let fake = Fake::teams().await;
        fake.fault("webhook", fault);
        let timeout = if matches!(fault, Fault::Hang) {
            100
        } else {
            5_000
        };
        let teams =
            Teams::with_timeout(Secret::new(fake.webhook()), Duration::from_millis(timeout))
                .unwrap();
        let due = notification(Reason::Opened, 0, "support");
        let result = teams.tell(&message(&due)).await;
        if let Err(error) = &result {
            assert!(
                !format!("{error} {error:?}").contains("hunter22"),
                "{error:?}"
            );
        }
        assert_eq!(
            result.map_err(|e| (e.class, e.blind)),
            expected,
            "{fault:?}"
        );
        assert_eq!(fake.cards().len(), taken, "{fault:?}");
    }
}
