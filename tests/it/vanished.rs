//! The store's file is removed, renamed, replaced or cut while a daemon has it open.

use std::path::{Path, PathBuf};
use std::time::Duration;

use edgewatch::domain::notification::Reason;
use edgewatch::domain::plan::StorePolicy;
use edgewatch::store::{Renewed, Store, StoreError};
use tempfile::TempDir;

use super::samples::{change, fresh};
use crate::daemon::{Daemon, within};
use crate::fakes::{CHANNEL, Fake};
use crate::world::{RULE, World, run};

fn policy(path: &Path) -> StorePolicy {
    StorePolicy {
        group: None,
        path: path.to_owned(),
        keep: edgewatch::domain::plan::Keep::for_runs(Duration::from_secs(7 * 86_400)),
        bytes_max: 64 << 20,
    }
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("edgewatch.sqlite")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

fn all(path: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    ["", "-wal", "-shm"]
        .into_iter()
        .map(|ending| beside(path, ending))
}

/// Opens a store with one open incident in it, does that to its file, and waits until it is written anew.
async fn after(path: &Path, harm: impl FnOnce()) -> (Store, Renewed) {
    let store = Store::open(path, &policy(path)).unwrap().store;
    let due = fresh(1, Reason::Opened, 0, "engineers");
    store.commit(change(1, vec![due])).await.unwrap();
    assert_eq!(store.incidents(None, 10).await.unwrap().len(), 1);
    let mut renewed = store.renewed();
    harm();
    renewed.changed().await.unwrap();
    let last = renewed.borrow_and_update().1.clone().unwrap();
    (store, last)
}

/// Stops it, starts it again, and says how many incidents are open and how many messages wait.
async fn started_again(store: Store, path: &Path) -> (usize, usize) {
    store.close().await;
    drop(store);
    let opened = Store::open(path, &policy(path)).unwrap();
    assert_eq!(opened.warnings, Vec::<String>::new());
    let open = opened.store.load_open().await.unwrap().incidents.len();
    opened.store.close().await;
    let waiting = Store::read_only(path).unwrap().undelivered().unwrap();
    (open, waiting.len())
}

#[tokio::test]
async fn what_is_removed_is_there_again_with_all_that_was_in_it() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder);
    let remove = || all(&path).for_each(|part| std::fs::remove_file(part).unwrap());
    let (store, renewed) = after(&path, remove).await;
    let whole = Renewed {
        whole: true,
        aside: None,
    };
    assert_eq!(renewed, whole);
    assert!(
        renewed
            .said(&path)
            .ends_with("it was written there again, and nothing is lost")
    );
    // Pages read what is there now, and what comes after is kept too.
    assert_eq!(store.incidents(None, 10).await.unwrap().len(), 1);
    let later = fresh(1, Reason::Changed, 1, "engineers");
    store.commit(change(1, vec![later])).await.unwrap();
    assert_eq!(started_again(store, &path).await, (1, 2));
}

#[tokio::test]
async fn only_the_file_itself_removed() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder);
    let (store, renewed) = after(&path, || std::fs::remove_file(&path).unwrap()).await;
    assert!(renewed.whole);
    assert_eq!(started_again(store, &path).await, (1, 1));
}

#[tokio::test]
async fn renamed_away() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder);
    let away = folder.path().join("away.sqlite");
    let (store, renewed) = after(&path, || std::fs::rename(&path, &away).unwrap()).await;
    assert!(renewed.whole);
    assert_eq!(started_again(store, &path).await, (1, 1));
}

#[tokio::test]
async fn another_file_in_its_place_is_put_aside() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder);
    let replace = || {
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "somebody's").unwrap();
    };
    let (store, renewed) = after(&path, replace).await;
    assert!(renewed.whole);
    assert_eq!(
        std::fs::read_to_string(renewed.aside.unwrap()).unwrap(),
        "somebody's"
    );
    assert_eq!(started_again(store, &path).await, (1, 1));
}

#[tokio::test]
async fn what_was_cut_is_put_aside_and_a_new_one_begun() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder);
    let cut = || {
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(5000).unwrap();
    };
    // So that all of it stands in the file itself.
    let begun = Store::open(&path, &policy(&path)).unwrap().store;
    begun.close().await;
    drop(begun);
    let (store, renewed) = after(&path, cut).await;
    assert!(!renewed.whole && renewed.aside.is_some());
    let said = renewed.said(&path);
    assert!(said.contains("was cut while edgewatch ran"), "{said}");
    assert!(renewed.lost()[0].starts_with("Silences are lost"));
    // What the daemon still knows is kept anew.
    store.commit(change(1, Vec::new())).await.unwrap();
    assert_eq!(started_again(store, &path).await, (1, 0));
}

/// The daemon as a process: engineers hear what is lost, and the end of what was open all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_whose_store_is_cut_says_so_and_goes_on() {
    let world = World::start().await;
    let (slack, teams) = (Fake::slack().await, Fake::teams().await);
    let notify = format!(
        "notify: {{ receivers: {{ engineers: {{ slack: {{ token: {{ env: SLACK_BOT_TOKEN }}, channel: {CHANNEL}, api: \"{}\" }} }} }} }}",
        slack.api()
    );
    world.write("de1: 127.0.0.2", "1s", &notify);
    let daemon = Daemon::start(&world, &teams);
    within("good rounds", async { drop(world.partner.seen(8).await) }).await;
    // So that all of it stands in the file itself.
    assert_eq!(daemon.stop().await, 0);
    let daemon = Daemon::start(&world, &teams);
    world.partner.switch(RULE, true);
    within("the opening", slack.eventually(|s| !s.parents().is_empty())).await;
    let path = world.directory.path().join("edgewatch.sqlite");
    let cut = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    cut.set_len(5000).unwrap();
    let told = |text: &'static str| {
        slack.eventually(move |s| {
            let messages = s.messages();
            messages.iter().any(|m| m.body.to_string().contains(text))
        })
    };
    within("that it was cut", told("Silences are lost")).await;
    world.partner.switch(RULE, false);
    within("the end", told("FIXED")).await;
    let (code, out, err) = run(world.command(&["incidents", "show", "1"])).await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(daemon.stop().await, 0);
    // What was cut is put aside; nobody could look through the values of the beginning of a store.
    let entries = std::fs::read_dir(world.directory.path()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_aside = |path: &PathBuf| path.display().to_string().contains(".corrupt-");
    let aside: Vec<PathBuf> = paths.filter(is_aside).collect();
    assert!(!aside.is_empty());
    for path in aside {
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn a_second_daemon_through_a_link_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder);
    let store = Store::open(&path, &policy(&path)).unwrap().store;
    let link = folder.path().join("link.sqlite");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let elsewhere = TempDir::new().unwrap();
    let by_folder = elsewhere.path().join("folder");
    std::os::unix::fs::symlink(folder.path(), &by_folder).unwrap();
    for name in [link, by_folder.join("edgewatch.sqlite")] {
        let refused = Store::open(&name, &policy(&name));
        assert!(
            matches!(refused, Err(StoreError::Locked { .. })),
            "{name:?}"
        );
    }
    store.close().await;
}
