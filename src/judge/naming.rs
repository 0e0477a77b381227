//! What the diagnosis found, in the words of the configuration: rules become levels and subjects,
//! pairs of runs become reasons.

use super::layout::Layout;
use crate::domain::cell::{CredentialName, EgressName, ProbeName};
use crate::domain::diagnosis::{Cause, Level, RuledOut};
use crate::domain::incident::Subject;
use crate::domain::verdict::Factor;
use crate::judge::engine::Engine;
use crate::judge::episode;
use crate::judge::reasons::{Pair, Reasons, sentence};
use crate::judge::rules::{Condition, RATES, RateKey, Rule, Scope, Special};
use crate::judge::universe::Axis;

/// No claim is surer than the evaluation that stands behind the numbers.
const CONFIDENCE_MAX: f64 = 0.995;

/// The levels that a cell must have for a rule to hit it, widest first; none for everything of the subject.
#[must_use]
pub(crate) fn levels(layout: &Layout, rule: &Rule) -> Vec<Level> {
    let mut levels: Vec<Level> = rule
        .conditions
        .iter()
        .map(|condition| level(layout, *condition))
        .collect();
    levels.extend(place(layout, rule.scope));
    levels
}

/// The levels that a rule names as a candidate; the host, where it is about everything.
#[must_use]
pub(crate) fn candidates(layout: &Layout, rule: &Rule) -> Vec<Level> {
    let levels = levels(layout, rule);
    if !levels.is_empty() || rule.special.is_some() {
        return levels;
    }
    let universe = &layout.universe;
    let of_scope = layout.endpoints().filter(|e| match rule.scope {
        Scope::Provider(provider) => e.provider == provider,
        Scope::Endpoint(at) => universe.endpoints[usize::from(at)].host == e.host,
        Scope::Host(host) | Scope::Prefix { host, .. } | Scope::Method { host, .. } => {
            e.host == host
        }
        Scope::Everything => true,
    });
    let mut hosts: Vec<u16> = Vec::new();
    let mut probes = Vec::new();
    for endpoint in of_scope {
        if !hosts.contains(&endpoint.host) {
            hosts.push(endpoint.host);
        }
        probes.push(ProbeName::new(&endpoint.name));
    }
    let names: Vec<&str> = hosts
        .iter()
        .map(|host| universe.hosts[usize::from(*host)].as_str())
        .collect();
    vec![Level::Host {
        name: names.join(", "),
        probes,
    }]
}

fn level(layout: &Layout, condition: Condition) -> Level {
    let universe = &layout.universe;
    let members = |group: u16, members: &[crate::judge::universe::Member]| -> Vec<usize> {
        let members = members.iter().enumerate();
        members
            .filter(|(_, member)| member.group == group)
            .map(|(place, _)| place)
            .collect()
    };
    let client = |level: u16| {
        let clients = layout.clients(Some(level), None);
        match clients.as_slice() {
            [one] => Level::Client(one.clone()),
            _ => Level::Family {
                name: universe.clients[usize::from(level)].name.clone(),
                clients,
            },
        }
    };
    let egress = |level: usize| EgressName::new(&universe.egresses[level].name);
    let ip_family = |family: u16| Level::IpFamily {
        name: universe.ip_families[usize::from(family)].clone(),
        egresses: universe
            .of_ip_family(family)
            .map(|level| egress(usize::from(level)))
            .collect(),
    };
    match condition {
        Condition::Client(i) => client(i),
        Condition::Family(i) => match members(i, &universe.clients).as_slice() {
            [one] => client(*one as u16),
            several => Level::Family {
                name: universe.families[usize::from(i)].clone(),
                clients: several
                    .iter()
                    .flat_map(|level| layout.clients(Some(*level as u16), None))
                    .collect(),
            },
        },
        Condition::Egress(i) => match universe.ip_family_of.get(&i) {
            // What is the only way over a family may be refused as either; both are said.
            Some(family) if universe.of_ip_family(*family).count() == 1 => ip_family(*family),
            _ => Level::Egress(egress(usize::from(i))),
        },
        Condition::IpFamily(i) => ip_family(i),
        Condition::Region(i) => match members(i, &universe.egresses).as_slice() {
            [one] => Level::Egress(egress(*one)),
            several => Level::Region {
                name: universe.regions[usize::from(i)].clone(),
                egresses: several.iter().map(|level| egress(*level)).collect(),
            },
        },
        Condition::Credential(i) => {
            Level::Credential(CredentialName::new(&universe.credentials[usize::from(i)]))
        }
        Condition::Version(i) => Level::Http {
            version: universe.versions[usize::from(i)].clone(),
            clients: layout.clients(None, Some(i)),
        },
        Condition::Stack(i) => Level::Stack {
            ja4: universe.stacks[usize::from(i)].clone(),
            clients: layout.clients_with(i),
        },
        Condition::AllBut(axis, i) => {
            let name = |level: u16| universe.name(axis, level).to_owned();
            let others = (0..universe.levels(axis)).filter(|level| *level != i);
            let others: Vec<String> = match axis {
                Axis::Client => others
                    .flat_map(|level| layout.clients(Some(level), None))
                    .map(|client| client.to_string())
                    .collect(),
                _ => others.map(name).collect(),
            };
            Level::AllBut {
                factor: axis.factor(),
                name: name(i),
                others,
            }
        }
    }
}

/// The part of its host that a scope is about; `None` when it is the whole host or more.
fn place(layout: &Layout, scope: Scope) -> Option<Level> {
    let universe = &layout.universe;
    let probes = |fits: &dyn Fn(u16) -> bool| -> Vec<ProbeName> {
        let all = universe.endpoints.iter().enumerate();
        all.filter(|(place, _)| fits(*place as u16))
            .map(|(_, endpoint)| ProbeName::new(&endpoint.name))
            .collect()
    };
    let of = |at: u16| &universe.endpoints[usize::from(at)];
    let host = |host: u16| universe.hosts[usize::from(host)].clone();
    let (level, here, at_host) = match scope {
        Scope::Everything | Scope::Provider(_) | Scope::Host(_) => return None,
        Scope::Prefix { host: h, prefix } => {
            let here = probes(&|at| of(at).host == h && of(at).prefix == prefix);
            let name = format!("{}{}", host(h), universe.prefixes[usize::from(prefix)]);
            let level = Level::Path {
                name,
                probes: here.clone(),
            };
            (level, here, h)
        }
        Scope::Method { host: h, method } => {
            let here = probes(&|at| of(at).host == h && of(at).method == method);
            let level = Level::Method {
                name: universe.methods[usize::from(method)].clone(),
                probes: here.clone(),
            };
            (level, here, h)
        }
        Scope::Endpoint(i) => {
            let probe = ProbeName::new(&of(i).name);
            (Level::Probe(probe.clone()), vec![probe], of(i).host)
        }
    };
    let all = probes(&|at| of(at).host == at_host);
    match here.as_slice() {
        _ if here.len() == all.len() => None,
        [one] => Some(Level::Probe(one.clone())),
        _ => Some(level),
    }
}

/// A rule as a cause of its subject.
#[must_use]
pub(crate) fn cause(layout: &Layout, rule: &Rule) -> Cause {
    match rule.special {
        Some(Special::Pop(pop)) => Cause::Pop(layout.universe.pops[usize::from(pop)].clone()),
        Some(Special::Rate { key, step }) => Cause::OwnRate {
            per_minute: RATES[usize::from(step).min(RATES.len() - 1)],
            by_egress: key == RateKey::Egress,
        },
        None => {
            let mut levels = levels(layout, rule);
            match levels.len() {
                0 => Cause::Everything,
                1 => Cause::Level(levels.remove(0)),
                _ => Cause::Together(levels),
            }
        }
    }
}

/// What an incident with this rule as its cause is about.
#[must_use]
pub(crate) fn subject(layout: &Layout, rule: &Rule, partner: &str) -> Subject {
    let universe = &layout.universe;
    let host = match rule.scope {
        Scope::Everything | Scope::Provider(_) => None,
        Scope::Host(host) | Scope::Prefix { host, .. } | Scope::Method { host, .. } => Some(host),
        Scope::Endpoint(at) => Some(universe.endpoints[usize::from(at)].host),
    };
    match host {
        Some(host) => Subject::Host(universe.hosts[usize::from(host)].clone()),
        None => of_hosts(&hosts(layout), partner),
    }
}

/// The hosts of the partner, without those of controls.
fn hosts(layout: &Layout) -> Vec<&str> {
    let mut hosts: Vec<&str> = Vec::new();
    for endpoint in layout.endpoints() {
        let host = layout.universe.hosts[usize::from(endpoint.host)].as_str();
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// One host by its name, several by their partner's.
#[must_use]
pub(crate) fn of_hosts(hosts: &[&str], partner: &str) -> Subject {
    match hosts {
        [one] => Subject::Host((*one).to_owned()),
        _ => Subject::Partner(partner.to_owned()),
    }
}

/// How sure a claim is, between 0 and 1.
#[must_use]
pub(crate) fn confidence(cause: &episode::Cause) -> f64 {
    cause.confidence().min(CONFIDENCE_MAX)
}

/// What a claim rules out, each by the pair of runs that shows it.
///
/// A pair that differs in the blamed factor alone clears every other factor; where there is none, a
/// pair of failures that differ in a factor clears that one.
#[must_use]
pub(crate) fn ruled_out(layout: &Layout, engine: &Engine, cause: &episode::Cause) -> Vec<RuledOut> {
    let rule = &layout.book.rules[cause.rule];
    let blamed: Vec<Axis> = rule.conditions.iter().map(|c| c.axis()).collect();
    let reasons = engine.reasons(cause);
    let universe = &layout.universe;
    let auth = universe.endpoints.iter().any(|endpoint| endpoint.auth);
    let mut out: Vec<RuledOut> = Vec::new();
    for axis in [Axis::Egress, Axis::Client, Axis::Credential] {
        if blamed.contains(&axis) || (axis == Axis::Credential && !auth) {
            continue;
        }
        if let Some(pair) = pair_for(&reasons, axis) {
            out.push(RuledOut {
                factor: axis.factor(),
                because: sentence(universe, pair),
                failing: Some(layout.key(pair.failing.cell).clone()),
                passing: pair.passed.then(|| layout.key(pair.other.cell).clone()),
            });
        }
    }
    if let Some(pair) = reasons.contrasts.first() {
        out.push(RuledOut {
            factor: Factor::Host,
            because: sentence(universe, pair),
            failing: Some(layout.key(pair.failing.cell).clone()),
            passing: Some(layout.key(pair.other.cell).clone()),
        });
    }
    out
}

fn pair_for(reasons: &Reasons, axis: Axis) -> Option<&Pair> {
    let failed_too = reasons.ruled_out.iter().find(|pair| pair.axis == axis);
    reasons.contrasts.first().or(failed_too)
}
