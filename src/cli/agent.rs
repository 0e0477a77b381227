//! `edgewatch agent`: probes at another site for a hub.

use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::{Format, exit};
use crate::app::agent::{self, Options, Timing};
use crate::app::agent_check::{self, Step};
use crate::app::site_plan::Rules;
use crate::domain::site::{Nats, check_name};
use crate::link::rights::URL;
use crate::link::spool::Bounds;

/// Probe at this site for a hub, which hands out what to probe
///
/// Only connects outward, opens no port, decides nothing. Without the hub it goes on by the plan of the last time and
/// keeps what it sees in its spool: a day, at most half a gigabyte, the oldest dropped and counted. What the plan may read
/// here is this host's to say: variables that begin with EDGEWATCH_ and those named with --allow-env, files below
/// --secrets, programs named with --allow-program. Exit code 0 when it was stopped, 2 when it can't start or another
/// agent is this site; with --check 0 when all is well, 1 when something is in the way.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  edgewatch agent --site aws-london --identity /etc/edgewatch/aws-london --secrets /run/secrets
  edgewatch agent --site aws-london --identity /etc/edgewatch/aws-london --check     what is in its way?")]
pub(super) struct Arguments {
    /// The site that this is, as the hub's file names it
    #[arg(long, value_name = "NAME")]
    site: String,
    /// The folder that `edgewatch hub init` made for this site
    #[arg(long, value_name = "FOLDER")]
    identity: Option<PathBuf>,
    /// Where the server is; as the identity says when left out
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// The folder of spool and plan
    #[arg(long, value_name = "FOLDER", default_value = "edgewatch-agent")]
    data: PathBuf,
    /// Files with secrets that the plan names are taken from below this folder
    #[arg(long, value_name = "FOLDER")]
    secrets: Option<PathBuf>,
    /// A variable that the plan may read besides those that begin with EDGEWATCH_; may be given again and again
    #[arg(long, value_name = "NAME")]
    allow_env: Vec<String>,
    /// A program that may make requests for the plan: curl, or a path; may be given again and again
    #[arg(long, value_name = "PROGRAM")]
    allow_program: Vec<String>,
    /// Look step by step for what is in its way, and say what to do; probes once, and changes nothing
    #[arg(long)]
    check: bool,
    /// How the result of --check is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(log: &str, arguments: &Arguments) -> ExitCode {
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return super::complain(&error),
    };
    let log = if arguments.check && log == "info" {
        "off"
    } else {
        log
    };
    if let Err(error) = super::start_log(log) {
        return super::complain(&error);
    }
    let nats = match nats(arguments) {
        Ok(nats) => nats,
        Err(error) => return super::complain(&error),
    };
    let rules = Rules {
        secrets: arguments
            .secrets
            .as_ref()
            .map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.clone())),
        env: arguments.allow_env.clone(),
        programs: arguments.allow_program.clone(),
    };
    if arguments.check {
        return runtime.block_on(check(arguments, &nats, &rules));
    }
    let options = Options {
        site: arguments.site.clone(),
        nats,
        data: arguments.data.clone(),
        rules,
        bounds: Bounds::default(),
        timing: Timing::default(),
        told: None,
    };
    match runtime.block_on(until_signalled(options)) {
        Ok(()) => exit::OK,
        Err(error) => super::complain(&error),
    }
}

fn nats(arguments: &Arguments) -> Result<Nats, String> {
    let say = |(what, how): (String, &str)| format!("{what}; {how}");
    check_name(&arguments.site).map_err(say)?;
    let url = match (&arguments.nats, &arguments.identity) {
        (Some(url), _) => url.clone(),
        (None, Some(folder)) => {
            let path = folder.join(URL);
            std::fs::read_to_string(&path)
                .map(|url| url.trim().to_owned())
                .map_err(|e| {
                    format!(
                        "can't read {}: {e}; name the server with --nats",
                        path.display()
                    )
                })?
        }
        (None, None) => {
            return Err(
                "where is the server? name the folder that `edgewatch hub init` made with --identity, or a server on this host with --nats"
                    .to_owned(),
            );
        }
    };
    Nats::new(&url, arguments.identity.clone()).map_err(|(what, how)| format!("{what}; {how}"))
}

async fn until_signalled(options: Options) -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|e| format!("can't listen for signals: {e}"));
    let (mut interrupt, mut terminate) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let _ = stop.send(());
    });
    agent::run(options, stopped).await
}

async fn check(arguments: &Arguments, nats: &Nats, rules: &Rules) -> ExitCode {
    let mut steps = Vec::new();
    let text = arguments.format == Format::Text;
    let colour = super::colour();
    agent_check::check(&arguments.site, nats, rules, |step| {
        if text {
            super::print(&line(&step, colour));
        }
        steps.push(step);
    })
    .await;
    if !text {
        let all: Vec<serde_json::Value> = steps.iter().map(json).collect();
        super::print(&format!("{:#}\n", serde_json::json!({ "steps": all })));
    }
    if steps.iter().all(|step| step.found.is_ok()) {
        exit::OK
    } else {
        exit::problem()
    }
}

fn line(step: &Step, colour: bool) -> String {
    let style = |of: AnsiColor| {
        if colour {
            Style::new().bold().fg_color(Some(of.into()))
        } else {
            Style::new()
        }
    };
    let (green, red) = (style(AnsiColor::Green), style(AnsiColor::Red));
    match &step.found {
        Ok(found) => format!("{green}ok{green:#}    {:<18} {found}\n", step.what),
        Err((why, how)) => {
            let why = why.replace('\n', "\n                         ");
            format!(
                "{red}fails{red:#} {:<18} {why}\n                         → {how}\n",
                step.what
            )
        }
    }
}

fn json(step: &Step) -> serde_json::Value {
    let (found, fault) = match &step.found {
        Ok(found) => (Some(found), None),
        Err((why, how)) => (None, Some((why, how))),
    };
    serde_json::json!({
        "step": step.what,
        "ok": fault.is_none(),
        "found": found,
        "why": fault.map(|(why, _)| why),
        "how": fault.map(|(_, how)| how),
    })
}
