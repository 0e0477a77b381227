//! When each cell is next due: spread by a hash, polite to hosts, never in a burst.
//!
//! One heap holds all that will happen; time is passed in, so the daemon, a replay and the tests drive
//! the same code. The rules:
//!
//! - A cell with an interval has a phase, the hash of its name modulo the interval. It is due whenever
//!   the wall clock passes that phase, so a restart does not move it and cells do not drift together.
//! - A cell with a cron expression is due a few seconds after the occurrence, again by its hash.
//! - Results come soon after a start: first runs are brought forward into the first minute, or as much
//!   longer as the host's budget needs for them.
//! - A run that could not be woken for in time (the machine slept, the clock was set) is skipped and
//!   counted, not caught up with. The next one comes at its phase.
//! - A cell never overlaps itself: what falls due while it runs is skipped and counted.
//! - A due cell waits for its host in a queue, runs that were asked for before scheduled ones. One
//!   that waits until it is due again has lost a run: that is counted, and it keeps its place.
//!   Hosts do not wait for each other.
//!
//! An idle cell costs one `Slot` and one heap entry, some 100 bytes. Names of cells are kept once, in
//! the sorted slots.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::bulkhead::{self, Share};
use super::politeness::{Leave, MINUTE, Micros, Pace, SECOND};
use crate::domain::cell::CellKey;
use crate::domain::observation::Purpose;
use crate::domain::plan::Plan;
use crate::domain::probe::Schedule;
use crate::domain::upcoming::{Budget, NEXT_MAX, Upcoming};
use crate::lang::cron::Cron;

/// A run that may start now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) cell: CellKey,
    pub(super) purpose: Purpose,
    pub(super) at: Timestamp,
    pub(super) why: Arc<str>,
}

/// What became of a request for an extra run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Taken,
    /// One was asked for already; it serves both, at the earlier of the two times.
    Merged,
    /// The plan has no such cell.
    Unknown,
}

/// What has happened since the process started, and what is going on now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub started: u64,
    /// Runs not made because their time had passed: the machine slept, or the host's budget did not
    /// reach. A stretch that was slept through counts once for each cell.
    pub skipped_late: u64,
    /// Runs not made because the cell's last one was still going on, or another stood in for it.
    pub skipped_in_flight: u64,
    /// Runs not made because too many were under way, over all hosts or to this partner.
    pub skipped_no_room: u64,
    /// Runs not made because their account was used as often as a day allows, or is locked.
    pub skipped_resting: u64,
    pub in_flight: usize,
    /// Cells, and extra runs, that are due and wait for their host's turn.
    pub waiting: usize,
}

/// Says which cell is due. Call [`Timetable::due`] at [`Timetable::next_wake`] and after every call of
/// [`Timetable::finished`], [`Timetable::ask`] and [`Timetable::replace`].
#[derive(Debug)]
pub(super) struct Timetable {
    /// Sorted by key.
    slots: Vec<Slot>,
    /// One for each probe.
    lines: Vec<Line>,
    hosts: Vec<Host>,
    shares: Vec<Share>,
    heap: BinaryHeap<Reverse<(Micros, Wake)>>,
    /// Hosts that have something to start, in turn.
    ready: VecDeque<u32>,
    extras: BTreeMap<u32, Extra>,
    /// Cells that left the plan while they ran.
    leaving: BTreeSet<CellKey>,
    /// The latest time that was passed in.
    now: Micros,
    /// Without the extra runs that wait.
    counts: Counts,
    scheduled: Arc<str>,
}

#[derive(Debug)]
struct Slot {
    key: CellKey,
    line: u32,
    in_flight: bool,
    /// In its host's queue.
    waiting: bool,
    /// When the run that waits was due.
    due: Micros,
}

/// What the cells of one probe share.
#[derive(Debug)]
struct Line {
    rhythm: Rhythm,
    host: u32,
}

#[derive(Debug)]
enum Rhythm {
    Every(Micros),
    Cron(Box<CronRhythm>),
}

#[derive(Debug)]
struct CronRhythm {
    cron: Cron,
    /// The last search: from (inclusive), what was found, and the occurrence after that. The cells of a
    /// probe ask the same question one after the other.
    last: Option<(Micros, Micros, Micros)>,
}

#[derive(Debug)]
struct Host {
    name: String,
    /// Of the partner that it belongs to.
    share: u32,
    pace: Pace,
    /// Cells of `extras` that are due.
    asked: VecDeque<u32>,
    /// Cells that are `waiting`; others are stale.
    scheduled: VecDeque<u32>,
    turn: Turn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing to start.
    Idle,
    /// In `ready`.
    Ready,
    /// Must not be asked before; the heap has the time.
    Pausing(Micros),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Cell(u32),
    Extra(u32),
    Host(u32),
}

#[derive(Debug)]
struct Extra {
    at: Micros,
    purpose: Purpose,
    why: Arc<str>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The heap has its time.
    Later,
    /// Due, but the cell is running.
    AfterRun,
    /// In its host's queue.
    Queued,
}

/// A run that the heap gives out later than this is skipped, when its interval is not shorter.
const GRACE: Micros = MINUTE;

/// A host that asks for more silence than this is asked again all the same.
const HOLD_MAX: Micros = 15 * MINUTE;

/// Cron cells are spread over at most this after the occurrence, and at most a tenth of the time to the
/// next one.
const CRON_SPREAD: Micros = 5 * SECOND;

/// First runs come within this, when the budget allows.
const FIRST_WITHIN: Micros = MINUTE;

/// First runs over all hosts, so that a start with many cells is no burst on our side either.
const FIRST_A_SECOND: Micros = 100;

/// Smaller steps back of the clock are waited out.
const STEP_IGNORED: Micros = SECOND;

impl Timetable {
    pub(super) fn new(plan: &Plan, now: Timestamp) -> Self {
        Self::first(plan, now, |_| true)
    }

    /// The same, where only some cells ever fall due by themselves.
    pub(super) fn sparse(plan: &Plan, scheduled: &BTreeSet<CellKey>, now: Timestamp) -> Self {
        Self::first(plan, now, |cell| scheduled.contains(cell))
    }

    fn first(plan: &Plan, now: Timestamp, scheduled: impl Fn(&CellKey) -> bool) -> Self {
        let mut table = Self::of(plan, now.as_microsecond());
        let cells = (0..table.slots.len() as u32)
            .filter(|cell| scheduled(&table.slots[*cell as usize].key))
            .collect::<Vec<u32>>();
        table.schedule_first(&cells);
        table
    }

    /// When [`Timetable::due`] should be called next; `None`: not before something else happens.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        let Reverse((at, _)) = self.heap.peek()?;
        Timestamp::from_microsecond(*at).ok()
    }

    /// Gives out what may start at `now`, at most `room` runs.
    ///
    /// Each is in flight from here on, until [`Timetable::finished`] is told of it.
    pub(super) fn due(&mut self, now: Timestamp, room: usize, out: &mut Vec<Due>) {
        let now = self.read_clock(now);
        while let Some(&Reverse((at, wake))) = self.heap.peek() {
            if at > now {
                break;
            }
            self.heap.pop();
            match wake {
                Wake::Cell(cell) => self.cell_is_due(cell, at, now),
                Wake::Extra(cell) => self.extra_is_due(cell, at),
                Wake::Host(host) => {
                    if self.hosts[host as usize].turn == Turn::Pausing(at) {
                        self.make_ready(host);
                    }
                }
            }
        }
        let mut room = room;
        // Who holds more than its part comes after all others that wait.
        let limits: [fn(&Share) -> usize; 2] = [|share| share.first, |share| share.most];
        for limit in limits {
            let mut held = VecDeque::new();
            while room > 0
                && let Some(host) = self.ready.pop_front()
            {
                let share = &self.shares[self.hosts[host as usize].share as usize];
                if share.in_flight >= limit(share) {
                    held.push_back(host);
                } else if let Some(start) = self.start_one(host, now) {
                    out.push(start);
                    room -= 1;
                }
            }
            held.append(&mut self.ready);
            self.ready = held;
        }
    }

    /// Starts nothing at the host of `cell` before `until`, because it asked us to wait (`Retry-After`).
    ///
    /// At most a quarter of an hour from `now`; scheduled runs that get too late meanwhile are skipped and counted.
    pub(super) fn hold(&mut self, cell: &CellKey, until: Timestamp, now: Timestamp) {
        if let Some(index) = self.find(cell) {
            let latest = now.as_microsecond().saturating_add(HOLD_MAX);
            let host = self.lines[self.slots[index as usize].line as usize].host;
            self.hosts[host as usize]
                .pace
                .hold(until.as_microsecond().min(latest));
        }
    }

    /// Whether somebody beside the timetable may ask a host now; no more urgently than what is scheduled.
    pub(super) fn leave(&mut self, host: &str, now: Timestamp) -> Leave {
        let now = self.read_clock(now);
        let Some(host) = self.hosts.iter_mut().find(|known| known.name == host) else {
            return Leave::Never;
        };
        let earliest = host.pace.earliest(now, false);
        if earliest > now {
            return Leave::At(Timestamp::from_microsecond(earliest).unwrap_or(Timestamp::MAX));
        }
        host.pace.started(now);
        Leave::Now
    }

    /// Asks for an extra run of a cell at `at`, kept to the host's gap and budget like all others.
    pub(super) fn ask(
        &mut self,
        cell: &CellKey,
        at: Timestamp,
        purpose: Purpose,
        why: &str,
    ) -> Asked {
        let Some(index) = self.find(cell) else {
            return Asked::Unknown;
        };
        let at = at.as_microsecond();
        if let Some(known) = self.extras.get_mut(&index) {
            if known.stage == Stage::Later && at < known.at {
                known.at = at;
                self.heap.push(Reverse((at, Wake::Extra(index))));
            }
            return Asked::Merged;
        }
        let extra = Extra {
            at,
            purpose,
            why: Arc::from(why),
            stage: Stage::Later,
        };
        self.extras.insert(index, extra);
        self.heap.push(Reverse((at, Wake::Extra(index))));
        Asked::Taken
    }

    /// Tells that a run ended, however it ended; a cell that is not told of never runs again.
    pub(super) fn finished(&mut self, cell: &CellKey) {
        let Some(index) = self.find(cell) else {
            self.counts.in_flight -= usize::from(self.leaving.remove(cell));
            return;
        };
        let slot = &mut self.slots[index as usize];
        let ended = usize::from(std::mem::take(&mut slot.in_flight));
        self.counts.in_flight -= ended;
        self.share_of(index).in_flight -= ended;
        if let Some(extra) = self.extras.get_mut(&index)
            && extra.stage == Stage::AfterRun
        {
            extra.stage = Stage::Queued;
            self.queue_extra(index);
        }
    }

    /// Takes a new plan. Cells whose probe keeps its schedule keep their phase, queue place and asked
    /// runs; what hosts were asked so far still counts.
    pub(super) fn replace(&mut self, plan: &Plan, now: Timestamp) {
        let now = self.read_clock(now);
        let mut old = std::mem::replace(self, Self::of(plan, now));
        self.counts = old.counts;
        self.leaving = std::mem::take(&mut old.leaving);
        let mut old_next: Vec<Option<Micros>> = vec![None; old.slots.len()];
        for Reverse((at, wake)) in old.heap.drain() {
            if let Wake::Cell(cell) = wake {
                old_next[cell as usize] = Some(at);
            }
        }
        let mut paces: BTreeMap<String, Pace> = old
            .hosts
            .iter_mut()
            .map(|host| {
                let pace = std::mem::replace(&mut host.pace, Pace::new(&plan.politeness));
                (std::mem::take(&mut host.name), pace)
            })
            .collect();
        for host in &mut self.hosts {
            if let Some(mut pace) = paces.remove(&host.name) {
                pace.set(plan.politeness_of(&host.name));
                host.pace = pace;
            }
        }

        let mut fresh = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            slot.in_flight = self.leaving.remove(&slot.key);
            let known = old.find(&slot.key).map(|known| known as usize);
            let next = known.and_then(|known| {
                let was = &old.slots[known];
                slot.in_flight |= was.in_flight;
                let line = &self.lines[slot.line as usize];
                let same = line.rhythm.same(&old.lines[was.line as usize].rhythm);
                slot.waiting = same && was.waiting;
                slot.due = was.due;
                old_next[known].filter(|_| same)
            });
            match next {
                Some(at) => self.heap.push(Reverse((at, Wake::Cell(index as u32)))),
                None => fresh.push(index as u32),
            }
        }
        self.schedule_first(&fresh);

        // A cell may stand in a queue more than once, all but one entry stale.
        let mut queued = BTreeSet::new();
        for was in old.hosts.iter().flat_map(|host| &host.scheduled) {
            if let Some(index) = self.find(&old.slots[*was as usize].key)
                && self.slots[index as usize].waiting
                && queued.insert(index)
            {
                self.queue_scheduled(index);
            }
        }
        for (was, mut extra) in std::mem::take(&mut old.extras) {
            if let Some(index) = self.find(&old.slots[was as usize].key) {
                // A queued one is due at once and queues again, in the order of cells.
                extra.stage = Stage::Later;
                self.heap.push(Reverse((extra.at, Wake::Extra(index))));
                self.extras.insert(index, extra);
            }
        }
        for slot in old.slots {
            if slot.in_flight && self.find(&slot.key).is_none() {
                self.leaving.insert(slot.key);
            }
        }
        self.counts.in_flight =
            self.slots.iter().filter(|slot| slot.in_flight).count() + self.leaving.len();
        self.counts.waiting = self.slots.iter().filter(|slot| slot.waiting).count();
        for index in 0..self.slots.len() {
            if self.slots[index].in_flight {
                self.share_of(index as u32).in_flight += 1;
            }
        }
    }

    /// What runs next, and how each host stands.
    pub(super) fn upcoming(&self, now: Timestamp) -> Upcoming {
        let time = |at: Micros| Timestamp::from_microsecond(at).unwrap_or(now);
        let mut soon: Vec<(Micros, u32)> = self
            .heap
            .iter()
            .filter_map(|Reverse((at, wake))| match wake {
                Wake::Cell(cell) => Some((*at, *cell)),
                _ => None,
            })
            .collect();
        if soon.len() > NEXT_MAX {
            soon.select_nth_unstable(NEXT_MAX);
            soon.truncate(NEXT_MAX);
        }
        soon.sort_unstable();
        let key = |cell: u32| self.slots[cell as usize].key.clone();
        let mut hosts: Vec<Budget> = self
            .hosts
            .iter()
            .map(|host| Budget {
                host: host.name.clone(),
                used: host.pace.used(now.as_microsecond()),
                per_minute: host.pace.per_minute(),
                waiting: 0,
                asked: 0,
                held_until: host.pace.held(now.as_microsecond()).map(time),
            })
            .collect();
        for slot in self.slots.iter().filter(|slot| slot.waiting) {
            hosts[self.lines[slot.line as usize].host as usize].waiting += 1;
        }
        for (cell, _) in self
            .extras
            .iter()
            .filter(|(_, extra)| extra.at <= now.as_microsecond())
        {
            let line = self.slots[*cell as usize].line;
            hosts[self.lines[line as usize].host as usize].asked += 1;
        }
        hosts.sort_by(|one, other| one.host.cmp(&other.host));
        let counts = self.counts();
        Upcoming {
            next: soon
                .into_iter()
                .map(|(at, cell)| (key(cell), time(at)))
                .collect(),
            hosts,
            in_flight: counts.in_flight,
            skipped_late: counts.skipped_late,
            skipped_in_flight: counts.skipped_in_flight,
            skipped_no_room: counts.skipped_no_room,
            ..Upcoming::default()
        }
    }

    /// What each partner holds of the runs in flight.
    pub(super) fn shares(&self) -> &[Share] {
        &self.shares
    }

    fn share_of(&mut self, cell: u32) -> &mut Share {
        let host = self.host_of(cell);
        &mut self.shares[self.hosts[host as usize].share as usize]
    }

    pub(super) fn counts(&self) -> Counts {
        let extras = self.extras.values();
        let asked = extras.filter(|extra| extra.stage != Stage::Later).count();
        Counts {
            waiting: self.counts.waiting + asked,
            ..self.counts
        }
    }

    /// The cells of the plan, nothing in the heap yet.
    fn of(plan: &Plan, now: Micros) -> Self {
        let shares = bulkhead::shares(plan);
        let places = shares
            .iter()
            .zip(0..)
            .map(|(share, n)| (share.name.clone(), n));
        let places: BTreeMap<String, u32> = places.collect();
        let mut hosts: Vec<Host> = Vec::new();
        let mut host_index: BTreeMap<String, u32> = BTreeMap::new();
        let mut lines = Vec::new();
        let mut line_of = BTreeMap::new();
        for probe in &plan.probes {
            let name = probe.host();
            let host = *host_index.entry(name.clone()).or_insert_with(|| {
                let share = places.get(&bulkhead::name(probe));
                let pace = Pace::new(plan.politeness_of(&name));
                hosts.push(Host {
                    name,
                    share: share.copied().unwrap_or_default(),
                    pace,
                    asked: VecDeque::new(),
                    scheduled: VecDeque::new(),
                    turn: Turn::Idle,
                });
                (hosts.len() - 1) as u32
            });
            line_of.insert(&probe.name, lines.len() as u32);
            lines.push(Line {
                rhythm: Rhythm::of(&probe.schedule),
                host,
            });
        }
        let mut slots: Vec<Slot> = plan
            .own_cells()
            .filter_map(|(probe, key)| {
                Some(Slot {
                    key,
                    line: *line_of.get(&probe.name)?,
                    in_flight: false,
                    waiting: false,
                    due: 0,
                })
            })
            .collect();
        slots.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        slots.dedup_by(|a, b| a.key == b.key);
        slots.shrink_to_fit();
        Self {
            heap: BinaryHeap::with_capacity(slots.len()),
            slots,
            lines,
            hosts,
            shares,
            ready: VecDeque::new(),
            extras: BTreeMap::new(),
            leaving: BTreeSet::new(),
            now,
            counts: Counts::default(),
            scheduled: Arc::from("scheduled"),
        }
    }

    /// Puts the first run of new cells into the heap.
    fn schedule_first(&mut self, cells: &[u32]) {
        let mut per_host = vec![0_i64; self.hosts.len()];
        for &cell in cells {
            let line = &self.lines[self.slots[cell as usize].line as usize];
            per_host[line.host as usize] += 1;
        }
        let ours = (cells.len() as Micros).saturating_mul(SECOND) / FIRST_A_SECOND;
        for &cell in cells {
            let hash = stable_hash(&self.slots[cell as usize].key);
            let line = &mut self.lines[self.slots[cell as usize].line as usize];
            let host = line.host as usize;
            let polite = per_host[host].saturating_mul(self.hosts[host].pace.even());
            let within = FIRST_WITHIN.max(ours).max(polite);
            let Some(mut at) = line.rhythm.next(self.now, hash) else {
                continue;
            };
            if matches!(line.rhythm, Rhythm::Every(_)) && at - self.now > within {
                at = self.now + below(mix(hash ^ FIRST_SALT), within);
            }
            self.heap.push(Reverse((at, Wake::Cell(cell))));
        }
    }

    fn find(&self, cell: &CellKey) -> Option<u32> {
        let found = self.slots.binary_search_by(|slot| slot.key.cmp(cell));
        found.ok().map(|index| index as u32)
    }

    fn cell_is_due(&mut self, cell: u32, at: Micros, now: Micros) {
        let slot = &mut self.slots[cell as usize];
        let hash = stable_hash(&slot.key);
        let rhythm = &mut self.lines[slot.line as usize].rhythm;
        let slept = now - at > rhythm.period(at).min(GRACE);
        let next = match *rhythm {
            _ if slept => rhythm.next(now, hash),
            // From half an interval on: the run after one that was brought forward is not too near.
            Rhythm::Every(interval) => rhythm.next(at.saturating_add(interval / 2), hash),
            Rhythm::Cron(_) => rhythm.next(at, hash),
        };
        if let Some(next) = next {
            self.heap.push(Reverse((next, Wake::Cell(cell))));
        }
        if slept {
            let waited = std::mem::take(&mut slot.waiting);
            self.counts.skipped_late += 1 + u64::from(waited);
            self.counts.waiting -= usize::from(waited);
        } else if slot.in_flight {
            self.counts.skipped_in_flight += 1;
        } else if slot.waiting {
            slot.due = at;
            // Its host may be asked now: what it waits for is room.
            let host = self.host_of(cell);
            match self.hosts[host as usize].turn {
                Turn::Ready => self.counts.skipped_no_room += 1,
                _ => self.counts.skipped_late += 1,
            }
        } else {
            slot.waiting = true;
            slot.due = at;
            self.counts.waiting += 1;
            self.queue_scheduled(cell);
        }
    }

    fn extra_is_due(&mut self, cell: u32, at: Micros) {
        let Some(extra) = self.extras.get_mut(&cell) else {
            return;
        };
        // An entry with another time is stale: the run was asked for earlier than at first.
        if extra.stage != Stage::Later || extra.at != at {
            return;
        }
        if self.slots[cell as usize].in_flight {
            extra.stage = Stage::AfterRun;
        } else {
            extra.stage = Stage::Queued;
            self.queue_extra(cell);
        }
    }

    fn host_of(&self, cell: u32) -> u32 {
        self.lines[self.slots[cell as usize].line as usize].host
    }

    fn queue_scheduled(&mut self, cell: u32) {
        let host = self.host_of(cell);
        self.hosts[host as usize].scheduled.push_back(cell);
        if self.hosts[host as usize].turn == Turn::Idle {
            self.make_ready(host);
        }
    }

    fn queue_extra(&mut self, cell: u32) {
        let host = self.host_of(cell);
        self.hosts[host as usize].asked.push_back(cell);
        // Also out of a pause: an extra run may go sooner than the scheduled one that pauses.
        if self.hosts[host as usize].turn != Turn::Ready {
            self.make_ready(host);
        }
    }

    fn make_ready(&mut self, host: u32) {
        self.hosts[host as usize].turn = Turn::Ready;
        self.ready.push_back(host);
    }

    /// Starts the first that waits for `host`, if the host may be asked now; puts the host where it belongs.
    fn start_one(&mut self, index: u32, now: Micros) -> Option<Due> {
        let host = &mut self.hosts[index as usize];
        while let Some(cell) = host.asked.front()
            && self
                .extras
                .get(cell)
                .is_none_or(|e| e.stage != Stage::Queued)
        {
            host.asked.pop_front();
        }
        while let Some(&cell) = host.scheduled.front()
            && !self.slots[cell as usize].waiting
        {
            host.scheduled.pop_front();
        }
        let urgent = !host.asked.is_empty();
        if !urgent && host.scheduled.is_empty() {
            host.turn = Turn::Idle;
            return None;
        }
        let earliest = host.pace.earliest(now, urgent);
        if earliest > now {
            host.turn = Turn::Pausing(earliest);
            self.heap.push(Reverse((earliest, Wake::Host(index))));
            return None;
        }
        host.pace.started(now);
        let queue = if urgent {
            &mut host.asked
        } else {
            &mut host.scheduled
        };
        let cell = queue.pop_front()?;
        self.ready.push_back(index);
        let extra = if urgent {
            self.extras.remove(&cell)
        } else {
            None
        };
        Some(self.start(cell, extra))
    }

    fn start(&mut self, cell: u32, extra: Option<Extra>) -> Due {
        let slot = &mut self.slots[cell as usize];
        let waited = std::mem::take(&mut slot.waiting);
        self.counts.waiting -= usize::from(waited);
        let (due, purpose, why) = match extra {
            Some(extra) => {
                // The extra run stands in for the scheduled one that waited.
                self.counts.skipped_in_flight += u64::from(waited);
                (extra.at, extra.purpose, extra.why)
            }
            None => (slot.due, Purpose::Schedule, Arc::clone(&self.scheduled)),
        };
        slot.in_flight = true;
        let key = slot.key.clone();
        self.counts.in_flight += 1;
        self.counts.started += 1;
        self.share_of(cell).in_flight += 1;
        Due {
            cell: key,
            purpose,
            at: Timestamp::from_microsecond(due).unwrap_or_default(),
            why,
        }
    }

    /// Takes note of the time. It never runs backwards from here on, unless the clock was set.
    fn read_clock(&mut self, now: Timestamp) -> Micros {
        let now = now.as_microsecond();
        let step = self.now - now;
        if step > STEP_IGNORED {
            self.clock_was_set_back(step, now);
            self.now = now;
        }
        self.now = self.now.max(now);
        self.now
    }

    /// Moves what is measured from now by the step; leaves what the wall clock decides, unless that
    /// would be a long silence.
    fn clock_was_set_back(&mut self, step: Micros, now: Micros) {
        for host in &mut self.hosts {
            host.pace.shift(-step);
            if let Turn::Pausing(at) = &mut host.turn {
                *at -= step;
            }
        }
        for extra in self.extras.values_mut() {
            extra.at -= step;
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.waiting) {
            slot.due -= step;
        }
        let entries = std::mem::take(&mut self.heap).into_vec();
        let moved = entries.into_iter().filter_map(|Reverse((at, wake))| {
            let at = match wake {
                Wake::Extra(_) | Wake::Host(_) => at - step,
                Wake::Cell(cell) => {
                    let slot = &self.slots[cell as usize];
                    let rhythm = &mut self.lines[slot.line as usize].rhythm;
                    let silent = match rhythm {
                        Rhythm::Every(interval) => at - now > interval.saturating_mul(2),
                        Rhythm::Cron(_) => step > GRACE,
                    };
                    if silent {
                        rhythm.next(now, stable_hash(&slot.key))?
                    } else {
                        at
                    }
                }
            };
            Some(Reverse((at, wake)))
        });
        self.heap = moved.collect();
    }
}

impl Rhythm {
    fn of(schedule: &Schedule) -> Self {
        match schedule {
            Schedule::Every(interval) => Self::Every(micros(*interval)),
            Schedule::Cron(cron) => Self::Cron(Box::new(CronRhythm {
                cron: cron.clone(),
                last: None,
            })),
        }
    }

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Every(a), Self::Every(b)) => a == b,
            (Self::Cron(a), Self::Cron(b)) => {
                a.cron.text() == b.cron.text() && a.cron.zone() == b.cron.zone()
            }
            _ => false,
        }
    }

    /// The first time strictly after `after` at which a cell with this hash is due.
    fn next(&mut self, after: Micros, hash: u64) -> Option<Micros> {
        match self {
            Self::Every(interval) => {
                let phase = below(hash, *interval);
                let since = (after - phase).rem_euclid(*interval);
                after.checked_add(*interval - since)
            }
            Self::Cron(rhythm) => {
                // From before `after`: an occurrence may be past and this cell's share of its spread not.
                let mut from = after - CRON_SPREAD - 1;
                loop {
                    let (occurrence, following) = rhythm.after(from)?;
                    let spread = CRON_SPREAD.min((following - occurrence) / 10);
                    let at = occurrence + below(hash, spread.max(1));
                    if at > after {
                        return Some(at);
                    }
                    from = occurrence;
                }
            }
        }
    }

    /// From one run to the next, about.
    fn period(&mut self, at: Micros) -> Micros {
        match self {
            Self::Every(interval) => *interval,
            Self::Cron(rhythm) => rhythm
                .after(at)
                .map_or(GRACE, |(occurrence, following)| following - occurrence),
        }
    }
}

impl CronRhythm {
    /// The occurrence strictly after `from`, and the one after that.
    fn after(&mut self, from: Micros) -> Option<(Micros, Micros)> {
        if let Some((searched, found, following)) = self.last
            && searched <= from
            && from < found
        {
            return Some((found, following));
        }
        let next = |from| {
            let at = Timestamp::from_microsecond(from).ok()?;
            Some(self.cron.next_after(at)?.as_microsecond())
        };
        let found = next(from)?;
        let following = next(found).unwrap_or(Micros::MAX / 2);
        self.last = Some((from, found, following));
        Some((found, following))
    }
}

/// At least one microsecond, and never so long that sums overflow.
fn micros(interval: Duration) -> Micros {
    interval.as_micros().clamp(1, Micros::MAX as u128 / 8) as Micros
}

/// A value from 0 to `bound` - 1.
fn below(hash: u64, bound: Micros) -> Micros {
    (hash % bound.max(1).unsigned_abs()) as Micros
}

/// Keeps the first run of a cell apart from its phase.
const FIRST_SALT: u64 = 0x9e37_79b9_7f4a_7c15;

/// A hash of the cell's names that is the same in every process and version: FNV-1a, then mixed,
/// because its low bits alone are uneven (<http://www.isthe.com/chongo/tech/comp/fnv/>, 2026-11).
fn stable_hash(cell: &CellKey) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let names = [
        cell.probe.as_str(),
        cell.egress.as_str(),
        cell.client.as_str(),
        cell.credential.as_str(),
    ];
    let mut hash = BASIS;
    for name in names {
        // 0xff ends each name; it is no byte of UTF-8.
        for byte in name.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    }
    mix(hash)
}

/// The finaliser of `SplitMix64` (<https://prng.di.unimi.it/splitmix64.c>, 2026-11).
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests;
