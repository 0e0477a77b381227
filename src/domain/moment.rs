//! Reckoning with moments.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// `at` plus `wait`; the end of time instead of an overflow.
#[must_use]
pub fn later(at: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait)
        .ok()
        .and_then(|wait| at.checked_add(wait).ok())
        .unwrap_or(Timestamp::MAX)
}

/// From `from` to `to`; nothing when it would be negative.
#[must_use]
pub fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// How a clock was set, as people say it ("back by 2 h").
#[must_use]
pub fn set_by(by: SignedDuration) -> String {
    let way = if by.is_negative() { "back" } else { "forward" };
    format!("{way} by {}", in_words(by.unsigned_abs()))
}

/// A span as people say it, in its two largest units ("2 h", "1 h 59 min", "45 s").
fn in_words(span: Duration) -> String {
    let seconds = span.saturating_add(Duration::from_millis(500)).as_secs();
    let units = [
        (seconds / 86_400, "days"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = units.iter().position(|(count, _)| *count > 0);
    let first = first.unwrap_or(units.len() - 1);
    let said = units[first..].iter().take(2).enumerate();
    let said = said.filter(|(place, (count, _))| *place == 0 || *count > 0);
    let said: Vec<String> = said
        .map(|(_, (count, unit))| match (count, *unit) {
            (1, "days") => "1 day".to_owned(),
            _ => format!("{count} {unit}"),
        })
        .collect();
    said.join(" ")
}

/// The same with every moment in it moved, as after the clock was set; `None` when one would be past all time.
#[must_use]
pub fn moved<T: Serialize + DeserializeOwned>(whole: &T, by: SignedDuration) -> Option<T> {
    let mut document = serde_json::to_value(whole).ok()?;
    move_all(&mut document, by)?;
    serde_json::from_value(document).ok()
}

fn move_all(value: &mut Value, by: SignedDuration) -> Option<()> {
    match value {
        Value::String(text) => {
            // A moment stands alone; one within a sentence is what people were told.
            if let Ok(at) = text.parse::<Timestamp>() {
                *text = at.checked_add(by).ok()?.to_string();
            }
        }
        Value::Array(items) => {
            for item in items {
                move_all(item, by)?;
            }
        }
        Value::Object(fields) => {
            for field in fields.values_mut() {
                move_all(field, by)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_in_words() {
        let check = |seconds, expected: &str| {
            assert_eq!(in_words(Duration::from_secs(seconds)), expected);
        };
        check(0, "0 s");
        check(45, "45 s");
        check(60, "1 min");
        check(7_199, "1 h 59 min");
        check(7_200, "2 h");
        check(7_205, "2 h");
        check(86_400 + 7_200, "1 day 2 h");
        check(20_000 * 86_400, "20000 days");
    }

    #[test]
    fn every_moment_is_moved_and_no_word() {
        let document = serde_json::json!({
            "at": "2026-03-29T01:59:59.5Z",
            "nested": [{ "until": "2026-03-29T03:00:00Z", "none": null }],
            "text": "since 2026-03-29T01:59:59Z",
            "number": 12,
            "year": "2026",
        });
        let moved = moved(&document, SignedDuration::from_hours(-2)).unwrap();
        let expected = serde_json::json!({
            "at": "2026-03-28T23:59:59.5Z",
            "nested": [{ "until": "2026-03-29T01:00:00Z", "none": null }],
            "text": "since 2026-03-29T01:59:59Z",
            "number": 12,
            "year": "2026",
        });
        assert_eq!(moved, expected);
    }
}
