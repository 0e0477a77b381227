//! Which receivers are due a message now: (incident, occasion, routes, what is quiet, now) → notifications.
//!
//! Who was told that an incident opened is written in the incident itself and stored with it, so a
//! restart tells nobody twice, and whoever heard of the opening hears of the end. A route that waits
//! (`after`), an escalation and a mute are derived from stored times and never need a timer of their own.
//!
//! A muted incident is told to nobody, but for its end to those who know of it. What was kept back is made
//! up for when the mute ends: an opening as an opening, several changes as one, reminders as one; what was
//! over before is never told. A route outside its hours keeps back in the same way. Who acknowledged stops
//! reminders and escalation, not changes. Where a message can be edited it shows that it is muted, by whom
//! and until when; an edit tells nobody.
//!
//! The end of an incident that came back waits until it has stayed away (see [`Incident::told_as_over_after`]); when it
//! does come back meanwhile, the outbox tells neither. While it comes and goes no time of an update is promised.

mod face;
mod reminders;
mod routes;

use jiff::Timestamp;
use uuid::Uuid;

use crate::board::quiet::Quiet;
use crate::domain::cell::ReceiverName;
use crate::domain::diagnosis::Cause;
use crate::domain::incident::{Happening, Incident, Muted, Standing, State, TimelineEntry};
use crate::domain::moment::later;
use crate::domain::notification::{Channel, Engineers, Notification, Reason, named};
use crate::domain::plan::Plan;
use crate::incident::case::entry;
use crate::words::briefing::{self, View};

pub use face::{Face, News, Statement};
use reminders::{next_reminder, reminders_passed};
pub use routes::severity;
use routes::{is_shut, opens_at, waiting};

/// What happened to an incident, as far as it concerns receivers.
#[derive(Debug, Clone, Copy)]
pub enum Occasion<'a> {
    Opened,
    Reopened,
    /// It ended as no longer watched, and is watched again; how it stands is not known yet.
    WatchedAgain,
    /// It may look different now; `before` is how it looked.
    Changed {
        before: &'a Face,
    },
    /// What fails is answered otherwise; a sentence.
    Answered {
        change: &'a str,
    },
    Acknowledged,
    Resolved,
    /// Closed because what failed is no longer asked as it was.
    Unwatched,
    /// Nothing but time went by.
    Time,
}

/// What is to be told, and what is to be noted.
#[derive(Debug, Default, PartialEq)]
#[must_use]
pub struct Due {
    /// That a mute or maintenance begins or is over.
    pub timeline: Vec<TimelineEntry>,
    pub notifications: Vec<Notification>,
}

/// What is due; the incident remembers that it was.
pub fn due(
    plan: &Plan,
    quiet: &Quiet,
    incident: &mut Incident,
    occasion: Occasion<'_>,
    now: Timestamp,
) -> Due {
    let mut due = Due::default();
    if matches!(occasion, Occasion::Resolved | Occasion::Unwatched) {
        let fixed = matches!(occasion, Occasion::Resolved);
        (incident.telling.muted, incident.telling.during) = (None, Vec::new());
        for (receiver, bound) in known(plan, incident) {
            // Who was not told that it came back knows that it was over.
            if standing(incident, &receiver).owed.take() != Some(Reason::Reopened) {
                let told = Told {
                    receiver,
                    bound,
                    reason: if fixed {
                        Reason::Resolved
                    } else {
                        Reason::Unwatched
                    },
                };
                let mut note = tell(plan, incident, told, now);
                if fixed {
                    note.not_before = later(now, incident.told_as_over_after());
                }
                due.notifications.push(note);
            }
        }
        return due;
    }
    let before = incident.telling.muted.clone();
    let held_back = note_quiet(plan, quiet, incident, now, &mut due.timeline);
    let muted = |muted: &Option<Muted>| muted.as_ref().map(|m| (m.until, m.by.clone()));
    let redraw = muted(&before) != muted(&incident.telling.muted);
    for told in to_those_told(plan, quiet, incident, occasion, now) {
        due.notifications.push(tell(plan, incident, told, now));
    }
    for opening in waiting(plan, quiet, incident) {
        if opening.at <= now {
            incident.told_receivers.push(opening.receiver.clone());
            let told = Told {
                receiver: opening.receiver,
                bound: opening.bound,
                reason: Reason::Opened,
            };
            due.notifications.push(tell(plan, incident, told, now));
        }
    }
    if let Occasion::Answered { change } = occasion {
        for note in &mut due.notifications {
            if note.reason == Reason::Changed {
                note.briefing.because.insert(0, change.to_owned());
            }
        }
    }
    let engineers = engineers(plan, incident);
    for note in &mut due.notifications {
        note.briefing.engineers = engineers;
        note.briefing.watched_again = matches!(occasion, Occasion::WatchedAgain);
        note.briefing.held_back.clone_from(&held_back);
    }
    if redraw {
        for (receiver, bound) in known(plan, incident) {
            let told = due.notifications.iter().any(|n| n.receiver == receiver);
            let over = standing(incident, &receiver).owed == Some(Reason::Reopened);
            if can_be_edited(plan, &receiver) && !told && !over {
                let told = Told {
                    receiver,
                    bound,
                    reason: Reason::Muted,
                };
                due.notifications.push(tell(plan, incident, told, now));
            }
        }
    }
    due
}

/// When [`due`] has something to say about an open incident if nothing happens; `None`: never.
#[must_use]
pub fn next_at(plan: &Plan, quiet: &Quiet, incident: &Incident) -> Option<Timestamp> {
    if incident.state != State::Open {
        return None;
    }
    let muted = quiet.mutes(incident);
    let noted = incident.telling.muted.as_ref().map(|muted| &muted.by);
    if muted.as_ref().map(|muted| &muted.by) != noted
        || quiet.remarks(incident) != incident.telling.during
    {
        return Some(quiet.from());
    }
    let mut next = quiet.until();
    if muted.is_none() {
        for opening in waiting(plan, quiet, incident) {
            next = next.min(opening.at);
        }
        for (receiver, _) in known(plan, incident) {
            if is_shut(plan, quiet, incident, &receiver) {
                continue;
            }
            let standing = known_standing(incident, &receiver);
            if standing.owed.is_some() {
                return Some(quiet.from());
            }
            let reminder = next_reminder(plan, incident, &standing);
            next = reminder.map_or(next, |at| at.min(next));
        }
    }
    Some(next).filter(|at| *at < Timestamp::MAX)
}

/// One message to one receiver.
struct Told {
    receiver: ReceiverName,
    /// No cause is named below this confidence.
    bound: f64,
    reason: Reason,
}

/// Notes that a mute or maintenance begins or is over; what kept messages back until now.
fn note_quiet(
    plan: &Plan,
    quiet: &Quiet,
    incident: &mut Incident,
    now: Timestamp,
    timeline: &mut Vec<TimelineEntry>,
) -> Vec<String> {
    let local = |at: Timestamp| {
        at.to_zoned(plan.zone.clone())
            .strftime("%a %-d %b %H:%M %Z")
    };
    let muted = quiet.mutes(incident).map(|muted| {
        let since = incident.telling.muted.as_ref().map_or(now, |m| m.at);
        Muted { at: since, ..muted }
    });
    let before = std::mem::replace(&mut incident.telling.muted, muted);
    let muted = incident.telling.muted.as_ref();
    if muted.map(|muted| &muted.by) != before.as_ref().map(|muted| &muted.by) {
        let text = match muted {
            Some(muted) => format!(
                "nobody is told until {}: {}",
                local(muted.until),
                muted.by.join(", ")
            ),
            None => "no longer muted".to_owned(),
        };
        timeline.push(entry(now, Happening::Muted, text));
    }
    let during = quiet.remarks(incident);
    let before_during = std::mem::replace(&mut incident.telling.during, during);
    let during = &incident.telling.during;
    for name in during.iter().filter(|name| !before_during.contains(name)) {
        let text = format!("during maintenance {name}");
        timeline.push(entry(now, Happening::Maintenance, text));
    }
    for name in before_during.iter().filter(|name| !during.contains(name)) {
        let text = format!("maintenance {name} is over, or has no longer to do with it");
        timeline.push(entry(now, Happening::Maintenance, text));
    }
    match (before, muted) {
        (Some(before), None) => before.by,
        _ => Vec::new(),
    }
}

/// What those who know of the incident are told now, one message each; what is kept back is remembered.
fn to_those_told(
    plan: &Plan,
    quiet: &Quiet,
    incident: &mut Incident,
    occasion: Occasion<'_>,
    now: Timestamp,
) -> Vec<Told> {
    let after = Face::of(incident);
    let muted = incident.telling.muted.is_some();
    let mut messages = Vec::new();
    for (receiver, bound) in known(plan, incident) {
        let news = match occasion {
            Occasion::Reopened | Occasion::WatchedAgain => Some(Reason::Reopened),
            Occasion::Changed { before } => {
                let bound_before = bound_of(plan, incident, &receiver, before.cause());
                (before.shown(bound_before) != after.shown(bound)).then_some(Reason::Changed)
            }
            // Who reads plain words reads the same ones; delivery leaves that out.
            Occasion::Answered { .. } => Some(Reason::Changed),
            // Support staff are not told who of the engineers does what.
            Occasion::Acknowledged => {
                (!speaks_plainly(plan, &receiver)).then_some(Reason::Acknowledged)
            }
            _ => None,
        };
        let shut = muted || is_shut(plan, quiet, incident, &receiver);
        let overdue = reminders_passed(plan, incident, &receiver, now);
        let standing = standing(incident, &receiver);
        let owed = standing.owed.take();
        let news = weightier(owed, news);
        if shut {
            standing.owed = news;
            continue;
        }
        let reminded = overdue > standing.reminded;
        standing.reminded = standing.reminded.max(overdue);
        let overdue = standing.reminded;
        incident.reminded = incident.reminded.max(overdue);
        if let Some(reason) = news.or(reminded.then_some(Reason::Reminder)) {
            messages.push(Told {
                receiver,
                bound,
                reason,
            });
        }
    }
    messages
}

/// The one of two pieces of news that tells the other as well.
fn weightier(one: Option<Reason>, other: Option<Reason>) -> Option<Reason> {
    let weight = |reason: &Reason| match reason {
        Reason::Reopened => 2,
        Reason::Changed => 1,
        _ => 0,
    };
    [one, other].into_iter().flatten().max_by_key(weight)
}

fn tell(plan: &Plan, incident: &mut Incident, told: Told, now: Timestamp) -> Notification {
    let Told {
        receiver,
        bound,
        reason,
    } = told;
    incident.told += 1;
    incident.last_told_at = Some(now);
    if matches!(reason, Reason::Opened | Reason::Reopened) {
        standing(incident, &receiver).reminded = 0;
        let passed = reminders_passed(plan, incident, &receiver, now);
        let standing = standing(incident, &receiver);
        (standing.told_at, standing.reminded) = (now, passed);
    }
    let open = incident.state == State::Open;
    let promised = next_reminder(plan, incident, &known_standing(incident, &receiver));
    let view = View {
        min_confidence: bound,
        next_update_at: promised
            .filter(|_| open && !incident.comes_and_goes())
            .and_then(|at| opens_at(plan, incident, &receiver, at)),
    };
    let mut briefing = briefing::write(plan, incident, view);
    let knew = known_standing(incident, &receiver).knows.is_some();
    if open && knew && !briefing.cause_known && speaks_plainly(plan, &receiver) {
        let why = &mut briefing.plain.why;
        why.get_or_insert_with(|| briefing::IN_DOUBT.to_owned());
    }
    if briefing.cause_known && !matches!(incident.diagnosis.cause, Cause::Unknown { .. }) {
        let cause = incident.diagnosis.cause.clone();
        standing(incident, &receiver).knows = Some(cause);
    }
    Notification {
        delivery: delivery(incident.number, incident.told, &receiver, now),
        incident: incident.number,
        sequence: incident.told,
        reason,
        receiver,
        created_at: now,
        not_before: now,
        briefing,
    }
}

/// Those told who can still be told, each with the bound below which no cause is named to them.
///
/// A route may have been narrowed or removed since; who heard of the opening hears of the end all the
/// same, without a cause when nothing says how sure it must be, unless they were told it before.
fn known(plan: &Plan, incident: &Incident) -> Vec<(ReceiverName, f64)> {
    let configured = |name: &&ReceiverName| plan.receivers.iter().any(|r| r.name == **name);
    let cause = &incident.diagnosis.cause;
    let told = incident.told_receivers.iter().filter(configured);
    told.map(|name| (name.clone(), bound_of(plan, incident, name, cause)))
        .collect()
}

/// The confidence below which this cause is not named to a receiver.
fn bound_of(plan: &Plan, incident: &Incident, name: &ReceiverName, cause: &Cause) -> f64 {
    // Who was told it does not read less of it later because it is a little less sure.
    if known_standing(incident, name).knows.as_ref() == Some(cause) {
        return 0.0;
    }
    let route = plan.routes.iter().find(|route| route.to == *name);
    let escalations = plan.routes.iter().filter_map(|r| r.escalate.as_ref());
    let escalation = || escalations.clone().find(|further| further.to == *name);
    route
        .map(|route| route.min_confidence)
        .or_else(|| escalation().map(|further| further.min_confidence))
        .unwrap_or(f64::INFINITY)
}

/// The bounds of confidence of those who know of an incident, and of its timeline, which names whatever is likeliest.
pub fn bounds(plan: &Plan, incident: &Incident) -> Vec<f64> {
    let known = known(plan, incident).into_iter().map(|(_, bound)| bound);
    known.chain([0.0]).collect()
}

/// Whether somebody who is no support staff was told of it, by a channel that is set up.
fn engineers(plan: &Plan, incident: &Incident) -> Engineers {
    let told = plan.receivers.iter().any(|receiver| {
        incident.told_receivers.contains(&receiver.name)
            && !receiver.channel.speaks_plainly()
            && receiver.channel.missing().is_empty()
    });
    if told {
        Engineers::Told
    } else {
        Engineers::Untold
    }
}

fn speaks_plainly(plan: &Plan, receiver: &ReceiverName) -> bool {
    plan.receivers
        .iter()
        .any(|known| known.name == *receiver && known.channel.speaks_plainly())
}

/// Whether what stands there already can be brought up to date without telling anybody.
fn can_be_edited(plan: &Plan, receiver: &ReceiverName) -> bool {
    plan.receivers.iter().any(|known| {
        known.name == *receiver && matches!(known.channel, Channel::Slack { token: Ok(_), .. })
    })
}

/// How a receiver stands; one that an older version told of the opening has heard all there was.
fn known_standing(incident: &Incident, receiver: &ReceiverName) -> Standing {
    let standings = &incident.telling.receivers;
    let found = standings.iter().find(|known| known.receiver == *receiver);
    found.cloned().unwrap_or_else(|| Standing {
        receiver: receiver.clone(),
        told_at: incident.began(),
        reminded: incident.reminded,
        owed: None,
        knows: None,
    })
}

fn standing<'a>(incident: &'a mut Incident, receiver: &ReceiverName) -> &'a mut Standing {
    let fresh = known_standing(incident, receiver);
    let standings = &mut incident.telling.receivers;
    let place = standings
        .iter()
        .position(|known| known.receiver == *receiver)
        .unwrap_or_else(|| {
            standings.push(fresh);
            standings.len() - 1
        });
    &mut standings[place]
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

#[cfg(test)]
pub(crate) mod tests;
