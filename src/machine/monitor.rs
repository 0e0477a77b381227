//! The loop: `(state, event, now) → effects`. The one function in which all rules meet.
//!
//! It shows each run to our own side ([`crate::incident::ours`]), and to the partner that was asked
//! ([`crate::incident::partner`]) unless our own side was in its way. It has no clock, no sockets and no log: the daemon, the replay of a scenario and the
//! tests drive the same function.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

// The clock of the host is set.
mod clock_set;

pub(super) use crate::board::events::{Effect, Event, Judged, Late};

use crate::board::Board;
use crate::board::quiet::{self, InForce};
use crate::domain::cell::{CellKey, EgressName};
use crate::domain::change::{Change, VerdictChange};
use crate::domain::habits::Past;
use crate::domain::incident::{Care, Happening, Incident, State, Subject};
use crate::domain::moment::later;
use crate::domain::mute::Silence;
use crate::domain::observation::Purpose;
use crate::domain::plan::Plan;
use crate::domain::renames::Renames;
use crate::domain::surroundings::Memory;
use crate::domain::verdict::{Kind, Verdict};
use crate::incident::case::fit::renamed;
use crate::incident::case::{Case, entry};
use crate::incident::mild::Mild;
use crate::incident::ours::Ours;
use crate::incident::partner::{self, Partner};
use crate::incident::sites::Sites;
use crate::incident::vendor::{Heard, Vendors};
use crate::incident::world::{self, Hour, Run, World};
use crate::judge::class::Class;
use crate::judge::ways::{Trace, Ways};
use crate::surroundings::Surroundings;

/// Everything the rules remember between two events.
#[derive(Debug)]
pub(super) struct Monitor {
    ground: Ground,
    partners: Vec<Partner>,
    /// The partner of each cell of the board; controls have none.
    partner_of: Vec<Option<usize>>,
    /// Partners with a suspicion or an incident.
    troubled: BTreeSet<usize>,
    ours: Ours,
    mild: Mild,
    /// Edges that fail by themselves in front of several partners.
    vendors: Vendors,
    /// Sites whose agent is silent.
    sites: Sites,
    /// Incidents from before the start whose cells are no longer configured.
    orphans: Vec<Incident>,
    /// Ended as no longer watched of late: taken up again when the file asks again as it did.
    unwatched: Vec<Incident>,
    /// What was taken up from before the start must be fitted to the plan first.
    fresh: bool,
    /// Cells that are asked once more because the newest of them, heard of late, failed.
    doubted: BTreeSet<CellKey>,
}

/// For so long what is no longer watched is the same incident when it is watched again.
const WATCHED_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// Of such incidents, the newest.
const UNWATCHED_MAX: usize = 200;

/// What partners and our own side share, and may see and use while they act.
#[derive(Debug)]
struct Ground {
    board: Board,
    /// Whether our own side works.
    ways: Ways,
    /// Egresses that are down, as an open incident says.
    down: BTreeSet<EgressName>,
    /// Extra requests of the last hour, by the board's hosts.
    hours: Vec<Hour>,
    next_number: u64,
    /// Incidents of the last months that are over.
    past: Past,
    /// Fronts of hosts, and our own side.
    surroundings: Surroundings,
}

impl Ground {
    fn world<'a>(&'a mut self, now: Timestamp, effects: &'a mut Vec<Effect>) -> World<'a> {
        World {
            board: &self.board,
            down: &self.down,
            ways: &self.ways,
            now,
            hours: &mut self.hours,
            next_number: &mut self.next_number,
            past: &self.past,
            surroundings: &mut self.surroundings,
            effects,
        }
    }
}

impl Monitor {
    /// Starts over a plan; `known` are the open incidents and those resolved lately.
    #[must_use]
    pub(super) fn new(plan: Arc<Plan>, known: Vec<Incident>, next_number: u64) -> Self {
        let board = Board::new(plan, None);
        let highest = known.iter().map(|incident| incident.number).max();
        let (partners, partner_of) = partners(&board);
        let mut monitor = Self {
            partners,
            partner_of,
            troubled: BTreeSet::new(),
            ours: Ours::default(),
            mild: Mild::default(),
            vendors: Vendors::default(),
            sites: Sites::default(),
            orphans: Vec::new(),
            unwatched: Vec::new(),
            fresh: false,
            doubted: BTreeSet::new(),
            ground: Ground {
                down: BTreeSet::new(),
                hours: board
                    .hosts
                    .iter()
                    .map(|host| Hour::new(host.extra_an_hour))
                    .collect(),
                next_number: next_number.max(highest.map_or(1, |number| number + 1)),
                past: Past::of(&known),
                ways: Ways::new(board.asked()),
                surroundings: Surroundings::new(&board),
                board,
            },
        };
        // The engine's time starts with the first run; what is taken up counts from the latest known moment.
        let now = known.iter().map(latest).max().unwrap_or_default();
        for mut incident in known {
            if incident.state == State::Unwatched {
                monitor.fresh = true;
                monitor.unwatched.push(incident);
                continue;
            }
            let renames = renamed(&incident, &monitor.ground.board, None);
            renames.apply(&mut incident);
            monitor.take_up(incident, now);
        }
        monitor.find_down();
        monitor
    }

    /// The same, with what was known of the surroundings at the last start; `now` is this one.
    #[must_use]
    pub(super) fn remembering(mut self, memory: Memory, now: Timestamp) -> Self {
        self.ground.surroundings = Surroundings::resume(&self.ground.board, memory, now);
        self
    }

    /// The same, with incidents that are over since long.
    #[must_use]
    pub(super) fn with_past(mut self, past: Past) -> Self {
        let known = std::mem::replace(&mut self.ground.past, past);
        self.ground.past.add(known);
        self
    }

    /// The same, with the silences that are in force at the start.
    #[must_use]
    pub(super) fn with_silences(mut self, silences: Vec<Silence>) -> Self {
        self.ground.board.silence(silences);
        self
    }

    fn take_up(&mut self, incident: Incident, now: Timestamp) {
        let open = incident.state == State::Open;
        self.fresh |= open;
        if incident.kind == Kind::Warning {
            self.mild.resume(incident);
            return;
        }
        if incident.subject == Subject::OurNetwork {
            self.orphans.extend(self.ours.resume(incident));
            return;
        }
        if matches!(incident.subject, Subject::Vendor(_)) {
            self.orphans.extend(self.vendors.resume(incident));
            return;
        }
        if matches!(incident.subject, Subject::Site(_)) {
            self.orphans.extend(self.sites.resume(incident));
            return;
        }
        let place = self.place_of(&incident);
        if let Some(place) = place {
            self.partners[place].resume(&self.ground.board, incident, now);
            if open {
                self.troubled.insert(place);
            }
        } else if open {
            self.orphans.push(incident);
        }
    }

    /// The partner whose cells fail in an incident, else whom it is about.
    fn place_of(&self, incident: &Incident) -> Option<usize> {
        let board = &self.ground.board;
        let mut failing = incident.cells.iter().filter(|member| member.failing);
        let by_cell = failing.find_map(|member| self.partner_of[board.id(&member.cell)?]);
        let about = |key: &CellKey| partner::is_about(&incident.subject, &board.plan, key);
        by_cell.or_else(|| {
            let mut cells = board.cells.iter();
            let id = cells.position(|cell| !cell.control_probe && about(&cell.key))?;
            self.partner_of[id]
        })
    }

    /// Applies one event; `now` is the time at which it is applied, UTC.
    pub(super) fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.ground.board.listen(now);
        // What people asked for comes before what is due after a start: nobody is to be told of what they
        // silenced, nor reminded of what they look after.
        match &event {
            Event::Care { incident, care } => {
                self.care(*incident, care, now, &mut effects);
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
            Event::Silent(silent) => {
                let mut world = self.ground.world(now, &mut effects);
                self.sites.hear(&mut world, &silent);
            }
            Event::CaughtUp(late) => self.catch_up(&late, now, &mut effects),
            Event::PlanReplaced(plan) => self.replace(plan, now, &mut effects),
            Event::Care { .. } => {}
        }
        self.ground
            .surroundings
            .settle(&self.ground.board, now, &mut effects);
        self.keep_ended(&effects, now);
        effects
    }

    /// Keeps what ended: as no longer watched, for the day on which it is watched again; as over, to compare with.
    fn keep_ended(&mut self, effects: &[Effect], now: Timestamp) {
        for effect in effects {
            if let Effect::Save(change) = effect {
                self.ground.past.keep(&change.incident);
                if change.incident.state == State::Unwatched {
                    self.unwatched.push(change.incident.clone());
                }
            }
        }
        let lately = |incident: &Incident| {
            let ended = incident.resolved_at.unwrap_or(now);
            later(ended, WATCHED_AGAIN) > now
        };
        self.unwatched.retain(lately);
        let surplus = self.unwatched.len().saturating_sub(UNWATCHED_MAX);
        self.unwatched.drain(..surplus);
    }

    /// Takes up what is watched again, and tells who heard that it was not.
    fn watch_again(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        for mut incident in std::mem::take(&mut self.unwatched) {
            let board = &self.ground.board;
            renamed(&incident, board, None).apply(&mut incident);
            let open: BTreeSet<&CellKey> = self
                .incidents()
                .flat_map(|incident| &incident.cells)
                .filter(|member| member.failing)
                .map(|member| &member.cell)
                .collect();
            let taken = incident.left.iter().any(|left| open.contains(&left.cell));
            let ours = incident.subject == Subject::OurNetwork && self.ours.incident().is_some();
            let mark = |cell: &CellKey| board.id(cell).and_then(|_| board.plan.mark(cell));
            if taken || ours {
                self.unwatched.push(incident);
                continue;
            }
            let mut case = match Case::watch_again(incident, mark, now) {
                Ok(case) => case,
                Err(incident) => {
                    self.unwatched.push(*incident);
                    continue;
                }
            };
            let mut world = self.ground.world(now, effects);
            world::tell_watched_again(&mut world, &mut case);
            self.take_up(case.incident, now);
        }
    }

    /// When [`Event::Tick`] is due next; `None`: not before another event.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        if self.fresh {
            return Some(Timestamp::UNIX_EPOCH);
        }
        let troubled = self.troubled.iter().map(|place| &self.partners[*place]);
        let ours = self.ours.next_wake(&self.ground.board);
        ours.into_iter()
            .chain(troubled.filter_map(|partner| partner.next_wake(&self.ground.board)))
            .chain(self.mild.next_wake(&self.ground.board))
            .chain(self.vendors.next_wake(&self.ground.board))
            .chain(self.sites.next_wake(&self.ground.board))
            .chain(self.ground.surroundings.next_wake())
            .min()
    }

    /// The cell to run in place of a scheduled one, where an open incident makes another tell more.
    pub(super) fn aim(&mut self, cell: &CellKey, due_at: Timestamp) -> Option<CellKey> {
        if self.troubled.is_empty() {
            return None;
        }
        let place = self.partner_of[self.ground.board.id(cell)?]?;
        self.partners[place].aim(&self.ground.board, cell, due_at)
    }

    /// Whether an extra run that is due is still worth making.
    pub(super) fn wants(&mut self, cell: &CellKey, purpose: Purpose) -> bool {
        if !matches!(purpose, Purpose::Confirm | Purpose::Counter) {
            return true;
        }
        let Some(id) = self.ground.board.id(cell) else {
            return false;
        };
        if self.doubted.remove(cell) {
            return true;
        }
        match self.partner_of[id] {
            Some(place) => {
                self.ours.waits_for(cell)
                    || self.vendors.waits_for(cell)
                    || self.partners[place].wants(cell, purpose)
            }
            // Controls are asked by whoever wants to know; a run too many does no harm.
            None => true,
        }
    }

    /// Whether nobody would answer for a cell: its site is silent.
    pub(super) fn is_unheard(&self, cell: &CellKey) -> bool {
        self.sites.is_unheard(&self.ground.board, &cell.egress)
    }

    /// Open incidents: partners', those of vendors before several of them, our own side's.
    pub(super) fn incidents(&self) -> impl Iterator<Item = &Incident> {
        let troubled = self.troubled.iter().map(|place| &self.partners[*place]);
        troubled
            .flat_map(Partner::incidents)
            .chain(self.mild.incidents())
            .chain(self.vendors.incidents())
            .chain(self.sites.incidents())
            .chain(self.ours.incident())
    }

    /// Silences that are in force.
    pub(super) fn silences(&self, now: Timestamp) -> impl Iterator<Item = &Silence> {
        let silences = self.ground.board.silences().iter();
        silences.filter(move |silence| silence.holds(now))
    }

    /// Maintenance that goes on.
    pub(super) fn maintenance(&self, now: Timestamp) -> impl Iterator<Item = InForce<'_>> {
        quiet::maintenance(&self.ground.board.plan, now)
    }

    fn observe(&mut self, judged: &Judged, now: Timestamp, effects: &mut Vec<Effect>) {
        let (observation, kind) = (&judged.observation, judged.kind());
        let Some(id) = self.ground.board.id(&observation.cell) else {
            return;
        };
        // A clock that is ahead must not make later runs look old; runs may come late or twice.
        let at = observation.started_at.min(now);
        if self.is_known_copy(id, at, &judged.verdict) {
            return;
        }
        let Some(before) = self.ground.board.note(id, at, kind, now) else {
            return;
        };
        let cell = &self.ground.board.cells[id];
        let failed = cell.fails(kind);
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
                    partner.drifted(world, &noticed);
                });
            }
        }
        let cell = &self.ground.board.cells[id];
        let trace = Trace {
            at,
            party: cell.party,
            cell: id,
            class: Class::of(kind),
            hidden: judged.verdict.is_own_limit(),
        };
        self.ground.ways.note(&cell.key.egress, &trace);
        if failed || self.ours.alive() {
            self.with_ours(now, effects, |ours, world| {
                ours.observe(world, &run(world.board, id, judged, at, failed));
            });
        }
        if self
            .mild
            .wants(&self.ground.board, self.ground.board.cells[id].host, kind)
        {
            let mut world = self.ground.world(now, effects);
            let run = run(world.board, id, judged, at, failed);
            self.mild.observe(&mut world, &run);
        }
        // What our own side answered, and what fails from an egress that is down, says nothing of others.
        let egress = &self.ground.board.cells[id].key.egress;
        if failed && (kind == Kind::LocalError || self.ground.down.contains(egress)) {
            return;
        }
        if let Some(place) = self.partner_of[id]
            && !self.is_a_vendors(place, (id, judged, at, failed), now, effects)
        {
            self.with_partner(place, now, effects, |partner, world| {
                partner.observe(world, &run(world.board, id, judged, at, failed));
            });
        }
        if control {
            for place in self.troubled.clone() {
                self.with_partner(place, now, effects, |partner, world| {
                    partner.observe_control(world, &run(world.board, id, judged, at, failed));
                });
            }
        }
    }

    /// Whether a cache's copy was made before the cell's last run, and so tells nothing new of the application.
    ///
    /// It neither confirms a fault nor ends one. That the edge lets the client through it does tell.
    fn is_known_copy(&self, id: usize, at: Timestamp, verdict: &Verdict) -> bool {
        let of_application = |kind: Kind| {
            matches!(
                kind,
                Kind::OriginDenied | Kind::OriginError | Kind::SoftBlock | Kind::Unexpected
            )
        };
        let (Some(kept), Some(last)) = (verdict.kept, self.ground.board.cells[id].last) else {
            return false;
        };
        let made_at = at.checked_sub(kept).unwrap_or(at);
        (of_application(verdict.kind) || of_application(last.kind)) && made_at <= last.at
    }

    /// Takes what runs show that were heard of late: how cells are, and since when; never whether there is an incident.
    ///
    /// A pass is how the cell is. A failure may be over, so the cell is asked once more, and only what that run and
    /// those after it show opens an incident. What came and went meanwhile is told as a notice.
    fn catch_up(&mut self, late: &[Late], now: Timestamp, effects: &mut Vec<Effect>) {
        let mut gone = Vec::new();
        for late in late {
            let Some(caught) = self.ground.board.catch_up(late, now) else {
                continue;
            };
            let cell = &self.ground.board.cells[caught.cell];
            effects.extend(caught.change.map(Effect::VerdictChanged));
            if caught.doubted && !self.ground.hours[cell.host].full(now) {
                self.ground.hours[cell.host].note(now);
                self.doubted.insert(cell.key.clone());
                effects.push(Effect::Run {
                    cell: cell.key.clone(),
                    at: now,
                    purpose: Purpose::Confirm,
                    why: "its last run, heard of late, failed: does it still?".to_owned(),
                    incident: None,
                });
            }
            gone.extend(caught.gone);
        }
        // What belongs to an open incident is told there.
        gone.retain(|gone| {
            let member = |incident: &Incident| incident.cells.iter().any(|m| m.cell == gone.cell);
            !self.incidents().any(member)
        });
        let began = late.iter().filter_map(|late| late.runs.first());
        if let Some((began, _)) = began.min()
            && !gone.is_empty()
        {
            let surroundings = &mut self.ground.surroundings;
            surroundings.heard_late(&self.ground.board, *began, &gone);
        }
    }

    /// Whether a run shows what an open incident of a vendor explains, so that it says nothing of its partner.
    ///
    /// A partner whose own incident was told for it sees the run too: it must hear when that ends.
    fn is_a_vendors(
        &mut self,
        place: usize,
        (id, judged, at, failed): (usize, &Judged, Timestamp, bool),
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let mut world = self.ground.world(now, effects);
        let run = run(world.board, id, judged, at, failed);
        if !self.vendors.concerns(&run) {
            return false;
        }
        let heard = self.vendors.observe(&mut world, &run, place);
        if let Heard::Certain(name) = &heard {
            let (places, cells) = self.vendors.shown(name);
            let mut told: Option<Case> = None;
            for place in places {
                let partner = &mut self.partners[place];
                let handed = partner.hand_over(&cells, told.is_none());
                told = told.or(handed);
                if !partner.alive() {
                    self.troubled.remove(&place);
                }
            }
            self.vendors.open(&mut world, name, told);
        }
        heard != Heard::News && !self.partners[place].holds(&run.cell.key)
    }

    /// Lets one partner act.
    fn with_partner(
        &mut self,
        place: usize,
        now: Timestamp,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut Partner, &mut World<'_>),
    ) {
        let mut world = self.ground.world(now, effects);
        let partner = &mut self.partners[place];
        act(partner, &mut world);
        if partner.alive() {
            self.troubled.insert(place);
        } else {
            self.troubled.remove(&place);
        }
    }

    /// Lets our own side act; partners then yield what is down.
    fn with_ours(
        &mut self,
        now: Timestamp,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut Ours, &mut World<'_>),
    ) {
        let mut world = self.ground.world(now, effects);
        act(&mut self.ours, &mut world);
        self.find_down();
    }

    /// Which egresses are down, as the open incident says.
    fn find_down(&mut self) {
        let down = self.ours.down(&self.ground.ways);
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
    }

    fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.with_ours(now, effects, Ours::tick);
        self.mild.tick(&mut self.ground.world(now, effects));
        self.vendors.tick(&mut self.ground.world(now, effects));
        self.sites.tick(&mut self.ground.world(now, effects));
        for place in self.troubled.clone() {
            self.with_partner(place, now, effects, Partner::tick);
        }
    }

    fn care(&mut self, number: u64, care: &Care, now: Timestamp, effects: &mut Vec<Effect>) {
        for place in self.troubled.clone() {
            self.with_partner(place, now, effects, |partner, world| {
                partner.care(world, number, care);
            });
        }
        self.vendors
            .care(&mut self.ground.world(now, effects), number, care);
        self.sites
            .care(&mut self.ground.world(now, effects), number, care);
        self.with_ours(now, effects, |ours, world| {
            ours.care(world, number, care);
        });
        let mut world = self.ground.world(now, effects);
        self.mild.care(&mut world, number, care);
    }

    fn replace(&mut self, plan: Arc<Plan>, now: Timestamp, effects: &mut Vec<Effect>) {
        let board = Board::new(plan, Some(&self.ground.board));
        self.ground
            .surroundings
            .replan(&self.ground.board, &board, now);
        let old = std::mem::replace(&mut self.ground.board, board);
        self.ground.board.listen(now);
        self.ground.ways = Ways::new(self.ground.board.asked());
        self.rename(&old, now, effects);
        self.replace_partners(now);
        let hours: HashMap<String, Hour> = old
            .hosts
            .into_iter()
            .zip(std::mem::take(&mut self.ground.hours))
            .map(|(host, hour)| (host.name, hour))
            .collect();
        let hosts = self.ground.board.hosts.iter();
        self.ground.hours = hosts
            .map(|host| {
                let known = hours.get(&host.name).cloned().unwrap_or_default();
                known.of_at_most(host.extra_an_hour)
            })
            .collect();
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
        let left = old.iter().flat_map(Partner::incidents).cloned();
        self.orphans.extend(left);
        // A probe may be another partner's now.
        for incident in std::mem::take(&mut self.orphans) {
            let failing = incident.cells.iter().filter(|member| member.failing);
            let mut ids = failing.filter_map(|member| self.ground.board.id(&member.cell));
            if ids.any(|id| self.partner_of[id].is_some()) {
                self.take_up(incident, now);
            } else {
                self.orphans.push(incident);
            }
        }
    }

    /// Calls what is known as it is called now.
    fn rename(&mut self, old: &Board, now: Timestamp, effects: &mut Vec<Effect>) {
        let board = &self.ground.board;
        let found: Vec<(Incident, Renames)> = self
            .incidents()
            .map(|incident| (incident.clone(), renamed(incident, board, Some(old))))
            .filter(|(_, renames)| !renames.is_empty())
            .collect();
        for (mut incident, renames) in found {
            renames.apply(&mut incident);
            let said = renames.said().into_iter();
            effects.push(Effect::Save(Box::new(Change {
                incident,
                timeline: said
                    .map(|text| entry(now, Happening::Changed, text))
                    .collect(),
                notifications: Vec::new(),
            })));
            self.ours.rename(&renames);
            self.mild.rename(&renames);
            self.vendors.rename(&renames);
            self.sites.rename(&renames);
            for partner in &mut self.partners {
                partner.rename(&renames);
            }
        }
    }

    /// Fits incidents to the plan: cells that it no longer has leave, and so do empty incidents.
    fn fit(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.with_ours(now, effects, Ours::fit);
        self.mild.fit(&mut self.ground.world(now, effects));
        self.vendors.fit(&mut self.ground.world(now, effects));
        self.sites.fit(&mut self.ground.world(now, effects));
        for place in self.troubled.clone() {
            self.with_partner(place, now, effects, Partner::fit);
        }
        self.watch_again(now, effects);
        for incident in std::mem::take(&mut self.orphans) {
            let saved_at = incident.last_told_at.unwrap_or(incident.opened_at);
            let mut world = self.ground.world(now, effects);
            world::remove(&mut world, Case::resume(incident, saved_at), Vec::new());
        }
        self.fresh = false;
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

#[cfg(test)]
mod tests;
