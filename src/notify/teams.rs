//! Tells Microsoft Teams, through a Workflows webhook, in the words of people who never heard of HTTP.
//!
//! Adaptive Card 1.4: the workflow's post action shows 1.5 as "this card couldn't be displayed"
//! (<https://github.com/microsoft/AdaptiveCards/issues/8965>, 2026-11-22). No codes, host names, vendors, page
//! text or guesses stand in a card. Nothing comes back from Teams but "accepted", so each state is a new card.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::error::{Class, SendError};
use super::text::{Clock, cut, lasted, line, reference};
use super::{Message, REQUEST_TIMEOUT};
use crate::domain::notification::{Briefing, Reason};
use crate::domain::secret::Secret;

/// Teams refuses a message over 28 KB, counted after its own wrapping and inside the flow, after the 202
/// (<https://github.com/MicrosoftDocs/msteams-docs/issues/11274>, 2026-11-22); ours stay well below.
pub const CARD_BYTES_MAX: usize = 16 << 10;
/// Of one text from the configuration; at four bytes a character and all of them at once a card is below 10 KiB.
const WORDS_MAX: usize = 300;
const SERVICE_MAX: usize = 100;

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
            client: super::http_client(timeout)?,
            webhook,
        })
    }

    /// Tells one thing.
    pub async fn tell(&self, message: &Message<'_>) -> Result<(), SendError> {
        let body = payload(message).to_string();
        let answer = self
            .client
            .post(self.webhook.expose())
            .header(
                reqwest::header::CONTENT_TYPE,
                "application/json; charset=utf-8",
            )
            .body(body)
            .send()
            .await
            .map_err(|e| transport(&e))?;
        let status = answer.status().as_u16();
        let retry_after = super::retry_after(&answer);
        let body = match status {
            200 => super::read_body(answer).await.map_err(|e| transport(&e))?,
            _ => Vec::new(),
        };
        classify(status, retry_after, &body)
    }
}

/// What reqwest says holds the URL, so only the kind of error is told.
fn transport(error: &reqwest::Error) -> SendError {
    if error.is_builder() {
        SendError::new(Class::Setup, "the webhook of Teams is no URL")
    } else if error.is_connect() {
        SendError::new(Class::Transient, "no connection to Teams")
    } else if error.is_timeout() {
        SendError::new(Class::Ambiguous, "Teams did not answer in time").blind()
    } else {
        SendError::new(Class::Ambiguous, "the connection to Teams broke off").blind()
    }
}

fn classify(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Result<(), SendError> {
    let text = format!("Teams answered HTTP {status}");
    match status {
        202 => Ok(()),
        200 => read_200(body),
        429 => Err(SendError::new(Class::SlowDown(retry_after), text)),
        413 => Err(SendError::new(Class::Payload, text)),
        // A flow that runs has answered 202 before; of a 5xx it is all but sure that it did not.
        500..=599 => Err(SendError {
            retry_after,
            ..SendError::new(Class::Transient, text)
        }),
        300..=399 => Err(SendError::new(
            Class::Setup,
            format!("{text}, a redirect: the webhook wants a sign-in or has moved"),
        )),
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
        return Err(SendError::new(
            Class::Setup,
            "a web page answered in place of Teams: a sign-in or a portal stands in between",
        ));
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

/// How a card looks by state: word, colour of the box.
fn state(message: &Message<'_>) -> (&'static str, &'static str) {
    match message.reason {
        Reason::Opened | Reason::Reopened => ("PROBLEM", "attention"),
        Reason::Changed | Reason::Reminder => ("STILL A PROBLEM", "warning"),
        Reason::Resolved => ("FIXED", "good"),
        Reason::Notice => ("FOR YOUR INFORMATION", "emphasis"),
    }
}

/// The large sentence, in the words of the configuration.
fn sentence(message: &Message<'_>) -> String {
    let briefing = message.briefing;
    let what = words(briefing.words.what.as_ref());
    let service = service(briefing);
    match (what, message.reason) {
        (_, Reason::Notice) => format!("{service}: a technical change was noticed"),
        (Some(what), Reason::Resolved) => format!("{what}: working again"),
        (Some(what), Reason::Reopened) => format!("{what}: not working again"),
        (Some(what), _) => format!("{what}: not working at the moment"),
        (None, Reason::Resolved) => {
            format!("{service}: automatic requests are getting through again")
        }
        (None, _) => format!("{service}: automatic requests are not getting through"),
    }
}

fn when(message: &Message<'_>, clock: &Clock) -> String {
    let briefing = message.briefing;
    let place = &clock.place;
    if message.reason == Reason::Resolved {
        let end = briefing.resolved_at.unwrap_or(message.happened_at);
        if message.whole {
            return format!(
                "was down from {} to {} ({place})",
                clock.time(briefing.onset_at),
                clock.time(end)
            );
        }
        return format!(
            "since {} ({place}); it lasted {}",
            clock.time(end),
            lasted(briefing, message.happened_at)
        );
    }
    format!("since {} ({place})", clock.time(briefing.onset_at))
}

fn facts(message: &Message<'_>, clock: &Clock) -> Vec<(&'static str, String)> {
    let briefing = message.briefing;
    let mut facts = Vec::new();
    if message.reason == Reason::Notice {
        // What changed has no plain words; engineers have the others.
        let nothing = "Nothing. The technical team has the details";
        facts.push(("What to do", nothing.to_owned()));
        return facts;
    }
    if let Some(affects) = words(briefing.words.affects.as_ref()) {
        let title = if message.reason == Reason::Resolved {
            "Who was affected"
        } else {
            "Who is affected"
        };
        facts.push((title, affects));
    }
    if message.reason == Reason::Resolved {
        facts.push((
            "What to do",
            "Nothing. If somebody still has trouble, tell us and quote the reference below"
                .to_owned(),
        ));
        return facts;
    }
    facts.push(("What people see", "It fails, or does not finish".to_owned()));
    facts.push(("What we are doing", doing(briefing).to_owned()));
    if let Some(workaround) = words(briefing.words.workaround.as_ref()) {
        facts.push(("What works meanwhile", workaround));
    }
    if let Some(at) = briefing.next_update_at {
        facts.push((
            "Next update",
            format!("{} ({})", clock.time(at), clock.place),
        ));
    }
    facts
}

fn doing(briefing: &Briefing) -> &'static str {
    if briefing.our_side {
        "We are working on it: the trouble is on our own side"
    } else if briefing.cause_known {
        "We have found where it goes wrong and are working to get it fixed"
    } else {
        "We are looking into it"
    }
}

fn service(briefing: &Briefing) -> String {
    cut(&line(&briefing.service), SERVICE_MAX)
}

fn words(text: Option<&String>) -> Option<String> {
    let text = cut(&line(text?), WORDS_MAX);
    (!text.is_empty()).then_some(text)
}

/// What the card says, without times: two messages with the same digest tell support staff the same.
#[must_use]
pub fn digest(message: &Message<'_>) -> String {
    let briefing = message.briefing;
    // A first message and a reminder say the same thing of the problem; only "fixed" is another state.
    let told = json!([
        message.reason == Reason::Resolved,
        briefing.service,
        briefing.words.what,
        briefing.words.affects,
        briefing.words.workaround,
        briefing.words.tell,
        doing(briefing),
    ]);
    let hash = Sha256::digest(told.to_string().as_bytes());
    let start = hash.iter().take(8);
    format!(
        "{:016x}",
        start.fold(0_u64, |all, byte| all << 8 | u64::from(*byte))
    )
}

/// What is posted to the webhook.
#[must_use]
pub fn payload(message: &Message<'_>) -> Value {
    let clock = Clock::new(message);
    let (word, _) = state(message);
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
    let (word, _) = state(message);
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
    let (word, style) = state(message);
    let place = format!("{} · {}", service(briefing), when(message, clock));
    let mut body = vec![json!({
        "type": "Container",
        "style": style,
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
    if !matches!(message.reason, Reason::Resolved | Reason::Notice)
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

/// The reference, and what must be said of the delivery; the names of other channels are no matter here.
fn foot(message: &Message<'_>, clock: &Clock) -> String {
    let mut foot = vec![format!("Reference {}", reference(message.briefing))];
    if message.late {
        foot.push(format!(
            "delivered late, happened at {} ({})",
            clock.time(message.happened_at),
            clock.place
        ));
    }
    if message.repeat {
        foot.push("may be a second copy of the same message".to_owned());
    }
    if message.note.is_some() {
        foot.push(
            "sent here because another channel could not be reached: please tell the engineers"
                .to_owned(),
        );
    }
    foot.join(" · ")
}

/// One block of text, for when the layout was refused.
fn plain_card(message: &Message<'_>, clock: &Clock) -> Value {
    let text: Vec<String> = plain(message, clock).iter().map(|l| escape(l)).collect();
    let block = json!({ "type": "TextBlock", "text": text.join("\n\n"), "wrap": true });
    frame(message, &[block])
}

/// The card's words as plain lines, for where there is no Teams: its wording can be judged before anyone has a flow.
#[must_use]
pub fn text(message: &Message<'_>) -> String {
    plain(message, &Clock::new(message)).join("\n")
}

fn plain(message: &Message<'_>, clock: &Clock) -> Vec<String> {
    let briefing = message.briefing;
    let (word, _) = state(message);
    let mut lines = vec![
        format!("{word}: {}", sentence(message)),
        format!("{} · {}", service(briefing), when(message, clock)),
    ];
    lines.extend(
        facts(message, clock)
            .iter()
            .map(|(title, value)| format!("{title}: {value}")),
    );
    if !matches!(message.reason, Reason::Resolved | Reason::Notice)
        && let Some(tell) = words(briefing.words.tell.as_ref())
    {
        lines.push(format!("What you can tell users: “{tell}”"));
    }
    lines.push(foot(message, clock));
    lines
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
            classify(status, Some(Duration::from_secs(2)), body.as_bytes()).map_err(|e| e.class)
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
