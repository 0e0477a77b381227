//! The files that were in force, one after the other, so that one sees what was another then.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

/// Files that are kept; the oldest go.
const KEPT_MAX: i64 = 50;

/// A file that was in force from a time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Counted over all starts; older ones have smaller numbers.
    pub number: u64,
    /// When it was taken.
    pub at: Timestamp,
    /// What it changed, by parts of the file; empty: it was the first.
    pub changes: Vec<String>,
}

/// Keeps a file, unless it is the one before once more; `text` holds no secrets.
pub(super) fn keep(
    connection: &Connection,
    at: Timestamp,
    text: &str,
    changes: &[String],
) -> rusqlite::Result<()> {
    let last: Option<String> = connection
        .query_row(
            "SELECT text FROM plans ORDER BY number DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()?;
    if last.as_deref() == Some(text) {
        return Ok(());
    }
    let changes = serde_json::to_string(changes).unwrap_or_default();
    connection.execute(
        "INSERT INTO plans (at_us, changes, text) VALUES (?, ?, ?)",
        params![at.as_microsecond(), changes, text],
    )?;
    connection.execute(
        "DELETE FROM plans WHERE number NOT IN (SELECT number FROM plans ORDER BY number DESC LIMIT ?)",
        [KEPT_MAX],
    )?;
    Ok(())
}

/// Those that are kept, newest first.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Generation>> {
    connection
        .prepare_cached("SELECT number, at_us, changes FROM plans ORDER BY number DESC")?
        .query_map([], |row| {
            let changes: String = row.get(2)?;
            Ok(Generation {
                number: row.get::<_, i64>(0)?.unsigned_abs(),
                at: Timestamp::from_microsecond(row.get(1)?).unwrap_or_default(),
                changes: serde_json::from_str(&changes).unwrap_or_default(),
            })
        })?
        .collect()
}

/// The text of one, and that of the one before it; `None`: it is not kept.
pub(super) fn texts(
    connection: &Connection,
    number: u64,
) -> rusqlite::Result<Option<(String, Option<String>)>> {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "SELECT number, text FROM plans WHERE number <= ? ORDER BY number DESC LIMIT 2",
    )?;
    let found = statement.query_map([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut found = found
        .collect::<rusqlite::Result<Vec<(i64, String)>>>()?
        .into_iter();
    let own = found.next().filter(|(own, _)| *own == number);
    Ok(own.map(|(_, text)| (text, found.next().map(|(_, text)| text))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    #[test]
    fn the_last_files_are_kept_and_the_same_twice_is_one() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let changes = ["probes: b added".to_owned()];
        keep(&connection, at(0), "a", &[]).unwrap();
        keep(&connection, at(1), "a", &[]).unwrap();
        keep(&connection, at(2), "b", &changes).unwrap();
        let found = all(&connection).unwrap();
        let known = |it: &Generation| (it.number, it.at, it.changes.clone());
        assert_eq!(
            found.iter().map(known).collect::<Vec<_>>(),
            [(2, at(2), changes.to_vec()), (1, at(0), Vec::new())]
        );
        let text = |number| texts(&connection, number).unwrap();
        assert_eq!(text(2), Some(("b".to_owned(), Some("a".to_owned()))));
        assert_eq!(text(1), Some(("a".to_owned(), None)));
        assert_eq!((text(0), text(3)), (None, None));
        for more in 3..70 {
            keep(&connection, at(more), &more.to_string(), &[]).unwrap();
        }
        assert_eq!(all(&connection).unwrap().len(), 50);
    }
}
