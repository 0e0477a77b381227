//! Notices that a share of the requests fails, for each level of every factor and for all of them.
//!
//! One pass in between dismisses a suspicion, so a fault that hits every third request would never be
//! confirmed there. Here each key (a host, a client at a host, an egress everywhere …) adds up how much
//! better "a share fails" explains its runs than noise does, for a few shares and for each kind of
//! failure by itself (Page's cumulative sum). Noise is single failures at the rate that was learned, per
//! run, and bursts: half a minute in which nearly all fails says as little as one failure, however many
//! requests met it. The score of an alarm grows with the runs of a key, so that a dense plan raises no
//! more false alarms a year than a sparse one.

use std::collections::{BTreeMap, HashMap};

use super::baseline::RATE_MAX;
use super::cells::CellSet;
use super::class::{CLASSES, Class, Tier};
use crate::judge::universe::{Axis, Universe};

/// The shares that are looked for.
const SHARES: [f64; 4] = [0.05, 0.12, 0.3, 0.7];
/// A share must stand out from what fails by itself by this factor.
const STANDS_OUT: f64 = 4.0;
/// Tests that each key makes at once: its shares and kinds of failure, most of which rise together.
const TESTS: f64 = 2.0;
/// No failure adds more.
const STEP_MAX: f64 = 8.0;
/// So little is missing that some more runs would decide: about what three failures say.
const NEAR: f64 = 10.5;
/// A key that is asked more often than this by itself needs no more, seconds.
const DENSE_S: f64 = 1.5;
const YEAR_S: f64 = 365.0 * 86_400.0;
/// The rate of a key is not taken from less than this, seconds.
const RATE_SPAN_S: f64 = 600.0;
/// A share this large is a fault even where nothing is known of before; a smaller one may be how it always
/// was there, unless a change explains the runs so much better (log).
const LARGE: f64 = 0.2;
const CHANGED: f64 = 4.5;
/// Or unless it is surely beyond what is believed to be how it always was, explained so much better (log) than by that:
/// what a link loses, and how often an answer came and was a bad one.
const BEYOND: f64 = 6.0;
const ANSWERED_MAX: f64 = 0.03;
/// The same, of an egress: a link that loses a little has mostly always done so.
const LINK_CHANGED: f64 = 9.0;
/// Or unless the other runs of the same egresses at the host fare so much better meanwhile.
const APART: f64 = 7.0;
/// Runs of a key are halved beyond this, so that old times fade.
const RUNS_MAX: u32 = 20_000;
/// Prior of the share that fails within a burst: failures and passes.
const BURST_FAILS: (f64, f64) = (4.0, 1.5);

/// What failures are added up together: one class, or those of one tier or mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kin {
    Class(Class),
    Weak,
    Edge,
}

impl Kin {
    fn of(class: Class) -> [Option<Self>; 2] {
        let wider = match class {
            Class::EdgeBlock | Class::EdgeChallenge | Class::RateLimited => Some(Self::Edge),
            weak if weak.is_weak() => Some(Self::Weak),
            _ => None,
        };
        [Some(Self::Class(class)), wider]
    }

    fn has(self, class: Class) -> bool {
        Self::of(class).contains(&Some(self))
    }

    /// The share that may be how it always was.
    fn always_at_most(self) -> f64 {
        match self {
            Self::Class(Class::OriginError) | Self::Edge => ANSWERED_MAX,
            Self::Class(class) if class.is_signed() => ANSWERED_MAX,
            _ => RATE_MAX,
        }
    }

    fn tier(self) -> Tier {
        match self {
            Self::Class(class) => class.tier(),
            Self::Weak => Tier::Weak,
            Self::Edge => Tier::Medium,
        }
    }

    /// How often it comes by itself.
    fn background(self, rates: &Background) -> f64 {
        match self {
            Self::Class(class) => rates[class.index()],
            _ => Class::FAILURES
                .into_iter()
                .filter(|class| self.has(*class))
                .map(|class| rates[class.index()])
                .sum(),
        }
    }
}

/// How bursts of a tier come: seconds that one piece of evidence spans, seconds after which a burst has
/// ended by 1/e, chance that one begins, and the most that one piece may say.
#[derive(Debug, Clone, Copy)]
struct Bursts {
    piece_s: f64,
    fades_s: f64,
    begins: f64,
    says_at_most: f64,
}

fn bursts(tier: Tier) -> Bursts {
    let (piece_s, fades_s, begins, says_at_most) = match tier {
        Tier::Weak => (30.0, 20.0, 1.5e-3, 7.0),
        Tier::Medium => (15.0, 20.0, 3e-4, 10.0),
        Tier::Strong => (10.0, 8.0, 1e-4, 15.0),
    };
    Bursts {
        piece_s,
        fades_s,
        begins,
        says_at_most,
    }
}

/// How often each class fails by itself, where an observation was made.
pub type Background = [f64; CLASSES];

/// Runs of a key, and how many of them failed in one way.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Count {
    runs: u32,
    failed: u32,
}

impl Count {
    fn since(self, before: Self) -> Self {
        Self {
            runs: self.runs.saturating_sub(before.runs),
            failed: self.failed.saturating_sub(before.failed),
        }
    }

    fn share(self) -> f64 {
        f64::from(self.failed) / f64::from(self.runs.max(1))
    }

    /// How much better two shares explain both than one does (log).
    fn stands_apart(self, other: Self) -> f64 {
        let both = Self {
            runs: self.runs + other.runs,
            failed: self.failed + other.failed,
        };
        self.best() + other.best() - both.best()
    }

    /// How much better its own share explains it than a smaller one does (log); 0 where its own is no larger.
    fn is_beyond(self, share: f64) -> f64 {
        if self.share() > share {
            self.best() - self.at(share)
        } else {
            0.0
        }
    }

    /// Log probability at the share that explains it best.
    fn best(self) -> f64 {
        self.at(self.share().clamp(1e-6, 1.0 - 1e-6))
    }

    /// Log probability at a share between 0 and 1, both excluded.
    fn at(self, share: f64) -> f64 {
        f64::from(self.failed) * share.ln()
            + f64::from(self.runs.saturating_sub(self.failed)) * (1.0 - share).ln()
    }
}

/// The runs of a key within one piece of time.
#[derive(Debug, Clone, Copy)]
struct Piece {
    began: f64,
    /// What came before it.
    before: Count,
    failed: u32,
    passed: u32,
    /// Runs of the same egresses at the host that it does not count: a burst would have met them too.
    beside: Count,
    first_failed: f64,
    last_failed: f64,
    /// Log probabilities of its runs under single failures, and within a burst.
    single: f64,
    burst: f64,
}

impl Piece {
    fn new(began: f64, before: Count) -> Self {
        Self {
            began,
            before,
            failed: 0,
            passed: 0,
            beside: Count::default(),
            first_failed: 0.0,
            last_failed: 0.0,
            single: 0.0,
            burst: 0.0,
        }
    }

    /// Takes in what a burst that has met so much lets expect of one more run.
    fn meets(&mut self, failed: bool) {
        let (fails, passes) = BURST_FAILS;
        let fails = fails + f64::from(self.failed + self.beside.failed);
        let passes = passes + f64::from(self.passed + self.beside.runs - self.beside.failed);
        let alike = if failed { fails } else { passes };
        self.burst += (alike / (fails + passes)).ln();
    }

    fn add_beside(&mut self, failed: bool) {
        self.meets(failed);
        self.beside.runs += 1;
        self.beside.failed += u32::from(failed);
    }

    fn add(&mut self, at: f64, failed: bool, background: f64) {
        self.meets(failed);
        if failed {
            self.single += background.ln();
            if self.failed == 0 {
                self.first_failed = at;
            }
            self.failed += 1;
            self.last_failed = at;
        } else {
            self.single += (1.0 - background).ln();
            self.passed += 1;
        }
    }

    /// How much better a share explains it than noise; `before` is when the key failed last before it.
    fn ratio(&self, share: f64, before: f64, bursts: &Bursts) -> f64 {
        let fault =
            f64::from(self.failed) * share.ln() + f64::from(self.passed) * (1.0 - share).ln();
        if self.failed == 0 {
            return fault - self.single;
        }
        let goes_on = (-(self.last_failed - before) / bursts.fades_s).exp();
        let in_burst = goes_on.clamp(bursts.begins, 0.9);
        let (a, b) = (
            (1.0 - in_burst).ln() + self.single,
            in_burst.ln() + self.burst,
        );
        let noise = a.max(b) + (-(a - b).abs()).exp().ln_1p();
        (fault - noise)
            .min(STEP_MAX * f64::from(self.failed))
            .min(bursts.says_at_most)
    }
}

/// How strongly one key speaks for a share of one kind of failure, since it last spoke for noise alone.
#[derive(Debug, Clone)]
struct Excursion {
    kin: Kin,
    scores: [f64; SHARES.len()],
    since: [f64; SHARES.len()],
    /// The runs before that.
    known: [Count; SHARES.len()],
    /// The egresses of its failures, and the other runs of theirs at the host.
    egresses: Vec<u16>,
    beside: Count,
    /// The last failure before `piece`.
    before: f64,
    /// Failures since it began.
    failed: u32,
    piece: Piece,
}

impl Excursion {
    fn new(kin: Kin, at: f64, before: Count) -> Self {
        Self {
            kin,
            egresses: Vec::new(),
            beside: Count::default(),
            scores: [0.0; SHARES.len()],
            since: [at; SHARES.len()],
            known: [before; SHARES.len()],
            before: f64::NEG_INFINITY,
            failed: 0,
            piece: Piece::new(at, before),
        }
    }

    /// Takes in a run of its host that it does not count.
    fn see_beside(&mut self, at: f64, egress: u16, class: Class) {
        if !self.egresses.contains(&egress) {
            return;
        }
        self.beside.runs += 1;
        self.beside.failed += u32::from(self.kin.has(class));
        if at < self.piece.began + bursts(self.kin.tier()).piece_s {
            self.piece.add_beside(class.failed());
        }
    }

    /// Closes the piece that is over; returns whether anything speaks for a fault still.
    fn go_on(&mut self, at: f64, before: Count) -> bool {
        let bursts = bursts(self.kin.tier());
        if at < self.piece.began + bursts.piece_s {
            return true;
        }
        for (i, share) in SHARES.into_iter().enumerate() {
            let (score, before) = (self.scores[i], self.before);
            if score <= 0.0 {
                self.since[i] = self.piece.first_failed;
                self.known[i] = self.piece.before;
            }
            self.scores[i] = (score + self.piece.ratio(share, before, &bursts)).max(0.0);
        }
        if self.piece.failed > 0 {
            self.before = self.piece.last_failed;
        }
        self.piece = Piece::new(at, before);
        self.scores.iter().any(|score| *score > 0.0)
    }

    /// How far the best share is above the score of an alarm, and since when it explains the runs.
    fn standing(
        &self,
        (background, must_change): (f64, f64),
        tests_a_year: f64,
        all: Count,
    ) -> Option<(f64, f64)> {
        let (bursts, always) = (bursts(self.kin.tier()), self.kin.always_at_most());
        SHARES
            .into_iter()
            .enumerate()
            .filter(|(_, share)| *share >= STANDS_OUT * background)
            .filter_map(|(i, share)| {
                let score = self.scores[i] + self.piece.ratio(share, self.before, &bursts);
                let (since, known) = if self.scores[i] > 0.0 {
                    (self.since[i], self.known[i])
                } else {
                    (self.piece.first_failed, self.piece.before)
                };
                let of_late = all.since(known);
                let changed =
                    of_late.share() >= known.share() && of_late.stands_apart(known) >= must_change;
                let apart = of_late.share() >= self.beside.share()
                    && of_late.stands_apart(self.beside) >= APART;
                let large = of_late.share() >= LARGE || of_late.is_beyond(always) >= BEYOND;
                (changed || apart || large).then(|| (score - (tests_a_year * share).ln(), since))
            })
            .max_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// The start of the fault, if one of the shares explains so much that it must be one.
    fn alarm(&self, usual: (f64, f64), tests_a_year: f64, all: Count) -> Option<f64> {
        let (above, since) = self.standing(usual, tests_a_year, all)?;
        let long = self.piece.last_failed - since >= self.kin.tier().span_s();
        (above >= 0.0 && long).then_some(since)
    }
}

/// A level, or a combination of a target and a level, whose share of failures is watched.
#[derive(Debug, Clone, Default)]
struct Key {
    /// All its runs are of one egress of several.
    is_link: bool,
    /// Its host, if it is one.
    host: Option<u16>,
    /// Runs so far, and by class what they met, old ones halved.
    runs: u32,
    met: [u32; CLASSES],
    began: f64,
    last: f64,
    /// Nothing for most keys most of the time.
    excursions: Vec<Excursion>,
}

impl Key {
    fn count(&self, kin: Kin) -> Count {
        let failed = Class::FAILURES.into_iter().filter(|class| kin.has(*class));
        Count {
            runs: self.met.iter().sum(),
            failed: failed.map(|class| self.met[class.index()]).sum(),
        }
    }

    /// Takes in a run; old ones fade while nothing speaks for a fault.
    fn meet(&mut self, at: f64, class: Class) {
        if self.runs == 0 {
            self.began = at;
        }
        self.runs = self.runs.saturating_add(1);
        self.last = at;
        self.met[class.index()] += 1;
        if self.met[0] > RUNS_MAX && self.excursions.is_empty() {
            self.met = self.met.map(|n| n / 2);
        }
    }

    /// How much better a change must explain its runs than no change does (log).
    fn must_change(&self) -> f64 {
        if self.is_link { LINK_CHANGED } else { CHANGED }
    }

    /// Seconds between its runs.
    fn gap_s(&self) -> f64 {
        (self.last - self.began).max(RATE_SPAN_S) / f64::from(self.runs.max(1))
    }
}

/// An alarm: which key raised it, and since when it fails more than it should.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alarm {
    pub key: usize,
    pub since: f64,
}

/// A key that some more runs would decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Near {
    pub key: usize,
    /// It is refused by the application, which may be because of the account.
    pub denied: bool,
}

/// The scores of all keys of a universe.
#[derive(Debug, Clone)]
pub struct Rates {
    keys: Vec<Key>,
    of_cell: Vec<Vec<u32>>,
    of_pop: BTreeMap<(u16, u16), u32>,
    host_of: Vec<u16>,
    egress_of: Vec<u16>,
    /// By host, its keys with something that speaks for a fault.
    stirred: Vec<Vec<u32>>,
}

impl Rates {
    #[must_use]
    pub fn new(universe: &Universe) -> Self {
        let count = universe.cells.len();
        let mut known: HashMap<CellSet, u32> = HashMap::new();
        let mut of_cell = vec![Vec::new(); count];
        let mut keys = Vec::new();
        let spans = |members: &[u32], of: &dyn Fn(usize) -> u16| {
            let mut all = members.iter().map(|cell| of(*cell as usize));
            all.next()
                .is_some_and(|first| all.any(|other| other != first))
        };
        for members in members(universe).into_values() {
            let set = CellSet::filter(count, |cell| members.binary_search(&(cell as u32)).is_ok());
            let next = known.len() as u32;
            if *known.entry(set).or_insert(next) == next {
                let one_egress = !spans(&members, &|cell| universe.cells[cell].egress);
                let one_host = !spans(&members, &|cell| universe.host_of(cell));
                keys.push(Key {
                    is_link: one_egress && universe.egresses.len() > 1,
                    host: one_host.then(|| universe.host_of(members[0] as usize)),
                    ..Key::default()
                });
                for cell in members {
                    of_cell[cell as usize].push(next);
                }
            }
        }
        let mut of_pop = BTreeMap::new();
        for share in &universe.pop_shares {
            of_pop.entry((share.host, share.pop)).or_insert_with(|| {
                keys.push(Key {
                    host: Some(share.host),
                    ..Key::default()
                });
                keys.len() as u32 - 1
            });
        }
        Self {
            keys,
            of_cell,
            of_pop,
            stirred: vec![Vec::new(); universe.hosts.len()],
            egress_of: universe.cells.iter().map(|cell| cell.egress).collect(),
            host_of: (0..count).map(|cell| universe.host_of(cell)).collect(),
        }
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// The keys that a run of a cell counts for, answered by this `PoP`.
    pub fn keys_of(&self, cell: usize, pop: Option<u16>) -> impl Iterator<Item = usize> + '_ {
        let pop = pop.and_then(|pop| self.of_pop.get(&(self.host_of[cell], pop)));
        self.of_cell[cell].iter().chain(pop).map(|k| *k as usize)
    }

    /// Whether a run counts for a key.
    #[must_use]
    pub fn counts_for(&self, key: usize, cell: usize, pop: Option<u16>) -> bool {
        self.keys_of(cell, pop).any(|k| k == key)
    }

    /// Takes in that a cell passed so often between two times, before anything failed.
    pub fn passed(&mut self, cell: usize, runs: u32, (from, to): (f64, f64)) {
        for key in &self.of_cell[cell] {
            let it = &mut self.keys[*key as usize];
            it.began = if it.runs == 0 {
                from
            } else {
                it.began.min(from)
            };
            it.last = it.last.max(to);
            it.runs = it.runs.saturating_add(runs);
            it.met[0] = it.met[0].saturating_add(runs).min(RUNS_MAX);
        }
    }

    /// Takes in one observation; the alarms that it raises.
    pub fn observe(
        &mut self,
        at: f64,
        (cell, pop): (usize, Option<u16>),
        class: Class,
        background: &Background,
    ) -> Vec<Alarm> {
        self.see_beside(at, (cell, pop), class);
        let egress = self.egress_of[cell];
        let mut alarms = Vec::new();
        let tests = TESTS * self.keys.len() as f64 * YEAR_S;
        let pop = pop.and_then(|pop| self.of_pop.get(&(self.host_of[cell], pop)));
        for key in self.of_cell[cell].iter().chain(pop) {
            let it = &mut self.keys[*key as usize];
            if it.excursions.is_empty() && !class.failed() {
                it.meet(at, class);
                continue;
            }
            let mut excursions = std::mem::take(&mut it.excursions);
            excursions.retain_mut(|e| e.go_on(at, it.count(e.kin)));
            it.excursions = excursions;
            if !class.failed() {
                for excursion in &mut it.excursions {
                    let background = excursion.kin.background(background);
                    excursion.piece.add(at, false, background);
                }
                it.meet(at, class);
                continue;
            }
            if it.excursions.is_empty()
                && let Some(host) = it.host
                && !self.stirred[usize::from(host)].contains(key)
            {
                self.stirred[usize::from(host)].push(*key);
            }
            let must_change = it.must_change();
            let tests_a_year = tests / it.gap_s();
            for kin in Kin::of(class).into_iter().flatten() {
                if !it.excursions.iter().any(|e| e.kin == kin) {
                    let before = it.count(kin);
                    it.excursions.push(Excursion::new(kin, at, before));
                }
                let before = it.count(kin);
                let all = Count {
                    runs: before.runs + 1,
                    failed: before.failed + 1,
                };
                let rate = kin.background(background);
                for excursion in it.excursions.iter_mut().filter(|e| e.kin == kin) {
                    excursion.piece.add(at, true, rate);
                    excursion.failed += 1;
                    if !excursion.egresses.contains(&egress) {
                        excursion.egresses.push(egress);
                    }
                    if let Some(since) = excursion.alarm((rate, must_change), tests_a_year, all) {
                        let key = *key as usize;
                        alarms.push(Alarm { key, since });
                    }
                }
            }
            it.meet(at, class);
        }
        alarms
    }

    /// Takes in a run for the keys of its host that it does not count for.
    fn see_beside(&mut self, at: f64, (cell, pop): (usize, Option<u16>), class: Class) {
        let host = usize::from(self.host_of[cell]);
        if self.stirred[host].is_empty() {
            return;
        }
        let mut stirred = std::mem::take(&mut self.stirred[host]);
        stirred.retain(|key| !self.keys[*key as usize].excursions.is_empty());
        for key in &stirred {
            if self.counts_for(*key as usize, cell, pop) {
                continue;
            }
            for excursion in &mut self.keys[*key as usize].excursions {
                excursion.see_beside(at, self.egress_of[cell], class);
            }
        }
        self.stirred[host] = stirred;
    }

    /// The key of this cell that some more runs would decide, if there is one; a single failure is weather.
    #[must_use]
    pub fn nearest(&self, cell: usize, pop: Option<u16>, background: &Background) -> Option<Near> {
        let tests = TESTS * self.keys.len() as f64 * YEAR_S;
        let near = |key: usize| {
            let it = &self.keys[key];
            let tests_a_year = tests / it.gap_s();
            it.excursions
                .iter()
                .filter(|e| e.failed > 1)
                .filter_map(move |e| {
                    let background = e.kin.background(background);
                    let usual = (background, it.must_change());
                    let (above, _) = e.standing(usual, tests_a_year, it.count(e.kin))?;
                    let denied = e.kin == Kin::Class(Class::OriginDenied);
                    Some((above, Near { key, denied }))
                })
        };
        self.keys_of(cell, pop)
            .filter(|key| self.keys[*key].gap_s() > DENSE_S)
            .flat_map(near)
            .filter(|(above, _)| *above >= -NEAR)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, near)| near)
    }

    /// Forgets what speaks for a fault, when an incident takes over.
    pub fn clear(&mut self) {
        for key in &mut self.keys {
            key.excursions.clear();
        }
    }
}

/// What a key is made of: a target (none is everything), and a level of how we ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Everything,
    Egress(u16),
    Client(u16),
    Credential(u16),
    Endpoint(u16),
    Host(u16),
    Prefix(u16, u16),
    Method(u16, u16),
    /// A level of one factor at a host.
    At(u16, Axis, u16),
    Family(u16, u16),
    Region(u16, u16),
    IpFamily(u16, u16),
}

/// The cells of each key, in order.
fn members(universe: &Universe) -> BTreeMap<Name, Vec<u32>> {
    let mut members: BTreeMap<Name, Vec<u32>> = BTreeMap::new();
    for (place, cell) in universe.cells.iter().enumerate() {
        let endpoint = &universe.endpoints[usize::from(cell.endpoint)];
        let host = endpoint.host;
        let family = universe.clients[usize::from(cell.client)].group;
        let region = universe.egresses[usize::from(cell.egress)].group;
        let mut names = vec![
            Name::Host(host),
            Name::Endpoint(cell.endpoint),
            Name::Prefix(host, endpoint.prefix),
            Name::Method(host, endpoint.method),
            Name::At(host, Axis::Client, cell.client),
            Name::At(host, Axis::Egress, cell.egress),
            Name::At(host, Axis::Version, cell.version),
            Name::Family(host, family),
            Name::Region(host, region),
            Name::Everything,
            Name::Egress(cell.egress),
            Name::Client(cell.client),
        ];
        if let Some(family) = universe.ip_family_of.get(&cell.egress) {
            names.push(Name::IpFamily(host, *family));
        }
        if endpoint.auth {
            names.push(Name::At(host, Axis::Credential, cell.credential));
            names.push(Name::Credential(cell.credential));
        }
        for name in names {
            members.entry(name).or_default().push(place as u32);
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::universe::{EndpointNames, Names};

    fn universe(clients: usize) -> Universe {
        with(clients, 1)
    }

    fn with(clients: usize, egresses: usize) -> Universe {
        let names = Names {
            endpoints: vec![EndpointNames {
                name: "orders".to_owned(),
                host: "a".to_owned(),
                provider: "a".to_owned(),
                prefix: "/v1".to_owned(),
                method: "GET".to_owned(),
                auth: false,
                quick: false,
            }],
            egresses: (0..egresses)
                .map(|i| (format!("e{i}"), "eu".to_owned()))
                .collect(),
            clients: (0..clients)
                .map(|i| (format!("c{i}"), format!("c{i}")))
                .collect(),
            credentials: vec!["none".to_owned()],
            versions: vec!["h1".to_owned()],
            ..Names::default()
        };
        Universe::build(&names, |_| true).expect("a universe")
    }

    fn background() -> Background {
        let mut rates = [0.0; CLASSES];
        for class in Class::FAILURES {
            rates[class.index()] = class.noise().rate;
        }
        rates
    }

    /// Runs of all cells in turn, one each `gap` seconds; when the first alarm comes.
    fn play(
        universe: &Universe,
        (gap, end): (f64, f64),
        class: Class,
        mut fails: impl FnMut(f64, usize) -> bool,
    ) -> Option<f64> {
        let mut rates = Rates::new(universe);
        let (mut now, mut cell) = (0.0, 0);
        while now < end {
            let class = if fails(now, cell) { class } else { Class::Pass };
            if !rates
                .observe(now, (cell, None), class, &background())
                .is_empty()
            {
                return Some(now);
            }
            cell = (cell + 1) % universe.cells.len();
            now += gap;
        }
        None
    }

    #[test]
    fn a_share_is_told_however_sparse_or_dense_the_plan_and_whatever_fails() {
        for (gap, within) in [(0.3, 400.0), (5.0, 900.0), (50.0, 6000.0)] {
            for share in [0.15, 0.4] {
                for class in Class::FAILURES {
                    let mut random = fastrand::Rng::with_seed(3);
                    let began = 3600.0;
                    let world = (gap, began + within);
                    let told = play(&universe(3), world, class, |at, _| {
                        at >= began && random.f64() < share
                    });
                    assert!(
                        told.is_some_and(|at| at >= began),
                        "{class:?}, {share} of a run each {gap} s: {told:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_share_that_stands_from_the_first_run_is_told_beyond_what_may_always_be() {
        let told = |share: f64, class: Class| {
            let mut random = fastrand::Rng::with_seed(11);
            play(&universe(3), (1.0, 4000.0), class, |_, _| {
                random.f64() < share
            })
        };
        for (share, class, expected) in [
            (0.16, Class::OriginError, true),
            (0.16, Class::EdgeBlock, true),
            (0.16, Class::Timeout, true),
            (0.16, Class::TlsError, true),
            (0.06, Class::OriginError, true),
            (0.06, Class::OriginDenied, true),
            (0.06, Class::Timeout, false),
            (0.02, Class::OriginError, false),
        ] {
            let at = told(share, class);
            assert_eq!(at.is_some(), expected, "{share} {class:?}: {at:?}");
        }
    }

    #[test]
    fn half_a_minute_in_which_all_fails_is_weather_however_dense_the_plan() {
        for gap in [0.05, 1.0, 10.0] {
            let end = 7000.0;
            let told = play(&universe(3), (gap, end), Class::Timeout, |at, _| {
                (3600.0..3640.0).contains(&at)
            });
            assert_eq!(told, None, "a run each {gap} s");
        }
    }

    #[test]
    fn one_level_is_told_among_many() {
        let mut random = fastrand::Rng::with_seed(5);
        let told = play(
            &universe(12),
            (1.0, 5000.0),
            Class::OriginError,
            |at, cell| at > 3600.0 && cell == 4 && random.f64() < 0.5,
        );
        assert!(told.is_some_and(|at| at < 4000.0), "{told:?}");
    }

    #[test]
    fn what_others_of_the_egress_do_not_meet_is_no_burst() {
        let told = |clients: usize| {
            let gap = 30.0 / clients as f64;
            let world = (gap, 4500.0);
            play(&universe(clients), world, Class::Timeout, |at, cell| {
                at >= 3600.0 && cell == 0 && (at / 30.0) as u32 % 3 != 2
            })
        };
        let (alone, beside) = (told(1), told(4));
        assert!(
            beside.is_some_and(|at| alone.is_none_or(|alone| at < alone)),
            "{beside:?} beside three that pass, {alone:?} alone"
        );
    }

    #[test]
    fn that_an_egress_loses_a_little_must_be_news() {
        let told = |universe: &Universe| {
            let world = (10.0, 8000.0);
            play(universe, world, Class::Timeout, |at, cell| {
                at >= 1600.0 && cell == 0 && ((at / 20.0) as u32).is_multiple_of(11)
            })
        };
        let (client, egress) = (told(&with(2, 1)), told(&with(1, 2)));
        assert!(
            client.is_some_and(|at| egress.is_none_or(|egress| at < egress)),
            "a client {client:?}, an egress {egress:?}"
        );
    }

    #[test]
    fn what_fails_by_itself_raises_no_alarm() {
        for gap in [0.2, 5.0] {
            let mut random = fastrand::Rng::with_seed(7);
            let told = play(&universe(6), (gap, 100_000.0), Class::Timeout, |_, _| {
                random.f64() < 0.0016
            });
            assert_eq!(told, None, "a run each {gap} s");
        }
    }
}
