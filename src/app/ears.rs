//! Whether buttons are heard, and that people hear of it when they are not.
//!
//! A button that nobody hears looks like any other: whoever presses it thinks that the incident is acknowledged.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::cell::ReceiverName;
use crate::domain::moment::elapsed;
use crate::notify::slack_socket::Hearing;
use crate::surroundings::notice::Notice;

/// A connection that breaks comes back within seconds; that is no news.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Ears {
    deaf_since: Option<Timestamp>,
    told: bool,
}

impl Ears {
    /// People were told that buttons do nothing.
    pub(super) fn are_deaf(&self) -> bool {
        self.told
    }

    /// Looks who is heard; `plain` is a notice of ours without words. Returns what there is to tell.
    pub(super) fn look(
        &mut self,
        hearing: &[(ReceiverName, Hearing)],
        plain: Notice,
    ) -> Option<Notice> {
        let deaf = hearing.iter().filter_map(|(name, hearing)| match hearing {
            Hearing::Deaf(why) => Some((name.as_str(), why)),
            _ => None,
        });
        let deaf: Vec<(&str, &String)> = deaf.collect();
        if deaf.is_empty() {
            let all = hearing.iter().all(|(_, how)| *how == Hearing::Listening);
            if !all {
                return None;
            }
            self.deaf_since = None;
            return std::mem::take(&mut self.told).then(|| Notice {
                headline: "Buttons in Slack work again".to_owned(),
                ..plain
            });
        }
        let since = *self.deaf_since.get_or_insert(plain.at);
        if self.told || elapsed(since, plain.at) < PATIENCE {
            return None;
        }
        self.told = true;
        let names: Vec<&str> = deaf.iter().map(|(name, _)| *name).collect();
        Some(Notice {
            headline: format!(
                "Buttons in Slack do nothing at present ({}): {}",
                names.join(", "),
                deaf[0].1
            ),
            because: vec![
                "Messages come without them until they are heard again; it is tried again and again".to_owned(),
            ],
            next_step: Some(
                "Until then `edgewatch incidents ack N` and `edgewatch silence add --incident N` do the same".to_owned(),
            ),
            ..plain
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn people_are_told_once_that_buttons_are_dead_and_once_that_they_are_not() {
        let off = || Hearing::Deaf("Socket Mode is switched off in the Slack app".to_owned());
        let mut ears = Ears::default();
        let looks = [
            (0, Hearing::Connecting),
            (10, Hearing::Listening),
            (20, off()),
            (30, Hearing::Listening),
            (40, off()),
            (70, Hearing::Connecting),
            (80, off()),
            (99, off()),
            (100, off()),
            (200, off()),
            (300, Hearing::Connecting),
            (310, Hearing::Listening),
            (320, Hearing::Listening),
        ];
        let said = looks.into_iter().filter_map(|(second, hearing)| {
            let plain =
                Notice::of_ourselves(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second));
            let notice = ears.look(&[(ReceiverName::new("engineers"), hearing)], plain)?;
            Some(format!("{second}: {}", notice.headline))
        });
        assert_eq!(
            said.collect::<Vec<_>>(),
            [
                "100: Buttons in Slack do nothing at present (engineers): Socket Mode is switched off in the Slack app",
                "310: Buttons in Slack work again",
            ]
        );
        assert!(!ears.are_deaf());
    }
}
