//! Which receivers are due a message now: (incident, occasion, routes, now) → notifications.
//!
//! Who was told that an incident opened is written in the incident itself and stored with it, so a
//! restart tells nobody twice, and whoever heard of the opening hears of the end. A route that waits
//! (`after`) is derived from the opening time and never needs a timer of its own to survive.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use super::briefing::{self, GUESSES_BELOW, View};
use super::confirm::Group;
use super::incidents::later;
use crate::domain::cell::{ProbeName, ReceiverName};
use crate::domain::diagnosis::Cause;
use crate::domain::incident::{Incident, State, Subject};
use crate::domain::notification::{Notification, Reason, Route};
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;

/// What happened to an incident, as far as it concerns receivers.
#[derive(Debug, Clone, Copy)]
pub enum Occasion<'a> {
    Opened,
    Reopened,
    /// It may look different now; `before` is how it looked.
    Changed {
        before: &'a Face,
    },
    Resolved,
    /// Closed because the plan no longer has its cells.
    Removed,
    /// Nothing but time went by.
    Time,
}

/// The notifications that are due; the incident remembers that they were.
#[must_use]
pub fn due(
    plan: &Plan,
    incident: &mut Incident,
    occasion: Occasion<'_>,
    now: Timestamp,
) -> Vec<Notification> {
    let told = incident.told_receivers.clone();
    let mut notifications = Vec::new();
    match occasion {
        Occasion::Resolved | Occasion::Removed => {
            let removed = matches!(occasion, Occasion::Removed);
            for (receiver, bound) in known(plan, &told) {
                let note = tell(
                    plan,
                    incident,
                    receiver,
                    bound,
                    Reason::Resolved,
                    removed,
                    now,
                );
                notifications.push(note);
            }
            return notifications;
        }
        Occasion::Reopened => {
            for (receiver, bound) in known(plan, &told) {
                let note = tell(
                    plan,
                    incident,
                    receiver,
                    bound,
                    Reason::Reopened,
                    false,
                    now,
                );
                notifications.push(note);
            }
        }
        Occasion::Changed { before } => {
            let after = Face::of(incident);
            for (receiver, bound) in known(plan, &told) {
                if before.shown(bound) != after.shown(bound) {
                    let note = tell(plan, incident, receiver, bound, Reason::Changed, false, now);
                    notifications.push(note);
                }
            }
        }
        Occasion::Opened | Occasion::Time => {}
    }
    let overdue = reminders_passed(plan, incident, now);
    if overdue > incident.reminded {
        incident.reminded = overdue;
        for (receiver, bound) in known(plan, &told) {
            if notifications.iter().all(|n| n.receiver != *receiver) {
                let note = tell(
                    plan,
                    incident,
                    receiver,
                    bound,
                    Reason::Reminder,
                    false,
                    now,
                );
                notifications.push(note);
            }
        }
    }
    for route in waiting(plan, incident) {
        if opens_for(route, incident) <= now {
            incident.told_receivers.push(route.to.clone());
            let bound = route.min_confidence;
            let note = tell(plan, incident, &route.to, bound, Reason::Opened, false, now);
            notifications.push(note);
        }
    }
    notifications
}

/// When the next message about an open incident is due if nothing happens; `None`: never.
#[must_use]
pub fn next_at(plan: &Plan, incident: &Incident) -> Option<Timestamp> {
    if incident.state != State::Open {
        return None;
    }
    let opening = waiting(plan, incident)
        .iter()
        .map(|route| opens_for(route, incident))
        .min();
    let reminder = next_reminder(plan, incident).filter(|_| !incident.told_receivers.is_empty());
    [opening, reminder].into_iter().flatten().min()
}

fn tell(
    plan: &Plan,
    incident: &mut Incident,
    receiver: &ReceiverName,
    min_confidence: f64,
    reason: Reason,
    removed: bool,
    now: Timestamp,
) -> Notification {
    incident.told += 1;
    incident.last_told_at = Some(now);
    let open = incident.state == State::Open;
    let view = View {
        min_confidence,
        removed,
        next_update_at: next_reminder(plan, incident).filter(|_| open),
    };
    Notification {
        delivery: delivery(incident.number, incident.told, receiver, now),
        incident: incident.number,
        sequence: incident.told,
        reason,
        receiver: receiver.clone(),
        created_at: now,
        not_before: now,
        briefing: briefing::write(plan, incident, view),
    }
}

/// Those told who can still be told, each with the bound below which no cause is named to them.
///
/// A route may have been narrowed or removed since; who heard of the opening hears of the end all the
/// same, without a cause when no route says how sure it must be.
fn known<'a>(
    plan: &'a Plan,
    told: &'a [ReceiverName],
) -> impl Iterator<Item = (&'a ReceiverName, f64)> {
    told.iter()
        .filter(|name| {
            plan.receivers
                .iter()
                .any(|receiver| receiver.name == **name)
        })
        .map(|name| {
            let route = plan.routes.iter().find(|route| route.to == *name);
            (
                name,
                route.map_or(f64::INFINITY, |route| route.min_confidence),
            )
        })
}

/// What a receiver is told anew when it changes: cause, whose side, kind, scope, what changed before.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    cause: Cause,
    confidence: f64,
    our_side: bool,
    group: Group,
    probes: Vec<ProbeName>,
    /// Changes that it probably has to do with.
    beside: Vec<String>,
}

/// The part of a [`Face`] that somebody sees.
type Shown<'a> = (
    Option<&'a Cause>,
    bool,
    Group,
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
            group: Group::of(incident.kind),
            probes: incident.probes.clone(),
            beside: related.map(|beside| beside.text.clone()).collect(),
        }
    }

    /// Whether the incident still has the cause that it had.
    #[must_use]
    pub fn same_cause(&self, incident: &Incident) -> bool {
        let now = Self::of(incident);
        self.cause == now.cause && self.group == now.group
    }

    /// The part that somebody with this bound of confidence sees.
    fn shown(&self, min_confidence: f64) -> Shown<'_> {
        let named = if matches!(self.cause, Cause::Unknown { .. }) {
            min_confidence < GUESSES_BELOW
        } else {
            self.confidence >= min_confidence
        };
        let cause = named.then_some(&self.cause);
        (cause, self.our_side, self.group, &self.probes, &self.beside)
    }
}

/// Routes whose receiver has not been told yet, one a receiver: the one that is due first.
fn waiting<'a>(plan: &'a Plan, incident: &Incident) -> Vec<&'a Route> {
    let mut waiting: Vec<&Route> = Vec::new();
    for route in &plan.routes {
        if incident.told_receivers.contains(&route.to) || !concerns(plan, route, incident) {
            continue;
        }
        match waiting.iter_mut().find(|known| known.to == route.to) {
            Some(known) if route.after < known.after => *known = route,
            Some(_) => {}
            None => waiting.push(route),
        }
    }
    waiting
}

/// Whether a route is for incidents like this one; our own network concerns everybody.
fn concerns(plan: &Plan, route: &Route, incident: &Incident) -> bool {
    incident.subject == Subject::OurNetwork || is_for(plan, route, &incident.probes)
}

/// Whether a route is for one of these probes.
pub(super) fn is_for(plan: &Plan, route: &Route, probes: &[ProbeName]) -> bool {
    let of = |wanted: &dyn Fn(&Probe) -> bool| {
        let mut known = probes.iter().filter_map(|name| plan.probe(name));
        known.any(wanted)
    };
    let probes = route.probes.is_empty() || of(&|probe| route.probes.contains(&probe.name));
    let tags =
        route.tags.is_empty() || of(&|probe| probe.tags.iter().any(|tag| route.tags.contains(tag)));
    probes && tags
}

/// From when delays and reminders count.
fn began(incident: &Incident) -> Timestamp {
    incident.reopened_at.unwrap_or(incident.opened_at)
}

fn opens_for(route: &Route, incident: &Incident) -> Timestamp {
    later(began(incident), route.after)
}

/// When reminder `n` (from 0) is due after the opening: as configured, then at the last one's distance.
fn reminder_after(remind: &[Duration], n: u32) -> Option<Duration> {
    let last = *remind.last()?;
    match remind.get(n as usize) {
        Some(after) => Some(*after),
        None if last.is_zero() => None,
        None => {
            let more = n + 1 - u32::try_from(remind.len()).ok()?;
            last.checked_mul(more + 1)
        }
    }
}

fn next_reminder(plan: &Plan, incident: &Incident) -> Option<Timestamp> {
    let after = reminder_after(&plan.incidents.remind, incident.reminded)?;
    Some(later(began(incident), after))
}

/// How many reminders lie behind `now`: after a long stop one message stands for all that were missed.
fn reminders_passed(plan: &Plan, incident: &Incident, now: Timestamp) -> u32 {
    let remind = &plan.incidents.remind;
    let open_for = now.duration_since(began(incident)).as_secs_f64();
    let passed = |n| reminder_after(remind, n).is_some_and(|due| due.as_secs_f64() <= open_for);
    let Some(last) = remind.last().filter(|last| !last.is_zero()) else {
        return 0;
    };
    // Straight to the neighbourhood, so that years of silence cost nothing.
    let steps = (open_for / last.as_secs_f64()).max(0.0) as u32;
    let mut count = incident.reminded.max(steps.saturating_sub(1));
    if count > incident.reminded && !passed(count - 1) {
        count = incident.reminded;
    }
    while passed(count) {
        count += 1;
    }
    count
}

/// A UUID version 7 made of what identifies the message, because rules have neither clock nor dice.
///
/// Its time is `now`; its random bits are the first ten bytes of a SHA-256 over incident number,
/// sequence and receiver. Equal inputs give equal ids, so that a step that is repeated after a crash
/// names the same message; two messages of one incident never have the same sequence.
fn delivery(number: u64, sequence: u32, receiver: &ReceiverName, now: Timestamp) -> Uuid {
    named(
        now,
        &[
            &number.to_be_bytes(),
            &sequence.to_be_bytes(),
            receiver.as_str().as_bytes(),
        ],
    )
}

/// A UUID version 7 of this time, its random bits made of `parts`.
pub(super) fn named(now: Timestamp, parts: &[&[u8]]) -> Uuid {
    let digest = parts
        .iter()
        .fold(Sha256::new(), Sha256::chain_update)
        .finalize();
    let mut bits = [0; 10];
    bits.copy_from_slice(&digest[..10]);
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(milliseconds, &bits).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reminders_follow_the_list_and_then_its_last_step() {
        let hours = |n: u64| Duration::from_secs(3600 * n);
        let remind = [hours(1), hours(4), hours(24)];
        let due: Vec<u64> = (0..6)
            .map(|n| reminder_after(&remind, n).unwrap().as_secs() / 3600)
            .collect();
        assert_eq!(due, [1, 4, 24, 48, 72, 96]);
        assert_eq!(reminder_after(&[], 0), None);
        assert_eq!(reminder_after(&[Duration::ZERO], 1), None);
    }

    #[test]
    fn a_delivery_is_named_by_what_it_is() {
        let now = "2026-03-01T02:14:00Z".parse().unwrap();
        let id = delivery(12, 1, &"engineers".into(), now);
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id, delivery(12, 1, &"engineers".into(), now));
        assert_ne!(id, delivery(12, 2, &"engineers".into(), now));
        assert_ne!(id, delivery(12, 1, &"support".into(), now));
        assert_ne!(id, delivery(13, 1, &"engineers".into(), now));
    }
}
