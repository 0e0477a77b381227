//! What goes into the history, on its way to the writer.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::domain::cell::CellKey;
use crate::domain::change::VerdictChange;
use crate::domain::observation::{FailureKind, Observation, Phases, Purpose};
use crate::domain::sent::Sent;
use crate::domain::verdict::{Kind, Maker, Rule, Verdict};

/// Something for the history.
#[derive(Debug)]
pub(super) enum Note {
    Run(Box<Run>),
    VerdictChange(VerdictChange),
    /// What goes under a name with the runs before it, together or not at all.
    Place {
        name: &'static str,
        text: String,
    },
}

/// What is kept of one run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) cell: CellKey,
    pub(super) at: Timestamp,
    pub(super) purpose: Purpose,
    pub(super) late: Duration,
    pub(super) took: Duration,
    pub(super) phases: Phases,
    pub(super) kind: Kind,
    pub(super) maker: Maker,
    pub(super) status: Option<u16>,
    pub(super) remote: Option<SocketAddr>,
    pub(super) failure: Option<FailureKind>,
    pub(super) vendor: Option<String>,
    pub(super) rule: Option<Rule>,
    pub(super) code: Option<String>,
    pub(super) reference_id: Option<String>,
    /// Of the body, when it is that of a failure.
    pub(super) body_sha256: Option<String>,
    /// What its request looked like from outside.
    pub(super) sent: Option<Sent>,
}

/// A failure's body on its way to the disk.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) sha256: String,
    pub(super) bytes: Bytes,
    pub(super) at: Timestamp,
}

impl Note {
    pub(super) fn run(observation: &Observation, verdict: &Verdict) -> Self {
        let late = observation.started_at.duration_since(observation.due_at);
        Self::Run(Box::new(Run {
            cell: observation.cell.clone(),
            at: observation.started_at,
            purpose: observation.purpose,
            late: Duration::try_from(late).unwrap_or_default(),
            took: observation.took,
            phases: observation.phases,
            kind: verdict.kind,
            maker: verdict.maker,
            status: observation.answer.as_ref().map(|a| a.status),
            remote: observation.route.remote,
            failure: observation.failure.as_ref().map(|f| f.kind),
            vendor: (verdict.vendor != "none").then(|| verdict.vendor.to_string()),
            rule: (verdict.rule != Rule::None).then_some(verdict.rule),
            code: verdict.code.clone(),
            reference_id: verdict.reference_id.clone(),
            body_sha256: body(observation, verdict).map(|b| b.sha256),
            sent: observation.sent.clone(),
        }))
    }
}

/// The body worth keeping, if there is one: that of a failure.
pub(super) fn body(observation: &Observation, verdict: &Verdict) -> Option<Body> {
    let answer = observation.answer.as_ref()?;
    if verdict.passed() || answer.body.bytes.is_empty() {
        return None;
    }
    Some(Body {
        sha256: answer.body.sha256.clone(),
        bytes: answer.body.bytes.clone(),
        at: observation.started_at,
    })
}
