//! A message due to a person's channel, and where it goes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cell::{EgressName, ReceiverName};
use super::form::{fraction, text};
use super::hours::Hours;
use super::incident::{Acknowledged, Muted, Specimen, State, over_at};
use super::probe::{Schedule, Words};
pub use super::reason::Reason;
use super::secret::Secret;
use super::spelling::spelled;
use super::spells::Spells;
use super::verdict::{Kind, Severity};
use crate::lang::template::Template;
use sha2::{Digest as _, Sha256};
use uuid::Builder;

/// A message that is due: facts, rendered only when it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// UUID version 7; also the idempotency key where a receiver has one.
    #[serde(with = "text")]
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

/// Stands in the headline of an end before what it was.
pub const IT_WAS: &str = " It was: ";

/// Everything a message about an incident may say, in words already chosen; the layout is the receiver's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Briefing {
    pub service: String,
    pub incident: u64,
    /// As `resolved: true` in what former versions wrote.
    #[serde(alias = "resolved", deserialize_with = "word_or_flag")]
    pub state: State,
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
    /// What it is not, each with the runs that show it ("your IPs, the credentials: the same request as …").
    pub ruled_out: Vec<String>,
    /// What to do, or which request would tell.
    pub next_step: Option<String>,
    /// Between 0 and 1.
    #[serde(with = "fraction")]
    pub confidence: f64,
    /// Whether a single cause is named at all.
    pub cause_known: bool,
    pub onset_at: Timestamp,
    pub opened_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    /// When runs showed it.
    #[serde(default)]
    pub spells: Spells,
    /// Whether it is the first time, and how long it lasted before; `None`: the first that is known.
    #[serde(default)]
    pub before: Option<String>,
    pub reopened: u32,
    /// How often it began after the first time, a like incident before it included.
    #[serde(default)]
    pub returns: u32,
    /// It ended as no longer watched, and is asked again as before: how it stands is not known yet.
    #[serde(default)]
    pub watched_again: bool,
    /// When it began to fail again; `None`: it never came back, or is over.
    pub back_since: Option<Timestamp>,
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
    /// Changes near the onset, each a sentence ("3 h before, …"), most telling first.
    #[serde(default)]
    pub beside: Vec<String>,
    /// Who said that they look after it; `None`: nobody.
    pub acknowledged: Option<Acknowledged>,
    /// Whether a receiver of engineers was told of it, and could be.
    #[serde(default)]
    pub engineers: Engineers,
    #[serde(default)]
    pub plain: Plain,
    /// Names of the maintenance that it falls into.
    #[serde(default)]
    pub during: Vec<String>,
    /// What mutes it at present; `None`: nothing.
    pub muted: Option<Muted>,
    /// What kept this message back until now ("maintenance GMC weekend work").
    #[serde(default)]
    pub held_back: Vec<String>,
    /// IANA name of the zone for people ("Europe/London").
    pub zone: String,
    /// When the next update is promised, if one is.
    pub next_update_at: Option<Timestamp>,
}

/// A state by its name, or as the flag that it was before there were three.
fn word_or_flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<State, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Flag(bool),
        Word(State),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Flag(true) => State::Resolved,
        Either::Flag(false) => State::Open,
        Either::Word(state) => state,
    })
}

impl Briefing {
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// All that failed passes again; what is no longer watched is not.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.state == State::Resolved
    }

    #[must_use]
    pub fn is_unwatched(&self) -> bool {
        self.state == State::Unwatched
    }

    /// It came back more than once.
    #[must_use]
    pub fn comes_and_goes(&self) -> bool {
        self.returns.max(self.reopened) >= super::incident::COMES_AND_GOES
    }

    /// Until when it failed, as far as is known; `None`: it goes on.
    #[must_use]
    pub fn over_at(&self) -> Option<Timestamp> {
        over_at(self.state, &self.spells, self.resolved_at?)
    }

    /// How long it failed, the good time between left out; `now` counts while it goes on.
    #[must_use]
    pub fn failing_for(&self, now: Timestamp) -> std::time::Duration {
        let end = self.over_at().unwrap_or(now);
        self.spells.failing_for(self.onset_at, end)
    }

    /// Since when it fails, without a time at which it was over.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.back_since.unwrap_or(self.onset_at)
    }
}

spelled!(
    /// Whether those who can mend it know of it.
    Engineers {
        Told = "told",
        /// No channel of theirs is set up, or it is not due there.
        Untold = "untold",
    }
);

/// What former versions wrote does not say it; most have a channel of engineers.
impl Default for Engineers {
    fn default() -> Self {
        Self::Told
    }
}

/// An incident that shares one message with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub incident: u64,
    /// As in the briefing.
    pub headline: String,
    /// As in the briefing; empty of one that an earlier version kept.
    #[serde(default)]
    pub service: String,
    pub our_side: bool,
    /// It works, and is warned of.
    #[serde(default)]
    pub warning: bool,
    pub onset_at: Timestamp,
    pub state: State,
    /// Until when it failed; `None`: it goes on.
    pub resolved_at: Option<Timestamp>,
}

impl Member {
    /// What a summary says of the incident.
    #[must_use]
    pub fn of(briefing: &Briefing) -> Self {
        let end = briefing.over_at().unwrap_or(briefing.opened_at);
        Self {
            incident: briefing.incident,
            headline: briefing.headline.clone(),
            service: briefing.service.clone(),
            our_side: briefing.our_side,
            warning: briefing.kind == Kind::Warning,
            onset_at: briefing.onset_at,
            state: briefing.state,
            resolved_at: (!briefing.is_open()).then_some(end),
        }
    }
}

/// What the facts say to people who never heard of HTTP: no codes, no hosts, no vendors, no addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plain {
    /// What users meet ("It fails now and then; trying again may help"); `None`: nothing special.
    pub see: Option<String>,
    /// A sentence about the cause; `None` below the receiver's bound of confidence.
    pub why: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
        /// Buttons on messages of open incidents; `None`: no buttons.
        buttons: Option<Buttons>,
        /// The operator's own words.
        templates: Templates,
        /// Base of the Web API, without a trailing slash; Slack's own unless the operator has a relay.
        api: String,
    },
    Teams {
        /// The whole Workflows URL is the secret.
        webhook: Result<Secret, String>,
        /// A card on a schedule while nothing is wrong; `None`: never.
        all_is_well: Option<AllIsWell>,
        /// The operator's own words.
        templates: Templates,
    },
    /// Any HTTP endpoint; what it gets is signed.
    Webhook {
        /// The whole URL is the secret.
        url: Result<Secret, String>,
        /// Signs every request; base64, perhaps behind `whsec_`.
        key: Result<Secret, String>,
        /// PEM; trusted besides the system's roots.
        roots: Vec<String>,
    },
    Email(Box<Mail>),
    /// `PagerDuty`, by its events API v2.
    PagerDuty {
        routing_key: Result<Secret, String>,
        /// Base of the API, without a trailing slash.
        api: String,
    },
    Alertmanager {
        /// Where each peer's API begins, without a trailing slash; all of them are told.
        peers: Vec<String>,
        /// `Err`: why a login that was asked for is missing.
        login: Option<Result<Login, String>>,
        /// Added to those of every alert.
        labels: Vec<(String, String)>,
        /// PEM; trusted besides the system's roots.
        roots: Vec<String>,
    },
    /// The page of support staff, which shows what it was told.
    StatusPage {
        /// Shown to whoever reaches the pages, signed in or not.
        public: bool,
        /// The operator's own words.
        templates: Templates,
    },
    /// The log and, in the foreground, the terminal.
    Log,
}

/// The operator's own words for parts of a message; `None`: ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Templates {
    /// The sentence that stands out.
    pub headline: Option<Template>,
    /// What stands below it.
    pub body: Option<Template>,
    /// The small print.
    pub footer: Option<Template>,
}

/// A card that says on a schedule that nothing is wrong, so that a quiet channel is known to work.
#[derive(Debug, Clone)]
pub struct AllIsWell {
    pub schedule: Schedule,
    /// The partner's name for people.
    pub service: String,
    /// IANA name of the zone for people.
    pub zone: String,
}

impl AllIsWell {
    /// When the one after `at` is due.
    #[must_use]
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.schedule {
            Schedule::Every(interval) => at.checked_add(*interval).ok(),
            Schedule::Cron(cron) => cron.next_after(at),
        }
    }
}

impl PartialEq for AllIsWell {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.schedule, &other.schedule) {
            (Schedule::Every(a), Schedule::Every(b)) => a == b,
            (Schedule::Cron(a), Schedule::Cron(b)) => a.text() == b.text() && a.zone() == b.zone(),
            _ => false,
        };
        same && self.service == other.service && self.zone == other.zone
    }
}

impl Eq for AllIsWell {}

/// How the buttons of a Slack receiver are heard, and who may press them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buttons {
    /// For Socket Mode (`xapp-…`). `Err`: why it is missing; there are no buttons then.
    pub app_token: Result<Secret, String>,
    /// Slack's ids of people (`U0123`) and of user groups (`S0123`); both empty: everybody in the channel.
    pub users: Vec<String>,
    pub user_groups: Vec<String>,
}

impl Channel {
    /// Whether its readers are support staff: plain words only, and no cause that is not all but sure.
    #[must_use]
    pub fn speaks_plainly(&self) -> bool {
        match self {
            Self::Teams { .. } | Self::StatusPage { .. } => true,
            Self::Email(mail) => mail.plain,
            _ => false,
        }
    }

    /// Every secret it holds.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        let found = match self {
            Self::Slack { token, buttons, .. } => {
                let app = buttons.as_ref().and_then(|b| b.app_token.as_ref().ok());
                vec![token.as_ref().ok(), app]
            }
            Self::Teams {
                webhook: secret, ..
            }
            | Self::PagerDuty {
                routing_key: secret,
                ..
            } => vec![secret.as_ref().ok()],
            Self::Webhook { url, key, .. } => vec![url.as_ref().ok(), key.as_ref().ok()],
            Self::Email(mail) => return Login::secrets(mail.login.as_ref()),
            Self::Alertmanager { login, .. } => return Login::secrets(login.as_ref()),
            Self::StatusPage { .. } | Self::Log => vec![],
        };
        found.into_iter().flatten().cloned().collect()
    }

    /// Why its messages go to the log: each secret that is missing, in words.
    #[must_use]
    pub fn missing(&self) -> Vec<&str> {
        let found = match self {
            Self::Slack { token: secret, .. }
            | Self::Teams {
                webhook: secret, ..
            }
            | Self::PagerDuty {
                routing_key: secret,
                ..
            } => vec![secret.as_ref().err()],
            Self::Webhook { url, key, .. } => vec![url.as_ref().err(), key.as_ref().err()],
            Self::Email(mail) => vec![mail.login.as_ref().and_then(|l| l.as_ref().err())],
            Self::Alertmanager { login, .. } => {
                vec![login.as_ref().and_then(|l| l.as_ref().err())]
            }
            Self::StatusPage { .. } | Self::Log => vec![],
        };
        found.into_iter().flatten().map(String::as_str).collect()
    }
}

/// A mail server, and who is written to through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    /// `None`: without; `Err`: why a login that was asked for is missing.
    pub login: Option<Result<Login, String>>,
    /// What this host calls itself in EHLO.
    pub hello: String,
    /// As RFC 5322 writes it: `edgewatch <alerts@example.org>`.
    pub from: String,
    /// At least one.
    pub to: Vec<String>,
    /// In the words of support staff, not of engineers.
    pub plain: bool,
    /// PEM; trusted besides the system's roots.
    pub roots: Vec<String>,
}

/// When a connection to a mail server is encrypted; a server that can't gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// After `STARTTLS`, which the server must offer.
    StartTls,
    /// From the first byte.
    Implicit,
    /// Never; only to this host.
    None,
}

/// How we show who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    Password { username: Secret, password: Secret },
    Token(Secret),
}

impl Login {
    fn secrets(login: Option<&Result<Self, String>>) -> Vec<Secret> {
        match login {
            Some(Ok(Self::Password { username, password })) => {
                vec![username.clone(), password.clone()]
            }
            Some(Ok(Self::Token(token))) => vec![token.clone()],
            Some(Err(_)) | None => vec![],
        }
    }
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
    /// Only incidents with a cell that fails from one of these; empty: all.
    pub egresses: Vec<EgressName>,
    /// Only incidents with a cell that fails like this; empty: all.
    pub kinds: Vec<Kind>,
    /// Only incidents whose most important probe is one of these; empty: all.
    pub severities: Vec<Severity>,
    /// Outside these hours all but ends wait for the next ones; `None`: always open.
    pub during: Option<Hours>,
    /// Reminders after these times since the opening, the last one repeats; `None`: as for all incidents.
    pub remind: Option<Vec<std::time::Duration>>,
    pub escalate: Option<Escalation>,
}

impl Route {
    /// A route for every incident, at once and at any time, that names whatever cause there is.
    #[must_use]
    pub fn new(to: ReceiverName) -> Self {
        Self {
            to,
            after: std::time::Duration::ZERO,
            min_confidence: 0.0,
            probes: Vec::new(),
            tags: Vec::new(),
            notices: false,
            egresses: Vec::new(),
            kinds: Vec::new(),
            severities: Vec::new(),
            during: None,
            remind: None,
            escalate: None,
        }
    }
}

/// Who is told as well when nobody acknowledges.
#[derive(Debug, Clone, PartialEq)]
pub struct Escalation {
    pub to: ReceiverName,
    /// Since the route's receiver was told.
    pub after: std::time::Duration,
    /// As for a route.
    pub min_confidence: f64,
}

/// A UUID version 7 of this time, its random bits made of `parts`.
pub fn named(now: Timestamp, parts: &[&[u8]]) -> Uuid {
    let digest = parts
        .iter()
        .fold(Sha256::new(), Sha256::chain_update)
        .finalize();
    let mut bits = [0; 10];
    bits.copy_from_slice(&digest[..10]);
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(milliseconds, &bits).into_uuid()
}
