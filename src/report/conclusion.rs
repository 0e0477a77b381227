//! The conclusion of a round, for people and for scripts.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::domain::notification::Briefing;

/// A paragraph for each briefing: what, why, what it is not, what to do.
#[must_use]
pub fn text(briefings: &[Briefing], remarks: &[String], idle: &[String], colour: bool) -> String {
    let style = |ansi: AnsiColor| {
        if colour {
            Style::new().bold().fg_color(Some(ansi.into()))
        } else {
            Style::new()
        }
    };
    let mut text = String::new();
    for remark in remarks {
        let _ = writeln!(text, "{remark}");
    }
    let yellow = style(AnsiColor::Yellow);
    for missing in idle {
        let _ = writeln!(text, "{yellow}{missing}{yellow:#}");
    }
    if briefings.is_empty() && remarks.is_empty() && !idle.is_empty() {
        let _ = writeln!(
            text,
            "All cells that ran pass; of the others nothing is known."
        );
    } else if briefings.is_empty() && remarks.is_empty() {
        let green = style(AnsiColor::Green);
        let _ = writeln!(text, "{green}All cells pass.{green:#}");
    }
    if briefings.is_empty() {
        return text;
    }
    for briefing in briefings {
        let red = style(if briefing.our_side {
            AnsiColor::Magenta
        } else {
            AnsiColor::Red
        });
        let _ = write!(text, "{red}{}{red:#}", briefing.headline);
        if briefing.cause_known {
            let _ = write!(
                text,
                " · confidence {:.0} %",
                (briefing.confidence * 100.0).floor()
            );
        }
        text.push('\n');
        for (name, lines) in [
            ("because", &briefing.because),
            ("ruled out", &briefing.ruled_out),
        ] {
            for (index, line) in lines.iter().enumerate() {
                let _ = writeln!(text, "  {:<10} {line}", if index == 0 { name } else { "" });
            }
        }
        if !briefing.reference_ids.is_empty() {
            let _ = writeln!(text, "  reference  {}", briefing.reference_ids.join(", "));
        }
        if let Some(step) = &briefing.next_step {
            let _ = writeln!(text, "  next       {step}");
        }
    }
    let _ = writeln!(
        text,
        "This is one round; the daemon confirms with spaced repeats before it tells anybody."
    );
    text
}

/// The same for scripts; keys are stable.
#[must_use]
pub fn json(outcome: &str, briefings: &[Briefing], remarks: &[String]) -> Value {
    let one = |briefing: &Briefing| {
        json!({
            "subject": briefing.subject,
            "our_side": briefing.our_side,
            "kind": briefing.kind,
            "headline": briefing.headline,
            "cause_known": briefing.cause_known,
            "confidence": briefing.confidence,
            "because": briefing.because,
            "ruled_out": briefing.ruled_out,
            "reference_ids": briefing.reference_ids,
            "next_step": briefing.next_step,
            "cells": briefing.cells,
        })
    };
    json!({
        "outcome": outcome,
        "problems": briefings.iter().map(one).collect::<Vec<_>>(),
        "remarks": remarks,
    })
}
