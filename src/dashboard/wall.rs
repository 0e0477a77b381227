//! A screen on the wall: what is wrong, in letters that are read from three metres, and nothing to click.

use axum::extract::State;
use http::StatusCode;
use maud::{Markup, html};

use super::frame::{self, Content, Place};
use super::live::Topic;
use super::now::{Standing, brief, keys, standing_of};
use super::parts::{moment, prose, visible};
use super::{Page, Pages, Scene, html as answer, scene};
use crate::domain::probe::Probe;
use crate::report::matrix::duration;

/// What fits on a screen of 1080 lines; the rest is counted.
const INCIDENTS_MAX: usize = 4;
const PROBES_MAX: usize = 24;

pub(super) async fn page(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    Ok(answer(StatusCode::OK, shown(&scene)))
}

fn shown(scene: &Scene) -> Markup {
    frame::bare(scene, &content(scene))
}

pub(super) fn content(scene: &Scene) -> Content<'static> {
    let (zone, now) = (scene.zone(), scene.now);
    let incidents = &scene.look.incidents;
    let (controls, probes): (Vec<&Probe>, Vec<&Probe>) = scene
        .look
        .plan
        .probes
        .iter()
        .partition(|probe| probe.control);
    let mut stands: Vec<(&Probe, Standing)> = probes
        .into_iter()
        .map(|probe| (probe, standing_of(scene, probe)))
        .collect();
    stands.sort_by_key(|(_, standing)| matches!(standing, Standing::Works));
    let well = controls
        .iter()
        .filter(|probe| matches!(standing_of(scene, probe), Standing::Works))
        .count();
    let troubles = frame::troubles(scene).len();
    let main = html! {
        div.wall {
            h1 {
                @match incidents.len() {
                    0 => "No incident is open",
                    1 => "1 incident is open",
                    more => { (more) " incidents are open" }
                }
                @if troubles > 0 { ", and edgewatch itself needs care" }
            }
            @for incident in incidents.iter().take(INCIDENTS_MAX) {
                @let briefing = brief(scene, incident);
                article.card {
                    p { strong { "INC-" (incident.number) " · " (duration(briefing.failing_for(now))) } " " (prose(&briefing.headline)) }
                    p.standing {
                        @match &incident.acknowledged {
                            Some(by) => { (visible(&by.by)) " looks after it" }
                            None => "nobody looks after it",
                        }
                    }
                }
            }
            @if incidents.len() > INCIDENTS_MAX { p { "and " (incidents.len() - INCIDENTS_MAX) " more" } }
            ul.acts {
                @for (probe, standing) in stands.iter().take(PROBES_MAX) { li { (one(scene, probe, standing)) } }
                @if stands.len() > PROBES_MAX { li { (stands.len() - PROBES_MAX) " more" } }
                @if !controls.is_empty() { li { "controls " (well) " of " (controls.len()) " work" } }
            }
            p.standing { (moment(now, zone, now)) }
        }
    };
    Content {
        title: "Wall",
        place: Place::Nowhere,
        topic: Topic::Board,
        main,
    }
}

fn one(scene: &Scene, probe: &Probe, standing: &Standing) -> Markup {
    let all = keys(probe).count();
    let failing = keys(probe)
        .filter(|key| scene.look.cell(key).is_some_and(|cell| !cell.kind.works()))
        .count();
    html! {
        @match standing {
            Standing::Works => { span.sign { "✓" } " " (probe.name) " " (all) },
            Standing::Fails { .. } => span.blocked { "✕ " (probe.name) " " (failing) " of " (all) },
            Standing::Unknown { .. } => span.stale { "– " (probe.name) " not known" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::tests::scene_of;
    use crate::report::fixture::march;

    #[test]
    fn it_counts_what_does_not_fit_and_has_nothing_to_click() {
        let night = march();
        let many = (1..=9).map(|number| {
            let mut incident = night.incident.clone();
            incident.number = number;
            incident
        });
        let scene = scene_of(&night.plan, &[], many.collect());
        let page = shown(&scene).into_string();
        assert!(page.contains("9 incidents are open"), "{page}");
        assert!(page.contains("and 5 more"), "{page}");
        assert!(page.contains("not known"), "{page}");
        assert!(!page.contains("<a "), "{page}");
        assert!(!page.contains("<button"), "{page}");
    }
}
