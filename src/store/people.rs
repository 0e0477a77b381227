//! People who act in the pages: secrets to sign in with, sessions, and what each did.
//!
//! Whoever can write the store may act, so a sign-in begins with a secret that a command leaves here. Only digests of
//! secrets are kept: what is read here opens nothing.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::error::Fault;
use super::rollups::YEAR_DAYS;
use crate::domain::moment::later;

/// A secret to sign in with is good for this long, and once.
const OFFER_LASTS: Duration = Duration::from_secs(5 * 60);
/// A session ends when nothing was done in it for this long, and in any case after the other.
const IDLE: Duration = Duration::from_secs(7 * 24 * 3600);
const SESSION_LASTS: Duration = Duration::from_secs(30 * 24 * 3600);
/// Secrets and sessions at once; the oldest go.
const KEPT_MAX: i64 = 200;

/// What somebody did in the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    pub at: Timestamp,
    pub who: String,
    /// `acknowledge`, `silence` and so on.
    pub what: String,
    /// `INC-12`, `silence 3`.
    pub thing: String,
    /// What came of it.
    pub answer: String,
}

/// Leaves a secret's digest to sign in with.
pub(super) fn offer(
    transaction: &Transaction<'_>,
    sha256: &str,
    who: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    forget(transaction, now)?;
    transaction.execute(
        "INSERT INTO sign_ins (sha256, who, ends_us) VALUES (?, ?, ?)",
        params![sha256, who, later(now, OFFER_LASTS).as_microsecond()],
    )?;
    Ok(())
}

/// Takes a secret for a session; who signs in. `None`: there is no such secret, it is too old, or was used.
pub(super) fn sign_in(
    transaction: &Transaction<'_>,
    secret: &str,
    session: &str,
    now: Timestamp,
) -> Result<Option<String>, Fault> {
    forget(transaction, now)?;
    let who: Option<String> = transaction
        .query_row(
            "DELETE FROM sign_ins WHERE sha256 = ? RETURNING who",
            [secret],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(who) = &who {
        transaction.execute(
            "INSERT INTO sessions (sha256, who, seen_us, ends_us) VALUES (?, ?, ?, ?)",
            params![
                session,
                who,
                now.as_microsecond(),
                later(now, SESSION_LASTS).as_microsecond()
            ],
        )?;
    }
    Ok(who)
}

/// Whose session it is; `None`: nobody's, or it is over.
pub(super) fn who(
    connection: &Connection,
    session: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<String>> {
    let seen = now.checked_sub(IDLE).unwrap_or(Timestamp::MIN);
    connection
        .prepare_cached(
            "SELECT who FROM sessions WHERE sha256 = ? AND ends_us > ? AND seen_us > ?",
        )?
        .query_row(
            params![session, now.as_microsecond(), seen.as_microsecond()],
            |row| row.get(0),
        )
        .optional()
}

/// Ends a session.
pub(super) fn sign_out(transaction: &Transaction<'_>, session: &str) -> Result<(), Fault> {
    transaction.execute("DELETE FROM sessions WHERE sha256 = ?", [session])?;
    Ok(())
}

/// Notes that somebody begins to act; `false`: the same form was sent before.
pub(super) fn begin(
    transaction: &Transaction<'_>,
    session: &str,
    once: &str,
    act: &Act,
) -> Result<bool, Fault> {
    transaction.execute(
        "UPDATE sessions SET seen_us = ? WHERE sha256 = ?",
        params![act.at.as_microsecond(), session],
    )?;
    let old = act.at.as_microsecond() - YEAR_DAYS * 86_400_000_000;
    transaction.execute("DELETE FROM audit WHERE at_us < ?", [old])?;
    let inserted = transaction.execute(
        "INSERT OR IGNORE INTO audit (once, at_us, who, what, thing, answer) VALUES (?, ?, ?, ?, ?, ?)",
        params![once, act.at.as_microsecond(), act.who, act.what, act.thing, act.answer],
    )?;
    Ok(inserted > 0)
}

/// Notes what came of it.
pub(super) fn ended(transaction: &Transaction<'_>, once: &str, answer: &str) -> Result<(), Fault> {
    let sql = "UPDATE audit SET answer = ? WHERE once = ?";
    transaction.execute(sql, [answer, once])?;
    Ok(())
}

/// What was done before a time, newest first.
pub(super) fn acts(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<Act>> {
    connection
        .prepare_cached(
            "SELECT at_us, who, what, thing, answer FROM audit WHERE at_us < ? ORDER BY id DESC LIMIT ?",
        )?
        .query_map([before.as_microsecond(), limit as i64], |row| {
            Ok(Act {
                at: Timestamp::from_microsecond(row.get(0)?).unwrap_or(Timestamp::MIN),
                who: row.get(1)?,
                what: row.get(2)?,
                thing: row.get(3)?,
                answer: row.get(4)?,
            })
        })?
        .collect()
}

fn forget(transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<()> {
    let seen = now.checked_sub(IDLE).unwrap_or(Timestamp::MIN);
    let now = now.as_microsecond();
    transaction.execute("DELETE FROM sign_ins WHERE ends_us <= ?", [now])?;
    transaction.execute(
        "DELETE FROM sessions WHERE ends_us <= ? OR seen_us <= ?",
        [now, seen.as_microsecond()],
    )?;
    for table in ["sign_ins", "sessions"] {
        transaction.execute(
            &format!("DELETE FROM {table} WHERE rowid NOT IN (SELECT rowid FROM {table} ORDER BY rowid DESC LIMIT ?)"),
            [KEPT_MAX],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_secret_is_good_once_and_for_minutes_and_a_session_for_days() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        let transaction = connection.transaction().unwrap();
        offer(&transaction, "secret", "ann", at(0)).unwrap();
        offer(&transaction, "late", "ben", at(0)).unwrap();
        let enter = |secret: &str, session: &str, now| {
            sign_in(&transaction, secret, session, at(now)).unwrap()
        };
        assert_eq!(enter("other", "s0", 1), None);
        assert_eq!(enter("secret", "s1", 299).as_deref(), Some("ann"));
        assert_eq!(enter("secret", "s2", 299), None);
        assert_eq!(enter("late", "s3", 300), None);
        let whose = |session: &str, now| who(&transaction, session, at(now)).unwrap();
        let day = 86_400;
        assert_eq!(whose("s1", 300).as_deref(), Some("ann"));
        assert_eq!(whose("s2", 300), None);
        assert_eq!(whose("s1", 7 * day + 300), None);
        // Whoever acts stays, and in the end does not.
        let act = |seconds: i64, once: &str| {
            let act = Act {
                at: at(seconds),
                who: "ann".to_owned(),
                what: "note".to_owned(),
                thing: "INC-1".to_owned(),
                answer: String::new(),
            };
            begin(&transaction, "s1", once, &act).unwrap()
        };
        for week in 1..5 {
            assert!(act(week * 6 * day, &format!("{week}")));
        }
        assert_eq!(whose("s1", 29 * day).as_deref(), Some("ann"));
        assert!(act(29 * day, "last"));
        assert!(!act(29 * day, "last"), "the same form");
        assert_eq!(whose("s1", 30 * day + 300), None);
        ended(&transaction, "last", "noted").unwrap();
        let done = acts(&transaction, Timestamp::MAX, 1).unwrap();
        assert_eq!((done.len(), done[0].answer.as_str()), (1, "noted"));
        sign_out(&transaction, "s1").unwrap();
        assert_eq!(whose("s1", 29 * day), None);
    }
}
