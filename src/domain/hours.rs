//! Times of day and week, by the wall clock of a zone: when a route is open.
//!
//! It is the wall clock that counts: on the nights when clocks change, hours may be an hour shorter or
//! longer, and what falls into the hour that is shown twice is open twice.

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

const DAY: u16 = 24 * 60;

/// Days of the week, and a span of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Monday first; at least one.
    days: [bool; 7],
    /// Minutes since midnight; below a day.
    from: u16,
    /// Minutes since midnight, exclusive; at most a day. Not after `from`: on the next day.
    to: u16,
}

impl Hours {
    /// `None` when no day is named, when both ends are the same, or when one is no time of a day.
    #[must_use]
    pub fn new(days: [bool; 7], from: u16, to: u16) -> Option<Self> {
        let sound = days.contains(&true) && from < DAY && to <= DAY && from != to;
        sound.then_some(Self { days, from, to })
    }

    /// Whether they are open at an instant.
    #[must_use]
    pub fn contains(&self, zone: &TimeZone, at: Timestamp) -> bool {
        let local = at.to_zoned(zone.clone());
        let today = day(local.weekday());
        let yesterday = (today + 6) % 7;
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        if self.from < self.to {
            self.days[today] && (self.from..self.to).contains(&minute)
        } else {
            (self.days[today] && minute >= self.from) || (self.days[yesterday] && minute < self.to)
        }
    }

    /// The first instant after `at` at which they open or close; `None`: never.
    #[must_use]
    pub fn next_change(&self, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
        let before = self.contains(zone, at);
        let mut borders = self.borders(zone, at);
        borders.sort_unstable();
        borders
            .into_iter()
            .find(|border| self.contains(zone, *border) != before)
    }

    /// `at` when they are open then, otherwise when they open next; `None`: never.
    #[must_use]
    pub fn next_open(&self, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
        if self.contains(zone, at) {
            return Some(at);
        }
        self.next_change(zone, at)
    }

    /// Where a change may be within the next eight days.
    fn borders(&self, zone: &TimeZone, at: Timestamp) -> Vec<Timestamp> {
        let mut borders = Vec::new();
        let mut date = at.to_zoned(zone.clone()).date();
        if let Ok(yesterday) = date.yesterday() {
            date = yesterday;
        }
        for _ in 0..10 {
            for minute in [self.from, self.to % DAY] {
                borders.extend(instants(zone, date, minute).filter(|border| *border > at));
            }
            let Ok(next) = date.tomorrow() else { break };
            date = next;
        }
        // A wall clock that jumps may jump over a border.
        let jumps = zone.following(at).take(2).map(|jump| jump.timestamp());
        borders.extend(jumps);
        borders
    }
}

fn day(weekday: Weekday) -> usize {
    weekday.to_monday_zero_offset() as usize
}

/// When the wall clock shows it: once, twice, or (as near as can be) on a night that leaves it out.
fn instants(zone: &TimeZone, date: Date, minute: u16) -> impl Iterator<Item = Timestamp> {
    let time = date.at((minute / 60) as i8, (minute % 60) as i8, 0, 0);
    let found = zone.to_ambiguous_timestamp(time);
    [found.earlier(), found.later()].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKDAYS: [bool; 7] = [true, true, true, true, true, false, false];

    fn changes(hours: Hours, zone: &str, from: &str, count: usize) -> Vec<String> {
        let zone = TimeZone::get(zone).unwrap();
        let mut at: Timestamp = from.parse().unwrap();
        let mut found = Vec::new();
        for _ in 0..count {
            let Some(next) = hours.next_change(&zone, at) else {
                break;
            };
            let word = if hours.contains(&zone, next) {
                "opens"
            } else {
                "closes"
            };
            found.push(format!("{next} {word}"));
            at = next;
        }
        found
    }

    fn check(name: &str, hours: Option<Hours>, zone: &str, from: &str, expected: &[&str]) {
        let found = changes(hours.unwrap(), zone, from, expected.len().max(1));
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn office_hours_follow_the_wall_clock() {
        let office = Hours::new(WORKDAYS, 8 * 60, 18 * 60);
        check(
            "over a weekend",
            office,
            "Europe/London",
            "2026-07-03T12:00:00Z", // a Friday
            &[
                "2026-07-03T17:00:00Z closes",
                "2026-07-06T07:00:00Z opens",
                "2026-07-06T17:00:00Z closes",
            ],
        );
        check(
            "over the end of summer time",
            office,
            "Europe/London",
            "2026-10-23T12:00:00Z",
            &["2026-10-23T17:00:00Z closes", "2026-10-26T08:00:00Z opens"],
        );
        let night = Hours::new(
            [false, false, false, false, true, false, false],
            22 * 60,
            6 * 60,
        );
        check(
            "a night belongs to the day it begins on",
            night,
            "UTC",
            "2026-07-03T00:00:00Z",
            &["2026-07-03T22:00:00Z opens", "2026-07-04T06:00:00Z closes"],
        );
        let whole = Hours::new(WORKDAYS, 0, DAY);
        check(
            "whole days are one",
            whole,
            "UTC",
            "2026-07-03T12:00:00Z",
            &["2026-07-04T00:00:00Z closes", "2026-07-06T00:00:00Z opens"],
        );
        check(
            "always",
            Hours::new([true; 7], 0, DAY),
            "UTC",
            "2026-07-03T12:00:00Z",
            &[],
        );
    }

    // London 2027-03-28: 01:00 GMT becomes 02:00 BST at 01:00Z. 2026-10-25: 02:00 BST becomes 01:00 GMT at 01:00Z.
    #[test]
    fn nights_when_clocks_change() {
        let small = Hours::new([true; 7], 90, 150);
        check(
            "a gap swallows the beginning",
            small,
            "Europe/London",
            "2027-03-28T00:00:00Z",
            &["2027-03-28T01:00:00Z opens", "2027-03-28T01:30:00Z closes"],
        );
        check(
            "an hour that is shown twice",
            small,
            "Europe/London",
            "2026-10-25T00:00:00Z",
            &[
                "2026-10-25T00:30:00Z opens",
                "2026-10-25T01:00:00Z closes",
                "2026-10-25T01:30:00Z opens",
                "2026-10-25T02:30:00Z closes",
            ],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(Hours::new([false; 7], 0, 60), None);
        assert_eq!(Hours::new([true; 7], 60, 60), None);
        assert_eq!(Hours::new([true; 7], DAY, 60), None);
        assert_eq!(Hours::new([true; 7], 60, DAY + 1), None);
    }

    #[test]
    fn opens_at_once_or_next() {
        let office = Hours::new(WORKDAYS, 8 * 60, 18 * 60).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let open = |text: &str| office.next_open(&TimeZone::UTC, at(text)).unwrap();
        assert_eq!(open("2026-07-03T09:00:00Z"), at("2026-07-03T09:00:00Z"));
        assert_eq!(open("2026-07-03T18:00:00Z"), at("2026-07-06T08:00:00Z"));
        assert_eq!(open("2026-07-06T07:59:59Z"), at("2026-07-06T08:00:00Z"));
    }
}
