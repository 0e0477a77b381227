//! One message to one receiver: what it looks like there, and what became of it.
//!
//! The words are chosen before (`domain::notification::Briefing`); here they are laid out as each receiver
//! wants them, sent once, and every answer is put into a class that tells what to do next (`error`, `http`).
//! Nothing is retried here: `app/deliver` does, from the outbox.

mod adaptive_card;
pub mod alertmanager;
pub mod email;
mod email_message;
mod error;
mod evidence;
mod http;
/// Whether a request may leave.
pub mod leave;
pub mod log;
mod notice;
pub mod pagerduty;
mod phrases;
pub mod plain;
mod plain_words;
pub mod slack;
mod slack_connector;
mod slack_errors;
mod slack_message;
pub mod slack_socket;
mod slack_summary;
pub mod teams;
mod teams_together;
mod text;
pub mod told;
mod trouble;
pub mod webhook;
mod webhook_event;

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::notification::{Briefing, Member, Notification, Reason};

pub use error::{Class, SendError};
pub use notice::Notice;
pub use phrases::templates;
pub use trouble::Trouble;

/// For a whole request; Slack and Teams answer within a second or two.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For the connection alone.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is to be told, and how this time.
// Four facts that do not depend on each other.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Goes with the message where the receiver has a place for it, so that it can be found again.
    pub delivery: Uuid,
    pub reason: Reason,
    pub briefing: &'a Briefing,
    /// When that happened which it tells of.
    pub happened_at: Timestamp,
    /// Present time: for dates, durations and "delivered late".
    pub now: Timestamp,
    /// It comes so late that it must say so.
    pub late: bool,
    /// The opening never arrived: one message tells the whole of it.
    pub whole: bool,
    /// As plain text only, because the receiver refused the layout.
    pub plain: bool,
    /// An earlier try may have arrived and nobody can tell.
    pub repeat: bool,
    /// Said with the message ("could not reach engineers: `not_in_channel`").
    pub note: Option<&'a str>,
}

impl<'a> Message<'a> {
    /// As it is told in the ordinary case.
    #[must_use]
    pub fn plainly(notification: &'a Notification, now: Timestamp) -> Self {
        Self {
            delivery: notification.delivery,
            reason: notification.reason,
            briefing: &notification.briefing,
            happened_at: notification.created_at,
            now,
            late: false,
            whole: false,
            plain: false,
            repeat: false,
            note: None,
        }
    }
}

/// One message for many incidents, whose thread has the details.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a> {
    /// Goes with the message, so that it can be found again.
    pub delivery: Uuid,
    pub began_at: Timestamp,
    /// In the order of their numbers.
    pub members: &'a [Member],
    /// Others of it are told right after this one.
    pub more: bool,
    /// Set when an earlier try to post it may have arrived.
    pub look_since: Option<Timestamp>,
}
