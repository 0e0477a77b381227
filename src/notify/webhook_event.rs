//! What a webhook is sent: one JSON object for each message, version 1.
//!
//! `deploy/webhook-event.schema.json` describes every field, and a test holds the two together.
//!
//! A cause is named only when it is as sure as the route's `min_confidence` asks; otherwise `cause_known` is
//! false, `confidence` is null, and `headline` says only what was seen. Fields may be added; readers should
//! leave alone what they do not know.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::text::{Clock, line, reference, severity, summary};
use super::{Message, Trouble};
use crate::domain::notification::{Briefing, Reason};

const VERSION: u32 = 1;

/// The body of the request.
#[must_use]
pub fn payload(message: &Message<'_>) -> Value {
    let (kind, data) = match message.reason {
        Reason::Notice => ("notice".to_owned(), notice(message)),
        reason => (format!("incident.{}", reason.as_str()), incident(message)),
    };
    event(&kind, message.happened_at, &data)
}

fn event(kind: &str, at: Timestamp, data: &Map<String, Value>) -> Value {
    json!({
        "type": kind,
        "timestamp": at.to_string(),
        "version": VERSION,
        "data": data,
    })
}

/// That another channel does not work, or works again.
pub(super) fn of_channel(trouble: &Trouble<'_>) -> Value {
    let (kind, at) = if trouble.over {
        ("channel.reachable", trouble.now)
    } else {
        ("channel.unreachable", trouble.since)
    };
    let data = object(json!({
        "receiver": line(trouble.receiver),
        "since": trouble.since.to_string(),
        "why": line(trouble.why),
        "summary": trouble.notice().text(),
    }));
    event(kind, at, &data)
}

fn incident(message: &Message<'_>) -> Map<String, Value> {
    let briefing = message.briefing;
    let mut data = head(message);
    if !message.plain {
        data.extend(told(briefing));
        data.extend(times(briefing));
    }
    data.insert("whole".to_owned(), message.whole.into());
    data.extend(delivery(message));
    data
}

/// A change that is no incident.
fn notice(message: &Message<'_>) -> Map<String, Value> {
    let briefing = message.briefing;
    let clean = |texts: &[String]| texts.iter().map(|t| line(t)).collect::<Vec<_>>();
    let mut data = object(json!({
        "service": line(&briefing.service),
        "subject": line(&briefing.subject),
        "probes": clean(&briefing.probes),
        "our_side": briefing.our_side,
        "summary": summary(message, &Clock::new(message)),
        "headline": line(&briefing.headline),
    }));
    if !message.plain {
        data.extend(object(json!({
            "because": clean(&briefing.because),
            "next_step": briefing.next_step.as_deref().map(line),
            "maintenance": clean(&briefing.during),
            "seen_at": briefing.onset_at.to_string(),
        })));
    }
    data.extend(delivery(message));
    data
}

/// How it comes.
fn delivery(message: &Message<'_>) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("late".to_owned(), message.late.into());
    data.insert("repeat".to_owned(), message.repeat.into());
    data.insert("note".to_owned(), message.note.map(line).into());
    data.insert("reduced".to_owned(), message.plain.into());
    data
}

fn head(message: &Message<'_>) -> Map<String, Value> {
    let briefing = message.briefing;
    let probes: Vec<String> = briefing.probes.iter().map(|p| line(p)).collect();
    object(json!({
        "incident": briefing.incident,
        "reference": reference(briefing),
        "reason": message.reason.as_str(),
        "state": briefing.state,
        "service": line(&briefing.service),
        "subject": line(&briefing.subject),
        "probes": probes,
        "our_side": briefing.our_side,
        "severity": severity(briefing),
        "verdict": briefing.kind.as_str(),
        "summary": summary(message, &Clock::new(message)),
        "headline": line(&briefing.headline),
    }))
}

fn told(briefing: &Briefing) -> Map<String, Value> {
    let cells: Vec<Value> = briefing
        .cells
        .iter()
        .map(|c| json!({ "cell": line(&c.cell), "verdict": c.kind.as_str(), "failing": c.failing }))
        .collect();
    let clean = |texts: &[String]| texts.iter().map(|t| line(t)).collect::<Vec<_>>();
    let words = &briefing.words;
    let word = |text: &Option<String>| text.as_deref().map(line);
    let acknowledged = briefing
        .acknowledged
        .as_ref()
        .map(|by| json!({ "by": line(&by.by), "at": by.at.to_string() }));
    object(json!({
        "cause_known": briefing.cause_known,
        "confidence": briefing.cause_known.then_some(briefing.confidence),
        "because": clean(&briefing.because),
        "ruled_out": clean(&briefing.ruled_out),
        "next_step": briefing.next_step.as_deref().map(line),
        "expected": line(&briefing.expected),
        "got": line(&briefing.got),
        "cells": cells,
        "failed_runs": briefing.failed_runs,
        "reopened": briefing.reopened,
        "before": briefing.before.as_deref().map(line),
        "reference_ids": clean(&briefing.reference_ids),
        "words": {
            "what": word(&words.what),
            "affects": word(&words.affects),
            "workaround": word(&words.workaround),
            "tell": word(&words.tell),
            "contact": {
                "ring": word(&words.contact.ring),
                "runbook": word(&words.contact.runbook),
                "link": word(&words.contact.link),
            },
        },
        "acknowledged": acknowledged,
        "maintenance": clean(&briefing.during),
        "held_back": clean(&briefing.held_back),
    }))
}

fn times(briefing: &Briefing) -> Map<String, Value> {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    object(json!({
        "onset_at": time(Some(briefing.onset_at)),
        "opened_at": time(Some(briefing.opened_at)),
        "resolved_at": time(briefing.resolved_at),
        "last_good_at": time(briefing.last_good_at),
        "last_bad_at": time(briefing.spells.last_bad_at),
        "first_good_at": time(briefing.spells.first_good_at.filter(|_| briefing.is_fixed())),
        "failing_s": briefing.over_at().map(|end| briefing.failing_for(end).as_secs()),
        "next_update_at": time(briefing.next_update_at),
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
