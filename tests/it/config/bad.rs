//! Files that are refused (`bad.txt`) or doubted (`doubtful.txt`), each with everything that is said.
//!
//! A case is `=== name`, the text, `--- says`, and the findings to the letter.
//! A text that does not begin with `version:` is given the two or three lines that every file needs
//! before it, and a sound `probes` behind it unless it has its own; so its first line is line 4, or 3
//! when it brings its own `clients`. Wherever a secret stands or leads to, it holds "hunter", which
//! no message may show.

use std::collections::HashMap;

use super::{Given, read};

fn given() -> Given {
    Given {
        env: HashMap::from([
            ("TOKEN", "hunter22"),
            ("BROKEN", "hunter22\nhunter23"),
            ("BOT", "xoxb-hunter22"),
            ("APP", "xapp-hunter22"),
            (
                "CONNECTOR",
                "https://x.webhook.office.com/webhookb2/hunter22",
            ),
            ("WORKFLOW", "https://x.api.powerplatform.com/hunter22"),
            (
                "OLD_WORKFLOW",
                "https://x.westeurope.logic.azure.com/hunter22",
            ),
            ("RELAY", "https://relay.example/hunter22"),
            ("PING", "http://kuma.internal/api/push/hunter22"),
            ("NO_URL", "hunter22"),
            ("AMPERSAND", "hunter&22"),
            ("IN_THE_CLEAR", "http://hooks.example/hunter22"),
            ("KEY", "whsec_hunter22hunter22hunter22hunter22"),
            ("SHORT_KEY", "whsec_hunter22"),
            ("ROUTING_KEY", "hunter22hunter22hunter22hunter22"),
        ]),
        files: HashMap::from([
            ("long.txt", "x".repeat(5_000)),
            ("bad.xml", "<a>{{ password }}</a>".to_owned()),
            ("key.pem", "-----BEGIN PRIVATE KEY-----\n".to_owned()),
        ]),
    }
}

/// Name, text and findings of each case.
fn cases(table: &str) -> Vec<(&str, &str, &str)> {
    let cases: Vec<_> = table
        .trim_start_matches("=== ")
        .split("\n=== ")
        .map(|case| {
            let (name, rest) = case.split_once('\n').unwrap();
            let (text, says) = rest.split_once("--- says\n").unwrap();
            (name, text, says.trim_end_matches('\n'))
        })
        .collect();
    assert!(cases.len() > 10);
    cases
}

fn whole(text: &str) -> String {
    if text.starts_with("version") || text.starts_with('#') {
        return text.to_owned();
    }
    let mut whole = String::from("version: 1\nservice: GMC\n");
    if !text.contains("clients:") {
        whole.push_str("clients: { c: x/1 }\n");
    }
    whole.push_str(text);
    if !text.contains("probes:\n") {
        whole.push_str("probes:\n  p: { url: https://a.example/, every: 5m }\n");
    }
    whole
}

#[test]
fn each_bad_file_is_told_all_that_is_wrong_with_it() {
    let mut wrong = Vec::new();
    for (name, text, expected) in cases(include_str!("bad.txt")) {
        let findings = read(&whole(text), &given()).unwrap_err();
        let shown = findings.to_string();
        let json = serde_json::to_string(&findings).unwrap();
        assert!(
            !shown.contains("hunter") && !json.contains("hunter"),
            "{name}:\n{shown}"
        );
        if shown != expected {
            wrong.push(format!("{name}:\n{shown}\nand not:\n{expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_may_not_be_meant_is_a_warning() {
    let mut wrong = Vec::new();
    for (name, text, expected) in cases(include_str!("doubtful.txt")) {
        let checked = read(&whole(text), &given()).unwrap_or_else(|e| panic!("{name}:\n{e}"));
        let mut warnings = checked.warnings;
        // The short files of this table have neither; the cases that are about that say so.
        if !name.contains("no public") {
            let without =
                |f: &edgewatch::config::Finding| f.message.starts_with("no \"public\" says");
            warnings.findings.retain(|f| !without(f));
        }
        if !name.contains("control") {
            let usual = ["no client is a control", "there are no controls"];
            warnings
                .findings
                .retain(|f| !usual.contains(&f.message.as_str()));
        }
        let shown = warnings.to_string();
        assert!(!shown.contains("hunter"), "{name}:\n{shown}");
        assert!(!format!("{:?}", checked.plan).contains("hunter"), "{name}");
        if shown != expected {
            wrong.push(format!("{name}:\n{shown}\nand not:\n{expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let text = "#".repeat(1024 * 1024 + 1);
    let findings = read(&text, &Given::default()).unwrap_err();
    let shown = findings.to_string();
    assert_eq!(
        shown,
        "probes.yaml: holds more than 1 MiB; no file of probes needs that; is it the right one?"
    );
}

#[test]
fn aliases_of_aliases_are_refused() {
    let mut text = String::from("x-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("x-{level}: &a{level} [{items}]\n"));
    }
    let findings = read(&text, &Given::default()).unwrap_err();
    assert!(
        findings.to_string().contains("more than 500000 values"),
        "{findings}"
    );
}

#[test]
fn deep_nesting_is_refused() {
    let findings = read(&"[".repeat(100_000), &Given::default()).unwrap_err();
    assert!(
        findings.to_string().contains("nested more than 32 deep"),
        "{findings}"
    );
}

#[test]
fn a_matrix_without_measure_is_refused() {
    let mut text = String::from("version: 1\nservice: x\nclients:\n");
    for n in 0..500 {
        text.push_str(&format!("  c{n}: x\n"));
    }
    text.push_str("egresses:\n");
    for n in 0..500 {
        text.push_str(&format!("  e{n}: 10.0.{}.{}\n", n / 250, n % 250 + 1));
    }
    text.push_str("probes:\n  p: { url: https://a.example/, every: 7d }\n");
    let findings = read(&text, &Given::default()).unwrap_err();
    assert!(
        findings.to_string().contains(
            "probes.p.every: with this probe the file asks for 250000 cells; \
             at most 200000; name fewer under \"from\", \"as\" or \"with\""
        ),
        "{findings}"
    );
}

#[test]
fn of_a_thousand_errors_a_hundred_are_shown() {
    let mut text = String::from("version: 1\nservice: x\nclients: { c: x }\nprobes:\n");
    for n in 0..1000 {
        text.push_str(&format!(
            "  p{n}: {{ url: https://a{n}.example/, every: 5m, from: nowhere{n} }}\n"
        ));
    }
    let findings = read(&text, &Given::default()).unwrap_err();
    assert_eq!((findings.findings.len(), findings.omitted), (100, 900));
    assert!(findings.to_string().ends_with("\nand 900 more"));
}

#[test]
fn findings_can_be_read_by_programs() {
    let text = whole("probes:\n  p: { url: https://a.example/, every: 30 }\n");
    let findings = read(&text, &Given::default()).unwrap_err();
    assert_eq!(
        serde_json::to_value(&findings).unwrap(),
        serde_json::json!({
            "findings": [{
                "severity": "error",
                "file": "probes.yaml",
                "line": 5,
                "column": 40,
                "path": "probes.p.every",
                "message": "\"30\" has no unit",
                "hint": "write \"30s\" or \"5m\"",
                "source_line": "  p: { url: https://a.example/, every: 30 }",
                "caret": 40
            }],
            "omitted": 0
        })
    );
}

/// What the cron and `XPath` readers say is theirs; here it must arrive with its place.
#[test]
fn errors_of_other_readers_are_told_with_their_place() {
    let text = whole("probes:\n  p: { url: https://a.example/, cron: \"every day\" }\n");
    let findings = read(&text, &Given::default()).unwrap_err();
    let shown = findings.to_string();
    assert!(
        shown.starts_with("probes.yaml:5:39: probes.p.cron: \"every day\" is no cron expression; "),
        "{shown}"
    );
    assert_eq!(shown.lines().count(), 3);
}

/// Nothing that stands in the file may make the reader panic; every prefix of a file is a file.
#[test]
fn no_prefix_of_a_file_makes_the_reader_panic() {
    let text = super::repository("probes.yaml");
    for (end, _) in text.char_indices().step_by(97) {
        let _ = read(&text[..end], &Given::default());
    }
}
