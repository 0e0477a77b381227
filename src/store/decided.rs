//! What the ledger hands to a log, and what it wants of one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Rows of one decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decided {
    /// Format of the store that they were written in.
    pub format: i64,
    /// They are all that there is: what another store has besides goes.
    pub whole: bool,
    /// One row each, as JSON: the table, whether it is there (1) or gone (0), and its columns.
    pub rows: Vec<String>,
}

/// How far a log is in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Which log.
    pub log: String,
    /// The number of its entry, and by what name the server knows it.
    pub sequence: u64,
    pub id: String,
    /// Of the hub that wrote it.
    pub epoch: u64,
}

/// Where decisions go before they are kept.
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Returns once they are there for good, which may take seconds; called on the writer's thread alone.
    ///
    /// # Errors
    /// A sentence: this hub does not lead any more, and nothing was decided.
    fn append(&self, decided: Decided) -> Result<Place, String>;

    /// What is in the log could not be kept here: this hub must not go on.
    fn lost(&self, why: &str);

    /// Whether this hub leads for as long as a message takes to be told; `false`: not known yet.
    ///
    /// # Errors
    /// A sentence: it does not lead any more.
    fn may_tell(&self) -> Result<bool, String>;
}
