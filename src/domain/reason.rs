//! Why a message is due.

/// Why a notification is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    Opened,
    /// Cause, scope or verdict changed.
    Changed,
    Reminder,
    Resolved,
    Reopened,
    /// Somebody looks after it.
    Acknowledged,
    /// It is muted now, or no longer: what stands in a channel is edited, and nobody is told.
    Muted,
    /// Something changed that is no incident; nothing follows it.
    Notice,
}

impl Reason {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Changed => "changed",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
            Self::Reopened => "reopened",
            Self::Acknowledged => "acknowledged",
            Self::Muted => "muted",
            Self::Notice => "notice",
        }
    }

    /// The value with this spelling, if there is one.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Opened,
            Self::Changed,
            Self::Reminder,
            Self::Resolved,
            Self::Reopened,
            Self::Acknowledged,
            Self::Muted,
            Self::Notice,
        ]
        .into_iter()
        .find(|r| r.as_str() == word)
    }
}
