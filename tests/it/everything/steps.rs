//! What may happen, drawn by chance, and how it is written for a person to read.

use std::fmt;
use std::ops::Range;

use edgewatch::domain::verdict::Kind;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::fakes::Fault;

/// What can break: probe, client, egress; empty: each of them. The last one is our own network.
pub(super) const PARTS: &[(&str, &str, &str)] = &[
    ("one", "java-8", ""),
    ("one", "java-11", ""),
    ("one", "", "new-reval"),
    ("one", "", ""),
    ("two", "java-8", ""),
    ("two", "", "legacy-prod"),
    ("two", "", ""),
    ("three", "java-11", ""),
    ("three", "", ""),
    ("", "", "new-reval"),
];

/// One method of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Slack(&'static str),
    Support,
    Backup,
}

/// What a silence is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whom {
    Everything,
    Client(&'static str),
    Probe(&'static str),
    /// The open incident at this place.
    Incident(usize),
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Pass {
        minutes: i64,
    },
    Breaks {
        part: usize,
        kind: Kind,
    },
    Heals {
        part: usize,
    },
    HealsAll,
    Silence {
        whom: Whom,
        minutes: i64,
    },
    EndSilences,
    /// The open incident at this place.
    Acknowledge {
        place: usize,
    },
    /// A new file, with maintenance from now on.
    Maintenance {
        minutes: i64,
        probe: &'static str,
    },
    /// A new file without maintenance.
    NoMaintenance,
    /// A new file with or without the second receiver.
    Support {
        there: bool,
    },
    /// The next calls of a method go wrong like this.
    Faults {
        place: Place,
        faults: Vec<Fault>,
    },
    /// Waits until all is delivered.
    Drain,
    /// From now on nothing that the rules decide gets to the disk; a crash loses it, a stop does not.
    Stall,
    /// After so many more calls, in the middle of whatever goes on.
    Crash {
        calls: usize,
    },
    Restart,
}

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) steps: Vec<Step>,
    /// So many openings have messages of their own.
    pub(super) storm_most: usize,
}

impl Case {
    /// Whether a channel may leave us without an answer.
    pub(super) fn hangs(&self) -> bool {
        self.steps.iter().any(|step| match step {
            Step::Faults { faults, .. } => faults.iter().any(|fault| crate::deliver::hangs(*fault)),
            _ => false,
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "with {} messages of their own:", self.storm_most)?;
        let mut minute = 0;
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "{number:>3}. at {minute:>3} min: {step}")?;
            if let Step::Pass { minutes } = step {
                minute += minutes;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &usize| {
            let (probe, client, egress) = PARTS[*part];
            let all = |name: &'static str| if name.is_empty() { "*" } else { name };
            format!("{}/{}/{}", all(probe), all(client), all(egress))
        };
        match self {
            Self::Pass { minutes } => write!(f, "{minutes} minutes go by"),
            Self::Breaks { part: at, kind } => write!(f, "{} breaks: {kind}", part(at)),
            Self::Heals { part: at } => write!(f, "{} heals", part(at)),
            Self::HealsAll => f.write_str("all heals"),
            Self::Silence { whom, minutes } => write!(f, "silence {whom:?} for {minutes} min"),
            Self::EndSilences => f.write_str("all silences end"),
            Self::Acknowledge { place } => write!(f, "acknowledge open incident no. {place}"),
            Self::Maintenance { minutes, probe } => {
                write!(f, "a new file: maintenance of {probe:?} for {minutes} min")
            }
            Self::NoMaintenance => f.write_str("a new file: no maintenance"),
            Self::Support { there: true } => f.write_str("a new file: with support"),
            Self::Support { there: false } => f.write_str("a new file: without support"),
            Self::Faults { place, faults } => write!(f, "{place:?} will answer {faults:?}"),
            Self::Drain => f.write_str("wait until all is delivered"),
            Self::Stall => f.write_str("the disk takes no more changes"),
            Self::Crash { calls } => write!(f, "crash after {calls} calls"),
            Self::Restart => f.write_str("stop and start"),
        }
    }
}

const KINDS: &[Kind] = &[
    Kind::EdgeBlock,
    Kind::EdgeBlock,
    Kind::OriginDenied,
    Kind::OriginError,
    Kind::Timeout,
    Kind::ConnectError,
];

const SLOW_DOWN: &[Fault] = &[
    Fault::SlowDown(None),
    Fault::SlowDown(Some("0.01")),
    Fault::SlowDown(Some("1")),
    Fault::SlowDown(Some("3600")),
    Fault::SlowDown(Some("Wed, 21 Oct 2026 07:28:00 GMT")),
];

const UNCLEAR: &[Fault] = &[
    Fault::TakenThen500,
    Fault::TakenThenDropped,
    Fault::TakenThenCut,
    Fault::TakenThenHang,
    Fault::Hang,
    Fault::Status(500),
    Fault::Status(503),
];

const SLACK: &[Fault] = &[
    Fault::None,
    Fault::None,
    Fault::Page,
    Fault::Redirect,
    Fault::Status(404),
    Fault::Refused("is_archived"),
    Fault::Refused("invalid_auth"),
    Fault::Refused("missing_scope"),
    Fault::Refused("invalid_blocks"),
    Fault::Refused("msg_too_long"),
    Fault::Refused("fatal_error"),
    Fault::Refused("ratelimited"),
    Fault::Refused("message_limit_exceeded"),
    Fault::RefusedSilently,
    Fault::TakenStrangely,
];

/// A question has no layout that could be refused.
const ASKED: &[Fault] = &[
    Fault::None,
    Fault::None,
    Fault::Page,
    Fault::Redirect,
    Fault::Status(404),
    Fault::Refused("invalid_auth"),
    Fault::Refused("missing_scope"),
    Fault::Refused("fatal_error"),
    Fault::Refused("ratelimited"),
    Fault::RefusedSilently,
];

const TEAMS: &[Fault] = &[
    Fault::None,
    Fault::None,
    Fault::Page,
    Fault::Redirect,
    Fault::Status(400),
    Fault::Status(404),
    Fault::Status(413),
    Fault::Refused("an error of the flow"),
];

fn faults() -> impl Strategy<Value = Step> {
    let told = &[
        Place::Slack("chat.postMessage"),
        Place::Slack("chat.postMessage"),
        Place::Slack("chat.update"),
    ];
    let asked = &[
        Place::Slack("conversations.history"),
        Place::Slack("conversations.replies"),
        Place::Slack("auth.test"),
    ];
    let fault =
        |own: &'static [Fault]| prop_oneof![select(SLOW_DOWN), select(UNCLEAR), select(own)];
    // Different ones after each other, or the same for a while.
    let several = |own: &'static [Fault]| {
        let same = (fault(own), 1usize..7).prop_map(|(fault, times)| vec![fault; times]);
        prop_oneof![vec(fault(own), 1..6), same]
    };
    let slack = (select(told), several(SLACK));
    let asked = (select(asked), several(ASKED));
    let teams = (select(&[Place::Support, Place::Backup]), several(TEAMS));
    prop_oneof![4 => slack, 2 => asked, 2 => teams]
        .prop_map(|(place, faults)| Step::Faults { place, faults })
}

fn whom() -> impl Strategy<Value = Whom> {
    prop_oneof![
        Just(Whom::Everything),
        Just(Whom::Client("java-8")),
        Just(Whom::Probe("two")),
        (0usize..3).prop_map(Whom::Incident),
    ]
}

/// What people and machines do in between.
fn aside() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (whom(), 1i64..60).prop_map(|(whom, minutes)| Step::Silence { whom, minutes }),
        2 => Just(Step::EndSilences),
        3 => (0usize..3).prop_map(|place| Step::Acknowledge { place }),
        2 => (1i64..40, select(&["", "one", "two"]))
            .prop_map(|(minutes, probe)| Step::Maintenance { minutes, probe }),
        1 => Just(Step::NoMaintenance),
        1 => any::<bool>().prop_map(|there| Step::Support { there }),
        2 => Just(Step::Drain),
        2 => Just(Step::Stall),
        5 => (0usize..7).prop_map(|calls| Step::Crash { calls }),
        1 => Just(Step::Restart),
    ]
}

fn pass(minutes: Range<i64>) -> impl Strategy<Value = Vec<Step>> {
    minutes.prop_map(|minutes| vec![Step::Pass { minutes }])
}

/// Something begins or ends, and has the time to be noticed or not.
fn turn() -> impl Strategy<Value = Vec<Step>> {
    let breaks =
        || (0..PARTS.len(), select(KINDS)).prop_map(|(part, kind)| Step::Breaks { part, kind });
    let heals = (0..PARTS.len()).prop_map(|part| Step::Heals { part });
    // It is over, and comes back soon enough to be the same incident.
    let back = (0..PARTS.len(), select(KINDS), 6i64..14).prop_map(|(part, kind, minutes)| {
        vec![
            Step::Breaks { part, kind },
            Step::Pass { minutes: 7 },
            Step::HealsAll,
            Step::Pass { minutes },
            Step::Breaks { part, kind },
        ]
    });
    prop_oneof![
        6 => breaks().prop_map(|step| vec![step]),
        2 => vec(breaks(), 2..4),
        1 => heals.prop_map(|step| vec![step]),
        3 => Just(vec![Step::HealsAll]),
        2 => back,
    ]
}

fn maybe(step: impl Strategy<Value = Step>, most: usize) -> impl Strategy<Value = Vec<Step>> {
    vec(step, 0..=most)
}

fn scene() -> impl Strategy<Value = Vec<Step>> {
    let times = || prop_oneof![1 => pass(0..3), 4 => pass(5..12), 1 => pass(12..40)];
    let parts = (
        maybe(faults(), 2),
        maybe(aside(), 1),
        turn(),
        times(),
        maybe(aside(), 2),
        maybe(faults(), 1),
    );
    parts.prop_map(|(faults, before, turn, pass, after, later)| {
        [faults, before, turn, pass, after, later].concat()
    })
}

/// Scenes after each other; delivery goes on meanwhile, whether somebody waits for it or not.
pub(super) fn case(storm_most: Range<usize>) -> impl Strategy<Value = Case> {
    (vec(scene(), 2..7), storm_most).prop_map(|(scenes, storm_most)| Case {
        steps: scenes.concat(),
        storm_most,
    })
}
