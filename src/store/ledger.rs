//! The ledger: what was decided, as rows in their order, for another store that is to be the same.
//!
//! Only a hub that leads others has one. Triggers write down each row of a decision as it is put or goes, whoever
//! writes it: the writer, or a command beside the daemon. The writer hands the rows of a transaction to the log
//! ([`Ledger`]) before it commits, and keeps their place with them: what the log refuses was never decided. Another store
//! takes the same rows in the same order; taking them twice changes nothing. Runs are no decisions, and what is counted
//! or copied of them is not either.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params_from_iter};
use serde_json::{Map, Value};

use super::decided::{Decided, Ledger, Place};
use super::error::{Fault, StoreError};
use super::{Store, schema, writer};

/// Tables of decisions; parents before those that refer to them.
const TABLES: [&str; 13] = [
    "incidents",
    "timeline",
    "diagnoses",
    "outbox",
    "threads",
    "storms",
    "storm_members",
    "marks",
    "surroundings",
    "silences",
    "asks",
    "audit",
    "share_links",
];
/// Where notes are; of them only the place in the stream of observations goes along.
const NOTES: &str = "notes";
const CARRIED: &str = "obs_position";
/// The same as the log has it.
const CARRIED_LAST: &str = "obs_position_logged";
/// The note that says how much of which log is in this store.
const PLACE: &str = "log_place";
/// The note that says which hub leads while this store only follows.
pub(super) const STANDING_BY: &str = "standing_by";
/// Who this store is to other hubs, for good.
const IDENTITY: &str = "hub_store";

/// What a store is to a hub that would follow a log, or lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Following {
    /// Of this store, for good.
    pub identity: String,
    /// `None`: it never followed one.
    pub place: Option<Place>,
    /// Nothing was decided in it yet.
    pub is_empty: bool,
}

impl Store {
    /// From now on each decision is in the log before it is here; `whole`: the log is begun with all that is here.
    ///
    /// # Errors
    /// [`StoreError`]; it does not lead then.
    pub async fn lead(
        &self,
        ledger: std::sync::Arc<dyn Ledger>,
        whole: bool,
    ) -> Result<(), StoreError> {
        self.write("lead", |transaction| {
            install(transaction)?;
            forget(transaction, STANDING_BY)
        })
        .await?;
        // Set once a store: a hub that lost the lead opens it anew.
        let _ = self.inner.queue.ledger.set(ledger);
        if whole {
            self.write_whole().await
        } else {
            Ok(())
        }
    }

    /// Writes all that is here to the log, so that what stands before it is needed no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write_whole(&self) -> Result<(), StoreError> {
        let Some(ledger) = self.inner.queue.ledger.get().cloned() else {
            return Ok(());
        };
        let path = self.inner.path.clone();
        self.job(move |connection| {
            led(connection, &*ledger, true, write_all_down)
                .map_err(|fault| StoreError::new(&path, "write the log", fault))
        })
        .await
    }

    /// Hands to the log what commands decided beside this process, and how far observations were read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pass_on(&self, position: bool) -> Result<(), StoreError> {
        let waits = move |connection: &Connection| {
            let rows = "SELECT EXISTS (SELECT 1 FROM ledger_rows)";
            let rows: bool = connection.query_row(rows, [], |row| row.get(0))?;
            Ok::<_, Fault>(rows || position && carried(connection)?.is_some())
        };
        if !self
            .call("read the ledger", move |connection| waits(connection))
            .await?
        {
            return Ok(());
        }
        let work = move |transaction: &Transaction<'_>| {
            if position {
                carry(transaction)?;
            }
            Ok::<_, Fault>(())
        };
        self.write("write the log", work).await
    }

    /// Nobody is led any more, and nobody followed: what that left in the file goes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stand_alone(&self) -> Result<(), StoreError> {
        let left = |connection: &mut Connection| {
            let left = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name GLOB 'ledger_*')
                 OR EXISTS (SELECT 1 FROM notes WHERE name IN (?, ?))";
            connection.query_row(left, [PLACE, STANDING_BY], |row| row.get::<_, bool>(0))
        };
        if !self.call("read the ledger", left).await? {
            return Ok(());
        }
        self.write("stand alone", |transaction| {
            uninstall(transaction)?;
            // What is decided from now on is in no log.
            forget(transaction, PLACE)?;
            forget(transaction, STANDING_BY)
        })
        .await
    }

    /// Commands must decide nothing here from now on, because another hub leads.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stand_by(&self, hub: String) -> Result<Following, StoreError> {
        self.write("stand by", move |transaction| {
            let unsent = uninstall(transaction)?;
            if unsent > 0 {
                tracing::warn!(
                    "{unsent} rows that commands wrote here did not reach the log before this hub lost the lead: look at its silences and acknowledgements"
                );
            }
            keep(transaction, STANDING_BY, &hub)?;
            if read(transaction, IDENTITY)?.is_none() {
                keep(transaction, IDENTITY, &uuid::Uuid::now_v7().to_string())?;
            }
            let mut empty = true;
            for table in TABLES {
                let any = format!("SELECT EXISTS (SELECT 1 FROM {table})");
                empty &= !transaction.query_row(&any, [], |row| row.get::<_, bool>(0))?;
            }
            Ok::<_, Fault>(Following {
                identity: read(transaction, IDENTITY)?.unwrap_or_default(),
                place: place(transaction)?,
                is_empty: empty,
            })
        })
        .await
    }

    /// Says which hub leads, to whoever would decide something here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn led_by(&self, hub: String) -> Result<(), StoreError> {
        let path = self.inner.path.clone();
        // Never by the log: it is said of this store alone, and by who has lost the lead too.
        self.job(move |connection| {
            writer::durably(connection, |t| keep(t, STANDING_BY, &hub))
                .map_err(|fault| StoreError::new(&path, "stand by", fault))
        })
        .await
    }

    /// Takes what another store decided, up to this place in its log, all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError`]; a newer edgewatch wrote it, for example.
    pub async fn take(&self, decided: Vec<Decided>, place: Place) -> Result<(), StoreError> {
        self.write("follow the log", move |transaction| {
            transaction.pragma_update(None, "defer_foreign_keys", true)?;
            for decided in &decided {
                take(transaction, decided)?;
            }
            keep_place(transaction, &place)
        })
        .await
    }

    /// Whether this process leads other hubs, or did.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.inner.queue.ledger.get().is_some()
    }

    /// Whether this process has not lost its lead by now.
    #[must_use]
    pub fn still_tells(&self) -> bool {
        let ledger = self.inner.queue.ledger.get();
        ledger.is_none_or(|ledger| ledger.may_tell().is_ok())
    }

    /// Waits until a message may be told by this process: at once, but for a hub whose lead is in doubt.
    ///
    /// # Errors
    /// [`StoreError::Deposed`]: another hub tells it.
    pub async fn may_tell(&self) -> Result<(), StoreError> {
        const AGAIN: std::time::Duration = std::time::Duration::from_millis(200);
        let Some(ledger) = self.inner.queue.ledger.get() else {
            return Ok(());
        };
        loop {
            match ledger.may_tell() {
                Ok(true) => return Ok(()),
                Ok(false) => tokio::time::sleep(AGAIN).await,
                Err(why) => {
                    return Err(StoreError::Deposed {
                        doing: "tell a message",
                        why,
                    });
                }
            }
        }
    }
}

/// As [`writer::durably`], where the log has what was decided first.
pub(super) fn led<T, E: Into<Fault>>(
    connection: &mut Connection,
    ledger: &dyn Ledger,
    whole: bool,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, Fault> {
    let mut appended = false;
    let result = writer::durably(connection, |transaction| {
        let done = work(transaction).map_err(Into::into)?;
        let mut rows = written_down(transaction)?;
        if rows.is_empty() && !whole {
            return Ok(done);
        }
        if carry(transaction)? {
            rows.extend(written_down(transaction)?);
        }
        let decided = Decided {
            format: schema::KNOWN,
            whole,
            rows,
        };
        let place = ledger.append(decided).map_err(Fault::Deposed)?;
        appended = true;
        keep_place(transaction, &place)?;
        Ok::<_, Fault>(done)
    });
    if let (true, Err(fault)) = (appended, &result) {
        ledger.lost(&format!(
            "what the log has could not be kept here: {fault:?}"
        ));
    }
    result
}

/// What was written down since, in its order; it is then no more.
fn written_down(transaction: &Transaction<'_>) -> Result<Vec<String>, Fault> {
    let rows = transaction
        .prepare_cached("SELECT row FROM ledger_rows ORDER BY id")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    if !rows.is_empty() {
        transaction.execute("DELETE FROM ledger_rows", [])?;
    }
    Ok(rows)
}

/// The place in the stream of observations, where the log has another one.
fn carried(connection: &Connection) -> Result<Option<String>, Fault> {
    let now = read(connection, CARRIED)?;
    let last = read(connection, CARRIED_LAST)?;
    Ok(now.filter(|now| last.as_ref() != Some(now)))
}

/// Writes it down with what goes to the log.
fn carry(transaction: &Transaction<'_>) -> Result<bool, Fault> {
    let Some(position) = carried(transaction)? else {
        return Ok(false);
    };
    let note = serde_json::json!({ "name": CARRIED, "text": position });
    let row = serde_json::json!([NOTES, 1, note]).to_string();
    transaction.execute("INSERT INTO ledger_rows (row) VALUES (?)", [row])?;
    keep(transaction, CARRIED_LAST, &position)?;
    Ok(true)
}

/// The columns of a table, and those of its key.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<(Vec<String>, Vec<String>)> {
    let mut statement =
        connection.prepare_cached("SELECT name, pk FROM pragma_table_info(?) ORDER BY cid")?;
    let found = statement.query_map([table], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
    let (mut all, mut key) = (Vec::new(), Vec::new());
    for column in found {
        let (name, part): (String, i64) = column?;
        if part > 0 {
            key.push(name.clone());
        }
        all.push(name);
    }
    Ok((all, key))
}

/// SQL for a row as it goes to the log; `of` stands before each column.
fn image(table: &str, there: bool, columns: &[String], of: &str) -> String {
    let pairs = columns.iter().map(|name| format!("'{name}', {of}{name}"));
    let pairs = pairs.collect::<Vec<_>>().join(", ");
    format!(
        "json_array('{table}', {}, json_object({pairs}))",
        u8::from(there)
    )
}

fn install(transaction: &Transaction<'_>) -> Result<(), Fault> {
    uninstall(transaction)?;
    transaction.execute_batch(
        "CREATE TABLE ledger_rows (id INTEGER PRIMARY KEY, row TEXT NOT NULL) STRICT",
    )?;
    for table in TABLES {
        let (all, key) = columns(transaction, table)?;
        for (event, there, columns, of) in [
            ("INSERT", true, &all, "NEW."),
            ("UPDATE", true, &all, "NEW."),
            ("DELETE", false, &key, "OLD."),
        ] {
            let image = image(table, there, columns, of);
            transaction.execute_batch(&format!(
                "CREATE TRIGGER ledger_{table}_{event} AFTER {event} ON {table}
                 BEGIN INSERT INTO ledger_rows (row) VALUES ({image}); END"
            ))?;
        }
    }
    Ok(())
}

/// Takes the triggers away; how many rows the log never got.
fn uninstall(transaction: &Transaction<'_>) -> Result<u64, Fault> {
    let names = transaction
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB 'ledger_*'")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    for name in names {
        transaction.execute_batch(&format!("DROP TRIGGER {name}"))?;
    }
    let there = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'ledger_rows')";
    if !transaction.query_row(there, [], |row| row.get::<_, bool>(0))? {
        return Ok(0);
    }
    let unsent: i64 =
        transaction.query_row("SELECT count(*) FROM ledger_rows", [], |row| row.get(0))?;
    transaction.execute_batch("DROP TABLE ledger_rows")?;
    Ok(unsent.unsigned_abs())
}

/// Writes every row down, in place of what waited: it is among them.
fn write_all_down(transaction: &Transaction<'_>) -> Result<(), Fault> {
    transaction.execute("DELETE FROM ledger_rows", [])?;
    for table in TABLES {
        let (all, _) = columns(transaction, table)?;
        let image = image(table, true, &all, "");
        transaction.execute(
            &format!("INSERT INTO ledger_rows (row) SELECT {image} FROM {table}"),
            [],
        )?;
    }
    forget(transaction, CARRIED_LAST)
}

fn take(transaction: &Transaction<'_>, decided: &Decided) -> Result<(), Fault> {
    if decided.format > schema::KNOWN {
        return Err(Fault::Refused(format!(
            "it was written by a newer edgewatch (format {}, this one knows up to {}); upgrade this hub first, then the one that leads",
            decided.format,
            schema::KNOWN
        )));
    }
    if decided.whole {
        for table in TABLES.iter().rev() {
            transaction.execute(&format!("DELETE FROM {table}"), [])?;
        }
    }
    for row in &decided.rows {
        let (table, there, columns): (String, u8, Map<String, Value>) = serde_json::from_str(row)?;
        let known = TABLES.contains(&table.as_str()) || table == NOTES;
        let named = |name: &String| {
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b))
        };
        if !known || columns.is_empty() || !columns.keys().all(named) {
            return Err(Fault::Refused(format!(
                "it holds a row of {table:?}, which is none of a decision"
            )));
        }
        let names: Vec<&str> = columns.keys().map(String::as_str).collect();
        let sql = if there == 1 {
            let marks = vec!["?"; names.len()].join(", ");
            format!(
                "INSERT OR REPLACE INTO {table} ({}) VALUES ({marks})",
                names.join(", ")
            )
        } else {
            format!("DELETE FROM {table} WHERE {} = ?", names.join(" = ? AND "))
        };
        let values = columns
            .values()
            .map(sql_of)
            .collect::<Result<Vec<_>, _>>()?;
        transaction
            .prepare_cached(&sql)?
            .execute(params_from_iter(values))?;
    }
    Ok(())
}

fn sql_of(value: &Value) -> Result<Sql, Fault> {
    match value {
        Value::Null => Ok(Sql::Null),
        Value::String(text) => Ok(Sql::Text(text.clone())),
        Value::Number(number) if number.is_i64() => {
            Ok(Sql::Integer(number.as_i64().unwrap_or_default()))
        }
        other => Err(Fault::Refused(format!(
            "it holds {other}, which no column takes"
        ))),
    }
}

fn read(connection: &Connection, name: &str) -> Result<Option<String>, Fault> {
    Ok(connection
        .prepare_cached("SELECT text FROM notes WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()?)
}

fn keep(transaction: &Transaction<'_>, name: &str, text: &str) -> Result<(), Fault> {
    transaction.execute(
        "INSERT OR REPLACE INTO notes (name, text) VALUES (?, ?)",
        [name, text],
    )?;
    Ok(())
}

fn forget(transaction: &Transaction<'_>, name: &str) -> Result<(), Fault> {
    transaction.execute("DELETE FROM notes WHERE name = ?", [name])?;
    Ok(())
}

fn place(connection: &Connection) -> Result<Option<Place>, Fault> {
    let text = read(connection, PLACE)?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}

fn keep_place(transaction: &Transaction<'_>, place: &Place) -> Result<(), Fault> {
    keep(transaction, PLACE, &serde_json::to_string(place)?)
}

/// Refuses what a command would decide beside a hub that only follows.
pub(super) fn check_leads(connection: &Connection) -> Result<(), Fault> {
    match read(connection, STANDING_BY)? {
        None => Ok(()),
        Some(hub) => Err(Fault::Refused(format!(
            "this hub stands by, and what is decided here would be lost; do it where {hub} runs"
        ))),
    }
}

#[cfg(test)]
mod tests;
