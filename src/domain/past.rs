//! A run as history remembers it: enough to judge by and to show, without the answer itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cell::CellKey;
use super::verdict::Kind;

/// One run of the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRun {
    pub cell: CellKey,
    /// When it began, UTC.
    pub at: Timestamp,
    pub kind: Kind,
    pub status: Option<u16>,
    /// Who made the page; `None` for the application or nobody known.
    pub vendor: Option<String>,
    /// The vendor's own number or word.
    pub code: Option<String>,
    pub reference_id: Option<String>,
}
