//! What people do in the pages: look after an incident, write beside it, silence, run now, send again.
//!
//! Each is one `POST` to an address of the thing, by somebody who is signed in, from a page of ours, done once and
//! written down. It goes the way that the command line goes: through the store, to the daemon.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::forms::{self, once};
use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::{cell_path, probe_path, visible};
use super::people::{Person, person};
use super::{Failure, Page, Pages, Scene, failed, html as answer, scene};
use crate::clock;
use crate::domain::cell::{CellKey, ProbeName};
use crate::domain::incident::{Acknowledged, Care, Happening, State as Stands, TimelineEntry};
use crate::domain::mute::{Ended, Matcher, Silence, words};
use crate::domain::plan::Plan;
use crate::domain::secret::mask;
use crate::store::{Act, Hand, StoreError};

/// How often, and how many times, the daemon's answer is looked for.
const ANSWER_EVERY: Duration = Duration::from_millis(50);
const ANSWER_LOOKS: u32 = 80;

pub(super) type Form = BTreeMap<String, String>;

pub(super) fn form(body: &str) -> Form {
    url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect()
}

/// A field's text, on one line and without secrets.
fn text(plan: &Plan, form: &Form, key: &str) -> Option<String> {
    let text = mask(&words(form.get(key)?), &plan.secrets());
    Some(text).filter(|text| !text.is_empty())
}

pub(super) fn refused(scene: &Scene, status: StatusCode, title: &str, why: &str) -> Response {
    let main = html! {
        h1 { (title) }
        p { (why) }
        p { a href=(scene.to("/")) { "What is now" } }
    };
    let content = Content {
        title,
        place: Place::Nowhere,
        topic: Topic::Incidents,
        main,
    };
    answer(status, frame::page(scene, &content))
}

/// Writes to the store as a command does, on a thread where it holds up nobody.
pub(super) async fn write<T: Send + 'static>(
    pages: &Pages,
    work: impl FnOnce(&mut Hand) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Failure> {
    let path = pages.store().to_owned();
    let done = tokio::task::spawn_blocking(move || work(&mut crate::store::Store::hand(&path)?));
    match done.await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Failure::Unreadable(error.to_string())),
        Err(_) => Err(Failure::Unreadable("writing it was broken off".to_owned())),
    }
}

/// Who asks, if they may act.
pub(super) fn operator(scene: &Scene) -> Result<Person, Box<Response>> {
    match person() {
        Some(person) if person.may_act => Ok(person),
        Some(person) => {
            let why = format!(
                "{} may look, not act. Who may act stands in probes.yaml (`web: {{ operators: [...] }}`).",
                visible(&person.name)
            );
            Err(Box::new(refused(
                scene,
                StatusCode::FORBIDDEN,
                "Nothing was done",
                &why,
            )))
        }
        None => {
            let why = "Only somebody who is signed in may do that. Run `edgewatch web sign-in` on the host of the daemon.";
            Err(Box::new(refused(
                scene,
                StatusCode::UNAUTHORIZED,
                "Sign in first",
                why,
            )))
        }
    }
}

/// Does something in somebody's name, once, and writes it down; then leads to `back`.
pub(super) async fn act(
    pages: &Pages,
    form: &Form,
    (what, thing, back): (&'static str, String, String),
    work: impl FnOnce(&mut Hand, &str) -> Result<String, StoreError> + Send + 'static,
) -> Page {
    let scene = scene(pages).await?;
    let person = match operator(&scene) {
        Ok(person) => person,
        Err(refused) => return Ok(*refused),
    };
    if !pages.changes_anything() {
        let why = "This is a store that nobody runs by: it is only shown.";
        return Ok(refused(
            &scene,
            StatusCode::CONFLICT,
            "Nothing was done",
            why,
        ));
    }
    let once = form.get("once").filter(|once| once.len() == 64).cloned();
    let Some(once) = once else {
        let why = "The form is not whole; go back, load the page again, and send it again.";
        return Ok(refused(
            &scene,
            StatusCode::BAD_REQUEST,
            "Nothing was done",
            why,
        ));
    };
    let by = format!("{} in the browser", person.name);
    let done = write(pages, move |hand| {
        let act = Act {
            at: clock::now(),
            who: person.name.clone(),
            what: what.to_owned(),
            thing,
            answer: String::new(),
        };
        if !hand.begin(&person.session, &once, &act)? {
            return Ok(());
        }
        let done = work(hand, &by);
        let said = done.as_ref().map_or_else(ToString::to_string, Clone::clone);
        hand.ended(&once, &said)?;
        done.map(drop)
    });
    match done.await {
        Ok(()) => Ok(Redirect::to(&scene.to(&back)).into_response()),
        Err(failure) => Ok(failed(&scene, &failure)),
    }
}

/// Has every cell of these probes run now.
async fn round(
    pages: &Pages,
    form: &Form,
    probes: Vec<ProbeName>,
    thing: (&'static str, String, String),
) -> Page {
    act(pages, form, thing, move |hand, by| {
        let ask = hand.round(probes, by)?;
        answered(hand, ask)
    })
    .await
}

pub(super) fn no_such(scene: &Scene, what: &str) -> Response {
    failed(
        scene,
        &Failure::Missing(format!("There is no such {what}.")),
    )
}

/// Has every cell of a probe run now.
pub(super) async fn run_probe(
    State(pages): State<Pages>,
    Path(probe): Path<String>,
    body: String,
) -> Page {
    let (scene, form) = (scene(&pages).await?, form(&body));
    let found = scene.look.plan.probe(&probe.as_str().into());
    let Some(name) = found.map(|probe| probe.name.clone()) else {
        return Ok(no_such(&scene, "probe in the file"));
    };
    let thing = ("run now", format!("probe {name}"), probe_path(&name));
    round(&pages, &form, vec![name], thing).await
}

/// Has one cell run now.
pub(super) async fn run_cell(
    State(pages): State<Pages>,
    Path((probe, egress, client, credential)): Path<(String, String, String, String)>,
    body: String,
) -> Page {
    let (scene, form) = (scene(&pages).await?, form(&body));
    let cell = CellKey {
        probe: probe.as_str().into(),
        egress: egress.as_str().into(),
        client: client.as_str().into(),
        credential: credential.as_str().into(),
    };
    if !scene.look.plan.cells().any(|(_, known)| known == cell) {
        return Ok(no_such(&scene, "cell that can run"));
    }
    let thing = ("run now", cell.to_string(), cell_path(&cell));
    act(&pages, &form, thing, move |hand, by| {
        let ask = hand.cells(vec![cell], by)?;
        answered(hand, ask)
    })
    .await
}

/// Lets a message wait again that was given up.
pub(super) async fn send_again(
    State(pages): State<Pages>,
    Path(delivery): Path<String>,
    body: String,
) -> Page {
    let form = form(&body);
    let Ok(delivery) = delivery.parse::<uuid::Uuid>() else {
        return Ok(no_such(&scene(&pages).await?, "message"));
    };
    let thing = (
        "send again",
        format!("message {delivery}"),
        "/deliveries".to_owned(),
    );
    act(&pages, &form, thing, move |hand, _| {
        let ask = hand.again(delivery)?;
        answered(hand, ask)
    })
    .await
}

/// What the daemon says to an acknowledgement; it looks once a second, and the page that follows shows it then.
fn answered(hand: &Hand, ask: i64) -> Result<String, StoreError> {
    for _ in 0..ANSWER_LOOKS {
        if let Some(answer) = hand.answer(ask)? {
            return Ok(answer);
        }
        std::thread::sleep(ANSWER_EVERY);
    }
    Ok("noted for the daemon".to_owned())
}

/// The open incident of this number.
fn open(scene: &Scene, number: &str) -> Option<u64> {
    let mut open = scene.look.incidents.iter();
    let found = open.find(|it| it.number.to_string() == number && it.state == Stands::Open);
    found.map(|it| it.number)
}

/// `acknowledge`, `release`, `note`, `run`, `silence`.
pub(super) async fn on_incident(
    State(pages): State<Pages>,
    Path((number, what)): Path<(String, String)>,
    body: String,
) -> Page {
    let (scene, form) = (scene(&pages).await?, form(&body));
    let Some(number) = open(&scene, &number) else {
        let why = format!("INC-{} is not open.", visible(&number));
        return Ok(failed(&scene, &Failure::Missing(why)));
    };
    let plan = std::sync::Arc::clone(&scene.look.plan);
    let thing = |what: &'static str| {
        (
            what,
            format!("INC-{number}"),
            format!("/incidents/{number}"),
        )
    };
    match what.as_str() {
        "acknowledge" | "release" => {
            let released = what == "release";
            let thing = thing(if released { "release" } else { "acknowledge" });
            act(&pages, &form, thing, move |hand, by| {
                let by = Acknowledged {
                    at: clock::now(),
                    by: by.to_owned(),
                };
                let care = if released {
                    Care::Released(by)
                } else {
                    Care::Taken(by)
                };
                let ask = hand.care(number, &care)?;
                answered(hand, ask)
            })
            .await
        }
        "note" => {
            let Some(text) = text(&plan, &form, "text") else {
                return Ok(refused(
                    &scene,
                    StatusCode::BAD_REQUEST,
                    "Nothing was done",
                    "A note needs some text.",
                ));
            };
            act(&pages, &form, thing("note"), move |hand, by| {
                let entry = TimelineEntry {
                    at: clock::now(),
                    what: Happening::Note,
                    text: format!("{text} ({by})"),
                };
                hand.note(number, &entry).map(|()| "written".to_owned())
            })
            .await
        }
        "run" => {
            let incidents = scene.look.incidents.iter();
            let probes = incidents
                .filter(|it| it.number == number)
                .flat_map(|it| it.probes.clone())
                .collect();
            round(&pages, &form, probes, thing("run now")).await
        }
        "silence" => {
            let matcher = Matcher {
                incidents: vec![number],
                ..Matcher::default()
            };
            silenced(&pages, &scene, &form, matcher, thing("silence")).await
        }
        _ => Ok(no_such(&scene, "act")),
    }
}

async fn silenced(
    pages: &Pages,
    scene: &Scene,
    form: &Form,
    matcher: Matcher,
    thing: (&'static str, String, String),
) -> Page {
    let minutes = form
        .get("for")
        .and_then(|minutes| minutes.parse::<i64>().ok());
    let minutes = minutes.filter(|minutes| forms::LASTS.iter().any(|(_, known)| known == minutes));
    let why = text(&scene.look.plan, form, "why");
    let (Some(minutes), Some(why)) = (minutes, why) else {
        let why = "A silence needs a time and a reason, so that the others know.";
        return Ok(refused(
            scene,
            StatusCode::BAD_REQUEST,
            "Nothing was done",
            why,
        ));
    };
    act(pages, form, thing, move |hand, by| {
        let now = clock::now();
        let silence = Silence {
            number: 0,
            matcher,
            from: now,
            until: now
                .checked_add(SignedDuration::from_mins(minutes))
                .unwrap_or(Timestamp::MAX),
            by: by.to_owned(),
            why: Some(why),
            ended: None,
        };
        let kept = hand.add_silence(silence)?;
        Ok(format!("silence {}", kept.number))
    })
    .await
}

/// A silence of what the form names; with `preview` its effect is shown first, and nothing is done.
pub(super) async fn silence(State(pages): State<Pages>, body: String) -> Page {
    let (scene, form) = (scene(&pages).await?, form(&body));
    let plan = &scene.look.plan;
    let named = |key: &str| form.get(key).filter(|name| !name.is_empty());
    let matcher = Matcher {
        probes: named("probe")
            .and_then(|name| plan.probe(&name.as_str().into()))
            .map(|it| it.name.clone())
            .into_iter()
            .collect(),
        egresses: named("egress")
            .and_then(|name| plan.egresses.iter().find(|it| it.name.as_str() == name))
            .map(|it| it.name.clone())
            .into_iter()
            .collect(),
        clients: named("client")
            .and_then(|name| plan.client(&name.as_str().into()))
            .map(|it| it.name.clone())
            .into_iter()
            .collect(),
        ..Matcher::default()
    };
    let asked = ["probe", "egress", "client"]
        .into_iter()
        .filter(|key| named(key).is_some())
        .count();
    let found = matcher.probes.len() + matcher.egresses.len() + matcher.clients.len();
    if found == 0 || found != asked {
        let why =
            "Name a probe, an egress or a client of the file: what names nothing silences nothing.";
        return Ok(refused(
            &scene,
            StatusCode::BAD_REQUEST,
            "Nothing was done",
            why,
        ));
    }
    if form.contains_key("preview") {
        if let Err(refused) = operator(&scene) {
            return Ok(*refused);
        }
        return Ok(answer(StatusCode::OK, preview(&scene, &form, matcher)));
    }
    let thing = ("silence", matcher.to_string(), "/quiet".to_owned());
    silenced(&pages, &scene, &form, matcher, thing).await
}

/// What a silence would mute now, and the same form once more to keep it.
fn preview(scene: &Scene, form: &Form, matcher: Matcher) -> Markup {
    let silence = Silence {
        number: 0,
        matcher,
        from: scene.now,
        until: scene.now,
        by: String::new(),
        why: None,
        ended: None,
    };
    let main = html! {
        h1 { "New silence: " (visible(&silence.matcher.to_string())) }
        (super::quiet::effect(scene, &silence))
        form method="post" action=(scene.to("/quiet/silence")) {
            @for (key, value) in form.iter().filter(|(key, _)| *key != "preview" && *key != "once") {
                input type="hidden" name=(key) value=(value);
            }
            (once())
            button { "Silence it" }
        }
        p { a href=(scene.to("/quiet")) { "Leave it" } }
    };
    let content = Content {
        title: "New silence",
        place: Place::Quiet,
        topic: Topic::Incidents,
        main,
    };
    frame::page(scene, &content)
}

pub(super) async fn end_silence(
    State(pages): State<Pages>,
    Path(number): Path<String>,
    body: String,
) -> Page {
    let form = form(&body);
    let Ok(number) = number.parse::<u64>() else {
        return Ok(no_such(&scene(&pages).await?, "silence"));
    };
    let thing = (
        "end a silence",
        format!("silence {number}"),
        "/quiet".to_owned(),
    );
    act(&pages, &form, thing, move |hand, by| {
        let ended = Ended {
            at: clock::now(),
            by: by.to_owned(),
        };
        let found = hand.end_silence(number, ended.clone())?;
        Ok(match found {
            Some(silence) if silence.ended == Some(ended) => "ended".to_owned(),
            Some(_) => "was over already".to_owned(),
            None => "there is none".to_owned(),
        })
    })
    .await
}
