//! What a worker knows of its own channel between two looks.

use jiff::Timestamp;

use crate::notify::email::Thread;

/// What a worker remembers of its own channel between two looks.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    /// The channel was looked at and works.
    pub(super) checked: bool,
    /// Not to be looked at again before.
    pub(super) check_at: Option<Timestamp>,
    /// Not to be told of again before, when telling failed.
    pub(super) notice_at: Option<Timestamp>,
    pub(super) well_at: Option<Timestamp>,
    /// Whether others know of a trouble; `None`: it has to be looked up.
    pub(super) known: Option<Known>,
    /// A trouble that no message to the fallback told of well enough, and why.
    pub(super) owed: Option<String>,
    /// Since when there is the trouble that others know of, or are about to, and what it was then.
    pub(super) begun: Option<(Timestamp, String)>,
    /// Which recipients have the mail about it.
    pub(super) mail: Thread,
    /// When a fallback that forgets was last told.
    pub(super) stood_at: Option<Timestamp>,
}

/// What others know of a trouble of this channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Nothing,
    /// They may have been told, and nobody can tell.
    Perhaps,
    Told,
}
