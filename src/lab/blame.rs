//! What an incident blames, by the cells of its scenario and not by names: comparable with what was done to the world.

use serde_json::{Map, Value};

use super::plan::Planned;
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::incident::{Incident, Subject};
use crate::domain::plan::Plan;
use crate::domain::verdict::Factor;
use crate::judge::cells::CellSet;
use crate::judge::rules::{Condition, Nature, RateKey, Rule, RuleBook, Scope, Special};
use crate::judge::universe::{Axis, Universe};

/// One thing that is blamed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Blame {
    /// The cells that it covers.
    pub(super) cells: CellSet,
    /// Only what lands at this point of presence.
    pub(super) pop: Option<u16>,
    /// Our own rate, and what it is counted by.
    pub(super) rate: Option<RateKey>,
    /// In the order of [`Nature::ALL`].
    pub(super) natures: Vec<Nature>,
}

/// What the diagnosis of an incident names; nothing where it can't tell.
pub(super) fn of(universe: &Universe, planned: &Planned, incident: &Incident) -> Vec<Blame> {
    let mut blames = Vec::new();
    let cause = &incident.diagnosis.cause;
    add(universe, planned, &incident.subject, cause, &mut blames);
    blames
}

fn add(
    universe: &Universe,
    planned: &Planned,
    subject: &Subject,
    cause: &Cause,
    blames: &mut Vec<Blame>,
) {
    let (mut pop, mut rate) = (None, None);
    let mut natures = match cause {
        Cause::Unknown { .. } => return,
        Cause::AnyOf(causes) => {
            for cause in causes {
                add(universe, planned, subject, cause, blames);
            }
            return;
        }
        Cause::Pop(name) => {
            let place = universe.pops.iter().position(|known| known == name);
            pop = place.map(|place| place as u16);
            vec![Nature::Target]
        }
        Cause::OwnRate { by_egress, .. } => {
            rate = Some(if *by_egress {
                RateKey::Egress
            } else {
                RateKey::Host
            });
            vec![Nature::Rate]
        }
        Cause::OurNetwork { .. } | Cause::OurClients { .. } => vec![Nature::Network],
        _ => natures(cause.levels()),
    };
    let cells = cells(planned, |key| {
        is_about(subject, &planned.plan, key) && cause.covers(key).unwrap_or(true)
    });
    // From every way out it is everything, and no address of ours.
    if natures == [Nature::Network] && cells == CellSet::filter(universe.cells.len(), |_| true) {
        natures = vec![Nature::Target];
    }
    let cells = match pop {
        Some(pop) => CellSet::filter(universe.cells.len(), |cell| {
            cells.contains(cell) && lands(universe, cell, pop)
        }),
        None => cells,
    };
    blames.push(Blame {
        cells,
        pop,
        rate,
        natures,
    });
}

/// The natures that an incident says are left to choose from.
pub(super) fn among(incident: &Incident) -> Vec<Nature> {
    let Cause::Unknown { among } = &incident.diagnosis.cause else {
        return Vec::new();
    };
    let found: Vec<Nature> = among.iter().map(nature).collect();
    let all = Nature::ALL.into_iter();
    all.filter(|nature| found.contains(nature)).collect()
}

/// The cells that an incident holds.
pub(super) fn members(planned: &Planned, incident: &Incident) -> CellSet {
    let members = &incident.cells;
    cells(planned, |key| {
        members.iter().any(|member| member.cell == *key)
    })
}

/// Those of them that fail now; all of them when none does.
pub(super) fn failing(planned: &Planned, incident: &Incident) -> CellSet {
    let members = &incident.cells;
    let fails = |key: &CellKey| members.iter().any(|m| m.failing && m.cell == *key);
    let failing = cells(planned, fails);
    if failing.is_empty() {
        return self::members(planned, incident);
    }
    failing
}

fn cells(planned: &Planned, member: impl Fn(&CellKey) -> bool) -> CellSet {
    let keys = &planned.cells;
    CellSet::filter(keys.len(), |cell| member(&keys[cell]))
}

fn is_about(subject: &Subject, plan: &Plan, key: &CellKey) -> bool {
    let Some(probe) = plan.probe(&key.probe) else {
        return false;
    };
    match subject {
        Subject::Host(host) => probe.host() == *host,
        Subject::Partner(partner) => probe.partner == *partner,
        Subject::Vendor(_) | Subject::OurNetwork | Subject::Site(_) => true,
    }
}

pub(super) fn lands(universe: &Universe, cell: usize, pop: u16) -> bool {
    let (host, egress) = (universe.host_of(cell), universe.cells[cell].egress);
    let mut shares = universe.pop_shares.iter();
    shares.any(|s| (s.host, s.egress, s.pop) == (host, egress, pop) && s.share > 0.0)
}

/// The natures of the levels that must come together; of no level it is the target's own.
fn natures(levels: &[Level]) -> Vec<Nature> {
    let mut natures: Vec<Nature> = levels.iter().map(nature).collect();
    if natures.iter().any(|nature| *nature != Nature::Target) {
        natures.retain(|nature| *nature != Nature::Target);
    } else {
        natures = vec![Nature::Target];
    }
    natures.sort_unstable();
    natures.dedup();
    natures
}

fn nature(level: &Level) -> Nature {
    match level {
        Level::Client(_) | Level::Family { .. } | Level::Stack { .. } => Nature::Client,
        Level::Egress(_) | Level::Region { .. } | Level::IpFamily { .. } => Nature::Network,
        Level::Credential(_) => Nature::Credential,
        Level::Http { .. } => Nature::Protocol,
        Level::AllBut { factor, .. } => match factor {
            Factor::Egress => Nature::Network,
            Factor::Credential => Nature::Credential,
            _ => Nature::Client,
        },
        Level::Probe(_) | Level::Method { .. } | Level::Path { .. } | Level::Host { .. } => {
            Nature::Target
        }
    }
}

/// A set of cells in the keys of scenario files: as a rule where one covers just them, else factor by
/// factor with the levels that it covers.
///
/// One object, where a conjunction covers them; several, whose union is meant, where none does.
pub(super) fn whens(
    universe: &Universe,
    book: &RuleBook,
    blame: &Blame,
) -> Vec<Map<String, Value>> {
    let named = named(universe, book, blame);
    if !named.is_empty() {
        return named;
    }
    let cells: Vec<usize> = blame.cells.iter().collect();
    cells.iter().map(|cell| single(universe, *cell)).collect()
}

/// One object that covers at least the cells, as narrow as a conjunction can be.
pub(super) fn when(universe: &Universe, book: &RuleBook, blame: &Blame) -> Map<String, Value> {
    let mut named = named(universe, book, blame);
    if named.len() == 1 {
        return named.remove(0);
    }
    conjunction(universe, &blame.cells).0
}

fn named(universe: &Universe, book: &RuleBook, blame: &Blame) -> Vec<Map<String, Value>> {
    let first = blame.natures.first();
    let rules = book.rules.iter().filter(|rule| rule.special.is_none());
    let rule = rules
        .filter(|rule| book.patterns[rule.pattern].cells == blame.cells)
        .min_by_key(|rule| {
            let other = first.is_some_and(|nature| !rule.natures.has(*nature));
            // Of a provider with one host, the host is what scenario files name.
            let provider = matches!(rule.scope, Scope::Provider(_));
            (other, rule.conditions.len(), provider)
        });
    let mut when = match rule {
        Some(rule) => keys(universe, rule),
        None => match conjunction(universe, &blame.cells) {
            (when, true) => when,
            (_, false) => return Vec::new(),
        },
    };
    if let Some(pop) = blame.pop {
        when.insert(
            "pop".to_owned(),
            universe.pops[usize::from(pop)].as_str().into(),
        );
    }
    vec![when]
}

/// The levels of each factor over some cells, and whether nothing but them has such levels.
fn conjunction(universe: &Universe, cells: &CellSet) -> (Map<String, Value>, bool) {
    const FACTORS: [(Axis, &str); 5] = [
        (Axis::Endpoint, "endpoint"),
        (Axis::Egress, "egress"),
        (Axis::Client, "ua"),
        (Axis::Credential, "cred"),
        (Axis::Version, "http"),
    ];
    let count = universe.cells.len();
    let mut covered = CellSet::filter(count, |_| true);
    let mut when = Map::new();
    for (axis, key) in FACTORS {
        let level = |cell: usize| universe.cells[cell].level(axis);
        let mut levels: Vec<u16> = cells.iter().map(level).collect();
        levels.sort_unstable();
        levels.dedup();
        let here = CellSet::filter(count, |cell| levels.contains(&level(cell)));
        if covered.minus(&here).is_empty() {
            continue;
        }
        covered = covered.and(&here);
        let names: Vec<&str> = levels
            .iter()
            .map(|level| universe.name(axis, *level))
            .collect();
        let value = match names.as_slice() {
            [one] => Value::from(*one),
            several => Value::from(several.to_vec()),
        };
        when.insert(key.to_owned(), value);
    }
    let exact = covered == *cells;
    (when, exact)
}

/// One cell, by all its levels.
fn single(universe: &Universe, cell: usize) -> Map<String, Value> {
    conjunction(
        universe,
        &CellSet::filter(universe.cells.len(), |c| c == cell),
    )
    .0
}

/// A rule in the keys of scenario files.
fn keys(universe: &Universe, rule: &Rule) -> Map<String, Value> {
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| {
        out.insert(key.to_owned(), value);
    };
    let text = |name: &str| Value::from(name);
    let host = |i: u16| universe.hosts[usize::from(i)].as_str();
    match rule.scope {
        Scope::Everything => {}
        Scope::Provider(i) => set("provider", text(&universe.providers[usize::from(i)])),
        Scope::Host(i) => set("host", text(host(i))),
        Scope::Prefix { host: h, prefix } => {
            set("host", text(host(h)));
            set("prefix", text(&universe.prefixes[usize::from(prefix)]));
        }
        Scope::Method { host: h, method } => {
            set("host", text(host(h)));
            set("method", text(&universe.methods[usize::from(method)]));
        }
        Scope::Endpoint(i) => set("endpoint", text(&universe.endpoints[usize::from(i)].name)),
    }
    for condition in &rule.conditions {
        match *condition {
            Condition::Client(i) => set("ua", text(&universe.clients[usize::from(i)].name)),
            Condition::Family(i) => set("ua_family", text(&universe.families[usize::from(i)])),
            Condition::Egress(i) => set("egress", text(&universe.egresses[usize::from(i)].name)),
            Condition::Region(i) => set("region", text(&universe.regions[usize::from(i)])),
            Condition::IpFamily(i) => {
                set("ip_family", text(&universe.ip_families[usize::from(i)]));
            }
            Condition::Credential(i) => set("cred", text(&universe.credentials[usize::from(i)])),
            Condition::Version(i) => set("http", text(&universe.versions[usize::from(i)])),
            Condition::Stack(i) => set("stack", text(&universe.stacks[usize::from(i)])),
            Condition::AllBut(axis, i) => {
                let key = match axis {
                    Axis::Egress => "egress",
                    Axis::Credential => "cred",
                    _ => "ua",
                };
                let others = (0..universe.levels(axis)).filter(|level| *level != i);
                let names = others.map(|level| universe.name(axis, level));
                set(key, names.collect());
            }
        }
    }
    if let Some(Special::Pop(pop)) = rule.special {
        set("pop", text(&universe.pops[usize::from(pop)]));
    }
    out
}

/// What is blamed, on one short line.
pub(super) fn label(universe: &Universe, book: &RuleBook, blame: &Blame) -> String {
    let one = |value: &Value| match value {
        Value::Array(several) => {
            let names = several.iter().filter_map(Value::as_str);
            names.collect::<Vec<_>>().join("|")
        }
        value => value.as_str().unwrap_or_default().to_owned(),
    };
    let mut parts: Vec<String> = when(universe, book, blame)
        .iter()
        .map(|(k, v)| format!("{k}={}", one(v)))
        .collect();
    match blame.rate {
        Some(RateKey::Egress) => parts.push("own rate by egress".to_owned()),
        Some(RateKey::Host) => parts.push("own rate".to_owned()),
        None => {}
    }
    if parts.is_empty() {
        "everything".to_owned()
    } else {
        parts.join(" ")
    }
}
