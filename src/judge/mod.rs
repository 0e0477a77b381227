//! Works out which factor is refused: confirm, attribute, ask.
//!
//! To read in order: [`class`] (what a failure is), [`confirm`], [`rates`], [`baseline`] and `weather` (is it a
//! fault or noise), [`rules`] (all possible causes), [`evidence`], [`likelihood`] and [`posterior`] (how
//! probable each is), [`witnesses`] (what must be seen before one is named), [`question`] (which request
//! would tell), [`episode`] and [`engine`] with its parts
//! `investigate`, `reopen`, `claims` and `aim` (how it all moves), [`changes`] (when what stands is no longer so), [`look`] (the
//! same for one round, without a confirmation), [`reasons`] and [`explain`] (why, and in words). Of our own side [`ways`] judges.

mod aim;
pub mod baseline;
pub mod cells;
pub mod changes;
mod claims;
pub mod class;
pub mod confirm;
pub mod engine;
pub mod episode;
pub mod evidence;
pub mod explain;
mod investigate;
pub mod layout;
pub mod likelihood;
mod look;
pub mod naming;
pub mod pauses;
pub mod posterior;
pub mod question;
pub mod rates;
pub mod reasons;
mod reopen;
pub mod rules;
pub mod universe;
pub mod ways;
mod weather;
pub mod witnesses;

pub use look::look;

#[cfg(test)]
mod tests;
