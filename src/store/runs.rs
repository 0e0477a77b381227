//! Runs of some cells, newest first: for questions about the last minutes, or about the time of an incident.
//!
//! A day's rows lie in the order of time, so a question reads the rows of its time and no others. It ends at
//! a bound, and can go on from there: a question never reads a whole store at once.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::{Deserialize, Serialize};

use super::error::Fault;
use super::place::{PLACE_MAX, row, table};
use super::schema::days;
use crate::domain::cell::{CellKey, ProbeName};
use crate::domain::change::VerdictChange;
use crate::domain::past::PastRun;
use crate::domain::verdict::Kind;

/// Rows walked over for one question; a second or so.
const ROWS_MAX: u32 = 2_000_000;

/// What is asked of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunsAsked {
    /// Empty: every cell.
    pub cells: Vec<CellKey>,
    /// Both inclusive, UTC.
    pub from: Timestamp,
    pub until: Timestamp,
    /// Where the page before ended; `None`: the first.
    pub after: Option<Cursor>,
    /// Runs on the page.
    pub limit: usize,
}

/// Runs, newest first, and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunsPage {
    /// Fewer than asked for when a bound on work was met, perhaps none.
    pub runs: Vec<PastRun>,
    /// `None`: there are no more.
    pub next: Option<Cursor>,
}

/// A place in the history, behind the last run that was seen; only the store knows what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    at: Timestamp,
    row: i64,
}

/// How late scheduled runs began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lateness {
    /// Of which it is told.
    pub runs: usize,
    /// Half of them began no later than this.
    pub p50: Duration,
    /// 99 of 100 did.
    pub p99: Duration,
}

/// Runs that are looked at for it, the newest.
const LATENESS_MAX: i64 = 50_000;

/// How late runs began that the schedule wanted since a time.
pub(super) fn lateness(
    connection: &Connection,
    since: Timestamp,
) -> rusqlite::Result<Option<Lateness>> {
    let first = table(since);
    let mut late: Vec<i64> = Vec::new();
    for day in days(connection)?.into_iter().filter(|day| *day >= first) {
        let mut statement = connection.prepare(&format!(
            "SELECT late_us FROM {day} NOT INDEXED WHERE at_us >= ?1 AND purpose = 'schedule' ORDER BY rowid DESC LIMIT ?2"
        ))?;
        let found =
            statement.query_map([since.as_microsecond(), LATENESS_MAX], |row| row.get(0))?;
        for one in found {
            late.push(one?);
        }
    }
    late.sort_unstable();
    let at = |share: usize| {
        let place = (late.len() * share).div_ceil(100).saturating_sub(1);
        let late = late.get(place).copied().unwrap_or_default();
        Duration::from_micros(late.max(0).unsigned_abs())
    };
    Ok((!late.is_empty()).then(|| Lateness {
        runs: late.len(),
        p50: at(50),
        p99: at(99),
    }))
}

/// How a walk ended.
enum Walked {
    All,
    /// The caller had enough, or the bound was met.
    Until(Cursor, Why),
}

#[derive(PartialEq)]
enum Why {
    Enough,
    Bound,
}

/// The newest run of each of `cells` between two times; what lies ahead is of a clock that was set back.
pub(super) fn latest(
    connection: &Connection,
    cells: &[CellKey],
    since: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<Vec<PastRun>> {
    let mut found: HashMap<CellKey, PastRun> = HashMap::new();
    newest_first(connection, cells, since, until, |run| {
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
    cells: &[CellKey],
    from: Timestamp,
    until: Timestamp,
    seen: impl FnMut(PastRun) -> ControlFlow<()>,
) -> rusqlite::Result<bool> {
    let ids = ids(connection, cells)?;
    let walked = walk(connection, &ids, from, until, None, seen)?;
    Ok(!matches!(walked, Walked::Until(_, Why::Bound)))
}

pub(super) fn page(connection: &Connection, asked: &RunsAsked) -> Result<RunsPage, Fault> {
    let ids = if asked.cells.is_empty() {
        ids(connection, &cells(connection)?)?
    } else {
        ids(connection, &asked.cells)?
    };
    let mut runs = Vec::new();
    let walked = walk(
        connection,
        &ids,
        asked.from,
        asked.until,
        asked.after,
        |run| {
            runs.push(run);
            if runs.len() >= asked.limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    )?;
    let next = match walked {
        Walked::All => None,
        Walked::Until(cursor, _) => Some(cursor),
    };
    Ok(RunsPage { runs, next })
}

fn walk(
    connection: &Connection,
    ids: &HashMap<i64, CellKey>,
    from: Timestamp,
    until: Timestamp,
    after: Option<Cursor>,
    mut seen: impl FnMut(PastRun) -> ControlFlow<()>,
) -> rusqlite::Result<Walked> {
    if ids.is_empty() {
        return Ok(Walked::All);
    }
    let (first, last) = (table(from), table(after.map_or(until, |c| until.min(c.at))));
    let mut left = ROWS_MAX;
    for day in days(connection)?.into_iter().rev() {
        if day > last || day < first {
            continue;
        }
        let after = after.filter(|after| table(after.at) == day);
        let by_time = lies_by_time(connection, &day)?;
        let (mut until, mut end) = (until, row(until, PLACE_MAX));
        if let Some(after) = after {
            if by_time {
                end = end.min(after.row - 1);
            } else {
                until = until.min(after.at);
            }
        }
        let order = if by_time {
            "AND rowid >= ?3 AND rowid <= ?4 ORDER BY rowid DESC"
        } else {
            "AND ?3 <= ?4 ORDER BY at_us DESC, rowid DESC"
        };
        let mut statement = connection.prepare(&format!(
            "SELECT rowid, at_us, cell, kind, status, vendor, code, reference_id FROM {day} NOT INDEXED
             WHERE at_us >= ?1 AND at_us <= ?2 {order}"
        ))?;
        let (from_us, until_us) = (from.as_microsecond(), until.as_microsecond());
        let mut rows = statement.query([from_us, until_us, row(from, 0), end])?;
        while let Some(found) = rows.next()? {
            let cursor = Cursor {
                at: Timestamp::from_microsecond(found.get(1)?).unwrap_or(Timestamp::MIN),
                row: found.get(0)?,
            };
            if !by_time && after.is_some_and(|a| (cursor.at, cursor.row) >= (a.at, a.row)) {
                continue;
            }
            if let Some(run) = past_run(found, cursor.at, ids)?
                && seen(run).is_break()
            {
                return Ok(Walked::Until(cursor, Why::Enough));
            }
            left -= 1;
            if left == 0 {
                return Ok(Walked::Until(cursor, Why::Bound));
            }
        }
    }
    Ok(Walked::All)
}

/// Whether the rows of a day lie in the order of time; those of former formats lie as they were written.
pub(super) fn lies_by_time(connection: &Connection, day: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM pragma_table_info(?) WHERE name = 'id'")?
        .exists([day])
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

/// Changes of one cell in one answer; what changes all the time is told by its newest.
const CHANGES_MAX: i64 = 1_000;

/// Changes of verdicts of any cell before a time, newest first.
pub(super) fn changed(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<VerdictChange>> {
    let mut statement = connection.prepare_cached(
        "SELECT at_us, from_kind, to_kind, probe, egress, client, credential
         FROM verdict_changes JOIN cells ON cells.id = verdict_changes.cell
         WHERE at_us < ? ORDER BY verdict_changes.id DESC LIMIT ?",
    )?;
    let mut rows = statement.query([before.as_microsecond(), limit as i64])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        let (from, to): (Option<String>, String) = (row.get(1)?, row.get(2)?);
        let Some(to) = Kind::from_word(&to) else {
            continue;
        };
        changes.push(VerdictChange {
            cell: CellKey {
                probe: row.get::<_, String>(3)?.as_str().into(),
                egress: row.get::<_, String>(4)?.as_str().into(),
                client: row.get::<_, String>(5)?.as_str().into(),
                credential: row.get::<_, String>(6)?.as_str().into(),
            },
            at: Timestamp::from_microsecond(row.get(0)?).unwrap_or(Timestamp::MIN),
            from: from.and_then(|word| Kind::from_word(&word)),
            to,
        });
    }
    Ok(changes)
}

/// How the cells of a probe changed between two times, oldest first, each with its last change before them.
pub(super) fn changes(
    connection: &Connection,
    probe: &ProbeName,
    from: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<BTreeMap<CellKey, Vec<VerdictChange>>> {
    let cells: Vec<CellKey> = cells(connection)?;
    let cells: Vec<CellKey> = cells
        .into_iter()
        .filter(|cell| cell.probe == *probe)
        .collect();
    let ids = ids(connection, &cells)?;
    let mut within = connection.prepare(
        "SELECT at_us, from_kind, to_kind FROM (
             SELECT * FROM verdict_changes WHERE cell = ?1 AND at_us >= ?2 AND at_us < ?3 ORDER BY at_us DESC LIMIT ?4
         ) UNION ALL SELECT at_us, from_kind, to_kind FROM (
             SELECT * FROM verdict_changes WHERE cell = ?1 AND at_us < ?2 ORDER BY at_us DESC LIMIT 1
         ) ORDER BY at_us",
    )?;
    let mut found = BTreeMap::new();
    for (id, cell) in ids {
        let asked = [
            id,
            from.as_microsecond(),
            until.as_microsecond(),
            CHANGES_MAX,
        ];
        let mut rows = within.query(asked)?;
        let mut changes = Vec::new();
        while let Some(row) = rows.next()? {
            let (before, after): (Option<String>, String) = (row.get(1)?, row.get(2)?);
            // A word of a later program is left out.
            let Some(to) = Kind::from_word(&after) else {
                continue;
            };
            changes.push(VerdictChange {
                cell: cell.clone(),
                at: Timestamp::from_microsecond(row.get(0)?).unwrap_or(Timestamp::MIN),
                from: before.and_then(|word| Kind::from_word(&word)),
                to,
            });
        }
        found.insert(cell, changes);
    }
    Ok(found)
}

/// The store's numbers of those cells that ever ran.
pub(super) fn ids(
    connection: &Connection,
    cells: &[CellKey],
) -> rusqlite::Result<HashMap<i64, CellKey>> {
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

/// `None` for a row of another cell, and for one that a newer program wrote in words unknown here.
fn past_run(
    row: &Row<'_>,
    at: Timestamp,
    ids: &HashMap<i64, CellKey>,
) -> rusqlite::Result<Option<PastRun>> {
    let Some(cell) = ids.get(&row.get(2)?) else {
        return Ok(None);
    };
    let kind: String = row.get(3)?;
    let Some(kind) = Kind::from_word(&kind) else {
        return Ok(None);
    };
    Ok(Some(PastRun {
        cell: cell.clone(),
        at,
        kind,
        status: row.get(4)?,
        vendor: row.get(5)?,
        code: row.get(6)?,
        reference_id: row.get(7)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

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

    /// Runs in the order of writing, into a day as it is made now or as a former format made it.
    fn put(connection: &Connection, day: &str, former: bool, rows: &[(&str, i64, &str)]) {
        let sql = schema::day(day);
        let sql = if former {
            sql.replace("id INTEGER PRIMARY KEY,", "")
        } else {
            sql
        };
        connection.execute_batch(&sql).unwrap();
        for (place, (time, cell, kind)) in rows.iter().enumerate() {
            let time = at(time);
            let id = (!former).then(|| row(time, place as u32));
            connection
                .execute(
                    &format!(
                        "INSERT INTO {day} (rowid, at_us, cell, kind, status, vendor, code, reference_id,
                             purpose, late_us, took_us, maker)
                         VALUES (?, ?, ?, ?, 403, 'cloudflare', '1010', 'r', '', 0, 0, '')"
                    ),
                    rusqlite::params![id, time.as_microsecond(), cell, kind],
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
        for former in [false, true] {
            let connection = store();
            put(
                &connection,
                "observations_20210228",
                former,
                &[
                    ("2021-02-28T23:59:00Z", 7, "edge_block"),
                    // Hours late.
                    ("2021-02-28T20:00:00Z", 7, "pass"),
                    ("2021-02-28T23:58:00Z", 8, "pass"),
                ],
            );
            put(
                &connection,
                "observations_20210301",
                false,
                &[
                    ("2021-03-01T00:01:00Z", 7, "timeout"),
                    ("2021-03-01T00:02:00Z", 7, "a_word_of_tomorrow"),
                ],
            );
            let found = |since: &str| -> Vec<(String, Kind)> {
                let cells = [cell("a"), cell("b"), cell("never ran")];
                let found = latest(&connection, &cells, at(since), Timestamp::MAX)
                    .unwrap()
                    .into_iter();
                found
                    .map(|run| (run.cell.client.to_string(), run.kind))
                    .collect()
            };
            let row = |client: &str, kind| (client.to_owned(), kind);
            let both = [row("a", Kind::Timeout), row("b", Kind::Pass)];
            assert_eq!(found("2021-02-28T00:00:00Z"), both);
            assert_eq!(found("2021-02-28T23:58:00Z"), both);
            assert_eq!(found("2021-02-28T23:58:01Z"), both[..1]);
            assert_eq!(found("2021-03-01T00:01:01Z"), []);
            assert_eq!(found("2021-03-02T00:00:00Z"), []);
        }
    }

    #[test]
    fn late_rows_stand_where_their_time_is() {
        for former in [false, true] {
            let connection = store();
            let mut rows: Vec<(String, i64, &str)> = (0..48)
                .map(|half| {
                    let (hour, minute) = (half / 2, half % 2 * 30);
                    (format!("2021-02-28T{hour:02}:{minute:02}:00Z"), 7, "pass")
                })
                .collect();
            // An agent was away from half past three on, and brings what it spooled in the evening.
            rows[7..].rotate_left(20);
            let rows: Vec<(&str, i64, &str)> =
                rows.iter().map(|(t, c, k)| (t.as_str(), *c, *k)).collect();
            put(&connection, "observations_20210228", former, &rows);
            let asked = |from: &str, until: &str, limit| RunsAsked {
                cells: vec![cell("a")],
                from: at(from),
                until: at(until),
                after: None,
                limit,
            };
            let times = |runs: &[PastRun]| -> String {
                let times = runs.iter().map(|r| r.at.strftime("%H:%M").to_string());
                times.collect::<Vec<_>>().join(" ")
            };
            let walked = |from: &str, until: &str| {
                let page = page(&connection, &asked(from, until, 100)).unwrap();
                assert_eq!(page.next, None);
                times(&page.runs)
            };
            assert_eq!(
                walked("2021-02-28T11:30:00Z", "2021-02-28T13:00:00Z"),
                "13:00 12:30 12:00 11:30"
            );
            assert_eq!(
                walked("2021-02-27T00:00:00Z", "2021-02-28T03:10:00Z"),
                "03:00 02:30 02:00 01:30 01:00 00:30 00:00"
            );
            assert_eq!(
                walked("2021-02-28T23:10:00Z", "2021-03-09T00:00:00Z"),
                "23:30"
            );
            assert_eq!(walked("2021-02-28T23:31:00Z", "2021-03-09T00:00:00Z"), "");

            // Pages are cut anywhere, and leave nothing out.
            let mut asked = RunsAsked {
                cells: Vec::new(),
                ..asked("2021-02-28T22:00:00Z", "2021-02-28T23:30:00Z", 3)
            };
            let mut pages = Vec::new();
            loop {
                let page = page(&connection, &asked).unwrap();
                pages.push(times(&page.runs));
                asked.after = page.next;
                if page.next.is_none() {
                    break;
                }
            }
            assert_eq!(pages, ["23:30 23:00 22:30", "22:00"]);
        }
    }
}
