//! When it failed, as runs showed it: the event, not what was decided about it.
//!
//! A decision comes later than what it is about: an end is told when enough passes stand behind each other, and
//! what comes back was well in between. Durations for people are made of these times alone.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::form::nanos;

/// The times at which something failed; of what former versions wrote only the onset and the decision are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spells {
    /// How long it failed before it came back last, the good time between left out.
    #[serde(default, rename = "earlier_ns", with = "nanos")]
    pub earlier: Duration,
    /// First failing run since it came back; `None`: it never did, so it is the onset.
    #[serde(default)]
    pub back_at: Option<Timestamp>,
    /// Last failing run.
    #[serde(default)]
    pub last_bad_at: Option<Timestamp>,
    /// First run that passed with none failing after it; while it is open, one may still.
    #[serde(default)]
    pub first_good_at: Option<Timestamp>,
}

impl Spells {
    /// A run failed.
    pub fn failed(&mut self, at: Timestamp) {
        self.last_bad_at = self.last_bad_at.max(Some(at));
        self.first_good_at = None;
    }

    /// A run passed.
    pub fn passed(&mut self, at: Timestamp) {
        self.first_good_at.get_or_insert(at);
    }

    /// It came back after it was over; `ended` is when that was decided, for want of anything better.
    pub fn came_back(&mut self, onset: Timestamp, ended: Timestamp, back_at: Timestamp) {
        self.earlier = self.failing_for(onset, self.first_good_at.unwrap_or(ended));
        self.back_at = Some(back_at);
        self.first_good_at = None;
    }

    /// How long it failed until `end`, all times together.
    #[must_use]
    pub fn failing_for(&self, onset: Timestamp, end: Timestamp) -> Duration {
        let since = self.back_at.unwrap_or(onset);
        let now = Duration::try_from(end.duration_since(since)).unwrap_or_default();
        self.earlier.saturating_add(now)
    }

    /// When it was over: the first good run, else when that was decided; never before the last bad one.
    #[must_use]
    pub fn over_at(&self, decided: Timestamp) -> Timestamp {
        let seen = self.first_good_at.unwrap_or(decided).min(decided);
        self.last_bad_at.map_or(seen, |bad| seen.max(bad))
    }

    /// Until when it is known to fail, of what ended while nobody looked.
    #[must_use]
    pub fn seen_until(&self, decided: Timestamp) -> Timestamp {
        self.last_bad_at.unwrap_or(decided).min(decided)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_minute_is_a_minute_however_late_it_is_told() {
        let mut spells = Spells::default();
        spells.failed(at(0));
        spells.failed(at(60));
        spells.passed(at(66));
        spells.passed(at(96));
        let over = spells.over_at(at(116));
        assert_eq!(over, at(66));
        assert_eq!(spells.failing_for(at(0), over), Duration::from_secs(66));
    }

    #[test]
    fn the_good_time_between_is_not_counted() {
        let mut spells = Spells::default();
        spells.failed(at(0));
        spells.passed(at(60));
        spells.came_back(at(0), at(110), at(600));
        spells.failed(at(600));
        spells.passed(at(620));
        spells.failed(at(640));
        spells.passed(at(660));
        let over = spells.over_at(at(700));
        assert_eq!(over, at(660));
        assert_eq!(spells.failing_for(at(0), over), Duration::from_secs(120));
    }

    #[test]
    fn what_nobody_saw_pass_ends_when_that_was_decided() {
        let spells = Spells::default();
        assert_eq!(spells.over_at(at(100)), at(100));
        assert_eq!(spells.seen_until(at(100)), at(100));
        let mut late = Spells::default();
        // A run that was heard of late failed after the first that passed.
        late.passed(at(10));
        late.last_bad_at = Some(at(20));
        assert_eq!(late.over_at(at(100)), at(20));
        assert_eq!(late.seen_until(at(100)), at(20));
    }
}
