//! One receiver's worker: what is due, one message at a time, and what follows from how that went.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::Print;
use super::order::{self, Rules, Send, Step};
use super::timing::{Timing, Verdict, after_failure, divertible, elapsed};
use crate::clock;
use crate::domain::notification::{Channel, Notification, Reason, Receiver};
use crate::notify::slack::{Parent, Slack};
use crate::notify::teams::{self, Teams};
use crate::notify::{Class, Message, SendError, log};
use crate::store::{Delivery, Divert, Outcome, Store, StoreError, Thread};

/// The longest sleep of a worker: the wall clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// A message as it is told in the ordinary case.
pub(super) fn plain_message(notification: &Notification, now: Timestamp) -> Message<'_> {
    Message {
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

/// How messages leave.
#[derive(Clone)]
enum Sender {
    Slack(Arc<Slack>),
    Teams(Arc<Teams>),
    Log,
}

#[derive(Clone)]
pub(super) struct Worker {
    store: Store,
    receiver: Receiver,
    /// The fallback's receiver, if there is one and it is another.
    fallback: Option<Receiver>,
    sender: Sender,
    timing: Timing,
    print: Print,
    stopped: watch::Receiver<bool>,
    /// Nothing is sent before.
    paused_until: Option<Timestamp>,
    /// Why the receiver can't be reached until a person mends it.
    broken: Option<String>,
}

impl Worker {
    pub(super) fn new(
        store: Store,
        receiver: Receiver,
        all: &[Receiver],
        timing: Timing,
        print: Print,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let sender = sender(&receiver, &timing);
        let fallback = receiver
            .fallback
            .as_ref()
            .filter(|name| **name != receiver.name)
            .and_then(|name| all.iter().find(|r| r.name == *name))
            .cloned();
        Self {
            store,
            receiver,
            fallback,
            sender,
            timing,
            print,
            stopped,
            paused_until: None,
            broken: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.receiver.name.as_str()
    }

    pub(super) fn pause_after_panic(&self) -> Duration {
        self.timing.store
    }

    pub(super) async fn run(mut self) {
        let mut versions = self.store.outbox_version();
        while !*self.stopped.borrow() {
            versions.borrow_and_update();
            let wait = match self.turn().await {
                Ok(wait) => wait,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(receiver = %self.receiver.name, "the outbox can't be used, messages wait: {error}");
                    self.timing.store
                }
            };
            tokio::select! {
                _ = self.stopped.changed() => {}
                changed = versions.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait.min(SLEEP_MAX)) => {}
            }
        }
    }

    /// Sends what can be sent now; returns how long nothing more is due.
    async fn turn(&mut self) -> Result<Duration, StoreError> {
        loop {
            let now = clock::now();
            if *self.stopped.borrow() {
                return Ok(Duration::ZERO);
            }
            let rows = self.store.due(&self.receiver.name).await?;
            let rules = Rules {
                now,
                looks: matches!(self.sender, Sender::Slack(_)),
                wait_max: self.timing.slow_down_max,
            };
            let step = order::next(&rows, rules);
            if let Step::Overtake { deliveries, why } = step {
                for delivery in deliveries {
                    self.overtake(delivery, why, now).await?;
                }
                continue;
            }
            if let Some(until) = self.pause(now) {
                self.divert_waiting(&rows, until, now).await?;
                return Ok(elapsed(now, until));
            }
            match step {
                Step::Wait(until) => {
                    return Ok(until.map_or(SLEEP_MAX, |until| elapsed(now, until)));
                }
                Step::Send(send) => self.send(send).await?,
                Step::Overtake { .. } => {}
            }
        }
    }

    /// Until when nothing may be sent; a time too far away means that the clock was set back.
    fn pause(&self, now: Timestamp) -> Option<Timestamp> {
        self.paused_until
            .filter(|until| *until > now && elapsed(now, *until) <= self.timing.slow_down_max)
    }

    /// While the receiver is broken, what became due meanwhile goes to the fallback at once.
    async fn divert_waiting(
        &self,
        rows: &[Delivery],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(why) = &self.broken else {
            return Ok(());
        };
        for delivery in rows {
            if divertible(delivery) && delivery.notification.not_before <= now {
                let outcome = Outcome::Again {
                    next_at: until,
                    class: Class::Setup.as_str(),
                    error: why.clone(),
                    uncertain: false,
                    plain: false,
                    thread: None,
                };
                let divert = self.divert(delivery, why, now);
                self.store
                    .settle(delivery, outcome, Some(divert), now)
                    .await?;
            }
        }
        Ok(())
    }

    async fn overtake(
        &self,
        delivery: &Delivery,
        why: &'static str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        tracing::debug!(receiver = %self.receiver.name, incident = delivery.notification.incident,
            reason = delivery.notification.reason.as_str(), "not sent: {why}");
        self.store
            .settle(delivery, Outcome::Overtaken { why }, None, now)
            .await
    }

    async fn send(&mut self, send: Send<'_>) -> Result<(), StoreError> {
        let now = clock::now();
        let delivery = send.delivery;
        let notification = &delivery.notification;
        let due_at = notification.not_before.max(notification.created_at);
        let message = Message {
            reason: notification.reason,
            briefing: send.briefing,
            late: elapsed(due_at, now) > self.timing.late,
            whole: send.whole,
            plain: delivery.plain,
            note: delivery.note.as_deref(),
            ..plain_message(notification, now)
        };
        // A notice has no thread: nothing follows it, and no other notice is the same.
        let alone = notification.reason == Reason::Notice;
        let thread = if alone {
            None
        } else {
            self.store.thread(delivery).await?
        };
        if self.says_nothing_new(&message, thread.as_ref()) {
            return self
                .overtake(delivery, "nothing new for this channel", now)
                .await;
        }
        self.store.sending(notification.delivery, now).await?;
        let look_since =
            order::uncertain(delivery).then(|| delivery.first_attempt_at.unwrap_or(due_at));
        let (thread, result) = self.tell(&message, thread, look_since).await;
        let thread = thread.filter(|_| !alone);
        let now = clock::now();
        self.pause_for(self.gap(), now);
        let (outcome, divert) = match result {
            Ok(reference) => {
                self.reached(&send, &reference);
                let outcome = Outcome::Accepted {
                    reference,
                    thread,
                    merged: send.merged,
                };
                (outcome, None)
            }
            Err(error) => self.failed(delivery, &error, thread, now),
        };
        self.mark(delivery, outcome, divert, now).await
    }

    /// Tells it the receiver's way; returns where it hangs now, and its reference or why not.
    async fn tell(
        &self,
        message: &Message<'_>,
        thread: Option<Thread>,
        look_since: Option<Timestamp>,
    ) -> (Option<Thread>, Result<String, SendError>) {
        match (&self.sender, &self.receiver.channel) {
            (Sender::Slack(slack), Channel::Slack { channel, .. }) => {
                let parent = thread.filter(|t| t.configured == *channel).map(|t| Parent {
                    channel: t.channel,
                    ts: t.ts,
                });
                let sent = slack.tell(message, parent, look_since).await;
                let thread = sent.parent.map(|p| Thread {
                    configured: channel.clone(),
                    channel: p.channel,
                    ts: p.ts,
                });
                let reference = thread.as_ref().map(|t| t.ts.clone()).unwrap_or_default();
                (thread, sent.result.map(|()| reference))
            }
            (Sender::Teams(teams), _) => {
                let message = &Message {
                    repeat: look_since.is_some(),
                    ..message.clone()
                };
                let thread = Thread {
                    configured: "teams".to_owned(),
                    channel: String::new(),
                    ts: teams::digest(message),
                };
                match teams.tell(message).await {
                    Ok(()) => (Some(thread), Ok("teams".to_owned())),
                    Err(error) => (None, Err(error)),
                }
            }
            _ => {
                let text = match &self.receiver.channel {
                    // What support staff would read, so that it can be judged before anyone has a flow.
                    Channel::Teams { .. } => teams::text(message),
                    _ => log::text_with_evidence(message),
                };
                (self.print)(&format!("── to {} ──\n{text}\n", self.receiver.name));
                (None, Ok("log".to_owned()))
            }
        }
    }

    /// A change that support staff would read as the same card again.
    fn says_nothing_new(&self, message: &Message<'_>, thread: Option<&Thread>) -> bool {
        matches!(self.sender, Sender::Teams(_))
            && message.reason == Reason::Changed
            && thread.is_some_and(|t| t.ts == teams::digest(message))
    }

    fn gap(&self) -> Duration {
        match self.sender {
            Sender::Slack(_) => self.timing.gap_slack,
            Sender::Teams(_) => self.timing.gap_teams,
            Sender::Log => Duration::ZERO,
        }
    }

    fn pause_for(&mut self, wait: Duration, now: Timestamp) {
        self.paused_until = now.checked_add(wait).ok();
    }

    fn reached(&mut self, send: &Send<'_>, reference: &str) {
        let notification = &send.delivery.notification;
        if self.broken.take().is_some() {
            tracing::info!(receiver = %self.receiver.name, "the receiver can be reached again");
        }
        tracing::info!(
            receiver = %self.receiver.name,
            incident = notification.incident,
            reason = notification.reason.as_str(),
            tries = send.delivery.attempts + 1,
            merged = send.merged.len(),
            reference,
            "told"
        );
    }

    fn failed(
        &mut self,
        delivery: &Delivery,
        error: &SendError,
        thread: Option<Thread>,
        now: Timestamp,
    ) -> (Outcome, Option<Divert>) {
        let (verdict, divert) = after_failure(&self.timing, delivery, error, now, fastrand::f64());
        let notification = &delivery.notification;
        let (receiver, incident) = (&self.receiver.name, notification.incident);
        let reason = notification.reason.as_str();
        let class = error.class.as_str();
        let tries = delivery.attempts + 1;
        self.broken = (error.class == Class::Setup).then(|| error.text.clone());
        let outcome = match verdict {
            Verdict::Again {
                wait,
                pause,
                uncertain,
                plain,
            } => {
                if plain {
                    tracing::error!(%receiver, incident, reason, tries, class, "the layout was refused, plain text is tried: {error}");
                } else {
                    tracing::warn!(%receiver, incident, reason, tries, class, "not told yet, again in {wait:.0?}: {error}");
                }
                if pause {
                    self.pause_for(wait.max(self.gap()), now);
                }
                Outcome::Again {
                    next_at: now.checked_add(wait).unwrap_or(Timestamp::MAX),
                    class,
                    error: error.text.clone(),
                    uncertain,
                    plain,
                    thread,
                }
            }
            Verdict::Dead => {
                tracing::error!(%receiver, incident, reason, tries, class, "given up: {error}");
                Outcome::Dead {
                    class,
                    error: error.text.clone(),
                }
            }
        };
        let divert = divert.then(|| self.divert(delivery, &error.text, now));
        (outcome, divert)
    }

    /// Who hears it instead: the fallback, or the log where there is none or where this one was the fallback.
    fn divert(&self, delivery: &Delivery, why: &str, now: Timestamp) -> Divert {
        let notification = &delivery.notification;
        let note = format!("Could not reach {}: {why}", self.receiver.name);
        match &self.fallback {
            Some(fallback) if delivery.lane.is_empty() => {
                tracing::warn!(receiver = %self.receiver.name, incident = notification.incident,
                    "{} is told instead", fallback.name);
                Divert::To {
                    notification: Box::new(Notification {
                        delivery: Uuid::now_v7(),
                        receiver: fallback.name.clone(),
                        ..notification.clone()
                    }),
                    note,
                }
            }
            _ => {
                tracing::error!(receiver = %self.receiver.name, incident = notification.incident,
                    "nobody could be told; the message goes to the log");
                let message = Message {
                    note: Some(&note),
                    ..plain_message(notification, now)
                };
                (self.print)(&log::text_with_evidence(&message));
                Divert::Log
            }
        }
    }

    /// Marks how a try ended, until that is on the disk: it must not be made again for want of a mark.
    async fn mark(
        &self,
        delivery: &Delivery,
        outcome: Outcome,
        divert: Option<Divert>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        loop {
            let marked = self
                .store
                .settle(delivery, outcome.clone(), divert.clone(), now)
                .await;
            match marked {
                Ok(()) => return Ok(()),
                Err(StoreError::Closed) => return Err(StoreError::Closed),
                Err(error) => {
                    tracing::error!(receiver = %self.receiver.name, "can't mark how a message ended: {error}");
                    tokio::time::sleep(self.timing.store).await;
                }
            }
        }
    }
}

/// How messages to this receiver leave; to the log where something is missing.
fn sender(receiver: &Receiver, timing: &Timing) -> Sender {
    let name = &receiver.name;
    let made = match &receiver.channel {
        Channel::Slack {
            token,
            channel,
            mention,
            api,
        } => match token {
            Ok(token) => Slack::with_timeout(
                api,
                token.clone(),
                channel,
                mention.as_deref(),
                timing.request,
            )
            .map(|s| Sender::Slack(Arc::new(s)))
            .map_err(|e| e.text),
            Err(why) => Err(why.clone()),
        },
        Channel::Teams { webhook } => match webhook {
            Ok(webhook) => Teams::with_timeout(webhook.clone(), timing.request)
                .map(|t| Sender::Teams(Arc::new(t)))
                .map_err(|e| e.text),
            Err(why) => Err(why.clone()),
        },
        Channel::Log => Ok(Sender::Log),
    };
    made.unwrap_or_else(|why| {
        tracing::warn!(receiver = %name, "messages to this receiver go to the log: {why}");
        Sender::Log
    })
}
