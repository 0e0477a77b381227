//! Reading `probes.yaml`: the file in the root, its schema, good files and bad ones.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
#![allow(clippy::format_push_string, reason = "plain to read, and only here")]

mod bad;
mod good;
mod shared;

use std::collections::HashMap;
use std::io;
use std::path::Path;

use edgewatch::config::{self, Checked, Findings, Inputs};

/// An environment and a directory that exist only in the test.
#[derive(Default)]
struct Given {
    env: HashMap<&'static str, &'static str>,
    files: HashMap<&'static str, String>,
}

impl Inputs for Given {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).map(|value| (*value).to_owned())
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        self.files
            .get(path.to_str().unwrap())
            .cloned()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn matching(&self, pattern: &Path) -> io::Result<Vec<std::path::PathBuf>> {
        let files: Vec<String> = self.files.keys().map(|name| (*name).to_owned()).collect();
        Ok(config::among(files.iter(), pattern))
    }

    fn has_address(&self, address: std::net::IpAddr) -> Option<bool> {
        Some(address.to_string() != "198.51.100.77")
    }

    fn has_interface(&self, name: &str) -> Option<bool> {
        Some(name != "eth77")
    }

    fn unwritable(&self, path: &Path) -> Option<String> {
        let nowhere = path.starts_with("/nowhere");
        nowhere.then(|| "there is no directory /nowhere".to_owned())
    }
}

/// No environment at all, and the files of the repository.
struct Repository;

impl Inputs for Repository {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
    }
}

fn repository(path: &str) -> String {
    Repository.file(Path::new(path)).unwrap()
}

fn read(text: &str, given: &Given) -> Result<Checked, Findings> {
    config::read(text, "probes.yaml", given)
}

#[test]
fn the_file_in_the_root_loads_without_any_environment() {
    let checked = config::read(&repository("probes.yaml"), "probes.yaml", &Repository).unwrap();
    let messages: Vec<_> = checked
        .warnings
        .iter()
        .map(|w| format!("{}: {}", w.path, w.message))
        .collect();
    assert_eq!(
        messages,
        [
            "credentials.gmc.username: GMC_USERNAME is not set",
            "credentials.gmc.password: GMC_PASSWORD is not set",
            "credentials.gmc.gmc_number: GMC_PROBE_DOCTOR is not set",
            "credentials.gmc.recommendation_id: GMC_PROBE_RECOMMENDATION is not set",
            "credentials.gmc.designated_body: GMC_PROBE_DESIGNATED_BODY is not set",
            "notify.receivers.engineers.slack.token: SLACK_BOT_TOKEN is not set",
            "notify.receivers.support.teams.webhook: TEAMS_WEBHOOK_URL is not set",
        ]
    );
    let cells: Vec<_> = checked
        .plan
        .cells()
        .map(|(_, cell)| cell.to_string())
        .collect();
    assert_eq!(
        cells,
        [
            "gmc-connect from this-host as legacy-reval",
            "gmc-connect from this-host as new-reval",
            "gmc-connect from this-host as monitor",
            "internet from this-host as monitor",
            "same-edge from this-host as monitor",
            "same-edge-scored from this-host as monitor",
        ]
    );
}

#[test]
fn what_the_root_file_shows_in_comments_can_be_switched_on() {
    // A line that is a commented-out key or item: prose has no such shape.
    let key = regex::Regex::new(r"^(\s*)# (\s*)(-\s)?([a-z_-]+: .*|[a-z_]+:)$").unwrap();
    let text: String = repository("probes.yaml")
        .lines()
        .map(|line| {
            let line = if line.starts_with("# yaml-language-server") || line.contains("--- ") {
                line.to_owned()
            } else {
                key.replace(line, "$1$2$3$4").into_owned()
            };
            line + "\n"
        })
        .collect();
    let switched_on = [
        "legacy-prod:",
        "runs_in_flight: 256",
        "reference_id:",
        "journal:",
    ];
    for part in switched_on {
        assert!(
            text.lines()
                .any(|l| l.contains(part) && !l.trim_start().starts_with('#')),
            "{part} in\n{text}"
        );
    }
    let given = Given {
        env: HashMap::from([("PROXY_PASSWORD", "p")]),
        files: HashMap::from([
            (
                "deploy/soap/check-status.xml",
                repository("deploy/soap/check-status.xml"),
            ),
            (
                "deploy/private-ca.pem",
                "-----BEGIN CERTIFICATE-----\n".to_owned(),
            ),
        ]),
    };
    if let Err(findings) = read(&text, &given) {
        panic!("{findings}");
    }
}

#[test]
fn the_committed_schema_is_what_the_reader_says() {
    let committed: serde_json::Value =
        serde_json::from_str(&repository("deploy/probes.schema.json")).unwrap();
    assert!(
        committed == config::schema(),
        "deploy/probes.schema.json is out of date: edgewatch schema > deploy/probes.schema.json"
    );
}

#[test]
fn the_schema_accepts_what_the_reader_accepts() {
    let schema = jsonschema::validator_for(&config::schema()).unwrap();
    let validate = |name: &str, text: &str| {
        let value: serde_json::Value = serde_yaml::from_str(text).unwrap();
        let errors: Vec<_> = schema
            .iter_errors(&value)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    };
    validate("the root file", &repository("probes.yaml"));
    for (name, text) in good::FILES {
        validate(name, text);
    }
}

#[test]
fn the_schema_refuses_what_it_can_know_to_be_wrong() {
    let schema = jsonschema::validator_for(&config::schema()).unwrap();
    for (name, text) in [
        (
            "a missing key",
            "version: 1\nservice: x\nclients: { c: c }\n",
        ),
        (
            "an unknown key",
            "version: 1\nservice: x\nclients: { c: c }\nprobes: { p: { url: https://a/, evry: 5m } }\n",
        ),
        (
            "no unit",
            "version: 1\nservice: x\nclients: { c: c }\nprobes: { p: { url: https://a/, every: 30 } }\n",
        ),
        (
            "a literal secret",
            "version: 1\nservice: x\nclients: { c: c }\ncredentials: { k: { p: hunter22 } }\nprobes: { p: { url: https://a/, every: 5m } }\n",
        ),
        (
            "a strange verdict",
            "version: 1\nservice: x\nclients: { c: c }\nprobes: { p: { url: https://a/, every: 5m, expect: { verdict: blocked } } }\n",
        ),
        (
            "nothing",
            "version: 1\nservice: x\nclients: { c: c }\nprobes: { p: { url: https://a/, every: 5m, expect: } }\n",
        ),
    ] {
        let value: serde_json::Value = serde_yaml::from_str(text).unwrap();
        assert!(!schema.is_valid(&value), "{name}");
    }
}

/// Each is one edit of a file that both accept; the reader refuses it, and so does the schema.
#[test]
fn the_schema_refuses_what_stands_at_one_place() {
    const GOOD: &str = r#"version: 1
service: Acme
egresses: { a: 127.0.0.1, b: { address: 127.0.0.2 } }
clients: { c: "Java/1.8", d: { user_agent: "x/1", headers: { Accept: "*/*" } } }
probes:
  p: { url: "https://a.example/", every: 30s, timeout: 10s, from: [a, b], as: [c], headers: { X-A: one } }
maintenance: [{ name: w, cron: "0 22 * * *", for: 8h, effect: mute, probes: [p] }]
notify:
  receivers:
    slack: { slack: { token: { env: BOT }, channel: C0123456789 } }
    mail: { email: { host: localhost, tls: none, from: alerts@example.org, to: [ann@example.org] } }
  routes: [{ to: slack, after: 10m, probes: [p] }, { to: mail }]
"#;
    let schema = jsonschema::validator_for(&config::schema()).unwrap();
    let is_valid = |text: &str| {
        let value: serde_json::Value = serde_yaml::from_str(text).unwrap();
        schema.is_valid(&value)
    };
    let given = Given {
        env: HashMap::from([("BOT", "xoxb-1234")]),
        ..Given::default()
    };
    assert!(is_valid(GOOD));
    read(GOOD, &given).unwrap();
    for (from, to) in [
        ("every: 30s, ", ""),
        ("every: 30s, ", "every: 30s, cron: \"* * * * *\", "),
        ("https://a.example/", "a.example/"),
        ("https://a.example/", "ftp://a.example/"),
        ("as: [c]", "as: []"),
        ("from: [a, b]", "from: []"),
        ("as: [c]", "as: [c, c]"),
        ("probes: [p] }]", "probes: [] }]"),
        ("after: 10m, probes: [p]", "after: 10m, probes: []"),
        ("C0123456789", "alerts"),
        ("C0123456789", "\"#alerts\""),
        ("slack: { slack:", "slack: { log: {}, slack:"),
        (
            "slack: { slack: { token: { env: BOT }, channel: C0123456789 } }",
            "slack: { fallback: mail }",
        ),
        (
            "{ address: 127.0.0.2 }",
            "{ address: 127.0.0.2, interface: eth0 }",
        ),
        ("address: 127.0.0.2", "address: 127.0.0.300"),
        ("address: 127.0.0.2", "address: host.example"),
        ("address: 127.0.0.2", "address: 127.0.0.0/8"),
        ("a: 127.0.0.1", "a: 127.0.0.256"),
        ("X-A: one", "X-A: \"one\\nX-B: two\""),
        ("\"x/1\"", "\"x\\n1\""),
        ("X-A: one", "Host: a.example"),
        ("X-A: one", "User-Agent: x/1"),
        ("X-A: one", "content-LENGTH: \"1\""),
        ("Accept:", "Transfer-Encoding:"),
        ("[ann@example.org]", "[ann]"),
        ("[ann@example.org]", "[]"),
        ("from: alerts@example.org", "from: \"alerts@\""),
        ("every: 30s", "every: 0s"),
        ("timeout: 10s", "timeout: 0s"),
        ("for: 8h", "for: 0h"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        assert!(read(&text, &given).is_err(), "the reader takes {to:?}");
        assert!(!is_valid(&text), "the schema takes {to:?}");
    }
}

#[test]
fn a_file_of_ten_thousand_cells_is_read_in_linear_time() {
    let text = |probes: usize| {
        let mut text = String::from(
            "version: 1\nservice: x\nclients: { c: c }\npoliteness: { per_host: { gap: 0s } }\nprobes:\n",
        );
        for n in 0..probes {
            text.push_str(&format!(
                "  p{n}: {{ url: \"https://h{n}.example/\", every: 5m }}\n"
            ));
        }
        text
    };
    // Names mentioned as often as there are names: quadratic look-ups would show here.
    let mut wide = String::from("version: 1\nservice: x\nclients:\n");
    let names: Vec<_> = (0..5000).map(|n| format!("c{n}")).collect();
    for name in &names {
        wide.push_str(&format!("  {name}: {name}\n"));
    }
    wide.push_str(&format!(
        "politeness: {{ per_host: {{ gap: 0s, requests_per_minute: 6000 }} }}\n\
         probes:\n  a: {{ url: https://h.example/, every: 5m, as: [{names}] }}\n  \
         b: {{ url: https://i.example/, every: 5m, as: [{names}] }}\n",
        names = names.join(", ")
    ));
    for (name, text) in [("many probes", text(10_000)), ("many clients", wide)] {
        let started = std::time::Instant::now();
        let checked = read(&text, &Given::default()).unwrap();
        assert_eq!(checked.plan.cells().count(), 10_000, "{name}");
        // Generous: an unoptimised build on a busy machine; quadratic would take minutes.
        assert!(
            started.elapsed().as_secs() < 10,
            "{name}: {:?}",
            started.elapsed()
        );
        println!("{name}: {:?}", started.elapsed());
    }
}
