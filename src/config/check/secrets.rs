//! A reference to a secret into the secret, or the reason why it is not there.

use crate::config::Inputs;
use crate::config::desk::clean;
use crate::config::special::Source;
use crate::domain::secret::Secret;

/// A token or password is short; a file larger than this is the wrong one.
const BYTES_MAX: usize = 64 * 1024;

/// Fetches the secret. The error is a plain reason ("`GMC_USERNAME` is not set"), without the secret.
pub(super) fn fetch(source: &Source, inputs: &dyn Inputs) -> Result<Secret, String> {
    let (name, text) = match source {
        Source::Env(name) => {
            let name = &name.value;
            let text = inputs
                .env(name)
                .ok_or_else(|| format!("{name} is not set"))?;
            (name.clone(), text)
        }
        Source::File(path) => {
            let name = clean(&path.value.display().to_string());
            let text = inputs
                .secret_file(&path.value)
                .map_err(|error| unreadable(&name, &error))?;
            (name, text)
        }
    };
    // An editor ends a file with a line break, and what makes a variable of the file keeps it; no password ends so.
    // An editor's mark at the start is none either.
    let text = text
        .trim_start_matches('\u{feff}')
        .trim_end_matches(['\n', '\r'])
        .to_owned();
    if text.is_empty() {
        return Err(match source {
            Source::Env(_) => format!("{name} is set, and empty"),
            Source::File(_) => format!("{name} is empty"),
        });
    }
    if text.len() > BYTES_MAX {
        return Err(format!("{name} holds more than 64 KiB"));
    }
    Ok(Secret::new(text))
}

/// What a secret is called where it is kept.
pub(super) fn name(source: &Source) -> String {
    match source {
        Source::Env(name) => clean(&name.value),
        Source::File(path) => clean(&path.value.display().to_string()),
    }
}

/// Why a file can't be read, in words that do not depend on the system.
pub(in crate::config) fn unreadable(path: &str, error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let reason = match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "edgewatch may not read it".to_owned(),
        ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
        ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    };
    format!("can't read {path}: {reason}")
}
