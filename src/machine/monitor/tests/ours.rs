//! Our own side, told in time, and nobody else for it: at every interval, with one egress and with many.

use std::time::Duration;

use super::*;
use crate::domain::cell::{EgressName, Program, Speaks};
use crate::domain::probe::Schedule;

/// The whole of our network, or the last egress alone.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Dead {
    All,
    One,
}

/// Who is asked, how often, and what dies.
#[derive(Debug, Clone, Copy)]
struct Scene {
    every: i64,
    kind: Kind,
    egresses: usize,
    dead: Dead,
    /// Seconds between two runs of the control; `None`: there is none.
    control: Option<i64>,
    partners: usize,
}

impl Scene {
    fn setup(self) -> Setup {
        let names = ["e1", "e2", "e3"];
        let mut setup = Setup::new(&names[..self.egresses], &["java-8", "plain"]);
        for number in 0..self.partners {
            setup = setup.probe(&format!("p{number}"), &format!("api{number}.example"));
        }
        if let Some(every) = self.control {
            setup = setup.control("internet", "www.gov.uk", every as u64);
        }
        setup.with(|plan| {
            for probe in plan.probes.iter_mut().filter(|probe| !probe.control) {
                probe.schedule = Schedule::Every(Duration::from_secs(self.every as u64));
                probe.as_clients.truncate(1);
            }
        })
    }

    fn dead(self) -> Vec<EgressName> {
        let all = ["e1", "e2", "e3"][..self.egresses].iter();
        let skipped = match self.dead {
            Dead::All => 0,
            Dead::One => self.egresses - 1,
        };
        all.skip(skipped)
            .map(|name| EgressName::new(name))
            .collect()
    }

    /// Whether anything shows that it is ours: another to ask, or an error that says so.
    fn can_be_told(self) -> bool {
        self.kind == Kind::LocalError || self.control.is_some() || self.partners > 1
    }
}

/// Plays an outage of our own side that lasts long enough to be told, and what comes after it.
fn play(scene: Scene) {
    let slowest = scene.every.max(scene.control.unwrap_or(0));
    let (in_time, from) = ((4 * slowest).max(120), 400 + 3 * slowest);
    let until = from + in_time + 3 * slowest + 60;
    let dead = scene.dead();
    let mut play = Play::new(scene.setup());
    play.run(until + 4 * slowest + 900, |cell, t| {
        if (from..until).contains(&t) && dead.contains(&cell.egress) {
            scene.kind
        } else {
            Kind::Pass
        }
    });
    play.hold();
    let told = play.told("engineers");
    let about = format!("{scene:?}: {:#?}", play.lines);
    let mut told_of = play.reasons("engineers").replace(" reminder", "");
    if dead.len() > 1 && slowest >= 60 {
        // Of egresses that are asked minutes apart, one is known to be down before the other.
        told_of = told_of.replace(" changed", "");
    }
    assert_eq!(told_of, "opened resolved", "{about}");
    assert!(told.iter().all(|note| note.briefing.our_side), "{about}");
    let late = told[0].created_at.duration_since(play::at(from)).as_secs();
    assert!(late <= in_time, "told after {late} s of {in_time}: {about}");
    let cause = Cause::OurNetwork { egresses: dead };
    let incident = &play.stored[&1];
    assert_eq!(incident.diagnosis.cause, cause, "{about}");
    assert_eq!(play.stored.len(), 1, "{about}");
}

const SILENT: [Kind; 3] = [Kind::Timeout, Kind::ConnectError, Kind::DnsError];
const EVERY: [i64; 15] = [2, 4, 6, 10, 12, 15, 20, 25, 30, 40, 45, 60, 90, 300, 600];

#[test]
fn our_own_side_is_told_in_time_at_every_interval() {
    let kinds = || SILENT.into_iter().chain([Kind::LocalError]);
    for (every, kind) in EVERY.iter().flat_map(|e| kinds().map(|kind| (*e, kind))) {
        for (egresses, dead) in [(1, Dead::All), (3, Dead::All), (3, Dead::One)] {
            for control in [Some(every), Some((every / 5).max(2)), None] {
                let scene = Scene {
                    every,
                    kind,
                    egresses,
                    dead,
                    control,
                    partners: 1,
                };
                if scene.can_be_told() {
                    play(scene);
                }
            }
        }
    }
}

#[test]
fn with_twenty_partners_it_is_one_message() {
    for (every, kind) in [
        (4, Kind::Timeout),
        (30, Kind::ConnectError),
        (60, Kind::LocalError),
        (300, Kind::Timeout),
        (600, Kind::DnsError),
    ] {
        for (egresses, dead) in [(1, Dead::All), (3, Dead::All), (3, Dead::One)] {
            for control in [Some(60), None] {
                play(Scene {
                    every,
                    kind,
                    egresses,
                    dead,
                    control,
                    partners: 20,
                });
            }
        }
    }
}

#[test]
fn an_outage_of_ours_that_is_too_short_to_tell_blames_nobody() {
    for (every, lasts) in [2, 5, 10, 30, 60]
        .into_iter()
        .flat_map(|e| [(e, 45), (e, 75)])
    {
        for (egresses, partners) in [(1, 1), (1, 20), (3, 1)] {
            let scene = Scene {
                every,
                kind: Kind::ConnectError,
                egresses,
                dead: Dead::All,
                control: Some(30),
                partners,
            };
            let mut play = Play::new(scene.setup());
            play.run(3000, |_, t| {
                if (700..700 + lasts).contains(&t) {
                    scene.kind
                } else {
                    Kind::Pass
                }
            });
            let told = play.told("engineers");
            assert!(
                told.iter().all(|note| note.briefing.our_side),
                "{scene:?} for {lasts} s: {:#?}",
                play.lines
            );
        }
    }
}

#[test]
fn what_fails_after_our_outage_for_its_own_reasons_is_told() {
    let scene = Scene {
        every: 60,
        kind: Kind::Timeout,
        egresses: 1,
        dead: Dead::All,
        control: Some(60),
        partners: 2,
    };
    let mut play = Play::new(scene.setup());
    play.run(4000, |cell, t| {
        let ours = (700..1300).contains(&t);
        let theirs = t >= 700 && cell.probe.as_str() == "p1";
        if ours || theirs {
            scene.kind
        } else {
            Kind::Pass
        }
    });
    let told = play.told("engineers");
    let (ours, theirs): (Vec<_>, Vec<_>) = told.iter().partition(|note| note.briefing.our_side);
    assert_eq!(ours.len(), 2, "{:#?}", play.lines);
    let theirs = theirs.first().expect("the partner is told of");
    assert!(theirs.created_at >= play::at(1300), "{:#?}", play.lines);
    assert!(
        theirs
            .briefing
            .headline
            .starts_with("api1.example does not answer")
    );
}

#[test]
fn a_control_that_is_dead_for_long_hides_no_partner() {
    let mut play = Play::new(gmc());
    play.run(8000, |cell, t| {
        let control = cell.probe.as_str() == "internet" && t >= 400;
        let partner = cell.probe.as_str() == "gmc-connect" && t >= 5000;
        if control || partner {
            Kind::Timeout
        } else {
            Kind::Pass
        }
    });
    let told = play.told("engineers");
    assert!(!told.is_empty() && told.iter().all(|note| !note.briefing.our_side));
    assert!(told[0].created_at >= play::at(5000), "{:#?}", play.lines);
}

#[test]
fn our_own_answer_stays_ours_whatever_the_control_does() {
    for every in [2, 15, 60, 300] {
        let scene = Scene {
            every,
            kind: Kind::LocalError,
            egresses: 2,
            dead: Dead::One,
            control: Some(30),
            partners: 2,
        };
        let mut play = Play::new(scene.setup());
        play.run(400 + (4 * every).max(120), |cell, t| {
            let stopped = cell.egress.as_str() == "e2" && cell.probe.as_str() == "p1";
            if t >= 400 && stopped {
                scene.kind
            } else {
                Kind::Pass
            }
        });
        let told = play.told("engineers");
        assert_eq!(
            play.reasons("engineers"),
            "opened",
            "every {every} s: {:#?}",
            play.lines
        );
        assert!(told[0].briefing.our_side);
        assert_eq!(
            told[0].briefing.headline,
            "Our own side: requests from egress `e2` can't be sent"
        );
    }
}

/// A program that can't be run fails at every egress and at every partner, and is one fault: its own.
#[test]
fn a_client_that_can_not_be_run_is_named_and_no_egress_is() {
    for (every, partners) in [(5, 1), (15, 3), (60, 2), (300, 2)] {
        let scene = Scene {
            every,
            kind: Kind::LocalError,
            egresses: 2,
            dead: Dead::All,
            control: Some(30),
            partners,
        };
        let setup = scene.setup().with(|plan| {
            for probe in plan.probes.iter_mut().filter(|probe| !probe.control) {
                probe.as_clients = vec!["java-8".into(), "plain".into()];
            }
            for client in plan
                .clients
                .iter_mut()
                .filter(|it| it.name.as_str() == "java-8")
            {
                client.program = Some(Program {
                    command: vec!["/usr/bin/java".to_owned()],
                    speaks: Speaks::Lines,
                    variables: Vec::new(),
                    http: None,
                    keep: None,
                });
            }
        });
        let until = 400 + (4 * every).max(120);
        let mut play = Play::new(setup);
        play.run(until + 6 * every + 900, |cell, t| {
            let broken = cell.client.as_str() == "java-8" && cell.probe.as_str() != "internet";
            if broken && (400..until).contains(&t) {
                scene.kind
            } else {
                Kind::Pass
            }
        });
        let told = play.told("engineers");
        let about = format!("every {every} s: {:#?}", play.lines);
        assert_eq!(play.reasons("engineers"), "opened resolved", "{about}");
        assert!(told[0].briefing.our_side, "{about}");
        assert_eq!(
            told[0].briefing.headline,
            "Our own side: client `java-8` can't be run"
        );
        let next = told[0].briefing.next_step.as_deref();
        assert!(
            next.is_some_and(|it| it.contains("edgewatch client java-8")),
            "{next:?}"
        );
        assert!(told[0].created_at < play::at(until), "{about}");
    }
}

#[test]
fn a_restart_amid_our_outage_blames_nobody() {
    let scene = Scene {
        every: 30,
        kind: Kind::Timeout,
        egresses: 2,
        dead: Dead::All,
        control: Some(60),
        partners: 3,
    };
    let world = |_: &CellKey, t: i64| {
        if (700..2000).contains(&t) {
            Kind::Timeout
        } else {
            Kind::Pass
        }
    };
    for stop in [720, 760, 900, 1990] {
        let mut play = Play::new(scene.setup());
        play.run(stop, world);
        play.restart();
        play.run(4000, world);
        assert_eq!(
            play.reasons("engineers"),
            "opened resolved",
            "stopped at {stop}: {:#?}",
            play.lines
        );
        assert!(
            play.told("engineers")
                .iter()
                .all(|note| note.briefing.our_side)
        );
    }
}

/// A control that asks the partner itself fails with it, whatever way that is.
#[test]
fn a_control_on_the_partners_own_host_blames_nobody_but_the_partner() {
    let hosts = ["webcache.gmc-uk.org", "other.gmc-uk.org"];
    for (host, kind) in hosts.into_iter().flat_map(|host| {
        let kinds = [Kind::EdgeBlock, Kind::Timeout, Kind::ConnectError];
        kinds.map(|kind| (host, kind))
    }) {
        let setup = Setup::new(&["legacy-prod", "new-reval"], &["java-8", "plain"])
            .probe("gmc-connect", "webcache.gmc-uk.org")
            .control("same-edge", host, 60)
            .with(|plan| {
                for probe in &mut plan.probes {
                    probe.partner = "gmc-uk.org".to_owned();
                }
            });
        let mut play = Play::new(setup);
        play.run(3000, |_, t| if t >= 600 { kind } else { Kind::Pass });
        let about = format!("{host} {kind}: {:#?}", play.lines);
        for note in &play.notifications {
            assert!(!note.briefing.our_side, "{about}");
        }
        // What answers is a partner's; of silence nobody else was asked about, nothing is certain.
        if kind == Kind::EdgeBlock {
            assert_eq!(play.stored.len(), 1, "{about}");
        }
    }
}
