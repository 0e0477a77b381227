//! `probes.yaml` from the disk, with the files and environment it refers to.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::on_disk::{self, OnDisk, read_bounded};
use crate::config::{self, Checked, Finding, Findings, Inputs, Remembered};
use crate::domain::password::is_hash;
use crate::domain::plan::Plan;
use crate::domain::secret::{Secrets, mask};
use crate::machine::log::Source;
use crate::store::{Reader, Store};

/// Why there is no plan.
#[derive(Debug)]
pub enum Error {
    /// The file itself can't be read; a sentence.
    Unreadable(String),
    /// It was read and is wrong.
    Faulty(Findings),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(text) => f.write_str(text),
            // Of several lines the first is what many places show: it must be a fault.
            Self::Faulty(findings) => findings.errors().fmt(f),
        }
    }
}

/// Reads and checks the file at `path`; files it names are looked up beside it.
///
/// # Errors
/// [`Error::Unreadable`] when the file can't be read, [`Error::Faulty`] with every fault when it is wrong.
pub fn load(path: &Path) -> Result<Checked, Error> {
    load_with_source(path).map(|loaded| loaded.checked)
}

/// A file that can be used, and what it was read from.
#[derive(Debug)]
pub struct Loaded {
    pub checked: Checked,
    /// The text and what its references led to, secrets replaced by others of their shape.
    pub source: Source,
    /// Of the files that it refers to, those that hold a secret.
    pub secret_files: BTreeSet<String>,
    /// To see later whether the disk says otherwise; `None` of one that is not the disk's.
    pub on_disk: Option<OnDisk>,
}

/// The same, with what it was read from.
///
/// # Errors
/// As of [`load`].
pub fn load_with_source(path: &Path) -> Result<Loaded, Error> {
    attempt(path).0
}

/// The same, with the files as they were read, also of a file that can't be used.
///
/// # Errors
/// As of [`load`].
pub fn attempt(path: &Path) -> (Result<Loaded, Error>, OnDisk) {
    let text = match read_bounded(path) {
        Ok(text) => text,
        Err(e) => {
            let why = match e.kind() {
                std::io::ErrorKind::NotFound if path == Path::new("-") => {
                    "standard input is not read; name a file".to_owned()
                }
                std::io::ErrorKind::NotFound => {
                    "there is no such file; name it with --config, or see `edgewatch demo`"
                        .to_owned()
                }
                _ => e.to_string(),
            };
            let why = format!("can't read {}: {why}", path.display());
            let on_disk = OnDisk::new(path, None, std::iter::empty());
            return (Err(Error::Unreadable(why)), on_disk);
        }
    };
    let beside = path.parent().map(Path::to_owned).unwrap_or_default();
    let inputs = Surroundings::beside(beside);
    let checked = config::read(&text, &path.display().to_string(), &inputs);
    let absent = inputs.absent.borrow();
    let absent = absent.iter().map(|name| (name.as_str(), None));
    let files = inputs.read.borrow().files.clone();
    let there = files.iter();
    let there = there.map(|(name, text)| (name.as_str(), Some(text.as_str())));
    let lists = inputs.lists.take();
    let on_disk = OnDisk::new(path, Some(&text), there.chain(absent)).with_lists(lists);
    let loaded = checked
        .map(|checked| loaded(path, text, checked, &inputs, on_disk.clone()))
        .map_err(Error::Faulty);
    (loaded, on_disk)
}

fn loaded(
    path: &Path,
    text: String,
    mut checked: Checked,
    inputs: &Surroundings,
    on_disk: OnDisk,
) -> Loaded {
    let mut source = inputs.read.take();
    let secrets = checked.plan.secrets();
    for (name, text) in &source.files {
        let bare = text
            .trim_start_matches('\u{feff}')
            .trim_end_matches(['\n', '\r']);
        if secrets.holds(bare) && anybody_reads(&inputs.beside.join(name)) {
            checked.warnings.doubt(
                &path.display().to_string(),
                format!("{name} holds a secret, and everybody on this host may read it"),
                format!("chmod o-r {name}"),
            );
        }
    }
    source.text = text;
    without_secrets(&mut source, &secrets);
    Loaded {
        checked,
        secret_files: inputs.secret.take(),
        source,
        on_disk: Some(on_disk),
    }
}

/// The name of the note that holds the plan of the daemon in the store.
const PLAN_NOTE: &str = "plan";

/// The plan that a daemon runs by, as the store keeps it: no secrets.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    /// The file, as it was named.
    pub path: PathBuf,
    /// When it was taken.
    pub at: Timestamp,
    pub source: Source,
}

impl Kept {
    /// What the daemon with this store runs by, or ran by last; `None` when none has said.
    #[must_use]
    pub fn of(reader: &Reader) -> Option<Self> {
        let text = reader.note(PLAN_NOTE).ok()??;
        serde_json::from_str(&text).ok()
    }

    /// Keeps it, in place of the one before and behind those that were; `changes` are told of it.
    pub fn keep(&self, store: &Store, changes: Vec<String>) {
        if let Ok(text) = serde_json::to_string(self) {
            store.keep_note(PLAN_NOTE, text);
        }
        store.keep_plan(self.at, self.source.text.clone(), changes);
    }

    /// The plan as the daemon has it, whatever the environment of this process is.
    #[must_use]
    pub fn plan(&self) -> Option<Plan> {
        let inputs = Remembered {
            env: &self.source.env,
            variables: &self.source.variables,
            files: &self.source.files,
        };
        let name = self.path.display().to_string();
        let checked = config::read(&self.source.text, &name, &inputs).ok()?;
        Some(checked.plan)
    }
}

/// What the daemon ran by last with the file at `path`, where that can't be used now; secrets are those of now.
///
/// A file that can't be read, or names no store any more, is looked for where stores stand otherwise; taken is only
/// what came from a file of this name.
#[must_use]
pub fn last_good(path: &Path) -> Option<(Timestamp, Loaded)> {
    let store = store_path(path).unwrap_or_else(config::default_store);
    let kept = Kept::of(&Store::read_only(&store).ok()?)?;
    if std::path::absolute(&kept.path).ok()? != std::path::absolute(path).ok()? {
        return None;
    }
    let inputs = Former {
        now: Surroundings::beside(path.parent().map(Path::to_owned).unwrap_or_default()),
        kept: &kept.source,
    };
    let name = path.display().to_string();
    let checked = config::read(&kept.source.text, &name, &inputs).ok()?;
    let secret_files = inputs.now.secret.take();
    let loaded = Loaded {
        checked,
        secret_files,
        source: kept.source,
        on_disk: None,
    };
    Some((kept.at, loaded))
}

/// Where a refused file kept its references: as they are now, and of files that are gone and hold no secret, as they were.
/// What it includes is as it was, like its own text.
struct Former<'a> {
    now: Surroundings,
    kept: &'a Source,
}

impl Inputs for Former<'_> {
    fn env(&self, name: &str) -> Option<String> {
        self.now.env(name)
    }

    fn file(&self, path: &Path) -> std::io::Result<String> {
        let kept = || self.kept.files.get(&path.display().to_string()).cloned();
        self.now.file(path).or_else(|error| kept().ok_or(error))
    }

    fn part(&self, path: &Path) -> std::io::Result<String> {
        let kept = self.kept.files.get(&path.display().to_string());
        kept.cloned()
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    fn matching(&self, pattern: &Path) -> std::io::Result<Vec<PathBuf>> {
        Ok(config::among(self.kept.included.iter(), pattern))
    }

    fn variable(&self, name: &str) -> Option<String> {
        let kept = || self.kept.variables.get(name).cloned();
        self.now.variable(name).or_else(kept)
    }

    fn secret_file(&self, path: &Path) -> std::io::Result<String> {
        self.now.secret_file(path)
    }
}

fn anybody_reads(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o004 != 0)
}

/// Puts others of their shape in place of secrets, so that the text still makes the same plan.
fn without_secrets(source: &mut Source, secrets: &Secrets) {
    source.text = mask(&source.text, secrets);
    // Only secrets are taken from the environment.
    for value in source.env.values_mut() {
        *value = shape(value);
    }
    for text in source.files.values_mut() {
        let whole = text.trim_end_matches(['\n', '\r']);
        *text = if secrets.holds(whole) {
            shape(whole)
        } else {
            mask(text, secrets)
        };
    }
}

/// Another text of the same shape; a URL keeps its host, a token its kind, and a hash is one of another password.
fn shape(secret: &str) -> String {
    if is_hash(secret)
        && let Some((at, _)) = secret.match_indices('$').nth(3)
    {
        let (kept, rest) = secret.split_at(at);
        let rest = rest.chars().map(|c| if c == '$' { c } else { 'A' });
        return kept.chars().chain(rest).collect();
    }
    let kept = match url::Url::parse(secret) {
        Ok(url) if url.has_host() => secret
            .find("://")
            .and_then(|at| {
                secret[at + 3..]
                    .find(['/', '?', '#'])
                    .map(|end| at + 3 + end)
            })
            .unwrap_or(secret.len()),
        _ if secret.starts_with("xox") || secret.starts_with("xapp") => {
            secret.find('-').unwrap_or_default()
        }
        _ => 0,
    };
    let (kept, rest) = secret.split_at(kept);
    let rest = rest.chars().map(|c| match c {
        '0'..='9' => '0',
        'A'..='Z' => 'A',
        c if c.is_alphanumeric() => 'a',
        c => c,
    });
    kept.chars().chain(rest).collect()
}

/// Where the file at `path` keeps its store, though it may be faulty elsewhere.
#[must_use]
pub fn store_path(path: &Path) -> Option<PathBuf> {
    config::store_path(&read_bounded(path).ok()?)
}

/// Says in the log what is odd about a file that can be used: a secret that is not there, for example.
pub fn log_warnings(checked: &Checked) {
    for warning in &checked.warnings {
        log_warning(warning);
    }
}

fn log_warning(warning: &Finding) {
    let Finding {
        path,
        message,
        hint,
        line,
        ..
    } = warning;
    if *line == 0 {
        tracing::warn!("{path}: {message}; {hint}");
    } else {
        tracing::warn!("{path}: {message}; {hint} (line {line})");
    }
}

/// The same without doubts, for commands that answer a question: only what leaves something out of the answer.
pub fn log_gaps(checked: &Checked) {
    for warning in checked.warnings.iter().filter(|warning| !warning.doubt) {
        log_warning(warning);
    }
}

/// Where a program is that a file names, or why it can't be run; a path is looked for beside the file.
///
/// # Errors
/// Why it can't be run.
pub fn program(name: &str, beside: &Path) -> Result<String, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let runs = |path: &Path| {
        let found = std::fs::metadata(path);
        found.map(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if !name.contains('/') {
        let mut folders = crate::probe::PROGRAM_FOLDERS.split(':');
        let found = folders.find_map(|folder| {
            let path = Path::new(folder).join(name);
            runs(&path).ok()?.then(|| path.display().to_string())
        });
        let folders = crate::probe::PROGRAM_FOLDERS.replace(':', ", ");
        return found.ok_or_else(|| format!("there is no such program in {folders}"));
    }
    let path = beside.join(name);
    let path = std::path::absolute(&path).unwrap_or(path);
    match runs(&path) {
        Ok(true) => Ok(path.display().to_string()),
        Ok(false) => Err("it is no file that may be executed".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err("there is no such file".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The environment of this process and the directory of the file.
struct Surroundings {
    beside: PathBuf,
    /// What was read.
    read: RefCell<Source>,
    /// Files that could not be.
    absent: RefCell<Vec<String>>,
    /// What patterns stood for.
    lists: RefCell<Vec<(PathBuf, Vec<PathBuf>)>>,
    /// Files that hold secrets.
    secret: RefCell<BTreeSet<String>>,
}

impl Surroundings {
    fn beside(directory: PathBuf) -> Self {
        Self {
            beside: directory,
            read: RefCell::default(),
            absent: RefCell::default(),
            lists: RefCell::default(),
            secret: RefCell::default(),
        }
    }
}

impl Inputs for Surroundings {
    fn env(&self, name: &str) -> Option<String> {
        let value = std::env::var(name).ok()?;
        let mut read = self.read.borrow_mut();
        read.env.insert(name.to_owned(), value.clone());
        Some(value)
    }

    fn variable(&self, name: &str) -> Option<String> {
        let value = std::env::var(name).ok()?;
        let mut read = self.read.borrow_mut();
        read.variables.insert(name.to_owned(), value.clone());
        Some(value)
    }

    fn matching(&self, pattern: &Path) -> std::io::Result<Vec<PathBuf>> {
        let found = on_disk::matching(&self.beside, pattern);
        let list = found.as_ref().map_or_else(|_| Vec::new(), Clone::clone);
        self.lists.borrow_mut().push((pattern.to_owned(), list));
        found
    }

    fn part(&self, path: &Path) -> std::io::Result<String> {
        let text = self.file(path)?;
        let mut read = self.read.borrow_mut();
        read.included.insert(path.display().to_string());
        Ok(text)
    }

    fn has_address(&self, address: std::net::IpAddr) -> Option<bool> {
        match std::net::UdpSocket::bind((address, 0)) {
            Ok(_) => Some(true),
            Err(e) if e.kind() == std::io::ErrorKind::AddrNotAvailable => Some(false),
            Err(_) => None,
        }
    }

    fn holds_programs(&self) -> bool {
        crate::probe::programs_are_held()
    }

    fn has_interface(&self, name: &str) -> Option<bool> {
        let all = Path::new("/sys/class/net");
        all.is_dir().then(|| all.join(name).exists())
    }

    fn program(&self, name: &str) -> Result<String, String> {
        program(name, &self.beside)
    }

    fn unwritable(&self, path: &Path) -> Option<String> {
        use std::io::ErrorKind;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        if path.is_dir() {
            return Some("it is a directory; name a file in it".to_owned());
        }
        match std::fs::metadata(folder) {
            Ok(found) if !found.is_dir() => Some(format!("{} is no directory", folder.display())),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Some(format!("there is no directory {}", folder.display()))
            }
            Err(e) if e.kind() == ErrorKind::NotADirectory => {
                Some("a part of its path is no directory".to_owned())
            }
            _ => None,
        }
    }

    fn secret_file(&self, path: &Path) -> std::io::Result<String> {
        self.secret.borrow_mut().insert(path.display().to_string());
        self.file(path)
    }

    fn file(&self, path: &Path) -> std::io::Result<String> {
        let shown = || path.display().to_string();
        let text = read_bounded(&self.beside.join(path))
            .inspect_err(|_| self.absent.borrow_mut().push(shown()))?;
        let mut read = self.read.borrow_mut();
        read.files.insert(shown(), text.clone());
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::password::hash;

    #[test]
    fn what_stands_for_a_secret_has_its_shape() {
        for (secret, expected) in [
            (
                "https://hooks.example/hunter22",
                "https://hooks.example/aaaaaa00",
            ),
            ("xoxb-12-ab", "xoxb-00-aa"),
            ("Hunter-22", "Aaaaaa-00"),
        ] {
            assert_eq!(shape(secret), expected);
        }
        // A store's plan would say else that nobody can sign in.
        let kept = hash("correct horse", b"0123456789abcdef").unwrap();
        let other = shape(&kept);
        assert!(is_hash(&other) && other != kept, "{other}");
        assert!(other.ends_with("AAAA"), "{other}");
    }
}
