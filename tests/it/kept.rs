//! What a run of the tests leaves behind, for `tests/secrets.rs` to look through once all of them are done.
//!
//! Everything lies in one directory of this process below cargo's own for tests: folders with stores and
//! logs as the daemons left them, what commands printed, what receivers were sent. The next run takes away
//! what processes left that are gone.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use edgewatch::domain::plan::StorePolicy;
use edgewatch::store::{Opened, Store, StoreError};
use tempfile::TempDir;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Beside the directories of the runs; the search names it too.
pub(crate) const ROOT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/kept");

static RUN: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = Path::new(ROOT);
    std::fs::create_dir_all(root).unwrap();
    for entry in std::fs::read_dir(root).unwrap().flatten() {
        let process = Path::new("/proc").join(entry.file_name());
        if !process.exists() {
            // Somebody else's tests may be doing the same.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let run = root.join(std::process::id().to_string());
    std::fs::create_dir_all(&run).unwrap();
    // With arguments, some tests may have been left out, and not everything need be there.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    std::fs::write(run.join(ARGUMENTS), arguments.join(" ")).unwrap();
    // What runs within this process logs too, and at trace it says the most. Ours alone: the servers here have
    // the secrets of their clients in their requests.
    let log = std::fs::File::create(run.join("process.log")).unwrap();
    let log = tracing_subscriber::fmt()
        .with_env_filter("off,edgewatch=trace")
        .with_ansi(false)
        .with_writer(log)
        .finish();
    let _ = tracing::subscriber::set_global_default(log);
    run
});

/// The arguments of the run.
pub(crate) const ARGUMENTS: &str = "arguments";

/// An empty folder that stays after the test.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("world-")
        .disable_cleanup(true)
        .tempdir_in(&*RUN)
        .unwrap()
}

/// Opens a store that nobody uses. What another test starts just then has our files open too until it becomes a
/// program of its own, and with them the lock of a store that we closed.
pub(crate) fn opened(path: &Path, policy: &StorePolicy) -> Opened {
    // A task that holds its lock must be able to end meanwhile, also one that waits for this very thread.
    let among_tasks = Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if among_tasks {
        tokio::task::block_in_place(|| opened_soon(path, policy))
    } else {
        opened_soon(path, policy)
    }
}

fn opened_soon(path: &Path, policy: &StorePolicy) -> Opened {
    loop {
        match Store::open(path, policy) {
            Err(StoreError::Locked { .. }) => std::thread::yield_now(),
            // Held for longer than opening waits, on a busy machine: it is tried again, as whoever runs it would.
            Err(StoreError::Io { why, .. }) if why == "database is locked" => {
                std::thread::yield_now();
            }
            opened => return opened.unwrap(),
        }
    }
}

pub(crate) fn store(path: &Path, policy: &StorePolicy) -> Store {
    opened(path, policy).store
}

/// Keeps what came out somewhere; `kind` becomes the file's ending.
pub(crate) fn keep(kind: &str, bytes: impl AsRef<[u8]>) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let bytes = bytes.as_ref();
    if !bytes.is_empty() {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        std::fs::write(RUN.join(format!("{number}.{kind}")), bytes).unwrap();
    }
}
