//! Which file the store is: its device and number, and that it was not cut.
//!
//! A file can be renamed, removed or replaced under a running daemon; what is open still works then, and is lost at
//! its end. So it is looked at by its name every few seconds.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the file is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The file as it was seen last.
#[derive(Debug)]
pub(super) struct Identity {
    device: u64,
    number: u64,
    bytes: u64,
    looked_at: Instant,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Same,
    /// Nothing, or another file, has its name.
    Gone,
    /// It is smaller than it was; that may be our own doing.
    Smaller,
}

impl Identity {
    /// Of the file that has this name now; `None`: there is none.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            number: found.ino(),
            bytes: found.len(),
            looked_at: Instant::now(),
        })
    }

    /// Looks again, if it is time to.
    pub(super) fn look(&mut self, path: &Path) -> Fate {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return Fate::Same;
        }
        self.looked_at = Instant::now();
        let Some(now) = Self::of(path) else {
            return Fate::Gone;
        };
        if (now.device, now.number) != (self.device, self.number) {
            return Fate::Gone;
        }
        let smaller = now.bytes < self.bytes;
        self.bytes = now.bytes;
        if smaller { Fate::Smaller } else { Fate::Same }
    }
}
