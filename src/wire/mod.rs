//! What travels between a site and the hub: batches of runs, plans, greetings; and between hubs what was decided.
//!
//! Layouts are protobuf, so that a reader of one version skips what the next one adds; every message says the version
//! of its *meaning* beside it. Numbers of fields are never used again. What a hub makes of what comes twice, late or
//! not at all is here too ([`inlet`]), without any connection.

// A run that a site is asked for.
pub mod ask;
// Runs, gathered and packed.
pub mod batch;
// A site makes itself known, and what it is answered.
pub mod greeting;
// Which batches came, which came twice, which never.
pub mod inlet;
// What a hub decided, for those that stand by.
pub mod log;
// The plan of one site.
pub mod plan;

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

/// The version of what messages mean; a reader takes this one and the one before.
pub const VERSION: u32 = 1;

/// Bytes that any message unpacks to at most: what is beyond is no message of ours.
const UNPACKED_MAX: u64 = 32 << 20;

/// The largest message, packed. NATS itself takes 1 MiB unless told otherwise.
pub const MESSAGE_BYTES_MAX: usize = 512 << 10;

/// Why a message was not read, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the message can't be read: {0}")]
    Broken(String),
    #[error(
        "the message is of version {theirs}, and this edgewatch reads version {ours}; upgrade the older of the two"
    )]
    Version { theirs: u32, ours: u32 },
    #[error("the message unpacks to more than {} MiB", UNPACKED_MAX >> 20)]
    Large,
}

/// Refuses what is not of a version that this program reads.
fn check(version: u32) -> Result<(), Unreadable> {
    if version == 0 || version > VERSION || version + 1 < VERSION {
        return Err(Unreadable::Version {
            theirs: version,
            ours: VERSION,
        });
    }
    Ok(())
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut packer = DeflateEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    // Writing into memory can't fail.
    let _ = packer.write_all(bytes);
    packer.finish().unwrap_or_default()
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut unpacked = Vec::with_capacity(bytes.len() * 4);
    DeflateDecoder::new(bytes)
        .take(UNPACKED_MAX + 1)
        .read_to_end(&mut unpacked)
        .map_err(|e| Unreadable::Broken(e.to_string()))?;
    if unpacked.len() as u64 > UNPACKED_MAX {
        return Err(Unreadable::Large);
    }
    Ok(unpacked)
}

impl From<prost::DecodeError> for Unreadable {
    fn from(error: prost::DecodeError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// How a small message is packed and read.
macro_rules! message {
    ($type:ty) => {
        impl $type {
            /// As it travels.
            #[must_use]
            pub fn packed(self) -> Vec<u8> {
                prost::Message::encode_to_vec(&Self {
                    version: $crate::wire::VERSION,
                    ..self
                })
            }

            /// # Errors
            /// [`Unreadable`](crate::wire::Unreadable): it is none, or of a version that this program does not read.
            pub fn read(message: &[u8]) -> Result<Self, $crate::wire::Unreadable> {
                let read = <Self as prost::Message>::decode(message)?;
                $crate::wire::check(read.version)?;
                Ok(read)
            }
        }
    };
}
use message;

/// Names of subjects, streams and buckets. A site has letters, digits and hyphens, so it is one word of a subject.
pub mod subjects {
    /// The stream that holds observations.
    pub const OBSERVATIONS: &str = "EW_OBS";
    /// The bucket that holds plans, one key a site.
    pub const PLANS: &str = "EW_PLAN";
    /// The stream that holds what the leading hub decided.
    pub const LOG: &str = "EW_LOG";
    /// The bucket that says which hub leads.
    pub const LEASES: &str = "EW_LEASE";
    /// All observations of every site and shard.
    pub const ALL_OBSERVATIONS: &str = "ew.obs.>";
    /// All greetings.
    pub const ALL_GREETINGS: &str = "ew.hello.*";
    /// The one shard there is; subjects have a place for more.
    pub const SHARD: &str = "00";

    #[must_use]
    pub fn observations(site: &str) -> String {
        format!("ew.obs.{site}.{SHARD}")
    }

    /// Where the hub that leads writes down what it decides.
    #[must_use]
    pub fn log() -> String {
        format!("ew.log.{SHARD}")
    }

    /// The key of who leads.
    #[must_use]
    pub fn lease() -> String {
        format!("shard.{SHARD}")
    }

    /// The site that a subject of observations or a greeting belongs to.
    #[must_use]
    pub fn site_of(subject: &str) -> Option<&str> {
        let rest = subject
            .strip_prefix("ew.obs.")
            .or_else(|| subject.strip_prefix("ew.hello."))?;
        rest.split('.').next().filter(|site| !site.is_empty())
    }

    #[must_use]
    pub fn greeting(site: &str) -> String {
        format!("ew.hello.{site}")
    }

    /// Where the hub asks a site for a run; nothing is stored, so nothing wakes up an hour later.
    #[must_use]
    pub fn ask(site: &str) -> String {
        format!("ew.ask.{site}")
    }

    /// Where the hub says that there is a new plan.
    #[must_use]
    pub fn note(site: &str) -> String {
        format!("ew.note.{site}")
    }

    /// Reads a site's own plan, and nothing else, without any right on streams.
    #[must_use]
    pub fn own_plan(site: &str) -> String {
        format!("$JS.API.DIRECT.GET.KV_{PLANS}.$KV.{PLANS}.{site}")
    }

    #[must_use]
    pub fn inbox(site: &str) -> String {
        format!("_INBOX.{site}")
    }
}

#[cfg(test)]
mod tests;
