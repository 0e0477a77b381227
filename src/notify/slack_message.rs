//! How an incident looks in Slack: one message that always shows the present state, and its thread.
//!
//! Slack reads only `&`, `<` and `>` as its own, so every text of ours goes through [`escape`], after it was
//! cut. Words of a monitored page stand in `rich_text_preformatted`, where text is literal and a mention
//! would be another kind of element.

use std::collections::HashMap;

use slack_morphism::{
    SlackMessageAttachment, SlackMessageContent, SlackMessageMetadata,
    prelude::{
        SlackActionBlockElement, SlackActionsBlock, SlackBlock, SlackBlockButtonElement,
        SlackBlockConfirmItem, SlackBlockMarkDownText, SlackBlockPlainTextOnly, SlackBlockText,
        SlackContextBlock, SlackContextBlockElement, SlackRichTextBlock, SlackRichTextElement,
        SlackRichTextInlineElement, SlackRichTextLink, SlackRichTextPreformatted,
        SlackRichTextSection, SlackRichTextText, SlackSectionBlock,
    },
};
use url::Url;
use uuid::Uuid;

use super::Message;
use super::evidence;
use super::phrases::{self, Phrases};
use super::text::{
    Clock, beside, cut, cut_by, cut_mark, line, lines, lines_kept, over, reference, remarks,
    summary,
};
use crate::domain::notification::{Briefing, Reason};
use crate::domain::verdict::Kind;
use crate::lang::template::Piece;

/// A text object holds 3,000 characters: <https://docs.slack.dev/reference/block-kit/composition-objects/text-object> (2026-11-22).
/// We stay below, as a cut in the middle of ours is better than a refusal.
pub(super) const TEXT_MAX: usize = 2_800;
/// A field of a section holds 2,000 characters (same page); ours are short.
const FIELD_MAX: usize = 150;
/// `text` is refused over 4,000 characters on `chat.update`: <https://docs.slack.dev/reference/methods/chat.update> (2026-11-22).
pub(super) const FALLBACK_MAX: usize = 600;
/// As plain text, the whole message; within the 4,000 of `chat.update`.
pub(super) const PLAIN_MAX: usize = 3_500;
/// Of the page's own words in the parent.
const EXCERPT_MAX: usize = 280;
/// The change beside the onset; with fields, excerpt, body and foot the parent stays at 2,500.
const BESIDE_MAX: usize = 200;
/// Why, what it is not, and what to do.
const BODY_MAX: usize = 800;
/// The text of a confirmation: <https://docs.slack.dev/reference/block-kit/composition-objects/confirmation-dialog-object> (2026-11-22).
const CONFIRM_MAX: usize = 300;
/// Of a link of the operator's.
const LINK_MAX: usize = 1_000;
/// Of the foot.
const CONTEXT_MAX: usize = 250;
/// All blocks of a message together are refused at about 13,200 characters
/// (<https://github.com/slackapi/bolt-js/issues/2509>); the evidence stays at 9,000.
const EVIDENCE_MAX: usize = 9_000;

/// Names our metadata; `event_type` is letters, digits and underscores.
pub(super) const EVENT_TYPE: &str = "edgewatch_delivery";

/// Names of our buttons (`action_id`).
pub(super) const ACKNOWLEDGE: &str = "edgewatch_acknowledge";
pub(super) const SILENCE: &str = "edgewatch_silence";
pub(super) const END_SILENCE: &str = "edgewatch_end_silence";

/// Colours of the bar; the word in front says the same.
pub(super) const RED: &str = "#a30200";
pub(super) const AMBER: &str = "#daa038";
pub(super) const GREEN: &str = "#2eb886";
const BLUE: &str = "#1d9bd1";
const GREY: &str = "#868e96";

/// Which of a delivery's two messages, or the message of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Parent,
    Reply,
    Summary,
    /// No incident at all.
    Notice,
}

impl Part {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Parent => "parent",
            Self::Reply => "reply",
            Self::Summary => "summary",
            Self::Notice => "notice",
        }
    }
}

/// The parent message in its present state; `mention` is written as it stands, and only when it is first posted.
///
/// `buttons` says whether anybody hears them; a message of an incident that is over has none.
pub(super) fn parent(
    message: &Message<'_>,
    mention: Option<&str>,
    buttons: bool,
    phrases: &Phrases,
) -> SlackMessageContent {
    let clock = Clock::new(message);
    let mut text = if message.plain {
        plain(message, &clock)
    } else {
        // Slack shows it above the attachment, and as the push message.
        let facts = phrases::for_engineers(message, &clock);
        markup(&phrases.headline.render_something(&facts), FALLBACK_MAX)
    };
    if let Some(mention) = mention {
        text = format!("{mention} {text}");
    }
    let content = SlackMessageContent::new().with_text(text);
    if message.plain {
        return content;
    }
    let mut blocks = parent_blocks(message, &clock, phrases);
    if buttons && message.briefing.is_open() {
        blocks.push(buttons_of(message.briefing));
    }
    let attachment = SlackMessageAttachment::new()
        .with_color(colour(message.briefing, message.reason).to_owned())
        .with_blocks(blocks);
    content.with_attachments(vec![attachment])
}

fn colour(briefing: &Briefing, reason: Reason) -> &'static str {
    if reason == Reason::Notice {
        BLUE
    } else if briefing.is_fixed() {
        GREEN
    } else if briefing.is_unwatched() {
        AMBER
    } else if briefing.muted.is_some() {
        GREY
    } else if briefing.our_side {
        AMBER
    } else {
        RED
    }
}

pub(super) fn parent_blocks(
    message: &Message<'_>,
    clock: &Clock,
    phrases: &Phrases,
) -> Vec<SlackBlock> {
    let briefing = message.briefing;
    if message.reason == Reason::Notice {
        return notice_blocks(message, clock);
    }
    let facts = phrases::for_engineers(message, clock);
    let mut blocks = Vec::new();
    // The most telling one; the others stand in the thread.
    if let (Some(change), false) = (beside(briefing).next(), briefing.is_fixed()) {
        blocks.push(section(&change, BESIDE_MAX));
    }
    blocks.push(
        SlackSectionBlock::new()
            .with_fields(fields(message, clock))
            .into(),
    );
    // What the page said is of no use to anybody once it is over; the thread has it.
    let failing = briefing.failing.as_ref().filter(|_| !briefing.is_fixed());
    if let Some(excerpt) = failing.and_then(|f| f.excerpt.as_ref()) {
        let excerpt = cut(&line(excerpt), EXCERPT_MAX);
        if !excerpt.is_empty() {
            blocks.push(preformatted(&excerpt));
        }
    }
    let body = markup(&phrases.body.render(&facts), BODY_MAX);
    if !body.is_empty() {
        blocks.push(section_of(body));
    }
    if briefing.is_open()
        && let Some(block) = contact_block(briefing)
    {
        blocks.push(block);
    }
    let footer = markup(&phrases.footer.render(&facts), CONTEXT_MAX);
    if !footer.is_empty() {
        blocks.push(context_of(footer));
    }
    blocks
}

/// Whom to ring and where to read on, with links that can be followed.
fn contact_block(briefing: &Briefing) -> Option<SlackBlock> {
    let contact = &briefing.words.contact;
    let mut elements = Vec::new();
    let mut add = |element: SlackRichTextInlineElement| {
        if !elements.is_empty() {
            elements.push(literal(" · "));
        }
        elements.push(element);
    };
    for (name, url) in [("Runbook", &contact.runbook), ("More", &contact.link)] {
        let url = url.as_ref().and_then(|url| Url::parse(url).ok());
        let web = |url: &Url| matches!(url.scheme(), "http" | "https");
        if let Some(url) = url.filter(|url| web(url) && url.as_str().len() <= LINK_MAX) {
            add(SlackRichTextLink::new(url.as_str().into())
                .with_text(name.to_owned())
                .into());
        }
    }
    let ring = contact
        .ring
        .as_ref()
        .map(|ring| cut(&line(ring), FIELD_MAX));
    if let Some(ring) = ring.filter(|ring| !ring.is_empty()) {
        add(literal(&format!("Ring: {ring}")));
    }
    let section = SlackRichTextSection::new(elements);
    (!section.elements.is_empty())
        .then(|| SlackRichTextBlock::new(vec![SlackRichTextElement::Section(section)]).into())
}

fn literal(text: &str) -> SlackRichTextInlineElement {
    SlackRichTextInlineElement::Text(SlackRichTextText::new(text.to_owned()))
}

/// What the Silence button does, as the rules do it. The hour begins with the press, which nobody knows when this is
/// written; the message says the time when it is silenced.
fn silence_means(briefing: &Briefing) -> String {
    format!(
        "{0} as a whole, for 1 hour from now; the message then shows until when. No change, reminder or escalation of it is told in any channel. All is kept and shown. Open after that: told what changed. Its end is told in any case. To undo: End silence, here or by command",
        reference(briefing)
    )
}

/// What one can do about an open incident. Silence asks back, because it keeps things from everybody.
fn buttons_of(briefing: &Briefing) -> SlackBlock {
    // With the episode, so that a press on an old drawing is not taken for one on the present.
    let value = format!("{}.{}", briefing.incident, briefing.reopened);
    let label = |text: &str| SlackBlockPlainTextOnly::from(text);
    let asking = SlackBlockConfirmItem::new(
        label("Silence for an hour?"),
        SlackBlockText::MarkDown(markdown(escape(&silence_means(briefing), CONFIRM_MAX))),
        label("Silence 1 h"),
        label("Cancel"),
    );
    let mut elements: Vec<SlackActionBlockElement> = vec![
        SlackBlockButtonElement::new(label("Acknowledge"))
            .with_action_id(ACKNOWLEDGE.into())
            .with_value(value.clone())
            .into(),
    ];
    // What is silenced already says until when.
    if briefing.muted.is_none() {
        elements.push(
            SlackBlockButtonElement::new(label("Silence 1 h"))
                .with_action_id(SILENCE.into())
                .with_value(value)
                .with_confirm(asking)
                .into(),
        );
    } else if briefing
        .muted
        .as_ref()
        .is_some_and(|muted| !muted.silences.is_empty())
    {
        elements.push(
            SlackBlockButtonElement::new(label("End silence"))
                .with_action_id(END_SILENCE.into())
                .with_value(value)
                .into(),
        );
    }
    SlackActionsBlock::new(elements).into()
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
        blocks.push(section(&format!("*What to do:* {}", line(step)), BODY_MAX));
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

fn fields(message: &Message<'_>, clock: &Clock) -> Vec<SlackBlockText> {
    let briefing = message.briefing;
    let failing = briefing.cells.iter().filter(|c| c.failing).count();
    let warns = briefing.kind == Kind::Warning;
    let places = format!(
        "{failing} of {} combinations, {} {}",
        briefing.cells.len(),
        briefing.failed_runs,
        if warns { "runs" } else { "failed runs" }
    );
    let last_good = briefing
        .last_good_at
        .map_or_else(|| "none seen".to_owned(), |at| clock.time_and_zone(at));
    let (got, failing_title) = match (briefing.is_unwatched(), warns) {
        (true, false) => ("Got last", "Last seen failing"),
        (true, true) => ("Got last", "Warned of last"),
        (false, false) => ("Got", "Failing"),
        (false, true) => ("Got", "Warned of"),
    };
    let fields = if briefing.is_fixed() {
        let decided = briefing.resolved_at.unwrap_or(message.happened_at);
        let last_bad = briefing.spells.last_bad_at.map_or_else(String::new, |at| {
            format!(", the last at {}", clock.time_and_zone(at))
        });
        [
            ("Expected", briefing.expected.clone()),
            ("Got meanwhile", briefing.got.clone()),
            (
                if warns { "Runs with it" } else { "Failed runs" },
                format!(
                    "{}, the first at {}{last_bad}",
                    briefing.failed_runs,
                    clock.time(briefing.onset_at)
                ),
            ),
            (
                if warns { "Well again" } else { "Passes again" },
                format!(
                    "since {}, sure at {}",
                    clock.time(over(message)),
                    clock.time_and_zone(decided)
                ),
            ),
        ]
    } else {
        [
            ("Expected", briefing.expected.clone()),
            (got, briefing.got.clone()),
            (failing_title, places),
            ("Last good run", last_good),
        ]
    };
    fields
        .into_iter()
        .map(|(title, value)| {
            let value = line(&value);
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

pub(super) fn reply_text(message: &Message<'_>, clock: &Clock) -> String {
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
        let ruled_out = briefing.ruled_out.iter().take(3);
        text.extend(ruled_out.map(|r| format!("• ruled out: {}", line(r))));
        let step = briefing.next_step.iter();
        text.extend(step.map(|s| format!("*What to do:* {}", line(s))));
    }
    text.extend(remarks(message, clock));
    text.join("\n")
}

pub(super) fn evidence_blocks(briefing: &Briefing, clock: &Clock) -> Vec<SlackBlock> {
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
pub(super) fn plain(message: &Message<'_>, clock: &Clock) -> String {
    escape_lines(&super::log::body(message, clock), PLAIN_MAX)
}

/// What a message is found by after an unclear outcome; anyone in the workspace can read it.
pub(super) fn metadata(delivery: Uuid, part: Part, incident: Option<u64>) -> SlackMessageMetadata {
    let mut payload = HashMap::from([
        ("delivery_id".to_owned(), delivery.to_string()),
        ("part".to_owned(), part.as_str().to_owned()),
    ]);
    if let Some(incident) = incident {
        payload.insert("incident".to_owned(), format!("INC-{incident}"));
    }
    SlackMessageMetadata::new(EVENT_TYPE.to_owned()).with_event_payload(payload)
}

pub(super) fn section(text: &str, max: usize) -> SlackBlock {
    section_of(escape_lines(text, max))
}

/// Of a text that is markup already.
fn section_of(text: String) -> SlackBlock {
    SlackSectionBlock::new()
        .with_text(SlackBlockText::MarkDown(markdown(text)))
        .into()
}

pub(super) fn context(text: &str) -> SlackBlock {
    context_of(escape(text, CONTEXT_MAX))
}

fn context_of(text: String) -> SlackBlock {
    SlackContextBlock::new(vec![SlackContextBlockElement::MarkDown(markdown(text))]).into()
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
pub(super) fn escape(text: &str, max: usize) -> String {
    let cut = cut_by(text, max, sent_units);
    cut.chars().map(sent).collect()
}

/// What came out of a template, in at most `max` characters as sent: facts made harmless, the operator's own
/// links, mentions and marks left as they are.
pub(super) fn markup(pieces: &[Piece], max: usize) -> String {
    let mut units: Vec<String> = Vec::new();
    for piece in pieces {
        let text = lines_kept(&piece.text);
        if piece.fact {
            // A star of theirs would end the bold of ours.
            units.extend(text.replace('*', "∗").chars().map(sent));
        } else {
            units.extend(own_units(&text));
        }
    }
    while units.last().is_some_and(|unit| unit.trim().is_empty()) {
        units.pop();
    }
    let size = |unit: &String| unit.encode_utf16().count();
    if units.iter().map(size).sum::<usize>() <= max {
        return units.concat();
    }
    let room = max.saturating_sub(cut_mark(units.len()).encode_utf16().count());
    let mut used = 0;
    let kept = units
        .iter()
        .take_while(|unit| {
            used += size(unit);
            used <= room
        })
        .count();
    format!("{}{}", units[..kept].concat(), cut_mark(units.len() - kept))
}

/// What the operator wrote: whole tokens (`<https://…|…>`, `<@U…>`), and single characters.
fn own_units(text: &str) -> Vec<String> {
    let mut units = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let token = rest.find('>').map(|end| &rest[..=end]).filter(|token| {
            ["<http://", "<https://", "<mailto:", "<@", "<#", "<!"]
                .iter()
                .any(|begin| token.starts_with(begin))
                && !token[1..].contains('<')
                && !token.contains('\n')
        });
        let taken = if let Some(token) = token {
            units.push(token.to_owned());
            token.len()
        } else {
            units.push(sent(character));
            character.len_utf8()
        };
        rest = &rest[taken..];
    }
    units
}

/// One character as Slack wants it.
fn sent(character: char) -> String {
    match character {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        other => other.to_string(),
    }
}

/// What one character costs as it is sent.
pub(super) fn sent_units(character: char) -> usize {
    match character {
        '&' => 5,
        '<' | '>' => 4,
        other => other.len_utf16(),
    }
}

pub(super) fn escape_lines(text: &str, max: usize) -> String {
    escape(&lines(text), max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_harmless_and_the_operators_markup_stays() {
        let piece = |text: &str, fact| Piece {
            text: text.to_owned(),
            fact,
        };
        let pieces = [
            piece("*R&D* <https://wiki.example/x?a=1|Runbook> <b> ", false),
            piece("<!channel> *bold* & more", true),
            piece(" <@U123>\n", false),
        ];
        assert_eq!(
            markup(&pieces, 1_000),
            "*R&amp;D* <https://wiki.example/x?a=1|Runbook> &lt;b&gt; &lt;!channel&gt; ∗bold∗ &amp; more <@U123>"
        );
        // A token is never cut in two.
        let cut = markup(&pieces, 50);
        assert_eq!(cut, "*R&amp;D* … cut, 32 characters more");
    }

    #[test]
    fn escapes_after_cutting() {
        assert_eq!(escape("a & <!here>", 100), "a &amp; &lt;!here&gt;");
        let cut = escape(&"<".repeat(100), 50);
        assert_eq!(cut, "&lt;&lt;&lt;&lt;&lt;&lt;… cut, 94 characters more");
        assert!(cut.chars().count() <= 50);
    }
}
