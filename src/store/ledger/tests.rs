//! Decisions of one store are the same in another; what a log refuses is none.

use std::sync::{Arc, Mutex};

use super::super::Mark;
use super::super::tests::change;
use super::*;
use crate::domain::cell::ReceiverName;
use crate::domain::incident::{Acknowledged, Care};
use crate::domain::mute::{Ended, Matcher, Silence};
use crate::domain::plan::StorePolicy;
use crate::domain::surroundings::{Learned, Memory, OurSide};
use crate::store::Backlog;

/// A log in memory that refuses once it is told to.
#[derive(Debug, Default)]
struct Written {
    entries: Mutex<Vec<Decided>>,
    refuses: Mutex<bool>,
    lost: Mutex<Vec<String>>,
}

impl Ledger for Written {
    fn append(&self, decided: Decided) -> Result<Place, String> {
        if *self.refuses.lock().unwrap() {
            return Err("another hub leads".to_owned());
        }
        let mut entries = self.entries.lock().unwrap();
        entries.push(decided);
        Ok(place_at(entries.len() as u64))
    }

    fn lost(&self, why: &str) {
        self.lost.lock().unwrap().push(why.to_owned());
    }

    fn may_tell(&self) -> Result<bool, String> {
        let refuses = *self.refuses.lock().unwrap();
        (!refuses).then_some(true).ok_or_else(String::new)
    }
}

fn place_at(sequence: u64) -> Place {
    Place {
        log: "one".to_owned(),
        sequence,
        id: format!("entry {sequence}"),
        epoch: 1,
    }
}

fn opened(folder: &std::path::Path, name: &str) -> Store {
    let policy = StorePolicy {
        path: folder.join(name),
        group: None,
        keep: crate::domain::plan::Keep::for_runs(std::time::Duration::from_secs(86_400)),
        bytes_max: 64 << 20,
    };
    Store::open(&policy.path, &policy).unwrap().store
}

/// Every row of every table of decisions, and how far observations were read.
async fn all(store: &Store) -> Vec<String> {
    let read = |connection: &mut Connection| {
        let mut rows = Vec::new();
        for table in TABLES {
            let (all, _) = columns(connection, table)?;
            let sql = format!("SELECT {} FROM {table}", image(table, true, &all, ""));
            let mut statement = connection.prepare(&sql)?;
            let found = statement.query_map([], |row| row.get::<_, String>(0))?;
            rows.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
        }
        rows.extend(super::read(connection, CARRIED)?);
        Ok::<_, Fault>(rows)
    };
    let mut rows = store.call("read", read).await.unwrap();
    rows.sort();
    rows
}

fn silence() -> Silence {
    let now = crate::clock::now();
    Silence {
        number: 0,
        matcher: Matcher {
            incidents: vec![1],
            ..Matcher::default()
        },
        from: now,
        until: now + jiff::SignedDuration::from_hours(1),
        by: "ann's \"hand\"".to_owned(),
        why: None,
        ended: None,
    }
}

/// All sorts of decisions, by the daemon and beside it.
async fn decide(store: &Store, path: &std::path::Path) {
    let now = crate::clock::now();
    let by = |by: &str| Acknowledged {
        at: now,
        by: by.to_owned(),
    };
    let mut one = change(1, "a.example");
    store.commit(one.clone()).await.unwrap();
    one.incident.failed_runs = 7;
    store
        .commit_all(Backlog {
            changes: vec![one, change(2, "b.example")],
            ..Backlog::default()
        })
        .await
        .unwrap();
    let learned = Learned {
        memory: Memory {
            fronts: Vec::new(),
            ours: Some(OurSide::default()),
            ways: Vec::new(),
        },
        notifications: Vec::new(),
    };
    store.learn(learned).await.unwrap();
    let told = uuid::Uuid::now_v7();
    let outbox = move |transaction: &Transaction<'_>| {
        for delivery in [told, uuid::Uuid::now_v7()] {
            transaction.execute(
                "INSERT OR IGNORE INTO outbox (delivery, incident, sequence, receiver, reason, version, briefing, created_at, not_before)
                 VALUES (?, 1, 1, 'engineers', 'opened', 1, '{\"a\": \"\"}', '', '')",
                [delivery.to_string()],
            )?;
        }
        for ts in ["1.2", "1.3"] {
            transaction.execute(
                "INSERT OR REPLACE INTO threads (incident, receiver, configured, channel, ts) VALUES (1, 'engineers', '#a', 'C1', ?)",
                [ts],
            )?;
        }
        Ok::<_, Fault>(())
    };
    store.write("keep messages", outbox).await.unwrap();
    store.sending(vec![told], now).await.unwrap();
    let receiver = ReceiverName::new("engineers");
    let kept = store.add_silence(silence()).await.unwrap();
    let over = Ended {
        at: now,
        by: "bob".to_owned(),
    };
    store.end_silence(kept.number, over).await.unwrap();
    let ask = store.ask(1, Care::Taken(by("ann"))).await.unwrap();
    store.answer(ask, "acknowledged").await.unwrap();
    let mark = Some((now, "well".to_owned()));
    store
        .set_mark(&receiver, Mark::AllIsWell, mark)
        .await
        .unwrap();
    store
        .set_mark(&receiver, Mark::AllIsWell, None)
        .await
        .unwrap();
    let other = ReceiverName::new("support");
    let mark = Some((now, "trouble".to_owned()));
    store.set_mark(&other, Mark::Trouble, mark).await.unwrap();
    // Commands have a connection of their own.
    let mut hand = Store::hand(path).unwrap();
    hand.add_silence(silence()).unwrap();
    hand.care(2, &Care::Taken(by("eve"))).unwrap();
    store.keep_note(CARRIED, "place 7".to_owned());
    store.pass_on(true).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_decided_in_one_store_is_the_same_in_another() {
    let folder = tempfile::tempdir().unwrap();
    let leader = opened(folder.path(), "leader.sqlite");
    let written = Arc::new(Written::default());
    leader.commit(change(9, "before.example")).await.unwrap();
    leader.lead(written.clone(), true).await.unwrap();
    decide(&leader, &folder.path().join("leader.sqlite")).await;
    let rows = all(&leader).await;
    assert!(rows.len() > 12, "{rows:#?}");
    let entries = written.entries.lock().unwrap().clone();
    assert!(entries.len() > 9 && entries[0].whole);
    assert!(entries.iter().all(|entry| !entry.rows.is_empty()));
    // Nothing was decided since: nothing is written.
    leader.pass_on(true).await.unwrap();
    assert_eq!(written.entries.lock().unwrap().len(), entries.len());

    // Entry by entry, and the last ones again, as after a crash between the two.
    let follower = opened(folder.path(), "follower.sqlite");
    follower
        .commit(change(77, "its.own.example"))
        .await
        .unwrap();
    follower.stand_by("one".to_owned()).await.unwrap();
    for (number, entry) in entries.iter().enumerate() {
        let place = place_at(number as u64 + 1);
        follower.take(vec![entry.clone()], place).await.unwrap();
    }
    for entry in entries.iter().rev().take(2).rev() {
        let place = place_at(entries.len() as u64);
        follower.take(vec![entry.clone()], place).await.unwrap();
    }
    assert_eq!(all(&follower).await, rows);
    let following = follower.stand_by("one".to_owned()).await.unwrap();
    assert_eq!(following.place, Some(place_at(entries.len() as u64)));
    assert!(!following.is_empty);

    // All of it in one.
    leader.write_whole().await.unwrap();
    let whole = written.entries.lock().unwrap().last().unwrap().clone();
    let third = opened(folder.path(), "third.sqlite");
    third.take(vec![whole], place_at(99)).await.unwrap();
    assert_eq!(all(&third).await, rows);

    // Numbers go on where they were.
    follower.stand_alone().await.unwrap();
    let next = follower.add_silence(silence()).await.unwrap();
    assert_eq!(next.number, 3);
    assert_eq!(follower.stand_by(String::new()).await.unwrap().place, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_refuses_was_never_decided() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path(), "store.sqlite");
    let written = Arc::new(Written::default());
    store.lead(written.clone(), true).await.unwrap();
    store.commit(change(1, "a.example")).await.unwrap();
    let before = all(&store).await;
    *written.refuses.lock().unwrap() = true;
    let refused = store.commit(change(2, "b.example")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "can't keep an incident: another hub leads"
    );
    assert!(store.may_tell().await.is_err());
    assert_eq!(all(&store).await, before);
    assert_eq!(store.health().failing_since, None, "the disk is well");
    assert!(written.lost.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_decided_beside_a_hub_that_stands_by() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let store = opened(folder.path(), "store.sqlite");
    store.stand_by("berlin".to_owned()).await.unwrap();
    let refused = Store::hand(&path).unwrap().add_silence(silence());
    assert!(refused.unwrap_err().to_string().contains(
        "this hub stands by, and what is decided here would be lost; do it where berlin runs"
    ));
    // A row that is none of ours, and one of a version to come.
    for (row, format, said) in [
        (
            r#"["cells",1,{"id":1}]"#,
            1,
            "\"cells\", which is none of a decision",
        ),
        (
            r#"["marks",1,{"a) --":1}]"#,
            1,
            "which is none of a decision",
        ),
        ("[]", i64::MAX, "a newer edgewatch"),
    ] {
        let decided = Decided {
            format,
            whole: false,
            rows: vec![row.to_owned()],
        };
        let refused = store.take(vec![decided], place_at(1)).await.unwrap_err();
        assert!(refused.to_string().contains(said), "{refused}");
    }
    store.stand_alone().await.unwrap();
    Store::hand(&path).unwrap().add_silence(silence()).unwrap();
}
