//! When it is told that a file was not taken, and that one is in force again: once, however often it changes.
//!
//! A file that a program rewrites every few seconds, now right and now wrong, is one piece of news.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::moment::elapsed;

/// So long a file must have been in force before it is told that one is.
const STANDS_FOR: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Refusal {
    /// It was told, and not yet that it is over.
    told: bool,
    /// Since when a right file is in force again.
    good_since: Option<Timestamp>,
}

impl Refusal {
    /// A file was not taken; returns whether to say so.
    pub(super) fn refused(&mut self) -> bool {
        self.good_since = None;
        !std::mem::replace(&mut self.told, true)
    }

    /// A file was taken.
    pub(super) fn taken(&mut self, now: Timestamp) {
        if self.told {
            self.good_since.get_or_insert(now);
        }
    }

    /// Whether to say now that one is in force again.
    pub(super) fn is_over(&mut self, now: Timestamp) -> bool {
        let good_since = self.good_since;
        let over = good_since.is_some_and(|since| elapsed(since, now) >= STANDS_FOR);
        if over {
            *self = Self::default();
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays reloads (`x` refused, `.` taken, blank none) with so many seconds between; what is said, at which.
    fn said(step: i64, reloads: &str) -> Vec<String> {
        let mut it = Refusal::default();
        let mut said = Vec::new();
        for (place, reload) in reloads.chars().enumerate() {
            let second = step * i64::try_from(place).unwrap();
            let now = Timestamp::from_second(second).unwrap();
            match reload {
                'x' if it.refused() => said.push(format!("{second} refused")),
                '.' => it.taken(now),
                _ => {}
            }
            if it.is_over(now) {
                said.push(format!("{second} over"));
            }
        }
        said
    }

    #[test]
    fn it_is_told_once() {
        assert_eq!(said(10, "x.     "), ["0 refused", "40 over"]);
        assert_eq!(said(10, "xx x.x.x.x.x.x.    "), ["0 refused", "170 over"]);
        assert_eq!(
            said(10, "x.      x"),
            ["0 refused", "40 over", "80 refused"]
        );
        assert_eq!(said(40, ". . "), Vec::<String>::new());
    }
}
