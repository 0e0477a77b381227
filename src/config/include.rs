//! Further files of a configuration: which there are, and how they and the main file become one tree.
//!
//! An included file adds members: probes, partners, clients, receivers and the like. What there is only once (the
//! store, the time zone, the address of the pages) stands in the main file, so that nobody has to look for it, and so
//! that a daemon whose parts are faulty still knows its store.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::Inputs;
use super::desk::{Desk, quote};
use super::yaml::{BYTES_MAX, Key, Mark, Node, Value};

/// Included files at most, and their bytes together.
const FILES_MAX: usize = 500;
const ALL_BYTES_MAX: usize = 8 * BYTES_MAX;

/// How the members of two files come together.
#[derive(Debug, Clone, Copy)]
enum How {
    /// By name, each once; or the items of two lists.
    Members,
    /// Key by key.
    Sections(&'static [(&'static str, How)]),
}

/// What an included file may hold; the rest stands in the main file alone.
const SECTIONS: &[(&str, How)] = &[
    ("egresses", How::Members),
    ("clients", How::Members),
    ("credentials", How::Members),
    ("groups", How::Members),
    ("partners", How::Members),
    ("probes", How::Members),
    ("controls", How::Members),
    ("tell", How::Members),
    ("maintenance", How::Members),
    ("signatures", How::Members),
    (
        "defaults",
        How::Sections(&[("tags", How::Members), ("partners", How::Members)]),
    ),
    (
        "forbid",
        How::Sections(&[
            ("body", How::Members),
            ("method", How::Members),
            ("path", How::Members),
        ]),
    ),
    (
        "notify",
        How::Sections(&[("receivers", How::Members), ("routes", How::Members)]),
    ),
];

/// The keys of an included file.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().map(|(key, _)| *key)
}

/// The text of an included file, and its name in messages.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) text: String,
}

/// What is odd about the list of files; kept until there is a desk.
#[derive(Debug)]
pub(super) struct Complaint {
    mark: Mark,
    message: String,
    hint: String,
    is_error: bool,
}

impl Complaint {
    pub(super) fn tell(self, desk: &mut Desk<'_>) {
        let place = desk.beside(self.mark, "include");
        if self.is_error {
            desk.error(place, self.message, self.hint);
        } else {
            desk.doubt_at(place, self.message, self.hint);
        }
    }
}

/// Reads what `root` includes; `file` is the main file's name in messages.
pub(super) fn parts(
    root: &Node<'_>,
    file: &str,
    inputs: &dyn Inputs,
) -> (Vec<Part>, Vec<Complaint>) {
    let mut found = Found {
        main: Path::new(file),
        inputs,
        known: BTreeSet::new(),
        bytes: 0,
        parts: Vec::new(),
        complaints: Vec::new(),
    };
    if let Value::Map(entries) = &root.value {
        for (_, value) in entries.iter().filter(|(key, _)| key.text == "include") {
            match &value.value {
                Value::Scalar { text, .. } => found.pattern(text, value.mark),
                Value::List(items) => {
                    for item in items {
                        if let Value::Scalar { text, .. } = &item.value {
                            found.pattern(text, item.mark);
                        }
                    }
                }
                // The mirror says what is wrong with it.
                Value::Map(_) => {}
            }
        }
    }
    (found.parts, found.complaints)
}

struct Found<'a> {
    main: &'a Path,
    inputs: &'a dyn Inputs,
    known: BTreeSet<PathBuf>,
    bytes: usize,
    parts: Vec<Part>,
    complaints: Vec<Complaint>,
}

impl Found<'_> {
    fn pattern(&mut self, text: &str, mark: Mark) {
        let pattern = Path::new(text);
        let folder = pattern.parent().unwrap_or(Path::new(""));
        if text.is_empty() || has_wildcard(&folder.display().to_string()) || text.ends_with('/') {
            return self.error(
                mark,
                format!("{} names no files", quote(text)),
                "like \"conf.d/*.yaml\": \"*\" and \"?\" stand in the name of the file alone",
            );
        }
        let is_main = |path: &PathBuf| {
            let parts = path.components().filter(|part| *part != Component::CurDir);
            parts.map(Component::as_os_str).eq(self.main.file_name())
        };
        let matching = match self.inputs.matching(pattern) {
            Ok(mut matching) => {
                matching.retain(|path| !(has_wildcard(text) && is_main(path)));
                matching
            }
            Err(error) => {
                let message = format!("can't read {}: {error}", quote(text));
                return self.error(mark, message, "paths start at the directory of this file");
            }
        };
        if matching.is_empty() {
            self.complaints.push(Complaint {
                mark,
                message: format!("{} fits no file", quote(text)),
                hint: "paths start at the directory of this file; a file whose name begins with \".\" is left out".to_owned(),
                is_error: false,
            });
        }
        for path in matching {
            if self.known.insert(path.clone()) {
                self.file(&path, mark);
            }
        }
    }

    fn file(&mut self, path: &Path, mark: Mark) {
        if self.parts.len() >= FILES_MAX {
            let message = format!("more than {FILES_MAX} files");
            return self.error(mark, message, "put some together");
        }
        let shown = path.display().to_string();
        let text = match self.inputs.part(path) {
            Ok(text) => text,
            Err(error) => {
                let message = super::check::unreadable(&shown, &error);
                return self.error(mark, message, "paths start at the directory of this file");
            }
        };
        self.bytes += text.len();
        if text.len() > BYTES_MAX || self.bytes > ALL_BYTES_MAX {
            let message = format!("{} is too large", quote(&shown));
            let hint = "one file has at most 1 MiB, all together 8 MiB";
            return self.error(mark, message, hint);
        }
        let beside = self.main.parent().unwrap_or(Path::new(""));
        self.parts.push(Part {
            name: beside.join(path).display().to_string(),
            text,
        });
    }

    fn error(&mut self, mark: Mark, message: String, hint: &str) {
        self.complaints.push(Complaint {
            mark,
            message,
            hint: hint.to_owned(),
            is_error: true,
        });
    }
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether the name of a file fits a pattern, in which `*` stands for any letters and `?` for one.
///
/// Names that begin with a point fit only a pattern that does: those are what editors and mounts leave there.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    fn rest(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', more)) => (0..=name.len()).any(|skip| rest(more, &name[skip..])),
            Some(('?', more)) => !name.is_empty() && rest(more, &name[1..]),
            Some((c, more)) => name.first() == Some(c) && rest(more, &name[1..]),
        }
    }
    let letters = |text: &str| text.chars().collect::<Vec<char>>();
    name.starts_with('.') == pattern.starts_with('.') && rest(&letters(pattern), &letters(name))
}

/// Adds what an included file holds to the tree of the main one.
pub(super) fn join<'t>(root: &mut Node<'t>, part: Node<'t>, desk: &mut Desk<'t>) {
    let at = Desk::root(&part);
    let (Value::Map(entries), Value::Map(more)) = (&mut root.value, part.value) else {
        desk.error(
            at,
            "an included file is a mapping (\"key: value\")",
            "write \"probes:\" and the like, as in the main file",
        );
        return;
    };
    for (key, value) in more {
        match SECTIONS.iter().find(|(name, _)| *name == key.text) {
            Some((_, how)) => add(entries, key, value, *how),
            None if super::raw::File::KEYS
                .iter()
                .any(|(name, _)| *name == key.text) =>
            {
                let right = matches!(&value.value, Value::Scalar { text, .. } if key.text == "version" && text == "1");
                if !right {
                    let place = desk.at_key(at, &key);
                    let file = desk.main_file();
                    desk.error(
                        place,
                        "stands in the main file alone",
                        format!("move it to {file}"),
                    );
                }
            }
            // The mirror says that there is no such key.
            None => entries.push((key, value)),
        }
    }
}

/// Adds a key; one that is there already and can't take more stands there twice, which the mirror says.
fn add<'t>(entries: &mut Vec<(Key<'t>, Node<'t>)>, key: Key<'t>, value: Node<'t>, how: How) {
    let known = entries.iter_mut().find(|(known, _)| known.text == key.text);
    match (known.map(|(_, node)| &mut node.value), value.value, how) {
        (Some(Value::Map(known)), Value::Map(more), How::Sections(sections)) => {
            for (key, value) in more {
                match sections.iter().find(|(name, _)| *name == key.text) {
                    Some((_, how)) => add(known, key, value, *how),
                    None => known.push((key, value)),
                }
            }
        }
        (Some(Value::Map(known)), Value::Map(more), How::Members) => known.extend(more),
        (Some(Value::List(known)), Value::List(more), How::Members) => known.extend(more),
        (_, other, _) => entries.push((
            key,
            Node {
                value: other,
                ..value
            },
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names() {
        for (pattern, name, expected) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "a.yml", false),
            ("*.yaml", ".yaml", false),
            ("*.yaml", ".a.yaml.swp", false),
            ("*", "..data", false),
            (".*", ".a", true),
            ("a?.yaml", "ab.yaml", true),
            ("a?.yaml", "a.yaml", false),
            ("*a*b*", "xaxxb", true),
            ("*a*b*", "xbxxa", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
