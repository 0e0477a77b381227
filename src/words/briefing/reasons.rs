//! Why this cause: the cells, the closest pairs, and what the answer itself says.

use super::beside::span;
use super::headline::quoted;
use super::ruled_out::reason;
use super::story::Story;
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::level;
use crate::domain::diagnosis::{Cause, Level};
use crate::domain::incident::Subject;
use crate::domain::share;
use crate::domain::verdict::Kind;
use crate::words::pattern::pattern;
use crate::words::terms;

/// Signs of the verdict that are quoted, strongest first.
const EVIDENCE_LINES: usize = 3;

impl Story<'_> {
    /// Why, strongest first.
    pub(super) fn because(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.comes_and_goes().into_iter().collect();
        lines.extend(self.by_cause());
        lines.extend(self.several_parts().filter(|_| self.named()));
        lines.extend(self.over_our_tls());
        lines.extend(self.by_the_answer(&lines));
        lines
    }

    /// That it will be told as over only when it stays away.
    fn comes_and_goes(&self) -> Option<String> {
        if self.resolved() || !self.incident.comes_and_goes() {
            return None;
        }
        let times = self.incident.returns() + 1;
        let every = span(self.incident.period()?.as_secs().cast_signed());
        let minutes = self.incident.told_as_over_after().as_secs().div_ceil(60);
        Some(format!(
            "it comes and goes ({times} times so far, about every {every}); it is told as over once it has stayed away for {minutes} min"
        ))
    }

    /// What the cells say for the cause.
    fn by_cause(&self) -> Vec<String> {
        if matches!(self.incident.subject, Subject::Site(_)) {
            return vec![format!(
                "neither greetings nor runs {} from there; what {} seen there meanwhile is kept there, and comes later as history",
                self.verb("come", "came"),
                self.verb("is", "was"),
            )];
        }
        if self.our_network() {
            return self.our_controls();
        }
        if self.incident.kind == Kind::Warning {
            let (warned, well) = (
                self.incident.cells.len(),
                self.incident.diagnosis.passing.len(),
            );
            let cells = if warned == 1 { "cell" } else { "cells" };
            return vec![match well {
                0 => format!(
                    "every answer is right; all of the {warned} {cells} {} warned of",
                    self.verb("are", "were")
                ),
                _ => format!(
                    "every answer is right; {warned} of {} cells {} warned of",
                    warned + well,
                    self.verb("are", "were")
                ),
            }];
        }
        if !self.named() {
            let mut lines = self.ways();
            lines.extend(self.apart());
            if self.guesses() {
                let diagnosis = &self.incident.diagnosis;
                lines.extend(pattern(&diagnosis.failing, &diagnosis.passing));
            }
            return lines;
        }
        let mut lines = Vec::new();
        match &self.incident.diagnosis.cause {
            Cause::Level(_) | Cause::Together(_) => {
                lines.extend(self.numbers());
                if self.kinds().len() > 1 {
                    lines.extend(self.ways());
                }
            }
            Cause::Pop(name) => lines.push(format!(
                "what {} was answered by {}; nothing that we send decides which requests land there",
                self.verb("fails", "failed"),
                self.pop(name)
            )),
            Cause::OwnRate {
                per_minute,
                by_egress,
            } => {
                let same = if *by_egress { " from the same egress" } else { "" };
                lines.push(format!(
                    "requests {} when about {per_minute} or more went to {}{same} within a minute, and {} when fewer did",
                    self.verb("fail", "failed"),
                    self.hosts().0,
                    self.verb("pass", "passed"),
                ));
            }
            _ => lines.extend(self.ways()),
        }
        let contrasts = self.contrasts();
        if contrasts.is_empty() {
            lines.extend(self.alone());
        }
        lines.extend(contrasts);
        lines.extend(self.apart());
        lines.extend(self.range());
        if self.fails().is_some() && !self.own_rate() {
            let comes = self.verb(
                "it comes and goes: the same request fails and passes, so one pass does not end it",
                "it came and went: the same request failed and passed",
            );
            lines.push(comes.to_owned());
        }
        lines
    }

    /// The present while it lasts.
    fn verb<'w>(&self, now: &'w str, then: &'w str) -> &'w str {
        if self.resolved() { then } else { now }
    }

    /// How many cells fail in which way.
    fn ways(&self) -> Vec<String> {
        let (bad, good) = self.counts();
        match (self.kinds().as_slice(), self.fails()) {
            _ if bad == 0 => Vec::new(),
            ([(kind, _)], Some(fails)) => {
                vec![format!(
                    "{}: {}",
                    share::of(fails, "requests"),
                    terms::kind(*kind)
                )]
            }
            ([(kind, _)], None) => vec![format!("{}: {}", self.some_cells(), terms::kind(*kind))],
            (several, _) => several
                .iter()
                .map(|(kind, count)| {
                    let all = bad + good;
                    format!(
                        "{count} of the {all} cells that ran: {}",
                        terms::kind(*kind)
                    )
                })
                .collect(),
        }
    }

    /// "every cell with client `x` that ran fails (2), every other passes (3)", or what is true of it.
    fn numbers(&self) -> Option<String> {
        let blamed = self.blamed();
        let covers = |cell: &&CellKey| blamed.iter().all(|level| level.covers(cell));
        let diagnosis = &self.incident.diagnosis;
        let split = |cells: &[CellKey]| {
            let hit = cells.iter().filter(covers).count();
            (hit, cells.len() - hit)
        };
        let (bad, other_bad) = split(&diagnosis.failing);
        let (good, other_good) = split(&diagnosis.passing);
        let which: Vec<String> = blamed.iter().map(terms::of_cells).collect();
        let mut which = terms::list(&which, "and");
        if which.starts_with("with ") {
            // "with client `x` and egress `y`" says it once.
            which = which
                .replace(" and with ", " and ")
                .replace(", with ", ", ");
        }
        let (all, others) = (bad + good, other_bad + other_good);
        let (fails, fail) = (self.verb("fails", "failed"), self.verb("fail", "failed"));
        let passes = self.verb("passes", "passed");
        if bad == 0 {
            return None;
        }
        if let Some(part) = self.fails() {
            let pass = self.verb("pass", "passed");
            let share = share::of(part, "requests");
            let rest = match (other_bad, others) {
                (_, 0) => String::new(),
                (0, others) => format!("; all other cells {pass} ({others})"),
                (bad, others) => format!("; {bad} of the {others} other cells {fail} too"),
            };
            return Some(format!("{share} {which} {fail}{rest}"));
        }
        let do_too = self.verb("do", "did");
        Some(match (bad, good, other_bad, other_good) {
            (1, 0, 0, 0) => format!("the only cell {which} that ran {fails}; no other ran"),
            (_, 0, 0, 0) => format!("every cell {which} that ran {fails} ({bad}); no other ran"),
            (1, 0, 0, _) => {
                format!(
                    "the only cell {which} that ran {fails}, every other {passes} ({other_good})"
                )
            }
            (_, 0, 0, _) => {
                format!(
                    "every cell {which} that ran {fails} ({bad}), every other {passes} ({other_good})"
                )
            }
            (_, _, _, 0) if other_bad == 0 => format!("{bad} of the {all} cells {which} {fail}"),
            (_, 0, _, _) => {
                format!(
                    "every cell {which} that ran {fails} ({bad}); of the {others} others {other_bad} {do_too}"
                )
            }
            (_, _, 0, _) => {
                format!("{bad} of the {all} cells {which} {fail}, and none of the {others} others")
            }
            _ => format!(
                "{bad} of the {all} cells {which} {fail}, and {other_bad} of the {others} others"
            ),
        })
    }

    /// For a pair: the passing cells that lack one level of it alone.
    fn alone(&self) -> Vec<String> {
        let diagnosis = &self.incident.diagnosis;
        let Cause::Together(together) = &diagnosis.cause else {
            return Vec::new();
        };
        let lacks = |gone: &Level| {
            let factor = gone.factor().dimension();
            let near = |good: &&CellKey| {
                !gone.covers(good)
                    && diagnosis
                        .failing
                        .iter()
                        .any(|bad| bad.differs(good) == [factor])
            };
            let good = diagnosis.passing.iter().find(near)?;
            let instead = terms::level(&level(good, factor));
            Some(format!("{}with {instead}", self.without(good)))
        };
        together.iter().filter_map(lacks).collect()
    }

    fn our_controls(&self) -> Vec<String> {
        let diagnosis = &self.incident.diagnosis;
        let mut lines = Vec::new();
        let mut failing: Vec<String> = self
            .incident
            .cells
            .iter()
            .filter(|cell| cell.failing)
            .map(|cell| format!("`{}` from `{}`", cell.cell.probe, cell.cell.egress))
            .collect();
        // Cells that differ in client or credential alone say it once.
        failing.sort();
        failing.dedup();
        if !failing.is_empty() {
            lines.push(format!("failing: {}", terms::list(&failing, "and")));
        }
        if let Some(passing) = diagnosis.passing.first() {
            let control = self.plan.probe(&passing.probe).is_some_and(|p| p.control);
            let what = if control { "control" } else { "probe" };
            lines.push(format!(
                "{what} `{}` passes from egress `{}`",
                passing.probe, passing.egress
            ));
        }
        if diagnosis.fails.is_some() {
            lines.push(format!(
                "it comes and goes, from egress {} alone",
                quoted(&self.our_egresses())
            ));
        }
        lines
    }

    /// What the failing answer itself says.
    fn by_the_answer(&self, before: &[String]) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(specimen) = self.specimen else {
            return lines;
        };
        let verdict = &specimen.verdict;
        let mut told = None;
        if let Some(code) = &verdict.code
            && let Some(meaning) = terms::code(&verdict.vendor, code)
        {
            let vendor = terms::vendor(&verdict.vendor).unwrap_or_default();
            lines.push(format!(
                "{vendor} error {code} (a code of {vendor}, not of {}): {meaning}",
                self.partner()
            ));
            told = Some(format!("{vendor} {code}: "));
        }
        if self.guesses() && !self.named() && !verdict.hints.is_empty() && !self.our_side() {
            let hints: Vec<String> = verdict
                .hints
                .iter()
                .map(|hint| terms::factor(*hint).to_owned())
                .collect();
            lines.push(format!(
                "the answer itself points at {}, which alone proves nothing",
                terms::list(&hints, "or")
            ));
        }
        let new = |text: &str| {
            !told
                .as_ref()
                .is_some_and(|told| text.starts_with(told.as_str()))
        };
        let signs = verdict.evidence.iter().filter(|sign| new(&sign.text));
        lines.extend(signs.take(EVIDENCE_LINES).map(|sign| sign.text.clone()));
        // The evidence of a failed run ends with its failure.
        if let Some(failure) = &specimen.failure
            && !before
                .iter()
                .chain(&lines)
                .any(|line| line.contains(failure.as_str()))
        {
            lines.push(failure.clone());
        }
        lines
    }

    /// The pairs that speak for the named cause rather than against another.
    fn contrasts(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut shown: Vec<&CellKey> = Vec::new();
        for pair in &self.incident.diagnosis.ruled_out {
            let Some(good) = self.passes(pair).filter(|_| self.is_contrast(pair)) else {
                continue;
            };
            if !shown.contains(&good) {
                shown.push(good);
                lines.push(format!("{}{}", self.without(good), reason(pair)));
            }
        }
        lines
    }

    /// "client `x` alone passes: ", when the cause is a pair of which a passing cell has only one.
    fn without(&self, good: &CellKey) -> String {
        let Cause::Together(together) = &self.incident.diagnosis.cause else {
            return String::new();
        };
        let (kept, gone): (Vec<&Level>, Vec<&Level>) =
            together.iter().partition(|level| level.covers(good));
        let names = |levels: &[&Level]| {
            let names: Vec<String> = levels.iter().map(|level| terms::level(level)).collect();
            terms::list(&names, "and")
        };
        match kept.as_slice() {
            [] => String::new(),
            [one] => {
                let passes = self.verb(terms::passes(one), "passed");
                format!("{} alone {passes}: ", terms::level(one))
            }
            _ => format!(
                "without {} they {}: ",
                names(&gone),
                self.verb("pass", "passed")
            ),
        }
    }
}

/// Whether this kind is told by where the request goes, not by who sends it.
#[must_use]
pub(super) fn is_of_the_network(kind: Kind) -> bool {
    kind.is_network() || kind == Kind::TlsError
}
