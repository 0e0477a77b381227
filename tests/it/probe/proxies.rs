//! Forward proxies: what they are asked, what they refuse, and the certificate behind them.

use std::time::Duration;

use edgewatch::domain::cell::{Proxy, ProxyKind, Way};
use edgewatch::domain::observation::{FailureKind, Observation, Phase};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::secret::Secret;
use tokio::io::AsyncReadExt as _;

use super::{assert_answered, assert_failed, run};
use crate::plan::{egress, plan};
use crate::server::certificates::Authority;
use crate::server::names::{NameServer, Records};
use crate::server::proxies::{http_proxy, socks_proxy};
use crate::server::{Connection, Reply, Server};

const OPEN: &str = "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n";

fn by(kind: ProxyKind, proxy: &Server, login: Option<(&str, &str)>) -> Way {
    Way::Proxy(Proxy {
        kind,
        host: proxy.address.ip().to_string(),
        port: proxy.address.port(),
        username: login.map(|(username, _)| username.to_owned()),
        password: login.map(|(_, password)| Secret::new(password)),
        missing: None,
    })
}

fn through(way: Way, url: &str) -> Plan {
    let mut plan = plan(url);
    plan.egresses = vec![egress("here", way)];
    plan
}

async fn ok_server() -> Server {
    Server::http(|_| Reply::new(200).body("ok")).await
}

#[tokio::test]
async fn http_proxies_are_asked_for_a_tunnel() {
    let origin = ok_server().await;
    let proxy = http_proxy(OPEN).await;
    let url = origin.url_as("http", "origin.test", "/page");
    let goal = format!("origin.test:{}", origin.address.port());

    let seen = run(&through(by(ProxyKind::HttpConnect, &proxy, None), &url)).await;
    assert_answered(&seen, 200, "ok");
    let asked = format!("CONNECT {goal} HTTP/1.1\r\nHost: {goal}\r\n\r\n");
    assert_eq!(proxy.seen()[0].head, asked);
    assert_eq!(origin.seen()[0].target, "/page");
    // The proxy looks the name up, so we know nothing of the addresses behind it.
    assert_eq!((seen.route.resolved.len(), seen.phases.dns), (0, None));
    assert_eq!(seen.route.remote, Some(proxy.address));
    assert_eq!(seen.route.proxy, Some(proxy.address.to_string()));

    let login = Some(("ops", "hunter22"));
    let seen = run(&through(by(ProxyKind::HttpConnect, &proxy, login), &url)).await;
    assert_answered(&seen, 200, "ok");
    let sent = &proxy.seen()[1];
    assert_eq!(
        sent.header("proxy-authorization"),
        Some("Basic b3BzOmh1bnRlcjIy")
    );
    assert_eq!(origin.seen()[1].header("proxy-authorization"), None);
}

#[tokio::test]
async fn http_proxies_that_refuse_are_quoted() {
    let check = async |answer: &'static str, expected: &str| {
        let proxy = http_proxy(answer).await;
        let login = Some(("ops", "hunter22"));
        let way = by(ProxyKind::HttpConnect, &proxy, login);
        let seen = run(&through(way, "https://origin.test/")).await;
        let message = format!("proxy {} {expected}", proxy.address);
        assert_failed(&seen, Phase::Connect, FailureKind::Proxy, &message);
        assert!(!format!("{seen:?}").contains("hunter22"));
    };
    check(
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"office\"\r\n\
         Content-Length: 2\r\n\r\nno",
        "refused CONNECT to origin.test:443 with 407 Proxy Authentication Required: it does not accept the \
         login of this egress (Basic realm=\"office\"), \"no\"",
    )
    .await;
    check(
        "HTTP/1.0 403\r\n\r\n",
        "refused CONNECT to origin.test:443 with 403",
    )
    .await;
    // Squid's own refusal, with its page.
    check(
        "HTTP/1.1 403 Forbidden\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\n\r\n<html><head><title>x</title>\
         <style>b { c }</style></head><body><h1>Access Denied.</h1>\n<p>Ticket: 4711</body></html>",
        "refused CONNECT to origin.test:443 with 403 Forbidden, ERR_ACCESS_DENIED 0, \
         \"x Access Denied. Ticket: 4711\"",
    )
    .await;
    check(
        "HTTP/1.1 503 Service Unavailable\r\n\r\n",
        "refused CONNECT to origin.test:443 with 503 Service Unavailable",
    )
    .await;
    check(
        "HTTP/1.1 200 OK\r\n\r\nsurprise",
        "sent data of its own into the tunnel to origin.test:443",
    )
    .await;
    check(
        "hello there\r\n\r\n",
        "did not answer CONNECT with HTTP but with \"hello there\"",
    )
    .await;
    check(
        "",
        "closed the connection instead of answering CONNECT to origin.test:443",
    )
    .await;
}

#[tokio::test]
async fn a_proxy_that_speaks_of_the_target_is_not_to_blame() {
    let check = async |answer: &'static str, kind: FailureKind, expected: &str| {
        let proxy = http_proxy(answer).await;
        let way = by(ProxyKind::HttpConnect, &proxy, None);
        let seen = run(&through(way, "https://origin.test/")).await;
        let message = format!(
            "proxy {} got no connection to origin.test:443, it says: {expected}",
            proxy.address
        );
        assert_failed(&seen, Phase::Connect, kind, &message);
    };
    check(
        "HTTP/1.1 502 Bad Gateway\r\n\r\n",
        FailureKind::Unreachable,
        "502 Bad Gateway",
    )
    .await;
    check(
        "HTTP/1.1 503 Service Unavailable\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\n\r\n",
        FailureKind::Unreachable,
        "503 Service Unavailable, ERR_CONNECT_FAIL 111",
    )
    .await;
    check(
        "HTTP/1.1 503 Service Unavailable\r\nX-Squid-Error: ERR_DNS_FAIL 0\r\n\r\n",
        FailureKind::NameServer,
        "503 Service Unavailable, ERR_DNS_FAIL 0",
    )
    .await;
    check(
        "HTTP/1.1 502 Bad Gateway\r\nProxy-Status: p; error=connection_refused\r\n\r\n",
        FailureKind::Unreachable,
        "502 Bad Gateway, p; error=connection_refused",
    )
    .await;
}

#[tokio::test]
async fn sloppy_answers_to_connect_open_the_tunnel() {
    let origin = ok_server().await;
    let url = origin.url_as("http", "origin.test", "/");
    for answer in [
        "HTTP/1.1 200 OK\nProxy-agent: x\n\n",
        "HTTP/1.1 200\r\nVia: 1.1 p\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let proxy = http_proxy(answer).await;
        let seen = run(&through(by(ProxyKind::HttpConnect, &proxy, None), &url)).await;
        assert_answered(&seen, 200, "ok");
    }
}

#[tokio::test]
async fn an_endless_answer_to_connect_is_cut() {
    let proxy = Server::raw(|mut connection| async move {
        connection.request().await;
        connection.send("HTTP/1.1 200 OK\r\n").await;
        while connection.send("X-More: and more\r\n").await {}
    })
    .await;
    let way = by(ProxyKind::HttpConnect, &proxy, None);
    let seen = run(&through(way, "https://origin.test/")).await;
    let message = format!(
        "proxy {} answered CONNECT with more than 16384 bytes of headers",
        proxy.address
    );
    assert_failed(&seen, Phase::Connect, FailureKind::Proxy, &message);
}

#[tokio::test]
async fn certificates_are_seen_through_proxies() {
    let authority = Authority::new();
    let tls = authority.issue(&["origin.test"]).tls();
    let origin = Server::https(tls, |_| Reply::new(200).body("ok")).await;
    let http = http_proxy(OPEN).await;
    let socks = socks_proxy(None, 0).await;
    for way in [
        by(ProxyKind::HttpConnect, &http, None),
        by(ProxyKind::Socks5Hostname, &socks, None),
    ] {
        let mut plan = through(way.clone(), &origin.url_as("https", "origin.test", "/"));
        plan.trust = vec![authority.pem()];
        let seen = run(&plan).await;
        assert_answered(&seen, 200, "ok");
        let certificate = seen.tls.and_then(|t| t.certificate).expect("a certificate");
        assert_eq!(certificate.names, ["origin.test"]);

        // Also one that is refused.
        let mut plan = through(way, &origin.url_as("https", "other.test", "/"));
        plan.trust = vec![authority.pem()];
        let seen = run(&plan).await;
        let failure = seen.failure.expect("a failure");
        assert_eq!(
            (failure.phase, failure.kind),
            (Phase::Tls, FailureKind::CertificateName)
        );
        let port = origin.address.port();
        let proxy = seen.route.proxy.expect("a proxy");
        assert_eq!(
            failure.message,
            format!(
                "other.test:{port} through proxy {proxy}: certificate is for origin.test, not for \
                 other.test"
            )
        );
        assert!(seen.tls.and_then(|t| t.certificate).is_some());
    }
}

async fn by_socks(
    kind: ProxyKind,
    proxy: &Server,
    login: Option<(&str, &str)>,
    url: &str,
) -> Observation {
    let names =
        NameServer::start(|_, _| Records::Addresses(60, vec!["127.0.0.1".parse().unwrap()])).await;
    let mut plan = through(by(kind, proxy, login), url);
    plan.name_servers = vec![names.address];
    let seen = run(&plan).await;
    let asked = !names.questions().is_empty();
    assert_eq!(asked, kind == ProxyKind::Socks5, "who resolves the name");
    seen
}

#[tokio::test]
async fn socks_proxies_resolve_or_do_not() {
    let origin = ok_server().await;
    let port = origin.address.port();
    let url = origin.url_as("http", "origin.test", "/");
    let login = Some(("ops", "hunter22"));
    let proxy = socks_proxy(login, 0).await;

    let seen = by_socks(ProxyKind::Socks5, &proxy, login, &url).await;
    assert_answered(&seen, 200, "ok");
    assert_eq!(seen.route.resolved, [origin.address.ip()]);
    assert_eq!(seen.route.ttl, Some(Duration::from_secs(60)));
    assert_eq!(seen.route.remote, Some(proxy.address));

    let seen = by_socks(ProxyKind::Socks5Hostname, &proxy, login, &url).await;
    assert_answered(&seen, 200, "ok");
    assert_eq!(seen.route.resolved.len(), 0);

    let goals: Vec<String> = proxy.seen().into_iter().map(|s| s.target).collect();
    assert_eq!(
        goals,
        [format!("127.0.0.1:{port}"), format!("origin.test:{port}")]
    );
}

#[tokio::test]
async fn socks_proxies_that_refuse_are_quoted() {
    let refused = async |proxy: Server, login, kind: FailureKind, expected: &str| {
        let url = "http://origin.test/";
        let seen = by_socks(ProxyKind::Socks5Hostname, &proxy, login, url).await;
        let message = format!("proxy {} {expected}", proxy.address);
        assert_failed(&seen, Phase::Connect, kind, &message);
        assert!(!format!("{seen:?}").contains("wrong-password"));
    };
    let right = Some(("ops", "hunter22"));
    refused(
        socks_proxy(right, 0).await,
        Some(("ops", "wrong-password")),
        FailureKind::Proxy,
        "refused the user name or password",
    )
    .await;
    refused(
        socks_proxy(right, 0).await,
        None,
        FailureKind::Proxy,
        "asks for a login",
    )
    .await;
    for (code, kind, text) in [
        (1, FailureKind::Proxy, "general failure"),
        (2, FailureKind::Proxy, "its rules do not allow it"),
        (4, FailureKind::Unreachable, "host unreachable"),
        (5, FailureKind::Refused, "connection refused"),
        (9, FailureKind::Proxy, "unknown reason"),
    ] {
        refused(
            socks_proxy(None, code).await,
            None,
            kind,
            &format!("opened no tunnel to origin.test:80: {text} (SOCKS reply {code})"),
        )
        .await;
    }
    let web = Server::raw(|mut connection| async move {
        connection.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        connection.hold().await;
    })
    .await;
    refused(web, None, FailureKind::Proxy, "does not speak SOCKS 5").await;
    let older = Server::raw(|mut connection| async move {
        let _ = connection.stream.read_exact(&mut [0; 3]).await;
        connection.send([5, 0]).await;
        connection.send([4, 0, 0, 1, 0, 0, 0, 0, 0, 80]).await;
        connection.hold().await;
    })
    .await;
    let message = "answered in version 4 of SOCKS, not 5";
    refused(older, None, FailureKind::Proxy, message).await;
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_in_time() {
    for kind in [ProxyKind::HttpConnect, ProxyKind::Socks5Hostname] {
        let proxy = Server::raw(Connection::hold).await;
        let mut plan = through(by(kind, &proxy, None), "https://origin.test/");
        plan.probes[0].timeout = Duration::from_millis(200);
        let message = format!(
            "proxy {} accepted the connection and did not open the tunnel to origin.test:443 within 200 ms",
            proxy.address
        );
        assert_failed(
            &run(&plan).await,
            Phase::Connect,
            FailureKind::Proxy,
            &message,
        );
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_our_side() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let way = Way::Proxy(Proxy {
        kind: ProxyKind::HttpConnect,
        host: "127.0.0.1".to_owned(),
        port: address.port(),
        username: None,
        password: None,
        missing: None,
    });
    let seen = run(&through(way, "https://origin.test/")).await;
    let message = format!("proxy {address} can't be reached: {address} refused the connection");
    assert_failed(&seen, Phase::Connect, FailureKind::Proxy, &message);
}
