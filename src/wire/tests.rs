//! What is packed is unpacked as it was, by this version and by those that come.

use std::time::Duration;

use jiff::Timestamp;
use prost::Message as _;

use super::batch::{self, ClockSaid, Closed, Gathering, Head, Unpacked};
use super::greeting::{Hello, Welcome, offset};
use super::plan::SitePlan;
use super::{Unreadable, VERSION};
use crate::domain::cell::CellKey;
use crate::domain::judged::Judged;
use crate::domain::observation::{
    Answer, Body, Certificate, Failure, FailureKind, HttpVersion, Observation, Phase, Phases,
    Purpose, Route, TlsFacts,
};
use crate::domain::verdict::{Evidence, Kind, Maker, Strength, Verdict};

fn key(probe: &str) -> CellKey {
    CellKey {
        probe: probe.into(),
        egress: "aws-london".into(),
        client: "legacy".into(),
        credential: "gmc".into(),
    }
}

fn at(us: i64) -> Timestamp {
    Timestamp::from_microsecond(1_795_000_000_000_000 + us).unwrap()
}

/// A run that passed, as a site sees it.
fn pass(place: usize, start_us: i64) -> Judged {
    let ms = Duration::from_millis;
    Judged {
        observation: Observation {
            cell: key(&format!("p{place}")),
            purpose: Purpose::Schedule,
            due_at: at(start_us - 1_500),
            started_at: at(start_us),
            took: Duration::from_micros(182_345),
            phases: Phases {
                dns: Some(ms(1)),
                connect: Some(ms(8)),
                tls: Some(ms(12)),
                first_byte: Some(ms(140)),
                transfer: None,
            },
            route: Route {
                resolved: vec!["104.18.4.5".parse().unwrap()],
                ttl: None,
                local: Some("10.2.0.7:0".parse().unwrap()),
                remote: Some("104.18.4.5:443".parse().unwrap()),
                proxy: None,
                failed: Vec::new(),
            },
            tls: Some(TlsFacts {
                paths: Vec::new(),
                version: None,
                alpn: Some("http/1.1".to_owned()),
                cipher: None,
                certificate: Some(Certificate {
                    subject: "CN=a.example".to_owned(),
                    issuer: "O=Let's Encrypt".to_owned(),
                    names: vec!["a.example".to_owned()],
                    not_before: at(-86_400_000_000),
                    not_after: at(86_400_000_000),
                    sha256: "ab".repeat(32),
                }),
            }),
            sent: None,
            hops: Vec::new(),
            answer: Some(Answer {
                http: HttpVersion::H1_1,
                status: 200,
                headers: vec![
                    ("date".to_owned(), String::new()),
                    ("server".to_owned(), "cloudflare".to_owned()),
                    ("cf-ray".to_owned(), "-LHR".to_owned()),
                ],
                body: Body {
                    wire_bytes: 4_321,
                    ..Body::default()
                },
            }),
            failure: None,
        },
        verdict: Verdict {
            fronted_by: "cloudflare".into(),
            pop: Some("LHR".to_owned()),
            evidence: vec![Evidence::new(Strength::Proof, "status 200 as expected")],
            ..Verdict::new(Kind::Pass, Maker::Origin)
        },
    }
}

/// The same, where the edge refused it.
fn refused(place: usize, start_us: i64, body: usize) -> Judged {
    let mut judged = pass(place, start_us);
    judged.verdict = Verdict {
        code: Some("1010".to_owned()),
        reference_id: Some("84f1c2d3e4f5a6b7".to_owned()),
        ..Verdict::new(Kind::EdgeBlock, Maker::Edge)
    };
    let answer = judged.observation.answer.as_mut().unwrap();
    answer.status = 403;
    answer.body.bytes = vec![b'x'; body].into();
    judged.observation.failure = Some(Failure {
        phase: Phase::Transfer,
        kind: FailureKind::Closed,
        message: "closed".to_owned(),
    });
    judged
}

fn packed(runs: &[(Judged, u32, bool)]) -> Closed {
    let mut gathering = Gathering::default();
    for (judged, cell, control) in runs {
        gathering.add(judged, *cell, *control);
    }
    let closed = gathering.close().unwrap();
    assert!(gathering.is_empty());
    closed
}

fn unpacked(load: &[u8], table: &[CellKey]) -> Unpacked {
    batch::unpack(load, |place| table.get(place as usize)).unwrap()
}

fn table(cells: usize) -> Vec<CellKey> {
    (0..cells).map(|place| key(&format!("p{place}"))).collect()
}

#[test]
fn runs_are_read_as_they_were_packed() {
    let runs = vec![
        (pass(0, 0), 0, false),
        (refused(1, -40, 300), 1, false),
        (pass(2, 900_000), 2, false),
    ];
    let closed = packed(&runs);
    assert_eq!(closed.runs, 3);
    assert_eq!((closed.first, closed.last), (at(182_305), at(1_082_345)));
    let expected: Vec<Judged> = runs.into_iter().map(|(judged, ..)| judged).collect();
    let read = unpacked(&closed.load, &table(3));
    assert_eq!(read.runs, expected);
    assert_eq!(read.strangers, 0);
    let foreign = unpacked(&closed.load, &table(2));
    assert_eq!((foreign.runs.len(), foreign.strangers), (2, 1));
}

#[test]
fn what_a_pass_leaves_behind_is_what_says_nothing() {
    let mut judged = pass(0, 0);
    let answer = judged.observation.answer.as_mut().unwrap();
    answer.headers = vec![
        ("cf-ray".to_owned(), "84f1c2d3e4f5a6b7-LHR".to_owned()),
        ("set-cookie".to_owned(), "session=1".to_owned()),
    ];
    answer.body.bytes = "ip=192.0.2.1\n".into();
    let plain = unpacked(&packed(&[(judged.clone(), 0, false)]).load, &table(1));
    let read = plain.runs[0].observation.answer.as_ref().unwrap();
    assert_eq!(
        read.headers,
        [
            ("cf-ray".to_owned(), "-LHR".to_owned()),
            ("set-cookie".to_owned(), String::new())
        ]
    );
    assert!(read.body.bytes.is_empty());
    // A control may tell the public address.
    let control = unpacked(&packed(&[(judged.clone(), 0, true)]).load, &table(1));
    assert_eq!(control.runs, [judged]);
}

#[test]
fn a_hundred_bytes_a_run_are_enough() {
    // Four hosts, ten cells each, as in a minute of a small plan.
    let runs: Vec<(Judged, u32, bool)> = (0..50_u32)
        .map(|place| {
            let mut judged = pass(place as usize, i64::from(place) * 20_123);
            let octet = (place % 4) as u8;
            let remote = std::net::SocketAddr::from(([104, 18, 4, octet], 443));
            judged.observation.route.remote = Some(remote);
            judged.observation.took = Duration::from_micros(100_000 + u64::from(place) * 7_919);
            (judged, place, false)
        })
        .collect();
    let closed = packed(&runs);
    let each = closed.load.len() / runs.len();
    assert!(each <= 60, "{each} bytes a run");
}

#[test]
fn a_body_is_cut_to_what_travels() {
    let closed = packed(&[(refused(0, 0, 200 << 10), 0, false)]);
    let read = unpacked(&closed.load, &table(1));
    let body = &read.runs[0].observation.answer.as_ref().unwrap().body;
    assert_eq!((body.bytes.len(), body.truncated), (64 << 10, true));
    assert_eq!(read.runs[0].verdict.code.as_deref(), Some("1010"));
}

#[test]
fn a_word_of_tomorrow_reads_as_unexpected_with_the_word_beside_it() {
    let closed = packed(&[(refused(0, 0, 3), 0, false)]);
    let bytes = super::inflate(&closed.load).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // Of the same length, so that the lengths in the message hold.
    assert_eq!(text.matches("edge_block").count(), 2);
    let mut tomorrow = bytes.clone();
    for place in 0..tomorrow.len() - 10 {
        if &tomorrow[place..place + 10] == b"edge_block" {
            tomorrow[place..place + 10].copy_from_slice(b"edge_sulks");
        }
    }
    let read = unpacked(&super::deflate(&tomorrow), &table(1));
    let verdict = &read.runs[0].verdict;
    assert_eq!(
        (verdict.kind, verdict.maker),
        (Kind::Unexpected, Maker::Unknown)
    );
    assert_eq!(
        verdict.evidence[0].text,
        "the site says \"edge_sulks\", a word that this version does not know"
    );
    assert_eq!(read.runs[0].observation.started_at, at(0));
}

#[test]
fn another_version_is_refused_with_both_named() {
    let message = Head {
        version: 9,
        ..Head::default()
    }
    .encode_to_vec();
    let said = batch::open(&message).unwrap_err();
    assert_eq!(
        said,
        Unreadable::Version {
            theirs: 9,
            ours: VERSION
        }
    );
    assert_eq!(
        said.to_string(),
        "the message is of version 9, and this edgewatch reads version 1; upgrade the older of the two"
    );
    assert!(matches!(
        batch::open(b"GET / HTTP/1.1"),
        Err(Unreadable::Broken(_))
    ));
    assert!(matches!(
        batch::unpack(b"no load", |_| None),
        Err(Unreadable::Broken(_))
    ));
}

#[test]
fn a_bomb_is_no_load() {
    let bomb = super::deflate(&vec![0; 40 << 20]);
    assert!(bomb.len() < super::MESSAGE_BYTES_MAX);
    assert_eq!(batch::unpack(&bomb, |_| None), Err(Unreadable::Large));
}

#[test]
fn four_times_tell_the_offset() {
    // The site is 7 s slow; 30 ms there, 10 ms held, 50 ms back.
    let welcome = Welcome {
        received_us: 7_030_000,
        sent_us: 7_040_000,
        ..Welcome::default()
    };
    let said = offset(0, &welcome, 90_000);
    assert_eq!(
        said,
        ClockSaid {
            offset_us: 6_990_000,
            error_us: 40_000
        }
    );
}

proptest::proptest! {
    /// A field that a later version adds is skipped, wherever it stands.
    #[test]
    fn unknown_fields_are_skipped(tag in 100_u32..5_000, value: Vec<u8>, first: bool) {
        let mut field = Vec::new();
        prost::encoding::bytes::encode(tag, &value, &mut field);
        let grown = |message: Vec<u8>| {
            if first { [field.clone(), message].concat() } else { [message, field.clone()].concat() }
        };
        let head = Head { version: VERSION, seq: 7, load: vec![1, 2], ..Head::default() };
        assert_eq!(batch::open(&grown(batch::seal(head.clone()))), Ok(head));
        let hello = Hello { version: VERSION, host: "a".to_owned(), ..Hello::default() };
        assert_eq!(Hello::read(&grown(hello.clone().packed())), Ok(hello));
        let plan = SitePlan { version: VERSION, generation: 3, ..SitePlan::default() };
        let packed = super::deflate(&grown(plan.encode_to_vec()));
        assert_eq!(SitePlan::read(&packed), Ok(plan));
        // Within a batch too: in the load beside the runs.
        let closed = packed_once();
        let load = super::deflate(&grown(super::inflate(&closed.load).unwrap()));
        assert_eq!(unpacked(&load, &table(2)), unpacked(&closed.load, &table(2)));
    }
}

fn packed_once() -> Closed {
    packed(&[(pass(0, 0), 0, false), (refused(1, 50, 9), 1, false)])
}

/// What the first version wrote is read for ever: these files stay as they are.
mod of_version_1 {
    use super::*;

    const BATCH: &[u8] = include_bytes!("../../tests/fixtures/wire/1/batch");
    const PLAN: &[u8] = include_bytes!("../../tests/fixtures/wire/1/plan");
    const HELLO: &[u8] = include_bytes!("../../tests/fixtures/wire/1/hello");
    const WELCOME: &[u8] = include_bytes!("../../tests/fixtures/wire/1/welcome");

    #[test]
    fn a_batch() {
        let head = batch::open(BATCH).unwrap();
        assert_eq!((head.boot, head.seq, head.generation), (0xfeed, 12, 3));
        assert_eq!((head.acked_below, head.dropped), (9, 40));
        assert!(head.from_spool);
        assert_eq!(
            (head.sent_us, head.complete_until_us),
            (1_795_000_001_000_000, 1_795_000_000_182_395)
        );
        let clock = ClockSaid {
            offset_us: -1_500,
            error_us: 200,
        };
        assert_eq!(head.clock, Some(clock));
        let read = unpacked(&head.load, &table(2));
        assert_eq!(read.runs, [pass(0, 0), refused(1, 50, 9)]);
    }

    #[test]
    fn a_plan() {
        let plan = SitePlan::read(PLAN).unwrap();
        assert_eq!(plan.generation, 3);
        assert_eq!(plan.file, "version: 1\n");
        assert_eq!(plan.table(), table(2));
    }

    #[test]
    fn greetings() {
        let hello = Hello::read(HELLO).unwrap();
        assert_eq!(
            (hello.host.as_str(), hello.generation, hello.refused),
            ("probe-7", 3, 4)
        );
        assert_eq!(hello.missing, ["EDGEWATCH_GMC is not set"]);
        assert_eq!(
            (hello.spool_runs, hello.dropped, hello.leaving),
            (7, 40, true)
        );
        let welcome = Welcome::read(WELCOME).unwrap();
        assert_eq!((welcome.received_us, welcome.generation), (5, 4));
        assert_eq!(welcome.refused, "no such site");
    }
}
