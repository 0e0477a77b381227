//! What a person or a job asks for now: one round, a new client, may a job start.

// Which part of a request is refused.
pub mod bisect;
// Whether it is safe to start a job.
pub mod clearance;
// What a single round says, without waiting for a confirmation.
pub mod conclude;
// The answer to a job that wants to start.
pub mod gate;
// How alike two requests look from outside.
pub mod likeness;
// Whether work could move to an address that is not in the file yet.
pub mod move_to;
// A client that is not in the file yet, as somebody describes it.
pub mod newcomer;
// Whether a client that is not in the file yet would pass.
pub mod trial;
