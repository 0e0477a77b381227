//! What is kept: one `SQLite` file, one thread that writes it.
//!
//! Three kinds of data, three bargains. **History** (observations, bodies of failures, verdict changes) is
//! recorded without waiting, in batches, and may lose its last fifth of a second in a power cut.
//! **Incidents** and the **outbox** change together in one transaction that is on the disk before `commit`
//! returns: what was decided is never told without being kept, nor kept without being told. When the disk
//! is full or broken the error comes back to the caller and shows in [`Store::health`]; probing goes on,
//! history waits in a bounded queue, and writing resumes by itself.
//!
//! What is read for people and pages is read beside all that (`readers`), never on the writer's thread.

// The clock of the host is set.
mod clock_set;
// What a ledger hands to a log.
mod decided;
mod document;
mod error;
mod follow;
mod hand;
mod history;
// Which file it is, looked at while it is open.
mod identity;
mod incidents;
// What was decided, for another store that is to be the same.
mod ledger;
mod marks;
mod note;
mod one_run;
mod open;
mod outbox;
// How an incident looked at each moment.
mod past_look;
// Who acts in the pages.
mod people;
mod place;
// Files that were in force.
mod plans;
mod reader;
mod readers;
mod rollups;
mod runs;
mod schema;
mod silences;
mod storms;
mod surroundings;
// What people ask of the file itself.
mod upkeep;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Transaction};
use tokio::sync::{broadcast, oneshot, watch};

use crate::domain::cell::CredentialName;
use crate::domain::change::{Change, VerdictChange};
use crate::domain::incident::{Care, Incident};
use crate::domain::judged::Judged;
use crate::domain::keeping::{Health, Post};
use crate::domain::mute::{Ended, Silence};
use crate::domain::observation::Observation;
use crate::domain::plan::StorePolicy;
use crate::domain::secret::Secrets;
use crate::domain::surroundings::{Learned, Memory};
use crate::domain::verdict::Verdict;

pub use decided::{Decided, Ledger, Place};
pub use error::StoreError;
pub use follow::{Follower, Kept};
pub use hand::Hand;
pub use incidents::{Open, Shown};
pub use ledger::Following;
pub use marks::Mark;
pub use one_run::KeptRun;
pub use outbox::{Delivery, Divert, Outcome, Progress, Thread};
pub use past_look::Thought;
pub use people::{Act, Audience, Link, Opens};
pub use plans::Generation;
pub use reader::Reader;
pub use runs::{Cursor, Lateness, RunsAsked, RunsPage};
pub use silences::{Ask, Wanted};
pub use storms::{Joined, Storm};
pub use upkeep::{Compacted, Soundness};

use error::Fault;
use note::Note;
use readers::Readers;
use writer::Queue;
pub use writer::Renewed;

/// A store that was opened, and what a person should know about how that went.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    /// For the log, at level warn; for example that a damaged file was moved aside.
    pub warnings: Vec<String>,
}

/// What waited while the store could not be written, in its order.
#[derive(Debug, Default)]
pub struct Backlog {
    pub changes: Vec<Change>,
    pub learned: Vec<Learned>,
    /// Acknowledgements that were dealt with, and the answer to each.
    pub answers: Vec<(i64, &'static str)>,
}

/// What other processes asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Of the file; another one when another process wrote since.
    pub version: i64,
    /// Those in force.
    pub silences: Vec<Silence>,
    pub asks: Vec<Ask>,
}

/// A handle to the one writer; cheap to clone.
///
/// The thread ends when the last handle is dropped, or when [`Store::close`] is called.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    queue: Arc<Queue>,
    readers: Readers,
    followers: broadcast::Sender<Kept>,
    /// Counts the commits that put something into the outbox.
    outbox: watch::Sender<u64>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.stop();
    }
}

impl Store {
    /// Opens the file, or makes it; brings an older one up to date; starts the writer.
    ///
    /// A damaged store is renamed to `<name>.corrupt-<time>` and a new one begun, so that probing goes on;
    /// a file that was never ours is refused and left alone.
    ///
    /// # Errors
    /// [`StoreError`]: the folder can't be written, another process has the file, a newer version wrote it,
    /// it is something else altogether.
    pub fn open(path: &Path, policy: &StorePolicy) -> Result<Opened, StoreError> {
        let opened = open::open(path, policy)?;
        let queue = Arc::new(Queue::new());
        writer::start(
            opened.connection,
            opened.lock,
            path.to_owned(),
            policy.clone(),
            Arc::clone(&queue),
        )?;
        let shared = Arc::clone(&queue);
        queue.job(Box::new(move |connection| {
            look(connection, &shared);
        }))?;
        let readers = Readers::new(path, queue.renewed.subscribe());
        let inner = Inner {
            path: path.to_owned(),
            queue,
            readers,
            followers: broadcast::Sender::new(follow::BEHIND_MAX),
            outbox: watch::Sender::new(0),
        };
        Ok(Opened {
            store: Self {
                inner: Arc::new(inner),
            },
            warnings: opened.warnings,
        })
    }

    /// Opens the file to read only; the daemon may be running.
    ///
    /// # Errors
    /// [`StoreError`]: there is no such file, or it has another format than this program reads.
    pub fn read_only(path: &Path) -> Result<Reader, StoreError> {
        Reader::open(path)
    }

    /// Opens the file beside a daemon, for what people ask by a command.
    ///
    /// # Errors
    /// [`StoreError`]: there is no such file, or it has another format than this program writes.
    pub fn hand(path: &Path) -> Result<Hand, StoreError> {
        Hand::open(path)
    }

    /// How often the file was written anew under the running daemon, and how that was the last time.
    #[must_use]
    pub fn renewed(&self) -> watch::Receiver<(u64, Option<Renewed>)> {
        self.inner.queue.renewed.subscribe()
    }

    /// Keeps one run; never waits. When the queue is full the run is dropped and counted.
    pub fn record(&self, observation: &Observation, verdict: &Verdict) {
        self.inner.queue.note(
            Note::run(observation, verdict),
            note::body(observation, verdict),
        );
        self.tell(|| {
            Kept::Run(Arc::new(Judged {
                observation: observation.clone(),
                verdict: verdict.clone(),
            }))
        });
    }

    /// Keeps runs that came together, and what says how far was read, in one transaction; never waits.
    ///
    /// The place is kept even where runs are dropped because the queue is full: see [`Store::has_room`].
    pub fn record_all(&self, runs: &[Arc<Judged>], name: &'static str, place: String) {
        let notes = runs.iter().map(|judged| {
            let (observation, verdict) = (&judged.observation, &judged.verdict);
            (
                Note::run(observation, verdict),
                note::body(observation, verdict),
            )
        });
        let place = Note::Place { name, text: place };
        self.inner
            .queue
            .note_together(notes.chain([(place, None)]).collect());
        for judged in runs {
            self.tell(|| Kept::Run(Arc::clone(judged)));
        }
    }

    /// Whether the queue takes so many runs more without dropping any.
    #[must_use]
    pub fn has_room(&self, runs: usize) -> bool {
        self.inner.queue.has_room(runs)
    }

    /// Keeps a change of verdict; never waits.
    pub fn note_verdict(&self, change: &VerdictChange) {
        self.inner
            .queue
            .note(Note::VerdictChange(change.clone()), None);
        self.tell(|| Kept::Verdict(Arc::new(change.clone())));
    }

    /// Tells whoever follows; where nobody does, nothing is made.
    fn tell(&self, kept: impl FnOnce() -> Kept) {
        let followers = &self.inner.followers;
        if followers.receiver_count() > 0 {
            let _ = followers.send(kept());
        }
    }

    /// Sets what is masked in bodies before they are kept; for a start and after each reload.
    pub fn mask(&self, secrets: Secrets) {
        self.inner.queue.mask(secrets);
    }

    /// Keeps what one step changed: incident, timeline and outbox, together or not at all.
    ///
    /// Returns when it is on the disk. Committing the same change again is harmless, so a caller may retry
    /// after any error.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub async fn commit(&self, change: Change) -> Result<(), StoreError> {
        let due = !change.notifications.is_empty();
        let change = Arc::new(change);
        let kept = Kept::Change(Arc::clone(&change));
        let followers = self.inner.followers.clone();
        let work = move |transaction: &Transaction<'_>| incidents::put(transaction, &change);
        self.write_then("keep an incident", work, move |_| {
            // Nobody follows: nobody is told.
            let _ = followers.send(kept);
        })
        .await?;
        if due {
            self.outbox_changed();
        }
        Ok(())
    }

    /// As [`Store::commit`], [`Store::learn`] and [`Store::answer`], for all that waited: together or not at all.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub async fn commit_all(&self, backlog: Backlog) -> Result<(), StoreError> {
        let Backlog {
            changes,
            learned,
            answers,
        } = backlog;
        let changes: Vec<Arc<Change>> = changes.into_iter().map(Arc::new).collect();
        let kept = changes.clone();
        let followers = self.inner.followers.clone();
        let work = move |transaction: &Transaction<'_>| {
            for change in &changes {
                incidents::put(transaction, change)?;
            }
            for learned in &learned {
                surroundings::put(transaction, learned, crate::clock::now())?;
            }
            for (ask, answer) in answers {
                silences::answer(transaction, ask, answer)?;
            }
            Ok::<_, Fault>(())
        };
        self.write_then("keep what waited", work, move |_| {
            for change in kept {
                // Nobody follows: nobody is told.
                let _ = followers.send(Kept::Change(change));
            }
        })
        .await?;
        self.outbox_changed();
        Ok(())
    }

    /// Keeps what one step learned of the surroundings, with the notices of it, together or not at all.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub async fn learn(&self, learned: Learned) -> Result<(), StoreError> {
        let due = !learned.notifications.is_empty();
        self.write("keep what was learned", move |transaction| {
            surroundings::put(transaction, &learned, crate::clock::now())
        })
        .await?;
        if due {
            self.outbox_changed();
        }
        Ok(())
    }

    /// Goes on by a clock that was set by so much: what is open moves with it, history ahead of it goes.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed then.
    pub async fn clock_was_set(
        &self,
        by: SignedDuration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write("follow the clock", move |transaction| {
            clock_set::follow(transaction, by, now)
        })
        .await?;
        self.outbox_changed();
        Ok(())
    }

    /// What was learned of the surroundings, and what of it can't be read, for the log.
    ///
    /// # Errors
    /// [`StoreError`] when the table can't be read.
    pub async fn remember(&self) -> Result<(Memory, Vec<String>), StoreError> {
        self.call("read what was learned", |connection| {
            surroundings::load(connection)
        })
        .await
    }

    /// Hears of every change from now on.
    #[must_use]
    pub fn follow(&self) -> Follower {
        Follower(self.inner.followers.subscribe())
    }

    /// Open incidents, those resolved within the last day, and the next free number.
    pub async fn load_open(&self) -> Result<Open, StoreError> {
        let path = self.inner.path.clone();
        self.call("read incidents", move |connection| {
            incidents::load_open(connection, &path, crate::clock::now())
        })
        .await
    }

    /// Keeps a silence and gives it its number.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is silenced then.
    pub async fn add_silence(&self, silence: Silence) -> Result<Silence, StoreError> {
        self.write("keep a silence", move |transaction| {
            silences::add(transaction, silence)
        })
        .await
    }

    /// Ends a silence; one that was over stays as it was.
    pub async fn end_silence(&self, number: u64, ended: Ended) -> Result<(), StoreError> {
        self.write("end a silence", move |transaction| {
            silences::end(transaction, number, ended).map(drop)
        })
        .await
    }

    /// Silences in force, by number.
    pub async fn silences(&self) -> Result<Vec<Silence>, StoreError> {
        self.call("read silences", |connection| {
            silences::in_force(connection, crate::clock::now())
        })
        .await
    }

    /// When requests with each credential were made since a time, as far as a daemon has counted them.
    pub async fn spent(
        &self,
        since: jiff::Timestamp,
    ) -> Result<Vec<(CredentialName, jiff::Timestamp)>, StoreError> {
        self.call("count requests", move |connection| {
            silences::spent(connection, since, true)
        })
        .await
    }

    /// What another process asked since `version`, and the version now; `None`: nothing new.
    ///
    /// Silences in force, and the acknowledgements after the one with id `after` that wait.
    pub async fn asked(
        &self,
        version: Option<i64>,
        after: i64,
    ) -> Result<Option<Asked>, StoreError> {
        self.call("read what was asked", move |connection| {
            // Moves only when another connection wrote: <https://www.sqlite.org/pragma.html#pragma_data_version>
            // (read 2026-11-22).
            let now: i64 = connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
            if version == Some(now) {
                return Ok(None);
            }
            Ok::<_, Fault>(Some(Asked {
                version: now,
                silences: silences::in_force(connection, crate::clock::now())?,
                asks: silences::asks(connection, after)?,
            }))
        })
        .await
    }

    /// Keeps an acknowledgement, so that it is not lost with this process; its id, for [`Store::answer`].
    pub async fn ask(&self, incident: u64, care: Care) -> Result<i64, StoreError> {
        self.write("keep an acknowledgement", move |transaction| {
            let wanted = Wanted::Care { incident, care };
            silences::ask(transaction, &wanted, crate::clock::now())
        })
        .await
    }

    /// Marks an acknowledgement as dealt with; `answer` is for whoever asked.
    pub async fn answer(&self, id: i64, answer: &'static str) -> Result<(), StoreError> {
        self.write("answer an acknowledgement", move |transaction| {
            silences::answer(transaction, id, answer)
        })
        .await
    }

    /// A page of incidents, newest first: those with a number below `below`; `None`: the first page.
    pub async fn incidents(
        &self,
        below: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Incident>, StoreError> {
        let readers = &self.inner.readers;
        readers
            .read("read incidents", move |c| incidents::page(c, below, limit))
            .await
    }

    /// One incident with its timeline and what became of its notifications.
    pub async fn show(&self, number: u64) -> Result<Option<Shown>, StoreError> {
        let readers = &self.inner.readers;
        readers
            .read("read an incident", move |c| incidents::show(c, number))
            .await
    }

    /// A page of runs, newest first.
    pub async fn runs(&self, asked: RunsAsked) -> Result<RunsPage, StoreError> {
        let readers = &self.inner.readers;
        readers
            .read("read the history", move |c| runs::page(c, &asked))
            .await
    }

    /// What waits in the outbox, and what became of the rest since the start; never waits.
    #[must_use]
    pub fn post(&self) -> Post {
        self.inner.queue.post().clone()
    }

    /// Keeps a short text under a name, in place of the one before; never waits.
    ///
    /// It may be lost with the last fifth of a second, as history may.
    pub fn keep_note(&self, name: &'static str, text: String) {
        // That a note could not be kept shows in its age; writing that matters reports its own failures.
        let _ = self.inner.queue.job(Box::new(move |connection| {
            let _ = connection.execute(
                "INSERT INTO notes (name, text) VALUES (?, ?)
                 ON CONFLICT (name) DO UPDATE SET text = excluded.text",
                [name, &text],
            );
        }));
    }

    /// Keeps the text of a file that is in force from now on, and what it changes; never waits.
    pub fn keep_plan(&self, at: Timestamp, text: String, changes: Vec<String>) {
        let _ = self.inner.queue.job(Box::new(move |connection| {
            if let Err(error) = plans::keep(connection, at, &text, &changes) {
                tracing::debug!("the file in force could not be kept: {error}");
            }
        }));
    }

    /// How writing goes.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.queue.health()
    }

    /// Writes the history that waits, at once.
    ///
    /// # Errors
    /// Why writing fails; the history goes on waiting then.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.inner
            .queue
            .flushed()
            .await
            .map_err(|why| StoreError::Io {
                path: self.inner.path.clone(),
                doing: "keep the history",
                why,
            })
    }

    /// Writes what waits and ends the writer; the file is free for another process when this returns.
    pub async fn close(&self) {
        // The writer is the last to leave: it tidies up what lies beside the file.
        self.inner.readers.close().await;
        self.inner.queue.stop();
        self.inner.queue.ended().await;
    }

    /// Changes whenever the outbox got something new to send.
    #[must_use]
    pub fn outbox_version(&self) -> watch::Receiver<u64> {
        self.inner.outbox.subscribe()
    }

    /// Tells whoever sends that another hand put something into the outbox.
    pub fn outbox_changed(&self) {
        self.inner.outbox.send_modify(|version| *version += 1);
    }

    /// Runs `work` in one transaction that is on the disk when this returns.
    async fn write<T: Send + 'static, E: Into<Fault> + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_then(doing, work, |_| ()).await
    }

    /// The same; what it was is then counted, before the outbox is seen without it.
    async fn write_then<T: Send + 'static, E: Into<Fault> + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
        count: impl FnOnce(&mut Post) + Send + 'static,
    ) -> Result<T, StoreError> {
        let queue = Arc::clone(&self.inner.queue);
        let path = self.inner.path.clone();
        self.job(move |connection| {
            let result = match queue.ledger.get() {
                None => writer::durably(connection, work),
                Some(ledger) => ledger::led(connection, &**ledger, false, work),
            }
            .map_err(|fault| StoreError::new(&path, doing, fault));
            // Who leads no more has nothing to write; the disk is well.
            if !matches!(result, Err(StoreError::Deposed { .. })) {
                queue.wrote(result.as_ref().err());
            }
            if result.is_ok() {
                count(&mut queue.post());
                look(connection, &queue);
            }
            result
        })
        .await
    }

    /// Runs `work` on the writer's thread, after what was asked before; `doing` follows "can't".
    async fn call<T: Send + 'static, E: Into<Fault> + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, StoreError> {
        let path = self.inner.path.clone();
        self.job(move |connection| {
            work(connection).map_err(|fault| StoreError::new(&path, doing, fault))
        })
        .await
    }

    async fn job<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        self.inner.queue.job(Box::new(move |connection| {
            // The caller may have gone away; the work is done all the same.
            let _ = sender.send(work(connection));
        }))?;
        receiver.await.unwrap_or(Err(StoreError::Closed))
    }
}

/// Looks at what waits in the outbox.
fn look(connection: &Connection, queue: &Queue) {
    if let Ok(due) = outbox::due_by_receiver(connection) {
        queue.post().due = due;
    }
}

#[cfg(test)]
mod tests;
