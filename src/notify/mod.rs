//! One message to one receiver: what it looks like there, and what became of it.
//!
//! The words are chosen before (`domain::notification::Briefing`); here they are laid out for Slack, for
//! Teams and for the log, sent once, and every answer is put into a class that tells what to do next.
//! Nothing is retried here: `app/deliver` does, from the outbox.

mod error;
mod evidence;
pub mod log;
mod notice;
mod phrases;
pub mod slack;
mod slack_connector;
mod slack_errors;
mod slack_message;
pub mod slack_socket;
mod slack_summary;
pub mod teams;
mod teams_together;
mod text;

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::notification::{Briefing, Member, Reason};

pub use error::{Class, SendError};
pub use notice::Notice;

/// For a whole request; Slack and Teams answer within a second or two.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For the connection alone.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes read of an answer; Slack's largest we ask for, 100 messages of history, are well below.
const ANSWER_BYTES_MAX: usize = 2 << 20;

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

/// One message for many incidents, whose thread has the details.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a> {
    /// Goes with the message, so that it can be found again.
    pub delivery: Uuid,
    pub began_at: Timestamp,
    /// In the order of their numbers.
    pub members: &'a [Member],
    /// Set when an earlier try to post it may have arrived.
    pub look_since: Option<Timestamp>,
}

/// The HTTP client for receivers: bounded times, no redirects (a `POST` would become a `GET` that ends on a sign-in page).
fn http_client(timeout: Duration) -> Result<reqwest::Client, SendError> {
    // reqwest panics without a provider; an error here means that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .build()
        .map_err(|e| SendError::new(Class::Setup, format!("no HTTP client: {}", e.without_url())))
}

/// Reads an answer up to the bound; more is cut off.
async fn read_body(mut answer: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        let room = ANSWER_BYTES_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(body)
}

/// Seconds of a `Retry-After` header, whole or not; `None` for a date or anything else.
fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let text = answer
        .headers()
        .get(reqwest::header::RETRY_AFTER)?
        .to_str()
        .ok()?;
    let seconds: f64 = text.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
