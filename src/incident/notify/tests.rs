//! Who is told what and when, as stories: minutes since the opening, and what happens in them.

use std::time::Duration;

use jiff::SignedDuration;

use super::reminders::reminder_after;
use super::*;
use crate::config;
use crate::domain::cell::{CellKey, CredentialName};
use crate::domain::diagnosis::{Cause, Diagnosis, Level};
use crate::domain::incident::{Acknowledged, IncidentCell, Subject};
use crate::domain::mute::{Ended, Matcher, Silence};
use crate::domain::probe::{Contact, Words};
use crate::domain::verdict::Kind;
use crate::incident::case::{Case, Opening};

struct Nothing;

impl config::Inputs for Nothing {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &std::path::Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// Two probes, two clients; `rest` is what the test is about.
pub(crate) fn plan(rest: &str) -> Plan {
    let text = format!(
        "version: 1
service: GMC
timezone: Europe/London
egresses: {{ here: 127.0.0.2, there: 127.0.0.3 }}
clients: {{ legacy: Java/1.8, modern: Java/11 }}
probes:
  api: {{ url: https://a.example/, every: 5m, tags: [sync] }}
  other: {{ url: https://b.example/, every: 5m, severity: critical }}
incidents: {{ remind: [1h, 4h] }}
{rest}
"
    );
    match config::read(&text, "t", &Nothing) {
        Ok(checked) => checked.plan,
        Err(findings) => panic!("{findings}"),
    }
}

pub(crate) fn cell(probe: &str, client: &str) -> CellKey {
    CellKey {
        probe: probe.into(),
        egress: "here".into(),
        client: client.into(),
        credential: CredentialName::anonymous(),
    }
}

/// Sunday 1 March 2026, 02:00 in London, and so many minutes.
fn at(minute: i64) -> Timestamp {
    let start: Timestamp = "2026-03-01T02:00:00Z".parse().unwrap();
    start + SignedDuration::from_mins(minute)
}

/// Opened at minute 0 without having told anybody; `legacy` fails at `api`.
pub(crate) fn incident() -> Incident {
    let cell = cell("api", "legacy");
    let opening = Opening {
        number: 7,
        subject: Subject::Host("a.example".to_owned()),
        onset_at: at(-1),
        diagnosis: Diagnosis {
            cause: Cause::Level(Level::Client("legacy".into())),
            confidence: 0.99,
            fails: None,
            failing: vec![cell.clone()],
            passing: Vec::new(),
            ruled_out: Vec::new(),
            would_tell: None,
            split: None,
        },
        cells: vec![IncidentCell {
            asked: None,
            cell,
            kind: Kind::EdgeBlock,
            failing: true,
            since: at(-1),
            last_at: at(-1),
        }],
        failed_runs: 3,
        last_good_at: None,
        rhythm_since: None,
    };
    Case::open(opening, at(0)).incident
}

/// One incident, and everything that was said of it.
struct Story {
    plan: Plan,
    silences: Vec<Silence>,
    incident: Incident,
    minute: i64,
    /// `minute receiver reason`, and `minute ~ timeline`.
    lines: Vec<String>,
    notifications: Vec<Notification>,
}

impl Story {
    fn new(rest: &str) -> Self {
        Self {
            plan: plan(rest),
            silences: Vec::new(),
            incident: incident(),
            minute: 0,
            lines: Vec::new(),
            notifications: Vec::new(),
        }
    }

    fn tell(&mut self, occasion: Occasion<'_>) {
        let now = at(self.minute);
        let quiet = Quiet::at(&self.plan, &self.silences, now);
        let due = due(&self.plan, &quiet, &mut self.incident, occasion, now);
        let line = |text: String| format!("{} {text}", self.minute);
        let notes = due.timeline.iter().map(|e| line(format!("~ {}", e.text)));
        let told = due
            .notifications
            .iter()
            .map(|n| line(format!("{} {}", n.receiver, n.reason.as_str())));
        self.lines.extend(notes.chain(told).collect::<Vec<_>>());
        self.notifications.extend(due.notifications);
        let again = next_at(&self.plan, &quiet, &self.incident);
        assert!(
            again.is_none_or(|again| again > now),
            "still due at {}: {:#?}",
            self.minute,
            self.lines
        );
    }

    /// Lets time go by, waking up as asked.
    fn pass(mut self, minute: i64) -> Self {
        loop {
            let quiet = Quiet::at(&self.plan, &self.silences, at(self.minute));
            let next = next_at(&self.plan, &quiet, &self.incident);
            let Some(next) = next.filter(|next| *next <= at(minute)) else {
                self.minute = minute;
                return self;
            };
            let seconds = next.duration_since(at(0)).as_secs();
            assert_eq!(seconds % 60, 0, "stories are told in minutes");
            self.minute = self.minute.max(seconds / 60);
            self.tell(Occasion::Time);
        }
    }

    fn open(mut self) -> Self {
        self.tell(Occasion::Opened);
        self
    }

    /// Silences the incident for so many minutes.
    fn silence(mut self, minutes: i64) -> Self {
        let number = self.silences.len() as u64 + 1;
        self.silences.push(Silence {
            number,
            matcher: Matcher {
                incidents: vec![7],
                ..Matcher::default()
            },
            from: at(self.minute),
            until: at(self.minute + minutes),
            by: "ann".to_owned(),
            why: None,
            ended: None,
        });
        self.tell(Occasion::Time);
        self
    }

    fn end_silence(mut self) -> Self {
        let ended = Ended {
            at: at(self.minute),
            by: "bob".to_owned(),
        };
        self.silences[0].ended = Some(ended);
        self.tell(Occasion::Time);
        self
    }

    /// The cause looks different now.
    fn change(mut self, client: &str) -> Self {
        let before = Face::of(&self.incident);
        self.incident.diagnosis.cause = Cause::Level(Level::Client(client.into()));
        self.tell(Occasion::Changed { before: &before });
        self
    }

    /// It is as sure now.
    fn sure(mut self, confidence: f64) -> Self {
        let before = Face::of(&self.incident);
        self.incident.diagnosis.confidence = confidence;
        self.tell(Occasion::Changed { before: &before });
        self
    }

    fn acknowledge(mut self) -> Self {
        self.incident.acknowledged = Some(Acknowledged {
            at: at(self.minute),
            by: "ann".to_owned(),
        });
        self.tell(Occasion::Acknowledged);
        self
    }

    fn resolve(mut self) -> Self {
        self.incident.state = State::Resolved;
        for member in &mut self.incident.cells {
            member.failing = false;
        }
        self.incident.resolved_at = Some(at(self.minute));
        self.tell(Occasion::Resolved);
        self
    }

    fn reopen(mut self) -> Self {
        let opening = Opening {
            number: 7,
            subject: self.incident.subject.clone(),
            onset_at: at(self.minute),
            cells: self.incident.cells.clone(),
            diagnosis: self.incident.diagnosis.clone(),
            failed_runs: 1,
            last_good_at: None,
            rhythm_since: None,
        };
        self.incident = Case::reopen(self.incident, opening, at(self.minute)).incident;
        self.tell(Occasion::Reopened);
        self
    }

    /// Over and back twice, five minutes each; from now on it comes and goes.
    fn flap(mut self) -> Self {
        for _ in 0..2 {
            let minute = self.minute;
            self = self.pass(minute + 5).resolve().pass(minute + 10).reopen();
        }
        self
    }

    fn check(self, name: &str, expected: &[&str]) -> Self {
        assert_eq!(self.lines, expected, "{name}");
        self
    }

    fn briefing(&self, place: usize) -> &crate::domain::notification::Briefing {
        &self.notifications[place].briefing
    }
}

const LOG: &str = "notify: { receivers: { a: { log: {} } } }";
const TWO: &str = "notify: { receivers: { a: { log: {} }, b: { log: {} } }";

#[test]
fn a_silence_keeps_the_opening_until_it_is_over() {
    let mute = "0 ~ nobody is told until Sun 1 Mar 02:30 GMT: silence 1 of ann";
    let story = Story::new(LOG)
        .silence(30)
        .open()
        .pass(40)
        .check("still open", &[mute, "30 ~ no longer muted", "30 a opened"]);
    assert_eq!(story.briefing(0).held_back, ["silence 1 of ann"]);
    assert_eq!(story.briefing(0).onset_at, at(-1));
    Story::new(LOG)
        .silence(30)
        .open()
        .pass(20)
        .resolve()
        .check("over before, never told", &[mute]);
    Story::new(LOG)
        .silence(30)
        .open()
        .pass(10)
        .end_silence()
        .pass(40)
        .check(
            "ended by hand",
            &[mute, "10 ~ no longer muted", "10 a opened"],
        );
    Story::new(LOG)
        .silence(30)
        .open()
        .pass(20)
        .silence(40)
        .pass(70)
        .check(
            "prolonged",
            &[
                mute,
                "20 ~ nobody is told until Sun 1 Mar 03:00 GMT: silence 1 of ann, silence 2 of ann",
                "30 ~ nobody is told until Sun 1 Mar 03:00 GMT: silence 2 of ann",
                "60 ~ no longer muted",
                "60 a opened",
            ],
        );
}

/// The first receiver is a channel whose messages can be edited, the second one's can't.
fn edited(rest: &str) -> Story {
    let mut story = Story::new(rest);
    story.plan.receivers[0].channel = Channel::Slack {
        token: Ok(crate::domain::secret::Secret::new("xoxb")),
        channel: "C0".to_owned(),
        mention: None,
        buttons: None,
        templates: crate::domain::notification::Templates::default(),
        api: "https://slack.example/api".to_owned(),
    };
    story
}

#[test]
fn what_stands_in_a_channel_shows_that_it_is_muted() {
    let begin = "10 ~ nobody is told until Sun 1 Mar 02:40 GMT: silence 1 of ann";
    let two = format!("{TWO}, routes: [{{ to: a }}, {{ to: b }}] }}");
    let story = edited(&two).open().pass(10).silence(30).pass(50).check(
        "and that it no longer is; nobody is told",
        &[
            "0 a opened",
            "0 b opened",
            begin,
            "10 a muted",
            "40 ~ no longer muted",
            "40 a muted",
        ],
    );
    let muted = |place: usize| story.briefing(place).muted.clone();
    let shown = muted(2).unwrap();
    assert_eq!((shown.until, shown.silences), (at(40), vec![1]));
    assert_eq!((muted(1), muted(3)), (None, None));
    let story = edited(&two).open().pass(10).silence(30).change("modern");
    story.pass(40).check(
        "what is owed shows it as well",
        &[
            "0 a opened",
            "0 b opened",
            begin,
            "10 a muted",
            "40 ~ no longer muted",
            "40 a changed",
            "40 b changed",
        ],
    );
    let story = edited(&two).open().pass(10).silence(30).pass(20).resolve();
    assert_eq!(story.briefing(3).muted, None, "the end shows itself");
    edited(&two).silence(30).open().pass(20).check(
        "nothing stands there yet",
        &["0 ~ nobody is told until Sun 1 Mar 02:30 GMT: silence 1 of ann"],
    );
}

#[test]
fn a_silence_after_the_opening_mutes_all_but_the_end() {
    let begin = "10 ~ nobody is told until Sun 1 Mar 04:10 GMT: silence 1 of ann";
    Story::new(LOG)
        .open()
        .pass(10)
        .silence(120)
        .change("modern")
        .pass(100)
        .resolve()
        .check("the end is told", &["0 a opened", begin, "100 a resolved"]);
    Story::new(LOG)
        .open()
        .pass(10)
        .silence(120)
        .change("modern")
        .pass(150)
        .check(
            "a change and a reminder are one change",
            &[
                "0 a opened",
                begin,
                "130 ~ no longer muted",
                "130 a changed",
            ],
        );
    Story::new(LOG)
        .open()
        .pass(10)
        .silence(120)
        .pass(150)
        .check(
            "a reminder alone",
            &[
                "0 a opened",
                begin,
                "130 ~ no longer muted",
                "130 a reminder",
            ],
        );
    let end = "10 ~ nobody is told until Sun 1 Mar 02:40 GMT: silence 1 of ann";
    Story::new(LOG).open().pass(10).silence(30).pass(70).check(
        "nothing was missed",
        &["0 a opened", end, "40 ~ no longer muted", "60 a reminder"],
    );
}

#[test]
fn what_comes_and_goes_is_told_as_over_when_it_stays_away() {
    let story = Story::new(LOG).open().flap().pass(25).resolve();
    let waits = |place: usize| {
        let notification = &story.notifications[place];
        let wait = notification
            .not_before
            .duration_since(notification.created_at);
        (notification.reason.as_str(), wait.as_secs())
    };
    let told: Vec<_> = (0..story.notifications.len()).map(waits).collect();
    assert_eq!(
        told,
        [
            ("opened", 0),
            ("resolved", 0),
            ("reopened", 0),
            // It came back once: this end may be the last, or the next gap of a rhythm.
            ("resolved", 20),
            ("reopened", 0),
            // Three times the ten minutes from one beginning to the next.
            ("resolved", 1800),
        ]
    );
    let comes = "it comes and goes (3 times so far, about every 10 min); it is told as over once it has stayed away for 30 min";
    assert_eq!(story.briefing(4).because[0], comes);
    assert!(!story.briefing(2).because[0].contains("comes and goes"));
    let see = story.briefing(4).plain.see.as_deref();
    assert_eq!(see, Some("It comes and goes; trying again later may help"));
    assert!(!story.briefing(5).because[0].contains("comes and goes"));
    let over = "The cell of a.example that failed passes again. It came 3 times.";
    assert!(story.briefing(5).headline.starts_with(over));
}

#[test]
fn an_update_that_support_staff_were_promised_comes_all_the_same() {
    let support =
        "notify: { receivers: { a: { log: {} }, s: { teams: { webhook: { env: TEAMS } } } } }";
    let story = Story::new(support).open().pass(30).acknowledge().pass(600);
    let promised = story.briefing(1).next_update_at;
    assert_eq!(promised, Some(at(60)));
    let story = story.check(
        "the one that was promised, and none that was not",
        &[
            "0 a opened",
            "0 s opened",
            "30 a acknowledged",
            "60 s reminder",
        ],
    );
    assert_eq!(story.briefing(3).next_update_at, None);
    Story::new(support)
        .open()
        .pass(70)
        .acknowledge()
        .pass(600)
        .check(
            "the second one",
            &[
                "0 a opened",
                "0 s opened",
                "60 a reminder",
                "60 s reminder",
                "70 a acknowledged",
                "240 s reminder",
            ],
        );
}

#[test]
fn of_what_comes_and_goes_people_are_reminded_half_as_often() {
    let reminded = |story: Story| {
        let reminders = story.lines.iter().filter(|line| line.ends_with("reminder"));
        reminders.cloned().collect::<Vec<_>>()
    };
    let stands = Story::new(LOG).open().pass(300);
    assert_eq!(reminded(stands), ["60 a reminder", "240 a reminder"]);
    let flaps = Story::new(LOG).open().flap().pass(500);
    assert_eq!(reminded(flaps), ["120 a reminder", "480 a reminder"]);
}

#[test]
fn who_looks_after_what_comes_and_goes_still_does() {
    let owner = |story: Story| story.incident.acknowledged.map(|known| known.by);
    let story = Story::new(LOG)
        .open()
        .flap()
        .acknowledge()
        .resolve()
        .reopen();
    assert_eq!(owner(story).as_deref(), Some("ann"));
    let story = Story::new(LOG).open().acknowledge().resolve().reopen();
    assert_eq!(owner(story), None, "a return that is told is nobody's");
}

#[test]
fn no_time_is_promised_for_what_comes_and_goes() {
    let story = Story::new(LOG).open().flap().pass(50).resolve();
    assert_eq!(story.briefing(2).next_update_at, Some(at(70)));
    assert_eq!(story.briefing(4).next_update_at, None);
}

#[test]
fn a_route_that_waits_counts_from_the_first_time_of_what_comes_and_goes() {
    let two = format!("{TWO}, routes: [{{ to: a }}, {{ to: b, after: 25m }}] }}");
    Story::new(&two).open().flap().pass(30).check(
        "once",
        &[
            "0 a opened",
            "5 a resolved",
            "10 a reopened",
            "15 a resolved",
            "20 a reopened",
            "25 b opened",
        ],
    );
}

#[test]
fn what_several_probes_are_for_is_told_each_once() {
    let words = |what: &str, affects: &str, workaround: Option<&str>| Words {
        what: Some(what.to_owned()),
        affects: Some(affects.to_owned()),
        workaround: workaround.map(str::to_owned),
        tell: None,
        contact: Contact::default(),
    };
    let mut story = Story::new(LOG);
    story.plan.probes[0].words = words("Ordering", "Buyers", Some("Telephone"));
    story.plan.probes[1].words = words("Returns", "Buyers", None);
    story.incident.probes = vec!["api".into(), "other".into()];
    let told = &story.open().notifications[0].briefing.words;
    assert_eq!(
        *told,
        words("Ordering and Returns", "Buyers", Some("Telephone"))
    );
}

#[test]
fn of_several_partners_each_is_called_by_its_own_name() {
    let story = Story::new(LOG).open();
    assert_eq!(story.briefing(0).service, "a.example");
    let mut story = Story::new(LOG);
    story.plan.probes[1].partner = "a.example".to_owned();
    assert_eq!(story.open().briefing(0).service, "GMC");
}

#[test]
fn a_return_in_a_silence() {
    let begin = "20 ~ nobody is told until Sun 1 Mar 03:20 GMT: silence 1 of ann";
    let told = ["0 a opened", "10 a resolved", begin];
    let back = || {
        let mut story = Story::new(LOG).open().pass(10).resolve();
        story.minute = 20;
        story.silences.push(Silence {
            number: 1,
            matcher: Matcher::default(),
            from: at(20),
            until: at(80),
            by: "ann".to_owned(),
            why: None,
            ended: None,
        });
        story.reopen()
    };
    let with = |more: &[&'static str]| [&told[..], more].concat();
    back().pass(90).check(
        "is told when it ends",
        &with(&["80 ~ no longer muted", "80 a reopened"]),
    );
    back()
        .pass(50)
        .resolve()
        .check("over before, nothing is told", &with(&[]));
    back().change("modern").pass(90).check(
        "a change on top is no message of its own",
        &with(&["80 ~ no longer muted", "80 a reopened"]),
    );
}

/// A card that says less than the one before reads as going backwards.
#[test]
fn who_was_told_the_cause_reads_it_to_the_end() {
    let careful =
        "notify: { receivers: { a: { log: {} } }, routes: [{ to: a, min_confidence: 0.9 }] }";
    let story = Story::new(careful)
        .sure(0.7)
        .open()
        .pass(5)
        .sure(0.95)
        .pass(10)
        .sure(0.8)
        .pass(60)
        .resolve();
    let named: Vec<bool> = (0..story.notifications.len())
        .map(|place| story.briefing(place).cause_known)
        .collect();
    assert_eq!(named, [false, true, true, true], "{:#?}", story.lines);
    // Another cause, of which nobody is sure, is another thing.
    let story = Story::new(careful)
        .open()
        .pass(5)
        .sure(0.8)
        .change("modern");
    let last = story.notifications.len() - 1;
    assert!(story.briefing(0).cause_known && !story.briefing(last).cause_known);
    // Support staff are told so: a card with less than the one before reads as if it had never been said.
    let story = Story::new("notify: { receivers: { a: { teams: { webhook: { env: NONE } } } }, routes: [{ to: a, min_confidence: 0.9 }] }")
        .open()
        .pass(5)
        .sure(0.8)
        .change("modern");
    let why = |place: usize| story.briefing(place).plain.why.clone();
    assert!(why(0).is_some_and(|why| why != briefing::IN_DOUBT));
    assert_eq!(
        why(story.notifications.len() - 1).as_deref(),
        Some(briefing::IN_DOUBT)
    );
}

#[test]
fn who_acknowledged_is_reminded_no_more() {
    let story = Story::new(LOG)
        .open()
        .pass(70)
        .acknowledge()
        .pass(600)
        .change("modern")
        .resolve();
    let story = story.check(
        "reminders stop, changes and the end come",
        &[
            "0 a opened",
            "60 a reminder",
            "70 a acknowledged",
            "600 a changed",
            "600 a resolved",
        ],
    );
    let (before, after) = (story.briefing(1), story.briefing(2));
    assert_eq!(before.next_update_at, Some(at(240)));
    assert_eq!(after.next_update_at, None);
    assert_eq!(after.acknowledged.as_ref().unwrap().by, "ann");
    Story::new(LOG)
        .open()
        .pass(10)
        .acknowledge()
        .pass(20)
        .resolve()
        .pass(30)
        .reopen()
        .pass(100)
        .check(
            "a return is nobody's",
            &[
                "0 a opened",
                "10 a acknowledged",
                "20 a resolved",
                "30 a reopened",
                "90 a reminder",
            ],
        );
    Story::new(LOG)
        .open()
        .pass(10)
        .silence(20)
        .acknowledge()
        .pass(100)
        .check(
            "in a silence",
            &[
                "0 a opened",
                "10 ~ nobody is told until Sun 1 Mar 02:30 GMT: silence 1 of ann",
                "30 ~ no longer muted",
                "30 a acknowledged",
            ],
        );
    let plain = "notify: { receivers: { a: { email: { host: \"127.0.0.1\", tls: none, from: a@b.example, to: c@b.example, words: plain } } } }";
    Story::new(plain).open().acknowledge().pass(300).check(
        "support staff need not know; the update that they were promised comes",
        &["0 a opened", "60 a reminder"],
    );
}

#[test]
fn what_nobody_acknowledges_is_escalated() {
    let yaml =
        format!("{TWO}, routes: [{{ to: a, after: 5m, escalate: {{ to: b, after: 30m }} }}] }}");
    Story::new(&yaml).open().pass(50).resolve().check(
        "in time",
        &[
            "5 a opened",
            "35 b opened",
            "50 a resolved",
            "50 b resolved",
        ],
    );
    Story::new(&yaml)
        .open()
        .pass(20)
        .acknowledge()
        .pass(50)
        .resolve()
        .check(
            "not what somebody looks after",
            &["5 a opened", "20 a acknowledged", "50 a resolved"],
        );
    Story::new(&yaml).silence(40).open().pass(80).check(
        "counted from when the first was told",
        &[
            "0 ~ nobody is told until Sun 1 Mar 02:40 GMT: silence 1 of ann",
            "40 ~ no longer muted",
            "40 a opened",
            "60 a reminder",
            "70 b opened",
        ],
    );
}

#[test]
fn routes_choose_by_what_fails() {
    let who = |route: &str| {
        let yaml = format!("{TWO}, routes: [{{ to: a }}, {{ to: b, {route} }}] }}");
        let told = Story::new(&yaml).open().lines;
        told.iter().any(|line| line == "0 b opened")
    };
    for (route, expected) in [
        ("egresses: [here]", true),
        ("egresses: there", false),
        ("verdicts: [edge_block, timeout]", true),
        ("verdicts: timeout", false),
        ("severity: warning", true),
        ("severity: [critical, info]", false),
        ("severity: warning, tags: sync, probes: api", true),
        ("severity: warning, probes: other", false),
        ("after: 1m", false),
        ("during: { days: sun }", true),
        ("during: { days: mon-sat }", false),
        ("during: { hours: \"22:00-06:00\" }", true),
        ("during: { days: sun, hours: \"22:00-06:00\" }", false),
    ] {
        assert_eq!(who(route), expected, "{route}");
    }
}

#[test]
fn outside_the_hours_of_a_route_all_but_the_end_waits() {
    // It opens on Sunday at 02:00; Monday 08:00 is 30 hours later.
    let office = format!(
        "{TWO}, routes: [{{ to: a, remind: [] }}, {{ to: b, during: {{ days: mon-fri, hours: \"08:00-18:00\" }}, remind: [2h] }}] }}"
    );
    Story::new(&office).open().pass(1900).check(
        "the opening waits for Monday",
        &["0 a opened", "1800 b opened"],
    );
    Story::new(&office)
        .open()
        .pass(1700)
        .resolve()
        .check("over before", &["0 a opened", "1700 a resolved"]);
    let quietly = |story: Story| Story {
        lines: Vec::new(),
        ..story
    };
    let story = quietly(Story::new(&office).open().pass(1810))
        .pass(2500)
        .check(
            "reminders by day",
            &[
                "1920 b reminder",
                "2040 b reminder",
                "2160 b reminder",
                "2280 b reminder",
            ],
        );
    let promised = story.briefing(5).next_update_at;
    assert_eq!(promised, Some(at(3240)), "the next on Tuesday at 08:00");
    let story = quietly(story)
        .change("modern")
        .check("a change in the evening", &["2500 a changed"]);
    let story = quietly(story).pass(3250).check(
        "the other hears of it in the morning, and of nothing else",
        &["3240 b changed"],
    );
    quietly(story).pass(3990).resolve().check(
        "the end at night",
        &[
            "3360 b reminder",
            "3480 b reminder",
            "3600 b reminder",
            "3720 b reminder",
            "3990 a resolved",
            "3990 b resolved",
        ],
    );
}

#[test]
fn maintenance_mutes_or_is_mentioned() {
    let yaml = |effect: &str| {
        format!(
            "{LOG}\nmaintenance: [{{ name: weekend work, cron: \"0 1 * * SUN\", for: 2h, effect: {effect} }}]"
        )
    };
    let story = Story::new(&yaml("mute")).open().pass(70);
    let story = story.check(
        "muted",
        &[
            "0 ~ nobody is told until Sun 1 Mar 03:00 GMT: maintenance weekend work",
            "60 ~ no longer muted",
            "60 a opened",
        ],
    );
    assert_eq!(story.briefing(0).held_back, ["maintenance weekend work"]);
    let story = Story::new(&yaml("annotate")).open().pass(70);
    let story = story.check(
        "mentioned",
        &[
            "0 ~ during maintenance weekend work",
            "0 a opened",
            "60 ~ maintenance weekend work is over, or has no longer to do with it",
            "60 a reminder",
        ],
    );
    assert_eq!(story.briefing(0).during, ["weekend work"]);
    assert!(story.briefing(1).during.is_empty());
}

#[test]
fn who_was_told_by_an_older_version_is_told_on() {
    let mut story = Story::new(LOG).open().pass(70);
    story.incident.telling = crate::domain::incident::Telling::default();
    story.lines.clear();
    story.pass(500).resolve().check(
        "nothing twice",
        &["240 a reminder", "480 a reminder", "500 a resolved"],
    );
}

#[test]
fn reminders_follow_the_list_and_then_its_last_step() {
    let hours = |n: u64| Duration::from_secs(3600 * n);
    let remind = [hours(1), hours(4), hours(24)];
    let due: Vec<u64> = (0..6)
        .map(|n| reminder_after(&remind, n).unwrap().as_secs() / 3600)
        .collect();
    assert_eq!(due, [1, 4, 24, 48, 72, 96]);
    assert_eq!(reminder_after(&[], 0), None);
    assert_eq!(reminder_after(&[Duration::ZERO], 1), None);
}

#[test]
fn a_delivery_is_named_by_what_it_is() {
    let now = "2026-03-01T02:14:00Z".parse().unwrap();
    let id = delivery(12, 1, &"engineers".into(), now);
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(id, delivery(12, 1, &"engineers".into(), now));
    assert_ne!(id, delivery(12, 2, &"engineers".into(), now));
    assert_ne!(id, delivery(12, 1, &"support".into(), now));
    assert_ne!(id, delivery(13, 1, &"engineers".into(), now));
}
