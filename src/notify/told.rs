//! What a plain message says, piece by piece, for the page of support staff: the words of the cards, to the letter.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Message;
use super::phrases::Phrases;
use super::plain::{facts, lines, say, shown, title};
use super::plain_words::{state, words};
use super::text::{self, Clock};
use crate::domain::notification::{Notification, Reason, Templates};

/// One message in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// How it stands (`STILL A PROBLEM`).
    pub state: &'static str,
    /// The sentence that stands out.
    pub headline: String,
    /// What stands below it; empty: nothing.
    pub below: String,
    /// Titles and values, in the order of reading.
    pub facts: Vec<(&'static str, String)>,
    /// What users may be told.
    pub tell: Option<String>,
    /// State and headline in one line.
    pub title: String,
    /// All of it as lines, for a ticket or a mail.
    pub text: String,
}

/// A notification as it was told, with the durations of `now`.
#[must_use]
pub fn told(notification: &Notification, now: Timestamp, templates: &Templates) -> Told {
    let message = Message::plainly(notification, now);
    let clock = Clock::new(&message);
    let said = say(&message, &clock, &Phrases::for_teams(templates));
    let goes_on = !message.reason.is_end() && message.reason != Reason::Notice;
    Told {
        state: state(&message),
        headline: shown(&said.headline),
        below: shown(&said.body),
        facts: facts(&message, &clock),
        tell: words(message.briefing.words.tell.as_ref()).filter(|_| goes_on),
        title: title(&message, &said),
        text: lines(&message, &clock, &said).join("\n"),
    }
}

/// `02:31 (London time)`, with the date when that is not today's.
#[must_use]
pub fn time(zone: &TimeZone, at: Timestamp, now: Timestamp) -> String {
    let (_, place) = text::zone_of(zone.iana_name().unwrap_or("UTC"));
    format!("{} ({place})", text::time_in(zone, at, now))
}

/// `45 s`, `52 min`, `2 h 5 min`, as the cards say it.
#[must_use]
pub fn lasting(duration: Duration) -> String {
    text::duration(duration)
}
