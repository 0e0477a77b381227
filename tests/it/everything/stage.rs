//! Where a case is played: rules, store, workers and channels, and what is noted on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edgewatch::app::deliver::{Deliver, Timing};
use edgewatch::clock;
use edgewatch::config::{self, Inputs};
use edgewatch::domain::cell::CellKey;
use edgewatch::domain::change::Change;
use edgewatch::domain::habits::Past;
use edgewatch::domain::incident::{Acknowledged, Care, Happening, Incident, State};
use edgewatch::domain::mute::{Ended, Matcher, Silence};
use edgewatch::domain::notification::Reason;
use edgewatch::domain::observation::{Observation, Phases, Route};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::verdict::{Kind, Maker, Verdict, WhoActs};
use edgewatch::machine::driver::{Driver, Hands};
use edgewatch::machine::{Effect, Event, Judged, Known, Machine, RunId, Start};
use edgewatch::store::{Progress, Store};
use jiff::{SignedDuration, Timestamp};

use super::accounts;
use super::steps::{Case, PARTS, Place, Step, Whom};
use crate::deliver::{PATIENCE, World, timing};
use crate::fakes::{CHANNEL, Fake, TOKEN};

/// The second receiver hears of an incident that is as old as this.
const DELAY: i64 = 600;
/// All that a case does, and the quiet after it, lies so far behind.
const AGO: i64 = 22 * 3600;

/// What is due to be told, by number, episode and receiver.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) due: BTreeSet<(u64, u32, &'static str)>,
    /// Incidents that were open while nobody could tell support.
    pub(super) unheard: BTreeSet<u64>,
}

/// What the machine wanted last.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) starts: Vec<Start>,
    pub(crate) effects: Vec<Effect>,
}

impl Hands for Wanted {
    fn start(&mut self, start: Start, _: Timestamp) {
        self.starts.push(start);
    }

    fn cancel(&mut self, run: RunId) {
        panic!("{run} was waited for");
    }

    fn keep(&mut self, effect: Effect, _: Timestamp) {
        self.effects.push(effect);
    }
}

pub(super) struct Stage {
    pub(super) world: World,
    pub(super) slack: Fake,
    pub(super) support: Fake,
    pub(super) backup: Fake,
    deliver: Option<Deliver>,
    driver: Driver,
    wanted: Wanted,
    plan: Arc<Plan>,
    timing: Timing,
    start: Timestamp,
    /// Since the start of the story.
    second: i64,
    broken: BTreeMap<usize, Kind>,
    silences: Vec<Silence>,
    /// Maintenance in the file: from, until, probe.
    windows: Vec<(i64, i64, &'static str)>,
    with_support: bool,
    stalled: bool,
    waiting: Vec<Change>,
    pub(super) facts: Facts,
    /// The same, as long as it is not on the disk.
    held: Facts,
    acknowledged: BTreeSet<u64>,
    /// Who was reminded of an acknowledged incident.
    promised: BTreeSet<(u64, String)>,
    /// How many calls each channel had at each crash.
    pub(super) crashes: Vec<[usize; 3]>,
    step: String,
    pub(super) wrong: Vec<String>,
}

struct Account(String, String);

impl Inputs for Account {
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "TOKEN" => Some(TOKEN.to_owned()),
            "SUPPORT" => Some(self.0.clone()),
            "BACKUP" => Some(self.1.clone()),
            _ => None,
        }
    }

    fn file(&self, _: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

impl Stage {
    pub(super) async fn new(case: &Case) -> Self {
        let ms = Duration::from_millis;
        let timing = Timing {
            // Longer than any other pause, as in production.
            slow_down_max: ms(60),
            storm_most: case.storm_most,
            request: if case.hangs() { ms(500) } else { ms(10_000) },
            ..timing()
        };
        let now = clock::now().as_second();
        let start = Timestamp::from_second((now - AGO) / 60 * 60).unwrap();
        let (slack, support, backup) = (
            Fake::slack().await,
            Fake::teams().await,
            Fake::teams().await,
        );
        let plan = Arc::new(plan(&slack, &support, &backup, start, &[], true));
        let mut stage = Self {
            world: World::new(),
            slack,
            support,
            backup,
            deliver: None,
            driver: Driver::new(Machine::new(Arc::clone(&plan), Known::default(), start)),
            wanted: Wanted::default(),
            plan,
            timing,
            start,
            second: 0,
            broken: BTreeMap::new(),
            silences: Vec::new(),
            windows: Vec::new(),
            with_support: true,
            stalled: false,
            waiting: Vec::new(),
            facts: Facts::default(),
            held: Facts::default(),
            acknowledged: BTreeSet::new(),
            promised: BTreeSet::new(),
            crashes: Vec::new(),
            step: "the start".to_owned(),
            wrong: Vec::new(),
        };
        stage.start().await;
        stage
    }

    fn now(&self) -> Timestamp {
        self.at(self.second)
    }

    fn at(&self, second: i64) -> Timestamp {
        self.start + SignedDuration::from_secs(second)
    }

    pub(super) fn fakes(&self) -> [&Fake; 3] {
        [&self.slack, &self.support, &self.backup]
    }

    fn wrong(&mut self, what: &str) {
        let text = format!("{} (minute {}): {what}", self.step, self.second / 60);
        self.wrong.push(text);
    }

    pub(super) async fn play(&mut self, number: usize, step: &Step) {
        self.step = format!("step {number}, {step}");
        match step {
            Step::Pass { minutes } => self.pass(self.second + minutes * 60).await,
            Step::Breaks { part, kind } => drop(self.broken.insert(*part, *kind)),
            Step::Heals { part } => drop(self.broken.remove(part)),
            Step::HealsAll => self.broken.clear(),
            Step::Silence { whom, minutes } => self.silence(*whom, *minutes).await,
            Step::EndSilences => self.end_silences().await,
            Step::Acknowledge { place } => self.acknowledge(*place).await,
            Step::Maintenance { minutes, probe } => {
                // The next whole minute; the schedule of maintenance has no seconds.
                let from = (self.second / 60 + 1) * 60;
                self.windows.push((from, from + minutes * 60, probe));
                self.reload(false).await;
            }
            Step::NoMaintenance => {
                self.windows.clear();
                self.reload(false).await;
            }
            Step::Support { there } => {
                let changed = std::mem::replace(&mut self.with_support, *there) != *there;
                self.reload(changed).await;
            }
            Step::Faults { place, faults } => {
                for fault in faults {
                    match place {
                        Place::Slack(method) => self.slack.fault(method, *fault),
                        Place::Support => self.support.fault("webhook", *fault),
                        Place::Backup => self.backup.fault("webhook", *fault),
                    }
                }
            }
            Step::Drain => self.drain().await,
            Step::Stall => self.stalled = true,
            Step::Crash { calls } => self.crash(*calls).await,
            Step::Restart => self.restart().await,
        }
    }

    /// All is well again, and all that waits is told; then the accounts are made up.
    pub(super) async fn end(mut self) -> Vec<String> {
        "the end".clone_into(&mut self.step);
        self.broken.clear();
        for fake in self.fakes() {
            fake.mend();
        }
        self.keep().await;
        self.end_silences().await;
        self.windows.clear();
        let changed = !std::mem::replace(&mut self.with_support, true);
        self.reload(changed).await;
        let last = self.second + 8 * 3600;
        while self.second < last && self.driver.machine().incidents().next().is_some() {
            self.pass(self.second + 600).await;
        }
        let open: Vec<u64> = self
            .driver
            .machine()
            .incidents()
            .map(|i| i.number)
            .collect();
        if !open.is_empty() {
            self.wrong(&format!("still open although all is well: {open:?}"));
        }
        assert!(self.second < AGO, "a case is longer than its past");
        self.drain().await;
        if let Some(deliver) = self.deliver.take() {
            deliver.stop(PATIENCE).await;
        }
        accounts::make_up(&mut self).await;
        self.world.store.close().await;
        self.wrong
    }

    /// As the daemon does.
    async fn start(&mut self) {
        let store = self.world.store.clone();
        let known = store.load_open().await.unwrap();
        let now = self.now();
        // The store goes by the present; the story is in the past.
        let path = self.world.folder.path().join("edgewatch.sqlite");
        let silences = Store::hand(&path).unwrap().silences(now).unwrap();
        if silences != self.in_force() {
            self.wrong(&format!("silences were not kept: {silences:?}"));
        }
        let (memory, _) = store.remember().await.unwrap();
        for warning in &known.warnings {
            self.wrong(warning);
        }
        self.deliver = Some(self.workers().await);
        let known = Known {
            spent: Vec::new(),
            incidents: known.incidents,
            next_number: known.next_number,
            silences,
            memory,
            past: Past::of(&store.incidents(None, 100).await.unwrap()),
        };
        self.driver = Driver::new(Machine::new(Arc::clone(&self.plan), known, now));
        self.wanted = Wanted::default();
    }

    async fn workers(&self) -> Deliver {
        let receivers = &self.plan.receivers;
        self.world.deliver(receivers, self.timing.clone()).await
    }

    async fn pass(&mut self, until: i64) {
        while self.wake() <= until {
            let next = self.wake();
            self.second = next;
            self.feed(Event::Tick).await;
            while let Some(start) = self.wanted.starts.pop() {
                let judged = judged(&start, self.shown(&start.cell), self.now());
                let (run, judged) = (start.run, Arc::new(judged));
                self.feed(Event::Ended { run, judged }).await;
            }
        }
        self.second = until;
    }

    /// When the rules want to be asked again; not before now.
    fn wake(&self) -> i64 {
        let Some(wake) = self.driver.wake() else {
            return self.second;
        };
        let ahead = wake.duration_since(self.start).as_secs_f64().ceil() as i64;
        ahead.max(self.second)
    }

    /// What a cell would show now.
    fn shown(&self, cell: &CellKey) -> Kind {
        let fits = |name: &str, is: &str| name.is_empty() || name == is;
        let broken = self.broken.iter().find(|(part, _)| {
            let (probe, client, egress) = PARTS[**part];
            fits(probe, cell.probe.as_str())
                && fits(client, cell.client.as_str())
                && fits(egress, cell.egress.as_str())
        });
        match broken {
            Some((part, _)) if PARTS[*part].0.is_empty() => Kind::Timeout,
            Some((_, kind)) => *kind,
            None => Kind::Pass,
        }
    }

    async fn feed(&mut self, event: Event) {
        let now = self.now();
        self.driver.step(event, now, &mut self.wanted);
        for effect in std::mem::take(&mut self.wanted.effects) {
            match effect {
                Effect::Save(change) => self.decided(*change),
                Effect::VerdictChanged(change) => self.world.store.note_verdict(&change),
                Effect::Learned(learned) => self.world.store.learn(*learned).await.unwrap(),
                _ => {}
            }
        }
        if self.wake() > self.second {
            self.note();
        }
        if !self.stalled {
            self.keep().await;
        }
    }

    /// Judges what the rules decided, and lets it wait for the disk.
    fn decided(&mut self, change: Change) {
        let incident = &change.incident;
        let number = incident.number;
        let episode = [Happening::Reopened, Happening::Resolved];
        if change
            .timeline
            .iter()
            .any(|entry| episode.contains(&entry.what))
        {
            self.acknowledged.remove(&number);
            self.promised.retain(|(incident, _)| *incident != number);
        }
        for note in &change.notifications {
            // That it is muted now is shown where it stands, and notifies nobody.
            let told = !matches!(note.reason, Reason::Resolved | Reason::Muted);
            if told && self.is_muted(incident) {
                self.wrong(&format!("told while muted: INC-{number} {:?}", note.reason));
            }
            // Support staff get the one update that they were promised before.
            if note.reason == Reason::Reminder
                && self.acknowledged.contains(&number)
                && (note.receiver.as_str() == "engineers"
                    || !self.promised.insert((number, note.receiver.to_string())))
            {
                self.wrong(&format!("INC-{number} was acknowledged, and reminds"));
            }
        }
        // It may be over within the same step.
        self.note_of(&change.incident);
        self.waiting.push(change);
    }

    /// Writes down who ought to know by now.
    fn note(&mut self) {
        let incidents: Vec<Incident> = self.driver.machine().incidents().cloned().collect();
        for incident in &incidents {
            self.note_of(incident);
        }
    }

    fn note_of(&mut self, incident: &Incident) {
        if incident.state != State::Open {
            return;
        }
        let (number, episode) = (incident.number, incident.reopened);
        if !self.with_support {
            self.held.unheard.insert(number);
        }
        if self.is_muted(incident) {
            return;
        }
        self.held.due.insert((number, episode, "engineers"));
        // Of what comes and goes it counts from the first time.
        let back = incident.reopened_at.filter(|_| !incident.comes_and_goes());
        let began = back.unwrap_or(incident.opened_at);
        let old = self.now().duration_since(began).as_secs() >= DELAY;
        let knows = |facts: &Facts| {
            let mut due = facts.due.iter();
            due.any(|(known, _, who)| *known == number && *who == "support")
        };
        if self.with_support && (old || knows(&self.held) || knows(&self.facts)) {
            self.held.due.insert((number, episode, "support"));
        }
    }

    /// Worked out anew from what people asked for: each failing cell is covered.
    fn is_muted(&self, incident: &Incident) -> bool {
        let none = !incident.cells.iter().any(|cell| cell.failing);
        let now = self.now();
        incident
            .cells
            .iter()
            .filter(|cell| cell.failing || none)
            .all(|member| {
                let silenced = self.silences.iter().any(|silence| {
                    let in_force = silence.ended.is_none() && now < silence.until;
                    in_force && silence.matcher.covers(incident.number, member)
                });
                let maintained = self.windows.iter().any(|(from, until, probe)| {
                    (*from..*until).contains(&self.second)
                        && (probe.is_empty() || *probe == member.cell.probe.as_str())
                });
                silenced || maintained
            })
    }

    /// All that was decided is on the disk now.
    async fn keep(&mut self) {
        self.stalled = false;
        for change in std::mem::take(&mut self.waiting) {
            self.world.store.commit(change).await.unwrap();
        }
        let held = std::mem::take(&mut self.held);
        self.facts.due.extend(held.due);
        self.facts.unheard.extend(held.unheard);
    }

    fn in_force(&self) -> Vec<Silence> {
        let now = self.now();
        let holds = |silence: &&Silence| silence.holds(now);
        self.silences.iter().filter(holds).cloned().collect()
    }

    /// The number of the open incident at a place.
    fn open(&self, place: usize) -> Option<u64> {
        let numbers: Vec<u64> = self
            .driver
            .machine()
            .incidents()
            .map(|i| i.number)
            .collect();
        let place = place.checked_rem(numbers.len())?;
        Some(numbers[place])
    }

    async fn silence(&mut self, whom: Whom, minutes: i64) {
        let matcher = match whom {
            Whom::Everything => Matcher::default(),
            Whom::Client(name) => Matcher {
                clients: vec![name.into()],
                ..Matcher::default()
            },
            Whom::Probe(name) => Matcher {
                probes: vec![name.into()],
                ..Matcher::default()
            },
            Whom::Incident(place) => Matcher {
                incidents: vec![self.open(place).unwrap_or(1)],
                ..Matcher::default()
            },
        };
        let silence = Silence {
            number: 0,
            matcher,
            from: self.now(),
            until: self.at(self.second + minutes * 60),
            by: "ann".to_owned(),
            why: None,
            ended: None,
        };
        let kept = self.world.store.add_silence(silence).await.unwrap();
        self.silences.push(kept);
        self.feed(Event::Silenced(self.in_force())).await;
    }

    async fn end_silences(&mut self) {
        let path = self.world.folder.path().join("edgewatch.sqlite");
        let ended = Ended {
            at: self.now(),
            by: "bob".to_owned(),
        };
        for number in self.in_force().iter().map(|s| s.number) {
            let over = Store::hand(&path)
                .unwrap()
                .end_silence(number, ended.clone());
            assert!(over.unwrap().is_some());
        }
        for silence in &mut self.silences {
            silence.ended.get_or_insert(ended.clone());
        }
        self.feed(Event::Silenced(Vec::new())).await;
    }

    async fn acknowledge(&mut self, place: usize) {
        let Some(incident) = self.open(place) else {
            return;
        };
        self.acknowledged.insert(incident);
        let care = Care::Taken(Acknowledged {
            at: self.now(),
            by: "ann".to_owned(),
        });
        self.feed(Event::Care { incident, care }).await;
    }

    /// A new file; new workers where the receivers are others.
    async fn reload(&mut self, receivers: bool) {
        // A file is never new before what is due at the start was seen to.
        if self.wake() <= self.second {
            self.feed(Event::Tick).await;
        }
        let [slack, support, backup] = self.fakes();
        let (windows, with) = (&self.windows, self.with_support);
        let plan = plan(slack, support, backup, self.start, windows, with);
        self.plan = Arc::new(plan);
        self.feed(Event::PlanReplaced(Arc::clone(&self.plan))).await;
        if receivers {
            if let Some(deliver) = self.deliver.take() {
                deliver.stop(PATIENCE).await;
            }
            self.deliver = Some(self.workers().await);
        }
    }

    /// Whether something waits for a receiver that there is.
    async fn is_due(&self) -> bool {
        let rows = self.world.store.undelivered().await.unwrap();
        rows.iter().any(|row| {
            let mut receivers = self.plan.receivers.iter();
            row.progress != Progress::Dead
                && receivers.any(|known| known.name == row.notification.receiver)
        })
    }

    async fn drain(&mut self) {
        let drained = async {
            while self.is_due().await {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), drained).await;
        if waited.is_err() {
            let mut text = "never delivered:".to_owned();
            for row in self.world.store.undelivered().await.unwrap() {
                let note = &row.notification;
                let (receiver, reason, progress) = (&note.receiver, note.reason, row.progress);
                let _ = write!(
                    text,
                    "\n    INC-{} {receiver} {reason:?} {progress:?} tries={} next={:?} {:?}",
                    note.incident, row.attempts, row.next_at, row.error
                );
            }
            self.wrong(&text);
        }
    }

    /// Nothing is ended properly; what was not on the disk is lost.
    async fn crash(&mut self, calls: usize) {
        let count = |stage: &Self| stage.fakes().map(Fake::count).iter().sum::<usize>();
        let enough = count(self) + calls;
        while count(self) < enough && self.is_due().await {
            tokio::task::yield_now().await;
        }
        if let Some(deliver) = self.deliver.take() {
            deliver.stop(Duration::ZERO).await;
        }
        self.crashes.push(self.fakes().map(Fake::count));
        if self.stalled {
            self.acknowledged.clear();
        }
        self.stalled = false;
        self.waiting.clear();
        self.held = Facts::default();
        self.world.reopen().await;
        self.start().await;
    }

    async fn restart(&mut self) {
        self.keep().await;
        if let Some(deliver) = self.deliver.take() {
            deliver.stop(PATIENCE).await;
        }
        self.world.reopen().await;
        self.start().await;
    }
}

pub(crate) fn judged(start: &Start, kind: Kind, now: Timestamp) -> Judged {
    let maker = match kind {
        Kind::EdgeBlock => Maker::Edge,
        Kind::Pass | Kind::OriginDenied | Kind::OriginError => Maker::Origin,
        _ => Maker::Unknown,
    };
    let mut verdict = Verdict::new(kind, maker);
    if maker == Maker::Edge {
        verdict.vendor = "cloudflare".into();
        verdict.code = Some("1010".to_owned());
        verdict.who_acts = WhoActs::SiteOwner;
    }
    Judged {
        observation: Observation {
            cell: start.cell.clone(),
            purpose: start.purpose,
            due_at: start.due_at,
            started_at: now,
            took: Duration::from_millis(80),
            phases: Phases::default(),
            route: Route::default(),
            tls: None,
            sent: None,
            hops: Vec::new(),
            answer: None,
            failure: None,
        },
        verdict,
    }
}

fn plan(
    slack: &Fake,
    support: &Fake,
    backup: &Fake,
    start: Timestamp,
    windows: &[(i64, i64, &'static str)],
    with_support: bool,
) -> Plan {
    let mut maintenance = String::new();
    for (number, (from, until, probe)) in windows.iter().enumerate() {
        let at = start + SignedDuration::from_secs(*from);
        let at = at.to_zoned(jiff::tz::TimeZone::UTC);
        let probes = if probe.is_empty() {
            String::new()
        } else {
            format!(", probes: [{probe}]")
        };
        let _ = write!(
            maintenance,
            "\n  - {{ name: work {number}, cron: \"{}\", for: {}m, effect: mute{probes} }}",
            at.strftime("%-M %-H %-d %-m *"),
            (until - from) / 60,
        );
    }
    if !maintenance.is_empty() {
        maintenance = format!("maintenance:{maintenance}");
    }
    let (second, route) = if with_support {
        (
            "support: { teams: { webhook: { env: SUPPORT } } }",
            "- { to: support, after: 10m, min_confidence: 0.9 }",
        )
    } else {
        ("", "")
    };
    let text = format!(
        r#"version: 1
service: GMC
timezone: UTC
egresses: {{ legacy-prod: 127.0.0.2, new-reval: 127.0.0.3 }}
clients:
  java-8: Java/1.8
  java-11: Java/11
  plain: {{ user_agent: edgewatch, control: true }}
probes:
  one: {{ url: "https://one.example/", every: 5m, as: [java-8, java-11], words: {{ what: Sending one, affects: People }} }}
  two: {{ url: "https://two.example/", every: 5m, as: [java-8, java-11], words: {{ what: Sending two, affects: People }} }}
  three: {{ url: "https://three.example/", every: 5m, as: [java-8, java-11], words: {{ what: Sending three, affects: People }} }}
controls:
  internet: {{ url: "https://www.control.example/", every: 2m }}
incidents: {{ remind: [20m, 40m] }}
{maintenance}
notify:
  receivers:
    engineers: {{ slack: {{ token: {{ env: TOKEN }}, channel: {CHANNEL}, api: "{}" }}, fallback: backup }}
    backup: {{ teams: {{ webhook: {{ env: BACKUP }} }} }}
    {second}
  routes:
    - {{ to: engineers }}
    {route}
"#,
        slack.api()
    );
    let account = Account(support.webhook(), backup.webhook());
    match config::read(&text, "probes.yaml", &account) {
        Ok(checked) => checked.plan,
        Err(findings) => panic!("{findings}\n{text}"),
    }
}
