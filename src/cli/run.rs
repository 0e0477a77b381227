//! `edgewatch run`: the daemon in the foreground.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::exit;
use crate::app::daemon::{self, Command, Options};
use crate::app::load;
use crate::app::record::Record;

/// Probe on schedule, keep history, open incidents and tell people (the default)
///
/// Runs in the foreground until SIGINT or SIGTERM; SIGHUP reads the file again, and keeps the old one
/// when the new one is faulty. Messages for receivers without a token are printed. Under systemd it says when
/// it is ready and feeds the watchdog. Exit code 0 when it was stopped, 1 when the file is faulty, 2 when it
/// can't start: no store, no address to listen on.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Arguments {
    /// Write down what the rules hear and answer, without secrets, for `edgewatch replay --log FILE`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

pub(super) fn run(config: &Path, log: &str, arguments: &Arguments) -> ExitCode {
    if let Err(error) = super::start_log(log) {
        return super::complain(&error);
    }
    let why = match load::load_with_source(config) {
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
                return code;
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
        on_disk,
    } = loaded;
    load::log_warnings(&checked);
    let options = Options {
        plan: checked.plan,
        config: Some(config.to_owned()),
        source: refused.is_none().then(|| source.clone()),
        on_disk,
        refused,
        record: arguments
            .record
            .clone()
            .map(|path| Record { path, plan: source }),
        started: None,
        messages: std::sync::Arc::new(|text: &str| super::print(text)),
        actions: Some(mpsc::channel(64)),
    };
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return super::complain(&error),
    };
    match runtime.block_on(until_signalled(options)) {
        Ok(()) => exit::OK,
        Err(error) => super::complain(&error),
    }
}

async fn until_signalled(options: Options) -> Result<(), String> {
    let (commands, wanted) = mpsc::channel(4);
    let listen = |kind| signal(kind).map_err(|e| format!("can't listen for signals: {e}"));
    let (mut hangup, mut interrupt, mut terminate) = (
        listen(SignalKind::hangup())?,
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    tokio::spawn(async move {
        loop {
            let command = tokio::select! {
                _ = hangup.recv() => Command::Reload,
                _ = interrupt.recv() => Command::Stop,
                _ = terminate.recv() => Command::Stop,
            };
            if commands.send(command).await.is_err() {
                return;
            }
        }
    });
    Box::pin(daemon::run(options, wanted)).await
}
