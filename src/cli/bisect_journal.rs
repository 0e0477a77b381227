//! The answers of a bisection in a file, so that it goes on where it was broken off.
//!
//! One JSON object a line. It holds which parts were changed and what came, never what was sent.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ask::bisect::{Answer, Bisection, Set};
use crate::clock;
use crate::domain::probe::Template;
use crate::domain::verdict::Verdict;

/// What was answered longer ago may no longer be so.
const OLD: Duration = Duration::from_secs(3600);
const BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begun { mark: String, at: Timestamp },
    Fails(Box<Verdict>),
    Answer(Answer),
}

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// What stood there.
    before: Vec<Line>,
}

impl Journal {
    /// Opens or begins the journal of this bisection.
    ///
    /// # Errors
    /// A sentence: it can't be read or written, is of other requests, or is old.
    pub(super) fn open(path: &Path, bisection: &Bisection) -> Result<Self, String> {
        let wrong =
            |error: &dyn std::fmt::Display| format!("--journal {}: {error}", path.display());
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true);
        let mut file = options.open(path).map_err(|error| wrong(&error))?;
        let mut text = String::new();
        let mut read = (&mut file).take(BYTES_MAX);
        read.read_to_string(&mut text)
            .map_err(|error| wrong(&error))?;
        let mut before = Vec::new();
        for (index, line) in text.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(line) => before.push(line),
                // A line that was cut off by a crash is the last one.
                Err(_) if index + 1 == text.lines().count() && index > 0 => {}
                Err(_) => return Err(wrong(&format!("line {} is none of a journal", index + 1))),
            }
        }
        let (mark, now) = (mark(bisection), clock::now());
        match before.first() {
            Some(Line::Begun { mark: known, at }) => {
                if *known != mark {
                    return Err(wrong(&"it is of other requests; name another file"));
                }
                let age = Duration::try_from(now.duration_since(*at)).unwrap_or_default();
                if age > OLD {
                    return Err(wrong(&"it is older than an hour; name another file"));
                }
            }
            Some(_) => return Err(wrong(&"line 1 is none of a journal")),
            None => {}
        }
        let mut journal = Self {
            path: path.to_owned(),
            file,
            before,
        };
        if journal.before.is_empty() {
            journal.write(&Line::Begun { mark, at: now })?;
        } else if !text.ends_with('\n') {
            writeln!(journal.file).map_err(|error| wrong(&error))?;
        }
        Ok(journal)
    }

    /// Gives the bisection what stood there.
    pub(super) fn play(&mut self, bisection: &mut Bisection) {
        for line in self.before.drain(..) {
            match line {
                Line::Begun { .. } => {}
                Line::Fails(verdict) => bisection.remember(*verdict),
                Line::Answer(answer) => bisection.keep(answer),
            }
        }
    }

    /// Writes the answer to a request, if it said something.
    ///
    /// # Errors
    /// A sentence: the file can't be written.
    pub(super) fn note(&mut self, bisection: &Bisection, changes: &Set) -> Result<(), String> {
        let Some(answer) = bisection.answered(changes) else {
            return Ok(());
        };
        if answer.fails
            && let Some(verdict) = bisection.failing()
            && bisection.is_whole(changes)
        {
            self.write(&Line::Fails(Box::new(verdict.clone())))?;
        }
        self.write(&Line::Answer(answer.clone()))
    }

    fn write(&mut self, line: &Line) -> Result<(), String> {
        let text = serde_json::to_string(line).map_err(|error| error.to_string())?;
        writeln!(self.file, "{text}")
            .map_err(|error| format!("--journal {}: {error}", self.path.display()))
    }
}

/// Equal only for the same two requests; secrets are no part of it.
fn mark(bisection: &Bisection) -> String {
    let sides = [
        bisection.side(&Set::new()),
        bisection.mixed().failing().clone(),
    ];
    let each = sides.map(|side| {
        let body = side.probe.body.as_ref().map(Template::masked);
        format!("{}{:?}{body:?}", side.cell(), side.head())
    });
    let digest = Sha256::digest(format!("{each:?}").as_bytes());
    digest
        .iter()
        .take(8)
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
