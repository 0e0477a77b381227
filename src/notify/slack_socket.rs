//! Hears the buttons of our messages: Slack's Socket Mode, kept from going deaf.
//!
//! The daemon opens the connection (`apps.connections.open`, then a WebSocket), so nothing has to be
//! reachable from outside. Every step has a time limit, our own pings find a peer that is gone, and no
//! connection gets old: a listener that hangs in a reconnect would look healthy and hear nothing for hours.
//! A click is handed over as a plain value; what it may do is decided by whoever takes it. It is acknowledged once it
//! is kept: one that was acknowledged before would be lost with this process, and the person would think it done.
//! Slack shows a failure after three seconds, and then the person presses again.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header;
use serde_json::{Value, json};
use slack_morphism::{SlackApiToken, SlackApiTokenValue, SlackClient};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{interval, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message as Frame};
use url::Url;

use super::CONNECT_TIMEOUT;
use super::error::{Class, SendError};
use super::slack_connector::Connector;
use super::slack_errors::classify;
use super::slack_message::{ACKNOWLEDGE, END_SILENCE, SILENCE};
use crate::domain::secret::Secret;

/// A click with its message and all its blocks is about 20 KB.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// How long each thing may take, and how often it is tried again; tests shorten it.
#[derive(Debug, Clone)]
pub struct Patience {
    /// For asking where to connect, for connecting, and for the first word of the other side.
    pub step: Duration,
    /// For a click to be judged, and for a word to Slack. It shows a failure when one is not acknowledged within 3 s:
    /// <https://docs.slack.dev/interactivity/handling-user-interaction#acknowledgment_response> (2026-11-22).
    pub acknowledge: Duration,
    /// Between two pings; two without an answer, and the connection is dead.
    pub ping: Duration,
    /// Slack renews connections by itself; one older than this is renewed by us.
    pub age_max: Duration,
    /// A connection that held so long was a good one: back-off begins anew.
    pub settled: Duration,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// Between tries while a person must mend something.
    pub setup: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            step: seconds(10),
            acknowledge: Duration::from_millis(2_500),
            ping: seconds(15),
            age_max: seconds(3_600),
            settled: seconds(60),
            backoff_min: seconds(1),
            backoff_max: seconds(60),
            setup: seconds(600),
        }
    }
}

/// Whether buttons are heard at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hearing {
    /// Not yet, or just renewing.
    Connecting,
    Listening,
    /// Why not.
    Deaf(String),
}

/// Which button.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Button {
    Acknowledge,
    Silence,
    EndSilence,
}

impl Button {
    /// Whether one takes back what the other does, or does it again.
    #[must_use]
    pub fn is_about_the_same(self, other: Self) -> bool {
        (self == Self::Acknowledge) == (other == Self::Acknowledge)
    }
}

/// A button was pressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Click {
    /// Slack's id of the delivery; the same again when it was not sure that we took it.
    pub envelope: String,
    pub button: Button,
    pub incident: u64,
    /// How often the incident had come back when the button was drawn.
    pub episode: u32,
    /// Slack's id of the person (`U0123`), and a name for people.
    pub user: String,
    pub user_name: String,
    /// Slack's id of the channel.
    pub channel: String,
    /// The message's thread, if it stands in one.
    pub thread_ts: Option<String>,
    /// When it was pressed, as Slack tells it; names one press.
    pub pressed: String,
}

/// A click that waits to be judged.
#[derive(Debug)]
pub struct Pressed {
    pub click: Click,
    /// It is kept, or whoever pressed is told why it is not done.
    pub judged: oneshot::Sender<()>,
}

/// Why a connection ended.
enum End {
    /// As Slack does by design; a new one at once.
    Renewed,
    Lost(String),
    /// A person must act.
    Refused(String),
    /// Nobody wants clicks any more.
    Unwanted,
}

/// One app's Socket Mode.
#[derive(Debug)]
pub struct Socket {
    api: SlackClient<Connector>,
    /// Without a time limit for the whole, as a WebSocket has none.
    upgrade: reqwest::Client,
    /// The API is on this host; only then may the socket be unencrypted.
    local: bool,
    token: Secret,
    patience: Patience,
}

impl Socket {
    /// A listener for the app of `token` (`xapp-…`).
    ///
    /// # Errors
    /// [`Class::Setup`] when no HTTP client can be made.
    pub fn new(api: &str, token: Secret, patience: Patience) -> Result<Self, SendError> {
        // The first request made a provider the process's own, or does now.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let upgrade = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(patience.step))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            .build()
            .map_err(|e| {
                SendError::new(Class::Setup, format!("no HTTP client: {}", e.without_url()))
            })?;
        Ok(Self {
            api: SlackClient::new(Connector::new(api, patience.step)?),
            upgrade,
            local: api.starts_with("http://"),
            token,
            patience,
        })
    }

    /// Listens until nobody takes clicks any more; whatever goes wrong, it tries again.
    ///
    /// `hearing` tells how it goes. A click that finds `clicks` full is dropped with a warning.
    pub async fn listen(&self, clicks: &mpsc::Sender<Pressed>, hearing: &watch::Sender<Hearing>) {
        let mut tries = 0_u32;
        loop {
            let end = self.connection(clicks, hearing, &mut tries).await;
            tries = tries.saturating_add(1);
            let (why, most) = match end {
                End::Unwanted => return,
                End::Renewed => {
                    hearing.send_replace(Hearing::Connecting);
                    // Also a server that renews for ever must not be hammered.
                    (None, self.patience.backoff_min)
                }
                End::Lost(why) => (Some(why), self.backoff(tries)),
                End::Refused(why) => (Some(why), self.patience.setup),
            };
            if let Some(why) = why {
                tell_deaf(hearing, why);
            }
            // Full jitter, so that many daemons do not come back at the same moment.
            let wait = most.mul_f64(fastrand::f64());
            tokio::select! {
                () = sleep(wait) => {}
                () = clicks.closed() => return,
            }
        }
    }

    fn backoff(&self, tries: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(tries.saturating_sub(1));
        let wait = self.patience.backoff_min.saturating_mul(doubled);
        wait.min(self.patience.backoff_max)
    }

    /// One connection from its opening to its end.
    async fn connection(
        &self,
        clicks: &mpsc::Sender<Pressed>,
        hearing: &watch::Sender<Hearing>,
        tries: &mut u32,
    ) -> End {
        let mut socket = match self.open().await {
            Ok(socket) => socket,
            Err(end) => return end,
        };
        let hello = match timeout(self.patience.step, hello(&mut socket)).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(end)) => return end,
            Err(_) => return End::Lost("Slack took the connection and said nothing".to_owned()),
        };
        if !matches!(*hearing.borrow(), Hearing::Listening) {
            tracing::info!("Slack's buttons are heard");
        }
        hearing.send_replace(Hearing::Listening);
        let age = self.age_max(&hello);
        let end = self.converse(&mut socket, clicks, age, tries).await;
        // The other side may be gone; closing is a courtesy.
        let _ = timeout(self.patience.acknowledge, socket.close(None)).await;
        end
    }

    /// Slack says how long it means to keep a connection; a little later it is renewed by us.
    fn age_max(&self, hello: &Value) -> Duration {
        let said = hello["debug_info"]["approximate_connection_time"].as_u64();
        said.map_or(self.patience.age_max, |seconds| {
            Duration::from_secs(seconds.saturating_add(300)).min(self.patience.age_max)
        })
    }

    async fn converse(
        &self,
        socket: &mut Stream,
        clicks: &mpsc::Sender<Pressed>,
        age_max: Duration,
        tries: &mut u32,
    ) -> End {
        let (old, settled) = (sleep(age_max), sleep(self.patience.settled));
        tokio::pin!(old, settled);
        let mut ping = interval(self.patience.ping);
        ping.tick().await;
        let (mut unanswered, mut is_settled) = (0, false);
        loop {
            tokio::select! {
                frame = socket.next() => {
                    unanswered = 0;
                    let frame = match frame {
                        Some(Ok(Frame::Text(text))) => text,
                        Some(Ok(Frame::Close(_))) | None => return End::Lost("Slack closed the connection".to_owned()),
                        // A ping has been answered by now, or is with the next write.
                        Some(Ok(_)) => {
                            if timeout(self.patience.acknowledge, socket.flush()).await.is_err() {
                                return End::Lost("the connection to Slack takes nothing".to_owned());
                            }
                            continue;
                        }
                        Some(Err(_)) => return End::Lost("the connection to Slack broke off".to_owned()),
                    };
                    if let Some(end) = self.take(socket, &frame, clicks).await {
                        return end;
                    }
                }
                _ = ping.tick() => {
                    if unanswered >= 2 {
                        return End::Lost("Slack does not answer any more".to_owned());
                    }
                    unanswered += 1;
                    let sent = timeout(self.patience.acknowledge, socket.send(Frame::Ping(Bytes::new()))).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        return End::Lost("the connection to Slack takes nothing".to_owned());
                    }
                }
                () = &mut settled, if !is_settled => {
                    is_settled = true;
                    *tries = 0;
                }
                () = &mut old => return End::Renewed,
                () = clicks.closed() => return End::Unwanted,
            }
        }
    }

    /// Hands a click over and acknowledges its envelope once it is judged; returns why the connection ends, if it does.
    async fn take(
        &self,
        socket: &mut Stream,
        text: &str,
        clicks: &mpsc::Sender<Pressed>,
    ) -> Option<End> {
        // What is no JSON is not for us; Slack sends nothing of the kind.
        let envelope: Value = serde_json::from_str(text).ok()?;
        if envelope["type"] == "disconnect" {
            return Some(disconnected(&envelope));
        }
        if let Some(click) = click(&envelope) {
            let (judged, judgement) = oneshot::channel();
            if clicks.try_send(Pressed { click, judged }).is_err() {
                tracing::warn!("a click in Slack is dropped: too many wait");
                return None;
            }
            // Not in time, Slack shows a failure; what becomes of it is told by an answer all the same.
            let waited = timeout(self.patience.acknowledge, judgement).await;
            if !matches!(waited, Ok(Ok(()))) {
                return None;
            }
        }
        let id = envelope["envelope_id"].as_str()?;
        let answer = Frame::text(json!({ "envelope_id": id }).to_string());
        let sent = timeout(self.patience.acknowledge, socket.send(answer)).await;
        (!matches!(sent, Ok(Ok(()))))
            .then(|| End::Lost("a click could not be acknowledged to Slack".to_owned()))
    }

    async fn open(&self) -> Result<Stream, End> {
        let token = SlackApiToken::new(SlackApiTokenValue(self.token.expose().to_owned()));
        let session = self.api.open_session(&token);
        let nothing = json!({});
        let asked =
            session
                .http_session_api
                .http_post::<_, Value>("apps.connections.open", &nothing, None);
        let answer = asked.await.map_err(|e| {
            let error = classify(&e);
            let text = format!("the app token: {error}");
            match error.class {
                Class::Setup => End::Refused(text),
                _ => End::Lost(text),
            }
        })?;
        let url = self.socket_url(answer["url"].as_str().unwrap_or_default())?;
        match timeout(self.patience.step, self.shake_hands(url)).await {
            Ok(socket) => socket,
            Err(_) => Err(End::Lost(
                "Slack did not open the WebSocket in time".to_owned(),
            )),
        }
    }

    /// The address as an HTTP client takes it; it holds a ticket, so it is shown nowhere.
    fn socket_url(&self, text: &str) -> Result<Url, End> {
        let http = match text.split_once("://") {
            Some(("wss", rest)) => format!("https://{rest}"),
            Some(("ws", rest)) if self.local => format!("http://{rest}"),
            _ => String::new(),
        };
        Url::parse(&http)
            .map_err(|_| End::Lost("Slack named no WebSocket to connect to".to_owned()))
    }

    /// The WebSocket handshake over the HTTP client, so that proxies and roots are those of all other requests.
    async fn shake_hands(&self, url: Url) -> Result<Stream, End> {
        let lost = |why: &str| End::Lost(why.to_owned());
        let key = generate_key();
        let answer = self
            .upgrade
            .get(url)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key)
            .send()
            .await
            .map_err(|_| lost("no connection to Slack's WebSocket"))?;
        let accepted = answer
            .headers()
            .get(header::SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|accept| {
                accept.as_bytes() == derive_accept_key(key.as_bytes()).as_bytes()
            });
        if answer.status().as_u16() != 101 || !accepted {
            let status = answer.status().as_u16();
            return Err(End::Lost(format!(
                "Slack did not open the WebSocket: HTTP {status}"
            )));
        }
        let raw = answer
            .upgrade()
            .await
            .map_err(|_| lost("Slack did not open the WebSocket"))?;
        let bounds = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        Ok(WebSocketStream::from_raw_socket(raw, Role::Client, Some(bounds)).await)
    }
}

type Stream = WebSocketStream<reqwest::Upgraded>;

/// Waits for Slack's first word.
async fn hello(socket: &mut Stream) -> Result<Value, End> {
    while let Some(Ok(frame)) = socket.next().await {
        let Frame::Text(text) = frame else { continue };
        let Ok(value) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        match value["type"].as_str() {
            Some("hello") => return Ok(value),
            Some("disconnect") => return Err(disconnected(&value)),
            _ => {}
        }
    }
    Err(End::Lost(
        "Slack closed the connection before it began".to_owned(),
    ))
}

/// `warning` and `refresh_requested` come with every renewal: <https://docs.slack.dev/apis/events-api/using-socket-mode#disconnect> (2026-11-22).
fn disconnected(envelope: &Value) -> End {
    match envelope["reason"].as_str() {
        Some("link_disabled") => {
            End::Refused("Socket Mode is switched off in the Slack app".to_owned())
        }
        _ => End::Renewed,
    }
}

/// Logs a trouble when it begins, not with every try.
fn tell_deaf(hearing: &watch::Sender<Hearing>, why: String) {
    let known = matches!(&*hearing.borrow(), Hearing::Deaf(before) if *before == why);
    if !known {
        tracing::warn!("Slack's buttons are not heard at present: {why}");
        hearing.send_replace(Hearing::Deaf(why));
    }
}

/// Reads a click on one of our buttons; anything else is none of ours.
fn click(envelope: &Value) -> Option<Click> {
    let payload = &envelope["payload"];
    if payload["type"] != "block_actions" {
        return None;
    }
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let action = payload["actions"].as_array()?.first()?;
    let button = match action["action_id"].as_str()? {
        ACKNOWLEDGE => Button::Acknowledge,
        SILENCE => Button::Silence,
        END_SILENCE => Button::EndSilence,
        _ => return None,
    };
    let (incident, episode) = action["value"].as_str()?.split_once('.')?;
    let user = &payload["user"];
    let id = text(&user["id"])?;
    let container = &payload["container"];
    Some(Click {
        envelope: text(&envelope["envelope_id"])?,
        button,
        incident: incident.parse().ok()?,
        episode: episode.parse().ok()?,
        user_name: [&user["username"], &user["name"]]
            .into_iter()
            .find_map(text)
            .unwrap_or_else(|| id.clone()),
        user: id,
        channel: [&payload["channel"]["id"], &container["channel_id"]]
            .into_iter()
            .find_map(text)?,
        thread_ts: text(&container["thread_ts"]),
        pressed: text(&action["action_ts"]).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(action: &str, value: &str) -> Value {
        json!({
            "type": "interactive", "envelope_id": "e1",
            "payload": {
                "type": "block_actions",
                "user": { "id": "U0ANN", "username": "ann" },
                "channel": { "id": "C0123456789" },
                "container": { "message_ts": "1.2" },
                "actions": [{ "action_id": action, "value": value, "action_ts": "3.4" }],
            },
        })
    }

    #[test]
    fn only_our_buttons_are_read() {
        let click = click(&envelope(SILENCE, "42.1")).unwrap();
        assert_eq!(
            click,
            Click {
                envelope: "e1".into(),
                button: Button::Silence,
                incident: 42,
                episode: 1,
                user: "U0ANN".into(),
                user_name: "ann".into(),
                channel: "C0123456789".into(),
                thread_ts: None,
                pressed: "3.4".into(),
            }
        );
        for (action, value) in [
            ("other_app", "42.1"),
            (ACKNOWLEDGE, "42"),
            (ACKNOWLEDGE, "x.y"),
            (ACKNOWLEDGE, "-1.0"),
            (ACKNOWLEDGE, ""),
        ] {
            assert_eq!(
                super::click(&envelope(action, value)),
                None,
                "{action} {value}"
            );
        }
    }
}
