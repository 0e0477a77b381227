//! The workers of `deploy/workers` with a real JVM, Python and Node: one process for many requests, each a full handshake.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use edgewatch::domain::cell::{Keep, Program, Speaks};
use edgewatch::domain::observation::{FailureKind, HttpVersion, Observation, Phase, Purpose};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::probe::Template;
use edgewatch::domain::sent::Stack;
use edgewatch::probe::Prober;
use http::Method;

use crate::plan::plan;
use crate::probe::{password_in, with_password};
use crate::programs::{heard, trusting};
use crate::server::certificates::Authority;
use crate::server::{Reply, Server};

fn found(name: &str, install: &str) -> String {
    let places = ["/usr/local/bin", "/usr/bin", "/bin"];
    let mut places = places.iter().map(|place| Path::new(place).join(name));
    let place = places.find(|path| path.exists());
    let place = place.unwrap_or_else(|| panic!("{name} is not here; apt-get install {install}"));
    place.display().to_string()
}

fn shipped(name: &str) -> String {
    format!("{}/deploy/workers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The Java worker, compiled as its page says; once for all tests.
fn classes() -> &'static Path {
    static CLASSES: OnceLock<PathBuf> = OnceLock::new();
    CLASSES.get_or_init(|| {
        found("javac", "openjdk-17-jdk-headless");
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("workers");
        let built = Command::new(shipped("build"))
            .arg(&folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success() && said.is_empty(), "{said}");
        folder
    })
}

pub(crate) fn java(kind: &str) -> Program {
    let java = found("java", "openjdk-17-jre-headless");
    let options = [
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xmx64m",
        "-cp",
    ];
    let options = options.map(str::to_owned);
    let rest = [
        classes().display().to_string(),
        "Worker".to_owned(),
        kind.to_owned(),
    ];
    kept([vec![java], options.into(), rest.into()].concat())
}

fn python(kind: &str) -> Program {
    let python = "/usr/bin/python3".to_owned();
    kept(vec![python, shipped("worker.py"), kind.to_owned()])
}

fn node() -> Program {
    kept(vec![found("node", "nodejs"), shipped("worker.mjs")])
}

fn script(text: &str) -> Program {
    kept(vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

fn kept(command: Vec<String>) -> Program {
    Program {
        command,
        speaks: Speaks::Lines,
        variables: Vec::new(),
        http: None,
        keep: Some(Keep::default()),
    }
}

/// The plan's one cell by the same prober, so that what is kept is kept.
async fn ask(prober: &Arc<Prober>, plan: &Plan) -> Observation {
    let cell = plan.cells().next().expect("a cell").1;
    let now = edgewatch::clock::now();
    let prober = Arc::clone(prober);
    let run = async move { prober.run(&cell, Purpose::Schedule, now, now).await };
    tokio::spawn(run).await.unwrap()
}

fn prober(plan: &Plan) -> Arc<Prober> {
    Arc::new(Prober::new(plan).unwrap())
}

/// Processes whose command line holds this text.
fn processes(text: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let named = entries.filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(text)
            .then(|| entry.file_name().into_string().ok()?.parse().ok())?
    });
    named.collect()
}

async fn until_none(text: &str) {
    let begun = Instant::now();
    while !processes(text).is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{text} outlived its prober"
        );
        tokio::task::yield_now().await;
    }
}

/// What each runtime sends when nobody stands between it and the host.
async fn bare(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("workers");
    let hosts = folder.join("hosts");
    heard(|url, _| match name {
        "HttpUrlConnection" | "HttpClient" => {
            let ask = if name == "HttpClient" {
                "java.net.http.HttpClient.newHttpClient().send(java.net.http.HttpRequest.newBuilder(java.net.URI.create(a[0])).build(), \
                 java.net.http.HttpResponse.BodyHandlers.discarding());"
            } else {
                "new java.net.URL(a[0]).openConnection().getInputStream().read();"
            };
            // A name with a dot, without asking anybody for it.
            std::fs::write(&hosts, "127.0.0.1 partner.test\n").unwrap();
            let source = folder.join(format!("Bare{name}.java"));
            let text = format!("class Bare{name} {{ public static void main(String[] a) throws Exception {{ {ask} }} }}");
            std::fs::write(&source, text).unwrap();
            let mut java = Command::new(found("java", "openjdk-17-jdk-headless"));
            java.arg(format!("-Djdk.net.hosts.file={}", hosts.display()));
            java.arg(source).arg(url);
            java
        }
        "node" => {
            let mut node = Command::new(found("node", "nodejs"));
            let lookup = "(name, options, done) => options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)";
            node.args(["-e", &format!("require('https').get('{url}', {{ lookup: {lookup} }}).on('error', () => {{}})")]);
            node
        }
        kind => {
            let mut python = Command::new("/usr/bin/python3");
            let ask = if kind == "requests" { "import requests; requests.get(url)" } else { "import urllib.request; urllib.request.urlopen(url)" };
            let text = format!(
                "import socket\nreal = socket.getaddrinfo\nsocket.getaddrinfo = lambda host, *rest, **more: real('127.0.0.1', *rest, **more)\n\
                 url = '{url}'\n{ask}"
            );
            python.args(["-c", &text]);
            python
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_worker_asks_with_its_own_tls_by_the_egress() {
    let authority = Authority::new();
    let identity = authority.issue(&["partner.test"]);
    let server = Server::https(identity.tls(), |seen| {
        let told = seen.header("x-team").unwrap_or_default();
        let right = seen.body == b"<a>hunter22 \xc3\xa9</a>" && told == "hunter22";
        Reply::new(if right { 403 } else { 400 })
            .header("X-Seen", "1")
            .body("no")
    })
    .await;
    let mut fingerprints = Vec::new();
    for (name, program) in [
        ("HttpUrlConnection", java("HttpUrlConnection")),
        ("HttpClient", java("HttpClient")),
        ("urllib", python("urllib")),
        ("requests", python("requests")),
        ("node", node()),
    ] {
        let mut plan = trusting(&server, &authority, program.clone());
        with_password(&mut plan, "hunter22");
        plan.clients[0].user_agent = "Own/1.0".to_owned();
        plan.probes[0].method = Method::POST;
        plan.probes[0].headers = vec![
            ("X-Team".to_owned(), password_in("", "")),
            ("Content-Type".to_owned(), Template::text("text/xml")),
        ];
        plan.probes[0].body = Some(password_in("<a>", " é</a>"));
        plan.probes[0].timeout = Duration::from_secs(30);
        let prober = prober(&plan);
        let (first, second) = (ask(&prober, &plan).await, ask(&prober, &plan).await);
        for seen in [&first, &second] {
            assert_eq!(seen.failure, None, "{name}");
            let answer = seen.answer.as_ref().expect(name);
            assert_eq!(answer.status, 403, "{name}");
            assert_eq!(&*answer.body.bytes, b"no", "{name}");
            assert_eq!(answer.header("x-seen"), Some("1"), "{name}");
            let sent = seen.sent.as_ref().expect(name);
            let Stack::Program { version, .. } = &sent.stack else {
                panic!("{name}: {sent:?}");
            };
            assert!(
                version.starts_with(|c: char| c.is_ascii_digit()),
                "{name}: {version}"
            );
            assert_eq!(sent.ja4_fresh, None, "{name}: a session was taken up");
            assert_eq!(
                seen.route.local.unwrap().ip().to_string(),
                "127.0.0.2",
                "{name}"
            );
            let text = serde_json::to_string(seen).unwrap();
            assert!(!text.contains("hunter22"), "{name}: a secret came back");
        }
        let ja4 = |seen: &Observation| seen.sent.clone().unwrap().ja4.unwrap();
        assert_eq!(ja4(&first), ja4(&second), "{name}");
        assert_eq!(
            ja4(&first),
            bare(name).await,
            "{name}: another with edgewatch between"
        );
        let asked = server.seen().last().unwrap().clone();
        assert_eq!(asked.peer.ip().to_string(), "127.0.0.2", "{name}");
        assert_eq!(asked.header("user-agent"), Some("Own/1.0"), "{name}");
        assert_eq!(asked.header("content-type"), Some("text/xml"), "{name}");
        fingerprints.push(ja4(&first));
    }
    let part = |place: usize, n: usize| fingerprints[place].split('_').nth(n).unwrap();
    // One JVM: the cipher suites are the same, what it offers beyond them is not.
    assert_eq!(part(0, 1), part(1, 1));
    assert!(
        part(0, 0).ends_with("00") && part(1, 0).ends_with("h2"),
        "{fingerprints:?}"
    );
    let others = [part(0, 1), part(2, 1), part(4, 1)];
    assert!(others[0] != others[1] && others[1] != others[2] && others[0] != others[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_jvm_is_one_process_that_comes_back() {
    let authority = Authority::new();
    let identity = authority.issue(&["partner.test"]);
    let server = Server::https(identity.tls(), |_| Reply::new(200).body("ok")).await;
    for kind in ["HttpUrlConnection", "HttpClient"] {
        let mut program = java(kind);
        let mark = format!("-Dtest={}", uuid::Uuid::new_v4());
        program.command.insert(1, mark.clone());
        let mut plan = trusting(&server, &authority, program);
        plan.probes[0].timeout = Duration::from_secs(30);
        let prober = prober(&plan);
        let (mut fingerprints, mut warm) = (Vec::new(), Duration::MAX);
        for _ in 0..40 {
            let seen = ask(&prober, &plan).await;
            assert_eq!(seen.failure, None, "{kind}");
            fingerprints.push(seen.sent.unwrap().ja4);
            warm = warm.min(seen.took);
        }
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), 1, "{kind}: {fingerprints:?}");
        assert!(warm < Duration::from_millis(250), "{kind}: {warm:?}");
        let [one] = processes(&mark)[..] else {
            panic!("{kind}: {:?}", processes(&mark));
        };
        let threads = std::fs::read_dir(format!("/proc/{one}/task"))
            .unwrap()
            .count();
        assert!(threads < 60, "{kind}: {threads} threads");
        // It dies, and the next run has another.
        let pid = nix::unistd::Pid::from_raw(one.cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        let seen = ask(&prober, &plan).await;
        assert_eq!(seen.failure, None, "{kind}");
        assert_ne!(processes(&mark), [one], "{kind}");
        drop(prober);
        until_none(&mark).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_fails_as_the_wire_says() {
    let authority = Authority::new();
    let other = Authority::named("Other");
    let server = Server::https(other.issue(&["partner.test"]).tls(), |_| Reply::new(200)).await;
    for (name, program) in [
        ("java", java("HttpUrlConnection")),
        ("python", python("urllib")),
        ("node", node()),
    ] {
        let mut plan = trusting(&server, &authority, program);
        plan.probes[0].timeout = Duration::from_secs(30);
        let seen = ask(&prober(&plan), &plan).await;
        let failure = seen.failure.expect(name);
        let found = (failure.phase, failure.kind);
        assert_eq!(
            found,
            (Phase::Tls, FailureKind::Certificate),
            "{name}: {}",
            failure.message
        );
    }
    // Nobody there: what the gate met counts, whatever the program makes of it.
    let mut plan = trusting(&server, &authority, java("HttpUrlConnection"));
    plan.probes[0].timeout = Duration::from_secs(30);
    drop(server);
    let failure = ask(&prober(&plan), &plan).await.failure.expect("a failure");
    assert_eq!(
        (failure.phase, failure.kind),
        (Phase::Connect, FailureKind::Refused)
    );
}

/// Kept programs that misbehave: our side's matter each time, and the next run has a new process.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_program_that_misbehaves_is_replaced() {
    let server = Server::http(|_| Reply::new(200).body("ok")).await;
    let hello = r#"echo '{"v":1,"hello":{"name":"sh","version":"5"}}';"#;
    let read = r#"read line; id=$(echo "$line" | sed 's/.*"id":"\([0-9a-f]*\)".*/\1/'); port=$(echo "$line" | sed 's/.*"port":\([0-9]*\).*/\1/');"#;
    let say = r#"echo "{\"v\":1,\"id\":\"$id\",\"status\":200}";"#;
    let go = format!(
        "curl -qs -x http://127.0.0.1:$port {} >/dev/null;",
        server.url("/")
    );
    let check = async |name: &str, text: String, expected: &str| {
        let mut plan = plan(&server.url("/"));
        plan.probes[0].timeout = Duration::from_secs(5);
        plan.clients[0].program = Some(script(&text));
        let prober = prober(&plan);
        for time in 1..=2 {
            let failure = ask(&prober, &plan).await.failure.expect(name);
            assert_eq!(failure.kind, FailureKind::Program, "{name} {time}");
            let told = format!("the program of client {}: {expected}", plan.clients[0].name);
            assert!(
                failure.message.starts_with(&told),
                "{name} {time}: {}",
                failure.message
            );
        }
    };
    let wrong = "said \"hello\" in place of a hello";
    check("no hello", "echo hello; cat >/dev/null".to_owned(), wrong).await;
    let missing = "echo 'no class Worker' >&2; exit 1".to_owned();
    check(
        "ends at once",
        missing,
        "ended (exit status: 1): no class Worker",
    )
    .await;
    check(
        "ends at the request",
        format!("{hello} {read} exit 3"),
        "ended (exit status: 3)",
    )
    .await;
    let other = format!("{hello} {read} id=7; {say}");
    check("answers another", other, "answered another request").await;
    let claim = format!("{hello} while :; do {read} {say} done");
    let unseen = "says that the answer was HTTP 200, and did not connect through edgewatch";
    check("claims", claim, unseen).await;
    let hang = format!("{hello} {read} sleep 63");
    check("hangs", hang, "made no connection within 5 s").await;
    until_none("sleep 63").await;

    // An answer too many is no answer to the next request.
    let mut plan = plan(&server.url("/"));
    let twice = format!("{hello} while :; do {read} {go} {say} {say} done");
    plan.clients[0].program = Some(script(&twice));
    let prober = prober(&plan);
    assert_eq!(ask(&prober, &plan).await.failure, None);
    // Whether the second line came with the first or later, it is never taken for an answer.
    let failure = ask(&prober, &plan).await.failure.expect("spoke too much");
    assert_eq!(failure.kind, FailureKind::Program, "{}", failure.message);
    let seen = ask(&prober, &plan).await;
    assert_eq!(
        (seen.failure, seen.answer.unwrap().http),
        (None, HttpVersion::H1_1)
    );
}
