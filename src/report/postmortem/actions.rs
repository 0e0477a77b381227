//! What the facts suggest to do, and what only people can write.

use crate::domain::cell::ProbeName;
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::probe::Schedule;
use crate::domain::verdict::Kind;
use crate::report::dossier::Dossier;
use crate::report::partner;
use crate::report::prose::list;

/// What the facts suggest; a team decides.
pub(super) fn actions(dossier: &Dossier<'_>) -> Vec<String> {
    let mut actions = Vec::new();
    let partner = partner::recipient(dossier);
    let incident = &dossier.incident;
    if dossier.ours() {
        actions.push(dossier.briefing.next_step.clone().unwrap_or_else(|| {
            "Find out what failed on our own side, and whether a second way out would have helped".to_owned()
        }));
    } else if dossier.own_rate() {
        // Nobody else has to do anything.
    } else if dossier.resolved() {
        actions.push(format!(
            "Ask {partner} what was changed, and to be told before the next change of that kind"
        ));
    } else {
        actions.push(format!(
            "Send the evidence pack (`edgewatch report {}`) to {partner}",
            incident.number
        ));
    }
    let probe = incident
        .probes
        .first()
        .and_then(|name| dossier.plan.probe(name));
    if let Some(probe) = probe.filter(|_| !dossier.ours()) {
        for level in incident.diagnosis.cause.levels() {
            actions.extend(about(level, &partner, incident.kind, &probe.name));
        }
        match &incident.diagnosis.cause {
            Cause::OwnRate { per_minute, .. } => {
                actions.push(format!(
                    "Ask less often than {per_minute} times a minute: raise `every:` of the probes or lower `requests_per_minute` under `politeness:`"
                ));
                actions.push(format!("Ask {partner} for their limit, and how it is counted"));
            }
            Cause::Pop(name) => actions.push(format!(
                "Ask {partner} to be told when a point of presence (`{name}` this time) is taken out of service or changed"
            )),
            _ if incident.kind == Kind::RateLimited => {
                actions.push(format!("Agree with {partner} on a rate, and stay below it"));
            }
            _ => {}
        }
        actions.push(format!(
            "Ask before jobs start: `edgewatch gate {}`",
            probe.name
        ));
    }
    if let Some(tell) = &incident.diagnosis.would_tell {
        actions.push(format!("Make it tellable next time: {tell}"));
    }
    for name in dossier.egresses() {
        if !dossier.ours() && dossier.origin(&name).public.is_none() {
            actions.push(format!("Add the public address of egress `{name}` to the file (`public:`), because partners ask for it first"));
        }
    }
    if let Some(probe) = probe
        && !probe.control
        && probe.words.what.is_none()
    {
        actions.push(format!(
            "Add `words:` to probe `{}`, so that support staff can be told in plain words",
            probe.name
        ));
    }
    let mut silent: Vec<&str> = dossier
        .told
        .iter()
        .filter(|t| t.error.is_some())
        .map(|t| t.receiver.as_str())
        .collect();
    silent.sort_unstable();
    silent.dedup();
    for receiver in silent {
        actions.push(format!(
            "Mend the way to receiver `{receiver}`; it could not be told"
        ));
    }
    if let (Some(good), Some(Schedule::Every(every))) =
        (incident.last_good_at, probe.map(|p| p.schedule.clone()))
        && incident.onset_at.duration_since(good).unsigned_abs() > 3 * every
    {
        actions.push("Find out why no run fell into the time before the first failure".to_owned());
    }
    actions
}

fn names<N: std::fmt::Display>(names: &[N]) -> Vec<String> {
    names.iter().map(|name| format!("`{name}`")).collect()
}

/// What a level of the cause suggests.
fn about(level: &Level, partner: &str, kind: Kind, probe: &ProbeName) -> Vec<String> {
    let before_roll_out =
        || format!("Ask before the next roll-out: `edgewatch try --user-agent \"…\" {probe}`");
    match level {
        Level::Client(name) if kind.is_refusal() => vec![
            format!(
                "Move client `{name}` to a runtime or user agent that {partner} accepts, or agree with them that it stays"
            ),
            before_roll_out(),
        ],
        Level::Family { name, .. } if kind.is_refusal() => vec![
            format!(
                "Agree with {partner} which `{name}` user agents stay accepted, or give our clients one of their own"
            ),
            before_roll_out(),
        ],
        Level::Egress(name) if kind != Kind::DnsError => vec![format!(
            "Agree with {partner} on the list of our public addresses; `{name}` does not get through"
        )],
        Level::Region { name, .. } if kind != Kind::DnsError => vec![format!(
            "Agree with {partner} on the list of our public addresses; those in region `{name}` do not get through"
        )],
        Level::IpFamily { name, egresses } => vec![
            format!("Agree with {partner} whether {name} is served; set `family:` of the egress that our jobs use to what works"),
            format!(
                "Keep a probe over {name} ({}), so that its return is noticed",
                list(&names(egresses), "and")
            ),
        ],
        Level::Credential(name) => vec![format!(
            "Check who is told when the account behind `{name}` expires or is locked"
        )],
        Level::Stack { clients, .. } => vec![
            format!(
                "Agree with {partner} that the TLS fingerprint of {} stays accepted, and that they tell us before they judge by fingerprints",
                list(&names(clients), "and")
            ),
            "Ask before the next runtime update, which may change the fingerprint: a client with `command:` and the new runtime, beside the present one".to_owned(),
        ],
        Level::Http { .. } => vec![format!(
            "Agree with {partner} which HTTP versions they support, and set `http:` of the clients to one that works"
        )],
        _ => Vec::new(),
    }
}

/// Questions that a team answers.
pub(super) fn lessons(dossier: &Dossier<'_>) -> Vec<String> {
    let mut prompts = vec![
        "what went well?".to_owned(),
        "what did we guess first, what was wrong about it, and what would have shown it sooner?"
            .to_owned(),
        "who should have been told, or told earlier?".to_owned(),
    ];
    if !dossier.ours() {
        prompts.push(format!(
            "what do we need to agree on with {}, so that this does not happen again?",
            partner::recipient(dossier)
        ));
    }
    prompts.push("where were we lucky?".to_owned());
    prompts
}
