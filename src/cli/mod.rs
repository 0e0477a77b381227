//! The command line: one file a command; arguments in, exit code out.

mod agent;
mod ask;
mod bisect;
mod bisect_journal;
mod check;
mod classify;
mod client;
mod client_trust;
mod completions;
mod demo;
mod explain;
mod export;
mod gate;
mod hub;
mod incidents;
mod init;
mod once;
mod plan;
mod report;
mod run;
mod schema;
mod silence;
mod sites;
mod status;
mod store;
mod templates;
mod trust_store;
mod try_client;
mod web;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::report::fold;
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use nix::sys::signal::{SigSet, Signal};

/// Exit codes, the same for every command.
pub mod exit {
    use std::process::ExitCode;

    pub const OK: ExitCode = ExitCode::SUCCESS;
    /// Something is wrong with what was asked about: a blocked cell, a faulty file, an open incident.
    pub fn problem() -> ExitCode {
        ExitCode::from(1)
    }
    /// Something is wrong on our side, or with the command line.
    pub fn our_side() -> ExitCode {
        ExitCode::from(2)
    }
}

#[derive(Debug, Parser)]
#[command(
    name = "edgewatch",
    version,
    about = "Finds out which factor a partner's CDN or WAF refuses, tells people, and hands over the evidence",
    after_help = "\
Examples:
  edgewatch demo                         watch the whole story on this machine, without network or configuration
  edgewatch init                         write a first probes.yaml
  edgewatch check                        is probes.yaml right?
  edgewatch explain every                what is this key for?
  edgewatch plan                         what would a reload of probes.yaml change?
  edgewatch once                         run the matrix now and show it
  edgewatch try --user-agent \"Java/21.0.2\" gmc-connect
  edgewatch bisect gmc-connect --fails legacy-reval --passes new-reval    which part of the request is refused?
  edgewatch client legacy-reval          what does this client really send, TLS fingerprint included?
  edgewatch gate gmc-connect && start-the-sync
  edgewatch incidents ack 12             somebody looks after INC-12: no more reminders
  edgewatch silence add --probe gmc-connect --for 2h
  edgewatch report 12                    the letter to the partner about INC-12
  edgewatch export --from 2026-10-01     what was counted since, as CSV or JSON
  edgewatch                              probe on schedule and tell Slack and Teams (the same as `edgewatch run`)
  edgewatch hub                          the same, with agents at other sites (docs/sites.md)
  edgewatch status                       is the daemon well, what did it see last, does anything need care?
  curl -si https://example.org | edgewatch classify -

Exit codes: 0 all is well; 1 a problem was found; 2 something on our side, or a wrong command line.
What each means for a command stands in its own --help."
)]
struct Arguments {
    /// The file that says what to probe and whom to tell.
    #[arg(
        short,
        long,
        global = true,
        default_value = "probes.yaml",
        value_name = "FILE"
    )]
    config: PathBuf,

    /// What is logged: error, warn, info, debug, or a filter such as `edgewatch::probe=debug`.
    #[arg(
        long,
        global = true,
        env = "EDGEWATCH_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    log: String,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Arguments),
    Run(run::Arguments),
    Check(check::Arguments),
    Plan(plan::Arguments),
    Once(once::Arguments),
    Try(try_client::Arguments),
    Bisect(bisect::Arguments),
    Client(client::Arguments),
    Gate(gate::Arguments),
    Classify(classify::Arguments),
    Explain(explain::Arguments),
    Schema(schema::Arguments),
    Templates(templates::Arguments),
    Incidents(incidents::Arguments),
    Silence(silence::Arguments),
    Status(status::Arguments),
    Store(store::Arguments),
    Report(report::Arguments),
    Postmortem(report::PostmortemArguments),
    Export(export::Arguments),
    Web(web::Arguments),
    Hub(hub::Arguments),
    Agent(agent::Arguments),
    Sites(sites::Arguments),
    Demo(demo::Arguments),
    Completions(completions::Arguments),
    Man(completions::ManArguments),
    Replay(crate::lab::replay::ReplayArgs),
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For scripts; stable.
    Json,
}

/// Reads the arguments, runs the command.
#[must_use]
pub fn main() -> ExitCode {
    // A reload that is asked for while the daemon starts must not end it: it waits until somebody listens.
    let _ = hangups().thread_block();
    let given = format_behind(std::env::args_os().collect());
    JSON.store(asks_json(&given), Ordering::Relaxed);
    let matches = match Arguments::command().try_get_matches_from(given) {
        Ok(matches) => matches,
        Err(error) if JSON.load(Ordering::Relaxed) && error.use_stderr() => {
            return complain(&slip(&error.render().to_string()));
        }
        Err(error) => error.exit(),
    };
    let mut arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    if let Some(Command::Replay(replay)) = &mut arguments.command
        && matches.value_source("log") == Some(ValueSource::CommandLine)
    {
        replay.log = Some(PathBuf::from(&arguments.log));
    }
    // Exactly one provider is compiled in; installing it by name keeps a second one, should a
    // dependency ever bring it, from turning into a panic at the first handshake.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = arguments.config;
    let command = arguments
        .command
        .unwrap_or(Command::Run(run::Arguments::default()));
    if !matches!(command, Command::Run(_) | Command::Hub(_)) {
        let _ = hangups().thread_unblock();
    }
    match command {
        Command::Init(command) => init::run(&config, &command),
        Command::Explain(command) => explain::run(&command),
        Command::Completions(command) => completions::run(&command),
        Command::Man(command) => completions::run_man(&command),
        Command::Run(command) => run::run(&config, &arguments.log, &command),
        Command::Check(command) => check::run(&config, &command),
        Command::Plan(command) => plan::run(&config, &command),
        Command::Once(command) => once::run(&config, &arguments.log, &command),
        Command::Gate(command) => gate::run(&config, &arguments.log, &command),
        Command::Try(command) => try_client::run(&config, &arguments.log, &command),
        Command::Bisect(command) => bisect::run(&config, &arguments.log, &command),
        Command::Client(command) => client::run(&config, &arguments.log, &command),
        Command::Classify(command) => classify::run(&command),
        Command::Schema(command) => schema::run(&command),
        Command::Templates(command) => templates::run(&command),
        Command::Incidents(command) => incidents::run(&config, &command),
        Command::Silence(command) => silence::run(&config, &command),
        Command::Status(command) => status::run(&config, &command),
        Command::Store(command) => store::run(&config, &command),
        Command::Report(command) => report::run(&config, &command),
        Command::Postmortem(command) => report::run_postmortem(&config, &command),
        Command::Export(command) => export::run(&config, &command),
        Command::Web(command) => web::run(&config, &command),
        Command::Hub(command) => hub::run(&config, &arguments.log, &command),
        Command::Agent(command) => agent::run(&arguments.log, &command),
        Command::Sites(command) => sites::run(&config, &command),
        Command::Demo(command) => demo::run(&arguments.log, &command),
        Command::Replay(command) => crate::lab::replay::run(&command),
    }
}

/// What asks for a reload; held back from the first line of `main` on, by this thread and those that it starts.
fn hangups() -> SigSet {
    SigSet::from(Signal::SIGHUP)
}

/// Whether standard output may be coloured: a terminal, and nobody asked for none (no-color.org).
fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Sends the log to standard error, so that standard output stays the result's.
fn start_log(filter: &str) -> Result<(), String> {
    // What a peer does in TLS stands in the observation; rustls would log it without saying of which probe.
    let filter = tracing_subscriber::EnvFilter::try_new(format!("rustls=error,{filter}"))
        .map_err(|e| format!("--log {filter:?}: {e}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init()
        .map_err(|e| e.to_string())
}

/// Who runs this, for people: as given, otherwise the user of the shell.
fn who(given: Option<&str>) -> String {
    let named = |name: &str| std::env::var(name).ok();
    let who = given
        .map(str::to_owned)
        .or_else(|| named("SUDO_USER"))
        .or_else(|| named("USER"))
        .or_else(|| named("LOGNAME"))
        .map(|who| crate::domain::mute::words(&who))
        .filter(|who| !who.is_empty());
    who.unwrap_or_else(|| "somebody".to_owned())
}

/// The number of an incident, with or without `INC-`.
fn incident_number(text: &str) -> Result<u64, String> {
    let digits = text.trim_start_matches("INC-").trim_start_matches("inc-");
    digits
        .parse()
        .map_err(|_| format!("{text:?} is no incident number; see `edgewatch incidents list`"))
}

/// Prints to standard output; a reader that went away (`| head`) is no error.
fn print(text: &str) {
    use std::io::Write as _;
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints what a person reads, in lines that fit the terminal.
fn show(text: &str) {
    match columns() {
        Some(columns) => print(&fold::fold(text, columns)),
        None => print(text),
    }
}

/// The width that lines must fit: `COLUMNS` where it is exported, else that of the terminal; `None`: nobody knows one.
fn columns() -> Option<usize> {
    let named = std::env::var("COLUMNS").ok();
    let named = named.and_then(|columns| columns.parse().ok());
    named.or_else(|| {
        let terminal = std::io::stdout().is_terminal();
        let width = terminal.then(|| comfy_table::Table::new().width());
        width.flatten().map(usize::from)
    })
}

/// Results are written for scripts, and so is what went wrong; set once, before any command runs.
static JSON: AtomicBool = AtomicBool::new(false);

/// `edgewatch --format json status` is `edgewatch status --format json`.
fn format_behind(mut given: Vec<OsString>) -> Vec<OsString> {
    let words = match given.get(1).and_then(|word| word.to_str()) {
        Some("--format") => 2,
        Some(word) if word.starts_with("--format=") => 1,
        _ => 0,
    };
    if given.len() > 1 + words {
        let options: Vec<OsString> = given.drain(1..=words).collect();
        let end = given.iter().position(|word| word == "--");
        let end = end.unwrap_or(given.len());
        given.splice(end..end, options);
    }
    given
}

fn asks_json(given: &[OsString]) -> bool {
    given.iter().any(|word| word == "--format=json")
        || given.windows(2).any(|two| two == ["--format", "json"])
}

/// What is wrong with the arguments, in one line: `what; how to mend it`.
fn slip(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    let end = lines.iter().position(|line| line.is_empty());
    let what = lines[..end.unwrap_or(lines.len())].join(" ");
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    let how = lines
        .iter()
        .find_map(|line| line.strip_prefix("tip: ").or(line.strip_prefix("Usage: ")));
    match how {
        Some(how) => format!("{what}; {how}"),
        None => what.to_owned(),
    }
}

/// Says on standard error what went wrong on our side; to scripts on standard output, as JSON.
fn complain(text: &str) -> ExitCode {
    if JSON.load(Ordering::Relaxed) {
        print(&format!("{:#}\n", error_json(text)));
    } else {
        eprintln!("edgewatch: {text}");
    }
    exit::our_side()
}

/// What went wrong in its parts, the same for every command: `probes.yaml:3:5: what; how to mend it`.
fn error_json(text: &str) -> serde_json::Value {
    let line = text.lines().next().unwrap_or_default();
    let is_place = |place: &str| {
        let mut parts = place.rsplitn(3, ':');
        let number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u32>().is_ok());
        number(parts.next()) && number(parts.next()) && parts.next().is_some()
    };
    let (place, rest) = match line.split_once(": ") {
        Some((place, rest)) if is_place(place) => (Some(place), rest),
        _ => (unreadable(line), line),
    };
    let (what, how) = match rest.split_once("; ") {
        Some((what, how)) => (what, Some(how)),
        None => (rest, None),
    };
    serde_json::json!({ "error": { "what": what, "where": place, "how": how } })
}

/// The file of `can't read probes.yaml: why`.
fn unreadable(line: &str) -> Option<&str> {
    let (file, _) = line.strip_prefix("can't read ")?.split_once(": ")?;
    Some(file)
}

/// Which store a command works on.
#[derive(Debug, Clone, Default, clap::Args)]
struct StoreAt {
    /// The store, when it is not where probes.yaml says.
    #[arg(
        long,
        global = true,
        env = "EDGEWATCH_STORE",
        value_name = "FILE",
        hide_env_values = true
    )]
    store: Option<PathBuf>,
}

impl StoreAt {
    /// Puts it in place of the plan's; messages then say the whole path.
    fn choose(&self, plan: &mut crate::domain::plan::Plan) {
        let path = self.store.as_ref().unwrap_or(&plan.store.path);
        let whole = std::path::absolute(path);
        plan.store.path = whole.unwrap_or_else(|_| path.clone());
    }
}

/// A multi-threaded runtime for the commands that probe.
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("can't start the runtime: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_may_stand_before_the_command() {
        for (given, read) in [
            ("e --format json status", "e status --format json"),
            ("e --format=json status", "e status --format=json"),
            ("e --format json try -- --ua", "e try --format json -- --ua"),
            ("e status --format json", "e status --format json"),
            ("e --format", "e --format"),
            ("e", "e"),
        ] {
            let words = given.split(' ').map(OsString::from).collect();
            let words = format_behind(words);
            let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
            assert_eq!(words.join(" "), read);
        }
    }

    #[test]
    fn an_error_has_one_shape() {
        for (text, what, place, how) in [
            (
                "probes.yaml:3:5: probes.p.every: \"30\" has no unit; write \"30s\"\n 3 | x",
                "probes.p.every: \"30\" has no unit",
                Some("probes.yaml:3:5"),
                Some("write \"30s\""),
            ),
            (
                "there is no incident INC-7; see `edgewatch incidents list`",
                "there is no incident INC-7",
                None,
                Some("see `edgewatch incidents list`"),
            ),
            (
                "can't read x: no: such file",
                "can't read x: no: such file",
                Some("x"),
                None,
            ),
        ] {
            let expected =
                serde_json::json!({ "error": { "what": what, "where": place, "how": how } });
            assert_eq!(error_json(text), expected);
        }
    }
}
