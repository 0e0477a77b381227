//! Reads one answer: observation in, verdict out.

// What happened, who made the answer, by which evidence.
pub mod classify;
// Opens what a body is packed in: multipart messages, charsets.
mod content;
// Holds an observation against `expect`, `origin`, `meanings` and own signatures.
pub mod expect;
// What a probe's passing answers share, and how a failing one compares.
pub mod likeness;
// When an answer is of: copies from caches, and clocks that contradict the words.
mod moment;
// Which point of presence of a CDN answered.
pub mod pop;
pub mod same_body;
// Reads a saved HTTP answer, as `curl -i` writes it.
pub mod saved;

// What each vendor's refusals, challenges and errors show.
pub(crate) mod signatures;
// A run that broke off: whose fault, and which kind.
mod failure;
// What our own limits and choices leave open.
mod ours;
// How long an answer asks us to stay away.
mod patience;
// SOAP faults: the application speaking, whatever the status.
mod soap;
// Login, consent and denial pages in place of the content.
mod soft_block;
// The status, when nothing else tells.
mod status;
// A redirect that was not followed, and by whose rule.
mod unfollowed;
