//! How a storm looks in Teams: one card that names every problem in it, in the same plain words.

use serde_json::{Value, json};

use super::Message;
use super::adaptive_card::{envelope, escape, frame};
use super::phrases::{self, Phrases};
use super::plain::{DO_NOW, RING, say, stands_in};
use super::plain_words::{foot_remarks, service, words};
use super::text::{Clock, cut, lasted, line, listed, over, reference};

/// Of all the lines, one for each problem; what does not fit is named by its reference. Teams takes cards of 28 KB:
/// <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using> (2026-11-22).
const LINES_BYTES_MAX: usize = 14_000;
/// Of what is broken and of who is affected, in one such line.
const WORDS_MAX: usize = 120;
const REST_MAX: usize = 600;

/// Of how many one card can tell, each in a line of its own; the others need another.
pub(super) fn fitting(messages: &[Message<'_>], phrases: &Phrases) -> usize {
    let Some(first) = messages.first() else {
        return 0;
    };
    let clock = Clock::new(first);
    named(messages, &clock, phrases).len()
}

/// The lines that there is room for.
fn named(messages: &[Message<'_>], clock: &Clock, phrases: &Phrases) -> Vec<Value> {
    let mut bytes = 0;
    messages
        .iter()
        .map(|message| {
            let text = line_of(message, clock, phrases);
            json!({ "type": "TextBlock", "text": escape(&text), "wrap": true, "spacing": "Small" })
        })
        .take_while(|line| {
            bytes += line.to_string().len();
            bytes <= LINES_BYTES_MAX
        })
        .collect()
}

/// What is posted for many at once; newest facts, in the order of their beginning.
pub(super) fn payload(messages: &[Message<'_>], phrases: &Phrases) -> Option<Value> {
    let first = messages.first()?;
    let clock = Clock::new(first);
    let (word, style, large) = head(messages);
    let mut body = vec![json!({
        "type": "Container",
        "style": style,
        "bleed": true,
        "items": [
            { "type": "TextBlock", "text": word, "weight": "Bolder", "size": "Small", "wrap": true },
            { "type": "TextBlock", "text": escape(&large), "weight": "Bolder", "size": "Large", "wrap": true },
            { "type": "TextBlock", "text": escape(&services(messages)), "isSubtle": true, "spacing": "None", "wrap": true },
        ],
    })];
    if messages.iter().any(stands_in) {
        let ring = format!("{DO_NOW}: {RING}");
        body.push(
            json!({ "type": "TextBlock", "text": escape(&ring), "weight": "Bolder", "wrap": true }),
        );
    }
    let lines = named(messages, &clock, phrases);
    let named = lines.len();
    body.extend(lines);
    if messages.len() > named {
        let rest: Vec<String> = messages[named..]
            .iter()
            .map(|message| {
                let fixed = if ended(message) { " (fixed)" } else { "" };
                format!("{}{fixed}", reference(message.briefing))
            })
            .collect();
        let rest = cut(&format!("And {}", rest.join(", ")), REST_MAX);
        body.push(json!({ "type": "TextBlock", "text": escape(&rest), "wrap": true }));
    }
    body.push(json!({
        "type": "TextBlock",
        "text": escape(&foot(messages, &clock)),
        "size": "Small",
        "isSubtle": true,
        "wrap": true,
    }));
    let title = format!("{word}: {large}");
    Some(envelope(&title, &frame(&title, &body)))
}

/// One problem on a line.
pub(super) fn line_of(message: &Message<'_>, clock: &Clock, phrases: &Phrases) -> String {
    format!(
        "{} ({})",
        fact(message, clock, phrases),
        reference(message.briefing)
    )
}

/// Whose they are: up to three by name, more by their number.
pub(super) fn services(messages: &[Message<'_>]) -> String {
    let mut names: Vec<String> = Vec::new();
    for name in messages.iter().map(|message| service(message.briefing)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    listed(&names, "partners")
}

fn ended(message: &Message<'_>) -> bool {
    message.reason.is_end()
}

/// The word for all of them, how it looks, and how many they are.
pub(super) fn head(messages: &[Message<'_>]) -> (&'static str, &'static str, String) {
    let fixed = messages.iter().filter(|m| m.briefing.is_fixed()).count();
    let lost = messages
        .iter()
        .filter(|m| m.briefing.is_unwatched())
        .count();
    let count = |number: usize| match number {
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    };
    let are = |number: usize| if number == 1 { "is" } else { "are" };
    let not_watched = || format!("{} no longer watched", are(lost));
    match (messages.len() - fixed - lost, fixed) {
        (0, 0) => (
            "NO LONGER WATCHED",
            "warning",
            format!("{} {}", count(lost), not_watched()),
        ),
        (0, fixed) if lost > 0 => (
            "PARTLY FIXED",
            "warning",
            format!(
                "{} {} fixed, {lost} {}",
                count(fixed),
                are(fixed),
                not_watched()
            ),
        ),
        (new, fixed) if lost > 0 => (
            "SEVERAL PROBLEMS",
            "attention",
            format!(
                "{} at the same time; {fixed} {} fixed, {lost} {}",
                count(new),
                are(fixed),
                not_watched()
            ),
        ),
        (0, fixed) => (
            "FIXED",
            "good",
            format!("{} {} fixed", count(fixed), are(fixed)),
        ),
        (new, 0) => (
            "SEVERAL PROBLEMS",
            "attention",
            format!("{} at the same time", count(new)),
        ),
        (new, fixed) => (
            "SEVERAL PROBLEMS",
            "attention",
            format!(
                "{} at the same time, and {fixed} {} fixed",
                count(new),
                are(fixed)
            ),
        ),
    }
}

fn fact(message: &Message<'_>, clock: &Clock, phrases: &Phrases) -> String {
    let briefing = message.briefing;
    let said = say(message, clock, phrases);
    let what = cut(&line(&phrases::plain(&said.headline)), WORDS_MAX);
    if ended(message) {
        if briefing.is_unwatched() {
            let end = briefing.resolved_at.unwrap_or(message.happened_at);
            return format!(
                "{what}, since {}; not watched since {}",
                clock.time(briefing.onset_at),
                clock.time(end)
            );
        }
        let share = if briefing.reopened > 0 { " of it" } else { "" };
        return format!(
            "{what}, from {} to {}, {}{share}",
            clock.time(briefing.onset_at),
            clock.time(over(message)),
            lasted(briefing, over(message))
        );
    }
    let since = clock.time(briefing.onset_at);
    match words(briefing.words.affects.as_ref()) {
        Some(affects) => format!(
            "{what}, since {since}. Affected: {}",
            cut(&affects, WORDS_MAX)
        ),
        None => format!("{what}, since {since}"),
    }
}

pub(super) fn foot(messages: &[Message<'_>], clock: &Clock) -> String {
    let mut foot = vec![format!("All times are {}", clock.place)];
    let next = messages
        .iter()
        .filter(|m| !ended(m))
        .filter_map(|m| m.briefing.next_update_at)
        .min();
    if let Some(at) = next {
        foot.push(format!("next update {}", clock.time(at)));
    }
    // Each thing once, whichever of them it is about.
    for message in messages {
        for remark in foot_remarks(message, clock) {
            if !foot.contains(&remark) {
                foot.push(remark);
            }
        }
    }
    cut(&foot.join(" · "), REST_MAX)
}
