//! What can go wrong with the store, told to the one who must mend it.
//!
//! Inside, only what went wrong is handed up ([`Fault`]); the file and what was being done are put to it once,
//! where work is begun.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the store can't be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is no store at {}: no daemon has kept one there; --store FILE or EDGEWATCH_STORE names another", .path.display())]
    Missing { path: PathBuf },
    #[error(
        "this user may not read {}; run it as the daemon's user, or let a group of this user read it: `store: {{ group: NAME }}`",
        .path.display()
    )]
    Forbidden { path: PathBuf },
    #[error(
        "can't write in {}: {why}; create the folder, give this user the right to write in it, or set another `store.path`",
        .folder.display()
    )]
    Folder { folder: PathBuf, why: String },
    #[error(
        "{} is in use by another edgewatch process; stop that one, or give this one another `store.path`",
        .path.display()
    )]
    Locked { path: PathBuf },
    #[error(
        "{} was written by a newer edgewatch (format {found}, this one knows up to {known}); run that version, or {}",
        .path.display(), way_back(.path, .copy.as_deref())
    )]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
        /// What the store was before it was brought up to date.
        copy: Option<PathBuf>,
    },
    #[error(
        "{} holds no store; a plain copy of one that is written lacks what stands beside it, so copy with `edgewatch store backup FILE`",
        .path.display()
    )]
    Empty { path: PathBuf },
    #[error(
        "{} has the older format {found} (this edgewatch wants {known}); start the daemon once, it brings the file up to date",
        .path.display()
    )]
    Older {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error("{} is not a store of edgewatch and is left as it is; set another `store.path`", .path.display())]
    NotOurs { path: PathBuf },
    #[error("{} is damaged: {why}", .path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("the disk with {} is full; free some space, writing goes on by itself then", .path.display())]
    Full { path: PathBuf },
    #[error("can't {doing} in {}: {why}", .path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        why: String,
    },
    /// A stored document that this version can't read.
    #[error("{what} in {} can't be read: {why}", .path.display())]
    Unreadable {
        path: PathBuf,
        what: String,
        why: String,
    },
    /// Another hub leads; nothing was decided here.
    #[error("can't {doing}: {why}")]
    Deposed { doing: &'static str, why: String },
    #[error("too much waits to be written; try again")]
    Busy,
    #[error("the store is closed")]
    Closed,
}

fn way_back(path: &Path, copy: Option<&Path>) -> String {
    let path = path.display();
    match copy {
        Some(copy) => format!(
            "go back to what it was before that, without what was kept since: rm -f {path}-wal {path}-shm && mv {} {path}",
            copy.display()
        ),
        None => "put back a copy from before that one ran (`edgewatch store backup`), or set another `store.path`".to_owned(),
    }
}

/// What went wrong, before anybody said in which file and while doing what.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// A stored document that this version can't read.
    Unreadable {
        what: String,
        why: String,
    },
    /// It can't be done now.
    Refused(String),
    /// This hub does not lead any more.
    Deposed(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

impl StoreError {
    /// Puts a fault into the words of its cause; `doing` follows "can't".
    pub(super) fn new(path: &Path, doing: &'static str, fault: impl Into<Fault>) -> Self {
        let path = path.to_owned();
        let error = match fault.into() {
            Fault::Unreadable { what, why } => return Self::Unreadable { path, what, why },
            Fault::Refused(why) => return Self::Io { path, doing, why },
            Fault::Deposed(why) => return Self::Deposed { doing, why },
            Fault::Sqlite(error) => error,
        };
        let why = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, why }
            }
            _ => Self::Io { path, doing, why },
        }
    }
}
