//! `probes.yaml` as one site is to have it: what leaves there, and nothing of whom is told or what is kept.
//!
//! It is a text in the same grammar, for the same strict reader. References to secrets stay references: what they lead
//! to is where the agent is, and this process may not even have it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::yaml::{Key, Node, Value};
use super::{Inputs, tree};
use crate::domain::cell::CellKey;
use crate::domain::plan::Plan;

/// Keys of the file that a site has use for, in the order in which they are written.
const KEPT: [&str; 15] = [
    "version",
    "service",
    "timezone",
    "egresses",
    "clients",
    "credentials",
    "defaults",
    "partners",
    "probes",
    "controls",
    "politeness",
    "signatures",
    "forbid",
    "trust",
    "runs_in_flight",
];
/// Keys of a probe that are about people.
const OF_PEOPLE: [&str; 5] = ["words", "contact", "tell", "was", "severity"];
/// Keys that say over what a probe runs; each probe says that itself here.
const MATRIX: [&str; 3] = ["from", "as", "with"];

type Entries<'t> = Vec<(Key<'t>, Node<'t>)>;

/// The text for a site; `plan` is what `text` makes, read with `inputs`.
///
/// # Errors
/// A sentence when the text makes no tree, which it does when it makes a plan.
pub fn reduce(text: &str, inputs: &dyn Inputs, plan: &Plan, site: &str) -> Result<String, String> {
    let reduced = tree(text, "probes.yaml", inputs, |root, _, _, _| {
        let Value::Map(entries) = &root.value else {
            return String::new();
        };
        Site::of(plan, site).file(entries)
    });
    let (text, _) = reduced.map_err(|findings| findings.errors().to_string())?;
    Ok(text)
}

/// What of a plan leaves at a site.
struct Site<'a> {
    name: &'a str,
    plan: &'a Plan,
    cells: Vec<CellKey>,
}

impl<'a> Site<'a> {
    fn of(plan: &'a Plan, name: &'a str) -> Self {
        let cells = plan.every_cell().map(|(_, cell)| cell);
        let own = |cell: &CellKey| plan.site_of(&cell.egress) == Some(name);
        Self {
            name,
            plan,
            cells: cells.filter(own).collect(),
        }
    }

    fn file(&self, entries: &Entries<'_>) -> String {
        let mut out = String::new();
        for name in KEPT {
            let Some((_, node)) = entries.iter().find(|(key, _)| key.text == name) else {
                continue;
            };
            let mut node = node.clone();
            match (name, &mut node.value) {
                ("egresses", Value::Map(entries)) => self.egresses(entries),
                ("credentials", Value::Map(entries)) => {
                    let used: BTreeSet<&str> =
                        self.cells.iter().map(|c| c.credential.as_str()).collect();
                    entries.retain(|(name, _)| used.contains(&*name.text));
                }
                ("probes" | "controls", value) => self.probes(value, "url"),
                ("partners", Value::Map(entries)) => self.partners(entries),
                ("defaults", Value::Map(entries)) => self.defaults(entries),
                _ => {}
            }
            let empty = matches!(&node.value, Value::Map(entries) if entries.is_empty())
                || matches!(&node.value, Value::List(items) if items.is_empty());
            if !empty {
                // Writing to a string can't fail.
                let _ = writeln!(out, "{name}: {}", flow(&node));
            }
        }
        out
    }

    /// Keeps its egresses, as ways out of the host that they are then on.
    fn egresses(&self, entries: &mut Entries<'_>) {
        entries.retain_mut(|(name, node)| {
            let ours = self.plan.site_of(&(&*name.text).into()) == Some(self.name);
            if let Value::Map(keys) = &mut node.value {
                keys.retain(|(key, _)| !matches!(&*key.text, "site" | "was"));
            }
            ours
        });
    }

    /// Keeps what leaves there; what is no more than a text is that of `short`.
    fn probes(&self, section: &mut Value<'_>, short: &'static str) {
        match section {
            Value::Map(probes) => {
                probes.retain_mut(|(name, probe)| self.probe(&name.text, probe, short));
            }
            Value::List(probes) => probes.retain_mut(|probe| {
                let name = named(probe);
                name.is_some_and(|name| self.probe(&name, probe, short))
            }),
            Value::Scalar { .. } => {}
        }
    }

    fn probe(&self, name: &str, probe: &mut Node<'_>, short: &'static str) -> bool {
        let own: Vec<&CellKey> = self
            .cells
            .iter()
            .filter(|cell| cell.probe.as_str() == name)
            .collect();
        if own.is_empty() {
            return false;
        }
        if let Value::Scalar { .. } = &probe.value {
            let text = probe.clone();
            probe.value = Value::Map(vec![(key(short, &text), text)]);
        }
        let like = probe.clone();
        if let Value::Map(keys) = &mut probe.value {
            let apart = |key: &str| OF_PEOPLE.contains(&key) || MATRIX.contains(&key);
            keys.retain(|(key, _)| !apart(&key.text));
            let levels = |of: &dyn Fn(&CellKey) -> String| {
                let all: BTreeSet<String> = own.iter().map(|cell| of(cell)).collect();
                all.into_iter().collect::<Vec<_>>()
            };
            for (name, levels) in [
                ("from", levels(&|cell| cell.egress.to_string())),
                ("as", levels(&|cell| cell.client.to_string())),
                ("with", levels(&|cell| cell.credential.to_string())),
            ] {
                let names = levels.into_iter().map(|level| Node {
                    value: Value::Scalar {
                        text: Cow::Owned(level),
                        plain: false,
                    },
                    ..like.clone()
                });
                let list = Node {
                    value: Value::List(names.collect()),
                    ..like.clone()
                };
                keys.push((key(name, &like), list));
            }
        }
        true
    }

    /// Keeps blocks of partners that have probes there.
    fn partners(&self, entries: &mut Entries<'_>) {
        entries.retain_mut(|(_, block)| {
            let Value::Map(keys) = &mut block.value else {
                return false;
            };
            shared(keys);
            let probes = keys.iter_mut().find(|(key, _)| key.text == "probes");
            probes.is_some_and(|(_, probes)| {
                self.probes(&mut probes.value, "path");
                matches!(&probes.value, Value::Map(probes) if !probes.is_empty())
            })
        });
    }

    /// Keeps what probes share that are left.
    fn defaults(&self, entries: &mut Entries<'_>) {
        let left = self.plan.probes.iter().filter(|probe| {
            !probe.control && self.cells.iter().any(|cell| cell.probe == probe.name)
        });
        let left: Vec<_> = left.collect();
        for (name, node) in entries.iter_mut() {
            let Value::Map(keys) = &mut node.value else {
                continue;
            };
            if name.text == "probes" {
                shared(keys);
                continue;
            }
            keys.retain_mut(|(of, block)| {
                if let Value::Map(keys) = &mut block.value {
                    shared(keys);
                }
                left.iter().any(|probe| {
                    let tagged = probe.tags.iter().any(|tag| *tag == of.text);
                    if name.text == "tags" {
                        tagged
                    } else {
                        probe.partner == of.text
                    }
                })
            });
        }
    }
}

/// Leaves in a block what is neither about people nor said by each probe itself.
fn shared(keys: &mut Entries<'_>) {
    keys.retain(|(key, _)| !OF_PEOPLE.contains(&&*key.text) && !MATRIX.contains(&&*key.text));
}

/// What a control in a list is called: its name, or the host of its URL.
fn named(control: &Node<'_>) -> Option<String> {
    let host = |url: &str| url::Url::parse(url).ok()?.host_str().map(ToOwned::to_owned);
    match &control.value {
        Value::Scalar { text, .. } => host(text),
        Value::Map(keys) => {
            let value = |name: &str| {
                let (_, node) = keys.iter().find(|(key, _)| key.text == name)?;
                match &node.value {
                    Value::Scalar { text, .. } => Some(text.to_string()),
                    _ => None,
                }
            };
            value("name").or_else(|| host(&value("url")?))
        }
        Value::List(_) => None,
    }
}

fn key<'t>(name: &'static str, beside: &Node<'_>) -> Key<'t> {
    Key {
        mark: beside.mark,
        text: Cow::Borrowed(name),
        plain: true,
    }
}

/// A node in flow style.
fn flow(node: &Node<'_>) -> String {
    match &node.value {
        Value::Scalar { text, plain } => scalar_text(text, *plain).into_owned(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, node)| format!("{}: {}", scalar_text(&key.text, key.plain), flow(node)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// Without quotes only what was without them and can be: a number stays one, and everything else is a text.
fn scalar_text(text: &str, plain: bool) -> Cow<'_, str> {
    if plain && text.is_empty() {
        return Cow::Borrowed("~");
    }
    let bare = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'+' | b'-'));
    let tilde = text == "~";
    if plain && (bare && !text.starts_with('-') || tilde) {
        return Cow::Borrowed(text);
    }
    // What JSON quotes, YAML reads the same.
    Cow::Owned(serde_json::Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Inputs, read};

    struct Everything;

    impl Inputs for Everything {
        fn env(&self, _: &str) -> Option<String> {
            Some("secret-of-this-process".to_owned())
        }
        fn file(&self, path: &Path) -> std::io::Result<String> {
            Ok(format!("text of {}", path.display()))
        }
    }

    const FILE: &str = r#"
version: 1
service: GMC
timezone: Europe/London
x-anchors: { soap: &soap { Content-Type: "text/xml; charset=utf-8", SOAPAction: "a: b" } }
nats: { url: "nats://127.0.0.1:4222" }
egresses:
  here: { address: 10.20.1.15 }
  london: { site: aws-london }
  london-2: { site: aws-london, interface: ens6, public: 203.0.113.9 }
  paris: { site: azure-paris, region: fr }
clients:
  legacy: "Java/1.8.0_275"
  new: { user_agent: "Java/11.0.10", http: "2", tls: { min: "1.2" }, headers: { Accept: "text/xml", Host: ~ } }
credentials:
  gmc: { username: { env: GMC_USERNAME }, password: { file: secrets/gmc } }
  other: { token: { env: OTHER_TOKEN } }
probes:
  everywhere:
    url: https://a.example/x?y=1
    every: 5m
    words: { what: "Sending: all of it" }
    tags: [night]
  revalidation:
    url: https://b.example/
    method: POST
    headers: *soap
    body: |
      <a>
        "quoted": {{ credential.username }}
      </a>
    from: [here, london]
    as: legacy
    with: [gmc, anonymous]
    cron: "*/5 0-6 * * *"
    expect: { status: [200, 404], xpath: "//*[local-name()='Code']='0'", latency: 2500ms }
    meanings:
      - { when: { xpath: "//*[local-name()='Code']='99'" }, verdict: origin_denied, note: "no" }
  only-paris: { url: "https://c.example/", from: paris, with: other, every: 60s }
groups: { away: [london, paris] }
defaults:
  probes: { timeout: 9s }
  tags: { night: { method: GET }, seldom: { redirects: no } }
  partners: { acme.example: { method: GET } }
partners:
  acme.example:
    host: api.acme.example
    from: away
    every: 3m
    contact: { ring: "Ops desk" }
    probes: { acme-a: /a, acme-b: { path: /b, every: 2m }, acme-c: { path: /c, from: paris, tags: seldom } }
controls:
  internet: https://www.gov.uk/
  trace: { url: "https://www.cloudflare.com/cdn-cgi/trace", from: [paris], every: 5m }
tell: { night: quick }
politeness: { per_host: { requests_per_minute: 30, gap: 500ms } }
maintenance: [{ name: night, cron: "0 22 * * SAT", for: 8h, probes: [only-paris], effect: mute }]
notify:
  receivers: { engineers: { slack: { token: { env: SLACK_BOT_TOKEN }, channel: C0123456789 } } }
  routes: [{ to: engineers }]
store: { path: /var/lib/x.db }
"#;

    fn reduced(text: &str, site: &str) -> String {
        let plan = read(text, "probes.yaml", &Everything).unwrap().plan;
        reduce(text, &Everything, &plan, site).unwrap()
    }

    fn cells(text: &str) -> BTreeSet<CellKey> {
        match read(text, "probes.yaml", &Everything) {
            Ok(checked) => checked.plan.cells().map(|(_, cell)| cell).collect(),
            Err(findings) => panic!("{findings}\n{text}"),
        }
    }

    #[test]
    fn a_site_has_its_own_cells_and_asks_the_same() {
        let whole = read(FILE, "probes.yaml", &Everything).unwrap().plan;
        for (site, count) in [("aws-london", 12), ("azure-paris", 12)] {
            let text = reduced(FILE, site);
            let own = read(&text, "site.yaml", &Everything).unwrap().plan;
            let expected: BTreeSet<CellKey> = whole
                .cells()
                .map(|(_, cell)| cell)
                .filter(|cell| whole.site_of(&cell.egress) == Some(site))
                .collect();
            assert_eq!(cells(&text), expected, "{text}");
            assert_eq!(expected.len(), count, "{site}");
            for cell in &expected {
                let (probe, there) = (whole.probe(&cell.probe), own.probe(&cell.probe));
                let said = |probe: Option<&crate::domain::probe::Probe>| {
                    let probe = probe.unwrap();
                    format!(
                        "{:?}",
                        (
                            &probe.url,
                            &probe.headers,
                            &probe.body,
                            &probe.expect,
                            &probe.meanings,
                            &probe.schedule,
                            probe.timeout
                        )
                    )
                };
                assert_eq!(said(there), said(probe), "{cell}");
                assert_eq!(own.client(&cell.client), whole.client(&cell.client));
            }
            assert_eq!(own.politeness, whole.politeness);
            assert!(own.sites().is_empty(), "they are ways out of its own host");
        }
    }

    #[test]
    fn nothing_of_others_is_in_it() {
        let text = reduced(FILE, "aws-london");
        for gone in [
            "SLACK",
            "only-paris",
            "acme-c",
            "seldom",
            "Ops desk",
            "OTHER_TOKEN",
            "azure",
            "10.20.1.15",
            "secret-of-this-process",
            "Sending",
            "/var/lib",
            "nats",
        ] {
            assert!(!text.contains(gone), "{gone} in\n{text}");
        }
        assert!(text.contains("{ env: GMC_USERNAME }"), "{text}");
    }
}
