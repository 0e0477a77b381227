//! `edgewatch store backup`: a whole copy of the store, while the daemon writes it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Format, StoreAt, ask, exit};
use crate::store::Store;

/// Copy the store to a file, while the daemon may be running
///
/// A plain copy of a store that is written lacks what still stands in the file beside it (`-wal`); this one is whole.
/// Exit code 0 when the copy is written, 2 when it can't be.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    store: StoreAt,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Write a whole copy to a new file
    Backup {
        /// The copy; there must be no such file yet.
        file: PathBuf,
    },
}

pub(super) fn run(config: &Path, arguments: &Arguments) -> ExitCode {
    let mut plan = match ask::plan(config) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    arguments.store.choose(&mut plan);
    let What::Backup { file } = &arguments.what;
    let from = &plan.store.path;
    let copied = Store::read_only(from).and_then(|store| store.backup(file));
    if let Err(error) = copied {
        return super::complain(&error.to_string());
    }
    match arguments.format {
        Format::Text => super::print(&format!(
            "{} is a copy of {}\n",
            file.display(),
            from.display()
        )),
        Format::Json => {
            let value = serde_json::json!({ "copy": file, "of": from });
            super::print(&format!("{value:#}\n"));
        }
    }
    exit::OK
}
