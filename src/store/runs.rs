//! Runs of some cells, newest first: for questions about the last minutes, or about the time of an incident.
//!
//! Days in progress have no index by cell (see `history`), so rows are walked backwards in the order of
//! writing, which is nearly that of time. Where the walk begins is found by halving, and it ends at a bound:
//! a question never reads a whole store.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::error::StoreError;
use super::history::{days, table};
use crate::domain::cell::CellKey;
use crate::domain::past::PastRun;
use crate::domain::verdict::Kind;

/// Rows walked over for one question; a second or so.
const ROWS_MAX: i64 = 2_000_000;
/// More cells are not listed in the question, whose length is bounded; rows of others are then passed over.
const LISTED_MAX: usize = 10_000;
/// A run is written when it ends and dated when it began: rows are out of order by at most its timeout.
const DISORDER: Duration = Duration::from_secs(10 * 60);

/// The newest run of each of `cells` since a time.
pub(super) fn latest(
    connection: &Connection,
    path: &Path,
    cells: &[CellKey],
    since: Timestamp,
) -> Result<Vec<PastRun>, StoreError> {
    let mut found: HashMap<CellKey, PastRun> = HashMap::new();
    newest_first(connection, path, cells, since, Timestamp::MAX, |run| {
        found.entry(run.cell.clone()).or_insert(run);
        if found.len() == cells.len() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(cells.iter().filter_map(|cell| found.remove(cell)).collect())
}

/// Hands the runs of `cells` to `seen`, newest first; whether all of them were looked at or `seen` had enough.
pub(super) fn newest_first(
    connection: &Connection,
    path: &Path,
    cells: &[CellKey],
    from: Timestamp,
    until: Timestamp,
    seen: impl FnMut(PastRun) -> ControlFlow<()>,
) -> Result<bool, StoreError> {
    walk(connection, cells, from, until, seen)
        .map_err(|e| StoreError::from_sqlite(path, "read the history", &e))
}

fn walk(
    connection: &Connection,
    cells: &[CellKey],
    from: Timestamp,
    until: Timestamp,
    mut seen: impl FnMut(PastRun) -> ControlFlow<()>,
) -> rusqlite::Result<bool> {
    let ids = ids(connection, cells)?;
    if ids.is_empty() {
        return Ok(true);
    }
    let filter = if ids.len() > LISTED_MAX {
        String::new()
    } else {
        let list = ids.keys().map(i64::to_string).collect::<Vec<_>>().join(",");
        format!("AND cell IN ({list})")
    };
    let (first, last) = (table(from), table(until));
    let disorder = DISORDER.as_micros() as i64;
    let mut left = ROWS_MAX;
    for day in days(connection)?.into_iter().rev() {
        if day > last || day < first {
            continue;
        }
        let low = row_at(connection, &day, from.as_microsecond() - disorder)?;
        let high = row_at(
            connection,
            &day,
            until.as_microsecond().saturating_add(disorder),
        )?;
        let start = low.max(high.saturating_sub(left));
        let mut statement = connection.prepare(&format!(
            "SELECT at_us, cell, kind, status, vendor, code, reference_id FROM {day} NOT INDEXED
             WHERE rowid >= ? AND rowid < ? AND at_us >= ? AND at_us <= ? {filter}
             ORDER BY rowid DESC"
        ))?;
        let mut rows =
            statement.query([start, high, from.as_microsecond(), until.as_microsecond()])?;
        while let Some(row) = rows.next()? {
            if let Some(run) = past_run(row, &ids)?
                && seen(run).is_break()
            {
                return Ok(true);
            }
        }
        if start > low {
            return Ok(false);
        }
        left -= high - start;
    }
    Ok(true)
}

/// The first row of a day written at or after `at_us`; one behind the last when there is none.
fn row_at(connection: &Connection, day: &str, at_us: i64) -> rusqlite::Result<i64> {
    let edge = |order: &str| {
        connection
            .query_row(
                &format!("SELECT rowid FROM {day} ORDER BY rowid {order} LIMIT 1"),
                [],
                |row| row.get::<_, i64>(0),
            )
            .optional()
    };
    let (Some(mut low), Some(last)) = (edge("ASC")?, edge("DESC")?) else {
        return Ok(0);
    };
    let mut high = last + 1;
    let mut statement = connection.prepare(&format!(
        "SELECT at_us FROM {day} WHERE rowid >= ? ORDER BY rowid LIMIT 1"
    ))?;
    while low < high {
        let middle = low + (high - low) / 2;
        let at: Option<i64> = statement.query_row([middle], |row| row.get(0)).optional()?;
        if at.is_some_and(|at| at < at_us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Every cell that the store knows.
pub(super) fn cells(connection: &Connection) -> rusqlite::Result<Vec<CellKey>> {
    connection
        .prepare("SELECT probe, egress, client, credential FROM cells ORDER BY 1, 2, 3, 4")?
        .query_map([], |row| {
            Ok(CellKey {
                probe: row.get::<_, String>(0)?.as_str().into(),
                egress: row.get::<_, String>(1)?.as_str().into(),
                client: row.get::<_, String>(2)?.as_str().into(),
                credential: row.get::<_, String>(3)?.as_str().into(),
            })
        })?
        .collect()
}

/// The store's numbers of those cells that ever ran.
fn ids(connection: &Connection, cells: &[CellKey]) -> rusqlite::Result<HashMap<i64, CellKey>> {
    let mut statement = connection.prepare(
        "SELECT id FROM cells WHERE probe = ? AND egress = ? AND client = ? AND credential = ?",
    )?;
    let mut ids = HashMap::new();
    for cell in cells {
        let key = [
            cell.probe.as_str(),
            cell.egress.as_str(),
            cell.client.as_str(),
            cell.credential.as_str(),
        ];
        if let Some(id) = statement.query_row(key, |row| row.get(0)).optional()? {
            ids.insert(id, cell.clone());
        }
    }
    Ok(ids)
}

/// `None` for a row that a newer program wrote in words unknown here.
fn past_run(row: &Row<'_>, ids: &HashMap<i64, CellKey>) -> rusqlite::Result<Option<PastRun>> {
    let (cell, kind): (i64, String) = (row.get(1)?, row.get(2)?);
    let at = Timestamp::from_microsecond(row.get(0)?).ok();
    let (Some(at), Some(cell), Some(kind)) = (at, ids.get(&cell), Kind::from_word(&kind)) else {
        return Ok(None);
    };
    Ok(Some(PastRun {
        cell: cell.clone(),
        at,
        kind,
        status: row.get(3)?,
        vendor: row.get(4)?,
        code: row.get(5)?,
        reference_id: row.get(6)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE cells (id INTEGER PRIMARY KEY, probe TEXT, egress TEXT, client TEXT, credential TEXT);
                 INSERT INTO cells VALUES (7, 'p', 'de1', 'a', 'anonymous'), (8, 'p', 'de1', 'b', 'anonymous');",
            )
            .unwrap();
        connection
    }

    fn put(connection: &Connection, day: &str, rows: &[(&str, i64, &str)]) {
        connection
            .execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS {day} (at_us INTEGER, cell INTEGER, kind TEXT, status INTEGER,
                 vendor TEXT, code TEXT, reference_id TEXT)"
            ))
            .unwrap();
        for (at, cell, kind) in rows {
            let at: Timestamp = at.parse().unwrap();
            connection
                .execute(
                    &format!("INSERT INTO {day} VALUES (?, ?, ?, 403, 'cloudflare', '1010', 'r')"),
                    rusqlite::params![at.as_microsecond(), cell, kind],
                )
                .unwrap();
        }
    }

    fn cell(client: &str) -> CellKey {
        CellKey {
            probe: "p".into(),
            egress: "de1".into(),
            client: client.into(),
            credential: "anonymous".into(),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_newest_of_each_over_midnight() {
        let connection = store();
        put(
            &connection,
            "observations_20210228",
            &[
                ("2021-02-28T23:00:00Z", 7, "pass"),
                ("2021-02-28T23:59:00Z", 7, "edge_block"),
                ("2021-02-28T23:58:00Z", 8, "pass"),
            ],
        );
        put(
            &connection,
            "observations_20210301",
            &[
                ("2021-03-01T00:01:00Z", 7, "timeout"),
                ("2021-03-01T00:02:00Z", 7, "a_word_of_tomorrow"),
            ],
        );
        let found = |since: &str| -> Vec<(String, Kind)> {
            let cells = [cell("a"), cell("b"), cell("never ran")];
            latest(&connection, Path::new("x"), &cells, at(since))
                .unwrap()
                .into_iter()
                .map(|run| (run.cell.client.to_string(), run.kind))
                .collect()
        };
        let row = |client: &str, kind| (client.to_owned(), kind);
        assert_eq!(
            found("2021-02-28T00:00:00Z"),
            [row("a", Kind::Timeout), row("b", Kind::Pass)]
        );
        assert_eq!(
            found("2021-02-28T23:58:00Z"),
            [row("a", Kind::Timeout), row("b", Kind::Pass)]
        );
        assert_eq!(found("2021-02-28T23:58:01Z"), [row("a", Kind::Timeout)]);
        assert_eq!(found("2021-03-01T00:01:01Z"), []);
        assert_eq!(found("2021-03-02T00:00:00Z"), []);
    }

    #[test]
    fn the_walk_begins_where_the_time_is() {
        let connection = store();
        let rows: Vec<(String, i64, &str)> = (0..24)
            .flat_map(|hour| {
                [0, 30].map(|minute| (format!("2021-02-28T{hour:02}:{minute:02}:00Z"), 7, "pass"))
            })
            .collect();
        let rows: Vec<(&str, i64, &str)> =
            rows.iter().map(|(t, c, k)| (t.as_str(), *c, *k)).collect();
        put(&connection, "observations_20210228", &rows);
        // Rows of the beginning may be gone already.
        connection
            .execute("DELETE FROM observations_20210228 WHERE rowid <= 5", [])
            .unwrap();
        let walked = |from: &str, until: &str| {
            let mut seen = Vec::new();
            let complete = newest_first(
                &connection,
                Path::new("x"),
                &[cell("a")],
                at(from),
                at(until),
                |run| {
                    seen.push(run.at.strftime("%H:%M").to_string());
                    ControlFlow::Continue(())
                },
            );
            assert!(complete.unwrap());
            seen.join(" ")
        };
        assert_eq!(
            walked("2021-02-28T11:30:00Z", "2021-02-28T13:00:00Z"),
            "13:00 12:30 12:00 11:30"
        );
        assert_eq!(
            walked("2021-02-27T00:00:00Z", "2021-02-28T03:10:00Z"),
            "03:00 02:30"
        );
        assert_eq!(
            walked("2021-02-28T23:10:00Z", "2021-03-09T00:00:00Z"),
            "23:30"
        );
        assert_eq!(walked("2021-02-28T23:31:00Z", "2021-03-09T00:00:00Z"), "");
        let row = |time: &str| {
            row_at(
                &connection,
                "observations_20210228",
                at(time).as_microsecond(),
            )
            .unwrap()
        };
        assert_eq!(row("2021-02-28T00:00:00Z"), 6, "the first that is left");
        assert_eq!(row("2021-02-28T12:00:00Z"), 25);
        assert_eq!(row("2021-02-28T23:59:00Z"), 49, "behind the last");
    }
}
