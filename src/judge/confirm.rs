//! Tells weather from fault: is the failure of one cell here to stay?
//!
//! A failing run that nothing known explains opens a suspicion for its host. The same cell is asked
//! again at growing gaps, and each answer moves the odds of "a fault" against "noise that comes in
//! bursts" (Wald's sequential test). Failures of other cells of the host count too.

use std::collections::BTreeSet;

use super::class::{Class, Tier};
use super::evidence::Record;

/// Chance that a request fails while a fault lasts.
pub(super) const FAULT_FAILS: f64 = 0.96;
/// Faults that begin, per request.
pub(super) const ONSETS: f64 = 2e-6;
/// The same, of a fault that was over lately.
const RETURNS: f64 = 2e-3;
/// Lowest prior log odds: even the noisiest class may be confirmed.
const PRIOR_MIN: f64 = -9.0;
/// Odds of a fault at which it is confirmed.
pub(super) const CONFIRM_ODDS: f64 = 12.0;
/// Log likelihood ratio at which a suspicion is dropped; one pass is enough.
const DISMISS: f64 = -2.2;
/// What the first signed failure of another cell adds to the log odds.
const ANOTHER_CELL: f64 = 2.0;
/// Other cells speak for a fault while at least this share of their runs fails.
const OTHERS_FAIL: f64 = 0.1;
/// Share of [`super::class::Tier::span_s`] that must lie between first and last failure.
pub(super) const SPAN_SHARE: f64 = 0.7;
/// The same, where it is a fault that was over lately.
const SPAN_SHARE_OF_A_RETURN: f64 = 0.2;
/// So many cells that are refused together are no burst of one, once the shortest burst is over.
const TOGETHER: usize = 4;
/// And at least this share of the runs of other cells fails.
const TOGETHER_FAIL: f64 = 0.8;
/// So long after the last request was due a suspicion is given up, seconds.
const FORGOTTEN_S: f64 = 3600.0;
/// Requests per suspicion.
const ASKS_MAX: usize = 9;

/// What is known of a run beside its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// The probe's second signed refusal is told.
    pub quick: bool,
    /// It failed as a fault did that was over lately.
    pub returns: bool,
}

/// A host under suspicion.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspicion {
    /// The cell that failed first and is asked again.
    pub cell: usize,
    pub class: Class,
    pub since: f64,
    /// Prior log odds of a fault.
    prior: f64,
    /// Log likelihood ratio of what came after the first failure.
    ratio: f64,
    last_failed: f64,
    pub asked: usize,
    /// When the last request that was asked for is due.
    due: f64,
    /// Signed refusals of probes that are told at the second one, however soon it may be over.
    quick: usize,
    /// It looks like a fault that was over lately.
    returns: bool,
    others: BTreeSet<usize>,
    /// When a cell of the host was refused last.
    refused_at: f64,
    /// Runs of other cells of the host since, and those of them that failed.
    others_ran: u32,
    others_failed: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    Undecided,
    Confirmed,
    Dismissed,
}

impl Suspicion {
    /// Opens on a failure; `rate` is how often such failures come by themselves here.
    #[must_use]
    pub fn new(record: &Record, rate: f64, known: Known) -> Self {
        let onsets = if known.returns { RETURNS } else { ONSETS };
        Self {
            cell: record.cell(),
            class: record.class,
            since: record.at,
            prior: (onsets / rate).ln().clamp(PRIOR_MIN, 0.0),
            ratio: 0.0,
            last_failed: record.at,
            asked: 0,
            due: record.at,
            quick: usize::from(known.quick && record.class.is_signed()),
            returns: known.returns,
            others: BTreeSet::new(),
            refused_at: record.at,
            others_ran: 0,
            others_failed: 0,
        }
    }

    /// When the trigger should be asked again, if it still should.
    pub fn next_ask(&mut self, now: f64) -> Option<f64> {
        if self.asked >= ASKS_MAX {
            return None;
        }
        let gaps = self.class.gaps_s();
        let gap = gaps[self.asked.min(gaps.len() - 1)];
        self.asked += 1;
        self.due = now + gap;
        Some(self.due)
    }

    /// Whether what was asked for never came: the budget was spent, or the run was lost.
    #[must_use]
    pub fn is_forgotten(&self, now: f64) -> bool {
        now > self.due + FORGOTTEN_S
    }

    /// Takes in another observation of the host; `weak_rate` is the learned rate of weak failures.
    pub fn weigh(&mut self, record: &Record, weak_rate: f64, known: Known) -> Judgement {
        let gap = record.at - self.last_failed;
        let persists = |class: Class| class.persists(gap, weak_rate);
        if record.class.is_signed() {
            self.quick += usize::from(known.quick);
            self.refused_at = record.at;
        }
        if record.cell() != self.cell {
            self.others_ran += 1;
            self.others_failed += u32::from(record.class.failed());
        }
        let many = f64::from(self.others_failed) >= OTHERS_FAIL * f64::from(self.others_ran);
        if record.cell() == self.cell {
            let by_noise = persists(self.class);
            if record.class.failed() {
                self.ratio += (FAULT_FAILS / by_noise).ln();
                self.last_failed = record.at;
                if self.class.is_weak() && !record.class.is_weak() {
                    self.class = record.class;
                }
            } else {
                self.ratio += ((1.0 - FAULT_FAILS) / (1.0 - by_noise)).ln();
            }
        } else if record.class.failed() && many {
            if record.class.is_weak() {
                self.ratio += (FAULT_FAILS / persists(record.class)).ln();
                self.last_failed = record.at;
            } else if self.others.insert(record.cell()) {
                self.ratio += ANOTHER_CELL;
            }
        }
        let certain = self.prior + self.ratio >= CONFIRM_ODDS.ln() && self.is_no_burst();
        if certain || self.quick >= 2 {
            Judgement::Confirmed
        } else if self.ratio <= DISMISS {
            Judgement::Dismissed
        } else {
            Judgement::Undecided
        }
    }

    /// Whether it lasts longer than a burst: of one cell, or of as many as are refused together.
    fn is_no_burst(&self) -> bool {
        let share = if self.returns {
            SPAN_SHARE_OF_A_RETURN
        } else {
            SPAN_SHARE
        };
        let lasts = |tier: Tier, until: f64| until - self.since >= share * tier.span_s();
        let (ran, failed) = (f64::from(self.others_ran), f64::from(self.others_failed));
        let together = self.class == Class::EdgeChallenge
            && self.others.len() + 1 >= TOGETHER
            && failed >= TOGETHER_FAIL * ran;
        lasts(self.class.tier(), self.last_failed)
            || together && lasts(Tier::Strong, self.refused_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::observation::Purpose;
    use crate::judge::rules::Traits;

    fn record(at: f64, class: Class) -> Record {
        Record {
            at,
            traits: Traits {
                cell: 0,
                pop: None,
                egress_rate: 0,
                host_rate: 0,
            },
            class,
            hint: None,
            purpose: Purpose::Schedule,
            host_requests: 0,
            egress_requests: 0,
            noise: 0.0,
            reached: None,
        }
    }

    /// Asks the trigger until the suspicion is decided: `(judgement, seconds, requests)`.
    fn play(class: Class, fails: impl Fn(f64) -> bool) -> (Judgement, f64, usize) {
        let mut it = Suspicion::new(&record(0.0, class), class.noise().rate, Known::default());
        let mut now = 0.0;
        while let Some(at) = it.next_ask(now) {
            now = at;
            let class = if fails(now) { class } else { Class::Pass };
            let judgement = it.weigh(&record(now, class), 0.003, Known::default());
            if judgement != Judgement::Undecided {
                return (judgement, now, it.asked);
            }
        }
        (Judgement::Undecided, now, it.asked)
    }

    #[test]
    fn persistent_failures_are_confirmed_in_time() {
        for (class, within_s, requests) in [
            (Class::EdgeBlock, 26.0, 4),
            (Class::OriginDenied, 39.0, 2),
            (Class::EdgeChallenge, 135.0, 4),
            (Class::TlsError, 133.0, 4),
            (Class::Timeout, 178.0, 4),
        ] {
            let (judgement, at, asked) = play(class, |_| true);
            assert_eq!(judgement, Judgement::Confirmed, "{class:?}");
            assert!(at <= within_s, "{class:?} took {at} s");
            assert_eq!(asked, requests, "{class:?}");
        }
    }

    #[test]
    fn one_pass_dismisses() {
        for class in Class::FAILURES {
            let (judgement, _, asked) = play(class, |_| false);
            assert_eq!((judgement, asked), (Judgement::Dismissed, 1), "{class:?}");
        }
    }

    /// Cells of one host that fail one after the other, a second apart: when it is certain.
    fn one_after_the_other(class: Class, cells: u32, quick: bool) -> Option<f64> {
        let known = Known {
            quick,
            returns: false,
        };
        let mut it = Suspicion::new(&record(0.0, class), class.noise().rate, known);
        (1..60).map(f64::from).find(|at| {
            let mut next = record(*at, class);
            next.traits.cell = *at as u32 % cells;
            it.weigh(&next, 0.003, known) == Judgement::Confirmed
        })
    }

    #[test]
    fn refusals_of_other_probes_are_not_those_of_a_quick_one() {
        let class = Class::EdgeChallenge;
        let mut it = Suspicion::new(&record(0.0, class), class.noise().rate, Known::default());
        let looks = [(1.0, true), (2.0, false), (3.0, true)];
        let judged = looks.map(|(at, quick)| {
            let known = Known {
                quick,
                returns: false,
            };
            it.weigh(&record(at, class), 0.003, known)
        });
        assert_eq!(
            judged,
            [
                Judgement::Undecided,
                Judgement::Undecided,
                Judgement::Confirmed
            ]
        );
    }

    #[test]
    fn cells_that_are_refused_together_are_no_burst_of_one() {
        assert_eq!(
            one_after_the_other(Class::EdgeChallenge, 20, false),
            Some(14.0)
        );
        let one = one_after_the_other(Class::EdgeChallenge, 1, false);
        assert!(one.is_none_or(|at| at > 30.0), "{one:?}");
    }

    #[test]
    fn the_second_refusal_is_enough_where_it_shall_be_quick() {
        for class in Class::FAILURES {
            let at = one_after_the_other(class, 20, true);
            assert_eq!(at == Some(1.0), class.is_signed(), "{class:?}: {at:?}");
        }
    }

    #[test]
    fn a_burst_of_timeouts_is_weather() {
        assert_eq!(play(Class::Timeout, |at| at < 60.0).0, Judgement::Dismissed);
    }

    #[test]
    fn what_was_over_lately_is_known_when_it_comes_back() {
        let confirmed = |returns: bool| {
            let class = Class::Timeout;
            let known = Known {
                quick: false,
                returns,
            };
            let mut it = Suspicion::new(&record(0.0, class), class.noise().rate, known);
            [10.0, 20.0, 30.0, 40.0].into_iter().find(|at| {
                let mut next = record(*at, class);
                next.traits.cell = *at as u32;
                it.weigh(&next, 0.003, known) == Judgement::Confirmed
            })
        };
        assert_eq!(confirmed(false), None, "a burst may last so long");
        assert_eq!(confirmed(true), Some(40.0));
    }
}
