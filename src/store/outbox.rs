//! The outbox: what must be told to whom, and how far that got.
//!
//! A row is written with the change it tells of, marked `sending` before the first byte leaves, and marked
//! `accepted` after the receiver said so. A row found in `sending` at a start may or may not have arrived:
//! it is `uncertain`, and whoever sends it looks first.

use crate::domain::spelling::spelled;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use uuid::Uuid;

use super::error::{Fault, StoreError};
use super::{Store, document};
use crate::domain::cell::ReceiverName;
use crate::domain::keeping::{Due, Post, Settled};
use crate::domain::notification::{Notification, Reason};

/// Rows read at once for one receiver; a worker comes back for the rest.
const READ_MAX: i64 = 1_000;
/// Rows given up are shown this long.
const DEAD_SHOWN: Duration = Duration::from_secs(7 * 24 * 3600);

/// A notification and how far it got.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    pub notification: Notification,
    /// Empty, or the receiver that this one stands in for.
    pub lane: String,
    /// Said with the message ("could not reach engineers: `not_in_channel`").
    pub note: Option<String>,
    pub progress: Progress,
    /// Tries begun.
    pub attempts: u32,
    pub first_attempt_at: Option<Timestamp>,
    pub last_attempt_at: Option<Timestamp>,
    /// Not to be tried again before.
    pub next_at: Option<Timestamp>,
    /// A try may have arrived although nobody said so.
    pub uncertain: bool,
    /// How many such tries there were; surely refused ones do not count.
    pub unclear_tries: u32,
    /// The receiver refused the layout; only plain text from now on.
    pub plain: bool,
    /// The fallback was told instead.
    pub diverted: bool,
    /// Where it is now (Slack's time stamp, `log`).
    pub reference: Option<String>,
    pub error_class: Option<String>,
    pub error: Option<String>,
}

spelled!(
    Progress {
        Pending = "pending",
        Sending = "sending",
        Accepted = "accepted",
        /// Given up.
        Dead = "dead",
        /// Not sent, because a later message says it all.
        Overtaken = "overtaken",
    }
);

/// Where a receiver's messages about one incident hang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// The channel as the operator wrote it; another one means another thread.
    pub configured: String,
    /// The channel's id as the receiver knows it.
    pub channel: String,
    /// Slack: time stamp of the parent message. Teams: digest of the words told last. Others: what they
    /// remember of the incident, in a form of their own.
    pub ts: String,
}

/// Receivers come and go with reloads; more kinds than this are not counted.
const SETTLED_MAX: usize = 1_000;

fn count(
    post: &mut Post,
    receiver: &str,
    outcome: &'static str,
    class: Option<&'static str>,
    by: u64,
) {
    let same =
        |s: &&mut Settled| s.receiver == receiver && s.outcome == outcome && s.class == class;
    if let Some(known) = post.settled.iter_mut().find(same) {
        known.count += by;
    } else if post.settled.len() < SETTLED_MAX {
        post.settled.push(Settled {
            receiver: receiver.to_owned(),
            outcome,
            class,
            count: by,
        });
    }
}

fn count_end(post: &mut Post, receiver: &str, outcome: &Outcome) {
    match outcome {
        Outcome::Accepted { merged, .. } => {
            count(post, receiver, "sent", None, 1);
            if !merged.is_empty() {
                count(post, receiver, "merged", None, merged.len() as u64);
            }
        }
        Outcome::Again { class, .. } => count(post, receiver, "retried", Some(class), 1),
        Outcome::Dead { class, .. } => count(post, receiver, "dead", Some(class), 1),
        Outcome::Overtaken { .. } => count(post, receiver, "overtaken", None, 1),
    }
}

/// Looks at what waits; a few rows, by an index of their own.
pub(super) fn due_by_receiver(connection: &Connection) -> rusqlite::Result<Vec<Due>> {
    // Times are compared as texts: where one has a fraction of a second and the other none, that is off by less than a second.
    connection
        .prepare_cached(
            "SELECT receiver, count(*), min(max(created_at, not_before)) FROM outbox
             WHERE state IN ('pending', 'sending') GROUP BY receiver",
        )?
        .query_map([], |row| {
            Ok(Due {
                receiver: row.get(0)?,
                messages: row.get::<_, i64>(1)? as u64,
                due_since: row
                    .get::<_, String>(2)?
                    .parse()
                    .unwrap_or(Timestamp::UNIX_EPOCH),
            })
        })?
        .collect()
}

/// Lets a message wait again that was given up.
///
/// # Errors
/// It is not given up, or a later one about the same was sent to the same since.
pub(super) fn revive(transaction: &Transaction<'_>, delivery: Uuid) -> Result<(), Fault> {
    let changed = transaction.execute(
        "UPDATE outbox SET state = 'pending', attempts = 0, first_attempt_us = NULL, next_us = NULL, done_us = NULL,
             error_class = NULL, error = NULL
         WHERE delivery = ? AND state = 'dead' AND NOT EXISTS (
             SELECT 1 FROM outbox AS later WHERE later.incident = outbox.incident AND later.receiver = outbox.receiver
                 AND later.lane = outbox.lane AND later.sequence > outbox.sequence AND later.state = 'accepted' AND later.incident > 0)",
        [delivery.to_string()],
    )?;
    if changed == 0 {
        let why = "it is not given up any more, or a later message about the same was sent";
        return Err(Fault::Refused(why.to_owned()));
    }
    Ok(())
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Accepted {
        reference: String,
        thread: Option<Thread>,
        /// Deliveries that this message told as well.
        merged: Vec<Uuid>,
    },
    Again {
        next_at: Timestamp,
        class: &'static str,
        error: String,
        uncertain: bool,
        plain: bool,
        /// Set when part of the message is already there.
        thread: Option<Thread>,
    },
    Dead {
        class: &'static str,
        error: String,
        /// Set when part of the message is already there.
        thread: Option<Thread>,
    },
    /// Not to be sent at all; `why` becomes its reference.
    Overtaken { why: &'static str },
}

/// Who is told instead.
#[derive(Debug, Clone, PartialEq)]
pub enum Divert {
    /// Another receiver, with a note that says why; without one for the end of what it was told before.
    To {
        notification: Box<Notification>,
        note: Option<String>,
    },
    /// The log was, by the caller.
    Log,
}

impl Store {
    /// Marks what a stopped or killed worker left in `sending` as uncertain; before workers start.
    pub async fn recover_outbox(&self) -> Result<usize, StoreError> {
        self.write("recover the outbox", |transaction| {
            transaction
                .execute(
                    "UPDATE outbox SET state = 'pending', uncertain = uncertain + 1 WHERE state = 'sending'",
                    [],
                )
        })
        .await
    }

    /// What a receiver must still be told, by incident and in order.
    pub async fn due(&self, receiver: &ReceiverName) -> Result<Vec<Delivery>, StoreError> {
        let receiver = receiver.as_str().to_owned();
        let queue = std::sync::Arc::clone(&self.inner.queue);
        self.call("read the outbox", move |connection| {
            let (rows, unreadable) = read(
                connection,
                "receiver = ? AND state IN ('pending', 'sending') ORDER BY incident, lane, sequence, id",
                &receiver,
            )?;
            for (delivery, why) in unreadable {
                // It would block all that comes after it, for ever.
                tracing::error!("a notification can't be read and is given up: {why}");
                connection
                    .execute(
                        "UPDATE outbox SET state = 'dead', error_class = 'unreadable', error = ?, done_us = ? WHERE delivery = ?",
                        params![why, crate::clock::now().as_microsecond(), delivery],
                    )?;
                count(
                    &mut queue.post(),
                    &receiver,
                    "dead",
                    Some("unreadable"),
                    1,
                );
                super::look(connection, &queue);
            }
            Ok::<_, Fault>(rows)
        })
        .await
    }

    /// Receivers that have something undelivered, whether or not they still exist.
    pub async fn due_receivers(&self) -> Result<Vec<ReceiverName>, StoreError> {
        self.call("read the outbox", move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT DISTINCT receiver FROM outbox WHERE state IN ('pending', 'sending')",
            )?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            rows.map(|r| r.map(|name| ReceiverName::new(&name)))
                .collect()
        })
        .await
    }

    /// What still has to be sent, and what was given up within the last week.
    pub async fn undelivered(&self) -> Result<Vec<Delivery>, StoreError> {
        self.call("read the outbox", move |connection| {
            undelivered(connection, crate::clock::now())
        })
        .await
    }

    /// Where messages about this incident hang, if any arrived yet.
    pub async fn thread(&self, delivery: &Delivery) -> Result<Option<Thread>, StoreError> {
        let incident = delivery.notification.incident as i64;
        let receiver = delivery.notification.receiver.as_str().to_owned();
        let lane = delivery.lane.clone();
        self.call("read the outbox", move |connection| {
            connection
                .prepare_cached(
                    "SELECT configured, channel, ts FROM threads WHERE incident = ? AND receiver = ? AND lane = ?",
                )?
                .query_row(params![incident, receiver, lane], thread)
                        .optional()
        })
        .await
    }

    /// The threads of a receiver whose incidents are open.
    pub async fn open_threads(&self, receiver: &ReceiverName) -> Result<Vec<Thread>, StoreError> {
        let receiver = receiver.as_str().to_owned();
        self.call("read the outbox", move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT configured, channel, ts FROM threads JOIN incidents ON number = incident
                     WHERE receiver = ? AND state = 'open' ORDER BY incident, lane LIMIT ?",
            )?;
            let rows = statement.query_map(params![receiver, READ_MAX], thread)?;
            rows.collect()
        })
        .await
    }

    /// Whether `fallback` was told that the incident opened, in place of this delivery's receiver, and not yet that it ended.
    pub async fn owes_the_end(
        &self,
        delivery: &Delivery,
        fallback: &ReceiverName,
    ) -> Result<bool, StoreError> {
        let incident = delivery.notification.incident as i64;
        let lane = delivery.notification.receiver.as_str().to_owned();
        let fallback = fallback.as_str().to_owned();
        self.call("read the outbox", move |connection| {
            connection
                .prepare_cached(
                    "SELECT coalesce((SELECT reason NOT IN ('resolved', 'unwatched') FROM outbox
                         WHERE incident = ? AND receiver = ? AND lane = ? AND state NOT IN ('dead', 'overtaken')
                         ORDER BY sequence DESC, id DESC LIMIT 1), 0)",
                )?
                .query_row(params![incident, fallback, lane], |row| row.get(0))
        })
        .await
    }

    /// The opening, return or end that this receiver took last of the incident, if that was in another lane than the delivery's.
    pub async fn told_last_in_another_lane(
        &self,
        delivery: &Delivery,
    ) -> Result<Option<Reason>, StoreError> {
        let incident = delivery.notification.incident as i64;
        let receiver = delivery.notification.receiver.as_str().to_owned();
        let lane = delivery.lane.clone();
        self.call("read the outbox", move |connection| {
            connection
                .prepare_cached(
                    "SELECT reason, lane FROM outbox WHERE incident = ? AND receiver = ? AND state = 'accepted'
                         AND reason IN ('opened', 'reopened', 'resolved', 'unwatched') ORDER BY done_us DESC, sequence DESC LIMIT 1",
                )?
                .query_row(params![incident, receiver], |row| {
                            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
                        })
                        .optional()
                .map(|told| {
                    let (word, _) = told.filter(|(_, told_in)| *told_in != lane)?;
                    Reason::from_word(&word)
                })
        })
        .await
    }

    /// Notes that a try begins; nothing may be sent before this returned.
    pub async fn sending(&self, deliveries: Vec<Uuid>, now: Timestamp) -> Result<(), StoreError> {
        self.write("mark a notification", move |transaction| {
            for delivery in deliveries {
                transaction
                    .execute(
                        "UPDATE outbox SET state = 'sending', attempts = attempts + 1, last_attempt_us = ?1,
                             first_attempt_us = coalesce(first_attempt_us, ?1) WHERE delivery = ?2",
                        params![now.as_microsecond(), delivery.to_string()],
                    )?;
            }
            Ok::<_, Fault>(())
        })
        .await?;
        // A process that was frozen in between may find that another hub leads.
        self.may_tell().await
    }

    /// Whether one of these receivers heard of an incident, or is hearing of it just now for the first time.
    pub async fn heard(
        &self,
        incident: u64,
        receivers: Vec<ReceiverName>,
    ) -> Result<bool, StoreError> {
        self.call("read the outbox", move |connection| {
            let mut rows = connection.prepare_cached(
                "SELECT receiver FROM outbox WHERE incident = ?
                 AND (state = 'accepted' OR state IN ('pending', 'sending') AND attempts = 0 OR state = 'sending' AND attempts = 1)",
            )?;
            let mut rows = rows.query([incident as i64])?;
            while let Some(row) = rows.next()? {
                let receiver: String = row.get(0)?;
                if receivers.iter().any(|known| known.as_str() == receiver) {
                    return Ok::<_, Fault>(true);
                }
            }
            Ok(false)
        })
        .await
    }

    /// How many messages with one of these reasons a receiver has taken since; the rows of a merged message count too.
    pub async fn told_since(
        &self,
        receiver: &ReceiverName,
        lane: &str,
        reasons: &[Reason],
        since: Timestamp,
    ) -> Result<usize, StoreError> {
        let (receiver, lane) = (receiver.as_str().to_owned(), lane.to_owned());
        let words: Vec<String> = reasons
            .iter()
            .map(|r| format!("'{}'", r.as_str()))
            .collect();
        let words = words.join(", ");
        self.call("read the outbox", move |connection| {
            connection
                .query_row(
                    &format!(
                        "SELECT count(*) FROM outbox WHERE state = 'accepted' AND receiver = ? AND lane = ?
                             AND reason IN ({words}) AND done_us >= ?"
                    ),
                    params![receiver, lane, since.as_microsecond()],
                    |row| row.get::<_, i64>(0),
                )
                .map(|count| count as usize)
        })
        .await
    }

    /// Notes how a try ended, and, in the same transaction, what the fallback is told instead.
    pub async fn settle(
        &self,
        delivery: &Delivery,
        outcome: Outcome,
        divert: Option<Divert>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.settle_all(vec![(delivery, outcome, divert)], now)
            .await
    }

    /// Notes who is told instead, without a try: the row waits on.
    pub async fn divert(&self, delivery: &Delivery, divert: Divert) -> Result<(), StoreError> {
        let key = Key::of(delivery);
        self.write("mark a notification", move |transaction| {
            put_divert(transaction, &key, divert)
        })
        .await?;
        self.outbox_changed();
        Ok(())
    }

    /// As [`Store::settle`], for what one message told together: all of it or nothing.
    pub async fn settle_all(
        &self,
        settled: Vec<(&Delivery, Outcome, Option<Divert>)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let diverted = settled
            .iter()
            .any(|(_, _, divert)| matches!(divert, Some(Divert::To { .. })));
        let settled: Vec<(Key, Outcome, Option<Divert>)> = settled
            .into_iter()
            .map(|(delivery, outcome, divert)| (Key::of(delivery), outcome, divert))
            .collect();
        let ends: Vec<(String, Outcome)> = settled
            .iter()
            .map(|(key, outcome, _)| (key.receiver.clone(), outcome.clone()))
            .collect();
        let work = move |transaction: &Transaction<'_>| {
            for (key, outcome, divert) in settled {
                settle(transaction, &key, &outcome, now)?;
                if let Some(divert) = divert {
                    put_divert(transaction, &key, divert)?;
                }
            }
            Ok::<_, Fault>(())
        };
        self.write_then("mark a notification", work, move |post| {
            for (receiver, outcome) in &ends {
                count_end(post, receiver, outcome);
            }
        })
        .await?;
        if diverted {
            self.outbox_changed();
        }
        Ok(())
    }
}

fn put_divert(transaction: &Transaction<'_>, key: &Key, divert: Divert) -> Result<(), Fault> {
    transaction.execute(
        "UPDATE outbox SET diverted = 1 WHERE delivery = ?",
        [&key.delivery],
    )?;
    if let Divert::To { notification, note } = divert {
        put(transaction, &notification, &key.receiver, note.as_deref())?;
    }
    Ok(())
}

/// What names a row and its thread.
struct Key {
    delivery: String,
    incident: i64,
    receiver: String,
    lane: String,
}

impl Key {
    fn of(delivery: &Delivery) -> Self {
        Self {
            delivery: delivery.notification.delivery.to_string(),
            incident: delivery.notification.incident as i64,
            receiver: delivery.notification.receiver.as_str().to_owned(),
            lane: delivery.lane.clone(),
        }
    }
}

fn settle(
    transaction: &Transaction<'_>,
    key: &Key,
    outcome: &Outcome,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let now = now.as_microsecond();
    let delivery = &key.delivery;
    match outcome {
        Outcome::Accepted {
            reference,
            thread,
            merged,
        } => {
            transaction.execute(
                "UPDATE outbox SET state = 'accepted', reference = ?, done_us = ?, next_us = NULL, uncertain = 0 WHERE delivery = ?",
                params![reference, now, delivery],
            )?;
            for other in merged {
                transaction.execute(
                    "UPDATE outbox SET state = 'accepted', reference = ?, done_us = ? WHERE delivery = ?",
                    params![reference, now, other.to_string()],
                )?;
            }
            put_thread(transaction, key, thread.as_ref())
        }
        Outcome::Again {
            next_at,
            class,
            error,
            uncertain,
            plain,
            thread,
        } => {
            transaction.execute(
                "UPDATE outbox SET state = 'pending', next_us = ?, error_class = ?, error = ?,
                     uncertain = uncertain + ?, plain = max(plain, ?) WHERE delivery = ?",
                params![next_at.as_microsecond(), class, error, uncertain, plain, delivery],
            )?;
            put_thread(transaction, key, thread.as_ref())
        }
        Outcome::Dead {
            class,
            error,
            thread,
        } => {
            transaction.execute(
                "UPDATE outbox SET state = 'dead', error_class = ?, error = ?, done_us = ? WHERE delivery = ?",
                params![class, error, now, delivery],
            )?;
            put_thread(transaction, key, thread.as_ref())
        }
        Outcome::Overtaken { why } => transaction
            .execute(
                "UPDATE outbox SET state = 'overtaken', reference = ?, done_us = ? WHERE delivery = ?",
                params![why, now, delivery],
            )
            .map(drop),
    }
}

fn thread(row: &Row<'_>) -> rusqlite::Result<Thread> {
    Ok(Thread {
        configured: row.get(0)?,
        channel: row.get(1)?,
        ts: row.get(2)?,
    })
}

fn put_thread(
    transaction: &Transaction<'_>,
    key: &Key,
    thread: Option<&Thread>,
) -> rusqlite::Result<()> {
    let Some(thread) = thread else {
        return Ok(());
    };
    transaction
        .execute(
            "INSERT OR REPLACE INTO threads (incident, receiver, lane, configured, channel, ts) VALUES (?, ?, ?, ?, ?, ?)",
            params![
                key.incident,
                key.receiver,
                key.lane,
                thread.configured,
                thread.channel,
                thread.ts
            ],
        )
        .map(drop)
}

/// Adds a row; one that is already there stays as it is.
pub(super) fn put(
    transaction: &Transaction<'_>,
    notification: &Notification,
    lane: &str,
    note: Option<&str>,
) -> Result<(), Fault> {
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO outbox (delivery, incident, sequence, receiver, lane, note, reason, version, briefing, created_at, not_before)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            notification.delivery.to_string(),
            notification.incident as i64,
            notification.sequence,
            notification.receiver.as_str(),
            lane,
            note,
            notification.reason.as_str(),
            document::VERSION,
            document::write(&notification.briefing)?,
            notification.created_at.to_string(),
            notification.not_before.to_string(),
        ])?;
    Ok(())
}

pub(super) fn of_incident(connection: &Connection, number: u64) -> rusqlite::Result<Vec<Delivery>> {
    read(
        connection,
        "incident = ? ORDER BY sequence, id",
        number as i64,
    )
    .map(|(rows, _)| rows)
}

/// Messages, newest first, of one receiver or all, in one state or all; `pending` is whatever waits.
pub(super) fn list(
    connection: &Connection,
    receiver: Option<&ReceiverName>,
    state: Option<Progress>,
    skip: usize,
    limit: usize,
) -> rusqlite::Result<Vec<Delivery>> {
    let state = match state {
        None => String::new(),
        Some(Progress::Pending | Progress::Sending) => {
            "AND state IN ('pending', 'sending')".to_owned()
        }
        Some(state) => format!("AND state = '{state}'"),
    };
    let filter = format!(
        "id IN (SELECT id FROM outbox WHERE (?1 = '' OR receiver = ?1) {state} ORDER BY id DESC LIMIT {limit} OFFSET {skip})
         ORDER BY id DESC"
    );
    let receiver = receiver.map_or("", ReceiverName::as_str);
    read(connection, &filter, receiver).map(|(rows, _)| rows)
}

pub(super) fn undelivered(
    connection: &Connection,
    now: Timestamp,
) -> rusqlite::Result<Vec<Delivery>> {
    let since = now.checked_sub(DEAD_SHOWN).unwrap_or(Timestamp::MIN);
    read(
        connection,
        "state IN ('pending', 'sending') OR (state = 'dead' AND done_us >= ?) ORDER BY id",
        since.as_microsecond(),
    )
    .map(|(rows, _)| rows)
}

/// Rows that can be read, and `(delivery, why)` of those that can't.
type Rows = (Vec<Delivery>, Vec<(String, String)>);

fn read(
    connection: &Connection,
    filter: &str,
    value: impl rusqlite::ToSql,
) -> rusqlite::Result<Rows> {
    let sql = format!(
        "SELECT delivery, incident, sequence, receiver, lane, note, reason, version, briefing, created_at, not_before,
             state, attempts, first_attempt_us, last_attempt_us, next_us, uncertain, plain, diverted, reference,
             error_class, error
         FROM outbox WHERE {filter} LIMIT {READ_MAX}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([value])?;
    let mut rows = Vec::new();
    let mut unreadable = Vec::new();
    while let Some(row) = found.next()? {
        match delivery(row) {
            Ok(delivery) => rows.push(delivery),
            Err(why) => unreadable.push((row.get(0)?, why)),
        }
    }
    Ok((rows, unreadable))
}

fn delivery(row: &Row<'_>) -> Result<Delivery, String> {
    fn column<T: rusqlite::types::FromSql>(row: &Row<'_>, name: &str) -> Result<T, String> {
        row.get(name).map_err(|e| e.to_string())
    }
    let text = |name: &str| column::<String>(row, name);
    let instant = |name: &str| {
        column::<Option<i64>>(row, name)?
            .map(|us| Timestamp::from_microsecond(us).map_err(|e| e.to_string()))
            .transpose()
    };
    let time = |name: &str| {
        text(name)?
            .parse::<Timestamp>()
            .map_err(|e| format!("{name}: {e}"))
    };
    let reason = text("reason")?;
    let state = text("state")?;
    Ok(Delivery {
        notification: Notification {
            delivery: Uuid::parse_str(&text("delivery")?).map_err(|e| e.to_string())?,
            incident: column::<i64>(row, "incident")? as u64,
            sequence: column(row, "sequence")?,
            reason: Reason::from_word(&reason)
                .ok_or_else(|| format!("{reason:?} is no reason of this version"))?,
            receiver: ReceiverName::new(&text("receiver")?),
            created_at: time("created_at")?,
            not_before: time("not_before")?,
            briefing: document::read(column(row, "version")?, &text("briefing")?)?,
        },
        lane: text("lane")?,
        note: column(row, "note")?,
        progress: Progress::from_word(&state)
            .ok_or_else(|| format!("{state:?} is no state of this version"))?,
        attempts: column(row, "attempts")?,
        first_attempt_at: instant("first_attempt_us")?,
        last_attempt_at: instant("last_attempt_us")?,
        next_at: instant("next_us")?,
        // The column counts; older versions wrote one for any number.
        uncertain: column::<u32>(row, "uncertain")? > 0,
        unclear_tries: column(row, "uncertain")?,
        plain: column(row, "plain")?,
        diverted: column(row, "diverted")?,
        reference: column(row, "reference")?,
        error_class: column(row, "error_class")?,
        error: column(row, "error")?,
    })
}
