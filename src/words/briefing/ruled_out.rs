//! What it is not, and by which pair of runs: no stronger than the pair is.

use super::story::{Story, levels};
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::{Level, RuledOut};
use crate::domain::verdict::{Factor, Kind};
use crate::words::terms;

const OUR_NETWORK: &str = "your network";

impl Story<'_> {
    /// What it is not ("your IPs, the credentials: …"), each with the pair of runs that shows it.
    pub(super) fn ruled_out(&self) -> Vec<String> {
        if self.incident.kind == Kind::Warning {
            return Vec::new();
        }
        if !self.named() && !self.guesses() {
            return Vec::new();
        }
        let pairs = &self.incident.diagnosis.ruled_out;
        let pairs = pairs.iter().filter(|pair| !self.is_contrast(pair));
        // Of one factor the pass says more than failures alike, and the first pair is the closest.
        let (passed, alike): (Vec<_>, Vec<_>) = pairs.partition(|p| self.passes(p).is_some());
        let mut factors: Vec<Factor> = Vec::new();
        // One pair may rule out several factors: it is told once, after all of them.
        let mut lines: Vec<(Vec<String>, String)> = Vec::new();
        for pair in passed.into_iter().chain(alike) {
            let head = self.head(pair);
            let network = head == OUR_NETWORK;
            if !network && factors.contains(&pair.factor) {
                continue;
            }
            if !network {
                factors.push(pair.factor);
            }
            let because = reason(pair).to_owned();
            match lines.iter_mut().find(|(_, known)| *known == because) {
                Some((heads, _)) if heads.contains(&head) => {}
                Some((heads, _)) => heads.push(head),
                None => lines.push((vec![head], because)),
            }
        }
        let line = |(heads, because): (Vec<String>, String)| {
            // "egress `x`: egress `x` passes …" names it twice.
            let again = match heads.as_slice() {
                [one] => because.strip_prefix(one.as_str()),
                _ => None,
            };
            let because = again.map_or_else(|| because.clone(), |rest| format!("it{rest}"));
            let heads = heads.join(", ");
            if because.is_empty() {
                heads
            } else {
                format!("{heads}: {because}")
            }
        };
        lines.into_iter().map(line).collect()
    }

    /// The passing cell of a pair; two runs that failed alike have none.
    pub(super) fn passes<'p>(&self, pair: &'p RuledOut) -> Option<&'p CellKey> {
        let good = pair.passing.as_ref()?;
        let diagnosis = &self.incident.diagnosis;
        let fails = diagnosis.failing.contains(good) && !diagnosis.passing.contains(good);
        // What comes and goes fails and passes.
        (!fails || diagnosis.fails.is_some()).then_some(good)
    }

    /// Whether a pair differs in the very factor that it is said to rule out: then it blames it.
    pub(super) fn is_contrast(&self, pair: &RuledOut) -> bool {
        let factor = pair.factor.dimension();
        let blamed = || {
            self.blamed()
                .iter()
                .any(|l| l.factor().dimension() == factor)
        };
        // Each half of a pair is let through by itself, and blamed all the same.
        if self.blamed().len() > 1 && blamed() {
            return true;
        }
        let (Some(bad), Some(good)) = (&pair.failing, self.passes(pair)) else {
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

    /// "egress `x`", or "your IPs" where every one of them was seen.
    fn head(&self, pair: &RuledOut) -> String {
        let Some(bad) = &pair.failing else {
            return terms::factor(pair.factor).to_owned();
        };
        let good = self.passes(pair);
        if let Some(good) = good
            && good.probe != bad.probe
            && self.plan.probe(&good.probe).is_some_and(|p| p.control)
        {
            return OUR_NETWORK.to_owned();
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
                || terms::factor(factor).to_owned(),
                |probe| format!("method {}", probe.method),
            ),
            Factor::Host | Factor::Rate | Factor::Http | Factor::Stack => {
                terms::factor(factor).to_owned()
            }
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
            Some(_) if all_seen(&diagnosis.passing) => every(factor, configured.len()).to_owned(),
            None if configured.len() > 1 && all_seen(&diagnosis.failing) => {
                one_of(factor).to_owned()
            }
            None if listed => format!("{by_name} alone"),
            _ => by_name,
        }
    }
}

/// The pair in words, without what it is said to rule out: that is said here.
pub(super) fn reason(pair: &RuledOut) -> &str {
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
        (factor, _) => terms::factor(factor),
    }
}

/// Any single one of the levels of a factor.
fn one_of(factor: Factor) -> &'static str {
    match factor {
        Factor::Egress => "one IP alone",
        Factor::Client => "one client alone",
        Factor::Credential => "one credential alone",
        _ => "one endpoint alone",
    }
}
