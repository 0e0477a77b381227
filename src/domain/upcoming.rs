//! What runs next, and what each host may still be asked: what the timetable knows, for people.

use jiff::Timestamp;

use super::cell::{CellKey, CredentialName};

/// Runs that are told one by one.
pub const NEXT_MAX: usize = 60;

/// The timetable at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upcoming {
    /// The soonest scheduled runs, each with when it is due, UTC; at most [`NEXT_MAX`].
    pub next: Vec<(CellKey, Timestamp)>,
    /// By name.
    pub hosts: Vec<Budget>,
    /// Those that have a limit or rest, by name.
    pub accounts: Vec<Account>,
    pub in_flight: usize,
    /// Not made since the start because their time had passed.
    pub skipped_late: u64,
    /// Because the cell's last one was still going on.
    pub skipped_in_flight: u64,
    /// Because too many were under way.
    pub skipped_no_room: u64,
    /// Because their account rests.
    pub skipped_resting: u64,
}

/// What an account was used for, and may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub credential: CredentialName,
    /// Requests within the last 24 h.
    pub used: usize,
    /// `None`: there is no limit of ours.
    pub a_day: Option<u32>,
    /// Until when it is left alone.
    pub rests_until: Option<Timestamp>,
    /// That is the partner's word, not our own limit.
    pub locked: bool,
}

/// What a host was asked, and may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    pub host: String,
    /// Requests begun within the last minute.
    pub used: usize,
    /// Requests a minute at most.
    pub per_minute: usize,
    /// Scheduled runs that are due and wait for the host's turn.
    pub waiting: usize,
    /// Runs beyond the schedule that wait: to confirm, to find out, or because a person asked.
    pub asked: usize,
    /// The host asked to be left alone until then.
    pub held_until: Option<Timestamp>,
}
