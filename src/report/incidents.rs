//! Incidents for people and for scripts: the list, and the story of one.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Color, ContentArrangement, Table};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::cause;
use super::matrix::duration;
use super::verdict;
use crate::domain::incident::{
    Acknowledged, Happening, Incident, Muted, Specimen, State, TimelineEntry,
};
use crate::domain::notification::Briefing;
use crate::domain::shown::is_unsafe;

fn state_word(state: State) -> &'static str {
    match state {
        State::Open => "OPEN",
        State::Resolved => "resolved",
        State::Unwatched => "no longer watched",
    }
}

/// A table of incidents, newest first as they come; `now` gives the age of those still open.
#[must_use]
pub fn list(
    known: &[(Incident, Briefing)],
    zone: &TimeZone,
    now: Timestamp,
    colour: bool,
) -> String {
    if known.is_empty() {
        return "no incidents\n".to_owned();
    }
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(["incident", "state", "since", "lasted", "what"]);
    for (incident, briefing) in known {
        let mut what = vec![briefing.headline.clone()];
        if briefing.is_open() {
            let (by, telling) = (incident.acknowledged.as_ref(), &incident.telling);
            what.extend(quiet(by, telling.muted.as_ref(), &telling.during, zone));
        }
        table.add_row([
            Cell::new(format!("INC-{}", briefing.incident)),
            Cell::new(state_word(briefing.state)).fg(match briefing.state {
                State::Open => Color::Red,
                State::Resolved => Color::Green,
                State::Unwatched => Color::Yellow,
            }),
            Cell::new(local(briefing.onset_at, zone)),
            Cell::new(duration(briefing.failing_for(now))),
            Cell::new(what.join("\n")),
        ]);
    }
    let mut text = String::new();
    for line in table.lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Why people hear nothing of an open incident, or less: one line each.
#[must_use]
pub fn quiet(
    by: Option<&Acknowledged>,
    muted: Option<&Muted>,
    during: &[String],
    zone: &TimeZone,
) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(muted) = muted {
        let by: Vec<String> = muted.by.iter().map(|by| one_line(by)).collect();
        let until = local(muted.until, zone);
        lines.push(format!("muted until {until} by {}", by.join(", ")));
    }
    if !during.is_empty() {
        let names: Vec<String> = during.iter().map(|name| one_line(name)).collect();
        lines.push(format!("during maintenance {}", names.join(", ")));
    }
    if let Some(by) = by {
        let at = local(by.at, zone);
        lines.push(format!("acknowledged by {}, {at}", one_line(&by.by)));
    }
    lines
}

/// The story of one incident: what, why, what it is not, what to do, the matrix, the evidence, the timeline.
#[must_use]
pub fn story(
    incident: &Incident,
    briefing: &Briefing,
    timeline: &[TimelineEntry],
    zone: &TimeZone,
    now: Timestamp,
    colour: bool,
) -> String {
    let mut text = String::new();
    let bold = if colour {
        Style::new().bold()
    } else {
        Style::new()
    };
    let state = match briefing.state {
        State::Open => AnsiColor::Red,
        State::Resolved => AnsiColor::Green,
        State::Unwatched => AnsiColor::Yellow,
    };
    let state_style = if colour {
        Style::new().bold().fg_color(Some(state.into()))
    } else {
        Style::new()
    };
    let word = state_word(briefing.state).to_uppercase();
    let _ = writeln!(
        text,
        "INC-{} {state_style}{word}{state_style:#}  {bold}{}{bold:#}",
        briefing.incident, briefing.headline
    );

    let _ = write!(
        text,
        "  since      {} ({})",
        local(briefing.onset_at, zone),
        duration(briefing.failing_for(now))
    );
    match (briefing.resolved_at, briefing.over_at()) {
        (Some(at), _) if briefing.is_unwatched() => {
            let _ = write!(text, ", not watched since {}", local(at, zone));
        }
        (_, Some(end)) => {
            let _ = write!(text, ", until {}", local(end, zone));
        }
        _ => {}
    }
    text.push('\n');
    times(&mut text, briefing, zone);
    if briefing.reopened > 0 {
        let _ = writeln!(text, "  reopened   {} times", briefing.reopened);
    }
    lines(&mut text, "beside", &briefing.beside);
    if let Some(by) = &briefing.acknowledged {
        let when = local(by.at, zone);
        let _ = writeln!(text, "  taken by   {}, {when}", one_line(&by.by));
    }
    let telling = &incident.telling;
    let remarks = quiet(None, telling.muted.as_ref(), &telling.during, zone);
    lines(&mut text, "quiet", &remarks);
    if briefing.cause_known {
        let _ = writeln!(
            text,
            "  confidence {:.0} %",
            (briefing.confidence * 100.0).floor()
        );
    }
    lines(&mut text, "because", &briefing.because);
    lines(&mut text, "ruled out", &briefing.ruled_out);
    if let Some(step) = &briefing.next_step {
        let _ = writeln!(text, "  next       {step}");
    }
    if let Some(before) = &briefing.before {
        let _ = writeln!(text, "  before     {before}");
    }
    let contact = &briefing.words.contact;
    for (name, value) in [
        ("ring", &contact.ring),
        ("runbook", &contact.runbook),
        ("more", &contact.link),
    ] {
        if let Some(value) = value.as_ref().filter(|_| briefing.is_open()) {
            let _ = writeln!(text, "  {name:<10} {}", one_line(value));
        }
    }
    if !briefing.reference_ids.is_empty() {
        let _ = writeln!(text, "  reference  {}", briefing.reference_ids.join(", "));
    }
    if !briefing.cells.is_empty() {
        let _ = writeln!(text, "\n{bold}Cells{bold:#}");
        for line in &briefing.cells {
            let style = if colour {
                verdict::style_of(line.kind)
            } else {
                Style::new()
            };
            let _ = writeln!(
                text,
                "  {style}{:<14}{style:#} {}",
                line.kind.label(),
                line.cell
            );
        }
    }
    if let Some(run) = &briefing.failing {
        let _ = writeln!(text, "\n{bold}A failing run{bold:#}");
        specimen(&mut text, run, zone);
    }
    if let Some(run) = &briefing.passing {
        let _ = writeln!(text, "\n{bold}A passing run{bold:#}");
        specimen(&mut text, run, zone);
    }
    let (asked, rest): (Vec<_>, Vec<_>) = timeline
        .iter()
        .partition(|entry| entry.what == Happening::ExtraRun);
    if !asked.is_empty() {
        let _ = writeln!(text, "\n{bold}Extra requests, and why{bold:#}");
        for entry in asked {
            let _ = writeln!(text, "  {}  {}", clock_time(entry.at, zone), entry.text);
        }
    }
    if !rest.is_empty() {
        let _ = writeln!(text, "\n{bold}Timeline{bold:#}");
        for entry in rest {
            let _ = writeln!(
                text,
                "  {}  {:<12} {}",
                clock_time(entry.at, zone),
                entry.what.as_str().replace('_', " "),
                entry.text
            );
        }
    }
    text
}

/// What runs showed, and when it was decided: an end is told later than it is.
fn times(text: &mut String, briefing: &Briefing, zone: &TimeZone) {
    let Some(decided) = briefing.resolved_at else {
        return;
    };
    if let Some(bad) = briefing.spells.last_bad_at {
        let _ = writeln!(text, "  last bad   {}", clock_time(bad, zone));
    }
    if briefing.is_fixed() {
        let certain = clock_time(decided, zone);
        let _ = match briefing.spells.first_good_at {
            Some(good) => writeln!(
                text,
                "  first good {}, certain at {certain}",
                clock_time(good, zone)
            ),
            None => writeln!(text, "  certain    {certain}"),
        };
    }
}

/// What a person typed, on one line and without control characters, which a terminal would obey.
fn one_line(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !is_unsafe(*c)).collect();
    clean.trim().to_owned()
}

fn lines(text: &mut String, name: &str, lines: &[String]) {
    for (index, line) in lines.iter().enumerate() {
        let _ = writeln!(text, "  {:<10} {line}", if index == 0 { name } else { "" });
    }
}

fn specimen(text: &mut String, run: &Specimen, zone: &TimeZone) {
    let _ = writeln!(
        text,
        "  {}  {} {}",
        clock_time(run.at, zone),
        run.method,
        run.url
    );
    let _ = writeln!(text, "  cell       {}", run.cell);
    for (name, value) in &run.request_headers {
        let _ = writeln!(text, "  > {name}: {value}");
    }
    if let (Some(local), Some(remote)) = (&run.local, &run.remote) {
        let public = run
            .public
            .as_ref()
            .map(|p| format!(" (the partner sees {p})"))
            .unwrap_or_default();
        let _ = writeln!(text, "  from       {local}{public} to {remote}");
    }
    if let Some(ja4) = run.sent.as_ref().and_then(|sent| sent.ja4.as_ref()) {
        let _ = writeln!(text, "  TLS        {ja4} (JA4)");
    }
    match (&run.failure, run.status) {
        (Some(failure), _) => {
            let _ = writeln!(text, "  failed     {failure}");
        }
        (None, Some(status)) => {
            let _ = writeln!(
                text,
                "  answer     HTTP {status}, {} after {}",
                run.verdict.kind.label(),
                duration(run.took)
            );
        }
        (None, None) => {}
    }
    for (name, value) in &run.response_headers {
        let _ = writeln!(text, "  < {name}: {value}");
    }
    if let Some(excerpt) = &run.excerpt {
        let _ = writeln!(text, "  page says  {excerpt}");
    }
    let signs: Vec<String> = run
        .verdict
        .evidence
        .iter()
        .map(|e| format!("{}: {}", e.strength, e.text))
        .collect();
    lines(text, "evidence", &signs);
}

/// One incident for scripts; keys are stable, times are RFC 3339 in UTC.
#[must_use]
pub fn json(incident: &Incident, briefing: &Briefing, timeline: &[TimelineEntry]) -> Value {
    json!({
        "incident": incident.number,
        "state": incident.state,
        "subject": briefing.subject,
        "our_side": briefing.our_side,
        "kind": incident.kind,
        "headline": briefing.headline,
        "because": briefing.because,
        "ruled_out": briefing.ruled_out,
        "next_step": briefing.next_step,
        "cause_known": briefing.cause_known,
        "confidence": briefing.confidence,
        "cause": cause::json(incident),
        "ruled_out_pairs": cause::ruled_out(incident),
        "beside": cause::beside(incident),
        "acknowledged": incident.acknowledged,
        "muted": incident.telling.muted,
        "during_maintenance": incident.telling.during,
        "onset_at": incident.onset_at,
        "opened_at": incident.opened_at,
        "last_bad_at": incident.spells.last_bad_at,
        "first_good_at": incident.spells.first_good_at.filter(|_| incident.state == State::Resolved),
        "resolved_at": incident.resolved_at,
        "failing_s": incident.over_at().map(|end| incident.failing_for(end).as_secs()),
        "reopened": incident.reopened,
        "failed_runs": incident.failed_runs,
        "extra_runs": incident.extra_runs,
        "reference_ids": incident.reference_ids,
        "probes": incident.probes,
        "cells": incident.cells.iter().map(|c| json!({
            "probe": c.cell.probe,
            "egress": c.cell.egress,
            "client": c.cell.client,
            "credential": c.cell.credential,
            "kind": c.kind,
            "failing": c.failing,
            "since": c.since,
            "last_at": c.last_at,
        })).collect::<Vec<_>>(),
        "failing": incident.failing.as_ref().map(specimen_json),
        "passing": incident.passing.as_ref().map(specimen_json),
        "timeline": timeline,
    })
}

fn specimen_json(run: &Specimen) -> Value {
    json!({
        "at": run.at,
        "cell": run.cell.to_string(),
        "method": run.method,
        "url": run.url,
        "request_headers": run.request_headers,
        "local": run.local,
        "public": run.public,
        "remote": run.remote,
        "resolved": run.resolved,
        "status": run.status,
        "http": run.http,
        "response_headers": run.response_headers,
        "excerpt": run.excerpt,
        "failure": run.failure,
        "sent": run.sent,
        "took_ms": run.took.as_millis() as u64,
        "verdict": verdict::json(&run.verdict),
    })
}

/// `Sun 28 Feb 2021 02:14 GMT`: the zone of the file, with its abbreviation.
#[must_use]
pub fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%a %-d %b %Y %H:%M %Z")
        .to_string()
}

fn clock_time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%-d %b %H:%M:%S %Z")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_zone_of_the_file() {
        let zone = TimeZone::get("Europe/London").unwrap();
        let check = |utc: &str, text: &str| assert_eq!(local(utc.parse().unwrap(), &zone), text);
        check("2021-02-28T02:14:09Z", "Sun 28 Feb 2021 02:14 GMT");
        check("2021-03-28T00:59:59Z", "Sun 28 Mar 2021 00:59 GMT");
        check("2021-03-28T01:00:00Z", "Sun 28 Mar 2021 02:00 BST");
    }
}
