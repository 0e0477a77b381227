//! An incident in the words of people who never heard of HTTP: what Teams and plain mail say.
//!
//! No codes, host names, vendors, page text or guesses stand here, only the words of the configuration
//! and sentences of ours that are always true. Mail has ours alone; Teams may have the operator's in their place.

use std::sync::LazyLock;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::Message;
use super::phrases::{self, Phrases};
use super::plain_words::{WORDS_MAX, doing, service, state, words};
use super::text::{Clock, cut, line};
use crate::domain::notification::{Briefing, Engineers, Reason, Templates};
use crate::lang::template::Piece;

/// Of one text from the configuration; at four bytes a character and all of them at once a card is below 10 KiB.
/// Of one text from a template.
pub(super) const PHRASE_MAX: usize = 450;

static OURS: LazyLock<Phrases> = LazyLock::new(|| Phrases::for_teams(&Templates::default()));

/// The large sentence, what stands below it, and the small print.
pub(super) struct Said {
    pub(super) headline: Vec<Piece>,
    pub(super) body: Vec<Piece>,
    pub(super) footer: Vec<Piece>,
}

/// Puts a message in words: the operator's, or ours.
pub(super) fn say(message: &Message<'_>, clock: &Clock, phrases: &Phrases) -> Said {
    let facts = phrases::for_support(message, clock);
    let headline = if message.reason == Reason::Notice {
        vec![Piece {
            text: format!(
                "{}: a technical change was noticed",
                service(message.briefing)
            ),
            fact: true,
        }]
    } else {
        phrases.headline.render_something(&facts)
    };
    Said {
        headline,
        body: phrases.body.render(&facts),
        footer: phrases.footer.render(&facts),
    }
}

pub(super) fn shown(pieces: &[Piece]) -> String {
    cut(&line(&phrases::plain(pieces)), PHRASE_MAX)
}

/// The large sentence, in the words of the configuration.
pub(super) fn sentence(message: &Message<'_>) -> String {
    shown(&say(message, &Clock::new(message), &OURS).headline)
}

/// `PROBLEM: Submitting recommendations: not working at the moment`.
pub(super) fn title(message: &Message<'_>, said: &Said) -> String {
    format!("{}: {}", state(message), shown(&said.headline))
}

/// Whether somebody may not know of a problem because their channel is broken; that it is over is no haste.
pub(super) fn stands_in(message: &Message<'_>) -> bool {
    let untold = message.briefing.engineers == Engineers::Untold;
    untold && message.note.is_some() && !message.reason.is_end()
}

/// What whoever reads a message in the place of others must do.
pub(super) const DO_NOW: &str = "Please do this now";
pub(super) const RING: &str =
    "Ring the technical team: their own channel could not be reached, so they may not know";

/// Titles and values, in the order of reading.
pub(super) fn facts(message: &Message<'_>, clock: &Clock) -> Vec<(&'static str, String)> {
    let briefing = message.briefing;
    let mut facts = Vec::new();
    if message.reason == Reason::Notice {
        // What changed has no plain words; engineers have the others.
        let nothing = "Nothing. The technical team has the details";
        facts.push(("What to do", nothing.to_owned()));
        return facts;
    }
    if stands_in(message) {
        facts.push((DO_NOW, RING.to_owned()));
    }
    if let Some(affects) = words(briefing.words.affects.as_ref()) {
        let title = if message.reason == Reason::Resolved {
            "Who was affected"
        } else {
            "Who is affected"
        };
        facts.push((title, affects));
    }
    if message.reason == Reason::Resolved {
        facts.push((
            "What to do",
            "Nothing. If somebody still has trouble, tell the technical team and quote the reference below"
                .to_owned(),
        ));
        return facts;
    }
    if message.reason == Reason::Unwatched {
        let why = words(briefing.plain.why.as_ref());
        facts.extend(why.map(|why| ("What was seen last", why)));
        facts.push((
            "What to do",
            "Don't take it for fixed: it was not working when it was looked at last. Ask the technical team before you tell anybody that it works"
                .to_owned(),
        ));
        facts.push((
            "Why this comes",
            "What is checked was changed, so nobody looks at this any more".to_owned(),
        ));
        facts.extend(contact(briefing));
        return facts;
    }
    let during: Vec<String> = briefing.during.iter().map(|name| line(name)).collect();
    if !during.is_empty() {
        let during = cut(&during.join(", "), WORDS_MAX);
        facts.push(("Planned maintenance", during));
    }
    let see = words(briefing.plain.see.as_ref());
    let usual = || "It fails, or does not finish".to_owned();
    facts.push(("What people see", see.unwrap_or_else(usual)));
    facts.extend(words(briefing.plain.why.as_ref()).map(|why| ("What we know", why)));
    if message.reason == Reason::Reminder {
        let nothing = "Nothing yet. You hear of it at once when it works again";
        facts.push(("What is new", nothing.to_owned()));
    }
    facts.extend(words(briefing.before.as_ref()).map(|before| ("Before", before)));
    facts.push(("What we are doing", doing(message)));
    facts.extend(contact(briefing));
    if let Some(workaround) = words(briefing.words.workaround.as_ref()) {
        facts.push(("What still works", workaround));
    }
    let next = match briefing.next_update_at {
        Some(at) => format!("{} ({})", clock.time(at), clock.place),
        None => "As soon as something changes or it works again".to_owned(),
    };
    facts.push(("Next update", next));
    facts
}

/// Whom support staff ring, and where they read on.
fn contact(briefing: &Briefing) -> Vec<(&'static str, String)> {
    let contact = &briefing.words.contact;
    [("Whom to ring", &contact.ring), ("More", &contact.link)]
        .into_iter()
        .filter_map(|(title, text)| Some((title, words(text.as_ref())?)))
        .collect()
}

/// What the card says, without times: two messages with the same digest tell support staff the same.
#[must_use]
pub fn digest(message: &Message<'_>) -> String {
    let briefing = message.briefing;
    // A first message and a reminder say the same thing of the problem; only an end is another state.
    let told = json!([
        message.reason.is_end().then_some(message.reason),
        briefing.service,
        briefing.words.what,
        briefing.words.affects,
        briefing.words.workaround,
        briefing.words.tell,
        briefing.plain.see,
        briefing.plain.why,
        doing(message),
    ]);
    let hash = Sha256::digest(told.to_string().as_bytes());
    let start = hash.iter().take(8);
    format!(
        "{:016x}",
        start.fold(0_u64, |all, byte| all << 8 | u64::from(*byte))
    )
}

/// The words as plain lines, for where there is no Teams: its wording can be judged before anyone has a flow.
#[must_use]
pub fn text(message: &Message<'_>, templates: &Templates) -> String {
    let clock = Clock::new(message);
    let said = say(message, &clock, &Phrases::for_teams(templates));
    lines(message, &clock, &said).join("\n")
}

pub(super) fn lines(message: &Message<'_>, clock: &Clock, said: &Said) -> Vec<String> {
    let briefing = message.briefing;
    let mut lines = vec![title(message, said), shown(&said.body)];
    lines.extend(
        facts(message, clock)
            .iter()
            .map(|(title, value)| format!("{title}: {value}")),
    );
    if !message.reason.is_end()
        && message.reason != Reason::Notice
        && let Some(tell) = words(briefing.words.tell.as_ref())
    {
        lines.push(format!("What you can tell users: “{tell}”"));
    }
    lines.push(shown(&said.footer));
    lines.retain(|line| !line.is_empty());
    lines
}
