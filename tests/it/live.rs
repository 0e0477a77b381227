//! The daemon and `replay` reach the same diagnosis: the same scenario files, once over real sockets and
//! once in simulation.
//!
//! Most run the daemon's parts in a time of their own, so that an hour passes in seconds; two run the
//! daemon itself, in real time.

pub(crate) mod driver;
mod finding;
pub(crate) mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use edgewatch::app::daemon::{self, Command, Options};
use edgewatch::clock;
use edgewatch::domain::incident::{Incident, State};
use edgewatch::domain::probe::Schedule;
use edgewatch::lab::plan;
use edgewatch::lab::scenario::{self, Scenario};
use edgewatch::simulate::Clock;
use edgewatch::store::Kept;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use driver::{Driver, after};
use finding::{Finding, causes, names};
use stage::{Hand, Stage};

/// Rounds before the faults begin.
const WARM_UP: f64 = 2.0;
/// How often it is looked whether both agree, seconds.
const LOOK_EVERY_S: f64 = 20.0;

fn file(name: &str) -> String {
    format!("{}/tests/scenarios/{name}.yaml", env!("CARGO_MANIFEST_DIR"))
}

fn load(name: &str) -> Scenario {
    let text = std::fs::read_to_string(file(name)).unwrap();
    scenario::read(&text, name).unwrap()
}

/// What `replay` says of the first seed.
fn replayed(name: &str) -> Value {
    let mut command = crate::world::program(&["replay", &file(name)]);
    let output = command
        .args(["--seeds", "1", "--format", "json"])
        .output()
        .unwrap();
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        line["passed"], true,
        "{name}: replay itself is wrong: {line}"
    );
    line
}

/// The beginning of an hour, so that the cells fall due in the same order every time.
fn the_hour() -> Timestamp {
    let now = clock::now().as_second();
    Timestamp::from_second(now - now.rem_euclid(3600)).unwrap()
}

/// Plays a scenario over sockets until the daemon blames what `replay` does, and for a round more.
async fn both_agree(name: &str) {
    let scenario = load(name);
    let line = replayed(name);
    let replay = Finding::of_replay(&scenario, &line);
    assert!(!replay.is_nothing(), "{name}: nothing to compare: {line}");
    let expected = Finding::expected(&scenario);

    let begin = the_hour();
    let interval = scenario.schedule.interval_s;
    let onset = WARM_UP * interval + 0.37 * interval;
    let hand = Hand::at(begin);
    let stage = Stage::start(&scenario, &hand.clock(), Duration::from_secs_f64(onset)).await;
    let planned = plan::plan(&scenario, Some(&stage.grounds)).unwrap();
    let mut driver = Driver::new(planned.plan.clone(), hand, begin);
    driver.until(after(begin, onset)).await;
    assert!(
        driver.seen.changes.is_empty(),
        "{name}: all is well before the onset"
    );

    let end = onset + f64::from(scenario.rounds) * interval;
    let (mut at, mut agreed) = (onset, None);
    while at < end && agreed.is_none_or(|since| at < since + interval) {
        at += LOOK_EVERY_S;
        driver.until(after(begin, at)).await;
        let live = Finding::of_daemon(&scenario, &planned, driver.incidents());
        let beyond: Vec<usize> = live.cells.difference(&expected.cells).copied().collect();
        assert!(
            beyond.is_empty() && live.rates.is_subset(&expected.rates),
            "{name}: something healthy was blamed {:.0} s after the onset: {:?} {:#?}",
            at - onset,
            causes(driver.incidents()),
            names(&planned, &beyond.into_iter().collect()),
        );
        if !live.agrees(&replay) {
            agreed = None;
        } else if agreed.is_none() {
            agreed = Some(at);
        }
    }
    let live = Finding::of_daemon(&scenario, &planned, driver.incidents());
    let told: Vec<String> = driver
        .seen
        .changes
        .iter()
        .flat_map(|(_, change)| &change.timeline)
        .map(|entry| format!("{} {}: {}", entry.at, entry.what.as_str(), entry.text))
        .collect();
    assert!(
        agreed.is_some(),
        "{name}: the daemon and replay disagree\nlive {live:?}\nreplay {replay:?}\n{:#?}\n{told:#?}\n{:#?}",
        causes(driver.incidents()),
        driver.seen.extra,
    );
    // And so says the file.
    assert_eq!(
        (&live.cells, &live.rates),
        (&expected.cells, &expected.rates)
    );
    assert_eq!(live.intermittent, expected.intermittent);
    let lifecycle = &scenario.expect.lifecycle;
    if !lifecycle.is_empty() {
        let opened = |step: &&String| *step == "opened";
        let numbers: BTreeSet<u64> = driver
            .seen
            .changes
            .iter()
            .map(|(_, change)| change.incident.number)
            .collect();
        assert_eq!(
            numbers.len(),
            lifecycle.iter().filter(opened).count(),
            "{name}: {told:#?}"
        );
    }
    let forbidden = &scenario.expect.forbidden;
    assert!(
        !forbidden.iter().any(|nature| live.natures.contains(nature)),
        "{live:?}"
    );
    assert_eq!(stage.count(), driver.runs, "every run went over a socket");
    println!(
        "{name}: agreed {:.0} s after the onset; {} runs, {} of them extra",
        agreed.unwrap_or_default() - onset,
        driver.runs,
        driver.seen.extra.len()
    );
    stage.stop().await;
}

/// For the daemon in real time: a round, when the faults begin, and what confirming may take.
const ROUND: Duration = Duration::from_secs(8);
const ONSET: Duration = Duration::from_secs(9);
const PATIENCE: Duration = Duration::from_secs(55);

/// Runs the daemon itself over a scenario until it blames what `replay` does, and tells people.
async fn the_daemon_agrees(name: &str) {
    let scenario = load(name);
    let replay = Finding::of_replay(&scenario, &replayed(name));
    let stage = Stage::start(&scenario, &Clock::new(clock::now), ONSET).await;
    let mut planned = plan::plan(&scenario, Some(&stage.grounds)).unwrap();
    let directory = crate::kept::folder();
    planned.plan.store.path = directory.path().join("edgewatch.sqlite");
    planned.plan.politeness.gap = Duration::from_millis(20);
    planned.plan.politeness.requests_per_minute = 2000;
    for probe in &mut planned.plan.probes {
        probe.schedule = Schedule::Every(ROUND);
    }

    let (started, start) = oneshot::channel();
    let (said, mut messages) = mpsc::unbounded_channel();
    let (stop, commands) = mpsc::channel(1);
    let options = Options {
        on_disk: None,
        sites: None,
        source: None,
        refused: None,
        lead: None,
        record: None,
        plan: planned.plan.clone(),
        actions: None,
        config: None,
        started: Some(started),
        messages: Arc::new(move |text: &str| {
            let _ = said.send(text.to_owned());
        }),
    };
    let daemon = tokio::spawn(daemon::run(options, commands));
    let mut incidents: BTreeMap<u64, Incident> = BTreeMap::new();
    let mut kept = start.await.unwrap().kept;
    let agreed = tokio::time::timeout(PATIENCE, async {
        loop {
            let Kept::Change(change) = kept.next().await.unwrap() else {
                continue;
            };
            let incident = change.incident.clone();
            incidents.insert(incident.number, incident);
            let open = incidents.values().filter(|i| i.state == State::Open);
            if Finding::of_daemon(&scenario, &planned, open).agrees(&replay) {
                break;
            }
        }
        messages.recv().await.unwrap()
    });
    let message = agreed.await;
    stop.send(Command::Stop).await.unwrap();
    daemon.await.unwrap().unwrap();
    assert!(
        message.is_ok(),
        "{name}: {replay:?}\n{:#?}",
        causes(incidents.values())
    );
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_itself_in_real_time() {
    tokio::join!(
        the_daemon_agrees("march-2021-legacy-java"),
        the_daemon_agrees("old-http-version-refused"),
    );
}

macro_rules! scenarios {
    ($($test:ident = $name:literal),+ $(,)?) => {
        $(#[tokio::test]
        async fn $test() {
            both_agree($name).await;
        })+
    };
}

scenarios!(
    one_client = "march-2021-legacy-java",
    two_addresses = "july-2021-address-rule",
    one_address_by_challenge = "reputation-of-one-address",
    a_family_of_clients = "client-family-refused",
    an_account = "soap-account-refused",
    a_password_as_403 = "password-expired-as-403",
    a_path = "path-prefix-refused",
    a_method = "post-refused",
    a_client_from_one_address = "agent-and-address-together",
    a_credential_from_one_address = "credential-bound-to-address",
    everything_at_one_host = "sandbox-maintenance-as-403",
    our_own_rate = "ban-by-our-own-probing",
    a_block_that_becomes_a_challenge = "block-becomes-challenge",
    one_client_then_everybody = "one-client-then-everybody",
    an_http_version = "old-http-version-refused",
    a_challenge_now_and_then = "challenge-now-and-then",
    our_own_network = "ours-offline",
    a_client_met_with_silence = "block-as-silence",
);
