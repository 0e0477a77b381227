//! Writes the log of the machine to a file (`run --record`), without secrets.
//!
//! What the machine hears is masked before it hears it, so that the log says just what it heard. A log that can't be
//! written any more ends with a complaint; the daemon goes on.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::secret::{Secret, mask};
use crate::machine::log::{Heard, Line, Source, Writer};
use crate::machine::{Effect, Event, Judged, Known, Machine};

/// Where to write, and the text of the plan in force.
#[derive(Debug, Clone)]
pub struct Record {
    pub path: PathBuf,
    pub plan: Source,
}

#[derive(Debug)]
pub(super) struct Recorder {
    path: PathBuf,
    /// `None` after an error.
    out: Option<BufWriter<File>>,
    writer: Writer,
    plan: Source,
    secrets: Vec<Secret>,
}

impl Recorder {
    /// Begins a log at the end of the file; one file may hold several lives of a daemon.
    ///
    /// # Errors
    /// A sentence when the file can't be written.
    pub(super) fn begin(
        record: Record,
        secrets: Vec<Secret>,
        known: &Known,
        now: Timestamp,
    ) -> Result<Self, String> {
        let out = open(&record.path)
            .map_err(|e| format!("can't write the log {}: {e}", record.path.display()))?;
        let mut it = Self {
            out: Some(BufWriter::new(out)),
            path: record.path,
            writer: Writer::default(),
            plan: record.plan,
            secrets,
        };
        it.write(&Writer::begin(&it.plan.clone(), known, now));
        Ok(it)
    }

    /// The plan that is about to be replaced by.
    pub(super) fn replace(&mut self, plan: Source, secrets: Vec<Secret>) {
        (self.plan, self.secrets) = (plan, secrets);
    }

    /// A run as the machine is to hear of it: no secret that came back in an answer.
    pub(super) fn masked(&self, judged: Judged) -> Judged {
        masked(&judged, &self.secrets).unwrap_or(judged)
    }

    pub(super) fn step(
        &mut self,
        event: &Event,
        now: Timestamp,
        effects: &[Effect],
        machine: &Machine,
    ) {
        if self.out.is_some() {
            let heard = Heard::of(event, &self.plan);
            for line in self.writer.step(heard, now, effects, machine) {
                self.write(&line);
            }
        }
    }

    fn write(&mut self, line: &Line) {
        let Some(out) = &mut self.out else { return };
        let written = serde_json::to_writer(&mut *out, line)
            .map_err(std::io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush());
        if let Err(error) = written {
            tracing::error!(
                "the log {} ends here, it can't be written any more: {error}",
                self.path.display()
            );
            self.out = None;
        }
    }
}

/// For this user alone: answers of partners are in it.
fn open(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = File::options();
    options.create(true).append(true).mode(0o600).open(path)
}

/// The run without the secrets; `None` when none is in it.
fn masked(judged: &Judged, secrets: &[Secret]) -> Option<Judged> {
    let body = judged.observation.answer.as_ref().map(|answer| {
        let text = String::from_utf8_lossy(&answer.body.bytes);
        (mask(&text, secrets), text.len())
    });
    let mut value = serde_json::to_value(judged).ok()?;
    let changed = mask_strings(&mut value, secrets);
    let mut clean: Judged = serde_json::from_value(value).ok()?;
    let mut found = changed;
    if let (Some(answer), Some((text, _))) = (&mut clean.observation.answer, body) {
        let before = String::from_utf8_lossy(&answer.body.bytes);
        if *before != text {
            answer.body.bytes = text.into_bytes().into();
            found = true;
        }
    }
    found.then_some(clean)
}

fn mask_strings(value: &mut Value, secrets: &[Secret]) -> bool {
    match value {
        Value::String(text) => {
            let clean = mask(text, secrets);
            let changed = clean != *text;
            *text = clean;
            changed
        }
        Value::Array(values) => {
            let each = values.iter_mut().map(|value| mask_strings(value, secrets));
            each.fold(false, |any, changed| any | changed)
        }
        Value::Object(fields) => {
            let each = fields
                .values_mut()
                .map(|value| mask_strings(value, secrets));
            each.fold(false, |any, changed| any | changed)
        }
        _ => false,
    }
}
