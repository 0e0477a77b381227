//! How an incident looked at each moment: what was thought of it then, and its runs when their day is gone.
//!
//! A diagnosis is kept each time that it changes. Runs are kept with everybody's until their day is dropped; those of an
//! incident are then copied here, thinned evenly where they are too many, and stay as long as the incident does.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::document;
use super::error::Fault;
use super::runs;
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::Diagnosis;
use crate::domain::incident::Incident;
use crate::domain::past::PastRun;
use crate::domain::verdict::Kind;

/// Diagnoses kept of one incident; beyond that only the last of them is kept fresh.
const DIAGNOSES_MAX: i64 = 200;
/// Runs copied for one incident.
const RUNS_MAX: i64 = 5_000;
/// Runs that are copied out of one day.
const AT_ONCE_MAX: i64 = 50_000;
/// Runs around it that are copied too, before and after.
const AROUND_US: i64 = 30 * 60 * 1_000_000;
/// Runs are thinned by whole stretches of this length, so that what is left of a round is whole.
const STRETCH_US: i64 = 5 * 60 * 1_000_000;

/// What was thought of an incident from a moment on.
#[derive(Debug, Clone, PartialEq)]
pub struct Thought {
    pub at: Timestamp,
    pub diagnosis: Diagnosis,
}

/// Keeps what is thought of the incident from `at` on, where that is something else than before.
pub(super) fn think(
    transaction: &Transaction<'_>,
    incident: &Incident,
    at: Timestamp,
) -> Result<(), Fault> {
    let number = incident.number as i64;
    let now = &incident.diagnosis;
    let last: Option<(i64, i64, String)> = transaction
        .prepare_cached(
            "SELECT at_us, version, document FROM diagnoses WHERE incident = ? ORDER BY at_us DESC LIMIT 1",
        )?
        .query_row([number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    if let Some((_, version, text)) = &last
        && document::read::<Diagnosis>(*version, text).is_ok_and(|known| is_same(&known, now))
    {
        return Ok(());
    }
    let many: i64 = transaction
        .prepare_cached("SELECT count(*) FROM diagnoses WHERE incident = ?")?
        .query_row([number], |row| row.get(0))?;
    if many >= DIAGNOSES_MAX
        && let Some((newest, ..)) = last
    {
        transaction.execute(
            "DELETE FROM diagnoses WHERE incident = ? AND at_us = ?",
            [number, newest],
        )?;
    }
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO diagnoses (incident, at_us, version, document) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![
            number,
            at.as_microsecond(),
            document::VERSION,
            document::write(now)?
        ])?;
    Ok(())
}

/// Whether people would be told the same; which cells carry it is no news by itself.
fn is_same(one: &Diagnosis, other: &Diagnosis) -> bool {
    let percent = |it: &Diagnosis| (it.confidence * 100.0) as i64;
    one.cause == other.cause
        && percent(one) == percent(other)
        && one.ruled_out == other.ruled_out
        && one.would_tell == other.would_tell
}

/// What was thought of an incident, oldest first.
pub(super) fn thoughts(connection: &Connection, incident: u64) -> Result<Vec<Thought>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT at_us, version, document FROM diagnoses WHERE incident = ? ORDER BY at_us",
    )?;
    let mut rows = statement.query([incident as i64])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let text: String = row.get(2)?;
        let diagnosis = document::read(row.get(1)?, &text).map_err(|why| Fault::Unreadable {
            what: format!("a diagnosis of INC-{incident}"),
            why,
        })?;
        found.push(Thought {
            at: Timestamp::from_microsecond(row.get(0)?).unwrap_or_default(),
            diagnosis,
        });
    }
    Ok(found)
}

/// A run on its way from a day to its incident.
#[derive(Debug)]
pub(super) struct Rescued {
    incident: i64,
    at_us: i64,
    cell: i64,
    kind: String,
    status: Option<u16>,
    vendor: Option<String>,
    code: Option<String>,
    reference_id: Option<String>,
}

/// An incident whose runs a day may hold.
struct Held {
    number: i64,
    onset_us: i64,
    resolved_us: Option<i64>,
    /// As JSON.
    probes: String,
}

/// Runs of incidents out of a day that is about to be dropped; `most` are kept of all incidents, those of the oldest go.
pub(super) fn rescue(
    connection: &Connection,
    day: &str,
    most: u64,
) -> rusqlite::Result<Vec<Rescued>> {
    let mut rescued = Vec::new();
    let ends = connection.query_row(
        &format!("SELECT min(at_us), max(at_us) FROM {day}"),
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let (Some(first), Some(last)): (Option<i64>, Option<i64>) = ends else {
        return Ok(rescued);
    };
    let mut room = make_room(connection, i64::try_from(most).unwrap_or(i64::MAX))?.min(AT_ONCE_MAX);
    let cells = "cell IN (SELECT id FROM cells WHERE probe IN (SELECT value FROM json_each(?3)))";
    let within = format!("FROM {day} WHERE at_us BETWEEN ?1 AND ?2 AND {cells}");
    for held in held(connection, first, last)? {
        let from = held.onset_us - AROUND_US;
        let until = held
            .resolved_us
            .map_or(last, |at| at.saturating_add(AROUND_US));
        let kept: i64 = connection.query_row(
            "SELECT count(*) FROM incident_runs WHERE incident = ?",
            [held.number],
            |row| row.get(0),
        )?;
        let own_room = (RUNS_MAX - kept).min(room);
        if from > last || until < first || own_room <= 0 {
            continue;
        }
        let many: i64 = connection.query_row(
            &format!("SELECT count(*) {within}"),
            params![from, until, held.probes],
            |row| row.get(0),
        )?;
        let each = (many + own_room - 1) / own_room;
        let mut statement = connection.prepare(&format!(
            "SELECT at_us, cell, kind, status, vendor, code, reference_id {within}
                 AND (at_us / {STRETCH_US}) % max(?4, 1) = 0 ORDER BY at_us LIMIT ?5"
        ))?;
        let found =
            statement.query_map(params![from, until, held.probes, each, own_room], |row| {
                Ok(Rescued {
                    incident: held.number,
                    at_us: row.get(0)?,
                    cell: row.get(1)?,
                    kind: row.get(2)?,
                    status: row.get(3)?,
                    vendor: row.get(4)?,
                    code: row.get(5)?,
                    reference_id: row.get(6)?,
                })
            })?;
        for run in found {
            rescued.push(run?);
            room -= 1;
        }
    }
    Ok(rescued)
}

/// How many more runs may be kept, once those of the oldest incidents made room.
fn make_room(connection: &Connection, most: i64) -> rusqlite::Result<i64> {
    let mut kept: i64 =
        connection.query_row("SELECT count(*) FROM incident_runs", [], |row| row.get(0))?;
    while kept > most {
        kept -= connection.execute(
            "DELETE FROM incident_runs WHERE incident = (SELECT min(incident) FROM incident_runs)",
            [],
        )? as i64;
    }
    Ok(most - kept)
}

/// Incidents that a day between two times may hold runs of.
fn held(connection: &Connection, first: i64, last: i64) -> rusqlite::Result<Vec<Held>> {
    connection
        .prepare(
            "SELECT number, min(opened_us, coalesce(unixepoch(json_extract(document, '$.onset_at')) * 1000000, opened_us)),
                    resolved_us, json_extract(document, '$.probes') FROM incidents
             WHERE opened_us - 86400000000 <= ?2 AND (resolved_us IS NULL OR resolved_us + ?3 >= ?1)",
        )?
        .query_map([first, last, AROUND_US], |row| {
            Ok(Held {
                number: row.get(0)?,
                onset_us: row.get(1)?,
                resolved_us: row.get(2)?,
                probes: row.get(3)?,
            })
        })?
        .collect()
}

/// Keeps them with their incidents.
pub(super) fn put(connection: &Connection, rescued: &[Rescued]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT OR IGNORE INTO incident_runs (incident, at_us, cell, kind, status, vendor, code, reference_id)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for run in rescued {
        insert.execute(params![
            run.incident,
            run.at_us,
            run.cell,
            run.kind,
            run.status,
            run.vendor,
            run.code,
            run.reference_id
        ])?;
    }
    Ok(())
}

/// The newest run that was kept with an incident of each cell between two times.
pub(super) fn latest(
    connection: &Connection,
    incident: u64,
    cells: &[CellKey],
    since: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<Vec<PastRun>> {
    let ids = runs::ids(connection, cells)?;
    let mut statement = connection.prepare_cached(
        "SELECT at_us, cell, kind, status, vendor, code, reference_id FROM incident_runs
         WHERE incident = ? AND at_us >= ? AND at_us <= ? ORDER BY at_us DESC",
    )?;
    let mut rows = statement.query(params![
        incident as i64,
        since.as_microsecond(),
        until.as_microsecond()
    ])?;
    let mut found: HashMap<CellKey, PastRun> = HashMap::new();
    while let Some(row) = rows.next()? {
        let Some(cell) = ids.get(&row.get::<_, i64>(1)?) else {
            continue;
        };
        let Some(kind) = Kind::from_word(&row.get::<_, String>(2)?) else {
            continue;
        };
        found.entry(cell.clone()).or_insert(PastRun {
            cell: cell.clone(),
            at: Timestamp::from_microsecond(row.get(0)?).unwrap_or_default(),
            kind,
            status: row.get(3)?,
            vendor: row.get(4)?,
            code: row.get(5)?,
            reference_id: row.get(6)?,
        });
    }
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;
    use crate::store::tests::change;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn what_is_thought_is_kept_when_it_changes() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        let transaction = connection.transaction().unwrap();
        let mut incident = change(1, "x").incident;
        let mut think_at = |second, confidence: f64| {
            incident.diagnosis.confidence = confidence;
            think(&transaction, &incident, at(second)).unwrap();
        };
        think_at(0, 0.5);
        think_at(1, 0.502);
        think_at(2, 0.9);
        let known = |incident| -> Vec<(i64, f64)> {
            let found = thoughts(&transaction, incident).unwrap();
            let known = |it: &Thought| (it.at.as_second() - 1_800_000_000, it.diagnosis.confidence);
            found.iter().map(known).collect()
        };
        assert_eq!(known(1), [(0, 0.5), (2, 0.9)]);
        assert_eq!(known(2), []);
        for second in 3..400 {
            think_at(second, if second % 2 == 0 { 0.3 } else { 0.4 });
        }
        let many = known(1);
        assert_eq!((many.len(), many[0], many[199].0), (200, (0, 0.5), 399));
    }

    #[test]
    fn runs_of_an_incident_outlive_their_day_and_are_thinned() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        let day = "observations_20270115";
        connection.execute_batch(&schema::day(day)).unwrap();
        let mut incident = change(1, "x").incident;
        let probe = "api";
        incident.probes = vec![probe.into()];
        incident.onset_at = at(0);
        incident.opened_at = at(60);
        incident.resolved_at = Some(at(7_200));
        connection
            .execute(
                "INSERT INTO incidents (number, state, opened_us, resolved_us, version, document) VALUES (1, 'resolved', ?, ?, ?, ?)",
                params![
                    at(60).as_microsecond(),
                    at(7_200).as_microsecond(),
                    document::VERSION,
                    document::write(&incident).unwrap()
                ],
            )
            .unwrap();
        let mut cells = Vec::new();
        for (id, probe) in [(1, probe), (2, "another")] {
            connection
                .execute(
                    "INSERT INTO cells (id, probe, egress, client, credential) VALUES (?, ?, 'de1', 'java', 'anonymous')",
                    params![id, probe],
                )
                .unwrap();
            cells.push(CellKey {
                probe: probe.into(),
                egress: "de1".into(),
                client: "java".into(),
                credential: "anonymous".into(),
            });
        }
        let insert = |id: i64, cell: i64, second: i64| {
            connection
                .execute(
                    &format!(
                        "INSERT INTO {day} (id, at_us, cell, purpose, late_us, took_us, kind, maker, status) VALUES (?, ?, ?, 'schedule', 0, 0, 'edge_block', 'edge', 403)"
                    ),
                    params![id, at(second).as_microsecond(), cell],
                )
                .unwrap();
        };
        for second in 0..10_000 {
            insert(second * 2, 1, second);
            insert(second * 2 + 1, 2, second);
        }
        for _ in 0..2 {
            let rescued = rescue(&connection, day, 100_000).unwrap();
            put(&connection, &rescued).unwrap();
        }
        let kept: (i64, i64, i64) = connection
            .query_row(
                "SELECT count(*), max(at_us), count(DISTINCT cell) FROM incident_runs",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        assert!((3_000..=RUNS_MAX).contains(&kept.0), "{kept:?}");
        assert!(kept.1 <= at(7_200).as_microsecond() + AROUND_US && kept.2 == 1);
        let found = latest(&connection, 1, &cells, at(0), at(1_000)).unwrap();
        let [run] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            (&run.cell, run.kind, run.status),
            (&cells[0], Kind::EdgeBlock, Some(403))
        );
        assert!(
            run.at >= at(600),
            "a stretch of five minutes is whole: {}",
            run.at
        );
        assert_eq!(make_room(&connection, 100_000).unwrap(), 100_000 - kept.0);
        assert_eq!(make_room(&connection, 10).unwrap(), 10, "the oldest go");
    }
}
