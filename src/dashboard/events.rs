//! Everything that happened, newest first: incidents, changes of verdicts, silences, drift of fronts.

use std::collections::BTreeMap;

use axum::extract::State;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use maud::{Markup, html};

use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::{prose, spreadsheet, time, visible};
use super::{Page, Pages, Scene, failed, html as answer, scene};
use crate::store::{Reader, StoreError};

/// Events of one page.
const LISTED: usize = 100;
/// And in one table for a spreadsheet.
const TABLE_MAX: usize = 1_000;

/// What can be asked for, each with its words.
const KINDS: [(&str, &str); 5] = [
    ("incidents", "Incidents"),
    ("verdicts", "Verdicts"),
    ("silences", "Silences"),
    ("drift", "Drift"),
    ("acts", "Acts in the pages"),
];

struct Event {
    at: Timestamp,
    what: &'static str,
    /// Where more of it stands, below the pages' own path.
    path: Option<String>,
    name: String,
    text: String,
}

/// Which kind is asked for, and before when.
fn asked(uri: &Uri) -> (Option<&'static str>, Timestamp) {
    let query = uri.query().unwrap_or_default();
    let asked: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
    let what = asked.get("what").and_then(|what| {
        let known = KINDS.iter().find(|(name, _)| name == what);
        known.map(|(name, _)| *name)
    });
    let before = asked.get("before").and_then(|before| before.parse().ok());
    (what, before.unwrap_or(Timestamp::MAX))
}

pub(super) async fn page(State(pages): State<Pages>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let (what, before) = asked(&uri);
    let read = pages.read(move |reader| gather(reader, what, before, LISTED + 1));
    Ok(match read.await {
        Ok(events) => answer(StatusCode::OK, shown(&scene, what, &events)),
        Err(failure) => failed(&scene, &failure),
    })
}

/// The same for a spreadsheet.
pub(super) async fn table(State(pages): State<Pages>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let (what, before) = asked(&uri);
    let read = pages.read(move |reader| gather(reader, what, before, TABLE_MAX));
    let events = match read.await {
        Ok(events) => events,
        Err(failure) => return Ok(failed(&scene, &failure)),
    };
    let rows = events.into_iter().map(|event| {
        vec![
            event.at.to_string(),
            event.what.to_owned(),
            event.name,
            event.text,
        ]
    });
    Ok(spreadsheet(&["at", "kind", "whose", "what"], rows))
}

/// The newest of all before a time, at most so many.
fn gather(
    reader: &Reader,
    what: Option<&'static str>,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let wants = |kind: &str| what.is_none_or(|what| what == kind);
    let mut events = Vec::new();
    if wants("incidents") {
        for (number, entry) in reader.happened(before, limit)? {
            events.push(Event {
                at: entry.at,
                what: "incidents",
                path: Some(format!("/incidents/{number}")),
                name: format!("INC-{number}"),
                text: format!("{}: {}", entry.what.as_str().replace('_', " "), entry.text),
            });
        }
    }
    if wants("verdicts") {
        for change in reader.changed(before, limit)? {
            let from = change.from.map(|from| format!("{} → ", from.label()));
            events.push(Event {
                at: change.at,
                what: "verdicts",
                path: Some(super::parts::cell_path(&change.cell)),
                name: change.cell.to_string(),
                text: format!("{}{}", from.unwrap_or_default(), change.to.label()),
            });
        }
    }
    if wants("silences") {
        for silence in reader.silences()? {
            let mut add = |at: Timestamp, text: String| {
                if at < before {
                    events.push(Event {
                        at,
                        what: "silences",
                        path: Some("/quiet".to_owned()),
                        name: format!("silence {}", silence.number),
                        text,
                    });
                }
            };
            let why = silence.why.as_ref().map(|why| format!(": “{why}”"));
            let why = why.unwrap_or_default();
            add(
                silence.from,
                format!("{} silenced {}{why}", silence.by, silence.matcher),
            );
            if let Some(ended) = &silence.ended {
                add(ended.at, format!("{} ended it", ended.by));
            }
        }
    }
    if wants("drift") {
        for front in reader.memory()?.fronts {
            for drift in &front.drifts {
                let at = super::drift::moment(drift.at);
                if at < before {
                    events.push(Event {
                        at,
                        what: "drift",
                        path: Some("/drift".to_owned()),
                        name: front.host.clone(),
                        text: drift.kind.as_str().replace('_', " "),
                    });
                }
            }
        }
    }
    if wants("acts") {
        for act in reader.acts(before, limit)? {
            events.push(Event {
                at: act.at,
                what: "acts",
                path: None,
                name: act.thing,
                text: format!("{}: {} ({})", act.who, act.what, act.answer),
            });
        }
    }
    events.sort_by_key(|event| std::cmp::Reverse(event.at));
    events.truncate(limit);
    Ok(events)
}

fn shown(scene: &Scene, what: Option<&str>, events: &[Event]) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    let own = scene.to("/events");
    let listed = &events[..events.len().min(LISTED)];
    let query = what.map(|what| format!("what={what}&")).unwrap_or_default();
    let main = html! {
        h1 { "Events" }
        nav aria-label="What" { ul.acts {
            li { a href=(own) aria-current=[what.is_none().then_some("true")] { "All" } }
            @for (name, words) in KINDS {
                li { a href=(format!("{own}?what={name}")) aria-current=[(what == Some(name)).then_some("true")] { (words) } }
            }
        } }
        @if listed.is_empty() { p { "Nothing happened." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Events, newest first" {
                table {
                    thead { tr { th scope="col" { "When" } th scope="col" { "Whose" } th scope="col" { "What" } } }
                    tbody { @for event in listed {
                        tr {
                            td { (time(event.at, zone, now)) }
                            td {
                                @if let Some(path) = &event.path { a href=(scene.to(path)) { (visible(&event.name)) } }
                                @else { (visible(&event.name)) }
                            }
                            td.text {
                                @if event.what == "incidents" { (prose(&event.text)) } @else { (visible(&event.text)) }
                            }
                        }
                    } }
                }
            }
        }
        // What happened in the same microsecond as the last one shown is on the next page again, and none is left out.
        @if let Some(next) = events.get(LISTED) {
            @let before = next.at.checked_add(jiff::SignedDuration::from_micros(1)).unwrap_or(next.at);
            p { a rel="next" href=(format!("{own}?{query}before={before}")) { "Earlier" } }
        }
        p.acts { a href=(format!("{own}.csv?{query}")) { "CSV" } }
    };
    let content = Content {
        title: "Events",
        place: Place::Events,
        topic: Topic::Board,
        main,
    };
    frame::page(scene, &content)
}
