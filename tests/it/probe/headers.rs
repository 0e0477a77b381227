//! The bytes of a request, and the bounds of an answer's head.

use edgewatch::domain::cell::HeaderCase;
use edgewatch::domain::observation::{FailureKind, HttpVersion, Observation, Phase};
use edgewatch::domain::probe::Template;
use http::Method;

use super::{assert_answered, assert_failed, run};
use crate::plan::plan;
use crate::server::{Reply, Server};

type Pair<'a> = (&'a str, &'a str);

struct Case<'a> {
    name: &'a str,
    user_agent: &'a str,
    spelling: HeaderCase,
    /// `~` stands for no value: the place alone.
    client: &'a [Pair<'a>],
    probe: &'a [Pair<'a>],
    body: Option<&'a str>,
    /// `HOST` stands for the server's address.
    expected: &'a str,
}

const PLAIN: Case<'_> = Case {
    name: "nothing is listed",
    user_agent: "Java/1.8.0_275",
    spelling: HeaderCase::Title,
    client: &[],
    probe: &[],
    body: None,
    expected: "GET /x?y=1 HTTP/1.1\r\nHost: HOST\r\nUser-Agent: Java/1.8.0_275\r\nAccept: */*\r\n\r\n",
};

#[tokio::test]
async fn requests_are_exactly_as_configured() {
    let cases = [
        PLAIN,
        Case {
            name: "no user agent",
            user_agent: "",
            expected: "GET /x?y=1 HTTP/1.1\r\nHost: HOST\r\nAccept: */*\r\n\r\n",
            ..PLAIN
        },
        Case {
            name: "client, then probe, then the length; the operator's spelling under title case",
            client: &[("accept-language", "en"), ("DNT", "1")],
            probe: &[("SOAPAction", "urn:x"), ("content-type", "text/xml")],
            body: Some("<a/>"),
            expected: "POST /x?y=1 HTTP/1.1\r\nHost: HOST\r\nUser-Agent: Java/1.8.0_275\r\nAccept: */*\r\n\
                       Accept-Language: en\r\nDNT: 1\r\nSOAPAction: urn:x\r\nContent-Type: text/xml\r\n\
                       Content-Length: 4\r\n\r\n",
            ..PLAIN
        },
        Case {
            name: "listed ones keep their place",
            client: &[
                ("Accept", "text/html"),
                ("Connection", "keep-alive"),
                ("User-Agent", "Mine/1"),
            ],
            probe: &[("X-Last", "1"), ("Host", "other.example")],
            expected: "GET /x?y=1 HTTP/1.1\r\nAccept: text/html\r\nConnection: keep-alive\r\n\
                       User-Agent: Mine/1\r\nX-Last: 1\r\nHost: other.example\r\n\r\n",
            ..PLAIN
        },
        Case {
            name: "a probe's header takes the place of a client's",
            client: &[
                ("Accept", "a"),
                ("X-One", "c"),
                ("X-Two", "c"),
                ("x-one", "c2"),
            ],
            probe: &[("X-Three", "p"), ("X-One", "p"), ("accept", "b")],
            expected: "GET /x?y=1 HTTP/1.1\r\nHost: HOST\r\nUser-Agent: Java/1.8.0_275\r\nAccept: b\r\n\
                       X-One: p\r\nX-Two: c\r\nX-Three: p\r\n\r\n",
            ..PLAIN
        },
        Case {
            name: "repeated names stay apart",
            probe: &[("X-A", "1"), ("X-B", "2"), ("X-A", "3")],
            expected: "GET /x?y=1 HTTP/1.1\r\nHost: HOST\r\nUser-Agent: Java/1.8.0_275\r\nAccept: */*\r\n\
                       X-A: 1\r\nX-B: 2\r\nX-A: 3\r\n\r\n",
            ..PLAIN
        },
        Case {
            name: "places, and none",
            client: &[
                ("accept-language", "en"),
                ("Accept", "~"),
                ("user-agent", "~"),
                ("Content-Length", "~"),
                ("SOAPAction", "c"),
                ("Host", "~"),
                ("Connection", "Keep-Alive"),
            ],
            probe: &[("SOAPAction", "p")],
            spelling: HeaderCase::AsWritten,
            expected: "GET /x?y=1 HTTP/1.1\r\naccept-language: en\r\nuser-agent: Java/1.8.0_275\r\n\
                       Content-Length: 0\r\nSOAPAction: p\r\nHost: HOST\r\nConnection: Keep-Alive\r\n\r\n",
            ..PLAIN
        },
        Case {
            name: "a place of what is not there; a probe's own Accept is sent",
            user_agent: "",
            client: &[
                ("User-Agent", "~"),
                ("Content-Length", "~"),
                ("accept", "~"),
            ],
            probe: &[("Accept", "text/xml")],
            body: Some("<a/>"),
            expected: "POST /x?y=1 HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\nAccept: text/xml\r\n\r\n",
            ..PLAIN
        },
        Case {
            name: "lower case",
            spelling: HeaderCase::Lower,
            probe: &[("X-Custom", "1"), ("Content-Length", "999")],
            body: Some(""),
            expected: "POST /x?y=1 HTTP/1.1\r\nhost: HOST\r\nuser-agent: Java/1.8.0_275\r\naccept: */*\r\n\
                       x-custom: 1\r\ncontent-length: 0\r\n\r\n",
            ..PLAIN
        },
    ];
    let server = Server::http(|_| Reply::new(200).body("ok")).await;
    for (index, case) in cases.iter().enumerate() {
        let mut plan = plan(&server.url("/x?y=1"));
        plan.clients[0].user_agent = case.user_agent.to_owned();
        plan.clients[0].header_case = case.spelling;
        let listed = case.client.iter();
        plan.clients[0].headers = listed
            .map(|(n, v)| (n.to_string(), (*v != "~").then(|| v.to_string())))
            .collect();
        let listed = case.probe.iter();
        plan.probes[0].headers = listed
            .map(|(n, v)| (n.to_string(), Template::text(*v)))
            .collect();
        if let Some(body) = case.body {
            plan.probes[0].method = Method::POST;
            plan.probes[0].body = Some(Template::text(body));
        }
        assert_answered(&run(&plan).await, 200, "ok");
        let expected = case.expected.replace("HOST", &server.address.to_string());
        let sent = &server.seen()[index];
        assert_eq!(sent.head, expected, "{}", case.name);
        assert_eq!(
            sent.body,
            case.body.unwrap_or_default().as_bytes(),
            "{}",
            case.name
        );
    }
}

#[tokio::test]
async fn requests_over_http2_are_as_configured_too() {
    let server = Server::http2(|_| Reply::new(200).body("ok")).await;
    let mut plan = plan(&server.url("/x?y=1"));
    plan.clients[0].http = edgewatch::domain::cell::HttpOffer::Http2;
    plan.clients[0].headers = vec![("Accept-Language".to_owned(), Some("en".to_owned()))];
    plan.probes[0].method = Method::POST;
    plan.probes[0].headers = [("SOAPAction", "a"), ("Connection", "close"), ("X-B", "b")]
        .map(|(n, v)| (n.to_owned(), Template::text(v)))
        .into();
    let check =
        async |plan: &edgewatch::domain::plan::Plan, index: usize, expected: &[Pair<'_>]| {
            let seen = run(plan).await;
            assert_answered(&seen, 200, "ok");
            assert_eq!(seen.answer.expect("an answer").http, HttpVersion::H2);
            let sent = &server.seen()[index];
            let sent: Vec<Pair<'_>> = sent.headers.iter().map(|(n, v)| (&**n, &**v)).collect();
            assert_eq!(sent, expected);
        };
    let host = server.address.to_string();
    let start = [
        (":authority", host.as_str()),
        ("user-agent", "edgewatch-test"),
        ("accept", "*/*"),
        ("accept-language", "en"),
        ("soapaction", "a"),
        ("x-b", "b"),
    ];
    // No body: no content-length of anybody's invention.
    check(&plan, 0, &start).await;
    plan.probes[0].body = Some(Template::text("<a/>"));
    let with_body = [&start[..], &[("content-length", "4")]].concat();
    check(&plan, 1, &with_body).await;
    assert_eq!(server.seen()[1].body, b"<a/>");
}

#[tokio::test]
async fn refuses_headers_that_would_break_the_framing() {
    let check = async |name: &str, value: &str, expected: &str| {
        let mut plan = plan("http://127.0.0.1:9/");
        plan.probes[0].headers = vec![(name.to_owned(), Template::text(value))];
        let seen = run(&plan).await;
        assert_failed(&seen, Phase::FirstByte, FailureKind::Local, expected);
    };
    check(
        "X-Bad Name",
        "1",
        "header \"X-Bad Name\" can't be sent: its name holds characters that HTTP forbids",
    )
    .await;
    check(
        "Transfer-Encoding",
        "chunked",
        "header \"Transfer-Encoding\" can't be sent: bodies are sent with Content-Length",
    )
    .await;
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let check = async |count: usize, length: usize| {
        let server = Server::raw(move |mut connection| async move {
            connection.request().await;
            connection.send("HTTP/1.1 200 OK\r\n").await;
            for index in 0..count {
                let line = format!("X-{index}: {}\r\n", "x".repeat(length));
                if !connection.send(line).await {
                    return;
                }
            }
            connection.send("Content-Length: 0\r\n\r\n").await;
            connection.finish().await;
        })
        .await;
        (run(&plan(&server.url("/"))).await, server.address)
    };
    let (many, long) = (
        "more than 200 headers",
        "more than 65536 bytes before the end of its headers",
    );
    for (count, length, what) in [
        (10_000, 1, many),
        (201, 1, many),
        (150, 1000, long),
        (1, 300_000, long),
    ] {
        let (seen, address) = check(count, length).await;
        let message = format!("{address} answered with {what}, which is edgewatch's limit");
        assert_failed(&seen, Phase::FirstByte, FailureKind::Limit, &message);
    }
    let (seen, _) = check(199, 100).await;
    assert_answered(&seen, 200, "");
    assert_eq!(seen.answer.expect("an answer").headers.len(), 200);
}

/// The run ended at the bound on what is no content, soon after it was reached.
#[track_caller]
pub(super) fn assert_too_much_around(seen: &Observation, phase: Phase, server: &Server) {
    let failure = seen.failure.clone().expect("a failure");
    assert_eq!((failure.phase, failure.kind), (phase, FailureKind::Limit));
    let told = failure
        .message
        .strip_prefix(&format!("{} sent ", server.address));
    let (around, rest) = told.and_then(|t| t.split_once(' ')).expect("a count");
    let around: u64 = around.parse().expect("a number");
    assert!((512 * 1024..1024 * 1024).contains(&around), "{around}");
    assert!(rest.starts_with("bytes around "), "{rest}");
    assert!(rest.ends_with("edgewatch's limit is 512 KiB"), "{rest}");
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let server = Server::raw(|mut connection| async move {
        connection.request().await;
        connection
            .send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            .await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        connection.finish().await;
    })
    .await;
    assert_answered(&run(&plan(&server.url("/"))).await, 200, "ok");

    // But not without end.
    let server = Server::raw(|mut connection| async move {
        connection.request().await;
        while connection
            .send("HTTP/1.1 100 Continue\r\n\r\n".repeat(100))
            .await
        {}
    })
    .await;
    let seen = run(&plan(&server.url("/"))).await;
    assert_too_much_around(&seen, Phase::FirstByte, &server);
}

#[tokio::test]
async fn sloppy_heads_are_read_as_browsers_do() {
    let check = async |head: &'static str, expected: &[Pair<'_>]| {
        let server = Server::raw(move |mut connection| async move {
            connection.request().await;
            connection.send(head).await;
            connection.finish().await;
        })
        .await;
        let seen = run(&plan(&server.url("/"))).await;
        let answer = seen.answer.expect("an answer");
        let headers: Vec<Pair<'_>> = answer.headers.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(headers, expected, "{head}");
        answer.http
    };
    check("HTTP/1.1 200\r\nA: b \r\n\r\n", &[("a", "b")]).await;
    check("HTTP/1.1 200 OK\nA: b\n\n", &[("a", "b")]).await;
    check("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", &[("a", "b")]).await;
    check("HTTP/1.1 200 OK\r\nbad line\r\nA: b\r\n\r\n", &[("a", "b")]).await;
    check(
        "HTTP/1.1 200 OK\r\nA: caf\u{e9}\r\n\r\n",
        &[("a", "caf\u{e9}")],
    )
    .await;
    let http = check("HTTP/1.0 200 OK\r\nA: b\r\n\r\nx", &[("a", "b")]).await;
    assert_eq!(http, HttpVersion::H1_0);
}
