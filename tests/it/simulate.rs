//! The simulated edge as its clients meet it: through reqwest, and through bare sockets where a client
//! library would hide what matters.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use edgewatch::domain::observation::HttpVersion;
use edgewatch::simulate::Account;
use edgewatch::simulate::Action;
use edgewatch::simulate::Certificate;
use edgewatch::simulate::Clock;
use edgewatch::simulate::Edge;
use edgewatch::simulate::Form;
use edgewatch::simulate::Front;
use edgewatch::simulate::Network;
use edgewatch::simulate::Page;
use edgewatch::simulate::Partner;
use edgewatch::simulate::Rate;
use edgewatch::simulate::RateKey;
use edgewatch::simulate::Rule;
use edgewatch::simulate::Script;
use edgewatch::simulate::Text;
use edgewatch::simulate::When;
use edgewatch::simulate::partner::{API_PATH, HEALTH_PATH, SOAP_PATH};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const JAVA_8: &str = "Java/1.8.0_275";
const JAVA_11: &str = "Java/11.0.10";

/// A clock that stands still until it is moved.
#[derive(Clone)]
struct Hand(Arc<AtomicI64>);

impl Hand {
    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_614_564_840)))
    }

    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn clock(&self) -> Clock {
        let hand = self.clone();
        Clock::new(move || Timestamp::from_second(hand.0.load(Ordering::Relaxed)).unwrap())
    }
}

fn script() -> Script {
    Script::new(Hand::new().clock())
}

async fn gmc(script: Script) -> Edge {
    let mut account = Account::new("tis", "right-password");
    account.addresses = vec![Network::new("127.0.0.0/29").unwrap()];
    Edge::start(Partner::gmc(vec![account]), script)
        .await
        .unwrap()
}

fn client(user_agent: &str, from: &str) -> reqwest::Client {
    // Another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(user_agent)
        .local_address(from.parse::<IpAddr>().unwrap())
        .pool_max_idle_per_host(0)
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .tls_certs_only([])
        .build()
        .unwrap()
}

fn check(password: &str) -> String {
    format!(
        "<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>\
         <CheckRecommendationStatus xmlns=\"https://webcache.gmc-uk.org/GMCWebServices/\">\
         <request><ClientRequestID>c-17 &amp; more</ClientRequestID></request>\
         <Username>tis</Username><Password>{password}</Password>\
         </CheckRecommendationStatus></soap:Body></soap:Envelope>"
    )
}

struct Got {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|v| v.to_str().unwrap());
        value.unwrap_or("-")
    }
}

async fn send(request: reqwest::RequestBuilder) -> Got {
    let answer = request.send().await.unwrap();
    Got {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.text().await.unwrap(),
    }
}

async fn post(edge: &Edge, user_agent: &str, from: &str) -> Got {
    let request = client(user_agent, from).post(edge.url(SOAP_PATH));
    send(request.body(check("right-password"))).await
}

async fn get(edge: &Edge, path: &str) -> Got {
    send(client("x", "127.0.0.1").get(edge.url(path))).await
}

/// Sends `head` over a bare socket and answers what comes until the end; the error is the end's.
async fn raw(address: SocketAddr, head: &str) -> (String, std::io::Result<usize>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer).await;
    (String::from_utf8_lossy(&answer).into_owned(), end)
}

#[tokio::test]
async fn the_partner_answers_like_the_gmc() {
    let edge = gmc(script()).await;
    let agent = client(JAVA_11, "127.0.0.1");
    let ask = |password| send(agent.post(edge.url(SOAP_PATH)).body(check(password)));
    let right = ask("right-password").await;
    assert_eq!(right.status, 200);
    assert_eq!(right.header("server"), "Microsoft-IIS/10.0");
    assert_eq!(right.header("x-aspnet-version"), "4.0.30319");
    assert_eq!(right.header("cf-ray"), "-");
    for part in [
        "<ReturnCode>0</ReturnCode>",
        "<ClientRequestID>c-17 &amp; more</ClientRequestID>",
        "<GMCRequestID>GMC-00000001</GMCRequestID>",
    ] {
        assert!(right.body.contains(part), "{}", right.body);
    }
    let wrong = ask("wrong").await;
    assert_eq!(wrong.status, 200);
    assert!(wrong.body.contains("<ReturnCode>99</ReturnCode>"));
    assert!(
        wrong
            .body
            .contains("<GMCRequestID>GMC-00000002</GMCRequestID>")
    );
    // Right password, address that is not on the list.
    let outside = post(&edge, JAVA_11, "127.0.0.9").await;
    assert!(outside.body.contains("<ReturnCode>99</ReturnCode>"));

    let other = send(
        agent
            .post(edge.url(SOAP_PATH))
            .body("<a><TryRecommendationV2/></a>"),
    )
    .await;
    assert_eq!(other.status, 500);
    assert!(other.body.contains("soap:Fault"));
    let wsdl = get(&edge, &format!("{SOAP_PATH}?WSDL")).await;
    assert!(wsdl.body.contains("CheckRecommendationStatus"));

    let api = agent.get(edge.url(API_PATH));
    let denied = send(api.try_clone().unwrap()).await;
    assert_eq!(denied.status, 401);
    assert!(denied.body.contains("invalid_token"));
    let allowed = send(api.bearer_auth("right-password")).await;
    assert_eq!(allowed.status, 200);
    assert!(allowed.body.contains("\"status\":\"ok\""));
    assert_eq!(get(&edge, HEALTH_PATH).await.body, "Healthy");
    assert_eq!(get(&edge, "/elsewhere").await.status, 404);
    assert_eq!(get(&edge, "/cdn-cgi/trace").await.status, 404);
    edge.stop().await;
}

/// March 2021: the partner moves behind a CDN, the CDN refuses one user agent, the rule goes.
#[tokio::test]
async fn a_partner_moves_behind_a_cdn_that_refuses_one_agent() {
    let edge = gmc(script()).await;
    assert_eq!(post(&edge, JAVA_8, "127.0.0.2").await.status, 200);

    edge.set_front(Front::cloudflare());
    let moved = post(&edge, JAVA_8, "127.0.0.2").await;
    assert_eq!(moved.status, 200);
    assert_eq!(moved.header("server"), "cloudflare");
    assert_eq!(moved.header("cf-cache-status"), "DYNAMIC");
    assert!(moved.header("cf-ray").ends_with("-LHR"));
    assert_eq!(moved.header("x-aspnet-version"), "4.0.30319");

    let page = Page::Cloudflare {
        code: 1010,
        form: Form::Html,
    };
    let when = When::ua(Text::prefix("Java/1."));
    edge.add(Rule::new("browser integrity", when, Action::Page(page)))
        .unwrap();
    for from in ["127.0.0.2", "127.0.0.3"] {
        let refused = post(&edge, JAVA_8, from).await;
        assert_eq!(refused.status, 403);
        assert!(refused.body.contains("<span>1010</span>"));
        let ray = refused.header("cf-ray").trim_end_matches("-LHR").to_owned();
        assert!(refused.body.contains(&ray), "{ray}");
        assert_eq!(refused.header("cf-cache-status"), "-");
        assert_eq!(refused.header("x-aspnet-version"), "-");
        let passes = post(&edge, JAVA_11, from).await;
        assert!(passes.body.contains("<ReturnCode>0</ReturnCode>"));
    }

    assert!(edge.switch("browser integrity", false));
    assert_eq!(post(&edge, JAVA_8, "127.0.0.2").await.status, 200);

    let seen = edge.requests();
    let rays: HashSet<_> = seen.iter().filter_map(|s| s.reference_id.clone()).collect();
    assert_eq!(rays.len(), seen.len() - 1, "each ray once, and none before");
    let refused: Vec<_> = seen.iter().filter(|s| s.rule.is_some()).collect();
    assert_eq!(refused.len(), 2);
    assert_eq!(refused[1].peer.ip().to_string(), "127.0.0.3");
    assert_eq!(refused[1].header("user-agent"), Some(JAVA_8));
    assert!(refused[1].body.starts_with(b"<soap:Envelope"));
    edge.stop().await;
}

#[tokio::test]
async fn the_edge_tells_callers_their_address() {
    let mut start = script();
    start.front = Front::cloudflare();
    let edge = Edge::start(Partner::control(), start).await.unwrap();
    let agent = client("plain", "127.0.0.3");
    let trace = send(agent.get(edge.url("/cdn-cgi/trace"))).await;
    assert!(trace.body.contains("\nip=127.0.0.3\n"), "{}", trace.body);
    assert!(trace.body.contains("\nuag=plain\n"));
    assert!(trace.body.contains("\ncolo=LHR\n"));
    assert_eq!(send(agent.get(edge.url("/any"))).await.status, 200);
    edge.stop().await;
}

#[tokio::test]
async fn fronts_show_on_relayed_answers() {
    let edge = gmc(script()).await;
    let colo = || "CDG".to_owned();
    for (front, name, value) in [
        (
            Front::CloudFront { colo: colo() },
            "x-amz-cf-pop",
            "CDG61-P3",
        ),
        (
            Front::CloudFront { colo: colo() },
            "x-cache",
            "Miss from cloudfront",
        ),
        (Front::Akamai, "akamai-grn", "0."),
        (Front::Imperva, "x-iinfo", "10-"),
        (Front::AzureFrontDoor, "x-cache", "CONFIG_NOCACHE"),
        (Front::F5, "set-cookie", "TS01"),
        (Front::Cloudflare { colo: colo() }, "server", "cloudflare"),
    ] {
        edge.set_front(front.clone());
        let got = get(&edge, HEALTH_PATH).await;
        assert!(
            got.header(name).starts_with(value),
            "{front:?}: {got}",
            got = got.header(name)
        );
        assert_eq!(got.header("x-powered-by"), "ASP.NET", "{front:?}");
        assert_eq!(got.body, "Healthy");
    }
    edge.stop().await;
}

#[tokio::test]
async fn rules_tell_requests_apart() {
    let edge = gmc(script()).await;
    let block = || Action::Page(Page::CloudflareBlocked);
    for rule in [
        Rule::new("address", When::egress("127.0.0.4/30").unwrap(), block()),
        Rule::new(
            "path",
            When::path(Text::regex("^/api/").unwrap()),
            Action::Page(Page::F5Rejected),
        ),
        Rule::new(
            "large",
            When {
                body_bytes: Some(10_000..=usize::MAX),
                ..When::any()
            },
            Action::Page(Page::AkamaiDenied),
        ),
        Rule::new(
            "account",
            When {
                cred: Some(Text::exact("tis")),
                method: vec!["POST".into()],
                ..When::any()
            },
            Action::OriginDenies,
        ),
        Rule::new(
            "agent",
            When::ua(Text::exact("broken")),
            Action::OriginFails(503),
        ),
    ] {
        edge.add(rule).unwrap();
    }
    let from = |address, path| send(client("x", address).get(edge.url(path)));
    assert_eq!(from("127.0.0.5", HEALTH_PATH).await.status, 403);
    assert_eq!(from("127.0.0.3", HEALTH_PATH).await.status, 200);
    let rejected = from("127.0.0.3", API_PATH).await;
    assert_eq!(rejected.status, 200);
    assert!(rejected.body.contains("Request Rejected"));
    let large = client("x", "127.0.0.1").post(edge.url(SOAP_PATH));
    let large = send(large.body("x".repeat(10_000))).await;
    assert_eq!(large.header("server"), "AkamaiGHost");
    let denied = post(&edge, "x", "127.0.0.1").await;
    assert_eq!(denied.status, 200);
    assert!(denied.body.contains("<ReturnCode>99</ReturnCode>"));
    let failed = send(client("broken", "127.0.0.1").get(edge.url(HEALTH_PATH))).await;
    assert_eq!(failed.status, 503);
    assert_eq!(failed.header("x-powered-by"), "ASP.NET");
    edge.stop().await;
}

#[tokio::test]
async fn rules_look_at_header_method_version_and_chance() {
    let edge = gmc(script()).await;
    let block = || Action::Page(Page::CloudFrontBlocked);
    let with = |change: fn(&mut When)| {
        let mut when = When::any();
        change(&mut when);
        when
    };
    for rule in [
        Rule::new(
            "header",
            with(|when| when.header = Some(("X-Team".into(), Text::prefix("re")))),
            block(),
        ),
        Rule::new(
            "method",
            with(|when| when.method = vec!["HEAD".into()]),
            block(),
        ),
        Rule::new(
            "version",
            with(|when| when.http = vec![HttpVersion::H2]),
            Action::Page(Page::CloudflareChallenge),
        ),
        Rule::new(
            "chance",
            When::ua(Text::exact("often")),
            Action::OriginFails(502),
        )
        .probability(0.5),
    ] {
        edge.add(rule).unwrap();
    }
    let agent = client("x", "127.0.0.1");
    let url = edge.url(HEALTH_PATH);
    for (team, expected) in [("reval", 403), ("tis", 200)] {
        let got = send(agent.get(&url).header("x-team", team)).await;
        assert_eq!(got.status, expected, "{team}");
    }
    assert_eq!(send(agent.head(&url)).await.status, 403);
    let second = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .tls_certs_only([])
        .build()
        .unwrap();
    let challenged = send(second.get(&url)).await;
    assert_eq!(challenged.header("cf-mitigated"), "challenge");
    assert_eq!(send(agent.get(&url)).await.status, 200);
    let often = client("often", "127.0.0.1");
    let mut failed = 0;
    for _ in 0..40 {
        failed += u32::from(send(often.get(&url)).await.status == 502);
    }
    assert!((8..=32).contains(&failed), "{failed} of 40");
    edge.stop().await;
}

#[tokio::test]
async fn rates_and_times_follow_the_clock() {
    let hand = Hand::new();
    let mut start = Script::new(hand.clock());
    let limited = Page::Cloudflare {
        code: 1015,
        form: Form::Text,
    };
    start.rules = vec![
        Rule::new("rate", When::any(), Action::Page(limited))
            .rate(Rate::per_minute(RateKey::Egress, 2)),
        Rule::new("night", When::any(), Action::OriginFails(500))
            .active(Duration::from_secs(3600), Some(Duration::from_secs(7200))),
    ];
    let edge = gmc(start).await;
    let status = |from: &'static str| {
        let request = client("x", from).get(edge.url(HEALTH_PATH));
        async move { send(request).await }
    };
    assert_eq!(status("127.0.0.1").await.status, 200);
    assert_eq!(status("127.0.0.1").await.status, 200);
    let third = status("127.0.0.1").await;
    assert_eq!(third.status, 429);
    assert_eq!(third.header("retry-after"), "30");
    assert_eq!(third.body, "error code: 1015");
    assert_eq!(status("127.0.0.2").await.status, 200);
    hand.pass(61);
    assert_eq!(status("127.0.0.1").await.status, 200);
    hand.pass(3600 - 61);
    assert_eq!(status("127.0.0.1").await.status, 500);
    hand.pass(3600);
    assert_eq!(status("127.0.0.1").await.status, 200);
    edge.stop().await;
}

#[tokio::test]
async fn silence_resets_and_broken_bodies() {
    let edge = gmc(script()).await;
    let head = format!("GET {HEALTH_PATH} HTTP/1.1\r\nHost: partner.example\r\n\r\n");
    let becomes = |action| edge.add(Rule::new("r", When::any(), action)).unwrap();

    becomes(Action::Reset);
    let (answer, end) = raw(edge.addr(), &head).await;
    assert_eq!(answer, "");
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);

    becomes(Action::Truncate);
    let (answer, end) = raw(edge.addr(), &head).await;
    assert!(end.is_ok());
    assert!(answer.contains("Content-Length: 7\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nHea"), "{answer}");

    // A negative can only be waited for: these must still say nothing after a while.
    let quiet = Duration::from_millis(100);
    for action in [Action::Silence, Action::SilentConnection] {
        let name = format!("{action:?}");
        becomes(action);
        let mut stream = TcpStream::connect(edge.addr()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let read = tokio::time::timeout(quiet, stream.read_u8()).await;
        assert!(read.is_err(), "{name}: {read:?}");
    }

    becomes(Action::Stall);
    let mut stream = TcpStream::connect(edge.addr()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nHea") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let read = tokio::time::timeout(quiet, stream.read_u8()).await;
    assert!(read.is_err(), "{read:?}");

    becomes(Action::Slow(Duration::from_millis(50)));
    let before = std::time::Instant::now();
    assert_eq!(get(&edge, HEALTH_PATH).await.body, "Healthy");
    assert!(before.elapsed() >= Duration::from_millis(50));

    becomes(Action::Answer {
        status: 418,
        headers: vec![("x-team".into(), "tea".into())],
        body: "short".into(),
    });
    let own = get(&edge, "/").await;
    assert_eq!((own.status, own.header("x-team")), (418, "tea"));
    assert_eq!(own.header("server"), "-");
    assert!(edge.remove("r"));
    assert_eq!(get(&edge, HEALTH_PATH).await.status, 200);
    edge.stop().await;
}

#[tokio::test]
async fn http1_requests_are_recorded_as_they_were_written() {
    let edge = gmc(script()).await;
    let mut stream = TcpStream::connect(edge.addr()).await.unwrap();
    for n in [1, 2] {
        let body = format!("body {n}");
        let request = format!(
            "POST /x?n={n} HTTP/1.1\r\nuser-agent: a\r\nHOST: h\r\nX-Twice: 1\r\nAccept: */*\r\nX-Twice: 2\r\ncontent-length: 6\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        assert!(stream.read(&mut answer).await.unwrap() > 0);
        let seen = edge.seen(n).await;
        let last = &seen[n - 1];
        let names: Vec<&str> = last.headers.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "user-agent",
            "HOST",
            "X-Twice",
            "Accept",
            "X-Twice",
            "content-length",
        ];
        assert_eq!(names, expected);
        assert_eq!(last.headers[4].1, "2");
        assert_eq!(
            (last.target.as_str(), last.method.as_str()),
            (&*format!("/x?n={n}"), "POST")
        );
        assert_eq!((&last.body[..], last.body_bytes), (body.as_bytes(), 6));
        assert_eq!(last.peer, stream.local_addr().unwrap());
        assert_eq!((last.http, last.tls), (HttpVersion::H1_1, false));
    }
    edge.stop().await;
}

/// A client that trusts the edge's root.
fn trusting(edge: &Edge) -> reqwest::ClientBuilder {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let root = edge.root_pem().unwrap();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .pool_max_idle_per_host(0)
        .tls_certs_only([reqwest::Certificate::from_pem(root.as_bytes()).unwrap()])
}

#[tokio::test]
async fn tls_http2_and_certificates() {
    let mut start = Script::new(Clock::new(edgewatch::clock::now));
    start.tls = Some(Certificate::default());
    let edge = gmc(start).await;
    let url = edge.url(HEALTH_PATH);
    let ask = |client: reqwest::ClientBuilder| {
        let url = url.clone();
        async move { client.build().unwrap().get(url).send().await }
    };
    let both = ask(trusting(&edge)).await.unwrap();
    assert_eq!(both.version(), reqwest::Version::HTTP_2);
    assert_eq!(both.headers()["server"], "Microsoft-IIS/10.0");
    let one = ask(trusting(&edge).http1_only()).await.unwrap();
    assert_eq!(one.version(), reqwest::Version::HTTP_11);
    let seen = edge.requests();
    assert_eq!((seen[0].http, seen[0].tls), (HttpVersion::H2, true));
    assert_eq!((seen[1].http, seen[1].tls), (HttpVersion::H1_1, true));

    let only_h2 = When {
        http: vec![HttpVersion::H2],
        ..When::any()
    };
    edge.add(Rule::new("h2", only_h2, Action::Reset)).unwrap();
    assert!(ask(trusting(&edge)).await.is_err());
    assert!(ask(trusting(&edge).http1_only()).await.is_ok());
    edge.remove("h2");

    // Without its root it is not trusted.
    let stranger = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    assert!(ask(stranger).await.unwrap_err().is_connect());
    for (certificate, trusted) in [
        (
            Certificate {
                issuer: "Google Trust Services".into(),
                ..Certificate::default()
            },
            true,
        ),
        (
            Certificate {
                days: -3,
                ..Certificate::default()
            },
            false,
        ),
        (
            Certificate {
                names: vec!["other.example".into()],
                ..Certificate::default()
            },
            false,
        ),
        (Certificate::default(), true),
    ] {
        edge.set_certificate(&certificate).unwrap();
        let answer = ask(trusting(&edge)).await;
        assert_eq!(answer.is_ok(), trusted, "{certificate:?}: {answer:?}");
    }

    let refuse = Rule::new(
        "tls",
        When::egress("127.0.0.1").unwrap(),
        Action::TlsFailure,
    );
    edge.add(refuse).unwrap();
    let error = ask(trusting(&edge)).await.unwrap_err();
    assert!(
        format!("{error:?}").contains("HandshakeFailure"),
        "{error:?}"
    );
    edge.stop().await;
}

#[tokio::test]
async fn http2_without_tls_by_prior_knowledge() {
    let edge = gmc(script()).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .tls_certs_only([])
        .build()
        .unwrap();
    let answer = client.get(edge.url(HEALTH_PATH)).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    edge.stop().await;
}

#[tokio::test]
async fn stops_cleanly_and_says_what_it_cannot_do() {
    let edge = gmc(script()).await;
    edge.add(Rule::new("r", When::any(), Action::Silence))
        .unwrap();
    let mut hanging = TcpStream::connect(edge.addr()).await.unwrap();
    hanging
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(edge.seen(1).await[0].rule.as_deref(), Some("r"));
    assert_eq!(
        edge.set_certificate(&Certificate::default()).unwrap_err(),
        "the edge was started without TLS"
    );
    let page = Page::Cloudflare {
        code: 7,
        form: Form::Html,
    };
    let why = edge
        .add(Rule::new("r", When::any(), Action::Page(page)))
        .unwrap_err();
    assert!(
        why.starts_with(r#"rule "r": Cloudflare's error 7 has no page here"#),
        "{why}"
    );

    let address = edge.addr();
    edge.stop().await;
    let mut rest = Vec::new();
    // Broken off: an end or a reset, but no waiting.
    let _ = hanging.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    assert!(TcpStream::connect(address).await.is_err());
}
