//! Scenario files: one simulated incident, or a quiet time, and the answer that is expected.
//!
//! The file is read into a strict mirror and then checked: every name that a fault or an expected cause
//! uses must exist, so that a misspelt level can't pass as "never matched".

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::fingerprint::Fingerprint;
use crate::domain::verdict::{Kind, Tell};
use crate::judge::universe::{EndpointNames, Names, Universe};

/// Which cells of an endpoint are scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Design {
    /// Every combination.
    Full,
    /// The base, and each cell that differs from it in one factor.
    #[default]
    Star,
    /// A greedy set that covers every pair of levels of two factors.
    Pairwise,
    /// The base only.
    Single,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    #[serde(default = "five_minutes")]
    pub interval_s: f64,
    #[serde(default)]
    pub design: Design,
    /// A round goes out as fast as politeness allows instead of being spread.
    #[serde(default)]
    pub burst: bool,
}

fn five_minutes() -> f64 {
    300.0
}

/// Failures without a fault.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Noise {
    /// Per request.
    pub independent: f64,
    /// For each host and each egress.
    pub bursts_per_day: f64,
    pub burst_mean_s: f64,
    pub burst_intensity: f64,
    pub flaky_egress: BTreeMap<String, f64>,
    pub flaky_host: BTreeMap<String, f64>,
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            independent: 0.003,
            bursts_per_day: 0.3,
            burst_mean_s: 25.0,
            burst_intensity: 0.7,
            flaky_egress: BTreeMap::new(),
            flaky_host: BTreeMap::new(),
        }
    }
}

/// One value or a list of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    #[must_use]
    pub fn values(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// A conjunction over factors; empty means everything.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(transparent)]
pub struct When(pub BTreeMap<String, OneOrMany>);

/// The factors that a [`When`] may name.
const FACTORS: [&str; 14] = [
    "endpoint",
    "host",
    "provider",
    "prefix",
    "method",
    "egress",
    "region",
    "ip_family",
    "ua",
    "ua_family",
    "cred",
    "http",
    "stack",
    "pop",
];

impl When {
    /// A conjunction of single levels.
    #[must_use]
    pub fn of(levels: &[(&str, &str)]) -> Self {
        Self(
            levels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), OneOrMany::One((*v).to_owned())))
                .collect(),
        )
    }

    /// Whether each cell is meant; a `PoP` is left out, as no cell decides it.
    #[must_use]
    pub fn cells(&self, universe: &Universe) -> Vec<bool> {
        (0..universe.cells.len())
            .map(|cell| {
                self.0.iter().all(|(factor, values)| {
                    values
                        .values()
                        .iter()
                        .any(|value| level_matches(universe, cell, factor, value))
                })
            })
            .collect()
    }

    /// Whether it picks hosts or endpoints, and so leaves out whatever else there is in the world.
    #[must_use]
    pub fn is_about_target(&self) -> bool {
        let target = ["endpoint", "host", "provider", "prefix", "method", "pop"];
        target.iter().any(|factor| self.0.contains_key(*factor))
    }

    /// The `PoP`s that are meant, if any are.
    #[must_use]
    pub fn pops(&self, universe: &Universe) -> Option<Vec<u16>> {
        let values = self.0.get("pop")?;
        Some(
            values
                .values()
                .iter()
                .filter_map(|v| universe.pops.iter().position(|p| p == v))
                .map(|p| p as u16)
                .collect(),
        )
    }

    fn check(&self, universe: &Universe, place: &str) -> Result<(), String> {
        for (factor, values) in &self.0 {
            if !FACTORS.contains(&factor.as_str()) {
                return Err(format!(
                    "{place}: there is no factor {factor:?}; known are {}",
                    FACTORS.join(", ")
                ));
            }
            for value in values.values() {
                let known = if factor == "pop" {
                    universe.pops.contains(value)
                } else {
                    (0..universe.cells.len())
                        .any(|cell| level_matches(universe, cell, factor, value))
                };
                if !known {
                    return Err(format!("{place}.{factor}: no cell has {value:?}"));
                }
            }
        }
        Ok(())
    }
}

fn level_matches(universe: &Universe, cell: usize, factor: &str, value: &str) -> bool {
    let c = &universe.cells[cell];
    let endpoint = &universe.endpoints[usize::from(c.endpoint)];
    let name = |table: &[String], i: u16| table[usize::from(i)] == value;
    match factor {
        "endpoint" => endpoint.name == value,
        "host" => name(&universe.hosts, endpoint.host),
        "provider" => name(&universe.providers, endpoint.provider),
        "prefix" => name(&universe.prefixes, endpoint.prefix),
        "method" => name(&universe.methods, endpoint.method),
        "egress" => universe.egresses[usize::from(c.egress)].name == value,
        "region" => name(
            &universe.regions,
            universe.egresses[usize::from(c.egress)].group,
        ),
        "ip_family" => {
            let family = universe.ip_family_of.get(&c.egress);
            family.is_some_and(|family| name(&universe.ip_families, *family))
        }
        "ua" => universe.clients[usize::from(c.client)].name == value,
        "ua_family" => name(
            &universe.families,
            universe.clients[usize::from(c.client)].group,
        ),
        "cred" => endpoint.auth && name(&universe.credentials, c.credential),
        "http" => name(&universe.versions, c.version),
        "stack" => {
            let stack = universe.stack(cell);
            stack.is_some_and(|stack| name(&universe.stacks, stack))
        }
        "pop" => true,
        _ => false,
    }
}

/// One class of failure, or several with weights.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum RawClass {
    One(String),
    Mix(BTreeMap<String, f64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateKey {
    Host,
    Egress,
}

impl RateKey {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Egress => "egress",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    #[serde(default = "by_egress")]
    pub key: RateKey,
    /// Requests in the preceding 60 s from which on the fault strikes.
    pub limit: u32,
}

fn by_egress() -> RateKey {
    RateKey::Egress
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFault {
    #[serde(default)]
    when: When,
    class: RawClass,
    #[serde(default = "certain")]
    probability: f64,
    rate: Option<RateLimit>,
    #[serde(default)]
    active_min: Vec<(f64, Option<f64>)>,
    #[serde(default)]
    ignore: bool,
}

fn certain() -> f64 {
    1.0
}

/// What the world does to some requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub when: When,
    /// Weights add up to 1.
    pub classes: Vec<(Kind, f64)>,
    pub probability: f64,
    pub rate: Option<RateLimit>,
    /// Minutes from the onset; no end means for ever.
    pub active_min: Vec<(f64, Option<f64>)>,
    /// Real, but not to be reported.
    pub ignore: bool,
}

impl Fault {
    /// A fault that lasts from the onset.
    #[must_use]
    pub fn new(when: When, classes: &[(Kind, f64)]) -> Self {
        Self {
            when,
            classes: classes.to_vec(),
            probability: 1.0,
            rate: None,
            active_min: vec![(0.0, None)],
            ignore: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    pub hosts: Vec<String>,
    pub from_min: f64,
    pub to_min: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFingerprint {
    server: Option<String>,
    #[serde(default)]
    markers: Vec<String>,
    issuer: Option<String>,
    asn: Option<u32>,
    http: Option<String>,
    cname: Option<String>,
    redirect: Option<String>,
    #[serde(default)]
    headers: Vec<String>,
}

impl From<RawFingerprint> for Fingerprint {
    fn from(raw: RawFingerprint) -> Self {
        let lower = |list: Vec<String>| list.iter().map(|h| h.to_lowercase()).collect();
        Self {
            server: raw.server,
            markers: lower(raw.markers),
            issuer: raw.issuer,
            asn: raw.asn,
            http: raw.http,
            cname: raw.cname,
            redirect: raw.redirect,
            headers: lower(raw.headers),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrintChange {
    at_min: f64,
    to: RawFingerprint,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFront {
    base: RawFingerprint,
    #[serde(default)]
    changes: Vec<RawPrintChange>,
    alternate: Option<RawFingerprint>,
    #[serde(default = "third")]
    alternate_share: f64,
    #[serde(default)]
    history_days: f64,
}

fn third() -> f64 {
    0.3
}

/// What a host's edge looks like over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Front {
    pub base: Fingerprint,
    /// Minutes from the onset, and what it looks like from then on.
    pub changes: Vec<(f64, Fingerprint)>,
    /// A second variant behind a load balancer, and its share of the answers.
    pub alternate: Option<(Fingerprint, f64)>,
    pub history_days: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedDrift {
    pub related: bool,
    pub kind: Option<String>,
    pub lead_min: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedVerdict {
    Attributed,
    CannotTell,
    #[default]
    None,
    Suppressed,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedRate {
    pub host: Option<String>,
    pub key: Option<RateKey>,
    pub limit: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct ExpectedCause {
    pub when: Option<When>,
    pub rate: Option<ExpectedRate>,
}

/// What must stand, as people are told, from a minute after the onset to another.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stands {
    pub from_min: f64,
    /// To the end of the run otherwise.
    pub to_min: Option<f64>,
    /// All of these and nothing else; nothing at all where there is none.
    #[serde(default)]
    pub causes: Vec<When>,
}

/// The answer that is expected.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    pub incident: bool,
    pub verdict: ExpectedVerdict,
    pub causes: Vec<ExpectedCause>,
    pub intermittent: bool,
    pub forbidden: Vec<String>,
    pub among: Vec<String>,
    pub missing: Option<String>,
    pub confirm_within_s: Option<f64>,
    pub attribute_within_s: Option<f64>,
    pub max_extra: Option<u32>,
    pub lifecycle: Vec<String>,
    pub stands: Vec<Stands>,
    /// Each end is told so many seconds after it.
    pub fixed_within_s: Option<f64>,
    /// Messages to engineers in the whole run; 0 where nobody may be told.
    pub max_messages: Option<usize>,
    /// A remark for people.
    pub accept: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEndpoint {
    id: String,
    host: String,
    #[serde(default)]
    path: String,
    method: Option<String>,
    prefix: Option<String>,
    provider: Option<String>,
    #[serde(default = "yes")]
    auth: bool,
    /// The first word at the second signed refusal.
    #[serde(default)]
    tell: Option<Tell>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEgress {
    id: String,
    region: Option<String>,
    /// `IPv4` or `IPv6`, where it asks over one alone.
    ip_family: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClient {
    id: String,
    family: Option<String>,
    /// The TLS of a program that makes its requests; edgewatch's own when left out.
    stack: Option<String>,
    /// The client of a program whose user agent it sends over edgewatch's own TLS.
    stands_in_for: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCredential {
    id: String,
    endpoints: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum RawVersion {
    Word(String),
    Id { id: String },
}

type RawPops = BTreeMap<String, BTreeMap<String, BTreeMap<String, f64>>>;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUniverse {
    endpoints: Vec<RawEndpoint>,
    egress: Vec<RawEgress>,
    user_agents: Vec<RawClient>,
    #[serde(default)]
    credentials: Vec<RawCredential>,
    #[serde(default)]
    http: Vec<RawVersion>,
    #[serde(default = "yes")]
    control: bool,
    #[serde(default)]
    pops: RawPops,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScenario {
    id: String,
    #[serde(default)]
    title: String,
    universe: RawUniverse,
    schedule: Option<Schedule>,
    #[serde(default)]
    noise: Noise,
    #[serde(default = "six")]
    warmup_rounds: u32,
    #[serde(default = "twelve")]
    rounds: u32,
    #[serde(default = "twenty")]
    seeds: u64,
    #[serde(default)]
    faults: Vec<RawFault>,
    #[serde(default)]
    maintenance: Vec<Maintenance>,
    #[serde(default)]
    fingerprints: BTreeMap<String, RawFront>,
    drift: Option<ExpectedDrift>,
    #[serde(default)]
    expect: Expect,
}

fn six() -> u32 {
    6
}
fn twelve() -> u32 {
    12
}
fn twenty() -> u64 {
    20
}

/// A checked scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub id: String,
    pub title: String,
    pub universe: Universe,
    pub schedule: Schedule,
    pub noise: Noise,
    /// Rounds before and after the onset.
    pub warmup_rounds: u32,
    pub rounds: u32,
    pub seeds: u64,
    pub faults: Vec<Fault>,
    pub maintenance: Vec<Maintenance>,
    /// By host.
    pub fronts: BTreeMap<String, Front>,
    pub drift: Option<ExpectedDrift>,
    pub expect: Expect,
}

/// More observations than this in one run are refused.
const OBSERVATIONS_MAX: f64 = 20_000_000.0;

/// Reads a scenario file.
///
/// # Errors
/// A sentence with the place in the file, for the one who wrote it.
pub fn read(text: &str, file: &str) -> Result<Scenario, String> {
    let raw: RawScenario = serde_yaml::from_str(text).map_err(|e| format!("{file}: {e}"))?;
    check(raw).map_err(|e| format!("{file}: {e}"))
}

fn check(raw: RawScenario) -> Result<Scenario, String> {
    let universe = universe(&raw.universe)?;
    let mut faults = Vec::new();
    for (i, fault) in raw.faults.into_iter().enumerate() {
        let place = format!("faults[{i}]");
        fault.when.check(&universe, &format!("{place}.when"))?;
        if !(0.0..=1.0).contains(&fault.probability) {
            return Err(format!(
                "{place}.probability: {} is not between 0 and 1",
                fault.probability
            ));
        }
        faults.push(Fault {
            when: fault.when,
            classes: classes(&fault.class).map_err(|e| format!("{place}.class: {e}"))?,
            probability: fault.probability,
            rate: fault.rate,
            active_min: if fault.active_min.is_empty() {
                vec![(0.0, None)]
            } else {
                fault.active_min
            },
            ignore: fault.ignore,
        });
    }
    for (i, cause) in raw.expect.causes.iter().enumerate() {
        if let Some(when) = &cause.when {
            when.check(&universe, &format!("expect.causes[{i}].when"))?;
        }
    }
    for (i, stands) in raw.expect.stands.iter().enumerate() {
        let place = format!("expect.stands[{i}]");
        if stands.to_min.is_some_and(|to| to <= stands.from_min) {
            return Err(format!("{place}.to_min: must be after from_min"));
        }
        for cause in &stands.causes {
            cause.check(&universe, &format!("{place}.causes"))?;
        }
    }
    let host_known = |host: &String| universe.hosts.contains(host);
    if let Some(host) = raw
        .maintenance
        .iter()
        .flat_map(|m| &m.hosts)
        .chain(raw.fingerprints.keys())
        .find(|h| !host_known(h))
    {
        return Err(format!("no endpoint has the host {host:?}"));
    }
    let schedule = raw.schedule.unwrap_or(Schedule {
        interval_s: five_minutes(),
        design: Design::Star,
        burst: false,
    });
    if !(1.0..=86_400.0).contains(&schedule.interval_s) {
        return Err("schedule.interval_s: must be between 1 and 86400".to_owned());
    }
    let rounds = f64::from(raw.rounds) + f64::from(raw.warmup_rounds);
    if rounds * universe.cells.len() as f64 > OBSERVATIONS_MAX {
        return Err("rounds: more observations than can be played".to_owned());
    }
    if raw.seeds == 0 || raw.seeds > 100_000 {
        return Err("seeds: must be between 1 and 100000".to_owned());
    }
    Ok(Scenario {
        id: raw.id,
        title: raw.title,
        universe,
        schedule,
        noise: raw.noise,
        warmup_rounds: raw.warmup_rounds,
        rounds: raw.rounds,
        seeds: raw.seeds,
        faults,
        maintenance: raw.maintenance,
        fronts: raw
            .fingerprints
            .into_iter()
            .map(|(host, front)| (host, front.into()))
            .collect(),
        drift: raw.drift,
        expect: raw.expect,
    })
}

impl From<RawFront> for Front {
    fn from(raw: RawFront) -> Self {
        Self {
            base: raw.base.into(),
            changes: raw
                .changes
                .into_iter()
                .map(|c| (c.at_min, c.to.into()))
                .collect(),
            alternate: raw.alternate.map(|a| (a.into(), raw.alternate_share)),
            history_days: raw.history_days,
        }
    }
}

fn classes(raw: &RawClass) -> Result<Vec<(Kind, f64)>, String> {
    let kind = |word: &str| {
        Kind::from_word(word).ok_or_else(|| format!("{word:?} is no class of failure"))
    };
    let list = match raw {
        RawClass::One(word) => vec![(kind(word)?, 1.0)],
        RawClass::Mix(mix) => mix
            .iter()
            .map(|(word, weight)| Ok((kind(word)?, *weight)))
            .collect::<Result<Vec<_>, String>>()?,
    };
    let total: f64 = list.iter().map(|(_, w)| w).sum();
    if !(total > 0.0 && list.iter().all(|(_, w)| *w >= 0.0)) {
        return Err("the weights must be positive".to_owned());
    }
    Ok(list.into_iter().map(|(k, w)| (k, w / total)).collect())
}

/// The stack of clients that name none: edgewatch itself.
pub const OWN_STACK: &str = "edgewatch";

/// The first segment of a path, with its slash.
#[must_use]
pub fn prefix_of(path: &str) -> String {
    let first = path.trim_matches('/').split('/').next().unwrap_or("");
    format!("/{first}")
}

fn universe(raw: &RawUniverse) -> Result<Universe, String> {
    let mut clients: Vec<(String, String)> = raw
        .user_agents
        .iter()
        .map(|u| (u.id.clone(), u.family.clone().unwrap_or(u.id.clone())))
        .collect();
    let control = raw.control.then(|| {
        clients.push(("control".to_owned(), "control".to_owned()));
        clients.len() - 1
    });
    let place = |id: &String| raw.user_agents.iter().position(|other| other.id == *id);
    let mut twins = Vec::new();
    for (own, client) in raw.user_agents.iter().enumerate() {
        if let Some(other) = &client.stands_in_for {
            let program = place(other).filter(|at| raw.user_agents[*at].stack.is_some());
            let none =
                || format!("user_agents[{own}].stands_in_for: there is no program {other:?}");
            twins.push((own, program.ok_or_else(none)?));
        }
    }
    let credentials: Vec<String> = if raw.credentials.is_empty() {
        vec!["none".to_owned()]
    } else {
        raw.credentials.iter().map(|c| c.id.clone()).collect()
    };
    let versions: Vec<String> = if raw.http.is_empty() {
        vec!["h1".to_owned()]
    } else {
        raw.http
            .iter()
            .map(|v| match v {
                RawVersion::Word(id) | RawVersion::Id { id } => id.clone(),
            })
            .collect()
    };
    let programs = raw.user_agents.iter().any(|u| u.stack.is_some());
    let stack = |client: usize| {
        let named = raw.user_agents.get(client).and_then(|u| u.stack.as_deref());
        named.unwrap_or(OWN_STACK).to_owned()
    };
    let levels = (0..clients.len()).flat_map(|c| (0..versions.len()).map(move |v| (c, v)));
    let levels = levels.filter(|_| programs);
    let stacks = levels.map(|(c, v)| (c, v, stack(c))).collect();
    let names = Names {
        endpoints: raw
            .endpoints
            .iter()
            .map(|e| EndpointNames {
                name: e.id.clone(),
                host: e.host.clone(),
                provider: e.provider.clone().unwrap_or(e.host.clone()),
                prefix: e.prefix.clone().unwrap_or(prefix_of(&e.path)),
                method: e.method.clone().unwrap_or("GET".to_owned()),
                auth: e.auth,
                quick: e.tell == Some(Tell::Quick),
            })
            .collect(),
        egresses: raw
            .egress
            .iter()
            .map(|e| (e.id.clone(), e.region.clone().unwrap_or(e.id.clone())))
            .collect(),
        ip_families: raw
            .egress
            .iter()
            .enumerate()
            .filter_map(|(at, e)| Some((at, e.ip_family.clone()?)))
            .collect(),
        clients,
        control,
        credentials,
        versions,
        stacks,
        twins,
        pops: raw
            .pops
            .iter()
            .flat_map(|(host, egresses)| {
                egresses.iter().flat_map(move |(egress, pops)| {
                    pops.iter().map(move |(pop, share)| {
                        (host.clone(), egress.clone(), pop.clone(), *share)
                    })
                })
            })
            .collect(),
    };
    let valid: Vec<Option<Vec<u16>>> = if raw.credentials.is_empty() {
        vec![None]
    } else {
        raw.credentials
            .iter()
            .map(|c| {
                c.endpoints.as_ref().map(|list| {
                    list.iter()
                        .filter_map(|id| raw.endpoints.iter().position(|e| e.id == *id))
                        .map(|i| i as u16)
                        .collect()
                })
            })
            .collect()
    };
    Universe::build(&names, |cell| {
        !raw.endpoints[usize::from(cell.endpoint)].auth
            || valid[usize::from(cell.credential)]
                .as_ref()
                .is_none_or(|list| list.contains(&cell.endpoint))
    })
    .map_err(|e| e.to_string())
}
