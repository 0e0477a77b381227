//! The wall clock: the only file that reads it.
//!
//! Rules take `now` as an argument, so that a test or a replay can say what time it is. Phases of a
//! run are timed with the monotonic clock in `probe/`, which is no reading of the wall clock.
//!
//! Somebody may set the clock of a host. What is measured between two readings must not come out wrong by that, so
//! a reading goes on evenly, by the clock that nobody can set, until whoever keeps times says with [`follow`] that it
//! has moved them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A step back by less is waited out.
const BACK_MAX: SignedDuration = SignedDuration::from_secs(5);
/// A step forward by less is time that went by, as far as anybody can tell.
const FORWARD_MAX: SignedDuration = SignedDuration::from_secs(60);

static EVEN: Mutex<Even> = Mutex::new(Even { last: None });

/// The present instant, UTC.
#[must_use]
pub fn now() -> Timestamp {
    let mut even = EVEN.lock().unwrap_or_else(PoisonError::into_inner);
    even.read(wall(), since_boot())
}

/// By how much the clock was set since it was read first, or followed last; [`now`] follows it from here on.
///
/// `None`: it was not, or by so little that it needs no care.
#[must_use]
pub fn follow() -> Option<SignedDuration> {
    let mut even = EVEN.lock().unwrap_or_else(PoisonError::into_inner);
    even.follow(wall(), since_boot())
}

fn wall() -> Timestamp {
    Timestamp::now()
}

/// Time since the host's start, that of its sleep among it; nobody can set it.
fn since_boot() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .unwrap_or_default()
}

/// A clock that goes on evenly whatever the wall clock does.
#[derive(Debug)]
struct Even {
    /// What was read last, and how long the host ran by then.
    last: Option<(Timestamp, Duration)>,
}

impl Even {
    fn read(&mut self, wall: Timestamp, since_boot: Duration) -> Timestamp {
        let Some(last) = self.last else {
            self.last = Some((wall, since_boot));
            return wall;
        };
        let even = Self::even(last, since_boot);
        let now = if Self::was_set(wall, even) {
            even
        } else {
            wall.max(last.0)
        };
        self.last = Some((now, since_boot));
        now
    }

    fn follow(&mut self, wall: Timestamp, since_boot: Duration) -> Option<SignedDuration> {
        let even = Self::even(self.last?, since_boot);
        if !Self::was_set(wall, even) {
            return None;
        }
        self.last = Some((wall, since_boot));
        Some(wall.duration_since(even))
    }

    fn even((last, then): (Timestamp, Duration), since_boot: Duration) -> Timestamp {
        let passed = SignedDuration::try_from(since_boot.saturating_sub(then)).unwrap_or_default();
        last.checked_add(passed).unwrap_or(last)
    }

    fn was_set(wall: Timestamp, even: Timestamp) -> bool {
        let step = wall.duration_since(even);
        step < -BACK_MAX || step > FORWARD_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each reading: seconds since the start of the host, what the wall clock says, and what is read.
    fn check(name: &str, readings: &[(u64, i64, i64)]) {
        let mut clock = Even { last: None };
        for (boot, wall, expected) in readings {
            let wall = Timestamp::from_second(*wall).unwrap();
            let read = clock.read(wall, Duration::from_secs(*boot));
            assert_eq!(read.as_second(), *expected, "{name}, at {boot} s");
        }
    }

    #[test]
    fn it_goes_on_evenly() {
        check(
            "as the wall clock",
            &[(10, 1_000, 1_000), (20, 1_010, 1_010)],
        );
        check(
            "a small step back is waited out",
            &[(10, 1_000, 1_000), (11, 997, 1_000), (20, 1_006, 1_006)],
        );
        check(
            "a small step forward is taken",
            &[(10, 1_000, 1_000), (11, 1_031, 1_031)],
        );
        check(
            "a step back is none",
            &[(10, 9_000, 9_000), (11, 1_801, 9_001), (21, 1_811, 9_011)],
        );
        check(
            "a step forward is none",
            &[(10, 1_000, 1_000), (11, 8_201, 1_001), (21, 8_211, 1_011)],
        );
        check(
            "a host that slept has not been set",
            &[(10, 1_000, 1_000), (7_210, 8_200, 8_200)],
        );
    }

    #[test]
    fn it_is_followed_when_asked() {
        let mut clock = Even { last: None };
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(clock.follow(at(9_000), Duration::from_secs(9)), None);
        clock.read(at(9_000), Duration::from_secs(10));
        assert_eq!(clock.follow(at(9_001), Duration::from_secs(11)), None);
        let set = clock.follow(at(1_802), Duration::from_secs(12));
        assert_eq!(set, Some(SignedDuration::from_secs(-7_200)));
        assert_eq!(clock.follow(at(1_803), Duration::from_secs(13)), None);
        assert_eq!(clock.read(at(1_804), Duration::from_secs(14)), at(1_804));
    }
}
