//! What is told beside incidents, and in whose words: the schedule of "all is well", the templates.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::secrets::unreadable;
use crate::config::Inputs;
use crate::config::collections::Form;
use crate::config::desk::{At, Desk, Place, clean, quote, suggest};
use crate::config::leaf::Word;
use crate::config::raw;
use crate::config::special::Never;
use crate::domain::notification::{AllIsWell, Templates};
use crate::domain::probe::Schedule;
use crate::lang::cron::Cron;
use crate::lang::template::{Audience, Template};

/// When the file says nothing: in working hours of the first of each month.
const MONTHLY: &str = "0 10 1 * *";
/// A flow without a run for 90 days is warned, then switched off:
/// <https://learn.microsoft.com/en-us/power-automate/limits-and-config> (read 2026-11-22).
const DORMANT: Duration = Duration::from_secs(90 * 24 * 3600);

/// What the file says of the whole, for texts.
pub(super) struct Setting<'a> {
    pub(super) service: &'a str,
    pub(super) zone: &'a TimeZone,
}

pub(super) fn all_is_well(
    raw: Option<At<Form<Word<Never>, raw::Cadence>>>,
    setting: &Setting<'_>,
    desk: &mut Desk<'_>,
) -> Option<AllIsWell> {
    let monthly = || {
        Cron::new(MONTHLY, setting.zone.clone())
            .ok()
            .map(Schedule::Cron)
    };
    let schedule = match raw {
        None => monthly()?,
        Some(At {
            value: Form::Short(_),
            ..
        }) => return None,
        Some(At {
            value: Form::Full(cadence),
            place,
        }) => schedule(cadence, place, setting, desk)?,
    };
    Some(AllIsWell {
        schedule,
        service: setting.service.to_owned(),
        zone: setting.zone.iana_name().unwrap_or("UTC").to_owned(),
    })
}

fn schedule(
    raw: raw::Cadence,
    place: Place,
    setting: &Setting<'_>,
    desk: &mut Desk<'_>,
) -> Option<Schedule> {
    let there = raw.present.has("every") || raw.present.has("cron");
    match (raw.every, raw.cron) {
        (Some(_), Some(cron)) => {
            desk.error(
                cron.place,
                "the schedule is given twice",
                "keep one of \"every\" and \"cron\"",
            );
            None
        }
        (Some(every), None) => Some(Schedule::Every(every.value.0)),
        (None, Some(cron)) => match Cron::new(&cron.value, setting.zone.clone()) {
            Ok(schedule) => {
                super::both_days(&schedule, cron.place, desk);
                if longest_gap(&schedule) > DORMANT {
                    desk.warning(
                        cron.place,
                        "leaves more than 90 days between two cards",
                        "Microsoft switches off a workflow that is not used for so long; ask for more",
                    );
                }
                Some(Schedule::Cron(schedule))
            }
            Err(error) => {
                desk.error(
                    cron.place,
                    format!("{} is no cron expression", quote(&cron.value)),
                    error,
                );
                None
            }
        },
        (None, None) => {
            if !there {
                desk.error(
                    place,
                    "has no schedule",
                    "add \"every: 30d\" or \"cron: …\", or write \"never\"",
                );
            }
            None
        }
    }
}

/// The longest time between two of the next few occurrences, from a fixed day on: a file means the same every day.
fn longest_gap(cron: &Cron) -> Duration {
    let mut at = Timestamp::UNIX_EPOCH;
    let mut longest = Duration::ZERO;
    for turn in 0..14 {
        let Some(next) = cron.next_after(at) else {
            return Duration::MAX;
        };
        if turn > 0 {
            longest = longest.max(Duration::try_from(next.duration_since(at)).unwrap_or_default());
        }
        at = next;
    }
    longest
}

/// The operator's words for Slack and for Teams.
pub(super) fn templates(
    raw: Option<At<raw::Templates>>,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> (Templates, Templates) {
    let raw = raw.map(|t| t.value).unwrap_or_default();
    let mut of = |parts: Option<At<raw::MessageParts>>, audience| {
        let parts = parts.map(|p| p.value).unwrap_or_default();
        Templates {
            headline: template(parts.headline, audience, inputs, desk),
            body: template(parts.body, audience, inputs, desk),
            footer: template(parts.footer, audience, inputs, desk),
        }
    };
    (
        of(raw.slack, Audience::Engineers),
        of(raw.teams, Audience::Support),
    )
}

fn template(
    raw: Option<At<Form<String, raw::TextFile>>>,
    audience: Audience,
    inputs: &dyn Inputs,
    desk: &mut Desk<'_>,
) -> Option<Template> {
    let At { value, place } = raw?;
    let (text, place) = match value {
        Form::Short(text) => (text, place),
        Form::Full(file) => {
            let file = file.file?;
            match inputs.file(&file.value.0) {
                Ok(text) => (text, file.place),
                Err(error) => {
                    let name = clean(&file.value.0.display().to_string());
                    desk.error(file.place, unreadable(&name, &error), "");
                    return None;
                }
            }
        }
    };
    if let Some(fact) = in_one_brace(&text, audience) {
        desk.doubt_at(
            place,
            format!("\"{{ {fact} }}\" with one brace is sent as it stands"),
            format!("write \"{{{{ {fact} }}}}\""),
        );
    }
    Template::new(&text, audience)
        .inspect_err(|fault| {
            let hint = fault.unknown.as_ref().map_or_else(String::new, |unknown| {
                suggest(unknown, audience.facts(), "facts")
            });
            let hint = match hint.as_str() {
                "" if fault.message.starts_with("syntax error") => {
                    "a fact is written \"{{ headline }}\"".to_owned()
                }
                _ => hint,
            };
            desk.error(place, fault.message.clone(), hint);
        })
        .ok()
}

/// A fact that stands behind a single brace, where a template has two.
fn in_one_brace(text: &str, audience: Audience) -> Option<&'static str> {
    let single = |(place, _): &(usize, &str)| {
        !text[..*place].ends_with('{') && !text[place + 1..].starts_with(['{', '%', '#'])
    };
    let braces = text.match_indices('{').filter(single);
    let mut words = braces.filter_map(|(place, _)| {
        let inside = text[place + 1..].trim_start();
        inside
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .next()
    });
    words.find_map(|word| audience.facts().find(|fact| *fact == word))
}
