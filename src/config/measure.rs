//! The single values of the file that are measured: durations, sizes, numbers, each with its bounds.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::desk::{Desk, Place, clean, quote, unseen};
use super::leaf::inline_schema;
use super::read::{Read, scalar, trap, wrong_type};
use super::yaml::Node;

/// A duration with its unit, between `MIN` and `MAX` milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span<const MIN: u64, const MAX: u64>(pub(super) Duration);

impl<const MIN: u64, const MAX: u64> Read for Span<MIN, MAX> {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let (text, _) = scalar(node, place, "a duration", desk)?;
        let duration = match parse_duration(text) {
            Ok(duration) => duration,
            Err(hint) => {
                let message = if text.parse::<f64>().is_ok() {
                    format!("{} has no unit", quote(text))
                } else {
                    format!("{} is no duration", quote(text))
                };
                let hint = match text.parse::<u64>() {
                    // Seconds are what one thinks of first, where they are allowed.
                    Ok(number) => usual(number, MIN, MAX)
                        .or_else(|| in_bounds(number, MIN, MAX))
                        .unwrap_or_else(|| {
                            format!("at least {}", show_duration(Duration::from_millis(MIN)))
                        }),
                    Err(_) => mended(text).map_or(hint, |mended| format!("write \"{mended}\"")),
                };
                let hint = match unseen(text) {
                    Some(sign) => format!("it holds {sign}; {hint}"),
                    None => hint,
                };
                desk.error(place, message, hint);
                return None;
            }
        };
        let (min, max) = (Duration::from_millis(MIN), Duration::from_millis(MAX));
        if duration < min {
            let message = format!("{} is too short", quote(text));
            desk.error(place, message, format!("at least {}", show_duration(min)));
            return None;
        }
        if duration > max {
            let message = format!("{} is too long", quote(text));
            desk.error(place, message, format!("at most {}", show_duration(max)));
            return None;
        }
        Some(Self(duration))
    }
}

inline_schema!(@MIN @MAX Span<MIN, MAX>, "Duration",
    json_schema!({ "type": "string", "pattern": if MIN > 0 { SOME } else { ANY }, "examples": ["500ms", "30s", "5m", "1h30m"] }));

/// Durations as the schema describes them: any, and those of more than nothing.
const ANY: &str = "^([0-9]+(ms|s|m|h|d))+$";
const SOME: &str = "^([0-9]+(ms|s|m|h|d))*[0-9]*[1-9][0-9]*(ms|s|m|h|d)([0-9]+(ms|s|m|h|d))*$";

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// What is most often meant by a bare number: seconds, then the same in minutes; what the bounds allow of it.
fn usual(number: u64, min: u64, max: u64) -> Option<String> {
    let minutes = number.div_ceil(60).max(5);
    let fits = |ms: Option<u64>| ms.is_some_and(|ms| (min..=max).contains(&ms));
    if !fits(number.checked_mul(1000)) {
        return None;
    }
    let further = fits(minutes.checked_mul(60_000)).then(|| format!(" or \"{minutes}m\""));
    Some(format!(
        "write \"{number}s\"{}",
        further.unwrap_or_default()
    ))
}

/// The same duration as it is written here, where only blanks, capitals or a fraction are in the way.
fn mended(text: &str) -> Option<String> {
    let close: String = text.split_whitespace().collect::<String>().to_lowercase();
    if let Ok(duration) = parse_duration(&close) {
        return Some(show_duration(duration));
    }
    let letters = close.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = close.split_at(letters);
    let number: f64 = number.parse().ok().filter(|number| *number > 0.0)?;
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let seconds = number * *size as f64 / 1000.0;
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (duration.as_millis() > 0).then(|| show_duration(duration))
}

/// How a bare number is written with units that the bounds allow, the two smallest.
fn in_bounds(number: u64, min: u64, max: u64) -> Option<String> {
    let fits = UNITS.iter().rev().filter(|(_, size)| {
        number
            .checked_mul(*size)
            .is_some_and(|ms| (min..=max).contains(&ms))
    });
    let written: Vec<String> = fits
        .take(2)
        .map(|(name, _)| format!("\"{number}{name}\""))
        .collect();
    (!written.is_empty()).then(|| format!("write {}", written.join(" or ")))
}

/// Reads `1h30m` and the like; the error is how to write it.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    const USUAL: &str = "write it like \"500ms\", \"30s\", \"5m\" or \"1h30m\"";
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()) {
        // What an operator most often means by a bare number, then the same in the next unit.
        let minutes = text.parse::<u64>().map_or(0, |n| n.div_ceil(60).max(5));
        return Err(format!("write \"{}s\" or \"{minutes}m\"", clean(text)));
    }
    let mut rest = text;
    let mut total = 0_u64;
    let mut last = UNITS.len();
    let mut first = true;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let letters = behind
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let number: u64 = number.parse().map_err(|_| USUAL.to_owned())?;
        let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(match unit.to_ascii_lowercase().as_str() {
                "sec" | "secs" | "second" | "seconds" => "seconds are written \"s\"".to_owned(),
                "min" | "mins" | "minute" | "minutes" => "minutes are written \"m\"".to_owned(),
                "hr" | "hrs" | "hour" | "hours" => "hours are written \"h\"".to_owned(),
                "day" | "days" => "days are written \"d\"".to_owned(),
                "w" | "week" | "weeks" => "weeks are written in days, \"7d\"".to_owned(),
                _ => USUAL.to_owned(),
            });
        };
        if !first && index <= last {
            return Err("the larger unit comes first, like \"1h30m\"".to_owned());
        }
        total = number
            .checked_mul(UNITS[index].1)
            .and_then(|ms| total.checked_add(ms))
            .ok_or_else(|| USUAL.to_owned())?;
        last = index;
        first = false;
        rest = behind;
    }
    if first {
        return Err(USUAL.to_owned());
    }
    Ok(Duration::from_millis(total))
}

/// As it would be written in the file.
pub(super) fn show_duration(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut shown = String::new();
    for (unit, size) in UNITS {
        if ms >= size {
            // Writing to a string can't fail.
            let _ = write!(shown, "{}{unit}", ms / size);
            ms %= size;
        }
    }
    shown
}

/// A number of bytes, `256KiB` or `2GiB`, between `MIN` and `MAX`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size<const MIN: u64, const MAX: u64>(pub(super) u64);

const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl<const MIN: u64, const MAX: u64> Read for Size<MIN, MAX> {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let (text, _) = scalar(node, place, "a size", desk)?;
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start();
        let size = SIZES
            .iter()
            .find(|(name, _)| *name == unit)
            .and_then(|(_, factor)| number.parse::<u64>().ok()?.checked_mul(*factor));
        let Some(size) = size else {
            let message = if unit.is_empty() {
                format!("{} has no unit", quote(text))
            } else {
                format!("{} is no size", quote(text))
            };
            desk.error(
                place,
                message,
                "write it like \"256KiB\", \"16MiB\" or \"2GiB\"",
            );
            return None;
        };
        if !(MIN..=MAX).contains(&size) {
            desk.error(
                place,
                format!("{} is out of bounds", quote(text)),
                format!("between {} and {}", show_size(MIN), show_size(MAX)),
            );
            return None;
        }
        Some(Self(size))
    }
}

inline_schema!(@MIN @MAX Size<MIN, MAX>, "Size",
    json_schema!({ "type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)$", "examples": ["256KiB", "2GiB"] }));

fn show_size(bytes: u64) -> String {
    let (unit, size) = SIZES
        .into_iter()
        .find(|(_, size)| bytes >= *size && bytes.is_multiple_of(*size))
        .unwrap_or(("B", 1));
    format!("{}{unit}", bytes / size)
}

/// A whole number between `MIN` and `MAX`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole<const MIN: u64, const MAX: u64>(pub(super) u64);

impl<const MIN: u64, const MAX: u64> Read for Whole<MIN, MAX> {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let (text, plain) = scalar(node, place, "a whole number", desk)?;
        let canonical = text.parse::<u64>().ok().filter(|n| n.to_string() == text);
        let Some(number) = canonical else {
            let hint = if text.len() > 1 && text.starts_with('0') && trap(text).is_some() {
                "leading zeros mean octal to some readers; write it in decimal"
            } else {
                ""
            };
            desk.error(place, format!("{} is no whole number", quote(text)), hint);
            return None;
        };
        if !plain {
            desk.error(
                place,
                format!("{} in quotes is a text", quote(text)),
                format!("write {number} without quotes"),
            );
            return None;
        }
        if !(MIN..=MAX).contains(&number) {
            desk.error(
                place,
                format!("{number} is out of bounds"),
                if MIN == MAX {
                    format!("only {MIN} is known")
                } else {
                    format!("between {MIN} and {MAX}")
                },
            );
            return None;
        }
        Some(Self(number))
    }
}

inline_schema!(@MIN @MAX Whole<MIN, MAX>, "Whole",
    json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX }));

/// A number between 0 and 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share(pub(super) f64);

impl Read for Share {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let (text, _) = scalar(node, place, "a number between 0 and 1", desk)?;
        match text.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Some(Self(share)),
            _ => {
                let hint = if text.ends_with('%') {
                    "90 % is 0.9"
                } else {
                    ""
                };
                wrong_type(node, place, "a number between 0 and 1", hint, desk);
                None
            }
        }
    }
}

inline_schema!(
    Share,
    "Share",
    json_schema!({ "type": "number", "minimum": 0, "maximum": 1 })
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        for (text, expected) in [
            ("500ms", Ok(500)),
            ("30s", Ok(30_000)),
            ("5m", Ok(300_000)),
            ("1h30m", Ok(5_400_000)),
            ("7d", Ok(604_800_000)),
            ("0s", Ok(0)),
            ("30", Err("write \"30s\" or \"5m\"")),
            ("900", Err("write \"900s\" or \"15m\"")),
            ("5min", Err("minutes are written \"m\"")),
            ("30m1h", Err("the larger unit comes first, like \"1h30m\"")),
            ("1h1h", Err("the larger unit comes first, like \"1h30m\"")),
            ("2w", Err("weeks are written in days, \"7d\"")),
            (
                "1.5h",
                Err("write it like \"500ms\", \"30s\", \"5m\" or \"1h30m\""),
            ),
            (
                "",
                Err("write it like \"500ms\", \"30s\", \"5m\" or \"1h30m\""),
            ),
            (
                "s",
                Err("write it like \"500ms\", \"30s\", \"5m\" or \"1h30m\""),
            ),
            (
                "99999999999999999999s",
                Err("write it like \"500ms\", \"30s\", \"5m\" or \"1h30m\""),
            ),
            (
                "999999999999999999d",
                Err("write it like \"500ms\", \"30s\", \"5m\" or \"1h30m\""),
            ),
        ] {
            let expected = expected.map(Duration::from_millis).map_err(str::to_owned);
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_print_as_they_are_written() {
        for text in ["500ms", "30s", "5m", "1h30m", "7d", "1d2h3m4s5ms", "0s"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_print_as_they_are_written() {
        for (bytes, text) in [(1024, "1KiB"), (1 << 30, "1GiB"), (1500, "1500B")] {
            assert_eq!(show_size(bytes), text);
        }
    }
}
