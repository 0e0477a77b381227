//! The head of a request as a client sends it to a probe, and in which parts the requests of two clients differ.
//!
//! A finding about a client blames whatever tells its requests from those of another: of that its user agent is one part
//! among others.

use std::collections::{BTreeMap, BTreeSet};

use super::cell::{CellKey, Client, ClientName};
use super::diagnosis::Diagnosis;
use super::plan::Plan;
use super::probe::{Probe, Template};

/// A header as it is sent; of `Host` and `Content-Length` the value is the request's own, and `None` here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// In lower case, and which one of that name it is.
    pub key: (String, usize),
    pub name: String,
    pub value: Option<Template>,
    /// It goes to the probe's own host alone.
    pub of_probe: bool,
}

/// The head of a probe's request as a client sends it, in the order of the wire.
#[must_use]
pub fn head(probe: &Probe, client: &Client) -> Vec<Line> {
    let own = |name: &str, value: Option<Template>| Line {
        key: (name.to_ascii_lowercase(), 0),
        name: name.to_owned(),
        value,
        of_probe: false,
    };
    let mut listed: Vec<Line> = client
        .headers
        .iter()
        .map(|(name, value)| own(name, value.as_ref().map(Template::text)))
        .collect();
    let mut open: BTreeSet<String> = listed.iter().map(|line| line.key.0.clone()).collect();
    for (name, value) in &probe.headers {
        let mut line = own(name, Some(value.clone()));
        line.of_probe = true;
        match listed.iter().position(|other| other.key.0 == line.key.0) {
            Some(place) if open.remove(&line.key.0) => {
                let mut at = 0;
                listed.retain(|other| {
                    at += 1;
                    at <= place + 1 || other.key.0 != line.key.0
                });
                listed[place] = line;
            }
            _ => listed.push(line),
        }
    }
    let agent = Some(&client.user_agent).filter(|agent| !agent.is_empty());
    let agent = agent.map(|agent| Template::text(agent.as_str()));
    let is = |line: &&mut Line, name: &str| line.key.0 == name;
    let mut front = Vec::new();
    match listed.iter_mut().find(|line| is(line, "user-agent")) {
        Some(line) => line.value = line.value.take().or(agent),
        None => front.extend(agent.map(|agent| own("User-Agent", Some(agent)))),
    }
    let lacks = |name: &str| !listed.iter().any(|line| line.key.0 == name);
    // A program adds what it adds.
    if client.program.is_none() {
        if lacks("host") {
            front.insert(0, own("Host", None));
        }
        if lacks("accept") {
            front.push(own("Accept", Some(Template::text("*/*"))));
        }
    }
    front.append(&mut listed);
    front.retain(|line| line.value.is_some() || is_computed(&line.key.0));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for line in &mut front {
        let nth = seen.entry(line.key.0.clone()).or_default();
        line.key.1 = *nth;
        *nth += 1;
        line.name = client.header_case.spell(&line.name);
    }
    front
}

fn is_computed(lower: &str) -> bool {
    matches!(lower, "host" | "content-length")
}

/// One part in which the requests of two clients differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    UserAgent,
    /// A header that one of them lacks, or that has another value; as the failing one spells it.
    Header(String),
    Order,
    Spelling,
    Http,
    Tls,
    /// They trust other roots.
    Trust,
    /// One of them is made by another program.
    Program,
}

impl Part {
    /// The part in the middle of a sentence.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::UserAgent => "User-Agent".to_owned(),
            Self::Header(name) => name.clone(),
            Self::Order => "the order of headers".to_owned(),
            Self::Spelling => "the spelling of headers".to_owned(),
            Self::Http => "HTTP version".to_owned(),
            Self::Tls => "TLS versions".to_owned(),
            Self::Trust => "trusted roots".to_owned(),
            Self::Program => "the program that asks".to_owned(),
        }
    }
}

/// In which parts the request of one client differs from that of another that passes.
#[must_use]
pub fn between(failing: &Client, passing: &Client, probe: &Probe) -> Vec<Part> {
    let (bad, good) = (head(probe, failing), head(probe, passing));
    let find = |list: &'_ [Line], line: &Line| list.iter().position(|l| l.key == line.key);
    let mut names: Vec<&Line> = Vec::new();
    for line in &bad {
        if find(&good, line).is_none_or(|at| good[at].value != line.value) {
            names.push(line);
        }
    }
    names.extend(good.iter().filter(|line| find(&bad, line).is_none()));
    let mut parts: Vec<Part> = Vec::new();
    for line in names {
        let part = match line.key.0.as_str() {
            "user-agent" => Part::UserAgent,
            _ => Part::Header(line.name.clone()),
        };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.sort_by_key(|part| *part != Part::UserAgent);
    let common: Vec<usize> = bad.iter().filter_map(|line| find(&good, line)).collect();
    let spelled = bad
        .iter()
        .any(|line| find(&good, line).is_some_and(|at| good[at].name != line.name));
    for (part, differs) in [
        (Part::Order, !common.is_sorted()),
        (Part::Spelling, spelled),
        (Part::Http, failing.http != passing.http),
        (Part::Tls, failing.tls != passing.tls),
        (Part::Trust, failing.trust != passing.trust),
        (Part::Program, failing.program != passing.program),
    ] {
        parts.extend(differs.then_some(part));
    }
    parts
}

/// The pair of runs whose clients differ least, of those that fail and those that pass beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closest {
    pub failing: CellKey,
    pub passing: CellKey,
    pub parts: Vec<Part>,
}

impl Closest {
    /// The run that tells which part decides; `None`: there is one alone.
    #[must_use]
    pub fn would_tell(&self) -> Option<String> {
        if self.parts.len() < 2 {
            return None;
        }
        let (bad, good) = (&self.failing, &self.passing);
        let with = if bad.credential.is_anonymous() {
            String::new()
        } else {
            format!(" --with {}", bad.credential)
        };
        Some(format!(
            "`edgewatch bisect {} --fails {} --passes {} --from {}{with}`",
            bad.probe, bad.client, good.client, bad.egress
        ))
    }
}

/// The closest pair for one of `clients`; `None`: nothing that passes differs in the client alone.
#[must_use]
pub fn closest(plan: &Plan, diagnosis: &Diagnosis, clients: &[ClientName]) -> Option<Closest> {
    let beside = |bad: &CellKey, good: &CellKey| {
        bad.probe == good.probe
            && bad.egress == good.egress
            && bad.credential == good.credential
            && bad.client != good.client
    };
    let failing = diagnosis.failing.iter();
    let failing = failing.filter(|bad| clients.contains(&bad.client));
    let pairs = failing.flat_map(|bad| {
        let passing = diagnosis.passing.iter();
        passing
            .filter(|good| beside(bad, good))
            .map(move |good| (bad, good))
    });
    let compared = pairs.filter_map(|(bad, good)| {
        let probe = plan.probe(&bad.probe)?;
        let (one, other) = (plan.client(&bad.client)?, plan.client(&good.client)?);
        Some(Closest {
            failing: bad.clone(),
            passing: good.clone(),
            parts: between(one, other, probe),
        })
    });
    compared.min_by(|one, other| {
        let rank = |pair: &Closest| (pair.parts.len(), pair.failing.clone(), pair.passing.clone());
        rank(one).cmp(&rank(other))
    })
}

/// Whether the value of a header may be a secret, whoever wrote it there.
#[must_use]
pub fn may_be_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["auth", "cookie", "key", "token", "secret", "session"]
        .iter()
        .any(|word| lower.contains(word))
}

/// A header as people read it, without what may be secret.
#[must_use]
pub fn shown(line: &Line) -> String {
    match &line.value {
        Some(value) if !may_be_secret(&line.name) => format!("{}: {}", line.name, value.masked()),
        _ => line.name.clone(),
    }
}
