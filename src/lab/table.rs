//! The tables and JSON lines that `replay` prints.

use serde_json::{Map, Value, json};

use super::blame::{self, Blame};
use super::player::{Claim, Message, Playback, Played};
use super::score::Marks;
use crate::judge::rules::{Condition, RateKey, Rule, RuleBook, Scope, Special};
use crate::judge::universe::Universe;

/// A rule in the keys of scenario files.
pub(super) fn when(universe: &Universe, rule: &Rule) -> Map<String, Value> {
    let mut out = Map::new();
    let mut put = |key: &str, value: &str| {
        out.insert(key.to_owned(), Value::from(value));
    };
    let host = |i: u16| universe.hosts[usize::from(i)].as_str();
    match rule.scope {
        Scope::Everything => {}
        Scope::Provider(i) => put("provider", &universe.providers[usize::from(i)]),
        Scope::Host(i) => put("host", host(i)),
        Scope::Prefix { host: h, prefix } => {
            put("host", host(h));
            put("prefix", &universe.prefixes[usize::from(prefix)]);
        }
        Scope::Method { host: h, method } => {
            put("host", host(h));
            put("method", &universe.methods[usize::from(method)]);
        }
        Scope::Endpoint(i) => put("endpoint", &universe.endpoints[usize::from(i)].name),
    }
    for condition in &rule.conditions {
        match *condition {
            Condition::Client(i) => put("ua", &universe.clients[usize::from(i)].name),
            Condition::Family(i) => put("ua_family", &universe.families[usize::from(i)]),
            Condition::Egress(i) => put("egress", &universe.egresses[usize::from(i)].name),
            Condition::Region(i) => put("region", &universe.regions[usize::from(i)]),
            Condition::Credential(i) => put("cred", &universe.credentials[usize::from(i)]),
            Condition::Version(i) => put("http", &universe.versions[usize::from(i)]),
        }
    }
    if let Some(Special::Pop(pop)) = rule.special {
        put("pop", &universe.pops[usize::from(pop)]);
    }
    out
}

/// What is blamed, on one short line.
pub(super) fn label(universe: &Universe, book: &RuleBook, blame: &Blame) -> String {
    let one = |value: &Value| match value {
        Value::Array(several) => {
            let names = several.iter().filter_map(Value::as_str);
            names.collect::<Vec<_>>().join("|")
        }
        value => value.as_str().unwrap_or_default().to_owned(),
    };
    let mut parts: Vec<String> = blame::when(universe, book, blame)
        .iter()
        .map(|(k, v)| format!("{k}={}", one(v)))
        .collect();
    match blame.rate {
        Some(RateKey::Egress) => parts.push("own rate by egress".to_owned()),
        Some(RateKey::Host) => parts.push("own rate".to_owned()),
        None => {}
    }
    if parts.is_empty() {
        "everything".to_owned()
    } else {
        parts.join(" ")
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

fn claim(universe: &Universe, book: &RuleBook, claim: &Claim, onset: f64) -> Value {
    let blame = &claim.blame;
    let rate = match blame.rate {
        Some(RateKey::Egress) => json!({ "key": "egress" }),
        Some(RateKey::Host) => json!({ "key": "host" }),
        None => Value::Null,
    };
    json!({
        "when": blame::when(universe, book, blame),
        "rate": rate,
        "nature": blame.natures.first().map(|nature| nature.as_str()),
        "intermittent": claim.intermittent,
        "probability": rounded(claim.fails, 3),
        "confidence": rounded(claim.confidence, 4),
        "claimed_s": rounded(claim.claimed_at - onset, 1),
        "withdrawn_s": claim.withdrawn_at.map(|at| rounded(at - onset, 1)),
    })
}

fn incident(universe: &Universe, book: &RuleBook, it: &Played, onset: f64) -> Value {
    let state = if it.standing().next().is_some() {
        "attributed"
    } else if it.among.is_empty() {
        "open"
    } else {
        "cannot_tell"
    };
    let drift = match &it.drift {
        Some(relation) => json!({
            "related": relation.related,
            "kind": relation.drift.kind.as_str(),
            "lead_min": rounded(relation.lead_s / 60.0, 0) as i64,
        }),
        None => json!({ "related": false, "kind": null, "lead_min": null }),
    };
    json!({
        "opened_s": rounded(it.opened_at - onset, 1),
        "recovered_s": it.recovered_at.map(|at| rounded(at - onset, 1)),
        "state": state,
        "causes": it.claims.iter().map(|c| claim(universe, book, c, onset)).collect::<Vec<_>>(),
        "among": it.among.iter().map(|n| n.as_str()).collect::<Vec<_>>(),
        "missing": it.missing,
        "drift": drift,
        "extra_requests": it.extra,
    })
}

fn message(it: &Message, onset: f64) -> Value {
    json!({
        "at_s": rounded(it.at - onset, 1),
        "incident": it.incident,
        "reason": it.reason.as_str(),
        "headline": it.text,
        "cells": it.cells,
    })
}

/// One run as one JSON object.
pub(super) fn line(
    scenario: &str,
    universe: &Universe,
    book: &RuleBook,
    playback: &Playback,
    marks: &Marks,
) -> Value {
    json!({
        "scenario": scenario,
        "seed": playback.seed,
        "passed": marks.passed,
        "failures": marks.failures,
        "incidents": playback
            .incidents
            .iter()
            .map(|i| incident(universe, book, i, playback.onset))
            .collect::<Vec<_>>(),
        "messages": playback
            .messages
            .iter()
            .map(|m| message(m, playback.onset))
            .collect::<Vec<_>>(),
        "extra_requests_total": playback.extra,
        "scheduled_requests": playback.scheduled,
        "suppressed": playback.suppressed > 0 && playback.incidents.is_empty(),
    })
}

/// The value that a share of a list lies below.
pub(super) fn quantile<T: Copy + PartialOrd>(
    values: impl Iterator<Item = T>,
    share: f64,
) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let at = ((share * values.len() as f64) as usize).min(values.len().saturating_sub(1));
    values.get(at).copied()
}

/// Median and ninth decile, or a dash.
pub(super) fn spread(values: impl Iterator<Item = f64> + Clone) -> String {
    match (quantile(values.clone(), 0.5), quantile(values, 0.9)) {
        (Some(a), Some(b)) => format!("{a:.0} / {b:.0}"),
        _ => "- / -".to_owned(),
    }
}
