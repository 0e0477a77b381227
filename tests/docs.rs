//! Holds the book to the truth: its links lead somewhere, and its commands are commands.
//!
//! Every command in a block of `sh` is understood by the program, flags included. Those that touch neither the network
//! nor a daemon are run where a reader would run them, and must not fail on our side.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README and the book, each with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = vec![root().join("README.md")];
    for entry in std::fs::read_dir(root().join("docs")).expect("docs") {
        let path = entry.expect("a readable entry").path();
        if path.extension().is_some_and(|e| e == "md") {
            paths.push(path);
        }
    }
    assert!(paths.len() > 10, "only {} pages", paths.len());
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a page");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// What stands outside blocks of code, and the lines of those of `language`.
fn blocks(text: &str, language: &str) -> (String, Vec<String>) {
    let (mut prose, mut lines) = (String::new(), Vec::new());
    let mut within: Option<String> = None;
    for line in text.lines() {
        match (&within, line.trim_start().strip_prefix("```")) {
            (None, Some(begins)) => within = Some(begins.trim().to_owned()),
            (Some(_), Some(_)) => within = None,
            (None, None) => {
                prose.push_str(line);
                prose.push('\n');
            }
            (Some(of), None) if of == language => lines.push(line.trim().to_owned()),
            (Some(_), None) => {}
        }
    }
    (prose, lines)
}

/// As web sites make an anchor of a heading: letters, digits and dashes in small letters.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_of_the_book_leads_somewhere() {
    let mut broken = Vec::new();
    let mut links = 0;
    for (path, text) in pages() {
        let (prose, _) = blocks(&text, "");
        for part in prose.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() {
                path.clone()
            } else {
                path.parent().expect("a folder").join(file)
            };
            let found = there.exists()
                && (heading.is_empty() || {
                    let page = std::fs::read_to_string(&there).unwrap_or_default();
                    let mut headings = page.lines().filter(|line| line.starts_with('#'));
                    headings.any(|line| anchor(line.trim_start_matches('#')) == heading)
                });
            if !found {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(links > 30, "only {links} links were found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_page_is_in_the_contents() {
    let contents = std::fs::read_to_string(root().join("docs/README.md")).expect("the contents");
    for (path, _) in pages() {
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        assert!(
            name == "README.md" || contents.contains(&format!("({name})")),
            "docs/README.md does not name {name}"
        );
    }
}

/// Words as a shell cuts them, double quotes kept together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("one word at least").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Neither network nor daemon: what a reader can run anywhere.
const QUIET: [&str; 8] = [
    "init",
    "check",
    "explain",
    "classify",
    "schema",
    "completions",
    "man",
    "templates",
];

#[test]
fn every_command_of_the_book_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut run = 0;
    for (path, text) in pages() {
        let (_, lines) = blocks(&text, "sh");
        for line in lines.iter().filter(|line| line.starts_with("edgewatch")) {
            let arguments = words(line).split_off(1);
            let at = format!("{}: {line}", path.display());
            let command = |more: &[&str]| {
                let mut command = Command::new(env!("CARGO_BIN_EXE_edgewatch"));
                command.args(&arguments).args(more).current_dir(root());
                command
            };
            // Help is only given where all before it is understood.
            let output = command(&["--help"]).output().expect("the program runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{at}\n{said}");
            let name = arguments.first().map(String::as_str).unwrap_or_default();
            let is_plan = name == "plan" && line.contains("--against");
            if QUIET.contains(&name) || is_plan {
                run += 1;
                let mut command = command(&[]);
                if name == "init" {
                    command.current_dir(folder.path());
                }
                let output = command.output().expect("the program runs");
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(
                    output.status.code().is_some_and(|code| code < 2),
                    "{at}\n{said}"
                );
            }
        }
    }
    assert!(run > 10, "only {run} commands were run");
}
