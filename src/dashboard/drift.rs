//! Who stands in front of each host, how that changed, and what changed on our own side.

use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};

use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::{spreadsheet, time, visible};
use super::{Page, Pages, Scene, failed, html as answer, scene};
use crate::domain::fingerprint::{Drift, Fingerprint};
use crate::domain::surroundings::{KnownFront, Memory, Own};

pub(super) async fn page(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    Ok(match pages.read(crate::store::Reader::memory).await {
        Ok(memory) => answer(StatusCode::OK, shown(&scene, &memory)),
        Err(failure) => failed(&scene, &failure),
    })
}

/// Changes of fronts for a spreadsheet.
pub(super) async fn table(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let memory = match pages.read(crate::store::Reader::memory).await {
        Ok(memory) => memory,
        Err(failure) => return Ok(failed(&scene, &failure)),
    };
    let rows = memory.fronts.iter().flat_map(|front| {
        front.drifts.iter().map(|drift| {
            vec![
                moment(drift.at).to_string(),
                front.host.clone(),
                drift.kind.as_str().to_owned(),
                own_lines(&drift.old, &drift.new).join("; "),
                own_lines(&drift.new, &drift.old).join("; "),
            ]
        })
    });
    Ok(spreadsheet(
        &["at", "host", "what", "before", "after"],
        rows,
    ))
}

/// Seconds since 1970 as the store has them.
pub(super) fn moment(seconds: f64) -> Timestamp {
    Timestamp::from_millisecond((seconds * 1_000.0) as i64).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn shown(scene: &Scene, memory: &Memory) -> Markup {
    let mut drifts: Vec<(&KnownFront, &Drift)> = memory
        .fronts
        .iter()
        .flat_map(|front| front.drifts.iter().map(move |drift| (front, drift)))
        .collect();
    drifts.sort_by(|one, other| other.1.at.total_cmp(&one.1.at));
    let main = html! {
        h1 { "Fronts and drift" }
        section {
            h2 { "Changes of fronts" }
            @if drifts.is_empty() { p { "None was seen." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Changes of fronts, newest first" {
                    table {
                        thead { tr {
                            th scope="col" { "When" } th scope="col" { "Host" } th scope="col" { "What" }
                            th scope="col" { "Before" } th scope="col" { "After" }
                        } }
                        tbody { @for (front, drift) in drifts {
                            tr {
                                td { (time(moment(drift.at), scene.zone(), scene.now)) }
                                td { code { (visible(&front.host)) } }
                                td { (drift.kind.as_str().replace('_', " ")) }
                                td.text { (traits(&drift.old, &drift.new)) }
                                td.text { (traits(&drift.new, &drift.old)) }
                            }
                        } }
                    }
                }
                p.acts { a href=(scene.to("/drift.csv")) { "CSV" } }
            }
        }
        section {
            h2 { "Fronts now" }
            @if memory.fronts.is_empty() { p { "Nothing is known of any host yet." } }
            @for front in &memory.fronts {
                h3 { code { (visible(&front.host)) } }
                p.below { "known since " (time(moment(front.began), scene.zone(), scene.now)) }
                @for print in front.prints.iter().filter(|print| print.current) {
                    ul { @for line in print.print.lines() { li { (visible(line)) } } }
                }
            }
        }
        @if let Some(ours) = &memory.ours {
            section {
                h2 { "Our own side" }
                ul.plain { @for (egress, seen) in &ours.addresses {
                    li {
                        "egress " (egress) " is seen as "
                        @for (place, address) in seen.iter().filter(|it| it.current).enumerate() {
                            @if place > 0 { " and " }
                            code { (address.address) } " since " (time(address.first_at, scene.zone(), scene.now))
                        }
                    }
                } }
                @if !ours.changes.is_empty() {
                    h3 { "What changed" }
                    ul.plain { @for change in ours.changes.iter().rev() {
                        li {
                            (time(change.at, scene.zone(), scene.now)) ": "
                            @match &change.what { Own::Client(name) => { "client " (name) } Own::Egress(name) => { "egress " (name) } }
                            " " (visible(&change.text))
                        }
                    } }
                }
            }
        }
    };
    let content = Content {
        title: "Fronts and drift",
        place: Place::Drift,
        topic: Topic::Board,
        main,
    };
    frame::page(scene, &content)
}

/// What one has that the other has not.
fn own_lines(one: &Fingerprint, other: &Fingerprint) -> Vec<String> {
    let (one, other) = (one.to_text(), other.to_text());
    one.lines()
        .filter(|line| !other.lines().any(|it| it == *line))
        .map(ToOwned::to_owned)
        .collect()
}

fn traits(one: &Fingerprint, other: &Fingerprint) -> Markup {
    let own = own_lines(one, other);
    html! {
        @if own.is_empty() { "–" }
        @for (place, line) in own.iter().enumerate() { @if place > 0 { br; } (visible(line)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::tests::scene_of;
    use crate::domain::fingerprint::DriftKind;
    use crate::report::fixture::{at, march};

    #[test]
    fn a_change_shows_what_differs() {
        let print = Fingerprint::from_text;
        let front = KnownFront {
            host: "api.example".to_owned(),
            rules: 1,
            saved_at: at("02:00:00"),
            began: 1_600_000_000.0,
            prints: Vec::new(),
            askers: Vec::new(),
            drifts: vec![Drift {
                at: at("01:54:02").as_second() as f64,
                noticed_at: 0.0,
                kind: DriftKind::EdgeAppeared,
                old: print("server nginx\nissuer A"),
                new: print("server nginx\nissuer A\nmarker cloudflare"),
                told: true,
            }],
            earlier: 0,
        };
        let memory = Memory {
            fronts: vec![front],
            ours: None,
            ways: Vec::new(),
        };
        let scene = scene_of(&march().plan, &[], Vec::new());
        let page = shown(&scene, &memory).into_string();
        assert!(page.contains("edge appeared"), "{page}");
        assert!(
            page.contains("<td class=\"text\">–</td><td class=\"text\">marker cloudflare</td>"),
            "{page}"
        );
    }
}
