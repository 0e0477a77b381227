//! Opening the file: is it there, is it ours, is it whole, is it free.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::StoreError;
use super::schema;
use crate::domain::plan::StorePolicy;

/// The first bytes of every `SQLite` file: <https://www.sqlite.org/fileformat.html#the_database_header> (read 2026-11-22).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The write-ahead log is cut back to this after a checkpoint.
const JOURNAL_BYTES_MAX: i64 = 64 << 20;

/// Tables worth more than any history: checked for damage at each start.
const PRECIOUS: [&str; 8] = [
    "cells",
    "incidents",
    "timeline",
    "outbox",
    "threads",
    "storms",
    "storm_members",
    "marks",
];

/// An open file, and the lock that keeps other daemons out for as long as it lives.
pub(super) struct OpenFile {
    pub(super) connection: Connection,
    pub(super) lock: File,
    pub(super) warnings: Vec<String>,
}

pub(super) fn open(path: &Path, policy: &StorePolicy) -> Result<OpenFile, StoreError> {
    check_folder(path)?;
    let lock = lock(path)?;
    refuse_foreign(path)?;
    let mut warnings: Vec<String> = keep_former(path).into_iter().collect();
    let connection = match connect(path) {
        Err(StoreError::Damaged { why, .. }) => {
            let aside = move_aside(path)?;
            warnings.push(format!(
                "{} is damaged ({why}); it was moved to {} and a new one begun: earlier incidents and history are only in the old file",
                path.display(),
                aside.display()
            ));
            connect(path)?
        }
        other => other?,
    };
    if let Some(group) = &policy.group {
        warnings.extend(share(path, group).err());
    }
    Ok(OpenFile {
        connection,
        lock,
        warnings,
    })
}

/// Copies a store of an older format before it is brought up to date: the way back to the version that wrote it.
///
/// Returns a sentence when that can't be; it is brought up to date all the same.
fn keep_former(path: &Path) -> Option<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags).ok()?;
    let found = check_ours(&file, path).ok()?;
    let copy = former(path, found);
    if !(1..schema::KNOWN).contains(&found) || copy.exists() {
        return None;
    }
    let copied = make(&copy)
        .map_err(|error| error.to_string())
        .and_then(|()| {
            let copied = file.execute("VACUUM INTO ?", [copy.to_string_lossy()]);
            copied.map_err(|error| error.to_string())
        });
    let (path, known) = (path.display(), schema::KNOWN);
    match copied {
        Ok(_) => {
            let copy = copy.display();
            tracing::info!(
                "{path} is brought from format {found} to {known}; as it was it lies in {copy}, which may be removed once no older edgewatch is wanted"
            );
            None
        }
        Err(why) => {
            let _ = std::fs::remove_file(&copy);
            Some(format!(
                "{path} is brought from format {found} to {known} without a copy of what it was ({why}): an older edgewatch can't read it any more"
            ))
        }
    }
}

/// Where the copy of a store of this format is kept.
fn former(path: &Path, format: i64) -> PathBuf {
    beside(path, &format!(".format-{format}"))
}

/// The name without links; as it is where there is no file yet.
fn real(path: &Path) -> PathBuf {
    let folder = || {
        let folder = std::fs::canonicalize(folder(path)).ok()?;
        Some(folder.join(path.file_name()?))
    };
    let file = std::fs::canonicalize(path).ok();
    file.or_else(folder).unwrap_or_else(|| path.to_owned())
}

/// Whether the file, as anybody would open it now, is no sound store.
pub(super) fn is_damaged(path: &Path) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match Connection::open_with_flags(path, flags) {
        Ok(connection) => {
            let busy = connection.busy_timeout(Duration::from_secs(5));
            busy.is_ok() && check_whole(&connection, path).is_err()
        }
        Err(_) => true,
    }
}

/// Writes the store anew under its name; `whole`: with all that is in the connection, whose file has lost its name.
///
/// What has the name now is put aside; returns where to, if there was something. The connection is closed before the
/// new one is opened: at its end it removes what lies beside the file, by name.
pub(super) fn renew(
    from: &mut Connection,
    path: &Path,
    policy: &StorePolicy,
    whole: bool,
) -> Result<Option<PathBuf>, StoreError> {
    check_folder(path)?;
    let copy = beside(path, ".new");
    // After a try that failed behind this there is nothing else to copy from.
    let has_file = from.path().is_some_and(|path| !path.is_empty());
    if whole && has_file {
        let _ = std::fs::remove_file(&copy);
        make(&copy).map_err(|e| io(path, "write the store anew", &e))?;
        from.execute("VACUUM INTO ?", [copy.to_string_lossy()])
            .map_err(|e| StoreError::new(path, "write the store anew", e))?;
    }
    let nothing = Connection::open_in_memory();
    *from = nothing.map_err(|e| StoreError::new(path, "write the store anew", e))?;
    let aside = if path.exists() {
        Some(move_aside(path)?)
    } else {
        // Of a file that is gone; a new one must not be read with it.
        for part in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(path, part));
        }
        None
    };
    if whole {
        std::fs::rename(&copy, path).map_err(|e| io(path, "write the store anew", &e))?;
    }
    *from = connect(path)?;
    if let Some(group) = &policy.group
        && let Err(why) = share(path, group)
    {
        tracing::warn!("{why}");
    }
    Ok(aside)
}

fn check_folder(path: &Path) -> Result<(), StoreError> {
    let folder = folder(path);
    let refuse = |why: String| StoreError::Folder {
        folder: folder.clone(),
        why,
    };
    match std::fs::metadata(&folder) {
        Err(error) => return Err(refuse(error.to_string())),
        Ok(found) if !found.is_dir() => return Err(refuse("it is no folder".to_owned())),
        Ok(_) => {}
    }
    match std::fs::metadata(path) {
        // A pipe would hold us up for ever.
        Ok(found) if !found.is_file() => Err(StoreError::NotOurs {
            path: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// `name` with `ending` put after it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Makes an empty file for this user alone, unless there is one; never through a link that leads to nothing.
fn make(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    match options.create_new(true).write(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match std::fs::metadata(path) {
            Ok(found) if found.is_file() => Ok(()),
            Ok(_) => Err(std::io::Error::other(format!(
                "{} is no file",
                path.display()
            ))),
            Err(_) => {
                let text = format!("{} is a link that leads to nothing", path.display());
                Err(std::io::Error::other(text))
            }
        },
        Err(error) => Err(error),
    }
}

/// Lets the members of a group read the store, and nobody else; a sentence when that can't be.
fn share(path: &Path, group: &str) -> Result<(), String> {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    let failed = |why: String| {
        format!(
            "the group {group} can't be given {}: {why}; commands of its members can't read it",
            path.display()
        )
    };
    let found = nix::unistd::Group::from_name(group).map_err(|e| failed(e.to_string()))?;
    let found = found.ok_or_else(|| failed("this host has no such group".to_owned()))?;
    for part in ["", "-wal", "-shm"] {
        let part = beside(path, part);
        if part.exists() {
            chown(&part, None, Some(found.gid.as_raw())).map_err(|e| failed(e.to_string()))?;
            let mode = std::fs::Permissions::from_mode(0o640);
            std::fs::set_permissions(&part, mode).map_err(|e| failed(e.to_string()))?;
        }
    }
    Ok(())
}

/// Keeps daemons out for as long as it is held; [`StoreError::Locked`]: one has the store.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    // By the file itself: under another name, through a link, it is the same.
    take_lock(&real(path))
}

/// An advisory lock on a file beside the store; the system drops it when the process ends, however it ends.
fn take_lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, ".lock");
    let refuse = |error: std::io::Error| StoreError::Folder {
        folder: folder(path),
        why: error.to_string(),
    };
    make(&lock_path).map_err(refuse)?;
    let mut options = OpenOptions::new();
    let file = options.write(true).open(&lock_path).map_err(refuse)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(refuse(error)),
    }
}

/// Refuses what does not begin like a `SQLite` file: whatever it is, it is somebody's.
fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(path, "open the store", &error)),
    };
    let mut start = [0; MAGIC.len()];
    let mut read = 0;
    while read < start.len() {
        match file.read(&mut start[read..]) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) => return Err(io(path, "read the store", &error)),
        }
    }
    // An empty file is what a crash right after its creation leaves.
    if read == 0 || &start == MAGIC {
        return Ok(());
    }
    Err(StoreError::NotOurs {
        path: path.to_owned(),
    })
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let error = |e: rusqlite::Error| StoreError::new(path, "open the store", e);
    // What SQLite makes itself anybody may read; what lies beside the file gets the file's rights.
    make(path).map_err(|e| io(path, "make the store", &e))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(error)?;
    connection
        .busy_timeout(Duration::from_secs(5))
        .map_err(error)?;
    check_ours(&connection, path)?;
    // The first takes effect only on a new file, and only before anything else is written.
    for (name, value) in [
        ("auto_vacuum", "INCREMENTAL"),
        ("journal_mode", "WAL"),
        ("synchronous", "NORMAL"),
    ] {
        connection.pragma_update(None, name, value).map_err(error)?;
    }
    for (name, value) in [
        ("journal_size_limit", JOURNAL_BYTES_MAX),
        ("wal_autocheckpoint", 4_000),
        ("cache_size", -8_192),
    ] {
        connection.pragma_update(None, name, value).map_err(error)?;
    }
    schema::migrate(&mut connection).map_err(error)?;
    check_whole(&connection, path)?;
    Ok(connection)
}

/// That this user may not read the file, where that is why it can't be opened.
///
/// Asked only then: whoever closes a file loses all the locks that its process has on it, those of a store that is open
/// too (<https://sqlite.org/howtocorrupt.html>, "POSIX advisory locks canceled").
fn forbidden(path: &Path) -> Option<StoreError> {
    let denied = |error: &std::io::Error| error.kind() == ErrorKind::PermissionDenied;
    let path = path.to_owned();
    let error = File::open(&path).err().filter(denied);
    error.map(|_| StoreError::Forbidden { path })
}

/// Connects to a store that a daemon of this version made; nothing is created or migrated.
pub(super) fn existing(
    path: &Path,
    connect: impl FnOnce(&Path) -> Result<Connection, StoreError>,
) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing {
            path: path.to_owned(),
        });
    }
    let connection = connect(path).map_err(|error| forbidden(path).unwrap_or(error))?;
    let found = check_ours(&connection, path).map_err(|error| forbidden(path).unwrap_or(error))?;
    if found < schema::KNOWN {
        let error = |e: rusqlite::Error| StoreError::new(path, "read the store", e);
        let tables = "SELECT count(*) FROM sqlite_schema";
        let tables: i64 = connection
            .query_row(tables, [], |row| row.get(0))
            .map_err(error)?;
        if tables == 0 {
            return Err(StoreError::Empty {
                path: path.to_owned(),
            });
        }
        return Err(StoreError::Older {
            path: path.to_owned(),
            found,
            known: schema::KNOWN,
        });
    }
    Ok(connection)
}

/// Refuses a file of a newer version, and one of another program.
fn check_ours(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let error = |e: rusqlite::Error| StoreError::new(path, "read the store", e);
    let found = schema::version(connection).map_err(error)?;
    let application: i32 = connection
        .query_row("PRAGMA application_id", [], |row| row.get(0))
        .map_err(error)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(error)?;
    if application != schema::APPLICATION_ID && (tables > 0 || found != 0 || application != 0) {
        return Err(StoreError::NotOurs {
            path: path.to_owned(),
        });
    }
    if found > schema::KNOWN {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: schema::KNOWN,
            copy: (1..=schema::KNOWN)
                .rev()
                .map(|format| former(path, format))
                .find(|copy| copy.exists()),
        });
    }
    Ok(found)
}

fn check_whole(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    for table in PRECIOUS {
        let told: String = connection
            .query_row(&format!("PRAGMA quick_check({table})"), [], |row| {
                row.get(0)
            })
            .map_err(|e| StoreError::new(path, "check the store", e))?;
        if told != "ok" {
            return Err(StoreError::Damaged {
                path: path.to_owned(),
                why: format!("table {table}: {}", told.lines().next().unwrap_or_default()),
            });
        }
    }
    Ok(())
}

/// Renames the file and what `SQLite` keeps beside it.
fn move_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let ending = format!(
        ".corrupt-{}",
        crate::clock::now().strftime("%Y%m%dT%H%M%SZ")
    );
    let aside = beside(path, &ending);
    std::fs::rename(path, &aside).map_err(|e| io(path, "move the damaged store aside", &e))?;
    for part in ["-wal", "-shm"] {
        match std::fs::rename(beside(path, part), beside(&aside, part)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io(path, "move the damaged store aside", &error));
            }
            _ => {}
        }
    }
    Ok(aside)
}

fn io(path: &Path, doing: &'static str, error: &std::io::Error) -> StoreError {
    StoreError::Io {
        path: path.to_owned(),
        doing,
        why: error.to_string(),
    }
}
