//! What other programs take from the page of support staff: planned work as a calendar, a service as a badge.

use std::fmt::Write as _;

use axum::extract::{Path, State};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::parts::{file, visible};
use super::status_page::{How, how};
use super::{Failure, Page, Pages, failed, scene};
use crate::domain::mute::Maintenance;
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;

/// Planned work is in the calendar for so long ahead; `cron` over a change of clocks is ours to expand, so every
/// occurrence is an event of its own.
const AHEAD: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Events of one calendar.
const EVENTS_MAX: usize = 1_000;
/// Octets of a line (RFC 5545 section 3.1).
const LINE_MAX: usize = 75;

pub(super) async fn calendar(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let text = calendar_of(&scene.look.plan, scene.now);
    Ok(file("text/calendar; charset=utf-8", text))
}

/// Planned work as events in UTC (RFC 5545).
fn calendar_of(plan: &Plan, now: Timestamp) -> String {
    let until = now.checked_add(AHEAD).unwrap_or(Timestamp::MAX);
    let mut text = String::new();
    for line in [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//edgewatch//planned work//EN",
        "CALSCALE:GREGORIAN",
    ] {
        put(&mut text, line);
    }
    put(
        &mut text,
        &format!(
            "X-WR-CALNAME:{}",
            escaped(&format!("{}: planned work", plan.service))
        ),
    );
    let mut events: Vec<(Timestamp, Timestamp, &Maintenance)> = Vec::new();
    for maintenance in &plan.maintenance {
        let lasting = SignedDuration::try_from(maintenance.lasting).unwrap_or(SignedDuration::ZERO);
        // What goes on is still planned work.
        let mut after = now.checked_sub(lasting).unwrap_or(now);
        while events.len() < EVENTS_MAX
            && let Some(begin) = maintenance
                .begins
                .next_after(after)
                .filter(|begin| *begin < until)
        {
            let end = begin.checked_add(lasting).unwrap_or(begin);
            events.push((begin, end, maintenance));
            after = begin;
        }
    }
    events.sort_by_key(|(begin, ..)| *begin);
    for (begin, end, maintenance) in events {
        let stamp = |at: Timestamp| {
            at.to_zoned(TimeZone::UTC)
                .strftime("%Y%m%dT%H%M%SZ")
                .to_string()
        };
        let what: Vec<&str> = maintenance
            .probes
            .iter()
            .filter_map(|name| plan.probe(name)?.words.what.as_deref())
            .collect();
        put(&mut text, "BEGIN:VEVENT");
        put(
            &mut text,
            &format!(
                "UID:{}@edgewatch",
                uid(&plan.service, &maintenance.name, begin)
            ),
        );
        // The event is as old as its own beginning, whenever it is asked for.
        put(&mut text, &format!("DTSTAMP:{}", stamp(begin)));
        put(&mut text, &format!("DTSTART:{}", stamp(begin)));
        put(&mut text, &format!("DTEND:{}", stamp(end)));
        put(
            &mut text,
            &format!("SUMMARY:{}", escaped(&maintenance.name)),
        );
        if !what.is_empty() {
            let what = format!("It may not work then: {}", what.join(", "));
            put(&mut text, &format!("DESCRIPTION:{}", escaped(&what)));
        }
        put(&mut text, "TRANSP:TRANSPARENT");
        put(&mut text, "END:VEVENT");
    }
    put(&mut text, "END:VCALENDAR");
    text
}

/// The same for the same occurrence, over restarts.
fn uid(service: &str, name: &str, begin: Timestamp) -> String {
    let digest = Sha256::digest(format!("{service}\n{name}\n{begin}"));
    digest
        .iter()
        .take(16)
        .fold(String::new(), |mut text, byte| {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn escaped(text: &str) -> String {
    let text = visible(text);
    let text = text.replace('\\', "\\\\").replace(';', "\\;");
    text.replace(',', "\\,").replace('\n', "\\n")
}

/// A line, folded where it is too long; never within a character.
fn put(text: &mut String, line: &str) {
    let mut width = 0;
    for c in line.chars() {
        if width + c.len_utf8() > LINE_MAX {
            text.push_str("\r\n ");
            width = 1;
        }
        text.push(c);
        width += c.len_utf8();
    }
    text.push_str("\r\n");
}

/// What a badge says of a probe, and whether that is good, bad or neither.
fn said(how: &How, zone: &TimeZone) -> (String, &'static str) {
    let clock = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%H:%M").to_string();
    match how {
        How::Works => ("works".to_owned(), "#2c6e49"),
        How::Problem { since, .. } => (format!("problem since {}", clock(*since)), "#8b0014"),
        How::Checked(_) => ("being checked".to_owned(), "#7a4b00"),
        How::Planned { .. } => ("planned work".to_owned(), "#0b4f9c"),
        How::Unknown(_) => ("not known".to_owned(), "#4f5659"),
    }
}

pub(super) async fn badge(State(pages): State<Pages>, Path(name): Path<String>) -> Page {
    let scene = scene(&pages).await?;
    let (name, is_svg) = match (name.strip_suffix(".svg"), name.strip_suffix(".json")) {
        (Some(name), _) => (name, true),
        (_, Some(name)) => (name, false),
        _ => (name.as_str(), true),
    };
    let probe = scene
        .look
        .plan
        .probe(&name.into())
        .filter(|probe| !probe.control)
        .cloned();
    let Some(probe) = probe else {
        let why = "There is no badge of that name: a probe's is at /badge/{probe}.svg or .json."
            .to_owned();
        return Ok(failed(&scene, &Failure::Missing(why)));
    };
    let how = match how(&pages, &scene, &probe).await {
        Ok(how) => how,
        Err(failure) => return Ok(failed(&scene, &failure)),
    };
    let (text, colour) = said(&how, scene.zone());
    let label = label(&probe);
    let mut answer = if is_svg {
        file("image/svg+xml", svg(label, &text, colour))
    } else {
        // As shields.io reads it: <https://shields.io/badges/endpoint-badge> (read 2026-11-30).
        let value = json!({ "schemaVersion": 1, "label": label, "message": text, "color": colour });
        file("application/json", format!("{value:#}\n"))
    };
    *answer.status_mut() = StatusCode::OK;
    let keep = HeaderValue::from_static("private, max-age=30");
    answer.headers_mut().insert(CACHE_CONTROL, keep);
    Ok(answer)
}

fn label(probe: &Probe) -> &str {
    probe.words.what.as_deref().unwrap_or(probe.name.as_str())
}

/// A badge in the usual form; no font of elsewhere, and wide enough for any.
fn svg(label: &str, text: &str, colour: &str) -> String {
    let xml = |text: &str| {
        let text = visible(text).replace('&', "&amp;").replace('<', "&lt;");
        text.replace('>', "&gt;").replace('"', "&quot;")
    };
    let width = |text: &str| text.chars().count() * 7 + 14;
    let (left, right) = (width(label), width(text));
    let (label, text, whole) = (xml(label), xml(text), left + right);
    let (in_left, in_right) = (left / 2, left + right / 2);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole}\" height=\"20\" role=\"img\" aria-label=\"{label}: {text}\">\
         <title>{label}: {text}</title>\
         <rect width=\"{left}\" height=\"20\" fill=\"#3d4347\"/><rect x=\"{left}\" width=\"{right}\" height=\"20\" fill=\"{colour}\"/>\
         <g fill=\"#fff\" text-anchor=\"middle\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">\
         <text x=\"{in_left}\" y=\"14\">{label}</text><text x=\"{in_right}\" y=\"14\">{text}</text></g></svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mute::{Begins, Effect};
    use crate::lang::cron::Cron;
    use crate::report::fixture::march;

    fn weekly(plan: &mut Plan, name: &str) {
        let zone = TimeZone::get("Europe/London").unwrap();
        plan.maintenance = vec![Maintenance {
            name: name.to_owned(),
            begins: Begins::Cron(Cron::new("0 22 * * SAT", zone).unwrap()),
            lasting: std::time::Duration::from_secs(8 * 3_600),
            probes: vec!["gmc-connect".into()],
            effect: Effect::Mute,
        }];
    }

    #[test]
    fn every_occurrence_is_an_event_in_utc() {
        let mut plan = march().plan;
        weekly(
            &mut plan,
            "GMC weekend; work, äöü that goes on for longer than a line of a calendar may be",
        );
        let now: Timestamp = "2021-03-20T12:00:00Z".parse().unwrap();
        let text = calendar_of(&plan, now);
        assert!(
            text.starts_with("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n"),
            "{text}"
        );
        assert!(text.ends_with("END:VEVENT\r\nEND:VCALENDAR\r\n"), "{text}");
        // The clocks go forward in the night to 28 March: ten at night is an hour earlier from then on.
        for part in [
            "DTSTART:20210320T220000Z\r\nDTEND:20210321T060000Z\r\n",
            "DTSTART:20210327T220000Z\r\nDTEND:20210328T060000Z\r\n",
            "DTSTART:20210403T210000Z\r\nDTEND:20210404T050000Z\r\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for line in text.split("\r\n") {
            assert!(line.len() <= LINE_MAX, "{line}");
        }
        let unfolded = text.replace("\r\n ", "");
        assert!(
            unfolded
                .contains("SUMMARY:GMC weekend\\; work\\, äöü that goes on for longer than a line"),
            "{unfolded}"
        );
        let uids: Vec<&str> = unfolded
            .lines()
            .filter(|line| line.starts_with("UID:"))
            .collect();
        let mut once = uids.clone();
        once.dedup();
        assert_eq!(uids.len(), 13);
        assert_eq!(once, uids);
        // An hour later it is the same calendar.
        let later = now.checked_add(SignedDuration::from_hours(1)).unwrap();
        assert_eq!(calendar_of(&plan, later), text);
    }

    #[test]
    fn a_badge_is_an_image_with_words() {
        let text = svg("<b>GMC & co</b>", "problem since 01:54", "#8b0014");
        let document = roxmltree::Document::parse(&text).unwrap();
        let texts: Vec<_> = document
            .descendants()
            .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")))
            .filter_map(|node| node.text())
            .collect();
        assert_eq!(texts, ["<b>GMC & co</b>", "problem since 01:54"]);
    }
}
