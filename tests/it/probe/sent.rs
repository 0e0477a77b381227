//! What a run says of its own request is what stood on the wire.

use edgewatch::domain::cell::{HttpOffer, TlsRange, TlsVersion};
use edgewatch::domain::hello;
use edgewatch::domain::observation::Observation;
use edgewatch::domain::plan::Plan;
use edgewatch::domain::preface;
use edgewatch::domain::sent::{Greeting, Sent, Stack, header_order};
use tokio::io::AsyncReadExt as _;

use super::run;
use crate::plan::plan;
use crate::server::certificates::Authority;
use crate::server::{Reply, Server};

/// Runs the plan against a server that reads a hello and leaves; its fingerprint, and what the run says.
async fn hello_of(plan: &mut Plan, host: &str) -> (String, Observation) {
    let server = Server::raw(|mut connection| async move {
        let mut wire = Vec::new();
        loop {
            if let hello::Read::Hello(hello) = hello::read(&wire) {
                return connection.note(|seen| {
                    seen.head = format!("{} {}", hello.ja4(), Greeting::of(&hello).told());
                });
            }
            if connection.stream.read_buf(&mut wire).await.unwrap() == 0 {
                return;
            }
        }
    })
    .await;
    plan.probes[0].url = server.url_as("https", host, "/").parse().unwrap();
    plan.probes[0].connect_to = Some(server.address.ip());
    let seen = run(plan).await;
    let noted = server.seen();
    (noted[0].head.clone(), seen)
}

#[tokio::test]
async fn the_fingerprint_is_that_of_the_wire() {
    use HttpOffer::{Either, Http1, Http2};
    use TlsVersion::{V1_2, V1_3};
    for (offer, min, max, host, start) in [
        (Http1, V1_2, V1_3, "partner.test", "t13d1010h1_"),
        (Http1, V1_2, V1_3, "127.0.0.1", "t13i1009h1_"),
        (Http2, V1_2, V1_3, "partner.test", "t13d1010h2_"),
        (Either, V1_3, V1_3, "partner.test", "t13d"),
        (Http1, V1_2, V1_2, "partner.test", "t12d"),
    ] {
        let mut plan = plan("https://partner.test/");
        plan.clients[0].http = offer;
        plan.clients[0].tls = TlsRange {
            min,
            max,
            ..TlsRange::default()
        };
        // Twice, because rustls shuffles its extensions.
        for _ in 0..2 {
            let (wire, seen) = hello_of(&mut plan, host).await;
            let (wire, told) = wire.split_once(' ').expect("fingerprint and size");
            assert!(wire.starts_with(start), "{wire}");
            let greeting = seen.sent.clone().and_then(|sent| sent.greeting);
            let said = greeting.as_ref().map(Greeting::told);
            assert_eq!(said.as_deref(), Some(told), "{host}");
            let sent = Sent {
                stack: Stack::Native,
                ja4: Some(wire.to_owned()),
                ja4_fresh: None,
                greeting,
                // The server left before.
                header_order: None,
                h2: None,
            };
            assert_eq!(seen.sent, Some(sent), "{offer:?} {host}");
        }
    }
}

#[tokio::test]
async fn the_form_of_http2_is_that_of_the_wire() {
    let authority = Authority::new();
    let identity = authority.issue(&["partner.test"]);
    let tls = identity.tls_with(rustls::ALL_VERSIONS, &["h2"]);
    let server = Server::raw_tls(tls, |mut connection| async move {
        let mut wire = Vec::new();
        while preface::form(&wire).is_none() {
            if connection.stream.read_buf(&mut wire).await.unwrap() == 0 {
                return;
            }
        }
        connection.note(|seen| seen.head = preface::form(&wire).unwrap());
    })
    .await;
    let mut plan = plan(&server.url_as("https", "partner.test", "/"));
    plan.probes[0].connect_to = Some(server.address.ip());
    plan.trust = vec![authority.pem()];
    plan.clients[0].http = HttpOffer::Either;
    let sent = run(&plan).await.sent.expect("a request");
    assert_eq!(sent.h2.as_deref(), Some(server.seen()[0].head.as_str()));
    let names = ["user-agent", "accept"];
    assert_eq!(sent.header_order, Some(header_order("2", names)));
}

#[tokio::test]
async fn without_tls_there_are_only_the_headers() {
    let server = Server::http(|_| Reply::new(200)).await;
    let mut plan = plan(&server.url("/"));
    plan.clients[0].headers = vec![("DNT".into(), Some("1".into()))];
    let names = ["Host", "User-Agent", "Accept", "DNT"];
    let expected = Sent {
        stack: Stack::Native,
        ja4: None,
        ja4_fresh: None,
        greeting: None,
        header_order: Some(header_order("1.1", names)),
        h2: None,
    };
    assert_eq!(run(&plan).await.sent, Some(expected));
    let text = serde_json::to_string(&run(&plan).await.sent).unwrap();
    assert!(
        text.starts_with(r#"{"stack":"native","ja4":null,"header_order":""#),
        "{text}"
    );

    drop(server);
    assert_eq!(run(&plan).await.sent, None, "nothing was sent");
}
