//! A mail server on loopback: STARTTLS or TLS from the first byte, a login, and failures as told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::server::certificates::{Authority, Identity};
use crate::server::{Connection, Server, Stream};

pub(crate) use crate::secrets::{MAIL_PASSWORD as PASSWORD, MAIL_USER as USER};

/// How one conversation goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum MailFault {
    /// In place of the greeting, and no more.
    Greeting(&'static str),
    /// Connected, and silent.
    Silence,
    NoStartTls,
    NoLogin,
    /// To the login.
    Login(&'static str),
    /// To MAIL FROM.
    Sender(&'static str),
    /// To RCPT TO of an address that contains this.
    Recipient(&'static str, &'static str),
    /// To DATA.
    Data(&'static str),
    /// To the text; not taken.
    Verdict(&'static str),
    /// The text is taken, then the line is dropped.
    TakenThenDropped,
    /// The text is taken, then nothing more is said.
    TakenThenHang,
    /// The line is dropped after DATA, nothing taken.
    DroppedAfterData,
}

/// A mail that was taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
    pub(crate) encrypted: bool,
    pub(crate) user: Option<String>,
}

impl Taken {
    /// The value of a header, unfolded and as it stands.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = self.text.split("\r\n\r\n").next().unwrap();
        let head = head.replace("\r\n ", " ");
        let mut lines = head.lines();
        let prefix = format!("{name}: ");
        lines.find_map(|line| line.strip_prefix(&prefix).map(ToOwned::to_owned))
    }
}

#[derive(Default)]
struct State {
    conversations: usize,
    /// What clients said, whatever became of it.
    said: Vec<String>,
    taken: Vec<Taken>,
    faults: VecDeque<MailFault>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    StartTls,
    Implicit,
    Plain,
}

pub(crate) struct MailServer {
    server: Server,
    authority: Authority,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let Ok(state) = self.state.lock() else { return };
        for mail in &state.taken {
            crate::kept::keep("mail", &mail.text);
        }
    }
}

impl MailServer {
    pub(crate) async fn start(kind: Kind) -> Self {
        let authority = Authority::new();
        let identity = authority.issue(&["localhost", "127.0.0.1"]);
        Self::start_as(kind, authority, &identity).await
    }

    pub(crate) async fn start_as(kind: Kind, authority: Authority, identity: &Identity) -> Self {
        let tls = identity.tls_with(rustls::ALL_VERSIONS, &[]);
        let state: Arc<Mutex<State>> = Arc::default();
        let changed: Arc<Notify> = Arc::default();
        let shared = (Arc::clone(&state), Arc::clone(&changed));
        let script = {
            let tls = TlsAcceptor::from(Arc::clone(&tls));
            move |connection: Connection| {
                let upgrade = (kind == Kind::StartTls).then(|| tls.clone());
                let session = Session {
                    state: Arc::clone(&shared.0),
                    changed: Arc::clone(&shared.1),
                    encrypted: kind == Kind::Implicit,
                };
                session.run(connection, upgrade)
            }
        };
        let server = match kind {
            Kind::Implicit => Server::raw_tls(tls, script).await,
            _ => Server::raw(script).await,
        };
        Self {
            server,
            authority,
            state,
            changed,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.address.port()
    }

    /// The root that signed its certificate.
    pub(crate) fn root(&self) -> String {
        self.authority.pem()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next conversation goes wrong this way; later ones queue up.
    pub(crate) fn fault(&self, fault: MailFault) {
        self.lock().faults.push_back(fault);
    }

    pub(crate) fn conversations(&self) -> usize {
        self.lock().conversations
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.lock().taken.clone()
    }

    /// Every line that a client said, in order.
    pub(crate) fn said(&self) -> Vec<String> {
        self.lock().said.clone()
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
        assert!(
            waited.is_ok(),
            "never came: {what}; said: {:?}",
            self.said()
        );
    }
}

struct Session {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    encrypted: bool,
}

type Line = BufReader<Box<dyn Stream>>;

impl Session {
    async fn run(mut self, connection: Connection, mut upgrade: Option<TlsAcceptor>) {
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.conversations += 1;
            state.faults.pop_front()
        };
        self.changed.notify_waiters();
        let mut line: Line = BufReader::new(connection.stream);
        match fault {
            Some(MailFault::Greeting(greeting)) => {
                say(&mut line, greeting).await;
                return;
            }
            Some(MailFault::Silence) => {
                while self.hear(&mut line).await.is_some() {}
                return;
            }
            _ => say(&mut line, "220 mail.example.org ESMTP").await,
        }
        let mut mail = Taken {
            from: String::new(),
            to: Vec::new(),
            text: String::new(),
            encrypted: false,
            user: None,
        };
        while let Some(heard) = self.hear(&mut line).await {
            let upper = heard.to_ascii_uppercase();
            match upper.split([' ', ':']).next().unwrap() {
                "EHLO" => {
                    let mut offers = vec!["250-mail.example.org".to_owned()];
                    if upgrade.is_some() && !matches!(fault, Some(MailFault::NoStartTls)) {
                        offers.push("250-STARTTLS".into());
                    } else if !matches!(fault, Some(MailFault::NoLogin)) {
                        offers.push("250-AUTH PLAIN LOGIN".into());
                    }
                    offers.push("250 8BITMIME".into());
                    say(&mut line, &offers.join("\r\n")).await;
                }
                "STARTTLS" => {
                    say(&mut line, "220 go ahead").await;
                    let Ok(stream) = upgrade.take().unwrap().accept(line.into_inner()).await else {
                        return;
                    };
                    line = BufReader::new(Box::new(stream));
                    self.encrypted = true;
                }
                "AUTH" => {
                    let good = STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
                    match &fault {
                        Some(MailFault::Login(reply)) => say(&mut line, reply).await,
                        _ if heard == format!("AUTH PLAIN {good}") => {
                            mail.user = Some(USER.into());
                            say(&mut line, "235 welcome").await;
                        }
                        _ => say(&mut line, "535 5.7.8 who are you").await,
                    }
                }
                "MAIL" => {
                    if let Some(MailFault::Sender(reply)) = &fault {
                        say(&mut line, reply).await;
                        continue;
                    }
                    mail.from = between(&heard);
                    mail.to.clear();
                    say(&mut line, "250 ok").await;
                }
                "RCPT" => match &fault {
                    Some(MailFault::Recipient(who, reply)) if heard.contains(who) => {
                        say(&mut line, reply).await;
                    }
                    _ => {
                        mail.to.push(between(&heard));
                        say(&mut line, "250 ok").await;
                    }
                },
                "DATA" => match &fault {
                    Some(MailFault::Data(reply)) => say(&mut line, reply).await,
                    Some(MailFault::DroppedAfterData) => {
                        say(&mut line, "354 go on").await;
                        return;
                    }
                    _ => {
                        say(&mut line, "354 go on").await;
                        let Some(text) = text(&mut line).await else {
                            return;
                        };
                        if let Some(MailFault::Verdict(reply)) = &fault {
                            say(&mut line, reply).await;
                            continue;
                        }
                        mail.text = text;
                        mail.encrypted = self.encrypted;
                        self.state.lock().unwrap().taken.push(mail.clone());
                        self.changed.notify_waiters();
                        match &fault {
                            Some(MailFault::TakenThenDropped) => return,
                            Some(MailFault::TakenThenHang) => {
                                while self.hear(&mut line).await.is_some() {}
                                return;
                            }
                            _ => say(&mut line, "250 queued").await,
                        }
                    }
                },
                "QUIT" => {
                    say(&mut line, "221 bye").await;
                    return;
                }
                _ => say(&mut line, "500 what?").await,
            }
        }
    }

    async fn hear(&self, line: &mut Line) -> Option<String> {
        let mut heard = String::new();
        let read = line.read_line(&mut heard).await.ok()?;
        let heard = heard.trim_end().to_owned();
        self.state.lock().unwrap().said.push(heard.clone());
        self.changed.notify_waiters();
        (read > 0).then_some(heard)
    }
}

async fn say(line: &mut Line, text: &str) {
    // A client that is gone is none of the server's business.
    let _ = line
        .get_mut()
        .write_all(format!("{text}\r\n").as_bytes())
        .await;
    let _ = line.get_mut().flush().await;
}

/// `MAIL FROM:<a@b> …` → `a@b`.
fn between(heard: &str) -> String {
    let start = heard.find('<').unwrap() + 1;
    let end = heard.find('>').unwrap();
    heard[start..end].to_owned()
}

/// The text up to the dot, with doubled dots as one.
async fn text(line: &mut Line) -> Option<String> {
    let mut text = String::new();
    loop {
        let mut heard = String::new();
        if line.read_line(&mut heard).await.ok()? == 0 {
            return None;
        }
        if heard == ".\r\n" {
            return Some(text);
        }
        text.push_str(heard.strip_prefix('.').unwrap_or(&heard));
    }
}
