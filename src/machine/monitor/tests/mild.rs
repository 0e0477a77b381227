//! What works and is warned of: a certificate that runs out, answers that come late.

use super::*;
use crate::domain::incident::State;
use crate::domain::notification::{Channel, Templates};
use crate::domain::verdict::Severity;
use crate::incident::notify::severity;

/// The partner of 2021 as critical, with support staff in Teams, who are told of everything.
fn watched() -> Setup {
    gmc().with(|plan| {
        plan.probes[0].severity = Severity::Critical;
        plan.receivers[1].channel = Channel::Teams {
            webhook: Err("not set".to_owned()),
            all_is_well: None,
            templates: Templates::default(),
        };
        plan.routes.push(route("support", 0, 0.0));
    })
}

#[test]
fn a_certificate_that_runs_out_is_a_warning_for_engineers_until_it_is_renewed() {
    let mut play = Play::new(watched());
    play.run(2000, |cell, t| kind_at(t >= 400, Kind::Warning, cell));
    let incident = incident_of(&play);
    assert_eq!((incident.kind, incident.cells.len()), (Kind::Warning, 6));
    assert_eq!(severity(&play.plan, incident), Severity::Warning);
    let told = play.told("engineers");
    assert_eq!(told.len(), 1, "{:#?}", play.lines);
    assert_eq!(
        told[0].briefing.headline,
        "webcache.gmc-uk.org works, but its certificate is valid for 5 more days, wanted 21"
    );
    assert_eq!(
        told[0].briefing.next_step.as_deref(),
        Some("Ask GMC to renew the certificate before it runs out; until then everything works")
    );
    assert_eq!(play.extra, [], "a warning has time");

    play.run(4000, |_, _| Kind::Pass);
    assert_eq!(play.monitor.incidents().count(), 0);
    assert_eq!(play.stored[&1].state, State::Resolved);
    let told = play.told("engineers");
    let last = told.last().unwrap();
    assert_eq!(last.reason, Reason::Resolved);
    assert!(
        last.briefing
            .headline
            .starts_with("What was warned of at webcache.gmc-uk.org is well again.")
    );
    assert_eq!(play.told("support").len(), 0, "it never failed");
}

#[test]
fn a_refused_client_is_found_and_told_while_everything_is_warned_of() {
    let mut play = Play::new(watched());
    play.run(3000, |cell, t| match kind_at(true, Kind::Warning, cell) {
        Kind::Warning if t >= 1500 && client(cell, "java-8") => Kind::EdgeBlock,
        kind => kind,
    });
    let kinds: Vec<Kind> = play
        .monitor
        .incidents()
        .map(|incident| incident.kind)
        .collect();
    assert_eq!(kinds, [Kind::EdgeBlock, Kind::Warning]);
    let refused = incident_of(&play);
    assert_eq!(
        refused.diagnosis.cause,
        Cause::Level(Level::Client("java-8".into()))
    );
    assert!(refused.diagnosis.confidence >= 0.99);
    let told = play.told("support");
    assert!(!told.is_empty());
    assert!(
        told.iter()
            .all(|told| told.briefing.kind == Kind::EdgeBlock)
    );
}

#[test]
fn a_late_answer_now_and_then_warns_nobody() {
    let mut play = Play::new(watched());
    play.run(20_000, |cell, t| {
        let late = t % 1500 < 40 && client(cell, "java-8");
        kind_at(late, Kind::Warning, cell)
    });
    assert_eq!(play.stored.len(), 0, "{:#?}", play.lines);
}

#[test]
fn a_warning_outlives_a_restart_and_ends_as_unwatched_when_its_probe_goes() {
    let mut play = Play::new(watched());
    play.run(2000, |cell, t| kind_at(t >= 400, Kind::Warning, cell));
    let known = play.stored.values().cloned().collect();
    let mut monitor = Monitor::new(Arc::clone(&play.plan), known, 2);
    let open: Vec<u64> = monitor
        .incidents()
        .map(|incident| incident.number)
        .collect();
    assert_eq!(open, [1]);
    let mut plan = (*play.plan).clone();
    plan.probes.remove(0);
    let effects = monitor.step(Event::PlanReplaced(Arc::new(plan)), play::at(2100));
    let states: Vec<State> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Save(change) => Some(change.incident.state),
            _ => None,
        })
        .collect();
    assert_eq!(states.last(), Some(&State::Unwatched), "{states:?}");
    assert_eq!(monitor.incidents().count(), 0);
}
