//! Incidents with their timeline; one change, one transaction.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};

use super::document;
use super::error::StoreError;
use super::outbox::{self, Delivery};
use crate::domain::change::Change;
use crate::domain::incident::{Incident, State, TimelineEntry};

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
pub(super) fn put(
    transaction: &Transaction<'_>,
    path: &Path,
    change: &Change,
) -> Result<(), StoreError> {
    let doing = "keep an incident";
    let error = |e: rusqlite::Error| StoreError::from_sqlite(path, doing, &e);
    let incident = &change.incident;
    let text = document::write_incident(incident).map_err(|why| StoreError::Io {
        path: path.to_owned(),
        doing,
        why,
    })?;
    let state = match incident.state {
        State::Open => "open",
        State::Resolved => "resolved",
    };
    transaction
        .prepare_cached(
            "INSERT INTO incidents (number, state, opened_us, resolved_us, version, document) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (number) DO UPDATE SET state = excluded.state, opened_us = excluded.opened_us,
                 resolved_us = excluded.resolved_us, version = excluded.version, document = excluded.document",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                incident.number as i64,
                state,
                incident.opened_at.as_microsecond(),
                incident.resolved_at.map(Timestamp::as_microsecond),
                document::VERSION,
                text
            ])
        })
        .map_err(error)?;
    for entry in &change.timeline {
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO timeline (incident, at, at_us, what, text) VALUES (?, ?, ?, ?, ?)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    incident.number as i64,
                    entry.at.to_string(),
                    entry.at.as_microsecond(),
                    entry.what.as_str(),
                    entry.text
                ])
            })
            .map_err(error)?;
    }
    for notification in &change.notifications {
        outbox::put(transaction, path, notification, "", None)?;
    }
    Ok(())
}

pub(super) fn load_open(
    connection: &Connection,
    path: &Path,
    now: Timestamp,
) -> Result<Open, StoreError> {
    let since = now.checked_sub(RECENT).unwrap_or(Timestamp::MIN);
    let found = query(
        connection,
        path,
        "SELECT number, version, document FROM incidents WHERE state = 'open' OR resolved_us >= ? ORDER BY number",
        since.as_microsecond(),
    )?;
    let next_number = connection
        .query_row(
            "SELECT coalesce(max(number), 0) + 1 FROM incidents",
            [],
            |row| row.get::<_, i64>(0),
        )
        .map_err(|e| StoreError::from_sqlite(path, "read incidents", &e))?
        as u64;
    let mut open = Open {
        incidents: Vec::new(),
        next_number,
        warnings: Vec::new(),
    };
    for incident in found {
        match incident {
            Ok(incident) => open.incidents.push(incident),
            Err(error) => open.warnings.push(error.to_string()),
        }
    }
    Ok(open)
}

pub(super) fn list(
    connection: &Connection,
    path: &Path,
    limit: usize,
) -> Result<Vec<Incident>, StoreError> {
    query(
        connection,
        path,
        "SELECT number, version, document FROM incidents ORDER BY number DESC LIMIT ?",
        i64::try_from(limit).unwrap_or(i64::MAX),
    )?
    .into_iter()
    .collect()
}

pub(super) fn show(
    connection: &Connection,
    path: &Path,
    number: u64,
) -> Result<Option<Shown>, StoreError> {
    let Some(incident) = query(
        connection,
        path,
        "SELECT number, version, document FROM incidents WHERE number = ?",
        number as i64,
    )?
    .pop() else {
        return Ok(None);
    };
    Ok(Some(Shown {
        incident: incident?,
        timeline: timeline(connection, path, number)?,
        deliveries: outbox::of_incident(connection, path, number)?,
    }))
}

fn timeline(
    connection: &Connection,
    path: &Path,
    number: u64,
) -> Result<Vec<TimelineEntry>, StoreError> {
    let error = |e: rusqlite::Error| StoreError::from_sqlite(path, "read a timeline", &e);
    let mut statement = connection
        .prepare_cached("SELECT at, what, text FROM timeline WHERE incident = ? ORDER BY at_us, id")
        .map_err(error)?;
    let rows = statement
        .query_map([number as i64], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
            ))
        })
        .map_err(error)?;
    let mut timeline = Vec::new();
    for row in rows {
        let (at, what, text) = row.map_err(error)?;
        let unreadable = |why: String| StoreError::Unreadable {
            path: path.to_owned(),
            what: format!("the timeline of INC-{number}"),
            why,
        };
        timeline.push(TimelineEntry {
            at: at
                .parse()
                .map_err(|e: jiff::Error| unreadable(e.to_string()))?,
            what: document::happening(&what)
                .ok_or_else(|| unreadable(format!("{what:?} is no happening")))?,
            text,
        });
    }
    Ok(timeline)
}

/// Each incident that `sql` finds, or why it can't be read.
fn query(
    connection: &Connection,
    path: &Path,
    sql: &str,
    value: i64,
) -> Result<Vec<Result<Incident, StoreError>>, StoreError> {
    let error = |e: rusqlite::Error| StoreError::from_sqlite(path, "read incidents", &e);
    let mut statement = connection.prepare_cached(sql).map_err(error)?;
    let rows = statement
        .query_map([value], |row: &Row<'_>| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, String>(2)?,
            ))
        })
        .map_err(error)?;
    let mut incidents = Vec::new();
    for row in rows {
        let (number, version, text) = row.map_err(error)?;
        incidents.push(document::read_incident(version, &text).map_err(|why| {
            StoreError::Unreadable {
                path: path.to_owned(),
                what: format!("INC-{number}"),
                why,
            }
        }));
    }
    Ok(incidents)
}
