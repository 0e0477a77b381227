//! Every explanation of a single cause that the configuration can express.
//!
//! A rule is a scope (which targets) and up to two conditions (which levels of how we ask), or one of
//! two specials: the `PoP` that answered, or our own request rate. Rules that match the same cells share
//! a [`Pattern`] and with it their statistics; rules that no permitted request can tell apart are one
//! group. A claim names a group, and its nature only when the aliases in the group agree on it.

use super::cells::CellSet;
use super::class::{CLASSES, Class};
use crate::domain::index::Index;
use crate::judge::universe::{Axis, Universe};

/// Which targets a rule is about; indices into the tables of the universe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Everything,
    Provider(u16),
    Host(u16),
    /// A first path segment of one host.
    Prefix {
        host: u16,
        prefix: u16,
    },
    /// A method at one host.
    Method {
        host: u16,
        method: u16,
    },
    Endpoint(u16),
}

/// One level of how we ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    Client(u16),
    Family(u16),
    Egress(u16),
    Region(u16),
    /// Every egress that asks over one IP family.
    IpFamily(u16),
    Credential(u16),
    Version(u16),
    /// A TLS fingerprint, whatever the client.
    Stack(u16),
    /// Every level of a factor but this one.
    AllBut(Axis, u16),
}

/// What an observation brings along that no cell decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Special {
    /// The `PoP` that answered.
    Pop(u16),
    /// At least [`RATES`]`[step]` requests of ours in the last minute.
    Rate { key: RateKey, step: u8 },
}

/// What our own requests are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RateKey {
    /// To the host from one egress.
    Egress,
    /// To the host from all of them.
    Host,
}

/// The request rates that are told apart, requests in the last 60 s: each about an eighth above the one before, so that
/// a limit between two of them is missed by a few requests at most.
pub const RATES: [u32; 13] = [10, 12, 14, 16, 18, 20, 23, 26, 30, 35, 40, 45, 50];

/// How many of [`RATES`] are reached.
#[must_use]
pub fn rate_step(requests: u32) -> u8 {
    RATES.iter().take_while(|r| **r <= requests).count() as u8
}

/// What a cause is about, for the words and for "must never be claimed".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Nature {
    Target,
    Client,
    Network,
    Credential,
    Protocol,
    Rate,
}

impl Nature {
    pub const ALL: [Self; 6] = [
        Self::Target,
        Self::Client,
        Self::Network,
        Self::Credential,
        Self::Protocol,
        Self::Rate,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Client => "client",
            Self::Network => "network",
            Self::Credential => "credential",
            Self::Protocol => "protocol",
            Self::Rate => "rate",
        }
    }
}

/// The natures of a rule; two for a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Natures(u8);

impl Natures {
    #[must_use]
    pub fn of(nature: Nature) -> Self {
        Self(1 << nature as u8)
    }

    #[must_use]
    pub fn and(self, other: Nature) -> Self {
        Self(self.0 | 1 << other as u8)
    }

    #[must_use]
    pub fn has(self, nature: Nature) -> bool {
        self.0 >> nature as u8 & 1 == 1
    }

    /// In the order of [`Nature::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Nature> {
        Nature::ALL.into_iter().filter(move |n| self.has(*n))
    }

    /// The first one, for places with room for a single word.
    #[must_use]
    pub fn first(self) -> Nature {
        self.iter().next().unwrap_or(Nature::Target)
    }
}

impl Condition {
    #[must_use]
    pub fn axis(self) -> Axis {
        match self {
            Self::Client(_) | Self::Family(_) | Self::Stack(_) => Axis::Client,
            Self::Egress(_) | Self::Region(_) | Self::IpFamily(_) => Axis::Egress,
            Self::Credential(_) => Axis::Credential,
            Self::Version(_) => Axis::Version,
            Self::AllBut(axis, _) => axis,
        }
    }

    #[must_use]
    pub fn nature(self) -> Nature {
        match self.axis() {
            Axis::Client => Nature::Client,
            Axis::Egress => Nature::Network,
            Axis::Credential => Nature::Credential,
            Axis::Version => Nature::Protocol,
            Axis::Endpoint => Nature::Target,
        }
    }

    pub fn matches(self, universe: &Universe, cell: usize) -> bool {
        let c = &universe.cells[cell];
        match self {
            Self::Client(i) => c.client == i,
            Self::Family(i) => universe.clients[usize::from(c.client)].group == i,
            Self::Egress(i) => c.egress == i,
            Self::Region(i) => universe.egresses[usize::from(c.egress)].group == i,
            Self::IpFamily(i) => universe.ip_family_of.get(&c.egress) == Some(&i),
            Self::Credential(i) => {
                c.credential == i && universe.endpoints[usize::from(c.endpoint)].auth
            }
            Self::Version(i) => c.version == i,
            Self::Stack(i) => universe.stack(cell) == Some(i),
            Self::AllBut(axis, i) => {
                c.level(axis) != i
                    && (axis != Axis::Credential
                        || universe.endpoints[usize::from(c.endpoint)].auth)
            }
        }
    }
}

impl Scope {
    /// Whether a target belongs to the scope.
    #[must_use]
    pub fn matches(self, universe: &Universe, cell: usize) -> bool {
        let at = universe.cells[cell].endpoint;
        let e = &universe.endpoints[usize::from(at)];
        match self {
            Self::Everything => true,
            Self::Provider(i) => e.provider == i,
            Self::Host(i) => e.host == i,
            Self::Prefix { host, prefix } => e.host == host && e.prefix == prefix,
            Self::Method { host, method } => e.host == host && e.method == method,
            Self::Endpoint(i) => at == i,
        }
    }

    fn kind(self) -> usize {
        match self {
            Self::Endpoint(_) => 0,
            Self::Host(_) => 1,
            Self::Prefix { .. } => 2,
            Self::Method { .. } => 3,
            Self::Provider(_) => 4,
            Self::Everything => 5,
        }
    }
}

/// Prior weight of the scope, given the nature of the condition; shared by the scopes of a kind.
/// Columns: endpoint, host, prefix, method, provider, everything.
const SCOPES_TARGET: [f64; 6] = [0.40, 0.35, 0.08, 0.05, 0.06, 0.06];
const SCOPES_CLIENT: [f64; 6] = [0.15, 0.50, 0.06, 0.04, 0.10, 0.15];
const SCOPES_NETWORK: [f64; 6] = [0.08, 0.45, 0.04, 0.02, 0.11, 0.30];
const SCOPES_CREDENTIAL: [f64; 6] = [0.10, 0.40, 0.07, 0.06, 0.22, 0.15];
const SCOPES_PROTOCOL: [f64; 6] = [0.10, 0.60, 0.02, 0.03, 0.10, 0.15];

/// So many levels a factor must have for all but one of them to be a cause.
const ALL_BUT_MIN: u16 = 3;
/// Prior weight of having no condition, of all pairs together, of a `PoP`, of our own rate.
const WEIGHT_NONE: f64 = 0.30;
const WEIGHT_PAIRS: f64 = 0.02;
const WEIGHT_POP: f64 = 0.05;
const WEIGHT_RATE: f64 = 0.05;

fn weight(condition: Condition) -> f64 {
    match condition {
        Condition::Client(_) | Condition::Egress(_) => 0.16,
        Condition::Family(_) => 0.08,
        Condition::Credential(_) => 0.11,
        Condition::Region(_) | Condition::IpFamily(_) | Condition::Stack(_) => 0.05,
        Condition::Version(_) => 0.04,
        Condition::AllBut(..) => 0.02,
    }
}

/// Which classes of failure a kind of cause shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mix {
    Client,
    NetworkAtTarget,
    NetworkEverywhere,
    Credential,
    Protocol,
    Endpoint,
    Host,
    Everything,
    Pop,
    Rate,
}

/// Number of mixes.
pub const MIXES: usize = 10;

impl Mix {
    pub const ALL: [Self; MIXES] = [
        Self::Client,
        Self::NetworkAtTarget,
        Self::NetworkEverywhere,
        Self::Credential,
        Self::Protocol,
        Self::Endpoint,
        Self::Host,
        Self::Everything,
        Self::Pop,
        Self::Rate,
    ];

    /// Expected shares of the classes; what is not listed gets one in a thousand.
    fn listed(self) -> &'static [(Class, f64)] {
        use Class as C;
        match self {
            Self::Client => &[
                (C::EdgeBlock, 0.50),
                (C::EdgeChallenge, 0.20),
                (C::OriginDenied, 0.12),
                (C::OriginError, 0.05),
                (C::Timeout, 0.04),
                (C::ConnectError, 0.03),
                (C::TlsError, 0.03),
                (C::RateLimited, 0.03),
            ],
            Self::NetworkAtTarget => &[
                (C::EdgeBlock, 0.40),
                (C::EdgeChallenge, 0.17),
                (C::RateLimited, 0.08),
                (C::Timeout, 0.10),
                (C::ConnectError, 0.10),
                (C::OriginDenied, 0.08),
                (C::DnsError, 0.03),
                (C::TlsError, 0.03),
                (C::OriginError, 0.01),
            ],
            Self::NetworkEverywhere => &[
                (C::Timeout, 0.38),
                (C::ConnectError, 0.27),
                (C::DnsError, 0.20),
                (C::TlsError, 0.05),
                (C::LocalError, 0.08),
                (C::EdgeBlock, 0.01),
                (C::EdgeChallenge, 0.01),
            ],
            Self::Credential => &[
                (C::OriginDenied, 0.88),
                (C::EdgeBlock, 0.03),
                (C::RateLimited, 0.05),
                (C::OriginError, 0.03),
                (C::EdgeChallenge, 0.01),
            ],
            Self::Protocol => &[
                (C::TlsError, 0.25),
                (C::ConnectError, 0.20),
                (C::OriginError, 0.20),
                (C::EdgeBlock, 0.15),
                (C::Timeout, 0.15),
                (C::EdgeChallenge, 0.05),
            ],
            Self::Endpoint => &[
                (C::OriginError, 0.42),
                (C::Timeout, 0.18),
                (C::EdgeBlock, 0.13),
                (C::OriginDenied, 0.12),
                (C::EdgeChallenge, 0.05),
                (C::ConnectError, 0.05),
                (C::RateLimited, 0.03),
                (C::TlsError, 0.02),
            ],
            Self::Host => &[
                (C::OriginError, 0.28),
                (C::Timeout, 0.20),
                (C::ConnectError, 0.17),
                (C::TlsError, 0.10),
                (C::DnsError, 0.10),
                (C::EdgeBlock, 0.08),
                (C::EdgeChallenge, 0.04),
                (C::OriginDenied, 0.03),
            ],
            Self::Everything => &[
                (C::Timeout, 0.30),
                (C::ConnectError, 0.30),
                (C::DnsError, 0.22),
                (C::LocalError, 0.15),
                (C::TlsError, 0.02),
            ],
            Self::Pop => &[
                (C::OriginError, 0.30),
                (C::Timeout, 0.25),
                (C::ConnectError, 0.15),
                (C::EdgeBlock, 0.15),
                (C::TlsError, 0.05),
                (C::EdgeChallenge, 0.10),
            ],
            Self::Rate => &[
                (C::RateLimited, 0.72),
                (C::EdgeBlock, 0.12),
                (C::EdgeChallenge, 0.10),
                (C::OriginDenied, 0.02),
                (C::OriginError, 0.03),
                (C::Timeout, 0.01),
            ],
        }
    }

    /// Shares by class index; they add up to 1, the one of `Pass` is 0.
    #[must_use]
    pub fn shares(self) -> [f64; CLASSES] {
        let mut shares = [1e-3; CLASSES];
        shares[0] = 0.0;
        for (class, share) in self.listed() {
            shares[class.index()] = *share;
        }
        let sum: f64 = shares.iter().sum();
        shares.map(|s| s / sum)
    }
}

/// What decides whether an observation belongs to a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    pub cells: CellSet,
    pub special: Option<Special>,
    /// Number of cells.
    pub size: usize,
}

/// The traits of an observation that a pattern looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Traits {
    pub cell: u32,
    pub pop: Option<u16>,
    /// See [`rate_step`].
    pub egress_rate: u8,
    pub host_rate: u8,
}

impl Pattern {
    #[must_use]
    pub fn matches(&self, traits: &Traits) -> bool {
        self.cells.contains(traits.cell as usize) && self.special_matches(traits)
    }

    fn special_matches(&self, traits: &Traits) -> bool {
        match self.special {
            None => true,
            Some(Special::Pop(pop)) => traits.pop == Some(pop),
            Some(Special::Rate { key, step }) => {
                let reached = match key {
                    RateKey::Egress => traits.egress_rate,
                    RateKey::Host => traits.host_rate,
                };
                reached > step
            }
        }
    }
}

/// One explanation of a single cause.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub scope: Scope,
    pub conditions: Vec<Condition>,
    pub special: Option<Special>,
    pub natures: Natures,
    pub mix: Mix,
    /// Log prior; over all rules they add up to probability 1.
    pub prior: f64,
    pub pattern: usize,
    pub group: usize,
}

/// All rules of a universe.
#[derive(Debug)]
pub struct RuleBook {
    pub rules: Vec<Rule>,
    pub patterns: Vec<Pattern>,
    /// The rules of each pattern.
    pub of_pattern: Vec<Vec<usize>>,
    /// The patterns whose cells hold a cell.
    of_cell: Vec<Vec<u32>>,
    pub groups: usize,
}

/// Gathers rules and gives equal patterns and groups one index.
struct Gather<'a> {
    universe: &'a Universe,
    rules: Vec<Rule>,
    patterns: Vec<Pattern>,
    pattern_index: Index<(CellSet, Option<Special>), usize>,
    group_index: Index<(CellSet, Option<GroupKey>), usize>,
}

/// What keeps rules with equal cells apart as groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum GroupKey {
    Pop(u16),
    /// Thresholds of one host are one group: they differ in a number, not in what they say.
    RateAt(u16),
}

impl Gather<'_> {
    fn add(
        &mut self,
        scope: Scope,
        conditions: &[Condition],
        special: Option<Special>,
        (natures, mix): (Natures, Mix),
        weight: f64,
        cells: CellSet,
    ) {
        let key = match (special, scope) {
            (Some(Special::Pop(pop)), Scope::Host(host)) if !self.always_reaches(host, pop) => {
                Some(GroupKey::Pop(pop))
            }
            (Some(Special::Rate { .. }), Scope::Host(host)) => Some(GroupKey::RateAt(host)),
            _ => None,
        };
        let groups = self.group_index.len();
        let group = *self
            .group_index
            .entry((cells.clone(), key))
            .or_insert(groups);
        let patterns = self.patterns.len();
        let pattern = *self
            .pattern_index
            .entry((cells.clone(), special))
            .or_insert(patterns);
        if pattern == patterns {
            let size = cells.len();
            self.patterns.push(Pattern {
                cells,
                special,
                size,
            });
        }
        self.rules.push(Rule {
            scope,
            conditions: conditions.to_vec(),
            special,
            natures,
            mix,
            prior: weight.ln(),
            pattern,
            group,
        });
    }

    /// Whether the egresses that reach a `PoP` reach no other: then it can't be told from them.
    fn always_reaches(&self, host: u16, pop: u16) -> bool {
        let shares = &self.universe.pop_shares;
        let reaches = |egress: u16| {
            shares
                .iter()
                .any(|s| s.host == host && s.egress == egress && s.pop == pop && s.share > 0.0)
        };
        !shares
            .iter()
            .any(|s| s.host == host && s.pop != pop && s.share > 0.0 && reaches(s.egress))
    }
}

fn scopes(universe: &Universe) -> Vec<Scope> {
    let mut scopes = vec![Scope::Everything];
    scopes.extend((0..universe.providers.len() as u16).map(Scope::Provider));
    scopes.extend((0..universe.hosts.len() as u16).map(Scope::Host));
    let mut parts: Vec<Scope> = universe
        .endpoints
        .iter()
        .flat_map(|e| {
            [
                Scope::Prefix {
                    host: e.host,
                    prefix: e.prefix,
                },
                Scope::Method {
                    host: e.host,
                    method: e.method,
                },
            ]
        })
        .collect();
    parts.sort_unstable();
    parts.dedup();
    scopes.extend(parts);
    scopes.extend((0..universe.endpoints.len() as u16).map(Scope::Endpoint));
    scopes
}

type Levels = Vec<Condition>;

/// "Everybody but one" of the factors that have enough levels for it to differ from "one" and "all".
fn all_but(universe: &Universe) -> Vec<Levels> {
    [Axis::Client, Axis::Egress, Axis::Credential]
        .into_iter()
        .map(|axis| (axis, universe.levels(axis)))
        .filter(|(_, levels)| *levels >= ALL_BUT_MIN)
        .map(|(axis, levels)| (0..levels).map(|i| Condition::AllBut(axis, i)).collect())
        .collect()
}

/// The TLS fingerprints that can be blamed: such as several clients have, and of which one has a twin with another.
///
/// One that no pair of twins can show is its client, as far as anybody can tell.
fn stacks(universe: &Universe) -> Levels {
    let of = |cell: usize, stack: u16| universe.stack(cell) == Some(stack);
    let can_show = |stack: u16| {
        let mut here = (0..universe.cells.len()).filter(|cell| of(*cell, stack));
        here.any(|cell| {
            let mut twins = universe.twins(cell);
            twins.any(|twin| universe.stack(twin).is_some() && !of(twin, stack))
        })
    };
    let all = 0..universe.stacks.len() as u16;
    all.filter(|stack| can_show(*stack))
        .map(Condition::Stack)
        .collect()
}

/// The levels of each condition: client, family, egress, region, credential, version.
fn levels(universe: &Universe) -> [Levels; 6] {
    let all = |n: usize, make: fn(u16) -> Condition| (0..n as u16).map(make).collect::<Levels>();
    [
        all(universe.clients.len(), Condition::Client),
        all(universe.families.len(), Condition::Family),
        all(universe.egresses.len(), Condition::Egress),
        all(universe.regions.len(), Condition::Region),
        all(universe.credentials.len(), Condition::Credential),
        all(universe.versions.len(), Condition::Version),
    ]
}

/// Pairs that are known to happen; pairs of a factor with one level add nothing.
fn pairs(universe: &Universe, levels: &[Levels; 6]) -> Vec<[Condition; 2]> {
    let [client, family, egress, region, credential, version] = levels;
    let several = |axis: Axis| universe.levels(axis) > 1;
    let mut pairs = Vec::new();
    for (a, b) in [
        (client, egress),
        (client, region),
        (family, egress),
        (client, credential),
        (egress, credential),
        (client, version),
        (egress, version),
        (credential, version),
    ] {
        if a.first().is_some_and(|c| several(c.axis()))
            && b.first().is_some_and(|c| several(c.axis()))
        {
            pairs.extend(a.iter().flat_map(|x| b.iter().map(|y| [*x, *y])));
        }
    }
    pairs
}

/// Nature and class mix of a rule with these conditions.
fn character(scope: Scope, conditions: &[Condition]) -> (Natures, Mix) {
    match conditions {
        [] => {
            let mix = match scope {
                Scope::Everything => Mix::Everything,
                Scope::Endpoint(_) | Scope::Prefix { .. } | Scope::Method { .. } => Mix::Endpoint,
                Scope::Host(_) | Scope::Provider(_) => Mix::Host,
            };
            (Natures::of(Nature::Target), mix)
        }
        [one] => {
            let mix = match one.nature() {
                Nature::Network if scope == Scope::Everything => Mix::NetworkEverywhere,
                Nature::Network => Mix::NetworkAtTarget,
                Nature::Credential => Mix::Credential,
                Nature::Protocol => Mix::Protocol,
                _ => Mix::Client,
            };
            (Natures::of(one.nature()), mix)
        }
        several => {
            let natures = several
                .iter()
                .skip(1)
                .fold(Natures::of(several[0].nature()), |n, c| n.and(c.nature()));
            let mix = if natures.has(Nature::Credential) {
                Mix::Credential
            } else if natures.has(Nature::Client) {
                Mix::Client
            } else {
                Mix::NetworkAtTarget
            };
            (natures, mix)
        }
    }
}

fn scope_weights(conditions: &[Condition]) -> &'static [f64; 6] {
    match conditions {
        [] => &SCOPES_TARGET,
        [one] => match one.nature() {
            Nature::Network => &SCOPES_NETWORK,
            Nature::Credential => &SCOPES_CREDENTIAL,
            Nature::Protocol => &SCOPES_PROTOCOL,
            _ => &SCOPES_CLIENT,
        },
        _ => &SCOPES_CLIENT,
    }
}

impl RuleBook {
    /// Lists the rules of a universe with their priors.
    #[must_use]
    pub fn new(universe: &Universe) -> Self {
        let count = universe.cells.len();
        let scopes = scopes(universe);
        let mut of_kind = [0_usize; 6];
        for scope in &scopes {
            of_kind[scope.kind()] += 1;
        }
        let levels = levels(universe);
        let pairs = pairs(universe, &levels);
        let mut conditions: Vec<(Vec<Condition>, f64)> = vec![(Vec::new(), WEIGHT_NONE)];
        let all_but = all_but(universe);
        let matching =
            |condition: Condition| CellSet::filter(count, |cell| condition.matches(universe, cell));
        // One that hits the same as a client, an egress, a family or everybody says nothing that these don't.
        let says_more = |level: &Condition| {
            let cells = matching(*level);
            let mut others = levels.iter().flatten();
            cells.len() < count && others.all(|other| matching(*other) != cells)
        };
        let stacks: Levels = stacks(universe).into_iter().filter(says_more).collect();
        let ip_families = (0..universe.ip_families.len() as u16).map(Condition::IpFamily);
        let ip_families: Levels = ip_families.filter(says_more).collect();
        for list in levels.iter().chain(&all_but).chain([&stacks, &ip_families]) {
            let only_version =
                list.len() < 2 && matches!(list.first(), Some(Condition::Version(_)));
            if !only_version {
                conditions.extend(
                    list.iter()
                        .map(|c| (vec![*c], weight(*c) / list.len() as f64)),
                );
            }
        }
        conditions.extend(
            pairs
                .iter()
                .map(|p| (p.to_vec(), WEIGHT_PAIRS / pairs.len() as f64)),
        );
        let mut gather = Gather {
            universe,
            rules: Vec::new(),
            patterns: Vec::new(),
            pattern_index: Index::default(),
            group_index: Index::default(),
        };
        let condition_cells: Vec<CellSet> = conditions
            .iter()
            .map(|(list, _)| {
                CellSet::filter(count, |cell| list.iter().all(|c| c.matches(universe, cell)))
            })
            .collect();
        for scope in &scopes {
            let scope_cells = CellSet::filter(count, |cell| scope.matches(universe, cell));
            for ((list, weight), cells) in conditions.iter().zip(&condition_cells) {
                let cells = cells.and(&scope_cells);
                // A pair of which one half alone matches the same cells says nothing more.
                let idle = list.len() > 1
                    && list.iter().any(|c| {
                        scope_cells
                            .iter()
                            .all(|cell| cells.contains(cell) || !c.matches(universe, cell))
                    });
                // Who is never asked there can't be the one that is let through.
                let exempts_nobody =
                    matches!(list[..], [Condition::AllBut(..)]) && cells == scope_cells;
                if !cells.is_empty() && !idle && !exempts_nobody {
                    let kind = scope.kind();
                    let weight = weight * scope_weights(list)[kind] / of_kind[kind] as f64;
                    gather.add(*scope, list, None, character(*scope, list), weight, cells);
                }
            }
        }
        Self::add_specials(&mut gather);
        Self::finish(gather)
    }

    fn add_specials(gather: &mut Gather<'_>) {
        let universe = gather.universe;
        let count = universe.cells.len();
        let hosts = universe.hosts.len() as u16;
        for host in 0..hosts {
            let mut pops: Vec<u16> = universe
                .pop_shares
                .iter()
                .filter(|s| s.host == host)
                .map(|s| s.pop)
                .collect();
            pops.sort_unstable();
            pops.dedup();
            // One place that all answers come from is the host itself.
            if pops.len() < 2 {
                pops.clear();
            }
            for pop in &pops {
                let cells = CellSet::filter(count, |cell| {
                    universe.host_of(cell) == host
                        && universe.pop_share(host, universe.cells[cell].egress, *pop) > 0.0
                });
                if !cells.is_empty() {
                    let weight = WEIGHT_POP / pops.len() as f64 / f64::from(hosts);
                    let character = (Natures::of(Nature::Network), Mix::Pop);
                    let special = Some(Special::Pop(*pop));
                    gather.add(Scope::Host(host), &[], special, character, weight, cells);
                }
            }
            let cells = CellSet::filter(count, |cell| universe.host_of(cell) == host);
            if cells.is_empty() {
                continue;
            }
            for key in [RateKey::Egress, RateKey::Host] {
                for step in 0..RATES.len() as u8 {
                    let weight = WEIGHT_RATE / (2.0 * RATES.len() as f64) / f64::from(hosts);
                    let character = (Natures::of(Nature::Rate), Mix::Rate);
                    let special = Some(Special::Rate { key, step });
                    gather.add(
                        Scope::Host(host),
                        &[],
                        special,
                        character,
                        weight,
                        cells.clone(),
                    );
                }
            }
        }
    }

    fn finish(gather: Gather<'_>) -> Self {
        let Gather {
            universe,
            mut rules,
            patterns,
            group_index,
            ..
        } = gather;
        let total: f64 = rules.iter().map(|r| r.prior.exp()).sum();
        for rule in &mut rules {
            rule.prior -= total.ln();
        }
        let mut of_pattern = vec![Vec::new(); patterns.len()];
        for (i, rule) in rules.iter().enumerate() {
            of_pattern[rule.pattern].push(i);
        }
        let mut of_cell = vec![Vec::new(); universe.cells.len()];
        for (i, pattern) in patterns.iter().enumerate() {
            for cell in pattern.cells.iter() {
                of_cell[cell].push(i as u32);
            }
        }
        Self {
            rules,
            patterns,
            of_pattern,
            of_cell,
            groups: group_index.len(),
        }
    }

    /// The patterns that an observation with these traits belongs to.
    pub fn patterns_of<'a>(&'a self, traits: &'a Traits) -> impl Iterator<Item = usize> + 'a {
        self.of_cell[traits.cell as usize]
            .iter()
            .map(|p| *p as usize)
            .filter(|p| self.patterns[*p].special_matches(traits))
    }

    /// The pattern of a rule.
    #[must_use]
    pub fn pattern(&self, rule: usize) -> &Pattern {
        &self.patterns[self.rules[rule].pattern]
    }

    /// The rule without special or second condition whose cells are exactly these, most probable first.
    #[must_use]
    pub fn simple_rule(&self, cells: &CellSet) -> Option<usize> {
        (0..self.rules.len())
            .filter(|r| {
                let rule = &self.rules[*r];
                rule.special.is_none()
                    && rule.conditions.len() < 2
                    && self.pattern(*r).cells == *cells
            })
            .max_by(|a, b| self.rules[*a].prior.total_cmp(&self.rules[*b].prior))
    }
}
