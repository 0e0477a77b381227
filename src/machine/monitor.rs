//! The loop: `(state, event, now) → effects`. The one function in which all rules meet.
//!
//! It routes each run to the partner that it asked ([`crate::incident::partner`]); runs of controls, and what is
//! our own side's, to a watch ([`crate::incident::watch`]). It has no clock, no sockets and no log: the daemon, the replay of a scenario and the
//! tests drive the same function.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

pub use crate::board::events::{Effect, Event, Judged};

use crate::board::Board;
use crate::board::quiet::{self, InForce};
use crate::domain::cell::{CellKey, EgressName};
use crate::domain::change::VerdictChange;
use crate::domain::incident::{Acknowledged, Incident, State, Subject};
use crate::domain::mute::Silence;
use crate::domain::observation::Purpose;
use crate::domain::plan::Plan;
use crate::domain::surroundings::Memory;
use crate::domain::verdict::Kind;
use crate::incident::confirm::Background;
use crate::incident::extra::Hour;
use crate::incident::notify::Occasion;
use crate::incident::partner;
use crate::incident::partner::Partner;
use crate::incident::watch::{OurSide, Run, Watch, World};
use crate::surroundings::Surroundings;

/// Everything the rules remember between two events.
#[derive(Debug)]
pub struct Monitor {
    ground: Ground,
    partners: Vec<Partner>,
    /// The partner of each cell of the board; controls have none.
    partner_of: Vec<Option<usize>>,
    /// Partners with a suspicion or an incident.
    troubled: BTreeSet<usize>,
    /// One a host, in the order of the board; only those that controls ask are used.
    watches: Vec<Watch>,
    ours: Watch,
    /// Control hosts with a suspicion or an incident.
    alive: BTreeSet<usize>,
    /// Incidents from before the start whose host is no longer configured.
    orphans: Vec<Incident>,
    /// What was taken up from before the start must be fitted to the plan first.
    fresh: bool,
}

/// What partners and watches share, and may see and use while they act.
#[derive(Debug)]
struct Ground {
    board: Board,
    /// Egresses whose controls fail, as an open incident says.
    down: BTreeSet<EgressName>,
    /// Extra requests of the last hour, by the board's hosts.
    hours: Vec<Hour>,
    next_number: u64,
    background: Background,
    /// Fronts of hosts, and our own side.
    surroundings: Surroundings,
}

impl Ground {
    fn world<'a>(&'a mut self, now: Timestamp, effects: &'a mut Vec<Effect>) -> World<'a> {
        World {
            board: &self.board,
            down: &self.down,
            background: self.background,
            now,
            hours: &mut self.hours,
            next_number: &mut self.next_number,
            surroundings: &mut self.surroundings,
            effects,
        }
    }
}

impl Monitor {
    /// Starts over a plan; `known` are the open incidents and those resolved lately.
    #[must_use]
    pub fn new(plan: Arc<Plan>, known: Vec<Incident>, next_number: u64) -> Self {
        let board = Board::new(plan, None);
        let highest = known.iter().map(|incident| incident.number).max();
        let (partners, partner_of) = partners(&board);
        let mut monitor = Self {
            partners,
            partner_of,
            troubled: BTreeSet::new(),
            watches: watches(&board),
            ours: Watch::new(Subject::OurNetwork, None),
            alive: BTreeSet::new(),
            orphans: Vec::new(),
            fresh: false,
            ground: Ground {
                down: BTreeSet::new(),
                hours: vec![Hour::default(); board.hosts.len()],
                next_number: next_number.max(highest.map_or(1, |number| number + 1)),
                background: Background::default(),
                surroundings: Surroundings::new(&board),
                board,
            },
        };
        // The engine's time starts with the first run; what is taken up counts from the latest known moment.
        let now = known.iter().map(latest).max().unwrap_or_default();
        for incident in known {
            monitor.take_up(incident, now);
        }
        monitor.find_down();
        monitor
    }

    /// The same, with what was known of the surroundings at the last start; `now` is this one.
    #[must_use]
    pub fn remembering(mut self, memory: Memory, now: Timestamp) -> Self {
        self.ground.surroundings = Surroundings::resume(&self.ground.board, memory, now);
        self
    }

    /// The same, with the silences that are in force at the start.
    #[must_use]
    pub fn with_silences(mut self, silences: Vec<Silence>) -> Self {
        self.ground.board.silence(silences);
        self
    }

    fn take_up(&mut self, incident: Incident, now: Timestamp) {
        let open = incident.state == State::Open;
        self.fresh |= open;
        if incident.subject == Subject::OurNetwork {
            if !open || self.ours.incident().is_none() {
                self.ours.resume(incident);
            } else {
                self.orphans.push(incident);
            }
            return;
        }
        let plan = Arc::clone(&self.ground.board.plan);
        let about = |key: &CellKey| partner::is_about(&incident.subject, &plan, key);
        let place = self
            .ground
            .board
            .cells
            .iter()
            .position(|cell| !cell.control_probe && about(&cell.key))
            .and_then(|id| self.partner_of[id]);
        let host = match &incident.subject {
            Subject::Host(name) => self.ground.board.host(name),
            _ => None,
        };
        match (place, host) {
            (Some(place), _) => {
                self.partners[place].resume(&self.ground.board, incident, now);
                if open {
                    self.troubled.insert(place);
                }
            }
            (None, Some(host)) if !open || self.watches[host].incident().is_none() => {
                self.alive.extend(Some(host).filter(|_| open));
                self.watches[host].resume(incident);
            }
            _ if open => self.orphans.push(incident),
            _ => {}
        }
    }

    /// Applies one event; `now` is the time at which it is applied, UTC.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.ground.board.listen(now);
        // What people asked for comes before what is due after a start: nobody is to be told of what they
        // silenced, nor reminded of what they look after.
        match &event {
            Event::Acknowledged { incident, by } => {
                self.acknowledge(*incident, by, now, &mut effects);
            }
            Event::Silenced(silences) => {
                self.ground.board.silence(silences.clone());
                self.ground.board.listen(now);
            }
            _ => {}
        }
        if std::mem::take(&mut self.fresh) {
            self.fit(now, &mut effects);
        }
        match event {
            Event::Observed(judged) => self.observe(&judged, now, &mut effects),
            Event::Tick | Event::Silenced(_) => self.tick(now, &mut effects),
            Event::PlanReplaced(plan) => self.replace(plan, now, &mut effects),
            Event::Acknowledged { .. } => {}
        }
        self.ground
            .surroundings
            .settle(&self.ground.board, now, &mut effects);
        effects
    }

    /// When [`Event::Tick`] is due next; `None`: not before another event.
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.fresh {
            return Some(Timestamp::UNIX_EPOCH);
        }
        let watches = self.alive.iter().map(|host| &self.watches[*host]);
        let watches = watches.chain([&self.ours]);
        let troubled = self.troubled.iter().map(|place| &self.partners[*place]);
        watches
            .filter_map(|watch| watch.next_wake(&self.ground.board))
            .chain(troubled.filter_map(|partner| partner.next_wake(&self.ground.board)))
            .chain(self.ground.surroundings.next_wake())
            .min()
    }

    /// The cell to run in place of a scheduled one, where an open incident makes another tell more.
    pub fn aim(&mut self, cell: &CellKey, due_at: Timestamp) -> Option<CellKey> {
        if self.troubled.is_empty() {
            return None;
        }
        let place = self.partner_of[self.ground.board.id(cell)?]?;
        self.partners[place].aim(&self.ground.board, cell, due_at)
    }

    /// Whether an extra run that is due is still worth making.
    pub fn wants(&mut self, cell: &CellKey, purpose: Purpose) -> bool {
        if !matches!(purpose, Purpose::Confirm | Purpose::Counter) {
            return true;
        }
        let Some(id) = self.ground.board.id(cell) else {
            return false;
        };
        match self.partner_of[id] {
            Some(place) => self.ours.waits_for(cell) || self.partners[place].wants(cell, purpose),
            // Controls are asked by whoever wants to know; a run too many does no harm.
            None => true,
        }
    }

    /// Open incidents, our own network's last.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        let watches = self.alive.iter().map(|host| &self.watches[*host]);
        let troubled = self.troubled.iter().map(|place| &self.partners[*place]);
        troubled
            .flat_map(Partner::incidents)
            .chain(watches.chain([&self.ours]).filter_map(Watch::incident))
    }

    /// Silences that are in force.
    pub fn silences(&self, now: Timestamp) -> impl Iterator<Item = &Silence> {
        let silences = self.ground.board.silences().iter();
        silences.filter(move |silence| silence.holds(now))
    }

    /// Maintenance that goes on.
    pub fn maintenance(&self, now: Timestamp) -> impl Iterator<Item = InForce<'_>> {
        quiet::maintenance(&self.ground.board.plan, now)
    }

    fn observe(&mut self, judged: &Judged, now: Timestamp, effects: &mut Vec<Effect>) {
        let (observation, kind) = (&judged.observation, judged.kind());
        let Some(id) = self.ground.board.id(&observation.cell) else {
            return;
        };
        // A clock that is ahead must not make later runs look old; runs may come late or twice.
        let at = observation.started_at.min(now);
        let Some(before) = self.ground.board.note(id, at, kind, now) else {
            return;
        };
        let cell = &self.ground.board.cells[id];
        let (host, failed) = (cell.host, cell.fails(kind));
        let control = cell.control_probe;
        if before.is_none_or(|last| last.kind != kind) {
            effects.push(Effect::VerdictChanged(VerdictChange {
                cell: cell.key.clone(),
                at,
                from: before.map(|last| last.kind),
                to: kind,
            }));
        }
        let noticed = self
            .ground
            .surroundings
            .observe(&self.ground.board, cell, judged, at);
        if let Some(noticed) = noticed {
            for place in self.troubled.clone() {
                self.with_partner(place, now, effects, |partner, world| {
                    partner.drifted(world, &noticed)
                });
            }
        }
        let cell = &self.ground.board.cells[id];
        for watch in &self.alive {
            self.watches[*watch].answered(judged);
        }
        self.ours.answered(judged);
        let our_side = failed
            && (kind == Kind::LocalError
                || (control && self.ground.down.contains(&cell.key.egress)));
        if our_side || self.ours.knows(&cell.key) {
            self.with_ours(now, effects, |watch, world| {
                let run = run(world.board, id, judged, at, our_side);
                watch.observe(world, &run);
            });
        }
        // From an egress that is down, only what passes says something.
        let muffled = failed
            && self
                .ground
                .down
                .contains(&self.ground.board.cells[id].key.egress);
        if !our_side && !muffled {
            match self.partner_of[id] {
                Some(place) => self.with_partner(place, now, effects, |partner, world| {
                    let run = run(world.board, id, judged, at, failed);
                    partner.observe(world, &run)
                }),
                None => self.with(host, now, effects, |watch, world| {
                    let run = run(world.board, id, judged, at, failed);
                    watch.observe(world, &run)
                }),
            }
        }
        if control && !muffled {
            let troubled: Vec<usize> = self.troubled.iter().copied().collect();
            for place in troubled {
                self.with_partner(place, now, effects, |partner, world| {
                    let run = run(world.board, id, judged, at, failed);
                    partner.observe_control(world, &run)
                });
            }
        }
        self.settle_all(now, effects, |watch| {
            watch.pending() || (control && watch.held())
        });
    }

    /// Lets one partner act, and takes over what it finds to be our own network's.
    fn with_partner(
        &mut self,
        place: usize,
        now: Timestamp,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut Partner, &mut World<'_>) -> Option<OurSide>,
    ) {
        let mut world = self.ground.world(now, effects);
        let partner = &mut self.partners[place];
        let ours = act(partner, &mut world);
        if partner.alive() {
            self.troubled.insert(place);
        } else {
            self.troubled.remove(&place);
        }
        if let Some(ours) = ours {
            self.with_ours(now, effects, |watch, world| watch.adopt(world, ours));
        }
    }

    /// Lets one host's watch act, and takes over what it finds to be our own network's.
    fn with(
        &mut self,
        host: usize,
        now: Timestamp,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut Watch, &mut World<'_>) -> Option<OurSide>,
    ) {
        let mut world = self.ground.world(now, effects);
        let watch = &mut self.watches[host];
        let ours = act(watch, &mut world);
        if watch.alive() {
            self.alive.insert(host);
        } else {
            self.alive.remove(&host);
        }
        if let Some(ours) = ours {
            self.with_ours(now, effects, |watch, world| watch.adopt(world, ours));
        }
    }

    /// Lets the watch over our own network act; hosts then yield what is down.
    fn with_ours(
        &mut self,
        now: Timestamp,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut Watch, &mut World<'_>),
    ) {
        let mut world = self.ground.world(now, effects);
        act(&mut self.ours, &mut world);
        self.find_down();
    }

    /// Which egresses are down, from the failing controls of the open incident.
    fn find_down(&mut self) {
        let board = &self.ground.board;
        let is_control = |cell| board.get(cell).is_some_and(|cell| cell.control_probe);
        let down: BTreeSet<EgressName> = self
            .ours
            .failing_members()
            .filter(|member| is_control(&member.cell))
            .map(|member| member.cell.egress.clone())
            .collect();
        if down == self.ground.down {
            return;
        }
        self.ground.down = down;
        for place in self.troubled.clone() {
            self.partners[place].yield_to(&self.ground.down);
            if !self.partners[place].alive() {
                self.troubled.remove(&place);
            }
        }
        let alive: Vec<usize> = self.alive.iter().copied().collect();
        for host in alive {
            self.watches[host].yield_to(&self.ground.down);
            if !self.watches[host].alive() {
                self.alive.remove(&host);
            }
        }
    }

    fn settle_all(
        &mut self,
        now: Timestamp,
        effects: &mut Vec<Effect>,
        which: impl Fn(&Watch) -> bool,
    ) {
        if which(&self.ours) {
            self.with_ours(now, effects, |watch, world| {
                watch.tick(world);
            });
        }
        let alive: Vec<usize> = self
            .alive
            .iter()
            .copied()
            .filter(|host| which(&self.watches[*host]))
            .collect();
        for host in alive {
            self.with(host, now, effects, Watch::tick);
        }
    }

    fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.settle_all(now, effects, |_| true);
        for place in self.troubled.clone() {
            self.with_partner(place, now, effects, Partner::tick);
        }
    }

    fn acknowledge(
        &mut self,
        number: u64,
        by: &Acknowledged,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        for place in self.troubled.clone() {
            self.with_partner(place, now, effects, |partner, world| {
                partner.acknowledge(world, number, by);
                None
            });
        }
        for host in self.alive.clone() {
            self.with(host, now, effects, |watch, world| {
                watch.acknowledge(world, number, by);
                None
            });
        }
        self.with_ours(now, effects, |watch, world| {
            watch.acknowledge(world, number, by);
        });
    }

    fn replace(&mut self, plan: Arc<Plan>, now: Timestamp, effects: &mut Vec<Effect>) {
        let board = Board::new(plan, Some(&self.ground.board));
        self.ground
            .surroundings
            .replan(&self.ground.board, &board, now);
        self.ground.board = board;
        self.ground.board.listen(now);
        self.replace_partners(now);
        let fresh = watches(&self.ground.board);
        let old = std::mem::replace(&mut self.watches, fresh);
        let places: HashMap<String, usize> = self
            .ground
            .board
            .hosts
            .iter()
            .enumerate()
            .map(|(place, host)| (host.name.clone(), place))
            .collect();
        let hours = vec![Hour::default(); self.ground.board.hosts.len()];
        let old_hours = std::mem::replace(&mut self.ground.hours, hours);
        self.alive.clear();
        for (watch, hour) in old.into_iter().zip(old_hours) {
            let place = match &watch.subject {
                Subject::Host(name) => places.get(name).copied(),
                Subject::Partner(_) | Subject::OurNetwork => None,
            };
            match place {
                Some(place) => {
                    if watch.alive() {
                        self.alive.insert(place);
                    }
                    self.watches[place] = watch;
                    self.ground.hours[place] = hour;
                }
                None => self.orphans.extend(watch.incident().cloned()),
            }
        }
        self.fit(now, effects);
    }

    fn replace_partners(&mut self, now: Timestamp) {
        let (fresh, partner_of) = partners(&self.ground.board);
        self.partner_of = partner_of;
        self.troubled.clear();
        let mut old = std::mem::replace(&mut self.partners, fresh);
        for place in 0..self.partners.len() {
            let name = &self.partners[place].name;
            if let Some(same) = old.iter().position(|partner| partner.name == *name) {
                let same = old.swap_remove(same);
                let gone = self.partners[place].take_over(same, &self.ground.board, now);
                self.orphans.extend(gone);
            }
            if self.partners[place].alive() {
                self.troubled.insert(place);
            }
        }
        for partner in &old {
            self.orphans.extend(partner.incidents().cloned());
        }
    }

    /// Fits incidents to the plan: cells that it no longer has leave, and so do empty incidents.
    fn fit(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.with_ours(now, effects, |watch, world| {
            watch.replan(world, None);
        });
        for place in self.troubled.clone() {
            self.with_partner(place, now, effects, Partner::fit);
        }
        let alive: Vec<usize> = self.alive.iter().copied().collect();
        for host in alive {
            self.with(host, now, effects, |watch, world| {
                watch.replan(world, Some(host))
            });
        }
        for incident in std::mem::take(&mut self.orphans) {
            let mut watch = Watch::new(incident.subject.clone(), None);
            watch.resume(incident);
            let mut world = self.ground.world(now, effects);
            watch.close(&mut world, Occasion::Removed);
        }
    }
}

fn run<'a>(
    board: &'a Board,
    id: usize,
    judged: &'a Judged,
    at: Timestamp,
    failed: bool,
) -> Run<'a> {
    let cell = &board.cells[id];
    Run {
        cell,
        judged,
        at,
        failed,
    }
}

/// The last moment that an incident knows of.
fn latest(incident: &Incident) -> Timestamp {
    let cells = incident.cells.iter().map(|member| member.last_at);
    let told = incident.last_told_at.into_iter();
    cells.chain(told).max().unwrap_or(incident.opened_at)
}

/// The partners of a plan, and whose each cell is.
fn partners(board: &Board) -> (Vec<Partner>, Vec<Option<usize>>) {
    let mut partner_of = vec![None; board.cells.len()];
    let mut partners = Vec::new();
    for (name, cells) in partner::parts(&board.plan, &board.cells) {
        for id in &cells {
            partner_of[*id] = Some(partners.len());
        }
        partners.push(Partner::new(name, cells));
    }
    (partners, partner_of)
}

fn watches(board: &Board) -> Vec<Watch> {
    let hosts = board.hosts.iter().enumerate();
    hosts
        .map(|(place, host)| Watch::new(Subject::Host(host.name.clone()), Some(place)))
        .collect()
}

#[cfg(test)]
mod tests;
