//! Gathers what the store and the file know of one incident, for the texts that leave the house.

use std::ops::ControlFlow;

use jiff::Timestamp;

use crate::domain::cell::CellKey;
use crate::domain::incident::Incident;
use crate::domain::notification::{Channel, Receiver};
use crate::domain::past::PastRun;
use crate::domain::plan::Plan;
use crate::domain::secret::{Secrets, mask};
use crate::domain::verdict::Kind;
use crate::report::dossier::{Dossier, Line, Reference, Told, Vendor};
use crate::store::{Delivery, Progress, Reader, StoreError};
use crate::words::briefing::{self, View};
use crate::words::terms;

/// Lines of the matrix; more say no more.
const LINES_MAX: usize = 60;
/// Reference ids with their times.
const REFERENCES_MAX: usize = 10;

/// Everything about one incident; `None` when there is none of that number.
///
/// # Errors
/// [`StoreError`]: the store can't be read.
pub fn gather<'a>(
    plan: &'a Plan,
    store: &Reader,
    number: u64,
    now: Timestamp,
) -> Result<Option<Dossier<'a>>, StoreError> {
    let Some(shown) = store.show(number)? else {
        return Ok(None);
    };
    let incident = shown.incident;
    let secrets = plan.secrets();
    let seen = look_back(store, &incident, now)?;
    let view = View {
        min_confidence: 0.0,
        next_update_at: None,
    };
    Ok(Some(Dossier {
        plan,
        briefing: briefing::write(plan, &incident, view),
        headline: briefing::headline(plan, &incident),
        timeline: shown.timeline,
        told: shown
            .deliveries
            .iter()
            .filter_map(|delivery| told(plan, delivery))
            .collect(),
        lines: lines(&incident, &seen, &secrets),
        references: references(&incident, &seen, &secrets),
        vendor: vendor(&incident),
        now,
        incident,
    }))
}

/// What history still has of an incident's time.
#[derive(Default)]
struct Seen {
    /// The newest run of each failing cell that failed, of each other that passed.
    last: Vec<PastRun>,
    /// The newest failed runs that have a reference id.
    referred: Vec<PastRun>,
}

/// The cells of an incident, failing ones first, each with whether it is one of these.
fn cells(incident: &Incident) -> Vec<(CellKey, bool)> {
    let members = incident.cells.iter().map(|member| (&member.cell, true));
    let failing = incident.diagnosis.failing.iter().map(|cell| (cell, true));
    let passing = incident.diagnosis.passing.iter().map(|cell| (cell, false));
    let mut cells: Vec<(CellKey, bool)> = Vec::new();
    for (cell, fails) in members.chain(failing).chain(passing) {
        if !cells.iter().any(|(known, _)| known == cell) && cells.len() < LINES_MAX {
            cells.push((cell.clone(), fails));
        }
    }
    cells
}

fn look_back(store: &Reader, incident: &Incident, now: Timestamp) -> Result<Seen, StoreError> {
    let cells = cells(incident);
    let keys: Vec<CellKey> = cells.iter().map(|(cell, _)| cell.clone()).collect();
    let until = incident.resolved_at.unwrap_or(now);
    let mut seen = Seen::default();
    // A warning is told of where it is what the incident is about; else such a run is a good one.
    let is_bad = |kind: Kind| match incident.kind {
        Kind::Warning => kind == Kind::Warning,
        _ => !kind.works(),
    };
    store.runs(&keys, incident.onset_at, until, |run| {
        let wanted = cells.iter().find(|(cell, _)| *cell == run.cell);
        let fails = wanted.is_some_and(|(_, fails)| *fails);
        if fails == is_bad(run.kind) && !seen.last.iter().any(|last| last.cell == run.cell) {
            seen.last.push(run.clone());
        }
        if fails
            && is_bad(run.kind)
            && run.reference_id.is_some()
            && !seen
                .referred
                .iter()
                .any(|r| r.reference_id == run.reference_id)
            && seen.referred.len() < REFERENCES_MAX
        {
            seen.referred.push(run);
        }
        if seen.last.len() == cells.len() && seen.referred.len() == REFERENCES_MAX {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(seen)
}

fn lines(incident: &Incident, seen: &Seen, secrets: &Secrets) -> Vec<Line> {
    cells(incident)
        .into_iter()
        .map(|(cell, failing)| {
            let run = seen.last.iter().find(|run| run.cell == cell);
            let member = incident.cells.iter().find(|member| member.cell == cell);
            let kind = match (failing, run, member) {
                (false, _, _) => Kind::Pass,
                (true, Some(run), _) => run.kind,
                (true, None, Some(member)) if member.failing => member.kind,
                _ => incident.kind,
            };
            Line {
                failing,
                kind,
                at: run.map(|run| run.at),
                status: run.and_then(|run| run.status),
                code: run
                    .and_then(|run| run.code.as_ref())
                    .map(|code| mask(code, secrets)),
                cell,
            }
        })
        .collect()
}

/// Those of history, which have times, then those that only the incident remembers.
fn references(incident: &Incident, seen: &Seen, secrets: &Secrets) -> Vec<Reference> {
    let mut references: Vec<Reference> = seen
        .referred
        .iter()
        .filter_map(|run| {
            Some(Reference {
                id: mask(run.reference_id.as_ref()?, secrets),
                at: Some(run.at),
                cell: Some(run.cell.clone()),
            })
        })
        .collect();
    let specimen = incident.failing.as_ref();
    for id in incident.reference_ids.iter().rev() {
        let id = mask(id, secrets);
        if references.len() >= REFERENCES_MAX || references.iter().any(|known| known.id == id) {
            continue;
        }
        let run = specimen.filter(|run| run.verdict.reference_id.as_ref() == Some(&id));
        references.push(Reference {
            at: run.map(|run| run.at),
            cell: run.map(|run| run.cell.clone()),
            id,
        });
    }
    references
}

fn vendor(incident: &Incident) -> Vendor {
    let Some(run) = incident.failing.as_ref() else {
        return Vendor {
            reference: terms::reference(""),
            ..Vendor::default()
        };
    };
    let verdict = &run.verdict;
    let code = verdict.code.as_deref().unwrap_or_default();
    Vendor {
        name: terms::edge(verdict),
        meaning: terms::code(&verdict.vendor, code),
        setting: terms::setting(&verdict.vendor, code),
        reference: terms::reference(&verdict.vendor),
    }
}

/// `None` for a message that a later one made needless.
fn told(plan: &Plan, delivery: &Delivery) -> Option<Told> {
    // A receiver without its secrets: what was meant for it stands in the log, where nobody reads it in time.
    let receiver = &delivery.notification.receiver;
    let is_log = |known: &Receiver| known.name == *receiver && known.channel == Channel::Log;
    let unread = delivery.progress == Progress::Accepted
        && delivery.reference.as_deref() == Some("log")
        && !plan.receivers.iter().any(is_log);
    let error = match delivery.progress {
        Progress::Overtaken => return None,
        Progress::Dead => {
            let why = delivery.error.as_deref().unwrap_or("given up");
            let instead = if delivery.diverted {
                "; the fallback was told instead"
            } else {
                ""
            };
            Some(format!("{why}{instead}"))
        }
        // It is tried again, and people have read it elsewhere meanwhile.
        Progress::Pending | Progress::Sending if delivery.diverted => {
            let why = delivery.error.as_deref().unwrap_or("no answer");
            Some(format!("{why}; the fallback was told instead"))
        }
        _ if unread => Some("its secrets are missing, so it stands in the log alone".to_owned()),
        _ => None,
    };
    Some(Told {
        receiver: delivery.notification.receiver.to_string(),
        reason: delivery.notification.reason,
        at: delivery
            .last_attempt_at
            .filter(|_| delivery.progress == Progress::Accepted && !unread),
        error,
        instead_of: (!delivery.lane.is_empty()).then(|| delivery.lane.clone()),
    })
}
