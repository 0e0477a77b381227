//! Summaries: one message for many incidents of one receiver, and who is in it.
//!
//! An incident joins before anything is sent, and stays where it joined, so that a restart in the middle of a
//! storm goes on with the same message. What a summary says of its members stands here, as told last.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::Store;
use super::error::{Fault, StoreError};
use super::outbox::{Delivery, Thread};
use crate::domain::cell::ReceiverName;
use crate::domain::incident::State;
use crate::domain::notification::Member;

/// Incidents named in one summary; more do not fit on a page, and the newest are kept.
const MEMBERS_READ: i64 = 500;

/// One summary and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storm {
    pub id: i64,
    /// The message is found by it after an unclear try.
    pub delivery: Uuid,
    pub began_at: Timestamp,
    /// When the last one joined.
    pub last_at: Timestamp,
    /// When it was first tried to post it; `None`: never.
    pub tried_at: Option<Timestamp>,
    /// `None`: not posted yet, as far as we know.
    pub thread: Option<Thread>,
    /// In the order of their numbers.
    pub members: Vec<Member>,
}

/// Where members go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// A summary that there is.
    To(i64),
    /// A new one, found by this id.
    New(Uuid),
}

impl Store {
    /// The summary that tells of this delivery's incident, if one does.
    pub async fn storm_of(&self, delivery: &Delivery) -> Result<Option<Storm>, StoreError> {
        let incident = delivery.notification.incident as i64;
        let receiver = delivery.notification.receiver.as_str().to_owned();
        let lane = delivery.lane.clone();
        self.call("read a summary", move |connection| {
            let id: Option<i64> = connection
                .prepare_cached(
                    "SELECT storm FROM storm_members WHERE incident = ? AND receiver = ? AND lane = ?",
                )?
                .query_row(params![incident, receiver, lane], |row| row.get(0))
                        .optional()?;
            id.map(|id| storm(connection, id))
                .transpose()
        })
        .await
    }

    /// The receiver's newest summary.
    pub async fn newest_storm(
        &self,
        receiver: &ReceiverName,
        lane: &str,
    ) -> Result<Option<Storm>, StoreError> {
        let (receiver, lane) = (receiver.as_str().to_owned(), lane.to_owned());
        self.call("read a summary", move |connection| {
            let id: Option<i64> = connection.query_row(
                "SELECT max(id) FROM storms WHERE receiver = ? AND lane = ?",
                params![receiver, lane],
                |row| row.get(0),
            )?;
            id.map(|id| storm(connection, id)).transpose()
        })
        .await
    }

    /// Puts incidents into a summary, or writes anew what it says of them, and notes that it is about to be sent.
    ///
    /// `joins` says that they were not in it before: the summary then stays open to others for longer.
    pub async fn join_storm(
        &self,
        receiver: &ReceiverName,
        lane: &str,
        to: Joined,
        members: Vec<Member>,
        joins: bool,
        now: Timestamp,
    ) -> Result<Storm, StoreError> {
        let (receiver, lane) = (receiver.as_str().to_owned(), lane.to_owned());
        let at = now.as_microsecond();
        self.write("keep a summary", move |transaction| {
                let id = match to {
                    Joined::To(id) => id,
                    Joined::New(delivery) => {
                        transaction.execute(
                            "INSERT INTO storms (delivery, receiver, lane, began_us, last_us) VALUES (?, ?, ?, ?, ?)",
                            params![delivery.to_string(), receiver, lane, at, at],
                        )?;
                        transaction.last_insert_rowid()
                    }
                };
                for member in &members {
                    transaction.execute(
                        "INSERT INTO storm_members (incident, receiver, lane, storm, headline, our_side, onset_us, resolved_us, state, service)
                         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                         ON CONFLICT (incident, receiver, lane) DO UPDATE SET headline = excluded.headline,
                             our_side = excluded.our_side, onset_us = excluded.onset_us, resolved_us = excluded.resolved_us,
                             state = excluded.state, service = excluded.service",
                        params![
                            member.incident as i64,
                            receiver,
                            lane,
                            id,
                            member.headline,
                            sort(member),
                            member.onset_at.as_microsecond(),
                            member.resolved_at.map(Timestamp::as_microsecond),
                            member.state.as_str(),
                            member.service
                        ],
                    )?;
                }
                let found = storm(transaction, id)?;
                transaction.execute(
                    "UPDATE storms SET tried_us = coalesce(tried_us, ?1), last_us = CASE WHEN ?2 THEN ?1 ELSE last_us END WHERE id = ?3",
                    params![at, joins, id],
                )?;
                Ok::<_, Fault>(found)
        })
        .await
    }

    /// Notes where a summary stands.
    pub async fn storm_posted(&self, id: i64, thread: Thread) -> Result<(), StoreError> {
        self.write("keep a summary", move |transaction| {
            transaction
                .execute(
                    "UPDATE storms SET configured = ?, channel = ?, ts = ? WHERE id = ?",
                    params![thread.configured, thread.channel, thread.ts, id],
                )
                .map(drop)
        })
        .await
    }
}

fn storm(connection: &Connection, id: i64) -> rusqlite::Result<Storm> {
    let members = connection
        .prepare_cached(
            "SELECT incident, headline, our_side, onset_us, resolved_us, state, service FROM
                 (SELECT * FROM storm_members WHERE storm = ? ORDER BY incident DESC LIMIT ?) ORDER BY incident",
        )?
        .query_map(params![id, MEMBERS_READ], member)?
        .collect::<rusqlite::Result<_>>()?;
    connection
        .prepare_cached(
            "SELECT delivery, began_us, last_us, tried_us, configured, channel, ts FROM storms WHERE id = ?",
        )?
        .query_row([id], |row| {
            let thread = match (row.get(4)?, row.get(5)?, row.get(6)?) {
                (Some(configured), Some(channel), Some(ts)) => Some(Thread {
                    configured,
                    channel,
                    ts,
                }),
                _ => None,
            };
            let tried: Option<i64> = row.get(3)?;
            Ok(Storm {
                id,
                delivery: Uuid::parse_str(&row.get::<_, String>(0)?).unwrap_or_default(),
                began_at: instant(row.get(1)?),
                last_at: instant(row.get(2)?),
                tried_at: tried.map(instant),
                thread,
                members,
            })
        })
}

/// In the column `our_side`: what is neither a partner's fault is ours, or works and is warned of.
const OURS: i64 = 1;
const WARNING: i64 = 2;

fn sort(member: &Member) -> i64 {
    match member {
        Member { our_side: true, .. } => OURS,
        Member { warning: true, .. } => WARNING,
        _ => 0,
    }
}

fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    let resolved: Option<i64> = row.get(4)?;
    let sort: i64 = row.get(2)?;
    let state: Option<String> = row.get(5)?;
    // Former versions knew two ends of it.
    let former = if resolved.is_some() {
        State::Resolved
    } else {
        State::Open
    };
    Ok(Member {
        incident: row.get::<_, i64>(0)? as u64,
        headline: row.get(1)?,
        service: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
        our_side: sort == OURS,
        warning: sort == WARNING,
        onset_at: instant(row.get(3)?),
        state: state
            .and_then(|word| State::from_word(&word))
            .unwrap_or(former),
        resolved_at: resolved.map(instant),
    })
}

/// We wrote it ourselves from a valid one; anything else is as old as can be.
fn instant(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::MIN)
}
