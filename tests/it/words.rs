//! Every cause of the diagnosis in the words of every text, in a few files that a person can read through.
//!
//! What is asserted besides: that each text says what its incident holds, and that support staff read no
//! jargon whatever the cause is.

use std::fmt::Write as _;
use std::time::Duration;

use edgewatch::decide::briefing::{self, View};
use edgewatch::decide::words;
use edgewatch::domain::cell::{
    CellKey, Client, Credential, CredentialName, Egress, HttpOffer, Way,
};
use edgewatch::domain::diagnosis::{Cause, Diagnosis, Level, RuledOut};
use edgewatch::domain::incident::{
    Acknowledged, Beside, Happening, Incident, IncidentCell, Specimen, State, Subject,
    TimelineEntry,
};
use edgewatch::domain::notification::{Briefing, Notification, Reason};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::probe::{Probe, Schedule, Words};
use edgewatch::domain::verdict::{Factor, Kind, Maker, Verdict, WhoActs};
use edgewatch::notify::teams;
use edgewatch::report::dossier::{Dossier, Line, Reference, Vendor};
use edgewatch::report::{incidents, pack, postmortem};
use uuid::Uuid;

use super::plan;
use super::samples::at;
use super::slack::message;
use super::teams::banned;

const HOST: &str = "api.alpha.example";
const SURE: f64 = 0.97;
/// Nobody is told a cause.
const NEVER: f64 = 0.99;

pub(crate) fn alpha() -> Plan {
    let mut plan = plan::plan("https://api.alpha.example/v1/orders");
    let egress = |name: &str, last: u8, region: &str| Egress {
        public: Some([203, 0, 113, last].into()),
        region: Some(region.to_owned()),
        ..plan::egress(name, Way::Routes)
    };
    let client = |name: &str, agent: &str, http| Client {
        http,
        ..plan::client(name, agent)
    };
    let all = |names: &[&str]| names.iter().map(|n| CredentialName::new(n)).collect();
    let probe = |name: &str, method: http::Method, url: &str| Probe {
        partner: "alpha.example".to_owned(),
        method,
        schedule: Schedule::Every(Duration::from_secs(300)),
        from: vec!["de1".into(), "de2".into(), "us1".into()],
        as_clients: ["java-1.6", "java-17", "okhttp"].map(Into::into).into(),
        with: all(&["key-a", "key-b"]),
        words: Words {
            what: Some("Ordering at Alpha".to_owned()),
            affects: Some("Buyers".to_owned()),
            workaround: Some("Order by telephone".to_owned()),
            tell: None,
        },
        ..plan::probe(name, url)
    };
    plan.service = "Alpha".to_owned();
    plan.egresses = vec![
        egress("de1", 1, "eu"),
        egress("de2", 2, "eu"),
        egress("us1", 3, "us"),
    ];
    plan.clients = vec![
        client("java-1.6", "Java/1.6.0_45", HttpOffer::Http1),
        client("java-17", "Java/17.0.9", HttpOffer::Http1),
        client("okhttp", "okhttp/4.12.0", HttpOffer::Http2),
    ];
    plan.credentials = ["key-a", "key-b"]
        .map(|name| Credential {
            name: name.into(),
            fields: std::collections::BTreeMap::new(),
            missing: None,
        })
        .into();
    plan.probes = vec![
        probe(
            "orders",
            http::Method::GET,
            "https://api.alpha.example/v1/orders",
        ),
        probe(
            "book",
            http::Method::POST,
            "https://api.alpha.example/v2/book",
        ),
        probe(
            "catalog",
            http::Method::GET,
            "https://files.alpha.example/catalog",
        ),
        Probe {
            control: true,
            as_clients: vec!["okhttp".into()],
            with: vec![CredentialName::anonymous()],
            partner: "gov.uk".to_owned(),
            words: Words::default(),
            ..probe("internet", http::Method::GET, "https://www.gov.uk/")
        },
    ];
    plan
}

/// One incident as the engine would leave it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    subject: Subject,
    pub(crate) cause: Cause,
    fails: Option<f64>,
    /// The second one is how every third cell fails, if there is a second.
    mixed: Option<Kind>,
    kinds: Vec<Kind>,
    would_tell: Option<&'static str>,
}

fn case(name: &'static str, cause: Cause, kinds: &[Kind]) -> Case {
    Case {
        name,
        subject: Subject::Host(HOST.to_owned()),
        cause,
        fails: None,
        mixed: None,
        kinds: kinds.to_vec(),
        would_tell: None,
    }
}

fn names<T: for<'a> From<&'a str>>(names: &[&str]) -> Vec<T> {
    names.iter().map(|name| T::from(name)).collect()
}

pub(crate) fn java() -> Level {
    Level::Family {
        name: "Java".to_owned(),
        clients: names(&["java-1.6", "java-17"]),
    }
}

fn region() -> Level {
    Level::Region {
        name: "eu".to_owned(),
        egresses: names(&["de1", "de2"]),
    }
}

fn http2() -> Level {
    Level::Http {
        version: "h2".to_owned(),
        clients: names(&["okhttp"]),
    }
}

/// Every cause, each with the kinds it is often met with.
pub(crate) fn cases() -> Vec<Case> {
    use Kind::{
        ConnectError, DnsError, EdgeBlock, EdgeChallenge, EdgeError, LocalError, OriginDenied,
        OriginError, RateLimited, SoftBlock, Timeout, TlsError, Unexpected,
    };
    let client = || Level::Client("java-1.6".into());
    let egress = || Level::Egress("de1".into());
    let key = || Level::Credential("key-b".into());
    let partner = || Subject::Partner("alpha.example".to_owned());
    let one = |name, level: Level, kinds: &[Kind]| case(name, Cause::Level(level), kinds);
    let two = |name, levels: Vec<Level>, kinds: &[Kind]| case(name, Cause::Together(levels), kinds);
    vec![
        one(
            "a client",
            client(),
            &[
                EdgeBlock,
                EdgeChallenge,
                RateLimited,
                OriginDenied,
                SoftBlock,
                Timeout,
                TlsError,
            ],
        ),
        one("a family", java(), &[EdgeBlock, Timeout]),
        one(
            "an egress",
            egress(),
            &[
                EdgeBlock,
                OriginDenied,
                Timeout,
                DnsError,
                TlsError,
                LocalError,
            ],
        ),
        one("a region", region(), &[EdgeBlock, ConnectError]),
        one(
            "a credential",
            key(),
            &[OriginDenied, EdgeBlock, OriginError],
        ),
        one(
            "a probe",
            Level::Probe("orders".into()),
            &[OriginError, EdgeBlock, Unexpected],
        ),
        one("an HTTP version", http2(), &[ConnectError, EdgeBlock]),
        one(
            "a method",
            Level::Method {
                name: "POST".to_owned(),
                probes: names(&["book"]),
            },
            &[EdgeChallenge, OriginError],
        ),
        one(
            "a path",
            Level::Path {
                name: format!("{HOST}/v1"),
                probes: names(&["orders"]),
            },
            &[EdgeBlock, Timeout],
        ),
        Case {
            subject: partner(),
            ..one(
                "a host of several",
                Level::Host {
                    name: HOST.to_owned(),
                    probes: names(&["orders", "book"]),
                },
                &[Timeout, EdgeBlock],
            )
        },
        Case {
            subject: partner(),
            ..one(
                "a client at every host of the partner",
                client(),
                &[EdgeBlock, Timeout],
            )
        },
        two(
            "a client and an egress",
            vec![client(), egress()],
            &[EdgeBlock, Timeout],
        ),
        two(
            "a family and a credential",
            vec![java(), key()],
            &[OriginDenied],
        ),
        two(
            "an HTTP version and an egress",
            vec![http2(), egress()],
            &[TlsError],
        ),
        two(
            "a client, an egress and a credential",
            vec![client(), region(), key()],
            &[EdgeBlock],
        ),
        case("everything", Cause::Everything, &Kind::ALL[1..]),
        Case {
            subject: partner(),
            ..case(
                "everything of a partner",
                Cause::Everything,
                &[DnsError, Timeout, ConnectError, Unexpected],
            )
        },
        case(
            "a PoP",
            Cause::Pop("FRA".to_owned()),
            &[OriginError, EdgeBlock, EdgeError],
        ),
        case(
            "our own rate",
            Cause::OwnRate {
                per_minute: 25,
                by_egress: false,
            },
            &[RateLimited, EdgeBlock],
        ),
        case(
            "our own rate, counted by egress",
            Cause::OwnRate {
                per_minute: 15,
                by_egress: true,
            },
            &[RateLimited, OriginDenied, Timeout],
        ),
        Case {
            subject: Subject::OurNetwork,
            ..case(
                "our network",
                Cause::OurNetwork {
                    egresses: names(&["de1"]),
                },
                &[Timeout, LocalError],
            )
        },
        Case {
            subject: Subject::OurNetwork,
            fails: Some(0.4),
            ..case(
                "our network now and then",
                Cause::OurNetwork {
                    egresses: names(&["us1"]),
                },
                &[Timeout],
            )
        },
        Case {
            fails: Some(0.11),
            ..one("a client now and then", client(), &[EdgeChallenge, Timeout])
        },
        Case {
            fails: Some(0.52),
            ..case(
                "everything half of the time",
                Cause::Everything,
                &[EdgeChallenge, OriginError],
            )
        },
        Case {
            fails: Some(0.31),
            ..two(
                "a pair now and then",
                vec![client(), egress()],
                &[EdgeBlock],
            )
        },
        Case {
            mixed: Some(Timeout),
            ..one("a client, refused or silent", client(), &[EdgeBlock])
        },
        Case {
            mixed: Some(Timeout),
            ..case(
                "everything, refused or silent",
                Cause::Everything,
                &[EdgeBlock],
            )
        },
        Case {
            would_tell: Some("a run of client `java-17` from egress `de1`"),
            ..case(
                "a client or an egress",
                Cause::Unknown {
                    among: vec![client(), egress()],
                },
                &[EdgeBlock],
            )
        },
        Case {
            would_tell: Some(
                "a second egress in the configuration; with only one, it and “everybody” have the same cells",
            ),
            ..case(
                "an egress or everybody",
                Cause::Unknown {
                    among: vec![egress()],
                },
                &[Timeout],
            )
        },
        case(
            "nothing fits",
            Cause::Unknown { among: Vec::new() },
            &[EdgeBlock],
        ),
    ]
}

/// Cells of the subject in the order of the file, or of the control when it is our network.
fn asked(plan: &Plan, subject: &Subject) -> Vec<CellKey> {
    plan.cells()
        .filter(|(probe, _)| match subject {
            Subject::Host(host) => probe.host() == *host,
            Subject::Partner(partner) => probe.partner == *partner,
            Subject::OurNetwork => probe.control,
        })
        .map(|(_, cell)| cell)
        .collect()
}

fn fails(case: &Case, cell: &CellKey) -> bool {
    match &case.cause {
        Cause::Everything => true,
        Cause::OurNetwork { egresses } => egresses.contains(&cell.egress),
        // A few, as chance or our own rate has it.
        Cause::Pop(_) | Cause::OwnRate { .. } => cell.client.as_str() == "java-17",
        Cause::Unknown { .. } => {
            cell.client.as_str() == "java-1.6" && cell.egress.as_str() == "de1"
        }
        cause => cause.levels().iter().all(|level| level.covers(cell)),
    }
}

fn differ(one: &CellKey, other: &CellKey) -> Vec<Factor> {
    [
        (Factor::Client, one.client != other.client),
        (Factor::Egress, one.egress != other.egress),
        (Factor::Credential, one.credential != other.credential),
        (Factor::Endpoint, one.probe != other.probe),
    ]
    .into_iter()
    .filter_map(|(factor, differs)| differs.then_some(factor))
    .collect()
}

/// A pair in the engine's words.
fn same_request(factor: Factor, good: &CellKey, how: &str) -> String {
    let with = match factor {
        Factor::Client => format!("as `{}`", good.client),
        Factor::Egress => format!("from `{}`", good.egress),
        Factor::Credential => format!("with `{}`", good.credential),
        _ => format!("to `{}`", good.probe),
    };
    format!("the same request {with} {how}")
}

/// The pairs that the engine hands over: what passes beside the cause, and what fails alike.
fn ruled_out(failing: &[CellKey], passing: &[CellKey]) -> Vec<RuledOut> {
    const FACTORS: [Factor; 4] = [
        Factor::Client,
        Factor::Egress,
        Factor::Credential,
        Factor::Endpoint,
    ];
    let mut pairs = Vec::new();
    for differs in FACTORS {
        let only = |bad: &&CellKey, good: &&CellKey| differ(bad, good) == [differs];
        let passes = failing
            .iter()
            .find_map(|bad| Some((bad, passing.iter().find(|good| only(&bad, good))?)));
        let alike = failing
            .iter()
            .find_map(|bad| Some((bad, failing.iter().find(|other| only(&bad, other))?)));
        if let Some((bad, good)) = passes {
            pairs.extend(
                FACTORS
                    .into_iter()
                    .filter(|factor| *factor != differs)
                    .map(|factor| RuledOut {
                        factor,
                        because: same_request(differs, good, "passed 4 s later"),
                        failing: Some(bad.clone()),
                        passing: Some(good.clone()),
                    }),
            );
        } else if let Some((bad, other)) = alike {
            pairs.push(RuledOut {
                factor: differs,
                because: same_request(differs, other, "failed too 3 s before"),
                failing: Some(bad.clone()),
                passing: None,
            });
        }
    }
    pairs
}

fn verdict(kind: Kind) -> Verdict {
    let maker = match kind {
        Kind::EdgeBlock | Kind::EdgeChallenge | Kind::EdgeError | Kind::RateLimited => Maker::Edge,
        Kind::OriginDenied | Kind::OriginError | Kind::Pass => Maker::Origin,
        _ => Maker::Unknown,
    };
    let mut verdict = Verdict::new(kind, maker);
    verdict.fronted_by = "cloudflare".into();
    if maker == Maker::Edge {
        verdict.vendor = "cloudflare".into();
        verdict.reference_id = Some("8c9d2f0a1b2c3d4e-FRA".to_owned());
        verdict.who_acts = WhoActs::SiteOwner;
        verdict.pop = Some("FRA".to_owned());
        verdict.code = match kind {
            Kind::EdgeBlock => Some("1020".to_owned()),
            Kind::EdgeError => Some("522".to_owned()),
            Kind::RateLimited => Some("1015".to_owned()),
            _ => None,
        };
    }
    if kind == Kind::RateLimited {
        verdict.retry_after = Some(Duration::from_secs(30));
    }
    verdict
}

fn run(plan: &Plan, cell: &CellKey, kind: Kind) -> Specimen {
    let verdict = verdict(kind);
    let probe = plan.probe(&cell.probe).unwrap();
    let egress = plan.egress(&cell.egress).unwrap();
    let client = plan.client(&cell.client).unwrap();
    let status = match kind {
        Kind::RateLimited => Some(429),
        Kind::EdgeBlock | Kind::EdgeChallenge | Kind::OriginDenied => Some(403),
        Kind::OriginError => Some(500),
        Kind::EdgeError => Some(522),
        Kind::SoftBlock | Kind::Unexpected | Kind::Pass => Some(200),
        _ => None,
    };
    Specimen {
        cell: cell.clone(),
        at: at(if verdict.passed() {
            "2026-11-22T02:31:13Z"
        } else {
            "2026-11-22T02:31:09Z"
        }),
        method: probe.method.to_string(),
        url: probe.url.to_string(),
        request_headers: vec![
            ("User-Agent".to_owned(), client.user_agent.clone()),
            (
                "Authorization".to_owned(),
                "Bearer {{ credential.token }}".to_owned(),
            ),
        ],
        request_body: None,
        local: Some("10.0.0.5".to_owned()),
        public: egress.public.map(|address| address.to_string()),
        remote: Some("192.0.2.7:443".to_owned()),
        resolved: vec!["192.0.2.7".to_owned()],
        status,
        http: status.map(|_| "1.1".to_owned()),
        response_headers: Vec::new(),
        excerpt: None,
        body_sha256: None,
        failure: match kind {
            Kind::Timeout => Some("192.0.2.7:443 said nothing within 10 s".to_owned()),
            Kind::ConnectError => Some("192.0.2.7:443 refused the connection".to_owned()),
            Kind::TlsError => {
                Some("192.0.2.7:443 ended the handshake: handshake_failure".to_owned())
            }
            Kind::DnsError => Some("the name servers say that there is no such name".to_owned()),
            Kind::LocalError => Some("this host has no address 10.0.0.5".to_owned()),
            _ => None,
        },
        took: Duration::from_millis(31),
        phases: Vec::new(),
        certificate: None,
        verdict,
    }
}

pub(crate) fn incident(plan: &Plan, case: &Case, kind: Kind) -> Incident {
    let (failing, passing): (Vec<CellKey>, Vec<CellKey>) = asked(plan, &case.subject)
        .into_iter()
        .partition(|cell| fails(case, cell));
    let known = !matches!(
        case.cause,
        Cause::Unknown { .. } | Cause::Pop(_) | Cause::OwnRate { .. }
    );
    let opened_at = at("2026-11-22T02:15:00Z");
    let cells: Vec<IncidentCell> = failing
        .iter()
        .enumerate()
        .map(|(place, cell)| IncidentCell {
            cell: cell.clone(),
            kind: case.mixed.filter(|_| place % 3 == 2).unwrap_or(kind),
            failing: true,
            since: at("2026-11-22T02:14:09Z"),
            last_at: at("2026-11-22T02:31:09Z"),
        })
        .collect();
    let mut probes: Vec<_> = failing.iter().map(|cell| cell.probe.clone()).collect();
    probes.dedup();
    let verdict = verdict(kind);
    Incident {
        number: 7,
        state: State::Open,
        subject: case.subject.clone(),
        onset_at: at("2026-11-22T02:14:09Z"),
        opened_at,
        resolved_at: None,
        reopened: 0,
        reopened_at: None,
        last_good_at: Some(at("2026-11-22T02:09:09Z")),
        probes,
        kind,
        diagnosis: Diagnosis {
            cause: case.cause.clone(),
            confidence: if matches!(case.cause, Cause::Unknown { .. }) {
                0.0
            } else {
                SURE
            },
            fails: case.fails,
            ruled_out: if known {
                ruled_out(&failing, &passing)
            } else {
                Vec::new()
            },
            would_tell: case.would_tell.map(ToOwned::to_owned),
            passing: passing.clone(),
            failing: failing.clone(),
        },
        cells,
        beside: Vec::new(),
        acknowledged: None,
        failing: failing.first().map(|cell| run(plan, cell, kind)),
        passing: passing.first().map(|cell| run(plan, cell, Kind::Pass)),
        reference_ids: verdict.reference_id.into_iter().collect(),
        failed_runs: 74,
        extra_runs: 5,
        told: 1,
        reminded: 0,
        last_told_at: None,
        told_receivers: names(&["engineers"]),
    }
}

fn write(plan: &Plan, incident: &Incident, min_confidence: f64) -> Briefing {
    let view = View {
        min_confidence,
        removed: false,
        next_update_at: None,
    };
    briefing::write(plan, incident, view)
}

fn notification(reason: Reason, briefing: Briefing) -> Notification {
    let now = at("2026-11-22T02:32:00Z");
    Notification {
        delivery: Uuid::from_u128(7),
        incident: 7,
        sequence: 1,
        reason,
        receiver: "support".into(),
        created_at: now,
        not_before: now,
        briefing,
    }
}

/// What support staff read, without what every card has.
fn card(reason: Reason, briefing: &Briefing) -> String {
    let due = notification(reason, briefing.clone());
    let message = message(&due);
    assert_eq!(banned(&teams::payload(&message)), Vec::<&str>::new());
    let text = teams::text(&message);
    // What every card has is read in the tests of Teams.
    let usual = ["Reference", "Alpha · ", "Who ", "What works"];
    let kept = text
        .lines()
        .filter(|line| !usual.iter().any(|start| line.starts_with(start)));
    kept.collect::<Vec<_>>().join("\n                ")
}

fn say(text: &mut String, name: &str, lines: impl IntoIterator<Item = String>) {
    for (index, line) in lines.into_iter().enumerate() {
        let _ = writeln!(text, "  {:<14}{line}", if index == 0 { name } else { "" });
    }
}

fn told(text: &mut String, briefing: &Briefing) {
    say(text, "says", [briefing.headline.clone()]);
    say(text, "because", briefing.because.clone());
    say(text, "ruled out", briefing.ruled_out.clone());
    say(text, "next", briefing.next_step.clone());
}

#[test]
fn every_cause_as_engineers_and_support_staff_read_it() {
    let plan = alpha();
    let mut text = String::new();
    for case in cases() {
        for (index, kind) in case.kinds.iter().enumerate() {
            let mut incident = incident(&plan, &case, *kind);
            let _ = writeln!(text, "== {}, {kind}", case.name);
            let known = write(&plan, &incident, 0.0);
            told(&mut text, &known);
            say(
                &mut text,
                "teams",
                [card(Reason::Opened, &write(&plan, &incident, 0.9))],
            );
            if index == 0 {
                let _ = writeln!(text, "-- for those who want to be surer");
                let unsure = write(&plan, &incident, NEVER);
                assert!(!unsure.cause_known || matches!(case.cause, Cause::OurNetwork { .. }));
                told(&mut text, &unsure);
                say(&mut text, "teams", [card(Reason::Opened, &unsure)]);
                incident.state = State::Resolved;
                incident.resolved_at = Some(at("2026-11-22T04:00:00Z"));
                let _ = writeln!(text, "-- when it is over");
                let over = write(&plan, &incident, 0.0);
                told(&mut text, &over);
                say(&mut text, "plain", over.plain.why);
            }
            text.push('\n');
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn changes_near_the_onset() {
    let plan = alpha();
    let case = &cases()[0];
    let mut incident = incident(&plan, case, Kind::EdgeBlock);
    let change = |at_: &str, text: &str, chance, related| Beside {
        at: at(at_),
        text: text.to_owned(),
        chance,
        related,
    };
    incident.beside = vec![
        change(
            "2026-11-21T23:14:00Z",
            "Cloudflare appeared in front of api.alpha.example",
            0.004,
            true,
        ),
        change(
            "2026-11-22T02:14:30Z",
            "the certificate of api.alpha.example has another issuer",
            0.001,
            false,
        ),
        change(
            "2026-11-20T01:00:00Z",
            "the addresses of api.alpha.example belong to another network",
            0.31,
            false,
        ),
        change(
            "2026-11-22T02:16:09Z",
            "Fastly left the front of api.alpha.example",
            0.0001,
            true,
        ),
    ];
    incident.acknowledged = Some(Acknowledged {
        at: at("2026-11-22T02:20:00Z"),
        by: "alice".to_owned(),
    });
    let briefing = write(&plan, &incident, 0.0);
    assert_eq!(
        briefing.beside,
        [
            "3 h before, Cloudflare appeared in front of api.alpha.example; a change falls so near by chance in about 1 of 250 cases",
            "At the same time, the certificate of api.alpha.example has another issuer; a change of this kind does not explain the failure",
            "2 days before, the addresses of api.alpha.example belong to another network; a change falls so near by chance in about 1 of 3 cases, so it may mean nothing",
            "2 min after, Fastly left the front of api.alpha.example; a change falls so near by chance in fewer than 1 of 1,000 cases",
        ]
    );
    assert_eq!(briefing.acknowledged, incident.acknowledged);
    assert_eq!(write(&plan, &incident, NEVER).beside, Vec::<String>::new());
}

/// What the commands `report` and `postmortem` are given.
fn dossier<'a>(plan: &'a Plan, incident: &Incident) -> Dossier<'a> {
    let line = |cell: &CellKey, failing: bool| {
        let member = incident.cells.iter().find(|member| member.cell == *cell);
        let kind = member.map_or(Kind::Pass, |member| member.kind);
        let run = run(plan, cell, kind);
        Line {
            cell: cell.clone(),
            failing,
            kind,
            at: Some(run.at),
            status: run.status,
            code: run.verdict.code,
        }
    };
    let failing = incident.diagnosis.failing.iter().map(|c| line(c, true));
    let passing = incident.diagnosis.passing.iter().map(|c| line(c, false));
    // Six of each are enough to be read.
    let lines = failing.take(6).chain(passing.take(6)).collect();
    let verdict = verdict(incident.kind);
    let code = verdict.code.as_deref().unwrap_or_default();
    let entry = |time: &str, what, text: &str| TimelineEntry {
        at: at(time),
        what,
        text: text.to_owned(),
    };
    Dossier {
        plan,
        briefing: write(plan, incident, 0.0),
        headline: briefing::headline(plan, incident),
        timeline: vec![
            entry(
                "2026-11-22T02:14:20Z",
                Happening::ExtraRun,
                "orders from de1 as java-17 with key-a: passed; to see whether it is the client",
            ),
            entry("2026-11-22T02:15:00Z", Happening::Opened, "opened"),
        ],
        told: Vec::new(),
        lines,
        references: incident
            .reference_ids
            .iter()
            .map(|id| Reference {
                id: id.clone(),
                at: Some(at("2026-11-22T02:31:09Z")),
                cell: incident.diagnosis.failing.first().cloned(),
            })
            .collect(),
        vendor: Vendor {
            name: words::edge(&verdict),
            meaning: words::code(&verdict.vendor, code),
            setting: words::setting(&verdict.vendor, code),
            reference: words::reference(&verdict.vendor),
        },
        now: at("2026-11-22T03:00:00Z"),
        incident: incident.clone(),
    }
}

fn texts(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Array(list) => list.iter().flat_map(texts).collect(),
        serde_json::Value::String(text) => vec![text.clone()],
        _ => Vec::new(),
    }
}

#[test]
fn every_cause_as_the_partner_and_a_script_read_it() {
    let plan = alpha();
    let mut text = String::new();
    for case in cases() {
        for (index, kind) in case.kinds.iter().enumerate() {
            let incident = incident(&plan, &case, *kind);
            let dossier = dossier(&plan, &incident);
            let letter = pack::json(&dossier);
            let _ = writeln!(text, "== {}, {kind}", case.name);
            for key in ["subject", "notes", "what_happens", "pairs"] {
                say(&mut text, key, texts(&letter[key]));
            }
            say(&mut text, "whose", texts(&letter["vendor"]["whose"]));
            say(&mut text, "asked", texts(&letter["asked"]));
            say(&mut text, "not", texts(&letter["ruled_out"]));
            if index == 0 {
                let document = postmortem::json(&dossier);
                say(&mut text, "actions", texts(&document["actions"]));
                say(&mut text, "plainly", texts(&document["in_plain_words"]));
                say(&mut text, "json", [letter["cause"].to_string()]);
                assert_eq!(letter["cause"], document["cause"]);
            }
            text.push('\n');
            let whole = letter["text"].as_str().unwrap();
            assert!(whole.contains("A request that fails") && whole.contains("curl -sS"));
            // In the story of the engineers every cause stands in the same shape.
            let shown = incidents::json(&incident, &dossier.briefing, &dossier.timeline);
            assert_eq!(shown["cause"], letter["cause"]);
            assert_eq!(shown["beside"], letter["beside"]);
        }
    }
    insta::assert_snapshot!(text);
}

/// The first case of this name, as an incident of its first kind.
fn by_name(plan: &Plan, name: &str) -> Incident {
    let case = cases().into_iter().find(|case| case.name == name).unwrap();
    let mut incident = incident(plan, &case, case.kinds[0]);
    incident.beside = vec![Beside {
        at: at("2026-11-21T23:14:00Z"),
        text: "Cloudflare appeared in front of api.alpha.example".to_owned(),
        chance: 0.004,
        related: true,
    }];
    incident.acknowledged = Some(Acknowledged {
        at: at("2026-11-22T02:20:00Z"),
        by: "alice".to_owned(),
    });
    incident
}

#[test]
fn whole_letters() {
    let plan = alpha();
    for name in [
        "our own rate, counted by egress",
        "a client and an egress",
        "a PoP",
    ] {
        let incident = by_name(&plan, name);
        let file = format!("letter_{}", name.replace([' ', ','], "_"));
        insta::assert_snapshot!(file, pack::text(&dossier(&plan, &incident)));
    }
}

#[test]
fn a_whole_post_mortem() {
    let plan = alpha();
    let mut incident = by_name(&plan, "a family");
    incident.state = State::Resolved;
    incident.resolved_at = Some(at("2026-11-22T02:50:00Z"));
    insta::assert_snapshot!(postmortem::text(&dossier(&plan, &incident)));
}

#[test]
fn a_whole_story_for_the_terminal() {
    let plan = alpha();
    let incident = by_name(&plan, "a client");
    let dossier = dossier(&plan, &incident);
    let story = |colour| {
        let (briefing, timeline) = (&dossier.briefing, &dossier.timeline);
        incidents::story(briefing, timeline, &plan.zone, dossier.now, colour)
    };
    insta::assert_snapshot!(story(false));
    assert!(!story(false).contains('\u{1b}'));
    assert!(story(true).contains("\u{1b}["));
}
