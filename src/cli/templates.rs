//! `edgewatch templates`: our own words for messages, to begin one's own with.

use std::process::ExitCode;

use super::{Format, exit};

/// Print our own words for messages in Slack and Teams, as the part of probes.yaml that would say the same
///
/// Each is a template in the Jinja language of minijinja, and serves every message: an opening, a change, a reminder,
/// the end, a return. Copy it into probes.yaml, change what you like, leave out the rest, and run
/// `edgewatch check`. The facts that can stand in them are listed in docs/messages.md, and so are the words
/// that are fixed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How they are written: as a part of the file, or as the same in JSON
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let yaml = crate::notify::templates();
    match arguments.format {
        Format::Text => super::print(&yaml),
        Format::Json => match serde_yaml::from_str::<serde_json::Value>(&yaml) {
            Ok(json) => super::print(&format!("{json:#}\n")),
            Err(error) => return super::complain(&error.to_string()),
        },
    }
    exit::OK
}
