//! What people ask of the file itself, beside a daemon that may be writing it: is it sound, and give back what is free.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;

use super::error::{Fault, StoreError};
use super::{document, open, schema};
use crate::domain::incident::Incident;

/// Faults that are named; more say nothing new.
const FAULTS_MAX: usize = 20;
/// Pages given back in one transaction, so that the daemon's writer never waits for long: 8 MiB.
const SLICE_PAGES: i64 = 2_048;

/// What a look at all of the file found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Soundness {
    pub format: i64,
    /// Of the file; what stands in the journal beside it is not counted.
    pub bytes: u64,
    /// Of them free: used again, or given back by [`super::Hand::compact`].
    pub free_bytes: u64,
    /// The UTC days of which single runs are kept, and how many.
    pub first_day: Option<String>,
    pub last_day: Option<String>,
    pub days: u64,
    pub cells: u64,
    pub incidents: u64,
    pub incidents_open: u64,
    pub messages_waiting: u64,
    /// What is wrong, at most twenty; none: it is sound.
    pub faults: Vec<String>,
}

/// What compacting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compacted {
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Written anew from end to end; beside a daemon only what was free is given back.
    pub whole: bool,
}

fn number(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let value = connection.query_row(sql, [], |row| row.get::<_, i64>(0))?;
    Ok(value.try_into().unwrap_or_default())
}

fn pages(connection: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    Ok(number(connection, &format!("PRAGMA {pragma}"))? * number(connection, "PRAGMA page_size")?)
}

/// Looks at every page, every reference and every document.
pub(super) fn check(connection: &Connection) -> Result<Soundness, Fault> {
    let days = schema::days(connection)?;
    let day = |name: Option<&String>| {
        let digits = name?.strip_prefix("observations_")?;
        Some(format!(
            "{}-{}-{}",
            digits.get(..4)?,
            digits.get(4..6)?,
            digits.get(6..)?
        ))
    };
    Ok(Soundness {
        format: schema::version(connection)?,
        bytes: pages(connection, "page_count")?,
        free_bytes: pages(connection, "freelist_count")?,
        first_day: day(days.first()),
        last_day: day(days.last()),
        days: days.len() as u64,
        cells: number(connection, "SELECT count(*) FROM cells")?,
        incidents: number(connection, "SELECT count(*) FROM incidents")?,
        incidents_open: number(
            connection,
            "SELECT count(*) FROM incidents WHERE state = 'open'",
        )?,
        messages_waiting: number(
            connection,
            "SELECT count(*) FROM outbox WHERE state IN ('pending', 'sending')",
        )?,
        faults: faults(connection)?,
    })
}

fn faults(connection: &Connection) -> Result<Vec<String>, Fault> {
    let mut found: Vec<String> = connection
        .prepare(&format!("PRAGMA integrity_check({FAULTS_MAX})"))?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    found.retain(|line| line != "ok");
    let mut references = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = references.query([])?;
    while let Some(row) = rows.next()? {
        let (table, to): (String, String) = (row.get(0)?, row.get(2)?);
        found.push(format!(
            "a row of {table} names one of {to} that is not there"
        ));
        if found.len() >= FAULTS_MAX {
            break;
        }
    }
    let mut documents = connection.prepare("SELECT number, version, document FROM incidents")?;
    let mut rows = documents.query([])?;
    while let Some(row) = rows.next()? {
        let (number, version, text): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if let Err(why) = document::read::<Incident>(version, &text) {
            found.push(format!("INC-{number} can't be read: {why}"));
        }
    }
    found.truncate(FAULTS_MAX);
    Ok(found)
}

/// Gives what is free back to the disk; without a daemon the file is written anew, in order and as small as it gets.
pub(super) fn compact(connection: &Connection, path: &Path) -> Result<Compacted, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::new(path, "compact the store", error);
    let bytes_before = pages(connection, "page_count").map_err(failed)?;
    // Held to the end: a daemon that is started meanwhile says that the store is in use.
    let lock = match open::lock(path) {
        Ok(lock) => Some(lock),
        Err(StoreError::Locked { .. }) => None,
        Err(error) => return Err(error),
    };
    if lock.is_some() {
        // Files of the first days lack it.
        let steps = "PRAGMA auto_vacuum = INCREMENTAL; VACUUM;";
        connection.execute_batch(steps).map_err(failed)?;
    } else {
        while number(connection, "PRAGMA freelist_count").map_err(failed)? > 0 {
            let before = number(connection, "PRAGMA page_count").map_err(failed)?;
            let slice = format!("PRAGMA incremental_vacuum({SLICE_PAGES})");
            connection.execute_batch(&slice).map_err(failed)?;
            if number(connection, "PRAGMA page_count").map_err(failed)? >= before {
                break;
            }
        }
    }
    // Otherwise the file itself shrinks at the daemon's next look; who reads it at this moment may be in the way.
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .optional()
        .map_err(failed)?;
    Ok(Compacted {
        bytes_before,
        bytes_after: pages(connection, "page_count").map_err(failed)?,
        whole: lock.is_some(),
    })
}
