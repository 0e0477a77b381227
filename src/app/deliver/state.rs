//! How each receiver stands, for whoever wants to look: reachable, in trouble and why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::domain::cell::ReceiverName;

/// How a receiver stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Nothing was tried yet.
    Unknown,
    /// The last message or check went well; what the other side said of itself, if it was asked.
    Good(Option<String>),
    /// Not now, but it is tried again.
    Waiting { since: Timestamp, why: String },
    /// A person must act.
    Broken { since: Timestamp, why: String },
    /// Messages go to the log, because something is missing.
    Log,
}

/// All receivers of one delivery.
#[derive(Debug, Clone, Default)]
pub(super) struct States(Arc<Mutex<BTreeMap<ReceiverName, Reach>>>);

impl States {
    pub(super) fn all(&self) -> BTreeMap<ReceiverName, Reach> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sets the state; of one trouble after the other the time of the first stays.
    pub(super) fn set(&self, receiver: &ReceiverName, mut reach: Reach) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.get(receiver);
        if let (
            Some(Reach::Waiting { since: first, .. } | Reach::Broken { since: first, .. }),
            Reach::Waiting { since, .. } | Reach::Broken { since, .. },
        ) = (before, &mut reach)
        {
            *since = *first;
        }
        // What it said of itself is worth more than that a message arrived.
        if matches!(
            (before, &reach),
            (Some(Reach::Good(Some(_))), Reach::Good(None))
        ) {
            return;
        }
        all.insert(receiver.clone(), reach);
    }
}
