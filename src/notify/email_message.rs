//! How an incident looks as a mail: plain text, one thread for each incident, the state first in the subject.

use std::time::SystemTime;

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message as Letter, SinglePart};
use uuid::Uuid;

use super::error::{Class, SendError};
use super::text::{Clock, cut, line, reference, remarks, summary};
use super::{Message, log, plain};
use crate::domain::notification::{Reason, Templates};

/// Programs that read mail cut a subject long before the 998 characters that a line may have.
const SUBJECT_MAX: usize = 180;

/// What the head of every mail says of itself, so that no holiday notice answers it (RFC 3834).
const MARKS: [(&str, &str); 2] = [
    ("Auto-Submitted", "auto-generated"),
    ("X-Auto-Response-Suppress", "All"),
];

/// From whom, to whom, and in whose words.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
    /// In the words of support staff.
    pub(super) plain: bool,
}

impl Writer {
    /// The id of a delivery's mail: the same at each try, so that whoever gets it twice can tell.
    pub(super) fn message_id(&self, delivery: Uuid) -> String {
        format!("<{delivery}@{}>", self.from.email.domain())
    }

    /// The mail as it goes over the wire; `root` is the id of the incident's first mail, if there was one.
    pub(super) fn write(
        &self,
        message: &Message<'_>,
        root: Option<&str>,
    ) -> Result<Vec<u8>, SendError> {
        let id = self.message_id(message.delivery);
        let mut letter = Letter::builder()
            .from(self.from.clone())
            .subject(self.subject(message))
            .date(SystemTime::from(message.now))
            .message_id(Some(id.clone()));
        for recipient in &self.to {
            letter = letter.to(recipient.clone());
        }
        if let Some(root) = root.filter(|root| *root != id) {
            letter = letter
                .in_reply_to(root.to_owned())
                .references(root.to_owned());
        }
        let incident = reference(message.briefing);
        let ours = [
            ("X-Edgewatch-Incident", incident.as_str()),
            ("X-Edgewatch-Reason", message.reason.as_str()),
        ];
        for (name, value) in MARKS.into_iter().chain(ours) {
            letter = letter.raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str(name),
                value.to_owned(),
            ));
        }
        letter
            .singlepart(SinglePart::plain(self.body(message)))
            .map(|letter| letter.formatted())
            .map_err(|e| SendError::new(Class::Payload, format!("the mail can't be written: {e}")))
    }

    fn subject(&self, message: &Message<'_>) -> String {
        let briefing = message.briefing;
        let (state, sentence) = if self.plain {
            (plain::state(message), plain::sentence(message))
        } else {
            (state(message), line(&briefing.headline))
        };
        // No sign beyond ASCII between them, so that most subjects go as they stand.
        let subject = format!("[{state}] {}: {sentence}", reference(briefing));
        cut(&subject, SUBJECT_MAX)
    }

    fn body(&self, message: &Message<'_>) -> String {
        let mut body = if self.plain {
            plain::text(message, &Templates::default())
        } else if message.plain {
            // The whole was refused: what makes sense alone.
            let clock = Clock::new(message);
            let mut lines = vec![format!(
                "{} · {}",
                summary(message, &clock),
                reference(message.briefing)
            )];
            lines.extend(remarks(message, &clock));
            lines.join("\n")
        } else {
            log::text_with_evidence(message)
        };
        body.push('\n');
        body
    }
}

/// The state for engineers, in few and always the same words, so that rules can sort by them.
fn state(message: &Message<'_>) -> &'static str {
    match (message.briefing.our_side, message.reason) {
        (false, _) => plain::state(message),
        (true, Reason::Resolved) => "MONITOR PROBLEM OVER",
        (true, _) => "MONITOR PROBLEM",
    }
}
