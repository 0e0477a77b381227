//! What surrounds the probes: the front of every partner's host, and our own side; and what becomes of a change.
//!
//! A change near the onset of an incident is put beside it. One that stays alone is told as a notice, after
//! a short wait in which an incident that goes with it would have opened. It is told to nobody, then and
//! later, when silences and maintenance that mute cover every cell that it concerns, at its first sighting
//! or when it would be told; maintenance that only annotates is mentioned. What is normal is handed out to be kept, gathered over a minute, and at once when a
//! change was noticed, together with the notice: so a restart tells nothing twice and nothing anew.

pub mod fingerprint;
pub mod front;
mod late;
pub mod notice;
pub mod own_side;
mod reached;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::board::catching_up::Gone;
use crate::board::events::{Effect, Judged};
use crate::board::quiet::Hush;
use crate::board::{Board, Cell};
use crate::domain::cell::{CellKey, ClientName, EgressName};
use crate::domain::fingerprint::{Drift, DriftKind};
use crate::domain::incident::Beside;
use crate::domain::moment::later;
use crate::domain::notification::Briefing;
use crate::domain::observation::Observation;
use crate::domain::sent::{Sent, Stack};
use crate::domain::surroundings::{Learned, Memory};
use crate::domain::verdict::Kind;
use crate::domain::ways::KnownWay;
use crate::words::evidence::plain;
use fingerprint::{Watch, fnv};
use notice::Notice;
use own_side::{OwnSide, Said, echoed};
use reached::Reached;

/// How long a change waits for an incident that it may belong to, before it is told alone.
const ALONE_AFTER: Duration = Duration::from_secs(300);
/// A change that could not be told for so long, because nobody ran, is old news.
const OLD_NEWS: Duration = Duration::from_secs(72 * 3600);
/// What was learned is gathered for so long before it is kept.
const KEEP_AFTER: Duration = Duration::from_secs(60);
/// Each front is kept anew this often, so that it is known when it was there last.
const KEEP_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Fronts kept at once; the rest follow.
const KEEP_MAX: usize = 256;
/// Ways put beside one incident.
const WAYS_MAX: usize = 8;
/// Changes put beside one incident.
const BESIDE_MAX: usize = 8;

/// The fronts of all hosts, and our own side.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// In the order of the board; `None` until a first answer, and for hosts that controls ask.
    fronts: Vec<Option<Box<Front>>>,
    egresses: BTreeMap<EgressName, u16>,
    ours: OwnSide,
    reached: Reached,
    /// Places of fronts to be kept.
    unkept: BTreeSet<usize>,
    keep_at: Option<Timestamp>,
    /// Changes that wait: place of the host, first sighting, when to tell them alone.
    waiting: Vec<(usize, f64, Timestamp)>,
    /// To be told with the next effects.
    due: Vec<Notice>,
}

#[derive(Debug)]
struct Front {
    watch: Watch,
    kept_at: Timestamp,
}

/// A change of a front that has just become certain.
#[derive(Debug, Clone, PartialEq)]
pub struct Noticed {
    pub host: usize,
    pub at: Timestamp,
    pub text: String,
}

impl Surroundings {
    /// Starts over a plan that nothing is known of yet.
    #[must_use]
    pub fn new(board: &Board) -> Self {
        let mut fresh = Self {
            ours: OwnSide::of(&board.plan),
            ..Self::default()
        };
        fresh.lay_out(board);
        fresh
    }

    /// Goes on from what was known at the last start; `now` is the start.
    #[must_use]
    pub fn resume(board: &Board, memory: Memory, now: Timestamp) -> Self {
        let mut resumed = Self::new(board);
        resumed.ours = OwnSide::resume(memory.ours.unwrap_or_default());
        resumed.reached = Reached::resume(memory.ways);
        for known in memory.fronts {
            let Some(host) = board.host(&known.host) else {
                continue;
            };
            if known.rules != front::RULES || board.hosts[host].control {
                continue;
            }
            resumed.fronts[host] = Some(Box::new(Front {
                watch: Watch::resume(&known, egresses(board, host), seconds(now)),
                kept_at: known.saved_at,
            }));
        }
        resumed.find_waiting(now);
        resumed.ours.replan(&board.plan, now);
        resumed.note_ours(now);
        resumed
    }

    fn lay_out(&mut self, board: &Board) {
        self.fronts.resize_with(board.hosts.len(), || None);
        let names = board.plan.egresses.iter().map(|e| e.name.clone());
        self.egresses = names.zip(0..).collect();
    }

    /// Fits itself to another plan; `old` is the board so far.
    pub fn replan(&mut self, old: &Board, board: &Board, now: Timestamp) {
        let mut known: BTreeMap<&str, Box<Front>> = BTreeMap::new();
        for (host, front) in old.hosts.iter().zip(std::mem::take(&mut self.fronts)) {
            known.extend(front.map(|front| (host.name.as_str(), front)));
        }
        self.lay_out(board);
        self.unkept.clear();
        for (place, host) in board.hosts.iter().enumerate() {
            let front = known.remove(host.name.as_str());
            self.fronts[place] = front.filter(|_| !host.control).map(|mut front| {
                front.watch.replan(egresses(board, place));
                front
            });
            // Whoever was to be kept is; one too many does no harm.
            if self.fronts[place].is_some() && self.keep_at.is_some() {
                self.unkept.insert(place);
            }
        }
        self.find_waiting(now);
        self.ours.replan(&board.plan, now);
        self.note_ours(now);
    }

    /// Changes that nothing was done about yet.
    fn find_waiting(&mut self, now: Timestamp) {
        self.waiting.clear();
        for (place, front) in self.fronts.iter().enumerate() {
            let Some(front) = front else {
                continue;
            };
            for drift in front.watch.drifts().filter(|drift| !drift.told) {
                let due = later(timestamp(drift.noticed_at), ALONE_AFTER);
                self.waiting.push((place, drift.at, due.max(now)));
            }
        }
    }

    /// Takes in a run; returns a change of its host's front that has become certain by it.
    pub fn observe(
        &mut self,
        board: &Board,
        cell: &Cell,
        judged: &Judged,
        at: Timestamp,
    ) -> Option<Noticed> {
        let observation = &judged.observation;
        self.note_sent(board, &cell.key, observation, at);
        let host = &board.hosts[cell.host].name;
        if judged.verdict.passed() && self.reached.passed(observation, host, at) {
            self.keep_at.get_or_insert(later(at, KEEP_AFTER));
        }
        if !front::speaks(observation, &judged.verdict) {
            return None;
        }
        if cell.control_probe {
            let address = echoed(observation)?;
            let said = self.ours.seen(&board.plan, &cell.key.egress, address, at);
            self.note_ours(at);
            if let Some(said) = said {
                self.keep_at = Some(at);
                let egress = &cell.key.egress;
                let hush = hush(board, &behind(board, egress), said.at);
                if !hush.muted {
                    self.due
                        .push(about_us(format!("egress {egress}"), said, hush.during));
                }
            }
            return None;
        }
        let place = cell.host;
        let host = &board.hosts[place];
        if host.control {
            return None;
        }
        let egress = self.egresses.get(&cell.key.egress).copied().unwrap_or(0);
        let asker = asker(&cell.key);
        let front = self.fronts.get_mut(place)?.get_or_insert_with(|| {
            Box::new(Front {
                watch: Watch::new(egresses(board, place)),
                kept_at: at,
            })
        });
        let digest = front::digest(observation, &judged.verdict, &host.name);
        let drift = front.watch.sight(seconds(at), egress, asker, digest, || {
            front::read(observation, &judged.verdict, &host.name)
        });
        let noticed = drift.map(|drift| Noticed {
            host: place,
            at: timestamp(drift.at),
            text: plain(&front::text(&host.name, drift)),
        });
        let first = drift.map(|drift| (drift.at, is_worth_telling(drift)));
        if let Some((first, worth)) = first {
            if worth {
                self.waiting.push((place, first, later(at, ALONE_AFTER)));
            } else {
                front.watch.settle(first);
            }
        }
        let changed = front.watch.take_changed();
        let old = later(front.kept_at, KEEP_EVERY) <= at;
        if changed || old {
            front.kept_at = at;
            self.unkept.insert(place);
            let keep_at = if noticed.is_some() {
                at
            } else {
                later(at, KEEP_AFTER)
            };
            self.keep_at = Some(self.keep_at.map_or(keep_at, |known| known.min(keep_at)));
        }
        noticed
    }

    /// Takes in whose TLS a run had, and tells when that changed.
    fn note_sent(&mut self, board: &Board, cell: &CellKey, run: &Observation, at: Timestamp) {
        let by_program = |sent: &&Sent| sent.stack != Stack::Native;
        let Some(sent) = run.sent.as_ref().filter(by_program) else {
            return;
        };
        let said = self.ours.sent(&cell.client, sent, at);
        self.note_ours(at);
        let Some(said) = said else {
            return;
        };
        self.keep_at = Some(at);
        let cells = board.cells.iter().map(|cell| &cell.key);
        let concerned: Vec<_> = cells.filter(|key| key.client == cell.client).collect();
        let hush = hush(board, &concerned, said.at);
        if !hush.muted {
            let subject = format!("client {}", cell.client);
            self.due.push(about_us(subject, said, hush.during));
        }
    }

    fn note_ours(&mut self, now: Timestamp) {
        // Asked again when it is kept.
        if self.keep_at.is_none() {
            let keep_at = later(now, KEEP_AFTER);
            self.keep_at = Some(keep_at).filter(|_| self.ours.has_changed());
        }
    }

    /// The changes near the onset of an incident with these failing cells, most telling first.
    ///
    /// They are its from now on, and not told alone.
    pub fn beside(
        &mut self,
        board: &Board,
        cells: &[&CellKey],
        onset: Timestamp,
        kind: Kind,
    ) -> Vec<Beside> {
        let hosts = cells
            .iter()
            .filter_map(|key| board.get(key).map(|cell| cell.host));
        let hosts: BTreeSet<usize> = hosts.collect();
        let mut beside = self.ours.beside(cells, onset);
        for host in hosts {
            let Some(Some(front)) = self.fronts.get_mut(host) else {
                continue;
            };
            let relations = front.watch.relate(seconds(onset), kind.is_edge_refusal());
            for relation in relations {
                let first = relation.drift.at;
                front.watch.settle(first);
                self.waiting
                    .retain(|(place, at, _)| *place != host || at.total_cmp(&first).is_ne());
                beside.push(Beside {
                    at: timestamp(first),
                    text: plain(&front::text(&board.hosts[host].name, &relation.drift)),
                    chance: relation.chance,
                    related: relation.related,
                });
            }
            if front.watch.take_changed() {
                self.unkept.insert(host);
                self.keep_at.get_or_insert(later(onset, KEEP_AFTER));
            }
        }
        beside.sort_by(|a, b| {
            let related = b.related.cmp(&a.related);
            related.then(a.chance.total_cmp(&b.chance))
        });
        beside.truncate(BESIDE_MAX);
        beside
    }

    /// By which addresses the egresses of these cells reached their hosts before.
    #[must_use]
    pub fn ways(&self, board: &Board, cells: &[&CellKey]) -> Vec<KnownWay> {
        let mut ways: Vec<KnownWay> = Vec::new();
        for key in cells {
            let Some(cell) = board.get(key) else { continue };
            let host = &board.hosts[cell.host].name;
            let known = |way: &KnownWay| way.egress == key.egress && way.host == *host;
            if ways.len() < WAYS_MAX && !ways.iter().any(known) {
                ways.extend(self.reached.way(&key.egress, host));
            }
        }
        ways
    }

    /// When [`Surroundings::settle`] would do something; `None`: not before another run.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        let waiting = self.waiting.iter().map(|(.., due)| *due);
        waiting.chain(self.keep_at).min()
    }

    /// Tells what stayed alone, and hands out what is to be kept.
    pub fn settle(&mut self, board: &Board, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.due.is_empty() && self.next_wake().is_none_or(|at| at > now) {
            return;
        }
        let first = self.tell_waiting(board, now);
        let told = std::mem::take(&mut self.due);
        let notifications: Vec<_> = told
            .iter()
            .flat_map(|notice| notice::due(&board.plan, notice, now))
            .collect();
        let keep = !notifications.is_empty() || self.keep_at.is_some_and(|at| at <= now);
        if !keep {
            return;
        }
        let mut learned = Learned {
            memory: Memory::default(),
            notifications,
        };
        // What is told is kept with it; the rest may wait for another turn.
        let mut places: Vec<usize> = self.unkept.iter().copied().collect();
        places.sort_by_key(|place| !first.contains(place));
        for place in places.into_iter().take(KEEP_MAX.max(first.len())) {
            self.unkept.remove(&place);
            let front = self.fronts.get(place).and_then(Option::as_ref);
            let name = &board.hosts[place].name;
            let kept = front.and_then(|front| front.watch.keep(name, front::RULES, now));
            learned.memory.fronts.extend(kept);
        }
        self.keep_at = (!self.unkept.is_empty()).then(|| later(now, KEEP_AFTER));
        learned.memory.ways = self.reached.take_unkept();
        if self.ours.take_changed() {
            learned.memory.ours = Some(self.ours.keep().clone());
        }
        if learned != Learned::default() {
            effects.push(Effect::Learned(Box::new(learned)));
        }
    }

    /// What waited in vain for an incident is told alone.
    ///
    /// Returns the hosts that this is about.
    fn tell_waiting(&mut self, board: &Board, now: Timestamp) -> BTreeSet<usize> {
        let mut told = BTreeSet::new();
        let waiting = std::mem::take(&mut self.waiting);
        for (place, first, due) in waiting {
            if due > now {
                self.waiting.push((place, first, due));
                continue;
            }
            let Some(Some(front)) = self.fronts.get_mut(place) else {
                continue;
            };
            let same = |drift: &&Drift| drift.at.total_cmp(&first).is_eq() && !drift.told;
            if let Some(drift) = front.watch.drifts().find(same) {
                let cells = board.hosts[place].cells.iter();
                let cells: Vec<_> = cells.map(|id| &board.cells[*id].key).collect();
                let hush = hush(board, &cells, timestamp(first));
                let fresh = later(timestamp(drift.noticed_at), OLD_NEWS) >= now;
                if fresh && !hush.muted {
                    self.due.push(about_front(board, place, drift, hush.during));
                }
            }
            front.watch.settle(first);
            if front.watch.take_changed() {
                told.insert(place);
                self.unkept.insert(place);
                self.keep_at = Some(now);
            }
        }
        told
    }
}

impl Surroundings {
    /// Tells that edgewatch alone is refused at these cells, as `said`, unless their clients were told of lately.
    pub fn monitor_refused(
        &mut self,
        board: &Board,
        cells: &[CellKey],
        at: Timestamp,
        said: Briefing,
    ) {
        let clients: BTreeSet<&ClientName> = cells.iter().map(|cell| &cell.client).collect();
        let hush = hush(board, &cells.iter().collect::<Vec<_>>(), at);
        if !self.ours.refused(&clients, at) || hush.muted {
            return;
        }
        self.note_ours(at);
        self.due.push(Notice {
            at,
            subject: said.subject,
            our_side: true,
            probes: Vec::new(),
            headline: said.headline,
            because: said.because,
            next_step: said.next_step,
            during: hush.during,
        });
    }

    /// Tells what came and went while runs were not heard of; `from` is when the first of them began.
    pub fn heard_late(&mut self, board: &Board, from: Timestamp, gone: &[Gone]) {
        let cells: Vec<_> = gone.iter().map(|gone| &gone.cell).collect();
        let hush = hush(board, &cells, from);
        if !hush.muted {
            self.due
                .push(late::notice(&board.plan, from, gone, hush.during));
        }
    }
}

/// What is quiet about a change of these cells that was first seen at `at`, then or now.
fn hush(board: &Board, cells: &[&CellKey], at: Timestamp) -> Hush {
    let now = board.quiet.about(cells);
    if now.muted {
        return now;
    }
    board.quiet_at(at).about(cells)
}

/// Whom a change of an egress concerns: what partners are asked from there, not the controls that found it out.
fn behind<'a>(board: &'a Board, egress: &EgressName) -> Vec<&'a CellKey> {
    let cells = board.cells.iter();
    let behind = cells.filter(|cell| !cell.control_probe && cell.key.egress == *egress);
    behind.map(|cell| &cell.key).collect()
}

/// Headers come and go with every release; they matter only beside an incident.
fn is_worth_telling(drift: &Drift) -> bool {
    drift.kind != DriftKind::HeadersChanged
}

fn about_front(board: &Board, place: usize, drift: &Drift, during: Vec<String>) -> Notice {
    let host = &board.hosts[place];
    let cells = || host.cells.iter().map(|id| &board.cells[*id]);
    let ran = cells().filter_map(|cell| cell.last);
    let since = ran.filter(|last| last.at >= timestamp(drift.at));
    let (passed, failed) = since.fold((0, 0), |(passed, failed), last| {
        (
            passed + u32::from(!last.failed),
            failed + u32::from(last.failed),
        )
    });
    let mut because = Vec::new();
    if passed > 0 && failed == 0 {
        let all = match passed {
            1 => "the one combination that ran since passes".to_owned(),
            many => format!("all {many} combinations that ran since pass"),
        };
        because.push(format!("Nothing is refused: {all}"));
    }
    let mut probes = Vec::new();
    for cell in cells() {
        if !probes.contains(&cell.key.probe) {
            probes.push(cell.key.probe.clone());
        }
    }
    Notice {
        at: timestamp(drift.at),
        subject: host.name.clone(),
        our_side: false,
        probes,
        headline: capital(&front::text(&host.name, drift), &host.name),
        because,
        next_step: front::advice(drift).map(str::to_owned),
        during,
    }
}

fn about_us(subject: String, said: Said, during: Vec<String>) -> Notice {
    Notice {
        at: said.at,
        subject,
        our_side: true,
        probes: Vec::new(),
        headline: said.headline,
        because: said.because,
        next_step: Some(said.next_step),
        during,
    }
}

/// A phrase as a sentence; a host's name keeps its letters.
fn capital(text: &str, host: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if !text.starts_with(host) => {
            first.to_uppercase().collect::<String>() + letters.as_str()
        }
        _ => text.to_owned(),
    }
}

/// How many egresses reach a host.
fn egresses(board: &Board, host: usize) -> usize {
    let cells = board.hosts[host].cells.iter();
    let egresses: BTreeSet<&EgressName> = cells.map(|id| &board.cells[*id].key.egress).collect();
    egresses.len()
}

/// A number for the probe and the client.
fn asker(key: &CellKey) -> u32 {
    let (probe, client) = (key.probe.as_str(), key.client.as_str());
    fnv(probe.bytes().chain([0]).chain(client.bytes())) as u32
}

fn seconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}

fn timestamp(seconds: f64) -> Timestamp {
    Timestamp::from_microsecond((seconds * 1e6).round() as i64).unwrap_or(Timestamp::UNIX_EPOCH)
}
