//! A scenario as a plan: what an operator would have configured to see it.
//!
//! Endpoints become probes over their egresses, clients and credentials, clients that offer several HTTP
//! versions become one client a version, and a control from every egress is added: it tells "they refuse
//! us" from "we are offline". The plan leads nowhere, or to the [`Grounds`] on which edges play the
//! scenario's hosts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jiff::tz::TimeZone;
use url::Url;

use super::scenario::{OWN_STACK, Scenario};
use crate::domain::cell::{
    CellKey, Client, Credential, CredentialName, Egress, HeaderCase, HttpOffer, IpFamily,
    ProbeName, Program, Speaks, TlsRange, Way,
};
use crate::domain::condition::{Condition, Conditions};
use crate::domain::notification::{Channel, Receiver, Route};
use crate::domain::plan::{IncidentPolicy, Plan, Politeness, StorePolicy};
use crate::domain::probe::{
    Cookies, Expect, Meaning, Part, Probe, Redirects, Resolver, Schedule, Spelling, Template, Words,
};
use crate::domain::secret::Secret;
use crate::domain::verdict::{Factor, Kind, Severity, Tell};
use crate::judge::universe::{Cell, Endpoint, Universe};
use crate::lang::cron::Cron;
use crate::lang::xpath::XPath;
use crate::simulate::partner::{API_PATH, SOAP_PATH};

/// The probe that should always pass, and its host.
pub const CONTROL: &str = "internet";
pub const CONTROL_HOST: &str = "www.control.example";
const CONTROL_EVERY: Duration = Duration::from_secs(60);

/// Where the hosts of a scenario are played.
#[derive(Debug, Clone, Default)]
pub struct Grounds {
    /// Port on 127.0.0.1, by host; [`CONTROL_HOST`] among them.
    pub ports: BTreeMap<String, u16>,
    /// Roots of the hosts that speak TLS; empty: none does.
    pub trust: Vec<String>,
    /// For a run; a host that is silent takes all of it.
    pub timeout: Duration,
}

/// A plan, and which of its cells each cell of the scenario is.
#[derive(Debug, Clone)]
pub struct Planned {
    pub plan: Plan,
    /// By the number of the scenario's cell.
    pub cells: Vec<CellKey>,
}

/// The plan that would see a scenario; without `grounds` it leads nowhere and is only to be talked of.
///
/// # Errors
/// A sentence when the scenario has something that no plan can hold.
pub fn plan(scenario: &Scenario, grounds: Option<&Grounds>) -> Result<Planned, String> {
    let universe = &scenario.universe;
    let mut probes: Vec<Probe> = Vec::new();
    for (place, endpoint) in universe.endpoints.iter().enumerate() {
        let probe = probe(scenario, place as u16, endpoint, grounds)?;
        let same = |other: &&Probe| (&other.url, &other.method) == (&probe.url, &probe.method);
        if let Some(other) = probes.iter().find(same) {
            return Err(format!(
                "no request tells the endpoints {} and {} apart: both are {} {}",
                other.name, probe.name, probe.method, probe.url
            ));
        }
        probes.push(probe);
    }
    probes.push(control(universe, grounds)?);
    let clients = (0..universe.clients.len() as u16)
        .flat_map(|client| (0..universe.versions.len() as u16).map(move |v| (client, v)))
        .map(|(client, version)| self::client(universe, client, version))
        .collect::<Result<_, String>>()?;
    let egresses = (2..=u8::MAX).zip(&universe.egresses);
    let family = |last: u8| {
        let of = universe.ip_family_of.get(&(u16::from(last) - 2));
        let name = of.map(|family| universe.ip_families[usize::from(*family)].as_str());
        match (name, grounds) {
            (Some("IPv4"), None) => IpFamily::V4,
            (Some("IPv6"), None) => IpFamily::V6,
            _ => IpFamily::Any,
        }
    };
    let cells = universe.cells.iter().map(|cell| key(universe, cell));
    let requests = 60.0 * universe.cells.len() as f64 / scenario.schedule.interval_s;
    Ok(Planned {
        cells: cells.collect(),
        plan: Plan {
            service: "the partner".to_owned(),
            zone: TimeZone::UTC,
            egresses: egresses
                .map(|(last, egress)| Egress {
                    name: egress.name.as_str().into(),
                    way: match grounds {
                        Some(_) => Way::Address(address(last)),
                        None => Way::Routes,
                    },
                    site: None,
                    public: None,
                    region: Some(universe.regions[usize::from(egress.group)].clone()),
                    family: family(last),
                })
                .collect(),
            clients,
            credentials: universe
                .credentials
                .iter()
                .filter(|name| !is_none(universe, name))
                .map(|name| Credential {
                    name: CredentialName::new(name),
                    fields: BTreeMap::from([
                        ("username".to_owned(), Secret::new(name.as_str())),
                        ("password".to_owned(), Secret::new(password(name))),
                    ]),
                    missing: None,
                    unfit: BTreeMap::new(),
                    open: std::collections::BTreeSet::new(),
                })
                .collect(),
            probes,
            politeness: Politeness {
                requests_per_minute: (2.0 * requests).max(60.0) as u32,
                gap: gap(requests),
                extra_per_incident: 12,
            },
            incidents: IncidentPolicy::default(),
            signatures: Vec::new(),
            receivers: vec![Receiver {
                name: "people".into(),
                channel: Channel::Log,
                fallback: None,
            }],
            routes: vec![Route::new("people".into())],
            maintenance: Vec::new(),
            store: StorePolicy {
                group: None,
                path: "edgewatch.sqlite".into(),
                keep: crate::domain::plan::Keep::for_runs(Duration::from_secs(86_400)),
                bytes_max: 1 << 30,
            },
            trust: grounds.map_or(Vec::new(), |grounds| grounds.trust.clone()),
            name_servers: Vec::new(),
            listen: None,
            web: None,
            heartbeat: None,
            watch: true,
            former: crate::domain::renames::Renames::default(),
            nats: None,
            credential_a_day: None,
            shares: std::collections::BTreeMap::new(),
            runs_in_flight_max: 64,
        },
    })
}

/// A second, or as much as leaves room for twice this many requests a minute.
fn gap(requests: f64) -> Duration {
    Duration::from_secs_f64((30.0 / requests).min(1.0))
}

/// The loopback address of the egress at a place, counted from 0.
#[must_use]
pub fn egress_address(place: usize) -> IpAddr {
    address((place + 2).min(usize::from(u8::MAX)) as u8)
}

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// Scenarios without credentials have one level of that name.
fn is_none(universe: &Universe, credential: &str) -> bool {
    universe.credentials.len() == 1 && credential == "none"
}

/// The secret of an account.
#[must_use]
pub fn password(credential: &str) -> String {
    format!("password-of-{credential}")
}

/// How a client introduces itself: its family as the product, its own name in the comment.
#[must_use]
pub fn user_agent(universe: &Universe, client: u16) -> String {
    let client = &universe.clients[usize::from(client)];
    format!(
        "{} ({})",
        product(&universe.families[usize::from(client.group)]),
        client.name
    )
}

/// The product that all user agents of a family begin with.
#[must_use]
pub fn product(family: &str) -> String {
    format!("{}/1.0", family.replace(['/', ' '], "-"))
}

fn is_soap(universe: &Universe, endpoint: &Endpoint) -> bool {
    universe.methods[usize::from(endpoint.method)] == "POST"
        && SOAP_PATH.starts_with(&format!(
            "{}/",
            universe.prefixes[usize::from(endpoint.prefix)]
        ))
}

/// The path of an endpoint: the services of the simulated partner keep theirs, others are below their prefix.
#[must_use]
pub fn path(universe: &Universe, endpoint: &Endpoint) -> String {
    match universe.prefixes[usize::from(endpoint.prefix)].as_str() {
        _ if is_soap(universe, endpoint) => SOAP_PATH.to_owned(),
        "/api" if endpoint.auth => API_PATH.to_owned(),
        "/" => "/".to_owned(),
        prefix => format!("{prefix}/{}", endpoint.name),
    }
}

/// Whether a host has services of the simulated partner, which ask for an account.
#[must_use]
pub fn has_accounts(universe: &Universe, host: u16) -> bool {
    let here = universe.endpoints.iter().filter(|e| e.host == host);
    here.map(|e| path(universe, e))
        .any(|path| path == SOAP_PATH || path == API_PATH)
}

/// The name of a client that offers one HTTP version.
fn client_name(universe: &Universe, client: u16, version: u16) -> String {
    let name = &universe.clients[usize::from(client)].name;
    match universe.versions.as_slice() {
        [_] => name.clone(),
        versions => format!("{name}-{}", versions[usize::from(version)]),
    }
}

fn client(universe: &Universe, client: u16, version: u16) -> Result<Client, String> {
    let http = match universe.versions[usize::from(version)].as_str() {
        "h1" => HttpOffer::Http1,
        "h2" => HttpOffer::Http2,
        other => {
            return Err(format!(
                "no client offers HTTP version {other:?}; there are h1 and h2"
            ));
        }
    };
    let stack = stack(universe, client, version).unwrap_or(OWN_STACK);
    Ok(Client {
        name: client_name(universe, client, version).as_str().into(),
        user_agent: user_agent(universe, client),
        http,
        tls: TlsRange::default(),
        headers: vec![("Accept".to_owned(), Some("*/*".to_owned()))],
        header_case: HeaderCase::default(),
        program: (stack != OWN_STACK).then(|| Program {
            variables: Vec::new(),
            command: vec![format!("/usr/bin/{stack}")],
            speaks: Speaks::Lines,
            http: Some(http),
            keep: None,
        }),
        stands_in_for: universe
            .stands_in_for(client)
            .filter(|_| stack == OWN_STACK)
            .map(|program| client_name(universe, program, version).as_str().into()),
        trust: None,
        control: universe.control == Some(client),
    })
}

/// Whose TLS a client has, where the scenario says.
#[must_use]
pub fn stack(universe: &Universe, client: u16, version: u16) -> Option<&str> {
    let stack = universe.stack_of.get(&(client, version))?;
    Some(&universe.stacks[usize::from(*stack)])
}

fn key(universe: &Universe, cell: &Cell) -> CellKey {
    let endpoint = &universe.endpoints[usize::from(cell.endpoint)];
    let credential = &universe.credentials[usize::from(cell.credential)];
    CellKey {
        probe: ProbeName::new(&endpoint.name),
        egress: universe.egresses[usize::from(cell.egress)]
            .name
            .as_str()
            .into(),
        client: client_name(universe, cell.client, cell.version)
            .as_str()
            .into(),
        credential: if endpoint.auth && !is_none(universe, credential) {
            CredentialName::new(credential)
        } else {
            CredentialName::anonymous()
        },
    }
}

fn probe(
    scenario: &Scenario,
    place: u16,
    endpoint: &Endpoint,
    grounds: Option<&Grounds>,
) -> Result<Probe, String> {
    let universe = &scenario.universe;
    let host = &universe.hosts[usize::from(endpoint.host)];
    let method = &universe.methods[usize::from(endpoint.method)];
    let mut probe = bare(
        &endpoint.name,
        url(host, &path(universe, endpoint), grounds)?,
        grounds,
    );
    probe
        .partner
        .clone_from(&universe.providers[usize::from(endpoint.provider)]);
    probe.method = method
        .parse()
        .map_err(|_| format!("{method:?} is no HTTP method"))?;
    probe.schedule = schedule(scenario);
    if endpoint.quick {
        probe.tell = Tell::Quick;
    }
    let cells = universe.cells.iter().filter(|cell| cell.endpoint == place);
    for key in cells.map(|cell| key(universe, cell)) {
        push(&mut probe.from, key.egress);
        push(&mut probe.as_clients, key.client);
        push(&mut probe.with, key.credential);
    }
    let field = |key: &str| Part::Credential(key.to_owned(), Spelling::Plain);
    let text = |text: &str| Part::Text(text.to_owned());
    if is_soap(universe, endpoint) {
        let xpath = |code: &str| {
            let path = format!("//*[local-name()='ReturnCode']='{code}'");
            XPath::new(&path, &[]).map(|path| Conditions(vec![Condition::Xml(path)]))
        };
        probe.headers = vec![("Content-Type".to_owned(), Template::text("text/xml"))];
        probe.body = Some(Template {
            parts: vec![
                text("<Envelope><Body><CheckRecommendationStatus><Username>"),
                field("username"),
                text("</Username><Password>"),
                field("password"),
                text("</Password></CheckRecommendationStatus></Body></Envelope>"),
            ],
        });
        probe.expect.conditions = xpath("0")?;
        probe.meanings = vec![Meaning {
            when: xpath("99")?,
            verdict: Kind::OriginDenied,
            factors: vec![Factor::Credential, Factor::Egress],
            note: None,
        }];
    } else if probe.with.iter().any(|name| !name.is_anonymous()) {
        let token = Template {
            parts: vec![text("Bearer "), field("password")],
        };
        probe.headers = vec![("Authorization".to_owned(), token)];
    }
    Ok(probe)
}

/// A page from every egress, as the control client where there is one.
fn control(universe: &Universe, grounds: Option<&Grounds>) -> Result<Probe, String> {
    let client = universe.control.unwrap_or(0);
    Ok(Probe {
        from: universe
            .egresses
            .iter()
            .map(|e| e.name.as_str().into())
            .collect(),
        as_clients: vec![client_name(universe, client, 0).as_str().into()],
        with: vec![CredentialName::anonymous()],
        schedule: Schedule::Every(CONTROL_EVERY),
        control: true,
        ..bare(CONTROL, url(CONTROL_HOST, "/", grounds)?, grounds)
    })
}

fn bare(name: &str, url: Url, grounds: Option<&Grounds>) -> Probe {
    Probe {
        name: ProbeName::new(name),
        partner: url.host_str().unwrap_or_default().to_owned(),
        url,
        method: http::Method::GET,
        headers: Vec::new(),
        body: None,
        from: Vec::new(),
        as_clients: Vec::new(),
        with: Vec::new(),
        schedule: Schedule::Every(CONTROL_EVERY),
        timeout: grounds.map_or(Duration::from_secs(20), |grounds| grounds.timeout),
        expect: Expect::default(),
        origin: Conditions::default(),
        meanings: Vec::new(),
        words: Words::default(),
        redirects: Redirects::No,
        cookies: Cookies::default(),
        body_bytes_max: 1 << 18,
        resolver: Resolver::Own,
        connect_to: grounds.map(|_| IpAddr::V4(Ipv4Addr::LOCALHOST)),
        tags: Vec::new(),
        severity: Severity::Warning,
        tell: Tell::Sure,
        control: false,
        ours: false,
        forbid: Default::default(),
    }
}

fn url(host: &str, path: &str, grounds: Option<&Grounds>) -> Result<Url, String> {
    let text = match grounds {
        None => format!("https://{host}{path}"),
        Some(grounds) => {
            let port = grounds
                .ports
                .get(host)
                .ok_or_else(|| format!("nobody plays the host {host:?}"))?;
            let scheme = if grounds.trust.is_empty() {
                "http"
            } else {
                "https"
            };
            format!("{scheme}://{host}:{port}{path}")
        }
    };
    text.parse().map_err(|e| format!("{text:?} is no URL: {e}"))
}

/// A round in a burst is what a cron expression gives; a spread one has an interval.
fn schedule(scenario: &Scenario) -> Schedule {
    let interval = scenario.schedule.interval_s;
    let minutes = (interval / 60.0).round() as u32;
    let even = (1..60).contains(&minutes) && 60 % minutes == 0;
    if scenario.schedule.burst
        && even
        && let Ok(cron) = Cron::new(&format!("0 */{minutes} * * * *"), TimeZone::UTC)
    {
        return Schedule::Cron(cron);
    }
    Schedule::Every(Duration::from_secs_f64(interval))
}

fn push<T: PartialEq>(list: &mut Vec<T>, value: T) {
    if !list.contains(&value) {
        list.push(value);
    }
}
