//! `edgewatch schema`: the JSON Schema of probes.yaml, from the types that read it.

use std::process::ExitCode;

use super::exit;

/// Print the JSON Schema of probes.yaml, for editors
///
/// Name it in the first line of the file:
/// `# yaml-language-server: $schema=deploy/probes.schema.json`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments) -> ExitCode {
    super::print(&format!("{:#}\n", crate::config::schema()));
    exit::OK
}
