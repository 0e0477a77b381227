//! Reads the text of a cron expression into the sets of its fields.
//!
//! The crate's own parser has traps that this one closes with an error that says how to mend it:
//! weekday digits count from Sunday = 1 there and from Sunday = 0 in most crons, a seventh field is
//! a year, and its messages name neither field nor range.

use std::collections::BTreeSet;

/// Longest text that is read; the longest sensible one (all 60 minutes listed) has some 200 characters.
const TEXT_MAX: usize = 512;

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
/// In the order of the `cron` crate, where Sunday is 1.
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// What one field may hold.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
    /// Digits are refused: which day they mean depends on the cron one is used to.
    names_only: bool,
}

const FIELDS: [Field; 6] = [
    field("second", 0, 59),
    field("minute", 0, 59),
    field("hour", 0, 23),
    field("day", 1, 31),
    Field {
        names: &MONTHS,
        ..field("month", 1, 12)
    },
    Field {
        names: &WEEKDAYS,
        names_only: true,
        ..field("weekday", 1, 7)
    },
];

const HOUR: usize = 2;
const DAY: usize = 3;
const WEEKDAY: usize = 5;

const fn field(name: &'static str, min: u32, max: u32) -> Field {
    Field {
        name,
        min,
        max,
        names: &[],
        names_only: false,
    }
}

/// The values of the six fields, seconds first.
#[derive(Debug)]
pub(super) struct Fields([BTreeSet<u32>; 6]);

impl Fields {
    /// The expression as the `cron` crate reads it, without names and steps.
    pub(super) fn canonical(&self) -> String {
        let texts: Vec<String> = FIELDS
            .iter()
            .zip(&self.0)
            .map(|(field, set)| {
                if covers(field, set) {
                    return "*".to_owned();
                }
                let values: Vec<String> = set.iter().map(u32::to_string).collect();
                values.join(",")
            })
            .collect();
        texts.join(" ")
    }

    /// Both the day of the month and the weekday are chosen.
    pub(super) fn both_days(&self) -> bool {
        [DAY, WEEKDAY]
            .iter()
            .all(|index| !covers(&FIELDS[*index], &self.0[*index]))
    }

    /// It may run in each of the 24 hours.
    pub(super) fn every_hour(&self) -> bool {
        covers(&FIELDS[HOUR], &self.0[HOUR])
    }
}

fn covers(field: &Field, set: &BTreeSet<u32>) -> bool {
    set.len() == (field.max - field.min + 1) as usize
}

/// # Errors
/// A sentence that names the field, says what is wrong, and how to mend it.
pub(super) fn fields(text: &str) -> Result<Fields, String> {
    if text.len() > TEXT_MAX {
        return Err(format!(
            "a cron expression of {} bytes is too long; at most {TEXT_MAX} are read",
            text.len()
        ));
    }
    let long = expand(text.trim())?;
    let mut parts: Vec<&str> = long.split_whitespace().collect();
    if parts.len() == 5 {
        parts.insert(0, "0");
    }
    let mut sets: [BTreeSet<u32>; 6] = Default::default();
    match parts.len() {
        6 => {}
        0 => {
            return Err(
                "the cron expression is empty; write five fields, such as \"*/5 * * * *\""
                    .to_owned(),
            );
        }
        7 => {
            return Err(format!(
                "{text:?} has 7 fields; a year is not taken: leave {:?} out",
                parts[6]
            ));
        }
        count => {
            return Err(format!(
                "{text:?} has {count} field{}; write five (minute hour day month weekday)",
                if count == 1 { "" } else { "s" }
            ));
        }
    }
    for ((field, part), set) in FIELDS.iter().zip(&parts).zip(&mut sets) {
        for item in part.split(',') {
            set.extend(
                values(field, item).map_err(|why| format!("{} {part:?}: {why}", field.name))?,
            );
        }
    }
    Ok(Fields(sets))
}

/// The six fields of a shorthand; other texts as they are.
fn expand(text: &str) -> Result<&str, String> {
    if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
        return Err(format!(
            "{text:?} names a zone; the file's \"timezone\" holds here: leave it out"
        ));
    }
    Ok(match text {
        "@hourly" => "0 0 * * * *",
        "@daily" | "@midnight" => "0 0 0 * * *",
        "@weekly" => "0 0 0 * * SUN",
        "@monthly" => "0 0 0 1 * *",
        "@yearly" | "@annually" => "0 0 0 1 1 *",
        other if other.starts_with('@') => {
            return Err(format!(
                "{other:?} is not known; write @hourly, @daily, @weekly, @monthly, @yearly, or six fields such as \"0 */5 * * * *\""
            ));
        }
        other => other,
    })
}

/// The values of one item of a list: `*`, `5`, `1-5`, each perhaps with `/2`.
fn values(field: &Field, item: &str) -> Result<Vec<u32>, String> {
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(self::step(field, step)?)),
        None => (item, None),
    };
    let (first, last) = match range.split_once('-') {
        _ if range == "*" => (field.min, field.max),
        _ if range == "?" && (field.name == "day" || field.name == "weekday") => {
            (field.min, field.max)
        }
        Some((first, last)) => (value(field, first)?, value(field, last)?),
        None => {
            let one = value(field, range)?;
            // `5/10` means from 5 on, as everywhere.
            (one, if step.is_some() { field.max } else { one })
        }
    };
    let all: Vec<u32> = if first <= last {
        (first..=last).collect()
    } else if field.names_only {
        // A week has no first day that everybody agrees on, so FRI-MON has one meaning only.
        (first..=field.max).chain(field.min..=last).collect()
    } else {
        return Err(format!(
            "{range:?} runs backwards; write {:?}",
            format!("{first}-{},{}-{last}", field.max, field.min)
        ));
    };
    Ok(all
        .into_iter()
        .step_by(step.unwrap_or(1) as usize)
        .collect())
}

fn step(field: &Field, text: &str) -> Result<u32, String> {
    let width = field.max - field.min + 1;
    match text.parse::<u32>() {
        Ok(step) if (1..width).contains(&step) => Ok(step),
        _ => Err(format!(
            "the step {text:?} must be a number from 1 to {}",
            width - 1
        )),
    }
}

fn value(field: &Field, text: &str) -> Result<u32, String> {
    let &Field { min, max, .. } = field;
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let number = text.parse::<u32>().unwrap_or(u32::MAX);
        if field.names_only {
            return Err(weekday_digits(text, number));
        }
        if !(min..=max).contains(&number) {
            return Err(format!("{text} is out of range; write {min} to {max}"));
        }
        return Ok(number);
    }
    let upper = text.to_ascii_uppercase();
    let named = field
        .names
        .iter()
        .position(|name| upper == *name || (upper.len() > 3 && is_long_name(&upper, name)));
    if let Some(index) = named {
        return Ok(min + index as u32);
    }
    if field.names_only {
        return Err(format!(
            "{text:?} is not a weekday; write names such as \"MON-FRI\" (L, W and # are not known)"
        ));
    }
    let or_names = match field.names {
        [first, .., last] => format!(", or {first} to {last}"),
        _ => String::new(),
    };
    Err(format!(
        "{text:?} is not a number; write {min} to {max}{or_names} (L, W and # are not known)"
    ))
}

/// `MONDAY` for `MON`, `JANUARY` for `JAN`; the beginning of a name is not one.
fn is_long_name(upper: &str, short: &str) -> bool {
    const LONG: [&str; 19] = [
        "SUNDAY",
        "MONDAY",
        "TUESDAY",
        "WEDNESDAY",
        "THURSDAY",
        "FRIDAY",
        "SATURDAY",
        "JANUARY",
        "FEBRUARY",
        "MARCH",
        "APRIL",
        "MAY",
        "JUNE",
        "JULY",
        "AUGUST",
        "SEPTEMBER",
        "OCTOBER",
        "NOVEMBER",
        "DECEMBER",
    ];
    upper.starts_with(short) && LONG.contains(&upper)
}

fn weekday_digits(text: &str, number: u32) -> String {
    let guess = WEEKDAYS.get((number % 7) as usize).unwrap_or(&"SUN");
    if number > 7 {
        return format!("{text} is not a weekday; write names such as \"MON-FRI\"");
    }
    format!(
        "digits count from Sunday = 0 in some crons and from Sunday = 1 in others; write names such as \"MON-FRI\" ({text} is {guess} in most)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads() {
        for (text, expected) in [
            (
                "0 */5 * * * *",
                "0 0,5,10,15,20,25,30,35,40,45,50,55 * * * *",
            ),
            ("*/20 1,2 3-5 ? jan-mar mon", "0,20,40 1,2 3,4,5 * 1,2,3 2"),
            ("30 1 * * *", "0 30 1 * * *"),
            ("0 50/4 23 * December Tuesday", "0 50,54,58 23 * 12 3"),
            ("0 0 0-23 1-31 1-12 MON-SUN", "0 0 * * * *"),
            ("0 0 0 * * FRI-MON", "0 0 0 * * 1,2,6,7"),
            ("0 0 6-18/6 * * *", "0 0 6,12,18 * * *"),
            ("  @weekly ", "0 0 0 * * 1"),
        ] {
            assert_eq!(fields(text).unwrap().canonical(), expected, "{text}");
        }
    }

    #[test]
    fn says_how_to_mend() {
        for (text, expected) in [
            (
                "",
                r#"the cron expression is empty; write five fields, such as "*/5 * * * *""#,
            ),
            (
                "* * *",
                r#""* * *" has 3 fields; write five (minute hour day month weekday)"#,
            ),
            (
                "0 0 0 1 1 * 2027",
                r#""0 0 0 1 1 * 2027" has 7 fields; a year is not taken: leave "2027" out"#,
            ),
            (
                "0 60 * * * *",
                r#"minute "60": 60 is out of range; write 0 to 59"#,
            ),
            (
                "0 0 24 * * *",
                r#"hour "24": 24 is out of range; write 0 to 23"#,
            ),
            (
                "0 0 22-2 * * *",
                r#"hour "22-2": "22-2" runs backwards; write "22-23,0-2""#,
            ),
            (
                "0 0 0 L * *",
                r#"day "L": "L" is not a number; write 1 to 31 (L, W and # are not known)"#,
            ),
            (
                "0 0 0 1 FOO *",
                r#"month "FOO": "FOO" is not a number; write 1 to 12, or JAN to DEC (L, W and # are not known)"#,
            ),
            (
                "0 0 6 * * 1-5",
                r#"weekday "1-5": digits count from Sunday = 0 in some crons and from Sunday = 1 in others; write names such as "MON-FRI" (1 is MON in most)"#,
            ),
            (
                "0 0 6 * * 9",
                r#"weekday "9": 9 is not a weekday; write names such as "MON-FRI""#,
            ),
            (
                "0 0 6 * * FRI#2",
                r#"weekday "FRI#2": "FRI#2" is not a weekday; write names such as "MON-FRI" (L, W and # are not known)"#,
            ),
            (
                "0 */0 * * * *",
                r#"minute "*/0": the step "0" must be a number from 1 to 59"#,
            ),
            (
                "0 */90 * * * *",
                r#"minute "*/90": the step "90" must be a number from 1 to 59"#,
            ),
            (
                "0 1,,2 * * * *",
                r#"minute "1,,2": "" is not a number; write 0 to 59 (L, W and # are not known)"#,
            ),
            (
                "@reboot",
                r#""@reboot" is not known; write @hourly, @daily, @weekly, @monthly, @yearly, or six fields such as "0 */5 * * * *""#,
            ),
            (
                "TZ=Europe/Paris 0 0 * * *",
                r#""TZ=Europe/Paris 0 0 * * *" names a zone; the file's "timezone" holds here: leave it out"#,
            ),
        ] {
            assert_eq!(fields(text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_what_never_runs() {
        use super::super::Cron;
        use jiff::tz::TimeZone;
        for (text, expected) in [
            (
                "0 0 0 31 2 *",
                r#""0 0 0 31 2 *" never runs: no month of it has such a day; check the day and month fields"#,
            ),
            (
                "0 0 0 31 4,6,9,11 *",
                r#""0 0 0 31 4,6,9,11 *" never runs: no month of it has such a day; check the day and month fields"#,
            ),
            (
                "0 0 0 29 2 MON",
                r#""0 0 0 29 2 MON" may not run for more than eight years; check the day, month and weekday fields (all must hold)"#,
            ),
        ] {
            assert_eq!(
                Cron::new(text, TimeZone::UTC).unwrap_err(),
                expected,
                "{text}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[-0-9A-Z*/?,@# ]{0,40}") {
            let _ = super::super::Cron::new(&text, jiff::tz::TimeZone::UTC);
        }
    }
}
