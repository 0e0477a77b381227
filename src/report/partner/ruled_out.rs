//! What it is not, as the partner may read it: by which of our requests, and no more than these show.

use super::names::{address, endpoint};
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::{Level, RuledOut};
use crate::domain::verdict::{Factor, Kind};
use crate::report::dossier::Dossier;
use crate::report::prose::{between, list};

/// One line a factor: a pass says more than failures alike.
#[must_use]
pub(in crate::report) fn ruled_out(dossier: &Dossier<'_>) -> Vec<String> {
    if dossier.incident.kind == Kind::Warning {
        return Vec::new();
    }
    let pairs = dossier.incident.diagnosis.ruled_out.iter();
    let (passed, alike): (Vec<_>, Vec<_>) = pairs.partition(|pair| passes(dossier, pair).is_some());
    let mut factors: Vec<Factor> = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    for pair in passed.into_iter().chain(alike) {
        let network = is_control(dossier, pair);
        if !network && factors.contains(&pair.factor) {
            continue;
        }
        let Some(line) = one(dossier, pair).filter(|line| !lines.contains(line)) else {
            continue;
        };
        if !network {
            factors.push(pair.factor);
        }
        lines.push(line);
    }
    lines
}

/// The passing cell; runs that failed alike have none.
fn passes<'a>(dossier: &Dossier<'_>, pair: &'a RuledOut) -> Option<&'a CellKey> {
    let good = pair.passing.as_ref()?;
    let diagnosis = &dossier.incident.diagnosis;
    let fails = diagnosis.failing.contains(good) && !diagnosis.passing.contains(good);
    (!fails || diagnosis.fails.is_some()).then_some(good)
}

fn is_control(dossier: &Dossier<'_>, pair: &RuledOut) -> bool {
    let (Some(bad), Some(good)) = (&pair.failing, &pair.passing) else {
        return false;
    };
    let control = |cell: &CellKey| dossier.plan.probe(&cell.probe).is_some_and(|p| p.control);
    bad.probe != good.probe && control(good)
}

/// `None` for a pair that blames rather than rules out.
fn one(dossier: &Dossier<'_>, pair: &RuledOut) -> Option<String> {
    let verb = if dossier.resolved() {
        "passed"
    } else {
        "passes"
    };
    let levels = dossier.incident.diagnosis.cause.levels();
    let blamed = |level: &Level| level.factor().dimension() == pair.factor.dimension();
    let Some((bad, good)) = pair.failing.as_ref().zip(passes(dossier, pair)) else {
        return (!levels.iter().any(blamed)).then(|| alike(dossier, pair.factor));
    };
    if is_control(dossier, pair) {
        return Some(format!(
            "not our network: a request to another site (\"{}\") {verb} from {}",
            good.probe,
            address(dossier, &good.egress)
        ));
    }
    let differ = bad.differs(good);
    if differ.contains(&pair.factor.dimension()) || (levels.len() > 1 && levels.iter().any(blamed))
    {
        return None;
    }
    let (what, same) = match pair.factor {
        Factor::Egress => (address(dossier, &good.egress), "from it"),
        Factor::Client | Factor::Http => (format!("our client \"{}\"", good.client), "with it"),
        Factor::Credential if good.credential.is_anonymous() => {
            ("the lack of an account".to_owned(), "without one")
        }
        Factor::Credential => (format!("our account \"{}\"", good.credential), "with it"),
        Factor::Stack => (
            format!("the TLS of our client \"{}\"", good.client),
            "over it",
        ),
        Factor::Rate => ("our request rate".to_owned(), "at it"),
        Factor::Endpoint | Factor::Host | Factor::Method => (
            format!("the endpoint \"{}\"", endpoint(dossier, &good.probe)),
            "to it",
        ),
    };
    let other: Vec<String> = differ
        .into_iter()
        .map(|factor| match factor {
            Factor::Client => format!("as our client \"{}\"", good.client),
            Factor::Egress => format!("from {}", address(dossier, &good.egress)),
            Factor::Credential if good.credential.is_anonymous() => "without an account".to_owned(),
            Factor::Credential => format!("with our account \"{}\"", good.credential),
            _ => format!("at \"{}\"", endpoint(dossier, &good.probe)),
        })
        .collect();
    let when = match (
        dossier.line(bad).and_then(|line| line.at),
        dossier.line(good).and_then(|line| line.at),
    ) {
        (Some(bad), Some(good)) => format!(
            ", {} {} than the failing one",
            between(bad, good),
            if good < bad { "earlier" } else { "later" }
        ),
        _ => String::new(),
    };
    Some(format!(
        "not {what}: {same}, a request {verb} {}{when}",
        other.join(", ")
    ))
}

/// Which levels of a factor were seen to fail alike.
fn alike(dossier: &Dossier<'_>, factor: Factor) -> String {
    let mut seen: Vec<String> = dossier
        .lines
        .iter()
        .filter(|line| line.failing)
        .map(|line| match factor.dimension() {
            Factor::Egress => address(dossier, &line.cell.egress),
            Factor::Client => format!("our client \"{}\"", line.cell.client),
            Factor::Credential if line.cell.credential.is_anonymous() => "no account".to_owned(),
            Factor::Credential => format!("our account \"{}\"", line.cell.credential),
            _ => format!("\"{}\"", endpoint(dossier, &line.cell.probe)),
        })
        .collect();
    seen.sort();
    seen.dedup();
    let fail = if dossier.resolved() { "failed" } else { "fail" };
    let (what, before) = match factor.dimension() {
        Factor::Egress => ("one of our addresses alone", "from"),
        Factor::Client => ("one of our clients alone", "as"),
        Factor::Credential => ("one of our accounts alone", "with"),
        Factor::Rate => return "not our request rate".to_owned(),
        _ => ("one endpoint alone", "to"),
    };
    format!(
        "not {what}: requests {before} {} {fail} alike",
        list(&seen, "and")
    )
}
