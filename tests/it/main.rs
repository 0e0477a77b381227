//! One binary for all tests that go through the crate's public interface.

/// Scores the classifier against saved answers.
mod classify;
