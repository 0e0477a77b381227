//! What people ask of a running daemon from outside: by a command through the store, by a button.
//!
//! The store is looked at once a second; as long as no other process writes, that is one number read. A
//! silence is in force once it is kept, so a button's goes through the store as well.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::domain::action::Action;
use crate::domain::incident::Acknowledged;
use crate::domain::mute::{self, Matcher, Silence};
use crate::store::{Ask, Store, StoreError};

/// How soon a command is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A silence asked for so soon after another is the same wish.
const SAME_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// What may wait for the loop.
const WAITING_MAX: usize = 64;

/// Something that the loop is to apply.
#[derive(Debug)]
pub(super) enum Heard {
    /// All that are in force.
    Silences(Vec<Silence>),
    Acknowledged {
        incident: u64,
        by: Acknowledged,
        /// Where an answer is waited for.
        ask: Option<i64>,
    },
}

/// The task that looks and listens.
#[derive(Debug)]
pub(super) struct Asks {
    heard: mpsc::Receiver<Heard>,
    task: JoinHandle<()>,
}

impl Asks {
    /// Starts it; `known` are the silences that the loop knows, `buttons` whoever clicks.
    pub(super) fn start(
        store: Store,
        known: Vec<Silence>,
        buttons: Option<mpsc::Receiver<Action>>,
    ) -> Self {
        let (sender, heard) = mpsc::channel(WAITING_MAX);
        Self {
            heard,
            task: tokio::spawn(listen(store, known, buttons, sender)),
        }
    }

    /// The next wish; waits for ever when there is none.
    pub(super) async fn next(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }

    pub(super) fn stop(self) {
        self.task.abort();
    }
}

async fn listen(
    store: Store,
    mut known: Vec<Silence>,
    mut buttons: Option<mpsc::Receiver<Action>>,
    heard: mpsc::Sender<Heard>,
) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut version, mut last_ask) = (None, 0);
    let mut failing = false;
    loop {
        let found = tokio::select! {
            Some(action) = clicked(&mut buttons) => match clicked_on(&store, action).await {
                Some(found) => vec![found],
                None => continue,
            },
            _ = looks.tick() => match store.asked(version, last_ask).await {
                Ok(None) => continue,
                Ok(Some(asked)) => {
                    failing = false;
                    version = Some(asked.version);
                    last_ask = asked.asks.iter().map(|ask| ask.id).max().unwrap_or(last_ask);
                    let mut found: Vec<Heard> = asked.asks.into_iter().map(heard_of).collect();
                    found.push(Heard::Silences(asked.silences));
                    found
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!("can't look for silences and acknowledgements: {error}");
                    }
                    continue;
                }
            },
        };
        for one in found {
            if let Heard::Silences(silences) = &one {
                if *silences == known {
                    continue;
                }
                known.clone_from(silences);
            }
            if heard.send(one).await.is_err() {
                return;
            }
        }
    }
}

/// The next click; never one when nobody can click any more.
async fn clicked(buttons: &mut Option<mpsc::Receiver<Action>>) -> Option<Action> {
    let click = match buttons {
        Some(buttons) => buttons.recv().await,
        None => std::future::pending().await,
    };
    if click.is_none() {
        *buttons = None;
    }
    click
}

fn heard_of(ask: Ask) -> Heard {
    Heard::Acknowledged {
        incident: ask.incident,
        by: ask.by,
        ask: Some(ask.id),
    }
}

/// What a click asks for; a silence is kept first.
async fn clicked_on(store: &Store, action: Action) -> Option<Heard> {
    tracing::info!(incident = action.incident(), "{action}");
    match action {
        Action::Acknowledge { incident, who, at } => Some(Heard::Acknowledged {
            incident,
            by: Acknowledged {
                at,
                by: mute::words(&who),
            },
            ask: None,
        }),
        Action::Silence {
            incident,
            lasting,
            who,
            at,
        } => {
            match is_silenced(store, incident, lasting, at).await {
                Ok(false) => {}
                // Pressed again, by the same person or another, or after a restart.
                Ok(true) => return None,
                Err(error) => {
                    tracing::error!(incident, "can't look for silences: {error}");
                    return None;
                }
            }
            let silence = Silence {
                number: 0,
                matcher: Matcher {
                    incidents: vec![incident],
                    ..Matcher::default()
                },
                from: at,
                until: at.checked_add(lasting).unwrap_or(at),
                by: mute::words(&who),
                why: None,
                ended: None,
            };
            let silences = match store.add_silence(silence).await {
                Ok(_) => store.silences().await,
                Err(error) => Err(error),
            };
            match silences {
                Ok(silences) => Some(Heard::Silences(silences)),
                Err(error) => {
                    tracing::error!(incident, "the silence could not be kept: {error}");
                    None
                }
            }
        }
    }
}

/// Whether the incident as a whole is silenced for all but as long as is asked for.
async fn is_silenced(
    store: &Store,
    incident: u64,
    lasting: Duration,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let whole = Matcher {
        incidents: vec![incident],
        ..Matcher::default()
    };
    let asked = at.checked_add(lasting).unwrap_or(at);
    let known = store.silences().await?;
    Ok(known.iter().any(|silence| {
        let rest = asked.duration_since(silence.until);
        silence.holds(at) && silence.matcher == whole && rest <= SAME_WITHIN
    }))
}
