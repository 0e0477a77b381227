//! What is kept: round trips, retention, damage, two processes, write failures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use edgewatch::domain::change::{Change, VerdictChange};
use edgewatch::domain::incident::{Happening, State, TimelineEntry};
use edgewatch::domain::notification::Reason;
use edgewatch::domain::observation::{
    Answer, Body, HttpVersion, Observation, Phases, Purpose, Route,
};
use edgewatch::domain::plan::{Keep, StorePolicy};
use edgewatch::domain::secret::{Secret, Secrets};
use edgewatch::domain::verdict::{Kind, Maker, Verdict};
use edgewatch::store::{Progress, Store, StoreError};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::samples::{any_incident, any_notification, at, cases, change, fresh, incident, text};

const DAY: Duration = Duration::from_secs(86_400);

fn policy(path: &Path) -> StorePolicy {
    StorePolicy {
        group: None,
        path: path.to_owned(),
        keep: edgewatch::domain::plan::Keep::for_runs(7 * DAY),
        bytes_max: 64 << 20,
    }
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("edgewatch.sqlite")
}

fn open(path: &Path) -> Store {
    let opened = Store::open(path, &policy(path)).unwrap();
    assert_eq!(opened.warnings, Vec::<String>::new());
    opened.store
}

fn refusal(path: &Path) -> String {
    let message = Store::open(path, &policy(path)).unwrap_err().to_string();
    let folder = path.parent().unwrap().display().to_string();
    message.replace(&folder, "DIR")
}

fn count(path: &Path, sql: &str) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// A run of `client` at `started_at` that got `status` and this body.
fn observation(client: &str, started_at: Timestamp, status: u16, body: &str) -> Observation {
    let hash = Sha256::digest(body.as_bytes());
    let hex: Vec<String> = hash.iter().map(|b| format!("{b:02x}")).collect();
    let sha256 = hex.concat();
    Observation {
        cell: edgewatch::domain::cell::CellKey {
            probe: "gmc-connect".into(),
            egress: "legacy-prod".into(),
            client: client.into(),
            credential: "anonymous".into(),
        },
        purpose: Purpose::Schedule,
        due_at: started_at - Duration::from_millis(4),
        started_at,
        took: Duration::from_millis(182),
        phases: Phases {
            dns: Some(Duration::from_micros(1_500)),
            ..Phases::default()
        },
        route: Route {
            remote: Some("192.0.2.7:443".parse().unwrap()),
            ..Route::default()
        },
        tls: None,
        sent: None,
        hops: vec![],
        answer: Some(Answer {
            http: HttpVersion::H1_1,
            status,
            headers: vec![],
            body: Body {
                bytes: Bytes::copy_from_slice(body.as_bytes()),
                sha256,
                ..Body::default()
            },
        }),
        failure: None,
    }
}

fn pass() -> Verdict {
    Verdict::new(Kind::Pass, Maker::Origin)
}

fn block() -> Verdict {
    Verdict {
        vendor: "cloudflare".into(),
        code: Some("1010".into()),
        reference_id: Some("84f1c2d3e4f5a6b7".into()),
        ..Verdict::new(Kind::EdgeBlock, Maker::Edge)
    }
}

/// A run that an edge refused, and what it means.
pub(crate) fn blocked_run() -> (Observation, Verdict) {
    (
        observation("c", at("2021-02-28T02:14:00Z"), 403, "error code: 1010"),
        block(),
    )
}

/// What is committed is what is read, whatever it is, by the daemon and by a command beside it.
#[test]
fn incidents_and_notifications_come_back_as_they_were() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&file(&folder));
    let reader = Store::read_only(&file(&folder)).unwrap();
    let numbers = std::cell::Cell::new(0);
    proptest!(cases(48), |(seed: u64, line in text())| {
        let number = numbers.get() + 1;
        numbers.set(number);
        let mut runner = TestRunner::new_with_rng(
            cases(1),
            proptest::test_runner::TestRng::from_seed(
                proptest::test_runner::RngAlgorithm::ChaCha,
                &[seed.to_le_bytes(); 4].concat(),
            ),
        );
        let incident = any_incident(number).new_tree(&mut runner).unwrap().current();
        let due = any_notification(number).new_tree(&mut runner).unwrap().current();
        let change = Change {
            timeline: vec![TimelineEntry { at: incident.opened_at, what: Happening::ExtraRun, text: line }],
            notifications: vec![due.clone()],
            incident,
        };
        runtime.block_on(store.commit(change.clone())).unwrap();
        let shown = runtime.block_on(store.show(number)).unwrap().unwrap();
        prop_assert_eq!(&shown.incident, &change.incident);
        prop_assert_eq!(&shown.timeline, &change.timeline);
        prop_assert_eq!(&shown.deliveries[0].notification, &due);
        prop_assert_eq!(reader.show(number).unwrap().unwrap(), shown);
    });
}

#[tokio::test]
async fn a_change_committed_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&file(&folder));
    let change = change(1, vec![fresh(1, Reason::Opened, 0, "engineers")]);
    for _ in 0..2 {
        store.commit(change.clone()).await.unwrap();
    }
    let shown = store.show(1).await.unwrap().unwrap();
    assert_eq!((shown.timeline.len(), shown.deliveries.len()), (1, 1));
    assert_eq!(shown.deliveries[0].progress, Progress::Pending);
}

#[tokio::test]
async fn a_start_finds_open_incidents_and_those_just_resolved() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&file(&folder));
    let now = edgewatch::clock::now();
    for (number, resolved_at) in [
        (1, None),
        (2, Some(now - Duration::from_secs(3600))),
        (3, Some(now - 2 * DAY)),
    ] {
        let mut change = change(number, vec![]);
        change.incident.resolved_at = resolved_at;
        if resolved_at.is_some() {
            change.incident.state = State::Resolved;
        }
        store.commit(change).await.unwrap();
    }
    let open = store.load_open().await.unwrap();
    let numbers: Vec<u64> = open.incidents.iter().map(|i| i.number).collect();
    assert_eq!(
        (numbers, open.next_number, open.warnings),
        (vec![1, 2], 4, vec![])
    );
    let listed: Vec<u64> = store
        .incidents(None, 2)
        .await
        .unwrap()
        .iter()
        .map(|i| i.number)
        .collect();
    assert_eq!(listed, [3, 2]);
    assert_eq!(store.show(9).await.unwrap(), None);
}

/// The files as they lie while the daemon runs are what a kill leaves.
#[tokio::test]
async fn what_was_committed_survives_a_kill() {
    let (folder, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(&file(&folder));
    store
        .commit(change(1, vec![fresh(1, Reason::Opened, 0, "engineers")]))
        .await
        .unwrap();
    for ending in ["", "-wal"] {
        let name = format!("edgewatch.sqlite{ending}");
        std::fs::copy(folder.path().join(&name), killed.path().join(&name)).unwrap();
    }
    let after = open(&file(&killed));
    assert_eq!(after.load_open().await.unwrap().incidents, [incident(1)]);
    assert_eq!(after.undelivered().await.unwrap().len(), 1);
}

/// Every write of a commit fails once: each time nothing of it is there, and in the end all of it.
#[tokio::test]
async fn a_commit_is_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&file(&folder));
    let saboteur = Connection::open(file(&folder)).unwrap();
    saboteur
        .execute_batch("CREATE TABLE fuse (writes INTEGER); INSERT INTO fuse VALUES (0);")
        .unwrap();
    for table in ["incidents", "timeline", "outbox"] {
        saboteur
            .execute_batch(&format!(
                "CREATE TRIGGER fuse_{table} BEFORE INSERT ON {table} BEGIN
                     UPDATE fuse SET writes = writes - 1;
                     SELECT RAISE(ABORT, 'the fuse blew') FROM fuse WHERE writes = 0;
                 END"
            ))
            .unwrap();
    }
    let mut change = change(
        1,
        vec![
            fresh(1, Reason::Opened, 0, "engineers"),
            fresh(1, Reason::Opened, 1, "support"),
        ],
    );
    change.timeline.push(TimelineEntry {
        at: at("2021-02-28T02:16:00Z"),
        what: Happening::Cells,
        text: "another cell".into(),
    });
    let mut failed = 0;
    for nth in 1.. {
        saboteur
            .execute("UPDATE fuse SET writes = ?", [nth])
            .unwrap();
        match store.commit(change.clone()).await {
            Ok(()) => break,
            Err(error) => {
                assert!(error.to_string().contains("the fuse blew"), "{error}");
                assert_eq!(store.show(1).await.unwrap(), None, "write {nth}");
                assert!(store.undelivered().await.unwrap().is_empty(), "write {nth}");
                assert!(store.health().failing_since.is_some());
                failed += 1;
            }
        }
    }
    assert_eq!(failed, 5, "one incident, two entries, two notifications");
    let shown = store.show(1).await.unwrap().unwrap();
    assert_eq!((shown.timeline.len(), shown.deliveries.len()), (2, 2));
    assert_eq!(store.health().failing_since, None);
}

#[tokio::test]
async fn runs_are_kept_by_day_and_bodies_of_failures_once() {
    let folder = crate::kept::folder();
    let path = file(&folder);
    let store = open(&path);
    store.mask(Secrets::of([Secret::new("hunter22")]));
    let today = edgewatch::clock::now();
    let page = "<h1>Access denied</h1> for hunter22";
    for started_at in [today - DAY, today] {
        store.record(&observation("old", started_at, 403, page), &block());
        store.record(&observation("new", started_at, 200, "fine"), &pass());
    }
    store.note_verdict(&VerdictChange {
        cell: observation("old", today, 403, "").cell,
        at: today,
        from: Some(Kind::Pass),
        to: Kind::EdgeBlock,
    });
    store.flush().await.unwrap();
    let days = "FROM sqlite_schema WHERE type = 'table' AND name GLOB 'observations_*'";
    assert_eq!(count(&path, &format!("SELECT count(*) {days}")), 2);
    assert_eq!(count(&path, "SELECT count(*) FROM cells"), 2);
    assert_eq!(count(&path, "SELECT count(*) FROM bodies"), 1);
    assert_eq!(
        count(
            &path,
            "SELECT count(*) FROM verdict_changes WHERE from_kind = 'pass' AND to_kind = 'edge_block'"
        ),
        1
    );
    let table = today
        .to_zoned(jiff::tz::TimeZone::UTC)
        .strftime("observations_%Y%m%d")
        .to_string();
    let row: (i64, i64, i64, String, i64, String, String, bool) = Connection::open(&path)
        .unwrap()
        .query_row(
            &format!("SELECT late_us, took_us, dns_us, remote, status, kind, reference_id, body_sha256 IS NOT NULL FROM {table} WHERE kind <> 'pass'"),
            [],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?, r.get(6)?, r.get(7)?)),
        )
        .unwrap();
    let expected = (
        4_000,
        182_000,
        1_500,
        "192.0.2.7:443",
        403,
        "edge_block",
        "84f1c2d3e4f5a6b7",
        true,
    );
    assert_eq!(
        (
            row.0,
            row.1,
            row.2,
            row.3.as_str(),
            row.4,
            row.5.as_str(),
            row.6.as_str(),
            row.7
        ),
        expected
    );
    let deflated: Vec<u8> = Connection::open(&path)
        .unwrap()
        .query_row("SELECT deflated FROM bodies", [], |row| row.get(0))
        .unwrap();
    let mut body = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::DeflateDecoder::new(&*deflated),
        &mut body,
    )
    .unwrap();
    assert_eq!(body, "<h1>Access denied</h1> for [secret]");
}

#[tokio::test]
async fn old_days_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let store = open(&path);
    let today = edgewatch::clock::now();
    for days in 0..12 {
        store.record(
            &observation("old", today - days * DAY, 403, &format!("page {days}")),
            &block(),
        );
    }
    store.flush().await.unwrap();
    store.close().await;
    open(&path).close().await;
    let tables =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name GLOB 'observations_*'";
    // Seven days back, and the day in which the seventh began.
    assert_eq!(count(&path, tables), 8);
    assert_eq!(count(&path, "SELECT count(*) FROM bodies"), 7);
}

#[tokio::test]
async fn the_file_stays_below_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let bytes_max = 2 << 20;
    let policy = StorePolicy {
        bytes_max,
        ..policy(&path)
    };
    let store = Store::open(&path, &policy).unwrap().store;
    store.commit(change(1, vec![])).await.unwrap();
    let today = edgewatch::clock::now();
    let mut recorded = 0;
    for days in [2, 1, 0] {
        for batch in 0..10 {
            for run in 0..1_000 {
                let body = format!("denied {}", "x".repeat(run % 50));
                let started_at =
                    today - days * DAY + Duration::from_millis(batch * 1_000 + run as u64);
                store.record(&observation("old", started_at, 403, &body), &block());
                recorded += 1;
            }
            store.flush().await.unwrap();
        }
    }
    assert_eq!(store.health().dropped_rows, 0);
    store.close().await;
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes <= bytes_max, "{bytes}");
    let table = today
        .to_zoned(jiff::tz::TimeZone::UTC)
        .strftime("observations_%Y%m%d")
        .to_string();
    let kept = count(&path, &format!("SELECT count(*) FROM {table}"));
    assert!(
        kept > 3_000 && kept < recorded,
        "{kept}: the newest are there"
    );
    assert_eq!(
        count(&path, "SELECT count(*) FROM incidents"),
        1,
        "incidents are not history"
    );
}

/// However fast they come, each run is either kept or counted as dropped.
#[tokio::test]
async fn runs_beyond_the_queue_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let store = open(&path);
    let observation = observation("old", edgewatch::clock::now(), 200, "fine");
    let all = 40_000;
    for _ in 0..all {
        store.record(&observation, &pass());
    }
    store.flush().await.unwrap();
    let dropped = store.health().dropped_rows as i64;
    assert!(dropped > 0, "the queue has a bound");
    let table = observation
        .started_at
        .to_zoned(jiff::tz::TimeZone::UTC)
        .strftime("observations_%Y%m%d")
        .to_string();
    assert_eq!(
        count(&path, &format!("SELECT count(*) FROM {table}")) + dropped,
        all
    );
}

#[tokio::test]
async fn one_daemon_for_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let store = open(&path);
    assert_eq!(
        refusal(&path),
        "DIR/edgewatch.sqlite is in use by another edgewatch process; stop that one, or give this one another `store.path`"
    );
    store.close().await;
    open(&path).close().await;
    assert!(matches!(
        store.commit(change(1, vec![])).await,
        Err(StoreError::Closed)
    ));
}

#[test]
fn refuses_what_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let not_ours = "DIR/edgewatch.sqlite is not a store of edgewatch and is left as it is; set another `store.path`";
    std::fs::write(&path, "version: 1\nservice: GMC\n").unwrap();
    assert_eq!(refusal(&path), not_ours);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "version: 1\nservice: GMC\n"
    );

    std::fs::remove_file(&path).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    assert_eq!(refusal(&path), not_ours);

    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(refusal(&path), not_ours);
}

#[tokio::test]
async fn refuses_a_file_of_a_newer_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    open(&path).close().await;
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let message = "DIR/edgewatch.sqlite was written by a newer edgewatch (format 99, this one knows up to 14); run that version, or put back a copy from before that one ran (`edgewatch store backup`), or set another `store.path`";
    assert_eq!(refusal(&path), message);
    assert!(matches!(
        Store::read_only(&path),
        Err(StoreError::Newer { .. })
    ));
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 0)
        .unwrap();
    assert!(matches!(
        Store::read_only(&path),
        Err(StoreError::Older { .. })
    ));
}

/// What is brought up to date is kept as it was, and whoever goes back to an older version is told how.
#[tokio::test]
async fn a_downgrade_is_told_the_way_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let store = open(&path);
    store.commit(change(7, vec![])).await.unwrap();
    store.close().await;
    let set = |format: i64| {
        let connection = Connection::open(&path).unwrap();
        connection
            .pragma_update(None, "user_version", format)
            .unwrap();
    };
    // What the newest step brought is not there yet.
    Connection::open(&path)
        .unwrap()
        .execute_batch("ALTER TABLE storm_members DROP COLUMN service")
        .unwrap();
    set(12);
    let store = open(&path);
    store.commit(change(8, vec![])).await.unwrap();
    store.close().await;
    set(99);
    let message = "DIR/edgewatch.sqlite was written by a newer edgewatch (format 99, this one knows up to 14); run that version, or go back to what it was before that, without what was kept since: rm -f DIR/edgewatch.sqlite-wal DIR/edgewatch.sqlite-shm && mv DIR/edgewatch.sqlite.format-12 DIR/edgewatch.sqlite";
    assert_eq!(refusal(&path), message);
    let text = Store::read_only(&path).unwrap_err().to_string();
    let (_, command) = text.split_once("since: ").unwrap();
    let done = std::process::Command::new("sh")
        .args(["-c", command])
        .status();
    assert!(done.unwrap().success());
    let store = open(&path);
    let found = store.load_open().await.unwrap();
    assert_eq!(found.next_number, 8);
    store.close().await;
}

/// A file of the first format is brought up to date and keeps what it has.
#[tokio::test]
async fn an_older_file_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let store = open(&path);
    store.commit(change(7, vec![])).await.unwrap();
    store.close().await;
    Connection::open(&path)
        .unwrap()
        .execute_batch("DROP TABLE storm_members; DROP TABLE storms; DROP TABLE marks; DROP TABLE notes; DROP TABLE surroundings; DROP TABLE silences; DROP TABLE asks; PRAGMA user_version = 1")
        .unwrap();
    let store = open(&path);
    assert!(store.show(7).await.unwrap().is_some());
    assert_eq!(store.open_incidents().await.unwrap(), 1);
    let support = edgewatch::domain::cell::ReceiverName::new("support");
    let mark = store.mark(&support, edgewatch::store::Mark::AllIsWell);
    assert_eq!(mark.await.unwrap(), None);
    store.close().await;
}

#[test]
fn says_where_it_can_not_write() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let message = refusal(&missing.join("edgewatch.sqlite"));
    assert_eq!(
        message,
        "can't write in DIR: No such file or directory (os error 2); create the folder, give this user the right to write in it, or set another `store.path`"
    );
    std::fs::write(&missing, "a file").unwrap();
    let message = refusal(&missing.join("edgewatch.sqlite"));
    assert!(message.starts_with("can't write in DIR: "), "{message}");
    let missing = Store::read_only(&folder.path().join("none")).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let store = open(&path);
    for number in 1..50 {
        store.commit(change(number, vec![])).await.unwrap();
    }
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    for byte in bytes.iter_mut().skip(4_096) {
        *byte = 0xA5;
    }
    std::fs::write(&path, &bytes).unwrap();

    let opened = Store::open(&path, &policy(&path)).unwrap();
    assert_eq!(opened.warnings.len(), 1);
    assert!(
        opened.warnings[0].contains("is damaged"),
        "{:?}",
        opened.warnings
    );
    assert!(
        opened.warnings[0].contains("edgewatch.sqlite.corrupt-"),
        "{:?}",
        opened.warnings
    );
    assert_eq!(opened.store.load_open().await.unwrap().next_number, 1);
    opened.store.commit(change(1, vec![])).await.unwrap();
    let aside = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.display().to_string().contains(".corrupt-"))
        .unwrap();
    // Opening may touch the counters in the header, and nothing else.
    let kept = std::fs::read(aside).unwrap();
    assert!(kept[4_096..] == bytes[4_096..], "something of it is lost");
}

#[tokio::test]
async fn a_document_that_can_not_be_read_does_not_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let store = open(&path);
    store
        .commit(change(1, vec![fresh(1, Reason::Opened, 0, "engineers")]))
        .await
        .unwrap();
    store.commit(change(2, vec![])).await.unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("UPDATE incidents SET document = replace(document, 'edge_block', 'edge_blonk') WHERE number = 1;
             UPDATE outbox SET version = 9;")
        .unwrap();
    let open = store.load_open().await.unwrap();
    assert_eq!(open.incidents.len(), 1);
    assert_eq!(open.next_number, 3);
    assert!(
        open.warnings[0].contains("\"edge_blonk\" is no word of this version"),
        "{:?}",
        open.warnings
    );
    // The notification is given up, so that those after it get through.
    let due = store
        .due(&edgewatch::domain::cell::ReceiverName::new("engineers"))
        .await
        .unwrap();
    assert!(due.is_empty());
    assert_eq!(
        count(&path, "SELECT count(*) FROM outbox WHERE state = 'dead'"),
        1
    );
}

#[tokio::test]
async fn files_are_made_for_this_user_alone_and_never_through_a_link_to_nothing() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let store = open(&path);
    for part in ["", "-wal", "-shm", ".lock"] {
        let part = PathBuf::from(format!("{}{part}", path.display()));
        let mode = std::fs::metadata(&part).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", part.display());
    }
    store.close().await;

    for part in ["", ".lock"] {
        let other = tempfile::tempdir().unwrap();
        let path = file(&other);
        let target = other.path().join("elsewhere");
        symlink(&target, format!("{}{part}", path.display())).unwrap();
        let refused = refusal(&path);
        assert!(
            refused.contains("is a link that leads to nothing"),
            "{refused}"
        );
        assert!(!target.exists(), "made through a link");
    }

    // One that is there may be reached through a link, as mounted volumes are.
    let linked = folder.path().join("linked.sqlite");
    symlink(&path, &linked).unwrap();
    open(&linked).close().await;
    // A pipe, which would hold us up.
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(refusal(&pipe).contains("is not a store of edgewatch"));
}

#[tokio::test]
async fn a_group_may_read_the_store_where_the_file_says_so() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let group = nix::unistd::Group::from_gid(nix::unistd::getgid())
        .unwrap()
        .unwrap();
    let shared = StorePolicy {
        group: Some(group.name),
        ..policy(&path)
    };
    let opened = Store::open(&path, &shared).unwrap();
    assert_eq!(opened.warnings, Vec::<String>::new());
    for part in ["", "-wal", "-shm"] {
        let found = std::fs::metadata(format!("{}{part}", path.display())).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o640, "{part}");
        assert_eq!(found.gid(), group.gid.as_raw());
    }
    opened.store.close().await;
    let unknown = StorePolicy {
        group: Some("nobody-has-this-group".to_owned()),
        ..policy(&path)
    };
    let opened = Store::open(&path, &unknown).unwrap();
    assert!(
        opened.warnings[0].contains("this host has no such group"),
        "{:?}",
        opened.warnings
    );
    opened.store.close().await;
}

/// Incidents that are over go at their age, with all that hangs on them; the newest stays, or its number came again.
#[tokio::test]
async fn each_kind_is_kept_for_its_own_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let store = open(&path);
    for number in 1..=3 {
        store.commit(change(number, vec![])).await.unwrap();
    }
    store.close().await;
    let old = (jiff::Timestamp::now().as_microsecond() - 3 * 86_400_000_000).to_string();
    Connection::open(&path)
        .unwrap()
        .execute_batch(&format!(
            "UPDATE incidents SET state = 'resolved', resolved_us = {old};
             UPDATE incidents SET state = 'open', resolved_us = NULL WHERE number = 1"
        ))
        .unwrap();
    let keep = Keep {
        incidents: Some(2 * DAY),
        ..Keep::for_runs(DAY)
    };
    let policy = StorePolicy {
        keep,
        ..policy(&path)
    };
    let store = Store::open(&path, &policy).unwrap().store;
    // Who writes tidies up before it takes anything.
    store.commit(change(1, vec![])).await.unwrap();
    let left = store.incidents(None, 10).await.unwrap();
    let left: Vec<u64> = left.iter().map(|incident| incident.number).collect();
    assert_eq!(left, [3, 1]);
    assert_eq!(store.load_open().await.unwrap().next_number, 4);
    store.close().await;
}

/// Both beside a store that is open, as the daemon has it; and alone, when all of it is written anew.
#[tokio::test]
async fn a_store_is_checked_and_compacted_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let store = open(&path);
    let now = jiff::Timestamp::now();
    for number in 0..3_000 {
        let at = now - Duration::from_millis(number);
        let run = observation(&format!("client-{}", number % 7), at, 200, "");
        store.record(&run, &pass());
    }
    store.commit(change(1, vec![])).await.unwrap();
    store.flush().await.unwrap();
    let reader = Store::read_only(&path).unwrap();
    let found = reader.check().unwrap();
    assert_eq!((found.faults.len(), found.incidents), (0, 1));
    assert!(found.days >= 1 && found.cells == 7, "{found:?}");

    let filled = "CREATE TABLE ballast (x); INSERT INTO ballast
        WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT zeroblob(8192) FROM n;
        DROP TABLE ballast";
    Connection::open(&path)
        .unwrap()
        .execute_batch(filled)
        .unwrap();
    let free = reader.check().unwrap().free_bytes;
    assert!(free > 3 << 20, "{free} bytes are free");
    let done = Store::hand(&path).unwrap().compact().unwrap();
    assert!(!done.whole, "a daemon has it");
    assert!(done.bytes_before - done.bytes_after >= free, "{done:?}");
    store.commit(change(2, vec![])).await.unwrap();
    let found = reader.check().unwrap();
    assert_eq!(
        (found.faults.len(), found.incidents, found.free_bytes),
        (0, 2, 0)
    );
    drop(reader);
    store.close().await;

    let done = Store::hand(&path).unwrap().compact().unwrap();
    assert!(
        done.whole && done.bytes_after <= done.bytes_before,
        "{done:?}"
    );
    let store = open(&path);
    assert_eq!(store.load_open().await.unwrap().next_number, 3);
    store.close().await;

    // A reference that leads nowhere is a fault, and so is a document that nobody can read.
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "PRAGMA foreign_keys = OFF;
             INSERT INTO timeline (incident, at, at_us, what, text) VALUES (77, '', 0, 'note', '');
             UPDATE incidents SET document = '{}' WHERE number = 2",
        )
        .unwrap();
    let faults = Store::read_only(&path).unwrap().check().unwrap().faults;
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert_eq!(
        faults[0],
        "a row of timeline names one of incidents that is not there"
    );
    assert!(faults[1].starts_with("INC-2 can't be read: "), "{faults:?}");
}
