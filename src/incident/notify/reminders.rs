//! When a receiver is reminded that an incident goes on.

use std::time::Duration;

use jiff::Timestamp;

use super::routes::routes_to;
use super::{known_standing, speaks_plainly};
use crate::domain::cell::ReceiverName;
use crate::domain::incident::{Incident, Standing};
use crate::domain::moment::later;
use crate::domain::plan::Plan;

/// The times at which a receiver is reminded.
pub(super) fn remind<'a>(
    plan: &'a Plan,
    incident: &Incident,
    receiver: &ReceiverName,
) -> &'a [Duration] {
    let mut own = routes_to(plan, incident, receiver).filter_map(|(_, r)| r.remind.as_deref());
    own.next().unwrap_or(&plan.incidents.remind)
}

/// When reminder `n` (from 0) is due after the opening: as configured, then at the last one's distance.
pub(super) fn reminder_after(remind: &[Duration], n: u32) -> Option<Duration> {
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

/// The same for an incident: of what comes and goes people know that it isn't over, and hear half as often.
fn due_after(
    plan: &Plan,
    incident: &Incident,
    receiver: &ReceiverName,
    n: u32,
) -> Option<Duration> {
    let after = reminder_after(remind(plan, incident, receiver), n)?;
    let times = if incident.comes_and_goes() { 2 } else { 1 };
    after.checked_mul(times)
}

/// When a receiver is reminded next; nobody is of what somebody looks after, but for an update that was promised before.
pub(super) fn next_reminder(
    plan: &Plan,
    incident: &Incident,
    standing: &Standing,
) -> Option<Timestamp> {
    let due_after = |n| due_after(plan, incident, &standing.receiver, n);
    let since = incident.lasts_since();
    let at = later(since, due_after(standing.reminded)?);
    let Some(acknowledged) = &incident.acknowledged else {
        return Some(at);
    };
    // Support staff were told this time before somebody acknowledged, and count on it.
    let before = standing.reminded.checked_sub(1);
    let told_at = before
        .and_then(due_after)
        .map_or(standing.told_at, |after| later(since, after));
    let promised = told_at.max(standing.told_at) <= acknowledged.at && acknowledged.at < at;
    (promised && speaks_plainly(plan, &standing.receiver)).then_some(at)
}

/// How many of a receiver's reminders lie behind: after a long stop one message stands for all that were missed.
pub(super) fn reminders_passed(
    plan: &Plan,
    incident: &Incident,
    receiver: &ReceiverName,
    now: Timestamp,
) -> u32 {
    let standing = known_standing(incident, receiver);
    let so_far = standing.reminded;
    if incident.acknowledged.is_some() {
        let promised = next_reminder(plan, incident, &standing);
        return so_far + u32::from(promised.is_some_and(|at| at <= now));
    }
    let remind = remind(plan, incident, receiver);
    let open_for = now.duration_since(incident.lasts_since()).as_secs_f64();
    let passed =
        |n| due_after(plan, incident, receiver, n).is_some_and(|due| due.as_secs_f64() <= open_for);
    let Some(last) = remind.last().filter(|last| !last.is_zero()) else {
        return so_far;
    };
    // Straight to the neighbourhood, so that years of silence cost nothing.
    let steps = (open_for / last.as_secs_f64()).max(0.0) as u32;
    let mut count = so_far.max(steps.saturating_sub(1));
    if count > so_far && !passed(count - 1) {
        count = so_far;
    }
    while passed(count) {
        count += 1;
    }
    count
}
