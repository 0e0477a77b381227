//! A partner whose certificate is good, and a client whose roots have ended: the path is told, and nobody else.

use crate::kept;
use crate::server::certificates::{Authority, Identity};
use crate::server::{Reply, Server};
use crate::world::{program, run};

/// A partner under an issuing CA for which two roots vouch; the old one has ended, or will.
async fn partner(old_ends: i32) -> (Server, Authority, Authority) {
    let old = Authority::until("Old Root", old_ends);
    let (new, issuing) = (Authority::named("New Root"), Authority::named("Issuing"));
    let chain = vec![
        issuing.crossed("Issuing", &old, 2110),
        issuing.crossed("Issuing", &new, 2110),
    ];
    let leaf: Identity = issuing.issue(&["api.partner.example"]).behind(chain);
    let server = Server::https(leaf.tls(), |_| Reply::new(200).body("ok")).await;
    (server, old, new)
}

struct File {
    folder: tempfile::TempDir,
    host: String,
}

impl File {
    fn new(server: &Server, old: &Authority, new: &Authority, days: u32) -> Self {
        let folder = kept::folder();
        std::fs::write(folder.path().join("old.pem"), old.pem()).unwrap();
        std::fs::write(folder.path().join("new.pem"), new.pem()).unwrap();
        let port = server.address.port();
        let text = format!(
            "version: 1\nservice: Acme\negresses: {{ a: 127.0.0.2, b: 127.0.0.3 }}\nclients:\n  legacy: {{ user_agent: Java/1.8.0_275, trust: old.pem }}\n  modern: Java/21\n  website: Java/17\n\
             probes:\n  orders: {{ url: \"https://api.partner.example:{port}/\", connect_to: 127.0.0.1, every: 5m, timeout: 5s, expect: {{ certificate_days: {days} }} }}\n\
             trust: new.pem\npoliteness: {{ per_host: {{ requests_per_minute: 6000, gap: 0s }} }}\nstore: {{ path: edgewatch.sqlite }}\n"
        );
        std::fs::write(folder.path().join("probes.yaml"), text).unwrap();
        Self {
            folder,
            host: format!("api.partner.example:{port}"),
        }
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = program(arguments);
        command.current_dir(self.folder.path());
        let (code, out, err) = run(command).await;
        let text = format!("{out}{err}");
        (code, text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_that_ended_is_named_with_its_client() {
    let (server, old, new) = partner(2021).await;
    let file = File::new(&server, &old, &new, 21);
    let (code, out) = file.run(&["once"]).await;
    assert_eq!(code, 1, "{out}");
    let host = &file.host;
    for said in [
        format!(
            "the certificate of {host} is good, but for client `legacy` (with roots of its own) its path to `Old Root` ended at 2021-01-01 00:00 UTC"
        ),
        "Give client `legacy` a trust store with `New Root`, to which others have a path"
            .to_owned(),
    ] {
        assert!(
            out.to_lowercase().contains(&said.to_lowercase()),
            "{said}\n{out}"
        );
    }
    assert!(!out.contains("has expired"), "{out}");
    assert!(!out.contains("refuses"), "nobody refuses anything: {out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_will_end_is_warned_of() {
    let today = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC);
    let year = today.year() + 1;
    let (server, old, new) = partner(year.into()).await;
    let file = File::new(&server, &old, &new, 400);
    let (code, out) = file.run(&["once", "--format", "json"]).await;
    assert_eq!(code, 0, "it works: {out}");
    let said = format!("certificate's path to `Old Root` ends at {year}-01-01 00:00 UTC, in ");
    assert!(out.contains(&said), "{said}\n{out}");
    let said = "wanted 400; client `legacy` trusts no root of a longer one";
    assert!(out.contains(said), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roots_of_a_jvm_judge_the_same_chain() {
    let (server, old, new) = partner(2021).await;
    let file = File::new(&server, &old, &new, 21);
    std::fs::write(file.folder.path().join("cacerts"), jks(&old)).unwrap();
    let (code, out) = file
        .run(&[
            "client",
            "modern",
            "--trust-from",
            "cacerts",
            "--pem",
            "roots.pem",
        ])
        .await;
    assert_eq!(code, 1, "{out}");
    for said in [
        "client modern with the 1 roots of cacerts (JKS)",
        "certificate valid until 2120-01-01 00:00 UTC",
        "path to `Old Root` ended at 2021-01-01 00:00 UTC",
        "holds no:",
    ] {
        assert!(out.contains(said), "{said}\n{out}");
    }
    assert_eq!(server.seen().len(), 0, "no request is made");
    let written = std::fs::read_to_string(file.folder.path().join("roots.pem")).unwrap();
    assert_eq!(lines(&written), lines(&old.pem()));

    std::fs::write(file.folder.path().join("cacerts"), jks(&new)).unwrap();
    let arguments = [
        "client",
        "legacy",
        "--trust-from",
        "cacerts",
        "--format",
        "json",
    ];
    let (code, out) = file.run(&arguments).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("\"root\": \"New Root\""), "{out}");
}

fn lines(pem: &str) -> Vec<&str> {
    pem.split_whitespace().collect()
}

/// A store as a JVM of before 18 has it.
fn jks(root: &Authority) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let der = CertificateDer::from_pem_slice(root.pem().as_bytes()).unwrap();
    let mut store = vec![
        0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, b'r',
    ];
    store.extend([0; 8]);
    store.extend([0, 5]);
    store.extend(b"X.509");
    store.extend(u32::try_from(der.len()).unwrap().to_be_bytes());
    store.extend(der.iter());
    store.extend([0; 20]);
    store
}
