//! Why a message was not accepted, and what that asks for.

use std::time::Duration;

/// What kind of trouble; each asks for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Surely not taken; wait as long as asked, the whole channel.
    SlowDown(Option<Duration>),
    /// Surely not taken, or doing it again is harmless; try again.
    Transient,
    /// It may have been taken; look before sending again.
    Ambiguous,
    /// Our layout was refused; send plain text.
    Payload,
    /// Their set-up refuses us (token, channel, URL); a person must act.
    Setup,
    /// The message to be changed is gone; send a new one.
    Gone,
    /// The receiver wants nothing more from us; not tried again.
    Closed,
}

impl Class {
    /// One word for tables and the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SlowDown(_) => "slow_down",
            Self::Transient => "transient",
            Self::Ambiguous => "ambiguous",
            Self::Payload => "payload",
            Self::Setup => "setup",
            Self::Gone => "gone",
            Self::Closed => "closed",
        }
    }
}

/// Why a message was not accepted. The text holds no secret: neither token nor URL, nor what came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SendError {
    pub class: Class,
    pub text: String,
    /// Nobody can find out whether it arrived.
    pub blind: bool,
    /// When to come back, if the answer said so although it asked for nothing else.
    pub retry_after: Option<Duration>,
}

impl SendError {
    pub(crate) fn new(class: Class, text: impl Into<String>) -> Self {
        Self {
            class,
            text: text.into(),
            blind: false,
            retry_after: None,
        }
    }

    pub(super) fn blind(mut self) -> Self {
        self.blind = true;
        self
    }
}
