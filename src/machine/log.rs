//! A log of what a machine heard, and what it must answer when it hears it again.
//!
//! A line is one JSON object. The first says with what the machine began: the text of the plan, what the text's
//! references led to, and what was known. Then comes a line for each event with the time and a digest of the
//! effects, and after every thousand events a digest of all that the machine remembers. A machine that is begun in
//! the same way and hears the same must answer the same, so a log is a test case, and the way to see in a quiet hour
//! what happened in a bad one. Digests hold within one version: another may decide otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Effect, Event, Judged, Known, Machine, RunId};
use crate::domain::cell::{CellKey, CredentialName, ProbeName};
use crate::domain::incident::{Acknowledged, Care};
use crate::domain::mute::Silence;
use crate::domain::plan::Plan;

/// The form of the lines.
pub const FORM: u32 = 1;

/// A digest of the state stands after so many events.
const STATE_EVERY: u64 = 1_000;

/// The text of a plan, and what its references led to; no secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub text: String,
    /// By name; a variable that was not there is missing.
    pub env: BTreeMap<String, String>,
    /// Variables that are filled in, and so no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// By path as written.
    pub files: BTreeMap<String, String>,
    /// Those of the files that the text includes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub included: BTreeSet<String>,
}

/// One line of a log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    Begin {
        form: u32,
        /// The program that wrote it.
        version: String,
        now: Timestamp,
        plan: Box<Source>,
        known: Box<Known>,
    },
    Step {
        now: Timestamp,
        event: Heard,
        effects: String,
    },
    State {
        after: u64,
        digest: String,
    },
}

/// An event in writing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    Ended {
        run: RunId,
        judged: Box<Judged>,
    },
    Lost {
        run: RunId,
    },
    Reported(Box<Judged>),
    Silent(BTreeMap<String, Timestamp>),
    Tick,
    PlanReplaced(Box<Source>),
    Acknowledged {
        incident: u64,
        by: Acknowledged,
    },
    Released {
        incident: u64,
        by: Acknowledged,
    },
    Silenced(Vec<Silence>),
    Spent {
        credential: CredentialName,
        requests: u32,
    },
    Wanted {
        probes: Vec<ProbeName>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        cells: Vec<CellKey>,
        who: String,
    },
    Leave {
        number: u64,
        host: String,
    },
    ClockSet {
        by: SignedDuration,
    },
}

impl Heard {
    /// An event in writing; `plan` is the text of the one that is replaced by, if it is.
    #[must_use]
    pub fn of(event: &Event, plan: &Source) -> Self {
        match event {
            Event::Ended { run, judged } => Self::Ended {
                run: *run,
                judged: Box::new(Judged::clone(judged)),
            },
            Event::Lost { run } => Self::Lost { run: *run },
            Event::Reported(judged) => Self::Reported(Box::new(Judged::clone(judged))),
            Event::Silent(silent) => Self::Silent(silent.clone()),
            Event::Tick => Self::Tick,
            Event::PlanReplaced(_) => Self::PlanReplaced(Box::new(plan.clone())),
            Event::Care { incident, care } => {
                let (incident, by) = (*incident, care.by().clone());
                match care {
                    Care::Taken(_) => Self::Acknowledged { incident, by },
                    Care::Released(_) => Self::Released { incident, by },
                }
            }
            Event::Silenced(silences) => Self::Silenced(silences.clone()),
            Event::Spent {
                credential,
                requests,
            } => Self::Spent {
                credential: credential.clone(),
                requests: *requests,
            },
            Event::Wanted { probes, cells, who } => Self::Wanted {
                cells: cells.clone(),
                probes: probes.clone(),
                who: who.clone(),
            },
            Event::Leave { number, host } => Self::Leave {
                number: *number,
                host: host.clone(),
            },
            Event::ClockSet { by } => Self::ClockSet { by: *by },
        }
    }

    /// The event again; `plan` reads a text.
    ///
    /// # Errors
    /// What `plan` says.
    pub fn event<E>(self, plan: impl Fn(&Source) -> Result<Plan, E>) -> Result<Event, E> {
        Ok(match self {
            Self::Ended { run, judged } => Event::Ended {
                run,
                judged: Arc::new(*judged),
            },
            Self::Lost { run } => Event::Lost { run },
            Self::Reported(judged) => Event::Reported(Arc::new(*judged)),
            Self::Silent(silent) => Event::Silent(silent),
            Self::Tick => Event::Tick,
            Self::PlanReplaced(source) => Event::PlanReplaced(Arc::new(plan(&source)?)),
            Self::Acknowledged { incident, by } => Event::Care {
                incident,
                care: Care::Taken(by),
            },
            Self::Released { incident, by } => Event::Care {
                incident,
                care: Care::Released(by),
            },
            Self::Silenced(silences) => Event::Silenced(silences),
            Self::Spent {
                credential,
                requests,
            } => Event::Spent {
                credential,
                requests,
            },
            Self::Wanted { probes, cells, who } => Event::Wanted { probes, cells, who },
            Self::Leave { number, host } => Event::Leave { number, host },
            Self::ClockSet { by } => Event::ClockSet { by },
        })
    }
}

/// Writes the lines of one log.
#[derive(Debug, Default)]
pub struct Writer {
    steps: u64,
}

impl Writer {
    /// The first line.
    #[must_use]
    pub fn begin(plan: &Source, known: &Known, now: Timestamp) -> Line {
        Line::Begin {
            form: FORM,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now,
            plan: Box::new(plan.clone()),
            known: Box::new(known.clone()),
        }
    }

    /// The lines of a step that `machine` has made.
    pub fn step(
        &mut self,
        event: Heard,
        now: Timestamp,
        effects: &[Effect],
        machine: &Machine,
    ) -> Vec<Line> {
        self.steps += 1;
        let mut lines = vec![Line::Step {
            now,
            event,
            effects: digest(&effects),
        }];
        if self.steps.is_multiple_of(STATE_EVERY) {
            lines.push(Line::State {
                after: self.steps,
                digest: machine.digest(),
            });
        }
        lines
    }
}

/// A short digest of a value by its debug form, in which no secret shows and every number is exact.
#[must_use]
pub fn digest(value: &impl fmt::Debug) -> String {
    struct Into(Sha256);
    impl fmt::Write for Into {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.update(text.as_bytes());
            Ok(())
        }
    }
    let mut into = Into(Sha256::new());
    // Writing into a digest can't fail.
    let _ = write!(into, "{value:?}");
    let bytes = into.0.finalize();
    bytes[..8].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
