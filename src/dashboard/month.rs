//! A month, for whoever asks how often we were refused in it: runs by probe, and how long what was wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use maud::{Markup, html};

use super::chart::counts;
use super::frame::{self, Content, Place};
use super::live::Topic;
use super::now::{brief, tag};
use super::parts::{prose, spreadsheet, time, visible};
use super::{Failure, Page, Pages, Scene, failed, html as answer, scene};
use crate::domain::cell::ProbeName;
use crate::domain::diagnosis::Cause;
use crate::domain::incident::Incident;
use crate::domain::mute::{Effect, Maintenance, Silence};
use crate::domain::plan::Plan;
use crate::domain::tally::Tally;
use crate::report::history::{FAMILIES, by_family, family, midnight, share};
use crate::report::matrix::duration;
use crate::words::terms;

/// Occurrences of one maintenance within a month; more than one a quarter of an hour is none.
const WINDOWS_MAX: usize = 3_000;

/// A span of time; the end is not in it.
type Span = (Timestamp, Timestamp);

/// What was wrong with one probe for one reason, in one month.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    probe: ProbeName,
    /// Who or what it hung on ("client `x`").
    what: String,
    /// A family of verdicts.
    how: &'static str,
    lasted: Duration,
    /// How much of that nobody was told, by somebody's wish.
    muted: Duration,
    incidents: Vec<u64>,
}

/// Runs of one probe.
struct Runs {
    probe: ProbeName,
    all: Tally,
    /// Those outside planned work.
    unplanned: Tally,
}

struct Facts {
    runs: Vec<Runs>,
    incidents: Vec<Incident>,
    silences: Vec<Silence>,
}

/// What was wrong within a span, by probe, reason and family.
fn wrong(
    plan: &Plan,
    incidents: &[Incident],
    silences: &[Silence],
    span: Span,
    now: Timestamp,
) -> Vec<Wrong> {
    let mut found: BTreeMap<(ProbeName, &'static str, String), Wrong> = BTreeMap::new();
    for incident in incidents {
        let end = incident.over_at().unwrap_or(now);
        let Some(within) = both((incident.onset_at, end), span) else {
            continue;
        };
        let whole = within == (incident.onset_at, end);
        // What came back was well in between; of a part it is not known when.
        let lasted = if whole {
            incident.failing_for(now)
        } else {
            length(within)
        };
        let how = if incident.is_ours() {
            "ours"
        } else {
            family(incident.kind)
        };
        let muted = union(quiet(plan, incident, silences, within)).min(lasted);
        let what = hangs_on(&incident.diagnosis.cause);
        for probe in &incident.probes {
            let entry = found.entry((probe.clone(), how, what.clone()));
            let line = entry.or_insert_with(|| Wrong {
                probe: probe.clone(),
                what: what.clone(),
                how,
                lasted: Duration::ZERO,
                muted: Duration::ZERO,
                incidents: Vec::new(),
            });
            line.lasted += lasted;
            line.muted += muted;
            line.incidents.push(incident.number);
        }
    }
    found.into_values().collect()
}

/// Where in a span nobody is told of an incident: all that failed of it is covered.
fn quiet(plan: &Plan, incident: &Incident, silences: &[Silence], span: Span) -> Vec<Span> {
    let mut spans = Vec::new();
    for silence in silences {
        let covers = |member| silence.matcher.covers(incident.number, member);
        if incident.cells.iter().all(covers) {
            let until = silence
                .ended
                .as_ref()
                .map_or(silence.until, |ended| ended.at);
            spans.extend(both((silence.from, until), span));
        }
    }
    for maintenance in plan
        .maintenance
        .iter()
        .filter(|it| it.effect == Effect::Mute)
    {
        if incident
            .probes
            .iter()
            .all(|probe| is_of(maintenance, probe))
        {
            spans.extend(windows(maintenance, span));
        }
    }
    spans
}

fn is_of(maintenance: &Maintenance, probe: &ProbeName) -> bool {
    maintenance.probes.is_empty() || maintenance.probes.contains(probe)
}

/// The parts of a span that fall into a maintenance, by the file as it is now.
fn windows(maintenance: &Maintenance, span: Span) -> Vec<Span> {
    let lasting = SignedDuration::try_from(maintenance.lasting).unwrap_or(SignedDuration::MAX);
    let end = |begin: Timestamp| begin.checked_add(lasting).unwrap_or(Timestamp::MAX);
    let mut after = span.0.checked_sub(lasting).unwrap_or(Timestamp::MIN);
    let mut spans = Vec::new();
    for _ in 0..WINDOWS_MAX {
        match maintenance.begins.next_after(after) {
            Some(begin) if begin < span.1 => {
                spans.extend(both((begin, end(begin)), span));
                after = begin;
            }
            _ => break,
        }
    }
    spans
}

/// What lies in both.
fn both(one: Span, other: Span) -> Option<Span> {
    let span = (one.0.max(other.0), one.1.min(other.1));
    (span.0 < span.1).then_some(span)
}

fn length(span: Span) -> Duration {
    Duration::try_from(span.1.duration_since(span.0)).unwrap_or_default()
}

/// How long any of them holds.
fn union(mut spans: Vec<Span>) -> Duration {
    spans.sort_unstable();
    let mut sum = Duration::ZERO;
    let mut until = Timestamp::MIN;
    for (from, to) in spans {
        let from = from.max(until);
        if from < to {
            sum += length((from, to));
            until = to;
        }
    }
    sum
}

/// Who or what it hung on, in short.
fn hangs_on(cause: &Cause) -> String {
    match cause {
        Cause::Level(level) => terms::level(level),
        Cause::Together(levels) => {
            let levels: Vec<String> = levels.iter().map(terms::level).collect();
            format!("{} together", terms::list(&levels, "and"))
        }
        Cause::AnyOf(causes) => {
            let causes: Vec<String> = causes.iter().map(hangs_on).collect();
            terms::list(&causes, "and")
        }
        Cause::Everything => "every cell".to_owned(),
        Cause::Pop(name) => format!("answers of `{name}`"),
        Cause::OwnRate { .. } => "how often we ask".to_owned(),
        Cause::OurNetwork { egresses } if egresses.is_empty() => "our network".to_owned(),
        Cause::OurNetwork { egresses } => {
            let egresses: Vec<String> = egresses.iter().map(|name| format!("`{name}`")).collect();
            format!("our network at {}", terms::list(&egresses, "and"))
        }
        Cause::OurClients { clients } => {
            let clients: Vec<String> = clients.iter().map(|name| format!("`{name}`")).collect();
            format!("our own client {}", terms::list(&clients, "and"))
        }
        Cause::Unknown { .. } => "not known".to_owned(),
    }
}

pub(super) async fn page(State(pages): State<Pages>, Path(asked): Path<String>) -> Page {
    let scene = scene(&pages).await?;
    let (name, is_csv) = match asked.strip_suffix(".csv") {
        Some(name) => (name, true),
        None => (asked.as_str(), false),
    };
    let first = format!("{name}-01").parse::<Date>().ok();
    let Some(first) = first.filter(|first| first.strftime("%Y-%m").to_string() == name) else {
        let why = "A month is written like 2026-10.".to_owned();
        return Ok(failed(&scene, &Failure::Missing(why)));
    };
    let zone = scene.zone().clone();
    let next = first.checked_add(1.month()).unwrap_or(first);
    let span = (midnight(&zone, first), midnight(&zone, next).min(scene.now));
    let plan = std::sync::Arc::clone(&scene.look.plan);
    let read = pages.read(move |reader| {
        let mut runs = Vec::new();
        for probe in reader.probes()? {
            let hours = reader.probe_hours(&probe, span.0, span.1)?;
            runs.push(count(&plan, probe, &hours, span));
        }
        runs.retain(|runs| runs.all.runs > 0);
        Ok(Facts {
            runs,
            incidents: reader.between(span.0, span.1)?,
            silences: reader.silences()?,
        })
    });
    let facts = match read.await {
        Ok(facts) => facts,
        Err(failure) => return Ok(failed(&scene, &failure)),
    };
    let plan = &scene.look.plan;
    let wrong = wrong(plan, &facts.incidents, &facts.silences, span, scene.now);
    if is_csv {
        return Ok(download(&facts, &wrong));
    }
    Ok(answer(
        StatusCode::OK,
        shown(&scene, first, span, &facts, &wrong),
    ))
}

fn count(plan: &Plan, probe: ProbeName, hours: &BTreeMap<i64, Tally>, span: Span) -> Runs {
    let planned: Vec<Span> = plan
        .maintenance
        .iter()
        .filter(|it| is_of(it, &probe))
        .flat_map(|it| windows(it, span))
        .collect();
    let (mut all, mut unplanned) = (Tally::default(), Tally::default());
    for (hour, tally) in hours {
        let at = |hour: i64| Timestamp::from_second(hour * 3_600).unwrap_or(Timestamp::MAX);
        let of_hour = (at(*hour), at(*hour + 1));
        if both(of_hour, span).is_none() {
            continue;
        }
        all.add(tally);
        if !planned
            .iter()
            .any(|window| both(*window, of_hour).is_some())
        {
            unplanned.add(tally);
        }
    }
    Runs {
        probe,
        all,
        unplanned,
    }
}

fn download(facts: &Facts, wrong: &[Wrong]) -> Response {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for runs in &facts.runs {
        let mut row = vec![runs.probe.to_string(), "runs".to_owned(), String::new()];
        row.extend([runs.all.runs, runs.all.passed].map(|count| count.to_string()));
        row.extend(by_family(&runs.all).map(|count| count.to_string()));
        row.extend([String::new(), String::new(), String::new()]);
        rows.push(row);
    }
    for line in wrong {
        let mut row = vec![
            line.probe.to_string(),
            line.how.to_owned(),
            line.what.clone(),
        ];
        row.extend(std::iter::repeat_n(String::new(), 2 + FAMILIES.len()));
        row.extend([line.lasted, line.muted].map(|took| took.as_secs().to_string()));
        row.push(numbers(&line.incidents));
        rows.push(row);
    }
    let header = [
        "probe",
        "line",
        "what",
        "runs",
        "passed",
        "blocked",
        "limited",
        "denied",
        "failing",
        "ours",
        "lasted_s",
        "muted_s",
        "incidents",
    ];
    spreadsheet(&header, rows)
}

fn numbers(incidents: &[u64]) -> String {
    let mut text = String::new();
    for number in incidents {
        let gap = if text.is_empty() { "" } else { " " };
        // Writing to a string can't fail.
        let _ = write!(text, "{gap}INC-{number}");
    }
    text
}

/// Where the page of the month that holds a time is.
pub(super) fn path(at: Timestamp, zone: &TimeZone) -> String {
    let month = at.to_zoned(zone.clone()).strftime("%Y-%m").to_string();
    format!("/months/{month}")
}

fn shown(scene: &Scene, first: Date, span: Span, facts: &Facts, wrong: &[Wrong]) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    let title = first.strftime("%B %Y").to_string();
    let before = first.checked_sub(1.month()).unwrap_or(first);
    let to = |at: Timestamp| scene.to(&path(at, zone));
    let main = html! {
        h1 { (title) }
        p.below {
            "Runs that began from " (time(span.0, zone, now)) " to " (time(span.1, zone, now))
            @if span.1 == now { ", which is now" }
        }
        ul.acts {
            li { a rel="prev" href=(to(midnight(zone, before))) { (before.strftime("%B %Y").to_string()) } }
            @if span.1 < now { li { a rel="next" href=(to(span.1)) { "The month after" } } }
            li { a href=(scene.to(&format!("{}.csv", path(span.0, zone)))) { "CSV" } }
        }
        section {
            h2 { "Runs" }
            @if facts.runs.is_empty() { p { "No run is kept of this month." } }
            @else { (runs_table(scene, &facts.runs)) }
        }
        section {
            h2 { "How long something was wrong" }
            @if wrong.is_empty() { p { "Nothing was, as far as edgewatch saw." } }
            @else { (wrong_table(scene, wrong)) }
        }
        (incidents(scene, &facts.incidents))
        (silences(scene, &facts.silences, span))
    };
    let content = Content {
        title: &title,
        place: Place::History,
        topic: Topic::Incidents,
        main,
    };
    frame::page(scene, &content)
}

fn runs_table(scene: &Scene, runs: &[Runs]) -> Markup {
    let planned = runs.iter().any(|runs| runs.unplanned != runs.all);
    html! {
        div.scroll tabindex="0" role="region" aria-label="Runs by probe" {
            table {
                thead { tr {
                    th scope="col" { "Probe" } th scope="col" { "Passed" }
                    @if planned { th scope="col" { "Outside planned work" } }
                    @for (family, _) in FAMILIES { th scope="col" { (family) } }
                } }
                tbody { @for runs in runs {
                    tr {
                        th scope="row" { a href=(scene.to(&super::parts::probe_path(&runs.probe))) { (runs.probe) } }
                        td { (counts(&runs.all)) }
                        @if planned { td { (counts(&runs.unplanned)) } }
                        @for count in by_family(&runs.all) {
                            td {
                                (count)
                                @if count > 0 && share(&runs.all).is_some() { " (" (part(count, runs.all.runs)) ")" }
                            }
                        }
                    }
                } }
            }
        }
        @if planned { p.below { "Hours that planned work touches, by the file as it is now, count in “Passed” and not in the column beside it." } }
    }
}

/// `0.29 %`, and never nothing where there is something.
fn part(count: u64, of: u64) -> String {
    let hundredths = count * 10_000 / of.max(1);
    if hundredths == 0 {
        return "under 0.01 %".to_owned();
    }
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

fn wrong_table(scene: &Scene, wrong: &[Wrong]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="How long something was wrong" {
            table {
                thead { tr {
                    th scope="col" { "Probe" } th scope="col" { "Who or what" } th scope="col" { "How" }
                    th scope="col" { "Together" } th scope="col" { "Of that muted" } th scope="col" { "Incidents" }
                } }
                tbody { @for line in wrong {
                    tr {
                        th scope="row" { (line.probe) }
                        td.text { (prose(&line.what)) }
                        td { (line.how) }
                        td { (duration(line.lasted)) }
                        td { @if line.muted.is_zero() { "–" } @else { (duration(line.muted)) } }
                        td { @for number in &line.incidents { a href=(scene.to(&format!("/incidents/{number}"))) { "INC-" (number) } " " } }
                    }
                } }
            }
        }
    }
}

fn incidents(scene: &Scene, incidents: &[Incident]) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    html! {
        @if !incidents.is_empty() {
            section {
                h2 { "Incidents" }
                ul.plain { @for incident in incidents {
                    @let briefing = brief(scene, incident);
                    li {
                        a href=(scene.to(&format!("/incidents/{}", incident.number))) { "INC-" (incident.number) } " "
                        (tag(briefing.state)) " " (time(briefing.onset_at, zone, now)) ", " (duration(briefing.failing_for(now)))
                        ": " (prose(&briefing.headline))
                    }
                } }
            }
        }
    }
}

fn silences(scene: &Scene, silences: &[Silence], span: Span) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    let until = |silence: &Silence| {
        silence
            .ended
            .as_ref()
            .map_or(silence.until, |ended| ended.at)
    };
    let within = silences.iter();
    let within: Vec<_> = within
        .filter(|silence| both((silence.from, until(silence)), span).is_some())
        .collect();
    html! {
        @if !within.is_empty() {
            section {
                h2 { "Silences" }
                ul.plain { @for silence in within {
                    li {
                        "silence " (silence.number) ": " (visible(&silence.matcher.to_string()))
                        " · from " (time(silence.from, zone, now)) " until " (time(until(silence), zone, now))
                        " · by " (visible(&silence.by))
                        @if let Some(why) = &silence.why { ": “" (visible(why)) "”" }
                        @if let Some(ended) = &silence.ended { " · ended by " (visible(&ended.by)) }
                    }
                } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::incident::State as Standing;
    use crate::domain::mute::{Begins, Matcher};
    use crate::report::fixture::{at, march};

    #[test]
    fn what_was_wrong_is_counted_within_the_month_and_what_was_muted_once() {
        let night = march();
        let mut incident = night.incident.clone();
        incident.onset_at = at("01:00:00");
        incident.spells = crate::domain::spells::Spells::default();
        incident.state = Standing::Resolved;
        incident.resolved_at = Some(at("03:00:00"));
        let mute = |from: &str, until: &str, client: &str| Silence {
            number: 1,
            matcher: Matcher {
                clients: vec![client.into()],
                ..Matcher::default()
            },
            from: at(from),
            until: at(until),
            by: "ann".to_owned(),
            why: None,
            ended: None,
        };
        let client = incident.cells[0].cell.client.to_string();
        let silences = [
            mute("01:30:00", "02:00:00", &client),
            mute("01:45:00", "02:15:00", &client),
            mute("01:00:00", "03:00:00", "another"),
        ];
        let check = |from: &str, until: &str, lasted: u64, muted: u64| {
            let span = (at(from), at(until));
            let found = wrong(
                &night.plan,
                std::slice::from_ref(&incident),
                &silences,
                span,
                at("04:00:00"),
            );
            let found: Vec<_> = found
                .iter()
                .map(|it| {
                    (
                        it.how,
                        it.lasted.as_secs() / 60,
                        it.muted.as_secs() / 60,
                        it.incidents.clone(),
                    )
                })
                .collect();
            assert_eq!(
                found,
                [("blocked", lasted, muted, vec![1])],
                "{from} to {until}"
            );
        };
        check("00:00:00", "04:00:00", 120, 45);
        check("00:00:00", "01:40:00", 40, 10);
        check("02:10:00", "04:00:00", 50, 5);
        let none = wrong(
            &night.plan,
            &[incident],
            &silences,
            (at("03:00:00"), at("04:00:00")),
            at("04:00:00"),
        );
        assert_eq!(none, []);
    }

    #[test]
    fn hours_of_planned_work_count_apart() {
        let mut plan = march().plan;
        plan.maintenance = vec![Maintenance {
            name: "weekend".to_owned(),
            begins: Begins::Once(at("02:30:00")),
            lasting: Duration::from_secs(3_600),
            probes: vec!["gmc-connect".into()],
            effect: Effect::Annotate,
        }];
        let span = (at("00:00:00"), at("06:00:00"));
        let mut one = Tally::default();
        one.count(
            crate::domain::verdict::Kind::Pass,
            Duration::ZERO,
            &crate::domain::observation::Phases::default(),
        );
        let first = span.0.as_second() / 3_600;
        let hours = (0..6).map(|n| (first + n, one.clone())).collect();
        let runs = |probe: &str| {
            let runs = count(&plan, probe.into(), &hours, span);
            (runs.all.runs, runs.unplanned.runs)
        };
        assert_eq!(runs("gmc-connect"), (6, 4));
        assert_eq!(runs("another"), (6, 6));
        assert_eq!(part(1, 100_000), "under 0.01 %");
        assert_eq!(part(29, 10_000), "0.29 %");
    }
}
