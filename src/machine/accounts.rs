//! How often each account was used over the last day, and until when it is to be left alone.
//!
//! A partner that counts requests by account locks an account, not an address: whoever polls it on locks it again, and
//! the application that needs it with it. So requests are counted by credential over every window of 24 h, whoever made
//! them, and a refusal that names its end is believed. What is not made is skipped, not made up for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::domain::cell::CredentialName;
use crate::domain::moment::later;
use crate::domain::plan::Plan;
use crate::domain::upcoming::Account as Told;
use crate::surroundings::notice::Notice;

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Rests that follow each other within this are one.
const AGAIN: Duration = Duration::from_secs(12 * 3600);

/// What is known of every account that was used.
#[derive(Debug, Default)]
pub(super) struct Accounts(BTreeMap<CredentialName, Account>);

#[derive(Debug, Default)]
struct Account {
    /// Oldest first; at most as many as a day may have.
    uses: VecDeque<Timestamp>,
    /// By the partner's word.
    locked_until: Option<Timestamp>,
    /// The end that people were told of last.
    told_until: Option<Timestamp>,
}

impl Accounts {
    /// Takes in uses of before; `most` are allowed a day.
    pub(super) fn used(
        &mut self,
        credential: &CredentialName,
        uses: impl IntoIterator<Item = Timestamp>,
        most: Option<u32>,
    ) {
        let Some(most) = most.filter(|_| !credential.is_anonymous()) else {
            return;
        };
        let account = self.0.entry(credential.clone()).or_default();
        account.uses.extend(uses);
        account.uses.make_contiguous().sort_unstable();
        let surplus = account.uses.len().saturating_sub(most as usize);
        account.uses.drain(..surplus);
    }

    /// Whether it may be used now; if so, it counts as used.
    pub(super) fn take(
        &mut self,
        credential: &CredentialName,
        most: Option<u32>,
        now: Timestamp,
    ) -> bool {
        if credential.is_anonymous() {
            return true;
        }
        if self.rests_until(credential, most, now).is_some() {
            return false;
        }
        self.used(credential, [now], most);
        true
    }

    /// Until when an account is left alone; `None`: it may be used.
    pub(super) fn rests_until(
        &self,
        credential: &CredentialName,
        most: Option<u32>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let account = self.0.get(credential)?;
        let locked = account.locked_until.filter(|until| *until > now);
        // The oldest of as many uses as a day may have decides when the next fits.
        let oldest = most.and_then(|most| {
            let back = account.uses.len().checked_sub(most as usize)?;
            account.uses.get(back)
        });
        let full = oldest.and_then(|oldest| oldest.checked_add(DAY).ok());
        locked.max(full.filter(|until| *until > now))
    }

    /// The partner says that it is locked for so long.
    pub(super) fn lock(&mut self, credential: &CredentialName, wait: Duration, now: Timestamp) {
        if credential.is_anonymous() {
            return;
        }
        let account = self.0.entry(credential.clone()).or_default();
        account.locked_until = account.locked_until.max(Some(later(now, wait)));
    }

    /// Those that have a limit, or rest.
    pub(super) fn told(&self, plan: &Plan, now: Timestamp) -> Vec<Told> {
        let most = plan.credential_a_day;
        let each = plan.credentials.iter().map(|credential| {
            let name = &credential.name;
            let known = self.0.get(name);
            let since = now.checked_sub(DAY).unwrap_or(now);
            let uses = known.iter().flat_map(|known| &known.uses);
            Told {
                credential: name.clone(),
                used: uses.filter(|at| **at > since).count(),
                a_day: most,
                rests_until: self.rests_until(name, most, now),
                locked: known.is_some_and(|known| known.locked_until > Some(now)),
            }
        });
        each.filter(|told| most.is_some() || told.rests_until.is_some())
            .collect()
    }

    /// Those that rest at a start were told of before it.
    pub(super) fn are_known(&mut self, plan: &Plan, now: Timestamp) {
        for told in self.told(plan, now) {
            if let Some(account) = self.0.get_mut(&told.credential) {
                account.told_until = told.rests_until;
            }
        }
    }

    /// What people are to hear: an account that began to rest, each time once.
    pub(super) fn news(&mut self, plan: &Plan, now: Timestamp) -> Vec<Notice> {
        let mut news = Vec::new();
        for told in self.told(plan, now) {
            let Some(until) = told.rests_until else {
                continue;
            };
            let Some(account) = self.0.get_mut(&told.credential) else {
                continue;
            };
            // A day that is used up frees one use at a time; that is one piece of news.
            if account
                .told_until
                .is_some_and(|told| now < later(told, AGAIN))
            {
                continue;
            }
            account.told_until = Some(until);
            let clock = until.to_zoned(plan.zone.clone());
            let clock = clock.strftime("%a %-d %b %H:%M %Z");
            let name = &told.credential;
            let probes = plan.probes.iter().filter(|probe| probe.with.contains(name));
            let (headline, step) = if told.locked {
                (
                    format!("The partner locked the account behind credential `{name}` until {clock}: no run with it is made before"),
                    "Ask less often with it (`every:`, or `politeness: { per_credential: { requests_per_day: … } }`); whatever else uses the account is locked out too".to_owned(),
                )
            } else {
                (
                    format!("Credential `{name}` was used {} times within 24 h, as often as the file allows: no run with it is made until {clock}", told.used),
                    "What it watches is not known until then. Ask less often, or allow more (`requests_per_day`)".to_owned(),
                )
            };
            news.push(Notice {
                probes: probes.map(|probe| probe.name.clone()).collect(),
                headline,
                because: vec![format!(
                    "the schedule asks {:.0} times a day with it",
                    plan.a_day(name)
                )],
                next_step: Some(step),
                ..Notice::of_ourselves(now)
            });
        }
        news
    }

    /// Moves what is remembered by `by`, after the clock was set.
    pub(super) fn shift(&mut self, by: SignedDuration) {
        for account in self.0.values_mut() {
            let uses = account.uses.iter_mut();
            for at in uses.chain(&mut account.locked_until) {
                *at = at.checked_add(by).unwrap_or(*at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap()
    }

    #[test]
    fn a_day_has_so_many_uses_and_slides() {
        let (name, most) = (CredentialName::new("gmc"), Some(3));
        let mut accounts = Accounts::default();
        // From a life before: they come in any order, and old ones are forgotten.
        accounts.used(&name, [at(2), at(-30), at(0)], most);
        assert!(accounts.take(&name, most, at(3)));
        assert!(!accounts.take(&name, most, at(4)));
        assert_eq!(accounts.rests_until(&name, most, at(4)), Some(at(24)));
        assert!(!accounts.take(&name, most, at(23)));
        assert!(accounts.take(&name, most, at(24)));
        assert_eq!(accounts.rests_until(&name, most, at(25)), Some(at(26)));
        assert!(accounts.take(&CredentialName::anonymous(), most, at(4)));
        assert!(accounts.take(&CredentialName::new("other"), most, at(4)));
        assert!(accounts.take(&CredentialName::new("free"), None, at(4)));
    }

    #[test]
    fn a_lock_has_its_end() {
        let name = CredentialName::new("gmc");
        let mut accounts = Accounts::default();
        accounts.lock(&name, Duration::from_secs(24 * 3600), at(0));
        accounts.lock(&name, Duration::from_secs(3600), at(1));
        assert_eq!(accounts.rests_until(&name, None, at(2)), Some(at(24)));
        assert!(!accounts.take(&name, None, at(23)));
        assert!(accounts.take(&name, None, at(24)));
        accounts.lock(&name, Duration::from_secs(3600), at(24));
        accounts.shift(SignedDuration::from_hours(-10));
        assert_eq!(accounts.rests_until(&name, None, at(14)), Some(at(15)));
    }
}
