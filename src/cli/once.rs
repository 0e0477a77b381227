//! `edgewatch once`: runs the matrix now and shows it, with the conclusion.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::Format;
use super::ask::{self, Levels};
use crate::ask::conclude;
use crate::clock;

/// Run the whole matrix once, now, and show it with the conclusion
///
/// Asks each host no faster than its politeness allows. Nothing is stored and nobody is told.
/// Exit code 0 when all cells pass, 1 when a partner refuses or fails, 2 when the fault is on our side, or when cells
/// could not run because a secret is missing: what did not run is not known to pass.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only these probes; controls always run with them.
    #[arg(value_name = "PROBE")]
    probes: Vec<String>,
    #[command(flatten)]
    levels: Levels,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(config: &Path, log: &str, arguments: &Arguments) -> ExitCode {
    // The table is the result; the log says only what went wrong, unless more was asked for.
    let plan = match ask::begin(config, log) {
        Ok(plan) => Arc::new(plan),
        Err(code) => return code,
    };
    let asked = ask::cells(&plan, &arguments.probes, &arguments.levels)
        .and_then(|asked| Ok((ask::ask(&plan, asked.cells)?, asked.idle)));
    let (judged, idle) = match asked {
        Ok(asked) => asked,
        Err(error) => return super::complain(&error),
    };
    let found = conclude::conclude(&plan, &judged, clock::now()).without(idle);
    ask::show(&judged, &found, arguments.format, None);
    ask::outcome(&found).1
}
