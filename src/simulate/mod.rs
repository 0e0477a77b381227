//! A partner's API behind a rule-driven edge, on loopback, over real sockets.
//!
//! `demo` runs the daemon against it, the integration tests probe it, and benchmarks load it. The
//! [`partner`] answers as an application would; the [`edge`] stands before it, adds what a CDN adds to
//! relayed answers ([`front`]), and refuses by [`rules`] with the block pages of several vendors
//! ([`pages`]), or with silence, resets and broken TLS. Rules and front change while it runs, so that
//! a partner can move behind a CDN and a block can come and go. The [`recorder`] stands in for any host and only notes
//! how requests look.
//!
//! Pages show the signs by which real ones are told, in words of our own. Time comes from a clock that
//! is passed in; no rule waits for a real minute in a test.

pub mod certificate;
pub mod edge;
pub mod front;
pub mod pages;
pub mod partner;
pub mod recorder;
pub mod rules;

mod ids;
mod request;
mod wire;

pub use certificate::Certificate;
pub use edge::{Clock, Edge, Script, Seen};
pub use front::Front;
pub use pages::{Form, Page};
pub use partner::{Account, Partner};
pub use recorder::{Noted, Recorder};
pub use rules::{Action, Network, Rate, RateKey, Rule, Text, When};
