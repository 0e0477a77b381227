//! The ways out: one sender for each kind of receiver, and what each does differently.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::timing::Timing;
use crate::domain::notification::{Channel, Reason, Receiver, Templates};
use crate::notify::alertmanager::{Alertmanager, Standing};
use crate::notify::email::{self, Email};
use crate::notify::pagerduty::PagerDuty;
use crate::notify::slack::{Parent, Slack};
use crate::notify::teams::Teams;
use crate::notify::webhook::Webhook;
use crate::notify::{Class, Message, SendError, log, plain};
use crate::store::Thread;

/// What stands as `configured` in the threads of receivers that have no channel of their own: a receiver
/// that became another kind begins a new thread.
pub(super) const TEAMS: &str = "teams";
const EMAIL: &str = "email";
const PAGE: &str = "page";
pub(super) const ALERTMANAGER: &str = "alertmanager";

/// How messages leave.
#[derive(Clone)]
pub(super) enum Sender {
    Slack {
        slack: Arc<Slack>,
        channel: String,
    },
    Teams(Arc<Teams>),
    Webhook(Arc<Webhook>),
    Email(Arc<Email>),
    PagerDuty(Arc<PagerDuty>),
    Alertmanager(Arc<Alertmanager>),
    /// Its secrets are missing, and somebody else is told instead.
    Missing(String),
    /// It shows what was accepted; nothing leaves.
    Page,
    Log,
}

/// The thread a message hangs in now, and its reference or why it was not taken.
type Told = (Option<Thread>, Result<String, SendError>);

impl Sender {
    /// How messages to this receiver leave; to the log where something is missing.
    pub(super) fn new(receiver: &Receiver, timing: &Timing) -> Self {
        let missing = receiver.channel.missing();
        let made = if missing.is_empty() {
            Self::make(&receiver.channel, timing.request).map_err(|e| e.text)
        } else {
            Err(missing.join("; "))
        };
        made.unwrap_or_else(|why| {
            tracing::warn!(receiver = %receiver.name, "messages to this receiver go to the log: {why}");
            Self::Log
        })
    }

    fn make(channel: &Channel, timeout: Duration) -> Result<Self, SendError> {
        Ok(match channel {
            Channel::Slack {
                token: Ok(token),
                channel,
                mention,
                buttons,
                templates,
                api,
            } => {
                let mention = mention.as_deref();
                let heard = buttons.as_ref().is_some_and(|b| b.app_token.is_ok());
                let slack = Slack::with_timeout(api, token.clone(), channel, mention, timeout)?
                    .with_buttons(heard)
                    .with_templates(templates);
                Self::Slack {
                    slack: Arc::new(slack),
                    channel: channel.clone(),
                }
            }
            Channel::Teams {
                webhook: Ok(webhook),
                templates,
                ..
            } => {
                let teams = Teams::with_timeout(webhook.clone(), timeout)?;
                Self::Teams(Arc::new(teams.with_templates(templates)))
            }
            Channel::Webhook {
                url: Ok(url),
                key: Ok(key),
                roots,
            } => Self::Webhook(Arc::new(Webhook::new(url.clone(), key, roots, timeout)?)),
            Channel::Email(mail) => Self::Email(Arc::new(Email::new(mail, timeout)?)),
            Channel::PagerDuty {
                routing_key: Ok(key),
                api,
            } => Self::PagerDuty(Arc::new(PagerDuty::new(api, key.clone(), timeout)?)),
            Channel::Alertmanager {
                peers,
                login,
                labels,
                roots,
            } => {
                let login = login.as_ref().and_then(|login| login.clone().ok());
                let sender = Alertmanager::new(peers, login, labels, roots, timeout)?;
                Self::Alertmanager(Arc::new(sender))
            }
            Channel::StatusPage { .. } => Self::Page,
            // What is missing was told before.
            Channel::Log
            | Channel::Slack { .. }
            | Channel::Teams { .. }
            | Channel::Webhook { .. }
            | Channel::PagerDuty { .. } => Self::Log,
        })
    }

    /// An unclear try is settled before another message goes into it: Slack can be looked through, and a
    /// webhook's receiver knows the id and would drop what came with it the second time.
    pub(super) fn looks(&self) -> bool {
        matches!(self, Self::Slack { .. } | Self::Webhook(_))
    }

    /// Between two messages.
    pub(super) fn gap(&self, timing: &Timing) -> Duration {
        match self {
            Self::Slack { .. } => timing.gap_slack,
            Self::Teams(_) => timing.gap_teams,
            Self::Email(_) => timing.gap_email,
            Self::PagerDuty(_) => timing.gap_pagerduty,
            Self::Webhook(_)
            | Self::Alertmanager(_)
            | Self::Missing(_)
            | Self::Page
            | Self::Log => Duration::ZERO,
        }
    }

    /// A change that support staff would read as the same message again.
    pub(super) fn says_nothing_new(&self, message: &Message<'_>, thread: Option<&Thread>) -> bool {
        let Some(thread) = thread.filter(|_| message.reason == Reason::Changed) else {
            return false;
        };
        match self {
            Self::Teams(_) | Self::Page => thread.ts == plain::digest(message),
            Self::Email(email) if email.is_plain() => {
                thread.configured == EMAIL && email::Thread::read(&thread.ts).knows(message)
            }
            _ => false,
        }
    }

    /// Tells it the receiver's way; `look_since` is set when an earlier try may have arrived.
    pub(super) async fn tell(
        &self,
        message: &Message<'_>,
        thread: Option<Thread>,
        look_since: Option<Timestamp>,
    ) -> Told {
        let doubtful = &Message {
            repeat: look_since.is_some(),
            ..message.clone()
        };
        let reference = |name: &str| name.to_owned();
        match self {
            Self::Slack { slack, channel } => {
                tell_slack(slack, channel, message, thread, look_since).await
            }
            Self::Teams(teams) => match teams.tell(doubtful).await {
                Ok(()) => (Some(told_teams(doubtful)), Ok(reference(TEAMS))),
                Err(error) => (None, Err(error)),
            },
            Self::Webhook(webhook) => {
                let told = webhook.tell(doubtful).await;
                (None, told.map(|()| message.delivery.to_string()))
            }
            Self::Email(email) => {
                let known = thread.filter(|t| t.configured == EMAIL);
                let known = known.map(|t| email::Thread::read(&t.ts));
                let sent = email.tell(doubtful, known.unwrap_or_default()).await;
                let thread = remembered(EMAIL, sent.thread.text());
                (Some(thread), sent.result.map(|()| reference(EMAIL)))
            }
            Self::PagerDuty(pagerduty) => {
                let told = pagerduty.tell(message).await;
                (None, told.map(|()| reference("pagerduty")))
            }
            Self::Alertmanager(alertmanager) => {
                let known = thread.filter(|t| t.configured == ALERTMANAGER);
                let known = known.and_then(|t| Standing::read(&t.ts));
                match alertmanager.tell(message, known.as_ref()).await {
                    Ok(standing) => {
                        let thread = remembered(ALERTMANAGER, standing.text());
                        (Some(thread), Ok(reference(ALERTMANAGER)))
                    }
                    Err(error) => (None, Err(error)),
                }
            }
            Self::Missing(why) => (None, Err(SendError::new(Class::Setup, why.clone()))),
            Self::Page => {
                let thread = remembered(PAGE, plain::digest(message));
                (Some(thread), Ok(reference(PAGE)))
            }
            Self::Log => (None, Ok(reference("log"))),
        }
    }
}

impl Sender {
    /// Whether it tells of many in one message that stands alone.
    pub(super) fn tells_together(&self) -> bool {
        matches!(self, Self::Teams(_) | Self::Email(_))
    }

    /// Of how many one message can tell, each in a line of its own.
    pub(super) fn fitting(&self, messages: &[Message<'_>]) -> usize {
        match self {
            Self::Teams(teams) => teams.fitting(messages),
            _ => messages.len(),
        }
    }

    /// Tells many things in one message; what is to be remembered of each, in their order.
    pub(super) async fn tell_together(
        &self,
        messages: &[Message<'_>],
    ) -> Result<Vec<Thread>, SendError> {
        match self {
            Self::Teams(teams) => {
                teams.tell_together(messages).await?;
                Ok(messages.iter().map(told_teams).collect())
            }
            Self::Email(email) => {
                let threads = email.tell_together(messages).await?;
                let texts = threads.iter().map(email::Thread::text);
                Ok(texts.map(|text| remembered(EMAIL, text)).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// By what name its answer is known.
    pub(super) fn reference(&self) -> &'static str {
        match self {
            Self::Email(_) => EMAIL,
            _ => TEAMS,
        }
    }
}

async fn tell_slack(
    slack: &Slack,
    channel: &str,
    message: &Message<'_>,
    thread: Option<Thread>,
    look_since: Option<Timestamp>,
) -> Told {
    let parent = thread.filter(|t| t.configured == channel).map(|t| Parent {
        channel: t.channel,
        ts: t.ts,
    });
    let sent = slack.tell(message, parent, look_since).await;
    let thread = sent.parent.map(|p| Thread {
        configured: channel.to_owned(),
        channel: p.channel,
        ts: p.ts,
    });
    let reference = thread.as_ref().map(|t| t.ts.clone()).unwrap_or_default();
    (thread, sent.result.map(|()| reference))
}

/// What Teams remembers of an incident once it took this.
pub(super) fn told_teams(message: &Message<'_>) -> Thread {
    remembered(TEAMS, plain::digest(message))
}

fn remembered(kind: &str, text: String) -> Thread {
    Thread {
        configured: kind.to_owned(),
        channel: String::new(),
        ts: text,
    }
}

/// What the receiver's readers would read, so that it can be judged before anyone has a channel.
pub(super) fn text(channel: &Channel, message: &Message<'_>) -> String {
    match channel {
        Channel::Teams { templates, .. } | Channel::StatusPage { templates, .. } => {
            plain::text(message, templates)
        }
        _ if channel.speaks_plainly() => plain::text(message, &Templates::default()),
        _ => log::text_with_evidence(message),
    }
}
