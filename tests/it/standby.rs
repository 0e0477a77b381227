//! Two hubs as real processes over a real nats-server: the one that leads is killed, frozen and cut off wherever a message
//! can stand, and the other one goes on.
//!
//! What was promised is asked of Slack, of the log, and of both stores: each incident has one message, told once and edited
//! by whoever leads; what was opened or fixed is known to the next hub; and who lost the lead writes nothing any more.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use edgewatch::domain::incident::State;
use edgewatch::store::Store;
use edgewatch::wire::log::Entry;
use edgewatch::wire::subjects;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::crash::gate::{Gate, Kill, SLACK, Stop, Tally};
use crate::fakes::{CHANNEL, Fake, TOKEN};
use crate::sites::nats::{Mode, Nats, Proxy};
use crate::world::{RULE, World, run};

/// For what comes in some seconds; generous, because machines are busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a lead lasts here. A machine that builds something stands still for three seconds now and then.
const LEASE_MS: u64 = 10_000;

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let looking = async {
        while !done() {
            looks.tick().await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, looking).await;
    assert!(came.is_ok(), "never came: {what}");
}

/// A partner, Slack behind a gate, and a server that each hub reaches through a proxy of its own.
struct Stage {
    world: World,
    slack: Fake,
    calls: Arc<Tally>,
    gate: Gate,
    nats: Nats,
    proxies: [Proxy; 2],
}

/// A hub; killed when dropped.
struct Hub {
    child: Child,
    name: &'static str,
    folder: PathBuf,
    /// Where in its log this life begins.
    begins: usize,
}

impl Drop for Hub {
    fn drop(&mut self) {
        // A frozen one too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const NAMES: [&str; 2] = ["one", "two"];

impl Stage {
    async fn new(kills: &[Kill]) -> Self {
        let world = World::start().await;
        let slack = Fake::slack().await;
        let calls = Tally::new(world.directory.path().join("one.sqlite"), kills);
        let gate = Gate::before(SLACK, slack.address(), &calls).await;
        let nats = Nats::plain(world.directory.path());
        let proxies = [
            Proxy::before(nats.address).await,
            Proxy::before(nats.address).await,
        ];
        let stage = Self {
            world,
            slack,
            calls,
            gate,
            nats,
            proxies,
        };
        stage.write();
        stage
    }

    /// One file for both, but for where the store is and how NATS is reached.
    fn write(&self) {
        let notify = format!(
            r#"nats: {{ url: "nats://SERVER" }}
web: none
notify:
  receivers:
    engineers: {{ slack: {{ token: {{ env: SLACK_BOT_TOKEN }}, channel: {CHANNEL}, api: "http://{}/api" }} }}
  routes:
    - {{ to: engineers }}
"#,
            self.gate.address
        );
        self.world
            .write("de1: 127.0.0.2, us1: 127.0.0.3", "1s", &notify);
        let text = std::fs::read_to_string(self.world.config()).unwrap();
        for (name, proxy) in NAMES.iter().zip(&self.proxies) {
            let own = text
                .replace("edgewatch.sqlite", &format!("{name}.sqlite"))
                .replace("SERVER", &proxy.address.to_string());
            std::fs::write(self.file(name), own).unwrap();
        }
    }

    fn folder(&self) -> &Path {
        self.world.directory.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.yaml"))
    }

    fn store(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.sqlite"))
    }

    /// A command on the host of a hub.
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = crate::world::program(arguments);
        command.arg("--config").arg(self.file(name));
        command
            .env("GMC_USERNAME", "tis")
            .env("GMC_PASSWORD", crate::world::PASSWORD)
            .env("SLACK_BOT_TOKEN", TOKEN);
        command
    }

    fn start(&self, name: &'static str, more: &[&str]) -> Hub {
        let path = self.folder().join(format!("{name}.log"));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        let begins = log.metadata().unwrap().len() as usize;
        let mut command = self.command(name, &["hub", "--name", name, "--log", "debug"]);
        command
            .args(more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Hub {
            child: command.spawn().unwrap(),
            name,
            folder: self.folder().to_owned(),
            begins,
        }
    }

    fn quick(&self, name: &'static str) -> Hub {
        self.start(name, &["--lease-ms", &LEASE_MS.to_string()])
    }

    /// One leads and probes, the other follows.
    async fn both(&self) -> (Hub, Hub) {
        let one = self.quick("one");
        one.says("is probing").await;
        let two = self.quick("two");
        two.says("one leads").await;
        (one, two)
    }

    async fn context(&self) -> jetstream::Context {
        let client = async_nats::connect(self.nats.address.to_string()).await;
        jetstream::new(client.unwrap())
    }

    /// Every entry of the log.
    async fn log(&self) -> Vec<Entry> {
        let mut stream = self
            .context()
            .await
            .get_stream(subjects::LOG)
            .await
            .unwrap();
        let state = stream.info().await.unwrap().state.clone();
        let mut entries = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            entries.push(Entry::read(&message.payload).unwrap());
        }
        entries
    }

    /// Once all was told that happened, by whoever leads.
    async fn fixed(&self) {
        self.world.partner.switch(RULE, false);
        until("the end is told", || {
            self.slack.replies().iter().any(|reply| reply.broadcast)
        })
        .await;
    }

    async fn opened(&self) {
        self.world.partner.switch(RULE, true);
        until("the opening is told", || !self.slack.parents().is_empty()).await;
    }

    /// What must hold of every story with one incident, from its opening to its end.
    fn told_once(&self) {
        let (parents, replies) = (self.slack.parents(), self.slack.replies());
        assert_eq!(parents.len(), 1, "{parents:?}");
        assert!(parents[0].edits > 0, "it shows how it stands");
        let ends = replies.iter().filter(|reply| reply.broadcast).count();
        assert_eq!(ends, 1, "{replies:?}");
        let evidence = |reply: &&crate::fakes::SlackMessage| {
            reply.body.to_string().contains("Evidence for INC-1")
        };
        assert_eq!(replies.iter().filter(evidence).count(), 1, "{replies:?}");
    }

    /// What a store has of incidents and messages, for comparing.
    fn kept(&self, name: &str) -> Vec<String> {
        let reader = Store::read_only(&self.store(name)).unwrap();
        let mut kept = Vec::new();
        for incident in reader.list(10).unwrap() {
            let shown = reader.show(incident.number).unwrap();
            kept.push(format!("{shown:?}"));
        }
        kept
    }

    async fn same_in_both(&self) {
        until("both stores are the same", || {
            self.kept("one") == self.kept("two")
        })
        .await;
        let kept = self.kept("one");
        assert_eq!(kept.len(), 1, "one incident: {kept:?}");
    }
}

impl Hub {
    fn said(&self) -> String {
        let path = self.folder.join(format!("{}.log", self.name));
        let text = std::fs::read(path).unwrap();
        String::from_utf8_lossy(&text[self.begins..]).into_owned()
    }

    /// Waits until it says this, in this life.
    async fn says(&self, words: &str) {
        until(&format!("{} says {words:?}", self.name), || {
            self.said().contains(words)
        })
        .await;
    }

    fn signal(&self, signal: Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stopped in good order.
    async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        until("it stops", || self.child.try_wait().unwrap().is_some()).await;
        assert_eq!(
            self.child.wait().unwrap().code(),
            Some(0),
            "{}",
            self.said()
        );
    }
}

/// What becomes of the hub that leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    Frozen,
    CutOff,
}

/// The leader is struck at one call to Slack; the other one tells what is left, and the first one comes back.
async fn struck(at: Kill, end: End) {
    let stage = Stage::new(&[at]).await;
    let (one, two) = stage.both().await;
    stage.world.partner.switch(RULE, true);
    let of_the_end = matches!(at.of, "chat.update" | "chat.postMessage (broadcast)");
    if of_the_end {
        until("the opening is told", || !stage.slack.parents().is_empty()).await;
        stage.world.partner.switch(RULE, false);
    }
    let reached = tokio::time::timeout(PATIENCE, stage.calls.shut()).await;
    assert!(reached.is_ok(), "{at:?} was never reached: {}", one.said());
    let mut one = Some(one);
    match end {
        End::Killed => one.take().unwrap().kill(),
        End::Frozen => one.as_ref().unwrap().signal(Signal::SIGSTOP),
        End::CutOff => stage.proxies[0].set(Mode::Silent),
    }
    stage.calls.open();
    two.says("two takes the lead, epoch ").await;
    two.says("is probing").await;
    if !of_the_end {
        stage.opened().await;
    }
    stage.fixed().await;
    let messages = stage.slack.messages().len();

    // Who was away comes back, finds another one leading, and says nothing.
    let one = match one {
        None => stage.quick("one"),
        Some(one) => {
            match end {
                End::Frozen => one.signal(Signal::SIGCONT),
                _ => stage.proxies[0].set(Mode::Open),
            }
            one.says("this hub does not lead any more, and stands by")
                .await;
            one
        }
    };
    stage.same_in_both().await;
    stage.told_once();
    assert_eq!(stage.slack.messages().len(), messages);
    let epochs: Vec<u64> = stage.log().await.iter().map(|entry| entry.epoch).collect();
    assert!(epochs.is_sorted(), "who lost the lead wrote: {epochs:?}");
    assert!(epochs.last() > epochs.first(), "{epochs:?}");
    let reader = Store::read_only(&stage.store("one")).unwrap();
    assert_eq!(reader.list(10).unwrap()[0].state, State::Resolved);
    drop((one, two));
}

/// Each on a stage of its own, all at once: most of the time a hub waits for the lead of the other to end.
async fn each_struck(end: End, places: Vec<Kill>) {
    let strikes = places.into_iter().map(|at| {
        let name = format!("{at:?}, {end:?}");
        (name, tokio::spawn(struck(at, end)))
    });
    let strikes: Vec<_> = strikes.collect();
    for (name, strike) in strikes {
        assert!(strike.await.is_ok(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_killed_wherever_a_message_can_stand() {
    let places = vec![
        Kill::at("chat.postMessage", Stop::Unread),
        Kill::at("chat.postMessage (parent)", Stop::Unanswered),
        Kill::at("chat.postMessage (parent)", Stop::Unmarked),
        Kill::at("chat.postMessage (broadcast)", Stop::Unanswered),
    ];
    each_struck(End::Killed, places).await;
}

/// At the second place it wakes up between two requests of one message.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_frozen_while_a_message_is_told() {
    let places = vec![
        Kill::at("chat.postMessage (parent)", Stop::Unanswered),
        Kill::at("chat.postMessage (parent)", Stop::Unmarked),
        Kill::at("chat.update", Stop::Unanswered),
    ];
    each_struck(End::Frozen, places).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_cut_off_from_the_log_while_slack_takes_the_opening() {
    let half = Kill::at("chat.postMessage (parent)", Stop::HalfAnswered);
    each_struck(End::CutOff, vec![half]).await;
}

/// With the lease that operators have.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_hub_leads_within_45_s() {
    let stage = Stage::new(&[]).await;
    let one = stage.start("one", &[]);
    one.says("is probing").await;
    let two = stage.start("two", &[]);
    two.says("one leads").await;
    stage.opened().await;
    one.kill();
    let killed = Instant::now();
    two.says("is probing").await;
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(45), "{took:?}");
    stage.fixed().await;
    stage.told_once();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_ask_on_one_host_holds_on_the_other_once_that_leads() {
    let stage = Stage::new(&[]).await;
    let (one, two) = stage.both().await;
    let silence = [
        "silence", "add", "--probe", "connect", "--for", "2h", "--why", "known",
    ];
    let (code, _, said) = run(stage.command("two", &silence)).await;
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("this hub stands by") && said.contains("do it where one runs"),
        "{said}"
    );
    let (code, out, said) = run(stage.command("one", &silence)).await;
    assert_eq!(code, 0, "{out}{said}");
    until("the silence is in the other store", || {
        let reader = Store::read_only(&stage.store("two")).unwrap();
        reader.silences().is_ok_and(|silences| silences.len() == 1)
    })
    .await;
    until("the note of two names the one that leads", || {
        let reader = Store::read_only(&stage.store("two")).unwrap();
        let note = reader.note("vitals").unwrap().unwrap_or_default();
        note.contains(r#""leader":"one""#)
    })
    .await;
    let status = async |name: &str| {
        let (code, out, _) = run(stage.command(name, &["status", "--format", "json"])).await;
        let said: Value = serde_json::from_str(&out).unwrap();
        (code, said["daemon"]["vitals"]["hub"].clone(), out)
    };
    let (code, hub, out) = status("two").await;
    assert_eq!(code, 0, "{out}");
    let told = (
        hub["leads"].as_bool(),
        hub["leader"].as_str(),
        hub["epoch"].as_u64().map(|epoch| epoch > 0),
    );
    assert_eq!(told, (Some(false), Some("one"), Some(true)), "{out}");
    let (_, hub, out) = status("one").await;
    assert_eq!(hub["leads"].as_bool(), Some(true), "{out}");

    // Stopped in good order, it leaves the lead at once.
    one.stop().await;
    two.says("two takes the lead, epoch ").await;
    two.says("is probing").await;
    let (code, out, said) =
        run(stage.command("two", &["silence", "list", "--format", "json"])).await;
    assert!(code == 0 && out.contains("known"), "{out}{said}");
    let (code, out, _) = run(stage.command("two", &["status"])).await;
    assert!(out.contains("two leads, epoch "), "{code} {out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_went_back_stops_a_hub_from_leading_until_somebody_begins_it_again() {
    let mut stage = Stage::new(&[]).await;
    let (one, two) = stage.both().await;
    two.stop().await;
    one.stop().await;
    let jetstream = stage.folder().join("jetstream");
    let before = stage.folder().join("jetstream-before");
    stage.nats.kill();
    copy(&jetstream, &before);
    stage.nats.start_again();

    let one = stage.quick("one");
    one.says("is probing").await;
    stage.opened().await;
    let two = stage.quick("two");
    two.says("one leads").await;
    stage.same_in_both().await;
    one.kill();
    two.kill();
    // The server's disk is put back as it was.
    stage.nats.kill();
    std::fs::remove_dir_all(&jetstream).unwrap();
    std::fs::rename(&before, &jetstream).unwrap();
    stage.nats.start_again();

    let two = stage.quick("two");
    two.says("this hub does not lead: the log of NATS went back: it ends at entry")
        .await;
    until("its status says so", || {
        let reader = Store::read_only(&stage.store("two")).unwrap();
        let note = reader.note("vitals").unwrap().unwrap_or_default();
        note.contains("went back")
    })
    .await;
    let (code, out, _) = run(stage.command("two", &["status"])).await;
    assert!(
        code == 2 && out.contains("it would not take over"),
        "{code} {out}"
    );
    let one = stage.start(
        "one",
        &["--rewrite-log", "--lease-ms", &LEASE_MS.to_string()],
    );
    one.says("the log begins again from this store").await;
    one.says("is probing").await;
    assert!(
        !stage.log().await[0].replaces.is_empty(),
        "it says which log it replaces"
    );
    two.says("this store becomes what it says").await;
    two.says("one leads").await;
    stage.same_in_both().await;
    one.kill();
    two.says("two takes the lead").await;
    stage.fixed().await;
    stage.told_once();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
