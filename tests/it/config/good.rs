//! Files that are accepted, and what they become.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use edgewatch::domain::cell::{
    CellKey, CredentialName, HeaderCase, HttpOffer, IpFamily, Proxy, ProxyKind, TlsVersion, Way,
};
use edgewatch::domain::condition::Condition;
use edgewatch::domain::hours::Hours;
use edgewatch::domain::mute::{Begins, Effect};
use edgewatch::domain::notification::{Buttons, Channel, Encryption, Login, Mail};
use edgewatch::domain::plan::{Heartbeat, IncidentPolicy, Keep, Plan, Politeness};
use edgewatch::domain::probe::{Redirects, Resolver, Schedule};
use edgewatch::domain::secret::Secret;
use edgewatch::domain::verdict::{Factor, Kind, Maker, Rule, Severity};
use edgewatch::lang::template::{Audience, Template};

use super::{Given, read};

const LEAST: &str = "\
version: 1
service: GMC
clients: { plain: \"edgewatch (ops@example.org)\" }
probes:
  api: { url: https://api.example/health, every: 5m }
";

const SHORT: &str = "\
version: 1
service: GMC
egresses: { de1: 10.0.0.1, de6: \"2001:db8::1\" }
clients: { old: Java/1.8.0_275, new: { user_agent: Java/11.0.10, http: 1.1, tls: { min: 1.3 } } }
probes:
  api:
    url: https://api.example/
    headers: { X-Version: 2 }
    from: de1
    as: new
    cron: \"*/5 * * * *\"
    expect: { status: 2xx, header: cf-ray, headers: { Server: { regex: '^cf' } }, body: ok }
    redirects: no
controls: [https://www.example/, { name: edge, url: https://edge.example/, every: 5m }]
notify: { receivers: { here: { log: {} } } }
listen: \"[::1]:0\"
web: none
heartbeat: { url: { env: SWITCH } }
store: { keep: 3d }
";

const EVERYTHING: &str = "\
version: 1
service: GMC
timezone: Europe/London
x-shared: &later { every: 5m, timeout: 60s }
egresses:
  routes: {}
  bound: { address: 10.0.0.1, public: 203.0.113.1, family: v4 }
  device: { interface: ens6, family: any }
  http: { proxy: \"http://proxy.example:80\" }
  socks: { proxy: \"socks5h://proxy.example:1080\", username: bob, password: { env: PROXY } }
clients:
  old:
    user_agent: \"\"
    http: either
    tls: { min: \"1.2\", max: \"1.3\" }
    headers: { Accept: ~, X-A: b, Host: ~, User-Agent:, Content-Length: ~ }
    header_case: lower
    control: true
  new: Java/11
credentials:
  gmc: { username: { env: USER }, password: { file: /run/secrets/p } }
probes:
  api:
    <<: *later
    url: https://api.example:8443/ws?a=b
    method: POST
    headers: { Content-Type: text/xml, Authorization: \"Basic {{ credential.username }}\" }
    body: { file: body.xml }
    from: [bound, socks]
    as: [new]
    with: [gmc, anonymous]
    expect:
      status: [200, \"300-302\", 4xx]
      header: [a, b]
      headers: { c: d }
      body: [e, f]
      regex: g+
      jsonpath: [\"$.a\", \"$.b == 'x'\", \"$.c != 3\"]
      xpath: //a
      namespaces: { p: \"urn:x\" }
      latency: 2s
      certificate_days: 21
      http: \"2\"
      verdict: edge_block
    origin: { body: GMCRequestID }
    meanings:
      - { when: { regex: \"<ReturnCode>99<\" }, verdict: origin_denied, factors: [credential, egress], note: x }
    words: { what: w, affects: a, workaround: k, tell: t }
    contact: { ring: \"Ann, 020\", runbook: \"https://wiki.example/gmc\" }
    redirects: { follow: any, limit: 3 }
    body_limit: 1MiB
    resolver: system
    connect_to: 192.0.2.7
    tags: [reval]
    severity: critical
    control: false
    forbid: { headers: { SOAPAction: [Try, { regex: '^Del' }] } }
controls:
  internet: { url: https://www.example/, expect: { status: 204 } }
contact: { ring: Ops, link: \"https://status.example/\" }
politeness: { per_host: { requests_per_minute: 30, gap: 2s }, extra_per_incident: 6 }
incidents: { remind: [2h], reopen_within: 30m }
maintenance:
  - { name: GMC weekend work, cron: \"0 22 * * SAT\", for: 8h, probes: [api], effect: annotate }
  - { name: nightly, cron: \"30 1 * * *\", for: 30m, effect: mute }
signatures:
  - { name: ours, when: { status: 403 }, verdict: edge_block, maker: edge, vendor: f5, rule: ip, reference_id: 'id (\\d+)' }
forbid: { body: [<Try, { regex: 'Delete' }], method: DELETE, path: /admin }
notify:
  receivers:
    eng: { slack: { token: { env: SLACK }, channel: C0123456789, mention: \"<!here>\", app_token: { env: APP }, allow: { users: U0123456789, user_groups: [S0123456789] }, api: \"http://127.0.0.1:9/api/\" }, fallback: all }
    sup: { teams: { webhook: { env: TEAMS }, all_is_well: { cron: \"0 9 * * MON\" } } }
    all: { log: {} }
    hook: { webhook: { url: { env: HOOK }, secret: { file: /run/secrets/key } } }
    mail:
      email:
        host: mail.example
        port: 2525
        tls: starttls
        username: { env: USER }
        password: { env: PROXY }
        from: edgewatch <alerts@example.org>
        to: [\"Ann B. <ann@example.org>\", bob@example.net, ann@example.org]
        words: plain
        hello: monitor.example.org
    here: { email: { host: \"127.0.0.1\", tls: none, from: a@example.org, to: b@example.org } }
    oncall: { pagerduty: { routing_key: { env: PAGER }, api: \"https://events.eu.pagerduty.com/\" } }
    alerts: { alertmanager: { url: [\"http://127.0.0.1:9093\", \"https://am.example/am/\"], token: { env: USER }, labels: { team: ops } } }
  routes:
    - { to: hook }
    - { to: mail }
    - { to: here }
    - { to: oncall }
    - { to: alerts }
    - { to: eng }
    - { to: sup, after: 10m, min_confidence: 0.95, probes: [api], tags: [reval], notices: true }
    - to: eng
      egresses: [bound]
      verdicts: [edge_block, timeout]
      severity: [critical, warning]
      during: { days: [mon-wed, FRI], hours: \"22:00-06:00\" }
      remind: [30m, 2h]
      escalate: { to: oncall, after: 15m }
  templates:
    slack: { headline: \"*{{ state }}* {{ headline }}\", footer: { file: foot.jinja } }
    teams: { body: \"{{ what }} since {{ since }}\" }
store: { path: x.db, keep: { runs: 7d, bodies: 2d, incidents: 730d, messages: 30d }, max_size: 1GiB }
trust: [ca.pem]
name_servers: [192.0.2.53, \"192.0.2.54:5353\"]
runs_in_flight: 10
listen: { address: \"0.0.0.0:9464\", exposed: true }
web: { listen: \"[::1]:0\", names: [Edge.example, edge], path: /edgewatch/ }
heartbeat: { url: { env: SWITCH }, every: 5m }
";

/// Also held against the schema.
pub(super) const FILES: [(&str, &str); 3] = [
    ("least", LEAST),
    ("short", SHORT),
    ("everything", EVERYTHING),
];

fn given() -> Given {
    Given {
        env: HashMap::from([
            ("PROXY", "secret-1"),
            ("USER", "secret-2"),
            ("SLACK", "xoxb-secret-3"),
            ("APP", "xapp-secret-9"),
            ("SWITCH", "https://hc-ping.com/secret-6 "),
            ("HOOK", "https://hooks.example/secret-6"),
            ("PAGER", "secret7secret7secret7secret7seec"),
            (
                "TEAMS",
                "https://x.environment.api.powerplatform.com:443/a?sig=secret-4",
            ),
        ]),
        files: HashMap::from([
            ("/run/secrets/p", "secret-5\n".to_owned()),
            ("foot.jinja", "{{ reference }}\n".to_owned()),
            (
                "/run/secrets/key",
                "whsec_c2lnbmluZy1rZXktb2YtdGhlLXdlYmhvb2stMzI=\n".to_owned(),
            ),
            ("body.xml", "<a>{{ credential.password }}</a>".to_owned()),
            ("ca.pem", "-----BEGIN CERTIFICATE-----\n".to_owned()),
        ]),
    }
}

fn plan(text: &str) -> Plan {
    let checked = read(text, &given()).unwrap_or_else(|findings| panic!("{findings}"));
    // What short files leave out is doubted, and these say so in the table of doubtful ones.
    let doubted = [
        "no client is a control",
        "there are no controls",
        "support staff are told",
        "sends no User-Agent",
        "no \"public\" says",
        "as \"anonymous\" it sends",
    ];
    let odd = |message: &str| !doubted.iter().any(|usual| message.starts_with(usual));
    let odd: Vec<_> = checked
        .warnings
        .iter()
        .filter(|f| odd(&f.message))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
    checked.plan
}

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn the_least_file_gets_the_defaults() {
    let plan = plan(LEAST);
    assert_eq!(plan.zone.iana_name(), Some("UTC"));
    let [egress] = plan.egresses.as_slice() else {
        panic!("{:?}", plan.egresses)
    };
    assert_eq!(
        (egress.name.as_str(), &egress.way),
        ("default", &Way::Routes)
    );
    let [probe] = plan.probes.as_slice() else {
        panic!("{:?}", plan.probes)
    };
    assert_eq!(probe.method, "GET");
    assert_eq!(probe.timeout, Duration::from_secs(20));
    assert_eq!(probe.with.len(), 1);
    assert!(probe.with[0].is_anonymous());
    assert_eq!(probe.redirects, Redirects::SameHost(5));
    assert_eq!(probe.body_bytes_max, 256 * 1024);
    assert_eq!(probe.resolver, Resolver::Own);
    assert!(probe.expect.conditions.0.is_empty() && !probe.control);
    assert!(matches!(probe.schedule, Schedule::Every(every) if every == 5 * MINUTE));
    assert_eq!(plan.politeness, Politeness::default());
    assert_eq!(plan.incidents, IncidentPolicy::default());
    assert_eq!(plan.store.path.to_str(), Some("edgewatch.db"));
    assert_eq!(plan.store.keep, Keep::for_runs(30 * DAY));
    assert_eq!(plan.store.bytes_max, 2 << 30);
    assert_eq!(plan.runs_in_flight_max, 256);
    assert_eq!((plan.listen, plan.heartbeat), (None, None));
    assert_eq!(plan.web.unwrap().address, "127.0.0.1:9465".parse().unwrap());
    let [receiver] = plan.receivers.as_slice() else {
        panic!("{:?}", plan.receivers)
    };
    assert_eq!(receiver.channel, Channel::Log);
    assert_eq!(plan.routes[0].to, receiver.name);
}

#[test]
fn short_forms_mean_the_long_ones() {
    let plan = plan(SHORT);
    let ways: Vec<_> = plan.egresses.iter().map(|e| &e.way).collect();
    let v4: IpAddr = "10.0.0.1".parse().unwrap();
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(ways, [&Way::Address(v4), &Way::Address(v6)]);
    assert_eq!(plan.clients[0].user_agent, "Java/1.8.0_275");
    assert_eq!(plan.clients[1].http, HttpOffer::Http1);
    assert_eq!(plan.clients[1].tls.min, TlsVersion::V1_3);
    let names: Vec<_> = plan.probes.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["api", "www.example", "edge"]);
    let api = &plan.probes[0];
    assert_eq!(api.headers[0].1.masked(), "2");
    assert_eq!(api.redirects, Redirects::No);
    assert_eq!(api.expect.conditions.0.len(), 4);
    assert!(matches!(&api.schedule, Schedule::Cron(cron) if cron.text().contains("*/5")));
    let control = &plan.probes[1];
    assert!(control.control);
    assert_eq!(control.from.len(), 2);
    assert_eq!(control.as_clients, [plan.clients[0].name.clone()]);
    assert!(matches!(
        &control.expect.conditions.0[..],
        [Condition::Status(ranges)] if ranges == &[(200, 399)]
    ));
    assert_eq!(plan.routes.len(), 1);
    let listen = plan.listen.unwrap();
    assert_eq!(
        (listen.address, listen.exposed),
        ("[::1]:0".parse().unwrap(), false)
    );
    assert_eq!(plan.web, None);
    assert_eq!(plan.heartbeat.unwrap().every, MINUTE);
    assert_eq!(plan.store.keep, Keep::for_runs(3 * DAY));
}

#[test]
fn everything_can_be_set() {
    let plan = plan(EVERYTHING);
    assert_eq!(plan.zone.iana_name(), Some("Europe/London"));
    assert_eq!(plan.egresses[1].family, IpFamily::V4);
    assert_eq!(plan.egresses[1].public, "203.0.113.1".parse().ok());
    assert_eq!(plan.egresses[2].way, Way::Interface("ens6".into()));
    let http = Proxy {
        kind: ProxyKind::HttpConnect,
        host: "proxy.example".into(),
        port: 80,
        username: None,
        password: None,
        missing: None,
    };
    assert_eq!(plan.egresses[3].way, Way::Proxy(http.clone()));
    let socks = Proxy {
        kind: ProxyKind::Socks5Hostname,
        port: 1080,
        username: Some("bob".into()),
        password: Some(Secret::new("secret-1")),
        missing: None,
        ..http
    };
    assert_eq!(plan.egresses[4].way, Way::Proxy(socks));
    let old = &plan.clients[0];
    assert_eq!((old.user_agent.as_str(), old.http), ("", HttpOffer::Either));
    let headers = old.headers.iter();
    let headers: Vec<_> = headers.map(|(n, v)| (&**n, v.as_deref())).collect();
    let expected = [
        ("Accept", None),
        ("X-A", Some("b")),
        ("Host", None),
        ("User-Agent", None),
        ("Content-Length", None),
    ];
    assert_eq!(headers, expected);
    assert_eq!((old.header_case, old.control), (HeaderCase::Lower, true));
    let gmc = &plan.credentials[0];
    assert_eq!(gmc.fields["password"], Secret::new("secret-5"));
    assert_eq!(gmc.missing, None);

    let api = &plan.probes[0];
    assert_eq!(api.host(), "api.example:8443");
    assert_eq!(api.method, "POST");
    assert_eq!(api.timeout, MINUTE);
    assert!(matches!(api.schedule, Schedule::Every(every) if every == 5 * MINUTE));
    let body = api.body.as_ref().unwrap();
    let filled = body.fill(|field| Some(gmc.fields[field].expose().to_owned()));
    assert_eq!(filled, "<a>secret-5</a>");
    assert_eq!(
        (api.from.len(), api.as_clients.len(), api.with.len()),
        (2, 1, 2)
    );
    assert_eq!(api.expect.conditions.0.len(), 14);
    assert_eq!(api.expect.verdict, Some(Kind::EdgeBlock));
    assert_eq!(api.origin.0.len(), 1);
    assert_eq!(api.meanings[0].verdict, Kind::OriginDenied);
    assert_eq!(
        api.meanings[0].factors,
        [Factor::Credential, Factor::Egress]
    );
    assert_eq!(api.words.tell.as_deref(), Some("t"));
    assert_eq!(api.redirects, Redirects::Any(3));
    assert_eq!(api.body_bytes_max, 1 << 20);
    assert_eq!(api.resolver, Resolver::System);
    assert_eq!(api.connect_to, "192.0.2.7".parse().ok());
    assert_eq!(api.tags, ["reval"]);
    let internet = &plan.probes[1];
    assert_eq!(internet.as_clients[..], *std::slice::from_ref(&old.name));
    assert!(matches!(
        &internet.expect.conditions.0[..],
        [Condition::Status(ranges)] if ranges == &[(204, 204)]
    ));

    assert_eq!(plan.politeness.requests_per_minute, 30);
    assert_eq!(plan.politeness.gap, Duration::from_secs(2));
    assert_eq!(plan.politeness.extra_per_incident, 6);
    assert_eq!(plan.incidents.remind, [120 * MINUTE]);
    let ours = &plan.signatures[0];
    assert_eq!(
        (ours.verdict, ours.maker, ours.rule),
        (Kind::EdgeBlock, Maker::Edge, Rule::Ip)
    );
    assert_eq!(ours.vendor, "f5");
    let Channel::Slack {
        token,
        api,
        mention,
        buttons,
        templates,
        ..
    } = &plan.receivers[0].channel
    else {
        panic!("{:?}", plan.receivers[0])
    };
    assert_eq!(token, &Ok(Secret::new("xoxb-secret-3")));
    assert_eq!(api, "http://127.0.0.1:9/api");
    assert_eq!(mention.as_deref(), Some("<!here>"));
    assert_eq!(
        *buttons,
        Some(Buttons {
            app_token: Ok(Secret::new("xapp-secret-9")),
            users: vec!["U0123456789".into()],
            user_groups: vec!["S0123456789".into()],
        })
    );
    assert_eq!(plan.receivers[0].fallback, Some("all".into()));
    assert!(templates.headline.is_some() && templates.body.is_none());
    assert_eq!(
        templates.footer,
        Template::new("{{ reference }}", Audience::Engineers).ok()
    );
    let Channel::Teams {
        all_is_well: Some(weekly),
        templates,
        ..
    } = &plan.receivers[1].channel
    else {
        panic!("{:?}", plan.receivers[1])
    };
    assert!(templates.body.is_some() && templates.headline.is_none());
    assert_eq!(
        (weekly.service.as_str(), weekly.zone.as_str()),
        ("GMC", "Europe/London")
    );
    assert_eq!(
        weekly.next_after("2026-11-22T12:00:00Z".parse().unwrap()),
        Some("2026-11-23T09:00:00Z".parse().unwrap())
    );
    further_receivers(&plan);
    let support = &plan.routes[6];
    assert_eq!((support.after, support.min_confidence), (10 * MINUTE, 0.95));
    assert_eq!((support.probes.len(), support.tags.len()), (1, 1));
    quiet_times(&plan);
    assert!(support.notices && plan.routes[5].notices && !plan.routes[3].notices);
    let kept = Keep {
        runs: 7 * DAY,
        bodies: 2 * DAY,
        incidents: Some(730 * DAY),
        messages: 30 * DAY,
    };
    assert_eq!(plan.store.keep, kept);
    assert_eq!(plan.trust.len(), 1);
    assert_eq!(plan.name_servers[1], "192.0.2.54:5353".parse().unwrap());
    assert_eq!(plan.runs_in_flight_max, 10);
    let listen = plan.listen.unwrap();
    assert_eq!(
        (listen.address, listen.exposed),
        ("0.0.0.0:9464".parse().unwrap(), true)
    );
    let web = plan.web.as_ref().unwrap();
    assert_eq!(
        (web.address, web.path.as_str()),
        ("[::1]:0".parse().unwrap(), "/edgewatch")
    );
    assert_eq!(web.names, ["edge.example", "edge"]);
    let heartbeat = Heartbeat {
        url: Ok(Secret::new("https://hc-ping.com/secret-6")),
        every: 5 * MINUTE,
    };
    assert!(
        plan.secrets()
            .holds(heartbeat.url.as_ref().unwrap().expose())
    );
    assert_eq!(plan.heartbeat, Some(heartbeat));
}

fn further_receivers(plan: &Plan) {
    let root = vec!["-----BEGIN CERTIFICATE-----\n".to_owned()];
    let channels: Vec<&Channel> = plan.receivers[3..].iter().map(|r| &r.channel).collect();
    let login = Login::Password {
        username: Secret::new("secret-2"),
        password: Secret::new("secret-1"),
    };
    let mail = Mail {
        host: "mail.example".into(),
        port: 2525,
        encryption: Encryption::StartTls,
        login: Some(Ok(login)),
        hello: "monitor.example.org".into(),
        from: "edgewatch <alerts@example.org>".into(),
        to: vec![
            "\"Ann B.\" <ann@example.org>".into(),
            "bob@example.net".into(),
        ],
        plain: true,
        roots: root.clone(),
    };
    let here = Mail {
        host: "127.0.0.1".into(),
        port: 25,
        encryption: Encryption::None,
        login: None,
        hello: "example.org".into(),
        from: "a@example.org".into(),
        to: vec!["b@example.org".into()],
        plain: false,
        roots: root.clone(),
    };
    let expected = [
        &Channel::Webhook {
            url: Ok(Secret::new("https://hooks.example/secret-6")),
            key: Ok(Secret::new(
                "whsec_c2lnbmluZy1rZXktb2YtdGhlLXdlYmhvb2stMzI=",
            )),
            roots: root.clone(),
        },
        &Channel::Email(Box::new(mail)),
        &Channel::Email(Box::new(here)),
        &Channel::PagerDuty {
            routing_key: Ok(Secret::new("secret7secret7secret7secret7seec")),
            api: "https://events.eu.pagerduty.com".into(),
        },
        &Channel::Alertmanager {
            peers: vec![
                "http://127.0.0.1:9093".into(),
                "https://am.example/am".into(),
            ],
            login: Some(Ok(Login::Token(Secret::new("secret-2")))),
            labels: vec![("team".into(), "ops".into())],
            roots: root,
        },
    ];
    assert_eq!(channels, expected);
    let bounds: Vec<f64> = plan.routes[..5].iter().map(|r| r.min_confidence).collect();
    assert_eq!(
        bounds,
        [0.0, 0.9, 0.0, 0.0, 0.0],
        "plain words name no cause that is not sure"
    );
}

fn quiet_times(plan: &Plan) {
    let [weekend, nightly] = plan.maintenance.as_slice() else {
        panic!("{:?}", plan.maintenance)
    };
    assert_eq!(
        (weekend.name.as_str(), weekend.effect, weekend.lasting),
        ("GMC weekend work", Effect::Annotate, 8 * 60 * MINUTE)
    );
    assert_eq!(weekend.probes, ["api".into()]);
    let Begins::Cron(cron) = &weekend.begins else {
        panic!("it comes back every week: {weekend:?}")
    };
    assert_eq!(cron.zone().iana_name(), Some("Europe/London"));
    assert_eq!((nightly.effect, nightly.probes.len()), (Effect::Mute, 0));
    assert_eq!(plan.probes[0].severity, Severity::Critical);
    assert_eq!(plan.probes[1].severity, Severity::Warning);
    let route = &plan.routes[7];
    assert_eq!(route.egresses, ["bound".into()]);
    assert_eq!(route.kinds, [Kind::EdgeBlock, Kind::Timeout]);
    assert_eq!(route.severities, [Severity::Critical, Severity::Warning]);
    let days = [true, true, true, false, true, false, false];
    assert_eq!(route.during, Hours::new(days, 22 * 60, 6 * 60));
    assert_eq!(route.remind, Some(vec![30 * MINUTE, 120 * MINUTE]));
    let further = route.escalate.as_ref().unwrap();
    assert_eq!(
        (further.to.as_str(), further.after, further.min_confidence),
        ("oncall", 15 * MINUTE, 0.0)
    );
    let plain = &plan.routes[5];
    assert_eq!(
        (&plain.during, &plain.remind, &plain.escalate),
        (&None, &None, &None)
    );
}

#[test]
fn a_teams_route_names_no_cause_below_nine_in_ten_unless_it_says_so() {
    let text = LEAST.to_owned()
        + "notify: { receivers: { t: { teams: { webhook: { env: TEAMS } }, fallback: l }, l: { log: {} } } }\n";
    let plan = plan(&text);
    let routes: Vec<_> = plan
        .routes
        .iter()
        .map(|r| (r.to.as_str(), r.min_confidence, r.notices))
        .collect();
    assert_eq!(routes, [("t", 0.9, false)]);
}

#[test]
fn anchors_and_extensions_are_read_as_other_readers_do() {
    let text = LEAST.to_owned() + "x-anything: { at: [all] }\n";
    assert_eq!(plan(&text).probes.len(), 1);
}

#[test]
fn all_is_well_is_said_every_month_unless_never_is_wanted() {
    for (written, next) in [
        ("", Some("2026-12-01T10:00:00Z")),
        (", all_is_well: { every: 7d }", Some("2026-11-29T12:00:00Z")),
        (", all_is_well: never", None),
    ] {
        let text = format!(
            "{LEAST}notify: {{ receivers: {{ sup: {{ teams: {{ webhook: {{ env: TEAMS }}{written} }} }} }} }}\n"
        );
        let plan = plan(&text);
        let Channel::Teams { all_is_well, .. } = &plan.receivers[0].channel else {
            panic!("{:?}", plan.receivers[0])
        };
        let at = "2026-11-22T12:00:00Z".parse().unwrap();
        let due = all_is_well.as_ref().and_then(|well| well.next_after(at));
        assert_eq!(due, next.map(|next| next.parse().unwrap()), "{written}");
    }
}

#[test]
fn a_former_name_is_known_by_its_new_one() {
    let plan = plan(
        "version: 1\nservice: GMC\nclients: { legacy: { user_agent: Java/1.8, was: java-8 } }\n\
         egresses: { home: { address: 10.0.0.1, was: de1 } }\n\
         probes: { api: { url: \"https://api.example/\", every: 5m, was: gmc } }\n",
    );
    let cell = |probe: &str, egress: &str, client: &str| CellKey {
        probe: probe.into(),
        egress: egress.into(),
        client: client.into(),
        credential: CredentialName::anonymous(),
    };
    let now = plan.former.cell(&cell("gmc", "de1", "java-8"));
    assert_eq!(now, cell("api", "home", "legacy"));
}

#[test]
fn maintenance_for_one_night_is_by_the_clock_on_the_wall() {
    let text = |when: &str| {
        format!(
            "version: 1\nservice: GMC\ntimezone: Europe/London\nclients: {{ c: x/1 }}\nprobes:\n  p: {{ url: https://a.example/, every: 5m }}\nmaintenance: [{{ name: night, {when}, effect: mute }}]\n"
        )
    };
    for (when, begins, hours) in [
        ("at: 2026-12-05 22:00, for: 8h", "2026-12-05T22:00:00Z", 8),
        (
            "at: 2026-07-05 22:00, until: 2026-07-06 06:00",
            "2026-07-05T21:00:00Z",
            8,
        ),
        (
            "at: 2026-10-24 22:00, until: 2026-10-25 06:00",
            "2026-10-24T21:00:00Z",
            9,
        ),
    ] {
        let plan = read(&text(when), &Given::default()).unwrap().plan;
        let window = &plan.maintenance[0];
        let before = "2026-01-01T00:00:00Z".parse().unwrap();
        let begun = window.begins.next_after(before).unwrap();
        assert_eq!(begun.to_string(), begins, "{when}");
        assert_eq!(window.begins.next_after(begun), None, "once");
        assert_eq!(window.lasting.as_secs(), hours * 3600, "{when}");
    }
}

#[test]
fn a_partner_may_have_blanks_in_its_name() {
    let text = "version: 1\nservice: GMC\nclients: { c: x/1 }\nprobes:\n  p: { url: https://a.example/, every: 5m, partner: Other & Söhne Ltd }\n";
    let plan = read(text, &Given::default()).unwrap().plan;
    assert_eq!(plan.probes[0].partner, "Other & Söhne Ltd");
}
