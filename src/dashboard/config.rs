//! The file in force: its text, line by line, since when, and what the last reload said.

use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::{prose, time, visible};
use super::{Page, Pages, Scene, failed, html as answer, scene};

/// Under which the daemon keeps what it runs by, secrets left out.
const NOTE: &str = "plan";

pub(super) async fn page(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    Ok(match pages.read(|reader| reader.note(NOTE)).await {
        Ok(note) => answer(StatusCode::OK, shown(&scene, note.as_deref())),
        Err(failure) => failed(&scene, &failure),
    })
}

fn shown(scene: &Scene, note: Option<&str>) -> Markup {
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
        section {
            h2 { "The file" }
            @match text("/source/text") {
                Some(text) => ol.file { @for (place, line) in text.lines().enumerate() {
                    li id=(format!("L{}", place + 1)) { (visible(line)) }
                } },
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
    fn lines_have_their_numbers_and_are_texts() {
        let scene = scene_of(&march().plan, &[], Vec::new());
        let note = r#"{"path": "probes.yaml", "at": "2021-02-28T00:00:00Z", "source": {"text": "version: 1\nservice: <b>\n"}}"#;
        let page = shown(&scene, Some(note)).into_string();
        let parts = r#"{"source": {"text": "version: 1\n", "files": {"a.yaml": "x: <1>\n", "secret": "s3"}, "included": ["a.yaml"]}}"#;
        let with_parts = shown(&scene, Some(parts)).into_string();
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
            shown(&scene, None)
                .into_string()
                .contains("keeps no file yet")
        );
        assert!(
            shown(&scene, Some("junk"))
                .into_string()
                .contains("keeps no file yet")
        );
    }
}
