//! The hosts of a scenario as real edges on loopback, and its faults as their rules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use edgewatch::domain::observation::HttpVersion;
use edgewatch::domain::verdict::Kind;
use edgewatch::lab::plan::{
    CONTROL_HOST, Grounds, egress_address, has_accounts, password, path, product, user_agent,
};
use edgewatch::lab::scenario::{self, Fault, Scenario};
use edgewatch::simulate::Account;
use edgewatch::simulate::Action;
use edgewatch::simulate::Certificate;
use edgewatch::simulate::Clock;
use edgewatch::simulate::Edge;
use edgewatch::simulate::Form;
use edgewatch::simulate::Front;
use edgewatch::simulate::Network;
use edgewatch::simulate::Page;
use edgewatch::simulate::Partner;
use edgewatch::simulate::Rate;
use edgewatch::simulate::RateKey;
use edgewatch::simulate::Rule;
use edgewatch::simulate::Script;
use edgewatch::simulate::Text;
use edgewatch::simulate::When;
use jiff::Timestamp;

/// A clock that stands where it was put.
#[derive(Clone)]
pub(crate) struct Hand(Arc<AtomicI64>);

impl Hand {
    pub(crate) fn at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.as_microsecond())))
    }

    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(now.as_microsecond(), Ordering::Relaxed);
    }

    pub(crate) fn clock(&self) -> Clock {
        let hand = self.clone();
        Clock::new(move || Timestamp::from_microsecond(hand.0.load(Ordering::Relaxed)).unwrap())
    }
}

/// Edges for the hosts of a scenario, and the control's.
pub(crate) struct Stage {
    pub(crate) grounds: Grounds,
    edges: Vec<Edge>,
}

impl Stage {
    /// Starts all edges; the faults begin `onset` after now, as `clock` tells it.
    pub(crate) async fn start(scenario: &Scenario, clock: &Clock, onset: Duration) -> Self {
        let universe = &scenario.universe;
        let kinds = || scenario.faults.iter().flat_map(|fault| &fault.classes);
        let tls = universe.versions.len() > 1 || kinds().any(|(kind, _)| *kind == Kind::TlsError);
        let silent = kinds().any(|(kind, _)| *kind == Kind::Timeout);
        let mut stage = Self {
            grounds: Grounds {
                // Silence costs real time; where nobody is silent, a busy machine must not look so.
                timeout: Duration::from_millis(if silent { 250 } else { 5000 }),
                ..Grounds::default()
            },
            edges: Vec::new(),
        };
        let hosts = (0..universe.hosts.len() as u16).map(Some).chain([None]);
        for (seed, host) in (1..).zip(hosts) {
            let name = host.map_or(CONTROL_HOST, |host| &universe.hosts[usize::from(host)]);
            let accounts = || {
                let names = universe.credentials.iter();
                names
                    .map(|name| Account::new(name, &password(name)))
                    .collect()
            };
            let partner = match host {
                Some(host) if has_accounts(universe, host) => Partner::gmc(accounts()),
                _ => Partner::control(),
            };
            let certificate = Certificate {
                names: vec![name.to_owned()],
                ..Certificate::default()
            };
            let script = Script {
                tls: tls.then_some(certificate),
                front: host.map_or(Front::Direct, |_| Front::cloudflare()),
                rules: rules(scenario, host, onset),
                seed,
                ..Script::new(clock.clone())
            };
            let edge = Edge::start(partner, script).await.unwrap();
            stage
                .grounds
                .ports
                .insert(name.to_owned(), edge.addr().port());
            stage.grounds.trust.extend(edge.root_pem());
            stage.edges.push(edge);
        }
        stage
    }

    /// Requests that came so far, over all edges.
    pub(crate) fn count(&self) -> usize {
        self.edges.iter().map(Edge::count).sum()
    }

    pub(crate) async fn stop(self) {
        for edge in self.edges {
            edge.stop().await;
        }
    }
}

/// What the faults of a scenario do at one host; `None` is the control's.
fn rules(scenario: &Scenario, host: Option<u16>, onset: Duration) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (number, fault) in scenario.faults.iter().enumerate() {
        let Some(when) = when(scenario, fault, host) else {
            continue;
        };
        // One rule a class, each with its share of what the ones before leave.
        let mut left = 1.0;
        for (kind, weight) in &fault.classes {
            let share = fault.probability * weight;
            let mut rule = Rule::new(
                &format!("fault {number} {kind}"),
                when.clone(),
                action(*kind, fault),
            )
            .probability((share / left).clamp(0.0, 1.0));
            left -= share;
            rule.rate = fault.rate.as_ref().map(|rate| {
                let key = match rate.key {
                    scenario::RateKey::Host => RateKey::Host,
                    scenario::RateKey::Egress => RateKey::Egress,
                };
                Rate::per_minute(key, rate.limit as usize)
            });
            for (from, to) in &fault.active_min {
                let minutes = |min: f64| Duration::from_secs_f64((min * 60.0).max(0.0));
                rule = rule.active(onset + minutes(*from), to.map(|to| onset + minutes(to)));
            }
            rules.push(rule);
        }
    }
    rules
}

/// The requests to a host that a fault is about; `None`: none of them.
fn when(scenario: &Scenario, fault: &Fault, host: Option<u16>) -> Option<When> {
    let universe = &scenario.universe;
    let levels: BTreeMap<&str, &[String]> = fault
        .when
        .0
        .iter()
        .map(|(factor, levels)| (factor.as_str(), levels.values()))
        .collect();
    let mut when = When::any();
    let of_target = ["endpoint", "host", "provider", "prefix", "method"];
    if let Some(host) = host {
        let name = |table: &[String], at: u16| table[usize::from(at)].clone();
        let fits = |factor: &str, level: &str| {
            levels
                .get(factor)
                .is_none_or(|wanted| wanted.iter().any(|w| w == level))
        };
        let here = || universe.endpoints.iter().filter(|e| e.host == host);
        let hit: Vec<_> = here()
            .filter(|e| {
                fits("endpoint", &e.name)
                    && fits("host", &name(&universe.hosts, e.host))
                    && fits("provider", &name(&universe.providers, e.provider))
                    && fits("prefix", &name(&universe.prefixes, e.prefix))
                    && fits("method", &name(&universe.methods, e.method))
            })
            .collect();
        if hit.is_empty() {
            return None;
        }
        if hit.len() < here().count() {
            when.path = Some(any_of(hit.iter().map(|e| path(universe, e))));
        }
        when.method = levels
            .get("method")
            .map_or(Vec::new(), |methods| methods.to_vec());
    } else if of_target.iter().any(|factor| levels.contains_key(factor)) {
        return None;
    }
    let mut egresses: Vec<usize> = Vec::new();
    for (place, egress) in universe.egresses.iter().enumerate() {
        let region = &universe.regions[usize::from(egress.group)];
        let listed = |factor: &str, name: &String| {
            levels
                .get(factor)
                .is_none_or(|wanted| wanted.contains(name))
        };
        if listed("egress", &egress.name) && listed("region", region) {
            egresses.push(place);
        }
    }
    if egresses.len() < universe.egresses.len() {
        let network = |place: &usize| Network::new(&egress_address(*place).to_string()).unwrap();
        when.egress = egresses.iter().map(network).collect();
    }
    when.ua = match (levels.get("ua"), levels.get("ua_family")) {
        (Some(wanted), _) => {
            let clients = (0..universe.clients.len() as u16)
                .filter(|at| wanted.contains(&universe.clients[usize::from(*at)].name));
            Some(any_of(clients.map(|at| user_agent(universe, at))))
        }
        (None, Some([family])) => Some(Text::prefix(&product(family))),
        (None, Some(_)) => panic!("one family a fault"),
        (None, None) => None,
    };
    when.cred = levels.get("cred").map(|wanted| {
        let forms = wanted
            .iter()
            .flat_map(|name| [name.clone(), format!("Bearer {}", password(name))]);
        any_of(forms)
    });
    when.http = levels.get("http").map_or(Vec::new(), |wanted| {
        wanted
            .iter()
            .map(|version| match version.as_str() {
                "h2" => HttpVersion::H2,
                _ => HttpVersion::H1_1,
            })
            .collect()
    });
    assert!(!levels.contains_key("pop"), "an edge here has one place");
    Some(when)
}

fn any_of(texts: impl Iterator<Item = String>) -> Text {
    let texts: Vec<String> = texts.map(|text| regex::escape(&text)).collect();
    Text::regex(&format!("^(?:{})$", texts.join("|"))).unwrap()
}

/// What the edge does so that a request ends as the fault says.
fn action(kind: Kind, fault: &Fault) -> Action {
    let numbered = |code| {
        Action::Page(Page::Cloudflare {
            code,
            form: Form::ByAccept,
        })
    };
    let names_client = fault.when.0.keys().any(|factor| factor.starts_with("ua"));
    match kind {
        Kind::EdgeBlock if names_client && fault.when.0.len() == 2 => numbered(1010),
        Kind::EdgeBlock => numbered(1020),
        Kind::EdgeChallenge => Action::Page(Page::CloudflareChallenge),
        Kind::RateLimited => numbered(1015),
        Kind::EdgeError => numbered(522),
        Kind::OriginDenied => Action::OriginDenies,
        Kind::OriginError => Action::OriginFails(503),
        Kind::TlsError => Action::TlsFailure,
        Kind::Timeout => Action::Silence,
        // No name server is on stage: a name that can't be looked up is a connection that can't be had.
        Kind::ConnectError | Kind::DnsError => Action::Reset,
        other => panic!("no edge makes {other}"),
    }
}
