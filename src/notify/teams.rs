//! Tells Microsoft Teams, through a Workflows webhook, in the words of people who never heard of HTTP.
//!
//! Adaptive Card 1.4: the workflow's post action shows 1.5 as "this card couldn't be displayed"
//! (<https://github.com/microsoft/AdaptiveCards/issues/8965>, 2026-11-22). No codes, host names, vendors, page
//! text or guesses stand in a card. Nothing comes back from Teams but "accepted", so each state is a new card.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::{Class, SendError};
use super::http::{self, Again, Answer, Peer};
use super::plain::{facts, foot, lines, sentence, service, state, when, words};
use super::text::{Clock, reference};
use super::{Message, REQUEST_TIMEOUT};
use crate::domain::notification::Reason;
use crate::domain::secret::Secret;

pub use super::plain::digest;

/// Teams refuses a message over 28 KB, counted after its own wrapping and inside the flow, after the 202
/// (<https://github.com/MicrosoftDocs/msteams-docs/issues/11274>, 2026-11-22); ours stay well below.
pub const CARD_BYTES_MAX: usize = 16 << 10;
/// Nothing comes back that a card could be found by.
const PEER: Peer = Peer {
    name: "Teams",
    again: Again::Twice,
};

/// One Teams channel.
#[derive(Debug)]
pub struct Teams {
    client: reqwest::Client,
    /// The whole URL is the secret: whoever has it may post.
    webhook: Secret,
}

impl Teams {
    /// A sender to the channel behind `webhook`.
    ///
    /// # Errors
    /// [`Class::Setup`] when no HTTP client can be made.
    pub fn new(webhook: Secret) -> Result<Self, SendError> {
        Self::with_timeout(webhook, REQUEST_TIMEOUT)
    }

    /// As [`Teams::new`], with another time for a whole request.
    pub fn with_timeout(webhook: Secret, timeout: Duration) -> Result<Self, SendError> {
        Ok(Self {
            client: http::client(timeout, &[])?,
            webhook,
        })
    }

    /// Tells one thing.
    pub async fn tell(&self, message: &Message<'_>) -> Result<(), SendError> {
        let body = payload(message).to_string();
        let request = self
            .client
            .post(self.webhook.expose())
            .header(
                reqwest::header::CONTENT_TYPE,
                "application/json; charset=utf-8",
            )
            .body(body);
        classify(PEER.send(request).await?)
    }
}

fn classify(answer: Answer) -> Result<(), SendError> {
    let text = format!("Teams answered HTTP {}", answer.status);
    match answer.status {
        200 => read_200(&answer.body?),
        202 => Ok(()),
        // A flow that runs has answered 202 before; of a 5xx it is all but sure that it did not.
        500..=599 => Err(SendError {
            retry_after: answer.retry_after,
            ..SendError::new(Class::Transient, text)
        }),
        300..=399 | 413 | 429 => PEER.judge(answer.status, answer.retry_after),
        _ => Err(SendError::new(
            Class::Setup,
            format!("{text}: the workflow is gone, switched off or has another trigger"),
        )),
    }
}

/// A 200 is taken for success unless its body says otherwise: older connectors hid failures there
/// (<https://github.com/MicrosoftDocs/msteams-docs/issues/4145>, 2026-11-22).
fn read_200(body: &[u8]) -> Result<(), SendError> {
    let body = String::from_utf8_lossy(body).to_ascii_lowercase();
    if body.trim_start().starts_with('<') {
        return Err(PEER.page());
    }
    if body.contains("429") || body.contains("throttl") {
        return Err(SendError::new(
            Class::SlowDown(None),
            "Teams asked us to slow down",
        ));
    }
    if body.contains("delivery failed") || body.contains("error") {
        return Err(SendError::new(
            Class::Transient,
            "Teams accepted the request and reported a failure",
        ));
    }
    Ok(())
}

/// Colour of the box; the word above says the same.
fn style(message: &Message<'_>) -> &'static str {
    match message.reason {
        Reason::Opened | Reason::Reopened => "attention",
        Reason::Changed | Reason::Reminder | Reason::Acknowledged => "warning",
        Reason::Resolved => "good",
    }
}

/// What is posted to the webhook.
#[must_use]
pub fn payload(message: &Message<'_>) -> Value {
    let clock = Clock::new(message);
    let word = state(message);
    let summary = format!(
        "{word}: {} ({})",
        sentence(message),
        reference(message.briefing)
    );
    let card = if message.plain {
        plain_card(message, &clock)
    } else {
        card(message, &clock)
    };
    json!({
        "type": "message",
        "summary": summary,
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        }],
    })
}

fn frame(message: &Message<'_>, body: &[Value]) -> Value {
    let word = state(message);
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": format!("{word}: {}", sentence(message)),
        "msteams": { "width": "Full" },
        "body": body,
    })
}

fn card(message: &Message<'_>, clock: &Clock) -> Value {
    let briefing = message.briefing;
    let word = state(message);
    let place = format!("{} · {}", service(briefing), when(message, clock));
    let mut body = vec![json!({
        "type": "Container",
        "style": style(message),
        "bleed": true,
        "items": [
            { "type": "TextBlock", "text": word, "weight": "Bolder", "size": "Small", "wrap": true },
            { "type": "TextBlock", "text": escape(&sentence(message)), "weight": "Bolder", "size": "Large", "wrap": true },
            { "type": "TextBlock", "text": escape(&place), "isSubtle": true, "spacing": "None", "wrap": true },
        ],
    })];
    let facts: Vec<Value> = facts(message, clock)
        .iter()
        .map(|(title, value)| json!({ "title": title, "value": escape(value) }))
        .collect();
    body.push(json!({ "type": "FactSet", "facts": facts }));
    if message.reason != Reason::Resolved
        && let Some(tell) = words(briefing.words.tell.as_ref())
    {
        body.push(json!({
            "type": "Container",
            "style": "emphasis",
            "items": [
                { "type": "TextBlock", "text": "What you can tell users", "weight": "Bolder", "wrap": true },
                { "type": "TextBlock", "text": escape(&format!("“{tell}”")), "wrap": true },
            ],
        }));
    }
    body.push(json!({
        "type": "TextBlock",
        "text": escape(&foot(message, clock)),
        "size": "Small",
        "isSubtle": true,
        "wrap": true,
    }));
    frame(message, &body)
}

/// One block of text, for when the layout was refused.
fn plain_card(message: &Message<'_>, clock: &Clock) -> Value {
    let text: Vec<String> = lines(message, clock).iter().map(|l| escape(l)).collect();
    let block = json!({ "type": "TextBlock", "text": text.join("\n\n"), "wrap": true });
    frame(message, &[block])
}

/// Writes what Teams' Markdown would read as markup so that it shows:
/// <https://learn.microsoft.com/en-us/microsoftteams/platform/task-modules-and-cards/cards/cards-format> (2026-11-22).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    for (index, character) in text.chars().enumerate() {
        let everywhere = matches!(character, '\\' | '*' | '_' | '[' | ']' | '`' | '<' | '~');
        let at_start = index == 0 && matches!(character, '#' | '-' | '+' | '>');
        let numbered = digits > 0 && index == digits && character == '.';
        if everywhere || at_start || numbered {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_their_class() {
        let class = |status, body: &str| {
            let answer = Answer {
                status,
                retry_after: Some(Duration::from_secs(2)),
                body: Ok(body.as_bytes().to_vec()),
            };
            classify(answer).map_err(|e| e.class)
        };
        for (status, body, expected) in [
            (202, "", Ok(())),
            (200, "1", Ok(())),
            (200, "", Ok(())),
            (
                200,
                "Webhook message delivery failed with error: …",
                Err(Class::Transient),
            ),
            (
                200,
                "… returned HTTP error 429 …",
                Err(Class::SlowDown(None)),
            ),
            (200, " <!doctype html>", Err(Class::Setup)),
            (429, "", Err(Class::SlowDown(Some(Duration::from_secs(2))))),
            (302, "", Err(Class::Setup)),
            (400, "", Err(Class::Setup)),
            (404, "", Err(Class::Setup)),
            (410, "", Err(Class::Setup)),
            (413, "", Err(Class::Payload)),
            (500, "", Err(Class::Transient)),
            (503, "", Err(Class::Transient)),
        ] {
            assert_eq!(class(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn markup_shows_as_it_stands() {
        for (text, expected) in [
            ("plain words, 5 of 7", "plain words, 5 of 7"),
            (
                "[click](https://x.example)",
                "\\[click\\](https://x.example)",
            ),
            ("- item", "\\- item"),
            ("12. item", "12\\. item"),
            ("a_b *c*", "a\\_b \\*c\\*"),
            ("<at>Bob</at>", "\\<at>Bob\\</at>"),
        ] {
            assert_eq!(escape(text), expected);
        }
    }
}
