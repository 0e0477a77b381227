//! Requests beyond the schedule: which are out, and how many more are allowed.
//!
//! Probing can cause the very block it asks about, so every extra request is counted: per incident, per
//! host and hour, and per credential that is being refused (accounts lock after a few).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::domain::cell::{CellKey, CredentialName};
use crate::domain::moment::later;
use crate::domain::observation::Purpose;
use crate::domain::plan::Politeness;

/// Extra requests to a host in any hour, over all incidents.
const PER_HOUR_MAX: usize = 30;
/// Extra requests with a credential that is being refused, for one incident.
const PER_REFUSED_CREDENTIAL_MAX: u32 = 3;
/// Between extra requests to one host, at least.
const APART: Duration = Duration::from_secs(1);
/// Beyond its timeout, how long an answer may stay away before the request counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// Kept for the recovery out of what one incident may spend.
const FOR_RECOVERY: u32 = 4;

/// The extra requests of one host.
#[derive(Debug, Default)]
pub struct Extra {
    /// For the present suspicion or incident.
    issued: u32,
    outstanding: Vec<Asked>,
    with_credential: HashMap<CredentialName, u32>,
}

/// The extra requests to one host in the last hour, whatever they were for.
#[derive(Debug, Default, Clone)]
pub struct Hour {
    /// When they were due, oldest first.
    due: VecDeque<Timestamp>,
}

impl Hour {
    #[must_use]
    pub fn full(&self, now: Timestamp) -> bool {
        let hour = SignedDuration::from_hours(1);
        let ago = now.checked_sub(hour).unwrap_or(now);
        // Requests are booked minutes ahead at most; a later one is from before the clock was set back.
        let ahead = now.checked_add(hour).unwrap_or(now);
        let counts = |at: &&Timestamp| **at > ago && **at <= ahead;
        self.due.iter().filter(counts).count() >= PER_HOUR_MAX
    }

    pub fn note(&mut self, at: Timestamp) {
        if self.due.len() >= PER_HOUR_MAX {
            self.due.pop_front();
        }
        // One that is booked for a quiet minute may come after one that is booked later.
        let place = self.due.partition_point(|known| *known <= at);
        self.due.insert(place, at);
    }
}

/// An extra request that has not been answered.
#[derive(Debug, Clone)]
struct Asked {
    cell: CellKey,
    at: Timestamp,
    purpose: Purpose,
    lost_at: Timestamp,
}

/// What an extra request is for; recovery may use what diagnosis leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Fault,
    Recovery,
}

impl Extra {
    #[must_use]
    pub fn issued(&self) -> u32 {
        self.issued
    }

    /// Takes up the count of an incident from before a restart or a return.
    pub fn resume(&mut self, issued: u32) {
        self.issued = self.issued.max(issued);
    }

    /// A new question begins.
    pub fn start_over(&mut self) {
        self.issued = 0;
        self.with_credential.clear();
        self.outstanding.clear();
    }

    /// Whether a request to this cell is out.
    #[must_use]
    pub fn waits_for(&self, cell: &CellKey) -> bool {
        self.outstanding.iter().any(|asked| asked.cell == *cell)
    }

    /// How many requests of a purpose are out.
    #[must_use]
    pub fn outstanding(&self, purpose: Purpose) -> usize {
        let mine = self.outstanding.iter().filter(|a| a.purpose == purpose);
        mine.count()
    }

    /// An answer of the cell came, whoever asked; whether it was waited for here.
    pub fn answered(&mut self, cell: &CellKey, started_at: Timestamp) -> bool {
        let before = self.outstanding.len();
        // A scheduled run just before the extra one was due leaves that one on its way.
        self.outstanding
            .retain(|asked| asked.cell != *cell || asked.at > later(started_at, APART));
        self.outstanding.len() < before
    }

    /// Forgets requests whose answer is overdue; whether there were any.
    pub fn give_up(&mut self, now: Timestamp) -> bool {
        let before = self.outstanding.len();
        self.outstanding.retain(|asked| asked.lost_at > now);
        self.outstanding.len() < before
    }

    /// When the next request counts as lost.
    #[must_use]
    pub fn next_lost_at(&self) -> Option<Timestamp> {
        self.outstanding.iter().map(|asked| asked.lost_at).min()
    }

    /// Whether the cell may be asked ahead of its schedule; `refused`: its credential is being refused.
    #[must_use]
    pub fn allows(
        &self,
        politeness: &Politeness,
        cell: &CellKey,
        refused: bool,
        purpose: Use,
    ) -> bool {
        let most = politeness.extra_per_incident;
        let most = match purpose {
            Use::Fault if most >= 2 * FOR_RECOVERY => most - FOR_RECOVERY,
            Use::Fault | Use::Recovery => most,
        };
        let asked = self.outstanding.iter().any(|asked| asked.cell == *cell);
        let with = self.with_credential.get(&cell.credential);
        let locked = refused
            && !cell.credential.is_anonymous()
            && with.is_some_and(|count| *count >= PER_REFUSED_CREDENTIAL_MAX);
        self.issued < most && !asked && !locked
    }

    /// Books a request for `wanted` or soon after; when it is due.
    pub fn book(
        &mut self,
        politeness: &Politeness,
        cell: &CellKey,
        wanted: Timestamp,
        timeout: Duration,
        purpose: Purpose,
    ) -> Timestamp {
        let apart = politeness.gap.max(APART);
        let mut at = wanted;
        // At most a handful are out, so this ends after as many rounds.
        for _ in 0..=self.outstanding.len() {
            let clash = self
                .outstanding
                .iter()
                .find(|asked| asked.at.duration_since(at).unsigned_abs() < apart);
            match clash {
                Some(asked) => at = later(asked.at, apart),
                None => break,
            }
        }
        self.issued += 1;
        *self
            .with_credential
            .entry(cell.credential.clone())
            .or_default() += 1;
        self.outstanding.push(Asked {
            cell: cell.clone(),
            at,
            purpose,
            lost_at: later(at, timeout + LOST_AFTER),
        });
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(credential: &str) -> CellKey {
        CellKey {
            probe: "p".into(),
            egress: "e1".into(),
            client: "c1".into(),
            credential: credential.into(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn an_hour_forgets_the_earliest_not_the_first_booked() {
        let mut hour = Hour::default();
        hour.note(at(65));
        (0..29).for_each(|second| hour.note(at(second)));
        assert!(hour.full(at(30)));
        assert!(!hour.full(at(3600)), "one is an hour old");
        hour.note(at(3600));
        assert!(hour.full(at(3600)), "the one of 65 s still counts");
    }

    /// Books and answers one request every ten seconds until it is refused; how many were allowed.
    fn allowed(credential: &str, refused: bool, purpose: Use, every: i64) -> u32 {
        let polite = Politeness {
            extra_per_incident: 12,
            ..Politeness::default()
        };
        let (mut extra, cell) = (Extra::default(), cell(credential));
        let mut now = 0;
        while extra.allows(&polite, &cell, refused, purpose) && now < 100_000 {
            extra.book(&polite, &cell, at(now), Duration::ZERO, Purpose::Counter);
            extra.answered(&cell, at(now));
            now += every;
        }
        extra.issued()
    }

    #[test]
    fn stays_polite() {
        assert_eq!(allowed("anonymous", false, Use::Fault, 10), 8, "4 are kept");
        assert_eq!(allowed("anonymous", false, Use::Recovery, 10), 12);
        assert_eq!(allowed("gmc", true, Use::Fault, 10), 3, "before it locks");
        assert_eq!(
            allowed("anonymous", true, Use::Fault, 10),
            8,
            "nothing to lock"
        );
    }

    #[test]
    fn an_hour_has_a_bound() {
        let mut hour = Hour::default();
        let mut asked = Vec::new();
        for second in 0..7200 {
            if !hour.full(at(second)) {
                hour.note(at(second));
                asked.push(second);
            }
        }
        let expected: Vec<i64> = (0..30).chain(3600..3630).collect();
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_clock_set_back_by_a_day_leaves_an_hour_free() {
        let mut hour = Hour::default();
        for second in 0..30 {
            hour.note(at(86_400 + second));
        }
        assert!(hour.full(at(86_430)));
        assert!(!hour.full(at(30)));
    }

    #[test]
    fn requests_are_apart() {
        let polite = Politeness::default();
        let mut extra = Extra::default();
        let due: Vec<Timestamp> = ["a", "b", "c"]
            .map(|name| {
                extra.book(
                    &polite,
                    &cell(name),
                    at(5),
                    Duration::ZERO,
                    Purpose::Counter,
                )
            })
            .to_vec();
        assert_eq!(due, [at(5), at(6), at(7)]);
    }
}
