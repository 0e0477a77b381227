//! A gate before a receiver: lets calls through, and stops one of them where it was told to.
//!
//! Whatever comes after the stopped call is held too, so that the receivers see nothing more of a life that
//! is about to end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// The door whose calls are told apart by their method.
pub(crate) const SLACK: &str = "Slack";

/// Asked for by a receiver that slows us down: longer than a test takes, so that nothing is tried before a
/// test says that the time is over.
pub(crate) const ASKED: Duration = Duration::from_secs(600);

/// Where a call stands when the daemon is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It left; the receiver has not read it.
    Unread,
    /// The receiver took it and has not answered.
    Unanswered,
    /// Half of the answer is there.
    HalfAnswered,
    /// The answer is there in full, and the store can't be written.
    Unmarked,
    /// The receiver asked for less (429), and the retry is on the disk.
    SlowedDown,
    /// The receiver took it and said that it failed (500), and the retry is on the disk.
    Failed,
}

impl Stop {
    /// The life goes on until the store has the retry.
    pub(crate) fn waits_for_the_store(self) -> bool {
        matches!(self, Self::SlowedDown | Self::Failed)
    }

    /// The receiver has it, and the store does not know.
    pub(crate) fn taken(self) -> bool {
        !matches!(self, Self::Unread | Self::SlowedDown)
    }
}

/// A kill to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kill {
    /// At the so many-th call since the last kill, from 1.
    pub(crate) nth: usize,
    /// Only calls whose name begins so are counted.
    pub(crate) of: &'static str,
    pub(crate) stop: Stop,
}

impl Kill {
    pub(crate) fn nth(nth: usize, stop: Stop) -> Self {
        Self { nth, of: "", stop }
    }

    /// At the first call of this name.
    pub(crate) fn at(of: &'static str, stop: Stop) -> Self {
        Self { nth: 1, of, stop }
    }
}

/// One call and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) life: usize,
    pub(crate) name: String,
    pub(crate) fate: &'static str,
    /// The kill that struck here.
    pub(crate) kill: Option<Kill>,
}

/// All calls of an episode, over its lives and gates, and the kills to come.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    state: Mutex<State>,
    changed: Notify,
    store: PathBuf,
}

#[derive(Debug, Default)]
struct State {
    life: usize,
    kills: Vec<Kill>,
    /// Kills whose call came.
    reached: usize,
    /// Calls since the last kill, and those of them that count for the next.
    since: usize,
    counted: usize,
    calls: Vec<Call>,
    /// Nothing goes through any more.
    shut: bool,
    /// Holds the store's write lock.
    lock: Option<Connection>,
}

impl Tally {
    pub(crate) fn new(store: PathBuf, kills: &[Kill]) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                kills: kills.to_vec(),
                ..State::default()
            }),
            changed: Notify::new(),
            store,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A new life; what the last one held is free.
    pub(crate) fn begin_life(&self) -> usize {
        let mut state = self.lock();
        state.shut = false;
        state.lock = None;
        state.life += 1;
        state.life
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    pub(crate) fn since_kill(&self) -> usize {
        self.lock().since
    }

    pub(crate) fn reached(&self) -> usize {
        self.lock().reached
    }

    /// The stop that was reached in this life and waits for the store.
    pub(crate) fn waiting(&self) -> bool {
        let state = self.lock();
        let last = state
            .calls
            .iter()
            .rev()
            .find_map(|c| Some((c.life, c.kill?)));
        last.is_some_and(|(life, kill)| life == state.life && kill.stop.waits_for_the_store())
    }

    /// Waits until the life is to end at a call.
    pub(crate) async fn shut(&self) {
        self.until(|state| state.shut).await;
    }

    /// Waits for a call of this life.
    pub(crate) async fn called(&self, name: &str) {
        self.until(|state| {
            let mut calls = state.calls.iter();
            calls.any(|call| call.life == state.life && call.name.starts_with(name))
        })
        .await;
    }

    async fn until(&self, done: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if done(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Notes a call: its place, and how it is to be stopped; `None` when nothing goes through any more.
    fn came(&self, name: String) -> Option<(usize, Option<Stop>)> {
        let mut state = self.lock();
        if state.shut {
            return None;
        }
        state.since += 1;
        let next = state.kills.get(state.reached).copied();
        state.counted += usize::from(next.is_some_and(|kill| name.starts_with(kill.of)));
        let kill = next.filter(|kill| kill.nth == state.counted && name.starts_with(kill.of));
        if kill.is_some() {
            state.reached += 1;
            (state.since, state.counted) = (0, 0);
        }
        let life = state.life;
        state.calls.push(Call {
            life,
            name,
            fate: "came",
            kill,
        });
        let place = state.calls.len() - 1;
        drop(state);
        self.changed.notify_waiters();
        Some((place, kill.map(|kill| kill.stop)))
    }

    /// The next kill strikes a call before it is read, so nothing is known of it but its door.
    fn stops_unread(&self) -> bool {
        let state = self.lock();
        let next = state.kills.get(state.reached);
        next.is_some_and(|kill| kill.stop == Stop::Unread)
    }

    /// Lets everything through again, and the store be written.
    pub(crate) fn open(&self) {
        let mut state = self.lock();
        state.shut = false;
        state.lock = None;
    }

    fn fate(&self, place: usize, fate: &'static str) {
        self.lock().calls[place].fate = fate;
        self.changed.notify_waiters();
    }

    fn end(&self, place: usize, fate: &'static str, lock: Option<Connection>) {
        let mut state = self.lock();
        state.calls[place].fate = fate;
        state.shut = true;
        state.lock = lock;
        drop(state);
        self.changed.notify_waiters();
    }
}

/// Takes the store's write lock, as a backup or a person with a shell would.
pub(crate) async fn hold(store: PathBuf) -> Connection {
    tokio::task::spawn_blocking(move || {
        let connection = Connection::open(store).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection
    })
    .await
    .unwrap()
}

/// Listens before one receiver for one life; what it holds ends with it.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    /// `door` names it; calls of [`SLACK`] have the names of its methods.
    pub(crate) async fn before(
        door: &'static str,
        receiver: SocketAddr,
        tally: &Arc<Tally>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tally = Arc::clone(tally);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(pass(stream, door, receiver, Arc::clone(&tally)));
            }
        });
        Self { address, task }
    }
}

/// One connection carries one call.
async fn pass(
    mut daemon: TcpStream,
    door: &'static str,
    receiver: SocketAddr,
    tally: Arc<Tally>,
) -> Option<()> {
    let (mut request, head) = read_head(&mut daemon).await?;
    let text = String::from_utf8(request[..head].to_vec()).unwrap();
    let name = match door {
        SLACK => path(&text),
        _ => door.to_owned(),
    };
    if tally.stops_unread() {
        let Some((place, stop)) = tally.came(name.clone()) else {
            return drain(&mut daemon).await;
        };
        if stop == Some(Stop::Unread) {
            tally.end(place, "left and was not read: killed", None);
            return drain(&mut daemon).await;
        }
        read_body(&mut daemon, &mut request, head + length(&text)).await?;
        return answer(daemon, receiver, tally, &request, head, place, stop).await;
    }
    read_body(&mut daemon, &mut request, head + length(&text)).await?;
    let kind = kind(&request[head..]).map_or(String::new(), |kind| format!(" ({kind})"));
    let Some((place, stop)) = tally.came(format!("{name}{kind}")) else {
        return drain(&mut daemon).await;
    };
    answer(daemon, receiver, tally, &request, head, place, stop).await
}

async fn answer(
    mut daemon: TcpStream,
    receiver: SocketAddr,
    tally: Arc<Tally>,
    request: &[u8],
    head: usize,
    place: usize,
    stop: Option<Stop>,
) -> Option<()> {
    let asked = ASKED.as_secs();
    if stop == Some(Stop::SlowedDown) {
        let answer = format!(
            "HTTP/1.1 429 Slow\r\nRetry-After: {asked}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        return answered(&mut daemon, answer.as_bytes(), || {
            tally.fate(place, "was answered 429");
        })
        .await;
    }
    let answer = forward(receiver, request, head).await?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    match stop {
        None => answered(&mut daemon, &answer, || tally.fate(place, "was answered")).await,
        Some(Stop::Failed) => {
            let answer = format!(
                "HTTP/1.1 500 Oops\r\nRetry-After: {asked}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            );
            answered(&mut daemon, answer.as_bytes(), || {
                tally.fate(place, "was taken and answered 500");
            })
            .await
        }
        Some(Stop::HalfAnswered) => {
            let body = answer.len() - end;
            let half = if body == 0 { end / 2 } else { end + body / 2 };
            daemon.write_all(&answer[..half]).await.ok()?;
            daemon.flush().await.ok()?;
            tally.end(place, "was taken and half answered: killed", None);
            drain(&mut daemon).await
        }
        Some(Stop::Unmarked) => {
            let lock = hold(tally.store.clone()).await;
            answered(&mut daemon, &answer, || {}).await;
            tally.end(
                place,
                "was answered, and could not be marked: killed",
                Some(lock),
            );
            Some(())
        }
        Some(_) => {
            tally.end(place, "was taken and not answered: killed", None);
            drain(&mut daemon).await
        }
    }
}

/// Writes the whole answer and waits until the daemon has read it: it leaves then.
async fn answered(daemon: &mut TcpStream, answer: &[u8], done: impl FnOnce()) -> Option<()> {
    done();
    daemon.write_all(answer).await.ok()?;
    daemon.shutdown().await.ok()?;
    drain(daemon).await
}

/// Reads until the daemon leaves, or is no more.
async fn drain(daemon: &mut TcpStream) -> Option<()> {
    let mut sink = [0; 4096];
    while daemon.read(&mut sink).await.ok()? > 0 {}
    Some(())
}

async fn read_body(daemon: &mut TcpStream, request: &mut Vec<u8>, end: usize) -> Option<()> {
    while request.len() < end {
        if daemon.read_buf(request).await.ok()? == 0 {
            return None;
        }
    }
    Some(())
}

/// What came so far, and where the head ends in it.
async fn read_head(daemon: &mut TcpStream) -> Option<(Vec<u8>, usize)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            return Some((bytes, at + 4));
        }
        if daemon.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths
        .next()
        .map_or(0, |(_, value)| value.trim().parse().unwrap())
}

/// The last part of the path, without a query: that may hold a secret.
fn path(head: &str) -> String {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// What kind of message it is.
fn kind(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let word = |key: &str| body[key].as_str();
    let kind = match (word("event_action"), word("type"), word("summary")) {
        (Some(action), _, _) => action,
        (_, Some(event), _) if event.contains('.') => event,
        (_, _, Some(summary)) => summary.split(':').next()?,
        _ if body["reply_broadcast"] == true => "broadcast",
        _ if body["thread_ts"].is_string() => "reply",
        _ => "parent",
    };
    Some(kind.to_owned())
}

/// Hands the request to the receiver, which is to close the line after its answer; the whole answer.
async fn forward(receiver: SocketAddr, request: &[u8], head: usize) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(receiver).await.ok()?;
    let line = request.windows(2).position(|w| w == b"\r\n")? + 2;
    stream.write_all(&request[..line]).await.ok()?;
    stream.write_all(b"connection: close\r\n").await.ok()?;
    stream.write_all(&request[line..head]).await.ok()?;
    stream.write_all(&request[head..]).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    Some(answer)
}
