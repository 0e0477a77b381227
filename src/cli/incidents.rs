//! `edgewatch incidents list|show`: what the daemon's store knows, while it runs or after.

use std::path::Path;
use std::process::ExitCode;

use super::{Format, exit};
use crate::app::load;
use crate::clock;
use crate::decide::briefing::{self, View};
use crate::domain::incident::Incident;
use crate::domain::notification::Briefing;
use crate::domain::plan::Plan;
use crate::report::incidents;
use crate::store::Store;

/// List incidents, or show one with its evidence and timeline
///
/// Reads the store that probes.yaml names; the daemon may be running. Exit code 0 when none is open, 1 when
/// one is (for `show`: when that one is), 2 when the store can't be read.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
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
}

pub(super) fn run(config: &Path, arguments: &Arguments) -> ExitCode {
    let checked = match load::load(config) {
        Ok(checked) => checked,
        Err(error) => return super::complain(&error.to_string()),
    };
    let store = match Store::read_only(&checked.plan.store.path) {
        Ok(store) => store,
        Err(error) => return super::complain(&error.to_string()),
    };
    let result = match arguments.what.as_ref().unwrap_or(&What::List { limit: 50 }) {
        What::List { limit } => list(&store, &checked.plan, *limit, arguments.format),
        What::Show { number } => show(&store, &checked.plan, number, arguments.format),
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
    let briefings: Vec<Briefing> = found.iter().map(|incident| brief(plan, incident)).collect();
    match format {
        Format::Text => super::print(&incidents::list(&briefings, &plan.zone, clock::now())),
        Format::Json => {
            let rows: Vec<_> = found
                .iter()
                .zip(&briefings)
                .map(|(incident, briefing)| incidents::json(incident, briefing, &[]))
                .collect();
            super::print(&format!("{:#}\n", serde_json::Value::from(rows)));
        }
    }
    Ok(if briefings.iter().all(|b| b.resolved) {
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
    let digits = number.trim_start_matches("INC-").trim_start_matches("inc-");
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{number:?} is no incident number; see `edgewatch incidents list`"))?;
    let Some(told) = store.show(number).map_err(|e| e.to_string())? else {
        return Err(format!(
            "there is no incident INC-{number}; see `edgewatch incidents list`"
        ));
    };
    let briefing = brief(plan, &told.incident);
    match format {
        Format::Text => {
            let colour = super::colour();
            super::print(&incidents::story(
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
    Ok(if briefing.resolved {
        exit::OK
    } else {
        exit::problem()
    })
}

/// In words, with the cause however sure it is: the confidence stands beside it.
fn brief(plan: &Plan, incident: &Incident) -> Briefing {
    briefing::write(
        plan,
        incident,
        View {
            min_confidence: 0.0,
            removed: false,
            next_update_at: None,
        },
    )
}
