//! Whether it is the first time, and how long it lasted before.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::story::Story;
use crate::domain::diagnosis::Cause;
use crate::domain::earlier::Earlier;
use crate::domain::ordinal::ordinal;

impl Story<'_> {
    /// "Third time since Wed 3 Feb; it usually lasts about 40 min (12 min to 2 h)"; `None` the first time.
    pub(super) fn before(&self) -> Option<String> {
        let mut alike: Vec<&Earlier> = self.incident.earlier.iter().collect();
        alike.retain(|earlier| self.is_alike(earlier));
        let first = alike.iter().map(|earlier| earlier.onset_at).min()?;
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
