//! The receivers besides Slack and Teams, over real sockets: what each is sent, and what its answers mean.

mod alertmanager;
mod channels;
pub(crate) mod email;
pub(crate) mod endpoint;
mod mail_server;
mod many;
pub(crate) mod pagerduty;
mod together;
pub(crate) mod webhook;

use std::time::Duration;

use edgewatch::domain::cell::ReceiverName;
use edgewatch::domain::notification::{Channel, Notification, Reason, Receiver};
use edgewatch::notify::{Class, Message, SendError};

use crate::fakes::Fault;
use crate::samples::notification;

/// For one request, where nobody hangs.
const PATIENCE: Duration = Duration::from_secs(5);
/// For one request, where somebody does.
const HASTE: Duration = Duration::from_millis(150);

/// The reasons that the payloads are shown for.
const SHOWN: [Reason; 5] = [
    Reason::Opened,
    Reason::Changed,
    Reason::Reminder,
    Reason::Resolved,
    Reason::Unwatched,
];

/// The same, of an incident whose cause is not sure enough for its readers.
fn without_cause(reason: Reason) -> Notification {
    let mut due = notification(reason, 0, "x");
    due.briefing.headline = "GMC: 2 of 3 combinations fail".into();
    due.briefing.cause_known = false;
    due.briefing.confidence = 0.0;
    due.briefing.because = vec![];
    due.briefing.ruled_out = vec![];
    due.briefing.next_step = None;
    due
}

fn receiver(name: &str, channel: Channel, fallback: Option<&str>) -> Receiver {
    Receiver {
        name: ReceiverName::new(name),
        channel,
        fallback: fallback.map(ReceiverName::new),
    }
}

fn hangs(fault: Fault) -> bool {
    matches!(fault, Fault::Hang | Fault::TakenThenHang)
}

fn patience(fault: Fault) -> Duration {
    if hangs(fault) { HASTE } else { PATIENCE }
}

/// What is checked of an error: its class, and whether nobody can find out.
fn class(result: Result<(), SendError>) -> Result<(), (Class, bool)> {
    result.map_err(|e| (e.class, e.blind))
}

/// As it is told in the ordinary case.
fn message(due: &Notification) -> Message<'_> {
    crate::slack::message(due)
}
