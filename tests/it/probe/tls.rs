//! TLS: what is agreed, what is refused, and the certificate in either case.

use std::time::Duration;

use edgewatch::domain::cell::{HttpOffer, TlsRange, TlsVersion};
use edgewatch::domain::observation::{FailureKind, HttpVersion, Observation, Phase};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::probe::{Redirects, Template};
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncReadExt as _;

use super::{assert_answered, assert_failed, run};
use crate::plan::plan;
use crate::server::certificates::{Authority, Identity};
use crate::server::{Reply, SeenTls, Server};

/// A plan for `origin.test` at `server`, that trusts `authority`.
fn trusting(server: &Server, authority: &Authority) -> Plan {
    let mut plan = plan(&server.url_as("https", "origin.test", "/"));
    plan.probes[0].connect_to = Some(server.address.ip());
    plan.trust = vec![authority.pem()];
    plan
}

async fn ok_server(identity: &Identity) -> Server {
    Server::https(identity.tls(), |_| Reply::new(200).body("ok")).await
}

#[tokio::test]
async fn both_sides_agree() {
    use HttpOffer::{Either, Http1, Http2};
    use TlsVersion::{V1_2, V1_3};
    let authority = Authority::new();
    let identity = authority.issue(&["origin.test", "127.0.0.1"]);
    let server = ok_server(&identity).await;
    let cases = [
        (Http1, V1_2, V1_3, V1_3, "http/1.1", HttpVersion::H1_1),
        (Http1, V1_2, V1_2, V1_2, "http/1.1", HttpVersion::H1_1),
        (Http2, V1_2, V1_3, V1_3, "h2", HttpVersion::H2),
        (Http2, V1_2, V1_2, V1_2, "h2", HttpVersion::H2),
        (Either, V1_3, V1_3, V1_3, "h2", HttpVersion::H2),
    ];
    for (index, (offer, min, max, version, alpn, http)) in cases.into_iter().enumerate() {
        let mut plan = trusting(&server, &authority);
        plan.clients[0].http = offer;
        plan.clients[0].tls = TlsRange {
            min,
            max,
            ..TlsRange::default()
        };
        plan.probes[0].body = Some(Template::text("hello"));
        let seen = run(&plan).await;
        assert_answered(&seen, 200, "ok");
        assert_eq!(seen.answer.expect("an answer").http, http);
        let facts = seen.tls.expect("facts");
        assert_eq!(
            (facts.version, facts.alpn.as_deref()),
            (Some(version), Some(alpn))
        );
        assert!(facts.cipher.expect("a name").starts_with("TLS"));
        let certificate = facts.certificate.expect("a certificate");
        assert_eq!(certificate.subject, "CN=test leaf");
        assert_eq!(certificate.issuer, "CN=Test Root");
        assert_eq!(certificate.names, ["origin.test", "127.0.0.1"]);
        assert_eq!(certificate.not_before.to_string(), "2020-01-01T00:00:00Z");
        assert_eq!(certificate.not_after.to_string(), "2120-01-01T00:00:00Z");
        assert_eq!(certificate.sha256.len(), 64);
        let phases = seen.phases;
        assert!(phases.tls.expect("a time") <= seen.took);
        let sent = &server.seen()[index];
        assert_eq!(sent.body, b"hello");
        let expected = SeenTls {
            version: format!("TLSv1_{}", if version == V1_2 { 2 } else { 3 }),
            alpn: Some(alpn.to_owned()),
            sni: Some("origin.test".to_owned()),
        };
        assert_eq!(sent.tls, Some(expected));
    }
}

#[tokio::test]
async fn addresses_have_certificates_too() {
    let authority = Authority::new();
    let server = ok_server(&authority.issue(&["127.0.0.1"])).await;
    let mut plan = trusting(&server, &authority);
    plan.probes[0].url = server.url_as("https", "127.0.0.1", "/").parse().unwrap();
    assert_answered(&run(&plan).await, 200, "ok");
    assert_eq!(server.seen()[0].tls.as_ref().expect("TLS").sni, None);
}

/// Runs against a server with `identity`; the client trusts `authority`.
async fn shown(identity: &Identity, authority: &Authority) -> (Observation, String) {
    let server = ok_server(identity).await;
    let seen = run(&trusting(&server, authority)).await;
    assert_eq!(
        server.seen().len(),
        0,
        "nothing may be sent to such a server"
    );
    (seen, server.address.to_string())
}

#[tokio::test]
async fn refused_certificates_are_shown() {
    let authority = Authority::new();
    let refused = |seen: &Observation, kind: FailureKind, message: &str| {
        assert_failed(seen, Phase::Tls, kind, message);
        let facts = seen.tls.clone().expect("facts");
        assert_eq!(
            (facts.version, facts.alpn, facts.cipher),
            (None, None, None)
        );
        facts.certificate.expect("a certificate")
    };

    let (seen, peer) = shown(&authority.issue(&["a.example", "*.b.example"]), &authority).await;
    let message = format!("{peer}: certificate is for a.example, *.b.example, not for origin.test");
    let certificate = refused(&seen, FailureKind::CertificateName, &message);
    assert_eq!(certificate.names, ["a.example", "*.b.example"]);

    let many: Vec<String> = (0..60).map(|n| format!("n{n}.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (seen, peer) = shown(&authority.issue(&many), &authority).await;
    let message = format!(
        "{peer}: certificate is for n0.example, n1.example, n2.example and others, not for origin.test"
    );
    let kind = FailureKind::CertificateName;
    assert_eq!(refused(&seen, kind, &message).names.len(), 50);

    let old = authority.issue_between(&["origin.test"], 2018, 2021);
    let (seen, peer) = shown(&old, &authority).await;
    let message = format!("{peer}: certificate for origin.test expired at 2021-01-01T00:00:00Z");
    let kind = FailureKind::CertificateExpired;
    assert_eq!(
        refused(&seen, kind, &message).not_after.to_string(),
        "2021-01-01T00:00:00Z"
    );

    let new = authority.issue_between(&["origin.test"], 2100, 2120);
    let (seen, peer) = shown(&new, &authority).await;
    let message =
        format!("{peer}: certificate for origin.test is not valid before 2100-01-01T00:00:00Z");
    refused(&seen, FailureKind::Certificate, &message);

    let (seen, peer) = shown(&Authority::new().issue(&["origin.test"]), &authority).await;
    // The stranger has the name of the one we trust, but not its key.
    let failure = seen.failure.clone().expect("a failure");
    assert!(
        failure
            .message
            .starts_with(&format!("{peer}: certificate for origin.test ")),
        "{}",
        failure.message
    );
    refused(&seen, failure.kind, &failure.message);
}

#[tokio::test]
async fn an_unknown_issuer_is_named() {
    let stranger = Authority::named("Nobody Inc");
    let (seen, peer) = shown(&stranger.issue(&["origin.test"]), &Authority::new()).await;
    let message = format!(
        "{peer}: certificate for origin.test has an unknown issuer (\"CN=Nobody Inc\"): no trusted \
         root vouches for it, or an intermediate certificate is missing"
    );
    assert_failed(&seen, Phase::Tls, FailureKind::CertificateIssuer, &message);
    let certificate = seen.tls.and_then(|t| t.certificate).expect("a certificate");
    assert_eq!(certificate.issuer, "CN=Nobody Inc");
}

#[tokio::test]
async fn what_signed_itself_is_said_to() {
    let (seen, peer) = shown(&Identity::self_signed("origin.test"), &Authority::new()).await;
    let message = format!("{peer}: certificate is self-signed (\"CN=origin.test\")");
    assert_failed(&seen, Phase::Tls, FailureKind::CertificateIssuer, &message);
}

#[tokio::test]
async fn no_version_in_common() {
    let authority = Authority::new();
    let identity = authority.issue(&["origin.test"]);
    let check = async |server: &'static rustls::SupportedProtocolVersion, only: TlsVersion| {
        let tls = identity.tls_with(&[server], &["http/1.1"]);
        let server = Server::https(tls, |_| Reply::new(200)).await;
        let mut plan = trusting(&server, &authority);
        plan.clients[0].tls = TlsRange {
            min: only,
            max: only,
            ..TlsRange::default()
        };
        let message = format!(
            "{} does not speak TLS {} (TLS alert protocol_version)",
            server.address,
            only.as_str()
        );
        assert_failed(
            &run(&plan).await,
            Phase::Tls,
            FailureKind::TlsVersion,
            &message,
        );
    };
    check(&TLS12, TlsVersion::V1_3).await;
    check(&TLS13, TlsVersion::V1_2).await;
}

#[tokio::test]
async fn http2_only_needs_http2() {
    let authority = Authority::new();
    let identity = authority.issue(&["origin.test"]);
    let check = async |alpn: &[&str], message: &str| {
        let tls = identity.tls_with(rustls::ALL_VERSIONS, alpn);
        let server = Server::https(tls, |_| Reply::new(200)).await;
        let mut plan = trusting(&server, &authority);
        plan.clients[0].http = HttpOffer::Http2;
        let message = format!("{} {message}", server.address);
        assert_failed(
            &run(&plan).await,
            Phase::Tls,
            FailureKind::HttpVersion,
            &message,
        );
        assert_eq!(server.seen().len(), 0);
    };
    check(
        &["http/1.1"],
        "does not speak HTTP/2 (TLS alert no_application_protocol)",
    )
    .await;
    check(
        &[],
        "did not agree on HTTP/2 but on nothing, and this client offers HTTP/2 only",
    )
    .await;
}

#[tokio::test]
async fn servers_that_do_not_speak_tls() {
    let authority = Authority::new();
    let plain = Server::raw(|mut connection| async move {
        connection.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        connection.hold().await;
    })
    .await;
    let message = format!(
        "{} did not answer the TLS handshake with TLS",
        plain.address
    );
    let seen = run(&trusting(&plain, &authority)).await;
    assert_failed(&seen, Phase::Tls, FailureKind::NotTls, &message);

    let closing = Server::raw(|connection| async move { connection.finish().await }).await;
    let message = format!(
        "{} closed the connection during the TLS handshake",
        closing.address
    );
    let seen = run(&trusting(&closing, &authority)).await;
    assert_failed(&seen, Phase::Tls, FailureKind::Closed, &message);

    let resetting = Server::raw(|mut connection| async move {
        // After the ClientHello, so that the connection is there.
        let mut byte = [0];
        let _ = connection.stream.read_exact(&mut byte).await;
        connection.reset();
    })
    .await;
    let message = format!(
        "{} reset the connection during the TLS handshake",
        resetting.address
    );
    let seen = run(&trusting(&resetting, &authority)).await;
    assert_failed(&seen, Phase::Tls, FailureKind::Reset, &message);

    let silent = Server::raw(|connection| async move { connection.hold().await }).await;
    let mut plan = trusting(&silent, &authority);
    plan.probes[0].timeout = Duration::from_millis(300);
    let message = format!(
        "{} did not finish the TLS handshake within 300 ms",
        silent.address
    );
    assert_failed(
        &run(&plan).await,
        Phase::Tls,
        FailureKind::Timeout,
        &message,
    );
}

#[tokio::test]
async fn a_certificate_of_the_client_is_wanted() {
    let authority = Authority::new();
    let identity = authority.issue(&["origin.test"]);
    for (version, phase) in [
        // Under TLS 1.3 the client learns it after its own handshake is done.
        (&TLS13, Phase::FirstByte),
        (&TLS12, Phase::Tls),
    ] {
        let tls = identity.tls_for_clients_of(&authority, &[version]);
        let server = Server::https(tls, |_| Reply::new(200)).await;
        let seen = run(&trusting(&server, &authority)).await;
        let message = format!(
            "{} wants a certificate of the client, and edgewatch has none to show (TLS alert \
             certificate_required): a client that shows its own may be let in",
            server.address
        );
        let failure = seen.failure.clone().expect("a failure");
        assert_eq!(
            (failure.phase, failure.kind),
            (phase, FailureKind::ClientCertificate)
        );
        assert!(
            failure
                .message
                .starts_with(&message[..message.find("(TLS").unwrap()])
        );
        assert_eq!(server.seen().len(), 0);
    }
}

#[tokio::test]
async fn what_is_put_into_the_session_is_not_ours() {
    const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    const RUBBISH: &[u8] = &[
        0x17, 3, 3, 0, 0x20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
        21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
    ];
    let authority = Authority::new();
    let tls = authority.issue(&["origin.test"]).tls_with(&[&TLS13], &[]);
    for (before, put) in [
        ("", PLAIN),
        ("", RUBBISH),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", RUBBISH),
    ] {
        let server = Server::raw_tls(tls.clone(), move |mut connection| async move {
            connection.request().await;
            connection.send(before).await;
            connection.send_beneath(put);
            connection.hold().await;
        })
        .await;
        let seen = run(&trusting(&server, &authority)).await;
        let failure = seen.failure.expect("a failure");
        assert_eq!(failure.kind, FailureKind::TlsBroken);
        let start = format!("{} sent something into the TLS session", server.address);
        assert!(failure.message.starts_with(&start), "{}", failure.message);
    }
}

#[tokio::test]
async fn alerts_are_named_by_what_they_are_about() {
    let check = async |alert: u8, kind: FailureKind, expected: &str| {
        let server = Server::raw(move |mut connection| async move {
            let _ = connection.stream.read(&mut [0; 2048]).await;
            connection.send([0x15, 3, 3, 0, 2, 2, alert]).await;
            connection.hold().await;
        })
        .await;
        let seen = run(&trusting(&server, &Authority::new())).await;
        let message = format!("{} {expected}", server.address);
        assert_failed(&seen, Phase::Tls, kind, &message);
    };
    check(
        40,
        FailureKind::TlsCipher,
        "found nothing to agree on in the TLS handshake (TLS alert handshake_failure); it can be a limit of \
         ours: edgewatch offers AES-GCM and ChaCha20, no CBC and no RSA key exchange (`openssl s_client` would \
         tell)",
    )
    .await;
    check(
        70,
        FailureKind::TlsVersion,
        "does not speak TLS 1.2 to 1.3 (TLS alert protocol_version)",
    )
    .await;
    check(
        112,
        FailureKind::Handshake,
        "does not serve the name origin.test (TLS alert unrecognized_name)",
    )
    .await;
    check(
        80,
        FailureKind::Handshake,
        "ended the TLS handshake with alert internal_error",
    )
    .await;
}

#[tokio::test]
async fn a_missing_goodbye_is_forgiven_where_nothing_can_be_missing() {
    let authority = Authority::new();
    let tls = authority.issue(&["origin.test"]).tls();
    let check = async |answer: &'static str| {
        let server = Server::raw_tls(tls.clone(), move |mut connection| async move {
            connection.request().await;
            connection.send(answer).await;
            connection.cut();
        })
        .await;
        (run(&trusting(&server, &authority)).await, server.address)
    };
    let (seen, _) = check("HTTP/1.1 200 OK\r\n\r\nok").await;
    assert_answered(&seen, 200, "ok");
    let (seen, peer) = check("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok").await;
    let failure = seen.failure.expect("a failure");
    assert_eq!(
        (failure.phase, failure.kind),
        (Phase::Transfer, FailureKind::Closed)
    );
    assert_eq!(
        failure.message,
        format!("{peer} closed the connection after 2 bytes of the body, before its end")
    );
}

#[tokio::test]
async fn we_say_goodbye() {
    let authority = Authority::new();
    let tls = authority.issue(&["origin.test"]).tls();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::raw_tls(tls, move |mut connection| {
        let told = told.clone();
        async move {
            connection.request().await;
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            let end = connection.stream.read(&mut [0]).await;
            told.send(end.map_err(|e| e.to_string())).unwrap();
        }
    })
    .await;
    assert_answered(&run(&trusting(&server, &authority)).await, 200, "ok");
    // Without close_notify it would be an error.
    assert_eq!(heard.recv().await, Some(Ok(0)));
}

#[tokio::test]
async fn http2_that_breaks_off() {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    // RFC 9113 section 6.4 and 6.8.
    const REFUSED_STREAM: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
    const GO_AWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
    const WITH_WORDS: &[u8] = b"\0\0\x0d\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0bslow!";
    let check = async |answer: Vec<u8>, kind: FailureKind, message: &str| {
        let server = Server::raw(move |mut connection| {
            let answer = answer.clone();
            async move {
                let mut preface = [0; 24];
                let read = connection.stream.read_exact(&mut preface);
                read.await.unwrap();
                connection.send(answer).await;
                connection.hold().await;
            }
        })
        .await;
        let mut plan = plan(&server.url("/"));
        plan.clients[0].http = HttpOffer::Http2;
        let message = format!("{} {message}", server.address);
        assert_failed(&run(&plan).await, Phase::FirstByte, kind, &message);
    };
    check(
        [SETTINGS, REFUSED_STREAM].concat(),
        FailureKind::Reset,
        "reset the HTTP/2 stream without an answer (REFUSED_STREAM)",
    )
    .await;
    check(
        [SETTINGS, GO_AWAY].concat(),
        FailureKind::Closed,
        "ended the HTTP/2 connection without an answer (ENHANCE_YOUR_CALM)",
    )
    .await;
    check(
        [SETTINGS, WITH_WORDS].concat(),
        FailureKind::Closed,
        "ended the HTTP/2 connection without an answer (ENHANCE_YOUR_CALM, \"slow!\")",
    )
    .await;
    check(
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        FailureKind::Protocol,
        "did not answer with HTTP/2 as it should be, or with more than 65536 bytes of headers \
         (FRAME_SIZE_ERROR)",
    )
    .await;
}

#[tokio::test]
async fn a_downgrade_is_not_followed() {
    let authority = Authority::new();
    let plain = Server::http(|_| Reply::new(200).body("plain")).await;
    let to = plain.url("/");
    let server = Server::https(authority.issue(&["origin.test"]).tls(), move |_| {
        Reply::new(301).header("Location", to.clone()).body("moved")
    })
    .await;
    let mut plan = trusting(&server, &authority);
    plan.probes[0].redirects = Redirects::Any(5);
    assert_answered(&run(&plan).await, 301, "moved");
    assert_eq!(plain.seen().len(), 0);
}

#[tokio::test]
async fn bad_trust_is_told_at_the_start() {
    let check = |pem: &str, expected: &str| {
        let mut plan = plan("https://origin.test/");
        plan.trust = vec![pem.to_owned()];
        let told = edgewatch::probe::Prober::new(&plan).unwrap_err();
        assert_eq!(told, expected);
    };
    check("not a PEM", "trust[0]: no certificate in the PEM text");
}
