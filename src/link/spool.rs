//! What a site has seen and the hub has not yet: batches on the disk, until they are acknowledged.
//!
//! Every batch goes through it, link or no link, so a cut and a crash find it in the same state. It is bounded by bytes
//! and by age; at a bound the oldest goes, and the runs in it are counted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::wire::batch::Closed;

/// How much it may hold.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Of loads, packed.
    pub bytes: u64,
    /// Since the last run of a batch ended.
    pub age: Duration,
}

impl Default for Bounds {
    /// A day, and what a site of a thousand runs a minute sees in a week.
    fn default() -> Self {
        Self {
            bytes: 512 << 20,
            age: Duration::from_secs(24 * 3600),
        }
    }
}

/// Batches that wait.
#[derive(Debug)]
pub struct Spool {
    connection: Connection,
    path: PathBuf,
    bounds: Bounds,
    state: Waiting,
}

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    pub batches: u64,
    pub runs: u64,
    pub bytes: u64,
    /// Runs that were dropped at a bound, since the spool was made.
    pub dropped: u64,
}

/// A batch as it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Grows with each batch.
    pub id: i64,
    pub boot: u64,
    pub seq: u64,
    pub generation: u64,
    pub closed: Closed,
}

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    boot INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    load BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS counts (dropped INTEGER NOT NULL) STRICT;
INSERT INTO counts SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counts);
";

/// Format of the file.
const FORMAT: i64 = 1;

impl Spool {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// A sentence: the folder can't be written, another agent has the file, a newer version wrote it.
    pub fn open(path: &Path, bounds: Bounds) -> Result<Self, String> {
        let say = |e: rusqlite::Error| format!("can't use the spool {}: {e}", path.display());
        let connection = Connection::open(path).map_err(say)?;
        connection
            .busy_timeout(Duration::from_millis(100))
            .map_err(say)?;
        // One agent, one spool: the lock is held as long as it is open.
        connection
            .execute_batch(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
            )
            .map_err(|e| match e.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DatabaseBusy) => format!(
                    "another agent uses the spool {}; stop it, or name another folder with --data",
                    path.display()
                ),
                _ => say(e),
            })?;
        let format: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(say)?;
        if format > FORMAT {
            return Err(format!(
                "a newer edgewatch wrote the spool {} (format {format}, this one reads {FORMAT}); upgrade this one",
                path.display()
            ));
        }
        connection.execute_batch(TABLES).map_err(say)?;
        connection
            .pragma_update(None, "user_version", FORMAT)
            .map_err(say)?;
        let state = connection
            .query_row(
                "SELECT count(*), coalesce(sum(runs), 0), coalesce(sum(length(load)), 0), (SELECT dropped FROM counts)
                 FROM batches",
                [],
                |row| {
                    Ok(Waiting {
                        batches: row.get::<_, i64>(0)? as u64,
                        runs: row.get::<_, i64>(1)? as u64,
                        bytes: row.get::<_, i64>(2)? as u64,
                        dropped: row.get::<_, i64>(3)? as u64,
                    })
                },
            )
            .map_err(say)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            bounds,
            state,
        })
    }

    #[must_use]
    pub fn waiting(&self) -> Waiting {
        self.state
    }

    /// Puts a batch at the end; drops the oldest beyond the bounds.
    ///
    /// # Errors
    /// A sentence when the disk does not take it; its runs are lost then, and counted.
    pub fn push(
        &mut self,
        boot: u64,
        seq: u64,
        generation: u64,
        closed: &Closed,
        now: Timestamp,
    ) -> Result<(), String> {
        let written = self.put(boot, seq, generation, closed);
        let bounded = written.and_then(|()| self.drop_oldest(now));
        bounded.map_err(|e| {
            self.state.dropped += closed.runs as u64;
            format!("can't write the spool {}: {e}", self.path.display())
        })
    }

    fn put(
        &mut self,
        boot: u64,
        seq: u64,
        generation: u64,
        closed: &Closed,
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO batches (boot, seq, generation, runs, first_us, last_us, load) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                boot.cast_signed(),
                seq.cast_signed(),
                generation.cast_signed(),
                closed.runs as i64,
                closed.first.as_microsecond(),
                closed.last.as_microsecond(),
                closed.load,
            ])?;
        self.state.batches += 1;
        self.state.runs += closed.runs as u64;
        self.state.bytes += closed.load.len() as u64;
        Ok(())
    }

    fn drop_oldest(&mut self, now: Timestamp) -> rusqlite::Result<()> {
        let oldest = now
            .checked_sub(self.bounds.age)
            .unwrap_or(Timestamp::MIN)
            .as_microsecond();
        loop {
            let first = self
                .connection
                .prepare_cached("SELECT id, runs, last_us FROM batches ORDER BY id LIMIT 1")?
                .query_row([], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get(2)?))
                })
                .optional()?;
            let Some((id, runs, last_us)) = first else {
                return Ok(());
            };
            let last_us: i64 = last_us;
            if self.state.bytes <= self.bounds.bytes && last_us >= oldest {
                return Ok(());
            }
            self.connection
                .prepare_cached("UPDATE counts SET dropped = dropped + ?")?
                .execute([runs])?;
            self.state.dropped += runs as u64;
            self.remove(id)?;
        }
    }

    fn remove(&mut self, id: i64) -> rusqlite::Result<()> {
        let gone = self
            .connection
            .prepare_cached("DELETE FROM batches WHERE id = ? RETURNING runs, length(load)")?
            .query_row([id], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })
            .optional()?;
        if let Some((runs, bytes)) = gone {
            self.state.batches -= 1;
            self.state.runs -= runs as u64;
            self.state.bytes -= bytes as u64;
        }
        Ok(())
    }

    /// The batch after the one with this id; 0: the oldest.
    ///
    /// # Errors
    /// A sentence when the disk can't be read.
    pub fn after(&self, id: i64) -> Result<Option<Kept>, String> {
        let read = || {
            self.connection
                .prepare_cached(
                    "SELECT id, boot, seq, generation, runs, first_us, last_us, load FROM batches
                     WHERE id > ? ORDER BY id LIMIT 1",
                )?
                .query_row([id], |row| {
                    let at = |us: i64| Timestamp::from_microsecond(us).unwrap_or_default();
                    Ok(Kept {
                        id: row.get(0)?,
                        boot: row.get::<_, i64>(1)?.cast_unsigned(),
                        seq: row.get::<_, i64>(2)?.cast_unsigned(),
                        generation: row.get::<_, i64>(3)?.cast_unsigned(),
                        closed: Closed {
                            runs: row.get::<_, i64>(4)? as usize,
                            first: at(row.get(5)?),
                            last: at(row.get(6)?),
                            load: row.get(7)?,
                        },
                    })
                })
                .optional()
        };
        read().map_err(|e| format!("can't read the spool {}: {e}", self.path.display()))
    }

    /// The least number of a start that still waits; `None`: none does.
    #[must_use]
    pub fn least(&self, boot: u64) -> Option<u64> {
        let least = self
            .connection
            .prepare_cached("SELECT min(seq) FROM batches WHERE boot = ?")
            .and_then(|mut ask| {
                ask.query_row([boot.cast_signed()], |row| row.get::<_, Option<i64>>(0))
            });
        least.ok().flatten().map(i64::cast_unsigned)
    }

    /// It is stored at the hub's side.
    ///
    /// # Errors
    /// A sentence when the disk does not take it; the batch is sent again some day, and dropped there.
    pub fn done(&mut self, id: i64) -> Result<(), String> {
        self.remove(id)
            .map_err(|e| format!("can't write the spool {}: {e}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn batch(runs: usize, bytes: usize, second: i64) -> Closed {
        Closed {
            load: vec![7; bytes],
            runs,
            first: at(second),
            last: at(second),
        }
    }

    fn seqs(spool: &Spool) -> Vec<u64> {
        let mut found = Vec::new();
        let mut last = 0;
        while let Some(kept) = spool.after(last).unwrap() {
            last = kept.id;
            found.push(kept.seq);
        }
        found
    }

    #[test]
    fn what_waits_is_there_after_a_crash_and_goes_when_it_is_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let boot = u64::MAX - 3;
        let mut spool = Spool::open(&path, Bounds::default()).unwrap();
        for seq in 1..=3 {
            let batch = batch(5, 100, seq as i64);
            spool.push(boot, seq, 2, &batch, at(3)).unwrap();
        }
        let other = Spool::open(&path, Bounds::default()).unwrap_err();
        assert!(
            other.starts_with("another agent uses the spool "),
            "{other}"
        );
        // As a process that is killed leaves it.
        drop(spool);

        let mut spool = Spool::open(&path, Bounds::default()).unwrap();
        let state = spool.waiting();
        assert_eq!((state.batches, state.runs, state.bytes), (3, 15, 300));
        let first = spool.after(0).unwrap().unwrap();
        assert_eq!((first.boot, first.generation), (boot, 2));
        assert_eq!(first.closed, batch(5, 100, 1));
        assert_eq!(spool.least(boot), Some(1));
        spool.done(first.id).unwrap();
        spool.done(first.id).unwrap();
        assert_eq!(spool.least(boot), Some(2));
        assert_eq!(spool.waiting().runs, 10);
        assert_eq!(seqs(&spool), [2, 3]);
        assert_eq!(spool.least(1), None);
    }

    #[test]
    fn at_a_bound_the_oldest_goes_and_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let bounds = Bounds {
            bytes: 250,
            age: Duration::from_secs(60),
        };
        let mut spool = Spool::open(&path, bounds).unwrap();
        for seq in 1..=4 {
            let batch = batch(5, 100, seq as i64);
            spool.push(1, seq, 1, &batch, at(4)).unwrap();
        }
        assert_eq!(seqs(&spool), [3, 4], "by bytes");
        assert_eq!(spool.waiting().dropped, 10);
        spool.push(1, 5, 1, &batch(7, 10, 64), at(64)).unwrap();
        assert_eq!(seqs(&spool), [4, 5], "by age: just a minute is no more");
        drop(spool);
        let spool = Spool::open(&path, bounds).unwrap();
        assert_eq!(spool.waiting().dropped, 15, "the count outlives a restart");
    }
}
