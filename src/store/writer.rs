//! The one thread that writes, and the queue before it.
//!
//! Jobs (commits, queries) go first; history is gathered and written at 1,000 rows or after 200 ms,
//! whichever comes first. Neither queue grows without bound: at the bound a row is dropped and counted, a
//! body is left out and counted.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{Notify, watch};

use super::decided::Ledger;
use super::error::{Fault, StoreError};
use super::history::History;
use super::identity::{Fate, Identity, LOOK_EVERY};
use super::note::{Body, Note};
use super::open;
use crate::domain::keeping::{Health, Post};
use crate::domain::plan::StorePolicy;
use crate::domain::secret::Secrets;

/// Rows in one transaction; larger ones gain nothing (measured: 0.75 µs a row at 1,000).
const BATCH_ROWS: usize = 1_000;
/// How long a row may wait for company.
const BATCH_WAIT: Duration = Duration::from_millis(200);
/// How long after a failed write the next is tried.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Rows waiting: several seconds of the largest plan.
const QUEUE_ROWS_MAX: usize = 10_000;
/// Memory that waiting bodies may hold.
const QUEUE_BODY_BYTES_MAX: usize = 32 << 20;
/// Jobs waiting; each has a caller that waits too.
const QUEUE_JOBS_MAX: usize = 4_096;
/// Bodies remembered as kept, so that a storm of one block page costs nothing.
const SEEN_MAX: usize = 4_096;

pub(super) type Job = Box<dyn FnOnce(&mut Connection) + Send>;

pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Apart from the queue, because it is read when the queue may be busy.
    post: Mutex<Post>,
    wake: Condvar,
    /// Told after each turn of the writer, and at its end.
    turned: Notify,
    /// How often the file was written anew, and how that was the last time.
    pub(super) renewed: watch::Sender<(u64, Option<Renewed>)>,
    /// Where decisions go first; none but where this process leads other hubs.
    pub(super) ledger: OnceLock<Arc<dyn Ledger>>,
}

/// That the file was written anew under the running daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// Nothing is lost: what was open held all of it.
    pub whole: bool,
    /// Where what had its name lies now.
    pub aside: Option<PathBuf>,
}

impl Renewed {
    /// What is gone with it, in sentences for people.
    #[must_use]
    pub fn lost(&self) -> &'static [&'static str] {
        if self.whole {
            return &[];
        }
        &[
            "Silences are lost, and must be made anew; so are earlier incidents and history",
            "Where the messages of open incidents stand is lost too: their news comes in new messages",
        ]
    }

    /// One sentence for people.
    #[must_use]
    pub fn said(&self, path: &Path) -> String {
        let path = path.display();
        let aside = self.aside.as_ref().map_or_else(String::new, |aside| {
            format!("; what stood there is now {}", aside.display())
        });
        if self.whole {
            format!(
                "the store {path} was removed or replaced while edgewatch ran; it was written there again, and nothing is lost{aside}"
            )
        } else {
            format!(
                "the store {path} was cut while edgewatch ran; a new one was begun with the open incidents{aside}"
            )
        }
    }
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    notes: VecDeque<(Note, Option<Body>)>,
    /// How many of them are places.
    placed: usize,
    body_bytes: usize,
    seen: HashSet<String>,
    secrets: Secrets,
    /// Rows that the writer took and has not written yet.
    in_hand: usize,
    /// Somebody waits for the history to be written.
    hurry: bool,
    stop: bool,
    ended: bool,
    health: Health,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::new(Waiting::default()),
            post: Mutex::new(Post::default()),
            wake: Condvar::new(),
            turned: Notify::new(),
            renewed: watch::Sender::default(),
            ledger: OnceLock::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the outbox, to read and to change.
    pub(super) fn post(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, note: Note, body: Option<Body>) {
        self.put(&mut self.lock(), note, body);
    }

    /// Takes several that are written in one transaction, the last of them whatever waits.
    pub(super) fn note_together(&self, notes: Vec<(Note, Option<Body>)>) {
        let mut waiting = self.lock();
        for (note, body) in notes {
            self.put(&mut waiting, note, body);
        }
    }

    /// Whether so many more are taken.
    pub(super) fn has_room(&self, rows: usize) -> bool {
        let waiting = self.lock();
        waiting.notes.len() + rows < QUEUE_ROWS_MAX
    }

    fn put(&self, waiting: &mut Waiting, mut note: Note, body: Option<Body>) {
        if matches!(note, Note::Place { .. }) && !waiting.stop {
            waiting.notes.push_back((note, None));
            waiting.placed += 1;
            self.wake.notify_one();
            return;
        }
        if waiting.stop || waiting.notes.len() >= QUEUE_ROWS_MAX {
            waiting.health.dropped_rows += 1;
            return;
        }
        let body = match body {
            Some(body) if waiting.seen.contains(&body.sha256) => None,
            Some(body) if waiting.body_bytes + body.bytes.len() > QUEUE_BODY_BYTES_MAX => {
                waiting.health.dropped_bodies += 1;
                if let Note::Run(run) = &mut note {
                    run.body_sha256 = None;
                }
                None
            }
            Some(body) => {
                if waiting.seen.len() >= SEEN_MAX {
                    waiting.seen.clear();
                }
                waiting.seen.insert(body.sha256.clone());
                waiting.body_bytes += body.bytes.len();
                Some(body)
            }
            None => None,
        };
        let first = waiting.notes.is_empty();
        waiting.notes.push_back((note, body));
        // The writer sleeps without a limit while nothing waits, and looks again by itself after that.
        if first || waiting.notes.len() == BATCH_ROWS {
            self.wake.notify_one();
        }
    }

    pub(super) fn job(&self, job: Job) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.stop {
            return Err(StoreError::Closed);
        }
        if waiting.jobs.len() >= QUEUE_JOBS_MAX {
            return Err(StoreError::Busy);
        }
        waiting.jobs.push_back(job);
        self.wake.notify_one();
        Ok(())
    }

    /// Whether somebody waits for the writer, or history enough for a batch.
    fn waits(&self) -> bool {
        let waiting = self.lock();
        !waiting.jobs.is_empty() || waiting.stop || waiting.notes.len() >= BATCH_ROWS
    }

    pub(super) fn mask(&self, secrets: Secrets) {
        self.lock().secrets = secrets;
    }

    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.wake.notify_one();
    }

    pub(super) fn health(&self) -> Health {
        let waiting = self.lock();
        Health {
            queued_rows: (waiting.notes.len() + waiting.in_hand) as u64,
            ..waiting.health.clone()
        }
    }

    /// Notes how a write went.
    pub(super) fn wrote(&self, error: Option<&StoreError>) {
        let mut waiting = self.lock();
        match error {
            None => {
                waiting.health.last_error = None;
                if waiting.health.failing_since.take().is_some() {
                    tracing::info!("writing to the store works again");
                }
            }
            Some(error) => {
                if waiting.health.failing_since.is_none() {
                    tracing::error!("{error}; probing goes on");
                    waiting.health.failing_since = Some(crate::clock::now());
                }
                waiting.health.last_error = Some(error.to_string());
            }
        }
    }

    /// Waits until no history is left to write.
    pub(super) async fn flushed(&self) -> Result<(), String> {
        loop {
            let turned = self.turned.notified();
            tokio::pin!(turned);
            turned.as_mut().enable();
            {
                let mut waiting = self.lock();
                if waiting.notes.is_empty() && waiting.in_hand == 0 {
                    return Ok(());
                }
                if waiting.ended || waiting.health.failing_since.is_some() {
                    return Err(waiting.health.last_error.clone().unwrap_or_default());
                }
                waiting.hurry = true;
                self.wake.notify_one();
            }
            turned.await;
        }
    }

    pub(super) async fn ended(&self) {
        loop {
            let turned = self.turned.notified();
            tokio::pin!(turned);
            turned.as_mut().enable();
            if self.lock().ended {
                return;
            }
            turned.await;
        }
    }
}

/// Runs `work` in one transaction and returns when it is on the disk.
pub(super) fn durably<T, E: Into<Fault>>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, Fault> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    let result = (|| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction).map_err(Into::into)?;
        transaction.commit()?;
        Ok(done)
    })();
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    result
}

/// Starts the thread; it ends at `Queue::stop` and frees the lock.
pub(super) fn start(
    connection: Connection,
    lock: File,
    path: PathBuf,
    policy: StorePolicy,
    queue: Arc<Queue>,
) -> Result<(), StoreError> {
    let shown = path.clone();
    std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || {
            // Whatever ends the thread, callers must not wait for it for ever.
            let _end = End(Arc::clone(&queue));
            let mut writer = Writer {
                identity: Identity::of(&path),
                policy: policy.clone(),
                connection,
                history: History::new(policy),
                path,
                queue,
                batch: Vec::new(),
            };
            writer.run();
            drop(writer);
            drop(lock);
        })
        .map(drop)
        .map_err(|e| StoreError::Io {
            path: shown,
            doing: "start the writer",
            why: e.to_string(),
        })
}

struct End(Arc<Queue>);

impl Drop for End {
    fn drop(&mut self) {
        let jobs = {
            let mut waiting = self.0.lock();
            waiting.stop = true;
            waiting.ended = true;
            std::mem::take(&mut waiting.jobs)
        };
        drop(jobs);
        self.0.turned.notify_waiters();
    }
}

/// How often what stands in the write-ahead log is put into the file itself.
const MERGE_EVERY: Duration = Duration::from_secs(60);

struct Writer {
    connection: Connection,
    /// Which file it is; `None`: it could not be seen.
    identity: Option<Identity>,
    policy: StorePolicy,
    history: History,
    path: PathBuf,
    queue: Arc<Queue>,
    /// Taken from the queue and not written yet; kept over a failure.
    batch: Vec<(Note, Option<Body>)>,
}

impl Writer {
    fn run(&mut self) {
        if let Err(error) = self.history.tidy(&mut self.connection, crate::clock::now()) {
            let error = StoreError::new(&self.path, "tidy the history", error);
            self.queue.wrote(Some(&error));
        }
        let mut failed = false;
        let mut merged = Instant::now();
        loop {
            let (jobs, stop) = self.wait(failed);
            self.mind_the_file();
            for job in jobs {
                job(&mut self.connection);
            }
            failed = !self.write();
            self.count();
            // A plain copy of the file alone is then no older than this.
            if merged.elapsed() >= MERGE_EVERY {
                merged = Instant::now();
                let merge = "PRAGMA wal_checkpoint(PASSIVE)";
                let _ = self.connection.query_row(merge, [], |_| Ok(()));
            }
            self.queue.turned.notify_waiters();
            // A stop is not obeyed while rows wait that can be written.
            if stop && (failed || self.queue.health().queued_rows == 0) {
                return;
            }
        }
    }

    /// Counts hours and days that are over, while nothing else waits.
    fn count(&mut self) {
        loop {
            match self
                .history
                .count(&mut self.connection, crate::clock::now())
            {
                Ok(true) if !self.queue.waits() => {}
                Ok(_) => return,
                Err(error) => {
                    let error = StoreError::new(&self.path, "count the history", error);
                    return self.queue.wrote(Some(&error));
                }
            }
        }
    }

    /// Sleeps until there is something to do; takes the jobs, and history up to one batch.
    fn wait(&mut self, failed: bool) -> (VecDeque<Job>, bool) {
        let mut waiting = self.queue.lock();
        if waiting.jobs.is_empty() && !waiting.stop {
            waiting = if waiting.notes.is_empty() && self.batch.is_empty() {
                self.queue
                    .wake
                    .wait_timeout_while(waiting, LOOK_EVERY, |w| {
                        w.jobs.is_empty() && w.notes.is_empty() && !w.stop
                    })
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            } else {
                waiting
            };
            if waiting.jobs.is_empty() && waiting.notes.is_empty() && self.batch.is_empty() {
                return (VecDeque::new(), waiting.stop);
            }
            let patience = if failed { RETRY_WAIT } else { BATCH_WAIT };
            waiting = self
                .queue
                .wake
                .wait_timeout_while(waiting, patience, |w| {
                    w.jobs.is_empty()
                        && (failed || w.notes.len() < BATCH_ROWS && !w.hurry)
                        && !w.stop
                })
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        // What came together is written together: a place stands behind the runs that it is about.
        let mut within = false;
        while self.batch.len() < BATCH_ROWS || within {
            let Some((note, body)) = waiting.notes.pop_front() else {
                break;
            };
            within = waiting.placed > 0 && !matches!(note, Note::Place { .. });
            if matches!(note, Note::Place { .. }) {
                waiting.placed -= 1;
            }
            if let Some(body) = &body {
                waiting.body_bytes -= body.bytes.len();
            }
            self.batch.push((note, body));
        }
        waiting.in_hand = self.batch.len();
        waiting.hurry &= !waiting.notes.is_empty();
        let jobs = std::mem::take(&mut waiting.jobs);
        (jobs, waiting.stop)
    }

    /// Writes the store anew where its file was removed, replaced or cut under us.
    fn mind_the_file(&mut self) {
        let fate = self.identity.as_mut().map(|seen| seen.look(&self.path));
        let whole = match fate {
            Some(Fate::Gone) => true,
            Some(Fate::Smaller) if open::is_damaged(&self.path) => false,
            _ => return,
        };
        let renewed = open::renew(&mut self.connection, &self.path, &self.policy, whole);
        match renewed {
            Ok(aside) => {
                self.history = History::new(self.policy.clone());
                self.identity = Identity::of(&self.path);
                let lost = Renewed { whole, aside };
                tracing::error!("{}", lost.said(&self.path));
                self.queue.lock().seen.clear();
                if let Some(ledger) = self.queue.ledger.get() {
                    ledger.lost("its store was removed, replaced or cut");
                }
                self.queue.renewed.send_modify(|(times, last)| {
                    *times += 1;
                    *last = Some(lost);
                });
            }
            Err(error) => self.queue.wrote(Some(&error)),
        }
    }

    /// Writes the batch; `false` when that failed and the batch is kept.
    fn write(&mut self) -> bool {
        if self.batch.is_empty() {
            return true;
        }
        let secrets = self.queue.lock().secrets.clone();
        let written = self
            .history
            .write(&mut self.connection, &self.batch, &secrets)
            .map_err(|e| StoreError::new(&self.path, "keep the history", e));
        let kept = written.is_ok();
        {
            let mut waiting = self.queue.lock();
            if kept {
                waiting.health.written_rows += self.batch.len() as u64;
                self.batch.clear();
                waiting.in_hand = 0;
            } else {
                // What the failed batch was to keep is not kept yet.
                waiting.seen.clear();
            }
        }
        let tidied = written.and_then(|()| {
            self.history
                .tidy(&mut self.connection, crate::clock::now())
                .map_err(|e| StoreError::new(&self.path, "tidy the history", e))
        });
        self.queue.wrote(tidied.as_ref().err());
        kept
    }
}
