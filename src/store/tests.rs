//! A disk that is full, which only the writer's own connection can play.

mod years;

use std::time::Duration;

use super::*;
use crate::domain::cell::CellKey;
use crate::domain::diagnosis::{Cause, Diagnosis};
use crate::domain::incident::{Incident, State, Subject, Telling};
use crate::domain::spells::Spells;
use crate::domain::verdict::Kind;

pub(super) fn change(number: u64, text: &str) -> Change {
    let now = crate::clock::now();
    Change {
        incident: Incident {
            number,
            state: State::Open,
            subject: Subject::Host(text.to_owned()),
            onset_at: now,
            opened_at: now,
            resolved_at: None,
            spells: Spells::default(),
            earlier: Vec::new(),
            ways: Vec::new(),
            reopened: 0,
            reopened_at: None,
            rhythm_since: None,
            last_good_at: None,
            probes: vec![],
            kind: Kind::Timeout,
            diagnosis: Diagnosis {
                cause: Cause::Everything,
                confidence: 0.5,
                fails: None,
                failing: vec![],
                passing: vec![],
                ruled_out: vec![],
                would_tell: None,
                split: None,
            },
            cells: vec![],
            failing: None,
            passing: None,
            beside: Vec::new(),
            acknowledged: None,
            reference_ids: vec![],
            failed_runs: 0,
            extra_runs: 0,
            told: 0,
            reminded: 0,
            last_told_at: None,
            left: Vec::new(),
            told_receivers: vec![],
            telling: Telling::default(),
        },
        timeline: vec![],
        notifications: vec![],
    }
}

fn verdict_change(number: usize) -> VerdictChange {
    VerdictChange {
        cell: CellKey {
            probe: format!("probe-{number}").as_str().into(),
            egress: "e".into(),
            client: "c".into(),
            credential: "anonymous".into(),
        },
        at: crate::clock::now(),
        from: None,
        to: Kind::Timeout,
    }
}

async fn pages_max(store: &Store, pages: i64) {
    store
        .call("set", move |connection| {
            connection.pragma_update(None, "max_page_count", pages)
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_and_writing_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let policy = StorePolicy {
        group: None,
        path: path.clone(),
        keep: crate::domain::plan::Keep::for_runs(Duration::from_secs(86_400)),
        bytes_max: 64 << 20,
    };
    let store = Store::open(&path, &policy).unwrap().store;
    // As many pages as there are, and no more.
    pages_max(&store, 1).await;
    let large = "x".repeat(200_000);
    let error = store.commit(change(1, &large)).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    for number in 0..2_000 {
        store.note_verdict(&verdict_change(number));
    }
    assert!(store.flush().await.is_err());
    let health = store.health();
    assert!(health.failing_since.is_some());
    assert_eq!(health.queued_rows, 2_000, "nothing was lost yet");
    assert!(health.last_error.unwrap().starts_with("the disk with "));
    // Reading goes on.
    assert_eq!(store.load_open().await.unwrap().next_number, 1);

    pages_max(&store, i64::from(i32::MAX)).await;
    store.commit(change(1, &large)).await.unwrap();
    assert_eq!(store.health().failing_since, None);
    store.flush().await.unwrap();
    let kept: i64 = store
        .call("count", |c| {
            c.query_row("SELECT count(*) FROM verdict_changes", [], |row| row.get(0))
        })
        .await
        .unwrap();
    assert_eq!(kept, 2_000);
}

#[tokio::test]
async fn a_commit_is_synced_and_history_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let policy = StorePolicy {
        group: None,
        path: path.clone(),
        keep: crate::domain::plan::Keep::for_runs(Duration::from_secs(86_400)),
        bytes_max: 64 << 20,
    };
    let store = Store::open(&path, &policy).unwrap().store;
    let level = |connection: &Connection| -> i64 {
        connection
            .query_row("PRAGMA synchronous", [], |row| row.get(0))
            .unwrap()
    };
    let inside = store
        .write("look", move |transaction| {
            Ok::<_, Fault>(level(transaction))
        })
        .await
        .unwrap();
    let outside = store
        .call("look", move |connection| Ok::<_, Fault>(level(connection)))
        .await;
    assert_eq!((inside, outside.unwrap()), (2, 1), "FULL and NORMAL");
    let journal: String = store
        .call("look", |c| {
            c.query_row("PRAGMA journal_mode", [], |r| r.get(0))
        })
        .await
        .unwrap();
    assert_eq!(journal, "wal");
}

#[tokio::test]
async fn pages_are_read_while_the_writer_is_busy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let policy = StorePolicy {
        group: None,
        path: path.clone(),
        keep: crate::domain::plan::Keep::for_runs(Duration::from_secs(86_400)),
        bytes_max: 64 << 20,
    };
    let store = Store::open(&path, &policy).unwrap().store;
    for number in 1..=5 {
        store.commit(change(number, "h.example")).await.unwrap();
    }
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let busy = {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .call("wait", move |_| {
                    let _ = wait.recv();
                    Ok::<_, Fault>(())
                })
                .await
        })
    };
    let numbers = async |below| -> Vec<u64> {
        let page = store.incidents(below, 2).await.unwrap();
        page.iter().map(|incident| incident.number).collect()
    };
    assert_eq!(numbers(None).await, [5, 4]);
    assert_eq!(numbers(Some(4)).await, [3, 2]);
    assert_eq!(numbers(Some(2)).await, [1]);
    assert!(numbers(Some(1)).await.is_empty());
    let asked = RunsAsked {
        cells: Vec::new(),
        from: jiff::Timestamp::MIN,
        until: jiff::Timestamp::MAX,
        after: None,
        limit: 10,
    };
    let page = store.runs(asked.clone()).await.unwrap();
    assert_eq!((page.runs, page.next), (vec![], None));
    go.send(()).unwrap();
    busy.await.unwrap().unwrap();
    store.close().await;
    assert!(matches!(store.runs(asked).await, Err(StoreError::Closed)));
    assert!(!folder.path().join("store.sqlite-wal").exists());
}

#[tokio::test]
async fn followers_hear_of_what_is_kept_and_of_what_they_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let policy = StorePolicy {
        group: None,
        path: path.clone(),
        keep: crate::domain::plan::Keep::for_runs(Duration::from_secs(86_400)),
        bytes_max: 64 << 20,
    };
    let store = Store::open(&path, &policy).unwrap().store;
    let (mut quick, mut slow) = (store.follow(), store.follow());
    let (first, verdict) = (change(1, "h.example"), verdict_change(1));
    store.commit(first.clone()).await.unwrap();
    store.note_verdict(&verdict);
    for follower in [&mut quick, &mut slow] {
        let heard = follower.next().await.unwrap();
        assert_eq!(heard, Kept::Change(Arc::new(first.clone())));
    }
    assert_eq!(quick.next().await, Some(Kept::Verdict(Arc::new(verdict))));
    // What is not kept is not told.
    pages_max(&store, 1).await;
    let large = change(2, &"x".repeat(200_000));
    store.commit(large.clone()).await.unwrap_err();
    pages_max(&store, i64::from(i32::MAX)).await;
    for number in 0..follow::BEHIND_MAX {
        store.note_verdict(&verdict_change(number));
    }
    // The first verdict change, which it had not read when the line was full.
    assert_eq!(slow.next().await, Some(Kept::Missed(1)));
    assert!(matches!(slow.next().await, Some(Kept::Verdict(_))));
    store.close().await;
    drop(store);
    let mut heard = 0;
    while quick.next().await.is_some() {
        heard += 1;
    }
    assert_eq!(heard, follow::BEHIND_MAX);
}
