//! Days of the week and times of the day, as routes name them: `mon-fri`, `08:00-18:00`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::collections::Many;
use super::desk::{Desk, Place, quote};
use super::leaf::inline_schema;
use super::read::{Read, scalar};
use super::yaml::{Node, Value};

const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// One day, or one after the other: `sat`, `mon-fri`, `sat-mon`; Monday first.
#[derive(Debug, Clone, Copy)]
struct Days([bool; 7]);

impl Read for Days {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let (text, _) = scalar(node, place, "a day of the week", desk)?;
        let lower = text.to_ascii_lowercase();
        let (first, last) = lower.split_once('-').unwrap_or((&lower, &lower));
        let day = |name: &str| NAMES.iter().position(|known| *known == name.trim());
        let Some((first, last)) = day(first).zip(day(last)) else {
            desk.error(
                place,
                format!("{} is no day of the week", quote(text)),
                "write \"mon\", \"mon-fri\", or a list: mon, tue, wed, thu, fri, sat, sun",
            );
            return None;
        };
        let mut days = [false; 7];
        let count = (last + 7 - first) % 7;
        for place in first..=first + count {
            days[place % 7] = true;
        }
        Some(Self(days))
    }
}

inline_schema!(
    Days,
    "Days",
    json_schema!({
        "type": "string",
        "pattern": "^([Mm][Oo][Nn]|[Tt][Uu][Ee]|[Ww][Ee][Dd]|[Tt][Hh][Uu]|[Ff][Rr][Ii]|[Ss][Aa][Tt]|[Ss][Uu][Nn])( ?- ?([Mm][Oo][Nn]|[Tt][Uu][Ee]|[Ww][Ee][Dd]|[Tt][Hh][Uu]|[Ff][Rr][Ii]|[Ss][Aa][Tt]|[Ss][Uu][Nn]))?$"
    })
);

/// Days of the week, in one or several terms; Monday first, at least one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Week(pub(super) [bool; 7]);

impl Read for Week {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        if matches!(&node.value, Value::List(items) if items.is_empty()) {
            desk.error(place, "names no day", "name one, or remove the key");
            return None;
        }
        let mut week = [false; 7];
        for days in Many::<Days>::read(node, place, desk)?.0 {
            for (day, named) in week.iter_mut().zip(days.value.0) {
                *day |= named;
            }
        }
        week.contains(&true).then_some(Self(week))
    }
}

impl JsonSchema for Week {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Week".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Many::<Days>::json_schema(generator)
    }
}

/// A span of the day in minutes since midnight.
#[derive(Debug, Clone, Copy)]
pub(super) struct DayTimes {
    /// Below a day.
    pub(super) from: u16,
    /// At most a day, and not `from`.
    pub(super) to: u16,
}

impl Read for DayTimes {
    fn read<'t>(node: &Node<'t>, place: Place, desk: &mut Desk<'t>) -> Option<Self> {
        let (text, _) = scalar(node, place, "a span of the day", desk)?;
        let times = text.split_once('-').and_then(|(from, to)| {
            let (from, to) = (minutes(from)?, minutes(to)?);
            (from < 24 * 60).then_some(Self { from, to })
        });
        let Some(times) = times else {
            desk.error(
                place,
                format!("{} is no span of the day", quote(text)),
                "write it like \"08:00-18:00\"; the day ends at 24:00",
            );
            return None;
        };
        if times.from == times.to {
            desk.error(
                place,
                format!("{} ends where it begins", quote(text)),
                "remove it for the whole day",
            );
            return None;
        }
        Some(times)
    }
}

/// `08:00` to `24:00`.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let sound = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    if !sound(hours) || !sound(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= 24 * 60).then_some(total)
}

inline_schema!(
    DayTimes,
    "DayTimes",
    json_schema!({
        "type": "string",
        "pattern": "^[0-2][0-9]:[0-5][0-9] ?- ?[0-2][0-9]:[0-5][0-9]$",
        "examples": ["08:00-18:00"]
    })
);
