//! What the words of the pages mean, and for whom the pages can be used.

use axum::extract::State;
use http::StatusCode;
use maud::{Markup, html};

use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::{class, verdict};
use super::{Page, Pages, Scene, html as answer, scene};
use crate::domain::verdict::Kind;
use crate::report::history::family;
use crate::words::terms;

pub(super) async fn help(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    Ok(answer(StatusCode::OK, words(&scene)))
}

/// Whose business a verdict is.
fn who_acts(kind: Kind) -> &'static str {
    match (kind, family(kind)) {
        (kind, _) if kind.works() => "nobody",
        (_, "blocked") => "the partner's edge",
        (_, "limited") => "we, or wait",
        (_, "denied") => "the partner's application",
        (_, "ours") => "us",
        (kind, _) if kind.is_network() || kind == Kind::TlsError => "not known by itself",
        _ => "the partner",
    }
}

fn words(scene: &Scene) -> Markup {
    let main = html! {
        h1 { "What the words mean" }
        section {
            h2 { "Verdicts" }
            div.scroll tabindex="0" role="region" aria-label="Verdicts" {
                table {
                    thead { tr { th scope="col" { "Verdict" } th scope="col" { "What it is" } th scope="col" { "Who must act" } } }
                    tbody { @for kind in Kind::ALL {
                        tr {
                            td class=(class(*kind)) { (verdict(*kind, None, None)) }
                            td.text { (terms::kind(*kind)) }
                            td { (who_acts(*kind)) }
                        }
                    } }
                }
            }
        }
        section {
            h2 { "Other words" }
            dl {
                dt { "probe" } dd { "a request that is checked, as the file has it" }
                dt { "egress" } dd { "a way out to the internet: an address, an interface, a proxy" }
                dt { "client" } dd { "how a request presents itself: user agent, HTTP and TLS versions, headers" }
                dt { "cell" } dd { "one probe from one egress as one client with one credential" }
                dt { "control" } dd { "a probe that should always pass; it tells “they block us” from “we are offline”" }
                dt { "incident" } dd { "one problem with one cause, however many cells fail" }
                dt { "confidence" } dd { "how often a cause that is named with this number is right" }
                dt { "hatched" } dd { "did not run, or ran too long ago to tell of now: an old pass is no pass" }
            }
        }
    };
    let content = Content {
        title: "What the words mean",
        place: Place::Nowhere,
        topic: Topic::Incidents,
        main,
    };
    frame::page(scene, &content)
}

pub(super) async fn accessibility(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let main = html! {
        h1 { "Accessibility" }
        p { "These pages are made to meet WCAG 2.2 at level AA, for people of the organisation that runs them." }
        ul {
            li { "Everything works with a keyboard, without JavaScript, at 320 px and at 400 % zoom; only wide tables scroll, in a box of their own." }
            li { "Colour never stands alone: each verdict has a sign and a word, each picture a sentence and a table." }
            li { "There are no shortcuts of single letters, nothing moves by itself, and “Pause” stops the page from keeping itself fresh." }
            li { "Light and dark follow the system, and so do its own colours where it forces them." }
        }
        p { "Each page is looked at by axe in Chromium, in light and dark, wide and narrow, with every change of the program. Other browsers and screen readers were not tried." }
        p { "What does not work for you is a fault: tell whoever runs edgewatch here." }
    };
    let content = Content {
        title: "Accessibility",
        place: Place::Nowhere,
        topic: Topic::Incidents,
        main,
    };
    Ok(answer(StatusCode::OK, frame::page(&scene, &content)))
}
