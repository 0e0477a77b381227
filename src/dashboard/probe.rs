//! One probe: its matrix now, how each cell changed, how much passed and how long it took within a day or a year.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use http::{StatusCode, Uri};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::chart::{self, counts};
use super::forms;
use super::frame::{self, Content, Place};
use super::live::Topic;
use super::now;
use super::parts::{class, file, many, probe_path, time, verdict, visible};
use super::{Failure, Page, Pages, Scene, failed, html as answer, scene};
use crate::domain::cell::{CellKey, ProbeName};
use crate::domain::change::VerdictChange;
use crate::domain::incident::Incident;
use crate::domain::verdict::Kind;
use crate::report::csv;
use crate::report::history::{self, Bucket, Step, midnight};
use crate::words::briefing::headline;

/// Cells of which changes are drawn.
const CELLS_MAX: usize = 60;
/// Stretches of one picture; a longer range has longer stretches.
const BUCKETS_MAX: i64 = 400;

/// A time that is asked about: a name of it, or two days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    /// Of [`RANGES`]; `None`: from and to.
    name: Option<&'static str>,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) step: Step,
}

/// Name, words, hours.
const RANGES: [(&str, &str, i64); 5] = [
    ("24h", "24 hours", 24),
    ("7d", "7 days", 7 * 24),
    ("30d", "30 days", 30 * 24),
    ("90d", "90 days", 90 * 24),
    ("1y", "1 year", 365 * 24),
];

impl Range {
    /// What a query asks for; what can't be read is the last seven days.
    pub(super) fn of(uri: &Uri, zone: &TimeZone, now: Timestamp) -> Self {
        let query = uri.query().unwrap_or_default();
        let asked: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes())
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        let day = |key: &str| asked.get(key)?.parse::<Date>().ok();
        let until = |date: Date| Some(midnight(zone, date.tomorrow().ok()?).min(now));
        if let Some(from) = day("from").map(|date| midnight(zone, date))
            && let Some(until) = day("to").map_or(Some(now), until)
            && from < until
        {
            return Self::new(None, from, until);
        }
        let wanted = asked.get("range").map_or("7d", String::as_str);
        let known = RANGES.iter().find(|(name, ..)| *name == wanted);
        let (name, _, hours) = known.unwrap_or(&RANGES[1]);
        let from = now.checked_sub(SignedDuration::from_hours(*hours));
        Self::new(Some(name), from.unwrap_or(Timestamp::MIN), now)
    }

    fn new(name: Option<&'static str>, from: Timestamp, until: Timestamp) -> Self {
        let hours = until.duration_since(from).as_hours();
        let step = match hours {
            0..=BUCKETS_MAX => Step::Hour,
            hours if hours <= BUCKETS_MAX * 24 => Step::Day,
            _ => Step::Month,
        };
        Self {
            name,
            from,
            until,
            step,
        }
    }

    /// The same as a query.
    fn query(&self, zone: &TimeZone) -> String {
        let date = |at: Timestamp| at.to_zoned(zone.clone()).date();
        match self.name {
            Some(name) => format!("range={name}"),
            None => format!("from={}&to={}", date(self.from), date(self.until)),
        }
    }

    /// Links to all of them, and a form for two days.
    pub(super) fn choice(&self, own: &str, zone: &TimeZone) -> Markup {
        let date = |at: Timestamp| at.to_zoned(zone.clone()).date().to_string();
        html! {
            nav aria-label="Range" { ul.acts {
                @for (name, words, _) in RANGES {
                    @let here = (self.name == Some(name)).then_some("true");
                    li { a href=(format!("{own}?range={name}")) aria-current=[here] { (words) } }
                }
                li {
                    form.acts action=(own) {
                        label { "From " input type="date" name="from" value=(date(self.from)) required; }
                        label { "to " input type="date" name="to" value=(date(self.until)); }
                        button { "Show" }
                    }
                }
            } }
        }
    }
}

struct Facts {
    buckets: Vec<Bucket>,
    changes: BTreeMap<CellKey, Vec<VerdictChange>>,
    incidents: Vec<Incident>,
    kept_since: Option<Timestamp>,
}

async fn facts(
    pages: &Pages,
    scene: &Scene,
    name: &ProbeName,
    range: &Range,
) -> Result<Facts, Failure> {
    let (name, range, zone) = (name.clone(), range.clone(), scene.zone().clone());
    let known = scene.look.plan.probe(&name).is_some();
    let facts = pages.read(move |reader| {
        let hours = reader.probe_hours(&name, range.from, range.until)?;
        let mut incidents = reader.between(range.from, range.until)?;
        incidents.retain(|incident| incident.probes.contains(&name));
        Ok((
            known || reader.probes()?.contains(&name),
            Facts {
                buckets: history::buckets(&hours, range.step, &zone, range.from, range.until),
                changes: reader.changes(&name, range.from, range.until)?,
                incidents,
                kept_since: reader.counted_since(&name)?,
            },
        ))
    });
    let (known, facts) = facts.await?;
    let missing =
        || Failure::Missing("The file has no such probe, and no run of one is kept.".to_owned());
    known.then_some(facts).ok_or_else(missing)
}

pub(super) async fn page(State(pages): State<Pages>, Path(name): Path<String>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let name: ProbeName = name.as_str().into();
    let range = Range::of(&uri, scene.zone(), scene.now);
    Ok(match facts(&pages, &scene, &name, &range).await {
        Ok(facts) => answer(StatusCode::OK, shown(&scene, &name, &range, &facts)),
        Err(failure) => failed(&scene, &failure),
    })
}

pub(super) async fn table(State(pages): State<Pages>, Path(name): Path<String>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let name: ProbeName = name.as_str().into();
    let range = Range::of(&uri, scene.zone(), scene.now);
    let facts = match facts(&pages, &scene, &name, &range).await {
        Ok(facts) => facts,
        Err(failure) => return Ok(failed(&scene, &failure)),
    };
    let table = history::csv(&[(name.to_string(), facts.buckets)]);
    Ok(file(
        "text/csv; charset=utf-8",
        format!("{}{table}", csv::MARK),
    ))
}

fn shown(scene: &Scene, name: &ProbeName, range: &Range, facts: &Facts) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    let probe = scene.look.plan.probe(name);
    let own = scene.to(&probe_path(name));
    let all = chart::sum(&facts.buckets);
    let stretch = match range.step {
        Step::Hour => "hour (UTC)",
        Step::Day => "day",
        Step::Month => "month",
    };
    let main = html! {
        h1 { (name) }
        @match probe {
            Some(probe) => {
                p.below {
                    (probe.method) " " code { (visible(probe.url.as_str())) }
                    @if let Some(what) = &probe.words.what { " · " (visible(what)) }
                }
                @if forms::may(scene) { (forms::run_now(scene, probe)) }
                (now::board(scene, probe))
            }
            None => p { "It is no longer in the file; what is kept of it stands below." },
        }
        section {
            h2 { "History" }
            (range.choice(&own, zone))
            @if range.from < range.until {
                p {
                    "From " (time(range.from, zone, now)) " to " (time(range.until, zone, now)) ": " strong { (counts(&all)) }
                    @if let Some(since) = facts.kept_since.filter(|since| *since > range.from) {
                        ". Runs are counted from " (time(since, zone, now)) " on"
                    }
                }
            }
            (chart::patterns())
            @if all.runs > 0 {
                h3 { "What became of the runs of each " (stretch) }
                figure { (chart::shares(name.as_str(), &facts.buckets)) (ends(facts, zone, now)) (chart::legend(false)) }
                @if all.passed > 0 {
                    h3 { "How long those took that passed, on average by phase" }
                    figure { (chart::times(name.as_str(), &facts.buckets)) (ends(facts, zone, now)) (chart::legend(true)) }
                }
                details id="table" {
                    summary { "As a table" }
                    (chart::table(&facts.buckets, range.step, zone, now))
                }
                p { a href=(format!("{own}/history.csv?{}", range.query(zone))) { "CSV" } }
            }
        }
        (changes(scene, name, range, facts))
        (incidents(scene, &facts.incidents))
    };
    let content = Content {
        title: name.as_str(),
        place: Place::Now,
        topic: Topic::Board,
        main,
    };
    frame::page(scene, &content)
}

/// Where a picture begins and ends.
fn ends(facts: &Facts, zone: &TimeZone, now: Timestamp) -> Markup {
    let (first, last) = (facts.buckets.first(), facts.buckets.last());
    html! {
        p.axis {
            @if let (Some(first), Some(last)) = (first, last) {
                span { (time(first.from, zone, now)) } span { (time(last.until, zone, now)) }
            }
        }
    }
}

/// How each cell changed: a strip for each that did, and the changes in words behind it.
fn changes(scene: &Scene, name: &ProbeName, range: &Range, facts: &Facts) -> Markup {
    let within = |changes: &[VerdictChange]| changes.iter().any(|change| change.at >= range.from);
    let fails = |cell: &CellKey| scene.look.cell(cell).is_some_and(|run| !run.kind.works());
    let (moved, still): (Vec<_>, Vec<_>) = facts
        .changes
        .iter()
        .partition(|(cell, changes)| within(changes) || fails(cell));
    html! {
        section {
            h2 { "Changes" }
            @if moved.is_empty() { p { "No cell of " (name) " changed within this time." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="How each cell changed" {
                    table.strips {
                        thead { tr { th scope="col" { "Cell" } th scope="col" { "From begin to end of the range" } th scope="col" { "Last change" } } }
                        tbody { @for (cell, changes) in moved.iter().take(CELLS_MAX) { (strip(scene, range, cell, changes)) } }
                    }
                }
                @if moved.len() > CELLS_MAX { p { "and " (many(moved.len() - CELLS_MAX, "more cell")) } }
                @if !still.is_empty() { p.below { (many(still.len(), "other cell")) " did not change." } }
            }
        }
    }
}

fn strip(scene: &Scene, range: &Range, cell: &CellKey, changes: &[VerdictChange]) -> Markup {
    let mut bars: Vec<(u64, Option<Kind>)> = vec![(0, None)];
    for change in changes {
        if change.at <= range.from {
            bars[0].1 = Some(change.to);
        } else if change.at < range.until {
            bars.push((
                chart::place(change.at, range.from, range.until),
                Some(change.to),
            ));
        }
    }
    let count = changes
        .iter()
        .filter(|change| change.at > range.from)
        .count();
    let said = format!("{cell}: {} within this time", many(count, "change"));
    html! {
        tr {
            th scope="row" {
                a href=(scene.to(&super::parts::cell_path(cell))) {
                    (cell.client) " from " (cell.egress)
                    @if !cell.credential.is_anonymous() { " with " (cell.credential) }
                }
            }
            td { (chart::strip(&said, &bars)) }
            td {
                @match changes.last() {
                    Some(last) => {
                        span class=(class(last.to)) { (verdict(last.to, None, None)) }
                        " since " (time(last.at, scene.zone(), scene.now))
                    }
                    None => "–",
                }
            }
        }
    }
}

fn incidents(scene: &Scene, incidents: &[Incident]) -> Markup {
    html! {
        @if !incidents.is_empty() {
            section {
                h2 { "Incidents within this time" }
                ul.plain { @for incident in incidents {
                    li {
                        a href=(scene.to(&format!("/incidents/{}", incident.number))) { "INC-" (incident.number) }
                        " " (time(incident.onset_at, scene.zone(), scene.now)) ": "
                        (super::parts::prose(&headline(&scene.look.plan, incident)))
                    }
                } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_what_the_address_says() {
        let zone = TimeZone::get("Europe/London").unwrap();
        let now: Timestamp = "2021-10-31T12:00:00Z".parse().unwrap();
        for (query, from, until, step) in [
            (
                "",
                "2021-10-24T12:00:00Z",
                "2021-10-31T12:00:00Z",
                Step::Hour,
            ),
            (
                "range=24h",
                "2021-10-30T12:00:00Z",
                "2021-10-31T12:00:00Z",
                Step::Hour,
            ),
            (
                "range=1y",
                "2020-10-31T12:00:00Z",
                "2021-10-31T12:00:00Z",
                Step::Day,
            ),
            (
                "range=junk",
                "2021-10-24T12:00:00Z",
                "2021-10-31T12:00:00Z",
                Step::Hour,
            ),
            (
                "from=2021-10-30&to=2021-10-30",
                "2021-10-29T23:00:00Z",
                "2021-10-30T23:00:00Z",
                Step::Hour,
            ),
            (
                "from=2021-10-30&to=2031-01-01",
                "2021-10-29T23:00:00Z",
                "2021-10-31T12:00:00Z",
                Step::Hour,
            ),
            (
                "from=2021-10-30&to=2021-10-29",
                "2021-10-24T12:00:00Z",
                "2021-10-31T12:00:00Z",
                Step::Hour,
            ),
            (
                "from=0001-01-01",
                "0001-01-01T00:01:15Z",
                "2021-10-31T12:00:00Z",
                Step::Month,
            ),
        ] {
            let uri: Uri = format!("/probes/x?{query}").parse().unwrap();
            let found = Range::of(&uri, &zone, now);
            let found = (found.from.to_string(), found.until.to_string(), found.step);
            assert_eq!(found, (from.to_owned(), until.to_owned(), step), "{query}");
        }
    }
}
