//! Pure rules over domain values and a `now` that is passed in.

/// Observation in, verdict out: what happened, who made the answer, by which evidence.
pub mod classify;
/// Holds an observation against `expect`, `origin`, `meanings` and own signatures.
pub mod expect;
/// Reads a saved HTTP answer, as `curl -i` writes it.
pub mod saved;

/// Login, consent and denial pages in place of the content.
mod gate;
/// An answer as the signatures see it.
mod page;
/// What each vendor's refusals, challenges and errors show.
mod signatures;
/// SOAP faults: the application speaking, whatever the status.
mod soap;
