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
        Reopened = "reopened",
        /// Somebody looks after it.
        Acknowledged = "acknowledged",
        /// It is muted now, or no longer: what stands in a channel is edited, and nobody is told.
        Muted = "muted",
        /// Something changed that is no incident; nothing follows it.
        Notice = "notice",
    }
);
