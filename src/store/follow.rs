//! Following what is kept: for pages and whoever else shows it as it comes, as many as there are.
//!
//! Each hears of every change once it is on the disk, in the order of the changes. The line has a bound: who
//! is too slow loses the oldest and is told how many, and the store waits for nobody.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

use crate::domain::change::{Change, VerdictChange};
use crate::domain::judged::Judged;

/// Changes that a follower may be behind.
pub(super) const BEHIND_MAX: usize = 1_024;

/// Something that was kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// Told when it is handed over, as history may be lost with the last fifth of a second.
    Run(Arc<Judged>),
    Change(Arc<Change>),
    /// As a run.
    Verdict(Arc<VerdictChange>),
    /// So many were lost to this follower: what it shows must be read anew.
    Missed(u64),
}

/// One who follows, from when it began.
#[derive(Debug)]
pub struct Follower(pub(super) broadcast::Receiver<Kept>);

impl Follower {
    /// The next change; `None` once the store is closed.
    pub async fn next(&mut self) -> Option<Kept> {
        match self.0.recv().await {
            Ok(kept) => Some(kept),
            Err(RecvError::Lagged(missed)) => Some(Kept::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}
