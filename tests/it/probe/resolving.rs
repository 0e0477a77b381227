//! Names: answers with their TTL, missing names, broken and silent name servers.

use std::net::IpAddr;
use std::time::Duration;

use edgewatch::domain::cell::IpFamily;
use edgewatch::domain::observation::{FailureKind, Observation, Phase};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::probe::Resolver;

use super::{assert_answered, assert_failed, run};
use crate::plan::plan;
use crate::server::names::{NameServer, Records};
use crate::server::{Reply, Server};

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

/// A plan for `origin.test` at `server`'s port, asking `names`.
fn named(server: &Server, names: &NameServer) -> Plan {
    let mut plan = plan(&server.url_as("http", "origin.test", "/"));
    plan.name_servers = vec![names.address];
    plan
}

async fn ok_server() -> Server {
    Server::http(|_| Reply::new(200).body("ok")).await
}

#[tokio::test]
async fn answers_are_kept_with_their_ttl() {
    let server = ok_server().await;
    let names = NameServer::start(|_, _| {
        Records::Addresses(77, addresses(&["::2", "127.0.0.1", "127.0.0.9"]))
    })
    .await;
    let seen = run(&named(&server, &names)).await;
    assert_answered(&seen, 200, "ok");
    assert_eq!(names.questions(), ["origin.test 1", "origin.test 28"]);
    assert_eq!(
        seen.route.resolved,
        addresses(&["127.0.0.1", "127.0.0.9", "::2"])
    );
    assert_eq!(seen.route.ttl, Some(Duration::from_secs(77)));
    assert!(seen.phases.dns.expect("a time") <= seen.took);
    let host = server.seen()[0].header("host").map(str::to_owned);
    assert_eq!(host, Some(format!("origin.test:{}", server.address.port())));

    // Nothing is cached: the next run asks again.
    run(&named(&server, &names)).await;
    assert_eq!(names.questions().len(), 4);
}

#[tokio::test]
async fn addresses_are_tried_in_turn() {
    let server = ok_server().await;
    let names =
        NameServer::start(|_, _| Records::Addresses(1, addresses(&["127.0.0.9", "127.0.0.1"])))
            .await;
    let seen = run(&named(&server, &names)).await;
    assert_answered(&seen, 200, "ok");
    let dead = format!("127.0.0.9:{}", server.address.port());
    let reason = format!("{dead} refused the connection");
    assert_eq!(seen.route.failed, [(dead.parse().unwrap(), reason)]);
    assert_eq!(seen.route.remote, Some(server.address));

    let names =
        NameServer::start(|_, _| Records::Addresses(1, addresses(&["127.0.0.9", "127.0.0.8"])))
            .await;
    let seen = run(&named(&server, &names)).await;
    let port = server.address.port();
    let message =
        format!("127.0.0.9:{port} refused the connection; 127.0.0.8:{port} refused the connection");
    assert_failed(&seen, Phase::Connect, FailureKind::Refused, &message);
    assert_eq!(seen.route.failed.len(), 2);
}

async fn fails(
    answer: impl Fn(&str, u16) -> Records + Send + 'static,
    family: IpFamily,
) -> (Observation, NameServer) {
    let names = NameServer::start(answer).await;
    let mut plan = plan("http://origin.test/");
    plan.name_servers = vec![names.address];
    plan.egresses[0].family = family;
    plan.probes[0].timeout = Duration::from_millis(600);
    (run(&plan).await, names)
}

#[tokio::test]
async fn names_that_lead_nowhere() {
    let (seen, _) = fails(|_, _| Records::Code(3), IpFamily::Any).await;
    let message = "there is no name origin.test (NXDOMAIN)";
    assert_failed(&seen, Phase::Dns, FailureKind::NameNotFound, message);

    let (seen, _) = fails(|_, _| Records::Addresses(5, Vec::new()), IpFamily::Any).await;
    let message = "origin.test has no address";
    assert_failed(&seen, Phase::Dns, FailureKind::NameNotFound, message);

    let v4 = |_: &str, _: u16| Records::Addresses(5, addresses(&["127.0.0.1"]));
    let (seen, names) = fails(v4, IpFamily::V6).await;
    let message = "origin.test has no IPv6 address: it has IPv4 addresses (A) alone";
    assert_failed(&seen, Phase::Dns, FailureKind::NameNotFound, message);
    assert_eq!(names.questions(), ["origin.test 1", "origin.test 28"]);

    let v6 = |_: &str, _: u16| Records::Addresses(5, addresses(&["::1"]));
    let (seen, _) = fails(v6, IpFamily::V4).await;
    let message = "origin.test has no IPv4 address: it has IPv6 addresses (AAAA) alone";
    assert_failed(&seen, Phase::Dns, FailureKind::NameNotFound, message);
}

#[tokio::test]
async fn aliases_that_lead_in_a_circle_are_said_to() {
    let around = |name: &str, _: u16| match name {
        "origin.test" => Records::Alias("edge.test"),
        _ => Records::Alias("origin.test"),
    };
    for (family, what) in [
        (IpFamily::Any, "no address"),
        (IpFamily::V4, "no IPv4 address"),
    ] {
        let (seen, _) = fails(around, family).await;
        let message = format!(
            "origin.test has {what}: its aliases (CNAME) lead in a circle (origin.test -> edge.test -> origin.test)"
        );
        assert_failed(&seen, Phase::Dns, FailureKind::NameNotFound, &message);
        assert!(seen.took < Duration::from_secs(2), "{:?}", seen.took);
    }
    let (seen, _) = fails(|_, _| Records::Alias("origin.test"), IpFamily::Any).await;
    let message = "origin.test has no address: its aliases (CNAME) lead in a circle (origin.test -> origin.test)";
    assert_failed(&seen, Phase::Dns, FailureKind::NameNotFound, message);
}

#[tokio::test]
async fn name_servers_that_fail() {
    let (seen, names) = fails(|_, _| Records::Code(2), IpFamily::V4).await;
    let message = format!(
        "name server {} answered Server Failure for origin.test",
        names.address
    );
    assert_failed(&seen, Phase::Dns, FailureKind::NameServer, &message);

    // Silent for the root as well: it is not there.
    let (seen, names) = fails(|_, _| Records::Nothing, IpFamily::Any).await;
    let message = format!(
        "name server {} did not answer for origin.test within 300 ms, and neither for anything else",
        names.address
    );
    assert_failed(&seen, Phase::Dns, FailureKind::Resolver, &message);
    assert!(seen.took < Duration::from_secs(2), "{:?}", seen.took);

    // Silent for the partner's zone alone.
    let silent = |name: &str, _: u16| {
        if name == "origin.test" {
            Records::Nothing
        } else {
            Records::Code(5)
        }
    };
    let (seen, names) = fails(silent, IpFamily::Any).await;
    let message = format!(
        "name server {} did not answer for origin.test within 300 ms",
        names.address
    );
    assert_failed(&seen, Phase::Dns, FailureKind::NameServer, &message);
}

#[tokio::test]
async fn other_names_tell_whose_a_broken_name_server_is() {
    let check = async |answer: fn(&str, u16) -> Records, kind: FailureKind, expected: &str| {
        let names = NameServer::start(answer).await;
        let mut plan = plan("http://www.origin.test/");
        let mut control = plan.probes[0].clone();
        control.name = "internet".into();
        control.control = true;
        control.url = "http://world.test/".parse().unwrap();
        // Of the same owner, so it says nothing of our name servers.
        let mut sibling = plan.probes[0].clone();
        sibling.name = "sibling".into();
        sibling.url = "http://api.origin.test/".parse().unwrap();
        plan.probes.extend([sibling, control]);
        plan.name_servers = vec![names.address];
        plan.egresses[0].family = IpFamily::V4;
        plan.probes[0].timeout = Duration::from_secs(2);
        let message = format!("name server {} answered {expected}", names.address);
        assert_failed(&run(&plan).await, Phase::Dns, kind, &message);
        let asked = names.questions();
        assert!(
            !asked.contains(&"api.origin.test 1".to_owned()),
            "{asked:?}"
        );
    };
    check(
        |_, _| Records::Code(5),
        FailureKind::Resolver,
        "Query Refused for www.origin.test, and neither for world.test",
    )
    .await;
    check(
        |name, _| match name {
            "world.test" => Records::Addresses(5, addresses(&["127.0.0.1"])),
            _ => Records::Code(5),
        },
        FailureKind::NameServer,
        "Query Refused for www.origin.test; world.test resolves there",
    )
    .await;
}

#[tokio::test]
async fn one_family_is_enough() {
    let server = ok_server().await;
    // Some name servers never answer questions for IPv6.
    let names = NameServer::start(|_, kind| match kind {
        1 => Records::Addresses(9, addresses(&["127.0.0.1"])),
        _ => Records::Nothing,
    })
    .await;
    let seen = run(&named(&server, &names)).await;
    assert_answered(&seen, 200, "ok");
    assert_eq!(seen.route.resolved, addresses(&["127.0.0.1"]));
    assert!(seen.phases.dns.expect("a time") < Duration::from_secs(1));
}

#[tokio::test]
async fn localhost_needs_no_name_server() {
    let server = ok_server().await;
    for resolver in [Resolver::Own, Resolver::System] {
        let mut plan = plan(&server.url_as("http", "localhost", "/"));
        plan.name_servers = vec!["127.0.0.1:9".parse().unwrap()];
        plan.egresses[0].family = IpFamily::V4;
        plan.probes[0].resolver = resolver;
        let seen = run(&plan).await;
        assert_answered(&seen, 200, "ok");
        assert_eq!(
            seen.route.resolved,
            addresses(&["127.0.0.1"]),
            "{resolver:?}"
        );
        assert!(seen.phases.dns.is_some());
    }
}

#[tokio::test]
async fn a_pinned_address_asks_nobody() {
    let server = ok_server().await;
    let mut plan = plan(&server.url_as("http", "origin.test", "/"));
    plan.name_servers = vec!["127.0.0.1:9".parse().unwrap()];
    plan.probes[0].connect_to = Some(server.address.ip());
    let seen = run(&plan).await;
    assert_answered(&seen, 200, "ok");
    assert_eq!(seen.phases.dns, None);
    let host = server.seen()[0].header("host").map(str::to_owned);
    assert_eq!(host, Some(format!("origin.test:{}", server.address.port())));
}
