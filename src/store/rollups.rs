//! History for longer than runs are kept: hours and days, by cell and by probe, counted from the runs themselves.
//!
//! An hour is counted once it is over, from its rows, which lie together. Every batch of runs notes in its own
//! transaction which hours it touched, so an hour is counted anew when a run of it comes late, and after a crash
//! nothing is missing and nothing is counted twice: a count is never added to, it is made again. Days are the sums of
//! their hours. The work goes in slices between batches, so that nobody waits for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::place::{PLACE_MAX, row, table};
use super::runs::lies_by_time;
use super::schema;
use crate::domain::cell::ProbeName;
use crate::domain::observation::Phases;
use crate::domain::tally::{Steps, Tally, pack_all, unpack_all};
use crate::domain::verdict::Kind;

/// Hours of single cells are kept this long: people look closely at the last week.
const CELL_HOURS: i64 = 8 * 24;
/// Hours of probes, and days of single cells.
pub(super) const YEAR_DAYS: i64 = 400;
/// Days of probes.
const PROBE_DAYS: i64 = 3 * 366;
/// Rows counted at once; some ten milliseconds.
const SLICE_ROWS: usize = 10_000;
/// Cells of which a day is summed up at once.
const SLICE_CELLS: i64 = 500;
/// After its end an hour is left alone for this long: runs that began in it end, and are written.
const GRACE: Duration = Duration::from_secs(120);
/// Hours that are not counted yet and are counted for a reader; more wait for the writer.
const OPEN_HOURS_MAX: i64 = 3;
/// Where it stands before which time rows were given up to make room.
const CUT: &str = "history.cut";

const HOUR_US: i64 = 3_600_000_000;
const DAY_HOURS: i64 = 24;
const COLUMNS: &str = "runs, passed, failed, ours, max_us, took, phases, kinds";
const KEPT: &str = "?, ?, ?, ?, ?, ?, ?, ?";

/// Hours since 1970, UTC.
pub(super) fn hour(at: Timestamp) -> i64 {
    at.as_microsecond().div_euclid(HOUR_US)
}

/// What the writer is in the middle of; lost in a crash, and begun anew.
pub(super) struct Rollups {
    /// Rows and cells of one slice.
    slice: (usize, i64),
    hour: Option<OpenHour>,
    day: Option<OpenDay>,
    /// The day of the last look at ages.
    tidied: Option<i64>,
}

struct OpenHour {
    hour: i64,
    /// The last row that was counted.
    after: i64,
    cells: HashMap<i64, Tally>,
}

struct OpenDay {
    day: i64,
    /// The first cell that is not summed up yet.
    next: i64,
}

/// Notes that runs of an hour were written, in the transaction that writes them.
pub(super) fn touch(transaction: &Transaction<'_>, hours: &BTreeSet<i64>) -> rusqlite::Result<()> {
    for hour in hours {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO hours_due (hour) VALUES (?)")?
            .execute([hour])?;
    }
    Ok(())
}

/// Notes that rows up to `until_us` were given up: their hours must not be counted anew.
pub(super) fn cut(connection: &Connection, until_us: i64) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO notes (name, text) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE
         SET text = max(CAST(text AS INTEGER), CAST(excluded.text AS INTEGER))",
        params![CUT, until_us.to_string()],
    )?;
    Ok(())
}

/// Forgets what was counted ahead of `now`: the clock was set back.
pub(super) fn forget_ahead(transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<()> {
    let hour = hour(now);
    let day = hour.div_euclid(DAY_HOURS);
    transaction.execute("DELETE FROM hours WHERE hour >= ?", [hour])?;
    transaction.execute("DELETE FROM probe_hours WHERE hour >= ?", [hour])?;
    transaction.execute("DELETE FROM days WHERE day >= ?", [day])?;
    transaction.execute("DELETE FROM probe_days WHERE day >= ?", [day])?;
    transaction.execute("DELETE FROM hours_due WHERE hour > ?", [hour])?;
    transaction.execute("DELETE FROM days_due WHERE day > ?", [day])?;
    touch(transaction, &BTreeSet::from([hour]))?;
    due_day(transaction, day)
}

fn due_day(connection: &Connection, day: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO days_due (day) VALUES (?)")?
        .execute([day])?;
    Ok(())
}

impl Default for Rollups {
    fn default() -> Self {
        Self {
            slice: (SLICE_ROWS, SLICE_CELLS),
            hour: None,
            day: None,
            tidied: None,
        }
    }
}

impl Rollups {
    /// Runs of these hours were written: one that is being counted is begun anew.
    pub(super) fn touched(&mut self, hours: &BTreeSet<i64>) {
        if self
            .hour
            .as_ref()
            .is_some_and(|it| hours.contains(&it.hour))
        {
            self.hour = None;
        }
    }

    /// Does a slice of the work; `true`: there is more.
    pub(super) fn turn(
        &mut self,
        connection: &mut Connection,
        now: Timestamp,
    ) -> rusqlite::Result<bool> {
        let settled = now.checked_sub(GRACE).unwrap_or(Timestamp::MIN);
        let before = hour(settled);
        let due = |sql: &str, before: i64| -> rusqlite::Result<Option<i64>> {
            connection
                .prepare_cached(sql)?
                .query_row([before], |row| row.get(0))
        };
        if let Some(due) = due("SELECT min(hour) FROM hours_due WHERE hour < ?", before)? {
            self.day = None;
            self.count(connection, due, before)?;
            return Ok(true);
        }
        self.hour = None;
        let before = before.div_euclid(DAY_HOURS);
        if let Some(due) = due("SELECT min(day) FROM days_due WHERE day < ?", before)? {
            self.sum_up(connection, due)?;
            return Ok(true);
        }
        if self.tidied != Some(before) {
            tidy(connection, before)?;
            self.tidied = Some(before);
        }
        Ok(false)
    }

    /// Counts a slice of an hour, and keeps the counts with the last of it.
    fn count(&mut self, connection: &mut Connection, hour: i64, now: i64) -> rusqlite::Result<()> {
        if is_closed(connection, hour, now)? {
            connection.execute("DELETE FROM hours_due WHERE hour = ?", [hour])?;
            return Ok(());
        }
        let open = self.hour.take().filter(|open| open.hour == hour);
        let mut open = open.unwrap_or_else(|| OpenHour {
            hour,
            after: i64::MIN,
            cells: HashMap::new(),
        });
        let cells = &mut open.cells;
        let slice = (open.after, self.slice.0);
        let last = each_run(connection, hour, slice, None, |cell, kind, took, phases| {
            cells.entry(cell).or_default().count(kind, took, phases);
        })?;
        if let Some(last) = last {
            open.after = last;
            self.hour = Some(open);
            return Ok(());
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        keep_hour(&transaction, hour, &open.cells)?;
        transaction.execute("DELETE FROM hours_due WHERE hour = ?", [hour])?;
        due_day(&transaction, hour.div_euclid(DAY_HOURS))?;
        transaction.commit()
    }

    /// Sums up a slice of the cells of a day, and its probes with the last of them.
    fn sum_up(&mut self, connection: &mut Connection, day: i64) -> rusqlite::Result<()> {
        let next = self.day.take().filter(|open| open.day == day);
        let next = next.map_or(i64::MIN, |open| open.next);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let cells = transaction
            .prepare_cached("SELECT id FROM cells WHERE id >= ? ORDER BY id LIMIT ?")?
            .query_map([next, self.slice.1], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        if let (Some(first), Some(last)) = (cells.first(), cells.last()) {
            let mut sums: HashMap<i64, Tally> = HashMap::new();
            let mut hours = transaction.prepare_cached(&format!(
                "SELECT cell, {COLUMNS} FROM hours WHERE hour = ? AND cell BETWEEN ? AND ?"
            ))?;
            for hour in day * DAY_HOURS..(day + 1) * DAY_HOURS {
                let mut rows = hours.query([hour, *first, *last])?;
                while let Some(row) = rows.next()? {
                    sums.entry(row.get(0)?).or_default().add(&tally(row, 1)?);
                }
            }
            for cell in &cells {
                match sums.get(cell) {
                    Some(sum) => {
                        transaction
                            .prepare_cached(&format!(
                                "INSERT OR REPLACE INTO days (cell, day, {COLUMNS}) VALUES (?, ?, {KEPT})"
                            ))?
                            .execute(rusqlite::params_from_iter(
                                [(*cell).into(), day.into()].into_iter().chain(values(sum)),
                            ))?;
                    }
                    None => {
                        transaction
                            .prepare_cached("DELETE FROM days WHERE cell = ? AND day = ?")?
                            .execute([*cell, day])?;
                    }
                }
            }
            let next = *last + 1;
            drop(hours);
            transaction.commit()?;
            self.day = Some(OpenDay { day, next });
            return Ok(());
        }
        for probe in probes(&transaction)? {
            let mut sum = Tally::default();
            let hours = day * DAY_HOURS..(day + 1) * DAY_HOURS;
            for (_, tally) in kept_hours(&transaction, &probe, hours.start, hours.end)? {
                sum.add(&tally);
            }
            keep_probe(&transaction, "probe_days (probe, day", &probe, day, &sum)?;
        }
        transaction.execute("DELETE FROM days_due WHERE day = ?", [day])?;
        transaction.commit()
    }
}

/// Whether an hour may not be counted any more: what it was counted from is not all there.
fn is_closed(connection: &Connection, hour: i64, now: i64) -> rusqlite::Result<bool> {
    let counted = connection
        .prepare_cached("SELECT 1 FROM hours WHERE hour = ?")?
        .exists([hour])?;
    if counted {
        let cut: Option<i64> = connection
            .prepare_cached("SELECT CAST(text AS INTEGER) FROM notes WHERE name = ?")?
            .query_row([CUT], |row| row.get(0))
            .optional()?;
        return Ok(cut.is_some_and(|cut| hour * HOUR_US <= cut));
    }
    if hour > now - CELL_HOURS {
        return Ok(false);
    }
    // Its cells' hours are gone, and its day can't be summed up again.
    connection
        .prepare_cached("SELECT 1 FROM probe_days WHERE day = ?")?
        .exists([hour.div_euclid(DAY_HOURS)])
}

/// Hands so many runs of an hour to `seen`, from the row after `after` on; the last row where there may be more.
fn each_run(
    connection: &Connection,
    hour: i64,
    (after, rows_max): (i64, usize),
    probe: Option<&ProbeName>,
    mut seen: impl FnMut(i64, Kind, Duration, &Phases),
) -> rusqlite::Result<Option<i64>> {
    let (from, until) = (hour * HOUR_US, (hour + 1) * HOUR_US);
    let start = Timestamp::from_microsecond(from).unwrap_or(Timestamp::MIN);
    let day = table(start);
    if !schema::days(connection)?.contains(&day) {
        return Ok(None);
    }
    let by_time = lies_by_time(connection, &day)?;
    let last = Timestamp::from_microsecond(until - 1).unwrap_or(Timestamp::MAX);
    // Rows of former formats lie as they were written: all of the day is looked at, at once.
    let (first, last, limit) = if by_time {
        let first = row(start, 0).max(after.saturating_add(1));
        (first, row(last, PLACE_MAX), rows_max as i64)
    } else {
        (i64::MIN, i64::MAX, -1)
    };
    let of_probe = if probe.is_some() {
        "AND cell IN (SELECT id FROM cells WHERE probe = ?6)"
    } else {
        "AND ?6 IS NULL"
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT rowid, cell, kind, took_us, dns_us, connect_us, tls_us, first_byte_us, transfer_us
         FROM {day} NOT INDEXED WHERE rowid BETWEEN ?1 AND ?2 AND at_us >= ?3 AND at_us < ?4 {of_probe}
         ORDER BY rowid LIMIT ?5"
    ))?;
    let probe = probe.map(ProbeName::as_str);
    let mut rows = statement.query(params![first, last, from, until, limit, probe])?;
    let (mut count, mut end) = (0, None);
    while let Some(found) = rows.next()? {
        count += 1;
        end = Some(found.get(0)?);
        let Some(kind) = Kind::from_word(found.get_ref(2)?.as_str()?) else {
            // A word of a later program.
            continue;
        };
        let time = |place| -> rusqlite::Result<Option<Duration>> {
            let us: Option<i64> = found.get(place)?;
            Ok(us.map(|us| Duration::from_micros(us.unsigned_abs())))
        };
        let phases = Phases {
            dns: time(4)?,
            connect: time(5)?,
            tls: time(6)?,
            first_byte: time(7)?,
            transfer: time(8)?,
        };
        seen(found.get(1)?, kind, time(3)?.unwrap_or_default(), &phases);
    }
    Ok(end.filter(|_| count == limit))
}

fn keep_hour(
    transaction: &Transaction<'_>,
    hour: i64,
    cells: &HashMap<i64, Tally>,
) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM hours WHERE hour = ?", [hour])?;
    let mut probes: BTreeMap<String, Tally> = probes(transaction)?
        .into_iter()
        .map(|probe| (probe, Tally::default()))
        .collect();
    let mut insert = transaction.prepare_cached(&format!(
        "INSERT INTO hours (hour, cell, {COLUMNS}) VALUES (?, ?, {KEPT})"
    ))?;
    let mut probe = transaction.prepare_cached("SELECT probe FROM cells WHERE id = ?")?;
    // In the order of their keys they are appended.
    let ordered: BTreeMap<i64, &Tally> = cells.iter().map(|(cell, tally)| (*cell, tally)).collect();
    for (cell, tally) in ordered {
        insert.execute(rusqlite::params_from_iter(
            [hour.into(), cell.into()].into_iter().chain(values(tally)),
        ))?;
        let probe: String = probe.query_row([cell], |row| row.get(0))?;
        probes.entry(probe).or_default().add(tally);
    }
    for (probe, tally) in &probes {
        keep_probe(transaction, "probe_hours (probe, hour", probe, hour, tally)?;
    }
    Ok(())
}

/// `into` names the table and its key; nothing is kept of what did not run.
fn keep_probe(
    transaction: &Transaction<'_>,
    into: &str,
    probe: &str,
    time: i64,
    tally: &Tally,
) -> rusqlite::Result<()> {
    let key = [probe.to_owned().into(), time.into()];
    if tally.runs == 0 {
        let (table, time) = into.split_once(" (probe, ").unwrap_or((into, ""));
        transaction
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE probe = ? AND {time} = ?"
            ))?
            .execute(rusqlite::params_from_iter(key))?;
        return Ok(());
    }
    transaction
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO {into}, {COLUMNS}) VALUES (?, ?, {KEPT})"
        ))?
        .execute(rusqlite::params_from_iter(
            key.into_iter().chain(values(tally)),
        ))?;
    Ok(())
}

/// In the order of [`COLUMNS`].
fn values(tally: &Tally) -> [rusqlite::types::Value; 8] {
    let kinds = tally.kinds_text();
    [
        (tally.runs as i64).into(),
        (tally.passed as i64).into(),
        (tally.failed as i64).into(),
        (tally.ours as i64).into(),
        (tally.max.as_micros() as i64).into(),
        tally.took.pack().into(),
        pack_all(&tally.phases_us).into(),
        (!kinds.is_empty()).then_some(kinds).into(),
    ]
}

/// The columns of [`COLUMNS`], from the one with this number on.
fn tally(row: &Row<'_>, from: usize) -> rusqlite::Result<Tally> {
    let number = |place: usize| -> rusqlite::Result<u64> {
        Ok(row.get::<_, i64>(from + place)?.unsigned_abs())
    };
    let kinds: Option<String> = row.get(from + 7)?;
    Ok(Tally {
        runs: number(0)?,
        passed: number(1)?,
        failed: number(2)?,
        ours: number(3)?,
        max: Duration::from_micros(number(4)?),
        took: Steps::unpack(row.get_ref(from + 5)?.as_blob()?),
        phases_us: unpack_all(row.get_ref(from + 6)?.as_blob()?),
        kinds: kinds
            .map(|kinds| Tally::kinds_of(&kinds))
            .unwrap_or_default(),
    })
}

/// Drops what is too old; `before` is the day of which no more will come.
fn tidy(connection: &Connection, before: i64) -> rusqlite::Result<()> {
    let hours = before * DAY_HOURS;
    for (sql, oldest) in [
        ("DELETE FROM hours WHERE hour < ?", hours - CELL_HOURS),
        ("DELETE FROM days WHERE day < ?", before - YEAR_DAYS),
        (
            "DELETE FROM probe_hours WHERE hour < ?",
            hours - YEAR_DAYS * DAY_HOURS,
        ),
        ("DELETE FROM probe_days WHERE day < ?", before - PROBE_DAYS),
    ] {
        connection.execute(sql, [oldest])?;
    }
    Ok(())
}

/// Every probe that ever ran.
pub(super) fn probes(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached("SELECT DISTINCT probe FROM cells ORDER BY probe")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Since when runs of a probe are counted.
pub(super) fn since(
    connection: &Connection,
    probe: &ProbeName,
) -> rusqlite::Result<Option<Timestamp>> {
    let hour: Option<i64> = connection
        .prepare_cached("SELECT min(hour) FROM probe_hours WHERE probe = ?")?
        .query_row([probe.as_str()], |row| row.get(0))?;
    Ok(hour.and_then(|hour| Timestamp::from_microsecond(hour * HOUR_US).ok()))
}

fn kept_hours(
    connection: &Connection,
    probe: &str,
    from: i64,
    until: i64,
) -> rusqlite::Result<BTreeMap<i64, Tally>> {
    connection
        .prepare_cached(&format!(
            "SELECT hour, {COLUMNS} FROM probe_hours WHERE probe = ? AND hour >= ? AND hour < ?"
        ))?
        .query_map(params![probe, from, until], |row| {
            Ok((row.get(0)?, tally(row, 1)?))
        })?
        .collect()
}

/// The hours of a probe that begin in a time, with those that are not counted yet.
pub(super) fn probe_hours(
    connection: &Connection,
    probe: &ProbeName,
    from: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<BTreeMap<i64, Tally>> {
    let (from, until) = (hour(from), hour(until) + 1);
    let mut found = kept_hours(connection, probe.as_str(), from, until)?;
    let due = connection
        .prepare_cached(
            "SELECT hour FROM hours_due WHERE hour >= ? AND hour < ? ORDER BY hour DESC LIMIT ?",
        )?
        .query_map([from, until, OPEN_HOURS_MAX], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    for hour in due {
        let (mut fresh, mut after) = (Tally::default(), Some(i64::MIN));
        while let Some(last) = after {
            let count = |_, kind, took, phases: &Phases| fresh.count(kind, took, phases);
            after = each_run(connection, hour, (last, SLICE_ROWS), Some(probe), count)?;
        }
        if fresh.runs > 0 && !is_closed(connection, hour, hour)? {
            found.insert(hour, fresh);
        }
    }
    Ok(found)
}

/// The days of a cell, UTC, that are counted.
pub(super) fn cell_days(
    connection: &Connection,
    cell: i64,
    from: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<BTreeMap<i64, Tally>> {
    let day = |at| hour(at).div_euclid(DAY_HOURS);
    connection
        .prepare_cached(&format!(
            "SELECT day, {COLUMNS} FROM days WHERE cell = ? AND day >= ? AND day <= ?"
        ))?
        .query_map([cell, day(from), day(until)], |row| {
            Ok((row.get(0)?, tally(row, 1)?))
        })?
        .collect()
}

/// The hours of a cell that are counted.
pub(super) fn cell_hours(
    connection: &Connection,
    cell: i64,
    from: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<BTreeMap<i64, Tally>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT hour, {COLUMNS} FROM hours WHERE hour = ? AND cell = ?"
    ))?;
    let mut found = BTreeMap::new();
    // The hour comes first in their key, so each is looked up.
    for hour in hour(from)..=hour(until).min(hour(from) + CELL_HOURS * 2) {
        let row = statement
            .query_row([hour, cell], |row| tally(row, 1))
            .optional()?;
        found.extend(row.map(|tally| (hour, tally)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
