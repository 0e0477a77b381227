//! The diagnosis as one state machine: `(state, observation) → (state, effects)`.
//!
//! It reads no clock and sends nothing. Whoever drives it, the daemon or the scenario player, feeds it
//! every observation in order of time, runs what the effects ask for, and lets [`Engine::aim`] choose
//! the cell of each scheduled request. The order of the steps in [`Engine::observe`] is the algorithm;
//! its parts are in the files beside this one.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use super::baseline::Baseline;
use super::changes::{Changes, Expected, STRIKES_AT_MOST};
use super::class::{CLASSES, Class, FAILS_AT_MOST};
use super::confirm::{Judgement, Known, Suspicion};
use super::episode::{Cause, Episode, Refusals};
use super::evidence::Record;
use super::likelihood::has_shown;
use super::posterior::{LIKELY, Search};
use super::rates::Rates;
use super::rules::{Nature, RuleBook, Traits, rate_step};
use super::weather::Weather;
use crate::domain::observation::Purpose;
use crate::domain::verdict::Kind;
use crate::judge::universe::Universe;

/// One run as the engine sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Seconds since any fixed moment; never decreasing.
    pub at: f64,
    /// Index into the universe's cells.
    pub cell: usize,
    pub kind: Kind,
    /// Index into the universe's `PoP`s, if the answer told.
    pub pop: Option<u16>,
    /// Requests of ours to the host in the 60 s before, and those of them from this egress.
    pub host_requests: u32,
    pub egress_requests: u32,
    pub purpose: Purpose,
    /// The factor that the vendor's own code names (1006: address, 1010: client, 1015: rate).
    pub hint: Option<Nature>,
    /// It failed by an error that the application itself made: whatever stands before it let the request through.
    pub reached: bool,
    /// The refusal names an end until which nobody will ask again: it stands by its own word.
    pub stands: bool,
}

/// How the engine may act.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Extra requests for the first cause of an episode; later ones add half as many, up to twice.
    pub budget: u32,
    /// Whether extra requests may be made at all.
    pub may_ask: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            budget: 12,
            may_ask: true,
        }
    }
}

/// A request that the engine would like to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub cell: usize,
    /// Not before this time, seconds; politeness may make it later.
    pub at: f64,
    pub purpose: Purpose,
    pub reason: Reason,
    pub incident: Option<u32>,
}

/// Why a request is made beside or instead of the scheduled one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// The cell failed; does it fail again?
    FailedOnce,
    /// Too many of the runs like it fail; how large is the share?
    FailsAtTimes,
    /// A cause is all but named; this run completes the comparison.
    Witness { rule: usize },
    /// Among all cells this one tells most, in bits.
    TellsMost(f64),
    /// The scheduled cell is known to be blocked; this one is not and could show something new.
    BlockedAnyway,
}

/// What follows from an observation.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Ask(Ask),
    /// Something is wrong for sure.
    Opened {
        incident: u32,
        onset: f64,
    },
    /// A cause is named; details are in [`Engine::causes`] and, once, here.
    Claimed(Box<Cause>),
    /// A named cause turned out wrong.
    Withdrawn {
        incident: u32,
        group: usize,
    },
    /// What remains can't be told apart with what is configured.
    CannotTell {
        incident: u32,
        among: Vec<Nature>,
        missing: Option<String>,
    },
    /// A named cause stands, but strikes at times only, or from another rate of ours on.
    Revised(Box<Cause>),
    /// Every cause of the incident has ended.
    Recovered {
        incident: u32,
    },
    /// Not reproduced, or folded into another incident.
    Closed {
        incident: u32,
    },
}

/// Runs beside the schedule that look whether a share of a host's requests fails.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Survey {
    /// A run of it may be on its way.
    going: bool,
    /// Ends then unless something fails again.
    until: f64,
    next_at: f64,
    /// Rotates through the cells.
    turn: usize,
}

/// Seconds between two runs of a survey, and how long it lasts beyond the last failure.
const SURVEY_GAP_S: f64 = 3.0;
const SURVEY_S: f64 = 120.0;
/// So long after its last failure a cause that is over may come back as itself.
const LATELY_S: f64 = 3600.0;
/// How much is remembered.
const HISTORY_S: f64 = 6.0 * 3600.0;
const HISTORY_MAX: usize = 40_000;
/// Failures count this long after an announced window as part of it, seconds.
const WINDOW_TAIL_S: f64 = 120.0;
/// Passes among the failures of a cause that always strikes: more than this share, and at least
/// so many, and it is not what we named.
const CONTRADICTED: (f64, u32) = (0.08, 3);
/// Failures in a row that a share would bring with no more than this chance, over so many seconds: all fails now.
const NO_SHARE: (f64, f64) = (1e-4, 300.0);

/// The diagnosis of one universe.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) universe: Arc<Universe>,
    pub(super) book: Arc<RuleBook>,
    pub(super) options: Options,
    pub(super) search: Search,
    baseline: Baseline,
    suspicions: Vec<Option<Suspicion>>,
    rates: Rates,
    pub(super) changes: Changes,
    /// By host.
    surveys: Vec<Survey>,
    pub(super) history: VecDeque<Record>,
    weather: Weather,
    windows: Vec<(u16, f64, f64)>,
    /// Failures in announced windows.
    pub suppressed: u64,
    pub(super) episode: Option<Episode>,
    /// Causes that are over, the last one last.
    pub(super) lately: Vec<Cause>,
    pub(super) next_incident: u32,
    pub(super) effects: Vec<Effect>,
}

impl Engine {
    #[must_use]
    pub fn new(universe: Arc<Universe>, book: Arc<RuleBook>, options: Options) -> Self {
        let (egresses, hosts) = (universe.egresses.len(), universe.hosts.len());
        let rates = Rates::new(&universe);
        Self {
            search: Search::default(),
            baseline: Baseline::new(egresses, hosts),
            suspicions: vec![None; hosts],
            changes: Changes::new(rates.keys()),
            rates,
            surveys: vec![Survey::default(); hosts],
            history: VecDeque::new(),
            weather: Weather::new(hosts, egresses),
            windows: Vec::new(),
            suppressed: 0,
            episode: None,
            lately: Vec::new(),
            next_incident: 1,
            effects: Vec::new(),
            universe,
            book,
            options,
        }
    }

    /// Takes in that a cell passed so often between two times, before the engine was needed: a share that fails is
    /// news by what was before.
    pub fn passed(&mut self, cell: usize, runs: u32, (from, to): (f64, f64)) {
        let (egress, host) = (
            self.universe.cells[cell].egress,
            self.universe.host_of(cell),
        );
        self.baseline.passed(egress, host, runs, from);
        self.rates.passed(cell, runs, (from, to));
    }

    /// Announces maintenance of a host; failures inside open nothing.
    pub fn announce(&mut self, host: u16, from: f64, to: f64) {
        self.windows.push((host, from, to));
    }

    #[must_use]
    pub fn universe(&self) -> &Universe {
        &self.universe
    }

    #[must_use]
    pub fn book(&self) -> &RuleBook {
        &self.book
    }

    /// The causes that stand at present.
    pub fn causes(&self) -> &[Cause] {
        self.episode.as_ref().map_or(&[], |e| &e.causes)
    }

    /// The present trouble, if there is any.
    #[must_use]
    pub fn episode(&self) -> Option<&Episode> {
        self.episode.as_ref()
    }

    /// Extra requests made for the present trouble.
    #[must_use]
    pub fn extra_requests(&self) -> u32 {
        self.episode.as_ref().map_or(0, |e| e.used)
    }

    /// Nothing is suspected, asked or open.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let surveyed = self.surveys.iter().any(|survey| survey.going);
        self.episode.is_none() && !surveyed && self.suspicions.iter().all(Option::is_none)
    }

    /// How often a cell passed, and how often it failed as `kind` does, since a time, seconds.
    #[must_use]
    pub fn outcomes(&self, cell: usize, kind: Kind, since: f64) -> (u32, u32) {
        let recent = self.history.iter().rev().take_while(|r| r.at >= since);
        let of_cell = recent.filter(|r| r.cell() == cell);
        of_cell.fold((0, 0), |(passed, failed), r| {
            let alike = r.class.failed() && r.class.mechanism() == Class::of(kind).mechanism();
            (
                passed + u32::from(!r.class.failed()),
                failed + u32::from(alike),
            )
        })
    }

    /// Whether a question is open: what fails now may belong to it.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.undecided()
    }

    /// The incident that the open question belongs to, if there is one.
    #[must_use]
    pub fn asking(&self) -> Option<u32> {
        self.episode.as_ref()?.question.as_ref()?.incident
    }

    /// Lets go of an incident that is over, or somebody else's, as its keeper knows.
    pub fn let_go(&mut self, incident: u32) {
        let Some(episode) = &mut self.episode else {
            return;
        };
        episode.causes.retain(|cause| cause.incident != incident);
        let asking = episode.question.as_ref().map(|question| question.incident);
        if asking == Some(Some(incident)) {
            episode.question = None;
        }
        if episode.causes.is_empty() && episode.question.is_none() {
            self.episode = None;
            self.calm();
        }
    }

    /// Takes up an incident of a former life: its cause stands, or its question is asked again.
    ///
    /// `now` is when, `onset` when it began, both seconds; `failing` are its cells with their last verdicts.
    pub fn resume(
        &mut self,
        (onset, now): (f64, f64),
        named: Option<(usize, f64)>,
        failing: &[(usize, Kind)],
        used: u32,
    ) -> u32 {
        let incident = self.next_incident;
        self.next_incident += 1;
        for (cell, kind) in failing {
            self.record(&Seen {
                at: now,
                cell: *cell,
                kind: *kind,
                pop: None,
                host_requests: 0,
                egress_requests: 0,
                purpose: Purpose::Schedule,
                hint: None,
                stands: false,
                reached: false,
            });
        }
        let mut shown = [0; CLASSES];
        for (_, kind) in failing {
            shown[Class::of(*kind).index()] += 1;
        }
        let budget = self.options.budget;
        let episode = self
            .episode
            .get_or_insert_with(|| Episode::new(onset, now, used.min(budget), budget));
        match named {
            Some((rule, probability)) => episode.causes.push(Cause {
                incident,
                group: self.book.rules[rule].group,
                rule,
                probability,
                share: 1.0,
                always: 1.0,
                rate: 1.0,
                onset,
                claimed_at: now,
                last_failed: now,
                passes: 0,
                last_passed: now,
                in_a_row: 0,
                row_began: now,
                turns: 0,
                passed: 0,
                failed: 0,
                lets_its_own_through: false,
                fixed: true,
                reviewed: false,
                special: self.book.rules[rule].special,
                shown,
            }),
            None => self.open_question(now, now, Some(incident)),
        }
        incident
    }

    /// Goes on in a universe with the same cells and other points of presence.
    ///
    /// Only while [`Engine::is_quiet`]; what was learned of the background is kept.
    pub fn move_to(&mut self, universe: Arc<Universe>, book: Arc<RuleBook>) {
        self.rates = Rates::new(&universe);
        self.changes = Changes::new(self.rates.keys());
        self.history.clear();
        (self.universe, self.book) = (universe, book);
    }

    /// Whether a request that was asked for is still worth making.
    #[must_use]
    pub fn still_wanted(&self, ask: &Ask) -> bool {
        match ask.purpose {
            Purpose::Confirm => {
                let host = usize::from(self.universe.host_of(ask.cell));
                match &self.suspicions[host] {
                    Some(suspicion) => suspicion.cell == ask.cell,
                    None => ask.reason == Reason::FailsAtTimes && self.surveys[host].going,
                }
            }
            Purpose::Counter => self
                .episode
                .as_ref()
                .and_then(|e| e.question.as_ref())
                .is_some_and(|q| q.pending.is_some()),
            _ => true,
        }
    }

    /// Takes in one observation.
    pub fn observe(&mut self, seen: &Seen) -> Vec<Effect> {
        let record = self.record(seen);
        let (cell, at, class) = (record.cell(), record.at, record.class);
        let host = self.universe.host_of(cell);
        let egress = self.universe.cells[cell].egress;
        if seen.purpose == Purpose::Counter
            && let Some(question) = self.question_mut()
        {
            question.pending = None;
        }
        if self.in_window(host, at) {
            self.suppressed += u64::from(class.failed());
            return Vec::new();
        }
        self.count_refusal(&record);
        let explained = self.explain(&record);
        let mut undecided = self.undecided();
        if !explained && !undecided {
            self.add_up(&record);
            undecided = self.undecided();
        }
        if class.is_weak() || !class.failed() {
            let rate = self.baseline.rates(egress, host)[0];
            self.weather.see(at, (host, egress), class.failed(), rate);
        }
        // What was asked because something failed fails more often than the rest.
        if self.episode.is_none() && seen.purpose == Purpose::Schedule {
            self.baseline.learn(at, egress, host, class);
        }
        if seen.stands && record.class.failed() && !explained && !undecided {
            self.confirm(at, at, 0);
        } else {
            self.suspect(&record, explained || undecided);
        }
        self.survey(&record);
        self.step(at);
        std::mem::take(&mut self.effects)
    }

    /// Keeps the observation, with its probability under mere noise.
    pub(super) fn record(&mut self, seen: &Seen) -> Record {
        let class = Class::of(seen.kind);
        let record = Record {
            at: seen.at,
            traits: Traits {
                cell: seen.cell as u32,
                pop: seen.pop,
                egress_rate: rate_step(seen.egress_requests),
                host_rate: rate_step(seen.host_requests),
            },
            class,
            // A bot check is put before whoever is suspected, for whatever reason: its hint names nobody.
            hint: seen
                .hint
                .filter(|_| class.failed() && class != Class::EdgeChallenge),
            purpose: seen.purpose,
            host_requests: seen.host_requests,
            egress_requests: seen.egress_requests,
            noise: self.noise(seen.at, seen.cell, class),
            reached: (seen.reached && class.failed())
                .then(|| self.noise(seen.at, seen.cell, Class::Pass)),
        };
        self.history.push_back(record.clone());
        while self.history.len() > HISTORY_MAX
            || self
                .history
                .front()
                .is_some_and(|r| r.at < seen.at - HISTORY_S)
        {
            self.history.pop_front();
        }
        record
    }

    /// Log probability of an outcome if nothing but noise acts on the cell.
    fn noise(&self, at: f64, cell: usize, class: Class) -> f64 {
        let host = self.universe.host_of(cell);
        let egress = self.universe.cells[cell].egress;
        let rates = self.baseline.rates(egress, host);
        let burst = self.weather.fails(at, host, egress);
        if !class.failed() {
            return (1.0 - (rates[0] + burst).min(FAILS_AT_MOST)).ln();
        }
        let mut rate = rates[class.index()];
        if class.is_weak() {
            rate += burst * class.burst_share();
        }
        rate.ln()
    }

    fn in_window(&self, host: u16, at: f64) -> bool {
        self.windows
            .iter()
            .any(|(h, from, to)| *h == host && (*from..=to + WINDOW_TAIL_S).contains(&at))
    }

    pub(super) fn question_mut(&mut self) -> Option<&mut super::episode::Question> {
        self.episode.as_mut().and_then(|e| e.question.as_mut())
    }

    fn undecided(&self) -> bool {
        self.episode.as_ref().is_some_and(|e| e.question.is_some())
    }

    /// Keeps count of what the partner says to each credential.
    fn count_refusal(&mut self, record: &Record) {
        if let Some(episode) = &mut self.episode {
            episode.count_refusal(&self.universe, record);
        }
    }

    /// Credits the observation to the causes that match it and to the open question.
    ///
    /// Returns whether a cause explains it.
    fn explain(&mut self, record: &Record) -> bool {
        let Some(mut episode) = self.episode.take() else {
            return false;
        };
        let mut explained = false;
        let mut fixed = false;
        let mut contradicted = false;
        let pause_is_over = episode.pauses.see(record);
        let whose = self.whose(&episode, record);
        let matches = |cause: &Cause| self.book.pattern(cause.rule).matches(&record.traits);
        let mut alone = episode.causes.iter_mut().filter(|cause| matches(cause));
        if let (Some(cause), None) = (alone.next(), alone.next()) {
            cause.lets_its_own_through = !record.class.failed();
        }
        for (place, cause) in episode.causes.iter_mut().enumerate() {
            let its = !record.class.failed() || cause.may_fail_as(record.class);
            if its && self.book.pattern(cause.rule).matches(&record.traits) {
                explained = true;
                fixed |= cause.fixed;
                if !record.class.failed() || whose.is_none_or(|whose| whose == place) {
                    contradicted |= cause.take(record) && !cause.reviewed;
                    if cause.grows_to_all() {
                        self.effects.push(Effect::Revised(Box::new(cause.clone())));
                    }
                }
            }
        }
        if let Some(expected) = self.expected(&episode, record) {
            let keys = self.rates.keys_of(record.cell(), record.traits.pop);
            self.changes.observe(keys, record, expected);
        }
        if let Some(question) = &mut episode.question
            && (!(explained && fixed) || question.evidence.is_pass(record))
        {
            question.evidence.add(&self.book, record);
            if record.class.failed() && !question.evidence.is_pass(record) {
                question.last_failed = record.at;
            }
        }
        if pause_is_over {
            self.see_anew(&mut episode);
        }
        self.turn_to_what_fails(&mut episode, record);
        let mut recheck = false;
        if episode.question.is_none() {
            episode.since_closed += 1;
            recheck = matches!(episode.since_closed, 30 | 80 | 160 | 320)
                && episode
                    .causes
                    .iter()
                    .any(|c| !c.always_strikes() && !c.is_rate());
        }
        self.episode = Some(episode);
        if !self.look_anew(record.at) && (contradicted || recheck) {
            self.recheck(record.at);
        }
        explained
    }

    /// What the causes that stand let expect of this run, or the likeliest one of an open question.
    fn expected(&self, episode: &Episode, record: &Record) -> Option<Expected> {
        let matches = |rule: usize| self.book.pattern(rule).matches(&record.traits);
        let standing = episode
            .causes
            .iter()
            .filter(|c| !c.is_rate() && matches(c.rule))
            .map(|c| Expected {
                group: c.group,
                rate: c.rate,
                shows: c.shows(record.class),
                last_failed: c.last_failed,
            })
            .max_by(|a, b| {
                (a.shows, a.rate)
                    .partial_cmp(&(b.shows, b.rate))
                    .unwrap_or(Ordering::Equal)
            });
        let likeliest = || {
            let question = episode.question.as_ref().filter(|q| q.is_old(record.at))?;
            let mut explanations = question.posterior.explanations.iter();
            let best = explanations.next().filter(|e| e.probability >= LIKELY)?;
            let rule = best.rules().iter().find(|r| matches(**r))?;
            let rule = &self.book.rules[*rule];
            let tally = &question.evidence.tallies[rule.pattern];
            (rule.natures.first() != Nature::Rate).then(|| Expected {
                group: rule.group,
                rate: self.search.rate(tally),
                shows: has_shown(&tally.counts, record.class),
                last_failed: question.last_failed,
            })
        };
        standing.or_else(likeliest)
    }

    /// The cause that a failure is put down to, where several match: one that shows such failures, and does not let through
    /// what it alone would hit; the narrowest.
    fn whose(&self, episode: &Episode, record: &Record) -> Option<usize> {
        let matching = episode.causes.iter().enumerate();
        matching
            .filter(|(_, c)| self.book.pattern(c.rule).matches(&record.traits))
            .min_by_key(|(_, c)| {
                let over = c.always_strikes() && c.lets_its_own_through;
                (!c.shows(record.class), over, self.book.pattern(c.rule).size)
            })
            .map(|(place, _)| place)
    }

    /// Adds up what speaks for a share of failing requests.
    fn add_up(&mut self, record: &Record) {
        let (cell, class) = (record.cell(), record.class);
        let egress = self.universe.cells[cell].egress;
        let background = self.baseline.rates(egress, self.universe.host_of(cell));
        let met = (cell, record.traits.pop);
        let alarms = self.rates.observe(record.at, met, class, &background);
        // The excursion may have begun with an unrelated failure: the onset is the first of its kind.
        let counts = |r: &Record, key| self.rates.counts_for(key, r.cell(), r.traits.pop);
        let onset = alarms
            .into_iter()
            .map(|alarm| {
                self.history
                    .iter()
                    .find(|r| r.at >= alarm.since && r.class.is_like(class) && counts(r, alarm.key))
                    .map_or(alarm.since, |r| r.at)
            })
            .reduce(f64::min)
            .filter(|onset| record.at - onset >= class.tier().span_s());
        if let Some(onset) = onset {
            self.confirm(record.at, onset, 0);
        }
    }

    /// Opens, feeds, confirms or drops the suspicion of a host.
    fn suspect(&mut self, record: &Record, accounted_for: bool) {
        let cell = record.cell();
        let host = self.universe.host_of(cell);
        let egress = self.universe.cells[cell].egress;
        let at = usize::from(host);
        let rates = self.baseline.rates(egress, host);
        let endpoint = self.universe.cells[cell].endpoint;
        let known = Known {
            quick: self.universe.endpoints[usize::from(endpoint)].quick,
            returns: record.class.failed() && self.was_over_lately(record),
        };
        self.suspicions[at].take_if(|suspicion| suspicion.is_forgotten(record.at));
        if let Some(suspicion) = &mut self.suspicions[at] {
            match suspicion.weigh(record, rates[0], known) {
                Judgement::Undecided => {
                    if cell == suspicion.cell {
                        self.ask_again(at, record.at);
                    }
                }
                Judgement::Dismissed => {
                    self.suspicions[at] = None;
                    self.ask_those_that_waited(record.at);
                }
                Judgement::Confirmed => {
                    let (since, asked) = (suspicion.since, suspicion.asked);
                    self.confirm(record.at, since, asked as u32);
                }
            }
        } else if record.class.failed() && !accounted_for && !self.undecided() {
            let rate = rates[record.class.index()];
            self.suspicions[at] = Some(Suspicion::new(record, rate, known));
            self.ask_again(at, record.at);
        }
    }

    /// Whether a run failed as a cause did that ended not long ago: what comes and goes is known when it comes back.
    fn was_over_lately(&self, record: &Record) -> bool {
        self.lately.iter().any(|cause| {
            let since = record.at - cause.last_failed;
            since <= LATELY_S
                && cause.shows(record.class)
                && self.book.pattern(cause.rule).matches(&record.traits)
        })
    }

    /// Asks a few more times where a share of the requests seems to fail: soon it is certain, or not so.
    fn survey(&mut self, record: &Record) {
        let host = self.universe.host_of(record.cell());
        let (at, now) = (usize::from(host), record.at);
        let busy = self.suspicions[at].is_some() || self.undecided() || !self.options.may_ask;
        let survey = &mut self.surveys[at];
        if record.class.failed() {
            survey.until = now + SURVEY_S;
        }
        survey.going = now <= survey.until;
        if !survey.going || busy || now < survey.next_at {
            return;
        }
        let egress = self.universe.cells[record.cell()].egress;
        let background = self.baseline.rates(egress, host);
        let pop = record.traits.pop;
        let Some(near) = self.rates.nearest(record.cell(), pop, &background) else {
            if record.class.failed() || record.purpose == Purpose::Confirm {
                self.surveys[at].until = now;
            }
            return;
        };
        let masked = self.episode.as_ref().map(|episode| self.masked(episode));
        let asks_as_somebody = |cell: usize| {
            let endpoint = self.universe.cells[cell].endpoint;
            self.universe.endpoints[usize::from(endpoint)].auth
        };
        let cells: Vec<usize> = (0..self.universe.cells.len())
            .filter(|c| self.rates.counts_for(near.key, *c, pop))
            .filter(|c| self.universe.host_of(*c) == host && !self.universe.is_control(*c))
            // An account that may be what is refused isn't asked in a row, so that it doesn't lock.
            .filter(|c| !near.denied || !asks_as_somebody(*c))
            .filter(|c| masked.as_ref().is_none_or(|masked| !masked.contains(*c)))
            .collect();
        let survey = &mut self.surveys[at];
        // A stride that meets all of them, in no order that a level could follow.
        survey.turn = survey.turn.wrapping_add(7919);
        let Some(cell) = cells.get(survey.turn % cells.len().max(1)).copied() else {
            return;
        };
        survey.next_at = now + SURVEY_GAP_S;
        self.effects.push(Effect::Ask(Ask {
            cell,
            at: now + SURVEY_GAP_S,
            purpose: Purpose::Confirm,
            reason: Reason::FailsAtTimes,
            incident: None,
        }));
    }

    fn ask_again(&mut self, host: usize, now: f64) {
        if !self.options.may_ask || self.waits_for_another(host) {
            return;
        }
        if let Some(suspicion) = &mut self.suspicions[host]
            && let Some(at) = suspicion.next_ask(now)
        {
            self.effects.push(Effect::Ask(Ask {
                cell: suspicion.cell,
                at,
                purpose: Purpose::Confirm,
                reason: Reason::FailedOnce,
                incident: None,
            }));
        }
    }

    /// Whether the account that a host refuses is being asked again at another host of the provider: it may be asked
    /// seldom, and better elsewhere than twice for one answer.
    fn waits_for_another(&self, host: usize) -> bool {
        let account = |suspicion: &Suspicion| {
            let cell = &self.universe.cells[suspicion.cell];
            let endpoint = &self.universe.endpoints[usize::from(cell.endpoint)];
            let denied = endpoint.auth && suspicion.class == Class::OriginDenied;
            denied.then_some((endpoint.provider, cell.credential))
        };
        let Some(own) = self.suspicions[host].as_ref().and_then(account) else {
            return false;
        };
        let others = self.suspicions.iter().enumerate();
        others
            .filter(|(other, _)| *other != host)
            .filter_map(|(_, suspicion)| suspicion.as_ref())
            .any(|other| other.asked > 0 && account(other) == Some(own))
    }

    fn ask_those_that_waited(&mut self, now: f64) {
        for host in 0..self.suspicions.len() {
            if self.suspicions[host].as_ref().is_some_and(|s| s.asked == 0) {
                self.ask_again(host, now);
            }
        }
    }

    /// A fault is certain: opens an episode, or another question in the present one.
    fn confirm(&mut self, now: f64, onset: f64, asked: u32) {
        self.rates.clear();
        self.suspicions.fill(None);
        if let Some(episode) = &mut self.episode {
            episode.widen(self.options.budget);
        } else {
            self.baseline.forget_recent();
            let incident = self.new_incident(onset);
            self.episode = Some(Episode::new(onset, now, asked, self.options.budget));
            self.open_question(now, onset, Some(incident));
            return;
        }
        self.open_question(now, onset, None);
    }

    pub(super) fn new_incident(&mut self, onset: f64) -> u32 {
        let incident = self.next_incident;
        self.next_incident += 1;
        self.effects.push(Effect::Opened { incident, onset });
        incident
    }

    /// Forgets suspicions, when the trouble they may have come from is over.
    pub(super) fn calm(&mut self) {
        self.suspicions.fill(None);
        self.changes.clear();
        self.rates.clear();
    }
}

impl Cause {
    /// Takes in a matching observation; returns whether it contradicts the cause.
    fn take(&mut self, record: &Record) -> bool {
        if !record.class.failed() {
            self.passes += 1;
            self.passed += 1;
            self.last_passed = record.at;
            return false;
        }
        if self.in_a_row == 0 || self.passes > 0 {
            (self.in_a_row, self.row_began) = (0, record.at);
            self.turns += 1;
        }
        self.in_a_row += 1;
        self.passes = 0;
        self.last_failed = record.at;
        self.failed += 1;
        self.is_contradicted()
    }

    /// Takes it for one that always strikes, when it has for so long that a share can't be; whether it does.
    fn grows_to_all(&mut self) -> bool {
        let (chance, least_s) = NO_SHARE;
        let lasts = self.last_failed - self.row_began >= least_s;
        let all = f64::from(self.in_a_row) * self.rate.min(STRIKES_AT_MOST).ln() < chance.ln();
        let grows = !self.always_strikes() && self.special.is_none() && lasts && all;
        if grows {
            (self.always, self.rate) = (STRIKES_AT_MOST, 1.0);
            (self.passed, self.failed, self.turns) = (0, self.in_a_row, 1);
        }
        grows
    }

    /// Whether too much has passed in between for a cause that always strikes.
    pub(super) fn is_contradicted(&self) -> bool {
        let (share, least) = CONTRADICTED;
        self.always_strikes()
            && !self.is_rate()
            && self.passed >= least
            && f64::from(self.passed) > share * f64::from(self.passed + self.failed)
    }
}

impl Episode {
    pub(super) fn count_refusal(&mut self, universe: &Universe, record: &Record) {
        let cell = &universe.cells[record.cell()];
        let endpoint = &universe.endpoints[usize::from(cell.endpoint)];
        if endpoint.auth {
            let key = (endpoint.provider, cell.credential);
            self.refused.entry(key).or_default().add(record);
        }
    }

    /// Whether another extra request to this cell could lock an account.
    pub(super) fn is_spent(&self, universe: &Universe, cell: usize) -> bool {
        let cell = &universe.cells[cell];
        let endpoint = &universe.endpoints[usize::from(cell.endpoint)];
        endpoint.auth
            && self
                .refused
                .get(&(endpoint.provider, cell.credential))
                .is_some_and(Refusals::is_spent)
    }
}

impl Refusals {
    fn add(&mut self, record: &Record) {
        match record.class {
            Class::OriginDenied => self.denied += 1,
            Class::Pass => self.passed += 1,
            _ => {}
        }
        if matches!(record.purpose, Purpose::Confirm | Purpose::Counter) {
            self.extra += 1;
        }
    }

    fn is_spent(&self) -> bool {
        const EXTRA_MAX: u32 = 3;
        self.denied > 0 && self.passed == 0 && self.extra >= EXTRA_MAX
    }
}
