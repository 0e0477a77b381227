//! What people are told beside what is true, at every moment: for worlds that change while an incident is open.
//!
//! After each change of the world a grace is left out, in which nobody can know yet: three rounds and a minute, a quarter of
//! an hour at most; the whole round where one takes longer. A fault that hits a share of the requests has to stand after
//! as many graces as it takes requests to meet it.

use super::blame;
use super::player::{Claim, Message, Playback};
use super::scenario::{ExpectedVerdict, Fault, Scenario, Stands};
use crate::domain::notification::Reason;
use crate::judge::cells::CellSet;

/// A cell that was refused for so long without a break can't be said to pass again, seconds.
const REFUSED_S: f64 = 120.0;
/// An end is told at the latest so many seconds after it, or three rounds and a minute if that is longer.
const END_S: f64 = 300.0;
/// A fault with more times on than these comes and goes all the while, and is one thing.
const FLAPS: usize = 10;

/// A fault over time, seconds from the onset.
#[derive(Debug)]
struct Truth {
    cells: CellSet,
    spans: Vec<(f64, f64)>,
    /// Every request fails.
    certain: bool,
    /// It has to be told: a limit of the rate bites only now and then, and some need not be.
    must: bool,
    /// Graces until it has to be.
    patience: f64,
}

impl Truth {
    fn new(fault: &Fault, scenario: &Scenario) -> Self {
        let universe = &scenario.universe;
        let (cells, pops) = (fault.when.cells(universe), fault.when.pops(universe));
        let lands = |cell: usize, pops: &Vec<u16>| {
            pops.iter().any(|pop| blame::lands(universe, cell, *pop))
        };
        let reached = |cell: usize| pops.as_ref().is_none_or(|pops| lands(cell, pops));
        let mut spans: Vec<(f64, f64)> = fault
            .active_min
            .iter()
            .map(|(from, to)| (from * 60.0, to.map_or(f64::INFINITY, |to| to * 60.0)))
            .collect();
        let flaps = spans.len() > FLAPS;
        if let (true, [first, .., last]) = (flaps, &spans[..]) {
            spans = vec![(first.0, last.1)];
        }
        Self {
            cells: CellSet::filter(universe.cells.len(), |c| cells[c] && reached(c)),
            spans,
            certain: fault.probability >= 1.0 && fault.rate.is_none() && pops.is_none() && !flaps,
            must: fault.rate.is_none() && !fault.ignore,
            patience: 1.0 / fault.probability.max(0.01),
        }
    }

    /// Whether it holds at a moment, unbroken since another.
    fn holds(&self, since: f64, at: f64) -> bool {
        self.spans.iter().any(|s| s.0 <= since && at < s.1)
    }
}

/// How what stands fits what is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// The very cells that are refused.
    Exact,
    /// Nothing is refused, and nothing is said.
    Quiet,
    /// It covers a healthy cell, or names a cause where nothing could tell.
    Wide,
    /// It misses some.
    Narrow,
    /// Nothing is said though something is refused.
    Silent,
    /// Something is said though nothing is refused.
    Stale,
}

impl Fit {
    pub(super) const ALL: [Self; 6] = [
        Self::Exact,
        Self::Quiet,
        Self::Wide,
        Self::Narrow,
        Self::Silent,
        Self::Stale,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Quiet => "quiet",
            Self::Wide => "wide",
            Self::Narrow => "narrow",
            Self::Silent => "silent",
            Self::Stale => "stale",
        }
    }
}

/// The marks of one run over its time.
#[derive(Debug, Clone, Default)]
pub(super) struct OverTime {
    /// Seconds of each fit, in the order of [`Fit::ALL`]; graces are left out.
    pub(super) seconds: [f64; 6],
    /// Seconds from the end of all that an incident named to the message that says so.
    pub(super) fixed_s: Vec<f64>,
    /// Ends that were told late, twice or never.
    pub(super) wrong_ends: usize,
    /// Messages that say of cells that they pass again, and those of them that are false.
    pub(super) resolved: usize,
    pub(super) false_resolved: usize,
    /// Messages to engineers after each change of the world, before the next one.
    pub(super) messages: Vec<usize>,
    /// When the statement was wrong first, and how.
    pub(super) first_wrong: Option<(f64, Fit)>,
    /// What the scenario's file expects over time and did not come.
    pub(super) untimely: Vec<String>,
}

impl OverTime {
    /// Whether what stood was true outside the graces, each end was told once and in time, and no end was false.
    pub(super) fn is_right(&self) -> bool {
        self.first_wrong.is_none() && self.wrong_ends == 0 && self.false_resolved == 0
    }

    /// What was not right, for people.
    pub(super) fn what(&self) -> String {
        let mut parts = Vec::new();
        if let Some((at, fit)) = self.first_wrong {
            let seconds = self.seconds[fit as usize];
            parts.push(format!(
                "{} from {at:.0} s on, {seconds:.0} s",
                fit.as_str()
            ));
        }
        if self.wrong_ends > 0 {
            parts.push(format!("{} ends late, twice or never", self.wrong_ends));
        }
        if self.false_resolved > 0 {
            parts.push(format!("{} false ends", self.false_resolved));
        }
        parts.join("; ")
    }

    /// The share of the time that the statement was exact or rightly quiet; none where the graces cover all of it.
    pub(super) fn true_share(&self) -> Option<f64> {
        let all: f64 = self.seconds.iter().sum();
        (all > 0.0).then(|| (self.seconds[0] + self.seconds[1]) / all)
    }

    pub(super) fn share(&self, fit: Fit) -> f64 {
        let all: f64 = self.seconds.iter().sum();
        self.seconds[fit as usize] / all.max(f64::MIN_POSITIVE)
    }

    /// Adds another run's marks, for a table.
    pub(super) fn add(&mut self, other: &Self) {
        for (mine, others) in self.seconds.iter_mut().zip(other.seconds) {
            *mine += others;
        }
        self.fixed_s.extend(&other.fixed_s);
        self.wrong_ends += other.wrong_ends;
        self.resolved += other.resolved;
        self.false_resolved += other.false_resolved;
        self.messages.extend(&other.messages);
    }

    pub(super) fn messages_most(&self) -> usize {
        self.messages.iter().copied().max().unwrap_or(0)
    }
}

/// What is said at a time: the cells of each incident that people believe to fail.
#[derive(Debug, Clone)]
struct Said<'a> {
    from: f64,
    by_incident: Vec<(u64, &'a CellSet)>,
}

/// A run beside its world.
struct Course<'a> {
    truths: Vec<Truth>,
    /// All cells of the universe are as many.
    cells: usize,
    grace: f64,
    end_by: f64,
    end: f64,
    /// Moments at which the world changes.
    changes: Vec<f64>,
    cannot_tell: bool,
    claims: Vec<(&'a Claim, f64, f64)>,
    open: Vec<(f64, f64)>,
    said: Vec<Said<'a>>,
    messages: Vec<(f64, &'a Message)>,
}

/// Judges one run over its time.
pub(super) fn judge(scenario: &Scenario, playback: &Playback) -> OverTime {
    let course = Course::new(scenario, playback);
    let mut marks = OverTime::default();
    course.fits(&mut marks);
    course.ends(&mut marks);
    course.resolutions(&mut marks);
    marks.messages = course.messages_by_change();
    marks.untimely = course.untimely(scenario, &marks);
    marks
}

impl<'a> Course<'a> {
    fn untimely(&self, scenario: &Scenario, marks: &OverTime) -> Vec<String> {
        let expect = &scenario.expect;
        let stands = expect.stands.iter();
        let mut failures: Vec<String> = stands
            .filter_map(|stands| self.fails_to_stand(scenario, stands))
            .collect();
        let late = |limit: &f64| marks.wrong_ends > 0 || marks.fixed_s.iter().any(|s| s > limit);
        if expect.fixed_within_s.as_ref().is_some_and(late) {
            let longest = marks.fixed_s.iter().copied().fold(0.0, f64::max);
            failures.push(format!(
                "an end was told after {longest:.0} s, twice or never"
            ));
        }
        let count = self.messages.len();
        if expect.max_messages.is_some_and(|most| count > most) {
            failures.push(format!("{count} messages were sent"));
        }
        failures
    }

    /// What stood instead, where it was not what should.
    fn fails_to_stand(&self, scenario: &Scenario, stands: &Stands) -> Option<String> {
        let (from, to) = (stands.from_min * 60.0, stands.to_min.map(|to| to * 60.0));
        let to = to.unwrap_or(self.end);
        let wanted = stands.causes.iter().map(|cause| {
            let cells = cause.cells(&scenario.universe);
            CellSet::filter(self.cells, |cell| cells[cell])
        });
        let wanted = self.union(&wanted.collect::<Vec<_>>());
        let news = self.said.iter().map(|said| said.from);
        let mut moments = news.filter(|at| (from..to).contains(at)).chain([from]);
        let wrong = moments.find(|at| self.believed(*at) != wanted)?;
        let minute = wrong / 60.0;
        Some(format!("at minute {minute:.1} another statement stood"))
    }

    fn new(scenario: &Scenario, playback: &'a Playback) -> Self {
        let round = scenario.schedule.interval_s;
        let after = |at: f64| at - playback.onset;
        let truths: Vec<Truth> = scenario
            .faults
            .iter()
            .map(|fault| Truth::new(fault, scenario))
            .collect();
        let end = f64::from(scenario.rounds) * round;
        let moments = truths.iter().flat_map(|t| &t.spans);
        let mut changes: Vec<f64> = moments
            .flat_map(|s| [s.0, s.1])
            .filter(|t| *t < end)
            .collect();
        changes.sort_by(f64::total_cmp);
        changes.dedup();
        let over = |at: Option<f64>| at.map_or(f64::INFINITY, after);
        let claims = playback.incidents.iter().flat_map(|it| {
            it.claims.iter().map(move |claim| {
                let until = over(claim.withdrawn_at).min(over(it.recovered_at));
                (claim, after(claim.claimed_at), until)
            })
        });
        let open = playback.incidents.iter();
        Self {
            cells: scenario.universe.cells.len(),
            grace: if round <= 900.0 {
                (3.0 * round + 60.0).min(900.0)
            } else {
                round + 900.0
            },
            end_by: END_S.max(3.0 * round + 60.0),
            end,
            changes,
            cannot_tell: scenario.expect.verdict == ExpectedVerdict::CannotTell,
            claims: claims.collect(),
            open: open
                .map(|it| (after(it.opened_at), over(it.recovered_at)))
                .collect(),
            said: said(playback),
            messages: playback.messages.iter().map(|m| (after(m.at), m)).collect(),
            truths,
        }
    }

    fn union<'b>(&self, sets: impl IntoIterator<Item = &'b CellSet>) -> CellSet {
        let mut all = CellSet::none(self.cells);
        for set in sets {
            all.add_all(set);
        }
        all
    }

    /// The cells of the faults that hold at a moment and fit.
    fn refused(&self, at: f64, fits: impl Fn(&Truth) -> bool) -> CellSet {
        let here = self.truths.iter().filter(|t| t.holds(at, at) && fits(t));
        self.union(here.map(|t| &t.cells))
    }

    /// What people believe to fail at a moment.
    fn believed(&self, at: f64) -> CellSet {
        let now = self.said.iter().rfind(|said| said.from <= at);
        self.union(
            now.iter()
                .flat_map(|said| said.by_incident.iter().map(|i| i.1)),
        )
    }

    fn fits(&self, marks: &mut OverTime) {
        let mut cuts = vec![0.0, self.end];
        cuts.extend(self.changes.iter().flat_map(|c| [*c, c + self.grace]));
        cuts.extend(self.claims.iter().flat_map(|c| [c.1, c.2]));
        cuts.extend(self.open.iter().flat_map(|o| [o.0, o.1]));
        cuts.extend(self.said.iter().map(|s| s.from));
        cuts.retain(|cut| (0.0..=self.end).contains(cut));
        cuts.sort_by(f64::total_cmp);
        cuts.dedup();
        for pair in cuts.windows(2) {
            let at = pair[0];
            let graced = |change: &f64| (*change..change + self.grace).contains(&at);
            if self.changes.iter().any(graced) {
                continue;
            }
            let fit = self.fit(at);
            marks.seconds[fit as usize] += pair[1] - at;
            if !matches!(fit, Fit::Exact | Fit::Quiet) {
                marks.first_wrong.get_or_insert((at, fit));
            }
        }
    }

    fn fit(&self, at: f64) -> Fit {
        let due = |t: &Truth| t.must && t.holds(at - self.grace * (t.patience - 1.0), at);
        let (must, may) = (self.refused(at, due), self.refused(at, |_| true));
        let stands = |from: f64, until: f64| from <= at && at < until;
        let claims: Vec<&Claim> = self
            .claims
            .iter()
            .filter(|c| stands(c.1, c.2))
            .map(|c| c.0)
            .collect();
        let named = self.union(claims.iter().map(|c| &c.blame.cells));
        let mut told = self.believed(at);
        let says_something = !claims.is_empty() || !told.is_empty();
        told.add_all(&named);
        let healthy = !told.minus(&may).is_empty();
        if self.cannot_tell {
            let open = self.open.iter().any(|o| stands(o.0, o.1));
            return match (must.is_empty(), claims.is_empty()) {
                (true, _) if says_something => Fit::Stale,
                (true, _) => Fit::Quiet,
                (false, false) => Fit::Wide,
                (false, true) if open => Fit::Exact,
                (false, true) => Fit::Silent,
            };
        }
        match (must.is_empty(), healthy) {
            (true, true) => Fit::Stale,
            (true, false) => Fit::Quiet,
            (false, true) => Fit::Wide,
            (false, false) if claims.is_empty() => Fit::Silent,
            (false, false) if must.minus(&named).is_empty() => Fit::Exact,
            (false, false) => Fit::Narrow,
        }
    }

    /// Each end of something that was told is told once, and soon.
    fn ends(&self, marks: &mut OverTime) {
        let spans = || self.truths.iter().flat_map(|t| &t.spans);
        let mut ends: Vec<f64> = spans().map(|s| s.1).filter(|e| *e < self.end).collect();
        ends.sort_by(f64::total_cmp);
        ends.dedup();
        for end in ends {
            let over = self
                .truths
                .iter()
                .filter(|t| t.spans.iter().any(|s| s.1.total_cmp(&end).is_eq()));
            let still = self.refused(end, |_| true);
            let freed = self.union(over.map(|t| &t.cells)).minus(&still);
            let again = self
                .truths
                .iter()
                .filter(|t| !t.cells.and(&freed).is_empty());
            let again = again
                .flat_map(|t| t.spans.iter().map(|s| s.0))
                .filter(|b| *b > end);
            let until = again.fold(self.end, f64::min);
            let before = self.said.iter().rfind(|said| said.from < end);
            let named = before.iter().flat_map(|said| &said.by_incident);
            for (incident, cells) in named.filter(|(_, cells)| !cells.and(&freed).is_empty()) {
                self.end_of(*incident, cells, &freed, (end, until), marks);
            }
        }
    }

    fn end_of(
        &self,
        incident: u64,
        cells: &CellSet,
        freed: &CellSet,
        (end, until): (f64, f64),
        marks: &mut OverTime,
    ) {
        let mut names_it = true;
        let mut told: Vec<f64> = Vec::new();
        for said in self.said.iter().filter(|s| (end..until).contains(&s.from)) {
            let now = said.by_incident.iter().find(|i| i.0 == incident);
            let still = now.is_some_and(|(_, cells)| !cells.and(freed).is_empty());
            if names_it && !still {
                told.push(said.from - end);
            }
            names_it = still;
        }
        let all_well = cells.and(&self.refused(end, |_| true)).is_empty();
        match told.first() {
            Some(first) => {
                marks.wrong_ends += usize::from(told.len() > 1 || *first > self.end_by);
                marks.fixed_s.extend(all_well.then_some(*first));
            }
            None if until - end > self.end_by => {
                marks.wrong_ends += 1;
                marks.fixed_s.extend(all_well.then_some(self.end - end));
            }
            None => {}
        }
    }

    fn resolutions(&self, marks: &mut OverTime) {
        for (at, message) in &self.messages {
            if message.reason != Reason::Resolved {
                continue;
            }
            marks.resolved += 1;
            let refused = self.refused(*at, |t| t.certain && t.holds(at - REFUSED_S, *at));
            let elsewhere = self.believed(*at);
            let false_ones = message.failing.and(&refused).minus(&elsewhere);
            marks.false_resolved += usize::from(!false_ones.is_empty());
        }
    }

    fn messages_by_change(&self) -> Vec<usize> {
        let changes: &[f64] = if self.changes.is_empty() {
            &[0.0]
        } else {
            &self.changes
        };
        let mut counts = vec![0; changes.len()];
        for (at, message) in &self.messages {
            if matches!(
                message.reason,
                Reason::Opened | Reason::Changed | Reason::Reopened | Reason::Resolved
            ) {
                let after = changes.iter().filter(|c| *c <= at).count();
                counts[after.saturating_sub(1)] += 1;
            }
        }
        counts
    }
}

/// What is said after each message.
fn said(playback: &Playback) -> Vec<Said<'_>> {
    let mut now: Vec<(u64, &CellSet)> = Vec::new();
    let mut all = Vec::new();
    for message in &playback.messages {
        now.retain(|(incident, _)| *incident != message.incident);
        if message.reason != Reason::Resolved {
            now.push((message.incident, &message.failing));
        }
        all.push(Said {
            from: message.at - playback.onset,
            by_incident: now.clone(),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::moving;
    use super::super::player::{Stage, play};
    use super::super::scenario::{When, read};
    use super::*;
    use crate::domain::verdict::Kind;

    const BLOCK: &str = "
id: block
universe:
  endpoints:
  - {id: orders, host: a, path: /orders, auth: false}
  - {id: other, host: b, path: /x, auth: false}
  egress: [{id: e1}, {id: e2}]
  user_agents: [{id: legacy}, {id: modern}]
schedule: {interval_s: 60, design: full}
noise: {independent: 0.0, bursts_per_day: 0.0}
rounds: 60
faults:
- {when: {ua: legacy, host: a}, class: edge_block, active_min: [[0, 30]]}
expect: {incident: true, verdict: attributed, causes: [{when: {ua: legacy, host: a}}]}
";

    fn played() -> (Scenario, Playback) {
        let scenario = read(BLOCK, "block").unwrap();
        let playback = play(&scenario, &Stage::new(&scenario).unwrap(), 1, false);
        (scenario, playback)
    }

    #[test]
    fn a_block_that_is_told_and_told_as_over_is_right() {
        let (scenario, playback) = played();
        let marks = judge(&scenario, &playback);
        assert!(marks.is_right(), "{}", marks.what());
        assert_eq!(marks.true_share(), Some(1.0));
        assert_eq!((marks.fixed_s.len(), marks.resolved), (1, 1));
        assert_eq!(marks.messages, [1, 1], "one a change");
    }

    #[test]
    fn an_end_that_is_never_told_is_stale() {
        let (scenario, mut playback) = played();
        playback.messages.truncate(1);
        for incident in &mut playback.incidents {
            incident.recovered_at = None;
        }
        let marks = judge(&scenario, &playback);
        assert_eq!(marks.wrong_ends, 1);
        assert_eq!(marks.fixed_s, [1800.0], "up to the end of the run");
        assert_eq!(marks.first_wrong, Some((1800.0 + 240.0, Fit::Stale)));
    }

    #[test]
    fn an_end_in_the_middle_of_it_is_false() {
        let (scenario, mut playback) = played();
        let end = playback.onset + 900.0;
        let last = playback.messages.last_mut().unwrap();
        assert_eq!(last.reason, Reason::Resolved);
        last.at = end;
        for incident in &mut playback.incidents {
            incident.recovered_at = Some(end);
        }
        let marks = judge(&scenario, &playback);
        assert_eq!((marks.resolved, marks.false_resolved), (1, 1));
        assert_eq!(marks.first_wrong, Some((900.0, Fit::Silent)));
    }

    #[test]
    fn a_statement_about_others_is_wide() {
        let (mut scenario, playback) = played();
        scenario.faults = vec![Fault {
            active_min: vec![(0.0, Some(30.0))],
            ..Fault::new(
                When::of(&[("ua", "legacy"), ("host", "a"), ("egress", "e1")]),
                &[(Kind::EdgeBlock, 1.0)],
            )
        }];
        let marks = judge(&scenario, &playback);
        assert_eq!(marks.first_wrong.map(|wrong| wrong.1), Some(Fit::Wide));
    }

    #[test]
    fn every_world_can_be_drawn_and_drawn_again() {
        for (kind, _) in moving::MOVES {
            let (a, b) = (moving::world(kind, 7), moving::world(kind, 7));
            let a = a.unwrap_or_else(|| panic!("no world of kind {kind}"));
            let b = b.unwrap();
            assert_eq!((&a.universe, &a.faults), (&b.universe, &b.faults), "{kind}");
            assert!(
                a.faults.len() > 1 || a.faults[0].active_min[0].1.is_some(),
                "{kind}"
            );
        }
    }
}
