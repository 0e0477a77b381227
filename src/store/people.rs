//! People who act in the pages: secrets to sign in with, sessions, and what each did.
//!
//! Whoever can write the store may act, so a sign-in begins with a secret that a command leaves here. Only digests of
//! secrets are kept: what is read here opens nothing.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

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
        begin_session(transaction, session, who, now)?;
    }
    Ok(who)
}

/// Keeps a session by its digest; the oldest ones go.
pub(super) fn begin_session(
    transaction: &Transaction<'_>,
    session: &str,
    who: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    forget(transaction, now)?;
    transaction.execute(
        "INSERT INTO sessions (sha256, who, seen_us, ends_us) VALUES (?, ?, ?, ?)",
        params![
            session,
            who,
            now.as_microsecond(),
            later(now, SESSION_LASTS).as_microsecond()
        ],
    )?;
    Ok(())
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

/// Who a link is for, and so what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    Us,
    Partner,
}

impl Audience {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Partner => "partner",
        }
    }

    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Us, Self::Partner]
            .into_iter()
            .find(|it| it.as_str() == word)
    }
}

/// What a link opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opens {
    Incident {
        number: u64,
        audience: Audience,
    },
    /// The page of support staff.
    StatusPage,
    /// The screen on the wall.
    Wall,
    /// What scripts ask, with the secret as a bearer token.
    Api,
}

impl Opens {
    /// The words of those that are of no incident.
    const WHOLE: [(Self, &'static str); 3] = [
        (Self::StatusPage, "status"),
        (Self::Wall, "wall"),
        (Self::Api, "api"),
    ];

    /// One of the pages that are of no incident.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let mut whole = Self::WHOLE.into_iter();
        whole.find_map(|(opens, known)| (known == word).then_some(opens))
    }

    /// Number of the incident, 0 where it is of none, and the word for the rest.
    fn columns(self) -> (u64, &'static str) {
        match self {
            Self::Incident { number, audience } => (number, audience.as_str()),
            whole => {
                let mut words = Self::WHOLE.into_iter();
                let word = words.find_map(|(known, word)| (known == whole).then_some(word));
                (0, word.unwrap_or_default())
            }
        }
    }

    fn read(number: u64, word: &str) -> Self {
        Self::from_word(word).unwrap_or(Self::Incident {
            number,
            // What is not known shows least.
            audience: Audience::from_word(word).unwrap_or(Audience::Partner),
        })
    }

    /// What whoever has the link sees, for the one who makes it.
    #[must_use]
    pub fn sees(self) -> &'static str {
        match self {
            Self::Incident {
                audience: Audience::Us,
                ..
            } => "what this incident is and why, with a failing and a passing request",
            Self::Incident {
                audience: Audience::Partner,
                ..
            } => "the letter to the partner as it stands at the time",
            Self::StatusPage => "the page for support staff as it stands at the time",
            Self::Wall => "the screen for the wall as it stands at the time",
            Self::Api => "everything that scripts can read here (/api/v1 and /gate)",
        }
    }
}

/// A link that opens one thing to whoever has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// By which it is withdrawn; given when it is kept.
    pub number: u64,
    pub opens: Opens,
    pub made_by: String,
    pub made_at: Timestamp,
    pub ends_at: Timestamp,
    /// Who withdrew it; `None`: nobody did.
    pub ended_by: Option<String>,
}

/// Keeps a link by its digest; its number. Those that are long over are forgotten.
pub(super) fn share(
    transaction: &Transaction<'_>,
    sha256: &str,
    link: &Link,
) -> Result<u64, Fault> {
    let now = link.made_at.as_microsecond();
    let old = now - YEAR_DAYS * 86_400_000_000;
    transaction.execute("DELETE FROM share_links WHERE ends_us < ?", [old])?;
    let good: i64 = transaction.query_row(
        "SELECT count(*) FROM share_links WHERE ends_us > ? AND ended_by IS NULL",
        [now],
        |row| row.get(0),
    )?;
    if good >= KEPT_MAX {
        return Err(Fault::Refused(format!(
            "{good} links are good already; withdraw some first"
        )));
    }
    let (incident, word) = link.opens.columns();
    transaction.execute(
        "INSERT INTO share_links (sha256, incident, audience, made_by, made_us, ends_us) VALUES (?, ?, ?, ?, ?, ?)",
        params![
            sha256,
            incident as i64,
            word,
            link.made_by,
            now,
            link.ends_at.as_microsecond()
        ],
    )?;
    Ok(transaction.last_insert_rowid().unsigned_abs())
}

const LINK: &str =
    "SELECT number, incident, audience, made_by, made_us, ends_us, ended_by FROM share_links";

fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    let at = |us: i64| Timestamp::from_microsecond(us).unwrap_or(Timestamp::MIN);
    let (incident, word): (i64, String) = (row.get(1)?, row.get(2)?);
    Ok(Link {
        number: row.get::<_, i64>(0)?.unsigned_abs(),
        opens: Opens::read(incident.unsigned_abs(), &word),
        made_by: row.get(3)?,
        made_at: at(row.get(4)?),
        ends_at: at(row.get(5)?),
        ended_by: row.get(6)?,
    })
}

/// The link of a digest; `None`: there is none, it is over, or was withdrawn.
pub(super) fn shared(
    connection: &Connection,
    sha256: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<Link>> {
    connection
        .prepare_cached(&format!(
            "{LINK} WHERE sha256 = ? AND ends_us > ? AND ended_by IS NULL"
        ))?
        .query_row(params![sha256, now.as_microsecond()], link)
        .optional()
}

/// Links that are good at `now`, newest first.
pub(super) fn links(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Link>> {
    connection
        .prepare_cached(&format!(
            "{LINK} WHERE ends_us > ? AND ended_by IS NULL ORDER BY number DESC"
        ))?
        .query_map([now.as_microsecond()], link)?
        .collect()
}

/// Withdraws a link; `false`: it was over already, or there is none.
pub(super) fn end_link(
    transaction: &Transaction<'_>,
    number: u64,
    by: &str,
) -> Result<bool, Fault> {
    let changed = transaction.execute(
        "UPDATE share_links SET ended_by = ? WHERE number = ? AND ended_by IS NULL",
        params![by, number as i64],
    )?;
    Ok(changed > 0)
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
    fn a_link_is_good_until_it_is_over_or_withdrawn() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        let transaction = connection.transaction().unwrap();
        let made = |opens, ends| Link {
            number: 0,
            opens,
            made_by: "ann".to_owned(),
            made_at: at(0),
            ends_at: at(ends),
            ended_by: None,
        };
        let incident = |audience| Opens::Incident {
            number: 7,
            audience,
        };
        let partner = incident(Audience::Partner);
        let one = share(&transaction, "one", &made(partner, 100)).unwrap();
        let two = share(&transaction, "two", &made(incident(Audience::Us), 200)).unwrap();
        let seen = |sha256: &str, now| {
            let found = shared(&transaction, sha256, at(now)).unwrap();
            found.map(|link| (link.number, link.opens))
        };
        assert_eq!(seen("one", 99), Some((one, partner)));
        assert_eq!(seen("one", 100), None);
        assert_eq!(seen("other", 0), None);
        let numbers = |now| -> Vec<u64> {
            let found = links(&transaction, at(now)).unwrap();
            found.iter().map(|link| link.number).collect()
        };
        assert_eq!(numbers(0), [two, one]);
        assert!(end_link(&transaction, two, "ben").unwrap());
        assert!(!end_link(&transaction, two, "ben").unwrap());
        assert_eq!((seen("two", 0), numbers(0)), (None, vec![one]));
        for opens in [Opens::StatusPage, Opens::Wall, Opens::Api] {
            let name = format!("{opens:?}");
            let number = share(&transaction, &name, &made(opens, 100)).unwrap();
            assert_eq!(seen(&name, 0), Some((number, opens)));
        }
        // Of a newer edgewatch.
        assert_eq!(Opens::read(7, "everything"), partner);
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
