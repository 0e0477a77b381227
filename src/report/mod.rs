//! Renderings for people: the matrix of a round, one verdict, lists of incidents, the story of one.

pub mod incidents;
pub mod matrix;
pub mod verdict;
