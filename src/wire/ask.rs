//! The hub asks a site for a run beyond its schedule.
//!
//! It is a question with an answer and no message that waits: what comes too late must not happen at all. So times in
//! it are durations, and no clock needs to be right.

use super::message;

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Ask {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// Of the plan whose table names the cell.
    #[prost(uint64, tag = "2")]
    pub generation: u64,
    #[prost(uint32, tag = "3")]
    pub cell: u32,
    /// As runs say it: `confirm` or `counter`.
    #[prost(string, tag = "4")]
    pub purpose: String,
    /// It should start so much later.
    #[prost(uint64, tag = "5")]
    pub in_ms: u64,
    /// For the log of the site.
    #[prost(string, tag = "6")]
    pub why: String,
}

/// What becomes of it.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Answer {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// Empty: it will run. Else why not, in a few words.
    #[prost(string, tag = "2")]
    pub declined: String,
}

message!(Ask);
message!(Answer);
