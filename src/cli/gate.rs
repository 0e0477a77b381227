//! `edgewatch gate`: is it safe to start a job that depends on this partner?

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::ask::{self, Levels};
use crate::ask::clearance::{Clearance, Known, State};
use crate::ask::conclude;
use crate::ask::gate::{self, Answer};
use crate::cli::Format;
use crate::cli::exit;
use crate::clock;
use crate::config;
use crate::domain::cell::CellKey;
use crate::domain::past::PastRun;
use crate::domain::plan::Plan;
use crate::store::Store;

/// How far back the store is searched, so that "stale" can say how stale.
const BACK: Duration = Duration::from_secs(48 * 3600);

/// Ask before a job starts: is it safe, as this client, from this egress?
///
/// Reads what the daemon saw last, or with --now probes itself. One line says why.
/// Exit code 0 when all cells asked about passed within --max-age and no open incident holds one of them,
/// 1 when one is blocked or down, 2 when that is not known: stale, never asked, or our own side fails.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  edgewatch gate gmc-connect --as new-reval --from new-reval && start-the-sync
  edgewatch gate gmc-connect --now")]
pub(super) struct Arguments {
    /// What the job depends on.
    #[arg(value_name = "PROBE")]
    probe: String,
    #[command(flatten)]
    levels: Levels,
    /// How old a run may be to count.
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = config::duration)]
    max_age: Duration,
    /// Probe now instead of reading the daemon's store; controls run too.
    #[arg(long)]
    now: bool,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    store: super::StoreAt,
}

pub(super) fn run(config: &Path, log: &str, arguments: &Arguments) -> ExitCode {
    let begin = if arguments.now {
        ask::begin
    } else {
        ask::begin_with_store
    };
    let mut plan = match begin(config, log) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    arguments.store.choose(&mut plan);
    let plan = Arc::new(plan);
    let answer = if arguments.now {
        by_probing(&plan, arguments)
    } else {
        from_the_store(&plan, arguments)
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return super::complain(&error),
    };
    match arguments.format {
        Format::Text => {
            let Clearance { state, why } = &answer.clearance;
            super::show(&format!("{}: {why}\n", state.as_str()));
        }
        Format::Json => {
            let source = if arguments.now { "now" } else { "store" };
            let value = gate::json(&answer, &arguments.probe, arguments.max_age, source);
            super::print(&format!("{value:#}\n"));
        }
    }
    match answer.clearance.state {
        State::Safe => exit::OK,
        State::Blocked | State::Down => exit::problem(),
        State::Unknown => exit::our_side(),
    }
}

fn from_the_store(plan: &Plan, arguments: &Arguments) -> Result<Answer, String> {
    let at = clock::now();
    let cells = wanted(plan, arguments)?;
    let lost = |why: String| Answer {
        clearance: Clearance {
            state: State::Unknown,
            why,
        },
        known: Vec::new(),
        held: Vec::new(),
        at,
    };
    // A store that can't be read is an answer too: a job must not start on it, and its log must say why.
    let store = match Store::read_only(&plan.store.path) {
        Ok(store) => store,
        Err(error) => return Ok(lost(error.to_string())),
    };
    let since = at
        .checked_sub(arguments.max_age.max(BACK))
        .unwrap_or(Timestamp::MIN);
    let read = store
        .latest(&cells, since)
        .and_then(|runs| Ok((runs, store.load_open()?)));
    let (runs, open) = match read {
        Ok(read) => read,
        Err(error) => return Ok(lost(error.to_string())),
    };
    let known = cells.into_iter().map(|cell| Known {
        last: runs.iter().find(|run| run.cell == cell).cloned(),
        cell,
    });
    let (open, max_age) = (&open.incidents, arguments.max_age);
    Ok(gate::answer(plan, known.collect(), open, max_age, at))
}

/// Every cell of the probe that the arguments leave, whether or not its credential is set here: the
/// daemon may know more secrets than a job does.
fn wanted(plan: &Plan, arguments: &Arguments) -> Result<Vec<CellKey>, String> {
    let probes = std::slice::from_ref(&arguments.probe);
    arguments.levels.check(plan, probes)?;
    let mut cells = Vec::new();
    for probe in plan.probes.iter().filter(|p| probes[0] == p.name.as_str()) {
        for egress in &probe.from {
            for client in &probe.as_clients {
                for credential in &probe.with {
                    cells.push(CellKey {
                        probe: probe.name.clone(),
                        egress: egress.clone(),
                        client: client.clone(),
                        credential: credential.clone(),
                    });
                }
            }
        }
        cells.retain(|cell| arguments.levels.keep(probes, probe, cell));
    }
    if cells.is_empty() {
        return Err(format!(
            "no cell is left; probe {:?} has only the egresses, clients and credentials of its `from`, `as` and `with`",
            arguments.probe
        ));
    }
    Ok(cells)
}

fn by_probing(plan: &Arc<Plan>, arguments: &Arguments) -> Result<Answer, String> {
    let probes = std::slice::from_ref(&arguments.probe);
    let asked = ask::cells(plan, probes, &arguments.levels)?;
    let judged = ask::ask(plan, asked.cells)?;
    let at = clock::now();
    let found = conclude::conclude(plan, &judged, at);
    let known: Vec<Known> = judged
        .iter()
        .filter(|judged| judged.observation.cell.probe.as_str() == arguments.probe)
        .map(|judged| Known {
            cell: judged.observation.cell.clone(),
            last: Some(PastRun {
                cell: judged.observation.cell.clone(),
                at: judged.observation.started_at,
                kind: judged.verdict.kind,
                status: judged.observation.answer.as_ref().map(|a| a.status),
                vendor: Some(judged.verdict.vendor.to_string()),
                code: judged.verdict.code.clone(),
                reference_id: judged.verdict.reference_id.clone(),
            }),
        })
        .collect();
    // However long the round took, it is of now.
    let mut clearance = gate::judged(plan, &known, &[], Duration::MAX, at);
    let ours = found.briefings.iter().all(|briefing| briefing.our_side);
    if clearance.state != State::Safe
        && let Some(briefing) = found.briefings.iter().find(|b| b.our_side == ours)
    {
        if ours {
            clearance.state = State::Unknown;
        }
        clearance.why = format!("{} (by one round; {})", briefing.headline, clearance.why);
    }
    let mut idle = asked.idle.iter();
    if clearance.state == State::Safe
        && let Some(idle) =
            idle.find(|idle| idle.probes.iter().any(|p| p.as_str() == arguments.probe))
    {
        clearance.state = State::Unknown;
        clearance.why = ask::did_not_run(idle);
    }
    Ok(Answer {
        clearance,
        known,
        held: Vec::new(),
        at,
    })
}
