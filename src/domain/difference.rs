//! What a new plan changes: for the log, for `edgewatch status`, for who reads an edit before it is taken.
//!
//! Names and keys, values only where nobody hides any: what is behind a name may be a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use serde::Serialize;

use super::cell::{CellKey, Client, CredentialName, Egress, Way};
use super::plan::Plan;
use super::probe::{Probe, Schedule};

/// Names that are told of one kind of change; more are counted.
const NAMES_TOLD: usize = 5;

/// Everything in which two plans differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    pub cells: Cells,
    /// Parts of the file whose members have names, without those that are the same.
    pub parts: Vec<Part>,
    /// Further keys of the file that say something else.
    pub settings: Vec<&'static str>,
    /// What goes on under another name, each in a sentence.
    pub renamed: Vec<String>,
    /// Requests by host, where that changes.
    pub hosts: Vec<Load>,
    /// Requests by credential, where there is a limit of a day and something changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<AccountLoad>,
}

/// Requests a day with a credential by the schedule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccountLoad {
    pub credential: CredentialName,
    pub before: f64,
    pub now: f64,
    /// What the file allows from now on.
    pub most: u32,
}

/// Cells by what becomes of them. What is only renamed stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cells {
    pub before: usize,
    pub now: usize,
    pub added: Vec<CellKey>,
    /// Their history ends.
    pub removed: Vec<CellKey>,
    /// The same name, and another request, schedule or expectation.
    pub changed: Vec<CellKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    pub what: &'static str,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<Changed>,
}

/// What is there under its name still, and says something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    pub name: String,
    /// Empty where its keys aren't told apart.
    pub keys: Vec<Key>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    pub key: &'static str,
    /// Before and now; `None` of what may hold a secret or is long.
    pub values: Option<(String, String)>,
}

/// Requests a minute to a host by all cells with an interval; those by cron are not counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Load {
    pub host: String,
    pub before: f64,
    pub now: f64,
}

impl Difference {
    #[must_use]
    pub fn between(before: &Plan, now: &Plan) -> Self {
        let was = |cell: CellKey| now.former.cell(&cell);
        let cells_before: BTreeSet<CellKey> = before.cells().map(|(_, cell)| was(cell)).collect();
        let cells_now: BTreeSet<CellKey> = now.cells().map(|(_, cell)| cell).collect();
        let parts = parts(before, now);
        let renamed = now.former.of_those(
            |name| before.probe(name).is_some(),
            |name| before.egress(name).is_some(),
            |name| before.client(name).is_some(),
        );
        let cells = Cells {
            before: cells_before.len(),
            now: cells_now.len(),
            added: cells_now.difference(&cells_before).cloned().collect(),
            removed: cells_before.difference(&cells_now).cloned().collect(),
            changed: cells_now
                .intersection(&cells_before)
                .filter(|cell| is_of(cell, &parts))
                .cloned()
                .collect(),
        };
        Self {
            cells,
            parts,
            settings: settings(before, now),
            renamed: renamed.said(),
            hosts: loads(before, now),
            accounts: accounts(before, now),
        }
    }

    /// Whether the plans are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let cells = &self.cells;
        self.parts.is_empty()
            && self.settings.is_empty()
            && self.renamed.is_empty()
            && cells.added.is_empty()
            && cells.removed.is_empty()
    }

    /// Each part of the file that differs: `probes: ledger added, health removed`; first how many cells there are.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let (were, are) = (self.cells.before, self.cells.now);
        let more = match are.cmp(&were) {
            std::cmp::Ordering::Greater => format!(", {} more", are - were),
            std::cmp::Ordering::Less => format!(", {} fewer", were - are),
            std::cmp::Ordering::Equal => String::new(),
        };
        let cells = if are == 1 { "cell" } else { "cells" };
        let mut told = vec![format!("{are} {cells}{more}")];
        told.extend(self.parts.iter().map(Part::line));
        told.extend(self.renamed.iter().cloned());
        told.extend(self.settings.iter().map(|what| format!("{what} changed")));
        if self.is_empty() {
            told.push("nothing changed".to_owned());
        }
        told
    }
}

impl Part {
    /// `probes: q added, p changed`.
    fn line(&self) -> String {
        let changed: Vec<String> = self.changed.iter().map(|c| c.name.clone()).collect();
        let parts = [
            (&self.added, "added"),
            (&self.removed, "removed"),
            (&changed, "changed"),
        ];
        let parts = parts.into_iter().filter(|(names, _)| !names.is_empty());
        let parts: Vec<String> = parts
            .map(|(names, how)| format!("{} {how}", listed(names)))
            .collect();
        format!("{}: {}", self.what, parts.join(", "))
    }
}

/// `a, b and 3 more`.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_TOLD).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_TOLD) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Whether a cell's probe, egress, client or credential says something else.
fn is_of(cell: &CellKey, parts: &[Part]) -> bool {
    let names = [
        ("probes", cell.probe.as_str()),
        ("egresses", cell.egress.as_str()),
        ("clients", cell.client.as_str()),
        ("credentials", cell.credential.as_str()),
    ];
    names.into_iter().any(|(what, name)| {
        let part = parts.iter().find(|part| part.what == what);
        part.is_some_and(|part| part.changed.iter().any(|changed| changed.name == name))
    })
}

fn parts(before: &Plan, now: &Plan) -> Vec<Part> {
    let called = &now.former;
    let parts = [
        named(
            "probes",
            (&before.probes, &now.probes),
            |p| called.probe_now(&p.name).to_string(),
            probe,
        ),
        named(
            "clients",
            (&before.clients, &now.clients),
            |c| called.client_now(&c.name).to_string(),
            client,
        ),
        named(
            "egresses",
            (&before.egresses, &now.egresses),
            |e| called.egress_now(&e.name).to_string(),
            egress,
        ),
        named(
            "credentials",
            (&before.credentials, &now.credentials),
            |c| c.name.to_string(),
            |old, new| whole(old != new),
        ),
        named(
            "receivers",
            (&before.receivers, &now.receivers),
            |r| r.name.as_str().to_owned(),
            |old, new| whole(old != new),
        ),
        named(
            "maintenance",
            (&before.maintenance, &now.maintenance),
            |m| m.name.clone(),
            |old, new| whole(printed(old) != printed(new)),
        ),
        named(
            "signatures",
            (&before.signatures, &now.signatures),
            |s| s.name.clone(),
            |old, new| whole(printed(old) != printed(new)),
        ),
    ];
    parts.into_iter().flatten().collect()
}

/// One part of the file; `name` is the present one, `keys` those that differ, `None` when it is the same.
fn named<T>(
    what: &'static str,
    (before, now): (&[T], &[T]),
    name: impl Fn(&T) -> String,
    keys: impl Fn(&T, &T) -> Option<Vec<Key>>,
) -> Option<Part> {
    let old: BTreeMap<String, &T> = before.iter().map(|it| (name(it), it)).collect();
    let new: BTreeSet<String> = now.iter().map(&name).collect();
    let mut part = Part {
        what,
        added: Vec::new(),
        removed: before.iter().map(&name).collect(),
        changed: Vec::new(),
    };
    part.removed.retain(|one| !new.contains(one));
    for it in now {
        let name = name(it);
        match old.get(&name) {
            None => part.added.push(name),
            Some(old) => part
                .changed
                .extend(keys(old, it).map(|keys| Changed { name, keys })),
        }
    }
    let empty = part.added.is_empty() && part.removed.is_empty() && part.changed.is_empty();
    (!empty).then_some(part)
}

fn whole(differs: bool) -> Option<Vec<Key>> {
    differs.then(Vec::new)
}

/// A secret that changed can't be seen in a printed form, which has a blank in its place: what holds one is compared.
fn printed(it: &impl Debug) -> String {
    format!("{it:?}")
}

/// Collects the keys that differ.
#[derive(Default)]
struct Keys(Vec<Key>);

impl Keys {
    fn hidden<T: Debug>(&mut self, key: &'static str, old: &T, new: &T) {
        if printed(old) != printed(new) {
            self.0.push(Key { key, values: None });
        }
    }

    fn shown(&mut self, key: &'static str, old: String, new: String) {
        if old != new {
            let values = Some((old, new));
            self.0.push(Key { key, values });
        }
    }

    fn names<T: ToString>(&mut self, key: &'static str, old: &[T], new: &[T]) {
        let list = |all: &[T]| match all {
            [] => "none".to_owned(),
            all => all.iter().map(T::to_string).collect::<Vec<_>>().join(", "),
        };
        self.shown(key, list(old), list(new));
    }

    fn done(self) -> Option<Vec<Key>> {
        (!self.0.is_empty()).then_some(self.0)
    }
}

/// `5m`, `1h 30m`.
fn lasting(span: Duration) -> String {
    jiff::SignedDuration::try_from(span).map_or_else(|_| printed(&span), |span| format!("{span:#}"))
}

fn rhythm(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Every(every) => lasting(*every),
        Schedule::Cron(cron) => format!("cron {:?}", cron.text()),
    }
}

fn probe(old: &Probe, new: &Probe) -> Option<Vec<Key>> {
    let mut keys = Keys::default();
    // A query may hold a key that nobody named a secret.
    keys.hidden("url", &old.url, &new.url);
    keys.shown("partner", old.partner.clone(), new.partner.clone());
    keys.hidden("method", &old.method, &new.method);
    keys.hidden("headers", &old.headers, &new.headers);
    keys.hidden("body", &old.body, &new.body);
    keys.names("from", &old.from, &new.from);
    keys.names("as", &old.as_clients, &new.as_clients);
    keys.names("with", &old.with, &new.with);
    keys.shown("every", rhythm(&old.schedule), rhythm(&new.schedule));
    keys.shown("timeout", lasting(old.timeout), lasting(new.timeout));
    keys.hidden("expect", &old.expect, &new.expect);
    keys.hidden("origin", &old.origin, &new.origin);
    keys.hidden("meanings", &old.meanings, &new.meanings);
    keys.hidden("words", &old.words, &new.words);
    keys.hidden("redirects", &old.redirects, &new.redirects);
    keys.hidden("cookies", &old.cookies, &new.cookies);
    keys.hidden("body_limit", &old.body_bytes_max, &new.body_bytes_max);
    keys.hidden("resolver", &old.resolver, &new.resolver);
    keys.hidden("connect_to", &old.connect_to, &new.connect_to);
    keys.names("tags", &old.tags, &new.tags);
    keys.hidden("severity", &old.severity, &new.severity);
    keys.hidden("tell", &old.tell, &new.tell);
    keys.hidden("control", &old.control, &new.control);
    keys.hidden("ours", &old.ours, &new.ours);
    keys.done()
}

fn client(old: &Client, new: &Client) -> Option<Vec<Key>> {
    let mut keys = Keys::default();
    let agent = |client: &Client| format!("{:?}", client.user_agent);
    keys.shown("user_agent", agent(old), agent(new));
    keys.hidden("http", &old.http, &new.http);
    keys.hidden("tls", &old.tls, &new.tls);
    keys.hidden("headers", &old.headers, &new.headers);
    keys.hidden("header_case", &old.header_case, &new.header_case);
    keys.hidden("trust", &old.trust, &new.trust);
    // Arguments of a program may hold anything.
    keys.hidden("command", &old.program, &new.program);
    keys.hidden("control", &old.control, &new.control);
    let same = Client {
        name: new.name.clone(),
        ..old.clone()
    };
    rest(keys, same == *new)
}

fn egress(old: &Egress, new: &Egress) -> Option<Vec<Key>> {
    let mut keys = Keys::default();
    let way = |egress: &Egress| match &egress.way {
        Way::Routes => "this host's routes".to_owned(),
        Way::Address(address) => address.to_string(),
        Way::Interface(name) => name.clone(),
        Way::Proxy(proxy) => format!("proxy {}:{}", proxy.host, proxy.port),
    };
    let site = |egress: &Egress| egress.site.clone().unwrap_or("this host".to_owned());
    keys.shown("site", site(old), site(new));
    let public = |egress: &Egress| egress.public.map_or("none".to_owned(), |it| it.to_string());
    let region = |egress: &Egress| egress.region.clone().unwrap_or("none".to_owned());
    keys.shown("address, interface or proxy", way(old), way(new));
    keys.shown("public", public(old), public(new));
    keys.shown("region", region(old), region(new));
    keys.hidden("family", &old.family, &new.family);
    let same = Egress {
        name: new.name.clone(),
        ..old.clone()
    };
    rest(keys, same == *new)
}

/// The keys, also where what differs is none of them.
fn rest(keys: Keys, same: bool) -> Option<Vec<Key>> {
    if same { keys.done() } else { Some(keys.0) }
}

fn settings(before: &Plan, now: &Plan) -> Vec<&'static str> {
    let all = [
        ("service", before.service != now.service),
        ("timezone", before.zone != now.zone),
        (
            "politeness",
            before.politeness != now.politeness || before.credential_a_day != now.credential_a_day,
        ),
        ("incidents", before.incidents != now.incidents),
        ("notify.routes", before.routes != now.routes),
        ("store", before.store != now.store),
        ("trust", before.trust != now.trust),
        ("name_servers", before.name_servers != now.name_servers),
        (
            "runs_in_flight",
            before.runs_in_flight_max != now.runs_in_flight_max,
        ),
        ("listen", before.listen != now.listen),
        ("web", before.web != now.web),
        ("heartbeat", before.heartbeat != now.heartbeat),
        ("watch", before.watch != now.watch),
    ];
    let differ = all.iter().filter(|(_, differs)| *differs);
    differ.map(|(what, _)| *what).collect()
}

fn loads(before: &Plan, now: &Plan) -> Vec<Load> {
    let (old, new) = (a_minute(before), a_minute(now));
    let hosts: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let load = |host: &String| Load {
        host: host.clone(),
        before: old.get(host).copied().unwrap_or_default(),
        now: new.get(host).copied().unwrap_or_default(),
    };
    let differs = |load: &Load| (load.before - load.now).abs() > 0.001;
    hosts.into_iter().map(load).filter(differs).collect()
}

fn accounts(before: &Plan, now: &Plan) -> Vec<AccountLoad> {
    let Some(most) = now.credential_a_day else {
        return Vec::new();
    };
    let loads = now.credentials.iter().map(|credential| AccountLoad {
        credential: credential.name.clone(),
        before: before.a_day(&credential.name),
        now: now.a_day(&credential.name),
        most,
    });
    let differs = |load: &AccountLoad| {
        before.credential_a_day != now.credential_a_day || (load.before - load.now).abs() > 0.001
    };
    loads.filter(differs).collect()
}

fn a_minute(plan: &Plan) -> BTreeMap<String, f64> {
    let mut hosts = BTreeMap::new();
    for (probe, _) in plan.cells() {
        *hosts.entry(probe.host()).or_default() += probe.schedule.a_minute();
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Remembered};
    use std::collections::BTreeMap;

    fn plan(token: &str, rest: &str) -> Plan {
        let text = format!(
            "version: 1\nservice: GMC\nclients: {{ a: x/1, b: y/1, c: z/1 }}\ncredentials: {{ k: {{ t: {{ env: T }} }} }}\n{rest}"
        );
        let env = BTreeMap::from([("T".to_owned(), token.to_owned())]);
        let inputs = Remembered {
            env: &env,
            variables: &BTreeMap::new(),
            files: &BTreeMap::new(),
        };
        config::read(&text, "probes.yaml", &inputs).unwrap().plan
    }

    #[test]
    fn each_part_that_differs_is_named() {
        let one = "probes:\n  p: { url: https://a.example/, every: 5m, with: k }\n";
        let check = |name: &str, now: &Plan, expected: &[&str]| {
            assert_eq!(
                Difference::between(&plan("one", one), now).lines(),
                expected,
                "{name}"
            );
        };
        check(
            "the same",
            &plan("one", one),
            &["3 cells", "nothing changed"],
        );
        check(
            "a secret of another value",
            &plan("two", one),
            &["3 cells", "credentials: k changed"],
        );
        check(
            "probes come, go and change",
            &plan(
                "one",
                "probes:\n  p: { url: https://a.example/, every: 1m, with: k }\n  q: { url: https://a.example/, every: 1m, as: a }\n",
            ),
            &["4 cells, 1 more", "probes: q added, p changed"],
        );
        check(
            "receivers and what has no names",
            &plan(
                "one",
                &format!(
                    "incidents: {{ remind: 2h }}\nnotify: {{ receivers: {{ r: {{ log: {{}} }} }} }}\n{one}"
                ),
            ),
            &[
                "3 cells",
                "receivers: r added, log removed",
                "incidents changed",
                "notify.routes changed",
            ],
        );
    }

    #[test]
    fn a_cell_is_added_removed_or_changed_and_a_new_name_is_none_of_it() {
        let one = plan(
            "one",
            "probes:\n  p: { url: https://a.example/, every: 5m, as: [a, b] }\n",
        );
        let two = plan(
            "one",
            "probes:\n  q: { was: p, url: https://a.example/x, every: 1m, as: [b, c] }\n",
        );
        let it = Difference::between(&one, &two);
        let names = |cells: &[CellKey]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&it.cells.added), ["q from default as c"]);
        assert_eq!(names(&it.cells.removed), ["q from default as a"]);
        assert_eq!(names(&it.cells.changed), ["q from default as b"]);
        assert_eq!(it.renamed, ["probe `p` is called `q` now"]);
        let [part] = &it.parts[..] else {
            panic!("{it:?}")
        };
        let keys = &part.changed[0].keys;
        let keys: Vec<_> = keys.iter().map(|key| (key.key, &key.values)).collect();
        let values = |old: &str, new: &str| Some((old.to_owned(), new.to_owned()));
        assert_eq!(
            keys,
            [
                ("url", &None),
                ("as", &values("a, b", "b, c")),
                ("every", &values("5m", "1m")),
            ]
        );
        let [load] = &it.hosts[..] else {
            panic!("{it:?}")
        };
        assert!((load.before - 0.4).abs() < 1e-9 && (load.now - 2.0).abs() < 1e-9);
    }
}
