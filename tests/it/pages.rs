//! The dashboard over real sockets: every page of a daemon that found an incident, and who is answered at all.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::daemon::{Daemon, within};
use crate::fakes::Fake;
use crate::kept;
use crate::secrets;
use crate::world::{RULE, World};

/// Of every answer.
const HEADERS: [&str; 6] = [
    "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options: nosniff",
    "referrer-policy: same-origin",
    "cross-origin-opener-policy: same-origin",
    "cross-origin-resource-policy: same-origin",
    "cache-control: ",
];

/// An answer: its status, its head in lower case, its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends these lines over a connection of their own, and reads to the end.
pub(crate) async fn say(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.unwrap());
    let head = String::from_utf8(head.to_vec()).unwrap().to_lowercase();
    let body = String::from_utf8(unchunked(&head, &body[4..])).unwrap();
    kept::keep("page", &body);
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body,
    }
}

/// A body as it was before it went over the wire in pieces (RFC 9112 section 7.1).
fn unchunked(head: &str, mut body: &[u8]) -> Vec<u8> {
    if !head.contains("transfer-encoding: chunked") {
        return body.to_vec();
    }
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let piece = body.get(end + 2..end + 2 + size).unwrap_or_default();
        whole.extend_from_slice(piece);
        if size == 0 {
            break;
        }
        body = &body[end + 2 + size + 2..];
    }
    whole
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    say(address, &request).await
}

/// Where a daemon shows its pages, as its log says.
pub(crate) fn address(world: &World) -> SocketAddr {
    let log = std::fs::read_to_string(world.directory.path().join("daemon.log")).unwrap();
    let (_, rest) = log.rsplit_once("http://edgewatch.localhost:").unwrap();
    let port = rest.split('/').next().unwrap().parse().unwrap();
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// What no page may hold: code or looks that do not come from a file of ours.
fn is_clean(page: &str) {
    for bad in [
        "style=",
        "<style",
        " onclick",
        " onload",
        " onerror",
        "javascript:",
        "<iframe",
        "srcdoc",
    ] {
        assert!(!page.contains(bad), "{bad}: {page}");
    }
    // Every script has its file.
    for script in page.split("<script").skip(1) {
        assert!(script.starts_with(" src=\"/assets/"), "{script}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_tells_the_incident_and_nothing_that_it_may_not() {
    let world = World::start().await;
    let teams = Fake::teams().await;
    let rest = "web: { listen: 127.0.0.1:0 }\nnotify: { receivers: { support: { teams: { webhook: { env: TEAMS_WEBHOOK_URL } } } } }";
    world.write("de1: 127.0.0.2, de2: 127.0.0.3", "1s", rest);
    let daemon = Daemon::start(&world, &teams);
    within("a first round", async { drop(world.partner.seen(4).await) }).await;
    let address = address(&world);
    world.partner.switch(RULE, true);
    within(
        "a card",
        teams.eventually(|teams| !teams.cards().is_empty()),
    )
    .await;

    let now = get(address, "/").await;
    assert_eq!(now.status, 200, "{}", now.head);
    for part in [
        "1 incident is open",
        "href=\"/incidents/1\"",
        "BLOCKED 1010",
        "client <code>legacy</code>",
        "Submitting recommendations",
        "nobody looks after it",
    ] {
        assert!(now.body.contains(part), "{part}: {}", now.body);
    }
    let one = get(address, "/incidents/1").await;
    assert_eq!(one.status, 200);
    for part in [
        "Ruled out",
        "What to do",
        "User-Agent: Java/1.8.0_275",
        "User-Agent: Java/11.0.10",
        "<b>differs</b>",
        "What was asked to find out",
        "Timeline",
        "Ray ID",
    ] {
        assert!(one.body.contains(part), "{part}: {}", one.body);
    }
    let asset = now
        .body
        .split("href=\"")
        .map(|rest| rest.split('"').next().unwrap());
    let style = asset
        .into_iter()
        .find(|path| path.ends_with("-style.css"))
        .unwrap()
        .to_owned();
    for (path, kind, part) in [
        ("/incidents", "text/html", "INC-1"),
        ("/incidents?before=1", "text/html", "There are none before"),
        ("/incidents/1/letter", "text/html", "Subject: "),
        ("/incidents/1/post-mortem", "text/html", "# INC-1: "),
        ("/incidents/1/letter.txt", "text/plain", "Subject: "),
        ("/incidents/1/post-mortem.md", "text/markdown", "# INC-1: "),
        (
            "/incidents/1/evidence.json",
            "application/json",
            "\"subject\"",
        ),
        (style.as_str(), "text/css", "--ground"),
        (
            "/cells/connect/de1/legacy/gmc?range=1h",
            "text/html",
            "BLOCKED 1010",
        ),
        ("/probes/connect", "text/html", "As a table"),
        ("/probes/connect?range=24h", "text/html", "f-blocked"),
        (
            "/probes/connect/history.csv?range=24h",
            "text/csv",
            "\r\nconnect,",
        ),
        ("/help", "text/html", "the partner's edge"),
        ("/accessibility", "text/html", "WCAG 2.2"),
        ("/events", "text/html", "INC-1"),
        ("/events?what=verdicts", "text/html", "pass → BLOCKED"),
        ("/quiet", "text/html", "Nothing is."),
        ("/quiet.csv", "text/csv", "silence,what,from"),
        ("/deliveries", "text/html", "support"),
        ("/deliveries.csv", "text/csv", ",support,1,opened,"),
        ("/schedule", "text/html", "The next "),
        ("/schedule.csv", "text/csv", "due_at,probe,egress"),
        ("/incidents/1", "text/html", "How it looked"),
        ("/incidents/1?round=1", "text/html", "shown above"),
        (
            "/incidents/1?at=2021-02-28T01:54:00Z",
            "text/html",
            "nothing was decided yet",
        ),
        ("/config/1", "text/html", "None before it is kept"),
        ("/incidents.csv", "text/csv", "\r\n1,open,"),
        ("/events.csv?what=verdicts", "text/csv", "pass → BLOCKED"),
        ("/drift.csv", "text/csv", "at,host,what,before,after"),
        (
            "/cells/connect/de1/legacy/gmc/runs.csv?range=1h",
            "text/csv",
            ",edge_block,1010,403,",
        ),
        ("/drift", "text/html", "Fronts now"),
        ("/config", "text/html", "<li id=\"L1\">version: 1</li>"),
        ("/wall", "text/html", "nobody looks after it"),
        ("/maintenance.ics", "text/calendar", "BEGIN:VCALENDAR"),
        ("/badge/connect.svg", "image/svg+xml", "problem since"),
        ("/badge/connect.json", "application/json", "problem since"),
        ("/status", "text/html", "Submitting recommendations"),
        ("/status.atom", "application/atom+xml", "urn:uuid:"),
    ] {
        let found = get(address, path).await;
        assert_eq!(found.status, 200, "{path}");
        assert!(
            found.head.contains(&format!("content-type: {kind}")),
            "{path}: {}",
            found.head
        );
        assert!(found.body.contains(part), "{path}: {}", found.body);
        for header in HEADERS {
            assert!(
                found.head.contains(header),
                "{path} {header}: {}",
                found.head
            );
        }
        if kind == "text/html" {
            is_clean(&found.body);
        }
        for secret in secrets::ALL {
            assert!(!found.body.contains(secret), "{path} shows a secret");
        }
    }
    let moved = get(address, "/months").await;
    assert_eq!(moved.status, 307);
    let month = moved.head.split("location: ").nth(1).unwrap();
    let month = month.split("\r\n").next().unwrap();
    for (path, kind, part) in [
        (month.to_owned(), "text/html", "client <code>legacy</code>"),
        (
            format!("{month}.csv"),
            "text/csv",
            "connect,blocked,client `legacy`,",
        ),
    ] {
        let found = get(address, &path).await;
        assert_eq!(found.status, 200, "{path}");
        assert!(found.head.contains(&format!("content-type: {kind}")));
        assert!(found.body.contains(part), "{path}: {}", found.body);
    }
    as_described(address).await;
    let runs = get(address, "/api/v1/cells/connect/de1/legacy/gmc/runs").await;
    let runs: Value = serde_json::from_str(&runs.body).unwrap();
    let mut refused = runs["runs"].as_array().unwrap().iter();
    // The newest: beside the first ones the same client may still have passed elsewhere.
    let refused = refused.find(|run| run["kind"] == "edge_block");
    let at: Timestamp = refused.unwrap()["at"].as_str().unwrap().parse().unwrap();
    let path = format!("/runs/connect/de1/legacy/gmc/{}", at.as_microsecond());
    let run = get(address, &path).await;
    assert_eq!(run.status, 200, "{path}");
    for part in [
        "BLOCKED 1010",
        "edgewatch's own (rustls)",
        "Header order",
        "The body, as received",
        "error code: 1010",
        "Compare with",
    ] {
        assert!(run.body.contains(part), "{part}: {}", run.body);
    }
    let link = |part: &str| {
        let mut links = run
            .body
            .split("href=\"")
            .map(|rest| rest.split('"').next().unwrap());
        let link = links.find(|link| link.starts_with(part)).unwrap();
        link.replace("&amp;", "&")
    };
    let two = get(address, &link("/compare?")).await;
    assert_eq!(two.status, 200);
    for part in ["What differs", "differs", "What is equal", "modern"] {
        assert!(two.body.contains(part), "{part}: {}", two.body);
    }
    is_clean(&run.body);
    is_clean(&two.body);
    let body = get(address, &link("/bodies/")).await;
    assert!(
        body.head.contains("content-type: text/plain"),
        "{}",
        body.head
    );
    assert!(
        body.head.contains("content-disposition: attachment"),
        "{}",
        body.head
    );
    for path in [
        "/runs/connect/de1/legacy/gmc/1",
        "/runs/connect/de1/legacy/gmc/x",
        "/compare?a=x&b=y",
        "/bodies/..%2F..%2Fetc%2Fpasswd",
        "/gate/nothing",
        "/api/v1/gate/connect?as=nobody",
        "/api/v1/incidents/2",
        "/badge/nothing.svg",
        "/months/2026-13",
        "/months/october",
        "/probes/nothing",
        "/incidents/2",
        "/cells/connect/de1/legacy/nobody",
        "/incidents/x",
        "/incidents/-1",
        "/nothing",
        "/assets/style.css",
        "/../etc/passwd",
        "/incidents/%00",
    ] {
        let found = get(address, path).await;
        assert_eq!(found.status, 404, "{path}");
        is_clean(&found.body);
        for header in HEADERS {
            assert!(
                found.head.contains(header),
                "{path} {header}: {}",
                found.head
            );
        }
    }
    is_clean(&now.body);
    is_clean(&one.body);
    assert_eq!(daemon.stop().await, 0);
    let exported = |arguments: &[&str]| {
        let output = world.command(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let runs: serde_json::Value =
        serde_json::from_str(&exported(&["export", "--format", "json"])).unwrap();
    let probes = runs["probes"].as_array().unwrap();
    let connect = probes.iter().find(|it| it["probe"] == "connect").unwrap();
    let blocked = connect["buckets"][0]["families"]["blocked"].as_u64();
    assert!(blocked.unwrap() >= 2, "{runs}");
    let incidents = exported(&["export", "--what", "incidents", "--probe", "connect"]);
    assert!(
        incidents.contains("\r\nINC-1,open,edge_block,"),
        "{incidents}"
    );
}

/// Every answer of the interface for scripts is as its description says, and the gate's status says what it says.
async fn as_described(address: SocketAddr) {
    let schema = get(address, "/api/v1/schema.json").await;
    let schema: Value = serde_json::from_str(&schema.body).unwrap();
    assert_eq!(schema["openapi"], "3.1.0");
    for (path, described) in schema["paths"].as_object().unwrap() {
        let asked = path
            .replace("{probe}", "connect")
            .replace("{egress}", "de1")
            .replace("{client}", "legacy")
            .replace("{credential}", "gmc")
            .replace("{number}", "1");
        let found = get(address, &asked).await;
        let answers = &described["get"]["responses"];
        let answer = &answers[found.status.to_string()]["content"];
        let (kind, body) = answer.as_object().unwrap().iter().next().unwrap();
        assert!(
            found.head.contains(&format!("content-type: {kind}")),
            "{asked}"
        );
        if kind != "application/json" {
            continue;
        }
        let whole = json!({
            "$ref": body["schema"]["$ref"].as_str().unwrap_or("#/components/schemas/Any"),
            "components": { "schemas": schema["components"]["schemas"] },
        });
        let mut whole = whole;
        whole["components"]["schemas"]["Any"] = json!({ "type": "object" });
        let value: Value = serde_json::from_str(&found.body).unwrap();
        let validator = jsonschema::validator_for(&whole).unwrap();
        let wrong: Vec<String> = validator
            .iter_errors(&value)
            .map(|e| e.to_string())
            .collect();
        assert!(wrong.is_empty(), "{asked}: {wrong:?}\n{value:#}");
    }
    for (path, status, word) in [
        ("/gate/connect?as=legacy", 409, "blocked: "),
        ("/gate/connect?as=modern&from=de2", 200, "safe: "),
        ("/gate/connect?as=modern&max_age_s=0", 503, "unknown: "),
    ] {
        let found = get(address, path).await;
        assert_eq!(
            (found.status, found.body.starts_with(word)),
            (status, true),
            "{path}: {}",
            found.body
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_another_name_or_wants_to_change_something_is_refused() {
    let world = World::start().await;
    let teams = Fake::teams().await;
    let rest = "web: { listen: 127.0.0.1:0, names: [edge.example], path: /edgewatch }";
    world.write("de1: 127.0.0.2", "1s", rest);
    let daemon = Daemon::start(&world, &teams);
    within("a first round", async { drop(world.partner.seen(2).await) }).await;
    let address = address(&world);
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: localhost\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: EDGE.example:443\r\n", 200),
        ("GET /edgewatch HTTP/1.1\r\nHost: edge.example\r\n", 200),
        (
            "GET /edgewatch/incidents HTTP/1.1\r\nHost: edge.example\r\n",
            200,
        ),
        ("HEAD / HTTP/1.1\r\nHost: [::1]:1\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: edgewatch.localhost:9465\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n", 403),
        ("GET / HTTP/1.1\r\nHost: edge.example.evil.example\r\n", 403),
        ("GET / HTTP/1.1\r\nHost: edge.example.\r\n", 403),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
            400,
        ),
        (
            "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n",
            403,
        ),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: evil.example\r\n",
            200,
        ),
        (
            "GET / HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost\r\n",
            403,
        ),
        ("GET / HTTP/1.0\r\n", 403),
        (
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n",
            403,
        ),
        (
            "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 0\r\n",
            405,
        ),
        ("DELETE /incidents/1 HTTP/1.1\r\nHost: localhost\r\n", 405),
        (
            "OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n",
            405,
        ),
        (
            "GET /live HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n",
            403,
        ),
    ] {
        let found = say(address, &format!("{request}Connection: close\r\n\r\n")).await;
        assert_eq!(found.status, status, "{request}");
        for header in HEADERS {
            assert!(
                found.head.contains(header),
                "{request} {header}: {}",
                found.head
            );
        }
        assert!(!found.head.contains("access-control"), "{}", found.head);
        assert!(!found.head.contains("\nserver:"), "{}", found.head);
    }
    let page = say(
        address,
        "GET / HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(
        page.body.contains("href=\"/edgewatch/incidents\""),
        "{}",
        page.body
    );
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_hears_of_every_run_and_of_the_end() {
    let world = World::start().await;
    let teams = Fake::teams().await;
    world.write("de1: 127.0.0.2", "1s", "web: { listen: 127.0.0.1:0 }");
    let daemon = Daemon::start(&world, &teams);
    within("a first round", async { drop(world.partner.seen(2).await) }).await;
    let mut stream = TcpStream::connect(address(&world)).await.unwrap();
    let request = b"GET /live?for=board HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut heard = Vec::new();
    let text = |heard: &[u8]| String::from_utf8_lossy(heard).into_owned();
    within("two changes", async {
        while text(&heard).matches("event: changed").count() < 2 {
            assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0);
        }
    })
    .await;
    let head = text(&heard).to_lowercase();
    for part in [
        "text/event-stream",
        "no-store",
        "x-accel-buffering: no",
        "event: hello",
        "\"build\":",
    ] {
        assert!(head.contains(part), "{part}: {head}");
    }
    let rest = async { while stream.read_buf(&mut heard).await.unwrap_or(0) > 0 {} };
    let (code, ()) = tokio::join!(daemon.stop(), within("the end", rest));
    assert_eq!(code, 0);
    assert!(text(&heard).contains("event: bye"), "{}", text(&heard));
}
