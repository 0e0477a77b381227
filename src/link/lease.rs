//! Which hub leads: one key that is only changed by who knows its last revision.
//!
//! The one that leads renews it, and leads for four fifths of its time from before each renewal, by its own clock. Others
//! wait the whole time, by theirs, from when they saw it change last. So two never lead at once unless their clocks run
//! apart by a tenth; and who was frozen finds its time over. The key has no time to live at the server: a renewal would
//! lose it.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::kv::{self, Operation, UpdateErrorKind};
use serde::{Deserialize, Serialize};

use crate::wire::subjects;

/// How long a hub that is not heard keeps the lead. A server's own election takes 5 to 15 s.
pub const LEASE: Duration = Duration::from_secs(30);

/// What stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The name of the hub that leads; empty: nobody does.
    pub holder: String,
    /// Its store, by an identity of its own.
    pub store: String,
    pub epoch: u64,
    pub beat: u64,
    /// Who waits for it waits this long.
    pub lasts_ms: u64,
}

impl Lease {
    fn lasts(&self) -> Duration {
        Duration::from_millis(self.lasts_ms)
    }
}

/// A lease as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub lease: Option<Lease>,
    pub revision: u64,
}

/// Waits for a lease to end, by our own clock.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Option<(u64, Instant)>);

impl Waiting {
    /// Whether the lead is free, as seen now; a copy of the same store under the same name is ourselves, who died.
    pub fn is_free(&mut self, seen: &Seen, now: Instant, ourselves: (&str, &str)) -> bool {
        let since = match self.0 {
            Some((revision, since)) if revision == seen.revision => since,
            _ => {
                self.0 = Some((seen.revision, now));
                now
            }
        };
        seen.lease.as_ref().is_none_or(|lease| {
            lease.holder.is_empty()
                || (lease.holder.as_str(), lease.store.as_str()) == ourselves
                || now.saturating_duration_since(since) >= lease.lasts()
        })
    }
}

/// The end of a lease that was renewed by a call that began then.
#[must_use]
pub fn valid_until(called: Instant, lasts: Duration) -> Instant {
    called + lasts * 4 / 5
}

/// Between two renewals.
#[must_use]
pub fn renew_every(lasts: Duration) -> Duration {
    lasts * 7 / 30
}

/// The bucket.
#[derive(Debug, Clone)]
pub struct Leases(kv::Store);

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    Yes,
    /// It stands as before, as far as is known.
    NotYet,
    /// Another hub has it.
    Lost,
}

fn say(e: &dyn std::fmt::Display) -> String {
    format!("who leads can't be read: {e}")
}

impl Leases {
    /// Opens the bucket, or makes it.
    ///
    /// # Errors
    /// A sentence.
    pub async fn open(client: async_nats::Client) -> Result<Self, String> {
        let context = jetstream::new(client);
        if let Ok(bucket) = context.get_key_value(subjects::LEASES).await {
            return Ok(Self(bucket));
        }
        let config = kv::Config {
            bucket: subjects::LEASES.to_owned(),
            history: 1,
            max_bytes: 1 << 20,
            ..kv::Config::default()
        };
        match context.create_key_value(config).await {
            Ok(bucket) => Ok(Self(bucket)),
            // Another hub was quicker.
            Err(_) => context
                .get_key_value(subjects::LEASES)
                .await
                .map(Self)
                .map_err(|e| say(&e)),
        }
    }

    /// Who has it now.
    ///
    /// # Errors
    /// A sentence.
    pub async fn look(&self) -> Result<Seen, String> {
        let entry = self.0.entry(subjects::lease()).await.map_err(|e| say(&e))?;
        Ok(Seen {
            revision: entry.as_ref().map_or(0, |entry| entry.revision),
            lease: entry
                .filter(|entry| entry.operation == Operation::Put)
                .and_then(|entry| serde_json::from_slice(&entry.value).ok()),
        })
    }

    async fn put(&self, lease: &Lease, revision: u64) -> Result<Option<u64>, String> {
        let value = serde_json::to_vec(lease).map_err(|e| say(&e))?;
        match self
            .0
            .update(subjects::lease(), value.into(), revision)
            .await
        {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
            Err(error) => Err(say(&error)),
        }
    }

    /// Takes it, if nobody did since it was seen; its epoch is above `known`, in case the server's disk was put back.
    ///
    /// # Errors
    /// A sentence; whether it was taken the next look shows.
    pub async fn take(
        &self,
        seen: &Seen,
        (holder, store): (&str, &str),
        known: u64,
        lasts: Duration,
    ) -> Result<Option<Held>, String> {
        let before = seen.lease.as_ref().map_or(0, |lease| lease.epoch);
        let lease = Lease {
            holder: holder.to_owned(),
            store: store.to_owned(),
            epoch: before.max(known) + 1,
            beat: 0,
            lasts_ms: lasts.as_millis() as u64,
        };
        let revision = self.put(&lease, seen.revision).await?;
        Ok(revision.map(|revision| Held { lease, revision }))
    }

    /// Renews it.
    ///
    /// # Errors
    /// A sentence: whether it was is not known.
    pub async fn renew(&self, held: &mut Held) -> Result<Renewed, String> {
        let next = Lease {
            beat: held.lease.beat + 1,
            ..held.lease.clone()
        };
        if let Ok(Some(revision)) = self.put(&next, held.revision).await {
            *held = Held {
                lease: next,
                revision,
            };
            return Ok(Renewed::Yes);
        }
        // An answer that was lost, or another hub: what stands there now?
        let seen = self.look().await?;
        let Some(lease) = seen.lease else {
            return Ok(Renewed::Lost);
        };
        let ours = |lease: &Lease| (lease.epoch, lease.store == held.lease.store);
        if ours(&lease) != (held.lease.epoch, true) || lease.holder != held.lease.holder {
            return Ok(Renewed::Lost);
        }
        let renewed = lease.beat == next.beat;
        *held = Held {
            lease,
            revision: seen.revision,
        };
        Ok(if renewed {
            Renewed::Yes
        } else {
            Renewed::NotYet
        })
    }

    /// Leaves the lead to whoever wants it.
    ///
    /// # Errors
    /// A sentence; others then wait until it ends.
    pub async fn leave(&self, held: &Held) -> Result<(), String> {
        let lease = Lease {
            holder: String::new(),
            ..held.lease.clone()
        };
        self.put(&lease, held.revision).await.map(drop)
    }
}

/// A lease of ours.
#[derive(Debug, Clone)]
pub struct Held {
    pub lease: Lease,
    revision: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lease(holder: &str, epoch: u64) -> Lease {
        Lease {
            holder: holder.to_owned(),
            store: format!("store of {holder}"),
            epoch,
            beat: 0,
            lasts_ms: 30_000,
        }
    }

    #[test]
    fn the_lead_is_free_for_the_same_store_and_for_others_once_its_time_is_over() {
        let now = Instant::now();
        let seen = |holder: &str, revision| Seen {
            lease: Some(lease(holder, 1)),
            revision,
        };
        let other = ("b", "store of b");
        let mut waiting = Waiting::default();
        let mut free = |holder, revision, second, who| {
            waiting.is_free(
                &seen(holder, revision),
                now + Duration::from_secs(second),
                who,
            )
        };
        assert!(!free("a", 1, 0, other));
        assert!(!free("a", 1, 29, other));
        assert!(!free("a", 2, 30, other), "it was renewed");
        assert!(!free("a", 2, 59, other));
        assert!(free("a", 2, 60, other));
        assert!(free("a", 3, 61, ("a", "store of a")));
        assert!(
            !free("a", 3, 61, ("a", "store of b")),
            "another one of the name"
        );
        assert!(free("", 4, 61, other), "it was left");
        let nothing = Seen {
            lease: None,
            revision: 0,
        };
        assert!(Waiting::default().is_free(&nothing, now, other));
    }

    proptest! {
        /// Calls take as long as they like, looks come whenever they do, and one clock runs a tenth faster than the other.
        #[test]
        fn two_never_hold_it_at_once(
            begins in 0u64..40_000,
            took in 0u64..20_000,
            looks in proptest::collection::vec(1u64..9_000, 1..40),
            fast in any::<bool>(),
        ) {
            let lasts = LEASE;
            let start = Instant::now();
            // True time at which the holder's call began, was stored, and its lease ends for it; its clock runs slow.
            let holder_rate = if fast { 1.1 } else { 1.0 };
            let stored = begins + took;
            let ends = begins as f64 + valid_until(start, lasts).duration_since(start).as_secs_f64() * 1e3 * holder_rate;
            let waiter_rate = if fast { 1.1 } else { 1.0 };
            let mut waiting = Waiting::default();
            let mut at = stored;
            for look in looks {
                // It sees what is stored, never before.
                let seen = Seen { lease: Some(lease("a", 1)), revision: 1 };
                let own = start + Duration::from_secs_f64(at as f64 * waiter_rate / 1e3);
                if waiting.is_free(&seen, own, ("b", "store of b")) {
                    prop_assert!(at as f64 >= ends, "free at {at} ms, held until {ends} ms");
                    break;
                }
                at += look;
            }
        }
    }
}
