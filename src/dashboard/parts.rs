//! The small parts of pages: texts, times, tags, cells.
//!
//! Text of strangers is escaped by its type, and what would hide or turn what stands beside it is made visible.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::present::Cell;
use crate::domain::cell::{CellKey, ProbeName};
use crate::domain::shown::is_unsafe;
use crate::domain::verdict::Kind;
use crate::report::csv;
use crate::report::matrix::duration;

/// The same text, with what one can't see made visible; line breaks stay.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    let odd = |c: char| is_unsafe(c) && c != '\n';
    if !text.contains(odd) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => shown.push_str("    "),
            // The pictures of control characters.
            '\0'..='\u{1f}' if c != '\n' => {
                shown.extend(char::from_u32(0x2400 + u32::from(c)));
            }
            '\u{7f}' => shown.push('\u{2421}'),
            // Writing to a string can't fail.
            c if odd(c) => drop(write!(shown, "⟨U+{:04X}⟩", u32::from(c))),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// A table for a spreadsheet.
pub(super) fn spreadsheet<Row: AsRef<[String]>>(
    header: &[&str],
    rows: impl IntoIterator<Item = Row>,
) -> Response {
    file(
        "text/csv; charset=utf-8",
        format!("{}{}", csv::MARK, csv::table(header, rows)),
    )
}

/// A text of some kind as an answer.
pub(super) fn file(kind: &'static str, text: String) -> Response {
    let mut answer = Response::new(Body::from(text));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// A name as a part of a path.
fn segment(name: &str) -> String {
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    // `+` is a blank in queries alone.
    name.replace('+', "%20")
}

/// Where a probe's page is.
pub(super) fn probe_path(probe: &ProbeName) -> String {
    format!("/probes/{}", segment(probe.as_str()))
}

/// Where a cell's page is.
pub(super) fn cell_path(cell: &CellKey) -> String {
    let names = [
        cell.probe.as_str(),
        cell.egress.as_str(),
        cell.client.as_str(),
        cell.credential.as_str(),
    ];
    format!("/cells/{}", names.map(segment).join("/"))
}

/// Where the page of a run is.
pub(super) fn run_path(cell: &CellKey, at: Timestamp) -> String {
    format!("/runs/{}", run_name(cell, at))
}

/// A run in a path or a query.
pub(super) fn run_name(cell: &CellKey, at: Timestamp) -> String {
    let cell = cell_path(cell);
    let cell = cell.strip_prefix("/cells/").unwrap_or(&cell);
    format!("{cell}/{}", at.as_microsecond())
}

/// Where two runs stand side by side.
pub(super) fn compared(one: (&CellKey, Timestamp), other: (&CellKey, Timestamp)) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("a", &run_name(one.0, one.1));
    query.append_pair("b", &run_name(other.0, other.1));
    format!("/compare?{}", query.finish())
}

/// A sentence of ours, in which names stand between backticks.
pub(super) fn prose(text: &str) -> Markup {
    let text = visible(text);
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// `Sun 28 Feb 01:54:07 GMT`, with the year where it is not this one.
pub(super) fn moment(at: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let form = if at.year() == now.year() {
        "%a %-d %b %H:%M:%S %Z"
    } else {
        "%a %-d %b %Y %H:%M:%S %Z"
    };
    at.strftime(form).to_string()
}

pub(super) fn time(at: Timestamp, zone: &TimeZone, now: Timestamp) -> Markup {
    html! { time datetime=(at.to_string()) { (moment(at, zone, now)) } }
}

/// How long ago; what lies ahead by a little is now.
pub(super) fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    match age(at, now).as_secs() {
        0 => "just now".to_owned(),
        seconds @ 1..=9 => format!("{seconds} s ago"),
        seconds => format!("{} ago", duration(Duration::from_secs(seconds))),
    }
}

/// `2 of 12 cells`.
pub(super) fn of(part: usize, whole: usize, what: &str) -> String {
    format!("{part} of {}", many(whole, what))
}

/// `1 cell`, `3 cells`.
pub(super) fn many(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// The families that a glance tells apart: sign and class.
fn family(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Pass => ("✓", "pass"),
        Kind::Warning => ("✓", "warn"),
        Kind::EdgeBlock | Kind::EdgeChallenge | Kind::SoftBlock => ("✕", "blocked"),
        Kind::RateLimited => ("⏱", "limited"),
        Kind::OriginDenied => ("⊘", "denied"),
        Kind::OriginError | Kind::EdgeError => ("!", "fault"),
        Kind::Unexpected => ("?", "fault"),
        Kind::Timeout | Kind::ConnectError | Kind::DnsError | Kind::TlsError => ("…", "silent"),
        Kind::LocalError => ("⌂", "ours"),
    }
}

pub(super) fn class(kind: Kind) -> &'static str {
    family(kind).1
}

pub(super) fn sign(kind: Kind) -> &'static str {
    family(kind).0
}

/// `✕ BLOCKED 1010`.
pub(super) fn verdict(kind: Kind, code: Option<&str>, status: Option<u16>) -> Markup {
    let status = status.map(|status| status.to_string());
    let code = code.filter(|code| !code.is_empty()).or_else(|| {
        // Of an answer that works the status tells nothing.
        status.as_deref().filter(|_| !kind.works())
    });
    html! {
        span.sign aria-hidden="true" { (sign(kind)) } " " (kind.label())
        @if let Some(code) = code { " " (visible(code)) }
    }
}

/// What a cell of the matrix says by itself; `unseen` is for who does not see where it stands.
pub(super) fn cell(cell: &Cell, unseen: &str, now: Timestamp) -> Markup {
    html! {
        (verdict(cell.kind, cell.code.as_deref(), cell.status))
        @if let Some(took) = cell.took { " " span.took { (duration(took)) } }
        span.unseen { ", " (unseen) ", " (ago(cell.at, now)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_seen() {
        assert_eq!(visible("plain `x`\n"), "plain `x`\n");
        assert_eq!(visible("a\u{202e}b\u{1b}[2J\0\u{7f}"), "a⟨U+202E⟩b␛[2J␀␡");
        assert_eq!(
            prose("`<b>` & co `a").into_string(),
            "<code>&lt;b&gt;</code> &amp; co <code>a</code>"
        );
    }

    #[test]
    fn times_have_their_zone() {
        let zone = TimeZone::get("Europe/London").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (when, now, text) in [
            (
                "2021-02-28T01:54:07Z",
                "2021-03-01T00:00:00Z",
                "Sun 28 Feb 01:54:07 GMT",
            ),
            (
                "2021-10-31T00:30:00Z",
                "2021-11-01T00:00:00Z",
                "Sun 31 Oct 01:30:00 BST",
            ),
            (
                "2021-10-31T01:30:00Z",
                "2021-11-01T00:00:00Z",
                "Sun 31 Oct 01:30:00 GMT",
            ),
            (
                "2020-12-31T23:59:59Z",
                "2021-01-01T00:00:00Z",
                "Thu 31 Dec 2020 23:59:59 GMT",
            ),
        ] {
            assert_eq!(moment(at(when), &zone, at(now)), text);
        }
    }

    #[test]
    fn ages_are_told_in_whole_seconds() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (when, text) in [
            ("2021-02-28T01:54:07.900Z", "just now"),
            ("2021-02-28T01:54:09Z", "just now"),
            ("2021-02-28T01:53:37Z", "31 s ago"),
            ("2021-02-28T01:14:07Z", "40 min ago"),
        ] {
            assert_eq!(ago(at(when), at("2021-02-28T01:54:08Z")), text);
        }
    }
}
