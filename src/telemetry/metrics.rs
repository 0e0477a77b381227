//! The numbers, by Prometheus' conventions, and how many of them there may be.
//!
//! A matrix multiplies, and 100,000 cells must not become 100,000 series. So no metric has a cell's four
//! names together: runs are counted by probe, and apart from that by each **level** of a factor (this
//! egress, that client), which adds up instead of multiplying. Each label has a bound; what lies beyond
//! shares the value `_other`, which no name can be.
//!
//! | labels | on | values at most |
//! | --- | --- | --- |
//! | `probe`, `verdict` | runs | [`PROBES_MAX`] × 14 |
//! | `factor`, `level`, `verdict` | runs by level | 3 × [`LEVELS_MAX`] × 14 |
//! | `probe`, `phase` | phase durations | [`HISTOGRAM_PROBES_MAX`] × 5 |
//! | `probe` | last success | [`PROBES_MAX`] |
//! | `receiver` and an outcome or class | deliveries | by the store, 1,000 |
//!
//! The loop counts through handles that are made when a plan comes into force: a run costs one look-up
//! in a table for each of its four names and some atomic additions, no allocation; a histogram takes a
//! lock that only a scrape contends for, for as long as it copies one set of buckets.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::vitals::{HeartbeatFacts, PlanFacts, Runs};
use crate::clock;
use crate::domain::cell::{ClientName, CredentialName, EgressName, ProbeName};
use crate::domain::hubs::HubFacts;
use crate::domain::incident::Happening;
use crate::domain::keeping::{Health, Post};
use crate::domain::observation::{Observation, Phases, Purpose};
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;
use crate::domain::site::Sites;
use crate::domain::verdict::Kind;

/// Probes that are counted by name.
const PROBES_MAX: usize = 500;
/// Probes whose phases are measured by name; a histogram is worth sixteen counters.
const HISTOGRAM_PROBES_MAX: usize = 100;
/// Levels of one factor that are counted by name.
const LEVELS_MAX: usize = 100;
/// Levels of probes whose last success is shown; those of the probes that stand first in the file.
const LAST_SUCCESS_MAX: usize = 2_000;
/// Stands for all that is beyond a bound; a name begins with a letter or digit.
const OTHER: &str = "_other";

/// Upper bounds of the buckets, seconds: from a name server next door to the longest timeout that is usual.
const PHASE_BUCKETS: [f64; 13] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// The same for our own lateness; what is a minute late is skipped.
const LATENESS_BUCKETS: [f64; 11] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0,
];

type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Seconds = Gauge<f64, AtomicU64>;
type Histograms = Family<Labels<2>, Histogram, fn() -> Histogram>;

/// What others keep, asked for at each scrape.
#[derive(Debug, Clone, Default)]
pub struct Live {
    pub store: Health,
    pub post: Post,
    pub heartbeat: HeartbeatFacts,
}

/// Every number there is, and the text of them all.
pub struct Metrics {
    registry: Registry,
    live: Box<dyn Fn() -> Live + Send + Sync>,
    /// One scrape at a time: it sets what it asked for before it writes.
    scrape: Mutex<()>,

    runs: Counters<2>,
    levels: Counters<3>,
    phases: Histograms,
    lateness: Histogram,
    skipped: [Counter; 3],
    panics: Counter,
    in_flight: Gauge,
    waiting: Gauge,
    last_success: Family<Labels<3>, Seconds>,

    open: [Gauge; 2],
    changes: Counters<1>,

    cells: Gauge,
    generation: Gauge,
    reload_ok: Gauge,
    edited: Gauge,
    reload_ok_at: Seconds,
    reloads: [Counter; 2],
    turned_at: Seconds,
    stalled: Gauge,

    outbox: Gauges<1>,
    outbox_age: Family<Labels<1>, Seconds>,
    deliveries: Counters<2>,
    failures: Counters<2>,

    written: Counter,
    queued: Gauge,
    dropped: [Counter; 2],
    failing: Gauge,
    waiting_changes: Gauge,
    heartbeats: [Counter; 3],
    heartbeat_at: Seconds,
    sites: SiteMetrics,
    hubs: HubMetrics,
}

/// Of agents at other sites; without any none of them is written.
#[derive(Debug)]
struct SiteMetrics {
    heard_at: Family<Labels<1>, Seconds>,
    offset: Family<Labels<1>, Seconds>,
    generations: Gauges<2>,
    runs: Counters<1>,
    late: Counters<1>,
    dropped: Counters<1>,
    spool: Gauges<1>,
    lag: Gauges<1>,
}

/// Of a hub beside others; without any none of them is written.
#[derive(Debug)]
struct HubMetrics {
    leads: Gauges<1>,
    epoch: Gauges<1>,
    entry: Gauges<1>,
    behind: Gauges<1>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Registers under the program's name.
struct Desk<'a>(&'a mut Registry);

impl Desk<'_> {
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.put(name, help, M::default())
    }

    fn put<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn seconds<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0
            .register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }

    /// Counters that differ in one label whose values are few and known.
    fn each<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: [&'static str; N],
    ) -> [Counter; N] {
        let family: Counters<1> = self.add(name, help);
        values.map(|value| family.get_or_create_owned(&[(label, Cow::Borrowed(value))]))
    }
}

impl Metrics {
    /// All at zero; `live` is called at each scrape and must not wait.
    #[must_use]
    pub fn new(started_at: Timestamp, live: impl Fn() -> Live + Send + Sync + 'static) -> Self {
        let mut registry = Registry::default();
        let process: Seconds = Desk(&mut registry).seconds(
            "process_start_time",
            "When the process started, seconds since 1970",
            Seconds::default(),
        );
        process.set(seconds(started_at));
        let mut desk = Desk(registry.sub_registry_with_prefix("edgewatch"));
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        desk.0
            .register("build", "What is running", Info::new(version));

        let runs = desk.add("runs", "Runs that ended, by probe and verdict");
        let levels = desk.add(
            "runs_by_level",
            "Runs that ended, by one level of one factor (egress, client, credential) and verdict",
        );
        let phases = Histograms::new_with_constructor(|| Histogram::new(PHASE_BUCKETS));
        let phases = desk.seconds(
            "phase_duration",
            "Time spent in each phase that a run reached",
            phases,
        );
        let lateness = desk.seconds(
            "schedule_lateness",
            "From when a scheduled run was due to its start; never the partner's doing",
            Histogram::new(LATENESS_BUCKETS),
        );
        let skipped = desk.each(
            "runs_skipped",
            "Scheduled runs not made: late (their time had passed), in_flight (the cell's last run still went on) or no_room (too many were under way)",
            "reason",
            ["late", "in_flight", "no_room"],
        );
        let panics = desk.add(
            "run_panics",
            "Runs that ended in a panic, a fault of edgewatch",
        );
        let in_flight = desk.add("runs_in_flight", "Runs under way");
        let waiting = desk.add(
            "runs_waiting",
            "Runs that are due and wait for their host's turn",
        );
        let last_success = desk.seconds(
            "probe_last_success_timestamp",
            "Start of the last run of a probe that passed with this egress, client or credential, seconds since 1970; 0: none since the start",
            Family::default(),
        );

        let open: Gauges<1> = desk.add(
            "incidents_open",
            "Open incidents: partner, or ours (our own network)",
        );
        let open = ["partner", "ours"]
            .map(|side| open.get_or_create_owned(&[("side", Cow::Borrowed(side))]));
        let changes = desk.add(
            "incident_changes",
            "Entries in the timelines of incidents, by what happened",
        );

        let cells = desk.add("cells", "Cells of the plan");
        let generation = desk.add(
            "config_generation",
            "Number of the configuration in force: 1 at the start, one more with each reload that was taken",
        );
        let reload_ok: Gauge = desk.add(
            "config_last_reload_successful",
            "Whether the configuration on the disk was taken when it was last read",
        );
        let edited = desk.add(
            "config_edited",
            "Whether the configuration on the disk, or a file that it names, is another than in force",
        );
        let reload_ok_at = desk.seconds(
            "config_last_reload_success_timestamp",
            "When the configuration in force was read, seconds since 1970",
            Seconds::default(),
        );
        let reloads = desk.each(
            "config_reloads",
            "Reloads, by result",
            "result",
            ["taken", "refused"],
        );
        let turned_at = desk.seconds(
            "loop_last_turn_timestamp",
            "When the main loop last looked after itself, seconds since 1970",
            Seconds::default(),
        );
        let stalled = desk.add(
            "stalled",
            "Whether the daemon runs and is not at work: no run ends, or nothing is written",
        );

        let outbox = desk.add(
            "outbox_messages",
            "Messages to be delivered, by receiver; some may not be due yet",
        );
        let outbox_age = desk.seconds(
            "outbox_oldest_age",
            "For how long the oldest message has been due, by receiver",
            Family::default(),
        );
        let deliveries = desk.add(
            "deliveries",
            "Tries to deliver a message, by receiver and outcome: sent, retried (comes again), dead (given up); and messages that needed none: merged, overtaken",
        );
        let failures = desk.add(
            "delivery_failures",
            "Tries that failed, by receiver and class of the failure",
        );

        let written = desk.add(
            "store_rows_written",
            "Observations and changes of verdict written to the store",
        );
        let queued = desk.add(
            "store_rows_queued",
            "Observations and changes of verdict that wait to be written",
        );
        let dropped = [
            desk.add(
                "store_rows_dropped",
                "Observations and changes of verdict dropped, because too many waited",
            ),
            desk.add(
                "store_bodies_dropped",
                "Bodies of failures left out, because too many bytes waited",
            ),
        ];
        let failing = desk.add("store_failing", "Whether the store can't be written");
        let waiting_changes = desk.add(
            "store_changes_waiting",
            "Changes of incidents that wait to be committed",
        );
        let heartbeats = desk.each(
            "heartbeats",
            "Heartbeats to the dead-man's switch: sent, failed, or withheld because the daemon is not at work",
            "result",
            ["sent", "failed", "withheld"],
        );
        let heartbeat_at = desk.seconds(
            "heartbeat_last_sent_timestamp",
            "When the dead-man's switch last took a heartbeat, seconds since 1970; 0: never",
            Seconds::default(),
        );
        let sites = SiteMetrics {
            heard_at: desk.seconds(
                "site_last_heard_timestamp",
                "When a site was heard last, seconds since 1970; 0: never",
                Family::default(),
            ),
            offset: desk.seconds(
                "site_clock_offset",
                "How far the clock of a site is behind the hub's; its times are corrected by it",
                Family::default(),
            ),
            generations: desk.add(
                "site_generation",
                "The plan of a site, by which: wanted, in_force",
            ),
            runs: desk.add("site_runs", "Runs that came from a site"),
            late: desk.add(
                "site_late_runs",
                "Runs of a site that were history when they came",
            ),
            dropped: desk.add(
                "site_runs_dropped",
                "Runs that the spool of a site had to drop",
            ),
            spool: desk.add("site_spool_runs", "Runs that wait in the spool of a site"),
            lag: desk.add(
                "observations_lag_messages",
                "Messages of sites that are stored and not read yet, by server",
            ),
        };
        let hubs = HubMetrics {
            leads: desk.add(
                "hub_leads",
                "Whether this hub decides and tells; 0: it stands by",
            ),
            epoch: desk.add(
                "hub_epoch",
                "One more with each hub that took the lead, as this one knows it",
            ),
            entry: desk.add(
                "hub_log_entry",
                "The last entry of the hubs' log that is in this store",
            ),
            behind: desk.add(
                "hub_log_behind",
                "Entries of the hubs' log that are not in this store yet",
            ),
        };
        reload_ok.set(1);
        Self {
            sites,
            hubs,
            registry,
            live: Box::new(live),
            scrape: Mutex::new(()),
            runs,
            levels,
            phases,
            lateness,
            skipped,
            panics,
            in_flight,
            waiting,
            last_success,
            open,
            changes,
            cells,
            generation,
            reload_ok,
            edited,
            reload_ok_at,
            reloads,
            turned_at,
            stalled,
            outbox,
            outbox_age,
            deliveries,
            failures,
            written,
            queued,
            dropped,
            failing,
            waiting_changes,
            heartbeats,
            heartbeat_at,
        }
    }

    /// All of them as `OpenMetrics` text.
    #[must_use]
    pub fn text(&self) -> String {
        let _one = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.ask(&(self.live)(), clock::now());
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn ask(&self, live: &Live, now: Timestamp) {
        let store = &live.store;
        reach(&self.written, store.written_rows);
        reach(&self.dropped[0], store.dropped_rows);
        reach(&self.dropped[1], store.dropped_bodies);
        self.queued.set(store.queued_rows as i64);
        self.failing.set(i64::from(store.failing_since.is_some()));

        // A receiver that has nothing left shows 0 rather than its last value.
        let known: Vec<String> = live
            .post
            .settled
            .iter()
            .map(|s| s.receiver.clone())
            .collect();
        self.outbox.clear();
        self.outbox_age.clear();
        for receiver in known {
            let label = [("receiver", Cow::Owned(receiver))];
            self.outbox.get_or_create(&label).set(0);
            self.outbox_age.get_or_create(&label).set(0.0);
        }
        for due in &live.post.due {
            let label = [("receiver", Cow::Owned(due.receiver.clone()))];
            let age = now.duration_since(due.due_since).as_secs_f64().max(0.0);
            self.outbox.get_or_create(&label).set(due.messages as i64);
            self.outbox_age.get_or_create(&label).set(age);
        }
        let mut failed: HashMap<Labels<2>, u64> = HashMap::new();
        let mut ended: HashMap<Labels<2>, u64> = HashMap::new();
        for settled in &live.post.settled {
            let labels = |name, value| {
                [
                    ("receiver", Cow::Owned(settled.receiver.clone())),
                    (name, Cow::Borrowed(value)),
                ]
            };
            *ended.entry(labels("outcome", settled.outcome)).or_default() += settled.count;
            if let Some(class) = settled.class {
                *failed.entry(labels("class", class)).or_default() += settled.count;
            }
        }
        for (labels, count) in ended {
            reach(&self.deliveries.get_or_create(&labels), count);
        }
        for (labels, count) in failed {
            reach(&self.failures.get_or_create(&labels), count);
        }

        let heartbeat = &live.heartbeat;
        let counts = [heartbeat.sent, heartbeat.failed, heartbeat.withheld];
        for (counter, count) in self.heartbeats.iter().zip(counts) {
            reach(counter, count);
        }
        self.heartbeat_at
            .set(heartbeat.last_sent_at.map_or(0.0, seconds));
    }

    /// The handles for `plan`; what only the plan before had is no longer shown.
    #[must_use]
    pub fn meters(self: &Arc<Self>, plan: &Plan, before: Option<&Meters>) -> Meters {
        let mut shown = Shown::default();
        // Beyond the bound one entry serves them all, so that a large plan costs nothing here.
        let probes = plan.probes.iter().take(PROBES_MAX).enumerate();
        let by_name = probes
            .map(|(index, probe)| {
                let name = Cow::Owned(probe.name.to_string());
                let in_phases = bounded(index, HISTOGRAM_PROBES_MAX, &name);
                let meters = self.probe(name, in_phases, Some(probe), &mut shown);
                (probe.name.clone(), meters)
            })
            .collect();
        let others = (plan.probes.len() > PROBES_MAX)
            .then(|| self.probe(Cow::Borrowed(OTHER), Cow::Borrowed(OTHER), None, &mut shown));
        let anonymous = CredentialName::anonymous();
        let credentials = plan.credentials.iter().map(|c| &c.name);
        let credentials = std::iter::once(&anonymous).chain(credentials);
        let meters = Meters {
            metrics: Arc::clone(self),
            probes: Bounded { by_name, others },
            egresses: self.level("egress", plan.egresses.iter().map(|e| &e.name), &mut shown),
            clients: self.level("client", plan.clients.iter().map(|c| &c.name), &mut shown),
            credentials: self.level("credential", credentials, &mut shown),
            shown,
        };
        if let Some(before) = before {
            self.remove(&before.shown, &meters.shown);
        }
        meters
    }

    fn probe(
        &self,
        name: Cow<'static, str>,
        in_phases: Cow<'static, str>,
        probe: Option<&Probe>,
        shown: &mut Shown,
    ) -> ProbeMeters {
        let meters = ProbeMeters {
            runs: by_kind(|verdict| {
                self.runs
                    .get_or_create_owned(&[("probe", name.clone()), ("verdict", verdict)])
            }),
            phases: PHASES.map(|(phase, _)| {
                self.phases.get_or_create_owned(&[
                    ("probe", in_phases.clone()),
                    ("phase", Cow::Borrowed(phase)),
                ])
            }),
            // Of many probes together it would hide the one that fails.
            last_success: probe.map_or_else(LastSuccess::default, |probe| LastSuccess {
                egresses: self.last_success(&probe.name, "egress", &probe.from, shown),
                clients: self.last_success(&probe.name, "client", &probe.as_clients, shown),
                credentials: self.last_success(&probe.name, "credential", &probe.with, shown),
            }),
        };
        shown.probes.insert(name);
        shown.in_phases.insert(in_phases);
        meters
    }

    /// One for each level of a factor: a probe whose other clients pass must not hide the one that is refused.
    fn last_success<N: Clone + Eq + Hash + fmt::Display>(
        &self,
        probe: &ProbeName,
        factor: &'static str,
        names: &[N],
        shown: &mut Shown,
    ) -> HashMap<N, Seconds> {
        let mut found = HashMap::new();
        for name in names.iter().take(LEVELS_MAX) {
            if shown.last_success.len() >= LAST_SUCCESS_MAX {
                break;
            }
            let labels = [
                ("probe", Cow::Owned(probe.to_string())),
                ("factor", Cow::Borrowed(factor)),
                ("level", Cow::Owned(name.to_string())),
            ];
            let gauge = self.last_success.get_or_create_owned(&labels);
            found.insert(name.clone(), gauge);
            shown.last_success.insert(labels);
        }
        found
    }

    fn level<'a, N: Clone + Eq + Hash + fmt::Display + 'a>(
        &self,
        factor: &'static str,
        names: impl Iterator<Item = &'a N>,
        shown: &mut Shown,
    ) -> Bounded<N, ByKind> {
        let mut meters = |level: Cow<'static, str>| {
            let counters = by_kind(|verdict| {
                self.levels.get_or_create_owned(&[
                    ("factor", Cow::Borrowed(factor)),
                    ("level", level.clone()),
                    ("verdict", verdict),
                ])
            });
            shown.levels.insert((factor, level));
            counters
        };
        let mut bounded = Bounded {
            by_name: HashMap::new(),
            others: None,
        };
        for (index, name) in names.enumerate() {
            if index == LEVELS_MAX {
                bounded.others = Some(meters(Cow::Borrowed(OTHER)));
                break;
            }
            bounded
                .by_name
                .insert(name.clone(), meters(Cow::Owned(name.to_string())));
        }
        bounded
    }

    fn remove(&self, before: &Shown, now: &Shown) {
        let verdicts = || Kind::ALL.iter().map(|kind| Cow::Borrowed(kind.as_str()));
        for labels in before.last_success.difference(&now.last_success) {
            self.last_success.remove(labels);
        }
        for probe in before.probes.difference(&now.probes) {
            for verdict in verdicts() {
                self.runs
                    .remove(&[("probe", probe.clone()), ("verdict", verdict)]);
            }
        }
        for probe in before.in_phases.difference(&now.in_phases) {
            for (phase, _) in PHASES {
                self.phases
                    .remove(&[("probe", probe.clone()), ("phase", Cow::Borrowed(phase))]);
            }
        }
        for (factor, level) in before.levels.difference(&now.levels) {
            for verdict in verdicts() {
                self.levels.remove(&[
                    ("factor", Cow::Borrowed(factor)),
                    ("level", level.clone()),
                    ("verdict", verdict),
                ]);
            }
        }
    }
}

/// One counter for each verdict, in the order of [`Kind::ALL`].
type ByKind = Vec<Counter>;

/// The loop's handles, made for one plan: counting needs no look-up by label.
#[derive(Debug)]
pub struct Meters {
    metrics: Arc<Metrics>,
    probes: Bounded<ProbeName, ProbeMeters>,
    egresses: Bounded<EgressName, ByKind>,
    clients: Bounded<ClientName, ByKind>,
    credentials: Bounded<CredentialName, ByKind>,
    shown: Shown,
}

/// Handles by name, and one for all beyond the bound, if there are any.
#[derive(Debug)]
struct Bounded<N, M> {
    by_name: HashMap<N, M>,
    others: Option<M>,
}

impl<N: Eq + Hash, M> Bounded<N, M> {
    fn get(&self, name: &N) -> Option<&M> {
        self.by_name.get(name).or(self.others.as_ref())
    }
}

#[derive(Debug)]
struct ProbeMeters {
    runs: ByKind,
    phases: [Histogram; 5],
    last_success: LastSuccess,
}

/// When a probe passed last, by each of its levels.
#[derive(Debug, Default)]
struct LastSuccess {
    egresses: HashMap<EgressName, Seconds>,
    clients: HashMap<ClientName, Seconds>,
    credentials: HashMap<CredentialName, Seconds>,
}

/// Which labels there are, so that a reload can take away what went.
#[derive(Debug, Default)]
struct Shown {
    probes: BTreeSet<Cow<'static, str>>,
    in_phases: BTreeSet<Cow<'static, str>>,
    levels: BTreeSet<(&'static str, Cow<'static, str>)>,
    last_success: BTreeSet<Labels<3>>,
}

type PhaseOf = fn(&Phases) -> Option<Duration>;

const PHASES: [(&str, PhaseOf); 5] = [
    ("dns", |p| p.dns),
    ("connect", |p| p.connect),
    ("tls", |p| p.tls),
    ("first_byte", |p| p.first_byte),
    ("transfer", |p| p.transfer),
];

impl Meters {
    /// Counts a run that ended.
    pub fn ended(&self, run: &Observation, kind: Kind) {
        let cell = &run.cell;
        // A run of a probe that left the plan meanwhile is not counted: its series are gone.
        if let Some(probe) = self.probes.get(&cell.probe) {
            count(&probe.runs, kind);
            for ((_, time), histogram) in PHASES.iter().zip(&probe.phases) {
                if let Some(time) = time(&run.phases) {
                    histogram.observe(time.as_secs_f64());
                }
            }
            if kind.works() {
                let last = &probe.last_success;
                let levels = [
                    last.egresses.get(&cell.egress),
                    last.clients.get(&cell.client),
                    last.credentials.get(&cell.credential),
                ];
                for gauge in levels.into_iter().flatten() {
                    gauge.set(seconds(run.started_at));
                }
            }
        }
        let levels = [
            self.egresses.get(&cell.egress),
            self.clients.get(&cell.client),
            self.credentials.get(&cell.credential),
        ];
        for counters in levels.into_iter().flatten() {
            count(counters, kind);
        }
        if run.purpose == Purpose::Schedule {
            let late = run.started_at.duration_since(run.due_at).as_secs_f64();
            self.metrics.lateness.observe(late.max(0.0));
        }
    }

    /// Shows how runs stand.
    pub fn runs(&self, runs: &Runs) {
        let metrics = &self.metrics;
        reach(&metrics.skipped[0], runs.skipped_late);
        reach(&metrics.skipped[1], runs.skipped_in_flight);
        reach(&metrics.skipped[2], runs.skipped_no_room);
        reach(&metrics.panics, runs.panicked);
        metrics.in_flight.set(runs.in_flight as i64);
        metrics.waiting.set(runs.waiting as i64);
    }

    /// Shows how many incidents are open: at partners, and on our own side.
    pub fn incidents(&self, partner: u64, ours: u64) {
        self.metrics.open[0].set(partner as i64);
        self.metrics.open[1].set(ours as i64);
    }

    /// Shows how agents at other sites are.
    pub fn sites(&self, known: &Sites) {
        let metrics = &self.metrics.sites;
        metrics.heard_at.clear();
        metrics.offset.clear();
        metrics.generations.clear();
        metrics.spool.clear();
        for site in &known.sites {
            let label = [("site", Cow::Owned(site.site.clone()))];
            let heard = site.last_heard_at.map_or(0.0, seconds);
            metrics.heard_at.get_or_create(&label).set(heard);
            if let Some(ms) = site.offset_ms {
                metrics.offset.get_or_create(&label).set(ms as f64 / 1e3);
            }
            for (which, generation) in [
                ("wanted", site.generation_wanted),
                ("in_force", site.generation),
            ] {
                let labels = [
                    ("site", Cow::Owned(site.site.clone())),
                    ("which", Cow::Borrowed(which)),
                ];
                let gauge = metrics.generations.get_or_create(&labels);
                gauge.set(generation as i64);
            }
            reach(&metrics.runs.get_or_create(&label), site.runs);
            reach(&metrics.late.get_or_create(&label), site.late_runs);
            reach(&metrics.dropped.get_or_create(&label), site.dropped_runs);
            let spool = metrics.spool.get_or_create(&label);
            spool.set(site.spool_runs as i64);
        }
        let server = [("server", Cow::Owned(known.nats.clone()))];
        metrics.lag.get_or_create(&server).set(known.lag as i64);
    }

    /// Shows how this hub stands beside others.
    pub fn hub(&self, hub: &HubFacts) {
        let metrics = &self.metrics.hubs;
        let label = [("hub", Cow::Owned(hub.name.clone()))];
        for (gauge, value) in [
            (&metrics.leads, u64::from(hub.leads)),
            (&metrics.epoch, hub.epoch),
            (&metrics.entry, hub.entry),
            (&metrics.behind, hub.behind),
        ] {
            gauge.get_or_create(&label).set(value as i64);
        }
    }

    /// Shows how many changes of incidents wait for the store.
    pub fn waiting_changes(&self, count: u64) {
        self.metrics.waiting_changes.set(count as i64);
    }

    /// Counts an entry in a timeline.
    pub fn happened(&self, what: Happening) {
        self.metrics
            .changes
            .get_or_create(&[("what", Cow::Borrowed(what.as_str()))])
            .inc();
    }

    /// Shows the plan in force.
    pub fn plan(&self, plan: &PlanFacts) {
        self.metrics.cells.set(plan.cells as i64);
        self.metrics.generation.set(plan.generation as i64);
        self.metrics.reload_ok_at.set(seconds(plan.since));
    }

    /// Whether the disk says something else.
    pub fn edited(&self, edited: bool) {
        self.metrics.edited.set(i64::from(edited));
    }

    /// Counts a reload.
    pub fn reloaded(&self, taken: bool) {
        self.metrics.reload_ok.set(i64::from(taken));
        self.metrics.reloads[usize::from(!taken)].inc();
    }

    /// Notes that the loop looked after itself.
    pub fn turned(&self, at: Timestamp, stalled: bool) {
        self.metrics.turned_at.set(seconds(at));
        self.metrics.stalled.set(i64::from(stalled));
    }
}

fn by_kind(counter: impl Fn(Cow<'static, str>) -> Counter) -> ByKind {
    Kind::ALL
        .iter()
        .map(|kind| counter(Cow::Borrowed(kind.as_str())))
        .collect()
}

fn count(counters: &[Counter], kind: Kind) {
    // `Kind::ALL` is in the order of the variants.
    if let Some(counter) = counters.get(kind as usize) {
        counter.inc();
    }
}

/// The name, or what stands for all beyond the bound.
fn bounded(index: usize, most: usize, name: &str) -> Cow<'static, str> {
    if index < most {
        Cow::Owned(name.to_owned())
    } else {
        Cow::Borrowed(OTHER)
    }
}

/// Brings a counter to a total that is counted elsewhere.
fn reach(counter: &Counter, total: u64) {
    counter.inner().store(total, Ordering::Relaxed);
}

/// Seconds since 1970.
fn seconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}
