//! The commands as a person or a script meets them: output, exit codes, and what the servers saw.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::kept;
use crate::server::{Reply, Server};
use crate::world::{PASSWORD, RULE, World, program, run};

const TWO: &str = "de1: 127.0.0.2, us1: 127.0.0.3";

/// Scripts read standard output whatever went wrong, a slip in the arguments too.
#[tokio::test(flavor = "multi_thread")]
async fn what_went_wrong_is_json_for_scripts() {
    for (arguments, what) in [
        (
            &["status", "--nope", "--format", "json"][..],
            "unexpected argument '--nope' found",
        ),
        (
            &["gate", "--format=json", "--max-age", "x"],
            "invalid value 'x'",
        ),
        (
            &["replay", "--format", "json", "/nowhere.yaml"],
            "/nowhere.yaml: ",
        ),
        (
            &["incidents", "--config", "/nowhere.yaml", "--format", "json"],
            "can't read /nowhere.yaml",
        ),
    ] {
        let (code, out, err) = run(program(arguments)).await;
        assert_eq!((code, err.as_str()), (2, ""), "{arguments:?}: {out}");
        let said: Value = serde_json::from_str(&out).unwrap();
        let said = said["error"]["what"].as_str().unwrap();
        assert!(said.starts_with(what), "{arguments:?}: {said}");
    }
}

/// A file whose partner is never asked: `partner.test` is no name, and the recorder stands in for it.
const CLIENTS: &str = r#"version: 1
service: GMC
timezone: UTC
clients:
  java: { user_agent: Java/17.0.15, headers: { User-Agent: ~, Host: ~, Accept: "text/html, */*; q=0.2", Connection: keep-alive } }
  other: { user_agent: Java/11.0.10, http: either }
credentials: { gmc: { password: { env: GMC_PASSWORD } } }
probes:
  ws: { url: https://partner.test/ws, headers: { X-Key: "{{ credential.password }}" }, with: gmc, every: 5m, as: java }
  page: { url: http://partner.test/page, every: 5m, as: other }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn client_shows_what_is_really_sent() {
    let directory = kept::folder();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("probes.yaml"), CLIENTS).unwrap();
    let client = async |arguments: &[&str]| {
        let mut command = program(&["client"]);
        command
            .args(arguments)
            .arg("--config")
            .arg(path("probes.yaml"));
        run(command).await
    };
    // The password is not there, and is not needed.
    let (code, out, _) = client(&["java"]).await;
    assert_eq!(code, 0, "{out}");
    let lines: Vec<&str> = out.lines().map(str::trim).collect();
    assert_eq!(lines[0], "ws as java");
    for line in [
        "TLS name      partner.test",
        "ALPN          http/1.1",
        "GET /ws HTTP/1.1",
        "User-Agent: Java/17.0.15",
        "Host: partner.test",
        "Connection: keep-alive",
        "X-Key: dummy",
    ] {
        assert!(lines.contains(&line), "{line} is missing:\n{out}");
    }
    assert!(out.contains("TLS (JA4)     t13d1010h1_"), "{out}");
    assert!(out.contains("edgewatch's own, rustls"), "{out}");

    let (code, out, _) = client(&["other", "--probe", "ws", "--format", "json"]).await;
    let json: Value = serde_json::from_str(&out).unwrap();
    let sent = &json["requests"][0]["sent"];
    assert_eq!((code, &json["same"]), (0, &Value::Null), "{out}");
    assert_eq!(sent["stack"], "native");
    assert!(
        sent["ja4"].as_str().unwrap().starts_with("t13d1010h2_"),
        "{out}"
    );
    assert_eq!(
        sent["h2"],
        "2:0;4:2097152;5:16384;6:65536|5177345|0|m,s,a,p"
    );
    assert_eq!(json["requests"][0]["head"][0], "GET /ws HTTP/2");
    assert_eq!(
        json["requests"][0]["alpn"],
        serde_json::json!(["h2", "http/1.1"])
    );

    // As the real system sends it; then as another runtime would.
    let captured = "# ja4: JA4\nGET /elsewhere HTTP/1.1\nUser-Agent: Java/17.0.15\nHost: real.example\n\
                    Accept: text/html, */*; q=0.2\nConnection: keep-alive\nX-Key: of the real one\n";
    let ja4 = lines
        .iter()
        .find_map(|line| line.strip_prefix("TLS (JA4)     "))
        .unwrap();
    std::fs::write(path("same"), captured.replace("JA4", ja4)).unwrap();
    let like = async |name: &str| {
        let file = path(name);
        client(&["java", "--like", file.to_str().unwrap()]).await
    };
    let (code, out, _) = like("same").await;
    assert!(
        code == 0 && out.contains("The same in all that was compared."),
        "{out}"
    );
    let jvm = "t13d371200_db35923f8641_7c76daad20ec";
    std::fs::write(
        path("other"),
        captured
            .replace("JA4", jvm)
            .replace("\nConn", "\nDNT: 1\nConn"),
    )
    .unwrap();
    let (code, out, _) = like("other").await;
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains(&format!(
            "differs  TLS fingerprint: {ja4} here, {jvm} in the file\n"
        )),
        "{out}"
    );
    assert!(out.contains("differs  DNT: 1: only in the file\n"), "{out}");
    assert!(!out.contains("of the real one"), "{out}");

    let (code, out, _) = client(&["java", "other"]).await;
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("differs  version: HTTP/1.1 here, HTTP/2 as other"),
        "{out}"
    );
    for (arguments, expected) in [
        (
            &["jva"][..],
            "there is no client \"jva\" in the file; there are: java, other",
        ),
        (
            &["java", "--probe", "x"],
            "there is no probe \"x\" in the file; there are: ws, page",
        ),
        (&["java", "--like", "/nowhere"], "can't read /nowhere"),
    ] {
        let (code, _, err) = client(arguments).await;
        assert_eq!(code, 2, "{arguments:?}");
        assert!(err.contains(expected), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_shows_a_matrix_that_passes() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    let (code, out, err) = run(world.command(&["once"])).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("All cells pass."), "{out}");
    for word in [
        "connect",
        "internet",
        "de1",
        "us1",
        "legacy · gmc",
        "modern · gmc",
    ] {
        assert!(out.contains(word), "{word} is missing:\n{out}");
    }
    assert!(!out.contains('\u{1b}'), "colour without a terminal");

    // The server saw each cell once: from its address, as its client, with the headers of the file in their order.
    let seen = world.partner.requests();
    let mut cells: Vec<(String, &str)> = seen
        .iter()
        .map(|s| {
            (
                s.peer.ip().to_string(),
                s.header("user-agent").unwrap_or(""),
            )
        })
        .collect();
    cells.sort();
    assert_eq!(
        cells,
        [
            ("127.0.0.2".to_owned(), "Java/1.8.0_275"),
            ("127.0.0.2".to_owned(), "Java/11.0.10"),
            ("127.0.0.3".to_owned(), "Java/1.8.0_275"),
            ("127.0.0.3".to_owned(), "Java/11.0.10"),
        ]
    );
    let names: Vec<&str> = seen[0]
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "Host",
            "User-Agent",
            "Accept",
            "Content-Type",
            "SOAPAction",
            "Content-Length"
        ]
    );
    assert!(
        String::from_utf8_lossy(&seen[0].body).contains(PASSWORD),
        "the placeholder was filled"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn once_names_the_client_that_is_refused() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    world.partner.switch(RULE, true);
    let (code, out, _) = run(world.command(&["once"])).await;
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("BLOCKED 1010 (HTTP 403)"), "{out}");
    assert!(
        out.contains("refuses client `legacy` (Java/1.8.0_275) at Cloudflare"),
        "{out}"
    );
    assert!(out.contains("ruled out  your IPs, "), "{out}");
    assert!(!out.contains(PASSWORD), "a secret is shown");

    let (code, out, _) = run(world.command(&["once", "--format", "json"])).await;
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 1);
    assert_eq!(json["conclusion"]["outcome"], "problem");
    let kinds: Vec<&str> = json["cells"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|c| c["verdict"]["kind"].as_str())
        .collect();
    assert_eq!(
        kinds.iter().filter(|k| **k == "edge_block").count(),
        2,
        "{kinds:?}"
    );
    assert_eq!(
        kinds.iter().filter(|k| **k == "pass").count(),
        4,
        "{kinds:?}"
    );
}

/// Cloudflare's page for a fault of its own: the box of Cloudflare is marked, the host's is not.
fn own_fault() -> Reply {
    let body = "<!DOCTYPE html><html><head><title>a.example | 500: Internal server error</title></head><body>\
         <div id=\"cf-wrapper\"><div id=\"cf-error-details\"><span class=\"code-label\">Error code 500</span>\
         <div id=\"cf-browser-status\" class=\"\">Browser Working</div>\
         <div id=\"cf-cloudflare-status\" class=\"cf-error-source\">Cloudflare</div>\
         <div id=\"cf-host-status\" class=\"\">Host</div></div></div></body></html>";
    Reply::new(500)
        .header("Server", "cloudflare")
        .header("CF-RAY", "8fcb3f8a0cc56750-LHR")
        .header("Content-Type", "text/html")
        .body(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn once_names_a_vendor_that_fails_in_front_of_several_partners() {
    let failing = Server::http(|_| own_fault()).await;
    let other = Server::http(|_| Reply::new(500).body("Traceback (most recent call last):")).await;
    let good = Server::http(|_| Reply::new(200).body("ok")).await;
    let directory = kept::folder();
    let probe = |name: &str, host: &str, server: &Server| {
        let port = server.address.port();
        format!(
            "  {name}: {{ url: \"http://{host}:{port}/\", connect_to: 127.0.0.1, every: 1m }}\n"
        )
    };
    let text = format!(
        "version: 1\nservice: Example\nstore: {{ path: {}/edgewatch.sqlite }}\negresses: {{ {TWO} }}\n\
         clients: {{ java: \"Java/17\" }}\nprobes:\n{}{}{}controls:\n{}",
        directory.path().display(),
        probe("alpha", "api.alpha.example", &failing),
        probe("beta", "api.beta.test", &failing),
        probe("gamma", "api.gamma.invalid", &other),
        probe("internet", "www.control.example", &good),
    );
    let file = directory.path().join("probes.yaml");
    std::fs::write(&file, text).unwrap();
    let mut command = program(&["once", "--format", "json", "--config"]);
    command.arg(&file);
    let (code, out, err) = run(command).await;
    assert_eq!(code, 1, "{out}{err}");
    let json: Value = serde_json::from_str(&out).unwrap();
    let problems = json["conclusion"]["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{out}");
    let headline = problems[0]["headline"].as_str().unwrap();
    assert!(headline.contains("Cloudflare"), "{headline}");
    let ruled_out = problems[0]["ruled_out"].to_string();
    assert!(
        ruled_out.contains("2 partners behind Cloudflare show its own error at the same time"),
        "{ruled_out}"
    );
    assert!(
        problems[1]["subject"].to_string().contains("gamma"),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn once_says_when_the_fault_is_ours() {
    let world = World::start().await;
    // TEST-NET-1 is on no host (RFC 5737); the run must not fall back to another address.
    world.write("gone: 192.0.2.1", "1m", "");
    let (code, out, _) = run(world.command(&["once"])).await;
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("OUR SIDE"), "{out}");
    assert!(
        world.partner.requests().is_empty(),
        "nothing may leave from another address"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn once_says_which_secret_is_not_there() {
    let world = World::start().await;
    world.write("de1: 127.0.0.2", "1m", "");
    let mut command = world.command(&["once"]);
    command.env_remove("GMC_PASSWORD");
    let (code, _, err) = run(command).await;
    assert_eq!(
        code, 2,
        "the control passes, of the rest nothing is known: {err}"
    );
    assert!(err.contains("GMC_PASSWORD"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_sent_is_never_the_partners_doing() {
    let world = World::start().await;
    world.write("gone: 192.0.2.1, de1: 127.0.0.2", "1m", "");
    world.partner.switch(RULE, true);
    let (code, out, _) = run(world.command(&["once", "--format", "json"])).await;
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 1, "the partner refuses a client all the same: {out}");
    let problems = json["conclusion"]["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "ours and theirs are two problems: {out}");
    assert_eq!(problems[0]["our_side"], true);
    let headline = problems[1]["headline"].as_str().unwrap();
    assert!(headline.contains("client `legacy`"), "{headline}");
}

#[tokio::test(flavor = "multi_thread")]
async fn once_refuses_names_that_are_not_there() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    let (code, _, err) = run(world.command(&["once", "conect"])).await;
    assert_eq!(
        (code, err.as_str()),
        (
            2,
            "edgewatch: there is no probe \"conect\" in the file; there are: connect, internet\n"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_every_fault_and_its_place() {
    let world = World::start().await;
    world.write(TWO, "30", "notfy: {}");
    let (code, out, _) = run(world.command(&["check"])).await;
    assert_eq!(code, 1, "{out}");
    assert!(
        out.contains("\"30\" has no unit") || out.contains("30 has no unit"),
        "{out}"
    );
    assert!(out.contains("did you mean \"notify\""), "{out}");
    assert!(out.contains("probes.yaml:"), "{out}");
    assert!(out.contains("probes.yaml can't be used: "), "{out}");

    // The file as an argument, as people write it.
    let mut named = program(&["check"]);
    named.arg(world.config());
    named
        .env("GMC_USERNAME", "tis")
        .env("GMC_PASSWORD", "of the account");
    let (code, named, _) = run(named).await;
    assert_eq!((code, named), (1, out));

    let (code, out, _) = run(world.command(&["check", "--format", "json"])).await;
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["usable"]), (1, &Value::Bool(false)));
    assert!(json["findings"].as_array().unwrap().len() >= 2, "{json}");
    assert!(json["findings"][0]["line"].as_u64().unwrap() > 0);

    let (code, _, err) = run(program(&["check", "--config", "/nonexistent/probes.yaml"])).await;
    assert_eq!(code, 2);
    assert!(err.contains("can't read /nonexistent/probes.yaml"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_each_receiver_still_needs() {
    let world = World::start().await;
    let notify = r#"notify:
  receivers:
    hook: { webhook: { url: { env: HOOK_URL }, secret: { env: HOOK_KEY } }, fallback: mail }
    mail: { email: { host: localhost, tls: none, from: a@example.org, to: [b@example.org, c@example.org], words: plain } }
    oncall: { pagerduty: { routing_key: { env: PAGER_KEY } } }
    alerts: { alertmanager: { url: "http://alertmanager:9093" } }
"#;
    world.write(TWO, "5m", notify);
    let mut command = world.command(&["check"]);
    command.env("HOOK_URL", "https://hooks.example/hunter22");
    let (code, out, _) = run(command).await;
    assert_eq!(code, 0, "{out}");
    let told: Vec<&str> = out
        .lines()
        .skip_while(|l| !l.contains("is right"))
        .skip(1)
        .collect();
    assert_eq!(
        told,
        [
            "  hook: a signed webhook, else mail; to the log meanwhile: HOOK_KEY is not set",
            "  mail: mail to b@example.org, c@example.org by localhost, in plain words",
            "  oncall: PagerDuty; to the log meanwhile: PAGER_KEY is not set",
            "  alerts: Alertmanager at http://alertmanager:9093",
        ]
    );
    assert!(
        out.contains("Integration Key") && !out.contains("hunter22"),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn classify_explains_what_it_is_given() {
    let (code, out, _) = classify(b"HTTP/1.1 403 Forbidden\r\nserver: cloudflare\r\ncf-ray: 5da5cc3358641e89-LHR\r\n\r\nerror code: 1010").await;
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 1);
    for (key, value) in [
        ("kind", "edge_block"),
        ("maker", "edge"),
        ("vendor", "cloudflare"),
        ("rule", "user_agent"),
        ("code", "1010"),
        ("reference_id", "5da5cc3358641e89"),
    ] {
        assert_eq!(json[key], value, "{key}");
    }
    assert!(!json["evidence"].as_array().unwrap().is_empty());

    let (code, _, _) = classify(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nhello").await;
    assert_eq!(code, 0);
    let (code, out, err) = classify(b"<html>no head</html>").await;
    assert_eq!((code, err.as_str()), (2, ""));
    let json: Value = serde_json::from_str(&out).unwrap();
    let what = json["error"]["what"].as_str().unwrap();
    assert!(what.starts_with("-: "), "{json}");
}

async fn classify(input: &[u8]) -> (i32, String, String) {
    let mut command = program(&["classify", "-", "--format", "json"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_need_a_store() {
    let world = World::start().await;
    world.write(TWO, "1m", "");
    let (code, _, err) = run(world.command(&["incidents"])).await;
    assert_eq!(code, 2);
    assert!(err.contains("edgewatch.sqlite"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_is_no_configuration_and_a_secret_for_everybody_is_doubted() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::start().await;
    world.write(TWO, "1m", "");
    let secret = world.directory.path().join("gmc-password");
    std::fs::write(&secret, format!("{PASSWORD}\n")).unwrap();
    let text = std::fs::read_to_string(world.config()).unwrap();
    let text = text.replace("env: GMC_PASSWORD", "file: gmc-password");
    std::fs::write(world.config(), text).unwrap();
    let words = "gmc-password holds a secret, and everybody on this host may read it";
    for (mode, doubted) in [(0o644, true), (0o640, false)] {
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
        let (code, out, _) = run(world.command(&["check"])).await;
        assert_eq!((code, out.contains(words)), (0, doubted), "{out}");
    }
    // What the test wrote is no leak.
    std::fs::remove_file(&secret).unwrap();

    std::fs::remove_file(world.config()).unwrap();
    nix::unistd::mkfifo(&world.config(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (code, _, err) = run(world.command(&["check"])).await;
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains("it is a pipe, a socket or a device, and must be a file"),
        "{err}"
    );
}
