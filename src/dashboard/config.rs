//! The file in force: its text, line by line, since when, and what the last reload said.

use std::time::Duration;

use axum::extract::{Path, State};
use http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::check_file::NOTE;
use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::{prose, time, visible};
use super::{Failure, Page, Pages, Scene, failed, html as answer, scene};
use crate::store::Generation;

pub(super) async fn page(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let read = pages.read(|reader| Ok((reader.note(NOTE)?, reader.generations()?)));
    Ok(match read.await {
        Ok((note, before)) => answer(StatusCode::OK, shown(&scene, note.as_deref(), &before)),
        Err(failure) => failed(&scene, &failure),
    })
}

/// A file that was in force, and in which lines it differs from the one before.
pub(super) async fn generation(State(pages): State<Pages>, Path(number): Path<String>) -> Page {
    let scene = scene(&pages).await?;
    let wanted = number.parse().unwrap_or(0);
    let read = pages.read(move |reader| {
        let known = reader.generations()?;
        let known = known.into_iter().find(|it| it.number == wanted);
        Ok(known.zip(reader.generation(wanted)?))
    });
    let missing = || Failure::Missing("This file is not kept, or no longer.".to_owned());
    Ok(
        match read.await.and_then(|found| found.ok_or_else(missing)) {
            Ok((known, (text, before))) => {
                let page = as_it_was(&scene, &known, &text, before.as_deref());
                answer(StatusCode::OK, page)
            }
            Err(failure) => failed(&scene, &failure),
        },
    )
}

fn as_it_was(scene: &Scene, known: &Generation, text: &str, before: Option<&str>) -> Markup {
    let main = html! {
        h1 { "The file as it was taken " (time(known.at, scene.zone(), scene.now)) }
        p { a href=(scene.to("/config")) { "The file in force" } }
        @if !known.changes.is_empty() {
            ul { @for change in &known.changes { li { (prose(change)) } } }
        }
        @if let Some(before) = before {
            section { h2 { "Lines that differ from the one before" } (differs(before, text)) }
        } @else { p { "None before it is kept." } }
        section { h2 { "The file" } (numbered(text)) }
    };
    let content = Content {
        title: "An earlier file",
        place: Place::Configuration,
        topic: Topic::Incidents,
        main,
    };
    frame::page(scene, &content)
}

/// Lines around one that differs.
const AROUND: usize = 3;

/// What is another, line by line: by a word as well as by colour.
fn differs(before: &str, now: &str) -> Markup {
    let diff = TextDiff::configure()
        .timeout(Duration::from_millis(200))
        .diff_lines(before, now);
    let groups = diff.grouped_ops(AROUND);
    html! {
        @if groups.is_empty() { p { "None." } }
        @for group in &groups {
            ul.lines {
                @for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                    @let word = match change.tag() { ChangeTag::Delete => Some("was"), ChangeTag::Insert => Some("new"), ChangeTag::Equal => None };
                    li.differs[change.tag() == ChangeTag::Insert] {
                        @if let Some(word) = word { b { (word) } }
                        (visible(change.value().trim_end_matches('\n')))
                    }
                }
            }
        }
    }
}

fn numbered(text: &str) -> Markup {
    html! {
        ol.file { @for (place, line) in text.lines().enumerate() {
            li id=(format!("L{}", place + 1)) { (visible(line)) }
        } }
    }
}

fn shown(scene: &Scene, note: Option<&str>, before: &[Generation]) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    let kept: Option<Value> = note.and_then(|note| serde_json::from_str(note).ok());
    let text = |pointer: &str| kept.as_ref()?.pointer(pointer)?.as_str();
    let at = text("/at").and_then(|at| at.parse::<Timestamp>().ok());
    let reload = scene
        .vitals
        .as_ref()
        .and_then(|vitals| vitals.reload.as_ref());
    let edited = scene
        .vitals
        .as_ref()
        .and_then(|vitals| vitals.edited.as_ref());
    let main = html! {
        h1 { "Configuration" }
        @if let Some(vitals) = &scene.vitals {
            p {
                "Plan " (vitals.plan.generation) ", in force since " (time(vitals.plan.since, zone, now))
                @if let Some(path) = text("/path") { ", from " code { (visible(path)) } }
                @if let Some(at) = at { ", read " (time(at, zone, now)) }
            }
        }
        @if let Some(reload) = reload {
            section {
                h2 { "The last reload" }
                @match &reload.error {
                    Some(error) => {
                        p { "Refused " (time(reload.at, zone, now)) "; the plan before stays in force:" }
                        pre { (visible(error)) }
                    }
                    None => {
                        p { "Taken " (time(reload.at, zone, now)) ". What it changed:" }
                        ul { @for change in &reload.changes { li { (prose(change)) } } }
                    }
                }
            }
        }
        @if let Some(edited) = edited {
            p.banner { (visible(&edited.what)) " differs from what is in force since " (time(edited.since, zone, now)) }
        }
        @if before.len() > 1 {
            section {
                h2 { "In force before" }
                div.scroll tabindex="0" role="region" aria-label="Files that were in force" {
                    table {
                        thead { tr { th scope="col" { "Taken" } th scope="col" { "What it changed" } } }
                        tbody { @for it in before {
                            tr {
                                td { a href=(scene.to(&format!("/config/{}", it.number))) { (time(it.at, zone, now)) } }
                                td.text {
                                    @if it.changes.is_empty() { "taken at a start" }
                                    @else { @for (place, change) in it.changes.iter().enumerate() { @if place > 0 { "; " } (prose(change)) } }
                                }
                            }
                        } }
                    }
                }
            }
        }
        @if super::forms::may(scene) {
            section {
                h2 { "Check a file" }
                (super::check_file::form_for(scene, ""))
            }
        }
        section {
            h2 { "The file" }
            @match text("/source/text") {
                Some(text) => { (numbered(text)) }
                None => p { "The store keeps no file yet." },
            }
        }
        @for (name, text) in included(kept.as_ref()) {
            section {
                h2 { (visible(name)) }
                ol.file { @for line in text.lines() { li { (visible(line)) } } }
            }
        }
    };
    let content = Content {
        title: "Configuration",
        place: Place::Configuration,
        topic: Topic::Incidents,
        main,
    };
    frame::page(scene, &content)
}

/// The files that it includes, by name.
fn included(kept: Option<&Value>) -> Vec<(&str, &str)> {
    let part = |key: &str| kept?.pointer(&format!("/source/{key}"));
    let names = part("included").and_then(Value::as_array);
    let files = part("files").and_then(Value::as_object);
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    names
        .filter_map(|name| Some((name, files?.get(name)?.as_str()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::tests::scene_of;
    use crate::report::fixture::march;

    #[test]
    fn what_differs_is_told_by_a_word() {
        let page = differs("a: 1\nb: 2\nc: 3\n", "a: 1\nb: <i>\nc: 3\nd: 4\n").into_string();
        for line in [
            "<li class=\"\">a: 1</li>",
            "<li class=\"\"><b>was</b>b: 2</li>",
            "<li class=\"differs\"><b>new</b>b: &lt;i&gt;</li>",
            "<li class=\"differs\"><b>new</b>d: 4</li>",
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
        assert!(differs("a\n", "a\n").into_string().contains("None."));
    }

    #[test]
    fn lines_have_their_numbers_and_are_texts() {
        let scene = scene_of(&march().plan, &[], Vec::new());
        let note = r#"{"path": "probes.yaml", "at": "2021-02-28T00:00:00Z", "source": {"text": "version: 1\nservice: <b>\n"}}"#;
        let page = shown(&scene, Some(note), &[]).into_string();
        let parts = r#"{"source": {"text": "version: 1\n", "files": {"a.yaml": "x: <1>\n", "secret": "s3"}, "included": ["a.yaml"]}}"#;
        let with_parts = shown(&scene, Some(parts), &[]).into_string();
        assert!(
            with_parts.contains("<h2>a.yaml</h2><ol class=\"file\"><li>x: &lt;1&gt;</li></ol>"),
            "{with_parts}"
        );
        assert!(!with_parts.contains("s3"), "{with_parts}");
        assert!(
            page.contains("<li id=\"L2\">service: &lt;b&gt;</li>"),
            "{page}"
        );
        assert!(
            shown(&scene, None, &[])
                .into_string()
                .contains("keeps no file yet")
        );
        assert!(
            shown(&scene, Some("junk"), &[])
                .into_string()
                .contains("keeps no file yet")
        );
    }
}
