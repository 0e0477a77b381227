//! One run with all that is kept of it, and the run of another cell that tells most beside it.

use std::io::Read as _;
use std::time::Duration;

use flate2::read::DeflateDecoder;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::place::{PLACE_MAX, row, table};
use super::runs::{self, lies_by_time};
use super::schema::days;
use crate::domain::cell::CellKey;
use crate::domain::observation::Phases;
use crate::domain::sent::Sent;
use crate::domain::verdict::Kind;

/// Runs so near have most in common.
const NEAR: SignedDuration = SignedDuration::from_mins(15);
/// Of a body; more is never kept.
const BODY_MAX: u64 = 64 << 10;

/// What is kept of one run; words are those of the store.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptRun {
    pub cell: CellKey,
    pub at: Timestamp,
    pub kind: Kind,
    pub maker: String,
    /// `schedule`, `confirm` and so on.
    pub purpose: String,
    /// How long after its time it began.
    pub late: Duration,
    pub took: Duration,
    pub phases: Phases,
    pub status: Option<u16>,
    pub remote: Option<String>,
    /// The phase in which it failed, and how.
    pub failure: Option<String>,
    pub vendor: Option<String>,
    pub rule: Option<String>,
    pub code: Option<String>,
    pub reference_id: Option<String>,
    pub body_sha256: Option<String>,
    /// What its request looked like from outside.
    pub sent: Option<Sent>,
}

const COLUMNS: &str =
    "at_us, kind, maker, purpose, late_us, took_us, dns_us, connect_us, tls_us, first_byte_us,
     transfer_us, status, remote, failure, vendor, rule, code, reference_id, body_sha256, cell,
     (SELECT document FROM sent WHERE sent.id = sent)";

/// The run of a cell that began at this microsecond; `None`: there is none, or it is no longer kept.
pub(super) fn find(
    connection: &Connection,
    cell: &CellKey,
    at: Timestamp,
) -> rusqlite::Result<Option<KeptRun>> {
    let ids = runs::ids(connection, std::slice::from_ref(cell))?;
    let (day, Some(id)) = (table(at), ids.keys().next()) else {
        return Ok(None);
    };
    if !days(connection)?.contains(&day) {
        return Ok(None);
    }
    let (first, last) = rows(connection, &day, at, at)?;
    let found = connection
        .prepare(&format!(
            "SELECT {COLUMNS} FROM {day} WHERE rowid BETWEEN ? AND ? AND at_us = ? AND cell = ? LIMIT 1"
        ))?
        .query_row(params![first, last, at.as_microsecond(), id], |found| {
            kept(found, cell.clone())
        })
        .optional()?;
    Ok(found.flatten())
}

/// The run of another cell of the same probe, about the same time, that ended the other way and has most in common.
pub(super) fn beside(connection: &Connection, run: &KeptRun) -> rusqlite::Result<Option<KeptRun>> {
    let cells = runs::cells(connection)?;
    let cells: Vec<CellKey> = cells
        .into_iter()
        .filter(|cell| cell.probe == run.cell.probe && *cell != run.cell)
        .collect();
    let ids = runs::ids(connection, &cells)?;
    let (from, until) = (
        run.at.checked_sub(NEAR).unwrap_or(run.at),
        run.at.checked_add(NEAR).unwrap_or(run.at),
    );
    let mut best: Option<((usize, i64), KeptRun)> = None;
    for day in days(connection)? {
        if day < table(from) || day > table(until) {
            continue;
        }
        let (first, last) = rows(connection, &day, from, until)?;
        let mut statement = connection.prepare(&format!(
            "SELECT {COLUMNS} FROM {day} NOT INDEXED WHERE rowid BETWEEN ? AND ? AND at_us BETWEEN ? AND ?"
        ))?;
        let span = params![first, last, from.as_microsecond(), until.as_microsecond()];
        let mut found = statement.query(span)?;
        while let Some(found) = found.next()? {
            let Some(cell) = ids.get(&found.get(19)?) else {
                continue;
            };
            let Some(other) = kept(found, cell.clone())? else {
                continue;
            };
            let away = other.at.duration_since(run.at).abs().as_millis() as i64;
            let rank = (differing(cell, &run.cell), away);
            let nearer = best.as_ref().is_none_or(|(known, _)| rank < *known);
            if other.kind.works() != run.kind.works() && nearer {
                best = Some((rank, other));
            }
        }
    }
    Ok(best.map(|(_, run)| run))
}

/// In how many factors two cells differ.
fn differing(one: &CellKey, other: &CellKey) -> usize {
    usize::from(one.egress != other.egress)
        + usize::from(one.client != other.client)
        + usize::from(one.credential != other.credential)
}

/// The rows of a day in which runs between two times lie.
fn rows(
    connection: &Connection,
    day: &str,
    from: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<(i64, i64)> {
    Ok(if lies_by_time(connection, day)? {
        (row(from, 0), row(until, PLACE_MAX))
    } else {
        (i64::MIN, i64::MAX)
    })
}

/// `None` for one that a newer program wrote in words unknown here.
fn kept(found: &Row<'_>, cell: CellKey) -> rusqlite::Result<Option<KeptRun>> {
    let kind: String = found.get(1)?;
    let Some(kind) = Kind::from_word(&kind) else {
        return Ok(None);
    };
    let time = |place| -> rusqlite::Result<Option<Duration>> {
        let us: Option<i64> = found.get(place)?;
        Ok(us.map(|us| Duration::from_micros(us.unsigned_abs())))
    };
    Ok(Some(KeptRun {
        cell,
        at: Timestamp::from_microsecond(found.get(0)?).unwrap_or(Timestamp::MIN),
        kind,
        maker: found.get(2)?,
        purpose: found.get(3)?,
        late: time(4)?.unwrap_or_default(),
        took: time(5)?.unwrap_or_default(),
        phases: Phases {
            dns: time(6)?,
            connect: time(7)?,
            tls: time(8)?,
            first_byte: time(9)?,
            transfer: time(10)?,
        },
        status: found.get(11)?,
        remote: found.get(12)?,
        failure: found.get(13)?,
        vendor: found.get(14)?,
        rule: found.get(15)?,
        code: found.get(16)?,
        reference_id: found.get(17)?,
        body_sha256: found.get(18)?,
        // What a later program wrote in another form is left out.
        sent: found
            .get::<_, Option<String>>(20)?
            .and_then(|text| serde_json::from_str(&text).ok()),
    }))
}

/// The kept part of a body, secrets masked; `None`: it is not kept.
pub(super) fn body(connection: &Connection, sha256: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let deflated: Option<Vec<u8>> = connection
        .prepare_cached("SELECT deflated FROM bodies WHERE sha256 = ?")?
        .query_row([sha256], |row| row.get(0))
        .optional()?;
    Ok(deflated.map(|deflated| {
        let mut body = Vec::new();
        // What is damaged is shown as far as it goes.
        let _ = DeflateDecoder::new(deflated.as_slice())
            .take(BODY_MAX)
            .read_to_end(&mut body);
        body
    }))
}
