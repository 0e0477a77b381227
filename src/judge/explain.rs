//! Causes, doubts and reasons in words.

use super::episode::Ambiguity;
use super::rules::{Condition, Nature, RATES, RateKey, Rule, RuleBook, Scope, Special};
use crate::judge::universe::{Axis, Universe};

/// A scope in words (`api.partner.example`, `GET requests to …`); nothing for everything.
#[must_use]
pub fn scope(universe: &Universe, scope: Scope) -> String {
    let name = |table: &[String], i: u16| table[usize::from(i)].clone();
    match scope {
        Scope::Everything => "everything".to_owned(),
        Scope::Provider(i) => name(&universe.providers, i),
        Scope::Host(i) => name(&universe.hosts, i),
        Scope::Prefix { host, prefix } => format!(
            "{}{}",
            name(&universe.hosts, host),
            name(&universe.prefixes, prefix)
        ),
        Scope::Method { host, method } => format!(
            "{} requests to {}",
            name(&universe.methods, method),
            name(&universe.hosts, host)
        ),
        Scope::Endpoint(i) => format!(
            "{} ({})",
            universe.endpoints[usize::from(i)].name,
            universe.hosts[usize::from(universe.endpoints[usize::from(i)].host)]
        ),
    }
}

/// A condition in words (`client java-1.6`).
#[must_use]
pub fn condition(universe: &Universe, condition: Condition) -> String {
    match condition {
        Condition::Client(i) => format!("client {}", universe.clients[usize::from(i)].name),
        Condition::Family(i) => format!("every {} client", universe.families[usize::from(i)]),
        Condition::Egress(i) => format!("egress {}", universe.egresses[usize::from(i)].name),
        Condition::Region(i) => format!("every egress in {}", universe.regions[usize::from(i)]),
        Condition::IpFamily(i) => {
            format!("every egress over {}", universe.ip_families[usize::from(i)])
        }
        Condition::Credential(i) => format!("credential {}", universe.credentials[usize::from(i)]),
        Condition::Version(i) => format!("HTTP version {}", universe.versions[usize::from(i)]),
        Condition::Stack(i) => format!("TLS fingerprint {}", universe.stacks[usize::from(i)]),
        Condition::AllBut(axis, i) => {
            format!("every {} but {}", axis.factor(), universe.name(axis, i))
        }
    }
}

/// A rule as a phrase that can follow "refused:" (`client java-1.6 at api.partner.example`).
#[must_use]
pub fn rule(universe: &Universe, rule: &Rule) -> String {
    let mut what: Vec<String> = rule
        .conditions
        .iter()
        .map(|c| condition(universe, *c))
        .collect();
    match rule.special {
        Some(Special::Pop(pop)) => what.push(format!(
            "requests answered by PoP {}",
            universe.pops[usize::from(pop)]
        )),
        Some(Special::Rate { key, step }) => what.push(format!(
            "our own rate of {} or more requests a minute{}",
            RATES[usize::from(step).min(RATES.len() - 1)],
            match key {
                RateKey::Egress => " from one egress",
                RateKey::Host => "",
            }
        )),
        None => {}
    }
    let what = if what.is_empty() {
        "all requests".to_owned()
    } else {
        what.join(" together with ")
    };
    match rule.scope {
        Scope::Everything => format!("{what} everywhere"),
        at => format!("{what} at {}", scope(universe, at)),
    }
}

/// What to add to the configuration so that the aliases of a group could be told apart.
#[must_use]
pub fn missing(universe: &Universe, book: &RuleBook, ambiguity: &Ambiguity) -> Option<String> {
    let mut wants: Vec<String> = Vec::new();
    for (rule, nature, _) in &ambiguity.among {
        if *nature == Nature::Target {
            continue;
        }
        for condition in &book.rules[*rule].conditions {
            let word = match condition.axis() {
                Axis::Client => "a second client",
                Axis::Egress => "a second egress",
                Axis::Credential => "a second credential",
                Axis::Version => "a second HTTP version",
                Axis::Endpoint => "a second endpoint",
            };
            let at = match book.rules[*rule].scope {
                Scope::Everything => String::new(),
                scope_ if universe.levels(condition.axis()) > 1 => {
                    format!(" for {}", scope(universe, scope_))
                }
                _ => String::new(),
            };
            let want = format!("{word}{at}");
            if condition.nature() == *nature && !wants.contains(&want) {
                wants.push(want);
            }
        }
    }
    (!wants.is_empty()).then(|| {
        let wants = wants.join(" or ");
        format!("{wants} in the configuration; none that it could be compared with is probed")
    })
}
