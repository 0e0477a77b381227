//! A run and what it means: what the rules hear, the store keeps and pages show.

use serde::{Deserialize, Serialize};

use super::observation::Observation;
use super::verdict::{Kind, Verdict};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    pub observation: Observation,
    pub verdict: Verdict,
}

impl Judged {
    /// The verdict's kind, as far as blame goes.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.verdict.blamed()
    }
}
