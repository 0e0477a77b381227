//! Whether it is safe to start a job: the last runs of the cells it depends on, held against their age.
//!
//! Not knowing is an answer of its own: a store that nobody has written for an hour must not let a sync
//! begin, nor must it be told as a block. A fault of our own side is also "not known": it says nothing of
//! what the partner would have done.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::cell::CellKey;
use crate::domain::past::PastRun;
use crate::domain::verdict::Kind;
use crate::words::terms;

/// What is known of one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub cell: CellKey,
    /// `None`: no run is known.
    pub last: Option<PastRun>,
}

/// An open incident, as far as it concerns the cells asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub number: u64,
    /// The fault is on our side.
    pub our_side: bool,
    pub headline: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Safe,
    /// Somebody refuses.
    Blocked,
    /// Something is broken, on the partner's side.
    Down,
    /// Stale, never asked, or our own side is in the way.
    Unknown,
}

impl State {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Blocked => "blocked",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// The answer, with one line why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clearance {
    pub state: State,
    pub why: String,
}

/// How old a run is; a clock that went back makes it new.
#[must_use]
pub fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

/// Judges the cells at `now`; a run older than `max_age` is no knowledge.
#[must_use]
pub fn clearance(known: &[Known], held: &[Held], max_age: Duration, now: Timestamp) -> Clearance {
    let is_fresh = |run: &&PastRun| age(run.at, now) <= max_age;
    let fresh: Vec<&PastRun> = known
        .iter()
        .filter_map(|k| k.last.as_ref())
        .filter(is_fresh)
        .collect();
    let theirs: Vec<&&PastRun> = fresh
        .iter()
        .filter(|run| !run.kind.works() && run.kind != Kind::LocalError)
        .collect();
    let say = |state: State, why: String| Clearance { state, why };
    let first_ours = held.iter().find(|held| held.our_side);
    if let Some(held) = held.iter().find(|held| !held.our_side) {
        let refused = theirs.iter().any(|run| run.kind.is_refusal());
        let state = if refused || theirs.is_empty() {
            State::Blocked
        } else {
            State::Down
        };
        let calm = if theirs.is_empty() && fresh.len() == known.len() {
            " (the last runs passed, but it is not over yet)"
        } else {
            ""
        };
        return say(
            state,
            format!("INC-{} is open{calm}: {}", held.number, held.headline),
        );
    }
    // While our own network is down, a failure is not the partner's.
    if let (Some(worst), None) = (worst(&theirs), first_ours) {
        let state = if worst.kind.is_refusal() {
            State::Blocked
        } else {
            State::Down
        };
        return say(state, failing(worst, theirs.len(), known.len(), now));
    }
    if let Some(held) = first_ours {
        return say(
            State::Unknown,
            format!("INC-{} is open: {}", held.number, held.headline),
        );
    }
    if let Some(run) = fresh.iter().find(|run| run.kind == Kind::LocalError) {
        return say(
            State::Unknown,
            format!(
                "our own side: {} can't be sent from here, {} ago",
                name(&run.cell),
                ago(run.at, now)
            ),
        );
    }
    if known.is_empty() {
        return say(State::Unknown, "no cell was asked about".to_owned());
    }
    if let Some(unknown) = oldest_unknown(known, max_age, now) {
        return say(State::Unknown, unknown);
    }
    let oldest = fresh.iter().map(|run| run.at).min().unwrap_or(now);
    let cells = match known {
        [one] => format!("{} passes", name(&one.cell)),
        [first, ..] => format!("{} passes in all {} cells", first.cell.probe, known.len()),
        [] => String::new(),
    };
    let when = if known.len() == 1 {
        "asked"
    } else {
        "the oldest asked"
    };
    say(
        State::Safe,
        format!("{cells}, {when} {} ago", ago(oldest, now)),
    )
}

/// A refusal before a breakdown, because it tells more.
fn worst<'a>(theirs: &[&&'a PastRun]) -> Option<&'a PastRun> {
    let refusal = theirs.iter().find(|run| run.kind.is_refusal());
    refusal.or_else(|| theirs.first()).map(|run| **run)
}

fn failing(run: &PastRun, failing: usize, asked: usize, now: Timestamp) -> String {
    let mut got = terms::kind(run.kind).to_owned();
    let vendor = run.vendor.as_deref().and_then(terms::vendor);
    if let Some(vendor) = vendor {
        got = match &run.code {
            Some(code) => format!("{got}, {vendor} {code}"),
            None => format!("{got}, {vendor}"),
        };
    }
    if let Some(status) = run.status {
        got = format!("{got}, HTTP {status}");
    }
    let share = if asked > 1 {
        format!("; {failing} of {asked} cells fail")
    } else {
        String::new()
    };
    format!(
        "{}: {got}, {} ago{share}",
        name(&run.cell),
        ago(run.at, now)
    )
}

/// The cell about which least is known, if something is lacking.
fn oldest_unknown(known: &[Known], max_age: Duration, now: Timestamp) -> Option<String> {
    if let Some(never) = known.iter().find(|k| k.last.is_none()) {
        return Some(format!(
            "{} has not run lately; is the daemon running, and is its credential set?",
            name(&never.cell)
        ));
    }
    let runs = known.iter().filter_map(|k| k.last.as_ref());
    let oldest = runs.min_by_key(|run| run.at)?;
    (age(oldest.at, now) > max_age).then(|| {
        format!(
            "stale: {} ran last {} ago, which is more than {}",
            name(&oldest.cell),
            ago(oldest.at, now),
            span(max_age)
        )
    })
}

fn name(cell: &CellKey) -> String {
    cell.to_string()
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    span(age(at, now))
}

/// `42 s`, `12 min`, `3 h 5 min`, `2 days`.
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => match (seconds / 3600, seconds % 3600 / 60) {
            (hours, 0) => format!("{hours} h"),
            (hours, minutes) => format!("{hours} h {minutes} min"),
        },
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2021-03-01T00:00:00Z";

    /// `client kind seconds-ago` or `client -`.
    fn known(text: &str) -> Known {
        let words: Vec<&str> = text.split_whitespace().collect();
        let cell = CellKey {
            probe: "gmc".into(),
            egress: "de1".into(),
            client: words[0].into(),
            credential: "anonymous".into(),
        };
        let last = (words[1] != "-").then(|| PastRun {
            cell: cell.clone(),
            at: NOW.parse::<Timestamp>().unwrap() - Duration::from_secs(words[2].parse().unwrap()),
            kind: Kind::from_word(words[1]).unwrap(),
            status: (words[1] == "edge_block").then_some(403),
            vendor: (words[1] == "edge_block").then(|| "cloudflare".to_owned()),
            code: (words[1] == "edge_block").then(|| "1010".to_owned()),
            reference_id: None,
        });
        Known { cell, last }
    }

    fn check(cells: &[&str], held: &[Held], state: State, why: &str) {
        let known: Vec<Known> = cells.iter().map(|text| known(text)).collect();
        let found = clearance(&known, held, Duration::from_secs(600), NOW.parse().unwrap());
        assert_eq!(
            found,
            Clearance {
                state,
                why: why.to_owned()
            }
        );
    }

    #[test]
    fn safe_only_when_all_is_known_and_passes() {
        use State::{Blocked, Down, Safe, Unknown};
        check(
            &["a pass 42"],
            &[],
            Safe,
            "gmc from de1 as a passes, asked 42 s ago",
        );
        check(
            &["a pass 42", "b pass 600"],
            &[],
            Safe,
            "gmc passes in all 2 cells, the oldest asked 10 min ago",
        );
        check(
            &["a pass 42", "b pass 601"],
            &[],
            Unknown,
            "stale: gmc from de1 as b ran last 10 min ago, which is more than 10 min",
        );
        check(
            &["a pass 42", "b -"],
            &[],
            Unknown,
            "gmc from de1 as b has not run lately; is the daemon running, and is its credential set?",
        );
        check(&[], &[], Unknown, "no cell was asked about");
        check(
            &["a pass 42", "b edge_block 3"],
            &[],
            Blocked,
            "gmc from de1 as b: refused at the edge, Cloudflare 1010, HTTP 403, 3 s ago; 1 of 2 cells fail",
        );
        check(
            &["a edge_block 700"],
            &[],
            Unknown,
            "stale: gmc from de1 as a ran last 11 min ago, which is more than 10 min",
        );
        check(
            &["a timeout 5"],
            &[],
            Down,
            "gmc from de1 as a: no answer in time, 5 s ago",
        );
        check(
            &["a timeout 5", "b edge_block 5", "c -"],
            &[],
            Blocked,
            "gmc from de1 as b: refused at the edge, Cloudflare 1010, HTTP 403, 5 s ago; 2 of 3 cells fail",
        );
        check(
            &["a local_error 5", "b pass 3"],
            &[],
            Unknown,
            "our own side: gmc from de1 as a can't be sent from here, 5 s ago",
        );
    }

    #[test]
    fn an_open_incident_stands_in_the_way() {
        let held = |our_side| Held {
            number: 12,
            our_side,
            headline: "GMC refuses client `a`".to_owned(),
        };
        check(
            &["a pass 2"],
            &[held(false)],
            State::Blocked,
            "INC-12 is open (the last runs passed, but it is not over yet): GMC refuses client `a`",
        );
        check(
            &["a timeout 2"],
            &[held(false)],
            State::Down,
            "INC-12 is open: GMC refuses client `a`",
        );
        check(
            &["a timeout 2"],
            &[held(true)],
            State::Unknown,
            "INC-12 is open: GMC refuses client `a`",
        );
    }
}
