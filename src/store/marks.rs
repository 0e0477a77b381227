//! When a receiver was last told something that is no incident: one row each, overwritten.

use crate::domain::spelling::spelled;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::Store;
use super::error::{Fault, StoreError};
use crate::domain::cell::ReceiverName;

spelled!(
    /// What a mark is about.
    Mark {
        /// The last "all is well".
        AllIsWell = "all_is_well",
        /// Others were told that this receiver can't be reached.
        Trouble = "trouble",
        /// Since when it can't, noted before others are told: the end is then told under the same name.
        TroubleBegun = "trouble_begun",
    }
);

impl Store {
    /// When, and what was said.
    pub async fn mark(
        &self,
        receiver: &ReceiverName,
        what: Mark,
    ) -> Result<Option<(Timestamp, String)>, StoreError> {
        let receiver = receiver.as_str().to_owned();
        self.call("read a mark", move |connection| {
            let found: Option<(i64, String)> = connection
                .prepare_cached("SELECT at_us, text FROM marks WHERE receiver = ? AND what = ?")?
                .query_row(params![receiver, what.as_str()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            Ok::<_, Fault>(
                found.and_then(|(us, text)| Some((Timestamp::from_microsecond(us).ok()?, text))),
            )
        })
        .await
    }

    /// Sets the mark; `None` takes it away.
    pub async fn set_mark(
        &self,
        receiver: &ReceiverName,
        what: Mark,
        value: Option<(Timestamp, String)>,
    ) -> Result<(), StoreError> {
        let receiver = receiver.as_str().to_owned();
        self.write("keep a mark", move |transaction| {
            let what = what.as_str();
            match value {
                Some((at, text)) => transaction.execute(
                    "INSERT OR REPLACE INTO marks (receiver, what, at_us, text) VALUES (?, ?, ?, ?)",
                    params![receiver, what, at.as_microsecond(), text],
                ),
                None => transaction.execute(
                    "DELETE FROM marks WHERE receiver = ? AND what = ?",
                    params![receiver, what],
                ),
            }
            .map(drop)
        })
        .await
    }

    /// How many incidents are open.
    pub async fn open_incidents(&self) -> Result<usize, StoreError> {
        self.call("read incidents", |connection| {
            connection.query_row(
                "SELECT count(*) FROM incidents WHERE state = 'open'",
                [],
                |row| row.get::<_, i64>(0).map(|count| count as usize),
            )
        })
        .await
    }
}
