//! Forms of what people may do, where they may; for others how one comes to.

use maud::{Markup, html};

use super::Scene;
use super::people::secret;

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

/// What can be done about an incident, for whoever may; for others how one comes to.
pub(super) fn about_incident(scene: &Scene, number: u64, taken: bool) -> Markup {
    let to = |what: &str| scene.to(&format!("/incidents/{number}/{what}"));
    let may = scene.who.is_some() && scene.pages.changes_anything();
    html! {
        @if may {
            section aria-label="What you can do" {
                div.acts {
                    @let (what, words) = if taken { ("release", "Let go of it") } else { ("acknowledge", "Look after it") };
                    form.acts method="post" action=(to(what)) { (once()) button { (words) } }
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
        } @else if scene.pages.changes_anything() {
            p.below { "To look after it, to silence it, or to write beside it: " a href=(scene.to("/sign-in")) { "sign in" } "." }
        }
    }
}

/// A form for a new silence, for whoever may.
pub(super) fn new_silence(scene: &Scene) -> Markup {
    let plan = &scene.look.plan;
    html! {
        @if scene.who.is_some() && scene.pages.changes_anything() {
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
        } @else if scene.pages.changes_anything() {
            p.below { "To make or end a silence here: " a href=(scene.to("/sign-in")) { "sign in" } "." }
        }
    }
}

/// A button that ends a silence, for whoever may.
pub(super) fn ending(scene: &Scene, number: u64) -> Markup {
    html! {
        @if scene.who.is_some() && scene.pages.changes_anything() {
            form method="post" action=(scene.to(&format!("/quiet/{number}/end"))) { (once()) button { "End it" } }
        }
    }
}
