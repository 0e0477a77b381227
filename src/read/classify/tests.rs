//! Verdicts of whole runs: failures, expectations, the partner's codes, own signatures, watched blocks.

use http::Method;
use jiff::Timestamp;
use regex::Regex;
use serde_json_path::JsonPath;

use crate::domain::observation::{Failure, Phase};
use FailureKind as F;

use std::time::Duration;

use super::*;
use crate::domain::cell::{CellKey, ClientName, CredentialName, EgressName, ProbeName};
use crate::domain::condition::{Compare, TextMatch};
use crate::domain::observation::{Certificate, Hop, HttpVersion, Phases, Purpose, Route, TlsFacts};
use crate::domain::probe::{Cookies, Expect, Redirects, Resolver, Schedule, Words};
use crate::lang::xpath::XPath;
use crate::read::signatures::page::tests::answer;

fn probe() -> Probe {
    Probe {
        name: ProbeName::new("p"),
        url: url::Url::parse("https://api.example/").unwrap(),
        partner: "api.example".to_owned(),
        method: Method::GET,
        headers: Vec::new(),
        body: None,
        from: vec![EgressName::new("e")],
        as_clients: vec![ClientName::new("c")],
        with: vec![CredentialName::anonymous()],
        schedule: Schedule::Every(Duration::from_secs(60)),
        timeout: Duration::from_secs(20),
        expect: Expect::default(),
        origin: Conditions::default(),
        meanings: Vec::new(),
        words: Words::default(),
        redirects: Redirects::No,
        cookies: Cookies::default(),
        body_bytes_max: 262_144,
        resolver: Resolver::Own,
        connect_to: None,
        tags: Vec::new(),
        severity: crate::domain::verdict::Severity::Warning,
        tell: crate::domain::verdict::Tell::Sure,
        control: false,
        ours: false,
        forbid: Default::default(),
    }
}

fn expecting(conditions: Vec<Condition>) -> Probe {
    let mut probe = probe();
    probe.expect.conditions = Conditions(conditions);
    probe
}

pub(crate) fn seen(answer: Option<Answer>, failure: Option<Failure>) -> Observation {
    let at: Timestamp = "2021-03-01T09:00:00Z".parse().unwrap();
    Observation {
        cell: CellKey {
            probe: ProbeName::new("p"),
            egress: EgressName::new("e"),
            client: ClientName::new("c"),
            credential: CredentialName::anonymous(),
        },
        purpose: Purpose::Schedule,
        due_at: at,
        started_at: at,
        took: Duration::from_millis(6200),
        phases: Phases::default(),
        route: Route::default(),
        tls: None,
        sent: None,
        hops: Vec::new(),
        answer,
        failure,
    }
}

fn contains(text: &str) -> TextMatch {
    TextMatch::Contains(text.to_owned())
}

fn xml(expression: &str) -> Condition {
    Condition::Xml(XPath::new(expression, &[]).unwrap())
}

const CLOUDFLARE: &[(&str, &str)] = &[
    ("server", "cloudflare"),
    ("cf-ray", "628a3d10ab5c0b3a-LHR"),
    ("content-type", "text/plain; charset=UTF-8"),
];

fn block() -> Answer {
    answer(403, CLOUDFLARE, "error code: 1010")
}

/// Whether one of the evidence lines contains `part`.
fn says(verdict: &Verdict, part: &str) -> bool {
    verdict.evidence.iter().any(|e| e.text.contains(part))
}

#[test]
fn failures_by_kind_and_phase() {
    let check = |kind: FailureKind, phase: Phase, expected: Kind, maker: Maker| {
        let message = "192.0.2.7:443 did\nnot answer within 20 s".to_owned();
        let run = seen(
            None,
            Some(Failure {
                phase,
                kind,
                message,
            }),
        );
        let verdict = classify(&probe(), &[], &run);
        assert_eq!(
            (verdict.kind, verdict.maker),
            (expected, maker),
            "{kind:?} in {phase:?}"
        );
        assert!(
            says(&verdict, "192.0.2.7:443 did not answer"),
            "{verdict:?}"
        );
    };
    check(F::NameNotFound, Phase::Dns, Kind::DnsError, Maker::Unknown);
    check(F::NameServer, Phase::Dns, Kind::DnsError, Maker::Unknown);
    check(
        F::Refused,
        Phase::Connect,
        Kind::ConnectError,
        Maker::Unknown,
    );
    check(F::Reset, Phase::Connect, Kind::ConnectError, Maker::Unknown);
    check(F::Reset, Phase::Tls, Kind::TlsError, Maker::Unknown);
    check(
        F::Reset,
        Phase::FirstByte,
        Kind::ConnectError,
        Maker::Unknown,
    );
    check(F::Closed, Phase::Tls, Kind::TlsError, Maker::Unknown);
    check(
        F::Closed,
        Phase::FirstByte,
        Kind::ConnectError,
        Maker::Unknown,
    );
    check(F::Certificate, Phase::Tls, Kind::TlsError, Maker::Unknown);
    check(F::Handshake, Phase::Tls, Kind::TlsError, Maker::Unknown);
    check(F::Timeout, Phase::Dns, Kind::Timeout, Maker::Unknown);
    check(F::Timeout, Phase::FirstByte, Kind::Timeout, Maker::Unknown);
    check(
        F::Protocol,
        Phase::FirstByte,
        Kind::Unexpected,
        Maker::Unknown,
    );
    check(
        F::EgressMissing,
        Phase::Connect,
        Kind::LocalError,
        Maker::OurSide,
    );
    check(F::Proxy, Phase::Connect, Kind::LocalError, Maker::OurSide);
    for kind in [F::Local, F::NoRoute, F::Resolver, F::EgressMissing] {
        check(kind, Phase::Connect, Kind::LocalError, Maker::OurSide);
    }
    // What broke a session that stood came over the wire, whoever put it there.
    for phase in [Phase::Tls, Phase::FirstByte, Phase::Transfer] {
        check(F::TlsBroken, phase, Kind::TlsError, Maker::Unknown);
        check(F::ClientCertificate, phase, Kind::TlsError, Maker::Unknown);
    }
    // An error that nobody can place is nobody's; its phase says what failed.
    check(F::Unplaced, Phase::Dns, Kind::DnsError, Maker::Unknown);
    check(
        F::Unplaced,
        Phase::Connect,
        Kind::ConnectError,
        Maker::Unknown,
    );
    check(F::Unplaced, Phase::Tls, Kind::TlsError, Maker::Unknown);
    check(
        F::Unplaced,
        Phase::FirstByte,
        Kind::ConnectError,
        Maker::Unknown,
    );
    check(
        F::CertificateUnread,
        Phase::Tls,
        Kind::TlsError,
        Maker::OurSide,
    );
}

#[test]
fn a_broken_body() {
    let failure = || Failure {
        phase: Phase::Transfer,
        kind: FailureKind::Timeout,
        message: "the body stopped".to_owned(),
    };
    let run = seen(Some(answer(200, &[], "half")), Some(failure()));
    assert_eq!(classify(&probe(), &[], &run).kind, Kind::Timeout);
    let run = seen(Some(block()), Some(failure()));
    assert_eq!(classify(&probe(), &[], &run).kind, Kind::EdgeBlock);
    let run = seen(Some(answer(500, &[], "half")), Some(failure()));
    assert_eq!(classify(&probe(), &[], &run).kind, Kind::Timeout);
}

#[test]
fn a_block_is_told_whole() {
    let verdict = classify(&probe(), &[], &seen(Some(block()), None));
    assert_eq!(verdict.kind, Kind::EdgeBlock);
    assert_eq!(verdict.maker, Maker::Edge);
    assert_eq!(verdict.vendor, "cloudflare");
    assert_eq!(verdict.fronted_by, "cloudflare");
    assert_eq!(verdict.rule, Rule::UserAgent);
    assert_eq!(verdict.code.as_deref(), Some("1010"));
    assert_eq!(verdict.reference_id.as_deref(), Some("628a3d10ab5c0b3a"));
    assert_eq!(verdict.who_acts, WhoActs::VisitorOrSiteOwner);
    assert_eq!(verdict.hints, [Factor::Client]);
    assert_eq!(verdict.pop.as_deref(), Some("LHR"));
    assert!(says(&verdict, "client's signature"), "{verdict:?}");
}

#[test]
fn rules_point_at_factors() {
    let check = |code: &str, status: u16, expected: &[Factor]| {
        let page = answer(status, CLOUDFLARE, &format!("error code: {code}"));
        let verdict = classify_answer(&page);
        assert_eq!(verdict.hints, expected, "{code}");
    };
    check("1006", 403, &[Factor::Egress]);
    check("1008", 403, &[Factor::Egress]);
    check("1009", 403, &[Factor::Egress]);
    check("1010", 403, &[Factor::Client]);
    check("1015", 429, &[Factor::Rate]);
    check("1020", 403, &[]);
}

#[test]
fn expectations() {
    let check = |name: &str, conditions: Vec<Condition>, answer: Answer, kind: Kind, part: &str| {
        let mut run = seen(Some(answer), None);
        run.tls = Some(TlsFacts {
            paths: Vec::new(),
            version: None,
            alpn: None,
            cipher: None,
            certificate: Some(Certificate {
                subject: "s".to_owned(),
                issuer: "i".to_owned(),
                names: Vec::new(),
                not_before: "2021-01-01T00:00:00Z".parse().unwrap(),
                not_after: "2021-03-14T08:00:00Z".parse().unwrap(),
                sha256: String::new(),
            }),
        });
        let verdict = classify(&expecting(conditions), &[], &run);
        assert_eq!(verdict.kind, kind, "{name}: {verdict:?}");
        assert!(says(&verdict, part), "{name}: {verdict:?}");
    };
    let json = |status| {
        answer(
            status,
            &[("content-type", "application/json")],
            r#"{"a":{"code":0},"ok":true}"#,
        )
    };
    let path = |path: &str, compare| Condition::Json {
        path: JsonPath::parse(path).unwrap(),
        compare,
    };
    let status = |range| Condition::Status(vec![range]);
    check(
        "nothing asked",
        vec![],
        json(204),
        Kind::Pass,
        "status 204, as expected",
    );
    check(
        "redirect",
        vec![],
        json(302),
        Kind::Unexpected,
        "expected status 200 to 299, got 302",
    );
    check(
        "status",
        vec![status((200, 200))],
        json(202),
        Kind::Unexpected,
        "expected status 200, got 202",
    );
    check(
        "a status that is asked for",
        vec![status((404, 404))],
        json(404),
        Kind::Pass,
        "as expected",
    );
    check(
        "a refusal",
        vec![status((200, 200))],
        json(403),
        Kind::OriginDenied,
        "expected status 200, got 403",
    );
    check("a failure", vec![], json(503), Kind::OriginError, "got 503");
    check(
        "JSON",
        vec![path("$.a.code", Compare::Equals(0.into()))],
        json(200),
        Kind::Pass,
        "as expected",
    );
    check(
        "JSON by value",
        vec![path("$.a.code", Compare::Equals(serde_json::json!(0.0)))],
        json(200),
        Kind::Pass,
        "as expected",
    );
    check(
        "JSON differs",
        vec![path("$.a.code", Compare::Equals(1.into()))],
        json(200),
        Kind::Unexpected,
        "JSONPath $.a.code is 0, expected 1",
    );
    check(
        "JSON exists",
        vec![path("$..code", Compare::Exists)],
        json(200),
        Kind::Pass,
        "as expected",
    );
    check(
        "JSON selects nothing",
        vec![path("$.b", Compare::Exists)],
        json(200),
        Kind::Unexpected,
        "JSONPath $.b selects nothing",
    );
    check(
        "JSON unwanted",
        vec![path("$.ok", Compare::NotEquals(true.into()))],
        json(200),
        Kind::Unexpected,
        "is true, expected another value",
    );
    check(
        "no JSON",
        vec![path("$.ok", Compare::Exists)],
        answer(200, &[], "hello"),
        Kind::Unexpected,
        "the body is not JSON",
    );
    check(
        "header",
        vec![Condition::Header {
            name: "X-A".to_owned(),
            value: None,
        }],
        json(200),
        Kind::Unexpected,
        "header x-a is missing",
    );
    check(
        "header value",
        vec![Condition::Header {
            name: "Content-Type".to_owned(),
            value: Some(contains("xml")),
        }],
        json(200),
        Kind::Unexpected,
        "header content-type is \"application/json\", expected one that contains \"xml\"",
    );
    check(
        "body",
        vec![Condition::Body(contains("ready"))],
        json(200),
        Kind::Unexpected,
        "expected a body that contains \"ready\"",
    );
    check(
        "latency",
        vec![Condition::Latency(Duration::from_secs(5))],
        json(200),
        Kind::Warning,
        "took 6.2 s, allowed 5 s",
    );
    check(
        "certificate",
        vec![Condition::CertificateDays(21)],
        json(200),
        Kind::Warning,
        "certificate valid for 12 more days, wanted 21",
    );
    check(
        "a certificate that runs out beside a wrong answer",
        vec![
            Condition::CertificateDays(21),
            Condition::Body(contains("ready")),
        ],
        json(200),
        Kind::Unexpected,
        "certificate valid for 12 more days, wanted 21",
    );
    check(
        "an error that came late",
        vec![Condition::Latency(Duration::from_secs(5))],
        json(503),
        Kind::OriginError,
        "took 6.2 s, allowed 5 s",
    );
    check(
        "certificate holds",
        vec![Condition::CertificateDays(12)],
        json(200),
        Kind::Pass,
        "as expected",
    );
    check(
        "version",
        vec![Condition::Http(HttpVersion::H2)],
        json(200),
        Kind::Unexpected,
        "answered over HTTP/1.1, expected HTTP/2",
    );
    let soap = answer(
        200,
        &[("content-type", "text/xml")],
        "<e xmlns='urn:x'><ReturnCode>0</ReturnCode></e>",
    );
    check(
        "XPath",
        vec![xml("//*[local-name()='ReturnCode']='0'")],
        soap.clone(),
        Kind::Pass,
        "as expected",
    );
    check(
        "XPath with a bare name",
        vec![xml("//ReturnCode='0'")],
        soap.clone(),
        Kind::Unexpected,
        "local-name()",
    );
    check(
        "XPath of JSON",
        vec![xml("//a")],
        json(200),
        Kind::Unexpected,
        "the body is not XML",
    );
}

#[test]
fn content_outweighs_looks() {
    let page = "<title>Request Rejected</title>The requested URL was rejected. Please consult with your administrator. Your support ID is: 230680958440152677";
    let page = || answer(200, &[("content-type", "text/html")], page);
    let status_alone = expecting(vec![Condition::Status(vec![(200, 200)])]);
    let verdict = classify(&status_alone, &[], &seen(Some(page()), None));
    assert_eq!(
        (verdict.kind, &*verdict.vendor),
        (Kind::EdgeBlock, "f5_asm")
    );
    let about_it = expecting(vec![Condition::Body(contains("Request Rejected"))]);
    assert_eq!(
        classify(&about_it, &[], &seen(Some(page()), None)).kind,
        Kind::Pass
    );
    // An explicit header of the edge is no matter of looks.
    let mut challenged = page();
    challenged
        .headers
        .push(("cf-mitigated".to_owned(), "challenge".to_owned()));
    assert_eq!(
        classify(&about_it, &[], &seen(Some(challenged), None)).kind,
        Kind::EdgeChallenge
    );
}

#[test]
fn the_mark_of_the_application() {
    let mut probe = probe();
    probe.origin = Conditions(vec![Condition::Header {
        name: "x-gmc-request".to_owned(),
        value: None,
    }]);
    let mut page = block();
    page.headers
        .push(("x-gmc-request".to_owned(), "1".to_owned()));
    let verdict = classify(&probe, &[], &seen(Some(page), None));
    assert_eq!(
        (verdict.kind, verdict.maker),
        (Kind::OriginDenied, Maker::Origin)
    );
    assert!(
        says(&verdict, "mark of the partner's application"),
        "{verdict:?}"
    );
    assert_eq!(
        classify(&probe, &[], &seen(Some(block()), None)).kind,
        Kind::EdgeBlock
    );
}

#[test]
fn the_partners_own_codes() {
    let mut probe = expecting(vec![xml("//Code='0'")]);
    probe.meanings = vec![Meaning {
        when: Conditions(vec![xml("//Code='99'")]),
        verdict: Kind::OriginDenied,
        factors: vec![Factor::Credential, Factor::Egress],
        note: Some("99, not authorised".to_owned()),
    }];
    let xml = |code: &str| {
        answer(
            200,
            &[("content-type", "text/xml")],
            &format!("<r><Code>{code}</Code></r>"),
        )
    };
    let verdict = classify(&probe, &[], &seen(Some(xml("99")), None));
    assert_eq!(verdict.kind, Kind::OriginDenied);
    assert_eq!(verdict.hints, [Factor::Credential, Factor::Egress]);
    assert!(says(&verdict, "99, not authorised"));
    assert_eq!(
        classify(&probe, &[], &seen(Some(xml("0")), None)).kind,
        Kind::Pass
    );
    assert_eq!(
        classify(&probe, &[], &seen(Some(xml("7")), None)).kind,
        Kind::Unexpected
    );
    assert_eq!(
        classify(&probe, &[], &seen(Some(block()), None)).kind,
        Kind::EdgeBlock
    );
}

#[test]
fn soap_faults_are_told_from_failures() {
    let fault = |code: &str| {
        let body = format!(
            "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body><s:Fault><faultcode>{code}</faultcode><faultstring>x</faultstring></s:Fault></s:Body></s:Envelope>"
        );
        answer(500, &[("content-type", "text/xml")], &body)
    };
    let verdict = classify(
        &probe(),
        &[],
        &seen(Some(fault("s:Client.Authentication")), None),
    );
    assert_eq!(
        (verdict.kind, verdict.rule),
        (Kind::OriginDenied, Rule::Auth)
    );
    let verdict = classify(&probe(), &[], &seen(Some(fault("s:Server")), None));
    assert_eq!(verdict.kind, Kind::OriginError);
    let wanted = expecting(vec![
        Condition::Status(vec![(500, 500)]),
        Condition::Body(contains("faultcode")),
    ]);
    assert_eq!(
        classify(&wanted, &[], &seen(Some(fault("s:Server")), None)).kind,
        Kind::Pass
    );
}

#[test]
fn gates() {
    let form = answer(
        200,
        &[("content-type", "text/html")],
        "<title>Welcome</title><input type=\"password\">",
    );
    let wants = expecting(vec![Condition::Body(contains("orders"))]);
    let verdict = classify(&wants, &[], &seen(Some(form.clone()), None));
    assert_eq!((verdict.kind, verdict.rule), (Kind::SoftBlock, Rule::Login));
    assert!(
        says(&verdict, "expected a body that contains \"orders\""),
        "{verdict:?}"
    );
    assert_eq!(
        classify(&probe(), &[], &seen(Some(form), None)).kind,
        Kind::Pass
    );
    let mut run = seen(Some(answer(200, &[], "hello")), None);
    run.hops.push(Hop {
        url: "https://api.example/".to_owned(),
        status: 302,
        location: "/login?next=%2F".to_owned(),
        took: Duration::ZERO,
    });
    assert_eq!(classify(&wants, &[], &run).kind, Kind::SoftBlock);
    let to_login = answer(302, &[("location", "/login")], "");
    assert_eq!(
        classify(&probe(), &[], &seen(Some(to_login), None)).kind,
        Kind::SoftBlock
    );
}

#[test]
fn no_refusal_in_data_is_as_expected() {
    let check = |headers: &[(&str, &str)], body: &str, kind: Kind| {
        let run = seen(Some(answer(200, headers, body)), None);
        assert_eq!(
            classify(&probe(), &[], &run).kind,
            kind,
            "{headers:?} {body}"
        );
    };
    let fault = |text: &str| {
        format!(
            "<Envelope><Body><Fault><faultcode>Client</faultcode><faultstring>{text}</faultstring></Fault></Body></Envelope>"
        )
    };
    let xml = &[("content-type", "text/xml")];
    check(xml, &fault("Access denied"), Kind::OriginDenied);
    // Who asks for nothing but the status may ask for the fault of an empty request.
    check(xml, &fault("Missing element Id"), Kind::Pass);
    let grpc = |status| {
        [
            ("content-type", "application/grpc"),
            ("grpc-status", status),
        ]
    };
    check(&grpc("0"), "", Kind::Pass);
    check(&grpc("7"), "", Kind::OriginDenied);
    check(&grpc("8"), "", Kind::RateLimited);
}

#[test]
fn own_signatures_come_first() {
    let own = OwnSignature {
        name: "house firewall".to_owned(),
        when: Conditions(vec![Condition::Body(contains("error code"))]),
        verdict: Kind::RateLimited,
        maker: Maker::Edge,
        vendor: "house".to_owned(),
        rule: Rule::RateLimit,
        reference_id: Some(Regex::new(r"code: (\d+)").unwrap()),
    };
    let verdict = classify(&probe(), &[own], &seen(Some(block()), None));
    assert_eq!(
        (verdict.kind, &*verdict.vendor),
        (Kind::RateLimited, "house")
    );
    assert_eq!(verdict.reference_id.as_deref(), Some("1010"));
    assert!(says(&verdict, "own signature house firewall"));
}

#[test]
fn a_watched_block() {
    let mut probe = probe();
    probe.expect.verdict = Some(Kind::EdgeBlock);
    let there = classify(&probe, &[], &seen(Some(block()), None));
    assert_eq!((there.kind, &*there.vendor), (Kind::Pass, "cloudflare"));
    assert!(says(&there, "edge_block, which is normal here"));
    let gone = classify(&probe, &[], &seen(Some(answer(200, &[], "hello")), None));
    assert_eq!(gone.kind, Kind::Unexpected);
    assert!(says(&gone, "expected edge_block, got a pass"));
    let other = classify(&probe, &[], &seen(Some(answer(503, &[], "")), None));
    assert_eq!(other.kind, Kind::OriginError);
}

#[test]
fn retry_after() {
    let check = |name: &str, headers: &[(&str, &str)], expected: Option<u64>| {
        let verdict = classify_answer(&answer(429, headers, ""));
        assert_eq!(
            verdict.retry_after,
            expected.map(Duration::from_secs),
            "{name}"
        );
        assert_eq!(verdict.kind, Kind::RateLimited, "{name}");
    };
    check("seconds", &[("retry-after", " 30 ")], Some(30));
    check(
        "a date",
        &[
            ("retry-after", "Mon, 01 Mar 2021 09:02:00 GMT"),
            ("date", "Mon, 01 Mar 2021 09:00:00 GMT"),
        ],
        Some(120),
    );
    check(
        "a date without a date, and no time of our own",
        &[("retry-after", "Mon, 01 Mar 2021 09:02:00 GMT")],
        None,
    );
    check(
        "a past date",
        &[
            ("retry-after", "Mon, 01 Mar 2021 08:00:00 GMT"),
            ("date", "Mon, 01 Mar 2021 09:00:00 GMT"),
        ],
        None,
    );
    check("zero", &[("retry-after", "0")], None);
    check("a year", &[("retry-after", "31536000")], None);
    check("nonsense", &[("retry-after", "-5")], None);
    check("none", &[], None);
}

#[test]
fn a_date_without_a_date_counts_from_when_the_answer_came() {
    let mut run = seen(
        Some(answer(
            429,
            &[("retry-after", "Mon, 01 Mar 2021 09:02:00 GMT")],
            "",
        )),
        None,
    );
    run.started_at = "2021-03-01T09:01:30Z".parse().unwrap();
    run.took = Duration::from_secs(10);
    let verdict = classify(&probe(), &[], &run);
    assert_eq!(verdict.retry_after, Some(Duration::from_secs(20)));
}

#[test]
fn evidence_is_clean_and_bounded() {
    let long = format!("a\u{1b}[31m\u{202e}{}", "x".repeat(5000));
    let page = answer(403, &[("x-powered-by", &long), ("cf-ray", &long)], "");
    let verdict = classify_answer(&page);
    for line in &verdict.evidence {
        assert!(line.text.chars().count() <= EVIDENCE_CHARS_MAX + 1);
        assert!(
            !line.text.chars().any(crate::domain::shown::is_unsafe),
            "{line:?}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(
        status in 100_u16..=999,
        headers in proptest::collection::vec(
            (
                proptest::sample::select(vec![
                    "server", "content-type", "cf-ray", "location", "set-cookie", "x-iinfo", "retry-after", "date",
                    "x-cache", "x-azure-ref", "x-served-by", "cf-error-type", "x-sucuri-block", "x-reference-error",
                ]),
                "\\PC{0,60}",
            ),
            0..8,
        ),
        body in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        markup in proptest::collection::vec(
            proptest::sample::select(vec![
                "<title>", "</title>", "<script>", "<!--", "&#", "&#46;", "cf-error-details", "Reference&#32;&#35;18&#46;",
                "{\"", "incident_id=", "support ID is: ", "<s:Envelope><s:Body><s:Fault>", "faultcode>", "\u{e9}", "_cf_chl_opt=", "%3D",
            ]),
            0..20,
        ),
    ) {
        let borrowed: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let mut random = answer(status, &borrowed, "");
        random.body.bytes = body.into();
        let _ = classify_answer(&random);
        let woven = answer(status, &borrowed, &markup.concat());
        let _ = classify_answer(&woven);
        let probe = expecting(vec![xml("//a='1'"), Condition::Body(contains("x"))]);
        let _ = classify(&probe, &[], &seen(Some(woven), None));
    }
}

#[test]
fn a_sign_is_told_once() {
    let mut verdict = Verdict::new(Kind::EdgeBlock, Maker::Edge);
    for text in [
        "status 403, title \"No\"",
        "status 403",
        "status 4",
        "status 4",
    ] {
        verdict.evidence.push(Evidence::new(Strength::Strong, text));
    }
    let told: Vec<String> = tidy(verdict).evidence.into_iter().map(|e| e.text).collect();
    assert_eq!(told, ["status 403, title \"No\"", "status 4"]);
}

#[test]
fn what_our_own_limits_hide_is_said_to_be_ours() {
    let mut asked = probe();
    asked.expect.conditions = Conditions(vec![Condition::Body(TextMatch::Contains(
        "all well".to_owned(),
    ))]);
    let mut page = answer(200, &[], &"x".repeat(4096));
    page.body.truncated = true;
    let verdict = classify(&asked, &[], &seen(Some(page.clone()), None));
    assert_eq!(
        (verdict.kind, verdict.maker, verdict.blamed()),
        (Kind::Unexpected, Maker::OurSide, Kind::LocalError)
    );
    assert!(says(&verdict, "only the first 4 KiB"), "{verdict:?}");
    assert!(says(&verdict, "`body_limit:`"), "{verdict:?}");
    // What else is wrong is no matter of the limit.
    page.status = 301;
    let verdict = classify(&asked, &[], &seen(Some(page.clone()), None));
    assert_eq!(verdict.kind, Kind::Unexpected);
    assert_ne!(verdict.maker, Maker::OurSide);
    // Nor is a body of which all was kept.
    page.status = 200;
    page.body.truncated = false;
    let verdict = classify(&asked, &[], &seen(Some(page.clone()), None));
    assert_ne!(verdict.maker, Maker::OurSide);
    page.body.decode_error = Some("content coding gzip: corrupt deflate stream".to_owned());
    let verdict = classify(&asked, &[], &seen(Some(page), None));
    assert_eq!(verdict.maker, Maker::Unknown);
    assert!(says(&verdict, "corrupt deflate stream"), "{verdict:?}");
}

#[test]
fn a_redirect_that_is_not_followed_says_why_and_whereto() {
    let check = |redirects: Redirects, location: &str, expected: &str| {
        let mut asked = probe();
        asked.url = "https://api.example/start".parse().unwrap();
        asked.redirects = redirects;
        asked.expect.conditions = Conditions(vec![Condition::Status(vec![(200, 200)])]);
        let page = answer(302, &[("location", location)], "");
        let verdict = classify(&asked, &[], &seen(Some(page), None));
        assert_eq!(
            (verdict.kind, verdict.maker),
            (Kind::Unexpected, Maker::Unknown)
        );
        assert!(says(&verdict, expected), "{verdict:?}");
        assert!(!says(&verdict, "hunter22"), "{verdict:?}");
    };
    check(
        Redirects::SameHost(5),
        "https://me:hunter22@other.example/next?token=hunter22",
        "leads to another host, https://other.example/next, and is not followed (`redirects: same_host`)",
    );
    check(
        Redirects::No,
        "/next",
        "`redirects: no`); this one leads to https://api.example/next",
    );
    check(
        Redirects::Any(5),
        "http://api.example/next",
        "from https to http is never followed",
    );
    check(Redirects::Any(5), "http://", "\"http://\" is no address");
    // A redirect that needs the cookie it sets.
    let mut asked = probe();
    asked.redirects = Redirects::SameHost(5);
    asked.cookies = Cookies::None;
    let page = answer(
        302,
        &[("location", "/"), ("set-cookie", "seen=hunter22; Path=/")],
        "",
    );
    let failure = Failure {
        phase: Phase::Transfer,
        kind: FailureKind::Redirects,
        message: "more than 5 redirects".to_owned(),
    };
    let verdict = classify(&asked, &[], &seen(Some(page), Some(failure)));
    assert!(says(
        &verdict,
        "no cookies are kept between redirects (`cookies: none`), and this one sets seen"
    ));
    assert!(!says(&verdict, "hunter22"), "{verdict:?}");
}
