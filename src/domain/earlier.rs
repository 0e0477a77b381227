//! An incident that is over, as far as a later one is compared with it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::diagnosis::Cause;
use super::form::nanos;
use super::subject::Subject;
use super::verdict::Kind;

/// An incident that is over, as far as a later one is compared with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    pub number: u64,
    pub subject: Subject,
    pub onset_at: Timestamp,
    pub kind: Kind,
    pub cause: Cause,
    /// How long it failed.
    #[serde(rename = "failing_ns", with = "nanos")]
    pub failing: Duration,
}
