//! `edgewatch incidents list|show|ack|unack|note`: what the daemon's store knows, while it runs or after, and who looks after it.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::app::load;
use crate::board::quiet::Quiet;
use crate::cli::Format;
use crate::cli::exit;
use crate::clock;
use crate::domain::incident::{Acknowledged, Care, Happening, Incident, State, TimelineEntry};
use crate::domain::mute::words;
use crate::domain::notification::Briefing;
use crate::domain::plan::Plan;
use crate::domain::secret::mask;
use crate::report::incidents;
use crate::store::Store;
use crate::words::briefing::{self, View};

/// List incidents, show one with its evidence and timeline, say who looks after one, or write a note
///
/// Reads the store that probes.yaml names; the daemon may be running. Exit code 0 when none is open, 1 when
/// one is (for `show`: when that one is; for `ack` and `unack`: when there is nothing to acknowledge or to take back),
/// 2 when the store can't be read, or written for `ack`, `unack` and `note`.
#[derive(Debug, clap::Args)]
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
    /// The newest first (the default)
    List {
        /// At most this many.
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: u32,
    },
    /// One incident: what, why, what it is not, the evidence, the timeline
    Show {
        /// The number, with or without `INC-`.
        number: String,
    },
    /// Say that somebody looks after it: no more reminders, no escalation; changes and the end are told
    Ack {
        /// The number, with or without `INC-`.
        number: String,
        /// Who looks after it, for the others; the user of this shell when left out.
        #[arg(long, value_name = "NAME")]
        who: Option<String>,
    },
    /// Say that nobody looks after it any more: reminders and escalation go on
    Unack {
        /// The number, with or without `INC-`.
        number: String,
        /// Who says so, for the others; the user of this shell when left out.
        #[arg(long, value_name = "NAME")]
        who: Option<String>,
    },
    /// Write something beside it, open or over: into its timeline, its page and its post-mortem
    Note {
        /// The number, with or without `INC-`.
        number: String,
        /// What to write ("rang the GMC, ticket 123").
        text: String,
        /// Who writes it, for the others; the user of this shell when left out.
        #[arg(long, value_name = "NAME")]
        who: Option<String>,
    },
}

/// How long the daemon has to take an acknowledgement before we say that it waits; it looks once a second.
const TAKEN_WITHIN: Duration = Duration::from_secs(4);

pub(super) fn run(config: &Path, arguments: &Arguments) -> ExitCode {
    let mut checked = match load::load(config) {
        Ok(checked) => checked,
        Err(error) => return super::complain(&error.to_string()),
    };
    arguments.store.choose(&mut checked.plan);
    let store = match Store::read_only(&checked.plan.store.path) {
        Ok(store) => store,
        Err(error) => return super::complain(&error.to_string()),
    };
    let result = match arguments.what.as_ref().unwrap_or(&What::List { limit: 50 }) {
        What::List { limit } => list(&store, &checked.plan, *limit, arguments.format),
        What::Show { number } => show(&store, &checked.plan, number, arguments.format),
        What::Ack { number, who } => {
            let (who, taken) = (who.as_deref(), Care::Taken as fn(_) -> _);
            care(&store, &checked.plan, number, who, taken, arguments.format)
        }
        What::Unack { number, who } => {
            let (who, released) = (who.as_deref(), Care::Released as fn(_) -> _);
            let format = arguments.format;
            care(&store, &checked.plan, number, who, released, format)
        }
        What::Note { number, text, who } => {
            let (who, format) = (who.as_deref(), arguments.format);
            note(&store, &checked.plan, number, text, who, format)
        }
    };
    result.unwrap_or_else(|error| super::complain(&error))
}

fn list(
    store: &crate::store::Reader,
    plan: &Plan,
    limit: u32,
    format: Format,
) -> Result<ExitCode, String> {
    let found = store.list(limit as usize).map_err(|e| e.to_string())?;
    let quiet = quiet(store, plan)?;
    let briefed = found.into_iter().map(|mut incident| {
        quiet.show_in(&mut incident);
        let briefing = brief(plan, &incident);
        (incident, briefing)
    });
    let known: Vec<(Incident, Briefing)> = briefed.collect();
    match format {
        Format::Text => super::show(&incidents::list(
            &known,
            &plan.zone,
            clock::now(),
            super::colour(),
        )),
        Format::Json => {
            let rows: Vec<_> = known
                .iter()
                .map(|(incident, briefing)| incidents::json(incident, briefing, &[]))
                .collect();
            super::print(&format!("{:#}\n", serde_json::Value::from(rows)));
        }
    }
    Ok(if known.iter().all(|(_, briefing)| !briefing.is_open()) {
        exit::OK
    } else {
        exit::problem()
    })
}

fn show(
    store: &crate::store::Reader,
    plan: &Plan,
    number: &str,
    format: Format,
) -> Result<ExitCode, String> {
    let mut told = find(store, number)?;
    quiet(store, plan)?.show_in(&mut told.incident);
    let briefing = brief(plan, &told.incident);
    match format {
        Format::Text => {
            let colour = super::colour();
            super::show(&incidents::story(
                &told.incident,
                &briefing,
                &told.timeline,
                &plan.zone,
                clock::now(),
                colour,
            ));
        }
        Format::Json => super::print(&format!(
            "{:#}\n",
            incidents::json(&told.incident, &briefing, &told.timeline)
        )),
    }
    Ok(match briefing.state {
        State::Open => exit::problem(),
        State::Resolved => exit::OK,
        State::Unwatched => exit::our_side(),
    })
}

/// What is quiet now: a daemon that does not run has not noted what began or ended since.
fn quiet(store: &crate::store::Reader, plan: &Plan) -> Result<Quiet, String> {
    let silences = store.silences().map_err(|e| e.to_string())?;
    Ok(Quiet::at(plan, &silences, clock::now()))
}

fn find(store: &crate::store::Reader, number: &str) -> Result<crate::store::Shown, String> {
    let number = super::incident_number(number)?;
    let found = store.show(number).map_err(|e| e.to_string())?;
    found
        .ok_or_else(|| format!("there is no incident INC-{number}; see `edgewatch incidents list`"))
}

fn care(
    reader: &crate::store::Reader,
    plan: &Plan,
    number: &str,
    who: Option<&str>,
    care: fn(Acknowledged) -> Care,
    format: Format,
) -> Result<ExitCode, String> {
    let incident = find(reader, number)?.incident;
    let number = incident.number;
    let care = care(Acknowledged {
        at: clock::now(),
        by: mask(&super::who(who), &plan.secrets()),
    });
    let answer = if incident.state == State::Open {
        let mut store = Store::hand(&plan.store.path).map_err(|e| e.to_string())?;
        let ask = store.care(number, &care).map_err(|e| e.to_string())?;
        let asked = Instant::now();
        loop {
            match store.answer(ask).map_err(|e| e.to_string())? {
                Some(answer) => break answer,
                None if asked.elapsed() > TAKEN_WITHIN => break "noted".to_owned(),
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    } else {
        "not open".to_owned()
    };
    let who = &care.by().by;
    let before = incident.acknowledged.filter(|before| before.by != *who);
    let in_place = before.map(|before| format!(", in place of {}", before.by));
    match format {
        Format::Text => super::print(&match answer.as_str() {
            "acknowledged" => format!(
                "INC-{number} is acknowledged by {who}{}\n",
                in_place.unwrap_or_default()
            ),
            "released" => format!("INC-{number}: nobody looks after it any more\n"),
            "noted" => format!(
                "INC-{number}: noted for {who}; no daemon has taken it yet, the next that runs does\n"
            ),
            other => format!("INC-{number} is {other}\n"),
        }),
        Format::Json => {
            let value = serde_json::json!({ "incident": number, "state": answer, "by": who });
            super::print(&format!("{value:#}\n"));
        }
    }
    Ok(if answer.starts_with("not ") {
        exit::problem()
    } else {
        exit::OK
    })
}

fn note(
    reader: &crate::store::Reader,
    plan: &Plan,
    number: &str,
    text: &str,
    who: Option<&str>,
    format: Format,
) -> Result<ExitCode, String> {
    let number = find(reader, number)?.incident.number;
    let text = mask(&words(text), &plan.secrets());
    if text.is_empty() {
        return Err("a note needs some text".to_owned());
    }
    let who = mask(&super::who(who), &plan.secrets());
    let entry = TimelineEntry {
        at: clock::now(),
        what: Happening::Note,
        text: format!("{text} ({who})"),
    };
    let mut store = Store::hand(&plan.store.path).map_err(|e| e.to_string())?;
    store.note(number, &entry).map_err(|e| e.to_string())?;
    match format {
        Format::Text => super::print(&format!("INC-{number}: noted\n")),
        Format::Json => {
            let value = serde_json::json!({ "incident": number, "state": "noted", "text": text, "by": who });
            super::print(&format!("{value:#}\n"));
        }
    }
    Ok(exit::OK)
}

/// In words, with the cause however sure it is: the confidence stands beside it.
fn brief(plan: &Plan, incident: &Incident) -> Briefing {
    briefing::write(
        plan,
        incident,
        View {
            min_confidence: 0.0,
            next_update_at: None,
        },
    )
}
