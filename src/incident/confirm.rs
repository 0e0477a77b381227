//! Tells weather from fault: a sequential test of one suspicion.
//!
//! A failing run is weather until its cell was asked again, a few times, spaced so that a burst of
//! losses had time to pass. Each answer moves a log-likelihood ratio between "noise with bursts" and
//! "a fault that stays"; the bounds are Wald's. What an edge signed needs some 20 to 40 s, a timeout
//! minutes, because bursts of timeouts look alike. How cells differ is not asked here (`diagnose`).

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::cell::CellKey;
use crate::domain::verdict::Kind;

/// How much one failure of a kind says, and so how long its confirmation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Things that networks lose and applications drop by chance.
    Weak,
    /// Seldom by chance, but in bursts.
    Medium,
    /// Somebody signed it.
    Strong,
}

/// What kinds have in common when cells are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    Edge,
    Denied,
    Origin,
    Tls,
    Network,
    /// Nothing failed.
    Fine,
}

impl Group {
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::EdgeBlock | Kind::EdgeChallenge | Kind::RateLimited | Kind::SoftBlock => {
                Self::Edge
            }
            Kind::OriginDenied => Self::Denied,
            Kind::OriginError | Kind::EdgeError | Kind::Unexpected => Self::Origin,
            Kind::TlsError => Self::Tls,
            Kind::DnsError | Kind::ConnectError | Kind::Timeout | Kind::LocalError => Self::Network,
            Kind::Pass => Self::Fine,
        }
    }
}

impl Tier {
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::EdgeBlock | Kind::OriginDenied | Kind::SoftBlock => Self::Strong,
            Kind::EdgeChallenge | Kind::RateLimited | Kind::TlsError | Kind::Unexpected => {
                Self::Medium
            }
            Kind::Timeout
            | Kind::OriginError
            | Kind::EdgeError
            | Kind::ConnectError
            | Kind::DnsError
            | Kind::LocalError
            | Kind::Pass => Self::Weak,
        }
    }

    /// Seconds between re-probes; the last one repeats.
    fn gaps(self) -> &'static [u64] {
        match self {
            Self::Strong => &[2, 6, 12, 20, 30],
            Self::Medium => &[4, 10, 20, 35, 60],
            Self::Weak => &[5, 15, 30, 45, 60],
        }
    }

    /// From the first failure to the last, before a fault may be called one.
    fn span(self) -> Duration {
        Duration::from_secs(match self {
            Self::Strong => 20,
            Self::Medium => 45,
            Self::Weak => 100,
        })
    }

    /// From the first pass to the last, before a fault may be called over.
    #[must_use]
    pub fn recovery_span(self) -> Duration {
        Duration::from_secs(match self {
            Self::Strong => 20,
            Self::Medium => 45,
            Self::Weak => 60,
        })
    }
}

/// How often a kind happens by chance, and how it clusters.
struct Noise {
    /// Per run.
    rate: f64,
    /// Chance that the next run fails too, at no distance at all.
    persistence: f64,
    /// Seconds in which that chance falls to a third.
    burst_seconds: f64,
}

/// Measured on the reference noise of the diagnosis work; kinds it did not have take their neighbour's.
fn noise(kind: Kind) -> Noise {
    let (rate, persistence, burst_seconds) = match kind {
        Kind::EdgeBlock => (2e-5, 0.5, 8.0),
        Kind::OriginDenied | Kind::SoftBlock => (4e-5, 0.5, 8.0),
        Kind::EdgeChallenge => (1.5e-4, 0.5, 20.0),
        Kind::RateLimited => (1.5e-4, 0.6, 30.0),
        Kind::TlsError | Kind::Unexpected => (1e-4, 0.6, 25.0),
        Kind::Timeout => (1.6e-3, 0.75, 20.0),
        Kind::OriginError | Kind::EdgeError => (1e-3, 0.75, 20.0),
        Kind::ConnectError => (6e-4, 0.75, 20.0),
        Kind::DnsError | Kind::LocalError | Kind::Pass => (3e-4, 0.75, 20.0),
    };
    Noise {
        rate,
        persistence,
        burst_seconds,
    }
}

/// Onsets of real faults per run.
const ONSETS: f64 = 2e-6;
/// A real fault fails this often.
const FAULT_FAILS: f64 = 0.96;
/// Odds of 40 to 1 for a fault, in nats.
const CONFIRM: f64 = 3.689;
/// Odds against it at which the suspicion is dropped, in nats; one pass without failures is enough.
const DISMISS: f64 = -2.2;
/// Re-probes of one suspicion.
const REPROBES_MAX: u32 = 9;
/// What one more cell of the host adds when its kind is hardly ever chance, in nats.
const ANOTHER_CELL: f64 = 2.0;
/// Share of the span that lies between the first and the last failure.
const SPAN_SHARE: f64 = 0.7;

/// What to believe of the background.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Background {
    /// Rate of weak failures without any fault, per run.
    pub weak: f64,
}

impl Default for Background {
    fn default() -> Self {
        Self { weak: 0.003 }
    }
}

/// A failure that may be more than weather.
#[derive(Debug, Clone)]
pub struct Suspicion {
    trigger: CellKey,
    kind: Kind,
    background: Background,
    first_failed_at: Timestamp,
    last_failed_at: Timestamp,
    /// Log-likelihood ratio of a fault against noise, prior left out, in nats.
    llr: f64,
    /// Runs of the trigger after the first failure.
    reprobes: u32,
    failures: u32,
    /// Cells that were counted once.
    others: HashSet<CellKey>,
}

/// Where a suspicion stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Undecided,
    Confirmed,
    Dismissed,
}

impl Suspicion {
    /// Opens with one failing run.
    #[must_use]
    pub fn new(trigger: CellKey, kind: Kind, at: Timestamp, background: Background) -> Self {
        Self {
            trigger,
            kind,
            background,
            first_failed_at: at,
            last_failed_at: at,
            llr: 0.0,
            reprobes: 0,
            failures: 1,
            others: HashSet::new(),
        }
    }

    #[must_use]
    pub fn trigger(&self) -> &CellKey {
        &self.trigger
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Start of the first failing run.
    #[must_use]
    pub fn first_failed_at(&self) -> Timestamp {
        self.first_failed_at
    }

    /// Whether more than one failure was seen: then witnesses are worth their requests.
    #[must_use]
    pub fn wants_witnesses(&self) -> bool {
        self.failures > 1
    }

    /// Whether the trigger may be asked again ahead of the schedule: not when it asks us to slow down.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.kind != Kind::RateLimited && self.reprobes < REPROBES_MAX
    }

    /// How long to wait before the trigger is asked again.
    ///
    /// A credential that is refused may be asked only a few times before it is locked, so the gaps
    /// are then those that say most.
    #[must_use]
    pub fn gap(&self) -> Duration {
        let sparing = self.kind == Kind::OriginDenied && !self.trigger.credential.is_anonymous();
        let gaps = if sparing {
            &[12, 20, 30][..]
        } else {
            Tier::of(self.kind).gaps()
        };
        let step = (self.reprobes as usize).min(gaps.len() - 1);
        Duration::from_secs(gaps[step])
    }

    /// Takes a run of the trigger or of another cell of the same host into account.
    pub fn observe(&mut self, cell: &CellKey, kind: Kind, failed: bool, at: Timestamp) -> Progress {
        if *cell == self.trigger {
            self.reprobes += 1;
            self.observe_trigger(kind, failed, at);
        } else if failed {
            self.observe_other(cell, kind, at);
        }
        self.progress()
    }

    fn observe_trigger(&mut self, kind: Kind, failed: bool, at: Timestamp) {
        let by_chance = self.by_chance(self.kind, at);
        if !failed {
            self.llr += ((1.0 - FAULT_FAILS) / (1.0 - by_chance)).ln();
            return;
        }
        self.llr += (FAULT_FAILS / by_chance).ln();
        self.failures += 1;
        self.last_failed_at = self.last_failed_at.max(at);
        if Tier::of(kind) > Tier::of(self.kind) {
            self.kind = kind;
        }
    }

    fn observe_other(&mut self, cell: &CellKey, kind: Kind, at: Timestamp) {
        let (mine, theirs) = (Tier::of(self.kind), Tier::of(kind));
        if theirs > mine && self.failures < 3 {
            // What somebody signed is the better thread to follow.
            *self = Self::new(cell.clone(), kind, at, self.background);
            return;
        }
        if Group::of(kind) != Group::of(self.kind) {
            return;
        }
        if theirs == Tier::Weak {
            self.llr += (FAULT_FAILS / self.by_chance(kind, at)).ln();
        } else if self.others.insert(cell.clone()) {
            self.llr += ANOTHER_CELL;
        } else {
            return;
        }
        self.failures += 1;
        self.last_failed_at = self.last_failed_at.max(at);
    }

    /// Chance that a run at `at` fails without a fault, given the last failure.
    fn by_chance(&self, kind: Kind, at: Timestamp) -> f64 {
        let noise = noise(kind);
        let base = match Tier::of(kind) {
            Tier::Weak => noise.rate.max(self.background.weak),
            Tier::Medium | Tier::Strong => noise.rate,
        };
        let gap = at
            .duration_since(self.last_failed_at)
            .as_secs_f64()
            .max(0.0);
        (noise.persistence * (-gap / noise.burst_seconds).exp() + base).min(0.95)
    }

    fn progress(&self) -> Progress {
        let prior = (ONSETS / noise(self.kind).rate).ln().clamp(-9.0, 0.0);
        let span = self.last_failed_at.duration_since(self.first_failed_at);
        let long_enough =
            span.as_secs_f64() >= SPAN_SHARE * Tier::of(self.kind).span().as_secs_f64();
        if prior + self.llr >= CONFIRM && long_enough {
            Progress::Confirmed
        } else if self.llr <= DISMISS || (self.reprobes >= REPROBES_MAX && self.asked_enough()) {
            Progress::Dismissed
        } else {
            Progress::Undecided
        }
    }

    /// A suspicion that lives on scheduled runs alone has no bound in re-probes.
    fn asked_enough(&self) -> bool {
        self.kind != Kind::RateLimited
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::domain::cell::CredentialName;

    fn cell(client: &str) -> CellKey {
        CellKey {
            probe: "p".into(),
            egress: "e1".into(),
            client: client.into(),
            credential: CredentialName::anonymous(),
        }
    }

    /// Plays the trigger at its own gaps; `answers` are kinds or `pass`; returns seconds and outcome.
    fn play(kind: Kind, answers: &str) -> (u64, Progress) {
        let start: Timestamp = "2026-03-01T02:14:00Z".parse().unwrap();
        let mut suspicion = Suspicion::new(cell("c1"), kind, start, Background::default());
        let mut seconds = 0;
        let mut progress = Progress::Undecided;
        for answer in answers.split_whitespace() {
            assert_eq!(
                progress,
                Progress::Undecided,
                "decided too early at {seconds} s"
            );
            seconds += suspicion.gap().as_secs();
            let at = start + SignedDuration::from_secs(seconds.cast_signed());
            let kind = Kind::from_word(answer).unwrap();
            progress = suspicion.observe(&cell("c1"), kind, kind != Kind::Pass, at);
        }
        (seconds, progress)
    }

    fn check(name: &str, kind: Kind, answers: &str, expected: (u64, Progress)) {
        assert_eq!(play(kind, answers), expected, "{name}");
    }

    #[test]
    fn confirms_and_dismisses() {
        use Progress::{Confirmed, Dismissed, Undecided};
        let block = Kind::EdgeBlock;
        check("one pass ends it", block, "pass", (2, Dismissed));
        check(
            "three repeats within 20 s are not enough",
            block,
            "edge_block edge_block edge_block",
            (20, Undecided),
        );
        check(
            "the fourth confirms",
            block,
            "edge_block edge_block edge_block edge_block",
            (40, Confirmed),
        );
        let t = "timeout ";
        check(
            "timeouts take minutes",
            Kind::Timeout,
            &t.repeat(5),
            (155, Undecided),
        );
        check(
            "and then confirm",
            Kind::Timeout,
            &t.repeat(6),
            (215, Confirmed),
        );
        check(
            "a 45 s burst is weather",
            Kind::Timeout,
            "timeout timeout pass pass",
            (95, Dismissed),
        );
        check(
            "a timeout that turns into a block is a block",
            Kind::Timeout,
            "edge_block edge_block edge_block edge_block",
            (43, Confirmed),
        );
    }

    #[test]
    fn every_kind_can_be_confirmed() {
        for kind in Kind::ALL.iter().filter(|k| **k != Kind::Pass) {
            let mut answers = String::new();
            let progress = (1..=9).find_map(|_| {
                answers.push_str(kind.as_str());
                answers.push(' ');
                let (seconds, progress) = play(*kind, &answers);
                (progress != Progress::Undecided).then_some((seconds, progress))
            });
            let Some((seconds, Progress::Confirmed)) = progress else {
                panic!("{kind}: {progress:?}");
            };
            assert!((10..=300).contains(&seconds), "{kind}: {seconds} s");
        }
    }

    #[test]
    fn other_cells_help() {
        let start: Timestamp = "2026-03-01T02:14:00Z".parse().unwrap();
        let at = |s| start + SignedDuration::from_secs(s);
        let block = Kind::EdgeBlock;
        let mut suspicion = Suspicion::new(cell("c1"), block, start, Background::default());
        suspicion.observe(&cell("c1"), block, true, at(2));
        suspicion.observe(&cell("c2"), block, true, at(4));
        suspicion.observe(&cell("c1"), block, true, at(8));
        let progress = suspicion.observe(&cell("c1"), block, true, at(20));
        assert_eq!(progress, Progress::Confirmed);
        let timeout = Kind::Timeout;
        let mut suspicion = Suspicion::new(cell("c1"), block, start, Background::default());
        for s in 1..60 {
            let progress = suspicion.observe(&cell("c2"), timeout, true, at(s));
            assert_eq!(
                progress,
                Progress::Undecided,
                "another fault says nothing of this one"
            );
        }
    }
}
