//! What a person sees of an incident's diagnosis, so that they are told anew only when it differs.

use crate::domain::cell::ProbeName;
use crate::domain::diagnosis::Cause;
use crate::domain::incident::Incident;
use crate::judge::class::{Class, Mechanism};
use crate::words::briefing::GUESSES_BELOW;

/// What a receiver is told anew when it changes: cause, whose side, kind, scope, what changed before.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    cause: Cause,
    confidence: f64,
    our_side: bool,
    group: Mechanism,
    probes: Vec<ProbeName>,
    /// Changes that it probably has to do with.
    beside: Vec<String>,
}

/// The part of a [`Face`] that somebody sees.
type Shown<'a> = (
    Option<&'a Cause>,
    bool,
    Mechanism,
    &'a [ProbeName],
    &'a [String],
);

impl Face {
    #[must_use]
    pub fn of(incident: &Incident) -> Self {
        let diagnosis = &incident.diagnosis;
        // Which candidates are left changes by the minute; that it is not known is what a person reads.
        let cause = match &diagnosis.cause {
            Cause::Unknown { .. } => Cause::Unknown { among: Vec::new() },
            known => known.clone(),
        };
        let related = incident.beside.iter().filter(|beside| beside.related);
        Self {
            cause,
            confidence: diagnosis.confidence,
            our_side: matches!(diagnosis.cause, Cause::OurNetwork { .. }),
            group: Class::of(incident.kind).mechanism(),
            // Of our own side the egresses are told; whoever is asked from there comes by and by.
            // And what comes and goes touches now these, now those.
            probes: if incident.is_ours() || incident.comes_and_goes() {
                Vec::new()
            } else {
                incident.probes.clone()
            },
            beside: related.map(|beside| beside.text.clone()).collect(),
        }
    }

    /// Whether the incident still has the cause that it had.
    #[must_use]
    pub fn same_cause(&self, incident: &Incident) -> bool {
        let now = Self::of(incident);
        self.cause == now.cause && self.group == now.group
    }

    /// Whether what fails still fails in the same way, roughly.
    #[must_use]
    pub fn same_group(&self, incident: &Incident) -> bool {
        self.group == Class::of(incident.kind).mechanism()
    }

    /// The part that somebody with this bound of confidence sees.
    pub(super) fn shown(&self, min_confidence: f64) -> Shown<'_> {
        let named = if matches!(self.cause, Cause::Unknown { .. }) {
            min_confidence < GUESSES_BELOW
        } else {
            self.confidence >= min_confidence
        };
        let cause = named.then_some(&self.cause);
        (cause, self.our_side, self.group, &self.probes, &self.beside)
    }
}
