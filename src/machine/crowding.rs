//! Says when runs are not made because too few may be under way at once.
//!
//! What was not asked is not known: an hour in which half of the runs were not made looks like an hour without
//! trouble. So it is a notice about our own side, at most one an hour.

use std::time::Duration;

use jiff::Timestamp;

use super::bulkhead::Share;
use super::schedule::Counts;
use crate::domain::moment::later;
use crate::domain::plan::Plan;
use crate::surroundings::notice::Notice;

/// Counted over so long.
const WINDOW: Duration = Duration::from_secs(60);
/// Fewer, or a smaller part of all, is a moment's crowding.
const SKIPPED_MIN: u64 = 10;
const SKIPPED_SHARE: u64 = 20;
/// From one notice to the next.
const AGAIN: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(super) struct Crowding {
    /// Since when it is counted, and what had happened by then.
    since: Option<(Timestamp, Counts)>,
    told_at: Option<Timestamp>,
}

impl Crowding {
    /// Looks at the counts; a notice when too many runs were not made for want of room.
    pub(super) fn look(
        &mut self,
        plan: &Plan,
        counts: Counts,
        shares: &[Share],
        now: Timestamp,
    ) -> Option<Notice> {
        let (since, before) = *self.since.get_or_insert((now, counts));
        if later(since, WINDOW) > now {
            return None;
        }
        self.since = Some((now, counts));
        let skipped = counts.skipped_no_room - before.skipped_no_room;
        let started = counts.started - before.started;
        let crowded = skipped >= SKIPPED_MIN && skipped * SKIPPED_SHARE >= started + skipped;
        if !crowded || self.told_at.is_some_and(|at| later(at, AGAIN) > now) {
            return None;
        }
        self.told_at = Some(now);
        let room = plan.runs_in_flight_max;
        let most = shares.iter().max_by_key(|share| share.in_flight);
        let held = most.map(|share| {
            format!(
                "{} holds {} of the {room} runs that may be under way at once, and at most {}",
                share.name, share.in_flight, share.most
            )
        });
        Some(Notice {
            headline: format!(
                "{skipped} of {} runs were not made in the last minute: too few may be under way at once",
                started + skipped
            ),
            because: held.into_iter().collect(),
            next_step: Some(
                "Raise `runs_in_flight`, lengthen `every` or shorten `timeout` of what doesn't answer".to_owned(),
            ),
            ..Notice::of_ourselves(since)
        })
    }
}
