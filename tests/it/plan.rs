//! A plan in code: the smallest one that holds a probe, to be changed field by field.

use std::time::Duration;

use edgewatch::domain::cell::{
    Client, CredentialName, Egress, HeaderCase, HttpOffer, IpFamily, TlsRange, Way,
};
use edgewatch::domain::condition::Conditions;
use edgewatch::domain::plan::{IncidentPolicy, Plan, Politeness, StorePolicy};
use edgewatch::domain::probe::{Cookies, Expect, Probe, Redirects, Resolver, Schedule, Words};
use edgewatch::domain::verdict::{Severity, Tell};

/// One probe of `url` from egress `here` as client `plain` without a credential.
pub(crate) fn plan(url: &str) -> Plan {
    Plan {
        service: "TEST".to_owned(),
        zone: jiff::tz::TimeZone::UTC,
        egresses: vec![egress("here", Way::Routes)],
        clients: vec![client("plain", "edgewatch-test")],
        credentials: Vec::new(),
        probes: vec![probe("page", url)],
        politeness: Politeness::default(),
        incidents: IncidentPolicy::default(),
        signatures: Vec::new(),
        receivers: Vec::new(),
        routes: Vec::new(),
        maintenance: Vec::new(),
        store: StorePolicy {
            group: None,
            path: "unused.db".into(),
            keep: edgewatch::domain::plan::Keep::for_runs(Duration::from_secs(86_400)),
            bytes_max: 1 << 30,
        },
        trust: Vec::new(),
        name_servers: Vec::new(),
        runs_in_flight_max: 64,
        listen: None,
        web: None,
        heartbeat: None,
        watch: true,
        former: edgewatch::domain::renames::Renames::default(),
        nats: None,
        credential_a_day: None,
        shares: std::collections::BTreeMap::new(),
    }
}

pub(crate) fn egress(name: &str, way: Way) -> Egress {
    Egress {
        name: name.into(),
        way,
        site: None,
        public: None,
        region: None,
        family: IpFamily::Any,
    }
}

pub(crate) fn client(name: &str, user_agent: &str) -> Client {
    Client {
        name: name.into(),
        user_agent: user_agent.to_owned(),
        http: HttpOffer::Http1,
        tls: TlsRange::default(),
        headers: Vec::new(),
        header_case: HeaderCase::default(),
        program: None,
        stands_in_for: None,
        trust: None,
        control: false,
    }
}

/// A GET of `url` every minute with a timeout of ten seconds.
pub(crate) fn probe(name: &str, url: &str) -> Probe {
    Probe {
        name: name.into(),
        url: url.parse().unwrap(),
        partner: "partner".to_owned(),
        method: http::Method::GET,
        headers: Vec::new(),
        body: None,
        from: vec!["here".into()],
        as_clients: vec!["plain".into()],
        with: vec![CredentialName::anonymous()],
        schedule: Schedule::Every(Duration::from_secs(60)),
        timeout: Duration::from_secs(10),
        expect: Expect::default(),
        origin: Conditions::default(),
        meanings: Vec::new(),
        words: Words::default(),
        redirects: Redirects::No,
        cookies: Cookies::default(),
        body_bytes_max: 256 * 1024,
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
