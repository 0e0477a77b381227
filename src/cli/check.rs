//! `edgewatch check`: validates the file without touching the network.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::app::load;
use crate::cli::Format;
use crate::cli::exit;
use crate::config::Findings;
use crate::domain::notification::{Channel, Receiver};

/// Check probes.yaml: every error with its line, its place and how to mend it
///
/// Exit code 0 when it can be used, 1 when not, 2 when it can't be read at all. Touches no network.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file, in place of the one that --config names.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// How the findings are written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(config: &Path, arguments: &Arguments) -> ExitCode {
    let config = arguments.file.as_deref().unwrap_or(config);
    let checked = match load::load(config) {
        Ok(checked) => checked,
        Err(load::Error::Unreadable(text)) => return super::complain(&text),
        Err(load::Error::Faulty(findings)) => {
            match arguments.format {
                Format::Json => super::print(&format!("{:#}\n", json(false, &findings))),
                Format::Text => super::print(&format!("{findings}\n\n{}", sum(config, &findings))),
            }
            return exit::problem();
        }
    };
    match arguments.format {
        Format::Json => super::print(&format!("{:#}\n", json(true, &checked.warnings))),
        Format::Text => {
            if !checked.warnings.is_empty() {
                super::print(&format!("{}\n\n", checked.warnings));
            }
            let plan = &checked.plan;
            let controls = plan.probes.iter().filter(|probe| probe.control).count();
            let included = match checked.included {
                0 => String::new(),
                1 => " with the file that it includes".to_owned(),
                many => format!(" with the {many} files that it includes"),
            };
            super::print(&format!(
                "{}{included} is right: {}, {}, {}, {}, {}\n",
                config.display(),
                counted(plan.probes.len() - controls, "probe", "probes"),
                counted(controls, "control", "controls"),
                counted(plan.egresses.len(), "egress", "egresses"),
                counted(plan.clients.len(), "client", "clients"),
                counted(plan.cells().count(), "cell", "cells"),
            ));
            for receiver in &plan.receivers {
                super::print(&format!("  {}\n", told(receiver)));
            }
            if let Some(most) = plan.credential_a_day {
                for credential in &plan.credentials {
                    let (name, asks) = (&credential.name, plan.a_day(&credential.name));
                    super::print(&format!(
                        "  {name}: {asks:.0} of {most} requests a day by the schedule\n"
                    ));
                }
            }
        }
    }
    exit::OK
}

/// Where a receiver's messages go, and what is missing for it: `support: Teams; to the log meanwhile: TEAMS_WEBHOOK_URL is not set`.
fn told(receiver: &Receiver) -> String {
    let way = match &receiver.channel {
        Channel::Slack { channel, .. } => format!("Slack channel {channel}"),
        Channel::Teams { .. } => "Teams".to_owned(),
        Channel::Webhook { .. } => "a signed webhook".to_owned(),
        Channel::Email(mail) => {
            let words = if mail.plain { ", in plain words" } else { "" };
            format!("mail to {} by {}{words}", mail.to.join(", "), mail.host)
        }
        Channel::PagerDuty { .. } => "PagerDuty".to_owned(),
        Channel::Alertmanager { peers, .. } => format!("Alertmanager at {}", peers.join(", ")),
        Channel::StatusPage { public, .. } => {
            let whose = if *public {
                ", for whoever reaches it"
            } else {
                ""
            };
            format!("the page for support staff{whose}")
        }
        Channel::Log => "the log".to_owned(),
    };
    let fallback = receiver.fallback.as_ref();
    let fallback = fallback.map_or_else(String::new, |name| format!(", else {name}"));
    let missing = receiver.channel.missing().join(", ");
    let missing = if missing.is_empty() {
        missing
    } else {
        format!("; to the log meanwhile: {missing}")
    };
    format!("{}: {way}{fallback}{missing}", receiver.name)
}

/// How many of each there are, and where the first error is, which warnings may hide.
fn sum(config: &Path, findings: &Findings) -> String {
    let errors = findings.errors();
    let warnings = findings.findings.len() - errors.findings.len();
    let first = errors.findings.first().filter(|_| warnings > 0);
    let first = first.map_or_else(String::new, |error| {
        let elsewhere = Path::new(&error.file) != config;
        let file = if elsewhere {
            format!("{}, ", error.file)
        } else {
            String::new()
        };
        format!(" (the first in {file}line {})", error.line)
    });
    let warned = match warnings {
        0 => String::new(),
        _ => format!(" and {}", counted(warnings, "warning", "warnings")),
    };
    format!(
        "{} can't be used: {}{first}{warned}\n",
        config.display(),
        counted(errors.findings.len() + findings.omitted, "error", "errors"),
    )
}

/// `no controls`, `1 egress`, `3 clients`.
fn counted(count: usize, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {many}"),
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}

/// The findings for scripts; keys are stable.
fn json(usable: bool, findings: &Findings) -> serde_json::Value {
    serde_json::json!({ "usable": usable, "findings": findings.findings, "omitted": findings.omitted })
}
