//! Pure rules over the nouns and a `now` that is passed in.

pub mod attribute;
pub mod fingerprint;
