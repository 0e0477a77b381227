//! The daemon: starts in one straight line, runs one loop, stops in reverse.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::asks::{Asks, Heard, Wish};
use super::clicks::Clicks;
use super::deliver::{AbortOnDrop, Deliver, Print, Timing};
use super::ears::Ears;
use super::keeper::Keeper;
use super::lead::{self, Leading};
use super::on_disk::OnDisk;
use super::pages::Showing;
use super::record::{Record, Recorder};
use super::refusal::Refusal;
use super::self_watch::{Around, SelfWatch, Taken};
use super::sites::{self, Incoming, Remote};
use super::trials::Trials;
use super::unwritten::{self, Say, Unwritten};
use super::watch::{LOOK_EVERY, Watch};
use super::{load, round};
use crate::clock;
use crate::domain::cell::CredentialName;
use crate::domain::change::Change;
use crate::domain::difference::Difference;
use crate::domain::habits::Past;
use crate::domain::incident::{Care, Happening, TimelineEntry};
use crate::domain::moment::set_by;
use crate::domain::notification::{Channel, Receiver};
use crate::domain::observation::Purpose;
use crate::domain::plan::Plan;
use crate::domain::surroundings::{Learned, Memory};
use crate::machine::driver::{Driver, Hands};
use crate::machine::log::Source;
use crate::machine::{Effect, Event, Judged, Known, Machine, RunId, Start};
use crate::notify::slack_socket::Patience;
use crate::probe::Prober;
use crate::store::{Follower, Renewed, Store, StoreError};
use crate::surroundings::notice::{self, Notice};
use crate::telemetry::Vitals;
use crate::telemetry::vitals::NOTE;
use crate::words::briefing::headline;

/// The longest sleep: after it the loop looks at the wall clock again, so that a machine that slept
/// or a clock that was set is noticed.
const NAP_MAX: Duration = Duration::from_secs(10);

/// A clock that is behind the last note of the store by less than this was not set back meanwhile.
const SET_MIN: SignedDuration = SignedDuration::from_secs(60);

/// How long stopping may take, each step.
const STOP_STEP: Duration = Duration::from_secs(5);

/// Incidents that are looked at for what happened before.
const PAST_MAX: usize = 200;
/// Faults of a file that a notice names.
const FAULTS_TOLD: usize = 3;

/// What whoever started the daemon hears once it probes.
#[derive(Debug)]
pub struct Started {
    /// Metrics and health are served here, if at all.
    pub address: Option<std::net::SocketAddr>,
    /// What a person opens to see the pages, if there are some.
    pub pages: Option<String>,
    /// All that is kept from now on.
    pub kept: Follower,
}

/// How to start.
pub struct Options {
    pub plan: Plan,
    /// The file to read again on SIGHUP; `None` for a plan that has no file.
    pub config: Option<PathBuf>,
    /// What the plan was read from, for those who ask the store what the daemon runs by.
    pub source: Option<Source>,
    /// What sites are to have of it; `None` where none are served.
    pub sites: Option<sites::Source>,
    /// The files as they were read, also of one that was refused: to see whether they are edited.
    pub on_disk: Option<OnDisk>,
    /// Why the file was not taken: the plan is then the last one that was.
    pub refused: Option<String>,
    /// This hub leads others, by this; and whether the log begins with all that is in the store.
    pub lead: Option<(Arc<Leading>, bool)>,
    /// Write down all that the machine hears and answers.
    pub record: Option<Record>,
    /// Told once it probes; the demo follows it.
    pub started: Option<oneshot::Sender<Started>>,
    /// Where messages go that have no channel (no token, or a `log` receiver).
    pub messages: Print,
    /// The way from buttons to the loop; without one, messages have no buttons.
    pub actions: Option<(mpsc::Sender<Wish>, mpsc::Receiver<Wish>)>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Asks the loop for something from outside.
#[derive(Debug)]
pub enum Command {
    Reload,
    Stop,
}

fn kept(path: &std::path::Path, source: Source) -> load::Kept {
    load::Kept {
        path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        at: clock::now(),
        source,
    }
}

/// Starts everything, runs until told to stop, and stops in reverse.
///
/// # Errors
/// A sentence when something needed at the start is not to be had: the store, the roots.
pub async fn run(options: Options, mut commands: mpsc::Receiver<Command>) -> Result<(), String> {
    let plan = Arc::new(options.plan);
    let opened = Store::open(&plan.store.path, &plan.store).map_err(|e| e.to_string())?;
    let store = opened.store;
    store.mask(plan.secrets());
    match &options.lead {
        Some((leading, whole)) => store.lead(leading.clone(), *whole).await,
        None => store.stand_alone().await,
    }
    .map_err(|e| e.to_string())?;
    let known = store.load_open().await.map_err(|e| e.to_string())?;
    let silences = store.silences().await.map_err(|e| e.to_string())?;
    let (memory, unread) = store.remember().await.map_err(|e| e.to_string())?;
    let warnings = opened.warnings.iter().chain(&known.warnings);
    for warning in warnings.chain(&unread) {
        tracing::warn!("{warning}");
    }
    let prober = Arc::new(Prober::new(&plan)?);
    let (actions, clicks) = options.actions.unzip();
    let receivers = drawn(&plan.receivers, actions.is_some());
    let watch = options.config.as_deref().zip(options.on_disk.clone());
    let in_force = options.on_disk.filter(|_| options.refused.is_none());
    let own = SelfWatch::start(&plan, store.clone(), in_force, clock::now()).await?;
    let deliver = Deliver::start(
        store.clone(),
        &receivers,
        Timing::default(),
        options.messages.clone(),
    )
    .await
    .map_err(|e| e.to_string())?;
    if let (Some(path), Some(source)) = (&options.config, options.source) {
        kept(path, source).keep(&store, Vec::new());
    }
    let remote = match (&plan.nats, &options.sites) {
        (Some(nats), Some(source)) => {
            let wanted = sites::wanted(&plan, source);
            let position = Store::read_only(&plan.store.path)
                .ok()
                .and_then(|reader| reader.note(sites::POSITION).ok().flatten());
            let position = position.as_deref();
            let alone = options.lead.is_none();
            Some(Remote::start(nats, wanted, &store, position, source.timing, alone).await?)
        }
        _ => None,
    };
    let tending = options.lead.as_ref().map(|(leading, _)| {
        let tending = tokio::spawn(lead::tend(store.clone(), leading.clone()));
        AbortOnDrop(tending.abort_handle())
    });
    let keeper = Keeper::start(store.clone());
    let mut asks = Asks::start(store.clone(), silences.clone(), clicks);

    let trials = Trials::start();
    let orders = trials.orders.clone();
    let showing = Showing::start(&plan, &known.incidents, own.asker(), orders).await;
    let past = past(&store).await;
    let spent = spent(&store, &plan).await.map_err(|e| e.to_string())?;
    let mut known = Known {
        incidents: known.incidents,
        next_number: known.next_number,
        silences,
        memory,
        past,
        spent,
    };
    let now = clock::now();
    // Before this process leaves a note of its own.
    let set = set_meanwhile(&plan.store.path, now);
    let record = options.record;
    let recorder = record.map(|record| Recorder::begin(record, plan.secrets(), &mut known, now));
    let recorder = recorder.transpose()?;
    let machine = Machine::new(plan.clone(), known, now);
    let mut state = Loop {
        driver: Driver::new(machine),
        work: Work {
            plan,
            prober,
            usuals: Arc::default(),
            store: store.clone(),
            keeper,
            runs: JoinSet::new(),
            stops: HashMap::new(),
            changed: false,
            recorder,
            own,
            showing,
            trials,
            remote,
            together: None,
        },
        deliver: Some(deliver),
        clicks: None,
        messages: options.messages,
        actions,
        refusal: Refusal::default(),
        unwritten: Unwritten::default(),
        ears: Ears::default(),
        watch: watch.map(|(path, on_disk)| Watch::new(path, on_disk)),
    };
    state.listen();
    if let Some(remote) = &state.work.remote {
        state.work.own.follow_sites(remote.facts.clone());
    }
    if let Some((leading, _)) = &options.lead {
        state.work.own.follow_hub(leading.facts());
    }
    state.work.own.incidents(state.driver.machine());
    tracing::info!(
        cells = state.work.plan.cells().count(),
        store = %state.work.plan.store.path.display(),
        "edgewatch {} is probing",
        env!("CARGO_PKG_VERSION"),
    );
    state.work.own.ready();
    if let (Some(path), Some(why)) = (&options.config, &options.refused) {
        state.refuse(path, why);
    }
    if let Some(started) = options.started {
        // Whoever wanted to know may be gone by now.
        let _ = started.send(Started {
            address: state.work.own.address(),
            pages: state.work.showing.url(),
            kept: store.follow(),
        });
    }

    if let Some(by) = set {
        state.clock_was_set(by).await;
    }
    let mut renewed = store.renewed();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if let Some(by) = clock::follow() {
            state.clock_was_set(by).await;
        }
        let nap = state.nap(clock::now());
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Reload) => state.reload(options.config.as_deref()).await,
                Some(Command::Stop) | None => break,
            },
            _ = looks.tick(), if state.work.plan.watch => {
                state.look_at_edits(options.config.as_deref()).await;
            }
            _ = state.work.own.beats.tick() => {
                state.work.own.beat(around(&state.driver, &state.work.keeper, clock::now()));
                state.look_at_writing();
                state.look_at_the_file(options.config.as_deref());
                state.look_at_buttons().await;
                if state.deliver.is_none() {
                    state.deliver_anew().await;
                }
                state.work.showing.again().await;
            }
            Some(question) = state.work.own.questions.recv() => {
                let around = around(&state.driver, &state.work.keeper, clock::now());
                state.work.own.answer(question, around);
            }
            Ok(()) = renewed.changed() => {
                let last = renewed.borrow_and_update().1.clone();
                if let Some(last) = last {
                    state.store_was_renewed(&last);
                }
            }
            heard = asks.next() => state.heard(heard, clock::now()),
            Some(asker) = state.work.showing.upcoming.recv() => {
                // Whoever asked may have left.
                let _ = asker.send(state.driver.machine().upcoming(clock::now()));
            }
            Some(ask) = state.work.trials.asks.recv() => {
                let number = state.work.trials.waits(ask.answer);
                state.step(Event::Leave { number, host: ask.host }, clock::now());
            }
            incoming = from_sites(&mut state.work.remote, &store) => state.sites_have(incoming),
            Some(ended) = state.work.runs.join_next(), if !state.work.runs.is_empty() => {
                if let Some(event) = state.work.ended(ended) {
                    state.step(event, clock::now());
                }
            }
            () = tokio::time::sleep(nap) => state.step(Event::Tick, clock::now()),
        }
    }

    tracing::info!("stopping");
    let mut work = state.work;
    work.own.stopping();
    work.showing.stop().await;
    if let Some(clicks) = state.clicks {
        clicks.stop().await;
    }
    asks.stop();
    if let Some(remote) = work.remote.take() {
        remote.stop().await;
    }
    work.runs.shutdown().await;
    work.count_what_was_broken_off();
    work.own
        .stopped(around(&state.driver, &work.keeper, clock::now()));
    work.keeper.stop(STOP_STEP).await;
    if let Some(deliver) = state.deliver {
        deliver.stop(STOP_STEP).await;
    }
    if tending.is_some() {
        // Whoever leads next decides; what commands would write here, nobody would hear of.
        let left = store.led_by("the hub that leads".to_owned()).await;
        if let Err(error) = left {
            tracing::warn!("commands may write here although another hub leads: {error}");
        }
    }
    drop(tending);
    store.close().await;
    Ok(())
}

/// By how much the clock was set back while no daemon ran; `None`: by little, or nobody can tell.
fn set_meanwhile(store: &std::path::Path, now: Timestamp) -> Option<SignedDuration> {
    let note = Store::read_only(store).ok()?.note(NOTE).ok()??;
    let last = Vitals::from_json(&note).ok()?;
    let by = now.duration_since(last.stopped_at.unwrap_or(last.at));
    (by < -SET_MIN).then_some(by)
}

/// Incidents that are over, to compare with; without them there is no less to watch.
async fn past(store: &Store) -> Past {
    match store.incidents(None, PAST_MAX).await {
        Ok(incidents) => Past::of(&incidents),
        Err(error) => {
            tracing::warn!("what happened before is not told: {error}");
            Past::default()
        }
    }
}

/// Uses of accounts within the last day, where they are counted: a restart gives no account a new day.
async fn spent(store: &Store, plan: &Plan) -> Result<Vec<(CredentialName, Timestamp)>, StoreError> {
    if plan.credential_a_day.is_none() {
        return Ok(Vec::new());
    }
    let since = clock::now().saturating_sub(jiff::SignedDuration::from_hours(24));
    store.spent(since.unwrap_or_default()).await
}

struct Loop {
    driver: Driver,
    work: Work,
    /// `None` only while delivery can't be started again after a reload.
    deliver: Option<Deliver>,
    /// `None` where nobody takes actions.
    clicks: Option<Clicks>,
    messages: Print,
    actions: Option<mpsc::Sender<Wish>>,
    refusal: Refusal,
    /// What was said of a store that can't be written.
    unwritten: Unwritten,
    /// What was said of buttons that nobody hears.
    ears: Ears,
    /// `None` of a plan that has no file.
    watch: Option<Watch>,
}

/// What carries out what the machine wants: tasks that probe, and the store.
struct Work {
    plan: Arc<Plan>,
    prober: Arc<Prober>,
    /// What answers that pass look like.
    usuals: Arc<round::Usuals>,
    store: Store,
    keeper: Keeper,
    /// Runs in flight; a panic in one stays in its task, and the run is lost.
    runs: JoinSet<(RunId, Option<Judged>)>,
    /// How to end each of them, and with which credential it asks.
    stops: HashMap<RunId, (AbortHandle, CredentialName)>,
    /// An incident changed since the self-watch was shown them.
    changed: bool,
    recorder: Option<Recorder>,
    own: SelfWatch,
    showing: Showing,
    trials: Trials,
    /// `None` where there are no sites.
    remote: Option<Remote>,
    /// Runs that came together and are kept together; `None` between two batches.
    together: Option<Vec<Arc<Judged>>>,
}

/// What sites have next; while the store is behind it waits at the server.
async fn from_sites(remote: &mut Option<Remote>, store: &Store) -> Incoming {
    const ROOM: usize = 1_000;
    const AGAIN: Duration = Duration::from_millis(100);
    let Some(remote) = remote else {
        return std::future::pending().await;
    };
    while !store.has_room(ROOM) {
        tokio::time::sleep(AGAIN).await;
    }
    match remote.incoming.recv().await {
        Some(incoming) => incoming,
        // Its tasks end only with the daemon.
        None => std::future::pending().await,
    }
}

/// The file's own name; where it lies is no matter of a channel.
fn shown(path: &std::path::Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// What the self-watch is shown of the loop.
fn around<'a>(driver: &'a Driver, keeper: &Keeper, now: Timestamp) -> Around<'a> {
    Around {
        machine: driver.machine(),
        waiting_changes: keeper.waiting(),
        now,
    }
}

impl Hands for Work {
    fn start(&mut self, start: Start, _: Timestamp) {
        if start.purpose != Purpose::Schedule {
            tracing::debug!(cell = %start.cell, purpose = start.purpose.as_str(), "extra run: {}", start.why);
        }
        let (plan, prober) = (self.plan.clone(), self.prober.clone());
        let usuals = self.usuals.clone();
        let (number, credential) = (start.run, start.cell.credential.clone());
        let run = round::guarded(plan, prober, usuals, start);
        let stop = self.runs.spawn(run);
        self.stops.insert(number, (stop, credential));
    }

    fn cancel(&mut self, run: RunId) {
        if let Some((stop, _)) = self.stops.remove(&run) {
            tracing::warn!(
                "{run} was given up: it did not end in time, or the clock was set under it"
            );
            stop.abort();
        }
    }

    fn keep(&mut self, effect: Effect, _: Timestamp) {
        match effect {
            Effect::Record(judged) => {
                self.showing.ended(&judged);
                if let Some(together) = &mut self.together {
                    self.own.reported(&judged);
                    together.push(Arc::clone(&judged));
                } else {
                    self.own.ended(&judged);
                    self.store.record(&judged.observation, &judged.verdict);
                }
                tracing::debug!(
                    probe = %judged.observation.cell.probe,
                    egress = %judged.observation.cell.egress,
                    client = %judged.observation.cell.client,
                    verdict = %judged.verdict.kind,
                    took_ms = judged.observation.took.as_millis() as u64,
                    "run"
                );
            }
            Effect::VerdictChanged(change) => self.store.note_verdict(&change),
            Effect::Learned(learned) => {
                for notice in &learned.notifications {
                    let receiver = &notice.receiver;
                    tracing::info!(%receiver, "notice: {}", notice.briefing.headline);
                }
                self.keeper.learned(learned);
            }
            Effect::Save(change) => {
                for entry in &change.timeline {
                    tracing::info!(
                        incident = change.incident.number,
                        what = entry.what.as_str(),
                        "{}",
                        entry.text
                    );
                }
                self.changed = true;
                self.own.changed(&change);
                self.showing.changed(&change);
                self.keeper.change(change);
            }
            Effect::Ask(ask) => {
                tracing::debug!(cell = %ask.cell, "extra run at its site: {}", ask.why);
                if let Some(remote) = &self.remote {
                    remote.ask(ask);
                }
            }
            Effect::Leave { number, leave } => self.trials.answer(number, leave),
            Effect::Start(_) | Effect::Cancel { .. } | Effect::WakeAt(_) => {}
        }
    }

    fn note(&mut self, event: &Event, now: Timestamp, effects: &[Effect], machine: &Machine) {
        if let Some(recorder) = &mut self.recorder {
            recorder.step(event, now, effects, machine);
        }
    }
}

impl Work {
    /// What is in flight at the end was asked, though nobody hears its answer: it counts for its account.
    fn count_what_was_broken_off(&mut self) {
        if self.plan.credential_a_day.is_none() {
            return;
        }
        let mut asked: BTreeMap<CredentialName, u32> = BTreeMap::new();
        for (_, credential) in self.stops.drain().map(|(_, of)| of) {
            if !credential.is_anonymous() {
                *asked.entry(credential).or_default() += 1;
            }
        }
        for (credential, requests) in asked {
            let counted = Store::hand(&self.plan.store.path)
                .and_then(|mut hand| hand.spent(&credential, requests));
            if let Err(error) = counted {
                tracing::warn!(%credential, "{requests} requests that were broken off are not counted: {error}");
            }
        }
    }

    /// What the machine is told of a task that ended; `None`: it was given up before.
    fn ended(
        &mut self,
        ended: Result<(RunId, Option<Judged>), tokio::task::JoinError>,
    ) -> Option<Event> {
        let (run, judged) = ended.ok()?;
        self.stops.remove(&run);
        let Some(judged) = judged else {
            self.own.panicked();
            return Some(Event::Lost { run });
        };
        let judged = match &self.recorder {
            Some(recorder) => recorder.masked(judged),
            None => judged,
        };
        Some(Event::Ended {
            run,
            judged: Arc::new(judged),
        })
    }
}

impl Loop {
    fn step(&mut self, event: Event, now: Timestamp) {
        let event = match &self.work.recorder {
            Some(recorder) => recorder.heard(event),
            None => event,
        };
        self.driver.step(event, now, &mut self.work);
        self.work.own.turned(self.driver.machine());
        if std::mem::take(&mut self.work.changed) {
            self.work.own.incidents(self.driver.machine());
        }
    }

    /// Until the next thing that is due.
    fn nap(&self, now: Timestamp) -> Duration {
        let wait = self.driver.wake().unwrap_or(now).duration_since(now);
        Duration::try_from(wait)
            .unwrap_or(Duration::ZERO)
            .min(NAP_MAX)
    }

    /// Applies what somebody asked for.
    fn heard(&mut self, heard: Heard, now: Timestamp) {
        match heard {
            Heard::Silences(silences) => {
                tracing::info!("{} silences are in force", silences.len());
                self.step(Event::Silenced(silences), now);
            }
            Heard::Care {
                incident,
                care,
                ask,
            } => {
                let released = matches!(care, Care::Released(_));
                let open = |machine: &Machine| {
                    let known = machine.incidents().find(|known| known.number == incident);
                    known.map(|known| known.acknowledged.is_some())
                };
                let answer = match (open(self.driver.machine()), released) {
                    (None, _) => {
                        tracing::info!(incident, "there is no such open incident to acknowledge");
                        "not open"
                    }
                    (Some(false), true) => "not acknowledged",
                    (Some(true), true) => "released",
                    (Some(_), false) => "acknowledged",
                };
                self.step(Event::Care { incident, care }, now);
                if let Some(ask) = ask {
                    self.work.keeper.answer(ask, answer);
                }
            }
            Heard::Round {
                probes,
                cells,
                who,
                ask,
            } => {
                let plan = &self.work.plan;
                let meant = plan
                    .cells()
                    .filter(|(it, cell)| probes.contains(&it.name) || cells.contains(cell));
                let count = meant.count();
                tracing::info!("{who} asks for a round now: {count} cells");
                self.step(Event::Wanted { probes, cells, who }, now);
                let answer = if count == 0 {
                    "nothing of it can run"
                } else {
                    "asked, as fast as politeness allows"
                };
                self.work.keeper.answer(ask, answer);
            }
            Heard::Spent {
                credential,
                requests,
                ask,
            } => {
                self.step(
                    Event::Spent {
                        credential,
                        requests,
                    },
                    now,
                );
                self.work.keeper.answer(ask, "counted");
            }
            Heard::Again { ask } => {
                self.work.store.outbox_changed();
                self.work.keeper.answer(ask, "waits to be sent");
            }
        }
    }

    /// Takes what sites have seen, with the place in the stream behind it, or which of them are silent.
    fn sites_have(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Batch { runs, position } => {
                self.work.together = Some(Vec::with_capacity(runs.len()));
                for judged in runs {
                    let judged = match &self.work.recorder {
                        Some(recorder) => recorder.masked(judged),
                        None => judged,
                    };
                    self.step(Event::Reported(Arc::new(judged)), clock::now());
                }
                let together = self.work.together.take().unwrap_or_default();
                let store = &self.work.store;
                store.record_all(&together, sites::POSITION, position);
            }
            Incoming::Silent(silent) => self.step(Event::Silent(silent), clock::now()),
        }
    }

    /// Reads the file again; a faulty one leaves everything as it is, and shows wherever we are watched.
    async fn reload(&mut self, config: Option<&std::path::Path>) {
        let Some(path) = config else { return };
        let (found, on_disk) = load::attempt(path);
        if let Some(watch) = &mut self.watch {
            watch.was_read(on_disk);
        }
        self.take_or_refuse(path, found).await;
    }

    /// Takes an edit by itself, once it has stood.
    async fn look_at_edits(&mut self, config: Option<&std::path::Path>) {
        let Some(watch) = &mut self.watch else { return };
        if let Some((path, found)) = config.zip(watch.look(clock::now())) {
            self.take_or_refuse(path, found).await;
        }
    }

    async fn take_or_refuse(
        &mut self,
        path: &std::path::Path,
        found: Result<load::Loaded, load::Error>,
    ) {
        self.work.own.reloading();
        let taken = match found {
            Ok(loaded) => self.take(path, loaded).await,
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = taken {
            tracing::error!(
                "{} was not taken, the old one stays in force:\n{why}",
                path.display()
            );
            self.refuse(path, &why);
        } else {
            self.refusal.taken(clock::now());
        }
    }

    /// Says so once a right file has been in force for a while, after one that was not taken.
    fn look_at_the_file(&mut self, config: Option<&std::path::Path>) {
        if let Some(path) = config
            && self.refusal.is_over(clock::now())
        {
            self.notice(Notice {
                headline: format!(
                    "{} is in force again, after one that was not taken",
                    shown(path)
                ),
                ..Notice::of_ourselves(clock::now())
            });
        }
    }

    /// Says of a file that was not taken wherever we are watched, once.
    fn refuse(&mut self, path: &std::path::Path, why: &str) {
        let around = around(&self.driver, &self.work.keeper, clock::now());
        self.work.own.refused(&self.work.plan, why, around);
        if self.refusal.refused() {
            let faults = why.lines().filter(|line| !line.starts_with(' '));
            let faults = faults.take(FAULTS_TOLD);
            self.notice(Notice {
                headline: format!(
                    "{} was not taken, the one before stays in force",
                    shown(path)
                ),
                because: faults.map(ToOwned::to_owned).collect(),
                next_step: Some(format!(
                    "Mend the file (`edgewatch check` shows every fault){}",
                    if self.work.plan.watch {
                        "; it is taken by itself once it is right"
                    } else {
                        ", then reload"
                    }
                )),
                ..Notice::of_ourselves(clock::now())
            });
        }
    }

    /// Says so when nothing can be kept, past the store, and when it can be again.
    fn look_at_writing(&mut self) {
        let plan = &self.work.plan;
        let open: Vec<unwritten::Open> = self
            .driver
            .machine()
            .incidents()
            .map(|it| (it.number, it.opened_at, headline(plan, it)))
            .collect();
        let health = self.work.store.health();
        match self
            .unwritten
            .look(&health, Notice::of_ourselves(clock::now()), &open)
        {
            None => {}
            Some(Say::CanAgain(notice)) => self.notice(notice),
            Some(Say::Cannot(notice)) => {
                tracing::error!("{}", notice.headline);
                let due =
                    notice::due_to_anybody(plan, &notice.masked(&plan.secrets()), clock::now());
                Deliver::tell_past_the_store(
                    due,
                    &plan.receivers,
                    &Timing::default(),
                    &self.messages,
                );
            }
        }
    }

    /// Says so when buttons are not heard, and draws messages without them until they are.
    async fn look_at_buttons(&mut self) {
        let hearing = self.clicks.as_ref().map(Clicks::hearing);
        let told = self.ears.look(
            &hearing.unwrap_or_default(),
            Notice::of_ourselves(clock::now()),
        );
        if let Some(notice) = told {
            tracing::warn!("{}", notice.headline);
            self.notice(notice);
            self.deliver_anew().await;
        }
    }

    /// The clock of the host was set: all that is open goes on by the clock as it is, and it is told.
    async fn clock_was_set(&mut self, by: SignedDuration) {
        let said = format!("The clock of edgewatch's host was set {}", set_by(by));
        tracing::error!(
            "{said}; what is open goes on with its times moved, and every cell is asked anew"
        );
        let now = clock::now();
        self.step(Event::ClockSet { by }, now);
        if let Err(error) = self.work.store.clock_was_set(by, now).await {
            tracing::error!("what waits keeps the times of the former clock: {error}");
        }
        self.deliver_anew().await;
        self.notice(Notice {
            headline: said,
            because: vec![
                "Open incidents go on with their times moved; runs of the time that comes again are forgotten"
                    .to_owned(),
            ],
            next_step: Some("Find out who sets it: clocks of servers are kept by NTP".to_owned()),
            ..Notice::of_ourselves(clock::now())
        });
    }

    /// The store was written anew: what it had lost and is still known here is kept again, and it is told.
    fn store_was_renewed(&mut self, renewed: &Renewed) {
        if !renewed.whole {
            for incident in self.driver.machine().incidents() {
                let text = "kept anew: the store was cut while edgewatch ran".to_owned();
                self.work.keeper.change(Box::new(Change {
                    incident: incident.clone(),
                    timeline: vec![TimelineEntry {
                        at: clock::now(),
                        what: Happening::Changed,
                        text,
                    }],
                    notifications: Vec::new(),
                }));
            }
        }
        let said = renewed.said(&self.work.plan.store.path);
        self.notice(Notice {
            headline: said[..1].to_uppercase() + &said[1..],
            because: renewed.lost().iter().map(ToString::to_string).collect(),
            next_step: Some(
                "Find out who removed or cut it, so that it does not happen again".to_owned(),
            ),
            ..Notice::of_ourselves(clock::now())
        });
    }

    /// Tells those who want notices.
    fn notice(&self, notice: Notice) {
        let notice = notice.masked(&self.work.plan.secrets());
        self.work.keeper.learned(Box::new(Learned {
            memory: Memory::default(),
            notifications: notice::due(&self.work.plan, &notice, clock::now()),
        }));
    }

    async fn take(&mut self, path: &std::path::Path, loaded: load::Loaded) -> Result<(), String> {
        let load::Loaded {
            checked,
            source,
            secret_files,
            on_disk,
        } = loaded;
        if checked.plan.nats != self.work.plan.nats {
            return Err(
                "what the file says of \"nats\" is taken at a start alone: stop this one, and start `edgewatch hub` (or `edgewatch run`, without sites)"
                    .to_owned(),
            );
        }
        let prober = Prober::new(&checked.plan)?;
        let prepared = self.work.own.prepare(&checked.plan).await?;
        load::log_warnings(&checked);
        if self.work.plan.store != checked.plan.store {
            tracing::warn!(
                "what {} says of the store is taken at the next start; until then {} is kept as before",
                path.display(),
                self.work.plan.store.path.display()
            );
        }
        let now = clock::now();
        let receivers_changed = self.work.plan.receivers != checked.plan.receivers;
        // The open store stays as it is, and the plan says what is.
        let store = self.work.plan.store.clone();
        let difference = Difference::between(&self.work.plan, &checked.plan);
        let changes = difference.lines();
        self.work.plan = Arc::new(Plan {
            store,
            ..checked.plan
        });
        self.work.store.mask(self.work.plan.secrets());
        self.work.prober = Arc::new(prober);
        let for_sites = sites::Source {
            source: source.clone(),
            secret_files,
            ..sites::Source::default()
        };
        kept(path, source.clone()).keep(&self.work.store, changes.clone());
        if let Some(recorder) = &mut self.work.recorder {
            recorder.replace(source, self.work.plan.secrets());
        }
        if let Some(remote) = &self.work.remote {
            remote.want(sites::wanted(&self.work.plan, &for_sites));
        }
        self.step(Event::PlanReplaced(self.work.plan.clone()), now);
        self.work.showing.taken(&self.work.plan).await;
        if receivers_changed || self.deliver.is_none() {
            self.deliver_anew().await;
        }
        let around = around(&self.driver, &self.work.keeper, clock::now());
        let said = changes.join("; ");
        tracing::info!("{} is in force: {said}", path.display());
        if !difference.is_empty() {
            self.notice(Notice {
                headline: format!("{} was edited and is in force: {said}", shown(path)),
                ..Notice::of_ourselves(clock::now())
            });
        }
        let taken = Taken {
            prepared,
            on_disk,
            changes,
        };
        self.work.own.taken(&self.work.plan, taken, around);
        Ok(())
    }

    /// Hears the buttons of the present plan's receivers.
    fn listen(&mut self) {
        let actions = self.actions.as_ref();
        self.clicks =
            actions.map(|a| Clicks::start(&self.work.plan.receivers, &Patience::default(), a));
    }

    /// Stops the workers and starts those of the present plan; what was on its way is looked for first.
    async fn deliver_anew(&mut self) {
        if let Some(clicks) = self.clicks.take() {
            clicks.stop().await;
        }
        if let Some(deliver) = self.deliver.take() {
            deliver.stop(STOP_STEP).await;
        }
        self.listen();
        let heard = self.actions.is_some() && !self.ears.are_deaf();
        let receivers = drawn(&self.work.plan.receivers, heard);
        match Deliver::start(
            self.work.store.clone(),
            &receivers,
            Timing::default(),
            self.messages.clone(),
        )
        .await
        {
            Ok(deliver) => self.deliver = Some(deliver),
            Err(error) => {
                tracing::error!(
                    "messages wait in the store, delivery is tried again soon: {error}"
                );
            }
        }
    }
}

/// The receivers as messages are drawn for them: with buttons only where somebody takes what they ask.
fn drawn(receivers: &[Receiver], heard: bool) -> Vec<Receiver> {
    let mut receivers = receivers.to_vec();
    for receiver in &mut receivers {
        if let Channel::Slack { buttons, .. } = &mut receiver.channel
            && !heard
        {
            *buttons = None;
        }
    }
    receivers
}
