//! A file that is edited while the partner refuses: nobody reads a green word, on whatever road.
//!
//! The file is text, read as the daemon reads it; the partner knows user agents and its own host, and nothing of our
//! names. What the rules decide is kept, and every message, letter, page and document is looked through.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edgewatch::config::{self, Inputs};
use edgewatch::dashboard::{self, Pages, Source};
use edgewatch::domain::habits::Past;
use edgewatch::domain::notification::{Notification, Reason, Templates};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::probe::Probe;
use edgewatch::domain::secret::Secret;
use edgewatch::domain::verdict::Kind;
use edgewatch::dossier;
use edgewatch::machine::driver::Driver;
use edgewatch::machine::{Effect, Event, Known, Machine, Start};
use edgewatch::notify::slack::Slack;
use edgewatch::notify::{alertmanager, log, pagerduty, plain, teams, webhook};
use edgewatch::report::{incidents, pack, postmortem};
use edgewatch::store::Store;
use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use crate::deliver::World;
use crate::escaping::mail;
use crate::everything::{Wanted, judged};
use crate::fakes::{CHANNEL, Fake, TOKEN};
use crate::pages;
use crate::receivers::email::readable;
use crate::samples;
use crate::slack::message;

/// What the partner refuses: this user agent, at this host.
const REFUSED: &str = "Java/1.8.0_275";
const HOST: &str = "api.acme.example";

/// What says to a person that it is over or well.
const GREEN: [&str; 11] = [
    "fixed",
    "resolved",
    "working again",
    "works again",
    "pass again",
    "passes again",
    "passed again",
    "has passed",
    "is over",
    "it was over",
    "all is well",
];

/// What says the opposite in the same words.
const DOUBT: [&str; 5] = [
    "whether it is over",
    "when it works again",
    "don't take it for fixed",
    "don't take it for over",
    "\"resolved\":[",
];

/// One edit of the file.
#[derive(Debug, Clone, Copy)]
enum Edit {
    /// The refused client is called otherwise, or is away.
    Name(Option<&'static str>),
    /// What it was called before.
    Was(Option<&'static str>),
    /// What it sends.
    Agent(&'static str),
    /// The probe is called otherwise, or is away.
    Probe(Option<&'static str>),
    /// Where it asks.
    Host(&'static str),
    /// Whether it stands in a partner's block.
    Block(bool),
    /// Whether its secret is there.
    Secret(bool),
    /// Whether the second egress is there.
    Both(bool),
    /// How often it asks.
    Every(&'static str),
    /// What it expects.
    Expect(&'static str),
    /// How much it matters.
    Severity(&'static str),
    /// Saved without a change.
    Nothing,
}

const EDITS: [Edit; 25] = [
    Edit::Name(None),
    Edit::Name(Some("legacy")),
    Edit::Name(Some("batch")),
    Edit::Was(Some("batch")),
    Edit::Was(None),
    Edit::Agent("Java/11.0.10"),
    Edit::Agent(REFUSED),
    Edit::Probe(None),
    Edit::Probe(Some("orders")),
    Edit::Probe(Some("payments")),
    Edit::Host("api.other.example"),
    Edit::Host(HOST),
    Edit::Block(true),
    Edit::Block(false),
    Edit::Secret(false),
    Edit::Secret(true),
    Edit::Both(false),
    Edit::Both(true),
    Edit::Every("1m"),
    Edit::Every("5m"),
    Edit::Expect("{ status: 200 }"),
    Edit::Expect("{ status: 200, latency: 5s }"),
    Edit::Severity("critical"),
    Edit::Severity("warning"),
    Edit::Nothing,
];

/// The file in parts that are edited.
#[derive(Debug, Clone)]
struct File {
    client: Option<&'static str>,
    was: Option<&'static str>,
    agent: &'static str,
    probe: Option<&'static str>,
    host: &'static str,
    block: bool,
    secret: bool,
    both: bool,
    every: &'static str,
    expect: &'static str,
    severity: &'static str,
}

impl File {
    fn first() -> Self {
        Self {
            client: Some("batch"),
            was: None,
            agent: REFUSED,
            probe: Some("payments"),
            host: HOST,
            block: false,
            secret: true,
            both: true,
            every: "5m",
            expect: "{ status: 200 }",
            severity: "warning",
        }
    }

    fn edit(&mut self, edit: Edit) {
        match edit {
            Edit::Name(name) => self.client = name,
            Edit::Was(was) => self.was = was,
            Edit::Agent(agent) => self.agent = agent,
            Edit::Probe(name) => self.probe = name,
            Edit::Host(host) => self.host = host,
            Edit::Block(block) => self.block = block,
            Edit::Secret(there) => self.secret = there,
            Edit::Both(both) => self.both = both,
            Edit::Every(every) => self.every = every,
            Edit::Expect(expect) => self.expect = expect,
            Edit::Severity(severity) => self.severity = severity,
            Edit::Nothing => {}
        }
    }

    fn text(&self) -> String {
        let mut text =
            String::from("version: 1\nservice: Acme\ntimezone: Europe/London\negresses:\n");
        text.push_str("  a: { address: 127.0.0.2, public: 203.0.113.2 }\n");
        if self.both {
            text.push_str("  b: { address: 127.0.0.3, public: 203.0.113.3 }\n");
        }
        text.push_str("clients:\n  website: Java/21.0.2\n");
        if let Some(name) = self.client {
            let was = self.was.filter(|was| *was != name);
            let was = was.map_or(String::new(), |was| format!(", was: {was}"));
            let _ = writeln!(text, "  {name}: {{ user_agent: \"{}\"{was} }}", self.agent);
        }
        text.push_str("  plain: { user_agent: edgewatch, control: true }\n");
        text.push_str("credentials: { acct: { token: { env: ACCT } } }\n");
        let (every, expect) = (self.every, self.expect);
        let rest = |place: &str| {
            format!(
                "{{ {place}, every: {every}, with: [acct], headers: {{ Authorization: \"Bearer {{{{ credential.token }}}}\" }}, \
                 expect: {expect}, severity: {}, words: {{ what: Paying with Acme, affects: Customers }} }}",
                self.severity
            )
        };
        let other = "  other: { url: \"https://www.third.example/\", every: 5m, words: { what: Another } }\n";
        match self.probe {
            Some(name) if self.block => {
                let probe = rest("path: /v1");
                let _ = writeln!(
                    text,
                    "partners:\n  acme: {{ host: {}, probes: {{ {name}: {probe} }} }}\nprobes:\n{other}",
                    self.host
                );
            }
            Some(name) => {
                let probe = rest(&format!("url: \"https://{}/v1\"", self.host));
                let _ = writeln!(text, "probes:\n  {name}: {probe}\n{other}");
            }
            None => {
                let _ = writeln!(text, "probes:\n{other}");
            }
        }
        text.push_str(
            r#"controls: { internet: { url: "https://www.control.example/", every: 2m } }
incidents: { remind: [20m, 40m] }
notify:
  receivers: { engineers: { log: {} }, support: { log: {} } }
  routes: [{ to: engineers }, { to: support, after: 10m, min_confidence: 0.9 }]
"#,
        );
        text
    }

    fn plan(&self) -> Plan {
        let text = self.text();
        match config::read(&text, "probes.yaml", self) {
            Ok(checked) => checked.plan,
            Err(findings) => panic!("{findings}\n{text}"),
        }
    }
}

impl Inputs for File {
    fn env(&self, name: &str) -> Option<String> {
        (name == "ACCT" && self.secret).then(|| "hunter22hunter22".to_owned())
    }

    fn file(&self, _: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// The world in which it is edited.
struct Story {
    file: File,
    plan: Arc<Plan>,
    driver: Driver,
    wanted: Wanted,
    world: World,
    slack: Fake,
    to_slack: Slack,
    parents: std::collections::BTreeMap<u64, edgewatch::notify::slack::Parent>,
    start: Timestamp,
    second: i64,
    refuses: bool,
    told: Vec<Reason>,
    wrong: BTreeSet<String>,
}

impl Story {
    async fn new() -> Self {
        let file = File::first();
        let plan = Arc::new(file.plan());
        let start: Timestamp = "2026-11-22T02:00:00Z".parse().unwrap();
        let slack = Fake::slack().await;
        let patience = Duration::from_secs(20);
        let to_slack =
            Slack::with_timeout(&slack.api(), Secret::new(TOKEN), CHANNEL, None, patience);
        Self {
            file,
            driver: Driver::new(Machine::new(Arc::clone(&plan), Known::default(), start)),
            plan,
            wanted: Wanted::default(),
            world: World::new(),
            slack,
            to_slack: to_slack.unwrap(),
            parents: std::collections::BTreeMap::new(),
            start,
            second: 0,
            refuses: false,
            told: Vec::new(),
            wrong: BTreeSet::new(),
        }
    }

    fn now(&self) -> Timestamp {
        self.start + SignedDuration::from_secs(self.second)
    }

    fn shown(&self, start: &Start) -> Kind {
        let client = self.plan.client(&start.cell.client);
        let agent = client.map(|client| client.user_agent.as_str());
        let host = self.plan.probe(&start.cell.probe).map(Probe::host);
        if self.refuses && agent == Some(REFUSED) && host.as_deref() == Some(HOST) {
            Kind::EdgeBlock
        } else {
            Kind::Pass
        }
    }

    /// When the rules want to be asked again; not before now.
    fn wake(&self) -> i64 {
        let wake = self.driver.wake().unwrap_or(self.start);
        let ahead = wake.duration_since(self.start).as_secs_f64().ceil() as i64;
        ahead.max(self.second)
    }

    async fn pass(&mut self, seconds: i64) {
        let until = self.second + seconds;
        while self.wake() <= until {
            self.second = self.wake();
            self.feed(Event::Tick).await;
            while let Some(start) = self.wanted.starts.pop() {
                let judged = Arc::new(judged(&start, self.shown(&start), self.now()));
                let run = start.run;
                self.feed(Event::Ended { run, judged }).await;
            }
        }
        self.second = until;
    }

    async fn feed(&mut self, event: Event) {
        self.driver.step(event, self.now(), &mut self.wanted);
        for effect in std::mem::take(&mut self.wanted.effects) {
            match effect {
                Effect::Save(change) => {
                    let change = *change;
                    self.world.store.commit(change.clone()).await.unwrap();
                    for note in &change.notifications {
                        self.tell(note).await;
                    }
                }
                Effect::Learned(learned) => self.world.store.learn(*learned).await.unwrap(),
                _ => {}
            }
        }
    }

    async fn edit(&mut self, edit: Edit, restart: bool) {
        self.file.edit(edit);
        self.plan = Arc::new(self.file.plan());
        if restart {
            let store = self.world.store.clone();
            let known = store.load_open().await.unwrap();
            let (memory, _) = store.remember().await.unwrap();
            let known = Known {
                spent: Vec::new(),
                incidents: known.incidents,
                next_number: known.next_number,
                silences: Vec::new(),
                memory,
                past: Past::of(&store.incidents(None, 100).await.unwrap()),
            };
            let machine = Machine::new(Arc::clone(&self.plan), known, self.now());
            self.driver = Driver::new(machine);
            self.wanted = Wanted::default();
        } else {
            self.feed(Event::PlanReplaced(Arc::clone(&self.plan))).await;
        }
    }

    /// Tells it on every road.
    async fn tell(&mut self, note: &Notification) {
        self.told.push(note.reason);
        let message = message(note);
        let parent = self.parents.remove(&note.incident);
        let before = self.slack.messages().len();
        let sent = self.to_slack.tell(&message, parent, None).await;
        sent.result.unwrap();
        self.parents
            .extend(sent.parent.map(|parent| (note.incident, parent)));
        if !self.refuses {
            return;
        }
        let posts: Vec<Value> = self.slack.messages().into_iter().map(|m| m.body).collect();
        for post in posts.iter().skip(before.saturating_sub(1)) {
            self.look("Slack", &post.to_string());
        }
        let card = teams::payload(&message).to_string();
        let style = card.contains("\"good\"");
        self.look("Teams", &card);
        self.hold("Teams", !style, "a green card");
        let hook = webhook::payload(&message).to_string();
        self.look("webhook", &hook.replace("\"resolved_at\"", ""));
        let page = pagerduty::payload(&message);
        self.look("PagerDuty", &page.to_string());
        self.hold(
            "PagerDuty",
            page["event_action"] != "resolve",
            "an alert that ends",
        );
        let alert = alertmanager::standing(&message, &[], None).alert(message.now);
        self.look("Alertmanager", &alert.to_string());
        self.look("plain words", &plain::text(&message, &Templates::default()));
        self.look("log", &log::text_with_evidence(&message));
        let letter = mail().letter(&message).unwrap();
        self.look("mail", &readable(&letter));
    }

    /// What is kept, as letters, documents and pages show it.
    async fn read(&mut self) {
        let path = self.world.folder.path().join("edgewatch.sqlite");
        let reader = Store::read_only(&path).unwrap();
        let (plan, now) = (Arc::clone(&self.plan), self.now());
        let mut paths = vec![
            "/".to_owned(),
            "/incidents".to_owned(),
            "/status".to_owned(),
        ];
        for incident in self.world.store.incidents(None, 100).await.unwrap() {
            let dossier = dossier::gather(&plan, &reader, incident.number, now).unwrap();
            let dossier = dossier.unwrap();
            let (briefing, timeline) = (&dossier.briefing, &dossier.timeline);
            let story = incidents::story(&incident, briefing, timeline, &plan.zone, now, false);
            self.look("terminal", &story);
            let json = incidents::json(&incident, briefing, timeline).to_string();
            self.look("incident as JSON", &json.replace("\"resolved_at\"", ""));
            self.look("letter", &pack::text(&dossier));
            self.look("post-mortem", &postmortem::text(&dossier));
            paths.push(format!("/incidents/{}", incident.number));
        }
        let bound = dashboard::bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let source = Source::Copy {
            plan: Arc::clone(&plan),
        };
        let listener = bound.serve(Pages::new(
            source,
            path,
            edgewatch::domain::web::Web::default(),
        ));
        let address = listener.url().parse::<url::Url>().unwrap();
        let address = ([127, 0, 0, 1], address.port().unwrap()).into();
        for path in paths {
            let page = pages::get(address, &path).await;
            assert_eq!(page.status, 200, "{path}");
            self.look(&path, &page.body);
        }
        listener.stop().await;
    }

    fn look(&mut self, road: &str, text: &str) {
        let mut low = text.to_lowercase();
        for doubt in DOUBT {
            low = low.replace(doubt, "");
        }
        for word in GREEN {
            for (place, _) in low.match_indices(word) {
                let begins = !low[..place].ends_with(|c: char| c.is_alphanumeric());
                let ends = !low[place + word.len()..].starts_with(|c: char| c.is_alphanumeric());
                if begins && ends {
                    let before: Vec<char> = low[..place].chars().rev().take(90).collect();
                    let before: String = before.iter().rev().collect();
                    let behind: String = low[place..].chars().take(60).collect();
                    let minute = self.second / 60;
                    self.wrong
                        .insert(format!("{road} ({minute} min): …{before}{behind}…"));
                }
            }
        }
    }

    fn hold(&mut self, road: &str, holds: bool, what: &str) {
        if !holds {
            self.wrong
                .insert(format!("{road} ({} min): {what}", self.second / 60));
        }
    }
}

async fn play(edits: &[(Edit, i64, bool)]) -> Vec<String> {
    let mut story = Box::pin(Story::new()).await;
    story.pass(1200).await;
    story.refuses = true;
    story.pass(1800).await;
    assert!(story.told.contains(&Reason::Opened), "{:?}", story.told);
    for (edit, wait, restart) in edits {
        story.edit(*edit, *restart).await;
        story.pass(*wait).await;
        Box::pin(story.read()).await;
    }
    let file = File::first();
    // A test that could not fail would be none: what is over is told so.
    story.file = file;
    story.edit(Edit::Nothing, false).await;
    story.pass(2000).await;
    story.refuses = false;
    story.pass(9000).await;
    story.hold(
        "the end",
        story.told.contains(&Reason::Resolved),
        "FIXED was never told",
    );
    story.world.store.close().await;
    story.wrong.into_iter().collect()
}

proptest! {
    #![proptest_config(samples::cases(16))]

    #[test]
    fn no_road_has_a_green_word_while_the_partner_refuses(
        edits in vec((select(&EDITS[..]), 30i64..2500, any::<bool>()), 1..7),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let wrong = runtime.unwrap().block_on(play(&edits));
        prop_assert!(wrong.is_empty(), "{edits:#?}\n{}", wrong.join("\n"));
    }
}
