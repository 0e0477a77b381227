//! The world changes while an incident is open: what stands follows it.

use std::collections::BTreeSet;

use super::*;

/// What fails, and how.
type Fails<'a> = &'a dyn Fn(&Universe, usize) -> Option<Kind>;
/// For how many seconds what fails.
type Phase<'a> = (f64, Fails<'a>);

/// Plays one phase after another, after an hour of quiet; what is named at the end of each.
fn named_after(names: &Names, phases: &[Phase<'_>]) -> (Play, Vec<Vec<String>>) {
    let mut play = Play::new(names);
    play.until(3600.0, |_, _, _| None);
    let named = phases
        .iter()
        .map(|(seconds, fails)| {
            let end = play.now + seconds;
            play.until(end, |universe, _, cell| fails(universe, cell));
            play.named()
        })
        .collect();
    (play, named)
}

fn at_a(universe: &Universe, cell: usize) -> bool {
    universe.host_of(cell) == 0
}

fn world() -> Names {
    names(
        &["de1", "us1"],
        &["java", "okhttp", "curl", "python"],
        &["key-a", "key-b"],
    )
}

#[test]
fn what_stands_follows_what_is_refused() {
    let one = |u: &Universe, c: usize| client_at_a(u, c, 0).then_some(Kind::EdgeBlock);
    let all = |u: &Universe, c: usize| at_a(u, c).then_some(Kind::EdgeBlock);
    let down = |u: &Universe, c: usize| at_a(u, c).then_some(Kind::OriginError);
    let two = |u: &Universe, c: usize| {
        (client_at_a(u, c, 0) || client_at_a(u, c, 1)).then_some(Kind::EdgeBlock)
    };
    let but_one =
        |u: &Universe, c: usize| (at_a(u, c) && !client_at_a(u, c, 2)).then_some(Kind::EdgeBlock);
    let nothing = |_: &Universe, _: usize| None;
    let check = |name: &str, phases: &[(Fails<'_>, &[&str])]| {
        let plays: Vec<Phase<'_>> = phases.iter().map(|(fails, _)| (3000.0, *fails)).collect();
        let (_, named) = named_after(&world(), &plays);
        let expected: Vec<Vec<&str>> = phases.iter().map(|(_, named)| named.to_vec()).collect();
        assert_eq!(named, expected, "{name}");
    };
    let (java, okhttp) = ("client java at a", "client okhttp at a");
    let everybody = "all requests at a";
    check(
        "maintenance, then a rule",
        &[(&down, &[everybody]), (&one, &[java]), (&nothing, &[])],
    );
    check(
        "one, everybody, one",
        &[(&one, &[java]), (&all, &[everybody]), (&one, &[java])],
    );
    check(
        "one of two is let through",
        &[(&two, &[java, okhttp]), (&one, &[java])],
    );
    check(
        "two of four, from the start",
        &[(&two, &[java, okhttp]), (&two, &[java, okhttp])],
    );
    check(
        "everybody but one, from the start",
        &[(&but_one, &["every client but curl at a"])],
    );
}

#[test]
fn an_outage_inside_a_block_ends_and_the_block_goes_on() {
    let block = |u: &Universe, c: usize| client_at_a(u, c, 0).then_some(Kind::EdgeBlock);
    let both = |u: &Universe, c: usize| {
        let kind = if client_at_a(u, c, 0) {
            Kind::EdgeBlock
        } else {
            Kind::OriginError
        };
        at_a(u, c).then_some(kind)
    };
    let (_, named) = named_after(
        &world(),
        &[(3000.0, &block), (3000.0, &both), (3000.0, &block)],
    );
    assert_eq!(named[0], ["client java at a"]);
    assert!(
        named[1].iter().any(|n| n == "all requests at a"),
        "{named:?}"
    );
    assert_eq!(named[2], ["client java at a"]);
}

#[test]
fn the_honest_client_is_asked_beside_a_blamed_one() {
    let refused = |u: &Universe, c: usize| {
        let client = u.cells[c].client;
        (at_a(u, c) && (client == 0 || Some(client) == u.control)).then_some(Kind::EdgeBlock)
    };
    let (_, named) = named_after(&world(), &[(3000.0, &refused)]);
    assert_eq!(named[0], ["client java at a", "client control at a"]);
}

#[test]
fn time_alone_names_nobody() {
    // One account, one endpoint that needs it: no request could tell them apart.
    let mut names = names(&["de1", "us1"], &["java", "okhttp"], &["key-a"]);
    names.endpoints.truncate(1);
    let denied = |u: &Universe, c: usize| at_a(u, c).then_some(Kind::OriginDenied);
    let (_, named) = named_after(&names, &[(12.0 * 3600.0, &denied)]);
    assert!(named[0].is_empty(), "{named:?}");
}

#[test]
fn weather_after_a_change_does_not_close_what_still_stands() {
    for stray in [5, 35, 70] {
        let mut play = Play::new(&world());
        play.round = 4.0;
        play.until(600.0, |_, _, _| None);
        play.until(900.0, |u, _, c| at_a(u, c).then_some(Kind::OriginError));
        assert_eq!(play.named(), ["all requests at a"]);
        // All passes, but for one run now and then: at no moment is it done with while its cause stands.
        let from = play.now + f64::from(stray);
        play.until(from + 240.0, |u, at, c| {
            let alone = at >= from && (at - from) % 50.0 < 0.2 && at_a(u, c);
            alone.then_some(Kind::Timeout)
        });
        let end = play.now + 300.0;
        play.until(end, |_, _, _| None);
        assert!(play.named().is_empty(), "{:?}", play.named());
    }
}

/// Where one request in twenty fails, no failure stands beside another: that is no row of bursts.
#[test]
fn an_alarm_of_a_small_share_is_not_dismissed_as_it_is_raised() {
    let (mut in_time, mut dismissed) = (0, 0);
    for seed in 0..10 {
        let random = std::cell::RefCell::new(fastrand::Rng::with_seed(seed));
        let fails = |u: &Universe, at: f64, c: usize| {
            let hit = at > 3600.0 && at_a(u, c) && random.borrow_mut().f64() < 0.05;
            hit.then_some(Kind::Timeout)
        };
        let mut play = Play::new(&world());
        play.round = 30.0;
        play.until(4000.0, fails);
        let opened = |(_, effect): &&(f64, Effect)| matches!(effect, Effect::Opened { .. });
        let closed = |at: f64| {
            let mut then = play.effects.iter().filter(|(when, _)| *when == at);
            then.any(|(_, effect)| matches!(effect, Effect::Closed { .. }))
        };
        let alarms: Vec<f64> = play.effects.iter().filter(opened).map(|e| e.0).collect();
        dismissed += alarms.iter().filter(|at| closed(**at)).count();
        in_time += usize::from(alarms.iter().any(|at| !closed(*at)));
    }
    assert_eq!((in_time, dismissed), (10, 0));
}

/// The honest client is asked beside the others, and so more often while they fail than in the pauses.
#[test]
fn what_comes_and_goes_for_everybody_is_put_down_to_nobody() {
    for (on, off, kind) in [
        (20.0, 40.0, Kind::EdgeBlock),
        (20.0, 40.0, Kind::EdgeChallenge),
        (60.0, 120.0, Kind::EdgeBlock),
        (60.0, 120.0, Kind::EdgeChallenge),
    ] {
        let mut play = Play::new(&world());
        play.round = 10.0;
        play.until(3600.0, |_, _, _| None);
        let mut said: BTreeSet<String> = BTreeSet::new();
        while play.now < 7200.0 {
            let end = play.now + 10.0;
            play.until(end, |u, at, c| {
                (at_a(u, c) && at % (on + off) < on).then_some(kind)
            });
            said.extend(play.named());
        }
        let everybody: BTreeSet<String> = ["all requests at a".to_owned()].into();
        assert_eq!(said, everybody, "{on} s of {} s, {kind:?}", on + off);
    }
}
