//! One incident, in the order in which one needs it at three in the morning: what, since when and how sure, what to do,
//! why, what it is not, the two requests side by side, what happened when.

use std::collections::HashMap;

use jiff::Timestamp;
use maud::{Markup, html};

use super::Scene;
use super::forms::run_cell;
use super::frame::{self, Content, Place};
use super::live::Topic;
use super::now::standing;
use super::parts::{class, compared, many, prose, run_path, time, verdict, visible};
use super::then::Then;
use crate::domain::cell::CellKey;
use crate::domain::incident::{Happening, Specimen};
use crate::report::dossier::Dossier;
use crate::report::matrix::duration;

pub(super) fn page(scene: &Scene, dossier: &Dossier<'_>, then: Option<&Then>) -> Markup {
    let (incident, briefing) = (&dossier.incident, &dossier.briefing);
    let number = incident.number;
    let to = |what: &str| scene.to(&format!("/incidents/{number}/{what}"));
    let main = html! {
        h1 { "INC-" (number) " " (prose(&briefing.headline)) }
        (standing(scene, incident, briefing))
        ul.acts {
            li { a href=(to("letter")) { "Letter to " (visible(dossier.plan.partner_called(&incident.probes))) } }
            li { a href=(to("post-mortem")) { "Post-mortem" } }
            li { a href=(to("evidence.json")) { "Evidence as JSON" } }
        }
        @if briefing.is_open() { (super::forms::about_incident(scene, incident)) }
        (super::link_forms::to_incident(scene, number))
        div.two {
            (what(scene, dossier))
            (next(scene, dossier))
        }
        div.two {
            section {
                h2 { "Why we think so" }
                (sentences(&briefing.because, "Nothing explains it yet."))
                @if !briefing.beside.is_empty() { h3 { "Changes beside it" } (sentences(&briefing.beside, "")) }
            }
            section {
                h2 { "Ruled out" }
                (sentences(&briefing.ruled_out, "Nothing is ruled out yet."))
                (pairs(scene, dossier))
            }
        }
        @if let Some(then) = then { (super::then::section(scene, incident, then)) }
        (side_by_side(scene, incident.failing.as_ref(), incident.passing.as_ref()))
        (asked(scene, dossier))
        (timeline(scene, dossier, then))
        (cells(scene, dossier))
        (earlier(scene, dossier))
    };
    frame::page(
        scene,
        &Content {
            title: &format!("INC-{number} {}", briefing.headline.replace('`', "")),
            place: Place::Incidents,
            topic: Topic::Incidents,
            main,
        },
    )
}

/// The same for one of us who has only this page: what leads elsewhere and who was told are left out.
pub(super) fn seen(scene: &Scene, dossier: &Dossier<'_>) -> Markup {
    let (incident, briefing) = (&dossier.incident, &dossier.briefing);
    html! {
        h1 { "INC-" (incident.number) " " (prose(&briefing.headline)) }
        (standing(scene, incident, briefing))
        (what(scene, dossier))
        section {
            h2 { "What to do" }
            @if let Some(step) = &briefing.next_step { p { (prose(step)) } }
            @else if briefing.is_open() { p { "Nothing can be said yet." } }
            @else { p { "Nothing: it is over." } }
        }
        section { h2 { "Why we think so" } (sentences(&briefing.because, "Nothing explains it yet.")) }
        section { h2 { "Ruled out" } (sentences(&briefing.ruled_out, "Nothing is ruled out yet.")) }
        (side_by_side(scene, incident.failing.as_ref(), incident.passing.as_ref()))
    }
}

fn sentences(sentences: &[String], none: &str) -> Markup {
    html! {
        @if sentences.is_empty() { p { (none) } }
        @else { ul { @for sentence in sentences { li { (prose(sentence)) } } } }
    }
}

fn what(scene: &Scene, dossier: &Dossier<'_>) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    let (incident, briefing) = (&dossier.incident, &dossier.briefing);
    let failing = dossier.lines.iter().filter(|line| line.failing).count();
    let passing = dossier.lines.len() - failing;
    html! {
        section {
            h2 { "Who and what" }
            dl {
                dt { "Whose" } dd { (visible(&briefing.subject)) }
                @if let Some(name) = &dossier.vendor.name {
                    dt { "Answered by" }
                    dd { (visible(name)) @if let Some(meaning) = dossier.vendor.meaning { ": " (meaning) } }
                }
                dt { "Expected" } dd { (visible(&briefing.expected)) }
                dt { "Got" } dd { (visible(&briefing.got)) }
                dt { "Cells" } dd { (failing) " fail or failed, " (passing) " pass; " (many(incident.failed_runs as usize, "failed run")) }
                @if let Some(at) = briefing.last_good_at { dt { "Last good" } dd { (time(at, zone, now)) } }
                @if let Some(at) = briefing.over_at() {
                    dt { @if briefing.is_unwatched() { "Watched until" } @else { "Until" } }
                    dd { (time(at, zone, now)) }
                }
                @if let Some(at) = briefing.resolved_at { dt { "Decided" } dd { (time(at, zone, now)) } }
                @if briefing.reopened > 0 { dt { "Came back" } dd { (many(briefing.reopened as usize, "time")) } }
                @if let Some(reference) = dossier.references.first() {
                    dt { (dossier.vendor.reference) } dd { code { (visible(&reference.id)) } }
                }
            }
        }
    }
}

fn next(scene: &Scene, dossier: &Dossier<'_>) -> Markup {
    let briefing = &dossier.briefing;
    let contact = &briefing.words.contact;
    html! {
        section {
            h2 { "What to do" }
            @if let Some(step) = &briefing.next_step { p { (prose(step)) } }
            @else if briefing.is_open() { p { "Nothing can be said yet." } }
            @else if briefing.is_unwatched() {
                p {
                    "Don't take it for over: it was last seen " (briefing.kind.label()) ". Ask it again as it was, or find out from "
                    (visible(&briefing.service)) " how it stands."
                }
            }
            @else { p { "Nothing: it is over." } }
            @if let Some(setting) = dossier.vendor.setting.filter(|_| briefing.is_open()) {
                p { "Where the owner of the site usually finds it: " (setting) "." }
            }
            @if briefing.is_open() {
                dl {
                    @if let Some(ring) = &contact.ring { dt { "Ring" } dd { (visible(ring)) } }
                    @if let Some(runbook) = &contact.runbook { dt { "Runbook" } dd { (link(runbook)) } }
                    @if let Some(more) = &contact.link { dt { "More" } dd { (link(more)) } }
                }
            }
            (told(scene, dossier))
        }
    }
}

/// A link of the file, where it is one for the web.
fn link(text: &str) -> Markup {
    let is_link = text.starts_with("https://") || text.starts_with("http://");
    html! {
        @if is_link { a href=(text) rel="noreferrer" { (visible(text)) } }
        @else { (visible(text)) }
    }
}

/// Who was told.
fn told(scene: &Scene, dossier: &Dossier<'_>) -> Markup {
    let mut last: Vec<(&str, Markup)> = Vec::new();
    for told in &dossier.told {
        let how = html! {
            (told.reason.as_str())
            @match (&told.at, &told.error) {
                (Some(at), _) => { ", " (time(*at, scene.zone(), scene.now)) }
                (None, Some(error)) => { ": not told, " (visible(error)) }
                (None, None) => ": on its way",
            }
        };
        last.retain(|(receiver, _)| *receiver != told.receiver);
        last.push((&told.receiver, how));
    }
    html! {
        @if !last.is_empty() {
            h3 { "Told last" }
            dl { @for (receiver, how) in last { dt { (visible(receiver)) } dd { (how) } } }
        }
    }
}

/// The runs that rule a factor out.
fn pairs(scene: &Scene, dossier: &Dossier<'_>) -> Markup {
    let at = |cell: &CellKey| {
        let line = dossier.lines.iter().find(|line| line.cell == *cell);
        line.and_then(|line| line.at)
    };
    let ruled_out = &dossier.incident.diagnosis.ruled_out;
    let pairs: Vec<_> = ruled_out
        .iter()
        .filter_map(|out| Some((out, out.failing.as_ref()?, out.passing.as_ref()?)))
        .collect();
    html! {
        @if !pairs.is_empty() {
            details id="pairs" {
                summary { "The runs that show it" }
                div.scroll tabindex="0" role="region" aria-label="The runs that show it" {
                    table {
                        thead { tr { th scope="col" { "Not" } th scope="col" { "Fails" } th scope="col" { "Passes" } th scope="col" { "Side by side" } } }
                        tbody { @for (out, failing, passing) in pairs {
                            tr {
                                th scope="row" { (out.factor.as_str()) }
                                td { (run(scene, failing, at(failing))) }
                                td { (run(scene, passing, at(passing))) }
                                td {
                                    @match (at(failing), at(passing)) {
                                        (Some(bad), Some(good)) => { a href=(scene.to(&compared((failing, bad), (passing, good)))) { "Compare" } }
                                        _ => "–",
                                    }
                                }
                            }
                        } }
                    }
                }
            }
        }
    }
}

/// A cell, leading to its run where that is known.
fn run(scene: &Scene, cell: &CellKey, at: Option<Timestamp>) -> Markup {
    html! {
        @match at {
            Some(at) => { a href=(scene.to(&run_path(cell, at))) { (name(cell)) } }
            None => { (name(cell)) }
        }
    }
}

fn name(cell: &CellKey) -> Markup {
    html! {
        (cell.client) " from " (cell.egress)
        @if !cell.credential.is_anonymous() { " with " (cell.credential) }
        " at " (cell.probe)
    }
}

/// A line of a request or an answer, and what it is the counterpart of.
struct Line {
    key: String,
    text: String,
}

/// What was sent and what came back, line by line.
fn lines(run: &Specimen) -> Vec<Line> {
    let mut lines = vec![Line {
        key: ">".to_owned(),
        text: format!("> {} {}", run.method, run.url),
    }];
    let headers = |mark: &'static str, headers: &[(String, String)], lines: &mut Vec<Line>| {
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (name, value) in headers {
            let lower = name.to_lowercase();
            let place = seen.entry(lower.clone()).or_default();
            *place += 1;
            lines.push(Line {
                key: format!("{mark} {lower} {place}"),
                text: format!("{mark} {name}: {value}"),
            });
        }
    };
    headers(">", &run.request_headers, &mut lines);
    match (&run.failure, run.status) {
        (Some(failure), _) => lines.push(Line {
            key: "<".to_owned(),
            text: format!("< failed: {failure}"),
        }),
        (None, Some(status)) => lines.push(Line {
            key: "<".to_owned(),
            text: format!(
                "< HTTP/{} {status}",
                run.http.as_deref().unwrap_or_default()
            ),
        }),
        (None, None) => {}
    }
    headers("<", &run.response_headers, &mut lines);
    lines
}

fn side_by_side(scene: &Scene, failing: Option<&Specimen>, passing: Option<&Specimen>) -> Markup {
    let sides = [failing, passing].map(|run| run.map(lines).unwrap_or_default());
    let [bad, good] = &sides;
    let differs = |line: &Line, other: &[Line]| -> Option<&'static str> {
        if other.is_empty() {
            return None;
        }
        match other.iter().find(|it| it.key == line.key) {
            Some(same) if same.text == line.text => None,
            Some(_) => Some("differs"),
            None => Some("only here"),
        }
    };
    let sent = |line: &&Line| line.key.starts_with('>');
    let body = |run: Option<&Specimen>| run.and_then(|run| run.request_body.clone());
    let told = bad
        .iter()
        .filter(sent)
        .filter(|line| differs(line, good).is_some())
        .count()
        + good
            .iter()
            .filter(sent)
            .filter(|line| differs(line, bad) == Some("only here"))
            .count();
    let bodies = failing.is_some() && passing.is_some() && body(failing) != body(passing);
    html! {
        @if failing.is_some() || passing.is_some() {
            section {
                h2 {
                    @match (failing, passing) {
                        (Some(_), Some(_)) => { "A failing and a passing request: they differ in " (many(told, "line")) @if bodies { " and in the body" } }
                        (Some(_), None) => "A failing request",
                        _ => "A passing request",
                    }
                }
                div.two {
                    @for (which, run, own, other) in [("failing", failing, bad, good), ("passing", passing, good, bad)] {
                        @if let Some(run) = run { (specimen(scene, which, run, own, &|line| differs(line, other))) }
                    }
                }
            }
        }
    }
}

fn specimen(
    scene: &Scene,
    which: &str,
    run: &Specimen,
    lines: &[Line],
    differs: &dyn Fn(&Line) -> Option<&'static str>,
) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    let verdict_code = run.verdict.code.as_deref();
    html! {
        div {
            p {
                span class=(class(run.verdict.kind)) { (verdict(run.verdict.kind, verdict_code, run.status)) }
                " " (name(&run.cell)) ", " (time(run.at, zone, now))
                " (" (run.at.strftime("%H:%M:%S UTC").to_string()) "), after " (duration(run.took))
            }
            (run_cell(scene, &run.cell, "Ask that now"))
            @if let Some(body) = &run.request_body {
                details id=(format!("body-{which}")) { summary { "The body that was sent" } pre { (visible(body)) } }
            }
            ul.lines {
                @for line in lines {
                    @let word = differs(line);
                    li.differs[word.is_some() && line.key.starts_with('>')] {
                        @if let Some(word) = word { b { (word) } }
                        (visible(&line.text))
                    }
                }
            }
            @if let Some(excerpt) = &run.excerpt { p { "The page says: " bdi { (visible(excerpt)) } } }
            details id=(format!("more-{which}")) {
                summary { "Signs, addresses, times" }
                @if !run.verdict.evidence.is_empty() {
                    ul { @for sign in &run.verdict.evidence { li { (sign.strength.as_str()) ": " (visible(&sign.text)) } } }
                }
                dl {
                    @if let Some(local) = &run.local { dt { "From" } dd { (visible(local)) } }
                    @if let Some(public) = &run.public { dt { "Partner sees" } dd { (visible(public)) } }
                    @if let Some(remote) = &run.remote { dt { "To" } dd { (visible(remote)) } }
                    @if let Some(certificate) = &run.certificate { dt { "Certificate" } dd { (visible(certificate)) } }
                    @for path in &run.paths { dt { "Path of it" } dd { "to " (visible(&path.end(run.at))) } }
                    @for (phase, took) in &run.phases { dt { (visible(phase)) } dd { (duration(*took)) } }
                }
            }
        }
    }
}

/// What was asked beyond the schedule to find out, and why.
fn asked(scene: &Scene, dossier: &Dossier<'_>) -> Markup {
    let asked = dossier.timeline.iter();
    let asked: Vec<_> = asked
        .filter(|entry| entry.what == Happening::ExtraRun)
        .collect();
    html! {
        @if !asked.is_empty() {
            section {
                h2 { "What was asked to find out" }
                div.scroll tabindex="0" role="region" aria-label="What was asked to find out" {
                    table {
                        thead { tr { th scope="col" { "When" } th scope="col" { "Asked, and why" } } }
                        tbody { @for entry in asked {
                            tr { td { (time(entry.at, scene.zone(), scene.now)) } td.text { (prose(&entry.text)) } }
                        } }
                    }
                }
            }
        }
    }
}

/// What happened and who was told, in one order.
fn timeline(scene: &Scene, dossier: &Dossier<'_>, then: Option<&Then>) -> Markup {
    let mark = then.filter(|then| then.chosen).map(Then::at);
    let happened = dossier
        .timeline
        .iter()
        .filter(|entry| entry.what != Happening::ExtraRun);
    let happened = happened.map(|entry| {
        let what = entry.what.as_str().replace('_', " ");
        (entry.at, what, prose(&entry.text))
    });
    let told = dossier.told.iter().filter_map(|told| {
        let text = html! { (visible(&told.receiver)) ": " (told.reason.as_str()) };
        Some((told.at?, "told".to_owned(), text))
    });
    let mut rows: Vec<_> = happened.chain(told).collect();
    rows.sort_by_key(|(at, ..)| *at);
    html! {
        @if !rows.is_empty() {
            section {
                h2 { "Timeline" }
                div.scroll tabindex="0" role="region" aria-label="Timeline" {
                    table {
                        thead { tr { th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "In words" } } }
                        tbody {
                            @for (at, what, text) in rows.iter().filter(|(at, ..)| mark.is_none_or(|mark| *at <= mark)) { (happened_row(scene, *at, what, text)) }
                            @if let Some(mark) = mark {
                                tr { td { strong { (time(mark, scene.zone(), scene.now)) } } td { strong { "shown above" } } td.text { "What follows came later." } }
                                @for (at, what, text) in rows.iter().filter(|(at, ..)| *at > mark) { (happened_row(scene, *at, what, text)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn happened_row(scene: &Scene, at: Timestamp, what: &str, text: &Markup) -> Markup {
    html! { tr { td { (time(at, scene.zone(), scene.now)) } td { (what) } td.text { (text) } } }
}

fn cells(scene: &Scene, dossier: &Dossier<'_>) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    html! {
        @if !dossier.lines.is_empty() {
            section {
                h2 { "Cells" }
                div.scroll tabindex="0" role="region" aria-label="Cells" {
                    table {
                        thead { tr {
                            th scope="col" { "Client" } th scope="col" { "Egress" } th scope="col" { "Credential" }
                            th scope="col" { "Probe" } th scope="col" { "Verdict" } th scope="col" { "Run" }
                        } }
                        tbody { @for line in &dossier.lines {
                            tr {
                                td { a href=(scene.to(&super::parts::cell_path(&line.cell))) { (line.cell.client) } } td { (line.cell.egress) } td { (line.cell.credential) } td { (line.cell.probe) }
                                td class=(class(line.kind)) { (verdict(line.kind, line.code.as_deref(), line.status)) }
                                td { @if let Some(at) = line.at { a href=(scene.to(&run_path(&line.cell, at))) { (time(at, zone, now)) } } @else { "–" } }
                            }
                        } }
                    }
                }
            }
        }
        @if !dossier.references.is_empty() {
            section {
                h2 { "For the partner to look up: " (dossier.vendor.reference) }
                ul { @for reference in &dossier.references {
                    li {
                        code { (visible(&reference.id)) }
                        @if let Some(at) = reference.at { ", " (time(at, zone, now)) }
                        @if let Some(cell) = &reference.cell { ", " (name(cell)) }
                    }
                } }
            }
        }
    }
}

fn earlier(scene: &Scene, dossier: &Dossier<'_>) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    let earlier = &dossier.incident.earlier;
    let before = &dossier.briefing.before;
    html! {
        @if before.is_some() || !earlier.is_empty() {
            section {
                h2 { "Before" }
                @if let Some(before) = before { p { (prose(before)) } }
                ul { @for past in earlier.iter().rev() {
                    li {
                        a href=(scene.to(&format!("/incidents/{}", past.number))) { "INC-" (past.number) }
                        ", " (time(past.onset_at, zone, now)) ", " (duration(past.failing))
                    }
                } }
            }
        }
    }
}
