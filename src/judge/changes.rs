//! Notices that the world has changed under a cause that stands: some of its cells pass now, or fail in another way.
//!
//! For each key (a level of a factor at a host, a cell …) runs in a row that the cause did not expect are added up as
//! log odds against it. A key that has come free while the cause goes on elsewhere is a change point: what was seen
//! before it says nothing of the present.

use super::evidence::Record;
use super::pauses::Pauses;

/// Odds against a run of surprises, for each key that is watched.
const SURPRISED: f64 = 1e3;
/// No cause is believed to strike more surely than this.
pub(super) const STRIKES_AT_MOST: f64 = 0.98;
/// Chance that a failure of a standing cause is of a kind that it never showed.
const OTHERWISE: f64 = 0.02;

/// What a cause that stands, or that is likeliest while the question is open, lets expect of a run.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    pub group: usize,
    /// Share of such requests that fail.
    pub rate: f64,
    /// Whether it is known to fail as this run did.
    pub shows: bool,
    /// When it struck last, seconds.
    pub last_failed: f64,
}

/// Runs in a row of one key that a standing cause did not expect.
#[derive(Debug, Clone, Copy, Default)]
struct Streak {
    /// Log odds against them.
    score: f64,
    since: f64,
    /// They failed, in another way.
    failing: bool,
    /// The cause's.
    group: usize,
    /// The key was seen to fail as expected before.
    has_failed: bool,
    /// It went on after the cause had struck elsewhere, so that it is not the whole of that which pauses.
    beside: bool,
}

/// The streaks of all keys.
#[derive(Debug, Clone)]
pub struct Changes {
    streaks: Vec<Streak>,
    /// Keys whose streak is long enough.
    turned: Vec<usize>,
    least: f64,
}

impl Changes {
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Self {
            streaks: vec![Streak::default(); keys],
            turned: Vec::new(),
            least: (SURPRISED * keys.max(1) as f64).ln(),
        }
    }

    /// Takes in a run that a cause hits, for each of its keys.
    pub fn observe(&mut self, keys: impl Iterator<Item = usize>, record: &Record, cause: Expected) {
        let failing = record.class.failed();
        let step = match (failing, cause.shows) {
            (false, _) => -(1.0 - cause.rate.min(STRIKES_AT_MOST)).ln(),
            (true, false) => -OTHERWISE.ln(),
            (true, true) => 0.0,
        };
        for key in keys {
            let streak = &mut self.streaks[key];
            let goes_on = streak.failing == failing && streak.group == cause.group;
            streak.has_failed &= streak.group == cause.group;
            let has_failed = streak.has_failed || (failing && cause.shows);
            if step == 0.0 || !goes_on || streak.score == 0.0 {
                if streak.score >= self.least {
                    self.turned.retain(|turned| *turned != key);
                }
                *streak = Streak {
                    score: 0.0,
                    since: record.at,
                    failing,
                    group: cause.group,
                    has_failed,
                    beside: false,
                };
            }
            streak.beside |= !failing && cause.last_failed > streak.since;
            let before = streak.score;
            streak.score += step;
            if before < self.least && streak.score >= self.least {
                self.turned.push(key);
            }
        }
    }

    /// Since when some key has been as this cause does not say, although the cause was seen to go on since.
    ///
    /// What began to pass in a pause counts once it passes beside the cause. With `doubtful` only keys count that it
    /// was seen to strike.
    #[must_use]
    pub fn since(
        &self,
        (group, last_failed): (usize, f64),
        pauses: &Pauses,
        doubtful: bool,
    ) -> Option<f64> {
        self.turned
            .iter()
            .map(|key| self.streaks[*key])
            .filter(|streak| streak.group == group && (streak.has_failed || !doubtful))
            .filter(|streak| streak.failing || streak.since < last_failed)
            .filter(|streak| streak.beside || !pauses.contain(streak.since))
            .map(|streak| streak.since)
            .min_by(f64::total_cmp)
    }

    /// Forgets all: another explanation stands.
    pub fn clear(&mut self) {
        self.turned.clear();
        self.streaks.fill(Streak::default());
    }
}
