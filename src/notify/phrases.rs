//! The texts of messages that can be put in other words: ours in `templates/`, the operator's in their place.
//!
//! Both are filled with the same facts. The operator's were checked when the file was read; should one come to
//! nothing all the same, ours is used, and the log says so once.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Message;
use super::plain_words::{doing, foot_remarks, service, state as word, words as own_words};
use super::text::{
    Clock, acknowledged, beside, cut, lasted, line, over, percent, reference, remarks, state, when,
};
use crate::domain::notification::{Briefing, Reason, Templates};
use crate::lang::template::{Audience, Fact, Piece, Template};

/// Names of the facts with their values.
pub(super) type Facts = Vec<(&'static str, Fact)>;

/// Of the reasons in one line.
const REASONS_MAX: usize = 190;

/// The texts of one receiver.
#[derive(Debug)]
pub(super) struct Phrases {
    pub(super) headline: Phrase,
    pub(super) body: Phrase,
    pub(super) footer: Phrase,
}

/// One text: ours, and perhaps the operator's.
#[derive(Debug)]
pub(super) struct Phrase {
    name: &'static str,
    own: Option<Template>,
    ours: &'static Option<Template>,
    /// That the operator's came to nothing was said.
    told: AtomicBool,
}

macro_rules! ours {
    ($($name:ident, $audience:ident, $app:literal, $part:literal;)+) => {
        $(static $name: LazyLock<Option<Template>> = LazyLock::new(|| {
            let text = include_str!(concat!("templates/", $app, "_", $part, ".jinja"));
            Template::new(text, Audience::$audience).ok()
        });)+

        /// Our own texts: app, part, template.
        const OURS: &[(&str, &str, &str)] = &[$((
            $app,
            $part,
            include_str!(concat!("templates/", $app, "_", $part, ".jinja")),
        )),+];
    };
}

ours! {
    SLACK_HEADLINE, Engineers, "slack", "headline";
    SLACK_BODY, Engineers, "slack", "body";
    SLACK_FOOTER, Engineers, "slack", "footer";
    TEAMS_HEADLINE, Support, "teams", "headline";
    TEAMS_BODY, Support, "teams", "body";
    TEAMS_FOOTER, Support, "teams", "footer";
}

/// Our own texts as the part of `probes.yaml` that would say the same, to begin one's own with.
#[must_use]
pub fn templates() -> String {
    let mut yaml = String::from("notify:\n  templates:\n");
    let mut before = "";
    for (app, part, text) in OURS {
        if *app != before {
            let _ = writeln!(yaml, "    {app}:");
            before = app;
        }
        let _ = writeln!(yaml, "      {part}: |-");
        for line in text.trim_end_matches('\n').lines() {
            let _ = writeln!(yaml, "        {line}");
        }
    }
    yaml
}

impl Phrases {
    pub(super) fn for_slack(own: &Templates) -> Self {
        Self {
            headline: Phrase::new("slack.headline", own.headline.as_ref(), &SLACK_HEADLINE),
            body: Phrase::new("slack.body", own.body.as_ref(), &SLACK_BODY),
            footer: Phrase::new("slack.footer", own.footer.as_ref(), &SLACK_FOOTER),
        }
    }

    pub(super) fn for_teams(own: &Templates) -> Self {
        Self {
            headline: Phrase::new("teams.headline", own.headline.as_ref(), &TEAMS_HEADLINE),
            body: Phrase::new("teams.body", own.body.as_ref(), &TEAMS_BODY),
            footer: Phrase::new("teams.footer", own.footer.as_ref(), &TEAMS_FOOTER),
        }
    }
}

impl Phrase {
    fn new(
        name: &'static str,
        own: Option<&Template>,
        ours: &'static LazyLock<Option<Template>>,
    ) -> Self {
        Self {
            name,
            own: own.cloned(),
            ours: LazyLock::force(ours),
            told: AtomicBool::new(false),
        }
    }

    /// The text with its facts.
    pub(super) fn render(&self, facts: &Facts) -> Vec<Piece> {
        if let Some(own) = &self.own {
            match own.render(facts) {
                Ok(pieces) => return pieces,
                Err(why) => {
                    if !self.told.swap(true, Ordering::Relaxed) {
                        tracing::error!(
                            "the template notify.templates.{} {why}; our own words are used instead",
                            self.name
                        );
                    }
                }
            }
        }
        self.ours
            .as_ref()
            .and_then(|ours| ours.render(facts).ok())
            .unwrap_or_default()
    }

    /// As [`Phrase::render`], for a place that can't be empty.
    pub(super) fn render_something(&self, facts: &Facts) -> Vec<Piece> {
        let pieces = self.render(facts);
        if pieces.iter().all(|piece| piece.text.trim().is_empty()) {
            let ours = self.ours.as_ref();
            return ours
                .and_then(|ours| ours.render(facts).ok())
                .unwrap_or(pieces);
        }
        pieces
    }
}

/// The text alone, for where there is no markup.
pub(super) fn plain(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| piece.text.as_str()).collect()
}

fn common(message: &Message<'_>, clock: &Clock, time: impl Fn(jiff::Timestamp) -> String) -> Facts {
    let briefing = message.briefing;
    let resolved = message.reason == Reason::Resolved;
    let ended = message.reason.is_end();
    let when_over = |text: String| if ended { text } else { String::new() };
    // Of what is no longer watched it is when nobody looked any more; of what is over, when it was.
    let end = if resolved {
        over(message)
    } else {
        briefing.resolved_at.unwrap_or(message.happened_at)
    };
    let words = |text: &Option<String>| own_words(text.as_ref()).unwrap_or_default();
    vec![
        ("reason", message.reason.as_str().to_owned().into()),
        ("service", service(briefing).into()),
        ("incident", briefing.incident.into()),
        ("reference", reference(briefing).into()),
        ("resolved", resolved.into()),
        ("watched_again", briefing.watched_again.into()),
        ("unwatched", (message.reason == Reason::Unwatched).into()),
        ("whole", message.whole.into()),
        ("our_side", briefing.our_side.into()),
        ("cause_known", briefing.cause_known.into()),
        ("comes_and_goes", briefing.comes_and_goes().into()),
        ("well_between", (briefing.reopened > 0).into()),
        ("since", time(briefing.since()).into()),
        (
            "first",
            briefing
                .back_since
                .map(|_| time(briefing.onset_at))
                .unwrap_or_default()
                .into(),
        ),
        ("until", when_over(time(end)).into()),
        ("lasted", when_over(lasted(briefing, over(message))).into()),
        (
            "next_update",
            briefing.next_update_at.map(time).unwrap_or_default().into(),
        ),
        ("place", clock.place.clone().into()),
        ("what", words(&briefing.words.what).into()),
        ("affects", words(&briefing.words.affects).into()),
        ("workaround", words(&briefing.words.workaround).into()),
        ("tell", words(&briefing.words.tell).into()),
    ]
}

/// What engineers may be told.
pub(super) fn for_engineers(message: &Message<'_>, clock: &Clock) -> Facts {
    let briefing = message.briefing;
    let list = |texts: &[String]| texts.iter().map(|t| line(t)).collect::<Vec<_>>();
    let known = |text: String| {
        if briefing.cause_known {
            text
        } else {
            String::new()
        }
    };
    let mut facts = common(message, clock, |at| clock.time_and_zone(at));
    facts.extend([
        ("remarks", remarks(message, clock).into()),
        ("state", state(message).into()),
        ("headline", line(&briefing.headline).into()),
        ("when", when(message, clock).into()),
        ("because", list(&briefing.because).into()),
        ("ruled_out", list(&briefing.ruled_out).into()),
        (
            "before",
            line(briefing.before.as_deref().unwrap_or_default()).into(),
        ),
        ("why", in_short(&briefing.because).into()),
        ("why_not", in_short(&briefing.ruled_out).into()),
        ("beside", beside(briefing).collect::<Vec<_>>().into()),
        (
            "acknowledged",
            acknowledged(briefing, clock).unwrap_or_default().into(),
        ),
        ("subject", line(&briefing.subject).into()),
        ("probes", list(&briefing.probes).into()),
        ("confidence", known(percent(briefing.confidence)).into()),
        ("next_step", next_step(briefing).into()),
        ("expected", line(&briefing.expected).into()),
        ("got", line(&briefing.got).into()),
        ("failed_runs", u64::from(briefing.failed_runs).into()),
        ("reference_ids", list(&briefing.reference_ids).into()),
    ]);
    facts
}

/// The first two, cut so that none crowds out what follows.
fn in_short(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().take(2).map(|t| line(t)).collect();
    cut(&texts.join("; "), REASONS_MAX)
}

fn next_step(briefing: &Briefing) -> String {
    let step = briefing.next_step.as_ref().map(|step| line(step));
    step.unwrap_or_default()
}

/// What support staff may be told.
pub(super) fn for_support(message: &Message<'_>, clock: &Clock) -> Facts {
    let mut facts = common(message, clock, |at| clock.time(at));
    facts.extend([
        ("remarks", foot_remarks(message, clock).into()),
        ("word", word(message).to_owned().into()),
        ("doing", doing(message).into()),
    ]);
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_templates_are_sound() {
        for (name, ours) in [
            ("slack.headline", &SLACK_HEADLINE),
            ("slack.body", &SLACK_BODY),
            ("slack.footer", &SLACK_FOOTER),
            ("teams.headline", &TEAMS_HEADLINE),
            ("teams.body", &TEAMS_BODY),
            ("teams.footer", &TEAMS_FOOTER),
        ] {
            assert!(ours.is_some(), "{name}");
        }
    }
}
