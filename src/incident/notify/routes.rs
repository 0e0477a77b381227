//! Whom an incident concerns: by what fails, at which time of the day, and who comes next.

use jiff::Timestamp;

use super::{known_standing, speaks_plainly};
use crate::board::quiet::Quiet;
use crate::domain::cell::ReceiverName;
use crate::domain::incident::{Incident, IncidentCell, Subject};
use crate::domain::moment::later;
use crate::domain::notification::{Reason, Route};
use crate::domain::plan::Plan;
use crate::domain::verdict::{Kind, Severity};

/// Somebody who has yet to be told that the incident opened.
pub(super) struct Opening {
    pub(super) receiver: ReceiverName,
    pub(super) bound: f64,
    /// When that is due; may lie behind.
    pub(super) at: Timestamp,
}

/// Who has yet to be told of an incident that is not muted, each once: whoever is due first.
///
/// Routes outside their hours are left out: they come in when they open.
pub(super) fn waiting(plan: &Plan, quiet: &Quiet, incident: &Incident) -> Vec<Opening> {
    let mut waiting: Vec<Opening> = Vec::new();
    if incident.telling.muted.is_some() {
        return waiting;
    }
    let mut add = |receiver: &ReceiverName, bound: f64, at: Timestamp| {
        // Support staff hear of what does not work.
        if incident.told_receivers.contains(receiver)
            || (incident.kind == Kind::Warning || matches!(incident.subject, Subject::Site(_)))
                && speaks_plainly(plan, receiver)
        {
            return;
        }
        match waiting.iter_mut().find(|known| known.receiver == *receiver) {
            Some(known) if at < known.at => (known.bound, known.at) = (bound, at),
            Some(_) => {}
            None => waiting.push(Opening {
                receiver: receiver.clone(),
                bound,
                at,
            }),
        }
    };
    for (place, route) in plan.routes.iter().enumerate() {
        if !concerns(plan, route, incident) {
            continue;
        }
        if !quiet.is_closed(place) {
            let at = later(incident.lasts_since(), route.after);
            add(&route.to, route.min_confidence, at);
        }
        let told = incident.told_receivers.contains(&route.to);
        let first = known_standing(incident, &route.to);
        if let Some(further) = &route.escalate
            && told
            && first.owed != Some(Reason::Reopened)
            && incident.acknowledged.is_none()
        {
            let at = later(first.told_at, further.after);
            add(&further.to, further.min_confidence, at);
        }
    }
    waiting
}

/// Whether a route is for incidents like this one; our own network concerns everybody.
fn concerns(plan: &Plan, route: &Route, incident: &Incident) -> bool {
    if matches!(incident.subject, Subject::OurNetwork | Subject::Site(_)) {
        return true;
    }
    let failing = |wanted: &dyn Fn(&IncidentCell) -> bool| {
        let mut failing = incident.cells.iter().filter(|member| member.failing);
        failing.any(wanted)
    };
    let egresses = route.egresses.is_empty()
        || failing(&|member| route.egresses.contains(&member.cell.egress));
    let kinds = route.kinds.is_empty() || failing(&|member| route.kinds.contains(&member.kind));
    let severities =
        route.severities.is_empty() || route.severities.contains(&severity(plan, incident));
    plan.is_for(route, &incident.probes) && egresses && kinds && severities
}

/// How much an incident matters: as much as the most important of its probes; what works is no more than a warning.
#[must_use]
pub fn severity(plan: &Plan, incident: &Incident) -> Severity {
    if incident.kind == Kind::Warning {
        return Severity::Warning;
    }
    let probes = incident.probes.iter().filter_map(|name| plan.probe(name));
    let most = probes.map(|probe| probe.severity).max();
    most.unwrap_or(Severity::Warning)
}

/// The routes by which a receiver hears of an incident, with their places.
pub(super) fn routes_to<'a>(
    plan: &'a Plan,
    incident: &Incident,
    receiver: &ReceiverName,
) -> impl Iterator<Item = (usize, &'a Route)> {
    let routes = plan.routes.iter().enumerate();
    routes.filter(move |(_, route)| route.to == *receiver && concerns(plan, route, incident))
}

/// Whether all of a receiver's routes are outside their hours.
pub(super) fn is_shut(
    plan: &Plan,
    quiet: &Quiet,
    incident: &Incident,
    receiver: &ReceiverName,
) -> bool {
    let mut routes = routes_to(plan, incident, receiver).peekable();
    routes.peek().is_some() && routes.all(|(place, _)| quiet.is_closed(place))
}

/// When the first of a receiver's routes is open, from `at` on; `None`: none ever is.
pub(super) fn opens_at(
    plan: &Plan,
    incident: &Incident,
    receiver: &ReceiverName,
    at: Timestamp,
) -> Option<Timestamp> {
    let mut routes = routes_to(plan, incident, receiver).peekable();
    if routes.peek().is_none() {
        return Some(at);
    }
    routes
        .filter_map(|(_, route)| match &route.during {
            Some(hours) => hours.next_open(&plan.zone, at),
            None => Some(at),
        })
        .min()
}
