//! What a person wants to know of the daemon: is it at work, what did it see last, does anything need care?
//!
//! The store answers most of it, whether the daemon runs or not; where the daemon serves `/status`, it is
//! asked itself. A faulty file must not leave the question unanswered: why it was not taken is what one
//! wants to know then.

use crate::domain::spelling::spelled;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::load::{self, Kept};
use super::self_watch::maintenance_facts;
use crate::board::quiet::{self, Quiet};
use crate::clock;
use crate::domain::cell::{CellKey, ProbeName};
use crate::domain::incident::{Acknowledged, Happening, Incident, Muted, State};
use crate::domain::mute::Silence;
use crate::domain::past::PastRun;
use crate::domain::plan::Plan;
use crate::domain::site::Sites;
use crate::domain::verdict::Kind;
use crate::store::{Delivery, Progress, Reader, Store, StoreError};
pub use crate::telemetry::Vitals;
use crate::telemetry::health::{self, UNDELIVERED_MAX};
pub use crate::telemetry::vitals::NOTE as VITALS;
use crate::telemetry::vitals::{MaintenanceFacts, NOTE};
use crate::words::briefing;

/// How far back the store is searched for runs.
const BACK: Duration = Duration::from_secs(48 * 3600);
/// Who was not heard of for so long does not run, or stands still; a note is made every ten seconds.
const SILENT_AFTER: Duration = Duration::from_secs(60);
/// For asking the daemon; it answers at once or not at all.
const ASK_MAX: Duration = Duration::from_secs(3);

/// All there is to know.
#[derive(Debug)]
pub struct Status {
    pub at: Timestamp,
    pub zone: TimeZone,
    pub store: PathBuf,
    /// Whose plan the probes are told by.
    pub by: By,
    pub daemon: Daemon,
    /// In the order of the file, controls last.
    pub rounds: Vec<Round>,
    /// Open ones, oldest first.
    pub incidents: Vec<Open>,
    /// In force, oldest first.
    pub silences: Vec<Silence>,
    /// That goes on; as the daemon said last where the file can't be read.
    pub maintenance: Vec<MaintenanceFacts>,
    /// Receivers whose secrets are missing, and which: what is meant for them reaches nobody there.
    pub unset: Vec<(String, String)>,
    /// Receivers that something waits for, or that something was given up for.
    pub receivers: Vec<Receiver>,
    /// What needs a person's care, one line each; empty: edgewatch itself is well.
    pub troubles: Vec<String>,
}

/// Where the plan comes from.
#[derive(Debug)]
pub enum By {
    /// The running daemon's own, taken from this file at this time.
    Daemon { path: PathBuf, at: Timestamp },
    /// The file that was named, read with the secrets of this process.
    File(PathBuf),
}

/// How the daemon is.
#[derive(Debug)]
pub struct Daemon {
    pub state: DaemonState,
    /// Whether it was asked itself, and not only the store.
    pub live: bool,
    /// What it said of itself, now or last.
    pub vitals: Option<Vitals>,
}

spelled!(
    DaemonState {
        Running = "running",
        /// It stopped in good order.
        Stopped = "stopped",
        /// It was killed, or stands still.
        Silent = "silent",
        /// It has not run with this store.
        Unknown = "unknown",
    }
);

/// The last run of each cell of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    pub probe: ProbeName,
    pub control: bool,
    pub cells: usize,
    /// Cells that can't run at present, and why the first of them can't.
    pub idle: usize,
    pub why: Option<String>,
    /// How many cells ended in what, in the order of verdicts.
    pub results: Vec<(Kind, usize)>,
    /// When the newest and the oldest of them began; `None`: none is known.
    pub between: Option<(Timestamp, Timestamp)>,
}

/// An open incident in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub number: u64,
    pub since: Timestamp,
    /// The fault is on our own side.
    pub our_side: bool,
    pub headline: String,
    /// Told to nobody at present, until when and by whose wish.
    pub muted: Option<Muted>,
    /// Names of the maintenance that it falls into.
    pub during: Vec<String>,
    /// Who looks after it.
    pub acknowledged: Option<Acknowledged>,
}

/// What a receiver was not told yet, or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receiver {
    pub name: String,
    pub waiting: usize,
    /// Since when the oldest of these is due; `None`: none is.
    pub due_since: Option<Timestamp>,
    /// Given up within the last week.
    pub given_up: usize,
    /// Class and words of the last failure.
    pub error: Option<(String, String)>,
}

/// Gathers it; `store` in place of the one that the file at `config` names.
///
/// # Errors
/// A sentence when there is no store to read, or no saying where it is.
pub async fn gather(config: &Path, store: Option<&Path>) -> Result<Status, String> {
    let (plan, faulty) = match load::load(config) {
        Ok(checked) => (Some(checked.plan), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let path = store
        .map(Path::to_owned)
        .or_else(|| plan.as_ref().map(|plan| plan.store.path.clone()))
        .or_else(|| load::store_path(config));
    let Some(path) = path else {
        let why = faulty.unwrap_or_default();
        return Err(format!(
            "{why}\nwhere the store is can't be read from it: name it with --store"
        ));
    };
    let path = std::path::absolute(&path).unwrap_or(path);
    let reader = Store::read_only(&path).map_err(|e| e.to_string())?;
    let read = |e: StoreError| e.to_string();
    let at = clock::now();
    let daemon = daemon(&reader, at).await.map_err(read)?;
    // A running daemon has another environment than the one who asks, and perhaps another file.
    let kept = Kept::of(&reader).filter(|_| daemon.state == DaemonState::Running);
    let of_daemon = kept.and_then(|kept| Some((kept.plan()?, kept)));
    let (plan, by) = match (of_daemon, plan) {
        (Some((plan, kept)), _) => (
            Some(plan),
            By::Daemon {
                path: kept.path,
                at: kept.at,
            },
        ),
        (None, plan) => (plan, By::File(config.to_owned())),
    };
    let mut silences = reader.silences().map_err(read)?;
    silences.retain(|silence| silence.holds(at));
    let quiet = plan.as_ref().map(|plan| Quiet::at(plan, &silences, at));
    let maintenance = match (&plan, &daemon.vitals) {
        (Some(plan), _) => quiet::maintenance(plan, at)
            .map(|in_force| maintenance_facts(&in_force))
            .collect(),
        (None, Some(vitals)) => {
            let known = vitals.maintenance.iter();
            known.filter(|known| at < known.until).cloned().collect()
        }
        (None, None) => Vec::new(),
    };
    let mut status = Status {
        at,
        zone: plan
            .as_ref()
            .map_or(TimeZone::UTC, |plan| plan.zone.clone()),
        rounds: rounds(&reader, plan.as_ref(), at).map_err(read)?,
        incidents: incidents(&reader, plan.as_ref(), quiet.as_ref()).map_err(read)?,
        silences,
        maintenance,
        unset: Vec::new(),
        receivers: receivers(&reader.undelivered().map_err(read)?, at),
        store: path,
        by,
        daemon,
        troubles: Vec::new(),
    };
    status.troubles = troubles(&status, config, faulty.as_deref());
    status.unset = plan.as_ref().map(unset).unwrap_or_default();
    if matches!(status.by, By::Daemon { .. }) {
        let idle = status.rounds.iter().filter_map(idle);
        status.troubles.extend(idle);
    }
    let without = status.unset.iter();
    let without = without.map(|(name, why)| format!("receiver {name} reaches nobody: {why}"));
    status.troubles.extend(without);
    Ok(status)
}

/// From the note in the store, and from the daemon itself where it can be asked.
async fn daemon(reader: &Reader, at: Timestamp) -> Result<Daemon, StoreError> {
    // What another version wrote in other words is as good as nothing.
    let noted = reader
        .note(NOTE)?
        .and_then(|text| Vitals::from_json(&text).ok());
    let Some(noted) = noted else {
        return Ok(Daemon {
            state: DaemonState::Unknown,
            live: false,
            vitals: None,
        });
    };
    if noted.stopped_at.is_none()
        && let Some(address) = noted.listen
        && let Some(vitals) = ask(address).await
        // Somebody else may have the port by now.
        && (vitals.pid, vitals.started_at) == (noted.pid, noted.started_at)
    {
        return Ok(Daemon {
            state: DaemonState::Running,
            live: true,
            vitals: Some(vitals),
        });
    }
    let state = if noted.stopped_at.is_some() {
        DaemonState::Stopped
    } else if age(noted.at, at) > SILENT_AFTER {
        DaemonState::Silent
    } else {
        DaemonState::Running
    };
    Ok(Daemon {
        state,
        live: false,
        vitals: Some(noted),
    })
}

async fn ask(address: SocketAddr) -> Option<Vitals> {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, address.port());
    // reqwest panics without a provider; an error here means that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder()
        .timeout(ASK_MAX)
        .no_proxy()
        .build()
        .ok()?;
    let answer = client.get(format!("http://{address}/status")).send().await;
    let text = answer.ok()?.text().await.ok()?;
    Vitals::from_json(&text).ok()
}

/// That nobody looks at a probe, where none of its cells can run.
fn idle(round: &Round) -> Option<String> {
    let why = round.why.as_ref().filter(|_| round.idle == round.cells)?;
    Some(format!("probe {} is not watched: {why}", round.probe))
}

/// The last run of each cell, by probe; without a plan, of each cell that the store knows.
fn rounds(reader: &Reader, plan: Option<&Plan>, at: Timestamp) -> Result<Vec<Round>, StoreError> {
    let cells: Vec<CellKey> = match plan {
        Some(plan) => plan.every_cell().map(|(_, cell)| cell).collect(),
        None => reader.cells()?,
    };
    let since = at.checked_sub(BACK).unwrap_or(Timestamp::MIN);
    let runs = reader.latest(&cells, since)?;
    let mut by_probe: BTreeMap<&ProbeName, Vec<&PastRun>> = BTreeMap::new();
    for run in &runs {
        by_probe.entry(&run.cell.probe).or_default().push(run);
    }
    let mut rounds: Vec<Round> = Vec::new();
    let mut places: BTreeMap<&ProbeName, usize> = BTreeMap::new();
    for cell in &cells {
        let place = *places.entry(&cell.probe).or_insert_with(|| {
            let runs = by_probe.get(&cell.probe).map_or(&[][..], Vec::as_slice);
            let probe = plan.and_then(|plan| plan.probe(&cell.probe));
            rounds.push(round(&cell.probe, probe.is_some_and(|p| p.control), runs));
            rounds.len() - 1
        });
        rounds[place].cells += 1;
        if let Some(why) = plan.and_then(|plan| plan.missing(cell)) {
            rounds[place].idle += 1;
            rounds[place].why.get_or_insert_with(|| why.to_owned());
        }
    }
    Ok(rounds)
}

fn round(probe: &ProbeName, control: bool, runs: &[&PastRun]) -> Round {
    let newest = runs.iter().map(|run| run.at).max();
    let oldest = runs.iter().map(|run| run.at).min();
    let count = |kind: Kind| runs.iter().filter(|run| run.kind == kind).count();
    Round {
        probe: probe.clone(),
        control,
        cells: 0,
        idle: 0,
        why: None,
        results: Kind::ALL
            .iter()
            .map(|kind| (*kind, count(*kind)))
            .filter(|(_, count)| *count > 0)
            .collect(),
        between: newest.zip(oldest),
    }
}

fn incidents(
    reader: &Reader,
    plan: Option<&Plan>,
    quiet: Option<&Quiet>,
) -> Result<Vec<Open>, StoreError> {
    let mut open = Vec::new();
    for mut incident in reader.load_open()?.incidents {
        if incident.state != State::Open {
            continue;
        }
        if let Some(quiet) = quiet {
            quiet.show_in(&mut incident);
        }
        let headline = match plan {
            Some(plan) => briefing::headline(plan, &incident),
            None => told(reader, &incident)?,
        };
        let our_side = incident.is_ours();
        open.push(Open {
            number: incident.number,
            since: incident.onset_at,
            our_side,
            headline,
            muted: incident.telling.muted,
            during: incident.telling.during,
            acknowledged: incident.acknowledged,
        });
    }
    Ok(open)
}

/// The headline as the timeline has it: without a plan no new one can be written.
fn told(reader: &Reader, incident: &Incident) -> Result<String, StoreError> {
    let shown = reader.show(incident.number)?;
    let entries = shown.map(|shown| shown.timeline).unwrap_or_default();
    let said = entries.iter().rev().find(|entry| {
        matches!(
            entry.what,
            Happening::Opened | Happening::Changed | Happening::Reopened
        )
    });
    Ok(said.map_or_else(|| incident.kind.to_string(), |entry| entry.text.clone()))
}

/// Receivers that are not set up.
fn unset(plan: &Plan) -> Vec<(String, String)> {
    let each = plan.receivers.iter();
    each.filter_map(|receiver| {
        let missing = receiver.channel.missing().join("; ");
        (!missing.is_empty()).then(|| (receiver.name.to_string(), missing))
    })
    .collect()
}

fn receivers(undelivered: &[Delivery], at: Timestamp) -> Vec<Receiver> {
    let mut receivers: BTreeMap<&str, Receiver> = BTreeMap::new();
    for delivery in undelivered {
        let notification = &delivery.notification;
        let name = notification.receiver.as_str();
        let receiver = receivers.entry(name).or_insert_with(|| Receiver {
            name: name.to_owned(),
            ..Receiver::default()
        });
        if let (Some(class), Some(error)) = (&delivery.error_class, &delivery.error) {
            receiver.error = Some((class.clone(), error.clone()));
        }
        if delivery.progress == Progress::Dead {
            receiver.given_up += 1;
            continue;
        }
        receiver.waiting += 1;
        let due = notification.not_before.max(notification.created_at);
        if due <= at {
            receiver.due_since = Some(receiver.due_since.map_or(due, |known| known.min(due)));
        }
    }
    receivers.into_values().collect()
}

fn troubles(status: &Status, config: &Path, faulty: Option<&str>) -> Vec<String> {
    let mut troubles = Vec::new();
    let daemon = &status.daemon;
    match (daemon.state, &daemon.vitals) {
        (DaemonState::Running, Some(vitals)) => {
            // Of messages the store knows better.
            let wrong = health::ready(vitals, status.at)
                .into_iter()
                .filter(|check| !check.ok && check.name != "delivery");
            troubles.extend(wrong.map(|check| format!("{}: {}", check.name, check.text)));
            troubles.extend(vitals.sites.iter().flat_map(Sites::troubles));
            if let Some(why) = vitals.heartbeat.as_ref().and_then(|h| h.error.as_deref()) {
                troubles.push(format!("heartbeat: {why}"));
            }
        }
        (DaemonState::Silent, Some(vitals)) => troubles.push(format!(
            "the daemon was last heard of at {}: it was killed, or stands still",
            vitals.at
        )),
        (DaemonState::Stopped, _) => troubles.push("the daemon does not run".to_owned()),
        _ => troubles.push("the daemon has said nothing of itself in this store".to_owned()),
    }
    // Said already where the daemon found it out at a reload.
    if let Some(first) = faulty.map(|faulty| faulty.lines().next().unwrap_or_default())
        && !troubles.iter().any(|trouble| trouble.contains(first))
    {
        troubles.push(format!(
            "{} can't be used: {first}; see `edgewatch check`",
            config.display()
        ));
    }
    for receiver in &status.receivers {
        if let Some(since) = receiver.due_since
            && age(since, status.at) > UNDELIVERED_MAX
        {
            troubles.push(format!(
                "delivery: {} waiting for {}, due since {since}",
                receiver.waiting, receiver.name
            ));
        }
    }
    troubles
}

fn age(from: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(from)).unwrap_or_default()
}
