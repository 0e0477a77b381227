//! Programs as clients: curl from end to end, and programs that lie, hang, fork and shout.

use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use edgewatch::domain::cell::{HttpOffer, Program, Speaks, Way};
use edgewatch::domain::hello;
use edgewatch::domain::observation::{FailureKind, HttpVersion, Observation, Phase};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::probe::{Redirects, Template};
use edgewatch::domain::sent::Stack;
use edgewatch::read::classify::classify;
use edgewatch::simulate::{
    Action, Certificate, Clock, Edge, Form, Front, Page, Partner, Rule, Script, Text, When,
};
use http::Method;
use tokio::io::AsyncReadExt as _;

use crate::kept;
use crate::plan::plan;
use crate::probe::{password_in, run, with_password};
use crate::server::certificates::Authority;
use crate::server::{Reply, Server};
use crate::world::{self, program};

fn curl(http: Option<HttpOffer>) -> Program {
    let found = ["/usr/local/bin/curl", "/usr/bin/curl"];
    let found = found.iter().find(|path| PathBuf::from(path).exists());
    let curl = found.expect("curl is not here; apt-get install curl");
    Program {
        command: [curl, "-q", "-K", "-"].map(str::to_owned).into(),
        speaks: Speaks::Curl,
        variables: Vec::new(),
        http,
        keep: None,
    }
}

/// A shell script as a program that speaks lines.
fn script(text: &str) -> Program {
    Program {
        command: vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()],
        speaks: Speaks::Lines,
        variables: Vec::new(),
        http: None,
        keep: None,
    }
}

pub(crate) fn trusting(server: &Server, authority: &Authority, program: Program) -> Plan {
    let mut plan = plan(&server.url_as("https", "partner.test", "/ws?a=b"));
    plan.probes[0].connect_to = Some(server.address.ip());
    plan.trust = vec![authority.pem()];
    plan.clients[0].program = Some(program);
    plan.egresses[0].way = Way::Address("127.0.0.2".parse().unwrap());
    plan
}

/// The fingerprint that a listener sees of curl without edgewatch.
async fn bare() -> String {
    heard(|url, port| {
        let mut command = Command::new(curl(None).command.swap_remove(0));
        let resolve = format!("partner.test:{port}:127.0.0.1");
        command.args(["-q", "-s", "--resolve", &resolve, url]);
        command.env_clear();
        command
    })
    .await
}

/// The fingerprint that a listener sees of a program that goes to it by itself.
pub(crate) async fn heard(client: impl FnOnce(&str, u16) -> Command) -> String {
    let server = Server::raw(|mut connection| async move {
        let mut wire = Vec::new();
        while !matches!(hello::read(&wire), hello::Read::Hello(_)) {
            if connection.stream.read_buf(&mut wire).await.unwrap() == 0 {
                return;
            }
        }
        if let hello::Read::Hello(hello) = hello::read(&wire) {
            connection.note(|seen| seen.head = hello.ja4());
        }
    })
    .await;
    let url = server.url_as("https", "partner.test", "/");
    let mut command = client(&url, server.address.port());
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    server.seen()[0].head.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_asks_by_the_egress_with_its_own_tls() {
    let authority = Authority::new();
    let identity = authority.issue(&["partner.test"]);
    let server = Server::https(identity.tls(), |seen| {
        Reply::new(if seen.body == b"<a>\"\\\n@hunter22</a>" {
            200
        } else {
            400
        })
        .header("Server", "test")
        .body("<ok/>")
    })
    .await;
    let mut plan = trusting(&server, &authority, curl(None));
    with_password(&mut plan, "hunter22");
    plan.probes[0].method = Method::POST;
    plan.probes[0].headers = vec![
        ("SOAPAction".to_owned(), Template::text("\"urn:x\"")),
        ("X-Empty".to_owned(), Template::text("")),
    ];
    plan.probes[0].body = Some(password_in("<a>\"\\\n@", "</a>"));
    let seen = run(&plan).await;
    assert_eq!(seen.failure, None);
    let answer = seen.answer.clone().expect("an answer");
    assert_eq!((answer.status, answer.http), (200, HttpVersion::H2));
    assert_eq!(&*answer.body.bytes, b"<ok/>");
    assert_eq!(answer.header("server"), Some("test"));

    let asked = &server.seen()[0];
    assert_eq!(asked.peer.ip().to_string(), "127.0.0.2");
    assert_eq!(asked.header("soapaction"), Some("\"urn:x\""));
    assert_eq!(asked.header("x-empty"), Some(""));
    assert_eq!(asked.header("user-agent"), Some("edgewatch-test"));
    let sent = seen.sent.clone().expect("what was sent");
    let Stack::Program { name, version } = &sent.stack else {
        panic!("{sent:?}");
    };
    assert_eq!(name, "curl");
    assert!(
        version.starts_with(|c: char| c.is_ascii_digit()),
        "{version}"
    );
    assert_eq!(sent.ja4, Some(bare().await));
    assert_eq!(seen.route.local.unwrap().ip().to_string(), "127.0.0.2");
    assert_eq!(seen.route.remote, Some(server.address));
    let phases = seen.phases;
    assert!(phases.connect.is_some() && phases.tls.is_some() && phases.first_byte.is_some());

    // Over HTTP/1.1, with redirects hop by hop.
    let server = Server::https(identity.tls(), |seen| match seen.target.as_str() {
        "/end" => Reply::new(200).body(seen.header("cookie").unwrap_or_default()),
        _ => Reply::new(302)
            .header("Location", "/end")
            .header("Set-Cookie", "gate=1; Path=/"),
    })
    .await;
    let mut plan = trusting(&server, &authority, curl(Some(HttpOffer::Http1)));
    plan.probes[0].redirects = Redirects::SameHost(2);
    let seen = run(&plan).await;
    assert_eq!(seen.failure, None);
    assert_eq!(seen.hops.len(), 1);
    assert_eq!(&*seen.answer.expect("an answer").body.bytes, b"gate=1");
    let head = &server.seen()[0].head;
    assert_eq!(
        *head,
        format!(
            "GET /ws?a=b HTTP/1.1\r\nHost: partner.test:{}\r\nUser-Agent: edgewatch-test\r\nAccept: */*\r\n\r\n",
            server.address.port()
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_fails_as_the_wire_says() {
    let authority = Authority::new();
    let failed = async |plan: &Plan| {
        let failure = run(plan).await.failure.expect("a failure");
        (failure.phase, failure.kind, failure.message)
    };
    // The Akamai form of a refused fingerprint: cut right after the hello.
    let cut = Server::raw(|mut connection| async move {
        let mut first = [0; 64];
        let _ = connection.stream.read(&mut first).await;
    })
    .await;
    let (phase, kind, message) = failed(&trusting(&cut, &authority, curl(None))).await;
    assert_eq!(phase, Phase::Tls);
    assert!(
        matches!(kind, FailureKind::Reset | FailureKind::Closed),
        "{kind:?}"
    );
    assert_eq!(
        message,
        format!("{} cut the connection at the TLS hello", cut.address)
    );

    // A certificate that curl does not trust, and a port where nobody listens.
    let other = Authority::named("Other");
    let server = Server::https(other.issue(&["partner.test"]).tls(), |_| Reply::new(200)).await;
    let (phase, kind, message) = failed(&trusting(&server, &authority, curl(None))).await;
    assert_eq!(
        (phase, kind),
        (Phase::Tls, FailureKind::Certificate),
        "{message}"
    );
    let plan = trusting(&server, &authority, curl(None));
    let address = server.address;
    drop(server);
    let (phase, kind, message) = failed(&plan).await;
    assert_eq!((phase, kind), (Phase::Connect, FailureKind::Refused));
    assert_eq!(message, format!("{address} refused the connection"));
    let mut plan = plan;
    plan.egresses[0].way = Way::Address("192.0.2.77".parse().unwrap());
    assert_eq!(failed(&plan).await.1, FailureKind::EgressMissing);
}

/// What a program may do, and what is said of it: always our side's matter, never a pass.
#[tokio::test(flavor = "multi_thread")]
async fn programs_are_not_believed() {
    let server = Server::http(|_| Reply::new(200).body("ok")).await;
    let claim = r#"read line; id=$(echo "$line" | sed 's/.*"id":"\([0-9a-f]*\)".*/\1/'); port=$(echo "$line" | sed 's/.*"port":\([0-9]*\).*/\1/');"#;
    let say = r#"echo "{\"v\":1,\"id\":\"$id\",\"status\":200}""#;
    let big = "echo '{'; yes 0123456789012345678901234567890123456789";
    for (name, text, expected) in [
        (
            "ends by itself",
            "exit 7".to_owned(),
            "ended without an answer (exit status: 7)",
        ),
        (
            "says why",
            "echo 'no class Worker' >&2; exit 1".to_owned(),
            "ended without an answer (exit status: 1): no class Worker",
        ),
        (
            "is killed",
            "kill -9 $$".to_owned(),
            "ended without an answer (signal: 9 (SIGKILL))",
        ),
        ("says nothing", "true".to_owned(), "ended without an answer"),
        (
            "is no JSON",
            "echo hello".to_owned(),
            "answered with something that is no answer: \"hello\"",
        ),
        (
            "answers another",
            "echo '{\"v\":1,\"id\":\"7\",\"status\":200}'".to_owned(),
            "answered another request: \"{\\\"v\\\":1,\\\"id\\\":\\\"7\\\",\\\"status\\\":200}\"",
        ),
        (
            "speaks another version",
            format!("{claim} echo '{{\"v\":9}}'"),
            "speaks version 9 of the contract, not 1",
        ),
        (
            "claims without asking",
            format!("{claim} {say}"),
            "says that the answer was HTTP 200, and did not connect through edgewatch",
        ),
        (
            "shouts on both",
            format!("yes x | head -c 1000000 >&2; {claim} {say}"),
            "says that the answer was HTTP 200, and did not connect through edgewatch",
        ),
        ("never stops", big.to_owned(), "wrote more than"),
        (
            "leaves a child that holds the pipe",
            format!("sleep 60 & {claim} {say}"),
            "says that the answer was HTTP 200, and did not connect through edgewatch",
        ),
        (
            "goes elsewhere",
            format!(
                "{claim} curl -qs -x socks5h://127.0.0.1:$port http://other.test/ >/dev/null; {say}"
            ),
            "wanted to connect to other.test:80, which is not the probe's host",
        ),
        (
            "goes round",
            format!("{claim} curl -qs {} >/dev/null; {say}", server.url("/")),
            "says that the answer was HTTP 200, and did not connect through edgewatch",
        ),
        (
            "hangs",
            "trap '' TERM; sleep 60".to_owned(),
            "made no connection within 2 s",
        ),
    ] {
        let mut plan = plan(&server.url("/"));
        plan.probes[0].timeout = Duration::from_secs(if name == "hangs" { 2 } else { 20 });
        plan.clients[0].program = Some(script(&text));
        let begun = Instant::now();
        let seen = run(&plan).await;
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{name}: {:?}",
            begun.elapsed()
        );
        let failure = seen.failure.clone().expect(name);
        assert_eq!(
            failure.kind,
            FailureKind::Program,
            "{name}: {}",
            failure.message
        );
        let expected = format!("the program of client {}: {expected}", plan.clients[0].name);
        assert!(
            failure.message.starts_with(&expected),
            "{name}: {}",
            failure.message
        );
        assert_eq!(seen.answer, None, "{name}");
        let verdict = classify(&plan.probes[0], &[], &seen);
        assert_eq!(verdict.kind.as_str(), "local_error", "{name}");
    }
    // One that goes round does not even get there, where the kernel can hold it.
    let met = usize::from(!edgewatch::probe::programs_are_held());
    assert_eq!(server.seen().len(), met);
    // The kernel ends them in its own time, which is short.
    let begun = Instant::now();
    while !nothing_left().is_empty() && begun.elapsed() < Duration::from_secs(5) {
        tokio::task::yield_now().await;
    }
    assert_eq!(nothing_left(), "", "a program outlived its run");
}

/// Processes of the scripts above that still run.
fn nothing_left() -> String {
    let mut left = String::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.starts_with("sleep 60") || line.starts_with("yes 0123456789") {
            left += &line;
        }
    }
    left
}

/// What answers by the contract, through the gate, as a worker would.
#[tokio::test(flavor = "multi_thread")]
async fn an_honest_program_is_believed() {
    let server = Server::http(|seen| {
        Reply::new(403)
            .header("X-Team", seen.header("x-team").unwrap_or_default())
            .header("X-Home", seen.header("x-home").unwrap_or_default())
            .body("no")
    })
    .await;
    let honest = r#"read line
        id=$(echo "$line" | sed 's/.*"id":"\([0-9a-f]*\)".*/\1/'); port=$(echo "$line" | sed 's/.*"port":\([0-9]*\).*/\1/')
        url=$(echo "$line" | sed 's/.*"url":"\([^"]*\)".*/\1/')
        team=$(echo "$line" | sed 's/.*\["X-Team","\([^"]*\)"\].*/\1/')
        curl -qs -x http://127.0.0.1:$port -H "X-Team: $team" -H "X-Home: $JAVA_HOME $HOME" "$url" >/dev/null
        echo '{"v":1,"hello":{"name":"sh","version":"5"}}'
        env | cut -d= -f1 | sort | tr '\n' ' ' >&2
        echo "{\"v\":1,\"id\":\"$id\",\"status\":403,\"http\":\"1.1\",\"headers\":[[\"X-Team\",\"$team\"]],\"body\":\"bm8=\",\"timing_ms\":{\"first_byte\":2.5,\"total\":4.0}}""#;
    let mut plan = plan(&server.url("/ws?x=1"));
    let mut program = script(honest);
    program.variables = vec![("JAVA_HOME".to_owned(), "/opt/jdk".to_owned())];
    plan.clients[0].program = Some(program);
    with_password(&mut plan, "hunter22");
    plan.probes[0].headers = vec![("X-Team".to_owned(), password_in("", ""))];
    let seen: Observation = run(&plan).await;
    assert_eq!(seen.failure, None);
    let asked = &server.seen()[0];
    assert_eq!(asked.target, "/ws?x=1", "the absolute form is undone");
    assert_eq!(asked.header("x-team"), Some("hunter22"));
    assert_eq!(asked.header("proxy-connection"), None);
    let homes = asked.header("x-home").unwrap_or_default();
    let own = homes.strip_prefix("/opt/jdk ").unwrap_or_default();
    assert!(own.contains("edgewatch-programs-"), "{homes}");
    let answer = seen.answer.clone().expect("an answer");
    assert_eq!(answer.status, 403);
    assert_eq!(&*answer.body.bytes, b"no");
    let text = serde_json::to_string(&seen).unwrap();
    assert!(!text.contains("hunter22"), "a secret came back: {text}");
    assert_eq!(seen.phases.first_byte, Some(Duration::from_micros(2_500)));
    let sent = seen.sent.expect("what was sent");
    let stack = Stack::Program {
        name: "sh".to_owned(),
        version: "5".to_owned(),
    };
    assert_eq!((sent.stack, sent.ja4), (stack, None));
    assert!(sent.header_order.is_some());
}

/// An edge with this rule, and a file that asks it from two egresses as three clients, one of them curl.
async fn judged_by(when: impl Fn(&str) -> When) -> (Edge, tempfile::TempDir) {
    let authority = bare().await;
    let page = Action::Page(Page::Cloudflare {
        code: 1010,
        form: Form::Text,
    });
    let script = Script {
        tls: Some(Certificate {
            names: vec!["partner.test".to_owned()],
            ..Certificate::default()
        }),
        front: Front::cloudflare(),
        rules: vec![Rule::new("tls", when(&authority), page)],
        ..Script::new(Clock::new(edgewatch::clock::now))
    };
    let edge = Edge::start(Partner::control(), script).await.unwrap();
    let directory = kept::folder();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("root.pem"), edge.root_pem().unwrap()).unwrap();
    let text = format!(
        r#"version: 1
service: GMC
timezone: UTC
trust: [root.pem]
egresses: {{ de1: 127.0.0.2, us1: 127.0.0.3 }}
clients:
  batch: {{ user_agent: Java/17.0.15, http: either }}
  jvm: {{ user_agent: Java/17.0.15, command: curl }}
  plain: {{ user_agent: monitor, http: either, control: true }}
probes:
  ws: {{ url: "https://partner.test:{}/", connect_to: 127.0.0.1, every: 5m, timeout: 10s }}
politeness: {{ per_host: {{ requests_per_minute: 1000, gap: 20ms }} }}
"#,
        edge.addr().port()
    );
    std::fs::write(path("probes.yaml"), text).unwrap();
    (edge, directory)
}

/// What `once` says of it.
async fn told(when: impl Fn(&str) -> When) -> (String, String) {
    let (_edge, directory) = judged_by(when).await;
    let mut command = program(&["once", "--format", "json"]);
    command
        .arg("--config")
        .arg(directory.path().join("probes.yaml"));
    let (_, out, err) = world::run(command).await;
    let json: serde_json::Value = serde_json::from_str(&out).expect(&err);
    let problem = &json["conclusion"]["problems"][0];
    let word = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    (word("headline"), word("next_step"))
}

/// An edge that judges the TLS hello, and a real program beside our own client: the true sentence, and nobody blamed who
/// passes.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_on_the_fingerprint_is_named_by_the_pair_alone() {
    let curl = bare().await;
    let (headline, step) = told(|curl| When {
        ja4: Some(Text::exact(curl)),
        ..When::any()
    })
    .await;
    let expected = format!(
        "GMC refuses the TLS fingerprint `{curl}` of client `jvm` at Cloudflare, not its user agent"
    );
    assert_eq!(headline, expected);
    let ask = format!("Ask GMC to allow the TLS fingerprint (JA4) `{curl}` for these requests");
    assert!(step.starts_with(&ask), "{step}");

    // The user agent of Java without Java's hello.
    let (headline, step) = told(|curl| When {
        ua: Some(Text::prefix("Java/")),
        other_ja4_than: Some(Text::exact(curl)),
        ..When::any()
    })
    .await;
    assert_eq!(
        headline,
        "Only edgewatch's stand-in `batch` is refused at Cloudflare; `jvm` passes with the same user agent and its own TLS"
    );
    assert!(
        step.starts_with("Ask nobody for anything: your systems pass."),
        "{step}"
    );

    // rustls, whatever its user agent.
    let (headline, _) = told(|curl| When {
        other_ja4_than: Some(Text::exact(curl)),
        ..When::any()
    })
    .await;
    assert_eq!(
        headline,
        "Only edgewatch itself is refused at Cloudflare: every client over its own TLS fails, `jvm` passes with another"
    );

    // The user agent, whatever the hello.
    let (headline, _) = told(|_| When::ua(Text::prefix("Java/"))).await;
    assert!(
        headline.starts_with("GMC refuses every `Java` client"),
        "{headline}"
    );
}

/// A program that is not in the file yet, as a twin of a client that is: who would be refused, and by what.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_can_be_tried_before_it_is_in_the_file() {
    let curl = bare().await;
    let (_edge, directory) = judged_by(|curl| When {
        ja4: Some(Text::exact(curl)),
        ..When::any()
    })
    .await;
    let ask = async |arguments: &[&str]| {
        let mut command = program(&["try", "ws", "--format", "json", "--config"]);
        command.arg(directory.path().join("probes.yaml"));
        world::run({
            command.args(arguments);
            command
        })
        .await
    };
    let (code, out, err) = ask(&["--user-agent", "Java/17.0.15", "--command", "curl"]).await;
    let json: serde_json::Value = serde_json::from_str(&out).expect(&err);
    assert_eq!((code, &json["try"]["outcome"]), (1, &"fails".into()));
    let sentence = json["try"]["sentence"].as_str().unwrap_or_default();
    let start = "`curl` as \"Java/17.0.15\" would not pass: refused at the edge, Cloudflare 1010, HTTP 403 from de1 and us1. \
         There `batch` and `plain` pass, so it is the new client that is refused. ";
    let fingerprint = format!(
        "It sends the TLS fingerprint (JA4) `{curl}`, as `jvm`; `batch` and `plain` send `"
    );
    assert_eq!(
        sentence
            .strip_prefix(start)
            .map(|rest| rest.starts_with(&fingerprint)),
        Some(true),
        "{sentence}"
    );
    let found = json["try"]["ja4"].as_array().expect("fingerprints");
    assert_eq!(
        found[0],
        serde_json::json!({ "ja4": curl, "clients": ["jvm", "try"] })
    );
    let headline = json["conclusion"]["problems"][0]["headline"].as_str();
    assert!(
        headline
            .is_some_and(|said| said.contains("not its user agent")
                || said.contains("not their user agents")),
        "{headline:?}"
    );

    // What it can't be: not there, an imitation, arguments of nothing.
    for (arguments, expected) in [
        (
            &["--command", "no-such"][..],
            "\"no-such\" can't be run: there is no such program in",
        ),
        (
            &["--command", "curl_chrome116"],
            "\"curl_chrome\" imitates browsers",
        ),
        (&["--user-agent", "x", "--", "-cp"], "required arguments"),
        (&[], "required arguments"),
    ] {
        let (code, out, err) = ask(arguments).await;
        assert_eq!(code, 2, "{arguments:?}: {err}");
        let said = format!("{out}{err}").replace("\\\"", "\"");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    // One that can't answer says nothing about the partner.
    let (code, out, _) = ask(&["--command", "/bin/false"]).await;
    assert_eq!(code, 2, "{out}");
    assert!(
        out.contains("Can't tell whether `false` would pass."),
        "{out}"
    );
}

/// Whatever ends edgewatch ends its programs.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_does_not_outlive_edgewatch() {
    let directory = kept::folder();
    let path = |name: &str| directory.path().join(name);
    nix::unistd::mkfifo(&path("held"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Whoever lives holds the pipe open for writing.
    let text = format!(
        "version: 1\nservice: s\ntimezone: UTC\nclients: {{ hang: {{ command: [/bin/sh, -c, \"exec 9>{}; echo up >&9; exec sleep 62\"] }} }}\n\
         probes: {{ p: {{ url: http://partner.test/, connect_to: 127.0.0.1, every: 5m, timeout: 60s }} }}\n",
        path("held").display()
    );
    std::fs::write(path("probes.yaml"), text).unwrap();
    let mut command = program(&["once", "--config"]);
    command.arg(path("probes.yaml"));
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let held = path("held");
    tokio::task::spawn_blocking(move || {
        let mut held = std::io::BufReader::new(std::fs::File::open(held).unwrap());
        let mut said = String::new();
        held.read_line(&mut said).unwrap();
        assert_eq!(said, "up\n");
        child.kill().unwrap();
        child.wait().unwrap();
        // Its end, which comes when nobody holds the pipe any more.
        assert_eq!(held.read_line(&mut said).unwrap(), 0);
    })
    .await
    .unwrap();
}
