//! Incidents with their timeline; one change, one transaction.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};

use super::document;
use super::error::{Fault, StoreError};
use super::outbox::{self, Delivery};
use super::past_look;
use crate::domain::change::Change;
use crate::domain::incident::{Happening, Incident, TimelineEntry};

/// Incidents resolved this recently are loaded at a start: they may come back and keep their number.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// What a start needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// Open ones and those resolved within the last day, by number.
    pub incidents: Vec<Incident>,
    pub next_number: u64,
    /// Documents that could not be read, for the log; the incidents are left as they are.
    pub warnings: Vec<String>,
}

/// One incident and all that is kept of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub incident: Incident,
    /// Oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// What became of its notifications, in their order.
    pub deliveries: Vec<Delivery>,
}

/// Writes a change; again for the same change, it changes nothing.
pub(super) fn put(transaction: &Transaction<'_>, change: &Change) -> Result<(), Fault> {
    let incident = &change.incident;
    transaction
        .prepare_cached(
            "INSERT INTO incidents (number, state, opened_us, resolved_us, version, document) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (number) DO UPDATE SET state = excluded.state, opened_us = excluded.opened_us,
                 resolved_us = excluded.resolved_us, version = excluded.version, document = excluded.document",
        )?
        .execute(params![
            incident.number as i64,
            incident.state.as_str(),
            incident.opened_at.as_microsecond(),
            incident.resolved_at.map(Timestamp::as_microsecond),
            document::VERSION,
            document::write(incident)?
        ])?;
    for entry in &change.timeline {
        add(transaction, incident.number, entry)?;
    }
    let decided = change.timeline.iter().map(|entry| entry.at).max();
    past_look::think(
        transaction,
        incident,
        decided.unwrap_or_else(crate::clock::now),
    )?;
    for notification in &change.notifications {
        outbox::put(transaction, notification, "", None)?;
    }
    Ok(())
}

/// Adds an entry to the timeline of an incident; the same again is nothing new.
pub(super) fn add(
    transaction: &Transaction<'_>,
    incident: u64,
    entry: &TimelineEntry,
) -> Result<(), Fault> {
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO timeline (incident, at, at_us, what, text) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![
            incident as i64,
            entry.at.to_string(),
            entry.at.as_microsecond(),
            entry.what.as_str(),
            entry.text
        ])?;
    Ok(())
}

pub(super) fn load_open(
    connection: &Connection,
    path: &Path,
    now: Timestamp,
) -> Result<Open, Fault> {
    let since = now.checked_sub(RECENT).unwrap_or(Timestamp::MIN);
    let found = query(
        connection,
        "SELECT number, version, document FROM incidents WHERE state = 'open' OR resolved_us >= ? ORDER BY number",
        [since.as_microsecond()],
    )?;
    let next_number = connection.query_row(
        "SELECT coalesce(max(number), 0) + 1 FROM incidents",
        [],
        |row| row.get::<_, i64>(0),
    )? as u64;
    let mut open = Open {
        incidents: Vec::new(),
        next_number,
        warnings: Vec::new(),
    };
    for incident in found {
        match incident {
            Ok(incident) => open.incidents.push(incident),
            Err(fault) => {
                let error = StoreError::new(path, "read incidents", fault);
                open.warnings.push(error.to_string());
            }
        }
    }
    Ok(open)
}

/// The newest incidents below a number, newest first.
pub(super) fn page(
    connection: &Connection,
    below: Option<u64>,
    limit: usize,
) -> Result<Vec<Incident>, Fault> {
    let below = below
        .and_then(|n| i64::try_from(n).ok())
        .unwrap_or(i64::MAX);
    let found = query(
        connection,
        "SELECT number, version, document FROM incidents WHERE number < ? ORDER BY number DESC LIMIT ?",
        [below, i64::try_from(limit).unwrap_or(i64::MAX)],
    )?;
    found.into_iter().collect()
}

/// Incidents that were open between two times, newest first.
pub(super) fn between(
    connection: &Connection,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<Incident>, Fault> {
    let found = query(
        connection,
        "SELECT number, version, document FROM incidents
         WHERE opened_us < ?2 AND (state = 'open' OR resolved_us >= ?1) ORDER BY number DESC",
        [from.as_microsecond(), until.as_microsecond()],
    )?;
    found.into_iter().collect()
}

pub(super) fn show(connection: &Connection, number: u64) -> Result<Option<Shown>, Fault> {
    let found = query(
        connection,
        "SELECT number, version, document FROM incidents WHERE number = ?",
        [number as i64],
    )?
    .pop();
    let Some(incident) = found.transpose()? else {
        return Ok(None);
    };
    Ok(Some(Shown {
        incident,
        timeline: timeline(connection, number)?,
        deliveries: outbox::of_incident(connection, number)?,
    }))
}

fn timeline(connection: &Connection, number: u64) -> Result<Vec<TimelineEntry>, Fault> {
    let sql = "SELECT at, what, text, incident FROM timeline WHERE incident = ? ORDER BY at_us, id";
    let entries = entries(connection, sql, [number as i64])?;
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

/// What happened to any before a time, newest first.
pub(super) fn happened(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<(u64, TimelineEntry)>, Fault> {
    let sql = "SELECT at, what, text, incident FROM timeline WHERE at_us < ? ORDER BY at_us DESC, id DESC LIMIT ?";
    entries(connection, sql, [before.as_microsecond(), limit as i64])
}

fn entries(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<(u64, TimelineEntry)>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut timeline = Vec::new();
    while let Some(row) = rows.next()? {
        let (at, what): (String, String) = (row.get(0)?, row.get(1)?);
        let number = row.get::<_, i64>(3)?.unsigned_abs();
        let unreadable = |why: String| Fault::Unreadable {
            what: format!("the timeline of INC-{number}"),
            why,
        };
        let entry = TimelineEntry {
            at: at
                .parse()
                .map_err(|e: jiff::Error| unreadable(e.to_string()))?,
            what: Happening::from_word(&what)
                .ok_or_else(|| unreadable(format!("{what:?} is no happening")))?,
            text: row.get(2)?,
        };
        timeline.push((number, entry));
    }
    Ok(timeline)
}

/// Each incident that `sql` finds, or why it can't be read.
fn query(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<Result<Incident, Fault>>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut incidents = Vec::new();
    while let Some(row) = rows.next()? {
        let (number, text): (i64, String) = (row.get(0)?, row.get(2)?);
        incidents.push(
            document::read(row.get(1)?, &text).map_err(|why| Fault::Unreadable {
                what: format!("INC-{number}"),
                why,
            }),
        );
    }
    Ok(incidents)
}
