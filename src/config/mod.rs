//! The text of `probes.yaml` into a checked [`Plan`].
//!
//! In order of the data: `yaml` makes a tree with positions, `include` adds those of further files, `variables` fills in
//! what comes from the environment, `raw` mirrors the file's keys, `read` and `leaf` read the tree into the mirror,
//! `shared` gives each probe what it shares with others, `check` makes the plan of it, and `desk` gathers what any of
//! them finds, so that one reading reports every error.
//! Nothing here touches the file system or the environment: both come in through [`Inputs`].

mod check;
mod collections;
mod desk;
mod finding;
mod include;
mod leaf;
mod mask;
mod measure;
mod narrow;
mod raw;
mod read;
mod reduce;
mod schema;
mod shared;
mod slips;
mod special;
mod syntax;
mod variables;
mod week;
mod yaml;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

pub use self::check::imitator;
pub use self::finding::{Finding, Findings, Severity};
pub use self::include::fits;
pub use self::reduce::reduce;
pub use self::schema::{part_schema, schema};
use crate::domain::plan::Plan;

/// Where the file's references lead: the environment, and files beside it.
pub trait Inputs {
    /// The value of an environment variable; `None` when it is not set.
    fn env(&self, name: &str) -> Option<String>;

    /// The text of a file; `path` is as written, relative to the directory of `probes.yaml`.
    ///
    /// # Errors
    /// What the system says, or `InvalidData` when it is not UTF-8.
    fn file(&self, path: &Path) -> io::Result<String>;

    /// Whether this host has an address; `None`: that is not known here.
    fn has_address(&self, _address: std::net::IpAddr) -> Option<bool> {
        None
    }

    /// Whether this host has a network interface of this name.
    fn has_interface(&self, _name: &str) -> Option<bool> {
        None
    }

    /// Where a program is that the file names, or why it can't be run; nothing is started.
    ///
    /// # Errors
    /// Why it can't be run.
    fn program(&self, name: &str) -> Result<String, String> {
        Ok(name.to_owned())
    }

    /// Whether programs of clients can be kept from going past edgewatch on this host.
    fn holds_programs(&self) -> bool {
        true
    }

    /// Why a store could not be written here, as far as can be seen without writing it.
    fn unwritable(&self, _path: &Path) -> Option<String> {
        None
    }

    /// The files that `pattern` names, in order, as [`part`](Self::part) reads them: those in its folder whose names it
    /// [`fits`], or the one that it is when it has no wildcard, whether that is there or not.
    ///
    /// # Errors
    /// What the system says of the folder.
    fn matching(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(vec![pattern.to_owned()])
    }

    /// The text of an included file.
    ///
    /// # Errors
    /// As of [`file`](Self::file).
    fn part(&self, path: &Path) -> io::Result<String> {
        self.file(path)
    }

    /// The value of an environment variable that is filled in, and so no secret.
    fn variable(&self, name: &str) -> Option<String> {
        self.env(name)
    }

    /// The text of a file that holds a secret, as of [`file`](Self::file).
    ///
    /// # Errors
    /// As of [`file`](Self::file).
    fn secret_file(&self, path: &Path) -> io::Result<String> {
        self.file(path)
    }
}

/// References as they were when a text was read, for reading it again.
#[derive(Debug, Clone, Copy)]
pub struct Remembered<'a> {
    /// By name; a variable that was not there is missing.
    pub env: &'a BTreeMap<String, String>,
    /// Those that are filled in.
    pub variables: &'a BTreeMap<String, String>,
    /// By path as written.
    pub files: &'a BTreeMap<String, String>,
}

impl Inputs for Remembered<'_> {
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        let file = self.files.get(&path.display().to_string());
        file.cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn matching(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(among(self.files.keys(), pattern))
    }
}

/// Those of `files` that a pattern names.
#[must_use]
pub fn among<'a>(files: impl Iterator<Item = &'a String>, pattern: &Path) -> Vec<PathBuf> {
    let name = |path: &Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let own = name(pattern).unwrap_or_default();
    if !own.contains(['*', '?']) {
        return vec![pattern.to_owned()];
    }
    let paths = files.map(PathBuf::from);
    let matching = paths.filter(|path| {
        path.parent() == pattern.parent() && name(path).is_some_and(|name| fits(&own, &name))
    });
    matching.collect()
}

/// A duration as the file writes it: `30s`, `5m`, `1h30m`.
///
/// # Errors
/// How to write it.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    measure::parse_duration(text)
}

/// A file that can be used.
#[derive(Debug)]
pub struct Checked {
    pub plan: Plan,
    /// How many files it includes.
    pub included: usize,
    /// What may not be meant; never an error.
    pub warnings: Findings,
}

/// Where a file keeps its store, as far as that can be read of one that is faulty elsewhere.
///
/// For questions that a faulty file must not leave unanswered, such as why it was not taken.
#[must_use]
pub fn store_path(text: &str) -> Option<PathBuf> {
    let part = part(text, "store:");
    // Of a file that is no YAML this part may be.
    let mut root = yaml::parse(text).or_else(|_| yaml::parse(&part)).ok()??;
    let mut desk = desk::Desk::new("", text);
    yaml::drop_extensions(&mut root);
    let place = desk::Desk::root(&root);
    let raw = read::read_at::<raw::File>(&root, place, &mut desk)?.value;
    Some(check::store(raw.store.map(|s| s.value).unwrap_or_default()).path)
}

/// Where the store is when the file does not say.
#[must_use]
pub fn default_store() -> PathBuf {
    check::store(raw::Store::default()).path
}

/// The lines of a top-level key.
fn part(text: &str, key: &str) -> String {
    let lines = text.lines().skip_while(|line| !line.starts_with(key));
    let mut first = true;
    let own = lines.take_while(|line| {
        std::mem::take(&mut first) || line.is_empty() || line.starts_with([' ', '#'])
    });
    own.collect::<Vec<_>>().join("\n")
}

/// Reads and checks `text`; `file` is its name in messages.
///
/// # Errors
/// Everything that is wrong with the file, warnings among it, in the order of its lines.
pub fn read(text: &str, file: &str, inputs: &dyn Inputs) -> Result<Checked, Findings> {
    let mut included = 0;
    let tree = tree(text, file, inputs, |root, filled, parts, desk| {
        included = parts;
        let place = desk::Desk::root(root);
        let plan = read::read_at::<raw::File>(root, place, desk)
            .and_then(|raw| check::plan(raw.value, place, inputs, desk));
        if let Some(plan) = &plan {
            filled.hold_against(&plan.secrets(), desk);
        }
        plan
    });
    let (plan, desk) = tree?;
    match plan {
        Some(plan) if !desk.has_errors => Ok(Checked {
            plan,
            included,
            warnings: desk.findings,
        }),
        _ => Err(desk.findings),
    }
}

/// What was found on the way through a tree.
struct Found {
    has_errors: bool,
    findings: Findings,
}

/// Makes the one tree of a file and those that it includes, variables filled in, and hands it to `work`.
///
/// # Errors
/// What is wrong with files that make no tree.
fn tree<T>(
    text: &str,
    file: &str,
    inputs: &dyn Inputs,
    work: impl for<'t> FnOnce(&yaml::Node<'t>, &variables::Filled, usize, &mut desk::Desk<'t>) -> T,
) -> Result<(T, Found), Findings> {
    if text.len() > yaml::BYTES_MAX {
        let mut desk = desk::Desk::new(file, text);
        desk.error(
            desk::Place::default(),
            "holds more than 1 MiB",
            "no file of probes needs that; is it the right one?",
        );
        return Err(desk.finish());
    }
    let mut nodes = 0;
    let main = yaml::parse_and_doubt(text, 0, &mut nodes);
    let (parts, complaints) = match &main {
        Ok((Some(root), _)) => include::parts(root, file, inputs),
        _ => Default::default(),
    };
    let mut desk = desk::Desk::new(file, text);
    desk.top = raw::File::KEYS;
    let mut root = match main {
        Err(broken) => {
            desk.broken(broken);
            return Err(desk.finish());
        }
        Ok((None, _)) => {
            desk.error(
                desk::Place::default(),
                "the file is empty",
                "it needs \"version: 1\", \"service\", \"clients\" and \"probes\"",
            );
            return Err(desk.finish());
        }
        Ok((Some(root), doubts)) => {
            desk.doubts(doubts);
            root
        }
    };
    yaml::drop_extensions(&mut root);
    for complaint in complaints {
        complaint.tell(&mut desk);
    }
    for part in &parts {
        let number = desk.add_text(&part.name, &part.text);
        match yaml::parse_and_doubt(&part.text, number, &mut nodes) {
            Err(broken) => desk.broken(broken),
            Ok((None, _)) => {}
            Ok((Some(mut part), doubts)) => {
                desk.doubts(doubts);
                yaml::drop_extensions(&mut part);
                include::join(&mut root, part, &mut desk);
            }
        }
    }
    // Of files that are no YAML nobody knows what is missing for want of them.
    if desk.is_broken {
        return Err(desk.finish());
    }
    let filled = variables::fill(&mut root, inputs, &mut desk);
    let done = work(&root, &filled, parts.len(), &mut desk);
    let has_errors = desk.has_errors();
    let findings = desk.finish();
    Ok((
        done,
        Found {
            has_errors,
            findings,
        },
    ))
}
