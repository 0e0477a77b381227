//! `edgewatch report` and `edgewatch postmortem`: an incident as a letter to the partner, and as a document for us.

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use crate::cli::ask;
use crate::cli::exit;
use crate::cli::{Format, StoreAt};
use crate::clock;
use crate::dossier;
use crate::report::dossier::Dossier;
use crate::report::{pack, postmortem};
use crate::store::Store;

/// Write the evidence pack of an incident: a letter to the partner, ready to paste into a mail
///
/// Says what happens and to whom, what they are asked to do, every fact they will ask for, and a failing and a
/// passing request as curl commands, without secrets. Lines that begin with "|" are for us: delete them.
/// Reads the store that probes.yaml names; the daemon may be running.
/// Exit code 0 when it is written, 2 when there is no such incident or the store can't be read.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The number, with or without `INC-`.
    number: String,
    #[command(flatten)]
    store: StoreAt,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Write the post-mortem of an incident: Markdown, filled from the facts
///
/// Every section that facts can fill is filled; what only people know stands as "To write".
/// Reads the store that probes.yaml names; the daemon may be running.
/// Exit code 0 when it is written, 2 when there is no such incident or the store can't be read.
#[derive(Debug, clap::Args)]
pub(super) struct PostmortemArguments {
    /// The number, with or without `INC-`.
    number: String,
    #[command(flatten)]
    store: StoreAt,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(config: &Path, arguments: &Arguments) -> ExitCode {
    let (number, format) = (&arguments.number, arguments.format);
    write(
        config,
        &arguments.store,
        number,
        format,
        pack::text,
        pack::json,
    )
}

pub(super) fn run_postmortem(config: &Path, arguments: &PostmortemArguments) -> ExitCode {
    let (number, format) = (&arguments.number, arguments.format);
    let store = &arguments.store;
    write(
        config,
        store,
        number,
        format,
        postmortem::text,
        postmortem::json,
    )
}

fn write(
    config: &Path,
    store: &StoreAt,
    number: &str,
    format: Format,
    text: impl Fn(&Dossier<'_>) -> String,
    json: impl Fn(&Dossier<'_>) -> Value,
) -> ExitCode {
    let mut plan = match ask::plan(config) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    store.choose(&mut plan);
    let digits = number.trim_start_matches("INC-").trim_start_matches("inc-");
    let Ok(wanted) = digits.parse() else {
        return super::complain(&format!(
            "{number:?} is no incident number; see `edgewatch incidents list`"
        ));
    };
    let found = Store::read_only(&plan.store.path)
        .and_then(|store| dossier::gather(&plan, &store, wanted, clock::now()));
    match found {
        Ok(Some(dossier)) => {
            match format {
                Format::Text => super::print(&text(&dossier)),
                Format::Json => super::print(&format!("{:#}\n", json(&dossier))),
            }
            exit::OK
        }
        Ok(None) => super::complain(&format!(
            "there is no incident INC-{wanted}; see `edgewatch incidents list`"
        )),
        Err(error) => super::complain(&error.to_string()),
    }
}
