//! `edgewatch plan`: what an edit will do, before it is taken.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::{Format, StoreAt, exit};
use crate::app::load::{self, Kept, Loaded};
use crate::clock;
use crate::domain::cell::CellKey;
use crate::domain::difference::{Cells, Changed, Difference, Part};
use crate::domain::incident::{Incident, State};
use crate::domain::mute::Silence;
use crate::domain::plan::Plan;
use crate::machine::log::Source;
use crate::report::incidents::local;
use crate::store::Store;

/// Show what taking the file would change: cells, receivers, requests a minute, open incidents, silences
///
/// Compares the file with what the daemon runs by, as its store keeps it (`--against FILE`: with another file).
/// Secrets are compared by their shape, not by their value, and those that this shell lacks are taken as the daemon has
/// them; values that may hold one are never shown. Touches no network and changes nothing. Exit code 0 when nothing would change, 1 when something would, 2 when a file is
/// faulty or nothing is there to compare with.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  edgewatch plan                               what a reload of probes.yaml would do
  edgewatch plan --against main/probes.yaml    what a pull request changes
  edgewatch plan new.yaml --format json")]
pub(super) struct Arguments {
    /// The file, in place of the one that --config names.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Compare with this file in place of what the daemon runs by.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    #[command(flatten)]
    store: StoreAt,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What an edit does, to the plan and to what is open.
#[derive(Debug, Serialize)]
struct Edit {
    /// What it was compared with, in words.
    against: String,
    #[serde(flatten)]
    difference: Difference,
    incidents: Vec<Touched>,
    /// Silences in force that mute no cell any more.
    silences: Vec<u64>,
}

/// An open incident that loses cells.
#[derive(Debug, Serialize)]
struct Touched {
    number: u64,
    cells: usize,
    leave: usize,
    /// It ends as no longer watched.
    ends: bool,
}

pub(super) fn run(config: &Path, arguments: &Arguments) -> ExitCode {
    let config = arguments.file.as_deref().unwrap_or(config);
    let edit = match edit(config, arguments) {
        Ok(edit) => edit,
        Err(error) => return super::complain(&error),
    };
    match arguments.format {
        Format::Json => super::print(&format!(
            "{:#}\n",
            serde_json::to_value(&edit).unwrap_or_default()
        )),
        Format::Text => super::show(&told(config, &edit)),
    }
    if edit.difference.is_empty() {
        exit::OK
    } else {
        exit::problem()
    }
}

fn edit(config: &Path, arguments: &Arguments) -> Result<Edit, String> {
    let loaded = load::load_with_source(config).map_err(|error| error.to_string())?;
    let plan = &loaded.checked.plan;
    if let Some(path) = &arguments.against {
        let former = load::load_with_source(path).map_err(|error| error.to_string())?;
        let (before, now) = (bare(&former, None), bare(&loaded, None));
        return Ok(Edit {
            against: path.display().to_string(),
            difference: Difference::between(&before, &now),
            incidents: Vec::new(),
            silences: Vec::new(),
        });
    }
    let path = arguments.store.store.as_ref().unwrap_or(&plan.store.path);
    let reader = Store::read_only(path).map_err(|error| error.to_string())?;
    let kept = Kept::of(&reader).ok_or_else(|| {
        format!(
            "no daemon has said by which file it runs in {}; compare with a file: --against FILE",
            path.display()
        )
    })?;
    let before = kept.plan().ok_or_else(|| {
        format!(
            "the file that the daemon ran by ({}) is from another version of edgewatch; compare with a file: --against FILE",
            kept.path.display()
        )
    })?;
    // What only the daemon has of secrets is no change.
    let now = bare(&loaded, Some(&kept.source));
    let known = reader.load_open().map_err(|error| error.to_string())?;
    let silences = reader.silences().map_err(|error| error.to_string())?;
    let at = clock::now();
    let open = known.incidents.iter().filter(|it| it.state == State::Open);
    Ok(Edit {
        against: format!(
            "what runs since {} ({})",
            local(kept.at, &plan.zone),
            kept.path.display()
        ),
        difference: Difference::between(&before, &now),
        incidents: touched(open, &now),
        silences: silences
            .iter()
            .filter(|silence| silence.holds(at) && is_idle(silence, &before, &now))
            .map(|silence| silence.number)
            .collect(),
    })
}

/// The plan with every secret replaced by another of its shape, as a store keeps it; what this shell lacks is as `former`.
fn bare(loaded: &Loaded, former: Option<&Source>) -> Plan {
    let mut source = loaded.source.clone();
    for (name, text) in former.iter().flat_map(|former| &former.env) {
        let known = source.env.entry(name.clone());
        known.or_insert_with(|| text.clone());
    }
    for (name, text) in former.iter().flat_map(|former| &former.files) {
        let known = source.files.entry(name.clone());
        known.or_insert_with(|| text.clone());
    }
    let kept = Kept {
        path: PathBuf::new(),
        at: clock::now(),
        source,
    };
    kept.plan().unwrap_or_else(|| loaded.checked.plan.clone())
}

fn touched<'a>(open: impl Iterator<Item = &'a Incident>, now: &Plan) -> Vec<Touched> {
    let cells: BTreeSet<CellKey> = now.every_cell().map(|(_, cell)| cell).collect();
    let mut touched: Vec<Touched> = open
        .map(|incident| {
            let gone = |cell: &CellKey| !cells.contains(&now.former.cell(cell));
            let leave = incident.cells.iter().filter(|it| gone(&it.cell)).count();
            Touched {
                number: incident.number,
                cells: incident.cells.len(),
                leave,
                ends: leave == incident.cells.len(),
            }
        })
        .filter(|touched| touched.leave > 0)
        .collect();
    touched.sort_by_key(|touched| touched.number);
    touched
}

/// Whether a silence of cells covers none any more that it covered before.
fn is_idle(silence: &Silence, before: &Plan, now: &Plan) -> bool {
    let covers = |plan: &Plan| {
        plan.every_cell()
            .any(|(_, cell)| silence.matcher.covers_cell(&cell))
    };
    covers(before) && !covers(now)
}

fn told(config: &Path, edit: &Edit) -> String {
    let difference = &edit.difference;
    let mut text = format!("{} against {}\n", config.display(), edit.against);
    if difference.is_empty() {
        text.push_str("\nNothing changes.\n");
        return text;
    }
    let _ = writeln!(text, "\n{}", counted(&difference.cells));
    for said in &difference.renamed {
        let _ = writeln!(text, "{said}; its history goes on");
    }
    for part in &difference.parts {
        one_part(&mut text, part, &difference.cells);
    }
    if !difference.settings.is_empty() {
        let _ = writeln!(text, "\nalso changed: {}", difference.settings.join(", "));
    }
    if !difference.hosts.is_empty() {
        text.push_str("\nrequests a minute\n");
        for load in &difference.hosts {
            let (host, before, now) = (&load.host, load.before, load.now);
            let _ = writeln!(text, "  {host}: {before:.1} → {now:.1}");
        }
    }
    if !difference.accounts.is_empty() {
        text.push_str("\nrequests a day with a credential\n");
        for load in &difference.accounts {
            let (name, before, now, most) = (&load.credential, load.before, load.now, load.most);
            let over = if now > f64::from(most) {
                format!(
                    ": used up after {:.1} h, and not watched until they are free again",
                    24.0 * f64::from(most) / now
                )
            } else {
                String::new()
            };
            let _ = writeln!(text, "  {name}: {before:.0} → {now:.0} of {most}{over}");
        }
    }
    if !edit.incidents.is_empty() {
        text.push_str("\nopen incidents\n");
        for it in &edit.incidents {
            let what = if it.ends {
                "ends as no longer watched: the file asks none of its cells any more".to_owned()
            } else {
                format!("loses {} of its {} cells", it.leave, it.cells)
            };
            let _ = writeln!(text, "  INC-{} {what}", it.number);
        }
    }
    if !edit.silences.is_empty() {
        text.push_str("\nsilences\n");
        for number in &edit.silences {
            let _ = writeln!(text, "  silence {number} mutes nothing any more");
        }
    }
    text
}

fn counted(cells: &Cells) -> String {
    let parts = [
        (cells.added.len(), "added"),
        (cells.removed.len(), "removed"),
        (cells.changed.len(), "changed"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, how)| format!("{count} {how}"))
        .collect();
    let parts = if parts.is_empty() {
        String::new()
    } else {
        format!(": {}", parts.join(", "))
    };
    format!("cells {} → {}{parts}", cells.before, cells.now)
}

fn one_part(text: &mut String, part: &Part, cells: &Cells) {
    let of = |name: &str, those: &[CellKey]| match part.what {
        "probes" => those
            .iter()
            .filter(|cell| cell.probe.as_str() == name)
            .count(),
        _ => 0,
    };
    let with = |count: usize, more: &str| match count {
        0 => String::new(),
        1 => format!("  1 cell{more}"),
        many => format!("  {many} cells{more}"),
    };
    let _ = writeln!(text, "\n{}", part.what);
    for name in &part.added {
        let _ = writeln!(text, "  + {name}{}", with(of(name, &cells.added), ""));
    }
    for name in &part.removed {
        let gone = with(of(name, &cells.removed), ", whose history ends");
        let _ = writeln!(text, "  - {name}{gone}");
    }
    for Changed { name, keys } in &part.changed {
        let keys: Vec<String> = keys
            .iter()
            .map(|key| match &key.values {
                Some((before, now)) => format!("{}: {before} → {now}", key.key),
                None => key.key.to_owned(),
            })
            .collect();
        let keys = if keys.is_empty() {
            String::new()
        } else {
            format!("  {}", keys.join("; "))
        };
        let _ = writeln!(text, "  ~ {name}{keys}");
    }
}
