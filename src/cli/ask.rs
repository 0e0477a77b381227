//! What `once`, `try` and `gate --now` share: which cells were asked for, asking them now, and showing what came.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::app::round::{self, Manners};
use crate::app::{accounts, load};
use crate::ask::conclude::{self, Conclusion, Idle, Outcome};
use crate::cli::Format;
use crate::cli::exit;
use crate::config::Checked;
use crate::domain::cell::{CellKey, ProbeName};
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;
use crate::domain::sent::Stack;
use crate::machine::Judged;
use crate::report::{conclusion, matrix, verdict};

/// Which levels of the matrix a command is about; an empty list: all of them.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Levels {
    /// Only from these egresses.
    #[arg(long, value_name = "EGRESS", value_delimiter = ',')]
    pub(super) from: Vec<String>,
    /// Only as these clients.
    #[arg(long = "as", value_name = "CLIENT", value_delimiter = ',')]
    pub(super) as_clients: Vec<String>,
    /// Only with these credentials.
    #[arg(long = "with", value_name = "CREDENTIAL", value_delimiter = ',')]
    pub(super) with: Vec<String>,
}

impl Levels {
    /// Refuses names that the file does not have.
    pub(super) fn check(&self, plan: &Plan, probes: &[String]) -> Result<(), String> {
        let names: Vec<&str> = plan.probes.iter().map(|p| p.name.as_str()).collect();
        known("probe", probes, &names)?;
        let names: Vec<&str> = plan.egresses.iter().map(|e| e.name.as_str()).collect();
        known("egress", &self.from, &names)?;
        let names: Vec<&str> = plan.clients.iter().map(|c| c.name.as_str()).collect();
        known("client", &self.as_clients, &names)?;
        let mut names: Vec<&str> = plan.credentials.iter().map(|c| c.name.as_str()).collect();
        names.push("anonymous");
        known("credential", &self.with, &names)
    }

    /// Whether the cell is among those asked for; a control is asked from each egress that is asked from.
    pub(super) fn keep(&self, probes: &[String], probe: &Probe, cell: &CellKey) -> bool {
        keeps(&self.from, cell.egress.as_str())
            && (probe.control && !probes.iter().any(|name| name == probe.name.as_str())
                || keeps(probes, probe.name.as_str())
                    && keeps(&self.as_clients, cell.client.as_str())
                    && keeps(&self.with, cell.credential.as_str()))
    }
}

fn known(what: &str, asked: &[String], names: &[&str]) -> Result<(), String> {
    match asked.iter().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(format!(
            "there is no {what} {name:?} in the file; there are: {}",
            names.join(", ")
        )),
        None => Ok(()),
    }
}

fn keeps(asked: &[String], name: &str) -> bool {
    asked.is_empty() || asked.iter().any(|a| a == name)
}

/// What was asked for: the cells that run now, the controls among them, and what can't run.
pub(super) struct Asked {
    pub(super) cells: Vec<CellKey>,
    pub(super) idle: Vec<Idle>,
}

/// The cells that were asked for, and the controls. It is an error when none is left of the former that can run.
pub(super) fn cells(plan: &Plan, probes: &[String], levels: &Levels) -> Result<Asked, String> {
    levels.check(plan, probes)?;
    let all: Vec<(&Probe, CellKey)> = plan
        .every_cell()
        .filter(|(probe, cell)| levels.keep(probes, probe, cell))
        .collect();
    let asked =
        |probe: &Probe| probes.is_empty() || probes.iter().any(|p| p == probe.name.as_str());
    let runs =
        |cell: &CellKey| plan.missing(cell).is_none() && plan.site_of(&cell.egress).is_none();
    if all.iter().any(|(probe, cell)| asked(probe) && runs(cell)) {
        let (cells, rest): (Vec<_>, Vec<_>) = all.into_iter().map(|(_, cell)| cell).partition(runs);
        let idle = conclude::idle(plan, &rest);
        return Ok(Asked { cells, idle });
    }
    let mut why = "no cell is left; a probe has only the egresses, clients and credentials of its `from`, `as` and `with`".to_owned();
    for credential in &plan.credentials {
        if let Some(missing) = &credential.missing {
            why = format!(
                "{why}; credential {:?} can't be used: {missing}",
                credential.name
            );
        }
    }
    Err(why)
}

/// What a command that asks by itself begins with: a log of warnings, unless more is wanted, and the plan.
pub(super) fn begin(config: &Path, log: &str) -> Result<Plan, ExitCode> {
    // Cells of a credential that is not there are left out; nobody should take them for passing.
    begin_with(config, log, load::log_gaps)
}

/// As [`begin`], for who asks a store what the daemon saw: its secrets count, not those of this shell.
pub(super) fn begin_with_store(config: &Path, log: &str) -> Result<Plan, ExitCode> {
    begin_with(config, log, |_| {})
}

fn begin_with(config: &Path, log: &str, warn: fn(&Checked)) -> Result<Plan, ExitCode> {
    super::start_log(if log == "info" { "warn" } else { log }).map_err(|e| super::complain(&e))?;
    let checked = checked(config)?;
    warn(&checked);
    Ok(checked.plan)
}

/// The plan, or the exit code after having said why there is none.
pub(super) fn plan(config: &Path) -> Result<Plan, ExitCode> {
    let checked = checked(config)?;
    load::log_gaps(&checked);
    Ok(checked.plan)
}

fn checked(config: &Path) -> Result<Checked, ExitCode> {
    match load::load(config) {
        Ok(checked) => Ok(checked),
        Err(load::Error::Unreadable(text)) => Err(super::complain(&text)),
        Err(error @ load::Error::Faulty(_)) if super::JSON.load(Ordering::Relaxed) => {
            Err(super::complain(&error.to_string()))
        }
        Err(load::Error::Faulty(findings)) => {
            eprintln!("{findings}");
            Err(exit::our_side())
        }
    }
}

/// Runs the cells once, politely, with a count on a terminal.
pub(super) fn ask(plan: &Arc<Plan>, cells: Vec<CellKey>) -> Result<Vec<Judged>, String> {
    accounts::claim(plan, &cells)?;
    let runtime = super::runtime()?;
    let mut progress = Progress {
        done: 0,
        total: cells.len(),
        shown: std::io::stderr().is_terminal(),
    };
    let judged = runtime.block_on(round::round(plan.clone(), cells, Manners::Own, |_| {
        progress.one_more();
    }))?;
    progress.clear();
    Ok(judged)
}

/// The outcome in one word, and as an exit code.
pub(super) fn outcome(found: &Conclusion) -> (&'static str, ExitCode) {
    match found.outcome {
        Outcome::AllPass => ("all_pass", exit::OK),
        Outcome::Problem => ("problem", exit::problem()),
        Outcome::OurSide => ("our_side", exit::our_side()),
        Outcome::NotKnown => ("not_known", exit::our_side()),
    }
}

/// Prints table and conclusion, then `more`: a sentence for people, keys for scripts.
pub(super) fn show(
    judged: &[Judged],
    found: &Conclusion,
    format: Format,
    more: Option<(&str, Value)>,
) {
    match format {
        Format::Text => {
            let entries: Vec<matrix::Entry> = judged.iter().map(entry).collect();
            super::print(&matrix::matrix(&entries, super::colour(), super::columns()));
            super::show(&conclusion::text(
                &found.briefings,
                &found.remarks,
                &found.idle.iter().map(did_not_run).collect::<Vec<_>>(),
                super::colour(),
            ));
            if let Some((sentence, _)) = more {
                super::show(&format!("{sentence}\n"));
            }
            if (found.outcome == Outcome::AllPass || more.is_some()) && over_our_tls(judged) {
                super::show(OVER_OUR_TLS);
            }
        }
        Format::Json => {
            let cells: Vec<Value> = judged.iter().map(cell_json).collect();
            let conclusion = conclusion::json(outcome(found).0, &found.briefings, &found.remarks);
            let idle = found
                .idle
                .iter()
                .map(|idle| json!({ "cells": idle.cells, "probes": idle.probes, "why": idle.why }));
            let mut result = json!({
                "cells": cells,
                "not_run": idle.collect::<Vec<_>>(),
                "conclusion": conclusion,
            });
            if let Some((_, Value::Object(keys))) = more {
                for (key, value) in keys {
                    result[key] = value;
                }
            }
            super::print(&format!("{result:#}\n"));
        }
    }
}

/// What a pass does not say.
const OVER_OUR_TLS: &str = "\
Judged over rustls, edgewatch's own TLS: whether an edge refuses the TLS fingerprint of your own programs can't be seen \
with it (`edgewatch client NAME` shows what is sent).\n";

/// Whether requests went over TLS, by our own stack alone.
fn over_our_tls(judged: &[Judged]) -> bool {
    let sent = || {
        judged
            .iter()
            .filter_map(|one| one.observation.sent.as_ref())
    };
    sent().any(|sent| sent.ja4.is_some()) && sent().all(|sent| sent.stack == Stack::Native)
}

/// `24 cells did not run: ACME_TOKEN is not set`.
pub(super) fn did_not_run(idle: &Idle) -> String {
    let cells = if idle.cells == 1 { "cell" } else { "cells" };
    let probes: Vec<&str> = idle.probes.iter().map(ProbeName::as_str).collect();
    format!(
        "{} {cells} of {} did not run: {}",
        idle.cells,
        probes.join(", "),
        idle.why
    )
}

fn entry(judged: &Judged) -> matrix::Entry {
    matrix::Entry {
        cell: judged.observation.cell.clone(),
        verdict: judged.verdict.clone(),
        status: judged.observation.answer.as_ref().map(|a| a.status),
        took: judged.observation.took,
    }
}

fn cell_json(judged: &Judged) -> Value {
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
        "sent": observation.sent,
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
