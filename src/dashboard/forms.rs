//! Forms of what people may do, where they may; for others how one comes to.

use std::time::Duration;

use maud::{Markup, html};

use super::Scene;
use super::parts::{cell_path, many, probe_path};
use super::people::secret;
use crate::domain::cell::CellKey;
use crate::domain::incident::Incident;
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;
use crate::report::matrix::duration;

/// How long a silence may be asked for, in words and minutes.
pub(super) const LASTS: [(&str, i64); 5] = [
    ("30 minutes", 30),
    ("1 hour", 60),
    ("4 hours", 4 * 60),
    ("1 day", 24 * 60),
    ("7 days", 7 * 24 * 60),
];

/// A text that tells one form from the next.
pub(super) fn once() -> Markup {
    let once = secret().unwrap_or_default();
    html! { input type="hidden" name="once" value=(once); }
}

fn lasting() -> Markup {
    html! {
        label { "for "
            select name="for" { @for (words, minutes) in LASTS { option value=(minutes) selected[minutes == 60] { (words) } } }
        }
    }
}

/// Whether whoever asks may act, and somebody is there to do it.
pub(super) fn may(scene: &Scene) -> bool {
    scene.who.as_ref().is_some_and(|who| who.may_act) && scene.pages.changes_anything()
}

/// A button that runs every cell of a probe now, with what that costs.
pub(super) fn run_now(scene: &Scene, probe: &Probe) -> Markup {
    html! {
        form.acts method="post" action=(scene.to(&format!("{}/run", probe_path(&probe.name)))) {
            (once())
            button { "Run it now" }
            span.below { (cost(scene, &[probe])) }
        }
        @if !probe.control { p { a href=(scene.to(&format!("/try?probe={}", probe.name))) { "Would a new client pass?" } } }
    }
}

/// A button that runs one cell now, for whoever may.
pub(super) fn run_cell(scene: &Scene, cell: &CellKey, words: &str) -> Markup {
    let can_run = || scene.look.plan.cells().any(|(_, known)| known == *cell);
    html! {
        @if may(scene) && can_run() {
            form.acts method="post" action=(scene.to(&format!("{}/run", cell_path(cell)))) { (once()) button { (words) } }
        }
    }
}

/// How many requests a round is, and how long politeness lets it take.
fn cost(scene: &Scene, probes: &[&Probe]) -> String {
    let cells = |probe: &Probe| {
        let cells = scene.look.plan.cells();
        cells.filter(|(it, _)| it.name == probe.name).count()
    };
    costs(
        &scene.look.plan,
        probes.iter().map(|probe| (*probe, cells(probe))),
    )
}

/// The same of so many requests for each probe.
pub(super) fn costs<'a>(plan: &Plan, asked: impl Iterator<Item = (&'a Probe, usize)>) -> String {
    let (mut requests, mut longest) = (0, Duration::ZERO);
    for (probe, cells) in asked {
        let polite = plan.politeness_of(&probe.host());
        let even = Duration::from_secs(60) / polite.requests_per_minute.max(1);
        // The first half of a minute's budget goes as fast as the gap allows.
        let fast = cells.min(polite.requests_per_minute as usize / 2) as u32;
        let takes = polite.gap * fast + polite.gap.max(even) * (cells as u32 - fast);
        requests += cells;
        longest = longest.max(takes);
    }
    let takes = Duration::from_secs(longest.as_secs().max(1));
    format!("{}, about {}", many(requests, "request"), duration(takes))
}

/// What can be done about an incident, for whoever may; for others how one comes to.
pub(super) fn about_incident(scene: &Scene, incident: &Incident) -> Markup {
    let (number, taken) = (incident.number, incident.acknowledged.is_some());
    let to = |what: &str| scene.to(&format!("/incidents/{number}/{what}"));
    let may = may(scene);
    let plan = &scene.look.plan;
    let probes: Vec<&Probe> = incident
        .probes
        .iter()
        .filter_map(|it| plan.probe(it))
        .collect();
    html! {
        @if may {
            section aria-label="What you can do" {
                div.acts {
                    @let (what, words) = if taken { ("release", "Let go of it") } else { ("acknowledge", "Look after it") };
                    form.acts method="post" action=(to(what)) { (once()) button { (words) } }
                    @if !probes.is_empty() {
                        form.acts method="post" action=(to("run")) {
                            (once())
                            button { "Run the matrix now" }
                            span.below { (cost(scene, &probes)) }
                        }
                    }
                    form.acts method="post" action=(to("silence")) {
                        (once())
                        (lasting())
                        label { "because " input name="why" required maxlength="200"; }
                        button { "Silence it" }
                    }
                    form.acts method="post" action=(to("note")) {
                        (once())
                        label { "Note " input name="text" required maxlength="200"; }
                        button { "Write it down" }
                    }
                }
            }
        } @else if scene.who.is_none() && scene.pages.changes_anything() {
            p.below { "To look after it, to silence it, or to write beside it: " a href=(scene.to("/sign-in")) { "sign in" } "." }
        }
    }
}

/// A form for a new silence, for whoever may.
pub(super) fn new_silence(scene: &Scene) -> Markup {
    let plan = &scene.look.plan;
    html! {
        @if may(scene) {
            section {
                h2 { "New silence" }
                form.acts method="post" action=(scene.to("/quiet/silence")) {
                    input type="hidden" name="preview" value="yes";
                    label { "Probe " select name="probe" { option value="" { "any" } @for it in &plan.probes { option { (it.name) } } } }
                    label { "Egress " select name="egress" { option value="" { "any" } @for it in &plan.egresses { option { (it.name) } } } }
                    label { "Client " select name="client" { option value="" { "any" } @for it in &plan.clients { option { (it.name) } } } }
                    (lasting())
                    label { "because " input name="why" required maxlength="200"; }
                    button { "Show what it would mute" }
                }
            }
        } @else if scene.who.is_none() && scene.pages.changes_anything() {
            p.below { "To make or end a silence here: " a href=(scene.to("/sign-in")) { "sign in" } "." }
        }
    }
}

/// A button that sends a message again that was given up, for whoever may.
pub(super) fn again(scene: &Scene, delivery: &str) -> Markup {
    html! {
        @if may(scene) {
            form method="post" action=(scene.to(&format!("/deliveries/{delivery}/again"))) { (once()) button { "Send it again" } }
        }
    }
}

/// A button that ends a silence, for whoever may.
pub(super) fn ending(scene: &Scene, number: u64) -> Markup {
    html! {
        @if may(scene) {
            form method="post" action=(scene.to(&format!("/quiet/{number}/end"))) { (once()) button { "End it" } }
        }
    }
}
