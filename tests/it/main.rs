//! Tests from outside: real files, real sockets on loopback, one binary.

/// Reading `probes.yaml`: the file in the root, its schema, and a table of files that are refused.
mod config;
