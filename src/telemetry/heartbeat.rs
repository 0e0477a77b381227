//! Tells a dead-man's switch that edgewatch is at work, with a GET of a URL that is a secret.
//!
//! The loop says when (it alone knows that work is done), a task of its own sends: a switch that hangs
//! holds up nobody. Nothing is repeated: the next beat is the repetition. A switch that can't be reached is
//! logged once, and once when it can again; the URL is in no text.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::vitals::HeartbeatFacts;
use crate::clock;
use crate::domain::secret::{Secret, Secrets, mask};

/// For the whole request; a switch answers within a second.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For the connection alone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What became of the heartbeats since the start; outlives a change of the switch.
#[derive(Debug, Default)]
pub struct Told(Mutex<HeartbeatFacts>);

impl Told {
    #[must_use]
    pub fn facts(&self) -> HeartbeatFacts {
        self.lock().clone()
    }

    /// One was due and not sent, because the daemon is not at work.
    pub fn withheld(&self) {
        self.lock().withheld += 1;
    }

    /// Why none can be sent at all; `None`: one can.
    pub fn unusable(&self, why: Option<String>) {
        self.lock().error = why;
    }

    fn lock(&self) -> MutexGuard<'_, HeartbeatFacts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, result: Result<(), String>) {
        let mut facts = self.lock();
        match result {
            Ok(()) => {
                facts.sent += 1;
                facts.last_sent_at = Some(clock::now());
                if facts.error.take().is_some() {
                    tracing::info!("the dead-man's switch can be reached again");
                }
            }
            Err(why) => {
                facts.failed += 1;
                if facts.error.is_none() {
                    tracing::warn!("the dead-man's switch was not told that we are alive: {why}");
                }
                facts.error = Some(why);
            }
        }
    }
}

/// The task that sends; it ends when this is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    beats: mpsc::Sender<()>,
    task: JoinHandle<()>,
}

impl Heartbeat {
    /// # Errors
    /// A sentence when no HTTP client can be built.
    pub fn start(url: Secret, told: Arc<Told>) -> Result<Self, String> {
        // reqwest panics without a provider; an error here means that there is one already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            // The URL is a secret: it goes to no other host.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("edgewatch/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| format!("no HTTP client for the heartbeat: {}", e.without_url()))?;
        // One may wait while one is sent; more would only tell the switch of the past.
        let (beats, mut wanted) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            while wanted.recv().await.is_some() {
                told.ended(send(&client, &url).await);
            }
        });
        Ok(Self { beats, task })
    }

    /// Sends one now; never waits.
    pub fn beat(&self) {
        // Full: the switch is slow, and hears of us by the one that waits.
        let _ = self.beats.try_send(());
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The error is in words of ours; what libraries say is masked, and stripped of the URL.
async fn send(client: &reqwest::Client, url: &Secret) -> Result<(), String> {
    let answer = match client.get(url.expose()).send().await {
        Ok(answer) => answer,
        Err(error) => return Err(why(error, url)),
    };
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    Err(if status.is_redirection() {
        format!(
            "it answers {} and points elsewhere; use the URL it points to",
            status.as_u16()
        )
    } else {
        format!("it answers {}", status.as_u16())
    })
}

fn why(error: reqwest::Error, url: &Secret) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", TIMEOUT.as_secs());
    }
    let connecting = error.is_connect();
    let error = error.without_url();
    let mut last: &dyn std::error::Error = &error;
    while let Some(source) = last.source() {
        last = source;
    }
    let reason = mask(&last.to_string(), &Secrets::of([url.clone()]));
    if connecting {
        format!("can't connect: {reason}")
    } else {
        reason
    }
}
