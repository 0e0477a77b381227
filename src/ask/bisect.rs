//! Which part of a request is refused: from one that passes to one that fails, change by change.
//!
//! The two requests are those of configured cells; what is asked on the way is put together from their parts alone.
//! Here is decided what to ask next and what an answer says of it; who asks keeps the host's limits.

mod finding;
mod head;
mod merge;
mod pieces;
mod request;
mod saved;
mod search;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::finding::{Thing, things};
pub use self::request::{Mixed, Side};
use self::search::Search;
pub use self::search::{Found, Set, Size};
use crate::domain::verdict::{Factor, Kind, Maker, Rule, Verdict};
use crate::words::terms;

/// Answers that say nothing (a time-out, a limit) are asked for again so often, all in all.
const AGAIN_MAX: usize = 2;
/// Longer waits than this end it; it goes on from its journal.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// What one request came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Numbers of the changes that were made to the passing request.
    pub changes: Set,
    /// It fails in the way that is looked into.
    pub fails: bool,
    pub kind: Kind,
    pub status: Option<u16>,
    /// What came, in a few words.
    pub got: String,
    pub reference_id: Option<String>,
}

/// What to do after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    GoOn,
    /// The answer said nothing; the same is asked again, not before this has passed.
    Wait(Duration),
    /// No more requests, for this reason.
    Stop(String),
}

/// What comes next.
#[derive(Debug)]
pub enum Step {
    Ask(Set, Box<Side>),
    Found(Found),
    /// As many requests were made as were announced.
    Spent,
}

/// A bisection as it stands.
#[derive(Debug)]
pub struct Bisection {
    mixed: Mixed,
    search: Search,
    answers: BTreeMap<Set, Answer>,
    /// What the failing request got, by which others are measured.
    failing: Option<Verdict>,
    again: usize,
    requests: usize,
    most: usize,
    /// Requests between the two that may not be made, and why the first of them.
    pub forbidden: Option<(usize, String)>,
}

impl Bisection {
    /// Compares the two; `most` bounds the requests further than the search does.
    ///
    /// # Errors
    /// They can't be compared, or one of them may not be made.
    pub fn new(passing: Side, failing: Side, most: Option<usize>) -> Result<Self, String> {
        for side in [&passing, &failing] {
            if let Some(why) = side.forbidden() {
                return Err(format!(
                    "`forbid` does not allow the request of probe {:?}: {why}",
                    side.probe.name
                ));
            }
        }
        let mixed = Mixed::new(passing, failing)?;
        let search = Search::new(mixed.changes());
        let bound = search.most() + AGAIN_MAX;
        Ok(Self {
            mixed,
            search,
            answers: BTreeMap::new(),
            failing: None,
            again: 0,
            requests: 0,
            most: most.map_or(bound, |most| most.min(bound)),
            forbidden: None,
        })
    }

    /// The most requests that are made, those that must be repeated included.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// The requests that are made when one thing alone decides.
    #[must_use]
    pub fn usual(&self) -> usize {
        self.search.usual().min(self.most)
    }

    /// The requests made so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests
    }

    #[must_use]
    pub fn mixed(&self) -> &Mixed {
        &self.mixed
    }

    /// Everything in which the two differ.
    #[must_use]
    pub fn differences(&self) -> Vec<Thing> {
        things(&self.mixed, &(0..self.mixed.parts.len()).collect())
    }

    /// What was found, without what nobody asked.
    fn as_seen(&self, found: Found) -> Found {
        match found {
            Found::Changes { needed, enough }
                if !self.answers.contains_key(&self.search.without(&needed)) =>
            {
                let enough = enough.filter(|enough| !enough);
                Found::Changes { needed, enough }
            }
            found => found,
        }
    }

    /// What to ask next. What may not be asked counts as not refused, so that nothing is found by it.
    pub fn step(&mut self) -> Step {
        loop {
            let set = match self.search.next() {
                Ok(found) => return Step::Found(self.as_seen(found)),
                Err(set) => set,
            };
            let side = self.side(&set);
            if let Some(why) = side.forbidden() {
                let count = self.forbidden.as_ref().map_or(0, |(count, _)| *count);
                let first = self.forbidden.take().map_or(why, |(_, first)| first);
                self.forbidden = Some((count + 1, first));
                self.search.answer(&set, false);
                continue;
            }
            if self.requests >= self.most {
                return Step::Spent;
            }
            return Step::Ask(set, Box::new(side));
        }
    }

    /// The request with these changes; of both ends it is the configured one.
    #[must_use]
    pub fn side(&self, changes: &Set) -> Side {
        match changes.len() {
            0 => self.mixed.passing.clone(),
            _ if self.is_whole(changes) => self.mixed.failing.clone(),
            _ => self.mixed.request(changes),
        }
    }

    /// Takes what a request got: read as an answer to the failing probe, and as one to the passing probe.
    pub fn answer(
        &mut self,
        changes: &Set,
        failing: &Verdict,
        passing: &Verdict,
        status: Option<u16>,
    ) -> Then {
        self.requests += 1;
        let is_end = self.is_whole(changes);
        let passed = failing.passed() || passing.passed();
        if let Some(then) = self.says_nothing(failing, passed, is_end) {
            return then;
        }
        let fails = match &self.failing {
            // The passing one comes first: whether it fails alike is seen once the other has come.
            None if is_end => !passed,
            None => false,
            Some(known) => !passed && is_same(known, failing),
        };
        if is_end && !passed {
            self.failing = Some(failing.clone());
        }
        // What the application answers got past an edge, whatever it says; who is looked into is not known before the
        // failing request was asked.
        let is_through = |verdict: &Verdict| verdict.maker == Maker::Origin;
        if changes.is_empty() && !passed && !is_through(passing) {
            return Then::Stop(format!(
                "the request that should pass does not: {}",
                terms::got(passing, status)
            ));
        }
        let good = self.answers.get(&Set::new());
        if let Some(good) = good.filter(|good| is_end && !good.kind.works() && !passed)
            && failing.maker != Maker::Edge
        {
            return Then::Stop(format!(
                "the request that should pass does not: {}",
                good.got
            ));
        }
        self.keep(Answer {
            changes: changes.clone(),
            fails,
            kind: failing.kind,
            status,
            got: terms::got(if passing.passed() { passing } else { failing }, status),
            reference_id: failing.reference_id.clone(),
        });
        if !passed && !is_of_our_side(failing) && self.refuses_account(failing, changes) {
            return Then::Stop(
                "the credential itself is refused, so no more requests are made with it".to_owned(),
            );
        }
        Then::GoOn
    }

    /// Takes an answer of a journal.
    pub fn keep(&mut self, answer: Answer) {
        self.search.answer(&answer.changes, answer.fails);
        self.answers.insert(answer.changes.clone(), answer);
    }

    /// What the failing request got, as a journal has it.
    pub fn remember(&mut self, failing: Verdict) {
        self.failing = Some(failing);
    }

    /// What the failing request got, once it was asked.
    #[must_use]
    pub fn failing(&self) -> Option<&Verdict> {
        self.failing.as_ref()
    }

    /// The answer to the request with these changes and all that they need.
    #[must_use]
    pub fn answered(&self, changes: &Set) -> Option<&Answer> {
        self.answers.get(&self.search.closed(changes))
    }

    /// Where what flips the answer lies, of a bisection that was broken off.
    #[must_use]
    pub fn narrowed(&self) -> Option<Set> {
        self.search.narrowed()
    }

    /// The pair that shows it: the changes of the request that fails, and of the closest one that passes.
    #[must_use]
    pub fn pair(&self, found: &Found) -> Option<(Set, Set)> {
        match found {
            Found::Changes { needed, .. } | Found::Many(needed) => {
                Some((self.search.closed(needed), Set::new()))
            }
            Found::BothFail | Found::BothPass | Found::Size { .. } => {
                let all = (0..self.mixed.parts.len()).collect();
                Some((all, Set::new()))
            }
        }
    }

    /// Whether these are all the changes: the failing request itself.
    #[must_use]
    pub fn is_whole(&self, changes: &Set) -> bool {
        changes.len() == self.mixed.parts.len()
    }

    /// What was found in a sentence; `partner` is who refuses.
    #[must_use]
    pub fn sentence(&self, found: &Found, partner: &str) -> String {
        let happens = match &self.failing {
            Some(verdict) if verdict.kind.is_refusal() => match terms::edge(verdict) {
                Some(edge) => format!("{partner} refuses the request at {edge}"),
                None => format!("{partner} refuses the request"),
            },
            _ => "The request fails".to_owned(),
        };
        let answer = |changes: &Set| {
            let answer = self.answers.get(changes).map(|answer| answer.got.clone());
            answer.unwrap_or_else(|| "no answer".to_owned())
        };
        let (with, without) = self.pair(found).unwrap_or_default();
        finding::sentence(
            &self.mixed,
            found,
            &happens,
            &answer(&with),
            &answer(&without),
        )
    }

    /// Whether an answer tells nothing of the request, and what to do about it.
    fn says_nothing(&mut self, verdict: &Verdict, passed: bool, is_end: bool) -> Option<Then> {
        let wanted = match &self.failing {
            Some(known) => known.kind == verdict.kind,
            None => is_end,
        };
        if passed || wanted && verdict.kind != Kind::LocalError {
            return None;
        }
        if is_of_our_side(verdict) {
            return Some(Then::Stop(format!(
                "our own side is in the way: {}",
                terms::got(verdict, None)
            )));
        }
        if !(verdict.kind.is_network()
            || matches!(verdict.kind, Kind::RateLimited | Kind::TlsError))
        {
            return None;
        }
        let wait = verdict.retry_after.unwrap_or_default();
        if wait > WAIT_MAX {
            return Some(Then::Stop(format!(
                "the host asks to wait {} s",
                wait.as_secs()
            )));
        }
        if self.again >= AGAIN_MAX {
            return Some(Then::Stop(format!(
                "the answers come and go: {}",
                terms::got(verdict, None)
            )));
        }
        self.again += 1;
        Some(Then::Wait(wait))
    }

    /// Whether an answer clearly refuses the account that the request was made with.
    fn refuses_account(&self, verdict: &Verdict, changes: &Set) -> bool {
        let clearly = verdict.kind == Kind::OriginDenied
            && (verdict.rule == Rule::Auth || verdict.hints.contains(&Factor::Credential));
        clearly && !self.side(changes).credential.is_anonymous()
    }
}

/// Whether it is the same failure: a request that gets as far as the application is past an edge that refuses.
fn is_same(known: &Verdict, other: &Verdict) -> bool {
    let gates = [Kind::EdgeBlock, Kind::EdgeChallenge];
    let kinds =
        known.kind == other.kind || gates.contains(&known.kind) && gates.contains(&other.kind);
    kinds && known.maker == other.maker && known.vendor == other.vendor && known.code == other.code
}

fn is_of_our_side(verdict: &Verdict) -> bool {
    verdict.kind == Kind::LocalError || verdict.maker == Maker::OurSide
}
