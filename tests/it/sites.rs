//! A hub and its agents, over a real nats-server that is cut off, killed and asked for what it must not give.

pub(crate) mod nats;

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream;
use edgewatch::app::agent::{self, Standing};
use edgewatch::app::daemon::{self, Command, Started};
use edgewatch::app::site_plan::Rules;
use edgewatch::app::{load, sites};
use edgewatch::clock;
use edgewatch::domain::cell::CellKey;
use edgewatch::domain::incident::{Incident, State};
use edgewatch::domain::past::PastRun;
use edgewatch::domain::site::{NOTE, Nats as Server, Sites};
use edgewatch::domain::subject::Subject;
use edgewatch::domain::verdict::Kind;
use edgewatch::link::connect::{self, Identity, Link};
use edgewatch::link::rights::{self, Init};
use edgewatch::link::spool::Bounds;
use edgewatch::store::{Follower, Kept, Store};
use edgewatch::wire::plan::SitePlan;
use edgewatch::wire::{batch, subjects};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::kept;
use crate::server::{Reply, Server as Partner};
use crate::world::{program, run};
use nats::{Mode, Nats, Proxy};

/// For what comes in a second or two; generous, because machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event)
        .await
        .unwrap_or_else(|_| panic!("never came: {what}"))
}

/// The address from which the agent sends; the hub's own is 127.0.0.1.
const FAR: &str = "127.0.0.2";
const OF_HUB: &str = "hunter2-of-the-hub";
const OF_SITE: &str = "hunter2-of-the-site";

/// A partner, a server between hub and site, and a folder each.
struct Place {
    partner: Partner,
    /// The partner refuses what comes from the site.
    refuses: Arc<AtomicBool>,
    nats: Nats,
    hub: TempDir,
    site: TempDir,
}

impl Place {
    async fn new() -> Self {
        let refuses = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&refuses);
        let partner = Partner::http(move |seen| {
            let key = seen.header("x-key").unwrap_or_default().to_owned();
            let far = seen.peer.ip() == FAR.parse::<IpAddr>().unwrap();
            // It says what it was told, as bad servers do.
            if far && switch.load(Ordering::SeqCst) {
                Reply::new(403).body(format!("no entry for {key}"))
            } else {
                Reply::new(200).header("x-told", &key).body("yes")
            }
        })
        .await;
        let (hub, site) = (kept::folder(), kept::folder());
        for (folder, secret) in [(&hub, OF_HUB), (&site, OF_SITE)] {
            std::fs::create_dir(folder.path().join("secrets")).unwrap();
            std::fs::write(folder.path().join("secrets/key"), secret).unwrap();
        }
        Self {
            nats: Nats::plain(site.path()),
            partner,
            refuses,
            hub,
            site,
        }
    }

    fn config(&self) -> PathBuf {
        self.hub.path().join("probes.yaml")
    }

    fn store(&self) -> PathBuf {
        self.hub.path().join("edgewatch.sqlite")
    }

    fn write(&self, more: &str) {
        let text = format!(
            r#"version: 1
service: TEST
nats: {{ url: "nats://{nats}" }}
egresses:
  here: {{ address: 127.0.0.1 }}
  far: {{ site: far, address: {FAR} }}
clients: {{ a: A/1 }}
credentials: {{ key: {{ value: {{ file: secrets/key }} }} }}
probes:
  page:
    url: "http://{partner}/page"
    headers: {{ X-Key: "{{{{ credential.value }}}}" }}
    with: key
    every: 1s
    timeout: 900ms
{more}
politeness: {{ per_host: {{ requests_per_minute: 6000, gap: 0s }} }}
web: none
store: {{ path: "{store}" }}
"#,
            nats = self.nats.address,
            partner = self.partner.address,
            store = self.store().display(),
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// Requests that the partner had from the site.
    fn seen_from_far(&self) -> usize {
        let far: IpAddr = FAR.parse().unwrap();
        let seen = self.partner.seen();
        seen.iter().filter(|seen| seen.peer.ip() == far).count()
    }

    async fn hub(&self) -> Hub {
        let loaded = load::load_with_source(&self.config()).unwrap();
        let (commands, wanted) = mpsc::channel(4);
        let (started, start) = oneshot::channel();
        let options = daemon::Options {
            plan: loaded.checked.plan,
            sites: Some(sites::Source {
                source: loaded.source.clone(),
                secret_files: loaded.secret_files,
                timing: sites::Timing {
                    silent_after: Duration::from_secs(3),
                    look: Duration::from_millis(200),
                },
            }),
            source: Some(loaded.source),
            on_disk: None,
            refused: None,
            lead: None,
            record: None,
            config: Some(self.config()),
            started: Some(started),
            messages: Arc::new(|_: &str| {}),
            actions: None,
        };
        let task = tokio::spawn(daemon::run(options, wanted));
        let Ok(Started { kept, .. }) = within("the hub's start", start).await else {
            panic!("it did not start: {:?}", task.await)
        };
        Hub {
            commands,
            task,
            kept,
        }
    }

    fn agent(&self, through: &str) -> Agent {
        let (told, standing) = watch::channel(Standing::default());
        let options = agent::Options {
            site: "far".to_owned(),
            nats: Server::new(through, None).unwrap(),
            data: self.site.path().join("data"),
            rules: Rules {
                secrets: Some(self.site.path().to_owned()),
                ..Rules::default()
            },
            bounds: Bounds::default(),
            timing: agent::Timing {
                greet: Duration::from_millis(500),
                ..agent::Timing::default()
            },
            told: Some(told),
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(agent::run(options, stopped));
        Agent {
            stop,
            task,
            standing,
        }
    }

    /// Runs of the site in the store, whole history.
    fn kept_of_site(&self) -> Vec<PastRun> {
        let reader = Store::read_only(&self.store()).unwrap();
        let cell = CellKey {
            probe: "page".into(),
            egress: "far".into(),
            client: "a".into(),
            credential: "key".into(),
        };
        let now = clock::now();
        let hour = jiff::SignedDuration::from_hours(1);
        let mut found = Vec::new();
        reader
            .runs(&[cell], now - hour, now + hour, |run| {
                found.push(run);
                ControlFlow::Continue(())
            })
            .unwrap();
        found
    }

    fn sites(&self) -> Option<Sites> {
        let reader = Store::read_only(&self.store()).unwrap();
        let text = reader.note(NOTE).unwrap()?;
        Some(serde_json::from_str(&text).unwrap())
    }
}

struct Hub {
    commands: mpsc::Sender<Command>,
    task: JoinHandle<Result<(), String>>,
    kept: Follower,
}

impl Hub {
    async fn stop(self) {
        self.commands.send(Command::Stop).await.unwrap();
        within("the hub's end", self.task).await.unwrap().unwrap();
    }

    /// The next run of the site that is kept.
    async fn run_of_site(&mut self) -> Arc<edgewatch::domain::judged::Judged> {
        let next = async {
            loop {
                if let Some(Kept::Run(judged)) = self.kept.next().await
                    && judged.observation.cell.egress.as_str() == "far"
                {
                    return judged;
                }
            }
        };
        within("a run of the site", next).await
    }

    /// The next change of an incident that is like this.
    async fn incident(&mut self, what: &str, like: impl Fn(&Incident) -> bool) -> Incident {
        let next = async {
            loop {
                if let Some(Kept::Change(change)) = self.kept.next().await
                    && like(&change.incident)
                {
                    return change.incident.clone();
                }
            }
        };
        within(what, next).await
    }
}

struct Agent {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), String>>,
    standing: watch::Receiver<Standing>,
}

impl Agent {
    async fn until(&mut self, what: &str, like: impl FnMut(&Standing) -> bool) -> Standing {
        within(what, self.standing.wait_for(like))
            .await
            .unwrap()
            .clone()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        within("the agent's end", self.task).await.unwrap().unwrap();
    }
}

/// Waits until something holds that nobody tells of.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    let all = async {
        while !holds() {
            looks.tick().await;
        }
    };
    within(what, all).await;
}

fn is_silence(incident: &Incident, state: State) -> bool {
    incident.subject == Subject::Site("far".to_owned()) && incident.state == state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_site_is_heard_cut_off_and_heard_again_and_nothing_is_lost() {
    let mut place = Place::new().await;
    place.write("");
    let proxy = Proxy::before(place.nats.address).await;
    let mut hub = place.hub().await;
    let mut agent = place.agent(&format!("nats://{}", proxy.address));
    let standing = agent
        .until("a plan", |now| now.generation > 0 && now.welcome)
        .await;
    assert_eq!((standing.generation, standing.cells), (1, 1));
    assert_eq!(standing.missing, [""; 0]);

    // Each side has its own secret, and the run says where it was made.
    let judged = hub.run_of_site().await;
    assert_eq!(judged.verdict.kind, Kind::Pass);
    let route = &judged.observation.route;
    assert_eq!(route.local.unwrap().ip(), FAR.parse::<IpAddr>().unwrap());
    let seen = place.partner.seen();
    for (peer, secret) in [("127.0.0.1", OF_HUB), (FAR, OF_SITE)] {
        let peer: IpAddr = peer.parse().unwrap();
        let found = seen.iter().find(|seen| seen.peer.ip() == peer).unwrap();
        assert_eq!(found.header("x-key"), Some(secret));
    }

    // Cut: its own incident, and it goes on probing. What it sees of the partner meanwhile is over when it is heard.
    proxy.set(Mode::Closed);
    let opened = hub
        .incident("a silent site", |it| is_silence(it, State::Open))
        .await;
    assert_eq!(opened.cells.len(), 1);
    place.refuses.store(true, Ordering::SeqCst);
    let before = place.seen_from_far();
    until("refusals nobody hears of", || {
        place.seen_from_far() >= before + 14
    })
    .await;
    place.refuses.store(false, Ordering::SeqCst);
    let before = place.seen_from_far();
    until("a pass after them", || place.seen_from_far() >= before + 2).await;
    proxy.set(Mode::Open);
    hub.incident("the end of the silence", |it| {
        is_silence(it, State::Resolved)
    })
    .await;

    // A server that is killed loses nothing that it acknowledged, and what it did not is sent again.
    place.nats.kill();
    let before = place.seen_from_far();
    until("runs while the server is away", || {
        place.seen_from_far() >= before + 2
    })
    .await;
    place.nats.start_again();
    hub.run_of_site().await;

    // A hub that is away reads on where it was.
    hub.stop().await;
    let before = place.seen_from_far();
    until("runs while the hub is away", || {
        place.seen_from_far() >= before + 2
    })
    .await;
    let mut hub = place.hub().await;
    hub.run_of_site().await;

    // Who is told to stop says so, and hands over what it has.
    agent.stop().await;
    let all = place.seen_from_far();
    until("every run in the store", || {
        place.kept_of_site().len() >= all
    })
    .await;
    let runs = place.kept_of_site();
    assert_eq!(runs.len(), all, "each once");
    let mut starts: Vec<_> = runs.iter().map(|run| run.at).collect();
    starts.dedup();
    assert_eq!(starts.len(), all, "no two are the same");
    assert!(
        runs.iter()
            .any(|run| run.kind == Kind::EdgeBlock || !run.kind.works())
    );
    until("the hub knows that it left", || {
        place.sites().is_some_and(|known| known.sites[0].leaving)
    })
    .await;
    hub.stop().await;

    // Late refusals opened nothing: there was one incident, and it was the silence.
    let reader = Store::read_only(&place.store()).unwrap();
    let incidents = reader.list(10).unwrap();
    let subjects: Vec<&Subject> = incidents.iter().map(|it| &it.subject).collect();
    let silence = Subject::Site("far".to_owned());
    assert!(subjects.iter().all(|it| **it == silence), "{subjects:?}");
    assert!(!incidents.is_empty());
    let known = place.sites().unwrap();
    assert_eq!(known.sites[0].lost_batches, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn secrets_never_travel() {
    let place = Place::new().await;
    place.write("    body: { file: body.txt }\n    method: POST");
    std::fs::write(place.hub.path().join("body.txt"), "a body\n").unwrap();
    place.refuses.store(true, Ordering::SeqCst);
    let mut hub = place.hub().await;
    let agent = place.agent(&format!("nats://{}", place.nats.address));
    let mut refused = hub.run_of_site().await;
    while refused.verdict.passed() {
        refused = hub.run_of_site().await;
    }
    let body = &refused.observation.answer.as_ref().unwrap().body.bytes;
    assert_eq!(&body[..], b"no entry for [secret]");

    // Everything that the server ever held, read as its readers read it.
    let client = async_nats::connect(place.nats.address.to_string())
        .await
        .unwrap();
    let context = jetstream::new(client);
    let plans = context.get_key_value(subjects::PLANS).await.unwrap();
    let plan = SitePlan::read(&plans.get("far").await.unwrap().unwrap()).unwrap();
    let mut all = format!("{plan:?}");
    assert!(all.contains("secrets/key"), "the reference travels: {all}");
    assert!(all.contains("a body"), "bodies travel: {all}");
    let mut stream = context.get_stream(subjects::OBSERVATIONS).await.unwrap();
    let last = stream.info().await.unwrap().state.last_sequence;
    let table = plan.table();
    let mut runs = 0;
    for sequence in 1..=last {
        let message = stream.get_raw_message(sequence).await.unwrap();
        let head = batch::open(&message.payload).unwrap();
        let read = batch::unpack(&head.load, |place| table.get(place as usize)).unwrap();
        runs += read.runs.len();
        for judged in &read.runs {
            all.push_str(&serde_json::to_string(judged).unwrap());
            if let Some(answer) = &judged.observation.answer {
                all.push_str(&String::from_utf8_lossy(&answer.body.bytes));
            }
        }
    }
    assert!(runs > 0);
    for secret in [OF_HUB, OF_SITE] {
        assert!(!all.contains(secret), "{secret} in\n{all}");
    }
    agent.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_plan_is_taken_whole_or_not_at_all_and_what_is_missing_is_told() {
    let place = Place::new().await;
    place.write("");
    let hub = place.hub().await;
    let mut agent = place.agent(&format!("nats://{}", place.nats.address));
    agent
        .until("the first plan", |now| now.generation == 1)
        .await;

    // A file that its host may not give: the cell does not run, and it is told why.
    std::fs::create_dir(place.hub.path().join("other")).unwrap();
    std::fs::write(place.hub.path().join("other/key"), "third-secret").unwrap();
    let text = std::fs::read_to_string(place.config()).unwrap();
    std::fs::write(place.config(), text.replace("secrets/key", "other/key")).unwrap();
    hub.commands.send(Command::Reload).await.unwrap();
    let standing = agent
        .until("the second plan", |now| now.generation == 2)
        .await;
    assert_eq!(standing.cells, 0);
    assert!(!standing.missing.is_empty());

    // A client by a program, which this host lets no plan run: the plan before stays in force.
    let refused = text.replace("a: A/1", "a: { command: curl }");
    std::fs::write(place.config(), refused).unwrap();
    hub.commands.send(Command::Reload).await.unwrap();
    let standing = agent.until("a refusal", |now| now.refused.is_some()).await;
    assert_eq!(standing.generation, 2);
    let (number, why) = standing.refused.unwrap();
    assert_eq!(number, 3);
    assert!(why.contains("--allow-program curl"), "{why}");

    std::fs::write(place.config(), &text).unwrap();
    hub.commands.send(Command::Reload).await.unwrap();
    let standing = agent
        .until("the fourth plan", |now| now.generation == 4)
        .await;
    assert_eq!((standing.refused, standing.cells), (None, 1));
    until("the hub knows it", || {
        place
            .sites()
            .is_some_and(|known| known.sites.first().is_some_and(|site| site.generation == 4))
    })
    .await;
    agent.stop().await;
    hub.stop().await;
}

async fn link(url: &str, identity: Option<&Path>, inbox: &str) -> Link {
    let server = Server::new(url, identity.map(Path::to_owned)).unwrap();
    let identity = identity.map(|folder| Identity::read(folder).unwrap());
    connect::begin(&server, identity.as_ref(), "test", inbox)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agents_key_opens_its_own_doors_and_no_other() {
    let folder = kept::folder();
    let wanted = Init {
        host: "localhost",
        sites: &["london".to_owned(), "paris".to_owned()],
        folder: folder.path(),
        stream_bytes: 1 << 30,
    };
    rights::init(&wanted, clock::now()).unwrap();
    let conf = std::fs::read_to_string(folder.path().join("nats.conf")).unwrap();
    let lines = conf.lines().filter(|line| !line.starts_with("listen:"));
    let server = Nats::with(folder.path(), &lines.collect::<Vec<_>>().join("\n"));
    let url = format!("tls://localhost:{}", server.address.port());

    let mut hub = link(&url, Some(&folder.path().join("hub")), "_INBOX.hub").await;
    within("the hub is let in", hub.up()).await.unwrap();
    let own = edgewatch::link::stream::Hub::prepare(hub.client.clone(), 64 << 20)
        .await
        .unwrap();
    for site in ["london", "paris"] {
        let plan = SitePlan {
            file: format!("plan of {site}"),
            ..SitePlan::default()
        };
        own.hand_out(site, &plan).await.unwrap();
    }

    let mut agent = link(&url, Some(&folder.path().join("london")), "_INBOX.london").await;
    within("the agent is let in", agent.up()).await.unwrap();
    let plan = agent::fetch_plan(&agent, "london").await.unwrap();
    assert_eq!(plan.file, "plan of london");
    let context = jetstream::context::ContextBuilder::new()
        .ack_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(2))
        .build(agent.client.clone());
    let publishes = async |subject: &str| {
        let sent = context.publish(subject.to_owned(), "x".into()).await;
        sent.unwrap().await.is_ok()
    };
    assert!(publishes("ew.obs.london.00").await);

    let refused = async |what: &str, mut state: watch::Receiver<connect::State>| {
        let said = state.wait_for(|state| state.refused.is_some());
        let said = within(what, said).await.unwrap().refused.clone().unwrap();
        assert!(
            said.to_lowercase().contains("permissions violation"),
            "{what}: {said}"
        );
        said
    };
    // Each with a link of its own, so that what it says is of that.
    for subject in [
        "ew.obs.paris.00",
        "ew.hello.paris",
        "ew.ask.paris",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.DELETE.EW_OBS",
        "$JS.API.CONSUMER.CREATE.EW_OBS.x",
        "$JS.API.DIRECT.GET.KV_EW_PLAN.$KV.EW_PLAN.paris",
        "$KV.EW_PLAN.london",
    ] {
        let mut one = link(&url, Some(&folder.path().join("london")), "_INBOX.london").await;
        within("let in", one.up()).await.unwrap();
        one.client.publish(subject, "{}".into()).await.unwrap();
        let said = refused(subject, one.state.clone()).await;
        assert!(said.contains(subject), "{said}");
    }
    for subject in [
        "ew.obs.>",
        "ew.hello.*",
        "_INBOX.>",
        "_INBOX.hub.>",
        "ew.ask.paris",
        "$KV.EW_PLAN.>",
    ] {
        let mut one = link(&url, Some(&folder.path().join("london")), "_INBOX.london").await;
        within("let in", one.up()).await.unwrap();
        let _heard = one.client.subscribe(subject).await.unwrap();
        refused(subject, one.state.clone()).await;
    }

    // Who has a certificate of the same authority, but of the server itself, is nobody who signs in.
    let shut = link(&url, Some(&folder.path().join("server")), "_INBOX.x").await;
    let mut state = shut.state.clone();
    let up = state.wait_for(|state| state.up);
    let let_in = tokio::time::timeout(Duration::from_secs(3), up).await;
    assert!(let_in.is_err(), "a server's certificate signs nobody in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commands_say_what_is_in_the_way_of_an_agent() {
    let mut place = Place::new().await;
    place.write("");
    let url = format!("nats://{}", place.nats.address);
    let secrets = place.site.path().display().to_string();
    let check = async || {
        let mut command = program(&["agent", "--site", "far", "--check", "--format", "json"]);
        command.args(["--nats", &url, "--secrets", &secrets]);
        let (code, out, _) = run(command).await;
        let said: serde_json::Value = serde_json::from_str(&out).unwrap();
        let steps = said["steps"].as_array().unwrap().clone();
        let last = steps.last().unwrap().clone();
        let names: Vec<String> = steps
            .iter()
            .map(|step| step["step"].as_str().unwrap().to_owned())
            .collect();
        (code, names.join(", "), last)
    };
    let sites = async || {
        let mut command = program(&["sites", "--format", "json"]);
        command.arg("--config").arg(place.config());
        run(command).await
    };

    let mut hub = place.hub().await;
    until("the hub has handed the plan out", || {
        place
            .sites()
            .is_some_and(|known| known.sites.iter().any(|site| site.generation_wanted == 1))
    })
    .await;
    let (code, names, last) = check().await;
    assert_eq!(
        names,
        "name of the server, TCP, sign-in, right to publish, hub, clock, plan, secrets, a run",
        "{last}"
    );
    assert_eq!((code, last["ok"].as_bool()), (0, Some(true)), "{last}");
    let (code, out, _) = sites().await;
    let known: Sites = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 1, "it was never heard: {out}");
    assert_eq!(
        (known.sites[0].cells, known.sites[0].last_heard_at),
        (1, None),
        "a look is no greeting"
    );

    let agent = place.agent(&url);
    hub.run_of_site().await;
    until("it is heard, and has its plan", || {
        place
            .sites()
            .is_some_and(|known| known.sites[0].generation == 1)
    })
    .await;
    let (code, out, _) = sites().await;
    assert_eq!(code, 0, "{out}");

    hub.stop().await;
    let (code, names, _) = check().await;
    assert_eq!(code, 1);
    assert!(names.contains("right to publish, hub"), "{names}");
    agent.stop().await;
    place.nats.kill();
    let (code, names, last) = check().await;
    assert_eq!((code, names.as_str()), (1, "name of the server, TCP"));
    assert!(
        last["how"]
            .as_str()
            .unwrap()
            .starts_with("see that nats-server runs there")
    );
}

#[tokio::test]
async fn what_init_makes_is_taken_by_a_server_and_by_an_agent() {
    let folder = kept::folder();
    let mut command = program(&["hub", "init", "--nats", "localhost", "--site", "far"]);
    command.arg("--out").arg(folder.path());
    let (code, out, _) = run(command).await;
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("edgewatch agent --site far --identity far"),
        "{out}"
    );
    let conf = std::fs::read_to_string(folder.path().join("nats.conf")).unwrap();
    let lines = conf.lines().filter(|line| !line.starts_with("listen:"));
    let server = Nats::with(folder.path(), &lines.collect::<Vec<_>>().join("\n"));
    let mut command = program(&["agent", "--site", "far", "--check"]);
    command.arg("--identity").arg(folder.path().join("far"));
    command.args([
        "--nats",
        &format!("tls://localhost:{}", server.address.port()),
    ]);
    let (code, out, _) = run(command).await;
    // No hub has made the stream yet.
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("nats-server 2.15.1 lets far in"), "{out}");
    assert!(
        out.contains("start `edgewatch hub`, which makes the stream"),
        "{out}"
    );
    let mut command = program(&["hub", "init", "--nats", "localhost", "--site", "A.B"]);
    command.arg("--out").arg(folder.path());
    let (code, _, said) = run(command).await;
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("\"A.B\" can't be the name of a site; write up to 32 small letters"),
        "{said}"
    );
}
