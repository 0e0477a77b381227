//! A notice that goes to its receivers without the store, because of which it is told.
//!
//! Nothing is remembered of it: it is tried a few times, then its receiver's fallback is told, and the log in any case.

use std::time::Duration;

use super::sender::{self, Sender};
use super::{Deliver, Print, Timing};
use crate::clock;
use crate::domain::notification::{Notification, Receiver};
use crate::notify::Message;

/// Tries to reach one receiver.
const TRIES: u32 = 3;
/// Between two of them.
const AGAIN: Duration = Duration::from_secs(5);

impl Deliver {
    /// Tells each of these now, beside whatever waits; returns at once.
    pub fn tell_past_the_store(
        due: Vec<Notification>,
        receivers: &[Receiver],
        timing: &Timing,
        print: &Print,
    ) {
        for notification in due {
            let named = |name: &str| receivers.iter().find(|r| r.name.as_str() == name).cloned();
            let receiver = named(notification.receiver.as_str());
            let fallback = receiver.as_ref().and_then(|r| r.fallback.clone());
            let ways: Vec<Receiver> = receiver
                .into_iter()
                .chain(fallback.and_then(|name| named(name.as_str())))
                .collect();
            let (timing, print) = (timing.clone(), Print::clone(print));
            tokio::spawn(async move {
                for receiver in &ways {
                    if reaches(receiver, &notification, &timing, &print).await {
                        return;
                    }
                }
                tracing::error!(receiver = %notification.receiver, "nobody could be told: {}", notification.briefing.headline);
            });
        }
    }
}

async fn reaches(
    receiver: &Receiver,
    notification: &Notification,
    timing: &Timing,
    print: &Print,
) -> bool {
    let sender = Sender::new(receiver, timing);
    let mut tried_at = None;
    for _ in 0..TRIES {
        let now = clock::now();
        let message = Message::plainly(notification, now);
        // It shows what the store has.
        if matches!(sender, Sender::Page) {
            return false;
        }
        if matches!(sender, Sender::Log | Sender::Missing(_)) {
            let text = sender::text(&receiver.channel, &message);
            print(&format!("── to {} ──\n{text}\n", receiver.name));
            return matches!(sender, Sender::Log);
        }
        match sender.tell(&message, None, tried_at).await.1 {
            Ok(_) => return true,
            Err(error) => {
                tracing::warn!(receiver = %receiver.name, "not told past the store: {error}");
            }
        }
        tried_at = tried_at.or(Some(now));
        tokio::time::sleep(AGAIN).await;
    }
    false
}
