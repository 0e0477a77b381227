//! The connection between sites and hubs: NATS, and what waits on a disk while there is none.

// The connection itself.
pub mod connect;
// Which hub leads.
pub mod lease;
// What the hub that leads decided.
pub mod log;
// What a site has seen, on its way.
pub mod outlet;
// Who may do what at the server.
pub mod rights;
// What a site has seen and the hub has not yet.
pub mod spool;
// The hub's end.
pub mod stream;
