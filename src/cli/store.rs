//! `edgewatch store`: is it sound, a whole copy of it, and giving back what is free; all while the daemon writes it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Format, StoreAt, ask, exit};
use crate::store::{Compacted, Soundness, Store, StoreError};

/// Check, copy or compact the store, while the daemon may be running
///
/// Exit code 0 when it is sound, copied or compacted, 1 when it is damaged, 2 when it can't be done.
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
    /// Look at every page, reference and incident of it
    Check,
    /// Write a whole copy to a new file
    ///
    /// A plain copy of a store that is written lacks what still stands in the file beside it (`-wal`); this one is whole.
    Backup {
        /// The copy; there must be no such file yet.
        file: PathBuf,
    },
    /// Give back to the disk what is free in it
    ///
    /// Beside a daemon in small steps, which it does not notice. Without one the file is written anew, as small as it gets;
    /// that takes as much room again for as long as it lasts.
    Compact,
}

pub(super) fn run(config: &Path, arguments: &Arguments) -> ExitCode {
    let mut plan = match ask::plan(config) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    arguments.store.choose(&mut plan);
    let path = &plan.store.path;
    let done = match &arguments.what {
        What::Check => check(path),
        What::Backup { file } => backup(path, file),
        What::Compact => compact(path),
    };
    let (code, text, value) = match done {
        Ok(done) => done,
        Err(error) => return super::complain(&error.to_string()),
    };
    match arguments.format {
        Format::Text => super::print(&text),
        Format::Json => super::print(&format!("{value:#}\n")),
    }
    code
}

/// Exit code, and what is said to people and to programs.
type Done = Result<(ExitCode, String, serde_json::Value), StoreError>;

fn backup(path: &Path, file: &Path) -> Done {
    Store::read_only(path)?.backup(file)?;
    let text = format!("{} is a copy of {}\n", file.display(), path.display());
    let value = serde_json::json!({ "copy": file, "of": path });
    Ok((exit::OK, text, value))
}

fn check(path: &Path) -> Done {
    let found = Store::read_only(path)?.check()?;
    let sound = found.faults.is_empty();
    let code = if sound { exit::OK } else { exit::problem() };
    let value = serde_json::json!({ "store": path, "sound": sound, "found": found });
    Ok((code, checked(path, &found), value))
}

fn checked(path: &Path, found: &Soundness) -> String {
    let mut text = match found.faults.as_slice() {
        [] => format!("{} is sound\n", path.display()),
        faults => format!(
            "{} is damaged:\n  {}\nStop the daemon and put back a copy that `edgewatch store backup` made, or move the file away:\na new one is begun then, without earlier incidents and history.\n",
            path.display(),
            faults.join("\n  ")
        ),
    };
    let some = |count: u64, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let days = match (&found.first_day, &found.last_day) {
        (Some(first), Some(last)) => {
            format!("{} of runs, {first} to {last}", some(found.days, "day"))
        }
        _ => "no runs yet".to_owned(),
    };
    let _ = writeln!(
        text,
        "  {days}, of {}\n  {}, {} open; {} to be delivered\n  {}, {} of it free; format {}",
        some(found.cells, "cell"),
        some(found.incidents, "incident"),
        found.incidents_open,
        some(found.messages_waiting, "message"),
        size(found.bytes),
        size(found.free_bytes),
        found.format
    );
    text
}

fn compact(path: &Path) -> Done {
    let done = Store::hand(path)?.compact()?;
    let Compacted {
        bytes_before,
        bytes_after,
        whole,
    } = done;
    let mut text = format!(
        "{}: {} before, {} now\n",
        path.display(),
        size(bytes_before),
        size(bytes_after)
    );
    if !whole {
        text += "What was free is given back. With the daemon stopped it is written anew, which may save more.\n";
    }
    let value = serde_json::json!({ "store": path, "compacted": done });
    Ok((exit::OK, text, value))
}

fn size(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}
