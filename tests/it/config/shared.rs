//! What a file need not say twice: defaults, partners' blocks, groups, included files, variables.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use edgewatch::app::load::{self, Kept};
use edgewatch::config::{self, Checked, Findings, Inputs};
use edgewatch::domain::condition::Condition;
use edgewatch::domain::difference::Difference;
use edgewatch::domain::plan::Plan;
use edgewatch::domain::probe::{Probe, Schedule};
use edgewatch::store::Store;

/// Files beside `probes.yaml`, and an environment.
#[derive(Default)]
struct Folder {
    files: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
}

impl Inputs for Folder {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        let file = self.files.get(path.to_str().unwrap());
        file.cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn matching(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(config::among(self.files.keys(), pattern))
    }
}

/// Files written one after another: `=== name`, then the text of each; the first is the main one.
fn read(text: &str, env: &[(&str, &str)]) -> Result<Checked, Findings> {
    let mut folder = Folder::default();
    let pairs = env.iter();
    folder.env = pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let mut files = text.split("=== ");
    let main = files.next().unwrap();
    for file in files {
        let (name, text) = file.split_once('\n').unwrap();
        folder.files.insert(name.to_owned(), text.to_owned());
    }
    let head = "version: 1\nservice: Shop\nclients: { a: A/1, b: B/1, c: { user_agent: C/1, control: true } }\n";
    config::read(&format!("{head}{main}"), "etc/probes.yaml", &folder)
}

fn plan(text: &str, env: &[(&str, &str)]) -> Plan {
    match read(text, env) {
        Ok(checked) => checked.plan,
        Err(findings) => panic!("{findings}"),
    }
}

/// Every fault without the line that it shows.
fn faults(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    let findings = read(text, env).unwrap_err().errors();
    let shown = findings.to_string();
    let lines = shown.lines().filter(|line| !line.starts_with(' '));
    lines.map(str::to_owned).collect()
}

fn probe<'a>(plan: &'a Plan, name: &str) -> &'a Probe {
    plan.probe(&name.into()).unwrap()
}

fn every(probe: &Probe) -> u64 {
    match &probe.schedule {
        Schedule::Every(every) => every.as_secs(),
        Schedule::Cron(_) => 0,
    }
}

#[test]
fn the_nearest_says_what_holds() {
    let plan = plan(
        "\
defaults:
  probes: { every: 60s, timeout: 9s, headers: { X-A: all, X-B: all }, expect: { status: 200, latency: 4s }, words: { what: all, affects: all } }
  tags: { slow: { every: 120s, timeout: 8s }, odd: { every: 180s, severity: info } }
  partners: { Acme Ltd: { every: 240s, severity: critical, words: { affects: the partner's } } }
probes:
  bare: { url: \"https://bare.example/\" }
  own: { url: \"https://own.example/\", every: 30s, headers: { x-b: mine, X-C: mine }, expect: { body: hello } }
  tagged: { url: \"https://tagged.example/\", tags: [slow, odd], words: { what: mine } }
  cron: { url: \"https://cron.example/\", cron: \"0 3 * * *\" }
  plain: { url: \"http://plain.example/\" }
partners:
  acme:
    partner: Acme Ltd
    host: api.acme.example:8443/base/
    timeout: 7s
    probes: { short: /one?x=1, full: { path: /two, timeout: 6s, tags: [slow] }, away: { url: \"https://elsewhere.example/\" } }
  other: { host: \"http://other.example\", expect: { certificate_days: 9 }, probes: { simple: / } }
",
        &[],
    );
    let seconds = |name: &str| {
        let probe = probe(&plan, name);
        (every(probe), probe.timeout.as_secs())
    };
    assert_eq!(seconds("bare"), (60, 9));
    assert_eq!(seconds("own"), (30, 9));
    assert_eq!(seconds("tagged"), (120, 8), "of the first tag");
    assert_eq!(seconds("cron"), (0, 9), "a schedule of its own");
    assert_eq!(
        seconds("short"),
        (240, 7),
        "the block goes before the default of the partner"
    );
    assert_eq!(seconds("full"), (120, 6), "the tag goes before the partner");
    let own = probe(&plan, "own");
    let headers: Vec<&str> = own.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(headers, ["X-A", "x-b", "X-C"]);
    assert_eq!(
        own.expect.conditions.0.len(),
        3,
        "status, latency and body: {:?}",
        own.expect
    );
    let tagged = &probe(&plan, "tagged").words;
    assert_eq!(
        (tagged.what.as_deref(), tagged.affects.as_deref()),
        (Some("mine"), Some("all"))
    );
    assert_eq!(
        probe(&plan, "tagged").severity.as_str(),
        "info",
        "of the second tag"
    );
    let short = probe(&plan, "short");
    assert_eq!(
        short.url.as_str(),
        "https://api.acme.example:8443/base/one?x=1"
    );
    assert_eq!(
        (short.partner.as_str(), short.severity.as_str()),
        ("Acme Ltd", "critical")
    );
    assert_eq!(short.words.affects.as_deref(), Some("the partner's"));
    assert_eq!(
        probe(&plan, "away").url.as_str(),
        "https://elsewhere.example/"
    );
    let simple = probe(&plan, "simple");
    assert_eq!(
        (simple.url.as_str(), simple.partner.as_str()),
        ("http://other.example/", "other")
    );
    let days = |condition: &Condition| matches!(condition, Condition::CertificateDays(_));
    assert!(
        !simple.expect.conditions.0.iter().any(days),
        "there is none over http"
    );
}

#[test]
fn groups_stand_where_names_do() {
    let plan = plan(
        "\
egresses: { x: 127.0.0.1, w: 127.0.0.2, z: 127.0.0.3 }
groups: { jvm: [a, b], sites: [x, w], main: [p] }
probes:
  p: { url: \"https://p.example/\", every: 5m, as: [jvm, c, a], from: sites }
  q: { url: \"https://q.example/\", every: 5m, as: jvm }
maintenance: [{ name: w, cron: \"0 22 * * *\", for: 1h, effect: mute, probes: [main] }]
notify: { receivers: { l: { log: {} } }, routes: [{ to: l, probes: [main], egresses: [sites, z] }] }
",
        &[],
    );
    let names = |probe: &Probe| {
        let clients: Vec<String> = probe.as_clients.iter().map(ToString::to_string).collect();
        let egresses: Vec<String> = probe.from.iter().map(ToString::to_string).collect();
        format!("{} {}", clients.join(","), egresses.join(","))
    };
    assert_eq!(names(probe(&plan, "p")), "a,b,c x,w");
    assert_eq!(names(probe(&plan, "q")), "a,b x,w,z");
    assert_eq!(plan.maintenance[0].probes, ["p".into()]);
    assert_eq!(plan.routes[0].probes, ["p".into()]);
    assert_eq!(
        plan.routes[0].egresses,
        ["x".into(), "w".into(), "z".into()]
    );
}

#[test]
fn an_included_file_adds_members_and_variables_fill_values() {
    let plan = plan(
        "\
include: [conf.d/*.yaml, more.yaml]
timezone: \"{{ env.ZONE }}\"
defaults: { tags: { slow: { every: 10m } } }
probes: { p: { url: \"https://p.{{ env.REGION }}.example/{{env.REGION}}\", every: 5m } }
notify: { receivers: { l: { log: {} } }, routes: [{ to: l }] }
=== conf.d/a.yaml
clients: { d: \"D/{{ env.REGION }}\" }
probes: { q: { url: \"https://q.example/\", as: [d, a], tags: [slow] } }
notify: { receivers: { m: { log: {} } }, routes: [{ to: m, tags: [slow] }] }
=== conf.d/.hidden.yaml
nonsense
=== conf.d/b.yaml
# nothing yet
=== more.yaml
version: 1
defaults: { tags: { fast: { every: 1m } } }
partners: { acme: { host: acme.example, probes: { r: { path: /, tags: [fast] } } } }
maintenance: [{ name: w, cron: \"0 22 * * *\", for: 1h, effect: mute }]
",
        &[("REGION", "eu"), ("ZONE", "Europe/London")],
    );
    assert_eq!(probe(&plan, "p").url.as_str(), "https://p.eu.example/eu");
    assert_eq!(every(probe(&plan, "q")), 600);
    assert_eq!(every(probe(&plan, "r")), 60);
    assert_eq!(plan.clients[3].user_agent, "D/eu");
    assert_eq!(
        (
            plan.routes.len(),
            plan.receivers.len(),
            plan.maintenance.len()
        ),
        (2, 2, 1)
    );
    assert_eq!(plan.zone.iana_name(), Some("Europe/London"));
}

#[test]
fn each_fault_names_its_file_and_its_mend() {
    let probes = "probes: { p: { url: \"https://p.example/\", every: 5m } }\n";
    let mut wrong = Vec::new();
    let mut check = |name: &str, text: &str, expected: &[&str]| {
        let env = [
            ("REGION", "eu"),
            ("ODD", "a\nb"),
            ("SAME", "hunter22"),
            ("PLAIN", "hunter22"),
        ];
        let found = faults(text, &env);
        assert!(!found.concat().contains("hunter"), "{name}");
        if found != expected {
            wrong.push(format!("{name}:\n{}", found.join("\n")));
        }
    };
    check(
        "twice over files",
        &format!(
            "include: conf.d/*.yaml\n{probes}=== conf.d/a.yaml\nprobes:\n  p: {{ url: \"https://a.example/\", every: 5m }}\n"
        ),
        &[
            "etc/conf.d/a.yaml:2:3: probes.p: the key \"p\" stands here twice; the first is in etc/probes.yaml, line 5",
        ],
    );
    check(
        "twice over sections",
        &format!(
            "{probes}partners:\n  acme:\n    host: acme.example\n    every: 5m\n    probes: {{ p: / }}\n"
        ),
        &[
            "etc/probes.yaml:9:15: partners.acme.probes.p: there is a probe \"p\" already; name this one differently; the first is on line 4",
        ],
    );
    check(
        "faults of two files",
        &format!(
            "include: [a.yaml]\n{probes}runs_in_flihgt: 2\n=== a.yaml\nclients:\n  d: \"x\"\n  e: {{ usr_agent: x }}\nstore: {{ path: x }}\nprbes: {{}}\n"
        ),
        &[
            "etc/probes.yaml:6:1: runs_in_flihgt: unknown key \"runs_in_flihgt\"; did you mean \"runs_in_flight\"?",
            "etc/a.yaml:3:8: clients.e.usr_agent: unknown key \"usr_agent\"; did you mean \"user_agent\"?",
            "etc/a.yaml:4:1: store: stands in the main file alone; move it to etc/probes.yaml",
            "etc/a.yaml:5:1: prbes: unknown key \"prbes\"; did you mean \"probes\"?",
        ],
    );
    check(
        "a file that is no YAML",
        &format!("include: [a.yaml]\n{probes}=== a.yaml\nclients: {{ d: \"x\n"),
        &["etc/a.yaml:1:15: not YAML: this quote is never closed; add the closing quote"],
    );
    check(
        "a file that is not there, and a folder",
        &format!("include: [a.yaml, \"conf*/x.yaml\"]\n{probes}"),
        &[
            "etc/probes.yaml:4:11: include: can't read a.yaml: there is no such file; paths start at the directory of this file",
            "etc/probes.yaml:4:19: include: \"conf*/x.yaml\" names no files; like \"conf.d/*.yaml\": \"*\" and \"?\" stand in the name of the file alone",
        ],
    );
    check(
        "a default that is wrong is told once, where it stands",
        "defaults:\n  probes: { every: 30, evry: 1m, url: x }\n  tags: { none: { timeout: 5s } }\nprobes:\n  p: { url: \"https://p.example/\" }\n  q: { url: \"https://q.example/\", tags: [nine] }\n",
        &[
            "etc/probes.yaml:5:20: defaults.probes.every: \"30\" has no unit; write \"30s\" or \"5m\"",
            "etc/probes.yaml:5:24: defaults.probes.evry: unknown key \"evry\"; did you mean \"every\"?",
            "etc/probes.yaml:5:34: defaults.probes.url: unknown key \"url\"; known here: partner, method, headers, body, from, as, with, every, cron, timeout, expect, origin, meanings, words, contact, redirects, cookies, body_limit, resolver, connect_to, tags, severity, tell, control, ours, forbid",
            "etc/probes.yaml:6:11: defaults.tags.none: no probe has the tag \"none\"; did you mean \"nine\"?",
        ],
    );
    check(
        "a name that nobody has, mentioned by a default",
        "defaults: { probes: { every: 5m, as: [aa] } }\nprobes:\n  p: { url: \"https://p.example/\" }\n  q: { url: \"https://q.example/\" }\n",
        &[
            "etc/probes.yaml:4:39: defaults.probes.as[0]: there is no client \"aa\"; did you mean \"a\"?",
        ],
    );
    check(
        "blocks",
        "partners:\n  one: { every: 5m, probes: { p: /x } }\n  two: { host: \"a b\", every: 5m, probes: { q: / } }\n  three: { host: c.example, every: 5m, probes: { r: x, s: {}, t: { path: /, url: \"https://t.example/\" } } }\n  four: { host: d.example, hsot: x }\n",
        &[
            "etc/probes.yaml:5:3: partners.one: has no \"host\", which the paths of its probes need; add \"host: api.acme.example\", or write the whole \"url\" of each probe",
            "etc/probes.yaml:6:16: partners.two.host: \"a b\" is no host; write \"api.acme.example\", with a port where it has one, or \"http://…\" where it is not https",
            "etc/probes.yaml:7:53: partners.three.probes.r: \"x\" is no path; it begins with \"/\"; another host is a \"url\"",
            "etc/probes.yaml:7:59: partners.three.probes.s: neither \"path\" nor \"url\" says what to ask; add \"path: /…\"",
            "etc/probes.yaml:7:82: partners.three.probes.t.url: says what to ask twice; keep one of \"path\" and \"url\"",
            "etc/probes.yaml:8:9: partners.four: \"probes\" is missing",
            "etc/probes.yaml:8:28: partners.four.hsot: unknown key \"hsot\"; did you mean \"host\"?",
        ],
    );
    check(
        "a path outside a block, and a default over a typo",
        "defaults: { probes: { every: 5m } }\nprobes:\n  p: { path: / }\n",
        &[
            "etc/probes.yaml:6:6: probes.p: \"url\" is missing",
            "etc/probes.yaml:6:14: probes.p.path: \"path\" belongs to the host of a partner's block, and this probe stands in none; write the whole \"url\", or move the probe to \"partners\"",
        ],
    );
    check(
        "groups",
        "egresses: { x: 127.0.0.1 }\ngroups: { a: [b], g: [b, zz], h: [x] }\nprobes:\n  p: { url: \"https://p.example/\", every: 5m, as: [h, gg] }\n",
        &[
            "etc/probes.yaml:5:11: groups.a: there is a client \"a\" already; name the group differently: both are written in the same places",
            "etc/probes.yaml:5:26: groups.g[1]: there is no egress, client, credential or probe \"zz\"; known: x, a, b, c, anonymous, p",
            "etc/probes.yaml:7:51: probes.p.as[0]: the group \"h\" holds \"x\", and that is no client; a group stands where all of its members could",
            "etc/probes.yaml:7:54: probes.p.as[1]: there is no client \"gg\"; did you mean \"g\"?",
        ],
    );
    check(
        "variables",
        &format!(
            "{probes}credentials: {{ k: {{ t: {{ env: SAME }}, u: {{ file: \"{{{{ env.REGION }}}}\" }} }} }}\nsignatures:\n  - {{ name: sig, verdict: edge_block, when: {{ body: [\"{{{{ env.GONE }}}}\", \"{{{{ env.API_TOKEN }}}}\", \"{{{{ env.ODD }}}}\", \"{{{{ env.a-b }}}}\"] }} }}\n"
        ),
        &[
            "etc/probes.yaml:5:50: credentials.k.u.file: nothing is filled in here, as what is below \"credentials\" is a secret; a secret is named where it is used: { env: NAME }",
            "etc/probes.yaml:7:54: signatures[0].when.body[0]: the variable GONE is not set; set it where edgewatch runs (EnvironmentFile= of the unit), or write the value",
            "etc/probes.yaml:7:72: signatures[0].when.body[1]: API_TOKEN is called like a secret, and what is filled in is shown; a secret is named where it is used: { env: NAME }",
            "etc/probes.yaml:7:95: signatures[0].when.body[2]: the value of ODD can't be filled in; one line of at most 1024 bytes, without double braces",
            "etc/probes.yaml:7:112: signatures[0].when.body[3]: this is no name of an environment variable; write \"{{ env.NAME }}\", with letters, digits and \"_\"",
        ],
    );
    check(
        "a variable that holds a secret, and one in its header",
        "credentials: { k: { t: { env: SAME } } }\nprobes:\n  p: { url: \"https://p.example/{{ env.PLAIN }}\", every: 5m, with: k, headers: { X: \"{{ credential.t }}\" } }\n",
        &[
            "etc/probes.yaml:6:13: probes.p.url: PLAIN holds a secret of this file, and what is filled in is shown; secrets are named in \"credentials\": { env: NAME }",
        ],
    );
    check(
        "a header that is a secret as a rule, and a key",
        "probes:\n  p: { url: \"https://p.example/\", every: 5m, headers: { Authorization: \"Bearer {{ env.PLAIN }}\", \"{{ env.REGION }}\": x } }\n",
        &[
            "etc/probes.yaml:5:72: probes.p.headers.Authorization: nothing is filled in here, as the value of this header is a secret; a secret is named where it is used: { env: NAME }",
            "etc/probes.yaml:5:98: probes.p.headers.{{ env.REGION }}: variables are filled in values, not in keys; write the key itself",
        ],
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn what_a_file_includes_is_kept_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probes.yaml");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let store_at = folder.path().join("edgewatch.db");
    write(
        "probes.yaml",
        &format!(
            "version: 1\nservice: S\nclients: {{ a: A/1 }}\ninclude: conf.d/*.yaml\nstore: {{ path: \"{}\" }}\n",
            store_at.display()
        ),
    );
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    let part =
        "probes: { q: { url: \"https://q.example/{{ env.CARGO_PKG_NAME }}\", every: 5m } }\n";
    write("conf.d/q.yaml", part);
    let loaded = load::load_with_source(&path).unwrap();
    let plan = &loaded.checked.plan;
    assert_eq!(probe(plan, "q").url.path(), "/edgewatch");
    let store = Store::open(&store_at, &plan.store).unwrap().store;
    let kept = Kept {
        path: path.clone(),
        at: edgewatch::clock::now(),
        source: loaded.source,
    };
    kept.keep(&store, Vec::new());
    store.close().await;
    let kept = Kept::of(&Store::read_only(&store_at).unwrap()).unwrap();
    let again = kept.plan().unwrap();
    assert!(Difference::between(plan, &again).is_empty());

    write("conf.d/q.yaml", "prbes: {}\n");
    let error = load::load(&path).unwrap_err().to_string();
    assert!(error.contains("q.yaml:1:1: prbes: unknown key"), "{error}");
    let (_, good) = load::last_good(&path).unwrap();
    assert!(Difference::between(plan, &good.checked.plan).is_empty());
}

fn example(name: &str) -> (String, Plan) {
    let path = format!("{}/deploy/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let checked = config::read(&text, name, &Folder::default());
    let plan = checked.unwrap_or_else(|findings| panic!("{findings}")).plan;
    (text, plan)
}

#[test]
fn the_examples_are_short_and_hold_what_they_say() {
    let schema = jsonschema::validator_for(&config::schema()).unwrap();
    for (name, lines, cells) in [
        ("fifty-partners.yaml", 250, 1800),
        ("one-partner.yaml", 25, 72),
    ] {
        let (text, plan) = example(name);
        assert!(
            text.lines().count() <= lines,
            "{name} has {} lines",
            text.lines().count()
        );
        let partners = plan.every_cell().filter(|(probe, _)| !probe.control);
        assert_eq!(partners.count(), cells, "{name}");
        let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let errors: Vec<String> = schema
            .iter_errors(&value)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
    let (_, plan) = example("fifty-partners.yaml");
    let mut partners: Vec<&str> = plan
        .probes
        .iter()
        .filter(|p| !p.control)
        .map(|p| p.partner.as_str())
        .collect();
    partners.dedup();
    assert_eq!((partners.len(), partners[0]), (50, "Acme Ltd"));
    let orders = probe(&plan, "acme-orders");
    assert_eq!(
        orders.expect.conditions.0.len(),
        4,
        "status, latency, days and JSON: {:?}",
        orders.expect
    );
}

/// The schema that the one of an included file refers to.
struct Beside;

impl jsonschema::Retrieve for Beside {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<serde_json::Value, Box<dyn std::error::Error + Send + Sync>> {
        assert_eq!(uri.as_str(), "json-schema:///probes.schema.json");
        Ok(config::schema())
    }
}

#[test]
fn the_schema_knows_what_is_shared() {
    let schema = jsonschema::validator_for(&config::schema()).unwrap();
    let part = jsonschema::options()
        .with_base_uri("json-schema:///probes-part.schema.json")
        .with_retriever(Beside)
        .build(&config::part_schema())
        .unwrap();
    let head = "version: 1\nservice: x\n";
    for (name, is_part, right, text) in [
        (
            "a probe may have its schedule from a default",
            false,
            true,
            "clients: { c: c }\ndefaults: { probes: { every: 5m } }\nprobes: { p: { url: https://a/ } }\n",
        ),
        (
            "and not without one",
            false,
            false,
            "clients: { c: c }\nprobes: { p: { url: https://a/ } }\n",
        ),
        (
            "a block",
            false,
            true,
            "clients: { c: c }\npartners: { a: { host: a.example, every: 5m, probes: { p: /x, q: { path: /y } } } }\n",
        ),
        (
            "a path in no block",
            false,
            false,
            "clients: { c: c }\nprobes: { p: { path: /x, every: 5m } }\n",
        ),
        (
            "a block without probes",
            false,
            false,
            "clients: { c: c }\npartners: { a: { host: a.example } }\n",
        ),
        (
            "neither path nor URL",
            false,
            false,
            "clients: { c: c }\npartners: { a: { host: a.example, probes: { p: { every: 5m } } } }\n",
        ),
        (
            "a default of a URL",
            false,
            false,
            "clients: { c: c }\ndefaults: { probes: { url: https://a/ } }\nprobes: { p: { url: https://a/, every: 5m } }\n",
        ),
        (
            "a default of two schedules",
            false,
            false,
            "clients: { c: c }\ndefaults: { probes: { every: 5m, cron: \"* * * * *\" } }\nprobes: { p: { url: https://a/ } }\n",
        ),
        (
            "a misspelt default",
            false,
            false,
            "clients: { c: c }\ndefaults: { tags: { t: { evry: 5m } } }\nprobes: { p: { url: https://a/, every: 5m } }\n",
        ),
        (
            "all in other files",
            false,
            true,
            "include: conf.d/*.yaml\n",
        ),
        ("a part", true, true, "probes: { p: { url: https://a/ } }\n"),
        ("a part with a store", true, false, "store: { path: x }\n"),
    ] {
        let text = if is_part {
            text.to_owned()
        } else {
            format!("{head}{text}")
        };
        let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let valid = if is_part {
            part.is_valid(&value)
        } else {
            schema.is_valid(&value)
        };
        assert_eq!(valid, right, "{name}");
    }
    let path = format!(
        "{}/deploy/probes-part.schema.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let committed: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(
        committed == config::part_schema(),
        "deploy/probes-part.schema.json is out of date: edgewatch schema --part > deploy/probes-part.schema.json"
    );
}
