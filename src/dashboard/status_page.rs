//! The page of support staff: in plain words, what works, what does not, what to tell people, and when they hear more.
//!
//! It says what the cards of their channel say, never more and never sooner: a problem stands here from its first
//! message on, in the words of the last one. What fails and was not told yet is being checked; nothing is said to work
//! that is not known to.

use std::fmt::Write as _;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use maud::{Markup, html};

use super::frame::{self, Content, Place};
use super::live::Topic;
use super::now::{Standing, keys, standing_of};
use super::parts::visible;
use super::{Failure, Page, Pages, Scene, failed, html as answer, scene};
use crate::domain::cell::ReceiverName;
use crate::domain::incident::{Incident, State as Stands};
use crate::domain::notification::{Channel, Notification, Receiver, Route, Templates};
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;
use crate::domain::verdict::Kind;
use crate::notify::told::{self, Told, lasting};
use crate::store::{Delivery, Progress, Reader, StoreError};

/// Incidents that are looked at for what was told of them.
const LOOKED_AT: usize = 50;
/// Ended ones that are shown.
const BEFORE_MAX: usize = 5;
/// For who sees no other page it is made anew after so many seconds.
pub(super) const AGAIN_S: u32 = 30;
/// Entries of the feed.
const FEED_MAX: usize = 50;
/// Planned work is announced so long before.
const AHEAD: jiff::SignedDuration = jiff::SignedDuration::from_hours(14 * 24);

/// What the page shows: what it was told itself where a route leads to it, else the cards of the first receiver of a route
/// that speaks plainly.
#[derive(Debug, Clone)]
struct Spoken {
    route: Route,
    receiver: ReceiverName,
    templates: Templates,
}

fn channel(plan: &Plan) -> Option<Spoken> {
    let is_page = |channel: &Channel| matches!(channel, Channel::StatusPage { .. });
    told_by(plan, is_page).or_else(|| told_by(plan, Channel::speaks_plainly))
}

fn told_by(plan: &Plan, of: impl Fn(&Channel) -> bool) -> Option<Spoken> {
    plan.routes.iter().find_map(|route| {
        let named = |receiver: &&Receiver| receiver.name == route.to;
        let receiver = plan.receivers.iter().find(named)?;
        let templates = match &receiver.channel {
            Channel::Teams { templates, .. } | Channel::StatusPage { templates, .. } => {
                templates.clone()
            }
            _ => Templates::default(),
        };
        of(&receiver.channel).then(|| Spoken {
            route: route.clone(),
            receiver: receiver.name.clone(),
            templates,
        })
    })
}

/// Whether the file shows the page to whoever reaches it.
pub(super) fn is_public(plan: &Plan) -> bool {
    let mut channels = plan.receivers.iter().map(|receiver| &receiver.channel);
    channels.any(|channel| matches!(channel, Channel::StatusPage { public: true, .. }))
}

/// What was told of one incident, oldest first.
struct History {
    incident: Incident,
    told: Vec<Notification>,
}

fn histories(reader: &Reader, receiver: &ReceiverName) -> Result<Vec<History>, StoreError> {
    let mut known = reader.page(None, LOOKED_AT)?;
    for open in reader.load_open()?.incidents {
        if !known.iter().any(|incident| incident.number == open.number) {
            known.push(open);
        }
    }
    let mut histories = Vec::new();
    for incident in known.into_iter().take(2 * LOOKED_AT) {
        let Some(shown) = reader.show(incident.number)? else {
            continue;
        };
        let reached = |delivery: &Delivery| {
            // A card that did not arrive was due all the same; one that waits is not.
            let gone = matches!(delivery.progress, Progress::Accepted | Progress::Dead);
            gone && delivery.lane.is_empty() && delivery.notification.receiver == *receiver
        };
        let told = shown.deliveries.into_iter().filter(reached);
        histories.push(History {
            incident,
            told: told.map(|delivery| delivery.notification).collect(),
        });
    }
    Ok(histories)
}

/// How a service stands; the worst first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    /// The incident that its channel was told of.
    Problem {
        incident: u64,
        since: Timestamp,
    },
    Planned {
        name: String,
        until: Timestamp,
    },
    /// Something fails that was not told.
    Checked(Timestamp),
    /// When it was seen to work last.
    Unknown(Option<Timestamp>),
    Works,
}

struct Service {
    name: String,
    state: How,
}

/// The services of a channel, each with the worst of its probes.
fn services(scene: &Scene, channel: Option<&Spoken>, histories: &[History]) -> Vec<Service> {
    let plan = &scene.look.plan;
    let mut services: Vec<Service> = Vec::new();
    let probes = plan.probes.iter().filter(|probe| !probe.control);
    let named = probes.clone().any(|probe| probe.words.what.is_some());
    for probe in probes {
        let name = match &probe.words.what {
            Some(what) => what.clone(),
            None if named => continue,
            None => plan.service.clone(),
        };
        let own = std::slice::from_ref(&probe.name);
        if channel.is_some_and(|channel| !plan.is_for(&channel.route, own)) {
            continue;
        }
        let state = state(scene, probe, histories);
        match services.iter_mut().find(|known| known.name == name) {
            Some(known) if state < known.state => known.state = state,
            Some(_) => {}
            None => services.push(Service { name, state }),
        }
    }
    services
}

fn state(scene: &Scene, probe: &Probe, histories: &[History]) -> How {
    let of_probe = |incident: &Incident| incident.probes.contains(&probe.name);
    let problem = histories.iter().find(|history| {
        history.incident.state == Stands::Open
            && of_probe(&history.incident)
            && history
                .told
                .last()
                .is_some_and(|last| !last.reason.is_end())
    });
    if let Some(history) = problem {
        return How::Problem {
            incident: history.incident.number,
            since: history.incident.onset_at,
        };
    }
    let windows = scene.vitals.iter().flat_map(|vitals| &vitals.maintenance);
    let mut windows = windows.filter(|window| {
        let own = window
            .probes
            .iter()
            .any(|name| *name == probe.name.as_str());
        window.until > scene.now && (own || window.probes.is_empty())
    });
    if let Some(window) = windows.next() {
        return How::Planned {
            name: window.name.clone(),
            until: window.until,
        };
    }
    let mut open = scene.look.incidents.iter();
    // What works with a warning works.
    if let Some(incident) = open.find(|it| of_probe(it) && it.kind != Kind::Warning) {
        return How::Checked(incident.onset_at);
    }
    match standing_of(scene, probe) {
        Standing::Fails { since } => How::Checked(since),
        Standing::Works => How::Works,
        Standing::Unknown { worked_at } => How::Unknown(worked_at),
    }
}

/// How one probe stands by what its channel was told.
pub(super) async fn how(pages: &Pages, scene: &Scene, probe: &Probe) -> Result<How, Failure> {
    let receiver = channel(&scene.look.plan).map(|channel| channel.receiver);
    let read = pages.read(move |reader| match receiver {
        Some(receiver) => histories(reader, &receiver),
        None => Ok(Vec::new()),
    });
    Ok(state(scene, probe, &read.await?))
}

/// What the page says of each service, for scripts.
pub(super) async fn facts(pages: &Pages, scene: &Scene) -> Result<Vec<serde_json::Value>, Failure> {
    let channel = channel(&scene.look.plan);
    let receiver = channel.as_ref().map(|channel| channel.receiver.clone());
    let read = pages.read(move |reader| match receiver {
        Some(receiver) => histories(reader, &receiver),
        None => Ok(Vec::new()),
    });
    let services = services(scene, channel.as_ref(), &read.await?);
    let said = services.into_iter().map(|service| {
        let (state, since, until, reference) = match service.state {
            How::Problem { incident, since } => {
                ("problem", Some(since), None, Some(format!("INC-{incident}")))
            }
            How::Planned { until, .. } => ("planned_work", None, Some(until), None),
            How::Checked(since) => ("being_checked", Some(since), None, None),
            How::Unknown(_) => ("not_known", None, None, None),
            How::Works => ("works", None, None, None),
        };
        serde_json::json!({
            "what": service.name, "state": state, "since": since, "until": until, "reference": reference,
        })
    });
    Ok(said.collect())
}

pub(super) async fn page(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    // Without what was told nothing may be told.
    Ok(match by_itself(&pages, &scene).await {
        Ok((title, main)) => answer(StatusCode::OK, framed(&scene, &title, &main)),
        Err(failure) => failed(&scene, &failure),
    })
}

/// The sentence on top, and the page below it.
pub(super) async fn by_itself(pages: &Pages, scene: &Scene) -> Result<(String, Markup), Failure> {
    let channel = channel(&scene.look.plan);
    let receiver = channel.as_ref().map(|channel| channel.receiver.clone());
    let read = pages.read(move |reader| match receiver {
        Some(receiver) => histories(reader, &receiver),
        None => Ok(Vec::new()),
    });
    Ok(said(scene, channel.as_ref(), &read.await?))
}

fn framed(scene: &Scene, title: &str, main: &Markup) -> Markup {
    let main = html! {
        (main)
        ul.acts {
            li { a href=(scene.to("/status.atom")) type="application/atom+xml" { "Subscribe to the messages (Atom)" } }
            @if !scene.look.plan.maintenance.is_empty() {
                li { a href=(scene.to("/maintenance.ics")) type="text/calendar" { "Subscribe to planned work (calendar)" } }
            }
        }
    };
    let content = Content {
        title,
        place: Place::Status,
        topic: Topic::Board,
        main,
    };
    if scene.outsider {
        frame::sealed(scene, &content, Some(AGAIN_S))
    } else {
        frame::page(scene, &content)
    }
}

fn said(scene: &Scene, channel: Option<&Spoken>, histories: &[History]) -> (String, Markup) {
    let services = services(scene, channel, histories);
    let zone = scene.zone();
    let time = |at| told::time(zone, at, scene.now);
    let templates = channel
        .map(|channel| channel.templates.clone())
        .unwrap_or_default();
    let mut problems: Vec<u64> = Vec::new();
    for service in &services {
        if let How::Problem { incident, .. } = service.state
            && !problems.contains(&incident)
        {
            problems.push(incident);
        }
    }
    let sentence = sentence(&services);
    let works: Vec<&Service> = services
        .iter()
        .filter(|it| it.state == How::Works)
        .collect();
    let main = html! {
        h1 { (sentence) }
        p.below { (checked(scene)) }
        @for number in problems {
            @if let Some(history) = histories.iter().find(|it| it.incident.number == number) {
                (notice(scene, history, &templates))
            }
        }
        @for service in &services {
            @match &service.state {
                How::Checked(since) => section.card.checked {
                    h2 { "Being checked: " (visible(&service.name)) }
                    p { "We noticed a fault at " (time(*since)) " and are checking it." }
                }
                How::Planned { name, until } => section.card.planned {
                    h2 { "Planned work: " (visible(&service.name)) }
                    p { (visible(name)) ", until " (time(*until)) ". It may not work until then." }
                }
                How::Unknown(worked_at) => section.card.planned {
                    h2 { "Not known: " (visible(&service.name)) }
                    p {
                        "We can't tell at the moment. "
                        @if let Some(at) = worked_at { "Last known: worked at " (time(*at)) "." }
                    }
                }
                How::Problem { .. } | How::Works => {}
            }
        }
        @if !works.is_empty() {
            h2 { "Works" }
            ul.plain { @for service in works { li { span.sign aria-hidden="true" { "✓" } " " (visible(&service.name)) } } }
        }
        (planned(scene))
        (own_side(scene))
        (before(scene, histories))
    };
    (sentence, main)
}

/// `1 thing does not work. 2 things work.`
fn sentence(services: &[Service]) -> String {
    let count = |wanted: fn(&How) -> bool| services.iter().filter(|it| wanted(&it.state)).count();
    let works = count(|state| matches!(state, How::Works));
    if services.is_empty() {
        return "Nothing is watched for this page".to_owned();
    }
    if works == services.len() {
        return "Everything works".to_owned();
    }
    let parts = [
        (
            count(|s| matches!(s, How::Problem { .. })),
            "does not work",
            "do not work",
        ),
        (
            count(|s| matches!(s, How::Checked(_))),
            "is being checked",
            "are being checked",
        ),
        (
            count(|s| matches!(s, How::Planned { .. })),
            "has planned work",
            "have planned work",
        ),
        (
            count(|s| matches!(s, How::Unknown(_))),
            "is not known",
            "are not known",
        ),
        (works, "works", "work"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, more)| match count {
            1 => format!("1 thing {one}"),
            _ => format!("{count} things {more}"),
        })
        .collect();
    parts.join(". ")
}

/// When the newest run was.
fn checked(scene: &Scene) -> String {
    let probes = scene.look.plan.probes.iter().filter(|probe| !probe.control);
    let cells = probes.flat_map(keys);
    let newest = cells
        .filter_map(|key| Some(scene.look.cell(&key)?.at))
        .max();
    match newest {
        None => "Nothing has been checked yet.".to_owned(),
        Some(at) => format!(
            "Last checked at {}.",
            told::time(scene.zone(), at, scene.now)
        ),
    }
}

/// What the channel was told last of a problem, in the same words.
fn notice(scene: &Scene, history: &History, templates: &Templates) -> Markup {
    let Some(last) = history.told.last() else {
        return html! {};
    };
    // Who looks after it is no news of the problem, and stands here as it is.
    let mut last = last.clone();
    last.briefing
        .acknowledged
        .clone_from(&history.incident.acknowledged);
    let Told {
        state,
        headline,
        below,
        facts,
        tell,
        text,
        ..
    } = told::told(&last, scene.now, templates);
    let number = history.incident.number;
    let id = format!("notice-{number}");
    html! {
        article.card id=(format!("told-{number}")) {
            p.standing { strong { (state) } }
            h2 { (visible(&headline)) }
            @if !below.is_empty() { p { (visible(&below)) } }
            dl {
                @for (title, value) in &facts { dt { (title) } dd { (visible(value)) } }
                @if let Some(tell) = &tell { dt { "What you can tell users" } dd { strong { "“" (visible(tell)) "”" } } }
                dt { "Reference" } dd { "INC-" (number) }
            }
            @if history.told.len() > 1 {
                details id=(format!("earlier-{number}")) {
                    summary { "Earlier messages (" (history.told.len() - 1) ")" }
                    ul { @for earlier in history.told.iter().rev().skip(1) {
                        li {
                            (told::time(scene.zone(), earlier.created_at, scene.now)) ": "
                            (visible(&told::told(earlier, scene.now, templates).title))
                        }
                    } }
                }
            }
            button type="button" data-copy=(id) hidden { "Copy the notice" }
            pre.unseen id=(id) aria-hidden="true" { (visible(&text)) }
        }
    }
}

/// Work that is announced.
fn planned(scene: &Scene) -> Markup {
    let zone = scene.zone();
    let mut ahead: Vec<_> = scene
        .look
        .plan
        .maintenance
        .iter()
        .filter_map(|it| {
            let begins = it.begins.next_after(scene.now)?;
            let soon = begins.duration_since(scene.now) <= AHEAD;
            let ends = begins.checked_add(it.lasting).ok()?;
            soon.then_some((begins, ends, &it.name))
        })
        .collect();
    ahead.sort();
    html! {
        @if !ahead.is_empty() {
            h2 { "Planned work" }
            ul.plain { @for (begins, ends, name) in ahead {
                li {
                    (visible(name)) ": "
                    (begins.to_zoned(zone.clone()).strftime("%A %-d %B from %H:%M").to_string())
                    " to " (told::time(zone, ends, begins))
                }
            } }
        }
    }
}

/// Whether it may be our own side.
fn own_side(scene: &Scene) -> Markup {
    let controls = scene.look.plan.probes.iter().filter(|probe| probe.control);
    let standings: Vec<Standing> = controls.map(|probe| standing_of(scene, probe)).collect();
    html! {
        @if !standings.is_empty() {
            h2 { "Our own side" }
            p {
                @if standings.iter().any(|it| matches!(it, Standing::Works)) { "Our internet connection works" }
                @else if standings.iter().all(|it| matches!(it, Standing::Fails { .. })) { "Our internet connection is being checked" }
                @else { "Whether our internet connection works is not known at the moment" }
            }
        }
    }
}

/// What was told and is over.
fn before(scene: &Scene, histories: &[History]) -> Markup {
    let over: Vec<_> = histories
        .iter()
        .filter(|it| it.incident.state == Stands::Resolved)
        .filter_map(|it| Some((it, it.told.last()?)))
        .take(BEFORE_MAX)
        .collect();
    html! {
        @if !over.is_empty() {
            h2 { "Before" }
            ul.plain { @for (history, last) in over {
                @let incident = &history.incident;
                @let day = incident.onset_at.to_zoned(scene.zone().clone()).strftime("%-d %B").to_string();
                li {
                    (day) ": " (visible(last.briefing.words.what.as_deref().unwrap_or(&last.briefing.service)))
                    " did not work, " (lasting(incident.failing_for(scene.now)))
                }
            } }
        }
    }
}

pub(super) async fn feed(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let Some(channel) = channel(&scene.look.plan) else {
        return Ok(xml(&atom(&scene, Vec::new(), &Templates::default())));
    };
    let receiver = channel.receiver.clone();
    let read = pages.read(move |reader| histories(reader, &receiver));
    let told = match read.await {
        Ok(histories) => histories.into_iter().flat_map(|history| history.told),
        Err(failure) => return Ok(failed(&scene, &failure)),
    };
    Ok(xml(&atom(&scene, told.collect(), &channel.templates)))
}

fn xml(text: &str) -> Response {
    let mut answer = Response::new(Body::from(text.to_owned()));
    let kind = HeaderValue::from_static("application/atom+xml; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// The messages as a feed (RFC 4287), newest first; an entry's id is the message's own.
fn atom(scene: &Scene, mut told: Vec<Notification>, templates: &Templates) -> String {
    told.sort_by_key(|notification| std::cmp::Reverse(notification.created_at));
    told.truncate(FEED_MAX);
    let updated = told
        .first()
        .map_or(Timestamp::UNIX_EPOCH, |it| it.created_at);
    let service = escaped(&scene.look.plan.service);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <feed xmlns=\"http://www.w3.org/2005/Atom\">\n\
         <title>{service}: what works</title>\n\
         <id>urn:edgewatch:status:{service}</id>\n\
         <updated>{updated}</updated>\n\
         <author><name>edgewatch</name></author>\n\
         <link rel=\"alternate\" type=\"text/html\" href=\"{}\"/>\n",
        escaped(&scene.to("/status")),
    );
    for notification in &told {
        let it = told::told(notification, scene.now, templates);
        // Writing to a string can't fail.
        let _ = write!(
            text,
            "<entry>\n<title>{}</title>\n<id>urn:uuid:{}</id>\n<updated>{}</updated>\n<content type=\"text\">{}</content>\n</entry>\n",
            escaped(&it.title),
            notification.delivery,
            notification.created_at,
            escaped(&it.text),
        );
    }
    text.push_str("</feed>\n");
    text
}

fn escaped(text: &str) -> String {
    visible(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
