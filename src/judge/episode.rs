//! What is known of the present trouble: the causes that were named, and the open question.
//!
//! An episode lasts from the first confirmed suspicion until every cause has recovered. While a question
//! is open, everything since its onset that the fixed causes don't explain is its evidence. A cause that
//! has been named explains its failures away, so that a later one can be found behind it.

use std::collections::BTreeMap;

use super::class::{Class, Mechanism};
use super::evidence::Evidence;
use super::likelihood::{self, Counts, has_shown};
use super::pauses::Pauses;
use super::posterior::Posterior;
use super::rules::{Nature, Special};

/// A cause that was named.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    pub incident: u32,
    pub group: usize,
    pub rule: usize,
    /// Probability that the group is among the causes.
    pub probability: f64,
    /// Share of the named nature among the group's aliases.
    pub share: f64,
    /// Probability that it always strikes.
    pub always: f64,
    /// Share of matching requests that fail.
    pub rate: f64,
    /// Seconds.
    pub onset: f64,
    pub claimed_at: f64,
    pub last_failed: f64,
    /// Since the last failure.
    pub passes: u32,
    pub last_passed: f64,
    /// Failures since the last pass, and when the first of them was.
    pub in_a_row: u32,
    pub row_began: f64,
    /// How often a failure came after a pass.
    pub turns: u32,
    pub passed: u32,
    pub failed: u32,
    /// What it alone would hit passed last.
    pub lets_its_own_through: bool,
    /// Its question is closed: its cells are evidence for nothing else.
    pub fixed: bool,
    /// It may have grown or changed: it stands until another takes its place.
    pub reviewed: bool,
    pub special: Option<Special>,
    /// Failures that made it known, by class.
    pub shown: Counts,
}

impl Cause {
    /// Whether failures of this class are known of it; weak ones are not told apart.
    #[must_use]
    pub fn shows(&self, class: Class) -> bool {
        has_shown(&self.shown, class)
    }

    /// Whether most of its failures point at this mechanism.
    pub(super) fn is_mostly(&self, mechanism: Mechanism) -> bool {
        let alike = Class::FAILURES
            .into_iter()
            .filter(|class| class.mechanism() == mechanism);
        let alike: u32 = alike.map(|class| self.shown[class.index()]).sum();
        2 * alike > likelihood::failures(&self.shown)
    }

    /// Takes in that it was found again, by these failures.
    pub(super) fn learn(&mut self, shown: &Counts) {
        for (mine, more) in self.shown.iter_mut().zip(shown) {
            *mine = (*mine).max(*more);
        }
    }

    /// Whether it may be what made a request fail so: by a mechanism that it has shown.
    #[must_use]
    pub fn may_fail_as(&self, class: Class) -> bool {
        let shown = |known: Class| self.shown[known.index()] > 0 && self.shows(known);
        let alike = |known: Class| known.mechanism() == class.mechanism() && shown(known);
        self.shows(class) || Class::FAILURES.into_iter().any(alike)
    }

    #[must_use]
    pub fn is_rate(&self) -> bool {
        matches!(self.special, Some(Special::Rate { .. }))
    }

    #[must_use]
    pub fn is_pop(&self) -> bool {
        matches!(self.special, Some(Special::Pop(_)))
    }

    #[must_use]
    pub fn always_strikes(&self) -> bool {
        self.always > 0.5
    }

    /// Whether a request to its cells is sure to fail, whatever else is so.
    #[must_use]
    pub fn blocks_its_cells(&self) -> bool {
        self.always_strikes() && self.special.is_none()
    }

    /// Whether failures of its cells come in rows, and passes come in rows.
    ///
    /// In a pause every level passes, whichever is refused; so what passed then speaks against none.
    #[must_use]
    pub fn comes_and_goes(&self) -> bool {
        let (passed, failed) = (f64::from(self.passed), f64::from(self.failed));
        let by_chance = passed * failed / (passed + failed).max(1.0);
        f64::from(self.turns) < IN_ROWS * by_chance
    }

    /// Whether enough has passed since the last failure to call it over.
    #[must_use]
    pub fn recovered(&self) -> bool {
        let needed = if self.is_rate() {
            RATE_PASSES
        } else if self.always_strikes() {
            ALWAYS_PASSES
        } else {
            let passes = (1.0 - self.rate.min(0.95)).max(0.02);
            (RECOVERED_BY_LUCK.ln() / passes.ln()).ceil().max(8.0) as u32
        };
        self.passes >= needed && self.last_passed - self.last_failed >= QUIET_S
    }
}

/// Turns from passes to failures, as a share of those that chance would make, below which they come in rows.
const IN_ROWS: f64 = 0.25;
const ALWAYS_PASSES: u32 = 3;
const RATE_PASSES: u32 = 12;
/// Chance that an intermittent cause is only pausing.
const RECOVERED_BY_LUCK: f64 = 0.001;
/// Questions that add to the budget.
const WIDENINGS_MAX: u32 = 2;
/// Seconds without a failure before anything is called over.
const QUIET_S: f64 = 60.0;

/// A group whose aliases are of different nature: nothing that may be asked can tell them apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Ambiguity {
    pub group: usize,
    pub probability: f64,
    /// `(rule, nature, share)`: the best rule of each nature, largest share first.
    pub among: Vec<(usize, Nature, f64)>,
}

/// A run that would complete a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub cell: usize,
    /// The rule that would be claimed.
    pub rule: usize,
    /// Only after a minute in which we asked little.
    pub quietly: bool,
}

/// A question that is open: what is the cause?
#[derive(Debug, Clone)]
pub struct Question {
    /// The incident that it belongs to; none while it is unclear whether there is a new one.
    pub incident: Option<u32>,
    pub onset: f64,
    pub opened_at: f64,
    pub evidence: Evidence,
    pub asks: BTreeMap<usize, u32>,
    /// When the outstanding counterfactual request was wanted.
    pub pending: Option<f64>,
    pub posterior: Posterior,
    pub wanted: Vec<Wanted>,
    pub ambiguous: Vec<Ambiguity>,
    /// Probability of the best set of causes.
    pub best: f64,
    /// Observations at the last look.
    pub looked_at: usize,
    /// Scheduled requests that might have been re-aimed.
    pub turns: u32,
    pub last_failed: f64,
}

/// From this age on a question has an answer that holds most of the time, seconds.
const OLD_S: f64 = 300.0;

impl Question {
    /// Whether it has been open so long that the world may have changed under it.
    #[must_use]
    pub fn is_old(&self, now: f64) -> bool {
        now - self.opened_at >= OLD_S
    }

    #[must_use]
    pub fn new(incident: Option<u32>, onset: f64, now: f64, evidence: Evidence) -> Self {
        Self {
            incident,
            onset,
            opened_at: now,
            evidence,
            asks: BTreeMap::new(),
            pending: None,
            posterior: Posterior::default(),
            wanted: Vec::new(),
            ambiguous: Vec::new(),
            best: 0.0,
            looked_at: 0,
            turns: 0,
            last_failed: now,
        }
    }
}

/// The present trouble.
#[derive(Debug, Clone)]
pub struct Episode {
    pub onset: f64,
    /// From when on what was seen is of the present: the onset, or the last change.
    pub since: f64,
    pub opened_at: f64,
    pub causes: Vec<Cause>,
    pub question: Option<Question>,
    /// What was seen in them counts for no question.
    pub pauses: Pauses,
    /// Extra requests so far, and how many there may be.
    pub used: u32,
    pub budget: u32,
    /// Questions after the first.
    pub widened: u32,
    /// Observations since the last question was closed.
    pub since_closed: u32,
    /// Rounds for which an endpoint has had its sentinel, by endpoint and cause group.
    pub sentinels: BTreeMap<(u16, usize), u64>,
    /// The round in which a refused cell was asked itself last.
    pub asked: BTreeMap<usize, u64>,
    /// Extra requests by credential and provider, to lock no account.
    pub refused: BTreeMap<(u16, u16), Refusals>,
}

impl Episode {
    pub(super) fn new(onset: f64, now: f64, used: u32, budget: u32) -> Self {
        Self {
            onset,
            since: onset,
            opened_at: now,
            causes: Vec::new(),
            question: None,
            pauses: Pauses::default(),
            used,
            budget,
            widened: 0,
            since_closed: 0,
            sentinels: BTreeMap::new(),
            asked: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Makes room for another cause; what was named so far is fixed.
    pub(super) fn widen(&mut self, budget: u32) {
        self.widened += 1;
        if self.widened <= WIDENINGS_MAX {
            self.budget = (self.budget.max(self.used) + budget / 2).min(2 * budget);
        }
        for cause in &mut self.causes {
            cause.fixed = true;
        }
    }
}

/// What the partner said to one credential since the onset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals {
    pub denied: u32,
    pub passed: u32,
    pub extra: u32,
}

impl Cause {
    /// How often a claim like this one is right, between 0 and 1.
    #[must_use]
    pub fn confidence(&self) -> f64 {
        self.probability * self.share
    }
}
