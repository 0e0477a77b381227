//! How a site makes itself known, every ten seconds, and what the hub answers.
//!
//! The two messages are also a comparison of clocks: four times, as NTP takes them (RFC 5905 section 8).

use super::batch::ClockSaid;
use super::message;

/// A site says that it is there, and how it is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hello {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// A random number for each start of an agent.
    #[prost(fixed64, tag = "2")]
    pub boot: u64,
    /// The machine's own name.
    #[prost(string, tag = "3")]
    pub host: String,
    /// Version of the program.
    #[prost(string, tag = "4")]
    pub program: String,
    /// When it was sent, microseconds since 1970.
    #[prost(sint64, tag = "5")]
    pub sent_us: i64,
    /// The plan that is in force; 0: none yet.
    #[prost(uint64, tag = "6")]
    pub generation: u64,
    /// A plan that it could not take, and why.
    #[prost(uint64, tag = "7")]
    pub refused: u64,
    #[prost(string, tag = "8")]
    pub refused_because: String,
    /// What its cells lack, in sentences ("`EDGEWATCH_GMC` is not set").
    #[prost(string, repeated, tag = "9")]
    pub missing: Vec<String>,
    /// What waits in its spool.
    #[prost(uint64, tag = "10")]
    pub spool_bytes: u64,
    #[prost(uint64, tag = "11")]
    pub spool_runs: u64,
    /// Runs that the spool had to drop, since the start.
    #[prost(uint64, tag = "12")]
    pub dropped: u64,
    #[prost(message, optional, tag = "13")]
    pub clock: Option<ClockSaid>,
    /// It stops, as it was told to: its silence is no trouble.
    #[prost(bool, tag = "14")]
    pub leaving: bool,
    /// Cells that it runs.
    #[prost(uint64, tag = "15")]
    pub cells: u64,
    /// Its certificate ends then, seconds since 1970; 0: it has none.
    #[prost(sint64, tag = "16")]
    pub certificate_until_s: i64,
    /// Nobody who probes: somebody only looks whether an answer comes.
    #[prost(bool, tag = "17")]
    pub check: bool,
}

/// What the hub answers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Welcome {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// When the greeting came and when this went, microseconds since 1970 by the hub's clock.
    #[prost(sint64, tag = "2")]
    pub received_us: i64,
    #[prost(sint64, tag = "3")]
    pub sent_us: i64,
    /// The newest plan of this site; 0: it has none.
    #[prost(uint64, tag = "4")]
    pub generation: u64,
    /// Why the site is not taken, in a sentence; empty: it is.
    #[prost(string, tag = "5")]
    pub refused: String,
}

message!(Hello);
message!(Welcome);

/// How far the hub's clock is ahead of the site's, by the four times of an exchange; microseconds.
///
/// `sent` and `back` are the site's, the other two the hub's.
#[must_use]
pub fn offset(sent: i64, welcome: &Welcome, back: i64) -> ClockSaid {
    let there = welcome.received_us.saturating_sub(sent);
    let here = welcome.sent_us.saturating_sub(back);
    let held = welcome.sent_us.saturating_sub(welcome.received_us);
    let trip = back.saturating_sub(sent).saturating_sub(held);
    ClockSaid {
        offset_us: there.saturating_add(here) / 2,
        error_us: trip.max(0).unsigned_abs() / 2,
    }
}
