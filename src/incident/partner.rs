//! One partner under watch: its diagnosis and its incidents, from the first odd run to the end.
//!
//! While all is well a partner costs no more than its cells. The first failing run starts the engine of
//! `attribute`, which from then on sees every run, asks for others, and says what is certain. This file
//! feeds it and keeps the books: one incident a cause, opened only when our own network is not to blame
//! (see `opening`), explained anew when the engine learns more, ended when it says so.

mod answers;
mod asking;
mod compared;
mod hearing;
mod keeping;
mod monitor_alone;
mod opening;
mod round;
mod split;
mod telling;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::notify::{self, Statement};
use super::world::{self, Run, World};
use crate::board::Board;
use crate::domain::cell::{CellKey, EgressName};
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::incident::{Care, Happening, Incident, Specimen, State, Subject, TimelineEntry};
use crate::domain::moment::later;
use crate::domain::observation::Purpose;
use crate::domain::plan::Plan;
use crate::domain::probe::Schedule;
use crate::domain::renames::Renames;
use crate::domain::sent::{Sent, is_same_stack};
use crate::domain::verdict::Kind;
use crate::incident::case::{Case, entry};
use crate::judge::engine::{Engine, Options, Seen};
use crate::judge::layout::{Landings, Layout, Shown, Stacks};
use crate::judge::naming;
use crate::read::pop;
use answers::Answers;
use asking::Asked;
use split::Splits;

/// Cells of one partner that are diagnosed together; a larger one is taken apart by probe.
pub const CELLS_MAX: usize = 2000;
/// Beyond so many combinations of levels the search would be of what is not there.
const COMBINATIONS_MAX: usize = 200_000;
/// Passes this fresh are told to an engine that starts: the last of each cell.
const FRESH_PASSES: Duration = Duration::from_secs(600);
/// The window over which our own requests count.
const RATE_WINDOW_S: f64 = 60.0;
/// Our requests are remembered so long that the rate at each of those passes is known.
const SENT_FOR_S: f64 = FRESH_PASSES.as_secs() as f64 + RATE_WINDOW_S;
const SENT_MAX: usize = 20_000;
/// Facts kept for the timeline of an incident that is not open yet.
const NOTES_MAX: usize = 40;
/// Resolved incidents kept for their return.
const RECENT_MAX: usize = 8;
/// Points of presence kept for one host and egress.
const POPS_MAX: usize = 16;

/// A partner, and all that is remembered of its present trouble.
#[derive(Debug)]
pub struct Partner {
    pub name: String,
    /// Places of its cells on the board.
    cells: Vec<usize>,
    running: Option<Box<Running>>,
    /// Resolved so lately that a return would be the same incident.
    recent: Vec<Incident>,
    /// Our requests of late, by start: `(start, host, egress)`.
    sent: VecDeque<(f64, usize, EgressName)>,
    landings: Landings,
    stacks: Stacks,
    /// A point of presence or a fingerprint came up that the engine does not know.
    shown_new: bool,
}

/// A started engine, and the incidents it speaks of.
#[derive(Debug)]
struct Running {
    layout: Layout,
    engine: Engine,
    troubles: Vec<Trouble>,
    /// Failing runs, oldest first: start, cell, kind.
    failures: VecDeque<(Timestamp, CellKey, Kind)>,
    asked: Vec<Asked>,
    /// Extra requests that belong to no incident yet.
    loose: u32,
    notes: Vec<TimelineEntry>,
    failing: BTreeMap<CellKey, Specimen>,
    answers: Answers,
    splits: Splits,
    passing: BTreeMap<CellKey, Specimen>,
    references: Vec<String>,
    /// Of the last run the engine saw, seconds; it never goes back.
    clock: f64,
}

/// One incident of the engine: held back or open.
#[derive(Debug)]
struct Trouble {
    /// The engine's number.
    id: u32,
    onset_at: Timestamp,
    /// When the engine was sure that something is wrong.
    sure_at: Timestamp,
    case: Option<Case>,
    /// What people were told of it; `None` while it is held back.
    statement: Option<Statement>,
    /// The engine is done with it; its members have yet to pass.
    ended_at: Option<Timestamp>,
    missing: Option<String>,
    /// When its cause was known last.
    named_at: Option<Timestamp>,
    /// The picture changed since the last diagnosis.
    dirty: bool,
    /// When runs were asked of late to see whether it is over.
    recovery_runs: Vec<Timestamp>,
    /// The same, of members that did not run for long.
    silent_runs: Vec<Timestamp>,
    /// When it was last looked at whether it may open.
    looked_at: Option<Timestamp>,
    /// Programs that were asked ahead of their schedule, to compare.
    asked_twins: u32,
    /// Who reads notices knows that edgewatch alone is refused.
    told_alone: bool,
    notes: Vec<TimelineEntry>,
}

impl Trouble {
    fn new(id: u32, onset_at: Timestamp, sure_at: Timestamp) -> Self {
        Self {
            id,
            onset_at,
            sure_at,
            case: None,
            statement: None,
            ended_at: None,
            missing: None,
            named_at: None,
            dirty: true,
            recovery_runs: Vec::new(),
            silent_runs: Vec::new(),
            looked_at: None,
            asked_twins: 0,
            told_alone: false,
            notes: Vec::new(),
        }
    }

    /// When it is to be told anew if it goes on to look as it does.
    fn news_at(&self) -> Option<Timestamp> {
        let incident = &self.case.as_ref()?.incident;
        self.statement.as_ref()?.due_at(incident)
    }

    fn remember(&mut self, note: TimelineEntry) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        }
    }
}

/// Seconds since the epoch, for the engine.
fn seconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}

fn timestamp(seconds: f64) -> Timestamp {
    Timestamp::from_microsecond((seconds * 1e6) as i64).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Partner {
    #[must_use]
    pub fn new(name: String, cells: Vec<usize>) -> Self {
        Self {
            name,
            cells,
            running: None,
            recent: Vec::new(),
            sent: VecDeque::new(),
            landings: Landings::new(),
            stacks: Stacks::new(),
            shown_new: false,
        }
    }

    /// Whether there is any trouble to remember.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| !running.troubles.is_empty() || !running.engine.is_quiet())
    }

    /// Open incidents.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.troubles()
            .filter_map(|trouble| Some(&trouble.case.as_ref()?.incident))
    }

    fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        self.running.iter().flat_map(|running| &running.troubles)
    }

    /// Takes up an incident of a former life; a resolved one is kept for its return.
    pub fn resume(&mut self, board: &Board, incident: Incident, now: Timestamp) {
        if incident.state != State::Open {
            self.keep_recent(incident);
            return;
        }
        if let Cause::Level(Level::Stack { ja4, clients }) = &incident.diagnosis.cause {
            let known = clients.iter().map(|name| (name.clone(), ja4.clone()));
            self.stacks.extend(known);
        }
        self.start(board, now);
        let Some(running) = &mut self.running else {
            return;
        };
        let (layout, engine) = (&running.layout, &mut running.engine);
        let failing: Vec<(usize, Kind)> = incident
            .cells
            .iter()
            .filter(|member| member.failing)
            .filter_map(|member| Some((layout.find(&member.cell)?, member.kind)))
            .collect();
        // The stack of one client is that client, to the engine.
        let cause = &match &incident.diagnosis.cause {
            Cause::Level(Level::Stack { clients, .. }) if clients.len() == 1 => {
                Cause::Level(Level::Client(clients[0].clone()))
            }
            cause => cause.clone(),
        };
        let named = layout
            .book
            .rules
            .iter()
            .position(|rule| {
                naming::cause(layout, rule) == *cause
                    && naming::subject(layout, rule, &self.name) == incident.subject
            })
            .map(|rule| (rule, incident.diagnosis.confidence));
        let onset = seconds(incident.onset_at);
        let times = (onset, seconds(now).max(running.clock));
        let id = engine.resume(times, named, &failing, incident.extra_runs);
        for member in incident.cells.iter().filter(|member| member.failing) {
            let failure = (member.last_at, member.cell.clone(), member.kind);
            running.failures.push_back(failure);
        }
        let saved_at = incident.last_told_at.unwrap_or(incident.opened_at);
        let specimens = [
            (&incident.failing, &mut running.failing),
            (&incident.passing, &mut running.passing),
        ];
        for (specimen, kept) in specimens {
            if let Some(specimen) = specimen {
                kept.insert(specimen.cell.clone(), specimen.clone());
            }
        }
        running.troubles.push(Trouble {
            statement: Some(Statement::new(&incident)),
            case: Some(Case::resume(incident.clone(), saved_at)),
            dirty: false,
            ..Trouble::new(id, incident.onset_at, incident.opened_at)
        });
    }

    fn keep_recent(&mut self, incident: Incident) {
        self.recent.push(incident);
        self.recent.sort_by_key(|incident| incident.resolved_at);
        let surplus = self.recent.len().saturating_sub(RECENT_MAX);
        self.recent.drain(..surplus);
    }

    /// Applies a run of one of the partner's cells.
    pub fn observe(&mut self, world: &mut World<'_>, run: &Run<'_>) {
        self.count(world.board, run);
        if self.running.is_none() {
            if !run.failed {
                return;
            }
            self.start(world.board, world.now);
        }
        self.take(world, run);
        self.settle(world);
    }

    /// Applies a run of a control: evidence while something is being looked into.
    pub fn observe_control(&mut self, world: &mut World<'_>, run: &Run<'_>) {
        let Some(running) = &self.running else {
            return;
        };
        if run.failed && !running.engine.is_asking() {
            return;
        }
        self.take(world, run);
        self.settle(world);
    }

    /// Notes when and where our request went, and which point of presence answered.
    fn count(&mut self, board: &Board, run: &Run<'_>) {
        let at = seconds(run.at);
        self.sent
            .push_back((at, run.cell.host, run.cell.key.egress.clone()));
        while self
            .sent
            .front()
            .is_some_and(|(then, ..)| *then < at - SENT_FOR_S)
            || self.sent.len() > SENT_MAX
        {
            self.sent.pop_front();
        }
        self.note_stack(board, run);
        let Some(name) = run.judged.observation.answer.as_ref().and_then(pop::of) else {
            return;
        };
        let key = (
            board.hosts[run.cell.host].name.clone(),
            run.cell.key.egress.clone(),
        );
        let pops = self.landings.entry(key).or_default();
        if pops.len() < POPS_MAX || pops.contains_key(&name) {
            let count = pops.entry(name).or_default();
            self.shown_new |= *count == 0;
            *count = count.saturating_add(1);
        }
    }

    /// Notes what TLS fingerprint the run's client has; it matters where programs make requests too.
    fn note_stack(&mut self, board: &Board, run: &Run<'_>) {
        let sent = run.judged.observation.sent.as_ref();
        let Some(stack) = sent.and_then(Sent::fingerprint) else {
            return;
        };
        let client = &run.cell.key.client;
        let known = self.stacks.get(client);
        if known.is_none_or(|known| !is_same_stack(known, stack)) {
            self.stacks.insert(client.clone(), stack.to_owned());
            self.shown_new |= board.plan.clients.iter().any(|c| c.program.is_some());
        }
    }

    fn shown(&self) -> Shown<'_> {
        Shown {
            landings: &self.landings,
            stacks: &self.stacks,
        }
    }

    /// Starts the engine, with the last passes that are still fresh and the number of those before.
    fn start(&mut self, board: &Board, now: Timestamp) {
        if self.running.is_some() {
            return;
        }
        let Some(mut running) = self.lay_out(board) else {
            return;
        };
        self.shown_new = false;
        let layout = &running.layout;
        let fresh = now.checked_sub(FRESH_PASSES).unwrap_or(now);
        let mut passes: Vec<(Timestamp, usize, usize)> = layout
            .keys()
            .filter_map(|key| {
                let known = board.get(key)?;
                let last = known.last.filter(|last| !last.failed)?;
                let cell = layout.find(key)?;
                (last.at >= fresh && last.at <= now).then_some((last.at, cell, known.host))
            })
            .collect();
        passes.sort_unstable();
        for key in layout.keys() {
            let (Some(known), Some(cell)) = (board.get(key), layout.find(key)) else {
                continue;
            };
            // The one that failed is why the engine starts; what else failed is of an earlier plan, and not known by kind.
            if let (Some(since), ..=1) = (known.ran.since, known.ran.failed) {
                let times = (seconds(since), seconds(now));
                // The last one follows by itself.
                let runs = known.ran.passed.saturating_sub(1);
                running.engine.passed(cell, runs, times);
            }
        }
        for (at, cell, host) in passes {
            running.clock = seconds(at);
            // As they were: were they taken for quiet moments, later ones would never seem to be.
            let (host_requests, egress_requests) =
                self.rates(host, &layout.key(cell).egress, running.clock);
            running.engine.observe(&Seen {
                at: running.clock,
                cell,
                kind: Kind::Pass,
                pop: None,
                host_requests,
                egress_requests,
                purpose: Purpose::Schedule,
                hint: None,
                stands: false,
                reached: false,
            });
        }
        self.running = Some(Box::new(running));
    }

    /// An engine over the partner's cells and the controls beside them; `None` when there are too many.
    fn lay_out(&self, board: &Board) -> Option<Running> {
        let keys: Vec<&CellKey> = self.cells.iter().map(|id| &board.cells[*id].key).collect();
        let egresses: BTreeSet<&EgressName> = keys.iter().map(|key| &key.egress).collect();
        let controls: Vec<&CellKey> = egresses
            .iter()
            .flat_map(|egress| board.controls(egress))
            .map(|cell| &cell.key)
            .collect();
        // What can't be laid out was refused when the partner was taken apart.
        let layout = Layout::new(&board.plan, &keys, &controls, self.shown()).ok()?;
        let budget = board.plan.politeness.extra_per_incident;
        let options = Options {
            budget,
            may_ask: budget > 0,
        };
        let engine = Engine::new(layout.universe.clone(), layout.book.clone(), options);
        Some(Running {
            layout,
            engine,
            troubles: Vec::new(),
            failures: VecDeque::new(),
            asked: Vec::new(),
            loose: 0,
            notes: Vec::new(),
            failing: BTreeMap::new(),
            answers: Answers::default(),
            splits: Splits::default(),
            passing: BTreeMap::new(),
            references: Vec::new(),
            clock: f64::NEG_INFINITY,
        })
    }

    /// Our requests in the minute before, to a host and of those from one egress.
    fn rates(&self, host: usize, egress: &EgressName, at: f64) -> (u32, u32) {
        let (mut to_host, mut from_egress) = (0, 0);
        for (then, other, from) in &self.sent {
            if *other == host && *then > at - RATE_WINDOW_S && *then <= at {
                to_host += 1;
                from_egress += u32::from(from == egress);
            }
        }
        (to_host, from_egress)
    }

    /// Nothing came, but time went by.
    pub fn tick(&mut self, world: &mut World<'_>) {
        self.settle(world);
    }

    /// Somebody looks after the incident with this number, which may be another's, or no longer.
    pub fn care(&mut self, world: &mut World<'_>, number: u64, care: &Care) {
        let Some(running) = &mut self.running else {
            return;
        };
        let cases = running.troubles.iter_mut().filter_map(|t| t.case.as_mut());
        for case in cases.filter(|case| case.incident.number == number) {
            world::care(world, case, care);
        }
    }

    /// Lets go of cells that are no longer configured, after a start with another file.
    pub fn fit(&mut self, world: &mut World<'_>) {
        let Some(running) = &mut self.running else {
            return;
        };
        let board = world.board;
        let cells = &self.cells;
        let mut empty = Vec::new();
        for trouble in &mut running.troubles {
            let Some(case) = &mut trouble.case else {
                continue;
            };
            let fitted = case.fit(|cell| {
                let id = board.id(cell)?;
                cells.binary_search(&id).ok()?;
                board.plan.mark(cell)
            });
            if case.failing().next().is_none() {
                empty.push(trouble.id);
            } else if let Some(text) = fitted.said() {
                trouble.remember(entry(world.now, Happening::Cells, text));
                trouble.dirty = true;
            }
        }
        for id in empty {
            running.engine.let_go(id);
            let place = running.troubles.iter().position(|trouble| trouble.id == id);
            let trouble = place.map(|place| running.troubles.swap_remove(place));
            if let Some(case) = trouble.and_then(|trouble| trouble.case) {
                world::remove(world, case, Vec::new());
            }
        }
        self.settle(world);
    }

    /// When a tick would do something.
    #[must_use]
    pub fn next_wake(&self, board: &Board) -> Option<Timestamp> {
        let told = self
            .incidents()
            .filter_map(|incident| notify::next_at(&board.plan, &board.quiet, incident));
        let news = self.troubles().filter_map(Trouble::news_at);
        let held = self.troubles().filter_map(opening::look_at);
        let ended = self.troubles().filter_map(telling::give_up_at);
        let lost = self.running.iter().filter_map(|r| r.next_lost_at(board));
        told.chain(news).chain(held).chain(ended).chain(lost).min()
    }

    /// The cell to run in place of a scheduled one: where it tells something.
    #[must_use]
    pub fn aim(&mut self, board: &Board, key: &CellKey, due_at: Timestamp) -> Option<CellKey> {
        let running = self.running.as_mut()?;
        // What was edited must be seen as it is asked now.
        let recovering = running.troubles.iter().any(|trouble| {
            let case = trouble.case.as_ref();
            case.is_some_and(|case| case.recovering() && case.holds(key) || case.has_left(key))
        });
        if recovering {
            return None;
        }
        let cell = running.layout.find(key)?;
        let probe = board.plan.probe(&key.probe)?;
        let every = match &probe.schedule {
            Schedule::Every(every) => every.as_secs().max(1),
            Schedule::Cron(_) => 60,
        };
        let round = (due_at.as_second().max(0) as u64) / every;
        let (aimed, _) = running.engine.aim(running.clock, cell, round);
        (aimed != cell).then(|| running.layout.key(aimed).clone())
    }

    /// Whether a cell is one of the partner's.
    fn has(&self, board: &Board, cell: &CellKey) -> bool {
        let id = board.id(cell);
        id.is_some_and(|id| self.cells.binary_search(&id).is_ok())
    }

    /// Calls what it holds as it is called now.
    pub fn rename(&mut self, renames: &Renames) {
        let troubles = self.running.iter_mut().flat_map(|r| &mut r.troubles);
        for case in troubles.filter_map(|trouble| trouble.case.as_mut()) {
            let mut incident = case.incident.clone();
            renames.apply(&mut incident);
            *case = Case::resume(incident, case.saved_at);
        }
        self.recent
            .iter_mut()
            .for_each(|recent| renames.apply(recent));
    }

    /// Fits itself to a new plan: what it knows is kept while its cells stay the same.
    ///
    /// Returns the incidents that have no failing cell left.
    pub fn take_over(&mut self, old: Self, board: &Board, now: Timestamp) -> Vec<Incident> {
        self.recent = old.recent;
        self.landings = old.landings;
        self.stacks = old.stacks;
        self.sent = old.sent;
        let Some(running) = old.running else {
            return Vec::new();
        };
        self.start(board, now);
        let same = self
            .running
            .as_ref()
            .is_some_and(|new| new.layout.same_as(&running.layout));
        if same {
            self.running = Some(running);
            return Vec::new();
        }
        let quiet = running.troubles.is_empty();
        let mut gone = Vec::new();
        for trouble in running.troubles {
            let Some(case) = trouble.case else {
                continue;
            };
            if case.failing().any(|member| self.has(board, &member.cell)) {
                self.resume(board, case.incident, now);
            } else {
                gone.push(case.incident);
            }
        }
        if quiet {
            self.running = None;
        }
        gone
    }

    /// What fails from these egresses is our own network's; what was held back for it is dropped.
    pub fn yield_to(&mut self, down: &BTreeSet<EgressName>) {
        let Some(running) = &mut self.running else {
            return;
        };
        let mut gone = Vec::new();
        for trouble in running.troubles.iter().filter(|t| t.case.is_none()) {
            let mut failing = running
                .failures
                .iter()
                .filter(|(at, ..)| *at >= trouble.onset_at);
            if failing.all(|(_, cell, _)| down.contains(&cell.egress)) {
                gone.push(trouble.id);
            }
        }
        for id in gone {
            running.engine.let_go(id);
            running.troubles.retain(|trouble| trouble.id != id);
        }
        running
            .failures
            .retain(|(_, cell, _)| !down.contains(&cell.egress));
        running.tidy();
    }

    /// Whether an open incident of its own holds this failing cell.
    #[must_use]
    pub fn holds(&self, cell: &CellKey) -> bool {
        self.troubles()
            .filter_map(|trouble| trouble.case.as_ref())
            .any(|case| case.holds(cell))
    }

    /// What fails in these cells is the fault of the vendor before them: what was looked into for it is dropped.
    ///
    /// Returns the first incident that was open for them alone; others that people were told of stay, until they end.
    pub fn hand_over(&mut self, cells: &BTreeSet<CellKey>, wanted: bool) -> Option<Case> {
        let running = self.running.as_mut()?;
        let mut handed = None;
        for trouble in std::mem::take(&mut running.troubles) {
            let mut failing = running
                .failures
                .iter()
                .filter(|(at, ..)| *at >= trouble.onset_at);
            let theirs = failing.all(|(_, cell, _)| cells.contains(cell));
            let stays = trouble.case.is_some() && (!wanted || handed.is_some());
            if !theirs || stays {
                running.troubles.push(trouble);
                continue;
            }
            running.engine.let_go(trouble.id);
            handed = handed.or(trouble.case);
        }
        let kept: Vec<&Case> = running
            .troubles
            .iter()
            .filter_map(|trouble| trouble.case.as_ref())
            .collect();
        running.failures.retain(|(_, cell, _)| {
            !cells.contains(cell) || kept.iter().any(|case| case.holds(cell))
        });
        running.tidy();
        handed
    }

    /// Whether an extra request that is due now is still worth making.
    #[must_use]
    pub fn wants(&mut self, cell: &CellKey, purpose: Purpose) -> bool {
        match &mut self.running {
            Some(running) => running.wants(cell, purpose),
            None => false,
        }
    }
}

/// How many cells there would be if every level met every other.
fn combinations(board_cells: &[crate::board::Cell], cells: &[usize]) -> usize {
    let keys = || cells.iter().map(|id| &board_cells[*id].key);
    let probes: BTreeSet<_> = keys().map(|key| &key.probe).collect();
    let egresses: BTreeSet<_> = keys().map(|key| &key.egress).collect();
    let clients: BTreeSet<_> = keys().map(|key| &key.client).collect();
    let credentials: BTreeSet<_> = keys().map(|key| &key.credential).collect();
    [&egresses.len(), &clients.len(), &credentials.len()]
        .into_iter()
        .fold(probes.len(), |all, levels| all.saturating_mul(*levels))
}

/// The cells of the plan, without controls, as they are diagnosed together: by partner, or by probe where those are too many.
#[must_use]
pub fn parts(plan: &Plan, board_cells: &[crate::board::Cell]) -> Vec<(String, Vec<usize>)> {
    let mut by_partner: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (id, cell) in board_cells.iter().enumerate() {
        if cell.control_probe {
            continue;
        }
        if let Some(probe) = plan.probes.get(cell.probe) {
            by_partner.entry(&probe.partner).or_default().push(id);
        }
    }
    let mut parts = Vec::new();
    for (partner, cells) in by_partner {
        if cells.len() <= CELLS_MAX && combinations(board_cells, &cells) <= COMBINATIONS_MAX {
            parts.push((partner.to_owned(), cells));
            continue;
        }
        let mut by_probe: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for id in cells {
            let probe = board_cells[id].key.probe.to_string();
            by_probe.entry(probe).or_default().push(id);
        }
        for cells in by_probe.into_values() {
            for piece in cells.chunks(CELLS_MAX) {
                parts.push((partner.to_owned(), piece.to_vec()));
            }
        }
    }
    parts
}

/// Whether an incident may be about cells of this subject.
#[must_use]
pub fn is_about(subject: &Subject, plan: &Plan, key: &CellKey) -> bool {
    let Some(probe) = plan.probe(&key.probe) else {
        return false;
    };
    match subject {
        Subject::Host(host) => probe.host() == *host,
        Subject::Partner(partner) => probe.partner == *partner,
        Subject::Vendor(_) | Subject::OurNetwork | Subject::Site(_) => false,
    }
}

/// `at` plus `wait`, when that is still ahead.
fn ahead(at: Timestamp, wait: Duration, now: Timestamp) -> Option<Timestamp> {
    Some(later(at, wait)).filter(|at| *at > now)
}
