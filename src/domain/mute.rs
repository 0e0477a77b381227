//! Being told nothing on purpose: silences that a person asks for, and maintenance that was planned.
//!
//! Both cover cells. An incident is muted only while every one of its failing cells is covered, so that a
//! silence for one client never hides that a second one is refused now.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cell::{CellKey, ClientName, EgressName, ProbeName};
use super::incident::IncidentCell;
use super::spelling::spelled;
use super::verdict::Kind;
use crate::lang::cron::Cron;

/// Of what a person says of themselves, and of their reason; characters.
pub const WORDS_MAX: usize = 200;
/// Silences in force at once.
pub const SILENCES_MAX: usize = 1_000;

/// Which cells are meant: all that is named must hold, and of several names one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Matcher {
    /// Numbers of incidents; empty: any.
    pub incidents: Vec<u64>,
    pub probes: Vec<ProbeName>,
    pub egresses: Vec<EgressName>,
    pub clients: Vec<ClientName>,
    /// What the cell shows.
    pub kinds: Vec<Kind>,
}

impl Matcher {
    /// Whether it names nothing, and so means everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a failing cell of the incident with this number is meant.
    #[must_use]
    pub fn covers(&self, incident: u64, member: &IncidentCell) -> bool {
        any(&self.incidents, &incident)
            && any(&self.kinds, &member.kind)
            && self.names(&member.cell)
    }

    /// Whether a cell is meant whatever it shows, and without any incident.
    #[must_use]
    pub fn covers_cell(&self, cell: &CellKey) -> bool {
        self.incidents.is_empty() && self.kinds.is_empty() && self.names(cell)
    }

    fn names(&self, cell: &CellKey) -> bool {
        any(&self.probes, &cell.probe)
            && any(&self.egresses, &cell.egress)
            && any(&self.clients, &cell.client)
    }
}

fn any<T: PartialEq>(wanted: &[T], found: &T) -> bool {
    wanted.is_empty() || wanted.contains(found)
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn part<T: ToString>(parts: &mut Vec<String>, what: &str, names: &[T]) {
            if !names.is_empty() {
                let names: Vec<String> = names.iter().map(ToString::to_string).collect();
                parts.push(format!("{what}{}", names.join(" or ")));
            }
        }
        let mut parts = Vec::new();
        let incidents: Vec<String> = self.incidents.iter().map(|n| format!("INC-{n}")).collect();
        part(&mut parts, "", &incidents);
        part(&mut parts, "probe ", &self.probes);
        part(&mut parts, "egress ", &self.egresses);
        part(&mut parts, "client ", &self.clients);
        part(&mut parts, "verdict ", &self.kinds);
        if parts.is_empty() {
            parts.push("everything".to_owned());
        }
        f.write_str(&parts.join(", "))
    }
}

/// A wish of a person: until then, tell nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Never used twice in one store.
    #[serde(default)]
    pub number: u64,
    #[serde(flatten)]
    pub matcher: Matcher,
    /// When it was asked for, UTC.
    pub from: Timestamp,
    pub until: Timestamp,
    /// For people ("ann in Slack").
    pub by: String,
    pub why: Option<String>,
    /// Ended before its time; `None`: not.
    pub ended: Option<Ended>,
}

/// That somebody ended a silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub at: Timestamp,
    pub by: String,
}

impl Silence {
    /// Whether it is in force.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now < self.until
    }

    /// Its name in sentences: `silence 3 of ann (planned work)`.
    #[must_use]
    pub fn name(&self) -> String {
        let why = self.why.as_ref().map(|why| format!(" ({why})"));
        format!(
            "silence {} of {}{}",
            self.number,
            self.by,
            why.unwrap_or_default()
        )
    }
}

/// Planned muting, or a planned remark.
#[derive(Debug, Clone)]
pub struct Maintenance {
    /// As people call it.
    pub name: String,
    pub begins: Begins,
    /// How long it lasts, elapsed time: on a night when clocks change it ends an hour off.
    pub lasting: Duration,
    /// Empty: every probe, controls too.
    pub probes: Vec<ProbeName>,
    pub effect: Effect,
}

/// When maintenance begins.
#[derive(Debug, Clone)]
pub enum Begins {
    /// Again and again.
    Cron(Cron),
    /// Once.
    Once(Timestamp),
}

impl Begins {
    /// The first beginning strictly after `after`.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.next_after(after),
            Self::Once(at) => Some(*at).filter(|at| *at > after),
        }
    }
}

spelled!(
    /// What maintenance does to messages.
    Effect {
        /// Nobody is told.
        Mute = "mute",
        /// Messages say that it falls into the maintenance.
        Annotate = "annotate",
    }
);

/// What a person typed, on one line, without control characters, at most [`WORDS_MAX`] characters.
#[must_use]
pub fn words(text: &str) -> String {
    let spaced = text
        .chars()
        .map(|c| if super::shown::is_unsafe(c) { ' ' } else { c });
    let spaced: String = spaced.collect();
    let joined = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    joined.chars().take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cell::CredentialName;

    fn member(client: &str, kind: Kind) -> IncidentCell {
        let at = "2026-03-01T02:00:00Z".parse().unwrap();
        IncidentCell {
            asked: None,
            cell: CellKey {
                probe: "p".into(),
                egress: "e".into(),
                client: client.into(),
                credential: CredentialName::anonymous(),
            },
            kind,
            failing: true,
            since: at,
            last_at: at,
        }
    }

    #[test]
    fn all_that_is_named_must_hold() {
        let block = member("old", Kind::EdgeBlock);
        let check = |name: &str, matcher: Matcher, expected: bool, shown: &str| {
            assert_eq!(matcher.covers(7, &block), expected, "{name}");
            // What names an incident or a verdict says nothing of a cell that only changed.
            let names_more = !matcher.incidents.is_empty() || !matcher.kinds.is_empty();
            let alone = matcher.covers_cell(&block.cell);
            assert_eq!(alone, expected && !names_more, "{name}");
            assert_eq!(matcher.to_string(), shown, "{name}");
        };
        check("everything", Matcher::default(), true, "everything");
        let client = |names: &[&str]| Matcher {
            clients: names.iter().map(|n| (*n).into()).collect(),
            ..Matcher::default()
        };
        check(
            "one of several",
            client(&["new", "old"]),
            true,
            "client new or old",
        );
        check("none of them", client(&["new"]), false, "client new");
        check(
            "another verdict",
            Matcher {
                kinds: vec![Kind::Timeout],
                ..client(&["old"])
            },
            false,
            "client old, verdict timeout",
        );
        check(
            "the incident",
            Matcher {
                incidents: vec![7],
                probes: vec!["p".into()],
                egresses: vec!["e".into()],
                ..Matcher::default()
            },
            true,
            "INC-7, probe p, egress e",
        );
        check(
            "another incident",
            Matcher {
                incidents: vec![8],
                ..Matcher::default()
            },
            false,
            "INC-8",
        );
    }

    #[test]
    fn what_a_person_typed_is_one_short_line() {
        assert_eq!(words("  planned\n\u{1b}[31m work "), "planned [31m work");
        assert_eq!(words(&"x".repeat(500)).len(), WORDS_MAX);
    }
}
