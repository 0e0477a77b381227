//! The diagnosis for scripts: causes in the keys of scenario files (`ua`, `ua_family`, `host`, `rate` …), so
//! that what was diagnosed can be compared with what was expected.

use serde_json::{Map, Value, json};

use crate::domain::cell::CellKey;
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::incident::{Incident, Subject};
use crate::domain::verdict::Factor;

/// What it hangs on, how sure, and how often it strikes; keys are stable.
#[must_use]
pub(super) fn json(incident: &Incident) -> Value {
    let diagnosis = &incident.diagnosis;
    let (kind, among): (&str, &[Level]) = match &diagnosis.cause {
        Cause::Level(_) => ("level", &[]),
        Cause::Together(_) => ("together", &[]),
        Cause::AnyOf(_) => ("any_of", &[]),
        Cause::Everything => ("everything", &[]),
        Cause::Pop(_) => ("pop", &[]),
        Cause::OwnRate { .. } => ("own_rate", &[]),
        Cause::OurNetwork { .. } => ("our_network", &[]),
        Cause::OurClients { .. } => ("our_clients", &[]),
        Cause::Unknown { among } => ("unknown", among),
    };
    let rate = match &diagnosis.cause {
        Cause::OwnRate {
            per_minute,
            by_egress,
        } => json!({
            "key": if *by_egress { "egress" } else { "host" },
            "limit": per_minute,
        }),
        _ => Value::Null,
    };
    json!({
        "type": kind,
        "when": when(incident),
        "rate": rate,
        "levels": levels(&named(&diagnosis.cause)),
        "among": levels(among),
        "intermittent": diagnosis.fails.is_some(),
        "fails": diagnosis.fails,
        "split": diagnosis.split,
        "confidence": diagnosis.confidence,
        "would_tell": diagnosis.would_tell,
    })
}

/// The requests that are hit, as a scenario file would select them; `null` when nobody knows.
fn when(incident: &Incident) -> Value {
    let mut keys = Map::new();
    match &incident.subject {
        Subject::Host(host) => put(&mut keys, "host", host),
        Subject::Partner(partner) => put(&mut keys, "provider", partner),
        Subject::Vendor(vendor) => put(&mut keys, "edge", vendor),
        Subject::OurNetwork => {}
        Subject::Site(site) => put(&mut keys, "site", site),
    }
    match &incident.diagnosis.cause {
        Cause::Unknown { .. } => return Value::Null,
        Cause::OurNetwork { egresses } => {
            keys.insert("egress".to_owned(), one_or_more(egresses));
        }
        Cause::OurClients { clients } => {
            keys.insert("ua".to_owned(), one_or_more(clients));
        }
        Cause::Pop(name) => put(&mut keys, "pop", name),
        Cause::AnyOf(causes) => {
            // Levels of one factor: a list of them, as scenario files write it.
            let mut all: Map<String, Value> = Map::new();
            for cause in causes {
                let mut one = keys.clone();
                for level in cause.levels() {
                    select(&mut one, level);
                }
                for (key, value) in one {
                    let listed = all.entry(key).or_insert_with(|| json!([]));
                    if let Value::Array(list) = listed
                        && !list.contains(&value)
                    {
                        list.push(value);
                    }
                }
            }
            keys = all;
        }
        cause => {
            for level in cause.levels() {
                select(&mut keys, level);
            }
        }
    }
    Value::Object(keys)
}

fn one_or_more<T: serde::Serialize>(names: &[T]) -> Value {
    match names {
        [one] => json!(one),
        several => json!(several),
    }
}

/// Every level that a cause names.
fn named(cause: &Cause) -> Vec<Level> {
    match cause {
        Cause::AnyOf(causes) => causes.iter().flat_map(Cause::levels).cloned().collect(),
        cause => cause.levels().to_vec(),
    }
}

fn select(keys: &mut Map<String, Value>, level: &Level) {
    match level {
        Level::Egress(name) => put(keys, "egress", name.as_str()),
        Level::Client(name) => put(keys, "ua", name.as_str()),
        Level::Credential(name) => put(keys, "cred", name.as_str()),
        Level::Region { name, .. } => put(keys, "region", name),
        Level::IpFamily { name, .. } => put(keys, "ip_family", name),
        Level::Family { name, .. } => put(keys, "ua_family", name),
        Level::Http { version, .. } => put(keys, "http", version),
        Level::Stack { ja4, .. } => put(keys, "stack", ja4),
        Level::AllBut { factor, others, .. } => {
            let key = match factor {
                Factor::Egress => "egress",
                Factor::Credential => "cred",
                _ => "ua",
            };
            keys.insert(key.to_owned(), json!(others));
        }
        Level::Method { name, .. } => put(keys, "method", name),
        Level::Host { name, .. } => {
            keys.shift_remove("provider");
            put(keys, "host", name);
        }
        Level::Path { name, .. } => {
            keys.shift_remove("provider");
            let (host, path) = name.split_at(name.find('/').unwrap_or(name.len()));
            if !host.is_empty() {
                put(keys, "host", host);
            }
            put(keys, "prefix", path);
        }
        Level::Probe(name) => {
            keys.shift_remove("provider");
            keys.shift_remove("host");
            put(keys, "endpoint", name.as_str());
        }
    }
}

fn put(keys: &mut Map<String, Value>, key: &str, value: &str) {
    keys.insert(key.to_owned(), Value::from(value));
}

/// Each level with the factor's kind, its name and, where it has some, its members.
fn levels(levels: &[Level]) -> Vec<Value> {
    let one = |level: &Level| {
        let (kind, name, members) = match level {
            Level::Egress(name) => ("egress", name.as_str(), json!([])),
            Level::Client(name) => ("client", name.as_str(), json!([])),
            Level::Credential(name) => ("credential", name.as_str(), json!([])),
            Level::Probe(name) => ("probe", name.as_str(), json!([])),
            Level::Region { name, egresses } => ("region", name.as_str(), json!(egresses)),
            Level::IpFamily { name, egresses } => ("ip_family", name.as_str(), json!(egresses)),
            Level::Family { name, clients } => ("family", name.as_str(), json!(clients)),
            Level::Http { version, clients } => ("http", version.as_str(), json!(clients)),
            Level::Stack { ja4, clients } => ("stack", ja4.as_str(), json!(clients)),
            Level::Method { name, probes } => ("method", name.as_str(), json!(probes)),
            Level::Path { name, probes } => ("path", name.as_str(), json!(probes)),
            Level::Host { name, probes } => ("host", name.as_str(), json!(probes)),
            Level::AllBut { name, others, .. } => ("all_but", name.as_str(), json!(others)),
        };
        json!({ "kind": kind, "name": name, "members": members })
    };
    levels.iter().map(one).collect()
}

/// What was ruled out, each with its pair of cells.
#[must_use]
pub(super) fn ruled_out(incident: &Incident) -> Vec<Value> {
    let name = |cell: &Option<CellKey>| cell.as_ref().map(ToString::to_string);
    let pairs = incident.diagnosis.ruled_out.iter();
    pairs
        .map(|pair| {
            json!({
                "factor": pair.factor,
                "because": pair.because,
                "failing": name(&pair.failing),
                "passing": name(&pair.passing),
            })
        })
        .collect()
}

/// Changes near the onset; `lead_s` is negative for one that came after it.
#[must_use]
pub(super) fn beside(incident: &Incident) -> Vec<Value> {
    let changes = incident.beside.iter();
    changes
        .map(|change| {
            json!({
                "at": change.at,
                "lead_s": incident.onset_at.duration_since(change.at).as_secs(),
                "text": change.text,
                "chance": change.chance,
                "related": change.related,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn case(cause: Cause) -> Value {
        let mut night = fixture::march();
        night.incident.diagnosis.cause = cause;
        json(&night.incident)
    }

    #[test]
    fn causes_in_the_keys_of_scenario_files() {
        let host = "webcache.gmc-uk.org";
        let check = |cause: Cause, expected: Value| {
            assert_eq!(case(cause.clone())["when"], expected, "{cause:?}");
        };
        let client = || Level::Client("java-1.6".into());
        let one = Cause::Level;
        check(one(client()), json!({ "host": host, "ua": "java-1.6" }));
        check(
            Cause::Together(vec![client(), Level::Egress("de2".into())]),
            json!({ "host": host, "ua": "java-1.6", "egress": "de2" }),
        );
        check(
            one(Level::Family {
                name: "Java".to_owned(),
                clients: vec!["java-1.6".into()],
            }),
            json!({ "host": host, "ua_family": "Java" }),
        );
        check(
            one(Level::Path {
                name: format!("{host}/v1"),
                probes: Vec::new(),
            }),
            json!({ "host": host, "prefix": "/v1" }),
        );
        check(
            one(Level::Method {
                name: "POST".to_owned(),
                probes: Vec::new(),
            }),
            json!({ "host": host, "method": "POST" }),
        );
        check(
            one(Level::Probe("orders".into())),
            json!({ "endpoint": "orders" }),
        );
        check(
            Cause::AnyOf(vec![one(client()), one(Level::Client("java-8".into()))]),
            json!({ "host": [host], "ua": ["java-1.6", "java-8"] }),
        );
        check(Cause::Everything, json!({ "host": host }));
        check(
            Cause::Pop("FRA".to_owned()),
            json!({ "host": host, "pop": "FRA" }),
        );
        check(
            Cause::Unknown {
                among: vec![client()],
            },
            Value::Null,
        );
    }

    #[test]
    fn our_own_rate_and_what_is_open() {
        let rate = case(Cause::OwnRate {
            per_minute: 25,
            by_egress: true,
        });
        assert_eq!(rate["rate"], json!({ "key": "egress", "limit": 25 }));
        let open = case(Cause::Unknown {
            among: vec![Level::Region {
                name: "eu".to_owned(),
                egresses: vec!["de1".into(), "de2".into()],
            }],
        });
        assert_eq!(open["type"], "unknown");
        assert_eq!(
            open["among"],
            json!([{ "kind": "region", "name": "eu", "members": ["de1", "de2"] }])
        );
    }
}
