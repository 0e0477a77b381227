//! Whether a way out of our own house works: what is told of our own side, and never of a partner.
//!
//! Our own side has no host to ask, so its evidence is what came of all requests that took a way, whomever they
//! were for. A way is *dark* while nothing that anybody answered has come through it; a refusal is an answer.
//! It is our own network when a control fails there too, or, without controls, when two partners do, and the
//! sequential test of [`super::confirm`] says that it is no burst. An error that only our own side can make (a proxy's own answer,
//! a missing address, no route) proves whose it is by itself: it is counted by cell, whatever else comes through.
//! What fails while others come through fails for its own reasons, and is no witness.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::class::Class;
use super::confirm::{CONFIRM_ODDS, FAULT_FAILS, ONSETS, SPAN_SHARE};
use crate::domain::cell::EgressName;

/// A run that began this long before another came through may have been on its way.
const GRACE: SignedDuration = SignedDuration::from_secs(30);
/// So long may a partner's pass after an onset have been on its way before it.
const FELT: SignedDuration = SignedDuration::from_secs(20);

/// A way that is dark for one party for so long is worth a control's asking.
const ASK_AFTER: SignedDuration = SignedDuration::from_secs(40);
/// How much likelier than a partner's a fault of our own is, per request: every request goes through it.
const OURS: f64 = 5.0;
/// And of an error that nobody else can make: of weather it hardly ever comes.
const PROVED: f64 = 25.0;
/// What a second party adds to the log odds: of all bursts every other one is that of one host.
const SHARED: f64 = std::f64::consts::LN_2;

/// Every way out, and what came of the requests that took it.
#[derive(Debug, Clone, Default)]
pub struct Ways(BTreeMap<EgressName, Way>);

/// What a run tells of the way that it took.
#[derive(Debug, Clone, Copy)]
pub struct Trace {
    /// Start of the run.
    pub at: Timestamp,
    /// Whoever was asked: a partner, or the host of a control.
    pub party: usize,
    /// The number of its cell.
    pub cell: usize,
    pub class: Class,
    /// Somebody answered, and what of the answer can't be read is our own doing.
    pub hidden: bool,
}

#[derive(Debug, Clone, Default)]
struct Way {
    parties: BTreeMap<usize, Party>,
    /// Start of the latest run that somebody answered.
    through_at: Option<Timestamp>,
    dark: Option<Dark>,
    /// When something came through again after the last time that it was dark for more than one party.
    lit_at: Option<Timestamp>,
    /// Cells whose last run our own side answered.
    stopped: BTreeSet<usize>,
    stops: Option<Odds>,
}

/// Somebody who is asked from an egress.
#[derive(Debug, Clone, Default)]
struct Party {
    control: bool,
    through_at: Option<Timestamp>,
    failing_since: Option<Timestamp>,
}

/// Nothing comes through, as far as is known.
#[derive(Debug, Clone)]
struct Dark {
    odds: Odds,
    parties: BTreeSet<usize>,
}

/// How the rest of the world looks from an egress, since some instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Somebody answers there.
    Fine,
    /// Nothing comes through, from others either.
    Down,
    /// There are others to ask, but none has answered yet.
    Unseen,
    /// Nobody else is asked from there.
    Alone,
}

/// Whether an outcome shows that a request left our house and somebody answered it.
fn came_through(class: Class) -> bool {
    !matches!(
        class,
        Class::Timeout
            | Class::ConnectError
            | Class::DnsError
            | Class::TlsError
            | Class::LocalError
    )
}

impl Way {
    /// Whether a party fails for reasons of its own: it began while others came through.
    fn is_excused(&self, party: &Party) -> bool {
        let after = |at: Timestamp| at.checked_add(GRACE).unwrap_or(at);
        party
            .failing_since
            .is_some_and(|since| self.through_at.is_some_and(|at| after(since) <= at))
    }

    fn note(&mut self, trace: &Trace) {
        let Trace {
            at,
            party,
            cell,
            class,
            hidden,
        } = *trace;
        if class == Class::LocalError {
            self.stopped.insert(cell);
            match &mut self.stops {
                Some(odds) => odds.add(at, class),
                None => self.stops = Some(Odds::new(at, class, PROVED)),
            }
        } else if self.stopped.remove(&cell) && self.stopped.is_empty() {
            self.stops = None;
        }
        let known = self.parties.entry(party).or_default();
        if hidden || came_through(class) {
            (known.failing_since, known.through_at) = (None, known.through_at.max(Some(at)));
            self.through_at = self.through_at.max(Some(at));
            if let Some(dark) = self.dark.take_if(|dark| dark.odds.since <= at)
                && dark.parties.len() > 1
            {
                self.lit_at = Some(at);
            }
            return;
        }
        known.failing_since.get_or_insert(at);
        let excused = self.parties.get(&party).is_some_and(|p| self.is_excused(p));
        if excused || self.through_at.is_some_and(|through| at <= through) {
            return;
        }
        let Some(dark) = &mut self.dark else {
            self.dark = Some(Dark {
                odds: Odds::new(at, class, OURS),
                parties: BTreeSet::from([party]),
            });
            return;
        };
        dark.odds.add(at, class);
        if dark.parties.insert(party) && dark.parties.len() == 2 {
            dark.odds.log += SHARED;
        }
    }

    /// Whether others share the darkness: a control where there is one, else another partner.
    fn is_dark(&self) -> bool {
        let Some(dark) = &self.dark else {
            return false;
        };
        let mut controls = self.parties.iter().filter(|(_, p)| p.control);
        let witness = |(place, _): (&usize, &Party)| dark.parties.contains(place);
        let any = |(_, party): (&usize, &Party)| !self.is_excused(party);
        dark.parties.len() > 1 && (controls.clone().any(witness) || !controls.any(any))
    }
}

impl Ways {
    /// Nothing is known of these yet: an egress, whom it asks, and whether that is a control.
    pub fn new<'a>(asked: impl Iterator<Item = (&'a EgressName, usize, bool)>) -> Self {
        let mut ways = Self::default();
        for (egress, party, control) in asked {
            if !ways.0.contains_key(egress) {
                ways.0.insert(egress.clone(), Way::default());
            }
            if let Some(way) = ways.0.get_mut(egress) {
                way.parties.entry(party).or_default().control |= control;
            }
        }
        ways
    }

    /// Every way out.
    pub fn egresses(&self) -> impl Iterator<Item = &EgressName> {
        self.0.keys()
    }

    /// Takes in a run.
    pub fn note(&mut self, egress: &EgressName, trace: &Trace) {
        if let Some(way) = self.0.get_mut(egress) {
            way.note(trace);
        }
    }

    /// Whether nothing comes through, and others than one party show it.
    #[must_use]
    pub fn is_dark(&self, egress: &EgressName) -> bool {
        self.0.get(egress).is_some_and(Way::is_dark)
    }

    /// Whether it is dark, or our own side answers on it, as far as is known.
    #[must_use]
    pub fn is_failing(&self, egress: &EgressName) -> bool {
        let way = self.0.get(egress);
        way.is_some_and(|way| way.is_dark() || !way.stopped.is_empty())
    }

    /// Whether something came through since it was dark; not before the first run.
    #[must_use]
    pub fn is_lit(&self, egress: &EgressName) -> bool {
        let way = self.0.get(egress);
        way.is_some_and(|way| way.through_at.is_some() && !way.is_dark())
    }

    /// Since when it is dark, once that is no burst.
    #[must_use]
    pub fn dark_since(&self, egress: &EgressName) -> Option<Timestamp> {
        let way = self.0.get(egress)?;
        let odds = &way.dark.as_ref().filter(|_| way.is_dark())?.odds;
        odds.certain().then_some(odds.since)
    }

    /// Since when our own side answers in place of others, once that is no burst.
    #[must_use]
    pub fn stopped_since(&self, egress: &EgressName) -> Option<Timestamp> {
        let odds = self.0.get(egress)?.stops.as_ref()?;
        odds.certain().then_some(odds.since)
    }

    /// Cells whose last run our own side answered.
    pub fn stopped(&self, egress: &EgressName) -> impl Iterator<Item = usize> {
        let ways = self.0.get(egress).into_iter();
        ways.flat_map(|way| way.stopped.iter().copied())
    }

    /// Whether a failure at this time says that nothing came through, as far as is known.
    #[must_use]
    pub fn explains(&self, egress: &EgressName, party: usize, at: Timestamp) -> bool {
        self.0.get(egress).is_some_and(|way| {
            way.through_at.is_none_or(|through| at > through)
                && !way.parties.get(&party).is_some_and(|p| way.is_excused(p))
        })
    }

    /// When something came through again after it was dark.
    #[must_use]
    pub fn lit_at(&self, egress: &EgressName) -> Option<Timestamp> {
        self.0.get(egress)?.lit_at
    }

    /// Whether a control that could tell has not been asked since it went dark.
    #[must_use]
    pub fn wants_control(&self, egress: &EgressName, party: usize) -> bool {
        self.0.get(egress).is_some_and(|way| {
            let lasting = |dark: &Dark| dark.odds.span() >= ASK_AFTER;
            let unasked = |dark: &Dark| !dark.parties.contains(&party);
            let dark = way
                .dark
                .as_ref()
                .filter(|dark| lasting(dark) && unasked(dark));
            let tells = |p: &Party| p.control && !way.is_excused(p);
            dark.is_some() && way.parties.get(&party).is_some_and(tells)
        })
    }

    /// Whether nobody knows if this way works: nothing came through since then, and nobody else shares its darkness.
    #[must_use]
    pub fn is_unseen(&self, egress: &EgressName, since: Timestamp) -> bool {
        let way = self.0.get(egress);
        way.is_some_and(|way| way.through_at.is_none_or(|at| at < since))
            && !self.is_failing(egress)
    }

    /// How others look from an egress at `since` or later, for one who fails there.
    #[must_use]
    pub fn standing(&self, egress: &EgressName, party: usize, since: Timestamp) -> Standing {
        let Some(way) = self.0.get(egress) else {
            return Standing::Alone;
        };
        let felt = since.checked_add(FELT).unwrap_or(since);
        if way.is_dark() {
            return Standing::Down;
        }
        let answers = |p: &Party| {
            p.through_at
                .is_some_and(|at| at >= if p.control { since } else { felt })
        };
        if way.parties.values().any(answers) {
            return Standing::Fine;
        }
        let mut others = way.parties.iter().filter(|(place, _)| **place != party);
        if others.any(|(_, other)| !way.is_excused(other)) {
            Standing::Unseen
        } else {
            Standing::Alone
        }
    }
}

/// Log odds of "our own side is at fault" against "noise in bursts", by failures that nothing contradicts.
#[derive(Debug, Clone)]
struct Odds {
    log: f64,
    since: Timestamp,
    last_at: Timestamp,
}

impl Odds {
    fn new(at: Timestamp, class: Class, likelier: f64) -> Self {
        Self {
            log: (likelier * ONSETS / class.noise().rate).ln(),
            since: at,
            last_at: at,
        }
    }

    fn add(&mut self, at: Timestamp, class: Class) {
        let gap = at.duration_since(self.last_at).as_secs_f64().max(0.0);
        self.log += (FAULT_FAILS / class.persists(gap, 0.0)).ln();
        self.last_at = self.last_at.max(at);
        self.since = self.since.min(at);
    }

    fn span(&self) -> SignedDuration {
        self.last_at.duration_since(self.since)
    }

    /// Whether it is no burst, however dense the failures are.
    fn certain(&self) -> bool {
        let least = SPAN_SHARE * Class::LocalError.tier().span_s();
        self.log >= CONFIRM_ODDS.ln() && self.span().as_secs_f64() >= least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_limit_of_ours_hides_came_through() {
        let egress = EgressName::from("e1");
        let dark = |hidden: bool| {
            let asked = [(&egress, 0, false), (&egress, 1, false)];
            let mut ways = Ways::new(asked.into_iter());
            let start: Timestamp = "2026-03-01T02:00:00Z".parse().unwrap();
            for second in 0..20 {
                let at = start + SignedDuration::from_secs(second * 30);
                let trace = |party, class, hidden| Trace {
                    at,
                    party,
                    cell: party,
                    class,
                    hidden,
                };
                ways.note(&egress, &trace(0, Class::LocalError, hidden));
                ways.note(&egress, &trace(1, Class::Timeout, false));
            }
            ways.is_dark(&egress)
        };
        assert!(dark(false));
        assert!(
            !dark(true),
            "a partner that fails beside it would not be told"
        );
    }
}
