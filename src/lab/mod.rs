//! The laboratory: scenarios, the worlds in which they happen, and how well the judgement does in them.

pub mod moving;
pub mod plan;
pub mod random;
pub mod replay;
pub mod scenario;
pub mod world;

mod bench;
mod blame;
mod over_time;
mod parallel;
mod playback;
mod player;
mod score;
mod table;
