//! Silences, and acknowledgements on their way: what people ask for, by a button or from another process.
//!
//! A silence is in force by standing here. An acknowledgement is the daemon's to apply, because incidents
//! have one writer; until then it waits, over a restart too.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use crate::domain::cell::{ClientName, EgressName, ProbeName};
use crate::domain::incident::Acknowledged;
use crate::domain::mute::{Ended, Matcher, SILENCES_MAX, Silence};
use crate::domain::verdict::Kind;

/// Shape of the document below.
const VERSION: i64 = 1;
/// What is over is kept this long, for people who ask what was muted.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Acknowledgements that may wait for a daemon.
const ASKS_MAX: i64 = 1_000;

/// An acknowledgement that waits for the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub id: i64,
    pub incident: u64,
    pub by: Acknowledged,
}

#[derive(Serialize, Deserialize)]
struct SilenceDoc {
    incidents: Vec<u64>,
    probes: Vec<String>,
    egresses: Vec<String>,
    clients: Vec<String>,
    kinds: Vec<String>,
    from: String,
    until: String,
    by: String,
    why: Option<String>,
    /// `(at, by)`.
    ended: Option<(String, String)>,
}

fn write(silence: &Silence) -> Result<String, String> {
    fn texts<T: ToString>(names: &[T]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }
    let Matcher {
        incidents,
        probes,
        egresses,
        clients,
        kinds,
    } = &silence.matcher;
    let doc = SilenceDoc {
        incidents: incidents.clone(),
        probes: texts(probes),
        egresses: texts(egresses),
        clients: texts(clients),
        kinds: texts(kinds),
        from: silence.from.to_string(),
        until: silence.until.to_string(),
        by: silence.by.clone(),
        why: silence.why.clone(),
        ended: silence
            .ended
            .as_ref()
            .map(|ended| (ended.at.to_string(), ended.by.clone())),
    };
    serde_json::to_string(&doc).map_err(|e| e.to_string())
}

fn read(number: u64, version: i64, text: &str) -> Result<Silence, String> {
    if version != VERSION {
        return Err(format!(
            "it has shape {version}, this edgewatch knows {VERSION}"
        ));
    }
    let doc: SilenceDoc = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let at = |text: &str| {
        text.parse::<Timestamp>()
            .map_err(|e| format!("{text:?} is no instant: {e}"))
    };
    let kind = |text: &String| {
        Kind::from_word(text).ok_or_else(|| format!("{text:?} is no verdict of this version"))
    };
    let ended = |(when, by): (String, String)| Ok::<_, String>(Ended { at: at(&when)?, by });
    Ok(Silence {
        number,
        matcher: Matcher {
            incidents: doc.incidents,
            probes: doc.probes.iter().map(|n| ProbeName::new(n)).collect(),
            egresses: doc.egresses.iter().map(|n| EgressName::new(n)).collect(),
            clients: doc.clients.iter().map(|n| ClientName::new(n)).collect(),
            kinds: doc.kinds.iter().map(kind).collect::<Result<_, _>>()?,
        },
        from: at(&doc.from)?,
        until: at(&doc.until)?,
        by: doc.by,
        why: doc.why,
        ended: doc.ended.map(ended).transpose()?,
    })
}

/// Keeps a silence and gives it its number; forgets those that are long over.
pub(super) fn add(
    transaction: &Transaction<'_>,
    path: &Path,
    mut silence: Silence,
) -> Result<Silence, StoreError> {
    let doing = "keep a silence";
    let error = |e: rusqlite::Error| StoreError::from_sqlite(path, doing, &e);
    let io = |why: String| StoreError::Io {
        path: path.to_owned(),
        doing,
        why,
    };
    let in_force: i64 = transaction
        .query_row(
            "SELECT count(*) FROM silences WHERE ended = 0 AND until_us > ?",
            [silence.from.as_microsecond()],
            |row| row.get(0),
        )
        .map_err(error)?;
    if in_force >= SILENCES_MAX as i64 {
        return Err(io(format!(
            "{in_force} silences are in force; end some first"
        )));
    }
    let old = silence.from.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
    transaction
        .execute(
            "DELETE FROM silences WHERE until_us < ?",
            [old.as_microsecond()],
        )
        .map_err(error)?;
    let document = write(&silence).map_err(io)?;
    transaction
        .execute(
            "INSERT INTO silences (until_us, ended, version, document) VALUES (?, 0, ?, ?)",
            params![silence.until.as_microsecond(), VERSION, document],
        )
        .map_err(error)?;
    silence.number = transaction.last_insert_rowid() as u64;
    Ok(silence)
}

/// Ends a silence and returns it as it is then; one that was over stays as it was. `None`: there is none.
pub(super) fn end(
    transaction: &Transaction<'_>,
    path: &Path,
    number: u64,
    ended: Ended,
) -> Result<Option<Silence>, StoreError> {
    let doing = "end a silence";
    let error = |e: rusqlite::Error| StoreError::from_sqlite(path, doing, &e);
    let found = query(
        transaction,
        path,
        "SELECT number, version, document FROM silences WHERE number = ?",
        number as i64,
    )?;
    let Some(mut silence) = found.into_iter().next() else {
        return Ok(None);
    };
    if silence.holds(ended.at) {
        silence.ended = Some(ended);
        let document = write(&silence).map_err(|why| StoreError::Io {
            path: path.to_owned(),
            doing,
            why,
        })?;
        transaction
            .execute(
                "UPDATE silences SET ended = 1, version = ?, document = ? WHERE number = ?",
                params![VERSION, document, number as i64],
            )
            .map_err(error)?;
    }
    Ok(Some(silence))
}

/// Those in force, by number.
pub(super) fn in_force(
    connection: &Connection,
    path: &Path,
    now: Timestamp,
) -> Result<Vec<Silence>, StoreError> {
    query(
        connection,
        path,
        "SELECT number, version, document FROM silences WHERE ended = 0 AND until_us > ? ORDER BY number",
        now.as_microsecond(),
    )
}

/// All that are kept, by number.
pub(super) fn all(connection: &Connection, path: &Path) -> Result<Vec<Silence>, StoreError> {
    query(
        connection,
        path,
        "SELECT number, version, document FROM silences WHERE number >= ? ORDER BY number",
        0,
    )
}

fn query(
    connection: &Connection,
    path: &Path,
    sql: &str,
    value: i64,
) -> Result<Vec<Silence>, StoreError> {
    let error = |e: rusqlite::Error| StoreError::from_sqlite(path, "read silences", &e);
    let mut statement = connection.prepare_cached(sql).map_err(error)?;
    let rows = statement
        .query_map([value], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, String>(2)?,
            ))
        })
        .map_err(error)?;
    rows.map(|row| {
        let (number, version, text) = row.map_err(error)?;
        read(number as u64, version, &text).map_err(|why| StoreError::Unreadable {
            path: path.to_owned(),
            what: format!("silence {number}"),
            why,
        })
    })
    .collect()
}

/// Leaves an acknowledgement for the daemon; its id.
pub(super) fn ask(
    transaction: &Transaction<'_>,
    path: &Path,
    incident: u64,
    by: &Acknowledged,
) -> Result<i64, StoreError> {
    let doing = "keep an acknowledgement";
    let error = |e: rusqlite::Error| StoreError::from_sqlite(path, doing, &e);
    let waiting: i64 = transaction
        .query_row(
            "SELECT count(*) FROM asks WHERE answer IS NULL",
            [],
            |row| row.get(0),
        )
        .map_err(error)?;
    if waiting >= ASKS_MAX {
        return Err(StoreError::Io {
            path: path.to_owned(),
            doing,
            why: format!("{waiting} already wait for the daemon"),
        });
    }
    let old = by.at.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
    transaction
        .execute(
            "DELETE FROM asks WHERE answer IS NOT NULL AND at_us < ?",
            [old.as_microsecond()],
        )
        .map_err(error)?;
    transaction
        .execute(
            "INSERT INTO asks (at, at_us, incident, who) VALUES (?, ?, ?, ?)",
            params![
                by.at.to_string(),
                by.at.as_microsecond(),
                incident as i64,
                by.by
            ],
        )
        .map_err(error)?;
    Ok(transaction.last_insert_rowid())
}

/// Acknowledgements that wait, of those with an id above `after`, oldest first.
pub(super) fn asks(
    connection: &Connection,
    path: &Path,
    after: i64,
) -> Result<Vec<Ask>, StoreError> {
    let error = |e: rusqlite::Error| StoreError::from_sqlite(path, "read acknowledgements", &e);
    let mut statement = connection
        .prepare_cached(
            "SELECT id, at_us, incident, who FROM asks WHERE answer IS NULL AND id > ? ORDER BY id",
        )
        .map_err(error)?;
    let rows = statement
        .query_map([after], |row| {
            let at: i64 = row.get(1)?;
            Ok(Ask {
                id: row.get(0)?,
                incident: row.get::<_, i64>(2)? as u64,
                by: Acknowledged {
                    at: Timestamp::from_microsecond(at).unwrap_or_default(),
                    by: row.get(3)?,
                },
            })
        })
        .map_err(error)?;
    rows.collect::<Result<_, _>>().map_err(error)
}

pub(super) fn answer(
    transaction: &Transaction<'_>,
    path: &Path,
    id: i64,
    answer: &str,
) -> Result<(), StoreError> {
    transaction
        .execute(
            "UPDATE asks SET answer = ? WHERE id = ?",
            params![answer, id],
        )
        .map(drop)
        .map_err(|e| StoreError::from_sqlite(path, "answer an acknowledgement", &e))
}

/// What the daemon said to it; `None`: nothing yet.
pub(super) fn answered(
    connection: &Connection,
    path: &Path,
    id: i64,
) -> Result<Option<String>, StoreError> {
    connection
        .query_row("SELECT answer FROM asks WHERE id = ?", [id], |row| {
            row.get(0)
        })
        .optional()
        .map(Option::flatten)
        .map_err(|e| StoreError::from_sqlite(path, "read an acknowledgement", &e))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_silence_is_read_as_it_was_written(
            incidents in proptest::collection::vec(0..u64::MAX, 0..3),
            names in proptest::collection::vec("[a-z.-]{1,9}", 0..3),
            kinds in proptest::collection::vec(proptest::sample::select(Kind::ALL), 0..3),
            (from, until) in (0i64..4_000_000_000, 0i64..4_000_000_000),
            (by, why) in (".{0,9}", proptest::option::of(".{0,9}")),
            over in proptest::option::of((0i64..4_000_000_000, ".{0,9}")),
        ) {
            let at = |second| Timestamp::from_second(second).unwrap();
            let silence = Silence {
                number: 7,
                matcher: Matcher {
                    incidents,
                    probes: names.iter().map(|n| ProbeName::new(n)).collect(),
                    egresses: names.iter().map(|n| EgressName::new(n)).collect(),
                    clients: names.iter().map(|n| ClientName::new(n)).collect(),
                    kinds,
                },
                from: at(from),
                until: at(until),
                by,
                why,
                ended: over.map(|(second, by)| Ended { at: at(second), by }),
            };
            prop_assert_eq!(read(7, VERSION, &write(&silence).unwrap()).unwrap(), silence);
        }
    }
}
