//! Checks a file that somebody pastes: what `check` says of it, and what taking it would change.
//!
//! Nothing is kept, and nothing that it refers to is read: not a variable, not a file of this host. What the file in force
//! refers to is known by its shape.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use axum::extract::State;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

use super::acts::{form, operator};
use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::visible;
use super::{Page, Pages, Scene, failed, html as answer, scene};
use crate::clock;
use crate::config::{self, Findings, Inputs, Remembered};
use crate::report::edit::Edit;

/// Under which the daemon keeps what it runs by, secrets left out.
pub(super) const NOTE: &str = "plan";
/// Stands for a secret that is not looked at.
const UNSEEN: &str = "not-looked-at-here";
/// Of a pasted file, bytes; sent as a form it may be three times as long.
const TEXT_MAX: usize = 1 << 20;
pub(super) const FORM_MAX: usize = 3 * TEXT_MAX + 1024;

/// What the file in force refers to, and what the pasted one refers to besides.
#[derive(Debug, Default)]
struct Blind {
    env: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
    unseen: RefCell<BTreeSet<String>>,
}

impl Blind {
    fn of(kept: &Value) -> Self {
        let part = |key: &str| {
            let part = kept.pointer(&format!("/source/{key}")).cloned();
            part.and_then(|part| serde_json::from_value(part).ok())
                .unwrap_or_default()
        };
        Self {
            env: part("env"),
            variables: part("variables"),
            files: part("files"),
            unseen: RefCell::default(),
        }
    }

    fn remembered(&self) -> Remembered<'_> {
        Remembered {
            env: &self.env,
            variables: &self.variables,
            files: &self.files,
        }
    }

    fn look(&self, name: &str) {
        self.unseen.borrow_mut().insert(name.to_owned());
    }
}

impl Inputs for Blind {
    fn env(&self, name: &str) -> Option<String> {
        let known = self.remembered().env(name);
        known.or_else(|| {
            self.look(name);
            Some(UNSEEN.to_owned())
        })
    }

    fn secret_file(&self, path: &Path) -> io::Result<String> {
        let known = self.remembered().file(path);
        known.or_else(|_| {
            self.look(&path.display().to_string());
            Ok(UNSEEN.to_owned())
        })
    }

    fn variable(&self, name: &str) -> Option<String> {
        let known = self.remembered().variable(name);
        if known.is_none() {
            self.look(name);
        }
        known
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        self.remembered().file(path).map_err(|_| {
            self.look(&path.display().to_string());
            io::Error::other("files are not looked at here")
        })
    }

    fn matching(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        self.remembered().matching(pattern)
    }
}

/// What there is to say of a file.
struct Said {
    /// As `check` prints it, without what is only not looked at.
    findings: Vec<String>,
    is_faulty: bool,
    unseen: BTreeSet<String>,
    /// What taking it would change; `None`: it would not be taken, or nothing is known of what runs.
    edit: Option<Edit>,
}

/// The form to paste it into, for whoever may act.
pub(super) fn form_for(scene: &Scene, text: &str) -> Markup {
    html! {
        form method="post" action=(scene.to("/config/check")) {
            p { label { "The whole file" br; textarea name="text" rows="12" cols="100" spellcheck="false" required { (text) } } }
            button { "Check it" }
            span.below { "Nothing is kept, and no file or variable of this host is read." }
        }
    }
}

pub(super) async fn check(State(pages): State<Pages>, body: String) -> Page {
    let scene = scene(&pages).await?;
    if let Err(refused) = operator(&scene) {
        return Ok(*refused);
    }
    let text = form(&body).remove("text").unwrap_or_default();
    if text.len() > TEXT_MAX {
        let why = "The file is longer than 1 MiB.";
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(super::acts::refused(&scene, status, "Not checked", why));
    }
    let pasted = text.replace("\r\n", "\n");
    let given = pasted.clone();
    let read = pages.read(move |reader| {
        let kept = reader.note(NOTE)?;
        let kept: Value = kept
            .and_then(|note| serde_json::from_str(&note).ok())
            .unwrap_or_default();
        Ok((kept, reader.load_open()?.incidents, reader.silences()?))
    });
    let (kept, open, silences) = match read.await {
        Ok(read) => read,
        Err(failure) => return Ok(failed(&scene, &failure)),
    };
    // Of a long file it takes a while: other pages want the store meanwhile.
    let said = tokio::task::spawn_blocking(move || said(&given, &kept, &open, &silences));
    let Ok(said) = said.await else {
        let why = "Reading the file was broken off.";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return Ok(super::acts::refused(&scene, status, "Not checked", why));
    };
    Ok(answer(StatusCode::OK, shown(&scene, &pasted, &said)))
}

fn said(
    text: &str,
    kept: &Value,
    open: &[crate::domain::incident::Incident],
    silences: &[crate::domain::mute::Silence],
) -> Said {
    let blind = Blind::of(kept);
    let path = kept.get("path").and_then(Value::as_str);
    let path = path.unwrap_or("probes.yaml");
    let name = Path::new(path).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let before = kept.pointer("/source/text").and_then(Value::as_str);
    let before = before.and_then(|text| config::read(text, path, &blind.remembered()).ok());
    let read = config::read(text, &name, &blind);
    let unseen = blind.unseen.take();
    let is_unseen = |finding: &String| {
        let of = |name: &String| {
            finding.contains(&format!("{name} is not set"))
                || finding.contains(&format!("what {name} holds is"))
        };
        unseen.iter().any(of)
    };
    let lines = |findings: &Findings| -> Vec<String> {
        let all = findings.findings.iter().map(ToString::to_string);
        all.filter(|finding| !is_unseen(finding)).collect()
    };
    match read {
        Err(findings) => Said {
            findings: lines(&findings),
            is_faulty: true,
            unseen,
            edit: None,
        },
        Ok(checked) => Said {
            findings: lines(&checked.warnings),
            is_faulty: false,
            edit: before.map(|before| {
                let plans = (&before.plan, &checked.plan);
                let against = "what runs".to_owned();
                Edit::between(against, plans, open, silences, clock::now())
            }),
            unseen,
        },
    }
}

fn shown(scene: &Scene, text: &str, said: &Said) -> Markup {
    let main = html! {
        h1 { "Check a file" }
        @if said.is_faulty { p { strong { "It would be refused" } "; what runs would stay in force:" } }
        @else if said.findings.is_empty() { p { "Nothing is wrong with it." } }
        @else { p { "It would be taken; what may not be meant:" } }
        @if !said.findings.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="Findings" {
                pre { @for finding in &said.findings { (visible(finding)) "\n" } }
            }
        }
        @if !said.unseen.is_empty() {
            p { "Not looked at here: " @for (place, name) in said.unseen.iter().enumerate() { @if place > 0 { ", " } code { (visible(name)) } } }
        }
        @if let Some(edit) = &said.edit {
            section {
                h2 { "What taking it would change" }
                pre { (visible(&edit.text())) }
            }
        }
        section {
            h2 { "Once more" }
            (form_for(scene, text))
        }
        p { a href=(scene.to("/config")) { "The file in force" } }
    };
    let content = Content {
        title: "Check a file",
        place: Place::Configuration,
        topic: Topic::Incidents,
        main,
    };
    frame::page(scene, &content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FILE: &str = "version: 1\nservice: GMC\nclients: { a: a/1 }\ncredentials: { k: { token: { env: TOKEN } } }\nprobes:\n  p: { url: https://a.example/, every: 5m, with: [k], headers: { Authorization: \"Bearer {{ credential.token }}\" } }\n";

    fn kept() -> Value {
        json!({ "path": "/etc/edgewatch/probes.yaml", "source": { "text": FILE, "env": { "TOKEN": "aaaa" }, "variables": {}, "files": {} } })
    }

    #[test]
    fn what_it_would_change_is_told_and_nothing_is_read() {
        let edited = FILE
            .replace("every: 5m", "every: 1m")
            .replace("a: a/1", "a: a/1, b: b/2");
        let edited = edited.replace("env: TOKEN", "env: PATH");
        let said = said(&edited, &kept(), &[], &[]);
        assert!(!said.is_faulty, "{:?}", said.findings);
        assert!(said.unseen.contains("PATH"));
        assert!(
            !said
                .findings
                .iter()
                .any(|it| it.contains("PATH is not set")),
            "{:?}",
            said.findings
        );
        let text = said.edit.unwrap().text();
        assert!(
            text.contains("cells 1 → 2: 1 added") && text.contains("every: 5m → 1m"),
            "{text}"
        );
    }

    #[test]
    fn a_faulty_file_is_told_as_check_tells_it_and_shows_no_file_of_the_host() {
        let body = "probes:\n  p: { url: https://a.example/, every: 30, method: POST, body: { file: /etc/passwd } }\n";
        let text = format!("version: 1\nservice: GMC\nclients: {{ a: a/1 }}\n{body}");
        let said = said(&text, &kept(), &[], &[]);
        assert!(said.is_faulty && said.edit.is_none());
        let found = said.findings.join("\n");
        assert!(
            found.contains("probes.yaml:5:40: probes.p.every: "),
            "{found}"
        );
        assert!(!found.contains("root:"), "{found}");
        assert!(said.unseen.contains("/etc/passwd"));
    }
}
