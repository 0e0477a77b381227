//! Keeps what the loop decided: commits changes in their order, off the loop's path.
//!
//! The loop must go on probing while a disk is full or slow. So changes wait here in a bounded queue,
//! each is tried until the store has it; the store wakes delivery. Nothing else waits here, so that
//! nothing can take their place. What is still waiting when the process dies was never told to anybody,
//! and is found again after the restart.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::domain::change::Change;
use crate::domain::surroundings::Learned;
use crate::store::{Backlog, Store, StoreError};

/// Changes that may wait; an incident makes a handful, so this is hours of a full disk.
const WAITING_MAX: usize = 4_096;

/// Between two tries of a commit that failed.
const AGAIN: Duration = Duration::from_secs(5);

/// What waits to be kept.
#[derive(Debug)]
enum Work {
    Change(Box<Change>),
    Learned(Box<Learned>),
    /// What became of an acknowledgement, once the changes before it are kept.
    Answer(i64, &'static str),
}

impl Work {
    async fn keep(&self, store: &Store) -> Result<(), StoreError> {
        match self {
            Self::Change(change) => store.commit((**change).clone()).await,
            Self::Learned(learned) => store.learn((**learned).clone()).await,
            Self::Answer(ask, answer) => store.answer(*ask, answer).await,
        }
    }

    /// Together or not at all: what waited until the store could be written is told as it is by then, and nobody is
    /// paged for what began and ended meanwhile.
    async fn keep_all(all: &[Self], store: &Store) -> Result<(), StoreError> {
        if let [one] = all {
            return one.keep(store).await;
        }
        let mut backlog = Backlog::default();
        for work in all {
            match work {
                Self::Change(change) => backlog.changes.push((**change).clone()),
                Self::Learned(learned) => backlog.learned.push((**learned).clone()),
                Self::Answer(ask, answer) => backlog.answers.push((*ask, answer)),
            }
        }
        store.commit_all(backlog).await
    }

    /// Its incident; 0 for none.
    fn number(&self) -> u64 {
        match self {
            Self::Change(change) => change.incident.number,
            Self::Learned(_) | Self::Answer(..) => 0,
        }
    }
}

/// The loop's handle to the task that commits.
#[derive(Debug)]
pub struct Keeper {
    work: mpsc::Sender<Work>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts the task.
    #[must_use]
    pub fn start(store: Store) -> Self {
        let (work, waiting) = mpsc::channel(WAITING_MAX);
        Self {
            work,
            task: tokio::spawn(keep(store, waiting)),
        }
    }

    /// Hands a change over; says so when even the queue is full.
    pub fn change(&self, change: Box<Change>) {
        self.work(Work::Change(change));
    }

    /// The same for what was learned of the surroundings.
    pub fn learned(&self, learned: Box<Learned>) {
        self.work(Work::Learned(learned));
    }

    fn work(&self, work: Work) {
        let number = work.number();
        // Closed: another hub leads, and decides it anew.
        if let Err(mpsc::error::TrySendError::Full(_)) = self.work.try_send(work) {
            tracing::error!(
                incident = number,
                "a change is lost: {WAITING_MAX} already wait for the store"
            );
        }
    }

    /// Answers an acknowledgement from another process after the changes that it caused; one that is lost
    /// is found again after the restart.
    pub fn answer(&self, ask: i64, answer: &'static str) {
        self.work(Work::Answer(ask, answer));
    }

    /// How many changes wait for the store, without those in hand.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.work.max_capacity() - self.work.capacity()
    }

    /// Waits until everything handed over is kept, at most `deadline`.
    pub async fn stop(mut self, deadline: Duration) {
        drop(self.work);
        if tokio::time::timeout(deadline, &mut self.task)
            .await
            .is_err()
        {
            tracing::warn!("stopped with changes that the store did not take within {deadline:?}");
            // Left alone it would try again for ever.
            self.task.abort();
        }
    }
}

async fn keep(store: Store, mut waiting: mpsc::Receiver<Work>) {
    let mut told = false;
    while let Some(work) = waiting.recv().await {
        let mut all = vec![work];
        while let Err(error) = Work::keep_all(&all, &store).await {
            // Another hub decides it anew.
            if matches!(error, StoreError::Deposed { .. }) {
                return;
            }
            if !std::mem::replace(&mut told, true) {
                tracing::error!(
                    incident = all[0].number(),
                    "{error}; probing goes on, the change is tried again"
                );
            }
            tokio::time::sleep(AGAIN).await;
            while all.len() < WAITING_MAX
                && let Ok(more) = waiting.try_recv()
            {
                all.push(more);
            }
        }
        if std::mem::take(&mut told) {
            tracing::warn!("the store takes changes again");
        }
    }
}
