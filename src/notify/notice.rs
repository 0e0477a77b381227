//! What is told beside incidents: that all is well, that a channel of ours does not work, that it works again.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::adaptive_card::{envelope, escape, frame};
use super::text::{line, time_in, zone_of};
use crate::domain::notification::AllIsWell;

/// One such message.
#[derive(Debug, Clone, Copy)]
pub enum Notice<'a> {
    AllIsWell {
        setting: &'a AllIsWell,
        now: Timestamp,
    },
    /// Messages to this receiver do not arrive; `why` is for engineers.
    Unreachable {
        receiver: &'a str,
        why: &'a str,
    },
    ReachableAgain {
        receiver: &'a str,
    },
}

impl Notice<'_> {
    /// For engineers, on one line.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::AllIsWell { setting, .. } => {
                format!(
                    "ALL IS WELL · {} · no problem is known",
                    line(&setting.service)
                )
            }
            Self::Unreachable { receiver, why } => format!(
                "CHANNEL TROUBLE · messages to {} do not arrive: {}",
                line(receiver),
                line(why)
            ),
            Self::ReachableAgain { receiver } => {
                format!(
                    "CHANNEL TROUBLE OVER · messages to {} arrive again",
                    line(receiver)
                )
            }
        }
    }

    /// For support staff: no reasons, and what they can do.
    #[must_use]
    pub fn card(&self) -> Value {
        let style = match self {
            Self::AllIsWell { .. } | Self::ReachableAgain { .. } => "good",
            Self::Unreachable { .. } => "warning",
        };
        let (word, large, small) = self.plain();
        let body = [json!({
            "type": "Container",
            "style": style,
            "bleed": true,
            "items": [
                { "type": "TextBlock", "text": word, "weight": "Bolder", "size": "Small", "wrap": true },
                { "type": "TextBlock", "text": escape(&large), "weight": "Bolder", "size": "Large", "wrap": true },
                { "type": "TextBlock", "text": escape(&small), "spacing": "None", "wrap": true },
            ],
        })];
        let title = format!("{word}: {large}");
        envelope(&title, &frame(&title, &body))
    }

    /// The same as a word, a sentence, and what stands below it.
    pub(super) fn plain(&self) -> (&'static str, String, String) {
        match self {
            Self::AllIsWell { setting, now } => {
                let (zone, place) = zone_of(&setting.zone);
                let mut small = format!(
                    "As of {} ({place}). This message comes on a schedule, to show that messages arrive here.",
                    time_in(&zone, *now, *now)
                );
                if let Some(next) = setting.next_after(*now) {
                    small = format!("{small} The next one: {}.", day_in(&zone, next));
                }
                (
                    "ALL IS WELL",
                    format!("{}: no problem is known", line(&setting.service)),
                    small,
                )
            }
            Self::Unreachable { receiver, .. } => (
                "MESSAGES",
                "Some messages about problems do not arrive".to_owned(),
                format!(
                    "Those to “{}” can’t be delivered at present. Please tell the engineers. Messages here are not affected.",
                    line(receiver)
                ),
            ),
            Self::ReachableAgain { receiver } => (
                "MESSAGES",
                "All messages arrive again".to_owned(),
                format!(
                    "Those to “{}” can be delivered again. There is nothing to do.",
                    line(receiver)
                ),
            ),
        }
    }
}

/// `Tue 1 Dec, 10:00`.
fn day_in(zone: &TimeZone, at: Timestamp) -> String {
    at.to_zoned(zone.clone())
        .strftime("%a %-d %b, %H:%M")
        .to_string()
}
