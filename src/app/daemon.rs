//! The daemon: starts in one straight line, runs one loop, stops in reverse.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::asks::{Asks, Heard};
use super::clicks::Clicks;
use super::deliver::{Deliver, Print, Timing};
use super::keeper::Keeper;
use super::self_watch::{Around, SelfWatch};
use super::{load, round};
use crate::clock;
use crate::domain::action::Action;
use crate::domain::cell::CellKey;
use crate::domain::notification::{Channel, Receiver};
use crate::domain::observation::Purpose;
use crate::domain::plan::Plan;
use crate::domain::secret::mask;
use crate::domain::surroundings::{Learned, Memory};
use crate::domain::verdict::Kind;
use crate::machine::monitor::{Effect, Event, Judged, Monitor};
use crate::machine::schedule::{Asked, Start, Timetable};
use crate::notify::slack_socket::Patience;
use crate::probe::Prober;
use crate::store::Store;
use crate::surroundings::notice::{self, Notice};

/// The longest sleep: after it the loop looks at the wall clock again, so that a machine that slept
/// or a clock that was set is noticed.
const NAP_MAX: Duration = Duration::from_secs(10);

/// How long stopping may take, each step.
const STOP_STEP: Duration = Duration::from_secs(5);

/// Faults of a file that a notice names.
const FAULTS_TOLD: usize = 3;

/// What the daemon tells whoever runs it in the foreground.
#[derive(Debug)]
pub enum News<'a> {
    /// It probes now; metrics and health are served here, if at all.
    Started(Option<std::net::SocketAddr>),
    /// A run ended.
    Judged(&'a Judged),
    /// An incident opened, changed or ended; the change is on its way to the store.
    Changed(&'a crate::domain::change::Change),
}

/// A listener in the foreground; called from the loop, so it must be quick.
pub type Listener = Box<dyn FnMut(News<'_>) + Send>;

/// How to start.
pub struct Options {
    pub plan: Plan,
    /// The file to read again on SIGHUP; `None` for a plan that has no file.
    pub config: Option<PathBuf>,
    /// Told of every run and change; the demo draws from it.
    pub listener: Option<Listener>,
    /// Where messages go that have no channel (no token, or a `log` receiver).
    pub messages: Print,
    /// The way from buttons to the loop; without one, messages have no buttons.
    pub actions: Option<(mpsc::Sender<Action>, mpsc::Receiver<Action>)>,
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

/// Starts everything, runs until told to stop, and stops in reverse.
///
/// # Errors
/// A sentence when something needed at the start is not to be had: the store, the roots.
pub async fn run(options: Options, mut commands: mpsc::Receiver<Command>) -> Result<(), String> {
    let plan = Arc::new(options.plan);
    let opened = Store::open(&plan.store.path, &plan.store).map_err(|e| e.to_string())?;
    let store = opened.store;
    store.mask(plan.secrets());
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
    let own = SelfWatch::start(&plan, store.clone(), clock::now()).await?;
    let deliver = Deliver::start(
        store.clone(),
        &receivers,
        Timing::default(),
        options.messages.clone(),
    )
    .await
    .map_err(|e| e.to_string())?;
    let keeper = Keeper::start(store.clone());
    let mut asks = Asks::start(store.clone(), silences.clone(), clicks);

    let now = clock::now();
    let mut state = Loop {
        monitor: Monitor::new(plan.clone(), known.incidents, known.next_number)
            .with_silences(silences)
            .remembering(memory, now),
        timetable: Timetable::new(&plan, now),
        plan,
        prober,
        store: store.clone(),
        keeper,
        listener: options.listener,
        deliver: Some(deliver),
        clicks: None,
        messages: options.messages,
        actions,
        runs: JoinSet::new(),
        starts: Vec::new(),
        refused: false,
        own,
    };
    state.listen();
    state.own.incidents(&state.monitor);
    tracing::info!(
        cells = state.plan.cells().count(),
        store = %state.plan.store.path.display(),
        "edgewatch {} is probing",
        env!("CARGO_PKG_VERSION"),
    );
    state.own.ready();
    if let Some(listener) = &mut state.listener {
        listener(News::Started(state.own.address()));
    }

    loop {
        state.start_due(clock::now());
        let nap = state.nap(clock::now());
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Reload) => state.reload(options.config.as_deref()).await,
                Some(Command::Stop) | None => break,
            },
            _ = state.own.beats.tick() => {
                state.beat(clock::now());
                if state.deliver.is_none() {
                    state.deliver_anew().await;
                }
            }
            Some(question) = state.own.questions.recv() => {
                state.own.answer(question, around(
                    &state.timetable,
                    &state.monitor,
                    &state.keeper,
                    clock::now(),
                ));
            }
            heard = asks.next() => state.heard(heard, clock::now()),
            Some(ended) = state.runs.join_next(), if !state.runs.is_empty() => state.ended(ended),
            () = tokio::time::sleep(nap) => state.step(Event::Tick, clock::now()),
        }
    }

    tracing::info!("stopping");
    state.own.stopping();
    if let Some(clicks) = state.clicks {
        clicks.stop().await;
    }
    asks.stop();
    state.runs.shutdown().await;
    state.own.stopped(around(
        &state.timetable,
        &state.monitor,
        &state.keeper,
        clock::now(),
    ));
    state.keeper.stop(STOP_STEP).await;
    if let Some(deliver) = state.deliver {
        deliver.stop(STOP_STEP).await;
    }
    store.close().await;
    Ok(())
}

struct Loop {
    plan: Arc<Plan>,
    monitor: Monitor,
    timetable: Timetable,
    prober: Arc<Prober>,
    store: Store,
    keeper: Keeper,
    listener: Option<Listener>,
    /// `None` only while delivery can't be started again after a reload.
    deliver: Option<Deliver>,
    /// `None` where nobody takes actions.
    clicks: Option<Clicks>,
    messages: Print,
    actions: Option<mpsc::Sender<Action>>,
    /// Runs in flight, by the cell that was due; a panic in one stays in its task and gives the cell back
    /// without a verdict.
    runs: JoinSet<(CellKey, Option<Judged>)>,
    /// Kept between rounds so that starting cells allocates nothing.
    starts: Vec<Start>,
    /// The last reload was refused, and told.
    refused: bool,
    own: SelfWatch,
}

/// A notice about ourselves, without its words.
fn own_notice() -> Notice {
    Notice {
        at: clock::now(),
        subject: "edgewatch".to_owned(),
        our_side: true,
        probes: Vec::new(),
        headline: String::new(),
        because: Vec::new(),
        next_step: None,
        // Whoever is at work on a partner or on our network is not at work on this.
        during: Vec::new(),
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
fn around<'a>(
    timetable: &'a Timetable,
    monitor: &'a Monitor,
    keeper: &Keeper,
    now: Timestamp,
) -> Around<'a> {
    Around {
        timetable,
        monitor,
        waiting_changes: keeper.waiting(),
        now,
    }
}

impl Loop {
    fn beat(&mut self, now: Timestamp) {
        self.own
            .beat(around(&self.timetable, &self.monitor, &self.keeper, now));
    }

    fn start_due(&mut self, now: Timestamp) {
        let room = self.plan.runs_in_flight_max.saturating_sub(self.runs.len());
        self.timetable.due(now, room, &mut self.starts);
        for start in self.starts.drain(..) {
            if !self.monitor.wants(&start.cell, start.purpose) {
                self.timetable.finished(&start.cell);
                continue;
            }
            let aimed = match start.purpose {
                Purpose::Schedule => self.monitor.aim(&start.cell, start.due_at),
                _ => None,
            };
            let (plan, prober) = (self.plan.clone(), self.prober.clone());
            self.runs.spawn(async move {
                let cell = aimed.as_ref().unwrap_or(&start.cell);
                let run = round::run(&plan, &prober, cell, start.purpose, start.due_at);
                let judged = AssertUnwindSafe(run).catch_unwind().await.ok();
                (start.cell, judged)
            });
        }
        self.own.turned(&self.timetable);
    }

    /// Until the next thing that is due.
    fn nap(&self, now: Timestamp) -> Duration {
        let next = [self.timetable.next_wake(), self.monitor.next_wake()]
            .into_iter()
            .flatten()
            .min();
        match next {
            Some(at) => Duration::try_from(at.duration_since(now))
                .unwrap_or(Duration::ZERO)
                .min(NAP_MAX),
            None => NAP_MAX,
        }
    }

    fn ended(&mut self, ended: Result<(CellKey, Option<Judged>), tokio::task::JoinError>) {
        let Ok((cell, judged)) = ended else { return };
        self.timetable.finished(&cell);
        match judged {
            Some(judged) => {
                self.own.ended(&judged);
                self.store.record(&judged.observation, &judged.verdict);
                tracing::debug!(
                    probe = %judged.observation.cell.probe,
                    egress = %judged.observation.cell.egress,
                    client = %judged.observation.cell.client,
                    verdict = %judged.verdict.kind,
                    took_ms = judged.observation.took.as_millis() as u64,
                    "run"
                );
                if let Some(wait) = judged.verdict.retry_after
                    && judged.verdict.kind == Kind::RateLimited
                {
                    let now = clock::now();
                    self.timetable
                        .hold(&cell, now.saturating_add(wait).unwrap_or(now), now);
                }
                if let Some(listener) = &mut self.listener {
                    listener(News::Judged(&judged));
                }
                self.step(Event::Observed(Box::new(judged)), clock::now());
            }
            None => self.panicked(&cell),
        }
    }

    /// Applies what somebody asked for.
    fn heard(&mut self, heard: Heard, now: Timestamp) {
        match heard {
            Heard::Silences(silences) => {
                tracing::info!("{} silences are in force", silences.len());
                self.step(Event::Silenced(silences), now);
            }
            Heard::Acknowledged { incident, by, ask } => {
                self.step(Event::Acknowledged { incident, by }, now);
                let mut open = self.monitor.incidents();
                let answer = if open.any(|known| known.number == incident) {
                    "acknowledged"
                } else {
                    tracing::info!(incident, "there is no such open incident to acknowledge");
                    "not open"
                };
                if let Some(ask) = ask {
                    self.keeper.answer(ask, answer);
                }
            }
        }
    }

    fn panicked(&mut self, cell: &CellKey) {
        self.own.panicked();
        tracing::error!(%cell, "a run panicked; please report this, with the message above");
    }

    fn step(&mut self, event: Event, now: Timestamp) {
        let mut changed = false;
        for effect in self.monitor.step(event, now) {
            match effect {
                Effect::Run {
                    cell,
                    at,
                    purpose,
                    why,
                    ..
                } => {
                    tracing::debug!(%cell, purpose = purpose.as_str(), "extra run: {why}");
                    if self.timetable.ask(&cell, at, purpose, &why) == Asked::Unknown {
                        tracing::debug!(%cell, "an extra run was asked of a cell that the plan no longer has");
                    }
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
                    changed = true;
                    self.own.changed(&change);
                    if let Some(listener) = &mut self.listener {
                        listener(News::Changed(&change));
                    }
                    self.keeper.change(change);
                }
            }
        }
        if changed {
            self.own.incidents(&self.monitor);
        }
    }

    /// Reads the file again; a faulty one leaves everything as it is, and shows wherever we are watched.
    async fn reload(&mut self, config: Option<&std::path::Path>) {
        let Some(path) = config else { return };
        self.own.reloading();
        if let Err(why) = self.take(path).await {
            tracing::error!(
                "{} was not taken, the old one stays in force:\n{why}",
                path.display()
            );
            let around = around(&self.timetable, &self.monitor, &self.keeper, clock::now());
            self.own.refused(&self.plan, &why, around);
            if !std::mem::replace(&mut self.refused, true) {
                let faults = why.lines().filter(|line| !line.starts_with(' '));
                let faults = faults.take(FAULTS_TOLD);
                self.notice(Notice {
                    headline: format!(
                        "{} was not taken, the one before stays in force",
                        shown(path)
                    ),
                    because: faults.map(ToOwned::to_owned).collect(),
                    next_step: Some(
                        "Mend the file (`edgewatch check` shows every fault), then reload"
                            .to_owned(),
                    ),
                    ..own_notice()
                });
            }
        } else if std::mem::take(&mut self.refused) {
            self.notice(Notice {
                headline: format!(
                    "{} is in force again, after one that was not taken",
                    shown(path)
                ),
                ..own_notice()
            });
        }
    }

    /// Tells those who want notices.
    fn notice(&self, notice: Notice) {
        let secrets = self.plan.secrets();
        let because = notice
            .because
            .iter()
            .map(|text| mask(text, &secrets))
            .collect();
        let notice = Notice { because, ..notice };
        self.keeper.learned(Box::new(Learned {
            memory: Memory::default(),
            notifications: notice::due(&self.plan, &notice, clock::now()),
        }));
    }

    async fn take(&mut self, path: &std::path::Path) -> Result<(), String> {
        let checked = load::load(path).map_err(|e| e.to_string())?;
        let prober = Prober::new(&checked.plan)?;
        let prepared = self.own.prepare(&checked.plan).await?;
        load::log_warnings(&checked);
        if self.plan.store != checked.plan.store {
            tracing::warn!(
                "what {} says of the store is taken at the next start; until then {} is kept as before",
                path.display(),
                self.plan.store.path.display()
            );
        }
        let now = clock::now();
        let receivers_changed = self.plan.receivers != checked.plan.receivers;
        // The open store stays as it is, and the plan says what is.
        let store = self.plan.store.clone();
        self.plan = Arc::new(Plan {
            store,
            ..checked.plan
        });
        self.store.mask(self.plan.secrets());
        self.prober = Arc::new(prober);
        self.timetable.replace(&self.plan, now);
        self.step(Event::PlanReplaced(self.plan.clone()), now);
        if receivers_changed || self.deliver.is_none() {
            self.deliver_anew().await;
        }
        let around = around(&self.timetable, &self.monitor, &self.keeper, clock::now());
        self.own.taken(&self.plan, prepared, around);
        tracing::info!(
            cells = self.plan.cells().count(),
            "{} is in force",
            path.display()
        );
        Ok(())
    }

    /// Hears the buttons of the present plan's receivers.
    fn listen(&mut self) {
        let actions = self.actions.as_ref();
        self.clicks = actions.map(|a| Clicks::start(&self.plan.receivers, &Patience::default(), a));
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
        let receivers = drawn(&self.plan.receivers, self.actions.is_some());
        match Deliver::start(
            self.store.clone(),
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
