//! The tables, as numbered steps.
//!
//! `PRAGMA user_version` counts the steps a file has seen. A step is never edited once released: a change
//! is a new step. Observations have a table for each UTC day: [`day`] says how one is made now, and a step
//! for each day brings those that are there to the same columns.

use rusqlite::{Connection, TransactionBehavior};

/// "edgw" in ASCII; tells our files from other people's.
pub(super) const APPLICATION_ID: i32 = 0x6564_6777;

enum Step {
    Once(&'static str),
    /// For each table of observations, in place of `{day}`.
    EachDay(&'static str),
}

/// Makes the table of a day. Rows are kept and read by columns' names; a column that is added here needs a
/// step for the days that are there.
///
/// `id` is the run's time and a number (see `history::row`), so that rows lie in the order of time however
/// late they come. `site` is where it ran; null: here. Days of the first five formats have no `id`: their
/// rows lie in the order of writing.
pub(super) fn day(name: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (
            id INTEGER PRIMARY KEY,
            at_us INTEGER NOT NULL, cell INTEGER NOT NULL, purpose TEXT NOT NULL,
            late_us INTEGER NOT NULL, took_us INTEGER NOT NULL,
            dns_us INTEGER, connect_us INTEGER, tls_us INTEGER, first_byte_us INTEGER, transfer_us INTEGER,
            kind TEXT NOT NULL, maker TEXT NOT NULL, status INTEGER, remote TEXT, failure TEXT,
            vendor TEXT, rule TEXT, code TEXT, reference_id TEXT, body_sha256 TEXT,
            site TEXT, sent INTEGER
        ) STRICT"
    )
}

const STEPS: &[Step] = &[
    // 1: cells, bodies of failures, incidents with their timeline, the outbox.
    Step::Once(
        "
    CREATE TABLE cells (
        id INTEGER PRIMARY KEY,
        probe TEXT NOT NULL, egress TEXT NOT NULL, client TEXT NOT NULL, credential TEXT NOT NULL,
        UNIQUE (probe, egress, client, credential)
    ) STRICT;

    CREATE TABLE bodies (
        id INTEGER PRIMARY KEY,
        sha256 TEXT NOT NULL UNIQUE,
        at_us INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        deflated BLOB NOT NULL
    ) STRICT;

    CREATE TABLE verdict_changes (
        id INTEGER PRIMARY KEY,
        at_us INTEGER NOT NULL,
        cell INTEGER NOT NULL REFERENCES cells (id),
        from_kind TEXT, to_kind TEXT NOT NULL
    ) STRICT;

    CREATE TABLE incidents (
        number INTEGER PRIMARY KEY,
        state TEXT NOT NULL,
        opened_us INTEGER NOT NULL, resolved_us INTEGER,
        version INTEGER NOT NULL, document TEXT NOT NULL
    ) STRICT;
    CREATE INDEX incidents_state ON incidents (state, resolved_us);

    CREATE TABLE timeline (
        id INTEGER PRIMARY KEY,
        incident INTEGER NOT NULL REFERENCES incidents (number),
        at TEXT NOT NULL, at_us INTEGER NOT NULL,
        what TEXT NOT NULL, text TEXT NOT NULL,
        UNIQUE (incident, at_us, what, text)
    ) STRICT;

    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY,
        delivery TEXT NOT NULL UNIQUE,
        incident INTEGER NOT NULL, sequence INTEGER NOT NULL,
        receiver TEXT NOT NULL,
        lane TEXT NOT NULL DEFAULT '', note TEXT,
        reason TEXT NOT NULL,
        version INTEGER NOT NULL, briefing TEXT NOT NULL,
        created_at TEXT NOT NULL, not_before TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'pending',
        attempts INTEGER NOT NULL DEFAULT 0,
        first_attempt_us INTEGER, last_attempt_us INTEGER, next_us INTEGER, done_us INTEGER,
        uncertain INTEGER NOT NULL DEFAULT 0,
        plain INTEGER NOT NULL DEFAULT 0,
        diverted INTEGER NOT NULL DEFAULT 0,
        reference TEXT, error_class TEXT, error TEXT
    ) STRICT;
    CREATE INDEX outbox_open ON outbox (receiver, incident, sequence) WHERE state IN ('pending', 'sending');
    CREATE INDEX outbox_incident ON outbox (incident, sequence);

    CREATE TABLE threads (
        incident INTEGER NOT NULL, receiver TEXT NOT NULL, lane TEXT NOT NULL DEFAULT '',
        configured TEXT NOT NULL, channel TEXT NOT NULL, ts TEXT NOT NULL,
        PRIMARY KEY (incident, receiver, lane)
    ) STRICT;
    ",
    ),
    // 2: short texts that replace each other, such as what the daemon last said of itself.
    Step::Once(
        "
    CREATE TABLE notes (
        name TEXT PRIMARY KEY,
        text TEXT NOT NULL
    ) STRICT;
    ",
    ),
    // 3: summaries of many incidents, and when a receiver was last told something that is no incident.
    Step::Once(
        "
    CREATE TABLE storms (
        id INTEGER PRIMARY KEY,
        delivery TEXT NOT NULL UNIQUE,
        receiver TEXT NOT NULL, lane TEXT NOT NULL,
        began_us INTEGER NOT NULL, last_us INTEGER NOT NULL, tried_us INTEGER,
        configured TEXT, channel TEXT, ts TEXT
    ) STRICT;
    CREATE INDEX storms_receiver ON storms (receiver, lane, id);

    CREATE TABLE storm_members (
        incident INTEGER NOT NULL, receiver TEXT NOT NULL, lane TEXT NOT NULL,
        storm INTEGER NOT NULL REFERENCES storms (id),
        headline TEXT NOT NULL, our_side INTEGER NOT NULL, onset_us INTEGER NOT NULL, resolved_us INTEGER,
        PRIMARY KEY (incident, receiver, lane)
    ) STRICT;
    CREATE INDEX storm_members_storm ON storm_members (storm);

    CREATE TABLE marks (
        receiver TEXT NOT NULL, what TEXT NOT NULL, at_us INTEGER NOT NULL, text TEXT NOT NULL,
        PRIMARY KEY (receiver, what)
    ) STRICT;
    ",
    ),
    // 4: what is remembered of the fronts of hosts and of our own side.
    Step::Once(
        "
    CREATE TABLE surroundings (
        name TEXT PRIMARY KEY,
        at_us INTEGER NOT NULL,
        version INTEGER NOT NULL, document TEXT NOT NULL
    ) STRICT;
    ",
    ),
    // 5: silences, and what people ask of a daemon from another process.
    Step::Once(
        "
    CREATE TABLE silences (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        until_us INTEGER NOT NULL,
        ended INTEGER NOT NULL,
        version INTEGER NOT NULL, document TEXT NOT NULL
    ) STRICT;

    CREATE TABLE asks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL, at_us INTEGER NOT NULL,
        incident INTEGER NOT NULL, who TEXT NOT NULL,
        answer TEXT
    ) STRICT;
    ",
    ),
    // 6: where a run was made.
    Step::EachDay("ALTER TABLE {day} ADD COLUMN site TEXT"),
    // 7: how a member of a summary ended.
    Step::Once("ALTER TABLE storm_members ADD COLUMN state TEXT;"),
    // 8: somebody looks after an incident no longer.
    Step::Once("ALTER TABLE asks ADD COLUMN released INTEGER NOT NULL DEFAULT 0;"),
    // 9: runs counted by hour and day, of each cell and each probe, and which of them are to be counted yet.
    Step::Once(
        "
    CREATE TABLE IF NOT EXISTS hours (
        hour INTEGER NOT NULL, cell INTEGER NOT NULL,
        runs INTEGER NOT NULL, passed INTEGER NOT NULL, failed INTEGER NOT NULL, ours INTEGER NOT NULL,
        max_us INTEGER NOT NULL, took BLOB NOT NULL, phases BLOB NOT NULL, kinds TEXT,
        PRIMARY KEY (hour, cell)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS days (
        cell INTEGER NOT NULL, day INTEGER NOT NULL,
        runs INTEGER NOT NULL, passed INTEGER NOT NULL, failed INTEGER NOT NULL, ours INTEGER NOT NULL,
        max_us INTEGER NOT NULL, took BLOB NOT NULL, phases BLOB NOT NULL, kinds TEXT,
        PRIMARY KEY (cell, day)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS probe_hours (
        probe TEXT NOT NULL, hour INTEGER NOT NULL,
        runs INTEGER NOT NULL, passed INTEGER NOT NULL, failed INTEGER NOT NULL, ours INTEGER NOT NULL,
        max_us INTEGER NOT NULL, took BLOB NOT NULL, phases BLOB NOT NULL, kinds TEXT,
        PRIMARY KEY (probe, hour)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS probe_days (
        probe TEXT NOT NULL, day INTEGER NOT NULL,
        runs INTEGER NOT NULL, passed INTEGER NOT NULL, failed INTEGER NOT NULL, ours INTEGER NOT NULL,
        max_us INTEGER NOT NULL, took BLOB NOT NULL, phases BLOB NOT NULL, kinds TEXT,
        PRIMARY KEY (probe, day)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS hours_due (hour INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE IF NOT EXISTS days_due (day INTEGER PRIMARY KEY) STRICT;
    CREATE INDEX IF NOT EXISTS verdict_changes_cell ON verdict_changes (cell, at_us);
    ",
    ),
    // 10: the hours of days that are there are to be counted.
    Step::EachDay(
        "WITH RECURSIVE day (text) AS (SELECT substr('{day}', 14)),
             first (hour) AS (SELECT unixepoch(substr(text, 1, 4) || '-' || substr(text, 5, 2) || '-' || substr(text, 7, 2)) / 3600 FROM day),
             hours (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM hours WHERE n < 23)
         INSERT OR IGNORE INTO hours_due SELECT hour + n FROM first, hours;",
    ),
    // 11: who may act in the pages, and what each did; digests in place of secrets.
    Step::Once(
        "
    CREATE TABLE IF NOT EXISTS sign_ins (sha256 TEXT NOT NULL UNIQUE, who TEXT NOT NULL, ends_us INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS sessions (
        sha256 TEXT NOT NULL UNIQUE, who TEXT NOT NULL, seen_us INTEGER NOT NULL, ends_us INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS audit (
        id INTEGER PRIMARY KEY, once TEXT NOT NULL UNIQUE, at_us INTEGER NOT NULL,
        who TEXT NOT NULL, what TEXT NOT NULL, thing TEXT NOT NULL, answer TEXT NOT NULL
    ) STRICT;
    ",
    ),
    // 12: what was thought of an incident at each time, its runs beyond their day, plans that were in force, links that are
    // shared, and what else is asked of a daemon than to look after an incident.
    Step::Once(
        "
    CREATE TABLE IF NOT EXISTS diagnoses (
        incident INTEGER NOT NULL, at_us INTEGER NOT NULL, version INTEGER NOT NULL, document TEXT NOT NULL,
        PRIMARY KEY (incident, at_us)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS incident_runs (
        incident INTEGER NOT NULL, at_us INTEGER NOT NULL, cell INTEGER NOT NULL,
        kind TEXT NOT NULL, status INTEGER, vendor TEXT, code TEXT, reference_id TEXT,
        PRIMARY KEY (incident, at_us, cell)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS plans (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL, changes TEXT NOT NULL, text TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS share_links (
        number INTEGER PRIMARY KEY AUTOINCREMENT, sha256 TEXT NOT NULL UNIQUE,
        incident INTEGER NOT NULL, audience TEXT NOT NULL, made_by TEXT NOT NULL,
        made_us INTEGER NOT NULL, ends_us INTEGER NOT NULL, ended_by TEXT
    ) STRICT;
    ALTER TABLE asks ADD COLUMN what TEXT NOT NULL DEFAULT 'care';
    ALTER TABLE asks ADD COLUMN thing TEXT NOT NULL DEFAULT '';
    CREATE TABLE IF NOT EXISTS sent (id INTEGER PRIMARY KEY, document TEXT NOT NULL UNIQUE) STRICT;
    ",
    ),
    // 13: what a run's request looked like from outside.
    Step::EachDay("ALTER TABLE {day} ADD COLUMN sent INTEGER"),
    // 14: whose an incident is that shares one message with others.
    Step::Once("ALTER TABLE storm_members ADD COLUMN service TEXT;"),
];

/// The format this program writes.
pub(super) const KNOWN: i64 = STEPS.len() as i64;

/// The format of an open file; 0 for a new one.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Takes the steps that the file has not seen, all or none.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    migrate_to(connection, KNOWN)
}

fn migrate_to(connection: &mut Connection, format: i64) -> rusqlite::Result<()> {
    let seen = version(connection)?;
    if seen >= format {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in &STEPS[seen as usize..format as usize] {
        match step {
            Step::Once(sql) => transaction.execute_batch(sql)?,
            Step::EachDay(sql) => {
                for day in days(&transaction)? {
                    transaction.execute_batch(&sql.replace("{day}", &day))?;
                }
            }
        }
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", format)?;
    transaction.commit()
}

/// The tables of observations, oldest first.
pub(super) fn days(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'observations_[0-9]*' ORDER BY name",
        )?
        .query_map([], |row| row.get(0))?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the first five formats made it.
    const FORMER_DAY: &str = "CREATE TABLE observations_20210228 (
        at_us INTEGER NOT NULL, cell INTEGER NOT NULL, purpose TEXT NOT NULL,
        late_us INTEGER NOT NULL, took_us INTEGER NOT NULL,
        dns_us INTEGER, connect_us INTEGER, tls_us INTEGER, first_byte_us INTEGER, transfer_us INTEGER,
        kind TEXT NOT NULL, maker TEXT NOT NULL, status INTEGER, remote TEXT, failure TEXT,
        vendor TEXT, rule TEXT, code TEXT, reference_id TEXT, body_sha256 TEXT
    ) STRICT";

    /// What `main` wrote over its days, 1 to 13; a step that is edited would leave files of before without it.
    #[test]
    fn no_step_was_edited() {
        use sha2::{Digest as _, Sha256};
        let sums = STEPS.iter().map(|step| {
            let (Step::Once(sql) | Step::EachDay(sql)) = step;
            let words: Vec<&str> = sql.split_whitespace().collect();
            let digest = Sha256::digest(words.join(" "));
            digest[..4]
                .iter()
                .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
        });
        let known = "5fffe298 9b3bc485 44f170d4 67d6a2f4 8d704074 6d858330 53e77c1d 79625605 7cb1aff9 1ea957b3 77e19920 13aa4d28 c04cb97b 9cfb75fb";
        assert_eq!(sums.collect::<Vec<_>>().join(" "), known);
    }

    /// The daemon of format 5 wrote it; the formats before lacked tables of it, those after came by their steps.
    fn written(format: i64, path: &std::path::Path) {
        use std::io::Read as _;
        let packed = include_bytes!("../../tests/fixtures/former-store/edgewatch-0.1.0.sqlite.gz");
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_end(&mut bytes)
            .unwrap();
        std::fs::write(path, bytes).unwrap();
        let mut connection = Connection::open(path).unwrap();
        assert_eq!(version(&connection).unwrap(), 5);
        for (lacks, tables) in [
            (5, "DROP TABLE asks; DROP TABLE silences"),
            (4, "DROP TABLE surroundings"),
            (
                3,
                "DROP TABLE marks; DROP TABLE storm_members; DROP TABLE storms",
            ),
            (2, "DROP TABLE notes"),
        ] {
            if format < lacks {
                connection.execute_batch(tables).unwrap();
            }
        }
        if format < 5 {
            connection
                .pragma_update(None, "user_version", format)
                .unwrap();
        }
        migrate_to(&mut connection, format).unwrap();
        assert_eq!(version(&connection).unwrap(), format);
    }

    #[tokio::test]
    async fn every_format_opens_with_all_that_is_in_it() {
        use crate::domain::plan::{Keep, StorePolicy};
        use crate::store::Store;
        let forever = std::time::Duration::from_secs(200 * 365 * 86_400);
        for format in 1..=KNOWN {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("edgewatch.db");
            written(format, &path);
            let policy = StorePolicy {
                path: path.clone(),
                group: None,
                keep: Keep {
                    messages: forever,
                    ..Keep::for_runs(forever)
                },
                bytes_max: 64 << 20,
            };
            let opened = Store::open(&path, &policy).unwrap();
            assert_eq!(opened.warnings, Vec::<String>::new(), "format {format}");
            let first = opened.store.show(1).await.unwrap().unwrap();
            let second = opened.store.show(2).await.unwrap().unwrap();
            assert_eq!(
                (first.timeline.len(), second.timeline.len()),
                (7, 6),
                "format {format}"
            );
            opened.store.close().await;
            let found = Store::read_only(&path).unwrap().check().unwrap();
            assert_eq!(found.faults, Vec::<String>::new(), "format {format}");
            assert_eq!(
                (
                    found.format,
                    found.days,
                    found.incidents,
                    found.incidents_open
                ),
                (KNOWN, 1, 2, 1)
            );
            // The way back is there, and is what it was.
            let copy = folder.path().join(format!("edgewatch.db.format-{format}"));
            assert_eq!(copy.exists(), format < KNOWN);
            if copy.exists() {
                assert_eq!(version(&Connection::open(copy).unwrap()).unwrap(), format);
            }
        }
    }

    #[test]
    fn days_that_are_there_get_the_columns_of_new_ones() {
        let mut connection = Connection::open_in_memory().unwrap();
        for step in &STEPS[..5] {
            let Step::Once(sql) = step else {
                panic!("the first five are for the whole file");
            };
            connection.execute_batch(sql).unwrap();
        }
        connection.execute_batch(FORMER_DAY).unwrap();
        connection.pragma_update(None, "user_version", 5).unwrap();
        migrate(&mut connection).unwrap();
        connection
            .execute_batch(&day("observations_20210301"))
            .unwrap();
        let columns = |day: &str| -> Vec<(String, String, bool)> {
            connection
                .prepare(
                    "SELECT name, type, \"notnull\" FROM pragma_table_info(?) WHERE name <> 'id'",
                )
                .unwrap()
                .query_map([day], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap()
        };
        let new = columns("observations_20210301");
        assert!(new.len() > 20);
        assert_eq!(columns("observations_20210228"), new);
        migrate(&mut connection).unwrap();
    }
}
