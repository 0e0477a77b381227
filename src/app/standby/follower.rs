//! Follows the log of whoever leads, and takes the lead when it is free.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::super::lead::{Begin, Lead};
use super::Hub;
use crate::clock;
use crate::domain::hubs::HubFacts;
use crate::link::connect::Link;
use crate::link::lease::{Leases, Seen, Waiting};
use crate::link::log::{Extent, Log};
use crate::store::{Decided, Following, Place, Store};
use crate::wire::log::{Entry, Gathered};

/// For a link to come up, before it is said that there is none.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// Entries taken in one look.
const ENTRIES_MAX: u64 = 2_000;
const REWRITE: &str = "`edgewatch hub --rewrite-log` begins the log again from this store";

/// Why it can't take over.
enum Trouble {
    /// It is looked again.
    Now(String),
    /// Until a person did something.
    Barred(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Now(why)
    }
}

/// Where following begins.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// With this entry; `whole`: it must be all that there is.
    At { entry: u64, whole: bool },
    /// There is nothing to follow yet.
    Nothing,
}

/// How a store and a log go together.
///
/// # Errors
/// A sentence: the store is ahead of the log, or of another one.
fn start(following: &Following, log: Option<(&str, Extent)>) -> Result<Start, String> {
    let log = log.filter(|(_, extent)| extent.last > 0);
    let Some(place) = &following.place else {
        return Ok(log.map_or(Start::Nothing, |(_, extent)| Start::At {
            entry: extent.first,
            whole: false,
        }));
    };
    let (ours, Some((name, extent))) = (place.sequence, log) else {
        return Err(format!(
            "NATS has no log any more, and this store has entry {} of one; {REWRITE}",
            place.sequence
        ));
    };
    if place.log != name {
        return Err(format!(
            "the log of NATS is not the one that this store has entry {ours} of: it was begun anew; {REWRITE}, or put the store away to begin with what the log has"
        ));
    }
    if ours > extent.last {
        return Err(format!(
            "the log of NATS went back: it ends at entry {}, and this store has entry {ours}; {REWRITE}",
            extent.last
        ));
    }
    Ok(if ours + 1 < extent.first {
        Start::At {
            entry: extent.first,
            whole: true,
        }
    } else {
        Start::At {
            entry: ours + 1,
            whole: false,
        }
    })
}

/// Follows the log, and takes the lead when it is free.
pub(super) struct Follower {
    pub(super) hub: Hub,
    pub(super) store: Store,
    pub(super) link: Link,
    pub(super) facts: watch::Sender<HubFacts>,
    pub(super) following: Following,
    pub(super) gathered: Gathered,
    /// The next entry to read; `None`: not looked at yet, or nothing to follow.
    pub(super) next: Option<u64>,
    pub(super) log: Option<Log>,
    pub(super) leases: Option<Leases>,
    pub(super) waiting: Waiting,
    /// Who lost the lead lets others try first.
    pub(super) not_before: Option<Instant>,
    /// Of the lease when it was seen first; looked at alone before the log is begun again.
    pub(super) revision: Option<u64>,
}

impl Follower {
    pub(super) async fn until_it_leads(mut self) -> Result<Lead, String> {
        let mut looks = tokio::time::interval(self.hub.lease / 30);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let trouble = match self.look().await {
                Ok(Some(lead)) => return Ok(lead),
                Ok(None) => None,
                Err(Trouble::Now(why) | Trouble::Barred(why)) if self.hub.rewrite_log => {
                    return Err(why);
                }
                Err(Trouble::Now(why)) => {
                    // Another link, or a server that was killed: all of it is looked at anew.
                    (self.log, self.next) = (None, None);
                    Some(why)
                }
                Err(Trouble::Barred(why)) => {
                    (self.log, self.next) = (None, None);
                    Some(format!("this hub does not lead: {why}"))
                }
            };
            self.facts.send_if_modified(|facts| {
                let new = facts.trouble != trouble;
                if new {
                    if let Some(why) = &trouble {
                        tracing::error!("{why}");
                    }
                    facts.trouble.clone_from(&trouble);
                }
                new
            });
        }
    }

    async fn look(&mut self) -> Result<Option<Lead>, Trouble> {
        if !self.link.is_up()
            && tokio::time::timeout(LOOK_MAX, self.link.up())
                .await
                .is_err()
        {
            return Err("NATS can't be reached".to_owned().into());
        }
        self.link.up().await?;
        let leases = if let Some(leases) = &self.leases {
            leases.clone()
        } else {
            let leases = Leases::open(self.link.client.clone()).await?;
            self.leases.insert(leases).clone()
        };
        let called = Instant::now();
        let seen = leases.look().await?;
        let (name, store) = (self.hub.name.clone(), self.following.identity.clone());
        let ourselves = (name.as_str(), store.as_str());
        let free = self.waiting.is_free(&seen, Instant::now(), ourselves);
        self.seen(&seen, free).await;
        if !self.hub.rewrite_log {
            self.follow().await?;
        } else if let Some(lease) = seen.lease.as_ref().filter(|_| !free)
            && self
                .revision
                .replace(seen.revision)
                .is_some_and(|was| was != seen.revision)
        {
            let why = format!(
                "{} leads, and writes the log: stop it before that is begun again",
                lease.holder
            );
            return Err(Trouble::Barred(why));
        }
        if !free || self.not_before.is_some_and(|at| Instant::now() < at) {
            return Ok(None);
        }
        let known = self.following.place.as_ref().map_or(0, |place| place.epoch);
        let lasts = self.hub.lease;
        let Some(held) = leases.take(&seen, ourselves, known, lasts).await? else {
            return Ok(None);
        };
        tracing::info!(
            "{} takes the lead, epoch {}",
            self.hub.name,
            held.lease.epoch
        );
        let replaced = if self.hub.rewrite_log {
            self.rewrite().await?
        } else {
            Vec::new()
        };
        let log = match &self.log {
            Some(log) => log.clone(),
            None => Log::make(self.link.client.clone()).await?,
        };
        let mut lead = Lead::begin(Begin {
            log: log.clone(),
            leases,
            held,
            called,
            lasts: self.hub.lease,
            facts: self.facts.clone(),
        });
        let taken = self.take_over(&mut lead, &log, replaced).await;
        match taken {
            Ok(()) => Ok(Some(lead)),
            Err(trouble) => {
                lead.leave().await;
                self.not_before = Some(Instant::now() + self.hub.lease / 3);
                Err(trouble)
            }
        }
    }

    /// Reads the log to its end, and writes behind it.
    async fn take_over(
        &mut self,
        lead: &mut Lead,
        log: &Log,
        replaced: Vec<String>,
    ) -> Result<(), Trouble> {
        if self.log.is_some() {
            while self.follow().await? > 0 {}
        }
        let last = log.extent().await?.last;
        if self.next.is_none() {
            lead.whole = true;
            lead.leading.begin_log(last, replaced);
        } else {
            let place = lead.leading.take_over(last).await?;
            // What came in between, it would have been refused for.
            let kept = self.store.take(Vec::new(), place).await;
            kept.map_err(|e| e.to_string())?;
        }
        let now = clock::now();
        let epoch = lead.leading.epoch();
        self.facts.send_modify(|facts| {
            *facts = HubFacts {
                name: facts.name.clone(),
                leads: true,
                leader: Some(facts.name.clone()),
                epoch,
                since: now,
                heard_at: Some(now),
                caught_up_at: Some(now),
                entry: facts.entry,
                behind: 0,
                trouble: None,
            };
        });
        Ok(())
    }

    /// Takes the log away that is there; what it and ours are called.
    async fn rewrite(&mut self) -> Result<Vec<String>, Trouble> {
        let ours = self.following.place.as_ref().map(|place| place.log.clone());
        let mut replaced: Vec<String> = ours.into_iter().collect();
        if let Some(log) = Log::find(self.link.client.clone()).await? {
            replaced.push(log.name.clone());
            log.remove().await?;
        }
        tracing::warn!("the log begins again from this store, as was asked for");
        (self.log, self.next) = (None, None);
        Ok(replaced)
    }

    /// Shows who leads, to those who look and to commands.
    async fn seen(&self, seen: &Seen, free: bool) {
        let lease = seen.lease.as_ref().filter(|lease| !lease.holder.is_empty());
        let leader = lease.filter(|_| !free).map(|lease| lease.holder.clone());
        let was = self.facts.borrow().leader.clone();
        if was != leader
            && let Some(leader) = &leader
        {
            tracing::info!("{leader} leads");
            // Commands then name it; without it they only say that another does.
            let _ = self.store.led_by(leader.clone()).await;
        }
        self.facts.send_modify(|facts| {
            facts.epoch = lease.map_or(facts.epoch, |lease| lease.epoch);
            if leader.is_some() {
                facts.heard_at = Some(clock::now());
            }
            facts.leader = leader;
        });
    }

    /// Takes what the log has and this store has not, as far as one look goes; how many entries are left.
    async fn follow(&mut self) -> Result<u64, Trouble> {
        if self.log.is_none() {
            self.log = Log::find(self.link.client.clone()).await?;
        }
        let Some(log) = self.log.clone() else {
            start(&self.following, None).map_err(Trouble::Barred)?;
            self.caught_up(0);
            return Ok(0);
        };
        let extent = log.extent().await?;
        if self.next.is_none() {
            self.next = self.begin(&log, extent).await?;
        }
        let Some(mut next) = self.next else {
            self.caught_up(0);
            return Ok(0);
        };
        if next > extent.last + 1 {
            // Lost while we looked.
            start(&self.following, Some((&log.name, extent))).map_err(Trouble::Barred)?;
            return Err("the log is shorter than it was".to_owned().into());
        }
        let until = extent.last.min(next + ENTRIES_MAX);
        while next <= until {
            let Some(lying) = log.entry(next).await? else {
                return Err(format!("entry {next} of the log is gone").into());
            };
            let entry = Entry::read(&lying.payload).map_err(|e| Trouble::Barred(e.to_string()))?;
            let place = Place {
                log: log.name.clone(),
                sequence: lying.sequence,
                id: lying.id,
                epoch: entry.epoch,
            };
            if let Some(all) = self.gathered.take(entry) {
                let decided = all.iter().map(decided).collect::<Result<Vec<_>, _>>();
                let decided = decided.map_err(|e| Trouble::Barred(e.to_string()))?;
                let taken = self.store.take(decided, place.clone()).await;
                taken.map_err(|e| Trouble::Barred(e.to_string()))?;
                self.following.is_empty = false;
                self.following.place = Some(place);
            }
            next += 1;
            self.next = Some(next);
        }
        let left = extent.last + 1 - next;
        self.caught_up(left);
        Ok(left)
    }

    /// Where to begin; `None`: this hub would begin the log.
    async fn begin(&mut self, log: &Log, extent: Extent) -> Result<Option<u64>, Trouble> {
        self.gathered = Gathered::default();
        let read = async |sequence: u64| -> Result<Option<(Entry, String)>, Trouble> {
            let Some(lying) = log.entry(sequence).await? else {
                return Ok(None);
            };
            let entry = Entry::read(&lying.payload).map_err(|e| Trouble::Barred(e.to_string()))?;
            Ok(Some((entry, lying.id)))
        };
        let first = if extent.last > 0 {
            read(extent.first).await?
        } else {
            None
        };
        let replaces = |place: &Place| {
            let first = first.as_ref().map(|(entry, _)| entry);
            place.log != log.name && first.is_some_and(|it| it.replaces.contains(&place.log))
        };
        if self.following.place.as_ref().is_some_and(replaces) {
            tracing::warn!(
                "the log was begun again, as an operator asked for: this store becomes what it says"
            );
            return Ok(Some(extent.first));
        }
        match start(&self.following, Some((&log.name, extent))).map_err(Trouble::Barred)? {
            Start::Nothing => Ok(None),
            Start::At { entry, whole } => {
                let Some(place) = &self.following.place else {
                    if self.following.is_empty {
                        return Ok(Some(entry));
                    }
                    // Somebody who died before the first decision was there left nothing.
                    let mut gathered = Gathered::default();
                    for sequence in extent.first..=extent.last {
                        if let Some((entry, _)) = read(sequence).await?
                            && gathered.take(entry).is_some()
                        {
                            return Err(Trouble::Barred(format!(
                                "this store has incidents of its own that the log knows nothing of; {REWRITE}, or put the store away to begin with what the log has"
                            )));
                        }
                    }
                    return Ok(None);
                };
                let begins = first.as_ref().is_some_and(|(entry, _)| entry.whole);
                let same = match read(place.sequence).await? {
                    Some((_, id)) => id == place.id,
                    None => true,
                };
                if !same || whole && !begins {
                    return Err(Trouble::Barred(format!(
                        "the log of NATS has another entry {} than this store: it went back, and was written on; {REWRITE}, or put the store away to begin with what the log has",
                        place.sequence
                    )));
                }
                Ok(Some(entry))
            }
        }
    }

    fn caught_up(&self, left: u64) {
        let entry = self
            .following
            .place
            .as_ref()
            .map_or(0, |place| place.sequence);
        self.facts.send_modify(|facts| {
            facts.behind = left;
            facts.entry = entry;
            if left == 0 {
                facts.caught_up_at = Some(clock::now());
            }
        });
    }
}

fn decided(entry: &Entry) -> Result<Decided, crate::wire::Unreadable> {
    Ok(Decided {
        format: entry.format,
        // Of several entries the first one begins it.
        whole: entry.whole && entry.part == 0,
        rows: entry.lines()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn following(place: Option<u64>) -> Following {
        Following {
            identity: "s".to_owned(),
            place: place.map(|sequence| Place {
                log: "one".to_owned(),
                sequence,
                id: String::new(),
                epoch: 1,
            }),
            is_empty: place.is_none(),
        }
    }

    #[test]
    fn a_store_that_is_ahead_of_the_log_stops_a_hub_from_leading() {
        let log = |name, first, last| {
            let entries = last + 1 - first;
            Some((
                name,
                Extent {
                    first,
                    last,
                    entries,
                },
            ))
        };
        let at = |entry, whole| Ok(Start::At { entry, whole });
        for (place, log, expected) in [
            (None, None, Ok(Start::Nothing)),
            (None, log("one", 1, 0), Ok(Start::Nothing)),
            (None, log("one", 1, 5), at(1, false)),
            (Some(5), log("one", 1, 5), at(6, false)),
            (Some(3), log("one", 1, 5), at(4, false)),
            (Some(3), log("one", 4, 5), at(4, false)),
            (Some(2), log("one", 4, 5), at(4, true)),
            (
                Some(6),
                log("one", 1, 5),
                Err("the log of NATS went back: it ends at entry 5, and this store has entry 6"),
            ),
            (
                Some(5),
                log("two", 1, 9),
                Err("the log of NATS is not the one that this store has entry 5 of"),
            ),
            (
                Some(5),
                None,
                Err("NATS has no log any more, and this store has entry 5 of one"),
            ),
        ] {
            let found = start(&following(place), log);
            match expected {
                Ok(expected) => assert_eq!(found, Ok(expected), "{place:?} {log:?}"),
                Err(said) => assert!(found.unwrap_err().starts_with(said)),
            }
        }
    }
}
