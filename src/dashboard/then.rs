//! How an incident looked at a moment: the matrix as it was, and what was thought of it, round by round.
//!
//! The moment is in the address, so it can be sent to somebody. A step is a round of the incident's probes or a moment at
//! which it was decided otherwise; between two of them nothing can be told apart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use jiff::Timestamp;
use maud::{Markup, html};

use super::Scene;
use super::now::{self, brief, every};
use super::parts::{prose, time};
use super::present::Look;
use crate::domain::cell::CellKey;
use crate::domain::incident::{Incident, State};
use crate::domain::past::PastRun;
use crate::domain::plan::Plan;
use crate::domain::probe::Probe;
use crate::store::{Reader, StoreError, Thought};

/// Rounds that can be told apart; of a longer incident every second, third … one.
const STEPS_MAX: u32 = 200;
/// What a probe by cron is taken to run by.
const RHYTHM: Duration = Duration::from_secs(5 * 60);
/// Cells of the matrices that are shown.
const CELLS_MAX: usize = 2_000;
/// A run that is older than so many rounds says nothing of the moment.
const BACK: u32 = 3;

/// Which moment is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Asked {
    at: Option<Timestamp>,
    /// Of the slider, from 1.
    round: Option<usize>,
}

impl Asked {
    pub(super) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let asked: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
        Self {
            at: asked.get("at").and_then(|at| at.parse().ok()),
            round: asked.get("round").and_then(|round| round.parse().ok()),
        }
    }
}

/// An incident at one of its moments.
pub(super) struct Then {
    steps: Vec<Timestamp>,
    place: usize,
    /// A moment was asked for, and not merely the last one.
    pub(super) chosen: bool,
    /// The newest run of each cell by then.
    runs: Vec<PastRun>,
    /// What was thought at each time, oldest first.
    thoughts: Vec<Thought>,
}

impl Then {
    pub(super) fn at(&self) -> Timestamp {
        self.steps[self.place]
    }

    /// What was thought at the moment.
    fn thought(&self) -> Option<&Thought> {
        let mut thoughts = self.thoughts.iter().rev();
        thoughts.find(|thought| thought.at <= self.at())
    }
}

/// Reads how the incident looked at the moment that is asked for; the last one when none is.
pub(super) fn gather(
    reader: &Reader,
    plan: &Plan,
    incident: &Incident,
    asked: Asked,
    now: Timestamp,
) -> Result<Then, StoreError> {
    let thoughts = reader.thoughts(incident.number)?;
    let rhythm = rhythm(plan, incident);
    let decided: Vec<Timestamp> = thoughts.iter().map(|thought| thought.at).collect();
    let steps = steps(incident, rhythm, &decided, now);
    let place = place(&steps, asked);
    let cells: Vec<CellKey> = probes(plan, incident)
        .flat_map(now::keys)
        .take(CELLS_MAX)
        .collect();
    let at = steps[place];
    let back = rhythm * BACK + RHYTHM;
    let since = at.checked_sub(back).unwrap_or(Timestamp::MIN);
    let runs = reader.latest_then(incident.number, &cells, since, at)?;
    Ok(Then {
        chosen: asked != Asked::default(),
        steps,
        place,
        runs,
        thoughts,
    })
}

fn probes<'a>(plan: &'a Plan, incident: &'a Incident) -> impl Iterator<Item = &'a Probe> {
    let names = incident.probes.iter();
    names.filter_map(|name| plan.probe(name))
}

fn rhythm(plan: &Plan, incident: &Incident) -> Duration {
    let known = probes(plan, incident).filter_map(every).min();
    known.unwrap_or(RHYTHM).max(Duration::from_secs(1))
}

/// The moments of an incident, oldest first; at least one.
fn steps(
    incident: &Incident,
    rhythm: Duration,
    decided: &[Timestamp],
    now: Timestamp,
) -> Vec<Timestamp> {
    let first = incident.onset_at.checked_sub(rhythm * 2);
    let first = first.unwrap_or(incident.onset_at);
    let end = match incident.resolved_at {
        Some(at) => at.checked_add(rhythm).unwrap_or(at).min(now),
        None => now,
    };
    let lasts = Duration::try_from(end.duration_since(first)).unwrap_or_default();
    let rounds = lasts.as_nanos() / rhythm.as_nanos().max(1);
    let stride = rhythm.saturating_mul(
        u32::try_from(rounds / u128::from(STEPS_MAX))
            .unwrap_or(u32::MAX)
            .saturating_add(1),
    );
    let mut steps: Vec<Timestamp> = decided.iter().copied().filter(|at| *at <= end).collect();
    let mut next = first;
    while next < end {
        steps.push(next);
        let Ok(after) = next.checked_add(stride) else {
            break;
        };
        next = after;
    }
    steps.push(end.max(first));
    steps.sort();
    steps.dedup();
    steps
}

/// Which step is meant: the last one that is not later.
fn place(steps: &[Timestamp], asked: Asked) -> usize {
    let last = steps.len() - 1;
    if let Some(at) = asked.at {
        return steps.iter().rposition(|step| *step <= at).unwrap_or(0);
    }
    asked
        .round
        .map_or(last, |round| round.saturating_sub(1).min(last))
}

/// The section of an incident's page.
pub(super) fn section(scene: &Scene, incident: &Incident, then: &Then) -> Markup {
    let (zone, now, at) = (scene.zone(), scene.now, then.at());
    let own = scene.to(&format!("/incidents/{}", incident.number));
    let to = |place: usize| format!("{own}?at={}#then", then.steps[place]);
    let (place, last) = (then.place, then.steps.len() - 1);
    let past = Scene {
        pages: scene.pages.clone(),
        now: at,
        look: Look::of(Arc::clone(&scene.look.plan), &then.runs, Vec::new()),
        vitals: None,
        live: false,
        past: true,
        who: None,
        outsider: false,
    };
    let known: Vec<&Probe> = probes(&scene.look.plan, incident).collect();
    html! {
        section id="then" {
            h2 { "How it looked" }
            form.acts action=(format!("{own}#then")) {
                @if place > 0 { a rel="prev" href=(to(place - 1)) { "Earlier" } } @else { span.below { "Earlier" } }
                label { "Moment " (place + 1) " of " (last + 1) " "
                    input type="range" name="round" min="1" max=(last + 1) value=(place + 1) data-go;
                }
                button { "Show" }
                @if place < last { a rel="next" href=(to(place + 1)) { "Later" } } @else { span.below { "Later" } }
                @if then.chosen { a href=(own) { "As it is now" } }
            }
            p {
                strong { (time(at, zone, now)) } " (" (at.strftime("%H:%M:%S UTC").to_string()) "): "
                (thought(scene, incident, then))
            }
            @for (number, probe) in known.iter().enumerate() {
                (now::board_of(&past, probe, number, &html! { (probe.name) }))
            }
            @if known.is_empty() { p { "Its probe is no longer in the file, so there is no matrix to show." } }
            @if then.thoughts.len() > 1 { (thoughts(scene, incident, then)) }
        }
    }
}

/// The incident as it was thought of.
fn as_of(incident: &Incident, thought: &Thought, at: Timestamp) -> Incident {
    let mut then = incident.clone();
    then.diagnosis = thought.diagnosis.clone();
    if then.resolved_at.is_some_and(|over| over > at) {
        then.state = State::Open;
        then.resolved_at = None;
    }
    then
}

fn thought(scene: &Scene, incident: &Incident, then: &Then) -> Markup {
    let at = then.at();
    let over = incident.resolved_at.is_some_and(|over| over <= at);
    match then.thought() {
        None if at < incident.opened_at => html! { "nothing was decided yet." },
        None => html! { "what was thought then is not kept." },
        Some(thought) => {
            let briefing = brief(scene, &as_of(incident, thought, at));
            html! {
                @if over && incident.state == State::Unwatched { "it was no longer watched. Last thought: " }
                @else if over { "it was over. Last thought: " }
                "“" (prose(&briefing.headline)) "”"
                @if briefing.cause_known { ", " (percent(briefing.confidence)) }
                "."
                details id="then-why" {
                    summary { "Why, as it was thought then" }
                    @if briefing.because.is_empty() { p { "Nothing explained it yet." } }
                    @else { ul { @for reason in &briefing.because { li { (prose(reason)) } } } }
                    @if !briefing.ruled_out.is_empty() {
                        p { "Ruled out:" }
                        ul { @for out in &briefing.ruled_out { li { (prose(out)) } } }
                    }
                }
            }
        }
    }
}

fn percent(confidence: f64) -> String {
    format!("{:.0} %", (confidence * 100.0).floor())
}

/// What was thought when: each explanation with how sure it was, and the moment that made it so.
fn thoughts(scene: &Scene, incident: &Incident, then: &Then) -> Markup {
    let own = scene.to(&format!("/incidents/{}", incident.number));
    html! {
        details id="thoughts" {
            summary { "What was thought when (" (then.thoughts.len()) " times)" }
            div.scroll tabindex="0" role="region" aria-label="What was thought when" {
                table {
                    thead { tr {
                        th scope="col" { "From" } th scope="col" { "Explanation" } th scope="col" { "Sure" }
                        th scope="col" { "Fail" } th scope="col" { "Pass" }
                    } }
                    tbody { @for thought in &then.thoughts {
                        @let briefing = brief(scene, &as_of(incident, thought, thought.at));
                        tr {
                            td { a href=(format!("{own}?at={}#then", thought.at)) { (time(thought.at, scene.zone(), scene.now)) } }
                            td.text { (prose(&briefing.headline)) }
                            td { @if briefing.cause_known { (percent(briefing.confidence)) } @else { "–" } }
                            td { (thought.diagnosis.failing.len()) }
                            td { (thought.diagnosis.passing.len()) }
                        }
                    } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{at, march};

    fn moments(steps: &[Timestamp]) -> Vec<String> {
        let text = |at: &Timestamp| at.strftime("%H:%M:%S").to_string();
        steps.iter().map(text).collect()
    }

    #[test]
    fn steps_are_rounds_and_decisions() {
        let mut incident = march().incident;
        incident.onset_at = at("01:54:00");
        incident.opened_at = at("01:54:30");
        incident.resolved_at = None;
        let minute = Duration::from_secs(60);
        let found = steps(
            &incident,
            minute,
            &[at("01:54:30"), at("02:30:00")],
            at("01:56:20"),
        );
        assert_eq!(
            moments(&found),
            [
                "01:52:00", "01:53:00", "01:54:00", "01:54:30", "01:55:00", "01:56:00", "01:56:20"
            ]
        );
        incident.resolved_at = Some(at("01:55:00"));
        let over = steps(&incident, minute, &[], at("03:00:00"));
        assert_eq!(moments(&over).last().map(String::as_str), Some("01:56:00"));
        // However long it lasts.
        incident.resolved_at = None;
        let long = steps(&incident, Duration::from_secs(1), &[], at("23:59:59"));
        assert!(long.len() <= STEPS_MAX as usize + 2, "{}", long.len());
        let early = steps(&incident, minute, &[], at("01:00:00"));
        assert_eq!(moments(&early), ["01:52:00"], "a clock that was set back");
    }

    #[test]
    fn a_moment_is_the_last_step_that_is_not_later() {
        let steps = [at("01:52:00"), at("01:53:00"), at("01:54:00")];
        let check = |query: &str, expected: usize| {
            let uri: Uri = format!("/incidents/1?{query}").parse().unwrap();
            assert_eq!(place(&steps, Asked::of(&uri)), expected, "{query}");
        };
        check("", 2);
        check("at=2021-02-28T01:53:30Z", 1);
        check("at=2021-02-28T01:00:00Z", 0);
        check("at=2030-01-01T00:00:00Z", 2);
        check("at=nonsense", 2);
        check("round=1", 0);
        check("round=2", 1);
        check("round=99", 2);
        check("round=0", 0);
    }
}
