//! Watching the watcher: what edgewatch says of itself, and to whom.
//!
//! [`Vitals`] are the facts, [`progress`] and [`health`] the rules over them, [`Metrics`] the numbers.
//! [`listener`] serves them on loopback, [`Heartbeat`] tells a dead-man's switch that all is well, and
//! [`Systemd`] the service manager. Nothing here decides about partners, and nothing here can hold up
//! the loop: it hands facts over and goes on.

mod exposition;
pub mod health;
mod heartbeat;
pub mod listener;
mod metrics;
pub mod progress;
mod systemd;
pub mod vitals;

pub use heartbeat::{Heartbeat, Told};
pub use listener::Listener;
pub use metrics::{Live, Meters, Metrics};
pub use systemd::Systemd;
pub use vitals::Vitals;
