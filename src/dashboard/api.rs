//! What pages show, for scripts: the same facts as JSON, by the serialisers of the command line.
//!
//! Keys are stable and described in `deploy/api.schema.json` (`OpenAPI` 3.1), which a test holds them to. Times are
//! RFC 3339 in UTC, durations have their unit in the key.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::{StatusCode, Uri};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::chart;
use super::frame;
use super::now::brief;
use super::parts::file;
use super::probe::Range;
use super::status_page;
use super::{Failure, Page, Pages, Scene, scene};
use crate::ask::clearance::{Known, State as Clear};
use crate::ask::gate;
use crate::domain::cell::{CellKey, ProbeName};
use crate::domain::past::PastRun;
use crate::report::history;
use crate::report::incidents;
use crate::report::silences;

/// The description of all of it.
const SCHEMA: &str = include_str!("../../deploy/api.schema.json");
/// Things of one answer.
const LISTED: usize = 200;
/// How old a run may be to count for a gate, unless asked otherwise; as the command has it.
const MAX_AGE: Duration = Duration::from_secs(600);

pub(super) fn routes() -> Router<Pages> {
    Router::new()
        .route("/api/v1/schema.json", get(schema))
        .route("/api/v1/board", get(board))
        .route("/api/v1/probes/{probe}/history", get(probe_history))
        .route(
            "/api/v1/cells/{probe}/{egress}/{client}/{credential}/runs",
            get(runs),
        )
        .route("/api/v1/changes", get(changes))
        .route("/api/v1/incidents", get(list))
        .route("/api/v1/incidents/{number}", get(one))
        .route("/api/v1/gate/{probe}", get(gate_json))
        .route("/api/v1/quiet", get(quiet))
        .route("/api/v1/drift", get(drift))
        .route("/api/v1/deliveries", get(deliveries))
        .route("/api/v1/status", get(status))
        .route("/api/v1/self", get(own))
        .route("/gate/{probe}", get(gate_text))
}

async fn schema() -> Response {
    file("application/json", SCHEMA.to_owned())
}

fn answer(status: StatusCode, value: &Value) -> Response {
    let mut answer = file("application/json", format!("{value:#}\n"));
    *answer.status_mut() = status;
    answer
}

/// Facts with what every answer says of itself.
fn ok(scene: &Scene, mut value: Value) -> Response {
    if let Some(fields) = value.as_object_mut() {
        fields.insert("at".to_owned(), scene.now.to_string().into());
        let generation = scene.vitals.as_ref().map(|vitals| vitals.plan.generation);
        fields.insert("generation".to_owned(), generation.into());
        fields.insert("stale".to_owned(), (!scene.turns()).into());
    }
    answer(StatusCode::OK, &value)
}

fn refused(status: StatusCode, what: &str, how: &str) -> Response {
    answer(status, &json!({ "error": { "what": what, "how": how } }))
}

fn failed(failure: &Failure) -> Response {
    match failure {
        Failure::Missing(why) => {
            let how = "names are those of probes.yaml; /api/v1/board lists them";
            refused(StatusCode::NOT_FOUND, why, how)
        }
        Failure::Unreadable(why) => {
            let how = "ask again; /api/v1/board needs no store";
            refused(StatusCode::SERVICE_UNAVAILABLE, why, how)
        }
    }
}

/// The parameters of a query; of several of one name the last.
fn asked(uri: &Uri) -> BTreeMap<String, String> {
    let query = uri.query().unwrap_or_default().as_bytes();
    url::form_urlencoded::parse(query).into_owned().collect()
}

fn time(asked: &BTreeMap<String, String>, key: &str) -> Option<Timestamp> {
    asked.get(key)?.parse().ok()
}

async fn board(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let probes: Vec<Value> = scene
        .look
        .plan
        .probes
        .iter()
        .map(|probe| {
            let cells: Vec<Value> = super::now::keys(probe)
                .map(|key| cell(&scene, &key))
                .collect();
            json!({
                "probe": probe.name,
                "control": probe.control,
                "every_s": super::now::every(probe).map(|every| every.as_secs()),
                "cells": cells,
            })
        })
        .collect();
    let incidents: Vec<u64> = scene
        .look
        .incidents
        .iter()
        .map(|incident| incident.number)
        .collect();
    Ok(ok(
        &scene,
        json!({ "probes": probes, "incidents": incidents }),
    ))
}

fn cell(scene: &Scene, key: &CellKey) -> Value {
    let last = scene.look.cell(key);
    let mut holding = scene.look.incidents.iter();
    let incident = holding.find(|it| it.cells.iter().any(|member| member.cell == *key));
    json!({
        "egress": key.egress,
        "client": key.client,
        "credential": key.credential,
        "family": last.map(|run| if run.kind.works() { "works" } else { history::family(run.kind) }),
        "kind": last.map(|run| run.kind),
        "status": last.and_then(|run| run.status),
        "code": last.and_then(|run| run.code.as_ref()),
        "reference_id": last.and_then(|run| run.reference_id.as_ref()),
        "at": last.map(|run| run.at),
        "took_ms": last.and_then(|run| run.took).map(|took| took.as_millis() as u64),
        "since": last.and_then(|run| run.since),
        "incident": incident.map(|it| it.number),
        "missing": scene.look.plan.missing(key),
    })
}

async fn probe_history(State(pages): State<Pages>, Path(name): Path<String>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let name: ProbeName = name.as_str().into();
    let zone = scene.zone().clone();
    let range = Range::of(&uri, &zone, scene.now);
    let (wanted, within) = (name.clone(), range.clone());
    let known = scene.look.plan.probe(&name).is_some();
    let read = pages.read(move |reader| {
        let hours = reader.probe_hours(&wanted, within.from, within.until)?;
        Ok((known || reader.probes()?.contains(&wanted)).then_some(hours))
    });
    let hours = match read.await {
        Ok(Some(hours)) => hours,
        Ok(None) => {
            return Ok(failed(&Failure::Missing(format!(
                "there is no probe {name:?}"
            ))));
        }
        Err(failure) => return Ok(failed(&failure)),
    };
    let buckets = history::buckets(&hours, range.step, &zone, range.from, range.until);
    let all = chart::sum(&buckets);
    let buckets: Vec<Value> = buckets.iter().map(history::json).collect();
    Ok(ok(
        &scene,
        json!({
            "probe": name,
            "from": range.from,
            "until": range.until,
            "step": range.step,
            "zone": zone.iana_name().unwrap_or("UTC"),
            "runs": all.runs,
            "passed": all.passed,
            "buckets": buckets,
        }),
    ))
}

async fn runs(
    State(pages): State<Pages>,
    Path((probe, egress, client, credential)): Path<(String, String, String, String)>,
    uri: Uri,
) -> Page {
    let scene = scene(&pages).await?;
    let key = CellKey {
        probe: probe.as_str().into(),
        egress: egress.as_str().into(),
        client: client.as_str().into(),
        credential: credential.as_str().into(),
    };
    let asked = asked(&uri);
    let before = time(&asked, "before").map(|before| {
        before
            .checked_sub(SignedDuration::from_micros(1))
            .unwrap_or(before)
    });
    let until = before.or_else(|| time(&asked, "to")).unwrap_or(scene.now);
    let day = SignedDuration::from_hours(24);
    let from =
        time(&asked, "from").unwrap_or_else(|| until.checked_sub(day).unwrap_or(Timestamp::MIN));
    let wanted = key.clone();
    let read = pages.read(move |reader| {
        let mut found: Vec<PastRun> = Vec::new();
        let whole = reader.runs(&[wanted], from, until, |run| {
            found.push(run);
            if found.len() > LISTED {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok((found, whole))
    });
    let (mut found, whole) = match read.await {
        Ok(found) => found,
        Err(failure) => return Ok(failed(&failure)),
    };
    let more = found.len() > LISTED || !whole;
    found.truncate(LISTED);
    let next = found.last().filter(|_| more).map(|run| run.at);
    let runs: Vec<Value> = found
        .iter()
        .map(|run| {
            json!({
                "at": run.at,
                "kind": run.kind,
                "status": run.status,
                "vendor": run.vendor,
                "code": run.code,
                "reference_id": run.reference_id,
            })
        })
        .collect();
    Ok(ok(
        &scene,
        json!({
            "probe": key.probe,
            "egress": key.egress,
            "client": key.client,
            "credential": key.credential,
            "runs": runs,
            "next": next,
        }),
    ))
}

async fn changes(State(pages): State<Pages>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let asked = asked(&uri);
    let before = time(&asked, "before").unwrap_or(Timestamp::MAX);
    let read = pages.read(move |reader| reader.changed(before, LISTED + 1));
    let mut found = match read.await {
        Ok(found) => found,
        Err(failure) => return Ok(failed(&failure)),
    };
    let more = found.len() > LISTED;
    found.truncate(LISTED);
    let next = found.last().filter(|_| more).map(|change| change.at);
    found.retain(|change| {
        asked
            .get("probe")
            .is_none_or(|probe| change.cell.probe.as_str() == probe)
    });
    let changes: Vec<Value> = found
        .iter()
        .map(|change| {
            json!({
                "at": change.at,
                "probe": change.cell.probe,
                "egress": change.cell.egress,
                "client": change.cell.client,
                "credential": change.cell.credential,
                "from": change.from,
                "to": change.to,
            })
        })
        .collect();
    Ok(ok(&scene, json!({ "changes": changes, "next": next })))
}

async fn list(State(pages): State<Pages>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let asked = asked(&uri);
    let before = asked.get("before").and_then(|before| before.parse().ok());
    let read = pages.read(move |reader| reader.page(before, LISTED + 1));
    let mut found = match read.await {
        Ok(found) => found,
        Err(failure) => return Ok(failed(&failure)),
    };
    let more = found.len() > LISTED;
    found.truncate(LISTED);
    let next = found
        .last()
        .filter(|_| more)
        .map(|incident| incident.number);
    found.retain(|incident| {
        let of_state = asked
            .get("state")
            .is_none_or(|state| incident.state.as_str() == state);
        let named = |probe: &String| incident.probes.iter().any(|name| name.as_str() == probe);
        of_state && asked.get("probe").is_none_or(named)
    });
    let incidents: Vec<Value> = found
        .iter()
        .map(|incident| incidents::json(incident, &brief(&scene, incident), &[]))
        .collect();
    Ok(ok(&scene, json!({ "incidents": incidents, "next": next })))
}

async fn one(State(pages): State<Pages>, Path(number): Path<String>) -> Page {
    let scene = scene(&pages).await?;
    let missing = || {
        failed(&Failure::Missing(format!(
            "there is no incident {number:?}"
        )))
    };
    let Ok(wanted) = number.parse::<u64>() else {
        return Ok(missing());
    };
    match pages.read(move |reader| reader.show(wanted)).await {
        Ok(Some(shown)) => {
            let briefing = brief(&scene, &shown.incident);
            Ok(ok(
                &scene,
                incidents::json(&shown.incident, &briefing, &shown.timeline),
            ))
        }
        Ok(None) => Ok(missing()),
        Err(failure) => Ok(failed(&failure)),
    }
}

/// With which status, what is wrong, and what to do.
type Refusal = (StatusCode, String, &'static str);

/// Whether a job may start, and the status that says so.
fn gated(scene: &Scene, probe: &str, uri: &Uri) -> Result<(StatusCode, String, Value), Refusal> {
    let asked = asked(uri);
    let plan = &scene.look.plan;
    let missing = |what: String| {
        (
            StatusCode::NOT_FOUND,
            what,
            "names are those of probes.yaml",
        )
    };
    let Some(known) = plan.probe(&probe.into()) else {
        return Err(missing(format!("there is no probe {probe:?}")));
    };
    let max_age = match asked.get("max_age_s").map(|text| text.parse()) {
        None => MAX_AGE,
        Some(Ok(seconds)) => Duration::from_secs(seconds),
        Some(Err(_)) => {
            let what = "max_age_s is no number of seconds".to_owned();
            return Err((StatusCode::BAD_REQUEST, what, "write it like max_age_s=600"));
        }
    };
    let is = |key: &str, name: &str| asked.get(key).is_none_or(|wanted| wanted == name);
    let cells: Vec<CellKey> = super::now::keys(known)
        .filter(|cell| {
            is("as", cell.client.as_str())
                && is("from", cell.egress.as_str())
                && is("with", cell.credential.as_str())
        })
        .collect();
    if cells.is_empty() {
        return Err(missing(format!(
            "probe {probe:?} has no such egress, client and credential together"
        )));
    }
    let known = cells.into_iter().map(|cell| {
        // What the loop does not turn is not known to be so now.
        let last = scene
            .look
            .cell(&cell)
            .filter(|_| scene.turns())
            .map(|run| PastRun {
                cell: cell.clone(),
                at: run.at,
                kind: run.kind,
                status: run.status,
                vendor: None,
                code: run.code.clone(),
                reference_id: run.reference_id.clone(),
            });
        Known { cell, last }
    });
    let open = scene.look.incidents.iter().map(std::sync::Arc::as_ref);
    let found = gate::answer(plan, known.collect(), open, max_age, scene.now);
    let status = match found.clearance.state {
        Clear::Safe => StatusCode::OK,
        Clear::Blocked | Clear::Down => StatusCode::CONFLICT,
        Clear::Unknown => StatusCode::SERVICE_UNAVAILABLE,
    };
    let line = format!(
        "{}: {}\n",
        found.clearance.state.as_str(),
        found.clearance.why
    );
    Ok((status, line, gate::json(&found, probe, max_age, "daemon")))
}

async fn gate_json(State(pages): State<Pages>, Path(probe): Path<String>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    Ok(match gated(&scene, &probe, &uri) {
        Ok((status, _, value)) => answer(status, &value),
        Err((status, what, how)) => refused(status, &what, how),
    })
}

/// The same in a line, for `curl -f`.
async fn gate_text(State(pages): State<Pages>, Path(probe): Path<String>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let (status, line) = match gated(&scene, &probe, &uri) {
        Ok((status, line, _)) => (status, line),
        Err((status, what, how)) => return Ok(refused(status, &what, how)),
    };
    let mut answer = file("text/plain; charset=utf-8", line);
    *answer.status_mut() = status;
    Ok(answer)
}

async fn quiet(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let found = match pages.read(crate::store::Reader::silences).await {
        Ok(found) => found,
        Err(failure) => return Ok(failed(&failure)),
    };
    let found: Vec<Value> = found
        .iter()
        .map(|silence| silences::json(silence, scene.now))
        .collect();
    let maintenance: Vec<Value> = scene
        .look
        .plan
        .maintenance
        .iter()
        .map(|it| {
            json!({
                "name": it.name,
                "effect": it.effect,
                "probes": it.probes,
                "next_at": it.begins.next_after(scene.now),
                "lasts_s": it.lasting.as_secs(),
            })
        })
        .collect();
    Ok(ok(
        &scene,
        json!({ "silences": found, "maintenance": maintenance }),
    ))
}

async fn drift(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let memory = match pages.read(crate::store::Reader::memory).await {
        Ok(memory) => memory,
        Err(failure) => return Ok(failed(&failure)),
    };
    let fronts: Vec<Value> = memory
        .fronts
        .iter()
        .map(|front| {
            let prints = front.prints.iter().filter(|print| print.current);
            let drifts: Vec<Value> = front
                .drifts
                .iter()
                .map(|drift| {
                    json!({
                        "at": super::drift::moment(drift.at),
                        "kind": drift.kind,
                        "old": drift.old.to_text(),
                        "new": drift.new.to_text(),
                    })
                })
                .collect();
            json!({
                "host": front.host,
                "now": prints.map(|print| print.print.as_str()).collect::<Vec<_>>(),
                "drifts": drifts,
            })
        })
        .collect();
    Ok(ok(&scene, json!({ "fronts": fronts })))
}

async fn deliveries(State(pages): State<Pages>, uri: Uri) -> Page {
    let scene = scene(&pages).await?;
    let skip = asked(&uri)
        .get("skip")
        .and_then(|skip| skip.parse().ok())
        .unwrap_or(0_usize)
        .min(1_000_000);
    let read = pages.read(move |reader| reader.deliveries(None, None, skip, LISTED + 1));
    let mut found = match read.await {
        Ok(found) => found,
        Err(failure) => return Ok(failed(&failure)),
    };
    let next = (found.len() > LISTED).then_some(skip + LISTED);
    found.truncate(LISTED);
    let found: Vec<Value> = found
        .iter()
        .map(|delivery| {
            let it = &delivery.notification;
            json!({
                "delivery": it.delivery.to_string(),
                "receiver": it.receiver,
                "incident": it.incident,
                "reason": it.reason,
                "state": delivery.progress,
                "created_at": it.created_at,
                "attempts": delivery.attempts,
                "last_attempt_at": delivery.last_attempt_at,
                "next_at": delivery.next_at,
                "diverted": delivery.diverted,
                "error": delivery.error,
            })
        })
        .collect();
    Ok(ok(
        &scene,
        json!({ "deliveries": found, "next_skip": next }),
    ))
}

async fn status(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    match status_page::facts(&pages, &scene).await {
        Ok(services) => Ok(ok(&scene, json!({ "services": services }))),
        Err(failure) => Ok(failed(&failure)),
    }
}

async fn own(State(pages): State<Pages>) -> Page {
    let scene = scene(&pages).await?;
    let vitals = scene.vitals.as_ref().map(crate::telemetry::Vitals::to_json);
    Ok(ok(
        &scene,
        json!({ "vitals": vitals, "troubles": frame::troubles(&scene) }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_every_description_has_its_route() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let mut described: Vec<&str> = schema["paths"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let source = include_str!("api.rs");
        let (code, _) = source.split_once("#[cfg(test)]").unwrap();
        let routes = code.split(".route(").skip(1);
        let mut routed: Vec<&str> = routes.map(|rest| rest.split('"').nth(1).unwrap()).collect();
        described.sort_unstable();
        routed.sort_unstable();
        assert_eq!(described, routed);
    }
}
