//! Holds the shape of the source: which module may import which, who reads the clock, what a file begins with.
//!
//! Checks on the code are tests: they fail with the place, the rule and what to do instead.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What each module may import, lowest layer first. `lib.rs` shows the same table to readers.
const ARROWS: &[(&str, &[&str])] = &[
    ("lang", &[]),
    ("domain", &["lang"]),
    ("words", &["domain", "lang"]),
    ("read", &["domain", "lang", "words"]),
    ("board", &["domain"]),
    ("judge", &["domain"]),
    ("surroundings", &["domain", "board", "words"]),
    (
        "incident",
        &["domain", "board", "judge", "read", "surroundings", "words"],
    ),
    (
        "machine",
        &[
            "domain",
            "lang",
            "board",
            "judge",
            "incident",
            "surroundings",
        ],
    ),
    ("ask", &["domain", "board", "judge", "incident", "words"]),
    ("wire", &["domain"]),
    ("config", &["domain", "lang"]),
    ("clock", &[]),
    ("probe", &["domain"]),
    ("store", &["domain", "clock"]),
    ("notify", &["domain", "lang", "clock"]),
    ("link", &["domain", "wire", "clock"]),
    ("report", &["domain"]),
    ("simulate", &["domain"]),
    (
        "lab",
        &[
            "domain",
            "lang",
            "judge",
            "surroundings",
            "machine",
            "config",
            "simulate",
        ],
    ),
    ("telemetry", &["domain", "clock"]),
    ("dossier", &["domain", "words", "report", "store"]),
    (
        "dashboard",
        &[
            "domain",
            "config",
            "ask",
            "words",
            "report",
            "store",
            "notify",
            "dossier",
            "telemetry",
            "clock",
        ],
    ),
    (
        "app",
        &[
            "domain",
            "read",
            "words",
            "wire",
            "link",
            "board",
            "surroundings",
            "machine",
            "config",
            "clock",
            "probe",
            "store",
            "notify",
            "report",
            "telemetry",
            "dashboard",
        ],
    ),
    (
        "cli",
        &[
            "domain",
            "read",
            "words",
            "board",
            "machine",
            "ask",
            "wire",
            "link",
            "config",
            "clock",
            "probe",
            "store",
            "notify",
            "report",
            "dossier",
            "simulate",
            "lab",
            "app",
            "dashboard",
        ],
    ),
];

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// First directory or file name under `src/`: the module that the arrows are about.
    fn module(&self) -> String {
        let below = self
            .path
            .strip_prefix(root().join("src"))
            .expect("a file under src");
        let first = below
            .components()
            .next()
            .expect("a file name")
            .as_os_str()
            .to_string_lossy();
        first.trim_end_matches(".rs").to_owned()
    }

    /// Where it stands in the crate: `src/a/b.rs` and `src/a/b/mod.rs` are both `a::b`.
    fn path_in_crate(&self) -> Vec<String> {
        let below = self
            .path
            .strip_prefix(root().join("src"))
            .expect("a file under src");
        let mut parts: Vec<String> = below
            .with_extension("")
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        if parts.last().is_some_and(|last| last == "mod") {
            parts.pop();
        }
        parts
    }

    fn name(&self) -> String {
        self.path
            .strip_prefix(root())
            .expect("a file of the repository")
            .display()
            .to_string()
    }

    /// A file of tests beside the code, `<module>/tests.rs` or below `<module>/tests/`.
    fn is_test(&self) -> bool {
        self.path.components().any(|part| {
            ["tests.rs", "tests"]
                .iter()
                .any(|name| part.as_os_str() == *name)
        })
    }

    /// Lines of code with their numbers: no comments, nothing after the tests begin.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .take_while(move |(_, line)| !self.is_test() && !line.starts_with("#[cfg(test)]"))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(index, line)| (index + 1, line))
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    fn walk(dir: &Path, found: &mut Vec<Source>) {
        for entry in std::fs::read_dir(dir).expect("a readable directory") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("UTF-8 source");
                found.push(Source { path, text });
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), &mut found);
    assert!(
        found.len() > 20,
        "the walk found only {} files",
        found.len()
    );
    found
}

/// Modules of ours that a line of code names through `crate::`.
fn imports(line: &str) -> Vec<&str> {
    line.match_indices("crate::")
        .map(|(at, prefix)| {
            let rest = &line[at + prefix.len()..];
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            &rest[..end]
        })
        .collect()
}

fn fail_with(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}\n{}", broken.join("\n"));
}

#[test]
fn arrows_point_one_way() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = ARROWS
        .iter()
        .map(|(from, to)| (*from, to.iter().copied().collect()))
        .collect();
    let mut broken = Vec::new();
    for source in sources() {
        let module = source.module();
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(may) = allowed.get(module.as_str()) else {
            broken.push(format!(
                "{}: module `{module}` has no line in ARROWS",
                source.name()
            ));
            continue;
        };
        for (number, line) in source.code() {
            for target in imports(line) {
                if allowed.contains_key(target) && target != module && !may.contains(target) {
                    broken.push(format!(
                        "{}:{number}: `{module}` may not import `{target}`",
                        source.name()
                    ));
                }
            }
        }
    }
    fail_with(
        "move the code to the layer that may know both, or pass a value in:",
        &broken,
    );
}

/// Files that import each other can only be read together. A folder's own file and the files in it are one
/// idea and may.
#[test]
fn no_files_import_each_other_in_a_ring() {
    let sources = sources();
    let modules: BTreeMap<String, &Source> = sources
        .iter()
        .filter(|source| !source.is_test())
        .map(|source| (source.path_in_crate().join("::"), source))
        .collect();
    let within = |one: &str, other: &str| one.starts_with(&format!("{other}::"));
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, source) in &modules {
        let code: Vec<&str> = source.code().map(|(_, line)| line).collect();
        let to = edges.entry(from).or_default();
        for path in uses(&code.join("\n"), &source.path_in_crate()) {
            let mut ends = (1..=path.len()).rev().map(|end| path[..end].join("::"));
            let target = ends.find_map(|path| modules.get_key_value(&path));
            if let Some((target, _)) = target
                && target != from
                && !within(from, target)
                && !within(target, from)
            {
                to.insert(target);
            }
        }
    }
    // Take away files that import none of the rest, and files that none of the rest imports, until nothing changes.
    let mut left: BTreeSet<&str> = edges.keys().copied().collect();
    loop {
        let imports = |file: &&str| edges[*file].iter().any(|to| left.contains(to));
        let imported = |file: &&str| left.iter().any(|from| edges[from].contains(*file));
        let rest: BTreeSet<&str> = left
            .iter()
            .copied()
            .filter(|file| imports(file) && imported(file))
            .collect();
        if rest.len() == left.len() {
            break;
        }
        left = rest;
    }
    let ring: Vec<String> = left
        .iter()
        .map(|from| {
            let to: Vec<&str> = edges[from].intersection(&left).copied().collect();
            format!("{from} imports {}", to.join(", "))
        })
        .collect();
    fail_with(
        "move what both need to a file of its own; these import each other in a ring:",
        &ring,
    );
}

/// The modules of ours that a file names, as paths from the crate.
fn uses(code: &str, here: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line_start in ["crate::", "super::", "self::", "use "] {
        for (at, prefix) in code.match_indices(line_start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let rest = &code[at + prefix.len()..];
            let (base, rest) = match prefix {
                "crate::" => (Vec::new(), rest),
                "self::" | "use " => (here.to_vec(), rest),
                _ => {
                    let more = rest.split("super::").take_while(|part| part.is_empty());
                    let ups = 1 + more.count();
                    let kept = here.len().saturating_sub(ups);
                    (here[..kept].to_vec(), rest.trim_start_matches("super::"))
                }
            };
            collect(base, rest, &mut found);
        }
    }
    found
}

/// Reads `a::{b, c::D}` after a base into single paths.
fn collect(base: Vec<String>, text: &str, found: &mut Vec<Vec<String>>) {
    let mut path = base;
    let mut rest = text;
    loop {
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        if end > 0 && &rest[..end] != "self" {
            path.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(more) => rest = more,
            None => break,
        }
    }
    let Some(inside) = rest.strip_prefix('{') else {
        found.push(path);
        return;
    };
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                collect(path.clone(), inside[start..at].trim_start(), found);
                start = at + 1;
                if c == '}' {
                    return;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
}

#[test]
fn only_the_clock_reads_the_clock() {
    let words = [
        "Timestamp::now(",
        "SystemTime::now(",
        "Zoned::now(",
        "Utc::now(",
        "Local::now(",
    ];
    let mut broken = Vec::new();
    for source in sources() {
        if source.module() == "clock" {
            continue;
        }
        for (number, line) in source.code() {
            if words.iter().any(|word| line.contains(word)) {
                broken.push(format!("{}:{number}: {}", source.name(), line.trim()));
            }
        }
    }
    fail_with(
        "call `crate::clock::now()`, or take `now` as an argument:",
        &broken,
    );
}

/// The rooms that decide: no sockets, no clock, no log.
const PURE: &[&str] = &[
    "lang",
    "domain",
    "words",
    "read",
    "board",
    "judge",
    "surroundings",
    "incident",
    "machine",
    "ask",
    "wire",
];

#[test]
fn the_core_is_pure() {
    let words = [
        "async fn",
        ".await",
        "tokio::",
        "tracing::",
        "std::fs",
        "std::net::Tcp",
        "std::env",
        "Instant::now",
        "println!",
        "eprintln!",
        "std::thread",
        "fastrand::",
    ];
    let mut broken = Vec::new();
    for source in sources()
        .iter()
        .filter(|s| PURE.contains(&s.module().as_str()))
    {
        for (number, line) in source.code() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                broken.push(format!("{}:{number}: `{word}` in the core", source.name()));
            }
        }
    }
    fail_with(
        "the core decides, the shell acts; pass facts in and give effects out:",
        &broken,
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = sources()
        .iter()
        .filter(|s| !s.text.starts_with("//! "))
        .map(Source::name)
        .collect();
    fail_with(
        "begin with `//!` and a sentence that says what the file is for:",
        &silent,
    );
}

#[test]
fn the_top_level_stays_small() {
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "probes.yaml",
        "tests",
        "deploy",
        "README.md",
        "LICENSE",
        "benches",
        "docs",
        "target",
    ];
    let extra: Vec<String> = std::fs::read_dir(root())
        .expect("a readable root")
        .map(|e| {
            e.expect("a readable entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| {
            !name.starts_with('.') && !known.contains(&name.as_str()) && !name.contains(".sqlite")
        })
        .collect();
    fail_with("these belong below one of the known directories:", &extra);
}
