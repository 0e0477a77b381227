//! From a button in Slack to an action: who may press it, once each, and an answer where it is refused.
//!
//! Slack hands each click to any one connection of an app, so receivers that share an app token share one
//! listener. Nothing here is on the way of an alert: without it messages have no buttons, and that is all.
//! Whether an incident can be acknowledged or silenced is decided by whoever takes the actions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::asks::Wish;
use super::deliver::AbortOnDrop;
use crate::clock;
use crate::domain::action::Action;
use crate::domain::cell::ReceiverName;
use crate::domain::notification::{Buttons, Channel, Receiver};
use crate::domain::secret::Secret;
use crate::notify::slack::Slack;
use crate::notify::slack_socket::{Button, Click, Hearing, Patience, Pressed, Socket};

/// Clicks that may wait to be judged; people press one at a time.
const WAITING_MAX: usize = 64;
/// The same button of the same incident within this time is the same wish, whoever presses it.
const SAME_WITHIN: Duration = Duration::from_secs(60);
/// Clicks remembered, so that none is done twice.
const REMEMBERED_MAX: usize = 1_000;
/// How long who is in a user group is taken to stay as it is.
const GROUP_KEPT: Duration = Duration::from_secs(300);
/// What the button says.
const SILENCE: Duration = Duration::from_secs(3_600);
/// A click that is not kept by then is not done, for all that is known.
const KEPT_WITHIN: Duration = Duration::from_secs(5);
/// After a panic.
const AGAIN: Duration = Duration::from_secs(5);

/// The running listeners, one for each Slack app.
#[derive(Debug)]
pub struct Clicks {
    apps: Vec<App>,
}

#[derive(Debug)]
struct App {
    receivers: Vec<ReceiverName>,
    hearing: watch::Receiver<Hearing>,
    listening: JoinHandle<()>,
    judging: JoinHandle<()>,
}

impl Clicks {
    /// Listens for the buttons of these receivers and hands on what may be done.
    #[must_use]
    pub fn start(
        receivers: &[Receiver],
        patience: &Patience,
        actions: &mpsc::Sender<Wish>,
    ) -> Self {
        let mut apps: Vec<(&str, &Secret, Vec<Door>)> = Vec::new();
        for receiver in receivers {
            let Some((api, token, door)) = door(receiver) else {
                continue;
            };
            match apps.iter_mut().find(|a| a.0 == api && a.1 == token) {
                Some((_, _, doors)) => doors.push(door),
                None => apps.push((api, token, vec![door])),
            }
        }
        let apps = apps
            .into_iter()
            .filter_map(|(api, token, doors)| {
                let receivers = doors.iter().map(|d| d.receiver.clone()).collect();
                let socket = Socket::new(api, token.clone(), patience.clone())
                    .inspect_err(|e| tracing::error!("buttons in Slack are not heard: {e}"))
                    .ok()?;
                let (clicks, waiting) = mpsc::channel(WAITING_MAX);
                let (told, hearing) = watch::channel(Hearing::Connecting);
                let judge = Judge {
                    doors,
                    actions: actions.clone(),
                    seen: VecDeque::new(),
                };
                Some(App {
                    receivers,
                    hearing,
                    listening: tokio::spawn(keep_listening(Arc::new(socket), clicks, told)),
                    judging: tokio::spawn(judge.run(waiting)),
                })
            })
            .collect();
        Self { apps }
    }

    /// Whose buttons are heard at present, and why not.
    #[must_use]
    pub fn hearing(&self) -> Vec<(ReceiverName, Hearing)> {
        self.apps
            .iter()
            .flat_map(|app| {
                let hearing = app.hearing.borrow().clone();
                app.receivers
                    .iter()
                    .map(move |name| (name.clone(), hearing.clone()))
            })
            .collect()
    }

    /// Stops listening at once: what was not judged yet is pressed again by whoever cares.
    pub async fn stop(self) {
        for app in self.apps {
            app.listening.abort();
            app.judging.abort();
            // Cancelled at their next await, which is where they stand.
            let _ = app.listening.await;
            let _ = app.judging.await;
        }
    }
}

/// One channel whose buttons we hear.
struct Door {
    receiver: ReceiverName,
    slack: Slack,
    channel: String,
    users: Vec<String>,
    groups: Vec<Group>,
}

struct Group {
    id: String,
    /// Who is in it, and when we asked.
    known: Option<(Timestamp, Vec<String>)>,
}

fn door(receiver: &Receiver) -> Option<(&str, &Secret, Door)> {
    let Channel::Slack {
        token: Ok(token),
        channel,
        buttons:
            Some(Buttons {
                app_token: Ok(app_token),
                users,
                user_groups,
            }),
        api,
        ..
    } = &receiver.channel
    else {
        return None;
    };
    let slack = Slack::new(api, token.clone(), channel, None)
        .inspect_err(|e| tracing::error!(receiver = %receiver.name, "{e}"))
        .ok()?;
    let groups = user_groups.iter().map(|id| Group {
        id: id.clone(),
        known: None,
    });
    let door = Door {
        receiver: receiver.name.clone(),
        slack,
        channel: channel.clone(),
        users: users.clone(),
        groups: groups.collect(),
    };
    Some((api, app_token, door))
}

/// Listens, and again when it panicked: a channel must not fall deaf for good.
async fn keep_listening(
    socket: Arc<Socket>,
    clicks: mpsc::Sender<Pressed>,
    hearing: watch::Sender<Hearing>,
) {
    loop {
        let (socket, clicks, hearing) = (socket.clone(), clicks.clone(), hearing.clone());
        let listening = tokio::spawn(async move { socket.listen(&clicks, &hearing).await });
        let _guard = AbortOnDrop(listening.abort_handle());
        match listening.await {
            Err(error) if error.is_panic() => {
                tracing::error!("listening to buttons in Slack panicked and is begun anew");
                tokio::time::sleep(AGAIN).await;
            }
            _ => return,
        }
    }
}

/// Judges clicks one after the other.
struct Judge {
    doors: Vec<Door>,
    actions: mpsc::Sender<Wish>,
    /// The newest clicks that were done, oldest first.
    seen: VecDeque<(Timestamp, Click)>,
}

/// What becomes of a click.
enum Ruling {
    Done,
    /// The same as one before.
    Known,
    /// Not done; what the person is told.
    Refused(String),
}

impl Judge {
    async fn run(mut self, mut clicks: mpsc::Receiver<Pressed>) {
        while let Some(Pressed { click, judged }) = clicks.recv().await {
            let Some(at) = self.doors.iter().position(|d| d.channel == click.channel) else {
                tracing::warn!(
                    channel = click.channel,
                    user = click.user,
                    "a button was pressed in a channel that no receiver has; nothing was done"
                );
                continue;
            };
            let ruling = self.rule(at, &click).await;
            // What is kept, and what is answered below, need not be shown as a failure. The listener may be gone.
            let _ = judged.send(());
            let door = &self.doors[at];
            let (receiver, incident, user) = (&door.receiver, click.incident, &click.user);
            match ruling {
                Ruling::Done => {
                    tracing::info!(%receiver, incident, user, "{:?} was pressed in Slack", click.button);
                }
                Ruling::Known => {
                    tracing::debug!(%receiver, incident, user, "the same click again");
                }
                Ruling::Refused(why) => {
                    tracing::warn!(%receiver, incident, user, "{:?} was pressed in Slack and not done: {why}", click.button);
                    let told = door.slack.whisper(user, click.thread_ts.as_deref(), &why);
                    if let Err(error) = told.await {
                        tracing::warn!(%receiver, "could not say so in Slack: {error}");
                    }
                }
            }
        }
    }

    async fn rule(&mut self, door: usize, click: &Click) -> Ruling {
        let now = clock::now();
        if let Err(why) = self.doors[door].may_press(click, now).await {
            return Ruling::Refused(why);
        }
        if let Some(known) = self.known(click, now) {
            return known;
        }
        let (answer, answered) = oneshot::channel();
        let wish = Wish {
            action: action(click, now),
            answer,
        };
        // A wish that can't be handed over drops who would answer.
        let _ = self.actions.try_send(wish);
        match tokio::time::timeout(KEPT_WITHIN, answered).await {
            Ok(Ok(Err(why))) => Ruling::Refused(why),
            Ok(Ok(Ok(()))) => {
                if self.seen.len() >= REMEMBERED_MAX {
                    self.seen.pop_front();
                }
                self.seen.push_back((now, click.clone()));
                Ruling::Done
            }
            Ok(Err(_)) | Err(_) => Ruling::Refused(format!(
                "edgewatch could not take this just now, nothing was done about INC-{}. Please press again in a minute.",
                click.incident
            )),
        }
    }

    /// What there is to say when this wish was heard before.
    fn known(&self, click: &Click, now: Timestamp) -> Option<Ruling> {
        let again = |c: &Click| {
            c.envelope == click.envelope || (c.user == click.user && c.pressed == click.pressed)
        };
        if self.seen.iter().any(|(_, c)| again(c)) {
            return Some(Ruling::Known);
        }
        let since = now.checked_sub(SAME_WITHIN).unwrap_or(now);
        let before = self.seen.iter().rev().find(|(at, c)| {
            *at >= since
                && c.button.is_about_the_same(click.button)
                && (c.incident, c.episode) == (click.incident, click.episode)
        })?;
        let other = Some(&before.1).filter(|other| other.button == click.button)?;
        Some(if other.user == click.user {
            Ruling::Known
        } else {
            Ruling::Refused(format!(
                "{} has just done this for INC-{}.",
                other.user_name, click.incident
            ))
        })
    }
}

fn action(click: &Click, at: Timestamp) -> Action {
    let incident = click.incident;
    // The name may be changed by its bearer; the id may not.
    let who = format!("{} in Slack ({})", click.user_name, click.user);
    match click.button {
        Button::Acknowledge => Action::Acknowledge { incident, who, at },
        Button::Silence => Action::Silence {
            incident,
            lasting: SILENCE,
            who,
            at,
        },
        Button::EndSilence => Action::EndSilence { incident, who, at },
    }
}

impl Door {
    /// Whether this person may press; otherwise what they are told.
    async fn may_press(&mut self, click: &Click, now: Timestamp) -> Result<(), String> {
        if self.users.is_empty() && self.groups.is_empty() || self.users.contains(&click.user) {
            return Ok(());
        }
        let mut unknown = None;
        for group in &mut self.groups {
            match group.members(&self.slack, now).await {
                Ok(members) if members.contains(&click.user) => return Ok(()),
                Ok(_) => {}
                Err(why) => unknown = Some(why),
            }
        }
        Err(match unknown {
            None => format!(
                "You are not among those who may acknowledge or silence incidents here, so nothing was done about INC-{}. Who may is written in probes.yaml, under the receiver {}: allow.",
                click.incident, self.receiver
            ),
            Some(why) => format!(
                "Nothing was done about INC-{}: whether you are in a user group that may can't be found out ({why}).",
                click.incident
            ),
        })
    }
}

impl Group {
    /// Who is in the group, asked anew after a while.
    async fn members(&mut self, slack: &Slack, now: Timestamp) -> Result<&[String], String> {
        let since = now.checked_sub(GROUP_KEPT).unwrap_or(now);
        let kept = matches!(&self.known, Some((at, _)) if *at >= since && *at <= now);
        if !kept {
            let members = slack.user_group(&self.id).await.map_err(|e| e.text)?;
            self.known = Some((now, members));
        }
        Ok(self.known.as_ref().map_or(&[], |(_, members)| members))
    }
}
