//! What holds of every driver: runs have a beginning and an end, and a host's wish is kept.

use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;

// The clock of the host is set.
mod clock_set;
// Runs that are heard of late.
mod late;

use super::driver::{Simulation, World};
use super::*;
use crate::config::{self, Inputs};
use crate::domain::incident::Acknowledged;
use crate::domain::observation::{Observation, Phases, Route};
use crate::domain::verdict::Kind;
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
fn text(more: &str) -> String {
    format!(
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
    )
}

fn plan(more: &str) -> Arc<Plan> {
    match config::read(&text(more), "probes.yaml", &Nothing) {
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
            sent: None,
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
fn where_a_share_seems_to_fail_it_is_asked_more_often_and_told() {
    let mut run = 0;
    let mut it = play(&plan(""), move |cell, _| {
        run += i32::from(is(cell, "one", "java"));
        let fails = is(cell, "one", "java") && run > 40 && run % 5 == 0;
        Some(if fails {
            Verdict::new(Kind::ConnectError, Maker::Unknown)
        } else {
            pass()
        })
    });
    it.until(after(3600));
    let script = &it.scene.world;
    let opened = script
        .saves
        .first()
        .expect("an incident")
        .incident
        .opened_at;
    let opened = opened.duration_since(begin()).as_secs();
    let surveys = script.starts.iter();
    let surveys = surveys.filter(|(_, start)| &*start.why == "to see how large a share fails");
    let times: Vec<i64> = surveys.map(|(second, _)| *second).collect();
    let before = times.iter().filter(|at| **at < opened).count();
    assert!(
        (6..=18).contains(&before),
        "told after {opened} s, asked at {times:?}"
    );
    assert!(opened < 1800, "told after {opened} s");
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

/// Two plans that differ in a client, as text.
fn sources() -> [log::Source; 2] {
    let text = |client: &str| log::Source {
        text: text("").replace("okhttp/4", client),
        ..log::Source::default()
    };
    [text("okhttp/4"), text("curl/8")]
}

fn read(source: &log::Source) -> Result<Plan, String> {
    config::read(&source.text, "probes.yaml", &Nothing)
        .map(|checked| checked.plan)
        .map_err(|findings| findings.to_string())
}

#[test]
fn what_a_person_wants_runs_at_once_one_time_and_politely() {
    let plan = plan("politeness: { per_host: { requests_per_minute: 60, gap: 2s } }");
    let mut it = play(&plan, |_, _| Some(pass()));
    it.until(after(100));
    let wanted = |probe: &str| Event::Wanted {
        probes: vec![probe.into()],
        cells: Vec::new(),
        who: "ann".to_owned(),
    };
    it.step(wanted("api"));
    it.step(wanted("api"));
    it.step(wanted("gone"));
    it.until(after(125));
    let starts = &it.scene.world.starts;
    let asked: Vec<_> = starts
        .iter()
        .filter(|(_, start)| start.purpose == Purpose::Asked)
        .collect();
    let cells: BTreeSet<_> = asked.iter().map(|(_, start)| &start.cell).collect();
    assert_eq!((asked.len(), cells.len()), (4, 4), "each cell once");
    assert!(
        asked
            .iter()
            .all(|(at, start)| *at <= 115 && &*start.why == "ann asked for it")
    );
    let mut to_the_host: Vec<i64> = starts
        .iter()
        .filter(|(at, start)| *at >= 95 && start.cell.probe.as_str() == "api")
        .map(|(at, _)| *at)
        .collect();
    to_the_host.sort_unstable();
    let gaps = to_the_host.windows(2).map(|two| two[1] - two[0]);
    assert!(gaps.min() >= Some(2), "the gap holds: {to_the_host:?}");
    let upcoming = it.machine().upcoming(it.now);
    assert_eq!(upcoming.next.len(), 6, "{upcoming:?}");
    assert!(upcoming.next.is_sorted_by_key(|(_, at)| *at));
    let host = upcoming
        .hosts
        .iter()
        .find(|it| it.host.starts_with("api.example"));
    let host = host.expect("the host");
    assert_eq!((host.per_minute, host.asked), (60, 0));
    assert!(host.used >= 4, "{host:?}");
}

#[test]
fn who_asks_beside_the_timetable_keeps_to_the_same_budget() {
    let plan = plan("politeness: { per_host: { requests_per_minute: 20, gap: 1s } }");
    let host = plan.probe(&"api".into()).expect("a probe").host();
    let mut machine = Machine::new(Arc::clone(&plan), Known::default(), after(0));
    let (mut asked, mut given) = (Vec::new(), 0);
    let mut now = after(0);
    while now < after(180) {
        let effects = machine.step(Event::Tick, now);
        let starts = effects
            .iter()
            .filter(|it| matches!(it, Effect::Start(start) if start.cell.probe.as_str() == "api"));
        asked.extend(starts.map(|_| now));
        let event = Event::Leave {
            number: 7,
            host: host.clone(),
        };
        let effects = machine.step(event, now);
        let leave = effects.iter().find_map(|it| match it {
            Effect::Leave { number: 7, leave } => Some(*leave),
            _ => None,
        });
        match leave.expect("an answer") {
            Leave::Now => {
                asked.push(now);
                given += 1;
            }
            Leave::At(at) => assert!(at > now),
            Leave::Never => panic!("the host is in the plan"),
        }
        now += SignedDuration::from_millis(100);
    }
    assert!(given > 20, "{given}");
    for two in asked.windows(2) {
        let gap = two[1].duration_since(two[0]);
        assert!(gap >= SignedDuration::from_secs(1), "{gap:?}");
    }
    for minute in asked.windows(21) {
        let took = minute[20].duration_since(minute[0]);
        assert!(took >= SignedDuration::from_secs(60), "21 within {took:?}");
    }
    let unknown = machine.step(
        Event::Leave {
            number: 8,
            host: "other.example:443".to_owned(),
        },
        now,
    );
    let never = Effect::Leave {
        number: 8,
        leave: Leave::Never,
    };
    assert!(unknown.contains(&never), "{unknown:?}");
}

/// A log of `steps` events as chance has them: fine and foul weather, runs that are lost or come twice, other plans.
fn anything(seed: u64, steps: usize) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let sources = sources();
    let known = Known::default();
    let begin = begin();
    let mut machine = Machine::new(Arc::new(read(&sources[0]).unwrap()), known.clone(), begin);
    let mut writer = log::Writer::default();
    let mut lines = vec![log::Writer::begin(&sources[0], &known, begin)];
    let (mut now, mut wake, mut plan) = (begin, begin, 0);
    let mut waiting: Vec<Event> = Vec::new();
    let mut foul = Kind::Pass;
    for _ in 0..steps {
        if random.usize(..100) == 0 {
            let kinds = [
                Kind::Pass,
                Kind::EdgeBlock,
                Kind::Timeout,
                Kind::OriginDenied,
            ];
            foul = kinds[random.usize(..kinds.len())];
        }
        let event = match random.usize(..400) {
            0 => {
                plan = 1 - plan;
                Event::PlanReplaced(Arc::new(read(&sources[plan]).unwrap()))
            }
            1 => Event::Silenced(Vec::new()),
            2 => Event::Care {
                incident: 1,
                care: {
                    let (at, by) = (now, "ann".to_owned());
                    let care = [Care::Taken, Care::Released][random.usize(..2)];
                    care(Acknowledged { at, by })
                },
            },
            3 => Event::Wanted {
                probes: vec!["api".into()],
                cells: Vec::new(),
                who: "ann".to_owned(),
            },
            4 => Event::Leave {
                number: random.u64(..),
                host: "api.example:443".to_owned(),
            },
            5..20 if !waiting.is_empty() => waiting[random.usize(..waiting.len())].clone(),
            _ if !waiting.is_empty() => waiting.swap_remove(random.usize(..waiting.len())),
            _ => {
                now = now.max(wake);
                Event::Tick
            }
        };
        now += SignedDuration::from_millis(random.i64(0..300));
        let effects = machine.step(event.clone(), now);
        let heard = log::Heard::of(&event, &sources[plan]);
        lines.extend(writer.step(heard, now, &effects, &machine));
        for effect in effects {
            match effect {
                Effect::Start(start) => {
                    let hit = start.cell.client.as_str() == "java" || random.usize(..50) == 0;
                    let verdict = if hit && foul != Kind::Pass {
                        Verdict::new(foul, Maker::Edge)
                    } else {
                        pass()
                    };
                    let run = start.run;
                    let judged = Arc::new(judged(&start, now, verdict));
                    waiting.push(match random.usize(..50) {
                        0 => Event::Lost { run },
                        _ => Event::Ended { run, judged },
                    });
                }
                Effect::WakeAt(at) => wake = at,
                _ => {}
            }
        }
    }
    let digest = machine.digest();
    lines.push(log::Line::State {
        after: steps as u64,
        digest,
    });
    let lines = lines
        .iter()
        .map(|line| serde_json::to_string(line).unwrap());
    lines.collect()
}

#[test]
fn a_log_plays_back_to_the_same_effects_and_the_same_state() {
    for seed in 0..8 {
        let mut machine = None;
        let (mut saves, mut states) = (0, 0);
        for line in anything(seed, 2_500) {
            match serde_json::from_str(&line).unwrap() {
                log::Line::Begin {
                    now, plan, known, ..
                } => {
                    let plan = Arc::new(read(&plan).unwrap());
                    machine = Some(Machine::new(plan, *known, now));
                }
                log::Line::Step {
                    now,
                    event,
                    effects,
                } => {
                    let machine = machine.as_mut().unwrap();
                    let answer = machine.step(event.event(read).unwrap(), now);
                    saves += answer
                        .iter()
                        .filter(|e| matches!(e, Effect::Save(_)))
                        .count();
                    assert_eq!(
                        log::digest(&answer.as_slice()),
                        effects,
                        "seed {seed}: {line}"
                    );
                }
                log::Line::State { digest, after } => {
                    states += 1;
                    let machine = machine.as_ref().unwrap();
                    assert_eq!(machine.digest(), digest, "seed {seed} after {after}");
                }
            }
        }
        assert_eq!(states, 3, "two on the way and one at the end");
        assert!(saves > 0, "seed {seed}: nothing was decided");
    }
}

#[test]
fn another_state_has_another_digest() {
    let plan = plan("");
    let machine = || Machine::new(Arc::clone(&plan), Known::default(), begin());
    let (mut one, mut other) = (machine(), machine());
    assert_eq!(one.digest(), other.digest());
    one.step(Event::Tick, after(30));
    assert_ne!(one.digest(), other.digest());
    other.step(Event::Tick, after(30));
    assert_eq!(one.digest(), other.digest());
}

/// A partner of many cells whose answers never come, beside one that answers.
fn tarpit(room: usize) -> Arc<Plan> {
    let mut text = format!(
        "version: 1\nservice: Test\ntimezone: UTC\nruns_in_flight: {room}\negresses: {{ one: 127.0.0.2 }}\nclients:\n"
    );
    text.extend((0..300).map(|n| format!("  c{n}: A/{n}\n")));
    text.push_str(
        "probes:
  tarpit: { url: \"https://api.tarpit.example/\", every: 10s, timeout: 10s }
  good: { url: \"https://api.good.example/\", every: 1s, timeout: 5s, as: [c0, c1, c2, c3, c4] }
politeness: { per_host: { requests_per_minute: 6000, gap: 0ms } }
notify: { receivers: { all: { log: {} } }, routes: [{ to: all }] }
",
    );
    match config::read(&text, "probes.yaml", &Nothing) {
        Ok(checked) => Arc::new(checked.plan),
        Err(findings) => panic!("{findings}"),
    }
}

/// Tarpit runs take their whole timeout, good ones a moment.
struct Tarpit {
    late: Vec<SignedDuration>,
    held: Vec<Timestamp>,
    most: usize,
    notices: Vec<String>,
}

impl World for Tarpit {
    fn run(&mut self, start: &Start, now: Timestamp) -> Option<(Judged, Timestamp)> {
        let (verdict, takes) = if start.cell.probe.as_str() == "good" {
            self.late.push(now.duration_since(start.due_at));
            (pass(), SignedDuration::from_millis(40))
        } else {
            self.held.retain(|end| *end > now);
            self.held.push(now + SignedDuration::from_secs(10));
            self.most = self.most.max(self.held.len());
            let verdict = Verdict::new(Kind::Timeout, Maker::Unknown);
            (verdict, SignedDuration::from_secs(10))
        };
        Some((judged(start, now, verdict), now + takes))
    }

    fn keep(&mut self, effect: Effect, _: Timestamp) {
        if let Effect::Learned(learned) = effect {
            let told = learned.notifications.iter();
            self.notices
                .extend(told.map(|n| n.briefing.headline.clone()));
        }
    }
}

#[test]
fn a_partner_that_answers_nobody_starves_no_other() {
    let machine = Machine::new(tarpit(50), Known::default(), begin());
    let world = Tarpit {
        late: Vec::new(),
        held: Vec::new(),
        most: 0,
        notices: Vec::new(),
    };
    let mut it = Simulation::new(machine, world, begin());
    it.until(after(600));
    let counts = it.machine().counts();
    let world = &it.scene.world;
    assert!(world.most <= 25, "{}", world.most);
    assert!(world.late.len() >= 2_900, "{} good runs", world.late.len());
    let worst = world.late.iter().max().unwrap();
    assert!(*worst <= SignedDuration::from_millis(50), "{worst}");
    assert!(counts.skipped_no_room > 5_000, "{counts:?}");
    let crowded = world
        .notices
        .iter()
        .filter(|text| text.contains("too few may be under way"));
    assert_eq!(crowded.count(), 1, "{:?}", world.notices);
}
