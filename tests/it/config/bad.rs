//! Files that are refused, each with everything that is said about it.
//!
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
            ("AMPERSAND", "hunter&22"),
        ]),
        files: HashMap::from([
            ("bad.xml", "<a>{{ password }}</a>".to_owned()),
            ("key.pem", "-----BEGIN PRIVATE KEY-----\n".to_owned()),
        ]),
    }
}

fn whole(text: &str) -> String {
    if text.is_empty() || text.starts_with("version") {
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
    for (name, text, expected) in BAD {
        let findings = read(&whole(text), &given()).unwrap_err();
        let shown = findings.to_string();
        let json = serde_json::to_string(&findings).unwrap();
        assert!(
            !shown.contains("hunter") && !json.contains("hunter"),
            "{name}:\n{shown}"
        );
        if shown != *expected {
            wrong.push(format!("{name}:\n{shown}\nand not:\n{expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_may_not_be_meant_is_a_warning() {
    let mut wrong = Vec::new();
    for (name, text, expected) in DOUBTFUL {
        let checked = read(&whole(text), &given()).unwrap_or_else(|e| panic!("{name}:\n{e}"));
        let shown = checked.warnings.to_string();
        assert!(!shown.contains("hunter"), "{name}:\n{shown}");
        assert!(!format!("{:?}", checked.plan).contains("hunter"), "{name}");
        if shown != *expected {
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
        "probes.yaml: holds 1048577 bytes, more than 1 MiB; split it, or write less"
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
            "  p{n}: {{ url: https://a.example/, every: 5m, from: nowhere{n} }}\n"
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

/// Name, text, all that is said.
#[rustfmt::skip]
const BAD: &[(&str, &str, &str)] = &[
    ("an empty file", "# nothing
", ""),
    ("a text", "version 1
", r#"probes.yaml:1:1: must be a mapping ("key: value"), not "version 1"
 1 | version 1
   | ^"#),
    ("a tab", "version: 1
service: GMC
clients:
	c: x
", "probes.yaml:4:2: not YAML: a tab can't indent; use spaces
 4 | 	c: x
   | 	^"),
    ("an open quote", r#"version: 1
service: "GMC
clients: { c: x }
"#, r#"probes.yaml:2:10: not YAML: this quote is never closed; add the closing quote
 2 | service: "GMC
   |          ^"#),
    ("an open bracket", "version: 1
service: GMC
clients: { c: x
", r#"probes.yaml:3:10: not YAML: this "{" is never closed; add the closing bracket
 3 | clients: { c: x
   |          ^"#),
    ("a wrong bracket", "version: 1
clients: { c: [x } }
", r#"probes.yaml:2:15: not YAML: "[" is closed by "}"
 2 | clients: { c: [x } }
   |               ^"#),
    ("a colon too many", "version: 1
service: GMC: the partner
", r#"probes.yaml:2:13: not YAML: a ":" can't stand here; quote the text if the colon belongs to it, or mend the indentation
 2 | service: GMC: the partner
   |             ^"#),
    ("a colon without a space", "version: 1
service:GMC
clients: { c: x }
", r#"probes.yaml:2:1: not YAML: a ":" is missing after this key; write "key: value", with a space after the colon
 2 | service:GMC
   | ^"#),
    ("a key out of line", "version: 1
service: GMC
 clients: { c: x }
", r#"probes.yaml:3:9: not YAML: a ":" can't stand here; quote the text if the colon belongs to it, or mend the indentation
 3 |  clients: { c: x }
   |         ^"#),
    ("a text that begins with a sign", "version: 1
service: @gmc
", r#"probes.yaml:2:10: not YAML: "@" can't begin an unquoted text; quote it
 2 | service: @gmc
   |          ^"#),
    ("an alias without its anchor", "version: 1
service: *gmc
", r#"probes.yaml:2:10: not YAML: no anchor of this name stands before here; quote the text if it begins with "*"
 2 | service: *gmc
   |          ^"#),
    ("a tag", "version: 1
service: !secret gmc
", r#"probes.yaml:2:10: the tag "!secret" is not read; remove it
 2 | service: !secret gmc
   |          ^"#),
    ("two documents", "version: 1
service: GMC
---
version: 1
", r#"probes.yaml:3:1: a second document begins here; one file is one document; remove the "---"
 3 | ---
   | ^"#),
    ("an alias to itself", "version: 1
service: &a [*a]
", "probes.yaml:2:14: this alias stands inside what it stands for
 2 | service: &a [*a]
   |              ^"),
    ("everything is missing", "version: 1
", r#"probes.yaml:1:1: "service" is missing
 1 | version: 1
   | ^
probes.yaml:1:1: "clients" is missing
 1 | version: 1
   | ^
probes.yaml:1:1: "probes" is missing
 1 | version: 1
   | ^"#),
    ("a misspelt key", "probes:
  p: { url: https://a.example/, evry: 5m, every: 5m }
", r#"probes.yaml:5:33: probes.p.evry: unknown key "evry"; did you mean "every"?
 5 |   p: { url: https://a.example/, evry: 5m, every: 5m }
   |                                 ^"#),
    ("a misspelt section", "egress: { a: 10.0.0.1 }
", r#"probes.yaml:4:1: egress: unknown key "egress"; did you mean "egresses"?
 4 | egress: { a: 10.0.0.1 }
   | ^"#),
    ("a key that resembles none", "maintenance: []
", r#"probes.yaml:4:1: maintenance: unknown key "maintenance"; known here: version, service, timezone, egresses, clients, credentials, probes, controls, politeness, incidents, signatures, forbid, notify, store, trust, name_servers, runs_in_flight
 4 | maintenance: []
   | ^"#),
    ("a key twice", "probes:
  p:
    url: https://a.example/
    every: 5m
    every: 6m
", r#"probes.yaml:8:5: probes.p.every: the key "every" stands here twice; the first is on line 7
 8 |     every: 6m
   |     ^"#),
    ("a name twice", "egresses:
  a: 10.0.0.1
  b: 10.0.0.2
  a: 10.0.0.3
", r#"probes.yaml:7:3: egresses.a: the key "a" stands here twice; the first is on line 5
 7 |   a: 10.0.0.3
   |   ^"#),
    ("a key without a value", "probes:
  p:
    url: https://a.example/
    every: 5m
    expect:
    timeout: 1s
", "probes.yaml:8:11: probes.p.expect: has no value; write one, or remove the key
 8 |     expect:
   |           ^"),
    ("a list in place of a mapping", "clients: [a, b]
", r#"probes.yaml:3:10: clients: must be a mapping ("key: value"), not a list
 3 | clients: [a, b]
   |          ^"#),
    ("a mapping in place of a list", "signatures: { name: x }
", r#"probes.yaml:4:13: signatures: must be a list ("- …" or "[…]"), not a mapping
 4 | signatures: { name: x }
   |             ^"#),
    ("a mapping in place of a text", "timezone: { name: UTC }
", "probes.yaml:4:11: timezone: must be a text, not a mapping
 4 | timezone: { name: UTC }
   |           ^"),
    ("a number in place of a mapping", "probes:
  p: { url: https://a.example/, every: 5m, expect: 200 }
", r#"probes.yaml:5:52: probes.p.expect: must be a mapping ("key: value"), not "200"
 5 |   p: { url: https://a.example/, every: 5m, expect: 200 }
   |                                                    ^"#),
    ("a boolean as a name", "egresses:
  no: 10.0.0.1
", r#"probes.yaml:5:3: egresses.no: "no" without quotes is a boolean to other readers of YAML; write "no" in quotes
 5 |   no: 10.0.0.1
   |   ^"#),
    ("a boolean mentioned as a name", "probes:
  p: { url: https://a.example/, every: 5m, from: off }
", r#"probes.yaml:5:50: probes.p.from: "off" without quotes is a boolean to other readers of YAML; write "off" in quotes
 5 |   p: { url: https://a.example/, every: 5m, from: off }
   |                                                  ^"#),
    ("a number as a user agent", "clients: { c: 1.10 }
", r#"probes.yaml:3:15: clients.c: "1.10" without quotes is a number to other readers of YAML; write "1.10" in quotes
 3 | clients: { c: 1.10 }
   |               ^"#),
    ("an octal number", "runs_in_flight: 010
", r#"probes.yaml:4:17: runs_in_flight: "010" is no whole number; leading zeros mean octal to some readers; write it in decimal
 4 | runs_in_flight: 010
   |                 ^"#),
    ("a version in quotes", r#"version: "1"
service: GMC
clients: { c: x/1 }
probes:
  p: { url: https://a.example/, every: 5m }
"#, r#"probes.yaml:1:10: version: "1" in quotes is a text; write 1 without quotes
 1 | version: "1"
   |          ^"#),
    ("a version from the future", "version: 2
service: GMC
clients: { c: x/1 }
probes:
  p: { url: https://a.example/, every: 5m }
", "probes.yaml:1:10: version: 2 is out of bounds; only 1 is known
 1 | version: 2
   |          ^"),
    ("yes in place of true", "clients: { c: { user_agent: x, control: yes } }
", r#"probes.yaml:3:41: clients.c.control: must be true or false, not "yes"; write true, without quotes
 3 | clients: { c: { user_agent: x, control: yes } }
   |                                         ^"#),
    ("a header value that is a float", "probes:
  p: { url: https://a.example/, every: 5m, headers: { X-V: 1.10 } }
", r#"probes.yaml:5:60: probes.p.headers.X-V: "1.10" without quotes is a number to other readers of YAML; write "1.10" in quotes
 5 |   p: { url: https://a.example/, every: 5m, headers: { X-V: 1.10 } }
   |                                                            ^"#),
    ("a name with a space", r#"egresses:
  "my egress": 10.0.0.1
"#, r#"probes.yaml:5:3: egresses.my egress: "my egress" can't be a name; use letters, digits, ".", "_" and "-", at most 64, a letter or digit first
 5 |   "my egress": 10.0.0.1
   |   ^"#),
    ("a number without a unit", "probes:
  p: { url: https://a.example/, every: 30 }
", r#"probes.yaml:5:40: probes.p.every: "30" has no unit; write "30s" or "5m"
 5 |   p: { url: https://a.example/, every: 30 }
   |                                        ^"#),
    ("a unit that is not one", "probes:
  p: { url: https://a.example/, every: 5min }
", r#"probes.yaml:5:40: probes.p.every: "5min" is no duration; minutes are written "m"
 5 |   p: { url: https://a.example/, every: 5min }
   |                                        ^"#),
    ("a fraction", "probes:
  p: { url: https://a.example/, every: 1.5h }
", r#"probes.yaml:5:40: probes.p.every: "1.5h" is no duration; write it like "500ms", "30s", "5m" or "1h30m"
 5 |   p: { url: https://a.example/, every: 1.5h }
   |                                        ^"#),
    ("too short", "probes:
  p: { url: https://a.example/, every: 500ms }
", r#"probes.yaml:5:40: probes.p.every: "500ms" is too short; at least 1s
 5 |   p: { url: https://a.example/, every: 500ms }
   |                                        ^"#),
    ("too long", "probes:
  p: { url: https://a.example/, every: 5m, timeout: 6m }
", r#"probes.yaml:5:53: probes.p.timeout: "6m" is too long; at most 5m
 5 |   p: { url: https://a.example/, every: 5m, timeout: 6m }
   |                                                     ^"#),
    ("a size without a unit", "probes:
  p: { url: https://a.example/, every: 5m, body_limit: 4096 }
", r#"probes.yaml:5:56: probes.p.body_limit: "4096" has no unit; write it like "256KiB", "16MiB" or "2GiB"
 5 |   p: { url: https://a.example/, every: 5m, body_limit: 4096 }
   |                                                        ^"#),
    ("a size in bounds that are not", "probes:
  p: { url: https://a.example/, every: 5m, body_limit: 1GiB }
", r#"probes.yaml:5:56: probes.p.body_limit: "1GiB" is out of bounds; between 1KiB and 16MiB
 5 |   p: { url: https://a.example/, every: 5m, body_limit: 1GiB }
   |                                                        ^"#),
    ("a count out of bounds", "politeness: { per_host: { requests_per_minute: 0 } }
", "probes.yaml:4:48: politeness.per_host.requests_per_minute: 0 is out of bounds; between 1 and 6000
 4 | politeness: { per_host: { requests_per_minute: 0 } }
   |                                                ^"),
    ("reminders out of order", "incidents: { remind: [4h, 1h] }
", "probes.yaml:4:27: incidents.remind[1]: reminders come in rising order; each is the time since the opening
 4 | incidents: { remind: [4h, 1h] }
   |                           ^"),
    ("an address that is none", "egresses: { a: 10.0.0.256 }
", r#"probes.yaml:4:16: egresses.a: "10.0.0.256" is no IP address; like "10.20.1.15" or "2001:db8::1"
 4 | egresses: { a: 10.0.0.256 }
   |                ^"#),
    ("a network", "egresses: { a: 10.0.0.0/24 }
", r#"probes.yaml:4:16: egresses.a: "10.0.0.0/24" is no IP address; one address, not a network
 4 | egresses: { a: 10.0.0.0/24 }
   |                ^"#),
    ("a proxy as a short form", r#"egresses: { a: "http://bob:hunter22@proxy:3128" }
"#, r#"probes.yaml:4:16: egresses.a: a URL is no IP address; a proxy is written "{ proxy: … }"
 4 | egresses: { a: [secret] }
   |                ^"#),
    ("two ways at once", "egresses:
  a: { address: 10.0.0.1, interface: ens6 }
", r#"probes.yaml:5:6: egresses.a: goes out in more than one way; keep one of "address", "interface" and "proxy"
 5 |   a: { address: 10.0.0.1, interface: ens6 }
   |      ^"#),
    ("a password in the URL of a proxy", r#"egresses: { a: { proxy: "http://bob:hunter22@proxy.example:3128" } }
"#, r#"probes.yaml:4:25: egresses.a.proxy: a user name and password can't stand in the URL of a proxy; write them beside it: "username: …", "password: { env: NAME }"
 4 | egresses: { a: { proxy: [secret] } }
   |                         ^"#),
    ("a proxy without a port", r#"egresses: { a: { proxy: "socks5://proxy.example" } }
"#, r#"probes.yaml:4:25: egresses.a.proxy: "socks5://proxy.example" has no port; write "http://host:port", "socks5://host:port" or "socks5h://host:port"
 4 | egresses: { a: { proxy: "socks5://proxy.example" } }
   |                         ^"#),
    ("a proxy of no known kind", r#"egresses: { a: { proxy: "https://proxy.example:443" } }
"#, r#"probes.yaml:4:25: egresses.a.proxy: "https" is no kind of proxy; write "http://host:port", "socks5://host:port" or "socks5h://host:port"
 4 | egresses: { a: { proxy: "https://proxy.example:443" } }
   |                         ^"#),
    ("a password that is not there", r#"egresses:
  a: { proxy: "http://proxy.example:3128", username: bob, password: { env: PROXY } }
"#, r#"probes.yaml:5:69: egresses.a.password: PROXY is not set; without it the proxy would refuse every run
 5 |   a: { proxy: "http://proxy.example:3128", username: bob, password: { env: PROXY } }
   |                                                                     ^"#),
    ("a password without a proxy", "egresses:
  a: { address: 10.0.0.1, password: { env: PROXY } }
", r#"probes.yaml:5:37: egresses.a.password: belongs to a proxy, and there is none here; add "proxy"
 5 |   a: { address: 10.0.0.1, password: { env: PROXY } }
   |                                     ^"#),
    ("the other IP version", "egresses: { a: { address: 10.0.0.1, family: v6 } }
", r#"probes.yaml:4:45: egresses.a.family: 10.0.0.1 is an address of the other IP version; remove "family", which the address decides
 4 | egresses: { a: { address: 10.0.0.1, family: v6 } }
   |                                             ^"#),
    ("an interface that can be none", "egresses: { a: { interface: averyverylonginterface } }
", r#"probes.yaml:4:29: egresses.a.interface: "averyverylonginterface" can't be the name of an interface; "ip link" lists them
 4 | egresses: { a: { interface: averyverylonginterface } }
   |                             ^"#),
    ("a client without a user agent", r#"clients:
  c: { http: "2" }
"#, r#"probes.yaml:4:6: clients.c: "user_agent" is missing
 4 |   c: { http: "2" }
   |      ^"#),
    ("no such HTTP version", "clients: { c: { user_agent: x, http: 2.0 } }
", r#"probes.yaml:3:38: clients.c.http: "2.0" is not an HTTP version to offer; one of: 1.1, 2, either
 3 | clients: { c: { user_agent: x, http: 2.0 } }
   |                                      ^"#),
    ("TLS the wrong way round", "clients: { c: { user_agent: x, tls: { min: 1.3, max: 1.2 } } }
", r#"probes.yaml:3:37: clients.c.tls: "min" is 1.3, above "max", which is 1.2; swap them
 3 | clients: { c: { user_agent: x, tls: { min: 1.3, max: 1.2 } } }
   |                                     ^"#),
    ("a user agent among the headers", "clients: { c: { user_agent: x, headers: { user-agent: yy } } }
", r#"probes.yaml:3:43: clients.c.headers.user-agent: "user-agent" can't be set here; the user agent belongs to a client: "clients.<name>.user_agent"
 3 | clients: { c: { user_agent: x, headers: { user-agent: yy } } }
   |                                           ^"#),
    ("a header twice", "clients: { c: { user_agent: x, headers: { Accept: a, accept: b } } }
", r#"probes.yaml:3:54: clients.c.headers.accept: the header "accept" stands here twice; upper and lower case make no difference
 3 | clients: { c: { user_agent: x, headers: { Accept: a, accept: b } } }
   |                                                      ^"#),
    ("a line break in a header", r#"clients: { c: { user_agent: "x\r\nEvil: 1" } }
"#, r#"probes.yaml:3:29: clients.c.user_agent: a line break can't stand in a header; use printable ASCII on one line
 3 | clients: { c: { user_agent: "x\r\nEvil: 1" } }
   |                             ^"#),
    ("a header name with a space", r#"clients: { c: { user_agent: x, headers: { "X A": b } } }
"#, r#"probes.yaml:3:43: clients.c.headers.X A: "X A" is no header name; use letters, digits and "-"
 3 | clients: { c: { user_agent: x, headers: { "X A": b } } }
   |                                           ^"#),
    ("a literal secret", "credentials: { gmc: { password: hunter22 } }
", "probes.yaml:4:33: credentials.gmc.password: a secret can't stand in this file; write { env: NAME } or { file: PATH }
 4 | credentials: { gmc: { password: [secret] } }
   |                                 ^"),
    ("a literal secret one level up", "credentials: { gmc: hunter22 }
", r#"probes.yaml:4:21: credentials.gmc: must be a mapping ("key: value"), not a text
 4 | credentials: { gmc: [secret] }
   |                     ^"#),
    ("a secret from nowhere", "credentials: { gmc: { password: { envv: GMC } } }
", r#"probes.yaml:4:35: credentials.gmc.password.envv: unknown key "envv"; did you mean "env"?
 4 | credentials: { gmc: { password: { envv: [secret] } } }
   |                                   ^"#),
    ("a secret as the name of a variable", r#"credentials: { gmc: { password: { env: "hunter-22" } } }
"#, r#"probes.yaml:4:40: credentials.gmc.password.env: this is no name of an environment variable; use letters, digits and "_"; the secret itself can't stand in this file
 4 | credentials: { gmc: { password: { env: [secret] } } }
   |                                        ^"#),
    ("the reserved credential", "credentials: { anonymous: { password: { env: P } } }
", r#"probes.yaml:4:16: credentials.anonymous: "anonymous" always exists and means no credential; choose another name
 4 | credentials: { anonymous: { password: { env: P } } }
   |                ^"#),
    ("an unknown field", r#"credentials: { k: { token: { env: TOKEN } } }
probes:
  p: { url: https://a.example/, every: 5m, with: k, headers: { A: "{{ credential.tokn }}" } }
"#, r#"probes.yaml:6:67: probes.p.headers.A: credential "k" has no field "tokn"; did you mean "token"?
 6 |   p: { url: https://a.example/, every: 5m, with: k, headers: { A: "{{ credential.tokn }}" } }
   |                                                                   ^"#),
    ("no placeholder", r#"probes:
  p: { url: https://a.example/, every: 5m, headers: { A: "{{ env.T }}" } }
"#, r#"probes.yaml:5:58: probes.p.headers.A: "{{ env.T }}" is no placeholder; write "{{ credential.<field> }}"
 5 |   p: { url: https://a.example/, every: 5m, headers: { A: "{{ env.T }}" } }
   |                                                          ^"#),
    ("an open placeholder", r#"probes:
  p: { url: https://a.example/, every: 5m, method: POST, body: "a {{ credential.x" }
"#, r#"probes.yaml:5:64: probes.p.body: a "{{" is never closed; write "{{ credential.<field> }}"
 5 |   p: { url: https://a.example/, every: 5m, method: POST, body: "a {{ credential.x" }
   |                                                                ^"#),
    ("a literal token in a header", r#"probes:
  p: { url: https://a.example/, every: 5m, headers: { Authorization: "Bearer hunter22" } }
"#, r#"probes.yaml:5:70: probes.p.headers.Authorization: a secret can't stand in this file; put it under "credentials" and write "{{ credential.<field> }}" in a probe's headers
 5 |   p: { url: https://a.example/, every: 5m, headers: { Authorization: [secret] } }
   |                                                                      ^"#),
    ("a secret that breaks a header", r#"credentials: { k: { t: { env: BROKEN } } }
probes:
  p: { url: https://a.example/, every: 5m, with: k, headers: { A: "{{ credential.t }}" } }
"#, r#"probes.yaml:6:67: probes.p.headers.A: field "t" of credential "k" holds a character that can't stand in a header
 6 |   p: { url: https://a.example/, every: 5m, with: k, headers: { A: "{{ credential.t }}" } }
   |                                                                   ^"#),
    ("no scheme", "probes:
  p: { url: www.gov.uk, every: 5m }
", r#"probes.yaml:5:13: probes.p.url: "www.gov.uk" is no URL; begin it with "https://"
 5 |   p: { url: www.gov.uk, every: 5m }
   |             ^"#),
    ("another scheme", r#"probes:
  p: { url: "ftp://a.example/", every: 5m }
"#, r#"probes.yaml:5:13: probes.p.url: "ftp" can't be probed; use http or https
 5 |   p: { url: "ftp://a.example/", every: 5m }
   |             ^"#),
    ("a password in a URL", r#"probes:
  p: { url: "https://bob:hunter22@a.example/", every: 5m }
"#, r#"probes.yaml:5:13: probes.p.url: a user name and password can't stand in a URL; put them under "credentials" and send a header: "Authorization: Basic {{ credential.basic }}"
 5 |   p: { url: [secret], every: 5m }
   |             ^"#),
    ("a fragment", r#"probes:
  p: { url: "https://a.example/#top", every: 5m }
"#, r##"probes.yaml:5:13: probes.p.url: what follows "#" is never sent; remove it, or write "%23" if it belongs to the path
 5 |   p: { url: "https://a.example/#top", every: 5m }
   |             ^"##),
    ("a placeholder in a URL", r#"probes:
  p: { url: "https://a.example/?k={{ credential.k }}", every: 5m }
"#, r#"probes.yaml:5:13: probes.p.url: placeholders are filled in headers and the body only; a secret in a URL would stand in every log on the way
 5 |   p: { url: "https://a.example/?k={{ credential.k }}", every: 5m }
   |             ^"#),
    ("a method in lower case", "probes:
  p: { url: https://a.example/, every: 5m, method: post }
", r#"probes.yaml:5:52: probes.p.method: "post" is not a method; did you mean "POST"?
 5 |   p: { url: https://a.example/, every: 5m, method: post }
   |                                                    ^"#),
    ("a body without a method", "probes:
  p: { url: https://a.example/, every: 5m, body: x }
", r#"probes.yaml:5:50: probes.p.body: a body needs a method; add "method: POST"
 5 |   p: { url: https://a.example/, every: 5m, body: x }
   |                                                  ^"#),
    ("a body file that is not there", "probes:
  p: { url: https://a.example/, every: 5m, method: POST, body: { file: soap/x.xml } }
", "probes.yaml:5:72: probes.p.body.file: can't read soap/x.xml: there is no such file; paths start at the directory of this file
 5 |   p: { url: https://a.example/, every: 5m, method: POST, body: { file: soap/x.xml } }
   |                                                                        ^"),
    ("a bad placeholder in a body file", "probes:
  p: { url: https://a.example/, every: 5m, method: POST, body: { file: bad.xml } }
", r#"probes.yaml:5:72: probes.p.body.file: in bad.xml: "{{ password }}" is no placeholder; write "{{ credential.<field> }}"
 5 |   p: { url: https://a.example/, every: 5m, method: POST, body: { file: bad.xml } }
   |                                                                        ^"#),
    ("no schedule", "probes:
  p:
    url: https://a.example/
", r#"probes.yaml:5:3: probes.p: has no schedule; add "every: 5m" or "cron: …"
 5 |   p:
   |   ^"#),
    ("two schedules", r#"probes:
  p: { url: https://a.example/, every: 5m, cron: "0 0 * * * *" }
"#, r#"probes.yaml:5:50: probes.p.cron: the schedule is given twice; keep one of "every" and "cron"
 5 |   p: { url: https://a.example/, every: 5m, cron: "0 0 * * * *" }
   |                                                  ^"#),
    ("names that do not exist", "egresses: { legacy-prod: 10.0.0.1 }
probes:
  p:
    url: https://a.example/
    every: 5m
    from: [legacy-prd]
    as: [d]
    with: [gmc]
", r#"probes.yaml:9:12: probes.p.from[0]: there is no egress "legacy-prd"; did you mean "legacy-prod"?
 9 |     from: [legacy-prd]
   |            ^
probes.yaml:10:10: probes.p.as[0]: there is no client "d"; known: c
 10 |     as: [d]
    |          ^
probes.yaml:11:12: probes.p.with[0]: there is no credential "gmc"; known: anonymous
 11 |     with: [gmc]
    |            ^"#),
    ("a name mentioned twice", "probes:
  p: { url: https://a.example/, every: 5m, as: [c, c] }
", r#"probes.yaml:5:52: probes.p.as[1]: "c" stands here twice
 5 |   p: { url: https://a.example/, every: 5m, as: [c, c] }
   |                                                    ^"#),
    ("an empty list of names", "probes:
  p: { url: https://a.example/, every: 5m, as: [] }
", "probes.yaml:5:48: probes.p.as: an empty list would mean that nothing runs; name a client, or remove the key
 5 |   p: { url: https://a.example/, every: 5m, as: [] }
   |                                                ^"),
    ("a status that is none", "probes:
  p: { url: https://a.example/, every: 5m, expect: { status: 2000 } }
", r#"probes.yaml:5:62: probes.p.expect.status: "2000" is no status; write 200, "2xx", "200-299", or a list of these
 5 |   p: { url: https://a.example/, every: 5m, expect: { status: 2000 } }
   |                                                              ^"#),
    ("a regular expression that is none", r#"probes:
  p: { url: https://a.example/, every: 5m, expect: { regex: "a(b" } }
"#, r#"probes.yaml:5:61: probes.p.expect.regex: "a(b" is no regular expression; unclosed group
 5 |   p: { url: https://a.example/, every: 5m, expect: { regex: "a(b" } }
   |                                                             ^"#),
    ("a JSONPath that is none", r#"probes:
  p: { url: https://a.example/, every: 5m, expect: { jsonpath: "a.b" } }
"#, r#"probes.yaml:5:64: probes.p.expect.jsonpath: "a.b" is no JSONPath; at position 0, parser error
 5 |   p: { url: https://a.example/, every: 5m, expect: { jsonpath: "a.b" } }
   |                                                                ^"#),
    ("a comparison with no value", r#"probes:
  p: { url: https://a.example/, every: 5m, expect: { jsonpath: "$.a == x" } }
"#, r#"probes.yaml:5:64: probes.p.expect.jsonpath: "x" is no JSON value; texts are written 'like this'
 5 |   p: { url: https://a.example/, every: 5m, expect: { jsonpath: "$.a == x" } }
   |                                                                ^"#),
    ("a certificate over http", r#"probes:
  p: { url: "http://a.example/", every: 5m, expect: { certificate_days: 21 } }
"#, r#"probes.yaml:5:73: probes.p.expect.certificate_days: there is no certificate over http; remove it, or use https
 5 |   p: { url: "http://a.example/", every: 5m, expect: { certificate_days: 21 } }
   |                                                                         ^"#),
    ("no such verdict", "probes:
  p: { url: https://a.example/, every: 5m, expect: { verdict: edge_blocked } }
", r#"probes.yaml:5:63: probes.p.expect.verdict: "edge_blocked" is not a verdict; did you mean "edge_block"?
 5 |   p: { url: https://a.example/, every: 5m, expect: { verdict: edge_blocked } }
   |                                                               ^"#),
    ("a meaning of everything", "probes:
  p:
    url: https://a.example/
    every: 5m
    meanings:
      - { when: {}, verdict: origin_denied }
", "probes.yaml:9:17: probes.p.meanings[0].when: names no condition, and so would hold of every answer; name one, or remove the key
 9 |       - { when: {}, verdict: origin_denied }
   |                 ^"),
    ("a meaning that no answer has", "probes:
  p:
    url: https://a.example/
    every: 5m
    meanings:
      - { when: { status: 500 }, verdict: timeout }
", r#"probes.yaml:9:43: probes.p.meanings[0].verdict: an answer can't mean "timeout", which says that there was none; name a verdict like "origin_denied" or "edge_block"
 9 |       - { when: { status: 500 }, verdict: timeout }
   |                                           ^"#),
    ("a forbidden body", r#"forbid: { body: ["<Try"] }
probes:
  p:
    url: https://a.example/
    method: POST
    every: 5m
    body: "<x><g:TryAddDoctor/></x>"
"#, r#"probes.yaml:6:3: probes.p: forbid does not allow this request: its body holds "<Try"; probe with an operation that changes nothing
 6 |   p:
   |   ^"#),
    ("a forbidden SOAPAction", r#"forbid: { body: ["<Try"] }
probes:
  p:
    url: https://a.example/
    method: POST
    every: 5m
    headers: { SOAPAction: "https://a.example/TryAddDoctor" }
    body: "<x/>"
"#, r#"probes.yaml:6:3: probes.p: forbid does not allow this request: its SOAPAction names an operation like "<Try"; probe with an operation that changes nothing
 6 |   p:
   |   ^"#),
    ("a method forbidden by the probe itself", "probes:
  p: { url: https://a.example/, method: DELETE, every: 5m, forbid: { method: [DELETE] } }
", "probes.yaml:5:6: probes.p: its own forbid does not allow this request: its method is on the list; probe with an operation that changes nothing
 5 |   p: { url: https://a.example/, method: DELETE, every: 5m, forbid: { method: [DELETE] } }
   |      ^"),
    ("a probe with a second name", "probes:
  p: { name: q, url: https://a.example/, every: 5m }
", "probes.yaml:5:14: probes.p.name: a probe is named by its key; remove this one
 5 |   p: { name: q, url: https://a.example/, every: 5m }
   |              ^"),
    ("a control named like a probe", "controls: { p: https://b.example/ }
", r#"probes.yaml:4:13: controls.p: there is a probe or control "p" already; name this one differently
 4 | controls: { p: https://b.example/ }
   |             ^"#),
    ("a misspelt schedule", "probes:
  p: { url: https://a.example/, evry: 5m }
", r#"probes.yaml:5:33: probes.p.evry: unknown key "evry"; did you mean "every"?
 5 |   p: { url: https://a.example/, evry: 5m }
   |                                 ^"#),
    ("a literal behind a misspelt key", "credentials: { gmc: { pw: hunter22, user: { env: U } } }
", r#"probes.yaml:4:27: credentials.gmc.pw: a secret can't stand in this file; write { env: NAME } or { file: PATH }
 4 | credentials: { gmc: { pw: [secret], user: { env: U } } }
   |                           ^
probes.yaml:4:43: warning: credentials.gmc.user: U is not set; cells with "gmc" do not run until it is there
 4 | credentials: { gmc: { pw: [secret], user: { env: U } } }
   |                                           ^"#),
    ("a misspelt token", r#"notify: { receivers: { r: { slack: { tokn: "hunter22, x", channel: C0123456789 } } } }
"#, r#"probes.yaml:4:38: notify.receivers.r.slack.tokn: unknown key "tokn"; did you mean "token"?
 4 | notify: { receivers: { r: { slack: { tokn: [secret], channel: C0123456789 } } } }
   |                                      ^"#),
    ("a literal on a broken line", "credentials:
  gmc: { password: hunter22, username: hunter22
", r#"probes.yaml:6:7: not YAML: a "," or "}" is missing before this; quote texts that hold ",", "[", "]", "{" or "}"
 6 | probes:
   |       ^"#),
    ("a literal that is a list", "credentials: { gmc: { password: [hunter22] } }
", "probes.yaml:4:33: credentials.gmc.password: must be a mapping, not a list; write { env: NAME } or { file: PATH }
 4 | credentials: { gmc: { password: [secret]] } }
   |                                 ^"),
    ("a literal where a mapping belongs", "credentials: hunter22
", r#"probes.yaml:4:14: credentials: must be a mapping ("key: value"), not a text
 4 | credentials: [secret]
   |              ^"#),
    ("a webhook where a mapping belongs", r#"notify: { receivers: { r: { teams: "https://relay.example/hunter22" } } }
"#, r#"probes.yaml:4:36: notify.receivers.r.teams: must be a mapping ("key: value"), not a text
 4 | notify: { receivers: { r: { teams: [secret] } } }
   |                                    ^"#),
    ("a webhook one level too high", r#"notify: { receivers: { r: "https://relay.example/hunter22" } }
"#, r#"probes.yaml:4:27: notify.receivers.r: must be a mapping ("key: value"), not a text
 4 | notify: { receivers: { r: [secret] } }
   |                           ^"#),
    ("a bad header that may be secret", r#"probes:
  p: { url: https://a.example/, every: 5m, headers: { Cookie: "a=hunter22\u0001" } }
"#, r#"probes.yaml:5:63: probes.p.headers.Cookie: "\u{1}" can't stand in a header; use printable ASCII on one line
 5 |   p: { url: https://a.example/, every: 5m, headers: { Cookie: [secret] } }
   |                                                               ^"#),
    ("a secret twice", "credentials: { gmc: { p: { env: TOKEN }, p: hunter22 } }
", r#"probes.yaml:4:42: credentials.gmc.p: the key "p" stands here twice; the first is on line 4
 4 | credentials: { gmc: { p: { env: TOKEN }, p: [secret] } }
   |                                          ^"#),
    ("no such time zone", "timezone: Europe/Londn
", r#"probes.yaml:4:11: timezone: "Europe/Londn" is no time zone; did you mean "Europe/London"?
 4 | timezone: Europe/Londn
   |           ^"#),
    ("a signature without a group", r#"signatures: [{ name: x, when: { status: 403 }, verdict: edge_block, reference_id: "id" }]
"#, r#"probes.yaml:4:83: signatures[0].reference_id: has no group; put "( )" around the reference id itself
 4 | signatures: [{ name: x, when: { status: 403 }, verdict: edge_block, reference_id: "id" }]
   |                                                                                   ^"#),
    ("a name server that is none", "name_servers: dns.example
", r#"probes.yaml:4:15: name_servers: "dns.example" is no address of a name server; write "192.0.2.53" or "192.0.2.53:5353"
 4 | name_servers: dns.example
   |               ^"#),
    ("roots that are not there", "trust: ca.pem
", "probes.yaml:4:8: trust: can't read ca.pem: there is no such file; paths start at the directory of this file
 4 | trust: ca.pem
   |        ^"),
    ("a private key among the roots", "trust: [key.pem]
", r#"probes.yaml:4:9: trust[0]: "key.pem" holds a private key; only certificates are needed here; remove the key from the file
 4 | trust: [key.pem]
   |         ^"#),
    ("a literal token", "notify: { receivers: { r: { slack: { token: xoxb-hunter22, channel: C0123456789 } } } }
", "probes.yaml:4:45: notify.receivers.r.slack.token: a secret can't stand in this file; write { env: NAME } or { file: PATH }
 4 | notify: { receivers: { r: { slack: { token: [secret], channel: C0123456789 } } } }
   |                                             ^"),
    ("a token in place of the channel", r#"notify: { receivers: { r: { slack: "hunter22" } } }
"#, r#"probes.yaml:4:36: notify.receivers.r.slack: must be a mapping ("key: value"), not a text
 4 | notify: { receivers: { r: { slack: [secret] } } }
   |                                    ^"#),
    ("a channel's name", r##"notify: { receivers: { r: { slack: { token: { env: BOT }, channel: "#alerts" } } } }
"##, r##"probes.yaml:4:68: notify.receivers.r.slack.channel: "#alerts" is no channel ID; names change, IDs stay: in Slack, the channel's name, About, Channel ID (C0123456789)
 4 | notify: { receivers: { r: { slack: { token: { env: BOT }, channel: "#alerts" } } } }
   |                                                                    ^"##),
    ("a mention that is none", r#"notify: { receivers: { r: { slack: { token: { env: BOT }, channel: C0123456789, mention: "@here" } } } }
"#, r#"probes.yaml:4:90: notify.receivers.r.slack.mention: "@here" is no mention; write "<!subteam^S0123>", "<@U0123>", "<!here>" or "<!channel>"
 4 | notify: { receivers: { r: { slack: { token: { env: BOT }, channel: C0123456789, mention: "@here" } } } }
   |                                                                                          ^"#),
    ("a relay in the clear", r#"notify: { receivers: { r: { slack: { token: { env: BOT }, channel: C0123456789, api: "http://relay.example/api" } } } }
"#, r#"probes.yaml:4:86: notify.receivers.r.slack.api: the token would be sent in the clear; use https
 4 | notify: { receivers: { r: { slack: { token: { env: BOT }, channel: C0123456789, api: "http://relay.example/api" } } } }
   |                                                                                      ^"#),
    ("an Office 365 connector", "notify: { receivers: { r: { teams: { webhook: { env: CONNECTOR } } } } }
", r#"probes.yaml:4:47: notify.receivers.r.teams.webhook: this is the URL of an Office 365 connector, which Microsoft has switched off; in Teams add the workflow "Post to a channel when a webhook request is received" and use its URL
 4 | notify: { receivers: { r: { teams: { webhook: { env: CONNECTOR } } } } }
   |                                               ^"#),
    ("a webhook that is no URL", "notify: { receivers: { r: { teams: { webhook: { env: TOKEN } } } } }
", "probes.yaml:4:47: notify.receivers.r.teams.webhook: what it holds is no URL; copy the URL that the workflow shows after saving
 4 | notify: { receivers: { r: { teams: { webhook: { env: TOKEN } } } } }
   |                                               ^"),
    ("no channel", "notify:
  receivers:
    r: {}
", r#"probes.yaml:6:8: notify.receivers.r: has no channel; add "slack", "teams" or "log"
 6 |     r: {}
   |        ^"#),
    ("two channels", "notify:
  receivers:
    r: { log: {}, teams: { webhook: { env: WORKFLOW } } }
", "probes.yaml:6:8: notify.receivers.r: has more than one channel; make it two receivers
 6 |     r: { log: {}, teams: { webhook: { env: WORKFLOW } } }
   |        ^"),
    ("a ring of fallbacks", "notify:
  receivers:
    a: { log: {}, fallback: b }
    b: { log: {}, fallback: a }
", "probes.yaml:6:5: notify.receivers.a: fallbacks go round in a ring: a, b, a; remove one of them
 6 |     a: { log: {}, fallback: b }
   |     ^"),
    ("routes that lead nowhere", "notify:
  receivers: { all: { log: {} } }
  routes:
    - { to: al, probes: [q], tags: [t] }
    - { to: all, min_confidence: 90% }
", r#"probes.yaml:7:13: notify.routes[0].to: there is no receiver "al"; did you mean "all"?
 7 |     - { to: al, probes: [q], tags: [t] }
   |             ^
probes.yaml:7:26: notify.routes[0].probes[0]: there is no probe "q"; known: p
 7 |     - { to: al, probes: [q], tags: [t] }
   |                          ^
probes.yaml:7:37: notify.routes[0].tags[0]: no probe has the tag "t"; there are none
 7 |     - { to: al, probes: [q], tags: [t] }
   |                                     ^
probes.yaml:8:34: notify.routes[1].min_confidence: must be a number between 0 and 1, not "90%"; 90 % is 0.9
 8 |     - { to: all, min_confidence: 90% }
   |                                  ^"#),
    ("several errors, all at once", "timezone: Europe/London
egresses:
  de1: { adress: 10.0.0.1 }
  de2: 10.0.0.300
probes:
  p:
    url: a.example
    every: 30
    from: [de1, de2, de3]
    expect: { status: 200, latncy: 5s }
  q:
    url: https://a.example/
    every: 5m
    every: 6m
    with: [gmc]
notify:
  receivers:
    eng: { slack: { token: xoxb-hunter22, chanel: C0123456789 } }
  routes:
    - { to: eng }
    - { to: support }
", r#"probes.yaml:6:10: egresses.de1.adress: unknown key "adress"; did you mean "address"?
 6 |   de1: { adress: 10.0.0.1 }
   |          ^
probes.yaml:7:8: egresses.de2: "10.0.0.300" is no IP address; like "10.20.1.15" or "2001:db8::1"
 7 |   de2: 10.0.0.300
   |        ^
probes.yaml:10:10: probes.p.url: "a.example" is no URL; begin it with "https://"
 10 |     url: a.example
    |          ^
probes.yaml:11:12: probes.p.every: "30" has no unit; write "30s" or "5m"
 11 |     every: 30
    |            ^
probes.yaml:12:22: probes.p.from[2]: there is no egress "de3"; known: de1, de2
 12 |     from: [de1, de2, de3]
    |                      ^
probes.yaml:13:28: probes.p.expect.latncy: unknown key "latncy"; did you mean "latency"?
 13 |     expect: { status: 200, latncy: 5s }
    |                            ^
probes.yaml:17:5: probes.q.every: the key "every" stands here twice; the first is on line 16
 17 |     every: 6m
    |     ^
probes.yaml:18:12: probes.q.with[0]: there is no credential "gmc"; known: anonymous
 18 |     with: [gmc]
    |            ^
probes.yaml:21:28: notify.receivers.eng.slack.token: a secret can't stand in this file; write { env: NAME } or { file: PATH }
 21 |     eng: { slack: { token: [secret], chanel: C0123456789 } }
    |                            ^
probes.yaml:21:43: notify.receivers.eng.slack.chanel: unknown key "chanel"; did you mean "channel"?
 21 |     eng: { slack: { token: [secret], chanel: C0123456789 } }
    |                                      ^
probes.yaml:24:13: notify.routes[1].to: there is no receiver "support"; known: eng
 24 |     - { to: support }
    |             ^"#),
];

/// Name, text, the warnings.
#[rustfmt::skip]
const DOUBTFUL: &[(&str, &str, &str)] = &[
    ("secrets that are not there", r#"credentials: { k: { a: { env: NO_A }, b: { file: no-b } } }
probes:
  p: { url: https://a.example/, every: 5m, with: [k, anonymous], headers: { A: "{{ credential.a }}" } }
"#, r#"probes.yaml:4:24: warning: credentials.k.a: NO_A is not set; cells with "k" do not run until it is there
 4 | credentials: { k: { a: { env: NO_A }, b: { file: no-b } } }
   |                        ^
probes.yaml:4:42: warning: credentials.k.b: can't read no-b: there is no such file; cells with "k" do not run until it is there
 4 | credentials: { k: { a: { env: NO_A }, b: { file: no-b } } }
   |                                          ^"#),
    ("more than politeness allows", "egresses: { a: 10.0.0.1, b: 10.0.0.2 }
probes:
  p: { url: https://a.example/, every: 1s, timeout: 1s }
", "probes.yaml:6:40: warning: probes.p.every: 2 cells ask a.example for 120 requests a minute, and politeness.per_host.requests_per_minute allows 60; runs will be skipped; ask less often, name fewer cells, or allow more
 6 |   p: { url: https://a.example/, every: 1s, timeout: 1s }
   |                                        ^"),
    ("more than the gap allows", "politeness: { per_host: { gap: 30s } }
probes:
  p: { url: https://a.example/, every: 1m }
  q: { url: https://a.example/q, every: 30s }
", "probes.yaml:7:41: warning: probes.q.every: 2 cells ask a.example for 3 requests a minute, and politeness.per_host.gap allows 2; runs will be skipped; ask less often, name fewer cells, or allow more
 7 |   q: { url: https://a.example/q, every: 30s }
   |                                         ^"),
    ("a timeout longer than the interval", "probes:
  p: { url: https://a.example/, every: 10s }
", r#"probes.yaml:5:40: warning: probes.p.every: a run may take up to 20s, longer than this; late runs are skipped; shorten "timeout" or ask less often
 5 |   p: { url: https://a.example/, every: 10s }
   |                                        ^"#),
    ("a latency that can't be reached", "probes:
  p: { url: https://a.example/, every: 5m, expect: { latency: 30s } }
", r#"probes.yaml:5:63: warning: probes.p.expect.latency: a run ends after 20s anyway; expect less, or raise "timeout"
 5 |   p: { url: https://a.example/, every: 5m, expect: { latency: 30s } }
   |                                                               ^"#),
    ("a body behind GET", "probes:
  p: { url: https://a.example/, every: 5m, method: GET, body: x }
", r#"probes.yaml:5:63: warning: probes.p.body: a GET or HEAD with a body is refused by many servers and edges; did you mean "method: POST"?
 5 |   p: { url: https://a.example/, every: 5m, method: GET, body: x }
   |                                                               ^"#),
    ("a placeholder without a credential", r#"probes:
  p: { url: https://a.example/, every: 5m, headers: { A: "{{ credential.a }}" } }
"#, r#"probes.yaml:5:58: warning: probes.p.headers.A: "{{ credential.a }}" stays empty, for this probe runs without credentials; name one under "with"
 5 |   p: { url: https://a.example/, every: 5m, headers: { A: "{{ credential.a }}" } }
   |                                                          ^"#),
    ("a secret that breaks XML", r#"credentials: { k: { a: { env: AMPERSAND } } }
probes:
  p: { url: https://a.example/, every: 5m, method: POST, with: k, body: "<a>{{ credential.a }}</a>" }
"#, r#"probes.yaml:6:73: warning: probes.p.body: field "a" of credential "k" holds a character that XML reserves; keep it escaped ("&amp;", "&lt;")
 6 |   p: { url: https://a.example/, every: 5m, method: POST, with: k, body: "<a>{{ credential.a }}</a>" }
   |                                                                         ^"#),
    ("a token that is not a bot's", "notify: { receivers: { r: { slack: { token: { env: TOKEN }, channel: C0123456789 } } } }
", "probes.yaml:4:45: warning: notify.receivers.r.slack.token: does not look like the token of a bot; in the Slack app: OAuth & Permissions, Bot User OAuth Token (xoxb-…)
 4 | notify: { receivers: { r: { slack: { token: { env: TOKEN }, channel: C0123456789 } } } }
   |                                             ^"),
    ("channels without their secrets", "notify: { receivers: { r: { slack: { token: { env: MISSING }, channel: C0123456789 } }, s: { teams: { webhook: { env: MISSING } } } } }
", "probes.yaml:4:45: warning: notify.receivers.r.slack.token: MISSING is not set; messages go to the log until it is there
 4 | notify: { receivers: { r: { slack: { token: { env: MISSING }, channel: C0123456789 } }, s: { teams: { webhook: { env: MISSING } } } } }
   |                                             ^
probes.yaml:4:112: warning: notify.receivers.s.teams.webhook: MISSING is not set; messages go to the log until it is there
 4 | notify: { receivers: { r: { slack: { token: { env: MISSING }, channel: C0123456789 } }, s: { teams: { webhook: { env: MISSING } } } } }
   |                                                                                                                ^"),
    ("the old form of a workflow", "notify: { receivers: { r: { teams: { webhook: { env: OLD_WORKFLOW } } } } }
", "probes.yaml:4:47: warning: notify.receivers.r.teams.webhook: this is the old form of a workflow's URL, which Microsoft stopped on 30 November 2025; open the workflow and copy its new URL (…api.powerplatform.com…)
 4 | notify: { receivers: { r: { teams: { webhook: { env: OLD_WORKFLOW } } } } }
   |                                               ^"),
    ("a webhook of some relay", "notify: { receivers: { r: { teams: { webhook: { env: RELAY } } } } }
", r#"probes.yaml:4:47: warning: notify.receivers.r.teams.webhook: this does not look like the URL of a Teams workflow; its host usually ends in "api.powerplatform.com"
 4 | notify: { receivers: { r: { teams: { webhook: { env: RELAY } } } } }
   |                                               ^"#),
    ("a receiver that nothing reaches", "notify:
  receivers: { a: { log: {} }, b: { log: {} } }
  routes: [{ to: a }]
", "probes.yaml:5:32: warning: notify.receivers.b: no route leads here and no receiver falls back on it; add a route
 5 |   receivers: { a: { log: {} }, b: { log: {} } }
   |                                ^"),
];
