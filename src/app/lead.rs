//! A hub that leads: its decisions go to the log first, and it leads for as long as it renews its lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock;
use crate::domain::hubs::HubFacts;
use crate::link::lease::{Held, Leases, Renewed, renew_every, valid_until};
use crate::link::log::{Appended, Log};
use crate::store::{Decided, Ledger, Place, Store};
use crate::wire::log::{Entry, entries};

/// For one answer of the server.
const CALL: Duration = Duration::from_secs(5);
/// Between two tries of a call that failed.
const AGAIN: Duration = Duration::from_millis(200);
/// Between two looks at what commands decided beside this process.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two notes of how far observations were read, and between two looks at the length of the log.
const NOTE_EVERY: u64 = 10;
const CUT_EVERY: u64 = 60;
/// With so many entries the log is begun with all that there is, and what stands before it goes.
const ENTRIES_MAX: u64 = 20_000;

/// Leads, until it is lost.
#[derive(Debug)]
pub struct Leading {
    runtime: Handle,
    log: Log,
    hub: String,
    store: String,
    epoch: u64,
    lasts: Duration,
    /// Nothing is decided or told from then on; renewals move it.
    valid: Mutex<Instant>,
    behind: Mutex<Behind>,
    /// Why it does not lead any more.
    lost: watch::Sender<Option<String>>,
    facts: watch::Sender<HubFacts>,
}

/// Where the log stands.
#[derive(Debug, Default)]
struct Behind {
    last: u64,
    /// Where all that there is was written last.
    whole: Option<u64>,
    /// Said with the first decision, where that begins the log.
    opening: Option<Vec<String>>,
}

/// What a hub needs to lead.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) log: Log,
    pub(super) leases: Leases,
    pub(super) held: Held,
    /// When the call began by which it was taken.
    pub(super) called: Instant,
    pub(super) lasts: Duration,
    pub(super) facts: watch::Sender<HubFacts>,
}

/// The lead of this hub, and the task that renews it.
#[derive(Debug)]
pub struct Lead {
    pub(super) leading: Arc<Leading>,
    /// The log begins with all that is in the store.
    pub(super) whole: bool,
    leases: Leases,
    renewing: JoinHandle<Held>,
}

impl Lead {
    /// Renews the lease from now on; nothing may be decided before [`Leading::take_over`] or [`Leading::begin_log`].
    pub(super) fn begin(begin: Begin) -> Self {
        let Begin {
            log,
            leases,
            held,
            called,
            lasts,
            facts,
        } = begin;
        let leading = Arc::new(Leading {
            runtime: Handle::current(),
            log,
            hub: held.lease.holder.clone(),
            store: held.lease.store.clone(),
            epoch: held.lease.epoch,
            lasts,
            valid: Mutex::new(valid_until(called, lasts)),
            behind: Mutex::default(),
            lost: watch::Sender::default(),
            facts,
        });
        let renewing = tokio::spawn(renew(Arc::clone(&leading), leases.clone(), held));
        Self {
            leading,
            whole: false,
            leases,
            renewing,
        }
    }

    /// Returns why this hub does not lead any more, once that is so.
    pub(super) async fn lost(&self) -> String {
        let mut lost = self.leading.lost.subscribe();
        let why = lost.wait_for(Option::is_some).await;
        // The sender lives as long as we do.
        why.ok().and_then(|why| why.clone()).unwrap_or_default()
    }

    /// Leaves the lead to whoever waits for it; nothing may be under way any more.
    pub(super) async fn leave(self) {
        self.leading.lose("it stops");
        // The task ends by that.
        if let Ok(held) = self.renewing.await {
            let left = tokio::time::timeout(CALL, self.leases.leave(&held)).await;
            if let Ok(Err(why)) = left {
                tracing::debug!("the lead could not be left: {why}");
            }
        }
    }
}

/// Renews the lease until the lead is lost.
async fn renew(leading: Arc<Leading>, leases: Leases, mut held: Held) -> Held {
    let every = renew_every(leading.lasts);
    let mut lost = leading.lost.subscribe();
    let mut next = Instant::now() + every;
    loop {
        tokio::select! {
            _ = lost.wait_for(Option::is_some) => return held,
            () = tokio::time::sleep_until(next.into()) => {}
        }
        let called = Instant::now();
        if called >= leading.valid() {
            leading.lose("its lease could not be renewed in time: NATS was out of reach, or this process stood still");
            return held;
        }
        let renewed = tokio::time::timeout(CALL.min(leading.lasts / 3), leases.renew(&mut held));
        next = called + AGAIN.min(every);
        match renewed.await {
            Ok(Ok(Renewed::Yes)) => {
                *leading.valid.lock().unwrap_or_else(PoisonError::into_inner) =
                    valid_until(called, leading.lasts);
                next = called + every;
            }
            Ok(Ok(Renewed::Lost)) => {
                leading.lose("another hub has taken the lead");
                return held;
            }
            Ok(Ok(Renewed::NotYet)) | Err(_) => {}
            Ok(Err(why)) => tracing::debug!("the lease is not renewed yet: {why}"),
        }
    }
}

impl Leading {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How the hub stands, for those who look.
    pub(super) fn facts(&self) -> watch::Receiver<HubFacts> {
        self.facts.subscribe()
    }

    fn valid(&self) -> Instant {
        *self.valid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it; the first reason stays.
    fn lose(&self, why: &str) {
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            if first {
                *lost = Some(why.to_owned());
            }
            first
        });
    }

    fn check(&self) -> Result<(), String> {
        if let Some(why) = &*self.lost.borrow() {
            return Err(why.clone());
        }
        if Instant::now() >= self.valid() {
            let why = "its lease is over";
            self.lose(why);
            return Err(why.to_owned());
        }
        Ok(())
    }

    fn behind(&self) -> std::sync::MutexGuard<'_, Behind> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on behind the last entry: what whoever led before would write from now on is refused.
    pub(super) async fn take_over(&self, last: u64) -> Result<Place, String> {
        self.behind().last = last;
        let entry = Entry {
            took_over: true,
            ..self.like()
        };
        self.write(entries(&entry, &[])).await
    }

    /// The log begins with the first decision, behind what somebody left in it.
    pub(super) fn begin_log(&self, last: u64, replaces: Vec<String>) {
        *self.behind() = Behind {
            last,
            whole: None,
            opening: Some(replaces),
        };
    }

    fn like(&self) -> Entry {
        Entry {
            epoch: self.epoch,
            hub: self.hub.clone(),
            at_us: clock::now().as_microsecond(),
            ..Entry::default()
        }
    }

    /// Writes entries behind the last one, in their order; the place of the last.
    async fn write(&self, entries: Vec<Entry>) -> Result<Place, String> {
        let whole = entries.first().is_some_and(|entry| entry.whole);
        let mut last = self.behind().last;
        let (mut first, mut id) = (None, String::new());
        for entry in entries {
            id = format!("{} {} {last}", self.store, self.epoch);
            last = self.write_one(entry.packed(), &id, last).await?;
            first.get_or_insert(last);
        }
        let mut behind = self.behind();
        behind.last = last;
        behind.opening = None;
        if whole {
            behind.whole = first;
        }
        self.facts.send_modify(|facts| facts.entry = last);
        Ok(Place {
            log: self.log.name.clone(),
            sequence: last,
            id,
            epoch: self.epoch,
        })
    }

    /// Tries until it is known what became of it, as long as this hub leads.
    async fn write_one(&self, payload: Vec<u8>, id: &str, after: u64) -> Result<u64, String> {
        let payload = bytes::Bytes::from(payload);
        let mut said = false;
        loop {
            self.check()?;
            let call = self.log.append(payload.clone(), id, after);
            let why = match tokio::time::timeout(CALL, call).await {
                Ok(Ok(Appended::At(sequence))) => return Ok(sequence),
                Ok(Ok(Appended::Refused)) => {
                    let why = "another hub has written to the log";
                    self.lose(why);
                    return Err(why.to_owned());
                }
                Ok(Err(why)) => why,
                Err(_) => "no answer".to_owned(),
            };
            if !std::mem::replace(&mut said, true) {
                tracing::warn!("the log does not take what was decided, it is tried again: {why}");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

impl Ledger for Leading {
    fn append(&self, decided: Decided) -> Result<Place, String> {
        let opening = self.behind().opening.clone();
        let entry = Entry {
            format: decided.format,
            whole: decided.whole,
            took_over: opening.is_some(),
            replaces: opening.unwrap_or_default(),
            ..self.like()
        };
        self.runtime
            .block_on(self.write(entries(&entry, &decided.rows)))
    }

    fn lost(&self, why: &str) {
        self.lose(why);
    }

    fn may_tell(&self) -> Result<bool, String> {
        self.check()?;
        // A third of its time is what a request may take.
        Ok(Instant::now() + self.lasts / 3 < self.valid())
    }
}

/// Hands over what commands decide, and keeps the log short; for as long as the store is open.
pub(super) async fn tend(store: Store, leading: Arc<Leading>) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for look in 1.. {
        looks.tick().await;
        let passed = store.pass_on(look % NOTE_EVERY == 0).await;
        if passed.is_ok() && look % CUT_EVERY == 0 {
            shorten(&store, &leading).await;
        }
    }
}

async fn shorten(store: &Store, leading: &Leading) {
    let long = leading.log.extent().await;
    if !long.is_ok_and(|extent| extent.entries > ENTRIES_MAX) || store.write_whole().await.is_err()
    {
        return;
    }
    let whole = leading.behind().whole;
    if let Some(whole) = whole
        && let Err(why) = leading.log.cut_before(whole).await
    {
        tracing::warn!("the log is not shortened: {why}");
    }
}
