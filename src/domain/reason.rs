//! Why a message is due.

use super::spelling::spelled;

spelled!(
    /// Why a notification is due.
    Reason {
        Opened = "opened",
        /// Cause, scope or verdict changed.
        Changed = "changed",
        Reminder = "reminder",
        Resolved = "resolved",
        /// It is no longer watched as it was, last seen failing: an end of which nobody knows whether it is one.
        Unwatched = "unwatched",
        Reopened = "reopened",
        /// Somebody looks after it.
        Acknowledged = "acknowledged",
        /// It is muted now, or no longer: what stands in a channel is edited, and nobody is told.
        Muted = "muted",
        /// Something changed that is no incident; nothing follows it.
        Notice = "notice",
    }
);

impl Reason {
    /// Nothing follows it but a return.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, Self::Resolved | Self::Unwatched)
    }
}
