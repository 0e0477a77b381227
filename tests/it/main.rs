//! The integration tests: one binary, one module each.

/// `edgewatch replay` over scenario files, ours and the shared ones.
mod replay;
