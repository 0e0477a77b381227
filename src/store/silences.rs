//! Silences, notes, and wishes on their way: what people ask for, by a button or from another process.
//!
//! A note stands in the timeline at once: it changes nothing. A silence is in force by standing here. An acknowledgement is the daemon's to apply, because incidents
//! have one writer, and so is a round beyond the schedule; until then it waits, over a restart too.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::error::Fault;
use super::place::table;
use super::schema::days;
use super::{document, incidents};
use crate::domain::cell::{CellKey, CredentialName, ProbeName};
use crate::domain::incident::{Acknowledged, Care, TimelineEntry};
use crate::domain::mute::{Ended, SILENCES_MAX, Silence};

/// What is over is kept as long as days are counted, for people who ask what was muted.
const KEPT: Duration = Duration::from_secs(super::rollups::YEAR_DAYS as u64 * 24 * 3600);
/// Acknowledgements that may wait for a daemon.
const ASKS_MAX: i64 = 1_000;

/// Requests of other processes are counted for a day.
const SPENT_KEPT: Duration = Duration::from_secs(2 * 24 * 3600);

/// Notes of one incident.
const NOTES_MAX: i64 = 1_000;

/// Something that waits for the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub id: i64,
    pub wanted: Wanted,
}

/// What a person wants of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Somebody looks after an incident, or no longer.
    Care { incident: u64, care: Care },
    /// Every cell of these probes is to be run now, as soon as politeness allows.
    Round { probes: Vec<ProbeName>, who: String },
    /// These cells are.
    Cells { cells: Vec<CellKey>, who: String },
    /// A message waits again that was given up.
    Again,
    /// Nothing: so many requests were made with a credential, which count.
    Spent {
        credential: CredentialName,
        requests: u32,
    },
}

/// Keeps a silence and gives it its number; forgets those that are long over.
pub(super) fn add(transaction: &Transaction<'_>, mut silence: Silence) -> Result<Silence, Fault> {
    let in_force: i64 = transaction.query_row(
        "SELECT count(*) FROM silences WHERE ended = 0 AND until_us > ?",
        [silence.from.as_microsecond()],
        |row| row.get(0),
    )?;
    if in_force >= SILENCES_MAX as i64 {
        return Err(Fault::Refused(format!(
            "{in_force} silences are in force; end some first"
        )));
    }
    let old = silence.from.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
    transaction.execute(
        "DELETE FROM silences WHERE until_us < ?",
        [old.as_microsecond()],
    )?;
    transaction.execute(
        "INSERT INTO silences (until_us, ended, version, document) VALUES (?, 0, ?, ?)",
        params![
            silence.until.as_microsecond(),
            document::VERSION,
            document::write(&silence)?
        ],
    )?;
    silence.number = transaction.last_insert_rowid() as u64;
    Ok(silence)
}

/// Ends a silence and returns it as it is then; one that was over stays as it was. `None`: there is none.
pub(super) fn end(
    transaction: &Transaction<'_>,
    number: u64,
    ended: Ended,
) -> Result<Option<Silence>, Fault> {
    let found = query(
        transaction,
        "SELECT number, version, document FROM silences WHERE number = ?",
        number as i64,
    )?;
    let Some(mut silence) = found.into_iter().next() else {
        return Ok(None);
    };
    if silence.holds(ended.at) {
        silence.ended = Some(ended);
        transaction.execute(
            "UPDATE silences SET ended = 1, version = ?, document = ? WHERE number = ?",
            params![document::VERSION, document::write(&silence)?, number as i64],
        )?;
    }
    Ok(Some(silence))
}

/// Those in force, by number.
pub(super) fn in_force(connection: &Connection, now: Timestamp) -> Result<Vec<Silence>, Fault> {
    query(
        connection,
        "SELECT number, version, document FROM silences WHERE ended = 0 AND until_us > ? ORDER BY number",
        now.as_microsecond(),
    )
}

/// All that are kept, by number.
pub(super) fn all(connection: &Connection) -> Result<Vec<Silence>, Fault> {
    query(
        connection,
        "SELECT number, version, document FROM silences WHERE number >= ? ORDER BY number",
        0,
    )
}

fn query(connection: &Connection, sql: &str, value: i64) -> Result<Vec<Silence>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([value])?;
    let mut silences = Vec::new();
    while let Some(row) = rows.next()? {
        let (number, text): (i64, String) = (row.get(0)?, row.get(2)?);
        let silence = document::read(row.get(1)?, &text).map_err(|why| Fault::Unreadable {
            what: format!("silence {number}"),
            why,
        })?;
        silences.push(Silence {
            number: number as u64,
            ..silence
        });
    }
    Ok(silences)
}

/// Leaves something for the daemon; its id.
pub(super) fn ask(
    transaction: &Transaction<'_>,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<i64, Fault> {
    let waiting: i64 = transaction.query_row(
        "SELECT count(*) FROM asks WHERE answer IS NULL AND what <> 'spent'",
        [],
        |row| row.get(0),
    )?;
    if waiting >= ASKS_MAX {
        return Err(Fault::Refused(format!(
            "{waiting} already wait for the daemon"
        )));
    }
    let old = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
    transaction.execute(
        "DELETE FROM asks WHERE answer IS NOT NULL AND at_us < ?",
        [old.as_microsecond()],
    )?;
    // Where no daemon runs nobody answers.
    let spent = now.checked_sub(SPENT_KEPT).unwrap_or(Timestamp::MIN);
    transaction.execute(
        "DELETE FROM asks WHERE what = 'spent' AND at_us < ?",
        [spent.as_microsecond()],
    )?;
    let (what, incident, at, who, released, thing) = match wanted {
        Wanted::Care { incident, care } => {
            let by = care.by();
            let released = matches!(care, Care::Released(_));
            (
                "care",
                *incident,
                by.at,
                by.by.clone(),
                released,
                String::new(),
            )
        }
        Wanted::Round { probes, who } => {
            let probes = document::write(probes)?;
            ("round", 0, now, who.clone(), false, probes)
        }
        Wanted::Cells { cells, who } => {
            let cells = document::write(cells)?;
            ("cells", 0, now, who.clone(), false, cells)
        }
        Wanted::Again => ("again", 0, now, String::new(), false, String::new()),
        Wanted::Spent {
            credential,
            requests,
        } => {
            let name = credential.to_string();
            (
                "spent",
                u64::from(*requests),
                now,
                String::new(),
                false,
                name,
            )
        }
    };
    transaction.execute(
        "INSERT INTO asks (at, at_us, incident, who, released, what, thing) VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            at.to_string(),
            at.as_microsecond(),
            incident as i64,
            who,
            released,
            what,
            thing
        ],
    )?;
    Ok(transaction.last_insert_rowid())
}

/// What waits, of that with an id above `after`, oldest first.
pub(super) fn asks(connection: &Connection, after: i64) -> rusqlite::Result<Vec<Ask>> {
    connection
        .prepare_cached(
            "SELECT id, at_us, incident, who, released, what, thing FROM asks WHERE answer IS NULL AND id > ? ORDER BY id",
        )?
        .query_map([after], |row| {
            let (who, what, thing): (String, String, String) =
                (row.get(3)?, row.get(5)?, row.get(6)?);
            let wanted = match what.as_str() {
                "round" => Wanted::Round {
                    probes: serde_json::from_str(&thing).unwrap_or_default(),
                    who,
                },
                "cells" => Wanted::Cells {
                    cells: serde_json::from_str(&thing).unwrap_or_default(),
                    who,
                },
                "again" => Wanted::Again,
                "spent" => Wanted::Spent {
                    credential: CredentialName::new(&thing),
                    requests: row.get(2)?,
                },
                _ => {
                    let by = Acknowledged {
                        at: Timestamp::from_microsecond(row.get(1)?).unwrap_or_default(),
                        by: who,
                    };
                    Wanted::Care {
                        incident: row.get::<_, i64>(2)? as u64,
                        care: if row.get(4)? {
                            Care::Released(by)
                        } else {
                            Care::Taken(by)
                        },
                    }
                }
            };
            Ok(Ask {
                id: row.get(0)?,
                wanted,
            })
        })?
        .collect()
}

/// When requests with each credential were made since a time, by the daemon and by others; `answered`: of the latter only
/// those that a daemon has counted.
pub(super) fn spent(
    connection: &Connection,
    since: Timestamp,
    answered: bool,
) -> rusqlite::Result<Vec<(CredentialName, Timestamp)>> {
    let mut found = Vec::new();
    let (time, first) = (since.as_microsecond(), table(since));
    let mut read = |sql: &str| -> rusqlite::Result<()> {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([time])?;
        while let Some(row) = rows.next()? {
            let (name, at, count): (String, i64, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let at = Timestamp::from_microsecond(at).unwrap_or(since);
            let one = (CredentialName::new(&name), at);
            found.extend(std::iter::repeat_n(one, count as usize));
        }
        Ok(())
    };
    for day in days(connection)?.into_iter().filter(|day| *day >= first) {
        read(&format!(
            "SELECT credential, at_us, 1 FROM {day} JOIN cells ON cells.id = cell WHERE at_us >= ? AND credential <> 'anonymous'"
        ))?;
    }
    let counted = if answered {
        " AND answer IS NOT NULL"
    } else {
        ""
    };
    read(&format!(
        "SELECT thing, at_us, incident FROM asks WHERE at_us >= ? AND what = 'spent'{counted}"
    ))?;
    Ok(found)
}

/// Writes an entry into the timeline of an incident; the number of notes that it has by now is bounded.
pub(super) fn note(
    transaction: &Transaction<'_>,
    incident: u64,
    entry: &TimelineEntry,
) -> Result<(), Fault> {
    let notes: i64 = transaction.query_row(
        "SELECT count(*) FROM timeline WHERE incident = ? AND what = ?",
        params![incident as i64, entry.what.as_str()],
        |row| row.get(0),
    )?;
    if notes >= NOTES_MAX {
        return Err(Fault::Refused(format!(
            "INC-{incident} has {notes} notes already"
        )));
    }
    incidents::add(transaction, incident, entry)
}

pub(super) fn answer(transaction: &Transaction<'_>, id: i64, answer: &str) -> rusqlite::Result<()> {
    transaction
        .execute(
            "UPDATE asks SET answer = ? WHERE id = ?",
            params![answer, id],
        )
        .map(drop)
}

/// What the daemon said to it; `None`: nothing yet.
pub(super) fn answered(connection: &Connection, id: i64) -> rusqlite::Result<Option<String>> {
    connection
        .query_row("SELECT answer FROM asks WHERE id = ?", [id], |row| {
            row.get(0)
        })
        .optional()
        .map(Option::flatten)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::cell::{ClientName, EgressName};
    use crate::domain::mute::Matcher;
    use crate::domain::verdict::Kind;

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
            let written = document::write(&silence).unwrap();
            prop_assert_eq!(document::read::<Silence>(document::VERSION, &written).unwrap(), silence);
        }
    }
}
