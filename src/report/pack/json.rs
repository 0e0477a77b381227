//! The evidence pack for scripts.

use serde_json::{Value, json};

use super::{clients, fares, notes, subject, text};
use crate::domain::incident::Specimen;
use crate::report::curl;
use crate::report::dossier::Dossier;
use crate::report::{cause, partner, prose, verdict};

/// The same for scripts; keys are stable, times are RFC 3339 in UTC.
#[must_use]
pub fn json(dossier: &Dossier<'_>) -> Value {
    let incident = &dossier.incident;
    let zone = &dossier.plan.zone;
    let time =
        |at: jiff::Timestamp| json!({ "utc": at.to_string(), "local": prose::local(at, zone) });
    let run = incident.failing.as_ref().or(incident.passing.as_ref());
    let addresses = dossier.egresses().into_iter().map(|name| {
        let origin = dossier.origin(&name);
        json!({
            "egress": name.as_str(),
            "public": origin.public,
            "local": origin.local,
            "proxy": origin.proxy,
        })
    });
    let clients = clients(dossier).into_iter().map(|name| {
        json!({
            "client": name.as_str(),
            "user_agent": dossier.plan.client(&name).map(|c| c.user_agent.clone()),
            "fares": fares(dossier, &name),
        })
    });
    let endpoints = incident.probes.iter().map(|name| {
        let probe = dossier.plan.probe(name);
        json!({
            "probe": name.as_str(),
            "method": probe.map(|p| p.method.to_string()),
            "url": probe.map(|p| p.url.to_string()),
        })
    });
    json!({
        "incident": incident.number,
        "state": dossier.incident.state,
        "our_side": dossier.ours(),
        "service": dossier.called(),
        "recipient": (!dossier.ours()).then(|| partner::recipient(dossier)),
        "subject": subject(dossier),
        "notes": notes(dossier),
        "what_happens": if dossier.ours() { dossier.headline.clone() } else { partner::what_happens(dossier) },
        "the_pair": partner::the_pairs(dossier).into_iter().next().filter(|_| !dossier.ours()),
        "pairs": if dossier.ours() { Vec::new() } else { partner::the_pairs(dossier) },
        "asked": partner::asked(dossier),
        "since": time(incident.onset_at),
        "until": incident.over_at().map(time),
        "last_bad_at": incident.spells.last_bad_at.map(time),
        "last_good_at": incident.last_good_at.map(time),
        "failed_runs": incident.failed_runs,
        "environment": {
            "host": partner::host(dossier),
            "endpoints": endpoints.collect::<Vec<_>>(),
            "resolved": run.map(|r| r.resolved.clone()),
            "remote": run.and_then(|r| r.remote.clone()),
            "certificate": run.and_then(|r| r.certificate.clone()),
            "paths": run.map(|r| r.paths.clone()),
            "addresses": addresses.collect::<Vec<_>>(),
            "clients": clients.collect::<Vec<_>>(),
        },
        "vendor": {
            "name": dossier.vendor.name,
            "code": incident.failing.as_ref().and_then(|r| r.verdict.code.clone()),
            "meaning": dossier.vendor.meaning,
            "whose": partner::whose_code(dossier),
            "reference_ids_are": dossier.vendor.reference,
        },
        "matrix": dossier.lines.iter().map(|line| json!({
            "probe": line.cell.probe,
            "egress": line.cell.egress,
            "client": line.cell.client,
            "credential": line.cell.credential,
            "failing": line.failing,
            "kind": line.kind,
            "status": line.status,
            "code": line.code,
            "at": line.at,
        })).collect::<Vec<_>>(),
        "references": dossier.references.iter().map(|reference| json!({
            "id": reference.id,
            "at": reference.at,
            "cell": reference.cell.as_ref().map(ToString::to_string),
        })).collect::<Vec<_>>(),
        "failing": incident.failing.as_ref().map(|run| run_json(dossier, run)),
        "passing": incident.passing.as_ref().map(|run| run_json(dossier, run)),
        "cause_known": dossier.briefing.cause_known,
        "confidence": dossier.briefing.confidence,
        "cause": cause::json(incident),
        "ruled_out": partner::ruled_out(dossier),
        "ruled_out_pairs": cause::ruled_out(incident),
        "beside": cause::beside(incident),
        "text": text(dossier),
    })
}

fn run_json(dossier: &Dossier<'_>, run: &Specimen) -> Value {
    json!({
        "at": run.at,
        "cell": run.cell.to_string(),
        "curl": curl::command(dossier.plan, run),
        "local": run.local,
        "public": run.public,
        "remote": run.remote,
        "status": run.status,
        "http": run.http,
        "failure": run.failure,
        "sent": run.sent,
        "took_ms": run.took.as_millis() as u64,
        "response_headers": run.response_headers,
        "excerpt": run.excerpt,
        "verdict": verdict::json(&run.verdict),
    })
}
