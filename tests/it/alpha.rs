//! A partner with three endpoints on two hosts, and one incident of it for every cause of the diagnosis.

use std::time::Duration;

use edgewatch::domain::cell::{
    CellKey, Client, Credential, CredentialName, Egress, HttpOffer, Way,
};
use edgewatch::domain::diagnosis::{Cause, Diagnosis, Level, RuledOut};
use edgewatch::domain::incident::{Incident, IncidentCell, Specimen, State, Subject, Telling};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::probe::{Contact, Probe, Schedule, Words};
use edgewatch::domain::spells::Spells;
use edgewatch::domain::verdict::{Factor, Kind, Maker, Verdict, WhoActs};

use super::plan;
use super::samples::at;

const HOST: &str = "api.alpha.example";
const SURE: f64 = 0.97;

pub(crate) fn alpha() -> Plan {
    let mut plan = plan::plan("https://api.alpha.example/v1/orders");
    let egress = |name: &str, last: u8, region: &str| Egress {
        site: None,
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
            contact: Contact::default(),
        },
        ..plan::probe(name, url)
    };
    "Alpha".clone_into(&mut plan.service);
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
            unfit: std::collections::BTreeMap::new(),
            open: std::collections::BTreeSet::new(),
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
    pub(crate) kinds: Vec<Kind>,
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

pub(crate) fn names<T: for<'a> From<&'a str>>(names: &[&str]) -> Vec<T> {
    names.iter().map(|name| T::from(name)).collect()
}

fn java() -> Level {
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

fn over_ipv6() -> Level {
    Level::IpFamily {
        name: "IPv6".to_owned(),
        egresses: names(&["de1", "de2"]),
    }
}

fn http2() -> Level {
    Level::Http {
        version: "h2".to_owned(),
        clients: names(&["okhttp"]),
    }
}

fn all_but(factor: Factor, name: &str, others: &[&str]) -> Level {
    Level::AllBut {
        factor,
        name: name.to_owned(),
        others: names(others),
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
            "an IP family",
            over_ipv6(),
            &[EdgeBlock, Timeout, DnsError, RateLimited],
        ),
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
        one(
            "every client but one",
            all_but(Factor::Client, "okhttp", &["java-1.6", "java-17"]),
            &[EdgeBlock, EdgeChallenge, Timeout, TlsError],
        ),
        one(
            "every egress but one",
            all_but(Factor::Egress, "us1", &["de1", "de2"]),
            &[EdgeBlock, Timeout, DnsError],
        ),
        one(
            "every credential but one",
            all_but(Factor::Credential, "key-a", &["key-b", "key-c"]),
            &[OriginDenied],
        ),
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
            Subject::Vendor(_) | Subject::Site(_) => false,
            Subject::OurNetwork => probe.control,
        })
        .map(|(_, cell)| cell)
        .collect()
}

fn fails(case: &Case, cell: &CellKey) -> bool {
    match &case.cause {
        Cause::Everything => true,
        Cause::OurNetwork { egresses } => egresses.contains(&cell.egress),
        Cause::OurClients { clients } => clients.contains(&cell.client),
        // A few, as chance or our own rate has it.
        Cause::Pop(_) | Cause::OwnRate { .. } => cell.client.as_str() == "java-17",
        Cause::Unknown { .. } => {
            cell.client.as_str() == "java-1.6" && cell.egress.as_str() == "de1"
        }
        cause => cause.levels().iter().all(|level| level.covers(cell)),
    }
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
        let only = |bad: &&CellKey, good: &&CellKey| bad.differs(good) == [differs];
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

pub(crate) fn verdict(kind: Kind) -> Verdict {
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

pub(crate) fn run(plan: &Plan, cell: &CellKey, kind: Kind) -> Specimen {
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
        paths: Vec::new(),
        sent: None,
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
            asked: None,
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
        spells: Spells::default(),
        earlier: Vec::new(),
        ways: Vec::new(),
        reopened: 0,
        reopened_at: None,
        rhythm_since: None,
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
            split: None,
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
        left: Vec::new(),
        told_receivers: names(&["engineers"]),
        telling: Telling::default(),
    }
}
