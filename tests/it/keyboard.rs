//! Help at the keyboard: a first file, what a key is for, completions, manual pages.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::world::program;

fn said(output: &Output) -> (i32, String, String) {
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout.clone()).unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    said(&program(arguments).output().unwrap())
}

#[test]
fn a_first_file_is_right_and_none_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let within = |arguments: &[&str]| -> Command {
        let mut command = program(arguments);
        command.current_dir(folder.path());
        command
    };
    let partner = [
        "init",
        "--partner",
        "https://api.acme.example/v1/health?x=1",
    ];
    let more = [
        "--user-agent",
        "Java/21.0.2 \"x\"",
        "--user-agent",
        "okhttp/4",
        "--from",
        "127.0.0.2",
    ];
    let all: Vec<&str> = partner.into_iter().chain(more).collect();
    let (code, out, err) = said(&within(&all).output().unwrap());
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("probes.yaml is written.\n"), "{out}");
    let first = std::fs::read_to_string(folder.path().join("probes.yaml")).unwrap();
    for line in [
        "service: \"acme.example\"",
        "  way-1: \"127.0.0.2\"",
        "  ours-1: \"Java/21.0.2 \\\"x\\\"\"",
        "  acme:\n    url: \"https://api.acme.example/v1/health?x=1\"",
    ] {
        assert!(first.contains(line), "{line} in\n{first}");
    }
    let (code, out, _) = said(&within(&["check"]).output().unwrap());
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("probes.yaml is right: 1 probe, 1 control, 1 egress, 3 clients, 4 cells"),
        "{out}"
    );

    let (code, _, err) = said(&within(&partner).output().unwrap());
    assert_eq!(code, 2);
    assert!(
        err.contains("probes.yaml is there already, and is left as it is"),
        "{err}"
    );
    assert_eq!(
        std::fs::read_to_string(folder.path().join("probes.yaml")).unwrap(),
        first
    );

    // Answers may come from a script.
    let ask = |answers: &str| {
        let mut child = within(&["init", "--config", "asked.yaml"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Who refuses the first answer reads no further ones.
        let _ = child.stdin.take().unwrap().write_all(answers.as_bytes());
        said(&child.wait_with_output().unwrap())
    };
    let (code, _, err) = ask("https://1.2.3.4:99999/\n\n\n");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("is no URL; write it like"), "{err}");
    let (code, _, err) = ask("");
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains("name the partner: edgewatch init --partner URL"),
        "{err}"
    );
    let (code, _, err) = ask("http://10.1.2.3/\n\n10.0.0.300\n");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("\"10.0.0.300\" is no IP address"), "{err}");
    assert!(!folder.path().join("asked.yaml").exists());
    let (code, out, err) = ask("api.acme.example/x\nJava/21\n127.0.0.2, 127.0.0.3\n");
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("edgewatch --config asked.yaml once"), "{out}");
    let (code, out, _) = said(&within(&["check", "asked.yaml"]).output().unwrap());
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("2 egresses, 2 clients"), "{out}");
}

#[test]
fn a_key_is_explained_with_an_example() {
    let (code, out, _) = run(&["explain", "every"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("probes.<name>.every\n  Each cell runs once in this time, spread evenly.\n  It is a text like 500ms, 30s, 5m, 1h30m.\n  Example: every: 5m\n  The same at: "),
        "{out}"
    );
    assert!(
        out.contains("heartbeat.every\n  Time between two; 1m when left out."),
        "{out}"
    );
    let (code, out, _) = run(&["explain", "probes.gmc-connect.severity"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("It is one of: info, warning, critical.\n  Example: severity: critical\n"),
        "{out}"
    );
    assert!(!out.contains("notify.routes"), "the path is exact: {out}");
    let (_, out, _) = run(&["explain", "routes.after"]);
    assert!(
        out.starts_with("notify.routes[].after\n") && out.contains("Example: after: 10m\n"),
        "{out}"
    );
    let (_, out, _) = run(&["explain", "heartbeat"]);
    assert!(
        out.contains("Example: heartbeat: { url: { env: HEARTBEAT_URL }, every: 1m }\n"),
        "{out}"
    );
    let (code, _, err) = run(&["explain", "probes.evry"]);
    assert_eq!(
        (code, err.as_str()),
        (
            1,
            "edgewatch: there is no key \"probes.evry\"; did you mean \"every\"?\n"
        )
    );
    // The least number that may be written is no example of one that is.
    let (_, out, _) = run(&["explain", "email.port"]);
    assert!(!out.contains("port: 1\n"), "{out}");
    let (code, out, _) = run(&["explain"]);
    assert_eq!(code, 0);
    assert_eq!(run(&["explain", ""]).1, out, "no key is all keys");
    let schema = edgewatch::config::schema();
    let keys = schema["properties"].as_object().unwrap();
    let told: Vec<&str> = out
        .lines()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(told, keys.keys().collect::<Vec<&String>>());
    // All that stands at the top has an example that is in use.
    let without: Vec<&String> = keys
        .keys()
        .filter(|key| {
            let of = &schema["properties"][key.as_str()];
            let large = ["probes", "partners", "defaults", "notify"];
            let (_, out, _) = run(&["explain", key]);
            assert!(
                out.contains(
                    of["description"]
                        .as_str()
                        .unwrap()
                        .split('\n')
                        .next()
                        .unwrap()
                ),
                "{out}"
            );
            !large.contains(&key.as_str()) && !out.contains(&format!("  Example: {key}: "))
        })
        .collect();
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn shells_and_man_know_every_command() {
    let help = run(&["--help"]).1;
    let commands: Vec<&str> = help
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert!(
        commands.len() > 20 && commands.contains(&"explain"),
        "{commands:?}"
    );
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&["completions", shell]);
        assert_eq!(code, 0);
        for command in &commands {
            assert!(out.contains(command), "{shell} knows no {command}");
        }
    }
    let (_, script, _) = run(&["completions", "bash"]);
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    bash.stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    assert!(bash.wait().unwrap().success());

    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = run(&["man", "--to", folder.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    for command in commands.iter().filter(|command| **command != "help") {
        let page = folder.path().join(format!("edgewatch-{command}.1"));
        let text = std::fs::read_to_string(&page).unwrap_or_else(|e| panic!("{command}: {e}"));
        assert!(text.contains(".SH NAME"), "{command}: {text}");
    }
    let (code, out, _) = run(&["man"]);
    assert_eq!(code, 0);
    assert!(out.contains(".TH edgewatch 1"), "{out}");
    let (code, _, err) = run(&["man", "--to", "/nowhere/at/all"]);
    assert_eq!(code, 2);
    assert!(err.contains("can't write to /nowhere/at/all"), "{err}");
}

#[test]
fn the_example_of_a_key_is_of_the_right_place() {
    let examples: Value = serde_yaml::from_str(
        &std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/deploy/examples/fifty-partners.yaml"
        ))
        .unwrap(),
    )
    .unwrap();
    let (_, out, _) = run(&["explain", "partners.acme.host"]);
    let host = examples["partners"]["acme"]["host"].as_str().unwrap();
    assert!(out.contains(&format!("Example: host: {host}\n")), "{out}");
}
