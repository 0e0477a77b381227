//! A store that the former version wrote opens as it is: open incidents, unsent messages, history, all of it.
//!
//! `tests/fixtures/former-store` was written by the daemon of 0.1.0 over some minutes with the `probes.yaml`
//! beside it: one partner's application failed and recovered (INC-1), then another's edge began to refuse one
//! client (INC-2). Two receivers could not be reached, and a third took everything.

use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edgewatch::domain::cell::{CellKey, ReceiverName};
use edgewatch::domain::change::Change;
use edgewatch::domain::diagnosis::{Cause, Level};
use edgewatch::domain::fingerprint::DriftKind;
use edgewatch::domain::incident::{Care, Happening, Incident, State, Subject, TimelineEntry};
use edgewatch::domain::notification::{Notification, Reason};
use edgewatch::domain::plan::StorePolicy;
use edgewatch::domain::surroundings::ClientFace;
use edgewatch::domain::verdict::{Factor, Kind, Rule};
use edgewatch::store::{Progress, Shown, Store, Wanted};
use flate2::read::GzDecoder;

use super::samples::at;

const WRITTEN: &[u8] = include_bytes!("../fixtures/former-store/edgewatch-0.1.0.sqlite.gz");

/// The file as the former version left it.
pub(crate) fn unpack(folder: &Path) -> PathBuf {
    let mut bytes = Vec::new();
    GzDecoder::new(WRITTEN).read_to_end(&mut bytes).unwrap();
    let path = folder.join("edgewatch.sqlite");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// As the daemon opens it; nothing is too old to be kept.
fn open(path: &Path) -> Store {
    // What is forgotten by age is another test's matter.
    let connection = rusqlite::Connection::open(path).unwrap();
    let now = jiff::Timestamp::now().as_microsecond();
    connection
        .execute("UPDATE surroundings SET at_us = ?", [now])
        .unwrap();
    connection
        .execute(
            "UPDATE outbox SET done_us = ? WHERE done_us IS NOT NULL",
            [now],
        )
        .unwrap();
    drop(connection);
    let policy = StorePolicy {
        group: None,
        path: path.to_owned(),
        keep: edgewatch::domain::plan::Keep::for_runs(Duration::from_secs(200 * 365 * 86_400)),
        bytes_max: 64 << 20,
    };
    let opened = Store::open(path, &policy).unwrap();
    assert_eq!(opened.warnings, Vec::<String>::new());
    opened.store
}

fn cell(probe: &str, egress: &str, client: &str, credential: &str) -> CellKey {
    CellKey {
        probe: probe.into(),
        egress: egress.into(),
        client: client.into(),
        credential: credential.into(),
    }
}

async fn shown(store: &Store, number: u64) -> Shown {
    store.show(number).await.unwrap().unwrap()
}

async fn still_open(store: &Store) -> Vec<Incident> {
    let found = store.load_open().await.unwrap();
    assert_eq!(found.warnings, Vec::<String>::new());
    assert_eq!(found.next_number, 3);
    let open = found.incidents.into_iter();
    open.filter(|i| i.state == State::Open).collect()
}

#[tokio::test]
async fn open_incidents_are_found_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&unpack(folder.path()));
    let open = still_open(&store).await;
    let [incident] = &open[..] else {
        panic!("{open:?}");
    };
    assert_eq!(incident.number, 2);
    assert_eq!(incident.subject, Subject::Host("127.0.0.3:34759".into()));
    assert_eq!(incident.onset_at, at("2026-11-29T11:00:22.999427Z"));
    assert_eq!(incident.opened_at, at("2026-11-29T11:00:38.004202119Z"));
    assert_eq!(
        incident.last_good_at,
        Some(at("2026-11-29T11:00:21.364709837Z"))
    );
    assert_eq!(incident.kind, Kind::EdgeBlock);
    let diagnosis = &incident.diagnosis;
    assert_eq!(diagnosis.cause, Cause::Level(Level::Client("batch".into())));
    assert_eq!(
        (diagnosis.confidence.to_string().as_str(), diagnosis.fails),
        ("0.995", None)
    );
    let refused = cell("orders", "one", "batch", "shop");
    assert!(diagnosis.failing.contains(&refused) && diagnosis.failing.len() == 2);
    assert_eq!(diagnosis.passing.len(), 4);
    let not: Vec<Factor> = diagnosis.ruled_out.iter().map(|r| r.factor).collect();
    assert_eq!(not, [Factor::Egress, Factor::Credential, Factor::Host]);
    assert_eq!(incident.cells.len(), 2);
    assert!(
        incident
            .cells
            .iter()
            .all(|c| c.failing && c.kind == Kind::EdgeBlock)
    );
    assert_eq!(
        incident.beside[0].chance.to_string(),
        "0.00003974486117985787"
    );
    let acknowledged = incident.acknowledged.as_ref().unwrap();
    assert_eq!(acknowledged.at, at("2026-11-29T11:01:09.038494Z"));
    let failing = incident.failing.as_ref().unwrap();
    assert_eq!(failing.took, Duration::from_nanos(3_079_980));
    assert_eq!(
        failing.phases[0],
        ("connect".into(), Duration::from_nanos(413_839))
    );
    assert_eq!(failing.verdict.rule, Rule::Unknown);
    assert_eq!(
        failing.verdict.reference_id.as_deref(),
        Some("89242d2dd9d4a40d")
    );
    assert_eq!(failing.verdict.evidence.len(), 1);
    assert!(incident.passing.is_some());
    let told: Vec<&str> = incident
        .told_receivers
        .iter()
        .map(ReceiverName::as_str)
        .collect();
    assert_eq!(told, ["engineers", "good", "support"]);
    assert_eq!(incident.telling.receivers.len(), 3);

    let numbers: Vec<u64> = store
        .incidents(None, 10)
        .await
        .unwrap()
        .iter()
        .map(|i| i.number)
        .collect();
    assert_eq!(numbers, [2, 1]);
    let first = shown(&store, 1).await;
    assert_eq!(first.incident.state, State::Resolved);
    assert_eq!(
        first.incident.resolved_at,
        Some(at("2026-11-29T10:59:41.056331997Z"))
    );
    assert_eq!(first.incident.diagnosis.cause, Cause::Everything);
    assert_eq!((first.timeline.len(), first.deliveries.len()), (7, 8));
    let second = shown(&store, 2).await;
    assert_eq!((second.timeline.len(), second.deliveries.len()), (6, 5));
    assert_eq!(second.timeline[0].what, Happening::Drift);
    store.close().await;
}

#[tokio::test]
async fn they_go_on_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = unpack(folder.path());
    let store = open(&path);
    let mut incident = still_open(&store).await.remove(0);
    incident.failed_runs += 1;
    let entry = |text: &str, what| TimelineEntry {
        at: at("2026-11-29T11:10:00Z"),
        what,
        text: text.into(),
    };
    let change = |incident: &Incident, entry, notifications| Change {
        incident: incident.clone(),
        timeline: vec![entry],
        notifications,
    };
    let on = change(&incident, entry("a cell joined", Happening::Cells), vec![]);
    store.commit(on).await.unwrap();
    assert_eq!(still_open(&store).await, [incident.clone()]);

    incident.state = State::Resolved;
    incident.resolved_at = Some(at("2026-11-29T11:12:00Z"));
    let opening = shown(&store, 2).await.deliveries.remove(0).notification;
    let end = Notification {
        delivery: uuid::Uuid::now_v7(),
        sequence: 9,
        reason: Reason::Resolved,
        ..opening
    };
    let over = change(&incident, entry("all pass", Happening::Resolved), vec![end]);
    store.commit(over).await.unwrap();
    store.close().await;

    let store = open(&path);
    assert!(still_open(&store).await.is_empty());
    let after = shown(&store, 2).await;
    assert_eq!(after.incident, incident);
    assert_eq!((after.timeline.len(), after.deliveries.len()), (8, 6));
    store.close().await;
}

#[tokio::test]
async fn what_was_not_sent_is_still_due() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&unpack(folder.path()));
    let due = async |receiver: &str| -> Vec<(u64, Reason)> {
        let rows = store.due(&receiver.into()).await.unwrap();
        assert!(rows.iter().all(|d| d.progress == Progress::Pending));
        let rows = rows.into_iter().map(|d| d.notification);
        rows.map(|n| (n.incident, n.reason)).collect()
    };
    let opened_and_ended = [(1, Reason::Opened), (1, Reason::Resolved)];
    assert_eq!(due("desk").await, opened_and_ended);
    let support = [&opened_and_ended[..], &[(2, Reason::Opened)]].concat();
    assert_eq!(due("support").await, support);
    let acknowledged = (2, Reason::Acknowledged);
    let engineers = [&[(0, Reason::Notice)], &support[..], &[acknowledged]].concat();
    assert_eq!(due("engineers").await, engineers);
    assert_eq!(due("good").await, []);
    let rows = store.due(&"desk".into()).await.unwrap();
    assert_eq!(rows[0].lane, "engineers");
    let briefing = &rows[0].notification.briefing;
    assert_eq!(briefing.kind, Kind::OriginError);
    assert_eq!((briefing.cells.len(), briefing.is_open()), (6, true));
    store.close().await;
}

#[tokio::test]
async fn what_people_asked_and_what_was_learned_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = unpack(folder.path());
    let store = open(&path);
    let asked = store.asked(None, 0).await.unwrap().unwrap();
    let [ask] = &asked.asks[..] else {
        panic!("{asked:?}");
    };
    let Wanted::Care { incident, care } = &ask.wanted else {
        panic!("{ask:?}");
    };
    assert_eq!(
        (ask.id, *incident, care.by().by.as_str()),
        (2, 2, "somebody")
    );
    assert!(matches!(care, Care::Taken(_)));
    let silences = Store::read_only(&path).unwrap().silences().unwrap();
    let names: Vec<String> = silences
        .iter()
        .map(|s| format!("{}: {}", s.name(), s.matcher))
        .collect();
    assert_eq!(
        names,
        [
            "silence 1 of somebody (planned work): probe orders, client website",
            "silence 2 of somebody: egress two",
        ]
    );
    assert!(silences[0].ended.is_none() && silences[1].ended.is_some());

    let (memory, warnings) = store.remember().await.unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let fronts = &memory.fronts;
    assert_eq!(fronts.len(), 2);
    let front = &fronts[0];
    assert_eq!(front.host, "127.0.0.3:34759");
    assert_eq!(front.began.to_string(), "1795949780.311583");
    assert_eq!(front.prints.len(), 2);
    assert!(front.prints[1].current && !front.prints[0].current);
    let drift = &front.drifts[0];
    assert_eq!(
        (drift.kind, drift.at.to_string().as_str()),
        (DriftKind::EdgeAppeared, "1795949926.846748")
    );
    assert_eq!(drift.old.server.as_deref(), Some("Apache"));
    assert!(drift.new.markers.contains("cloudflare"));
    let ours = memory.ours.unwrap();
    assert_eq!(ours.began, Some(at("2026-11-29T10:56:20.300245599Z")));
    assert_eq!(
        ours.clients[&"batch".into()],
        ClientFace {
            user_agent: "Java/1.8.0_275".into(),
            rest: 4_889_065_173_157_337_167,
        }
    );
    assert_eq!(
        ours.addresses[&"one".into()][0].address.to_string(),
        "198.51.100.7"
    );
    assert_eq!(ours.told[&"one".into()][0].0.to_string(), "203.0.113.15");
    assert_eq!(ours.ways[&"two".into()], "address 127.0.0.12");
    store.close().await;
}

#[tokio::test]
async fn history_is_read_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = unpack(folder.path());
    let store = open(&path);
    let reader = Store::read_only(&path).unwrap();
    let cells = reader.cells().unwrap();
    assert_eq!(cells.len(), 16);
    let refused = cell("orders", "two", "batch", "shop");
    let count = || {
        let (from, until) = (at("2026-11-29T00:00:00Z"), at("2026-11-30T00:00:00Z"));
        let (mut all, mut blocked, mut last) = (0, 0, None);
        let complete = reader.runs(&cells, from, until, |run| {
            all += 1;
            blocked += u32::from(run.kind == Kind::EdgeBlock);
            last.get_or_insert((run.cell, run.at, run.kind));
            ControlFlow::Continue(())
        });
        assert!(complete.unwrap());
        (all, blocked, last.unwrap())
    };
    let (all, blocked, (_, last, _)) = count();
    assert_eq!((all, blocked), (1_490, 30));
    assert_eq!(last, at("2026-11-29T11:01:29.311615Z"));
    let newest = reader
        .latest(std::slice::from_ref(&refused), at("2026-11-29T11:00:00Z"))
        .unwrap();
    assert_eq!(
        (newest[0].kind, newest[0].status),
        (Kind::EdgeBlock, Some(403))
    );
    assert_eq!(newest[0].reference_id.as_deref(), Some("89242d2dd9d4a40d"));

    // The day of the upgrade goes on in the table that the former version began.
    let (mut observation, verdict) = super::store::blocked_run();
    observation.cell = refused.clone();
    observation.started_at = at("2026-11-29T11:20:00Z");
    store.record(&observation, &verdict);
    store.flush().await.unwrap();
    let added = (refused, at("2026-11-29T11:20:00Z"), Kind::EdgeBlock);
    assert_eq!(count(), (1_491, 31, added));
    store.close().await;
}
