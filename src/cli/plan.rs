//! `edgewatch plan`: what an edit will do, before it is taken.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Format, StoreAt, exit};
use crate::app::load::{self, Kept, Loaded};
use crate::clock;
use crate::domain::plan::Plan;
use crate::machine::log::Source;
use crate::report::edit::Edit;
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
        Format::Text => super::show(&format!(
            "{} against {}\n\n{}",
            config.display(),
            edit.against,
            edit.text()
        )),
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
        let against = path.display().to_string();
        return Ok(Edit::between(
            against,
            (&before, &now),
            &[],
            &[],
            clock::now(),
        ));
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
    let against = format!(
        "what runs since {} ({})",
        local(kept.at, &plan.zone),
        kept.path.display()
    );
    let plans = (&before, &now);
    Ok(Edit::between(
        against,
        plans,
        &known.incidents,
        &silences,
        clock::now(),
    ))
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
