//! Why this cause, and what it is not: each with the runs that show it, and no stronger than they are.

use super::headline::quoted;
use super::story::{Story, dimension, levels};
use crate::decide::diagnose::pattern;
use crate::decide::words;
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::{Cause, Level, RuledOut};
use crate::domain::share;
use crate::domain::verdict::{Factor, Kind};

/// Signs of the verdict that are quoted, strongest first.
const EVIDENCE_LINES: usize = 3;

impl Story<'_> {
    /// Why, strongest first.
    pub(super) fn because(&self) -> Vec<String> {
        let mut lines = self.by_cause();
        lines.extend(self.by_the_answer(&lines));
        lines
    }

    /// What the cells say for the cause.
    fn by_cause(&self) -> Vec<String> {
        if self.our_network() {
            return self.our_controls();
        }
        if !self.named() {
            let mut lines = self.ways();
            if self.guesses() {
                let diagnosis = &self.incident.diagnosis;
                lines.extend(pattern(&diagnosis.failing, &diagnosis.passing));
            }
            return lines;
        }
        let mut lines = Vec::new();
        match &self.incident.diagnosis.cause {
            Cause::Level(_) | Cause::Together(_) => lines.extend(self.numbers()),
            Cause::Pop(name) => lines.push(format!(
                "what fails was answered by {}; nothing that we send decides which requests land there",
                self.pop(name)
            )),
            Cause::OwnRate {
                per_minute,
                by_egress,
            } => {
                let same = if *by_egress { " from the same egress" } else { "" };
                lines.push(format!(
                    "requests fail when about {per_minute} or more went to {}{same} within a minute, and pass when fewer did",
                    self.hosts().0
                ));
            }
            _ => lines.extend(self.ways()),
        }
        let contrasts = self.contrasts();
        if contrasts.is_empty() {
            lines.extend(self.alone());
        }
        lines.extend(contrasts);
        if self.fails().is_some() && !self.own_rate() {
            lines.push(
                "it comes and goes: the same request fails and passes, so one pass does not end it"
                    .to_owned(),
            );
        }
        lines
    }

    /// How many cells fail in which way.
    fn ways(&self) -> Vec<String> {
        let (bad, good) = self.counts();
        match self.kinds().as_slice() {
            _ if bad == 0 => Vec::new(),
            [(kind, _)] => vec![format!("{}: {}", self.some_cells(), words::kind(*kind))],
            several => several
                .iter()
                .map(|(kind, count)| {
                    let all = bad + good;
                    format!(
                        "{count} of the {all} cells that ran: {}",
                        words::kind(*kind)
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
        let which: Vec<String> = blamed.iter().map(words::of_cells).collect();
        let which = which.join(" and ").replace(" and with ", " and ");
        let (all, others) = (bad + good, other_bad + other_good);
        if bad == 0 {
            return None;
        }
        if let Some(fails) = self.fails() {
            let share = share::of(fails, "requests");
            let rest = match (other_bad, others) {
                (_, 0) => String::new(),
                (0, others) => format!("; all other cells pass ({others})"),
                (bad, others) => format!("; {bad} of the {others} other cells fail too"),
            };
            return Some(format!("{share} of the cells {which} fail{rest}"));
        }
        Some(match (bad, good, other_bad, other_good) {
            (1, 0, 0, 0) => format!("the only cell {which} that ran fails; no other ran"),
            (_, 0, 0, 0) => format!("every cell {which} that ran fails ({bad}); no other ran"),
            (1, 0, 0, _) => {
                format!("the only cell {which} that ran fails, every other passes ({other_good})")
            }
            (_, 0, 0, _) => {
                format!(
                    "every cell {which} that ran fails ({bad}), every other passes ({other_good})"
                )
            }
            (_, _, _, 0) if other_bad == 0 => format!("{bad} of the {all} cells {which} fail"),
            (_, 0, _, _) => {
                format!(
                    "every cell {which} that ran fails ({bad}); of the {others} others {other_bad} do"
                )
            }
            (_, _, 0, _) => {
                format!("{bad} of the {all} cells {which} fail, and none of the {others} others")
            }
            _ => format!(
                "{bad} of the {all} cells {which} fail, and {other_bad} of the {others} others"
            ),
        })
    }

    /// For a pair: that each level passes without the other.
    fn alone(&self) -> Vec<String> {
        let Cause::Together(together) = &self.incident.diagnosis.cause else {
            return Vec::new();
        };
        let passing = &self.incident.diagnosis.passing;
        let without = |level: &Level| {
            let cell = passing.iter().find(|cell| level.covers(cell))?;
            Some(format!(
                "{} by itself passes: {}",
                words::level(level),
                words::request(cell, self.probes.len() > 1)
            ))
        };
        together.iter().filter_map(without).collect()
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
            lines.push(format!("failing: {}", words::list(&failing, "and")));
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
            && let Some(meaning) = words::code(&verdict.vendor, code)
        {
            let vendor = words::vendor(&verdict.vendor).unwrap_or_default();
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
                .map(|hint| words::factor(*hint).to_owned())
                .collect();
            lines.push(format!(
                "the answer itself points at {}, which alone proves nothing",
                words::list(&hints, "or")
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

    /// What it is not, each with the pair of runs that shows it.
    pub(super) fn ruled_out(&self) -> Vec<String> {
        if !self.named() && !self.guesses() {
            return Vec::new();
        }
        // One pair may rule out several factors: it is told once, after all of them.
        let mut lines: Vec<(Vec<String>, String)> = Vec::new();
        for pair in &self.incident.diagnosis.ruled_out {
            if self.is_contrast(pair) {
                continue;
            }
            let head = self.not(pair);
            let because = reason(pair).to_owned();
            match lines.iter_mut().find(|(_, known)| *known == because) {
                Some((heads, _)) if heads.contains(&head) => {}
                Some((heads, _)) => heads.push(head),
                None => lines.push((vec![head], because)),
            }
        }
        lines
            .into_iter()
            .map(|(heads, because)| {
                let heads = heads.join(", ");
                if because.is_empty() {
                    heads
                } else {
                    format!("{heads}: {because}")
                }
            })
            .collect()
    }

    /// The pairs that speak for the named cause rather than against another.
    fn contrasts(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for pair in &self.incident.diagnosis.ruled_out {
            let line = reason(pair).to_owned();
            if self.is_contrast(pair) && passes(self, pair).is_some() && !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines
    }

    /// Whether a pair differs in the very factor that it is said to rule out: then it blames it.
    fn is_contrast(&self, pair: &RuledOut) -> bool {
        let factor = dimension(pair.factor);
        let (Some(bad), Some(good)) = (&pair.failing, passes(self, pair)) else {
            // Failures alike rule out a level; not the one that is blamed.
            let same = |level: &Level| {
                level.factor() == pair.factor
                    && matches!(
                        level,
                        Level::Client(_)
                            | Level::Egress(_)
                            | Level::Credential(_)
                            | Level::Probe(_)
                    )
            };
            return self.blamed().iter().any(same);
        };
        match factor {
            Factor::Client => bad.client != good.client,
            Factor::Egress => bad.egress != good.egress,
            Factor::Credential => bad.credential != good.credential,
            Factor::Endpoint => bad.probe != good.probe && pair.factor == Factor::Endpoint,
            _ => false,
        }
    }

    /// "not egress `x`", or "not your IPs" where every one of them was seen.
    fn not(&self, pair: &RuledOut) -> String {
        let Some(bad) = &pair.failing else {
            return format!("not {}", words::factor(pair.factor));
        };
        let good = passes(self, pair);
        if let Some(good) = good
            && good.probe != bad.probe
            && self.plan.probe(&good.probe).is_some_and(|p| p.control)
        {
            return "not your network".to_owned();
        }
        let factor = pair.factor;
        let by_name = match factor {
            Factor::Egress => format!("egress `{}`", bad.egress),
            Factor::Client => format!("client `{}`", bad.client),
            Factor::Credential if bad.credential.is_anonymous() => {
                "the lack of a credential".to_owned()
            }
            Factor::Credential => format!("credential `{}`", bad.credential),
            Factor::Endpoint => format!("probe `{}`", bad.probe),
            Factor::Method => self.plan.probe(&bad.probe).map_or_else(
                || words::factor(factor).to_owned(),
                |probe| format!("method {}", probe.method),
            ),
            Factor::Host | Factor::Rate | Factor::Http => words::factor(factor).to_owned(),
        };
        let listed = matches!(
            factor,
            Factor::Egress | Factor::Client | Factor::Credential | Factor::Endpoint
        );
        let configured = self.configured(factor);
        let diagnosis = &self.incident.diagnosis;
        let all_seen = |cells: &[CellKey]| {
            let seen = levels(cells, factor);
            listed && !configured.is_empty() && configured.iter().all(|l| seen.contains(l))
        };
        match good {
            // Only what passes from each of them speaks for all of them.
            Some(_) if all_seen(&diagnosis.passing) => {
                format!("not {}", every(factor, configured.len()))
            }
            Some(_) => format!("not {by_name}"),
            None if configured.len() > 1 && all_seen(&diagnosis.failing) => {
                format!("not {}", one_of(factor))
            }
            None if listed => format!("not {by_name} alone"),
            None => format!("not {by_name}"),
        }
    }
}

/// The passing cell of a pair; two runs that failed alike have none.
fn passes<'a>(story: &Story<'_>, pair: &'a RuledOut) -> Option<&'a CellKey> {
    let good = pair.passing.as_ref()?;
    let diagnosis = &story.incident.diagnosis;
    let fails = diagnosis.failing.contains(good) && !diagnosis.passing.contains(good);
    // What comes and goes fails and passes.
    (!fails || diagnosis.fails.is_some()).then_some(good)
}

/// The pair in words, without what it is said to rule out: that is said here.
fn reason(pair: &RuledOut) -> &str {
    let text = pair.because.as_str();
    if !text.starts_with("not ") {
        return text;
    }
    text.split_once(": ").map_or("", |(_, reason)| reason)
}

/// All levels of a factor, as people talk about them.
fn every(factor: Factor, count: usize) -> &'static str {
    match (factor, count) {
        (Factor::Egress, 1) => "your IP",
        (Factor::Client, 2..) => "the clients",
        (Factor::Endpoint, 2..) => "the endpoints",
        (factor, _) => words::factor(factor),
    }
}

/// Any single one of the levels of a factor.
fn one_of(factor: Factor) -> &'static str {
    match factor {
        Factor::Egress => "one of your IPs",
        Factor::Client => "one of the clients",
        Factor::Credential => "one of the credentials",
        _ => "one of the endpoints",
    }
}

/// Whether this kind is told by where the request goes, not by who sends it.
#[must_use]
pub(super) fn is_of_the_network(kind: Kind) -> bool {
    kind.is_network() || kind == Kind::TlsError
}
