//! The tables and JSON lines that `replay` prints.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::blame;
use super::over_time::{Fit, OverTime};
use super::player::{Claim, Message, Playback, Played};
use super::score::Marks;
use crate::judge::rules::{RateKey, RuleBook};
use crate::judge::universe::Universe;

/// How the result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
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

fn over_time(course: &OverTime) -> Value {
    let seconds = Fit::ALL.into_iter().zip(course.seconds);
    json!({
        "right": course.is_right(),
        "seconds": seconds
            .map(|(fit, s)| (fit.as_str().to_owned(), rounded(s, 0).into()))
            .collect::<serde_json::Map<_, _>>(),
        "fixed_s": course.fixed_s.iter().map(|s| rounded(*s, 0)).collect::<Vec<_>>(),
        "wrong_ends": course.wrong_ends,
        "false_resolved": course.false_resolved,
        "messages_by_change": course.messages,
    })
}

/// One run as one JSON object.
pub(super) fn line(
    scenario: &str,
    universe: &Universe,
    book: &RuleBook,
    playback: &Playback,
    marks: &Marks,
    course: &OverTime,
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
        "over_time": over_time(course),
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
