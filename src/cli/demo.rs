//! `edgewatch demo`: the story of March 2021, told by the real daemon on loopback.
//!
//! Nothing of the daemon is shortened but its intervals: the plan is read from YAML as ever, the probes go
//! over real sockets with real TLS from three source addresses, and the partner behind its edge is
//! another server in this process. Only the story's own steps (the move, the block, its end) are scripted.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;
use tokio::time::Instant;

use super::exit;
use crate::app::daemon::{self, Command, Options};
use crate::clock;
use crate::config::{self, Inputs};
use crate::domain::cell::CellKey;
use crate::domain::change::Change;
use crate::domain::incident::{Happening, TimelineEntry};
use crate::domain::plan::Plan;
use crate::report::{incidents, matrix};
use crate::simulate::Account;
use crate::simulate::Action;
use crate::simulate::Certificate;
use crate::simulate::Clock;
use crate::simulate::Edge;
use crate::simulate::Form;
use crate::simulate::Front;
use crate::simulate::Page;
use crate::simulate::Partner;
use crate::simulate::Rule;
use crate::simulate::Script;
use crate::simulate::Text;
use crate::simulate::When;
use crate::store::{Follower, Kept};
use crate::words::briefing;

/// The whole story ends within this, whatever happens; stopping has the rest of the two minutes.
const DEADLINE: Duration = Duration::from_secs(105);

const PARTNER: &str = "connect.gmc.example";
const CONTROL: &str = "www.control.example";
const RULE: &str = "the new rule";

/// Watch the March 2021 incident being found and told, on loopback, in under two minutes
///
/// The real daemon probes a simulated partner from three addresses as four clients: the partner moves behind a
/// CDN, the CDN refuses one user agent, edgewatch finds out which, tells people, and notices when it is lifted.
/// It needs no network and no configuration. Exit code 0 when the story went as it should.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Stay up after the story, until Ctrl-C, with everything still running.
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(log: &str, arguments: &Arguments) -> ExitCode {
    // The story is told on standard output; the log only adds what went wrong, unless more was asked for.
    if let Err(error) = super::start_log(if log == "info" { "error" } else { log }) {
        return super::complain(&error);
    }
    let told = super::runtime().and_then(|runtime| runtime.block_on(tell(arguments.keep)));
    match told {
        Ok(true) => exit::OK,
        Ok(false) => exit::problem(),
        Err(error) => super::complain(&error),
    }
}

async fn tell(keep: bool) -> Result<bool, String> {
    let deadline = Instant::now() + DEADLINE;
    let (partner, control) = start_world().await?;
    let directory = Directory::new()?;
    let plan = plan(&partner, &control, &directory.path)?;

    let (commands, wanted) = mpsc::channel(1);
    let (started, start) = oneshot::channel();
    let options = Options {
        on_disk: None,
        sites: None,
        lead: None,
        record: None,
        plan: plan.clone(),
        config: None,
        source: None,
        refused: None,
        started: Some(started),
        messages: Arc::new(|text: &str| super::print(&format!("\n{}\n", text.trim_end()))),
        actions: None,
    };
    let mut daemon = tokio::spawn(daemon::run(options, wanted));
    let Ok(started) = start.await else {
        return Err(early(daemon.await));
    };
    if let Some(pages) = &started.pages {
        super::print(&format!("\nThe dashboard is at {pages}\n"));
    }
    let mut story = Story {
        plan,
        kept: started.kept,
        seen: BTreeMap::new(),
        timeline: Vec::new(),
        last: None,
        colour: super::colour(),
    };

    let told = tokio::select! {
        told = tokio::time::timeout_at(deadline, story.told(&partner)) => told,
        ended = &mut daemon => return Err(early(ended)),
    };
    let right = if let Ok(right) = told {
        right
    } else {
        story.say("The story did not end in time; this machine may be very busy.");
        false
    };
    if keep {
        story.say(&format!(
            "Staying up, as asked; Ctrl-C ends it. To look closer meanwhile:\n\
             {}edgewatch incidents show 1 --config {}/probes.yaml",
            started
                .pages
                .map_or_else(String::new, |pages| format!("{pages}incidents/1\n")),
            directory.path.display()
        ));
        let _ = tokio::signal::ctrl_c().await;
    }
    let _ = commands.send(Command::Stop).await;
    daemon
        .await
        .map_err(|e| format!("the daemon ended badly: {e}"))??;
    partner.stop().await;
    control.stop().await;
    Ok(right)
}

/// Why the daemon ended before the story did.
fn early(ended: Result<Result<(), String>, JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "the daemon stopped before the story's end".to_owned(),
        Ok(Err(error)) => error,
        Err(error) => format!("the daemon ended badly: {error}"),
    }
}

async fn start_world() -> Result<(Edge, Edge), String> {
    let clock = Clock::new(clock::now);
    let rule = Rule::new(
        RULE,
        When::ua(Text::prefix("Java/1.8")),
        Action::Page(Page::Cloudflare {
            code: 1010,
            form: Form::Html,
        }),
    )
    .off();
    let script = Script {
        tls: Some(certificate(PARTNER)),
        rules: vec![rule],
        ..Script::new(clock.clone())
    };
    let partner = Edge::start(
        Partner::gmc(vec![Account::new("demo", "demo-password")]),
        script,
    )
    .await?;
    let script = Script {
        tls: Some(certificate(CONTROL)),
        ..Script::new(clock)
    };
    let control = Edge::start(Partner::control(), script).await?;
    Ok((partner, control))
}

fn certificate(name: &str) -> Certificate {
    Certificate {
        names: vec![name.to_owned()],
        ..Certificate::default()
    }
}

/// The demo's file: what an operator would write, with shorter intervals.
fn plan(partner: &Edge, control: &Edge, directory: &Path) -> Result<Plan, String> {
    let text = format!(
        r#"version: 1
service: GMC
timezone: Europe/London
egresses:
  legacy-prod: 127.0.0.2
  new-reval: 127.0.0.3
  office: 127.0.0.4
clients:
  legacy-reval: "Java/1.8.0_275"
  new-reval: "Java/11.0.10"
  reports: "okhttp/4.9.1"
  plain: {{ user_agent: "edgewatch (demo)", control: true }}
credentials:
  gmc:
    username: {{ env: DEMO_USERNAME }}
    password: {{ env: DEMO_PASSWORD }}
    gmc_number: {{ env: DEMO_NUMBER }}
    recommendation_id: {{ env: DEMO_NUMBER }}
    designated_body: {{ env: DEMO_NUMBER }}
probes:
  gmc-connect:
    url: https://{PARTNER}:{partner_port}/GMCWebServices/WebService.asmx
    connect_to: 127.0.0.1
    method: POST
    headers:
      Content-Type: text/xml; charset=utf-8
      SOAPAction: "https://webcache.gmc-uk.org/GMCWebServices/CheckRecommendationStatus"
    body: |
{body}
    with: gmc
    every: 4s
    timeout: 3s
    expect: {{ status: 200, xpath: "//*[local-name()='ReturnCode']='0'" }}
    origin: {{ body: GMCRequestID }}
    words:
      what: Submitting recommendations to the GMC
      affects: Revalidation users
      workaround: Use GMC Connect on the web
controls:
  internet:
    url: https://{CONTROL}:{control_port}/
    connect_to: 127.0.0.1
    every: 4s
    timeout: 3s
politeness: {{ per_host: {{ requests_per_minute: 600, gap: 50ms }} }}
notify:
  receivers:
    engineers: {{ slack: {{ token: {{ env: SLACK_BOT_TOKEN }}, channel: C0123456789 }} }}
    support: {{ teams: {{ webhook: {{ env: TEAMS_WEBHOOK_URL }} }} }}
  routes:
    - {{ to: engineers }}
    - {{ to: support, min_confidence: 0.9 }}
web: {{ listen: 127.0.0.1:0 }}
store: {{ path: {store} }}
trust: [partner-ca.pem, control-ca.pem]
"#,
        partner_port = partner.addr().port(),
        control_port = control.addr().port(),
        body = indented(include_str!("../../deploy/soap/check-status.xml")),
        store = directory.join("demo.sqlite").display(),
    );
    let inputs = World {
        files: BTreeMap::from([
            (
                PathBuf::from("partner-ca.pem"),
                partner.root_pem().unwrap_or_default(),
            ),
            (
                PathBuf::from("control-ca.pem"),
                control.root_pem().unwrap_or_default(),
            ),
        ]),
    };
    // For commands that are tried beside it; without one the story is the same.
    let _ = std::fs::write(directory.join("probes.yaml"), &text);
    for (name, text) in &inputs.files {
        let _ = std::fs::write(directory.join(name), text);
    }
    // A fault here is ours, not the reader's; it is shown as it would be shown to them.
    config::read(&text, "the demo's probes.yaml", &inputs)
        .map(|checked| checked.plan)
        .map_err(|f| f.to_string())
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("      {line}")).collect();
    lines.join("\n")
}

/// The demo's surroundings: its own account, nobody's tokens, certificates made a moment ago.
struct World {
    files: BTreeMap<PathBuf, String>,
}

impl Inputs for World {
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "DEMO_USERNAME" => Some("demo".to_owned()),
            "DEMO_NUMBER" => Some("0000000".to_owned()),
            "DEMO_PASSWORD" => Some("demo-password".to_owned()),
            _ => None,
        }
    }

    fn file(&self, path: &Path) -> std::io::Result<String> {
        self.files
            .get(path)
            .cloned()
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}

/// A directory for the store, removed at the end.
struct Directory {
    path: PathBuf,
}

impl Directory {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("edgewatch-demo-{}", std::process::id()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|e| format!("can't make {}: {e}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

struct Story {
    plan: Plan,
    kept: Follower,
    /// The last run of each cell.
    seen: BTreeMap<CellKey, matrix::Entry>,
    timeline: Vec<TimelineEntry>,
    last: Option<Arc<Change>>,
    colour: bool,
}

impl Story {
    /// Tells it from beginning to end; whether it went as it should.
    async fn told(&mut self, partner: &Edge) -> bool {
        let cells = self.plan.cells().count();
        self.say(
            "Three egress addresses, four clients, one partner. The partner's API answers directly.\n\
             Every cell of the matrix is probed every 4 s (a real plan says 5 min).",
        );
        self.until(|story| story.seen.len() >= cells).await;
        self.picture();

        partner.set_front(Front::cloudflare());
        self.say("Sunday, 28 February 2021: the partner moves its API behind Cloudflare. Everything still passes.");
        self.rounds(1).await;
        self.picture();

        partner.switch(RULE, true);
        self.say(
            "That night a rule at the edge begins to refuse user agents that begin with Java/1.8.",
        );
        let began = Instant::now();
        self.until(|story| story.happened(Happening::Opened)).await;
        self.picture();
        self.say(&format!(
            "edgewatch opened an incident {} s after the first refusal was possible. It took the people four days.\n\
             Without tokens for Slack and Teams their messages appear here:",
            began.elapsed().as_secs()
        ));
        self.rounds(2).await;
        let right = self.last.as_ref().is_some_and(|change| {
            use crate::domain::diagnosis::{Cause, Level};
            change.incident.diagnosis.cause == Cause::Level(Level::Client("legacy-reval".into()))
        });

        partner.switch(RULE, false);
        self.say("The partner lifts the rule.");
        self.until(|story| story.happened(Happening::Resolved))
            .await;
        self.rounds(1).await;
        self.picture();
        if let Some(change) = &self.last {
            let view = briefing::View {
                min_confidence: 0.0,
                next_update_at: None,
            };
            let briefing = briefing::write(&self.plan, &change.incident, view);
            self.say("What `edgewatch incidents show 1` tells afterwards:");
            super::print(&incidents::story(
                &change.incident,
                &briefing,
                &self.timeline,
                &self.plan.zone,
                clock::now(),
                self.colour,
            ));
        }
        self.say("That was the story. Next: edit probes.yaml, then `edgewatch check` and `edgewatch once`.");
        right
    }

    fn happened(&self, what: Happening) -> bool {
        self.timeline.iter().any(|entry| entry.what == what)
    }

    /// Hears the daemon until the story may go on.
    async fn until(&mut self, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            match self.kept.next().await {
                Some(Kept::Run(judged)) => {
                    let seen = &judged.observation;
                    let entry = matrix::Entry {
                        cell: seen.cell.clone(),
                        verdict: judged.verdict.clone(),
                        status: seen.answer.as_ref().map(|answer| answer.status),
                        took: seen.took,
                    };
                    self.seen.insert(entry.cell.clone(), entry);
                }
                Some(Kept::Change(change)) => {
                    self.timeline.extend(change.timeline.iter().cloned());
                    self.last = Some(change);
                }
                Some(Kept::Verdict(_) | Kept::Missed(_)) => {}
                // The daemon is gone; its own end ends the story.
                None => std::future::pending().await,
            }
        }
    }

    /// Hears it for this many rounds.
    async fn rounds(&mut self, rounds: u64) {
        let _ =
            tokio::time::timeout(Duration::from_millis(4500 * rounds), self.until(|_| false)).await;
    }

    fn say(&self, text: &str) {
        let style = if self.colour {
            Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()))
        } else {
            Style::new()
        };
        super::print(&format!(
            "\n{style}▌ {}{style:#}\n",
            text.replace('\n', "\n▌ ")
        ));
        let _ = std::io::stdout().flush();
    }

    fn picture(&self) {
        let probes: Vec<matrix::Entry> = self
            .seen
            .values()
            .filter(|e| e.cell.probe.as_str() == "gmc-connect")
            .cloned()
            .collect();
        super::print(&format!(
            "\n{}",
            matrix::matrix(&probes, self.colour, super::columns())
        ));
    }
}
