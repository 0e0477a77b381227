//! The connection between sites and the hub: NATS, and what waits on a disk while there is none.

// What a site has seen and the hub has not yet.
pub mod spool;
