//! `edgewatch schema`: the JSON Schema of probes.yaml, from the types that read it.

use std::process::ExitCode;

use super::exit;
use crate::config;

/// Print the JSON Schema of probes.yaml, for editors
///
/// Name it in the first line of the file:
/// `# yaml-language-server: $schema=deploy/probes.schema.json`, or `…probes-part.schema.json` in an included file.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The one of a file that probes.yaml includes
    #[arg(long)]
    part: bool,
    /// A schema is JSON either way
    #[arg(long = "format", id = "format", value_name = "FORMAT", value_parser = ["json"])]
    _format: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let schema = if arguments.part {
        config::part_schema()
    } else {
        config::schema()
    };
    super::print(&format!("{schema:#}\n"));
    exit::OK
}
