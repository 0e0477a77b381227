//! Which message a receiver gets next, as a plain function of its outbox and the time.
//!
//! Order is strict within an incident and free between incidents. What waited too long is told as it is
//! now: an opening and its end that are both still here become one message, a change goes into the opening
//! that was not sent yet, a reminder that something newer follows is dropped. Openings and ends are never
//! dropped, but for one that was over before it was due (a route with `after`).

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::timing::divertible;
use crate::domain::moment::elapsed;
use crate::domain::notification::{Briefing, Reason};
use crate::store::{Delivery, Progress};

/// What to do next.
#[derive(Debug, PartialEq)]
pub(super) enum Step<'a> {
    /// Nothing before this time; `None`: nothing at all.
    Wait(Option<Timestamp>),
    /// These are not to be sent.
    Overtake {
        deliveries: Vec<&'a Delivery>,
        why: &'static str,
    },
    Send(Send<'a>),
}

/// One message to send.
#[derive(Debug, PartialEq)]
pub(super) struct Send<'a> {
    /// The row whose turn it is; its reason and id go with the message.
    pub(super) delivery: &'a Delivery,
    /// The newest facts.
    pub(super) briefing: &'a Briefing,
    /// Rows that this message tells as well.
    pub(super) merged: Vec<&'a Delivery>,
    /// Tells an incident from beginning to end, because nothing was told before.
    pub(super) whole: bool,
}

impl Send<'_> {
    /// The ids of the rows that go with it.
    pub(super) fn merged_ids(&self) -> Vec<Uuid> {
        let ids = self.merged.iter().map(|row| row.notification.delivery);
        ids.collect()
    }
}

/// What the order depends on besides the rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) now: Timestamp,
    /// An unclear try can be looked up, so it must be settled before it is merged into another.
    pub(super) looks: bool,
    /// No row waits longer than this between tries; a later time means that the clock was set.
    pub(super) wait_max: Duration,
}

/// The next step; `rows` are those of one receiver, by incident, lane and sequence.
pub(super) fn next<'a>(rows: &'a [Delivery], rules: Rules) -> Step<'a> {
    let mut wait: Option<Timestamp> = None;
    let mut chosen: Option<Send<'a>> = None;
    for group in groups(rows) {
        match next_of(group, rules) {
            Step::Overtake { deliveries, why } => return Step::Overtake { deliveries, why },
            Step::Wait(at) => wait = earlier(wait, at),
            Step::Send(send) => {
                let older = chosen
                    .as_ref()
                    .is_none_or(|c| created(send.delivery) < created(c.delivery));
                if older {
                    chosen = Some(send);
                }
            }
        }
    }
    chosen.map_or(Step::Wait(wait), Step::Send)
}

/// Every message that could be sent now, one an incident.
pub(super) fn ready(rows: &[Delivery], rules: Rules) -> Vec<Send<'_>> {
    groups(rows)
        .filter_map(|group| match next_of(group, rules) {
            Step::Send(send) => Some(send),
            _ => None,
        })
        .collect()
}

/// What the fallback is to be told now because this receiver can't be reached, and when to look again.
///
/// An opening or an end that was tried for `patience` in vain; and what became due behind it, so that whoever
/// heard of an opening hears of its end as soon as it is there. No try has to fail at that moment: the
/// pauses between tries grow longer than anybody should wait.
pub(super) fn overdue(
    rows: &[Delivery],
    now: Timestamp,
    patience: Duration,
) -> (Vec<&Delivery>, Option<Timestamp>) {
    let (mut due, mut next) = (Vec::new(), None);
    for group in groups(rows) {
        // What never was tried is not kept back by the receiver.
        let Some(since) = group.iter().filter_map(|d| d.first_attempt_at).min() else {
            continue;
        };
        let waiting = group
            .iter()
            .filter(|d| divertible(d) && ready_at_first(d, now) <= now);
        if elapsed(since, now) >= patience {
            due.extend(waiting);
        } else if waiting.count() > 0 {
            next = earlier(next, since.checked_add(patience).ok());
        }
    }
    (due, next)
}

/// The rows of each incident and lane; a notice stands alone, as none has to wait for another.
pub(super) fn groups(rows: &[Delivery]) -> impl Iterator<Item = &[Delivery]> {
    rows.chunk_by(|a, b| {
        let incident = a.notification.incident;
        incident != 0 && incident == b.notification.incident && a.lane == b.lane
    })
}

fn created(delivery: &Delivery) -> Timestamp {
    delivery.notification.created_at
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The next step of one incident.
fn next_of(rows: &[Delivery], rules: Rules) -> Step<'_> {
    let Some((first, later)) = rows.split_first() else {
        return Step::Wait(None);
    };
    // It came back before its end was due to be told: who knows that it is there need hear of neither.
    if let Some(at) = rows.windows(2).position(came_back_in_time) {
        return overtake(&rows[at..at + 2], "came back before its end was told");
    }
    let reason = first.notification.reason;
    let unclear = uncertain(first) && rules.looks;
    let end = later
        .iter()
        .position(|d| d.notification.reason.is_end() && d.notification.not_before <= rules.now)
        .map(|at| at + 1);
    match (reason, end) {
        (Reason::Reminder | Reason::Muted, _) if !later.is_empty() => {
            overtake(&rows[..1], "overtaken")
        }
        (Reason::Changed | Reason::Acknowledged, Some(_)) if !unclear => {
            overtake(&rows[..1], "overtaken")
        }
        (Reason::Opened | Reason::Reopened, Some(end)) if !unclear => {
            let last = &rows[end];
            if !uncertain(first)
                && first.attempts == 0
                && first.notification.not_before > created(last)
            {
                return overtake(&rows[..=end], "over before it was due");
            }
            // What may have been told needs no second telling; that it is over was never told.
            let ready = if uncertain(first) {
                ready_at(last, rules)
            } else {
                ready_at(first, rules).max(ready_at(last, rules))
            };
            let whole = reason == Reason::Opened;
            send_at(ready, last, last, &rows[..end], whole, rules)
        }
        (Reason::Opened | Reason::Reopened | Reason::Changed, None) if !uncertain(first) => {
            let merged = later
                .iter()
                .take_while(|d| {
                    matches!(
                        d.notification.reason,
                        Reason::Changed | Reason::Reminder | Reason::Muted
                    ) && !uncertain(d)
                        && ready_at(d, rules) <= rules.now
                })
                .count();
            let newest = &rows[merged];
            send_at(
                ready_at(first, rules),
                first,
                newest,
                &rows[1..=merged],
                false,
                rules,
            )
        }
        _ => send_at(ready_at(first, rules), first, first, &[], false, rules),
    }
}

/// An end that was not due yet, and a return.
fn came_back_in_time(rows: &[Delivery]) -> bool {
    let [end, back] = rows else {
        return false;
    };
    end.notification.reason.is_end()
        && back.notification.reason == Reason::Reopened
        && end.attempts == 0
        && !uncertain(end)
        && end.notification.not_before >= created(back)
}

fn overtake<'a>(rows: &'a [Delivery], why: &'static str) -> Step<'a> {
    Step::Overtake {
        deliveries: rows.iter().collect(),
        why,
    }
}

fn send_at<'a>(
    ready: Timestamp,
    delivery: &'a Delivery,
    newest: &'a Delivery,
    merged: &'a [Delivery],
    whole: bool,
    rules: Rules,
) -> Step<'a> {
    if ready > rules.now {
        return Step::Wait(Some(ready));
    }
    Step::Send(Send {
        delivery,
        briefing: &newest.notification.briefing,
        merged: merged.iter().collect(),
        whole,
    })
}

/// A try may have arrived: said so, or cut off in the middle.
pub(super) fn uncertain(delivery: &Delivery) -> bool {
    delivery.uncertain || delivery.progress == Progress::Sending
}

/// When the row may be tried for the first time; what was written in the future was written before the clock was set back.
fn ready_at_first(delivery: &Delivery, now: Timestamp) -> Timestamp {
    let ahead = elapsed(now, created(delivery));
    let not_before = delivery.notification.not_before;
    not_before.checked_sub(ahead).unwrap_or(not_before)
}

/// When the row may be tried.
fn ready_at(delivery: &Delivery, rules: Rules) -> Timestamp {
    let Rules { now, wait_max, .. } = rules;
    let not_before = ready_at_first(delivery, now);
    let Some(next_at) = delivery.next_at else {
        return not_before;
    };
    let tried_at = delivery.last_attempt_at.unwrap_or(next_at);
    let wait_max = wait_max.max(elapsed(tried_at, next_at));
    if elapsed(now, next_at) <= wait_max {
        next_at.max(not_before)
    } else {
        not_before
    }
}
