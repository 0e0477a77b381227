//! The answer to a job that wants to start, for people and for scripts: from the last runs and the open incidents.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::clearance::{Clearance, Held, Known, State, age, clearance};
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::Cause;
use crate::domain::incident::{self, Incident};
use crate::domain::plan::Plan;
use crate::domain::twins;
use crate::domain::verdict::Kind;
use crate::words::briefing;

/// The answer with what it was drawn from.
#[derive(Debug)]
pub struct Answer {
    pub clearance: Clearance,
    pub known: Vec<Known>,
    pub held: Vec<Held>,
    pub at: Timestamp,
}

/// Judges what is known of the cells asked about; a run older than `max_age` is no knowledge.
#[must_use]
pub fn answer<'a>(
    plan: &Plan,
    known: Vec<Known>,
    open: impl IntoIterator<Item = &'a Incident>,
    max_age: Duration,
    at: Timestamp,
) -> Answer {
    let open = open.into_iter();
    let held: Vec<Held> = open
        .filter(|incident| stands_in_the_way(incident, &known))
        .map(|incident| Held {
            number: incident.number,
            our_side: incident.is_ours(),
            headline: briefing::headline(plan, incident),
        })
        .collect();
    Answer {
        clearance: judged(plan, &known, &held, max_age, at),
        known,
        held,
        at,
    }
}

/// The clearance for the systems: where edgewatch alone is refused and the programs that it stands in for pass, these count.
#[must_use]
pub fn judged(
    plan: &Plan,
    known: &[Known],
    held: &[Held],
    max_age: Duration,
    at: Timestamp,
) -> Clearance {
    let cells = |wanted: &dyn Fn(Kind) -> bool| -> Vec<CellKey> {
        let ran = known
            .iter()
            .filter(|k| k.last.as_ref().is_some_and(|run| wanted(run.kind)));
        ran.map(|k| k.cell.clone()).collect()
    };
    let refused = cells(&|kind| kind.is_edge_refusal() || kind == Kind::TlsError);
    let shown = twins::shown(plan, &refused, &cells(&Kind::works));
    if !shown.is_some_and(|shown| shown.is_ours_alone()) {
        return clearance(known, held, max_age, at);
    }
    let systems: Vec<Known> = known
        .iter()
        .filter(|k| !refused.contains(&k.cell))
        .cloned()
        .collect();
    let found = clearance(&systems, held, max_age, at);
    Clearance {
        why: format!(
            "{}; edgewatch's own stand-ins are refused, no program is",
            found.why
        ),
        ..found
    }
}

/// Open, and one of the cells is a failing one of it, or uses an egress that is down.
fn stands_in_the_way(incident: &Incident, known: &[Known]) -> bool {
    let down = |cell: &CellKey| match &incident.diagnosis.cause {
        Cause::OurNetwork { egresses } if incident.kind != Kind::LocalError => {
            egresses.contains(&cell.egress)
        }
        _ => false,
    };
    let holds = |cell: &CellKey| {
        let mut failing = incident.cells.iter().filter(|held| held.failing);
        down(cell) || failing.any(|held| held.cell == *cell)
    };
    // What is warned of works.
    let stands = incident.state == incident::State::Open && incident.kind != Kind::Warning;
    stands && known.iter().any(|k| holds(&k.cell))
}

/// The answer for scripts; keys are stable. `max_age` is how old a run may be, `source` where runs are from.
#[must_use]
pub fn json(answer: &Answer, probe: &str, max_age: Duration, source: &str) -> Value {
    let cells = answer.known.iter().map(|known| {
        let last = known.last.as_ref();
        let age_s = last.map(|run| age(run.at, answer.at).as_secs());
        let fresh = last.is_some_and(|run| source == "now" || age(run.at, answer.at) <= max_age);
        json!({
            "egress": known.cell.egress.as_str(),
            "client": known.cell.client.as_str(),
            "credential": known.cell.credential.as_str(),
            "kind": last.map(|run| run.kind.as_str()),
            "status": last.and_then(|run| run.status),
            "at": last.map(|run| run.at.to_string()),
            "age_s": age_s,
            "fresh": fresh,
        })
    });
    json!({
        "probe": probe,
        "safe": answer.clearance.state == State::Safe,
        "state": answer.clearance.state.as_str(),
        "why": answer.clearance.why,
        "source": source,
        "asked_at": answer.at.to_string(),
        "max_age_s": max_age.as_secs(),
        "cells": cells.collect::<Vec<_>>(),
        "incidents": answer.held.iter().map(|held| json!({
            "incident": held.number,
            "our_side": held.our_side,
            "headline": held.headline,
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::past::PastRun;
    use crate::report::fixture;

    #[test]
    fn a_stand_in_alone_keeps_no_job_from_its_work() {
        let mut plan = fixture::march().plan;
        let mut program = plan.clients[0].clone();
        program.name = "jvm".into();
        program.program = Some(crate::domain::cell::Program {
            command: vec!["/usr/bin/java".to_owned()],
            speaks: crate::domain::cell::Speaks::Lines,
            variables: Vec::new(),
            http: None,
            keep: None,
        });
        let own = plan.clients[0].name.clone();
        plan.clients.push(program);
        let at = Timestamp::UNIX_EPOCH;
        let check = |name: &str, runs: &[(&str, Kind)], state: State| {
            let known: Vec<Known> = runs
                .iter()
                .map(|(client, kind)| {
                    let cell = CellKey {
                        probe: plan.probes[0].name.clone(),
                        egress: "de1".into(),
                        client: (*client).into(),
                        credential: "gmc".into(),
                    };
                    let run = PastRun {
                        cell: cell.clone(),
                        at,
                        kind: *kind,
                        status: None,
                        vendor: None,
                        code: None,
                        reference_id: None,
                    };
                    Known {
                        cell,
                        last: Some(run),
                    }
                })
                .collect();
            let found = judged(&plan, &known, &[], Duration::from_secs(600), at);
            assert_eq!(found.state, state, "{name}: {}", found.why);
        };
        let (own, refused) = (own.as_str(), Kind::EdgeBlock);
        check(
            "the stand-in",
            &[(own, refused), ("jvm", Kind::Pass)],
            State::Safe,
        );
        check(
            "the program",
            &[(own, Kind::Pass), ("jvm", refused)],
            State::Blocked,
        );
        check("both", &[(own, refused), ("jvm", refused)], State::Blocked);
        check(
            "nobody asked the program",
            &[(own, refused)],
            State::Blocked,
        );
        check(
            "it times out",
            &[(own, refused), ("jvm", Kind::Timeout)],
            State::Blocked,
        );
    }
}
