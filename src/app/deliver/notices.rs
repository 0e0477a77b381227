//! What a worker does while no message is due: looks whether its channel works, says that all is well, and
//! tells its fallback once when it can't reach its own channel, and once when it can again.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::sender::Sender;
use super::state::Reach;
use super::timing::elapsed;
use super::worker::Worker;
use crate::clock;
use crate::domain::notification::{AllIsWell, Channel};
use crate::notify::{Class, Notice, SendError};
use crate::store::{Mark, StoreError};

/// What a worker remembers of its own channel between two looks.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    /// The channel was looked at and works.
    checked: bool,
    /// Not to be looked at again before.
    check_at: Option<Timestamp>,
    /// Not to be told of again before, when telling failed.
    notice_at: Option<Timestamp>,
    well_at: Option<Timestamp>,
    /// Whether others know of a trouble; `None`: it has to be looked up.
    told: Option<bool>,
}

impl Worker {
    /// Does what there is to do beside messages; returns how long nothing more is due.
    pub(super) async fn idle(&mut self, now: Timestamp) -> Result<Duration, StoreError> {
        self.check(now).await;
        self.report(clock::now()).await?;
        let well = self.all_is_well(clock::now()).await?;
        let now = clock::now();
        let look = self.watch.check_at.filter(|_| !self.watch.checked);
        // A notice whose time has come was tried just now, or is not due any more.
        let notice = self.watch.notice_at.filter(|at| *at > now);
        let next = [look, notice].into_iter().flatten();
        Ok(next.map(|at| elapsed(now, at)).fold(well, Duration::min))
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

    /// Tells the fallback of a trouble, and of its end, once each.
    pub(super) async fn report(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let receiver = self.receiver.name.clone();
        let told = match self.watch.told {
            Some(told) => told,
            None => self.store.mark(&receiver, Mark::Trouble).await?.is_some(),
        };
        self.watch.told = Some(told);
        let due = self.broken.is_some() != told;
        // After a start nothing is known of a channel that was in trouble, until something got through.
        let unsure = told
            && matches!(
                self.states.all().get(&receiver),
                None | Some(Reach::Unknown | Reach::Waiting { .. })
            );
        if !due || unsure || self.watch.notice_at.is_some_and(|at| at > now) {
            return Ok(());
        }
        let notice = match &self.broken {
            Some(why) => Notice::Unreachable {
                receiver: receiver.as_str(),
                why,
            },
            None => Notice::ReachableAgain {
                receiver: receiver.as_str(),
            },
        };
        if let Err(error) = self.tell_fallback(&notice).await {
            tracing::warn!(%receiver, "the fallback could not be told of it: {error}");
            self.watch.notice_at = now.checked_add(self.timing.setup).ok();
            return Ok(());
        }
        let mark = self.broken.clone().map(|why| (now, why));
        self.watch.told = Some(mark.is_some());
        self.store.set_mark(&receiver, Mark::Trouble, mark).await
    }

    /// Others know already, because a message went to them instead.
    pub(super) async fn diverted(&mut self, why: &str, now: Timestamp) -> Result<(), StoreError> {
        if self.watch.told == Some(true) {
            return Ok(());
        }
        self.watch.told = Some(true);
        let mark = Some((now, why.to_owned()));
        self.store
            .set_mark(&self.receiver.name, Mark::Trouble, mark)
            .await
    }

    async fn tell_fallback(&self, notice: &Notice<'_>) -> Result<(), SendError> {
        let Some(fallback) = &self.fallback else {
            // There is nobody; the log has it.
            return Ok(());
        };
        match Sender::new(fallback, &self.timing) {
            Sender::Slack { slack, .. } => slack.say(Uuid::now_v7(), &notice.text()).await,
            Sender::Teams(teams) => teams.notice(notice).await,
            // The rest has no place for what is no incident; their next message says that it came instead.
            Sender::Webhook(_)
            | Sender::Email(_)
            | Sender::PagerDuty(_)
            | Sender::Alertmanager(_)
            | Sender::Log => {
                (self.print)(&format!("── to {} ──\n{}\n", fallback.name, notice.text()));
                Ok(())
            }
        }
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

fn until(setting: &AllIsWell, last: Timestamp, now: Timestamp) -> Duration {
    setting
        .next_after(last)
        .map_or(Duration::MAX, |due| elapsed(now, due))
}
