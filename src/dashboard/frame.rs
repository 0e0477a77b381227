//! What stands around every page: the bar, what edgewatch has to say of itself, and the foot.

use maud::{DOCTYPE, Markup, html};

use super::live::Topic;
use super::parts::{moment, prose, time, visible};
use super::{BUILD, Failure, Scene, Source, assets};
use crate::telemetry::health;

/// A page without its surroundings.
pub(super) struct Content<'a> {
    /// Of the tab; the service is added.
    pub(super) title: &'a str,
    /// The place in the bar.
    pub(super) place: Place,
    /// What it must be made anew for.
    pub(super) topic: Topic,
    pub(super) main: Markup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Now,
    Incidents,
    History,
    Events,
    Quiet,
    Deliveries,
    Schedule,
    Drift,
    Configuration,
    Status,
    Nowhere,
}

const PLACES: [(Place, &str, &str); 10] = [
    (Place::Now, "/", "Now"),
    (Place::Incidents, "/incidents", "Incidents"),
    (Place::History, "/months", "History"),
    (Place::Events, "/events", "Events"),
    (Place::Quiet, "/quiet", "Quiet"),
    (Place::Deliveries, "/deliveries", "Deliveries"),
    (Place::Schedule, "/schedule", "Schedule"),
    (Place::Drift, "/drift", "Drift"),
    (Place::Configuration, "/config", "Configuration"),
    (Place::Status, "/status", "For support staff"),
];

pub(super) fn page(scene: &Scene, content: &Content<'_>) -> Markup {
    framed(scene, content, true)
}

/// A page without bar and foot, for a screen that nobody touches.
pub(super) fn bare(scene: &Scene, content: &Content<'_>) -> Markup {
    framed(scene, content, false)
}

/// A page by itself, which leads to no other; one that stays open is asked for anew after so many seconds.
pub(super) fn sealed(scene: &Scene, content: &Content<'_>, again_s: Option<u32>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(scene, content.title, &html! {
                meta name="robots" content="noindex";
                @if let Some(seconds) = again_s { meta http-equiv="refresh" content=(seconds); }
            }))
            body {
                header { strong { "edgewatch · " (scene.look.plan.service) } p { (moment(scene.now, scene.zone(), scene.now)) } }
                div id="page" { main id="main" { (content.main) } }
            }
        }
    }
}

fn head(scene: &Scene, title: &str, more: &Markup) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (visible(title)) " · " (visible(&scene.look.plan.service)) }
            link rel="stylesheet" href=(scene.to(&assets::path("style.css")));
            (more)
        }
    }
}

fn framed(scene: &Scene, content: &Content<'_>, whole: bool) -> Markup {
    let look = &scene.look;
    let service = &look.plan.service;
    let ill = !look.incidents.is_empty();
    let icon = assets::path(if ill { "ill.svg" } else { "well.svg" });
    let stream = format!("/live?for={}", content.topic.as_str());
    let live = matches!(scene.pages.0.source, Source::Loop { .. });
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(scene, content.title, &html! {
                link rel="icon" type="image/svg+xml" href=(scene.to(&icon));
                @if live { script src=(scene.to(&assets::path("live.js"))) defer {} }
            }))
            body {
                @if whole { a.skip href="#main" { "Skip to the content" } }
                header {
                    strong { "edgewatch · " (service) }
                    @if whole {
                        nav aria-label="Pages" {
                            @for (place, path, name) in PLACES {
                                @let here = (place == content.place).then_some("page");
                                a href=(scene.to(path)) aria-current=[here] { (name) }
                            }
                        }
                    }
                    @if whole {
                        @if let Some(name) = &scene.who { p { a href=(scene.to("/sign-in")) { (visible(&name.name)) } } }
                    }
                    p id="contact" { span id="live" {} " " (moment(scene.now, scene.zone(), scene.now)) }
                }
                p id="lost" role="status" {}
                div id="page"
                    data-live=[live.then(|| scene.to(&stream))]
                    data-seq=(content.topic.of(look.seq))
                    data-build=(*BUILD) {
                    (banners(scene))
                    main id="main" tabindex="-1" { (content.main) }
                }
                @if whole { (foot(scene)) }
            }
        }
    }
}

/// What edgewatch must say of itself; nothing where it is well.
fn banners(scene: &Scene) -> Markup {
    let troubles = troubles(scene);
    let copied = matches!(scene.pages.0.source, Source::Copy { .. });
    html! {
        @if copied {
            p.banner { "This is what a store holds: all of it is as it was at " (time(scene.now, scene.zone(), scene.now)) "." }
        }
        @if !troubles.is_empty() {
            section.banner.trouble aria-label="Troubles of edgewatch itself" {
                strong { "edgewatch itself needs care" }
                ul { @for trouble in &troubles { li { (prose(trouble)) } } }
            }
        }
    }
}

/// One line each; empty: edgewatch itself is well, as far as is known.
pub(super) fn troubles(scene: &Scene) -> Vec<String> {
    let at = |at| moment(at, scene.zone(), scene.now);
    match (&scene.pages.0.source, &scene.vitals) {
        (Source::Loop { .. }, None) => vec![
            "it does not answer: its loop stands still, and what stands below may be old"
                .to_owned(),
        ],
        (Source::Copy { .. }, Some(vitals)) if vitals.stopped_at.is_some() => Vec::new(),
        (Source::Copy { .. }, None) => {
            vec!["no daemon has said anything of itself in this store".to_owned()]
        }
        (_, Some(vitals)) => {
            let wrong = health::ready(vitals, scene.now).into_iter();
            let wrong = wrong.filter(|check| !check.ok);
            let mut troubles: Vec<String> = wrong
                .map(|check| format!("{}: {}", check.name, check.text))
                .collect();
            if let Some(heartbeat) = &vitals.heartbeat
                && let Some(why) = &heartbeat.error
            {
                let last = heartbeat.last_sent_at.map(at);
                let last = last.map_or_else(|| "never".to_owned(), |last| format!("last {last}"));
                troubles.push(format!("heartbeat: {why} (sent {last})"));
            }
            troubles
        }
    }
}

fn foot(scene: &Scene) -> Markup {
    let zone = scene.zone().iana_name().unwrap_or("UTC");
    html! {
        footer {
            "edgewatch " (env!("CARGO_PKG_VERSION"))
            @if let Some(vitals) = &scene.vitals {
                " · plan " (vitals.plan.generation) ", in force since "
                (time(vitals.plan.since, scene.zone(), scene.now))
            }
            " · times of " (zone)
            " · " a href=(scene.to("/accessibility")) { "Accessibility" }
            " · " a href=(scene.to("/help")) { "What the words mean" }
        }
    }
}

/// A page in place of the one that can't be had.
pub(super) fn failed(scene: &Scene, failure: &Failure) -> Markup {
    let (title, why) = match failure {
        Failure::Missing(why) => ("Not found", why),
        Failure::Unreadable(why) => ("The store could not be read", why),
    };
    let main = html! {
        h1 { (title) }
        p { (prose(why)) }
        p {
            a href=(scene.to("/")) { "What is now" }
            @if matches!(failure, Failure::Unreadable(_)) { " does not need it." }
            @else { " · " a href=(scene.to("/incidents")) { "All incidents" } }
        }
    };
    page(
        scene,
        &Content {
            title,
            place: Place::Nowhere,
            topic: Topic::Incidents,
            main,
        },
    )
}
