//! From the outbox to the receivers: one worker each, nothing lost, nothing told twice where that can be known.
//!
//! A worker marks a row `sending` on the disk, sends, and marks how it ended; whatever interrupts it, the
//! row tells the next worker where it stood. A receiver in trouble stops only itself; its fallback is
//! told meanwhile. What to send next and when to try again are plain functions in `order` and `timing`.

mod channel_watch;
mod notices;
mod order;
mod past_the_store;
mod sender;
mod state;
mod storm;
#[cfg(test)]
mod tests;
mod timing;
mod together;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use crate::clock;
use crate::domain::cell::ReceiverName;
use crate::domain::notification::Receiver;
use crate::notify::{Message, leave, log};
use crate::store::{Outcome, Store, StoreError};

pub use state::Reach;
use state::States;
pub use timing::Timing;
use worker::Worker;

/// Where messages go that have no other place: the log, the terminal.
pub type Print = Arc<dyn Fn(&str) + std::marker::Send + Sync>;

/// The running workers.
pub struct Deliver {
    stop: watch::Sender<bool>,
    workers: Vec<(String, JoinHandle<()>)>,
    states: States,
}

impl fmt::Debug for Deliver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.workers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Deliver")
            .field("workers", &names)
            .finish_non_exhaustive()
    }
}

impl Deliver {
    /// Recovers what an earlier process left, and starts a worker for each receiver.
    ///
    /// Only one `Deliver` may run over a store.
    ///
    /// # Errors
    /// [`StoreError`] when the outbox can't be recovered; nothing runs then.
    pub async fn start(
        store: Store,
        receivers: &[Receiver],
        timing: Timing,
        print: Print,
    ) -> Result<Self, StoreError> {
        let recovered = store.recover_outbox().await?;
        if recovered > 0 {
            tracing::info!(
                "{recovered} notifications were on their way when the last run ended; they are looked for first"
            );
        }
        let (stop, stopped) = watch::channel(false);
        bury_orphans(&store, receivers, &print).await?;
        let states = States::default();
        let workers = receivers
            .iter()
            .map(|receiver| {
                let worker = Worker::new(
                    store.clone(),
                    receiver.clone(),
                    receivers,
                    timing.clone(),
                    Arc::clone(&print),
                    stopped.clone(),
                    states.clone(),
                );
                (
                    receiver.name.to_string(),
                    tokio::spawn(keep_running(worker)),
                )
            })
            .collect();
        Ok(Self {
            stop,
            workers,
            states,
        })
    }

    /// How each receiver stands at present.
    #[must_use]
    pub fn reach(&self) -> BTreeMap<ReceiverName, Reach> {
        self.states.all()
    }

    /// Lets each worker end its present message, for at most `deadline`; what is cut off is looked for at the next start.
    pub async fn stop(self, deadline: Duration) {
        self.stop.send_replace(true);
        let end = tokio::time::sleep(deadline);
        tokio::pin!(end);
        for (name, mut worker) in self.workers {
            tokio::select! {
                _ = &mut worker => {}
                () = &mut end => {
                    tracing::warn!("the worker of {name} did not stop in time; its message is looked for at the next start");
                    worker.abort();
                    // Cancelled at its next await, which is where it stands.
                    let _ = worker.await;
                }
            }
        }
    }
}

/// Gives up what is due to receivers that the plan no longer has, into the log.
async fn bury_orphans(
    store: &Store,
    receivers: &[Receiver],
    print: &Print,
) -> Result<(), StoreError> {
    let now = clock::now();
    for name in store.due_receivers().await? {
        if receivers.iter().any(|r| r.name == name) {
            continue;
        }
        for delivery in store.due(&name).await? {
            tracing::error!(receiver = %name, incident = delivery.notification.incident,
                "a notification is due to a receiver that is no longer configured; it goes to the log");
            let message = Message::plainly(&delivery.notification, now);
            print(&log::text(&message));
            let error = "the receiver is no longer configured".to_owned();
            let outcome = Outcome::Dead {
                class: "removed",
                error,
                thread: None,
            };
            store.settle(&delivery, outcome, None, now).await?;
        }
    }
    Ok(())
}

/// Runs the worker, and again when it panicked: a receiver must not fall silent for good.
async fn keep_running(worker: Worker) {
    loop {
        let work = leave::within(worker.guard(), worker.clone().run());
        let running = tokio::spawn(work);
        // Aborting this task must abort the worker too.
        let _guard = AbortOnDrop(running.abort_handle());
        match running.await {
            Err(error) if error.is_panic() => {
                tracing::error!(receiver = %worker.name(), "the worker panicked and is started again");
                tokio::time::sleep(worker.pause_after_panic()).await;
            }
            _ => return,
        }
    }
}

/// Aborts a task when dropped.
pub(super) struct AbortOnDrop(pub(super) AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
