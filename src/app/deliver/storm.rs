//! Many at once, as plain functions: when openings go into one summary, and when cards are told together.
//!
//! What counts is what the channel gets, not when things happened: ten openings that waited for an hour while
//! the channel was down are a storm when they arrive. Everything is worked out from rows on the disk.

use std::time::Duration;

use jiff::Timestamp;

use super::order::{Send, groups, uncertain};
use super::timing::Timing;
use crate::domain::moment::elapsed;
use crate::domain::notification::{Member, Reason};
use crate::store::{Delivery, Storm};

/// Of what is told in one message: as many as can each have a line that somebody reads.
const TOGETHER_MOST: usize = 50;

/// What openings beyond the bound do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Have a message of their own.
    Own,
    /// Go into this summary.
    Join(i64),
    /// Begin a summary.
    Begin,
}

/// Where first messages go: `told` were taken within the window, `due` are to be sent now.
///
/// A summary stays open for as long as the window after the last one joined, so that the end of a storm
/// does not fall apart into single messages.
pub(super) fn place(
    timing: &Timing,
    told: usize,
    due: usize,
    newest: Option<&Storm>,
    now: Timestamp,
) -> Place {
    let open = newest
        .filter(|storm| storm.last_at <= now && elapsed(storm.last_at, now) <= timing.storm_window);
    match open {
        Some(storm) => Place::Join(storm.id),
        None if told + due > timing.storm_most => Place::Begin,
        None => Place::Own,
    }
}

/// The incidents of this lane whose first message is due now, as they are now.
///
/// One whose opening may have arrived already has a message of its own.
pub(super) fn firsts(rows: &[Delivery], lane: &str, now: Timestamp) -> Vec<Member> {
    groups(rows)
        .filter(|group| {
            let first = &group[0];
            first.lane == lane
                && first.notification.reason == Reason::Opened
                && first.notification.not_before <= now
                && !uncertain(first)
        })
        .filter_map(|group| Some(Member::of(&group.last()?.notification.briefing)))
        .collect()
}

/// How the members of a summary stand that something new is due of.
pub(super) fn news(rows: &[Delivery], lane: &str, storm: &Storm, now: Timestamp) -> Vec<Member> {
    groups(rows)
        .filter(|group| {
            let incident = group[0].notification.incident;
            group[0].lane == lane && storm.members.iter().any(|m| m.incident == incident)
        })
        .filter_map(|group| {
            let due = |row: &&Delivery| row.notification.not_before <= now;
            let newest = group.iter().rfind(due)?;
            Some(Member::of(&newest.notification.briefing))
        })
        .collect()
}

/// Whether more than this is to be told of the members of a summary.
pub(super) fn more(rows: &[Delivery], send: &Send<'_>, storm: &Storm, now: Timestamp) -> bool {
    let lane = send.delivery.lane.as_str();
    let mut others = news(rows, lane, storm, now).into_iter();
    others.any(|member| member.incident != send.briefing.incident)
}

/// The messages to tell in one card, `first` among them; fewer than two: as usual.
///
/// `told` is how many the channel took within the window.
pub(super) fn together<'a>(
    timing: &Timing,
    first: &Send<'_>,
    ready: Vec<Send<'a>>,
    told: usize,
) -> Vec<Send<'a>> {
    let joins = |send: &Send<'_>| {
        let delivery = send.delivery;
        matches!(
            delivery.notification.reason,
            Reason::Opened | Reason::Reopened | Reason::Resolved | Reason::Unwatched
        ) && !delivery.plain
            && delivery.lane == first.delivery.lane
    };
    if !joins(first) {
        return Vec::new();
    }
    let mut sends: Vec<Send<'a>> = ready.into_iter().filter(joins).collect();
    if told + sends.len() <= timing.storm_most {
        return Vec::new();
    }
    sends.sort_by_key(|send| {
        (
            send.delivery.notification.created_at,
            send.delivery.notification.incident,
        )
    });
    // The rest follows in the next one.
    sends.truncate(TOGETHER_MOST);
    sends
}

/// From when on messages count as taken just now.
pub(super) fn since(now: Timestamp, window: Duration) -> Timestamp {
    now.checked_sub(window).unwrap_or(Timestamp::MIN)
}
