//! Values of the domain: one incident written out, and strategies that make any.

use std::borrow::Cow;
use std::time::Duration;

use edgewatch::domain::cell::{
    CellKey, ClientName, CredentialName, EgressName, ProbeName, ReceiverName,
};
use edgewatch::domain::change::Change;
use edgewatch::domain::diagnosis::{Cause, Diagnosis, Level, RuledOut};
use edgewatch::domain::incident::{
    Acknowledged, Answered, Beside, Happening, Incident, IncidentCell, Muted, Specimen, Standing,
    State, Subject, Telling, TimelineEntry,
};
use edgewatch::domain::notification::{Briefing, CellLine, Engineers, Notification, Plain, Reason};
use edgewatch::domain::observation::ChainPath;
use edgewatch::domain::probe::{Contact, Words};
use edgewatch::domain::sent::{Sent, Stack};
use edgewatch::domain::spells::Spells;
use edgewatch::domain::verdict::{Evidence, Factor, Kind, Maker, Rule, Strength, Verdict, WhoActs};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

/// So many cases; nothing is written beside the sources when one fails, the failing value is printed.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cell(client: &str) -> CellKey {
    CellKey {
        probe: ProbeName::new("gmc-connect"),
        egress: EgressName::new("legacy-prod"),
        client: ClientName::new(client),
        credential: CredentialName::new("gmc"),
    }
}

fn blocked() -> Verdict {
    Verdict {
        vendor: Cow::Borrowed("cloudflare"),
        fronted_by: Cow::Borrowed("cloudflare"),
        rule: Rule::UserAgent,
        code: Some("1010".into()),
        reference_id: Some("84f1c2d3e4f5a6b7".into()),
        who_acts: WhoActs::SiteOwner,
        evidence: vec![Evidence {
            strength: Strength::Proof,
            text: "body: error code: 1010".into(),
        }],
        hints: vec![Factor::Client],
        pop: Some("LHR".into()),
        ..Verdict::new(Kind::EdgeBlock, Maker::Edge)
    }
}

pub(crate) fn specimen(client: &str, verdict: Verdict) -> Specimen {
    let passes = verdict.passed();
    Specimen {
        cell: cell(client),
        at: at("2021-02-28T02:16:05Z"),
        method: "POST".into(),
        url: "https://webcache.gmc-uk.org/GMCWebServices/WebService.asmx".into(),
        request_headers: vec![
            ("User-Agent".into(), "Java/1.8.0_275".into()),
            ("Content-Type".into(), "text/xml; charset=utf-8".into()),
        ],
        request_body: Some("<User>{{ credential.username }}</User>".into()),
        local: Some("10.20.1.15".into()),
        public: Some("203.0.113.15".into()),
        remote: Some("104.16.1.2:443".into()),
        resolved: vec!["104.16.1.2".into(), "104.16.2.2".into()],
        status: Some(if passes { 200 } else { 403 }),
        http: Some("1.1".into()),
        response_headers: vec![("server".into(), "cloudflare".into())],
        excerpt: (!passes)
            .then(|| "Access denied <!channel> The owner has banned your access".into()),
        body_sha256: Some("ab".repeat(32)),
        failure: None,
        took: Duration::from_millis(182),
        phases: vec![
            ("dns".into(), Duration::from_millis(3)),
            ("connect".into(), Duration::from_millis(9)),
        ],
        certificate: Some("CN=gmc-uk.org, 62 days left".into()),
        paths: Vec::new(),
        sent: Some(Sent {
            stack: Stack::Native,
            ja4: Some("t13d1010h1_61a7ad8aa9b6_76ad8fd2bde2".into()),
            ja4_fresh: None,
            greeting: None,
            header_order: Some("3f0c2b6a9d51".into()),
            h2: None,
        }),
        verdict,
    }
}

/// The refusal of March 2021, as a monitor would tell it.
pub(crate) fn briefing() -> Briefing {
    Briefing {
        service: "GMC".into(),
        incident: 42,
        state: State::Open,
        our_side: false,
        subject: "webcache.gmc-uk.org".into(),
        probes: vec!["gmc-connect".into()],
        kind: Kind::EdgeBlock,
        headline: "GMC refuses `legacy-reval` (Java/1.8.0_275) at Cloudflare, from every egress".into(),
        because: vec![
            "`legacy-reval` is refused from legacy-prod and new-reval, `new-reval` passes from both".into(),
            "Cloudflare error 1010: banned by browser signature".into(),
        ],
        ruled_out: vec!["your IPs: `new-reval` passes from legacy-prod as well".into()],
        next_step: Some("Ask the GMC to allow this user agent & quote the Ray ID".into()),
        confidence: 0.993,
        cause_known: true,
        onset_at: at("2021-02-28T02:14:00Z"),
        opened_at: at("2021-02-28T02:15:10Z"),
        resolved_at: None,
        spells: Spells::default(),
        before: None,
        reopened: 0,
        returns: 0,
        watched_again: false,
        engineers: Engineers::Told,
        back_since: None,
        failed_runs: 7,
        cells: vec![
            CellLine { cell: "gmc-connect from legacy-prod as legacy-reval with gmc".into(), kind: Kind::EdgeBlock, failing: true },
            CellLine { cell: "gmc-connect from new-reval as legacy-reval with gmc".into(), kind: Kind::EdgeBlock, failing: true },
            CellLine { cell: "gmc-connect from legacy-prod as new-reval with gmc".into(), kind: Kind::Pass, failing: false },
        ],
        expected: "status 200, ReturnCode 0".into(),
        got: "HTTP 403 from Cloudflare, error 1010".into(),
        last_good_at: Some(at("2021-02-28T02:09:00Z")),
        failing: Some(specimen("legacy-reval", blocked())),
        passing: Some(specimen("new-reval", Verdict::new(Kind::Pass, Maker::Origin))),
        reference_ids: vec!["84f1c2d3e4f5a6b7".into(), "84f1c2d3e4f5a6c8".into()],
        words: Words {
            what: Some("Submitting recommendations to the GMC".into()),
            affects: Some("Revalidation users".into()),
            workaround: Some("Use GMC Connect on the web".into()),
            tell: Some("We know about it and will write again by the time above.".into()),
            contact: Contact {
                ring: Some("Ops desk, 020 7946 0000".into()),
                runbook: Some("https://wiki.example/runbooks/gmc?a=1&b=2".into()),
                link: None,
            },
        },
        beside: vec!["3 h before, Cloudflare appeared in front of webcache.gmc-uk.org; hardly a coincidence (by chance in about 1 of 250 cases)".into()],
        acknowledged: None,
        plain: Plain {
            see: None,
            why: Some("A security system in front of GMC turns away one of our programs; the others get through.".into()),
        },
        during: vec![],
        muted: None,
        held_back: vec![],
        zone: "Europe/London".into(),
        next_update_at: Some(at("2021-02-28T03:15:00Z")),
    }
}

/// A notification of that incident; `created_at` follows from the reason.
pub(crate) fn notification(reason: Reason, sequence: u32, receiver: &str) -> Notification {
    let mut briefing = briefing();
    let created_at = match reason {
        Reason::Opened => at("2021-02-28T02:15:10Z"),
        Reason::Changed => at("2021-02-28T02:31:00Z"),
        Reason::Reminder => at("2021-02-28T03:15:10Z"),
        Reason::Resolved | Reason::Unwatched => at("2021-02-28T04:06:00Z"),
        Reason::Reopened => at("2021-02-28T04:12:00Z"),
        Reason::Acknowledged | Reason::Muted | Reason::Notice => at("2021-02-28T02:20:00Z"),
    };
    if reason == Reason::Acknowledged {
        briefing.acknowledged = Some(Acknowledged {
            at: created_at,
            by: "ann".into(),
        });
        briefing.next_update_at = None;
    }
    if reason == Reason::Unwatched {
        briefing.state = State::Unwatched;
        briefing.headline = format!("Last seen: {}", briefing.headline);
        briefing.resolved_at = Some(created_at);
        briefing.spells.failed(at("2021-02-28T04:02:00Z"));
        briefing.next_update_at = None;
        briefing.next_step = None;
    }
    if reason == Reason::Resolved {
        briefing.state = State::Resolved;
        briefing.headline = format!(
            "GMC answers `legacy-reval` again. It was: {}",
            briefing.headline
        );
        briefing.resolved_at = Some(created_at);
        briefing.spells.failed(at("2021-02-28T04:02:00Z"));
        briefing.spells.passed(at("2021-02-28T04:03:00Z"));
        briefing.next_update_at = None;
    }
    if reason == Reason::Reopened {
        briefing.reopened = 1;
        briefing.returns = 1;
        briefing.back_since = Some(created_at);
    }
    Notification {
        delivery: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(sequence)),
        incident: briefing.incident,
        sequence,
        reason,
        receiver: ReceiverName::new(receiver),
        created_at,
        not_before: created_at,
        briefing,
    }
}

/// As [`notification`], but of the present: nothing of it is late.
pub(crate) fn fresh(incident: u64, reason: Reason, sequence: u32, receiver: &str) -> Notification {
    let mut fresh = notification(reason, sequence, receiver);
    let now = edgewatch::clock::now();
    fresh.delivery = Uuid::now_v7();
    fresh.incident = incident;
    fresh.briefing.incident = incident;
    fresh.created_at = now;
    fresh.not_before = now;
    fresh
}

pub(crate) fn incident(number: u64) -> Incident {
    Incident {
        number,
        state: State::Open,
        subject: Subject::Host("webcache.gmc-uk.org".into()),
        onset_at: at("2021-02-28T02:14:00Z"),
        opened_at: at("2021-02-28T02:15:10Z"),
        resolved_at: None,
        spells: Spells::default(),
        earlier: Vec::new(),
        ways: Vec::new(),
        reopened: 0,
        reopened_at: None,
        rhythm_since: None,
        last_good_at: Some(at("2021-02-28T02:09:00Z")),
        probes: vec![ProbeName::new("gmc-connect")],
        kind: Kind::EdgeBlock,
        diagnosis: Diagnosis {
            cause: Cause::Level(Level::Client(ClientName::new("legacy-reval"))),
            confidence: 0.993,
            fails: None,
            failing: vec![cell("legacy-reval")],
            passing: vec![cell("new-reval")],
            ruled_out: vec![],
            would_tell: None,
            split: None,
        },
        cells: vec![],
        failing: Some(specimen("legacy-reval", blocked())),
        passing: None,
        beside: vec![Beside {
            at: at("2021-02-27T23:14:00Z"),
            text: "Cloudflare appeared in front of webcache.gmc-uk.org".into(),
            chance: 0.004,
            related: true,
        }],
        acknowledged: Some(Acknowledged {
            at: at("2021-02-28T02:20:00Z"),
            by: "alice".into(),
        }),
        reference_ids: vec!["84f1c2d3e4f5a6b7".into()],
        failed_runs: 7,
        extra_runs: 4,
        told: 1,
        reminded: 0,
        last_told_at: Some(at("2021-02-28T02:15:10Z")),
        left: Vec::new(),
        told_receivers: vec![ReceiverName::new("engineers")],
        telling: Telling::default(),
    }
}

/// A change of incident `number` that brings these notifications.
pub(crate) fn change(number: u64, notifications: Vec<Notification>) -> Change {
    Change {
        incident: incident(number),
        timeline: vec![TimelineEntry {
            at: at("2021-02-28T02:15:10Z"),
            what: Happening::Opened,
            text: "opened".into(),
        }],
        notifications,
    }
}

/// Any text: markup of Slack and Teams, control and direction characters, long words.
pub(crate) fn text() -> BoxedStrategy<String> {
    prop_oneof![
        4 => "\\PC{0,40}",
        2 => "[a-z <>&|!@#*_`\\[\\]()\n\r\t]{0,60}",
        1 => Just("<!channel> <@U123> <https://evil.example|click> &amp; ```".to_owned()),
        1 => Just("\u{202e}gnp.exe\u{0}\u{7}\u{200b}\u{2028}x".to_owned()),
        1 => (1_usize..5_000).prop_map(|n| "<&>é😀".repeat(n / 5 + 1)),
    ]
    .boxed()
}

fn instant() -> impl Strategy<Value = Timestamp> + Clone {
    (0_i64..4_000_000_000, 0_i32..1_000_000_000)
        .prop_map(|(second, nano)| Timestamp::new(second, nano).unwrap())
}

fn any_spells() -> impl Strategy<Value = Spells> {
    let times = (
        option::of(instant()),
        option::of(instant()),
        option::of(instant()),
    );
    (0_u64..1 << 60, times).prop_map(|(earlier, (back_at, last_bad_at, first_good_at))| Spells {
        earlier: Duration::from_nanos(earlier),
        back_at,
        last_bad_at,
        first_good_at,
    })
}

fn any_cell() -> impl Strategy<Value = CellKey> + Clone {
    ("[a-z-]{1,8}", "[a-z-]{1,8}", "[a-z-]{1,8}", "[a-z-]{1,8}").prop_map(|(p, e, c, k)| CellKey {
        probe: ProbeName::new(&p),
        egress: EgressName::new(&e),
        client: ClientName::new(&c),
        credential: CredentialName::new(&k),
    })
}

fn any_level() -> impl Strategy<Value = Level> + Clone {
    any_cell().prop_flat_map(|c| {
        select(vec![
            Level::Egress(c.egress.clone()),
            Level::Client(c.client.clone()),
            Level::Credential(c.credential),
            Level::Probe(c.probe.clone()),
            Level::Region {
                name: c.probe.to_string(),
                egresses: vec![c.egress.clone()],
            },
            Level::IpFamily {
                name: c.probe.to_string(),
                egresses: vec![c.egress.clone()],
            },
            Level::Family {
                name: c.probe.to_string(),
                clients: vec![c.client.clone()],
            },
            Level::AllBut {
                factor: Factor::Egress,
                name: c.probe.to_string(),
                others: vec![c.egress.to_string()],
            },
            Level::Http {
                version: "2".to_owned(),
                clients: vec![c.client.clone()],
            },
            Level::Method {
                name: "POST".to_owned(),
                probes: vec![c.probe.clone()],
            },
            Level::Path {
                name: "a.example/v1".to_owned(),
                probes: vec![c.probe.clone()],
            },
            Level::Host {
                name: "a.example".to_owned(),
                probes: vec![c.probe],
            },
        ])
    })
}

fn any_cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        any_level().prop_map(Cause::Level),
        vec(any_level(), 2..4).prop_map(Cause::Together),
        Just(Cause::Everything),
        text().prop_map(Cause::Pop),
        (any::<u32>(), any::<bool>()).prop_map(|(per_minute, by_egress)| Cause::OwnRate {
            per_minute,
            by_egress
        }),
        vec(any_cell(), 0..3).prop_map(|cells| Cause::OurNetwork {
            egresses: cells.into_iter().map(|c| c.egress).collect()
        }),
        vec(any_cell(), 1..3).prop_map(|cells| Cause::OurClients {
            clients: cells.into_iter().map(|c| c.client).collect()
        }),
        vec(any_level(), 0..3).prop_map(|among| Cause::Unknown { among }),
    ]
}

fn any_verdict() -> BoxedStrategy<Verdict> {
    let words = (
        select(Kind::ALL),
        select(Maker::ALL),
        select(Rule::ALL),
        select(WhoActs::ALL),
    );
    let texts = (
        text(),
        text(),
        option::of(text()),
        option::of(text()),
        option::of(text()),
    );
    let evidence = vec((select(Strength::ALL), text()), 0..3);
    let rest = (
        vec(select(Factor::ALL), 0..3),
        option::of(0_u64..u64::MAX / 2),
    );
    (words, texts, evidence, rest)
        .prop_map(
            |(
                (kind, maker, rule, who_acts),
                (vendor, fronted_by, code, id, pop),
                evidence,
                (hints, wait),
            )| Verdict {
                kind,
                maker,
                vendor: Cow::Owned(vendor),
                fronted_by: Cow::Owned(fronted_by),
                rule,
                code,
                reference_id: id,
                who_acts,
                evidence: evidence
                    .into_iter()
                    .map(|(strength, text)| Evidence { strength, text })
                    .collect(),
                kept: wait.map(Duration::from_nanos),
                hints,
                pop,
                retry_after: wait.map(Duration::from_nanos),
            },
        )
        .boxed()
}

fn any_specimen() -> BoxedStrategy<Specimen> {
    let pairs = || vec((text(), text()), 0..3);
    let first = (
        any_cell(),
        instant(),
        text(),
        text(),
        pairs(),
        option::of(text()),
    );
    let second = (
        option::of(text()),
        option::of(text()),
        option::of(text()),
        vec(text(), 0..3),
    );
    let third = (
        option::of(any::<u16>()),
        option::of(text()),
        pairs(),
        option::of(text()),
    );
    let fourth = (
        option::of(text()),
        option::of(text()),
        0_u64..u64::MAX / 2,
        vec((text(), 0_u64..u64::MAX / 2), 0..3),
        option::of(text()),
        option::of(any_sent()),
        any_verdict(),
    );
    (first, second, third, fourth)
        .prop_map(|(first, second, third, fourth)| {
            let (cell, at, method, url, request_headers, request_body) = first;
            let (local, public, remote, resolved) = second;
            let (status, http, response_headers, excerpt) = third;
            let (body_sha256, failure, took, phases, certificate, sent, verdict) = fourth;
            Specimen {
                cell,
                at,
                method,
                url,
                request_headers,
                request_body,
                local,
                public,
                remote,
                resolved,
                status,
                http,
                response_headers,
                excerpt,
                body_sha256,
                failure,
                took: Duration::from_nanos(took),
                phases: phases
                    .into_iter()
                    .map(|(phase, ns)| (phase, Duration::from_nanos(ns)))
                    .collect(),
                certificate,
                paths: vec![ChainPath {
                    root: "Root".to_owned(),
                    by: "Issuing".to_owned(),
                    ends_at: at,
                }],
                sent,
                verdict,
            }
        })
        .boxed()
}

fn any_sent() -> impl Strategy<Value = Sent> {
    let stack = option::of((text(), text())).prop_map(|program| match program {
        None => Stack::Native,
        Some((name, version)) => Stack::Program { name, version },
    });
    let tls = (option::of(text()), option::of(text()));
    let http = (option::of(text()), option::of(text()));
    (stack, tls, http).prop_map(|(stack, (ja4, ja4_fresh), (header_order, h2))| Sent {
        stack,
        ja4,
        ja4_fresh,
        greeting: None,
        header_order,
        h2,
    })
}

fn any_diagnosis() -> BoxedStrategy<Diagnosis> {
    let ruled_out = (
        select(Factor::ALL),
        text(),
        option::of(any_cell()),
        option::of(any_cell()),
    )
        .prop_map(|(factor, because, failing, passing)| RuledOut {
            factor,
            because,
            failing,
            passing,
        });
    (
        any_cause(),
        0.0..=1.0_f64,
        option::of(0.0..=1.0_f64),
        vec(any_cell(), 0..3),
        vec(any_cell(), 0..3),
        vec(ruled_out, 0..3),
        option::of(text()),
    )
        .prop_map(
            |(cause, confidence, fails, failing, passing, ruled_out, would_tell)| Diagnosis {
                cause,
                confidence,
                fails,
                failing,
                passing,
                ruled_out,
                would_tell,
                split: None,
            },
        )
        .boxed()
}

/// Any incident; the number is given by the caller.
pub(crate) fn any_incident(number: u64) -> BoxedStrategy<Incident> {
    let held = (
        any_cell(),
        select(Kind::ALL),
        any::<bool>(),
        instant(),
        instant(),
    )
        .prop_map(|(cell, kind, failing, since, last_at)| IncidentCell {
            asked: None,
            cell,
            kind,
            failing,
            since,
            last_at,
        });
    let first = (
        any::<bool>(),
        option::of(text()),
        instant(),
        instant(),
        option::of(instant()),
    );
    let second = (
        any::<u32>(),
        option::of(instant()),
        option::of(instant()),
        vec("[a-z]{1,6}", 0..3),
        select(Kind::ALL),
        any_diagnosis(),
    );
    let third = (
        vec(held, 0..3),
        option::of(any_specimen()),
        option::of(any_specimen()),
        vec(text(), 0..3),
    );
    let fourth = (
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
        option::of(instant()),
        vec("[a-z]{1,6}", 0..3),
    );
    let beside = (instant(), text(), 0.0..=1.0_f64, any::<bool>()).prop_map(
        |(at, text, chance, related)| Beside {
            at,
            text,
            chance,
            related,
        },
    );
    let acknowledged = (instant(), text()).prop_map(|(at, by)| Acknowledged { at, by });
    let fifth = (
        vec(beside, 0..3),
        option::of(acknowledged),
        option::of("[a-z]{1,6}"),
        any_telling(),
        any_spells(),
    );
    (first, second, third, fourth, fifth)
        .prop_map(move |(first, second, third, fourth, fifth)| {
            let (beside, acknowledged, partner, telling, spells) = fifth;
            let (resolved, host, onset_at, opened_at, resolved_at) = first;
            let (reopened, reopened_at, last_good_at, probes, kind, diagnosis) = second;
            let (cells, failing, passing, reference_ids) = third;
            let (failed_runs, extra_runs, told, reminded, last_told_at, told_receivers) = fourth;
            Incident {
                number,
                state: if resolved {
                    State::Resolved
                } else {
                    State::Open
                },
                subject: match (host, partner) {
                    (Some(host), _) => Subject::Host(host),
                    (None, Some(partner)) => Subject::Partner(partner),
                    (None, None) => Subject::OurNetwork,
                },
                onset_at,
                opened_at,
                resolved_at,
                spells,
                earlier: Vec::new(),
                ways: Vec::new(),
                reopened,
                reopened_at,
                rhythm_since: reopened_at.map(|_| onset_at),
                last_good_at,
                probes: probes.iter().map(|p| ProbeName::new(p)).collect(),
                kind,
                diagnosis,
                cells,
                failing,
                passing,
                beside,
                acknowledged,
                reference_ids,
                failed_runs,
                extra_runs,
                told,
                reminded,
                last_told_at,
                left: Vec::new(),
                told_receivers: told_receivers
                    .iter()
                    .map(|r| ReceiverName::new(r))
                    .collect(),
                telling,
            }
        })
        .boxed()
}

fn any_muted() -> impl Strategy<Value = Muted> {
    let silences = vec(1_u64..1_000_000, 0..3);
    let parts = (instant(), instant(), vec(text(), 1..3), silences);
    parts.prop_map(|(at, until, by, silences)| Muted {
        at,
        until,
        by,
        silences,
    })
}

fn any_telling() -> impl Strategy<Value = Telling> {
    let muted = any_muted();
    let standing = (
        "[a-z]{1,6}",
        instant(),
        any::<u32>(),
        option::of(select(REASONS.to_vec())),
        option::of(any_cause()),
    )
        .prop_map(|(receiver, told_at, reminded, owed, knows)| Standing {
            receiver: ReceiverName::new(&receiver),
            told_at,
            reminded,
            owed,
            knows,
        });
    let answer = option::of((text(), option::of(instant())));
    (
        option::of(muted),
        vec(text(), 0..2),
        vec(standing, 0..3),
        answer,
    )
        .prop_map(|(muted, during, receivers, answer)| Telling {
            answer: answer.map(|(text, told_at)| Answered { text, told_at }),
            muted,
            during,
            receivers,
        })
}

/// What people are told for; a mute only redraws what stands (`slack`).
pub(crate) const REASONS: [Reason; 7] = [
    Reason::Opened,
    Reason::Changed,
    Reason::Reminder,
    Reason::Resolved,
    Reason::Unwatched,
    Reason::Reopened,
    Reason::Acknowledged,
];

fn any_words(words: BoxedStrategy<String>) -> impl Strategy<Value = Words> {
    (
        option::of(words.clone()),
        option::of(words.clone()),
        option::of(words.clone()),
        option::of(words.clone()),
        (
            option::of(words.clone()),
            option::of(words.clone()),
            option::of(words),
        ),
    )
        .prop_map(|(what, affects, workaround, tell, contact)| Words {
            contact: Contact {
                ring: contact.0,
                runbook: contact.1,
                link: contact.2,
            },
            what,
            affects,
            workaround,
            tell,
        })
}

/// Any briefing; `words` makes what comes from the configuration.
pub(crate) fn any_briefing(words: BoxedStrategy<String>) -> BoxedStrategy<Briefing> {
    let line =
        (text(), select(Kind::ALL), any::<bool>()).prop_map(|(cell, kind, failing)| CellLine {
            cell,
            kind,
            failing,
        });
    let first = (
        words.clone(),
        any::<u64>(),
        select(State::ALL),
        any::<bool>(),
        text(),
        vec(text(), 0..3),
    );
    let second = (
        select(Kind::ALL),
        text(),
        vec(text(), 0..4),
        vec(text(), 0..4),
        option::of(text()),
    );
    let third = (
        0.0..=1.0_f64,
        any::<bool>(),
        instant(),
        instant(),
        option::of(instant()),
        any::<u32>(),
    );
    let fourth = (
        any::<u32>(),
        vec(line, 0..41),
        text(),
        text(),
        option::of(instant()),
    );
    let fifth = (
        option::of(any_specimen()),
        option::of(any_specimen()),
        vec(text(), 0..11),
        any_words(words.clone()),
        select(vec![
            "UTC",
            "Europe/London",
            "America/New_York",
            "Nowhere/At_All",
        ]),
        option::of(instant()),
    );
    let sixth = (
        vec(text(), 0..3),
        option::of((instant(), text())),
        (option::of(words.clone()), option::of(words.clone())),
        (vec(words, 0..2), option::of(any_muted()), vec(text(), 0..2)),
        any_spells(),
    );
    (first, second, third, fourth, fifth, sixth)
        .prop_map(|(first, second, third, fourth, fifth, sixth)| {
            let (beside, acknowledged, (see, why), (during, muted, held_back), spells) = sixth;
            let (service, incident, state, our_side, subject, probes) = first;
            let (kind, headline, because, ruled_out, next_step) = second;
            let (confidence, cause_known, onset_at, opened_at, resolved_at, reopened) = third;
            let (failed_runs, cells, expected, got, last_good_at) = fourth;
            let (failing, passing, reference_ids, words, zone, next_update_at) = fifth;
            Briefing {
                service,
                incident: incident / 2,
                state,
                watched_again: false,
                engineers: Engineers::Told,
                our_side,
                subject,
                probes,
                kind,
                headline,
                because,
                ruled_out,
                next_step,
                confidence,
                cause_known,
                onset_at,
                opened_at,
                resolved_at,
                spells,
                before: None,
                reopened,
                returns: reopened,
                back_since: last_good_at.filter(|_| reopened > 0),
                failed_runs,
                cells,
                expected,
                got,
                last_good_at,
                failing,
                passing,
                reference_ids,
                words,
                beside,
                acknowledged: acknowledged.map(|(at, by)| Acknowledged { at, by }),
                plain: Plain { see, why },
                during,
                muted,
                held_back,
                zone: zone.to_owned(),
                next_update_at,
            }
        })
        .boxed()
}

/// Any notification of incident `number`.
pub(crate) fn any_notification(number: u64) -> BoxedStrategy<Notification> {
    (
        any::<u128>(),
        any::<u32>(),
        select(REASONS.to_vec()),
        instant(),
        instant(),
        any_briefing(text().boxed()),
    )
        .prop_map(
            move |(delivery, sequence, reason, created_at, not_before, briefing)| Notification {
                delivery: Uuid::from_u128(delivery),
                incident: number,
                sequence: sequence / 2,
                reason,
                receiver: ReceiverName::new("engineers"),
                created_at,
                not_before,
                briefing,
            },
        )
        .boxed()
}
