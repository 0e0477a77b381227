//! `/try`: would a client pass that is not in the file yet? The table and the sentence of the command, from the browser.
//!
//! A trial is asked within the daemon, with its leave for each request, so that both together stay within politeness. One
//! runs at a time. What came of it is kept until the daemon ends, and no incident hears of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect};
use http::{HeaderName, HeaderValue, StatusCode, Uri};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use tokio::sync::{oneshot, watch};

use super::acts::{Form, act, form, no_such, operator, refused};
use super::forms::{self, may, once};
use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::{many, time, visible};
use super::{Page, Pages, Scene, html as answer, scene};
use crate::ask::conclude;
use crate::ask::newcomer::{self, Newcomer};
use crate::ask::trial::{self, Round};
use crate::clock;
use crate::domain::cell::{CellKey, Client, ClientName, HttpOffer};
use crate::domain::plan::Plan;
use crate::domain::secret::mask;
use crate::report::{conclusion, matrix};

/// What is kept of trials.
const KEPT_MAX: usize = 20;
/// Of one person within an hour.
const HOURLY_MAX: usize = 10;
/// A page of a trial that runs asks again after so many seconds.
const AGAIN: HeaderValue = HeaderValue::from_static("2");

/// A round that somebody wants of a plan with one more client.
#[derive(Debug)]
pub struct Order {
    pub plan: Arc<Plan>,
    pub cells: Vec<CellKey>,
    /// How many were asked so far.
    pub asked: watch::Sender<usize>,
    pub answer: oneshot::Sender<Result<Round, String>>,
}

/// Those of this daemon's life, newest first.
#[derive(Debug, Default)]
pub(super) struct Trials(Arc<Mutex<VecDeque<Trial>>>);

#[derive(Debug, Clone)]
struct Trial {
    number: u64,
    at: Timestamp,
    who: String,
    /// The client and the probe, for people.
    what: String,
    stands: Stands,
}

#[derive(Debug, Clone)]
enum Stands {
    Runs {
        cells: usize,
        asked: watch::Receiver<usize>,
    },
    Ended(Found),
}

#[derive(Debug, Clone)]
struct Found {
    sentence: String,
    /// Table and conclusion, as a terminal shows them.
    text: String,
}

impl Trials {
    fn kept(&self) -> MutexGuard<'_, VecDeque<Trial>> {
        // Whoever panicked here left whole values behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a trial; its number, or why there is none.
    fn begin(
        &self,
        who: &str,
        what: String,
        (cells, asked): (usize, watch::Receiver<usize>),
        now: Timestamp,
    ) -> Result<u64, String> {
        let mut kept = self.kept();
        if let Some(other) = kept
            .iter()
            .find(|it| matches!(it.stands, Stands::Runs { .. }))
        {
            return Err(format!(
                "{} tries {} at the moment; one is tried at a time.",
                other.who, other.what
            ));
        }
        let lately = kept.iter().filter(|it| {
            it.who == who && now.duration_since(it.at) < SignedDuration::from_hours(1)
        });
        if lately.count() >= HOURLY_MAX {
            return Err(format!(
                "You have tried {HOURLY_MAX} times within an hour; a partner must not take it for an attack."
            ));
        }
        let number = kept.front().map_or(1, |last| last.number + 1);
        kept.truncate(KEPT_MAX - 1);
        kept.push_front(Trial {
            number,
            at: now,
            who: who.to_owned(),
            what,
            stands: Stands::Runs { cells, asked },
        });
        Ok(number)
    }

    fn ended(kept: &Mutex<VecDeque<Trial>>, number: u64, found: Found) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trial) = kept.iter_mut().find(|it| it.number == number) {
            trial.stands = Stands::Ended(found);
        }
    }
}

/// What the form asks for.
#[derive(Debug)]
struct Wanted {
    /// With the client that is tried.
    plan: Plan,
    client: ClientName,
    /// The client, for people.
    shown: String,
    cells: Vec<CellKey>,
    probe: String,
}

impl Wanted {
    fn read(plan: &Plan, form: &Form) -> Result<Self, String> {
        let field = |key: &str| form.get(key).map(String::as_str).unwrap_or_default();
        let probe = field("probe");
        if plan.probe(&probe.into()).is_none() {
            return Err("There is no such probe in the file.".to_owned());
        }
        let http = match field("http") {
            "2" => HttpOffer::Http2,
            "either" => HttpOffer::Either,
            _ => HttpOffer::default(),
        };
        let headers: Vec<String> = field("headers")
            .lines()
            .map(str::to_owned)
            .filter(|line| !line.trim().is_empty())
            .collect();
        let agent = field("user_agent").to_owned();
        let secrets = plan.secrets();
        let holds = |text: &String| mask(text, &secrets) != *text;
        if std::iter::once(&agent).chain(&headers).any(holds) {
            return Err(
                "It holds a secret of the file, which stays with its credential.".to_owned(),
            );
        }
        let shown = newcomer::shown(Some(&agent), None);
        let newcomer = Newcomer {
            user_agent: agent,
            http,
            headers: &headers,
            program: None,
        };
        let client: Client = newcomer
            .client(plan)
            .map_err(|why| format!("This can't be tried: {why}."))?;
        let mut plan = plan.clone();
        let client = newcomer::add(&mut plan, probe, client);
        let from = field("egress");
        let cells: Vec<CellKey> = plan
            .cells()
            .filter(|(it, cell)| {
                (it.control || it.name.as_str() == probe)
                    && (from.is_empty() || cell.egress.as_str() == from)
                    && plan.site_of(&cell.egress).is_none()
            })
            .map(|(_, cell)| cell)
            .collect();
        if !cells.iter().any(|cell| cell.client == client) {
            return Err("No cell is left that can run: the probe is not asked from there, or its credentials are missing.".to_owned());
        }
        Ok(Self {
            probe: probe.to_owned(),
            plan,
            client,
            shown,
            cells,
        })
    }

    /// How many requests, and how long they take.
    fn cost(&self) -> String {
        let of = |name| self.cells.iter().filter(|cell| cell.probe == name).count();
        let probes = self.plan.probes.iter();
        let asked = probes.map(|probe| (probe, of(probe.name.clone())));
        forms::costs(&self.plan, asked.filter(|(_, cells)| *cells > 0))
    }

    fn what(&self) -> String {
        format!("{} at {}", self.shown, self.probe)
    }
}

/// What a round says of the client, as a terminal shows it.
fn read(plan: &Arc<Plan>, round: &Round, client: &ClientName, shown: &str) -> Found {
    let now = clock::now();
    let concluded = conclude::conclude(plan, round, now);
    let dark: BTreeSet<_> = conclude::dark(plan, round, now);
    let entries: Vec<matrix::Entry> = round
        .iter()
        .map(|judged| matrix::Entry {
            cell: judged.observation.cell.clone(),
            verdict: judged.verdict.clone(),
            status: judged.observation.answer.as_ref().map(|a| a.status),
            took: judged.observation.took,
        })
        .collect();
    let table = matrix::matrix(&entries, false, None);
    let said = conclusion::text(&concluded.briefings, &concluded.remarks, &[], false);
    Found {
        sentence: trial::trial(round, &dark, client, shown).sentence,
        text: format!("{table}\n{said}"),
    }
}

pub(super) async fn form_page(State(pages): State<Pages>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let probe = form(uri.query().unwrap_or_default()).remove("probe");
    let main = html! {
        h1 { "Would a new client pass?" }
        p {
            "One round of a probe and the controls, with one more client beside those of the file: would it pass, and from where? For clients that you are about to put into service. "
            "Each request has the daemon's leave, so that politeness holds; nobody is told, and no incident changes."
        }
        @if may(&scene) { (fields(&scene, probe.as_deref())) }
        @else if scene.pages.changes_anything() { p { "Only who may act can try one: run " code { "edgewatch web sign-in" } " on the host of the daemon." } }
        @else { p { "This is a store that nobody runs by: nothing can be tried." } }
        (before(&scene))
    };
    Ok(answer(StatusCode::OK, page(&scene, main)))
}

fn page(scene: &Scene, main: Markup) -> Markup {
    let content = Content {
        title: "Try a client",
        place: Place::Nowhere,
        topic: Topic::Incidents,
        main,
    };
    frame::page(scene, &content)
}

fn fields(scene: &Scene, chosen: Option<&str>) -> Markup {
    let plan = &scene.look.plan;
    html! {
        form method="post" action=(scene.to("/try")) {
            p { label { "Probe " select name="probe" { @for probe in plan.probes.iter().filter(|it| !it.control) { option selected[chosen == Some(probe.name.as_str())] { (probe.name) } } } } }
            p { label { "User agent, as it will be sent; empty: none " input name="user_agent" size="60" maxlength="500" autocomplete="off"; } }
            p { label { "HTTP " select name="http" { option value="1" { "1.1" } option value="2" { "2" } option value="either" { "either" } } } }
            p { label { "From " select name="egress" { option value="" { "every egress" } @for egress in &plan.egresses { option { (egress.name) } } } } }
            p { label { "Further headers, one a line, without secrets " textarea name="headers" rows="3" cols="60" placeholder="Accept: text/xml" {} } }
            input type="hidden" name="preview" value="yes";
            button { "What would it cost?" }
        }
    }
}

/// Those that were tried.
fn before(scene: &Scene) -> Markup {
    let trials: Vec<Trial> = scene.pages.0.trials.kept().iter().cloned().collect();
    html! {
        @if !trials.is_empty() {
            h2 { "Tried since the daemon began" }
            ul.plain { @for trial in &trials {
                li {
                    (time(trial.at, scene.zone(), scene.now)) " by " (visible(&trial.who)) ": "
                    a href=(scene.to(&format!("/try/{}", trial.number))) { (visible(&trial.what)) }
                    @match &trial.stands {
                        Stands::Runs { .. } => ", under way",
                        Stands::Ended(found) => { ". " (visible(&found.sentence)) }
                    }
                }
            } }
        }
    }
}

/// Shows the cost first; asked again without `preview`, it begins.
pub(super) async fn try_it(State(pages): State<Pages>, body: String) -> Page {
    let (scene, form) = (scene(&pages).await?, form(&body));
    let person = match operator(&scene) {
        Ok(person) => person,
        Err(refused) => return Ok(*refused),
    };
    let nothing = |status, why: &str| refused(&scene, status, "Nothing was done", why);
    let wanted = match Wanted::read(&scene.look.plan, &form) {
        Ok(wanted) => wanted,
        Err(why) => return Ok(nothing(StatusCode::BAD_REQUEST, &why)),
    };
    if form.contains_key("preview") {
        return Ok(answer(StatusCode::OK, preview(&scene, &form, &wanted)));
    }
    let Some(orders) = pages.orders() else {
        return Ok(nothing(StatusCode::CONFLICT, "Nobody runs anything here."));
    };
    let Ok(order) = orders.try_reserve() else {
        return Ok(nothing(
            StatusCode::CONFLICT,
            "One is tried at a time; try again when that is over.",
        ));
    };
    let (asked, so_far) = watch::channel(0);
    let kept = Arc::clone(&pages.0.trials.0);
    let (said, cells) = (Arc::new(Mutex::new(None)), wanted.cells.len());
    let begun = {
        let (said, trials, what) = (Arc::clone(&said), pages.clone(), wanted.what());
        let who = person.name.clone();
        move || {
            let trials = &trials.0.trials;
            let begun = trials.begin(&who, what, (cells, so_far), clock::now());
            let told = begun
                .as_ref()
                .map_or_else(Clone::clone, |number| format!("trial {number}"));
            *said.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
            told
        }
    };
    // A form that is sent twice begins one.
    let thing = ("try", wanted.what(), "/try".to_owned());
    let done = act(&pages, &form, thing, move |_, _| Ok(begun())).await?;
    let begun = said.lock().unwrap_or_else(PoisonError::into_inner).take();
    let number = match begun {
        None => return Ok(done),
        Some(Err(why)) => return Ok(nothing(StatusCode::CONFLICT, &why)),
        Some(Ok(number)) => number,
    };
    let (answered, heard) = oneshot::channel();
    let plan = Arc::new(wanted.plan);
    order.send(Order {
        plan: Arc::clone(&plan),
        cells: wanted.cells,
        asked,
        answer: answered,
    });
    tokio::spawn(async move {
        let found = match heard.await {
            Ok(Ok(round)) => read(&plan, &round, &wanted.client, &wanted.shown),
            Ok(Err(why)) => Found {
                sentence: format!("Nothing was asked: {why}."),
                text: String::new(),
            },
            Err(_) => Found {
                sentence: "It was broken off: the daemon ends.".to_owned(),
                text: String::new(),
            },
        };
        Trials::ended(&kept, number, found);
    });
    let to = scene.to(&format!("/try/{number}"));
    Ok(Redirect::to(&to).into_response())
}

/// What it would take, and the same form once more to begin.
fn preview(scene: &Scene, form: &Form, wanted: &Wanted) -> Markup {
    let main = html! {
        h1 { "Try " (visible(&wanted.what())) "?" }
        p { (wanted.cost()) ": the new client, and beside it the clients of the file and the controls, without which nobody could say what is refused." }
        form method="post" action=(scene.to("/try")) {
            @for (key, value) in form.iter().filter(|(key, _)| *key != "preview" && *key != "once") {
                input type="hidden" name=(key) value=(value);
            }
            (once())
            button { "Ask now" }
        }
        p { a href=(scene.to("/try")) { "Leave it" } }
    };
    page(scene, main)
}

/// One trial: how far it is, or what came of it.
pub(super) async fn one(State(pages): State<Pages>, Path(number): Path<String>) -> Page {
    let scene = scene(&pages).await?;
    let trial = {
        let kept = pages.0.trials.kept();
        kept.iter()
            .find(|it| it.number.to_string() == number)
            .cloned()
    };
    let Some(trial) = trial else {
        return Ok(no_such(&scene, "trial since the daemon began"));
    };
    let (main, runs) = match &trial.stands {
        Stands::Runs { cells, asked } => {
            let so_far = *asked.borrow();
            (
                html! { p role="status" { (so_far) " of " (many(*cells, "request")) " answered." } },
                true,
            )
        }
        Stands::Ended(found) => (
            html! {
                p { strong { (visible(&found.sentence)) } }
                @if !found.text.is_empty() { div.scroll tabindex="0" role="region" aria-label="The round" { pre { (visible(&found.text)) } } }
            },
            false,
        ),
    };
    let main = html! {
        h1 { "Would " (visible(&trial.what)) " pass?" }
        p.below { "Tried by " (visible(&trial.who)) " " (time(trial.at, scene.zone(), scene.now)) "." }
        (main)
        p { a href=(scene.to("/try")) { "Try another" } }
    };
    let mut answer = answer(StatusCode::OK, page(&scene, main));
    if runs {
        let again = HeaderName::from_static("refresh");
        answer.headers_mut().insert(again, AGAIN);
    }
    Ok(answer)
}
