//! What a worker does while no message is due: looks whether its channel works, says that all is well, and
//! tells its fallback once when it can't reach its own channel, and once when it can again.
//!
//! Who asked for silence did not ask for this: no silence, no maintenance and no hours hold it back.

use std::time::Duration;

use jiff::Timestamp;

use super::channel_watch::Known;
use super::sender::Sender;
use super::state::Reach;
use super::worker::Worker;
use crate::clock;
use crate::domain::moment::elapsed;
use crate::domain::notification::{AllIsWell, Channel};
use crate::notify::{Class, Notice, SendError, Trouble};
use crate::store::{Mark, StoreError};

impl Worker {
    /// Does what there is to do beside messages; returns how long nothing more is due.
    pub(super) async fn idle(&mut self, now: Timestamp) -> Result<Duration, StoreError> {
        self.check(now).await;
        let told = self.report(clock::now()).await?;
        let well = self.all_is_well(clock::now()).await?;
        let now = clock::now();
        let look = self.watch.check_at.filter(|_| !self.watch.checked);
        let look = look.map_or(Duration::MAX, |at| elapsed(now, at));
        Ok(look.min(told).min(well))
    }

    /// Looks once after the start whether the channel works, and again for as long as it does not.
    async fn check(&mut self, now: Timestamp) {
        let Some(again) = self.timing.check else {
            return;
        };
        if self.watch.checked || self.watch.check_at.is_some_and(|at| at > now) {
            return;
        }
        let Sender::Slack { slack, .. } = &self.sender else {
            self.watch.checked = true;
            return;
        };
        let receiver = self.receiver.name.clone();
        match slack.check().await {
            Ok(found) => {
                self.watch.checked = true;
                tracing::info!(%receiver, "Slack knows us: {found}");
                if self.broken.take().is_some() {
                    tracing::info!(%receiver, "the receiver can be reached again");
                }
                self.states.set(&receiver, Reach::Good(Some(found)));
            }
            Err(error) => {
                self.watch.check_at = clock::now().checked_add(again).ok();
                self.note_trouble(&error, clock::now());
            }
        }
    }

    /// Keeps a trouble of the channel that no message was the first to meet.
    fn note_trouble(&mut self, error: &SendError, now: Timestamp) {
        let receiver = &self.receiver.name;
        let why = error.text.clone();
        if error.class != Class::Setup {
            tracing::warn!(%receiver, "the receiver can't be reached at present: {error}");
            self.states
                .set(receiver, Reach::Waiting { since: now, why });
            return;
        }
        if self.broken.as_ref() != Some(&why) {
            tracing::error!(%receiver, "messages to this receiver will not arrive until somebody mends it: {error}");
        }
        self.states.set(
            receiver,
            Reach::Broken {
                since: now,
                why: why.clone(),
            },
        );
        self.broken = Some(why);
    }

    /// Tells the fallback of a trouble, and of its end, once each; returns how long nothing more is due.
    pub(super) async fn report(&mut self, now: Timestamp) -> Result<Duration, StoreError> {
        let known = match self.watch.known {
            Some(known) => known,
            None => self.recall().await?,
        };
        let trouble = self.trouble();
        let over = match (&trouble, known) {
            (Some(_), Known::Nothing | Known::Perhaps) => false,
            // After a start nothing is known of a channel that was in trouble, until something got through.
            (None, Known::Perhaps | Known::Told) if !self.is_unsure() => true,
            (None, Known::Nothing) => {
                if self.watch.begun.take().is_some() {
                    self.note(Mark::TroubleBegun, None).await?;
                }
                return Ok(Duration::MAX);
            }
            _ => return Ok(self.stand(now).await),
        };
        if let Some(at) = self.watch.notice_at.filter(|at| *at > now) {
            return Ok(elapsed(now, at));
        }
        let begun = if let Some(begun) = &self.watch.begun {
            begun.clone()
        } else {
            // On the disk before anybody is told, so that the end, too, is told under this name.
            let begun = (as_kept(now), trouble.clone().unwrap_or_default());
            self.note(Mark::TroubleBegun, Some(begun.clone())).await?;
            self.watch.begun.insert(begun).clone()
        };
        let receiver = self.receiver.name.clone();
        let told = Trouble {
            receiver: receiver.as_str(),
            why: trouble.as_deref().unwrap_or(&begun.1),
            since: begun.0,
            over,
            now,
        };
        if let Err(error) = self.tell_fallback(&told).await {
            tracing::warn!(%receiver, "the fallback could not be told of it: {error}");
            if !over && (error.class == Class::Ambiguous || !self.people_read_the_fallback()) {
                self.watch.known = Some(Known::Perhaps);
            }
            let again = self.timing.setup;
            self.watch.notice_at = now.checked_add(again).ok();
            return Ok(again);
        }
        self.watch.stood_at = Some(now);
        if over {
            self.watch.known = Some(Known::Nothing);
            self.watch.begun = None;
            self.note(Mark::Trouble, None).await?;
            self.note(Mark::TroubleBegun, None).await?;
        } else {
            self.watch.known = Some(Known::Told);
            let mark = (now, told.why.to_owned());
            self.note(Mark::Trouble, Some(mark)).await?;
        }
        Ok(Duration::MAX)
    }

    /// What others know, as it stands on the disk.
    async fn recall(&mut self) -> Result<Known, StoreError> {
        let receiver = self.receiver.name.clone();
        let told = self.store.mark(&receiver, Mark::Trouble).await?;
        let begun = self.store.mark(&receiver, Mark::TroubleBegun).await?;
        let known = match (&told, &begun) {
            (Some(_), _) => Known::Told,
            // It was about to be told when the last run ended.
            (None, Some(_)) => Known::Perhaps,
            (None, None) => Known::Nothing,
        };
        self.watch.begun = begun.or(told);
        self.watch.known = Some(known);
        Ok(known)
    }

    async fn note(&self, what: Mark, value: Option<(Timestamp, String)>) -> Result<(), StoreError> {
        let receiver = &self.receiver.name;
        self.store.set_mark(receiver, what, value).await
    }

    fn reach(&self) -> Option<Reach> {
        self.states.all().remove(&self.receiver.name)
    }

    fn is_unsure(&self) -> bool {
        matches!(
            self.reach(),
            None | Some(Reach::Unknown | Reach::Waiting { .. })
        )
    }

    /// Why messages do not arrive, when others must hear of it.
    fn trouble(&mut self) -> Option<String> {
        if self.broken.is_some() {
            return self.broken.clone();
        }
        if matches!(self.reach(), Some(Reach::Good(_))) {
            self.watch.owed = None;
        }
        self.watch.owed.clone()
    }

    /// Whether a remark on a message that came instead tells the fallback's readers of the trouble.
    fn people_read_the_fallback(&self) -> bool {
        let channel = self.fallback.as_ref().map(|fallback| &fallback.channel);
        !matches!(
            channel,
            Some(
                Channel::Webhook { .. } | Channel::PagerDuty { .. } | Channel::Alertmanager { .. }
            )
        )
    }

    /// A message went to the fallback instead, and says why.
    ///
    /// People know by that. A program does not read remarks, and a pager's alert ends with its incident,
    /// which the trouble may outlast: these are told of it besides.
    pub(super) async fn diverted(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.watch.known == Some(Known::Told) {
            return Ok(());
        }
        let why = match self.reach() {
            Some(Reach::Waiting { why, .. } | Reach::Broken { why, .. }) => why,
            _ => String::new(),
        };
        if !self.people_read_the_fallback() {
            self.watch.owed = Some(why);
            return Ok(());
        }
        self.watch.known = Some(Known::Told);
        self.watch.begun.get_or_insert((as_kept(now), why.clone()));
        self.note(Mark::Trouble, Some((now, why))).await
    }

    async fn tell_fallback(&mut self, trouble: &Trouble<'_>) -> Result<(), SendError> {
        let Some(fallback) = &self.fallback else {
            // There is nobody; the log has it.
            return Ok(());
        };
        match Sender::new(fallback, &self.timing) {
            Sender::Slack { slack, .. } => slack.say(trouble.id(), &trouble.notice().text()).await,
            Sender::Teams(teams) => teams.notice(&trouble.notice()).await,
            Sender::Webhook(webhook) => webhook.trouble(trouble).await,
            Sender::Email(email) => {
                let sent = email.trouble(trouble, self.watch.mail.clone()).await;
                self.watch.mail = sent.thread;
                sent.result
            }
            Sender::PagerDuty(pagerduty) => pagerduty.trouble(trouble).await,
            Sender::Alertmanager(alertmanager) => alertmanager.trouble(trouble).await,
            // A page is nobody's fallback.
            Sender::Page => Ok(()),
            Sender::Missing(_) | Sender::Log => {
                let text = trouble.notice().text();
                (self.print)(&format!("── to {} ──\n{text}\n", fallback.name));
                Ok(())
            }
        }
    }

    /// Sends again what the fallback would forget; returns how long that is not due.
    async fn stand(&mut self, now: Timestamp) -> Duration {
        let channel = self.fallback.as_ref().map(|fallback| &fallback.channel);
        let (Some(Channel::Alertmanager { .. }), Some(begun)) = (channel, self.watch.begun.clone())
        else {
            return Duration::MAX;
        };
        let last = self.watch.stood_at.filter(|last| *last <= now);
        let rest = last.map(|last| self.timing.refresh.saturating_sub(elapsed(last, now)));
        if let Some(rest) = rest.filter(|rest| !rest.is_zero()) {
            return rest;
        }
        let receiver = self.receiver.name.clone();
        let stands = Trouble {
            receiver: receiver.as_str(),
            why: &begun.1,
            since: begun.0,
            over: false,
            now,
        };
        if let Err(error) = self.tell_fallback(&stands).await {
            tracing::warn!(%receiver, "the alert of its trouble could not be sent again: {error}");
        }
        self.watch.stood_at = Some(now);
        self.timing.refresh
    }

    /// Says on its schedule that nothing is wrong; returns how long that is not due.
    async fn all_is_well(&mut self, now: Timestamp) -> Result<Duration, StoreError> {
        let never = Duration::MAX;
        let (
            Sender::Teams(teams),
            Channel::Teams {
                all_is_well: Some(setting),
                ..
            },
        ) = (&self.sender, &self.receiver.channel)
        else {
            return Ok(never);
        };
        let (teams, setting) = (teams.clone(), setting.clone());
        let receiver = self.receiver.name.clone();
        let last = self.store.mark(&receiver, Mark::AllIsWell).await?;
        // The first one comes at its time, not with every start of a new store; nor when the clock was set back.
        let Some((last, _)) = last.filter(|(at, _)| *at <= now) else {
            self.told_well(&setting, now).await?;
            return Ok(until(&setting, now, now));
        };
        let wait = until(&setting, last, now);
        if !wait.is_zero() {
            return Ok(wait);
        }
        if let Some(again) = self.watch.well_at.filter(|at| *at > now) {
            return Ok(elapsed(now, again));
        }
        // Cards about what is wrong show as well that messages arrive; this one waits for its end.
        if self.store.open_incidents().await? > 0 {
            return Ok(never);
        }
        let notice = Notice::AllIsWell {
            setting: &setting,
            now,
        };
        let result = teams.notice(&notice).await;
        let now = clock::now();
        self.pause_for(self.timing.gap_teams, now);
        match result {
            Ok(()) => {
                tracing::info!(%receiver, "told that all is well");
                self.broken = None;
                self.states.set(&receiver, Reach::Good(None));
                self.told_well(&setting, now).await?;
                Ok(until(&setting, now, now))
            }
            Err(error) => {
                self.note_trouble(&error, now);
                let again = match error.class {
                    // It may have arrived; a second one would harm nobody, and it is asked for the channel's sake.
                    Class::SlowDown(asked) => asked.unwrap_or(self.timing.slow_down),
                    _ => self.timing.setup,
                };
                self.watch.well_at = now.checked_add(again).ok();
                Ok(again)
            }
        }
    }

    async fn told_well(&self, setting: &AllIsWell, now: Timestamp) -> Result<(), StoreError> {
        let mark = Some((now, setting.service.clone()));
        self.store
            .set_mark(&self.receiver.name, Mark::AllIsWell, mark)
            .await
    }
}

/// To the microsecond, as marks keep it: what is named by it has that name after a restart, too.
fn as_kept(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

fn until(setting: &AllIsWell, last: Timestamp, now: Timestamp) -> Duration {
    setting
        .next_after(last)
        .map_or(Duration::MAX, |due| elapsed(now, due))
}
