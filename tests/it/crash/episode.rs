//! One store and the lives of the daemon over it: what is put into the outbox, killed, started, and asked of
//! the receivers in the end.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use edgewatch::domain::incident::State;
use edgewatch::domain::notification::Reason;
use edgewatch::domain::plan::StorePolicy;
use edgewatch::store::{Delivery, Progress, Store};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior};

use super::gate::{ASKED, Call, Gate, Kill, SLACK, Stop, Tally, hold};
use crate::fakes::{CHANNEL, Fake, Fault, TOKEN};
use crate::kept;
use crate::receivers::endpoint::Endpoint;
use crate::receivers::{pagerduty, webhook};
use crate::samples::{at, change, fresh};
use crate::server::certificates::Authority;
use crate::world::program;

/// For one life; a storm tells one message a second.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);
/// How often the store is looked at while a life lasts.
pub(super) const LOOK: Duration = Duration::from_millis(15);
/// How far ahead a message is due that must find the store locked.
const AHEAD: Duration = Duration::from_millis(1_200);
static ROOT: LazyLock<String> = LazyLock::new(|| Authority::new().pem());
/// Stands in the log where a life begins.
const BEGINS: &str = "---- life";
/// No episode has more; one that needs them goes round in circles.
const LIVES_MAX: usize = 12;

/// Who hears of the incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Slack,
    Teams,
    /// Only while Slack can't be reached.
    TeamsInstead,
    Webhook,
    PagerDuty,
}

impl Who {
    fn receiver(self) -> &'static str {
        match self {
            Self::Slack => "engineers",
            Self::Teams | Self::TeamsInstead => "support",
            Self::Webhook => "hook",
            Self::PagerDuty => "oncall",
        }
    }
}

/// Something that happens while no daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Opened(u64),
    Fixed(u64),
    /// From now on Slack takes no posts (`not_in_channel`).
    SlackRefuses,
    /// Somebody mends it, and the time for another try comes.
    SlackIsMended,
}

/// What is told to whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Story {
    pub(super) name: &'static str,
    pub(super) receivers: &'static [Who],
    /// Those of one row happen together; the daemon then lives until all is told.
    pub(super) acts: &'static [&'static [Act]],
    /// So many calls it makes; one that says that Slack is back may come besides.
    pub(super) calls: usize,
}

pub(super) struct Episode {
    story: Story,
    folder: TempDir,
    pub(super) slack: Fake,
    teams: Fake,
    hook: Endpoint,
    pager: Endpoint,
    pub(super) tally: Arc<Tally>,
    kills: Vec<Kill>,
    /// Slack takes no posts.
    refusing: bool,
    /// For each receiver's next notification.
    sequence: u32,
    /// The end was kept before the opening was told.
    meanwhile: bool,
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Everything was told.
    Through,
    Killed,
}

/// A daemon; killed when dropped.
pub(super) struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    pub(super) fn process(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap())
    }

    /// Waits until it ends by itself; its exit code.
    pub(super) fn ended(mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Episode {
    pub(super) async fn begin(story: Story, kills: &[Kill]) -> Self {
        let folder = kept::folder();
        let tally = Tally::new(folder.path().join("edgewatch.sqlite"), kills);
        Self {
            story,
            slack: Fake::slack().await,
            teams: Fake::teams().await,
            hook: Endpoint::start(webhook::rule).await,
            pager: Endpoint::start(pagerduty::rule).await,
            folder,
            tally,
            kills: kills.to_vec(),
            refusing: false,
            sequence: 0,
            meanwhile: false,
        }
    }

    pub(super) fn calls_since_kill(&self) -> usize {
        self.tally.since_kill()
    }

    pub(super) fn killed(&self) -> usize {
        self.tally.reached()
    }

    /// Act by act, killed where it was told to, until all is told.
    pub(super) async fn play(&mut self) -> Result<(), String> {
        for acts in self.story.acts {
            self.act(acts).await;
            self.live_on().await?;
        }
        self.check()
    }

    /// Each message finds the store locked when it is due, and the daemon is killed there.
    pub(super) async fn play_before_the_mark(&mut self) -> Result<(), String> {
        for acts in self.story.acts {
            let calls = self.posts();
            self.act_ahead(acts).await;
            let due = Instant::now() + AHEAD;
            let before: Vec<Delivery> = self.undelivered();
            let (daemon, _gates) = self.start().await;
            self.says("is probing").await?;
            let lock = hold(self.store_path()).await;
            // By then the worker stands at the lock; were it a step behind, the disk would look the same.
            tokio::time::sleep_until(due + AHEAD / 4).await;
            drop(daemon);
            drop(lock);
            if self.posts() != calls || self.undelivered() != before {
                return Err(
                    self.report("something was sent or marked although the store was locked")
                );
            }
            self.live_on().await?;
        }
        self.check()
    }

    /// The incident is over before the daemon is back.
    pub(super) async fn play_fixed_meanwhile(&mut self) -> Result<(), String> {
        self.act(&[Act::Opened(1)]).await;
        let life = self.live().await?;
        if life != Life::Killed {
            return Err(self.report("it was not killed in the opening"));
        }
        self.meanwhile = true;
        self.fixed().await
    }

    /// The last act, and what came of all.
    pub(super) async fn fixed(&mut self) -> Result<(), String> {
        self.act(&[Act::Fixed(1)]).await;
        self.live_on().await?;
        self.check()
    }

    /// Lives until everything was told.
    pub(super) async fn live_on(&mut self) -> Result<(), String> {
        while self.live().await? == Life::Killed {
            let now = edgewatch::clock::now();
            let waits = |row: &Delivery| row.next_at.is_some_and(|at| at > now);
            let rows = self.undelivered();
            if !self.refusing && rows.iter().any(waits) {
                if rows.iter().all(waits) {
                    self.rest().await?;
                }
                self.time_passes();
            }
        }
        Ok(())
    }

    /// One life: until a call that kills it, or until nothing is left to tell. SIGKILL in any case.
    async fn live(&mut self) -> Result<Life, String> {
        let (mut daemon, gates) = self.start().await;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let until = Instant::now() + PATIENCE;
        let reader = Store::read_only(&self.store_path()).unwrap();
        let life = loop {
            tokio::select! {
                biased;
                () = self.tally.shut() => break Life::Killed,
                _ = looks.tick() => {}
            }
            let rows = reader.undelivered().unwrap();
            if rows.iter().any(|row| row.progress == Progress::Dead) {
                return Err(self.report("a message was given up"));
            }
            let waits = |row: &Delivery| row.progress == Progress::Pending && row.next_at.is_some();
            if self.tally.waiting() && rows.iter().any(waits) {
                break Life::Killed;
            }
            // What the fallback was told waits for its own receiver to be mended.
            let told = |row: &Delivery| self.refusing && row.diverted && waits(row);
            if rows.iter().all(told) {
                break Life::Through;
            }
            if Instant::now() > until {
                return Err(self.report("a life without end: something is not told"));
            }
            if let Ok(Some(code)) = daemon.0.try_wait() {
                return Err(self.report(&format!("the daemon ended by itself: {code}")));
            }
        };
        drop(daemon);
        drop(gates);
        self.tally.open();
        Ok(life)
    }

    /// A life in which nothing is due yet: what asked for time gets it, over a kill as well.
    async fn rest(&mut self) -> Result<(), String> {
        // Only Slack is looked at without a message, and only while nobody is told instead.
        if self.story.receivers != [Who::Slack] {
            return Ok(());
        }
        let before = self.posts();
        let (daemon, _gates) = self.start().await;
        // It looks at its channel when no message is due.
        let idle = tokio::time::timeout(PATIENCE, self.tally.called("conversations.history"));
        if idle.await.is_err() {
            return Err(self.report("it did not come to rest although nothing was due"));
        }
        drop(daemon);
        if self.posts() != before {
            return Err(self.report("something was sent before its time"));
        }
        Ok(())
    }

    /// Calls that tell something.
    pub(super) fn posts(&self) -> usize {
        let calls = self.tally.calls();
        let asks = ["auth.test", "conversations."];
        let told = |call: &&Call| !asks.iter().any(|ask| call.name.starts_with(ask));
        calls.iter().filter(told).count()
    }

    pub(super) async fn act(&mut self, acts: &[Act]) {
        self.act_in(acts, Duration::ZERO).await;
    }

    /// The same, but due only when the daemon has long been started.
    pub(super) async fn act_ahead(&mut self, acts: &[Act]) {
        self.act_in(acts, AHEAD).await;
    }

    async fn act_in(&mut self, acts: &[Act], ahead: Duration) {
        let store = kept::store(&self.store_path(), &self.policy());
        for act in acts {
            let (incident, reason) = match *act {
                Act::Opened(incident) => (incident, Reason::Opened),
                Act::Fixed(incident) => (incident, Reason::Resolved),
                Act::SlackRefuses => {
                    self.refuse(true);
                    continue;
                }
                Act::SlackIsMended => {
                    self.refuse(false);
                    self.time_passes();
                    continue;
                }
            };
            let mut notifications = Vec::new();
            for who in self.story.receivers {
                if *who == Who::TeamsInstead {
                    continue;
                }
                self.sequence += 1;
                let mut due = fresh(incident, reason, self.sequence, who.receiver());
                due.not_before += ahead;
                due.briefing.headline = format!("Partner {incident} refuses `legacy` at its edge");
                notifications.push(due);
            }
            let mut change = change(incident, notifications);
            // The rules leave alone what was over long ago; only its messages are still to be sent.
            change.incident.state = State::Resolved;
            change.incident.resolved_at = Some(at("2021-02-28T04:06:00Z"));
            store.commit(change).await.unwrap();
        }
        store.close().await;
    }

    fn refuse(&mut self, refuse: bool) {
        self.refusing = refuse;
        let fault = refuse.then_some(Fault::Refused("not_in_channel"));
        self.slack.always("chat.postMessage", fault);
    }

    /// The time comes that retries wait for.
    fn time_passes(&self) {
        let store = Connection::open(self.store_path()).unwrap();
        let passed = i64::try_from(ASKED.as_micros()).unwrap();
        store
            .execute("UPDATE outbox SET next_us = next_us - ?", [passed])
            .unwrap();
    }

    fn policy(&self) -> StorePolicy {
        StorePolicy {
            group: None,
            path: self.store_path(),
            keep: edgewatch::domain::plan::Keep::for_runs(Duration::from_secs(86_400)),
            bytes_max: 64 << 20,
        }
    }

    pub(super) fn store_path(&self) -> PathBuf {
        self.folder.path().join("edgewatch.sqlite")
    }

    pub(super) fn undelivered(&self) -> Vec<Delivery> {
        let reader = Store::read_only(&self.store_path()).unwrap();
        reader.undelivered().unwrap()
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("daemon.log")).unwrap_or_default()
    }

    /// Waits until the newest life logs this.
    pub(super) async fn says(&self, words: &str) -> Result<(), String> {
        let mut looks = tokio::time::interval(LOOK);
        let until = Instant::now() + PATIENCE;
        loop {
            looks.tick().await;
            if self.newest_log().contains(words) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(self.report(&format!("never said: {words}")));
            }
        }
    }

    /// The daemon, behind new gates.
    pub(super) async fn start(&self) -> (Daemon, Vec<Gate>) {
        let life = self.tally.begin_life();
        assert!(life <= LIVES_MAX, "{}", self.report("no end of lives"));
        let gate = |door, address| Gate::before(door, address, &self.tally);
        let slack = gate(SLACK, self.slack.address()).await;
        let teams = gate("Teams", self.teams.address()).await;
        let hook = gate("webhook", ([127, 0, 0, 1], self.hook.port()).into()).await;
        let pager = gate("PagerDuty", ([127, 0, 0, 1], self.pager.port()).into()).await;
        std::fs::write(self.config(), self.file(&slack, &pager)).unwrap();

        let webhook = self.teams.webhook_at(teams.address);
        let hook_url = format!("http://{}{}", hook.address, webhook::PATH);
        let path = self.folder.path().join("daemon.log");
        let roots = self.folder.path().join("root.pem");
        std::fs::write(&roots, &*ROOT).unwrap();
        let daemon = loop {
            let mut log = std::fs::File::options()
                .create(true)
                .append(true)
                .open(&path)
                .unwrap();
            log.write_all(format!("{BEGINS} {life}\n").as_bytes())
                .unwrap();
            let begun = log.metadata().unwrap().len();
            let mut command = program(&["run", "--log", "debug"]);
            command
                .arg("--config")
                .arg(self.config())
                .env("SLACK_BOT_TOKEN", TOKEN)
                .env("TEAMS_WEBHOOK_URL", &webhook)
                .env("HOOK_URL", &hook_url)
                .env("HOOK_KEY", webhook::KEY)
                .env("PAGER_KEY", pagerduty::KEY)
                // Nothing here speaks TLS, and reading the system's roots is most of what a short life costs.
                .env("SSL_CERT_FILE", &roots)
                .env_remove("SSL_CERT_DIR")
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log.try_clone().unwrap());
            let daemon = Daemon(command.spawn().unwrap());
            let mut looks = tokio::time::interval(LOOK);
            while log.metadata().unwrap().len() == begun {
                looks.tick().await;
            }
            // As in `kept::store`: it is tried again, as whoever runs it would.
            if !self.newest_log().contains("is in use by another") {
                break daemon;
            }
        };
        (daemon, vec![slack, teams, hook, pager])
    }

    /// What the newest life logged.
    fn newest_log(&self) -> String {
        let log = self.log();
        log.rsplit(BEGINS).next().unwrap_or_default().to_owned()
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.path().join("probes.yaml")
    }

    /// A probe once in four years, and the receivers of the story.
    fn file(&self, slack: &Gate, pager: &Gate) -> String {
        let has = |who| self.story.receivers.contains(&who);
        let instead = if has(Who::TeamsInstead) {
            ", fallback: support"
        } else {
            ""
        };
        let mut receivers = String::new();
        let mut routes = String::new();
        for who in self.story.receivers {
            let channel = match who {
                Who::Slack => format!(
                    "{{ slack: {{ token: {{ env: SLACK_BOT_TOKEN }}, channel: {CHANNEL}, api: \"http://{}/api\" }}{instead} }}",
                    slack.address
                ),
                Who::Teams | Who::TeamsInstead => {
                    "{ teams: { webhook: { env: TEAMS_WEBHOOK_URL } } }".to_owned()
                }
                Who::Webhook => {
                    "{ webhook: { url: { env: HOOK_URL }, secret: { env: HOOK_KEY } } }".to_owned()
                }
                Who::PagerDuty => format!(
                    "{{ pagerduty: {{ routing_key: {{ env: PAGER_KEY }}, api: \"http://{}\" }} }}",
                    pager.address
                ),
            };
            let name = who.receiver();
            let _ = writeln!(receivers, "    {name}: {channel}");
            if *who != Who::TeamsInstead {
                let _ = writeln!(routes, "    - {{ to: {name} }}");
            }
        }
        format!(
            r#"version: 1
service: GMC
timezone: Europe/London
egresses: {{ here: 127.0.0.2 }}
clients: {{ plain: A/1 }}
probes:
  page:
    url: "http://127.0.0.1:9/"
    cron: "0 3 29 2 *"
    words: {{ what: Submitting recommendations, affects: Revalidation users, workaround: Use the web site }}
store: {{ path: "{store}" }}
notify:
  receivers:
{receivers}  routes:
{routes}"#,
            store = self.store_path().display(),
        )
    }

    /// Asks the receivers whether all that was promised came.
    pub(super) fn check(&self) -> Result<(), String> {
        let wrong = self.wrong();
        if wrong.is_empty() {
            self.tidy();
            Ok(())
        } else {
            Err(self.report(&wrong.join("\n  ")))
        }
    }

    /// Hundreds of stores that are all alike are not worth looking through; those of the first calls stay.
    fn tidy(&self) {
        if self.kills.first().is_some_and(|kill| kill.nth > 1) || self.kills.len() > 1 {
            for part in ["", "-wal", "-shm"] {
                let path = format!("{}{part}", self.store_path().display());
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let acts = || self.story.acts.iter().copied().flatten();
        let opened: Vec<u64> = acts()
            .filter_map(|act| match act {
                Act::Opened(incident) => Some(*incident),
                _ => None,
            })
            .collect();
        let fixed: Vec<u64> = acts()
            .filter_map(|act| match act {
                Act::Fixed(incident) => Some(*incident),
                _ => None,
            })
            .collect();
        for who in self.story.receivers {
            match who {
                Who::Slack => self.wrong_in_slack(&opened, &fixed, &mut wrong),
                Who::Teams | Who::TeamsInstead => {
                    let cards = self.teams.cards();
                    let told: Vec<(String, bool)> = cards
                        .iter()
                        .map(|card| {
                            let summary = card["summary"].as_str().unwrap_or_default();
                            let word = summary.split(':').next().unwrap_or_default().to_owned();
                            (word, card.to_string().contains("may be a second copy"))
                        })
                        // That Slack can be reached again is no incident.
                        .filter(|(word, _)| *who == Who::Teams || word != "MESSAGES")
                        .collect();
                    self.wrong_in_order("Teams", "PROBLEM", "FIXED", &told, &mut wrong);
                }
                Who::Webhook => {
                    // A repeat has the id of the first: its receiver can tell.
                    let mut ids: Vec<String> = Vec::new();
                    let told: Vec<(String, bool)> = self
                        .hook
                        .taken()
                        .iter()
                        .zip(self.hook.bodies())
                        .map(|(seen, body)| {
                            let id = seen.header("webhook-id").unwrap_or_default().to_owned();
                            let again = ids.contains(&id);
                            ids.push(id);
                            (body["type"].as_str().unwrap_or_default().to_owned(), again)
                        })
                        .collect();
                    let (first, last) = ("incident.opened", "incident.resolved");
                    self.wrong_in_order("webhook", first, last, &told, &mut wrong);
                }
                Who::PagerDuty => {
                    let mut keys: Vec<String> = Vec::new();
                    let told: Vec<(String, bool)> = self
                        .pager
                        .bodies()
                        .iter()
                        .map(|event| {
                            let action = event["event_action"].as_str().unwrap_or_default();
                            let again = keys.contains(&action.to_owned());
                            keys.push(action.to_owned());
                            (action.to_owned(), again)
                        })
                        .collect();
                    self.wrong_in_order("PagerDuty", "trigger", "resolve", &told, &mut wrong);
                    if !pagerduty::open(&self.pager.bodies()).is_empty() {
                        wrong.push("an alert stands open in PagerDuty".to_owned());
                    }
                }
            }
        }
        wrong
    }

    /// Slack: each thing once, an incident's opening before its end, the parent as things stand.
    fn wrong_in_slack(&self, opened: &[u64], fixed: &[u64], wrong: &mut Vec<String>) {
        let (mut parents, replies) = (self.slack.parents(), self.slack.replies());
        // What an edit changed is told beside the incident.
        let edit =
            |text: &serde_json::Value| text.to_string().contains("was edited and is in force");
        parents.retain(|p| !edit(&p.body["text"]));
        if parents.len() != 1 {
            wrong.push(format!("{} parents in Slack, not 1", parents.len()));
        }
        let parent = parents.first().map(|p| p.body["text"].to_string());
        let parent = parent.unwrap_or_default();
        if opened.len() == fixed.len() && !parent.contains("FIXED") {
            wrong.push(format!(
                "the parent does not say that it is fixed: {parent}"
            ));
        }
        for incident in opened {
            let of: Vec<String> = replies
                .iter()
                .filter(|r| r.metadata["event_payload"]["incident"] == format!("INC-{incident}"))
                .map(|r| r.body["text"].as_str().unwrap_or_default().to_owned())
                .collect();
            let ends = usize::from(fixed.contains(incident));
            let told = of.iter().filter(|text| text.starts_with("FIXED")).count();
            let last = ends == 0 || of.last().is_some_and(|text| text.starts_with("FIXED"));
            if of.len() != 1 + ends || told != ends || !last {
                wrong.push(format!(
                    "INC-{incident} is to have its evidence{} in Slack, in order and once: {of:?}",
                    if ends == 1 { " and its end" } else { "" }
                ));
            }
        }
    }

    /// The others: at least once, in order, and as often more as a kill struck between taking and marking;
    /// a repeat can be known as one.
    fn wrong_in_order(
        &self,
        door: &str,
        first: &str,
        last: &str,
        told: &[(String, bool)],
        wrong: &mut Vec<String>,
    ) {
        let words: Vec<&str> = told.iter().map(|(word, _)| word.as_str()).collect();
        let end = words.iter().position(|word| *word == last);
        let opening = words.iter().position(|word| *word == first);
        // Both in one card: it can't be asked what it took, so the end tells the whole.
        let whole = self.meanwhile && door == "Teams";
        if end.is_none() || (opening.is_none() && !whole) {
            wrong.push(format!("{door} did not hear of both: {words:?}"));
        }
        if words.iter().any(|word| *word != first && *word != last) {
            wrong.push(format!("{door} heard something else: {words:?}"));
        }
        if words.iter().rposition(|word| *word == first) > end {
            wrong.push(format!(
                "{door} heard of the opening after the end: {words:?}"
            ));
        }
        let taken = self.taken_and_unmarked(door);
        let repeats = taken.len();
        let once = if whole { 1 } else { 2 };
        if self.story.receivers.contains(&Who::TeamsInstead) {
            // A kill at a call of Slack may strike what is on its way to Teams just then.
            if told.len() < 2 || told.len() > 2 + self.kills.len() {
                wrong.push(format!("{door} heard more than kills explain: {words:?}"));
            }
            return;
        }
        if told.len() != once + repeats {
            wrong.push(format!(
                "{door} is to hear {} messages, with {repeats} repeats: {words:?}",
                once + repeats
            ));
        }
        // To Teams a 500 says that the card was not taken, and who says so is believed.
        let believed = |kill: &&Kill| door == "Teams" && kill.stop == Stop::Failed;
        let doubtful = repeats - taken.iter().filter(believed).count();
        if !whole && told.iter().filter(|(_, again)| *again).count() < doubtful {
            wrong.push(format!("{door} can't tell a repeat: {told:?}"));
        }
    }

    /// Kills that struck after the receiver took a message and before that was on the disk.
    fn taken_and_unmarked(&self, door: &str) -> Vec<Kill> {
        let calls = self.tally.calls();
        calls
            .iter()
            .filter(|c| c.name.starts_with(door))
            .filter_map(|c| c.kill)
            .filter(|kill| kill.stop.taken())
            .collect()
    }

    /// Everything that is needed to understand a failure.
    pub(super) fn report(&self, what: &str) -> String {
        let mut text = format!("{} with {:?}:\n  {what}\n", self.story.name, self.kills);
        let _ = writeln!(text, "  folder: {}", self.folder.path().display());
        let mut life = 0;
        for call in self.tally.calls() {
            if call.life != life {
                life = call.life;
                let _ = writeln!(text, "  life {life}");
            }
            let _ = writeln!(text, "    {} {}", call.name, call.fate);
        }
        let _ = writeln!(text, "  the outbox:");
        for row in self.undelivered() {
            let notification = &row.notification;
            let _ = writeln!(
                text,
                "    INC-{} {} to {}: {}, {} tries{}, next {:?}, {:?}",
                notification.incident,
                notification.reason.as_str(),
                notification.receiver,
                row.progress.as_str(),
                row.attempts,
                if row.uncertain { ", uncertain" } else { "" },
                row.next_at,
                row.error
            );
        }
        let _ = writeln!(text, "  Slack shows:");
        for message in self.slack.messages() {
            let start: String = message.body["text"]
                .as_str()
                .unwrap_or_default()
                .chars()
                .take(70)
                .collect();
            let reply = if message.thread_ts.is_some() {
                "  "
            } else {
                ""
            };
            let _ = writeln!(text, "    {reply}{start} ({} edits)", message.edits);
        }
        for card in self.teams.cards() {
            let _ = writeln!(text, "  Teams shows: {}", card["summary"]);
        }
        for body in self.hook.bodies() {
            let _ = writeln!(text, "  the webhook took: {}", body["type"]);
        }
        for body in self.pager.bodies() {
            let _ = writeln!(text, "  PagerDuty took: {}", body["event_action"]);
        }
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let _ = writeln!(text, "  the log ends:");
        for line in &lines[lines.len().saturating_sub(12)..] {
            let _ = writeln!(text, "    {line}");
        }
        text
    }
}
