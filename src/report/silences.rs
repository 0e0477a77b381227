//! Silences for people and for scripts.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::incidents::local;
use crate::domain::mute::Silence;

/// A table of silences, as they come.
#[must_use]
pub fn list(silences: &[Silence], zone: &TimeZone, now: Timestamp) -> String {
    if silences.is_empty() {
        return "no silences\n".to_owned();
    }
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .force_no_tty();
    table.set_header(["silence", "until", "what", "by", "why"]);
    for silence in silences {
        let until = match &silence.ended {
            Some(ended) => format!("ended {} by {}", local(ended.at, zone), ended.by),
            None if silence.holds(now) => local(silence.until, zone),
            None => format!("over since {}", local(silence.until, zone)),
        };
        table.add_row([
            silence.number.to_string(),
            until,
            silence.matcher.to_string(),
            silence.by.clone(),
            silence.why.clone().unwrap_or_default(),
        ]);
    }
    let mut text = String::new();
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// One silence for scripts; keys are stable, times are RFC 3339 in UTC.
#[must_use]
pub fn json(silence: &Silence, now: Timestamp) -> Value {
    let matcher = &silence.matcher;
    json!({
        "silence": silence.number,
        "in_force": silence.holds(now),
        "incidents": matcher.incidents,
        "probes": matcher.probes,
        "egresses": matcher.egresses,
        "clients": matcher.clients,
        "verdicts": matcher.kinds,
        "from": silence.from,
        "until": silence.until,
        "by": silence.by,
        "why": silence.why,
        "ended": silence.ended,
    })
}
