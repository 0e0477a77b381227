//! The hub's end: streams that are there as they ought to be, observations in their order, plans for the sites.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{Consumer, DeliverPolicy};
use async_nats::jetstream::context::CreateStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{self, kv};
use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::wire::plan::SitePlan;
use crate::wire::{MESSAGE_BYTES_MAX, subjects};

/// Observations wait so long for a hub that is away.
const KEPT_FOR: Duration = Duration::from_secs(6 * 3600);
/// The server knows a message again for so long, at some 140 bytes each.
const KNOWN_FOR: Duration = Duration::from_secs(120);
/// Plans of a site that are kept: runs may come that were made by an older one.
const PLANS_KEPT: i64 = 8;
/// Less room than this at the server is none.
const STREAM_BYTES_MIN: i64 = 64 << 20;
/// Without anything for so long, a reader is made anew at its place.
const QUIET_MAX: Duration = Duration::from_secs(45);

/// What the hub has at the server.
#[derive(Debug, Clone)]
pub struct Hub {
    context: jetstream::Context,
    plans: kv::Store,
}

/// A message of the stream.
#[derive(Debug)]
pub struct Message {
    pub subject: String,
    pub payload: Bytes,
    /// Its place in the stream.
    pub sequence: u64,
    /// So many more are stored by now.
    pub behind: u64,
}

/// Makes the stream, or sets it right; smaller, where the server has not so much room.
async fn make(context: &jetstream::Context, mut wanted: Config) -> Result<(), String> {
    let asked = wanted.max_bytes;
    loop {
        let Err(error) = context.create_or_update_stream(wanted.clone()).await else {
            break;
        };
        let crowded = match error.kind() {
            CreateStreamErrorKind::JetStream(of) => {
                of.error_code() == ErrorCode::STORAGE_RESOURCES_EXCEEDED
            }
            _ => false,
        };
        if !crowded || wanted.max_bytes / 2 < STREAM_BYTES_MIN {
            return Err(format!(
                "can't make the stream {}: {error}; has this nats-server JetStream, and room on its disk?",
                subjects::OBSERVATIONS
            ));
        }
        wanted.max_bytes /= 2;
    }
    if wanted.max_bytes < asked {
        tracing::warn!(
            "nats-server has no room for {} MiB of observations; {} MiB are kept, and the oldest go first",
            asked >> 20,
            wanted.max_bytes >> 20
        );
    }
    Ok(())
}

impl Hub {
    /// Makes what is missing, and sets right what is otherwise; `stream_bytes` is what observations may take.
    ///
    /// # Errors
    /// A sentence.
    pub async fn prepare(client: async_nats::Client, stream_bytes: i64) -> Result<Self, String> {
        let context = jetstream::new(client);
        let wanted = Config {
            name: subjects::OBSERVATIONS.to_owned(),
            subjects: vec![subjects::ALL_OBSERVATIONS.to_owned()],
            storage: StorageType::File,
            max_age: KEPT_FOR,
            max_bytes: stream_bytes,
            // A reader that is away must not stop the agents; what is gone is counted as a jump in the numbers.
            discard: DiscardPolicy::Old,
            duplicate_window: KNOWN_FOR,
            max_message_size: MESSAGE_BYTES_MAX as i32 + 4_096,
            deny_delete: true,
            deny_purge: true,
            ..Config::default()
        };
        make(&context, wanted).await?;
        let plans = context
            .create_or_update_key_value(kv::Config {
                bucket: subjects::PLANS.to_owned(),
                history: PLANS_KEPT,
                max_value_size: MESSAGE_BYTES_MAX as i32,
                ..kv::Config::default()
            })
            .await
            .map_err(|e| format!("can't make the bucket {}: {e}", subjects::PLANS))?;
        Ok(Self { context, plans })
    }

    /// Hands a plan out under the next number, unless the last one asks for the same; returns it as it is there.
    ///
    /// # Errors
    /// A sentence.
    pub async fn hand_out(&self, site: &str, plan: &SitePlan) -> Result<SitePlan, String> {
        let say = |e: &dyn std::fmt::Display| format!("can't hand out the plan of {site}: {e}");
        let known = self.plans.entry(site).await.map_err(|e| say(&e))?;
        let last = known
            .as_ref()
            .filter(|entry| entry.operation == kv::Operation::Put)
            .and_then(|entry| SitePlan::read(&entry.value).ok());
        if let Some(last) = &last
            && last.same(plan)
        {
            return Ok(last.clone());
        }
        let next = SitePlan {
            generation: last.map_or(1, |last| last.generation + 1),
            ..plan.clone()
        };
        let packed = next.packed();
        if packed.len() > MESSAGE_BYTES_MAX {
            return Err(say(&format_args!(
                "it is {} KiB, and {} KiB travel at most; name fewer cells there",
                packed.len() >> 10,
                MESSAGE_BYTES_MAX >> 10
            )));
        }
        let revision = known.map_or(0, |entry| entry.revision);
        // Whoever wrote meanwhile is another hub, and one of the two must not.
        let put = self.plans.update(site, packed.into(), revision).await;
        put.map_err(|e| say(&format_args!("{e}; does another hub use this server?")))?;
        Ok(next)
    }

    /// The last plans of a site, oldest first.
    ///
    /// # Errors
    /// A sentence.
    pub async fn handed_out(&self, site: &str) -> Result<Vec<SitePlan>, String> {
        let say = |e: &dyn std::fmt::Display| format!("can't read the plans of {site}: {e}");
        let mut entries = self.plans.history(site).await.map_err(|e| say(&e))?;
        let mut plans = Vec::new();
        while let Some(entry) = entries.next().await {
            let entry = entry.map_err(|e| say(&e))?;
            plans.extend(SitePlan::read(&entry.value).ok());
        }
        Ok(plans)
    }

    /// Reads on after a place in the stream; 0: from its beginning.
    ///
    /// # Errors
    /// A sentence.
    pub async fn read_after(&self, sequence: u64) -> Result<Reading, String> {
        let say = |e: &dyn std::fmt::Display| format!("can't read the observations: {e}");
        let mut stream = self
            .context
            .get_stream(subjects::OBSERVATIONS)
            .await
            .map_err(|e| say(&e))?;
        let state = stream.info().await.map_err(|e| say(&e))?.state.clone();
        // A stream that ends before our place is another one.
        let (after, begun_anew) = if state.last_sequence < sequence {
            (0, true)
        } else {
            (sequence, false)
        };
        let first = state.first_sequence.max(1);
        let gone = first.saturating_sub(after + 1);
        let consumer: Consumer<OrderedConfig> = stream
            .create_consumer(OrderedConfig {
                filter_subject: subjects::ALL_OBSERVATIONS.to_owned(),
                deliver_policy: DeliverPolicy::ByStartSequence {
                    start_sequence: (after + 1).max(first),
                },
                ..OrderedConfig::default()
            })
            .await
            .map_err(|e| say(&e))?;
        let messages = consumer.messages().await.map_err(|e| say(&e))?;
        Ok(Reading {
            messages,
            gone: if begun_anew { 0 } else { gone },
            begun_anew,
        })
    }
}

/// Observations as they come.
pub struct Reading {
    messages: Ordered,
    /// Messages after the place that were gone by now.
    pub gone: u64,
    /// The stream is another one than that of the place.
    pub begun_anew: bool,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

impl Reading {
    /// The next message; `None`: nothing came for so long that it is better made anew.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(QUIET_MAX, self.messages.next()).await;
            let message = match next.ok()?? {
                Ok(message) => message,
                // One of these comes with every cut; it goes on by itself after it.
                Err(error) => {
                    tracing::debug!("reading observations: {error}");
                    continue;
                }
            };
            let Ok(info) = message.info() else { continue };
            return Some(Message {
                sequence: info.stream_sequence,
                behind: info.pending,
                subject: message.subject.to_string(),
                payload: message.payload.clone(),
            });
        }
    }
}
