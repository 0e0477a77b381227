//! The post-mortem for scripts.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{actions, events, first_good, lessons, plain, text};
use crate::report::dossier::Dossier;
use crate::report::{cause, incidents};

/// The same for scripts; keys are stable, times are RFC 3339 in UTC.
#[must_use]
pub fn json(dossier: &Dossier<'_>) -> Value {
    let incident = &dossier.incident;
    let seconds = |at: Timestamp| at.duration_since(incident.onset_at).as_secs_f64();
    json!({
        "incident": incident.number,
        "state": dossier.incident.state,
        "title": dossier.headline,
        "our_side": dossier.ours(),
        "confidence": dossier.briefing.confidence,
        "cause_known": dossier.briefing.cause_known,
        "cause": cause::json(incident),
        "beside": cause::beside(incident),
        "impact": {
            "what": dossier.briefing.words.what,
            "affects": dossier.briefing.words.affects,
            "workaround": dossier.briefing.words.workaround,
            "lasted_s": incident.failing_for(dossier.now).as_secs(),
            "failed_runs": incident.failed_runs,
            "extra_runs": incident.extra_runs,
        },
        "in_plain_words": plain(dossier),
        "timeline": events(dossier).into_iter().map(|(at, text)| json!({ "at": at, "text": text })).collect::<Vec<_>>(),
        "because": dossier.briefing.because,
        "was_not": dossier.briefing.ruled_out,
        "detection": {
            "last_good_at": incident.last_good_at,
            "onset_at": incident.onset_at,
            "opened_at": incident.opened_at,
            "opened_after_s": seconds(incident.opened_at),
            "told": dossier.told.iter().map(|told| json!({
                "receiver": told.receiver,
                "reason": told.reason,
                "at": told.at,
                "after_s": told.at.map(seconds),
                "error": told.error,
            })).collect::<Vec<_>>(),
            "acknowledged": incident.acknowledged,
            "last_bad_at": incident.spells.last_bad_at,
            "first_good_at": first_good(dossier),
            "resolved_at": incident.resolved_at,
        },
        "actions": actions(dossier),
        "lessons_to_write": lessons(dossier),
        "evidence": incidents::json(incident, &dossier.briefing, &[]),
        "text": text(dossier),
    })
}
