//! The agent of a site: probes by the plan that the hub hands out, and tells the hub what it saw.
//!
//! It decides nothing, opens no port and holds no receiver's secret. Without a hub it goes on by the plan that it had
//! last, and keeps what it sees in its spool.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::record::masked_run;
use super::round;
use super::site_plan::{self, Rules};
use crate::clock;
use crate::domain::cell::CellKey;
use crate::domain::observation::Purpose;
use crate::domain::plan::Plan;
use crate::domain::secret::Secrets;
use crate::domain::site::Nats;
use crate::link::connect::{self, Identity, Link};
use crate::link::outlet::{Outlet, Seen};
use crate::link::spool::{Bounds, Spool, Waiting};
use crate::machine::agenda::Agenda;
use crate::machine::{Effect, Event, Judged, RunId, Start};
use crate::probe::Prober;
use crate::wire::batch::ClockSaid;
use crate::wire::greeting::{Hello, Welcome, offset};
use crate::wire::plan::SitePlan;
use crate::wire::{ask, subjects};

/// How to start.
#[derive(Debug)]
pub struct Options {
    pub site: String,
    pub nats: Nats,
    /// The folder of spool and plan; made when it is not there.
    pub data: PathBuf,
    /// What a plan may lead to on this host.
    pub rules: Rules,
    pub bounds: Bounds,
    pub timing: Timing,
    /// Told how it is, whenever that changes.
    pub told: Option<watch::Sender<Standing>>,
}

/// What sets the agent's pace.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Between two greetings.
    pub greet: Duration,
    /// For what waits to be sent at the end.
    pub stop: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            greet: Duration::from_secs(10),
            stop: Duration::from_secs(5),
        }
    }
}

/// How an agent stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The plan in force; 0: none yet.
    pub generation: u64,
    /// Why the hub's plan is not, with its number.
    pub refused: Option<(u64, String)>,
    /// What cells lack, in sentences.
    pub missing: Vec<String>,
    /// Why the hub does not take this agent.
    pub turned_away: Option<String>,
    pub cells: u64,
    /// The hub answered a greeting.
    pub welcome: bool,
}

/// For the answer to a greeting or to the question for a plan.
const ANSWER: Duration = Duration::from_secs(5);
/// Of the last exchanges the best tells the offset.
const EXCHANGES: usize = 8;
/// The longest sleep.
const NAP_MAX: Duration = Duration::from_secs(10);
/// An ask that can't be met this soon is of no use any more.
const ASK_MAX: Duration = Duration::from_secs(600);
const SPOOL: &str = "spool.db";
const PLAN: &str = "plan";

/// What comes from outside.
#[derive(Debug)]
enum Order {
    Plan(SitePlan),
    Ask(ask::Ask, oneshot::Sender<String>),
    /// The hub does not take us.
    TurnedAway(String),
}

/// What the tasks know of each other.
struct Shared {
    standing: Mutex<Standing>,
    told: Option<watch::Sender<Standing>>,
    clock: watch::Sender<Option<ClockSaid>>,
}

impl Shared {
    fn standing(&self) -> Standing {
        self.standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn stand(&self, change: impl FnOnce(&mut Standing)) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut standing);
        if let Some(told) = &self.told {
            told.send_if_modified(|told| {
                let changed = *told != *standing;
                told.clone_from(&standing);
                changed
            });
        }
    }
}

/// Starts, probes until told to stop, and stops.
///
/// # Errors
/// A sentence when it can't start, or when another agent is this site already.
pub async fn run(options: Options, mut stop: oneshot::Receiver<()>) -> Result<(), String> {
    let Options {
        site,
        nats,
        data,
        rules,
        bounds,
        timing,
        told,
    } = options;
    let identity = nats.identity.as_deref().map(Identity::read).transpose()?;
    let certificate_until_s = identity.as_ref().map_or(0, |identity| identity.until_s);
    make_folder(&data)?;
    let spool = Spool::open(&data.join(SPOOL), bounds)?;
    let name = format!("edgewatch agent at {site}");
    let link = connect::begin(&nats, identity.as_ref(), &name, &subjects::inbox(&site)).await?;
    let boot = fastrand::u64(1..);
    let (clock_told, clock_said) = watch::channel(None);
    let shared = Arc::new(Shared {
        standing: Mutex::default(),
        told,
        clock: clock_told,
    });
    let outlet = Outlet::start(&site, boot, spool, link.clone(), clock_said);
    let (to_loop, mut orders) = mpsc::channel(64);
    let mut greeter = Greeter {
        site: site.clone(),
        boot,
        host: host(),
        link: link.clone(),
        shared: Arc::clone(&shared),
        waiting: outlet.watch(),
        certificate_until_s,
        orders: to_loop.clone(),
        exchanges: Vec::new(),
        every: timing.greet,
    };
    let mut work = Work {
        data,
        rules,
        shared: Arc::clone(&shared),
        agenda: None,
        runs: JoinSet::new(),
        stops: HashMap::new(),
    };
    work.last_plan();
    let mut tasks = JoinSet::new();
    let farewell = greeter.clone();
    tasks.spawn(async move { greeter.run().await });
    tasks.spawn(hear_asks(site.clone(), link, to_loop));
    tracing::info!(
        "edgewatch {} is the agent of {site}",
        env!("CARGO_PKG_VERSION")
    );

    let ended = loop {
        if let Some(by) = clock::follow() {
            work.step(Event::ClockSet { by });
        }
        let nap = work.nap();
        tokio::select! {
            biased;
            _ = &mut stop => break Ok(()),
            Some(order) = orders.recv() => match order {
                Order::Plan(plan) => work.take(&plan),
                Order::Ask(ask, answer) => { let _ = answer.send(work.asked(&ask)); }
                Order::TurnedAway(why) => break Err(why),
            },
            Some(ended) = work.runs.join_next(), if !work.runs.is_empty() => {
                if let Some(seen) = work.ended(ended) {
                    outlet.see(seen).await;
                }
            }
            () = tokio::time::sleep(nap) => work.step(Event::Tick),
        }
    };
    tracing::info!("stopping");
    work.runs.shutdown().await;
    tasks.shutdown().await;
    outlet.stop(timing.stop).await;
    if ended.is_ok() {
        let goodbye = farewell.greet(true);
        let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
    }
    ended
}

fn make_folder(folder: &Path) -> Result<(), String> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| format!("can't make the folder {}: {e}", folder.display()))
}

/// The machine's own name, for people.
pub(super) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

struct Work {
    data: PathBuf,
    rules: Rules,
    shared: Arc<Shared>,
    /// `None` until there is a plan.
    agenda: Option<InForce>,
    runs: JoinSet<(RunId, Option<Judged>)>,
    stops: HashMap<RunId, AbortHandle>,
}

/// A plan in force, and what goes with it.
struct InForce {
    generation: u64,
    agenda: Agenda,
    plan: Arc<Plan>,
    prober: Arc<Prober>,
    usuals: Arc<round::Usuals>,
    secrets: Secrets,
    /// Numbers of the cells.
    numbers: HashMap<CellKey, u32>,
    table: Vec<CellKey>,
}

impl Work {
    /// Goes on by the plan of the last time, if there was one.
    fn last_plan(&mut self) {
        let Ok(bytes) = std::fs::read(self.data.join(PLAN)) else {
            return;
        };
        match SitePlan::read(&bytes) {
            Ok(plan) => self.take(&plan),
            Err(why) => tracing::warn!("the plan of the last time is not taken: {why}"),
        }
    }

    /// Takes a plan whole, or leaves the one before in force and says why.
    fn take(&mut self, sent: &SitePlan) {
        let number = sent.generation;
        if self
            .agenda
            .as_ref()
            .is_some_and(|now| now.generation == number)
        {
            return;
        }
        match self.prepare(sent) {
            Ok(missing) => {
                let written = std::fs::write(self.data.join(PLAN), sent.packed());
                if let Err(error) = written {
                    tracing::warn!("plan {number} can't be kept for the next start: {error}");
                }
                for lacks in &missing {
                    tracing::warn!("{lacks}");
                }
                let cells = self
                    .agenda
                    .as_ref()
                    .map_or(0, |now| now.plan.cells().count() as u64);
                tracing::info!(cells, "plan {number} is in force");
                self.shared.stand(|standing| {
                    (standing.generation, standing.refused) = (number, None);
                    (standing.missing, standing.cells) = (missing, cells);
                });
                self.step(Event::Tick);
            }
            Err(why) => {
                tracing::error!(
                    "plan {number} is not taken, the one before stays in force:\n{why}"
                );
                self.shared
                    .stand(|standing| standing.refused = Some((number, why)));
            }
        }
    }

    /// Puts a plan in force; returns what its cells lack here.
    fn prepare(&mut self, sent: &SitePlan) -> Result<Vec<String>, String> {
        let site_plan::Read { plan, missing } = site_plan::read(sent, &self.rules)?;
        let prober = Arc::new(Prober::new(&plan)?);
        let plan = Arc::new(plan);
        let now = clock::now();
        let agenda = match self.agenda.take() {
            Some(before) => {
                let mut agenda = before.agenda;
                let effects = agenda.step(Event::PlanReplaced(Arc::clone(&plan)), now);
                // By the former plan nothing starts any more.
                for effect in effects {
                    if let Effect::Start(start) = effect {
                        agenda.step(Event::Lost { run: start.run }, now);
                    }
                }
                agenda
            }
            None => Agenda::new(Arc::clone(&plan), now),
        };
        let table = sent.table();
        let numbers = table.iter().cloned().zip(0..).collect();
        self.agenda = Some(InForce {
            generation: sent.generation,
            agenda,
            secrets: plan.secrets(),
            prober,
            usuals: Arc::default(),
            numbers,
            table,
            plan,
        });
        Ok(missing)
    }

    fn step(&mut self, event: Event) {
        let Some(now) = &mut self.agenda else { return };
        for effect in now.agenda.step(event, clock::now()) {
            match effect {
                Effect::Start(start) => self.start(start),
                Effect::Cancel { run } => {
                    if let Some(stop) = self.stops.remove(&run) {
                        tracing::warn!("{run} was given up: it did not end in time");
                        stop.abort();
                    }
                }
                _ => {}
            }
        }
    }

    fn start(&mut self, start: Start) {
        let Some(now) = &self.agenda else { return };
        if start.purpose != Purpose::Schedule {
            tracing::debug!(cell = %start.cell, "extra run: {}", start.why);
        }
        let (plan, prober, usuals) = (now.plan.clone(), now.prober.clone(), now.usuals.clone());
        let number = start.run;
        let run = round::guarded(plan, prober, usuals, start);
        let stop = self.runs.spawn(run);
        self.stops.insert(number, stop);
    }

    /// What the hub is told of a run that ended.
    fn ended(
        &mut self,
        ended: Result<(RunId, Option<Judged>), tokio::task::JoinError>,
    ) -> Option<Seen> {
        let (run, judged) = ended.ok()?;
        self.stops.remove(&run);
        let Some(judged) = judged else {
            self.step(Event::Lost { run });
            return None;
        };
        let judged = Arc::new(judged);
        self.step(Event::Ended {
            run,
            judged: Arc::clone(&judged),
        });
        let now = self.agenda.as_ref()?;
        let key = &judged.observation.cell;
        // A cell that left the plan while it ran is nobody's any more.
        let cell = *now.numbers.get(key)?;
        let probe = now.plan.probe(&key.probe)?;
        let clean = masked_run(&judged, &now.secrets);
        Some(Seen {
            cell,
            generation: now.generation,
            control: probe.control,
            judged: Box::new(clean.unwrap_or_else(|| Judged::clone(&judged))),
        })
    }

    /// Why a run that was asked for is not made; empty: it will be.
    fn asked(&mut self, ask: &ask::Ask) -> String {
        let wait = Duration::from_millis(ask.in_ms);
        if wait > ASK_MAX {
            return "too late to be of use".to_owned();
        }
        let Some(now) = &mut self.agenda else {
            return "no plan yet".to_owned();
        };
        if now.generation != ask.generation {
            return format!(
                "plan {} is in force here, not {}",
                now.generation, ask.generation
            );
        }
        let purpose = Purpose::from_word(&ask.purpose);
        let (Some(cell), Some(purpose)) = (now.table.get(ask.cell as usize), purpose) else {
            return "no such cell".to_owned();
        };
        let at = clock::now().checked_add(wait).unwrap_or_default();
        if !now.agenda.ask(cell, at, purpose, &ask.why) {
            return "that cell can't run here".to_owned();
        }
        self.step(Event::Tick);
        String::new()
    }

    fn nap(&self) -> Duration {
        let wait = self
            .agenda
            .as_ref()
            .and_then(|now| now.agenda.wait(clock::now()));
        let wait = wait.map_or(NAP_MAX, |wait: SignedDuration| {
            Duration::try_from(wait).unwrap_or_default()
        });
        wait.min(NAP_MAX)
    }
}

/// Makes the site known, compares clocks, and fetches plans.
#[derive(Clone)]
struct Greeter {
    site: String,
    boot: u64,
    host: String,
    link: Link,
    shared: Arc<Shared>,
    waiting: watch::Receiver<Waiting>,
    certificate_until_s: i64,
    orders: mpsc::Sender<Order>,
    exchanges: Vec<ClockSaid>,
    every: Duration,
}

impl Greeter {
    async fn run(&mut self) {
        loop {
            if let Err(why) = self.link.up().await {
                tracing::error!("{why}");
                tokio::time::sleep(self.every).await;
                continue;
            }
            // Whoever says that there is a new plan is heard between two greetings.
            let notes = self.link.client.subscribe(subjects::note(&self.site)).await;
            let Ok(mut notes) = notes else {
                tokio::time::sleep(self.every).await;
                continue;
            };
            loop {
                self.meet().await;
                let next = Instant::now() + self.every;
                tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    note = notes.next() => if note.is_none() { break },
                }
            }
        }
    }

    /// One greeting, and what follows from its answer.
    async fn meet(&mut self) {
        let sent = clock::now();
        let Some(welcome) = self.greet(false).await else {
            self.shared.stand(|standing| standing.welcome = false);
            return;
        };
        let back = clock::now();
        if !welcome.refused.is_empty() {
            let why = welcome.refused.clone();
            let taken = why.starts_with("another agent");
            self.shared
                .stand(|standing| standing.turned_away = Some(why.clone()));
            if taken {
                let _ = self.orders.send(Order::TurnedAway(why)).await;
            }
            return;
        }
        self.compare(sent, &welcome, back);
        self.shared.stand(|standing| {
            standing.welcome = true;
            standing.turned_away = None;
        });
        let standing = self.shared.standing();
        let refused = standing.refused.map(|(number, _)| number);
        let wanted = welcome.generation;
        if wanted == 0 || wanted == standing.generation || Some(wanted) == refused {
            return;
        }
        match fetch_plan(&self.link, &self.site).await {
            Ok(plan) => {
                let _ = self.orders.send(Order::Plan(plan)).await;
            }
            Err(why) => tracing::warn!("plan {wanted} can't be had: {why}"),
        }
    }

    async fn greet(&self, leaving: bool) -> Option<Welcome> {
        let (standing, waiting) = (self.shared.standing(), *self.waiting.borrow());
        let (refused, refused_because) = standing.refused.unwrap_or_default();
        let hello = Hello {
            boot: self.boot,
            host: self.host.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            sent_us: clock::now().as_microsecond(),
            generation: standing.generation,
            refused,
            refused_because,
            missing: standing.missing,
            spool_bytes: waiting.bytes,
            spool_runs: waiting.runs,
            dropped: waiting.dropped,
            clock: *self.shared.clock.borrow(),
            leaving,
            cells: standing.cells,
            certificate_until_s: self.certificate_until_s,
            ..Hello::default()
        };
        let subject = subjects::greeting(&self.site);
        let asked = self.link.client.request(subject, hello.packed().into());
        let answer = tokio::time::timeout(ANSWER, asked).await.ok()?.ok()?;
        Welcome::read(&answer.payload).ok()
    }

    /// Takes an exchange in; the shortest of the last few tells the offset best.
    fn compare(&mut self, sent: Timestamp, welcome: &Welcome, back: Timestamp) {
        let said = offset(sent.as_microsecond(), welcome, back.as_microsecond());
        self.exchanges.push(said);
        let surplus = self.exchanges.len().saturating_sub(EXCHANGES);
        self.exchanges.drain(..surplus);
        let best = self.exchanges.iter().min_by_key(|said| said.error_us);
        self.shared.clock.send_replace(best.copied());
    }
}

/// The plan that is there for a site.
///
/// # Errors
/// A sentence.
pub async fn fetch_plan(link: &Link, site: &str) -> Result<SitePlan, String> {
    let asked = link.client.request(subjects::own_plan(site), "".into());
    let answer = tokio::time::timeout(ANSWER, asked).await;
    let answer = answer.map_err(|_| "no answer".to_owned())?;
    let answer = answer.map_err(|e| e.to_string())?;
    if let Some(status) = answer.status.filter(|status| !status.is_success()) {
        return Err(format!("there is none ({status})"));
    }
    SitePlan::read(&answer.payload).map_err(|e| e.to_string())
}

/// Hears what the hub asks for.
async fn hear_asks(site: String, mut link: Link, orders: mpsc::Sender<Order>) {
    loop {
        if link.up().await.is_err() {
            tokio::time::sleep(NAP_MAX).await;
            continue;
        }
        let Ok(mut asks) = link.client.subscribe(subjects::ask(&site)).await else {
            tokio::time::sleep(NAP_MAX).await;
            continue;
        };
        while let Some(message) = asks.next().await {
            let Some(reply) = message.reply else { continue };
            let declined = match ask::Ask::read(&message.payload) {
                Ok(ask) => {
                    let (answer, said) = oneshot::channel();
                    if orders.send(Order::Ask(ask, answer)).await.is_err() {
                        return;
                    }
                    said.await.unwrap_or_else(|_| "stopping".to_owned())
                }
                Err(why) => why.to_string(),
            };
            let answer = ask::Answer {
                declined,
                ..ask::Answer::default()
            };
            let _ = link.client.publish(reply, answer.packed().into()).await;
        }
    }
}
