//! A message due to a person's channel, and where it goes.

use jiff::Timestamp;
use uuid::Uuid;

use super::cell::ReceiverName;
use super::incident::Specimen;
use super::probe::Words;
use super::secret::Secret;
use super::verdict::Kind;

/// A message that is due: facts, rendered only when it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// UUID version 7; also the idempotency key where a receiver has one.
    pub delivery: Uuid,
    /// 0 for a notice, which belongs to none.
    pub incident: u64,
    /// Its place among the notifications of the incident to this receiver; strictly increasing. 0 for a notice.
    pub sequence: u32,
    pub reason: Reason,
    pub receiver: ReceiverName,
    pub created_at: Timestamp,
    /// Not to be sent before.
    pub not_before: Timestamp,
    pub briefing: Briefing,
}

/// Why a notification is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    Opened,
    /// Cause, scope or verdict changed.
    Changed,
    Reminder,
    Resolved,
    Reopened,
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
            Self::Notice,
        ]
        .into_iter()
        .find(|r| r.as_str() == word)
    }
}

/// Everything a message about an incident may say, in words already chosen; the layout is the receiver's.
#[derive(Debug, Clone, PartialEq)]
pub struct Briefing {
    pub service: String,
    pub incident: u64,
    pub resolved: bool,
    /// The fault is on our side (controls fail), not the partner's.
    pub our_side: bool,
    /// `host` or `our network`.
    pub subject: String,
    pub probes: Vec<String>,
    pub kind: Kind,
    /// One sentence for engineers ("GMC refuses `legacy-reval` at Cloudflare, from every egress").
    pub headline: String,
    /// Why, strongest first.
    pub because: Vec<String>,
    pub ruled_out: Vec<String>,
    /// What to do, or which request would tell.
    pub next_step: Option<String>,
    /// Between 0 and 1.
    pub confidence: f64,
    /// Whether a single cause is named at all.
    pub cause_known: bool,
    pub onset_at: Timestamp,
    pub opened_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub reopened: u32,
    pub failed_runs: u32,
    /// Lines of the matrix for people (`java-8 from de1: BLOCKED`), failing first; at most 40.
    pub cells: Vec<CellLine>,
    pub expected: String,
    pub got: String,
    pub last_good_at: Option<Timestamp>,
    pub failing: Option<Specimen>,
    pub passing: Option<Specimen>,
    pub reference_ids: Vec<String>,
    pub words: Words,
    /// IANA name of the zone for people ("Europe/London").
    pub zone: String,
    /// When the next update is promised, if one is.
    pub next_update_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellLine {
    pub cell: String,
    pub kind: Kind,
    pub failing: bool,
}

/// Where notifications go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    pub name: ReceiverName,
    pub channel: Channel,
    /// Who gets it when this one can't.
    pub fallback: Option<ReceiverName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    Slack {
        /// `Err`: why it is missing (`SLACK_BOT_TOKEN is not set`); messages then go to the log.
        token: Result<Secret, String>,
        channel: String,
        /// Written once on open, as it stands (`<!subteam^S0123>`).
        mention: Option<String>,
        /// Base of the Web API, without a trailing slash; Slack's own unless the operator has a relay.
        api: String,
    },
    Teams {
        /// The whole Workflows URL is the secret.
        webhook: Result<Secret, String>,
    },
    /// The log and, in the foreground, the terminal.
    Log,
}

/// Which notifications a receiver gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    pub to: ReceiverName,
    /// Only when the incident is still open this long after it opened; its resolution follows only if the opening was sent.
    pub after: std::time::Duration,
    /// No cause is named below this confidence; between 0 and 1.
    pub min_confidence: f64,
    /// Only incidents that hold one of these probes; empty: all.
    pub probes: Vec<super::cell::ProbeName>,
    /// Only incidents with a probe of one of these tags; empty: all.
    pub tags: Vec<String>,
    /// Also what changed without being an incident ("Cloudflare appeared in front of …").
    pub notices: bool,
}
