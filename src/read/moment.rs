//! When an answer is of, and whether its clock fits its words.
//!
//! A copy from a cache tells of the moment it was made (`Date` less `Age`, RFC 9111 section 5.1), not of now: it
//! neither shows that a fault lasts nor that it is over. And a status that says that somebody waited in vain
//! is not believed of an answer that came at once.

use std::time::Duration;

use super::signatures::{origin, page::Page};
use crate::domain::observation::{Answer, Observation};
use crate::domain::verdict::{Evidence, Kind, Rule, Strength, Verdict};

/// A younger copy is as good as a fresh answer.
const COPY_MIN: Duration = Duration::from_secs(60);
/// Nobody gives up waiting sooner than this.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// How old the copy is that a cache sent in place of an answer; `None` for a fresh one.
pub(super) fn copy(page: &Page<'_>) -> Option<Duration> {
    let age = page.header("age")?.trim().parse().ok()?;
    let age = Duration::from_secs(age);
    // A proxy may send an age with what it just fetched; who keeps a copy says so, or keeps it for longer.
    let says_hit = ["cf-cache-status", "x-cache", "x-cache-status", "cdn-cache"]
        .iter()
        .any(|name| page.header_has(name, "hit"));
    let says_miss = ["cf-cache-status", "x-cache", "x-cache-status", "cdn-cache"]
        .iter()
        .any(|name| page.header_has(name, "miss"));
    (age >= COPY_MIN && (says_hit || !says_miss)).then_some(age)
}

/// Why an answer is older than was asked for; what says no age is fresh.
pub(super) fn too_old(answer: &Answer, most: Duration) -> Option<String> {
    let age = Duration::from_secs(answer.header("age")?.trim().parse().ok()?);
    (age > most).then(|| {
        format!(
            "a copy kept {}, expected one no older than {}; a purge of the cache renews it",
            span(age),
            span(most)
        )
    })
}

/// Says of a copy how old it is and where it is kept.
pub(super) fn told_copy(page: &Page<'_>) -> Option<Evidence> {
    let age = copy(page)?;
    let place = origin::place(page).map_or_else(String::new, |place| format!(" at {place}"));
    Some(Evidence {
        strength: Strength::Strong,
        text: format!(
            "from a copy kept {}{place}: it tells of then, not of now; a purge of the cache renews it",
            span(age)
        ),
    })
}

/// Takes back a reason that the clock contradicts: a timeout that took no time.
pub(super) fn doubt(verdict: &mut Verdict, page: &Page<'_>, observation: &Observation) {
    let waited = matches!(page.status(), 408 | 504 | 522 | 524);
    let failing = matches!(verdict.kind, Kind::EdgeError | Kind::OriginError);
    let first_byte = observation.phases.first_byte.unwrap_or(observation.took);
    if !waited || !failing || first_byte >= WAIT_MIN {
        return;
    }
    if verdict.rule == Rule::OriginDown {
        verdict.rule = Rule::Unknown;
    }
    verdict.evidence.push(Evidence {
        strength: Strength::Strong,
        text: format!(
            "status {} speaks of waiting, but it was answered after {} ms: nobody waited",
            page.status(),
            first_byte.as_millis()
        ),
    });
}

/// A span as people say it.
fn span(of: Duration) -> String {
    match of.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
