//! How an incident looks as a mail: plain text, one thread for each incident, the state first in the subject;
//! and how a channel of ours does that does not work.

use std::time::SystemTime;

use jiff::Timestamp;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message as Letter, SinglePart};
use uuid::Uuid;

use super::error::{Class, SendError};
use super::phrases::Phrases;
use super::text::{Clock, cut, lasted, line, over, reference, remarks, summary};
use super::{Message, Trouble, log, plain, plain_words, teams_together};
use crate::domain::notification::{IT_WAS, Reason, Templates};
use crate::domain::verdict::Kind;

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

/// What one mail differs in from another.
struct Parts<'a> {
    id: String,
    /// Id of the first mail of the thread.
    root: Option<&'a str>,
    at: Timestamp,
    subject: String,
    /// Headers of its own.
    marks: &'a [(&'static str, &'a str)],
    body: String,
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
        let incident = reference(message.briefing);
        self.letter(Parts {
            id: self.message_id(message.delivery),
            root,
            at: message.now,
            subject: self.subject(message),
            marks: &[
                ("X-Edgewatch-Incident", incident.as_str()),
                ("X-Edgewatch-Reason", message.reason.as_str()),
            ],
            body: self.body(message),
        })
    }

    /// Many in one mail: a line for each, and for engineers what is known of each below.
    pub(super) fn write_together(&self, messages: &[Message<'_>]) -> Result<Vec<u8>, SendError> {
        let Some(first) = messages.first() else {
            return Err(SendError::new(Class::Payload, "a mail about nothing"));
        };
        let clock = Clock::new(first);
        let (word, _, large) = teams_together::head(messages);
        let services = teams_together::services(messages);
        let mut body = vec![format!("{word}: {large}"), services.clone(), String::new()];
        let phrases = Phrases::for_teams(&Templates::default());
        let lines = messages.iter();
        body.extend(lines.map(|m| format!("- {}", teams_together::line_of(m, &clock, &phrases))));
        if !self.plain {
            for message in messages {
                body.push(format!("\n---\n\n{}", log::text(message)));
            }
        }
        body.push(format!("\n{}\n", teams_together::foot(messages, &clock)));
        self.letter(Parts {
            id: self.message_id(first.delivery),
            root: None,
            at: first.now,
            subject: cut(&format!("[{word}] {large}: {services}"), SUBJECT_MAX),
            marks: &[("X-Edgewatch-Reason", "together")],
            body: body.join("\n"),
        })
    }

    /// That another channel does not work, or works again, in answer to the first.
    pub(super) fn of_channel(&self, trouble: &Trouble<'_>) -> Result<Vec<u8>, SendError> {
        let root = self.message_id(trouble.beginning().id());
        let notice = trouble.notice();
        let (subject, body) = if self.plain {
            let (word, sentence, more) = notice.plain();
            (
                format!("[{word}] {sentence}"),
                format!("{sentence}\n{more}\n"),
            )
        } else {
            let since = format!("Since {} UTC", trouble.since.strftime("%a %-d %b %Y %H:%M"));
            (notice.text(), format!("{}\n{since}\n", notice.text()))
        };
        let reason = if trouble.over {
            "channel_reachable"
        } else {
            "channel_unreachable"
        };
        self.letter(Parts {
            id: self.message_id(trouble.id()),
            root: Some(&root),
            at: trouble.now,
            subject: cut(&subject, SUBJECT_MAX),
            marks: &[("X-Edgewatch-Reason", reason)],
            body,
        })
    }

    fn letter(&self, parts: Parts<'_>) -> Result<Vec<u8>, SendError> {
        let mut letter = Letter::builder()
            .from(self.from.clone())
            .subject(parts.subject)
            .date(SystemTime::from(parts.at))
            .message_id(Some(parts.id.clone()));
        for recipient in &self.to {
            letter = letter.to(recipient.clone());
        }
        if let Some(root) = parts.root.filter(|root| *root != parts.id) {
            letter = letter
                .in_reply_to(root.to_owned())
                .references(root.to_owned());
        }
        for (name, value) in MARKS.iter().chain(parts.marks) {
            letter = letter.raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str(name),
                (*value).to_owned(),
            ));
        }
        letter
            .singlepart(SinglePart::plain(parts.body))
            .map(|letter| letter.formatted())
            .map_err(|e| SendError::new(Class::Payload, format!("the mail can't be written: {e}")))
    }

    fn subject(&self, message: &Message<'_>) -> String {
        let briefing = message.briefing;
        let (state, sentence) = if self.plain {
            (plain_words::state(message), plain::sentence(message))
        } else {
            (state(message), sentence(message))
        };
        // Whose it was, and for how long, before a list of mails is cut.
        let end = if message.reason == Reason::Resolved {
            let service = line(&briefing.service);
            format!(" {service}, after {};", lasted(briefing, over(message)))
        } else {
            String::new()
        };
        // No sign beyond ASCII between them, so that most subjects go as they stand.
        let subject = format!("[{state}] {}:{end} {sentence}", reference(briefing));
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

/// The sentence for engineers; of what is over, what it was: that it passes again is said by the state.
fn sentence(message: &Message<'_>) -> String {
    let headline = line(&message.briefing.headline);
    match headline
        .split_once(IT_WAS)
        .filter(|_| message.reason == Reason::Resolved)
    {
        Some((_, was)) => format!("it was: {was}"),
        None => headline,
    }
}

/// The state for engineers, in few and always the same words, so that rules can sort by them.
fn state(message: &Message<'_>) -> &'static str {
    let warns = message.briefing.kind == Kind::Warning && !message.briefing.watched_again;
    match (message.briefing.our_side, message.reason) {
        (false, Reason::Opened | Reason::Reopened) if warns => "WARNING",
        (false, Reason::Changed | Reason::Reminder | Reason::Muted) if warns => "STILL A WARNING",
        (false, Reason::Resolved) if warns => "WARNING OVER",
        (false, _) | (true, Reason::Unwatched) => plain_words::state(message),
        (true, Reason::Resolved) => "MONITOR PROBLEM OVER",
        (true, _) => "MONITOR PROBLEM",
    }
}
