//! Two years, a block each day, through the store's own writing, counting and tidying.
//!
//! The file must stop growing, memory with it, and questions must take as long at the end as after the first months.
//! Of 10 cells every two hours that is some seconds, in which the file alone is looked at: other tests share the
//! processor and the memory. `YEARS_CELLS=200 YEARS_EVERY=300 cargo test --lib two_years -- --nocapture` takes half an
//! hour, looks at all three, and prints the table of `docs/operating.md`.

use std::time::Instant;

use jiff::Timestamp;
use rusqlite::Connection;

use super::*;
use crate::domain::cell::ProbeName;
use crate::domain::observation::{Phases, Purpose};
use crate::domain::plan::Keep;
use crate::domain::secret::Secrets;
use crate::domain::verdict::Maker;
use crate::store::history::History;
use crate::store::note::{Body, Note, Run};

const DAYS: i64 = 730;
/// Counts by day end at this age.
const COUNTED: i64 = 400;
/// What an incident and its message take at most.
const INCIDENT_BYTES: u64 = 1_536;
/// Each thirty days it is looked at.
const LOOK: i64 = 30;
const DAY: Duration = Duration::from_secs(86_400);

fn cell(number: u64) -> CellKey {
    CellKey {
        probe: format!("probe-{}", number / 20).as_str().into(),
        egress: format!("egress-{}", number % 4).as_str().into(),
        client: format!("client-{}", number / 4 % 5).as_str().into(),
        credential: "anonymous".into(),
    }
}

/// For half an hour each day one client is refused, with a page of its own each time.
fn run(number: u64, at: Timestamp) -> (Note, Option<Body>) {
    let blocked = at.as_second() % 86_400 / 1_800 == 20 && (number / 4).is_multiple_of(5);
    let sha256 = format!("{:064x}", at.as_second() as u64 * 1_000 + number);
    let took = Duration::from_millis(40 + (at.as_second() as u64 + number * 7) % 60);
    let run = Run {
        cell: cell(number),
        at,
        purpose: Purpose::Schedule,
        late: Duration::from_micros(300),
        took,
        phases: Phases {
            connect: Some(took / 4),
            tls: Some(took / 4),
            first_byte: Some(took / 2),
            ..Phases::default()
        },
        kind: if blocked { Kind::EdgeBlock } else { Kind::Pass },
        maker: Maker::Unknown,
        status: Some(if blocked { 403 } else { 200 }),
        remote: Some("192.0.2.7:443".parse().unwrap()),
        failure: None,
        vendor: blocked.then(|| "cloudflare".to_owned()),
        rule: None,
        code: blocked.then(|| "1010".to_owned()),
        reference_id: blocked.then(|| sha256[..16].to_owned()),
        body_sha256: blocked.then(|| sha256.clone()),
        sent: None,
    };
    let body = blocked.then(|| Body {
        bytes: page(&sha256),
        sha256,
        at,
    });
    (Note::Run(Box::new(run)), body)
}

fn page(ray: &str) -> bytes::Bytes {
    let words = "<p>The owner of this website has banned your access based on your browser's signature.</p>\n";
    format!("<html>{}<p>Ray ID: {ray}</p></html>", words.repeat(20)).into()
}

/// The incident of a day, over since.
fn incident(day: i64, now: Timestamp) -> Change {
    let mut change = change(day as u64 + 1, "api.partner.example:443");
    change.incident.state = State::Resolved;
    change.incident.opened_at = now;
    change.incident.resolved_at = Some(now);
    change
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}

/// What a page, `status` and `export` ask.
fn ask(path: &std::path::Path, now: Timestamp) -> Vec<(&'static str, Duration)> {
    let reader = Store::read_only(path).unwrap();
    let probe: ProbeName = "probe-0".into();
    let back = |days: u32| now.checked_sub(DAY * days).unwrap();
    let mut took = Vec::new();
    let mut time = |name, work: &mut dyn FnMut() -> usize| {
        let began = Instant::now();
        let found = work();
        assert!(found > 0, "{name} found nothing");
        took.push((name, began.elapsed()));
    };
    time("last 50 runs of a cell", &mut || {
        let mut seen = 0;
        let enough = |_| {
            seen += 1;
            if seen < 50 {
                std::ops::ControlFlow::Continue(())
            } else {
                std::ops::ControlFlow::Break(())
            }
        };
        reader.runs(&[cell(1)], back(2), now, enough).unwrap();
        seen
    });
    time("hours of a month", &mut || {
        reader.probe_hours(&probe, back(30), now).unwrap().len()
    });
    time("days of a year", &mut || {
        reader.cell_days(&cell(1), back(365), now).unwrap().len()
    });
    time("newest 50 incidents", &mut || {
        reader.list(50).unwrap().len()
    });
    took
}

/// A figure of the environment, or as many as a usual run has time for.
fn asked(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn two_years_stay_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edgewatch.db");
    let (cells, every) = (asked("YEARS_CELLS", 10), asked("YEARS_EVERY", 7_200));
    let policy = StorePolicy {
        path: path.clone(),
        group: None,
        keep: Keep::for_runs(30 * DAY),
        bytes_max: 2 << 30,
    };
    let mut connection: Connection = open::open(&path, &policy).unwrap().connection;
    let mut history = History::new(policy);
    let began = Instant::now();
    // It ends now, as some of what reads asks the clock.
    let start = crate::clock::now().as_second() / 86_400 - DAYS;
    let mut looks = Vec::new();
    println!("{cells} cells every {every} s");
    for day in 0..DAYS {
        let midnight = (start + day) * 86_400;
        for second in (0..86_400).step_by(every as usize) {
            let now = Timestamp::from_second(midnight + second).unwrap();
            let batch: Vec<_> = (0..cells).map(|number| run(number, now)).collect();
            history
                .write(&mut connection, &batch, &Secrets::default())
                .unwrap();
            history.tidy(&mut connection, now).unwrap();
            while history.count(&mut connection, now).unwrap() {}
        }
        let night = Timestamp::from_second(midnight + 86_399).unwrap();
        writer::durably(&mut connection, |t| {
            incidents::put(t, &incident(day, night))
        })
        .unwrap();
        if day % LOOK == LOOK - 1 || day == DAYS - 1 {
            let bytes = std::fs::metadata(&path).unwrap().len();
            let (memory, asked) = (resident(), ask(&path, night));
            let said: Vec<String> = asked
                .iter()
                .map(|(_, took)| format!("{:.1} ms", took.as_secs_f64() * 1e3))
                .collect();
            println!(
                "| {} | {} MiB | {} MiB | {} | ({:.0} s)",
                day + 1,
                bytes >> 20,
                memory >> 20,
                said.join(" | "),
                began.elapsed().as_secs_f64()
            );
            looks.push((bytes, memory, asked));
        }
    }
    let last = &looks[looks.len() - 1];
    let full = &looks[(COUNTED / LOOK) as usize];
    // Then it grows by its incidents alone, one a day.
    let more = (DAYS - COUNTED) as u64 * INCIDENT_BYTES;
    assert!(
        last.0 < full.0 + more,
        "{} bytes, {} when no more days were counted",
        last.0,
        full.0
    );
    if std::env::var_os("YEARS_CELLS").is_none() {
        return;
    }
    // Where runs are many, half a year is nearly all that it grows to.
    let early = &looks[5];
    assert!(
        last.0 < early.0 * 5 / 4,
        "{} bytes, {} before",
        last.0,
        early.0
    );
    assert!(
        last.1 < early.1 * 5 / 4 + (16 << 20),
        "{} resident, {} before",
        last.1,
        early.1
    );
    for ((name, before), (_, after)) in early.2.iter().zip(&last.2) {
        let most = *before * 4 + Duration::from_millis(20);
        assert!(*after < most, "{name}: {after:?}, {before:?} before");
    }
}
