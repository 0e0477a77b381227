//! The nouns of the field: plain data, and what always holds of it.
//!
//! Nothing here reads a clock, a file or a socket, and nothing here decides. Domain values are not
//! serialised: each boundary (YAML, SQL, JSON) has its own mirror.

pub mod action;
pub mod cell;
pub mod change;
pub mod condition;
pub mod diagnosis;
pub mod fingerprint;
pub mod hours;
pub mod incident;
pub mod moment;
pub mod mute;
pub mod notification;
pub mod observation;
pub mod past;
pub mod plan;
pub mod probe;
pub mod reason;
pub mod secret;
pub mod share;
pub mod surroundings;
pub mod verdict;
