//! Renderings for people: the matrix of a round and its conclusion, one verdict, lists of incidents, the story of one.

pub mod conclusion;
pub mod incidents;
pub mod matrix;
pub mod verdict;
