//! How long people are told that something failed: the time that it did, not that of deciding so.

use std::time::Duration;

use proptest::prelude::*;

use super::play::at;
use super::*;
use crate::domain::notification::Notification;
use crate::domain::probe::Schedule;

/// As `gmc`, asked every 20 s.
fn often() -> Setup {
    gmc().with(|plan| {
        for probe in &mut plan.probes {
            probe.schedule = Schedule::Every(Duration::from_secs(20));
        }
    })
}

/// Plays one client that is refused within these times.
fn refused_within(times: &[(i64, i64)], until: i64) -> Play {
    let mut play = Play::new(often());
    play.run(until, |cell, t| {
        let bad = times.iter().any(|(from, to)| (*from..*to).contains(&t));
        kind_at(bad && client(cell, "java-8"), Kind::EdgeBlock, cell)
    });
    play
}

fn last_end(play: &Play) -> Notification {
    let told = play.told("engineers");
    let mut ends = told.iter().rev().filter(|n| n.reason == Reason::Resolved);
    (*ends.next().expect("it is told as over")).clone()
}

fn second(moment: jiff::Timestamp) -> i64 {
    moment.duration_since(at(0)).as_secs()
}

#[test]
fn onset_last_bad_first_good_and_told_are_four_times() {
    let play = refused_within(&[(400, 460)], 1200);
    let note = last_end(&play);
    let briefing = &note.briefing;
    let last_bad = second(briefing.spells.last_bad_at.unwrap());
    let first_good = second(briefing.over_at().unwrap());
    let onset = second(briefing.onset_at);
    let told = second(note.created_at);
    assert!((400..420).contains(&onset), "{onset}");
    assert!((440..460).contains(&last_bad), "{last_bad}");
    assert!((460..480).contains(&first_good), "{first_good}");
    assert!(told >= first_good + 20, "{told}");
    let failing = briefing.failing_for(note.created_at).as_secs();
    assert_eq!(i64::try_from(failing).unwrap(), first_good - onset);
}

#[test]
fn what_came_back_does_not_count_the_good_time_between() {
    let play = refused_within(&[(400, 500), (900, 960)], 1800);
    assert_eq!(
        play.reasons("engineers"),
        "opened resolved reopened resolved"
    );
    let note = last_end(&play);
    let failing = note.briefing.failing_for(note.created_at).as_secs();
    assert!((120..=200).contains(&failing), "{failing}");
    let whole = note.briefing.over_at().unwrap();
    assert!((960..980).contains(&second(whole)));
}

#[test]
fn over_a_restart_it_is_over_when_it_was() {
    let world = |cell: &CellKey, t: i64| {
        let bad = (400..600).contains(&t) && client(cell, "java-8");
        kind_at(bad, Kind::EdgeBlock, cell)
    };
    let mut play = Play::new(often());
    play.run(560, world);
    play.restart();
    play.run(1200, world);
    let briefing = last_end(&play).briefing;
    let first_good = second(briefing.over_at().unwrap());
    assert!((600..640).contains(&first_good), "{first_good}");
}

/// What a message of an opening says of the times before.
fn before(play: &Play, opening: usize) -> Option<String> {
    let told = play.told("engineers");
    let mut opened = told.iter().filter(|n| n.reason == Reason::Opened);
    opened
        .nth(opening)
        .expect("it opened")
        .briefing
        .before
        .clone()
}

#[test]
fn the_third_time_is_called_the_third_time() {
    let play = refused_within(
        &[(400, 520), (100_000, 100_130), (250_000, 251_800)],
        250_300,
    );
    assert_eq!(before(&play, 0), None);
    let second = before(&play, 1).unwrap();
    assert!(
        second.starts_with("Second time since Sun 1 Mar; the first lasted 2 min"),
        "{second}"
    );
    let third = before(&play, 2).unwrap();
    assert_eq!(
        third,
        "Third time since Sun 1 Mar; the others lasted 2 min each"
    );
}

#[test]
fn other_trouble_of_the_same_host_is_not_counted() {
    let world = |cell: &CellKey, t: i64| match t {
        400..520 if client(cell, "java-8") => kind_at(true, Kind::EdgeBlock, cell),
        3000..3400 if !client(cell, "plain") || cell.probe.as_str() != "internet" => {
            kind_at(true, Kind::OriginError, cell)
        }
        _ => Kind::Pass,
    };
    let mut play = Play::new(often());
    play.run(3400, world);
    assert_eq!(play.reasons("engineers"), "opened resolved opened");
    assert_eq!(before(&play, 1), None);
}

#[test]
fn over_a_restart_the_times_before_are_known() {
    let world = |cell: &CellKey, t: i64| {
        let bad = (400..520).contains(&t) || t >= 90_000;
        kind_at(bad && client(cell, "java-8"), Kind::EdgeBlock, cell)
    };
    let mut play = Play::new(often());
    play.run(1000, world);
    play.restart();
    play.run(90_400, world);
    let second = before(&play, 1).unwrap();
    assert!(
        second.starts_with("Second time since Sun 1 Mar; the first lasted 2 min"),
        "{second}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whenever it fails and for how long: what is told lies within two runs of the truth.
    #[test]
    fn told_durations_are_of_the_event(
        from in 300_i64..500,
        first in 90_i64..400,
        well in 330_i64..600,
        second_time in proptest::option::of(90_i64..400),
    ) {
        let mut times = vec![(from, from + first)];
        let mut bad = first;
        if let Some(lasts) = second_time {
            let again = from + first + well;
            times.push((again, again + lasts));
            bad += lasts;
        }
        let end = times[times.len() - 1].1;
        let play = refused_within(&times, end + 900);
        let note = last_end(&play);
        let failing = i64::try_from(note.briefing.failing_for(note.created_at).as_secs()).unwrap();
        let off = 42 * i64::try_from(times.len()).unwrap();
        prop_assert!((failing - bad).abs() <= off, "{failing} for {bad}: {:#?}", play.lines);
        let over = second(note.briefing.over_at().unwrap());
        prop_assert!((end..end + 42).contains(&over), "{over} for {end}: {:#?}", play.lines);
    }
}
