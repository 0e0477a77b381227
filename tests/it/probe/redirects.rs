//! Redirects: how far they are followed, and what goes along.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use edgewatch::domain::observation::{FailureKind, Phase};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::probe::{Cookies, Redirects, Template};
use http::Method;

use super::{assert_answered, password_in, run, with_password};
use crate::plan::plan;
use crate::server::{Reply, Seen, Server};

/// Answers `/end` with 200, and every other path with a redirect to what follows in `to`.
fn to(status: u16, to: impl Fn(&Seen) -> String) -> impl Fn(&Seen) -> Reply {
    move |seen| match seen.target.as_str() {
        "/end" => Reply::new(200).body("end"),
        _ => Reply::new(status)
            .header("Location", to(seen))
            .body("moved"),
    }
}

fn following(url: &str, redirects: Redirects) -> Plan {
    let mut plan = plan(url);
    plan.probes[0].redirects = redirects;
    plan
}

#[tokio::test]
async fn redirects_are_answers_unless_told_otherwise() {
    let server = Server::http(to(302, |_| "/end".to_owned())).await;
    let seen = run(&following(&server.url("/start"), Redirects::No)).await;
    assert_answered(&seen, 302, "moved");
    assert_eq!((seen.hops.len(), server.seen().len()), (0, 1));
}

#[tokio::test]
async fn redirects_are_followed_and_told() {
    let server = Server::http(|seen| match seen.target.as_str() {
        "/a/start?session=1" => Reply::new(302).header("Location", "next?x=2#there"),
        "/a/next?x=2" => Reply::new(301).header("Location", "/end"),
        _ => Reply::new(200).body("end"),
    })
    .await;
    let url = server.url("/a/start?session=1");
    let seen = run(&following(&url, Redirects::SameHost(2))).await;
    assert_answered(&seen, 200, "end");
    let hops: Vec<_> = seen
        .hops
        .iter()
        .map(|h| (h.url.clone(), h.status, h.location.as_str()))
        .collect();
    assert_eq!(
        hops,
        [
            (server.url("/a/start"), 302, "next?x=2#there"),
            (server.url("/a/next"), 301, "/end"),
        ]
    );
    // Each hop has a connection of its own, and the route is the last one's.
    let peers: Vec<_> = server.seen().iter().map(|s| s.peer).collect();
    assert_ne!(peers[0], peers[1]);
    assert_eq!(seen.route.local, Some(peers[2]));
}

/// A gate that redirects to itself until its cookie comes back, as some CDNs have.
#[tokio::test]
async fn a_gate_gets_its_cookie_back() {
    let server = Server::http(|seen| match seen.header("cookie") {
        Some("own=1; gate=open") => Reply::new(200).body("end"),
        _ => Reply::new(302)
            .header("Location", "/ws?again")
            .header("Set-Cookie", "gate=open; Path=/; HttpOnly")
            .header("Set-Cookie", "other=1; Path=/elsewhere"),
    })
    .await;
    let mut plan = following(&server.url("/ws"), Redirects::SameHost(5));
    plan.probes[0].headers = vec![("Cookie".to_owned(), Template::text("own=1"))];
    let seen = run(&plan).await;
    assert_answered(&seen, 200, "end");
    assert_eq!(seen.hops.len(), 1);
    // Nothing is left of it for the next run.
    assert_eq!(run(&plan).await.hops.len(), 1);
    assert_eq!(server.seen()[2].header("cookie"), Some("own=1"));

    plan.probes[0].cookies = Cookies::None;
    let failure = run(&plan).await.failure.expect("a failure");
    assert_eq!(failure.kind, FailureKind::Redirects);
}

#[tokio::test]
async fn a_redirect_too_many_is_a_failure_with_its_answer() {
    let count = AtomicU16::new(0);
    let server = Server::http(to(302, move |_| {
        format!("/again?n={}", count.fetch_add(1, Ordering::Relaxed))
    }))
    .await;
    let seen = run(&following(&server.url("/"), Redirects::Any(3))).await;
    let failure = seen.failure.expect("a failure");
    assert_eq!(
        (failure.phase, failure.kind),
        (Phase::Transfer, FailureKind::Redirects)
    );
    assert_eq!(
        failure.message,
        format!(
            "more than 3 redirects; the next would lead to {}",
            server.url("/again")
        )
    );
    let answer = seen.answer.expect("an answer");
    assert_eq!(
        (answer.status, &answer.body.bytes[..]),
        (302, &b"moved"[..])
    );
    assert_eq!((seen.hops.len(), server.seen().len()), (3, 4));
}

#[tokio::test]
async fn methods_and_bodies_follow_the_status() {
    let check = async |method: Method, status: u16, method_then: &str, body_then: &str| {
        let server = Server::http(to(status, |_| "/end".to_owned())).await;
        let mut plan = following(&server.url("/start"), Redirects::SameHost(1));
        plan.probes[0].method = method.clone();
        plan.probes[0].body = (method == Method::POST).then(|| Template::text("<a/>"));
        plan.probes[0].headers = [("Content-Type", "text/xml"), ("X-Own", "1")]
            .map(|(n, v)| (n.to_owned(), Template::text(v)))
            .into();
        run(&plan).await;
        let sent = &server.seen()[1];
        let body = String::from_utf8_lossy(&sent.body);
        assert_eq!(
            (sent.method.as_str(), body.as_ref()),
            (method_then, body_then),
            "{status}"
        );
        assert_eq!(sent.header("x-own"), Some("1"));
        let described = method != Method::POST || !body_then.is_empty();
        assert_eq!(sent.header("content-type").is_some(), described, "{status}");
    };
    check(Method::POST, 301, "GET", "").await;
    check(Method::POST, 302, "GET", "").await;
    check(Method::POST, 303, "GET", "").await;
    check(Method::POST, 307, "POST", "<a/>").await;
    check(Method::POST, 308, "POST", "<a/>").await;
    check(Method::HEAD, 303, "HEAD", "").await;
}

#[tokio::test]
async fn nothing_private_goes_to_another_host() {
    let other = Server::http(|seen| match seen.target.as_str() {
        "/end" => Reply::new(200).body("end"),
        back => Reply::new(302).header("Location", back.trim_start_matches("/to/").to_owned()),
    })
    .await;
    let elsewhere = other.url("/end");
    let own = Server::http(to(302, move |_| elsewhere.clone())).await;

    let private = |url: &str, redirects: Redirects| {
        let mut plan = following(url, redirects);
        with_password(&mut plan, "hunter22");
        plan.clients[0].headers = [("Accept-Language", "en"), ("Cookie", "id=7")]
            .map(|(n, v)| (n.to_owned(), Some(v.to_owned())))
            .into();
        plan.probes[0].method = Method::POST;
        plan.probes[0].headers = vec![
            ("Host".to_owned(), Template::text("pinned.example")),
            ("X-Key".to_owned(), password_in("", "")),
        ];
        plan.probes[0].body = Some(password_in("p=", ""));
        plan
    };

    // Not the same host: the redirect is the answer.
    let seen = run(&private(&own.url("/"), Redirects::SameHost(5))).await;
    assert_answered(&seen, 302, "moved");
    assert_eq!(other.seen().len(), 0);

    let seen = run(&private(&own.url("/"), Redirects::Any(5))).await;
    assert_answered(&seen, 200, "end");
    let expected = format!(
        "GET /end HTTP/1.1\r\nHost: {}\r\nUser-Agent: edgewatch-test\r\nAccept: */*\r\n\
         Accept-Language: en\r\n\r\n",
        other.address
    );
    assert_eq!(other.seen()[0].head, expected);

    // Once it has left, nothing private comes back to the first host either.
    let back = format!("/to/{}", own.url("/end"));
    let away = other.url(&back);
    let first = Server::http(to(302, move |_| away.clone())).await;
    let seen = run(&private(&first.url("/"), Redirects::Any(5))).await;
    assert_answered(&seen, 200, "end");
    let last = own.seen().pop().expect("a request");
    assert_eq!((last.target.as_str(), last.header("x-key")), ("/end", None));
    assert_eq!(last.header("cookie"), None);

    // A body that must go along can't, so the redirect is the answer.
    let elsewhere = other.url("/end");
    let keep = Server::http(to(307, move |_| elsewhere.clone())).await;
    let seen = run(&private(&keep.url("/"), Redirects::Any(5))).await;
    assert_answered(&seen, 307, "moved");
}

#[tokio::test]
async fn a_secret_in_a_location_is_masked() {
    let server = Server::http(to(302, |_| "/end?p=hunter22+x".to_owned())).await;
    let end = Arc::new(server);
    let mut plan = following(&end.url("/"), Redirects::SameHost(1));
    with_password(&mut plan, "hunter22 x");
    let seen = run(&plan).await;
    assert_eq!(seen.hops[0].location, "/end?p=[secret]");
    assert!(!format!("{seen:?}").contains("hunter22"));
}

#[tokio::test]
async fn odd_locations_are_final() {
    for location in ["mailto:a@b.example", "http://", "ftp://127.0.0.1/"] {
        let server = Server::http(to(302, move |_| location.to_owned())).await;
        let seen = run(&following(&server.url("/"), Redirects::Any(5))).await;
        assert_answered(&seen, 302, "moved");
    }
    let server = Server::http(|_| Reply::new(302).body("nowhere")).await;
    let seen = run(&following(&server.url("/"), Redirects::Any(5))).await;
    assert_answered(&seen, 302, "nowhere");
}
