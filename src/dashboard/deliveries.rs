//! Messages: which wait, which were sent or given up, and why.

use std::collections::BTreeMap;

use axum::extract::State;
use http::{StatusCode, Uri};
use maud::{Markup, html};

use super::frame::{self, Content, Place};
use super::live::Topic;
use super::parts::{spreadsheet, time, visible};
use super::{Page, Pages, Scene, failed, html as answer, scene};
use crate::domain::cell::ReceiverName;
use crate::store::{Delivery, Progress};

/// Messages of one page, and of one table for a spreadsheet.
const LISTED: usize = 50;
const TABLE_MAX: usize = 1_000;

/// What is asked for.
#[derive(Debug, Clone, Default)]
struct Asked {
    receiver: Option<ReceiverName>,
    state: Option<Progress>,
    /// Pages before this one.
    page: usize,
}

impl Asked {
    fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let asked: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
        let given = |key: &str| {
            asked
                .get(key)
                .map(AsRef::as_ref)
                .filter(|text: &&str| !text.is_empty())
        };
        Self {
            receiver: given("receiver").map(ReceiverName::new),
            state: given("state").and_then(Progress::from_word),
            page: given("page")
                .and_then(|page| page.parse().ok())
                .unwrap_or(0)
                .min(10_000),
        }
    }

    fn query(&self, page: usize) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(receiver) = &self.receiver {
            query.append_pair("receiver", receiver.as_str());
        }
        if let Some(state) = self.state {
            query.append_pair("state", state.as_str());
        }
        query.append_pair("page", &page.to_string());
        query.finish()
    }
}

/// What a state means.
fn words(delivery: &Delivery) -> &'static str {
    match delivery.progress {
        Progress::Pending | Progress::Sending => "waiting",
        Progress::Accepted => "sent",
        Progress::Dead if delivery.diverted => "given up; the fallback was told",
        Progress::Dead => "given up",
        Progress::Overtaken => "overtaken by a later one",
    }
}

pub(super) async fn page(State(pages): State<Pages>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let asked = Asked::of(&uri);
    let wanted = asked.clone();
    let read = pages.read(move |reader| {
        let skip = wanted.page * LISTED;
        reader.deliveries(wanted.receiver.as_ref(), wanted.state, skip, LISTED + 1)
    });
    Ok(match read.await {
        Ok(found) => answer(StatusCode::OK, shown(&scene, &asked, &found)),
        Err(failure) => failed(&scene, &failure),
    })
}

pub(super) async fn table(State(pages): State<Pages>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let asked = Asked::of(&uri);
    let read = pages
        .read(move |reader| reader.deliveries(asked.receiver.as_ref(), asked.state, 0, TABLE_MAX));
    let found = match read.await {
        Ok(found) => found,
        Err(failure) => return Ok(failed(&scene, &failure)),
    };
    let rows = found.iter().map(|delivery| {
        let it = &delivery.notification;
        let at = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        vec![
            it.created_at.to_string(),
            it.receiver.to_string(),
            it.incident.to_string(),
            it.reason.as_str().to_owned(),
            words(delivery).to_owned(),
            delivery.attempts.to_string(),
            at(delivery.last_attempt_at),
            at(delivery.next_at),
            delivery.error.clone().unwrap_or_default(),
        ]
    });
    let header = [
        "created_at",
        "receiver",
        "incident",
        "reason",
        "state",
        "attempts",
        "last_attempt_at",
        "next_at",
        "error",
    ];
    Ok(spreadsheet(&header, rows))
}

fn shown(scene: &Scene, asked: &Asked, found: &[Delivery]) -> Markup {
    let own = scene.to("/deliveries");
    let receivers = scene
        .look
        .plan
        .receivers
        .iter()
        .map(|receiver| &receiver.name);
    let main = html! {
        h1 { "Deliveries" }
        form.acts action=(own) {
            label { "Receiver "
                select name="receiver" {
                    option value="" { "all" }
                    @for name in receivers {
                        option value=(name) selected[asked.receiver.as_ref() == Some(name)] { (name) }
                    }
                }
            }
            label { "State "
                select name="state" {
                    option value="" { "all" }
                    @for (state, word) in [(Progress::Pending, "waiting"), (Progress::Accepted, "sent"), (Progress::Dead, "given up"), (Progress::Overtaken, "overtaken")] {
                        option value=(state.as_str()) selected[asked.state == Some(state)] { (word) }
                    }
                }
            }
            button { "Show" }
        }
        @if found.is_empty() { p { "There is no such message." } }
        @else { (list(scene, &found[..found.len().min(LISTED)])) }
        p.acts {
            @if asked.page > 0 { a rel="prev" href=(format!("{own}?{}", asked.query(asked.page - 1))) { "Later ones" } }
            @if found.len() > LISTED { a rel="next" href=(format!("{own}?{}", asked.query(asked.page + 1))) { "Earlier ones" } }
            a href=(format!("{own}.csv?{}", asked.query(0))) { "CSV" }
        }
    };
    let content = Content {
        title: "Deliveries",
        place: Place::Deliveries,
        topic: Topic::Board,
        main,
    };
    frame::page(scene, &content)
}

fn list(scene: &Scene, found: &[Delivery]) -> Markup {
    let (zone, now) = (scene.zone(), scene.now);
    html! {
        div.scroll tabindex="0" role="region" aria-label="Messages, newest first" {
            table {
                thead { tr {
                    th scope="col" { "Made" } th scope="col" { "Receiver" } th scope="col" { "About" }
                    th scope="col" { "State" } th scope="col" { "Tries" } th scope="col" { "Last error" } th scope="col" { "What it says" }
                } }
                tbody { @for delivery in found {
                    @let it = &delivery.notification;
                    tr {
                        td { (time(it.created_at, zone, now)) }
                        td { (it.receiver) @if !delivery.lane.is_empty() { " for " (delivery.lane) } }
                        td {
                            @if it.incident > 0 { a href=(scene.to(&format!("/incidents/{}", it.incident))) { "INC-" (it.incident) } " " }
                            (it.reason.as_str())
                        }
                        td {
                            @if delivery.progress == Progress::Dead { (super::forms::again(scene, &it.delivery.to_string())) }
                            (words(delivery))
                            @if let Some(at) = delivery.next_at.filter(|_| delivery.progress == Progress::Pending) { ", next " (time(at, zone, now)) }
                        }
                        td { (delivery.attempts) @if let Some(at) = delivery.last_attempt_at { ", last " (time(at, zone, now)) } }
                        td.text { (visible(delivery.error.as_deref().unwrap_or("–"))) }
                        td.text { (super::parts::prose(&it.briefing.headline)) }
                    }
                } }
            }
        }
    }
}
