//! Silences and acknowledgements as people ask for them: by command, by button, with a daemon and without.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use edgewatch::app::asks::Wish;
use edgewatch::app::daemon::{self, Command, Options};
use edgewatch::app::load;
use edgewatch::clock;
use edgewatch::domain::action::Action;
use edgewatch::domain::cell::CellKey;
use edgewatch::domain::change::Change;
use edgewatch::domain::incident::{Incident, IncidentCell, State, Subject, Telling};
use edgewatch::domain::mute::{Matcher, Silence};
use edgewatch::domain::plan::StorePolicy;
use edgewatch::domain::verdict::Kind;
use edgewatch::store::Store;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::daemon::{Daemon, within};
use crate::fakes::{CHANNEL, Fake};
use crate::samples;
use crate::server::{Reply, Server};
use crate::world::{RULE, World, run};

fn policy() -> StorePolicy {
    StorePolicy {
        group: None,
        path: PathBuf::new(),
        keep: edgewatch::domain::plan::Keep::for_runs(Duration::from_secs(86_400)),
        bytes_max: 1 << 30,
    }
}

/// INC-1, open since a minute: `connect` refuses `legacy` from `de1`, and nobody was told.
fn incident(subject: &str, cell: &CellKey) -> Incident {
    let now = clock::now();
    let since = now - Duration::from_secs(60);
    let mut incident = samples::incident(1);
    incident.subject = Subject::Host(subject.to_owned());
    incident.probes = vec![cell.probe.clone()];
    (incident.onset_at, incident.opened_at) = (since, since);
    incident.diagnosis.failing = vec![cell.clone()];
    incident.diagnosis.passing.clear();
    incident.cells = vec![IncidentCell {
        asked: None,
        cell: cell.clone(),
        kind: Kind::EdgeBlock,
        failing: true,
        since,
        last_at: now,
    }];
    (incident.failing, incident.acknowledged) = (None, None);
    (incident.told, incident.last_told_at) = (0, None);
    incident.told_receivers.clear();
    incident.telling = Telling::default();
    incident
}

fn cell(probe: &str, egress: &str, client: &str, credential: &str) -> CellKey {
    CellKey {
        probe: probe.into(),
        egress: egress.into(),
        client: client.into(),
        credential: credential.into(),
    }
}

async fn keep(store: &Store, incident: Incident) {
    let change = Change {
        incident,
        timeline: Vec::new(),
        notifications: Vec::new(),
    };
    store.commit(change).await.unwrap();
}

/// The world's store with INC-1, and perhaps silenced.
async fn stored(world: &World, silenced: bool) {
    let path = world.directory.path().join("edgewatch.sqlite");
    let store = Store::open(&path, &policy()).unwrap().store;
    let subject = format!("connect.gmc.example:{}", world.partner.addr().port());
    let legacy = cell("connect", "de1", "legacy", "gmc");
    keep(&store, incident(&subject, &legacy)).await;
    if silenced {
        let now = clock::now();
        let silence = Silence {
            number: 0,
            matcher: Matcher {
                clients: vec!["legacy".into()],
                ..Matcher::default()
            },
            from: now,
            until: now + Duration::from_secs(3600),
            by: "ann".to_owned(),
            why: Some("agreed with the GMC".to_owned()),
            ended: None,
        };
        assert_eq!(store.add_silence(silence).await.unwrap().number, 1);
    }
    store.close().await;
}

async fn json(world: &World, arguments: &[&str]) -> (i32, Value) {
    let arguments = [arguments, &["--format", "json"]].concat();
    let (code, out, err) = run(world.command(&arguments)).await;
    let value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    (code, value)
}

#[tokio::test(flavor = "multi_thread")]
async fn silences_without_a_daemon() {
    let world = World::start().await;
    world.write("de1: 127.0.0.2", "1m", "");
    let add = ["silence", "add", "--for", "2h"];
    let (code, _, err) = run(world.command(&[&add[..], &["--everything"]].concat())).await;
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("no daemon has kept one there"), "{err}");
    stored(&world, false).await;

    let whole = [
        "--client",
        "legacy",
        "--probe",
        "connect",
        "--why",
        "planned\twork",
        "--who",
        "ann",
    ];
    let (code, added) = json(&world, &[&add[..], &whole].concat()).await;
    assert_eq!(code, 0, "{added}");
    assert_eq!(
        (
            &added["silence"],
            &added["clients"],
            &added["by"],
            &added["why"]
        ),
        (
            &1.into(),
            &serde_json::json!(["legacy"]),
            &"ann".into(),
            &"planned work".into()
        )
    );
    assert_eq!(added["muted_incidents"], serde_json::json!([1]));
    let mut other = world.command(&["silence", "add", "--for", "1d", "--client", "modern"]);
    other.env("USER", "bob").env_remove("SUDO_USER");
    let (code, out, _) = run(other).await;
    assert_eq!(code, 0);
    assert!(out.starts_with("silence 2: client modern, until "), "{out}");
    assert!(
        out.ends_with("INC-1 is open, and muted\n"),
        "by the other silence: {out}"
    );

    let (code, out, _) = run(world.command(&["silence"])).await;
    assert_eq!(code, 0);
    for word in [
        "probe connect, client legacy",
        "planned work",
        "client modern",
        "ann",
        "bob",
    ] {
        assert!(out.contains(word), "{word} in {out}");
    }

    // Wherever one looks, one sees what is muted, by whom and until when; no daemon has noted it yet.
    let until = added["until"].as_str().unwrap();
    let (_, listed) = json(&world, &["incidents", "list"]).await;
    let by = serde_json::json!(["silence 1 of ann (planned work)"]);
    assert_eq!(listed[0]["muted"]["by"], by, "{listed}");
    assert_eq!(listed[0]["muted"]["until"], until);
    let (_, out, _) = run(world.command(&["incidents"])).await;
    let muted = |out: &str| {
        let lines = out.lines().map(str::trim);
        let found = lines.filter(|l| l.starts_with("muted until ") || l.starts_with("quiet "));
        found.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let [line] = muted(&out).try_into().unwrap();
    assert!(
        line.ends_with(" by silence 1 of ann (planned work)"),
        "{out}"
    );
    let (_, out, _) = run(world.command(&["incidents", "show", "1"])).await;
    let [line] = muted(&out).try_into().unwrap();
    assert!(
        line.contains("muted until ") && line.ends_with("(planned work)"),
        "{out}"
    );
    let (_, status) = json(&world, &["status"]).await;
    assert_eq!(status["silences"][0], json(&world, &["silence"]).await.1[0]);
    assert_eq!(
        status["silences"][1]["clients"],
        serde_json::json!(["modern"])
    );
    assert_eq!(status["incidents"][0]["muted"]["by"], by, "{status}");
    assert_eq!(status["maintenance"], serde_json::json!([]));
    let (_, out, _) = run(world.command(&["status"])).await;
    assert!(
        out.contains(": probe connect, client legacy; by ann (planned work)\n"),
        "{out}"
    );
    assert_eq!(muted(&out).len(), 1, "{out}");

    let (code, ended) = json(&world, &["silence", "end", "1", "--who", "eve"]).await;
    assert_eq!(
        (code, &ended["in_force"], &ended["ended"]["by"]),
        (0, &false.into(), &"eve".into())
    );
    let (code, out, _) = run(world.command(&["silence", "end", "1"])).await;
    assert_eq!((code, out.as_str()), (1, "silence 1 was over already\n"));
    let (code, _, err) = run(world.command(&["silence", "end", "9"])).await;
    assert_eq!(code, 1);
    assert!(err.contains("there is no silence 9"), "{err}");
    let (_, listed) = json(&world, &["silence", "list"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    let (_, listed) = json(&world, &["silence", "list", "--all"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_silence_nothing_or_too_much_is_refused() {
    let world = World::start().await;
    world.write("de1: 127.0.0.2", "1m", "");
    stored(&world, false).await;
    for (arguments, expected) in [
        (&["--for", "2h"][..], "what is to be silenced?"),
        (
            &["--for", "2h", "--probe", "conect"],
            "there is no probe \"conect\" in the file; there are: connect, internet",
        ),
        (
            &["--for", "2h", "--egress", "de2"],
            "there is no egress \"de2\"",
        ),
        (
            &["--for", "2h", "--client", "x"],
            "there is no client \"x\"",
        ),
        (
            &["--for", "2h", "--verdict", "pass"],
            "\"pass\" is no verdict that fails; there are: edge_block",
        ),
        (
            &["--for", "2h", "--incident", "one"],
            "\"one\" is no incident number",
        ),
        (
            &["--for", "2", "--probe", "connect"],
            "--for \"2\" is no time; write \"2s\"",
        ),
        (
            &["--for", "31d", "--probe", "connect"],
            "is not between 1m and 30d",
        ),
        (
            &["--for", "2h", "--probe", "connect", "--everything"],
            "cannot be used with",
        ),
    ] {
        let (code, _, err) = run(world.command(&[&["silence", "add"], arguments].concat())).await;
        assert_eq!(code, 2, "{arguments:?}: {err}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
    }
    let (_, listed) = json(&world, &["silence", "list", "--all"]).await;
    assert_eq!(listed, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_hears_of_silences_and_acknowledgements() {
    let world = World::start().await;
    let (slack, teams) = (Fake::slack().await, Fake::teams().await);
    let notify = format!(
        "notify: {{ receivers: {{ engineers: {{ slack: {{ token: {{ env: SLACK_BOT_TOKEN }}, channel: {CHANNEL}, api: \"{}\" }} }} }} }}",
        slack.api()
    );
    world.write("de1: 127.0.0.2", "1s", &notify);
    world.partner.switch(RULE, true);
    stored(&world, true).await;

    // Noted while nobody runs; the next that runs takes it.
    let (code, noted) = json(&world, &["incidents", "ack", "INC-1", "--who", "ann"]).await;
    assert_eq!((code, &noted["state"]), (0, &"noted".into()), "{noted}");
    let daemon = Daemon::start(&world, &teams);
    within("three rounds", async { drop(world.partner.seen(6).await) }).await;
    assert!(slack.messages().is_empty(), "{:?}", slack.messages());
    let (code, incident) = json(&world, &["incidents", "show", "1"]).await;
    assert_eq!(code, 1, "open: {incident}");
    assert_eq!(incident["acknowledged"]["by"], "ann", "{incident}");
    let (_, out, _) = run(world.command(&["incidents"])).await;
    assert!(out.contains("acknowledged by ann, "), "{out}");
    let (_, status) = json(&world, &["status"]).await;
    assert_eq!(status["incidents"][0]["acknowledged"]["by"], "ann");
    let vitals = &status["daemon"]["vitals"];
    assert_eq!(vitals["silences"][0]["what"], "client legacy", "{status}");
    assert_eq!(vitals["silences"][0]["why"], "agreed with the GMC");
    assert_eq!(
        incident["muted"]["by"],
        serde_json::json!(["silence 1 of ann (agreed with the GMC)"])
    );

    let (code, _, err) = run(world.command(&["silence", "end", "1"])).await;
    assert_eq!(code, 0, "{err}");
    within("the opening", slack.eventually(|s| s.parents().len() == 1)).await;
    let text = slack.parents()[0].body.to_string();
    assert!(text.contains("Acknowledged by ann"), "{text}");
    assert!(
        text.contains("Told only now: muted by silence 1 of ann (agreed with the GMC)"),
        "{text}"
    );

    let (code, taken) = json(&world, &["incidents", "ack", "1", "--who", "bob"]).await;
    assert_eq!((code, &taken["state"]), (0, &"acknowledged".into()));
    within(
        "who took over",
        slack.eventually(|s| {
            s.replies()
                .iter()
                .any(|r| r.body.to_string().contains("ACKNOWLEDGED by bob"))
        }),
    )
    .await;
    assert!(
        slack.parents()[0]
            .body
            .to_string()
            .contains("Acknowledged by bob")
    );

    // Let go of again, with a note of what was done; both stand in the story, and in the post-mortem.
    let (code, note) = json(
        &world,
        &[
            "incidents",
            "note",
            "INC-1",
            "rang the GMC,\nticket 123",
            "--who",
            "bob",
        ],
    )
    .await;
    assert_eq!((code, &note["state"]), (0, &"noted".into()), "{note}");
    let (code, out, _) = run(world.command(&["incidents", "unack", "1", "--who", "bob"])).await;
    assert_eq!(
        (code, out.as_str()),
        (0, "INC-1: nobody looks after it any more\n")
    );
    within(
        "that nobody looks after it",
        slack.eventually(|s| {
            let texts = s.replies();
            let told = |m: &crate::fakes::SlackMessage| {
                m.body.to_string().contains("NO LONGER ACKNOWLEDGED")
            };
            texts.iter().any(told) && !s.parents()[0].body.to_string().contains("Acknowledged by")
        }),
    )
    .await;
    let (code, again) = json(&world, &["incidents", "unack", "1"]).await;
    assert_eq!(
        (code, &again["state"]),
        (1, &"not acknowledged".into()),
        "{again}"
    );
    let (_, incident) = json(&world, &["incidents", "show", "1"]).await;
    assert_eq!(incident["acknowledged"], Value::Null, "{incident}");
    let entries = incident["timeline"].as_array().unwrap();
    let noted = entries
        .iter()
        .find(|entry| entry["what"] == "note")
        .unwrap();
    assert_eq!(noted["text"], "rang the GMC, ticket 123 (bob)");
    let (_, out, _) = run(world.command(&["postmortem", "1"])).await;
    assert!(
        out.contains("Note: rang the GMC, ticket 123 (bob)"),
        "{out}"
    );
    assert!(out.contains("| Bob no longer looks after it |"), "{out}");
    let (_, out, _) = run(world.command(&["incidents", "show", "1"])).await;
    assert!(
        out.contains("note         rang the GMC, ticket 123 (bob)"),
        "{out}"
    );

    // On a narrow terminal nothing is broken within a word.
    for command in [&["status"][..], &["incidents"], &["incidents", "show", "1"]] {
        let mut narrow = world.command(command);
        narrow.env("COLUMNS", "40");
        let (_, out, _) = run(narrow).await;
        let words = |text: &str| text.split_whitespace().count();
        let wide = out
            .lines()
            .find(|line| line.chars().count() > 40 && words(line) > 1);
        assert_eq!(wide, None, "{out}");
    }

    // The message that stands there shows a silence, who asked for it, and its end; nobody is told.
    let messages = slack.messages().len();
    let add = [
        "silence",
        "add",
        "--incident",
        "1",
        "--for",
        "1h",
        "--who",
        "eve",
    ];
    let (code, _, err) = run(world.command(&add)).await;
    assert_eq!(code, 0, "{err}");
    let shows = |s: &Fake, word: &str| s.parents()[0].body.to_string().contains(word);
    within(
        "silenced",
        slack.eventually(|s| shows(s, "*SILENCED until ")),
    )
    .await;
    assert!(shows(
        &slack,
        "Muted by silence 2 of eve; to end that: `edgewatch silence end 2`"
    ));
    let (code, _, err) = run(world.command(&["silence", "end", "2"])).await;
    assert_eq!(code, 0, "{err}");
    within("no longer", slack.eventually(|s| !shows(s, "SILENCED"))).await;
    assert_eq!(slack.messages().len(), messages);
    assert_eq!(daemon.stop().await, 0);

    let (code, _, err) = run(world.command(&["incidents", "ack", "2"])).await;
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("there is no incident INC-2"), "{err}");
}

/// Maintenance that goes on is shown with its effect, and so is what it does to an incident.
#[tokio::test(flavor = "multi_thread")]
async fn maintenance_is_shown_where_people_look() {
    let world = World::start().await;
    world.write("de1: 127.0.0.2", "1m", "");
    stored(&world, false).await;
    for (effect, told) in [
        ("mute", "told to nobody"),
        ("annotate", "mentioned in messages"),
    ] {
        // Begins every hour and goes on for one: now is always within.
        let window = format!(
            "maintenance: [{{ name: weekend work, cron: \"0 * * * *\", for: 1h, probes: [connect], effect: {effect} }}]"
        );
        world.write("de1: 127.0.0.2", "1m", &window);
        let (_, out, err) = run(world.command(&["status"])).await;
        let line = format!(": probe connect; {told}\n");
        assert!(
            out.contains("  maintenance weekend work  until "),
            "{out}{err}"
        );
        assert!(out.contains(&line), "{out}");
        let (_, status) = json(&world, &["status"]).await;
        assert_eq!(status["maintenance"][0]["effect"], effect);
        let incident = &status["incidents"][0];
        let (muted, during) = (
            &incident["muted"]["by"][0],
            &incident["during_maintenance"][0],
        );
        let (_, out, _) = run(world.command(&["incidents"])).await;
        if effect == "mute" {
            assert_eq!(muted, "maintenance weekend work");
            assert!(out.contains(" by maintenance weekend work\n"), "{out}");
        } else {
            assert_eq!(during, "weekend work");
            assert!(out.contains("during maintenance weekend work\n"), "{out}");
        }
    }
}

/// A button's wishes go the same way, and a silence is on the disk before it is in force.
#[tokio::test(flavor = "multi_thread")]
async fn buttons_are_heard() {
    let partner = Server::http(|_| Reply::new(403).body("no")).await;
    let directory = crate::kept::folder();
    let path = directory.path().join("edgewatch.sqlite");
    let text = format!(
        "version: 1\nservice: TEST\nclients: {{ a: A/1, b: B/1 }}\nprobes: {{ page: {{ url: \"http://{}/\", every: 1s }} }}\nstore: {{ path: \"{}\" }}\n",
        partner.address,
        path.display()
    );
    let config = directory.path().join("probes.yaml");
    std::fs::write(&config, text).unwrap();
    let store = Store::open(&path, &policy()).unwrap().store;
    let page = cell("page", "default", "a", "anonymous");
    keep(&store, incident(&partner.address.to_string(), &page)).await;
    store.close().await;

    let (buttons, clicks) = mpsc::channel(4);
    let (commands, wanted) = mpsc::channel(1);
    let options = Options {
        on_disk: None,
        sites: None,
        source: None,
        refused: None,
        lead: None,
        record: None,
        plan: load::load(&config).unwrap().plan,
        config: None,
        started: None,
        messages: Arc::new(|_: &str| {}),
        actions: Some((buttons.clone(), clicks)),
    };
    let task = tokio::spawn(daemon::run(options, wanted));
    let at = clock::now();
    let silence = Action::Silence {
        incident: 1,
        lasting: Duration::from_secs(3600),
        who: "ann in Slack".to_owned(),
        at,
    };
    let acknowledge = Action::Acknowledge {
        incident: 1,
        who: "ann in Slack".to_owned(),
        at,
    };
    let press = |action: Action| {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let buttons = buttons.clone();
        async move {
            buttons.send(Wish { action, answer }).await.unwrap();
            answered.await.unwrap()
        }
    };
    // An incident that does not exist may come to be one day, and is not silenced beforehand.
    let Action::Silence { lasting, who, .. } = silence.clone() else {
        unreachable!()
    };
    let nobodys = Action::Silence {
        incident: 2,
        lasting,
        who,
        at,
    };
    let why = press(nobodys).await.unwrap_err();
    assert!(
        why.starts_with("edgewatch knows no INC-2, so nothing was done"),
        "{why}"
    );
    // Twice: two people, or one before and one after a restart.
    assert_eq!(press(silence.clone()).await, Ok(()));
    assert_eq!(press(silence).await, Ok(()));
    assert_eq!(press(acknowledge.clone()).await, Ok(()));
    let reader = || Store::read_only(&path).ok();
    let shown = || reader().and_then(|reader| reader.show(1).ok()?);
    within("both in the store", async {
        loop {
            let done = shown().is_some_and(|shown| {
                let incident = shown.incident;
                incident.acknowledged.is_some() && incident.telling.muted.is_some()
            });
            if done {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let incident = shown().unwrap().incident;
    assert_eq!(incident.acknowledged.unwrap().by, "ann in Slack");
    assert_eq!(
        incident.telling.muted.unwrap().by,
        ["silence 1 of ann in Slack"]
    );
    let [kept] = reader().unwrap().silences().unwrap().try_into().unwrap();
    let kept: Silence = kept;
    assert_eq!(
        (kept.matcher.incidents, kept.until),
        (vec![1], at + Duration::from_secs(3600))
    );
    // It is fixed, and whoever presses then hears so.
    let mut over = shown().unwrap().incident;
    (over.state, over.resolved_at) = (State::Resolved, Some(clock::now()));
    commands.send(Command::Stop).await.unwrap();
    task.await.unwrap().unwrap();
    let store = Store::open(&path, &policy()).unwrap().store;
    keep(&store, over).await;
    let (wishes, clicks) = mpsc::channel(4);
    let asks = edgewatch::app::asks::Asks::start(store.clone(), Vec::new(), Some(clicks));
    let (answer, answered) = tokio::sync::oneshot::channel();
    let action = acknowledge;
    wishes.send(Wish { action, answer }).await.unwrap();
    assert_eq!(
        answered.await.unwrap(),
        Err("INC-1 is fixed, so there is nothing to acknowledge or to silence.".to_owned())
    );
    asks.stop();
    store.close().await;
}
