//! What holds of every driver: runs have a beginning and an end, and a host's wish is kept.

use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;

use super::driver::{Simulation, World};
use super::*;
use crate::config::{self, Inputs};
use crate::domain::observation::{Observation, Phases, Route};
use crate::domain::verdict::{Maker, Verdict};

struct Nothing;

impl Inputs for Nothing {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// Two clients over two egresses, every 30 s, and a control; `more` follows.
fn plan(more: &str) -> Arc<Plan> {
    let text = format!(
        r#"version: 1
service: Test
timezone: UTC
egresses: {{ one: 127.0.0.2, two: 127.0.0.3 }}
clients:
  java: Java/1.8
  http: okhttp/4
probes:
  api: {{ url: "https://api.example/", every: 30s, timeout: 20s }}
controls:
  internet: {{ url: "https://www.control.example/", every: 1m }}
{more}"#
    );
    match config::read(&text, "probes.yaml", &Nothing) {
        Ok(checked) => Arc::new(checked.plan),
        Err(findings) => panic!("{findings}"),
    }
}

fn begin() -> Timestamp {
    "2026-03-01T02:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    begin() + SignedDuration::from_secs(seconds)
}

/// Answers as it is told to, and remembers what was started and told.
struct Script<F> {
    answer: F,
    starts: Vec<(i64, Start)>,
    saves: Vec<Change>,
    recorded: usize,
}

/// What a cell shows at a second; `None`: its task is gone and nobody is told.
fn play<F>(plan: &Arc<Plan>, answer: F) -> Simulation<Script<F>>
where
    F: FnMut(&CellKey, i64) -> Option<Verdict>,
{
    let machine = Machine::new(Arc::clone(plan), Known::default(), begin());
    let script = Script {
        answer,
        starts: Vec::new(),
        saves: Vec::new(),
        recorded: 0,
    };
    Simulation::new(machine, script, begin())
}

fn judged(start: &Start, at: Timestamp, verdict: Verdict) -> Judged {
    Judged {
        observation: Observation {
            cell: start.cell.clone(),
            purpose: start.purpose,
            due_at: start.due_at,
            started_at: at,
            took: Duration::from_millis(80),
            phases: Phases::default(),
            route: Route::default(),
            tls: None,
            hops: Vec::new(),
            answer: None,
            failure: None,
        },
        verdict,
    }
}

impl<F: FnMut(&CellKey, i64) -> Option<Verdict>> World for Script<F> {
    fn run(&mut self, start: &Start, now: Timestamp) -> Option<(Judged, Timestamp)> {
        let second = now.duration_since(begin()).as_secs();
        self.starts.push((second, start.clone()));
        let verdict = (self.answer)(&start.cell, second)?;
        let ends_at = now + SignedDuration::from_millis(80);
        Some((judged(start, now, verdict), ends_at))
    }

    fn keep(&mut self, effect: Effect, _: Timestamp) {
        match effect {
            Effect::Save(change) => self.saves.push(*change),
            Effect::Record(_) => self.recorded += 1,
            _ => {}
        }
    }
}

fn pass() -> Verdict {
    Verdict::new(Kind::Pass, Maker::Origin)
}

fn is(cell: &CellKey, egress: &str, client: &str) -> bool {
    cell.probe.as_str() == "api" && cell.egress.as_str() == egress && cell.client.as_str() == client
}

#[test]
fn a_run_that_nobody_hears_of_again_is_given_up_and_its_cell_runs_again() {
    let plan = plan("");
    let mut silent = true;
    let mut it = play(&plan, move |cell, _| {
        if is(cell, "one", "java") && std::mem::take(&mut silent) {
            return None;
        }
        Some(pass())
    });
    it.until(after(300));
    let script = &it.scene.world;
    let starts: Vec<i64> = script
        .starts
        .iter()
        .filter(|(_, start)| is(&start.cell, "one", "java"))
        .map(|(second, _)| *second)
        .collect();
    // Its timeout of 20 s, a minute, and the time to its next turn.
    let pause = starts[1] - starts[0];
    assert!((80..=110).contains(&pause), "{starts:?}");
    assert!(
        starts
            .windows(2)
            .skip(1)
            .all(|pair| pair[1] - pair[0] == 30)
    );
    assert_eq!(script.recorded, script.starts.len() - 1);
    assert!(script.saves.is_empty(), "what was not seen is no failure");
}

#[test]
fn runs_are_numbered_once() {
    let mut it = play(&plan(""), |_, _| Some(pass()));
    it.until(after(600));
    let starts = &it.scene.world.starts;
    let numbers: BTreeSet<RunId> = starts.iter().map(|(_, start)| start.run).collect();
    assert!(starts.len() > 80, "{}", starts.len());
    assert_eq!(numbers.len(), starts.len());
}

#[test]
fn what_comes_home_twice_counts_once() {
    let plan = plan("");
    let mut machine = Machine::new(plan, Known::default(), begin());
    let mut starts = Vec::new();
    let mut now = begin();
    while starts.is_empty() {
        for effect in machine.step(Event::Tick, now) {
            match effect {
                Effect::Start(start) => starts.push(start),
                Effect::WakeAt(at) => now = at,
                _ => {}
            }
        }
    }
    let start = &starts[0];
    let judged = Arc::new(judged(start, now, pass()));
    let event = Event::Ended {
        run: start.run,
        judged,
    };
    let recorded = |effects: Vec<Effect>| {
        let records = effects.iter().filter(|e| matches!(e, Effect::Record(_)));
        records.count()
    };
    assert_eq!(recorded(machine.step(event.clone(), now)), 1);
    assert_eq!(recorded(machine.step(event, now)), 0, "the second time");
    let lost = machine.step(Event::Lost { run: start.run }, now);
    assert_eq!(lost, Vec::new(), "it is home already");
}

#[test]
fn a_host_that_asks_for_silence_gets_it_from_every_driver() {
    let plan = plan("");
    let mut it = play(&plan, move |cell, second| {
        let mut verdict = pass();
        if cell.probe.as_str() == "api" && second < 60 {
            verdict = Verdict::new(Kind::RateLimited, Maker::Edge);
            verdict.retry_after = Some(Duration::from_secs(120));
        }
        Some(verdict)
    });
    it.until(after(400));
    let script = &it.scene.world;
    let asked = |probe: &'static str| {
        let starts = script.starts.iter();
        starts.filter(move |(_, start)| start.cell.probe.as_str() == probe)
    };
    let first = asked("api").next().unwrap().0;
    let second = asked("api").find(|(at, _)| *at > first).unwrap().0;
    assert!(
        second - first >= 120,
        "asked again after {} s",
        second - first
    );
    assert!(asked("internet").count() >= 12, "other hosts don't wait");
}

#[test]
fn no_more_runs_are_in_flight_than_the_file_allows() {
    let plan = plan("runs_in_flight: 2\n");
    let mut it = play(&plan, |_, _| None);
    it.until(after(79));
    assert_eq!(it.scene.world.starts.len(), 2);
    it.until(after(300));
    let starts: Vec<i64> = it.scene.world.starts.iter().map(|s| s.0).collect();
    assert!(
        starts.len() > 4,
        "given up, the room is free again: {starts:?}"
    );
}
