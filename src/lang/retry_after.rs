//! Reads `Retry-After`, which partners and channels send alike: seconds, or a date in one of HTTP's three forms.
//!
//! A date counts from the answer's own `Date`, because clocks differ; where none is sent, from ours.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;

/// How long `value` asks to wait; `None` for what is no wait. A date that has passed asks for nothing, zero.
///
/// `sent` is the answer's `Date`; `now` stands in for it when there is none.
#[must_use]
pub fn read(value: &str, sent: Option<&str>, now: Option<Timestamp>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        // Also what is no number, and what is below nothing, is no answer.
        let positive = seconds.is_finite() && seconds >= 0.0;
        return positive.then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let until = date(value)?;
    let from = sent.and_then(date).or(now)?;
    Some(Duration::try_from(until.duration_since(from)).unwrap_or_default())
}

/// A date as HTTP writes it, now or of old (<https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7>).
#[must_use]
pub fn date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(date) = rfc2822::parse(text) {
        return Some(date.timestamp());
    }
    // RFC 850 ("Sunday, 06-Nov-94 08:49:37 GMT") and C's asctime ("Sun Nov  6 08:49:37 1994").
    let civil = |format: &str, text: &str| {
        let time: DateTime = strtime::parse(format, text).ok()?.to_datetime().ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    civil("%A, %d-%b-%y %H:%M:%S GMT", text).or_else(|| civil("%a %b %e %H:%M:%S %Y", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits() {
        let sent = Some("Sun, 06 Nov 1994 08:49:07 GMT");
        let now = "1994-11-06T08:49:27Z".parse().ok();
        let check = |name: &str, value: &str, sent, now, expected: Option<u64>| {
            assert_eq!(
                read(value, sent, now),
                expected.map(Duration::from_secs),
                "{name}"
            );
        };
        check("seconds", " 20 ", None, None, Some(20));
        check("parts of a second", "0.0", None, None, Some(0));
        check("below nothing", "-1", None, None, None);
        check(
            "a date",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            sent,
            now,
            Some(30),
        );
        check(
            "by our clock",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            None,
            now,
            Some(10),
        );
        check(
            "no clock at all",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            None,
            None,
            None,
        );
        check(
            "as of RFC 850",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            sent,
            None,
            Some(30),
        );
        check(
            "as of asctime",
            "Sun Nov  6 08:49:37 1994",
            sent,
            None,
            Some(30),
        );
        check("over", "Sun, 06 Nov 1994 08:40:00 GMT", sent, None, Some(0));
        check("words", "soon", sent, now, None);
    }
}
