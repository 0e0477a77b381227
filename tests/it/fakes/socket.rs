//! Slack's side of Socket Mode: hello, envelopes, acknowledgements, and every way to fall silent.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{CHANNEL, Fake, State};

pub(crate) use crate::secrets::SLACK_APP_TOKEN as APP_TOKEN;
pub(super) use crate::secrets::SLACK_TICKET as TICKET;

/// How a connection behaves that is opened from now on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    #[default]
    Good,
    /// Takes the connection and never says hello.
    NoHello,
    /// Says hello, then neither reads nor answers pings.
    Silent,
}

/// What a test asks of the open connections.
#[derive(Debug, Clone)]
pub(super) enum Order {
    Send(Value),
    Close,
}

#[derive(Default)]
pub(super) struct Sockets {
    /// All there ever were; a test speaks to the newest.
    open: Vec<mpsc::UnboundedSender<Order>>,
    acknowledged: Vec<String>,
    manner: Manner,
}

impl Fake {
    /// Connections so far that got as far as the WebSocket.
    pub(crate) fn sockets(&self) -> usize {
        self.lock().sockets.open.len()
    }

    /// Ids of envelopes that were acknowledged, in order.
    pub(crate) fn acknowledged(&self) -> Vec<String> {
        self.lock().sockets.acknowledged.clone()
    }

    pub(crate) fn manner(&self, manner: Manner) {
        self.lock().sockets.manner = manner;
    }

    /// Sends to the newest connection.
    pub(crate) fn push(&self, envelope: Value) {
        let state = self.lock();
        let newest = state.sockets.open.last().expect("a connection");
        newest.send(Order::Send(envelope)).expect("it is open");
    }

    pub(crate) fn close_socket(&self) {
        let state = self.lock();
        let newest = state.sockets.open.last().expect("a connection");
        newest.send(Order::Close).expect("it is open");
    }
}

/// Somebody presses a button that stands in a message of ours.
pub(crate) fn press(envelope: &str, button: &Value, user: &str, pressed: &str) -> Value {
    json!({
        "type": "interactive", "envelope_id": envelope, "accepts_response_payload": false,
        "payload": {
            "type": "block_actions",
            "user": { "id": user, "username": user.to_lowercase(), "team_id": "T0" },
            "channel": { "id": CHANNEL, "name": "alerts" },
            "container": { "type": "message", "message_ts": "1.1", "channel_id": CHANNEL, "is_ephemeral": false },
            "actions": [{ "type": "button", "block_id": "x", "action_id": button["action_id"], "value": button["value"], "action_ts": pressed }],
        },
    })
}

pub(super) async fn serve(
    upgrade: hyper::upgrade::OnUpgrade,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
) {
    let Ok(upgraded) = upgrade.await else { return };
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    let (orders, mut wanted) = mpsc::unbounded_channel();
    let manner = state.lock().unwrap().sockets.manner;
    if manner != Manner::NoHello {
        let hello = json!({ "type": "hello", "num_connections": 1, "debug_info": { "approximate_connection_time": 18_060 } });
        if socket.send(Message::text(hello.to_string())).await.is_err() {
            return;
        }
    }
    state.lock().unwrap().sockets.open.push(orders);
    changed.notify_waiters();
    if manner != Manner::Good {
        // Holds the line and does nothing with it.
        std::future::pending::<()>().await;
    }
    loop {
        tokio::select! {
            order = wanted.recv() => {
                let done = match order {
                    Some(Order::Send(value)) => socket.send(Message::text(value.to_string())).await.is_err(),
                    Some(Order::Close) | None => true,
                };
                if done {
                    let _ = socket.close(None).await;
                    return;
                }
            }
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) => {
                    let answer: Value = serde_json::from_str(&text).unwrap();
                    let id = answer["envelope_id"].as_str().unwrap().to_owned();
                    state.lock().unwrap().sockets.acknowledged.push(id);
                    changed.notify_waiters();
                }
                Some(Ok(_)) => { let _ = socket.flush().await; }
                _ => return,
            },
        }
    }
}
