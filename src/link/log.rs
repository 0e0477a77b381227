//! The log of what the leading hub decided: a stream that only who knows its last entry can write on.
//!
//! Decisions are few, so entries are read one by one; each reading comes from the stream's own leader, never from a copy
//! that may lag behind.

use async_nats::jetstream::context::{GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, StorageType, Stream,
};
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;

use crate::wire::subjects;

/// What the log may take on the server's disk; a hub that leads cuts it long before.
const LOG_BYTES: i64 = 1 << 30;
/// By this header the server knows a message again.
const ID: &str = "Nats-Msg-Id";

/// The log at the server.
#[derive(Debug, Clone)]
pub struct Log {
    context: jetstream::Context,
    stream: Stream,
    /// Which log it is: one that was begun anew has another name.
    pub name: String,
}

/// From where to where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub first: u64,
    /// 0: nothing was ever written.
    pub last: u64,
    pub entries: u64,
}

/// An entry as it lies there.
#[derive(Debug, Clone)]
pub struct Lying {
    pub sequence: u64,
    /// By what name the server knows it.
    pub id: String,
    pub payload: Bytes,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    At(u64),
    /// Another hub has written since.
    Refused,
}

fn say(e: &dyn std::fmt::Display) -> String {
    format!("the log can't be reached: {e}")
}

impl Log {
    /// The log; `None`: there is none.
    ///
    /// # Errors
    /// A sentence.
    pub async fn find(client: async_nats::Client) -> Result<Option<Self>, String> {
        let context = jetstream::new(client);
        match context.get_stream(subjects::LOG).await {
            Ok(stream) => Ok(Some(Self::of(context, stream))),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(of)
                    if of.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(say(&error)),
            },
        }
    }

    /// Makes it, empty.
    ///
    /// # Errors
    /// A sentence.
    pub async fn make(client: async_nats::Client) -> Result<Self, String> {
        let context = jetstream::new(client);
        let mut config = Config {
            name: subjects::LOG.to_owned(),
            subjects: vec!["ew.log.>".to_owned()],
            storage: StorageType::File,
            max_bytes: LOG_BYTES,
            // Full, it takes nothing: what goes unsaid must not take the place of what was decided.
            discard: DiscardPolicy::New,
            deny_delete: true,
            // As many copies as the server's other streams have is the operator's to say, by `nats stream edit`.
            allow_direct: false,
            ..Config::default()
        };
        let stream = loop {
            match context.create_stream(config.clone()).await {
                Ok(stream) => break stream,
                // A small server has less room.
                Err(_) if config.max_bytes > 16 << 20 => config.max_bytes /= 2,
                Err(error) => {
                    return Err(format!("can't make the stream {}: {error}", subjects::LOG));
                }
            }
        };
        Ok(Self::of(context, stream))
    }

    fn of(context: jetstream::Context, stream: Stream) -> Self {
        let made = stream.cached_info().created.unix_timestamp_nanos();
        Self {
            context,
            stream,
            name: made.to_string(),
        }
    }

    /// Takes the log away, whoever needs it.
    ///
    /// # Errors
    /// A sentence.
    pub async fn remove(self) -> Result<(), String> {
        let gone = self.context.delete_stream(subjects::LOG).await;
        gone.map(drop).map_err(|e| say(&e))
    }

    /// Where it begins and ends now; it may be another one by now, and is none of ours then.
    ///
    /// # Errors
    /// A sentence.
    pub async fn extent(&self) -> Result<Extent, String> {
        let info = self.stream.get_info().await.map_err(|e| say(&e))?;
        if info.created.unix_timestamp_nanos().to_string() != self.name {
            return Err("the log was begun anew".to_owned());
        }
        Ok(Extent {
            first: info.state.first_sequence,
            last: info.state.last_sequence,
            entries: info.state.messages,
        })
    }

    /// An entry; `None`: there is none of this number any more, or yet.
    ///
    /// # Errors
    /// A sentence.
    pub async fn entry(&self, sequence: u64) -> Result<Option<Lying>, String> {
        match self.stream.get_raw_message(sequence).await {
            Ok(message) => Ok(Some(lying(&message))),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(say(&error)),
        }
    }

    /// Writes an entry behind the one of number `after`, and nowhere else; 0: as the first.
    ///
    /// The same again, by its id, is the one that is there: an answer that was lost is no loss.
    ///
    /// # Errors
    /// A sentence: whether it is there is not known.
    pub async fn append(&self, payload: Bytes, id: &str, after: u64) -> Result<Appended, String> {
        let message = PublishMessage::build()
            .payload(payload)
            .message_id(id)
            .expected_last_subject_sequence(after);
        let sent = self.context.send_publish(subjects::log(), message).await;
        let answered = match sent {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(answer) => Ok(Appended::At(answer.sequence)),
            // A server looks at the number before the id, or the other way round: both are met.
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                let last = self
                    .stream
                    .get_last_raw_message_by_subject(&subjects::log())
                    .await;
                match last {
                    Ok(last) if lying(&last).id == id => Ok(Appended::At(last.sequence)),
                    Ok(_) => Ok(Appended::Refused),
                    Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                        Ok(Appended::Refused)
                    }
                    Err(error) => Err(say(&error)),
                }
            }
            Err(error) => Err(say(&error)),
        }
    }

    /// Takes away what stands before an entry.
    ///
    /// # Errors
    /// A sentence.
    pub async fn cut_before(&self, sequence: u64) -> Result<(), String> {
        let cut = self.stream.purge().sequence(sequence).await;
        cut.map(drop).map_err(|e| say(&e))
    }
}

fn lying(message: &jetstream::message::StreamMessage) -> Lying {
    let id = message.headers.get(ID);
    Lying {
        sequence: message.sequence,
        id: id.map(ToString::to_string).unwrap_or_default(),
        payload: message.payload.clone(),
    }
}
