//! Counted runs by time: cut into hours, days or months of a zone, for pages, files and scripts.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Map, Value, json};

use super::csv;
use crate::domain::spelling::spelled;
use crate::domain::tally::{PHASES, Tally};
use crate::domain::verdict::Kind;

/// Stretches of one answer.
pub const BUCKETS_MAX: usize = 20_000;

spelled!(
    /// How long a stretch is.
    Step { Hour = "hour", Day = "day", Month = "month" }
);

/// Runs that began in a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    pub from: Timestamp,
    pub until: Timestamp,
    pub tally: Tally,
}

/// Cuts hours (since 1970, UTC) between two times into stretches; one without a run is there, and empty.
///
/// Days and months are those of the zone, so one may have 23 or 25 hours; an hour that a zone of half an hour cuts in
/// two counts where it begins.
#[must_use]
pub fn buckets(
    hours: &BTreeMap<i64, Tally>,
    step: Step,
    zone: &TimeZone,
    from: Timestamp,
    until: Timestamp,
) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    let mut begin = start(step, zone, from);
    while begin < until && buckets.len() < BUCKETS_MAX {
        let end = next(step, zone, begin);
        if end <= begin {
            break;
        }
        let mut tally = Tally::default();
        for (_, hour) in hours.range(hour(begin)..hour(end)) {
            tally.add(hour);
        }
        buckets.push(Bucket {
            from: begin,
            until: end,
            tally,
        });
        begin = end;
    }
    buckets
}

/// The first hour that begins at a time or after it.
fn hour(at: Timestamp) -> i64 {
    -(-at.as_second()).div_euclid(3_600)
}

/// Where the stretch that holds a time begins.
#[must_use]
pub fn start(step: Step, zone: &TimeZone, at: Timestamp) -> Timestamp {
    let date = at.to_zoned(zone.clone()).date();
    match step {
        Step::Hour => {
            let second = at.as_second().div_euclid(3_600) * 3_600;
            Timestamp::from_second(second).unwrap_or(at)
        }
        Step::Day => midnight(zone, date),
        Step::Month => midnight(zone, date.first_of_month()),
    }
}

/// Where the stretch after the one that begins at a time begins.
#[must_use]
pub fn next(step: Step, zone: &TimeZone, begin: Timestamp) -> Timestamp {
    let date = begin.to_zoned(zone.clone()).date();
    let span = match step {
        Step::Hour => return begin.checked_add(1.hour()).unwrap_or(begin),
        Step::Day => 1.day(),
        Step::Month => 1.month(),
    };
    let next = date.checked_add(span);
    next.map_or(begin, |next| midnight(zone, next))
}

/// When a date begins in a zone; where clocks are put on at midnight, an hour later.
#[must_use]
pub fn midnight(zone: &TimeZone, date: Date) -> Timestamp {
    let start = date.to_zoned(zone.clone()).and_then(|at| at.start_of_day());
    start.map_or(Timestamp::MAX, |at| at.timestamp())
}

/// A name, and which verdicts are meant by it.
pub type Family = (&'static str, fn(Kind) -> bool);

/// The families of verdicts that tables count.
pub const FAMILIES: [Family; 5] = [
    ("blocked", |kind| {
        matches!(
            kind,
            Kind::EdgeBlock | Kind::EdgeChallenge | Kind::SoftBlock
        )
    }),
    ("limited", |kind| kind == Kind::RateLimited),
    ("denied", |kind| kind == Kind::OriginDenied),
    ("failing", |kind| family(kind) == "failing"),
    ("ours", |kind| kind == Kind::LocalError),
];

/// The family of what does not work.
#[must_use]
pub fn family(kind: Kind) -> &'static str {
    let known = FAMILIES.iter().filter(|(name, _)| *name != "failing");
    let known = known.into_iter().find(|(_, is)| is(kind));
    known.map_or("failing", |(name, _)| *name)
}

/// How many of a stretch are of each family, in the order of [`FAMILIES`].
#[must_use]
pub fn by_family(tally: &Tally) -> [u64; 5] {
    FAMILIES.map(|(_, is)| tally.of(|kind| !kind.works() && is(kind)))
}

const COLUMNS: [&str; 19] = [
    "probe",
    "from",
    "until",
    "runs",
    "passed",
    "blocked",
    "limited",
    "denied",
    "failing",
    "ours",
    "p50_ms",
    "p95_ms",
    "max_ms",
    "dns_ms",
    "connect_ms",
    "tls_ms",
    "first_byte_ms",
    "transfer_ms",
    "kinds",
];

/// A line for each stretch of each probe; times in UTC, those of runs that worked.
#[must_use]
pub fn csv(probes: &[(String, Vec<Bucket>)]) -> String {
    let rows = probes.iter().flat_map(|(probe, buckets)| {
        buckets.iter().map(move |bucket| {
            let tally = &bucket.tally;
            let mut row = vec![
                probe.clone(),
                bucket.from.to_string(),
                bucket.until.to_string(),
                tally.runs.to_string(),
                tally.passed.to_string(),
            ];
            row.extend(by_family(tally).map(|count| count.to_string()));
            let times = [tally.took.percentile(50), tally.took.percentile(95)];
            let longest = (tally.passed > 0).then_some(tally.max);
            let phases = (0..PHASES.len()).map(|place| tally.phase(place));
            row.extend(times.into_iter().chain([longest]).chain(phases).map(ms));
            row.push(tally.kinds_text());
            row
        })
    });
    csv::table(&COLUMNS, rows)
}

/// The same for scripts; keys are stable.
#[must_use]
pub fn json(bucket: &Bucket) -> Value {
    let tally = &bucket.tally;
    let families: Map<String, Value> = FAMILIES
        .iter()
        .zip(by_family(tally))
        .map(|((name, _), count)| ((*name).to_owned(), count.into()))
        .collect();
    let phases: Map<String, Value> = PHASES
        .iter()
        .enumerate()
        .map(|(place, name)| ((*name).to_owned(), number(tally.phase(place))))
        .collect();
    let kinds: Map<String, Value> = tally
        .kinds
        .iter()
        .map(|(kind, count)| (kind.as_str().to_owned(), (*count).into()))
        .collect();
    json!({
        "from": bucket.from.to_string(),
        "until": bucket.until.to_string(),
        "runs": tally.runs,
        "passed": tally.passed,
        "families": families,
        "p50_ms": number(tally.took.percentile(50)),
        "p95_ms": number(tally.took.percentile(95)),
        "max_ms": number((tally.passed > 0).then_some(tally.max)),
        "phases_ms": phases,
        "kinds": kinds,
    })
}

fn number(took: Option<Duration>) -> Value {
    took.map_or(Value::Null, |took| {
        // To the microsecond, as it is kept.
        json!(took.as_micros() as f64 / 1_000.0)
    })
}

fn ms(took: Option<Duration>) -> String {
    took.map(|took| format!("{:.3}", took.as_secs_f64() * 1_000.0))
        .unwrap_or_default()
}

/// `99.71 %`; `None`: of so few runs a share says nothing.
#[must_use]
pub fn share(tally: &Tally) -> Option<String> {
    /// Fewer runs make no share.
    const RUNS_MIN: u64 = 100;
    let share = tally.passed_share().filter(|_| tally.runs >= RUNS_MIN)?;
    Some(format!("{}.{:02} %", share / 100, share % 100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::observation::Phases;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn tally(runs: u64) -> Tally {
        let mut tally = Tally::default();
        for _ in 0..runs {
            tally.count(Kind::Pass, Duration::from_millis(10), &Phases::default());
        }
        tally
    }

    #[test]
    fn days_are_those_of_the_zone() {
        // Each hour of three days has as many runs as its place among them.
        let first = hour(at("2021-10-30T00:00:00Z"));
        let hours = (0..72).map(|n| (first + n, tally(1))).collect();
        let check = |zone: &str, step, from: &str, until: &str, expected: &[(&str, u64)]| {
            let zone = TimeZone::get(zone).unwrap();
            let found = buckets(&hours, step, &zone, at(from), at(until));
            let found: Vec<(String, u64)> = found
                .iter()
                .map(|it| (it.from.to_string(), it.tally.runs))
                .collect();
            let expected: Vec<(String, u64)> = expected
                .iter()
                .map(|(from, runs)| ((*from).to_owned(), *runs))
                .collect();
            assert_eq!(found, expected);
        };
        // The night on which the clocks go back has an hour more.
        check(
            "Europe/London",
            Step::Day,
            "2021-10-30T12:00:00Z",
            "2021-11-01T00:00:00Z",
            &[("2021-10-29T23:00:00Z", 23), ("2021-10-30T23:00:00Z", 25)],
        );
        check(
            "Asia/Kolkata",
            Step::Day,
            "2021-10-31T00:00:00Z",
            "2021-10-31T18:00:00Z",
            &[("2021-10-30T18:30:00Z", 24)],
        );
        check(
            "Europe/London",
            Step::Month,
            "2021-10-30T12:00:00Z",
            "2021-11-05T00:00:00Z",
            &[("2021-09-30T23:00:00Z", 48), ("2021-11-01T00:00:00Z", 24)],
        );
        check(
            "UTC",
            Step::Hour,
            "2021-10-30T22:10:00Z",
            "2021-10-31T00:10:00Z",
            &[
                ("2021-10-30T22:00:00Z", 1),
                ("2021-10-30T23:00:00Z", 1),
                ("2021-10-31T00:00:00Z", 1),
            ],
        );
    }

    #[test]
    fn every_kind_has_one_family() {
        for kind in Kind::ALL.iter().filter(|kind| !kind.works()) {
            let families = FAMILIES.iter().filter(|(_, is)| is(*kind));
            assert_eq!(families.count(), 1, "{kind}");
        }
    }

    #[test]
    fn files_and_scripts_are_told_the_same() {
        let mut bucket = Bucket {
            from: at("2021-10-30T00:00:00Z"),
            until: at("2021-10-31T00:00:00Z"),
            tally: tally(3),
        };
        let kinds = [(Kind::EdgeBlock, 1), (Kind::Timeout, 20_000)];
        for (kind, ms) in kinds {
            let took = Duration::from_millis(ms);
            bucket.tally.count(kind, took, &Phases::default());
        }
        let value = json(&bucket);
        assert_eq!(value["runs"], 5);
        assert_eq!(value["families"]["blocked"], 1);
        assert_eq!(value["families"]["failing"], 1);
        assert_eq!(value["max_ms"], 10.0);
        assert_eq!(value["kinds"]["timeout"], 1);
        let text = csv(&[("=orders".to_owned(), vec![bucket])]);
        let line = text.lines().nth(1).unwrap();
        assert!(
            line.starts_with(
                "\"'=orders\",2021-10-30T00:00:00Z,2021-10-31T00:00:00Z,5,3,1,0,0,1,0,"
            ),
            "{line}"
        );
        assert!(line.ends_with("\"edge_block 1,timeout 1\""), "{line}");
        assert_eq!(
            text.lines().next().unwrap().split(',').count(),
            COLUMNS.len()
        );
        assert_eq!(share(&tally(99)), None);
        assert_eq!(share(&tally(100)).as_deref(), Some("100.00 %"));
    }
}
