//! Fronts read from real headers, and changes in words.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::domain::cell::{CellKey, CredentialName};
use crate::domain::observation::{
    Certificate, Failure, FailureKind, Hop, Phase, Phases, Purpose, Route, TlsFacts,
};
use crate::read::classify::classify_answer;
use crate::read::saved;

fn observation(head: &str) -> Observation {
    let text = format!("{}\r\n\r\nfine", head.trim().replace('\n', "\r\n"));
    let at = Timestamp::UNIX_EPOCH;
    Observation {
        cell: CellKey {
            probe: "p".into(),
            egress: "e".into(),
            client: "c".into(),
            credential: CredentialName::anonymous(),
        },
        purpose: Purpose::Schedule,
        due_at: at,
        started_at: at,
        took: Duration::ZERO,
        phases: Phases::default(),
        route: Route::default(),
        tls: None,
        sent: None,
        hops: Vec::new(),
        answer: Some(saved::parse(text.as_bytes()).unwrap()),
        failure: None,
    }
}

fn issued_by(mut observation: Observation, issuer: &str) -> Observation {
    observation.tls = Some(TlsFacts {
        paths: Vec::new(),
        version: None,
        alpn: None,
        cipher: None,
        certificate: Some(Certificate {
            subject: "CN=h".to_owned(),
            issuer: issuer.to_owned(),
            names: Vec::new(),
            not_before: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::UNIX_EPOCH,
            sha256: String::new(),
        }),
    });
    observation
}

/// What an answer's fingerprint says, a line a trait.
fn seen(observation: &Observation) -> String {
    let answer = observation.answer.as_ref().unwrap();
    let verdict = classify_answer(answer);
    let print = read(observation, &verdict, "api.partner.example:8443");
    assert_eq!(
        digest(observation, &verdict, "api.partner.example:8443"),
        Digest::of(&print),
        "the digest is that of the fingerprint"
    );
    print.to_text()
}

#[test]
fn volatile_headers_are_in_order() {
    assert!(VOLATILE.is_sorted());
}

#[test]
fn fronts_by_their_headers() {
    // Headers as in saved answers of these services.
    for (name, head, expected) in [
        (
            "an application server",
            "HTTP/1.1 200 OK\nDate: Sun, 28 Feb 2021 02:14:00 GMT\nServer: Microsoft-IIS/10.0\nX-AspNet-Version: 4.0.30319\nX-Powered-By: ASP.NET\nContent-Type: text/xml\nContent-Length: 4\nSet-Cookie: a=1",
            "server Microsoft-IIS\nhttp 1.1\nheader server\nheader x-aspnet-version\nheader x-powered-by",
        ),
        (
            "behind Cloudflare",
            "HTTP/2 200\ndate: Sun, 28 Feb 2021 02:14:00 GMT\nserver: cloudflare\ncf-ray: 5da5cc3358641e89-AMS\ncf-cache-status: DYNAMIC\nnel: {}\nx-powered-by: ASP.NET",
            "server cloudflare\nhttp 2\nmarker cloudflare\nheader cf-ray\nheader server\nheader x-powered-by",
        ),
        (
            "CloudFront with the origin's server",
            "HTTP/1.1 200 OK\nServer: gunicorn\nVia: 1.1 1234.cloudfront.net (CloudFront)\nX-Amz-Cf-Pop: LHR50-C1\nX-Amz-Cf-Id: abc==\nX-Cache: Miss from cloudfront\nAge: 3",
            "server gunicorn\nhttp 1.1\nmarker cloudfront\nheader server\nheader via\nheader x-amz-cf-id\nheader x-amz-cf-pop",
        ),
        (
            "DataDome behind CloudFront",
            "HTTP/1.1 200 OK\nServer: DataDome\nX-DataDome: protected\nX-Amz-Cf-Id: abc==",
            "server DataDome\nhttp 1.1\nmarker cloudfront\nmarker datadome\nheader server\nheader x-amz-cf-id\nheader x-datadome",
        ),
        (
            "Imperva, by its cookies too",
            "HTTP/1.1 200 OK\nX-CDN: Imperva\nX-Iinfo: 10-1-1 NNNN CT(34 109 0)\nSet-Cookie: visid_incap_1=a\nSet-Cookie: incap_ses_1=b",
            "http 1.1\nmarker imperva\nheader x-cdn\nheader x-iinfo",
        ),
        (
            "Fastly by its caches",
            "HTTP/1.1 200 OK\nX-Served-By: cache-lhr7320-LHR\nX-Timer: S1\nX-Cache-Hits: 0",
            "http 1.1\nmarker fastly",
        ),
        (
            "twice the same header",
            "HTTP/1.1 200 OK\nLink: a\nLink: b",
            "http 1.1\nheader link",
        ),
        (
            "a redirect elsewhere",
            "HTTP/1.1 302 Found\nServer: nginx/1.18.0 (Ubuntu)\nLocation: https://tis:secret@login.partner.example/start?x=1",
            "server nginx\nhttp 1.1\nredirect login.partner.example\nheader server",
        ),
        (
            "a redirect to itself",
            "HTTP/1.1 302 Found\nLocation: https://API.partner.example/start",
            "http 1.1",
        ),
        (
            "a relative redirect",
            "HTTP/1.1 302 Found\nLocation: /start",
            "http 1.1",
        ),
    ] {
        let print = Fingerprint::from_text(expected);
        assert_eq!(seen(&observation(head)), print.to_text(), "{name}");
    }
}

#[test]
fn what_was_followed_to_another_host_is_that_host_s() {
    let mut followed = observation("HTTP/1.1 200 OK\nServer: nginx\ncf-ray: 1-LHR");
    let hop = |location: &str| Hop {
        url: "https://api.partner.example:8443/".to_owned(),
        status: 302,
        location: location.to_owned(),
        took: Duration::ZERO,
    };
    followed.hops = vec![hop("/there"), hop("https://maintenance.example/page")];
    assert_eq!(seen(&followed), "redirect maintenance.example");
    followed.hops = vec![hop("/there")];
    assert!(seen(&followed).contains("marker cloudflare"));
}

#[test]
fn issuers() {
    for (name, expected) in [
        ("C=US, O=Let's Encrypt, CN=R11", "Let's Encrypt"),
        ("C=US, O=VeriSign, Inc., OU=Trust, CN=x", "VeriSign, Inc."),
        ("CN=plain root", "plain root"),
        ("O=, CN=x", "x"),
        ("O=Alone", "Alone"),
    ] {
        assert_eq!(organisation(name), Some(expected), "{name}");
    }
    assert_eq!(organisation("nothing"), None);
    let with = issued_by(
        observation("HTTP/1.1 200 OK"),
        "C=US, O=Let's Encrypt, CN=R11",
    );
    assert_eq!(seen(&with), "issuer Let's Encrypt\nhttp 1.1");
}

#[test]
fn only_what_was_let_through_speaks() {
    let fine = observation("HTTP/1.1 200 OK\nServer: nginx");
    let verdict = |kind, maker| Verdict::new(kind, maker);
    assert!(speaks(&fine, &verdict(Kind::Pass, Maker::Origin)));
    assert!(speaks(&fine, &verdict(Kind::Pass, Maker::Unknown)));
    assert!(
        !speaks(&fine, &verdict(Kind::Pass, Maker::Edge)),
        "a watched block"
    );
    assert!(!speaks(&fine, &verdict(Kind::EdgeBlock, Maker::Edge)));
    assert!(!speaks(&fine, &verdict(Kind::Pass, Maker::OurSide)));
    let mut broken = fine.clone();
    broken.failure = Some(Failure {
        phase: Phase::Transfer,
        kind: FailureKind::Closed,
        message: String::new(),
    });
    assert!(!speaks(&broken, &verdict(Kind::Pass, Maker::Origin)));
    broken.answer = None;
    assert!(!speaks(&broken, &verdict(Kind::Pass, Maker::Origin)));
}

#[test]
fn every_saved_answer_has_a_digest_and_names_the_front_that_is_known() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let Ok(cases) = std::fs::read_dir(&corpus) else {
        eprintln!("skipped: {} is not here", corpus.display());
        return;
    };
    let mut count = 0;
    for case in cases.filter_map(Result::ok) {
        let Ok(text) = std::fs::read(case.path().join("response.http")) else {
            continue;
        };
        let mut any = observation("HTTP/1.1 200 OK");
        any.answer = Some(saved::parse(&text).unwrap());
        let verdict = classify_answer(any.answer.as_ref().unwrap());
        let print = Fingerprint::from_text(&seen(&any));
        let front = &*verdict.fronted_by;
        let known = !matches!(front, "none" | "unknown" | "client_network");
        assert!(!known || print.markers.contains(front), "{case:?}");
        assert!(print.markers.len() <= 2, "{case:?}: {:?}", print.markers);
        count += 1;
    }
    assert!(count >= 100, "{count} cases");
}

#[test]
fn a_change_in_words() {
    let print = |text: &str| Fingerprint::from_text(text);
    for (old, new, expected) in [
        ("", "marker cloudflare", "Cloudflare appeared in front of h"),
        (
            "marker cloudflare",
            "",
            "Cloudflare went from the front of h",
        ),
        (
            "marker akamai",
            "marker cloudflare",
            "Cloudflare took the place of Akamai in front of h",
        ),
        (
            "marker cloudfront",
            "marker cloudfront\nmarker datadome",
            "DataDome appeared in front of h",
        ),
        ("asn 1", "asn 2", "h moved to another network"),
        (
            "issuer DigiCert Inc",
            "issuer Let's Encrypt",
            "the certificate of h is now issued by Let's Encrypt, before by DigiCert Inc",
        ),
        ("http 1.1", "http 2", "h now answers over HTTP/2"),
        ("", "redirect x", "h now redirects to x"),
        ("redirect x", "", "h no longer redirects"),
        (
            "server apache",
            "server nginx",
            "h now says that its server is nginx, before apache",
        ),
        (
            "header x-a\nheader x-b",
            "header x-b\nheader x-c",
            "h now sends x-c and no longer x-a",
        ),
    ] {
        let (old, new) = (print(old), print(new));
        let drift = Drift {
            at: 0.0,
            noticed_at: 0.0,
            kind: DriftKind::between(&old, &new),
            old,
            new,
            told: false,
        };
        assert_eq!(text("h", &drift), expected);
    }
}
