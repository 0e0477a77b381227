//! Puts what changed without being an incident into one message for those who want it.
//!
//! A notice opens nothing and nothing follows it: no thread, no reminder, no end. It goes at once to the
//! receivers of routes with `notices`, which engineers' channels have unless the file says otherwise and
//! support staff's don't: there is nothing for them to do while everything works. A route outside its
//! hours gets it when they begin. What mutes one is judged where it arises: see `surroundings`.

use jiff::Timestamp;

use crate::domain::cell::{ProbeName, ReceiverName};
use crate::domain::incident::State;
use crate::domain::notification::named;
use crate::domain::notification::{Briefing, Channel, Engineers, Notification, Plain, Reason};
use crate::domain::plan::Plan;
use crate::domain::probe::Words;
use crate::domain::secret::{Secrets, mask};
use crate::domain::spells::Spells;
use crate::domain::verdict::Kind;
use crate::words::evidence::{cut, plain};

const SENTENCE_CHARS_MAX: usize = 400;

/// A change, in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// When it was seen first.
    pub at: Timestamp,
    /// The host, or ourselves.
    pub subject: String,
    /// It is about our own side, and so for everybody.
    pub our_side: bool,
    /// The probes that it concerns.
    pub probes: Vec<ProbeName>,
    pub headline: String,
    pub because: Vec<String>,
    pub next_step: Option<String>,
    /// Names of the maintenance that it falls into.
    pub during: Vec<String>,
}

impl Notice {
    /// About ourselves, without its words.
    #[must_use]
    pub fn of_ourselves(at: Timestamp) -> Self {
        Self {
            at,
            subject: "edgewatch".to_owned(),
            our_side: true,
            probes: Vec::new(),
            headline: String::new(),
            because: Vec::new(),
            next_step: None,
            // Whoever is at work on a partner or on our network is not at work on this.
            during: Vec::new(),
        }
    }

    /// The same without secrets that an error may quote.
    #[must_use]
    pub fn masked(self, secrets: &Secrets) -> Self {
        let hide = |text: &String| mask(text, secrets);
        Self {
            headline: hide(&self.headline),
            because: self.because.iter().map(hide).collect(),
            next_step: self.next_step.as_ref().map(hide),
            ..self
        }
    }
}

/// The notifications of a notice, one a receiver, each for when the first of its routes is open.
#[must_use]
pub fn due(plan: &Plan, notice: &Notice, now: Timestamp) -> Vec<Notification> {
    let mut receivers: Vec<(&ReceiverName, Timestamp)> = Vec::new();
    for route in plan.routes.iter().filter(|route| route.notices) {
        let concerned = notice.our_side || plan.is_for(route, &notice.probes);
        let open_at = match &route.during {
            Some(hours) => hours.next_open(&plan.zone, now),
            None => Some(now),
        };
        let Some(open_at) = open_at.filter(|_| concerned) else {
            continue;
        };
        match receivers.iter_mut().find(|(to, _)| **to == route.to) {
            Some((_, earliest)) => *earliest = open_at.min(*earliest),
            None => receivers.push((&route.to, open_at)),
        }
    }
    let tell = |(receiver, not_before): (&ReceiverName, Timestamp)| {
        let first_seen = notice.at.as_microsecond().to_be_bytes();
        let parts: [&[u8]; 4] = [
            b"notice",
            &first_seen,
            notice.headline.as_bytes(),
            receiver.as_str().as_bytes(),
        ];
        Notification {
            delivery: named(now, &parts),
            incident: 0,
            sequence: 0,
            reason: Reason::Notice,
            receiver: receiver.clone(),
            created_at: now,
            not_before,
            briefing: briefing(plan, notice, now),
        }
    };
    receivers.into_iter().map(tell).collect()
}

/// The same; where no route wants notices, to everybody who can read one: it must not be lost.
#[must_use]
pub fn due_to_anybody(plan: &Plan, notice: &Notice, now: Timestamp) -> Vec<Notification> {
    let due = due(plan, notice, now);
    if !due.is_empty() {
        return due;
    }
    let mut open = plan.clone();
    for route in &mut open.routes {
        let mut receivers = plan.receivers.iter();
        let receiver = receivers.find(|receiver| receiver.name == route.to);
        route.notices = !receiver.is_some_and(|receiver| {
            matches!(
                receiver.channel,
                Channel::PagerDuty { .. } | Channel::Alertmanager { .. }
            )
        });
    }
    self::due(&open, notice, now)
}

fn briefing(plan: &Plan, notice: &Notice, now: Timestamp) -> Briefing {
    let sentence = |text: &str| cut(&plain(text), SENTENCE_CHARS_MAX);
    let words = notice
        .probes
        .iter()
        .filter_map(|name| plan.probe(name))
        .find(|probe| probe.words != Words::default())
        .map_or_else(Words::default, |probe| probe.words.clone());
    Briefing {
        service: if notice.our_side {
            &plan.service
        } else {
            plan.partner_called(&notice.probes)
        }
        .to_owned(),
        incident: 0,
        state: State::Open,
        our_side: notice.our_side,
        subject: notice.subject.clone(),
        probes: notice.probes.iter().map(ToString::to_string).collect(),
        kind: Kind::Pass,
        headline: sentence(&notice.headline),
        because: notice.because.iter().map(|text| sentence(text)).collect(),
        ruled_out: Vec::new(),
        next_step: notice.next_step.as_deref().map(sentence),
        confidence: 0.0,
        cause_known: false,
        onset_at: notice.at,
        opened_at: now,
        resolved_at: None,
        spells: Spells::default(),
        before: None,
        reopened: 0,
        returns: 0,
        watched_again: false,
        engineers: Engineers::Told,
        back_since: None,
        failed_runs: 0,
        cells: Vec::new(),
        expected: String::new(),
        got: String::new(),
        last_good_at: None,
        failing: None,
        passing: None,
        reference_ids: Vec::new(),
        words,
        zone: plan.zone.iana_name().unwrap_or("UTC").to_owned(),
        next_update_at: None,
        beside: Vec::new(),
        acknowledged: None,
        during: notice.during.clone(),
        muted: None,
        held_back: Vec::new(),
        plain: Plain::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    #[test]
    fn no_word_of_a_notice_shows_a_secret() {
        let quoting = || "refused: hunter22".to_owned();
        let notice = Notice {
            headline: quoting(),
            because: vec![quoting()],
            next_step: Some(quoting()),
            ..Notice::of_ourselves(Timestamp::UNIX_EPOCH)
        };
        let masked = notice.masked(&Secrets::of([Secret::new("hunter22")]));
        let said = format!("{masked:?}");
        assert!(!said.contains("hunter22"), "{said}");
        assert_eq!(said.matches("[secret]").count(), 3, "{said}");
    }
}
