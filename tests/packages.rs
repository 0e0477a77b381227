//! Holds what `deploy/` ships to the program: alerts, dashboard, manifests, image.
//!
//! Building and installing the packages takes long and is `.ci/release`'s; here is what can be known from the files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use edgewatch::config::{self, Inputs};
use edgewatch::domain::incident::Happening;
use edgewatch::domain::keeping::{Due, Post, Settled};
use edgewatch::domain::site::{Facts, Sites};
use edgewatch::telemetry::{Live, Metrics};
use jiff::Timestamp;
use serde_json::Value;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).unwrap_or_else(|e| panic!("deploy/{name}: {e}"))
}

fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&text(name)).unwrap_or_else(|e| panic!("deploy/{name}: {e}"))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap_or_else(|e| panic!("deploy/{name}: {e}"))
}

struct Nothing;

impl Inputs for Nothing {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// The names of all series that a daemon with a site and a receiver shows.
fn series() -> BTreeSet<String> {
    let now = Timestamp::UNIX_EPOCH;
    let live = move || Live {
        post: Post {
            due: vec![Due {
                receiver: "engineers".to_owned(),
                messages: 1,
                due_since: now,
            }],
            settled: vec![Settled {
                receiver: "engineers".to_owned(),
                outcome: "dead",
                class: Some("setup"),
                count: 1,
            }],
        },
        ..Live::default()
    };
    let metrics = Arc::new(Metrics::new(now, live));
    let checked = config::read(&text("kubernetes/probes.yaml"), "probes.yaml", &Nothing);
    let checked = checked.unwrap_or_else(|findings| panic!("{}", findings.errors()));
    let meters = metrics.meters(&checked.plan, None);
    meters.happened(Happening::Opened);
    meters.sites(&Sites {
        at: now,
        nats: "nats:4222".to_owned(),
        unreachable_since: None,
        trouble: None,
        lag: 0,
        gone: 0,
        sites: vec![Facts {
            site: "london".to_owned(),
            offset_ms: Some(0),
            ..Facts::default()
        }],
    });
    let text = metrics.text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| line.split(['{', ' ']).next());
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 40, "{names:?}");
    names
}

/// The names of ours in an expression or a text.
fn named(text: &str) -> BTreeSet<String> {
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = parts.filter(|part| part.starts_with("edgewatch_"));
    ours.map(str::to_owned).collect()
}

/// Every string in a document under a key.
fn under<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == key => found.push(text),
                    other => under(other, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| under(item, key, found)),
        _ => {}
    }
}

fn expressions(value: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    under(value, "expr", &mut found);
    found
}

#[test]
fn every_number_that_is_named_exists() {
    let known = series();
    let (alerts, dashboard) = (
        yaml("prometheus/alerts.yaml"),
        json("grafana/dashboard.json"),
    );
    let mut texts = expressions(&alerts);
    texts.extend(expressions(&dashboard));
    under(&dashboard, "query", &mut texts);
    let wanted: BTreeSet<String> = texts.iter().flat_map(|text| named(text)).collect();
    assert!(wanted.len() > 25, "{wanted:?}");
    let unknown: Vec<_> = wanted.difference(&known).collect();
    assert!(unknown.is_empty(), "no such series: {unknown:?}");
}

/// `None`: there is none here, and its cases are left out.
fn promtool(arguments: &[&str], files: &[&Path]) -> Option<(bool, String)> {
    let output = Command::new("promtool")
        .args(arguments)
        .args(files)
        .output();
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("LEFT OUT: there is no promtool; tests/run installs it");
            return None;
        }
        other => other.expect("promtool runs"),
    };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), said.into_owned()))
}

#[test]
fn alerts_are_right_and_are_raised_when_they_should() {
    let rules = deploy("prometheus/alerts.yaml");
    let cases = deploy("prometheus/alerts.test.yaml");
    let Some((right, said)) = promtool(&["check", "rules"], &[&rules]) else {
        return;
    };
    assert!(right && said.contains("15 rules found"), "{said}");
    let (right, said) = promtool(&["test", "rules"], &[&cases]).expect("promtool was there");
    assert!(right, "{said}");
}

#[test]
fn the_dashboard_asks_what_prometheus_understands() {
    let dashboard = json("grafana/dashboard.json");
    let asked = expressions(&dashboard);
    assert!(asked.len() > 15, "{asked:?}");
    let rules = asked.iter().enumerate().map(|(number, expression)| {
        let expression = expression
            .replace("$__rate_interval", "5m")
            .replace("$__interval", "5m");
        let expression = Value::from(expression);
        format!("      - {{ record: \"panel:{number}\", expr: {expression} }}\n")
    });
    let rules: String = rules.collect();
    let rules = format!("groups:\n  - name: dashboard\n    rules:\n{rules}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    std::fs::write(&file, rules).expect("a file");
    if let Some((right, said)) = promtool(&["check", "rules"], &[&file]) {
        assert!(right, "{said}");
    }
}

#[test]
fn manifests_fit_together() {
    let kustomization = yaml("kubernetes/kustomization.yaml");
    let resources = kustomization["resources"].as_array().expect("resources");
    let mut kinds = BTreeSet::new();
    for resource in resources {
        let name = resource.as_str().expect("a file");
        let document = yaml(&format!("kubernetes/{name}"));
        assert!(document["apiVersion"].is_string(), "{name}");
        let kind = document["kind"].as_str().expect("a kind").to_owned();
        kinds.insert(kind);
    }
    let wanted = [
        "Namespace",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
        "StatefulSet",
    ];
    assert_eq!(kinds, wanted.map(str::to_owned).into());

    let set = yaml("kubernetes/statefulset.yaml");
    let (labels, pod) = (
        &set["spec"]["selector"]["matchLabels"],
        &set["spec"]["template"],
    );
    assert_eq!(&pod["metadata"]["labels"], labels);
    let service = yaml("kubernetes/service.yaml");
    assert_eq!(&service["spec"]["selector"], labels);
    assert_eq!(service["metadata"]["name"], set["spec"]["serviceName"]);
    for (file, at) in [
        ("networkpolicy.yaml", "/spec/podSelector/matchLabels"),
        ("poddisruptionbudget.yaml", "/spec/selector/matchLabels"),
    ] {
        let document = yaml(&format!("kubernetes/{file}"));
        assert_eq!(document.pointer(at), Some(labels), "{file}");
    }

    let spec = &pod["spec"];
    let container = &spec["containers"][0];
    let names = |list: &Value| -> BTreeSet<String> {
        let list = list.as_array().cloned().unwrap_or_default();
        let named = list.iter().filter_map(|one| one["name"].as_str());
        named.map(str::to_owned).collect()
    };
    let mut volumes = names(&spec["volumes"]);
    let claims = set["spec"]["volumeClaimTemplates"].as_array().expect("one");
    volumes.extend(claims.iter().map(|claim| {
        let name = claim["metadata"]["name"].as_str();
        name.expect("a name").to_owned()
    }));
    assert_eq!(names(&container["volumeMounts"]), volumes);
    assert_eq!(container["image"], kustomization["images"][0]["name"]);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(kustomization["images"][0]["newTag"], version);

    let rights = &container["securityContext"];
    assert_eq!(rights["readOnlyRootFilesystem"], true);
    assert_eq!(rights["allowPrivilegeEscalation"], false);
    assert_eq!(rights["capabilities"]["drop"][0], "ALL");
    let user = &spec["securityContext"]["runAsUser"];
    let image = text("Containerfile");
    assert!(
        image.contains(&format!("\nUSER {user}:{user}\n")),
        "{image}"
    );

    // The port that is opened is the one that is probed, scraped and let through.
    let checked = config::read(&text("kubernetes/probes.yaml"), "probes.yaml", &Nothing);
    let checked = checked.unwrap_or_else(|findings| panic!("{}", findings.errors()));
    let listens = checked.plan.listen.expect("it listens");
    assert_eq!(
        container["ports"][0]["containerPort"],
        listens.address.port()
    );
    assert!(image.contains(&format!("\nEXPOSE {}\n", listens.address.port())));
    let store = container["volumeMounts"].as_array().expect("mounts");
    let store = store.iter().filter_map(|mount| mount["mountPath"].as_str());
    let path = &checked.plan.store.path;
    assert!(
        store.into_iter().any(|mount| path.starts_with(mount)),
        "{}",
        path.display()
    );
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Made with a small file in place of the program: what else is in it is the same.
#[test]
fn the_image_holds_what_it_should_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |name: &str| {
        let (program, roots) = (folder.path().join("program"), folder.path().join("roots"));
        std::fs::write(&program, "#!not a program\n").expect("a file");
        std::fs::write(&roots, "not a certificate\n").expect("a file");
        let made = folder.path().join(name);
        let mut script = Command::new(deploy("image"));
        let script = script.arg(program).arg(&made).env("EDGEWATCH_ROOTS", roots);
        run(script.env("SOURCE_DATE_EPOCH", "1700000000"));
        made
    };
    let made = make("one");
    let list = run(Command::new("tar")
        .args(["--list", "--verbose", "--numeric-owner", "--file"])
        .arg(made.join("rootfs.tar")));
    let found: Vec<String> = list
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {}", words[0], words[1], words[words.len() - 1])
        })
        .collect();
    let expected = [
        "drwxr-xr-x 0/0 etc/",
        "drwxr-xr-x 0/0 etc/edgewatch/",
        "-rw-r--r-- 0/0 etc/group",
        "-rw-r--r-- 0/0 etc/passwd",
        "drwxr-xr-x 0/0 etc/ssl/",
        "drwxr-xr-x 0/0 etc/ssl/certs/",
        "-rw-r--r-- 0/0 etc/ssl/certs/ca-certificates.crt",
        "drwxrwxrwt 0/0 tmp/",
        "drwxr-xr-x 0/0 usr/",
        "drwxr-xr-x 0/0 usr/bin/",
        "-rwxr-xr-x 0/0 usr/bin/edgewatch",
        "drwxr-xr-x 0/0 usr/share/",
        "drwxr-xr-x 0/0 usr/share/doc/",
        "drwxr-xr-x 0/0 usr/share/doc/edgewatch/",
        "-rw-r--r-- 0/0 usr/share/doc/edgewatch/LICENSE",
        "drwxr-xr-x 0/0 var/",
        "drwxr-xr-x 0/0 var/lib/",
        "drwxr-x--- 65532/65532 var/lib/edgewatch/",
    ];
    assert_eq!(found, expected);

    // The image is what its index says, down to the sums.
    let oci = folder.path().join("oci");
    std::fs::create_dir(&oci).expect("a folder");
    let archive = made.join("edgewatch.oci.tar");
    run(Command::new("tar")
        .arg("--extract")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(&oci));
    let blob = |described: &Value| -> PathBuf {
        let digest = described["digest"].as_str().expect("a digest");
        let sum = digest.strip_prefix("sha256:").expect("a sum");
        let path = oci.join("blobs/sha256").join(sum);
        let bytes = std::fs::read(&path).expect("a blob");
        assert_eq!(described["size"], bytes.len());
        assert!(run(Command::new("sha256sum").arg(&path)).starts_with(sum));
        path
    };
    let read = |path: &Path| -> Value {
        let text = std::fs::read_to_string(path).expect("a document");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    };
    let manifest = read(&blob(&read(&oci.join("index.json"))["manifests"][0]));
    let layer = blob(&manifest["layers"][0]);
    let rootfs = std::fs::read(made.join("rootfs.tar")).expect("a layer");
    let mut unpacked = Vec::new();
    let packed = std::fs::File::open(layer).expect("a layer");
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut unpacked)
        .expect("gzip");
    assert!(unpacked == rootfs, "the layer is not rootfs.tar");
    let config = read(&blob(&manifest["config"]));
    let said = &config["config"];
    assert_eq!(said["User"], "65532:65532");
    assert_eq!(said["WorkingDir"], "/var/lib/edgewatch");
    let entry = serde_json::json!([
        "/usr/bin/edgewatch",
        "--config",
        "/etc/edgewatch/probes.yaml"
    ]);
    assert_eq!(said["Entrypoint"], entry);
    assert_eq!(said["Cmd"], serde_json::json!(["run"]));

    // The same bytes once more.
    let bytes = |made: &Path| std::fs::read(made.join("edgewatch.oci.tar")).expect("an image");
    assert!(bytes(&make("two")) == bytes(&made), "not reproducible");
}

#[test]
fn what_the_package_is_made_of_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("Cargo.toml");
    let (_, assets) = manifest.split_once("\nassets = [\n").expect("assets");
    let (assets, _) = assets.split_once("\n]\n").expect("their end");
    let mut here = 0;
    for line in assets.lines() {
        let line: Value = serde_json::from_str(line.trim().trim_end_matches(',')).expect("a list");
        let (source, to) = (line[0].as_str().expect("a path"), line[1].as_str());
        if source.starts_with("target/") {
            continue;
        }
        let (folder, name) = source.rsplit_once('/').unwrap_or(("", source));
        let before = name.split('*').next().unwrap_or_default();
        let after = name.rsplit('*').next().unwrap_or_default();
        let entries = std::fs::read_dir(root.join(folder)).expect("a folder");
        let mut names = entries.map(|entry| entry.expect("an entry").file_name());
        let found = names.any(|name| {
            let name = name.to_string_lossy();
            name.starts_with(before) && name.ends_with(after)
        });
        assert!(found, "{source} for {to:?} is not there");
        here += 1;
    }
    assert!(here > 8, "only {here} assets");
    let version = format!("edgewatch ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(text("deb/changelog").starts_with(&version));
    // The file that is installed is right, and starts nothing that it should not.
    let checked = config::read(&text("deb/probes.yaml"), "probes.yaml", &Nothing);
    let checked = checked.unwrap_or_else(|findings| panic!("{}", findings.errors()));
    let hosts = checked.plan.probes.iter().map(|probe| probe.url.host_str());
    let hosts: Vec<&str> = hosts.flatten().collect();
    assert_eq!(hosts, ["api.partner.example", "www.gov.uk"]);
    // deploy/release changes these lines of the unit.
    let unit = text("edgewatch.service");
    assert!(unit.contains("\nDynamicUser=yes\n"));
    assert_eq!(unit.matches("/usr/local/bin/edgewatch ").count(), 2);
    assert!(text("release").contains("s,^DynamicUser=yes,User=edgewatch\\nGroup=edgewatch,"));
}
