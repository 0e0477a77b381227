//! Renderings for people: the matrix of a round and its conclusion, one verdict, lists of incidents and silences, the story of
//! one, and the texts about one that leave the house: the evidence pack and the post-mortem.

mod cause;
pub mod conclusion;
pub mod csv;
mod curl;
pub mod dossier;
pub mod edit;
pub mod fold;
pub mod history;
pub mod incidents;
pub mod matrix;
pub mod pack;
mod partner;
pub mod postmortem;
mod prose;
pub mod silences;
pub mod verdict;

#[cfg(test)]
pub(crate) mod fixture;
