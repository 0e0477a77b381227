//! A worker in a storm: one summary in Slack whose thread has the details, one alert in `PagerDuty`, one card or mail for many.

use jiff::Timestamp;
use uuid::Uuid;

use super::order::{self, Rules, Send};
use super::sender::Sender;
use super::storm::{self, Place};
use super::worker::Worker;
use crate::clock;
use crate::domain::moment::elapsed;
use crate::domain::notification::{Member, Reason};
use crate::notify::slack::Parent;
use crate::notify::{Message, SendError, Summary};
use crate::store::{Delivery, Joined, Outcome, StoreError, Storm, Thread};

impl Worker {
    /// The summary that tells of this incident, if one does or is to; all that can join it do so at once.
    pub(super) async fn summary(
        &self,
        send: &Send<'_>,
        rows: &[Delivery],
        has_own: bool,
        now: Timestamp,
    ) -> Result<Option<Storm>, StoreError> {
        if !matches!(self.sender, Sender::Slack { .. } | Sender::PagerDuty(_)) || has_own {
            return Ok(None);
        }
        let (receiver, lane) = (&self.receiver.name, send.delivery.lane.as_str());
        let join = |to, members, joins| {
            self.store
                .join_storm(receiver, lane, to, members, joins, now)
        };
        if let Some(storm) = self.store.storm_of(send.delivery).await? {
            // All that is due is said at once: each in an edit of its own would be too many for Slack.
            let mut members = storm::news(rows, lane, &storm, now);
            members.retain(|member| member.incident != send.briefing.incident);
            members.push(Member::of(send.briefing));
            return join(Joined::To(storm.id), members, false).await.map(Some);
        }
        let first = send.delivery.notification.reason == Reason::Opened || send.whole;
        if !first || order::uncertain(send.delivery) {
            return Ok(None);
        }
        let members = storm::firsts(rows, lane, now);
        let since = storm::since(now, self.timing.storm_window);
        let told = self
            .store
            .told_since(receiver, lane, &[Reason::Opened], since)
            .await?;
        let newest = self.store.newest_storm(receiver, lane).await?;
        let to = match storm::place(&self.timing, told, members.len(), newest.as_ref(), now) {
            Place::Own => return Ok(None),
            Place::Join(id) => Joined::To(id),
            Place::Begin => Joined::New(Uuid::now_v7()),
        };
        tracing::info!(%receiver, incidents = members.len(), "many incidents at once; they share one message");
        join(to, members, true).await.map(Some)
    }

    /// Tells Slack or `PagerDuty` of one incident within its summary; the summary's place is on the disk before the rest goes on.
    ///
    /// `more`: others of it are told after this one.
    pub(super) async fn tell_member(
        &self,
        message: &Message<'_>,
        storm: &Storm,
        more: bool,
        look_since: Option<Timestamp>,
    ) -> Result<Result<String, SendError>, StoreError> {
        let (slack, channel) = match &self.sender {
            Sender::Slack { slack, channel } => (slack, channel),
            Sender::PagerDuty(pagerduty) => {
                let told = pagerduty
                    .tell_member(message, storm.delivery, &storm.members)
                    .await;
                return Ok(told.map(|()| "pagerduty".to_owned()));
            }
            _ => return Ok(Ok(String::new())),
        };
        let parent = storm
            .thread
            .as_ref()
            .filter(|thread| thread.configured == *channel)
            .map(|thread| Parent {
                channel: thread.channel.clone(),
                ts: thread.ts.clone(),
            });
        let summary = Summary {
            delivery: storm.delivery,
            began_at: storm.began_at,
            members: &storm.members,
            more,
            look_since: storm.tried_at,
        };
        let before = parent.clone();
        let sent = slack
            .tell_member(message, &summary, parent, look_since)
            .await;
        if let Some(parent) = sent.parent.filter(|p| before.as_ref() != Some(p)) {
            let thread = Thread {
                configured: channel.clone(),
                channel: parent.channel,
                ts: parent.ts,
            };
            self.store.storm_posted(storm.id, thread).await?;
        }
        let reference = storm.thread.as_ref().map(|t| t.ts.clone());
        Ok(sent.result.map(|()| reference.unwrap_or_default()))
    }

    /// Whether a storm is on for Teams or mail, and what is to be told with `first` in one card.
    pub(super) async fn together<'a>(
        &self,
        first: &Send<'_>,
        rows: &'a [Delivery],
        rules: Rules,
    ) -> Result<(bool, Vec<Send<'a>>), StoreError> {
        if !self.sender.tells_together() {
            return Ok((false, Vec::new()));
        }
        let since = storm::since(rules.now, self.timing.storm_window);
        let (receiver, lane) = (&self.receiver.name, first.delivery.lane.as_str());
        // An incident that was told as a whole counts once.
        let mut told = 0;
        for reasons in [
            &[Reason::Opened, Reason::Reopened][..],
            &[Reason::Resolved, Reason::Unwatched],
        ] {
            let taken = self.store.told_since(receiver, lane, reasons, since);
            told = told.max(taken.await?);
        }
        let mut sends = Vec::new();
        for send in storm::together(&self.timing, first, order::ready(rows, rules), told) {
            if !self.told_already(&send).await? {
                sends.push(send);
            }
        }
        Ok((!sends.is_empty(), sends))
    }

    /// Tells many things in one card, as many as it can name, and marks all of these or none; the rest goes into the next.
    pub(super) async fn send_together(
        &mut self,
        mut sends: Vec<Send<'_>>,
    ) -> Result<(), StoreError> {
        let now = clock::now();
        let mut briefings = Vec::new();
        for send in &sends {
            briefings.push(self.as_heard(send.briefing).await?);
        }
        let mut messages: Vec<Message<'_>> = sends
            .iter()
            .zip(&briefings)
            .map(|(send, briefing)| {
                let notification = &send.delivery.notification;
                let due_at = notification.not_before.max(notification.created_at);
                Message {
                    briefing,
                    late: elapsed(due_at, now) > self.timing.late,
                    whole: send.whole,
                    repeat: order::uncertain(send.delivery),
                    note: send.delivery.note.as_deref(),
                    ..Message::plainly(notification, now)
                }
            })
            .collect();
        messages.truncate(self.sender.fitting(&messages).max(1));
        sends.truncate(messages.len());
        let ids = sends.iter().map(|s| s.delivery.notification.delivery);
        self.store.sending(ids.collect(), now).await?;
        let result = self.sender.tell_together(&messages).await;
        let reference = self.sender.reference();
        let now = clock::now();
        self.pause_for(self.timing.storm_gap, now);
        let mut settled = Vec::new();
        for (place, send) in sends.iter().enumerate() {
            let (outcome, divert) = match &result {
                Ok(threads) => {
                    self.reached(send, reference);
                    let outcome = Outcome::Accepted {
                        reference: reference.to_owned(),
                        thread: threads.get(place).cloned(),
                        merged: send.merged_ids(),
                    };
                    (outcome, self.end_for_fallback(send.delivery).await?)
                }
                Err(error) => self.failed(send.delivery, error, None, now),
            };
            settled.extend(self.with_it(send, &outcome, divert.is_some(), now));
            settled.push((send.delivery, outcome, divert));
        }
        let instead = result.is_err() && settled.iter().any(|(.., divert)| divert.is_some());
        self.mark(settled, now).await?;
        if instead {
            self.diverted(now).await?;
        }
        Ok(())
    }
}
