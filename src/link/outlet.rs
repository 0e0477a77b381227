//! What a site has seen, on its way to the hub: gathered, written to the spool, sent, and forgotten once it is stored.
//!
//! Only the acknowledgement of the stream counts: that a message could be sent says nothing. One sender has a window of
//! batches under way; after a failure it tries the oldest alone until that is stored, so a link that comes and goes does
//! not turn everything around.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::{self, message::PublishMessage};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::connect::Link;
use super::spool::{Kept, Spool, Waiting};
use crate::clock;
use crate::domain::judged::Judged;
use crate::domain::moment::later;
use crate::wire::batch::{self, BATCH_BYTES_MAX, ClockSaid, Gathering, Head};
use crate::wire::subjects;

/// A batch is closed at so many runs, or after so long.
const RUNS_MAX: usize = 200;
const CLOSE_AFTER: Duration = Duration::from_secs(1);
/// What failed is told at once, and what passes after it too, for so long.
const HURRY: Duration = Duration::from_secs(120);
/// Batches under way.
const WINDOW: usize = 32;
/// For the acknowledgement of one; an election among servers takes seconds.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// After a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// A batch whose oldest run ended so long before it is sent has waited.
const FROM_SPOOL: Duration = Duration::from_secs(10);
/// Runs that may wait to be gathered.
const QUEUE_MAX: usize = 4_096;

/// A run for the hub.
#[derive(Debug)]
pub struct Seen {
    pub judged: Box<Judged>,
    /// Its cell's number in the table of this generation.
    pub cell: u32,
    pub generation: u64,
    /// Its probe is a control.
    pub control: bool,
}

#[derive(Debug)]
enum Order {
    Seen(Seen),
    /// Close what is gathered, send what waits as long as the link lets us, and end.
    End(oneshot::Sender<()>),
}

/// The way to the hub.
#[derive(Debug)]
pub struct Outlet {
    orders: mpsc::Sender<Order>,
    waiting: watch::Receiver<Waiting>,
    task: JoinHandle<()>,
}

impl Outlet {
    /// Starts to send what the spool holds; `clock` is what the site knows of its own.
    #[must_use]
    pub fn start(
        site: &str,
        boot: u64,
        spool: Spool,
        link: Link,
        clock: watch::Receiver<Option<ClockSaid>>,
    ) -> Self {
        let (orders, heard) = mpsc::channel(QUEUE_MAX);
        let (told, waiting) = watch::channel(spool.waiting());
        let context = ContextBuilder::new()
            .ack_timeout(ACK_WAIT)
            .timeout(ACK_WAIT)
            .build(link.client.clone());
        let sender = Sender {
            subject: subjects::observations(site),
            boot,
            seq: 0,
            generation: 0,
            spool,
            told,
            gathering: Gathering::default(),
            close_at: None,
            hurry_until: None,
            context,
            link,
            clock,
            under_way: FuturesUnordered::new(),
            sent_to: 0,
            alone: false,
            pause_until: None,
        };
        Self {
            orders,
            waiting,
            task: tokio::spawn(sender.run(heard)),
        }
    }

    /// Hands a run over; waits only while the disk is too slow for what is seen.
    pub async fn see(&self, seen: Seen) {
        // The task ends only when it is told to.
        let _ = self.orders.send(Order::Seen(seen)).await;
    }

    /// What waits in the spool.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        *self.waiting.borrow()
    }

    /// The same, as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Waiting> {
        self.waiting.clone()
    }

    /// Closes what is gathered and sends what can be sent in so long; the rest stays in the spool.
    pub async fn stop(self, patience: Duration) {
        let (done, ended) = oneshot::channel();
        if self.orders.send(Order::End(done)).await.is_ok() {
            let _ = tokio::time::timeout(patience, ended).await;
        }
        self.task.abort();
        // The spool is free for the next start once the task is gone.
        let _ = self.task.await;
    }
}

type Ack = Pin<Box<dyn Future<Output = (i64, Result<(), String>)> + Send>>;

struct Sender {
    subject: String,
    boot: u64,
    /// Of the last batch.
    seq: u64,
    /// Of the runs that are gathered.
    generation: u64,
    spool: Spool,
    told: watch::Sender<Waiting>,
    gathering: Gathering,
    close_at: Option<Instant>,
    hurry_until: Option<Instant>,
    context: jetstream::Context,
    link: Link,
    clock: watch::Receiver<Option<ClockSaid>>,
    under_way: FuturesUnordered<Ack>,
    /// All up to this one were sent, as far as they are not stored.
    sent_to: i64,
    /// One failed: only the oldest is tried.
    alone: bool,
    pause_until: Option<Instant>,
}

impl Sender {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut ending: VecDeque<oneshot::Sender<()>> = VecDeque::new();
        let mut state = self.link.state.clone();
        loop {
            self.send().await;
            if !ending.is_empty() && self.spool.waiting().batches == 0 {
                for done in ending.drain(..) {
                    let _ = done.send(());
                }
                return;
            }
            let close_at = self.close_at;
            let pause_until = self.pause_until;
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Seen(seen)) => self.gather(&seen),
                    Some(Order::End(done)) => {
                        self.close();
                        ending.push_back(done);
                    }
                    None => return,
                },
                Some((id, stored)) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.acknowledged(id, stored);
                }
                () = sleep_until(close_at), if close_at.is_some() => self.close(),
                () = sleep_until(pause_until), if pause_until.is_some() => self.pause_until = None,
                _ = state.changed() => {}
            }
        }
    }

    fn gather(&mut self, seen: &Seen) {
        // A batch has one table of cells.
        if seen.generation != self.generation {
            self.close();
            self.generation = seen.generation;
        }
        let now = Instant::now();
        let passed = seen.judged.verdict.passed();
        self.gathering.add(&seen.judged, seen.cell, seen.control);
        if !passed {
            self.hurry_until = Some(now + HURRY);
        }
        let hurry = self.hurry_until.is_some_and(|until| now < until);
        let full = self.gathering.len() >= RUNS_MAX || self.gathering.bytes() >= BATCH_BYTES_MAX;
        if hurry || full {
            self.close();
        } else {
            self.close_at.get_or_insert(now + CLOSE_AFTER);
        }
    }

    /// Writes what was gathered to the spool.
    fn close(&mut self) {
        self.close_at = None;
        let Some(closed) = self.gathering.close() else {
            return;
        };
        self.seq += 1;
        let now = clock::now();
        let pushed = self
            .spool
            .push(self.boot, self.seq, self.generation, &closed, now);
        if let Err(error) = pushed {
            tracing::error!("{} runs are lost: {error}", closed.runs);
        }
        self.tell();
    }

    fn tell(&self) {
        let now = self.spool.waiting();
        self.told.send_if_modified(|told| {
            let changed = *told != now;
            *told = now;
            changed
        });
    }

    /// Sends as much as the window has room for.
    async fn send(&mut self) {
        while self.link.is_up() && self.pause_until.is_none() {
            let room = if self.alone { 1 } else { WINDOW };
            if self.under_way.len() >= room {
                return;
            }
            let next = match self.spool.after(self.sent_to) {
                Ok(Some(next)) => next,
                Ok(None) => return,
                Err(error) => {
                    tracing::error!("{error}");
                    self.pause_until = Some(Instant::now() + PAUSE);
                    return;
                }
            };
            self.sent_to = next.id;
            self.send_one(next).await;
        }
    }

    async fn send_one(&mut self, kept: Kept) {
        let now = clock::now();
        let head = Head {
            boot: kept.boot,
            seq: kept.seq,
            generation: kept.generation,
            sent_us: now.as_microsecond(),
            complete_until_us: kept.closed.last.as_microsecond(),
            acked_below: self.spool.least(kept.boot).unwrap_or(kept.seq),
            dropped: self.spool.waiting().dropped,
            clock: *self.clock.borrow(),
            from_spool: later(kept.closed.first, FROM_SPOOL) < now,
            load: kept.closed.load,
            ..Head::default()
        };
        // The stream knows it again for two minutes; after that the hub does.
        let message = PublishMessage::build()
            .payload(batch::seal(head).into())
            .message_id(format!("{:x}-{}", kept.boot, kept.seq));
        let id = kept.id;
        let sent = self.context.send_publish(self.subject.clone(), message);
        match tokio::time::timeout(ACK_WAIT, sent).await {
            Ok(Ok(ack)) => self.under_way.push(Box::pin(async move {
                let stored = ack.await.map(drop).map_err(|e| e.to_string());
                (id, stored)
            })),
            Ok(Err(error)) => self.acknowledged(id, Err(error.to_string())),
            Err(_) => self.acknowledged(id, Err("it could not be sent".to_owned())),
        }
    }

    fn acknowledged(&mut self, id: i64, stored: Result<(), String>) {
        match stored {
            Ok(()) => {
                if let Err(error) = self.spool.done(id) {
                    tracing::error!("{error}");
                }
                if self.alone {
                    tracing::info!("the hub's stream stores what is seen again");
                }
                self.alone = false;
                self.tell();
            }
            Err(error) => {
                if !self.alone {
                    tracing::warn!("what is seen waits in the spool: {error}");
                }
                self.alone = true;
                self.pause_until = Some(Instant::now() + PAUSE);
            }
        }
        if self.alone && self.under_way.is_empty() {
            // All that is not stored by now is sent again, oldest first.
            self.sent_to = 0;
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
