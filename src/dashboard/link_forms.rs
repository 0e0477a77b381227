//! Links for people and screens without the pages: the forms that make one, and which are good.

use maud::{Markup, html};

use super::Scene;
use super::forms::{may, once};
use super::parts::{many, time, visible};
use crate::store::{Audience, Link, Opens};

/// How many days a link may be good for.
pub(super) const DAYS: [i64; 3] = [1, 7, 30];

/// The form for a link to an incident, for whoever may.
pub(super) fn to_incident(scene: &Scene, number: u64) -> Markup {
    let choices = html! {
        label { "For " select name="audience" { option value="partner" { "the partner" } option value="us" { "one of us" } } }
    };
    making(scene, &format!("/incidents/{number}/share"), &choices)
}

/// The form for a link to one of our pages, for whoever may.
fn to_page(scene: &Scene) -> Markup {
    let choices = html! {
        label { "To "
            select name="opens" {
                option value="status" { "the page for support staff" }
                option value="wall" { "the screen for the wall" }
                option value="api" { "what scripts read" }
            }
        }
    };
    making(scene, "/links", &choices)
}

fn making(scene: &Scene, path: &str, choices: &Markup) -> Markup {
    html! {
        @if may(scene) {
            form.acts method="post" action=(scene.to(path)) {
                (once())
                (choices)
                label { "for " select name="days" { @for days in DAYS { option value=(days) selected[days == 7] { (many(days as usize, "day")) } } } }
                button { "Make a link" }
            }
        }
    }
}

/// What a link opens, and the page that it is made on.
pub(super) fn named(opens: Opens) -> (String, String) {
    match opens {
        Opens::Incident { number, .. } => (format!("INC-{number}"), format!("/incidents/{number}")),
        Opens::StatusPage => ("the page for support staff".to_owned(), "/quiet".to_owned()),
        Opens::Wall => ("the screen for the wall".to_owned(), "/quiet".to_owned()),
        Opens::Api => ("what scripts read".to_owned(), "/quiet".to_owned()),
    }
}

/// Links that are good, and the form for another.
pub(super) fn good(scene: &Scene, links: &[Link]) -> Markup {
    html! {
        @if !links.is_empty() || may(scene) {
            section id="links" {
                h2 { "Links that are good" }
                ul.plain { @for link in links { (one(scene, link)) } }
                (to_page(scene))
            }
        }
    }
}

fn one(scene: &Scene, link: &Link) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    html! {
        li {
            "link " (link.number) ": "
            @match link.opens {
                Opens::Incident { number, audience } => {
                    a href=(scene.to(&format!("/incidents/{number}"))) { "INC-" (number) }
                    @match audience { Audience::Partner => " for the partner", Audience::Us => " for one of us" }
                }
                page => (named(page).0),
            }
            ", until " (time(link.ends_at, zone, now)) ", made by " (visible(&link.made_by)) " " (time(link.made_at, zone, now))
            @if may(scene) {
                " " form.acts method="post" action=(scene.to(&format!("/links/{}/end", link.number))) { (once()) button { "Withdraw it" } }
            }
        }
    }
}
