//! `edgewatch silence add|list|end`: telling nobody for a while, and telling again.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::app::load;
use crate::board::quiet::Quiet;
use crate::cli::Format;
use crate::cli::exit;
use crate::clock;
use crate::config;
use crate::domain::mute::{self, Ended, Matcher, Silence};
use crate::domain::plan::Plan;
use crate::domain::secret::mask;
use crate::domain::verdict::Kind;
use crate::report::{incidents::local, silences};
use crate::store::Store;

/// Shortest and longest silence; what is planned for longer belongs into `maintenance` of the file.
const LASTS: (std::time::Duration, std::time::Duration) = (
    std::time::Duration::from_secs(60),
    std::time::Duration::from_secs(30 * 24 * 3600),
);

/// Silence messages for a while; list or end silences
///
/// A silence covers failing cells by probe, egress, client and verdict, or one incident. While every failing
/// cell of an incident is covered, nobody is told of it, except those who know of it when it ends. Incidents
/// are opened and kept all the same; what is still open when the silence ends is told then. A daemon that
/// runs notices within two seconds. Exit code 0 when it is done, 1 when there is no such silence in
/// force to end, 2 when the store can't be written or the command is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  edgewatch silence add --incident 12 --for 2h
  edgewatch silence add --probe gmc-connect --client legacy-reval --for 1d --why \"agreed with the GMC\"
  edgewatch silence list
  edgewatch silence end 3")]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    store: super::StoreAt,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Silence what all of the given options fit; several of one kind: any of them
    Add(Box<Add>),
    /// Silences in force (the default)
    List {
        /// Those that are over as well, for 400 days.
        #[arg(long)]
        all: bool,
    },
    /// Tell again, before the time is over
    End {
        /// The silence's number.
        number: u64,
        /// Who ends it, for the others; the user of this shell when left out.
        #[arg(long, value_name = "NAME")]
        who: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    /// Only this incident: its number, with or without `INC-`.
    #[arg(long, value_name = "N")]
    incident: Vec<String>,
    /// Only cells of this probe.
    #[arg(long, value_name = "NAME")]
    probe: Vec<String>,
    /// Only cells from this egress.
    #[arg(long, value_name = "NAME")]
    egress: Vec<String>,
    /// Only cells as this client.
    #[arg(long, value_name = "NAME")]
    client: Vec<String>,
    /// Only cells with this verdict, such as `edge_block`.
    #[arg(long, value_name = "VERDICT")]
    verdict: Vec<String>,
    /// Everything, whatever it is.
    #[arg(long, conflicts_with_all = ["incident", "probe", "egress", "client", "verdict"])]
    everything: bool,
    /// For how long: 30m, 2h, 1d12h; at most 30d.
    #[arg(long = "for", value_name = "TIME")]
    lasting: String,
    /// Why, for the others.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Who asks for it, for the others; the user of this shell when left out.
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
}

pub(super) fn run(config: &Path, arguments: &Arguments) -> ExitCode {
    let mut checked = match load::load(config) {
        Ok(checked) => checked,
        Err(error) => return super::complain(&error.to_string()),
    };
    arguments.store.choose(&mut checked.plan);
    let (plan, format) = (&checked.plan, arguments.format);
    let result = match arguments
        .what
        .as_ref()
        .unwrap_or(&What::List { all: false })
    {
        What::Add(add) => self::add(plan, add, format),
        What::List { all } => list(plan, *all, format),
        What::End { number, who } => end(plan, *number, who.as_deref(), format),
    };
    result.unwrap_or_else(|error| super::complain(&error))
}

fn add(plan: &Plan, add: &Add, format: Format) -> Result<ExitCode, String> {
    let matcher = matcher(plan, add)?;
    let lasting = config::duration(&add.lasting)
        .map_err(|hint| format!("--for {:?} is no time; {hint}", add.lasting))?;
    if lasting < LASTS.0 || lasting > LASTS.1 {
        return Err(format!("--for {:?} is not between 1m and 30d", add.lasting));
    }
    let now = clock::now();
    // What somebody types goes into the store, to receivers and into a recorded log.
    let secrets = plan.secrets();
    let why = add
        .why
        .as_deref()
        .map(|why| mute::words(&mask(why, &secrets)));
    let silence = Silence {
        number: 0,
        matcher,
        from: now,
        until: now.checked_add(lasting).map_err(|e| e.to_string())?,
        by: mask(&super::who(add.who.as_deref()), &secrets),
        why: why.filter(|why| !why.is_empty()),
        ended: None,
    };
    let mut store = Store::hand(&plan.store.path).map_err(|e| e.to_string())?;
    let silence = store.add_silence(silence).map_err(|e| e.to_string())?;
    let in_force = store.silences(now).map_err(|e| e.to_string())?;
    let muted = muted(plan, &in_force, now)?;
    match format {
        Format::Text => {
            let mut text = format!(
                "silence {}: {}, until {}\n",
                silence.number,
                silence.matcher,
                local(silence.until, &plan.zone)
            );
            for number in muted {
                let _ = writeln!(text, "INC-{number} is open, and muted");
            }
            super::show(&text);
        }
        Format::Json => {
            let mut value = silences::json(&silence, now);
            value["muted_incidents"] = json!(muted);
            super::print(&format!("{value:#}\n"));
        }
    }
    Ok(exit::OK)
}

/// Which open incidents are muted by these silences and by maintenance.
fn muted(plan: &Plan, silences: &[Silence], now: Timestamp) -> Result<Vec<u64>, String> {
    let quiet = Quiet::at(plan, silences, now);
    let reader = Store::read_only(&plan.store.path).map_err(|e| e.to_string())?;
    let known = reader.load_open().map_err(|e| e.to_string())?;
    let open = known.incidents.iter().filter(|i| i.resolved_at.is_none());
    let muted = open.filter(|incident| quiet.mutes(incident).is_some());
    Ok(muted.map(|incident| incident.number).collect())
}

fn matcher(plan: &Plan, add: &Add) -> Result<Matcher, String> {
    let incidents = add.incident.iter().map(|text| super::incident_number(text));
    let kinds = add.verdict.iter().map(|word| {
        Kind::from_word(word)
            .filter(|kind| *kind != Kind::Pass)
            .ok_or_else(|| {
                let words = Kind::ALL.iter().filter(|kind| **kind != Kind::Pass);
                let words: Vec<&str> = words.map(|kind| kind.as_str()).collect();
                format!(
                    "{word:?} is no verdict that fails; there are: {}",
                    words.join(", ")
                )
            })
    });
    let matcher = Matcher {
        incidents: incidents.collect::<Result<_, _>>()?,
        probes: named("probe", &add.probe, plan.probes.iter().map(|p| &p.name))?,
        egresses: named("egress", &add.egress, plan.egresses.iter().map(|e| &e.name))?,
        clients: named("client", &add.client, plan.clients.iter().map(|c| &c.name))?,
        kinds: kinds.collect::<Result<_, String>>()?,
    };
    if matcher.is_empty() && !add.everything {
        return Err(
            "what is to be silenced? Name --incident, --probe, --egress, --client or --verdict, or say --everything"
                .to_owned(),
        );
    }
    Ok(matcher)
}

/// The names of the file that were asked for; a misspelt one would silence nothing.
fn named<'a, T: Clone + std::fmt::Display + 'a>(
    what: &str,
    asked: &[String],
    known: impl Iterator<Item = &'a T>,
) -> Result<Vec<T>, String> {
    let known: Vec<&T> = known.collect();
    let named = asked.iter().map(|name| {
        let found = known.iter().find(|known| known.to_string() == *name);
        found.map(|found| (*found).clone()).ok_or_else(|| {
            let names: Vec<String> = known.iter().map(ToString::to_string).collect();
            let names = names.join(", ");
            format!("there is no {what} {name:?} in the file; there are: {names}")
        })
    });
    named.collect()
}

fn list(plan: &Plan, all: bool, format: Format) -> Result<ExitCode, String> {
    let reader = Store::read_only(&plan.store.path).map_err(|e| e.to_string())?;
    let now = clock::now();
    let mut found = reader.silences().map_err(|e| e.to_string())?;
    found.retain(|silence| all || silence.holds(now));
    match format {
        Format::Text => super::show(&silences::list(&found, &plan.zone, now)),
        Format::Json => {
            let rows: Vec<Value> = found.iter().map(|s| silences::json(s, now)).collect();
            super::print(&format!("{:#}\n", Value::from(rows)));
        }
    }
    Ok(exit::OK)
}

fn end(plan: &Plan, number: u64, who: Option<&str>, format: Format) -> Result<ExitCode, String> {
    let now = clock::now();
    let by = mask(&super::who(who), &plan.secrets());
    let mut store = Store::hand(&plan.store.path).map_err(|e| e.to_string())?;
    let ended = Ended { at: now, by };
    let found = store
        .end_silence(number, ended.clone())
        .map_err(|e| e.to_string())?;
    let Some(silence) = found else {
        super::complain(&format!(
            "there is no silence {number}; see `edgewatch silence list`"
        ));
        return Ok(exit::problem());
    };
    let done = silence.ended == Some(ended);
    match format {
        Format::Text if done => super::print(&format!("silence {number} is over\n")),
        Format::Text => super::print(&format!("silence {number} was over already\n")),
        Format::Json => super::print(&format!("{:#}\n", silences::json(&silence, now))),
    }
    Ok(if done { exit::OK } else { exit::problem() })
}
