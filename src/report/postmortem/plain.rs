//! The incident for those who run the service, not the computers: no codes, no host names, and no guess.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::report::dossier::Dossier;
use crate::report::partner;

/// Below this confidence nobody outside the team reads a cause.
const SURE: f64 = 0.9;

/// A few sentences that support staff can pass on.
pub(super) fn plain(dossier: &Dossier<'_>) -> String {
    let words = &dossier.briefing.words;
    let what = words.what.clone().unwrap_or_else(|| {
        if dossier.own_rate() {
            format!("Some of our own checks of {}", partner::recipient(dossier))
        } else if dossier.ours() {
            "Our connection to the internet".to_owned()
        } else {
            format!("Our connection to {}", partner::recipient(dossier))
        }
    });
    if dossier.warns() {
        let onset = dossier.incident.onset_at;
        return match dossier.incident.resolved_at {
            Some(_) if !dossier.unwatched() => format!(
                "{what} worked, but not as well as it should, {}.",
                span(dossier, onset, dossier.end())
            ),
            _ => format!(
                "{what} works, but not as well as it should, since {}.",
                moment(dossier, onset)
            ),
        };
    }
    // One program or one way out may be hit while the others work.
    let part = if dossier.own_rate() {
        ""
    } else if dossier.incident.diagnosis.fails.is_some() {
        ", or not every time,"
    } else if dossier.lines.iter().any(|line| !line.failing) {
        ", or not for everybody,"
    } else {
        ""
    };
    let onset = dossier.incident.onset_at;
    let mut text = match dossier.incident.resolved_at {
        Some(end) if dossier.unwatched() => format!(
            "{what} did not work{part} {}, when we stopped checking; whether it works now is not known.",
            span(dossier, onset, end)
        ),
        Some(_) => {
            let came_back = match dossier.incident.reopened {
                0 => "",
                _ => ", with times between at which it worked",
            };
            let span = span(dossier, onset, dossier.end());
            format!("{what} did not work{part} {span}{came_back}.")
        }
        None => format!(
            "{what} {} not worked{part} since {}.",
            if words.what.is_none() && dossier.own_rate() {
                "have"
            } else {
                "has"
            },
            moment(dossier, onset)
        ),
    };
    text.push_str(&why_in_plain_words(dossier));
    let meanwhile = if dossier.resolved() {
        "What worked meanwhile"
    } else {
        "What works meanwhile"
    };
    for (name, fact) in [("Affected", &words.affects), (meanwhile, &words.workaround)] {
        if let Some(fact) = fact {
            let _ = write!(text, " {name}: {}.", fact.trim_end_matches('.'));
        }
    }
    text
}

fn why_in_plain_words(dossier: &Dossier<'_>) -> String {
    let briefing = &dossier.briefing;
    match &briefing.plain.why {
        Some(why) if briefing.confidence >= SURE => format!(" {why}"),
        _ => " We don't know for certain why.".to_owned(),
    }
}

/// `02:14 on Sunday, 28 February 2021`.
fn moment(dossier: &Dossier<'_>, at: Timestamp) -> String {
    at.to_zoned(dossier.plan.zone.clone())
        .strftime("%H:%M on %A, %-d %B %Y")
        .to_string()
}

/// From when to when, the day once where it is the same.
fn span(dossier: &Dossier<'_>, from: Timestamp, to: Timestamp) -> String {
    let there = |at: Timestamp| at.to_zoned(dossier.plan.zone.clone());
    if moment(dossier, from) == moment(dossier, to) {
        format!("at {}", moment(dossier, to))
    } else if there(from).date() == there(to).date() {
        let from = there(from).strftime("%H:%M").to_string();
        format!("from {from} until {}", moment(dossier, to))
    } else {
        format!(
            "from {} until {}",
            moment(dossier, from),
            moment(dossier, to)
        )
    }
}
