//! Who silenced what until when, what that mutes now, who looks after what, and which work is planned.

use axum::extract::State;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::frame::{self, Content, Place};
use super::link_forms;
use super::live::Topic;
use super::parts::{many, spreadsheet, time, visible};
use super::{Page, Pages, Scene, failed, html as answer, scene};
use crate::domain::incident::Incident;
use crate::domain::mute::{Maintenance, Silence};
use crate::report::matrix::duration;
use crate::store::Link;

/// Silences that are over and are shown, newest first.
const OVER_MAX: usize = 200;
/// Occurrences of planned work that are shown.
const NEXT: usize = 3;

pub(super) async fn page(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let now = scene.now;
    let read = pages.read(move |reader| Ok((reader.silences()?, reader.links(now)?)));
    Ok(match read.await {
        Ok((silences, links)) => answer(StatusCode::OK, shown(&scene, &silences, &links)),
        Err(failure) => failed(&scene, &failure),
    })
}

pub(super) async fn table(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let silences = match pages.read(crate::store::Reader::silences).await {
        Ok(silences) => silences,
        Err(failure) => return Ok(failed(&scene, &failure)),
    };
    let rows = silences.iter().map(|silence| {
        let ended = silence.ended.as_ref();
        vec![
            silence.number.to_string(),
            silence.matcher.to_string(),
            silence.from.to_string(),
            end(silence).to_string(),
            silence.by.clone(),
            silence.why.clone().unwrap_or_default(),
            ended.map(|ended| ended.by.clone()).unwrap_or_default(),
        ]
    });
    let header = ["silence", "what", "from", "until", "by", "why", "ended_by"];
    Ok(spreadsheet(&header, rows))
}

/// When it is over, or was.
fn end(silence: &Silence) -> Timestamp {
    let ended = silence.ended.as_ref();
    ended.map_or(silence.until, |ended| ended.at)
}

fn shown(scene: &Scene, silences: &[Silence], good: &[Link]) -> Markup {
    let now = scene.now;
    let (in_force, over): (Vec<_>, Vec<_>) = silences.iter().rev().partition(|it| it.holds(now));
    let cared: Vec<_> = scene
        .look
        .incidents
        .iter()
        .filter(|it| it.acknowledged.is_some())
        .collect();
    let maintenance = &scene.look.plan.maintenance;
    let main = html! {
        h1 { "Quiet" }
        (super::forms::new_silence(scene))
        section {
            h2 { "Silenced now" }
            @if in_force.is_empty() { p { "Nothing is." } }
            @for silence in in_force { (one(scene, silence)) }
        }
        @if !cared.is_empty() {
            section {
                h2 { "Looked after" }
                ul.plain { @for incident in cared { (looked_after(scene, incident)) } }
            }
        }
        section {
            h2 { "Planned work" }
            @if maintenance.is_empty() { p { "The file plans none." } }
            @else { ul.plain { @for it in maintenance { (planned(scene, it)) } } }
        }
        (link_forms::good(scene, good))
        @if !over.is_empty() {
            section {
                h2 { "Over (" (over.len()) ")" }
                div.scroll tabindex="0" role="region" aria-label="Silences that are over" {
                    table {
                        thead { tr {
                            th scope="col" { "Silence" } th scope="col" { "What" } th scope="col" { "From" }
                            th scope="col" { "Until" } th scope="col" { "By" } th scope="col" { "Why" }
                        } }
                        tbody { @for silence in over.iter().take(OVER_MAX) {
                            tr {
                                th scope="row" { (silence.number) }
                                td.text { (visible(&silence.matcher.to_string())) }
                                td { (time(silence.from, scene.zone(), now)) }
                                td {
                                    (time(end(silence), scene.zone(), now))
                                    @if let Some(ended) = &silence.ended { ", ended by " (visible(&ended.by)) }
                                }
                                td { (visible(&silence.by)) }
                                td.text { (visible(silence.why.as_deref().unwrap_or("–"))) }
                            }
                        } }
                    }
                }
            }
        }
        p.acts {
            a href=(scene.to("/quiet.csv")) { "CSV" }
            span.below { "A silence is made and ended with " code { "edgewatch silence" } ", by the buttons in Slack, or here by who signed in." }
        }
    };
    let content = Content {
        title: "Quiet",
        place: Place::Quiet,
        topic: Topic::Incidents,
        main,
    };
    frame::page(scene, &content)
}

fn one(scene: &Scene, silence: &Silence) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    html! {
        article.card.planned {
            p {
                strong { "Silence " (silence.number) ": " (visible(&silence.matcher.to_string())) }
                " · until " (time(silence.until, zone, now))
                " · " (visible(&silence.by)) ", since " (time(silence.from, zone, now))
                @if let Some(why) = &silence.why { ": “" (visible(why)) "”" }
            }
            (super::forms::ending(scene, silence.number))
            (effect(scene, silence))
        }
    }
}

/// What it mutes, and what not.
pub(super) fn effect(scene: &Scene, silence: &Silence) -> Markup {
    let cells = scene
        .look
        .plan
        .every_cell()
        .filter(|(_, cell)| silence.matcher.covers_cell(cell))
        .count();
    let (muted, partly): (Vec<_>, Vec<_>) =
        touched(scene, silence).into_iter().partition(|incident| {
            failing(incident).all(|member| silence.matcher.covers(incident.number, member))
        });
    let links = |incidents: &[&Incident]| {
        html! {
            @for (place, incident) in incidents.iter().enumerate() {
                @if place > 0 { ", " }
                a href=(scene.to(&format!("/incidents/{}", incident.number))) { "INC-" (incident.number) }
            }
        }
    };
    html! {
            p {
                "Mutes now: "
                @if cells > 0 { (many(cells, "cell")) "; " }
                @if muted.is_empty() { "no open incident." }
                @else { (links(&muted)) ", of which nobody is told." }
                @if !partly.is_empty() { " Told all the same, because something else of it fails too: " (links(&partly)) "." }
            }
    }
}

/// Open incidents of which it covers a failing cell.
fn touched<'a>(scene: &'a Scene, silence: &Silence) -> Vec<&'a Incident> {
    let open = scene.look.incidents.iter().map(std::sync::Arc::as_ref);
    open.filter(|incident| {
        failing(incident).any(|member| silence.matcher.covers(incident.number, member))
    })
    .collect()
}

fn failing(incident: &Incident) -> impl Iterator<Item = &crate::domain::incident::IncidentCell> {
    incident.cells.iter().filter(|member| member.failing)
}

fn looked_after(scene: &Scene, incident: &Incident) -> Markup {
    html! {
        @if let Some(by) = &incident.acknowledged {
            li {
                a href=(scene.to(&format!("/incidents/{}", incident.number))) { "INC-" (incident.number) }
                " by " (visible(&by.by)) " since " (time(by.at, scene.zone(), scene.now))
            }
        }
    }
}

fn planned(scene: &Scene, maintenance: &Maintenance) -> Markup {
    let zone = scene.zone();
    let lasting = SignedDuration::try_from(maintenance.lasting).unwrap_or(SignedDuration::ZERO);
    let mut after = scene.now.checked_sub(lasting).unwrap_or(scene.now);
    let mut next: Vec<(Timestamp, Timestamp)> = Vec::new();
    while next.len() < NEXT
        && let Some(begin) = maintenance.begins.next_after(after)
        && let Ok(end) = begin.checked_add(lasting)
    {
        next.push((begin, end));
        after = begin;
    }
    let offset = |at: Timestamp| at.to_zoned(zone.clone()).offset();
    html! {
        li {
            strong { (visible(&maintenance.name)) }
            " (" (maintenance.effect.as_str()) "), "
            @if maintenance.probes.is_empty() { "every probe" }
            @else { @for (place, probe) in maintenance.probes.iter().enumerate() { @if place > 0 { ", " } (probe) } }
            @if next.is_empty() { ": not again" }
            @else {
                ul { @for (begin, end) in next {
                    li {
                        (time(begin, zone, scene.now)) " to " (time(end, zone, scene.now))
                        @if offset(begin) != offset(end) { ": the clocks change that night; it lasts " (duration(maintenance.lasting)) " all the same" }
                    }
                } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::tests::scene_of;
    use crate::domain::mute::{Begins, Effect, Matcher};
    use crate::report::fixture::{at, march};

    #[test]
    fn a_silence_says_what_it_mutes_and_what_it_does_not() {
        let night = march();
        let client = night.incident.cells[0].cell.client.clone();
        let mut other = night.incident.clone();
        other.number = 2;
        other.cells[0].cell.client = "another".into();
        let silence = Silence {
            number: 3,
            matcher: Matcher {
                clients: vec![client],
                ..Matcher::default()
            },
            from: at("02:00:00"),
            until: at("04:00:00"),
            by: "ann".to_owned(),
            why: Some("<b>agreed</b>".to_owned()),
            ended: None,
        };
        let mut plan = night.plan.clone();
        plan.maintenance = vec![Maintenance {
            name: "GMC weekend work".to_owned(),
            begins: Begins::Once("2021-03-27T22:00:00Z".parse().unwrap()),
            lasting: std::time::Duration::from_secs(8 * 3_600),
            probes: Vec::new(),
            effect: Effect::Mute,
        }];
        let scene = scene_of(&plan, &[], vec![night.incident, other]);
        let page = shown(&scene, &[silence], &[]).into_string();
        for part in [
            "until <time datetime=\"2021-02-28T04:00:00Z\">",
            "ann, since",
            "“&lt;b&gt;agreed&lt;/b&gt;”",
            "INC-1</a>, of which nobody is told",
            "Told all the same, because something else of it fails too: <a href=\"/incidents/2\">INC-2</a>",
            "the clocks change that night; it lasts 8 h all the same",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let none = shown(&scene, &[], &[]).into_string();
        assert!(none.contains("Nothing is."), "{none}");
    }
}
