//! A vendor that fails by itself in front of several partners: one incident for all of them.
//!
//! An edge may say that it failed itself, and not what stands behind it ([`Verdict::own_fault`]). Shown at two partners
//! within five minutes that is one fault and not two: an incident that one of them opened by this sign becomes
//! the vendor's under its number, and what was looked into at the others is let go. While it is open what shows
//! the sign belongs to it. What fails there in another way is a second cause: for the vendor it is a pass, and
//! its partner hears of it as of any other.
//!
//! [`Verdict::own_fault`]: crate::domain::verdict::Verdict::own_fault

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::case::{Case, Opening, Turn, clarity, entry};
use super::extra::Extra;
use super::notify::{self, Statement};
use super::world::{self, Run, World};
use crate::board::Board;
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::{Cause, Diagnosis, RuledOut};
use crate::domain::incident::{
    Care, Happening, Incident, IncidentCell, Specimen, State, Subject, TimelineEntry,
};
use crate::domain::moment::later;
use crate::domain::renames::Renames;
use crate::domain::verdict::{Factor, vendor_name};
use crate::words::evidence;

/// Signs that lie so near to each other are of one fault.
const WITHIN: Duration = Duration::from_secs(300);
/// Runs with the sign, at two partners or more, that make it certain.
const SIGNS_MIN: usize = 3;
const PARTNERS_MIN: usize = 2;
/// An explicit word of the edge about itself, three times.
const SURE: f64 = 0.99;
const SIGNS_MAX: usize = 1000;
const SPECIMENS_MAX: usize = 12;
const NOTES_MAX: usize = 40;

/// Every vendor that showed its own fault of late.
#[derive(Debug, Default)]
pub struct Vendors(BTreeMap<String, Vendor>);

#[derive(Debug, Default)]
struct Vendor {
    /// Runs that showed the sign of late, oldest first.
    signs: VecDeque<Sign>,
    case: Option<Case>,
    /// What people were told last, and what they are to be told.
    statement: Option<Statement>,
    /// Resolved so lately that a return would be the same incident.
    recent: Option<Incident>,
    failing: BTreeMap<CellKey, Specimen>,
    notes: Vec<TimelineEntry>,
    extra: Extra,
    dirty: bool,
}

#[derive(Debug)]
struct Sign {
    at: Timestamp,
    member: IncidentCell,
    /// The place of its partner.
    partner: usize,
}

/// What a run means for a vendor.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing that its partner should not see.
    News,
    /// The vendor's open incident explains it.
    Explained,
    /// It makes certain that this vendor fails by itself.
    Certain(String),
}

impl Vendors {
    /// Takes up an incident of a former life; a resolved one is kept for its return.
    ///
    /// Returns what can't be taken up, because there is one already.
    pub fn resume(&mut self, incident: Incident) -> Option<Incident> {
        let Subject::Vendor(name) = &incident.subject else {
            return Some(incident);
        };
        let vendor = self.0.entry(name.clone()).or_default();
        if incident.state != State::Open {
            let known = vendor.recent.as_ref();
            if known.is_none_or(|known| known.resolved_at < incident.resolved_at) {
                vendor.recent = Some(incident);
            }
            return None;
        }
        if vendor.case.is_some() {
            return Some(incident);
        }
        let saved_at = incident.last_told_at.unwrap_or(incident.opened_at);
        vendor.statement = Some(Statement::new(&incident));
        vendor.case = Some(Case::resume(incident, saved_at));
        None
    }

    /// Open incidents.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        let cases = self.0.values().filter_map(|vendor| vendor.case.as_ref());
        cases.map(|case| &case.incident)
    }

    /// Whether the answer of an extra request to this cell is waited for.
    #[must_use]
    pub fn waits_for(&self, cell: &CellKey) -> bool {
        self.0.values().any(|vendor| vendor.extra.waits_for(cell))
    }

    /// Whether a run may concern a vendor at all.
    #[must_use]
    pub fn concerns(&self, run: &Run<'_>) -> bool {
        run.judged.verdict.own_fault().is_some() || self.0.values().any(|v| v.case.is_some())
    }

    /// Applies a run of a partner's cell; `partner` is its place.
    pub fn observe(&mut self, world: &mut World<'_>, run: &Run<'_>, partner: usize) -> Heard {
        let fault = run.judged.verdict.own_fault().filter(|_| run.failed);
        for (name, vendor) in &mut self.0 {
            if fault != Some(name.as_str()) {
                vendor.passed(world, run);
            }
        }
        let Some(name) = fault else {
            return Heard::News;
        };
        let vendor = self.0.entry(name.to_owned()).or_default();
        vendor.showed(world, run, partner);
        if vendor.case.is_some() {
            vendor.settle(world);
            return Heard::Explained;
        }
        if vendor.is_certain() {
            return Heard::Certain(name.to_owned());
        }
        Heard::News
    }

    /// The partners before which a vendor fails by itself, and the cells that show it.
    #[must_use]
    pub fn shown(&self, name: &str) -> (BTreeSet<usize>, BTreeSet<CellKey>) {
        let signs = self.0.get(name).into_iter().flat_map(|v| &v.signs);
        signs
            .map(|sign| (sign.partner, sign.member.cell.clone()))
            .unzip()
    }

    /// Opens the incident of a vendor, or makes it of the one that a partner had opened by the same sign.
    pub fn open(&mut self, world: &mut World<'_>, name: &str, told: Option<Case>) {
        let Some(vendor) = self.0.get_mut(name) else {
            return;
        };
        vendor.open(world, name, told);
        vendor.settle(world);
    }

    /// Nothing came, but time went by.
    pub fn tick(&mut self, world: &mut World<'_>) {
        for vendor in self.0.values_mut() {
            vendor.extra.tick(world.now);
            vendor.forget(world.now);
            vendor.settle(world);
        }
        let known = |vendor: &Vendor| {
            vendor.case.is_some() || vendor.recent.is_some() || !vendor.signs.is_empty()
        };
        self.0.retain(|_, vendor| known(vendor));
    }

    /// When a tick would do something.
    #[must_use]
    pub fn next_wake(&self, board: &Board) -> Option<Timestamp> {
        let told = self
            .incidents()
            .filter_map(|incident| notify::next_at(&board.plan, &board.quiet, incident));
        let news = self.0.values().filter_map(|vendor| {
            let case = vendor.case.as_ref()?;
            vendor.statement.as_ref()?.due_at(&case.incident)
        });
        let lost = self.0.values().filter_map(|v| v.extra.next_wake());
        told.chain(news).chain(lost).min()
    }

    /// Somebody looks after the incident with this number, which may be another's, or no longer.
    pub fn care(&mut self, world: &mut World<'_>, number: u64, care: &Care) {
        let cases = self
            .0
            .values_mut()
            .filter_map(|vendor| vendor.case.as_mut());
        for case in cases.filter(|case| case.incident.number == number) {
            world::care(world, case, care);
        }
    }

    /// Calls what it holds as it is called now.
    pub fn rename(&mut self, renames: &Renames) {
        for vendor in self.0.values_mut() {
            if let Some(mut case) = vendor.case.take() {
                renames.apply(&mut case.incident);
                vendor.case = Some(Case::resume(case.incident, case.saved_at));
            }
            if let Some(recent) = &mut vendor.recent {
                renames.apply(recent);
            }
        }
    }

    /// Lets go of what is no longer configured; closes an incident that has no failing cell left.
    pub fn fit(&mut self, world: &mut World<'_>) {
        for vendor in self.0.values_mut() {
            // Partners may have other places now.
            vendor.signs.clear();
            vendor.fit(world);
        }
    }
}

impl Vendor {
    /// A run that shows the sign.
    fn showed(&mut self, world: &World<'_>, run: &Run<'_>, partner: usize) {
        let (key, kind, at) = (&run.cell.key, run.judged.kind(), run.at);
        self.keep(world, run);
        let member = IncidentCell {
            asked: None,
            cell: key.clone(),
            kind,
            failing: true,
            since: at,
            last_at: at,
        };
        if let Some(case) = &mut self.case {
            if let Some(note) = self.extra.answered(Some(case), run) {
                self.notes.push(note);
            }
            if case.observe(key, kind, true, at) == Turn::Fails {
                self.dirty = true;
            }
            if !case.holds(key) && case.join(member) {
                self.dirty = true;
                let text = format!("{key} fails too: {}", kind.label());
                self.notes.push(entry(at, Happening::Cells, text));
            }
            self.notes.truncate(NOTES_MAX);
            return;
        }
        self.signs.push_back(Sign {
            at,
            member,
            partner,
        });
        self.forget(at);
    }

    /// A run without the sign: for the vendor it is a pass, whatever else fails there.
    fn passed(&mut self, world: &mut World<'_>, run: &Run<'_>) {
        let key = &run.cell.key;
        let Some(case) = self.case.as_mut().filter(|case| case.holds(key)) else {
            return;
        };
        if let Some(note) = self.extra.answered(Some(case), run) {
            self.notes.push(note);
        }
        if case.observe(key, run.judged.kind(), false, run.at) == Turn::Left {
            self.dirty = true;
        }
        self.settle(world);
    }

    fn forget(&mut self, now: Timestamp) {
        let old = |sign: &Sign| later(sign.at, WITHIN) < now;
        while self.signs.len() > SIGNS_MAX || self.signs.front().is_some_and(old) {
            self.signs.pop_front();
        }
    }

    fn is_certain(&self) -> bool {
        let partners: BTreeSet<usize> = self.signs.iter().map(|sign| sign.partner).collect();
        self.signs.len() >= SIGNS_MIN && partners.len() >= PARTNERS_MIN
    }

    fn open(&mut self, world: &mut World<'_>, name: &str, told: Option<Case>) {
        let failed_runs = self.signs.len() as u32;
        let mut cells: BTreeMap<CellKey, IncidentCell> = BTreeMap::new();
        for sign in self.signs.drain(..) {
            cells
                .entry(sign.member.cell.clone())
                .and_modify(|member| member.last_at = member.last_at.max(sign.at))
                .or_insert(sign.member);
        }
        let cells: Vec<IncidentCell> = cells.into_values().collect();
        let Some(onset_at) = cells.iter().map(|member| member.since).min() else {
            return;
        };
        self.extra.begin();
        self.dirty = true;
        if let Some(mut case) = told {
            // Who heard of it under this number reads there that it is wider than one partner.
            self.statement = Some(Statement::new(&case.incident));
            case.incident.subject = Subject::Vendor(name.to_owned());
            case.incident.failed_runs = case.incident.failed_runs.max(failed_runs);
            for member in cells {
                if !case.holds(&member.cell) {
                    case.join(member);
                }
            }
            self.case = Some(case);
            return;
        }
        let recent = self.recent.take();
        let back = recent.filter(|recent| world.is_back(recent, onset_at, &cells));
        let opening = Opening {
            number: 0,
            subject: Subject::Vendor(name.to_owned()),
            onset_at,
            rhythm_since: None,
            last_good_at: world.last_good_before(onset_at, &cells),
            diagnosis: diagnosis(world.board, name, &cells),
            failed_runs,
            cells,
        };
        let mut case = world.begin(back, opening);
        self.choose_specimen(&mut case);
        world.announce(&mut case, onset_at, std::mem::take(&mut self.notes));
        self.statement = Some(Statement::new(&case.incident));
        self.case = Some(case);
        self.dirty = false;
    }

    /// Keeps the clearest failing run of a cell.
    fn keep(&mut self, world: &World<'_>, run: &Run<'_>) {
        let (key, verdict) = (&run.cell.key, &run.judged.verdict);
        let known = self.failing.get(key);
        let clearer = known.is_none_or(|known| clarity(verdict) > clarity(&known.verdict));
        if clearer && (known.is_some() || self.failing.len() < SPECIMENS_MAX) {
            let board = world.board;
            let observation = &run.judged.observation;
            let specimen = evidence::specimen(&board.plan, &board.secrets, observation, verdict);
            self.failing
                .extend(specimen.map(|specimen| (key.clone(), specimen)));
        }
    }

    fn choose_specimen(&self, case: &mut Case) {
        let kept = case.incident.failing.as_ref();
        if kept.is_some_and(|kept| kept.verdict.own_fault().is_some() && case.holds(&kept.cell)) {
            return;
        }
        let of_members = case.failing().filter_map(|m| self.failing.get(&m.cell));
        let best = of_members.max_by_key(|specimen| (clarity(&specimen.verdict), specimen.at));
        if let Some(best) = best.cloned() {
            if let Some(id) = &best.verdict.reference_id {
                case.refer(id);
            }
            case.incident.failing = Some(best);
        }
    }

    /// Everything that follows from the present state.
    fn settle(&mut self, world: &mut World<'_>) {
        let Some(mut case) = self.case.take() else {
            return;
        };
        if std::mem::take(&mut self.dirty)
            && let Subject::Vendor(name) = &case.incident.subject
        {
            let cells: Vec<IncidentCell> = case.failing().cloned().collect();
            let found = diagnosis(world.board, name, &cells);
            case.stale |= case.incident.diagnosis != found;
            case.incident.diagnosis = found;
            self.choose_specimen(&mut case);
        }
        let notes = std::mem::take(&mut self.notes);
        let statement = self
            .statement
            .get_or_insert_with(|| Statement::new(&case.incident));
        world::retell(world, &mut case, statement, None, notes);
        if case.over(world.now) {
            let text = format!(
                "none of its {} cells shows it any more",
                case.incident.cells.len()
            );
            self.recent = Some(world::close(world, case, Vec::new(), &text));
            self.failing.clear();
            return;
        }
        world::save_counters(world, &mut case);
        self.extra.ask_recovering(world, &case);
        self.case = Some(case);
    }

    fn fit(&mut self, world: &mut World<'_>) {
        let board = world.board;
        let keep = |cell: &CellKey| board.id(cell).is_some();
        self.extra.retain(keep);
        self.failing.retain(|cell, _| keep(cell));
        if let Some(mut case) = self.case.take() {
            let fitted = case.fit(|cell| board.id(cell).and_then(|_| board.plan.mark(cell)));
            if case.failing().next().is_none() {
                return world::remove(world, case, std::mem::take(&mut self.notes));
            }
            self.case = Some(case);
            if let Some(text) = fitted.said() {
                self.dirty = true;
                self.notes.push(entry(world.now, Happening::Cells, text));
            }
        }
        self.settle(world);
    }
}

/// How a vendor's incident opens when one round shows its own fault in these cells; `None`: not certain.
#[must_use]
pub fn of_round(board: &Board, name: &str, cells: Vec<IncidentCell>) -> Option<Opening> {
    let partners: BTreeSet<usize> = cells
        .iter()
        .filter_map(|member| Some(board.get(&member.cell)?.party))
        .collect();
    if cells.len() < SIGNS_MIN || partners.len() < PARTNERS_MIN {
        return None;
    }
    Some(Opening {
        number: 0,
        subject: Subject::Vendor(name.to_owned()),
        onset_at: cells.iter().map(|member| member.since).min()?,
        rhythm_since: None,
        last_good_at: None,
        diagnosis: diagnosis(board, name, &cells),
        failed_runs: cells.len() as u32,
        cells,
    })
}

/// What is known when these cells show that a vendor fails by itself.
fn diagnosis(board: &Board, name: &str, cells: &[IncidentCell]) -> Diagnosis {
    let partners: BTreeSet<&str> = cells
        .iter()
        .filter_map(|member| Some(board.parties[board.get(&member.cell)?.party].as_str()))
        .collect();
    let vendor = vendor_name(name).unwrap_or_default();
    Diagnosis {
        cause: Cause::Everything,
        confidence: SURE,
        fails: None,
        failing: cells.iter().map(|member| member.cell.clone()).collect(),
        passing: Vec::new(),
        ruled_out: vec![RuledOut {
            factor: Factor::Host,
            because: format!(
                "not the partners' servers: {} partners behind {vendor} show its own error at the same time",
                partners.len()
            ),
            failing: None,
            passing: None,
        }],
        would_tell: None,
        split: None,
    }
}
