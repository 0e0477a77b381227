//! A second hand on the file, beside a daemon that may be running: for what people ask by a command.
//!
//! `SQLite` keeps the two apart. The daemon notices what was asked within a second or so; when none runs,
//! the next one does at its start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Transaction};
use uuid::Uuid;

use super::error::{Fault, StoreError};
use super::people::{self, Act, Link};
use super::silences::Wanted;
use super::upkeep::{self, Compacted};
use super::{ledger, open, outbox, silences, writer};
use crate::domain::cell::{CellKey, CredentialName, ProbeName};
use crate::domain::incident::{Care, TimelineEntry};
use crate::domain::mute::{Ended, Silence};

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let error = |e: rusqlite::Error| StoreError::new(path, "open the store", e);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(error)?;
    connection
        .busy_timeout(Duration::from_secs(5))
        .map_err(error)?;
    Ok(connection)
}

/// An open file into which only what people do is written: silences, notes, acknowledgements, sign-ins.
#[derive(Debug)]
pub struct Hand {
    connection: Connection,
    path: PathBuf,
}

impl Hand {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = open::existing(path, connect)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    /// Keeps a silence and gives it its number.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is silenced then.
    pub fn add_silence(&mut self, silence: Silence) -> Result<Silence, StoreError> {
        self.write("keep a silence", |t| silences::add(t, silence))
    }

    /// Ends a silence and returns it as it is then; one that was over stays as it was. `None`: there is none.
    pub fn end_silence(
        &mut self,
        number: u64,
        ended: Ended,
    ) -> Result<Option<Silence>, StoreError> {
        self.write("end a silence", |t| silences::end(t, number, ended))
    }

    /// Silences in force at `now`, by number.
    pub fn silences(&self, now: Timestamp) -> Result<Vec<Silence>, StoreError> {
        silences::in_force(&self.connection, now)
            .map_err(|fault| StoreError::new(&self.path, "read silences", fault))
    }

    /// Leaves for the daemon who looks after an incident, or that nobody does; its id, for [`Hand::answer`].
    pub fn care(&mut self, incident: u64, care: &Care) -> Result<i64, StoreError> {
        let care = care.clone();
        let wanted = Wanted::Care { incident, care };
        self.write("keep an acknowledgement", |t| {
            silences::ask(t, &wanted, crate::clock::now())
        })
    }

    /// Leaves for the daemon that every cell of these probes is to be run now; its id, for [`Hand::answer`].
    pub fn round(&mut self, probes: Vec<ProbeName>, who: &str) -> Result<i64, StoreError> {
        let who = who.to_owned();
        let wanted = Wanted::Round { probes, who };
        self.write("keep a wish", |t| {
            silences::ask(t, &wanted, crate::clock::now())
        })
    }

    /// The same of single cells.
    pub fn cells(&mut self, cells: Vec<CellKey>, who: &str) -> Result<i64, StoreError> {
        let who = who.to_owned();
        let wanted = Wanted::Cells { cells, who };
        self.write("keep a wish", |t| {
            silences::ask(t, &wanted, crate::clock::now())
        })
    }

    /// Counts requests that were made with a credential beside the daemon's.
    pub fn spent(&mut self, credential: &CredentialName, requests: u32) -> Result<(), StoreError> {
        let wanted = Wanted::Spent {
            credential: credential.clone(),
            requests,
        };
        self.write("count requests", |t| {
            silences::ask(t, &wanted, crate::clock::now()).map(drop)
        })
    }

    /// Lets a message wait again that was given up; the id of the wish, for [`Hand::answer`].
    ///
    /// # Errors
    /// It is not given up, or a later one of the same kind was sent since; nothing is changed then.
    pub fn again(&mut self, delivery: Uuid) -> Result<i64, StoreError> {
        self.write("send a message again", |t| {
            outbox::revive(t, delivery)?;
            silences::ask(t, &Wanted::Again, crate::clock::now())
        })
    }

    /// Writes what a person has to say into the timeline of an incident, open or over.
    pub fn note(&mut self, incident: u64, entry: &TimelineEntry) -> Result<(), StoreError> {
        self.write("keep a note", |t| silences::note(t, incident, entry))
    }

    /// What the daemon said to an acknowledgement; `None`: nothing yet.
    pub fn answer(&self, id: i64) -> Result<Option<String>, StoreError> {
        silences::answered(&self.connection, id)
            .map_err(|fault| StoreError::new(&self.path, "read an acknowledgement", fault))
    }

    /// Leaves the digest of a secret that somebody may sign in to the pages with, within minutes and once.
    pub fn offer(&mut self, sha256: &str, who: &str, now: Timestamp) -> Result<(), StoreError> {
        self.write("keep a sign-in", |t| people::offer(t, sha256, who, now))
    }

    /// Takes a secret's digest for a session's; who signs in. `None`: the secret is not good, or no more.
    pub fn sign_in(
        &mut self,
        secret: &str,
        session: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        self.write("sign in", |t| people::sign_in(t, secret, session, now))
    }

    /// Begins a session, kept by its digest, for somebody whose password was right.
    pub fn begin_session(
        &mut self,
        session: &str,
        who: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write("begin a session", |t| {
            people::begin_session(t, session, who, now)
        })
    }

    /// Ends a session.
    pub fn sign_out(&mut self, session: &str) -> Result<(), StoreError> {
        self.write("sign out", |t| people::sign_out(t, session))
    }

    /// Keeps a link by the digest of its token; its number.
    ///
    /// # Errors
    /// [`StoreError`]; too many are good already, for example.
    pub fn share(&mut self, sha256: &str, link: &Link) -> Result<u64, StoreError> {
        self.write("keep a link", |t| people::share(t, sha256, link))
    }

    /// Withdraws a link; `false`: it was over already, or there is none.
    pub fn end_link(&mut self, number: u64, by: &str) -> Result<bool, StoreError> {
        self.write("withdraw a link", |t| people::end_link(t, number, by))
    }

    /// Notes that somebody begins to act; `false`: the same form was sent before.
    pub fn begin(&mut self, session: &str, once: &str, act: &Act) -> Result<bool, StoreError> {
        self.write("write down what is done", |t| {
            people::begin(t, session, once, act)
        })
    }

    /// Notes what came of it.
    pub fn ended(&mut self, once: &str, answer: &str) -> Result<(), StoreError> {
        self.write("write down what was done", |t| {
            people::ended(t, once, answer)
        })
    }

    /// Gives what is free in the file back to the disk; without a daemon the file is written anew.
    ///
    /// # Errors
    /// [`StoreError`]: the disk has no room for what is written anew, or another process writes all the time.
    pub fn compact(&mut self) -> Result<Compacted, StoreError> {
        upkeep::compact(&self.connection, &self.path)
    }

    fn write<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let checked = |t: &Transaction<'_>| {
            ledger::check_leads(t)?;
            work(t)
        };
        writer::durably(&mut self.connection, checked)
            .map_err(|fault| StoreError::new(&self.path, doing, fault))
    }
}
