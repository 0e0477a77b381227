//! A Slack and a Teams on loopback: strict about what they take, and failing as told.

mod socket;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::block_kit;
use super::kept;
use super::secrets::TEAMS_SIGNATURE;

pub(crate) use super::secrets::SLACK_TOKEN as TOKEN;
pub(crate) use socket::{APP_TOKEN, Manner, press};

pub(crate) const CHANNEL: &str = "C0123456789";
pub(crate) const MENTION: &str = "<!subteam^S0123>";
const BOT: &str = "B0EDGEWATCH";

/// How one call goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// All is well, this once.
    None,
    /// 429 with this `Retry-After`, nothing taken.
    SlowDown(Option<&'static str>),
    /// Taken, then 500.
    TakenThen500,
    /// Taken, then the line is dropped.
    TakenThenDropped,
    /// Taken, then half an answer.
    TakenThenCut,
    /// Taken, then no answer at all.
    TakenThenHang,
    /// Not taken, no answer at all.
    Hang,
    /// Not taken, this status.
    Status(u16),
    Redirect,
    /// A portal answers 200 with a page.
    Page,
    /// Slack's way to refuse.
    Refused(&'static str),
    /// `{"ok": false}` and nothing more.
    RefusedSilently,
    /// Taken; the answer holds what the typed client would not read.
    TakenStrangely,
}

#[derive(Debug, Clone)]
pub(crate) struct SlackMessage {
    pub(crate) ts: String,
    pub(crate) thread_ts: Option<String>,
    /// As posted, or as edited last.
    pub(crate) body: Value,
    pub(crate) metadata: Value,
    pub(crate) edits: usize,
    pub(crate) broadcast: bool,
}

/// One call as it came, and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// What was posted; nothing for a question.
    pub(crate) body: Value,
    pub(crate) fault: Option<Fault>,
    /// It is there now, whatever was answered.
    pub(crate) taken: bool,
}

#[derive(Default)]
struct State {
    messages: Vec<SlackMessage>,
    cards: Vec<Value>,
    calls: Vec<Call>,
    faults: HashMap<String, VecDeque<Fault>>,
    /// Applies to every call of the method, after the single faults.
    always: HashMap<String, Fault>,
    clock: u64,
    page_size: usize,
    /// Slack: what only one person saw.
    whispers: Vec<Value>,
    groups: HashMap<String, Vec<String>>,
    sockets: socket::Sockets,
}

/// A fake service; the server ends with it.
pub(crate) struct Fake {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
        let Ok(state) = self.state.lock() else { return };
        let shown = |bodies: Vec<&Value>| {
            let lines: Vec<String> = bodies.iter().map(ToString::to_string).collect();
            lines.join("\n")
        };
        let messages = state.messages.iter().flat_map(|m| [&m.body, &m.metadata]);
        kept::keep("slack", shown(messages.chain(&state.whispers).collect()));
        kept::keep("teams", shown(state.cards.iter().collect()));
    }
}

#[derive(Clone, Copy)]
enum Service {
    Slack,
    Teams,
}

impl Fake {
    pub(crate) async fn slack() -> Self {
        Self::start(Service::Slack).await
    }

    pub(crate) async fn teams() -> Self {
        Self::start(Service::Teams).await
    }

    async fn start(service: Service) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            page_size: 100,
            ..State::default()
        }));
        let changed = Arc::new(Notify::new());
        let task = tokio::spawn(serve(
            listener,
            service,
            Arc::clone(&state),
            Arc::clone(&changed),
        ));
        Self {
            address,
            state,
            changed,
            task,
        }
    }

    pub(crate) fn api(&self) -> String {
        format!("http://{}/api", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn webhook(&self) -> String {
        self.webhook_at(self.address)
    }

    /// The same behind another address.
    #[allow(clippy::unused_self, reason = "it is Teams' alone")]
    pub(crate) fn webhook_at(&self, address: SocketAddr) -> String {
        format!(
            "http://{address}/powerautomate/automations/direct/workflows/x/triggers/manual/paths/invoke?api-version=1&sig={TEAMS_SIGNATURE}"
        )
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next call of `method` goes wrong this way; later ones queue up.
    pub(crate) fn fault(&self, method: &str, fault: Fault) {
        self.lock()
            .faults
            .entry(method.into())
            .or_default()
            .push_back(fault);
    }

    /// Every call of `method` goes wrong, until `None`.
    pub(crate) fn always(&self, method: &str, fault: Option<Fault>) {
        match fault {
            Some(fault) => self.lock().always.insert(method.into(), fault),
            None => self.lock().always.remove(method),
        };
    }

    pub(crate) fn small_pages(&self, size: usize) {
        self.lock().page_size = size;
    }

    /// A message of somebody else in the channel.
    pub(crate) fn chatter(&self, metadata: Value) {
        let mut state = self.lock();
        let ts = tick(&mut state);
        state.messages.push(SlackMessage {
            ts,
            thread_ts: None,
            body: json!({ "text": "hello", "bot_id": "B0OTHER" }),
            metadata,
            edits: 0,
            broadcast: false,
        });
    }

    pub(crate) fn delete(&self, ts: &str) {
        self.lock().messages.retain(|m| m.ts != ts);
    }

    pub(crate) fn messages(&self) -> Vec<SlackMessage> {
        self.lock().messages.clone()
    }

    /// Top-level messages of ours.
    pub(crate) fn parents(&self) -> Vec<SlackMessage> {
        let mut messages = self.messages();
        messages
            .retain(|m| m.thread_ts.is_none() && m.metadata["event_type"] == "edgewatch_delivery");
        messages
    }

    pub(crate) fn replies(&self) -> Vec<SlackMessage> {
        let mut messages = self.messages();
        messages.retain(|m| m.thread_ts.is_some());
        messages
    }

    /// What single persons were told, as it was asked for.
    pub(crate) fn whispers(&self) -> Vec<Value> {
        self.lock().whispers.clone()
    }

    pub(crate) fn user_group(&self, id: &str, users: &[&str]) {
        let users = users.iter().map(|u| (*u).to_owned()).collect();
        self.lock().groups.insert(id.to_owned(), users);
    }

    pub(crate) fn cards(&self) -> Vec<Value> {
        self.lock().cards.clone()
    }

    /// Names of the methods called, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        let state = self.lock();
        state.calls.iter().map(|call| call.method.clone()).collect()
    }

    /// Every call so far, in order.
    pub(crate) fn heard(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How many calls there were.
    pub(crate) fn count(&self) -> usize {
        self.lock().calls.len()
    }

    /// Nothing goes wrong any more.
    pub(crate) fn mend(&self) {
        let mut state = self.lock();
        state.faults.clear();
        state.always.clear();
    }

    /// Waits until `done` holds, however long that takes.
    pub(crate) async fn eventually(&self, done: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if done(self) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until `done` holds; fails the test after ten seconds.
    pub(crate) async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(10), self.eventually(done)).await;
        assert!(
            waited.is_ok(),
            "never came: {what}; calls: {:?}",
            self.calls()
        );
    }
}

/// Slack's time stamps are seconds of the present and a counter.
fn tick(state: &mut State) -> String {
    state.clock += 1;
    format!("{}.{:06}", edgewatch::clock::now().as_second(), state.clock)
}

async fn serve(
    listener: TcpListener,
    service: Service,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
) {
    let here = listener.local_addr().unwrap();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let (state, changed) = (Arc::clone(&state), Arc::clone(&changed));
        connections.spawn(async move {
            let answer = service_fn(move |request| {
                let (state, changed) = (Arc::clone(&state), Arc::clone(&changed));
                async move { handle(service, here, request, &state, &changed).await }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .with_upgrades()
                .await;
        });
    }
}

type Answer = Result<Response<Full<Bytes>>, std::io::Error>;

fn respond(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body.into())).unwrap()
}

fn json_answer(value: &Value) -> Response<Full<Bytes>> {
    respond(
        200,
        &[("content-type", "application/json; charset=utf-8")],
        value.to_string(),
    )
}

async fn handle(
    service: Service,
    here: SocketAddr,
    mut request: Request<Incoming>,
    state: &Arc<Mutex<State>>,
    changed: &Arc<Notify>,
) -> Answer {
    let method = match service {
        Service::Slack => request.uri().path().rsplit('/').next().unwrap().to_owned(),
        Service::Teams => "webhook".to_owned(),
    };
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let header = |name: &str| {
        let value = request.headers().get(name).map(|v| v.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    let websocket = header("sec-websocket-key");
    let upgrade = (!websocket.is_empty()).then(|| hyper::upgrade::on(&mut request));
    let header = |name: &str| {
        let value = request.headers().get(name).map(|v| v.to_str().unwrap());
        value.unwrap_or_default().to_owned()
    };
    let (authorization, content_type) = (header("authorization"), header("content-type"));
    let is_post = request.method() == "POST";
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(std::io::Error::other)?
        .to_bytes();
    let (fault, call) = {
        let mut state = state.lock().unwrap();
        let once = state.faults.get_mut(&method).and_then(VecDeque::pop_front);
        let fault = once.or_else(|| state.always.get(&method).copied());
        state.calls.push(Call {
            method: method.clone(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
            fault,
            taken: false,
        });
        (fault, state.calls.len() - 1)
    };
    let take = || {
        let mut state = state.lock().unwrap();
        let answer = match service {
            Service::Slack if method == "apps.connections.open" => {
                if authorization == format!("Bearer {APP_TOKEN}") {
                    json!({ "ok": true, "url": format!("ws://{here}/socket?ticket={}", socket::TICKET) })
                } else {
                    refuse("invalid_auth")
                }
            }
            Service::Slack if authorization != format!("Bearer {TOKEN}") => {
                json!({ "ok": false, "error": "invalid_auth" })
            }
            Service::Slack if is_post && content_type != "application/json; charset=utf-8" => {
                json!({ "ok": false, "error": "invalid_post_type" })
            }
            Service::Slack => slack(&mut state, &method, &query, &body),
            Service::Teams => teams(&mut state, &query, &body),
        };
        state.calls[call].taken = answer["ok"] == true || answer["status"] == 202;
        answer
    };
    if let Some(upgrade) = upgrade
        && fault.is_none()
    {
        assert_eq!(query["ticket"], socket::TICKET);
        let accept =
            tokio_tungstenite::tungstenite::handshake::derive_accept_key(websocket.as_bytes());
        tokio::spawn(socket::serve(
            upgrade,
            Arc::clone(state),
            Arc::clone(changed),
        ));
        let headers = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", accept.as_str()),
        ];
        return Ok(respond(101, &headers, ""));
    }
    let answer = match fault {
        None | Some(Fault::None) => finish(service, &take()),
        Some(Fault::SlowDown(after)) => {
            let headers: Vec<(&str, &str)> =
                after.map(|a| ("retry-after", a)).into_iter().collect();
            respond(
                429,
                &headers,
                json!({ "ok": false, "error": "ratelimited" }).to_string(),
            )
        }
        Some(Fault::TakenThen500) => {
            take();
            respond(500, &[], "oops")
        }
        Some(Fault::TakenThenDropped) => {
            take();
            changed.notify_waiters();
            return Err(std::io::Error::other("dropped"));
        }
        Some(Fault::TakenThenCut) => {
            // Perhaps in the middle of a character.
            let mut answer = take().to_string().into_bytes();
            answer.truncate(answer.len() / 2);
            respond(200, &[("content-type", "application/json")], answer)
        }
        Some(Fault::TakenThenHang) => {
            take();
            changed.notify_waiters();
            std::future::pending::<Infallible>().await;
            unreachable!()
        }
        Some(Fault::Hang) => {
            changed.notify_waiters();
            std::future::pending::<Infallible>().await;
            unreachable!()
        }
        Some(Fault::Status(status)) => respond(status, &[], "no"),
        Some(Fault::Redirect) => respond(302, &[("location", "/login")], ""),
        Some(Fault::Page) => respond(
            200,
            &[("content-type", "text/html")],
            "<html><body>Please sign in</body></html>",
        ),
        Some(Fault::Refused(code)) => json_answer(&json!({ "ok": false, "error": code })),
        Some(Fault::RefusedSilently) => json_answer(&json!({ "ok": false })),
        Some(Fault::TakenStrangely) => {
            let mut answer = take();
            answer["message"] =
                json!({ "metadata": { "event_payload": { "number": 7, "list": [1] } } });
            json_answer(&answer)
        }
    };
    changed.notify_waiters();
    Ok(answer)
}

fn finish(service: Service, answer: &Value) -> Response<Full<Bytes>> {
    match service {
        Service::Slack => json_answer(answer),
        Service::Teams => respond(
            answer["status"].as_u64().unwrap() as u16,
            &[],
            answer["body"].as_str().unwrap_or_default().to_owned(),
        ),
    }
}

fn refuse(code: &str) -> Value {
    json!({ "ok": false, "error": code })
}

fn slack(state: &mut State, method: &str, query: &HashMap<String, String>, body: &[u8]) -> Value {
    match method {
        "auth.test" => json!({ "ok": true, "team": "TIS", "user": "edgewatch", "bot_id": BOT }),
        "chat.postMessage" | "chat.update" => {
            let Ok(body) = serde_json::from_slice::<Value>(body) else {
                return refuse("invalid_json");
            };
            if body["channel"] != CHANNEL {
                return refuse("channel_not_found");
            }
            let problems = block_kit::problems(&body);
            if !problems.is_empty() {
                return json!({ "ok": false, "error": "invalid_blocks", "errors": problems });
            }
            if method == "chat.update" {
                update(state, body)
            } else {
                post(state, body)
            }
        }
        "chat.postEphemeral" => {
            let body: Value = serde_json::from_slice(body).unwrap();
            if body["channel"] != CHANNEL {
                return refuse("channel_not_found");
            }
            let problems = block_kit::problems(&body);
            if !problems.is_empty() {
                return json!({ "ok": false, "error": "invalid_blocks", "errors": problems });
            }
            state.whispers.push(body);
            json!({ "ok": true, "message_ts": "9.9" })
        }
        "usergroups.users.list" => match state.groups.get(&query["usergroup"]) {
            Some(users) => json!({ "ok": true, "users": users }),
            None => refuse("no_such_subteam"),
        },
        "conversations.history" => history(state, query, None),
        "conversations.replies" => history(state, query, Some(&query["ts"])),
        _ => refuse("unknown_method"),
    }
}

fn post(state: &mut State, mut body: Value) -> Value {
    for unwanted in ["link_names", "parse", "username", "as_user"] {
        if body.get(unwanted).is_some() {
            return refuse("invalid_arguments");
        }
    }
    if body["unfurl_links"] != false || body["unfurl_media"] != false {
        return refuse("invalid_arguments");
    }
    let metadata = body["metadata"].take();
    let payload = metadata["event_payload"].as_object();
    if payload.is_none_or(|p| p.values().any(|v| !v.is_string()))
        || metadata.to_string().len() > 1_000
    {
        return refuse("invalid_metadata_schema");
    }
    let thread_ts = body["thread_ts"].as_str().map(ToOwned::to_owned);
    if let Some(thread) = &thread_ts
        && !state.messages.iter().any(|m| m.ts == *thread)
    {
        return refuse("thread_not_found");
    }
    body["bot_id"] = BOT.into();
    let ts = tick(state);
    state.messages.push(SlackMessage {
        ts: ts.clone(),
        thread_ts,
        broadcast: body["reply_broadcast"] == true,
        body: body.clone(),
        metadata,
        edits: 0,
    });
    json!({ "ok": true, "channel": CHANNEL, "ts": ts, "message": body })
}

fn update(state: &mut State, body: Value) -> Value {
    let too_long = body["text"].as_str().unwrap_or_default().chars().count() > 4_000;
    if too_long {
        return refuse("msg_too_long");
    }
    let ts = body["ts"].clone();
    let Some(message) = state.messages.iter_mut().find(|m| ts == *m.ts) else {
        return refuse("message_not_found");
    };
    message.body = body;
    message.edits += 1;
    json!({ "ok": true, "channel": CHANNEL, "ts": ts, "text": "…" })
}

/// Newest first for a channel, oldest first for a thread, as Slack has it.
fn history(state: &State, query: &HashMap<String, String>, thread: Option<&str>) -> Value {
    if query.get("channel").map(String::as_str) != Some(CHANNEL) {
        return refuse("channel_not_found");
    }
    let oldest: f64 = query.get("oldest").map_or(0.0, |o| o.parse().unwrap());
    let mut found: Vec<Value> = state
        .messages
        .iter()
        .filter(|m| match thread {
            Some(thread) => m.ts == thread || m.thread_ts.as_deref() == Some(thread),
            None => m.thread_ts.is_none() || m.broadcast,
        })
        .filter(|m| m.ts.parse::<f64>().unwrap() >= oldest)
        .map(|m| {
            let mut message = json!({ "type": "message", "ts": m.ts, "bot_id": m.body["bot_id"].as_str().unwrap_or(BOT) });
            if query.get("include_all_metadata").is_some_and(|v| v == "true") {
                message["metadata"] = m.metadata.clone();
            }
            message
        })
        .collect();
    if thread.is_none() {
        found.reverse();
    }
    let start: usize = query.get("cursor").map_or(0, |c| c.parse().unwrap());
    let end = (start + state.page_size).min(found.len());
    let next = if end < found.len() {
        end.to_string()
    } else {
        String::new()
    };
    json!({ "ok": true, "messages": found[start..end], "response_metadata": { "next_cursor": next } })
}

static CARD_SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema: Value =
        serde_json::from_str(include_str!("../fixtures/adaptive-card/schema-1.4.json")).unwrap();
    jsonschema::validator_for(&schema).unwrap()
});

/// Every reason why Teams would not show the message; empty when it is good.
pub(crate) fn card_problems(message: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if message["type"] != "message" {
        found.push("the envelope's type is not message".to_owned());
    }
    if message["summary"].as_str().unwrap_or_default().is_empty() {
        found.push("no summary: the toast would say Card".to_owned());
    }
    if message.to_string().len() > 16 << 10 {
        found.push(format!("{} bytes", message.to_string().len()));
    }
    let attachments = message["attachments"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if attachments.len() != 1 {
        found.push(format!("{} attachments", attachments.len()));
    }
    for attachment in attachments {
        if attachment["contentType"] != "application/vnd.microsoft.card.adaptive" {
            found.push("not an adaptive card".to_owned());
        }
        let mut card = attachment["content"].clone();
        if card["version"] != "1.4" {
            found.push("not version 1.4".to_owned());
        }
        // Teams' own extension, which the schema does not know.
        if let Some(extension) = card.as_object_mut().and_then(|c| c.remove("msteams"))
            && extension != json!({ "width": "Full" })
        {
            found.push(format!("msteams: {extension}"));
        }
        found.extend(
            CARD_SCHEMA
                .iter_errors(&card)
                .map(|e| format!("{}: {e}", e.instance_path())),
        );
    }
    found
}

fn teams(state: &mut State, query: &HashMap<String, String>, body: &[u8]) -> Value {
    if query.get("sig").map(String::as_str) != Some(TEAMS_SIGNATURE) {
        return json!({ "status": 401 });
    }
    let Ok(message) = serde_json::from_slice::<Value>(body) else {
        return json!({ "status": 400 });
    };
    let problems = card_problems(&message);
    if !problems.is_empty() {
        return json!({ "status": 413, "body": problems.join("\n") });
    }
    state.cards.push(message);
    json!({ "status": 202 })
}

#[test]
fn the_schema_refuses_what_teams_does_not_show() {
    let message = |element: Value| {
        json!({ "type": "message", "summary": "x", "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": { "type": "AdaptiveCard", "version": "1.4", "body": [element] },
        }] })
    };
    for (name, element, good) in [
        ("text", json!({ "type": "TextBlock", "text": "x" }), true),
        (
            "an element of 1.5",
            json!({ "type": "Table", "rows": [] }),
            false,
        ),
        (
            "a misspelt property",
            json!({ "type": "TextBlock", "text": "x", "wieght": "Bolder" }),
            false,
        ),
        (
            "a fact without a value",
            json!({ "type": "FactSet", "facts": [{ "title": "x" }] }),
            false,
        ),
    ] {
        let problems = card_problems(&message(element));
        assert_eq!(problems.is_empty(), good, "{name}: {problems:?}");
    }
}
