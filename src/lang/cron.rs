//! A cron expression in a time zone, right over daylight-saving changes.
//!
//! The `cron` crate finds matching wall-clock times, but alone it skips or repeats runs on the nights
//! when clocks change (it is asked for local times that do not exist, or exist twice). So it is asked
//! one stretch of constant UTC offset at a time, where local time is plain arithmetic, and the borders
//! between the stretches are ours:
//!
//! - An expression that runs in every hour of the day follows elapsed time: every 30 minutes stays
//!   every 30 minutes through both nights.
//! - An expression that picks hours is about the wall clock: a run that the spring gap swallows starts
//!   at the first instant after it, once, and the repeated hour of autumn does not repeat a run.

mod read;

use chrono::{DateTime, FixedOffset, TimeZone as _, Utc};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Stretches of constant offset looked at for one occurrence: the rarest expression that is accepted
/// runs every eight years, and no zone changes its offset more than four times a year.
const STRETCHES_MAX: usize = 64;

/// A checked cron expression with seconds, in a time zone.
///
/// Day of month and weekday must both hold when both are given ("the first Monday" is
/// `0 0 9 1-7 * MON`); Vixie cron takes either.
#[derive(Debug, Clone)]
pub struct Cron {
    text: String,
    schedule: Box<cron::Schedule>,
    zone: TimeZone,
    /// Both the day of the month and the weekday are chosen, and both must hold.
    both_days: bool,
    /// Runs in every hour of the day, so it follows elapsed time rather than the wall clock.
    every_hour: bool,
}

impl Cron {
    /// Reads `text`: six fields, seconds first; five mean second 0; `@daily` and its like are known.
    ///
    /// # Errors
    /// A sentence that says what is wrong and how to mend it.
    pub fn new(text: &str, zone: TimeZone) -> Result<Self, String> {
        let fields = read::fields(text)?;
        let schedule = fields
            .canonical()
            .parse::<cron::Schedule>()
            .map_err(|error| format!("{text:?} is not a cron expression: {error}"))?;
        fires_often_enough(text, &schedule)?;
        Ok(Self {
            text: text.trim().to_owned(),
            schedule: Box::new(schedule),
            zone,
            both_days: fields.both_days(),
            every_hour: fields.every_hour(),
        })
    }

    /// The expression as it stands in the file.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether both the day of the month and the weekday are chosen: here both must hold, to Vixie cron either will do.
    #[must_use]
    pub fn both_days(&self) -> bool {
        self.both_days
    }

    /// The zone whose wall clock the expression is about.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first occurrence strictly after `after`; `None` when there is none before the year 2101.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let mut stretch = Stretch::at(&self.zone, after);
        let mut from = floor_second(after);
        if !self.every_hour {
            from = from.max(stretch.repeats_until - 1);
        }
        for _ in 0..STRETCHES_MAX {
            let candidate = match_after(&self.schedule, from, stretch.offset)?;
            let Some(next) = stretch.next(&self.zone) else {
                return Timestamp::from_second(candidate).ok();
            };
            if candidate < next.start {
                return Timestamp::from_second(candidate).ok();
            }
            // Seconds of wall clock that never are; not positive in autumn.
            let skipped = i64::from(next.offset - stretch.offset);
            if !self.every_hour && candidate < next.start + skipped {
                return Timestamp::from_second(next.start).ok();
            }
            from = if self.every_hour {
                next.start - 1
            } else {
                next.repeats_until - 1
            };
            stretch = next;
        }
        None
    }
}

/// A stretch of time with one UTC offset.
struct Stretch {
    /// First second of it, Unix time; some time in it for the first stretch of a search.
    start: i64,
    /// Seconds east of UTC.
    offset: i32,
    /// Unix time until which the wall clock shows for the second time what it has shown before;
    /// `start` when nothing repeats.
    repeats_until: i64,
}

impl Stretch {
    fn at(zone: &TimeZone, now: Timestamp) -> Self {
        let start = floor_second(now);
        let offset = zone.to_offset(now).seconds();
        // `preceding` is exclusive, and a change at `now` itself counts.
        let changed = Timestamp::from_second(start.saturating_add(1))
            .ok()
            .and_then(|next| zone.preceding(next).next())
            .map(|change| change.timestamp().as_second());
        let repeats_until = changed.map_or(start, |changed| {
            changed + repeated(offset_before(zone, changed), offset)
        });
        Self {
            start,
            offset,
            repeats_until,
        }
    }

    /// The stretch after this one; `None` when the offset never changes again.
    fn next(&self, zone: &TimeZone) -> Option<Self> {
        let change = zone
            .following(Timestamp::from_second(self.start).ok()?)
            .next()?;
        let start = change.timestamp().as_second();
        let offset = change.offset().seconds();
        Some(Self {
            start,
            offset,
            repeats_until: start + repeated(self.offset, offset),
        })
    }
}

/// Seconds of wall clock that are shown again when the offset changes.
fn repeated(before: i32, after: i32) -> i64 {
    i64::from((before - after).max(0))
}

fn offset_before(zone: &TimeZone, change: i64) -> i32 {
    Timestamp::from_second(change.saturating_sub(1))
        .map_or(0, |before| zone.to_offset(before).seconds())
}

fn floor_second(at: Timestamp) -> i64 {
    let seconds = at.as_nanosecond().div_euclid(1_000_000_000);
    // A timestamp's seconds fit, by its own range.
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// The first match strictly after `from` (Unix seconds) on a wall clock `offset` seconds east of UTC.
fn match_after(schedule: &cron::Schedule, from: i64, offset: i32) -> Option<i64> {
    let from: DateTime<FixedOffset> = FixedOffset::east_opt(offset)?
        .timestamp_opt(from, 0)
        .single()?;
    schedule
        .after(&from)
        .next()
        .map(|found| found.with_timezone(&Utc).timestamp())
}

/// Refuses what never runs, or so seldom that it must be a slip.
///
/// Weekdays and leap years repeat every 28 years, so four windows of eight years tell for all times
/// without reading a clock.
fn fires_often_enough(text: &str, schedule: &cron::Schedule) -> Result<(), String> {
    const EIGHT_YEARS: i64 = (8 * 365 + 2) * 86_400;
    /// 2025-01-01T00:00:00Z
    const START: i64 = 1_735_689_600;
    let windows = (0..4).map(|n| START + n * EIGHT_YEARS);
    let hits = windows
        .filter(|&start| {
            match_after(schedule, start - 1, 0).is_some_and(|found| found < start + EIGHT_YEARS)
        })
        .count();
    match hits {
        4 => Ok(()),
        0 => Err(format!(
            "{text:?} never runs: no month of it has such a day; check the day and month fields"
        )),
        _ => Err(format!(
            "{text:?} may not run for more than eight years; check the day, month and weekday fields (all must hold)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next occurrences after `after`, as UTC times.
    fn runs(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::new(text, TimeZone::get(zone).unwrap()).unwrap();
        let mut at: Timestamp = after.parse().unwrap();
        let mut found = Vec::new();
        for _ in 0..count {
            let next = cron.next_after(at).unwrap();
            assert!(next > at, "{text}: {next} is not after {at}");
            found.push(next.to_string());
            at = next;
        }
        found
    }

    fn check(name: &str, text: &str, zone: &str, after: &str, expected: &[&str]) {
        assert_eq!(runs(text, zone, after, expected.len()), expected, "{name}");
    }

    const LONDON: &str = "Europe/London";

    #[test]
    fn fields_mean_what_they_say() {
        let utc = "UTC";
        check(
            "every five minutes, five fields",
            "*/5 * * * *",
            utc,
            "2026-07-01T00:00:00Z",
            &["2026-07-01T00:05:00Z", "2026-07-01T00:10:00Z"],
        );
        check(
            "strictly after, to the second",
            "30 0 12 * * *",
            utc,
            "2026-07-01T12:00:30Z",
            &["2026-07-02T12:00:30Z"],
        );
        check(
            "a fraction of a second before",
            "30 0 12 * * *",
            utc,
            "2026-07-01T12:00:29.999999Z",
            &["2026-07-01T12:00:30Z"],
        );
        check(
            "weekdays by name",
            "0 0 6 * * MON-FRI",
            utc,
            "2026-07-03T06:00:00Z", // a Friday
            &["2026-07-06T06:00:00Z", "2026-07-07T06:00:00Z"],
        );
        check(
            "a weekend may wrap",
            "0 0 6 * * SAT-SUN",
            utc,
            "2026-07-03T06:00:00Z",
            &[
                "2026-07-04T06:00:00Z",
                "2026-07-05T06:00:00Z",
                "2026-07-11T06:00:00Z",
            ],
        );
        check(
            "day and weekday must both hold",
            "0 0 9 1-7 * MON",
            utc,
            "2026-07-01T00:00:00Z",
            &["2026-07-06T09:00:00Z", "2026-08-03T09:00:00Z"],
        );
        check(
            "29 February",
            "0 0 0 29 2 *",
            utc,
            "2026-07-01T00:00:00Z",
            &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
        );
        check(
            "a shorthand",
            "@hourly",
            utc,
            "2026-07-01T00:30:00Z",
            &["2026-07-01T01:00:00Z", "2026-07-01T02:00:00Z"],
        );
    }

    // London 2027-03-28: 01:00 GMT becomes 02:00 BST at 01:00Z.
    #[test]
    fn london_spring() {
        check(
            "daily in the gap starts at the first instant after it",
            "0 30 1 * * *",
            LONDON,
            "2027-03-27T00:00:00Z",
            &[
                "2027-03-27T01:30:00Z",
                "2027-03-28T01:00:00Z",
                "2027-03-29T00:30:00Z",
            ],
        );
        check(
            "several in the gap are one run",
            "0 */10 1 * * *",
            LONDON,
            "2027-03-28T00:00:00Z",
            &["2027-03-28T01:00:00Z", "2027-03-29T00:00:00Z"],
        );
        check(
            "the first hour after the gap runs once",
            "0 0 1,2 * * *",
            LONDON,
            "2027-03-28T00:00:00Z",
            &["2027-03-28T01:00:00Z", "2027-03-29T00:00:00Z"],
        );
        check(
            "every 30 minutes",
            "0 */30 * * * *",
            LONDON,
            "2027-03-28T00:00:00Z",
            &[
                "2027-03-28T00:30:00Z",
                "2027-03-28T01:00:00Z",
                "2027-03-28T01:30:00Z",
                "2027-03-28T02:00:00Z",
            ],
        );
        check(
            "hourly, at a minute that the gap has too",
            "0 30 * * * *",
            LONDON,
            "2027-03-27T23:30:00Z",
            &[
                "2027-03-28T00:30:00Z",
                "2027-03-28T01:30:00Z",
                "2027-03-28T02:30:00Z",
            ],
        );
        check(
            "a Sunday job in the gap of its Sunday",
            "0 15 1 * * SUN",
            LONDON,
            "2027-03-21T12:00:00Z",
            &["2027-03-28T01:00:00Z", "2027-04-04T00:15:00Z"],
        );
    }

    // London 2026-10-25: 02:00 BST becomes 01:00 GMT at 01:00Z; 01:00 to 02:00 is shown twice.
    #[test]
    fn london_autumn() {
        check(
            "daily in the repeated hour runs once",
            "0 30 1 * * *",
            LONDON,
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        );
        check(
            "asked in the middle of the repeat",
            "0 30 1 * * *",
            LONDON,
            "2026-10-25T01:10:00Z",
            &["2026-10-26T01:30:00Z"],
        );
        check(
            "asked at the very change",
            "0 0 1,2 * * *",
            LONDON,
            "2026-10-25T01:00:00Z",
            &["2026-10-25T02:00:00Z", "2026-10-26T01:00:00Z"],
        );
        check(
            "asked a second before the change",
            "59 59 1 * * *",
            LONDON,
            "2026-10-25T00:59:58Z",
            &["2026-10-25T00:59:59Z", "2026-10-26T01:59:59Z"],
        );
        check(
            "every 30 minutes",
            "0 */30 * * * *",
            LONDON,
            "2026-10-25T00:00:00Z",
            &[
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-25T02:00:00Z",
            ],
        );
        check(
            "hourly",
            "0 0 * * * *",
            LONDON,
            "2026-10-24T23:00:00Z",
            &[
                "2026-10-25T00:00:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T02:00:00Z",
                "2026-10-25T03:00:00Z",
            ],
        );
        check(
            "the night of the GMC sync",
            "0 */5 0-6 * * *",
            LONDON,
            "2026-10-25T00:50:00Z",
            &[
                "2026-10-25T00:55:00Z",
                "2026-10-25T02:00:00Z",
                "2026-10-25T02:05:00Z",
            ],
        );
    }

    #[test]
    fn other_zones() {
        // Lord Howe moves by half an hour: 2026-10-04 02:00 (+10:30) becomes 02:30 (+11), 15:30Z the day before.
        check(
            "a half-hour gap",
            "0 15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            &["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
        );
        check(
            "every 30 minutes through it",
            "0 */30 * * * *",
            "Australia/Lord_Howe",
            "2026-10-03T14:30:00Z",
            &[
                "2026-10-03T15:00:00Z",
                "2026-10-03T15:30:00Z",
                "2026-10-03T16:00:00Z",
            ],
        );
        // 2026-04-05 02:00 (+11) becomes 01:30 (+10:30), 15:00Z the day before.
        check(
            "a repeated half hour",
            "0 45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T00:00:00Z",
            &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
        );
        check(
            "every 30 minutes through that",
            "0 */30 * * * *",
            "Australia/Lord_Howe",
            "2026-04-04T14:00:00Z",
            &[
                "2026-04-04T14:30:00Z",
                "2026-04-04T15:00:00Z",
                "2026-04-04T15:30:00Z",
                "2026-04-04T16:00:00Z",
            ],
        );
        // Samoa had no 30 December 2011: the 29th 24:00 (-10) was the 31st 00:00 (+14), 10:00Z.
        check(
            "a day that was skipped",
            "0 0 12 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00:00Z",
            &[
                "2011-12-29T22:00:00Z",
                "2011-12-30T10:00:00Z",
                "2011-12-30T22:00:00Z",
            ],
        );
        check(
            "every six hours around it",
            "0 0 */6 * * *",
            "Pacific/Apia",
            "2011-12-29T22:00:00Z",
            &[
                "2011-12-30T04:00:00Z",
                "2011-12-30T10:00:00Z",
                "2011-12-30T16:00:00Z",
            ],
        );
        // Cairo changes at midnight: 2026-04-24 00:00 (+2) becomes 01:00 (+3), 22:00Z the day before.
        check(
            "a midnight that does not exist",
            "0 0 0 * * *",
            "Africa/Cairo",
            "2026-04-22T23:00:00Z",
            &["2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"],
        );
        // New York falls back at 06:00Z on 2026-11-01.
        check(
            "a wrapped set of hours in New York",
            "0 30 0-2 * * *",
            "America/New_York",
            "2026-11-01T04:00:00Z",
            &[
                "2026-11-01T04:30:00Z",
                "2026-11-01T05:30:00Z",
                "2026-11-01T07:30:00Z",
            ],
        );
    }

    #[test]
    fn ends_with_the_years_of_the_crate() {
        let cron = Cron::new("0 0 0 1 1 *", TimeZone::UTC).unwrap();
        let late = "2100-06-01T00:00:00Z".parse().unwrap();
        assert_eq!(cron.next_after(late), None);
        assert_eq!(cron.next_after(Timestamp::MAX), None);
        // A clock that has lost its battery.
        assert!(cron.next_after(Timestamp::UNIX_EPOCH).is_some());
        let _ = cron.next_after(Timestamp::MIN);
    }

    #[test]
    fn two_years_lose_and_repeat_nothing() {
        use std::collections::BTreeMap;
        for (text, a_day) in [
            ("0 30 1 * * *", 1),
            ("0 0 2 * * *", 1),
            ("0 15 0,1,2,3 * * *", 4),
        ] {
            let cron = Cron::new(text, TimeZone::get(LONDON).unwrap()).unwrap();
            let mut at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            let end: Timestamp = "2028-01-01T00:00:00Z".parse().unwrap();
            let mut days: BTreeMap<String, usize> = BTreeMap::new();
            while let Some(next) = cron.next_after(at).filter(|next| *next < end) {
                let local = next.to_zoned(cron.zone().clone());
                *days.entry(local.date().to_string()).or_default() += 1;
                at = next;
            }
            assert_eq!(days.len(), 730, "{text}");
            for (day, runs) in days {
                assert_eq!(runs, a_day, "{text} on {day}");
            }
        }
    }
}
