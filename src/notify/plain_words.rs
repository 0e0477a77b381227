//! What support staff read, piece by piece: the state, what is done, the service by its name.

use super::Message;
use super::text::{Clock, cut, line};
use crate::domain::notification::{Briefing, Engineers, Reason};

pub(super) const WORDS_MAX: usize = 300;
const SERVICE_MAX: usize = 100;
const NAME_MAX: usize = 60;

/// How it stands, word first.
pub(super) fn state(message: &Message<'_>) -> &'static str {
    match message.reason {
        Reason::Reopened if message.briefing.watched_again => "WATCHED AGAIN",
        Reason::Opened | Reason::Reopened => "PROBLEM",
        Reason::Acknowledged if message.briefing.acknowledged.is_none() => "NO LONGER ACKNOWLEDGED",
        Reason::Acknowledged => "ACKNOWLEDGED",
        Reason::Changed | Reason::Reminder | Reason::Muted => "STILL A PROBLEM",
        Reason::Resolved => "FIXED",
        Reason::Unwatched => "NO LONGER WATCHED",
        Reason::Notice => "FOR YOUR INFORMATION",
    }
}

/// What is known to be done: that somebody works on it is known once somebody has said so.
pub(super) fn doing(message: &Message<'_>) -> String {
    let briefing = message.briefing;
    let ours = if briefing.our_side {
        "; the trouble is on our own side"
    } else {
        ""
    };
    let told = match &briefing.acknowledged {
        // Slack's own ids are no names.
        Some(by) if by.by.starts_with('<') => {
            "Somebody of the technical team looks after it".to_owned()
        }
        Some(by) => format!("{} looks after it", cut(&line(&by.by), NAME_MAX)),
        None if briefing.engineers == Engineers::Told => {
            "The technical team has been told".to_owned()
        }
        // What to do about it stands above.
        None if message.note.is_some() => "Nobody but this channel has been told".to_owned(),
        None => "Nobody but this channel has been told. Please ring the technical team".to_owned(),
    };
    format!("{told}{ours}")
}

pub(super) fn service(briefing: &Briefing) -> String {
    cut(&line(&briefing.service), SERVICE_MAX)
}

/// A text of the configuration; `None` when it says nothing.
pub(super) fn words(text: Option<&String>) -> Option<String> {
    let text = cut(&line(text?), WORDS_MAX);
    (!text.is_empty()).then_some(text)
}

/// What must be said of the delivery itself; the names of other channels are no matter here.
pub(super) fn foot_remarks(message: &Message<'_>, clock: &Clock) -> Vec<String> {
    let mut foot = Vec::new();
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
    foot
}
