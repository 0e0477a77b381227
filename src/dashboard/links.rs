//! Making links for people and screens without the pages, and withdrawing them.
//!
//! A link is shown once, to the one who makes it: only its digest is kept. What it opens is [`super::shared`]'s.

use std::time::Duration;

use axum::extract::{Path, State};
use http::StatusCode;
use maud::html;

use super::acts::{Form, act, form, no_such, refused};
use super::frame::{self, Content, Place};
use super::link_forms::{DAYS, named};
use super::live::Topic;
use super::parts::many;
use super::people::{digest, secret};
use super::{Page, Pages, Scene, html as answer, scene};
use crate::clock;
use crate::domain::incident::State as Stands;
use crate::domain::moment::later;
use crate::store::{Audience, Link, Opens};

pub(super) async fn share_incident(
    State(pages): State<Pages>,
    Path(number): Path<String>,
    body: String,
) -> Page {
    let (scene, form) = (scene(&pages).await?, form(&body));
    let mut open = scene.look.incidents.iter();
    let open = open.find(|it| it.number.to_string() == number && it.state == Stands::Open);
    let Some(number) = open.map(|it| it.number) else {
        return Ok(no_such(&scene, "open incident"));
    };
    let audience = form.get("audience").map(String::as_str);
    let opens = audience
        .and_then(Audience::from_word)
        .map(|audience| Opens::Incident { number, audience });
    make(&pages, &scene, &form, opens).await
}

pub(super) async fn share_page(State(pages): State<Pages>, body: String) -> Page {
    let (scene, form) = (scene(&pages).await?, form(&body));
    let opens = form.get("opens").map(String::as_str);
    make(&pages, &scene, &form, opens.and_then(Opens::from_word)).await
}

async fn make(pages: &Pages, scene: &Scene, form: &Form, opens: Option<Opens>) -> Page {
    let days = form.get("days").and_then(|days| days.parse().ok());
    let days = days.filter(|days| DAYS.contains(days));
    let (Some(days), Some(opens), Ok(token)) = (days, opens, secret()) else {
        let why = "A link needs something that it opens, and a number of days.";
        return Ok(refused(
            scene,
            StatusCode::BAD_REQUEST,
            "Nothing was done",
            why,
        ));
    };
    let sha256 = digest(&token);
    let (name, back) = named(opens);
    let done = act(
        pages,
        form,
        ("share", name.clone(), back.clone()),
        move |hand, by| {
            let now = clock::now();
            let link = Link {
                number: 0,
                opens,
                made_by: by.to_owned(),
                made_at: now,
                ends_at: later(now, Duration::from_secs(days as u64 * 86_400)),
                ended_by: None,
            };
            let number = hand.share(&sha256, &link)?;
            Ok(format!("link {number}"))
        },
    )
    .await?;
    if done.status() != StatusCode::SEE_OTHER {
        return Ok(done);
    }
    // The same form again makes no second link.
    let (sha256, now) = (digest(&token), clock::now());
    let kept = pages.read(move |reader| reader.shared(&sha256, now)).await;
    if !kept.is_ok_and(|kept| kept.is_some()) {
        let why = "This form was sent before, and its link was shown then. Go back, load the page again, and make another.";
        return Ok(refused(
            scene,
            StatusCode::CONFLICT,
            "Nothing was done",
            why,
        ));
    }
    let text = match opens {
        Opens::Api => format!("Authorization: Bearer {token}"),
        _ => scene.to(&format!("/s/{token}")),
    };
    let main = html! {
        h1 { "A link to " (name) }
        p { "Copy it now: it is not shown again. Whoever has it sees " (opens.sees()) ", for " (many(days as usize, "day")) ", and nothing else. It can be withdrawn on " a href=(scene.to("/quiet#links")) { "Quiet" } "." }
        p { code id="text" { (text) } " " button type="button" data-copy="text" hidden { "Copy" } }
        p.below {
            @if opens == Opens::Api { "A script sends this header with each request." }
            @else { "Put the address of these pages before it, as your readers reach it." }
        }
        p { a href=(scene.to(&back)) { "Back" } }
    };
    let content = Content {
        title: "A link",
        place: Place::Nowhere,
        topic: Topic::Incidents,
        main,
    };
    Ok(answer(StatusCode::OK, frame::page(scene, &content)))
}

/// Ends a link before its time.
pub(super) async fn end(
    State(pages): State<Pages>,
    Path(number): Path<String>,
    body: String,
) -> Page {
    let form = form(&body);
    let Ok(number) = number.parse::<u64>() else {
        return Ok(no_such(&scene(&pages).await?, "link"));
    };
    let thing = (
        "withdraw a link",
        format!("link {number}"),
        "/quiet".to_owned(),
    );
    act(&pages, &form, thing, move |hand, by| {
        let found = hand.end_link(number, by)?;
        Ok(if found {
            "withdrawn"
        } else {
            "was over already"
        }
        .to_owned())
    })
    .await
}
