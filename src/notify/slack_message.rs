//! How an incident looks in Slack: one message that always shows the present state, and its thread.
//!
//! Slack reads only `&`, `<` and `>` as its own, so every text of ours goes through [`escape`], after it was
//! cut. Words of a monitored page stand in `rich_text_preformatted`, where text is literal and a mention
//! would be another kind of element.

use std::collections::HashMap;

use slack_morphism::{
    SlackMessageAttachment, SlackMessageContent, SlackMessageMetadata,
    prelude::{
        SlackBlock, SlackBlockMarkDownText, SlackBlockText, SlackContextBlock,
        SlackContextBlockElement, SlackRichTextBlock, SlackRichTextElement,
        SlackRichTextInlineElement, SlackRichTextPreformatted, SlackRichTextText,
        SlackSectionBlock,
    },
};
use uuid::Uuid;

use super::Message;
use super::evidence;
use super::text::{Clock, cut, cut_by, line, lines, percent, reference, remarks, state, summary};
use crate::domain::notification::{Briefing, Reason};

/// A text object holds 3,000 characters: <https://docs.slack.dev/reference/block-kit/composition-objects/text-object> (2026-11-22).
/// We stay below, as a cut in the middle of ours is better than a refusal.
const TEXT_MAX: usize = 2_800;
/// A field of a section holds 2,000 characters (same page); ours are short.
const FIELD_MAX: usize = 250;
/// `text` is refused over 4,000 characters on `chat.update`: <https://docs.slack.dev/reference/methods/chat.update> (2026-11-22).
const FALLBACK_MAX: usize = 600;
/// As plain text, the whole message; within the 4,000 of `chat.update`.
const PLAIN_MAX: usize = 3_500;
/// Of the page's own words in the parent.
const EXCERPT_MAX: usize = 300;
/// Headline and what to do in the parent; with fields, excerpt and foot it stays at 2,500.
const HEADLINE_MAX: usize = 600;
const STEP_MAX: usize = 350;
/// Of the foot.
const CONTEXT_MAX: usize = 250;
/// All blocks of a message together are refused at about 13,200 characters
/// (<https://github.com/slackapi/bolt-js/issues/2509>); the evidence stays at 9,000.
const EVIDENCE_MAX: usize = 9_000;

/// Names our metadata; `event_type` is letters, digits and underscores.
pub(super) const EVENT_TYPE: &str = "edgewatch_delivery";

/// Colours of the bar; the word in front says the same.
const RED: &str = "#a30200";
const AMBER: &str = "#daa038";
const GREEN: &str = "#2eb886";
const BLUE: &str = "#1d9bd1";

/// Which of a delivery's two messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Parent,
    Reply,
}

impl Part {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Parent => "parent",
            Self::Reply => "reply",
        }
    }
}

/// The parent message in its present state; `mention` is written as it stands, and only when it is first posted.
pub(super) fn parent(message: &Message<'_>, mention: Option<&str>) -> SlackMessageContent {
    let clock = Clock::new(message);
    let mut text = escape(&summary(message, &clock), FALLBACK_MAX);
    if message.plain {
        text = plain(message, &clock);
    }
    if let Some(mention) = mention {
        text = format!("{mention} {text}");
    }
    let content = SlackMessageContent::new().with_text(text);
    if message.plain {
        return content;
    }
    let attachment = SlackMessageAttachment::new()
        .with_color(colour(message.briefing, message.reason).to_owned())
        .with_blocks(parent_blocks(message, &clock));
    content.with_attachments(vec![attachment])
}

fn colour(briefing: &Briefing, reason: Reason) -> &'static str {
    if reason == Reason::Notice {
        BLUE
    } else if briefing.resolved {
        GREEN
    } else if briefing.our_side {
        AMBER
    } else {
        RED
    }
}

fn parent_blocks(message: &Message<'_>, clock: &Clock) -> Vec<SlackBlock> {
    let briefing = message.briefing;
    if message.reason == Reason::Notice {
        return notice_blocks(message, clock);
    }
    let mut blocks = vec![
        section(&headline(message, clock), HEADLINE_MAX),
        SlackSectionBlock::new()
            .with_fields(fields(briefing, clock))
            .into(),
    ];
    if let Some(excerpt) = briefing.failing.as_ref().and_then(|f| f.excerpt.as_ref()) {
        let excerpt = cut(&line(excerpt), EXCERPT_MAX);
        if !excerpt.is_empty() {
            blocks.push(preformatted(&excerpt));
        }
    }
    if let (Some(step), false) = (&briefing.next_step, briefing.resolved) {
        blocks.push(section(&format!("*What to do:* {}", line(step)), STEP_MAX));
    }
    let mut foot = vec![reference(briefing)];
    foot.extend(remarks(message, clock));
    foot.push(line(&briefing.subject));
    foot.push("evidence in the thread".to_owned());
    blocks.push(context(&foot.join(" · ")));
    blocks
}

/// A change that is no incident: what, why it is told, what to do.
fn notice_blocks(message: &Message<'_>, clock: &Clock) -> Vec<SlackBlock> {
    let briefing = message.briefing;
    let sentence = line(&briefing.headline).replace('*', "∗");
    let mut text = vec![format!("*{sentence}*")];
    let because = briefing.because.iter().take(3);
    text.extend(because.map(|because| format!("• {}", line(because))));
    let mut blocks = vec![section(&text.join("\n"), TEXT_MAX)];
    if let Some(step) = &briefing.next_step {
        blocks.push(section(&format!("*What to do:* {}", line(step)), STEP_MAX));
    }
    let mut foot = vec![
        "NOTICE".to_owned(),
        format!("seen first at {}", clock.time_and_zone(briefing.onset_at)),
        line(&briefing.subject),
    ];
    foot.extend(remarks(message, clock));
    blocks.push(context(&foot.join(" · ")));
    blocks
}

fn headline(message: &Message<'_>, clock: &Clock) -> String {
    let briefing = message.briefing;
    let sentence = line(&briefing.headline).replace('*', "∗");
    if message.reason == Reason::Resolved {
        let end = briefing.resolved_at.unwrap_or(message.happened_at);
        return format!(
            "*{}*, at {}. {sentence}",
            state(message),
            clock.time_and_zone(end)
        );
    }
    if briefing.cause_known {
        format!("*{sentence}* · confidence {}", percent(briefing.confidence))
    } else {
        format!("*{sentence}*")
    }
}

fn fields(briefing: &Briefing, clock: &Clock) -> Vec<SlackBlockText> {
    let failing = briefing.cells.iter().filter(|c| c.failing).count();
    let places = format!(
        "{failing} of {} combinations, {} failed runs",
        briefing.cells.len(),
        briefing.failed_runs
    );
    let last_good = briefing
        .last_good_at
        .map_or_else(|| "none seen".to_owned(), |at| clock.time_and_zone(at));
    [
        ("Expected", briefing.expected.as_str()),
        ("Got", briefing.got.as_str()),
        ("Failing", places.as_str()),
        ("Last good run", last_good.as_str()),
    ]
    .into_iter()
    .map(|(title, value)| {
        let value = line(value);
        let value = if value.is_empty() { "–" } else { &value };
        SlackBlockText::MarkDown(markdown(escape(&format!("*{title}*\n{value}"), FIELD_MAX)))
    })
    .collect()
}

/// The reply of this delivery in the thread.
pub(super) fn reply(message: &Message<'_>) -> SlackMessageContent {
    let clock = Clock::new(message);
    if message.plain {
        return SlackMessageContent::new().with_text(plain(message, &clock));
    }
    let text = escape(&summary(message, &clock), FALLBACK_MAX);
    let mut blocks = vec![section(&reply_text(message, &clock), TEXT_MAX)];
    if message.reason == Reason::Opened {
        blocks.extend(evidence_blocks(message.briefing, &clock));
    }
    SlackMessageContent::new()
        .with_text(text)
        .with_blocks(blocks)
}

fn reply_text(message: &Message<'_>, clock: &Clock) -> String {
    let briefing = message.briefing;
    let title = match message.reason {
        Reason::Opened => format!("*Evidence for {}*", reference(briefing)),
        _ => format!("*{}*", summary(message, clock).replace('*', "∗")),
    };
    let mut text = vec![title];
    if matches!(
        message.reason,
        Reason::Changed | Reason::Reminder | Reason::Reopened
    ) {
        let because = briefing.because.iter().take(3);
        text.extend(because.map(|b| format!("• {}", line(b))));
        let step = briefing.next_step.iter();
        text.extend(step.map(|s| format!("*What to do:* {}", line(s))));
    }
    text.extend(remarks(message, clock));
    text.join("\n")
}

fn evidence_blocks(briefing: &Briefing, clock: &Clock) -> Vec<SlackBlock> {
    let mut room = EVIDENCE_MAX - TEXT_MAX;
    let mut blocks = Vec::new();
    for part in evidence::parts(briefing, clock) {
        let text = cut(
            &format!("{}\n\n{}", part.title, part.text),
            room.min(TEXT_MAX),
        );
        let size = text.encode_utf16().count();
        // A rest too small to say anything is not begun.
        if room < 200 {
            break;
        }
        room = room.saturating_sub(size);
        blocks.push(preformatted(&text));
    }
    blocks
}

/// The whole message as one text, for when the layout was refused.
fn plain(message: &Message<'_>, clock: &Clock) -> String {
    escape_lines(&super::log::body(message, clock), PLAIN_MAX)
}

/// What a message is found by after an unclear outcome; anyone in the workspace can read it.
pub(super) fn metadata(delivery: Uuid, part: Part, incident: u64) -> SlackMessageMetadata {
    let payload = HashMap::from([
        ("delivery_id".to_owned(), delivery.to_string()),
        ("part".to_owned(), part.as_str().to_owned()),
        ("incident".to_owned(), format!("INC-{incident}")),
    ]);
    SlackMessageMetadata::new(EVENT_TYPE.to_owned()).with_event_payload(payload)
}

fn section(text: &str, max: usize) -> SlackBlock {
    SlackSectionBlock::new()
        .with_text(SlackBlockText::MarkDown(markdown(escape_lines(text, max))))
        .into()
}

fn context(text: &str) -> SlackBlock {
    SlackContextBlock::new(vec![SlackContextBlockElement::MarkDown(markdown(escape(
        text,
        CONTEXT_MAX,
    )))])
    .into()
}

/// `verbatim` keeps Slack from making links of bare URLs and names.
fn markdown(text: String) -> SlackBlockMarkDownText {
    SlackBlockMarkDownText::new(text).with_verbatim(true)
}

/// Literal text; nothing in it is read as markup, so nothing is escaped.
fn preformatted(text: &str) -> SlackBlock {
    let element = SlackRichTextInlineElement::Text(SlackRichTextText::new(lines(text)));
    SlackRichTextBlock::new(vec![SlackRichTextElement::Preformatted(
        SlackRichTextPreformatted::new(vec![element]),
    )])
    .into()
}

/// `text` in at most `max` characters as sent, with Slack's three control characters written as entities:
/// <https://docs.slack.dev/messaging/formatting-message-text> (2026-11-22).
fn escape(text: &str, max: usize) -> String {
    let cut = cut_by(text, max, |c| match c {
        '&' => 5,
        '<' | '>' => 4,
        other => other.len_utf16(),
    });
    let mut escaped = String::with_capacity(cut.len());
    for character in cut.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn escape_lines(text: &str, max: usize) -> String {
    escape(&lines(text), max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_after_cutting() {
        assert_eq!(escape("a & <!here>", 100), "a &amp; &lt;!here&gt;");
        let cut = escape(&"<".repeat(100), 50);
        assert_eq!(cut, "&lt;&lt;&lt;&lt;&lt;&lt;… cut, 94 characters more");
        assert!(cut.chars().count() <= 50);
    }
}
