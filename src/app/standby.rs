//! One of several hubs: it stands by and follows the log, leads when nobody else does, and stands by again.

// The log, and the lease.
mod follower;
// What is seen of it.
mod show;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::daemon::{self, Command, Options};
use super::lead::Lead;
use crate::clock;
use crate::domain::hubs::HubFacts;
use crate::domain::plan::Plan;
use crate::link::connect::{self, Identity};
use crate::link::lease::Waiting;
use crate::store::Store;
use crate::wire::log::Gathered;
use follower::Follower;
use show::Show;

/// How this hub is one of several.
#[derive(Debug, Clone)]
pub struct Hub {
    /// For people, and in the lease.
    pub name: String,
    /// How long it keeps the lead without being heard.
    pub lease: Duration,
    /// The operator wants the log to begin again from this store.
    pub rewrite_log: bool,
}

/// Stands by, leads, and stands by again, until it is told to stop; `options` reads the file anew.
///
/// # Errors
/// A sentence when something needed is not to be had: the store, an address, the identity, a file that can be used.
pub async fn run(
    mut hub: Hub,
    mut options: impl FnMut() -> Result<Options, String>,
    mut commands: mpsc::Receiver<Command>,
) -> Result<(), String> {
    let mut lost_at = None;
    loop {
        let before = options()?;
        let Some(lead) = stand_by(&hub, &before.plan, lost_at, &mut commands).await? else {
            return Ok(());
        };
        hub.rewrite_log = false;
        let options = match options() {
            Ok(now) if now.plan.nats == before.plan.nats && now.plan.store == before.plan.store => {
                now
            }
            Ok(_) => {
                tracing::warn!(
                    "what the file says now of the store and of NATS is taken at a start alone"
                );
                before
            }
            // What it says was told.
            Err(_) => before,
        };
        let options = Options {
            lead: Some((Arc::clone(&lead.leading), lead.whole)),
            ..options
        };
        let stopped = lead_on(options, &lead, &mut commands).await;
        lead.leave().await;
        if stopped? {
            return Ok(());
        }
        lost_at = Some(Instant::now());
    }
}

/// The daemon, until the lead is lost; `true` when it was told to stop.
async fn lead_on(
    options: Options,
    lead: &Lead,
    commands: &mut mpsc::Receiver<Command>,
) -> Result<bool, String> {
    let (to_daemon, wanted) = mpsc::channel(4);
    let daemon = Box::pin(daemon::run(options, wanted));
    tokio::pin!(daemon);
    let (mut stopping, mut stopped) = (false, false);
    loop {
        tokio::select! {
            ended = &mut daemon => return ended.map(|()| stopped),
            command = commands.recv(), if !stopped => {
                let command = command.unwrap_or(Command::Stop);
                stopped = matches!(command, Command::Stop);
                stopping |= stopped;
                // Full: it has as much to do.
                let _ = to_daemon.try_send(command);
            }
            why = lead.lost(), if !stopping => {
                stopping = true;
                tracing::error!("this hub does not lead any more, and stands by: {why}");
                let _ = to_daemon.try_send(Command::Stop);
            }
        }
    }
}

/// Follows whoever leads until this hub does; `None`: it was told to stop.
async fn stand_by(
    hub: &Hub,
    plan: &Plan,
    lost_at: Option<Instant>,
    commands: &mut mpsc::Receiver<Command>,
) -> Result<Option<Lead>, String> {
    let Some(nats) = &plan.nats else {
        return Err("the file names no server where hubs meet".to_owned());
    };
    let opened = Store::open(&plan.store.path, &plan.store).map_err(|e| e.to_string())?;
    for warning in &opened.warnings {
        tracing::warn!("{warning}");
    }
    let store = opened.store;
    store.mask(plan.secrets());
    let following = store.stand_by("the hub that leads".to_owned()).await;
    let following = following.map_err(|e| e.to_string())?;
    let identity = nats.identity.as_deref().map(Identity::read).transpose()?;
    let name = format!("edgewatch hub {}", hub.name);
    let link = connect::begin(nats, identity.as_ref(), &name, "_INBOX.hub").await?;
    let (facts, shown) = watch::channel(HubFacts {
        name: hub.name.clone(),
        since: clock::now(),
        epoch: following.place.as_ref().map_or(0, |place| place.epoch),
        entry: following.place.as_ref().map_or(0, |place| place.sequence),
        ..HubFacts::default()
    });
    let mut show = Show::start(plan, &store, shown).await?;
    tracing::info!(
        "edgewatch {} stands by as {}",
        env!("CARGO_PKG_VERSION"),
        hub.name
    );
    let follower = Follower {
        hub: hub.clone(),
        store: store.clone(),
        link,
        facts,
        following,
        gathered: Gathered::default(),
        next: None,
        log: None,
        leases: None,
        waiting: Waiting::default(),
        not_before: lost_at.map(|at| at + hub.lease / 3),
        revision: None,
    };
    let mut following = tokio::spawn(follower.until_it_leads());
    let mut beats = tokio::time::interval(show.every());
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let lead = loop {
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Reload) => tracing::info!("the file is read when this hub leads"),
                Some(Command::Stop) | None => {
                    following.abort();
                    // Cancelled where it stands; whoever leads is not touched by that.
                    let _ = (&mut following).await;
                    break None;
                }
            },
            led = &mut following => break Some(led.map_err(|e| e.to_string()).flatten()?),
            Some(question) = show.questions.recv() => {
                // Who asked may have lost patience.
                let _ = question.send(show.vitals(clock::now()));
            }
            _ = beats.tick() => show.beat().await,
        }
    };
    show.stop(lead.is_none()).await;
    store.close().await;
    Ok(lead)
}
