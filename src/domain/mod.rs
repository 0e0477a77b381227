//! The nouns of the field: plain data, and what always holds of it.
//!
//! Nothing here reads a clock, a file or a socket, and nothing here decides. What is kept, sent or shown has
//! one form, by serde; a version stands beside each stored document, and a mirror is written on the day that
//! a shape changes. What comes from people (YAML) has its own mirror in `config`, and secrets have no form.

pub mod action;
pub mod cell;
pub mod change;
pub mod condition;
mod decoding;
pub mod der;
pub mod diagnosis;
pub mod difference;
pub mod earlier;
pub mod failing;
pub mod fingerprint;
pub mod forbid;
mod form;
pub mod habits;
pub mod head;
pub mod hello;
pub mod hours;
// Several hubs of one plan.
pub mod hubs;
pub mod incident;
pub mod index;
pub mod judged;
pub mod keeping;
pub mod mark;
pub mod moment;
pub mod mute;
pub mod notification;
pub mod observation;
pub mod ordinal;
pub mod password;
pub mod past;
pub mod plan;
pub mod preface;
pub mod probe;
pub mod reason;
pub mod renames;
pub mod secret;
pub mod sent;
pub mod share;
// Politeness, divided over places.
pub mod sharing;
// Other places that probe.
pub mod shown;
pub mod site;
pub(crate) mod spelling;
pub mod spells;
pub mod subject;
pub mod surroundings;
pub mod tally;
pub mod twins;
pub mod upcoming;
pub mod verdict;
pub mod ways;
pub mod web;
