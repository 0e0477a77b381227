//! Connections that are refused, break off or stay silent, and the egress they leave by.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use edgewatch::domain::cell::{HttpOffer, IpFamily, Way};
use edgewatch::domain::observation::{FailureKind, Observation, Phase};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::probe::Template;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{assert_answered, assert_failed, run};
use crate::plan::{egress, plan};
use crate::server::{Connection, Reply, Server};

/// Runs against a server that reads the request and then does as `script` says.
async fn against<F>(
    timeout: Duration,
    script: impl Fn(Connection) -> F + Copy + Send + Sync + 'static,
) -> (Observation, String)
where
    F: Future<Output = ()> + Send + 'static,
{
    let server = Server::raw(move |mut connection| async move {
        connection.request().await;
        script(connection).await;
    })
    .await;
    let mut plan = plan(&server.url("/"));
    plan.probes[0].timeout = timeout;
    (run(&plan).await, server.address.to_string())
}

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_silent_server_is_named_with_the_limit() {
    let (seen, peer) = against(SHORT, Connection::hold).await;
    let message = format!("{peer} accepted the connection but sent nothing within 300 ms");
    assert_failed(&seen, Phase::FirstByte, FailureKind::Timeout, &message);
    assert!(
        seen.took >= SHORT && seen.took < SHORT * 4,
        "{:?}",
        seen.took
    );
    let waited = seen.phases.first_byte.expect("a time");
    assert!(waited <= seen.took && seen.phases.transfer.is_none());
}

#[tokio::test]
async fn a_trickle_does_not_stretch_the_limit() {
    async fn trickle(mut connection: Connection) {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while connection.send("x").await {
            tick.tick().await;
        }
    }
    let (seen, peer) = against(SHORT, |mut connection| async move {
        connection.send("HTTP/1.1 200 OK\r\nX: ").await;
        trickle(connection).await;
    })
    .await;
    let failure = seen.failure.clone().expect("a failure");
    assert_eq!(
        (failure.phase, failure.kind),
        (Phase::FirstByte, FailureKind::Timeout)
    );
    let told = failure.message.strip_prefix(&format!("{peer} sent "));
    let (bytes, rest) = told.and_then(|t| t.split_once(' ')).expect("a count");
    assert!(bytes.parse::<u64>().unwrap() > 20, "{bytes}");
    assert_eq!(rest, "bytes but no complete answer within 300 ms");
    assert_eq!(seen.answer, None);

    // The head is here, so the answer is kept, and the failure says what is missing.
    let (seen, peer) = against(SHORT, |mut connection| async move {
        connection
            .send("HTTP/1.1 403 Forbidden\r\nServer: cloudflare\r\nContent-Length: 1000\r\n\r\n")
            .await;
        trickle(connection).await;
    })
    .await;
    let answer = seen.answer.expect("an answer");
    assert_eq!(
        (answer.status, answer.header("server")),
        (403, Some("cloudflare"))
    );
    let got = answer.body.wire_bytes;
    assert!(got > 3 && answer.body.bytes.iter().all(|b| *b == b'x'));
    let failure = seen.failure.expect("a failure");
    assert_eq!(
        (failure.phase, failure.kind),
        (Phase::Transfer, FailureKind::Timeout)
    );
    assert_eq!(
        failure.message,
        format!("{peer} sent {got} bytes of the body and did not finish it within 300 ms")
    );
    assert!(seen.phases.transfer.expect("a time") <= seen.took);
}

#[tokio::test]
async fn a_break_before_the_answer() {
    let (seen, peer) = against(LONG, Connection::finish).await;
    let message = format!("{peer} closed the connection without an answer");
    assert_failed(&seen, Phase::FirstByte, FailureKind::Closed, &message);

    let (seen, peer) = against(LONG, |connection| async { connection.reset() }).await;
    let message = format!("{peer} reset the connection without an answer");
    assert_failed(&seen, Phase::FirstByte, FailureKind::Reset, &message);

    let (seen, peer) = against(LONG, |mut connection| async move {
        connection.send("HTTP/1.1 200 OK\r\nX: ").await;
        connection.finish().await;
    })
    .await;
    let message = format!(
        "{peer} closed the connection after 20 bytes, before the answer's headers were complete"
    );
    assert_failed(&seen, Phase::FirstByte, FailureKind::Closed, &message);
}

#[tokio::test]
async fn a_break_within_the_body_keeps_what_came() {
    async fn half(connection: &mut Connection) {
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            .await;
    }
    #[track_caller]
    fn check(seen: &Observation, kind: FailureKind, message: &str) {
        let failure = seen.failure.as_ref().expect("a failure");
        assert_eq!(
            (failure.phase, failure.kind, failure.message.as_str()),
            (Phase::Transfer, kind, message)
        );
        let answer = seen.answer.as_ref().expect("an answer");
        assert_eq!((answer.status, &answer.body.bytes[..]), (200, &b"half"[..]));
        assert_eq!((answer.body.wire_bytes, answer.body.truncated), (4, false));
    }

    let (seen, peer) = against(LONG, |mut connection| async move {
        half(&mut connection).await;
        connection.finish().await;
    })
    .await;
    let message = format!("{peer} closed the connection after 4 bytes of the body, before its end");
    check(&seen, FailureKind::Closed, &message);

    let (seen, peer) = against(LONG, |mut connection| async move {
        connection
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n")
            .await;
        connection.hold().await;
    })
    .await;
    let message = format!(
        "{peer} sent a body that breaks the rules of HTTP/1.1: Invalid chunk size line: missing size digit"
    );
    check(&seen, FailureKind::Protocol, &message);

    let (seen, peer) = against(LONG, |mut connection| async move {
        connection
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n5\r\n")
            .await;
        connection.finish().await;
    })
    .await;
    let message = format!("{peer} closed the connection after 4 bytes of the body, before its end");
    check(&seen, FailureKind::Closed, &message);
}

#[tokio::test]
async fn a_reset_within_the_body_is_a_reset() {
    // More than socket buffers hold, so that the client has read some of it when the reset comes.
    const SENT: u64 = 20_000_000;
    let server = Server::raw(|mut connection| async move {
        connection.request().await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n")
            .await;
        connection.send(vec![b'x'; SENT as usize]).await;
        connection.reset();
    })
    .await;
    let mut plan = plan(&server.url("/"));
    plan.probes[0].body_bytes_max = 6_000_000;
    let seen = run(&plan).await;
    let body = seen.answer.expect("an answer").body;
    let read = body.wire_bytes;
    assert!(0 < read && read <= SENT, "{read}");
    assert!(body.bytes.iter().all(|b| *b == b'x'));
    let failure = seen.failure.expect("a failure");
    assert_eq!(
        (failure.phase, failure.kind),
        (Phase::Transfer, FailureKind::Reset)
    );
    let message = format!(
        "{} reset the connection after {read} bytes of the body, before its end",
        server.address
    );
    assert_eq!(failure.message, message);
}

#[tokio::test]
async fn an_early_refusal_of_a_long_body_is_read() {
    let server = Server::raw(|mut connection| async move {
        connection
            .send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
            .await;
        connection.hold().await;
    })
    .await;
    let mut plan = plan(&server.url("/"));
    plan.probes[0].method = http::Method::POST;
    plan.probes[0].body = Some(Template::text("x".repeat(20_000_000)));
    assert_answered(&run(&plan).await, 413, "big");
}

#[tokio::test]
async fn what_is_not_http_is_said_to_be() {
    for (answer, quoted) in [
        ("\0\x01\x02 nonsense\r\n\r\n", "\"nonsense\""),
        ("220 mail.example ESMTP\r\n", "\"220 mail.example ESMTP\""),
        ("HTTP/1.1 20x OK\r\nA: b\r\n\r\n", "\"HTTP/1.1 20x OK\""),
    ] {
        let server = Server::raw(move |mut connection| async move {
            connection.request().await;
            connection.send(answer).await;
            connection.hold().await;
        })
        .await;
        let seen = run(&plan(&server.url("/"))).await;
        let message = format!(
            "{} answered with something that is not HTTP/1.1: {quoted}",
            server.address
        );
        assert_failed(&seen, Phase::FirstByte, FailureKind::Protocol, &message);
    }
    // Some speak first.
    let server = Server::raw(|mut connection| async move {
        connection.send("SSH-2.0-OpenSSH_9.6\r\n").await;
        connection.hold().await;
    })
    .await;
    let seen = run(&plan(&server.url("/"))).await;
    let message = format!(
        "{} answered with something that is not HTTP/1.1: \"SSH-2.0-OpenSSH_9.6\"",
        server.address
    );
    assert_failed(&seen, Phase::FirstByte, FailureKind::Protocol, &message);
}

#[tokio::test]
async fn framing_without_content_has_a_bound() {
    // A chunk whose size is written with endless zeros, and chunks of which each holds one byte.
    for (start, repeated) in [
        ("0", "0".repeat(8192)),
        ("1\r\nx\r\n", "1\r\nx\r\n".repeat(1000)),
    ] {
        let server = Server::raw(move |mut connection| {
            let repeated = repeated.clone();
            async move {
                connection.request().await;
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                connection.send(head).await;
                connection.send(start).await;
                while connection.send(&repeated).await {}
            }
        })
        .await;
        let seen = run(&plan(&server.url("/"))).await;
        let failure = seen.failure.clone().expect("a failure");
        assert!(
            matches!(failure.kind, FailureKind::Limit | FailureKind::Protocol),
            "{failure:?}"
        );
        assert!(seen.took < Duration::from_secs(3), "{:?}", seen.took);
    }
}

const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
// Status 200 of the static table.
const HEADERS: &[u8] = &[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88];

/// Runs against an HTTP/2 server that says `before`, and then `frame` for as long as it is listened to.
async fn flooded(before: &'static [u8], frame: &'static [u8]) -> Observation {
    let server = Server::raw(move |mut connection| async move {
        let mut preface = [0; 24];
        let _ = connection.stream.read_exact(&mut preface).await;
        connection.send(SETTINGS).await;
        connection.send(before).await;
        let (mut read, mut write) = tokio::io::split(connection.stream);
        // What we are answered is read, so that nothing else than the bound ends it.
        tokio::spawn(async move { while read.read(&mut [0; 8192]).await.is_ok_and(|n| n > 0) {} });
        let many = frame.repeat(1000);
        while write.write_all(&many).await.is_ok() {}
    })
    .await;
    let mut plan = plan(&server.url("/"));
    plan.clients[0].http = HttpOffer::Http2;
    plan.probes[0].timeout = LONG;
    run(&plan).await
}

#[tokio::test]
async fn floods_of_control_frames_have_a_bound_and_are_the_peers() {
    const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    const WINDOW: &[u8] = &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    const WINDOW_OF_STREAM: &[u8] = &[0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    const PRIORITY: &[u8] = &[0, 0, 5, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 16];
    const UNKNOWN: &[u8] = &[0, 0, 1, 99, 0, 0, 0, 0, 0, 7];
    const EMPTY_DATA: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 1];
    const CONTINUATION: &[u8] = &[0, 0, 5, 9, 0, 0, 0, 0, 1, 0x40, 1, b'a', 1, b'b'];
    const HEADERS_OPEN: &[u8] = &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x88];
    const RESET_OF_ANOTHER: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 3, 0, 0, 0, 8];
    for (before, frame) in [
        (SETTINGS, SETTINGS),
        (SETTINGS, PING),
        (SETTINGS, WINDOW),
        (SETTINGS, PRIORITY),
        (SETTINGS, RESET_OF_ANOTHER),
        (HEADERS_OPEN, CONTINUATION),
        (HEADERS, SETTINGS),
        (HEADERS, PING),
        (HEADERS, WINDOW),
        (HEADERS, WINDOW_OF_STREAM),
        (HEADERS, PRIORITY),
        (HEADERS, UNKNOWN),
        (HEADERS, EMPTY_DATA),
        (HEADERS, HEADERS),
    ] {
        let worked = work();
        let seen = flooded(before, frame).await;
        let failure = seen.failure.clone().expect("a failure");
        let peers = [
            FailureKind::Limit,
            FailureKind::Protocol,
            FailureKind::Closed,
            FailureKind::Reset,
        ];
        assert!(peers.contains(&failure.kind), "{frame:?}: {failure:?}");
        assert!(seen.took < Duration::from_secs(5), "{:?}", seen.took);
        // This thread is server and client, and not optimised.
        let worked = work().saturating_sub(worked);
        assert!(worked < Duration::from_secs(2), "{frame:?}: {worked:?}");
    }
}

#[tokio::test]
async fn an_endless_body_over_http2_is_read_up_to_the_bound_every_time() {
    static DATA: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        let mut frame = vec![0, 1, 0, 0, 0, 0, 0, 0, 1];
        frame.extend([b'x'; 256]);
        frame
    });
    for _ in 0..40 {
        let seen = flooded(HEADERS, &DATA).await;
        let kind = seen.failure.as_ref().map(|failure| failure.kind);
        // More than its window allows is a fault of the server's, whichever comes first.
        let peers = [
            None,
            Some(FailureKind::Protocol),
            Some(FailureKind::Closed),
            Some(FailureKind::Reset),
        ];
        assert!(peers.contains(&kind), "{:?}", seen.failure);
        assert_eq!(seen.answer.as_ref().map(|answer| answer.status), Some(200));
    }
}

/// How long this thread has been at work.
fn work() -> Duration {
    let time = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    time.unwrap().into()
}

#[tokio::test]
async fn a_dropped_run_leaves_nothing_behind() {
    for offer in [HttpOffer::Http1, HttpOffer::Http2] {
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let server = Server::raw(move |mut connection| {
            let told = told.clone();
            async move {
                // The head of a request, or the preface of HTTP/2, and no answer.
                let _ = connection.stream.read(&mut [0; 24]).await;
                told.send("asked").unwrap();
                connection.hold().await;
                told.send("left").unwrap();
            }
        })
        .await;
        let mut plan = plan(&server.url("/"));
        plan.clients[0].http = offer;
        let task = tokio::spawn(async move { run(&plan).await });
        assert_eq!(heard.recv().await, Some("asked"));
        task.abort();
        assert_eq!(heard.recv().await, Some("left"));
    }
}

/// A port of loopback where nobody listens.
async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_refused_port() {
    let port = free_port().await;
    let seen = run(&plan(&format!("http://127.0.0.1:{port}/"))).await;
    let message = format!("127.0.0.1:{port} refused the connection");
    assert_failed(&seen, Phase::Connect, FailureKind::Refused, &message);
    let address = ([127, 0, 0, 1], port).into();
    assert_eq!(seen.route.failed, [(address, message)]);
}

fn bound(mut plan: Plan, way: Way) -> Plan {
    plan.egresses = vec![egress("here", way)];
    plan
}

#[tokio::test]
async fn connections_leave_by_the_egress() {
    let server = Server::http(|_| Reply::new(200).body("ok")).await;
    let base = plan(&server.url("/"));
    let loopback = |last: u8| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    for (index, ip) in [loopback(2), loopback(3)].into_iter().enumerate() {
        let seen = run(&bound(base.clone(), Way::Address(ip))).await;
        assert_answered(&seen, 200, "ok");
        let peer = server.seen()[index].peer;
        assert_eq!((peer.ip(), seen.route.local), (ip, Some(peer)));
    }
    let seen = run(&bound(base, Way::Interface("lo".to_owned()))).await;
    match seen.failure {
        None => assert_answered(&seen, 200, "ok"),
        // Binding to an interface is not everybody's right; then it must say so.
        Some(failure) => assert_eq!(
            (failure.kind, failure.message.as_str()),
            (
                FailureKind::Local,
                "egress interface lo can't be used without CAP_NET_RAW"
            )
        ),
    }
}

#[tokio::test]
async fn a_missing_egress_fails_closed() {
    let server = Server::http(|_| Reply::new(200).body("ok")).await;
    let base = plan(&server.url("/"));
    let check = async |plan: Plan, kind: FailureKind, message: &str| {
        let seen = run(&plan).await;
        assert_failed(&seen, Phase::Connect, kind, message);
    };
    check(
        bound(base.clone(), Way::Address("192.0.2.1".parse().unwrap())),
        FailureKind::EgressMissing,
        "egress address 192.0.2.1 is not on this host",
    )
    .await;
    check(
        bound(base.clone(), Way::Interface("nowhere0".to_owned())),
        FailureKind::EgressMissing,
        "egress interface nowhere0 is not on this host",
    )
    .await;
    check(
        bound(base.clone(), Way::Address("::1".parse().unwrap())),
        FailureKind::Local,
        "the target is 127.0.0.1, and this egress speaks IPv6 only",
    )
    .await;
    let mut contradiction = bound(base, Way::Address("127.0.0.2".parse().unwrap()));
    contradiction.egresses[0].family = IpFamily::V6;
    check(
        contradiction,
        FailureKind::Local,
        "egress here has an address of the IP version that it is told not to use",
    )
    .await;
    assert_eq!(server.seen().len(), 0);
}
