//! `edgewatch run`: the daemon in the foreground.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::exit;
use crate::app::daemon::{self, Command, Options};
use crate::app::load;
use crate::app::record::Record;
use crate::app::{sites, standby};

/// Probe on schedule, keep history, open incidents and tell people (the default)
///
/// Runs in the foreground until SIGINT or SIGTERM. An edit of the file, or of a file that it names, is taken by itself
/// once it has stood for a second (`watch: false` in the file: at SIGHUP alone); the old one stays when the new one is faulty. Messages for receivers without a token are printed. Under systemd it says when
/// it is ready and feeds the watchdog. Exit code 0 when it was stopped, 1 when the file is faulty, 2 when it
/// can't start: no store, no address to listen on.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Arguments {
    /// Write down what the rules hear and answer, without secrets, for `edgewatch replay --log FILE`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

pub(super) fn run(config: &Path, log: &str, arguments: &Arguments) -> ExitCode {
    daemon(config, log, arguments, As::Alone)
}

/// What the daemon is to others.
#[derive(Debug, Clone)]
pub(super) enum As {
    Alone,
    /// The hub of sites.
    Hub,
    /// One of several of them.
    OneOf(standby::Hub),
}

/// The daemon, as the hub of sites or alone.
pub(super) fn daemon(config: &Path, log: &str, arguments: &Arguments, by: As) -> ExitCode {
    // First of all: a reload that is asked for while it starts must not end it.
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return super::complain(&error),
    };
    let signals = {
        let _within = runtime.enter();
        match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => return super::complain(&error),
        }
    };
    // One that came before is heard now.
    let _ = super::hangups().thread_unblock();
    if let Err(error) = super::start_log(log) {
        return super::complain(&error);
    }
    let hub = !matches!(by, As::Alone);
    let first = match options(config, arguments, hub) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let ended = runtime.block_on(async {
        let commands = signalled(signals);
        let As::OneOf(hub) = by else {
            return Box::pin(daemon::run(first, commands)).await;
        };
        // Each time that it leads or stands by the file is read anew.
        let mut first = Some(first);
        let read = || {
            let read = first
                .take()
                .map_or_else(|| options(config, arguments, true), Ok);
            read.map_err(|_| "the file can't be used".to_owned())
        };
        Box::pin(standby::run(hub, read, commands)).await
    });
    match ended {
        Ok(()) => exit::OK,
        Err(error) => super::complain(&error),
    }
}

/// Reads the file, or says what is wrong with it.
fn options(config: &Path, arguments: &Arguments, hub: bool) -> Result<Options, ExitCode> {
    let (found, on_disk) = load::attempt(config);
    let why = match found {
        Ok(loaded) => Ok(loaded),
        Err(load::Error::Faulty(findings)) => {
            eprintln!("{findings}");
            Err((findings.errors().to_string(), exit::problem()))
        }
        Err(load::Error::Unreadable(text)) => {
            let code = super::complain(&text);
            Err((text, code))
        }
    };
    let (loaded, refused) = match why {
        Ok(loaded) => (loaded, None),
        // A file that went wrong is no reason to watch nothing.
        Err((why, code)) => {
            let Some((at, loaded)) = load::last_good(config) else {
                return Err(code);
            };
            tracing::error!(
                "{} can't be used; it starts with the one that was in force since {at}, which the store has kept",
                config.display()
            );
            (loaded, Some(why))
        }
    };
    let load::Loaded {
        checked,
        source,
        secret_files,
        ..
    } = loaded;
    load::log_warnings(&checked);
    if checked.plan.nats.is_some() != hub {
        return Err(super::complain(if hub {
            "the file names no server where agents are met, so there is nothing to be a hub of; add \"nats: { url: … }\", or start `edgewatch run`"
        } else {
            "the file has sites with agents of their own, and whom they report to is a hub; start `edgewatch hub`"
        }));
    }
    Ok(Options {
        lead: None,
        sites: hub.then(|| sites::Source {
            source: source.clone(),
            secret_files,
            ..sites::Source::default()
        }),
        plan: checked.plan,
        config: Some(config.to_owned()),
        source: refused.is_none().then(|| source.clone()),
        on_disk: Some(on_disk),
        refused,
        record: arguments
            .record
            .clone()
            .map(|path| Record { path, plan: source }),
        started: None,
        messages: std::sync::Arc::new(|text: &str| super::print(text)),
        actions: Some(mpsc::channel(64)),
    })
}

/// What the operating system may tell the daemon.
struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on none of them ends the process by itself.
    fn listen() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|e| format!("can't listen for signals: {e}"));
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }
}

/// What the operating system wants, from now on.
fn signalled(mut signals: Signals) -> mpsc::Receiver<Command> {
    let (commands, wanted) = mpsc::channel(4);
    tokio::spawn(async move {
        loop {
            let command = tokio::select! {
                _ = signals.hangup.recv() => Command::Reload,
                _ = signals.interrupt.recv() => Command::Stop,
                _ = signals.terminate.recv() => Command::Stop,
            };
            if commands.send(command).await.is_err() {
                return;
            }
        }
    });
    wanted
}
