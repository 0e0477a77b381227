//! One receiver's worker: what is due, one message at a time, and what follows from how that went.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::Print;
use super::channel_watch::Watch;
use super::order::{self, Rules, Send, Step};
use super::sender::{self, Sender};
use super::state::{Reach, States};
use super::storm;
use super::timing::{Timing, Verdict, after_failure, divertible};
use crate::clock;
use crate::domain::cell::ReceiverName;
use crate::domain::moment::elapsed;
use crate::domain::notification::{Briefing, Engineers, Notification, Reason, Receiver};
use crate::notify::alertmanager::Standing;
use crate::notify::leave::Guard;
use crate::notify::{Class, Message, SendError, log};
use crate::store::{Delivery, Divert, Outcome, Store, StoreError, Thread};

/// The longest sleep of a worker: the wall clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(super) struct Worker {
    pub(super) store: Store,
    pub(super) receiver: Receiver,
    /// The fallback's receiver, if there is one and it is another.
    pub(super) fallback: Option<Receiver>,
    /// Receivers whose readers can mend what is wrong, as far as they can be told.
    engineers: Vec<ReceiverName>,
    pub(super) sender: Sender,
    pub(super) timing: Timing,
    pub(super) print: Print,
    stopped: watch::Receiver<bool>,
    /// Nothing is sent before.
    paused_until: Option<Timestamp>,
    /// Why the receiver can't be reached until a person mends it.
    pub(super) broken: Option<String>,
    pub(super) states: States,
    pub(super) watch: Watch,
    /// When what stands open was last sent again, to a receiver that forgets.
    refreshed_at: Option<Timestamp>,
}

impl Worker {
    pub(super) fn new(
        store: Store,
        receiver: Receiver,
        all: &[Receiver],
        timing: Timing,
        print: Print,
        stopped: watch::Receiver<bool>,
        states: States,
    ) -> Self {
        let fallback = receiver
            .fallback
            .as_ref()
            .filter(|name| **name != receiver.name)
            .and_then(|name| all.iter().find(|r| r.name == *name))
            .cloned();
        let engineers = all
            .iter()
            .filter(|other| !other.channel.speaks_plainly() && other.channel.missing().is_empty());
        let engineers = engineers.map(|other| other.name.clone()).collect();
        let missing = receiver.channel.missing().join("; ");
        let sender = if missing.is_empty() || fallback.is_none() {
            Sender::new(&receiver, &timing)
        } else {
            tracing::warn!(receiver = %receiver.name, "the fallback is told instead: {missing}");
            Sender::Missing(missing)
        };
        let reach = match sender {
            Sender::Log => Reach::Log,
            Sender::Page => Reach::Good(None),
            _ => Reach::Unknown,
        };
        states.set(&receiver.name, reach);
        Self {
            store,
            receiver,
            fallback,
            engineers,
            sender,
            timing,
            print,
            stopped,
            paused_until: None,
            broken: None,
            states,
            watch: Watch::default(),
            refreshed_at: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.receiver.name.as_str()
    }

    /// Asked before each request, where there are several hubs.
    pub(super) fn guard(&self) -> Option<Guard> {
        self.store.leads().then(|| {
            let (waiting, telling) = (self.store.clone(), self.store.clone());
            Guard {
                wait: Arc::new(move || {
                    let store = waiting.clone();
                    Box::pin(async move { store.may_tell().await.is_ok() })
                }),
                still: Arc::new(move || telling.still_tells()),
            }
        })
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
                Err(StoreError::Closed | StoreError::Deposed { .. }) => return,
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
                looks: self.sender.looks(),
                wait_max: self.timing.slow_down_max,
            };
            let step = order::next(&rows, rules);
            if let Step::Overtake { deliveries, why } = step {
                self.overtake(&deliveries, why, now).await?;
                continue;
            }
            let (overdue, look) = order::overdue(&rows, now, self.timing.divert);
            if !overdue.is_empty() {
                self.divert_overdue(overdue, now).await?;
                continue;
            }
            let look = look.map_or(SLEEP_MAX, |at| elapsed(now, at));
            if let Some(until) = self.pause(now) {
                self.divert_waiting(&rows, until, now).await?;
                let told = self.report(now).await?;
                return Ok(elapsed(now, until).min(told).min(look));
            }
            match step {
                Step::Wait(until) => {
                    let idle = self.idle(now).await?;
                    let wait = until.map_or(SLEEP_MAX, |until| elapsed(now, until));
                    let wait = wait.min(look).min(idle);
                    return Ok(wait.min(self.refresh(now).await?));
                }
                Step::Send(send) if self.told_already(&send).await? => {
                    let mut all = send.merged;
                    all.push(send.delivery);
                    let why = "told already in another receiver's place";
                    self.overtake(&all, why, now).await?;
                }
                Step::Send(send) => {
                    let (storm, sends) = self.together(&send, &rows, rules).await?;
                    if sends.len() > 1 {
                        self.send_together(sends).await?;
                    } else {
                        self.send(send, &rows, storm).await?;
                    }
                }
                Step::Overtake { .. } => {}
            }
        }
    }

    /// Sends again what stands open, where the receiver needs it; returns when that is due next.
    async fn refresh(&mut self, now: Timestamp) -> Result<Duration, StoreError> {
        let Sender::Alertmanager(alertmanager) = &self.sender else {
            return Ok(SLEEP_MAX);
        };
        let since = self.refreshed_at.map(|at| elapsed(at, now));
        // A time in the future means that the clock was set back.
        let ahead = self.refreshed_at.is_some_and(|at| at > now);
        if let Some(since) = since.filter(|since| *since < self.timing.refresh && !ahead) {
            return Ok(self.timing.refresh.saturating_sub(since));
        }
        let threads = self.store.open_threads(&self.receiver.name).await?;
        let standing: Vec<Standing> = threads
            .iter()
            .filter(|thread| thread.configured == sender::ALERTMANAGER)
            .filter_map(|thread| Standing::read(&thread.ts))
            .filter(Standing::is_open)
            .collect();
        if !standing.is_empty()
            && let Err(error) = alertmanager.refresh(&standing, now).await
        {
            tracing::warn!(receiver = %self.receiver.name, "{} open alerts could not be sent again: {error}", standing.len());
        }
        self.refreshed_at = Some(now);
        Ok(self.timing.refresh)
    }

    /// Until when nothing may be sent; a time too far away means that the clock was set back.
    fn pause(&self, now: Timestamp) -> Option<Timestamp> {
        self.paused_until
            .filter(|until| *until > now && elapsed(now, *until) <= self.timing.slow_down_max)
    }

    /// While the receiver is broken, what became due meanwhile goes to the fallback at once.
    async fn divert_waiting(
        &mut self,
        rows: &[Delivery],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(why) = &self.broken.clone() else {
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
                self.diverted(now).await?;
            }
        }
        Ok(())
    }

    /// What waits for too long goes to the fallback, and is tried here again in its time all the same.
    async fn divert_overdue(
        &mut self,
        rows: Vec<&Delivery>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for delivery in rows {
            let why = match self.states.all().remove(&self.receiver.name) {
                Some(Reach::Waiting { why, .. } | Reach::Broken { why, .. }) => why,
                _ => delivery.error.clone().unwrap_or_else(|| "no answer".into()),
            };
            let divert = self.divert(delivery, &why, now);
            self.store.divert(delivery, divert).await?;
            self.diverted(now).await?;
        }
        Ok(())
    }

    /// Marks rows that are not to be sent: all of them or none, for a return without its end would be told.
    async fn overtake(
        &self,
        deliveries: &[&Delivery],
        why: &'static str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let settled = deliveries.iter().map(|delivery| {
            tracing::debug!(receiver = %self.receiver.name, incident = delivery.notification.incident,
                reason = delivery.notification.reason.as_str(), "not sent: {why}");
            (*delivery, Outcome::Overtaken { why }, None)
        });
        self.store.settle_all(settled.collect(), now).await
    }

    /// Sends one message; `storm`: more are likely to follow at once.
    async fn send(
        &mut self,
        send: Send<'_>,
        rows: &[Delivery],
        storm: bool,
    ) -> Result<(), StoreError> {
        let now = clock::now();
        let delivery = send.delivery;
        let notification = &delivery.notification;
        let due_at = notification.not_before.max(notification.created_at);
        let briefing = self.as_heard(send.briefing).await?;
        let message = Message {
            reason: notification.reason,
            briefing: &briefing,
            late: elapsed(due_at, now) > self.timing.late,
            whole: send.whole,
            plain: delivery.plain,
            note: delivery.note.as_deref(),
            ..Message::plainly(notification, now)
        };
        // A notice has no thread: nothing follows it, and no other notice is the same.
        let alone = notification.reason == Reason::Notice;
        let thread = if alone {
            None
        } else {
            self.store.thread(delivery).await?
        };
        if message.reason == Reason::Muted && !matches!(self.sender, Sender::Slack { .. }) {
            return self
                .overtake(&[delivery], "nothing to edit here", now)
                .await;
        }
        if self.sender.says_nothing_new(&message, thread.as_ref()) {
            return self
                .overtake(&[delivery], "nothing new for this channel", now)
                .await;
        }
        let summary = self.summary(&send, rows, thread.is_some(), now).await?;
        self.store.sending(vec![notification.delivery], now).await?;
        let look_since =
            order::uncertain(delivery).then(|| delivery.first_attempt_at.unwrap_or(due_at));
        let (thread, result) = match (summary, &self.sender) {
            (Some(summary), _) => {
                let more = storm::more(rows, &send, &summary, now);
                let result = self
                    .tell_member(&message, &summary, more, look_since)
                    .await?;
                (None, result)
            }
            (None, Sender::Log) => {
                let text = sender::text(&self.receiver.channel, &message);
                (self.print)(&format!("── to {} ──\n{text}\n", self.receiver.name));
                (None, Ok("log".to_owned()))
            }
            (None, sender) => sender.tell(&message, thread, look_since).await,
        };
        let thread = thread.filter(|_| !alone);
        let now = clock::now();
        let gap = if storm {
            self.timing.storm_gap
        } else {
            self.sender.gap(&self.timing)
        };
        self.pause_for(gap, now);
        let (outcome, divert) = match result {
            Ok(reference) => {
                self.reached(&send, &reference);
                let outcome = Outcome::Accepted {
                    reference,
                    thread,
                    merged: send.merged_ids(),
                };
                (outcome, self.end_for_fallback(delivery).await?)
            }
            Err(error) => self.failed(delivery, &error, thread, now),
        };
        let instead = divert.is_some() && !matches!(outcome, Outcome::Accepted { .. });
        let mut settled = self.with_it(&send, &outcome, divert.is_some(), now);
        settled.push((delivery, outcome, divert));
        self.mark(settled, now).await?;
        if instead {
            self.diverted(now).await?;
        }
        Ok(())
    }

    /// What support staff read must not say that engineers were told when none could be.
    pub(super) async fn as_heard<'b>(
        &self,
        briefing: &'b Briefing,
    ) -> Result<Cow<'b, Briefing>, StoreError> {
        let said = briefing.engineers == Engineers::Told && briefing.is_open();
        if !said || !self.receiver.channel.speaks_plainly() {
            return Ok(Cow::Borrowed(briefing));
        }
        let engineers = self.engineers.clone();
        if self.store.heard(briefing.incident, engineers).await? {
            return Ok(Cow::Borrowed(briefing));
        }
        let mut briefing = briefing.clone();
        briefing.engineers = Engineers::Untold;
        Ok(Cow::Owned(briefing))
    }

    /// Whether this receiver heard the same in another receiver's place, as a fallback that is told by a route as well does.
    ///
    /// Of an opening only its own message is left out: the other one says who could not be reached.
    pub(super) async fn told_already(&self, send: &Send<'_>) -> Result<bool, StoreError> {
        let delivery = send.delivery;
        let over = match delivery.notification.reason {
            _ if order::uncertain(delivery) => return Ok(false),
            Reason::Opened | Reason::Reopened if delivery.lane.is_empty() => false,
            Reason::Resolved | Reason::Unwatched => true,
            _ => return Ok(false),
        };
        let told = self.store.told_last_in_another_lane(delivery).await?;
        Ok(told.is_some_and(|told| told.is_end() == over))
    }

    pub(super) fn pause_for(&mut self, wait: Duration, now: Timestamp) {
        self.paused_until = now.checked_add(wait).ok();
    }

    pub(super) fn reached(&mut self, send: &Send<'_>, reference: &str) {
        let notification = &send.delivery.notification;
        if self.broken.take().is_some() {
            tracing::info!(receiver = %self.receiver.name, "the receiver can be reached again");
        }
        self.states.set(&self.receiver.name, Reach::Good(None));
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

    pub(super) fn failed(
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
        let why = error.text.clone();
        let reach = match self.broken {
            Some(_) => Reach::Broken { since: now, why },
            None => Reach::Waiting { since: now, why },
        };
        self.states.set(receiver, reach);
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
                    self.pause_for(wait.max(self.sender.gap(&self.timing)), now);
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
                    thread,
                }
            }
        };
        let divert = divert.then(|| self.divert(delivery, &error.text, now));
        (outcome, divert)
    }

    /// What becomes of the rows that an end was to tell as well, when it did not get through.
    ///
    /// Whoever hears of the end instead hears of the whole, and nothing is told of a beginning once its end was given up.
    pub(super) fn with_it<'a>(
        &self,
        send: &Send<'a>,
        outcome: &Outcome,
        diverted: bool,
        now: Timestamp,
    ) -> Vec<(&'a Delivery, Outcome, Option<Divert>)> {
        let end = send.delivery.notification.reason.is_end();
        let outcome = match outcome {
            Outcome::Again {
                next_at,
                class,
                error,
                ..
            } if diverted => Outcome::Again {
                next_at: *next_at,
                class,
                error: error.clone(),
                uncertain: false,
                plain: false,
                thread: None,
            },
            Outcome::Dead { class, error, .. } => Outcome::Dead {
                class,
                error: error.clone(),
                thread: None,
            },
            _ => return Vec::new(),
        };
        let merged = send.merged.iter().filter(|_| end);
        merged
            .map(|row| {
                let why = match &outcome {
                    Outcome::Again { error, .. } | Outcome::Dead { error, .. } => error.as_str(),
                    _ => "",
                };
                let divert = (diverted && divertible(row)).then(|| self.divert(row, why, now));
                (*row, outcome.clone(), divert)
            })
            .collect()
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
                    note: Some(note),
                }
            }
            _ => {
                tracing::error!(receiver = %self.receiver.name, incident = notification.incident,
                    "nobody could be told; the message goes to the log");
                let message = Message {
                    note: Some(&note),
                    ..Message::plainly(notification, now)
                };
                (self.print)(&log::text_with_evidence(&message));
                Divert::Log
            }
        }
    }

    /// The end of an incident whose opening the fallback was told in our place: it must hear of it too.
    pub(super) async fn end_for_fallback(
        &self,
        delivery: &Delivery,
    ) -> Result<Option<Divert>, StoreError> {
        let notification = &delivery.notification;
        let Some(fallback) = &self.fallback else {
            return Ok(None);
        };
        if !notification.reason.is_end()
            || !delivery.lane.is_empty()
            || !self.store.owes_the_end(delivery, &fallback.name).await?
        {
            return Ok(None);
        }
        Ok(Some(Divert::To {
            notification: Box::new(Notification {
                delivery: Uuid::now_v7(),
                receiver: fallback.name.clone(),
                ..notification.clone()
            }),
            note: None,
        }))
    }

    /// Marks how a try ended, until that is on the disk: it must not be made again for want of a mark.
    pub(super) async fn mark(
        &self,
        settled: Vec<(&Delivery, Outcome, Option<Divert>)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        loop {
            let marked = self.store.settle_all(settled.clone(), now).await;
            match marked {
                Ok(()) => return Ok(()),
                Err(error @ (StoreError::Closed | StoreError::Deposed { .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    tracing::error!(receiver = %self.receiver.name, "can't mark how a message ended: {error}");
                    tokio::time::sleep(self.timing.store).await;
                }
            }
        }
    }
}
