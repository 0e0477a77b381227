//! The message as plain text, for the log, the terminal, and wherever a layout was refused.

use super::Message;
use super::evidence;
use super::text::{
    Clock, acknowledged, beside, contact, line, over, percent, reference, remarks, summary,
};
use crate::domain::notification::Reason;
use crate::domain::verdict::Kind;

/// The message as plain lines, the first of which makes sense alone; colour is left to the caller.
#[must_use]
pub fn text(message: &Message<'_>) -> String {
    body(message, &Clock::new(message))
}

pub(super) fn body(message: &Message<'_>, clock: &Clock) -> String {
    let briefing = message.briefing;
    let mut text = vec![format!(
        "{} · {}",
        summary(message, clock),
        reference(briefing)
    )];
    text.extend(remarks(message, clock));
    if message.reason == Reason::Resolved {
        text.extend(times(message, clock));
        return text.join("\n");
    }
    if briefing.cause_known {
        text.push(format!("Confidence {}", percent(briefing.confidence)));
    }
    text.extend(beside(briefing));
    text.extend(acknowledged(briefing, clock));
    text.extend(briefing.because.iter().map(|b| format!("  - {}", line(b))));
    text.extend(
        briefing
            .ruled_out
            .iter()
            .map(|r| format!("Ruled out: {}", line(r))),
    );
    if let Some(step) = &briefing.next_step {
        text.push(format!("What to do: {}", line(step)));
    }
    text.extend(
        briefing
            .before
            .iter()
            .map(|before| format!("Before: {}", line(before))),
    );
    text.extend(contact(briefing).map(|(title, value)| format!("{title}: {value}")));
    for (title, value) in [("Expected", &briefing.expected), ("Got", &briefing.got)] {
        if !value.is_empty() {
            text.push(format!("{title}: {}", line(value)));
        }
    }
    if let Some(at) = briefing.last_good_at {
        text.push(format!("Last good run: {}", clock.time_and_zone(at)));
    }
    if !briefing.reference_ids.is_empty() {
        let ids: Vec<String> = briefing.reference_ids.iter().map(|id| line(id)).collect();
        text.push(format!("Reference ids: {}", ids.join(", ")));
    }
    if let Some(at) = briefing.next_update_at {
        text.push(format!("Next update: {}", clock.time_and_zone(at)));
    }
    text.join("\n")
}

/// What is known of something that is over: how often it failed, from when to when, and what came back.
fn times(message: &Message<'_>, clock: &Clock) -> Vec<String> {
    let briefing = message.briefing;
    let failed = match briefing.kind {
        Kind::Warning => "Runs that were warned of",
        _ => "Failed runs",
    };
    let last = briefing.spells.last_bad_at.map_or_else(String::new, |at| {
        format!(", the last at {}", clock.time_and_zone(at))
    });
    let decided = briefing.resolved_at.unwrap_or(message.happened_at);
    let mut text = Vec::new();
    if !briefing.got.is_empty() {
        text.push(format!("Got meanwhile: {}", line(&briefing.got)));
    }
    text.push(format!(
        "{failed}: {}, the first at {}{last}",
        briefing.failed_runs,
        clock.time(briefing.onset_at)
    ));
    text.push(format!(
        "Passes since {}, sure at {}",
        clock.time(over(message)),
        clock.time_and_zone(decided)
    ));
    text
}

/// The message and its full evidence.
#[must_use]
pub fn text_with_evidence(message: &Message<'_>) -> String {
    let clock = Clock::new(message);
    let mut text = vec![body(message, &clock)];
    if matches!(message.reason, Reason::Opened | Reason::Reopened) {
        for part in evidence::parts(message.briefing, &clock) {
            // Said above.
            if !matches!(part.title, evidence::WHY | evidence::REFERENCES) {
                let indented = part.text.replace('\n', "\n  ");
                text.push(format!("{}:\n  {indented}", part.title));
            }
        }
    }
    text.join("\n\n")
}
