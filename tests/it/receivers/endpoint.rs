//! An HTTP service on loopback that takes what its rule accepts, and fails as told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;

use crate::fakes::Fault;
use crate::kept;
use crate::server::{Connection, Reply, Seen, Server};

/// Says what a request deserves; 2xx takes it.
type Rule = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

#[derive(Default)]
struct State {
    calls: usize,
    taken: Vec<Seen>,
    faults: VecDeque<Fault>,
    /// Applies to every call after the single faults.
    always: Option<Fault>,
}

pub(crate) struct Endpoint {
    server: Server,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let Ok(state) = self.state.lock() else { return };
        for seen in &state.taken {
            let mut body = serde_json::from_slice(&seen.body).unwrap_or(Value::Null);
            // PagerDuty has it here, where others have a header.
            if let Some(event) = body.as_object_mut() {
                event.remove("routing_key");
            }
            kept::keep("endpoint", body.to_string());
        }
    }
}

impl Endpoint {
    pub(crate) async fn start(rule: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let (rule, state, changed) = parts(rule);
        let shared = (Arc::clone(&state), Arc::clone(&changed));
        let server = Server::raw(move |connection| {
            serve(
                connection,
                Arc::clone(&rule),
                shared.0.clone(),
                shared.1.clone(),
            )
        })
        .await;
        Self {
            server,
            state,
            changed,
        }
    }

    pub(crate) async fn start_tls(
        tls: Arc<rustls::ServerConfig>,
        rule: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let (rule, state, changed) = parts(rule);
        let shared = (Arc::clone(&state), Arc::clone(&changed));
        let server = Server::raw_tls(tls, move |connection| {
            serve(
                connection,
                Arc::clone(&rule),
                shared.0.clone(),
                shared.1.clone(),
            )
        })
        .await;
        Self {
            server,
            state,
            changed,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.server.url(path)
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.address.port()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next call goes wrong this way; later ones queue up.
    pub(crate) fn fault(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    /// Every call goes wrong, until `None`.
    pub(crate) fn always(&self, fault: Option<Fault>) {
        self.lock().always = fault;
    }

    pub(crate) fn calls(&self) -> usize {
        self.lock().calls
    }

    /// What was taken, in order of arrival, whatever was answered then.
    pub(crate) fn taken(&self) -> Vec<Seen> {
        self.lock().taken.clone()
    }

    /// The bodies of what was taken.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        let parse = |seen: &Seen| serde_json::from_slice(&seen.body).unwrap();
        self.taken().iter().map(parse).collect()
    }

    /// Waits until `done` holds; fails the test after ten seconds.
    pub(crate) async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if done(self) {
                    return;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        assert!(waited.is_ok(), "never came: {what}; {} calls", self.calls());
    }
}

fn parts(
    rule: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Rule, Arc<Mutex<State>>, Arc<Notify>) {
    (Arc::new(rule), Arc::default(), Arc::default())
}

async fn serve(
    mut connection: Connection,
    rule: Rule,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
) {
    let Some(seen) = connection.request().await else {
        return;
    };
    let take = || {
        let reply = rule(&seen);
        if (200..300).contains(&reply.status) {
            state.lock().unwrap().taken.push(seen.clone());
        }
        reply
    };
    let fault = {
        let mut state = state.lock().unwrap();
        state.calls += 1;
        state.faults.pop_front().or(state.always)
    };
    let reply = match fault.unwrap_or(Fault::None) {
        Fault::None => take(),
        Fault::SlowDown(after) => {
            let reply = Reply::new(429).body("slow down");
            match after {
                Some(after) => reply.header("Retry-After", after),
                None => reply,
            }
        }
        Fault::TakenThen500 => {
            take();
            Reply::new(500).body("oops")
        }
        Fault::TakenThenDropped => {
            take();
            changed.notify_waiters();
            return connection.reset();
        }
        Fault::TakenThenCut => {
            let reply = take();
            changed.notify_waiters();
            let head = format!(
                "HTTP/1.1 {} Reason\r\nContent-Length: 100\r\n\r\n{{\"status\": \"suc",
                reply.status
            );
            connection.send(head).await;
            return connection.reset();
        }
        Fault::TakenThenHang => {
            take();
            changed.notify_waiters();
            return connection.hold().await;
        }
        Fault::Hang => {
            changed.notify_waiters();
            return connection.hold().await;
        }
        Fault::Status(status) => Reply::new(status).body("no"),
        Fault::Redirect => Reply::new(302).header("Location", "/login"),
        Fault::Page => Reply::new(200)
            .header("Content-Type", "text/html")
            .body("<!DOCTYPE html><title>Please sign in</title>"),
        other => panic!("{other:?} is Slack's alone"),
    };
    let mut bytes = format!(
        "HTTP/1.1 {} Reason\r\nConnection: close\r\nContent-Length: {}\r\n",
        reply.status,
        reply.body.len()
    )
    .into_bytes();
    for (name, value) in &reply.headers {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(&reply.body);
    connection.send(bytes).await;
    changed.notify_waiters();
    connection.finish().await;
}
