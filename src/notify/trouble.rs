//! That a channel of ours does not work, and that it works again, as the receivers told instead want it.
//!
//! People get a line or a card (`notice`); programs and pagers an event, an alert or a mail thread of its own.
//! Its name is made of the channel and of when the trouble began, so that the same message has the same
//! name however often it is tried, and the end finds its beginning after a restart.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use super::Notice;

/// A channel in trouble, or its end.
#[derive(Debug, Clone, Copy)]
pub struct Trouble<'a> {
    /// Whose messages do not arrive.
    pub receiver: &'a str,
    /// What it is, or was; for engineers.
    pub why: &'a str,
    pub since: Timestamp,
    pub over: bool,
    /// Present time.
    pub now: Timestamp,
}

impl Trouble<'_> {
    /// For people.
    #[must_use]
    pub fn notice(&self) -> Notice<'_> {
        let receiver = self.receiver;
        if self.over {
            Notice::ReachableAgain { receiver }
        } else {
            Notice::Unreachable {
                receiver,
                why: self.why,
            }
        }
    }

    /// Names the trouble, from its beginning to its end.
    pub(super) fn key(&self) -> String {
        format!(
            "edgewatch/channel/{}/{}",
            self.receiver,
            self.since.as_microsecond()
        )
    }

    /// Names the message: the same at each try, another for the end.
    #[must_use]
    pub fn id(&self) -> Uuid {
        let digest = Sha256::new()
            .chain_update(self.key())
            .chain_update([u8::from(self.over)])
            .finalize();
        let mut bits = [0; 10];
        bits.copy_from_slice(&digest[..10]);
        let milliseconds = u64::try_from(self.since.as_millisecond()).unwrap_or(0);
        Builder::from_unix_timestamp_millis(milliseconds, &bits).into_uuid()
    }

    /// The message with which it began.
    pub(super) fn beginning(self) -> Self {
        Self {
            over: false,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_one_name_and_the_end_another() {
        let at = |second: i64| Timestamp::from_second(1_614_265_330 + second).unwrap();
        let begun = Trouble {
            receiver: "engineers",
            why: "Slack refused: invalid_auth",
            since: at(0),
            over: false,
            now: at(0),
        };
        let again = Trouble {
            why: "Slack refused: account_inactive",
            now: at(600),
            ..begun
        };
        let end = Trouble {
            over: true,
            ..again
        };
        assert_eq!(begun.id(), again.id());
        assert_ne!(begun.id(), end.id());
        assert_eq!(end.beginning().id(), begun.id());
        assert_eq!(end.key(), begun.key());
        let other = Trouble {
            receiver: "support",
            ..begun
        };
        let later = Trouble {
            since: at(1),
            ..begun
        };
        for one in [other, later] {
            assert_ne!(one.id(), begun.id());
            assert_ne!(one.key(), begun.key());
        }
        assert_eq!(begun.id().get_version_num(), 7);
    }
}
