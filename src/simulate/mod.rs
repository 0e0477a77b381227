//! A partner behind a rule-driven edge.

pub mod random;
pub mod scenario;
pub mod world;
