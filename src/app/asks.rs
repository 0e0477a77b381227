//! What people ask of a running daemon from outside: by a command through the store, by a button.
//!
//! The store is looked at once a second; as long as no other process writes, that is one number read. A
//! silence is in force once it is kept, so a button's goes through the store as well.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::domain::action::Action;
use crate::domain::cell::{CellKey, CredentialName, ProbeName};
use crate::domain::incident::{Acknowledged, Care, State};
use crate::domain::mute::{self, Ended, Matcher, Silence};
use crate::store::{Ask, Store, StoreError, Wanted};

/// How soon a command is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A silence asked for so soon after another is the same wish.
const SAME_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// What may wait for the loop.
const WAITING_MAX: usize = 64;

/// Something that the loop is to apply.
#[derive(Debug)]
pub enum Heard {
    /// All that are in force.
    Silences(Vec<Silence>),
    Care {
        incident: u64,
        care: Care,
        /// Where an answer is waited for.
        ask: Option<i64>,
    },
    /// Every cell of these probes is to be run now, and these cells.
    Round {
        probes: Vec<ProbeName>,
        cells: Vec<CellKey>,
        who: String,
        ask: i64,
    },
    /// A message waits again that was given up.
    Again { ask: i64 },
    /// Another process used an account.
    Spent {
        credential: CredentialName,
        requests: u32,
        ask: i64,
    },
}

/// What a button asks for, and who waits to hear what became of it.
#[derive(Debug)]
pub struct Wish {
    pub action: Action,
    /// It is kept and survives whatever happens to this process, or why it is not done.
    pub answer: oneshot::Sender<Result<(), String>>,
}

/// The task that looks and listens.
#[derive(Debug)]
pub struct Asks {
    heard: mpsc::Receiver<Heard>,
    task: JoinHandle<()>,
}

impl Asks {
    /// Starts it; `known` are the silences that the loop knows, `buttons` whoever clicks.
    #[must_use]
    pub fn start(store: Store, known: Vec<Silence>, buttons: Option<mpsc::Receiver<Wish>>) -> Self {
        let (sender, heard) = mpsc::channel(WAITING_MAX);
        Self {
            heard,
            task: tokio::spawn(listen(store, known, buttons, sender)),
        }
    }

    /// The next wish; waits for ever when there is none.
    pub async fn next(&mut self) -> Heard {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }

    pub fn stop(self) {
        self.task.abort();
    }
}

async fn listen(
    store: Store,
    mut known: Vec<Silence>,
    mut buttons: Option<mpsc::Receiver<Wish>>,
    heard: mpsc::Sender<Heard>,
) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut version, mut last_ask) = (None, 0);
    // Kept for a button and handed on already.
    let mut own = BTreeSet::new();
    let mut failing = false;
    loop {
        let found = tokio::select! {
            Some(Wish { action, answer }) = clicked(&mut buttons) => {
                let granted = clicked_on(&store, action).await;
                let (found, said) = match granted {
                    Ok(found) => (found, Ok(())),
                    Err(why) => (None, Err(why)),
                };
                // Whoever pressed may have lost patience.
                let _ = answer.send(said);
                match found {
                    Some(found) => {
                        if let Heard::Care { ask: Some(ask), .. } = &found {
                            own.insert(*ask);
                        }
                        vec![found]
                    }
                    None => continue,
                }
            }
            _ = looks.tick() => match store.asked(version, last_ask).await {
                Ok(None) => continue,
                Ok(Some(asked)) => {
                    failing = false;
                    version = Some(asked.version);
                    last_ask = asked.asks.iter().map(|ask| ask.id).max().unwrap_or(last_ask);
                    let others = asked.asks.into_iter().filter(|ask| !own.remove(&ask.id));
                    let mut found: Vec<Heard> = others.map(heard_of).collect();
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
async fn clicked(buttons: &mut Option<mpsc::Receiver<Wish>>) -> Option<Wish> {
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
    let id = ask.id;
    match ask.wanted {
        Wanted::Care { incident, care } => Heard::Care {
            incident,
            care,
            ask: Some(id),
        },
        Wanted::Round { probes, who } => Heard::Round {
            probes,
            cells: Vec::new(),
            who,
            ask: id,
        },
        Wanted::Cells { cells, who } => Heard::Round {
            probes: Vec::new(),
            cells,
            who,
            ask: id,
        },
        Wanted::Again => Heard::Again { ask: id },
        Wanted::Spent {
            credential,
            requests,
        } => Heard::Spent {
            credential,
            requests,
            ask: id,
        },
    }
}

/// What a click asks for, once it is kept; `Ok(None)`: it stands already.
///
/// # Errors
/// Why nothing is done, for whoever pressed.
async fn clicked_on(store: &Store, action: Action) -> Result<Option<Heard>, String> {
    tracing::info!(incident = action.incident(), "{action}");
    let number = action.incident();
    let failed = |error: StoreError| {
        tracing::error!(incident = number, "a click could not be kept: {error}");
        format!(
            "edgewatch can't keep this just now, nothing was done about INC-{number}. Please press again in a minute."
        )
    };
    is_open(store, number).await.map_err(failed)??;
    match action {
        Action::Acknowledge { incident, who, at } => {
            let care = Care::Taken(Acknowledged {
                at,
                by: mute::words(&who),
            });
            let ask = store.ask(incident, care.clone()).await.map_err(failed)?;
            Ok(Some(Heard::Care {
                incident,
                care,
                ask: Some(ask),
            }))
        }
        Action::Silence {
            incident,
            lasting,
            who,
            at,
        } => {
            // Pressed again, by the same person or another, or after a restart.
            if is_silenced(store, incident, lasting, at)
                .await
                .map_err(failed)?
            {
                return Ok(None);
            }
            let silence = Silence {
                number: 0,
                matcher: whole(incident),
                from: at,
                until: at.checked_add(lasting).unwrap_or(at),
                by: mute::words(&who),
                why: None,
                ended: None,
            };
            store.add_silence(silence).await.map_err(failed)?;
            let silences = store.silences().await.map_err(failed)?;
            Ok(Some(Heard::Silences(silences)))
        }
        Action::EndSilence { incident, who, at } => {
            let known = store.silences().await.map_err(failed)?;
            let own: Vec<u64> = known
                .iter()
                .filter(|silence| silence.holds(at) && silence.matcher == whole(incident))
                .map(|silence| silence.number)
                .collect();
            if own.is_empty() {
                return Err(format!(
                    "No silence is of INC-{incident} alone, so none was ended. What mutes it, and how to end that, stands in its message."
                ));
            }
            let ended = Ended {
                at,
                by: mute::words(&who),
            };
            for number in own {
                let ended = store.end_silence(number, ended.clone()).await;
                ended.map_err(failed)?;
            }
            let silences = store.silences().await.map_err(failed)?;
            Ok(Some(Heard::Silences(silences)))
        }
    }
}

/// One incident as a whole.
fn whole(incident: u64) -> Matcher {
    Matcher {
        incidents: vec![incident],
        ..Matcher::default()
    }
}

/// Whether there is such an open incident; otherwise what whoever pressed is told.
async fn is_open(store: &Store, number: u64) -> Result<Result<(), String>, StoreError> {
    let shown = store.show(number).await?;
    Ok(match shown.map(|shown| shown.incident.state) {
        Some(State::Open) => Ok(()),
        Some(State::Resolved) => Err(format!(
            "INC-{number} is fixed, so there is nothing to acknowledge or to silence."
        )),
        Some(State::Unwatched) => Err(format!(
            "INC-{number} is no longer watched, so there is nothing to acknowledge or to silence."
        )),
        None => Err(format!(
            "edgewatch knows no INC-{number}, so nothing was done: the message is of another store, or older than what is kept."
        )),
    })
}

/// Whether the incident as a whole is silenced for all but as long as is asked for.
async fn is_silenced(
    store: &Store,
    incident: u64,
    lasting: Duration,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let whole = whole(incident);
    let asked = at.checked_add(lasting).unwrap_or(at);
    let known = store.silences().await?;
    Ok(known.iter().any(|silence| {
        let rest = asked.duration_since(silence.until);
        silence.holds(at) && silence.matcher == whole && rest <= SAME_WITHIN
    }))
}
