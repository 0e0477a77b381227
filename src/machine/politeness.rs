//! When one host may be asked again: the gap between two starts, and the budget of a minute.
//!
//! The budget is held over every window of 60 s, by remembering the starts of the last minute: a
//! bucket that refills would let twice the budget through in the minute after a pause.
//!
//! Scheduled runs may use the first half of a minute's budget as fast as the gap allows. From then on
//! they keep an even pace, so that a host with more cells than budget is asked steadily and a
//! confirmation finds a free place within `60 s / budget`, not behind a wall of half a minute.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::domain::plan::Politeness;

/// Microseconds since the Unix epoch, or between two such; covers every [`jiff::Timestamp`].
pub(crate) type Micros = i64;

pub(crate) const SECOND: Micros = 1_000_000;
pub(crate) const MINUTE: Micros = 60 * SECOND;

/// What politeness says to who wants to ask a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It may be asked, and counts as asked.
    Now,
    /// Not before; it is to be asked for again then.
    At(Timestamp),
    /// The plan has no such host.
    Never,
}

/// The starts to one host, and when the next may be.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    gap: Micros,
    /// At least 1.
    per_minute: usize,
    /// Starts of the last minute, oldest first; at most `per_minute`.
    starts: VecDeque<Micros>,
    last: Option<Micros>,
    /// The host asked for silence until then.
    held_until: Option<Micros>,
}

impl Pace {
    pub(crate) fn new(politeness: &Politeness) -> Self {
        let mut pace = Self {
            gap: 0,
            per_minute: 1,
            starts: VecDeque::new(),
            last: None,
            held_until: None,
        };
        pace.set(politeness);
        pace
    }

    /// Takes new rules; what was asked of the host so far still counts.
    pub(crate) fn set(&mut self, politeness: &Politeness) {
        self.gap = politeness.gap.as_micros().min(Micros::MAX as u128) as Micros;
        self.per_minute = politeness.requests_per_minute.max(1) as usize;
    }

    /// The even distance between runs that uses up the budget.
    pub(crate) fn even(&self) -> Micros {
        self.gap.max(MINUTE / self.per_minute as Micros)
    }

    /// The earliest start, not before `now`; to be asked again when that time comes.
    pub(crate) fn earliest(&mut self, now: Micros, urgent: bool) -> Micros {
        while self.starts.front().is_some_and(|&at| at <= now - MINUTE) {
            self.starts.pop_front();
        }
        let held = self.held_until.unwrap_or(now).max(now);
        let Some(last) = self.last else { return held };
        let mut earliest = last.saturating_add(self.gap);
        let used = self.starts.len();
        if !urgent && used * 2 >= self.per_minute && used > 0 {
            earliest = earliest.max(last.saturating_add(MINUTE / self.per_minute as Micros));
        }
        if used >= self.per_minute {
            earliest = earliest.max(self.starts[used - self.per_minute] + MINUTE);
        }
        earliest.max(held)
    }

    /// Starts within the last minute.
    pub(crate) fn used(&self, now: Micros) -> usize {
        self.starts.iter().filter(|at| **at > now - MINUTE).count()
    }

    pub(crate) fn per_minute(&self) -> usize {
        self.per_minute
    }

    /// Until when the host is left alone; `None`: it may be asked.
    pub(crate) fn held(&self, now: Micros) -> Option<Micros> {
        self.held_until.filter(|until| *until > now)
    }

    /// Starts nothing before `until`: the host asked us to wait. A later wish does not shorten an earlier one.
    pub(crate) fn hold(&mut self, until: Micros) {
        self.held_until = self.held_until.max(Some(until));
    }

    pub(crate) fn started(&mut self, now: Micros) {
        if self.starts.len() >= self.per_minute {
            self.starts.pop_front();
        }
        self.starts.push_back(now);
        self.last = Some(now);
    }

    /// Moves what is remembered by `by`, after the clock was set.
    pub(crate) fn shift(&mut self, by: Micros) {
        self.last = self.last.map(|at| at + by);
        self.held_until = self.held_until.map(|at| at + by);
        for at in &mut self.starts {
            *at += by;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Starts as early as allowed, `count` times; answers when, in milliseconds.
    fn starts(per_minute: u32, gap_ms: u64, urgent: bool, count: usize) -> Vec<Micros> {
        let mut pace = Pace::new(&Politeness {
            requests_per_minute: per_minute,
            gap: Duration::from_millis(gap_ms),
            extra_per_incident: 0,
        });
        let mut now = 0;
        (0..count)
            .map(|_| {
                loop {
                    let earliest = pace.earliest(now, urgent);
                    if earliest == now {
                        break;
                    }
                    now = earliest;
                }
                pace.started(now);
                now / 1000
            })
            .collect()
    }

    #[test]
    fn paces() {
        for (name, per_minute, gap_ms, urgent, expected) in [
            ("the gap holds", 60, 500, true, vec![0, 500, 1000, 1500]),
            (
                "urgent runs use the budget at once, then wait for the window",
                4,
                100,
                true,
                vec![0, 100, 200, 300, 60_000, 60_100],
            ),
            (
                "scheduled runs slow down from half of it",
                4,
                100,
                false,
                vec![0, 100, 15_100, 30_100, 60_000, 75_000],
            ),
            ("a budget of one", 1, 500, false, vec![0, 60_000, 120_000]),
            (
                "a gap longer than the window",
                60,
                90_000,
                true,
                vec![0, 90_000, 180_000],
            ),
        ] {
            assert_eq!(
                starts(per_minute, gap_ms, urgent, expected.len()),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn a_host_that_asked_for_silence_gets_it() {
        let mut pace = Pace::new(&Politeness::default());
        pace.hold(30 * SECOND);
        pace.hold(20 * SECOND);
        assert_eq!(
            pace.earliest(5 * SECOND, true),
            30 * SECOND,
            "extra runs wait too"
        );
        assert_eq!(pace.earliest(30 * SECOND, false), 30 * SECOND);
        pace.started(30 * SECOND);
        assert_eq!(
            pace.earliest(31 * SECOND, false),
            31 * SECOND,
            "afterwards the rhythm is the old one"
        );
    }

    #[test]
    fn a_clock_set_back_keeps_the_distance() {
        let mut pace = Pace::new(&Politeness::default());
        pace.started(3600 * SECOND);
        pace.shift(-3000 * SECOND);
        assert_eq!(pace.earliest(600 * SECOND, true), 600 * SECOND + SECOND / 2);
    }
}
