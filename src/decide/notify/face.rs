//! What a person sees of an incident's diagnosis, so that they are told anew only when it differs.

use crate::decide::briefing::GUESSES_BELOW;
use crate::decide::confirm::Group;
use crate::domain::cell::ProbeName;
use crate::domain::diagnosis::Cause;
use crate::domain::incident::Incident;

/// What a receiver is told anew when it changes: cause, whose side, kind, scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    cause: Cause,
    confidence: f64,
    our_side: bool,
    group: Group,
    probes: Vec<ProbeName>,
}

impl Face {
    #[must_use]
    pub fn of(incident: &Incident) -> Self {
        let diagnosis = &incident.diagnosis;
        // Which candidates are left changes by the minute; that it is not known is what a person reads.
        let cause = match &diagnosis.cause {
            Cause::Unknown { .. } => Cause::Unknown { among: Vec::new() },
            known => known.clone(),
        };
        Self {
            cause,
            confidence: diagnosis.confidence,
            our_side: matches!(diagnosis.cause, Cause::OurNetwork { .. }),
            group: Group::of(incident.kind),
            probes: incident.probes.clone(),
        }
    }

    /// Whether the incident still has the cause that it had.
    #[must_use]
    pub fn same_cause(&self, incident: &Incident) -> bool {
        let now = Self::of(incident);
        self.cause == now.cause && self.group == now.group
    }

    /// The part that somebody with this bound of confidence sees.
    pub(super) fn shown(&self, min_confidence: f64) -> (Option<&Cause>, bool, Group, &[ProbeName]) {
        let named = if matches!(self.cause, Cause::Unknown { .. }) {
            min_confidence < GUESSES_BELOW
        } else {
            self.confidence >= min_confidence
        };
        let cause = named.then_some(&self.cause);
        (cause, self.our_side, self.group, &self.probes)
    }
}
