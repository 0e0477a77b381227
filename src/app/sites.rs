//! The hub's end of all sites: plans out, observations in, who is heard and who is silent.
//!
//! It hands the loop whole batches with the place in the stream that follows them, and one list of silent sites whenever
//! it changes. All it knows of sites it also writes down for those who ask. Nothing here decides what a run means.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock;
use crate::config::{self, Remembered};
use crate::domain::cell::CellKey;
use crate::domain::judged::Judged;
use crate::domain::moment::later;
use crate::domain::plan::Plan;
use crate::domain::sharing;
use crate::domain::site::{Facts, NOTE, Nats, Sites};
use crate::domain::subject::NATS;
use crate::link::connect::{self, Identity, Link};
use crate::link::log::Log;
use crate::link::stream::{Hub, Message, Reading};
use crate::machine::{Ask, log};
use crate::store::Store;
use crate::wire::batch::{self, ClockSaid, Head};
use crate::wire::greeting::{Hello, Welcome};
use crate::wire::inlet::{Inlet, Taken};
use crate::wire::plan::{File, Share, SitePlan};
use crate::wire::{ask, subjects};

/// What sets the pace of the watch over sites.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Of whom nothing is heard for so long, is silent.
    pub silent_after: Duration,
    /// Between two looks.
    pub look: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            silent_after: Duration::from_secs(30),
            look: Duration::from_secs(1),
        }
    }
}

/// What plans of sites are made of, and the pace at which sites are watched.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The file with what it refers to, secrets replaced by others of their shape.
    pub source: log::Source,
    /// Of the files that it refers to, those that hold a secret.
    pub secret_files: BTreeSet<String>,
    pub timing: Timing,
}

/// What observations may take on the server's disk.
pub const STREAM_BYTES: u64 = 16 << 30;
/// Between two tries of what failed.
const AGAIN: Duration = Duration::from_secs(2);
/// Batches that may wait for the loop.
const WAITING_MAX: usize = 8;
const ASKS_MAX: usize = 256;
/// For the answer of a site that is asked for a run.
const ASK_WAIT: Duration = Duration::from_secs(5);
/// A site that said that it stops may be away for so long.
const LEAVE: Duration = Duration::from_secs(600);
/// Between two notes in the store.
const NOTE_EVERY: Duration = Duration::from_secs(5);
/// Plans of a site whose cells are known.
const TABLES_MAX: usize = 8;
/// A clock that is off by more is corrected.
const OFF_MIN_US: i64 = 1_000_000;
/// A run whose end lies so far back when it comes is history.
const LATE: Duration = Duration::from_secs(10);

/// The name of the note that holds the place in the stream.
pub(super) const POSITION: &str = "obs_position";

/// What sites have for the loop.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Runs, and what is to be kept with them: the place in the stream after which to read on.
    Batch { runs: Vec<Judged>, position: String },
    /// Sites that are silent, and since when; all others are heard.
    Silent(BTreeMap<String, Timestamp>),
}

/// A place in the stream, and what was seen before it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Position {
    sequence: u64,
    inlets: BTreeMap<String, Inlet>,
}

/// The plan of each site, generations not yet given.
pub(super) type Wanted = BTreeMap<String, SitePlan>;

/// What each site is to do; of one whose plan can't be made it is said in the log.
#[must_use]
pub(super) fn wanted(plan: &Plan, source: &Source) -> Wanted {
    let mut wanted = Wanted::new();
    for site in plan.sites() {
        match of_site(plan, source, site) {
            Ok(plan) => {
                wanted.insert(site.to_owned(), plan);
            }
            Err(why) => tracing::error!("the plan of {site} can't be made: {why}"),
        }
    }
    wanted
}

/// # Errors
/// A sentence when what was made is not what the file asks for there; that is a fault of ours.
fn of_site(plan: &Plan, source: &Source, site: &str) -> Result<SitePlan, String> {
    let inputs = Remembered {
        env: &source.source.env,
        variables: &source.source.variables,
        files: &source.source.files,
    };
    let file = config::reduce(&source.source.text, &inputs, plan, site)?;
    let own = |cell: &CellKey| plan.site_of(&cell.egress) == Some(site);
    let cells: Vec<CellKey> = plan
        .every_cell()
        .map(|(_, cell)| cell)
        .filter(own)
        .collect();
    // What was made must be what is asked for, whatever the grammar comes to.
    let read = config::read(&file, site, &inputs).map_err(|e| e.errors().to_string())?;
    let made: BTreeSet<CellKey> = read.plan.every_cell().map(|(_, cell)| cell).collect();
    if made != cells.iter().cloned().collect() {
        return Err("it has other cells than the file; please report this".to_owned());
    }
    let files = source.source.files.iter().filter(|(path, _)| {
        let secret = source.secret_files.contains(*path) || source.source.included.contains(*path);
        !secret && file.contains(path.as_str())
    });
    let shares = sharing::shares(plan, Some(site)).into_iter();
    Ok(SitePlan {
        cells: cells.iter().map(Into::into).collect(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        files: files
            .map(|(path, text)| File {
                path: path.clone(),
                text: text.clone(),
            })
            .collect(),
        shares: shares
            .map(|(host, share)| Share {
                host,
                requests_per_minute: share.requests_per_minute,
                gap_ms: share.gap.as_millis() as u64,
            })
            .collect(),
        file,
        ..SitePlan::default()
    })
}

/// All sites, from the hub's end.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) incoming: mpsc::Receiver<Incoming>,
    /// How they are.
    pub(super) facts: watch::Receiver<Sites>,
    wanted: watch::Sender<Arc<Wanted>>,
    asks: mpsc::Sender<Ask>,
    tasks: JoinSet<()>,
}

/// What the tasks share.
struct Shared {
    known: Mutex<Known>,
    store: Store,
    timing: Timing,
    nats: Nats,
    /// No other hub is led by this one.
    alone: bool,
}

#[derive(Default)]
struct Known {
    sites: BTreeMap<String, Site>,
    /// Cells by number, of the last plans of each site.
    tables: HashMap<String, BTreeMap<u64, Arc<Vec<CellKey>>>>,
    lag: u64,
    gone: u64,
    trouble: Option<String>,
}

struct Site {
    facts: Facts,
    /// When it was heard last, or when we began to listen.
    heard: Instant,
    heard_at: Timestamp,
    boot: u64,
    leaving_at: Option<Instant>,
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is in the way, once.
    fn trouble(&self, trouble: Option<String>) {
        let mut known = self.known();
        if known.trouble != trouble {
            if let Some(said) = &trouble {
                tracing::error!("{said}");
            }
            known.trouble = trouble;
        }
    }

    fn want(&self, wanted: &Wanted) {
        let mut known = self.known();
        known.sites.retain(|name, _| wanted.contains_key(name));
        for (name, plan) in wanted {
            let now = Instant::now();
            let site = known.sites.entry(name.clone()).or_insert_with(|| Site {
                facts: Facts {
                    site: name.clone(),
                    ..Facts::default()
                },
                heard: now,
                heard_at: clock::now(),
                boot: 0,
                leaving_at: None,
            });
            site.facts.cells = plan.cells.len() as u64;
        }
    }

    fn remember(&self, site: &str, plans: &[SitePlan]) {
        let mut known = self.known();
        let tables = known.tables.entry(site.to_owned()).or_default();
        for plan in plans {
            let table = || Arc::new(plan.table());
            tables.entry(plan.generation).or_insert_with(table);
        }
        while tables.len() > TABLES_MAX {
            tables.pop_first();
        }
    }

    fn table(&self, site: &str, generation: u64) -> Option<Arc<Vec<CellKey>>> {
        self.known().tables.get(site)?.get(&generation).cloned()
    }
}

impl Site {
    fn hear(&mut self) {
        self.heard = Instant::now();
        self.heard_at = clock::now();
        self.facts.last_heard_at = Some(self.heard_at);
    }
}

impl Remote {
    /// Begins to listen; the server may be away as long as it likes.
    ///
    /// # Errors
    /// A sentence when our identity can't be used.
    pub(super) async fn start(
        nats: &Nats,
        wanted: Wanted,
        store: &Store,
        position: Option<&str>,
        timing: Timing,
        alone: bool,
    ) -> Result<Self, String> {
        let identity = nats.identity.as_deref().map(Identity::read).transpose()?;
        let link = connect::begin(nats, identity.as_ref(), "edgewatch hub", "_INBOX.hub").await?;
        let (shown, facts) = watch::channel(Sites {
            at: clock::now(),
            nats: nats.url.to_string(),
            ..Sites::default()
        });
        let (told, incoming) = mpsc::channel(WAITING_MAX);
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let (wanted, want) = watch::channel(Arc::new(wanted));
        let shared = Arc::new(Shared {
            known: Mutex::default(),
            store: store.clone(),
            timing,
            nats: nats.clone(),
            alone,
        });
        shared.want(&want.borrow());
        let position = position.and_then(|text| serde_json::from_str(text).ok());
        let mut tasks = JoinSet::new();
        tasks.spawn(greet(Arc::clone(&shared), link.clone()));
        tasks.spawn(ask_sites(Arc::clone(&shared), link.clone(), asked));
        tasks.spawn(watch_sites(
            Arc::clone(&shared),
            link.clone(),
            told.clone(),
            shown,
        ));
        tasks.spawn(serve(
            shared,
            link,
            want,
            position.unwrap_or_default(),
            told,
        ));
        Ok(Self {
            incoming,
            facts,
            wanted,
            asks,
            tasks,
        })
    }

    /// The plans of a file that was taken.
    pub(super) fn want(&self, wanted: Wanted) {
        self.wanted.send_replace(Arc::new(wanted));
    }

    /// Asks a site for a run, without waiting for what it says.
    pub(super) fn ask(&self, ask: Ask) {
        // Too many at once are no loss: what is still of interest is asked for again.
        let _ = self.asks.try_send(ask);
    }

    pub(super) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Prepares the server, hands plans out and reads on; begins anew whenever something fails.
async fn serve(
    shared: Arc<Shared>,
    mut link: Link,
    mut want: watch::Receiver<Arc<Wanted>>,
    mut position: Position,
    told: mpsc::Sender<Incoming>,
) {
    loop {
        if let Err(why) = turn(&shared, &mut link, &mut want, &mut position, &told).await {
            shared.trouble(Some(why));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn turn(
    shared: &Arc<Shared>,
    link: &mut Link,
    want: &mut watch::Receiver<Arc<Wanted>>,
    position: &mut Position,
    told: &mpsc::Sender<Incoming>,
) -> Result<(), String> {
    link.up().await?;
    if shared.alone
        && let Some(log) = Log::find(link.client.clone()).await?
        && log.extent().await?.last > 0
    {
        return Err("hubs with names meet at this server, and only one of them may lead sites: start this one with --name too".to_owned());
    }
    let hub = Hub::prepare(link.client.clone(), STREAM_BYTES.cast_signed()).await?;
    let wanted = want.borrow_and_update().clone();
    hand_out(shared, &hub, link, &wanted).await?;
    let mut reading = hub.read_after(position.sequence).await?;
    if reading.begun_anew {
        tracing::warn!("the stream of observations is a new one; it is read from its beginning");
        position.sequence = 0;
    }
    if reading.gone > 0 {
        tracing::warn!(
            "{} messages of sites were gone before they were read",
            reading.gone
        );
        shared.known().gone += reading.gone;
        reading.gone = 0;
    }
    shared.trouble(None);
    read_on(shared, &hub, link, want, position, &mut reading, told).await
}

async fn read_on(
    shared: &Arc<Shared>,
    hub: &Hub,
    link: &Link,
    want: &mut watch::Receiver<Arc<Wanted>>,
    position: &mut Position,
    reading: &mut Reading,
    told: &mpsc::Sender<Incoming>,
) -> Result<(), String> {
    loop {
        tokio::select! {
            changed = want.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let wanted = want.borrow_and_update().clone();
                hand_out(shared, hub, link, &wanted).await?;
            }
            message = reading.next() => {
                // Nothing for long: the reader is made anew, in case it is that which hangs.
                let Some(message) = message else { return Ok(()) };
                let lost = message.sequence.saturating_sub(position.sequence + 1);
                if position.sequence > 0 && lost > 0 {
                    shared.known().gone += lost;
                }
                let runs = unpack(shared, hub, &message, position).await;
                position.sequence = message.sequence;
                let Ok(text) = serde_json::to_string(&position) else { continue };
                let batch = Incoming::Batch { runs, position: text };
                if told.send(batch).await.is_err() {
                    return Ok(());
                }
                shared.known().lag = message.behind;
            }
        }
    }
}

/// Hands out every plan; sites that are there hear of it at once.
async fn hand_out(
    shared: &Arc<Shared>,
    hub: &Hub,
    link: &Link,
    wanted: &Wanted,
) -> Result<(), String> {
    shared.want(wanted);
    for (site, plan) in wanted {
        let known = hub.handed_out(site).await?;
        shared.remember(site, &known);
        let out = hub.hand_out(site, plan).await?;
        shared.remember(site, std::slice::from_ref(&out));
        if let Some(site) = shared.known().sites.get_mut(site) {
            site.facts.generation_wanted = out.generation;
        }
        // Nobody there: its next greeting tells it.
        let number = out.generation.to_string();
        let _ = link
            .client
            .publish(subjects::note(site), number.into())
            .await;
    }
    Ok(())
}

/// The runs of a message that are new, at the hub's time.
async fn unpack(
    shared: &Shared,
    hub: &Hub,
    message: &Message,
    position: &mut Position,
) -> Vec<Judged> {
    // The site is whose right it is to publish there, whatever the message says.
    let Some(site) = subjects::site_of(&message.subject) else {
        return Vec::new();
    };
    let head = match batch::open(&message.payload) {
        Ok(head) => head,
        Err(why) => {
            shared.trouble(Some(format!("what {site} sends is not read: {why}")));
            return Vec::new();
        }
    };
    if !shared.known().sites.contains_key(site) {
        return Vec::new();
    }
    let inlet = position.inlets.entry(site.to_owned()).or_default();
    let taken = inlet.take(head.boot, head.seq, head.acked_below);
    if shared.table(site, head.generation).is_none() {
        let known = hub.handed_out(site).await.unwrap_or_default();
        shared.remember(site, &known);
    }
    let table = shared.table(site, head.generation);
    let read = match (taken, &table) {
        (Taken::New { .. }, Some(table)) => {
            batch::unpack(&head.load, |place| table.get(place as usize))
        }
        _ => Ok(batch::Unpacked::default()),
    };
    let mut runs = read.map_or_else(
        |why| {
            tracing::warn!("a batch of {site} is not read: {why}");
            Vec::new()
        },
        |unpacked| unpacked.runs,
    );
    correct(&mut runs, head.clock);
    note(shared, site, &head, taken, &runs);
    if table.is_none() && !matches!(taken, Taken::Double) {
        tracing::warn!(
            "a batch of {site} was made by its plan {}, which nobody knows any more",
            head.generation
        );
    }
    runs
}

/// Puts what is known now beside a site.
fn note(shared: &Shared, name: &str, head: &Head, taken: Taken, runs: &[Judged]) {
    let now = clock::now();
    let late = runs.iter().filter(|judged| {
        let seen = &judged.observation;
        later(later(seen.started_at, seen.took), LATE) < now
    });
    let late = late.count() as u64;
    let mut known = shared.known();
    let Some(site) = known.sites.get_mut(name) else {
        return;
    };
    if !head.from_spool && late == 0 {
        site.hear();
    }
    let facts = &mut site.facts;
    match taken {
        Taken::New { lost } => facts.lost_batches += lost,
        Taken::Double => facts.doubled_batches += 1,
    }
    facts.dropped_runs = head.dropped;
    facts.runs += runs.len() as u64;
    facts.late_runs += late;
}

/// Moves runs to the hub's time, where the site's clock is off by more than it may err.
fn correct(runs: &mut [Judged], clock: Option<ClockSaid>) {
    let Some(clock) = clock else { return };
    let bound = OFF_MIN_US.max(clock.error_us.saturating_mul(2).cast_signed());
    if clock.offset_us.abs() <= bound {
        return;
    }
    let by = SignedDuration::from_micros(clock.offset_us);
    for judged in runs {
        let seen = &mut judged.observation;
        for at in [&mut seen.started_at, &mut seen.due_at] {
            *at = at.checked_add(by).unwrap_or(*at);
        }
    }
}

/// Answers greetings.
async fn greet(shared: Arc<Shared>, mut link: Link) {
    loop {
        if link.up().await.is_err() {
            // The task that serves says so.
            tokio::time::sleep(AGAIN).await;
            continue;
        }
        let Ok(mut greetings) = link.client.subscribe(subjects::ALL_GREETINGS).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        while let Some(message) = greetings.next().await {
            let received = clock::now();
            let (Some(site), Some(reply)) = (subjects::site_of(&message.subject), &message.reply)
            else {
                continue;
            };
            let welcome = match Hello::read(&message.payload) {
                Ok(hello) => welcome(&shared, site, &hello),
                Err(why) => Welcome {
                    refused: why.to_string(),
                    ..Welcome::default()
                },
            };
            let packed = Welcome {
                received_us: received.as_microsecond(),
                sent_us: clock::now().as_microsecond(),
                ..welcome
            }
            .packed();
            let _ = link.client.publish(reply.clone(), packed.into()).await;
        }
    }
}

fn welcome(shared: &Shared, name: &str, hello: &Hello) -> Welcome {
    let silent_after = shared.timing.silent_after;
    let mut known = shared.known();
    let Some(site) = known.sites.get_mut(name) else {
        return Welcome {
            refused: format!("the hub's file has no egress with \"site: {name}\""),
            ..Welcome::default()
        };
    };
    if hello.check {
        return Welcome {
            generation: site.facts.generation_wanted,
            ..Welcome::default()
        };
    }
    let other = site.boot != 0 && site.boot != hello.boot && site.facts.host != hello.host;
    if other && !site.facts.leaving && site.heard.elapsed() < silent_after {
        return Welcome {
            refused: format!(
                "another agent is {name}: it was heard {} s ago from {}; stop one of the two",
                site.heard.elapsed().as_secs(),
                site.facts.host
            ),
            ..Welcome::default()
        };
    }
    site.boot = hello.boot;
    site.hear();
    site.leaving_at = hello.leaving.then(Instant::now);
    let until = Timestamp::from_second(hello.certificate_until_s).ok();
    let facts = &mut site.facts;
    let refused = hello.refused > 0 && hello.refused == facts.generation_wanted;
    facts.host.clone_from(&hello.host);
    facts.version.clone_from(&hello.program);
    facts.leaving = hello.leaving;
    facts.generation = hello.generation;
    facts.refused = refused.then(|| hello.refused_because.clone());
    facts.missing.clone_from(&hello.missing);
    facts.offset_ms = hello.clock.map(|clock| clock.offset_us / 1_000);
    facts.offset_error_ms = hello.clock.map(|clock| clock.error_us / 1_000);
    facts.spool_runs = hello.spool_runs;
    facts.spool_bytes = hello.spool_bytes;
    facts.dropped_runs = hello.dropped;
    facts.certificate_until = until.filter(|_| hello.certificate_until_s > 0);
    Welcome {
        generation: facts.generation_wanted,
        ..Welcome::default()
    }
}

/// Hands over what the machine asks of sites.
async fn ask_sites(shared: Arc<Shared>, link: Link, mut asks: mpsc::Receiver<Ask>) {
    while let Some(wanted) = asks.recv().await {
        let Some((site, packed)) = question(&shared, &wanted) else {
            continue;
        };
        let answer = link.client.request(subjects::ask(&site), packed.into());
        let answer = tokio::time::timeout(ASK_WAIT, answer).await;
        let read = answer.map_err(|_| "no answer".to_owned()).and_then(|said| {
            let said = said.map_err(|e| e.to_string())?;
            let read = ask::Answer::read(&said.payload).map_err(|e| e.to_string())?;
            Some(read.declined)
                .filter(|why| !why.is_empty())
                .map_or(Ok(()), Err)
        });
        let mut known = shared.known();
        if let Some(site) = known.sites.get_mut(&site) {
            site.facts.asked += 1;
            site.facts.taken += u64::from(read.is_ok());
        }
        if let Err(why) = read {
            tracing::debug!(cell = %wanted.cell, "{site} does not run it now: {why}");
        }
    }
}

/// An ask as its site understands it: by the plan in force there.
fn question(shared: &Shared, wanted: &Ask) -> Option<(String, Vec<u8>)> {
    let known = shared.known();
    let (site, generation, cell) = known.sites.iter().find_map(|(name, site)| {
        let generation = site.facts.generation;
        let table = known.tables.get(name)?.get(&generation)?;
        let place = table.iter().position(|cell| *cell == wanted.cell)?;
        Some((name.clone(), generation, place as u32))
    })?;
    let wait = wanted.at.duration_since(clock::now());
    let ask = ask::Ask {
        generation,
        cell,
        purpose: wanted.purpose.as_str().to_owned(),
        in_ms: wait.as_millis().max(0) as u64,
        why: wanted.why.clone(),
        ..ask::Ask::default()
    };
    Some((site, ask.packed()))
}

/// Says which sites are silent whenever that changes, and writes down how all of them are.
async fn watch_sites(
    shared: Arc<Shared>,
    link: Link,
    told: mpsc::Sender<Incoming>,
    shown: watch::Sender<Sites>,
) {
    let mut said: Option<BTreeMap<String, Timestamp>> = None;
    let mut down: Option<(Instant, Timestamp)> = None;
    let (began, mut noted) = (Instant::now(), None::<Instant>);
    loop {
        tokio::time::sleep(shared.timing.look).await;
        if link.is_up() {
            if down.take().is_some() {
                // Nobody could be heard: they have their time from now on.
                let mut known = shared.known();
                for site in known.sites.values_mut() {
                    site.heard = Instant::now();
                }
            }
        } else {
            down.get_or_insert((Instant::now(), clock::now()));
        }
        let silent = silent(&shared, down);
        let unsettled = said.is_none() && began.elapsed() < shared.timing.silent_after;
        // What was silent before the start is heard first, or its time passes.
        let hopeful = unsettled && silent.is_empty() && !all_heard(&shared);
        if !hopeful && said.as_ref() != Some(&silent) {
            for (site, since) in &silent {
                if said.as_ref().is_none_or(|said| !said.contains_key(site)) {
                    tracing::warn!("{site} is silent since {since}");
                }
            }
            if told.send(Incoming::Silent(silent.clone())).await.is_err() {
                return;
            }
            said = Some(silent);
        }
        let sites = facts(&shared, down.map(|(_, at)| at));
        if noted.is_none_or(|at| at.elapsed() >= NOTE_EVERY.min(shared.timing.silent_after)) {
            noted = Some(Instant::now());
            if let Ok(text) = serde_json::to_string(&sites) {
                shared.store.keep_note(NOTE, text);
            }
        }
        shown.send_replace(sites);
    }
}

fn all_heard(shared: &Shared) -> bool {
    let known = shared.known();
    known
        .sites
        .values()
        .all(|site| site.facts.last_heard_at.is_some())
}

fn silent(shared: &Shared, down: Option<(Instant, Timestamp)>) -> BTreeMap<String, Timestamp> {
    let after = shared.timing.silent_after;
    let mut known = shared.known();
    if let Some((since, at)) = down {
        if known.sites.is_empty() || since.elapsed() < after {
            // What was known before the cut goes on being so.
            return known
                .sites
                .iter()
                .filter_map(|(name, site)| Some((name.clone(), site.facts.silent_since?)))
                .collect();
        }
        return BTreeMap::from([(NATS.to_owned(), at)]);
    }
    let mut silent = BTreeMap::new();
    for (name, site) in &mut known.sites {
        let away = site.leaving_at.is_some_and(|at| at.elapsed() < LEAVE);
        if site.heard.elapsed() >= after && !away {
            let since = *site.facts.silent_since.get_or_insert(site.heard_at);
            silent.insert(name.clone(), since);
        } else {
            site.facts.silent_since = None;
        }
    }
    silent
}

fn facts(shared: &Shared, unreachable_since: Option<Timestamp>) -> Sites {
    let known = shared.known();
    Sites {
        at: clock::now(),
        nats: shared.nats.url.to_string(),
        unreachable_since,
        trouble: known.trouble.clone(),
        lag: known.lag,
        gone: known.gone,
        sites: known
            .sites
            .values()
            .map(|site| site.facts.clone())
            .collect(),
    }
}
