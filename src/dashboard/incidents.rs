//! Incidents: the list, and the texts about one that leave the house.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode, Uri};
use maud::{Markup, html};

use super::frame::{self, Content, Place};
use super::live::Topic;
use super::now::{brief, tag};
use super::parts::{prose, spreadsheet, time, visible};
use super::{Failure, Page, Pages, Scene, failed, html as answer, incident, scene, then};
use crate::domain::cell::ProbeName;
use crate::domain::incident::Incident;
use crate::dossier;
use crate::report::dossier::Dossier;
use crate::report::incidents::quiet;
use crate::report::matrix::duration;
use crate::report::{pack, postmortem};
use crate::store::{Reader, StoreError};

/// Incidents in one page of the list.
const LISTED: usize = 50;
/// And in one table for a spreadsheet.
const TABLE_MAX: usize = 1_000;

pub(super) async fn list(State(pages): State<Pages>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let asked = uri.query().unwrap_or_default();
    let mut asked = url::form_urlencoded::parse(asked.as_bytes());
    let before = asked.find(|(key, _)| key == "before");
    let before = before.and_then(|(_, value)| value.parse().ok());
    let read = pages
        .read(move |reader| reader.page(before, LISTED + 1))
        .await;
    let mut known = match read {
        Ok(known) => known,
        Err(failure) => return Ok(failed(&scene, &failure)),
    };
    let more = known.len() > LISTED;
    known.truncate(LISTED);
    Ok(answer(StatusCode::OK, listed(&scene, &known, before, more)))
}

/// The newest of them for a spreadsheet.
pub(super) async fn table(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let known = match pages.read(|reader| reader.page(None, TABLE_MAX)).await {
        Ok(known) => known,
        Err(failure) => return Ok(failed(&scene, &failure)),
    };
    let rows = known.iter().map(|incident| {
        let briefing = brief(&scene, incident);
        let names: Vec<&str> = incident.probes.iter().map(ProbeName::as_str).collect();
        let over = briefing.over_at().map(|at| at.to_string());
        vec![
            incident.number.to_string(),
            incident.state.as_str().to_owned(),
            briefing.onset_at.to_string(),
            over.unwrap_or_default(),
            briefing.failing_for(scene.now).as_secs().to_string(),
            names.join(" "),
            briefing.headline,
        ]
    });
    let header = [
        "incident",
        "state",
        "onset_at",
        "over_at",
        "failing_s",
        "probes",
        "headline",
    ];
    Ok(spreadsheet(&header, rows))
}

fn listed(scene: &Scene, known: &[Incident], before: Option<u64>, more: bool) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    let main = html! {
        h1 { "Incidents" }
        @if known.is_empty() {
            p {
                @if before.is_some() { "There are none before." }
                @else { "No incident since edgewatch began. " code { "edgewatch demo" } " shows how one looks." }
            }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Incidents, newest first" {
                table {
                    thead { tr {
                        th scope="col" { "Incident" } th scope="col" { "State" } th scope="col" { "Since" }
                        th scope="col" { "Lasted" } th scope="col" { "What" }
                    } }
                    tbody { @for incident in known {
                        @let briefing = brief(scene, incident);
                        @let number = incident.number;
                        tr id=(format!("inc-{number}")) {
                            th scope="row" { a href=(scene.to(&format!("/incidents/{number}"))) { "INC-" (number) } }
                            td { (tag(briefing.state)) }
                            td { (time(briefing.onset_at, zone, now)) }
                            td { (duration(briefing.failing_for(now))) }
                            td.text {
                                (prose(&briefing.headline))
                                @if briefing.is_open() {
                                    @let telling = &incident.telling;
                                    @for remark in quiet(incident.acknowledged.as_ref(), telling.muted.as_ref(), &telling.during, zone) {
                                        br; (visible(&remark))
                                    }
                                }
                            }
                        }
                    } }
                }
            }
        }
        @if let Some(last) = known.last().filter(|_| more) {
            p { a rel="next" href=(scene.to(&format!("/incidents?before={}", last.number))) { "Earlier incidents" } }
        }
        @if !known.is_empty() { p.acts { a href=(scene.to("/incidents.csv")) { "CSV" } } }
    };
    frame::page(
        scene,
        &Content {
            title: "Incidents",
            place: Place::Incidents,
            topic: Topic::Incidents,
            main,
        },
    )
}

pub(super) async fn one(State(pages): State<Pages>, Path(number): Path<String>, uri: Uri) -> Page {
    let scene = Arc::new(scene(&pages).await?);
    let asked = then::Asked::of(&uri);
    let made = {
        let scene = Arc::clone(&scene);
        with(
            &pages,
            &number,
            Arc::clone(&scene),
            move |reader, dossier| {
                let (plan, incident) = (&scene.look.plan, &dossier.incident);
                let then = then::gather(reader, plan, incident, asked, scene.now)?;
                Ok(incident::page(&scene, dossier, Some(&then)))
            },
        )
        .await
    };
    Ok(match made {
        Ok(page) => answer(StatusCode::OK, page),
        Err(failure) => failed(&scene, &failure),
    })
}

pub(super) async fn letter(State(pages): State<Pages>, Path(number): Path<String>) -> Page {
    let scene = scene(&pages).await?;
    about(&pages, scene, &number, |scene, dossier| {
        let partner = dossier.plan.partner_called(&dossier.incident.probes);
        let above = format!(
            "Paste it into a mail to {}. Lines that begin with “|” are for us: delete them.",
            visible(partner)
        );
        let text = pack::text(dossier);
        handout(scene, dossier, "Letter", "letter.txt", &text, &above)
    })
    .await
}

pub(super) async fn post_mortem(State(pages): State<Pages>, Path(number): Path<String>) -> Page {
    let scene = scene(&pages).await?;
    about(&pages, scene, &number, |scene, dossier| {
        let above =
            "Markdown, filled from what was recorded; what only people know stands as “To write”.";
        let text = postmortem::text(dossier);
        handout(
            scene,
            dossier,
            "Post-mortem",
            "post-mortem.md",
            &text,
            above,
        )
    })
    .await
}

pub(super) async fn letter_text(State(pages): State<Pages>, Path(number): Path<String>) -> Page {
    raw(&pages, &number, "text/plain; charset=utf-8", pack::text).await
}

pub(super) async fn post_mortem_text(
    State(pages): State<Pages>,
    Path(number): Path<String>,
) -> Page {
    let kind = "text/markdown; charset=utf-8";
    raw(&pages, &number, kind, postmortem::text).await
}

pub(super) async fn evidence(State(pages): State<Pages>, Path(number): Path<String>) -> Page {
    raw(&pages, &number, "application/json", |dossier| {
        format!("{:#}\n", pack::json(dossier))
    })
    .await
}

/// A text to take elsewhere.
fn handout(
    scene: &Scene,
    dossier: &Dossier<'_>,
    title: &str,
    file: &str,
    text: &str,
    above: &str,
) -> Markup {
    let number = dossier.incident.number;
    let main = html! {
        h1 { (title) ": " a href=(scene.to(&format!("/incidents/{number}"))) { "INC-" (number) } }
        p { (above) }
        p.acts {
            button type="button" data-copy="text" hidden { "Copy" }
            a href=(scene.to(&format!("/incidents/{number}/{file}"))) { "As a file" }
        }
        label.unseen for="text" { (title) }
        textarea id="text" readonly { (text) }
    };
    frame::page(
        scene,
        &Content {
            title: &format!("{title} of INC-{number}"),
            place: Place::Nowhere,
            topic: Topic::Incidents,
            main,
        },
    )
}

/// A page about one incident.
async fn about(
    pages: &Pages,
    scene: Scene,
    number: &str,
    make: impl FnOnce(&Scene, &Dossier<'_>) -> Markup + Send + 'static,
) -> Page {
    let scene = Arc::new(scene);
    let made = {
        let scene = Arc::clone(&scene);
        gather(pages, number, Arc::clone(&scene), move |dossier| {
            make(&scene, dossier)
        })
        .await
    };
    Ok(match made {
        Ok(page) => answer(StatusCode::OK, page),
        Err(failure) => failed(&scene, &failure),
    })
}

/// A text about one incident, as it is.
async fn raw(
    pages: &Pages,
    number: &str,
    kind: &'static str,
    make: impl FnOnce(&Dossier<'_>) -> String + Send + 'static,
) -> Page {
    let scene = Arc::new(scene(pages).await?);
    match gather(pages, number, Arc::clone(&scene), make).await {
        Ok(text) => {
            let mut answer = Response::new(Body::from(text));
            let headers = answer.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            Ok(answer)
        }
        Err(failure) => Ok(failed(&scene, &failure)),
    }
}

async fn gather<T: Send + 'static>(
    pages: &Pages,
    number: &str,
    scene: Arc<Scene>,
    make: impl FnOnce(&Dossier<'_>) -> T + Send + 'static,
) -> Result<T, Failure> {
    with(pages, number, scene, move |_, dossier| Ok(make(dossier))).await
}

/// The same for what needs more of the store.
async fn with<T: Send + 'static>(
    pages: &Pages,
    number: &str,
    scene: Arc<Scene>,
    make: impl FnOnce(&Reader, &Dossier<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Failure> {
    let missing = || Failure::Missing(format!("There is no incident INC-{}.", visible(number)));
    let wanted: u64 = number.parse().map_err(|_| missing())?;
    let made = pages.read(move |reader| {
        let dossier = dossier::gather(&scene.look.plan, reader, wanted, scene.now)?;
        dossier.map(|dossier| make(reader, &dossier)).transpose()
    });
    made.await?.ok_or_else(missing)
}
