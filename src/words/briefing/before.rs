//! Whether it is the first time, how long it lasted before, and whether it begins at one time of day.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

use super::story::Story;
use crate::domain::diagnosis::Cause;
use crate::domain::earlier::Earlier;
use crate::domain::ordinal::ordinal;

/// Days in a row, today's included, before it is said that it comes every day.
const DAYS_MIN: usize = 3;
/// So far apart beginnings of two days are at the same time of day.
const SAME_TIME: Duration = Duration::from_secs(45 * 60);

impl Story<'_> {
    /// "Third time since Wed 3 Feb; it usually lasts about 40 min (12 min to 2 h)"; `None` the first time.
    pub(super) fn before(&self) -> Option<String> {
        let mut alike: Vec<&Earlier> = self.incident.earlier.iter().collect();
        alike.retain(|earlier| self.is_alike(earlier));
        let first = alike.iter().map(|earlier| earlier.onset_at).min()?;
        if let Some(daily) = self.daily(&alike) {
            return Some(daily);
        }
        let mut lasted: Vec<Duration> = alike.iter().map(|earlier| earlier.failing).collect();
        lasted.sort_unstable();
        let (shortest, longest) = (lasted[0], lasted[lasted.len() - 1]);
        let usual = lasted[lasted.len() / 2];
        let times = if lasted.len() == 1 {
            format!("the first lasted {}", about(usual))
        } else if about(shortest) == about(longest) {
            format!("the others lasted {} each", about(usual))
        } else {
            format!(
                "it usually lasts about {} ({} to {} so far)",
                about(usual),
                about(shortest),
                about(longest)
            )
        };
        let since = day(first, self.incident.onset_at, &self.plan.zone);
        Some(format!(
            "{} time since {since}; {times}",
            nth(lasted.len() + 1)
        ))
    }

    /// "Every day since Mon 1 Mar at about 04:10, until about 10:30; …", with what we ask ourselves: a lock that
    /// our own polling makes looks like a fault that somebody else's clock makes.
    fn daily(&self, alike: &[&Earlier]) -> Option<String> {
        let zone = &self.plan.zone;
        let onset = self.incident.onset_at.to_zoned(zone.clone());
        let (first, usual) = every_day(&onset, alike)?;
        let clock = |at: &Zoned| at.strftime("%H:%M").to_string();
        let credential = self.specimen.map(|run| &run.cell.credential);
        let own = credential.filter(|name| !name.is_anonymous());
        let own = own.map_or_else(String::new, |name| {
            format!(
                "; by the plan we ask {:.0} times a day with `{name}`",
                self.plan.a_day(name)
            )
        });
        Some(format!(
            "Every day since {} at about {}, until about {}{own}",
            day(first, self.incident.onset_at, zone),
            clock(&onset),
            clock(&onset.checked_add(usual).ok()?)
        ))
    }

    /// The same trouble: of the same sort, and by the same cause where both are known.
    fn is_alike(&self, earlier: &Earlier) -> bool {
        let unknown = |cause: &Cause| matches!(cause, Cause::Unknown { .. });
        let cause = &self.incident.diagnosis.cause;
        let same = !self.named() || unknown(&earlier.cause) || earlier.cause == *cause;
        earlier.kind == self.incident.kind && same
    }
}

/// `Second`, `Third`, later `11th`: as a sentence begins.
fn nth(number: usize) -> String {
    const WORDS: [&str; 9] = [
        "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth", "Tenth",
    ];
    let word = number.checked_sub(2).and_then(|place| WORDS.get(place));
    word.map_or_else(|| ordinal(number as u32), |word| (*word).to_owned())
}

/// `Wed 3 Feb`, with the year where it is another.
fn day(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (there, today) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    if there.date() == today.date() {
        return there.strftime("%H:%M today").to_string();
    }
    let pattern = if there.year() == today.year() {
        "%a %-d %b"
    } else {
        "%a %-d %b %Y"
    };
    there.strftime(pattern).to_string()
}

/// `40 s`, `12 min`, `3 h`, `2 days`, rounded.
fn about(span: Duration) -> String {
    let seconds = span.as_secs();
    let rounded = |unit: u64| (seconds + unit / 2) / unit;
    match seconds {
        ..90 => format!("{seconds} s"),
        90..7200 => format!("{} min", rounded(60)),
        7200..172_800 => format!("{} h", rounded(3600)),
        _ => format!("{} days", rounded(86_400)),
    }
}

/// When the first of so many days in a row was on each of which it began at this time of day, and how long it
/// usually lasts; `None`: it has no such rhythm.
fn every_day(onset: &Zoned, alike: &[&Earlier]) -> Option<(Timestamp, Duration)> {
    let on = |days_ago: i64| {
        let then = onset.checked_sub(days_ago.days()).ok()?.timestamp();
        let near =
            |earlier: &&&Earlier| earlier.onset_at.duration_since(then).unsigned_abs() <= SAME_TIME;
        alike.iter().find(near)
    };
    let days: Vec<&&Earlier> = (1..).map_while(on).collect();
    let first = days.last().filter(|_| days.len() + 1 >= DAYS_MIN)?;
    let mut lasted: Vec<Duration> = days.iter().map(|earlier| earlier.failing).collect();
    lasted.sort_unstable();
    Some((first.onset_at, lasted[lasted.len() / 2]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::subject::Subject;
    use crate::domain::verdict::Kind;

    /// Of times that began so long before 04:10 on 30 March 2026 in London, two days after the clocks went forward.
    fn first_of(before: &[&str]) -> Option<String> {
        let onset: Zoned = "2026-03-30T04:10:00[Europe/London]".parse().unwrap();
        let earlier: Vec<Earlier> = before
            .iter()
            .map(|span| Earlier {
                number: 1,
                subject: Subject::OurNetwork,
                onset_at: onset
                    .checked_sub(span.parse::<jiff::Span>().unwrap())
                    .unwrap()
                    .timestamp(),
                kind: Kind::RateLimited,
                cause: Cause::Everything,
                failing: Duration::from_secs(6 * 3600),
            })
            .collect();
        let (first, usual) = every_day(&onset, &earlier.iter().collect::<Vec<_>>())?;
        assert_eq!(usual, Duration::from_secs(6 * 3600));
        let first = first.to_zoned(onset.time_zone().clone());
        Some(first.strftime("%-d %b %H:%M").to_string())
    }

    #[test]
    fn three_days_at_one_time_are_a_rhythm() {
        let check = |name: &str, before: &[&str], expected: Option<&str>| {
            assert_eq!(first_of(before).as_deref(), expected, "{name}");
        };
        check("three", &["P1D", "P2D"], Some("28 Mar 04:10"));
        check(
            "about that time",
            &["P1DT20M", "P2DT40M"],
            Some("28 Mar 03:30"),
        );
        check(
            "over the night of the clocks",
            &["P1D", "P2D", "P3D"],
            Some("27 Mar 04:10"),
        );
        check("two", &["P1D"], None);
        check("another time", &["P1DT2H", "P2D"], None);
        check("a day between", &["P1D", "P3D"], None);
        check(
            "several a day",
            &["PT6H", "P1D", "P1DT6H", "P2D"],
            Some("28 Mar 04:10"),
        );
        check("weekly", &["P7D", "P14D"], None);
    }
}
