//! Paths of a certificate: which root ends when, for whom, and what is said of it.

use edgewatch::domain::observation::{ChainPath, FailureKind, Observation, Phase};

use super::{assert_answered, assert_failed, run};
use crate::plan::plan;
use crate::server::certificates::{Authority, Identity};
use crate::server::{Reply, Server};

/// A leaf under an issuing CA that an old root and a new one vouch for.
struct Crossed {
    old: Authority,
    new: Authority,
    leaf: Identity,
}

impl Crossed {
    /// `old` ends on the first of January; what it vouches for lasts as long as said.
    fn new(old: i32, crossed: i32) -> Self {
        let (old, new) = (
            Authority::until("Old Root", old),
            Authority::with_rsa("New Root"),
        );
        let issuing = Authority::named("Issuing");
        let chain = vec![
            issuing.crossed("Issuing", &old, crossed),
            issuing.crossed("Issuing", &new, 2110),
        ];
        let leaf = issuing.issue(&["origin.test"]).behind(chain);
        Self { old, new, leaf }
    }

    async fn server(&self) -> Server {
        Server::https(self.leaf.tls(), |_| Reply::new(200).body("ok")).await
    }
}

/// As a client that trusts these and nobody else.
async fn seen(server: &Server, trust: &[&Authority]) -> Observation {
    let mut plan = plan(&server.url_as("https", "origin.test", "/"));
    plan.probes[0].connect_to = Some(server.address.ip());
    let pem: Vec<String> = trust.iter().map(|root| root.pem()).collect();
    plan.clients[0].trust = Some(pem.concat().into());
    run(&plan).await
}

fn path(root: &str, by: &str, year: i32) -> ChainPath {
    ChainPath {
        root: root.to_owned(),
        by: by.to_owned(),
        ends_at: format!("{year}-01-01T00:00:00Z").parse().unwrap(),
    }
}

#[tokio::test]
async fn every_path_has_its_root_and_its_end() {
    let crossed = Crossed::new(2021, 2110);
    let server = crossed.server().await;
    let (old, new) = (
        path("Old Root", "Old Root", 2021),
        path("New Root", "Issuing", 2110),
    );
    // A client that has both goes round the end of one.
    let both = seen(&server, &[&crossed.old, &crossed.new]).await;
    assert_answered(&both, 200, "ok");
    assert_eq!(both.tls.expect("TLS").paths, [old.clone(), new.clone()]);
    let newer = seen(&server, &[&crossed.new]).await;
    assert_answered(&newer, 200, "ok");
    assert_eq!(newer.tls.expect("TLS").paths, [new]);

    // One that has the old one alone does not, though all that was sent is good.
    let older = seen(&server, &[&crossed.old]).await;
    let message = format!(
        "{}: certificate for origin.test is good until 2120-01-01T00:00:00Z; its path to `Old Root` ended at 2021-01-01 00:00 UTC, \
         and client plain trusts no root of another; it is the root's own end, at which not every TLS library looks",
        server.address
    );
    assert_failed(&older, Phase::Tls, FailureKind::CertificatePath, &message);
    assert_eq!(older.tls.expect("TLS").paths, [old]);
    assert_eq!(
        server.seen().len(),
        2,
        "nothing is sent to whom it can't trust"
    );
}

#[tokio::test]
async fn an_intermediate_certificate_ends_a_path_too() {
    let crossed = Crossed::new(2120, 2021);
    let server = crossed.server().await;
    let older = seen(&server, &[&crossed.old]).await;
    let message = format!(
        "{}: certificate for origin.test is good until 2120-01-01T00:00:00Z; its path to `Old Root` ended at 2021-01-01 00:00 UTC \
         (with the intermediate certificate `Issuing`), and client plain trusts no root of another",
        server.address
    );
    assert_failed(&older, Phase::Tls, FailureKind::CertificatePath, &message);
    assert_answered(&seen(&server, &[&crossed.new]).await, 200, "ok");
}

#[tokio::test]
async fn a_root_of_the_same_name_and_another_key_closes_nothing() {
    let crossed = Crossed::new(2120, 2110);
    let server = crossed.server().await;
    let stranger = Authority::named("Old Root");
    let seen = seen(&server, &[&stranger]).await;
    assert_eq!(seen.tls.expect("TLS").paths, []);
    let failed = seen.failure.expect("a failure");
    assert_ne!(
        failed.kind,
        FailureKind::CertificatePath,
        "{}",
        failed.message
    );
}

#[tokio::test]
async fn a_hostile_chain_ends_the_search() {
    // Sixteen certificates of one name, each signed by it: the paths over them are beyond counting.
    let root = Authority::named("Root");
    let issuing = Authority::named("Issuing");
    let mut chain: Vec<_> = (0..15)
        .map(|year| issuing.crossed("Issuing", &issuing, 2100 + year))
        .collect();
    chain.push(issuing.crossed("Issuing", &root, 2110));
    let leaf = issuing.issue(&["origin.test"]).behind(chain);
    let server = Server::https(leaf.tls(), |_| Reply::new(200).body("ok")).await;
    let seen = seen(&server, &[&root]).await;
    assert!(seen.tls.expect("TLS").paths.len() <= 8);
}
