//! The machine that decides: `(state, event, now) → effects`. The one door of the rules.
//!
//! Timetable and monitor are one: it says which run starts ([`Effect::Start`]), hears how it ended
//! ([`Event::Ended`], [`Event::Lost`]), and says what is to be stored and told. Nothing but [`Machine::step`]
//! changes it, so a log of events rebuilds it; it has no clock, no sockets and no log. A [`driver::Driver`] turns
//! effects into deeds, in the daemon as in a simulation.
//!
//! What holds of every driver is here and not in one of them: politeness, the bound on runs in flight, a host's
//! wish to be left alone (`Retry-After`), and that a run of which nobody hears again is given up, so that its cell
//! runs again.

// Who carries the effects out.
pub mod driver;
// The rules: which incident a run makes, keeps or ends.
mod monitor;
// What one partner may hold of the runs in flight.
pub mod bulkhead;
// How often each account was used, and which rest.
mod accounts;
// Runs that are not made because too many are under way.
mod crowding;
// When one host may be asked again.
pub(crate) mod politeness;
// What is due and on its way, where nothing is decided; by itself the machine of a site.
pub mod agenda;
// When each cell is due.
mod schedule;
// Runs that were kept on their way.
mod arrival;
// Runs that have begun and not ended.
mod flights;
// What was heard and answered, in writing.
pub mod log;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use crate::board::events::Judged;
pub use flights::RunId;
pub use politeness::Leave;
pub use schedule::Counts;

use crate::board::events as within;
use crate::board::quiet::InForce;
use crate::domain::cell::{CellKey, CredentialName, ProbeName};
use crate::domain::change::{Change, VerdictChange};
use crate::domain::habits::Past;
use crate::domain::incident::{Care, Incident};
use crate::domain::mute::Silence;
use crate::domain::observation::Purpose;
use crate::domain::plan::Plan;
use crate::domain::surroundings::{Learned, Memory};
use crate::domain::upcoming::Upcoming;
use crate::surroundings::notice;
use agenda::Agenda;
use arrival::Backlog;
use crowding::Crowding;
use monitor::Monitor;
use schedule::Timetable;

/// Whatever can cause work.
#[derive(Debug, Clone)]
pub enum Event {
    /// A run that was started came home; how, says its verdict. Late, it opens and ends nothing; a second time, it is
    /// nothing.
    Ended {
        run: RunId,
        judged: Arc<Judged>,
    },
    /// A run that was started ended without an answer of any sort: its task is gone.
    Lost {
        run: RunId,
    },
    /// A run that a site made by itself. Late, it opens and ends nothing; that each comes once is whose reads the stream.
    Reported(Arc<Judged>),
    /// Which sites are silent, and since when; all others are heard.
    Silent(BTreeMap<String, Timestamp>),
    /// Time went by; due when [`Effect::WakeAt`] says so, harmless at any other time.
    Tick,
    PlanReplaced(Arc<Plan>),
    /// Somebody looks after the incident with this number, or no longer.
    Care {
        incident: u64,
        care: Care,
    },
    /// These silences, which the store has, are in force in place of those before.
    Silenced(Vec<Silence>),
    /// Another process made so many requests with a credential, about now.
    Spent {
        credential: CredentialName,
        requests: u32,
    },
    /// Somebody wants these cells, and every cell of these probes, to be run now; politeness decides when.
    Wanted {
        probes: Vec<ProbeName>,
        cells: Vec<CellKey>,
        /// For people ("ann in the browser").
        who: String,
    },
    /// Somebody beside the timetable wants to ask a host once; [`Effect::Leave`] says whether now.
    Leave {
        /// By which the answer is known.
        number: u64,
        host: String,
    },
    /// The clock was set by so much; `now` is by the clock as it is.
    ClockSet {
        by: SignedDuration,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make this run now, and tell how it ended.
    Start(Start),
    /// Nobody waits for this run any more; end it if it still goes on.
    Cancel {
        run: RunId,
    },
    /// Ask the site of this cell for a run.
    Ask(Ask),
    /// Whether who asked with [`Event::Leave`] may ask the host.
    Leave {
        number: u64,
        leave: Leave,
    },
    /// Store a run with its verdict.
    Record(Arc<Judged>),
    /// Store an incident with its timeline and its notifications, together or not at all.
    Save(Box<Change>),
    VerdictChanged(VerdictChange),
    /// Store what was learned of fronts and of our own side, with the notices of it.
    Learned(Box<Learned>),
    /// [`Event::Tick`] is due then, and no longer when it was due before.
    WakeAt(Timestamp),
}

/// A run that starts now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub run: RunId,
    pub cell: CellKey,
    pub purpose: Purpose,
    /// When it should have started; the rest is our lateness, never the partner's.
    pub due_at: Timestamp,
    /// Why it runs, for people; "scheduled" for scheduled runs.
    pub why: Arc<str>,
}

/// A run that a site is asked for, beyond its schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub cell: CellKey,
    pub purpose: Purpose,
    /// When it should start.
    pub at: Timestamp,
    /// For people.
    pub why: String,
}

/// What is known from before the start.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Known {
    /// Open incidents, and those resolved lately.
    pub incidents: Vec<Incident>,
    /// The least number that a new incident may have.
    pub next_number: u64,
    pub silences: Vec<Silence>,
    pub memory: Memory,
    /// Incidents of the last months, to compare with.
    #[serde(default)]
    pub past: Past,
    /// When requests with credentials were made within the last day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spent: Vec<(CredentialName, Timestamp)>,
}

/// A round that is wanted so soon after another of the same probe is the same one.
const SAME_WISH: SignedDuration = SignedDuration::from_secs(30);

/// All that the rules remember between two events.
#[derive(Debug)]
pub struct Machine {
    agenda: Agenda,
    monitor: Monitor,
    backlog: Backlog,
    crowding: Crowding,
    /// When a person wanted a round of a probe last.
    wanted: BTreeMap<ProbeName, Timestamp>,
    /// The same of single cells.
    wanted_cells: BTreeMap<CellKey, Timestamp>,
    /// What was said last of the next tick.
    wake: Option<Timestamp>,
}

impl Machine {
    #[must_use]
    pub fn new(plan: Arc<Plan>, known: Known, now: Timestamp) -> Self {
        let timetable = Timetable::new(&plan, now);
        Self::with(plan, known, timetable, now)
    }

    /// One of which only some cells run by the schedule; the others are asked when it takes them to know.
    #[must_use]
    pub fn sparse(plan: Arc<Plan>, scheduled: &BTreeSet<CellKey>, now: Timestamp) -> Self {
        let timetable = Timetable::sparse(&plan, scheduled, now);
        Self::with(plan, Known::default(), timetable, now)
    }

    fn with(plan: Arc<Plan>, known: Known, timetable: Timetable, now: Timestamp) -> Self {
        let mut agenda = Agenda::with(Arc::clone(&plan), timetable);
        for (credential, until) in known.incidents.iter().filter_map(Incident::lock) {
            let wait = Duration::try_from(until.duration_since(now));
            agenda
                .accounts
                .lock(credential, wait.unwrap_or_default(), now);
        }
        for (credential, at) in known.spent {
            let most = plan.credential_a_day;
            agenda.accounts.used(&credential, [at], most);
        }
        agenda.accounts.are_known(&plan, now);
        Self {
            monitor: Monitor::new(plan, known.incidents, known.next_number)
                .with_past(known.past)
                .with_silences(known.silences)
                .remembering(known.memory, now),
            agenda,
            backlog: Backlog::default(),
            crowding: Crowding::default(),
            wanted: BTreeMap::new(),
            wanted_cells: BTreeMap::new(),
            wake: None,
        }
    }

    /// Applies one event; `now` is the time at which it is applied, UTC.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.agenda.give_up(now, &mut effects);
        match event {
            Event::Ended { run, judged } => self.ended(run, &judged, now, &mut effects),
            Event::Lost { run } => {
                self.agenda.land(run);
            }
            Event::Reported(judged) => {
                let (seen, most) = (&judged.observation, self.agenda.plan.credential_a_day);
                let accounts = &mut self.agenda.accounts;
                accounts.used(&seen.cell.credential, [seen.started_at], most);
                self.take(&judged, now, &mut effects);
            }
            Event::Silent(silent) => {
                self.ask_monitor(within::Event::Silent(silent), now, &mut effects);
            }
            Event::Tick => {}
            Event::PlanReplaced(plan) => {
                self.wanted.retain(|name, _| plan.probe(name).is_some());
                self.agenda.replace(Arc::clone(&plan), now);
                self.ask_monitor(within::Event::PlanReplaced(plan), now, &mut effects);
            }
            Event::Care { incident, care } => {
                let event = within::Event::Care { incident, care };
                self.ask_monitor(event, now, &mut effects);
            }
            Event::Silenced(silences) => {
                self.ask_monitor(within::Event::Silenced(silences), now, &mut effects);
            }
            Event::Spent {
                credential,
                requests,
            } => {
                let uses = std::iter::repeat_n(now, requests as usize);
                let most = self.agenda.plan.credential_a_day;
                self.agenda.accounts.used(&credential, uses, most);
            }
            Event::Wanted { probes, cells, who } => {
                self.run_now((&probes, &cells), &who, now, &mut effects);
            }
            Event::Leave { number, host } => {
                let leave = self.agenda.leave(&host, now);
                effects.push(Effect::Leave { number, leave });
            }
            Event::ClockSet { by } => self.clock_was_set(by, now, &mut effects),
        }
        let late = self.backlog.settle(&self.agenda.plan, now);
        if !late.is_empty() {
            self.ask_monitor(within::Event::CaughtUp(late), now, &mut effects);
        }
        if self.monitor.next_wake().is_some_and(|at| at <= now) {
            self.ask_monitor(within::Event::Tick, now, &mut effects);
        }
        self.start_due(now, &mut effects);
        self.look_at_crowding(now, &mut effects);
        let wakes = [
            self.agenda.next_wake(),
            self.monitor.next_wake(),
            self.backlog.complete_at,
        ];
        let wake = wakes.into_iter().flatten().min().unwrap_or(Timestamp::MAX);
        if self.wake.replace(wake) != Some(wake) {
            effects.push(Effect::WakeAt(wake));
        }
        effects
    }

    fn ended(
        &mut self,
        run: RunId,
        judged: &Arc<Judged>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        if !self.agenda.land(run) {
            return;
        }
        if !arrival::was_kept(judged, now) {
            self.agenda.hold(judged, now);
        }
        self.take(judged, now, effects);
    }

    /// Takes in a run, whoever made it: at once, or as history.
    fn take(&mut self, judged: &Arc<Judged>, now: Timestamp, effects: &mut Vec<Effect>) {
        effects.push(Effect::Record(Arc::clone(judged)));
        if arrival::was_kept(judged, now) {
            self.backlog.add(judged, now);
            return;
        }
        self.ask_monitor(within::Event::Observed(Arc::clone(judged)), now, effects);
    }

    /// Open incidents go on with their times moved; what was seen by the former clock is asked anew.
    fn clock_was_set(&mut self, by: SignedDuration, now: Timestamp, effects: &mut Vec<Effect>) {
        self.agenda.recall(effects);
        self.backlog = Backlog::default();
        self.crowding = Crowding::default();
        self.agenda.accounts.shift(by);
        let saved = self.monitor.clock_was_set(by, now);
        effects.extend(
            saved
                .into_iter()
                .map(|change| Effect::Save(Box::new(change))),
        );
    }

    fn ask_monitor(&mut self, event: within::Event, now: Timestamp, effects: &mut Vec<Effect>) {
        for effect in self.monitor.step(event, now) {
            effects.push(match effect {
                within::Effect::Run {
                    cell,
                    at,
                    purpose,
                    why,
                    ..
                } => {
                    self.ask(
                        Ask {
                            cell,
                            purpose,
                            at,
                            why,
                        },
                        effects,
                    );
                    continue;
                }
                within::Effect::Save(change) => Effect::Save(change),
                within::Effect::VerdictChanged(change) => Effect::VerdictChanged(change),
                within::Effect::Learned(learned) => Effect::Learned(learned),
            });
        }
    }

    /// Asks for a run beyond the schedule: of the site whose cell it is, if that is heard, or of our own timetable.
    fn ask(&mut self, ask: Ask, effects: &mut Vec<Effect>) {
        if self.agenda.plan.site_of(&ask.cell.egress).is_none() {
            // A cell that the plan no longer has is not asked.
            let _ = self.agenda.ask(&ask.cell, ask.at, ask.purpose, &ask.why);
        } else if !self.monitor.is_unheard(&ask.cell) {
            effects.push(Effect::Ask(ask));
        }
    }

    /// Asks for a run of each cell beyond its schedule; one that is asked for already is not asked twice.
    fn run_now(
        &mut self,
        (probes, cells): (&[ProbeName], &[CellKey]),
        who: &str,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) {
        let plan = Arc::clone(&self.agenda.plan);
        let why = format!("{who} asked for it");
        // Ten people who press a button want one round.
        let fresh = |last: &Timestamp| now.duration_since(*last).abs() < SAME_WISH;
        self.wanted_cells.retain(|_, last| fresh(last));
        let probes: Vec<&ProbeName> = probes
            .iter()
            .filter(|name| plan.probe(name).is_some() && !self.wanted.get(name).is_some_and(fresh))
            .collect();
        for name in &probes {
            self.wanted.insert((*name).clone(), now);
        }
        let of_probes: Vec<CellKey> = plan
            .cells()
            .filter(|(it, cell)| {
                let by_itself = cells.contains(cell) && !self.wanted_cells.contains_key(cell);
                by_itself || probes.contains(&&it.name)
            })
            .map(|(_, cell)| cell)
            .collect();
        for cell in of_probes {
            if cells.contains(&cell) {
                self.wanted_cells.insert(cell.clone(), now);
            }
            let ask = Ask {
                cell,
                purpose: Purpose::Asked,
                at: now,
                why: why.clone(),
            };
            self.ask(ask, effects);
        }
    }

    fn start_due(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let monitor = &mut self.monitor;
        self.agenda.start_due(now, effects, |due| {
            if !monitor.wants(&due.cell, due.purpose) {
                return None;
            }
            let aimed = match due.purpose {
                Purpose::Schedule => monitor.aim(&due.cell, due.at),
                _ => None,
            };
            Some(aimed.unwrap_or_else(|| due.cell.clone()))
        });
    }

    /// Tells when runs are not made for want of room.
    fn look_at_crowding(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Agenda {
            plan,
            timetable,
            accounts,
            ..
        } = &mut self.agenda;
        let (counts, shares) = (timetable.counts(), timetable.shares());
        let resting = accounts.news(plan, now);
        for notice in resting {
            effects.push(Effect::Learned(Box::new(Learned {
                memory: Memory::default(),
                notifications: notice::due(plan, &notice, now),
            })));
        }
        if let Some(notice) = self.crowding.look(plan, counts, shares, now) {
            effects.push(Effect::Learned(Box::new(Learned {
                memory: Memory::default(),
                notifications: notice::due(plan, &notice, now),
            })));
        }
    }

    /// A digest of all that it remembers, equal only where all of that is.
    #[must_use]
    pub fn digest(&self) -> String {
        log::digest(self)
    }

    /// What is going on, and what has happened since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.agenda.counts()
    }

    /// What runs next, and what each host may still be asked.
    #[must_use]
    pub fn upcoming(&self, now: Timestamp) -> Upcoming {
        self.agenda.upcoming(now)
    }

    /// Open incidents, our own network's last.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.monitor.incidents()
    }

    /// Silences that are in force.
    pub fn silences(&self, now: Timestamp) -> impl Iterator<Item = &Silence> {
        self.monitor.silences(now)
    }

    /// Maintenance that goes on.
    pub fn maintenance(&self, now: Timestamp) -> impl Iterator<Item = InForce<'_>> {
        self.monitor.maintenance(now)
    }
}

#[cfg(test)]
mod tests;
