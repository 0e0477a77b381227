//! Pages people through `PagerDuty`'s events API v2.
//!
//! All messages of an incident carry one `dedup_key`, so `PagerDuty` keeps one alert for it however often
//! it is told; a repeat after an unclear outcome changes nothing
//! (<https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>, 2026-11-22).
//! An opening, a return, a change and a reminder trigger (a change of an open alert pages nobody anew, but
//! one that a person resolved too early opens again); who acknowledges here does so there; the end resolves, but for one that
//! is no longer watched: a person closes that. An incident that was over before
//! anything could be told triggers with severity `info` and resolves at once, so that it is on record.
//! Many at once are one alert, which pages once and resolves when all of them are over.
//! Another channel of ours that does not work is an alert of its own, resolved when it works again.

use std::time::Duration;

use serde_json::{Map, Value, json};
use url::Url;
use uuid::Uuid;

use super::error::{Class, SendError};
use super::http::{self, Again, Answer, Peer};
use super::text::{Clock, cut, line, percent, reference, remarks, severity, summary};
use super::{Message, Trouble, evidence};
use crate::domain::incident::State;
use crate::domain::notification::{Briefing, Member, Reason};
use crate::domain::secret::Secret;

/// `PagerDuty`'s own API; accounts in Europe have <https://events.eu.pagerduty.com>.
pub const API: &str = "https://events.pagerduty.com";

/// Limits of an event (page above): `summary` 1,024 characters, `dedup_key` 255. An event holds 512 KB, far more than ours.
const SUMMARY_MAX: usize = 1_024;
const SERVICE_MAX: usize = 100;
/// Of one text in the details; all of them together stay below 64 KiB.
const DETAIL_MAX: usize = 4_000;
/// Of the list of many incidents in one alert.
const MANY_MAX: usize = 20_000;
/// Links of one incident; texts of the configuration rarely hold more than one.
const LINKS_MAX: usize = 5;

const PEER: Peer = Peer {
    name: "PagerDuty",
    again: Again::Harmless,
};

/// One service in `PagerDuty`.
#[derive(Debug)]
pub struct PagerDuty {
    client: reqwest::Client,
    routing_key: Secret,
    /// Without a trailing slash.
    api: String,
}

/// What `PagerDuty` is to do with the alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Trigger,
    Acknowledge,
    Resolve,
}

impl Action {
    /// The one place that maps reasons.
    fn of(reason: Reason) -> Self {
        match reason {
            Reason::Opened
            | Reason::Reopened
            | Reason::Changed
            | Reason::Reminder
            | Reason::Muted
            // Nobody knows that it is over: a person closes it.
            | Reason::Unwatched => Self::Trigger,
            Reason::Acknowledged => Self::Acknowledge,
            // A change that fails nothing pages nobody; the configuration refuses it too.
            Reason::Resolved | Reason::Notice => Self::Resolve,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
        }
    }
}

impl PagerDuty {
    /// A sender to the service behind `routing_key`; `api` is [`API`] unless the operator has another.
    ///
    /// # Errors
    /// [`Class::Setup`] when no HTTP client can be made.
    pub fn new(api: &str, routing_key: Secret, timeout: Duration) -> Result<Self, SendError> {
        Ok(Self {
            client: http::client(timeout, &[])?,
            routing_key,
            api: api.trim_end_matches('/').to_owned(),
        })
    }

    /// Tells one thing.
    pub async fn tell(&self, message: &Message<'_>) -> Result<(), SendError> {
        let action = match Action::of(message.reason) {
            // Nobody looks after it any more.
            Action::Acknowledge if message.briefing.acknowledged.is_none() => Action::Trigger,
            action => action,
        };
        // What was over long before it could be told pages nobody.
        if action == Action::Resolve && message.whole && !message.late {
            self.send(event(message, Action::Trigger)).await?;
        }
        self.send(event(message, action)).await?;
        // Somebody looks after it already; whoever is paged all the same need not be paged on.
        if action == Action::Trigger && message.briefing.acknowledged.is_some() {
            self.send(event(message, Action::Acknowledge)).await?;
        }
        Ok(())
    }

    /// Tells one thing within one alert for many; `members` are all of them, as they are now.
    pub async fn tell_member(
        &self,
        message: &Message<'_>,
        alert: Uuid,
        members: &[Member],
    ) -> Result<(), SendError> {
        let open = members.iter().filter(|m| m.state == State::Open).count();
        let lost = members.iter().any(|m| m.state == State::Unwatched);
        // Somebody looks after one of them; who is paged for all acknowledges the alert.
        if message.reason == Reason::Acknowledged {
            return Ok(());
        }
        // A person closes what nobody knows to be over.
        let action = if open == 0 && !lost {
            Action::Resolve
        } else {
            Action::Trigger
        };
        if action == Action::Resolve && message.whole && !message.late {
            let first = of_many(message, alert, members, Action::Trigger);
            self.send(first).await?;
        }
        self.send(of_many(message, alert, members, action)).await
    }

    /// Tells of another channel.
    pub async fn trouble(&self, trouble: &Trouble<'_>) -> Result<(), SendError> {
        self.send(of_channel(trouble)).await
    }

    async fn send(&self, mut event: Map<String, Value>) -> Result<(), SendError> {
        event.insert("routing_key".to_owned(), self.routing_key.expose().into());
        let request = self
            .client
            .post(format!("{}/v2/enqueue", self.api))
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(Value::from(event).to_string());
        classify(&PEER.send(request).await?)
    }
}

fn classify(answer: &Answer) -> Result<(), SendError> {
    match answer.status {
        202 => Ok(()),
        200..=299 if answer.is_page() => Err(PEER.page()),
        400 if blames_the_key(answer) => Err(SendError::new(
            Class::Setup,
            "PagerDuty does not know the routing key (HTTP 400)",
        )),
        // Anything else that is good by its number was not said by PagerDuty.
        200..=299 => Err(SendError::new(
            Class::Setup,
            format!(
                "HTTP {} in place of PagerDuty's 202: something stands in between",
                answer.status
            ),
        )),
        status => PEER.judge(status, answer.retry_after),
    }
}

/// An answer of 400 lists what is wrong with the event; the key is a matter of set-up.
fn blames_the_key(answer: &Answer) -> bool {
    let body = answer.body.as_deref().unwrap_or_default();
    let said = String::from_utf8_lossy(body).to_ascii_lowercase();
    said.contains("routing_key") || said.contains("routing key")
}

/// Names the incident in `PagerDuty`; the time keeps it apart from one with its number in another store.
fn dedup_key(briefing: &Briefing) -> String {
    format!(
        "edgewatch/{}/{}/{}",
        cut(&line(&briefing.service), SERVICE_MAX),
        reference(briefing),
        briefing.opened_at.as_second()
    )
}

/// The event as it is sent, but for the routing key.
#[must_use]
pub fn payload(message: &Message<'_>) -> Value {
    event(message, Action::of(message.reason)).into()
}

fn event(message: &Message<'_>, action: Action) -> Map<String, Value> {
    let briefing = message.briefing;
    let mut event = Map::new();
    event.insert("event_action".to_owned(), action.as_str().into());
    event.insert("dedup_key".to_owned(), dedup_key(briefing).into());
    if action == Action::Trigger {
        event.insert("client".to_owned(), "edgewatch".into());
        event.insert("payload".to_owned(), problem(message));
        if !message.plain {
            let links = links(briefing);
            if !links.is_empty() {
                event.insert("links".to_owned(), links.into());
            }
        }
    }
    event
}

/// One alert for many.
fn of_many(
    message: &Message<'_>,
    alert: Uuid,
    members: &[Member],
    action: Action,
) -> Map<String, Value> {
    let mut event = Map::new();
    event.insert("event_action".to_owned(), action.as_str().into());
    event.insert(
        "dedup_key".to_owned(),
        format!("edgewatch/many/{alert}").into(),
    );
    if action == Action::Trigger {
        let open = members.iter().filter(|m| m.state == State::Open);
        let said = open
            .clone()
            .map(|m| format!("INC-{}: {}", m.incident, line(&m.headline)));
        let said = said.collect::<Vec<_>>().join("\n");
        let title = format!(
            "{} incidents at once, {} open; the newest: {}",
            members.len(),
            open.count(),
            line(&message.briefing.headline)
        );
        let mut problem = problem(message);
        problem["summary"] = cut(&title, SUMMARY_MAX).into();
        problem["class"] = "many".into();
        problem["severity"] = severity(message.briefing).into();
        problem["custom_details"] = json!({ "open": cut(&said, MANY_MAX) });
        event.insert("client".to_owned(), "edgewatch".into());
        event.insert("payload".to_owned(), problem);
    }
    event
}

/// That another channel does not work, or works again.
fn of_channel(trouble: &Trouble<'_>) -> Map<String, Value> {
    let action = if trouble.over {
        Action::Resolve
    } else {
        Action::Trigger
    };
    let mut event = Map::new();
    event.insert("event_action".to_owned(), action.as_str().into());
    event.insert("dedup_key".to_owned(), trouble.key().into());
    if action == Action::Trigger {
        event.insert("client".to_owned(), "edgewatch".into());
        let problem = json!({
            "summary": cut(&trouble.notice().text(), SUMMARY_MAX),
            "source": "edgewatch",
            // As of everything that is wrong on our own side.
            "severity": "warning",
            "timestamp": trouble.since.to_string(),
            "component": trouble.receiver,
            "class": "channel_trouble",
            "custom_details": { "why": cut(&line(trouble.why), DETAIL_MAX) },
        });
        event.insert("payload".to_owned(), problem);
    }
    event
}

fn problem(message: &Message<'_>) -> Value {
    let briefing = message.briefing;
    let title = format!(
        "{} · {}",
        reference(briefing),
        summary(message, &Clock::new(message))
    );
    let severity = match message.reason {
        Reason::Resolved => "info",
        Reason::Unwatched => "warning",
        _ => severity(briefing),
    };
    let mut problem = json!({
        "summary": cut(&title, SUMMARY_MAX),
        "source": line(&briefing.subject),
        "severity": severity,
        "timestamp": briefing.onset_at.to_string(),
        "component": line(&briefing.probes.join(", ")),
        "group": cut(&line(&briefing.service), SERVICE_MAX),
        "class": briefing.kind.as_str(),
    });
    if !message.plain {
        problem["custom_details"] = details(message);
    }
    problem
}

/// Titles and values as `PagerDuty` shows them: a table of texts.
fn details(message: &Message<'_>) -> Value {
    let briefing = message.briefing;
    let clock = Clock::new(message);
    let lines = |texts: &[String]| {
        let texts: Vec<String> = texts.iter().map(|t| line(t)).collect();
        texts.join("\n")
    };
    let confidence = if briefing.cause_known {
        percent(briefing.confidence)
    } else {
        String::new()
    };
    let time = |at: Option<jiff::Timestamp>| at.map(|at| clock.time_and_zone(at));
    let words = &briefing.words;
    let mut details = vec![
        ("confidence", confidence),
        ("because", lines(&briefing.because)),
        ("ruled_out", lines(&briefing.ruled_out)),
        (
            "what_to_do",
            line(briefing.next_step.as_deref().unwrap_or_default()),
        ),
        ("expected", line(&briefing.expected)),
        ("got", line(&briefing.got)),
        ("combinations", evidence::matrix(briefing)),
        ("reference_ids", lines(&briefing.reference_ids)),
        (
            "last_good_run",
            time(briefing.last_good_at).unwrap_or_default(),
        ),
        ("what", line(words.what.as_deref().unwrap_or_default())),
        (
            "affects",
            line(words.affects.as_deref().unwrap_or_default()),
        ),
        (
            "workaround",
            line(words.workaround.as_deref().unwrap_or_default()),
        ),
        ("remarks", remarks(message, &clock).join("\n")),
    ];
    details.retain(|(_, text)| !text.is_empty());
    details
        .into_iter()
        .map(|(title, text)| (title.to_owned(), Value::from(cut(&text, DETAIL_MAX))))
        .collect::<Map<_, _>>()
        .into()
}

/// The addresses that the configuration's own words hold ("Use the web site: https://…").
fn links(briefing: &Briefing) -> Vec<Value> {
    let words = &briefing.words;
    [
        ("Runbook", &words.contact.runbook),
        ("More", &words.contact.link),
        ("What works meanwhile", &words.workaround),
        ("What users may be told", &words.tell),
    ]
    .into_iter()
    .flat_map(|(text, words)| {
        let found = words.iter().flat_map(|w| w.split_whitespace());
        found
            .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/'))
            .filter(|word| word.starts_with("https://"))
            .filter_map(|word| Url::parse(word).ok())
            .map(move |href| json!({ "href": href.as_str(), "text": text }))
    })
    .take(LINKS_MAX)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_their_class() {
        let unknown_key = r#"{"status":"invalid event","message":"Event object is invalid","errors":["Invalid routing key"]}"#;
        let bad_event = r#"{"status":"invalid event","message":"Event object is invalid","errors":["'payload.severity' is missing or blank"]}"#;
        for (status, body, expected) in [
            (202, r#"{"status":"success"}"#, Ok(())),
            (202, "", Ok(())),
            (200, "<html>", Err(Class::Setup)),
            (200, "ok", Err(Class::Setup)),
            (400, unknown_key, Err(Class::Setup)),
            (400, bad_event, Err(Class::Payload)),
            (403, "", Err(Class::Setup)),
            (413, "", Err(Class::Payload)),
            (429, "", Err(Class::SlowDown(Some(Duration::from_secs(2))))),
            (500, "", Err(Class::Transient)),
            (503, "", Err(Class::SlowDown(Some(Duration::from_secs(2))))),
        ] {
            let answer = Answer {
                status,
                retry_after: Some(Duration::from_secs(2)),
                body: Ok(body.as_bytes().to_vec()),
            };
            let said = classify(&answer).map_err(|e| e.class);
            assert_eq!(said, expected, "{status} {body}");
        }
    }
}
