//! What a person sees of an incident's diagnosis, so that they are told anew only when it differs, and goes on to differ.
//!
//! A statement changes when the truth does, not with each run: while an incident is young its news is told at once;
//! each further one must have stood for a while, the longer the more was told in the last hour. What stands shorter is
//! in the document of the incident and in its timeline, and nobody is woken for it.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::cell::ProbeName;
use crate::domain::diagnosis::Cause;
use crate::domain::incident::{Incident, Subject};
use crate::domain::moment::later;
use crate::judge::class::{Class, Mechanism};
use crate::words::briefing::GUESSES_BELOW;

/// What a receiver is told anew when it changes: cause, whose side, kind, scope, what changed before.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    cause: Cause,
    confidence: f64,
    our_side: bool,
    /// The edge that fails by itself before several partners.
    edge: Option<String>,
    /// What sets its failures apart.
    split: Option<String>,
    group: Mechanism,
    probes: Vec<ProbeName>,
    /// Changes that it probably has to do with.
    beside: Vec<String>,
}

/// The part of a [`Face`] that somebody sees.
type Shown<'a> = (
    Option<&'a Cause>,
    bool,
    (Option<&'a str>, Option<&'a str>),
    Mechanism,
    &'a [ProbeName],
    &'a [String],
);

impl Face {
    #[must_use]
    pub fn of(incident: &Incident) -> Self {
        let diagnosis = &incident.diagnosis;
        // Which candidates are left changes by the minute; that it is not known is what a person reads.
        let cause = match &diagnosis.cause {
            Cause::Unknown { .. } => Cause::Unknown { among: Vec::new() },
            known => known.clone(),
        };
        let related = incident.beside.iter().filter(|beside| beside.related);
        // Which of them failed first is no news.
        let mut probes = incident.probes.clone();
        probes.sort_unstable();
        Self {
            cause,
            confidence: diagnosis.confidence,
            our_side: diagnosis.cause.is_ours(),
            edge: match &incident.subject {
                Subject::Vendor(name) => Some(name.clone()),
                _ => None,
            },
            split: diagnosis.split.as_ref().map(|split| split.name.clone()),
            group: Class::of(incident.kind).mechanism(),
            // Of our own side the egresses are told; whoever is asked from there comes by and by.
            // And what comes and goes touches now these, now those.
            probes: if incident.is_ours() || incident.comes_and_goes() {
                Vec::new()
            } else {
                probes
            },
            beside: related.map(|beside| beside.text.clone()).collect(),
        }
    }

    pub(super) fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Whether the incident still has the cause that it had.
    #[must_use]
    pub fn same_cause(&self, incident: &Incident) -> bool {
        self.is_alike(&Self::of(incident))
    }

    /// Whether what fails still fails in the same way, roughly.
    #[must_use]
    pub fn same_group(&self, incident: &Incident) -> bool {
        self.group == Class::of(incident.kind).mechanism()
    }

    /// Whether only the scope, or how sure it is, differs.
    fn is_alike(&self, other: &Self) -> bool {
        (&self.cause, self.group, &self.edge) == (&other.cause, other.group, &other.edge)
    }

    /// Whether somebody with one of these bounds of confidence sees another thing.
    fn differs(&self, other: &Self, bounds: &[f64]) -> bool {
        let mut bounds = bounds.iter();
        bounds.any(|bound| self.shown(*bound) != other.shown(*bound))
    }

    /// The part that somebody with this bound of confidence sees.
    pub(super) fn shown(&self, min_confidence: f64) -> Shown<'_> {
        let named = if matches!(self.cause, Cause::Unknown { .. }) {
            min_confidence < GUESSES_BELOW
        } else {
            self.confidence >= min_confidence
        };
        let cause = named.then_some(&self.cause);
        let edge = (self.edge.as_deref(), self.split.as_deref());
        let (probes, beside) = (&self.probes, &self.beside);
        (cause, self.our_side, edge, self.group, probes, beside)
    }
}

/// How long another statement must stand before it is told, by how many changes were told in the last [`LATELY`].
const STANDS_FOR: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(300),
];
/// At least so long for doubt where a cause was named: mostly it comes back, or all of it passes.
const DOUBT_STANDS_FOR: Duration = Duration::from_secs(120);
/// And for another scope of the same cause: a round shows it probe by probe.
const SCOPE_STANDS_FOR: Duration = Duration::from_secs(60);
/// How long the statement of what comes and goes must stand, which changes by nature.
const STANDS_FOR_RESTLESS: Duration = Duration::from_secs(900);
const LATELY: Duration = Duration::from_secs(3600);
/// What never stands still is told after so many times as long.
const RESTLESS: u32 = 4;

/// What people were told that an incident looks like, and what it has looked like since.
#[derive(Debug)]
pub struct Statement {
    told: Face,
    /// When changes were told of late.
    changes: Vec<Timestamp>,
    waiting: Option<Waiting>,
}

/// How an incident stands to what people were told of it.
#[derive(Debug, PartialEq)]
pub enum News {
    /// As they know it, or as it waits to be told already.
    None,
    /// It looks different, and people hear of it if that stands.
    Waits,
    /// It is to be told: what was told until now, and since when it looks different.
    Told { before: Face, since: Timestamp },
}

/// News that is not told yet.
#[derive(Debug)]
struct Waiting {
    face: Face,
    since: Timestamp,
    /// Since when it differs from what was told, in whatever way.
    differs_since: Timestamp,
}

impl Statement {
    /// It was told as it is now.
    #[must_use]
    pub fn new(incident: &Incident) -> Self {
        Self {
            told: Face::of(incident),
            changes: Vec::new(),
            waiting: None,
        }
    }

    /// What is new for somebody with one of these bounds of confidence.
    pub fn turn(
        &mut self,
        incident: &Incident,
        bounds: impl FnOnce() -> Vec<f64>,
        now: Timestamp,
    ) -> News {
        let face = Face::of(incident);
        if face == self.told && self.waiting.is_none() {
            return News::None;
        }
        let bounds = bounds();
        if !face.differs(&self.told, &bounds) {
            let is_back = self.waiting.take().is_some();
            self.told = face;
            return if is_back { News::Waits } else { News::None };
        }
        // What lies ahead is from before the clock was set back.
        self.changes
            .retain(|at| *at <= now && later(*at, LATELY) > now);
        let waiting = self.waiting.take();
        let differs_since = waiting.as_ref().map_or(now, |w| w.differs_since.min(now));
        let same = waiting.filter(|waiting| !waiting.face.differs(&face, &bounds));
        let moved = same.is_none();
        let since = same.map_or(now, |waiting| waiting.since.min(now));
        self.waiting = Some(Waiting {
            face: face.clone(),
            since,
            differs_since,
        });
        if self.due_at(incident).is_some_and(|at| at > now) {
            return if moved { News::Waits } else { News::None };
        }
        self.changes.push(now);
        let before = self.tell(face);
        News::Told { before, since }
    }

    /// It is told as it is now for another reason; returns what was told before.
    pub fn follow(&mut self, incident: &Incident) -> Face {
        self.tell(Face::of(incident))
    }

    fn tell(&mut self, face: Face) -> Face {
        self.waiting = None;
        std::mem::replace(&mut self.told, face)
    }

    /// When news that waits is to be told if it stands until then.
    #[must_use]
    pub fn due_at(&self, incident: &Incident) -> Option<Timestamp> {
        let waiting = self.waiting.as_ref()?;
        let stands_for = self.stands_for(&waiting.face, incident);
        let restless = later(waiting.differs_since, stands_for.saturating_mul(RESTLESS));
        Some(later(waiting.since, stands_for).min(restless))
    }

    /// How long news must stand.
    fn stands_for(&self, news: &Face, incident: &Incident) -> Duration {
        if incident.comes_and_goes() {
            return STANDS_FOR_RESTLESS;
        }
        let for_so_many = STANDS_FOR.get(self.changes.len()).copied();
        let stands_for = for_so_many.unwrap_or(STANDS_FOR_RESTLESS);
        let unknown = |face: &Face| matches!(face.cause, Cause::Unknown { .. });
        if unknown(news) && !unknown(&self.told) {
            stands_for.max(DOUBT_STANDS_FOR)
        } else if news.is_alike(&self.told) {
            stands_for.max(SCOPE_STANDS_FOR)
        } else {
            stands_for
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::diagnosis::Level;
    use crate::incident::notify::tests::incident;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn level(client: &str) -> Cause {
        Cause::Level(Level::Client(client.into()))
    }

    /// Plays `second client` pairs (`?`: the cause is doubted); the seconds at which people are told, when it is looked every second.
    fn told(reopened: u32, story: &str, until: i64) -> Vec<i64> {
        let mut incident = incident();
        incident.reopened = reopened;
        incident.diagnosis.cause = level("a");
        let mut statement = Statement::new(&incident);
        let words: Vec<&str> = story.split_whitespace().collect();
        let mut told = Vec::new();
        for second in 0..until {
            for pair in words.chunks(2).filter(|p| p[0] == second.to_string()) {
                incident.diagnosis.cause = match pair[1] {
                    "?" => Cause::Unknown { among: Vec::new() },
                    client => level(client),
                };
            }
            let waits = statement.due_at(&incident);
            let news = statement.turn(&incident, || vec![0.9, 0.0], at(second));
            if let News::Told { .. } = news {
                assert!(second == 0 || waits.is_none_or(|due| due <= at(second)));
                told.push(second);
            }
        }
        told
    }

    #[test]
    fn news_is_told_once_it_stands() {
        let check = |name: &str, story: &str, expected: &[i64]| {
            assert_eq!(told(0, story, 1200), expected, "{name}");
        };
        check("nothing new", "10 a", &[]);
        check("the first at once", "10 b", &[10]);
        check("the second once it stood", "10 b 20 c", &[10, 35]);
        check(
            "what is back as it was told is no news",
            "10 b 20 c 30 b",
            &[10],
        );
        check(
            "the more, the slower",
            "10 b 20 c 40 b 110 c",
            &[10, 35, 100, 410],
        );
        check("doubt may pass", "10 ? 100 a", &[]);
        check("doubt that stays is told", "10 ?", &[130]);
        let restless: Vec<String> = (2..100)
            .map(|n| format!("{} {}", 10 * n, ["c", "d"][n % 2]))
            .collect();
        let never_still = format!("10 b {}", restless.join(" "));
        let told = told(0, &never_still, 1200);
        assert_eq!(
            told[..2],
            [10, 80],
            "what never stands still is told all the same"
        );
        assert!(told.len() < 6, "{told:?}");
    }

    #[test]
    fn what_comes_and_goes_changes_seldom() {
        assert_eq!(told(2, "10 b", 1200), [910]);
        assert_eq!(told(2, "10 b 800 a", 1200), [] as [i64; 0]);
    }

    #[test]
    fn that_an_edge_fails_by_itself_is_told_at_once() {
        let mut incident = incident();
        incident.diagnosis.cause = Cause::Everything;
        let mut statement = Statement::new(&incident);
        incident.subject = Subject::Vendor("cloudflare".to_owned());
        let news = statement.turn(&incident, || vec![0.0], at(0));
        assert!(matches!(news, News::Told { .. }), "{news:?}");
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_back() {
        let mut incident = incident();
        let mut statement = Statement::new(&incident);
        for (second, client) in [(10_000, "b"), (10_100, "c")] {
            incident.diagnosis.cause = level(client);
            let _ = statement.turn(&incident, || vec![0.0], at(second));
        }
        let news = statement.turn(&incident, || vec![0.0], at(0));
        assert!(matches!(news, News::Told { .. }), "{news:?}");
    }

    #[test]
    fn which_probe_failed_first_is_no_news() {
        let mut incident = incident();
        incident.probes = vec!["a".into(), "b".into()];
        let mut statement = Statement::new(&incident);
        incident.probes.reverse();
        assert_eq!(statement.turn(&incident, || vec![0.0], at(0)), News::None);
        incident.probes.push("c".into());
        let mut turn = |second| statement.turn(&incident, || vec![0.0], at(second));
        assert_eq!(turn(0), News::Waits);
        assert_eq!(turn(59), News::None, "the round may show another yet");
        assert!(matches!(turn(60), News::Told { since, .. } if since == at(0)));
    }
}
