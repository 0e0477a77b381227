//! The timetable, driven through simulated time.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use proptest::prelude::*;

use super::*;
use crate::domain::condition::Conditions;
use crate::domain::plan::{IncidentPolicy, Politeness, StorePolicy};
use crate::domain::probe::{Cookies, Expect, Probe, Redirects, Resolver, Words};
use crate::domain::verdict::{Severity, Tell};

/// A probe `name` of `cells` cells against `host`.
fn probe(name: &str, host: &str, cells: usize, schedule: Schedule) -> Probe {
    Probe {
        name: name.into(),
        url: format!("https://{host}/").parse().unwrap(),
        partner: "partner".to_owned(),
        method: http::Method::GET,
        headers: Vec::new(),
        body: None,
        from: (0..cells)
            .map(|n| format!("egress-{n}").as_str().into())
            .collect(),
        as_clients: vec!["plain".into()],
        with: vec!["anonymous".into()],
        schedule,
        timeout: Duration::from_secs(20),
        expect: Expect::default(),
        origin: Conditions::default(),
        meanings: Vec::new(),
        words: Words::default(),
        redirects: Redirects::No,
        cookies: Cookies::default(),
        body_bytes_max: 1,
        resolver: Resolver::Own,
        connect_to: None,
        tags: Vec::new(),
        severity: Severity::Warning,
        tell: Tell::Sure,
        control: false,
        ours: false,
        forbid: Default::default(),
    }
}

fn every(seconds: u64) -> Schedule {
    Schedule::Every(Duration::from_secs(seconds))
}

fn cron(text: &str, zone: &str) -> Schedule {
    Schedule::Cron(Cron::new(text, TimeZone::get(zone).unwrap()).unwrap())
}

fn plan(per_minute: u32, gap_ms: u64, probes: Vec<Probe>) -> Plan {
    Plan {
        service: "Test".into(),
        zone: TimeZone::UTC,
        egresses: Vec::new(),
        clients: Vec::new(),
        credentials: Vec::new(),
        probes,
        politeness: Politeness {
            requests_per_minute: per_minute,
            gap: Duration::from_millis(gap_ms),
            extra_per_incident: 12,
        },
        incidents: IncidentPolicy::default(),
        signatures: Vec::new(),
        receivers: Vec::new(),
        routes: Vec::new(),
        maintenance: Vec::new(),
        store: StorePolicy {
            group: None,
            path: "unused".into(),
            keep: crate::domain::plan::Keep::for_runs(Duration::ZERO),
            bytes_max: 0,
        },
        trust: Vec::new(),
        name_servers: Vec::new(),
        runs_in_flight_max: 64,
        listen: None,
        web: None,
        heartbeat: None,
        watch: true,
        former: crate::domain::renames::Renames::default(),
        nats: None,
        credential_a_day: None,
        shares: std::collections::BTreeMap::new(),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn start() -> Timestamp {
    at("2026-07-01T00:00:00Z")
}

fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

fn key(probe: &str, n: usize) -> CellKey {
    CellKey {
        probe: probe.into(),
        egress: format!("egress-{n}").as_str().into(),
        client: "plain".into(),
        credential: "anonymous".into(),
    }
}

/// The loop of the daemon without the daemon: wakes when asked to, ends runs after `takes`.
struct Drive {
    table: Timetable,
    now: Timestamp,
    takes: SignedDuration,
    room: usize,
    running: Vec<(Timestamp, CellKey)>,
    /// When each run started.
    log: Vec<(Timestamp, Due)>,
}

impl Drive {
    fn new(plan: &Plan) -> Self {
        Self {
            table: Timetable::new(plan, start()),
            now: start(),
            takes: SignedDuration::from_millis(100),
            room: usize::MAX,
            running: Vec::new(),
            log: Vec::new(),
        }
    }

    fn step(&mut self) {
        let (ended, running): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|(end, _)| *end <= self.now);
        self.running = running;
        for (_, cell) in ended {
            self.table.finished(&cell);
        }
        let mut out = Vec::new();
        let room = self.room.saturating_sub(self.running.len());
        self.table.due(self.now, room, &mut out);
        assert!(out.len() <= room, "more starts than room");
        for begun in out {
            assert!(
                self.running.iter().all(|(_, cell)| *cell != begun.cell),
                "{} overlaps itself",
                begun.cell
            );
            self.running
                .push((self.now + self.takes, begun.cell.clone()));
            self.log.push((self.now, begun));
        }
    }

    /// Runs until `end`.
    fn until(&mut self, end: Timestamp) {
        loop {
            self.step();
            let ends = self.running.iter().map(|(end, _)| *end).min();
            let wake = [self.table.next_wake(), ends].into_iter().flatten().min();
            match wake {
                Some(wake) if wake <= end => {
                    assert!(wake >= self.now || ends.is_some(), "wakes in the past");
                    self.now = self.now.max(wake);
                }
                _ => break,
            }
        }
        self.now = end;
        self.step();
    }

    fn for_seconds(&mut self, n: i64) {
        self.until(self.now + seconds(n));
    }

    fn times(&self, cell: &CellKey) -> Vec<Timestamp> {
        self.log
            .iter()
            .filter(|(_, begun)| begun.cell == *cell)
            .map(|(at, _)| *at)
            .collect()
    }

    fn per_cell(&self) -> BTreeMap<&CellKey, usize> {
        let mut runs = BTreeMap::new();
        for (_, begun) in &self.log {
            *runs.entry(&begun.cell).or_default() += 1;
        }
        runs
    }
}

/// Gap and budget over all starts to one host, in log order.
fn assert_polite(times: &[Timestamp], politeness: &Politeness) {
    let gap = SignedDuration::try_from(politeness.gap).unwrap();
    for pair in times.windows(2) {
        assert!(
            pair[1].duration_since(pair[0]) >= gap,
            "gap: {} then {}",
            pair[0],
            pair[1]
        );
    }
    let budget = politeness.requests_per_minute as usize;
    for many in times.windows(budget + 1) {
        let window = many[budget].duration_since(many[0]);
        assert!(
            window >= seconds(60),
            "{} starts within {window:#} from {}",
            budget + 1,
            many[0]
        );
    }
}

#[test]
fn an_idle_cell_is_small() {
    let entry = size_of::<Reverse<(Micros, Wake)>>();
    let queued = size_of::<u32>();
    assert_eq!((size_of::<Slot>(), entry, queued), (80, 16, 4));
}

#[test]
fn phases_survive_a_restart() {
    let plan = plan(600, 0, vec![probe("p", "a.example", 20, every(300))]);
    let mut first = Drive::new(&plan);
    first.for_seconds(1200);
    let mut second = Drive::new(&plan);
    second.now = start() + seconds(601);
    second.table = Timetable::new(&plan, second.now);
    second.until(start() + seconds(1200));
    for n in 0..20 {
        let (a, b) = (first.times(&key("p", n)), second.times(&key("p", n)));
        assert_eq!(a.last(), b.last(), "cell {n}");
        assert_ne!(
            a.last().unwrap().as_second() % 300,
            first
                .times(&key("p", (n + 1) % 20))
                .last()
                .unwrap()
                .as_second()
                % 300
        );
    }
}

#[test]
fn phases_are_pinned() {
    // A change here moves every cell of every installation.
    assert_eq!(
        stable_hash(&key("gmc-connect", 1)),
        8_995_152_202_886_371_908
    );
}

#[test]
fn first_runs_come_within_a_minute_and_not_at_once() {
    let plan = plan(600, 100, vec![probe("p", "a.example", 100, every(3600))]);
    let mut drive = Drive::new(&plan);
    drive.for_seconds(61);
    assert_eq!(drive.per_cell().len(), 100);
    for ten in 0..6 {
        let from = start() + seconds(ten * 10);
        let count = drive
            .log
            .iter()
            .filter(|(at, _)| *at >= from && *at < from + seconds(10))
            .count();
        assert!((6..=30).contains(&count), "{count} starts from {from}");
    }
    drive.until(start() + seconds(4 * 3600));
    for (cell, runs) in drive.per_cell() {
        assert!((4..=5).contains(&runs), "{cell}: {runs}");
        let times = drive.times(cell);
        for pair in times.windows(2) {
            assert!(pair[1].duration_since(pair[0]) >= seconds(1799), "{cell}");
        }
    }
}

#[test]
fn first_runs_take_as_long_as_the_budget_needs() {
    // 300 cells at 60 a minute need 5 minutes.
    let plan = plan(60, 500, vec![probe("p", "a.example", 300, every(3600))]);
    let mut drive = Drive::new(&plan);
    drive.for_seconds(330);
    assert!(drive.per_cell().len() >= 270);
    let late = drive
        .log
        .iter()
        .map(|(at, begun)| at.duration_since(begun.at))
        .max()
        .unwrap();
    assert!(late < seconds(45), "{late:#}");
}

#[test]
fn every_cell_runs_once_an_interval_and_evenly() {
    let plan = plan(6000, 0, vec![probe("p", "a.example", 600, every(60))]);
    let mut drive = Drive::new(&plan);
    drive.for_seconds(600);
    let mut per_second: HashMap<i64, usize> = HashMap::new();
    for (at, _) in &drive.log {
        *per_second.entry(at.as_second() % 60).or_default() += 1;
    }
    assert_eq!(per_second.len(), 60);
    // 100 on average; a hash leaves some 10 % of one interval's 10, pinned by the names.
    assert!(per_second.values().all(|&n| (20..=220).contains(&n)));
    for (cell, runs) in drive.per_cell() {
        assert_eq!(runs, 10, "{cell}");
    }
    let counts = drive.table.counts();
    assert_eq!(
        (
            counts.started,
            counts.skipped_late,
            counts.skipped_in_flight
        ),
        (6000, 0, 0)
    );
}

#[test]
fn a_host_over_its_budget_is_fair_and_holds_up_nobody() {
    let plan = plan(
        60,
        500,
        vec![
            probe("busy", "busy.example", 120, every(60)),
            probe("calm", "calm.example", 5, every(60)),
        ],
    );
    let mut drive = Drive::new(&plan);
    drive.for_seconds(20 * 60);
    let busy: Vec<Timestamp> = drive
        .log
        .iter()
        .filter(|(_, begun)| begun.cell.probe.as_str() == "busy")
        .map(|(at, _)| *at)
        .collect();
    assert_polite(&busy, &plan.politeness);
    assert!(
        busy.len() >= 20 * 60 - 5,
        "the budget is used: {}",
        busy.len()
    );
    for (cell, runs) in drive.per_cell() {
        let expected = if cell.probe.as_str() == "busy" {
            9..=11
        } else {
            20..=20
        };
        assert!(expected.contains(&runs), "{cell}: {runs}");
    }
    for (at, begun) in &drive.log {
        let late = at.duration_since(begun.at);
        let most = if begun.cell.probe.as_str() == "busy" {
            60
        } else {
            1
        };
        assert!(late <= seconds(most), "{}: {late:#}", begun.cell);
    }
    let counts = drive.table.counts();
    let lost = 120 * 20 - busy.len() as u64;
    assert!(counts.skipped_late.abs_diff(lost) <= 120, "{counts:?}");
}

#[test]
fn sleeping_for_eight_hours_is_no_burst() {
    let plan = plan(6000, 0, vec![probe("p", "a.example", 600, every(300))]);
    let mut drive = Drive::new(&plan);
    drive.for_seconds(900);
    drive.log.clear();
    let before = drive.table.counts();
    drive.now += seconds(8 * 3600);
    let woke = drive.now;
    drive.step();
    assert!(drive.log.len() <= 1, "{} at once", drive.log.len());
    drive.for_seconds(300);
    let first_ten = drive
        .log
        .iter()
        .filter(|(at, _)| *at < woke + seconds(10))
        .count();
    assert!((5..=40).contains(&first_ten), "{first_ten}");
    assert_eq!(drive.log.len(), 600);
    let after = drive.table.counts();
    assert_eq!(after.skipped_late - before.skipped_late, 600);
}

#[test]
fn waking_a_little_late_skips_nothing() {
    let plan = plan(6000, 0, vec![probe("p", "a.example", 60, every(60))]);
    let mut drive = Drive::new(&plan);
    drive.for_seconds(120);
    drive.now += seconds(20);
    drive.for_seconds(40);
    assert_eq!(drive.table.counts().skipped_late, 0);
    assert_eq!(drive.table.counts().started, 180);
}

#[test]
fn a_clock_set_back_neither_stalls_nor_bursts() {
    for back in [1, 30, 3600, 30 * 86_400] {
        let plan = plan(60, 500, vec![probe("p", "a.example", 20, every(60))]);
        let mut drive = Drive::new(&plan);
        drive.for_seconds(600);
        drive.running.clear();
        for n in 0..20 {
            drive.table.finished(&key("p", n));
        }
        drive.log.clear();
        drive.now -= seconds(back);
        drive.for_seconds(300);
        let times: Vec<Timestamp> = drive.log.iter().map(|(at, _)| *at).collect();
        assert_polite(&times, &plan.politeness);
        for (cell, runs) in drive.per_cell() {
            assert!((4..=6).contains(&runs), "back {back} s: {cell}: {runs}");
        }
        assert_eq!(drive.per_cell().len(), 20, "back {back} s");
    }
}

#[test]
fn a_cell_never_overlaps_itself() {
    let plan = plan(600, 0, vec![probe("p", "a.example", 3, every(10))]);
    let mut drive = Drive::new(&plan);
    drive.takes = seconds(25);
    drive.for_seconds(300);
    let counts = drive.table.counts();
    assert_eq!(drive.log.len() as u64, counts.started);
    assert!((28..=30).contains(&counts.started), "{counts:?}");
    assert!(counts.skipped_in_flight >= 55, "{counts:?}");
    assert_eq!(counts.skipped_late, 0);
}

#[test]
fn runs_in_flight_stay_within_the_room() {
    let plan = plan(6000, 0, vec![probe("p", "a.example", 100, every(60))]);
    let mut drive = Drive::new(&plan);
    drive.room = 2;
    drive.takes = seconds(5);
    drive.for_seconds(600);
    // Two at a time for 5 s each.
    assert!(
        (230..=242).contains(&drive.log.len()),
        "{}",
        drive.log.len()
    );
    let runs = drive.per_cell();
    assert!(runs.values().all(|n| (2..=3).contains(n)), "{runs:?}");
}

#[test]
fn asked_runs_go_first_and_are_polite() {
    let plan = plan(30, 1000, vec![probe("p", "a.example", 40, every(60))]);
    let mut drive = Drive::new(&plan);
    drive.for_seconds(300);
    drive.log.clear();
    let now = drive.now;
    for n in 0..5 {
        let asked = drive
            .table
            .ask(&key("p", n), now, Purpose::Confirm, "suspicion");
        assert_eq!(asked, Asked::Taken);
    }
    assert_eq!(
        drive
            .table
            .ask(&key("p", 0), now, Purpose::Counter, "again"),
        Asked::Merged
    );
    assert_eq!(
        drive.table.ask(&key("q", 0), now, Purpose::Confirm, ""),
        Asked::Unknown
    );
    drive.for_seconds(60);
    let confirmed: Vec<_> = drive
        .log
        .iter()
        .filter(|(_, begun)| begun.purpose == Purpose::Confirm)
        .collect();
    assert_eq!(confirmed.len(), 5);
    // The host is over budget: a place is free every 2 s, and the asked runs have the first five.
    assert!(confirmed[4].0.duration_since(now) <= seconds(11));
    assert!(
        drive.log[..5]
            .iter()
            .all(|(_, b)| b.purpose == Purpose::Confirm)
    );
    assert_eq!(&*confirmed[0].1.why, "suspicion");
    let times: Vec<Timestamp> = drive.log.iter().map(|(at, _)| *at).collect();
    assert_polite(&times, &plan.politeness);
}

#[test]
fn asked_runs_wait_for_their_time_and_for_the_running_one() {
    let plan = plan(60, 500, vec![probe("p", "a.example", 1, every(3600))]);
    let mut drive = Drive::new(&plan);
    drive.takes = seconds(10);
    drive.for_seconds(90);
    drive.log.clear();
    let cell = key("p", 0);
    let now = drive.now;
    drive
        .table
        .ask(&cell, now + seconds(40), Purpose::Confirm, "later");
    drive
        .table
        .ask(&cell, now + seconds(20), Purpose::Confirm, "sooner wins");
    drive.for_seconds(25);
    assert_eq!(drive.times(&cell), [now + seconds(20)]);
    // In flight until second 30.
    drive
        .table
        .ask(&cell, drive.now, Purpose::Asked, "while it runs");
    drive.for_seconds(30);
    assert_eq!(drive.times(&cell), [now + seconds(20), now + seconds(30)]);
    assert_eq!(drive.log[1].1.at, now + seconds(25));
}

#[test]
fn cron_cells_keep_to_the_occurrence() {
    let plan = plan(
        600,
        0,
        vec![probe(
            "p",
            "a.example",
            50,
            cron("0 30 1 * * *", "Europe/London"),
        )],
    );
    let mut drive = Drive::new(&plan);
    drive.now = at("2026-10-24T12:00:00Z");
    drive.table = Timetable::new(&plan, drive.now);
    drive.until(at("2026-10-26T12:00:00Z"));
    assert_eq!(drive.log.len(), 100, "once a night, and not at the start");
    for (nights, occurrence) in [
        (0..50, at("2026-10-25T00:30:00Z")),
        (50..100, at("2026-10-26T01:30:00Z")),
    ] {
        let after: Vec<i64> = drive.log[nights]
            .iter()
            .map(|(at, _)| at.duration_since(occurrence).as_millis() as i64)
            .collect();
        assert!(after.iter().all(|ms| (0..5000).contains(ms)), "{after:?}");
        assert!(after.last().unwrap() - after[0] > 3000, "{after:?}");
    }
}

#[test]
fn frequent_cron_is_spread_over_a_tenth() {
    let plan = plan(
        6000,
        0,
        vec![probe("p", "a.example", 20, cron("*/10 * * * * *", "UTC"))],
    );
    let mut drive = Drive::new(&plan);
    drive.for_seconds(100);
    for (cell, runs) in drive.per_cell() {
        assert!((10..=11).contains(&runs), "{cell}: {runs}");
    }
    for (at, _) in &drive.log {
        assert!(at.as_millisecond() % 10_000 < 1000, "{at}");
    }
}

#[test]
fn a_new_plan_keeps_what_it_can() {
    let old = plan(
        60,
        500,
        vec![
            probe("kept", "a.example", 10, every(300)),
            probe("gone", "a.example", 2, every(300)),
            probe("changed", "b.example", 2, every(300)),
        ],
    );
    let mut drive = Drive::new(&old);
    drive.for_seconds(700);
    let phases: Vec<i64> = (0..10)
        .map(|n| drive.times(&key("kept", n)).last().unwrap().as_second() % 300)
        .collect();
    // One run of each probe is in flight over the change, and one is asked for.
    drive.takes = seconds(100);
    for probe in ["kept", "gone"] {
        drive
            .table
            .ask(&key(probe, 0), drive.now, Purpose::Asked, "now");
    }
    drive.for_seconds(2);
    let late = drive.now + seconds(150);
    drive
        .table
        .ask(&key("kept", 1), late, Purpose::Confirm, "later");
    let flying = drive.table.counts().in_flight;
    assert!(flying >= 2);

    let new = plan(
        60,
        500,
        vec![
            probe("kept", "a.example", 10, every(300)),
            probe("changed", "b.example", 2, every(120)),
            probe("new", "c.example", 2, every(3600)),
        ],
    );
    drive.table.replace(&new, drive.now);
    assert_eq!(drive.table.counts().in_flight, flying);
    // The run that left the plan comes back while it is in flight: it must not start again.
    drive.table.replace(&old, drive.now);
    drive.table.replace(&new, drive.now);
    assert_eq!(drive.table.counts().in_flight, flying);
    drive.log.clear();
    let changed = drive.now;
    drive.takes = SignedDuration::from_millis(100);
    drive.for_seconds(900);
    assert_eq!(drive.table.counts().in_flight, 0);
    for (n, phase) in phases.iter().enumerate() {
        let times = drive.times(&key("kept", n));
        assert_eq!(times.last().unwrap().as_second() % 300, *phase, "cell {n}");
    }
    assert!(drive.times(&key("gone", 0)).is_empty());
    assert!((7..=9).contains(&drive.times(&key("changed", 0)).len()));
    assert!(drive.times(&key("new", 0))[0] <= changed + seconds(60));
    assert!(drive.times(&key("kept", 1)).contains(&late));
}

#[test]
fn a_new_plan_keeps_the_queue() {
    let plan = plan(6, 500, vec![probe("p", "a.example", 30, every(60))]);
    let mut drive = Drive::new(&plan);
    drive.for_seconds(300);
    let waiting = drive.table.counts().waiting;
    assert!(waiting > 15);
    drive.table.replace(&plan, drive.now);
    assert_eq!(drive.table.counts().waiting, waiting);
    drive.log.clear();
    drive.for_seconds(300);
    assert!(drive.per_cell().len() >= 28, "still in turn");
    assert!(drive.log.len() <= 31);
}

#[test]
fn a_hundred_thousand_cells() {
    let probes = (0..1000)
        .map(|n| {
            probe(
                &format!("probe-{n}"),
                &format!("host-{}.example", n % 50),
                100,
                every(60),
            )
        })
        .collect();
    let plan = plan(100_000, 0, probes);
    let mut table = Timetable::new(&plan, start());
    let mut out = Vec::new();
    // Wake-ups of 10 ms, as a busy loop has them.
    for step in 1..=6000 {
        let now = start() + SignedDuration::from_millis(step * 10);
        table.due(now, usize::MAX, &mut out);
        assert!(out.len() < 60, "{} in 10 ms", out.len());
        for begun in out.drain(..) {
            table.finished(&begun.cell);
        }
    }
    assert_eq!(table.counts().started, 100_000);
    assert_eq!(table.counts().skipped_late, 0);
}

/// Something that happens to a timetable.
#[derive(Debug, Clone)]
enum Happening {
    Pass(i64),
    Sleep(i64),
    Ask(usize, i64),
    Replace(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (1..200_i64).prop_map(Happening::Pass),
        1 => (1..20_000_i64).prop_map(Happening::Sleep),
        3 => (0..20_usize, 0..90_i64).prop_map(|(n, s)| Happening::Ask(n, s)),
        1 => (1..20_usize).prop_map(Happening::Replace),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn is_polite_whatever_happens(
        cells in 1..20_usize,
        interval in 1..400_u64,
        per_minute in 1..40_u32,
        gap_ms in 0..3000_u64,
        takes_ms in 1..30_000_i64,
        room in 1..6_usize,
        happenings in prop::collection::vec(happening(), 1..12),
    ) {
        let make = |cells| plan(
            per_minute,
            gap_ms,
            vec![
                probe("p", "a.example", cells, every(interval)),
                probe("q", "a.example", cells, cron("*/20 * * * * *", "Europe/London")),
                probe("r", "b.example", cells, every(60)),
            ],
        );
        let first = make(cells);
        let mut drive = Drive::new(&first);
        drive.takes = SignedDuration::from_millis(takes_ms);
        drive.room = room;
        for happening in happenings {
            match happening {
                Happening::Pass(n) => drive.for_seconds(n),
                Happening::Sleep(n) => drive.now += seconds(n),
                Happening::Ask(n, later) => {
                    drive.table.ask(&key("p", n), drive.now + seconds(later), Purpose::Confirm, "x");
                }
                Happening::Replace(cells) => drive.table.replace(&make(cells), drive.now),
            }
        }
        // Nothing stalls: with the room and the budget there are, both hosts are asked again.
        let before = drive.log.len();
        drive.for_seconds(400 + 2 * takes_ms / 1000 * cells as i64);
        for host in [&["p", "q"][..], &["r"][..]] {
            let times: Vec<Timestamp> = drive
                .log
                .iter()
                .filter(|(_, begun)| host.contains(&begun.cell.probe.as_str()))
                .map(|(at, _)| *at)
                .collect();
            assert_polite(&times, &first.politeness);
            let again = drive.log[before..]
                .iter()
                .any(|(_, begun)| host.contains(&begun.cell.probe.as_str()));
            prop_assert!(again, "{host:?} stalls");
        }
        for (at, begun) in &drive.log {
            prop_assert!(*at >= begun.at);
        }
    }
}
