//! All of them over the outbox: from the file to the wire, whatever goes wrong, and without a secret on the way.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgewatch::app::deliver::Timing;
use edgewatch::config::{self, Inputs};
use edgewatch::domain::notification::{Reason, Receiver};
use edgewatch::store::Progress;
use futures_util::future::join_all;
use serde_json::Value;

use super::endpoint::Endpoint;
use super::mail_server::{Kind, MailFault, MailServer, PASSWORD, USER};
use super::{alertmanager, email, hangs, pagerduty, webhook};
use crate::deliver::{Captured, PATIENCE, World, hasty, timing};
use crate::fakes::{Fake, Fault};
use crate::samples::fresh;

/// What a file refers to.
struct Given {
    env: HashMap<&'static str, String>,
    root: String,
}

impl Inputs for Given {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        match path.to_str() {
            Some("ca.pem") => Ok(self.root.clone()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// One incident, opened and fixed, goes from a file's four receivers to all of them.
#[tokio::test]
async fn one_incident_goes_to_all_four() {
    let hook = Endpoint::start(webhook::rule).await;
    let pager = Endpoint::start(pagerduty::rule).await;
    let (one, two) = (
        Endpoint::start(alertmanager::rule).await,
        Endpoint::start(alertmanager::rule).await,
    );
    let mails = MailServer::start(Kind::StartTls).await;
    let text = format!(
        r#"version: 1
service: GMC
clients: {{ c: x/1 }}
probes: {{ p: {{ url: https://a.example/, every: 5m }} }}
trust: ca.pem
notify:
  receivers:
    hook: {{ webhook: {{ url: {{ env: HOOK }}, secret: {{ env: HOOK_KEY }} }} }}
    mail:
      email:
        host: localhost
        port: {mail}
        username: {{ env: MAIL_USER }}
        password: {{ env: MAIL_PASSWORD }}
        from: edgewatch <alerts@example.org>
        to: [ann@example.org, bob@example.net]
    oncall: {{ pagerduty: {{ routing_key: {{ env: PAGER_KEY }}, api: "{pager}" }} }}
    alerts: {{ alertmanager: {{ url: ["{one}/", "{two}"], token: {{ env: ALERTS_TOKEN }}, labels: {{ team: ops }} }} }}
"#,
        mail = mails.port(),
        pager = pager.url(""),
        one = one.url("/prefix"),
        two = two.url("/prefix"),
    );
    let given = Given {
        env: HashMap::from([
            ("HOOK", hook.url(webhook::PATH)),
            ("HOOK_KEY", webhook::KEY.to_owned()),
            ("MAIL_USER", USER.to_owned()),
            ("MAIL_PASSWORD", PASSWORD.to_owned()),
            ("PAGER_KEY", pagerduty::KEY.to_owned()),
            ("ALERTS_TOKEN", alertmanager::TOKEN.to_owned()),
        ]),
        root: mails.root(),
    };
    let checked = config::read(&text, "probes.yaml", &given).unwrap_or_else(|e| panic!("{e}"));
    assert!(
        checked.warnings.iter().all(|w| w.doubt),
        "{}",
        checked.warnings
    );
    let secrets = checked.plan.secrets();
    assert!(given.env.values().all(|secret| secrets.holds(secret)));

    let world = World::new();
    let deliver = world.deliver(&checked.plan.receivers, timing()).await;
    let names = ["hook", "mail", "oncall", "alerts"];
    for (round, reason) in [Reason::Opened, Reason::Resolved].into_iter().enumerate() {
        let due: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(index, name)| fresh(1, reason, (round * 4 + index) as u32, name))
            .collect();
        world.due(&due).await;
        let told = round + 1;
        hook.until("the event", |e| e.taken().len() == told).await;
        pager.until("the page", |e| e.taken().len() == told).await;
        // Its first refresh may come between.
        one.until("the alert", |e| e.taken().len() >= told).await;
        two.until("the alert", |e| e.taken().len() >= told).await;
        mails.until("the mail", |m| m.taken().len() == told).await;
    }
    world.until_done().await;
    deliver.stop(PATIENCE).await;
    assert_eq!(hook.bodies()[0]["type"], "incident.opened");
    assert_eq!(hook.bodies()[1]["type"], "incident.resolved");
    assert!(
        pagerduty::open(&pager.bodies()[..1]).len() == 1
            && pagerduty::open(&pager.bodies()).is_empty()
    );
    for peer in [&one, &two] {
        let alerts = peer.bodies();
        let last = &alerts.last().unwrap()[0];
        assert_eq!(last["labels"]["team"], "ops");
        assert!(
            last["endsAt"].as_str() < Some(&*edgewatch::clock::now().to_string()),
            "{last}"
        );
    }
    assert_eq!(
        mails.taken()[1].header("In-Reply-To"),
        mails.taken()[0].header("Message-ID")
    );
    assert!(world.store.undelivered().await.unwrap().is_empty());
    assert!(
        world
            .progress(1)
            .await
            .iter()
            .all(|(_, p)| *p == Progress::Accepted)
    );
}

/// What `docs/receivers.md` shows can be used as it stands, and `check` would say what is missing.
#[test]
fn the_documented_receivers_are_right() {
    let page = include_str!("../../../docs/receivers.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (notify, _) = rest.split_once("```").unwrap();
    let text = format!(
        "version: 1\nservice: GMC\nclients: {{ c: x/1 }}\nprobes: {{ p: {{ url: https://a.example/, every: 5m }} }}\n{notify}"
    );
    let given = Given {
        env: HashMap::new(),
        root: String::new(),
    };
    let checked = config::read(&text, "probes.yaml", &given).unwrap_or_else(|e| panic!("{e}"));
    let missing: Vec<String> = checked
        .plan
        .receivers
        .iter()
        .map(|r| r.channel.missing().join(", "))
        .collect();
    assert_eq!(
        missing,
        [
            "SLACK_BOT_TOKEN is not set",
            "TEAMS_WEBHOOK_URL is not set",
            "HOOK_URL is not set, HOOK_KEY is not set",
            "SMTP_USERNAME is not set; can't read /run/secrets/smtp-password: there is no such file",
            "",
            "PAGERDUTY_ROUTING_KEY is not set",
            "",
            "",
        ]
    );
}

/// The deliveries that a receiver saw, in order of their first arrival.
fn seen_once(ids: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut known = BTreeSet::new();
    ids.into_iter()
        .filter(|id| known.insert(id.clone()))
        .collect()
}

fn patience(fault: Fault) -> Timing {
    if hangs(fault) { hasty() } else { timing() }
}

async fn opened_and_fixed(
    world: &World,
    receiver: &Receiver,
    timing: Timing,
    opened: impl AsyncFnOnce(),
) {
    let name = receiver.name.as_str();
    let deliver = world.deliver(std::slice::from_ref(receiver), timing).await;
    world.due(&[fresh(1, Reason::Opened, 0, name)]).await;
    opened().await;
    world.due(&[fresh(1, Reason::Resolved, 1, name)]).await;
    world.until_done().await;
    deliver.stop(PATIENCE).await;
}

const FAULTS: [Fault; 11] = [
    Fault::SlowDown(Some("0.01")),
    Fault::SlowDown(Some("0")),
    Fault::SlowDown(None),
    Fault::TakenThen500,
    Fault::TakenThenDropped,
    Fault::TakenThenCut,
    Fault::TakenThenHang,
    Fault::Hang,
    Fault::Status(503),
    Fault::Redirect,
    Fault::Page,
];

/// Each fault once: opening and end arrive in order, and whatever came twice has the same id.
#[tokio::test]
async fn a_webhook_knows_each_event_by_its_id() {
    join_all(FAULTS.map(|fault| async move {
        let (world, endpoint) = (World::new(), Endpoint::start(webhook::rule).await);
        endpoint.fault(fault);
        opened_and_fixed(
            &world,
            &webhook::to(&endpoint, None),
            patience(fault),
            async || {
                endpoint
                    .until("the opening", |e| e.calls() >= 2 || !e.taken().is_empty())
                    .await;
            },
        )
        .await;
        let ids = endpoint.taken().into_iter().map(|seen| {
            let body: Value = serde_json::from_slice(&seen.body).unwrap();
            format!("{} {}", body["type"], seen.header("webhook-id").unwrap())
        });
        let events = seen_once(ids);
        let told: Vec<&str> = events
            .iter()
            .map(|e| e.split(' ').next().unwrap())
            .collect();
        let apart = ["\"incident.opened\"", "\"incident.resolved\""];
        // An opening that was surely not taken may be told together with its end.
        let together = &apart[1..];
        assert!(told == apart || told == together, "{fault:?}: {told:?}");
        let shown = world.store.show(1).await.unwrap().unwrap();
        assert!(
            shown
                .deliveries
                .iter()
                .all(|d| d.progress == Progress::Accepted),
            "{fault:?}"
        );
    }))
    .await;
}

/// Each fault once: in the end nothing stands open, and there was one alert at most.
#[tokio::test]
async fn pagerduty_and_alertmanager_end_in_the_right_state() {
    join_all(FAULTS.map(|fault| async move {
        let (world, endpoint) = (World::new(), Endpoint::start(pagerduty::rule).await);
        endpoint.fault(fault);
        opened_and_fixed(
            &world,
            &pagerduty::to(&endpoint, None),
            patience(fault),
            async || {
                endpoint
                    .until("the opening", |e| e.calls() >= 2 || !e.taken().is_empty())
                    .await;
            },
        )
        .await;
        let events = endpoint.bodies();
        let keys: BTreeSet<String> = events.iter().map(|e| e["dedup_key"].to_string()).collect();
        assert_eq!(keys.len(), 1, "{fault:?}");
        assert!(pagerduty::open(&events).is_empty(), "{fault:?}");
        assert_eq!(
            events.last().unwrap()["event_action"],
            "resolve",
            "{fault:?}"
        );

        let (world, endpoint) = (World::new(), Endpoint::start(alertmanager::rule).await);
        endpoint.fault(fault);
        opened_and_fixed(
            &world,
            &alertmanager::to(&[&endpoint], None),
            patience(fault),
            async || {
                endpoint
                    .until("the opening", |e| e.calls() >= 2 || !e.taken().is_empty())
                    .await;
            },
        )
        .await;
        let alerts = endpoint.bodies();
        let names: BTreeSet<String> = alerts.iter().map(|a| a[0]["labels"].to_string()).collect();
        assert_eq!(names.len(), 1, "{fault:?}");
        let ends = alerts.last().unwrap()[0]["endsAt"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            ends.parse::<jiff::Timestamp>().unwrap() <= edgewatch::clock::now(),
            "{fault:?}"
        );
    }))
    .await;
}

/// Each fault once: every mail arrives, and a second copy has the id of the first.
#[tokio::test]
async fn mail_arrives_and_a_copy_can_be_told() {
    use MailFault::{
        Data, Greeting, Login, NoStartTls, Recipient, Silence, TakenThenDropped, TakenThenHang,
        Verdict,
    };
    let faults = [
        Greeting("421 4.3.2 try later"),
        Greeting("554 5.7.1 not you"),
        Silence,
        NoStartTls,
        Login("535 5.7.8 who are you"),
        Recipient("ann", "450 4.2.0 greylisted"),
        Recipient("@", "550 5.1.1 nobody"),
        Data("451 4.3.0 not now"),
        Verdict("554 5.6.0 too long"),
        TakenThenDropped,
        TakenThenHang,
    ];
    join_all(faults.map(|fault| async move {
        let (world, server) = (World::new(), MailServer::start(Kind::StartTls).await);
        server.fault(fault.clone());
        let timing = if matches!(fault, Silence | TakenThenHang) {
            hasty()
        } else {
            timing()
        };
        opened_and_fixed(&world, &email::to(&server, None), timing, async || {
            server
                .until("the opening", |s| {
                    s.conversations() >= 2 || s.taken().len() == 1
                })
                .await;
        })
        .await;
        let ids = seen_once(
            server
                .taken()
                .iter()
                .map(|t| t.header("Message-ID").unwrap()),
        );
        assert!(ids.len() <= 2, "{fault:?}: {ids:?}");
        let last = server.taken().pop().unwrap();
        assert_eq!(
            last.header("X-Edgewatch-Reason").as_deref(),
            Some("resolved"),
            "{fault:?}"
        );
        for who in ["ann@example.org", "bob@example.net"] {
            assert!(
                server
                    .taken()
                    .iter()
                    .any(|t| t.to.contains(&who.to_owned())),
                "{fault:?}: {who}"
            );
        }
        assert!(
            world.store.undelivered().await.unwrap().is_empty(),
            "{fault:?}"
        );
    }))
    .await;
}

/// Killed in the middle: the next process sends it again, recognisable.
#[tokio::test]
async fn a_crash_in_the_middle_repeats_under_the_same_id() {
    let (mut world, endpoint) = (World::new(), Endpoint::start(webhook::rule).await);
    endpoint.fault(Fault::TakenThenHang);
    let hook = [webhook::to(&endpoint, None)];
    let slow = Timing {
        request: Duration::from_secs(60),
        ..timing()
    };
    let deliver = world.deliver(&hook, slow).await;
    world.due(&[fresh(1, Reason::Opened, 0, "hook")]).await;
    endpoint
        .until("the hanging call", |e| e.taken().len() == 1)
        .await;
    deliver.stop(Duration::ZERO).await;
    world.reopen().await;
    let deliver = world.deliver(&hook, timing()).await;
    endpoint.until("the repeat", |e| e.taken().len() == 2).await;
    world.until_done().await;
    deliver.stop(PATIENCE).await;
    let ids: BTreeSet<String> = endpoint
        .taken()
        .iter()
        .map(|seen| seen.header("webhook-id").unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(endpoint.bodies()[0]["data"]["repeat"], false);
    assert_eq!(endpoint.bodies()[1]["data"]["repeat"], true);
}

/// What an unclear event may have told is not changed under its id: the change comes as its own.
#[tokio::test]
async fn news_do_not_go_into_an_event_that_may_have_arrived() {
    let (world, endpoint) = (World::new(), Endpoint::start(webhook::rule).await);
    endpoint.fault(Fault::TakenThen500);
    let slow = Timing {
        look: Duration::from_millis(100),
        ..timing()
    };
    let deliver = world.deliver(&[webhook::to(&endpoint, None)], slow).await;
    world.due(&[fresh(1, Reason::Opened, 0, "hook")]).await;
    endpoint
        .until("the opening", |e| e.taken().len() == 1)
        .await;
    world.due(&[fresh(1, Reason::Changed, 1, "hook")]).await;
    endpoint.until("the change", |e| e.taken().len() == 3).await;
    deliver.stop(PATIENCE).await;
    let told: Vec<String> = endpoint
        .bodies()
        .iter()
        .map(|b| b["type"].to_string())
        .collect();
    assert_eq!(
        told,
        [
            "\"incident.opened\"",
            "\"incident.opened\"",
            "\"incident.changed\""
        ]
    );
}

#[tokio::test]
async fn what_is_gone_is_not_tried_again_and_the_fallback_is_told() {
    let (world, endpoint, teams) = (
        World::new(),
        Endpoint::start(webhook::rule).await,
        Fake::teams().await,
    );
    endpoint.always(Some(Fault::Status(410)));
    let receivers = [
        webhook::to(&endpoint, Some("support")),
        crate::deliver::support(&teams),
    ];
    let deliver = world.deliver(&receivers, timing()).await;
    world.due(&[fresh(1, Reason::Opened, 0, "hook")]).await;
    teams.until("the card", |t| t.cards().len() == 1).await;
    world.due(&[fresh(2, Reason::Opened, 1, "hook")]).await;
    teams
        .until("the other card", |t| t.cards().len() == 2)
        .await;
    deliver.stop(PATIENCE).await;
    assert_eq!(endpoint.calls(), 2, "one try for each");
    let dead = world.store.undelivered().await.unwrap();
    assert!(
        dead.iter()
            .all(|d| d.error_class.as_deref() == Some("closed")),
        "{dead:?}"
    );
}

/// A text that is refused goes once more as the least there is, and then to the fallback.
#[tokio::test]
async fn a_refused_text_is_sent_reduced() {
    let (world, endpoint) = (World::new(), Endpoint::start(webhook::rule).await);
    endpoint.fault(Fault::Status(422));
    let deliver = world
        .deliver(&[webhook::to(&endpoint, None)], timing())
        .await;
    world.due(&[fresh(1, Reason::Opened, 0, "hook")]).await;
    endpoint.until("the event", |e| e.taken().len() == 1).await;
    world.until_done().await;
    deliver.stop(PATIENCE).await;
    let data = &endpoint.bodies()[0]["data"];
    assert_eq!(
        (&data["reduced"], data.get("cells")),
        (&Value::Bool(true), None)
    );
}

/// Who was told of an opening in another's place is told of its end.
#[tokio::test]
async fn the_fallback_hears_of_the_end_too() {
    let (world, endpoint, pager) = (
        World::new(),
        Endpoint::start(webhook::rule).await,
        Endpoint::start(pagerduty::rule).await,
    );
    endpoint.always(Some(Fault::Status(401)));
    let receivers = [
        webhook::to(&endpoint, Some("oncall")),
        pagerduty::to(&pager, None),
    ];
    let deliver = world.deliver(&receivers, timing()).await;
    world.due(&[fresh(1, Reason::Opened, 0, "hook")]).await;
    let of_incidents = |p: &Endpoint| {
        let about = |event: &Value| !event["dedup_key"].as_str().unwrap().contains("/channel/");
        p.bodies().into_iter().filter(about).count()
    };
    pager.until("the page", |p| of_incidents(p) == 1).await;
    // Somebody mends the signature, and the fallback has nothing to do with the rest of it.
    endpoint.always(None);
    endpoint
        .until("the opening", |e| e.taken().len() == 1)
        .await;
    world.due(&[fresh(2, Reason::Opened, 1, "hook")]).await;
    endpoint
        .until("another opening", |e| e.taken().len() == 2)
        .await;
    world.due(&[fresh(1, Reason::Resolved, 2, "hook")]).await;
    world.due(&[fresh(2, Reason::Resolved, 3, "hook")]).await;
    endpoint.until("both ends", |e| e.taken().len() == 4).await;
    pager.until("its end", |p| of_incidents(p) == 2).await;
    let nothing_open = |p: &Endpoint| pagerduty::open(&p.bodies()).is_empty();
    pager.until("the end of the trouble", nothing_open).await;
    world.until_done().await;
    deliver.stop(PATIENCE).await;
    assert_eq!(
        of_incidents(&pager),
        2,
        "the second incident was none of its business"
    );
}

/// Alertmanager forgets: what stands open comes again, over a restart too; what ended does not.
#[tokio::test]
async fn alertmanager_is_reminded_of_what_stands_open() {
    let (mut world, endpoint) = (World::new(), Endpoint::start(alertmanager::rule).await);
    let alerts = [alertmanager::to(&[&endpoint], None)];
    let quick = Timing {
        refresh: Duration::from_millis(20),
        ..timing()
    };
    let deliver = world.deliver(&alerts, quick.clone()).await;
    world.due(&[fresh(1, Reason::Opened, 0, "alerts")]).await;
    endpoint
        .until("three refreshes", |e| e.taken().len() >= 4)
        .await;
    let sent = endpoint.bodies();
    let same = |key: &str| sent.iter().all(|alerts| alerts[0][key] == sent[0][0][key]);
    assert!(same("labels") && same("annotations") && same("startsAt"));
    assert!(sent[3][0]["endsAt"].as_str() > sent[0][0]["endsAt"].as_str());
    deliver.stop(PATIENCE).await;

    // A restart with nothing due: it is sent again at once.
    world.reopen().await;
    let before = endpoint.taken().len();
    let deliver = world.deliver(&alerts, timing()).await;
    endpoint
        .until("a refresh", |e| e.taken().len() > before)
        .await;
    deliver.stop(PATIENCE).await;

    let deliver = world.deliver(&alerts, quick).await;
    world.due(&[fresh(2, Reason::Opened, 0, "alerts")]).await;
    world
        .resolve(1, &[fresh(1, Reason::Resolved, 1, "alerts")])
        .await;
    world.until_done().await;
    let before = endpoint.taken().len();
    endpoint
        .until("two more refreshes", |e| e.taken().len() >= before + 3)
        .await;
    deliver.stop(PATIENCE).await;
    // One refresh may have been under way when the end was told.
    for alerts in &endpoint.bodies()[before + 1..] {
        let names: Vec<&str> = alerts
            .as_array()
            .unwrap()
            .iter()
            .map(|a| a["labels"]["incident"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["INC-2"]);
    }
}

#[tokio::test]
async fn plain_mail_does_not_say_the_same_again() {
    let (world, server) = (World::new(), MailServer::start(Kind::StartTls).await);
    let mut receiver = email::to(&server, None);
    if let edgewatch::domain::notification::Channel::Email(mail) = &mut receiver.channel {
        mail.plain = true;
    }
    let deliver = world.deliver(&[receiver], timing()).await;
    for (sequence, reason) in [Reason::Opened, Reason::Changed, Reason::Resolved]
        .into_iter()
        .enumerate()
    {
        world
            .due(&[fresh(1, reason, sequence as u32, "mail")])
            .await;
        world.until_done().await;
    }
    deliver.stop(PATIENCE).await;
    assert_eq!(server.taken().len(), 2);
    assert_eq!(
        world.progress(1).await,
        [
            (Reason::Opened, Progress::Accepted),
            (Reason::Changed, Progress::Overtaken),
            (Reason::Resolved, Progress::Accepted)
        ]
    );
}

/// Without its secrets a receiver's messages go to the log, in the words of its readers.
#[tokio::test]
async fn without_secrets_the_log_is_the_channel() {
    let text = "version: 1\nservice: GMC\nclients: { c: x/1 }\nprobes: { p: { url: https://a.example/, every: 5m } }\n\
        notify: { receivers: { mail: { email: { host: localhost, username: { env: U }, password: { env: P }, \
        from: a@example.org, to: b@example.org, words: plain } } } }\n";
    let given = Given {
        env: HashMap::new(),
        root: String::new(),
    };
    let checked = config::read(text, "probes.yaml", &given).unwrap_or_else(|e| panic!("{e}"));
    let world = World::new();
    let deliver = world.deliver(&checked.plan.receivers, timing()).await;
    world.due(&[fresh(1, Reason::Opened, 0, "mail")]).await;
    world.until_printed(1).await;
    deliver.stop(PATIENCE).await;
    let printed = world.printed().remove(0);
    assert!(
        printed.contains("── to mail ──\nPROBLEM: Submitting"),
        "{printed}"
    );
    assert!(!printed.contains("Cloudflare"), "{printed}");
}

/// No secret is in any error, log line, file or message, whatever goes wrong.
#[tokio::test]
async fn secrets_stay_where_they_belong() {
    let log = Captured::default();
    let _listening = log.listen();
    let world = World::new();
    let hook = Endpoint::start(webhook::rule).await;
    let pager = Endpoint::start(pagerduty::rule).await;
    let alerts = Endpoint::start(alertmanager::rule).await;
    let mails = MailServer::start(Kind::StartTls).await;
    let faults = [
        Fault::Redirect,
        Fault::Page,
        Fault::TakenThenDropped,
        Fault::Status(401),
        Fault::Status(500),
        Fault::Hang,
    ];
    for fault in faults {
        for endpoint in [&hook, &pager, &alerts] {
            endpoint.fault(fault);
        }
    }
    for fault in [
        MailFault::Login("535 5.7.8 no"),
        MailFault::NoStartTls,
        MailFault::TakenThenDropped,
        MailFault::Silence,
    ] {
        mails.fault(fault);
    }
    let receivers = [
        webhook::to(&hook, None),
        pagerduty::to(&pager, None),
        alertmanager::to(&[&alerts], None),
        email::to(&mails, None),
    ];
    let deliver = world.deliver(&receivers, hasty()).await;
    let due: Vec<_> = ["hook", "oncall", "alerts", "mail"]
        .iter()
        .enumerate()
        .map(|(index, name)| fresh(1, Reason::Opened, index as u32, name))
        .collect();
    world.due(&due).await;
    world.until_done().await;
    deliver.stop(PATIENCE).await;
    let mut kept = log.0.lock().unwrap().clone();
    assert!(
        String::from_utf8_lossy(&kept).contains("not told yet"),
        "the log was captured"
    );
    kept.extend(format!("{:?}", world.printed()).bytes());
    kept.extend(format!("{:?}", world.store.show(1).await.unwrap()).bytes());
    kept.extend(format!("{receivers:?}").bytes());
    world.store.close().await;
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        kept.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    // What the others are sent.
    for seen in hook.taken().iter().chain(&alerts.taken()) {
        kept.extend(&seen.body);
    }
    for mail in mails.taken() {
        kept.extend(mail.text.bytes());
    }
    let kept = String::from_utf8_lossy(&kept);
    let key = webhook::KEY.strip_prefix("whsec_").unwrap();
    let login = STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
    for secret in [
        webhook::PATH,
        key,
        "signing-key-hunter22-webhook-32!",
        pagerduty::KEY,
        alertmanager::TOKEN,
        USER,
        PASSWORD,
        &login,
    ] {
        let found = kept.find(secret);
        let around = found.map(|at| &kept[kept.floor_char_boundary(at.saturating_sub(200))..at]);
        assert_eq!(found, None, "{secret}: {around:?}");
    }
}
