//! `edgewatch try`: would a client, or an address, that is not in the file yet pass?

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::ask::{self, Levels};
use crate::app::load;
use crate::ask::conclude;
use crate::ask::move_to;
use crate::ask::newcomer::{self, Newcomer};
use crate::ask::trial::{self, Outcome, Trial};
use crate::cli::Format;
use crate::cli::exit;
use crate::clock;
use crate::config;
use crate::domain::cell::{
    Client, ClientName, Egress, EgressName, HttpOffer, IpFamily, Program, Speaks, Way,
};
use crate::domain::plan::Plan;

/// Ask before a roll-out: would this client pass, and from which egresses?
///
/// Runs the probe's matrix and the controls once, now, with one more client named `try`, and shows the
/// same table and conclusion as `once`. Nothing is stored and nobody is told. Use it for clients that you
/// are about to put into service, not to find out what a partner lets through.
/// With --command the program makes the requests itself, with its own TLS: would the services still pass on that JVM?
/// Give --user-agent too, as the services send it, and a client of the file with the same one is its twin.
/// With an address in --from that is none of the file's egresses, requests leave from there as well: before work moves to it. Then
/// --user-agent may be left out, and the probe's own clients are asked.
/// Exit code 0 when the new client or address passes everywhere, 1 when not, 2 when our own side is in the way.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  edgewatch try --user-agent \"Java/21.0.2\" gmc-connect
  edgewatch try --user-agent \"Java/21.0.2\" --http 2 --header \"Accept: text/xml\" --from legacy-prod gmc-connect
  edgewatch try gmc-connect --user-agent \"Java/21.0.2\" --command /opt/jdk-21/bin/java -- -cp deploy/workers Worker HttpUrlConnection
  edgewatch try gmc-connect --command curl
  edgewatch try gmc-connect --from 203.0.113.9        would work that moves to this address pass?")]
pub(super) struct Arguments {
    /// The probe whose request is made.
    #[arg(value_name = "PROBE")]
    probe: String,
    /// Sent as it stands; an empty one means that no User-Agent header is sent.
    #[arg(long, value_name = "UA", required_unless_present_any = ["command", "from"])]
    user_agent: Option<String>,
    /// A program that makes the requests (docs/programs.md); its arguments stand at the end, after "--". "curl" is built in.
    #[arg(long, value_name = "PROGRAM")]
    command: Option<String>,
    /// A header of the new client; may be given several times. The probe's own of the same name wins.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The HTTP version that the new client offers; 1.1 when left out, or what the program offers.
    #[arg(long, value_enum)]
    http: Option<Http>,
    /// Only from these egresses; or from an address of this host that the file does not have yet.
    #[arg(long, value_name = "EGRESS", value_delimiter = ',')]
    from: Vec<String>,
    /// Only with these credentials.
    #[arg(long = "with", value_name = "CREDENTIAL", value_delimiter = ',')]
    with: Vec<String>,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Arguments of the program.
    #[arg(last = true, value_name = "ARGUMENT", requires = "command")]
    rest: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Http {
    #[value(name = "1.1")]
    One,
    #[value(name = "2")]
    Two,
    /// Both by ALPN, HTTP/2 first.
    Either,
}

pub(super) fn run(file: &Path, log: &str, arguments: &Arguments) -> ExitCode {
    let mut plan = match ask::begin(file, log) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let probes = std::slice::from_ref(&arguments.probe);
    let moves = arguments.user_agent.is_none() && arguments.command.is_none();
    if moves
        || arguments
            .from
            .iter()
            .any(|name| new_address(&plan, name).is_some())
    {
        return match from_address(plan, arguments) {
            Ok(code) => code,
            Err(error) => super::complain(&error),
        };
    }
    let levels = Levels {
        from: arguments.from.clone(),
        as_clients: Vec::new(),
        with: arguments.with.clone(),
    };
    // Names are looked up before the new client is among them.
    let added = levels
        .check(&plan, probes)
        .and_then(|()| client(arguments, &plan))
        .map(|client| newcomer::add(&mut plan, &arguments.probe, client));
    let plan = Arc::new(plan);
    let judged = added.and_then(|name| {
        let asked = ask::cells(&plan, probes, &levels)?;
        Ok((name, ask::ask(&plan, asked.cells)?, asked.idle))
    });
    let (name, judged, idle) = match judged {
        Ok(done) => done,
        Err(error) => return super::complain(&error),
    };
    let now = clock::now();
    let found = conclude::conclude(&plan, &judged, now).without(idle);
    let dark = conclude::dark(&plan, &judged, now);
    let command = arguments.command.as_deref();
    let shown = newcomer::shown(arguments.user_agent.as_deref(), command);
    let mut trial = trial::trial(&judged, &dark, &name, &shown);
    let fingerprints = trial::fingerprints(&judged, &name);
    if arguments.command.is_some() {
        trial.sentence.push_str(&trial::told(&fingerprints, &name));
    }
    let keys = json!({ "try": keys(&name, arguments, &trial, &fingerprints) });
    ask::show(
        &judged,
        &found,
        arguments.format,
        Some((&trial.sentence, keys)),
    );
    match trial.outcome {
        // Of what could not run nobody knows whether it would pass.
        Outcome::Passes if !found.idle.is_empty() => exit::our_side(),
        Outcome::Passes => exit::OK,
        Outcome::Fails => exit::problem(),
        Outcome::Unknown => exit::our_side(),
    }
}

/// An address that no egress of the file has as its name.
fn new_address(plan: &Plan, name: &str) -> Option<IpAddr> {
    let known = plan
        .egresses
        .iter()
        .any(|egress| egress.name.as_str() == name);
    name.parse().ok().filter(|_| !known)
}

/// Asks from one more address as well, as the probe's own clients.
fn from_address(mut plan: Plan, arguments: &Arguments) -> Result<ExitCode, String> {
    let [name] = arguments.from.as_slice() else {
        return Err("give --user-agent or --command, or --from with one new address".to_owned());
    };
    let Some(address) = new_address(&plan, name) else {
        return Err(format!(
            "--from {name:?} is an egress of the file, which `once` asks from; give --user-agent, --command, or an address that the file does not have"
        ));
    };
    if arguments.user_agent.is_some() || arguments.command.is_some() {
        return Err("a new client and a new address at once would not tell which of them is refused; try one, then the other".to_owned());
    }
    let egress = EgressName::new(name);
    plan.egresses.push(Egress {
        name: egress.clone(),
        way: Way::Address(address),
        site: None,
        public: None,
        region: None,
        family: IpFamily::Any,
    });
    for probe in &mut plan.probes {
        if probe.name.as_str() == arguments.probe || probe.control {
            probe.from.push(egress.clone());
        }
    }
    let probes = std::slice::from_ref(&arguments.probe);
    let levels = Levels {
        with: arguments.with.clone(),
        ..Levels::default()
    };
    let plan = Arc::new(plan);
    let asked = ask::cells(&plan, probes, &levels)?;
    let judged = ask::ask(&plan, asked.cells)?;
    let now = clock::now();
    let found = conclude::conclude(&plan, &judged, now).without(asked.idle);
    let dark = conclude::dark(&plan, &judged, now);
    let read = move_to::read(&judged, &dark, &egress, &arguments.probe);
    let keys = json!({ "try": {
        "from": name,
        "probe": arguments.probe,
        "outcome": read.outcome.as_str(),
        "passes_as": read.passes_as,
        "fails_as": read.fails_as,
        "sentence": read.sentence,
    } });
    ask::show(
        &judged,
        &found,
        arguments.format,
        Some((&read.sentence, keys)),
    );
    Ok(match read.outcome {
        Outcome::Passes if !found.idle.is_empty() => exit::our_side(),
        Outcome::Passes => exit::OK,
        Outcome::Fails => exit::problem(),
        Outcome::Unknown => exit::our_side(),
    })
}

/// The client that the arguments describe, under the same rules as one of the file.
fn client(arguments: &Arguments, plan: &Plan) -> Result<Client, String> {
    let newcomer = Newcomer {
        user_agent: arguments.user_agent.clone().unwrap_or_default(),
        http: arguments.http.map(offer).unwrap_or_default(),
        headers: &arguments.headers,
        program: program(arguments)?,
    };
    newcomer.client(plan).map_err(|why| format!("--{why}"))
}

fn offer(http: Http) -> HttpOffer {
    match http {
        Http::One => HttpOffer::Http1,
        Http::Two => HttpOffer::Http2,
        Http::Either => HttpOffer::Either,
    }
}

/// The program that makes the requests, under the same rules as one of the file.
fn program(arguments: &Arguments) -> Result<Option<Program>, String> {
    let Some(name) = &arguments.command else {
        return Ok(None);
    };
    let mut words = vec![name];
    words.extend(&arguments.rest);
    if let Some(word) = words.iter().find_map(|word| config::imitator(word)) {
        return Err(format!(
            "--command: {word:?} imitates browsers; run what your services run"
        ));
    }
    let found = load::program(name, Path::new("."));
    let found = found.map_err(|why| format!("--command: {name:?} can't be run: {why}"))?;
    let built_in = name == "curl" && arguments.rest.is_empty();
    let (speaks, rest): (_, Vec<&str>) = if built_in {
        (Speaks::Curl, Speaks::CURL.to_vec())
    } else {
        let rest = arguments.rest.iter().map(String::as_str);
        (Speaks::Lines, rest.collect())
    };
    let command = std::iter::once(found.as_str()).chain(rest);
    Ok(Some(Program {
        command: command.map(str::to_owned).collect(),
        speaks,
        variables: Vec::new(),
        http: arguments.http.map(offer),
        keep: None,
    }))
}

/// The trial for scripts; keys are stable.
fn keys(
    name: &ClientName,
    arguments: &Arguments,
    trial: &Trial,
    fingerprints: &[(String, Vec<ClientName>)],
) -> Value {
    let from = |outcome| {
        let mut names: Vec<&str> = trial
            .places
            .iter()
            .filter(|place| place.outcome == outcome)
            .map(|place| place.egress.as_str())
            .collect();
        names.dedup();
        names
    };
    json!({
        "client": name.as_str(),
        "user_agent": arguments.user_agent,
        "command": arguments.command,
        "ja4": fingerprints.iter().map(|(ja4, clients)| json!({ "ja4": ja4, "clients": clients })).collect::<Vec<_>>(),
        "probe": arguments.probe,
        "outcome": trial.outcome.as_str(),
        "passes_from": from(Outcome::Passes),
        "fails_from": from(Outcome::Fails),
        "unknown_from": from(Outcome::Unknown),
        "sentence": trial.sentence,
    })
}
