//! Incidents for the tests of the texts: March 2021 as it would have been told, and a fault of our own.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::dossier::{Dossier, Line, Reference, Told, Vendor};
use crate::domain::cell::{
    CellKey, Client, Credential, CredentialName, Egress, HeaderCase, HttpOffer, IpFamily, Proxy,
    ProxyKind, TlsRange, Way,
};
use crate::domain::condition::Conditions;
use crate::domain::diagnosis::{Cause, Diagnosis, Level, RuledOut};
use crate::domain::incident::{
    Happening, Incident, IncidentCell, Specimen, State, Subject, Telling, TimelineEntry,
};
use crate::domain::notification::{Briefing, CellLine, Engineers, Plain, Reason};
use crate::domain::plan::{IncidentPolicy, Plan, Politeness, StorePolicy};
use crate::domain::probe::{Contact, Cookies, Expect, Probe, Redirects, Resolver, Schedule, Words};
use crate::domain::sent::{Sent, Stack};
use crate::domain::spells::Spells;
use crate::domain::verdict::{
    Evidence, Factor, Kind, Maker, Rule, Severity, Strength, Tell, Verdict, WhoActs,
};

pub(crate) struct Night {
    pub(crate) plan: Plan,
    pub(crate) incident: Incident,
    briefing: Briefing,
    vendor: Vendor,
    timeline: Vec<TimelineEntry>,
}

pub(crate) fn at(time: &str) -> Timestamp {
    format!("2021-02-28T{time}Z").parse().unwrap()
}

fn cell(client: &str, egress: &str) -> CellKey {
    CellKey {
        probe: "gmc-connect".into(),
        egress: egress.into(),
        client: client.into(),
        credential: "gmc".into(),
    }
}

fn control(egress: &str) -> CellKey {
    CellKey {
        probe: "internet".into(),
        egress: egress.into(),
        client: "new-reval".into(),
        credential: CredentialName::anonymous(),
    }
}

impl Night {
    pub(crate) fn dossier(&self) -> Dossier<'_> {
        let line = |cell: &CellKey, failing: bool, time: &str| Line {
            cell: cell.clone(),
            failing,
            kind: if failing {
                self.incident.kind
            } else {
                Kind::Pass
            },
            at: Some(at(time)),
            status: match (failing, self.incident.kind) {
                (false, _) => Some(200),
                (true, Kind::EdgeBlock) => Some(403),
                (true, _) => None,
            },
            code: (failing && self.incident.kind == Kind::EdgeBlock).then(|| "1010".to_owned()),
        };
        let failing = self
            .incident
            .diagnosis
            .failing
            .iter()
            .map(|c| line(c, true, "05:19:09"));
        let passing = self
            .incident
            .diagnosis
            .passing
            .iter()
            .map(|c| line(c, false, "05:19:13"));
        let mut told = vec![
            Told {
                receiver: "engineers".to_owned(),
                reason: Reason::Opened,
                at: Some(at("02:15:02")),
                error: None,
                instead_of: None,
            },
            Told {
                receiver: "support".to_owned(),
                reason: Reason::Opened,
                at: None,
                error: Some("the flow is switched off".to_owned()),
                instead_of: None,
            },
        ];
        if self.briefing.is_fixed() {
            told.push(Told {
                receiver: "engineers".to_owned(),
                reason: Reason::Resolved,
                at: Some(at("11:27:40")),
                error: None,
                instead_of: None,
            });
        }
        Dossier {
            plan: &self.plan,
            incident: self.incident.clone(),
            briefing: self.briefing.clone(),
            headline: self.briefing.headline.clone(),
            timeline: self.timeline.clone(),
            told,
            lines: failing.chain(passing).collect(),
            references: self
                .incident
                .reference_ids
                .iter()
                .map(|id| Reference {
                    id: id.clone(),
                    at: Some(at("05:19:09")),
                    cell: Some(cell("legacy-reval", "legacy-prod")),
                })
                .collect(),
            vendor: self.vendor.clone(),
            now: at("12:00:00"),
        }
    }

    pub(super) fn resolve(&mut self) {
        self.incident.state = State::Resolved;
        self.incident.resolved_at = Some(at("11:26:30"));
        self.briefing.state = State::Resolved;
        self.briefing.resolved_at = self.incident.resolved_at;
        self.incident.spells.failed(at("11:24:09"));
        self.incident.spells.passed(at("11:25:09"));
        self.briefing.spells = self.incident.spells.clone();
        self.briefing.next_step = None;
        self.briefing.plain.why = Some(
            "A security system in front of GMC turned away one of our programs; the others got through."
                .to_owned(),
        );
        self.timeline.push(TimelineEntry {
            at: at("11:26:30"),
            what: Happening::Resolved,
            text: "passes again: 3 good runs of each cell".to_owned(),
        });
    }

    /// The same night with another kind of failure.
    pub(super) fn fails_with(&mut self, kind: Kind) {
        self.incident.kind = kind;
        if kind == Kind::EdgeBlock {
            return;
        }
        let maker = match kind {
            Kind::EdgeChallenge | Kind::EdgeError | Kind::RateLimited => Maker::Edge,
            Kind::OriginDenied | Kind::OriginError => Maker::Origin,
            _ => Maker::Unknown,
        };
        let run = self.incident.failing.as_mut().unwrap();
        run.verdict = Verdict::new(kind, maker);
        run.status = match kind {
            Kind::RateLimited => Some(429),
            Kind::OriginError | Kind::EdgeError => Some(503),
            Kind::EdgeChallenge | Kind::OriginDenied => Some(403),
            Kind::SoftBlock | Kind::Unexpected | Kind::Pass => Some(200),
            _ => None,
        };
        if run.status.is_none() {
            run.failure = Some("192.0.2.7:443 said nothing within 20 s".to_owned());
        }
        if maker != Maker::Edge {
            self.vendor.name = None;
        }
        self.vendor.meaning = None;
        self.vendor.setting = None;
    }

    /// Two factors fit equally well.
    pub(super) fn cannot_tell(&mut self) {
        self.incident.diagnosis.cause = Cause::Unknown {
            among: vec![
                Level::Client("legacy-reval".into()),
                Level::Egress("legacy-prod".into()),
            ],
        };
        self.incident.diagnosis.would_tell =
            Some("a run of client `new-reval` from egress `legacy-prod`".to_owned());
        self.incident.diagnosis.ruled_out.clear();
        self.briefing.headline = "GMC refuses 2 of the 4 cells that ran at Cloudflare (error 1010); can't tell yet whether it is client `legacy-reval` or egress `legacy-prod`".to_owned();
        self.briefing.next_step =
            Some("Would tell: a run of client `new-reval` from egress `legacy-prod`".to_owned());
        self.briefing.cause_known = false;
        self.briefing.plain = Plain::default();
        self.briefing.confidence = 0.0;
        self.briefing.ruled_out.clear();
    }
}

/// The edge refuses the old Java's user agent, from both addresses.
pub(crate) fn march() -> Night {
    let incident = incident();
    let briefing = Briefing {
        service: "GMC".to_owned(),
        incident: 1,
        state: State::Open,
        our_side: false,
        subject: "webcache.gmc-uk.org".to_owned(),
        probes: vec!["gmc-connect".to_owned()],
        kind: Kind::EdgeBlock,
        headline: "GMC refuses client `legacy-reval` (Java/1.8.0_275) at Cloudflare (error 1010), from every egress".to_owned(),
        because: vec![
            "every cell with client `legacy-reval` that ran fails (2), every other passes (3)".to_owned(),
            "Cloudflare error 1010 (a code of Cloudflare, not of GMC): the browser signature (user agent and the like) is banned".to_owned(),
        ],
        ruled_out: vec!["egress `legacy-prod`: it passes with client `new-reval`".to_owned()],
        next_step: Some("Ask GMC to allow the user agent `Java/1.8.0_275` at Cloudflare; give them Ray ID `5da5cc3358641e89-LHR` and the time".to_owned()),
        confidence: 0.993,
        cause_known: true,
        onset_at: incident.onset_at,
        opened_at: incident.opened_at,
        resolved_at: None,
        spells: Spells::default(),
        before: None,
        reopened: 0,
        returns: 0,
        watched_again: false,
        engineers: Engineers::Told,
        back_since: None,
        failed_runs: incident.failed_runs,
        cells: vec![CellLine {
            cell: "legacy-reval from legacy-prod with gmc".to_owned(),
            kind: Kind::EdgeBlock,
            failing: true,
        }],
        expected: "HTTP 200".to_owned(),
        got: "HTTP 403, refused at the edge, Cloudflare 1010".to_owned(),
        last_good_at: incident.last_good_at,
        failing: incident.failing.clone(),
        passing: incident.passing.clone(),
        reference_ids: incident.reference_ids.clone(),
        words: plan().probes[0].words.clone(),
        beside: Vec::new(),
        acknowledged: None,
        plain: Plain {
            see: None,
            why: Some(
                "A security system in front of GMC turns away one of our programs; the others get through."
                    .to_owned(),
            ),
        },
        during: Vec::new(),
        muted: None,
        held_back: Vec::new(),
        zone: "Europe/London".to_owned(),
        next_update_at: None,
    };
    let entry = |time: &str, what, text: &str| TimelineEntry {
        at: at(time),
        what,
        text: text.to_owned(),
    };
    Night {
        plan: plan(),
        timeline: vec![
            entry(
                "02:14:50",
                Happening::ExtraRun,
                "asked gmc-connect from new-reval as legacy-reval with gmc: is it the address?",
            ),
            entry("02:15:00", Happening::Opened, &briefing.headline),
        ],
        incident,
        briefing,
        vendor: Vendor {
            name: Some("Cloudflare".to_owned()),
            meaning: Some("the browser signature (user agent and the like) is banned"),
            setting: Some("the Browser Integrity Check"),
            reference: "Ray ID",
        },
    }
}

/// The controls fail as well: our own network.
pub(super) fn our_side() -> Night {
    let mut night = march();
    let incident = &mut night.incident;
    incident.subject = Subject::OurNetwork;
    incident.kind = Kind::ConnectError;
    incident.diagnosis.cause = Cause::OurNetwork {
        egresses: vec!["legacy-prod".into()],
    };
    incident.diagnosis.failing = vec![control("legacy-prod")];
    incident.diagnosis.passing = vec![control("new-reval")];
    incident.diagnosis.ruled_out = Vec::new();
    incident.probes = vec!["internet".into()];
    incident.reference_ids = Vec::new();
    incident.passing = None;
    let run = incident.failing.as_mut().unwrap();
    run.cell = control("legacy-prod");
    run.method = "GET".to_owned();
    run.url = "https://www.gov.uk/".to_owned();
    run.request_headers = vec![
        ("User-Agent".to_owned(), "Java/11.0.10".to_owned()),
        ("Accept".to_owned(), "*/*".to_owned()),
    ];
    run.request_body = None;
    run.status = None;
    run.http = None;
    run.response_headers = Vec::new();
    run.excerpt = None;
    run.failure = Some("192.0.2.7:443 refused the connection".to_owned());
    run.verdict = Verdict::new(Kind::ConnectError, Maker::OurSide);
    night.vendor = Vendor {
        reference: "reference",
        ..Vendor::default()
    };
    let briefing = &mut night.briefing;
    briefing.words = Words::default();
    briefing.our_side = true;
    briefing.kind = Kind::ConnectError;
    briefing.headline = "Our own network: the controls fail from egress `legacy-prod`, and nothing is seen to answer there".to_owned();
    briefing.because = vec![
        "failing: `internet` from `legacy-prod`".to_owned(),
        "control `internet` passes from egress `new-reval`".to_owned(),
    ];
    briefing.ruled_out = Vec::new();
    briefing.next_step = Some(
        "Check our own side at egress `legacy-prod`: address, route, proxy, firewall, name servers"
            .to_owned(),
    );
    briefing.plain.why = Some("The fault is in our own network, not at GMC.".to_owned());
    briefing.confidence = 0.95;
    night.timeline.truncate(0);
    night
}

fn incident() -> Incident {
    let failing = vec![
        cell("legacy-reval", "legacy-prod"),
        cell("legacy-reval", "new-reval"),
    ];
    let passing = vec![
        cell("new-reval", "legacy-prod"),
        cell("new-reval", "new-reval"),
    ];
    let pair = |factor, bad: &CellKey, good: &CellKey| RuledOut {
        factor,
        because: "as told to engineers".to_owned(),
        failing: Some(bad.clone()),
        passing: Some(good.clone()),
    };
    Incident {
        number: 1,
        state: State::Open,
        subject: Subject::Host("webcache.gmc-uk.org".to_owned()),
        onset_at: at("02:14:09"),
        opened_at: at("02:15:00"),
        resolved_at: None,
        spells: Spells::default(),
        earlier: Vec::new(),
        ways: Vec::new(),
        reopened: 0,
        reopened_at: None,
        rhythm_since: None,
        last_good_at: Some(at("02:09:09")),
        probes: vec!["gmc-connect".into()],
        kind: Kind::EdgeBlock,
        diagnosis: Diagnosis {
            cause: Cause::Level(Level::Client("legacy-reval".into())),
            confidence: 0.993,
            fails: None,
            ruled_out: vec![
                pair(Factor::Egress, &failing[0], &passing[0]),
                pair(Factor::Credential, &failing[0], &passing[0]),
                pair(Factor::Egress, &failing[0], &control("legacy-prod")),
            ],
            failing: failing.clone(),
            passing,
            would_tell: None,
            split: None,
        },
        cells: failing
            .iter()
            .map(|cell| IncidentCell {
                asked: None,
                cell: cell.clone(),
                kind: Kind::EdgeBlock,
                failing: true,
                since: at("02:14:09"),
                last_at: at("05:19:09"),
            })
            .collect(),
        failing: Some(blocked(&failing[0])),
        passing: Some(passed()),
        beside: Vec::new(),
        acknowledged: None,
        reference_ids: vec!["5da5cc3358641e89-LHR".to_owned()],
        failed_runs: 74,
        extra_runs: 5,
        told: 2,
        reminded: 0,
        last_told_at: None,
        left: Vec::new(),
        told_receivers: vec!["engineers".into()],
        telling: Telling::default(),
    }
}

fn blocked(cell: &CellKey) -> Specimen {
    let mut verdict = Verdict::new(Kind::EdgeBlock, Maker::Edge);
    verdict.vendor = "cloudflare".into();
    verdict.fronted_by = "cloudflare".into();
    verdict.rule = Rule::UserAgent;
    verdict.code = Some("1010".to_owned());
    verdict.reference_id = Some("5da5cc3358641e89-LHR".to_owned());
    verdict.who_acts = WhoActs::VisitorOrSiteOwner;
    verdict.evidence = vec![Evidence {
        strength: Strength::Proof,
        text: "body `error code: 1010`".to_owned(),
    }];
    Specimen {
        cell: cell.clone(),
        at: at("05:19:09"),
        method: "POST".to_owned(),
        url: "https://webcache.gmc-uk.org/GMCWebServices/WebService.asmx".to_owned(),
        request_headers: vec![
            ("User-Agent".to_owned(), "Java/1.8.0_275".to_owned()),
            ("Accept".to_owned(), "*/*".to_owned()),
            ("Content-Type".to_owned(), "text/xml".to_owned()),
        ],
        request_body: Some("<Username>{{ credential.username }}</Username><Password>{{ credential.password }}</Password>".to_owned()),
        local: Some("10.20.1.15".to_owned()),
        public: Some("203.0.113.15".to_owned()),
        remote: Some("192.0.2.7:443".to_owned()),
        resolved: vec!["192.0.2.7".to_owned(), "192.0.2.8".to_owned()],
        status: Some(403),
        http: Some("1.1".to_owned()),
        response_headers: vec![
            ("server".to_owned(), "cloudflare".to_owned()),
            ("cf-ray".to_owned(), "5da5cc3358641e89-LHR".to_owned()),
        ],
        excerpt: Some("error code: 1010".to_owned()),
        body_sha256: None,
        failure: None,
        took: Duration::from_millis(31),
        phases: Vec::new(),
        certificate: Some("webcache.gmc-uk.org, issued by Cloudflare Inc ECC CA-3, valid until 2021-12-01".to_owned()),
        paths: Vec::new(),
        sent: Some(Sent {
            stack: Stack::Native,
            ja4: Some("t13d1010h1_61a7ad8aa9b6_76ad8fd2bde2".to_owned()),
            ja4_fresh: None,
            greeting: None,
            header_order: Some("3f0c2b6a9d51".to_owned()),
            h2: None,
        }),
        verdict,
    }
}

fn passed() -> Specimen {
    Specimen {
        cell: cell("new-reval", "legacy-prod"),
        at: at("05:19:13"),
        request_headers: vec![
            ("User-Agent".to_owned(), "Java/11.0.10".to_owned()),
            ("Accept".to_owned(), "*/*".to_owned()),
            ("Content-Type".to_owned(), "text/xml".to_owned()),
        ],
        status: Some(200),
        response_headers: vec![("server".to_owned(), "cloudflare".to_owned())],
        excerpt: None,
        took: Duration::from_millis(420),
        verdict: Verdict::new(Kind::Pass, Maker::Origin),
        ..blocked(&cell("new-reval", "legacy-prod"))
    }
}

fn plan() -> Plan {
    let egress = |name: &str, way, public: Option<[u8; 4]>| Egress {
        name: name.into(),
        way,
        site: None,
        public: public.map(Into::into),
        region: None,
        family: IpFamily::Any,
    };
    let client = |name: &str, agent: &str| Client {
        name: name.into(),
        user_agent: agent.to_owned(),
        http: HttpOffer::Http1,
        tls: TlsRange::default(),
        headers: Vec::new(),
        header_case: HeaderCase::default(),
        program: None,
        stands_in_for: None,
        trust: None,
        control: false,
    };
    let office = Proxy {
        kind: ProxyKind::Socks5Hostname,
        host: "proxy.internal".to_owned(),
        port: 1080,
        username: Some("edgewatch".to_owned()),
        password: None,
        missing: None,
    };
    let connect = probe(
        "gmc-connect",
        "https://webcache.gmc-uk.org/GMCWebServices/WebService.asmx",
    );
    Plan {
        service: "GMC".to_owned(),
        zone: TimeZone::get("Europe/London").unwrap(),
        egresses: vec![
            egress(
                "legacy-prod",
                Way::Address([10, 20, 1, 15].into()),
                Some([203, 0, 113, 15]),
            ),
            egress(
                "new-reval",
                Way::Interface("ens6".to_owned()),
                Some([203, 0, 113, 16]),
            ),
            egress("office", Way::Proxy(office), None),
        ],
        clients: vec![
            client("legacy-reval", "Java/1.8.0_275"),
            client("new-reval", "Java/11.0.10"),
        ],
        credentials: vec![Credential {
            name: "gmc".into(),
            fields: std::collections::BTreeMap::new(),
            missing: None,
            unfit: std::collections::BTreeMap::new(),
            open: std::collections::BTreeSet::new(),
        }],
        probes: vec![
            Probe {
                method: Method::POST,
                words: Words {
                    what: Some("Submitting recommendations to the GMC".to_owned()),
                    affects: Some("Revalidation users".to_owned()),
                    workaround: Some("Use the GMC Connect web site".to_owned()),
                    tell: None,
                    contact: Contact {
                        ring: Some("Ops desk, 020 7946 0000".to_owned()),
                        ..Contact::default()
                    },
                },
                ..connect
            },
            Probe {
                control: true,
                ..probe("internet", "https://www.gov.uk/")
            },
        ],
        politeness: Politeness::default(),
        incidents: IncidentPolicy::default(),
        signatures: Vec::new(),
        receivers: Vec::new(),
        routes: Vec::new(),
        maintenance: Vec::new(),
        store: StorePolicy {
            group: None,
            path: "edgewatch.sqlite".into(),
            keep: crate::domain::plan::Keep::for_runs(Duration::from_secs(86_400)),
            bytes_max: 1 << 30,
        },
        trust: Vec::new(),
        name_servers: Vec::new(),
        runs_in_flight_max: 64,
        listen: None,
        web: None,
        heartbeat: None,
        watch: true,
        former: crate::domain::renames::Renames::default(),
        nats: None,
        credential_a_day: None,
        shares: std::collections::BTreeMap::new(),
    }
}

fn probe(name: &str, url: &str) -> Probe {
    Probe {
        name: name.into(),
        url: url.parse().unwrap(),
        partner: "gmc-uk.org".to_owned(),
        method: Method::GET,
        headers: Vec::new(),
        body: None,
        from: vec!["legacy-prod".into(), "new-reval".into()],
        as_clients: vec!["legacy-reval".into(), "new-reval".into()],
        with: vec!["gmc".into()],
        schedule: Schedule::Every(Duration::from_secs(300)),
        timeout: Duration::from_secs(20),
        expect: Expect::default(),
        origin: Conditions::default(),
        meanings: Vec::new(),
        words: Words::default(),
        redirects: Redirects::No,
        cookies: Cookies::default(),
        body_bytes_max: 1 << 18,
        resolver: Resolver::Own,
        connect_to: None,
        tags: Vec::new(),
        severity: Severity::Warning,
        tell: Tell::Sure,
        control: false,
        ours: false,
        forbid: Default::default(),
    }
}
