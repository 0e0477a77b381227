//! What has been seen since an onset, as the counts that the likelihood needs.
//!
//! An observation is added once to the tally of every pattern that it belongs to, so looking at a
//! single cause costs nothing but table look-ups. Explanations of several causes need to know which
//! observations two patterns share; for them equal observations are kept as one column.

use std::collections::BTreeMap;

use super::class::{Class, Mechanism};
use super::likelihood::Counts;
use super::rules::{Nature, RuleBook, Traits};
use crate::domain::index::Index;
use crate::domain::observation::Purpose;

/// Observations that no pattern can tell apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub traits: Traits,
    pub class: Class,
    pub hint: Option<Nature>,
    pub count: u32,
    /// Sum of the log probabilities under mere noise.
    pub noise: f64,
}

/// What a pattern matches.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    pub counts: Counts,
    /// Log probability of the matched observations under mere noise.
    pub noise: f64,
    /// The part of `noise` that comes from failures.
    pub noise_failed: f64,
    /// Failures for which the edge itself named a factor, by nature.
    pub hints: [u32; Nature::ALL.len()],
}

impl Tally {
    pub fn add(&mut self, class: Class, hint: Option<Nature>, count: u32, noise: f64) {
        self.counts[class.index()] += count;
        self.noise += noise;
        if class.failed() {
            self.noise_failed += noise;
            if let Some(nature) = hint {
                self.hints[nature as usize] += count;
            }
        }
    }

    #[must_use]
    pub fn failed(&self) -> u32 {
        self.counts[1..].iter().sum()
    }

    #[must_use]
    pub fn passed(&self) -> u32 {
        self.counts[0]
    }
}

/// How often one cell passed and failed, and when last.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Outcomes {
    pub passed: u32,
    pub failed: u32,
    /// Seconds; meaningless while `passed` is 0.
    pub passed_at: f64,
    /// Seconds; meaningless while `failed` is 0.
    pub failed_at: f64,
}

/// One observation as the diagnosis keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Seconds.
    pub at: f64,
    pub traits: Traits,
    pub class: Class,
    pub hint: Option<Nature>,
    pub purpose: Purpose,
    /// Requests of ours in the 60 s before it.
    pub host_requests: u32,
    pub egress_requests: u32,
    /// Log probability under mere noise.
    pub noise: f64,
    /// The same of a pass, where the application's own error shows that the request got through to it.
    pub reached: Option<f64>,
}

impl Record {
    #[must_use]
    pub fn cell(&self) -> usize {
        self.traits.cell as usize
    }
}

/// An outage brings some refusals too; so many errors of the application's own for each refusal, and it is one.
const OWN_ERRORS_MAX: u32 = 4;

/// Where what fails was stopped: before the application, in it by proof, or nobody knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sides {
    refused: u32,
    own: u32,
    other: u32,
}

impl Sides {
    pub fn add(&mut self, record: &Record) {
        if !record.class.failed() {
            return;
        }
        match record.class.mechanism() {
            _ if record.reached.is_some() => self.own += 1,
            Mechanism::Edge => self.refused += 1,
            _ => self.other += 1,
        }
    }

    /// Whether it is mostly refused before the application, so that its own errors lie behind that.
    #[must_use]
    pub fn are_of_edge(self) -> bool {
        self.refused > self.other && OWN_ERRORS_MAX.saturating_mul(self.refused) >= self.own
    }
}

/// Everything that counts for one investigation.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    pub columns: Vec<Column>,
    index: Index<(Traits, Class, Option<Nature>), usize>,
    /// By pattern.
    pub tallies: Vec<Tally>,
    pub total: Tally,
    /// The cells that were asked.
    pub cells: BTreeMap<usize, Outcomes>,
    /// Observations in all.
    pub seen: usize,
    /// Of what asks for an explanation.
    pub sides: Sides,
    /// Whether it is about what is refused before the application: its own error counts as a pass then.
    pub of_edge: bool,
}

impl Evidence {
    #[must_use]
    pub fn new(book: &RuleBook) -> Self {
        Self {
            tallies: vec![Tally::default(); book.patterns.len()],
            ..Self::default()
        }
    }

    /// Of a question about these records.
    #[must_use]
    pub fn about<'r>(book: &RuleBook, records: impl Iterator<Item = &'r Record>) -> Self {
        let mut sides = Sides::default();
        records.for_each(|record| sides.add(record));
        Self {
            sides,
            of_edge: sides.are_of_edge(),
            ..Self::new(book)
        }
    }

    /// Whether a record speaks as a pass does: one, or an error that lies behind what is asked about.
    #[must_use]
    pub fn is_pass(&self, record: &Record) -> bool {
        !record.class.failed() || (self.of_edge && record.reached.is_some())
    }

    pub fn add(&mut self, book: &RuleBook, record: &Record) {
        let (class, hint, noise) = match record.reached {
            Some(noise) if self.of_edge => (Class::Pass, None, noise),
            _ => (record.class, record.hint, record.noise),
        };
        let Record { traits, at, .. } = record;
        for pattern in book.patterns_of(traits) {
            self.tallies[pattern].add(class, hint, 1, noise);
        }
        self.total.add(class, hint, 1, noise);
        let next = self.columns.len();
        let column = *self.index.entry((*traits, class, hint)).or_insert(next);
        if column == next {
            self.columns.push(Column {
                traits: *traits,
                class,
                hint,
                count: 0,
                noise: 0.0,
            });
        }
        self.columns[column].count += 1;
        self.columns[column].noise += noise;
        let cell = self.cells.entry(record.cell()).or_default();
        if class.failed() {
            cell.failed += 1;
            cell.failed_at = *at;
        } else {
            cell.passed += 1;
            cell.passed_at = *at;
        }
        self.seen += 1;
    }
}
