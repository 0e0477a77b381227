//! The clock of the host is set while a client is refused.

use super::*;
use crate::domain::incident::{Incident, State};

fn blocked() -> Verdict {
    Verdict::new(Kind::EdgeBlock, Maker::Edge)
}

/// `java` is refused from the beginning until `fixed`, in seconds of the even clock; after `set_at`, the wall clock is
/// `by` off. Returns what was saved, with the even time of it.
fn played(set_at: i64, by: i64, fixed: i64, until: i64) -> Vec<(i64, Incident)> {
    let plan = plan("");
    let mut offset = 0;
    let mut machine = Machine::new(plan, Known::default(), begin());
    let mut under_way: Vec<(i64, Arc<Judged>, RunId)> = Vec::new();
    let mut saved = Vec::new();
    for second in 0..until {
        let mut events = vec![Event::Tick];
        if second == set_at {
            offset = by;
            let by = SignedDuration::from_secs(by);
            events.insert(0, Event::ClockSet { by });
        }
        let now = after(second + offset);
        let (home, away) = under_way.into_iter().partition(|(at, ..)| *at <= second);
        under_way = away;
        let home: Vec<(i64, Arc<Judged>, RunId)> = home;
        events.extend(
            home.into_iter()
                .map(|(_, judged, run)| Event::Ended { run, judged }),
        );
        for event in events {
            for effect in machine.step(event, now) {
                match effect {
                    Effect::Start(start) => {
                        let refused = start.cell.client.as_str() == "java"
                            && start.cell.probe.as_str() == "api"
                            && second < fixed;
                        let verdict = if refused { blocked() } else { pass() };
                        let judged = Arc::new(judged(&start, now, verdict));
                        under_way.push((second + 1, judged, start.run));
                    }
                    Effect::Save(change) => saved.push((second, change.incident)),
                    _ => {}
                }
            }
        }
    }
    saved
}

/// When it was over for the rules, how long it lasted by what is told, and how many incidents there were.
fn ended(saved: &[(i64, Incident)]) -> (i64, i64, usize) {
    let over = saved
        .iter()
        .find(|(_, incident)| incident.state == State::Resolved);
    let (second, incident) = over.unwrap_or_else(|| panic!("never over: {saved:#?}"));
    let lasted = incident
        .over_at()
        .unwrap()
        .duration_since(incident.onset_at);
    let numbers: BTreeSet<u64> = saved.iter().map(|(_, incident)| incident.number).collect();
    (*second, lasted.as_secs(), numbers.len())
}

#[test]
fn an_end_is_told_as_soon_and_as_long_as_with_a_clock_that_nobody_sets() {
    let (plain, lasted, _) = ended(&played(-1, 0, 600, 1_200));
    assert!(plain < 700, "{plain}");
    for (name, set_at, by) in [
        ("back, before the end", 300, -7_200),
        ("back, just at the end", 600, -7_200),
        ("back by days", 300, -3 * 86_400),
        ("back by a little", 300, -90),
        ("forward", 300, 7_200),
        ("forward by years", 300, 10 * 365 * 86_400),
    ] {
        let (second, long, numbers) = ended(&played(set_at, by, 600, 1_200));
        assert_eq!(numbers, 1, "{name}");
        // What passed by the former clock is seen again.
        assert!(second <= plain + 60, "{name}: {second} after {plain}");
        assert!(
            (long - lasted).abs() <= 60,
            "{name}: {long} s, not {lasted} s"
        );
    }
}

#[test]
fn nothing_is_over_because_the_clock_was_set() {
    for by in [-7_200, -86_400, 7_200, 400 * 86_400] {
        let saved = played(300, by, 5_000, 1_500);
        assert!(!saved.is_empty());
        for (second, incident) in &saved {
            assert_eq!(incident.state, State::Open, "{by}, after {second} s");
            assert_eq!(incident.number, 1, "{by}, after {second} s");
        }
        let last = &saved.last().unwrap().1;
        let onset = last.onset_at.duration_since(begin()).as_secs();
        assert!((by..by + 60).contains(&onset), "{by}: {onset}");
    }
}

#[test]
fn a_clock_that_is_set_under_good_weather_makes_no_incident() {
    for by in [-7_200, 7_200] {
        assert_eq!(played(300, by, 0, 1_500), Vec::new());
    }
}

#[test]
fn runs_on_their_way_are_recalled() {
    let mut machine = Machine::new(plan(""), Known::default(), begin());
    let mut started = BTreeSet::new();
    for second in 0..40 {
        for effect in machine.step(Event::Tick, after(second)) {
            if let Effect::Start(start) = effect {
                started.insert(start.run);
            }
        }
    }
    assert!(!started.is_empty());
    let by = SignedDuration::from_hours(-2);
    let effects = machine.step(Event::ClockSet { by }, after(40) + by);
    let recalled = effects.iter().filter_map(|effect| match effect {
        Effect::Cancel { run } => Some(*run),
        _ => None,
    });
    assert_eq!(recalled.collect::<BTreeSet<_>>(), started);
    assert_eq!(machine.counts().in_flight, 0);
}
