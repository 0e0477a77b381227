//! `edgewatch once`: runs the matrix now and shows it, with the conclusion.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::{Format, exit};
use crate::app::{load, round};
use crate::clock;
use crate::decide::conclude;
use crate::decide::monitor::Judged;
use crate::domain::cell::CellKey;
use crate::domain::plan::Plan;
use crate::report::{conclusion, matrix, verdict};

/// Run the whole matrix once, now, and show it with the conclusion
///
/// Asks each host no faster than its politeness allows. Nothing is stored and nobody is told.
/// Exit code 0 when all cells pass, 1 when a partner refuses or fails, 2 when the fault is on our side.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only these probes; controls always run with them.
    #[arg(value_name = "PROBE")]
    probes: Vec<String>,
    /// Only from these egresses.
    #[arg(long, value_name = "EGRESS", value_delimiter = ',')]
    from: Vec<String>,
    /// Only as these clients.
    #[arg(long = "as", value_name = "CLIENT", value_delimiter = ',')]
    as_clients: Vec<String>,
    /// Only with these credentials.
    #[arg(long = "with", value_name = "CREDENTIAL", value_delimiter = ',')]
    with: Vec<String>,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(config: &Path, log: &str, arguments: &Arguments) -> ExitCode {
    // The table is the result; the log says only what went wrong, unless more was asked for.
    if let Err(error) = super::start_log(if log == "info" { "warn" } else { log }) {
        return super::complain(&error);
    }
    let plan = match load::load(config) {
        Ok(checked) => {
            // Cells of a credential that is not there are left out; nobody should take them for passing.
            load::log_warnings(&checked);
            Arc::new(checked.plan)
        }
        Err(load::Error::Unreadable(text)) => return super::complain(&text),
        Err(load::Error::Faulty(findings)) => {
            eprintln!("{findings}");
            return exit::our_side();
        }
    };
    let cells = match wanted(&plan, arguments) {
        Ok(cells) => cells,
        Err(error) => return super::complain(&error),
    };
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return super::complain(&error),
    };
    let total = cells.len();
    let mut progress = Progress {
        done: 0,
        total,
        shown: std::io::stderr().is_terminal(),
    };
    let judged = match runtime.block_on(round::round(plan.clone(), cells, |_| progress.one_more()))
    {
        Ok(judged) => judged,
        Err(error) => return super::complain(&error),
    };
    progress.clear();
    show(&plan, &judged, arguments.format)
}

/// The cells that the arguments leave, with the controls; a name that nothing has is an error.
fn wanted(plan: &Plan, arguments: &Arguments) -> Result<Vec<CellKey>, String> {
    let known = |what: &str, asked: &[String], names: Vec<&str>| -> Result<(), String> {
        match asked.iter().find(|name| !names.contains(&name.as_str())) {
            Some(name) => Err(format!(
                "there is no {what} {name:?} in the file; there are: {}",
                names.join(", ")
            )),
            None => Ok(()),
        }
    };
    known(
        "probe",
        &arguments.probes,
        plan.probes.iter().map(|p| p.name.as_str()).collect(),
    )?;
    known(
        "egress",
        &arguments.from,
        plan.egresses.iter().map(|e| e.name.as_str()).collect(),
    )?;
    known(
        "client",
        &arguments.as_clients,
        plan.clients.iter().map(|c| c.name.as_str()).collect(),
    )?;
    let mut credentials: Vec<&str> = plan.credentials.iter().map(|c| c.name.as_str()).collect();
    credentials.push("anonymous");
    known("credential", &arguments.with, credentials)?;

    let keeps = |asked: &[String], name: &str| asked.is_empty() || asked.iter().any(|a| a == name);
    let cells: Vec<CellKey> = plan
        .cells()
        .filter(|(probe, cell)| {
            keeps(&arguments.from, cell.egress.as_str())
                && (probe.control
                    || keeps(&arguments.probes, probe.name.as_str())
                        && keeps(&arguments.as_clients, cell.client.as_str())
                        && keeps(&arguments.with, cell.credential.as_str()))
        })
        .map(|(_, cell)| cell)
        .collect();
    if cells.is_empty() {
        return Err("no cell is left; a probe has only the egresses, clients and credentials of its `from`, `as` and `with`".to_owned());
    }
    Ok(cells)
}

fn show(plan: &Arc<Plan>, judged: &[Judged], format: Format) -> ExitCode {
    let entries: Vec<matrix::Entry> = judged
        .iter()
        .map(|j| matrix::Entry {
            cell: j.observation.cell.clone(),
            verdict: j.verdict.clone(),
            status: j.observation.answer.as_ref().map(|a| a.status),
            took: j.observation.took,
        })
        .collect();
    let found = conclude::conclude(plan, judged, clock::now());
    let (outcome, code) = match found.outcome {
        conclude::Outcome::AllPass => ("all_pass", exit::OK),
        conclude::Outcome::Problem => ("problem", exit::problem()),
        conclude::Outcome::OurSide => ("our_side", exit::our_side()),
    };
    match format {
        Format::Text => {
            super::print(&matrix::matrix(&entries, super::colour()));
            super::print(&conclusion::text(&found.briefings, super::colour()));
        }
        Format::Json => {
            let cells: Vec<_> = judged.iter().map(cell_json).collect();
            super::print(&format!(
                "{:#}\n",
                json!({ "cells": cells, "conclusion": conclusion::json(outcome, &found.briefings) })
            ));
        }
    }
    code
}

fn cell_json(judged: &Judged) -> serde_json::Value {
    let observation = &judged.observation;
    let ms = |phase: Option<std::time::Duration>| phase.map(|d| d.as_secs_f64() * 1000.0);
    json!({
        "probe": observation.cell.probe.as_str(),
        "egress": observation.cell.egress.as_str(),
        "client": observation.cell.client.as_str(),
        "credential": observation.cell.credential.as_str(),
        "verdict": verdict::json(&judged.verdict),
        "status": observation.answer.as_ref().map(|a| a.status),
        "failure": observation.failure.as_ref().map(|f| json!({
            "phase": f.phase.as_str(), "kind": f.kind.as_str(), "message": f.message,
        })),
        "started_at": observation.started_at.to_string(),
        "took_ms": observation.took.as_secs_f64() * 1000.0,
        "phases_ms": {
            "dns": ms(observation.phases.dns),
            "connect": ms(observation.phases.connect),
            "tls": ms(observation.phases.tls),
            "first_byte": ms(observation.phases.first_byte),
            "transfer": ms(observation.phases.transfer),
        },
        "local": observation.route.local.map(|a| a.to_string()),
        "remote": observation.route.remote.map(|a| a.to_string()),
    })
}

/// `12 of 40` on a terminal, rewritten in place; nothing anywhere else.
struct Progress {
    done: usize,
    total: usize,
    shown: bool,
}

impl Progress {
    fn one_more(&mut self) {
        self.done += 1;
        if self.shown {
            let _ = write!(
                std::io::stderr(),
                "\r{} of {} cells asked",
                self.done,
                self.total
            );
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K");
        }
    }
}
