//! Whether what the plan was read from still stands on the disk as it was read.
//!
//! An edited file does nothing until it is read again, by itself or when it is told to. A look costs a few
//! calls for the files' marks; only a file whose mark is another is read, and a save without a change is none.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::telemetry::vitals::Edited;

/// A configuration file is refused above this, bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The files of a plan as they were when it was read.
#[derive(Debug, Clone)]
pub struct OnDisk {
    files: Vec<File>,
    /// Patterns of included files, and the files that they stood for.
    lists: Vec<(PathBuf, Vec<PathBuf>)>,
    beside: PathBuf,
    edited: Option<Edited>,
}

#[derive(Debug, Clone)]
struct File {
    /// As people know it.
    name: String,
    path: PathBuf,
    /// `None`: it could not be read.
    read: Option<[u8; 32]>,
    /// Device, inode, size and time of the last look; `None`: not looked at, or not there.
    mark: Option<(u64, u64, u64, i64, i64)>,
    differs: bool,
}

impl OnDisk {
    /// `text` is what was read of `config`; `files` are names with what was read of them, of those that lie beside it;
    /// `None`: nothing could be.
    #[must_use]
    pub fn new<'a>(
        config: &Path,
        text: Option<&str>,
        files: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Self {
        let beside = config.parent().map(Path::to_owned).unwrap_or_default();
        let own = config.file_name().map_or_else(
            || config.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
        let file = |name: String, path: PathBuf, text: Option<&str>| File {
            name,
            path,
            read: text.map(|text| Sha256::digest(text).into()),
            mark: None,
            differs: false,
        };
        let own = file(own, config.to_owned(), text);
        let others = files.map(|(name, text)| file(name.to_owned(), beside.join(name), text));
        let files = std::iter::once(own).chain(others).collect();
        Self {
            files,
            lists: Vec::new(),
            beside,
            edited: None,
        }
    }

    /// The same, with what the patterns of included files stood for.
    pub(super) fn with_lists(self, lists: Vec<(PathBuf, Vec<PathBuf>)>) -> Self {
        Self { lists, ..self }
    }

    /// Which files are not as they were read, and since which look.
    pub fn look(&mut self, now: Timestamp) -> Option<&Edited> {
        for file in &mut self.files {
            file.look();
        }
        let differ = self.files.iter().filter(|file| file.differs);
        let mut names: Vec<String> = differ.map(|file| file.name.clone()).collect();
        for (pattern, files) in &self.lists {
            let now = matching(&self.beside, pattern).unwrap_or_default();
            let new = now.iter().filter(|file| !files.contains(file));
            names.extend(new.map(|file| file.display().to_string()));
        }
        if names.is_empty() {
            self.edited = None;
        } else {
            let since = self.edited.as_ref().map_or(now, |edited| edited.since);
            let what = names.join(", ");
            self.edited = Some(Edited { what, since });
        }
        self.edited.as_ref()
    }
}

impl File {
    fn look(&mut self) {
        let mark = std::fs::metadata(&self.path).ok().map(|found| {
            let (at, part) = (found.mtime(), found.mtime_nsec());
            (found.dev(), found.ino(), found.size(), at, part)
        });
        if mark.is_some() && mark == self.mark {
            return;
        }
        self.mark = mark;
        let text = read_bounded(&self.path).ok();
        self.differs = text.map(|text| <[u8; 32]>::from(Sha256::digest(text))) != self.read;
    }
}

/// The files that a pattern names, by name; the one that it is, whether it is there or not, when it has no wildcard.
///
/// # Errors
/// What the system says of its folder, but that there is none.
pub(super) fn matching(beside: &Path, pattern: &Path) -> std::io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy();
    if !name.contains(['*', '?']) {
        return Ok(vec![pattern.to_owned()]);
    }
    let folder = pattern.parent().unwrap_or(Path::new(""));
    let entries = match std::fs::read_dir(beside.join(folder)) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let own = entry.file_name();
        // A link is what it leads to.
        let is_folder = std::fs::metadata(entry.path()).is_ok_and(|it| it.is_dir());
        if !is_folder && crate::config::fits(&name, &own.to_string_lossy()) {
            found.push(folder.join(own));
        }
    }
    found.sort();
    Ok(found)
}

/// One byte more than allowed is read, so that the reader of the text can say that it is too long.
pub(super) fn read_bounded(path: &Path) -> std::io::Result<String> {
    // Whoever opens a pipe waits for somebody to write into it.
    let found = std::fs::metadata(path)?;
    if !found.is_file() && !found.is_dir() {
        return Err(std::io::Error::other(
            "it is a pipe, a socket or a device, and must be a file",
        ));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|e| {
        let read = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = read.split(|byte| *byte == b'\n').count();
        std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("not UTF-8 in line {line}; save the file as UTF-8"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_seen_and_a_save_without_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("probes.yaml");
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("probes.yaml", "version: 1\n");
        write("tok", "abc");
        let files = [("tok", Some("abc")), ("later", None)];
        let mut it = OnDisk::new(&config, Some("version: 1\n"), files.into_iter());
        let minute = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        let mut look = |at: i64| {
            let edited = it.look(minute(at));
            edited.map(|edited| (edited.what.clone(), edited.since.as_second() / 60))
        };
        assert_eq!(look(1), None);

        write("probes.yaml", "version: 1\n# edited\n");
        assert_eq!(look(2), Some(("probes.yaml".to_owned(), 2)));
        assert_eq!(look(3), Some(("probes.yaml".to_owned(), 2)));
        std::fs::remove_file(folder.path().join("tok")).unwrap();
        assert_eq!(look(4), Some(("probes.yaml, tok".to_owned(), 2)));

        write("probes.yaml", "version: 1\n");
        write("tok", "abc");
        assert_eq!(look(5), None);
        write("later", "a secret that was missing");
        assert_eq!(look(6), Some(("later".to_owned(), 6)));

        // An editor that saves by renaming, and a link that is set to another file.
        std::fs::remove_file(folder.path().join("later")).unwrap();
        write("new.yaml", "version: 2\n");
        std::fs::rename(folder.path().join("new.yaml"), &config).unwrap();
        assert_eq!(look(7), Some(("probes.yaml".to_owned(), 6)));
    }
}
