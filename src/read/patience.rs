//! How long an answer asks us to stay away, by its header or by its words.

use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use super::signatures::generic;
use super::signatures::page::{Form, Page, pattern};
use crate::lang::retry_after;

/// Longer waits than this are not believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Bodies above this are not read for a wait.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Members of one object that are looked at.
const MEMBERS_MAX: usize = 32;

/// What `Retry-After` asks for, or a member of that name in a refusal; `at` is when the answer came.
pub(super) fn retry_after(page: &Page<'_>, at: Option<Timestamp>) -> Option<Duration> {
    let wait = match page.header("retry-after") {
        Some(asked) => retry_after::read(asked, page.header("date"), at)?,
        None if page.status() >= 400 => {
            let seconds = page.json()?.get("retry_after")?.as_f64()?;
            Duration::try_from_secs_f64(seconds).ok()?
        }
        None => return None,
    };
    believed(wait)
}

fn believed(wait: Duration) -> Option<Duration> {
    (!wait.is_zero() && wait <= RETRY_AFTER_MAX).then_some(wait)
}

/// A lock-out that the answer itself speaks of, with the words by which, and its end.
///
/// Of a good status only data is believed, and only where it says itself that it stands for a refusal; maintenance
/// names a time too, so the words must speak of a lock, a ban or a block.
pub(super) fn locked(page: &Page<'_>) -> Option<(String, Duration)> {
    static WORDS: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)\b(?:locked|blocked|banned|suspended|throttled|disabled)(?: out)?(?: temporarily)? (?:for|during)(?: the next| another| about)? (\d{1,5}) ?(s|sec|seconds?|m|min|minutes?|h|hours?|days?)\b",
        )
    });
    let is_text = matches!(page.form, Form::Html | Form::Json | Form::Text | Form::Xml);
    let refuses = page.status() >= 400 || generic::refuses_in_json(page);
    if !is_text || !refuses || page.body().len() > BODY_BYTES_MAX {
        return None;
    }
    // Words say their unit; a bare number in a member may be of any.
    if let Some(found) = WORDS.captures(page.visible())
        && let Some(wait) = found[1].parse().ok().and_then(|n| times(n, &found[2]))
        && let Some(wait) = believed(wait)
    {
        return Some((format!("\"{}\"", &found[0]), wait));
    }
    let sent = page.header("date").and_then(retry_after::date);
    page.json().and_then(|json| member(json, sent, true))
}

/// A member that holds the length or the end of a lock, here or one level down: `lockDuration`, `banned_until`.
///
/// An end counts from `sent`, the answer's own `Date`: without one it is no length.
fn member(json: &Value, sent: Option<Timestamp>, deeper: bool) -> Option<(String, Duration)> {
    let members = json.as_object()?;
    let here = members.iter().take(MEMBERS_MAX).find_map(|(name, value)| {
        let plain = name.replace(['_', '-'], "").to_ascii_lowercase();
        let speaks = ["lock", "ban", "block", "unlock", "suspended"]
            .iter()
            .any(|word| plain.starts_with(word));
        let ends = ["until", "till", "ends", "expires", "expiresat", "unlockat"]
            .iter()
            .any(|word| plain.ends_with(word));
        if speaks && ends {
            let wait = Duration::try_from(moment(value)?.duration_since(sent?)).ok()?;
            return Some((format!("{name}: {value}"), believed(wait)?));
        }
        let of_time = [
            "duration", "seconds", "minutes", "hours", "days", "time", "period", "for",
        ]
        .iter()
        .any(|word| plain.ends_with(word));
        if !speaks || !of_time {
            return None;
        }
        let wait = match value {
            Value::Number(number) => times(number.as_f64()?, unit(&plain))?,
            Value::String(text) => span(text, unit(&plain))?,
            _ => return None,
        };
        Some((format!("{name}: {value}"), believed(wait)?))
    });
    here.or_else(|| {
        let below = members.values().take(MEMBERS_MAX).filter(|_| deeper);
        below
            .into_iter()
            .find_map(|value| member(value, sent, false))
    })
}

/// A time as data writes it: RFC 3339, or seconds or milliseconds since 1970.
fn moment(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.trim().parse().ok().or_else(|| retry_after::date(text)),
        Value::Number(number) => match number.as_i64()? {
            seconds @ 1_000_000_000..100_000_000_000 => Timestamp::from_second(seconds).ok(),
            ms @ 1_000_000_000_000.. => Timestamp::from_millisecond(ms).ok(),
            _ => None,
        },
        _ => None,
    }
}

/// The unit that a member's name ends with; seconds where it says none.
fn unit(name: &str) -> &'static str {
    match () {
        () if name.ends_with("minutes") => "m",
        () if name.ends_with("hours") => "h",
        () if name.ends_with("days") => "d",
        () => "s",
    }
}

/// A length as text: `86400`, `24h`, `PT24H`, `24 hours`.
fn span(text: &str, unit: &str) -> Option<Duration> {
    static SPAN: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)^(?:PT?)?(\d{1,9}) ?([a-z]{0,8})$"));
    let found = SPAN.captures(text.trim())?;
    let own = found.get(2).map_or("", |unit| unit.as_str());
    times(
        found[1].parse().ok()?,
        if own.is_empty() { unit } else { own },
    )
}

fn times(number: f64, unit: &str) -> Option<Duration> {
    let seconds = match unit.chars().next()?.to_ascii_lowercase() {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        'd' => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::signatures::page::tests::answer;

    #[test]
    fn a_lock_names_its_end() {
        let check = |status: u16, body: &str, hours: Option<f64>| {
            let headers = [
                ("content-type", "application/json"),
                ("date", "Tue, 01 Dec 2026 00:00:00 GMT"),
            ];
            let answer = answer(status, &headers, body);
            let found = locked(&Page::new(&answer)).map(|(_, wait)| wait.as_secs_f64() / 3600.0);
            assert_eq!(found, hours, "{status} {body}");
        };
        check(200, r#"{"success":false,"lockDuration":86400}"#, Some(24.0));
        check(
            200,
            r#"{"success":false,"data":{"lockout_minutes":30}}"#,
            Some(0.5),
        );
        check(
            403,
            r#"{"error":"locked","lockDuration":"PT2H"}"#,
            Some(2.0),
        );
        check(
            403,
            r#"{"error":"Account is locked for 24 hours"}"#,
            Some(24.0),
        );
        check(
            200,
            r#"{"success":false,"message":"You are locked out for 15 minutes."}"#,
            Some(0.25),
        );
        // As a partner of many wrote it: the member's number is of hours, and only the words say so.
        check(
            200,
            r#"{"success":false,"error":"Current account has been locked for 24 hours","lockDuration":"24"}"#,
            Some(24.0),
        );
        // Settings, maintenance and stories name times too.
        check(200, r#"{"lockDuration":86400,"policy":"strict"}"#, None);
        check(
            503,
            r#"{"error":"maintenance, try again in 30 minutes"}"#,
            None,
        );
        // An end counts from the answer's own clock; a lock that has ended, or that says when it began, is no wait.
        check(
            403,
            r#"{"error":"banned","banned_until":"2026-12-01T06:00:00Z"}"#,
            Some(6.0),
        );
        check(
            200,
            r#"{"success":false,"data":{"lockExpires":1796086800}}"#,
            Some(1.0),
        );
        check(
            403,
            r#"{"error":"banned","banned_until":"2026-11-30T00:00:00Z"}"#,
            None,
        );
        check(
            403,
            r#"{"error":"banned","blockedAt":"2026-12-01T06:00:00Z"}"#,
            None,
        );
        check(403, r#"{"error":"denied","blocks":7}"#, None);
        check(403, r#"{"error":"denied","lockDuration":0}"#, None);
        check(403, r#"{"error":"denied","lockDuration":999999999}"#, None);
    }
}
