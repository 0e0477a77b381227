//! The tables, as numbered steps.
//!
//! `PRAGMA user_version` counts the steps a file has seen. A step is never edited once released: a change
//! is a new step. Tables of observations are not here, one is made for each UTC day (see `history`).

use rusqlite::{Connection, TransactionBehavior};

/// "edgw" in ASCII; tells our files from other people's.
pub(super) const APPLICATION_ID: i32 = 0x6564_6777;

const STEPS: &[&str] = &[
    // 1: cells, bodies of failures, incidents with their timeline, the outbox.
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
    // 2: short texts that replace each other, such as what the daemon last said of itself.
    "
    CREATE TABLE notes (
        name TEXT PRIMARY KEY,
        text TEXT NOT NULL
    ) STRICT;
    ",
    // 3: summaries of many incidents, and when a receiver was last told something that is no incident.
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
    // 4: what is remembered of the fronts of hosts and of our own side.
    "
    CREATE TABLE surroundings (
        name TEXT PRIMARY KEY,
        at_us INTEGER NOT NULL,
        version INTEGER NOT NULL, document TEXT NOT NULL
    ) STRICT;
    ",
    // 5: silences, and what people ask of a daemon from another process.
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
];

/// The format this program writes.
pub(super) const KNOWN: i64 = STEPS.len() as i64;

/// The format of an open file; 0 for a new one.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Takes the steps that the file has not seen, all or none.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let seen = version(connection)?;
    if seen >= KNOWN {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in STEPS.iter().skip(seen as usize) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", KNOWN)?;
    transaction.commit()
}
