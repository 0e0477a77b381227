//! What is known of every cell of the plan: its last verdict, and where it belongs.
//!
//! A cell costs little here while all is well; what is remembered of a fault lives with its incident. The
//! board answers what crosses hosts: which controls are asked from an egress, and whom a cell asks.

pub mod catching_up;
pub mod events;
pub mod quiet;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::domain::cell::{CellKey, EgressName};
use crate::domain::index::Index;
use crate::domain::mute::Silence;
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;
use crate::domain::secret::Secrets;
use crate::domain::verdict::Kind;
use quiet::Quiet;

/// Every cell of a plan, indexed by what the rules ask for.
#[derive(Debug)]
pub struct Board {
    pub plan: Arc<Plan>,
    /// Every secret of the plan, for masking what comes back.
    pub secrets: Secrets,
    pub cells: Vec<Cell>,
    /// Hosts in the order of the file.
    pub hosts: Vec<Host>,
    index: Index<CellKey, usize>,
    /// Control cells by egress.
    controls: BTreeMap<EgressName, Vec<usize>>,
    /// Whom requests go to: partners, and the hosts of controls.
    pub parties: Vec<String>,
    /// In force or lately so.
    silences: Vec<Silence>,
    /// What follows from them and the plan at present.
    pub quiet: Quiet,
    /// Since when cells fail in a row, where runs that were heard of late show that it is longer than was seen.
    failing_since: BTreeMap<CellKey, Timestamp>,
}

/// A clock that is set back by less is waited out; runs that come late must not look like a new time.
const STEP: SignedDuration = SignedDuration::from_secs(10);

/// A host, and the cells of all its probes.
#[derive(Debug)]
pub struct Host {
    pub name: String,
    pub cells: Vec<usize>,
    /// A control probe asks it.
    pub control: bool,
    /// Extra requests that it may get in any hour.
    pub extra_an_hour: usize,
}

/// Extra requests to a host in any hour: so many, or such a part of what the plan asks of it by itself.
const EXTRA_AN_HOUR: usize = 30;
const EXTRA_PART: f64 = 0.25;

/// A cell, and its latest verdict.
#[derive(Debug)]
pub struct Cell {
    pub key: CellKey,
    /// Place of the probe in the plan.
    pub(crate) probe: usize,
    pub host: usize,
    /// Place of whoever it asks among the parties.
    pub party: usize,
    /// Its probe is a control.
    pub control_probe: bool,
    /// A control that asks nobody whom a probe asks: only such a one tells our own side from a partner.
    pub independent: bool,
    /// The verdict that is normal here, besides a pass.
    watched: Option<Kind>,
    pub last: Option<Last>,
    pub last_good_at: Option<Timestamp>,
    /// All its runs since the start, however the plan changed meanwhile.
    pub ran: Ran,
}

/// Runs that passed and that failed, and when the first began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ran {
    pub passed: u32,
    pub failed: u32,
    pub since: Option<Timestamp>,
}

impl Cell {
    /// Whether this verdict is bad news for the cell.
    ///
    /// A watched block that is there is a pass, and one that is gone is not: the classifier says so
    /// already, and a verdict that was not compared with what is watched is taken as well.
    #[must_use]
    pub fn fails(&self, kind: Kind) -> bool {
        !kind.works() && Some(kind) != self.watched
    }
}

/// The latest verdict of a cell.
#[derive(Debug, Clone, Copy)]
pub struct Last {
    /// Start of the run, UTC.
    pub at: Timestamp,
    pub kind: Kind,
    pub failed: bool,
}

impl Board {
    /// Lays out the cells of `plan`; verdicts of cells that `old` had too are kept.
    #[must_use]
    pub fn new(plan: Arc<Plan>, old: Option<&Board>) -> Self {
        let source = Arc::clone(&plan);
        let mut board = Self {
            secrets: plan.secrets(),
            plan,
            cells: Vec::new(),
            hosts: Vec::new(),
            index: Index::default(),
            controls: BTreeMap::new(),
            parties: Vec::new(),
            silences: old.map(|old| old.silences.clone()).unwrap_or_default(),
            quiet: Quiet::default(),
            failing_since: old.map(|old| old.failing_since.clone()).unwrap_or_default(),
        };
        let places: HashMap<_, _> = source
            .probes
            .iter()
            .enumerate()
            .map(|(place, probe)| (probe.name.clone(), place))
            .collect();
        let mut host_places: HashMap<String, usize> = HashMap::new();
        let mut party_places: HashMap<String, usize> = HashMap::new();
        let mut known_host = None;
        for (probe, key) in source.cells() {
            // Cells of one probe follow each other.
            let host = match known_host {
                Some((known, host)) if known == &probe.name => host,
                _ => *host_places.entry(probe.host()).or_insert_with_key(|name| {
                    board.hosts.push(Host {
                        name: name.clone(),
                        cells: Vec::new(),
                        control: false,
                        extra_an_hour: EXTRA_AN_HOUR,
                    });
                    board.hosts.len() - 1
                }),
            };
            known_host = Some((&probe.name, host));
            let before = old.and_then(|old| old.get(&key));
            // A control on a partner's own host fails with it, and then says nothing of our own side.
            let asked_too = source
                .probes
                .iter()
                .filter(|_| probe.control)
                .find(|other| {
                    !other.control
                        && (other.partner == probe.partner
                            || other.host() == board.hosts[host].name)
                });
            let independent = probe.control && asked_too.is_none();
            let party = match asked_too {
                _ if !probe.control => probe.partner.clone(),
                Some(other) => other.partner.clone(),
                None => format!("control {}", board.hosts[host].name),
            };
            let party = *party_places.entry(party.clone()).or_insert_with(|| {
                board.parties.push(party);
                board.parties.len() - 1
            });
            let id = board.cells.len();
            board.hosts[host].cells.push(id);
            board.hosts[host].control |= probe.control;
            if probe.control {
                let controls = board.controls.entry(key.egress.clone()).or_default();
                controls.push(id);
            }
            board.index.insert(key.clone(), id);
            board.cells.push(Cell {
                probe: places[&probe.name],
                host,
                party,
                control_probe: probe.control,
                independent,
                watched: probe.expect.verdict,
                last: before.and_then(|cell| cell.last),
                last_good_at: before.and_then(|cell| cell.last_good_at),
                ran: before.map(|cell| cell.ran).unwrap_or_default(),
                key,
            });
        }
        for host in &mut board.hosts {
            let of = |id: &usize| source.probes[board.cells[*id].probe].schedule.a_minute();
            let planned = 60.0 * host.cells.iter().map(of).sum::<f64>();
            host.extra_an_hour = EXTRA_AN_HOUR.max((planned * EXTRA_PART) as usize);
        }
        let index = &board.index;
        board
            .failing_since
            .retain(|cell, _| index.get(cell).is_some());
        board
    }

    /// Brings what is quiet up to `now`, where something began or ended since.
    pub fn listen(&mut self, now: Timestamp) {
        if !self.quiet.holds(now) {
            self.quiet = Quiet::at(&self.plan, &self.silences, now);
        }
    }

    /// The silences, some of them perhaps over by now.
    #[must_use]
    pub fn silences(&self) -> &[Silence] {
        &self.silences
    }

    /// What was quiet at another time, by the silences that are known now.
    #[must_use]
    pub fn quiet_at(&self, at: Timestamp) -> Quiet {
        Quiet::at(&self.plan, &self.silences, at)
    }

    /// Takes other silences in place of those before; what is quiet is then asked anew.
    pub fn silence(&mut self, silences: Vec<Silence>) {
        self.silences = silences;
        self.quiet = Quiet::default();
    }

    #[must_use]
    pub fn id(&self, key: &CellKey) -> Option<usize> {
        self.index.get(key).copied()
    }

    #[must_use]
    pub fn get(&self, key: &CellKey) -> Option<&Cell> {
        self.id(key).map(|id| &self.cells[id])
    }

    #[must_use]
    pub fn probe(&self, cell: &Cell) -> &Probe {
        &self.plan.probes[cell.probe]
    }

    /// The place of the host of this name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.name == name)
    }

    /// Writes down a verdict; `None` when `at` is not newer than the last one, which is else returned.
    ///
    /// A last one that lies well after `now` is from before the clock was set back, and newer than nothing.
    pub fn note(
        &mut self,
        id: usize,
        at: Timestamp,
        kind: Kind,
        now: Timestamp,
    ) -> Option<Option<Last>> {
        let cell = &mut self.cells[id];
        let before = cell.last;
        let soon = now.checked_add(STEP).unwrap_or(now);
        if before.is_some_and(|last| last.at >= at && last.at <= soon) {
            return None;
        }
        let failed = cell.fails(kind);
        cell.last = Some(Last { at, kind, failed });
        let ran = &mut cell.ran;
        ran.since = ran.since.or(Some(at));
        let count = if failed {
            &mut ran.failed
        } else {
            &mut ran.passed
        };
        *count = count.saturating_add(1);
        if !failed {
            cell.last_good_at = Some(at);
            if !self.failing_since.is_empty() {
                self.failing_since.remove(&self.cells[id].key);
            }
        }
        Some(before)
    }

    /// The first failure of the row in which a cell fails, when it was heard of late.
    #[must_use]
    pub fn failing_since(&self, cell: &CellKey) -> Option<Timestamp> {
        self.failing_since.get(cell).copied()
    }

    /// Control cells of an egress.
    pub fn controls(&self, egress: &EgressName) -> impl Iterator<Item = &Cell> {
        let ids = self.controls.get(egress).map_or(&[][..], Vec::as_slice);
        ids.iter().map(|id| &self.cells[*id])
    }

    /// Who is asked from where: an egress, a party, and whether that is a control.
    pub fn asked(&self) -> impl Iterator<Item = (&EgressName, usize, bool)> {
        let cells = self.cells.iter();
        cells.map(|cell| (&cell.key.egress, cell.party, cell.independent))
    }

    /// Egresses from which a control runs.
    pub fn controlled(&self) -> impl Iterator<Item = &EgressName> {
        self.controls.keys()
    }
}
