//! Pages for people: what is now, each incident with its evidence, and in plain words what works.
//!
//! They are made here and work without JavaScript; a small module keeps an open page fresh. Pages never decide and
//! never find words for what a message says elsewhere: those are `words`' and `report`'s. What is now comes from
//! [`Present`], which the loop writes; what was comes from the store, through readers of its own.

mod about;
mod acts;
mod api;
mod assets;
mod cell;
mod chart;
mod check_file;
mod config;
mod deliveries;
mod drift;
mod events;
mod forms;
mod frame;
mod gate;
mod incident;
mod incidents;
mod link_forms;
mod links;
mod live;
mod month;
mod now;
mod parts;
pub(crate) mod people;
mod present;
mod probe;
mod quiet;
mod run;
mod schedule;
mod serve;
mod shared;
mod sign_in;
mod status_page;
mod subscribe;
mod then;
pub mod trying;
mod wall;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::Markup;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::clock;
use crate::domain::plan::Plan;
use crate::domain::upcoming::Upcoming;
use crate::domain::web::Web;
use crate::store::{Reader, Store, StoreError};
use crate::telemetry::Vitals;
use crate::telemetry::listener::Question;
use crate::telemetry::vitals::NOTE;

pub use present::{Look, Present};
pub use serve::{Bound, Listener, bind};

use present::Seq;
use sign_in::SignIns;

/// Of a form that is sent.
const FORM_MAX: usize = 64 << 10;
/// Streams at once.
const STREAMS_MAX: usize = 64;
/// Pages that read the store at once.
const READERS_MAX: usize = 2;
/// Passwords that are looked at, at once: each takes 19 MiB and a core for a while.
const PASSWORDS_MAX: usize = 2;
/// The loop answers within this, or it does not turn.
const PATIENCE: Duration = Duration::from_secs(2);
/// How far back the last run of a cell is looked for in a store without a daemon.
const BACK: Duration = Duration::from_secs(8 * 24 * 3600);

/// Which program made a page: an open one of another asks for itself anew.
static BUILD: LazyLock<String> =
    LazyLock::new(|| format!("{}-{}", env!("CARGO_PKG_VERSION"), assets::digest()));

/// Where facts come from.
#[derive(Debug)]
pub enum Source {
    /// The loop of this process.
    Loop {
        present: Arc<Present>,
        /// How are you?
        questions: mpsc::Sender<Question>,
        /// What runs next?
        upcoming: mpsc::Sender<oneshot::Sender<Upcoming>>,
        /// Would a client pass that is not in the file?
        orders: mpsc::Sender<trying::Order>,
    },
    /// A store that somebody else writes, or nobody any more.
    Copy { plan: Arc<Plan> },
}

/// Everything that pages are made from; cheap to clone.
#[derive(Debug, Clone)]
pub struct Pages(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    store: PathBuf,
    web: Web,
    sign_ins: Mutex<SignIns>,
    trials: trying::Trials,
    /// Passwords that are looked at, at once.
    passwords: Semaphore,
    readers: Semaphore,
    streams: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

/// What every page needs to know.
#[derive(Debug)]
struct Scene {
    pages: Pages,
    now: Timestamp,
    look: Look,
    /// What edgewatch said of itself, now or last; `None`: nothing, or it does not answer.
    vitals: Option<Vitals>,
    /// Whether it said so itself just now.
    live: bool,
    /// It is of a moment that is over: times count from there, and nothing can be done about it.
    past: bool,
    /// Who asks; `None`: nobody who is signed in.
    who: Option<people::Person>,
    /// Whoever asks sees what is for everybody, and no other page.
    outsider: bool,
}

impl Scene {
    fn zone(&self) -> &TimeZone {
        &self.look.plan.zone
    }

    /// Whether what it shows is of now: the loop turns, or nobody says that one should.
    fn turns(&self) -> bool {
        self.live || matches!(self.pages.0.source, Source::Copy { .. })
    }

    /// A link to a page of ours.
    fn to(&self, path: &str) -> String {
        format!("{}{path}", self.pages.base())
    }
}

impl Pages {
    /// `web` says under which names they are served, and for whom.
    #[must_use]
    pub fn new(source: Source, store: PathBuf, web: Web) -> Self {
        Self(Arc::new(Inner {
            source,
            store,
            web,
            sign_ins: Mutex::default(),
            trials: trying::Trials::default(),
            passwords: Semaphore::new(PASSWORDS_MAX),
            readers: Semaphore::new(READERS_MAX),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            stopping: watch::Sender::new(false),
        }))
    }

    fn base(&self) -> &str {
        &self.0.web.path
    }

    fn store(&self) -> &std::path::Path {
        &self.0.store
    }

    /// Whether there is a daemon to do what is asked.
    fn changes_anything(&self) -> bool {
        matches!(self.0.source, Source::Loop { .. })
    }

    /// Whether the page for support staff is for whoever reaches it.
    fn status_is_public(&self) -> bool {
        match &self.0.source {
            Source::Loop { present, .. } => status_page::is_public(&present.look().plan),
            Source::Copy { plan } => status_page::is_public(plan),
        }
    }

    /// Where a client can be tried; `None`: nobody runs anything here.
    fn orders(&self) -> Option<&mpsc::Sender<trying::Order>> {
        match &self.0.source {
            Source::Loop { orders, .. } => Some(orders),
            Source::Copy { .. } => None,
        }
    }

    fn web(&self) -> &Web {
        &self.0.web
    }

    /// A place for one more stream; `None`: there is none.
    fn stream(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.streams).try_acquire_owned().ok()
    }

    /// `None` where nothing changes.
    fn changes(&self) -> Option<watch::Receiver<Seq>> {
        match &self.0.source {
            Source::Loop { present, .. } => Some(present.changes()),
            Source::Copy { .. } => None,
        }
    }

    fn stops(&self) -> watch::Receiver<bool> {
        self.0.stopping.subscribe()
    }

    /// Tells streams that it is over, and waits for them.
    async fn stop(&self) {
        self.0.stopping.send_replace(true);
        let _ = self.0.streams.acquire_many(STREAMS_MAX as u32).await;
    }

    /// What is now.
    async fn scene(&self) -> Result<Scene, Failure> {
        let mut now = clock::now();
        let (look, vitals, live) = match &self.0.source {
            Source::Loop {
                present, questions, ..
            } => {
                let vitals = ask(questions).await;
                let live = vitals.is_some();
                (present.look(), vitals, live)
            }
            Source::Copy { plan } => {
                let plan = Arc::clone(plan);
                let read = move |reader: &Reader| {
                    let vitals = reader.note(NOTE)?;
                    Ok((look(reader, plan, now)?, vitals))
                };
                let (look, vitals) = self.read(read).await?;
                let vitals = vitals.and_then(|text| Vitals::from_json(&text).ok());
                // What a copy holds is as old as the last word of its daemon.
                now = vitals
                    .as_ref()
                    .map_or(now, |it| it.stopped_at.unwrap_or(it.at));
                (look, vitals, false)
            }
        };
        Ok(Scene {
            pages: self.clone(),
            now,
            look,
            vitals,
            live,
            past: false,
            who: people::person(),
            outsider: people::is_outsider(),
        })
    }

    /// What runs next; `None`: nobody runs anything here, or the loop does not answer.
    async fn upcoming(&self) -> Option<Upcoming> {
        let Source::Loop { upcoming, .. } = &self.0.source else {
            return None;
        };
        let (question, answer) = oneshot::channel();
        let asked = async {
            upcoming.send(question).await.ok()?;
            answer.await.ok()
        };
        tokio::time::timeout(PATIENCE, asked).await.ok()?
    }

    /// Reads the store on a thread where it holds up nobody.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = self.0.readers.acquire().await;
        let _turn = turn.map_err(|_| Failure::Unreadable("the store is closed".to_owned()))?;
        let path = self.0.store.clone();
        let read = tokio::task::spawn_blocking(move || work(&Store::read_only(&path)?));
        match read.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(Failure::Unreadable(error.to_string())),
            Err(_) => Err(Failure::Unreadable("reading it was broken off".to_owned())),
        }
    }
}

/// The last run of every cell and the open incidents, as a store has them.
///
/// # Errors
/// [`StoreError`] when it can't be read.
pub fn look(reader: &Reader, plan: Arc<Plan>, now: Timestamp) -> Result<Look, StoreError> {
    let cells: Vec<_> = plan.every_cell().map(|(_, cell)| cell).collect();
    let since = now.checked_sub(BACK).unwrap_or(Timestamp::MIN);
    let runs = reader.latest(&cells, since)?;
    let open = reader.load_open()?;
    Ok(Look::of(plan, &runs, open.incidents))
}

/// `None`: it does not answer, so it does not turn.
async fn ask(questions: &mpsc::Sender<Question>) -> Option<Vitals> {
    let (question, answer) = oneshot::channel();
    let asked = async {
        questions.send(question).await.ok()?;
        answer.await.ok()
    };
    tokio::time::timeout(PATIENCE, asked).await.ok()?
}

/// Why there is no page.
#[derive(Debug)]
enum Failure {
    /// There is no such thing; a sentence.
    Missing(String),
    /// The store can't be read; why.
    Unreadable(String),
}

type Page = Result<Response, Response>;

/// A whole page as an answer.
fn html(status: StatusCode, page: Markup) -> Response {
    let mut answer = Response::new(page.into_string().into());
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn router(pages: Pages) -> Router {
    Router::new()
        .route("/", get(now_page))
        .route("/incidents", get(incidents::list))
        .route("/incidents.csv", get(incidents::table))
        .route("/incidents/{number}", get(incidents::one))
        .route("/incidents/{number}/letter", get(incidents::letter))
        .route(
            "/incidents/{number}/letter.txt",
            get(incidents::letter_text),
        )
        .route(
            "/incidents/{number}/post-mortem",
            get(incidents::post_mortem),
        )
        .route(
            "/incidents/{number}/post-mortem.md",
            get(incidents::post_mortem_text),
        )
        .route(
            "/incidents/{number}/evidence.json",
            get(incidents::evidence),
        )
        .route(
            "/cells/{probe}/{egress}/{client}/{credential}",
            get(cell::page),
        )
        .route(
            "/cells/{probe}/{egress}/{client}/{credential}/runs.csv",
            get(cell::table),
        )
        .route("/probes/{probe}", get(probe::page))
        .route("/probes/{probe}/history.csv", get(probe::table))
        .route("/months", get(this_month))
        .route("/months/{month}", get(month::page))
        .route(
            "/runs/{probe}/{egress}/{client}/{credential}/{at}",
            get(run::page),
        )
        .route("/compare", get(run::compare))
        .route("/bodies/{sha256}", get(run::body))
        .route("/events", get(events::page))
        .route("/events.csv", get(events::table))
        .route("/quiet", get(quiet::page))
        .route("/quiet.csv", get(quiet::table))
        .route("/deliveries", get(deliveries::page))
        .route("/deliveries.csv", get(deliveries::table))
        .route("/deliveries/{delivery}/again", post(acts::send_again))
        .route("/probes/{probe}/run", post(acts::run_probe))
        .route(
            "/cells/{probe}/{egress}/{client}/{credential}/run",
            post(acts::run_cell),
        )
        .route("/schedule", get(schedule::page))
        .route("/schedule.csv", get(schedule::table))
        .route("/drift", get(drift::page))
        .route("/drift.csv", get(drift::table))
        .route("/config", get(config::page))
        .route(
            "/config/check",
            post(check_file::check).layer(DefaultBodyLimit::max(check_file::FORM_MAX)),
        )
        .route("/config/{number}", get(config::generation))
        .route("/try", get(trying::form_page).post(trying::try_it))
        .route("/try/{number}", get(trying::one))
        .route("/wall", get(wall::page))
        .route("/maintenance.ics", get(subscribe::calendar))
        .route("/badge/{file}", get(subscribe::badge))
        .route("/help", get(about::help))
        .route("/accessibility", get(about::accessibility))
        .route("/sign-in", get(sign_in::page).post(sign_in::enter))
        .route("/sign-out", post(sign_in::leave))
        .route("/incidents/{number}/share", post(links::share_incident))
        .route("/incidents/{number}/{what}", post(acts::on_incident))
        .route("/links", post(links::share_page))
        .route("/links/{number}/end", post(links::end))
        .route("/s/{token}", get(shared::page))
        .route("/quiet/silence", post(acts::silence))
        .route("/quiet/{number}/end", post(acts::end_silence))
        .route("/status", get(status_page::page))
        .route("/status.atom", get(status_page::feed))
        .route("/live", get(live::live))
        .route("/assets/{name}", get(assets::asset))
        .merge(api::routes())
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(FORM_MAX))
        .layer(middleware::from_fn_with_state(pages.clone(), gate::gate))
        .with_state(pages)
}

async fn now_page(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    Ok(html(StatusCode::OK, now::page(&scene)))
}

/// To the page of the month that it is.
async fn this_month(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let path = scene.to(&month::path(scene.now, scene.zone()));
    Ok(Redirect::temporary(&path).into_response())
}

async fn nothing(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let why = Failure::Missing("There is no such page.".to_owned());
    Ok(failed(&scene, &why))
}

async fn scene(pages: &Pages) -> Result<Scene, Response> {
    pages.scene().await.map_err(|failure| {
        let (Failure::Missing(why) | Failure::Unreadable(why)) = failure;
        let text = format!("The store could not be read: {why}\n");
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    })
}

/// A page in place of the one that can't be had.
fn failed(scene: &Scene, failure: &Failure) -> Response {
    let status = match failure {
        Failure::Missing(_) => StatusCode::NOT_FOUND,
        Failure::Unreadable(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    html(status, frame::failed(scene, failure))
}

/// The same for whoever may see no other page.
fn failed_bare(scene: &Scene, failure: &Failure) -> Response {
    let (status, title, why) = match failure {
        Failure::Missing(why) => (StatusCode::NOT_FOUND, "Not found", why.as_str()),
        // What is wrong with the store is no matter of theirs.
        Failure::Unreadable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Not to be had just now",
            "Please try again in a minute.",
        ),
    };
    let content = frame::Content {
        title,
        place: frame::Place::Nowhere,
        topic: live::Topic::Incidents,
        main: maud::html! { h1 { (title) } p { (why) } },
    };
    html(status, frame::sealed(scene, &content, None))
}

#[cfg(test)]
mod tests;
