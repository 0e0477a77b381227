//! Hands incidents to Alertmanager, by its API v2: it groups, routes, silences and tells.
//!
//! Every peer of a cluster is told, as they don't share alerts; one that took it is enough, as those that
//! did not get it with the next refresh (<https://prometheus.io/docs/alerting/latest/alerts_api/>, 2026-11-22).
//!
//! Alertmanager knows an alert by its labels, keeps it in memory alone, and takes it for resolved when its
//! `endsAt` has passed (or its `resolve_timeout`, when there is none). So the labels of an incident stay
//! those of its first message ([`Standing`], kept with the incident's thread in the store), and the worker
//! sends what stands open again each minute, in case a peer was restarted. `endsAt` is then [`STANDS_FOR`]
//! ahead: a monitor that is stopped, or updated, must not read as "resolved". The end comes through the
//! outbox like any message, with its true time. What began and ended before any peer could be reached is
//! handed over all the same, but Alertmanager tells nobody of an alert that it never saw firing.
//! Another channel of ours that does not work is an alert of its own, sent again in the same way.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::{Class, SendError};
use super::http::{self, Again, Peer};
use super::text::{Clock, cut, line, over, percent, reference, severity, summary};
use super::{Message, Trouble};
use crate::domain::notification::{Briefing, Login, Reason};

/// How long an open alert stands when nobody sends it again.
pub const STANDS_FOR: Duration = Duration::from_secs(24 * 3600);

/// Of a label and of an annotation; Alertmanager has no limits of its own, what it tells further has.
const LABEL_MAX: usize = 200;
const ANNOTATION_MAX: usize = 4_000;

/// What we call ourselves; rules of Alertmanager can match it.
const ALERT_NAME: &str = "EdgewatchIncident";
/// The same for a channel of ours that does not work.
const CHANNEL_ALERT_NAME: &str = "EdgewatchChannelTrouble";

const PEER: Peer = Peer {
    name: "Alertmanager",
    again: Again::Harmless,
};

/// The peers of one Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    client: reqwest::Client,
    /// Without a trailing slash.
    peers: Vec<String>,
    login: Option<Login>,
    labels: Vec<(String, String)>,
}

/// What Alertmanager was told of an incident last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    /// When it ended; `None` while it stands open.
    ends_at: Option<String>,
}

impl Standing {
    /// As [`Standing::text`] wrote it; `None` when it did not.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// For the store.
    #[must_use]
    pub fn text(&self) -> String {
        json!(self).to_string()
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ends_at.is_none()
    }

    /// The alert as Alertmanager takes it.
    #[must_use]
    pub fn alert(&self, now: Timestamp) -> Value {
        let until = now.checked_add(STANDS_FOR).unwrap_or(Timestamp::MAX);
        json!({
            "labels": self.labels,
            "annotations": self.annotations,
            "startsAt": self.starts_at,
            "endsAt": self.ends_at.clone().unwrap_or_else(|| until.to_string()),
        })
    }
}

impl Alertmanager {
    /// A sender to all of `peers`; `labels` are added to those of every alert.
    ///
    /// # Errors
    /// [`Class::Setup`] when no HTTP client can be made.
    pub fn new(
        peers: &[String],
        login: Option<Login>,
        labels: &[(String, String)],
        roots: &[String],
        timeout: Duration,
    ) -> Result<Self, SendError> {
        Ok(Self {
            client: http::client(timeout, roots)?,
            peers: peers.to_vec(),
            login,
            labels: labels.to_vec(),
        })
    }

    /// Tells one thing; `before` is what was told of the incident last. Returns what stands when it was taken.
    pub async fn tell(
        &self,
        message: &Message<'_>,
        before: Option<&Standing>,
    ) -> Result<Standing, SendError> {
        let standing = standing(message, &self.labels, before);
        self.send(&json!([standing.alert(message.now)])).await?;
        Ok(standing)
    }

    /// Tells of another channel; what stands open must be told again in time.
    pub async fn trouble(&self, trouble: &Trouble<'_>) -> Result<(), SendError> {
        let standing = of_channel(trouble, &self.labels);
        self.send(&json!([standing.alert(trouble.now)])).await
    }

    /// Sends again what stands open.
    pub async fn refresh(&self, open: &[Standing], now: Timestamp) -> Result<(), SendError> {
        let alerts: Vec<Value> = open.iter().map(|standing| standing.alert(now)).collect();
        self.send(&alerts.into()).await
    }

    /// To every peer at once; good when one of them took it.
    async fn send(&self, alerts: &Value) -> Result<(), SendError> {
        let body = alerts.to_string();
        let sent = join_all(self.peers.iter().map(|peer| self.send_to(peer, &body))).await;
        let taken = sent.iter().any(Result::is_ok);
        let mut worst = None;
        for (peer, result) in self.peers.iter().zip(sent) {
            let Err(error) = result else { continue };
            if taken {
                tracing::warn!(
                    peer,
                    "a peer of Alertmanager did not take an alert, another did: {error}"
                );
            }
            // What waiting may mend goes before what a person must.
            let better = worst
                .as_ref()
                .is_none_or(|known: &SendError| patience(&error) < patience(known));
            if better {
                worst = Some(error);
            }
        }
        match worst {
            Some(error) if !taken => Err(error),
            _ => Ok(()),
        }
    }

    async fn send_to(&self, peer: &str, body: &str) -> Result<(), SendError> {
        let request = self
            .client
            .post(format!("{peer}/api/v2/alerts"))
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body.to_owned());
        let request = match &self.login {
            Some(Login::Password { username, password }) => {
                request.basic_auth(username.expose(), Some(password.expose()))
            }
            Some(Login::Token(token)) => request.bearer_auth(token.expose()),
            None => request,
        };
        let answer = PEER.send(request).await?;
        if answer.is_page() {
            return Err(PEER.page());
        }
        PEER.judge(answer.status, answer.retry_after)
    }
}

fn patience(error: &SendError) -> u8 {
    match error.class {
        Class::Transient => 0,
        Class::SlowDown(_) => 1,
        Class::Setup => 2,
        _ => 3,
    }
}

/// What stands after `message`; the labels of an incident never change, as they are its name there.
#[must_use]
pub fn standing(
    message: &Message<'_>,
    more: &[(String, String)],
    before: Option<&Standing>,
) -> Standing {
    let briefing = message.briefing;
    // A change that fails nothing is no alert; the configuration refuses it too.
    let ended = message.reason.is_end() || message.reason == Reason::Notice;
    let mut ends_at = over(message).max(briefing.onset_at);
    if message.reason == Reason::Unwatched {
        ends_at = briefing.resolved_at.unwrap_or(message.happened_at);
        // Nobody knows that it is over, and nobody will hear more of it: it stands for a day, and says what it is.
        ends_at = ends_at.checked_add(STANDS_FOR).unwrap_or(Timestamp::MAX);
    }
    Standing {
        labels: before.map_or_else(|| labels(briefing, more), |b| b.labels.clone()),
        annotations: annotations(message),
        starts_at: briefing.onset_at.to_string(),
        ends_at: ended.then(|| ends_at.to_string()),
    }
}

/// That another channel does not work, or works again.
fn of_channel(trouble: &Trouble<'_>, more: &[(String, String)]) -> Standing {
    let own = [
        ("alertname", CHANNEL_ALERT_NAME.to_owned()),
        ("receiver", line(trouble.receiver)),
        ("severity", "warning".to_owned()),
    ];
    let mut annotations = BTreeMap::from([("summary".to_owned(), trouble.notice().text())]);
    annotations.insert("description".to_owned(), line(trouble.why));
    annotations.retain(|_, text| !text.is_empty());
    for text in annotations.values_mut() {
        *text = cut(text, ANNOTATION_MAX);
    }
    Standing {
        labels: with_own(own, more),
        annotations,
        starts_at: trouble.since.to_string(),
        ends_at: trouble.over.then(|| trouble.now.to_string()),
    }
}

fn labels(briefing: &Briefing, more: &[(String, String)]) -> BTreeMap<String, String> {
    let own = [
        ("alertname", ALERT_NAME.to_owned()),
        ("service", line(&briefing.service)),
        ("probe", line(&briefing.probes.join(","))),
        ("incident", reference(briefing)),
        ("severity", severity(briefing).to_owned()),
    ];
    with_own(own, more)
}

/// Ours stand in the place of the operator's where they have one name.
fn with_own<const N: usize>(
    own: [(&str, String); N],
    more: &[(String, String)],
) -> BTreeMap<String, String> {
    let own = own.map(|(name, value)| (name.to_owned(), value));
    let mut labels: BTreeMap<String, String> = more
        .iter()
        .cloned()
        .chain(own)
        .map(|(name, value)| (name, cut(&value, LABEL_MAX)))
        .collect();
    // An empty label is none.
    labels.retain(|_, value| !value.is_empty());
    labels
}

fn annotations(message: &Message<'_>) -> BTreeMap<String, String> {
    let briefing = message.briefing;
    let clock = Clock::new(message);
    let mut annotations = vec![
        ("summary", summary(message, &clock)),
        ("description", super::log::text(message)),
    ];
    if message.plain {
        annotations.truncate(1);
    } else {
        let ids: Vec<String> = briefing.reference_ids.iter().map(|id| line(id)).collect();
        let confidence = briefing.cause_known.then(|| percent(briefing.confidence));
        let words = &briefing.words.contact;
        let contact = |text: &Option<String>| text.as_deref().map(line).unwrap_or_default();
        annotations.extend([
            ("host", line(&briefing.subject)),
            ("verdict", briefing.kind.as_str().to_owned()),
            ("confidence", confidence.unwrap_or_default()),
            ("reference_ids", ids.join(", ")),
            ("runbook_url", contact(&words.runbook)),
            ("ring", contact(&words.ring)),
        ]);
    }
    let mut annotations: BTreeMap<String, String> = annotations
        .into_iter()
        .map(|(name, text)| (name.to_owned(), cut(&text, ANNOTATION_MAX)))
        .collect();
    annotations.retain(|_, text| !text.is_empty());
    annotations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_that_waiting_may_mend_goes_first() {
        let error = |class| SendError::new(class, "");
        let order = [
            Class::Transient,
            Class::SlowDown(None),
            Class::Setup,
            Class::Payload,
        ];
        assert!(
            order
                .map(|class| patience(&error(class)))
                .is_sorted_by(|a, b| a < b)
        );
    }
}
