//! What is counted equals the sum of the runs, whatever comes late, breaks off or vanishes.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::domain::cell::CellKey;
use crate::domain::observation::Purpose;
use crate::domain::plan::StorePolicy;
use crate::domain::secret::Secrets;
use crate::domain::verdict::Maker;
use crate::store::history::History;
use crate::store::note::{Note, Run};

/// Two days before the clocks of London go back, and six after.
const BEGIN: &str = "2021-10-29T00:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(at(BEGIN).as_second() + second).unwrap()
}

fn cell(number: u8) -> CellKey {
    CellKey {
        probe: ["orders", "letters"][usize::from(number % 2)].into(),
        egress: "de1".into(),
        client: ["a", "b", "c"][usize::from(number / 2 % 3)].into(),
        credential: "anonymous".into(),
    }
}

fn run(seconds: i64, number: u8, kind: Kind, ms: u64) -> Run {
    Run {
        cell: cell(number),
        at: second(seconds),
        purpose: Purpose::Schedule,
        late: Duration::ZERO,
        took: Duration::from_millis(ms),
        phases: Phases {
            connect: Some(Duration::from_millis(ms / 3)),
            first_byte: Some(Duration::from_millis(ms / 2)),
            ..Phases::default()
        },
        kind,
        maker: Maker::Unknown,
        status: None,
        remote: None,
        failure: None,
        vendor: None,
        rule: None,
        code: None,
        reference_id: None,
        body_sha256: None,
        sent: None,
    }
}

fn policy() -> StorePolicy {
    StorePolicy {
        path: "store.sqlite".into(),
        group: None,
        keep: crate::domain::plan::Keep::for_runs(Duration::from_secs(30 * 86_400)),
        bytes_max: 1 << 30,
    }
}

/// A file, what writes into it, and what was written.
struct Bench {
    connection: Connection,
    history: History,
    rollups: Rollups,
    written: Vec<(CellKey, Timestamp, Kind, u64, Phases)>,
}

impl Bench {
    fn new() -> Self {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection).unwrap();
        Self {
            connection,
            history: History::new(policy()),
            rollups: small(),
            written: Vec::new(),
        }
    }

    fn write(&mut self, runs: Vec<Run>) {
        let hours = runs.iter().map(|run| hour(run.at)).collect();
        for run in &runs {
            let ms = run.took.as_millis() as u64;
            let (cell, phases) = (run.cell.clone(), run.phases);
            self.written.push((cell, run.at, run.kind, ms, phases));
        }
        let batch: Vec<_> = runs
            .into_iter()
            .map(|run| (Note::Run(Box::new(run)), None))
            .collect();
        let secrets = Secrets::default();
        self.history
            .write(&mut self.connection, &batch, &secrets)
            .unwrap();
        self.rollups.touched(&hours);
    }

    /// Counts until nothing is left, or so many slices.
    fn count(&mut self, now: Timestamp, slices: usize) {
        for _ in 0..slices {
            if !self.rollups.turn(&mut self.connection, now).unwrap() {
                return;
            }
        }
    }

    fn sum(&self, counts: impl Fn(&CellKey, Timestamp) -> bool) -> Tally {
        let mut sum = Tally::default();
        for (cell, at, kind, ms, phases) in &self.written {
            if counts(cell, *at) {
                sum.count(*kind, Duration::from_millis(*ms), phases);
            }
        }
        sum
    }

    fn id(&self, cell: &CellKey) -> Option<i64> {
        let ids = crate::store::runs::ids(&self.connection, std::slice::from_ref(cell)).unwrap();
        ids.into_keys().next()
    }
}

/// Few rows and cells a slice, so that a day takes many.
fn small() -> Rollups {
    Rollups {
        slice: (3, 2),
        ..Rollups::default()
    }
}

#[derive(Debug, Clone)]
enum Act {
    /// Seconds since the beginning, cell, kind, milliseconds.
    Write(Vec<(i64, u8, Kind, u64)>),
    /// By the clock then, this many slices.
    Count(i64, usize),
    /// The process ends wherever it is, and another goes on.
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    let span = 7 * 86_400_i64;
    let run = (
        0..span,
        0_u8..6,
        prop::sample::select(Kind::ALL),
        0_u64..30_000,
    );
    prop_oneof![
        4 => prop::collection::vec(run, 1..12).prop_map(Act::Write),
        3 => (0..span, 1_usize..9).prop_map(|(now, slices)| Act::Count(now, slices)),
        1 => Just(Act::Crash),
    ]
}

/// A case is a week of hours; there are fewer of them than of cheap ones.
fn cases() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: usual.cases.div_ceil(8),
        ..usual
    }
}

proptest! {
    #![proptest_config(cases())]
    #[test]
    fn counts_equal_the_sum_of_the_runs(acts in prop::collection::vec(act(), 1..40)) {
        let mut bench = Bench::new();
        for act in acts {
            match act {
                Act::Write(runs) => bench.write(
                    runs.into_iter().map(|(at, cell, kind, ms)| run(at, cell, kind, ms)).collect(),
                ),
                Act::Count(now, slices) => bench.count(second(now), slices),
                Act::Crash => {
                    bench.rollups = small();
                    bench.history = History::new(policy());
                }
            }
        }
        // Every hour of the week is over, and no hour is dropped yet.
        let end = second(7 * 86_400 + 600);
        bench.count(end, usize::MAX);
        let zone = TimeZone::get("Europe/London").unwrap();
        for number in 0..6 {
            let cell = cell(number);
            let Some(id) = bench.id(&cell) else { continue };
            let days = cell_days(&bench.connection, id, second(0), end).unwrap();
            let hours = cell_hours(&bench.connection, id, second(0), end).unwrap();
            for (day, tally) in &days {
                let of_day = |key: &CellKey, at| *key == cell && hour(at).div_euclid(24) == *day;
                prop_assert_eq!(tally, &bench.sum(of_day));
            }
            for (at, tally) in &hours {
                prop_assert_eq!(tally, &bench.sum(|key, run| *key == cell && hour(run) == *at));
            }
            let all = bench.sum(|key, _| *key == cell).runs;
            prop_assert_eq!(days.values().map(|day| day.runs).sum::<u64>(), all);
            prop_assert_eq!(hours.values().map(|hour| hour.runs).sum::<u64>(), all);
        }
        for probe in ["orders", "letters"] {
            // By the days of London, of which one has 25 hours.
            let mut date = second(0).to_zoned(zone.clone()).date();
            let hours = probe_hours(&bench.connection, &probe.into(), second(0), end).unwrap();
            for _ in 0..8 {
                let next = date.tomorrow().unwrap();
                let starts = [date, next].map(|date| date.to_zoned(zone.clone()).unwrap().timestamp());
                let mut sum = Tally::default();
                for tally in hours.range(hour(starts[0])..hour(starts[1])).map(|(_, tally)| tally) {
                    sum.add(tally);
                }
                let of_day = |key: &CellKey, at| {
                    key.probe.as_str() == probe && starts[0] <= at && at < starts[1]
                };
                prop_assert_eq!(sum, bench.sum(of_day));
                date = next;
            }
            let days: i64 = bench.connection.query_row(
                "SELECT coalesce(sum(runs), 0) FROM probe_days WHERE probe = ?", [probe], |row| row.get(0),
            ).unwrap();
            prop_assert_eq!(days as u64, bench.sum(|key, _| key.probe.as_str() == probe).runs);
        }
    }
}

#[test]
fn what_is_not_counted_yet_is_counted_for_the_reader() {
    let mut bench = Bench::new();
    bench.write((0..20).map(|n| run(n * 300, 0, Kind::Pass, 10)).collect());
    let found = |bench: &Bench| -> Vec<u64> {
        let found = probe_hours(
            &bench.connection,
            &"orders".into(),
            second(0),
            second(7_200),
        );
        found
            .unwrap()
            .into_values()
            .map(|tally| tally.runs)
            .collect()
    };
    assert_eq!(found(&bench), [12, 8]);
    bench.count(second(3_600 + 300), usize::MAX);
    assert_eq!(found(&bench), [12, 8]);
    bench.write(vec![run(1, 0, Kind::Timeout, 10)]);
    assert_eq!(found(&bench), [13, 8]);
    assert_eq!(bench.history_of_days(), 0, "no day is over");
}

#[test]
fn what_was_given_up_stays_counted() {
    let mut bench = Bench::new();
    bench.write(vec![run(0, 0, Kind::Pass, 10), run(60, 0, Kind::Pass, 10)]);
    let day = 86_400;
    bench.count(second(day + 600), usize::MAX);
    assert_eq!(bench.history_of_days(), 2);
    // Its rows go, and one comes late.
    cut(&bench.connection, second(60).as_microsecond()).unwrap();
    bench
        .connection
        .execute_batch("DELETE FROM observations_20211029")
        .unwrap();
    bench.write(vec![run(120, 0, Kind::Timeout, 10)]);
    bench.count(second(day + 600), usize::MAX);
    assert_eq!(bench.history_of_days(), 2);
    // Long after, when the hours of cells are gone, a day is not summed up from what is left.
    bench.write(vec![run(2 * day, 0, Kind::Pass, 10)]);
    bench.count(second(20 * day), usize::MAX);
    bench.write(vec![run(2 * day + 3_600, 0, Kind::Pass, 10)]);
    bench.count(second(20 * day), usize::MAX);
    assert_eq!(bench.history_of_days(), 3);
}

#[test]
fn ages_are_bounded() {
    let mut bench = Bench::new();
    bench.write(vec![run(0, 0, Kind::Pass, 10)]);
    let kept = |bench: &Bench| -> Vec<i64> {
        let tables = ["hours", "days", "probe_hours", "probe_days"].into_iter();
        let count = |table| {
            let sql = format!("SELECT count(*) FROM {table}");
            bench
                .connection
                .query_row(&sql, [], |row| row.get(0))
                .unwrap()
        };
        tables.map(count).collect()
    };
    for (days, expected) in [
        (1, [1, 1, 1, 1]),
        (10, [0, 1, 1, 1]),
        (399, [0, 1, 1, 1]),
        (403, [0, 0, 0, 1]),
        (1_200, [0, 0, 0, 0]),
    ] {
        bench.count(second(days * 86_400 + 600), usize::MAX);
        assert_eq!(kept(&bench), expected, "after {days} days");
    }
}

impl Bench {
    /// Runs in the days of probes.
    fn history_of_days(&self) -> i64 {
        let sql = "SELECT coalesce(sum(runs), 0) FROM probe_days";
        self.connection
            .query_row(sql, [], |row| row.get(0))
            .unwrap()
    }
}
