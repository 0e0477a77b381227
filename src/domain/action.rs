//! What a person asks of the daemon from outside: a button in a channel, a command.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

/// One wish of one person; whether it is granted is decided elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Somebody looks after the incident.
    Acknowledge {
        incident: u64,
        /// For people ("ann in Slack").
        who: String,
        /// When it was asked, UTC.
        at: Timestamp,
    },
    /// Nothing more is to be told of the incident for a while.
    Silence {
        incident: u64,
        /// How long, from `at` on.
        lasting: Duration,
        who: String,
        at: Timestamp,
    },
    /// What silences the incident alone is to end.
    EndSilence {
        incident: u64,
        who: String,
        at: Timestamp,
    },
}

impl Action {
    /// The incident that it is about.
    #[must_use]
    pub fn incident(&self) -> u64 {
        match self {
            Self::Acknowledge { incident, .. }
            | Self::Silence { incident, .. }
            | Self::EndSilence { incident, .. } => *incident,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledge { incident, who, .. } => {
                write!(f, "{who} acknowledges INC-{incident}")
            }
            Self::Silence {
                incident,
                lasting,
                who,
                ..
            } => write!(
                f,
                "{who} silences INC-{incident} for {} min",
                lasting.as_secs() / 60
            ),
            Self::EndSilence { incident, who, .. } => {
                write!(f, "{who} ends the silence of INC-{incident}")
            }
        }
    }
}
