//! Tells Microsoft Teams, through a Workflows webhook, in the words of people who never heard of HTTP.
//!
//! Adaptive Card 1.4: the workflow's post action shows 1.5 as "this card couldn't be displayed"
//! (<https://github.com/microsoft/AdaptiveCards/issues/8965>, 2026-11-22). No codes, host names, vendors, page
//! text or guesses stand in a card. Nothing comes back from Teams but "accepted", so each state is a new card.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};

use super::adaptive_card::{envelope, escape, frame, is_markup};
use super::error::{Class, SendError};
use super::http::{self, Again, Answer, Peer};
use super::phrases::Phrases;
use super::plain::{PHRASE_MAX, Said, facts, lines, say, title};
use super::plain_words::{state, words};
use super::text::{Clock, cut, lines_kept, reference};
use super::{Message, Notice, REQUEST_TIMEOUT, teams_together};
use crate::domain::notification::{Reason, Templates};
use crate::domain::secret::Secret;
use crate::lang::template::Piece;

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
    phrases: Phrases,
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
            phrases: Phrases::for_teams(&Templates::default()),
        })
    }

    /// Uses the operator's words where there are some.
    #[must_use]
    pub fn with_templates(mut self, templates: &Templates) -> Self {
        self.phrases = Phrases::for_teams(templates);
        self
    }

    /// Tells one thing.
    pub async fn tell(&self, message: &Message<'_>) -> Result<(), SendError> {
        self.post(&payload_in(message, &self.phrases)).await
    }

    /// Of how many one card can tell; the others are for the next one.
    #[must_use]
    pub fn fitting(&self, messages: &[Message<'_>]) -> usize {
        teams_together::fitting(messages, &self.phrases)
    }

    /// Tells many things in one card.
    pub async fn tell_together(&self, messages: &[Message<'_>]) -> Result<(), SendError> {
        match teams_together::payload(messages, &self.phrases) {
            Some(payload) => self.post(&payload).await,
            None => Ok(()),
        }
    }

    /// Tells something that is no incident.
    pub async fn notice(&self, notice: &Notice<'_>) -> Result<(), SendError> {
        self.post(&notice.card()).await
    }

    async fn post(&self, payload: &Value) -> Result<(), SendError> {
        let request = self
            .client
            .post(self.webhook.expose())
            .header(
                reqwest::header::CONTENT_TYPE,
                "application/json; charset=utf-8",
            )
            .body(payload.to_string());
        classify(PEER.send(request).await?)
    }
}

fn classify(answer: Answer) -> Result<(), SendError> {
    let text = format!("Teams answered HTTP {}", answer.status);
    match answer.status {
        200 => read_200(&answer.body?),
        // 202 is what a flow says; one that answers by an action of its own may choose another.
        201..=299 => Ok(()),
        // What stands in front of the flow gave up or broke: the flow may have run all the same, and the
        // next card says so. It all but surely did not, so that it is not kept from trying for long.
        500..=502 | 504..=599 => Err(SendError {
            retry_after: answer.retry_after,
            ..SendError::new(Class::Ambiguous, text)
        }),
        503 => Err(SendError {
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
        Reason::Reopened if message.briefing.comes_and_goes() => "warning",
        Reason::Opened | Reason::Reopened => "attention",
        Reason::Changed
        | Reason::Reminder
        | Reason::Acknowledged
        | Reason::Muted
        | Reason::Unwatched => "warning",
        Reason::Resolved => "good",
        Reason::Notice => "emphasis",
    }
}

/// What is posted to the webhook, in our own words.
#[must_use]
pub fn payload(message: &Message<'_>) -> Value {
    payload_in(message, &OURS)
}

/// As [`payload`], in the operator's words.
#[must_use]
pub fn payload_as(message: &Message<'_>, templates: &Templates) -> Value {
    payload_in(message, &Phrases::for_teams(templates))
}

fn payload_in(message: &Message<'_>, phrases: &Phrases) -> Value {
    let clock = Clock::new(message);
    let said = say(message, &clock, phrases);
    let title = title(message, &said);
    let summary = format!("{title} ({})", reference(message.briefing));
    let body = if message.plain {
        vec![plain_block(message, &clock, &said)]
    } else {
        body(message, &clock, &said)
    };
    envelope(&summary, &frame(&title, &body))
}

/// What is posted for several things at once; `None` for nothing.
#[must_use]
pub fn payload_together(messages: &[Message<'_>]) -> Option<Value> {
    teams_together::payload(messages, &OURS)
}

static OURS: LazyLock<Phrases> = LazyLock::new(|| Phrases::for_teams(&Templates::default()));

fn body(message: &Message<'_>, clock: &Clock, said: &Said) -> Vec<Value> {
    let briefing = message.briefing;
    let word = state(message);
    let mut items = vec![
        json!({ "type": "TextBlock", "text": word, "weight": "Bolder", "size": "Small", "wrap": true }),
        json!({ "type": "TextBlock", "text": markup(&said.headline), "weight": "Bolder", "size": "Large", "wrap": true }),
    ];
    let below = markup(&said.body);
    if !below.is_empty() {
        items.push(
            json!({ "type": "TextBlock", "text": below, "isSubtle": true, "spacing": "None", "wrap": true }),
        );
    }
    let mut body = vec![json!({
        "type": "Container",
        "style": style(message),
        "bleed": true,
        "items": items,
    })];
    let facts: Vec<Value> = facts(message, clock)
        .iter()
        .map(|(title, value)| json!({ "title": title, "value": escape(value) }))
        .collect();
    body.push(json!({ "type": "FactSet", "facts": facts }));
    if !message.reason.is_end()
        && message.reason != Reason::Notice
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
    let footer = markup(&said.footer);
    if !footer.is_empty() {
        body.push(json!({
            "type": "TextBlock",
            "text": footer,
            "size": "Small",
            "isSubtle": true,
            "wrap": true,
        }));
    }
    body
}

/// One block of text, for when the layout was refused.
fn plain_block(message: &Message<'_>, clock: &Clock, said: &Said) -> Value {
    let text: Vec<String> = lines(message, clock, said)
        .iter()
        .map(|l| escape(l))
        .collect();
    json!({ "type": "TextBlock", "text": text.join("\n\n"), "wrap": true })
}

/// What came out of a template: facts show as they stand, the operator's Markdown is Markdown.
fn markup(pieces: &[Piece]) -> String {
    let mut room = PHRASE_MAX;
    let mut text = String::new();
    for piece in pieces {
        let part = cut(&lines_kept(&piece.text), room);
        room = room.saturating_sub(part.chars().count());
        match (piece.fact, text.is_empty()) {
            (true, true) => text.push_str(&escape(&part)),
            (true, false) => text.extend(part.chars().map(escape_inside)),
            (false, _) => text.push_str(&part),
        }
        if room == 0 {
            break;
        }
    }
    text.trim().to_owned()
}

fn escape_inside(character: char) -> String {
    if is_markup(character) {
        format!("\\{character}")
    } else {
        character.to_string()
    }
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
            (201, "", Ok(())),
            (204, "", Ok(())),
            (500, "", Err(Class::Ambiguous)),
            (502, "", Err(Class::Ambiguous)),
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
