//! What is kept, when the clock of the host was set: times that decide something move with it.
//!
//! History by a clock that was ahead can't be told from what comes: it would stand for the present until the clock
//! has caught up, and a cell that fails would read as passing. So it goes.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Transaction, params};

use super::document;
use super::error::Fault;
use super::rollups;
use super::schema::days;
use crate::domain::moment::moved;
use crate::domain::mute::Silence;

/// Moves what is open by `by`; `now` is by the clock as it is.
pub(super) fn follow(
    transaction: &Transaction<'_>,
    by: SignedDuration,
    now: Timestamp,
) -> Result<(), Fault> {
    for day in days(transaction)? {
        let ahead = format!("DELETE FROM {day} WHERE at_us > ?");
        transaction.execute(&ahead, [now.as_microsecond()])?;
    }
    rollups::forget_ahead(transaction, now)?;
    move_timelines(transaction, by)?;
    move_outbox(transaction, by)?;
    move_silences(transaction, by, now)
}

/// Those of open incidents.
fn move_timelines(transaction: &Transaction<'_>, by: SignedDuration) -> Result<(), Fault> {
    // Two that are told alike must not meet on the way.
    let order = if by.is_negative() { "ASC" } else { "DESC" };
    let entries = transaction
        .prepare(&format!(
            "SELECT timeline.id, timeline.at FROM timeline JOIN incidents ON incidents.number = timeline.incident
             WHERE incidents.state = 'open' ORDER BY timeline.at_us {order}, timeline.id"
        ))?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
    let mut update =
        transaction.prepare("UPDATE OR IGNORE timeline SET at = ?, at_us = ? WHERE id = ?")?;
    for (id, at) in entries {
        if let Some(at) = later(&at, by) {
            update.execute(params![at.to_string(), at.as_microsecond(), id])?;
        }
    }
    Ok(())
}

/// What waits: when it is due, and the times that it tells.
fn move_outbox(transaction: &Transaction<'_>, by: SignedDuration) -> Result<(), Fault> {
    let waiting = transaction
        .prepare("SELECT id, created_at, not_before, version, briefing FROM outbox WHERE state IN ('pending', 'sending')")?
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })?
        .collect::<rusqlite::Result<Vec<(i64, String, String, i64, String)>>>()?;
    let mut update = transaction.prepare(
        "UPDATE outbox SET created_at = ?2, not_before = ?3, briefing = ?4, first_attempt_us = first_attempt_us + ?5,
             last_attempt_us = last_attempt_us + ?5, next_us = next_us + ?5 WHERE id = ?1",
    )?;
    for (id, created, not_before, version, briefing) in waiting {
        let document = document::read::<serde_json::Value>(version, &briefing).ok();
        let document = document.and_then(|document| moved(&document, by));
        let briefing = match document {
            Some(document) if version == document::VERSION => document::write(&document)?,
            _ => briefing,
        };
        if let (Some(created), Some(not_before)) = (later(&created, by), later(&not_before, by)) {
            let by = by.as_micros() as i64;
            let (created, not_before) = (created.to_string(), not_before.to_string());
            update.execute(params![id, created, not_before, briefing, by])?;
        }
    }
    Ok(())
}

/// Those that were asked for by the former clock, and so would not have begun; they last as long as was asked.
fn move_silences(
    transaction: &Transaction<'_>,
    by: SignedDuration,
    now: Timestamp,
) -> Result<(), Fault> {
    for silence in super::silences::all(transaction)? {
        if silence.from <= now {
            continue;
        }
        let Some(silence) = moved::<Silence>(&silence, by) else {
            continue;
        };
        transaction.execute(
            "UPDATE silences SET until_us = ?, version = ?, document = ? WHERE number = ?",
            params![
                silence.until.as_microsecond(),
                document::VERSION,
                document::write(&silence)?,
                silence.number as i64
            ],
        )?;
    }
    Ok(())
}

fn later(at: &str, by: SignedDuration) -> Option<Timestamp> {
    at.parse::<Timestamp>().ok()?.checked_add(by).ok()
}
