//! Whether the daemon is at work, or merely running.
//!
//! A process that is there and a loop that turns are not enough: runs must end, and what they saw must
//! reach the disk. Only counters are compared between one look and the next, so that no part of the
//! program can say "I am well" by itself. Whoever asks must be the loop: that it asks is the first proof.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::plan::Plan;
use crate::domain::probe::Schedule;

/// Beyond what the plan itself explains.
const GRACE: Duration = Duration::from_secs(60);

/// A host may ask for this much silence, and the schedule obeys (`Retry-After`).
const HOLD_MAX: Duration = Duration::from_secs(15 * 60);

/// What the plan explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// No run may take longer.
    pub run: Duration,
    /// Some run ends at least so often; `None` for a plan that has only cron schedules.
    pub silence: Option<Duration>,
}

impl Limits {
    /// What `plan` explains.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let cells = || plan.own_cells().map(|(probe, _)| probe);
        let run = cells().map(|p| p.timeout).max().unwrap_or_default() + GRACE;
        let shortest = cells()
            .filter_map(|probe| match probe.schedule {
                Schedule::Every(interval) => Some(interval),
                Schedule::Cron(_) => None,
            })
            .min();
        Self {
            run,
            silence: shortest.map(|interval| interval + run + HOLD_MAX),
        }
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Runs that ended since the start.
    pub ended: u64,
    pub in_flight: u64,
    /// Rows that the store wrote since the start.
    pub written: u64,
    /// Rows and changes that wait to be written.
    pub unwritten: u64,
    /// Since when the store says that it can't write.
    pub failing_since: Option<Timestamp>,
}

/// Why the daemon is not at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// Runs are under way, none has ended for so long.
    RunsDoNotEnd(Duration),
    /// No run has ended for so long, although the plan has intervals.
    Silence(Duration),
    /// The store has refused to write for so long.
    StoreFails(Duration),
    /// The store has said nothing and written nothing for so long.
    StoreHangs(Duration),
}

impl Stall {
    /// Whether starting the process anew may help; a full disk is full afterwards, too.
    #[must_use]
    pub fn restart_may_help(self) -> bool {
        !matches!(self, Self::StoreFails(_))
    }
}

impl std::fmt::Display for Stall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (text, time) = match self {
            Self::RunsDoNotEnd(time) => ("runs are under way and none has ended", time),
            Self::Silence(time) => ("no run has ended", time),
            Self::StoreFails(time) => ("the store can't be written", time),
            Self::StoreHangs(time) => ("the store has written nothing of what waits", time),
        };
        write!(f, "{text} for {} s", time.as_secs())
    }
}

/// What was seen before, and when it last moved.
#[derive(Debug, Clone)]
pub struct Progress {
    limits: Limits,
    seen: Seen,
    looked_at: Timestamp,
    ended_at: Timestamp,
    /// When a run ended, or none was under way.
    free_at: Timestamp,
    /// When something was written, or nothing waited.
    written_at: Timestamp,
}

impl Progress {
    #[must_use]
    pub fn new(limits: Limits, now: Timestamp) -> Self {
        Self {
            limits,
            seen: Seen::default(),
            looked_at: now,
            ended_at: now,
            free_at: now,
            written_at: now,
        }
    }

    /// Takes the limits of another plan.
    pub fn set(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Looks again; `None`: at work. To be called every few seconds, by the loop itself.
    pub fn look(&mut self, seen: Seen, now: Timestamp) -> Option<Stall> {
        // The machine slept or the clock was set: nothing can be said of that time.
        let since_last = now.duration_since(self.looked_at);
        if since_last.is_negative() || since_last.unsigned_abs() > GRACE {
            *self = Self::new(self.limits, now);
        }
        self.looked_at = now;
        if seen.ended != self.seen.ended {
            self.ended_at = now;
            self.free_at = now;
        }
        if seen.in_flight == 0 {
            self.free_at = now;
        }
        if seen.written != self.seen.written || seen.unwritten == 0 {
            self.written_at = now;
        }
        self.seen = seen;

        let since = |at: Timestamp| now.duration_since(at).unsigned_abs();
        let run = since(self.free_at);
        if run > self.limits.run {
            return Some(Stall::RunsDoNotEnd(run));
        }
        let silence = since(self.ended_at);
        if self.limits.silence.is_some_and(|most| silence > most) {
            return Some(Stall::Silence(silence));
        }
        if let Some(failing) = seen.failing_since.map(since)
            && failing > GRACE
        {
            return Some(Stall::StoreFails(failing));
        }
        let unwritten = since(self.written_at);
        (unwritten > GRACE).then_some(Stall::StoreHangs(unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        run: Duration::from_secs(80),
        silence: Some(Duration::from_secs(300)),
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    /// Looks every ten seconds until `seconds`; each look sees what `seen` says of its time.
    fn play(limits: Limits, seconds: i64, seen: impl Fn(i64) -> Seen) -> Vec<(i64, String)> {
        let mut progress = Progress::new(limits, at(0));
        let mut told = Vec::new();
        for now in (10..=seconds).step_by(10) {
            if let Some(stall) = progress.look(seen(now), at(now)) {
                told.push((now, stall.to_string()));
            }
        }
        told
    }

    fn first(told: &[(i64, String)]) -> Option<(i64, &str)> {
        told.first().map(|(at, text)| (*at, text.as_str()))
    }

    #[test]
    fn work_is_work() {
        let busy = |now: i64| Seen {
            ended: now as u64 / 60,
            in_flight: u64::from(now % 60 > 40),
            written: now as u64 / 60,
            unwritten: 1,
            failing_since: None,
        };
        // Rows wait for less than a second in truth; a minute between two is the bound.
        assert_eq!(first(&play(LIMITS, 3600, busy)), None);
    }

    #[test]
    fn each_way_to_stand_still() {
        let idle = Seen::default();
        let check = |name: &str, seen: &dyn Fn(i64) -> Seen, expected: (i64, &str)| {
            assert_eq!(first(&play(LIMITS, 900, seen)), Some(expected), "{name}");
        };
        check(
            "a run that hangs",
            &|_| Seen {
                in_flight: 1,
                ..idle
            },
            (90, "runs are under way and none has ended for 90 s"),
        );
        check(
            "runs that hang one after the other, the last at 500 s",
            &|now| Seen {
                in_flight: 1,
                ended: now.min(500) as u64 / 50,
                ..idle
            },
            (590, "runs are under way and none has ended for 90 s"),
        );
        check(
            "nothing is started any more",
            &|now| Seen {
                ended: now.min(100) as u64,
                ..idle
            },
            (410, "no run has ended for 310 s"),
        );
        check(
            "a full disk",
            &|now| Seen {
                ended: now as u64,
                unwritten: 5,
                written: now.min(200) as u64,
                failing_since: (now > 200).then_some(at(201)),
                ..idle
            },
            (270, "the store can't be written for 69 s"),
        );
        check(
            "a disk that does not answer",
            &|now| Seen {
                ended: now as u64,
                unwritten: 5,
                written: now.min(200) as u64,
                ..idle
            },
            (270, "the store has written nothing of what waits for 70 s"),
        );
    }

    #[test]
    fn what_may_be_waited_for_is_no_stall() {
        let quiet = |_| Seen::default();
        let cron = Limits {
            silence: None,
            ..LIMITS
        };
        assert_eq!(first(&play(cron, 7200, quiet)), None, "cron, once a day");
        let hiccup = |now: i64| Seen {
            ended: now as u64,
            failing_since: (now % 100 > 50).then(|| at(now - now % 100 + 51)),
            ..Seen::default()
        };
        assert_eq!(first(&play(LIMITS, 900, hiccup)), None, "a short failure");
    }

    #[test]
    fn a_night_asleep_is_forgotten() {
        let mut progress = Progress::new(LIMITS, at(0));
        let hanging = Seen {
            in_flight: 1,
            ..Seen::default()
        };
        assert_eq!(progress.look(hanging, at(10)), None);
        assert_eq!(progress.look(hanging, at(30_000)), None);
        assert_eq!(
            progress.look(hanging, at(20_000)),
            None,
            "and a clock set back"
        );
        for now in (20_010..20_080).step_by(10) {
            assert_eq!(progress.look(hanging, at(now)), None);
        }
        assert_eq!(
            progress.look(hanging, at(20_090)),
            Some(Stall::RunsDoNotEnd(Duration::from_secs(90)))
        );
    }

    #[test]
    fn only_a_full_disk_outlasts_a_restart() {
        let time = Duration::ZERO;
        assert!(Stall::RunsDoNotEnd(time).restart_may_help());
        assert!(Stall::Silence(time).restart_may_help());
        assert!(Stall::StoreHangs(time).restart_may_help());
        assert!(!Stall::StoreFails(time).restart_may_help());
    }
}
