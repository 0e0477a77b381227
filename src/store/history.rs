//! Observations, one table for each UTC day, and how long they are kept.
//!
//! A row's number is its time, so rows lie in the order of time: most are appended, and one that an agent
//! delivers hours late goes where it belongs. There is no secondary index, because one whose first column is
//! the cell touches a page for each cell and batch (measured: 20 times the bytes written). An old day is
//! dropped whole. The body of a failure is kept once for each hash.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::note::{Body, Note, Run};
use super::past_look;
use super::place::{row, table};
use super::rollups::{self, Rollups};
use super::schema::{self, days};
use super::surroundings;
use crate::domain::cell::CellKey;
use crate::domain::observation::FailureKind;
use crate::domain::plan::StorePolicy;
use crate::domain::secret::Secrets;
use crate::domain::sent::Sent;
use crate::domain::verdict::{Kind, Rule};

/// Kept of one body; the marks of every known block page are well inside.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Part of the file's bound that bodies may fill.
const BODIES_SHARE: u64 = 4;
/// Rows deleted at once when a single day fills the file.
const DELETE_ROWS: i64 = 50_000;
/// Pages given back to the disk at once.
const VACUUM_PAGES: i64 = 2_048;
/// Batches between two looks at ages, within one day.
const TIDY_BATCHES: u32 = 1_024;
/// Changes of verdicts are few, and tell "since when" for as long as days are counted.
const CHANGES_KEEP: Duration = Duration::from_secs(rollups::YEAR_DAYS as u64 * 24 * 3600);
/// Resolved incidents beyond this many are forgotten, oldest first.
const INCIDENTS_MAX: i64 = 10_000;
/// Looks of requests that are kept; a program that makes up another each time is not followed for ever.
const SENT_MAX: usize = 10_000;
/// Runs that are kept with incidents have this part of the bound, and each so many bytes.
const INCIDENT_RUNS_SHARE: u64 = 10;
const INCIDENT_RUN_BYTES: u64 = 64;

/// What the writer remembers between batches.
pub(super) struct History {
    policy: StorePolicy,
    cells: HashMap<CellKey, i64>,
    /// The numbers of what requests looked like.
    sent: HashMap<Sent, i64>,
    days: HashSet<String>,
    /// Of the last row, among those of its millisecond.
    place: u32,
    /// Bytes in `bodies`; `None` until counted.
    body_bytes: Option<u64>,
    /// Day and batches since ages were looked at.
    tidied: Option<(String, u32)>,
    rollups: Rollups,
}

impl History {
    pub(super) fn new(policy: StorePolicy) -> Self {
        Self {
            policy,
            cells: HashMap::new(),
            sent: HashMap::new(),
            days: HashSet::new(),
            place: fastrand::u32(..),
            body_bytes: None,
            tidied: None,
            rollups: Rollups::default(),
        }
    }

    /// Writes a batch in one transaction, all or none.
    pub(super) fn write(
        &mut self,
        connection: &mut Connection,
        batch: &[(Note, Option<Body>)],
        secrets: &Secrets,
    ) -> rusqlite::Result<()> {
        let result = self.try_write(connection, batch, secrets);
        if result.is_err() {
            // Ids and tables made in the failed transaction do not exist.
            self.cells.clear();
            self.sent.clear();
            self.days.clear();
            self.body_bytes = None;
        }
        result
    }

    fn try_write(
        &mut self,
        connection: &mut Connection,
        batch: &[(Note, Option<Body>)],
        secrets: &Secrets,
    ) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut hours = BTreeSet::new();
        for (note, body) in batch {
            match note {
                Note::Run(run) => {
                    hours.insert(rollups::hour(run.at));
                    self.insert_run(&transaction, run)?;
                }
                Note::Place { name, text } => {
                    transaction
                        .prepare_cached(
                            "INSERT INTO notes (name, text) VALUES (?, ?)
                             ON CONFLICT (name) DO UPDATE SET text = excluded.text",
                        )?
                        .execute([*name, text])?;
                }
                Note::VerdictChange(change) => {
                    let cell = self.cell_id(&transaction, &change.cell)?;
                    transaction
                        .prepare_cached(
                            "INSERT INTO verdict_changes (at_us, cell, from_kind, to_kind) VALUES (?, ?, ?, ?)",
                        )?
                        .execute(params![
                            change.at.as_microsecond(),
                            cell,
                            change.from.map(Kind::as_str),
                            change.to.as_str()
                        ])?;
                }
            }
            if let Some(body) = body {
                self.insert_body(&transaction, body, secrets)?;
            }
        }
        rollups::touch(&transaction, &hours)?;
        self.rollups.touched(&hours);
        transaction.commit()
    }

    /// Counts a slice of the hours and days that are over; `true`: there is more to count.
    pub(super) fn count(
        &mut self,
        connection: &mut Connection,
        now: Timestamp,
    ) -> rusqlite::Result<bool> {
        self.rollups.turn(connection, now)
    }

    fn insert_run(&mut self, transaction: &Transaction<'_>, run: &Run) -> rusqlite::Result<()> {
        let cell = self.cell_id(transaction, &run.cell)?;
        let table = table(run.at);
        if !self.days.contains(&table) {
            transaction.execute_batch(&schema::day(&table))?;
            self.days.insert(table.clone());
        }
        let sent = match &run.sent {
            Some(sent) => self.sent_id(transaction, sent)?,
            None => None,
        };
        let phases = run.phases;
        let mut insert = transaction.prepare_cached(&format!(
            "INSERT OR IGNORE INTO {table} (
                rowid, at_us, cell, purpose, late_us, took_us,
                dns_us, connect_us, tls_us, first_byte_us, transfer_us,
                kind, maker, status, remote, failure, vendor, rule, code, reference_id, body_sha256, sent
             ) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
        ))?;
        loop {
            self.place = self.place.wrapping_add(1);
            let inserted = insert.execute(params![
                row(run.at, self.place),
                run.at.as_microsecond(),
                cell,
                run.purpose.as_str(),
                micros(run.late),
                micros(run.took),
                phases.dns.map(micros),
                phases.connect.map(micros),
                phases.tls.map(micros),
                phases.first_byte.map(micros),
                phases.transfer.map(micros),
                run.kind.as_str(),
                run.maker.as_str(),
                run.status,
                run.remote.map(|r| r.to_string()),
                run.failure.map(FailureKind::as_str),
                run.vendor,
                run.rule.map(Rule::as_str),
                run.code,
                run.reference_id,
                run.body_sha256,
                sent,
            ])?;
            // Otherwise a run of this millisecond has the place, from before a restart.
            if inserted > 0 {
                return Ok(());
            }
        }
    }

    /// The number of what a request looked like; there are few, and many runs share one. `None`: too many are kept.
    fn sent_id(
        &mut self,
        transaction: &Transaction<'_>,
        sent: &Sent,
    ) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.sent.get(sent) {
            return Ok(Some(*id));
        }
        let document = serde_json::to_string(sent).unwrap_or_default();
        let find = "SELECT id FROM sent WHERE document = ?";
        let mut known = transaction.prepare_cached(find)?;
        let mut id = known.query_row([&document], |row| row.get(0)).optional()?;
        if id.is_none() && self.sent.len() < SENT_MAX {
            transaction.execute(
                "INSERT OR IGNORE INTO sent (document) VALUES (?)",
                [&document],
            )?;
            id = known.query_row([&document], |row| row.get(0)).optional()?;
        }
        if let Some(id) = id {
            self.sent.insert(sent.clone(), id);
        }
        Ok(id)
    }

    fn cell_id(&mut self, transaction: &Transaction<'_>, cell: &CellKey) -> rusqlite::Result<i64> {
        if let Some(id) = self.cells.get(cell) {
            return Ok(*id);
        }
        let key = params![
            cell.probe.as_str(),
            cell.egress.as_str(),
            cell.client.as_str(),
            cell.credential.as_str()
        ];
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO cells (probe, egress, client, credential) VALUES (?, ?, ?, ?)",
            )?
            .execute(key)?;
        let id = transaction
            .prepare_cached(
                "SELECT id FROM cells WHERE probe = ? AND egress = ? AND client = ? AND credential = ?",
            )?
            .query_row(key, |row| row.get(0))?;
        self.cells.insert(cell.clone(), id);
        Ok(id)
    }

    fn insert_body(
        &mut self,
        transaction: &Transaction<'_>,
        body: &Body,
        secrets: &Secrets,
    ) -> rusqlite::Result<()> {
        let known = transaction
            .prepare_cached("SELECT 1 FROM bodies WHERE sha256 = ?")?
            .exists([&body.sha256])?;
        if known {
            return Ok(());
        }
        let kept = masked(&body.bytes, secrets);
        let deflated = deflate(&kept);
        transaction
            .prepare_cached(
                "INSERT INTO bodies (sha256, at_us, bytes, deflated) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![
                body.sha256,
                body.at.as_microsecond(),
                kept.len() as i64,
                deflated
            ])?;
        if let Some(bytes) = &mut self.body_bytes {
            *bytes += deflated.len() as u64;
        }
        Ok(())
    }

    /// Drops what is too old or too much. `now` is the wall clock, UTC.
    pub(super) fn tidy(
        &mut self,
        connection: &mut Connection,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let today = table(now);
        let due = match &mut self.tidied {
            Some((day, batches)) if *day == today => {
                *batches += 1;
                *batches >= TIDY_BATCHES
            }
            _ => true,
        };
        if due {
            self.tidy_ages(connection, now)?;
            self.tidied = Some((today.clone(), 0));
        }
        self.tidy_bodies(connection)?;
        self.tidy_size(connection)
    }

    fn tidy_ages(&mut self, connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        let oldest = now
            .checked_sub(self.policy.keep.runs)
            .unwrap_or(Timestamp::MIN);
        let oldest_table = table(oldest);
        for day in days(connection)? {
            if day < oldest_table {
                self.drop_day(connection, &day)?;
            }
        }
        let keep = &self.policy.keep;
        for (delete, kept) in [
            ("bodies WHERE at_us < ?", keep.bodies),
            (
                "verdict_changes WHERE at_us < ?",
                keep.runs.max(CHANGES_KEEP),
            ),
            (
                "outbox WHERE state NOT IN ('pending', 'sending') AND done_us < ?",
                keep.messages,
            ),
            (
                "surroundings WHERE at_us < ? AND name != 'ours'",
                surroundings::KEEP,
            ),
        ] {
            let before = now.checked_sub(kept).unwrap_or(Timestamp::MIN);
            connection.execute(&format!("DELETE FROM {delete}"), [before.as_microsecond()])?;
        }
        self.body_bytes = None;
        let over = keep.incidents.and_then(|kept| now.checked_sub(kept).ok());
        forget_incidents(connection, over.unwrap_or(Timestamp::MIN))
    }

    /// Holds the bodies below their share, oldest first.
    fn tidy_bodies(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let bytes = match self.body_bytes {
            Some(bytes) => bytes,
            None => connection.query_row(
                "SELECT coalesce(sum(length(deflated)), 0) FROM bodies",
                [],
                |row| row.get::<_, i64>(0),
            )? as u64,
        };
        self.body_bytes = Some(bytes);
        if bytes > self.policy.bytes_max / BODIES_SHARE {
            connection.execute(
                "DELETE FROM bodies WHERE id <= (SELECT (min(id) + max(id)) / 2 FROM bodies)",
                [],
            )?;
            self.body_bytes = None;
        }
        Ok(())
    }

    /// Holds the file below its bound: whole days first, then the oldest rows of the only day.
    fn tidy_size(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        // Room is made before the bound, because dropped pages are used again but the file does not shrink at once.
        let high = self.policy.bytes_max / 10 * 9;
        for _ in 0..16 {
            if used_bytes(connection)? <= high {
                break;
            }
            let days = days(connection)?;
            let Some(oldest) = days.first() else {
                break;
            };
            if days.len() > 1 {
                self.drop_day(connection, oldest)?;
                continue;
            }
            let before: Option<i64> =
                connection.query_row(&format!("SELECT min(at_us) FROM {oldest}"), [], |row| {
                    row.get(0)
                })?;
            let deleted = connection.execute(
                &format!(
                    "WITH ends (low, high) AS (SELECT (SELECT min(rowid) FROM {oldest}), (SELECT max(rowid) FROM {oldest}))
                     DELETE FROM {oldest} WHERE rowid <= min(
                         (SELECT low + (high - low) / 5 FROM ends),
                         coalesce((SELECT rowid FROM {oldest} ORDER BY rowid LIMIT 1 OFFSET ?), {}))",
                    i64::MAX
                ),
                [DELETE_ROWS],
            )?;
            let after: Option<i64> =
                connection.query_row(&format!("SELECT min(at_us) FROM {oldest}"), [], |row| {
                    row.get(0)
                })?;
            if let Some(cut) = after.or(before) {
                rollups::cut(connection, cut)?;
            }
            if deleted == 0 {
                self.drop_day(connection, oldest)?;
            }
        }
        if file_bytes(connection)? > self.policy.bytes_max {
            connection.execute_batch(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        }
        Ok(())
    }

    fn drop_day(&mut self, connection: &Connection, day: &str) -> rusqlite::Result<()> {
        let newest: Option<i64> =
            connection.query_row(&format!("SELECT max(at_us) FROM {day}"), [], |row| {
                row.get(0)
            })?;
        let mut rescued = Vec::new();
        if let Some(newest) = newest {
            rollups::cut(connection, newest)?;
            let most = self.policy.bytes_max / INCIDENT_RUNS_SHARE / INCIDENT_RUN_BYTES;
            rescued = past_look::rescue(connection, day, most)?;
        }
        connection.execute_batch(&format!("DROP TABLE {day}"))?;
        // The room that they take is that of the day.
        past_look::put(connection, &rescued)?;
        self.days.remove(day);
        connection.flush_prepared_statement_cache();
        Ok(())
    }
}

/// Forgets those that were over before a time, and those beyond the bound on their number; never the newest, whose number
/// would be given again.
fn forget_incidents(connection: &Connection, over: Timestamp) -> rusqlite::Result<()> {
    let last: Option<i64> = connection
        .query_row(
            "SELECT number FROM incidents WHERE state <> 'open' ORDER BY number DESC LIMIT 1 OFFSET ?",
            [INCIDENTS_MAX],
            |row| row.get(0),
        )
        .optional()?;
    let gone =
        "SELECT number FROM incidents WHERE state <> 'open' AND (number <= ?1 OR resolved_us < ?2)
        AND number < (SELECT max(number) FROM incidents)";
    for (table, column) in [
        ("timeline", "incident"),
        ("diagnoses", "incident"),
        ("incident_runs", "incident"),
        ("threads", "incident"),
        ("storm_members", "incident"),
        ("incidents", "number"),
    ] {
        connection.execute(
            &format!("DELETE FROM {table} WHERE {column} IN ({gone})"),
            params![last.unwrap_or_default(), over.as_microsecond()],
        )?;
    }
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    connection
        .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
        .map(|value| value as u64)
}

fn file_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    Ok(pragma(connection, "page_count")? * pragma(connection, "page_size")?)
}

fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let free = pragma(connection, "freelist_count")? * pragma(connection, "page_size")?;
    Ok(file_bytes(connection)?.saturating_sub(free))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The kept part of a body, without secrets that it may echo.
fn masked(bytes: &Bytes, secrets: &Secrets) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut kept = secrets.mask_bytes(text.into()).to_vec();
    // Cut after masking: a secret cut in two would not be found.
    kept.truncate(BODY_BYTES_MAX);
    kept
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    // Writing into memory can't fail; if it did, an empty body is kept rather than none of the batch.
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .unwrap_or_default()
}
