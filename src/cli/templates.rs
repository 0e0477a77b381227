//! `edgewatch templates`: our own words for messages, to begin one's own with.

use std::process::ExitCode;

use super::exit;

/// Print our own words for messages in Slack and Teams, as the part of probes.yaml that would say the same
///
/// Each is a template in the Jinja language of minijinja, and serves every message: an opening, a change, a reminder,
/// the end, a return. Copy it into probes.yaml, change what you like, leave out the rest, and run
/// `edgewatch check`. The facts that can stand in them are listed in docs/messages.md, and so are the words
/// that are fixed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments) -> ExitCode {
    super::print(&crate::notify::templates());
    exit::OK
}
