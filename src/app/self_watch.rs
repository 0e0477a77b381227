//! The daemon as its own patient: it counts what it does, and every few seconds it looks whether it is at work.
//!
//! All of this happens in the loop. So whatever is told outside, by heartbeat, watchdog or `/healthz`, is
//! told by the loop itself, and a loop that stands still can tell nothing. Nothing here waits: who is told
//! over a network is told by a task of its own.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::on_disk::OnDisk;
use crate::board::quiet::InForce;
use crate::domain::change::Change;
use crate::domain::hubs::HubFacts;
use crate::domain::incident::Subject;
use crate::domain::keeping::Health;
use crate::domain::moment::elapsed;
use crate::domain::mute::Silence;
use crate::domain::plan::{Listen, Plan};
use crate::domain::secret::mask;
use crate::domain::site::Sites;
use crate::machine::{Judged, Machine};
use crate::store::Store;
use crate::telemetry::listener::{self, Bound, Question};
use crate::telemetry::progress::{Limits, Progress, Seen, Stall};
use crate::telemetry::vitals::{
    Edited, MaintenanceFacts, NOTE, PlanFacts, Reload, Runs, SILENCES_TOLD, SilenceFacts,
};
use crate::telemetry::{Heartbeat, Listener, Live, Meters, Metrics, Systemd, Told, Vitals};

/// At most this long between two looks, and so between two notes in the store.
const BEAT_MAX: Duration = Duration::from_secs(10);
/// At least this long, whatever a service manager or a file asks for.
const BEAT_MIN: Duration = Duration::from_millis(10);
/// An edit that is taken by itself is no news for so long.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// Questions that may wait for the loop.
const QUESTIONS_MAX: usize = 16;

/// What the loop knows and this does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) machine: &'a Machine,
    /// Changes that wait for the store.
    pub(super) waiting_changes: usize,
    pub(super) now: Timestamp,
}

pub(super) struct SelfWatch {
    /// When to look next; for the loop to wait on.
    pub(super) beats: Interval,
    /// Who wants to know how we are; for the loop to wait on.
    pub(super) questions: mpsc::Receiver<Question>,
    ask: mpsc::Sender<Question>,
    store: Store,
    metrics: Arc<Metrics>,
    meters: Meters,
    listen: Option<Listen>,
    listener: Option<Listener>,
    systemd: Option<Systemd>,
    told: Arc<Told>,
    pulse: Pulse,
    progress: Progress,
    stalled: Option<Stall>,
    started_at: Timestamp,
    plan: PlanFacts,
    reload: Option<Reload>,
    /// What the plan in force was read from; `None` where that is not the disk.
    on_disk: Option<OnDisk>,
    /// It was edited, and not read again.
    edited: Option<Edited>,
    /// Edits are taken by themselves.
    watching: bool,
    /// Only `ended` and `panicked`; the rest is the timetable's.
    runs: Runs,
    incidents_open: u64,
    noted_at: Timestamp,
    /// `None`: there are none.
    sites: Option<watch::Receiver<Sites>>,
    /// `None`: it is the only hub, or none.
    hub: Option<watch::Receiver<HubFacts>>,
}

/// The heartbeat, and when the next one is due.
struct Pulse {
    configured: Option<crate::domain::plan::Heartbeat>,
    sender: Option<Heartbeat>,
    last_at: Option<Timestamp>,
}

/// What comes with a plan that was taken.
pub(super) struct Taken {
    pub(super) prepared: Prepared,
    pub(super) on_disk: Option<OnDisk>,
    /// What differs from the one before.
    pub(super) changes: Vec<String>,
}

/// What a reload got ready before it touched anything.
pub(super) struct Prepared(Option<Bound>);

impl SelfWatch {
    /// Takes the address and gets everything ready; nothing is served or told yet.
    ///
    /// # Errors
    /// A sentence when the address can't be listened on.
    pub(super) async fn start(
        plan: &Plan,
        store: Store,
        on_disk: Option<OnDisk>,
        now: Timestamp,
    ) -> Result<Self, String> {
        let bound = match &plan.listen {
            Some(listen) => Some(listener::bind(listen).await?),
            None => None,
        };
        let told = Arc::new(Told::default());
        let metrics = Arc::new(Metrics::new(now, live(store.clone(), Arc::clone(&told))));
        let (ask, questions) = mpsc::channel(QUESTIONS_MAX);
        let systemd = Systemd::from_env();
        let facts = plan_facts(plan, 1, now);
        let meters = metrics.meters(plan, None);
        meters.plan(&facts);
        let mut it = Self {
            beats: interval(plan, systemd.as_ref()),
            questions,
            ask,
            store,
            meters,
            listen: plan.listen,
            listener: None,
            systemd,
            told,
            pulse: Pulse {
                configured: None,
                sender: None,
                last_at: None,
            },
            progress: Progress::new(Limits::of(plan), now),
            stalled: None,
            started_at: now,
            plan: facts,
            reload: None,
            on_disk,
            edited: None,
            watching: plan.watch,
            runs: Runs::default(),
            incidents_open: 0,
            noted_at: Timestamp::MIN,
            sites: None,
            hub: None,
            metrics,
        };
        it.serve(bound);
        it.set_heartbeat(plan);
        Ok(it)
    }

    /// Where it can be asked.
    pub(super) fn address(&self) -> Option<std::net::SocketAddr> {
        self.listener.as_ref().map(Listener::address)
    }

    /// The way to ask the loop how it is.
    pub(super) fn asker(&self) -> mpsc::Sender<Question> {
        self.ask.clone()
    }

    /// The service manager may go on.
    pub(super) fn ready(&self) {
        if let Some(systemd) = &self.systemd {
            systemd.ready();
        }
    }

    /// Hears from now on how agents at other sites are.
    pub(super) fn follow_sites(&mut self, sites: watch::Receiver<Sites>) {
        self.sites = Some(sites);
    }

    /// Shows from now on how this hub stands beside others.
    pub(super) fn follow_hub(&mut self, hub: watch::Receiver<HubFacts>) {
        self.hub = Some(hub);
    }

    fn sites(&self) -> Option<Sites> {
        self.sites.as_ref().map(|sites| sites.borrow().clone())
    }

    /// A run ended.
    pub(super) fn ended(&mut self, judged: &Judged) {
        self.runs.ended += 1;
        self.meters.ended(&judged.observation, judged.verdict.kind);
    }

    /// A run came from a site.
    pub(super) fn reported(&self, judged: &Judged) {
        self.meters.ended(&judged.observation, judged.verdict.kind);
    }

    pub(super) fn panicked(&mut self) {
        self.runs.panicked += 1;
    }

    /// Incidents changed.
    pub(super) fn changed(&mut self, change: &Change) {
        for entry in &change.timeline {
            self.meters.happened(entry.what);
        }
    }

    pub(super) fn incidents(&mut self, machine: &Machine) {
        let (mut partner, mut ours) = (0, 0);
        for incident in machine.incidents() {
            *(match incident.subject {
                Subject::Host(_) | Subject::Partner(_) | Subject::Vendor(_) => &mut partner,
                Subject::OurNetwork | Subject::Site(_) => &mut ours,
            }) += 1;
        }
        self.incidents_open = partner + ours;
        self.meters.incidents(partner, ours);
    }

    /// Shows how runs stand; called at every turn of the loop.
    pub(super) fn turned(&self, machine: &Machine) {
        self.meters.runs(&self.runs_now(machine));
    }

    /// Looks whether the daemon is at work, and tells whoever must hear of it.
    pub(super) fn beat(&mut self, around: Around<'_>) {
        let now = around.now;
        let runs = self.runs_now(around.machine);
        let health = self.store.health();
        let seen = Seen {
            ended: runs.ended,
            in_flight: runs.in_flight,
            written: health.written_rows,
            unwritten: health.queued_rows + around.waiting_changes as u64,
            failing_since: health.failing_since,
        };
        let stalled = self.progress.look(seen, now);
        match (&self.stalled, &stalled) {
            (None, Some(stall)) => tracing::error!("edgewatch runs and is not at work: {stall}"),
            (Some(_), None) => tracing::info!("edgewatch is at work again"),
            _ => {}
        }
        self.stalled = stalled;
        self.look_at_disk(now);
        self.meters.turned(now, stalled.is_some());
        self.meters.waiting_changes(around.waiting_changes as u64);
        if let Some(sites) = self.sites() {
            self.meters.sites(&sites);
        }
        if let Some(hub) = &self.hub {
            self.meters.hub(&hub.borrow());
        }
        self.tell_systemd();
        self.tell_switch(now);
        if now.duration_since(self.noted_at).unsigned_abs() >= BEAT_MAX {
            self.note(&self.vitals(around));
        }
    }

    /// Looks whether somebody edited the file without having it read again.
    fn look_at_disk(&mut self, now: Timestamp) {
        let before = self.edited.take();
        let edited = self.on_disk.as_mut().and_then(|disk| disk.look(now));
        let soon = |edited: &&Edited| elapsed(edited.since, now) < TAKEN_WITHIN;
        self.edited = edited.filter(|it| !(self.watching && soon(it))).cloned();
        if let Some(Edited { what, .. }) = &self.edited
            && before != self.edited
            && !self.watching
        {
            tracing::warn!(
                "{what} on the disk is not what is in force; SIGHUP (`systemctl reload edgewatch`) reads it again"
            );
        }
        self.meters.edited(self.edited.is_some());
    }

    pub(super) fn answer(&mut self, question: Question, around: Around<'_>) {
        // Who asks wants to know it of now.
        self.look_at_disk(around.now);
        // Who asked may have lost patience.
        let _ = question.send(self.vitals(around));
    }

    /// A reload begins.
    pub(super) fn reloading(&self) {
        if let Some(systemd) = &self.systemd {
            systemd.reloading();
        }
    }

    /// Takes what the new plan needs, or says why it can't be had; the old one's stays.
    pub(super) async fn prepare(&self, plan: &Plan) -> Result<Prepared, String> {
        let address = |listen: &Option<Listen>| listen.map(|l| l.address);
        match &plan.listen {
            Some(listen) if address(&plan.listen) != address(&self.listen) => {
                listener::bind(listen)
                    .await
                    .map(|bound| Prepared(Some(bound)))
            }
            _ => Ok(Prepared(None)),
        }
    }

    /// The new plan is in force.
    pub(super) fn taken(&mut self, plan: &Plan, taken: Taken, around: Around<'_>) {
        let now = around.now;
        let Taken {
            prepared,
            on_disk,
            changes,
        } = taken;
        (self.on_disk, self.edited) = (on_disk, None);
        self.watching = plan.watch;
        self.meters.edited(false);
        self.plan = plan_facts(plan, self.plan.generation + 1, now);
        self.meters = self.metrics.meters(plan, Some(&self.meters));
        self.meters.plan(&self.plan);
        self.progress.set(Limits::of(plan));
        match (plan.listen, prepared.0) {
            (None, _) => self.listener = None,
            (Some(_), bound @ Some(_)) => self.serve(bound),
            (Some(listen), None) => {
                if let Some(listener) = &self.listener {
                    listener.set_exposed(listen.exposed);
                }
            }
        }
        self.listen = plan.listen;
        self.set_heartbeat(plan);
        self.beats = interval(plan, self.systemd.as_ref());
        self.reloaded(None, changes, around);
    }

    /// The new file was not taken. What it says may quote the file; secrets are masked there already.
    pub(super) fn refused(&mut self, plan: &Plan, why: &str, around: Around<'_>) {
        self.reloaded(Some(mask(why, &plan.secrets())), Vec::new(), around);
    }

    fn reloaded(&mut self, error: Option<String>, changes: Vec<String>, around: Around<'_>) {
        self.meters.reloaded(error.is_none());
        self.reload = Some(Reload {
            at: around.now,
            error,
            changes,
        });
        self.note(&self.vitals(around));
        if let Some(systemd) = &self.systemd {
            systemd.ready();
        }
        self.tell_systemd();
    }

    /// The loop has ended; what is told from here on is only that.
    pub(super) fn stopping(&mut self) {
        if let Some(systemd) = &mut self.systemd {
            systemd.stopping();
            systemd.status("stopping");
        }
        self.pulse.sender = None;
    }

    /// The last note; to be followed by the end of the store.
    pub(super) fn stopped(&mut self, around: Around<'_>) {
        let vitals = Vitals {
            stopped_at: Some(around.now),
            ..self.vitals(around)
        };
        self.note(&vitals);
    }

    fn note(&mut self, vitals: &Vitals) {
        self.noted_at = vitals.at;
        self.store.keep_note(NOTE, vitals.to_json().to_string());
    }

    fn serve(&mut self, bound: Option<Bound>) {
        self.listener = bound.map(|b| b.serve(Arc::clone(&self.metrics), self.ask.clone()));
    }

    fn set_heartbeat(&mut self, plan: &Plan) {
        if self.pulse.configured == plan.heartbeat {
            return;
        }
        self.pulse.configured.clone_from(&plan.heartbeat);
        self.pulse.sender = None;
        let started = match plan.heartbeat.as_ref().map(|h| h.url.clone()) {
            None => Ok(None),
            Some(Ok(url)) => Heartbeat::start(url, Arc::clone(&self.told)).map(Some),
            Some(Err(why)) => Err(why),
        };
        match started {
            Ok(sender) => {
                self.told.unusable(None);
                self.pulse.sender = sender;
            }
            Err(why) => self.told.unusable(Some(why)),
        }
    }

    fn tell_systemd(&mut self) {
        let Some(systemd) = &mut self.systemd else {
            return;
        };
        if !self.stalled.is_some_and(Stall::restart_may_help) {
            systemd.alive();
        }
        let mut line = format!(
            "{}, {}, {} open, configuration {}",
            counted(self.plan.cells, "cell"),
            counted(self.runs.ended, "run"),
            counted(self.incidents_open, "incident"),
            self.plan.generation
        );
        if self.reload.as_ref().is_some_and(|r| r.error.is_some()) {
            line.push_str("; the last reload was refused");
        } else if let Some(Edited { what, .. }) = &self.edited {
            line = format!("{line}; {what} was edited and not read again");
        }
        if let Some(stall) = self.stalled {
            line = format!("NOT AT WORK: {stall}; {line}");
        }
        systemd.status(&line);
    }

    fn tell_switch(&mut self, now: Timestamp) {
        let (Some(sender), Some(configured)) = (&self.pulse.sender, &self.pulse.configured) else {
            return;
        };
        let tolerance = self.beats.period() / 2;
        let due = self.pulse.last_at.is_none_or(|last| {
            let since = now.duration_since(last);
            // The clock may be set back.
            since.is_negative() || since.unsigned_abs() + tolerance >= configured.every
        });
        // Before the first run there is nothing to tell: a daemon that dies at each start must not keep the switch quiet.
        if !due || self.runs.ended == 0 {
            return;
        }
        self.pulse.last_at = Some(now);
        if self.stalled.is_some() {
            self.told.withheld();
        } else {
            sender.beat();
        }
    }

    fn runs_now(&self, machine: &Machine) -> Runs {
        let counts = machine.counts();
        Runs {
            in_flight: counts.in_flight as u64,
            waiting: counts.waiting as u64,
            skipped_late: counts.skipped_late,
            skipped_in_flight: counts.skipped_in_flight,
            skipped_no_room: counts.skipped_no_room,
            ..self.runs
        }
    }

    fn vitals(&self, around: Around<'_>) -> Vitals {
        Vitals {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.started_at,
            at: around.now,
            stopped_at: None,
            listen: self.address(),
            plan: self.plan.clone(),
            reload: self.reload.clone(),
            edited: self.edited.clone(),
            runs: self.runs_now(around.machine),
            incidents_open: self.incidents_open,
            store: Health {
                waiting_changes: around.waiting_changes as u64,
                ..self.store.health()
            },
            outbox: self.store.post().due,
            heartbeat: self.pulse.configured.is_some().then(|| self.told.facts()),
            stalled: self.stalled.map(|stall| stall.to_string()),
            silences: around
                .machine
                .silences(around.now)
                .take(SILENCES_TOLD)
                .map(silence_facts)
                .collect(),
            more_silences: around
                .machine
                .silences(around.now)
                .skip(SILENCES_TOLD)
                .count() as u64,
            maintenance: around
                .machine
                .maintenance(around.now)
                .map(|in_force| maintenance_facts(&in_force))
                .collect(),
            sites: self.sites(),
            hub: self.hub.as_ref().map(|hub| hub.borrow().clone()),
        }
    }
}

fn silence_facts(silence: &Silence) -> SilenceFacts {
    SilenceFacts {
        silence: silence.number,
        what: silence.matcher.to_string(),
        until: silence.until,
        by: silence.by.clone(),
        why: silence.why.clone(),
    }
}

pub(super) fn maintenance_facts(in_force: &InForce<'_>) -> MaintenanceFacts {
    let maintenance = in_force.maintenance;
    let probes = maintenance.probes.iter();
    MaintenanceFacts {
        name: maintenance.name.clone(),
        effect: maintenance.effect.as_str().to_owned(),
        probes: probes.map(ToString::to_string).collect(),
        since: in_force.since,
        until: in_force.until,
    }
}

fn counted(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// As often as whoever listens most impatiently needs it.
fn interval(plan: &Plan, systemd: Option<&Systemd>) -> Interval {
    let heartbeat = plan.heartbeat.as_ref().map(|h| h.every);
    let watchdog = systemd.and_then(Systemd::every);
    let period = [heartbeat, watchdog]
        .into_iter()
        .flatten()
        .fold(BEAT_MAX, Duration::min)
        .max(BEAT_MIN);
    let mut beats = tokio::time::interval(period);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

pub(super) fn plan_facts(plan: &Plan, generation: u64, now: Timestamp) -> PlanFacts {
    let controls = plan.probes.iter().filter(|probe| probe.control).count();
    PlanFacts {
        service: plan.service.clone(),
        probes: (plan.probes.len() - controls) as u64,
        controls: controls as u64,
        cells: plan.cells().count() as u64,
        generation,
        since: now,
    }
}

/// What is asked of the store and the heartbeat at each scrape.
fn live(store: Store, told: Arc<Told>) -> impl Fn() -> Live + Send + Sync {
    move || Live {
        store: store.health(),
        post: store.post(),
        heartbeat: told.facts(),
    }
}
