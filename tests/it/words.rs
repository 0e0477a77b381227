//! Every cause of the diagnosis in the words of every text, in a few files that a person can read through.
//!
//! What is asserted besides: that support staff read no jargon whatever the cause is, and that all commands
//! say the same of a cause.

use std::fmt::Write as _;

use edgewatch::domain::cell::CellKey;
use edgewatch::domain::diagnosis::Cause;
use edgewatch::domain::incident::{
    Acknowledged, Beside, Happening, Incident, State, TimelineEntry,
};
use edgewatch::domain::notification::{Briefing, Notification, Reason, Templates};
use edgewatch::domain::plan::Plan;
use edgewatch::domain::verdict::Kind;
use edgewatch::notify::{plain, teams};
use edgewatch::report::dossier::{Dossier, Line, Reference, Vendor};
use edgewatch::report::{incidents, pack, postmortem};
use edgewatch::words::briefing::{self, View};
use edgewatch::words::terms;
use uuid::Uuid;

use super::alpha::{alpha, cases, incident, run, verdict};
use super::samples::at;
use super::slack::message;
use super::teams::banned;

/// Surer than any cause of these incidents: nobody is told one.
const NEVER: f64 = 0.99;

fn write(plan: &Plan, incident: &Incident, min_confidence: f64) -> Briefing {
    let view = View {
        min_confidence,
        next_update_at: None,
    };
    briefing::write(plan, incident, view)
}

fn notification(reason: Reason, briefing: Briefing) -> Notification {
    let now = at("2026-11-22T02:32:00Z");
    Notification {
        delivery: Uuid::from_u128(7),
        incident: 7,
        sequence: 1,
        reason,
        receiver: "support".into(),
        created_at: now,
        not_before: now,
        briefing,
    }
}

/// What support staff read, without what every card has.
fn card(reason: Reason, briefing: &Briefing) -> String {
    let due = notification(reason, briefing.clone());
    let message = message(&due);
    assert_eq!(banned(&teams::payload(&message)), Vec::<&str>::new());
    let text = plain::text(&message, &Templates::default());
    // What every card has is read in the tests of Teams.
    let usual = ["Reference", "Alpha · ", "Who ", "What still works"];
    let kept = text
        .lines()
        .filter(|line| !usual.iter().any(|start| line.starts_with(start)));
    kept.collect::<Vec<_>>().join("\n                ")
}

fn say(text: &mut String, name: &str, lines: impl IntoIterator<Item = String>) {
    for (index, line) in lines.into_iter().enumerate() {
        let _ = writeln!(text, "  {:<14}{line}", if index == 0 { name } else { "" });
    }
}

fn told(text: &mut String, briefing: &Briefing) {
    say(text, "says", [briefing.headline.clone()]);
    say(text, "because", briefing.because.clone());
    say(text, "ruled out", briefing.ruled_out.clone());
    say(text, "next", briefing.next_step.clone());
}

#[test]
fn every_cause_as_engineers_and_support_staff_read_it() {
    let plan = alpha();
    let mut text = String::new();
    for case in cases() {
        for (index, kind) in case.kinds.iter().enumerate() {
            let mut incident = incident(&plan, &case, *kind);
            let _ = writeln!(text, "== {}, {kind}", case.name);
            let known = write(&plan, &incident, 0.0);
            told(&mut text, &known);
            say(
                &mut text,
                "teams",
                [card(Reason::Opened, &write(&plan, &incident, 0.9))],
            );
            if index == 0 {
                let _ = writeln!(text, "-- for those who want to be surer");
                let unsure = write(&plan, &incident, NEVER);
                assert!(!unsure.cause_known || matches!(case.cause, Cause::OurNetwork { .. }));
                told(&mut text, &unsure);
                say(&mut text, "teams", [card(Reason::Opened, &unsure)]);
                incident.state = State::Resolved;
                incident.resolved_at = Some(at("2026-11-22T04:00:00Z"));
                let _ = writeln!(text, "-- when it is over");
                let over = write(&plan, &incident, 0.0);
                told(&mut text, &over);
                say(&mut text, "plain", over.plain.why);
            }
            text.push('\n');
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn changes_near_the_onset() {
    let plan = alpha();
    let case = &cases()[0];
    let mut incident = incident(&plan, case, Kind::EdgeBlock);
    let change = |at_: &str, text: &str, chance, related| Beside {
        at: at(at_),
        text: text.to_owned(),
        chance,
        related,
    };
    incident.beside = vec![
        change(
            "2026-11-21T23:14:00Z",
            "Cloudflare appeared in front of api.alpha.example",
            0.004,
            true,
        ),
        change(
            "2026-11-22T02:14:30Z",
            "the certificate of api.alpha.example has another issuer",
            0.001,
            false,
        ),
        change(
            "2026-11-20T01:00:00Z",
            "the addresses of api.alpha.example belong to another network",
            0.31,
            false,
        ),
        change(
            "2026-11-22T02:16:09Z",
            "Fastly left the front of api.alpha.example",
            0.0001,
            true,
        ),
    ];
    incident.acknowledged = Some(Acknowledged {
        at: at("2026-11-22T02:20:00Z"),
        by: "alice".to_owned(),
    });
    let briefing = write(&plan, &incident, 0.0);
    assert_eq!(
        briefing.beside,
        [
            "3 h before, Cloudflare appeared in front of api.alpha.example; hardly a coincidence (by chance in about 1 of 250 cases)",
            "At the same time, the certificate of api.alpha.example has another issuer; a change of this kind does not explain the failure",
            "2 days before, the addresses of api.alpha.example belong to another network; it may well be a coincidence (by chance in about 1 of 3 cases)",
            "2 min after, Fastly left the front of api.alpha.example; hardly a coincidence (by chance in fewer than 1 of 1,000 cases)",
        ]
    );
    assert_eq!(briefing.acknowledged, incident.acknowledged);
    assert_eq!(write(&plan, &incident, NEVER).beside, Vec::<String>::new());
}

/// What the commands `report` and `postmortem` are given.
pub(crate) fn dossier<'a>(plan: &'a Plan, incident: &Incident) -> Dossier<'a> {
    let line = |cell: &CellKey, failing: bool| {
        let member = incident.cells.iter().find(|member| member.cell == *cell);
        let kind = member.map_or(Kind::Pass, |member| member.kind);
        let run = run(plan, cell, kind);
        Line {
            cell: cell.clone(),
            failing,
            kind,
            at: Some(run.at),
            status: run.status,
            code: run.verdict.code,
        }
    };
    let failing = incident.diagnosis.failing.iter().map(|c| line(c, true));
    let passing = incident.diagnosis.passing.iter().map(|c| line(c, false));
    // Six of each are enough to be read.
    let lines = failing.take(6).chain(passing.take(6)).collect();
    let verdict = verdict(incident.kind);
    let code = verdict.code.as_deref().unwrap_or_default();
    let entry = |time: &str, what, text: &str| TimelineEntry {
        at: at(time),
        what,
        text: text.to_owned(),
    };
    Dossier {
        plan,
        briefing: write(plan, incident, 0.0),
        headline: briefing::headline(plan, incident),
        timeline: vec![
            entry(
                "2026-11-22T02:14:20Z",
                Happening::ExtraRun,
                "orders from de1 as java-17 with key-a: passed; to see whether it is the client",
            ),
            entry("2026-11-22T02:15:00Z", Happening::Opened, "opened"),
        ],
        told: Vec::new(),
        lines,
        references: incident
            .reference_ids
            .iter()
            .map(|id| Reference {
                id: id.clone(),
                at: Some(at("2026-11-22T02:31:09Z")),
                cell: incident.diagnosis.failing.first().cloned(),
            })
            .collect(),
        vendor: Vendor {
            name: terms::edge(&verdict),
            meaning: terms::code(&verdict.vendor, code),
            setting: terms::setting(&verdict.vendor, code),
            reference: terms::reference(&verdict.vendor),
        },
        now: at("2026-11-22T03:00:00Z"),
        incident: incident.clone(),
    }
}

fn texts(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Array(list) => list.iter().flat_map(texts).collect(),
        serde_json::Value::String(text) => vec![text.clone()],
        _ => Vec::new(),
    }
}

#[test]
fn every_cause_as_the_partner_and_a_script_read_it() {
    let plan = alpha();
    let mut text = String::new();
    for case in cases() {
        for (index, kind) in case.kinds.iter().enumerate() {
            let incident = incident(&plan, &case, *kind);
            let dossier = dossier(&plan, &incident);
            let letter = pack::json(&dossier);
            let _ = writeln!(text, "== {}, {kind}", case.name);
            for key in ["subject", "notes", "what_happens", "pairs"] {
                say(&mut text, key, texts(&letter[key]));
            }
            say(&mut text, "whose", texts(&letter["vendor"]["whose"]));
            say(&mut text, "asked", texts(&letter["asked"]));
            say(&mut text, "not", texts(&letter["ruled_out"]));
            if index == 0 {
                let document = postmortem::json(&dossier);
                say(&mut text, "actions", texts(&document["actions"]));
                say(&mut text, "plainly", texts(&document["in_plain_words"]));
                say(&mut text, "json", [letter["cause"].to_string()]);
                assert_eq!(letter["cause"], document["cause"]);
            }
            text.push('\n');
            let whole = letter["text"].as_str().unwrap();
            let shows = ["A request that fails", "A request that shows it"];
            assert!(shows.iter().any(|says| whole.contains(says)) && whole.contains("curl -sS"));
            // In the story of the engineers every cause stands in the same shape.
            let shown = incidents::json(&incident, &dossier.briefing, &dossier.timeline);
            assert_eq!(shown["cause"], letter["cause"]);
            assert_eq!(shown["beside"], letter["beside"]);
        }
    }
    insta::assert_snapshot!(text);
}

/// The first case of this name, as an incident of its first kind.
pub(crate) fn by_name(plan: &Plan, name: &str) -> Incident {
    let case = cases().into_iter().find(|case| case.name == name).unwrap();
    let mut incident = incident(plan, &case, case.kinds[0]);
    incident.beside = vec![Beside {
        at: at("2026-11-21T23:14:00Z"),
        text: "Cloudflare appeared in front of api.alpha.example".to_owned(),
        chance: 0.004,
        related: true,
    }];
    incident.acknowledged = Some(Acknowledged {
        at: at("2026-11-22T02:20:00Z"),
        by: "alice".to_owned(),
    });
    incident
}

#[test]
fn whole_letters() {
    let plan = alpha();
    for name in [
        "our own rate, counted by egress",
        "a client and an egress",
        "a PoP",
    ] {
        let incident = by_name(&plan, name);
        let file = format!("letter_{}", name.replace([' ', ','], "_"));
        insta::assert_snapshot!(file, pack::text(&dossier(&plan, &incident)));
    }
}

#[test]
fn a_whole_post_mortem() {
    let plan = alpha();
    let mut incident = by_name(&plan, "a family");
    incident.state = State::Resolved;
    incident.resolved_at = Some(at("2026-11-22T02:50:00Z"));
    insta::assert_snapshot!(postmortem::text(&dossier(&plan, &incident)));
}

#[test]
fn a_whole_story_for_the_terminal() {
    let plan = alpha();
    let incident = by_name(&plan, "a client");
    let dossier = dossier(&plan, &incident);
    let story = |colour| {
        let (briefing, timeline) = (&dossier.briefing, &dossier.timeline);
        incidents::story(
            &incident,
            briefing,
            timeline,
            &plan.zone,
            dossier.now,
            colour,
        )
    };
    insta::assert_snapshot!(story(false));
    assert!(!story(false).contains('\u{1b}'));
    assert!(story(true).contains("\u{1b}["));
}
