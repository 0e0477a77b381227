//! Writes the log of the machine to a file (`run --record`), without secrets.
//!
//! What the machine hears is masked before it hears it, so that the log says just what it heard. A log that can't be
//! written any more ends with a complaint; the daemon goes on.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::secret::{Secrets, mask};
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
    secrets: Secrets,
}

impl Recorder {
    /// Begins a log at the end of the file; one file may hold several lives of a daemon.
    ///
    /// # Errors
    /// A sentence when the file can't be written.
    pub(super) fn begin(
        record: Record,
        secrets: Secrets,
        known: &mut Known,
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
        if let Some(clean) = masked(known, &it.secrets) {
            *known = clean;
        }
        it.write(&Writer::begin(&it.plan.clone(), known, now));
        Ok(it)
    }

    /// The plan that is about to be replaced by.
    pub(super) fn replace(&mut self, plan: Source, secrets: Secrets) {
        (self.plan, self.secrets) = (plan, secrets);
    }

    /// A run as the machine is to hear of it: no secret that came back in an answer.
    pub(super) fn masked(&self, judged: Judged) -> Judged {
        masked_run(&judged, &self.secrets).unwrap_or(judged)
    }

    /// What people asked for, without a secret that they may have named.
    pub(super) fn heard(&self, event: Event) -> Event {
        match event {
            Event::Silenced(silences) => {
                Event::Silenced(masked(&silences, &self.secrets).unwrap_or(silences))
            }
            Event::Care { incident, care } => Event::Care {
                incident,
                care: masked(&care, &self.secrets).unwrap_or(care),
            },
            event => event,
        }
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
    use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
    let mut options = File::options();
    options.read(true).append(true).mode(0o600);
    // Never made through a link that leads to nothing.
    let made = options.clone().create_new(true).open(path);
    let mut file = match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(path)?,
        made => made?,
    };
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    // A life that was killed may have ended in the middle of a line.
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

/// A run without the secrets; `None` when none is in it.
pub(super) fn masked_run(judged: &Judged, secrets: &Secrets) -> Option<Judged> {
    // A body has a form of its own, in which a secret does not show.
    let body = judged.observation.answer.as_ref().and_then(|answer| {
        let bytes = secrets.mask_bytes(answer.body.bytes.clone());
        (bytes != answer.body.bytes).then_some(bytes)
    });
    let Some(bytes) = body else {
        return masked(judged, secrets);
    };
    let mut clean = judged.clone();
    if let Some(answer) = &mut clean.observation.answer {
        answer.body.bytes = bytes;
    }
    Some(masked(&clean, secrets).unwrap_or(clean))
}

/// A value without the secrets; `None` when none is in it.
fn masked<T: Serialize + DeserializeOwned>(value: &T, secrets: &Secrets) -> Option<T> {
    let form = serde_json::to_value(value).ok()?;
    let mut showing = 0;
    texts(&mut form.clone(), &mut |text| {
        showing += usize::from(mask(text, secrets) != *text);
    });
    let without = |kept: &BTreeSet<usize>| {
        let (mut form, mut place) = (form.clone(), 0);
        texts(&mut form, &mut |text| {
            let clean = mask(text, secrets);
            if clean != *text {
                place += 1;
                if !kept.contains(&place) {
                    *text = clean;
                }
            }
        });
        serde_json::from_value(form).ok()
    };
    if showing == 0 {
        return None;
    }
    without(&BTreeSet::new()).or_else(|| {
        // A secret that is a word of ours, such as a kind of failure, tells nothing where that word stands.
        let alone = |place| (1..=showing).filter(|other| *other != place).collect();
        let ours = (1..=showing).filter(|place| without(&alone(*place)).is_none());
        without(&ours.collect())
    })
}

/// Visits every text of a value.
fn texts(value: &mut Value, visit: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(values) => values.iter_mut().for_each(|value| texts(value, visit)),
        Value::Object(fields) => fields.values_mut().for_each(|value| texts(value, visit)),
        _ => {}
    }
}
