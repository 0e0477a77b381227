//! Plain text for letters: lines that fit, times in two zones, words in quotation marks.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Columns of a letter; mail programs break longer lines at places of their own.
pub(super) const COLUMNS: usize = 78;

/// Breaks a paragraph into lines; the first begins with `first`, the others with blanks of the same width.
///
/// A word that is longer than a line stands alone: an address that is cut can't be used.
#[must_use]
pub(super) fn wrapped(first: &str, text: &str) -> String {
    let indent = " ".repeat(first.chars().count());
    let mut lines = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line.clone_from(&indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}

/// `2021-07-28 02:14:09 UTC (Wed 28 Jul 2021 03:14:09 BST)`; once where clocks there show UTC.
#[must_use]
pub(super) fn both(at: Timestamp, zone: &TimeZone) -> String {
    if shows_utc(at, zone) {
        utc(at)
    } else {
        format!("{} ({})", utc(at), local(at, zone))
    }
}

/// Whether clocks of the zone show UTC at that moment, as those of London do in winter.
#[must_use]
pub(super) fn shows_utc(at: Timestamp, zone: &TimeZone) -> bool {
    zone.to_offset(at).is_zero()
}

#[must_use]
pub(super) fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[must_use]
pub(super) fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%a %-d %b %Y %H:%M:%S %Z")
        .to_string()
}

/// `a`, `a and b`, `a, b and c`.
#[must_use]
pub(super) fn list(items: &[String], joint: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} {joint} {last}", init.join(", ")),
    }
}

/// The time between two moments, whichever was first: `4 s`, `12 min`, `3 h 5 min`.
#[must_use]
pub(super) fn between(one: Timestamp, other: Timestamp) -> String {
    lasting(other.duration_since(one).unsigned_abs())
}

/// A time that something took, as [`between`] writes it.
#[must_use]
pub(super) fn lasting(span: Duration) -> String {
    let whole = Duration::from_secs(span.as_secs());
    if span.as_secs() < 10 {
        format!("{} s", whole.as_secs())
    } else {
        super::matrix::duration(whole)
    }
}

/// First letter in upper case, as a sentence begins; a host stays as it is written.
#[must_use]
pub(super) fn sentence(text: &str) -> String {
    let first = text.split_whitespace().next().unwrap_or_default();
    if first.trim_end_matches(['.', ',', ':']).contains('.') {
        return text.to_owned();
    }
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().collect::<String>() + letters.as_str(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_long_words_stay_whole() {
        let text = wrapped("1. ", &"word ".repeat(20));
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS));
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().nth(1).unwrap().starts_with("   word"));
        let long = "x".repeat(100);
        assert_eq!(
            wrapped("- ", &format!("see {long} there")),
            format!("- see\n  {long}\n  there\n")
        );
        assert_eq!(wrapped("- ", ""), "-\n");
    }

    #[test]
    fn times_stand_in_both_zones() {
        let at: Timestamp = "2021-03-28T01:00:00Z".parse().unwrap();
        let london = TimeZone::get("Europe/London").unwrap();
        assert_eq!(
            both(at, &london),
            "2021-03-28 01:00:00 UTC (Sun 28 Mar 2021 02:00:00 BST)"
        );
        assert_eq!(both(at, &TimeZone::UTC), "2021-03-28 01:00:00 UTC");
    }
}
