//! How a storm looks in Slack: one message that names its incidents, with the details of each in its thread.

use slack_morphism::prelude::SlackBlock;
use slack_morphism::{SlackMessageAttachment, SlackMessageContent};

use super::phrases::Phrases;
use super::slack_message::{
    AMBER, FALLBACK_MAX, GREEN, PLAIN_MAX, RED, TEXT_MAX, context, escape, escape_lines,
    evidence_blocks, parent_blocks, plain, reply_text, section, sent_units,
};
use super::text::{Clock, between, duration, line, listed, summary as first_line, words};
use super::{Message, Summary};
use crate::domain::incident::State;
use crate::domain::notification::{Member, Reason};

/// Incidents that have a line of their own; the rest are named by their numbers.
const LINES_MAX: usize = 12;
/// Of one such line as sent; twelve of them and the rest fit into one section.
const LINE_MAX: usize = 150;
const REST_MAX: usize = 600;

/// The summary in its present state; `mention` only when it is first posted.
pub(super) fn summary(
    message: &Message<'_>,
    summary: &Summary<'_>,
    mention: Option<&str>,
) -> SlackMessageContent {
    let clock = Clock::new(message);
    let title = title(summary, &clock);
    // The number in bold, as the state is in other messages.
    let mut text = escape(&title, FALLBACK_MAX);
    if let Some((count, rest)) = text.split_once(" · ") {
        text = format!("*{count}* · {rest}");
    }
    if message.plain {
        let lines = lines(summary.members, &clock, "");
        text = escape_lines(&format!("{title}\n{lines}"), PLAIN_MAX);
    }
    if let Some(mention) = mention {
        text = format!("{mention} {text}");
    }
    let content = SlackMessageContent::new().with_text(text);
    if message.plain {
        return content;
    }
    let blocks = vec![
        section(&lines(summary.members, &clock, "*"), TEXT_MAX),
        context("Too many at once for a message each · the details of each are in the thread"),
    ];
    let attachment = SlackMessageAttachment::new()
        .with_color(colour(summary.members).to_owned())
        .with_blocks(blocks);
    content.with_attachments(vec![attachment])
}

fn bold(text: &str) -> String {
    text.replace('*', "∗")
}

fn colour(members: &[Member]) -> &'static str {
    let mut open = members.iter().filter(|m| m.resolved_at.is_none());
    match open.next() {
        None if members.iter().any(|m| m.state == State::Unwatched) => AMBER,
        None => GREEN,
        Some(first) if first.our_side && open.all(|m| m.our_side) => AMBER,
        Some(_) => RED,
    }
}

/// `8 INCIDENTS · GMC · 6 open, 2 fixed · since 14:05 GMT`.
fn title(summary: &Summary<'_>, clock: &Clock) -> String {
    let members = summary.members;
    let states = [
        (State::Open, "open"),
        (State::Resolved, "fixed"),
        (State::Unwatched, "no longer watched"),
    ];
    let counted = states.map(|(state, word)| {
        let count = members.iter().filter(|m| m.state == state).count();
        (count, word)
    });
    let some: Vec<_> = counted.iter().filter(|(count, _)| *count > 0).collect();
    let state = if let [(_, word)] = some[..] {
        format!("all {word}")
    } else {
        let parts: Vec<String> = some.iter().map(|(n, word)| format!("{n} {word}")).collect();
        parts.join(", ")
    };
    let onset = members.iter().map(|m| m.onset_at).min();
    let since = clock.time_and_zone(onset.unwrap_or(summary.began_at));
    let noun = if members.len() == 1 {
        "INCIDENT"
    } else {
        "INCIDENTS"
    };
    let mut parts = vec![format!("{} {noun}", members.len())];
    parts.push(partners(members));
    parts.push(state);
    parts.push(format!("since {since}"));
    parts.retain(|part| !part.is_empty());
    parts.join(" · ")
}

/// Whose they are: up to three by name, more by their number; our own side is nobody's.
fn partners(members: &[Member]) -> String {
    let mut names: Vec<String> = Vec::new();
    for member in members.iter().filter(|m| !m.our_side) {
        let name = line(&member.service);
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    listed(&names, "partners")
}

/// Open ones first, the word in `bold` marks.
fn lines(members: &[Member], clock: &Clock, bold: &str) -> String {
    let mut sorted: Vec<&Member> = members.iter().collect();
    sorted.sort_by_key(|m| (m.resolved_at.is_some(), m.incident));
    let mut lines: Vec<String> = sorted
        .iter()
        .take(LINES_MAX)
        .map(|member| {
            let (thing, over) = words(member.our_side, member.warning);
            let (word, when) = match member.resolved_at {
                Some(end) if member.state == State::Unwatched => {
                    ("NO LONGER WATCHED", format!("since {}", clock.time(end)))
                }
                Some(end) => (
                    over,
                    format!("after {}", duration(between(member.onset_at, end))),
                ),
                None => (thing, format!("since {}", clock.time(member.onset_at))),
            };
            let headline = line(&member.headline).replace('*', "∗");
            let rest = clip(&format!("{when} · INC-{} · {headline}", member.incident));
            format!("• {bold}{word}{bold} {rest}")
        })
        .collect();
    if sorted.len() > LINES_MAX {
        lines.push(rest(&sorted[LINES_MAX..]));
    }
    lines.join("\n")
}

/// The numbers of the others, as many as there is room for.
fn rest(members: &[&Member]) -> String {
    let mut text = "and".to_owned();
    for (index, member) in members.iter().enumerate() {
        let fixed = match member.state {
            State::Open => "",
            State::Resolved => " fixed",
            State::Unwatched => " no longer watched",
        };
        let next = format!(" INC-{}{fixed},", member.incident);
        if text.len() + next.len() > REST_MAX {
            return format!("{text} and {} more", members.len() - index);
        }
        text.push_str(&next);
    }
    text.trim_end_matches(',').to_owned()
}

/// One line in a list; how much of it is missing is no matter here, the thread has it all.
fn clip(text: &str) -> String {
    let mut used = 0;
    let kept: String = text
        .chars()
        .take_while(|c| {
            used += sent_units(*c);
            used < LINE_MAX
        })
        .collect();
    if kept.len() < text.len() {
        format!("{kept}…")
    } else {
        kept
    }
}

/// What the thread says of one member this time: of a new one, all that its own message would have said.
pub(super) fn reply(message: &Message<'_>, phrases: &Phrases) -> SlackMessageContent {
    let clock = Clock::new(message);
    if message.plain {
        return SlackMessageContent::new().with_text(plain(message, &clock));
    }
    let text = escape(&first_line(message, &clock), FALLBACK_MAX);
    let blocks: Vec<SlackBlock> = if message.reason == Reason::Opened || message.whole {
        // Beside blocks the text does not show, so the headline is one of them.
        let mut blocks = vec![section(
            &format!("*{}*", bold(&first_line(message, &clock))),
            FALLBACK_MAX,
        )];
        blocks.extend(parent_blocks(message, &clock, phrases));
        if !message.whole {
            blocks.extend(evidence_blocks(message.briefing, &clock));
        }
        blocks
    } else {
        let mut text = vec![reply_text(message, &clock)];
        text.push(super::text::reference(message.briefing));
        vec![section(&text.join("\n"), TEXT_MAX)]
    };
    SlackMessageContent::new()
        .with_text(text)
        .with_blocks(blocks)
}
