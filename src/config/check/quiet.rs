//! When nobody is told: maintenance, and the hours of a route.

use std::collections::HashSet;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::names::Names;
use crate::config::collections::List;
use crate::config::desk::{At, Desk, Place, quote};
use crate::config::measure::show_duration;
use crate::config::raw;
use crate::domain::cell::ProbeName;
use crate::domain::hours::Hours;
use crate::domain::mute::{Begins, Maintenance};
use crate::lang::cron::Cron;

/// Of a name of maintenance; it stands in messages.
const NAME_MAX: usize = 80;
/// The longest window.
const LONGEST: Duration = Duration::from_secs(14 * 24 * 3600);
/// Windows; each is looked up when one begins or ends.
const MAINTENANCE_MAX: usize = 100;
/// Beginnings that are looked at for windows that run into each other: a year of daily ones and its two odd nights.
const BEGINNINGS: usize = 400;
/// 2025-01-01T00:00:00Z; any year will do.
pub(super) const YEAR: Timestamp = Timestamp::constant(1_735_689_600, 0);

pub(super) fn maintenance(
    raw: Option<At<List<raw::Maintenance>>>,
    probes: &Names,
    zone: &TimeZone,
    desk: &mut Desk<'_>,
) -> Vec<Maintenance> {
    let Some(raw) = raw else { return Vec::new() };
    if raw.value.0.len() > MAINTENANCE_MAX {
        let message = format!("names more than {MAINTENANCE_MAX} windows");
        desk.error(raw.place, message, "put some together");
        return Vec::new();
    }
    let mut names = HashSet::new();
    let mut windows = Vec::new();
    for window in raw.value.0 {
        let raw = window.value;
        let name = raw.name.filter(|name| sound_name(name, &mut names, desk));
        let of = raw
            .probes
            .map(|many| probes.mentioned(many, desk))
            .unwrap_or_default();
        let lasting = raw.lasting.map(|lasting| lasting.value.0);
        let times = Times {
            has_cron: raw.present.has("cron"),
            cron: raw.cron,
            has_at: raw.present.has("at"),
            at: raw.once,
            until: raw.until,
            has_lasting: raw.present.has("for"),
            lasting,
            place: window.place,
        };
        let when = times.read(zone, desk);
        if let (Some(name), Some((begins, lasting)), Some(effect)) = (name, when, raw.effect) {
            windows.push(Maintenance {
                name: name.value,
                begins,
                lasting,
                probes: of.iter().map(|name| ProbeName::new(name)).collect(),
                effect: effect.value.0,
            });
        }
    }
    windows
}

/// What the file says of when a window is.
struct Times {
    has_cron: bool,
    cron: Option<At<String>>,
    has_at: bool,
    at: Option<At<String>>,
    until: Option<At<String>>,
    has_lasting: bool,
    lasting: Option<Duration>,
    place: Place,
}

impl Times {
    fn read(self, zone: &TimeZone, desk: &mut Desk<'_>) -> Option<(Begins, Duration)> {
        const ONCE: &str = "write \"at: 2026-12-05 22:00\" and \"for: 8h\" or \"until: …\"";
        let Self {
            cron,
            at,
            until,
            lasting,
            place,
            ..
        } = self;
        if self.has_cron && self.has_at {
            desk.error(
                place,
                "begins in two ways",
                "keep one of \"cron\" (again and again) and \"at\" (once)",
            );
            return None;
        }
        if !self.has_cron && !self.has_at {
            desk.error(
                place,
                "says not when it begins",
                "add \"cron\" (again and again), or \"at: 2026-12-05 22:00\" (once)",
            );
            return None;
        }
        if let Some(until) = until.as_ref().filter(|_| self.has_cron) {
            desk.error(
                until.place,
                "belongs to \"at\"",
                "beside \"cron\" write \"for: 8h\"",
            );
            return None;
        }
        if let Some(at) = at {
            let begins = moment(&at, zone, desk)?;
            let lasting = match (until, lasting) {
                (Some(until), None) if !self.has_lasting => {
                    let ends = moment(&until, zone, desk)?;
                    let lasting =
                        Duration::try_from(ends.duration_since(begins)).unwrap_or_default();
                    if lasting.is_zero() || lasting > LONGEST {
                        desk.error(
                            until.place,
                            "is not after the beginning, or more than 14 days after it",
                            ONCE,
                        );
                        return None;
                    }
                    lasting
                }
                (None, Some(lasting)) => lasting,
                (None, None) if self.has_lasting => return None,
                _ => {
                    desk.error(place, "has to say how long it lasts, in one way", ONCE);
                    return None;
                }
            };
            return Some((Begins::Once(begins), lasting));
        }
        if !self.has_lasting {
            desk.error(place, "\"for\" is missing", "");
        }
        let cron = cron.and_then(|cron| {
            let made = Cron::new(&cron.value, zone.clone()).inspect_err(|error| {
                let message = format!("{} is no cron expression", quote(&cron.value));
                desk.error(cron.place, message, error.clone());
            });
            let made = made.ok()?;
            super::both_days(&made, cron.place, desk);
            super::six_fields(&made, cron.place, desk);
            once_a_year(&made, cron.place, desk);
            if let Some(gap) = lasting.and_then(|lasting| runs_into_itself(&made, lasting)) {
                desk.error(
                    cron.place,
                    format!(
                        "begins anew after {}, before it is over",
                        show_duration(gap)
                    ),
                    "shorten \"for\", or let it begin less often",
                );
            }
            Some(made)
        });
        Some((Begins::Cron(cron?), lasting?))
    }
}

/// `2026-12-05 22:00` by the clock on the wall.
fn moment(text: &At<String>, zone: &TimeZone, desk: &mut Desk<'_>) -> Option<Timestamp> {
    let read = text.value.trim().parse::<jiff::civil::DateTime>();
    let found = read.ok().and_then(|civil| zone.to_timestamp(civil).ok());
    if found.is_none() {
        desk.error(
            text.place,
            format!("{} is no date with a time", quote(&text.value)),
            "write it like \"2026-12-05 22:00\", in the file's time zone",
        );
    }
    found
}

/// Says of a window on one date that it comes back every year.
fn once_a_year(cron: &Cron, place: Place, desk: &mut Desk<'_>) {
    let first = cron.next_after(YEAR);
    let next = first.and_then(|first| Some((first, cron.next_after(first)?)));
    if let Some((first, next)) = next
        && next.duration_since(first) > SignedDuration::from_hours(24 * 300)
    {
        desk.doubt_at(
            place,
            "begins once in every year",
            "for one time write \"at: 2026-12-05 22:00\" in place of \"cron\"",
        );
    }
}

fn sound_name(name: &At<String>, names: &mut HashSet<String>, desk: &mut Desk<'_>) -> bool {
    let text = name.value.trim();
    let (message, hint) = if text.is_empty() {
        ("is empty".to_owned(), "call it as people do")
    } else if text.chars().count() > NAME_MAX || text.chars().any(char::is_control) {
        let message = format!("{} can't be a name", quote(text));
        (message, "one line of at most 80 characters")
    } else if !names.insert(text.to_owned()) {
        let message = format!("there is a maintenance {} already", quote(text));
        (message, "name this one differently")
    } else {
        return true;
    };
    desk.error(name.place, message, hint);
    false
}

/// The shortest time between two beginnings, where that is shorter than a window; an hour less, when clocks
/// change, is no matter.
fn runs_into_itself(cron: &Cron, lasting: Duration) -> Option<Duration> {
    let mut at = cron.next_after(YEAR)?;
    let mut shortest: Option<Duration> = None;
    for _ in 0..BEGINNINGS {
        let Some(next) = cron.next_after(at) else {
            break;
        };
        let gap = Duration::try_from(next.duration_since(at)).unwrap_or_default();
        let odd = cron.zone().to_offset(at) != cron.zone().to_offset(next);
        if !odd {
            shortest = Some(shortest.map_or(gap, |known| known.min(gap)));
        }
        if next.duration_since(YEAR) > SignedDuration::from_hours(24 * 366 * 2) {
            break;
        }
        at = next;
    }
    shortest.filter(|gap| *gap < lasting)
}

/// The hours of a route; what was reported reads as always open.
pub(super) fn during(raw: At<raw::During>, desk: &mut Desk<'_>) -> Option<Hours> {
    let At { value: raw, place } = raw;
    if raw.present.is_empty() {
        desk.error(place, "says no time", "add \"days\", \"hours\" or both");
        return None;
    }
    let days = raw.days.map_or([true; 7], |week| week.value.0);
    let (from, to) = raw
        .hours
        .map_or((0, 24 * 60), |hours| (hours.value.from, hours.value.to));
    Hours::new(days, from, to)
}
