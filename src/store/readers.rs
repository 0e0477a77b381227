//! Reading beside the writer: what people and pages ask never waits for history to be written, nor holds it up.
//!
//! Each question runs on a thread for work that blocks, over a connection of its own that can't write. At
//! most two run at once; further ones wait, and each has a caller that waits too.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{Semaphore, watch};

use super::error::{Fault, StoreError};
use super::reader;
use super::writer::Renewed;

/// Questions that are answered at once.
const AT_ONCE: usize = 2;

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    turns: Arc<Semaphore>,
    /// Open and not in use, each with how often the file had been written anew.
    idle: Arc<Mutex<Vec<(u64, Connection)>>>,
    renewed: watch::Receiver<(u64, Option<Renewed>)>,
}

impl Readers {
    pub(super) fn new(path: &Path, renewed: watch::Receiver<(u64, Option<Renewed>)>) -> Self {
        Self {
            path: path.to_owned(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            idle: Arc::default(),
            renewed,
        }
    }

    /// Answers one question; it sees all that was committed before it was asked.
    pub(super) async fn read<T: Send + 'static, E: Into<Fault>>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| StoreError::Closed)?;
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        let times = self.renewed.borrow().0;
        let answer = tokio::task::spawn_blocking(move || {
            let lock = || idle.lock().unwrap_or_else(PoisonError::into_inner);
            // One to a file that is gone would show what was there then.
            let waiting = lock().pop().filter(|(opened, _)| *opened == times);
            let connection = match waiting {
                Some((_, connection)) => connection,
                None => reader::connect(&path)?,
            };
            let answer = work(&connection);
            lock().push((times, connection));
            drop(turn);
            answer.map_err(|fault| StoreError::new(&path, doing, fault))
        });
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Waits for those that run and closes the file; whoever asks after that is refused.
    pub(super) async fn close(&self) {
        if let Ok(turns) = self.turns.acquire_many(AT_ONCE as u32).await {
            turns.forget();
        }
        self.turns.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        drop(idle);
    }
}
